/* loss_margin.h: losses that keep a margin between distances or between the scores of classes.
 *
 * All have PyTorch's formulas and defaults, and are differentiable any number of times. Inputs are
 * floating. Sizes that do not belong together are an error, where PyTorch would broadcast. Inside
 * LUCID_AUTOCAST they compute in float32. Errors: sizes, dtypes, or options that are refused, a
 * class out of range; NULL then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_LOSS_MARGIN_H
#define LUCID_AUTOGRAD_OPS_LOSS_MARGIN_H

#include "loss_pointwise.h"

LUCID_BEGIN_DECLS

/* ---- distances between vectors --------------------------------------------------------------- */

typedef struct lucid_pairwise_distance_options {
    LUCID_OPTIONS_SIZE(lucid_pairwise_distance_options);
    double p LUCID_DEFAULT(2);      /* of the norm; >= 0, INFINITY for the largest */
    double eps LUCID_DEFAULT(1e-6); /* added to each difference */
    bool keepdim LUCID_DEFAULT(false);
} lucid_pairwise_distance_options;
LUCID_DEFAULTS(lucid_pairwise_distance, .p = 2, .eps = 1e-6, .keepdim = false);
/* The p-norm of a - b + eps over the last dimension. a and b [...,D] have equal sizes. Where the
 * norm is 0 its derivative is 0. */
LUCID_API lucid_tensor *lucid_pairwise_distance_opt(lucid_tensor *a, lucid_tensor *b,
                                                    const lucid_pairwise_distance_options *options);

typedef struct lucid_cosine_similarity_options {
    LUCID_OPTIONS_SIZE(lucid_cosine_similarity_options);
    int dim LUCID_DEFAULT(1);
    double eps LUCID_DEFAULT(1e-8); /* the least length of each vector; >= 0 */
} lucid_cosine_similarity_options;
LUCID_DEFAULTS(lucid_cosine_similarity, .dim = 1, .eps = 1e-8);
/* a . b / (max(|a|, eps) max(|b|, eps)) along dim, of a and b of equal sizes. */
LUCID_API lucid_tensor *lucid_cosine_similarity_opt(lucid_tensor *a, lucid_tensor *b,
                                                    const lucid_cosine_similarity_options *options);

/* ---- losses of distances --------------------------------------------------------------------- */

typedef struct lucid_margin_ranking_loss_options {
    LUCID_OPTIONS_SIZE(lucid_margin_ranking_loss_options);
    double margin LUCID_DEFAULT(0);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_margin_ranking_loss_options;
LUCID_DEFAULTS(lucid_margin_ranking_loss, .margin = 0, .reduction = LUCID_REDUCTION_MEAN);
/* max(0, -y (x1 - x2) + margin); the three have equal sizes, y is 1 or -1. */
LUCID_API lucid_tensor *lucid_margin_ranking_loss_opt(
    lucid_tensor *input1, lucid_tensor *input2, lucid_tensor *target,
    const lucid_margin_ranking_loss_options *options);

typedef struct lucid_cosine_embedding_loss_options {
    LUCID_OPTIONS_SIZE(lucid_cosine_embedding_loss_options);
    double margin LUCID_DEFAULT(0);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_cosine_embedding_loss_options;
LUCID_DEFAULTS(lucid_cosine_embedding_loss, .margin = 0, .reduction = LUCID_REDUCTION_MEAN);
/* 1 - cos(x1, x2) where y is 1, max(0, cos(x1, x2) - margin) where it is -1. The inputs are [N,D]
 * with y [N], or [D] with a 0-d y. */
LUCID_API lucid_tensor *lucid_cosine_embedding_loss_opt(
    lucid_tensor *input1, lucid_tensor *input2, lucid_tensor *target,
    const lucid_cosine_embedding_loss_options *options);

typedef struct lucid_triplet_margin_loss_options {
    LUCID_OPTIONS_SIZE(lucid_triplet_margin_loss_options);
    double margin LUCID_DEFAULT(1); /* > 0 */
    double p LUCID_DEFAULT(2);      /* of the norm, as for lucid_pairwise_distance */
    double eps LUCID_DEFAULT(1e-6);
    bool swap LUCID_DEFAULT(false);                    /* take the smaller of d(a, n) and d(p, n) */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_triplet_margin_loss_options;
LUCID_DEFAULTS(lucid_triplet_margin_loss, .margin = 1, .p = 2, .eps = 1e-6, .swap = false,
               .reduction = LUCID_REDUCTION_MEAN);
/* max(0, d(a, p) - d(a, n) + margin), d of lucid_pairwise_distance (Balntas et al., 2016). The
 * three have equal sizes [N,D] or [D]. */
LUCID_API lucid_tensor *lucid_triplet_margin_loss_opt(
    lucid_tensor *anchor, lucid_tensor *positive, lucid_tensor *negative,
    const lucid_triplet_margin_loss_options *options);

/* A distance of your own, made of operators; NULL after an error. */
typedef lucid_tensor *(*lucid_distance_fn)(lucid_tensor *a, lucid_tensor *b, void *user);
typedef struct lucid_triplet_margin_with_distance_loss_options {
    LUCID_OPTIONS_SIZE(lucid_triplet_margin_with_distance_loss_options);
    lucid_distance_fn distance LUCID_DEFAULT(NULL); /* NULL: lucid_pairwise_distance */
    void *user LUCID_DEFAULT(NULL);                 /* is handed to `distance` */
    double margin LUCID_DEFAULT(1);                 /* > 0 */
    bool swap LUCID_DEFAULT(false);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_triplet_margin_with_distance_loss_options;
LUCID_DEFAULTS(lucid_triplet_margin_with_distance_loss, .distance = NULL, .user = NULL, .margin = 1,
               .swap = false, .reduction = LUCID_REDUCTION_MEAN);
/* The same with a distance of your own, which is called in the thread of the call. */
LUCID_API lucid_tensor *lucid_triplet_margin_with_distance_loss_opt(
    lucid_tensor *anchor, lucid_tensor *positive, lucid_tensor *negative,
    const lucid_triplet_margin_with_distance_loss_options *options);

/* ---- losses of classes ----------------------------------------------------------------------- */

typedef struct lucid_multi_margin_loss_options {
    LUCID_OPTIONS_SIZE(lucid_multi_margin_loss_options);
    int64_t p LUCID_DEFAULT(1); /* 1 or 2 */
    double margin LUCID_DEFAULT(1);
    lucid_tensor *weight LUCID_DEFAULT(NULL);          /* [C], of the target's class */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_multi_margin_loss_options;
LUCID_DEFAULTS(lucid_multi_margin_loss, .p = 1, .margin = 1, .weight = NULL,
               .reduction = LUCID_REDUCTION_MEAN);
/* sum over i != y of w[y] max(0, margin - x[y] + x[i])^p, divided by C: x [N,C] with int64 classes
 * [N], or [C] with one class of no dimensions. */
LUCID_API lucid_tensor *lucid_multi_margin_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                                    const lucid_multi_margin_loss_options *options);

typedef struct lucid_multilabel_margin_loss_options {
    LUCID_OPTIONS_SIZE(lucid_multilabel_margin_loss_options);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_multilabel_margin_loss_options;
LUCID_DEFAULTS(lucid_multilabel_margin_loss, .reduction = LUCID_REDUCTION_MEAN);
/* sum of max(0, 1 - (x[y[j]] - x[i])) over all labels y[j] and all classes i that are no label,
 * divided by C. x and the int64 target are [N,C] or [C]; a line's labels end at its first -1. It
 * needs memory for N C C numbers. */
LUCID_API lucid_tensor *lucid_multilabel_margin_loss_opt(
    lucid_tensor *input, lucid_tensor *target, const lucid_multilabel_margin_loss_options *options);

typedef struct lucid_multilabel_soft_margin_loss_options {
    LUCID_OPTIONS_SIZE(lucid_multilabel_soft_margin_loss_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL); /* of each class, [C]; broadcasts to the input */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_multilabel_soft_margin_loss_options;
LUCID_DEFAULTS(lucid_multilabel_soft_margin_loss, .weight = NULL,
               .reduction = LUCID_REDUCTION_MEAN);
/* The mean over the last dimension of binary cross-entropy with logits: x and y [N,C] or [C]. */
LUCID_API lucid_tensor *lucid_multilabel_soft_margin_loss_opt(
    lucid_tensor *input, lucid_tensor *target,
    const lucid_multilabel_soft_margin_loss_options *options);

/* lucid_triplet_margin_loss(anchor, positive, negative, .swap = true) */
#define lucid_pairwise_distance(...)     LUC_LOSS_OF_2(lucid_pairwise_distance, __VA_ARGS__)
#define lucid_cosine_similarity(...)     LUC_LOSS_OF_2(lucid_cosine_similarity, __VA_ARGS__)
#define lucid_margin_ranking_loss(...)   LUC_LOSS_OF_3(lucid_margin_ranking_loss, __VA_ARGS__)
#define lucid_cosine_embedding_loss(...) LUC_LOSS_OF_3(lucid_cosine_embedding_loss, __VA_ARGS__)
#define lucid_triplet_margin_loss(...)   LUC_LOSS_OF_3(lucid_triplet_margin_loss, __VA_ARGS__)
#define lucid_triplet_margin_with_distance_loss(...) \
    LUC_LOSS_OF_3(lucid_triplet_margin_with_distance_loss, __VA_ARGS__)
#define lucid_multi_margin_loss(...)      LUC_LOSS_OF_2(lucid_multi_margin_loss, __VA_ARGS__)
#define lucid_multilabel_margin_loss(...) LUC_LOSS_OF_2(lucid_multilabel_margin_loss, __VA_ARGS__)
#define lucid_multilabel_soft_margin_loss(...) \
    LUC_LOSS_OF_2(lucid_multilabel_soft_margin_loss, __VA_ARGS__)

LUCID_END_DECLS
#endif

/* loss_pointwise.h: losses that compare an input with a target element by element.
 *
 * All have PyTorch's formulas and defaults, and are differentiable any number of times, with
 * respect to the target too. Sizes: input and target have the same, any; PyTorch would broadcast
 * others with a warning, here they are an error. The input is floating; a target of integers or
 * bools is converted to its dtype. The loss is a scalar, or with LUCID_REDUCTION_NONE has the
 * input's sizes; the mean of nothing is NaN. Inside LUCID_AUTOCAST they compute in float32.
 * Errors: sizes that differ, a dtype or an option that is refused; NULL then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_LOSS_POINTWISE_H
#define LUCID_AUTOGRAD_OPS_LOSS_POINTWISE_H

#include "../../lucid/core/reduction.h"
#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- probabilities --------------------------------------------------------------------------- */

typedef struct lucid_binary_cross_entropy_options {
    LUCID_OPTIONS_SIZE(lucid_binary_cross_entropy_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL); /* of each element; broadcasts to the input */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_binary_cross_entropy_options;
LUCID_DEFAULTS(lucid_binary_cross_entropy, .weight = NULL, .reduction = LUCID_REDUCTION_MEAN);
/* -w (y log x + (1 - y) log(1 - x)) of probabilities x. Each logarithm is at least -100, so the
 * loss is finite at 0 and 1, and the derivative divides by at least 1e-12. Errors: an x outside
 * [0,1], for which the function waits for the device. Prefer the form with logits, which loses no
 * accuracy near 0 and 1. */
LUCID_API lucid_tensor *lucid_binary_cross_entropy_opt(
    lucid_tensor *input, lucid_tensor *target, const lucid_binary_cross_entropy_options *options);

typedef struct lucid_binary_cross_entropy_with_logits_options {
    LUCID_OPTIONS_SIZE(lucid_binary_cross_entropy_with_logits_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL); /* of each element; broadcasts to the input */
    /* p, the weight of positive examples, which broadcasts to the input: [C] for the last dim */
    lucid_tensor *pos_weight LUCID_DEFAULT(NULL);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_binary_cross_entropy_with_logits_options;
LUCID_DEFAULTS(lucid_binary_cross_entropy_with_logits, .weight = NULL, .pos_weight = NULL,
               .reduction = LUCID_REDUCTION_MEAN);
/* -w (p y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))), computed as
 * w ((1 - y) x + (1 + (p - 1) y) log(1 + e^-x)), which overflows nowhere. */
LUCID_API lucid_tensor *lucid_binary_cross_entropy_with_logits_opt(
    lucid_tensor *input, lucid_tensor *target,
    const lucid_binary_cross_entropy_with_logits_options *options);

typedef struct lucid_kl_div_options {
    LUCID_OPTIONS_SIZE(lucid_kl_div_options);
    /* LUCID_REDUCTION_MEAN (over elements, as PyTorch has it), _SUM, _NONE, or _BATCHMEAN: the
     * sum divided by the size of dimension 0, which is the divergence's definition */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN);
    bool log_target LUCID_DEFAULT(false); /* the target holds logarithms too */
} lucid_kl_div_options;
LUCID_DEFAULTS(lucid_kl_div, .reduction = LUCID_REDUCTION_MEAN, .log_target = false);
/* y (log y - x) of log-probabilities x and probabilities y (0 where y is 0), or with log_target
 * e^y (y - x): Kullback and Leibler's divergence. */
LUCID_API lucid_tensor *lucid_kl_div_opt(lucid_tensor *input, lucid_tensor *target,
                                         const lucid_kl_div_options *options);

typedef struct lucid_focal_loss_options {
    LUCID_OPTIONS_SIZE(lucid_focal_loss_options);
    double alpha LUCID_DEFAULT(0.25); /* weight of positives, 1 - alpha of the rest; < 0: none */
    double gamma LUCID_DEFAULT(2);    /* >= 0; how much easy examples count less */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_focal_loss_options;
LUCID_DEFAULTS(lucid_focal_loss, .alpha = 0.25, .gamma = 2, .reduction = LUCID_REDUCTION_MEAN);
/* a (1 - p)^gamma * binary cross-entropy of logits x, where p is the probability of the target
 * (Lin et al., 2017): torchvision's sigmoid_focal_loss, whose default is no reduction. */
LUCID_API lucid_tensor *lucid_focal_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                             const lucid_focal_loss_options *options);

typedef struct lucid_dice_loss_options {
    LUCID_OPTIONS_SIZE(lucid_dice_loss_options);
    double smooth LUCID_DEFAULT(1); /* >= 0; added above and below, so that nothing divides by 0 */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* over [N,C] */
} lucid_dice_loss_options;
LUCID_DEFAULTS(lucid_dice_loss, .smooth = 1, .reduction = LUCID_REDUCTION_MEAN);
/* 1 - (2 sum(x y) + smooth) / (sum(x) + sum(y) + smooth) of probabilities x [N,C,...], summed over
 * all dimensions after C (Milletari et al., 2016); unreduced [N,C]. The sizes are at least 3-d. */
LUCID_API lucid_tensor *lucid_dice_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                            const lucid_dice_loss_options *options);

/* ---- distances ------------------------------------------------------------------------------- */

typedef struct lucid_l1_loss_options {
    LUCID_OPTIONS_SIZE(lucid_l1_loss_options);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_l1_loss_options;
LUCID_DEFAULTS(lucid_l1_loss, .reduction = LUCID_REDUCTION_MEAN);
/* |x - y|; its derivative at 0 is 0. */
LUCID_API lucid_tensor *lucid_l1_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                          const lucid_l1_loss_options *options);

typedef struct lucid_smooth_l1_loss_options {
    LUCID_OPTIONS_SIZE(lucid_smooth_l1_loss_options);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
    double beta LUCID_DEFAULT(1); /* where the square becomes a line; >= 0; 0 is the L1 loss */
} lucid_smooth_l1_loss_options;
LUCID_DEFAULTS(lucid_smooth_l1_loss, .reduction = LUCID_REDUCTION_MEAN, .beta = 1);
/* 0.5 (x - y)^2 / beta where |x - y| < beta, else |x - y| - 0.5 beta (Girshick, 2015). */
LUCID_API lucid_tensor *lucid_smooth_l1_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                                 const lucid_smooth_l1_loss_options *options);

typedef struct lucid_huber_loss_options {
    LUCID_OPTIONS_SIZE(lucid_huber_loss_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL);          /* of each element, of the input's sizes */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
    double delta LUCID_DEFAULT(1);                     /* where the square becomes a line; > 0 */
} lucid_huber_loss_options;
LUCID_DEFAULTS(lucid_huber_loss, .weight = NULL, .reduction = LUCID_REDUCTION_MEAN, .delta = 1);
/* 0.5 (x - y)^2 where |x - y| < delta, else delta (|x - y| - 0.5 delta) (Huber, 1964). */
LUCID_API lucid_tensor *lucid_huber_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                             const lucid_huber_loss_options *options);

/* ---- likelihoods ----------------------------------------------------------------------------- */

typedef struct lucid_poisson_nll_loss_options {
    LUCID_OPTIONS_SIZE(lucid_poisson_nll_loss_options);
    bool log_input LUCID_DEFAULT(true); /* the input is the rate's logarithm */
    bool full LUCID_DEFAULT(false);     /* add Stirling's approximation of log(y!) where y > 1 */
    double eps LUCID_DEFAULT(1e-8);     /* added to the rate before its logarithm; >= 0 */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_poisson_nll_loss_options;
LUCID_DEFAULTS(lucid_poisson_nll_loss, .log_input = true, .full = false, .eps = 1e-8,
               .reduction = LUCID_REDUCTION_MEAN);
/* e^x - y x, or without log_input x - y log(x + eps): of counts y with Poisson's distribution. */
LUCID_API lucid_tensor *lucid_poisson_nll_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                                   const lucid_poisson_nll_loss_options *options);

typedef struct lucid_gaussian_nll_loss_options {
    LUCID_OPTIONS_SIZE(lucid_gaussian_nll_loss_options);
    bool full LUCID_DEFAULT(false);                    /* add the constant 0.5 log(2 pi) */
    double eps LUCID_DEFAULT(1e-6);                    /* the least variance; > 0 */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_gaussian_nll_loss_options;
LUCID_DEFAULTS(lucid_gaussian_nll_loss, .full = false, .eps = 1e-6,
               .reduction = LUCID_REDUCTION_MEAN);
/* 0.5 (log v + (x - y)^2 / v), v = max(var, eps), whose gradient passes to var unchanged. var has
 * the input's sizes, or these with a 1 for one of them, or without the last. Errors: a negative
 * var, for which the function waits for the device. */
LUCID_API lucid_tensor *lucid_gaussian_nll_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                                    lucid_tensor *var,
                                                    const lucid_gaussian_nll_loss_options *options);

/* ---- labels that are 1 or -1 ----------------------------------------------------------------- */

typedef struct lucid_soft_margin_loss_options {
    LUCID_OPTIONS_SIZE(lucid_soft_margin_loss_options);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_soft_margin_loss_options;
LUCID_DEFAULTS(lucid_soft_margin_loss, .reduction = LUCID_REDUCTION_MEAN);
/* log(1 + e^(-y x)), which here overflows nowhere. */
LUCID_API lucid_tensor *lucid_soft_margin_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                                   const lucid_soft_margin_loss_options *options);

typedef struct lucid_hinge_embedding_loss_options {
    LUCID_OPTIONS_SIZE(lucid_hinge_embedding_loss_options);
    double margin LUCID_DEFAULT(1);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_hinge_embedding_loss_options;
LUCID_DEFAULTS(lucid_hinge_embedding_loss, .margin = 1, .reduction = LUCID_REDUCTION_MEAN);
/* x where y is 1, max(0, margin - x) where it is -1 (and their sum where it is neither). */
LUCID_API lucid_tensor *lucid_hinge_embedding_loss_opt(
    lucid_tensor *input, lucid_tensor *target, const lucid_hinge_embedding_loss_options *options);

/* lucid_smooth_l1_loss(x, y, .beta = 0.1) */
#define lucid_binary_cross_entropy(...) LUC_LOSS_OF_2(lucid_binary_cross_entropy, __VA_ARGS__)
#define lucid_binary_cross_entropy_with_logits(...) \
    LUC_LOSS_OF_2(lucid_binary_cross_entropy_with_logits, __VA_ARGS__)
#define lucid_kl_div(...)               LUC_LOSS_OF_2(lucid_kl_div, __VA_ARGS__)
#define lucid_focal_loss(...)           LUC_LOSS_OF_2(lucid_focal_loss, __VA_ARGS__)
#define lucid_dice_loss(...)            LUC_LOSS_OF_2(lucid_dice_loss, __VA_ARGS__)
#define lucid_l1_loss(...)              LUC_LOSS_OF_2(lucid_l1_loss, __VA_ARGS__)
#define lucid_smooth_l1_loss(...)       LUC_LOSS_OF_2(lucid_smooth_l1_loss, __VA_ARGS__)
#define lucid_huber_loss(...)           LUC_LOSS_OF_2(lucid_huber_loss, __VA_ARGS__)
#define lucid_poisson_nll_loss(...)     LUC_LOSS_OF_2(lucid_poisson_nll_loss, __VA_ARGS__)
#define lucid_gaussian_nll_loss(...)    LUC_LOSS_OF_3(lucid_gaussian_nll_loss, __VA_ARGS__)
#define lucid_soft_margin_loss(...)     LUC_LOSS_OF_2(lucid_soft_margin_loss, __VA_ARGS__)
#define lucid_hinge_embedding_loss(...) LUC_LOSS_OF_2(lucid_hinge_embedding_loss, __VA_ARGS__)

/* How these calls are made: the function's name and its two or three tensors. */
#define LUC_LOSS_OF_2(name, ...) LUCID_CALL2(name##_opt, name, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define LUC_LOSS_OF_3(name, ...) \
    LUCID_CALL3(name##_opt, name, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

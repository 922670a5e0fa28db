/* loss_margin.h: losses of margins, and distances, as modules. Their functions and options are
 * in autograd/ops/loss_margin.h; a module keeps the options that its function takes.
 * Tensors among the options become buffers, of which the module takes a reference. Errors of the
 * constructors: the options that the function refuses. */
#ifndef LUCID_NN_LAYERS_LOSS_MARGIN_H
#define LUCID_NN_LAYERS_LOSS_MARGIN_H

#include "../../autograd/ops/loss_margin.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_margin_ranking_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_cosine_embedding_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_triplet_margin_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_triplet_margin_with_distance_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_multi_margin_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_multilabel_margin_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_multilabel_soft_margin_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_pairwise_distance_class;
LUCID_API extern const lucid_module_class lucid_nn_cosine_similarity_class;

typedef struct nn_MarginRankingLoss {
    lucid_module base;
    lucid_margin_ranking_loss_options options;
} nn_MarginRankingLoss;
typedef struct nn_CosineEmbeddingLoss {
    lucid_module base;
    lucid_cosine_embedding_loss_options options;
} nn_CosineEmbeddingLoss;
typedef struct nn_TripletMarginLoss {
    lucid_module base;
    lucid_triplet_margin_loss_options options;
} nn_TripletMarginLoss;
typedef struct nn_TripletMarginWithDistanceLoss {
    lucid_module base;
    lucid_triplet_margin_with_distance_loss_options options;
} nn_TripletMarginWithDistanceLoss;
typedef struct nn_MultiMarginLoss {
    lucid_module base;
    lucid_multi_margin_loss_options options;
} nn_MultiMarginLoss;
typedef struct nn_MultiLabelMarginLoss {
    lucid_module base;
    lucid_multilabel_margin_loss_options options;
} nn_MultiLabelMarginLoss;
typedef struct nn_MultiLabelSoftMarginLoss {
    lucid_module base;
    lucid_multilabel_soft_margin_loss_options options;
} nn_MultiLabelSoftMarginLoss;
typedef struct nn_PairwiseDistance {
    lucid_module base;
    lucid_pairwise_distance_options options;
} nn_PairwiseDistance;
typedef struct nn_CosineSimilarity {
    lucid_module base;
    lucid_cosine_similarity_options options;
} nn_CosineSimilarity;

/* Computes lucid_margin_ranking_loss: of two scores and which is to be larger.
 *
 *     lucid_module *m = nn_MarginRankingLoss(.margin = 0.5);
 *     lucid_tensor *loss = lucid_forward(m, input1, input2, target); */
LUCID_API lucid_module *lucid_nn_margin_ranking_loss(
    const lucid_margin_ranking_loss_options *options);
/* Computes lucid_cosine_embedding_loss: of two vectors and labels 1 or -1.
 *
 *     lucid_module *m = nn_CosineEmbeddingLoss(.margin = 0.2);
 *     lucid_tensor *loss = lucid_forward(m, input1, input2, target); */
LUCID_API lucid_module *lucid_nn_cosine_embedding_loss(
    const lucid_cosine_embedding_loss_options *options);
/* Computes lucid_triplet_margin_loss: of three vectors.
 *
 *     lucid_module *m = nn_TripletMarginLoss(.swap = true);
 *     lucid_tensor *loss = lucid_forward(m, anchor, positive, negative); */
LUCID_API lucid_module *lucid_nn_triplet_margin_loss(
    const lucid_triplet_margin_loss_options *options);
/* Computes lucid_triplet_margin_with_distance_loss: with a distance of your own, whose `user`
 * pointer must stay valid as long as the module.
 *
 *     lucid_module *m = nn_TripletMarginWithDistanceLoss(.distance = my_distance);
 *     lucid_tensor *loss = lucid_forward(m, anchor, positive, negative); */
LUCID_API lucid_module *lucid_nn_triplet_margin_with_distance_loss(
    const lucid_triplet_margin_with_distance_loss_options *options);
/* Computes lucid_multi_margin_loss: of scores and classes.
 *
 *     lucid_module *m = nn_MultiMarginLoss(.p = 2);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_multi_margin_loss(const lucid_multi_margin_loss_options *options);
/* Computes lucid_multilabel_margin_loss: of scores and lists of labels.
 *
 *     lucid_module *m = nn_MultiLabelMarginLoss();
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_multilabel_margin_loss(
    const lucid_multilabel_margin_loss_options *options);
/* Computes lucid_multilabel_soft_margin_loss: of logits and labels 0 or 1.
 *
 *     lucid_module *m = nn_MultiLabelSoftMarginLoss();
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_multilabel_soft_margin_loss(
    const lucid_multilabel_soft_margin_loss_options *options);
/* Computes lucid_pairwise_distance: the norm of a - b over the last dimension.
 *
 *     lucid_module *m = nn_PairwiseDistance(.p = 1);
 *     lucid_tensor *output = lucid_forward(m, a, b); */
LUCID_API lucid_module *lucid_nn_pairwise_distance(const lucid_pairwise_distance_options *options);
/* Computes lucid_cosine_similarity: along a dimension.
 *
 *     lucid_module *m = nn_CosineSimilarity(.dim = -1);
 *     lucid_tensor *output = lucid_forward(m, a, b); */
LUCID_API lucid_module *lucid_nn_cosine_similarity(const lucid_cosine_similarity_options *options);

#define nn_MarginRankingLoss(...) \
    LUCID_CALL0(lucid_nn_margin_ranking_loss, lucid_margin_ranking_loss, __VA_ARGS__)
#define nn_CosineEmbeddingLoss(...) \
    LUCID_CALL0(lucid_nn_cosine_embedding_loss, lucid_cosine_embedding_loss, __VA_ARGS__)
#define nn_TripletMarginLoss(...) \
    LUCID_CALL0(lucid_nn_triplet_margin_loss, lucid_triplet_margin_loss, __VA_ARGS__)
#define nn_TripletMarginWithDistanceLoss(...)               \
    LUCID_CALL0(lucid_nn_triplet_margin_with_distance_loss, \
                lucid_triplet_margin_with_distance_loss, __VA_ARGS__)
#define nn_MultiMarginLoss(...) \
    LUCID_CALL0(lucid_nn_multi_margin_loss, lucid_multi_margin_loss, __VA_ARGS__)
#define nn_MultiLabelMarginLoss(...) \
    LUCID_CALL0(lucid_nn_multilabel_margin_loss, lucid_multilabel_margin_loss, __VA_ARGS__)
#define nn_MultiLabelSoftMarginLoss(...)                                                 \
    LUCID_CALL0(lucid_nn_multilabel_soft_margin_loss, lucid_multilabel_soft_margin_loss, \
                __VA_ARGS__)
#define nn_PairwiseDistance(...) \
    LUCID_CALL0(lucid_nn_pairwise_distance, lucid_pairwise_distance, __VA_ARGS__)
#define nn_CosineSimilarity(...) \
    LUCID_CALL0(lucid_nn_cosine_similarity, lucid_cosine_similarity, __VA_ARGS__)

LUCID_END_DECLS
#endif

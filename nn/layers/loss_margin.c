/* loss_margin.c: losses of margins, and distances, as modules. */
#include "nn/layers/loss_margin.h"
#include "autograd/ops/loss_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/loss_priv.h"

LUC_LOSS_MODULE(MarginRankingLoss, margin_ranking_loss, "input1, input2, target", "loss",
                (in[0], in[1], in[2]))
LUC_LOSS_MODULE(CosineEmbeddingLoss, cosine_embedding_loss, "input1, input2, target", "loss",
                (in[0], in[1], in[2]))
LUC_LOSS_MODULE(TripletMarginLoss, triplet_margin_loss, "anchor, positive, negative", "loss",
                (in[0], in[1], in[2]))
LUC_LOSS_MODULE(TripletMarginWithDistanceLoss, triplet_margin_with_distance_loss,
                "anchor, positive, negative", "loss", (in[0], in[1], in[2]))
LUC_LOSS_MODULE(MultiMarginLoss, multi_margin_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(MultiLabelMarginLoss, multilabel_margin_loss, "input, target", "loss",
                (in[0], in[1]))
LUC_LOSS_MODULE(MultiLabelSoftMarginLoss, multilabel_soft_margin_loss, "input, target", "loss",
                (in[0], in[1]))
LUC_LOSS_MODULE(PairwiseDistance, pairwise_distance, "a, b", "output", (in[0], in[1]))
LUC_LOSS_MODULE(CosineSimilarity, cosine_similarity, "a, b", "output", (in[0], in[1]))

lucid_module *lucid_nn_margin_ranking_loss(const lucid_margin_ranking_loss_options *options)
{
    return make_margin_ranking_loss(options);
}

lucid_module *lucid_nn_cosine_embedding_loss(const lucid_cosine_embedding_loss_options *options)
{
    return make_cosine_embedding_loss(options);
}

lucid_module *lucid_nn_triplet_margin_loss(const lucid_triplet_margin_loss_options *options)
{
    return make_triplet_margin_loss(options);
}

lucid_module *lucid_nn_triplet_margin_with_distance_loss(
    const lucid_triplet_margin_with_distance_loss_options *options)
{
    return make_triplet_margin_with_distance_loss(options);
}

lucid_module *lucid_nn_multi_margin_loss(const lucid_multi_margin_loss_options *options)
{
    lucid_module *m = make_multi_margin_loss(options);
    nn_MultiMarginLoss *l = m ? lucid_self(m, nn_MultiMarginLoss) : NULL;
    if (!l) return NULL;
    lucid_tensor *weight = l->options.weight;
    l->options.weight = NULL;
    return luc_layer_done(m, lucid_register_buffer(m, "weight", &l->options.weight, weight));
}

lucid_module *lucid_nn_multilabel_margin_loss(const lucid_multilabel_margin_loss_options *options)
{
    return make_multilabel_margin_loss(options);
}

lucid_module *lucid_nn_multilabel_soft_margin_loss(
    const lucid_multilabel_soft_margin_loss_options *options)
{
    lucid_module *m = make_multilabel_soft_margin_loss(options);
    nn_MultiLabelSoftMarginLoss *l = m ? lucid_self(m, nn_MultiLabelSoftMarginLoss) : NULL;
    if (!l) return NULL;
    lucid_tensor *weight = l->options.weight;
    l->options.weight = NULL;
    return luc_layer_done(m, lucid_register_buffer(m, "weight", &l->options.weight, weight));
}

lucid_module *lucid_nn_pairwise_distance(const lucid_pairwise_distance_options *options)
{
    return make_pairwise_distance(options);
}

lucid_module *lucid_nn_cosine_similarity(const lucid_cosine_similarity_options *options)
{
    return make_cosine_similarity(options);
}

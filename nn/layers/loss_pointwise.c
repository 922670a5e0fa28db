/* loss_pointwise.c: losses of elements, as modules. */
#include "nn/layers/loss_pointwise.h"
#include "autograd/ops/loss_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/loss_priv.h"

LUC_LOSS_MODULE(BCELoss, binary_cross_entropy, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(BCEWithLogitsLoss, binary_cross_entropy_with_logits, "input, target", "loss",
                (in[0], in[1]))
LUC_LOSS_MODULE(KLDivLoss, kl_div, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(FocalLoss, focal_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(DiceLoss, dice_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(L1Loss, l1_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(SmoothL1Loss, smooth_l1_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(HuberLoss, huber_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(PoissonNLLLoss, poisson_nll_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(GaussianNLLLoss, gaussian_nll_loss, "input, target, var", "loss",
                (in[0], in[1], in[2]))
LUC_LOSS_MODULE(SoftMarginLoss, soft_margin_loss, "input, target", "loss", (in[0], in[1]))
LUC_LOSS_MODULE(HingeEmbeddingLoss, hinge_embedding_loss, "input, target", "loss", (in[0], in[1]))

lucid_module *lucid_nn_binary_cross_entropy(const lucid_binary_cross_entropy_options *options)
{
    lucid_module *m = make_binary_cross_entropy(options);
    nn_BCELoss *l = m ? lucid_self(m, nn_BCELoss) : NULL;
    if (!l) return NULL;
    lucid_tensor *weight = l->options.weight;
    l->options.weight = NULL;
    return luc_layer_done(m, lucid_register_buffer(m, "weight", &l->options.weight, weight));
}

lucid_module *lucid_nn_binary_cross_entropy_with_logits(
    const lucid_binary_cross_entropy_with_logits_options *options)
{
    lucid_module *m = make_binary_cross_entropy_with_logits(options);
    nn_BCEWithLogitsLoss *l = m ? lucid_self(m, nn_BCEWithLogitsLoss) : NULL;
    if (!l) return NULL;
    lucid_tensor *weight = l->options.weight;
    lucid_tensor *pos_weight = l->options.pos_weight;
    l->options.weight = NULL;
    l->options.pos_weight = NULL;
    return luc_layer_done(
        m, lucid_register_buffer(m, "weight", &l->options.weight, weight) &&
               lucid_register_buffer(m, "pos_weight", &l->options.pos_weight, pos_weight));
}

lucid_module *lucid_nn_kl_div(const lucid_kl_div_options *options)
{
    return make_kl_div(options);
}

lucid_module *lucid_nn_focal_loss(const lucid_focal_loss_options *options)
{
    return make_focal_loss(options);
}

lucid_module *lucid_nn_dice_loss(const lucid_dice_loss_options *options)
{
    return make_dice_loss(options);
}

lucid_module *lucid_nn_l1_loss(const lucid_l1_loss_options *options)
{
    return make_l1_loss(options);
}

lucid_module *lucid_nn_smooth_l1_loss(const lucid_smooth_l1_loss_options *options)
{
    return make_smooth_l1_loss(options);
}

lucid_module *lucid_nn_huber_loss(const lucid_huber_loss_options *options)
{
    lucid_module *m = make_huber_loss(options);
    nn_HuberLoss *l = m ? lucid_self(m, nn_HuberLoss) : NULL;
    if (!l) return NULL;
    lucid_tensor *weight = l->options.weight;
    l->options.weight = NULL;
    return luc_layer_done(m, lucid_register_buffer(m, "weight", &l->options.weight, weight));
}

lucid_module *lucid_nn_poisson_nll_loss(const lucid_poisson_nll_loss_options *options)
{
    return make_poisson_nll_loss(options);
}

lucid_module *lucid_nn_gaussian_nll_loss(const lucid_gaussian_nll_loss_options *options)
{
    return make_gaussian_nll_loss(options);
}

lucid_module *lucid_nn_soft_margin_loss(const lucid_soft_margin_loss_options *options)
{
    return make_soft_margin_loss(options);
}

lucid_module *lucid_nn_hinge_embedding_loss(const lucid_hinge_embedding_loss_options *options)
{
    return make_hinge_embedding_loss(options);
}

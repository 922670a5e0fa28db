/* loss_pointwise.h: losses of elements, as modules. Their functions and options are in
 * autograd/ops/loss_pointwise.h; a module keeps the options that its function takes.
 * Tensors among the options become buffers, of which the module takes a reference. Errors of the
 * constructors: the options that the function refuses. */
#ifndef LUCID_NN_LAYERS_LOSS_POINTWISE_H
#define LUCID_NN_LAYERS_LOSS_POINTWISE_H

#include "../../autograd/ops/loss_pointwise.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_binary_cross_entropy_class;
LUCID_API extern const lucid_module_class lucid_nn_binary_cross_entropy_with_logits_class;
LUCID_API extern const lucid_module_class lucid_nn_kl_div_class;
LUCID_API extern const lucid_module_class lucid_nn_focal_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_dice_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_l1_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_smooth_l1_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_huber_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_poisson_nll_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_gaussian_nll_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_soft_margin_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_hinge_embedding_loss_class;

typedef struct nn_BCELoss {
    lucid_module base;
    lucid_binary_cross_entropy_options options;
} nn_BCELoss;
typedef struct nn_BCEWithLogitsLoss {
    lucid_module base;
    lucid_binary_cross_entropy_with_logits_options options;
} nn_BCEWithLogitsLoss;
typedef struct nn_KLDivLoss {
    lucid_module base;
    lucid_kl_div_options options;
} nn_KLDivLoss;
typedef struct nn_FocalLoss {
    lucid_module base;
    lucid_focal_loss_options options;
} nn_FocalLoss;
typedef struct nn_DiceLoss {
    lucid_module base;
    lucid_dice_loss_options options;
} nn_DiceLoss;
typedef struct nn_L1Loss {
    lucid_module base;
    lucid_l1_loss_options options;
} nn_L1Loss;
typedef struct nn_SmoothL1Loss {
    lucid_module base;
    lucid_smooth_l1_loss_options options;
} nn_SmoothL1Loss;
typedef struct nn_HuberLoss {
    lucid_module base;
    lucid_huber_loss_options options;
} nn_HuberLoss;
typedef struct nn_PoissonNLLLoss {
    lucid_module base;
    lucid_poisson_nll_loss_options options;
} nn_PoissonNLLLoss;
typedef struct nn_GaussianNLLLoss {
    lucid_module base;
    lucid_gaussian_nll_loss_options options;
} nn_GaussianNLLLoss;
typedef struct nn_SoftMarginLoss {
    lucid_module base;
    lucid_soft_margin_loss_options options;
} nn_SoftMarginLoss;
typedef struct nn_HingeEmbeddingLoss {
    lucid_module base;
    lucid_hinge_embedding_loss_options options;
} nn_HingeEmbeddingLoss;

/* Computes lucid_binary_cross_entropy: of probabilities and targets in [0,1].
 *
 *     lucid_module *m = nn_BCELoss();
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_binary_cross_entropy(
    const lucid_binary_cross_entropy_options *options);
/* Computes lucid_binary_cross_entropy_with_logits: of logits and targets in [0,1].
 *
 *     lucid_module *m = nn_BCEWithLogitsLoss(.pos_weight = lucid_values((1), 3));
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_binary_cross_entropy_with_logits(
    const lucid_binary_cross_entropy_with_logits_options *options);
/* Computes lucid_kl_div: of log-probabilities and probabilities.
 *
 *     lucid_module *m = nn_KLDivLoss(.reduction = LUCID_REDUCTION_BATCHMEAN);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_kl_div(const lucid_kl_div_options *options);
/* Computes lucid_focal_loss: of logits and targets in [0,1].
 *
 *     lucid_module *m = nn_FocalLoss(.gamma = 1.5);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_focal_loss(const lucid_focal_loss_options *options);
/* Computes lucid_dice_loss: of probabilities [N,C,...] and masks.
 *
 *     lucid_module *m = nn_DiceLoss(.smooth = 0.1);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_dice_loss(const lucid_dice_loss_options *options);
/* Computes lucid_l1_loss: |input - target|, reduced.
 *
 *     lucid_module *m = nn_L1Loss();
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_l1_loss(const lucid_l1_loss_options *options);
/* Computes lucid_smooth_l1_loss: a square near 0 and a line beyond it.
 *
 *     lucid_module *m = nn_SmoothL1Loss(.beta = 0.1);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_smooth_l1_loss(const lucid_smooth_l1_loss_options *options);
/* Computes lucid_huber_loss: a square near 0 and a line beyond it.
 *
 *     lucid_module *m = nn_HuberLoss(.delta = 0.5);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_huber_loss(const lucid_huber_loss_options *options);
/* Computes lucid_poisson_nll_loss: of rates, or their logarithms, and counts.
 *
 *     lucid_module *m = nn_PoissonNLLLoss(.full = true);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_poisson_nll_loss(const lucid_poisson_nll_loss_options *options);
/* Computes lucid_gaussian_nll_loss: of expected values, targets and variances.
 *
 *     lucid_module *m = nn_GaussianNLLLoss();
 *     lucid_tensor *loss = lucid_forward(m, input, target, var); */
LUCID_API lucid_module *lucid_nn_gaussian_nll_loss(const lucid_gaussian_nll_loss_options *options);
/* Computes lucid_soft_margin_loss: of scores and labels 1 or -1.
 *
 *     lucid_module *m = nn_SoftMarginLoss();
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_soft_margin_loss(const lucid_soft_margin_loss_options *options);
/* Computes lucid_hinge_embedding_loss: of distances and labels 1 or -1.
 *
 *     lucid_module *m = nn_HingeEmbeddingLoss(.margin = 2);
 *     lucid_tensor *loss = lucid_forward(m, input, target); */
LUCID_API lucid_module *lucid_nn_hinge_embedding_loss(
    const lucid_hinge_embedding_loss_options *options);

#define nn_BCELoss(...) \
    LUCID_CALL0(lucid_nn_binary_cross_entropy, lucid_binary_cross_entropy, __VA_ARGS__)
#define nn_BCEWithLogitsLoss(...)                                                                  \
    LUCID_CALL0(lucid_nn_binary_cross_entropy_with_logits, lucid_binary_cross_entropy_with_logits, \
                __VA_ARGS__)
#define nn_KLDivLoss(...)    LUCID_CALL0(lucid_nn_kl_div, lucid_kl_div, __VA_ARGS__)
#define nn_FocalLoss(...)    LUCID_CALL0(lucid_nn_focal_loss, lucid_focal_loss, __VA_ARGS__)
#define nn_DiceLoss(...)     LUCID_CALL0(lucid_nn_dice_loss, lucid_dice_loss, __VA_ARGS__)
#define nn_L1Loss(...)       LUCID_CALL0(lucid_nn_l1_loss, lucid_l1_loss, __VA_ARGS__)
#define nn_SmoothL1Loss(...) LUCID_CALL0(lucid_nn_smooth_l1_loss, lucid_smooth_l1_loss, __VA_ARGS__)
#define nn_HuberLoss(...)    LUCID_CALL0(lucid_nn_huber_loss, lucid_huber_loss, __VA_ARGS__)
#define nn_PoissonNLLLoss(...) \
    LUCID_CALL0(lucid_nn_poisson_nll_loss, lucid_poisson_nll_loss, __VA_ARGS__)
#define nn_GaussianNLLLoss(...) \
    LUCID_CALL0(lucid_nn_gaussian_nll_loss, lucid_gaussian_nll_loss, __VA_ARGS__)
#define nn_SoftMarginLoss(...) \
    LUCID_CALL0(lucid_nn_soft_margin_loss, lucid_soft_margin_loss, __VA_ARGS__)
#define nn_HingeEmbeddingLoss(...) \
    LUCID_CALL0(lucid_nn_hinge_embedding_loss, lucid_hinge_embedding_loss, __VA_ARGS__)

LUCID_END_DECLS
#endif

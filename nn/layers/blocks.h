/* blocks.h: blocks of which networks for images are built, with torchvision's names (those of
 * torchvision.ops). */
#ifndef LUCID_NN_LAYERS_BLOCKS_H
#define LUCID_NN_LAYERS_BLOCKS_H

#include "../../lucid/core/options.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_conv2d_norm_activation_class;
LUCID_API extern const lucid_module_class lucid_nn_squeeze_excitation_class;
LUCID_API extern const lucid_module_class lucid_nn_stochastic_depth_class;
LUCID_API extern const lucid_module_class lucid_nn_frozen_batch_norm2d_class;
LUCID_API extern const lucid_module_class lucid_nn_permute_class;

/* ---- convolution, normalisation, activation -------------------------------------------------- */

/* An activation among a block's options. */
typedef enum lucid_activation {
    LUCID_ACTIVATION_NONE,
    LUCID_ACTIVATION_RELU,
    LUCID_ACTIVATION_RELU6,
    LUCID_ACTIVATION_HARDSWISH,
    LUCID_ACTIVATION_HARDSIGMOID,
    LUCID_ACTIVATION_SILU,
    LUCID_ACTIVATION_SIGMOID,
    LUCID_ACTIVATION_GELU
} lucid_activation;

typedef struct lucid_nn_conv2d_norm_activation_options {
    LUCID_OPTIONS_SIZE(lucid_nn_conv2d_norm_activation_options);
    lucid_extent stride LUCID_DEFAULT(1);
    int64_t padding LUCID_DEFAULT(-1); /* -1: (kernel - 1) / 2 * dilation, which keeps the size */
    int64_t dilation LUCID_DEFAULT(1);
    int64_t groups LUCID_DEFAULT(1);
    bool norm LUCID_DEFAULT(true);      /* BatchNorm2d; without it the convolution has a bias */
    double eps LUCID_DEFAULT(1e-5);     /* the norm's */
    double momentum LUCID_DEFAULT(0.1); /* the norm's */
    lucid_activation activation LUCID_DEFAULT(LUCID_ACTIVATION_RELU);
} lucid_nn_conv2d_norm_activation_options;
LUCID_DEFAULTS(lucid_nn_conv2d_norm_activation, .stride = 1, .padding = -1, .dilation = 1,
               .groups = 1, .norm = true, .eps = 1e-5, .momentum = 0.1,
               .activation = LUCID_ACTIVATION_RELU);

/* nn_Sequential of a convolution, BatchNorm2d and an activation: "0", "1" and "2".
 * Shape: [N,in,H,W] gives [N,out,H',W'].
 *
 *     lucid_module *stem = nn_Conv2dNormActivation(3, 32, 3, .stride = 2); */
LUCID_API lucid_module *lucid_nn_conv2d_norm_activation(
    int64_t in_channels, int64_t out_channels, int64_t kernel,
    const lucid_nn_conv2d_norm_activation_options *options);
#define nn_Conv2dNormActivation(...)                                                          \
    LUCID_CALL3(lucid_nn_conv2d_norm_activation, lucid_nn_conv2d_norm_activation, LUCID_ASIS, \
                LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* ---- squeeze and excitation ------------------------------------------------------------------ */

typedef struct nn_SqueezeExcitation {
    lucid_module base;
    lucid_module *avgpool, *fc1, *fc2, *activation, *scale_activation;
} nn_SqueezeExcitation;

typedef struct lucid_nn_squeeze_excitation_options {
    LUCID_OPTIONS_SIZE(lucid_nn_squeeze_excitation_options);
    lucid_activation activation LUCID_DEFAULT(LUCID_ACTIVATION_RELU);
    lucid_activation scale_activation LUCID_DEFAULT(LUCID_ACTIVATION_SIGMOID);
} lucid_nn_squeeze_excitation_options;
LUCID_DEFAULTS(lucid_nn_squeeze_excitation, .activation = LUCID_ACTIVATION_RELU,
               .scale_activation = LUCID_ACTIVATION_SIGMOID);

/* Multiplies each channel by a weight that is computed from the means of all channels (Hu et al.,
 * 2018): x scale(fc2(activation(fc1(mean x)))).
 * Shape: [N,C,H,W] gives the same; fc1 has `squeeze` outputs.
 *
 *     lucid_module *se = nn_SqueezeExcitation(64, 16); */
LUCID_API lucid_module *lucid_nn_squeeze_excitation(
    int64_t channels, int64_t squeeze, const lucid_nn_squeeze_excitation_options *options);
#define nn_SqueezeExcitation(...)                                                                 \
    LUCID_CALL2(lucid_nn_squeeze_excitation, lucid_nn_squeeze_excitation, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)

/* ---- stochastic depth ------------------------------------------------------------------------ */

typedef struct nn_StochasticDepth {
    lucid_module base;
    double p;
    bool batch;
} nn_StochasticDepth;

typedef struct lucid_stochastic_depth_options {
    LUCID_OPTIONS_SIZE(lucid_stochastic_depth_options);
    bool batch LUCID_DEFAULT(false);   /* all samples of a batch together, not each for itself */
    bool training LUCID_DEFAULT(true); /* of the function: false returns x itself */
} lucid_stochastic_depth_options;
LUCID_DEFAULTS(lucid_stochastic_depth, .batch = false, .training = true);

/* Sets samples of x [N,...] to 0 with probability p, and divides the others by 1 - p (Huang et al.,
 * 2016). p is in [0, 1]. */
LUCID_API lucid_tensor *lucid_stochastic_depth_opt(lucid_tensor *x, double p,
                                                   const lucid_stochastic_depth_options *options);
#define lucid_stochastic_depth(...)                                                         \
    LUCID_CALL2(lucid_stochastic_depth_opt, lucid_stochastic_depth, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)
/* The same as a module, in training only: on the branch of a residual block that may be left out.
 *
 *     lucid_module *drop = nn_StochasticDepth(0.1); */
LUCID_API lucid_module *lucid_nn_stochastic_depth(double p,
                                                  const lucid_stochastic_depth_options *options);
#define nn_StochasticDepth(...) \
    LUCID_CALL1(lucid_nn_stochastic_depth, lucid_stochastic_depth, LUCID_ASIS, __VA_ARGS__)

/* ---- others ---------------------------------------------------------------------------------- */

typedef struct nn_FrozenBatchNorm2d {
    lucid_module base;
    lucid_tensor *weight, *bias, *running_mean, *running_var; /* buffers [C] */
    double eps;
} nn_FrozenBatchNorm2d;

typedef struct lucid_nn_frozen_batch_norm2d_options {
    LUCID_OPTIONS_SIZE(lucid_nn_frozen_batch_norm2d_options);
    double eps LUCID_DEFAULT(1e-5); /* added to the variance; >= 0 */
} lucid_nn_frozen_batch_norm2d_options;
LUCID_DEFAULTS(lucid_nn_frozen_batch_norm2d, .eps = 1e-5);

/* BatchNorm2d whose statistics and parameters never change, in training neither: all four are
 * buffers. It loads the state of a BatchNorm2d, without num_batches_tracked.
 * Shape: [N,C,H,W] gives the same.
 *
 *     lucid_module *bn = nn_FrozenBatchNorm2d(64); */
LUCID_API lucid_module *lucid_nn_frozen_batch_norm2d(
    int64_t channels, const lucid_nn_frozen_batch_norm2d_options *options);
#define nn_FrozenBatchNorm2d(...) \
    LUCID_CALL1(lucid_nn_frozen_batch_norm2d, lucid_nn_frozen_batch_norm2d, LUCID_ASIS, __VA_ARGS__)

typedef struct nn_Permute {
    lucid_module base;
    lucid_shape dims;
} nn_Permute;

/* Another order of dimensions, as a view: nn_Permute((0, 2, 3, 1)) makes [N,C,H,W] [N,H,W,C]. */
LUCID_API lucid_module *lucid_nn_permute(lucid_shape dims);
#define nn_Permute(dims) lucid_nn_permute(LUCID_SHAPE_OF(dims))

LUCID_END_DECLS
#endif

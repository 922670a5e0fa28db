/* norms.h: normalisation over groups of channels, trailing dimensions and single images, as
 * modules. Their functions are in autograd/ops/norms.h.
 *
 *     y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias            Var is biased
 *
 * Parameters are called weight and bias, as in PyTorch; they begin as ones and zeros. An input of
 * 16 bits is normalised in float32, with parameters of either dtype. Errors of the constructors:
 * sizes and options that are refused; the result is NULL then. */
#ifndef LUCID_NN_LAYERS_NORMS_H
#define LUCID_NN_LAYERS_NORMS_H

#include "../../autograd/ops/norms.h"
#include "batchnorm.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_group_norm_class;
LUCID_API extern const lucid_module_class lucid_nn_layer_norm_class;
LUCID_API extern const lucid_module_class lucid_nn_rms_norm_class;
LUCID_API extern const lucid_module_class lucid_nn_instance_norm1d_class;
LUCID_API extern const lucid_module_class lucid_nn_instance_norm2d_class;
LUCID_API extern const lucid_module_class lucid_nn_instance_norm3d_class;
LUCID_API extern const lucid_module_class lucid_nn_local_response_norm_class;

typedef struct nn_GroupNorm {
    lucid_module base;
    int64_t num_groups, num_channels;
    double eps;
    lucid_tensor *weight, *bias; /* [C]; NULL where affine is false */
} nn_GroupNorm;
typedef struct nn_LayerNorm {
    lucid_module base;
    lucid_shape normalized_shape;
    double eps;
    lucid_tensor *weight, *bias; /* of normalized_shape, or NULL */
} nn_LayerNorm;
typedef struct nn_RMSNorm {
    lucid_module base;
    lucid_shape normalized_shape;
    double eps;           /* -1: as lucid_rms_norm_options says */
    lucid_tensor *weight; /* of normalized_shape, or NULL */
} nn_RMSNorm;
/* A class on BatchNorm's base: the same state, of which affine and tracking are off by default. */
typedef struct nn_InstanceNorm1d {
    nn_BatchNormBase base;
} nn_InstanceNorm1d;
typedef struct nn_InstanceNorm2d {
    nn_BatchNormBase base;
} nn_InstanceNorm2d;
typedef struct nn_InstanceNorm3d {
    nn_BatchNormBase base;
} nn_InstanceNorm3d;
typedef struct nn_LocalResponseNorm {
    lucid_module base;
    int64_t size;
    lucid_local_response_norm_options options;
} nn_LocalResponseNorm;

typedef struct lucid_nn_group_norm_options {
    LUCID_OPTIONS_SIZE(lucid_nn_group_norm_options);
    double eps LUCID_DEFAULT(1e-5);  /* added to the variance; >= 0 */
    bool affine LUCID_DEFAULT(true); /* has a learned weight and bias */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_group_norm_options;
LUCID_DEFAULTS(lucid_nn_group_norm, .eps = 1e-5, .affine = true, .device = {LUCID_CPU, 0},
               .dtype = LUCID_F32);

typedef struct lucid_nn_layer_norm_options {
    LUCID_OPTIONS_SIZE(lucid_nn_layer_norm_options);
    double eps LUCID_DEFAULT(1e-5);              /* added to the variance; >= 0 */
    bool elementwise_affine LUCID_DEFAULT(true); /* has a learned weight, and a bias if */
    bool bias LUCID_DEFAULT(true);               /* this is true too */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_layer_norm_options;
LUCID_DEFAULTS(lucid_nn_layer_norm, .eps = 1e-5, .elementwise_affine = true, .bias = true,
               .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

typedef struct lucid_nn_rms_norm_options {
    LUCID_OPTIONS_SIZE(lucid_nn_rms_norm_options);
    double eps LUCID_DEFAULT(-1); /* >= 0; -1: the distance from 1 to the next number */
    bool elementwise_affine LUCID_DEFAULT(true); /* has a learned weight */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_rms_norm_options;
LUCID_DEFAULTS(lucid_nn_rms_norm, .eps = -1, .elementwise_affine = true, .device = {LUCID_CPU, 0},
               .dtype = LUCID_F32);

typedef struct lucid_nn_instance_norm_options {
    LUCID_OPTIONS_SIZE(lucid_nn_instance_norm_options);
    double eps LUCID_DEFAULT(1e-5);                /* added to the variance; >= 0 */
    double momentum LUCID_DEFAULT(0.1);            /* of the running statistics, in [0, 1] */
    bool affine LUCID_DEFAULT(false);              /* has a learned weight and bias */
    bool track_running_stats LUCID_DEFAULT(false); /* in eval, normalise by running statistics */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_instance_norm_options;
LUCID_DEFAULTS(lucid_nn_instance_norm, .eps = 1e-5, .momentum = 0.1, .affine = false,
               .track_running_stats = false, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Statistics of each sample's groups of channels. Shape: [N,C,...], and the same comes out.
 * num_groups divides num_channels.
 *
 *     lucid_module *norm = nn_GroupNorm(8, 64); */
LUCID_API lucid_module *lucid_nn_group_norm(int64_t num_groups, int64_t num_channels,
                                            const lucid_nn_group_norm_options *options);
/* Statistics over the last dimensions, whose sizes are normalized_shape. Shape: [...,*sizes].
 *
 *     lucid_module *norm = nn_LayerNorm(64), *other = nn_LayerNorm((8, 8), .bias = false); */
LUCID_API lucid_module *lucid_nn_layer_norm(lucid_shape normalized_shape,
                                            const lucid_nn_layer_norm_options *options);
/* x / sqrt(E[x^2] + eps) * weight over the last dimensions. Shape: [...,*sizes].
 *
 *     lucid_module *norm = nn_RMSNorm(64, .eps = 1e-6); */
LUCID_API lucid_module *lucid_nn_rms_norm(lucid_shape normalized_shape,
                                          const lucid_nn_rms_norm_options *options);
/* Statistics of each sample's channels. Shape: [N,C,L], [N,C,H,W] and [N,C,D,H,W], or the same
 * without N. A single value per channel is an error where the input's statistics are used.
 *
 *     lucid_module *norm = nn_InstanceNorm2d(64, .affine = true); */
LUCID_API lucid_module *lucid_nn_instance_norm1d(int64_t num_features,
                                                 const lucid_nn_instance_norm_options *options);
LUCID_API lucid_module *lucid_nn_instance_norm2d(int64_t num_features,
                                                 const lucid_nn_instance_norm_options *options);
LUCID_API lucid_module *lucid_nn_instance_norm3d(int64_t num_features,
                                                 const lucid_nn_instance_norm_options *options);
/* Computes lucid_local_response_norm over `size` channels.
 *
 *     lucid_module *norm = nn_LocalResponseNorm(5, .k = 2); */
LUCID_API lucid_module *lucid_nn_local_response_norm(
    int64_t size, const lucid_local_response_norm_options *options);

#define nn_GroupNorm(...) \
    LUCID_CALL2(lucid_nn_group_norm, lucid_nn_group_norm, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define nn_LayerNorm(...) \
    LUCID_CALL1(lucid_nn_layer_norm, lucid_nn_layer_norm, LUCID_SHAPE_OF, __VA_ARGS__)
#define nn_RMSNorm(...) \
    LUCID_CALL1(lucid_nn_rms_norm, lucid_nn_rms_norm, LUCID_SHAPE_OF, __VA_ARGS__)
#define nn_InstanceNorm1d(...)     LUC_INSTANCE_NORM(lucid_nn_instance_norm1d, __VA_ARGS__)
#define nn_InstanceNorm2d(...)     LUC_INSTANCE_NORM(lucid_nn_instance_norm2d, __VA_ARGS__)
#define nn_InstanceNorm3d(...)     LUC_INSTANCE_NORM(lucid_nn_instance_norm3d, __VA_ARGS__)
#define LUC_INSTANCE_NORM(fn, ...) LUCID_CALL1(fn, lucid_nn_instance_norm, LUCID_ASIS, __VA_ARGS__)
#define nn_LocalResponseNorm(...) \
    LUCID_CALL1(lucid_nn_local_response_norm, lucid_local_response_norm, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

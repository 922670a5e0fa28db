/* batchnorm.h: batch normalisation (Ioffe and Szegedy, 2015): BatchNorm1d, 2d and 3d on one base.
 *
 *     y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias           per channel; Var is biased
 *
 * In training E and Var are the batch's, and the running statistics follow them:
 *     running_mean <- (1-m) running_mean + m E[x]
 *     running_var  <- (1-m) running_var  + m Var[x] * n/(n-1)       n values a channel
 * In eval the running statistics are used, as constants. Without them (track_running_stats = false)
 * the batch's statistics are used in eval too. A single value a channel cannot be normalised by its
 * own statistics: that is an error. See docs/batchnorm2d.md. */
#ifndef LUCID_NN_LAYERS_BATCHNORM_H
#define LUCID_NN_LAYERS_BATCHNORM_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_batch_norm_base_class;
LUCID_API extern const lucid_module_class lucid_nn_batch_norm1d_class;
LUCID_API extern const lucid_module_class lucid_nn_batch_norm2d_class;
LUCID_API extern const lucid_module_class lucid_nn_batch_norm3d_class;

/* .momentum = LUCID_MOMENTUM_NONE: the running statistics are the plain average of all batches. */
#define LUCID_MOMENTUM_NONE (-1.0)

/* What the family shares. Its state is, in this order: weight, bias, running_mean, running_var,
 * num_batches_tracked. A layer for another rank embeds it and defines its own check_input. */
typedef struct nn_BatchNormBase {
    lucid_module base;
    int64_t num_features;
    double eps, momentum;
    bool affine;
    bool track_running_stats;    /* false, if set later: training does not change the buffers */
    lucid_tensor *weight, *bias; /* [C]; NULL where affine is false */
    lucid_tensor *running_mean, *running_var; /* [C]; NULL where nothing is tracked */
    lucid_tensor *num_batches_tracked;        /* 0-d int64; NULL where nothing is tracked */
} nn_BatchNormBase;
typedef struct nn_BatchNorm1d {
    nn_BatchNormBase base;
} nn_BatchNorm1d;
typedef struct nn_BatchNorm2d {
    nn_BatchNormBase base;
} nn_BatchNorm2d;
typedef struct nn_BatchNorm3d {
    nn_BatchNormBase base;
} nn_BatchNorm3d;

typedef struct lucid_nn_batch_norm_options {
    LUCID_OPTIONS_SIZE(lucid_nn_batch_norm_options);
    double eps LUCID_DEFAULT(1e-5); /* added to the variance; >= 0 */
    /* The momentum m of the running statistics, in [0, 1], where new = (1-m) old + m batch; or
     * LUCID_MOMENTUM_NONE. */
    double momentum LUCID_DEFAULT(0.1);
    bool affine LUCID_DEFAULT(true); /* has a learned weight and bias */
    bool track_running_stats LUCID_DEFAULT(true);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_batch_norm_options;
LUCID_DEFAULTS(lucid_nn_batch_norm, .eps = 1e-5, .momentum = 0.1, .affine = true,
               .track_running_stats = true, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Shape: [N,C] or [N,C,L], and the same comes out. C = num_features >= 0.
 *
 *     lucid_module *bn = nn_BatchNorm1d(100);
 *     lucid_tensor *y = lucid_forward(bn, lucid_randn((20, 100))); */
LUCID_API lucid_module *lucid_nn_batch_norm1d(int64_t num_features,
                                              const lucid_nn_batch_norm_options *options);
/* Shape: [N,C,H,W], and the same comes out, in the same memory format.
 *
 *     lucid_module *bn = nn_BatchNorm2d(64, .momentum = 0.05);
 *     lucid_tensor *y = lucid_forward(bn, lucid_randn((8, 64, 32, 32))); */
LUCID_API lucid_module *lucid_nn_batch_norm2d(int64_t num_features,
                                              const lucid_nn_batch_norm_options *options);
/* Shape: [N,C,D,H,W], and the same comes out, in the same memory format.
 *
 *     lucid_module *bn = nn_BatchNorm3d(16);
 *     lucid_tensor *y = lucid_forward(bn, lucid_randn((2, 16, 8, 32, 32))); */
LUCID_API lucid_module *lucid_nn_batch_norm3d(int64_t num_features,
                                              const lucid_nn_batch_norm_options *options);
/* For your own class on this base: makes a module of the class and registers its state. */
LUCID_API lucid_module *lucid_nn_batch_norm_new(const lucid_module_class *cls, int64_t num_features,
                                                const lucid_nn_batch_norm_options *options);
/* Sets running_mean to 0, running_var to 1 and num_batches_tracked to 0, where they exist. */
LUCID_API bool lucid_batch_norm_reset_running_stats(lucid_module *batch_norm);

#define nn_BatchNorm1d(...)     LUC_BATCH_NORM(lucid_nn_batch_norm1d, __VA_ARGS__)
#define nn_BatchNorm2d(...)     LUC_BATCH_NORM(lucid_nn_batch_norm2d, __VA_ARGS__)
#define nn_BatchNorm3d(...)     LUC_BATCH_NORM(lucid_nn_batch_norm3d, __VA_ARGS__)
#define LUC_BATCH_NORM(fn, ...) LUCID_CALL1(fn, lucid_nn_batch_norm, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

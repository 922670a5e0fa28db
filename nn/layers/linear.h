/* linear.h: the fully connected layer. */
#ifndef LUCID_NN_LAYERS_LINEAR_H
#define LUCID_NN_LAYERS_LINEAR_H

#include "nn/module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_linear_class;

typedef struct nn_Linear {
    lucid_module base;
    int64_t in_features, out_features;
    lucid_tensor *weight; /* [out_features, in_features] */
    lucid_tensor *bias;   /* [out_features] or NULL */
} nn_Linear;

typedef struct lucid_nn_linear_options {
    bool bias; /* add a learned bias */
    lucid_device device;
    lucid_dtype dtype;
} lucid_nn_linear_options;
#define LUCID_NN_LINEAR_DEFAULTS .bias = true, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32
LUCID_API extern const lucid_nn_linear_options lucid_nn_linear_defaults;

/* y = x W^T + b. Sizes >= 0 (at least one input to be initialised from).
 * Shape: [..., in_features] gives [..., out_features].
 * First values: weight and bias uniform in +-1/sqrt(in_features).
 *
 *     lucid_module *fc = nn_Linear(128, 10);
 *     lucid_tensor *y = lucid_forward(fc, lucid_randn((64, 128)));    // [64,10] */
LUCID_API lucid_module *lucid_nn_linear(int64_t in_features, int64_t out_features,
                                        const lucid_nn_linear_options *options);
#ifndef __cplusplus
#define nn_Linear(in_features, ...)                      \
    LUCID_CALL(lucid_module *,                           \
               lucid_nn_linear(                          \
                   in_features, LUCID_HEAD(__VA_ARGS__), \
                   &(lucid_nn_linear_options){LUCID_NN_LINEAR_DEFAULTS, LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

/* linear.h: the fully connected layer. */
#ifndef LUCID_NN_LAYERS_LINEAR_H
#define LUCID_NN_LAYERS_LINEAR_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_linear_class;

typedef struct nn_Linear {
    lucid_module base;
    int64_t in_features, out_features;
    lucid_tensor *weight; /* [out_features, in_features] */
    lucid_tensor *bias;   /* [out_features] or NULL */
} nn_Linear;

typedef struct lucid_nn_linear_options {
    LUCID_OPTIONS_SIZE(lucid_nn_linear_options);
    bool bias LUCID_DEFAULT(true); /* adds a learned bias */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_linear_options;
LUCID_DEFAULTS(lucid_nn_linear, .bias = true, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* y = x W^T + b. Sizes are >= 0, and in_features >= 1 for the initial values.
 * Shape: [..., in_features] gives [..., out_features].
 * First values: weight and bias uniform in +-1/sqrt(in_features).
 *
 *     lucid_module *fc = nn_Linear(128, 10);
 *     lucid_tensor *y = lucid_forward(fc, lucid_randn((64, 128)));    // [64,10] */
LUCID_API lucid_module *lucid_nn_linear(int64_t in_features, int64_t out_features,
                                        const lucid_nn_linear_options *options);
#define nn_Linear(...) \
    LUCID_CALL2(lucid_nn_linear, lucid_nn_linear, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

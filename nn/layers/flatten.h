/* flatten.h: joining dimensions. */
#ifndef LUCID_NN_LAYERS_FLATTEN_H
#define LUCID_NN_LAYERS_FLATTEN_H

#include "nn/module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_flatten_class;

typedef struct nn_Flatten {
    lucid_module base;
    int start_dim, end_dim;
} nn_Flatten;

typedef struct lucid_nn_flatten_options {
    int start_dim, end_dim; /* negative ones count from the end */
} lucid_nn_flatten_options;
#define LUCID_NN_FLATTEN_DEFAULTS .start_dim = 1, .end_dim = -1
LUCID_API extern const lucid_nn_flatten_options lucid_nn_flatten_defaults;

/* Joins dimensions start_dim to end_dim into one. Shape: [N,C,H,W] gives [N,C*H*W] by default.
 *
 *     lucid_module *flat = nn_Flatten();
 *     lucid_tensor *y = lucid_forward(flat, lucid_randn((64, 8, 7, 7)));    // [64,392] */
LUCID_API lucid_module *lucid_nn_flatten(const lucid_nn_flatten_options *options);
#ifndef __cplusplus
#define nn_Flatten(...)                                                      \
    LUCID_CALL(lucid_module *, lucid_nn_flatten(&(lucid_nn_flatten_options){ \
                                   LUCID_NN_FLATTEN_DEFAULTS, __VA_ARGS__}))
#endif

LUCID_END_DECLS
#endif

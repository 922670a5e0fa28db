/* flatten.h: joining dimensions. */
#ifndef LUCID_NN_LAYERS_FLATTEN_H
#define LUCID_NN_LAYERS_FLATTEN_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_flatten_class;

typedef struct nn_Flatten {
    lucid_module base;
    int start_dim, end_dim;
} nn_Flatten;

typedef struct lucid_nn_flatten_options {
    LUCID_OPTIONS_SIZE(lucid_nn_flatten_options);
    int start_dim LUCID_DEFAULT(1), end_dim
        LUCID_DEFAULT(-1); /* negative ones count from the end */
} lucid_nn_flatten_options;
LUCID_DEFAULTS(lucid_nn_flatten, .start_dim = 1, .end_dim = -1);

/* Joins dimensions start_dim to end_dim into one. Shape: [N,C,H,W] gives [N,C*H*W] by default.
 *
 *     lucid_module *flat = nn_Flatten();
 *     lucid_tensor *y = lucid_forward(flat, lucid_randn((64, 8, 7, 7)));    // [64,392] */
LUCID_API lucid_module *lucid_nn_flatten(const lucid_nn_flatten_options *options);
#define nn_Flatten(...) LUCID_CALL0(lucid_nn_flatten, lucid_nn_flatten, __VA_ARGS__)

LUCID_END_DECLS
#endif

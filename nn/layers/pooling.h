/* pooling.h: 2-d pooling layers. They have no parameters. */
#ifndef LUCID_NN_LAYERS_POOLING_H
#define LUCID_NN_LAYERS_POOLING_H

#include "../../autograd/ops/pooling.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_max_pool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_avg_pool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_avg_pool2d_class;

typedef struct nn_MaxPool2d {
    lucid_module base;
    lucid_extent kernel;
    lucid_max_pool2d_options options;
} nn_MaxPool2d;
typedef struct nn_AvgPool2d {
    lucid_module base;
    lucid_extent kernel;
    lucid_avg_pool2d_options options;
} nn_AvgPool2d;
typedef struct nn_AdaptiveAvgPool2d {
    lucid_module base;
    lucid_extent output;
} nn_AdaptiveAvgPool2d;

/* The options are those of the functions (autograd/ops/pooling.h).
 * Shape: [N,C,H,W] (or without N) gives [N,C,H',W'],
 *     H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down (ceil_mode: up).
 *
 * A second output gives the places of the largest, h W + w (PyTorch's return_indices).
 *
 *     lucid_module *pool = nn_MaxPool2d(3, .stride = 2, .padding = 1);
 *     lucid_tensor *y = lucid_forward(pool, lucid_randn((1, 64, 112, 112)));    // [1,64,56,56] */
LUCID_API lucid_module *lucid_nn_max_pool2d(lucid_extent kernel,
                                            const lucid_max_pool2d_options *options);
/* The mean of each window.
 *
 *     lucid_module *pool = nn_AvgPool2d(2);
 *     lucid_tensor *y = lucid_forward(pool, lucid_randn((1, 8, 28, 28)));    // [1,8,14,14] */
LUCID_API lucid_module *lucid_nn_avg_pool2d(lucid_extent kernel,
                                            const lucid_avg_pool2d_options *options);
/* The mean of windows that are chosen so that the output has the wanted size, >= 1;
 * LUCID_KEEP is that of the input.
 * Shape: [N,C,H,W] (or without N) gives [N,C,h,w].
 *
 *     lucid_module *pool = nn_AdaptiveAvgPool2d(1);
 *     lucid_tensor *y = lucid_forward(pool, lucid_randn((1, 512, 7, 7)));    // [1,512,1,1] */
LUCID_API lucid_module *lucid_nn_adaptive_avg_pool2d(lucid_extent output);

#define nn_MaxPool2d(...) \
    LUCID_CALL1(lucid_nn_max_pool2d, lucid_max_pool2d, LUCID_EXTENT_OF, __VA_ARGS__)
#define nn_AvgPool2d(...) \
    LUCID_CALL1(lucid_nn_avg_pool2d, lucid_avg_pool2d, LUCID_EXTENT_OF, __VA_ARGS__)
/* nn_AdaptiveAvgPool2d((4, 7)) */
#define nn_AdaptiveAvgPool2d(output) lucid_nn_adaptive_avg_pool2d(LUCID_EXTENT_OF(output))

LUCID_END_DECLS
#endif

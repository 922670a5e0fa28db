/* pooling.h: 2-d pooling layers. They have no parameters. */
#ifndef LUCID_NN_LAYERS_POOLING_H
#define LUCID_NN_LAYERS_POOLING_H

#include "autograd/ops/pooling.h"
#include "nn/module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_max_pool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_avg_pool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_avg_pool2d_class;

typedef struct nn_MaxPool2d {
    lucid_module base;
    int64_t kernel;
    lucid_pool2d_options options;
} nn_MaxPool2d;
typedef struct nn_AvgPool2d {
    lucid_module base;
    int64_t kernel;
    lucid_pool2d_options options;
} nn_AvgPool2d;
typedef struct nn_AdaptiveAvgPool2d {
    lucid_module base;
    int64_t output[2]; /* [0] is height, [1] is width */
    bool square;       /* given as one number */
} nn_AdaptiveAvgPool2d;

/* The options of both are those of the functions (autograd/ops/pooling.h): .kernel_w, .stride (the
 * window's size by default), .stride_w, .padding, .padding_w, .ceil_mode; .dilation and .dilation_w
 * for max; .count_include_pad and .divisor_override for avg.
 * Shape: [N,C,H,W] (or without N) gives [N,C,H',W'],
 *     H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down (ceil_mode: up).
 *
 *     lucid_module *pool = nn_MaxPool2d(3, .stride = 2, .padding = 1);
 *     lucid_tensor *y = lucid_forward(pool, lucid_randn((1, 64, 112, 112)));    // [1,64,56,56] */
LUCID_API lucid_module *lucid_nn_max_pool2d(int64_t kernel, const lucid_pool2d_options *options);
/* The mean of each window.
 *
 *     lucid_module *pool = nn_AvgPool2d(2);
 *     lucid_tensor *y = lucid_forward(pool, lucid_randn((1, 8, 28, 28)));    // [1,8,14,14] */
LUCID_API lucid_module *lucid_nn_avg_pool2d(int64_t kernel, const lucid_pool2d_options *options);

typedef struct lucid_nn_adaptive_pool2d_options {
    int64_t output_w; /* LUCID_SAME: the output is square */
} lucid_nn_adaptive_pool2d_options;
#define LUCID_NN_ADAPTIVE_POOL2D_DEFAULTS .output_w = LUCID_SAME
LUCID_API extern const lucid_nn_adaptive_pool2d_options lucid_nn_adaptive_pool2d_defaults;

/* The mean of windows that are chosen so that the output has the wanted size, >= 1.
 * Shape: [N,C,H,W] (or without N) gives [N,C,output,output_w].
 *
 *     lucid_module *pool = nn_AdaptiveAvgPool2d(1);
 *     lucid_tensor *y = lucid_forward(pool, lucid_randn((1, 512, 7, 7)));    // [1,512,1,1] */
LUCID_API lucid_module *lucid_nn_adaptive_avg_pool2d(
    int64_t output, const lucid_nn_adaptive_pool2d_options *options);

#ifndef __cplusplus
#define LUC_POOL2D(fn, ...)    \
    LUCID_CALL(lucid_module *, \
               fn(LUCID_HEAD(__VA_ARGS__), LUC_POOL2D_OPTIONS(LUCID_TAIL(__VA_ARGS__))))
#define nn_MaxPool2d(...) LUC_POOL2D(lucid_nn_max_pool2d, __VA_ARGS__)
#define nn_AvgPool2d(...) LUC_POOL2D(lucid_nn_avg_pool2d, __VA_ARGS__)
/* nn_AdaptiveAvgPool2d(3, .output_w = 4) */
#define nn_AdaptiveAvgPool2d(...)                                                                  \
    LUCID_CALL(lucid_module *, lucid_nn_adaptive_avg_pool2d(LUCID_HEAD(__VA_ARGS__),               \
                                                            &(lucid_nn_adaptive_pool2d_options){   \
                                                                LUCID_NN_ADAPTIVE_POOL2D_DEFAULTS, \
                                                                LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

/* convolution.h: convolution layers. */
#ifndef LUCID_NN_LAYERS_CONVOLUTION_H
#define LUCID_NN_LAYERS_CONVOLUTION_H

#include "autograd/ops/convolution.h" /* LUCID_SAME */
#include "nn/module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_conv2d_class;

typedef struct nn_Conv2d {
    lucid_module base;
    int64_t in_channels, out_channels;
    int64_t kernel[2], stride[2], padding[2], dilation[2]; /* [0] is height, [1] is width */
    int64_t groups;
    lucid_tensor *weight; /* [out_channels, in_channels/groups, kH, kW] */
    lucid_tensor *bias;   /* [out_channels] or NULL */
} nn_Conv2d;

typedef struct lucid_nn_conv2d_options {
    int64_t kernel_w;             /* LUCID_SAME: the kernel is square */
    int64_t stride, stride_w;     /* >= 1 */
    int64_t padding, padding_w;   /* zeros around the image; >= 0 */
    int64_t dilation, dilation_w; /* distance between kernel elements; >= 1 */
    int64_t groups;               /* divides both numbers of channels */
    bool bias;                    /* add a learned bias */
    lucid_device device;
    lucid_dtype dtype;
} lucid_nn_conv2d_options;
#define LUCID_NN_CONV2D_DEFAULTS                                                                 \
    .kernel_w = LUCID_SAME, .stride = 1, .stride_w = LUCID_SAME, .padding = 0,                   \
    .padding_w = LUCID_SAME, .dilation = 1, .dilation_w = LUCID_SAME, .groups = 1, .bias = true, \
    .device = {LUCID_CPU, 0}, .dtype = LUCID_F32
LUCID_API extern const lucid_nn_conv2d_options lucid_nn_conv2d_defaults;

/* 2-d convolution (cross-correlation). kernel is the window's height, and its width unless
 * .kernel_w says otherwise; so with stride, padding and dilation.
 * Shape: [N,in_channels,H,W] (or without N) gives [N,out_channels,H',W'],
 *     H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
 * First values: weight and bias uniform in +-1/sqrt(in_channels / groups * kH * kW).
 *
 *     lucid_module *conv = nn_Conv2d(3, 64, 7, .stride = 2, .padding = 3, .bias = false);
 *     lucid_tensor *y = lucid_forward(conv, lucid_randn((1, 3, 224, 224)));    // [1,64,112,112] */
LUCID_API lucid_module *lucid_nn_conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                        const lucid_nn_conv2d_options *options);
#ifndef __cplusplus
#define nn_Conv2d(in_channels, out_channels, ...)                      \
    LUCID_CALL(lucid_module *,                                         \
               lucid_nn_conv2d(                                        \
                   in_channels, out_channels, LUCID_HEAD(__VA_ARGS__), \
                   &(lucid_nn_conv2d_options){LUCID_NN_CONV2D_DEFAULTS, LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

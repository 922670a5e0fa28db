/* convolution.h: convolution layers. */
#ifndef LUCID_NN_LAYERS_CONVOLUTION_H
#define LUCID_NN_LAYERS_CONVOLUTION_H

#include "../../autograd/ops/padding.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_conv2d_class;

typedef struct nn_Conv2d {
    lucid_module base;
    int64_t in_channels, out_channels;
    int64_t kernel[2], stride[2], padding[2], dilation[2]; /* [0] is height, [1] is width */
    int64_t groups;
    lucid_tensor *weight; /* [out_channels, in_channels/groups, kH, kW] */
    lucid_tensor *bias;   /* [out_channels] or NULL */
    bool same;            /* padding is LUCID_SAME */
    lucid_pad_mode padding_mode;
} nn_Conv2d;

/* Extents: one number for both directions, or lucid_pair(height, width). */
typedef struct lucid_nn_conv2d_options {
    LUCID_OPTIONS_SIZE(lucid_nn_conv2d_options);
    lucid_extent stride LUCID_DEFAULT(1);   /* >= 1 */
    lucid_extent padding LUCID_DEFAULT(0);  /* around the image; >= 0, or LUCID_SAME */
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between kernel elements; >= 1 */
    int64_t groups LUCID_DEFAULT(1);        /* divides both numbers of channels */
    bool bias LUCID_DEFAULT(true);          /* adds a learned bias */
    /* what the padding is: zeros, or as lucid_pad has it */
    lucid_pad_mode padding_mode LUCID_DEFAULT(LUCID_PAD_CONSTANT);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_conv2d_options;
LUCID_DEFAULTS(lucid_nn_conv2d, .stride = 1, .padding = 0, .dilation = 1, .groups = 1, .bias = true,
               .padding_mode = LUCID_PAD_CONSTANT, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* 2-d convolution (cross-correlation). kernel is the window's size.
 * Shape: [N,in_channels,H,W] (or without N) gives [N,out_channels,H',W'],
 *     H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
 * First values: weight and bias uniform in +-1/sqrt(in_channels / groups * kH * kW).
 *
 *     lucid_module *conv = nn_Conv2d(3, 64, 7, .stride = 2, .padding = 3, .bias = false);
 *     lucid_tensor *y = lucid_forward(conv, lucid_randn((1, 3, 224, 224)));    // [1,64,112,112] */
LUCID_API lucid_module *lucid_nn_conv2d(int64_t in_channels, int64_t out_channels,
                                        lucid_extent kernel,
                                        const lucid_nn_conv2d_options *options);
/* nn_Conv2d(3, 64, 3);  nn_Conv2d(3, 64, (3, 5), .padding = lucid_pair(1, 2)) */
#define nn_Conv2d(...)                                                                     \
    LUCID_CALL3(lucid_nn_conv2d, lucid_nn_conv2d, LUCID_ASIS, LUCID_ASIS, LUCID_EXTENT_OF, \
                __VA_ARGS__)

LUCID_END_DECLS
#endif

/* convolution.h: 2-d convolution (cross-correlation, as in every framework). */
#ifndef LUCID_AUTOGRAD_OPS_CONVOLUTION_H
#define LUCID_AUTOGRAD_OPS_CONVOLUTION_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* A padding with which the output has the input's size, at stride 1: dilation (k - 1) zeros, of
 * which an odd one goes to the right or below. */
#define LUCID_SAME INT64_MIN

/* Extents: one number for both directions, or lucid_pair(height, width). */
typedef struct lucid_conv2d_options {
    LUCID_OPTIONS_SIZE(lucid_conv2d_options);
    lucid_extent stride LUCID_DEFAULT(1);   /* >= 1 */
    lucid_extent padding LUCID_DEFAULT(0);  /* zeros around the image; >= 0, or LUCID_SAME */
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between kernel elements; >= 1 */
    int64_t groups LUCID_DEFAULT(1);        /* divides C and O; >= 1 */
} lucid_conv2d_options;
LUCID_DEFAULTS(lucid_conv2d, .stride = 1, .padding = 0, .dilation = 1, .groups = 1);

/* x [N,C,H,W] or [C,H,W], weight [O,C/groups,kH,kW], bias [O] or NULL: [N,O,H',W'] with
 * H' = (H + 2 padding - dilation (kH - 1) - 1) / stride + 1. A kernel larger than the padded image
 * is an error. The result may be channels_last in memory. */
LUCID_API lucid_tensor *lucid_conv2d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                                         const lucid_conv2d_options *options);

typedef struct lucid_conv2d_batch_norm_options {
    LUCID_OPTIONS_SIZE(lucid_conv2d_batch_norm_options);
    lucid_conv2d_options conv LUCID_DEFAULT({});
    lucid_tensor *bias LUCID_DEFAULT(NULL);        /* the convolution's, [O] or NULL */
    lucid_tensor *norm_weight LUCID_DEFAULT(NULL); /* [O] or NULL: 1 */
    lucid_tensor *norm_bias LUCID_DEFAULT(NULL);   /* [O] or NULL: 0 */
    lucid_tensor *running_mean LUCID_DEFAULT(NULL), *running_var LUCID_DEFAULT(NULL); /* [O] */
    double eps LUCID_DEFAULT(1e-5);
    /* Of the result's shape and dtype, or NULL: added at the end. */
    lucid_tensor *residual LUCID_DEFAULT(NULL);
    bool relu LUCID_DEFAULT(false); /* then ReLU */
} lucid_conv2d_batch_norm_options;
LUCID_DEFAULTS(lucid_conv2d_batch_norm,
               .conv = {.struct_size = sizeof(lucid_conv2d_options),
                        .stride = 1,
                        .padding = 0,
                        .dilation = 1,
                        .groups = 1},
               .bias = NULL, .norm_weight = NULL, .norm_bias = NULL, .running_mean = NULL,
               .running_var = NULL, .eps = 1e-5, .residual = NULL, .relu = false);

/* For inference: batch normalisation with running statistics of a convolution,
 *     max(0, batch_norm(conv2d(x, weight, bias)) + residual),
 * with the results of the three operators but for rounding (in 16 bits, what goes between them is
 * not rounded), and without their passes over memory. x [N,C,H,W], weight [O,C/groups,kH,kW]. Where
 * a gradient is to be recorded, it is the three operators. Errors: theirs; running statistics
 * missing. */
LUCID_API lucid_tensor *lucid_conv2d_batch_norm_opt(lucid_tensor *x, lucid_tensor *weight,
                                                    const lucid_conv2d_batch_norm_options *options);

/* lucid_conv2d_batch_norm(x, weight, .conv.padding = 1, .running_mean = m, .running_var = v) */
#define lucid_conv2d_batch_norm(...)                                                          \
    LUCID_CALL2(lucid_conv2d_batch_norm_opt, lucid_conv2d_batch_norm, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)
/* lucid_conv2d(x, weight);  lucid_conv2d(x, weight, bias, .stride = 2, .padding = 1): options
 * need the bias before them, or NULL. */
#define lucid_conv2d(...)  LUCID_CAT(LUC_CONV2D_, LUC_TWO(__VA_ARGS__))(__VA_ARGS__)
#define LUC_CONV2D_1(x)    lucid_conv2d_needs_x_and_weight
#define LUC_CONV2D_2(x, w) LUC_CONV2D_MORE(x, w, NULL)
#define LUC_CONV2D_MORE(...) \
    LUCID_CALL3(lucid_conv2d_opt, lucid_conv2d, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

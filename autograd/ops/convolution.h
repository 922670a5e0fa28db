/* convolution.h: 2-d convolution (cross-correlation, as in every framework). */
#ifndef LUCID_AUTOGRAD_OPS_CONVOLUTION_H
#define LUCID_AUTOGRAD_OPS_CONVOLUTION_H

#include "autograd/op.h"

LUCID_BEGIN_DECLS

#define LUCID_SAME INT64_MIN /* a width that is the same as the height */

typedef struct lucid_conv2d_options {
    int64_t stride, stride_w;     /* both directions, unless the width's is given; >= 1 */
    int64_t padding, padding_w;   /* zeros around the image; >= 0 */
    int64_t dilation, dilation_w; /* distance between kernel elements; >= 1 */
    int64_t groups;               /* divides C and O; >= 1 */
} lucid_conv2d_options;
#define LUCID_CONV2D_DEFAULTS                                                                  \
    .stride = 1, .stride_w = LUCID_SAME, .padding = 0, .padding_w = LUCID_SAME, .dilation = 1, \
    .dilation_w = LUCID_SAME, .groups = 1
LUCID_API extern const lucid_conv2d_options lucid_conv2d_defaults;

/* x [N,C,H,W] or [C,H,W], weight [O,C/groups,kH,kW], bias [O] or NULL: [N,O,H',W'] with
 * H' = (H + 2 padding - dilation (kH - 1) - 1) / stride + 1. A kernel larger than the padded image
 * is an error. The result may be channels_last in memory. */
LUCID_API lucid_tensor *lucid_conv2d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                                         const lucid_conv2d_options *options);

/* conv2d, and the mean and the biased variance of its result's channels, [O] of float64: what
 * batch_norm takes as .mean and .var, so that in training it need not read the result to find them.
 * They are found while the result is in the cache, and are constants: no gradient goes through them
 * (batch_norm's x has their part). Where they cannot be found so (other dtypes than float32, other
 * devices than the CPU, x [C,H,W], inside LUCID_AUTOCAST), *mean and *var are NULL, which batch_norm
 * takes as well. mean and var must not be NULL. Errors: conv2d's; *mean and *var are NULL then. */
LUCID_API lucid_tensor *lucid_conv2d_statistics_opt(lucid_tensor *x, lucid_tensor *weight,
                                                    lucid_tensor *bias, lucid_tensor **mean,
                                                    lucid_tensor **var,
                                                    const lucid_conv2d_options *options);

typedef struct lucid_conv2d_batch_norm_options {
    lucid_conv2d_options conv;
    lucid_tensor *bias;                       /* the convolution's, [O] or NULL */
    lucid_tensor *norm_weight, *norm_bias;    /* [O] or NULL: 1 and 0 */
    lucid_tensor *running_mean, *running_var; /* [O] */
    double eps;
    lucid_tensor *residual; /* of the result's shape and dtype, or NULL: added at the end */
    bool relu;              /* then ReLU */
} lucid_conv2d_batch_norm_options;
#define LUCID_CONV2D_BATCH_NORM_DEFAULTS                                                   \
    .conv = {LUCID_CONV2D_DEFAULTS}, .bias = NULL, .norm_weight = NULL, .norm_bias = NULL, \
    .running_mean = NULL, .running_var = NULL, .eps = 1e-5, .residual = NULL, .relu = false
LUCID_API extern const lucid_conv2d_batch_norm_options lucid_conv2d_batch_norm_defaults;

/* For inference: batch normalisation with running statistics of a convolution,
 *     max(0, batch_norm(conv2d(x, weight, bias)) + residual),
 * with the results of the three operators but for rounding (in 16 bits, what goes between them is not
 * rounded), and without their passes over memory. x [N,C,H,W], weight [O,C/groups,kH,kW]. Where a
 * gradient is to be recorded, it is the three operators. Errors: theirs; running statistics missing. */
LUCID_API lucid_tensor *lucid_conv2d_batch_norm_opt(lucid_tensor *x, lucid_tensor *weight,
                                                    const lucid_conv2d_batch_norm_options *options);

#ifndef __cplusplus
/* lucid_conv2d_batch_norm(x, weight, .conv.padding = 1, .running_mean = m, .running_var = v) */
#define lucid_conv2d_batch_norm(x, ...)                                                          \
    LUCID_CALL(lucid_tensor *, lucid_conv2d_batch_norm_opt(x, LUCID_HEAD(__VA_ARGS__),           \
                                                           &(lucid_conv2d_batch_norm_options){   \
                                                               LUCID_CONV2D_BATCH_NORM_DEFAULTS, \
                                                               LUCID_TAIL(__VA_ARGS__)}))
/* lucid_conv2d_statistics(x, weight, bias, &mean, &var, .padding = 1) */
#define lucid_conv2d_statistics(x, weight, bias, mean, ...)        \
    LUCID_CALL(lucid_tensor *,                                     \
               lucid_conv2d_statistics_opt(                        \
                   x, weight, bias, mean, LUCID_HEAD(__VA_ARGS__), \
                   &(lucid_conv2d_options){LUCID_CONV2D_DEFAULTS, LUCID_TAIL(__VA_ARGS__)}))
/* lucid_conv2d(x, weight, bias, .padding = 1) */
#define lucid_conv2d(x, weight, ...)                                                           \
    LUCID_CALL(lucid_tensor *, lucid_conv2d_opt(x, weight, LUCID_HEAD(__VA_ARGS__),            \
                                                &(lucid_conv2d_options){LUCID_CONV2D_DEFAULTS, \
                                                                        LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

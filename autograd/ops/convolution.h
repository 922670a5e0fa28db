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
#ifndef __cplusplus
/* lucid_conv2d(x, weight, bias, .padding = 1) */
#define lucid_conv2d(x, weight, ...)                                                           \
    LUCID_CALL(lucid_tensor *, lucid_conv2d_opt(x, weight, LUCID_HEAD(__VA_ARGS__),            \
                                                &(lucid_conv2d_options){LUCID_CONV2D_DEFAULTS, \
                                                                        LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

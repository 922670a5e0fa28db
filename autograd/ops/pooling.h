/* pooling.h: 2-d pooling of [N,C,H,W] or [C,H,W]. */
#ifndef LUCID_AUTOGRAD_OPS_POOLING_H
#define LUCID_AUTOGRAD_OPS_POOLING_H

#include "autograd/op.h"
#include "autograd/ops/convolution.h" /* LUCID_SAME */

LUCID_BEGIN_DECLS

#define LUCID_KERNEL INT64_MIN /* a stride that is the same as the kernel's size */

typedef struct lucid_pool2d_options {
    int64_t kernel_w;             /* LUCID_SAME: the window is square */
    int64_t stride, stride_w;     /* LUCID_KERNEL: as the window */
    int64_t padding, padding_w;   /* at most half the window */
    int64_t dilation, dilation_w; /* max pooling only */
    bool ceil_mode;               /* round the output's size up */
    bool count_include_pad;       /* average: padding counts as zeros */
    int64_t divisor_override;     /* average: divide by this; 0: by the window */
} lucid_pool2d_options;
#define LUCID_POOL2D_DEFAULTS                                                             \
    .kernel_w = LUCID_SAME, .stride = LUCID_KERNEL, .stride_w = LUCID_SAME, .padding = 0, \
    .padding_w = LUCID_SAME, .dilation = 1, .dilation_w = LUCID_SAME, .ceil_mode = false, \
    .count_include_pad = true, .divisor_override = 0
LUCID_API extern const lucid_pool2d_options lucid_pool2d_defaults;

/* The largest of each window (a NaN wins); the gradient goes to the first largest. Takes integers, too,
 * as PyTorch does; only bool is refused. */
LUCID_API lucid_tensor *lucid_max_pool2d_opt(lucid_tensor *x, int64_t kernel,
                                             const lucid_pool2d_options *options);
LUCID_API lucid_tensor *lucid_avg_pool2d_opt(lucid_tensor *x, int64_t kernel,
                                             const lucid_pool2d_options *options);
/* Windows of i*H/h .. ceil((i+1)*H/h): the output is [N,C,h,w]. */
LUCID_API lucid_tensor *lucid_adaptive_avg_pool2d(lucid_tensor *x, int64_t h, int64_t w);
#ifndef __cplusplus
#define LUC_POOL2D_OPTIONS(...) (&(lucid_pool2d_options){LUCID_POOL2D_DEFAULTS, __VA_ARGS__})
/* lucid_max_pool2d(x, 2); lucid_avg_pool2d(x, 3, .stride = 2, .padding = 1) */
#define lucid_max_pool2d(x, ...)                                                \
    LUCID_CALL(lucid_tensor *, lucid_max_pool2d_opt(x, LUCID_HEAD(__VA_ARGS__), \
                                                    LUC_POOL2D_OPTIONS(LUCID_TAIL(__VA_ARGS__))))
#define lucid_avg_pool2d(x, ...)                                                \
    LUCID_CALL(lucid_tensor *, lucid_avg_pool2d_opt(x, LUCID_HEAD(__VA_ARGS__), \
                                                    LUC_POOL2D_OPTIONS(LUCID_TAIL(__VA_ARGS__))))
#endif

LUCID_END_DECLS
#endif

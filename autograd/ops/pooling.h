/* pooling.h: 2-d pooling of [N,C,H,W] or [C,H,W]. */
#ifndef LUCID_AUTOGRAD_OPS_POOLING_H
#define LUCID_AUTOGRAD_OPS_POOLING_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

#define LUCID_KERNEL INT64_MIN /* a stride that is the same as the kernel's size */
#define LUCID_KEEP   (-1)      /* a size of adaptive pooling: that of the input */

/* Extents: one number for both directions, or lucid_pair(height, width). */
typedef struct lucid_max_pool2d_options {
    LUCID_OPTIONS_SIZE(lucid_max_pool2d_options);
    lucid_extent stride LUCID_DEFAULT(LUCID_KERNEL); /* LUCID_KERNEL: as the window */
    lucid_extent padding LUCID_DEFAULT(0);           /* at most half the window */
    lucid_extent dilation LUCID_DEFAULT(1);          /* distance between the window's elements */
    bool ceil_mode LUCID_DEFAULT(false);             /* round the output's size up */
} lucid_max_pool2d_options;
LUCID_DEFAULTS(lucid_max_pool2d, .stride = LUCID_KERNEL, .padding = 0, .dilation = 1,
               .ceil_mode = false);

typedef struct lucid_avg_pool2d_options {
    LUCID_OPTIONS_SIZE(lucid_avg_pool2d_options);
    lucid_extent stride LUCID_DEFAULT(LUCID_KERNEL); /* LUCID_KERNEL: as the window */
    lucid_extent padding LUCID_DEFAULT(0);           /* at most half the window */
    bool ceil_mode LUCID_DEFAULT(false);             /* round the output's size up */
    bool count_include_pad LUCID_DEFAULT(true);      /* padding counts as zeros */
    int64_t divisor_override LUCID_DEFAULT(0);       /* divide by this; 0: by the window */
} lucid_avg_pool2d_options;
LUCID_DEFAULTS(lucid_avg_pool2d, .stride = LUCID_KERNEL, .padding = 0, .ceil_mode = false,
               .count_include_pad = true, .divisor_override = 0);

/* The largest of each window (a NaN wins); the gradient goes to the first largest. Takes integers,
 * too, as PyTorch does; only bool is refused. */
LUCID_API lucid_tensor *lucid_max_pool2d_opt(lucid_tensor *x, lucid_extent kernel,
                                             const lucid_max_pool2d_options *options);
LUCID_API lucid_tensor *lucid_avg_pool2d_opt(lucid_tensor *x, lucid_extent kernel,
                                             const lucid_avg_pool2d_options *options);
/* Windows of i*H/h .. ceil((i+1)*H/h): the output is [N,C,h,w]. LUCID_KEEP is H or W. */
LUCID_API lucid_tensor *lucid_adaptive_avg_pool2d_opt(lucid_tensor *x, lucid_extent size);
/* lucid_max_pool2d(x, 2);  lucid_avg_pool2d(x, (3, 2), .stride = 2, .padding = 1) */
#define lucid_max_pool2d(...) LUC_POOL2D(lucid_max_pool2d, __VA_ARGS__)
#define lucid_avg_pool2d(...) LUC_POOL2D(lucid_avg_pool2d, __VA_ARGS__)
#define LUC_POOL2D(name, ...) \
    LUCID_CALL2(name##_opt, name, LUCID_ASIS, LUCID_EXTENT_OF, __VA_ARGS__)
/* lucid_adaptive_avg_pool2d(x, 1);  lucid_adaptive_avg_pool2d(x, (4, 7)) */
#define lucid_adaptive_avg_pool2d(x, size) \
    LUCID_STRICT(lucid_adaptive_avg_pool2d_opt(x, LUCID_EXTENT_OF(size)))

LUCID_END_DECLS
#endif

/* pooling_nd.h: pooling of one and three dimensions, winners, adaptive maxima, means of powers.
 *
 * x is [N,C,L], [N,C,H,W] or [N,C,D,H,W], or without N. Extents are one number, in 2d also
 * lucid_pair, in 3d lucid_triple. Options are those of 2d pooling (pooling.h). Floating dtypes, and
 * integers for maxima; differentiable any number of times. Errors: windows that do not fit, a
 * padding of more than half the window; NULL then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_POOLING_ND_H
#define LUCID_AUTOGRAD_OPS_POOLING_ND_H

#include "pooling.h"
#include "../../lucid/core/tensor.h"
#include "../../lucid/core/triple.h"

LUCID_BEGIN_DECLS

/* Maxima, and the place of each in its plane: h W + w in 2d, (d H + h) W + w in 3d; int64. Both are
 * NULL after an error. */
typedef struct lucid_pooled {
    lucid_tensor *values, *indices;
} lucid_pooled;

typedef struct lucid_lp_pool_options {
    LUCID_OPTIONS_SIZE(lucid_lp_pool_options);
    lucid_extent stride LUCID_DEFAULT(LUCID_KERNEL); /* LUCID_KERNEL: as the window */
    bool ceil_mode LUCID_DEFAULT(false);             /* round the output's size up */
} lucid_lp_pool_options;
LUCID_DEFAULTS(lucid_lp_pool, .stride = LUCID_KERNEL, .ceil_mode = false);

/* The largest of each window. */
LUCID_API lucid_tensor *lucid_max_pool1d_opt(lucid_tensor *x, lucid_extent kernel,
                                             const lucid_max_pool2d_options *options);
LUCID_API lucid_tensor *lucid_max_pool3d_opt(lucid_tensor *x, lucid_extent kernel,
                                             const lucid_max_pool2d_options *options);
/* The same with the places of the largest. */
LUCID_API lucid_pooled lucid_max_pool1d_with_indices_opt(lucid_tensor *x, lucid_extent kernel,
                                                         const lucid_max_pool2d_options *options);
LUCID_API lucid_pooled lucid_max_pool2d_with_indices_opt(lucid_tensor *x, lucid_extent kernel,
                                                         const lucid_max_pool2d_options *options);
LUCID_API lucid_pooled lucid_max_pool3d_with_indices_opt(lucid_tensor *x, lucid_extent kernel,
                                                         const lucid_max_pool2d_options *options);
/* The mean of each window. */
LUCID_API lucid_tensor *lucid_avg_pool1d_opt(lucid_tensor *x, lucid_extent kernel,
                                             const lucid_avg_pool2d_options *options);
LUCID_API lucid_tensor *lucid_avg_pool3d_opt(lucid_tensor *x, lucid_extent kernel,
                                             const lucid_avg_pool2d_options *options);
/* Means and maxima of windows i*H/h .. ceil((i+1)*H/h): the output has the given size. LUCID_KEEP
 * for a dimension is the input's size. */
LUCID_API lucid_tensor *lucid_adaptive_avg_pool1d(lucid_tensor *x, int64_t size);
LUCID_API lucid_tensor *lucid_adaptive_avg_pool3d_opt(lucid_tensor *x, lucid_extent size);
LUCID_API lucid_tensor *lucid_adaptive_max_pool1d(lucid_tensor *x, int64_t size);
LUCID_API lucid_tensor *lucid_adaptive_max_pool2d_opt(lucid_tensor *x, lucid_extent size);
LUCID_API lucid_tensor *lucid_adaptive_max_pool3d_opt(lucid_tensor *x, lucid_extent size);
LUCID_API lucid_pooled lucid_adaptive_max_pool1d_with_indices(lucid_tensor *x, int64_t size);
LUCID_API lucid_pooled lucid_adaptive_max_pool2d_with_indices_opt(lucid_tensor *x,
                                                                  lucid_extent size);
LUCID_API lucid_pooled lucid_adaptive_max_pool3d_with_indices_opt(lucid_tensor *x,
                                                                  lucid_extent size);
/* The root of the sum of the p-th powers of each window, p = norm_type != 0: at 1 the sum. As in
 * PyTorch, the gradient is 0 where the sum is 0 and p = 1, and NaN there for larger p. */
LUCID_API lucid_tensor *lucid_lp_pool1d_opt(lucid_tensor *x, double norm_type, lucid_extent kernel,
                                            const lucid_lp_pool_options *options);
LUCID_API lucid_tensor *lucid_lp_pool2d_opt(lucid_tensor *x, double norm_type, lucid_extent kernel,
                                            const lucid_lp_pool_options *options);
LUCID_API lucid_tensor *lucid_lp_pool3d_opt(lucid_tensor *x, double norm_type, lucid_extent kernel,
                                            const lucid_lp_pool_options *options);

/* lucid_max_pool3d(x, (1, 2, 2), .stride = 2);  lucid_lp_pool2d(x, 2, 3) */
#define lucid_max_pool1d(...) LUC_POOL_ND(lucid_max_pool1d_opt, max, LUCID_ASIS, __VA_ARGS__)
#define lucid_max_pool3d(...) LUC_POOL_ND(lucid_max_pool3d_opt, max, LUCID_TRIPLE_OF, __VA_ARGS__)
#define lucid_max_pool1d_with_indices(...) \
    LUC_POOL_ND(lucid_max_pool1d_with_indices_opt, max, LUCID_ASIS, __VA_ARGS__)
#define lucid_max_pool2d_with_indices(...) \
    LUC_POOL_ND(lucid_max_pool2d_with_indices_opt, max, LUCID_EXTENT_OF, __VA_ARGS__)
#define lucid_max_pool3d_with_indices(...) \
    LUC_POOL_ND(lucid_max_pool3d_with_indices_opt, max, LUCID_TRIPLE_OF, __VA_ARGS__)
#define lucid_avg_pool1d(...) LUC_POOL_ND(lucid_avg_pool1d_opt, avg, LUCID_ASIS, __VA_ARGS__)
#define lucid_avg_pool3d(...) LUC_POOL_ND(lucid_avg_pool3d_opt, avg, LUCID_TRIPLE_OF, __VA_ARGS__)
#define LUC_POOL_ND(fn, kind, read, ...) \
    LUCID_CALL2(fn, lucid_##kind##_pool2d, LUCID_ASIS, read, __VA_ARGS__)
#define lucid_adaptive_avg_pool3d(x, size) \
    LUCID_STRICT(lucid_adaptive_avg_pool3d_opt(x, LUCID_TRIPLE_OF(size)))
#define lucid_adaptive_max_pool2d(x, size) \
    LUCID_STRICT(lucid_adaptive_max_pool2d_opt(x, LUCID_EXTENT_OF(size)))
#define lucid_adaptive_max_pool3d(x, size) \
    LUCID_STRICT(lucid_adaptive_max_pool3d_opt(x, LUCID_TRIPLE_OF(size)))
#define lucid_adaptive_max_pool2d_with_indices(x, size) \
    LUCID_STRICT(lucid_adaptive_max_pool2d_with_indices_opt(x, LUCID_EXTENT_OF(size)))
#define lucid_adaptive_max_pool3d_with_indices(x, size) \
    LUCID_STRICT(lucid_adaptive_max_pool3d_with_indices_opt(x, LUCID_TRIPLE_OF(size)))
#define lucid_lp_pool1d(...) LUC_LP_POOL(lucid_lp_pool1d_opt, LUCID_ASIS, __VA_ARGS__)
#define lucid_lp_pool2d(...) LUC_LP_POOL(lucid_lp_pool2d_opt, LUCID_EXTENT_OF, __VA_ARGS__)
#define lucid_lp_pool3d(...) LUC_LP_POOL(lucid_lp_pool3d_opt, LUCID_TRIPLE_OF, __VA_ARGS__)
#define LUC_LP_POOL(fn, read, ...) \
    LUCID_CALL3(fn, lucid_lp_pool, LUCID_ASIS, LUCID_ASIS, read, __VA_ARGS__)

LUCID_END_DECLS
#endif

/* unpool.h: the other way round than max pooling. */
#ifndef LUCID_AUTOGRAD_OPS_UNPOOL_H
#define LUCID_AUTOGRAD_OPS_UNPOOL_H

#include "pooling.h"
#include "../../lucid/core/tensor.h"
#include "../../lucid/core/triple.h"

LUCID_BEGIN_DECLS

/* The options of max_unpool1d, 2d and 3d. Extents are one number, or lucid_pair in 2d and
 * lucid_triple in 3d. */
typedef struct lucid_max_unpool_options {
    LUCID_OPTIONS_SIZE(lucid_max_unpool_options);
    lucid_extent stride LUCID_DEFAULT(LUCID_KERNEL); /* LUCID_KERNEL: as the window */
    lucid_extent padding LUCID_DEFAULT(0);           /* of the pooling */
    /* The sizes of the output after C, less than a stride away from (n - 1) stride - 2 padding +
     * kernel; 0: that number. */
    lucid_extent output_size LUCID_DEFAULT(0);
} lucid_max_unpool_options;
LUCID_DEFAULTS(lucid_max_unpool, .stride = LUCID_KERNEL, .padding = 0, .output_size = 0);

/* Zeros with each element of x [N,C,...] (or without N) at its index, an int64 number of the
 * output's plane: what lucid_max_pool2d_with_indices gives. Of several elements with one index the
 * last counts; the gradient goes to all of them, as in PyTorch. Floating dtypes; differentiable
 * any number of times. Errors: an index out of range, sizes that do not fit; NULL then.
 * Thread-safe.
 *
 *     lucid_pooled p = lucid_max_pool2d_with_indices(x, 2);
 *     lucid_tensor *y = lucid_max_unpool2d(p.values, p.indices, 2); */
LUCID_API lucid_tensor *lucid_max_unpool1d_opt(lucid_tensor *x, lucid_tensor *indices,
                                               int64_t kernel,
                                               const lucid_max_unpool_options *options);
LUCID_API lucid_tensor *lucid_max_unpool2d_opt(lucid_tensor *x, lucid_tensor *indices,
                                               lucid_extent kernel,
                                               const lucid_max_unpool_options *options);
LUCID_API lucid_tensor *lucid_max_unpool3d_opt(lucid_tensor *x, lucid_tensor *indices,
                                               lucid_extent kernel,
                                               const lucid_max_unpool_options *options);
#define lucid_max_unpool1d(...) LUC_UNPOOL(lucid_max_unpool1d_opt, LUCID_ASIS, __VA_ARGS__)
#define lucid_max_unpool2d(...) LUC_UNPOOL(lucid_max_unpool2d_opt, LUCID_EXTENT_OF, __VA_ARGS__)
#define lucid_max_unpool3d(...) LUC_UNPOOL(lucid_max_unpool3d_opt, LUCID_TRIPLE_OF, __VA_ARGS__)
#define LUC_UNPOOL(fn, read, ...) \
    LUCID_CALL3(fn, lucid_max_unpool, LUCID_ASIS, LUCID_ASIS, read, __VA_ARGS__)

LUCID_END_DECLS
#endif

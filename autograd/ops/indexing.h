/* indexing.h: joining tensors and picking elements by index. Indices are int64 (int32 is taken too);
 * one out of range is an error that names it. On a CUDA device indices are checked where they lie: the
 * error comes with the next call that waits for the device (item, print, a copy to the host,
 * lucid_synchronize). */
#ifndef LUCID_AUTOGRAD_OPS_INDEXING_H
#define LUCID_AUTOGRAD_OPS_INDEXING_H

#include "autograd/op.h"

LUCID_BEGIN_DECLS

/* Joins n >= 1 tensors, as many as one likes, along dim; the other sizes must agree. Dtypes are
 * promoted. Up to 8 are copied once, up to 64 twice, up to 512 three times, and so on. */
LUCID_API lucid_tensor *lucid_cat(lucid_tensor *const *tensors, size_t n, int dim);
/* Joins n tensors of equal sizes along a new dimension. */
LUCID_API lucid_tensor *lucid_stack(lucid_tensor *const *tensors, size_t n, int dim);
/* Rows of dimension dim, by a 1-d (or 0-d) index. */
LUCID_API lucid_tensor *lucid_index_select(lucid_tensor *x, int dim, lucid_tensor *index);
/* out[i][j] = x[index[i][j]][j] for dim 0, and so on: index has x's number of dimensions. */
LUCID_API lucid_tensor *lucid_gather(lucid_tensor *x, int dim, lucid_tensor *index);
/* index [...] of classes to [..., num_classes] of int64 zeros and ones. */
LUCID_API lucid_tensor *lucid_one_hot(lucid_tensor *index, int64_t num_classes);

LUCID_END_DECLS
#endif

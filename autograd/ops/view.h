/* view.h: views of the same memory, and changes of dtype, layout and device.
 *
 * Views share storage with their input: writing one in place is seen by all. Negative dims count
 * from the end. */
#ifndef LUCID_AUTOGRAD_OPS_VIEW_H
#define LUCID_AUTOGRAD_OPS_VIEW_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* A view where strides allow it, else a copy. One size may be -1: it is computed. */
LUCID_API lucid_tensor *lucid_reshape_opt(lucid_tensor *x, lucid_shape shape);
/* Like reshape, but an error where a copy would be needed. */
LUCID_API lucid_tensor *lucid_view_opt(lucid_tensor *x, lucid_shape shape);
/* Dimension i of the result is dimension order.dims[i] of x. */
LUCID_API lucid_tensor *lucid_permute_opt(lucid_tensor *x, lucid_shape order);
/* Stretches dimensions of size 1 (stride 0); -1 keeps a size; new dimensions come first. */
LUCID_API lucid_tensor *lucid_expand_opt(lucid_tensor *x, lucid_shape shape);
/* Any view of the storage: offset in elements from its beginning. Checked against the storage's
 * size. */
LUCID_API lucid_tensor *lucid_as_strided_opt(lucid_tensor *x, lucid_shape shape,
                                             lucid_shape strides, int64_t offset);
/* The same with lists in parentheses or one number: lucid_reshape(x, (64, -1)),
 * lucid_reshape(x, -1), lucid_permute(x, (0, 2, 3, 1)). */
#define lucid_reshape(x, shape) LUCID_STRICT(lucid_reshape_opt(x, LUCID_SHAPE_OF(shape)))
#define lucid_view(x, shape)    LUCID_STRICT(lucid_view_opt(x, LUCID_SHAPE_OF(shape)))
#define lucid_permute(x, order) LUCID_STRICT(lucid_permute_opt(x, LUCID_SHAPE_OF(order)))
#define lucid_expand(x, shape)  LUCID_STRICT(lucid_expand_opt(x, LUCID_SHAPE_OF(shape)))
#define lucid_as_strided(x, shape, strides, offset) \
    LUCID_STRICT(lucid_as_strided_opt(x, LUCID_SHAPE_OF(shape), LUCID_SHAPE_OF(strides), offset))
LUCID_API lucid_tensor *lucid_transpose(lucid_tensor *x, int dim0, int dim1);
/* Removes dimension dim if its size is 1 (else returns a view as it is). */
LUCID_API lucid_tensor *lucid_squeeze(lucid_tensor *x, int dim);
/* Removes all dimensions of size 1. */
LUCID_API lucid_tensor *lucid_squeeze_all(lucid_tensor *x);
/* Inserts a dimension of size 1 at dim, in [-ndim-1, ndim]. */
LUCID_API lucid_tensor *lucid_unsqueeze(lucid_tensor *x, int dim);
/* Joins dimensions start..end into one; a 0-d tensor becomes 1-d. */
LUCID_API lucid_tensor *lucid_flatten(lucid_tensor *x, int start, int end);
/* length elements of dimension dim from start (negative: from the end). */
LUCID_API lucid_tensor *lucid_narrow(lucid_tensor *x, int dim, int64_t start, int64_t length);
/* x[..., start:end:step, ...] by Python's rules: bounds are clipped, negative ones count from the
 * end, step >= 1. INT64_MAX as end: to the end. */
LUCID_API lucid_tensor *lucid_slice(lucid_tensor *x, int dim, int64_t start, int64_t end,
                                    int64_t step);
/* x[..., index, ...]: dimension dim disappears. */
LUCID_API lucid_tensor *lucid_select(lucid_tensor *x, int dim, int64_t index);

/* ---- copies ---- */
/* x itself when it already is in that format, else a copy that is. */
LUCID_API lucid_tensor *lucid_contiguous(lucid_tensor *x, lucid_memory_format format);
/* Always a copy; LUCID_PRESERVE keeps dense strides. Differentiable. */
LUCID_API lucid_tensor *lucid_clone(lucid_tensor *x, lucid_memory_format format);
/* x itself when it has that dtype, else converted. Differentiable between floating dtypes. Floating
 * to integer truncates towards zero; to LUCID_BOOL is x != 0. */
LUCID_API lucid_tensor *lucid_cast(lucid_tensor *x, lucid_dtype dtype);
/* x itself when it is there, else a copy on the device. Differentiable. */
LUCID_API lucid_tensor *lucid_tensor_to(lucid_tensor *x, lucid_device device);

LUCID_END_DECLS
#endif

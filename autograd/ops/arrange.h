/* arrange.h: cutting tensors into parts, repeating, turning, diagonals and triangles.
 *
 * Any dtype. Negative dims count from the end. Differentiable any number of times. NULL, or 0
 * parts, after an error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_ARRANGE_H
#define LUCID_AUTOGRAD_OPS_ARRANGE_H

#include "numbers.h"

LUCID_BEGIN_DECLS

/* ---- parts ----------------------------------------------------------------------------------- */

/* These write views of x along dim into parts[], which has room for `count`, and return how many
 * they are. Errors: more parts than room, a dim out of range.
 *
 *     lucid_tensor *parts[4];
 *     size_t n = lucid_chunk(x, 4, 1, parts, 4); */
/* Parts of `size` elements; the last one may be shorter. torch.split with a number. */
LUCID_API size_t lucid_split_size(lucid_tensor *x, int64_t size, int dim, lucid_tensor **parts,
                                  size_t count);
/* `count` parts of the sizes, whose sum is that of dim. torch.split with a list. */
LUCID_API size_t lucid_split_with_sizes(lucid_tensor *x, const int64_t *sizes, int dim,
                                        lucid_tensor **parts, size_t count);
/* At most `chunks` parts of one size; the last one may be shorter. They may be fewer. */
LUCID_API size_t lucid_chunk(lucid_tensor *x, int64_t chunks, int dim, lucid_tensor **parts,
                             size_t count);
/* Exactly `sections` parts, the first ones longer by one where they cannot be equal. */
LUCID_API size_t lucid_tensor_split(lucid_tensor *x, int64_t sections, int dim,
                                    lucid_tensor **parts, size_t count);
/* `count` parts, cut before the indices, of which there are count - 1; by Python's rules. */
LUCID_API size_t lucid_tensor_split_at(lucid_tensor *x, const int64_t *indices, int dim,
                                       lucid_tensor **parts, size_t count);
/* Each x[..., i, ...], without dimension dim. */
LUCID_API size_t lucid_unbind(lucid_tensor *x, int dim, lucid_tensor **parts, size_t count);

/* ---- sizes ----------------------------------------------------------------------------------- */

/* A view without those of the dims whose size is 1. */
LUCID_API lucid_tensor *lucid_squeeze_dims_opt(lucid_tensor *x, lucid_shape dims);
/* A view with new dimensions of size 1, which have the places `dims` in the result. */
LUCID_API lucid_tensor *lucid_unsqueeze_dims_opt(lucid_tensor *x, lucid_shape dims);
#define lucid_squeeze_dims(x, dims) LUCID_STRICT(lucid_squeeze_dims_opt(x, LUCID_SHAPE_OF(dims)))
#define lucid_unsqueeze_dims(x, dims) \
    LUCID_STRICT(lucid_unsqueeze_dims_opt(x, LUCID_SHAPE_OF(dims)))
/* x itself, or a view of it with at least 1, 2, 3 dimensions: [N] becomes [1,N] and [1,N,1], [M,N]
 * becomes [M,N,1]. */
LUCID_API lucid_tensor *lucid_atleast_1d(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_atleast_2d(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_atleast_3d(lucid_tensor *x);
/* x expanded to the sizes of other. */
LUCID_API lucid_tensor *lucid_expand_as(lucid_tensor *x, lucid_tensor *other);
/* Writes the n tensors, expanded to the sizes to which they broadcast, into out[n]. */
LUCID_API bool lucid_broadcast_tensors(lucid_tensor *const *tensors, size_t n, lucid_tensor **out);
/* Dimensions `from` go to the places `to`; the others keep their order.
 * lucid_movedim(x, (0, 1), (2, 0)) */
LUCID_API lucid_tensor *lucid_movedim_opt(lucid_tensor *x, lucid_shape from, lucid_shape to);
#define lucid_movedim(x, from, to) \
    LUCID_STRICT(lucid_movedim_opt(x, LUCID_SHAPE_OF(from), LUCID_SHAPE_OF(to)))
/* Windows of `size` elements along dim, each `step` after the last, as a new last dimension: a view
 * of x. */
LUCID_API lucid_tensor *lucid_unfold_dim(lucid_tensor *x, int dim, int64_t size, int64_t step);

/* ---- copies ---------------------------------------------------------------------------------- */

/* Repeats x along each dimension, `repeats` times. The last number belongs to the last dimension.
 * repeat needs a number for each dimension, and further numbers make new dimensions in front; in
 * tile, numbers that are missing in front count as 1.    lucid_repeat(x, (2, 1)) */
LUCID_API lucid_tensor *lucid_repeat_opt(lucid_tensor *x, lucid_shape repeats);
LUCID_API lucid_tensor *lucid_tile_opt(lucid_tensor *x, lucid_shape repeats);
#define lucid_repeat(x, repeats) LUCID_STRICT(lucid_repeat_opt(x, LUCID_SHAPE_OF(repeats)))
#define lucid_tile(x, repeats)   LUCID_STRICT(lucid_tile_opt(x, LUCID_SHAPE_OF(repeats)))
/* Each element along a dimension (LUCID_ALL: of x as one row) as often as `repeats` says: a number,
 * or integers [N], one for each element.    lucid_repeat_interleave(x, 2, LUCID_ALL) */
LUCID_API lucid_tensor *lucid_repeat_interleave_opt(lucid_tensor *x, lucid_tensor *repeats,
                                                    lucid_shape dim);
#define lucid_repeat_interleave(x, repeats, dim) \
    LUCID_STRICT(lucid_repeat_interleave_opt(x, LUC_OPERAND(repeats), LUCID_SHAPE_OF(dim)))
/* The elements in reverse order along the dims; LUCID_ALL: along all. fliplr is dim 1 of at least
 * two, flipud dim 0. */
LUCID_API lucid_tensor *lucid_flip_opt(lucid_tensor *x, lucid_shape dims);
#define lucid_flip(x, dims) LUCID_STRICT(lucid_flip_opt(x, LUCID_SHAPE_OF(dims)))
LUCID_API lucid_tensor *lucid_fliplr(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_flipud(lucid_tensor *x);
/* Element i goes to i + shift, around the end, for each dim; LUCID_ALL with one shift: x as one
 * row.    lucid_roll(x, 1, 0)    lucid_roll(x, (1, -2), (0, 1)) */
LUCID_API lucid_tensor *lucid_roll_opt(lucid_tensor *x, lucid_shape shifts, lucid_shape dims);
#define lucid_roll(x, shifts, dims) \
    LUCID_STRICT(lucid_roll_opt(x, LUCID_SHAPE_OF(shifts), LUCID_SHAPE_OF(dims)))
/* Turned by k times 90 degrees, from dimension dim0 to dim1; k may be negative. */
LUCID_API lucid_tensor *lucid_rot90(lucid_tensor *x, int64_t k, int dim0, int dim1);

/* ---- joining --------------------------------------------------------------------------------- */

/* The n tensors joined along dim 1 (of 1-D ones dim 0), dim 0, dim 2, after they have at least 1,
 * 2, 3 dimensions; column_stack: 1-D ones become columns. */
LUCID_API lucid_tensor *lucid_hstack(lucid_tensor *const *tensors, size_t n);
LUCID_API lucid_tensor *lucid_vstack(lucid_tensor *const *tensors, size_t n);
LUCID_API lucid_tensor *lucid_dstack(lucid_tensor *const *tensors, size_t n);
LUCID_API lucid_tensor *lucid_column_stack(lucid_tensor *const *tensors, size_t n);
/* The matrices (at most 2-D tensors) along the diagonal of zeros. */
LUCID_API lucid_tensor *lucid_block_diag(lucid_tensor *const *tensors, size_t n);
/* The n vectors (or []), each expanded along its own dimension, into grids[n]; with xy the first
 * two dimensions change places (indexing "xy"). At most LUCID_MAX_DIMS. */
LUCID_API bool lucid_meshgrid(lucid_tensor *const *tensors, size_t n, bool xy,
                              lucid_tensor **grids);
/* All combinations of one element of each vector: [.., n]; of one vector itself. */
LUCID_API lucid_tensor *lucid_cartesian_prod(lucid_tensor *const *tensors, size_t n);

/* ---- diagonals and triangles ----------------------------------------------------------------- */

/* diagonal > 0 lies above the main one, < 0 below it. */
/* x [..,M,N] with zeros above (tril) or below (triu) a diagonal. */
LUCID_API lucid_tensor *lucid_tril(lucid_tensor *x, int64_t diagonal);
LUCID_API lucid_tensor *lucid_triu(lucid_tensor *x, int64_t diagonal);
/* The rows and columns of these elements of a matrix, row by row: int64 [2,K]. */
LUCID_API lucid_tensor *lucid_tril_indices(int64_t rows, int64_t columns, int64_t diagonal);
LUCID_API lucid_tensor *lucid_triu_indices(int64_t rows, int64_t columns, int64_t diagonal);
/* A view of x's diagonal in two dimensions, as the last dimension. */
LUCID_API lucid_tensor *lucid_diagonal(lucid_tensor *x, int64_t diagonal, int dim0, int dim1);
/* Zeros with the last dimension of x on a diagonal of two new dimensions, dim0 and dim1. */
LUCID_API lucid_tensor *lucid_diag_embed(lucid_tensor *x, int64_t diagonal, int dim0, int dim1);
/* Of a vector the matrix with that diagonal, of a matrix its diagonal. diagflat: x as a vector. */
LUCID_API lucid_tensor *lucid_diag(lucid_tensor *x, int64_t diagonal);
LUCID_API lucid_tensor *lucid_diagflat(lucid_tensor *x, int64_t diagonal);
/* The sum of a matrix's diagonal. */
LUCID_API lucid_tensor *lucid_trace(lucid_tensor *x);

LUCID_END_DECLS
#endif

/* select.h: reading and writing elements that a mask or indices name.
 *
 * None changes x: the functions that write return a tensor like x with other elements. Indices are
 * int64 (int32 and uint8 are taken too); negative ones count from the end where this is said; one
 * out of range is an error. A `value` is a tensor [] or a number. Any dtype, which is x's for all
 * that is written. Differentiable any number of times, in x and in what is written. NULL after an
 * error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_SELECT_H
#define LUCID_AUTOGRAD_OPS_SELECT_H

#include "numbers.h"

LUCID_BEGIN_DECLS

/* ---- by a mask: bools that broadcast with x -------------------------------------------------- */

/* value where the mask is true, else x.    lucid_masked_fill(x, mask, 0) */
LUCID_API lucid_tensor *lucid_masked_fill_opt(lucid_tensor *x, lucid_tensor *mask,
                                              lucid_tensor *value);
#define lucid_masked_fill(x, mask, value) \
    LUCID_STRICT(lucid_masked_fill_opt(x, mask, LUC_OPERAND(value)))
/* The elements where the mask is true, in a row: [K]. Waits for the device. */
LUCID_API lucid_tensor *lucid_masked_select(lucid_tensor *x, lucid_tensor *mask);
/* Where the mask is true the next element of source, which has enough of them, row by row. Waits
 * for the device. */
LUCID_API lucid_tensor *lucid_masked_scatter(lucid_tensor *x, lucid_tensor *mask,
                                             lucid_tensor *source);

/* ---- along a dimension, by an index of x's number of dimensions ------------------------------ */

/* out[index[i][j]][j] = src[i][j] for dim 0, and so on; src has at least the sizes of the index. Of
 * several elements for one place the last along dim stays. */
LUCID_API lucid_tensor *lucid_scatter(lucid_tensor *x, int dim, lucid_tensor *index,
                                      lucid_tensor *src);
/* The same with one value for all. */
LUCID_API lucid_tensor *lucid_scatter_value_opt(lucid_tensor *x, int dim, lucid_tensor *index,
                                                lucid_tensor *value);
#define lucid_scatter_value(x, dim, index, value) \
    LUCID_STRICT(lucid_scatter_value_opt(x, dim, index, LUC_OPERAND(value)))
/* x plus what src adds in these places. */
LUCID_API lucid_tensor *lucid_scatter_add(lucid_tensor *x, int dim, lucid_tensor *index,
                                          lucid_tensor *src);
typedef enum lucid_scatter_how {
    LUCID_SCATTER_SUM,
    LUCID_SCATTER_PROD,
    LUCID_SCATTER_MEAN, /* of integers rounded down */
    LUCID_SCATTER_AMAX, /* equal extremes share the gradient */
    LUCID_SCATTER_AMIN
} lucid_scatter_how;
typedef struct lucid_scatter_reduce_options {
    LUCID_OPTIONS_SIZE(lucid_scatter_reduce_options);
    bool include_self LUCID_DEFAULT(true); /* x's own element takes part */
} lucid_scatter_reduce_options;
LUCID_DEFAULTS(lucid_scatter_reduce, .include_self = true);
/* What is scattered to a place, reduced. Places that no index names keep x's element. */
LUCID_API lucid_tensor *lucid_scatter_reduce_opt(lucid_tensor *x, int dim, lucid_tensor *index,
                                                 lucid_tensor *src, lucid_scatter_how how,
                                                 const lucid_scatter_reduce_options *options);
#define lucid_scatter_reduce(...)                                                       \
    LUCID_CALL5(lucid_scatter_reduce_opt, lucid_scatter_reduce, LUCID_ASIS, LUCID_ASIS, \
                LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
/* lucid_gather with sizes that broadcast but along dim; LUCID_ALL: of both as rows. */
LUCID_API lucid_tensor *lucid_take_along_dim_opt(lucid_tensor *x, lucid_tensor *index,
                                                 lucid_shape dim);
#define lucid_take_along_dim(x, index, dim) \
    LUCID_STRICT(lucid_take_along_dim_opt(x, index, LUCID_SHAPE_OF(dim)))

/* ---- slices of a dimension, by an index [K] -------------------------------------------------- */

/* x + alpha source at these slices, summed where an index stands twice. source is like x, with K
 * slices along dim. */
LUCID_API lucid_tensor *lucid_index_add(lucid_tensor *x, int dim, lucid_tensor *index,
                                        lucid_tensor *source, double alpha);
LUCID_API lucid_tensor *lucid_index_copy(lucid_tensor *x, int dim, lucid_tensor *index,
                                         lucid_tensor *source);
LUCID_API lucid_tensor *lucid_index_fill_opt(lucid_tensor *x, int dim, lucid_tensor *index,
                                             lucid_tensor *value);
#define lucid_index_fill(x, dim, index, value) \
    LUCID_STRICT(lucid_index_fill_opt(x, dim, index, LUC_OPERAND(value)))

/* ---- x[i, j] and x[mask] --------------------------------------------------------------------- */

/* Takes the elements that n indices name together. The indices broadcast with one another. Each
 * integer index stands for one dimension of x, from the first on, and a bool mask of k dimensions
 * stands for k of them. Negative indices count from the end.
 *
 *     lucid_index(x, (lucid_tensor *[]){i, j}, 2)   // of x [A,B,C]: [..,C] */
LUCID_API lucid_tensor *lucid_index(lucid_tensor *x, lucid_tensor *const *indices, size_t n);
/* x with `values`, which broadcast to the sizes of lucid_index, in these places; with accumulate
 * added to them. Of several values for one place the last stays. */
LUCID_API lucid_tensor *lucid_index_put(lucid_tensor *x, lucid_tensor *const *indices, size_t n,
                                        lucid_tensor *values, bool accumulate);
/* Elements of x as one row, by an index of any sizes; negative ones count from the end. put:
 * the index and `source` have the same number of elements. */
LUCID_API lucid_tensor *lucid_take(lucid_tensor *x, lucid_tensor *index);
LUCID_API lucid_tensor *lucid_put(lucid_tensor *x, lucid_tensor *index, lucid_tensor *source,
                                  bool accumulate);

LUCID_END_DECLS
#endif

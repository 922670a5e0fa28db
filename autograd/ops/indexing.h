/* indexing.h: joining tensors and picking elements by index. Indices are int64 (int32 is taken
 * too); one out of range is an error that names it. On a CUDA device indices are checked where they
 * lie: the error comes with the next call that waits for the device (item, print, a copy to the
 * host, lucid_synchronize). */
#ifndef LUCID_AUTOGRAD_OPS_INDEXING_H
#define LUCID_AUTOGRAD_OPS_INDEXING_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* Joins any number n >= 1 of tensors along dim; the other sizes must agree. Dtypes are
 * promoted. Up to 8 are copied once, up to 64 twice, up to 512 three times, and so on. */
LUCID_API lucid_tensor *lucid_cat_list(lucid_tensor *const *tensors, size_t n, int dim);
/* Joins n tensors of equal sizes along a new dimension. */
LUCID_API lucid_tensor *lucid_stack_list(lucid_tensor *const *tensors, size_t n, int dim);
/* lucid_cat((a, b, c), 1);  lucid_stack((a, b)): dim is 0 where it is not given. An array with its
 * length: lucid_cat(tensors, n, dim), which is lucid_cat_list. */
#define lucid_cat(...)         LUC_JOINED(lucid_cat_list, __VA_ARGS__)
#define lucid_stack(...)       LUC_JOINED(lucid_stack_list, __VA_ARGS__)
#define LUC_JOINED(fn, ...)    LUCID_CAT(LUC_JOINED_, LUC_THREE(__VA_ARGS__))(fn, __VA_ARGS__)
#define LUC_JOINED_1(fn, list) LUC_JOINED_2(fn, list, 0)
#define LUC_JOINED_2(fn, list, dim) \
    LUCID_CAT(LUC_JOINED_LIST_, LUC_IS_PAREN(list))(LUC_NEW_NAME, fn, list, dim)
#define LUC_JOINED_3(fn, tensors, n, dim) LUCID_STRICT(fn(tensors, n, dim))
#define LUC_JOINED_MORE(...)              lucid_cat_and_stack_take_a_list_in_parentheses_and_a_dim
#define LUC_JOINED_LIST_0(name, fn, list, dim) \
    lucid_cat_and_stack_take_a_list_in_parentheses_and_a_dim
#define LUC_JOINED_LIST_1(name, fn, list, dim)                       \
    __extension__({                                                  \
        LUC_STRICT_BEGIN                                             \
        lucid_tensor *const name[] = {LUC_UNWRAP list};              \
        LUC_STRICT_RESULT(fn(name, sizeof name / sizeof *name, dim)) \
    })
/* Rows of dimension dim, by a 1-d (or 0-d) index. */
LUCID_API lucid_tensor *lucid_index_select(lucid_tensor *x, int dim, lucid_tensor *index);
/* out[i][j] = x[index[i][j]][j] for dim 0, and so on: index has x's number of dimensions. */
LUCID_API lucid_tensor *lucid_gather(lucid_tensor *x, int dim, lucid_tensor *index);
/* index [...] of classes to [..., num_classes] of int64 zeros and ones. */
LUCID_API lucid_tensor *lucid_one_hot(lucid_tensor *index, int64_t num_classes);

LUCID_END_DECLS
#endif

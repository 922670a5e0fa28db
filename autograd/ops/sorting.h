/* sorting.h: sorting along a dimension, and the k largest or smallest.
 *
 * Every dtype can be sorted. NaN counts as larger than any number, and -0.0 as equal to 0.0. Equals
 * stay in the order in which they stand in x, in lucid_topk too, on every device and whatever the
 * number of threads: sorting is always stable. Indices are int64 positions along dim and have no
 * gradient; the gradient of values goes to the elements that they came from, and can be
 * differentiated again. */
#ifndef LUCID_AUTOGRAD_OPS_SORTING_H
#define LUCID_AUTOGRAD_OPS_SORTING_H

#include "autograd/op.h"

LUCID_BEGIN_DECLS

/* Both belong to the current scope; both are NULL on an error. */
typedef struct lucid_sorted {
    lucid_tensor *values, *indices;
} lucid_sorted;

typedef struct lucid_sort_options {
    bool descending; /* the largest, NaN before it, comes first; equals stay in x's order even so */
} lucid_sort_options;
#define LUCID_SORT_DEFAULTS .descending = false
LUCID_API extern const lucid_sort_options lucid_sort_defaults;

typedef struct lucid_topk_options {
    int dim;      /* along which; negative ones count from the end */
    bool largest; /* the k largest, NaN first; else the k smallest */
    bool sorted;  /* false: any order will do. lucid's is sorted all the same */
} lucid_topk_options;
#define LUCID_TOPK_DEFAULTS .dim = -1, .largest = true, .sorted = true
LUCID_API extern const lucid_topk_options lucid_topk_defaults;

/* x sorted along dim, and where its elements stood: values and indices have x's sizes and
 * values[i] = x[indices[i]] along dim. A tensor [] of one number is sorted (dim 0 or -1). Errors: dim out
 * of range, 2^32 elements or more along dim. options may be NULL. */
LUCID_API lucid_sorted lucid_sort_opt(lucid_tensor *x, int dim, const lucid_sort_options *options);
/* The indices alone. */
LUCID_API lucid_tensor *lucid_argsort_opt(lucid_tensor *x, int dim,
                                          const lucid_sort_options *options);
/* The k largest (or smallest) along a dimension, sorted, and where they stood: the first k that
 * lucid_sort would give, found without sorting the rest. Size k along the dimension. Errors: dim out
 * of range, k less than 0 or more than there are (of a tensor [], other than 1). */
LUCID_API lucid_sorted lucid_topk_opt(lucid_tensor *x, int64_t k,
                                      const lucid_topk_options *options);

#ifndef __cplusplus
/* lucid_sort(x, -1).values; lucid_sort(x, 0, .descending = true).indices */
#define lucid_sort(x, ...)                                                             \
    LUCID_CALL(lucid_sorted, lucid_sort_opt(x, LUCID_HEAD(__VA_ARGS__),                \
                                            &(lucid_sort_options){LUCID_SORT_DEFAULTS, \
                                                                  LUCID_TAIL(__VA_ARGS__)}))
#define lucid_argsort(x, ...)                                                               \
    LUCID_CALL(lucid_tensor *, lucid_argsort_opt(x, LUCID_HEAD(__VA_ARGS__),                \
                                                 &(lucid_sort_options){LUCID_SORT_DEFAULTS, \
                                                                       LUCID_TAIL(__VA_ARGS__)}))
/* lucid_topk(x, 5); lucid_topk(x, 3, .dim = 0, .largest = false) */
#define lucid_topk(x, ...)                                                             \
    LUCID_CALL(lucid_sorted, lucid_topk_opt(x, LUCID_HEAD(__VA_ARGS__),                \
                                            &(lucid_topk_options){LUCID_TOPK_DEFAULTS, \
                                                                  LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

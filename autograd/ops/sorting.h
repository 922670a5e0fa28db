/* sorting.h: sorting along a dimension, and the k largest or smallest.
 *
 * Every dtype can be sorted. NaN counts as larger than any number, and -0.0 as equal to 0.0. Equals
 * stay in the order in which they stand in x, in lucid_topk too, on every device and whatever the
 * number of threads: sorting is always stable. Indices are int64 positions along dim and have no
 * gradient; the gradient of values goes to the elements that they came from, and can be
 * differentiated again. */
#ifndef LUCID_AUTOGRAD_OPS_SORTING_H
#define LUCID_AUTOGRAD_OPS_SORTING_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* Both belong to the current scope; both are NULL on an error. */
typedef struct lucid_sorted {
    lucid_tensor *values, *indices;
} lucid_sorted;

typedef struct lucid_sort_options {
    LUCID_OPTIONS_SIZE(lucid_sort_options);
    /* The largest, NaN before it, comes first; equals stay in x's order even so. */
    bool descending LUCID_DEFAULT(false);
} lucid_sort_options;
LUCID_DEFAULTS(lucid_sort, .descending = false);

typedef struct lucid_topk_options {
    LUCID_OPTIONS_SIZE(lucid_topk_options);
    int dim LUCID_DEFAULT(-1);        /* along which; negative ones count from the end */
    bool largest LUCID_DEFAULT(true); /* the k largest, NaN first; else the k smallest */
    bool sorted LUCID_DEFAULT(true);  /* false: any order will do. lucid's is sorted all the same */
} lucid_topk_options;
LUCID_DEFAULTS(lucid_topk, .dim = -1, .largest = true, .sorted = true);

/* x sorted along dim, and where its elements stood: values and indices have x's sizes and
 * values[i] = x[indices[i]] along dim. A tensor [] of one number is sorted (dim 0 or -1). Errors:
 * dim out of range, 2^32 elements or more along dim. options may be NULL. */
LUCID_API lucid_sorted lucid_sort_opt(lucid_tensor *x, int dim, const lucid_sort_options *options);
/* The indices alone. */
LUCID_API lucid_tensor *lucid_argsort_opt(lucid_tensor *x, int dim,
                                          const lucid_sort_options *options);
/* The k largest (or smallest) along a dimension, sorted, and where they stood: the first k that
 * lucid_sort would give, found without sorting the rest. Size k along the dimension. Errors: dim
 * out of range, k less than 0 or more than there are (of a tensor [], other than 1). */
LUCID_API lucid_sorted lucid_topk_opt(lucid_tensor *x, int64_t k,
                                      const lucid_topk_options *options);

/* lucid_sort(x).values, along the last dimension;  lucid_sort(x, 0, .descending = true).indices */
#define lucid_sort(...)        LUC_SORT(lucid_sort_opt, __VA_ARGS__)
#define lucid_argsort(...)     LUC_SORT(lucid_argsort_opt, __VA_ARGS__)
#define LUC_SORT(fn, ...)      LUCID_CAT(LUC_SORT_, LUC_ONE(__VA_ARGS__))(fn, __VA_ARGS__)
#define LUC_SORT_1(fn, x)      LUCID_CALL2(fn, lucid_sort, LUCID_ASIS, LUCID_ASIS, x, -1)
#define LUC_SORT_MORE(fn, ...) LUCID_CALL2(fn, lucid_sort, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
/* lucid_topk(x, 5); lucid_topk(x, 3, .dim = 0, .largest = false) */
#define lucid_topk(...) LUCID_CALL2(lucid_topk_opt, lucid_topk, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

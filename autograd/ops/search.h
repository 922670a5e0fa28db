/* search.h: places in sorted numbers, counts, and what is unique.
 *
 * Results have no gradients, except the values of lucid_unique. NULL after an error; of several
 * results all are NULL then. Functions whose result has a size that depends on x's numbers wait for
 * the device. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_SEARCH_H
#define LUCID_AUTOGRAD_OPS_SEARCH_H

#include "numbers.h"

LUCID_BEGIN_DECLS

/* The indices of x's elements that are not 0, row by row: int64 [K,ndim]. */
LUCID_API lucid_tensor *lucid_nonzero(lucid_tensor *x);
/* The same as an index [K] for each dimension (of a tensor [] one), written into indices[], which
 * has room for `count`: torch.where with one argument. Returns how many they are. */
LUCID_API size_t lucid_nonzero_tuple(lucid_tensor *x, lucid_tensor **indices, size_t count);

typedef struct lucid_searchsorted_options {
    LUCID_OPTIONS_SIZE(lucid_searchsorted_options);
    bool right LUCID_DEFAULT(false); /* after equal elements; else before them */
    /* int64 like sorted: the order that sorts it (lucid_argsort); NULL: it is sorted */
    lucid_tensor *sorter LUCID_DEFAULT(NULL);
} lucid_searchsorted_options;
LUCID_DEFAULTS(lucid_searchsorted, .right = false, .sorter = NULL);
/* Where each of `values` (a tensor or a number) would be put so that `sorted` stays in order: int64
 * of values' sizes. sorted is [N], or [..,N] with the leading sizes of values [..,M]. A NaN comes
 * last. */
LUCID_API lucid_tensor *lucid_searchsorted_opt(lucid_tensor *sorted, lucid_tensor *values,
                                               const lucid_searchsorted_options *options);
#define lucid_searchsorted(...) \
    LUCID_CALL2(lucid_searchsorted_opt, lucid_searchsorted, LUCID_ASIS, LUC_OPERAND, __VA_ARGS__)
/* The same for boundaries [N]: the number of the bucket of each element of x. right: a bucket has
 * its lower boundary, not its upper one. */
LUCID_API lucid_tensor *lucid_bucketize(lucid_tensor *x, lucid_tensor *boundaries, bool right);
/* Whether each element of x is one of test's: bool. */
LUCID_API lucid_tensor *lucid_isin(lucid_tensor *x, lucid_tensor *test);

/* How often each of 0, 1, .. is in x, integers [N] >= 0: int64 of max(x) + 1 elements, at least
 * minlength. weights (may be NULL) [N] are summed instead: float32 or float64. */
LUCID_API lucid_tensor *lucid_bincount(lucid_tensor *x, lucid_tensor *weights, int64_t minlength);

typedef struct lucid_histc_options {
    LUCID_OPTIONS_SIZE(lucid_histc_options);
    int64_t bins LUCID_DEFAULT(100);
    double min LUCID_DEFAULT(0), max LUCID_DEFAULT(0); /* equal: those of x */
} lucid_histc_options;
LUCID_DEFAULTS(lucid_histc, .bins = 100, .min = 0, .max = 0);
/* How many elements are in each of `bins` equal bins between min and max, which are in the first
 * and the last: [bins] of x's floating dtype. Others, and NaN, do not count. */
LUCID_API lucid_tensor *lucid_histc_opt(lucid_tensor *x, const lucid_histc_options *options);
#define lucid_histc(...) LUCID_CALL1(lucid_histc_opt, lucid_histc, LUCID_ASIS, __VA_ARGS__)

/* values: x's different elements; inverse: for each element of x the place of its value (int64);
 * counts: how often each is in x (int64). Each NaN is different. */
typedef struct lucid_uniques {
    lucid_tensor *values, *inverse, *counts;
} lucid_uniques;
/* Sorted, of all elements; and of x's slices along a dimension, in lexicographic order. */
LUCID_API lucid_uniques lucid_unique(lucid_tensor *x);
LUCID_API lucid_uniques lucid_unique_dim(lucid_tensor *x, int dim);
/* In x's order: of neighbours that are equal one stays. */
LUCID_API lucid_uniques lucid_unique_consecutive(lucid_tensor *x);
LUCID_API lucid_uniques lucid_unique_consecutive_dim(lucid_tensor *x, int dim);

LUCID_END_DECLS
#endif

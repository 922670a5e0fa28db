/* statistics.h: reductions beside those of reduction.h: deviations, products, norms, truth, order
 * statistics, differences.
 *
 * dims and keepdim are those of reduction.h: the dimensions to reduce, LUCID_ALL for all; options
 * may be NULL. Differentiable any number of times, unless the result is an index or a bool. Errors:
 * a dim out of range or named twice, a dtype that is refused, nothing to choose from. NULL after an
 * error; of several results all are NULL then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_STATISTICS_H
#define LUCID_AUTOGRAD_OPS_STATISTICS_H

#include "numbers.h"
#include "reduction.h"
#include "sorting.h"

LUCID_BEGIN_DECLS

/* ---- deviation, product, norms --------------------------------------------------------------- */

/* The square root of lucid_var; the gradient is 0 where all elements are equal. */
LUCID_API lucid_tensor *lucid_std_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_var_options *options);
/* `value` is the deviation or the variance. */
typedef struct lucid_with_mean {
    lucid_tensor *value, *mean;
} lucid_with_mean;
LUCID_API lucid_with_mean lucid_std_mean_opt(lucid_tensor *x, lucid_shape dims,
                                             const lucid_var_options *options);
LUCID_API lucid_with_mean lucid_var_mean_opt(lucid_tensor *x, lucid_shape dims,
                                             const lucid_var_options *options);
/* Integers and bools give int64. The product of nothing is 1. The gradient is right at zeros. */
LUCID_API lucid_tensor *lucid_prod_opt(lucid_tensor *x, lucid_shape dims,
                                       const lucid_reduce_options *options);
/* log(sum(e^x)) without overflow. Floating dtypes; integers become float32. */
LUCID_API lucid_tensor *lucid_logsumexp_opt(lucid_tensor *x, lucid_shape dims,
                                            const lucid_reduce_options *options);

typedef struct lucid_norm_options {
    LUCID_OPTIONS_SIZE(lucid_norm_options);
    double p LUCID_DEFAULT(2); /* INFINITY: the largest |x|; -INFINITY: the smallest; 0: how many
                                  elements are not 0 */
    bool keepdim LUCID_DEFAULT(false);
} lucid_norm_options;
LUCID_DEFAULTS(lucid_norm, .p = 2, .keepdim = false);
/* (sum of |x|^p)^(1/p) over dims, as one vector. Floating dtypes; 16-bit ones are summed in
 * float32. The gradient of the norm 0 is 0. Errors: the extremes of nothing. */
LUCID_API lucid_tensor *lucid_norm_opt(lucid_tensor *x, lucid_shape dims,
                                       const lucid_norm_options *options);

/* Reductions without the NaNs of x; nanmean gives NaN where nothing else is there. */
LUCID_API lucid_tensor *lucid_nansum_opt(lucid_tensor *x, lucid_shape dims,
                                         const lucid_reduce_options *options);
LUCID_API lucid_tensor *lucid_nanmean_opt(lucid_tensor *x, lucid_shape dims,
                                          const lucid_reduce_options *options);

/* ---- truth and counts ------------------------------------------------------------------------ */

/* Whether any, whether all elements differ from 0: bool tensors (uint8 for uint8, as in PyTorch). A
 * NaN differs from 0. Of nothing: false and true. */
LUCID_API lucid_tensor *lucid_any_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_reduce_options *options);
LUCID_API lucid_tensor *lucid_all_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_reduce_options *options);
/* How many elements differ from 0, as int64. */
LUCID_API lucid_tensor *lucid_count_nonzero_opt(lucid_tensor *x, lucid_shape dims,
                                                const lucid_reduce_options *options);

/* ---- extremes and order ---------------------------------------------------------------------- */

/* Both extremes, as lucid_min and lucid_max give them. */
typedef struct lucid_extremes {
    lucid_tensor *min, *max;
} lucid_extremes;
LUCID_API lucid_extremes lucid_aminmax_opt(lucid_tensor *x, lucid_shape dims,
                                           const lucid_reduce_options *options);
/* The largest (smallest) along one dimension, and its index, the first of equal ones. The gradient
 * goes to that element alone, as in torch.max(x, dim). */
LUCID_API lucid_sorted lucid_max_dim_opt(lucid_tensor *x, int dim,
                                         const lucid_reduce_options *options);
LUCID_API lucid_sorted lucid_min_dim_opt(lucid_tensor *x, int dim,
                                         const lucid_reduce_options *options);
/* The middle element, of two the smaller one, along one dimension, and where it stands. NaN where
 * any element is; lucid_nanmedian_dim leaves NaNs out. */
LUCID_API lucid_sorted lucid_median_dim_opt(lucid_tensor *x, int dim,
                                            const lucid_reduce_options *options);
LUCID_API lucid_sorted lucid_nanmedian_dim_opt(lucid_tensor *x, int dim,
                                               const lucid_reduce_options *options);
/* Those of all elements: a tensor []. */
LUCID_API lucid_tensor *lucid_median(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_nanmedian(lucid_tensor *x);
/* The most frequent element along a dimension, of several the smallest, and its last place. */
LUCID_API lucid_sorted lucid_mode_opt(lucid_tensor *x, int dim,
                                      const lucid_reduce_options *options);

typedef struct lucid_kthvalue_options {
    LUCID_OPTIONS_SIZE(lucid_kthvalue_options);
    int dim LUCID_DEFAULT(-1);
    bool keepdim LUCID_DEFAULT(false);
} lucid_kthvalue_options;
LUCID_DEFAULTS(lucid_kthvalue, .dim = -1, .keepdim = false);
/* The k-th smallest element along a dimension, k = 1 the smallest, and where it stands. */
LUCID_API lucid_sorted lucid_kthvalue_opt(lucid_tensor *x, int64_t k,
                                          const lucid_kthvalue_options *options);

/* What a quantile between two elements is. */
typedef enum lucid_quantile_kind {
    LUCID_QUANTILE_LINEAR,
    LUCID_QUANTILE_LOWER,
    LUCID_QUANTILE_HIGHER,
    LUCID_QUANTILE_NEAREST, /* in the middle: the one with the even number */
    LUCID_QUANTILE_MIDPOINT
} lucid_quantile_kind;
typedef struct lucid_quantile_options {
    LUCID_OPTIONS_SIZE(lucid_quantile_options);
    lucid_quantile_kind interpolation LUCID_DEFAULT(LUCID_QUANTILE_LINEAR);
    bool keepdim LUCID_DEFAULT(false);
} lucid_quantile_options;
LUCID_DEFAULTS(lucid_quantile, .interpolation = LUCID_QUANTILE_LINEAR, .keepdim = false);
/* The quantiles q, a number or a tensor [] or [Q] of numbers in [0,1], of all elements (LUCID_ALL)
 * or along one dimension. Of several q the result begins with a dimension [Q]. x is float32 or
 * float64. NaN where any element is; lucid_nanquantile leaves NaNs out. q has no gradient. */
LUCID_API lucid_tensor *lucid_quantile_opt(lucid_tensor *x, lucid_tensor *q, lucid_shape dim,
                                           const lucid_quantile_options *options);
LUCID_API lucid_tensor *lucid_nanquantile_opt(lucid_tensor *x, lucid_tensor *q, lucid_shape dim,
                                              const lucid_quantile_options *options);

/* ---- neighbours ------------------------------------------------------------------------------ */

typedef struct lucid_diff_options {
    LUCID_OPTIONS_SIZE(lucid_diff_options);
    int64_t n LUCID_DEFAULT(1); /* how often differences are taken */
    int dim LUCID_DEFAULT(-1);
    /* joined to x before; x's sizes but along dim */
    lucid_tensor *prepend LUCID_DEFAULT(NULL), *append LUCID_DEFAULT(NULL);
} lucid_diff_options;
LUCID_DEFAULTS(lucid_diff, .n = 1, .dim = -1, .prepend = NULL, .append = NULL);
/* Each element minus the one before it; of bools, whether they differ. */
LUCID_API lucid_tensor *lucid_diff_opt(lucid_tensor *x, const lucid_diff_options *options);

typedef struct lucid_trapezoid_options {
    LUCID_OPTIONS_SIZE(lucid_trapezoid_options);
    lucid_tensor *x LUCID_DEFAULT(NULL); /* where y was taken, [N] or like y; NULL: every dx */
    double dx LUCID_DEFAULT(1);
    int dim LUCID_DEFAULT(-1);
} lucid_trapezoid_options;
LUCID_DEFAULTS(lucid_trapezoid, .x = NULL, .dx = 1, .dim = -1);
/* The integral of y along a dimension by the trapezoidal rule; and that from its beginning to each
 * next element. Floating dtypes. */
LUCID_API lucid_tensor *lucid_trapezoid_opt(lucid_tensor *y,
                                            const lucid_trapezoid_options *options);
LUCID_API lucid_tensor *lucid_cumulative_trapezoid_opt(lucid_tensor *y,
                                                       const lucid_trapezoid_options *options);

/* lucid_std(x);  lucid_prod(x, 1);  lucid_norm(x, (0, 1), .p = 1);  lucid_max_dim(x, 1).indices;
 * lucid_quantile(x, 0.9, LUCID_ALL);  lucid_diff(x, .n = 2) */
#define lucid_std(...)           LUC_REDUCE(lucid_std_opt, lucid_var, __VA_ARGS__)
#define lucid_std_mean(...)      LUC_REDUCE(lucid_std_mean_opt, lucid_var, __VA_ARGS__)
#define lucid_var_mean(...)      LUC_REDUCE(lucid_var_mean_opt, lucid_var, __VA_ARGS__)
#define lucid_prod(...)          LUC_REDUCE(lucid_prod_opt, lucid_reduce, __VA_ARGS__)
#define lucid_logsumexp(...)     LUC_REDUCE(lucid_logsumexp_opt, lucid_reduce, __VA_ARGS__)
#define lucid_norm(...)          LUC_REDUCE(lucid_norm_opt, lucid_norm, __VA_ARGS__)
#define lucid_nansum(...)        LUC_REDUCE(lucid_nansum_opt, lucid_reduce, __VA_ARGS__)
#define lucid_nanmean(...)       LUC_REDUCE(lucid_nanmean_opt, lucid_reduce, __VA_ARGS__)
#define lucid_any(...)           LUC_REDUCE(lucid_any_opt, lucid_reduce, __VA_ARGS__)
#define lucid_all(...)           LUC_REDUCE(lucid_all_opt, lucid_reduce, __VA_ARGS__)
#define lucid_count_nonzero(...) LUC_REDUCE(lucid_count_nonzero_opt, lucid_reduce, __VA_ARGS__)
#define lucid_aminmax(...)       LUC_REDUCE(lucid_aminmax_opt, lucid_reduce, __VA_ARGS__)
#define lucid_max_dim(...)       LUC_ALONG(lucid_max_dim_opt, __VA_ARGS__)
#define lucid_min_dim(...)       LUC_ALONG(lucid_min_dim_opt, __VA_ARGS__)
#define lucid_median_dim(...)    LUC_ALONG(lucid_median_dim_opt, __VA_ARGS__)
#define lucid_nanmedian_dim(...) LUC_ALONG(lucid_nanmedian_dim_opt, __VA_ARGS__)
#define lucid_mode(...)          LUC_ALONG(lucid_mode_opt, __VA_ARGS__)
#define LUC_ALONG(fn, ...)       LUCID_CALL2(fn, lucid_reduce, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_kthvalue(...) \
    LUCID_CALL2(lucid_kthvalue_opt, lucid_kthvalue, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_quantile(...)    LUC_QUANTILE(lucid_quantile_opt, __VA_ARGS__)
#define lucid_nanquantile(...) LUC_QUANTILE(lucid_nanquantile_opt, __VA_ARGS__)
#define LUC_QUANTILE(fn, ...) \
    LUCID_CALL3(fn, lucid_quantile, LUCID_ASIS, LUC_OPERAND, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_diff(...) LUCID_CALL1(lucid_diff_opt, lucid_diff, LUCID_ASIS, __VA_ARGS__)
#define lucid_trapezoid(...) \
    LUCID_CALL1(lucid_trapezoid_opt, lucid_trapezoid, LUCID_ASIS, __VA_ARGS__)
#define lucid_cumulative_trapezoid(...) \
    LUCID_CALL1(lucid_cumulative_trapezoid_opt, lucid_trapezoid, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

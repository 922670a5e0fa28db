/* reduction.h: sums, means and extremes over dimensions. */
#ifndef LUCID_AUTOGRAD_OPS_REDUCTION_H
#define LUCID_AUTOGRAD_OPS_REDUCTION_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_reduce_options {
    LUCID_OPTIONS_SIZE(lucid_reduce_options);
    bool keepdim LUCID_DEFAULT(false); /* keep the reduced dimensions with size 1 */
} lucid_reduce_options;
LUCID_DEFAULTS(lucid_reduce, .keepdim = false);

typedef struct lucid_var_options {
    LUCID_OPTIONS_SIZE(lucid_var_options);
    int64_t correction LUCID_DEFAULT(1); /* divide by n - correction (1: unbiased) */
    bool keepdim LUCID_DEFAULT(false);
} lucid_var_options;
LUCID_DEFAULTS(lucid_var, .correction = 1, .keepdim = false);

/* dims: the dimensions to reduce; negative ones count from the end. LUCID_ALL, and a list without
 * entries: all of them. Errors: a dim out of range or named twice. options may be NULL.
 *
 * Integers and bools sum to int64. Sums of float32 and the 16-bit types accumulate wider; the order
 * is fixed, so results do not depend on threads. */
LUCID_API lucid_tensor *lucid_sum_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_reduce_options *options);
/* Floating dtypes only. The mean of nothing is NaN. */
LUCID_API lucid_tensor *lucid_mean_opt(lucid_tensor *x, lucid_shape dims,
                                       const lucid_reduce_options *options);
/* Two passes (or better): never E[x^2] - E[x]^2. */
LUCID_API lucid_tensor *lucid_var_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_var_options *options);
/* The largest and smallest; NaN wins; equal extremes share the gradient. Reducing nothing is an
 * error. */
LUCID_API lucid_tensor *lucid_max_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_reduce_options *options);
LUCID_API lucid_tensor *lucid_min_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_reduce_options *options);
/* The int64 index of the first extreme along one dim; of all dims: in the elements row by row, as
 * PyTorch counts. A NaN counts as the extreme. No gradient. Errors: several dims that are
 * listed. */
LUCID_API lucid_tensor *lucid_argmax_opt(lucid_tensor *x, lucid_shape dims,
                                         const lucid_reduce_options *options);
LUCID_API lucid_tensor *lucid_argmin_opt(lucid_tensor *x, lucid_shape dims,
                                         const lucid_reduce_options *options);

/* lucid_sum(x);  lucid_mean(x, 2);  lucid_mean(x, (2, 3), .keepdim = true);  lucid_argmax(x, 1);
 * lucid_var(x, LUCID_ALL, .correction = 0): options need the dims before them. */
#define lucid_sum(...)    LUC_REDUCE(lucid_sum_opt, lucid_reduce, __VA_ARGS__)
#define lucid_mean(...)   LUC_REDUCE(lucid_mean_opt, lucid_reduce, __VA_ARGS__)
#define lucid_var(...)    LUC_REDUCE(lucid_var_opt, lucid_var, __VA_ARGS__)
#define lucid_max(...)    LUC_REDUCE(lucid_max_opt, lucid_reduce, __VA_ARGS__)
#define lucid_min(...)    LUC_REDUCE(lucid_min_opt, lucid_reduce, __VA_ARGS__)
#define lucid_argmax(...) LUC_REDUCE(lucid_argmax_opt, lucid_reduce, __VA_ARGS__)
#define lucid_argmin(...) LUC_REDUCE(lucid_argmin_opt, lucid_reduce, __VA_ARGS__)
#define LUC_REDUCE(fn, name, ...) \
    LUCID_CAT(LUC_REDUCE_, LUC_ONE(__VA_ARGS__))(fn, name, __VA_ARGS__)
#define LUC_REDUCE_1(fn, name, x) LUCID_CALL2(fn, name, LUCID_ASIS, LUCID_ASIS, x, LUCID_ALL)
#define LUC_REDUCE_MORE(fn, name, ...) \
    LUCID_CALL2(fn, name, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif

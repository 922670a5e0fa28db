/* reduction.h: sums, means and extremes over dimensions. */
#ifndef LUCID_AUTOGRAD_OPS_REDUCTION_H
#define LUCID_AUTOGRAD_OPS_REDUCTION_H

#include "autograd/op.h"

LUCID_BEGIN_DECLS

#define LUCID_DIMS_ALL (-1) /* n_dims: every dimension */

typedef struct lucid_reduce_options {
    int64_t dims[LUCID_MAX_DIMS]; /* which dimensions; negative ones count from the end */
    int n_dims;                   /* how many; LUCID_DIMS_ALL (0 also) is all of them */
    bool keepdim;                 /* keep them with size 1 */
    int64_t correction;           /* lucid_var: divide by n - correction (1: unbiased) */
} lucid_reduce_options;
#define LUCID_REDUCE_DEFAULTS \
    .dims = {0}, .n_dims = LUCID_DIMS_ALL, .keepdim = false, .correction = 1
LUCID_API extern const lucid_reduce_options lucid_reduce_defaults;

/* How many dims the caller's text names: 2 for ".dims = {2, 0}, .keepdim = true"; LUCID_DIMS_ALL
 * without .dims; a number that is refused for ".dims[0] = 2", which needs .n_dims with it. C fills the
 * rest of an array with zeros, and dimension 0 is a dimension: the macros below count what was
 * written, so that {1, 0} is not taken for {1}. */
LUCID_API int lucid_count_dims(const char *options_text);

/* Errors: a dim out of range or named twice. Integers and bools sum to int64. Sums of float32 and
 * the 16-bit types accumulate wider; the order is fixed, so results do not depend on threads. */
LUCID_API lucid_tensor *lucid_sum_opt(lucid_tensor *x, const lucid_reduce_options *options);
/* Floating dtypes only. The mean of nothing is NaN. */
LUCID_API lucid_tensor *lucid_mean_opt(lucid_tensor *x, const lucid_reduce_options *options);
/* Two passes (or better): never E[x^2] - E[x]^2. */
LUCID_API lucid_tensor *lucid_var_opt(lucid_tensor *x, const lucid_reduce_options *options);
/* The largest and smallest; NaN wins; equal extremes share the gradient. Reducing nothing is an
 * error. */
LUCID_API lucid_tensor *lucid_max_opt(lucid_tensor *x, const lucid_reduce_options *options);
LUCID_API lucid_tensor *lucid_min_opt(lucid_tensor *x, const lucid_reduce_options *options);
/* The int64 index along dim of the first extreme (a NaN counts as the extreme). No gradient. */
LUCID_API lucid_tensor *lucid_argmax_opt(lucid_tensor *x, int dim,
                                         const lucid_reduce_options *options);
LUCID_API lucid_tensor *lucid_argmin_opt(lucid_tensor *x, int dim,
                                         const lucid_reduce_options *options);

#ifndef __cplusplus
#define LUC_REDUCE_(fn, x, ...)                 \
    LUCID_CALL(lucid_tensor *,                  \
               fn(x, &(lucid_reduce_options){   \
                         LUCID_REDUCE_DEFAULTS, \
                         .n_dims = lucid_count_dims(LUCID_STRING(__VA_ARGS__)), __VA_ARGS__}))
#define LUC_REDUCE(fn, ...) LUC_REDUCE_(fn, LUCID_HEAD(__VA_ARGS__), LUCID_TAIL(__VA_ARGS__))
/* lucid_sum(x); lucid_mean(x, .dims = {2, 3}, .keepdim = true); lucid_var(x, .correction = 0) */
#define lucid_sum(...)  LUC_REDUCE(lucid_sum_opt, __VA_ARGS__)
#define lucid_mean(...) LUC_REDUCE(lucid_mean_opt, __VA_ARGS__)
#define lucid_var(...)  LUC_REDUCE(lucid_var_opt, __VA_ARGS__)
#define lucid_max(...)  LUC_REDUCE(lucid_max_opt, __VA_ARGS__)
#define lucid_min(...)  LUC_REDUCE(lucid_min_opt, __VA_ARGS__)
/* lucid_argmax(x, 1); lucid_argmax(x, -1, .keepdim = true) */
#define lucid_argmax(x, ...)                                                                   \
    LUCID_CALL(lucid_tensor *, lucid_argmax_opt(x, LUCID_HEAD(__VA_ARGS__),                    \
                                                &(lucid_reduce_options){LUCID_REDUCE_DEFAULTS, \
                                                                        LUCID_TAIL(__VA_ARGS__)}))
#define lucid_argmin(x, ...)                                                                   \
    LUCID_CALL(lucid_tensor *, lucid_argmin_opt(x, LUCID_HEAD(__VA_ARGS__),                    \
                                                &(lucid_reduce_options){LUCID_REDUCE_DEFAULTS, \
                                                                        LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

/* optim_priv.h: optimizer steps on runs of neighbouring elements, for one CPU level. */
#ifndef LUC_OPTIM_PRIV_H
#define LUC_OPTIM_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"

#include <float.h>

/* The numbers of one step of one parameter, in double. Each kernel converts those that it reads. */
typedef struct luc_step {
    double lr, weight_decay, momentum, dampening, eps, rho;
    double beta1, beta2, step_size, root_correction; /* adam: lr / (1 - b1^t), sqrt(1 - b2^t) */
    bool first, nesterov, maximize, amsgrad, decoupled;
} luc_step;

/* The smallest normal number of S, float or double: moments below it become 0. */
#define LUC_STEP_LEAST(S) (sizeof(S) == sizeof(float) ? (S)FLT_MIN : (S)DBL_MIN)

/* The same for a mean square that is used together with eps, in float or double (`size` bytes). It
 * is 0, which keeps every number, if eps is so small that a number that becomes 0 would matter
 * beside it. Adam adds eps to the square's root, Adadelta to the square. backends/cuda/optim.cu has
 * the same bounds. */
static inline double luc_least_under_root(double eps, size_t size)
{
    if (size == sizeof(float)) return eps >= 0x1p-33 ? (double)FLT_MIN : 0;
    return eps >= 0x1p-451 ? DBL_MIN : 0;
}
static inline double luc_least_in_sum(double eps, size_t size)
{
    if (size == sizeof(float)) return eps >= 0x1p-96 ? (double)FLT_MIN : 0;
    return eps >= 0x1p-962 ? DBL_MIN : 0;
}

typedef void (*luc_step_fn)(const luc_step *s, void *param, const void *grad, void *const *state,
                            int64_t n);

typedef struct luc_optim_table {
    luc_step_fn sgd[4], adam[4], adadelta[4];
    double (*sum_squares[4])(const void *x, int64_t n);
    /* x *= factor; false where an x was NaN or infinite */
    bool (*unscale[4])(void *x, double factor, int64_t n);
} luc_optim_table;
LUC_DECLARE_TABLES(luc_optim_table, luc_optim)

#endif

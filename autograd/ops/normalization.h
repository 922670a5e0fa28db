/* normalization.h: batch normalisation and dropout, as functions. */
#ifndef LUCID_AUTOGRAD_OPS_NORMALIZATION_H
#define LUCID_AUTOGRAD_OPS_NORMALIZATION_H

#include "autograd/op.h"

LUCID_BEGIN_DECLS

typedef struct lucid_batch_norm_options {
    lucid_tensor *weight, *bias;              /* [C] or NULL: 1 and 0 */
    lucid_tensor *running_mean, *running_var; /* [C] or NULL */
    bool training;   /* use the batch's statistics and, with momentum, update the running ones */
    double momentum; /* new = (1 - momentum) old + momentum batch */
    double eps;
    lucid_tensor *residual; /* like x, or NULL: added to what was normalised */
    bool relu;              /* then ReLU: y = max(0, batch_norm(x) + residual), in one pass */
    /* Where the batch's statistics are used: x's own mean and biased variance per channel, [C] of
     * float64, if they are known (lucid_conv2d_statistics finds them). Both or neither. */
    lucid_tensor *mean, *var;
    const char *name; /* of the caller in error messages: "BatchNorm2d" */
} lucid_batch_norm_options;
#define LUCID_BATCH_NORM_DEFAULTS                                                               \
    .weight = NULL, .bias = NULL, .running_mean = NULL, .running_var = NULL, .training = false, \
    .momentum = 0.1, .eps = 1e-5, .residual = NULL, .relu = false, .mean = NULL, .var = NULL,   \
    .name = "batch_norm"
LUCID_API extern const lucid_batch_norm_options lucid_batch_norm_defaults;

/* Batch normalisation (Ioffe and Szegedy, 2015) of x [N,C] or [N,C,...]:
 *     y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias,  Var biased, per channel
 * running_mean and running_var change in place when training (Var unbiased there). Without training,
 * the running statistics are used and are constants for the gradient; without them, the batch's.
 * With .residual and .relu the operators that usually follow are done at once, with the results that
 * they would have (but that in 16 bits, what is added to the residual is not rounded first). ReLU's
 * output is kept for backward only where a residual was added.
 * Where the squares of float64 overflow (beyond 1e154) the variance is infinite: y is bias + residual
 * and the gradients of x and weight are 0, as in PyTorch.
 * It can be differentiated any number of times. With the batch's statistics the second derivative is
 * computed in float64, whatever the dtypes, so that a mean far from 0 costs it no accuracy.
 * Errors: n == 1 value per channel with batch statistics; sizes; integer dtypes; running statistics
 * missing in eval. 16-bit x: parameters and statistics may be float32. */
LUCID_API lucid_tensor *lucid_batch_norm_opt(lucid_tensor *x,
                                             const lucid_batch_norm_options *options);

/* Zeroes elements with probability p and scales the others by 1/(1-p) when training (Srivastava et
 * al., 2014); returns x itself otherwise. p in [0, 1]. Uses the default generator. */
LUCID_API lucid_tensor *lucid_dropout(lucid_tensor *x, double p, bool training);

#ifndef __cplusplus
/* lucid_batch_norm(x, .weight = w, .bias = b, .training = true) */
#define lucid_batch_norm(...)                                                              \
    LUCID_CALL(lucid_tensor *,                                                             \
               lucid_batch_norm_opt(LUCID_HEAD(__VA_ARGS__),                               \
                                    &(lucid_batch_norm_options){LUCID_BATCH_NORM_DEFAULTS, \
                                                                LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

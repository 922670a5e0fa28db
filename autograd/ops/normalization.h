/* normalization.h: batch normalisation and dropout, as functions. */
#ifndef LUCID_AUTOGRAD_OPS_NORMALIZATION_H
#define LUCID_AUTOGRAD_OPS_NORMALIZATION_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_batch_norm_options {
    LUCID_OPTIONS_SIZE(lucid_batch_norm_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL), *bias LUCID_DEFAULT(NULL); /* [C] or NULL: 1 and 0 */
    lucid_tensor *running_mean LUCID_DEFAULT(NULL),
        *running_var LUCID_DEFAULT(NULL); /* [C] or NULL */
    /* Use the batch's statistics and, with momentum, update the running ones. */
    bool training LUCID_DEFAULT(false);
    double momentum LUCID_DEFAULT(0.1); /* new = (1 - momentum) old + momentum batch */
    double eps LUCID_DEFAULT(1e-5);
    /* Like x, or NULL: added to what was normalised. */
    lucid_tensor *residual LUCID_DEFAULT(NULL);
    /* Then ReLU: y = max(0, batch_norm(x) + residual), in one pass. */
    bool relu LUCID_DEFAULT(false);
    /* Where the batch's statistics are used: x's own mean and biased variance per channel, [C] of
     * float64, if they are known (the operator conv2d_statistics finds them). Both or neither. */
    lucid_tensor *mean LUCID_DEFAULT(NULL), *var LUCID_DEFAULT(NULL);
    const char *name LUCID_DEFAULT(NULL); /* of the caller in error messages; NULL: batch_norm */
} lucid_batch_norm_options;
LUCID_DEFAULTS(lucid_batch_norm, .weight = NULL, .bias = NULL, .running_mean = NULL,
               .running_var = NULL, .training = false, .momentum = 0.1, .eps = 1e-5,
               .residual = NULL, .relu = false, .mean = NULL, .var = NULL, .name = NULL);

/* Batch normalisation (Ioffe and Szegedy, 2015) of x [N,C] or [N,C,...]:
 *     y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias,  Var biased, per channel
 * running_mean and running_var change in place when training (Var unbiased there). Without
 * training, the running statistics are used and are constants for the gradient; without them, the
 * batch's. With .residual and .relu the operators that usually follow are done at once, with the
 * results that they would have (but that in 16 bits, what is added to the residual is not rounded
 * first). ReLU's output is kept for backward only where a residual was added.
 * Where the squares of float64 overflow (beyond 1e154) the variance is infinite: y is bias +
 * residual and the gradients of x and weight are 0, as in PyTorch.
 * It can be differentiated any number of times. With the batch's statistics the second derivative
 * is computed in float64, whatever the dtypes, so that a mean far from 0 costs it no accuracy.
 * Errors: n == 1 value per channel with batch statistics; sizes; integer dtypes; running statistics
 * missing in eval. 16-bit x: parameters and statistics may be float32. */
LUCID_API lucid_tensor *lucid_batch_norm_opt(lucid_tensor *x,
                                             const lucid_batch_norm_options *options);

/* Zeroes elements with probability p and scales the others by 1/(1-p) when training (Srivastava et
 * al., 2014); returns x itself otherwise. p in [0, 1]. Uses the default generator. */
LUCID_API lucid_tensor *lucid_dropout(lucid_tensor *x, double p, bool training);

/* lucid_batch_norm(x, .weight = w, .bias = b, .training = true) */
#define lucid_batch_norm(...) \
    LUCID_CALL1(lucid_batch_norm_opt, lucid_batch_norm, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

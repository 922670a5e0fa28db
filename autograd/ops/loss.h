/* loss.h: softmax and losses. */
#ifndef LUCID_AUTOGRAD_OPS_LOSS_H
#define LUCID_AUTOGRAD_OPS_LOSS_H

#include "../../lucid/core/tensor.h"
#include "../../lucid/core/reduction.h"

LUCID_BEGIN_DECLS

/* exp(x) / sum(exp(x)) along dim, and its logarithm; computed from x - max(x). */
LUCID_API lucid_tensor *lucid_softmax(lucid_tensor *x, int dim);
LUCID_API lucid_tensor *lucid_log_softmax(lucid_tensor *x, int dim);

typedef struct lucid_cross_entropy_options {
    LUCID_OPTIONS_SIZE(lucid_cross_entropy_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL);          /* [C], or NULL: 1 */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
    int64_t ignore_index LUCID_DEFAULT(-100);          /* a class that does not count */
    double label_smoothing LUCID_DEFAULT(0);           /* in [0, 1] */
} lucid_cross_entropy_options;
LUCID_DEFAULTS(lucid_cross_entropy, .weight = NULL, .reduction = LUCID_REDUCTION_MEAN,
               .ignore_index = -100, .label_smoothing = 0);

typedef struct lucid_nll_loss_options {
    LUCID_OPTIONS_SIZE(lucid_nll_loss_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL); /* [C], or NULL: 1 */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN);
    int64_t ignore_index LUCID_DEFAULT(-100); /* a class that does not count */
} lucid_nll_loss_options;
LUCID_DEFAULTS(lucid_nll_loss, .weight = NULL, .reduction = LUCID_REDUCTION_MEAN,
               .ignore_index = -100);

typedef struct lucid_mse_loss_options {
    LUCID_OPTIONS_SIZE(lucid_mse_loss_options);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN);
} lucid_mse_loss_options;
LUCID_DEFAULTS(lucid_mse_loss, .reduction = LUCID_REDUCTION_MEAN);

/* logits [N,C] or [N,C,...] or [C]; target: int64 classes [N], [N,...] or 0-d, or probabilities of
 * the logits' shape and dtype. A class out of [0, C) that is not ignore_index is an error (on a
 * CUDA device it comes with the next call that waits for the device). */
LUCID_API lucid_tensor *lucid_cross_entropy_opt(lucid_tensor *logits, lucid_tensor *target,
                                                const lucid_cross_entropy_options *options);
/* The same from log-probabilities (of lucid_log_softmax) and classes. */
LUCID_API lucid_tensor *lucid_nll_loss_opt(lucid_tensor *log_probs, lucid_tensor *target,
                                           const lucid_nll_loss_options *options);
/* (input - target)^2, reduced. */
LUCID_API lucid_tensor *lucid_mse_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                           const lucid_mse_loss_options *options);
/* lucid_cross_entropy(logits, target, .label_smoothing = 0.1) */
#define lucid_cross_entropy(...) LUC_LOSS(lucid_cross_entropy, __VA_ARGS__)
#define lucid_nll_loss(...)      LUC_LOSS(lucid_nll_loss, __VA_ARGS__)
#define lucid_mse_loss(...)      LUC_LOSS(lucid_mse_loss, __VA_ARGS__)
#define LUC_LOSS(name, ...)      LUCID_CALL2(name##_opt, name, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

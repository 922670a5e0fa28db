/* loss.h: softmax and losses. */
#ifndef LUCID_AUTOGRAD_OPS_LOSS_H
#define LUCID_AUTOGRAD_OPS_LOSS_H

#include "autograd/op.h"
#include "lucid/attrs.h" /* LUCID_REDUCTION_... */

LUCID_BEGIN_DECLS

/* exp(x) / sum(exp(x)) along dim, and its logarithm; computed from x - max(x). */
LUCID_API lucid_tensor *lucid_softmax(lucid_tensor *x, int dim);
LUCID_API lucid_tensor *lucid_log_softmax(lucid_tensor *x, int dim);

typedef struct lucid_loss_options {
    lucid_tensor *weight;   /* [C], or NULL: 1 (cross_entropy, nll_loss) */
    int reduction;          /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
    int64_t ignore_index;   /* a class that does not count (cross_entropy, nll_loss) */
    double label_smoothing; /* in [0, 1] (cross_entropy) */
} lucid_loss_options;
#define LUCID_LOSS_DEFAULTS \
    .weight = NULL, .reduction = LUCID_REDUCTION_MEAN, .ignore_index = -100, .label_smoothing = 0
LUCID_API extern const lucid_loss_options lucid_loss_defaults;

/* logits [N,C] or [N,C,...] or [C]; target: int64 classes [N], [N,...] or 0-d, or probabilities of
 * the logits' shape and dtype. A class out of [0, C) that is not ignore_index is an error (on a
 * CUDA device it comes with the next call that waits for the device). */
LUCID_API lucid_tensor *lucid_cross_entropy_opt(lucid_tensor *logits, lucid_tensor *target,
                                                const lucid_loss_options *options);
/* The same from log-probabilities (of lucid_log_softmax) and classes. */
LUCID_API lucid_tensor *lucid_nll_loss_opt(lucid_tensor *log_probs, lucid_tensor *target,
                                           const lucid_loss_options *options);
/* (input - target)^2, reduced. */
LUCID_API lucid_tensor *lucid_mse_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                           const lucid_loss_options *options);
#ifndef __cplusplus
#define LUC_LOSS(fn, input, ...)                  \
    LUCID_CALL(lucid_tensor *,                    \
               fn(input, LUCID_HEAD(__VA_ARGS__), \
                  &(lucid_loss_options){LUCID_LOSS_DEFAULTS, LUCID_TAIL(__VA_ARGS__)}))
/* lucid_cross_entropy(logits, target, .label_smoothing = 0.1) */
#define lucid_cross_entropy(logits, ...) LUC_LOSS(lucid_cross_entropy_opt, logits, __VA_ARGS__)
#define lucid_nll_loss(log_probs, ...)   LUC_LOSS(lucid_nll_loss_opt, log_probs, __VA_ARGS__)
#define lucid_mse_loss(input, ...)       LUC_LOSS(lucid_mse_loss_opt, input, __VA_ARGS__)
#endif

LUCID_END_DECLS
#endif

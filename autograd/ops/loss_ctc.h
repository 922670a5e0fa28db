/* loss_ctc.h: connectionist temporal classification (Graves et al., 2006). */
#ifndef LUCID_AUTOGRAD_OPS_LOSS_CTC_H
#define LUCID_AUTOGRAD_OPS_LOSS_CTC_H

#include "../../lucid/core/reduction.h"
#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_ctc_loss_options {
    LUCID_OPTIONS_SIZE(lucid_ctc_loss_options);
    int64_t blank LUCID_DEFAULT(0); /* the class that stands for no label */
    /* Each sample's loss is divided by its number of labels before LUCID_REDUCTION_MEAN */
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN);
    bool zero_infinity LUCID_DEFAULT(false); /* 0 instead of an infinite loss */
} lucid_ctc_loss_options;
LUCID_DEFAULTS(lucid_ctc_loss, .blank = 0, .reduction = LUCID_REDUCTION_MEAN,
               .zero_infinity = false);
/* -log of the probability of the labels, over all ways to spread them, in order, over time:
 * log_probs [T,N,C] of lucid_log_softmax, targets [N,L] of int64 classes, of which target_lengths
 * [N] count, and input_lengths [N] of the T steps; or [T,C], [L] and two numbers of no dimensions.
 * What lies after a sample's length is not read. PyTorch's targets of all samples in one row are
 * refused. The loss is infinite, and its gradient 0, where the steps are too few for the labels. It
 * is a composition of about 15 operators a step, and waits for the device. Differentiable any
 * number of times; the gradient is that of log_probs themselves, to which PyTorch's adds
 * e^log_probs: after lucid_log_softmax both are the same. Errors: sizes, dtypes, lengths out of
 * [1,T] and [0,L], a class that does not exist; NULL then. Thread-safe.
 *
 *     lucid_ctc_loss(log_probs, targets, input_lengths, target_lengths, .zero_infinity = true) */
LUCID_API lucid_tensor *lucid_ctc_loss_opt(lucid_tensor *log_probs, lucid_tensor *targets,
                                           lucid_tensor *input_lengths,
                                           lucid_tensor *target_lengths,
                                           const lucid_ctc_loss_options *options);
#define lucid_ctc_loss(...)                                                             \
    LUCID_CALL4(lucid_ctc_loss_opt, lucid_ctc_loss, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

/* loss_ctc.h: connectionist temporal classification, as a module. Its function and options are in
 * autograd/ops/loss_ctc.h. */
#ifndef LUCID_NN_LAYERS_LOSS_CTC_H
#define LUCID_NN_LAYERS_LOSS_CTC_H

#include "../../autograd/ops/loss_ctc.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_ctc_loss_class;

typedef struct nn_CTCLoss {
    lucid_module base;
    lucid_ctc_loss_options options;
} nn_CTCLoss;

/* Computes lucid_ctc_loss. Errors of the constructor: a reduction that the function refuses.
 *
 *     lucid_module *m = nn_CTCLoss(.zero_infinity = true);
 *     lucid_tensor *loss = lucid_forward(m, log_probs, targets, input_lengths, target_lengths); */
LUCID_API lucid_module *lucid_nn_ctc_loss(const lucid_ctc_loss_options *options);
#define nn_CTCLoss(...) LUCID_CALL0(lucid_nn_ctc_loss, lucid_ctc_loss, __VA_ARGS__)

LUCID_END_DECLS
#endif

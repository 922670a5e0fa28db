/* loss_ctc.c: connectionist temporal classification, as a module. */
#include "nn/layers/loss_ctc.h"
#include "autograd/ops/loss_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/loss_priv.h"

LUC_LOSS_MODULE(CTCLoss, ctc_loss, "log_probs, targets, input_lengths, target_lengths", "loss",
                (in[0], in[1], in[2], in[3]))

lucid_module *lucid_nn_ctc_loss(const lucid_ctc_loss_options *options)
{
    return make_ctc_loss(options);
}

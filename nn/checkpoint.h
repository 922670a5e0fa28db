/* checkpoint.h: activations that backward computes a second time, which takes more time
 * and less memory. */
#ifndef LUCID_NN_CHECKPOINT_H
#define LUCID_NN_CHECKPOINT_H

#include "module.h"

LUCID_BEGIN_DECLS

/* The same as lucid_forward(module, x), but of all tensors inside the module only x is kept for
 * backward, which runs the forward again (Chen et al., 2016), with the same random numbers and
 * autocast, and without counting the batch in running statistics a second time. The gradients of
 * the module's parameters are added to their .grad, so use lucid_backward, not lucid_grad. Errors
 * are those of lucid_forward.
 *
 *     lucid_tensor *y = lucid_checkpoint(block, x); */
LUCID_API lucid_tensor *lucid_checkpoint(lucid_module *module, lucid_tensor *x);
/* The same as lucid_forward_many for several inputs and outputs, which are all on one device. */
LUCID_API bool lucid_checkpoint_many(lucid_module *module, lucid_tensor *const *inputs,
                                     int n_inputs, lucid_tensor **outputs, int n_outputs);
/* Macros that take lists, as lucid_forward and lucid_forward_into do:
 *
 *     lucid_tensor *y = lucid_checkpoint(decoder, x, skip);
 *     bool ok = lucid_checkpoint_into(lstm, (x, h, c), (&y, &h, &c)); */
#define lucid_checkpoint(...) LUC_FORWARD_PICK(lucid_checkpoint, LUC_CHECKPOINT_LIST, __VA_ARGS__)
#define lucid_checkpoint_into(module, inputs, outputs) \
    LUC_FORWARD_INTO(lucid_checkpoint_many, module, inputs, outputs)
#define LUC_CHECKPOINT_LIST(...) \
    LUC_FORWARD_LIST_(lucid_checkpoint_many, LUC_UNIQUE(luc_in_), LUC_UNIQUE(luc_out_), __VA_ARGS__)
/* Whether this thread is repeating a forward for backward. A module whose forward changes its own
 * state must not change it then. */
LUCID_API bool lucid_is_recomputing(void);

LUCID_END_DECLS
#endif

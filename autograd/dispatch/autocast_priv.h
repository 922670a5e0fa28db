/* autocast_priv.h: casting inputs by the operators' policies. */
#ifndef LUCID_AUTOGRAD_DISPATCH_AUTOCAST_PRIV_H
#define LUCID_AUTOGRAD_DISPATCH_AUTOCAST_PRIV_H

#include "autograd/autocast.h"
#include "autograd/op.h"

/* The current dtype of this thread. */
extern _Thread_local lucid_dtype luc_autocast_now;

static inline bool luc_autocast_is_on(void)
{
    return luc_autocast_now != LUCID_AUTOCAST_OFF;
}

/* The dtype to which an operator's policy casts its inputs while autocast is on;
 * LUCID_DTYPE_COUNT if they need no cast. */
lucid_dtype luc_autocast_target(const lucid_op *op, lucid_tensor *const *inputs, int n);
/* cast[n]: the inputs in that dtype. New tensors belong to the current scope. False after an
 * error. */
bool luc_autocast_inputs(lucid_tensor *const *inputs, int n, lucid_dtype dtype,
                         lucid_tensor **cast);
/* For functions of several operators that compute in float32: t, cast as by LUCID_AUTOCAST_FULL if
 * autocast is on. A NULL gives NULL. */
lucid_tensor *luc_autocast_full(lucid_tensor *t);
/* Ends all scopes of the thread. */
void luc_autocast_end_all(void);

#endif

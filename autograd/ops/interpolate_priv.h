/* interpolate_priv.h: what the files of interpolation share. */
#ifndef LUCID_AUTOGRAD_OPS_INTERPOLATE_PRIV_H
#define LUCID_AUTOGRAD_OPS_INTERPOLATE_PRIV_H

#include "autograd/op.h"

/* The operators interpolate and interpolate_backward made of others, for a device that has no
 * kernel for them. */
bool luc_interpolate_compose(const lucid_call *c, lucid_tensor **out);
bool luc_interpolate_backward_compose(const lucid_call *c, lucid_tensor **out);

#endif

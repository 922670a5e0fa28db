/* reduction_priv.h: lists of dimensions, for all that reduces. */
#ifndef LUCID_AUTOGRAD_OPS_REDUCTION_PRIV_H
#define LUCID_AUTOGRAD_OPS_REDUCTION_PRIV_H

#include "lucid/core/tensor_priv.h"

/* A bit for each reduced dimension. False, with an error by op, for a list that is refused. */
bool luc_reduce_mask(const lucid_tensor *x, const lucid_shape *dims, const char *op,
                     uint32_t *mask);

#endif

/* select_priv.h: what reading and writing by indices shares. */
#ifndef LUCID_AUTOGRAD_OPS_SELECT_PRIV_H
#define LUCID_AUTOGRAD_OPS_SELECT_PRIV_H

#include "lucid/core/tensor_priv.h"

/* A number or a tensor [] in x's dtype, on x's device. NULL after an error by op. */
lucid_tensor *luc_as_value(lucid_tensor *value, const lucid_tensor *x, const char *op);
/* An index as int64. NULL after an error by op. */
lucid_tensor *luc_as_index(lucid_tensor *index, const char *op);

#endif

/* arrange_priv.h: what the files of arranging and indexing share. */
#ifndef LUCID_AUTOGRAD_OPS_ARRANGE_PRIV_H
#define LUCID_AUTOGRAD_OPS_ARRANGE_PRIV_H

#include "lucid/core/tensor_priv.h"

/* Whether there is at least one tensor, and none is NULL. */
bool luc_check_tensors(lucid_tensor *const *tensors, size_t n, const char *op);
/* x, copied where elements lie on one another. */
lucid_tensor *luc_without_overlap(lucid_tensor *x);
/* The places of the true elements of a bool tensor [N], in order: int64. Waits for the device. */
lucid_tensor *luc_nonzero_flat(lucid_tensor *mask);
/* start, start + step, ..: n numbers of int64 on x's device. */
lucid_tensor *luc_count_on(const lucid_tensor *x, int64_t start, int64_t step, int64_t n);

#endif

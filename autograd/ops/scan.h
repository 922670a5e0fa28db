/* scan.h: running sums, products and extremes along a dimension.
 *
 * The result has x's sizes: element i is that of elements 0 to i along dim. Negative dims count
 * from the end; a tensor [] is taken as one element. Errors: dim out of range, a dtype that is
 * refused. NULL after an error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_SCAN_H
#define LUCID_AUTOGRAD_OPS_SCAN_H

#include "sorting.h"

LUCID_BEGIN_DECLS

/* Integers and bools give int64, which wraps around. Floating dtypes accumulate in float64. */
LUCID_API lucid_tensor *lucid_cumsum(lucid_tensor *x, int dim);
/* The first derivative is right where elements are 0 too; the second one is where none is. */
LUCID_API lucid_tensor *lucid_cumprod(lucid_tensor *x, int dim);
/* The logarithm of the running sum of e^x, without overflow. Floating dtypes. */
LUCID_API lucid_tensor *lucid_logcumsumexp(lucid_tensor *x, int dim);
/* The largest (smallest) so far, and where it stood: the last one of equals, as in PyTorch. A NaN
 * stays. The gradient of values goes to the elements that they came from. */
LUCID_API lucid_sorted lucid_cummax(lucid_tensor *x, int dim);
LUCID_API lucid_sorted lucid_cummin(lucid_tensor *x, int dim);

LUCID_END_DECLS
#endif

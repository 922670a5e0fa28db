/* matmul.h: matrix products. */
#ifndef LUCID_AUTOGRAD_OPS_MATMUL_H
#define LUCID_AUTOGRAD_OPS_MATMUL_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* PyTorch's matmul: [K]x[K] gives a 0-d dot product; [M,K]x[K,N]; [K]x[K,N]; [M,K]x[K]; with more
 * dimensions a batched product whose leading dimensions broadcast. */
LUCID_API lucid_tensor *lucid_matmul(lucid_tensor *a, lucid_tensor *b);
/* x [..., in] times weight [out, in] transposed, plus bias [out] (may be NULL): [..., out]. */
LUCID_API lucid_tensor *lucid_linear(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias);

LUCID_END_DECLS
#endif

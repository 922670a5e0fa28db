/* update_priv.h: what the updates of optimizers are made of. Each gives a new tensor in the scope
 * of the moment; NULL after an error, which propagates. */
#ifndef LUCID_NN_OPTIM_UPDATE_PRIV_H
#define LUCID_NN_OPTIM_UPDATE_PRIV_H

#include "autograd/ops/elementwise.h"
#include "autograd/ops/numbers.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "nn/optim/optimizer_priv.h"

/* x + a y */
static inline lucid_tensor *luc_add_scaled(lucid_tensor *x, double a, lucid_tensor *y)
{
    return lucid_add_(lucid_mul_scalar(y, a), x);
}

/* x + w (y - x) */
static inline lucid_tensor *luc_lerp(lucid_tensor *x, lucid_tensor *y, double w)
{
    return lucid_add_(lucid_mul_scalar_(lucid_sub(y, x), w), x);
}

/* beta v + (1 - beta) g^2 */
static inline lucid_tensor *luc_average_square(lucid_tensor *v, lucid_tensor *g, double beta)
{
    return lucid_add_(lucid_mul_scalar_(lucid_square(g), 1 - beta), lucid_mul_scalar(v, beta));
}

/* x + a y / d */
static inline lucid_tensor *luc_add_quotient(lucid_tensor *x, double a, lucid_tensor *y,
                                             lucid_tensor *d)
{
    return lucid_add_(lucid_mul_scalar_(lucid_div(y, d), a), x);
}

/* The square root of the sum of squares, 0-d: in float32 where x has a 16-bit dtype. */
lucid_tensor *luc_update_norm(lucid_tensor *x);
/* a / b, and 1 where one of the two (0-d) is 0. */
lucid_tensor *luc_trust(lucid_tensor *a, lucid_tensor *b);
/* 0-d: a number for all elements of x, in x's dtype. */
lucid_tensor *luc_as_dtype(lucid_tensor *number, const lucid_tensor *x);

#endif

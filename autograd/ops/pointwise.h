/* pointwise.h: mathematics element by element, besides the plain functions of lucid/core/ops.def
 * (elementwise.h: lucid_sin, lucid_log1p, lucid_erf, lucid_atan2, ...).
 *
 * Sizes broadcast and dtypes meet as in elementwise.h. NULL after an error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_POINTWISE_H
#define LUCID_AUTOGRAD_OPS_POINTWISE_H

#include "../../lucid/core/options.h"
#include "../../lucid/core/tensor.h"

#include <math.h>

LUCID_BEGIN_DECLS

/* ---- whole numbers: the gradient is 0; integers are returned as a copy ----------------------- */

/* The largest whole number that is not above x; the smallest that is not below x. */
LUCID_API lucid_tensor *lucid_floor(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_ceil(lucid_tensor *x);
/* The nearest whole number, of two the even one: 0.5 gives 0, 1.5 and 2.5 give 2. */
LUCID_API lucid_tensor *lucid_round(lucid_tensor *x);
/* x without its fraction. */
LUCID_API lucid_tensor *lucid_trunc(lucid_tensor *x);

/* ---- conditions: bool tensors, without a gradient -------------------------------------------- */

/* Where x is infinite, of either sign; where x is neither infinite nor NaN. Integers are finite.
 * They are called like lucid_nan_mask, because a tensor as a C condition would always be true. */
LUCID_API lucid_tensor *lucid_inf_mask(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_finite_mask(lucid_tensor *x);
#define lucid_isinf(x)    lucid_isinf_is_lucid_inf_mask
#define lucid_isfinite(x) lucid_isfinite_is_lucid_finite_mask
/* Of any dtypes: an element counts as true unless it is 0, so a NaN is true. The second argument
 * may be a number. */
LUCID_API lucid_tensor *lucid_logical_and(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_logical_or(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_logical_xor(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_logical_not(lucid_tensor *x);

/* ---- replaced and combined values ------------------------------------------------------------ */

typedef struct lucid_nan_to_num_options {
    LUCID_OPTIONS_SIZE(lucid_nan_to_num_options);
    double nan LUCID_DEFAULT(0.0);    /* replaces NaN */
    double posinf LUCID_DEFAULT(NAN); /* replaces infinity; NAN: the dtype's largest number */
    double neginf LUCID_DEFAULT(NAN); /* replaces -infinity; NAN: the dtype's lowest number */
} lucid_nan_to_num_options;
LUCID_DEFAULTS(lucid_nan_to_num, .nan = 0.0, .posinf = NAN, .neginf = NAN);
/* x with finite numbers; the gradient is 0 where a value was replaced. Integers are returned as
 * they are.    lucid_nan_to_num(x)    lucid_nan_to_num(x, .posinf = 1e6) */
LUCID_API lucid_tensor *lucid_nan_to_num_opt(lucid_tensor *x,
                                             const lucid_nan_to_num_options *options);
#define lucid_nan_to_num(...) \
    LUCID_CALL1(lucid_nan_to_num_opt, lucid_nan_to_num, LUCID_ASIS, __VA_ARGS__)

/* a + weight (b - a): a where weight is 0, and exactly b where it is 1. weight is a tensor or a
 * number. Floating dtypes.    lucid_lerp(a, b, 0.25) */
LUCID_API lucid_tensor *lucid_lerp(lucid_tensor *a, lucid_tensor *b, lucid_tensor *weight);
/* x + value a b, and x + value a / b; PyTorch's default of value is 1. */
LUCID_API lucid_tensor *lucid_addcmul(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                      double value);
LUCID_API lucid_tensor *lucid_addcdiv(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                      double value);

LUCID_END_DECLS
#endif

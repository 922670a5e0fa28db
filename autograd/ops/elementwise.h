/* elementwise.h: operators that work element by element, with NumPy's broadcasting and PyTorch's type
 * promotion. Results keep the inputs' memory format. Errors: shapes that do not broadcast, dtypes
 * that the operator refuses, inputs on different devices. */
#ifndef LUCID_AUTOGRAD_OPS_ELEMENTWISE_H
#define LUCID_AUTOGRAD_OPS_ELEMENTWISE_H

#include "../../lucid/tensor.h"

LUCID_BEGIN_DECLS

/* ---- two tensors, or a tensor and a number: lucid_mul(x, 2) (numbers.h) ---- */
LUCID_API lucid_tensor *lucid_add(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_sub(lucid_tensor *a, lucid_tensor *b); /* bools are refused */
LUCID_API lucid_tensor *lucid_mul(lucid_tensor *a, lucid_tensor *b);
/* True division: integers give float32. */
LUCID_API lucid_tensor *lucid_div(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_pow(lucid_tensor *a, lucid_tensor *b);
/* NaN where either is NaN; at ties the gradient is shared in halves. */
LUCID_API lucid_tensor *lucid_minimum(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_maximum(lucid_tensor *a, lucid_tensor *b);
/* Comparisons give LUCID_BOOL and no gradient. */
LUCID_API lucid_tensor *lucid_eq(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_ne(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_lt(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_le(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_gt(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_ge(lucid_tensor *a, lucid_tensor *b);
/* condition (LUCID_BOOL) ? a : b, all three broadcast. */
LUCID_API lucid_tensor *lucid_where(lucid_tensor *condition, lucid_tensor *a, lucid_tensor *b);

/* ---- a tensor and a number: the tensor's dtype (integers with what is no int64 give float32) ---- */
LUCID_API lucid_tensor *lucid_add_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_sub_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_mul_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_div_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_pow_scalar(lucid_tensor *x, double exponent);

/* ---- one tensor (integers give float32 where the result is not an integer) ---- */
LUCID_API lucid_tensor *lucid_neg(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_abs(lucid_tensor *x);  /* derivative 0 at 0 */
LUCID_API lucid_tensor *lucid_sign(lucid_tensor *x); /* -1, 0 or 1; no gradient */
LUCID_API lucid_tensor *lucid_exp(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_log(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_sqrt(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_rsqrt(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_square(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_reciprocal(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_tanh(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_sigmoid(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_relu(lucid_tensor *x); /* derivative 0 at 0; NaN stays NaN */
LUCID_API lucid_tensor *lucid_silu(lucid_tensor *x); /* x * sigmoid(x) */
/* x * Phi(x) (Hendrycks and Gimpel, 2016); tanh_approximation: its tanh form. */
LUCID_API lucid_tensor *lucid_gelu(lucid_tensor *x, bool tanh_approximation);
/* min and max may be -INFINITY and INFINITY; derivative 1 inside, 0 on the bounds. NaN stays.
 * Integers with a bound that has a fraction give float32. */
LUCID_API lucid_tensor *lucid_clamp(lucid_tensor *x, double min, double max);
/* Where x is NaN, element by element: a bool tensor. lucid_has_nan says whether any is. */
LUCID_API lucid_tensor *lucid_nan_mask(lucid_tensor *x);
/* Whether an element is NaN, as a C value; waits for the device. False for NULL. Both are called in
 * full, because a tensor is a pointer: `if (lucid_isnan(loss))` would always be true. */
LUCID_API bool lucid_has_nan(lucid_tensor *x);
#define lucid_isnan(x) lucid_isnan_is_lucid_nan_mask_for_a_tensor_or_lucid_has_nan_for_a_condition

/* ---- in place: the result is written into the first argument, which is returned ---- */
/* Refused for a leaf that requires a gradient while recording, and where the result's sizes or
 * dtype differ from the argument's. The storage's version goes up. */
LUCID_API lucid_tensor *lucid_add_(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_sub_(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_mul_(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_div_(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_add_scalar_(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_mul_scalar_(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_neg_(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_exp_(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_sqrt_(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_tanh_(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_sigmoid_(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_relu_(lucid_tensor *x);
LUCID_API lucid_tensor *lucid_clamp_(lucid_tensor *x, double min, double max);
/* As lucid_full: an integer dtype must hold the value; its fraction is cut off. */
LUCID_API lucid_tensor *lucid_fill_(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_zero_(lucid_tensor *x);
/* Copies source (broadcast, converted, from any device) into x. */
LUCID_API lucid_tensor *lucid_copy_(lucid_tensor *x, lucid_tensor *source);
/* x is filled with random numbers of the default generator. */
LUCID_API lucid_tensor *lucid_uniform_(lucid_tensor *x, double low, double high);
LUCID_API lucid_tensor *lucid_normal_(lucid_tensor *x, double mean, double std);

LUCID_END_DECLS
#endif

/* elementwise.h: operators that work element by element, with NumPy's broadcasting and PyTorch's
 * type promotion. Results keep the inputs' memory format. Errors: shapes that do not broadcast,
 * dtypes that the operator refuses, inputs on different devices. */
#ifndef LUCID_AUTOGRAD_OPS_ELEMENTWISE_H
#define LUCID_AUTOGRAD_OPS_ELEMENTWISE_H

#include "../../lucid/core/options.h"
#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- the plain ones -------------------------------------------------------------------------- */

/* Each line of lucid/core/ops.def that ends in CALL declares one of these:
 *
 *     lucid_tensor *lucid_exp(lucid_tensor *x)    LUC_UNARY: abs sign exp log sqrt rsqrt square
 *         reciprocal tanh sigmoid relu silu ...
 *     lucid_tensor *lucid_add(lucid_tensor *a, lucid_tensor *b)    LUC_BINARY: add minimum maximum,
 *         and eq ne lt le gt ge, which give LUCID_BOOL and no gradient
 *
 * SAME in the line keeps integers, FLOATING converts them to float32. NULL after an error. Two
 * tensors may also be a tensor and a number: lucid_add(x, 2) (numbers.h). Thread-safe. */
#define LUC_DECLARE_UNARY_CALL(name) LUCID_API lucid_tensor *lucid_##name(lucid_tensor *x);
#define LUC_DECLARE_BINARY_CALL(name) \
    LUCID_API lucid_tensor *lucid_##name(lucid_tensor *a, lucid_tensor *b);
#define LUC_DECLARE_UNARY_OWN(name)
#define LUC_DECLARE_BINARY_OWN(name)
#define LUC_UNARY(name, type, numbers, call)  LUC_DECLARE_UNARY_##call(name)
#define LUC_BINARY(name, type, numbers, call) LUC_DECLARE_BINARY_##call(name)
#include "../../lucid/core/ops.def"
#undef LUC_DECLARE_UNARY_CALL
#undef LUC_DECLARE_BINARY_CALL
#undef LUC_DECLARE_UNARY_OWN
#undef LUC_DECLARE_BINARY_OWN

/* ---- two tensors, or a tensor and a number: lucid_mul(x, 2) (numbers.h) ---- */
LUCID_API lucid_tensor *lucid_sub(lucid_tensor *a, lucid_tensor *b); /* bools are refused */
LUCID_API lucid_tensor *lucid_mul(lucid_tensor *a, lucid_tensor *b);
/* True division: integers give float32. */
LUCID_API lucid_tensor *lucid_div(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_pow(lucid_tensor *a, lucid_tensor *b);
/* condition (LUCID_BOOL) ? a : b, all three broadcast. */
LUCID_API lucid_tensor *lucid_where(lucid_tensor *condition, lucid_tensor *a, lucid_tensor *b);

/* ---- a tensor and a number: the tensor's dtype (integers with what is no int64 give float32) - */
LUCID_API lucid_tensor *lucid_add_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_sub_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_mul_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_div_scalar(lucid_tensor *x, double value);
LUCID_API lucid_tensor *lucid_pow_scalar(lucid_tensor *x, double exponent);

/* ---- one tensor (integers give float32 where the result is not an integer) ---- */
LUCID_API lucid_tensor *lucid_neg(lucid_tensor *x);
/* x * Phi(x) (Hendrycks and Gimpel, 2016); tanh_approximation: its tanh form. */
LUCID_API lucid_tensor *lucid_gelu(lucid_tensor *x, bool tanh_approximation);
typedef struct lucid_softplus_options {
    LUCID_OPTIONS_SIZE(lucid_softplus_options);
    double beta LUCID_DEFAULT(1.0);
    double threshold LUCID_DEFAULT(20.0); /* x itself where beta x is larger */
} lucid_softplus_options;
LUCID_DEFAULTS(lucid_softplus, .beta = 1.0, .threshold = 20.0);
/* log(1 + e^(beta x)) / beta, a smooth relu.    lucid_softplus(x)    lucid_softplus(x, .beta =
 * 2) */
LUCID_API lucid_tensor *lucid_softplus_opt(lucid_tensor *x, const lucid_softplus_options *options);
#define lucid_softplus(...) LUCID_CALL1(lucid_softplus_opt, lucid_softplus, LUCID_ASIS, __VA_ARGS__)
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

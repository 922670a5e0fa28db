/* pointwise.c: mathematical functions, element by element: rounding, trigonometry, logarithms,
 * exponentials, the error function, and remainders. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/view.h"

/* ---- one tensor ------------------------------------------------------------------------------ */

/* The operator of the C function `function`, with the derivative op_vjp and the list of samples. */
#define MATH(op, function, text, policy, keep, list)                \
    static double op##_element(const double *in, const void *attrs) \
    {                                                               \
        (void)attrs;                                                \
        return function(in[0]);                                     \
    }                                                               \
    const lucid_op luc_op_##op = {                                  \
        .name = #op,                                                \
        .schema = "x",                                              \
        .doc = text,                                                \
        .id = LUCID_OP_##op,                                        \
        .n_in = 1,                                                  \
        .n_out = 1,                                                 \
        .autocast = policy,                                         \
        .saves = keep,                                              \
        .vjp = op##_vjp,                                            \
        .element = op##_element,                                    \
        LUC_SAMPLES(list),                                          \
    }

/* A derivative as an expression of the gradient g and of x, or of the result y. */
#define FROM_INPUT(op, expression)                                      \
    static bool op##_vjp(lucid_vjp *v)                                  \
    {                                                                   \
        lucid_tensor *g = v->grad_out[0], *x = lucid_saved_input(v, 0); \
        v->grad_in[0] = (expression);                                   \
        return v->grad_in[0] != NULL;                                   \
    }
#define FROM_OUTPUT(op, expression)                                      \
    static bool op##_vjp(lucid_vjp *v)                                   \
    {                                                                    \
        lucid_tensor *g = v->grad_out[0], *y = lucid_saved_output(v, 0); \
        v->grad_in[0] = (expression);                                    \
        return v->grad_in[0] != NULL;                                    \
    }

static const lucid_sample any_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_RANGE(-1.3, 1.3, {2, {3, 5}})}},
    {.name = "scalar", .n_in = 1, .in = {LUC_IN0()}},
    {.name = "image", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}},
    {.name = "empty", .n_in = 1, .in = {LUC_IN2(0, 3)}},
};
static const lucid_sample unit_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_RANGE(-0.8, 0.8, {2, {3, 5}})}},
    {.name = "image", .n_in = 1, .in = {LUC_RANGE(-0.8, 0.8, {4, {2, 3, 4, 5}})}},
};
static const lucid_sample positive_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_RANGE(0.2, 3, {2, {3, 5}})}},
    {.name = "image", .n_in = 1, .in = {LUC_RANGE(0.2, 3, {4, {2, 3, 4, 5}})}},
};
/* Within one step, because differences cannot follow over its end. The gradient is the constant 0,
 * so it has no second derivative. */
static const lucid_sample step_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_RANGE(0.1, 0.4, {2, {3, 5}})}, .no_second = true},
    {.name = "image",
     .n_in = 1,
     .in = {LUC_RANGE(-1.9, -1.6, {4, {2, 3, 4, 5}})},
     .no_second = true},
};

static bool zero_vjp(lucid_vjp *v)
{
    v->grad_in[0] = luc_full_like(v->grad_out[0], 0);
    return v->grad_in[0] != NULL;
}

#define floor_vjp zero_vjp
#define ceil_vjp  zero_vjp
#define round_vjp zero_vjp
#define trunc_vjp zero_vjp
MATH(floor, floor, "the largest whole number <= x", 0, NULL, step_samples);
MATH(ceil, ceil, "the smallest whole number >= x", 0, NULL, step_samples);
MATH(round, rint, "the nearest whole number, of two the even one", 0, NULL, step_samples);
MATH(trunc, trunc, "x without its fraction", 0, NULL, step_samples);

/* sqrt(1 - x^2): the derivatives of asin and acos are its reciprocal. (1 - x) (1 + x) keeps its
 * digits near 1. */
static lucid_tensor *other_leg(lucid_tensor *x)
{
    lucid_tensor *minus = lucid_add_scalar(lucid_neg(x), 1), *plus = lucid_add_scalar(x, 1);
    return lucid_sqrt(lucid_mul(minus, plus));
}

#define ONE_MORE(t)       lucid_add_scalar(t, 1)
#define SCALED(t, number) lucid_mul_scalar(t, number)
FROM_INPUT(sin, lucid_mul(g, lucid_cos(x)))
FROM_INPUT(cos, lucid_neg(lucid_mul(g, lucid_sin(x))))
FROM_OUTPUT(tan, lucid_mul(g, ONE_MORE(lucid_square(y))))
FROM_INPUT(asin, lucid_div(g, other_leg(x)))
FROM_INPUT(acos, lucid_neg(lucid_div(g, other_leg(x))))
FROM_INPUT(atan, lucid_div(g, ONE_MORE(lucid_square(x))))
FROM_INPUT(sinh, lucid_mul(g, lucid_cosh(x)))
FROM_INPUT(cosh, lucid_mul(g, lucid_sinh(x)))
FROM_INPUT(log1p, lucid_div(g, ONE_MORE(x)))
FROM_INPUT(log2, lucid_div(g, SCALED(x, 0.69314718055994530942)))
FROM_INPUT(log10, lucid_div(g, SCALED(x, 2.30258509299404568402)))
FROM_OUTPUT(expm1, lucid_mul(g, ONE_MORE(y)))
FROM_OUTPUT(exp2, lucid_mul(g, SCALED(y, 0.69314718055994530942)))
/* 2 / sqrt(pi) e^(-x^2) */
#define BELL(factor) lucid_mul(g, SCALED(lucid_exp(lucid_neg(lucid_square(x))), factor))
FROM_INPUT(erf, BELL(1.12837916709551257390))
FROM_INPUT(erfc, BELL(-1.12837916709551257390))

#define FULL LUCID_AUTOCAST_FULL
MATH(sin, sin, "sine", 0, luc_save_input, any_samples);
MATH(cos, cos, "cosine", 0, luc_save_input, any_samples);
MATH(tan, tan, "tangent", FULL, luc_save_output, any_samples);
MATH(asin, asin, "inverse sine", FULL, luc_save_input, unit_samples);
MATH(acos, acos, "inverse cosine", FULL, luc_save_input, unit_samples);
MATH(atan, atan, "inverse tangent", 0, luc_save_input, any_samples);
MATH(sinh, sinh, "hyperbolic sine", FULL, luc_save_input, any_samples);
MATH(cosh, cosh, "hyperbolic cosine", FULL, luc_save_input, any_samples);
MATH(log1p, log1p, "log(1 + x)", FULL, luc_save_input, unit_samples);
MATH(log2, log2, "logarithm to the base 2", FULL, luc_save_input, positive_samples);
MATH(log10, log10, "logarithm to the base 10", FULL, luc_save_input, positive_samples);
MATH(expm1, expm1, "e^x - 1", FULL, luc_save_output, any_samples);
MATH(exp2, exp2, "2^x", 0, luc_save_output, any_samples);
MATH(erf, erf, "error function", 0, luc_save_input, any_samples);
MATH(erfc, erfc, "1 - erf(x)", 0, luc_save_input, any_samples);

/* ---- two tensors ----------------------------------------------------------------------------- */

static bool give(lucid_vjp *v, int i, lucid_tensor *grad)
{
    v->grad_in[i] = lucid_sum_to_input(v, i, grad);
    return v->grad_in[i] != NULL;
}

static uint32_t save_both(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_INPUT(1);
}

/* The gradient of b needs both inputs, that of a none. */
static uint32_t save_for_second(const lucid_call *c)
{
    return c->needs & 2 ? LUCID_SAVE_INPUT(0) | LUCID_SAVE_INPUT(1) : 0;
}

#define PAIRS(lo, hi, lo2, hi2)                                                         \
    {                                                                                   \
        {.name = "same",                                                                \
         .n_in = 2,                                                                     \
         .in = {LUC_RANGE(lo, hi, {2, {3, 5}}), LUC_RANGE(lo2, hi2, {2, {3, 5}})}},     \
            {.name = "row",                                                             \
             .n_in = 2,                                                                 \
             .in = {LUC_RANGE(lo, hi, {2, {3, 5}}), LUC_RANGE(lo2, hi2, {1, {5}})}},    \
            {.name = "column",                                                          \
             .n_in = 2,                                                                 \
             .in = {LUC_RANGE(lo, hi, {2, {3, 1}}), LUC_RANGE(lo2, hi2, {2, {3, 5}})}}, \
    }
static const lucid_sample angle_samples[] = PAIRS(-1, 1, 0.5, 2);
/* a / b is between 2 and 3, away from the steps of its whole part. */
static const lucid_sample rest_samples[] = PAIRS(2.1, 2.4, 0.85, 1);
static const lucid_sample bad_pairs[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_IN2(3, 4)},
     .error = "b: expected a shape that broadcasts"},
};
static const lucid_sample bad_rests[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_IN2(3, 4)},
     .error = "b: expected a shape that broadcasts"},
    {.name = "integers",
     .n_in = 2,
     .in = {LUC_INDEX(5, {2, {3, 5}}), LUC_INDEX(5, {2, {3, 5}})},
     .error = "a: expected a floating dtype"},
};

/* da = g b / (a^2 + b^2), db = -g a / (a^2 + b^2), and 0 where both are 0. */
static bool atan2_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *a = lucid_saved_input(v, 0), *b = lucid_saved_input(v, 1);
    lucid_tensor *square = lucid_add(lucid_square(a), lucid_square(b));
    lucid_tensor *zero = luc_full_like(square, 0), *one = luc_full_like(square, 1);
    lucid_tensor *origin = lucid_eq(square, zero);
    lucid_tensor *part = lucid_div(g, lucid_where(origin, one, square));
    if (luc_needs(v, 0) && !give(v, 0, lucid_mul(part, b))) return false;
    if (luc_needs(v, 1) && !give(v, 1, lucid_neg(lucid_mul(part, a)))) return false;
    return true;
}

static double atan2_element(const double *in, const void *attrs)
{
    (void)attrs;
    return atan2(in[0], in[1]);
}

const lucid_op luc_op_atan2 = {
    .name = "atan2",
    .schema = "a, b",
    .doc = "the angle of the point (b, a)",
    .id = LUCID_OP_atan2,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .saves = save_both,
    .vjp = atan2_vjp,
    .element = atan2_element,
    LUC_SAMPLES(angle_samples),
    LUC_BAD_SAMPLES(bad_pairs),
};

/* Both are a - b n with a whole n, which the derivative takes as constant. */
static bool rest_vjp(lucid_vjp *v, lucid_tensor *(*whole)(lucid_tensor *))
{
    lucid_tensor *g = v->grad_out[0];
    if (luc_needs(v, 0) && !give(v, 0, g)) return false;
    if (!luc_needs(v, 1)) return true;
    lucid_tensor *n = whole(lucid_div(lucid_saved_input(v, 0), lucid_saved_input(v, 1)));
    return give(v, 1, lucid_neg(lucid_mul(g, n)));
}

static bool rest_infer(lucid_call *c)
{
    return luc_want_floating(c, 0) && luc_infer_broadcast(c);
}

static bool fmod_vjp(lucid_vjp *v)
{
    return rest_vjp(v, lucid_trunc);
}

static double fmod_element(const double *in, const void *attrs)
{
    (void)attrs;
    return fmod(in[0], in[1]);
}

static bool remainder_vjp(lucid_vjp *v)
{
    return rest_vjp(v, lucid_floor);
}

static double remainder_element(const double *in, const void *attrs)
{
    (void)attrs;
    const double rest = fmod(in[0], in[1]);
    return rest != 0 && (in[1] < 0) != (rest < 0) ? rest + in[1] : rest;
}

#define REST(op, text)               \
    const lucid_op luc_op_##op = {   \
        .name = #op,                 \
        .schema = "a, b",            \
        .doc = text,                 \
        .id = LUCID_OP_##op,         \
        .n_in = 2,                   \
        .n_out = 1,                  \
        .flags = LUCID_OP_BROADCAST, \
        .infer = rest_infer,         \
        .saves = save_for_second,    \
        .vjp = op##_vjp,             \
        .element = op##_element,     \
        LUC_SAMPLES(rest_samples),   \
        LUC_BAD_SAMPLES(bad_rests),  \
    }
REST(fmod, "the remainder of a / b, with a's sign");
REST(remainder, "the remainder of a / b, with b's sign");

/* ---- the functions --------------------------------------------------------------------------- */

/* Integers are whole numbers already. */
static lucid_tensor *rounded(const lucid_op *op, lucid_tensor *x)
{
    if (!luc_given(x, op->name, "x")) return NULL;
    if (!lucid_dtype_is_floating(x->view.dtype)) return lucid_clone(x, LUCID_PRESERVE);
    return luc_apply1(op, x, NULL);
}

lucid_tensor *lucid_floor(lucid_tensor *x)
{
    return rounded(&luc_op_floor, x);
}

lucid_tensor *lucid_ceil(lucid_tensor *x)
{
    return rounded(&luc_op_ceil, x);
}

lucid_tensor *lucid_round(lucid_tensor *x)
{
    return rounded(&luc_op_round, x);
}

lucid_tensor *lucid_trunc(lucid_tensor *x)
{
    return rounded(&luc_op_trunc, x);
}

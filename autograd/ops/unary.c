/* unary.c: operators of one tensor, element by element (activations: activation.c). */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"

/* ---- helpers --------------------------------------------------------------------------------- */

static bool infer_bool(lucid_call *c)
{
    return luc_infer_broadcast_as(c, LUCID_BOOL);
}

static const lucid_sample any_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_IN2(3, 5)}},
    {.name = "scalar", .n_in = 1, .in = {LUC_IN0()}},
    {.name = "image", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}},
    {.name = "empty", .n_in = 1, .in = {LUC_IN2(0, 3)}},
};
static const lucid_sample positive_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_RANGE(0.2, 3, {2, {3, 5}})}},
    {.name = "scalar", .n_in = 1, .in = {LUC_RANGE(0.2, 3, {0, {0}})}},
    {.name = "image", .n_in = 1, .in = {LUC_RANGE(0.2, 3, {4, {2, 3, 4, 5}})}},
};

/* ---- neg, abs, sign, square ------------------------------------------------------------------ */

static bool neg_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_neg(v->grad_out[0]);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_neg = {
    .name = "neg",
    .schema = "x",
    .doc = "-x",
    .id = LUCID_OP_neg,
    .n_in = 1,
    .n_out = 1,
    .vjp = neg_vjp,
    LUC_SAMPLES(any_samples),
};

static bool abs_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_mul(v->grad_out[0], lucid_sign(lucid_saved_input(v, 0)));
    return v->grad_in[0] != NULL;
}

/* Away from the kink at 0, where differences cannot follow. */
static const lucid_sample abs_samples[] = {
    {.name = "positive", .n_in = 1, .in = {LUC_RANGE(0.1, 1, {2, {3, 5}})}},
    {.name = "negative", .n_in = 1, .in = {LUC_RANGE(-1, -0.1, {2, {3, 5}})}},
};

const lucid_op luc_op_abs = {
    .name = "abs",
    .schema = "x",
    .doc = "|x|",
    .id = LUCID_OP_abs,
    .n_in = 1,
    .n_out = 1,
    .saves = luc_save_input,
    .vjp = abs_vjp,
    LUC_SAMPLES(abs_samples),
};

const lucid_op luc_op_sign = {
    .name = "sign",
    .schema = "x",
    .doc = "-1, 0 or 1",
    .id = LUCID_OP_sign,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_NO_GRAD,
    LUC_SAMPLES(any_samples),
};

static bool square_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_mul(v->grad_out[0], lucid_mul_scalar(lucid_saved_input(v, 0), 2));
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_square = {
    .name = "square",
    .schema = "x",
    .doc = "x * x",
    .id = LUCID_OP_square,
    .n_in = 1,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_input,
    .vjp = square_vjp,
    LUC_SAMPLES(any_samples),
};

/* ---- exp, log, roots, reciprocal ------------------------------------------------------------- */

static bool exp_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_mul(v->grad_out[0], lucid_saved_output(v, 0));
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_exp = {
    .name = "exp",
    .schema = "x",
    .doc = "e^x",
    .id = LUCID_OP_exp,
    .n_in = 1,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_output,
    .vjp = exp_vjp,
    LUC_SAMPLES(any_samples),
};

static bool log_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_div(v->grad_out[0], lucid_saved_input(v, 0));
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_log = {
    .name = "log",
    .schema = "x",
    .doc = "natural logarithm",
    .id = LUCID_OP_log,
    .n_in = 1,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_input,
    .vjp = log_vjp,
    LUC_SAMPLES(positive_samples),
};

/* d sqrt(x) = 1 / (2 sqrt(x)) */
static bool sqrt_vjp(lucid_vjp *v)
{
    lucid_tensor *twice = lucid_mul_scalar(lucid_saved_output(v, 0), 2);
    v->grad_in[0] = lucid_div(v->grad_out[0], twice);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_sqrt = {
    .name = "sqrt",
    .schema = "x",
    .doc = "square root",
    .id = LUCID_OP_sqrt,
    .n_in = 1,
    .n_out = 1,
    .saves = luc_save_output,
    .vjp = sqrt_vjp,
    LUC_SAMPLES(positive_samples),
};

/* d x^(-1/2) = -1/2 y^3 */
static bool rsqrt_vjp(lucid_vjp *v)
{
    lucid_tensor *y = lucid_saved_output(v, 0);
    lucid_tensor *slope = lucid_mul_scalar(lucid_mul(lucid_square(y), y), -0.5);
    v->grad_in[0] = lucid_mul(v->grad_out[0], slope);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_rsqrt = {
    .name = "rsqrt",
    .schema = "x",
    .doc = "1 / sqrt(x)",
    .id = LUCID_OP_rsqrt,
    .n_in = 1,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_output,
    .vjp = rsqrt_vjp,
    LUC_SAMPLES(positive_samples),
};

static bool reciprocal_vjp(lucid_vjp *v)
{
    lucid_tensor *slope = lucid_neg(lucid_square(lucid_saved_output(v, 0)));
    v->grad_in[0] = lucid_mul(v->grad_out[0], slope);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_reciprocal = {
    .name = "reciprocal",
    .schema = "x",
    .doc = "1 / x",
    .id = LUCID_OP_reciprocal,
    .n_in = 1,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_output,
    .vjp = reciprocal_vjp,
    LUC_SAMPLES(positive_samples),
};

const lucid_op luc_op_isnan = {
    .name = "isnan",
    .schema = "x",
    .doc = "x is NaN",
    .id = LUCID_OP_isnan,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_NO_GRAD,
    .infer = infer_bool,
    LUC_SAMPLES(any_samples),
};

/* ---- a tensor and a number ------------------------------------------------------------------- */

static bool add_scalar_vjp(lucid_vjp *v)
{
    v->grad_in[0] = v->grad_out[0];
    return true;
}

static const lucid_scalar_attrs one_and_half = {1.5}, cubed = {3}, half = {0.5};
static const lucid_sample scalar_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &one_and_half},
    {.name = "scalar", .n_in = 1, .in = {LUC_IN0()}, .attrs = &one_and_half},
};
static const lucid_sample pow_scalar_samples[] = {
    {.name = "cube", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &cubed},
    {.name = "root", .n_in = 1, .in = {LUC_RANGE(0.2, 3, {2, {3, 5}})}, .attrs = &half},
};

const lucid_op luc_op_add_scalar = {
    .name = "add_scalar",
    .schema = "x",
    .doc = "x + value",
    .id = LUCID_OP_add_scalar,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_scalar_attrs),
    .vjp = add_scalar_vjp,
    LUC_SAMPLES(scalar_samples),
};

static bool mul_scalar_vjp(lucid_vjp *v)
{
    const lucid_scalar_attrs *a = v->attrs;
    v->grad_in[0] = lucid_mul_scalar(v->grad_out[0], a->value);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_mul_scalar = {
    .name = "mul_scalar",
    .schema = "x",
    .doc = "x * value",
    .id = LUCID_OP_mul_scalar,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_scalar_attrs),
    .vjp = mul_scalar_vjp,
    LUC_SAMPLES(scalar_samples),
};

/* d x^p = p x^(p-1); 0 for p = 0, also where x^(p-1) is infinite. */
static bool pow_scalar_vjp(lucid_vjp *v)
{
    const lucid_scalar_attrs *a = v->attrs;
    if (a->value == 0) {
        v->grad_in[0] = luc_full_like(v->grad_out[0], 0);
        return v->grad_in[0] != NULL;
    }
    lucid_tensor *power = lucid_pow_scalar(lucid_saved_input(v, 0), a->value - 1);
    v->grad_in[0] = lucid_mul(v->grad_out[0], lucid_mul_scalar(power, a->value));
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_pow_scalar = {
    .name = "pow_scalar",
    .schema = "x",
    .doc = "x ^ value",
    .id = LUCID_OP_pow_scalar,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_scalar_attrs),
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_input,
    .vjp = pow_scalar_vjp,
    LUC_SAMPLES(pow_scalar_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

lucid_tensor *lucid_neg(lucid_tensor *x)
{
    if (x && x->view.dtype == LUCID_BOOL)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "neg", "x: expected numbers, got bool %s",
                              luc_shape_text(x).s);
    return luc_apply1(&luc_op_neg, x, NULL);
}

lucid_tensor *luc_apply_floating(const lucid_op *op, lucid_tensor *x, const void *attrs)
{
    if (!luc_given(x, op->name, "x")) return NULL;
    return luc_apply1(op, lucid_cast(x, luc_float_type(x->view.dtype)), attrs);
}

#define DEFINE_SAME(name)     luc_apply1(&luc_op_##name, x, NULL)
#define DEFINE_FLOATING(name) luc_apply_floating(&luc_op_##name, x, NULL)
#define DEFINE_CALL(name, apply)                \
    lucid_tensor *lucid_##name(lucid_tensor *x) \
    {                                           \
        return apply(name);                     \
    }
#define DEFINE_OWN(name, apply)
#define LUC_UNARY(name, type, numbers, call) DEFINE_##call(name, DEFINE_##type)
#include "lucid/core/ops.def"
#include "lucid/core/tensor_priv.h"

lucid_tensor *lucid_nan_mask(lucid_tensor *x)
{
    return luc_apply1(&luc_op_isnan, x, NULL);
}

bool lucid_has_nan(lucid_tensor *x)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *mask = lucid_nan_mask(x);
    return mask && lucid_item(lucid_sum_opt(mask, LUCID_ALL, NULL)) > 0;
}

static lucid_tensor *with_number(const lucid_op *op, lucid_tensor *x, double value)
{
    if (!luc_given(x, op->name, "x")) return NULL;
    lucid_scalar_attrs attrs = {value};
    return luc_apply1(op, lucid_cast(x, luc_type_with_number(x->view.dtype, value)), &attrs);
}

lucid_tensor *lucid_add_scalar(lucid_tensor *x, double value)
{
    return with_number(&luc_op_add_scalar, x, value);
}

lucid_tensor *lucid_sub_scalar(lucid_tensor *x, double value)
{
    LUC_CALLED_AS("sub_scalar");
    return with_number(&luc_op_add_scalar, x, -value);
}

lucid_tensor *lucid_mul_scalar(lucid_tensor *x, double value)
{
    return with_number(&luc_op_mul_scalar, x, value);
}

lucid_tensor *lucid_div_scalar(lucid_tensor *x, double value)
{
    LUC_CALLED_AS("div_scalar");
    return lucid_div(x, lucid_scalar(value));
}

lucid_tensor *lucid_pow_scalar(lucid_tensor *x, double exponent)
{
    if (x && !lucid_dtype_is_floating(x->view.dtype) && exponent < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "pow",
                              "exponent: expected >= 0 for integers, got %g", exponent);
    return with_number(&luc_op_pow_scalar, x, exponent);
}

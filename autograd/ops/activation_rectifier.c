/* activation_rectifier.c: leaky_relu, elu, selu, hardtanh, hardswish, hardsigmoid, mish and their
 * derivatives. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/activation.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/options_priv.h"

/* A derivative op (grad, x): the gradient of grad needs x, that of x needs both. */
static uint32_t save_for_backward(const lucid_call *c)
{
    uint32_t mask = LUCID_SAVE_INPUT(1);
    if (c->needs & 2) mask |= LUCID_SAVE_INPUT(0);
    return mask;
}

/* A derivative that is constant between the kinks: that of x is 0, which saves nothing. */
static uint32_t save_for_straight(const lucid_call *c)
{
    return c->needs & 1 ? LUCID_SAVE_INPUT(1) : 0;
}

/* The vjp of `op`, a derivative (grad, x). curve is the second derivative in x, NULL where 0. */
static bool slope_vjp(lucid_vjp *v, const lucid_op *op,
                      lucid_tensor *(*curve)(lucid_tensor *x, const void *attrs))
{
    const bool bends = luc_needs(v, 1) && curve;
    if (!luc_needs(v, 0) && !bends) return true;
    lucid_tensor *g = v->grad_out[0], *x = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(op, g, x, v->attrs);
    if (bends) v->grad_in[1] = lucid_mul(lucid_mul(g, lucid_saved_input(v, 0)), curve(x, v->attrs));
    return true;
}

/* An activation and its derivative, with the functions name_element, name_backward_element, and the
 * lists name_samples, name_backward_samples. */
#define ACTIVATION(op, text, slope, bytes, keep, curve)                     \
    static bool op##_vjp(lucid_vjp *v)                                      \
    {                                                                       \
        v->grad_in[0] = luc_apply2(&luc_op_##op##_backward, v->grad_out[0], \
                                   lucid_saved_input(v, 0), v->attrs);      \
        return v->grad_in[0] != NULL;                                       \
    }                                                                       \
    const lucid_op luc_op_##op = {                                          \
        .name = #op,                                                        \
        .schema = "x",                                                      \
        .doc = text,                                                        \
        .id = LUCID_OP_##op,                                                \
        .n_in = 1,                                                          \
        .n_out = 1,                                                         \
        .attrs_size = bytes,                                                \
        .saves = luc_save_input,                                            \
        .vjp = op##_vjp,                                                    \
        .element = op##_element,                                            \
        LUC_SAMPLES(op##_samples),                                          \
    };                                                                      \
    static bool op##_backward_vjp(lucid_vjp *v)                             \
    {                                                                       \
        return slope_vjp(v, &luc_op_##op##_backward, curve);                \
    }                                                                       \
    const lucid_op luc_op_##op##_backward = {                               \
        .name = #op "_backward",                                            \
        .schema = "grad, x",                                                \
        .doc = slope,                                                       \
        .id = LUCID_OP_##op##_backward,                                     \
        .n_in = 2,                                                          \
        .n_out = 1,                                                         \
        .attrs_size = bytes,                                                \
        .saves = keep,                                                      \
        .vjp = op##_backward_vjp,                                           \
        .element = op##_backward_element,                                   \
        LUC_SAMPLES(op##_backward_samples),                                 \
    }

/* Samples on both sides of kinks, where differences cannot follow. */
#define SAMPLE(label, lo, hi, numbers)                                                     \
    {                                                                                      \
        .name = label, .n_in = 1, .in = {LUC_RANGE(lo, hi, {2, {3, 5}})}, .attrs = numbers \
    }
#define IMAGE(label, lo, hi, numbers)                                                            \
    {                                                                                            \
        .name = label, .n_in = 1, .in = {LUC_RANGE(lo, hi, {4, {2, 3, 4, 5}})}, .attrs = numbers \
    }
#define SLOPE_SAMPLE(label, lo, hi, numbers)                                             \
    {                                                                                    \
        .name = label, .n_in = 2, .in = {LUC_IN2(3, 5), LUC_RANGE(lo, hi, {2, {3, 5}})}, \
        .attrs = numbers                                                                 \
    }

/* ---- leaky_relu ------------------------------------------------------------------------------ */

static double leaky_relu_element(const double *in, const void *attrs)
{
    const lucid_scalar_attrs *a = attrs;
    return in[0] > 0 ? in[0] : in[0] * a->value;
}

static double leaky_relu_backward_element(const double *in, const void *attrs)
{
    const lucid_scalar_attrs *a = attrs;
    return in[1] > 0 ? in[0] : in[0] * a->value;
}

static const lucid_scalar_attrs leaky = {0.125};
static const lucid_sample leaky_relu_samples[] = {
    SAMPLE("positive", 0.1, 2, &leaky),
    SAMPLE("negative", -2, -0.1, &leaky),
    IMAGE("image", 0.1, 2, &leaky),
};
static const lucid_sample leaky_relu_backward_samples[] = {
    SLOPE_SAMPLE("positive", 0.1, 2, &leaky),
    SLOPE_SAMPLE("negative", -2, -0.1, &leaky),
};
ACTIVATION(leaky_relu, "x, or negative_slope x where x <= 0", "grad, or negative_slope grad",
           sizeof(lucid_scalar_attrs), save_for_straight, NULL);

/* ---- elu, selu ------------------------------------------------------------------------------- */

static double elu_element(const double *in, const void *attrs)
{
    const lucid_numbers_attrs *n = attrs;
    return in[0] > 0 ? in[0] : n->a * expm1(n->b * in[0]);
}

static double elu_backward_element(const double *in, const void *attrs)
{
    const lucid_numbers_attrs *n = attrs;
    return in[1] <= 0 ? in[0] * n->a * n->b * exp(n->b * in[1]) : in[0];
}

/* The slope where x <= 0 is a multiple of e^(scale x), so its derivative is scale times itself. */
static lucid_tensor *bent_below(const lucid_op *op, lucid_tensor *x, const void *attrs,
                                double scale)
{
    lucid_tensor *slope = luc_apply2(op, luc_full_like(x, 1), x, attrs);
    lucid_tensor *zero = luc_full_like(x, 0);
    return lucid_where(lucid_gt(x, zero), zero, lucid_mul_scalar(slope, scale));
}

static lucid_tensor *elu_curve(lucid_tensor *x, const void *attrs)
{
    const lucid_numbers_attrs *n = attrs;
    return bent_below(&luc_op_elu_backward, x, attrs, n->b);
}

static const lucid_numbers_attrs elu_plain = {1, 1}, celu_two = {2, 0.5};
static const lucid_sample elu_samples[] = {
    SAMPLE("positive", 0.1, 3, &elu_plain),
    SAMPLE("negative", -3, -0.1, &elu_plain),
    IMAGE("celu", -3, -0.1, &celu_two),
};
static const lucid_sample elu_backward_samples[] = {
    SLOPE_SAMPLE("positive", 0.1, 3, &elu_plain),
    SLOPE_SAMPLE("celu", -3, -0.1, &celu_two),
};
ACTIVATION(elu, "x, or alpha (e^(scale x) - 1) where x <= 0",
           "grad, or grad alpha scale e^(scale x)", sizeof(lucid_numbers_attrs), save_for_backward,
           elu_curve);

#define SELU_ALPHA 1.6732632423543772848
#define SELU_SCALE 1.0507009873554804934

static double selu_element(const double *in, const void *attrs)
{
    (void)attrs;
    return SELU_SCALE * (in[0] > 0 ? in[0] : SELU_ALPHA * expm1(in[0]));
}

static double selu_backward_element(const double *in, const void *attrs)
{
    (void)attrs;
    return in[0] * SELU_SCALE * (in[1] <= 0 ? SELU_ALPHA * exp(in[1]) : 1);
}

static lucid_tensor *selu_curve(lucid_tensor *x, const void *attrs)
{
    return bent_below(&luc_op_selu_backward, x, attrs, 1);
}

static const lucid_sample selu_samples[] = {
    SAMPLE("positive", 0.1, 3, NULL),
    SAMPLE("negative", -3, -0.1, NULL),
};
static const lucid_sample selu_backward_samples[] = {
    SLOPE_SAMPLE("positive", 0.1, 3, NULL),
    SLOPE_SAMPLE("negative", -3, -0.1, NULL),
};
ACTIVATION(selu, "1.0507 x, or 1.7581 (e^x - 1) where x <= 0", "1.0507 grad, or 1.7581 grad e^x", 0,
           save_for_backward, selu_curve);

/* ---- hardtanh -------------------------------------------------------------------------------- */

static double hardtanh_element(const double *in, const void *attrs)
{
    const lucid_numbers_attrs *n = attrs;
    return in[0] < n->a ? n->a : in[0] > n->b ? n->b : in[0];
}

static double hardtanh_backward_element(const double *in, const void *attrs)
{
    const lucid_numbers_attrs *n = attrs;
    return in[1] <= n->a || in[1] >= n->b ? 0 : in[0];
}

static const lucid_numbers_attrs six = {0, 6}, unit = {-1, 1};
static const lucid_sample hardtanh_samples[] = {
    SAMPLE("inside", -0.9, 0.9, &unit),
    SAMPLE("above", 1.1, 3, &unit),
    IMAGE("relu6", 0.1, 5.9, &six),
};
static const lucid_sample hardtanh_backward_samples[] = {
    SLOPE_SAMPLE("inside", 0.1, 5.9, &six),
    SLOPE_SAMPLE("below", -3, -1.1, &unit),
};
ACTIVATION(hardtanh, "min(max(x, min), max)", "grad where min < x < max, or x is NaN",
           sizeof(lucid_numbers_attrs), save_for_straight, NULL);

/* ---- hardsigmoid, hardswish ------------------------------------------------------------------ */

static double hardsigmoid_element(const double *in, const void *attrs)
{
    (void)attrs;
    const double y = in[0] + 3;
    return (y < 0 ? 0 : y > 6 ? 6 : y) / 6;
}

static double hardsigmoid_backward_element(const double *in, const void *attrs)
{
    (void)attrs;
    return fabs(in[1]) < 3 ? in[0] / 6 : 0;
}

static const lucid_sample hardsigmoid_samples[] = {
    SAMPLE("inside", -2.9, 2.9, NULL),
    SAMPLE("above", 3.1, 5, NULL),
    IMAGE("below", -5, -3.1, NULL),
};
static const lucid_sample hardsigmoid_backward_samples[] = {
    SLOPE_SAMPLE("inside", -2.9, 2.9, NULL),
    SLOPE_SAMPLE("above", 3.1, 5, NULL),
};
ACTIVATION(hardsigmoid, "min(max(x + 3, 0), 6) / 6", "grad / 6 where |x| < 3", 0, save_for_straight,
           NULL);

static double hardswish_element(const double *in, const void *attrs)
{
    return in[0] * hardsigmoid_element(in, attrs);
}

static double hardswish_backward_element(const double *in, const void *attrs)
{
    (void)attrs;
    return in[1] <= -3 ? 0 : in[1] < 3 ? in[0] * (in[1] / 3 + 0.5) : in[0];
}

static lucid_tensor *hardswish_curve(lucid_tensor *x, const void *attrs)
{
    (void)attrs;
    lucid_tensor *inside = lucid_lt(lucid_abs(x), luc_full_like(x, 3));
    return lucid_where(inside, luc_full_like(x, 1.0 / 3), luc_full_like(x, 0));
}

#define hardswish_samples          hardsigmoid_samples
#define hardswish_backward_samples hardsigmoid_backward_samples
ACTIVATION(hardswish, "x hardsigmoid(x)", "grad (x / 3 + 1 / 2); 0 up to -3, grad from 3 on", 0,
           save_for_backward, hardswish_curve);

/* ---- mish ------------------------------------------------------------------------------------ */

static double mish_element(const double *in, const void *attrs)
{
    (void)attrs;
    return in[0] * tanh(log1p(exp(in[0])));
}

static double mish_backward_element(const double *in, const void *attrs)
{
    (void)attrs;
    const double x = in[1] > 40 ? 40 : in[1], t = tanh(log1p(exp(x)));
    return in[0] * (t + x * (1 - t) * (1 + t) / (1 + exp(-x)));
}

/* With t = tanh(softplus(x)) and s = sigmoid(x): s (1 - t^2) (2 + x (1 - s - 2 t s)). */
static lucid_tensor *mish_curve(lucid_tensor *x, const void *attrs)
{
    (void)attrs;
    lucid_tensor *s = lucid_sigmoid(x), *t = lucid_tanh(lucid_softplus_opt(x, NULL));
    lucid_tensor *rest = lucid_add_scalar(lucid_neg(lucid_square(t)), 1);
    lucid_tensor *twice = lucid_mul_scalar(lucid_mul(t, s), -2);
    lucid_tensor *bend = lucid_mul(x, lucid_add(lucid_sigmoid(lucid_neg(x)), twice));
    return lucid_mul(lucid_mul(s, rest), lucid_add_scalar(bend, 2));
}

static const lucid_sample mish_samples[] = {
    SAMPLE("matrix", -3, 3, NULL),
    IMAGE("image", -1, 5, NULL),
};
static const lucid_sample mish_backward_samples[] = {
    SLOPE_SAMPLE("matrix", -3, 3, NULL),
};
ACTIVATION(mish, "x tanh(log(1 + e^x))", "grad d(x tanh(log(1 + e^x)))", 0, save_for_backward,
           mish_curve);

/* ---- the functions --------------------------------------------------------------------------- */

lucid_tensor *lucid_relu6(lucid_tensor *x)
{
    LUC_CALLED_AS("relu6");
    return luc_apply_floating(&luc_op_hardtanh, x, &six);
}

lucid_tensor *lucid_leaky_relu_opt(lucid_tensor *x, const lucid_leaky_relu_options *options)
{
    const lucid_leaky_relu_options *o = LUC_OPTIONS(lucid_leaky_relu, options, "leaky_relu");
    if (!o) return NULL;
    const lucid_scalar_attrs attrs = {o->negative_slope};
    return luc_apply_floating(&luc_op_leaky_relu, x, &attrs);
}

lucid_tensor *lucid_elu_opt(lucid_tensor *x, const lucid_elu_options *options)
{
    const lucid_elu_options *o = LUC_OPTIONS(lucid_elu, options, "elu");
    if (!o) return NULL;
    const lucid_numbers_attrs attrs = {o->alpha, 1};
    return luc_apply_floating(&luc_op_elu, x, &attrs);
}

lucid_tensor *lucid_celu_opt(lucid_tensor *x, const lucid_celu_options *options)
{
    LUC_CALLED_AS("celu");
    const lucid_celu_options *o = LUC_OPTIONS(lucid_celu, options, "celu");
    if (!o) return NULL;
    if (o->alpha == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "celu", "alpha: expected a number other than 0");
    const lucid_numbers_attrs attrs = {o->alpha, 1 / o->alpha};
    return luc_apply_floating(&luc_op_elu, x, &attrs);
}

lucid_tensor *lucid_hardtanh_opt(lucid_tensor *x, const lucid_hardtanh_options *options)
{
    const lucid_hardtanh_options *o = LUC_OPTIONS(lucid_hardtanh, options, "hardtanh");
    if (!o) return NULL;
    if (!(o->min <= o->max))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "hardtanh",
                              "min: expected at most max %g, got %g", o->max, o->min);
    const lucid_numbers_attrs attrs = {o->min, o->max};
    return luc_apply_floating(&luc_op_hardtanh, x, &attrs);
}

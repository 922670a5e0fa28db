/* activation.c: tanh, sigmoid, relu, gelu, silu, softplus, clamp and their derivatives. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/options_priv.h"

/* A derivative op (grad, z): the gradient of grad needs z, that of z needs both. */
static uint32_t save_for_backward(const lucid_call *c)
{
    uint32_t mask = LUCID_SAVE_INPUT(1);
    if (c->needs & 2) mask |= LUCID_SAVE_INPUT(0);
    return mask;
}

static const lucid_sample unary_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_RANGE(-3, 3, {2, {3, 5}})}},
    {.name = "scalar", .n_in = 1, .in = {LUC_IN0()}},
    {.name = "image", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}},
};
static const lucid_sample backward_samples[] = {
    {.name = "matrix", .n_in = 2, .in = {LUC_IN2(3, 5), LUC_RANGE(0.1, 0.9, {2, {3, 5}})}},
};
/* Away from kinks, where differences cannot follow. */
static const lucid_sample relu_samples[] = {
    {.name = "positive", .n_in = 1, .in = {LUC_RANGE(0.1, 2, {2, {3, 5}})}},
    {.name = "negative", .n_in = 1, .in = {LUC_RANGE(-2, -0.1, {2, {3, 5}})}},
    {.name = "image", .n_in = 1, .in = {LUC_RANGE(0.1, 2, {4, {2, 3, 4, 5}})}},
};

/* ---- tanh: dy (1 - y^2) ---------------------------------------------------------------------- */

static bool tanh_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_tanh_backward, v->grad_out[0], lucid_saved_output(v, 0), NULL);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_tanh = {
    .name = "tanh",
    .schema = "x",
    .doc = "hyperbolic tangent",
    .id = LUCID_OP_tanh,
    .n_in = 1,
    .n_out = 1,
    .saves = luc_save_output,
    .vjp = tanh_vjp,
    LUC_SAMPLES(unary_samples),
};

static bool tanh_backward_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *y = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_tanh_backward, g, y, NULL);
    if (luc_needs(v, 1)) {
        lucid_tensor *dy = lucid_saved_input(v, 0);
        v->grad_in[1] = lucid_mul(g, lucid_mul(dy, lucid_mul_scalar(y, -2)));
    }
    return true;
}

const lucid_op luc_op_tanh_backward = {
    .name = "tanh_backward",
    .schema = "grad, y",
    .doc = "grad (1 - y^2)",
    .id = LUCID_OP_tanh_backward,
    .n_in = 2,
    .n_out = 1,
    .saves = save_for_backward,
    .vjp = tanh_backward_vjp,
    LUC_SAMPLES(backward_samples),
};

/* ---- sigmoid: dy y (1 - y) ------------------------------------------------------------------- */

static bool sigmoid_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_sigmoid_backward, v->grad_out[0], lucid_saved_output(v, 0), NULL);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_sigmoid = {
    .name = "sigmoid",
    .schema = "x",
    .doc = "1 / (1 + e^-x)",
    .id = LUCID_OP_sigmoid,
    .n_in = 1,
    .n_out = 1,
    .saves = luc_save_output,
    .vjp = sigmoid_vjp,
    LUC_SAMPLES(unary_samples),
};

static bool sigmoid_backward_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *y = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_sigmoid_backward, g, y, NULL);
    if (luc_needs(v, 1)) { /* d/dy y (1 - y) = 1 - 2y */
        lucid_tensor *slope = lucid_add_scalar(lucid_mul_scalar(y, -2), 1);
        v->grad_in[1] = lucid_mul(g, lucid_mul(lucid_saved_input(v, 0), slope));
    }
    return true;
}

const lucid_op luc_op_sigmoid_backward = {
    .name = "sigmoid_backward",
    .schema = "grad, y",
    .doc = "grad y (1 - y)",
    .id = LUCID_OP_sigmoid_backward,
    .n_in = 2,
    .n_out = 1,
    .saves = save_for_backward,
    .vjp = sigmoid_backward_vjp,
    LUC_SAMPLES(backward_samples),
};

/* ---- relu: dy where y > 0 -------------------------------------------------------------------- */

static bool relu_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_relu_backward, v->grad_out[0], lucid_saved_output(v, 0), NULL);
    return v->grad_in[0] != NULL;
}

const lucid_op luc_op_relu = {
    .name = "relu",
    .schema = "x",
    .doc = "max(x, 0)",
    .id = LUCID_OP_relu,
    .n_in = 1,
    .n_out = 1,
    .saves = luc_save_output,
    .vjp = relu_vjp,
    LUC_SAMPLES(relu_samples),
};

static bool relu_backward_vjp(lucid_vjp *v)
{
    lucid_tensor *y = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_relu_backward, v->grad_out[0], y, NULL);
    return true; /* the derivative with respect to y is 0 */
}

const lucid_op luc_op_relu_backward = {
    .name = "relu_backward",
    .schema = "grad, y",
    .doc = "grad where y > 0",
    .id = LUCID_OP_relu_backward,
    .n_in = 2,
    .n_out = 1,
    .saves = luc_save_second,
    .vjp = relu_backward_vjp,
    LUC_SAMPLES(backward_samples),
};

/* ---- gelu ------------------------------------------------------------------------------------ */

static bool gelu_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_gelu_backward, v->grad_out[0], lucid_saved_input(v, 0), v->attrs);
    return v->grad_in[0] != NULL;
}

static const lucid_gelu_attrs gelu_erf = {0}, gelu_tanh = {1};
static const lucid_sample gelu_samples[] = {
    {.name = "erf", .n_in = 1, .in = {LUC_RANGE(-3, 3, {2, {3, 5}})}, .attrs = &gelu_erf},
    {.name = "tanh", .n_in = 1, .in = {LUC_RANGE(-3, 3, {2, {3, 5}})}, .attrs = &gelu_tanh},
};

const lucid_op luc_op_gelu = {
    .name = "gelu",
    .schema = "x",
    .doc = "x Phi(x)",
    .id = LUCID_OP_gelu,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_gelu_attrs),
    .saves = luc_save_input,
    .vjp = gelu_vjp,
    LUC_SAMPLES(gelu_samples),
};

/* The second derivative of x Phi(x): phi(x) (2 - x^2). */
static lucid_tensor *gelu_erf_curve(lucid_tensor *x)
{
    lucid_tensor *square = lucid_square(x);
    lucid_tensor *phi = lucid_mul_scalar(lucid_exp(lucid_mul_scalar(square, -0.5)),
                                         0.39894228040143267794); /* 1 / sqrt(2 pi) */
    return lucid_mul(phi, lucid_add_scalar(lucid_neg(square), 2));
}

/* Of x/2 (1 + t), t = tanh(u), u = k (x + c x^3): with u' = k (1 + 3 c x^2), u'' = 6 k c x,
 * s = 1 - t^2:  s u' + x/2 (s u'' - 2 t s u'^2). */
static lucid_tensor *gelu_tanh_curve(lucid_tensor *x)
{
    const double k = 0.79788456080286535588, c = 0.044715; /* k = sqrt(2 / pi) */
    lucid_tensor *square = lucid_square(x);
    lucid_tensor *u =
        lucid_mul(lucid_mul_scalar(x, k), lucid_add_scalar(lucid_mul_scalar(square, c), 1));
    lucid_tensor *t = lucid_tanh(u);
    lucid_tensor *s = lucid_add_scalar(lucid_neg(lucid_square(t)), 1);
    lucid_tensor *u1 = lucid_add_scalar(lucid_mul_scalar(square, 3 * k * c), k);
    lucid_tensor *u2 = lucid_mul_scalar(x, 6 * k * c);
    lucid_tensor *bend = lucid_sub(u2, lucid_mul_scalar(lucid_mul(t, lucid_square(u1)), 2));
    return lucid_mul(s, lucid_add(u1, lucid_mul(lucid_mul_scalar(x, 0.5), bend)));
}

static bool gelu_backward_vjp(lucid_vjp *v)
{
    const lucid_gelu_attrs *a = v->attrs;
    lucid_tensor *g = v->grad_out[0], *x = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_gelu_backward, g, x, a);
    if (luc_needs(v, 1)) {
        lucid_tensor *curve = a->tanh ? gelu_tanh_curve(x) : gelu_erf_curve(x);
        v->grad_in[1] = lucid_mul(lucid_mul(g, lucid_saved_input(v, 0)), curve);
    }
    return true;
}

static const lucid_sample gelu_backward_samples[] = {
    {.name = "erf",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(-3, 3, {2, {3, 5}})},
     .attrs = &gelu_erf},
    {.name = "tanh",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(-3, 3, {2, {3, 5}})},
     .attrs = &gelu_tanh},
};

const lucid_op luc_op_gelu_backward = {
    .name = "gelu_backward",
    .schema = "grad, x",
    .doc = "grad d(x Phi(x))",
    .id = LUCID_OP_gelu_backward,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_gelu_attrs),
    .saves = save_for_backward,
    .vjp = gelu_backward_vjp,
    LUC_SAMPLES(gelu_backward_samples),
};

/* ---- silu: x s(x); derivative s (1 + x (1 - s)) ---------------------------------------------- */

static bool silu_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_silu_backward, v->grad_out[0], lucid_saved_input(v, 0), NULL);
    return v->grad_in[0] != NULL;
}

static double silu_element(const double *in, const void *attrs)
{
    (void)attrs;
    return in[0] * (1 / (1 + exp(-in[0])));
}

const lucid_op luc_op_silu = {
    .name = "silu",
    .schema = "x",
    .doc = "x sigmoid(x)",
    .id = LUCID_OP_silu,
    .n_in = 1,
    .n_out = 1,
    .saves = luc_save_input,
    .vjp = silu_vjp,
    .element = silu_element,
    LUC_SAMPLES(unary_samples),
};

/* The second derivative: s (1 - s) (2 + x (1 - 2 s)). */
static bool silu_backward_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *x = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_silu_backward, g, x, NULL);
    if (luc_needs(v, 1)) {
        lucid_tensor *s = lucid_sigmoid(x);
        lucid_tensor *slope = lucid_mul(s, lucid_add_scalar(lucid_neg(s), 1));
        lucid_tensor *rest = lucid_mul(x, lucid_add_scalar(lucid_mul_scalar(s, -2), 1));
        lucid_tensor *curve = lucid_mul(slope, lucid_add_scalar(rest, 2));
        v->grad_in[1] = lucid_mul(lucid_mul(g, lucid_saved_input(v, 0)), curve);
    }
    return true;
}

const lucid_op luc_op_silu_backward = {
    .name = "silu_backward",
    .schema = "grad, x",
    .doc = "grad d(x sigmoid(x))",
    .id = LUCID_OP_silu_backward,
    .n_in = 2,
    .n_out = 1,
    .saves = save_for_backward,
    .vjp = silu_backward_vjp,
    LUC_SAMPLES(backward_samples),
};

/* ---- softplus: log(1 + e^u) / beta, u = beta x; derivative sigmoid(u) ------------------- */

static bool softplus_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_softplus_backward, v->grad_out[0], lucid_saved_input(v, 0), v->attrs);
    return v->grad_in[0] != NULL;
}

static double softplus_element(const double *in, const void *attrs)
{
    const lucid_numbers_attrs *a = attrs;
    const double u = in[0] * a->a;
    return u > a->b ? in[0] : (fmax(u, 0) + log1p(exp(-fabs(u)))) / a->a;
}

static const lucid_numbers_attrs softplus_default = {1, 20}, softplus_steep = {2.5, 1.5};
static const lucid_sample softplus_samples[] = {
    {.name = "default",
     .n_in = 1,
     .in = {LUC_RANGE(-3, 3, {2, {3, 5}})},
     .attrs = &softplus_default},
    {.name = "below the threshold",
     .n_in = 1,
     .in = {LUC_RANGE(-3, 0.5, {4, {2, 3, 4, 5}})},
     .attrs = &softplus_steep},
    {.name = "beyond it",
     .n_in = 1,
     .in = {LUC_RANGE(0.7, 3, {2, {3, 5}})},
     .attrs = &softplus_steep},
};

const lucid_op luc_op_softplus = {
    .name = "softplus",
    .schema = "x",
    .doc = "log(1 + e^(beta x)) / beta; x where beta x > threshold",
    .id = LUCID_OP_softplus,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_numbers_attrs),
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = luc_save_input,
    .vjp = softplus_vjp,
    .element = softplus_element,
    LUC_SAMPLES(softplus_samples),
};

/* The second derivative: beta sigmoid(u) sigmoid(-u), and 0 beyond the threshold. */
static bool softplus_backward_vjp(lucid_vjp *v)
{
    const lucid_numbers_attrs *a = v->attrs;
    lucid_tensor *g = v->grad_out[0], *x = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_softplus_backward, g, x, a);
    if (luc_needs(v, 1)) {
        lucid_tensor *u = lucid_mul_scalar(x, a->a), *rest = lucid_sigmoid(lucid_neg(u));
        lucid_tensor *curve = lucid_mul_scalar(lucid_mul(lucid_sigmoid(u), rest), a->a);
        lucid_tensor *beyond = lucid_gt(u, lucid_scalar(a->b)), *zero = luc_full_like(g, 0);
        curve = lucid_where(beyond, zero, curve);
        v->grad_in[1] = lucid_mul(lucid_mul(g, lucid_saved_input(v, 0)), curve);
    }
    return true;
}

static double softplus_backward_element(const double *in, const void *attrs)
{
    const lucid_numbers_attrs *a = attrs;
    const double u = in[1] * a->a;
    return u > a->b ? in[0] : in[0] / (1 + exp(-u));
}

static const lucid_sample softplus_backward_samples[] = {
    {.name = "default",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(-3, 3, {2, {3, 5}})},
     .attrs = &softplus_default},
    {.name = "beyond the threshold",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(0.7, 3, {2, {3, 5}})},
     .attrs = &softplus_steep},
};

const lucid_op luc_op_softplus_backward = {
    .name = "softplus_backward",
    .schema = "grad, x",
    .doc = "grad sigmoid(beta x); grad where beta x > threshold",
    .id = LUCID_OP_softplus_backward,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_numbers_attrs),
    .saves = save_for_backward,
    .vjp = softplus_backward_vjp,
    .element = softplus_backward_element,
    LUC_SAMPLES(softplus_backward_samples),
};

/* ---- clamp ----------------------------------------------------------------------------------- */

static bool clamp_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_clamp_backward, v->grad_out[0], lucid_saved_input(v, 0), v->attrs);
    return v->grad_in[0] != NULL;
}

static const lucid_clamp_attrs unit = {-0.5, 0.5}, below = {-INFINITY, 0.5};
static const lucid_sample clamp_samples[] = {
    {.name = "inside", .n_in = 1, .in = {LUC_RANGE(-0.4, 0.4, {2, {3, 5}})}, .attrs = &unit},
    {.name = "outside", .n_in = 1, .in = {LUC_RANGE(0.6, 2, {2, {3, 5}})}, .attrs = &unit},
    {.name = "max", .n_in = 1, .in = {LUC_RANGE(-5, 0.4, {1, {7}})}, .attrs = &below},
};

const lucid_op luc_op_clamp = {
    .name = "clamp",
    .schema = "x",
    .doc = "min(max(x, min), max)",
    .id = LUCID_OP_clamp,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_clamp_attrs),
    .saves = luc_save_input,
    .vjp = clamp_vjp,
    LUC_SAMPLES(clamp_samples),
};

/* Piecewise constant in x: only grad has a derivative. */
static uint32_t clamp_backward_saves(const lucid_call *c)
{
    return c->needs & 1 ? LUCID_SAVE_INPUT(1) : 0;
}

static bool clamp_backward_vjp(lucid_vjp *v)
{
    if (luc_needs(v, 0))
        v->grad_in[0] =
            luc_apply2(&luc_op_clamp_backward, v->grad_out[0], lucid_saved_input(v, 1), v->attrs);
    return true;
}

static const lucid_sample clamp_backward_samples[] = {
    {.name = "inside",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(-0.4, 0.4, {2, {3, 5}})},
     .attrs = &unit},
    {.name = "outside",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(0.6, 2, {2, {3, 5}})},
     .attrs = &unit},
};

const lucid_op luc_op_clamp_backward = {
    .name = "clamp_backward",
    .schema = "grad, x",
    .doc = "grad where min <= x <= max",
    .id = LUCID_OP_clamp_backward,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_clamp_attrs),
    .saves = clamp_backward_saves,
    .vjp = clamp_backward_vjp,
    LUC_SAMPLES(clamp_backward_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

lucid_tensor *lucid_gelu(lucid_tensor *x, bool tanh_approximation)
{
    return luc_apply_floating(&luc_op_gelu, x, tanh_approximation ? &gelu_tanh : &gelu_erf);
}

lucid_tensor *lucid_softplus_opt(lucid_tensor *x, const lucid_softplus_options *options)
{
    const lucid_softplus_options *o = LUC_OPTIONS(lucid_softplus, options, "softplus");
    if (!o) return NULL;
    if (isnan(o->beta) || isnan(o->threshold))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "softplus",
                              "beta, threshold: expected numbers, got %g, %g", o->beta,
                              o->threshold);
    const lucid_numbers_attrs attrs = {o->beta, o->threshold};
    return luc_apply_floating(&luc_op_softplus, x, &attrs);
}

lucid_tensor *lucid_clamp(lucid_tensor *x, double min, double max)
{
    if (isnan(min) || isnan(max))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "clamp", "min, max: expected numbers, got %g, %g",
                              min, max);
    if (!luc_given(x, "clamp", "x")) return NULL;
    bool fraction = min != trunc(min) || max != trunc(max); /* infinities are no bounds at all */
    lucid_clamp_attrs attrs = {min, max};
    return luc_apply1(&luc_op_clamp, fraction ? lucid_cast(x, luc_float_type(x->view.dtype)) : x,
                      &attrs);
}

/* inplace.c: operators that write their result into their first argument. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/tensor_priv.h"

#include <stdio.h>

/* b in a's dtype: the result of an in-place operator must fit what it is written into. */
static lucid_tensor *fit(lucid_tensor *a, lucid_tensor *b, const char *op)
{
    lucid_dtype d = luc_result_type((lucid_tensor *[]){a, b}, 2), own = a->view.dtype;
    bool fits = d == own || (lucid_dtype_is_floating(own) && lucid_dtype_is_floating(d)) ||
                (!lucid_dtype_is_floating(d) && own != LUCID_BOOL);
    if (!fits)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "b: a result of dtype %s cannot be written into %s",
                              lucid_dtype_name(d), lucid_dtype_name(own));
    return luc_meet(b, own, a->storage->device);
}

/* Whether a and b, which broadcasts to a's sizes, are promoted to a wider floating dtype d than
 * a's. */
static bool meets_wider(const lucid_tensor *a, const lucid_tensor *b, lucid_dtype d)
{
    lucid_shape into = lucid_tensor_shape(a), from = lucid_tensor_shape(b), both;
    return d != a->view.dtype && lucid_dtype_is_floating(a->view.dtype) &&
           lucid_dtype_is_floating(d) && lucid_shape_broadcast(&into, &from, &both) &&
           lucid_shape_equal(&into, &both);
}

static lucid_tensor *binary_(const lucid_op *op, lucid_tensor *a, lucid_tensor *b)
{
    if (!luc_given_meta(a, op->name, "a") || !luc_given_meta(b, op->name, "b")) return NULL;
    lucid_dtype d = luc_result_type((lucid_tensor *[]){a, b}, 2);
    if (meets_wider(a, b, d)) { /* the result is rounded to a's dtype, and not b before it */
        lucid_device where = a->storage->device;
        char name[16];
        snprintf(name, sizeof name, "%s_", op->name);
        if (!luc_is_living(a, name, "a") || !luc_check_inplace(a, name)) return NULL;
        return lucid_copy_(a, luc_apply2(op, luc_meet(a, d, where), luc_meet(b, d, where), NULL));
    }
    b = fit(a, b, op->name);
    return lucid_apply_inplace(op, (lucid_tensor *[]){a, b}, 2, NULL);
}

static lucid_tensor *unary_(const lucid_op *op, lucid_tensor *x, const void *attrs)
{
    return lucid_apply_inplace(op, (lucid_tensor *[]){x}, 1, attrs);
}

static lucid_tensor *floating_(const lucid_op *op, lucid_tensor *x)
{
    if (x && !lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op->name,
                              "x: expected a floating dtype to write into, got %s",
                              lucid_dtype_name(x->view.dtype));
    return unary_(op, x, NULL);
}

lucid_tensor *lucid_add_(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("add_");
    return binary_(&luc_op_add, a, b);
}

lucid_tensor *lucid_sub_(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("sub_");
    if (a && b && (a->view.dtype == LUCID_BOOL || b->view.dtype == LUCID_BOOL))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "sub", "%s: expected numbers, got bool",
                              a->view.dtype == LUCID_BOOL ? "a" : "b");
    return binary_(&luc_op_sub, a, b);
}

lucid_tensor *lucid_mul_(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("mul_");
    double factor;
    if (luc_is_factor(a, b, false, &factor)) return lucid_mul_scalar_(a, factor);
    return binary_(&luc_op_mul, a, b);
}

lucid_tensor *lucid_div_(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("div_");
    if (a && !lucid_dtype_is_floating(a->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "div",
                              "a: expected a floating dtype to write into, got %s",
                              lucid_dtype_name(a->view.dtype));
    double factor;
    if (luc_is_factor(a, b, true, &factor)) return lucid_mul_scalar_(a, factor);
    return binary_(&luc_op_div, a, b);
}

/* A number in place: integers take whole numbers only. */
static lucid_tensor *number_(const lucid_op *op, lucid_tensor *x, double value)
{
    if (!luc_given(x, op->name, "x")) return NULL;
    if (luc_type_with_number(x->view.dtype, value) != x->view.dtype)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op->name,
                              "value: %g cannot be used in place on %s", value,
                              lucid_dtype_name(x->view.dtype));
    lucid_scalar_attrs attrs = {value};
    return unary_(op, x, &attrs);
}

lucid_tensor *lucid_add_scalar_(lucid_tensor *x, double value)
{
    LUC_CALLED_AS("add_scalar_");
    return number_(&luc_op_add_scalar, x, value);
}

lucid_tensor *lucid_mul_scalar_(lucid_tensor *x, double value)
{
    LUC_CALLED_AS("mul_scalar_");
    return number_(&luc_op_mul_scalar, x, value);
}

lucid_tensor *lucid_neg_(lucid_tensor *x)
{
    LUC_CALLED_AS("neg_");
    return unary_(&luc_op_neg, x, NULL);
}

lucid_tensor *lucid_exp_(lucid_tensor *x)
{
    LUC_CALLED_AS("exp_");
    return floating_(&luc_op_exp, x);
}

lucid_tensor *lucid_sqrt_(lucid_tensor *x)
{
    LUC_CALLED_AS("sqrt_");
    return floating_(&luc_op_sqrt, x);
}

lucid_tensor *lucid_tanh_(lucid_tensor *x)
{
    LUC_CALLED_AS("tanh_");
    return floating_(&luc_op_tanh, x);
}

lucid_tensor *lucid_sigmoid_(lucid_tensor *x)
{
    LUC_CALLED_AS("sigmoid_");
    return floating_(&luc_op_sigmoid, x);
}

lucid_tensor *lucid_relu_(lucid_tensor *x)
{
    LUC_CALLED_AS("relu_");
    return unary_(&luc_op_relu, x, NULL);
}

lucid_tensor *lucid_clamp_(lucid_tensor *x, double min, double max)
{
    LUC_CALLED_AS("clamp_");
    if (isnan(min) || isnan(max))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "clamp", "min, max: expected numbers, got %g, %g",
                              min, max);
    if (!luc_given(x, "clamp", "x")) return NULL;
    bool fraction = min != trunc(min) || max != trunc(max);
    if (fraction && !lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "clamp",
                              "min, max: %g, %g cannot be used in place on %s", min, max,
                              lucid_dtype_name(x->view.dtype));
    lucid_clamp_attrs attrs = {min, max};
    return unary_(&luc_op_clamp, x, &attrs);
}

/* ---- overwriting: the old value does not matter ---------------------------------------------- */

lucid_tensor *lucid_fill_(lucid_tensor *x, double value)
{
    if (!luc_given(x, "fill_", "x") || !luc_check_inplace(x, "fill_")) return NULL;
    if (!luc_check_value(x->view.dtype, value, "fill_")) return NULL;
    if (!lucid_is_grad_enabled() || !lucid_requires_grad(x)) {
        if (!luc_before_write(x->storage) || !luc_fill_data(x, value, "fill_")) return NULL;
        luc_storage_bump(x->storage);
        return x;
    }
    return lucid_copy_(x, luc_full_like(x, value));
}

lucid_tensor *lucid_zero_(lucid_tensor *x)
{
    LUC_CALLED_AS("zero_");
    return lucid_fill_(x, 0);
}

/* copy_(x, source) = source, with a zero gradient for x. */
static bool overwrite_compose(const lucid_call *c, lucid_tensor **out)
{
    out[0] = lucid_expand_opt(c->in[1], lucid_tensor_shape(c->in[0]));
    return out[0] != NULL;
}

static bool overwrite_vjp(lucid_vjp *v)
{
    if (luc_needs(v, 0)) v->grad_in[0] = luc_full_like(v->grad_out[0], 0);
    if (luc_needs(v, 1)) v->grad_in[1] = lucid_sum_to_input(v, 1, v->grad_out[0]);
    return true;
}

static const lucid_op overwrite = {
    .name = "copy_",
    .schema = "x, source",
    .doc = "x = source",
    .id = LUCID_OP_CUSTOM,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .vjp = overwrite_vjp,
    .compose = overwrite_compose,
};

lucid_tensor *lucid_copy_(lucid_tensor *x, lucid_tensor *source)
{
    if (!luc_given(x, "copy_", "x") || !luc_given(source, "copy_", "source") ||
        !luc_check_inplace(x, "copy_"))
        return NULL;
    lucid_shape to = lucid_tensor_shape(x), from = lucid_tensor_shape(source), both;
    if (!lucid_shape_broadcast(&to, &from, &both) || !lucid_shape_equal(&both, &to))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "copy_",
                              "source: expected sizes that broadcast to %s, got %s",
                              luc_shape_text(x).s, luc_shape_text(source).s);
    bool records =
        lucid_is_grad_enabled() && (lucid_requires_grad(x) || lucid_requires_grad(source));
    if (records && lucid_dtype_is_floating(x->view.dtype)) {
        source = lucid_tensor_to(lucid_cast(source, x->view.dtype), x->storage->device);
        return lucid_apply_inplace(&overwrite, (lucid_tensor *[]){x, source}, 2, NULL);
    }
    if (!luc_before_write(x->storage) || !luc_copy_data(x, lucid_expand_opt(source, to), "copy_"))
        return NULL;
    luc_storage_bump(x->storage);
    return x;
}

/* A result's history ends here, as with fill_: it is copied into. */
static lucid_tensor *random_(lucid_tensor *x, const char *name, double a, double b,
                             lucid_tensor *(*fill)(lucid_tensor *t, double a, double b,
                                                   lucid_generator *g))
{
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, name,
                              "x: expected a floating dtype to write into, got %s",
                              lucid_dtype_name(x->view.dtype));
    if (lucid_is_grad_enabled() && lucid_requires_grad(x)) {
        lucid_tensor_options o = lucid_tensor_defaults;
        o.dtype = x->view.dtype;
        o.device = x->storage->device;
        return lucid_copy_(x, fill(lucid_empty_opt(lucid_tensor_shape(x), &o), a, b, NULL));
    }
    if (!luc_before_write(x->storage) || !fill(x, a, b, NULL)) return NULL;
    luc_storage_bump(x->storage);
    return x;
}

lucid_tensor *lucid_uniform_(lucid_tensor *x, double low, double high)
{
    if (!luc_given(x, "uniform_", "x") || !luc_check_inplace(x, "uniform_")) return NULL;
    if (!(low <= high) || isinf(high - low))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "uniform_",
                              "high: expected >= low, both finite, got [%g,%g)", low, high);
    return random_(x, "uniform_", low, high, luc_fill_uniform);
}

lucid_tensor *lucid_normal_(lucid_tensor *x, double mean, double std)
{
    if (!luc_given(x, "normal_", "x") || !luc_check_inplace(x, "normal_")) return NULL;
    if (!(std >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "normal_", "std: expected >= 0, got %g", std);
    return random_(x, "normal_", mean, std, luc_fill_normal);
}

/* binary.c: operators of two tensors, element by element, and where. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"

/* ---- saving: each input's gradient needs the other input ------------------------------------- */

static uint32_t save_both(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_INPUT(1);
}

/* a / b: the gradient of a needs b, that of b needs both. */
static uint32_t save_for_div(const lucid_call *c)
{
    return LUCID_SAVE_INPUT(1) | (c->needs & 2 ? LUCID_SAVE_INPUT(0) : 0);
}

static bool give(lucid_vjp *v, int i, lucid_tensor *grad)
{
    v->grad_in[i] = lucid_sum_to_input(v, i, grad);
    return v->grad_in[i] != NULL;
}

#define BROADCAST_SAMPLES(lo, hi)                                                                 \
    {                                                                                             \
        {.name = "same", .n_in = 2, .in = {LUC_IN2(3, 5), LUC_RANGE(lo, hi, {2, {3, 5}})}},       \
            {.name = "row", .n_in = 2, .in = {LUC_IN2(3, 5), LUC_RANGE(lo, hi, {1, {5}})}},       \
            {.name = "column", .n_in = 2, .in = {LUC_IN2(3, 1), LUC_RANGE(lo, hi, {2, {3, 5}})}}, \
            {.name = "scalar", .n_in = 2, .in = {LUC_IN2(3, 5), LUC_RANGE(lo, hi, {0, {0}})}},    \
            {.name = "channels",                                                                  \
             .n_in = 2,                                                                           \
             .in = {LUC_IN4(2, 3, 4, 5), LUC_RANGE(lo, hi, {4, {1, 3, 1, 1}})}},                  \
            {.name = "outer",                                                                     \
             .n_in = 2,                                                                           \
             .in = {LUC_IN3(2, 1, 3), LUC_RANGE(lo, hi, {2, {4, 1}})}},                           \
    }
static const lucid_sample any_samples[] = BROADCAST_SAMPLES(-1, 1);
static const lucid_sample divisor_samples[] = BROADCAST_SAMPLES(0.5, 2);
/* Apart, so that no tie or kink is near. */
static const lucid_sample apart_samples[] = BROADCAST_SAMPLES(1.1, 2);
static const lucid_sample bad_samples[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_IN2(3, 4)},
     .error = "b: expected a shape that broadcasts"},
    {.name = "rank",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 5), LUC_IN2(4, 5)},
     .error = "b: expected a shape that broadcasts"},
};

/* ---- add, sub, mul, div ---------------------------------------------------------------------- */

static bool add_vjp(lucid_vjp *v)
{
    if (luc_needs(v, 0) && !give(v, 0, v->grad_out[0])) return false;
    if (luc_needs(v, 1) && !give(v, 1, v->grad_out[0])) return false;
    return true;
}

const lucid_op luc_op_add = {
    .name = "add",
    .schema = "a, b",
    .doc = "a + b",
    .id = LUCID_OP_add,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .vjp = add_vjp,
    LUC_SAMPLES(any_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

static bool sub_vjp(lucid_vjp *v)
{
    if (luc_needs(v, 0) && !give(v, 0, v->grad_out[0])) return false;
    if (luc_needs(v, 1) && !give(v, 1, lucid_neg(v->grad_out[0]))) return false;
    return true;
}

const lucid_op luc_op_sub = {
    .name = "sub",
    .schema = "a, b",
    .doc = "a - b",
    .id = LUCID_OP_sub,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .vjp = sub_vjp,
    LUC_SAMPLES(any_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

static bool mul_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0];
    if (luc_needs(v, 0) && !give(v, 0, lucid_mul(g, lucid_saved_input(v, 1)))) return false;
    if (luc_needs(v, 1) && !give(v, 1, lucid_mul(g, lucid_saved_input(v, 0)))) return false;
    return true;
}

const lucid_op luc_op_mul = {
    .name = "mul",
    .schema = "a, b",
    .doc = "a * b",
    .id = LUCID_OP_mul,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .saves = luc_save_other,
    .vjp = mul_vjp,
    LUC_SAMPLES(any_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

/* da = g / b, db = -g ((a / b) / b): in this order, so that 0 / tiny stays 0 */
static bool div_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *b = lucid_saved_input(v, 1);
    if (luc_needs(v, 0) && !give(v, 0, lucid_div(g, b))) return false;
    if (luc_needs(v, 1)) {
        lucid_tensor *slope = lucid_div(lucid_div(lucid_saved_input(v, 0), b), b);
        if (!give(v, 1, lucid_neg(lucid_mul(g, slope)))) return false;
    }
    return true;
}

const lucid_op luc_op_div = {
    .name = "div",
    .schema = "a, b",
    .doc = "a / b",
    .id = LUCID_OP_div,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .saves = save_for_div,
    .vjp = div_vjp,
    LUC_SAMPLES(divisor_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

/* ---- pow ------------------------------------------------------------------------------------- */

/* da = g b a^(b-1), 0 where b is 0; db = g a^b log(a), 0 where a is 0 and b >= 0. */
static bool pow_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *a = lucid_saved_input(v, 0), *b = lucid_saved_input(v, 1);
    lucid_tensor *zero = lucid_cast(lucid_scalar(0), v->grad_out[0]->view.dtype);
    if (luc_needs(v, 0)) {
        lucid_tensor *slope = lucid_mul(b, lucid_pow(a, lucid_sub(b, lucid_scalar(1))));
        slope = lucid_where(lucid_eq(b, lucid_scalar(0)), zero, slope);
        if (!give(v, 0, lucid_mul(g, slope))) return false;
    }
    if (luc_needs(v, 1)) {
        lucid_tensor *slope = lucid_mul(lucid_pow(a, b), lucid_log(a));
        lucid_tensor *at_zero =
            lucid_mul(lucid_eq(a, lucid_scalar(0)), lucid_ge(b, lucid_scalar(0)));
        slope = lucid_where(lucid_cast(at_zero, LUCID_BOOL), zero, slope);
        if (!give(v, 1, lucid_mul(g, slope))) return false;
    }
    return true;
}

static const lucid_sample pow_samples[] = {
    {.name = "same", .n_in = 2, .in = {LUC_RANGE(0.3, 2, {2, {3, 5}}), LUC_IN2(3, 5)}},
    {.name = "row", .n_in = 2, .in = {LUC_RANGE(0.3, 2, {2, {3, 5}}), LUC_IN1(5)}},
};

const lucid_op luc_op_pow = {
    .name = "pow",
    .schema = "a, b",
    .doc = "a ^ b",
    .id = LUCID_OP_pow,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = save_both,
    .vjp = pow_vjp,
    LUC_SAMPLES(pow_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

/* ---- minimum, maximum ------------------------------------------------------------------------ */

/* The loser gets nothing, and at ties each gets half; where one is NaN nobody loses. */
static bool extreme_vjp(lucid_vjp *v, lucid_tensor *(*loses)(lucid_tensor *, lucid_tensor *))
{
    lucid_tensor *g = v->grad_out[0], *a = lucid_saved_input(v, 0), *b = lucid_saved_input(v, 1);
    lucid_tensor *half = lucid_mul_scalar(g, 0.5), *zero = luc_full_like(g, 0);
    lucid_tensor *tie = lucid_eq(a, b);
    if (luc_needs(v, 0)) {
        lucid_tensor *whole = lucid_where(loses(a, b), zero, g);
        if (!give(v, 0, lucid_where(tie, half, whole))) return false;
    }
    if (luc_needs(v, 1)) {
        lucid_tensor *whole = lucid_where(loses(b, a), zero, g);
        if (!give(v, 1, lucid_where(tie, half, whole))) return false;
    }
    return true;
}

static bool minimum_vjp(lucid_vjp *v)
{
    return extreme_vjp(v, lucid_gt);
}

static bool maximum_vjp(lucid_vjp *v)
{
    return extreme_vjp(v, lucid_lt);
}

const lucid_op luc_op_minimum = {
    .name = "minimum",
    .schema = "a, b",
    .doc = "the smaller",
    .id = LUCID_OP_minimum,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .saves = save_both,
    .vjp = minimum_vjp,
    LUC_SAMPLES(apart_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

const lucid_op luc_op_maximum = {
    .name = "maximum",
    .schema = "a, b",
    .doc = "the larger",
    .id = LUCID_OP_maximum,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST,
    .autocast = LUCID_AUTOCAST_WIDEST,
    .saves = save_both,
    .vjp = maximum_vjp,
    LUC_SAMPLES(apart_samples),
    LUC_BAD_SAMPLES(bad_samples),
};

/* ---- comparisons ----------------------------------------------------------------------------- */

static bool infer_bool(lucid_call *c)
{
    return luc_infer_broadcast_as(c, LUCID_BOOL);
}

#define COMPARISON(op, text)                            \
    const lucid_op luc_op_##op = {                      \
        .name = #op,                                    \
        .schema = "a, b",                               \
        .doc = text,                                    \
        .id = LUCID_OP_##op,                            \
        .n_in = 2,                                      \
        .n_out = 1,                                     \
        .flags = LUCID_OP_BROADCAST | LUCID_OP_NO_GRAD, \
        .infer = infer_bool,                            \
        LUC_SAMPLES(any_samples),                       \
        LUC_BAD_SAMPLES(bad_samples),                   \
    }
COMPARISON(eq, "a == b");
COMPARISON(ne, "a != b");
COMPARISON(lt, "a < b");
COMPARISON(le, "a <= b");
COMPARISON(gt, "a > b");
COMPARISON(ge, "a >= b");

/* ---- where ----------------------------------------------------------------------------------- */

static bool where_infer(lucid_call *c)
{
    lucid_dtype d = c->in[1]->view.dtype;
    if (c->in[0]->view.dtype != LUCID_BOOL) return luc_bad_input(c, 0, "expected bool");
    if (c->in[2]->view.dtype != d)
        return luc_bad_input(c, 2, "expected %s like a", lucid_dtype_name(d));
    c->kernel_dtype = d;
    return luc_infer_broadcast_as(c, d);
}

static uint32_t where_saves(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0);
}

static bool where_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *condition = lucid_saved_input(v, 0);
    lucid_tensor *zero = luc_full_like(g, 0);
    if (luc_needs(v, 1) && !give(v, 1, lucid_where(condition, g, zero))) return false;
    if (luc_needs(v, 2) && !give(v, 2, lucid_where(condition, zero, g))) return false;
    return true;
}

static const lucid_sample where_samples[] = {
    {.name = "same", .n_in = 3, .in = {LUC_MASK({2, {3, 5}}), LUC_IN2(3, 5), LUC_IN2(3, 5)}},
    {.name = "broadcast", .n_in = 3, .in = {LUC_MASK({2, {3, 1}}), LUC_IN1(5), LUC_IN0()}},
};
static const lucid_sample where_bad_samples[] = {
    {.name = "mask",
     .n_in = 3,
     .in = {LUC_IN2(3, 5), LUC_IN2(3, 5), LUC_IN2(3, 5)},
     .error = "condition: expected bool"},
    {.name = "sizes",
     .n_in = 3,
     .in = {LUC_MASK({2, {3, 4}}), LUC_IN2(3, 5), LUC_IN2(3, 5)},
     .error = "a: expected a shape that broadcasts"},
};

const lucid_op luc_op_where = {
    .name = "where",
    .schema = "condition, a, b",
    .doc = "condition ? a : b",
    .id = LUCID_OP_where,
    .n_in = 3,
    .n_out = 1,
    .flags = LUCID_OP_BROADCAST | LUCID_OP_MIXED_DTYPES,
    .infer = where_infer,
    .saves = where_saves,
    .vjp = where_vjp,
    LUC_SAMPLES(where_samples),
    LUC_BAD_SAMPLES(where_bad_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

/* The device where two tensors meet: that of the one with dimensions. */
static lucid_device meeting_device(const lucid_tensor *a, const lucid_tensor *b)
{
    return a->view.ndim == 0 && b->view.ndim > 0 ? b->storage->device : a->storage->device;
}

/* Most calls have two tensors of one dtype on one device: nothing to bring together. */
static lucid_tensor *binary(const lucid_op *op, lucid_tensor *a, lucid_tensor *b, bool to_floating)
{
    if (!luc_given_meta(a, op->name, "a") || !luc_given_meta(b, op->name, "b")) return NULL;
    bool alike = a->view.dtype == b->view.dtype && !a->is_scalar && !b->is_scalar &&
                 lucid_device_equal(a->storage->device, b->storage->device) &&
                 (!to_floating || lucid_dtype_is_floating(a->view.dtype));
    if (!alike) {
        lucid_dtype d = luc_result_type((lucid_tensor *[]){a, b}, 2);
        if (to_floating) d = luc_float_type(d);
        lucid_device where = meeting_device(a, b);
        a = luc_meet(a, d, where);
        b = luc_meet(b, d, where);
    }
    return luc_apply2(op, a, b, NULL);
}

#define DEFINE_CALL(name, to_floating)                           \
    lucid_tensor *lucid_##name(lucid_tensor *a, lucid_tensor *b) \
    {                                                            \
        return binary(&luc_op_##name, a, b, to_floating);        \
    }
#define DEFINE_OWN(name, to_floating)
#define LUC_BINARY(name, type, numbers, call) DEFINE_##call(name, LUC_IS_##type)
#include "lucid/core/ops.def"

lucid_tensor *lucid_sub(lucid_tensor *a, lucid_tensor *b)
{
    if (a && b && (a->view.dtype == LUCID_BOOL || b->view.dtype == LUCID_BOOL))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "sub", "%s: expected numbers, got bool",
                              a->view.dtype == LUCID_BOOL ? "a" : "b");
    return binary(&luc_op_sub, a, b, false);
}

lucid_tensor *lucid_mul(lucid_tensor *a, lucid_tensor *b)
{
    double factor;
    if (luc_is_factor(a, b, false, &factor)) return lucid_mul_scalar(a, factor);
    if (luc_is_factor(b, a, false, &factor)) return lucid_mul_scalar(b, factor);
    return binary(&luc_op_mul, a, b, false);
}

lucid_tensor *lucid_div(lucid_tensor *a, lucid_tensor *b)
{
    double factor;
    if (luc_is_factor(a, b, true, &factor)) return lucid_mul_scalar(a, factor);
    return binary(&luc_op_div, a, b, true);
}

lucid_tensor *lucid_pow(lucid_tensor *a, lucid_tensor *b)
{
    if (a && b && a->view.dtype == LUCID_BOOL && b->view.dtype == LUCID_BOOL)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "pow", "a, b: expected numbers, got two bools");
    /* The same number as lucid_pow_scalar's, with its exact cases. */
    if (a && b && b->is_scalar && !a->is_scalar && !b->requires_grad)
        return lucid_pow_scalar(a, lucid_item(b));
    return binary(&luc_op_pow, a, b, false);
}

lucid_tensor *lucid_where(lucid_tensor *condition, lucid_tensor *a, lucid_tensor *b)
{
    if (!luc_given(condition, "where", "condition") || !luc_given(a, "where", "a") ||
        !luc_given(b, "where", "b"))
        return NULL;
    lucid_dtype d = luc_result_type((lucid_tensor *[]){a, b}, 2);
    lucid_device where = condition->storage->device;
    a = luc_meet(a, d, where);
    b = luc_meet(b, d, where);
    return lucid_apply(&luc_op_where, (lucid_tensor *[]){condition, a, b}, 3, NULL);
}

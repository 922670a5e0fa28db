/* dropout.c: dropout. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- dropout: x -> (y, mask u8) -------------------------------------------------------------- */

static bool check_p(const lucid_call *c)
{
    const lucid_random_attrs *a = c->attrs;
    return (a->a >= 0 && a->a <= 1) ||
           luc_raise(LUCID_ERR_ARGUMENT, c->op->name, "p: expected [0,1], got %g", a->a);
}

static bool dropout_infer(lucid_call *c)
{
    if (!luc_want_floating(c, 0) || !check_p(c)) return false;
    lucid_infer_like(c, 0, 0);
    c->out[1] = c->out[0];
    c->out[1].dtype = LUCID_U8;
    return true;
}

static uint32_t save_mask(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_OUTPUT(1);
}

static bool dropout_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_dropout_backward, v->grad_out[0], lucid_saved_output(v, 1), v->attrs);
    return v->grad_in[0] != NULL;
}

static const lucid_random_attrs third = {.seed = 7, .offset = 3, .a = 0.3}, none = {.a = 0};
static const lucid_sample dropout_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &third},
    {.name = "image", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &third},
    {.name = "none", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &none},
};

const lucid_op luc_op_dropout = {
    .name = "dropout",
    .schema = "x",
    .doc = "zeroes elements at random",
    .id = LUCID_OP_dropout,
    .n_in = 1,
    .n_out = 2,
    .attrs_size = sizeof(lucid_random_attrs),
    .infer = dropout_infer,
    .saves = save_mask,
    .vjp = dropout_vjp,
    LUC_SAMPLES(dropout_samples),
};

static bool backward_infer(lucid_call *c)
{
    if (!check_p(c)) return false;
    if (c->in[1]->view.dtype != LUCID_U8) return luc_bad_input(c, 1, "expected uint8");
    if (!luc_want_like(c, 1, 0)) return false;
    lucid_infer_like(c, 0, 0);
    return true;
}

static bool backward_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_dropout_backward, v->grad_out[0], lucid_saved_input(v, 1), v->attrs);
    return v->grad_in[0] != NULL;
}

static const lucid_sample backward_samples[] = {
    {.name = "matrix",
     .n_in = 2,
     .attrs = &third,
     .in = {LUC_IN2(3, 5),
            {.shape = {2, {3, 5}}, .dtype = LUCID_U8, .low = 0, .high = 2, .no_grad = true}}},
};

static const lucid_random_attrs above_one = {.a = 1.5};
static const lucid_sample backward_bad_samples[] = {
    {.name = "mask's sizes",
     .n_in = 2,
     .attrs = &third,
     .error = "mask: expected [3,5] like grad",
     .in = {LUC_IN2(3, 5),
            {.shape = {2, {3, 4}}, .dtype = LUCID_U8, .low = 0, .high = 2, .no_grad = true}}},
    {.name = "mask's dtype",
     .n_in = 2,
     .attrs = &third,
     .error = "mask: expected uint8",
     .in = {LUC_IN2(3, 5), LUC_IN2(3, 5)}},
    {.name = "p",
     .n_in = 2,
     .attrs = &above_one,
     .error = "p: expected [0,1], got 1.5",
     .in = {LUC_IN2(3, 5),
            {.shape = {2, {3, 5}}, .dtype = LUCID_U8, .low = 0, .high = 2, .no_grad = true}}},
};

const lucid_op luc_op_dropout_backward = {
    .name = "dropout_backward",
    .schema = "grad, mask",
    .doc = "grad where the mask is set, scaled",
    .id = LUCID_OP_dropout_backward,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_random_attrs),
    .infer = backward_infer,
    .saves = luc_save_second,
    .vjp = backward_vjp,
    LUC_SAMPLES(backward_samples),
    LUC_BAD_SAMPLES(backward_bad_samples),
};

lucid_tensor *lucid_dropout(lucid_tensor *x, double p, bool training)
{
    if (!luc_given(x, "dropout", "x")) return NULL;
    if (!(p >= 0 && p <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "dropout", "p: expected [0,1], got %g", p);
    if (!training || p == 0) return x;
    lucid_generator g = luc_random_take(((uint64_t)x->numel + 3) / 4);
    lucid_random_attrs attrs = {.seed = g.seed, .offset = g.offset, .a = p};
    if (!luc_capture_random(x->storage->device, &attrs, "dropout")) return NULL;
    return luc_apply1(&luc_op_dropout, x, &attrs);
}

/* matmul.c: matrix products. */
#include "autograd/ops/matmul.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/tensor_priv.h"

/* ---- matmul: [..,M,K] x [..,K,N], at least two dimensions each ------------------------------- */

static bool matmul_infer(lucid_call *c)
{
    const lucid_view *a = &c->in[0]->view, *b = &c->in[1]->view;
    if (a->ndim < 2) return luc_bad_input(c, 0, "expected at least 2-D [..,M,K]");
    if (b->ndim < 2 || b->dims[b->ndim - 2] != a->dims[a->ndim - 1])
        return luc_bad_input(c, 1, "expected [..,%lld,N] (a %s)", (long long)a->dims[a->ndim - 1],
                             luc_shape_text(c->in[0]).s);
    lucid_shape x = {.ndim = a->ndim - 2}, y = {.ndim = b->ndim - 2}, batch;
    memcpy(x.dims, a->dims, sizeof x.dims);
    memcpy(y.dims, b->dims, sizeof y.dims);
    if (!lucid_shape_broadcast(&x, &y, &batch))
        return luc_bad_input(c, 1, "expected leading sizes that broadcast with %s",
                             luc_dims_text(x.ndim, x.dims).s);
    lucid_meta *out = &c->out[0];
    luc_set_dims(c, 0, a->dtype, batch.ndim, batch.dims);
    out->dims[out->ndim++] = a->dims[a->ndim - 2];
    out->dims[out->ndim++] = b->dims[b->ndim - 1];
    luc_contiguous_strides(out->ndim, out->dims, out->strides);
    return true;
}

/* matmul and linear: a sum over the last dimension of input 0 for each element. */
static double product_flops(const lucid_call *c)
{
    const lucid_view *a = &c->in[0]->view;
    const double out = (double)luc_dims_numel(c->out[0].ndim, c->out[0].dims);
    return 2 * out * (double)a->dims[a->ndim - 1];
}

/* da = g b^T, db = a^T g, summed over batches that were broadcast. */
static bool matmul_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0];
    if (luc_needs(v, 0)) {
        lucid_tensor *bt = lucid_transpose(lucid_saved_input(v, 1), -2, -1);
        v->grad_in[0] = lucid_sum_to_input(v, 0, lucid_matmul(g, bt));
    }
    if (luc_needs(v, 1)) {
        lucid_tensor *at = lucid_transpose(lucid_saved_input(v, 0), -2, -1);
        v->grad_in[1] = lucid_sum_to_input(v, 1, lucid_matmul(at, g));
    }
    return true;
}

static const lucid_sample matmul_samples[] = {
    {.name = "matrices", .n_in = 2, .in = {LUC_IN2(3, 4), LUC_IN2(4, 5)}},
    {.name = "batch", .n_in = 2, .in = {LUC_IN3(2, 3, 4), LUC_IN3(2, 4, 5)}},
    {.name = "broadcast", .n_in = 2, .in = {LUC_IN4(2, 1, 3, 4), LUC_IN3(3, 4, 2)}},
    {.name = "shared", .n_in = 2, .in = {LUC_IN3(2, 3, 4), LUC_IN2(4, 5)}},
    {.name = "empty", .n_in = 2, .in = {LUC_IN2(3, 0), LUC_IN2(0, 5)}},
};
static const lucid_sample matmul_bad_samples[] = {
    {.name = "inner",
     .n_in = 2,
     .in = {LUC_IN2(3, 4), LUC_IN2(5, 4)},
     .error = "b: expected [..,4,N]"},
    {.name = "batch",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 4), LUC_IN3(3, 4, 5)},
     .error = "b: expected leading sizes"},
};

const lucid_op luc_op_matmul = {
    .name = "matmul",
    .schema = "a, b",
    .doc = "matrix product",
    .id = LUCID_OP_matmul,
    .n_in = 2,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_LOW,
    .infer = matmul_infer,
    .flops = product_flops,
    .saves = luc_save_other,
    .vjp = matmul_vjp,
    LUC_SAMPLES(matmul_samples),
    LUC_BAD_SAMPLES(matmul_bad_samples),
};

/* Both in their common dtype; autocast comes first, on whole parameters, whose casts are kept. */
static bool meet(lucid_tensor **a, lucid_tensor **b)
{
    if (!luc_given(*a, "matmul", "a") || !luc_given(*b, "matmul", "b")) return false;
    if (luc_autocast_is_on()) {
        lucid_tensor *in[2] = {*a, *b}, *cast[2];
        lucid_dtype dtype = luc_autocast_target(&luc_op_matmul, in, 2);
        if (dtype != LUCID_DTYPE_COUNT) {
            if (!luc_autocast_inputs(in, 2, dtype, cast)) return false;
            *a = cast[0];
            *b = cast[1];
        }
    }
    lucid_dtype d = (*a)->view.dtype == (*b)->view.dtype
                        ? (*a)->view.dtype
                        : lucid_promote_types((*a)->view.dtype, (*b)->view.dtype);
    *a = lucid_cast(*a, d);
    *b = lucid_cast(*b, d);
    return *a && *b;
}

lucid_tensor *lucid_matmul(lucid_tensor *a, lucid_tensor *b)
{
    LUCID_SCOPE;
    if (!meet(&a, &b)) return NULL;
    int na = a->view.ndim, nb = b->view.ndim;
    if (na == 0 || nb == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "matmul", "%s: expected at least 1-D, got []",
                              na == 0 ? "a" : "b");
    if (na == 1) a = lucid_unsqueeze(a, 0); /* [K] is a row on the left, a column on the right */
    if (nb == 1) b = lucid_unsqueeze(b, 1);
    lucid_tensor *y = luc_apply2(&luc_op_matmul, a, b, NULL);
    if (nb == 1) y = lucid_squeeze(y, -1);
    if (na == 1) y = lucid_squeeze(y, nb == 1 ? -1 : -2);
    return lucid_scope_return(y);
}

/* ---- linear: x [..,I] times weight [O,I] transposed, plus bias [O] --------------------------- */

static bool has_relu(const void *attrs)
{
    return ((const lucid_linear_attrs *)attrs)->relu;
}

static bool linear_infer(lucid_call *c)
{
    const lucid_view *x = &c->in[0]->view, *w = &c->in[1]->view;
    if (!luc_want_floating(c, 0) || !luc_check_relu(c, has_relu(c->attrs))) return false;
    if (w->ndim != 2) return luc_bad_input(c, 1, "expected 2-D [out,in]");
    if (x->ndim < 1 || x->dims[x->ndim - 1] != w->dims[1])
        return luc_bad_input(c, 0, "expected [..,%lld] (weight %s)", (long long)w->dims[1],
                             luc_shape_text(c->in[1]).s);
    if (c->in[2] && (c->in[2]->view.ndim != 1 || c->in[2]->view.dims[0] != w->dims[0]))
        return luc_bad_input(c, 2, "expected [%lld]", (long long)w->dims[0]);
    luc_set_dims(c, 0, x->dtype, x->ndim, x->dims);
    c->out[0].dims[x->ndim - 1] = w->dims[0];
    luc_contiguous_strides(x->ndim, c->out[0].dims, c->out[0].strides);
    return true;
}

/* [..,I] as [rows,I] */
static lucid_tensor *as_matrix(lucid_tensor *t)
{
    if (!t || t->view.ndim == 2) return t;
    lucid_shape shape = {2, {1, t->view.dims[t->view.ndim - 1]}};
    shape.dims[0] = luc_dims_numel(t->view.ndim - 1, t->view.dims);
    return lucid_reshape_opt(t, shape);
}

static uint32_t linear_saves(const lucid_call *c)
{
    return luc_save_other(c) | (has_relu(c->attrs) ? LUCID_SAVE_OUTPUT(0) : 0);
}

/* dx = g w, dw = g^T x, db = sum of g's rows, where ReLU let g through */
static bool linear_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0];
    if (has_relu(v->attrs))
        g = luc_apply2(&luc_op_relu_backward, g, lucid_saved_output(v, 0), NULL);
    lucid_tensor *rows = as_matrix(g);
    if (luc_needs(v, 0)) {
        lucid_tensor *dx = lucid_matmul(rows, lucid_saved_input(v, 1));
        v->grad_in[0] = lucid_reshape_opt(dx, luc_meta_shape(lucid_input_meta(v, 0)));
    }
    if (luc_needs(v, 1)) {
        lucid_tensor *x = as_matrix(lucid_saved_input(v, 0));
        v->grad_in[1] = lucid_matmul(lucid_transpose(rows, 0, 1), x);
    }
    if (luc_needs(v, 2)) {
        v->grad_in[2] = lucid_sum_opt(rows, LUCID_SHAPE(0), NULL);
    }
    return true;
}

static const lucid_linear_attrs plain = {.relu = false};
static const lucid_sample linear_samples[] = {
    {.name = "batch", .n_in = 3, .attrs = &plain, .in = {LUC_IN2(3, 4), LUC_IN2(5, 4), LUC_IN1(5)}},
    {.name = "no bias",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN2(3, 4), LUC_IN2(5, 4), LUC_ABSENT}},
    {.name = "vector", .n_in = 3, .attrs = &plain, .in = {LUC_IN1(4), LUC_IN2(5, 4), LUC_IN1(5)}},
    {.name = "sequence",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN3(2, 3, 4), LUC_IN2(5, 4), LUC_IN1(5)}},
};
static const lucid_sample linear_bad_samples[] = {
    {.name = "features",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN2(3, 6), LUC_IN2(5, 4), LUC_ABSENT},
     .error = "input: expected [..,4]"},
    {.name = "weight",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN2(3, 4), LUC_IN1(4), LUC_ABSENT},
     .error = "weight: expected 2-D"},
    {.name = "bias",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN2(3, 4), LUC_IN2(5, 4), LUC_IN1(4)},
     .error = "bias: expected [5]"},
};

const lucid_op luc_op_linear = {
    .name = "linear",
    .schema = "input, weight, bias?",
    .doc = "x weight^T + bias",
    .id = LUCID_OP_linear,
    .n_in = 3,
    .n_out = 1,
    .attrs_size = sizeof(lucid_linear_attrs),
    .autocast = LUCID_AUTOCAST_LOW,
    .infer = linear_infer,
    .flops = product_flops,
    .saves = linear_saves,
    .vjp = linear_vjp,
    LUC_SAMPLES(linear_samples),
    LUC_BAD_SAMPLES(linear_bad_samples),
};

lucid_tensor *lucid_linear(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias)
{
    if (!luc_given(x, "linear", "x") || !luc_given(weight, "linear", "weight")) return NULL;
    const lucid_linear_attrs attrs = {.relu = false};
    return lucid_apply(&luc_op_linear, (lucid_tensor *[]){x, weight, bias}, 3, &attrs);
}

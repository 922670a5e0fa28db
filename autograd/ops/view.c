/* view.c: views: other sizes and strides over the same storage. (Copies: convert.c.) */
#include "autograd/ops/view.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- reshape --------------------------------------------------------------------------------- */

/* Strides for x seen as `dims`, if no copy is needed: every group of x's dimensions that is merged
 * or split must step through memory evenly. */
static bool view_strides(const lucid_view *x, int ndim, const int64_t *dims, int64_t *strides)
{
    if (luc_dims_numel(x->ndim, x->dims) == 0) {
        luc_contiguous_strides(ndim, dims, strides);
        return true;
    }
    int to = ndim - 1;
    int64_t step = x->ndim ? x->strides[x->ndim - 1] : 1, have = 1, made = 1;
    for (int from = x->ndim - 1; from >= 0; from--) {
        have *= x->dims[from];
        bool ends = from == 0 || (x->dims[from - 1] != 1 && x->strides[from - 1] != have * step);
        if (!ends) continue;
        while (to >= 0 && (made < have || dims[to] == 1)) {
            strides[to] = made * step;
            made *= dims[to--];
        }
        if (made != have) return false;
        if (from > 0) {
            step = x->strides[from - 1];
            have = made = 1;
        }
    }
    for (; to >= 0; to--) strides[to] = made * step; /* leading ones */
    return true;
}

static bool view_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    if (!luc_infer_shape(c, &a->shape)) return false;
    if (lucid_shape_numel(&a->shape) != c->in[0]->numel)
        return luc_raise(LUCID_ERR_ARGUMENT, "view",
                         "shape: expected %lld elements like x %s, got %s",
                         (long long)c->in[0]->numel, luc_shape_text(c->in[0]).s,
                         luc_dims_text(a->shape.ndim, a->shape.dims).s);
    c->out[0].offset = c->in[0]->offset;
    if (!view_strides(&c->in[0]->view, a->shape.ndim, a->shape.dims, c->out[0].strides))
        return luc_bad_input(c, 0, "expected strides that can be seen as %s without a copy",
                             luc_dims_text(a->shape.ndim, a->shape.dims).s);
    return true;
}

static bool view_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_reshape_opt(v->grad_out[0], luc_meta_shape(lucid_input_meta(v, 0)));
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs to_53 = {.shape = {2, {5, 3}}}, to_15 = {.shape = {1, {15}}},
                              to_3151 = {.shape = {4, {3, 1, 5, 1}}};
static const lucid_sample view_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &to_53},
    {.name = "flat", .n_in = 1, .in = {LUC_IN3(3, 1, 5)}, .attrs = &to_15},
    {.name = "ones", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &to_3151},
};

const lucid_op luc_op_view = {
    .name = "view",
    .schema = "x, shape",
    .doc = "other sizes over the same memory",
    .id = LUCID_OP_view,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_VIEW,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = view_infer,
    .vjp = view_vjp,
    LUC_SAMPLES(view_samples),
};

/* Replaces a -1 by what is left over; false (raised) when the numbers of elements differ. */
static bool resolve_shape(const lucid_tensor *x, lucid_shape *shape, const char *op)
{
    int64_t known = 1;
    int open = -1;
    lucid_shape asked = *shape;
    if (shape->ndim < 0 || shape->ndim > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "shape: expected at most %d dimensions, got %d",
                         LUCID_MAX_DIMS, shape->ndim);
    for (int d = 0; d < shape->ndim; d++) {
        if (shape->dims[d] == -1 && open < 0)
            open = d;
        else if (shape->dims[d] < 0 || !luc_mul_i64(known, shape->dims[d], &known))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "shape: expected sizes >= 0 and at most one "
                             "-1, got %s",
                             luc_dims_text(asked.ndim, asked.dims).s);
    }
    if (open >= 0 && known > 0 && x->numel % known == 0) {
        shape->dims[open] = x->numel / known;
        known = x->numel;
    }
    bool undecided = open >= 0 && shape->dims[open] == -1;
    if (undecided || known != x->numel)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "shape: expected %lld elements like x %s, got %s",
                         (long long)x->numel, luc_shape_text(x).s,
                         luc_dims_text(asked.ndim, asked.dims).s);
    return true;
}

lucid_tensor *lucid_view_opt(lucid_tensor *x, lucid_shape shape)
{
    if (!luc_given(x, "view", "x") || !resolve_shape(x, &shape, "view")) return NULL;
    lucid_view_attrs attrs = {.shape = shape};
    return luc_apply1(&luc_op_view, x, &attrs);
}

lucid_tensor *lucid_reshape_opt(lucid_tensor *x, lucid_shape shape)
{
    if (!luc_given(x, "reshape", "x") || !resolve_shape(x, &shape, "reshape")) return NULL;
    int64_t strides[LUCID_MAX_DIMS];
    if (!view_strides(&x->view, shape.ndim, shape.dims, strides))
        x = lucid_contiguous(x, LUCID_CONTIGUOUS);
    lucid_view_attrs attrs = {.shape = shape};
    return luc_apply1(&luc_op_view, x, &attrs);
}

lucid_tensor *lucid_flatten(lucid_tensor *x, int start, int end)
{
    if (!luc_given(x, "flatten", "x")) return NULL;
    int ndim = x->view.ndim;
    int from = luc_wrap_dim(start, ndim, "flatten", "start");
    int to = from < 0 ? -1 : luc_wrap_dim(end, ndim, "flatten", "end");
    if (to < 0) return NULL;
    if (from > to)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "flatten", "end: expected >= start, got %d..%d",
                              start, end);
    lucid_shape shape = {.ndim = 0};
    for (int d = 0; d < from; d++) shape.dims[shape.ndim++] = x->view.dims[d];
    shape.dims[shape.ndim++] = ndim ? luc_dims_numel(to - from + 1, x->view.dims + from) : 1;
    for (int d = to + 1; d < ndim; d++) shape.dims[shape.ndim++] = x->view.dims[d];
    return lucid_reshape_opt(x, shape);
}

lucid_tensor *lucid_squeeze(lucid_tensor *x, int dim)
{
    if (!luc_given(x, "squeeze", "x")) return NULL;
    int d = luc_wrap_dim(dim, x->view.ndim, "squeeze", "dim");
    if (d < 0) return NULL;
    lucid_shape shape = lucid_tensor_shape(x);
    if (shape.ndim > 0 && shape.dims[d] == 1) {
        shape.ndim--;
        for (int i = d; i < shape.ndim; i++) shape.dims[i] = shape.dims[i + 1];
    }
    return lucid_view_opt(x, shape);
}

lucid_tensor *lucid_squeeze_all(lucid_tensor *x)
{
    if (!luc_given(x, "squeeze_all", "x")) return NULL;
    lucid_shape shape = {.ndim = 0};
    for (int d = 0; d < x->view.ndim; d++)
        if (x->view.dims[d] != 1) shape.dims[shape.ndim++] = x->view.dims[d];
    return lucid_view_opt(x, shape);
}

lucid_tensor *lucid_unsqueeze(lucid_tensor *x, int dim)
{
    if (!luc_given(x, "unsqueeze", "x")) return NULL;
    lucid_shape shape = lucid_tensor_shape(x);
    if (shape.ndim == LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "unsqueeze",
                              "x: expected fewer than %d "
                              "dimensions, got %s",
                              LUCID_MAX_DIMS, luc_shape_text(x).s);
    int at = luc_wrap_dim(dim, shape.ndim + 1, "unsqueeze", "dim");
    if (at < 0) return NULL;
    for (int d = shape.ndim++; d > at; d--) shape.dims[d] = shape.dims[d - 1];
    shape.dims[at] = 1;
    return lucid_view_opt(x, shape);
}

/* ---- permute --------------------------------------------------------------------------------- */

/* Whether each of ndim dimensions occurs once. */
static bool is_order(const lucid_shape *order, int ndim)
{
    uint32_t seen = 0;
    bool ok = order->ndim == ndim;
    for (int d = 0; ok && d < ndim; d++) {
        const int64_t from = order->dims[d];
        ok = from >= 0 && from < ndim && !(seen >> from & 1);
        if (ok) seen |= 1u << from;
    }
    return ok;
}

static bool permute_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    lucid_meta *out = &c->out[0];
    if (!is_order(&a->shape, x->ndim))
        return luc_raise(LUCID_ERR_ARGUMENT, "permute",
                         "order: expected each dimension of %s once, got %s",
                         luc_shape_text(c->in[0]).s, luc_dims_text(a->shape.ndim, a->shape.dims).s);
    out->dtype = x->dtype;
    out->ndim = x->ndim;
    out->offset = c->in[0]->offset;
    for (int d = 0; d < x->ndim; d++) {
        out->dims[d] = x->dims[a->shape.dims[d]];
        out->strides[d] = x->strides[a->shape.dims[d]];
    }
    return true;
}

static bool permute_vjp(lucid_vjp *v)
{
    const lucid_view_attrs *a = v->attrs;
    lucid_shape inverse = {.ndim = a->shape.ndim};
    for (int d = 0; d < inverse.ndim; d++) inverse.dims[a->shape.dims[d]] = d;
    v->grad_in[0] = lucid_permute_opt(v->grad_out[0], inverse);
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs swapped = {.shape = {2, {1, 0}}}, nhwc = {.shape = {4, {0, 2, 3, 1}}};
static const lucid_sample permute_samples[] = {
    {.name = "transpose", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &swapped},
    {.name = "nhwc", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &nhwc},
};

const lucid_op luc_op_permute = {
    .name = "permute",
    .schema = "x, order",
    .doc = "dimensions in another order",
    .id = LUCID_OP_permute,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_VIEW,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = permute_infer,
    .vjp = permute_vjp,
    LUC_SAMPLES(permute_samples),
};

lucid_tensor *lucid_permute_opt(lucid_tensor *x, lucid_shape order)
{
    if (!luc_given(x, "permute", "x")) return NULL;
    lucid_view_attrs attrs = {.shape = order}; /* .infer refuses a list that is no order */
    for (int d = 0; d < order.ndim && d < LUCID_MAX_DIMS; d++)
        if (order.dims[d] < 0) attrs.shape.dims[d] = order.dims[d] + order.ndim;
    return luc_apply1(&luc_op_permute, x, &attrs);
}

lucid_tensor *lucid_transpose(lucid_tensor *x, int dim0, int dim1)
{
    if (!luc_given(x, "transpose", "x")) return NULL;
    int a = luc_wrap_dim(dim0, x->view.ndim, "transpose", "dim0");
    int b = a < 0 ? -1 : luc_wrap_dim(dim1, x->view.ndim, "transpose", "dim1");
    if (b < 0) return NULL;
    lucid_shape order = {.ndim = x->view.ndim};
    for (int d = 0; d < order.ndim; d++) order.dims[d] = d == a ? b : d == b ? a : d;
    return lucid_permute_opt(x, order);
}

/* ---- expand ---------------------------------------------------------------------------------- */

/* Whether every size is that of x, or x's size there is 1. */
static bool stretches(const lucid_view *x, const lucid_shape *shape)
{
    if (shape->ndim < x->ndim || shape->ndim > LUCID_MAX_DIMS) return false;
    const int lead = shape->ndim - x->ndim;
    bool ok = true;
    for (int d = 0; ok && d < shape->ndim; d++) {
        const int64_t have = d < lead ? 1 : x->dims[d - lead];
        ok = shape->dims[d] >= 0 && (shape->dims[d] == have || have == 1);
    }
    return ok;
}

static bool expand_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    lucid_meta *out = &c->out[0];
    if (!luc_infer_shape(c, &a->shape)) return false;
    if (!stretches(x, &a->shape))
        return luc_raise(LUCID_ERR_ARGUMENT, "expand",
                         "shape: expected sizes that %s stretches to, got %s",
                         luc_shape_text(c->in[0]).s, luc_dims_text(a->shape.ndim, a->shape.dims).s);
    out->offset = c->in[0]->offset;
    int lead = a->shape.ndim - x->ndim;
    for (int d = 0; d < a->shape.ndim; d++) {
        bool stretched = d < lead || (x->dims[d - lead] == 1 && a->shape.dims[d] != 1);
        out->strides[d] = stretched ? 0 : x->strides[d - lead];
    }
    return true;
}

static bool expand_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_sum_to_input(v, 0, v->grad_out[0]);
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs to_435 = {.shape = {3, {4, 3, 5}}}, to_33 = {.shape = {2, {3, 3}}};
static const lucid_sample expand_samples[] = {
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(3, 1)}, .attrs = &to_435},
    {.name = "scalar", .n_in = 1, .in = {LUC_IN0()}, .attrs = &to_33},
};

const lucid_op luc_op_expand = {
    .name = "expand",
    .schema = "x, shape",
    .doc = "sizes of 1 stretched, without a copy",
    .id = LUCID_OP_expand,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_VIEW,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = expand_infer,
    .vjp = expand_vjp,
    LUC_SAMPLES(expand_samples),
};

lucid_tensor *lucid_expand_opt(lucid_tensor *x, lucid_shape shape)
{
    if (!luc_given(x, "expand", "x")) return NULL;
    lucid_view_attrs attrs = {.shape = shape};
    const lucid_view *v = &x->view;
    const int ndim = shape.ndim;
    if (ndim >= v->ndim && ndim <= LUCID_MAX_DIMS)
        for (int d = ndim - v->ndim; d < ndim; d++) /* -1: the size that x has */
            if (shape.dims[d] == -1) attrs.shape.dims[d] = v->dims[d - (ndim - v->ndim)];
    if (!stretches(v, &attrs.shape))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "expand",
                              "shape: expected sizes that %s stretches to, got %s",
                              luc_shape_text(x).s, luc_dims_text(shape.ndim, shape.dims).s);
    return luc_dims_equal(ndim, attrs.shape.dims, v->ndim, v->dims)
               ? x
               : luc_apply1(&luc_op_expand, x, &attrs);
}

/* ---- slice and select ------------------------------------------------------------------------ */

/* Whether `length` steps of `step` from `start` on are inside a dimension of size n. */
static bool check_range(const lucid_call *c, const lucid_view_attrs *a, int64_t length, int64_t n)
{
    int64_t span = 0;
    bool ok = a->step >= 1 && a->start >= 0 && a->start <= n && length >= 0;
    if (ok && length > 0)
        ok = luc_mul_i64(length - 1, a->step, &span) && a->start < n && span < n - a->start;
    return ok || luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                           "start, step: expected %lld elements inside [0,%lld) of dimension %d, "
                           "got start %lld, step %lld",
                           (long long)length, (long long)n, a->dim, (long long)a->start,
                           (long long)a->step);
}

static bool slice_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    const int64_t length = a->shape.dims[0];
    lucid_meta *out = &c->out[0];
    if (!luc_want_dim(c, a->dim, x->ndim) || !check_range(c, a, length, x->dims[a->dim]))
        return false;
    luc_tensor_get_meta(c->in[0], out);
    out->offset += a->start * out->strides[a->dim];
    out->dims[a->dim] = length;
    if (length > 1) out->strides[a->dim] *= a->step; /* else nobody steps, and it might overflow */
    return true;
}

static bool check_place(const lucid_call *c, const lucid_view_attrs *a, int64_t n)
{
    return (a->start >= 0 && a->start < n) ||
           luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                     "index: expected [0,%lld) in dimension %d, got %lld", (long long)n, a->dim,
                     (long long)a->start);
}

static bool select_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    lucid_meta *out = &c->out[0];
    if (!luc_want_dim(c, a->dim, x->ndim) || !check_place(c, a, x->dims[a->dim])) return false;
    luc_tensor_get_meta(c->in[0], out);
    out->offset += a->start * out->strides[a->dim];
    out->ndim--;
    for (int d = a->dim; d < out->ndim; d++) {
        out->dims[d] = out->dims[d + 1];
        out->strides[d] = out->strides[d + 1];
    }
    return true;
}

/* The backwards: zeros of the input's sizes with grad in the place that was seen. Grad has these
 * sizes, but along dim: `skip` is 1 where it has no such dimension (select), else 0. */
static bool check_seen(const lucid_call *c, const lucid_view_attrs *a, int skip)
{
    const lucid_view *g = &c->in[0]->view;
    const lucid_shape *to = &a->shape;
    bool ok = g->ndim == to->ndim - skip;
    for (int d = 0; ok && d < g->ndim; d++) {
        const int at = d >= a->dim ? d + skip : d;
        ok = (at == a->dim && !skip) || g->dims[d] == to->dims[at];
    }
    return ok || luc_bad_input(c, 0, "expected the sizes of %s but for dimension %d",
                               luc_dims_text(to->ndim, to->dims).s, a->dim);
}

static bool slice_backward_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    return luc_infer_shape(c, &a->shape) && luc_want_dim(c, a->dim, a->shape.ndim) &&
           check_seen(c, a, 0) &&
           check_range(c, a, c->in[0]->view.dims[a->dim], a->shape.dims[a->dim]);
}

static bool select_backward_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    return luc_infer_shape(c, &a->shape) && luc_want_dim(c, a->dim, a->shape.ndim) &&
           check_seen(c, a, 1) && check_place(c, a, a->shape.dims[a->dim]);
}

static lucid_tensor *zeros_like_out(const lucid_call *c)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = c->in[0]->view.dtype;
    o.device = c->in[0]->storage->device;
    return lucid_zeros_opt(luc_meta_shape(&c->out[0]), &o);
}

static bool slice_backward_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_view_attrs *a = c->attrs;
    lucid_tensor *z = zeros_like_out(c);
    int64_t n = c->in[0]->view.dims[a->dim], end = a->start + (n - 1) * a->step + 1;
    if (n > 0 && !lucid_copy_(lucid_slice(z, a->dim, a->start, end, a->step), c->in[0]))
        return false;
    out[0] = z;
    return z != NULL;
}

static bool select_backward_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_view_attrs *a = c->attrs;
    lucid_tensor *z = zeros_like_out(c);
    if (!lucid_copy_(lucid_select(z, a->dim, a->start), c->in[0])) return false;
    out[0] = z;
    return true;
}

static bool to_backward(lucid_vjp *v, const lucid_op *op)
{
    lucid_view_attrs a = *(const lucid_view_attrs *)v->attrs;
    a.shape = luc_meta_shape(lucid_input_meta(v, 0));
    v->grad_in[0] = luc_apply1(op, v->grad_out[0], &a);
    return v->grad_in[0] != NULL;
}

static bool slice_vjp(lucid_vjp *v)
{
    return to_backward(v, &luc_op_slice_backward);
}

static bool select_vjp(lucid_vjp *v)
{
    return to_backward(v, &luc_op_select_backward);
}

static bool slice_backward_vjp(lucid_vjp *v)
{
    lucid_view_attrs a = *(const lucid_view_attrs *)v->attrs;
    a.shape = (lucid_shape){1, {lucid_input_meta(v, 0)->dims[a.dim]}};
    v->grad_in[0] = luc_apply1(&luc_op_slice, v->grad_out[0], &a);
    return v->grad_in[0] != NULL;
}

static bool select_backward_vjp(lucid_vjp *v)
{
    v->grad_in[0] = luc_apply1(&luc_op_select, v->grad_out[0], v->attrs);
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs middle = {.shape = {1, {2}}, .dim = 0, .start = 1, .step = 1},
                              stepped = {.shape = {1, {3}}, .dim = 1, .start = 0, .step = 2},
                              second = {.dim = 1, .start = 1},
                              stepped_back = {.shape = {2, {3, 5}},
                                              .dim = 1,
                                              .start = 0,
                                              .step = 2},
                              second_back = {.shape = {3, {2, 3, 4}}, .dim = 1, .start = 1};
static const lucid_sample slice_samples[] = {
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(4, 5)}, .attrs = &middle},
    {.name = "step", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &stepped},
};
static const lucid_sample select_samples[] = {
    {.name = "middle", .n_in = 1, .in = {LUC_IN3(2, 3, 4)}, .attrs = &second},
};
static const lucid_sample slice_backward_samples[] = {
    {.name = "step", .n_in = 1, .in = {LUC_IN2(3, 3)}, .attrs = &stepped_back},
};
static const lucid_sample select_backward_samples[] = {
    {.name = "middle", .n_in = 1, .in = {LUC_IN2(2, 4)}, .attrs = &second_back},
};

const lucid_op luc_op_slice = {
    .name = "slice",
    .schema = "x",
    .doc = "a range of one dimension",
    .id = LUCID_OP_slice,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_VIEW,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = slice_infer,
    .vjp = slice_vjp,
    LUC_SAMPLES(slice_samples),
};

const lucid_op luc_op_select = {
    .name = "select",
    .schema = "x",
    .doc = "one index of one dimension",
    .id = LUCID_OP_select,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_VIEW,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = select_infer,
    .vjp = select_vjp,
    LUC_SAMPLES(select_samples),
};

const lucid_op luc_op_slice_backward = {
    .name = "slice_backward",
    .schema = "grad",
    .doc = "grad in its place among zeros",
    .id = LUCID_OP_slice_backward,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = slice_backward_infer,
    .compose = slice_backward_compose,
    .vjp = slice_backward_vjp,
    LUC_SAMPLES(slice_backward_samples),
};

const lucid_op luc_op_select_backward = {
    .name = "select_backward",
    .schema = "grad",
    .doc = "grad in its place among zeros",
    .id = LUCID_OP_select_backward,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = select_backward_infer,
    .compose = select_backward_compose,
    .vjp = select_backward_vjp,
    LUC_SAMPLES(select_backward_samples),
};

static int64_t clip(int64_t i, int64_t n)
{
    if (i < 0) i += n;
    return i < 0 ? 0 : i > n ? n : i;
}

/* 0-d tensors have no dimension to pick from. */
static int pick_dim(const lucid_tensor *x, int dim, const char *op)
{
    if (x->view.ndim > 0) return luc_wrap_dim(dim, x->view.ndim, op, "dim");
    luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected at least 1 dimension, got []");
    return -1;
}

lucid_tensor *lucid_slice(lucid_tensor *x, int dim, int64_t start, int64_t end, int64_t step)
{
    if (!luc_given(x, "slice", "x")) return NULL;
    int d = pick_dim(x, dim, "slice");
    if (d < 0) return NULL;
    if (step < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "slice", "step: expected >= 1, got %lld",
                              (long long)step);
    int64_t n = x->view.dims[d];
    start = clip(start, n);
    end = clip(end, n);
    int64_t length = end > start ? (end - start - 1) / step + 1 : 0;
    lucid_view_attrs attrs = {.shape = {1, {length}}, .dim = d, .start = start, .step = step};
    return luc_apply1(&luc_op_slice, x, &attrs);
}

lucid_tensor *lucid_narrow(lucid_tensor *x, int dim, int64_t start, int64_t length)
{
    if (!luc_given(x, "narrow", "x")) return NULL;
    int d = pick_dim(x, dim, "narrow");
    if (d < 0) return NULL;
    int64_t n = x->view.dims[d], from = start < 0 ? start + n : start;
    if (from < 0 || from > n || length < 0 || length > n - from)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "narrow",
                              "start, length: expected a range of "
                              "[0,%lld) in dimension %d of %s, got %lld, %lld",
                              (long long)n, d, luc_shape_text(x).s, (long long)start,
                              (long long)length);
    lucid_view_attrs attrs = {.shape = {1, {length}}, .dim = d, .start = from, .step = 1};
    return luc_apply1(&luc_op_slice, x, &attrs);
}

lucid_tensor *lucid_select(lucid_tensor *x, int dim, int64_t index)
{
    if (!luc_given(x, "select", "x")) return NULL;
    int d = pick_dim(x, dim, "select");
    if (d < 0) return NULL;
    int64_t n = x->view.dims[d];
    if (index < -n || index >= n)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "select",
                              "index: expected [%lld,%lld) in dimension %d of %s, got %lld",
                              (long long)-n, (long long)n, d, luc_shape_text(x).s,
                              (long long)index);
    lucid_view_attrs attrs = {.dim = d, .start = index < 0 ? index + n : index};
    return luc_apply1(&luc_op_select, x, &attrs);
}

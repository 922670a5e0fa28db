/* strided.c: as_strided, any view of a storage. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- as_strided ------------------------------------------------------------------------------ */

static bool as_strided_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    if (!luc_infer_shape(c, &a->shape)) return false;
    if (a->start != c->in[0]->offset)
        return luc_raise(LUCID_ERR_ARGUMENT, "as_strided",
                         "start: expected %lld, where x begins in its storage, got %lld",
                         (long long)c->in[0]->offset, (long long)a->start);
    memcpy(c->out[0].strides, a->strides, (size_t)a->shape.ndim * sizeof *a->strides);
    c->out[0].offset = a->offset;
    return true;
}

/* Whether two indices can reach one element. Sorted by stride, each dimension must step over all
 * that the smaller ones reach. (Sufficient, not necessary: a strange view may be taken for
 * overlapping.) */
static bool may_overlap(int ndim, const int64_t *dims, const int64_t *strides)
{
    bool used[LUCID_MAX_DIMS] = {false};
    int64_t reach = 0;
    for (int d = 0; d < ndim; d++)
        if (dims[d] == 0) return false;
    for (int n = 0; n < ndim; n++) {
        int next = -1;
        for (int d = 0; d < ndim; d++)
            if (!used[d] && (next < 0 || strides[d] < strides[next])) next = d;
        used[next] = true;
        if (dims[next] <= 1) continue;
        if (strides[next] <= reach) return true;
        reach += (dims[next] - 1) * strides[next];
    }
    return false;
}

/* In attrs, .start is where the input began in the storage, from where .offset counts.
 * The gradient of the input's memory, from its first element to its last, and of that the input's
 * own view: whatever its strides are, each of its elements gets what was seen of it. */
static bool as_strided_vjp(lucid_vjp *v)
{
    const lucid_meta *in = lucid_input_meta(v, 0);
    const lucid_view_attrs *seen = v->attrs;
    lucid_view_attrs a = *seen;
    lucid_shape shape = luc_meta_shape(in), strides = {.ndim = in->ndim};
    if (may_overlap(in->ndim, in->dims, in->strides))
        return luc_raise(LUCID_ERR_UNSUPPORTED, "as_strided",
                         "x: the gradient of as_strided needs memory whose elements are each seen "
                         "once, got strides %s of %s",
                         luc_dims_text(in->ndim, in->strides).s,
                         luc_dims_text(in->ndim, in->dims).s);
    a.shape = LUCID_SHAPE(lucid_shape_numel(&shape) > 0);
    for (int d = 0; d < in->ndim; d++) {
        strides.dims[d] = in->strides[d];
        if (a.shape.dims[0] > 0) a.shape.dims[0] += (in->dims[d] - 1) * in->strides[d];
    }
    a.start = seen->offset - seen->start;
    int64_t last = a.start;
    for (int d = 0; d < seen->shape.ndim; d++) last += (seen->shape.dims[d] - 1) * seen->strides[d];
    if (lucid_shape_numel(&seen->shape) > 0 && (a.start < 0 || last >= a.shape.dims[0]))
        return luc_raise(LUCID_ERR_UNSUPPORTED, "as_strided",
                         "x: the gradient of what is seen outside of x itself has no place: "
                         "expected elements [0,%lld) from its first, got [%lld,%lld]",
                         (long long)a.shape.dims[0], (long long)a.start, (long long)last);
    lucid_tensor *memory = luc_apply1(&luc_op_as_strided_backward, v->grad_out[0], &a);
    v->grad_in[0] = luc_is_contiguous(in->ndim, in->dims, in->strides)
                        ? lucid_view_opt(memory, shape)
                        : lucid_as_strided_opt(memory, shape, strides, 0);
    return v->grad_in[0] != NULL;
}

static bool backward_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    const lucid_view *g = &c->in[0]->view;
    if (!luc_infer_shape(c, &a->shape)) return false;
    const int64_t available = lucid_shape_numel(&a->shape);
    int64_t last = a->start, span;
    bool ok = last >= 0;
    for (int d = 0; ok && d < g->ndim; d++)
        ok = a->strides[d] >= 0 &&
             (g->dims[d] < 2 || (luc_mul_i64(g->dims[d] - 1, a->strides[d], &span) &&
                                 !__builtin_add_overflow(last, span, &last)));
    if ((ok && last < available) || c->in[0]->numel == 0) return true;
    return luc_bad_input(c, 0, "expected a view of %lld elements from element %lld with strides %s",
                         (long long)available, (long long)a->start,
                         luc_dims_text(g->ndim, a->strides).s);
}

/* The view of z, contiguous memory as long as the input's, that the forward took of the input. */
static lucid_tensor *seen_in(lucid_tensor *z, lucid_shape shape, const lucid_view_attrs *a)
{
    lucid_shape strides = {.ndim = shape.ndim};
    if (!z) return NULL;
    memcpy(strides.dims, a->strides, sizeof strides.dims);
    return lucid_as_strided_opt(z, shape, strides, z->offset + a->start);
}

/* The place in memory of each element of the view, row-major, on the device: int64 [numel]. */
static lucid_tensor *positions_of(const lucid_tensor *view, int64_t start)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = LUCID_I64;
    lucid_tensor *index = lucid_empty_opt(LUCID_SHAPE(view->numel), &o);
    int64_t *to = lucid_mutable_data(index);
    for (int64_t k = 0; to && k < view->numel; k++) {
        int64_t rest = k, at = start;
        for (int d = view->view.ndim - 1; d >= 0; d--) {
            at += rest % view->view.dims[d] * view->view.strides[d];
            rest /= view->view.dims[d];
        }
        to[k] = at;
    }
    return lucid_tensor_to(index, view->storage->device);
}

/* What is seen more than once collects the sum: rounded once, as index_add's are. z is the
 * memory. */
static lucid_tensor *add_overlapping(const lucid_tensor *z, const lucid_tensor *place,
                                     lucid_tensor *g)
{
    const lucid_dim_attrs into = {.dim = 0, .size = z->numel};
    lucid_tensor *index = positions_of(place, place->offset - z->offset);
    lucid_tensor *flat = lucid_reshape_opt(g, LUCID_SHAPE(g->numel));
    lucid_tensor *sum = luc_apply2(&luc_op_index_add, flat, index, &into);
    return sum ? lucid_view_opt(sum, lucid_tensor_shape(z)) : NULL;
}

static bool backward_compose(const lucid_call *c, lucid_tensor **out)
{
    lucid_tensor *g = c->in[0];
    lucid_tensor *z = luc_tensor_new(&c->out[0], g->storage->device, "as_strided_backward");
    if (!z || !luc_fill_data(z, 0, "as_strided_backward")) return false;
    lucid_tensor *place = seen_in(z, lucid_tensor_shape(g), c->attrs);
    out[0] = z;
    if (!place) return false;
    if (may_overlap(place->view.ndim, place->view.dims, place->view.strides))
        return (out[0] = add_overlapping(z, place, g)) != NULL;
    return luc_copy_data(place, g, "as_strided_backward");
}

static bool backward_vjp(lucid_vjp *v)
{
    v->grad_in[0] = seen_in(lucid_contiguous(v->grad_out[0], LUCID_CONTIGUOUS),
                            luc_meta_shape(lucid_input_meta(v, 0)), v->attrs);
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs diagonal = {.shape = {1, {3}}, .strides = {6}, .offset = 0},
                              windows = {.shape = {2, {3, 3}}, .strides = {1, 1}, .offset = 0},
                              windows_back = {.shape = {1, {5}}, .strides = {1, 1}};
static const lucid_sample as_strided_samples[] = {
    {.name = "diagonal", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &diagonal},
    {.name = "windows", .n_in = 1, .in = {LUC_IN1(5)}, .attrs = &windows},
};
static const lucid_sample backward_samples[] = {
    {.name = "windows", .n_in = 1, .in = {LUC_IN2(3, 3)}, .attrs = &windows_back},
};

const lucid_op luc_op_as_strided = {
    .name = "as_strided",
    .schema = "x",
    .doc = "any view of the storage",
    .id = LUCID_OP_as_strided,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_VIEW,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = as_strided_infer,
    .vjp = as_strided_vjp,
    LUC_SAMPLES(as_strided_samples),
};

const lucid_op luc_op_as_strided_backward = {
    .name = "as_strided_backward",
    .schema = "grad",
    .doc = "grad summed where it was seen",
    .id = LUCID_OP_as_strided_backward,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = backward_infer,
    .compose = backward_compose,
    .vjp = backward_vjp,
    LUC_SAMPLES(backward_samples),
};

lucid_tensor *lucid_as_strided_opt(lucid_tensor *x, lucid_shape shape, lucid_shape strides,
                                   int64_t offset)
{
    if (!luc_given(x, "as_strided", "x") || !luc_check_shape(&shape, x->view.dtype, "as_strided"))
        return NULL;
    if (strides.ndim != shape.ndim)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "as_strided",
                              "strides: expected %d like shape, "
                              "got %d",
                              shape.ndim, strides.ndim);
    lucid_view_attrs attrs = {.shape = shape, .offset = offset, .start = x->offset};
    int64_t last = offset, span;
    bool ok = offset >= 0, empty = lucid_shape_numel(&shape) == 0;
    for (int d = 0; d < shape.ndim && ok; d++) {
        attrs.strides[d] = strides.dims[d];
        ok = strides.dims[d] >= 0 &&
             (empty || (luc_mul_i64(shape.dims[d] - 1, strides.dims[d], &span) &&
                        !__builtin_add_overflow(last, span, &last)));
    }
    int64_t held = (int64_t)(x->storage->size / lucid_dtype_size(x->view.dtype));
    if (!ok || (!empty && last >= held))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "as_strided",
                              "shape: expected a view inside the storage's %lld elements, got %s, "
                              "strides %s, offset %lld",
                              (long long)held, luc_dims_text(shape.ndim, shape.dims).s,
                              luc_dims_text(strides.ndim, strides.dims).s, (long long)offset);
    return luc_apply1(&luc_op_as_strided, x, &attrs);
}

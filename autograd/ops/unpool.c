/* unpool.c: the other way round than max pooling. The operator works on flat planes [N,C,P]. */
#include "autograd/ops/unpool.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/numbers.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/sorting.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- the operator: (x [N,C,P], index [N,C,P]) -> [N,C,size] ---------------------------------- */

static bool unpool_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    if (!luc_want_floating(c, 0) || !luc_want_ndim(c, 0, 3, "[N,C,P]") || !luc_want_like(c, 1, 0))
        return false;
    if (c->in[1]->view.dtype != LUCID_I64) return luc_bad_input(c, 1, "expected int64");
    lucid_shape shape = lucid_tensor_shape(c->in[0]);
    shape.dims[2] = a->size;
    return luc_infer_shape(c, &shape);
}

/* The elements in the order of their indices; all but the last of those with one index become 0,
 * so that adding is assigning. */
static bool unpool_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_dim_attrs *a = c->attrs;
    lucid_tensor *x = c->in[0], *index = c->in[1];
    lucid_shape shape = lucid_tensor_shape(x);
    const int64_t n = shape.dims[2];
    if (n > 1) {
        lucid_tensor *order = lucid_argsort_opt(index, 2, NULL);
        if (!order) return false;
        index = lucid_gather(index, 2, order);
        x = lucid_gather(x, 2, order);
        if (!x || !index) return false;
        lucid_tensor *last =
            lucid_ne(lucid_narrow(index, 2, 1, n - 1), lucid_narrow(index, 2, 0, n - 1));
        shape.dims[2] = 1;
        lucid_tensor *end = lucid_full_opt(
            shape, 1, LUC_WITH(lucid_tensor, .dtype = LUCID_BOOL, .device = c->device));
        if (!last || !end) return false;
        lucid_tensor *keep = lucid_cat_list((lucid_tensor *[]){last, end}, 2, 2);
        if (!keep) return false;
        x = lucid_where(keep, x, luc_full_like(x, 0));
    }
    shape.dims[2] = a->size;
    out[0] = x ? luc_scatter_add(x, index, 2, shape) : NULL;
    return out[0] != NULL;
}

static bool unpool_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_gather(v->grad_out[0], 2, lucid_saved_input(v, 1));
    return v->grad_in[0] != NULL;
}

static const lucid_dim_attrs of_nine = {.dim = 2, .size = 9}, below_zero = {.dim = 2, .size = -1};
/* One element a plane: with an index twice the gradient is PyTorch's, which is not that of the last
 * element alone. */
static const lucid_sample unpool_samples[] = {
    {.name = "one",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 1), LUC_INDEX(9, {3, {2, 3, 1}})},
     .attrs = &of_nine},
};
static const lucid_sample unpool_bad_samples[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 4), LUC_INDEX(9, {3, {2, 3, 5}})},
     .attrs = &of_nine,
     .error = "index: expected [2,3,4] like x"},
    {.name = "size",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 4), LUC_INDEX(9, {3, {2, 3, 4}})},
     .attrs = &below_zero,
     .error = "shape"},
};

const lucid_op luc_op_max_unpool = {
    .name = "max_unpool",
    .schema = "x, index",
    .doc = "zeros with x at its indices",
    .id = LUCID_OP_max_unpool,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = unpool_infer,
    .saves = luc_save_second,
    .vjp = unpool_vjp,
    .compose = unpool_compose,
    LUC_SAMPLES(unpool_samples),
    LUC_BAD_SAMPLES(unpool_bad_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

/* The numbers of an extent for n dimensions, at the end of of[3]; the others become `rest`. */
static bool numbers(const char *op, const char *argument, int n, lucid_extent extent, int64_t rest,
                    int64_t of[3])
{
    int64_t three[3];
    bool ok = true;
    of[0] = of[1] = of[2] = rest;
    if (luc_extent_is_pair(extent) && n == 2) {
        lucid_extent_get(extent, of + 1);
        return true;
    }
    ok = (n == 3 || !luc_extent_is_triple(extent)) && lucid_triple_get(extent, three);
    for (int d = 0; d < n && ok; d++) of[3 - n + d] = three[d];
    return ok || luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected one number or %d", argument, n);
}

/* The sizes of the output after C, at the end of size[3]. */
static bool output_sizes(const char *op, int n, const lucid_tensor *x, lucid_extent kernel,
                         const lucid_max_unpool_options *o, int64_t size[3])
{
    int64_t k[3], s[3], p[3], wanted[3];
    const lucid_extent stride = o->stride == LUCID_KERNEL ? kernel : o->stride;
    if (!numbers(op, "kernel", n, kernel, 1, k) || !numbers(op, "stride", n, stride, 1, s) ||
        !numbers(op, "padding", n, o->padding, 0, p) ||
        !numbers(op, "output_size", n, o->output_size, 0, wanted))
        return false;
    for (int d = 3 - n; d < 3; d++) {
        const int64_t in = x->view.dims[x->view.ndim - 3 + d], most = INT32_MAX;
        if (k[d] < 1 || s[d] < 1 || p[d] < 0 || k[d] > most || s[d] > most || p[d] > most)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "kernel, stride, padding: expected >= 1, >= 1, >= 0, got %lld, %lld, "
                             "%lld",
                             (long long)k[d], (long long)s[d], (long long)p[d]);
        if (in > most) return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected a smaller size");
        const int64_t usual = (in - 1) * s[d] - 2 * p[d] + k[d];
        size[d] = wanted[d] ? wanted[d] : usual;
        if (size[d] < 1 || size[d] <= usual - s[d] || size[d] >= usual + s[d])
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "output_size: expected a size between %lld and %lld, got %lld",
                             (long long)(usual - s[d]), (long long)(usual + s[d]),
                             (long long)size[d]);
    }
    return true;
}

static lucid_tensor *unpool(const char *op, int n, lucid_tensor *x, lucid_tensor *index,
                            lucid_extent kernel, const lucid_max_unpool_options *options)
{
    LUC_CALLED_AS(op);
    const lucid_max_unpool_options *o = LUC_OPTIONS(lucid_max_unpool, options, op);
    int64_t size[3] = {1, 1, 1}, planes, places = 1;
    if (!o || !luc_given(x, op, "x") || !luc_given(index, op, "indices")) return NULL;
    const lucid_view *v = &x->view;
    if (v->ndim != n + 1 && v->ndim != n + 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected %d or %d dimensions, got %s",
                              n + 1, n + 2, luc_shape_text(x).s);
    if (!luc_dims_equal(v->ndim, v->dims, index->view.ndim, index->view.dims))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "indices: expected %s like x, got %s",
                              luc_shape_text(x).s, luc_shape_text(index).s);
    if (!output_sizes(op, n, x, kernel, o, size)) return NULL;
    lucid_shape shape = lucid_tensor_shape(x);
    for (int d = 0; d < n; d++) {
        places *= v->dims[v->ndim - n + d];
        shape.dims[v->ndim - n + d] = size[3 - n + d];
    }
    if (!luc_check_shape(&shape, v->dtype, op)) return NULL;
    planes = v->dims[0] * (v->ndim == n + 2 ? v->dims[1] : 1);
    const lucid_shape flat = LUCID_SHAPE(1, planes, places);
    const lucid_dim_attrs a = {.dim = 2, .size = size[0] * size[1] * size[2]};
    x = lucid_reshape_opt(x, flat);
    index = lucid_reshape_opt(index, flat);
    lucid_tensor *y = x && index ? luc_apply2(&luc_op_max_unpool, x, index, &a) : NULL;
    return y ? lucid_reshape_opt(y, shape) : NULL;
}

lucid_tensor *lucid_max_unpool1d_opt(lucid_tensor *x, lucid_tensor *indices, int64_t kernel,
                                     const lucid_max_unpool_options *options)
{
    return unpool("max_unpool1d", 1, x, indices, kernel, options);
}

lucid_tensor *lucid_max_unpool2d_opt(lucid_tensor *x, lucid_tensor *indices, lucid_extent kernel,
                                     const lucid_max_unpool_options *options)
{
    return unpool("max_unpool2d", 2, x, indices, kernel, options);
}

lucid_tensor *lucid_max_unpool3d_opt(lucid_tensor *x, lucid_tensor *indices, lucid_extent kernel,
                                     const lucid_max_unpool_options *options)
{
    return unpool("max_unpool3d", 3, x, indices, kernel, options);
}

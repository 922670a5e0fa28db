/* sorting.c: sort, argsort and topk. */
#include "autograd/ops/sorting.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- infer ----------------------------------------------------------------------------------- */

/* Output i: x's sizes, but n along dim, in x's layout. */
static void set_output(lucid_call *c, int i, lucid_dtype dtype, int dim, int64_t n)
{
    lucid_infer_like(c, i, 0);
    c->out[i].dtype = dtype;
    if (c->out[i].dims[dim] == n) return;
    c->out[i].dims[dim] = n;
    lucid_infer_strides(c, i, 0);
}

static bool check_line(lucid_call *c, const lucid_sort_attrs *a)
{
    const lucid_view *x = &c->in[0]->view;
    if (a->dim < 0 || a->dim >= x->ndim)
        return luc_raise(LUCID_ERR_ARGUMENT, c->op->name, "dim: expected [0,%d), got %d", x->ndim,
                         a->dim);
    if (x->dims[a->dim] > UINT32_MAX)
        return luc_bad_input(c, 0, "expected less than 2^32 elements along dimension %d", a->dim);
    return true;
}

static bool sort_infer(lucid_call *c)
{
    const lucid_sort_attrs *a = c->attrs;
    if (!check_line(c, a)) return false;
    const int64_t n = c->in[0]->view.dims[a->dim];
    set_output(c, 0, c->in[0]->view.dtype, a->dim, n);
    set_output(c, 1, LUCID_I64, a->dim, n);
    return true;
}

static bool argsort_infer(lucid_call *c)
{
    const lucid_sort_attrs *a = c->attrs;
    if (!check_line(c, a)) return false;
    set_output(c, 0, LUCID_I64, a->dim, c->in[0]->view.dims[a->dim]);
    return true;
}

static bool topk_infer(lucid_call *c)
{
    const lucid_sort_attrs *a = c->attrs;
    if (!check_line(c, a)) return false;
    const int64_t n = c->in[0]->view.dims[a->dim];
    if (a->k < 0 || a->k > n)
        return luc_raise(LUCID_ERR_ARGUMENT, "topk",
                         "k: expected 0 to %lld (the size of dimension %d of x), got %lld",
                         (long long)n, a->dim, (long long)a->k);
    set_output(c, 0, c->in[0]->view.dtype, a->dim, a->k);
    set_output(c, 1, LUCID_I64, a->dim, a->k);
    return true;
}

/* ---- gradients ------------------------------------------------------------------------------- */

static uint32_t save_indices(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_OUTPUT(1);
}

/* Values are x gathered at the indices, so the gradient is scattered to them. */
static bool sorted_vjp(lucid_vjp *v)
{
    const lucid_sort_attrs *a = v->attrs;
    v->grad_in[0] = luc_scatter_add(v->grad_out[0], lucid_saved_output(v, 1), a->dim,
                                    luc_meta_shape(lucid_input_meta(v, 0)));
    return v->grad_in[0] != NULL;
}

/* ---- the operators --------------------------------------------------------------------------- */

static const lucid_sort_attrs first = {.dim = 0}, last = {.dim = 1},
                              down = {.dim = 1, .descending = true},
                              middle = {.dim = 2, .descending = true}, nowhere = {.dim = 2},
                              three = {.dim = 1, .k = 3, .descending = true},
                              least = {.dim = 0, .k = 2}, all = {.dim = 1, .k = 5},
                              channels = {.dim = 1, .k = 2, .descending = true}, none = {.dim = 1},
                              many = {.dim = 0, .k = 4}, fewer = {.dim = 1, .k = -1},
                              hundred = {.dim = 1, .k = 100};

#define INTEGERS(type, lo, hi, ...)                                                 \
    {                                                                               \
        .shape = __VA_ARGS__, .dtype = type, .low = lo, .high = hi, .no_grad = true \
    }

static const lucid_sample sort_samples[] = {
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(4, 6)}, .attrs = &last},
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(7, 3)}, .attrs = &first},
    {.name = "descending", .n_in = 1, .in = {LUC_IN2(3, 70)}, .attrs = &down},
    {.name = "images", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &middle},
    {.name = "one", .n_in = 1, .in = {LUC_IN2(4, 1)}, .attrs = &last},
    {.name = "long rows",
     .n_in = 1,
     .in = {INTEGERS(LUCID_I64, -99, 99, {2, {2, 300}})},
     .attrs = &down},
    {.name = "int32", .n_in = 1, .in = {INTEGERS(LUCID_I32, -9, 9, {2, {3, 40}})}, .attrs = &last},
    {.name = "uint8", .n_in = 1, .in = {INTEGERS(LUCID_U8, 0, 256, {2, {3, 40}})}, .attrs = &down},
    {.name = "bool", .n_in = 1, .in = {INTEGERS(LUCID_BOOL, 0, 2, {2, {9, 4}})}, .attrs = &first},
};
static const lucid_sample sort_bad_samples[] = {
    {.name = "dimension",
     .n_in = 1,
     .in = {LUC_IN2(4, 6)},
     .attrs = &nowhere,
     .error = "dim: expected [0,2), got 2"},
};
static const lucid_sample topk_samples[] = {
    {.name = "largest", .n_in = 1, .in = {LUC_IN2(4, 6)}, .attrs = &three},
    {.name = "smallest", .n_in = 1, .in = {LUC_IN2(6, 4)}, .attrs = &least},
    {.name = "channels", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &channels},
    {.name = "all", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &all},
    {.name = "none", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &none},
    {.name = "hundred", .n_in = 1, .in = {LUC_IN2(1, 150)}, .attrs = &hundred},
    {.name = "int64", .n_in = 1, .in = {INTEGERS(LUCID_I64, -9, 9, {2, {2, 90}})}, .attrs = &three},
    {.name = "int32", .n_in = 1, .in = {INTEGERS(LUCID_I32, -9, 9, {2, {2, 90}})}, .attrs = &three},
    {.name = "uint8", .n_in = 1, .in = {INTEGERS(LUCID_U8, 0, 256, {2, {9, 2}})}, .attrs = &least},
    {.name = "bool", .n_in = 1, .in = {INTEGERS(LUCID_BOOL, 0, 2, {2, {3, 40}})}, .attrs = &three},
};
static const lucid_sample topk_bad_samples[] = {
    {.name = "dimension",
     .n_in = 1,
     .in = {LUC_IN2(4, 6)},
     .attrs = &nowhere,
     .error = "dim: expected [0,2), got 2"},
    {.name = "too many",
     .n_in = 1,
     .in = {LUC_IN2(3, 6)},
     .attrs = &many,
     .error = "k: expected 0 to 3 (the size of dimension 0 of x), got 4"},
    {.name = "negative",
     .n_in = 1,
     .in = {LUC_IN2(3, 6)},
     .attrs = &fewer,
     .error = "k: expected 0 to 6 (the size of dimension 1 of x), got -1"},
};

const lucid_op luc_op_sort = {
    .name = "sort",
    .schema = "x",
    .doc = "sorted along a dimension, and the indices",
    .id = LUCID_OP_sort,
    .n_in = 1,
    .n_out = 2,
    .attrs_size = sizeof(lucid_sort_attrs),
    .infer = sort_infer,
    .saves = save_indices,
    .vjp = sorted_vjp,
    LUC_SAMPLES(sort_samples),
    LUC_BAD_SAMPLES(sort_bad_samples),
};

const lucid_op luc_op_argsort = {
    .name = "argsort",
    .schema = "x",
    .doc = "the indices that sort along a dimension",
    .id = LUCID_OP_argsort,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_NO_GRAD,
    .attrs_size = sizeof(lucid_sort_attrs),
    .infer = argsort_infer,
    LUC_SAMPLES(sort_samples),
    LUC_BAD_SAMPLES(sort_bad_samples),
};

const lucid_op luc_op_topk = {
    .name = "topk",
    .schema = "x",
    .doc = "the k largest or smallest along a dimension, and their indices",
    .id = LUCID_OP_topk,
    .n_in = 1,
    .n_out = 2,
    .attrs_size = sizeof(lucid_sort_attrs),
    .infer = topk_infer,
    .saves = save_indices,
    .vjp = sorted_vjp,
    LUC_SAMPLES(topk_samples),
    LUC_BAD_SAMPLES(topk_bad_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

/* A tensor [] goes through as [1]. */
static lucid_sorted apply_sorted(const lucid_op *op, lucid_tensor *x, const lucid_sort_attrs *a)
{
    lucid_tensor *out[LUCID_MAX_OUTPUTS] = {NULL};
    const bool scalar = x->view.ndim == 0;
    if (scalar) x = lucid_unsqueeze(x, 0);
    if (!x || !lucid_apply_multi(op, &x, 1, a, out)) return (lucid_sorted){NULL, NULL};
    for (int i = 0; i < op->n_out && scalar; i++) out[i] = lucid_squeeze(out[i], 0);
    if (op->n_out == 1) return (lucid_sorted){NULL, out[0]};
    if (!out[0] || !out[1]) return (lucid_sorted){NULL, NULL};
    return (lucid_sorted){out[0], out[1]};
}

static lucid_sorted sort_along(const lucid_op *op, lucid_tensor *x, int dim,
                               const lucid_sort_options *options)
{
    const lucid_sort_options *o = LUC_OPTIONS(lucid_sort, options, op->name);
    if (!o || !luc_given(x, op->name, "x")) return (lucid_sorted){NULL, NULL};
    lucid_sort_attrs a = {.dim = luc_wrap_dim(dim, x->view.ndim, op->name, "dim"),
                          .descending = o->descending};
    if (a.dim < 0) return (lucid_sorted){NULL, NULL};
    return apply_sorted(op, x, &a);
}

lucid_sorted lucid_sort_opt(lucid_tensor *x, int dim, const lucid_sort_options *options)
{
    return sort_along(&luc_op_sort, x, dim, options);
}

lucid_tensor *lucid_argsort_opt(lucid_tensor *x, int dim, const lucid_sort_options *options)
{
    return sort_along(&luc_op_argsort, x, dim, options).indices;
}

lucid_sorted lucid_topk_opt(lucid_tensor *x, int64_t k, const lucid_topk_options *options)
{
    const lucid_topk_options *o = LUC_OPTIONS(lucid_topk, options, "topk");
    const lucid_sorted failed = {NULL, NULL};
    if (!o || !luc_given(x, "topk", "x")) return failed;
    lucid_sort_attrs a = {
        .dim = luc_wrap_dim(o->dim, x->view.ndim, "topk", "dim"), .k = k, .descending = o->largest};
    if (a.dim < 0) return failed;
    if (x->view.ndim == 0 && k != 1) {
        luc_raise(LUCID_ERR_ARGUMENT, "topk", "k: expected 1 for x of no dimensions, got %lld",
                  (long long)k);
        return failed;
    }
    return apply_sorted(&luc_op_topk, x, &a);
}

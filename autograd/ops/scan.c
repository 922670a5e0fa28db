/* scan.c: running sums, products and extremes along a dimension. */
#include "autograd/ops/scan.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- infer ----------------------------------------------------------------------------------- */

static bool scan_infer(lucid_call *c)
{
    const lucid_scan_attrs *a = c->attrs;
    if (!luc_want_dim(c, a->dim, c->in[0]->view.ndim)) return false;
    for (int i = 0; i < c->n_out; i++) lucid_infer_like(c, i, 0);
    if (c->n_out == 2) c->out[1].dtype = LUCID_I64;
    return true;
}

static bool sum_infer(lucid_call *c)
{
    const lucid_dtype d = c->in[0]->view.dtype;
    if (!lucid_dtype_is_floating(d) && d != LUCID_I64)
        return luc_bad_input(c, 0, "expected a floating dtype or int64");
    return scan_infer(c);
}

static bool log_infer(lucid_call *c)
{
    return luc_want_floating(c, 0) && scan_infer(c);
}

/* ---- by other operators, where a device has no kernel ---------------------------------------- */

/* Values, and in a scan of extremes where they stood. */
typedef struct running {
    lucid_tensor *x, *index;
} running;
typedef running (*combine_fn)(running before, running after, bool most);

static running cut(running r, int dim, int64_t start, int64_t length)
{
    return (running){lucid_narrow(r.x, dim, start, length),
                     r.index ? lucid_narrow(r.index, dim, start, length) : NULL};
}

static lucid_tensor *joined(lucid_tensor *a, lucid_tensor *b, int dim)
{
    return a && b ? lucid_cat_list((lucid_tensor *[]){a, b}, 2, dim) : NULL;
}

/* Doubles the distance over which results are combined: log2(n) steps. */
static running doubling(running r, const lucid_scan_attrs *a, combine_fn combine, bool most)
{
    const int dim = a->dim;
    const int64_t n = r.x ? r.x->view.dims[dim] : 0;
    for (int64_t s = 1; s < n && r.x; s *= 2) {
        const running low = cut(r, dim, 0, n - s), high = cut(r, dim, s, n - s);
        const running both = combine(low, high, most);
        const running rest = cut(r, dim, a->reverse ? n - s : 0, s);
        const running first = a->reverse ? both : rest, last = a->reverse ? rest : both;
        r.x = joined(first.x, last.x, dim);
        if (r.index) r.index = joined(first.index, last.index, dim);
    }
    return r;
}

static running add_both(running a, running b, bool most)
{
    (void)most;
    return (running){lucid_add(a.x, b.x), NULL};
}

static running multiply_both(running a, running b, bool most)
{
    (void)most;
    return (running){lucid_mul(a.x, b.x), NULL};
}

static running log_add_both(running a, running b, bool most)
{
    (void)most;
    lucid_tensor *top = lucid_maximum(a.x, b.x);
    lucid_tensor *rest = lucid_log1p(lucid_exp(lucid_neg(lucid_abs(lucid_sub(a.x, b.x)))));
    return (running){lucid_where(lucid_inf_mask(top), top, lucid_add(top, rest)), NULL};
}

static running better(running a, running b, bool most)
{
    lucid_tensor *later = most ? lucid_ge(b.x, a.x) : lucid_le(b.x, a.x);
    later = lucid_logical_or(later, lucid_nan_mask(b.x));
    return (running){lucid_where(later, b.x, a.x), lucid_where(later, b.index, a.index)};
}

static bool compose_with(const lucid_call *c, lucid_tensor **out, combine_fn combine)
{
    const lucid_dtype dtype = c->in[0]->view.dtype;
    const bool narrow = dtype == LUCID_F16 || dtype == LUCID_BF16;
    lucid_tensor *x = lucid_cast(c->in[0], narrow ? LUCID_F32 : dtype);
    out[0] = lucid_cast(doubling((running){x, NULL}, c->attrs, combine, false).x, dtype);
    return out[0] != NULL;
}

static bool sum_compose(const lucid_call *c, lucid_tensor **out)
{
    return compose_with(c, out, add_both);
}

static bool product_compose(const lucid_call *c, lucid_tensor **out)
{
    return compose_with(c, out, multiply_both);
}

static bool log_compose(const lucid_call *c, lucid_tensor **out)
{
    return compose_with(c, out, log_add_both);
}

static bool extreme_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_scan_attrs *a = c->attrs;
    lucid_tensor *x = c->in[0];
    lucid_index_options o = lucid_index_defaults;
    o.device = x->storage->device;
    const int64_t n = x->view.dims[a->dim];
    lucid_shape line = {.ndim = x->view.ndim};
    for (int d = 0; d < line.ndim; d++) line.dims[d] = d == a->dim ? n : 1;
    lucid_tensor *at = lucid_reshape_opt(lucid_arange_opt(0, (double)n, 1, &o), line);
    at = at ? lucid_expand_opt(at, lucid_tensor_shape(x)) : NULL;
    if (!at) return false;
    const running r = doubling((running){x, at}, a, better, c->op == &luc_op_cummax);
    out[0] = r.x;
    out[1] = r.index ? lucid_contiguous(r.index, LUCID_CONTIGUOUS) : NULL;
    return out[0] && out[1];
}

/* ---- gradients ------------------------------------------------------------------------------- */

static lucid_tensor *scan(const lucid_op *op, lucid_tensor *x, int dim, bool reverse)
{
    const lucid_scan_attrs attrs = {.dim = dim, .reverse = reverse};
    return x ? luc_apply1(op, x, &attrs) : NULL;
}

static bool sum_vjp(lucid_vjp *v)
{
    const lucid_scan_attrs *a = v->attrs;
    v->grad_in[0] = scan(&luc_op_cumsum, v->grad_out[0], a->dim, !a->reverse);
    return v->grad_in[0] != NULL;
}

static uint32_t save_both(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_OUTPUT(0);
}

/* Before a line's first zero: the sum of g y from there on, divided by x. At that zero: the same
 * with y computed as if it were 1. After it every product has the zero in it. */
static bool product_vjp(lucid_vjp *v)
{
    const int dim = ((const lucid_scan_attrs *)v->attrs)->dim;
    lucid_tensor *x = lucid_saved_input(v, 0), *y = lucid_saved_output(v, 0), *g = v->grad_out[0];
    if (!x || !y) return false;
    lucid_tensor *zero = lucid_eq(x, lucid_scalar(0));
    lucid_tensor *zeros = scan(&luc_op_cumsum, lucid_cast(zero, LUCID_I64), dim, false);
    lucid_tensor *before = lucid_eq(zeros, lucid_scalar(0));
    lucid_tensor *after_one = lucid_eq(zeros, lucid_scalar(1));
    lucid_tensor *first = lucid_logical_and(zero, after_one);
    lucid_tensor *nothing = luc_full_like(y, 0), *one = luc_full_like(x, 1);
    lucid_tensor *sum = lucid_where(before, lucid_mul(g, y), nothing);
    sum = scan(&luc_op_cumsum, sum, dim, true);
    sum = lucid_where(before, lucid_div(sum, lucid_where(before, x, one)), nothing);
    lucid_tensor *without = scan(&luc_op_cumprod, lucid_where(first, one, x), dim, false);
    without = lucid_where(after_one, lucid_mul(g, without), nothing);
    without = lucid_sum_opt(without, LUCID_SHAPE(dim), LUC_WITH(lucid_reduce, .keepdim = true));
    v->grad_in[0] = lucid_where(first, without, sum);
    return v->grad_in[0] != NULL;
}

/* The share of the positive elements of g in the gradient, by logarithms, which do not overflow:
 * e^(x + log of the sum from the end of g e^-y). */
static lucid_tensor *log_share(lucid_tensor *g, lucid_tensor *x, lucid_tensor *y,
                               const lucid_scan_attrs *a)
{
    const double none = x->view.dtype == LUCID_F16 ? -6e4 : -1e38; /* its e^ is 0 */
    lucid_tensor *positive = lucid_gt(g, lucid_scalar(0));
    lucid_tensor *logs = lucid_log(lucid_where(positive, g, luc_full_like(g, 1)));
    logs = lucid_where(positive, logs, luc_full_like(g, none));
    lucid_tensor *sum = lucid_sub(logs, y);
    return lucid_exp(lucid_add(scan(&luc_op_logcumsumexp, sum, a->dim, !a->reverse), x));
}

static bool log_vjp(lucid_vjp *v)
{
    lucid_tensor *x = lucid_saved_input(v, 0), *y = lucid_saved_output(v, 0), *g = v->grad_out[0];
    if (!x || !y) return false;
    lucid_tensor *minus = lucid_neg(g);
    if (!minus) return false;
    v->grad_in[0] = lucid_sub(log_share(g, x, y, v->attrs), log_share(minus, x, y, v->attrs));
    return v->grad_in[0] != NULL;
}

static uint32_t save_index(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_OUTPUT(1);
}

static bool extreme_vjp(lucid_vjp *v)
{
    const lucid_scan_attrs *a = v->attrs;
    v->grad_in[0] = luc_scatter_add(v->grad_out[0], lucid_saved_output(v, 1), a->dim,
                                    luc_meta_shape(lucid_input_meta(v, 0)));
    return v->grad_in[0] != NULL;
}

/* ---- the operators --------------------------------------------------------------------------- */

static const lucid_scan_attrs rows = {.dim = 0}, columns = {.dim = 1},
                              back = {.dim = 1, .reverse = true}, channels = {.dim = 1},
                              dim_2 = {.dim = 2};
static const lucid_sample samples[] = {
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(4, 19)}, .attrs = &rows},
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &columns},
    {.name = "channels", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 2)}, .attrs = &channels},
};
static const lucid_sample both_ways[] = {
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(4, 19)}, .attrs = &rows},
    {.name = "back", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &back},
    {.name = "channels", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 2)}, .attrs = &channels},
};
static const lucid_sample bad_samples[] = {
    {.name = "dimension",
     .n_in = 1,
     .in = {LUC_IN2(3, 5)},
     .attrs = &dim_2,
     .error = "dim: expected [0,2), got 2"},
};
static const lucid_sample bad_sums[] = {
    {.name = "dimension",
     .n_in = 1,
     .in = {LUC_IN2(3, 5)},
     .attrs = &dim_2,
     .error = "dim: expected [0,2), got 2"},
    {.name = "dtype",
     .n_in = 1,
     .in = {LUC_MASK({2, {3, 5}})},
     .attrs = &rows,
     .error = "x: expected a floating dtype"},
};

#define SCAN(op, outputs, about, cast, infer_fn, compose_fn, saves_fn, vjp_fn, good, bad) \
    const lucid_op luc_op_##op = {                                                        \
        .name = #op,                                                                      \
        .schema = "x",                                                                    \
        .doc = about,                                                                     \
        .id = LUCID_OP_##op,                                                              \
        .n_in = 1,                                                                        \
        .n_out = outputs,                                                                 \
        .attrs_size = sizeof(lucid_scan_attrs),                                           \
        .autocast = cast,                                                                 \
        .infer = infer_fn,                                                                \
        .compose = compose_fn,                                                            \
        .saves = saves_fn,                                                                \
        .vjp = vjp_fn,                                                                    \
        LUC_SAMPLES(good),                                                                \
        LUC_BAD_SAMPLES(bad),                                                             \
    }

SCAN(cumsum, 1, "running sum along a dimension", LUCID_AUTOCAST_FULL, sum_infer, sum_compose, NULL,
     sum_vjp, both_ways, bad_sums);
SCAN(cumprod, 1, "running product along a dimension", LUCID_AUTOCAST_FULL, sum_infer,
     product_compose, save_both, product_vjp, samples, bad_sums);
SCAN(logcumsumexp, 1, "log of the running sum of e^x along a dimension", LUCID_AUTOCAST_NONE,
     log_infer, log_compose, save_both, log_vjp, both_ways, bad_sums);
SCAN(cummax, 2, "the largest so far along a dimension, and its index", LUCID_AUTOCAST_NONE,
     scan_infer, extreme_compose, save_index, extreme_vjp, samples, bad_samples);
SCAN(cummin, 2, "the smallest so far along a dimension, and its index", LUCID_AUTOCAST_NONE,
     scan_infer, extreme_compose, save_index, extreme_vjp, samples, bad_samples);

/* ---- the functions --------------------------------------------------------------------------- */

/* Applies a scan to x, of which a tensor [] goes through as [1]. */
static bool apply(const lucid_op *op, lucid_tensor *x, int dim, lucid_tensor **out)
{
    if (!luc_given(x, op->name, "x")) return false;
    const lucid_scan_attrs attrs = {.dim = luc_wrap_dim(dim, x->view.ndim, op->name, "dim")};
    const bool scalar = x->view.ndim == 0;
    if (attrs.dim < 0) return false;
    if (scalar && !(x = lucid_unsqueeze(x, 0))) return false;
    if (!lucid_apply_multi(op, &x, 1, &attrs, out)) return false;
    for (int i = 0; i < op->n_out && scalar; i++)
        if (!(out[i] = lucid_squeeze(out[i], 0))) return false;
    return true;
}

/* Integers become int64. */
static lucid_tensor *running_sum(const lucid_op *op, lucid_tensor *x, int dim)
{
    lucid_tensor *out[LUCID_MAX_OUTPUTS] = {NULL};
    if (!luc_given(x, op->name, "x")) return NULL;
    if (!lucid_dtype_is_floating(x->view.dtype)) x = lucid_cast(x, LUCID_I64);
    return x && apply(op, x, dim, out) ? out[0] : NULL;
}

lucid_tensor *lucid_cumsum(lucid_tensor *x, int dim)
{
    return running_sum(&luc_op_cumsum, x, dim);
}

lucid_tensor *lucid_cumprod(lucid_tensor *x, int dim)
{
    return running_sum(&luc_op_cumprod, x, dim);
}

lucid_tensor *lucid_logcumsumexp(lucid_tensor *x, int dim)
{
    lucid_tensor *out[LUCID_MAX_OUTPUTS] = {NULL};
    return apply(&luc_op_logcumsumexp, x, dim, out) ? out[0] : NULL;
}

static lucid_sorted extreme(const lucid_op *op, lucid_tensor *x, int dim)
{
    lucid_tensor *out[LUCID_MAX_OUTPUTS] = {NULL};
    return apply(op, x, dim, out) ? (lucid_sorted){out[0], out[1]} : (lucid_sorted){NULL, NULL};
}

lucid_sorted lucid_cummax(lucid_tensor *x, int dim)
{
    return extreme(&luc_op_cummax, x, dim);
}

lucid_sorted lucid_cummin(lucid_tensor *x, int dim)
{
    return extreme(&luc_op_cummin, x, dim);
}

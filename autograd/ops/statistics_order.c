/* statistics_order.c: extremes with their indices, medians, modes, quantiles, composed of sorting
 * and gathering. */
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static const lucid_sorted failed = {NULL, NULL};

/* ---- what they share ------------------------------------------------------------------------- */

/* The options' keepdim; -1 after an error. */
static int keeps_dim(const lucid_reduce_options *options, const char *op)
{
    const lucid_reduce_options *o = LUC_OPTIONS(lucid_reduce, options, op);
    return o ? o->keepdim : -1;
}

/* Wraps dim, and refuses a dimension without elements. -1 after an error. */
static int filled_dim(const lucid_tensor *x, int dim, const char *op)
{
    if (!luc_given(x, op, "x")) return -1;
    const int at = luc_wrap_dim(dim, x->view.ndim, op, "dim");
    if (at >= 0 && x->view.ndim > 0 && x->view.dims[at] == 0) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected elements along dimension %d, got %s", at,
                  luc_shape_text(x).s);
        return -1;
    }
    return at;
}

/* The elements at `index` (of size 1 along dim), and the index, without that dimension unless it is
 * kept. A tensor [] has come as [1]. */
static lucid_sorted picked(lucid_tensor *x, int dim, lucid_tensor *index, bool keepdim, bool scalar)
{
    lucid_tensor *values = index ? lucid_gather(x, dim, index) : NULL;
    if (!values) return failed;
    if (!keepdim || scalar) {
        values = lucid_squeeze(values, dim);
        index = lucid_squeeze(index, dim);
    }
    return values && index ? (lucid_sorted){values, index} : failed;
}

/* Both outlive the function's own scope. */
static lucid_sorted returned(lucid_sorted s)
{
    s.values = lucid_scope_return(s.values);
    s.indices = lucid_scope_return(s.indices);
    return s.values && s.indices ? s : failed;
}

/* ---- extremes -------------------------------------------------------------------------------- */

lucid_extremes lucid_aminmax_opt(lucid_tensor *x, lucid_shape dims,
                                 const lucid_reduce_options *options)
{
    LUC_CALLED_AS("aminmax");
    lucid_tensor *min = lucid_min_opt(x, dims, options);
    lucid_tensor *max = min ? lucid_max_opt(x, dims, options) : NULL;
    return max ? (lucid_extremes){min, max} : (lucid_extremes){NULL, NULL};
}

static lucid_sorted extreme(lucid_tensor *x, int dim, const lucid_reduce_options *options,
                            const char *op, bool most)
{
    LUCID_SCOPE;
    const int keep = keeps_dim(options, op), at = keep < 0 ? -1 : filled_dim(x, dim, op);
    if (at < 0) return failed;
    const bool scalar = x->view.ndim == 0;
    if (scalar && !(x = lucid_unsqueeze(x, 0))) return failed;
    const lucid_reduce_options *kept = LUC_WITH(lucid_reduce, .keepdim = true);
    lucid_tensor *index = most ? lucid_argmax_opt(x, LUCID_SHAPE(at), kept)
                               : lucid_argmin_opt(x, LUCID_SHAPE(at), kept);
    return returned(picked(x, at, index, keep, scalar));
}

lucid_sorted lucid_max_dim_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("max_dim");
    return extreme(x, dim, options, "max_dim", true);
}

lucid_sorted lucid_min_dim_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("min_dim");
    return extreme(x, dim, options, "min_dim", false);
}

/* ---- medians --------------------------------------------------------------------------------- */

/* How many numbers, which are no NaN, each line has: int64 of size 1 along dim. */
static lucid_tensor *count_numbers(lucid_tensor *x, int dim)
{
    lucid_tensor *numbers = lucid_logical_not(lucid_nan_mask(x));
    return lucid_sum_opt(numbers, LUCID_SHAPE(dim), LUC_WITH(lucid_reduce, .keepdim = true));
}

/* The place of the median among the n sorted elements of each line. NaNs stand last: the first of
 * them is the median where there is any, unless they are left out. */
static lucid_tensor *median_place(lucid_tensor *x, int dim, bool skip_nan)
{
    const int64_t n = x->view.dims[dim];
    lucid_tensor *count = count_numbers(x, dim);
    if (!count) return NULL;
    lucid_tensor *middle = luc_full_like(count, (double)((n - 1) / 2));
    if (!skip_nan) return lucid_where(lucid_lt(count, lucid_scalar((double)n)), count, middle);
    lucid_tensor *half = lucid_mul_scalar(lucid_sub_scalar(lucid_cast(count, LUCID_F64), 1), 0.5);
    return half ? lucid_cast(lucid_clamp(half, 0, INFINITY), LUCID_I64) : NULL;
}

static lucid_sorted median(lucid_tensor *x, int dim, int keep, const char *op, bool skip_nan)
{
    LUCID_SCOPE;
    const int at = keep < 0 ? -1 : filled_dim(x, dim, op);
    if (at < 0) return failed;
    const bool scalar = x->view.ndim == 0;
    if (scalar && !(x = lucid_unsqueeze(x, 0))) return failed;
    lucid_tensor *order = lucid_argsort_opt(x, at, NULL), *place = NULL;
    if (order) place = median_place(x, at, skip_nan);
    return returned(
        picked(x, at, place ? lucid_gather(order, at, place) : NULL, keep == 1, scalar));
}

lucid_sorted lucid_median_dim_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("median_dim");
    return median(x, dim, keeps_dim(options, "median_dim"), "median_dim", false);
}

lucid_sorted lucid_nanmedian_dim_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("nanmedian_dim");
    return median(x, dim, keeps_dim(options, "nanmedian_dim"), "nanmedian_dim", true);
}

static lucid_tensor *median_of_all(lucid_tensor *x, const char *op, bool skip_nan)
{
    if (!luc_given(x, op, "x")) return NULL;
    if (x->numel == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected at least one element, got %s",
                              luc_shape_text(x).s);
    lucid_tensor *row = lucid_reshape_opt(x, LUCID_SHAPE(-1));
    return row ? median(row, 0, 0, op, skip_nan).values : NULL;
}

lucid_tensor *lucid_median(lucid_tensor *x)
{
    LUC_CALLED_AS("median");
    return median_of_all(x, "median", false);
}

lucid_tensor *lucid_nanmedian(lucid_tensor *x)
{
    LUC_CALLED_AS("nanmedian");
    return median_of_all(x, "nanmedian", true);
}

/* ---- mode and kthvalue ----------------------------------------------------------------------- */

/* 0, 1, ... along dim, of x's sizes. */
static lucid_tensor *positions(const lucid_tensor *x, int dim)
{
    lucid_index_options o = lucid_index_defaults;
    o.device = x->storage->device;
    lucid_shape line = {.ndim = x->view.ndim};
    for (int d = 0; d < line.ndim; d++) line.dims[d] = d == dim ? x->view.dims[dim] : 1;
    lucid_tensor *at = lucid_arange_opt(0, (double)x->view.dims[dim], 1, &o);
    at = at ? lucid_reshape_opt(at, line) : NULL;
    return at ? lucid_expand_opt(at, lucid_tensor_shape(x)) : NULL;
}

/* The place, among sorted elements, of the first longest run of equal ones: its end. */
static lucid_tensor *longest_run(lucid_tensor *sorted, int dim)
{
    const int64_t n = sorted->view.dims[dim];
    lucid_tensor *place = positions(sorted, dim);
    if (!place) return NULL;
    lucid_tensor *changes =
        lucid_ne(lucid_narrow(sorted, dim, 1, n - 1), lucid_narrow(sorted, dim, 0, n - 1));
    lucid_tensor *begins = lucid_mul(changes, lucid_narrow(place, dim, 1, n - 1));
    lucid_tensor *zero = luc_full_like(lucid_narrow(place, dim, 0, 1), 0);
    if (!begins || !zero) return NULL;
    lucid_tensor *start = lucid_cat_list((lucid_tensor *[]){zero, begins}, 2, dim);
    start = start ? lucid_cummax(start, dim).values : NULL;
    lucid_tensor *length = start ? lucid_sub(place, start) : NULL;
    return length
               ? lucid_argmax_opt(length, LUCID_SHAPE(dim), LUC_WITH(lucid_reduce, .keepdim = true))
               : NULL;
}

lucid_sorted lucid_mode_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("mode");
    LUCID_SCOPE;
    const int keep = keeps_dim(options, "mode"), at = keep < 0 ? -1 : filled_dim(x, dim, "mode");
    if (at < 0) return failed;
    const bool scalar = x->view.ndim == 0;
    if (scalar && !(x = lucid_unsqueeze(x, 0))) return failed;
    const lucid_sorted s = lucid_sort_opt(x, at, NULL);
    lucid_tensor *place = s.values ? longest_run(s.values, at) : NULL;
    return returned(picked(x, at, place ? lucid_gather(s.indices, at, place) : NULL, keep, scalar));
}

lucid_sorted lucid_kthvalue_opt(lucid_tensor *x, int64_t k, const lucid_kthvalue_options *options)
{
    LUC_CALLED_AS("kthvalue");
    LUCID_SCOPE;
    const lucid_kthvalue_options *o = LUC_OPTIONS(lucid_kthvalue, options, "kthvalue");
    const int at = o ? filled_dim(x, o->dim, "kthvalue") : -1;
    if (at < 0) return failed;
    const bool scalar = x->view.ndim == 0;
    const int64_t n = scalar ? 1 : x->view.dims[at];
    if (k < 1 || k > n) {
        luc_raise(LUCID_ERR_ARGUMENT, "kthvalue", "k: expected 1 to %lld, got %lld", (long long)n,
                  (long long)k);
        return failed;
    }
    if (scalar && !(x = lucid_unsqueeze(x, 0))) return failed;
    lucid_tensor *least = lucid_topk_opt(x, k, LUC_WITH(lucid_topk, .dim = at)).indices;
    lucid_tensor *index = least ? lucid_narrow(least, at, k - 1, 1) : NULL;
    return returned(picked(x, at, index, o->keepdim, scalar));
}

/* ---- quantiles ------------------------------------------------------------------------------- */

static bool check_quantile(const lucid_tensor *x, lucid_tensor *q, const lucid_quantile_options *o,
                           const char *op)
{
    if (!luc_given(x, op, "x") || !luc_given(q, op, "q")) return false;
    if (x->view.dtype != LUCID_F32 && x->view.dtype != LUCID_F64)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected float32 or float64, got %s",
                         lucid_dtype_name(x->view.dtype));
    if (q->view.ndim > 1 || !lucid_dtype_is_floating(q->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "q: expected floating [] or [Q], got %s %s",
                         lucid_dtype_name(q->view.dtype), luc_shape_text(q).s);
    if (q->numel > 0) {
        const double low = lucid_item(lucid_min_opt(q, LUCID_ALL, NULL));
        const double high = lucid_item(lucid_max_opt(q, LUCID_ALL, NULL));
        if (!(low >= 0 && high <= 1))
            return luc_raise(LUCID_ERR_ARGUMENT, op, "q: expected numbers in [0,1], got %g",
                             low >= 0 ? high : low);
    }
    return (unsigned)o->interpolation <= LUCID_QUANTILE_MIDPOINT ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "interpolation: expected a lucid_quantile_kind, got %d",
                     (int)o->interpolation);
}

/* The elements of `sorted` [..,N] at the ranks [..,Q], which are doubles. */
static lucid_tensor *between(lucid_tensor *sorted, lucid_tensor *ranks, lucid_quantile_kind how)
{
    if (how == LUCID_QUANTILE_LOWER) ranks = lucid_floor(ranks);
    if (how == LUCID_QUANTILE_HIGHER) ranks = lucid_ceil(ranks);
    if (how == LUCID_QUANTILE_NEAREST) ranks = lucid_round(ranks);
    lucid_tensor *below = ranks ? lucid_cast(ranks, LUCID_I64) : NULL;
    lucid_tensor *low = below ? lucid_gather(sorted, -1, below) : NULL;
    if (!low || (how != LUCID_QUANTILE_LINEAR && how != LUCID_QUANTILE_MIDPOINT)) return low;
    lucid_tensor *above = lucid_cast(lucid_ceil(ranks), LUCID_I64);
    lucid_tensor *high = above ? lucid_gather(sorted, -1, above) : NULL;
    if (!high) return NULL;
    if (how == LUCID_QUANTILE_MIDPOINT) return lucid_lerp(low, high, lucid_scalar(0.5));
    lucid_tensor *weight = lucid_sub(ranks, lucid_floor(ranks));
    return weight ? lucid_lerp(low, high, lucid_cast(weight, sorted->view.dtype)) : NULL;
}

/* Quantiles [Q] of the last dimension: [..,Q]. */
static lucid_tensor *quantiles(lucid_tensor *x, lucid_tensor *q, lucid_quantile_kind how,
                               bool skip_nan)
{
    const int64_t n = x->view.dims[x->view.ndim - 1];
    const lucid_sorted s = lucid_sort_opt(x, -1, NULL);
    lucid_tensor *count = s.values ? count_numbers(x, x->view.ndim - 1) : NULL;
    if (!count) return NULL;
    q = lucid_cast(q, LUCID_F64);
    if (!skip_nan) {
        lucid_tensor *some_nan = lucid_lt(count, lucid_scalar((double)n));
        lucid_tensor *ranks = lucid_mul_scalar(q, (double)(n - 1));
        ranks = lucid_where(some_nan, lucid_scalar((double)(n - 1)), ranks);
        return ranks ? between(s.values, ranks, how) : NULL;
    }
    lucid_tensor *last = lucid_sub_scalar(lucid_cast(count, LUCID_F64), 1);
    lucid_tensor *ranks = lucid_mul(q, lucid_clamp(last, 0, INFINITY));
    return ranks ? between(s.values, ranks, how) : NULL;
}

static lucid_tensor *quantile(lucid_tensor *x, lucid_tensor *q, lucid_shape dims,
                              const lucid_quantile_options *options, const char *op, bool skip_nan)
{
    LUCID_SCOPE;
    const lucid_quantile_options *o = LUC_OPTIONS(lucid_quantile, options, op);
    if (!o || !check_quantile(x, q, o, op)) return NULL;
    if (dims.ndim > 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "dim: expected one, or all, got %s",
                              luc_dims_text(dims.ndim, dims.dims).s);
    const bool all = dims.ndim <= 0;
    const int ndim = x->view.ndim, dim = all ? 0 : luc_wrap_dim(dims.dims[0], ndim, op, "dim");
    if (dim < 0) return NULL;
    lucid_tensor *line = all || ndim == 0 ? lucid_reshape_opt(x, LUCID_SHAPE(x->numel)) : x;
    if (line == x && dim != ndim - 1) line = lucid_transpose(x, dim, -1);
    if (!line) return NULL;
    if (line->view.dims[line->view.ndim - 1] == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected elements to choose from, got %s",
                              luc_shape_text(x).s);
    lucid_tensor *flat = lucid_reshape_opt(lucid_detach(q), LUCID_SHAPE(q->numel));
    lucid_tensor *y = flat ? quantiles(line, flat, o->interpolation, skip_nan) : NULL;
    if (!y) return NULL;
    /* [..,Q] to [Q,..], where dim changed places with the last dimension or is gone */
    lucid_shape order = {.ndim = y->view.ndim}, shape = {.ndim = 0};
    order.dims[0] = y->view.ndim - 1;
    for (int d = 1; d < order.ndim; d++) order.dims[d] = d - 1;
    y = lucid_permute_opt(y, order);
    if (q->view.ndim == 1) shape.dims[shape.ndim++] = q->numel;
    if (!all && ndim > 0 && dim != ndim - 1) y = lucid_unsqueeze(y, -1); /* in the last place */
    if (!y) return NULL;
    if (!all && ndim > 0 && dim != ndim - 1) y = lucid_transpose(y, dim + 1, -1);
    for (int d = 0; d < ndim; d++) {
        const bool gone = all || d == dim;
        if (!gone || o->keepdim) shape.dims[shape.ndim++] = gone ? 1 : x->view.dims[d];
    }
    return lucid_scope_return(y ? lucid_reshape_opt(y, shape) : NULL);
}

lucid_tensor *lucid_quantile_opt(lucid_tensor *x, lucid_tensor *q, lucid_shape dim,
                                 const lucid_quantile_options *options)
{
    LUC_CALLED_AS("quantile");
    return quantile(x, q, dim, options, "quantile", false);
}

lucid_tensor *lucid_nanquantile_opt(lucid_tensor *x, lucid_tensor *q, lucid_shape dim,
                                    const lucid_quantile_options *options)
{
    LUC_CALLED_AS("nanquantile");
    return quantile(x, q, dim, options, "nanquantile", true);
}

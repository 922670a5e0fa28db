/* search.c: places in sorted numbers, counts, and what is unique, composed of other operators. */
#include "autograd/ops/search.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/indexing.h"

#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/sorting.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- places ---------------------------------------------------------------------------------- */

static bool is_integer(const lucid_tensor *x)
{
    return !lucid_dtype_is_floating(x->view.dtype) && x->view.dtype != LUCID_BOOL;
}

/* Steps of halved length: a place goes on where the element before its goal belongs before. */
static lucid_tensor *places(lucid_tensor *sorted, lucid_tensor *values, bool right)
{
    const int64_t n = sorted->view.dims[sorted->view.ndim - 1];
    lucid_tensor *none = lucid_lt(values, values); /* false, of values' sizes */
    lucid_tensor *at = none ? lucid_cast(none, LUCID_I64) : NULL;
    int64_t step = 1;
    while (step <= n / 2) step *= 2;
    for (; step > 0 && n > 0 && at; step /= 2) {
        lucid_tensor *goal = lucid_add_scalar(at, (double)step);
        lucid_tensor *last = lucid_clamp(lucid_sub_scalar(goal, 1), 0, (double)(n - 1));
        lucid_tensor *before = last ? lucid_gather(sorted, -1, last) : NULL;
        if (!before) return NULL;
        lucid_tensor *stays = right ? lucid_gt(before, values) : lucid_ge(before, values);
        lucid_tensor *inside = lucid_le(goal, lucid_scalar((double)n));
        at = lucid_where(lucid_logical_and(lucid_logical_not(stays), inside), goal, at);
    }
    return at;
}

lucid_tensor *lucid_searchsorted_opt(lucid_tensor *sorted, lucid_tensor *values,
                                     const lucid_searchsorted_options *options)
{
    const char *op = "searchsorted";
    LUC_CALLED_AS("searchsorted");
    LUCID_SCOPE;
    const lucid_searchsorted_options *o = LUC_OPTIONS(lucid_searchsorted, options, op);
    if (!o || !luc_given(sorted, op, "sorted") || !luc_given(values, op, "values")) return NULL;
    const lucid_view *s = &sorted->view, *v = &values->view;
    if (o->sorter) {
        if (!luc_dims_equal(s->ndim, s->dims, o->sorter->view.ndim, o->sorter->view.dims))
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "sorter: expected %s like sorted, got %s",
                                  luc_shape_text(sorted).s, luc_shape_text(o->sorter).s);
        if (!(sorted = lucid_gather(sorted, -1, o->sorter))) return NULL;
    }
    const lucid_shape shape = lucid_tensor_shape(values);
    if (s->ndim == 1) {
        if (values->is_scalar) values = luc_meet(values, LUCID_F64, sorted->storage->device);
        values = lucid_reshape_opt(values, LUCID_SHAPE(values->numel));
    } else if (s->ndim == 0 || s->ndim != v->ndim ||
               !luc_dims_equal(s->ndim - 1, s->dims, v->ndim - 1, v->dims)) {
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "sorted: expected one dimension, or the leading sizes of values %s, "
                              "got %s",
                              luc_shape_text(values).s, luc_shape_text(sorted).s);
    }
    lucid_tensor *y = values ? places(lucid_detach(sorted), lucid_detach(values), o->right) : NULL;
    return y ? lucid_scope_return(lucid_reshape_opt(y, shape)) : NULL;
}

lucid_tensor *lucid_bucketize(lucid_tensor *x, lucid_tensor *boundaries, bool right)
{
    LUC_CALLED_AS("bucketize");
    if (!luc_given(x, "bucketize", "x") || !luc_given(boundaries, "bucketize", "boundaries"))
        return NULL;
    if (boundaries->view.ndim != 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "bucketize",
                              "boundaries: expected one dimension, got %s",
                              luc_shape_text(boundaries).s);
    return lucid_searchsorted_opt(boundaries, x, LUC_WITH(lucid_searchsorted, .right = right));
}

lucid_tensor *lucid_isin(lucid_tensor *x, lucid_tensor *test)
{
    LUC_CALLED_AS("isin");
    LUCID_SCOPE;
    if (!luc_given(x, "isin", "x") || !luc_given(test, "isin", "test")) return NULL;
    lucid_tensor *row = lucid_reshape_opt(lucid_detach(test), LUCID_SHAPE(test->numel));
    lucid_tensor *sorted = row ? lucid_sort_opt(row, 0, NULL).values : NULL;
    x = lucid_detach(x);
    if (!sorted || !x) return NULL;
    const int64_t n = test->numel;
    if (n == 0) return lucid_scope_return(lucid_ne(x, x)); /* false, but of a NaN */
    lucid_tensor *at = lucid_searchsorted_opt(sorted, x, NULL);
    at = at ? lucid_clamp(at, 0, (double)(n - 1)) : NULL;
    lucid_tensor *flat = at ? lucid_reshape_opt(at, LUCID_SHAPE(at->numel)) : NULL;
    lucid_tensor *there = flat ? lucid_index_select(sorted, 0, flat) : NULL;
    there = there ? lucid_reshape_opt(there, lucid_tensor_shape(x)) : NULL;
    return there ? lucid_scope_return(lucid_eq(there, x)) : NULL;
}

/* ---- what is not 0 --------------------------------------------------------------------------- */

/* A stable sort puts the true elements first, in their order. */
lucid_tensor *luc_nonzero_flat(lucid_tensor *mask)
{
    lucid_tensor *count = lucid_sum_opt(mask, LUCID_ALL, NULL);
    lucid_tensor *order = lucid_argsort_opt(mask, 0, LUC_WITH(lucid_sort, .descending = true));
    return count && order ? lucid_narrow(order, 0, 0, (int64_t)lucid_item(count)) : NULL;
}

/* An index for each dimension of x, from places in x's elements in a row. Doubles divide whole
 * numbers of this size without error. */
static bool unravel(lucid_tensor *at, const lucid_view *x, lucid_tensor **indices)
{
    for (int d = x->ndim - 1; d >= 0; d--) {
        const double n = (double)(x->dims[d] > 0 ? x->dims[d] : 1);
        lucid_tensor *rest = lucid_cast(lucid_div_scalar(lucid_cast(at, LUCID_F64), n), LUCID_I64);
        indices[d] = rest ? lucid_sub(at, lucid_mul_scalar(rest, n)) : NULL;
        if (!indices[d]) return false;
        at = rest;
    }
    return true;
}

/* The indices of what is not 0, for each dimension. */
static bool nonzero(lucid_tensor *x, lucid_tensor **indices)
{
    lucid_tensor *row = lucid_reshape_opt(lucid_detach(x), LUCID_SHAPE(x->numel));
    lucid_tensor *at = row ? luc_nonzero_flat(lucid_ne(row, lucid_scalar(0))) : NULL;
    return at && unravel(at, &x->view, indices);
}

lucid_tensor *lucid_nonzero(lucid_tensor *x)
{
    LUC_CALLED_AS("nonzero");
    LUCID_SCOPE;
    lucid_tensor *indices[LUCID_MAX_DIMS];
    if (!luc_given(x, "nonzero", "x")) return NULL;
    if (x->view.ndim == 0) {
        const lucid_tensor_options *like =
            LUC_WITH(lucid_tensor, .dtype = LUCID_I64, .device = x->storage->device);
        return lucid_scope_return(lucid_zeros_opt(LUCID_SHAPE(lucid_item(x) != 0, 0), like));
    }
    if (!nonzero(x, indices)) return NULL;
    return lucid_scope_return(lucid_stack_list(indices, (size_t)x->view.ndim, 1));
}

size_t lucid_nonzero_tuple(lucid_tensor *x, lucid_tensor **indices, size_t count)
{
    const char *op = "nonzero_tuple";
    LUC_CALLED_AS("nonzero_tuple");
    if (!luc_given(x, op, "x")) return 0;
    if (x->view.ndim == 0 && !(x = lucid_unsqueeze(x, 0))) return 0;
    if (!indices || count < (size_t)x->view.ndim) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "count: expected room for %d indices, got %zu",
                  x->view.ndim, indices ? count : 0);
        return 0;
    }
    return nonzero(x, indices) ? (size_t)x->view.ndim : 0;
}

/* ---- counts ---------------------------------------------------------------------------------- */

lucid_tensor *lucid_bincount(lucid_tensor *x, lucid_tensor *weights, int64_t minlength)
{
    const char *op = "bincount";
    LUC_CALLED_AS("bincount");
    LUCID_SCOPE;
    if (!luc_given(x, op, "x")) return NULL;
    if (x->view.ndim != 1 || !is_integer(x))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected integers [N], got %s %s",
                              lucid_dtype_name(x->view.dtype), luc_shape_text(x).s);
    if (minlength < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "minlength: expected >= 0, got %lld",
                              (long long)minlength);
    if (weights && (!luc_given(weights, op, "weights") ||
                    !luc_dims_equal(1, x->view.dims, weights->view.ndim, weights->view.dims)))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "weights: expected %s like x, got %s",
                              luc_shape_text(x).s, luc_shape_text(weights).s);
    int64_t size = minlength;
    if (x->numel > 0) {
        const double least = lucid_item(lucid_min_opt(x, LUCID_ALL, NULL));
        const double most = lucid_item(lucid_max_opt(x, LUCID_ALL, NULL));
        if (!(least >= 0 && most < 0x1p52))
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected numbers >= 0, got %g",
                                  least >= 0 ? most : least);
        if (most >= (double)size) size = (int64_t)most + 1;
    }
    x = lucid_cast(x, LUCID_I64);
    if (!x) return NULL;
    if (weights)
        weights = lucid_cast(lucid_detach(weights),
                             weights->view.dtype == LUCID_F32 ? LUCID_F32 : LUCID_F64);
    else
        weights = luc_full_like(x, 1);
    return weights ? lucid_scope_return(luc_scatter_add(weights, x, 0, LUCID_SHAPE(size))) : NULL;
}

/* The bounds of the bins, and whether they are finite and in order. */
static bool bounds(lucid_tensor *x, const lucid_histc_options *o, double *min, double *max)
{
    *min = o->min;
    *max = o->max;
    if (*min == *max && x->numel > 0) {
        *min = lucid_item(lucid_min_opt(x, LUCID_ALL, NULL));
        *max = lucid_item(lucid_max_opt(x, LUCID_ALL, NULL));
    }
    if (*min == *max) {
        *min -= 1;
        *max += 1;
    }
    return (*min < *max && isfinite(*max - *min)) ||
           luc_raise(LUCID_ERR_ARGUMENT, "histc",
                     "min, max: expected finite numbers, min <= max, got %g and %g", *min, *max);
}

lucid_tensor *lucid_histc_opt(lucid_tensor *x, const lucid_histc_options *options)
{
    LUC_CALLED_AS("histc");
    LUCID_SCOPE;
    const lucid_histc_options *o = LUC_OPTIONS(lucid_histc, options, "histc");
    if (!o || !luc_given(x, "histc", "x")) return NULL;
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "histc", "x: expected a floating dtype, got %s",
                              lucid_dtype_name(x->view.dtype));
    if (o->bins < 1 || o->bins > INT32_MAX)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "histc", "bins: expected at least 1, got %lld",
                              (long long)o->bins);
    double min, max;
    const lucid_dtype dtype = x->view.dtype;
    x = lucid_reshape_opt(lucid_detach(x), LUCID_SHAPE(x->numel));
    if (!x || !bounds(x, o, &min, &max)) return NULL;
    if (dtype != LUCID_F64) x = lucid_cast(x, LUCID_F32);
    lucid_tensor *low = luc_meet(lucid_scalar(min), LUCID_F64, x->storage->device);
    lucid_tensor *inside =
        lucid_logical_and(lucid_ge(x, lucid_scalar(min)), lucid_le(x, lucid_scalar(max)));
    lucid_tensor *bin = lucid_mul_scalar(lucid_sub_scalar(x, min), (double)o->bins);
    bin = lucid_div_scalar(bin, max - min);
    if (!bin || !inside || !low) return NULL;
    bin = lucid_where(inside, bin, luc_full_like(bin, 0));
    bin = lucid_clamp(lucid_cast(bin, LUCID_I64), 0, (double)(o->bins - 1));
    lucid_tensor *counts =
        bin ? luc_scatter_add(lucid_cast(inside, LUCID_I64), bin, 0, LUCID_SHAPE(o->bins)) : NULL;
    return counts ? lucid_scope_return(lucid_cast(counts, dtype)) : NULL;
}

/* ---- unique ---------------------------------------------------------------------------------- */

static const lucid_uniques failed = {NULL, NULL, NULL};

/* Whether each row of [N,K] differs from the one before it: bool [N]. */
static lucid_tensor *changes(lucid_tensor *rows)
{
    const int64_t n = rows->view.dims[0];
    lucid_tensor *differ =
        lucid_ne(lucid_narrow(rows, 0, 1, n - 1), lucid_narrow(rows, 0, 0, n - 1));
    differ = lucid_gt(lucid_sum_opt(differ, LUCID_SHAPE(1), NULL), lucid_scalar(0));
    lucid_tensor *first = luc_count_on(rows, 1, 1, 1);
    first = first ? lucid_cast(first, LUCID_BOOL) : NULL;
    return first && differ ? lucid_cat_list((lucid_tensor *[]){first, differ}, 2, 0) : NULL;
}

/* The places that sort the rows of [N,K] in lexicographic order. */
static lucid_tensor *row_order(lucid_tensor *rows)
{
    lucid_tensor *order = luc_count_on(rows, 0, 1, rows->view.dims[0]);
    for (int64_t k = rows->view.dims[1] - 1; k >= 0 && order; k--) {
        lucid_tensor *column = lucid_index_select(lucid_select(rows, 1, k), 0, order);
        lucid_tensor *next = column ? lucid_argsort_opt(column, 0, NULL) : NULL;
        order = next ? lucid_index_select(order, 0, next) : NULL;
    }
    return order;
}

/* Of rows [N,K], sorted first or in x's order: the places of the first ones in x, inverse and
 * counts. */
static lucid_uniques unique_rows(lucid_tensor *rows, bool sorted)
{
    const int64_t n = rows->view.dims[0];
    if (n == 0) {
        lucid_tensor *none = luc_count_on(rows, 0, 1, 0);
        return (lucid_uniques){none, none, none};
    }
    lucid_tensor *order = sorted ? row_order(rows) : NULL, *in_order = rows;
    if (sorted && !(in_order = order ? lucid_index_select(rows, 0, order) : NULL)) return failed;
    lucid_tensor *change = changes(in_order);
    lucid_tensor *group = change ? lucid_cumsum(change, 0) : NULL;
    group = group ? lucid_sub_scalar(group, 1) : NULL;
    lucid_tensor *first = change ? luc_nonzero_flat(change) : NULL;
    lucid_tensor *counts = group ? lucid_bincount(group, NULL, 0) : NULL;
    if (!first || !counts) return failed;
    if (sorted) {
        lucid_tensor *back = lucid_argsort_opt(order, 0, NULL);
        first = lucid_index_select(order, 0, first);
        group = back ? lucid_index_select(group, 0, back) : NULL;
    }
    return first && group ? (lucid_uniques){first, group, counts} : failed;
}

/* Gives what is found to the caller's scope: the values are x's slices along dim. */
static lucid_uniques returned(lucid_tensor *x, int dim, lucid_uniques u, const lucid_shape *inverse)
{
    if (!u.values || !u.inverse || !u.counts) return failed;
    u.values = lucid_index_select(x, dim, u.values);
    if (inverse && u.inverse) u.inverse = lucid_reshape_opt(u.inverse, *inverse);
    if (!u.values || !u.inverse) return failed;
    u.values = lucid_scope_return(u.values);
    u.inverse = lucid_scope_return(u.inverse);
    u.counts = lucid_scope_return(u.counts);
    return u.values && u.inverse && u.counts ? u : failed;
}

static lucid_uniques unique_all(lucid_tensor *x, const char *op, bool sorted)
{
    LUCID_SCOPE;
    if (!luc_given(x, op, "x")) return failed;
    lucid_tensor *row = lucid_reshape_opt(x, LUCID_SHAPE(x->numel));
    lucid_tensor *rows = row ? lucid_unsqueeze(lucid_detach(row), 1) : NULL;
    if (!rows) return failed;
    const lucid_shape shape = lucid_tensor_shape(x);
    return returned(row, 0, unique_rows(rows, sorted), &shape);
}

static lucid_uniques unique_along(lucid_tensor *x, int dim, const char *op, bool sorted)
{
    LUCID_SCOPE;
    if (!luc_given(x, op, "x")) return failed;
    if (x->view.ndim == 0 && !(x = lucid_unsqueeze(x, 0))) return failed;
    const int at = luc_wrap_dim(dim, x->view.ndim, op, "dim");
    if (at < 0) return failed;
    const int64_t n = x->view.dims[at];
    int64_t width = 1;
    for (int d = 0; d < x->view.ndim; d++)
        if (d != at) width *= x->view.dims[d];
    lucid_tensor *rows = lucid_transpose(lucid_detach(x), 0, at);
    rows = rows ? lucid_reshape_opt(rows, LUCID_SHAPE(n, width)) : NULL;
    return rows ? returned(x, at, unique_rows(rows, sorted), NULL) : failed;
}

lucid_uniques lucid_unique(lucid_tensor *x)
{
    LUC_CALLED_AS("unique");
    return unique_all(x, "unique", true);
}

lucid_uniques lucid_unique_dim(lucid_tensor *x, int dim)
{
    LUC_CALLED_AS("unique_dim");
    return unique_along(x, dim, "unique_dim", true);
}

lucid_uniques lucid_unique_consecutive(lucid_tensor *x)
{
    LUC_CALLED_AS("unique_consecutive");
    return unique_all(x, "unique_consecutive", false);
}

lucid_uniques lucid_unique_consecutive_dim(lucid_tensor *x, int dim)
{
    LUC_CALLED_AS("unique_consecutive_dim");
    return unique_along(x, dim, "unique_consecutive_dim", false);
}

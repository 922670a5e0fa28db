/* select.c: reading and writing elements that a mask or an index along a dimension names. The
 * sums by an index (scatter_add, index_add) are kernels; all else is composed of them, of sorting
 * and of gathering. */
#include "autograd/ops/select.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/select_priv.h"
#include "autograd/ops/sorting.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- what they share ------------------------------------------------------------------------- */

lucid_tensor *luc_as_value(lucid_tensor *value, const lucid_tensor *x, const char *op)
{
    if (!luc_given(value, op, "value")) return NULL;
    if (value->view.ndim != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "value: expected a number or [], got %s",
                              luc_shape_text(value).s);
    const bool whole = !lucid_dtype_is_floating(x->view.dtype) && value->is_scalar;
    if (whole && !luc_check_value(x->view.dtype, lucid_item(value), op)) return NULL;
    return luc_meet(value, x->view.dtype, x->storage->device);
}

lucid_tensor *luc_as_index(lucid_tensor *index, const char *op)
{
    if (!luc_given(index, op, "index")) return NULL;
    const lucid_dtype d = index->view.dtype;
    if (d == LUCID_I64 || d == LUCID_I32 || d == LUCID_U8) return lucid_cast(index, LUCID_I64);
    return luc_raise_null(LUCID_ERR_ARGUMENT, op, "index: expected int64, got %s",
                          lucid_dtype_name(d));
}

static bool check_mask(const lucid_tensor *mask, const char *op)
{
    if (!luc_given(mask, op, "mask")) return false;
    return mask->view.dtype == LUCID_BOOL ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "mask: expected bool, got %s",
                     lucid_dtype_name(mask->view.dtype));
}

/* Expands both to the sizes to which they broadcast. */
static bool meet_mask(lucid_tensor **x, lucid_tensor **mask, const char *op)
{
    if (!luc_given(*x, op, "x") || !check_mask(*mask, op)) return false;
    const lucid_shape a = lucid_tensor_shape(*x), b = lucid_tensor_shape(*mask);
    lucid_shape both;
    if (!lucid_shape_broadcast(&a, &b, &both))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "mask: expected sizes that broadcast with %s, got "
                         "%s",
                         luc_shape_text(*x).s, luc_shape_text(*mask).s);
    *x = lucid_expand_opt(*x, both);
    *mask = lucid_expand_opt(*mask, both);
    return *x && *mask;
}

static lucid_tensor *row_of(lucid_tensor *x)
{
    return x ? lucid_reshape_opt(x, LUCID_SHAPE(x->numel)) : NULL;
}

/* ---- masks ----------------------------------------------------------------------------------- */

lucid_tensor *lucid_masked_fill_opt(lucid_tensor *x, lucid_tensor *mask, lucid_tensor *value)
{
    LUC_CALLED_AS("masked_fill");
    if (!luc_given(x, "masked_fill", "x") || !check_mask(mask, "masked_fill")) return NULL;
    value = luc_as_value(value, x, "masked_fill");
    return value ? lucid_where(mask, value, x) : NULL;
}

lucid_tensor *lucid_masked_select(lucid_tensor *x, lucid_tensor *mask)
{
    LUC_CALLED_AS("masked_select");
    LUCID_SCOPE;
    if (!meet_mask(&x, &mask, "masked_select")) return NULL;
    lucid_tensor *row = row_of(x), *flat = row_of(mask);
    lucid_tensor *index = flat ? luc_nonzero_flat(flat) : NULL;
    return row && index ? lucid_scope_return(lucid_index_select(row, 0, index)) : NULL;
}

lucid_tensor *lucid_masked_scatter(lucid_tensor *x, lucid_tensor *mask, lucid_tensor *source)
{
    const char *op = "masked_scatter";
    LUC_CALLED_AS("masked_scatter");
    LUCID_SCOPE;
    if (!luc_given(source, op, "source") || !meet_mask(&x, &mask, op)) return NULL;
    lucid_tensor *flat = row_of(mask), *place = flat ? lucid_cumsum(flat, 0) : NULL;
    if (!place) return NULL;
    const double count =
        place->numel > 0 ? lucid_item(lucid_narrow(place, 0, place->numel - 1, 1)) : 0;
    if (count > (double)source->numel)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "source: expected at least %g elements, got "
                              "%lld",
                              count, (long long)source->numel);
    if (source->numel == 0) return lucid_scope_return(lucid_clone(x, LUCID_PRESERVE));
    place = lucid_clamp(lucid_sub_scalar(place, 1), 0, INFINITY);
    lucid_tensor *from = lucid_cast(row_of(source), x->view.dtype);
    from = from && place ? lucid_index_select(from, 0, place) : NULL;
    from = from ? lucid_reshape_opt(from, lucid_tensor_shape(x)) : NULL;
    return from ? lucid_scope_return(lucid_where(mask, from, x)) : NULL;
}

/* ---- scattering ------------------------------------------------------------------------------ */

/* x, index and src of one call, checked: src cut to the sizes of the index. A tensor [] goes as
 * [1]. */
typedef struct scattered {
    lucid_tensor *x, *index, *src;
    int dim;
    bool scalar;
} scattered;

static bool begin_scatter(scattered *s, const char *op, bool with_src)
{
    if (!luc_given(s->x, op, "x") || !(s->index = luc_as_index(s->index, op))) return false;
    if (with_src && !luc_given(s->src, op, "src")) return false;
    s->dim = luc_wrap_dim(s->dim, s->x->view.ndim, op, "dim");
    if (s->dim < 0) return false;
    s->scalar = s->x->view.ndim == 0;
    lucid_tensor **all[] = {&s->x, &s->index, &s->src};
    for (int i = 0; i < (with_src ? 3 : 2); i++)
        if ((*all[i])->view.ndim == 0 && !(*all[i] = lucid_unsqueeze(*all[i], 0))) return false;
    const lucid_view *x = &s->x->view, *index = &s->index->view;
    bool ok = index->ndim == x->ndim && (!with_src || s->src->view.ndim == x->ndim);
    for (int d = 0; ok && d < x->ndim; d++)
        ok = (d == s->dim || index->dims[d] <= x->dims[d]) &&
             (!with_src || index->dims[d] <= s->src->view.dims[d]);
    if (!ok)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "index: expected sizes of at most x %s but for dimension %d%s%s, got %s",
                         luc_shape_text(s->x).s, s->dim, with_src ? ", and of at most src " : "",
                         with_src ? luc_shape_text(s->src).s : "", luc_shape_text(s->index).s);
    if (!with_src) return true;
    for (int d = 0; d < x->ndim && s->src; d++)
        if (s->src->view.dims[d] != s->index->view.dims[d])
            s->src = lucid_narrow(s->src, d, 0, s->index->view.dims[d]);
    s->src = s->src ? lucid_cast(s->src, x->dtype) : NULL;
    return s->src != NULL;
}

static lucid_tensor *end_scatter(const scattered *s, lucid_tensor *y)
{
    if (y && s->scalar) y = lucid_squeeze(y, 0);
    return lucid_scope_return(y);
}

/* The sum of what comes to each place of x. */
static lucid_tensor *summed(const scattered *s, lucid_tensor *src, lucid_tensor *index)
{
    return src && index ? luc_scatter_add(src, index, s->dim, lucid_tensor_shape(s->x)) : NULL;
}

/* Where in x the index points: bool. */
static lucid_tensor *hits(const scattered *s)
{
    lucid_tensor *ones = luc_full_like(s->index, 1);
    return summed(s, ones ? lucid_cast(ones, LUCID_BOOL) : NULL, s->index);
}

/* An order of the index's elements along dim in which those for one place stand together, and which
 * of them is the last for its place. */
typedef struct runs {
    lucid_tensor *order, *index, *last;
} runs;

static bool find_runs(const scattered *s, lucid_tensor *first_order, runs *r)
{
    const int64_t n = s->index->view.dims[s->dim];
    lucid_tensor *index = first_order ? lucid_gather(s->index, s->dim, first_order) : s->index;
    r->order = index ? lucid_argsort_opt(index, s->dim, NULL) : NULL;
    r->index = r->order ? lucid_gather(index, s->dim, r->order) : NULL;
    if (first_order && r->order) r->order = lucid_gather(first_order, s->dim, r->order);
    if (!r->order || !r->index) return false;
    if (n == 0) return (r->last = lucid_cast(r->index, LUCID_BOOL)) != NULL;
    lucid_tensor *change = lucid_ne(lucid_narrow(r->index, s->dim, 1, n - 1),
                                    lucid_narrow(r->index, s->dim, 0, n - 1));
    lucid_tensor *end = luc_full_like(lucid_narrow(r->index, s->dim, 0, 1), 1);
    end = end ? lucid_cast(end, LUCID_BOOL) : NULL;
    r->last = end && change ? lucid_cat_list((lucid_tensor *[]){change, end}, 2, s->dim) : NULL;
    return r->last != NULL;
}

/* At each place of x the last element of its run; 0 where there is none. */
static lucid_tensor *last_of_runs(const scattered *s, const runs *r, lucid_tensor *in_order)
{
    if (!in_order) return NULL;
    return summed(s, lucid_where(r->last, in_order, luc_full_like(in_order, 0)), r->index);
}

lucid_tensor *lucid_scatter(lucid_tensor *x, int dim, lucid_tensor *index, lucid_tensor *src)
{
    LUC_CALLED_AS("scatter");
    LUCID_SCOPE;
    scattered s = {.x = x, .index = index, .src = src, .dim = dim};
    runs r;
    if (!begin_scatter(&s, "scatter", true) || !find_runs(&s, NULL, &r)) return NULL;
    lucid_tensor *y = last_of_runs(&s, &r, lucid_gather(s.src, s.dim, r.order)), *hit = hits(&s);
    return y && hit ? end_scatter(&s, lucid_where(hit, y, s.x)) : NULL;
}

lucid_tensor *lucid_scatter_value_opt(lucid_tensor *x, int dim, lucid_tensor *index,
                                      lucid_tensor *value)
{
    LUC_CALLED_AS("scatter_value");
    LUCID_SCOPE;
    scattered s = {.x = x, .index = index, .dim = dim};
    if (!begin_scatter(&s, "scatter_value", false)) return NULL;
    lucid_tensor *hit = hits(&s);
    value = hit ? luc_as_value(value, s.x, "scatter_value") : NULL;
    return value ? end_scatter(&s, lucid_where(hit, value, s.x)) : NULL;
}

lucid_tensor *lucid_scatter_add(lucid_tensor *x, int dim, lucid_tensor *index, lucid_tensor *src)
{
    LUC_CALLED_AS("scatter_add");
    LUCID_SCOPE;
    scattered s = {.x = x, .index = index, .src = src, .dim = dim};
    if (!begin_scatter(&s, "scatter_add", true)) return NULL;
    lucid_tensor *sum = summed(&s, s.src, s.index);
    return sum ? end_scatter(&s, lucid_add(s.x, sum)) : NULL;
}

/* ---- scattering with a reduction ------------------------------------------------------------- */

static lucid_tensor *scattered_mean(const scattered *s, lucid_tensor *base, bool include)
{
    lucid_tensor *ones = luc_full_like(s->index, 1), *count = summed(s, ones, s->index);
    lucid_tensor *sum = summed(s, s->src, s->index);
    if (!count || !sum) return NULL;
    count = include ? lucid_add_scalar(count, 1) : lucid_clamp(count, 1, INFINITY);
    sum = lucid_add(base, sum);
    if (!count || !sum) return NULL;
    if (lucid_dtype_is_floating(s->x->view.dtype))
        return lucid_div(sum, lucid_cast(count, s->x->view.dtype));
    sum = lucid_floor(lucid_div(lucid_cast(sum, LUCID_F64), lucid_cast(count, LUCID_F64)));
    return sum ? lucid_cast(sum, s->x->view.dtype) : NULL;
}

/* Products of longer and longer pieces of the runs: the last of each has all of it. */
static lucid_tensor *scattered_product(const scattered *s)
{
    runs r;
    if (!find_runs(s, NULL, &r)) return NULL;
    const int64_t n = s->index->view.dims[s->dim];
    lucid_tensor *y = lucid_gather(s->src, s->dim, r.order);
    for (int64_t step = 1; step < n && y; step *= 2) {
        lucid_tensor *low = lucid_narrow(y, s->dim, 0, n - step);
        lucid_tensor *high = lucid_narrow(y, s->dim, step, n - step);
        lucid_tensor *same = lucid_eq(lucid_narrow(r.index, s->dim, 0, n - step),
                                      lucid_narrow(r.index, s->dim, step, n - step));
        high = lucid_where(same, lucid_mul(low, high), high);
        lucid_tensor *first = lucid_narrow(y, s->dim, 0, step);
        y = high && first ? lucid_cat_list((lucid_tensor *[]){first, high}, 2, s->dim) : NULL;
    }
    return last_of_runs(s, &r, y);
}

/* The extreme at each place, as a constant: sorted by size first, the best stands last. */
static lucid_tensor *scattered_extreme(const scattered *s, bool most)
{
    runs r;
    lucid_tensor *src = lucid_detach(s->src);
    lucid_tensor *by_size =
        src ? lucid_argsort_opt(src, s->dim, LUC_WITH(lucid_sort, .descending = !most)) : NULL;
    if (!by_size || !find_runs(s, by_size, &r)) return NULL;
    lucid_tensor *best = last_of_runs(s, &r, lucid_gather(src, s->dim, r.order));
    if (!best || most || !lucid_dtype_is_floating(src->view.dtype)) return best;
    lucid_tensor *nan = summed(s, lucid_nan_mask(src), s->index); /* it wins, but stood first */
    return nan ? lucid_where(nan, luc_full_like(best, NAN), best) : NULL;
}

/* The extreme y with a derivative: the mean of the elements that equal it, whose value is put back
 * to y itself. */
static lucid_tensor *shared_extreme(const scattered *s, lucid_tensor *y, bool include)
{
    lucid_tensor *there = lucid_gather(y, s->dim, s->index);
    lucid_tensor *from_src = there ? lucid_eq(s->src, there) : NULL;
    lucid_tensor *from_x = include ? lucid_eq(s->x, y) : NULL;
    if (!from_src || (include && !from_x)) return NULL;
    lucid_tensor *count = summed(s, lucid_cast(from_src, s->x->view.dtype), s->index);
    lucid_tensor *part = lucid_where(from_src, s->src, luc_full_like(s->src, 0));
    lucid_tensor *sum = summed(s, part, s->index);
    if (include && count && sum) {
        count = lucid_add(count, lucid_cast(from_x, s->x->view.dtype));
        sum = lucid_add(sum, lucid_where(from_x, s->x, luc_full_like(s->x, 0)));
    }
    if (!count || !sum) return NULL;
    lucid_tensor *mean = lucid_div(sum, lucid_clamp(count, 1, INFINITY));
    lucid_tensor *shift = mean ? lucid_sub(mean, lucid_detach(mean)) : NULL;
    if (!shift) return NULL;
    return lucid_where(lucid_finite_mask(shift), lucid_add(y, shift), y);
}

static lucid_tensor *reduced(const scattered *s, lucid_tensor *hit, lucid_scatter_how how,
                             bool include)
{
    lucid_tensor *base = include ? s->x : lucid_where(hit, luc_full_like(s->x, 0), s->x), *y;
    switch (how) {
    case LUCID_SCATTER_SUM:
        y = summed(s, s->src, s->index);
        return y && base ? lucid_add(base, y) : NULL;
    case LUCID_SCATTER_MEAN:
        return base ? scattered_mean(s, base, include) : NULL;
    case LUCID_SCATTER_PROD:
        y = scattered_product(s);
        return y && include ? lucid_mul(s->x, y) : y;
    default:
        break;
    }
    const bool most = how == LUCID_SCATTER_AMAX;
    y = scattered_extreme(s, most);
    if (y && include) {
        lucid_tensor *x = lucid_detach(s->x);
        y = most ? lucid_maximum(x, y) : lucid_minimum(x, y);
    }
    return y && lucid_dtype_is_floating(s->x->view.dtype) ? shared_extreme(s, y, include) : y;
}

lucid_tensor *lucid_scatter_reduce_opt(lucid_tensor *x, int dim, lucid_tensor *index,
                                       lucid_tensor *src, lucid_scatter_how how,
                                       const lucid_scatter_reduce_options *options)
{
    const char *op = "scatter_reduce";
    LUC_CALLED_AS("scatter_reduce");
    LUCID_SCOPE;
    const lucid_scatter_reduce_options *o = LUC_OPTIONS(lucid_scatter_reduce, options, op);
    scattered s = {.x = x, .index = index, .src = src, .dim = dim};
    if (!o || !begin_scatter(&s, op, true)) return NULL;
    if ((unsigned)how > LUCID_SCATTER_AMIN)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "how: expected a lucid_scatter_how, got %d",
                              (int)how);
    lucid_tensor *hit = hits(&s), *y = hit ? reduced(&s, hit, how, o->include_self) : NULL;
    return y ? end_scatter(&s, lucid_where(hit, y, s.x)) : NULL;
}

lucid_tensor *lucid_take_along_dim_opt(lucid_tensor *x, lucid_tensor *index, lucid_shape dim)
{
    const char *op = "take_along_dim";
    LUC_CALLED_AS("take_along_dim");
    LUCID_SCOPE;
    if (!luc_given(x, op, "x") || !(index = luc_as_index(index, op))) return NULL;
    if (dim.ndim > 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "dim: expected one, or all, got %s",
                              luc_dims_text(dim.ndim, dim.dims).s);
    if (dim.ndim <= 0) return lucid_scope_return(lucid_gather(row_of(x), 0, row_of(index)));
    const int at = luc_wrap_dim(dim.dims[0], x->view.ndim, op, "dim");
    if (at < 0) return NULL;
    lucid_shape a = lucid_tensor_shape(x), b = lucid_tensor_shape(index), both;
    if (a.ndim == b.ndim && a.ndim > 0) a.dims[at] = b.dims[at] = 1;
    if (a.ndim != b.ndim || !lucid_shape_broadcast(&a, &b, &both))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "index: expected sizes that broadcast with %s but along dimension "
                              "%d, got %s",
                              luc_shape_text(x).s, at, luc_shape_text(index).s);
    a = b = both;
    if (a.ndim > 0) a.dims[at] = x->view.dims[at], b.dims[at] = index->view.dims[at];
    x = lucid_expand_opt(x, a);
    index = x ? lucid_expand_opt(index, b) : NULL;
    return index ? lucid_scope_return(lucid_gather(x, at, index)) : NULL;
}

/* statistics.c: deviations, products, norms, truth and counts, composed of other operators. */
#include "autograd/ops/statistics.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduction_priv.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- what they share ------------------------------------------------------------------------- */

static bool floating(const lucid_tensor *x, const char *op)
{
    return lucid_dtype_is_floating(x->view.dtype) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected a floating dtype, got %s",
                     lucid_dtype_name(x->view.dtype));
}

static bool is_narrow(const lucid_tensor *x)
{
    return x->view.dtype == LUCID_F16 || x->view.dtype == LUCID_BF16;
}

/* Where x is not 0: bool. */
static lucid_tensor *truth(lucid_tensor *x)
{
    return x->view.dtype == LUCID_BOOL ? x : lucid_ne(x, lucid_scalar(0));
}

/* The root, with the derivative 0 at 0. */
static lucid_tensor *root(lucid_tensor *x)
{
    if (!x) return NULL;
    lucid_tensor *zero = lucid_eq(x, lucid_scalar(0));
    return lucid_where(zero, x, lucid_sqrt(lucid_where(zero, luc_full_like(x, 1), x)));
}

/* ---- deviations ------------------------------------------------------------------------------ */

lucid_tensor *lucid_std_opt(lucid_tensor *x, lucid_shape dims, const lucid_var_options *options)
{
    LUC_CALLED_AS("std");
    return root(lucid_var_opt(x, dims, options));
}

static lucid_with_mean with_mean(lucid_tensor *value, lucid_tensor *x, lucid_shape dims,
                                 const lucid_var_options *options)
{
    const lucid_with_mean none = {NULL, NULL};
    if (!value) return none;
    const lucid_var_options *o = LUC_OPTIONS(lucid_var, options, "mean");
    if (!o) return none;
    lucid_tensor *mean = lucid_mean_opt(x, dims, LUC_WITH(lucid_reduce, .keepdim = o->keepdim));
    return mean ? (lucid_with_mean){value, mean} : none;
}

lucid_with_mean lucid_std_mean_opt(lucid_tensor *x, lucid_shape dims,
                                   const lucid_var_options *options)
{
    LUC_CALLED_AS("std_mean");
    return with_mean(lucid_std_opt(x, dims, options), x, dims, options);
}

lucid_with_mean lucid_var_mean_opt(lucid_tensor *x, lucid_shape dims,
                                   const lucid_var_options *options)
{
    LUC_CALLED_AS("var_mean");
    return with_mean(lucid_var_opt(x, dims, options), x, dims, options);
}

/* ---- products -------------------------------------------------------------------------------- */

/* x with the dimensions of the mask joined into one, the last. */
static lucid_tensor *joined_last(lucid_tensor *x, uint32_t mask)
{
    const lucid_view *v = &x->view;
    lucid_shape order = {.ndim = 0}, shape = {.ndim = 0};
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) {
        if (mask >> d & 1) continue;
        order.dims[order.ndim++] = d;
        shape.dims[shape.ndim++] = v->dims[d];
    }
    for (int d = 0; d < v->ndim; d++) {
        if (!(mask >> d & 1)) continue;
        order.dims[order.ndim++] = d;
        n *= v->dims[d];
    }
    shape.dims[shape.ndim++] = n;
    return shape.ndim > LUCID_MAX_DIMS ? x : lucid_reshape_opt(lucid_permute_opt(x, order), shape);
}

/* x's sizes without the dimensions of the mask, or with ones there. */
static lucid_shape reduced_shape(const lucid_tensor *x, uint32_t mask, bool keepdim)
{
    lucid_shape shape = {.ndim = 0};
    for (int d = 0; d < x->view.ndim; d++) {
        const bool gone = mask >> d & 1;
        if (!gone || keepdim) shape.dims[shape.ndim++] = gone ? 1 : x->view.dims[d];
    }
    return shape;
}

/* Multiplies both halves of the last dimension until one element is left. The derivative needs no
 * division then. */
static lucid_tensor *multiplied(lucid_tensor *x)
{
    while (x && x->view.dims[x->view.ndim - 1] > 1) {
        const int64_t n = x->view.dims[x->view.ndim - 1], half = n / 2;
        lucid_tensor *y = lucid_mul(lucid_narrow(x, -1, 0, half), lucid_narrow(x, -1, half, half));
        lucid_tensor *odd = n % 2 ? lucid_narrow(x, -1, n - 1, 1) : NULL;
        if (n % 2 && (!y || !odd)) return NULL;
        x = odd ? lucid_cat_list((lucid_tensor *[]){y, odd}, 2, -1) : y;
    }
    return x;
}

lucid_tensor *lucid_prod_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("prod");
    LUCID_SCOPE;
    const lucid_reduce_options *o = LUC_OPTIONS(lucid_reduce, options, "prod");
    uint32_t mask;
    if (!o || !luc_given(x, "prod", "x") || !luc_reduce_mask(x, &dims, "prod", &mask)) return NULL;
    const lucid_dtype dtype = x->view.dtype;
    const lucid_dtype result = lucid_dtype_is_floating(dtype) ? dtype : LUCID_I64;
    const lucid_shape shape = reduced_shape(x, mask, o->keepdim);
    lucid_tensor *y = lucid_cast(x, is_narrow(x) ? LUCID_F32 : result);
    if (!y) return NULL;
    if (mask) y = joined_last(y, mask);
    if (y && mask && y->view.dims[y->view.ndim - 1] == 0) {
        y = lucid_add_scalar(lucid_sum_opt(y, LUCID_SHAPE(-1), NULL), 1);
        y = y ? lucid_cast(lucid_reshape_opt(y, shape), result) : NULL;
        return lucid_scope_return(y);
    }
    if (mask) y = multiplied(y);
    y = y ? lucid_cast(lucid_reshape_opt(y, shape), result) : NULL;
    return lucid_scope_return(y == x ? lucid_clone(x, LUCID_PRESERVE) : y);
}

/* ---- logsumexp ------------------------------------------------------------------------------- */

lucid_tensor *lucid_logsumexp_opt(lucid_tensor *x, lucid_shape dims,
                                  const lucid_reduce_options *options)
{
    LUC_CALLED_AS("logsumexp");
    LUCID_SCOPE;
    const char *op = "logsumexp";
    const lucid_reduce_options *o = LUC_OPTIONS(lucid_reduce, options, op);
    uint32_t mask;
    if (!o || !luc_given(x, op, "x") || !luc_reduce_mask(x, &dims, op, &mask)) return NULL;
    const lucid_reduce_options *keep = LUC_WITH(lucid_reduce, .keepdim = true);
    const lucid_shape shape = reduced_shape(x, mask, o->keepdim);
    x = lucid_cast(x, luc_float_type(x->view.dtype));
    lucid_tensor *top = NULL, *shifted = x;
    if (x && x->numel > 0) {
        top = lucid_detach(lucid_max_opt(x, dims, keep));
        if (!top) return NULL;
        top = lucid_where(lucid_inf_mask(top), luc_full_like(top, 0), top);
        shifted = lucid_sub(x, top);
    }
    lucid_tensor *sum = lucid_sum_opt(lucid_exp(shifted), dims, keep);
    if (!sum) return NULL;
    lucid_tensor *none = lucid_eq(sum, lucid_scalar(0));
    lucid_tensor *y = lucid_log(lucid_where(none, luc_full_like(sum, 1), sum));
    if (top) y = lucid_add(y, top);
    y = lucid_where(none, luc_full_like(sum, -INFINITY), y);
    return lucid_scope_return(y ? lucid_reshape_opt(y, shape) : NULL);
}

/* ---- norms ----------------------------------------------------------------------------------- */

static lucid_tensor *norm_of(lucid_tensor *x, lucid_shape dims, double p,
                             const lucid_reduce_options *keep)
{
    if (p == INFINITY) return lucid_max_opt(lucid_abs(x), dims, keep);
    if (p == -INFINITY) return lucid_min_opt(lucid_abs(x), dims, keep);
    if (p == 0) {
        lucid_tensor *ones = lucid_where(truth(x), luc_full_like(x, 1), lucid_sub(x, x));
        return lucid_sum_opt(ones, dims, keep);
    }
    if (p == 1) return lucid_sum_opt(lucid_abs(x), dims, keep);
    if (p == 2) return root(lucid_sum_opt(lucid_square(x), dims, keep));
    /* An element 0 counts as 0^p, but has no derivative: |x|^(p - 1) may be infinite there. */
    lucid_tensor *zero = lucid_eq(x, lucid_scalar(0)), *one = luc_full_like(x, 1);
    lucid_tensor *power = lucid_pow_scalar(lucid_abs(lucid_where(zero, one, x)), p);
    power = lucid_where(zero, luc_full_like(x, p < 0 ? INFINITY : 0), power);
    lucid_tensor *sum = lucid_sum_opt(power, dims, keep);
    if (!sum) return NULL;
    lucid_tensor *none = lucid_eq(sum, lucid_scalar(0));
    lucid_tensor *y = lucid_pow_scalar(lucid_where(none, luc_full_like(sum, 1), sum), 1 / p);
    return lucid_where(none, luc_full_like(sum, p < 0 ? INFINITY : 0), y);
}

lucid_tensor *lucid_norm_opt(lucid_tensor *x, lucid_shape dims, const lucid_norm_options *options)
{
    LUC_CALLED_AS("norm");
    LUCID_SCOPE;
    const lucid_norm_options *o = LUC_OPTIONS(lucid_norm, options, "norm");
    if (!o || !luc_given(x, "norm", "x") || !floating(x, "norm")) return NULL;
    if (isnan(o->p))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "norm", "p: expected a number, got NaN");
    lucid_tensor *wide = is_narrow(x) ? lucid_cast(x, LUCID_F32) : x;
    lucid_tensor *y =
        wide ? norm_of(wide, dims, o->p, LUC_WITH(lucid_reduce, .keepdim = o->keepdim)) : NULL;
    return lucid_scope_return(y ? lucid_cast(y, x->view.dtype) : NULL);
}

/* ---- without NaN ----------------------------------------------------------------------------- */

/* x with zeros in place of NaN; integers have none. */
static lucid_tensor *without_nan(lucid_tensor *x)
{
    if (!lucid_dtype_is_floating(x->view.dtype)) return x;
    return lucid_where(lucid_nan_mask(x), luc_full_like(x, 0), x);
}

lucid_tensor *lucid_nansum_opt(lucid_tensor *x, lucid_shape dims,
                               const lucid_reduce_options *options)
{
    LUC_CALLED_AS("nansum");
    if (!luc_given(x, "nansum", "x")) return NULL;
    return lucid_sum_opt(without_nan(x), dims, options);
}

lucid_tensor *lucid_nanmean_opt(lucid_tensor *x, lucid_shape dims,
                                const lucid_reduce_options *options)
{
    LUC_CALLED_AS("nanmean");
    if (!luc_given(x, "nanmean", "x") || !floating(x, "nanmean")) return NULL;
    lucid_tensor *there = lucid_logical_not(lucid_nan_mask(x));
    lucid_tensor *count = lucid_sum_opt(there, dims, options);
    lucid_tensor *sum = count ? lucid_sum_opt(without_nan(x), dims, options) : NULL;
    return sum ? lucid_div(sum, lucid_cast(count, sum->view.dtype)) : NULL;
}

/* ---- truth and counts ------------------------------------------------------------------------ */

/* Bools, but of uint8 uint8. */
static lucid_tensor *as_truth_of(lucid_tensor *y, const lucid_tensor *x)
{
    return y && x->view.dtype == LUCID_U8 ? lucid_cast(y, LUCID_U8) : y;
}

lucid_tensor *lucid_any_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("any");
    if (!luc_given(x, "any", "x")) return NULL;
    lucid_tensor *sum = lucid_sum_opt(truth(x), dims, options);
    return sum ? as_truth_of(lucid_gt(sum, lucid_scalar(0)), x) : NULL;
}

lucid_tensor *lucid_all_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("all");
    if (!luc_given(x, "all", "x")) return NULL;
    lucid_tensor *sum = lucid_sum_opt(lucid_logical_not(x), dims, options);
    return sum ? as_truth_of(lucid_eq(sum, lucid_scalar(0)), x) : NULL;
}

lucid_tensor *lucid_count_nonzero_opt(lucid_tensor *x, lucid_shape dims,
                                      const lucid_reduce_options *options)
{
    LUC_CALLED_AS("count_nonzero");
    if (!luc_given(x, "count_nonzero", "x")) return NULL;
    return lucid_sum_opt(truth(x), dims, options);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

/* Elements 1 and on, and all but the last, along dim. */
static bool neighbours(lucid_tensor *x, int dim, lucid_tensor **after, lucid_tensor **before)
{
    const int64_t n = x->view.dims[dim];
    *after = lucid_narrow(x, dim, n > 0, n > 0 ? n - 1 : 0);
    *before = lucid_narrow(x, dim, 0, n > 0 ? n - 1 : 0);
    return *after && *before;
}

static lucid_tensor *differences(lucid_tensor *x, int dim)
{
    lucid_tensor *after, *before;
    if (!neighbours(x, dim, &after, &before)) return NULL;
    return x->view.dtype == LUCID_BOOL ? lucid_ne(after, before) : lucid_sub(after, before);
}

lucid_tensor *lucid_diff_opt(lucid_tensor *x, const lucid_diff_options *options)
{
    LUC_CALLED_AS("diff");
    LUCID_SCOPE;
    const lucid_diff_options *o = LUC_OPTIONS(lucid_diff, options, "diff");
    if (!o || !luc_given(x, "diff", "x")) return NULL;
    if (x->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "diff",
                              "x: expected at least 1 dimension, got []");
    const int dim = luc_wrap_dim(o->dim, x->view.ndim, "diff", "dim");
    if (dim < 0) return NULL;
    if (o->n < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "diff", "n: expected at least 0, got %lld",
                              (long long)o->n);
    lucid_tensor *parts[3], *y = x;
    size_t n = 0;
    if (o->prepend) parts[n++] = o->prepend;
    parts[n++] = x;
    if (o->append) parts[n++] = o->append;
    if (n > 1 && !(y = lucid_cat_list(parts, n, dim))) return NULL;
    for (int64_t i = 0; y && i < o->n && (i == 0 || y->view.dims[dim] > 0); i++)
        y = differences(y, dim);
    return lucid_scope_return(y == x ? lucid_clone(x, LUCID_PRESERVE) : y);
}

/* The widths between the places where y was taken: a number, or what broadcasts with y's areas. */
static lucid_tensor *widths(const lucid_tensor *y, int dim, const lucid_trapezoid_options *o,
                            const char *op)
{
    lucid_tensor *x = o->x;
    if (!x) return lucid_scalar(o->dx);
    const int ndim = y->view.ndim;
    if (x->view.ndim == 1) {
        if (x->view.dims[0] != y->view.dims[dim])
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected [%lld], got %s",
                                  (long long)y->view.dims[dim], luc_shape_text(x).s);
        lucid_shape line = {.ndim = ndim};
        for (int d = 0; d < ndim; d++) line.dims[d] = d == dim ? x->view.dims[0] : 1;
        x = lucid_reshape_opt(x, line);
    } else if (!luc_dims_equal(ndim, y->view.dims, x->view.ndim, x->view.dims)) {
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected one dimension, or %s, got %s",
                              luc_shape_text(y).s, luc_shape_text(x).s);
    }
    return x ? differences(x, dim) : NULL;
}

/* The area between each two neighbours; *dim is where. */
static lucid_tensor *areas(lucid_tensor *y, const lucid_trapezoid_options *options, const char *op,
                           int *dim)
{
    const lucid_trapezoid_options *o = LUC_OPTIONS(lucid_trapezoid, options, op);
    if (!o || !luc_given(y, op, "y")) return NULL;
    if (!lucid_dtype_is_floating(y->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "y: expected a floating dtype, got %s",
                              lucid_dtype_name(y->view.dtype));
    if (y->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "y: expected at least 1 dimension, got []");
    *dim = luc_wrap_dim(o->dim, y->view.ndim, op, "dim");
    if (*dim < 0) return NULL;
    lucid_tensor *after, *before, *width = widths(y, *dim, o, op);
    if (!width || !neighbours(y, *dim, &after, &before)) return NULL;
    return lucid_mul(lucid_mul_scalar(lucid_add(after, before), 0.5), width);
}

lucid_tensor *lucid_trapezoid_opt(lucid_tensor *y, const lucid_trapezoid_options *options)
{
    LUC_CALLED_AS("trapezoid");
    int dim;
    lucid_tensor *all = areas(y, options, "trapezoid", &dim);
    return all ? lucid_sum_opt(all, LUCID_SHAPE(dim), NULL) : NULL;
}

lucid_tensor *lucid_cumulative_trapezoid_opt(lucid_tensor *y,
                                             const lucid_trapezoid_options *options)
{
    LUC_CALLED_AS("cumulative_trapezoid");
    int dim;
    lucid_tensor *all = areas(y, options, "cumulative_trapezoid", &dim);
    return all ? lucid_cumsum(all, dim) : NULL;
}

/* arrange.c: repeating and turning. */
#include "autograd/ops/arrange.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/reduction_priv.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/search.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

lucid_tensor *luc_count_on(const lucid_tensor *x, int64_t start, int64_t step, int64_t n)
{
    lucid_index_options o = lucid_index_defaults;
    o.device = x->storage->device;
    return lucid_arange_opt((double)start, (double)(start + n * step), (double)step, &o);
}

/* ---- repeating ------------------------------------------------------------------------------- */

/* Repeats x along each dimension; `repeats` has one number for each. Checks the sizes. */
static lucid_tensor *repeated(lucid_tensor *x, const lucid_shape *repeats, const char *op)
{
    lucid_shape sizes = lucid_tensor_shape(x);
    for (int d = 0; d < sizes.ndim; d++) {
        const int64_t r = repeats->dims[d];
        if (r < 0 || __builtin_mul_overflow(sizes.dims[d], r, &sizes.dims[d]))
            return luc_raise_null(
                LUCID_ERR_ARGUMENT, op, "repeats: expected numbers >= 0 that fit, got %s for %s",
                luc_dims_text(repeats->ndim, repeats->dims).s, luc_shape_text(x).s);
    }
    if (!luc_check_shape(&sizes, x->view.dtype, op)) return NULL;
    lucid_tensor *y = x;
    lucid_shape now = lucid_tensor_shape(x);
    for (int d = sizes.ndim - 1; d >= 0 && y; d--) {
        const int64_t r = repeats->dims[d];
        if (r == 1) continue;
        int64_t before = 1, rest = 1;
        for (int i = 0; i < d; i++) before *= now.dims[i];
        for (int i = d; i < now.ndim; i++) rest *= now.dims[i];
        y = lucid_reshape_opt(y, LUCID_SHAPE(before, 1, rest));
        y = y ? lucid_expand_opt(y, LUCID_SHAPE(before, r, rest)) : NULL;
        now.dims[d] = sizes.dims[d];
        y = y ? lucid_reshape_opt(y, now) : NULL;
    }
    return y == x ? lucid_clone(x, LUCID_PRESERVE) : y;
}

lucid_tensor *lucid_repeat_opt(lucid_tensor *x, lucid_shape repeats)
{
    LUC_CALLED_AS("repeat");
    LUCID_SCOPE;
    if (!luc_given(x, "repeat", "x")) return NULL;
    if (repeats.ndim < x->view.ndim || repeats.ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "repeat",
                              "repeats: expected %d to %d numbers for %s, got %d", x->view.ndim,
                              LUCID_MAX_DIMS, luc_shape_text(x).s, repeats.ndim);
    lucid_tensor *y = x;
    while (y && y->view.ndim < repeats.ndim) y = lucid_unsqueeze(y, 0);
    return y ? lucid_scope_return(repeated(y, &repeats, "repeat")) : NULL;
}

lucid_tensor *lucid_tile_opt(lucid_tensor *x, lucid_shape repeats)
{
    LUC_CALLED_AS("tile");
    if (!luc_given(x, "tile", "x")) return NULL;
    if (repeats.ndim < 0 || repeats.ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "tile",
                              "repeats: expected at most %d numbers, got %d", LUCID_MAX_DIMS,
                              repeats.ndim);
    const int missing = x->view.ndim - repeats.ndim;
    if (missing <= 0) return lucid_repeat_opt(x, repeats);
    lucid_shape all = {.ndim = x->view.ndim};
    for (int d = 0; d < all.ndim; d++) all.dims[d] = d < missing ? 1 : repeats.dims[d - missing];
    return lucid_repeat_opt(x, all);
}

/* Each element along dim r times. */
static lucid_tensor *interleaved(lucid_tensor *x, int dim, int64_t r)
{
    lucid_shape sizes = lucid_tensor_shape(x);
    int64_t before = 1, after = 1;
    if (__builtin_mul_overflow(sizes.dims[dim], r, &sizes.dims[dim]))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "repeat_interleave",
                              "repeats: %lld times %s is too much", (long long)r,
                              luc_shape_text(x).s);
    if (!luc_check_shape(&sizes, x->view.dtype, "repeat_interleave")) return NULL;
    for (int d = 0; d < dim; d++) before *= sizes.dims[d];
    for (int d = dim + 1; d < sizes.ndim; d++) after *= sizes.dims[d];
    const int64_t n = x->view.dims[dim];
    x = lucid_reshape_opt(x, LUCID_SHAPE(before, n, 1, after));
    x = x ? lucid_expand_opt(x, LUCID_SHAPE(before, n, r, after)) : NULL;
    return x ? lucid_reshape_opt(x, sizes) : NULL;
}

/* The index of the element that stands at each place of the result. */
static lucid_tensor *interleaving(lucid_tensor *repeats)
{
    if (repeats->numel > 0 && lucid_item(lucid_min_opt(repeats, LUCID_ALL, NULL)) < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "repeat_interleave",
                              "repeats: expected numbers >= 0, got %g",
                              lucid_item(lucid_min_opt(repeats, LUCID_ALL, NULL)));
    lucid_tensor *ends = lucid_cumsum(repeats, 0), *sum = lucid_sum_opt(repeats, LUCID_ALL, NULL);
    if (!ends || !sum) return NULL;
    lucid_tensor *places = luc_count_on(repeats, 0, 1, (int64_t)lucid_item(sum));
    return places ? lucid_searchsorted(ends, places, .right = true) : NULL;
}

lucid_tensor *lucid_repeat_interleave_opt(lucid_tensor *x, lucid_tensor *repeats, lucid_shape dim)
{
    const char *op = "repeat_interleave";
    LUC_CALLED_AS("repeat_interleave");
    LUCID_SCOPE;
    if (!luc_given(x, op, "x") || !luc_given(repeats, op, "repeats")) return NULL;
    if (dim.ndim > 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "dim: expected one, or all, got %s",
                              luc_dims_text(dim.ndim, dim.dims).s);
    if (dim.ndim <= 0 || x->view.ndim == 0) {
        if (dim.ndim == 1 && luc_wrap_dim(dim.dims[0], 0, op, "dim") < 0) return NULL;
        if (!(x = lucid_reshape_opt(x, LUCID_SHAPE(x->numel)))) return NULL;
        dim = LUCID_SHAPE(0);
    }
    const int at = luc_wrap_dim(dim.dims[0], x->view.ndim, op, "dim");
    if (at < 0) return NULL;
    const bool whole = repeats->is_scalar ? lucid_item(repeats) == trunc(lucid_item(repeats))
                                          : !lucid_dtype_is_floating(repeats->view.dtype) &&
                                                repeats->view.dtype != LUCID_BOOL;
    if (!whole || repeats->view.ndim > 1 ||
        (repeats->view.ndim == 1 && repeats->numel != 1 && repeats->numel != x->view.dims[at]))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "repeats: expected an integer, or [%lld] of them, got %s %s",
                              (long long)x->view.dims[at], lucid_dtype_name(repeats->view.dtype),
                              luc_shape_text(repeats).s);
    if (repeats->numel == 1) {
        const double r = lucid_item(repeats);
        if (!(r >= 0 && r < 0x1p62))
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "repeats: expected a number >= 0, got %g",
                                  r);
        return lucid_scope_return(interleaved(x, at, (int64_t)r));
    }
    lucid_tensor *index = interleaving(lucid_cast(repeats, LUCID_I64));
    return index ? lucid_scope_return(lucid_index_select(x, at, index)) : NULL;
}

/* ---- turning --------------------------------------------------------------------------------- */

lucid_tensor *lucid_flip_opt(lucid_tensor *x, lucid_shape dims)
{
    const char *op = "flip";
    LUC_CALLED_AS("flip");
    LUCID_SCOPE;
    uint32_t mask;
    if (!luc_given(x, op, "x") || !luc_reduce_mask(x, &dims, op, &mask)) return NULL;
    if (dims.ndim == 0) mask = 0;
    lucid_tensor *y = x;
    for (int d = 0; d < x->view.ndim && y; d++) {
        const int64_t n = x->view.dims[d];
        if (!(mask >> d & 1) || n < 2) continue;
        lucid_tensor *backwards = luc_count_on(x, n - 1, -1, n);
        y = backwards ? lucid_index_select(y, d, backwards) : NULL;
    }
    return lucid_scope_return(y == x ? lucid_clone(x, LUCID_PRESERVE) : y);
}

lucid_tensor *lucid_fliplr(lucid_tensor *x)
{
    LUC_CALLED_AS("fliplr");
    if (!luc_given(x, "fliplr", "x")) return NULL;
    if (x->view.ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "fliplr",
                              "x: expected at least 2 dimensions, got %s", luc_shape_text(x).s);
    return lucid_flip_opt(x, LUCID_SHAPE(1));
}

lucid_tensor *lucid_flipud(lucid_tensor *x)
{
    LUC_CALLED_AS("flipud");
    if (!luc_given(x, "flipud", "x")) return NULL;
    if (x->view.ndim < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "flipud",
                              "x: expected at least 1 dimension, got []");
    return lucid_flip_opt(x, LUCID_SHAPE(0));
}

/* x moved by `shift` around the end of dim. */
static lucid_tensor *rolled(lucid_tensor *x, int64_t shift, int dim)
{
    const int64_t n = x->view.dims[dim];
    if (n == 0) return x;
    shift = (shift % n + n) % n;
    if (shift == 0) return x;
    lucid_tensor *end = lucid_narrow(x, dim, n - shift, shift);
    lucid_tensor *begin = lucid_narrow(x, dim, 0, n - shift);
    return end && begin ? lucid_cat_list((lucid_tensor *[]){end, begin}, 2, dim) : NULL;
}

lucid_tensor *lucid_roll_opt(lucid_tensor *x, lucid_shape shifts, lucid_shape dims)
{
    const char *op = "roll";
    LUC_CALLED_AS("roll");
    LUCID_SCOPE;
    if (!luc_given(x, op, "x")) return NULL;
    const bool row = dims.ndim <= 0;
    if (shifts.ndim < 1 || shifts.ndim > LUCID_MAX_DIMS || shifts.ndim != (row ? 1 : dims.ndim))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "shifts: expected one for each of dims, got %d for %d", shifts.ndim,
                              row ? 1 : dims.ndim);
    lucid_tensor *y = row ? lucid_reshape_opt(x, LUCID_SHAPE(x->numel)) : x;
    if (!row && x->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "dims: expected none of x [], got %d",
                              dims.ndim);
    for (int i = 0; i < shifts.ndim && y; i++) {
        const int d = row ? 0 : luc_wrap_dim(dims.dims[i], x->view.ndim, op, "dims");
        y = d < 0 ? NULL : rolled(y, shifts.dims[i], d);
    }
    if (y && row) y = lucid_reshape_opt(y, lucid_tensor_shape(x));
    const bool is_copy = y && !lucid_shares_storage(x, y);
    return lucid_scope_return(y && !is_copy ? lucid_clone(y, LUCID_PRESERVE) : y);
}

lucid_tensor *lucid_rot90(lucid_tensor *x, int64_t k, int dim0, int dim1)
{
    const char *op = "rot90";
    LUC_CALLED_AS("rot90");
    if (!luc_given(x, op, "x")) return NULL;
    const int a = luc_wrap_dim(dim0, x->view.ndim, op, "dim0");
    const int b = a < 0 ? -1 : luc_wrap_dim(dim1, x->view.ndim, op, "dim1");
    if (b < 0) return NULL;
    if (a == b || x->view.ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "dim1: expected another dimension than dim0, got %d and %d of %s", a,
                              b, luc_shape_text(x).s);
    switch (((k % 4) + 4) % 4) {
    case 0:
        return lucid_clone(x, LUCID_PRESERVE);
    case 1:
        x = lucid_flip_opt(x, LUCID_SHAPE(b));
        return x ? lucid_transpose(x, a, b) : NULL;
    case 2:
        return lucid_flip_opt(x, LUCID_SHAPE(a, b));
    default:
        x = lucid_flip_opt(x, LUCID_SHAPE(a));
        return x ? lucid_transpose(x, a, b) : NULL;
    }
}

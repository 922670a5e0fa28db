/* grid_sample.c: reading images at given places, made of other operators. */
#include "autograd/ops/grid_sample.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* Coordinates of dimension d, 0 for the first one after C, are [N,P]. */
typedef struct job {
    const lucid_grid_sample_options *o;
    int n; /* dimensions after C */
    int64_t size[3], places;
    lucid_tensor *x; /* [N,C,H W] */
    lucid_tensor *at[3];
} job;

/* a where the condition holds, else a number. */
static lucid_tensor *choose(lucid_tensor *condition, lucid_tensor *a, double otherwise)
{
    return condition && a ? lucid_where(condition, a, luc_full_like(a, otherwise)) : NULL;
}

static lucid_tensor *not_below(lucid_tensor *a, double number)
{
    return a ? lucid_ge(a, luc_full_like(a, number)) : NULL;
}

/* From -1..1 to elements. */
static lucid_tensor *elements(const job *j, lucid_tensor *g, int d)
{
    const double size = (double)j->size[d];
    g = lucid_add_scalar(g, 1);
    if (j->o->align_corners) return lucid_mul_scalar(g, (size - 1) / 2);
    return lucid_mul_scalar(lucid_sub_scalar(lucid_mul_scalar(g, size), 1), 0.5);
}

/* Mirrored at low/2 and high/2, as often as need be. */
static lucid_tensor *reflected(lucid_tensor *x, double low, double high)
{
    const double least = low / 2, span = (high - low) / 2;
    if (span <= 0) return lucid_mul_scalar(x, 0);
    x = lucid_sub_scalar(x, least);
    lucid_tensor *positive = not_below(x, 0);
    x = positive ? lucid_where(positive, x, lucid_neg(x)) : NULL;
    /* The number of mirrors that lie between, and what is left: the first has no gradient. */
    lucid_tensor *times = lucid_floor(lucid_mul_scalar(x, 1 / span));
    lucid_tensor *rest = lucid_sub(x, lucid_mul_scalar(times, span));
    lucid_tensor *half = lucid_mul_scalar(times, 0.5);
    lucid_tensor *even = half ? lucid_eq(half, lucid_floor(half)) : NULL;
    lucid_tensor *back = lucid_add_scalar(lucid_neg(rest), span);
    return even && back ? lucid_add_scalar(lucid_where(even, rest, back), least) : NULL;
}

/* Into [0, size - 1]; at its ends, too, there is no gradient. */
static lucid_tensor *clipped(lucid_tensor *x, double last)
{
    lucid_tensor *above = x ? lucid_gt(x, luc_full_like(x, 0)) : NULL;
    x = choose(above, x, 0);
    lucid_tensor *below = x ? lucid_lt(x, luc_full_like(x, last)) : NULL;
    return choose(below, x, last);
}

static lucid_tensor *padded(const job *j, lucid_tensor *x, int d)
{
    const double size = (double)j->size[d];
    if (j->o->padding_mode == LUCID_GRID_ZEROS || !x) return x;
    if (j->o->padding_mode == LUCID_GRID_REFLECTION)
        x = j->o->align_corners ? reflected(x, 0, 2 * (size - 1)) : reflected(x, -1, 2 * size - 1);
    return clipped(x, size - 1);
}

/* The elements at whole coordinates, times weight [N,P], and 0 outside: [N,C,P]. */
static lucid_tensor *read(const job *j, lucid_tensor *const *at, lucid_tensor *weight)
{
    lucid_tensor *index = NULL, *inside = NULL;
    for (int d = 0; d < j->n; d++) {
        if (!at[d]) return NULL;
        lucid_tensor *last = luc_full_like(at[d], (double)(j->size[d] - 1));
        lucid_tensor *low = not_below(at[d], 0), *high = last ? lucid_le(at[d], last) : NULL;
        lucid_tensor *ok = low && high ? lucid_logical_and(low, high) : NULL;
        inside = inside ? lucid_logical_and(inside, ok) : ok;
        lucid_tensor *i = lucid_cast(choose(ok, at[d], 0), LUCID_I64);
        index = index ? lucid_add(lucid_mul_scalar(index, (double)j->size[d]), i) : i;
    }
    weight = choose(inside, weight, 0);
    if (!index || !weight) return NULL;
    const lucid_view *v = &j->x->view;
    index =
        lucid_expand_opt(lucid_unsqueeze(index, 1), LUCID_SHAPE(v->dims[0], v->dims[1], j->places));
    lucid_tensor *values = index ? lucid_gather(j->x, 2, index) : NULL;
    return values ? lucid_mul(values, lucid_unsqueeze(weight, 1)) : NULL;
}

/* The weight is 1, and depends on a place so that its gradient is 0, as PyTorch's is. */
static lucid_tensor *nearest(const job *j)
{
    lucid_tensor *at[3], *weight = NULL;
    for (int d = 0; d < j->n; d++) {
        lucid_tensor *x = padded(j, j->at[d], d);
        if (d == 0) weight = lucid_add_scalar(lucid_mul_scalar(x, 0), 1);
        at[d] = lucid_round(x);
    }
    return read(j, at, weight);
}

static lucid_tensor *linear(const job *j)
{
    lucid_tensor *first[3], *part[3], *sum = NULL;
    for (int d = 0; d < j->n; d++) {
        lucid_tensor *x = padded(j, j->at[d], d);
        first[d] = x ? lucid_floor(x) : NULL;
        part[d] = first[d] ? lucid_sub(x, first[d]) : NULL;
        if (!part[d]) return NULL;
    }
    for (int corner = 0; corner < 1 << j->n; corner++) {
        lucid_tensor *at[3], *weight = NULL;
        for (int d = 0; d < j->n; d++) {
            const bool next = corner >> d & 1;
            lucid_tensor *w = next ? part[d] : lucid_add_scalar(lucid_neg(part[d]), 1);
            at[d] = next ? lucid_add_scalar(first[d], 1) : first[d];
            weight = weight ? lucid_mul(weight, w) : w;
        }
        lucid_tensor *y = read(j, at, weight);
        sum = sum && y ? lucid_add(sum, y) : y;
        if (!sum) return NULL;
    }
    return sum;
}

/* The cubic convolution with parameter a = -0.75 for tap k of 0..3, t after tap 1. In factors, so
 * that little is lost: a u (1 - u)^2 for an outer tap, (1 - u)(1 + u - (a + 2) u^2) for an inner
 * one. */
static lucid_tensor *cubic_weight(lucid_tensor *t, int k)
{
    const double a = -0.75;
    lucid_tensor *rest = lucid_add_scalar(lucid_neg(t), 1), *u = k < 2 ? t : rest;
    if (k >= 2) rest = t; /* 1 - u */
    if (k == 0 || k == 3) return lucid_mul_scalar(lucid_mul(u, lucid_square(rest)), a);
    lucid_tensor *y = lucid_sub(u, lucid_mul_scalar(lucid_square(u), a + 2));
    return lucid_mul(rest, lucid_add_scalar(y, 1));
}

/* Here the taps are padded, not the place. */
static lucid_tensor *cubic(const job *j)
{
    lucid_tensor *at[2][4], *weight[2][4], *sum = NULL;
    for (int d = 0; d < 2; d++) {
        lucid_tensor *first = lucid_floor(j->at[d]), *t = first ? lucid_sub(j->at[d], first) : NULL;
        for (int k = 0; k < 4 && t; k++) {
            lucid_tensor *tap = padded(j, lucid_add_scalar(first, k - 1), d);
            at[d][k] = lucid_round(tap); /* a reflected whole number may be off by a rounding */
            weight[d][k] = cubic_weight(t, k);
        }
        if (!t) return NULL;
    }
    for (int k = 0; k < 16; k++) {
        lucid_tensor *place[2] = {at[0][k / 4], at[1][k % 4]};
        lucid_tensor *y = read(j, place, lucid_mul(weight[0][k / 4], weight[1][k % 4]));
        sum = sum && y ? lucid_add(sum, y) : y;
        if (!sum) return NULL;
    }
    return sum;
}

static bool check(const lucid_tensor *x, const lucid_tensor *grid,
                  const lucid_grid_sample_options *o)
{
    const char *op = "grid_sample";
    const lucid_view *v = &x->view, *g = &grid->view;
    const int n = v->ndim - 2;
    if (n != 2 && n != 3)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected [N,C,H,W] or [N,C,D,H,W], got %s",
                         luc_shape_text(x).s);
    if (g->ndim != v->ndim || g->dims[0] != v->dims[0] || g->dims[n + 1] != n)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "grid: expected [%lld,...,%d] of %d dimensions, "
                         "got %s",
                         (long long)v->dims[0], n, n + 2, luc_shape_text(grid).s);
    if (!lucid_dtype_is_floating(v->dtype) || v->dtype != g->dtype)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "x, grid: expected one floating dtype, got %s, %s",
                         lucid_dtype_name(v->dtype), lucid_dtype_name(g->dtype));
    for (int d = 2; d < v->ndim; d++)
        if (v->dims[d] < 1)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected sizes >= 1 after C, got %s",
                             luc_shape_text(x).s);
    if (o->mode != LUCID_INTERPOLATE_NEAREST && o->mode != LUCID_INTERPOLATE_BILINEAR &&
        !(o->mode == LUCID_INTERPOLATE_BICUBIC && n == 2))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "mode: expected nearest, bilinear or, of an image, bicubic, got %d",
                         (int)o->mode);
    return (o->padding_mode >= LUCID_GRID_ZEROS && o->padding_mode <= LUCID_GRID_REFLECTION) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "padding_mode: expected a lucid_grid_padding, got %d",
                     (int)o->padding_mode);
}

lucid_tensor *lucid_grid_sample_opt(lucid_tensor *x, lucid_tensor *grid,
                                    const lucid_grid_sample_options *options)
{
    LUC_CALLED_AS("grid_sample");
    const lucid_grid_sample_options *o = LUC_OPTIONS(lucid_grid_sample, options, "grid_sample");
    if (!o || !luc_given(x, "grid_sample", "x") || !luc_given(grid, "grid_sample", "grid") ||
        !check(x, grid, o))
        return NULL;
    job j = {.o = o, .n = x->view.ndim - 2, .places = 1};
    const lucid_dtype dtype = x->view.dtype;
    const int64_t batch = x->view.dims[0], c = x->view.dims[1];
    lucid_shape shape = lucid_tensor_shape(x);
    int64_t plane = 1;
    for (int d = 0; d < j.n; d++) {
        plane *= j.size[d] = x->view.dims[2 + d];
        j.places *= shape.dims[2 + d] = grid->view.dims[1 + d];
    }
    if (lucid_dtype_size(dtype) == 2)
        x = lucid_cast(x, LUCID_F32), grid = lucid_cast(grid, LUCID_F32);
    j.x = x ? lucid_reshape_opt(x, LUCID_SHAPE(batch, c, plane)) : NULL;
    grid = grid ? lucid_reshape_opt(grid, LUCID_SHAPE(batch, j.places, j.n)) : NULL;
    if (!j.x || !grid) return NULL;
    for (int d = 0; d < j.n; d++)
        if (!(j.at[d] = elements(&j, lucid_select(grid, 2, j.n - 1 - d), d))) return NULL;
    lucid_tensor *y = o->mode == LUCID_INTERPOLATE_NEAREST    ? nearest(&j)
                      : o->mode == LUCID_INTERPOLATE_BILINEAR ? linear(&j)
                                                              : cubic(&j);
    if (y && y->view.dtype != dtype) y = lucid_cast(y, dtype);
    return y ? lucid_reshape_opt(y, shape) : NULL;
}

/* ---- affine maps ----------------------------------------------------------------------------- */

/* The places of `size` elements between -1 and 1. */
static lucid_tensor *line(int64_t size, bool align_corners, const lucid_tensor_options *like)
{
    const double end = size <= 1 ? 0 : align_corners ? 1 : (double)(size - 1) / (double)size;
    return lucid_linspace_opt(-end, end, size, like);
}

lucid_tensor *lucid_affine_grid_opt(lucid_tensor *theta, lucid_shape size,
                                    const lucid_affine_grid_options *options)
{
    const char *op = "affine_grid";
    LUC_CALLED_AS("affine_grid");
    const lucid_affine_grid_options *o = LUC_OPTIONS(lucid_affine_grid, options, op);
    if (!o || !luc_given(theta, op, "theta")) return NULL;
    const lucid_view *t = &theta->view;
    const int n = size.ndim - 2;
    if ((n != 2 && n != 3) || t->ndim != 3 || t->dims[0] != size.dims[0] || t->dims[1] != n ||
        t->dims[2] != n + 1 || !lucid_dtype_is_floating(t->dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "theta, size: expected floating [N,2,3] with (N,C,H,W), or [N,3,4] "
                              "with (N,C,D,H,W), got %s and %d sizes",
                              luc_shape_text(theta).s, size.ndim);
    if (!luc_check_shape(&size, t->dtype, op)) return NULL;
    const lucid_tensor_options *like =
        LUC_WITH(lucid_tensor, .dtype = t->dtype, .device = theta->storage->device);
    lucid_shape whole = {.ndim = n + 1};
    for (int d = 0; d < n; d++) whole.dims[d] = size.dims[2 + d];
    whole.dims[n] = 1;
    lucid_tensor *parts[4];
    for (int d = 0; d < n; d++) { /* x first: the last dimension */
        lucid_shape one = {.ndim = n + 1, .dims = {1, 1, 1, 1}};
        one.dims[n - 1 - d] = whole.dims[n - 1 - d];
        lucid_tensor *l = line(whole.dims[n - 1 - d], o->align_corners, like);
        l = l ? lucid_reshape_opt(l, one) : NULL;
        if (!l || !(parts[d] = lucid_expand_opt(l, whole))) return NULL;
    }
    if (!(parts[n] = lucid_full_opt(whole, 1, like))) return NULL;
    lucid_tensor *base = lucid_cat_list(parts, (size_t)n + 1, n);
    int64_t places = 1;
    for (int d = 0; d < n; d++) places *= whole.dims[d];
    base = base ? lucid_reshape_opt(base, LUCID_SHAPE(places, n + 1)) : NULL;
    lucid_tensor *grid = base ? lucid_matmul(base, lucid_transpose(theta, 1, 2)) : NULL;
    lucid_shape shape = {.ndim = n + 2, .dims = {size.dims[0]}};
    for (int d = 0; d < n; d++) shape.dims[1 + d] = whole.dims[d];
    shape.dims[n + 1] = n;
    return grid ? lucid_reshape_opt(grid, shape) : NULL;
}

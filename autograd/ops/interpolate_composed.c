/* interpolate_composed.c: interpolation made of other operators. Positions and weights are computed
 * on the device, so that a step with them can be captured; the formulas are those of
 * backends/cpu/resample/taps.c. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/interpolate_priv.h"
#include "autograd/ops/numbers.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/view.h"
#include "lucid/core/interpolation.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* One dimension. Numbers lie in [out] of dtype, which is float32 or float64. */
typedef struct axis {
    int dim, mode;
    bool antialias, align_corners;
    int64_t in, out, taps;
    double scale, support;
    lucid_dtype dtype;
    lucid_device device;
    lucid_tensor *position; /* of a target among the sources; of its first tap with antialias */
    lucid_tensor *first;    /* the source before it; antialias: the first tap */
    lucid_tensor *total;    /* antialias: the sum of the weights */
} axis;

static double rounded(const axis *a, double x)
{
    return a->dtype == LUCID_F32 ? (double)(float)x : x;
}

static axis axis_of(const lucid_call *c, int i)
{
    const lucid_interpolate_attrs *at = c->attrs;
    axis a = {.dim = 2 + i,
              .mode = at->mode,
              .antialias = at->antialias,
              .align_corners = at->align_corners,
              .in = at->in[i],
              .out = at->out[i],
              .dtype = c->in[0]->view.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32,
              .device = c->device};
    const bool is_cubic = a.mode == LUCID_INTERPOLATE_BICUBIC;
    if (a.align_corners)
        a.scale = a.out > 1 ? rounded(&a, (double)(a.in - 1) / (double)(a.out - 1)) : 0;
    else
        a.scale = rounded(&a, at->scale[i] > 0 ? 1 / at->scale[i] : (double)a.in / (double)a.out);
    a.support = (is_cubic ? 2 : 1) * (a.scale >= 1 ? a.scale : 1);
    const double widest = ceil(a.support) * 2 + 1;
    a.taps = a.mode <= LUCID_INTERPOLATE_NEAREST_EXACT ? 1 : is_cubic ? 4 : 2;
    if (a.antialias) a.taps = widest < (double)a.in ? (int64_t)widest : a.in;
    return a;
}

/* (o + shift) scale for every target o. */
static lucid_tensor *targets(const axis *a, double shift)
{
    lucid_tensor *o = lucid_arange_opt(
        0, (double)a->out, 1, LUC_WITH(lucid_index, .dtype = a->dtype, .device = a->device));
    return lucid_mul_scalar(lucid_add_scalar(o, shift), a->scale);
}

static lucid_tensor *limited(const axis *a, lucid_tensor *i)
{
    return lucid_clamp(i, 0, (double)(a->in - 1));
}

/* The cubic convolution at distance x >= 0, with parameter p. */
static lucid_tensor *cubic(lucid_tensor *x, double p)
{
    lucid_tensor *near = lucid_sub_scalar(lucid_mul_scalar(x, p + 2), p + 3);
    near = lucid_add_scalar(lucid_mul(near, lucid_square(x)), 1);
    lucid_tensor *far = lucid_sub_scalar(lucid_mul_scalar(x, p), 5 * p);
    far = lucid_add_scalar(lucid_mul(far, x), 8 * p);
    far = lucid_sub_scalar(lucid_mul(far, x), 4 * p);
    far = lucid_where(lucid_lt(x, lucid_scalar(2)), far, lucid_mul_scalar(x, 0));
    return lucid_where(lucid_le(x, lucid_scalar(1)), near, far);
}

/* The weight of the source k after the first one, before they are divided by their sum. */
static lucid_tensor *smooth_weight(const axis *a, int64_t k)
{
    lucid_tensor *source = lucid_add_scalar(a->first, (double)k);
    lucid_tensor *x = lucid_add_scalar(lucid_sub(source, a->position), 0.5);
    x = lucid_abs(lucid_mul_scalar(x, a->scale >= 1 ? 1 / a->scale : 1));
    lucid_tensor *w = a->mode == LUCID_INTERPOLATE_BICUBIC
                          ? cubic(x, -0.5)
                          : lucid_clamp(lucid_sub_scalar(lucid_neg(x), -1), 0, INFINITY);
    lucid_tensor *end =
        lucid_floor(lucid_add_scalar(lucid_add_scalar(a->position, a->support), 0.5));
    end = lucid_clamp(end, -INFINITY, (double)a->in);
    return lucid_where(lucid_lt(source, end), w, lucid_mul_scalar(source, 0));
}

/* Fills position, first and total. False after an error. */
static bool prepare(axis *a)
{
    if (a->antialias) {
        a->position = targets(a, 0.5);
        a->first = lucid_add_scalar(lucid_sub_scalar(a->position, a->support), 0.5);
        a->first = lucid_floor(limited(a, a->first));
        for (int64_t k = 0; k < a->taps; k++) {
            lucid_tensor *w = smooth_weight(a, k);
            a->total = a->total ? lucid_add(a->total, w) : w;
        }
        return a->total != NULL;
    }
    if (a->mode == LUCID_INTERPOLATE_NEAREST || a->mode == LUCID_INTERPOLATE_NEAREST_EXACT) {
        a->position = targets(a, a->mode == LUCID_INTERPOLATE_NEAREST ? 0 : 0.5);
        a->first = limited(a, lucid_floor(a->position));
        return a->first != NULL;
    }
    const bool linear = a->mode != LUCID_INTERPOLATE_BICUBIC;
    a->position = a->align_corners ? targets(a, 0) : lucid_sub_scalar(targets(a, 0.5), 0.5);
    if (linear && a->in == a->out) {
        axis same = *a;
        same.scale = 1;
        a->position = targets(&same, 0);
    }
    if (linear) a->position = lucid_clamp(a->position, 0, INFINITY);
    a->first = lucid_clamp(lucid_floor(a->position), -INFINITY, (double)(a->in - 1));
    return a->first != NULL;
}

/* The source [out] of tap k, int64, and its weight, [out,1,...] for this dimension. */
static bool tap(const axis *a, int64_t k, lucid_tensor **source, lucid_tensor **weight)
{
    const bool is_cubic = a->mode == LUCID_INTERPOLATE_BICUBIC;
    lucid_tensor *w = NULL, *t;
    *source = lucid_add_scalar(a->first, (double)(is_cubic && !a->antialias ? k - 1 : k));
    *source = lucid_cast(limited(a, *source), LUCID_I64);
    *weight = NULL;
    if (!*source) return false;
    if (a->antialias) {
        lucid_tensor *none = lucid_eq(a->total, lucid_scalar(0));
        w = lucid_div(smooth_weight(a, k), lucid_add(a->total, lucid_cast(none, a->dtype)));
    } else if (a->taps > 1) {
        t = lucid_clamp(lucid_sub(a->position, a->first), 0, 1);
        if (is_cubic)
            w = cubic(lucid_abs(lucid_sub_scalar(t, (double)(k - 1))), -0.75);
        else
            w = k ? t : lucid_sub_scalar(lucid_neg(t), -1);
    } else {
        return true;
    }
    *weight = w && a->dim == 2 ? lucid_unsqueeze(w, 1) : w;
    return w != NULL;
}

/* One dimension of x, or back. */
static lucid_tensor *along(axis *a, lucid_tensor *x, bool back)
{
    lucid_tensor *sum = NULL;
    const lucid_dim_attrs at = {.dim = a->dim, .size = a->in};
    if (!x || !prepare(a)) return NULL;
    for (int64_t k = 0; k < a->taps; k++) {
        lucid_tensor *source, *weight, *part = x;
        if (!tap(a, k, &source, &weight)) return NULL;
        if (back && weight) part = lucid_mul(part, weight);
        part = luc_apply2(back ? &luc_op_index_add : &luc_op_index_select, part, source, &at);
        if (!back && weight) part = lucid_mul(part, weight);
        sum = sum ? lucid_add(sum, part) : part;
    }
    return sum;
}

static bool compose(const lucid_call *c, lucid_tensor **out, bool back)
{
    axis h = axis_of(c, 0), w = axis_of(c, 1);
    const lucid_meta *m = &c->out[0];
    lucid_tensor *x = c->in[0];
    if (x->view.dtype != h.dtype) x = lucid_cast(x, h.dtype);
    lucid_tensor *y = along(&h, along(&w, x, back), back);
    if (y && y->view.dtype != m->dtype) y = lucid_cast(y, m->dtype);
    const bool last =
        !luc_is_contiguous(4, m->dims, m->strides) && luc_is_channels_last(4, m->dims, m->strides);
    out[0] = y ? lucid_contiguous(y, last ? LUCID_CHANNELS_LAST : LUCID_CONTIGUOUS) : NULL;
    return out[0] != NULL;
}

bool luc_interpolate_compose(const lucid_call *c, lucid_tensor **out)
{
    return compose(c, out, false);
}

bool luc_interpolate_backward_compose(const lucid_call *c, lucid_tensor **out)
{
    return compose(c, out, true);
}

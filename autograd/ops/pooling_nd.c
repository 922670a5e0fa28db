/* pooling_nd.c: pooling of one and three dimensions and adaptive maxima, with 2-d pooling. A window
 * is a product of intervals, so a volume is pooled along H and W, and the result along D. */
#include "autograd/ops/pooling_nd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

typedef struct job {
    const char *op;
    int n; /* dimensions after C */
    bool max, adaptive, indices, ceil_mode, include_pad;
    int64_t kernel[3], stride[3], padding[3], dilation[3], size[3], divisor;
} job;

static const lucid_pooled none = {NULL, NULL};

/* ---- arguments ------------------------------------------------------------------------------- */

/* The numbers of an extent for j->n dimensions. */
static bool numbers(const job *j, const char *argument, lucid_extent extent, int64_t *of)
{
    int64_t three[3];
    if (luc_extent_is_pair(extent) && j->n == 2) {
        lucid_extent_get(extent, of);
        return true;
    }
    const bool ok = (j->n == 3 || !luc_extent_is_triple(extent)) && lucid_triple_get(extent, three);
    for (int d = 0; d < j->n && ok; d++) of[d] = three[d];
    return ok ||
           luc_raise(LUCID_ERR_ARGUMENT, j->op, "%s: expected one number or %d", argument, j->n);
}

static bool window(job *j, lucid_extent kernel, lucid_extent stride, lucid_extent padding)
{
    if (stride == LUCID_KERNEL) stride = kernel;
    return numbers(j, "kernel", kernel, j->kernel) && numbers(j, "stride", stride, j->stride) &&
           numbers(j, "padding", padding, j->padding);
}

/* ---- images ---------------------------------------------------------------------------------- */

static lucid_tensor *reshaped(lucid_tensor *x, lucid_shape shape)
{
    return x ? lucid_reshape_opt(x, shape) : NULL;
}

/* The windows of an adaptive dimension as one list: K places for each output, of which the last
 * are repeated in a window that is shorter. NULL with *K = size / out where all are alike. */
static lucid_tensor *uneven(int64_t size, int64_t out, lucid_device device, int64_t *K)
{
    *K = size / out;
    if (size % out == 0) return NULL;
    *K = 0;
    for (int64_t o = 0; o < out; o++) {
        const int64_t begin = o * size / out, end = ((o + 1) * size + out - 1) / out;
        if (end - begin > *K) *K = end - begin;
    }
    lucid_tensor *list =
        lucid_empty_opt(LUCID_SHAPE(out * *K), LUC_WITH(lucid_tensor, .dtype = LUCID_I64));
    if (!list) return NULL;
    int64_t *at = list->view.data;
    for (int64_t o = 0; o < out; o++) {
        const int64_t begin = o * size / out, end = ((o + 1) * size + out - 1) / out;
        for (int64_t k = 0; k < *K; k++) *at++ = begin + k < end ? begin + k : end - 1;
    }
    return lucid_tensor_to(list, device);
}

static lucid_tensor *counted(int64_t n, double step, lucid_device device)
{
    return lucid_arange_opt(0, (double)n * step, step,
                            LUC_WITH(lucid_index, .dtype = LUCID_I64, .device = device));
}

/* The places in an image of width w, from those in an image of the listed rows and columns. */
static lucid_tensor *listed(lucid_tensor *index, lucid_tensor *rows, lucid_tensor *cols, int64_t h,
                            int64_t w)
{
    const lucid_device device = index->storage->device;
    if (!rows) rows = counted(h, 1, device);
    if (!cols) cols = counted(w, 1, device);
    if (!rows || !cols) return NULL;
    lucid_tensor *map = lucid_add(lucid_unsqueeze(lucid_mul_scalar(rows, (double)w), 1), cols);
    map = reshaped(map, LUCID_SHAPE(-1));
    lucid_tensor *flat = reshaped(index, LUCID_SHAPE(-1));
    return map && flat ? reshaped(lucid_index_select(map, 0, flat), lucid_tensor_shape(index))
                       : NULL;
}

static lucid_pooled max_image(const job *j, lucid_tensor *x, const lucid_pool2d_attrs *a)
{
    lucid_tensor *out[2];
    if (!x || !lucid_apply_multi(&luc_op_max_pool2d, &x, 1, a, out)) return none;
    const lucid_pooled p = {out[0], j->indices ? lucid_cast(out[1], LUCID_I64) : NULL};
    return p;
}

static lucid_pooled adaptive_max(const job *j, lucid_tensor *x, lucid_pool2d_attrs *a)
{
    const int64_t h = x->view.dims[2], w = x->view.dims[3];
    const lucid_device device = x->storage->device;
    lucid_tensor *rows = uneven(h, a->size[0], device, &a->kernel[0]);
    lucid_tensor *cols = uneven(w, a->size[1], device, &a->kernel[1]);
    for (int i = 0; i < 2; i++) a->stride[i] = a->kernel[i];
    if ((!rows && h % a->size[0]) || (!cols && w % a->size[1])) return none;
    if (rows) x = lucid_index_select(x, 2, rows);
    if (cols && x) x = lucid_index_select(x, 3, cols);
    lucid_pooled p = max_image(j, x, a);
    if (p.indices && (rows || cols)) p.indices = listed(p.indices, rows, cols, h, w);
    return p;
}

/* An image x [N,C,H,W] by dimensions h and w of the job; -1: this dimension stays as it is. */
static lucid_pooled image(const job *j, lucid_tensor *x, int h, int w, int64_t divisor)
{
    if (!x) return none;
    const int d[2] = {h, w};
    lucid_pool2d_attrs a = {.ceil_mode = j->ceil_mode,
                            .count_include_pad = j->include_pad,
                            .divisor = divisor,
                            .no_index = !j->indices &&
                                        (!lucid_requires_grad(x) || !lucid_is_grad_enabled())};
    for (int i = 0; i < 2; i++) {
        const bool stays = d[i] < 0;
        a.kernel[i] = stays ? 1 : j->kernel[d[i]];
        a.stride[i] = stays ? 1 : j->stride[d[i]];
        a.padding[i] = stays ? 0 : j->padding[d[i]];
        a.dilation[i] = stays || !j->max || j->adaptive ? 1 : j->dilation[d[i]];
        a.size[i] = stays || j->size[d[i]] == LUCID_KEEP ? x->view.dims[2 + i] : j->size[d[i]];
    }
    if (j->max) return j->adaptive ? adaptive_max(j, x, &a) : max_image(j, x, &a);
    const lucid_op *op = j->adaptive ? &luc_op_adaptive_avg_pool2d : &luc_op_avg_pool2d;
    return (lucid_pooled){luc_apply1(op, x, &a), NULL};
}

/* ---- volumes --------------------------------------------------------------------------------- */

/* The places in [D,H,W] of winners `second` among the planes of winners `first` [N,C,D,h w]. */
static lucid_tensor *places(lucid_tensor *first, lucid_tensor *second, double plane)
{
    const lucid_view *v = &first->view, *s = &second->view;
    lucid_tensor *depth = counted(v->dims[2], plane, first->storage->device);
    lucid_tensor *all = depth ? lucid_add(first, lucid_unsqueeze(depth, 1)) : NULL;
    all = reshaped(all, LUCID_SHAPE(v->dims[0], v->dims[1], v->dims[2] * v->dims[3]));
    lucid_tensor *flat =
        reshaped(second, LUCID_SHAPE(s->dims[0], s->dims[1], s->dims[2] * s->dims[3]));
    return all && flat ? reshaped(lucid_gather(all, 2, flat), lucid_tensor_shape(second)) : NULL;
}

/* Sums of a 16-bit dtype are kept in float32 between the two passes. */
static lucid_pooled volume(const job *j, lucid_tensor *x)
{
    const int64_t n = x->view.dims[0], c = x->view.dims[1], d = x->view.dims[2];
    const int64_t h = x->view.dims[3], w = x->view.dims[4];
    const lucid_dtype dtype = x->view.dtype;
    if (!j->max && lucid_dtype_size(dtype) == 2) x = lucid_cast(x, LUCID_F32);
    x = reshaped(x, LUCID_SHAPE(n, c * d, h, w));
    lucid_pooled first = image(j, x, 1, 2, j->divisor ? 1 : 0);
    if (!first.values) return none;
    const int64_t oh = first.values->view.dims[2], ow = first.values->view.dims[3];
    const lucid_shape planes = LUCID_SHAPE(n, c, d, oh * ow);
    lucid_pooled p = image(j, reshaped(first.values, planes), 0, -1, j->divisor);
    if (!p.values) return none;
    if (j->indices) {
        first.indices = reshaped(first.indices, planes);
        p.indices = first.indices ? places(first.indices, p.indices, (double)(h * w)) : NULL;
    }
    const lucid_shape shape = LUCID_SHAPE(n, c, p.values->view.dims[2], oh, ow);
    p.values = reshaped(p.values, shape);
    if (p.values && p.values->view.dtype != dtype) p.values = lucid_cast(p.values, dtype);
    if (j->indices) p.indices = reshaped(p.indices, shape);
    return p;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool check(const job *j, const lucid_tensor *x)
{
    static const char *const shapes[] = {"[N,C,L] or [C,L]", "[N,C,H,W] or [C,H,W]",
                                         "[N,C,D,H,W] or [C,D,H,W]"};
    const int ndim = x->view.ndim;
    if (ndim != j->n + 1 && ndim != j->n + 2)
        return luc_raise(LUCID_ERR_ARGUMENT, j->op, "x: expected %s, got %s", shapes[j->n - 1],
                         luc_shape_text(x).s);
    for (int d = 0; d < j->n && j->adaptive; d++) {
        const int64_t in = x->view.dims[ndim - j->n + d];
        if ((j->size[d] < 1 && j->size[d] != LUCID_KEEP) || j->size[d] > INT32_MAX)
            return luc_raise(LUCID_ERR_ARGUMENT, j->op,
                             "size: expected >= 1, or LUCID_KEEP, got %lld", (long long)j->size[d]);
        if (in < 1)
            return luc_raise(LUCID_ERR_ARGUMENT, j->op, "x: expected sizes >= 1 after C, got %s",
                             luc_shape_text(x).s);
    }
    return true;
}

static lucid_pooled pool(const job *j, lucid_tensor *x)
{
    if (!luc_given(x, j->op, "x") || !check(j, x)) return none;
    const bool single = x->view.ndim == j->n + 1;
    if (single) x = lucid_unsqueeze(x, 0);
    if (j->n == 1 && x) x = lucid_unsqueeze(x, 2);
    lucid_pooled p = !x          ? none
                     : j->n == 3 ? volume(j, x)
                     : j->n == 2 ? image(j, x, 0, 1, j->divisor)
                                 : image(j, x, -1, 0, j->divisor);
    lucid_tensor **const out[2] = {&p.values, &p.indices};
    for (int i = 0; i < 2; i++) {
        if (*out[i] && j->n == 1) *out[i] = lucid_squeeze(*out[i], 2);
        if (*out[i] && single) *out[i] = lucid_squeeze(*out[i], 0);
    }
    return p.values && (p.indices || !j->indices) ? p : none;
}

static lucid_pooled max_pool(const char *op, int n, lucid_tensor *x, lucid_extent kernel,
                             const lucid_max_pool2d_options *options, bool indices)
{
    LUC_CALLED_AS(op);
    const lucid_max_pool2d_options *o = LUC_OPTIONS(lucid_max_pool2d, options, op);
    if (!o) return none;
    job j = {.op = op, .n = n, .max = true, .indices = indices, .ceil_mode = o->ceil_mode};
    if (!window(&j, kernel, o->stride, o->padding) ||
        !numbers(&j, "dilation", o->dilation, j.dilation))
        return none;
    return pool(&j, x);
}

#define MAX_POOL(n)                                                                          \
    lucid_pooled lucid_max_pool##n##d_with_indices_opt(lucid_tensor *x, lucid_extent kernel, \
                                                       const lucid_max_pool2d_options *o)    \
    {                                                                                        \
        return max_pool("max_pool" #n "d", n, x, kernel, o, true);                           \
    }
MAX_POOL(1)
MAX_POOL(2)
MAX_POOL(3)

lucid_tensor *lucid_max_pool1d_opt(lucid_tensor *x, lucid_extent kernel,
                                   const lucid_max_pool2d_options *options)
{
    return max_pool("max_pool1d", 1, x, kernel, options, false).values;
}

lucid_tensor *lucid_max_pool3d_opt(lucid_tensor *x, lucid_extent kernel,
                                   const lucid_max_pool2d_options *options)
{
    return max_pool("max_pool3d", 3, x, kernel, options, false).values;
}

static lucid_tensor *avg_pool(const char *op, int n, lucid_tensor *x, lucid_extent kernel,
                              const lucid_avg_pool2d_options *options)
{
    LUC_CALLED_AS(op);
    const lucid_avg_pool2d_options *o = LUC_OPTIONS(lucid_avg_pool2d, options, op);
    if (!o) return NULL;
    job j = {.op = op,
             .n = n,
             .ceil_mode = o->ceil_mode,
             .include_pad = o->count_include_pad,
             .divisor = o->divisor_override};
    return window(&j, kernel, o->stride, o->padding) ? pool(&j, x).values : NULL;
}

lucid_tensor *lucid_avg_pool1d_opt(lucid_tensor *x, lucid_extent kernel,
                                   const lucid_avg_pool2d_options *options)
{
    return avg_pool("avg_pool1d", 1, x, kernel, options);
}

lucid_tensor *lucid_avg_pool3d_opt(lucid_tensor *x, lucid_extent kernel,
                                   const lucid_avg_pool2d_options *options)
{
    return avg_pool("avg_pool3d", 3, x, kernel, options);
}

static lucid_pooled adaptive(const char *op, int n, lucid_tensor *x, lucid_extent size, bool max,
                             bool indices)
{
    LUC_CALLED_AS(op);
    job j = {.op = op, .n = n, .max = max, .adaptive = true, .indices = indices};
    return numbers(&j, "size", size, j.size) ? pool(&j, x) : none;
}

lucid_tensor *lucid_adaptive_avg_pool1d(lucid_tensor *x, int64_t size)
{
    return adaptive("adaptive_avg_pool1d", 1, x, size, false, false).values;
}

lucid_tensor *lucid_adaptive_avg_pool3d_opt(lucid_tensor *x, lucid_extent size)
{
    return adaptive("adaptive_avg_pool3d", 3, x, size, false, false).values;
}

lucid_tensor *lucid_adaptive_max_pool1d(lucid_tensor *x, int64_t size)
{
    return adaptive("adaptive_max_pool1d", 1, x, size, true, false).values;
}

lucid_pooled lucid_adaptive_max_pool1d_with_indices(lucid_tensor *x, int64_t size)
{
    return adaptive("adaptive_max_pool1d", 1, x, size, true, true);
}

lucid_tensor *lucid_adaptive_max_pool2d_opt(lucid_tensor *x, lucid_extent size)
{
    return adaptive("adaptive_max_pool2d", 2, x, size, true, false).values;
}

lucid_pooled lucid_adaptive_max_pool2d_with_indices_opt(lucid_tensor *x, lucid_extent size)
{
    return adaptive("adaptive_max_pool2d", 2, x, size, true, true);
}

lucid_tensor *lucid_adaptive_max_pool3d_opt(lucid_tensor *x, lucid_extent size)
{
    return adaptive("adaptive_max_pool3d", 3, x, size, true, false).values;
}

lucid_pooled lucid_adaptive_max_pool3d_with_indices_opt(lucid_tensor *x, lucid_extent size)
{
    return adaptive("adaptive_max_pool3d", 3, x, size, true, true);
}

/* ---- means of powers ------------------------------------------------------------------------- */

static lucid_tensor *lp_pool(const char *op, int n, lucid_tensor *x, double p, lucid_extent kernel,
                             const lucid_lp_pool_options *options)
{
    LUC_CALLED_AS(op);
    const lucid_lp_pool_options *o = LUC_OPTIONS(lucid_lp_pool, options, op);
    job j = {.op = op, .n = n, .include_pad = true, .ceil_mode = o && o->ceil_mode};
    if (!o || !luc_given(x, op, "x") || !window(&j, kernel, o->stride, 0)) return NULL;
    if (p == 0 || isnan(p))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "norm_type: expected a number other than 0, "
                              "got %g",
                              p);
    double taps = 1;
    for (int d = 0; d < n; d++) taps *= (double)j.kernel[d];
    lucid_tensor *y = lucid_pow_scalar(x, p);
    y = y ? pool(&j, y).values : NULL;
    if (!y) return NULL;
    y = lucid_mul(lucid_sign(y), lucid_relu(lucid_abs(y)));
    return lucid_pow_scalar(lucid_mul_scalar(y, taps), 1 / p);
}

#define LP_POOL(n)                                                                                \
    lucid_tensor *lucid_lp_pool##n##d_opt(lucid_tensor *x, double norm_type, lucid_extent kernel, \
                                          const lucid_lp_pool_options *o)                         \
    {                                                                                             \
        return lp_pool("lp_pool" #n "d", n, x, norm_type, kernel, o);                             \
    }
LP_POOL(1)
LP_POOL(2)
LP_POOL(3)

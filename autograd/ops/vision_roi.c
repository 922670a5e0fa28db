/* vision_roi.c: regions of images as small images. Where the boxes lie is computed on the CPU; the
 * pixels are gathered as rows [C] of the image, so that the derivative is that of the operators. */
#include "autograd/ops/vision.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/numbers.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

enum { MOST_NUMBERS = 1 << 24 }; /* that are gathered at a time */

/* One call. */
typedef struct regions {
    const char *op;
    lucid_tensor *rows; /* x as [N H W, C] */
    int64_t n, c, h, w; /* of x */
    int64_t out_h, out_w;
    double scale;
    int64_t ratio;
    bool aligned;
    double *rois; /* [K,5], owned */
    int64_t k;
} regions;

static bool check(regions *r, lucid_tensor *x, lucid_tensor *rois, lucid_extent output)
{
    const char *op = r->op;
    if (!luc_given(x, op, "x") || !luc_given(rois, op, "rois")) return false;
    if (x->view.ndim != 4 || !lucid_dtype_is_floating(x->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected floating [N,C,H,W], got %s %s",
                         lucid_dtype_name(x->view.dtype), luc_shape_text(x).s);
    if (rois->view.ndim != 2 || rois->view.dims[1] != 5 ||
        !lucid_dtype_is_floating(rois->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "rois: expected floating [K,5], got %s %s",
                         lucid_dtype_name(rois->view.dtype), luc_shape_text(rois).s);
    int64_t size[2];
    lucid_extent_get(output, size);
    r->out_h = size[0], r->out_w = size[1];
    if (r->out_h < 1 || r->out_w < 1 || r->out_h > 4096 || r->out_w > 4096)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "output: expected sizes from 1 to 4096, got (%lld, %lld)",
                         (long long)r->out_h, (long long)r->out_w);
    if (!(r->scale > 0 && isfinite(r->scale)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "spatial_scale: expected more than 0, got %g",
                         r->scale);
    return true;
}

/* Reads the boxes and checks that they are numbers that can be computed with. */
static bool read_rois(regions *r, lucid_tensor *rois)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    r->k = rois->view.dims[0];
    rois = lucid_cast(rois, LUCID_F64);
    const size_t bytes = rois ? (size_t)rois->numel * sizeof(double) : 0;
    r->rois = rois ? luc_alloc(bytes, r->op) : NULL;
    if (!r->rois || !lucid_copy_to(rois, r->rois, bytes)) return false;
    for (int64_t i = 0; i < 5 * r->k; i++) {
        const double v = r->rois[i];
        const bool ok = i % 5 ? fabs(v) * r->scale < 1e6 : v >= 0 && v < (double)r->n;
        if (!ok)
            return luc_raise(LUCID_ERR_ARGUMENT, r->op,
                             i % 5 ? "rois: row %lld: expected coordinates below a million, got %g"
                                   : "rois: row %lld: expected an index in the batch, got %g",
                             (long long)(i / 5), v);
    }
    return true;
}

static bool begin(regions *r, lucid_tensor *x, lucid_tensor *rois, lucid_extent output)
{
    if (!check(r, x, rois, output)) return false;
    r->n = x->view.dims[0], r->c = x->view.dims[1];
    r->h = x->view.dims[2], r->w = x->view.dims[3];
    if (!read_rois(r, rois)) return false;
    r->rows = lucid_reshape_opt(lucid_permute_opt(x, LUCID_SHAPE(0, 2, 3, 1)),
                                LUCID_SHAPE(r->n * r->h * r->w, r->c));
    return r->rows != NULL;
}

/* Rows of all bins [K h w, C] as [K,C,h,w]. */
static lucid_tensor *finish(const regions *r, lucid_tensor *const *parts, size_t n)
{
    lucid_tensor *y = n == 1 ? parts[0] : lucid_cat(parts, n, 0);
    y = y ? lucid_reshape_opt(y, LUCID_SHAPE(r->k, r->out_h, r->out_w, r->c)) : NULL;
    return y ? lucid_contiguous(lucid_permute_opt(y, LUCID_SHAPE(0, 3, 1, 2)), LUCID_CONTIGUOUS)
             : NULL;
}

/* The result where there are no boxes or no pixels. */
static lucid_tensor *nothing(const regions *r, const lucid_tensor *x)
{
    const lucid_device device = lucid_tensor_device(x);
    const lucid_shape shape = LUCID_SHAPE(r->k, r->c, r->out_h, r->out_w);
    if (r->k) return lucid_zeros(shape, .dtype = x->view.dtype, .device = device);
    lucid_tensor *index = lucid_zeros(0, .dtype = LUCID_I64, .device = device);
    lucid_tensor *y = index ? lucid_index_select(r->rows, 0, index) : NULL;
    return y ? lucid_reshape_opt(y, shape) : NULL;
}

/* ---- roi_align ------------------------------------------------------------------------------- */

/* Where a box lies in x, and how many points each bin has. */
typedef struct region {
    double y, x, bin_h, bin_w;
    int64_t grid_h, grid_w;
} region;

static region place(const regions *r, int64_t i)
{
    const double *b = r->rois + 5 * i, shift = r->aligned ? 0.5 : 0;
    double w = (b[3] - b[1]) * r->scale, h = (b[4] - b[2]) * r->scale;
    if (!r->aligned) w = fmax(w, 1), h = fmax(h, 1);
    region g = {b[2] * r->scale - shift,
                b[1] * r->scale - shift,
                h / (double)r->out_h,
                w / (double)r->out_w,
                r->ratio,
                r->ratio};
    if (r->ratio <= 0) {
        g.grid_h = (int64_t)fmax(ceil(g.bin_h), 0);
        g.grid_w = (int64_t)fmax(ceil(g.bin_w), 0);
    }
    return g;
}

/* The two pixels around a coordinate, and their weights: both 0 where it is outside. */
static void neighbours(double at, int64_t size, int64_t index[2], double weight[2])
{
    weight[0] = weight[1] = 0;
    index[0] = index[1] = 0;
    if (at < -1 || at > (double)size) return;
    at = fmax(at, 0);
    index[0] = (int64_t)at;
    index[1] = index[0] + 1;
    if (index[1] >= size) {
        index[0] = index[1] = size - 1;
        at = (double)(size - 1);
    }
    weight[1] = at - (double)index[0];
    weight[0] = 1 - weight[1];
}

/* Writes the rows and weights of the points of one bin. */
static void fill_bin(const regions *r, const region *g, int64_t image, int64_t by, int64_t bx,
                     int64_t *rows, double *weights)
{
    const double count = (double)(g->grid_h * g->grid_w);
    for (int64_t iy = 0; iy < g->grid_h; iy++)
        for (int64_t ix = 0; ix < g->grid_w; ix++) {
            int64_t y[2], x[2];
            double wy[2], wx[2];
            neighbours(g->y + (double)by * g->bin_h +
                           ((double)iy + 0.5) * g->bin_h / (double)g->grid_h,
                       r->h, y, wy);
            neighbours(g->x + (double)bx * g->bin_w +
                           ((double)ix + 0.5) * g->bin_w / (double)g->grid_w,
                       r->w, x, wx);
            for (int k = 0; k < 4; k++) {
                *rows++ = (image * r->h + y[k / 2]) * r->w + x[k % 2];
                *weights++ = wy[k / 2] * wx[k % 2] / count;
            }
        }
}

/* The sums of weighted rows [B,S] as [B,C]. */
static lucid_tensor *weigh(const regions *r, int64_t bins, int64_t s, const int64_t *rows,
                           const double *weights)
{
    const lucid_device device = lucid_tensor_device(r->rows);
    lucid_tensor *index = lucid_from_data(LUCID_SHAPE(bins * s), rows, .device = device);
    lucid_tensor *w = lucid_from_data(LUCID_SHAPE(bins, 1, s), weights,
                                      .dtype = r->rows->view.dtype, .device = device);
    if (!index || !w) return NULL;
    lucid_tensor *pixels = lucid_index_select(r->rows, 0, index);
    pixels = pixels ? lucid_reshape_opt(pixels, LUCID_SHAPE(bins, s, r->c)) : NULL;
    lucid_tensor *y = pixels ? lucid_matmul(w, pixels) : NULL; /* [B,1,C] */
    return y ? lucid_reshape_opt(y, LUCID_SHAPE(bins, r->c)) : NULL;
}

/* The rows of boxes [from, to), which have the same numbers of points. */
static lucid_tensor *align(const regions *r, int64_t from, int64_t to)
{
    const region first = place(r, from);
    const int64_t s = 4 * first.grid_h * first.grid_w, bins = (to - from) * r->out_h * r->out_w;
    if (s == 0)
        return lucid_zeros(LUCID_SHAPE(bins, r->c), .dtype = r->rows->view.dtype,
                           .device = lucid_tensor_device(r->rows));
    int64_t *rows = luc_calloc((size_t)(bins * s), sizeof *rows, r->op), *at = rows;
    double *weights = rows ? luc_calloc((size_t)(bins * s), sizeof *weights, r->op) : NULL;
    double *w = weights;
    for (int64_t i = from; weights && i < to; i++) {
        const region g = place(r, i);
        for (int64_t b = 0; b < r->out_h * r->out_w; b++, at += s, w += s)
            fill_bin(r, &g, (int64_t)r->rois[5 * i], b / r->out_w, b % r->out_w, at, w);
    }
    lucid_tensor *y = weights ? weigh(r, bins, s, rows, weights) : NULL;
    luc_free(rows);
    luc_free(weights);
    return y;
}

/* The end of the boxes from `from` on that are gathered together. */
static int64_t group_end(const regions *r, int64_t from)
{
    const region g = place(r, from);
    const double numbers = 4.0 * (double)(g.grid_h * g.grid_w) * (double)(r->out_h * r->out_w) *
                           (double)(r->c > 1 ? r->c : 1);
    int64_t most = (int64_t)(MOST_NUMBERS / fmax(numbers, 1)), to = from + 1;
    for (; to < r->k && to - from < most; to++) {
        const region next = place(r, to);
        if (next.grid_h != g.grid_h || next.grid_w != g.grid_w) break;
    }
    return to;
}

lucid_tensor *lucid_roi_align_opt(lucid_tensor *x, lucid_tensor *rois, lucid_extent output,
                                  const lucid_roi_align_options *options)
{
    static const char op[] = "roi_align";
    LUC_CALLED_AS("roi_align");
    const lucid_roi_align_options *o = LUC_OPTIONS(lucid_roi_align, options, op);
    if (!o) return NULL;
    if (o->sampling_ratio > 1024)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "sampling_ratio: expected at most 1024, got %lld",
                              (long long)o->sampling_ratio);
    regions r = {
        .op = op, .scale = o->spatial_scale, .ratio = o->sampling_ratio, .aligned = o->aligned};
    lucid_tensor *y = NULL, **parts = NULL;
    size_t n = 0;
    if (begin(&r, x, rois, output)) {
        parts = luc_calloc((size_t)r.k, sizeof *parts, op);
        bool ok = parts != NULL;
        for (int64_t i = 0, to; ok && i < r.k && r.h && r.w; i = to) {
            to = group_end(&r, i);
            ok = (parts[n++] = align(&r, i, to)) != NULL;
        }
        if (ok) y = n ? finish(&r, parts, n) : nothing(&r, x);
    }
    luc_free(parts);
    luc_free(r.rois);
    return y;
}

/* ---- roi_pool -------------------------------------------------------------------------------- */

/* The pixels of a bin in one direction: bin b of `bins` in a box of `size` pixels from `start`. */
static void span(int64_t start, int64_t size, int64_t b, int64_t bins, int64_t limit, int64_t *from,
                 int64_t *to)
{
    const float bin = (float)size / (float)bins; /* borders are rounded as those of torchvision */
    int64_t a = (int64_t)floorf((float)b * bin) + start;
    int64_t z = (int64_t)ceilf((float)(b + 1) * bin) + start;
    *from = a < 0 ? 0 : a > limit ? limit : a;
    *to = z < 0 ? 0 : z > limit ? limit : z;
}

/* The largest of each bin's pixels: one box's bins [h w, C]. */
static lucid_tensor *pool(const regions *r, int64_t i)
{
    const double *b = r->rois + 5 * i;
    const int64_t x1 = (int64_t)round(b[1] * r->scale), y1 = (int64_t)round(b[2] * r->scale);
    const int64_t w = (int64_t)round(b[3] * r->scale) - x1 + 1;
    const int64_t h = (int64_t)round(b[4] * r->scale) - y1 + 1;
    const int64_t bins = r->out_h * r->out_w, image = (int64_t)b[0];
    int64_t y_from, y_to, x_from, x_to, s = 1;
    for (int64_t k = 0; k < bins; k++) {
        span(y1, h < 1 ? 1 : h, k / r->out_w, r->out_h, r->h, &y_from, &y_to);
        span(x1, w < 1 ? 1 : w, k % r->out_w, r->out_w, r->w, &x_from, &x_to);
        const int64_t pixels = (y_to - y_from) * (x_to - x_from);
        if (pixels > s) s = pixels;
    }
    int64_t *rows = luc_calloc((size_t)(bins * s), sizeof *rows, r->op);
    float *filled = rows ? luc_calloc((size_t)bins, sizeof *filled, r->op) : NULL;
    for (int64_t k = 0; filled && k < bins; k++) {
        span(y1, h < 1 ? 1 : h, k / r->out_w, r->out_h, r->h, &y_from, &y_to);
        span(x1, w < 1 ? 1 : w, k % r->out_w, r->out_w, r->w, &x_from, &x_to);
        int64_t n = 0, *at = rows + k * s;
        for (int64_t y = y_from; y < y_to; y++)
            for (int64_t x = x_from; x < x_to; x++) at[n++] = (image * r->h + y) * r->w + x;
        filled[k] = n > 0;
        for (; n > 0 && n < s; n++) at[n] = at[0]; /* the first again: the first maximum counts */
    }
    const lucid_device device = lucid_tensor_device(r->rows);
    lucid_tensor *y = NULL;
    if (filled) {
        lucid_tensor *index = lucid_from_data(LUCID_SHAPE(bins * s), rows, .device = device);
        lucid_tensor *mask = lucid_from_data(LUCID_SHAPE(bins, 1), filled,
                                             .dtype = r->rows->view.dtype, .device = device);
        lucid_tensor *p = lucid_index_select(r->rows, 0, index);
        p = p ? lucid_reshape_opt(p, LUCID_SHAPE(bins, s, r->c)) : NULL;
        lucid_tensor *best = p ? lucid_argmax(p, 1, .keepdim = true) : NULL;
        y = best ? lucid_reshape_opt(lucid_gather(p, 1, best), LUCID_SHAPE(bins, r->c)) : NULL;
        y = y ? lucid_where(lucid_ne(mask, 0), y, 0) : NULL;
    }
    luc_free(rows);
    luc_free(filled);
    return y;
}

lucid_tensor *lucid_roi_pool_opt(lucid_tensor *x, lucid_tensor *rois, lucid_extent output,
                                 const lucid_roi_pool_options *options)
{
    static const char op[] = "roi_pool";
    LUC_CALLED_AS("roi_pool");
    const lucid_roi_pool_options *o = LUC_OPTIONS(lucid_roi_pool, options, op);
    if (!o) return NULL;
    regions r = {.op = op, .scale = o->spatial_scale};
    lucid_tensor *y = NULL, **parts = NULL;
    if (begin(&r, x, rois, output)) {
        const bool any = r.k && r.h && r.w && r.c;
        parts = luc_calloc((size_t)r.k, sizeof *parts, op);
        bool ok = parts != NULL;
        for (int64_t i = 0; ok && any && i < r.k; i++) ok = (parts[i] = pool(&r, i)) != NULL;
        if (ok) y = any ? finish(&r, parts, (size_t)r.k) : nothing(&r, x);
    }
    luc_free(parts);
    luc_free(r.rois);
    return y;
}

/* resample.c: an image in other sizes, first along its rows, then along its columns.
 *
 * Each number that comes out is a weighted sum of a few that lie together. For bytes the weights
 * are whole numbers of 16 bits, and the result of the first step is bytes again, as in PyTorch and
 * Pillow. */
#include "lucid/data/transform_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 256, LANES = 8 };

/* How one direction is computed: number i is the sum over k < taps of weights[i * taps + k] times
 * the input at starts[i] + k. */
typedef struct axis {
    int64_t in, out, taps;
    int64_t *starts;
    float *weights;
    int16_t *whole; /* the weights times 2^shift, `room` numbers each, zeros at the end */
    int64_t room;   /* taps, up to a multiple of LANES */
    int shift;
} axis;

static void axis_free(axis *a)
{
    luc_free(a->starts);
    luc_free(a->weights);
    luc_free(a->whole);
    *a = (axis){0};
}

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* The weights of number i, and where they begin; there is room for `taps` of them. */
static void weigh_smooth(double *w, int64_t *start, int64_t i, const axis *a, lucid_resample how)
{
    const double scale = (double)a->in / (double)a->out, step = scale >= 1 ? 1 / scale : 1;
    const double support = (how == LUCID_RESAMPLE_BICUBIC ? 2 : 1) * (scale >= 1 ? scale : 1);
    const double center = scale * ((double)i + 0.5);
    int64_t begin = (int64_t)(center - support + 0.5), end = (int64_t)(center + support + 0.5);
    if (begin < 0 || center - support + 0.5 < 0) begin = 0;
    if (end > a->in) end = a->in;
    if (end - begin > a->taps) end = begin + a->taps;
    double sum = 0;
    for (int64_t k = 0; k < a->taps; k++) {
        double at = ((double)(k + begin) - center + 0.5) * step;
        w[k] = k >= end - begin                ? 0
               : how == LUCID_RESAMPLE_BICUBIC ? cubic(at, -0.5)
                                               : triangle(at);
        sum += w[k];
    }
    for (int64_t k = 0; k < a->taps; k++) w[k] = sum != 0 ? w[k] / sum : 0;
    *start = begin;
}

/* The same without smoothing: two or four neighbours. Those outside count as the last ones. */
static void weigh_plain(double *w, int64_t *start, int64_t i, const axis *a, lucid_resample how)
{
    const double scale = (double)a->in / (double)a->out;
    double at = scale * ((double)i + 0.5) - 0.5;
    const int64_t n = how == LUCID_RESAMPLE_BICUBIC ? 4 : 2;
    if (how == LUCID_RESAMPLE_BILINEAR && at < 0) at = 0;
    const int64_t first = (int64_t)floor(at) - (n == 4);
    int64_t begin = first < 0 ? 0 : first;
    if (begin + a->taps > a->in) begin = a->in - a->taps;
    memset(w, 0, (size_t)a->taps * sizeof *w);
    for (int64_t k = 0; k < n; k++) {
        int64_t from = first + k;
        double weight = n == 4 ? cubic((double)from - at, -0.75) : triangle((double)from - at);
        from = from < 0 ? 0 : from >= a->in ? a->in - 1 : from;
        w[from - begin] += weight;
    }
    *start = begin;
}

static void weigh_nearest(double *w, int64_t *start, int64_t i, const axis *a)
{
    const float scale = (float)a->in / (float)a->out;
    int64_t from = (int64_t)floorf((float)i * scale);
    w[0] = 1;
    *start = from < a->in ? from : a->in - 1;
}

static int64_t taps_of(int64_t in, int64_t out, lucid_resample how, bool antialias)
{
    if (how == LUCID_RESAMPLE_NEAREST) return 1;
    const double scale = (double)in / (double)out;
    const int64_t plain = how == LUCID_RESAMPLE_BICUBIC ? 4 : 2;
    int64_t taps = plain;
    if (antialias) taps = 2 * (int64_t)ceil((double)plain / 2 * (scale >= 1 ? scale : 1)) + 1;
    return taps < in ? taps : in;
}

/* Whole weights: as many bits as the largest one leaves room for in 16. */
static void make_whole(axis *a)
{
    double most = 0;
    const int64_t n = a->out * a->taps;
    for (int64_t i = 0; i < n; i++)
        if (a->weights[i] > most) most = (double)a->weights[i];
    for (a->shift = 0; a->shift < 22; a->shift++)
        if (0.5 + most * (double)(1 << (a->shift + 1)) >= 1 << 15) break;
    for (int64_t i = 0; i < n; i++) {
        double w = (double)a->weights[i] * (double)(1 << a->shift);
        a->whole[i / a->taps * a->room + i % a->taps] = (int16_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
}

static bool axis_make(axis *a, int64_t in, int64_t out, lucid_resample how, bool antialias,
                      const char *op)
{
    *a = (axis){.in = in, .out = out, .taps = taps_of(in, out, how, antialias)};
    a->room = (a->taps + LANES - 1) / LANES * LANES;
    size_t n;
    if (!luc_mul_size((size_t)out, (size_t)a->room, &n) || n > SIZE_MAX / 8) {
        luc_raise(LUCID_ERR_MEMORY, op, "out of memory: %lld pixels from %lld", (long long)out,
                  (long long)in);
        return false;
    }
    a->starts = luc_calloc((size_t)out, sizeof *a->starts, op);
    a->weights = a->starts ? luc_calloc(n, sizeof *a->weights, op) : NULL;
    a->whole = a->weights ? luc_calloc(n, sizeof *a->whole, op) : NULL;
    double *w = a->whole ? luc_calloc((size_t)a->taps, sizeof *w, op) : NULL;
    for (int64_t i = 0; w && i < out; i++) {
        if (how == LUCID_RESAMPLE_NEAREST)
            weigh_nearest(w, &a->starts[i], i, a);
        else if (antialias)
            weigh_smooth(w, &a->starts[i], i, a, how);
        else
            weigh_plain(w, &a->starts[i], i, a, how);
        if (a->starts[i] + a->taps > in) { /* the last weights are 0: move the window back */
            int64_t back = a->starts[i] + a->taps - in;
            memmove(w + back, w, (size_t)(a->taps - back) * sizeof *w);
            memset(w, 0, (size_t)back * sizeof *w);
            a->starts[i] -= back;
        }
        for (int64_t k = 0; k < a->taps; k++) a->weights[i * a->taps + k] = (float)w[k];
    }
    if (w) make_whole(a);
    luc_free(w);
    if (!w) axis_free(a);
    return w != NULL;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static inline uint8_t clip(int32_t sum, int shift)
{
    int32_t v = sum >> shift;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* GCC recognises the instruction only in a loop that it has not unrolled before. */
#if defined(__GNUC__) && !defined(__clang__)
#define KEEP_LOOP _Pragma("GCC unroll 1")
#else
#define KEEP_LOOP
#endif

/* A sum of LANES products, for which x86 has an instruction of its own. */
static inline int32_t dot(const int16_t *w, const int16_t *p)
{
    int32_t sum = 0;
    KEEP_LOOP
    for (int k = 0; k < LANES; k++) sum += w[k] * p[k];
    return sum;
}

/* Along the rows. `line` has room for a row and LANES zeros after it. */
static void across_u8(const axis *a, const uint8_t *from, int64_t stride, int64_t rows,
                      int16_t *line, uint8_t *to)
{
    const int32_t half = a->shift ? 1 << (a->shift - 1) : 0;
    memset(line + a->in, 0, LANES * sizeof *line);
    for (int64_t y = 0; y < rows; y++) {
        const uint8_t *row = from + y * stride;
        uint8_t *out = to + y * a->out;
        for (int64_t x = 0; x < a->in; x++) line[x] = row[x];
        for (int64_t x = 0; x < a->out; x++) {
            const int16_t *w = a->whole + x * a->room, *p = line + a->starts[x];
            int32_t sum = half + dot(w, p);
            for (int64_t k = LANES; k < a->room; k += LANES) sum += dot(w + k, p + k);
            out[x] = clip(sum, a->shift);
        }
    }
}

/* Along the columns: sums of whole rows, a chunk of columns at a time. */
static void down_u8(const axis *a, const uint8_t *from, int64_t stride, int64_t width, uint8_t *to)
{
    const int32_t half = a->shift ? 1 << (a->shift - 1) : 0;
    for (int64_t y = 0; y < a->out; y++)
        for (int64_t begin = 0; begin < width; begin += CHUNK) {
            int32_t sums[CHUNK];
            const int64_t n = width - begin < CHUNK ? width - begin : CHUNK;
            for (int64_t x = 0; x < n; x++) sums[x] = half;
            for (int64_t k = 0; k < a->taps; k++) {
                const int16_t w = a->whole[y * a->room + k];
                const uint8_t *row = from + (a->starts[y] + k) * stride + begin;
                for (int64_t x = 0; x < n; x++) sums[x] += w * (int16_t)row[x];
            }
            for (int64_t x = 0; x < n; x++) to[y * width + begin + x] = clip(sums[x], a->shift);
        }
}

/* ---- float ----------------------------------------------------------------------------------- */

static void across_f32(const axis *a, const float *from, int64_t stride, int64_t rows, float *to)
{
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < a->out; x++) {
            const float *w = a->weights + x * a->taps, *p = from + y * stride + a->starts[x];
            float sum = 0;
            for (int64_t k = 0; k < a->taps; k++) sum += w[k] * p[k];
            to[y * a->out + x] = sum;
        }
}

static void down_f32(const axis *a, const float *from, int64_t stride, int64_t width, float *to)
{
    for (int64_t y = 0; y < a->out; y++) {
        float *out = to + y * width;
        memset(out, 0, (size_t)width * sizeof *out);
        for (int64_t k = 0; k < a->taps; k++) {
            const float w = a->weights[y * a->taps + k];
            const float *row = from + (a->starts[y] + k) * stride;
            for (int64_t x = 0; x < width; x++) out[x] += w * row[x];
        }
    }
}

/* ---- both ------------------------------------------------------------------------------------ */

/* One channel; `line` is for across_u8, `between` has room for h rows of ow. A direction whose size
 * stays is left out. */
static void resize_plane(const axis *ax, const axis *ay, const void *from, int64_t stride,
                         lucid_dtype dtype, int16_t *line, void *between, void *to)
{
    const bool wide = ax->in != ax->out, high = ay->in != ay->out;
    const size_t size = lucid_dtype_size(dtype);
    if (wide) {
        void *out = high ? between : to;
        if (dtype == LUCID_U8)
            across_u8(ax, from, stride, ay->in, line, out);
        else
            across_f32(ax, from, stride, ay->in, out);
        from = between, stride = ax->out;
    }
    if (high && dtype == LUCID_U8) down_u8(ay, from, stride, ax->out, to);
    if (high && dtype == LUCID_F32) down_f32(ay, from, stride, ax->out, to);
    if (wide || high) return;
    for (int64_t y = 0; y < ay->out; y++)
        memcpy((char *)to + (size_t)(y * ax->out) * size,
               (const char *)from + (size_t)(y * stride) * size, (size_t)ax->out * size);
}

lucid_tensor *luc_resize(const luc_picture *p, int64_t top, int64_t left, int64_t h, int64_t w,
                         int64_t oh, int64_t ow, lucid_resample how, bool antialias, const char *op)
{
    axis ax = {0}, ay = {0};
    void *data, *between = NULL;
    const size_t size = lucid_dtype_size(p->dtype);
    if ((h < 1 || w < 1) && oh > 0 && ow > 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "image: expected one pixel at least each way, got %lldx%lld",
                              (long long)h, (long long)w);
    lucid_tensor *out = luc_picture_new(p->c, oh, ow, p->dtype, &data, op);
    if (!out || oh < 1 || ow < 1) return out;
    size_t bytes;
    bool ok =
        axis_make(&ax, w, ow, how, antialias, op) && axis_make(&ay, h, oh, how, antialias, op);
    if (ok && (!luc_mul_size((size_t)h, (size_t)ow, &bytes) || bytes > SIZE_MAX / size))
        ok = luc_raise(LUCID_ERR_MEMORY, op, "out of memory: %lld rows of %lld", (long long)h,
                       (long long)ow);
    /* The line lies before it, and takes a multiple of 16 bytes. */
    const size_t line = ((size_t)w + LANES + 7) / 8 * 16;
    if (ok) between = luc_alloc(line + bytes * size, op);
    for (int64_t k = 0; between && k < p->c; k++)
        resize_plane(
            &ax, &ay, (const char *)p->data + (size_t)((k * p->h + top) * p->w + left) * size, p->w,
            p->dtype, between, (char *)between + line, (char *)data + (size_t)(k * oh * ow) * size);
    ok = between != NULL;
    luc_free(between);
    axis_free(&ax);
    axis_free(&ay);
    return ok ? out : NULL;
}

/*
 * float64.c: convolution in double by matrix products, for images and weights of any strides.
 *
 * The windows of a chunk of output pixels are written out as a matrix [channel and tap][pixel], for
 * this chunk alone, and multiplied:
 *
 *     y[o][pixel] = w[o][tap] * windows[tap][pixel]
 *     dw[o][tap] = sum over chunks of dy[o][pixel] * windows[tap][pixel]
 *     windows[tap][pixel] = w[o][tap] * dy[o][pixel], added to dx where they were taken from
 *
 * Items of parallel work are chunks, or blocks of channels of an image, so that no two write to one
 * place; what they compute depends on the shape alone.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"

#include <string.h>

enum {
    WINDOWS = 1 << 17, /* numbers of a chunk's windows, about */
    LEAST_PIXELS = 32, /* of a chunk ... */
    MOST_PIXELS = 512, /* ... and the most; both multiples of STEP */
    STEP = 16,         /* a tile's columns */
    CHANNELS = 32,     /* input channels of an item of the input gradient */
    FILTERS = 64,      /* output channels of an item of the weight gradient */
    PARTS = 8,         /* of the images, in the weight gradient */
    LEAST_WORK = 4096, /* multiplications; with fewer the plain loops are used */
};
static const size_t MOST_PARTIAL = (size_t)16 << 20; /* bytes of the parts' results */

typedef struct {
    const luc_conv2d_params *p;
    luc_conv_pass pass;
    int64_t cg, og, taps, depth; /* of a group; of a channel; of an output */
    int64_t channels;            /* of the windows that are written at a time */
    int64_t filters;             /* that are multiplied with them */
    int64_t pixels, chunks;      /* of a chunk; of an image */
    int64_t parts;
    bool y_planes; /* y's planes are dense, so they are read in place ... */
    bool y_sums;   /* ... and written in place, if nothing follows the sums */
    bool x_planes; /* x's planes are dense, and are the windows of a 1x1 kernel */
    size_t w_bytes, partial_bytes, window_bytes, image_bytes, gemm_bytes;
    const double *x, *w, *dy;
    double *out;
    const luc_conv_epilogue *then;
    double *partial;
    char *scratch;
} plan;

static luc_gemm_params product(const plan *g, int64_t filters, int64_t channels, int64_t pixels)
{
    const int64_t rows = channels * g->taps;
    switch (g->pass) {
    case LUC_CONV_FORWARD:
        return luc_gemm_plain(filters, pixels, rows, false, false);
    case LUC_CONV_GRAD_INPUT:
        return luc_gemm_plain(rows, pixels, filters, true, false);
    default:
        return luc_gemm_plain(filters, rows, pixels, false, true);
    }
}

static bool are_planes(int64_t h, int64_t w, const int64_t *stride)
{
    return (w <= 1 || stride[3] == 1) && (h <= 1 || stride[2] == w);
}

static void set_plan(plan *g)
{
    const luc_conv2d_params *p = g->p;
    const bool input = g->pass == LUC_CONV_GRAD_INPUT, weight = g->pass == LUC_CONV_GRAD_WEIGHT;
    g->cg = p->c / p->groups, g->og = p->o / p->groups;
    g->taps = p->kh * p->kw, g->depth = g->cg * g->taps;
    g->y_planes = are_planes(p->oh, p->ow, p->y_stride);
    const luc_conv_epilogue *then = g->then;
    g->y_sums =
        g->y_planes && (!then || (!then->scale && !then->shift && !then->residual && !then->relu));
    g->x_planes = g->taps == 1 && p->h == p->oh && p->w == p->ow && p->pad_h == 0 &&
                  p->pad_w == 0 && are_planes(p->h, p->w, p->x_stride);
    g->channels = input ? luc_min64(g->cg, CHANNELS) : g->cg;
    g->filters = weight ? luc_min64(g->og, FILTERS) : g->og;
    const int64_t most = WINDOWS / (g->channels * g->taps) / STEP * STEP;
    g->pixels = luc_min64(luc_max64(most, LEAST_PIXELS), MOST_PIXELS);
    g->chunks = luc_ceil_div(p->oh * p->ow, g->pixels);
    const size_t result = luc_round64((size_t)(p->o * g->depth) * sizeof(double));
    g->w_bytes = weight ? 0 : result;
    g->parts = luc_min64(PARTS, (int64_t)(MOST_PARTIAL / result));
    g->parts = luc_max64(luc_min64(g->parts, p->n), 1);
    g->partial_bytes = weight ? result * (size_t)g->parts : 0;
    const size_t pixel = (size_t)g->pixels * sizeof(double);
    g->window_bytes = luc_round64((size_t)(g->channels * g->taps) * pixel);
    g->image_bytes = luc_round64((size_t)g->filters * pixel);
    const luc_gemm_params whole = product(g, g->filters, g->channels, g->pixels);
    g->gemm_bytes = luc_round64(luc_gemm_get()->scratch_f64(&whole));
}

static size_t thread_bytes(const plan *g)
{
    return g->window_bytes + g->image_bytes + g->gemm_bytes;
}

bool luc_conv_f64_fits(const luc_conv2d_params *p)
{
    const int64_t outputs = p->n * p->o * p->oh * p->ow;
    return outputs > 0 && p->h > 0 && p->w > 0 &&
           outputs * (p->c / p->groups) * p->kh * p->kw >= LEAST_WORK;
}

size_t luc_conv_f64_bytes(const luc_conv2d_params *p, luc_conv_pass pass, int threads)
{
    plan g = {.p = p, .pass = pass};
    set_plan(&g);
    return g.w_bytes + g.partial_bytes + thread_bytes(&g) * (size_t)threads;
}

/* ---- windows and images --------------------------------------------------------------------- */

/* Pixels [begin, begin + count) of an output plane of image n. */
typedef struct {
    int64_t n, begin, count;
} chunk;

static chunk chunk_at(const plan *g, int64_t n, int64_t i)
{
    chunk k = {.n = n, .begin = i * g->pixels};
    k.count = luc_min64(g->pixels, g->p->oh * g->p->ow - k.begin);
    return k;
}

/* Outputs [at, at + count) of output row i. Those from `first` to `last` read x through tap (r, s),
   from column `col` of row h on. */
typedef struct {
    int64_t at, count, first, last, h, col;
} run;

static run run_at(const luc_conv2d_params *p, int64_t pixel, int64_t end, int64_t r, int64_t s)
{
    const int64_t i = pixel / p->ow, j = pixel % p->ow, offset = s * p->dilation_w - p->pad_w;
    run q = {.at = j, .count = luc_min64(p->ow - j, end - pixel)};
    luc_valid_range(p->ow, p->stride_w, offset, p->w, &q.first, &q.last);
    q.first = luc_min64(luc_max64(q.first, j), j + q.count);
    q.last = luc_max64(luc_min64(q.last, j + q.count), q.first);
    q.h = i * p->stride_h - p->pad_h + r * p->dilation_h;
    if (q.h < 0 || q.h >= p->h) q.last = q.first;
    q.col = q.first * p->stride_w + offset;
    return q;
}

/* Writes the windows of channels [c, c + count); with `back` it adds their numbers to dx. */
static void move_windows(const plan *g, const chunk *k, int64_t c, int64_t count, double *windows,
                         bool back)
{
    const luc_conv2d_params *p = g->p;
    const int64_t step = p->stride_w * p->x_stride[3], end = k->begin + k->count;
    for (int64_t t = 0; t < count * g->taps; t++) {
        const int64_t r = t % g->taps / p->kw, s = t % p->kw;
        const int64_t plane = k->n * p->x_stride[0] + (c + t / g->taps) * p->x_stride[1];
        double *to = windows + t * k->count;
        for (int64_t pixel = k->begin; pixel < end;) {
            const run q = run_at(p, pixel, end, r, s);
            const int64_t from = plane + q.h * p->x_stride[2] + q.col * p->x_stride[3];
            const int64_t before = q.first - q.at, n = q.last - q.first;
            if (back) {
                double *dx = g->out + from;
                for (int64_t j = 0; j < n; j++) dx[j * step] += to[before + j];
            } else {
                const double *x = g->x + from;
                for (int64_t j = 0; j < before; j++) to[j] = 0;
                for (int64_t j = 0; j < n; j++) to[before + j] = x[j * step];
                for (int64_t j = before + n; j < q.count; j++) to[j] = 0;
            }
            to += q.count, pixel += q.count;
        }
    }
}

/* Where pixel `pixel` lies in a plane of y. */
static int64_t place(const luc_conv2d_params *p, int64_t pixel)
{
    return pixel / p->ow * p->y_stride[2] + pixel % p->ow * p->y_stride[3];
}

/* Channel o of a chunk of y. */
static int64_t y_at(const luc_conv2d_params *p, const chunk *k, int64_t o)
{
    return k->n * p->y_stride[0] + o * p->y_stride[1] + place(p, k->begin);
}

/* dy's channels [o, o + count) as [channel][pixel]: in place, or a copy. *ld: the distance of
   channels. */
static const double *take_dy(const plan *g, const chunk *k, int64_t o, int64_t count, double *to,
                             int64_t *ld)
{
    const luc_conv2d_params *p = g->p;
    *ld = p->y_stride[1];
    if (g->y_planes) return g->dy + y_at(p, k, o);
    *ld = k->count;
    for (int64_t i = 0; i < k->count; i++) {
        const double *dy =
            g->dy + k->n * p->y_stride[0] + o * p->y_stride[1] + place(p, k->begin + i);
        for (int64_t a = 0; a < count; a++) to[a * k->count + i] = dy[a * p->y_stride[1]];
    }
    return to;
}

/* Stores sum i of a chunk's channel a, after what follows it, in y. */
static inline void finish_sum(const luc_conv_epilogue *then, double sum, int64_t channel,
                              int64_t at, double *y)
{
    if (then->scale) sum *= ((const double *)then->scale)[channel];
    if (then->shift) sum += ((const double *)then->shift)[channel];
    if (then->residual) sum += ((const double *)then->residual)[at];
    y[at] = then->relu && sum < 0 ? 0 : sum;
}

static void finish_y(const plan *g, const chunk *k, int64_t o, const double *from)
{
    const luc_conv2d_params *p = g->p;
    const luc_conv_epilogue none = {0}, *then = g->then ? g->then : &none;
    for (int64_t a = 0; a < g->og && g->y_planes; a++) {
        const int64_t at = y_at(p, k, o + a);
        for (int64_t i = 0; i < k->count; i++)
            finish_sum(then, from[a * k->count + i], o + a, at + i, g->out);
    }
    for (int64_t i = 0; i < k->count && !g->y_planes; i++) {
        const int64_t at = k->n * p->y_stride[0] + o * p->y_stride[1] + place(p, k->begin + i);
        for (int64_t a = 0; a < g->og; a++)
            finish_sum(then, from[a * k->count + i], o + a, at + a * p->y_stride[1], g->out);
    }
}

/* ---- the three passes ----------------------------------------------------------------------- */

/* A thread's own memory. */
typedef struct {
    double *windows, *image;
    char *gemm;
} memory;

static memory memory_of(const plan *g, int thread)
{
    char *at = g->scratch + (size_t)thread * thread_bytes(g);
    return (memory){.windows = (double *)(void *)at,
                    .image = (double *)(void *)(at + g->window_bytes),
                    .gemm = at + g->window_bytes + g->image_bytes};
}

/* The windows of a group's channels from c on: planes in place, or written out. *ld: the distance
   of rows. */
static const double *take_windows(const plan *g, const chunk *k, int64_t c, double *to, int64_t *ld)
{
    *ld = g->p->x_stride[1];
    if (g->x_planes) return g->x + k->n * g->p->x_stride[0] + c * g->p->x_stride[1] + k->begin;
    *ld = k->count;
    move_windows(g, k, c, g->cg, to, false);
    return to;
}

/* Items: chunks of the groups of all images. */
static void forward_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const memory m = memory_of(g, thread);
    (void)end;
    const int64_t image = begin / g->chunks, group = image % g->p->groups;
    const chunk k = chunk_at(g, image / g->p->groups, begin % g->chunks);
    luc_gemm_params q = product(g, g->og, g->cg, k.count);
    const double *windows = take_windows(g, &k, group * g->cg, m.windows, &q.ldb);
    double *to = m.image;
    if (g->y_sums) to = g->out + y_at(g->p, &k, group * g->og), q.ldc = g->p->y_stride[1];
    luc_gemm(&q, LUC_GEMM_F64, g->w + group * g->og * g->depth, windows, to, NULL, m.gemm,
             g->gemm_bytes);
    if (!g->y_sums) finish_y(g, &k, group * g->og, to);
}

/* Items: blocks of input channels of the groups of all images. */
static void grad_input_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const memory m = memory_of(g, thread);
    (void)end;
    const int64_t blocks = luc_ceil_div(g->cg, g->channels), image = begin / blocks;
    const int64_t n = image / p->groups, group = image % p->groups;
    const int64_t c = begin % blocks * g->channels, count = luc_min64(g->channels, g->cg - c);
    double *dx = g->out + n * p->x_stride[0] + (group * g->cg + c) * p->x_stride[1];
    for (int64_t a = 0; a < count && !g->x_planes; a++)
        for (int64_t i = 0; i < p->h * p->w; i++)
            dx[a * p->x_stride[1] + i / p->w * p->x_stride[2] + i % p->w * p->x_stride[3]] = 0;
    for (int64_t i = 0; i < g->chunks; i++) {
        const chunk k = chunk_at(g, n, i);
        luc_gemm_params q = product(g, g->og, count, k.count);
        q.lda = g->depth;
        const double *dy = take_dy(g, &k, group * g->og, g->og, m.image, &q.ldb);
        if (g->x_planes) q.ldc = p->x_stride[1];
        luc_gemm(&q, LUC_GEMM_F64, g->w + group * g->og * g->depth + c * g->taps, dy,
                 g->x_planes ? dx + k.begin : m.windows, NULL, m.gemm, g->gemm_bytes);
        if (!g->x_planes) move_windows(g, &k, group * g->cg + c, count, m.windows, true);
    }
}

/* Items: blocks of filters of the groups, in parts of the images. */
static void grad_weight_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const memory m = memory_of(g, thread);
    (void)end;
    const int64_t blocks = luc_ceil_div(g->og, g->filters), sets = p->groups * blocks;
    const int64_t part = begin / sets, group = begin % sets / blocks;
    const int64_t o = begin % blocks * g->filters, count = luc_min64(g->filters, g->og - o);
    const size_t whole = g->partial_bytes / sizeof(double) / (size_t)g->parts;
    double *to = g->partial + (size_t)part * whole + (group * g->og + o) * g->depth;
    memset(to, 0, sizeof(double) * (size_t)(count * g->depth));
    for (int64_t n = p->n * part / g->parts; n < p->n * (part + 1) / g->parts; n++)
        for (int64_t i = 0; i < g->chunks; i++) {
            const chunk k = chunk_at(g, n, i);
            luc_gemm_params q = product(g, count, g->cg, k.count);
            q.beta = 1;
            const double *windows = take_windows(g, &k, group * g->cg, m.windows, &q.ldb);
            const double *dy = take_dy(g, &k, group * g->og + o, count, m.image, &q.lda);
            luc_gemm(&q, LUC_GEMM_F64, dy, windows, to, NULL, m.gemm, g->gemm_bytes);
        }
}

/* Items are filters: adds the parts in order, to the places in dw. */
static void gather(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const size_t whole = g->partial_bytes / sizeof(double) / (size_t)g->parts;
    (void)thread;
    for (int64_t i = begin * g->depth; i < end * g->depth; i++) {
        double sum = g->partial[i];
        for (int64_t part = 1; part < g->parts; part++) sum += g->partial[(size_t)part * whole + i];
        const int64_t o = i / g->depth, c = i % g->depth / g->taps, t = i % g->taps;
        g->out[o * p->w_stride[0] + c * p->w_stride[1] + t / p->kw * p->w_stride[2] +
               t % p->kw * p->w_stride[3]] = sum;
    }
}

/* The weights as [o][channel][tap]. */
static const double *take_weights(const plan *g, const double *w, double *to)
{
    const int64_t *s = g->p->w_stride;
    for (int64_t i = 0; i < g->p->o * g->depth; i++) {
        const int64_t o = i / g->depth, c = i % g->depth / g->taps, t = i % g->taps;
        to[i] = w[o * s[0] + c * s[1] + t / g->p->kw * s[2] + t % g->p->kw * s[3]];
    }
    return to;
}

/* The workspace's parts. */
static void begin_pass(plan *g, char *workspace)
{
    set_plan(g);
    g->partial = (double *)(void *)workspace;
    g->scratch = workspace + g->w_bytes + g->partial_bytes;
}

void luc_conv_f64_forward(const luc_conv2d_params *p, const double *x, const double *w,
                          const luc_conv_epilogue *then, double *y, char *workspace, int threads)
{
    plan g = {.p = p, .pass = LUC_CONV_FORWARD, .x = x, .then = then, .out = y};
    begin_pass(&g, workspace);
    g.w = take_weights(&g, w, (double *)(void *)workspace);
    luc_parallel_for_max(p->n * p->groups * g.chunks, 1, threads, forward_item, &g);
}

void luc_conv_f64_grad_input(const luc_conv2d_params *p, const double *dy, const double *w,
                             double *dx, char *workspace, int threads)
{
    plan g = {.p = p, .pass = LUC_CONV_GRAD_INPUT, .dy = dy, .out = dx};
    begin_pass(&g, workspace);
    g.w = take_weights(&g, w, (double *)(void *)workspace);
    luc_parallel_for_max(p->n * p->groups * luc_ceil_div(g.cg, g.channels), 1, threads,
                         grad_input_item, &g);
}

void luc_conv_f64_grad_weight(const luc_conv2d_params *p, const double *x, const double *dy,
                              double *dw, char *workspace, int threads)
{
    plan g = {.p = p, .pass = LUC_CONV_GRAD_WEIGHT, .x = x, .dy = dy, .out = dw};
    begin_pass(&g, workspace);
    luc_parallel_for_max(g.parts * p->groups * luc_ceil_div(g.og, g.filters), 1, threads,
                         grad_weight_item, &g);
    luc_parallel_for(p->o, 1 + (1 << 14) / g.depth, gather, &g);
}

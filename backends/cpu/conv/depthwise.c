/* depthwise.c: convolutions with one filter for each channel (groups = c = o) over
 * channels_last images; compiled for each level.
 *
 * A vector holds channels of one pixel. Forward and the input gradient are the same walk, as in
 * direct.c: it takes a row of destination pixels, a vector of channels at a time, and
 * keeps several neighbouring pixels in registers while it goes through the taps. */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"

enum {
    PARTS = 32, /* of the weight gradient; they do not depend on the threads */
    PIXELS = 8, /* in registers together */
    TAPS = 3,   /* of the weight gradient, in each direction, in registers together */
};

/* ---- forward and input gradient -------------------------------------------------------------- */

typedef struct {
    const luc_conv2d_params *p;
    int64_t rows, cols, step_r, step_c; /* the destination's grid, its steps in the source */
    luc_conv_taps r, c;
    int64_t src_rows, src_cols, src_n, src_r, src_c;
    int64_t dst_at, dst_n, dst_r, dst_c;
    const float *src, *w; /* w as [kernel row][kernel column][channel] */
    float *dst;
    luc_conv_then then;
    int64_t inner_begin, inner_end; /* columns whose pixels touch every tap */
    bool threes;                    /* walk_inner_3 applies */
} walk;

/* The part of the walk that is one destination row: its valid taps, addresses. */
typedef struct {
    const walk *g;
    const float *image;
    float *to;
    int64_t row, r_first, r_last; /* the grid row; the taps that lie in the image */
    int64_t channel, n;           /* the vector of channels */
} line;

/* What is done to the sums of a line. */
typedef struct {
    vf scale, shift;
    const float *residual; /* of the pixel where the destination begins, or NULL */
    bool relu;
} finish;

LUC_INLINE finish begin_finish(const line *l)
{
    const luc_conv_then *then = &l->g->then;
    return (finish){
        .scale = then->scale ? vf_load_n(then->scale + l->channel, l->n) : vf_set1(1),
        .shift = then->shift ? vf_load_n(then->shift + l->channel, l->n) : vf_set1(-0.0F),
        .residual = then->residual,
        .relu = then->relu,
    };
}

/* The sum of pixel q from `to` on, in the form in which it is stored. */
LUC_INLINE vf finished(const finish *f, const line *l, const float *to, int64_t q, vf sum)
{
    sum = vf_fma(sum, f->scale, f->shift);
    if (f->residual)
        sum = vf_add(sum, vf_load_n(f->residual + (to - l->g->dst) + q * l->g->dst_c, l->n));
    return f->relu ? vf_max(vf_zero(), sum) : sum;
}

/* Pixels [j, j + count) of a line through taps [first, last) of the columns. */
LUC_INLINE void walk_pixels(const line *l, int64_t j, const int count, int64_t first, int64_t last)
{
    const walk *g = l->g;
    const int64_t step = g->step_c * g->src_c, n = l->n, taps = last - first;
    const int64_t x_tap = g->c.step * g->src_c, x_row = g->r.step * g->src_r - taps * x_tap;
    const int64_t w_tap = g->c.kernel_step * g->p->c;
    const int64_t w_row = g->r.kernel_step * g->p->kw * g->p->c - taps * w_tap;
    const int64_t row = l->row * g->step_r + g->r.first + l->r_first * g->r.step;
    const int64_t col = j * g->step_c + g->c.first + first * g->c.step;
    const int64_t kernel_row = g->r.kernel_first + l->r_first * g->r.kernel_step;
    const int64_t kernel_col = g->c.kernel_first + first * g->c.kernel_step;
    const float *x = l->image + row * g->src_r + col * g->src_c + l->channel;
    const float *w = g->w + (kernel_row * g->p->kw + kernel_col) * g->p->c + l->channel;
    vf sum[PIXELS];
#pragma GCC unroll 8
    for (int q = 0; q < count; q++) sum[q] = vf_zero();
    for (int64_t r = l->r_first; r < l->r_last; r++, x += x_row, w += w_row)
        for (int64_t s = 0; s < taps; s++, x += x_tap, w += w_tap) {
            const vf tap = vf_load_n(w, n);
#pragma GCC unroll 8
            for (int q = 0; q < count; q++)
                sum[q] = vf_fma(vf_load_n(x + q * step, n), tap, sum[q]);
        }
    const finish f = begin_finish(l);
    float *to = l->to + j * g->dst_c + l->channel;
    const int64_t dst_c = g->dst_c;
#pragma GCC unroll 8
    for (int q = 0; q < count; q++) vf_store_n(to + q * dst_c, finished(&f, l, to, q, sum[q]), n);
}

/* Pixels [begin, end), which all touch every tap. The last block overlaps the one before it. */
LUC_INLINE void walk_inner(const line *l, int64_t begin, int64_t end, const int count)
{
    for (int64_t j = begin; j < end; j += count)
        walk_pixels(l, luc_min64(j, end - count), count, 0, l->g->c.count);
}

/* The same for three columns of taps that are as far apart as the pixels, so that neighbours share
   loads. */
LUC_INLINE void walk_inner_3(const line *l, int64_t begin, int64_t end)
{
    const walk *g = l->g;
    const int64_t step = g->step_c * g->src_c, src_row = g->r.step * g->src_r, dst_c = g->dst_c,
                  n = l->n;
    const int64_t w_tap = g->c.kernel_step * g->p->c;
    const int64_t w_row = g->r.kernel_step * g->p->kw * g->p->c;
    const int64_t row = l->row * g->step_r + g->r.first + l->r_first * g->r.step;
    const int64_t kernel_row = g->r.kernel_first + l->r_first * g->r.kernel_step;
    const float *image = l->image + row * g->src_r + g->c.first * g->src_c + l->channel;
    const float *kernel = g->w + (kernel_row * g->p->kw + g->c.kernel_first) * g->p->c + l->channel;
    const finish f = begin_finish(l);
    for (int64_t at = begin; at < end; at += PIXELS) {
        const int64_t j = luc_min64(at, end - PIXELS);
        const float *x = image + j * step, *w = kernel;
        vf sum[PIXELS];
#pragma GCC unroll 8
        for (int q = 0; q < PIXELS; q++) sum[q] = vf_zero();
        for (int64_t r = l->r_first; r < l->r_last; r++, x += src_row, w += w_row) {
            const vf w0 = vf_load_n(w, n), w1 = vf_load_n(w + w_tap, n);
            const vf w2 = vf_load_n(w + 2 * w_tap, n);
            vf a = vf_load_n(x, n), b = vf_load_n(x + step, n);
            const float *next = x + 2 * step;
#pragma GCC unroll 8
            for (int q = 0; q < PIXELS; q++, next += step) {
                const vf c = vf_load_n(next, n);
                sum[q] = vf_fma(c, w2, vf_fma(b, w1, vf_fma(a, w0, sum[q])));
                a = b, b = c;
            }
        }
        float *to = l->to + j * dst_c + l->channel;
#pragma GCC unroll 8
        for (int q = 0; q < PIXELS; q++)
            vf_store_n(to + q * dst_c, finished(&f, l, to, q, sum[q]), n);
    }
}

/* Pixels [begin, end), one at a time. */
LUC_INLINE void walk_edge(const line *l, int64_t begin, int64_t end)
{
    const walk *g = l->g;
    for (int64_t j = begin; j < end; j++) {
        int64_t first, last;
        luc_valid_range(g->c.count, g->c.step, j * g->step_c + g->c.first, g->src_cols, &first,
                        &last);
        walk_pixels(l, j, 1, first, last);
    }
}

/* One vector of channels of a line. */
LUC_INLINE void walk_channels(const line *l)
{
    const int64_t begin = l->g->inner_begin, end = l->g->inner_end;
    walk_edge(l, 0, begin);
    if (end - begin >= PIXELS && l->g->threes)
        walk_inner_3(l, begin, end);
    else if (end - begin >= PIXELS)
        walk_inner(l, begin, end, PIXELS);
    else if (end - begin >= PIXELS / 2)
        walk_inner(l, begin, end, PIXELS / 2);
    else
        walk_edge(l, begin, end);
    walk_edge(l, end, l->g->cols);
}

/* The columns whose pixels touch every tap. */
static void find_inner(walk *g)
{
    const int64_t last_tap = (g->c.count - 1) * g->c.step;
    int64_t unused;
    g->threes = g->c.count == 3 && g->c.step == g->step_c;
    luc_valid_range(g->cols, g->step_c, g->c.first, g->src_cols, &g->inner_begin, &unused);
    luc_valid_range(g->cols, g->step_c, g->c.first + last_tap, g->src_cols, &unused, &g->inner_end);
    if (g->inner_end < g->inner_begin) g->inner_end = g->inner_begin;
}

/* The data lie whole vectors apart, so that their loads need no mask. */
static void walk_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const walk *g = ctx;
    const int64_t channels = g->p->c;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        line l = {.g = g, .row = i % g->rows, .n = LUC_VF};
        l.image = g->src + i / g->rows * g->src_n;
        l.to = g->dst + g->dst_at + i / g->rows * g->dst_n + l.row * g->dst_r;
        luc_valid_range(g->r.count, g->r.step, l.row * g->step_r + g->r.first, g->src_rows,
                        &l.r_first, &l.r_last);
        for (; l.channel + LUC_VF <= channels; l.channel += LUC_VF) {
            l.n = LUC_VF;
            walk_channels(&l);
        }
        l.n = channels - l.channel;
        if (l.n > 0) walk_channels(&l);
    }
}

static size_t weight_bytes(const luc_conv2d_params *p)
{
    return luc_round64((size_t)(p->kh * p->kw * p->c) * sizeof(float));
}

static void pack_weights(const luc_conv2d_params *p, const float *w, float *packed)
{
    for (int64_t r = 0; r < p->kh; r++)
        for (int64_t s = 0; s < p->kw; s++)
            for (int64_t c = 0; c < p->c; c++)
                *packed++ = w[c * p->w_stride[0] + r * p->w_stride[2] + s * p->w_stride[3]];
}

static void conv_depthwise_forward(const luc_conv2d_params *p, const float *x, const float *w,
                                   const luc_conv_then *then, float *y, char *workspace)
{
    walk g = {.p = p, .rows = p->oh, .cols = p->ow, .step_r = p->stride_h, .step_c = p->stride_w};
    g.r = luc_conv_forward_taps(p->kh, p->pad_h, p->dilation_h);
    g.c = luc_conv_forward_taps(p->kw, p->pad_w, p->dilation_w);
    g.src_rows = p->h, g.src_cols = p->w;
    g.src_n = p->x_stride[0], g.src_r = p->x_stride[2], g.src_c = p->x_stride[3];
    g.dst_n = p->y_stride[0], g.dst_r = p->y_stride[2], g.dst_c = p->y_stride[3];
    g.src = x, g.dst = y, g.then = *then;
    float *packed = (float *)(void *)workspace;
    pack_weights(p, w, packed);
    g.w = packed;
    find_inner(&g);
    luc_parallel_for(p->n * g.rows, 4, walk_rows, &g);
}

static void conv_depthwise_grad_input(const luc_conv2d_params *p, const float *dy, const float *w,
                                      float *dx, char *workspace)
{
    float *packed = (float *)(void *)workspace;
    pack_weights(p, w, packed);
    for (int64_t i = 0; i < p->stride_h; i++)
        for (int64_t j = 0; j < p->stride_w; j++) {
            walk g = {.p = p, .step_r = 1, .step_c = 1, .src = dy, .w = packed, .dst = dx};
            g.rows = luc_ceil_div(luc_max64(p->h - i, 0), p->stride_h);
            g.cols = luc_ceil_div(luc_max64(p->w - j, 0), p->stride_w);
            g.r = luc_conv_backward_taps(p->kh, p->pad_h, p->dilation_h, p->stride_h, i);
            g.c = luc_conv_backward_taps(p->kw, p->pad_w, p->dilation_w, p->stride_w, j);
            g.src_rows = p->oh, g.src_cols = p->ow;
            g.src_n = p->y_stride[0], g.src_r = p->y_stride[2], g.src_c = p->y_stride[3];
            g.dst_at = i * p->x_stride[2] + j * p->x_stride[3], g.dst_n = p->x_stride[0];
            g.dst_r = p->x_stride[2] * p->stride_h, g.dst_c = p->x_stride[3] * p->stride_w;
            find_inner(&g);
            luc_parallel_for(p->n * g.rows, 4, walk_rows, &g);
        }
}

/* ---- weight gradient ------------------------------------------------------------------------- */

typedef struct {
    const luc_conv2d_params *p;
    const float *x, *dy;
    float *partial; /* [part][tap][channel] */
    int64_t parts;
} sums;

static int64_t parts_of(const luc_conv2d_params *p)
{
    return luc_max64(1, luc_min64(PARTS, p->n * p->oh));
}

static size_t conv_depthwise_bytes(const luc_conv2d_params *p, luc_conv_pass pass)
{
    return weight_bytes(p) * (size_t)(pass == LUC_CONV_GRAD_WEIGHT ? parts_of(p) : 1);
}

/* One row of outputs, n channels; x has the rows that the kernel's rows read. */
typedef struct {
    const luc_conv2d_params *p;
    const float *x[TAPS], *dy; /* where output 0 reads tap 0 in x */
    float *sum[TAPS];          /* of the kernel's rows */
    int64_t n;
} sum_line;

/* Outputs [first, last) of a row through tap s only, for `rows` kernel rows. */
LUC_INLINE void sum_tap(const sum_line *l, int rows, int64_t s, int64_t first, int64_t last)
{
    const luc_conv2d_params *p = l->p;
    const int64_t step = p->stride_w * p->x_stride[3], tap = s * p->dilation_w * p->x_stride[3];
    if (first >= last) return;
    for (int r = 0; r < rows; r++) {
        vf sum = vf_load_n(l->sum[r] + s * p->c, l->n);
        for (int64_t j = first; j < last; j++)
            sum = vf_fma(vf_load_n(l->x[r] + j * step + tap, l->n),
                         vf_load_n(l->dy + j * p->y_stride[3], l->n), sum);
        vf_store_n(l->sum[r] + s * p->c, sum, l->n);
    }
}

/* Outputs [first, last) of a row through three neighbouring taps of `rows` kernel rows: nine sums
   in registers. */
LUC_INLINE void sum_three(const sum_line *l, const int rows, int64_t s, int64_t first, int64_t last)
{
    const luc_conv2d_params *p = l->p;
    const int64_t step = p->stride_w * p->x_stride[3], tap = p->dilation_w * p->x_stride[3];
    const int64_t n = l->n, at = first * step + s * tap, next = p->y_stride[3];
    const float *x0 = l->x[0] + at, *x1 = rows > 1 ? l->x[1] + at : x0;
    const float *x2 = rows > 2 ? l->x[2] + at : x0, *dy = l->dy + first * next;
    vf a0 = vf_zero(), a1 = a0, a2 = a0, b0 = a0, b1 = a0, b2 = a0, c0 = a0, c1 = a0, c2 = a0;
    for (int64_t j = first; j < last; j++) {
        const vf g = vf_load_n(dy, n);
        a0 = vf_fma(vf_load_n(x0, n), g, a0);
        a1 = vf_fma(vf_load_n(x0 + tap, n), g, a1);
        a2 = vf_fma(vf_load_n(x0 + 2 * tap, n), g, a2);
        if (rows > 1) {
            b0 = vf_fma(vf_load_n(x1, n), g, b0);
            b1 = vf_fma(vf_load_n(x1 + tap, n), g, b1);
            b2 = vf_fma(vf_load_n(x1 + 2 * tap, n), g, b2);
        }
        if (rows > 2) {
            c0 = vf_fma(vf_load_n(x2, n), g, c0);
            c1 = vf_fma(vf_load_n(x2 + tap, n), g, c1);
            c2 = vf_fma(vf_load_n(x2 + 2 * tap, n), g, c2);
        }
        x0 += step, x1 += step, x2 += step, dy += next;
    }
    const vf totals[9] = {a0, a1, a2, b0, b1, b2, c0, c1, c2};
#pragma GCC unroll 9
    for (int i = 0; i < 3 * rows; i++) {
        float *to = l->sum[i / 3] + (s + i % 3) * p->c;
        vf_store_n(to, vf_add(vf_load_n(to, n), totals[i]), n);
    }
}

/* One row of outputs through `rows` rows of the kernel. */
LUC_INLINE void sum_rows(const sum_line *l, const int rows)
{
    const luc_conv2d_params *p = l->p;
    int64_t s = 0, first[3], last[3];
    for (; s + 3 <= p->kw; s += 3) {
        int64_t begin = 0, end = p->ow;
        for (int t = 0; t < 3; t++) {
            luc_valid_range(p->ow, p->stride_w, (s + t) * p->dilation_w - p->pad_w, p->w, &first[t],
                            &last[t]);
            begin = luc_max64(begin, first[t]);
            end = luc_min64(end, last[t]);
        }
        if (end < begin) begin = end = p->ow; /* no outputs in common */
        for (int t = 0; t < 3; t++) sum_tap(l, rows, s + t, first[t], luc_min64(last[t], begin));
        sum_three(l, rows, s, begin, end);
        for (int t = 0; t < 3; t++) sum_tap(l, rows, s + t, luc_max64(first[t], end), last[t]);
    }
    for (; s < p->kw; s++) {
        luc_valid_range(p->ow, p->stride_w, s * p->dilation_w - p->pad_w, p->w, first, last);
        sum_tap(l, rows, s, first[0], last[0]);
    }
}

/* One row of outputs. It takes the kernel's rows three at a time, as far as they lie in the
   image. */
LUC_INLINE void sum_channels(const sums *g, int64_t row, float *sum, int64_t c, int64_t n)
{
    const luc_conv2d_params *p = g->p;
    const int64_t top = row % p->oh * p->stride_h - p->pad_h;
    const float *image = g->x + row / p->oh * p->x_stride[0] - p->pad_w * p->x_stride[3] + c;
    sum_line l = {.p = p, .n = n};
    l.dy = g->dy + row / p->oh * p->y_stride[0] + row % p->oh * p->y_stride[2] + c;
    int rows = 0;
    for (int64_t r = 0; r < p->kh; r++) {
        const int64_t h = top + r * p->dilation_h;
        if (h >= 0 && h < p->h) {
            l.x[rows] = image + h * p->x_stride[2];
            l.sum[rows++] = sum + r * p->kw * p->c + c;
        }
        if (rows == TAPS) {
            sum_rows(&l, TAPS);
            rows = 0;
        }
    }
    if (rows == 1) sum_rows(&l, 1);
    if (rows == 2) sum_rows(&l, 2);
}

/* The usual 3x3 kernel, row by row together with its neighbours, with at most one pixel of
   border. */
static bool is_plain_3x3(const luc_conv2d_params *p)
{
    return p->kh == 3 && p->kw == 3 && p->stride_h == 1 && p->stride_w == 1 && p->dilation_h == 1 &&
           p->dilation_w == 1 && p->pad_w <= 1 && p->ow == p->w + 2 * p->pad_w - 2 && p->ow > 1;
}

/* Two rows of outputs, n channels, of a plain 3x3 kernel, if all rows of their windows lie in the
   image. The last two pixels of an image row stay in registers, so each is loaded once for both
   rows. */
LUC_INLINE void sum_pair(const sums *g, int64_t row, float *sum, int64_t channel, int64_t n)
{
    const luc_conv2d_params *p = g->p;
    const int64_t step = p->x_stride[3], next = p->y_stride[3], pitch = p->x_stride[2];
    const float *x0 =
        g->x + row / p->oh * p->x_stride[0] + channel + (row % p->oh - p->pad_h) * pitch;
    const float *x1 = x0 + pitch, *x2 = x1 + pitch, *x3 = x2 + pitch;
    const float *dy0 =
        g->dy + row / p->oh * p->y_stride[0] + row % p->oh * p->y_stride[2] + channel;
    const float *dy1 = dy0 + p->y_stride[2];
    vf k00 = vf_zero(), k01 = k00, k02 = k00, k10 = k00, k11 = k00, k12 = k00, k20 = k00, k21 = k00;
    vf k22 = k00, a0 = vf_load_n(x0, n), b0 = vf_load_n(x1, n), c0 = vf_load_n(x2, n);
    vf d0 = vf_load_n(x3, n), a1 = vf_load_n(x0 + step, n), b1 = vf_load_n(x1 + step, n);
    vf c1 = vf_load_n(x2 + step, n), d1 = vf_load_n(x3 + step, n);
    /* A column of taps, with the pixels that it reads. */
#define COLUMN(s, a, b, c, d)                                                              \
    k0##s = vf_fma(a, u, k0##s), k0##s = vf_fma(b, v, k0##s), k1##s = vf_fma(b, u, k1##s), \
    k1##s = vf_fma(c, v, k1##s), k2##s = vf_fma(c, u, k2##s), k2##s = vf_fma(d, v, k2##s)
    x0 += 2 * step, x1 += 2 * step, x2 += 2 * step, x3 += 2 * step;
    if (p->pad_w == 1) { /* the left taps of the first output read padding */
        const vf u = vf_load_n(dy0, n), v = vf_load_n(dy1, n);
        COLUMN(1, a0, b0, c0, d0);
        COLUMN(2, a1, b1, c1, d1);
        dy0 += next, dy1 += next;
    }
    for (int64_t j = 2 * p->pad_w; j < p->ow; j++) {
        const vf u = vf_load_n(dy0, n), v = vf_load_n(dy1, n);
        const vf a2 = vf_load_n(x0, n), b2 = vf_load_n(x1, n), c2 = vf_load_n(x2, n);
        const vf d2 = vf_load_n(x3, n);
        COLUMN(0, a0, b0, c0, d0);
        COLUMN(1, a1, b1, c1, d1);
        COLUMN(2, a2, b2, c2, d2);
        a0 = a1, a1 = a2, b0 = b1, b1 = b2, c0 = c1, c1 = c2, d0 = d1, d1 = d2;
        x0 += step, x1 += step, x2 += step, x3 += step, dy0 += next, dy1 += next;
    }
    if (p->pad_w == 1) {
        const vf u = vf_load_n(dy0, n), v = vf_load_n(dy1, n);
        COLUMN(0, a0, b0, c0, d0);
        COLUMN(1, a1, b1, c1, d1);
    }
#undef COLUMN
    const vf totals[9] = {k00, k01, k02, k10, k11, k12, k20, k21, k22};
#pragma GCC unroll 9
    for (int i = 0; i < 9; i++) {
        float *to = sum + i * p->c + channel;
        vf_store_n(to, vf_add(vf_load_n(to, n), totals[i]), n);
    }
}

/* Whether output row `row` and the next one belong to one image and read no padding above or
   below. */
static bool is_pair(const luc_conv2d_params *p, int64_t row)
{
    const int64_t top = row % p->oh - p->pad_h;
    return row % p->oh + 1 < p->oh && top >= 0 && top + 3 < p->h;
}

/* One part of the output rows, into its own partial result. */
static void sum_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const sums *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t rows = p->n * p->oh, last_row = rows * (begin + 1) / g->parts;
    const bool plain = is_plain_3x3(p);
    float *sum = g->partial + begin * p->kh * p->kw * p->c;
    (void)thread, (void)end;
    memset(sum, 0, sizeof(float) * (size_t)(p->kh * p->kw * p->c));
    for (int64_t row = rows * begin / g->parts; row < last_row; row++) {
        int64_t c = 0;
        if (plain && row + 1 < last_row && is_pair(p, row)) {
            for (; c + LUC_VF <= p->c; c += LUC_VF) sum_pair(g, row, sum, c, LUC_VF);
            if (c < p->c) sum_pair(g, row, sum, c, p->c - c);
            row++;
            continue;
        }
        for (; c + LUC_VF <= p->c; c += LUC_VF) sum_channels(g, row, sum, c, LUC_VF);
        if (c < p->c) sum_channels(g, row, sum, c, p->c - c);
    }
}

static void conv_depthwise_grad_weight(const luc_conv2d_params *p, const float *x, const float *dy,
                                       float *dw, char *workspace)
{
    sums g = {.p = p, .x = x, .dy = dy, .partial = (float *)(void *)workspace};
    g.parts = parts_of(p);
    luc_parallel_for(g.parts, 1, sum_part, &g);
    const int64_t size = p->kh * p->kw * p->c;
    for (int64_t tap = 0; tap < p->kh * p->kw; tap++)
        for (int64_t c = 0; c < p->c; c++) {
            double sum = 0;
            for (int64_t part = 0; part < g.parts; part++)
                sum += (double)g.partial[part * size + tap * p->c + c];
            dw[c * p->w_stride[0] + tap / p->kw * p->w_stride[2] + tap % p->kw * p->w_stride[3]] =
                (float)sum;
        }
}

LUC_LEVEL_TABLE(luc_conv_depthwise_table, luc_conv_depthwise) = {
    .bytes = conv_depthwise_bytes,
    .forward = conv_depthwise_forward,
    .grad_input = conv_depthwise_grad_input,
    .grad_weight = conv_depthwise_grad_weight,
};

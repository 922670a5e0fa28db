/*
 * conv_depthwise_kernel.c: one filter a channel (groups = c = o) over channels_last images,
 * compiled once per CPU level.
 *
 * A vector holds so many channels of one pixel. Forward and input gradient are the same walk, as
 * in conv_window_kernel.c: a row of destination pixels, a vector of channels at a time, several
 * neighbouring pixels in registers while the taps go by.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/parallel.h"
#include "backends/cpu/simd.h"

enum {
    PARTS = 32, /* of the weight gradient; they do not depend on the threads */
    PIXELS = 8, /* in registers together */
    TAPS = 4,   /* of the weight gradient in registers together */
};

/* ---- forward and input gradient -------------------------------------------------------------- */

typedef struct {
    const luc_conv2d_params *p;
    int64_t rows, cols, step_r, step_c; /* the destination's grid, its steps in the source */
    luc_conv_taps r, c;
    int64_t src_rows, src_cols, src_n, src_r, src_c;
    int64_t dst_at, dst_n, dst_r, dst_c;
    const float *src, *w, *bias; /* w as [kernel row][kernel column][channel] */
    float *dst;
    bool relu;
    int64_t inner_begin, inner_end; /* columns whose pixels see every tap */
    bool threes;                    /* walk_inner_3 applies */
} walk;

/* The part of the walk that is one destination row: its valid taps, addresses. */
typedef struct {
    const walk *g;
    const float *image;
    float *to;
    int64_t row, r_first, r_last; /* grid row; taps that lie in the image */
    int64_t channel, n;           /* the vector of channels */
} line;

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
    const vf start = g->bias ? vf_load_n(g->bias + l->channel, n) : vf_zero();
    vf sum[PIXELS];
#pragma GCC unroll 8
    for (int q = 0; q < count; q++) sum[q] = start;
    for (int64_t r = l->r_first; r < l->r_last; r++, x += x_row, w += w_row)
        for (int64_t s = 0; s < taps; s++, x += x_tap, w += w_tap) {
            const vf tap = vf_load_n(w, n);
#pragma GCC unroll 8
            for (int q = 0; q < count; q++)
                sum[q] = vf_fma(vf_load_n(x + q * step, n), tap, sum[q]);
        }
    float *to = l->to + j * g->dst_c + l->channel;
    const int64_t dst_c = g->dst_c;
    const bool relu = g->relu;
#pragma GCC unroll 8
    for (int q = 0; q < count; q++) {
        if (relu) sum[q] = vf_max(vf_zero(), sum[q]);
        vf_store_n(to + q * dst_c, sum[q], n);
    }
}

/* Pixels [begin, end), all of which see every tap; the last block overlaps the one before it. */
LUC_INLINE void walk_inner(const line *l, int64_t begin, int64_t end, const int count)
{
    for (int64_t j = begin; j < end; j += count)
        walk_pixels(l, luc_min64(j, end - count), count, 0, l->g->c.count);
}

/* The same for three columns of taps at the distance of the pixels: neighbours share loads. */
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
    const vf start = g->bias ? vf_load_n(g->bias + l->channel, n) : vf_zero();
    for (int64_t at = begin; at < end; at += PIXELS) {
        const int64_t j = luc_min64(at, end - PIXELS);
        const float *x = image + j * step, *w = kernel;
        vf sum[PIXELS];
#pragma GCC unroll 8
        for (int q = 0; q < PIXELS; q++) sum[q] = start;
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
        for (int q = 0; q < PIXELS; q++) {
            if (g->relu) sum[q] = vf_max(vf_zero(), sum[q]);
            vf_store_n(to + q * dst_c, sum[q], n);
        }
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

/* The columns whose pixels see every tap. */
static void find_inner(walk *g)
{
    const int64_t last_tap = (g->c.count - 1) * g->c.step;
    int64_t unused;
    g->threes = g->c.count == 3 && g->c.step == g->step_c;
    luc_valid_range(g->cols, g->step_c, g->c.first, g->src_cols, &g->inner_begin, &unused);
    luc_valid_range(g->cols, g->step_c, g->c.first + last_tap, g->src_cols, &unused, &g->inner_end);
    if (g->inner_end < g->inner_begin) g->inner_end = g->inner_begin;
}

/* Whole vectors apart, so that their loads need no mask. */
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
                                   const float *bias, float *y, char *workspace)
{
    walk g = {.p = p, .rows = p->oh, .cols = p->ow, .step_r = p->stride_h, .step_c = p->stride_w};
    g.r = luc_conv_forward_taps(p->kh, p->pad_h, p->dilation_h);
    g.c = luc_conv_forward_taps(p->kw, p->pad_w, p->dilation_w);
    g.src_rows = p->h, g.src_cols = p->w;
    g.src_n = p->x_stride[0], g.src_r = p->x_stride[2], g.src_c = p->x_stride[3];
    g.dst_n = p->y_stride[0], g.dst_r = p->y_stride[2], g.dst_c = p->y_stride[3];
    g.src = x, g.bias = bias, g.dst = y, g.relu = p->relu;
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

/* Outputs [first, last) of one row through `count` neighbouring taps: sum[t] += x * dy for n
   channels. x is where output 0 sees the first of the taps. */
LUC_INLINE void sum_taps(const luc_conv2d_params *p, const float *x, const float *dy, int64_t first,
                         int64_t last, const int count, int64_t n, float *sum)
{
    const int64_t step = p->stride_w * p->x_stride[3], tap = p->dilation_w * p->x_stride[3];
    vf s[TAPS];
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) s[t] = vf_load_n(sum + t * p->c, n);
    x += first * step, dy += first * p->y_stride[3];
    for (int64_t j = first; j < last; j++, x += step, dy += p->y_stride[3]) {
        const vf g = vf_load_n(dy, n);
#pragma GCC unroll 4
        for (int t = 0; t < count; t++) s[t] = vf_fma(vf_load_n(x + t * tap, n), g, s[t]);
    }
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) vf_store_n(sum + t * p->c, s[t], n);
}

/* One row of outputs through one row of the kernel, n channels. x is where output 0 sees tap 0. */
LUC_INLINE void sum_row(const luc_conv2d_params *p, const float *x, const float *dy, int64_t n,
                        float *sum)
{
    const int64_t tap = p->dilation_w * p->x_stride[3];
    for (int64_t s = 0; s < p->kw; s += TAPS) {
        const int64_t taps = luc_min64(TAPS, p->kw - s);
        int64_t first[TAPS], last[TAPS], inner_first = 0, inner_last = p->ow;
        for (int64_t t = 0; t < taps; t++) {
            luc_valid_range(p->ow, p->stride_w, (s + t) * p->dilation_w - p->pad_w, p->w, &first[t],
                            &last[t]);
            inner_first = luc_max64(inner_first, first[t]);
            inner_last = luc_min64(inner_last, last[t]);
        }
        const float *from = x + s * tap;
        float *to = sum + s * p->c;
        if (inner_last < inner_first) inner_last = inner_first = p->ow; /* no common outputs */
        for (int64_t t = 0; t < taps; t++) {
            const int64_t end = luc_min64(last[t], inner_first);
            if (first[t] < end) sum_taps(p, from + t * tap, dy, first[t], end, 1, n, to + t * p->c);
        }
        if (taps == TAPS)
            sum_taps(p, from, dy, inner_first, inner_last, TAPS, n, to);
        else if (taps == 3)
            sum_taps(p, from, dy, inner_first, inner_last, 3, n, to);
        else
            for (int64_t t = 0; t < taps; t++)
                sum_taps(p, from + t * tap, dy, inner_first, inner_last, 1, n, to + t * p->c);
        for (int64_t t = 0; t < taps; t++) {
            const int64_t begin = luc_max64(first[t], inner_last);
            if (begin < last[t])
                sum_taps(p, from + t * tap, dy, begin, last[t], 1, n, to + t * p->c);
        }
    }
}

/* One part of the output rows, into its own partial result. */
static void sum_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const sums *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t rows = p->n * p->oh, last_row = rows * (begin + 1) / g->parts;
    float *sum = g->partial + begin * p->kh * p->kw * p->c;
    (void)thread, (void)end;
    memset(sum, 0, sizeof(float) * (size_t)(p->kh * p->kw * p->c));
    for (int64_t row = rows * begin / g->parts; row < last_row; row++) {
        const int64_t n = row / p->oh, i = row % p->oh;
        const float *dy = g->dy + n * p->y_stride[0] + i * p->y_stride[2];
        for (int64_t r = 0; r < p->kh; r++) {
            const int64_t h = i * p->stride_h - p->pad_h + r * p->dilation_h;
            if (h < 0 || h >= p->h) continue;
            const float *x = g->x + n * p->x_stride[0] + h * p->x_stride[2];
            float *to = sum + r * p->kw * p->c;
            x -= p->pad_w * p->x_stride[3];
            int64_t c = 0;
            for (; c + LUC_VF <= p->c; c += LUC_VF) sum_row(p, x + c, dy + c, LUC_VF, to + c);
            if (c < p->c) sum_row(p, x + c, dy + c, p->c - c, to + c);
        }
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

const luc_conv_depthwise_table LUC_LEVEL_NAME(luc_conv_depthwise) = {
    .bytes = conv_depthwise_bytes,
    .forward = conv_depthwise_forward,
    .grad_input = conv_depthwise_grad_input,
    .grad_weight = conv_depthwise_grad_weight,
};

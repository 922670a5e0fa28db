/*
 * conv_depthwise_kernel.c: one filter a channel (groups = c = o) over channels_last images, compiled
 * once per CPU level. A vector is so many channels of one pixel; there is nothing to share but
 * the weights, [tap][channel], so the pixels of a row are walked with a few in registers.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/parallel.h"
#include "backends/cpu/simd.h"

enum { PARTS = 32 }; /* of the weight gradient; they do not depend on the threads */

typedef struct {
    const luc_conv2d_params *p;
    const float *from, *w, *bias, *dy;
    float *to, *partial;
    int64_t parts;
} depthwise;

static size_t weight_bytes(const luc_conv2d_params *p)
{
    return luc_round64((size_t)(p->kh * p->kw * p->c) * sizeof(float));
}

static int64_t parts_of(const luc_conv2d_params *p)
{
    return luc_max64(1, luc_min64(PARTS, p->n * p->oh));
}

static size_t conv_depthwise_bytes(const luc_conv2d_params *p, luc_conv_pass pass)
{
    return weight_bytes(p) * (size_t)(pass == LUC_CONV_GRAD_WEIGHT ? parts_of(p) : 1);
}

static void pack_weights(const luc_conv2d_params *p, const float *w, float *packed)
{
    for (int64_t r = 0; r < p->kh; r++)
        for (int64_t s = 0; s < p->kw; s++)
            for (int64_t c = 0; c < p->c; c++)
                *packed++ = w[c * p->w_stride[0] + r * p->w_stride[2] + s * p->w_stride[3]];
}

/* The kernel's taps whose source `at + tap * dilation` lies in [0, size): [*first, *last). */
static void valid_taps(int64_t taps, int64_t at, int64_t dilation, int64_t size, int64_t *first,
                       int64_t *last)
{
    luc_valid_range(taps, dilation, at, size, first, last);
}

/* n channels (at most a vector) of one output pixel. */
LUC_INLINE void forward_pixel(const depthwise *g, const float *image, int64_t top, int64_t left,
                              int64_t r0, int64_t r1, int64_t s0, int64_t s1, int64_t c, int64_t n,
                              float *to)
{
    const luc_conv2d_params *p = g->p;
    vf sum = g->bias ? vf_load_n(g->bias + c, n) : vf_zero();
    for (int64_t r = r0; r < r1; r++) {
        const float *x = image + (top + r * p->dilation_h) * p->x_stride[2] +
                         (left + s0 * p->dilation_w) * p->x_stride[3] + c;
        const float *w = g->w + (r * p->kw + s0) * p->c + c;
        for (int64_t s = s0; s < s1; s++, x += p->dilation_w * p->x_stride[3], w += p->c)
            sum = vf_fma(vf_load_n(x, n), vf_load_n(w, n), sum);
    }
    if (p->relu) sum = vf_max(vf_zero(), sum);
    vf_store_n(to + c, sum, n);
}

/* Blocks of output rows over all images. */
static void forward_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const depthwise *g = ctx;
    const luc_conv2d_params *p = g->p;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / p->oh, i = row % p->oh, top = i * p->stride_h - p->pad_h;
        const float *image = g->from + n * p->x_stride[0];
        float *to = g->to + n * p->y_stride[0] + i * p->y_stride[2];
        int64_t r0, r1, s0, s1;
        valid_taps(p->kh, top, p->dilation_h, p->h, &r0, &r1);
        for (int64_t j = 0; j < p->ow; j++, to += p->y_stride[3]) {
            const int64_t left = j * p->stride_w - p->pad_w;
            valid_taps(p->kw, left, p->dilation_w, p->w, &s0, &s1);
            int64_t c = 0;
            for (; c + LUC_VF <= p->c; c += LUC_VF)
                forward_pixel(g, image, top, left, r0, r1, s0, s1, c, LUC_VF, to);
            if (c < p->c) forward_pixel(g, image, top, left, r0, r1, s0, s1, c, p->c - c, to);
        }
    }
}

static void conv_depthwise_forward(const luc_conv2d_params *p, const float *x, const float *w,
                                   const float *bias, float *y, char *workspace)
{
    depthwise g = {.p = p, .from = x, .w = (float *)(void *)workspace, .bias = bias, .to = y};
    pack_weights(p, w, (float *)(void *)workspace);
    luc_parallel_for(p->n * p->oh, 4, forward_rows, &g);
}

/* One pixel of dx: the outputs that saw it. */
static void input_pixel(const depthwise *g, const float *image, int64_t h, int64_t w_at, float *to)
{
    const luc_conv2d_params *p = g->p;
    for (int64_t c = 0; c < p->c; c += LUC_VF) {
        const int64_t n = luc_min64(LUC_VF, p->c - c);
        vf sum = vf_zero();
        for (int64_t r = 0; r < p->kh; r++) {
            const int64_t y = h + p->pad_h - r * p->dilation_h;
            if (y < 0 || y % p->stride_h != 0 || y / p->stride_h >= p->oh) continue;
            for (int64_t s = 0; s < p->kw; s++) {
                const int64_t x = w_at + p->pad_w - s * p->dilation_w;
                if (x < 0 || x % p->stride_w != 0 || x / p->stride_w >= p->ow) continue;
                const float *dy =
                    image + y / p->stride_h * p->y_stride[2] + x / p->stride_w * p->y_stride[3] + c;
                sum =
                    vf_fma(vf_load_n(dy, n), vf_load_n(g->w + (r * p->kw + s) * p->c + c, n), sum);
            }
        }
        vf_store_n(to + c, sum, n);
    }
}

/* Blocks of input rows over all images. */
static void input_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const depthwise *g = ctx;
    const luc_conv2d_params *p = g->p;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const float *image = g->from + row / p->h * p->y_stride[0];
        float *to = g->to + row / p->h * p->x_stride[0] + row % p->h * p->x_stride[2];
        for (int64_t w = 0; w < p->w; w++, to += p->x_stride[3])
            input_pixel(g, image, row % p->h, w, to);
    }
}

static void conv_depthwise_grad_input(const luc_conv2d_params *p, const float *dy, const float *w,
                                      float *dx, char *workspace)
{
    depthwise g = {.p = p, .from = dy, .w = (float *)(void *)workspace, .to = dx};
    pack_weights(p, w, (float *)(void *)workspace);
    luc_parallel_for(p->n * p->h, 4, input_rows, &g);
}

/* The outputs of one row through one tap: sums += x * dy, for n channels from c. */
LUC_INLINE vf weight_row(const luc_conv2d_params *p, const float *x, const float *dy, int64_t first,
                         int64_t last, int64_t n, vf sum)
{
    const int64_t step = p->stride_w * p->x_stride[3];
    x += first * step, dy += first * p->y_stride[3];
    for (int64_t j = first; j < last; j++, x += step, dy += p->y_stride[3])
        sum = vf_fma(vf_load_n(x, n), vf_load_n(dy, n), sum);
    return sum;
}

/* One part of the output rows, into its own partial result [tap][channel]. */
static void weight_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const depthwise *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t rows = p->n * p->oh, last_row = rows * (begin + 1) / g->parts;
    float *sums = g->partial + begin * p->kh * p->kw * p->c;
    (void)thread, (void)end;
    memset(sums, 0, sizeof(float) * (size_t)(p->kh * p->kw * p->c));
    for (int64_t row = rows * begin / g->parts; row < last_row; row++) {
        const int64_t n = row / p->oh, i = row % p->oh;
        const float *dy = g->dy + n * p->y_stride[0] + i * p->y_stride[2];
        for (int64_t tap = 0; tap < p->kh * p->kw; tap++) {
            const int64_t h = i * p->stride_h - p->pad_h + tap / p->kw * p->dilation_h;
            const int64_t left = tap % p->kw * p->dilation_w - p->pad_w;
            int64_t first, last;
            if (h < 0 || h >= p->h) continue;
            luc_valid_range(p->ow, p->stride_w, left, p->w, &first, &last);
            const float *x = g->from + n * p->x_stride[0] + h * p->x_stride[2];
            x += left * p->x_stride[3];
            float *sum = sums + tap * p->c;
            int64_t c = 0;
            for (; c + LUC_VF <= p->c; c += LUC_VF)
                vf_store(sum + c,
                         weight_row(p, x + c, dy + c, first, last, LUC_VF, vf_load(sum + c)));
            const int64_t m = p->c - c;
            if (m > 0)
                vf_store_n(sum + c,
                           weight_row(p, x + c, dy + c, first, last, m, vf_load_n(sum + c, m)), m);
        }
    }
}

static void conv_depthwise_grad_weight(const luc_conv2d_params *p, const float *x, const float *dy,
                                       float *dw, char *workspace)
{
    depthwise g = {.p = p, .from = x, .dy = dy, .partial = (float *)(void *)workspace};
    g.parts = parts_of(p);
    luc_parallel_for(g.parts, 1, weight_part, &g);
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

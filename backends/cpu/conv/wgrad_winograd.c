/*
 * wgrad_winograd.c: weight gradient of 3x3 convolution of stride 1 by winograd_transforms.h,
 * compiled once per CPU level.
 *
 * The output images are cut into blocks of 4x4 pixels. For a chunk of blocks at a time, whose size
 * depends on the shape alone, x becomes V [36][block][channel] and dy becomes D
 * [36][panel][block][lane], in parallel over blocks; then P[e] += V[e]' D[e], in parallel over e
 * and panels. At the end P is transformed back into dw. So no sum is ever split among threads.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/conv/winograd_transforms.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/matmul/tile_priv.h"

enum {
    SIZE = LUC_WINO_SIZE,
    IN = LUC_WINO_IN,
    OUT = LUC_WINO_OUT,
    MOST_COLS = 64,
    LEAST_CHUNK = 128, /* blocks: P is read and written once for each chunk */
    GRAIN = 4,         /* blocks transformed together */
};
static const size_t CHUNK_BYTES = (size_t)3 << 20; /* of V and D, if that is not too few blocks */
static const size_t MOST_BYTES = (size_t)96 << 20; /* the most workspace */

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    int64_t panels, pitch; /* of o; of V's blocks */
    int64_t blocks_r, blocks_c, blocks;
    int64_t chunk;
    size_t v_bytes, d_bytes, p_bytes, zero_bytes;
    const float *x, *dy, *zeros;
    float *dw, *v, *d, *products;
    int64_t first, count; /* the chunk at work */
} plan;

static void set_plan(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->tile = luc_tile_f32_get();
    const int64_t cols = g->tile->cols;
    g->panels = luc_ceil_div(p->o, cols);
    g->blocks_r = luc_ceil_div(p->oh, OUT), g->blocks_c = luc_ceil_div(p->ow, OUT);
    g->blocks = p->n * g->blocks_r * g->blocks_c;
    g->pitch = luc_ceil_div(p->c, LUC_VF) * LUC_VF;
    if (g->pitch % 256 == 0) g->pitch += 16; /* spread over the lines of the cache */
    const size_t each = SIZE * (size_t)(g->pitch + g->panels * cols) * sizeof(float);
    const int64_t most = luc_max64((int64_t)(CHUNK_BYTES / each), LEAST_CHUNK);
    g->chunk = luc_even_piece(luc_max64(g->blocks, 1), most);
    g->v_bytes = luc_round64(SIZE * (size_t)(g->chunk * g->pitch) * sizeof(float));
    g->d_bytes = luc_round64(SIZE * (size_t)(g->chunk * g->panels * cols) * sizeof(float));
    g->p_bytes = luc_round64(SIZE * (size_t)(g->panels * p->c * cols) * sizeof(float));
    g->zero_bytes = luc_round64((size_t)luc_max64(p->c, p->o) * sizeof(float) + 64);
}

static size_t plan_bytes(const plan *g)
{
    return g->v_bytes + g->d_bytes + g->p_bytes + g->zero_bytes;
}

/* D = G dy G' of one 4x4 block, all output channels. */
static void transform_dy(const plan *g, const float *const *pixel, int64_t at)
{
    const int64_t cols = g->tile->cols, step = g->panels * g->chunk * cols;
    for (int64_t c = 0; c < g->panels * cols; c += LUC_VF) {
        float *to = g->d + (c / cols * g->chunk + at) * cols + c % cols;
        const int64_t n = luc_min64(LUC_VF, g->p->o - c);
        if (n == LUC_VF)
            luc_wino_dy(pixel, c, LUC_VF, to, step);
        else if (n > 0)
            luc_wino_dy(pixel, c, n, to, step);
        else
            for (int i = 0; i < SIZE; i++) vf_store(to + i * step, vf_zero());
    }
}

/* Blocks of the chunk. */
static void transform_blocks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const luc_wino_place at = luc_wino_place_of(g->first + i, g->blocks_r, g->blocks_c);
        const luc_wino_image x = {
            g->x + at.n * p->x_stride[0], g->zeros, p->h, p->w, p->x_stride[2], p->x_stride[3]};
        const luc_wino_image dy = {
            g->dy + at.n * p->y_stride[0], g->zeros, p->oh, p->ow, p->y_stride[2], p->y_stride[3]};
        const float *pixel[SIZE];
        luc_wino_pixels(&x, at.row - p->pad_h, at.col - p->pad_w, IN, pixel);
        luc_wino_transform_input(pixel, p->c, g->v + i * g->pitch, g->chunk * g->pitch);
        luc_wino_pixels(&dy, at.row, at.col, OUT, pixel);
        transform_dy(g, pixel, i);
    }
}

/* Pairs of an element e and a panel: P[e][panel] += V[e]' D[e][panel], [c, lane]. */
static void multiply(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_segment none = {0, 0};
    const int64_t cols = g->tile->cols, c = g->p->c, size = luc_even_piece(c, g->tile->rows);
    const int half = g->tile->half;
    luc_tile_f32 t = {.a_row = 1, .a_step = g->pitch, .b_step = cols, .c_row = cols};
    t.depth = g->count, t.segments = 1, t.segment = &none;
    t.flags = g->first == 0 ? 0 : LUC_TILE_ADD;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t lanes = luc_min64(cols, g->p->o - i % g->panels * cols);
        t.n = lanes <= g->tile->lanes ? g->tile->lanes : (int)cols; /* whole vectors */
        t.b = g->d + i * g->chunk * cols;
        for (int64_t m = 0; m < c; m += size) {
            t.m = (int)luc_min64(size, c - m);
            t.a0 = g->v + i / g->panels * g->chunk * g->pitch + m, t.a1 = t.a0 + half;
            t.c0 = g->products + (i * c + m) * cols, t.c1 = t.c0 + half * cols;
            g->tile->run(&t);
        }
    }
}

/* Pairs of a panel and an input channel: dw from P. */
static void transform_products(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, step = g->panels * p->c * cols;
    float taps[9 * MOST_COLS];
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        for (int64_t l = 0; l < cols; l += LUC_VF) {
            vf m[SIZE], half[3 * IN], w[9];
            for (int k = 0; k < SIZE; k++) m[k] = vf_load(g->products + i * cols + l + k * step);
            for (int k = 0; k < IN; k++) luc_wino_weight_1d(m + k, IN, half + k, IN);
            for (int k = 0; k < 3; k++) luc_wino_weight_1d(half + IN * k, 1, w + 3 * k, 1);
            for (int k = 0; k < 9; k++) vf_store(taps + k * cols + l, w[k]);
        }
        const int64_t o = i / p->c * cols, lanes = luc_min64(cols, p->o - o);
        float *dw = g->dw + o * p->w_stride[0] + i % p->c * p->w_stride[1];
        for (int64_t l = 0; l < lanes; l++)
            for (int64_t k = 0; k < 9; k++)
                dw[l * p->w_stride[0] + k / 3 * p->w_stride[2] + k % 3 * p->w_stride[3]] =
                    taps[k * cols + l];
    }
}

static bool conv_winograd_weight_fits(const luc_conv2d_params *p)
{
    return LUC_VF > 1 && p->kh == 3 && p->kw == 3 && p->groups == 1 && p->stride_h == 1 &&
           p->stride_w == 1 && p->dilation_h == 1 && p->dilation_w == 1 && p->n > 0 && p->oh > 0 &&
           p->ow > 0;
}

/* As in the forward pass: the cycles for a block, plus those that come once, against those of
 * direct sums. */
static bool conv_winograd_weight_wins(const luc_conv2d_params *p)
{
    plan g = {.p = p};
    if (!conv_winograd_weight_fits(p) || p->c < 8) return false;
    set_plan(&g);
    if (plan_bytes(&g) > MOST_BYTES) return false;
    const double c = (double)p->c, o = (double)(luc_ceil_div(p->o, LUC_VF) * LUC_VF);
    const double each = 36 * c * o / 32 / 0.8 + (c + o) / 16 * 160;
    const double direct = (double)(p->n * p->oh * p->ow) * 9 * c * o / 32 / 0.9;
    return (double)g.blocks * each + c * o / 16 * 400 < 0.9 * direct;
}

static size_t conv_winograd_weight_bytes(const luc_conv2d_params *p)
{
    plan g = {.p = p};
    set_plan(&g);
    return plan_bytes(&g);
}

static void conv_winograd_weight_run(const luc_conv2d_params *p, const float *x, const float *dy,
                                     float *dw, char *workspace)
{
    plan g = {.p = p, .x = x, .dy = dy, .dw = dw};
    set_plan(&g);
    g.v = (float *)(void *)workspace;
    g.d = (float *)(void *)(workspace + g.v_bytes);
    g.products = (float *)(void *)(workspace + g.v_bytes + g.d_bytes);
    float *zeros = (float *)(void *)(workspace + g.v_bytes + g.d_bytes + g.p_bytes);
    memset(zeros, 0, g.zero_bytes);
    g.zeros = zeros;
    for (g.first = 0; g.first < g.blocks; g.first += g.chunk) {
        g.count = luc_min64(g.chunk, g.blocks - g.first);
        luc_parallel_for(g.count, GRAIN, transform_blocks, &g);
        luc_parallel_for(SIZE * g.panels, 1, multiply, &g);
    }
    luc_parallel_for(g.panels * p->c, 16, transform_products, &g);
}

LUC_LEVEL_TABLE(luc_conv_winograd_weight_table, luc_conv_winograd_weight) = {
    .fits = conv_winograd_weight_fits,
    .wins = conv_winograd_weight_wins,
    .bytes = conv_winograd_weight_bytes,
    .run = conv_winograd_weight_run,
};

/*
 * winograd.c: 3x3 convolution of stride 1 by winograd_transforms.h, forward and input gradient,
 * compiled once per CPU level.
 *
 * The destination is cut into blocks of 4x4 pixels. An item of parallel work takes `blocks` of
 * them, transforms their inputs into V [36][block][channel], and then for each panel of
 * destination channels multiplies, M[e] = V[e] U[e] for the 36 elements e, and transforms M back
 * into pixels. The input gradient is the same with the kernel turned round and its channels
 * exchanged.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/conv/statistics.h"
#include "backends/cpu/conv/winograd_transforms.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/matmul/tile_priv.h"

enum { SIZE = LUC_WINO_SIZE, IN = LUC_WINO_IN, OUT = LUC_WINO_OUT, MOST_COLS = 64 };

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    bool backward;
    int64_t depth, lanes, panels; /* source and destination channels */
    int64_t rows, cols, src_rows, src_cols, pad_r, pad_c;
    int64_t src_n, src_r, src_c, dst_n, dst_r, dst_c;
    int64_t blocks_r, blocks_c, blocks; /* of an image; of all images */
    int64_t item_blocks;
    int64_t pitch; /* of V's blocks: channels, padded to whole vectors */
    size_t u_bytes, v_bytes, m_bytes, zero_bytes;
    const float *src, *w, *u, *zeros;
    luc_conv_then then;
    float *dst, *u_to;
    char *scratch;
} winograd;

static void set_plan(winograd *g, int threads)
{
    const luc_conv2d_params *p = g->p;
    threads = luc_conv_cut_for(p, threads);
    const bool back = g->backward;
    g->tile = luc_tile_f32_get();
    g->depth = back ? p->o : p->c, g->lanes = back ? p->c : p->o;
    g->panels = luc_ceil_div(g->lanes, g->tile->cols);
    g->rows = back ? p->h : p->oh, g->cols = back ? p->w : p->ow;
    g->src_rows = back ? p->oh : p->h, g->src_cols = back ? p->ow : p->w;
    g->pad_r = back ? 2 - p->pad_h : p->pad_h, g->pad_c = back ? 2 - p->pad_w : p->pad_w;
    const int64_t *src = back ? p->y_stride : p->x_stride, *dst = back ? p->x_stride : p->y_stride;
    g->src_n = src[0], g->src_r = src[2], g->src_c = src[3];
    g->dst_n = dst[0], g->dst_r = dst[2], g->dst_c = dst[3];
    g->blocks_r = luc_ceil_div(g->rows, OUT), g->blocks_c = luc_ceil_div(g->cols, OUT);
    g->blocks = p->n * g->blocks_r * g->blocks_c;
    g->pitch = luc_ceil_div(g->depth, LUC_VF) * LUC_VF;
    /* Blocks whose pixels are a kilobyte or more apart would need the same lines of the cache. */
    if (g->pitch % 256 == 0) g->pitch += 16;
    /* V and M should fit into half of the second-level cache, unless that leaves so few blocks that
       reading U does not pay. */
    const size_t each = (size_t)(SIZE * (g->pitch + g->tile->cols)) * sizeof(float);
    const int64_t rows = g->tile->rows, most = (int64_t)(luc_cpu_l2_bytes() / 2 / each);
    const int64_t count = luc_max64(g->blocks, 1), full = luc_max64(most / rows, 2) * rows;
    /* With statistics the number of threads that will share the items is not known. */
    g->item_blocks = p->statistics
                         ? luc_even_piece(count, luc_min64(full, luc_ceil_div(count, threads)))
                         : luc_shared_piece(count, full, threads);
    g->u_bytes = luc_round64((size_t)(g->panels * SIZE * g->depth * g->tile->cols) * sizeof(float));
    g->v_bytes = luc_round64((size_t)(SIZE * g->item_blocks * g->pitch) * sizeof(float));
    g->m_bytes = luc_round64((size_t)(SIZE * g->item_blocks * g->tile->cols) * sizeof(float));
    g->zero_bytes = luc_round64((size_t)g->pitch * sizeof(float));
}

/* U of the panels [begin, end): [panel][36][source channel][lane]. */
static void transform_kernels(void *ctx, int64_t begin, int64_t end, int thread)
{
    const winograd *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, depth = g->depth;
    const int64_t w_lane = p->w_stride[g->backward ? 1 : 0];
    const int64_t w_depth = p->w_stride[g->backward ? 0 : 1];
    float taps[9 * MOST_COLS] = {0};
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t panel = i / depth, d = i % depth, lane = panel * cols;
        const float *w = g->w + lane * w_lane + d * w_depth;
        for (int64_t l = 0; l < luc_min64(cols, g->lanes - lane); l++)
            for (int64_t k = 0; k < 9; k++) {
                const int64_t from = g->backward ? 8 - k : k;
                taps[k * cols + l] =
                    w[l * w_lane + from / 3 * p->w_stride[2] + from % 3 * p->w_stride[3]];
            }
        for (int64_t l = g->lanes - lane; l < cols; l++)
            for (int64_t k = 0; k < 9; k++) taps[k * cols + l] = 0;
        float *u = g->u_to + (panel * SIZE * depth + d) * cols;
        for (int64_t l = 0; l < cols; l += LUC_VF) {
            vf w9[9], half[18], full[SIZE];
            for (int k = 0; k < 9; k++) w9[k] = vf_load(taps + k * cols + l);
            for (int k = 0; k < 3; k++) luc_wino_kernel_1d(w9 + k, 3, half + k, 3);
            for (int k = 0; k < IN; k++) luc_wino_kernel_1d(half + 3 * k, 1, full + IN * k, 1);
            for (int k = 0; k < SIZE; k++) vf_store(u + k * depth * cols + l, full[k]);
        }
    }
}

/* V of one block. */
static void transform_input(const winograd *g, int64_t block, float *v, int64_t step)
{
    const luc_wino_place at = luc_wino_place_of(block, g->blocks_r, g->blocks_c);
    const luc_wino_image image = {
        g->src + at.n * g->src_n, g->zeros, g->src_rows, g->src_cols, g->src_r, g->src_c};
    const float *pixel[SIZE];
    luc_wino_pixels(&image, at.row - g->pad_r, at.col - g->pad_c, IN, pixel);
    luc_wino_transform_input(pixel, g->depth, v, step);
}

/* What the pixels of a block share: what follows the sums, and the sums for statistics, if
   wanted. */
typedef struct {
    vf scale, shift;
    bool sums;
    luc_sums_vector taken;
} block_end;

/* Row i of a block's pixels: to[j * step], j < cols, n channels; residual lies likewise. */
LUC_INLINE void store_row(const winograd *g, block_end *end, int64_t i, const vf *half,
                          const float *residual, float *to, int64_t cols, int64_t n)
{
    const int64_t step = g->dst_c;
    vf y[OUT];
    luc_wino_output_1d(half, 1, y, 1);
#pragma GCC unroll 4
    for (int j = 0; j < OUT; j++) {
        y[j] = vf_fma(y[j], end->scale, end->shift);
        if (residual && j < cols) y[j] = vf_add(y[j], vf_load_n(residual + j * step, n));
        if (g->then.relu) y[j] = vf_max(vf_zero(), y[j]);
    }
    if (end->sums) {
        /* The centre is the mean of pixels that are summed, because those beyond the image may be
           far from them. */
        if (i == 0)
            end->taken = cols == OUT ? luc_sums_open(y[0], y[1], y[2], y[3])
                                     : luc_sums_open(y[0], y[0], y[0], y[0]);
#pragma GCC unroll 4
        for (int j = 0; j < OUT; j++)
            if (j < cols) luc_sums_take(&end->taken, y[j]);
    }
    if (cols == OUT && n == LUC_VF) {
        vf_store(to, y[0]);
        vf_store(to + step, y[1]);
        vf_store(to + 2 * step, y[2]);
        vf_store(to + 3 * step, y[3]);
        return;
    }
    vf_store_n(to, y[0], n);
    if (cols > 1) vf_store_n(to + step, y[1], n);
    if (cols > 2) vf_store_n(to + 2 * step, y[2], n);
    if (cols > 3) vf_store_n(to + 3 * step, y[3], n);
}

/* Adds a block's pixels to the sums of its item. The first block begins them. */
LUC_INLINE void add_sums(const winograd *g, int64_t block, const luc_sums_vector *taken,
                         int64_t pixels, int64_t channel, int64_t n)
{
    const luc_conv_sums *s = g->then.sums;
    double *base = luc_sums_of(s, block / g->item_blocks, channel);
    if (block % g->item_blocks == 0) luc_sums_begin(base, s->channels, taken->centre, n);
    luc_sums_close(base, s->channels, taken, pixels, n);
}

/* Pixels of one block from M, m[e * step], for n channels from `channel`. */
static void transform_output(const winograd *g, int64_t block, const float *m, int64_t step,
                             int64_t channel, int64_t n)
{
    const luc_wino_place at = luc_wino_place_of(block, g->blocks_r, g->blocks_c);
    const int64_t first = at.n * g->dst_n + at.row * g->dst_r + at.col * g->dst_c + channel;
    const luc_conv_then *then = &g->then;
    float *to = g->dst + first;
    const int64_t rows = luc_min64(OUT, g->rows - at.row), cols = luc_min64(OUT, g->cols - at.col);
    for (int64_t l = 0; l < n; l += LUC_VF) {
        const int64_t some = luc_min64(LUC_VF, n - l);
        block_end end = {.sums = then->sums != NULL};
        end.shift = then->shift ? vf_load_n(then->shift + channel + l, some) : vf_set1(-0.0F);
        end.scale = then->scale ? vf_load_n(then->scale + channel + l, some) : vf_set1(1);
        vf half[OUT * IN];
        luc_wino_output(m + l, step, half);
        for (int64_t i = 0; i < rows; i++)
            store_row(g, &end, i, half + IN * i,
                      then->residual ? then->residual + first + i * g->dst_r + l : NULL,
                      to + i * g->dst_r + l, cols, some);
        if (then->sums) add_sums(g, block, &end.taken, rows * cols, channel + l, some);
    }
}

/* M[e] = V[e] U[e] for one panel. */
static void multiply(const winograd *g, const float *v, const float *u, float *m, int64_t blocks,
                     int64_t lanes)
{
    const luc_segment none = {0, 0};
    const int64_t cols = g->tile->cols, size = luc_even_piece(blocks, g->tile->rows);
    const int half = g->tile->half;
    luc_tile_f32 t = {.a_row = g->pitch, .a_step = 1, .b_step = cols, .c_row = cols};
    t.depth = g->depth, t.segments = 1, t.segment = &none;
    t.n = lanes <= g->tile->lanes ? g->tile->lanes : (int)cols; /* whole vectors */
    for (int e = 0; e < SIZE; e++) {
        t.b = u + e * g->depth * cols;
        for (int64_t i = 0; i < blocks; i += size) {
            t.m = (int)luc_min64(size, blocks - i);
            t.a0 = v + (e * g->item_blocks + i) * g->pitch, t.a1 = t.a0 + half * g->pitch;
            t.c0 = m + (e * g->item_blocks + i) * cols, t.c1 = t.c0 + half * cols;
            g->tile->run(&t);
        }
    }
}

/* Pixels of the blocks [begin, end). */
static int64_t count_pixels(const winograd *g, int64_t begin, int64_t end)
{
    int64_t pixels = 0;
    for (int64_t block = begin; block < end; block++) {
        const luc_wino_place at = luc_wino_place_of(block, g->blocks_r, g->blocks_c);
        pixels += luc_min64(OUT, g->rows - at.row) * luc_min64(OUT, g->cols - at.col);
    }
    return pixels;
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const winograd *g = ctx;
    const int64_t cols = g->tile->cols, count = end - begin;
    char *scratch = g->scratch + (size_t)thread * (g->v_bytes + g->m_bytes);
    float *v = (float *)(void *)scratch, *m = (float *)(void *)(scratch + g->v_bytes);
    for (int64_t i = 0; i < count; i++)
        transform_input(g, begin + i, v + i * g->pitch, g->item_blocks * g->pitch);
    for (int64_t panel = 0; panel < g->panels; panel++) {
        const int64_t lane = panel * cols;
        const int64_t lanes = luc_min64(cols, g->lanes - lane);
        multiply(g, v, g->u + panel * SIZE * g->depth * cols, m, count, lanes);
        for (int64_t i = 0; i < count; i++)
            transform_output(g, begin + i, m + i * cols, g->item_blocks * cols, lane, lanes);
    }
    if (g->then.sums) g->then.sums->pixels[begin / g->item_blocks] = count_pixels(g, begin, end);
}

static bool conv_winograd_fits(const luc_conv2d_params *p, bool backward)
{
    if (LUC_VF == 1 || p->kh != 3 || p->kw != 3 || p->groups != 1) return false;
    if (p->stride_h != 1 || p->stride_w != 1 || p->dilation_h != 1 || p->dilation_w != 1)
        return false;
    return !backward || (p->pad_h <= 2 && p->pad_w <= 2);
}

/* The cycles for one block of outputs and all channels, plus those for the kernels, against those
   of direct sums. The figures were measured with AVX-512; with AVX2 all are about twice as
   large. */
static bool conv_winograd_wins(const luc_conv2d_params *p, bool backward)
{
    if (!conv_winograd_fits(p, backward)) return false;
    const int64_t rows = backward ? p->h : p->oh, cols = backward ? p->w : p->ow;
    const double blocks = (double)(p->n * luc_ceil_div(rows, OUT) * luc_ceil_div(cols, OUT));
    const double pixels = (double)(p->n * rows * cols);
    const double c = (double)(backward ? p->o : p->c), o = (double)(backward ? p->c : p->o);
    const double products = (double)(luc_ceil_div((int64_t)o, LUC_VF) * LUC_VF) * c;
    const double each = 36 * products / 32 / 0.8 + c / 16 * 160 + o / 16 * 160;
    const double once = c * o / 16 * 160;
    return blocks * each + once < 0.9 * (pixels * 9 * products / 32 / 0.95 + 9 * c * o / 4);
}

static size_t conv_winograd_packed_bytes(const luc_conv2d_params *p, bool backward)
{
    winograd g = {.p = p, .backward = backward};
    set_plan(&g, 1);
    return g.u_bytes;
}

static void conv_winograd_pack(const luc_conv2d_params *p, bool backward, const void *w,
                               void *packed)
{
    winograd g = {.p = p, .backward = backward, .w = w, .u_to = packed};
    set_plan(&g, 1);
    luc_parallel_for(g.panels * g.depth, 16, transform_kernels, &g);
}

static size_t conv_winograd_bytes(const luc_conv2d_params *p, bool backward, int threads)
{
    winograd g = {.p = p, .backward = backward};
    set_plan(&g, threads);
    return g.zero_bytes + (g.v_bytes + g.m_bytes) * (size_t)threads;
}

static void conv_winograd_run(const luc_conv2d_params *p, bool backward, const void *from,
                              const void *packed, const luc_conv_then *then, void *to,
                              char *workspace, int threads)
{
    winograd g = {.p = p, .backward = backward, .src = from, .u = packed, .dst = to};
    set_plan(&g, threads);
    if (then) g.then = *then;
    float *zeros = (float *)(void *)workspace;
    memset(zeros, 0, g.zero_bytes);
    g.zeros = zeros;
    g.scratch = workspace + g.zero_bytes;
    luc_parallel_for_max(g.blocks, g.item_blocks, threads, run_item, &g);
}

static int64_t conv_winograd_parts(const luc_conv2d_params *p)
{
    winograd g = {.p = p};
    set_plan(&g, 1);
    return luc_ceil_div(g.blocks, g.item_blocks);
}

LUC_LEVEL_TABLE(luc_conv_winograd_table, luc_conv_winograd) = {
    .fits = conv_winograd_fits,
    .wins = conv_winograd_wins,
    .kernel = {conv_winograd_packed_bytes, conv_winograd_pack, conv_winograd_bytes,
               conv_winograd_run, conv_winograd_parts},
};

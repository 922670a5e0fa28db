/*
 * direct.c: forward and input gradient over channels_last images, compiled once per
 * CPU level.
 *
 * Both are the same walk: a grid of destination pixels, each the sum over taps of a source pixel
 * times a matrix of weights. The input gradient of stride s is s * s such walks, one for each
 * remainder of the destination's coordinates, because each remainder has other taps.
 *
 * An item of parallel work is a block of grid rows of one image. Where the window leaves the
 * image, the source rows are first copied into a strip with zeros around. A register tile then
 * covers up to `rows` neighbouring pixels and `cols` channels, straight from the strip: pixels are
 * the tile's rows, the channels of one kernel row its depth, kernel rows its segments.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/matmul/tile_priv.h"

#include <stdlib.h>

enum {
    TRANSPOSED_TAPS = 64, /* kernels of at most this number of taps are packed by transposition */
    MOST_COLS = 64,       /* of a tile, at any level */
};

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    int64_t rows, cols;     /* the grid */
    int64_t step_r, step_c; /* source pixels between grid points */
    luc_conv_taps r, c;
    int64_t src_rows, src_cols;
    int64_t src_n, src_r, src_c;         /* strides of the source image ... */
    int64_t dst_at, dst_n, dst_r, dst_c; /* ... and of the grid points */
    int64_t depth, lanes, panels;        /* source and destination channels of one group */
    int64_t w_lane, w_depth;
    bool copy, merged;        /* the source is copied into a strip; a kernel row is one segment */
    int64_t pitch_r, pitch_c; /* strides of what tiles read */
    int64_t item_rows, image_items;
    size_t packed_bytes, segment_bytes, strip_bytes;
    /* one run */
    const float *src, *w, *packed;
    luc_conv_then then;
    float *dst, *pack_to;
    luc_segment *segments;
    char *strips;
} window;

static void set_forward(window *g)
{
    const luc_conv2d_params *p = g->p;
    g->rows = p->oh, g->cols = p->ow;
    g->step_r = p->stride_h, g->step_c = p->stride_w;
    g->r = luc_conv_forward_taps(p->kh, p->pad_h, p->dilation_h);
    g->c = luc_conv_forward_taps(p->kw, p->pad_w, p->dilation_w);
    g->src_rows = p->h, g->src_cols = p->w;
    g->src_n = p->x_stride[0], g->src_r = p->x_stride[2], g->src_c = p->x_stride[3];
    g->dst_n = p->y_stride[0], g->dst_r = p->y_stride[2], g->dst_c = p->y_stride[3];
    g->depth = p->c / p->groups, g->lanes = p->o / p->groups;
    g->w_lane = p->w_stride[0], g->w_depth = p->w_stride[1];
}

static void set_backward(window *g, int64_t phase_r, int64_t phase_c)
{
    const luc_conv2d_params *p = g->p;
    g->rows = luc_ceil_div(luc_max64(p->h - phase_r, 0), p->stride_h);
    g->cols = luc_ceil_div(luc_max64(p->w - phase_c, 0), p->stride_w);
    g->step_r = g->step_c = 1;
    g->r = luc_conv_backward_taps(p->kh, p->pad_h, p->dilation_h, p->stride_h, phase_r);
    g->c = luc_conv_backward_taps(p->kw, p->pad_w, p->dilation_w, p->stride_w, phase_c);
    g->src_rows = p->oh, g->src_cols = p->ow;
    g->src_n = p->y_stride[0], g->src_r = p->y_stride[2], g->src_c = p->y_stride[3];
    g->dst_n = p->x_stride[0];
    g->dst_at = phase_r * p->x_stride[2] + phase_c * p->x_stride[3];
    g->dst_r = p->x_stride[2] * p->stride_h, g->dst_c = p->x_stride[3] * p->stride_w;
    g->depth = p->o / p->groups, g->lanes = p->c / p->groups;
    g->w_lane = p->w_stride[1], g->w_depth = p->w_stride[0];
}

/* The source rows that `rows` grid rows read, and the columns that a whole grid row reads. */
static int64_t strip_rows(const window *g, int64_t rows)
{
    return (rows - 1) * g->step_r + (g->r.count - 1) * g->r.step + 1;
}
static int64_t strip_cols(const window *g)
{
    return (g->cols - 1) * g->step_c + (g->c.count - 1) * g->c.step + 1;
}

static bool leaves_image(const window *g)
{
    return g->r.first < 0 || g->c.first < 0 || g->r.first + strip_rows(g, g->rows) > g->src_rows ||
           g->c.first + strip_cols(g) > g->src_cols;
}

/* The grid rows of one item: the strip should stay in half of the second-level cache, and there
   should be a few items for each thread. */
static int64_t choose_rows(const window *g, int threads)
{
    const size_t row = (size_t)(strip_cols(g) * g->pitch_c) * sizeof(float);
    const size_t budget = luc_cpu_l2_bytes() / 2;
    int64_t rows = (int64_t)(budget / (row + 1)) - (g->r.count - 1) * g->r.step;
    rows = luc_max64(rows / g->step_r, 1);
    rows = luc_min64(rows, g->rows);
    while (threads > 1 && rows > 4 && g->p->n * luc_ceil_div(g->rows, rows) < 4 * threads)
        rows = (rows + 1) / 2;
    rows = luc_even_piece(g->rows, rows);
    /* Tiles that cover two rows need an even number of rows. */
    return g->cols == g->tile->half && rows < g->rows ? (rows + 1) / 2 * 2 : rows;
}

/* Sets what follows from the geometry. False if there is nothing to compute. */
static bool set_plan(window *g, int threads)
{
    const int64_t groups = g->p->groups, channels = g->depth * groups;
    threads = luc_conv_cut_for(g->p, threads);
    g->tile = luc_tile_f32_get();
    g->panels = luc_ceil_div(g->lanes, g->tile->cols);
    if (g->rows <= 0 || g->cols <= 0 || g->p->n <= 0 || g->lanes <= 0) return false;
    if (g->r.count == 0 || g->c.count == 0) g->r.count = g->c.count = 0;
    g->copy = g->r.count > 0 && leaves_image(g);
    g->pitch_r = g->src_r, g->pitch_c = g->src_c;
    if (g->r.count > 0 && channels % 1024 == 0) g->copy = true;
    if (g->copy) {
        /* Pixels that are a page apart would all need the same lines of the cache. */
        g->pitch_c = channels % 1024 == 0 ? channels + 16 : channels;
        g->pitch_r = g->pitch_c * strip_cols(g);
    }
    g->merged = groups == 1 && (g->c.count == 1 || (g->c.step == 1 && g->pitch_c == g->depth));
    g->item_rows = g->r.count > 0 ? choose_rows(g, threads) : g->rows;
    g->image_items = luc_ceil_div(g->rows, g->item_rows);
    const int64_t count = g->r.count * g->c.count;
    g->packed_bytes = luc_round64((size_t)(groups * g->panels * count * g->depth * g->tile->cols) *
                                  sizeof(float));
    g->segment_bytes = luc_round64((size_t)count * sizeof(luc_segment));
    g->strip_bytes =
        g->copy ? luc_round64((size_t)(strip_rows(g, g->item_rows) * g->pitch_r) * sizeof(float))
                : 0;
    return true;
}

static void fill_segments(const window *g)
{
    luc_segment *s = g->segments;
    const int64_t cols = g->tile->cols;
    for (int64_t i = 0; i < g->r.count; i++)
        for (int64_t j = 0; j < (g->merged ? 1 : g->c.count); j++, s++) {
            s->a = i * g->r.step * g->pitch_r + j * g->c.step * g->pitch_c;
            s->b = (i * g->c.count + j) * g->depth * cols;
        }
}

/* Where kernel element (i, j) of the taps lies, from the first of its channel pair. */
static int64_t tap_at(const window *g, int64_t i, int64_t j)
{
    return (g->r.kernel_first + i * g->r.kernel_step) * g->p->w_stride[2] +
           (g->c.kernel_first + j * g->c.kernel_step) * g->p->w_stride[3];
}

/* Packs one panel if the kernel's elements are adjacent in memory: each pair of a source channel
   and the panel's lanes is a small matrix that is transposed. */
static void pack_dense(const window *g, float *dst, const float *w, int64_t lanes)
{
    float block[TRANSPOSED_TAPS * MOST_COLS];
    const int64_t cols = g->tile->cols, all = g->p->kh * g->p->kw;
    memset(block, 0, sizeof block);
    for (int64_t d = 0; d < g->depth; d++) {
        luc_gemm_get()->transpose_32(block, cols, w + d * g->w_depth, g->w_lane, lanes, all);
        float *to = dst + d * cols;
        for (int64_t i = 0; i < g->r.count; i++)
            for (int64_t j = 0; j < g->c.count; j++, to += g->depth * cols)
                memcpy(to, block + tap_at(g, i, j) * cols, sizeof(float) * (size_t)cols);
    }
}

/* Weights as [tap][source channel][lane], with zeros for lanes beyond the last. */
static void pack_panels(void *ctx, int64_t begin, int64_t end, int thread)
{
    const window *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, size = g->r.count * g->c.count * g->depth * cols;
    const bool dense = p->w_stride[3] == 1 && p->w_stride[2] == p->kw &&
                       p->kh * p->kw <= TRANSPOSED_TAPS && cols <= MOST_COLS;
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        const int64_t group = k / g->panels, lane = k % g->panels * cols;
        const int64_t lanes = luc_min64(cols, g->lanes - lane);
        const float *w = g->w + group * (p->o / p->groups) * p->w_stride[0] + lane * g->w_lane;
        float *dst = g->pack_to + k * size;
        if (dense) {
            pack_dense(g, dst, w, lanes);
            continue;
        }
        for (int64_t i = 0; i < g->r.count; i++)
            for (int64_t j = 0; j < g->c.count; j++)
                for (int64_t d = 0; d < g->depth; d++, dst += cols)
                    for (int64_t l = 0; l < cols; l++)
                        dst[l] =
                            l < lanes ? w[tap_at(g, i, j) + d * g->w_depth + l * g->w_lane] : 0;
    }
}

/* The source rows of grid rows [row, row + rows) of one image, with zeros outside of it. */
static void fill_strip(const window *g, float *strip, const float *image, int64_t row, int64_t rows)
{
    const int64_t channels = g->depth * g->p->groups, cols = strip_cols(g);
    const int64_t top = row * g->step_r + g->r.first, count = strip_rows(g, rows);
    const int64_t left = luc_min64(luc_max64(-g->c.first, 0), cols);
    const int64_t right = luc_max64(luc_min64(g->src_cols - g->c.first, cols), left);
    for (int64_t i = 0; i < count; i++, strip += g->pitch_r) {
        if (top + i < 0 || top + i >= g->src_rows) {
            memset(strip, 0, sizeof(float) * (size_t)g->pitch_r);
            continue;
        }
        const float *from = image + (top + i) * g->src_r + (left + g->c.first) * g->src_c;
        memset(strip, 0, sizeof(float) * (size_t)(left * g->pitch_c));
        memset(strip + right * g->pitch_c, 0,
               sizeof(float) * (size_t)((cols - right) * g->pitch_c));
        if (g->pitch_c == channels && g->src_c == channels) {
            memcpy(strip + left * channels, from,
                   sizeof(float) * (size_t)((right - left) * channels));
            continue;
        }
        for (int64_t j = left; j < right; j++, from += g->src_c)
            memcpy(strip + j * g->pitch_c, from, sizeof(float) * (size_t)channels);
    }
}

/* Sets what a tile does with the channels from `channel` on. */
static void set_then(const window *g, luc_tile_f32 *t, int64_t channel)
{
    const luc_conv_then *then = &g->then;
    t->scale = then->scale ? then->scale + channel : NULL;
    t->bias = then->shift ? then->shift + channel : NULL;
    t->flags = (then->scale ? LUC_TILE_SCALE_COL : 0) | (then->shift ? LUC_TILE_BIAS_COL : 0) |
               (then->residual ? LUC_TILE_RESIDUAL : 0) | (then->relu ? LUC_TILE_RELU : 0);
}

/* Sets the tile's rows: C at two addresses of dst, and the residual at the same offsets. */
static void set_rows(const window *g, luc_tile_f32 *t, float *c0, float *c1)
{
    t->c0 = c0, t->c1 = c1;
    if (!g->then.residual) return;
    t->r0 = g->then.residual + (c0 - g->dst);
    t->r1 = g->then.residual + (c1 - g->dst);
}

/* One panel of channels over a block of grid rows. a and c are at its first pixel. */
static void run_panel(const window *g, luc_tile_f32 *t, const float *a, float *c, int64_t rows)
{
    const int half = g->tile->half;
    const int64_t a_r = g->step_r * g->pitch_r;
    const bool pairs = g->cols == half;
    const int64_t size = luc_even_piece(g->cols, g->tile->rows);
    t->a_row = g->step_c * g->pitch_c;
    t->c_row = g->dst_c;
    for (int64_t i = 0; i < rows; i++) {
        if (pairs && i + 1 < rows) { /* two rows of the image, one in each half of the tile */
            t->m = 2 * half;
            t->a0 = a + i * a_r, t->a1 = t->a0 + a_r;
            set_rows(g, t, c + i * g->dst_r, c + (i + 1) * g->dst_r);
            g->tile->run(t);
            i++;
            continue;
        }
        for (int64_t j = 0; j < g->cols; j += size) {
            t->m = (int)luc_min64(size, g->cols - j);
            t->a0 = a + i * a_r + j * t->a_row, t->a1 = t->a0 + half * t->a_row;
            float *to = c + i * g->dst_r + j * t->c_row;
            set_rows(g, t, to, to + half * t->c_row);
            g->tile->run(t);
        }
    }
}

/* The sums of a panel's channels over an item's pixels, of which c is the first. */
static void sum_panel(const window *g, int64_t part, const float *c, int64_t rows, int64_t channel,
                      int64_t n)
{
    const luc_conv_sums *s = g->then.sums;
    const luc_conv_sums_table *table = luc_conv_sums_get();
    table->begin(s, part, c, channel, n);
    for (int64_t i = 0; i < rows; i++)
        table->add(s, part, c + i * g->dst_r, g->cols, g->dst_c, channel, n);
    s->pixels[part] = rows * g->cols;
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const window *g = ctx;
    const int64_t n = begin / g->image_items, row = begin % g->image_items * g->item_rows;
    const int64_t rows = luc_min64(g->item_rows, g->rows - row), cols = g->tile->cols;
    const float *image = g->src + n * g->src_n, *a;
    float *c = g->dst + n * g->dst_n + g->dst_at + row * g->dst_r;
    (void)end;
    if (g->copy) {
        float *strip = (float *)(void *)(g->strips + (size_t)thread * g->strip_bytes);
        fill_strip(g, strip, image, row, rows);
        a = strip;
    } else {
        a = image + (row * g->step_r + g->r.first) * g->src_r + g->c.first * g->src_c;
    }
    luc_tile_f32 t = {.a_step = 1, .b_step = cols, .segment = g->segments};
    t.segments = g->r.count * (g->merged ? 1 : g->c.count);
    t.depth = g->depth * (g->merged ? g->c.count : 1);
    const int64_t size = g->r.count * g->c.count * g->depth * cols;
    for (int64_t k = 0; k < g->p->groups * g->panels; k++) {
        const int64_t group = k / g->panels, lane = k % g->panels * cols;
        const int64_t channel = group * g->lanes + lane;
        t.n = (int)luc_min64(cols, g->lanes - lane);
        t.b = g->packed + k * size;
        set_then(g, &t, channel);
        run_panel(g, &t, a + group * g->depth, c + channel, rows);
        if (g->then.sums) sum_panel(g, begin, c + channel, rows, channel, t.n);
    }
}

/* Sets up walk number i of the stride's walks; forward has one. False: nothing to compute. */
static bool set_walk(window *g, bool backward, int64_t i, int threads)
{
    if (backward)
        set_backward(g, i / g->p->stride_w, i % g->p->stride_w);
    else
        set_forward(g);
    return set_plan(g, threads);
}

static int64_t walks(const luc_conv2d_params *p, bool backward)
{
    return backward ? p->stride_h * p->stride_w : 1;
}

static size_t conv_window_packed_bytes(const luc_conv2d_params *p, bool backward)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < walks(p, backward); i++) {
        window g = {.p = p};
        if (set_walk(&g, backward, i, 1)) bytes += g.packed_bytes;
    }
    return bytes;
}

static void conv_window_pack(const luc_conv2d_params *p, bool backward, const float *w,
                             float *packed)
{
    for (int64_t i = 0; i < walks(p, backward); i++) {
        window g = {.p = p, .w = w, .pack_to = packed};
        if (!set_walk(&g, backward, i, 1) || g.packed_bytes == 0) continue;
        luc_parallel_for(p->groups * g.panels, 1, pack_panels, &g);
        packed += g.packed_bytes / sizeof(float);
    }
}

static size_t conv_window_bytes(const luc_conv2d_params *p, bool backward, int threads)
{
    size_t most = 0;
    for (int64_t i = 0; i < walks(p, backward); i++) {
        window g = {.p = p};
        if (!set_walk(&g, backward, i, threads)) continue;
        size_t bytes = g.segment_bytes + g.strip_bytes * (size_t)threads;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void conv_window_run(const luc_conv2d_params *p, bool backward, const float *from,
                            const float *packed, const luc_conv_then *then, float *to,
                            char *workspace, int threads)
{
    for (int64_t i = 0; i < walks(p, backward); i++) {
        window g = {.p = p, .src = from, .packed = packed, .dst = to};
        if (then) g.then = *then;
        if (!set_walk(&g, backward, i, threads)) continue;
        packed += g.packed_bytes / sizeof(float);
        g.segments = (luc_segment *)(void *)workspace;
        g.strips = workspace + g.segment_bytes;
        fill_segments(&g);
        luc_parallel_for_max(p->n * g.image_items, 1, threads, run_item, &g);
    }
}

static int64_t conv_window_parts(const luc_conv2d_params *p)
{
    window g = {.p = p};
    return set_walk(&g, false, 0, 1) ? p->n * g.image_items : 0;
}

LUC_LEVEL_TABLE(luc_conv_window_table, luc_conv_window) = {
    .kernel = {conv_window_packed_bytes, conv_window_pack, conv_window_bytes, conv_window_run,
               conv_window_parts},
};

/*
 * direct.c: forward and input gradient over channels_last images, by the walks of walk.h; compiled
 * once per CPU level.
 *
 * An item of parallel work is a block of grid rows of one image. Where the window leaves the
 * image, the source rows are first copied into a strip with zeros around. A register tile then
 * covers up to `rows` neighbouring pixels and `cols` channels, straight from the strip: pixels are
 * the tile's rows, the channels of one kernel row its depth, kernel rows its segments.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/conv/walk.h"
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
    luc_conv_walk walk;
    int64_t panels;           /* of one group's destination channels */
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

/* The source rows that `rows` grid rows read, and the columns that a whole grid row reads. */
static int64_t strip_rows(const window *g, int64_t rows)
{
    return (rows - 1) * g->walk.step_r + (g->walk.r.count - 1) * g->walk.r.step + 1;
}
static int64_t strip_cols(const window *g)
{
    return (g->walk.cols - 1) * g->walk.step_c + (g->walk.c.count - 1) * g->walk.c.step + 1;
}

static bool leaves_image(const window *g)
{
    return g->walk.r.first < 0 || g->walk.c.first < 0 ||
           g->walk.r.first + strip_rows(g, g->walk.rows) > g->walk.src_rows ||
           g->walk.c.first + strip_cols(g) > g->walk.src_cols;
}

/* The grid rows of one item: the strip should stay in half of the second-level cache, and there
   should be a few items for each thread. */
static int64_t choose_rows(const window *g, int threads)
{
    const size_t row = (size_t)(strip_cols(g) * g->pitch_c) * sizeof(float);
    const size_t budget = luc_cpu_l2_bytes() / 2;
    int64_t rows = (int64_t)(budget / (row + 1)) - (g->walk.r.count - 1) * g->walk.r.step;
    rows = luc_max64(rows / g->walk.step_r, 1);
    rows = luc_min64(rows, g->walk.rows);
    while (threads > 1 && rows > 4 && g->p->n * luc_ceil_div(g->walk.rows, rows) < 4 * threads)
        rows = (rows + 1) / 2;
    rows = luc_even_piece(g->walk.rows, rows);
    /* Tiles that cover two rows need an even number of rows. */
    return g->walk.cols == g->tile->half && rows < g->walk.rows ? (rows + 1) / 2 * 2 : rows;
}

/* Sets what follows from the geometry. False if there is nothing to compute. */
static bool set_plan(window *g, int threads)
{
    const int64_t groups = g->p->groups, channels = g->walk.depth * groups;
    threads = luc_conv_cut_for(g->p, threads);
    g->tile = luc_tile_f32_get();
    g->panels = luc_ceil_div(g->walk.lanes, g->tile->cols);
    if (g->walk.rows <= 0 || g->walk.cols <= 0 || g->p->n <= 0 || g->walk.lanes <= 0) return false;
    g->copy = g->walk.r.count > 0 && leaves_image(g);
    g->pitch_r = g->walk.src_r, g->pitch_c = g->walk.src_c;
    if (g->walk.r.count > 0 && channels % 1024 == 0) g->copy = true;
    if (g->copy) {
        /* Pixels that are a page apart would all need the same lines of the cache. */
        g->pitch_c = channels % 1024 == 0 ? channels + 16 : channels;
        g->pitch_r = g->pitch_c * strip_cols(g);
    }
    g->merged = groups == 1 &&
                (g->walk.c.count == 1 || (g->walk.c.step == 1 && g->pitch_c == g->walk.depth));
    g->item_rows = g->walk.r.count > 0 ? choose_rows(g, threads) : g->walk.rows;
    g->image_items = luc_ceil_div(g->walk.rows, g->item_rows);
    const int64_t count = g->walk.r.count * g->walk.c.count;
    g->packed_bytes = luc_round64(
        (size_t)(groups * g->panels * count * g->walk.depth * g->tile->cols) * sizeof(float));
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
    for (int64_t i = 0; i < g->walk.r.count; i++)
        for (int64_t j = 0; j < (g->merged ? 1 : g->walk.c.count); j++, s++) {
            s->a = i * g->walk.r.step * g->pitch_r + j * g->walk.c.step * g->pitch_c;
            s->b = (i * g->walk.c.count + j) * g->walk.depth * cols;
        }
}

/* Packs one panel if the kernel's elements are adjacent in memory: each pair of a source channel
   and the panel's lanes is a small matrix that is transposed. */
static void pack_dense(const window *g, float *dst, const float *w, int64_t lanes)
{
    float block[TRANSPOSED_TAPS * MOST_COLS];
    const int64_t cols = g->tile->cols, all = g->p->kh * g->p->kw;
    memset(block, 0, sizeof block);
    for (int64_t d = 0; d < g->walk.depth; d++) {
        luc_gemm_get()->transpose_32(block, cols, w + d * g->walk.w_depth, g->walk.w_lane, lanes,
                                     all);
        float *to = dst + d * cols;
        for (int64_t i = 0; i < g->walk.r.count; i++)
            for (int64_t j = 0; j < g->walk.c.count; j++, to += g->walk.depth * cols)
                memcpy(to, block + luc_conv_tap_at(g->p, &g->walk, i, j) * cols,
                       sizeof(float) * (size_t)cols);
    }
}

/* Weights as [tap][source channel][lane], with zeros for lanes beyond the last. */
static void pack_panels(void *ctx, int64_t begin, int64_t end, int thread)
{
    const window *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols,
                  size = g->walk.r.count * g->walk.c.count * g->walk.depth * cols;
    const bool dense = p->w_stride[3] == 1 && p->w_stride[2] == p->kw &&
                       p->kh * p->kw <= TRANSPOSED_TAPS && cols <= MOST_COLS;
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        const int64_t group = k / g->panels, lane = k % g->panels * cols;
        const int64_t lanes = luc_min64(cols, g->walk.lanes - lane);
        const float *w = g->w + group * (p->o / p->groups) * p->w_stride[0] + lane * g->walk.w_lane;
        float *dst = g->pack_to + k * size;
        if (dense) {
            pack_dense(g, dst, w, lanes);
            continue;
        }
        for (int64_t i = 0; i < g->walk.r.count; i++)
            for (int64_t j = 0; j < g->walk.c.count; j++)
                for (int64_t d = 0; d < g->walk.depth; d++, dst += cols)
                    for (int64_t l = 0; l < cols; l++)
                        dst[l] = l < lanes ? w[luc_conv_tap_at(g->p, &g->walk, i, j) +
                                               d * g->walk.w_depth + l * g->walk.w_lane]
                                           : 0;
    }
}

/* The source rows of grid rows [row, row + rows) of one image, with zeros outside of it. */
static void fill_strip(const window *g, float *strip, const float *image, int64_t row, int64_t rows)
{
    const int64_t channels = g->walk.depth * g->p->groups, cols = strip_cols(g);
    const int64_t top = row * g->walk.step_r + g->walk.r.first, count = strip_rows(g, rows);
    const int64_t left = luc_min64(luc_max64(-g->walk.c.first, 0), cols);
    const int64_t right = luc_max64(luc_min64(g->walk.src_cols - g->walk.c.first, cols), left);
    for (int64_t i = 0; i < count; i++, strip += g->pitch_r) {
        if (top + i < 0 || top + i >= g->walk.src_rows) {
            memset(strip, 0, sizeof(float) * (size_t)g->pitch_r);
            continue;
        }
        const float *from =
            image + (top + i) * g->walk.src_r + (left + g->walk.c.first) * g->walk.src_c;
        memset(strip, 0, sizeof(float) * (size_t)(left * g->pitch_c));
        memset(strip + right * g->pitch_c, 0,
               sizeof(float) * (size_t)((cols - right) * g->pitch_c));
        if (g->pitch_c == channels && g->walk.src_c == channels) {
            memcpy(strip + left * channels, from,
                   sizeof(float) * (size_t)((right - left) * channels));
            continue;
        }
        for (int64_t j = left; j < right; j++, from += g->walk.src_c)
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
    const int64_t a_r = g->walk.step_r * g->pitch_r;
    const bool pairs = g->walk.cols == half;
    const int64_t size = luc_even_piece(g->walk.cols, g->tile->rows);
    t->a_row = g->walk.step_c * g->pitch_c;
    t->c_row = g->walk.dst_c;
    for (int64_t i = 0; i < rows; i++) {
        if (pairs && i + 1 < rows) { /* two rows of the image, one in each half of the tile */
            t->m = 2 * half;
            t->a0 = a + i * a_r, t->a1 = t->a0 + a_r;
            set_rows(g, t, c + i * g->walk.dst_r, c + (i + 1) * g->walk.dst_r);
            g->tile->run(t);
            i++;
            continue;
        }
        for (int64_t j = 0; j < g->walk.cols; j += size) {
            t->m = (int)luc_min64(size, g->walk.cols - j);
            t->a0 = a + i * a_r + j * t->a_row, t->a1 = t->a0 + half * t->a_row;
            float *to = c + i * g->walk.dst_r + j * t->c_row;
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
        table->add(s, part, c + i * g->walk.dst_r, g->walk.cols, g->walk.dst_c, channel, n);
    s->pixels[part] = rows * g->walk.cols;
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const window *g = ctx;
    const int64_t n = begin / g->image_items, row = begin % g->image_items * g->item_rows;
    const int64_t rows = luc_min64(g->item_rows, g->walk.rows - row), cols = g->tile->cols;
    const float *image = g->src + n * g->walk.src_n, *a;
    float *c = g->dst + n * g->walk.dst_n + g->walk.dst_at + row * g->walk.dst_r;
    (void)end;
    if (g->copy) {
        float *strip = (float *)(void *)(g->strips + (size_t)thread * g->strip_bytes);
        fill_strip(g, strip, image, row, rows);
        a = strip;
    } else {
        a = image + (row * g->walk.step_r + g->walk.r.first) * g->walk.src_r +
            g->walk.c.first * g->walk.src_c;
    }
    luc_tile_f32 t = {.a_step = 1, .b_step = cols, .segment = g->segments};
    t.segments = g->walk.r.count * (g->merged ? 1 : g->walk.c.count);
    t.depth = g->walk.depth * (g->merged ? g->walk.c.count : 1);
    const int64_t size = g->walk.r.count * g->walk.c.count * g->walk.depth * cols;
    for (int64_t k = 0; k < g->p->groups * g->panels; k++) {
        const int64_t group = k / g->panels, lane = k % g->panels * cols;
        const int64_t channel = group * g->walk.lanes + lane;
        t.n = (int)luc_min64(cols, g->walk.lanes - lane);
        t.b = g->packed + k * size;
        set_then(g, &t, channel);
        run_panel(g, &t, a + group * g->walk.depth, c + channel, rows);
        if (g->then.sums) sum_panel(g, begin, c + channel, rows, channel, t.n);
    }
}

/* Sets up walk number i. False: nothing to compute. */
static bool set_walk(window *g, bool backward, int64_t i, int threads)
{
    g->walk = luc_conv_walk_of(g->p, backward, i);
    return set_plan(g, threads);
}

static size_t conv_window_packed_bytes(const luc_conv2d_params *p, bool backward)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        window g = {.p = p};
        if (set_walk(&g, backward, i, 1)) bytes += g.packed_bytes;
    }
    return bytes;
}

static void conv_window_pack(const luc_conv2d_params *p, bool backward, const void *w, void *packed)
{
    float *to = packed;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        window g = {.p = p, .w = w, .pack_to = to};
        if (!set_walk(&g, backward, i, 1) || g.packed_bytes == 0) continue;
        luc_parallel_for(p->groups * g.panels, 1, pack_panels, &g);
        to += g.packed_bytes / sizeof(float);
    }
}

static size_t conv_window_bytes(const luc_conv2d_params *p, bool backward, int threads)
{
    size_t most = 0;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        window g = {.p = p};
        if (!set_walk(&g, backward, i, threads)) continue;
        size_t bytes = g.segment_bytes + g.strip_bytes * (size_t)threads;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void conv_window_run(const luc_conv2d_params *p, bool backward, const void *from,
                            const void *packed, const luc_conv_then *then, void *to,
                            char *workspace, int threads)
{
    const float *weights = packed;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        window g = {.p = p, .src = from, .packed = weights, .dst = to};
        if (then) g.then = *then;
        if (!set_walk(&g, backward, i, threads)) continue;
        weights += g.packed_bytes / sizeof(float);
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

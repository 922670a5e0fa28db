/*
 * conv_1x1.c: 1x1 convolution over channels_last images, compiled once per CPU level.
 *
 * It is a product of pixels by channels. A register tile covers up to `rows` pixels and `cols`
 * channels, and an item of parallel work is a block of both. In it, the source of one tile stays in
 * the first-level cache while the packed weights, one long sequence, are read from the second
 * level. So the destination is written once, along its rows, and the weights are read in order.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/matmul/tile_priv.h"
#include "backends/cpu/strided/loop.h"

enum {
    DEPTH = 384,     /* channels that are summed before the destination is read again */
    ITEM_ROWS = 448, /* the most pixels of an item */
    PAD = 16,        /* floats after a copied pixel's channels, against crowding in the cache */
    MOST_ROWS = 16,  /* of a tile, at any level */
};

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    int64_t pixels, depth, lanes, panels; /* of the destination; source and destination channels */
    int64_t src_pixel, dst_pixel;         /* strides */
    int64_t src_image, src_plane;         /* of a source whose channels lie in planes */
    int64_t image; /* no tile goes beyond these pixels, those of one image then */
    int64_t block; /* channels summed at a time */
    int64_t item_rows, item_panels, image_items, row_items;
    bool copy, gather, planes; /* the source is copied; its pixels, or channels, are far apart */
    bool stream;
    const float *src, *packed;
    luc_conv_then then;
    float *dst;
    char *scratch; /* copy_bytes for each thread */
    size_t copy_bytes;
} pointwise;

static size_t packed_bytes(const pointwise *g)
{
    return luc_round64((size_t)(g->panels * g->depth * g->tile->cols) * sizeof(float));
}

static void set_sizes(pointwise *g, bool backward)
{
    const luc_conv2d_params *p = g->p;
    g->tile = luc_tile_f32_get();
    g->pixels = p->n * (backward ? p->h * p->w : p->oh * p->ow);
    g->depth = backward ? p->o : p->c, g->lanes = backward ? p->c : p->o;
    g->panels = luc_ceil_div(g->lanes, g->tile->cols);
    g->src_pixel = g->depth, g->dst_pixel = g->lanes;
    g->block = luc_even_piece(luc_max64(g->depth, 1), DEPTH);
    g->gather = !backward && (p->stride_h > 1 || p->stride_w > 1);
    const int64_t *stride = backward ? p->y_stride : p->x_stride;
    g->planes = g->depth > 1 && stride[1] != 1;
    g->image = g->planes ? p->h * p->w : g->pixels;
    g->src_image = stride[0], g->src_plane = stride[1];
    /* Pixels that are a multiple of a page apart would all need the same lines of the cache. */
    g->copy = g->gather || g->planes || g->src_pixel * (int64_t)sizeof(float) % 2048 == 0;
    g->copy_bytes =
        g->copy ? luc_round64((size_t)(MOST_ROWS * (g->block + PAD)) * sizeof(float)) : 0;
    g->stream = !p->statistics && g->depth <= g->block &&
                luc_layer_streams(g->pixels * g->lanes * (int64_t)sizeof(float));
}

/* Cuts the destination into items. The weights of an item take half of the second-level cache, so
   that they are read from memory once for many pixels. But there must be enough items to keep
   threads busy. */
static void cut(pointwise *g, int threads)
{
    threads = luc_conv_cut_for(g->p, threads);
    const int64_t panel = g->block * g->tile->cols * (int64_t)sizeof(float), rows = g->tile->rows;
    const int64_t most = (int64_t)luc_cpu_l2_bytes() / 2 / panel;
    g->item_panels = luc_even_piece(g->panels, luc_max64(luc_min64(most, g->panels), 1));
    g->item_rows = luc_even_piece(g->image, ITEM_ROWS);
    for (;;) {
        g->image_items = luc_ceil_div(g->image, g->item_rows);
        g->row_items = g->pixels / g->image * g->image_items;
        const int64_t items = g->row_items * luc_ceil_div(g->panels, g->item_panels);
        if (threads == 1 || items >= 4 * threads) break;
        if (g->item_rows > 8 * rows)
            g->item_rows = luc_ceil_div(g->item_rows / 2, rows) * rows;
        else if (g->item_panels > 1 && items < 2 * threads)
            g->item_panels = luc_even_piece(g->panels, g->item_panels / 2);
        else
            break;
    }
}

/* ---- weights: [panel][source channel][lane] ------------------------------------------------- */

typedef struct {
    const pointwise *g;
    const float *w;
    int64_t lane, depth; /* strides of w */
    float *to;
} packing;

static void pack_panels(void *ctx, int64_t begin, int64_t end, int thread)
{
    const packing *k = ctx;
    const pointwise *g = k->g;
    const int64_t cols = g->tile->cols;
    (void)thread;
    for (int64_t panel = begin; panel < end; panel++) {
        const int64_t lanes = luc_min64(cols, g->lanes - panel * cols);
        const float *w = k->w + panel * cols * k->lane;
        float *to = k->to + panel * g->depth * cols;
        if (lanes < cols) memset(to, 0, sizeof(float) * (size_t)(g->depth * cols));
        if (k->depth == 1) {
            luc_gemm_get()->transpose_32(to, cols, w, k->lane, lanes, g->depth);
            continue;
        }
        for (int64_t d = 0; d < g->depth; d++, to += cols, w += k->depth) {
            if (k->lane == 1)
                memcpy(to, w, sizeof(float) * (size_t)lanes);
            else
                for (int64_t l = 0; l < lanes; l++) to[l] = w[l * k->lane];
        }
    }
}

static size_t conv_pointwise_packed_bytes(const luc_conv2d_params *p, bool backward)
{
    pointwise g = {.p = p};
    set_sizes(&g, backward);
    return packed_bytes(&g);
}

static void conv_pointwise_pack(const luc_conv2d_params *p, bool backward, const void *w,
                                void *packed)
{
    pointwise g = {.p = p};
    set_sizes(&g, backward);
    const int64_t o = p->w_stride[0], c = p->w_stride[1];
    packing k = {.g = &g, .w = w, .to = packed};
    k.lane = backward ? c : o, k.depth = backward ? o : c;
    if (g.depth == 1) k.depth = 1; /* a stride means nothing with one pixel */
    luc_parallel_for(g.panels, 1 + (1 << 13) / (g.depth * g.tile->cols + 1), pack_panels, &k);
}

/* ---- the product ---------------------------------------------------------------------------- */

/* Where pixel i of the destination has its source. */
static const float *source(const pointwise *g, int64_t i)
{
    const luc_conv2d_params *p = g->p;
    if (g->planes) return g->src + i / g->image * g->src_image + i % g->image;
    if (!g->gather) return g->src + i * g->src_pixel;
    const int64_t size = p->oh * p->ow, at = i % size;
    return g->src + i / size * p->x_stride[0] + at / p->ow * p->stride_h * p->x_stride[2] +
           at % p->ow * p->stride_w * p->x_stride[3];
}

/* Channels [k, k + depth) of a tile's pixels: [pixel][channel], or, from planes,
   [channel][MOST_ROWS pixels]. */
static void copy_rows(const pointwise *g, float *to, int64_t row, int64_t rows, int64_t k,
                      int64_t depth)
{
    if (g->planes) {
        const float *from = source(g, row) + k * g->src_plane;
        for (int64_t d = 0; d < depth; d++, from += g->src_plane, to += MOST_ROWS)
            for (int64_t i = 0; i < rows; i += LUC_VF)
                vf_store(to + i, vf_load_n(from + i, luc_min64(LUC_VF, rows - i)));
        return;
    }
    for (int64_t i = 0; i < rows; i++, to += g->block + PAD)
        memcpy(to, source(g, row + i) + k, sizeof(float) * (size_t)depth);
}

/* The flags that say what the tiles of channels [k, k + depth) do to the destination. */
static int flags_of(const pointwise *g, int64_t k, int64_t depth)
{
    const luc_conv_then *then = &g->then;
    int flags = (k > 0 ? LUC_TILE_ADD : 0) | (g->stream ? LUC_TILE_STREAM : 0);
    if (k + depth < g->depth) return flags;
    if (then->scale) flags |= LUC_TILE_SCALE_COL;
    if (then->shift) flags |= LUC_TILE_BIAS_COL;
    if (then->residual) flags |= LUC_TILE_RESIDUAL;
    return then->relu ? flags | LUC_TILE_RELU : flags;
}

/* Fetches part `part` of `parts` of the source that the next tile reads. It comes from memory, in
   pieces that are too short for the hardware's own prefetching. */
static void fetch(const pointwise *g, int64_t row, int64_t rows, int64_t k, int64_t depth,
                  int64_t part, int64_t parts)
{
    enum { LINE = 64 / sizeof(float) };
    if (g->planes) {
        const float *from = source(g, row) + k * g->src_plane;
        for (int64_t d = depth * part / parts; d < depth * (part + 1) / parts; d++) {
            __builtin_prefetch(from + d * g->src_plane, 0, 2);
            __builtin_prefetch(from + d * g->src_plane + rows - 1, 0, 2);
        }
        return;
    }
    const int64_t lines = luc_ceil_div(depth, LINE), last = rows * lines * (part + 1) / parts;
    int64_t i = rows * lines * part / parts;
    while (i < last) {
        const float *from = source(g, row + i / lines) + k;
        const int64_t end = luc_min64(last, (i / lines + 1) * lines);
        for (int64_t at = i % lines; i < end; i++, at++) __builtin_prefetch(from + at * LINE, 0, 2);
    }
}

/* Multiplies the tile's pixels from `row` on with the panels [begin, end). `next` pixels follow. */
static void run_panels(const pointwise *g, luc_tile_f32 *t, int64_t row, int64_t k, int64_t begin,
                       int64_t end, int64_t next)
{
    const luc_conv_then *then = &g->then;
    const int64_t cols = g->tile->cols, half = g->tile->half * t->c_row;
    for (int64_t panel = begin; panel < end; panel++) {
        if (next > 0) fetch(g, row + t->m, next, k, t->depth, panel - begin, end - begin);
        const int64_t lane = panel * cols, at = row * g->dst_pixel + lane;
        t->n = (int)luc_min64(cols, g->lanes - lane);
        t->b = g->packed + (panel * g->depth + k) * cols;
        t->c0 = g->dst + at, t->c1 = t->c0 + half;
        if (then->scale) t->scale = then->scale + lane;
        if (then->shift) t->bias = then->shift + lane;
        if (then->residual) t->r0 = then->residual + at, t->r1 = t->r0 + half;
        g->tile->run(t);
    }
}

/* The tile's rows of the source: in place, or in a copy. */
static void set_source(const pointwise *g, luc_tile_f32 *t, float *copy, int64_t row, int64_t k)
{
    if (g->copy) copy_rows(g, copy, row, t->m, k, t->depth);
    t->a0 = g->copy ? copy : source(g, row) + k;
    t->a_row = g->planes ? 1 : g->copy ? g->block + PAD : g->src_pixel;
    t->a1 = t->a0 + g->tile->half * t->a_row;
}

/* The item's channels of pixels [r0, r1), part `part`. */
static void sum_item(const pointwise *g, int64_t part, int64_t r0, int64_t r1, int64_t p0,
                     int64_t p1)
{
    const luc_conv_sums *s = g->then.sums;
    const luc_conv_sums_table *table = luc_conv_sums_get();
    const int64_t channel = p0 * g->tile->cols;
    const int64_t n = luc_min64(p1 * g->tile->cols, g->lanes) - channel;
    const float *y = g->dst + r0 * g->dst_pixel + channel;
    table->begin(s, part, y, channel, n);
    table->add(s, part, y, r1 - r0, g->dst_pixel, channel, n);
    if (channel == 0) s->pixels[part] = r1 - r0;
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const pointwise *g = ctx;
    (void)end;
    const int64_t image = begin % g->row_items / g->image_items * g->image;
    const int64_t r0 = image + begin % g->image_items * g->item_rows;
    const int64_t r1 = luc_min64(r0 + g->item_rows, image + g->image);
    const int64_t p0 = begin / g->row_items * g->item_panels;
    const int64_t p1 = luc_min64(p0 + g->item_panels, g->panels);
    const int64_t size = luc_even_piece(r1 - r0, g->tile->rows);
    float *copy = (float *)(void *)(g->scratch + (size_t)thread * g->copy_bytes);
    const luc_segment none = {0, 0};
    luc_tile_f32 t = {
        .a_step = g->planes ? MOST_ROWS : 1, .b_step = g->tile->cols, .c_row = g->dst_pixel};
    t.segments = 1, t.segment = &none;
    for (int64_t k = 0; k == 0 || k < g->depth; k += g->block) {
        t.depth = luc_min64(g->block, g->depth - k);
        t.flags = flags_of(g, k, t.depth);
        for (int64_t row = r0; row < r1; row += size) {
            t.m = (int)luc_min64(size, r1 - row);
            set_source(g, &t, copy, row, k);
            run_panels(g, &t, row, k, p0, p1, luc_min64(size, r1 - row - t.m));
        }
    }
    if (g->then.sums) sum_item(g, begin % g->row_items, r0, r1, p0, p1);
    if (g->stream) luc_stream_fence();
}

static size_t conv_pointwise_bytes(const luc_conv2d_params *p, bool backward, int threads)
{
    pointwise g = {.p = p};
    set_sizes(&g, backward);
    return g.copy_bytes * (size_t)threads;
}

static void conv_pointwise_run(const luc_conv2d_params *p, bool backward, const void *from,
                               const void *packed, const luc_conv_then *then, void *to,
                               char *workspace, int threads)
{
    pointwise g = {.p = p, .src = from, .packed = packed, .dst = to, .scratch = workspace};
    if (then) g.then = *then;
    set_sizes(&g, backward);
    if (g.pixels <= 0 || g.lanes <= 0) return;
    cut(&g, threads);
    luc_parallel_for_max(g.row_items * luc_ceil_div(g.panels, g.item_panels), 1, threads, run_item,
                         &g);
}

static int64_t conv_pointwise_parts(const luc_conv2d_params *p)
{
    pointwise g = {.p = p};
    set_sizes(&g, false);
    cut(&g, 1);
    return g.row_items;
}

LUC_LEVEL_TABLE(luc_conv_pointwise_table, luc_conv_pointwise) = {
    .kernel = {conv_pointwise_packed_bytes, conv_pointwise_pack, conv_pointwise_bytes,
               conv_pointwise_run, conv_pointwise_parts},
};

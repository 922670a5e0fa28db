/*
 * block_weights.c: the weight gradient of bfloat16 over channels_last images, as products of dy,
 * transposed, by what the pixels see, in the blocks of bf16/bf16.h.
 *
 * The sum runs over pixels. They are cut into parts by the shape alone; each part keeps its own
 * sums, in float, and these are added in order.
 */
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/conv/blocks_priv.h"
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/copy/convert.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/threads/parallel.h"

enum {
    PART_NUMBERS = 1 << 19, /* of dy in a part: 1 MB of the second-level cache */
    LEAST_PIXELS = 512,
    MOST_PIXELS = 4096,
    SUMS_BYTES = 32 << 20, /* that all parts' sums may take, unless one part takes more */
    MOST_TAPS = 16,        /* of kernels that are stored by transposition */
    BIAS_CHANNELS = 16,
};

typedef struct {
    const luc_conv2d_params *p;
    luc_conv_walk walk; /* of forward */
    const luc_bf16_table *table;
    int64_t taps, numbers;  /* that a pixel sees */
    int64_t panels, blocks; /* of these numbers, and of dy's channels, in one group */
    int64_t pixels, part_pixels, steps, parts;
    bool whole;           /* no panel has numbers of two taps */
    int64_t panel_chunks; /* panels are taken together that have the same channels */
    size_t dy_bytes, sums_bytes, columns_bytes, line_bytes;
    /* one run */
    const uint16_t *x, *dy;
    uint16_t *dw, *packed_dy;
    float *sums; /* [part][group][panel][block][32][32] */
    char *scratch;
} weights;

static weights plan(const luc_conv2d_params *p)
{
    weights g = {.p = p, .walk = luc_conv_walk_of(p, false, 0), .table = luc_bf16_kernels()};
    const luc_conv_walk *k = &g.walk;
    g.taps = k->r.count * k->c.count;
    g.numbers = g.taps * k->depth;
    g.whole = k->depth % LUC_BF16_BLOCK == 0;
    g.panels = luc_bf16_blocks(g.numbers), g.blocks = luc_bf16_blocks(k->lanes);
    g.panel_chunks = g.whole ? k->depth / LUC_BF16_BLOCK : 1;
    g.pixels = p->n * k->rows * k->cols;
    const size_t block = LUC_BF16_PACKED * sizeof(float);
    const size_t sums = (size_t)(p->groups * g.panels * g.blocks) * block;
    const int64_t most = luc_max64((int64_t)(SUMS_BYTES / (sums + 1)), 1);
    int64_t part =
        luc_min64(luc_max64(PART_NUMBERS / luc_max64(k->lanes, 1), LEAST_PIXELS), MOST_PIXELS);
    part = luc_max64(part, luc_ceil_div(g.pixels, most));
    g.parts = luc_max64(luc_ceil_div(g.pixels, part), 1);
    g.steps = luc_bf16_blocks(luc_ceil_div(g.pixels, g.parts));
    g.part_pixels = luc_max64(g.steps, 1) * LUC_BF16_BLOCK;
    g.parts = luc_max64(luc_ceil_div(g.pixels, g.part_pixels), 1);
    const size_t step = LUC_BF16_PACKED * sizeof(uint16_t);
    g.dy_bytes = (size_t)(g.parts * p->groups * g.blocks * g.steps) * step;
    g.sums_bytes = (size_t)g.parts * sums;
    g.columns_bytes = (size_t)(g.steps * (g.whole ? 1 : g.panels)) * step;
    g.line_bytes = LUC_BF16_BLOCK * luc_round64((size_t)g.numbers * sizeof(uint16_t));
    return g;
}

/* Of a thread: columns and lines in the products, a channel's numbers at the end. */
static size_t thread_bytes(const weights *g)
{
    const size_t channel = luc_round64((size_t)g->numbers * (sizeof(float) + sizeof(uint16_t)));
    const size_t product = g->columns_bytes + g->line_bytes;
    return product > channel ? product : channel;
}

size_t luc_conv_block_weights_bytes(const luc_conv2d_params *p, int threads)
{
    const weights g = plan(p);
    return g.dy_bytes + g.sums_bytes + thread_bytes(&g) * (size_t)threads;
}

/* ---- operands -------------------------------------------------------------------------------- */

/* The pixels of a part. */
static int64_t pixels_of(const weights *g, int64_t part)
{
    return luc_min64(g->part_pixels, g->pixels - part * g->part_pixels);
}

/* Where pixel's channels of dy are. */
static const uint16_t *dy_at(const weights *g, int64_t pixel)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t col = pixel % k->cols, line = pixel / k->cols;
    return g->dy + line / k->rows * k->dst_n + line % k->rows * k->dst_r + col * k->dst_c;
}

/* dy, transposed: items are blocks of channels of a part and group. */
static void pack_dy(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    const uint16_t *line[LUC_BF16_BLOCK];
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t block = i % g->blocks, group = i / g->blocks % g->p->groups;
        const int64_t part = i / g->blocks / g->p->groups, pixels = pixels_of(g, part);
        const int64_t channel = block * LUC_BF16_BLOCK;
        const int64_t m = luc_min64(LUC_BF16_BLOCK, g->walk.lanes - channel);
        uint16_t *to = g->packed_dy + i * g->steps * LUC_BF16_PACKED;
        for (int64_t s = 0; s < g->steps; s++, to += LUC_BF16_PACKED) {
            for (int64_t j = 0; j < LUC_BF16_BLOCK; j++) {
                const int64_t pixel = s * LUC_BF16_BLOCK + j;
                line[j] = pixel >= pixels ? NULL
                                          : dy_at(g, part * g->part_pixels + pixel) +
                                                group * g->walk.lanes + channel;
            }
            g->table->rows_across(to, line, m);
        }
    }
}

/* The part's columns of one tap's channels. src is at the first of them. */
static void pack_tap(const weights *g, uint16_t *to, const uint16_t *src, int64_t part, int64_t tap)
{
    const luc_conv_walk *k = &g->walk;
    const uint16_t *seen[LUC_BF16_BLOCK];
    const int64_t pixels = pixels_of(g, part);
    for (int64_t s = 0; s < g->steps; s++, to += LUC_BF16_PACKED) {
        const int64_t first = s * LUC_BF16_BLOCK;
        const int64_t some = luc_min64(luc_max64(pixels - first, 0), LUC_BF16_BLOCK);
        for (int64_t i = some; i < LUC_BF16_BLOCK; i++) seen[i] = NULL;
        luc_conv_see(k, src, part * g->part_pixels + first, some, tap / k->c.count,
                     tap % k->c.count, seen);
        g->table->columns(to, seen, LUC_BF16_BLOCK);
    }
}

/* The part's columns of all taps, where their channels do not fill panels. */
static void pack_lines(const weights *g, uint16_t *to, uint16_t *lines, const uint16_t *src,
                       int64_t part)
{
    const uint16_t *line[LUC_BF16_BLOCK], *first[LUC_BF16_BLOCK];
    const int64_t pixels = pixels_of(g, part), length = (int64_t)g->line_bytes / 2 / LUC_BF16_BLOCK;
    for (int64_t s = 0; s < g->steps; s++) {
        for (int64_t i = 0; i < LUC_BF16_BLOCK; i++) {
            const int64_t pixel = s * LUC_BF16_BLOCK + i;
            line[i] = pixel < pixels ? lines + i * length : NULL;
            if (!line[i]) continue;
            const luc_conv_corner c = luc_conv_corner_of(&g->walk, part * g->part_pixels + pixel);
            luc_conv_fill_row(&g->walk, src, &c, lines + i * length);
        }
        for (int64_t panel = 0; panel < g->panels; panel++) {
            const int64_t at = panel * LUC_BF16_BLOCK;
            for (int i = 0; i < LUC_BF16_BLOCK; i++) first[i] = line[i] ? line[i] + at : NULL;
            g->table->columns(to + (panel * g->steps + s) * LUC_BF16_PACKED, first,
                              luc_min64(LUC_BF16_BLOCK, g->numbers - at));
        }
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

/* All channels of dy by one panel. */
static void run_panel(const weights *g, const uint16_t *columns, int64_t part, int64_t group,
                      int64_t panel)
{
    const int64_t of = part * g->p->groups + group;
    luc_bf16_block b = luc_bf16_plain_block(LUC_BF16_BLOCK, LUC_BF16_PACKED, g->steps);
    b.b = columns;
    b.n = luc_min64(LUC_BF16_BLOCK, g->numbers - panel * LUC_BF16_BLOCK);
    for (int64_t i = 0; i < g->blocks; i++) {
        b.m = luc_min64(LUC_BF16_BLOCK, g->walk.lanes - i * LUC_BF16_BLOCK);
        b.a = g->packed_dy + (of * g->blocks + i) * g->steps * LUC_BF16_PACKED;
        b.c = g->sums + ((of * g->panels + panel) * g->blocks + i) * LUC_BF16_PACKED;
        g->table->block(&b);
    }
}

/* An item: a part, a group, and 32 channels of x with all taps (or all channels, if these are
   few). */
static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    char *scratch = g->scratch + (size_t)thread * thread_bytes(g);
    uint16_t *columns = (uint16_t *)(void *)scratch;
    uint16_t *lines = (uint16_t *)(void *)(scratch + g->columns_bytes);
    g->table->begin();
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item % g->panel_chunks, of = item / g->panel_chunks;
        const int64_t group = of % g->p->groups, part = of / g->p->groups;
        const uint16_t *src = g->x + group * g->walk.depth + chunk * LUC_BF16_BLOCK;
        if (!g->whole) pack_lines(g, columns, lines, src, part);
        for (int64_t i = 0; i < (g->whole ? g->taps : g->panels); i++) {
            if (g->whole) pack_tap(g, columns, src, part, i);
            run_panel(g, g->whole ? columns : columns + i * g->steps * LUC_BF16_PACKED, part, group,
                      i * g->panel_chunks + chunk);
        }
    }
    g->table->end();
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Adds n of the parts' sums of one output channel in one panel. */
static void add_parts(const weights *g, float *sum, int64_t group, int64_t panel, int64_t block,
                      int64_t row, int64_t n)
{
    for (int64_t part = 0; part < g->parts; part++) {
        const int64_t of = (part * g->p->groups + group) * g->panels + panel;
        const float *from =
            g->sums + (of * g->blocks + block) * LUC_BF16_PACKED + row * LUC_BF16_BLOCK;
        for (int64_t i = 0; i < n; i++) sum[i] = part ? sum[i] + from[i] : from[i];
    }
}

/* Adds the parts' sums of one output channel, and stores them. */
static void store_channel(const weights *g, float *sum, uint16_t *half, int64_t channel)
{
    const luc_conv2d_params *p = g->p;
    const luc_conv_walk *k = &g->walk;
    const int64_t group = channel / k->lanes, lane = channel % k->lanes;
    const int64_t block = lane / LUC_BF16_BLOCK, row = lane % LUC_BF16_BLOCK;
    for (int64_t panel = 0; panel < g->panels; panel++) {
        const int64_t at = panel * LUC_BF16_BLOCK;
        add_parts(g, sum + at, group, panel, block, row,
                  luc_min64(LUC_BF16_BLOCK, g->numbers - at));
    }
    luc_convert_get()->fn[LUCID_F32][LUCID_BF16](half, sum, g->numbers);
    uint16_t *to = g->dw + channel * p->w_stride[0];
    for (int64_t tap = 0; tap < g->taps; tap++, half += k->depth) {
        uint16_t *at = to + tap / p->kw * p->w_stride[2] + tap % p->kw * p->w_stride[3];
        for (int64_t c = 0; c < k->depth; c++) at[c * p->w_stride[1]] = half[c];
    }
}

static void store_channels(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    char *scratch = g->scratch + (size_t)thread * thread_bytes(g);
    float *sum = (float *)(void *)scratch;
    for (int64_t o = begin; o < end; o++)
        store_channel(g, sum, (uint16_t *)(void *)(sum + g->numbers), o);
}

/* Whether the kernels' elements follow each other in memory, and panels are of one tap. */
static bool has_dense_kernels(const weights *g)
{
    const luc_conv2d_params *p = g->p;
    return g->whole && g->taps > 1 && g->taps <= MOST_TAPS && p->w_stride[3] == 1 &&
           p->w_stride[2] == p->kw && p->w_stride[1] == g->taps;
}

/* An item: a block of output channels of a group, and 32 input channels with all taps. They are
   transposed, so that the numbers of an element follow each other, and back with elements in the
   order of memory. */
static void store_blocks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    const luc_bf16_table *t = g->table;
    _Alignas(64) uint16_t turned[MOST_TAPS * LUC_BF16_PACKED], half[LUC_BF16_PACKED];
    _Alignas(64) uint16_t across[LUC_BF16_PACKED];
    const uint16_t *line[LUC_BF16_BLOCK];
    float sum[LUC_BF16_BLOCK];
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item % g->panel_chunks, of = item / g->panel_chunks;
        const int64_t block = of % g->blocks, group = of / g->blocks;
        const int64_t first = block * LUC_BF16_BLOCK;
        const int64_t m = luc_min64(LUC_BF16_BLOCK, g->walk.lanes - first);
        uint16_t *to = g->dw + (group * g->walk.lanes + first) * g->p->w_stride[0] +
                       chunk * LUC_BF16_BLOCK * g->taps;
        for (int64_t tap = 0; tap < g->taps; tap++) {
            for (int64_t o = 0; o < LUC_BF16_BLOCK; o++) {
                line[o] = o < m ? half + o * LUC_BF16_BLOCK : NULL;
                if (o >= m) continue;
                add_parts(g, sum, group, tap * g->panel_chunks + chunk, block, o, LUC_BF16_BLOCK);
                luc_convert_get()->fn[LUCID_F32][LUCID_BF16](half + o * LUC_BF16_BLOCK, sum,
                                                             LUC_BF16_BLOCK);
            }
            t->rows_across(across, line, LUC_BF16_BLOCK);
            for (int64_t c = 0; c < LUC_BF16_BLOCK; c++)
                memcpy(turned + (c * g->taps + tap) * LUC_BF16_BLOCK, across + c * LUC_BF16_BLOCK,
                       sizeof *across * LUC_BF16_BLOCK);
        }
        for (int64_t at = 0; at < LUC_BF16_BLOCK * g->taps; at += LUC_BF16_BLOCK) {
            for (int64_t i = 0; i < LUC_BF16_BLOCK; i++)
                line[i] = turned + (at + i) * LUC_BF16_BLOCK;
            t->rows_across(across, line, m);
            for (int64_t o = 0; o < m; o++)
                memcpy(to + o * g->p->w_stride[0] + at, across + o * LUC_BF16_BLOCK,
                       sizeof *across * LUC_BF16_BLOCK);
        }
    }
}

typedef struct {
    const weights *g;
    uint16_t *dbias;
} bias_sums;

static void sum_bias(void *ctx, int64_t begin, int64_t end, int thread)
{
    const bias_sums *b = ctx;
    double sum[BIAS_CHANNELS] = {0};
    (void)thread;
    for (int64_t i = 0; i < b->g->pixels; i++) {
        const uint16_t *dy = dy_at(b->g, i);
        for (int64_t o = begin; o < end; o++) sum[o - begin] += (double)luc_bf16_to_f32(dy[o]);
    }
    for (int64_t o = begin; o < end; o++) b->dbias[o] = luc_f32_to_bf16((float)sum[o - begin]);
}

void luc_conv_block_weights(const luc_conv2d_params *p, const uint16_t *x, const uint16_t *dy,
                            uint16_t *dw, uint16_t *dbias, char *workspace, int threads)
{
    weights g = plan(p);
    g.x = x, g.dy = dy, g.dw = dw;
    g.packed_dy = (uint16_t *)(void *)workspace;
    g.sums = (float *)(void *)(workspace + g.dy_bytes);
    g.scratch = workspace + g.dy_bytes + g.sums_bytes;
    const int64_t groups = g.parts * p->groups;
    luc_parallel_for_max(groups * g.blocks, 1, threads, pack_dy, &g);
    luc_parallel_for_max(groups * g.panel_chunks, 1, threads, run_item, &g);
    if (has_dense_kernels(&g))
        luc_parallel_for_max(p->groups * g.blocks * g.panel_chunks, 1, threads, store_blocks, &g);
    else
        luc_parallel_for_max(p->o, 4, threads, store_channels, &g);
    bias_sums b = {&g, dbias};
    if (dbias) luc_parallel_for_max(p->o, BIAS_CHANNELS, threads, sum_bias, &b);
}

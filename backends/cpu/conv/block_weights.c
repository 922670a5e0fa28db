/*
 * block_weights.c: the weight gradient of bfloat16 over channels_last images, in the blocks of
 * bf16/bf16.h: what the pixels see, transposed, is multiplied by dy.
 *
 * The sum runs over pixels. They are cut into parts by the shape alone; each part keeps its own
 * sums, in float, and these are added in order. The rows of blocks, numbers of x along the pixels,
 * come in one of three ways:
 *   strips  x is transposed once, with zeros around the images. A tap reads it at an offset, where
 *           dy has zeros for what lies between the rows of the grid.
 *   taps    x is transposed for each tap: on small images, where strips would waste too much.
 *   lines   all that a pixel sees is written out and transposed: few channels.
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
    MOST_PIXELS = 8192,
    STRIP_PIXELS = 4096,
    SUMS_BYTES = 32 << 20, /* that all parts' sums may take, unless one part takes more */
    MOST_TAPS = 16,        /* of kernels that are stored by transposition */
    MOST_RUNS = 64,        /* strips in a part */
    BIAS_CHANNELS = 16,
    BLOCK = LUC_BF16_BLOCK,
    PACKED = LUC_BF16_PACKED,
};

typedef enum { STRIPS, TAPS, LINES } way;

typedef struct {
    const luc_conv2d_params *p;
    luc_conv_walk walk; /* of forward */
    const luc_bf16_table *table;
    way way;
    int64_t taps, numbers; /* that a pixel sees */
    /* Blocks of 32 numbers come in chunks of one item of parallel work each: 32 channels with all
       their taps, or everything. */
    int64_t chunks, chunk_blocks;
    int64_t panels; /* of dy's channels in a group */
    /* The sum: parts of `runs` runs (the last part may have fewer) of `steps` steps. A run is a
       strip, or some pixels. */
    int64_t parts, runs, all_runs, steps;
    int64_t run_pixels;                            /* not strips */
    int64_t band, bands, strip_cols, length, more; /* strips: grid rows, of an image; see x_at */
    size_t x_bytes, dy_bytes, sums_bytes, rows_bytes, line_bytes;
    /* one run */
    const uint16_t *x, *dy;
    uint16_t *dw, *packed_x, *packed_dy;
    float *sums; /* [part][group][chunk][panel][block of the chunk][32][32] */
    char *scratch;
} weights;

/* ---- the plan -------------------------------------------------------------------------------- */

static int64_t phases_of(const luc_conv_walk *k)
{
    return k->step_r * k->step_c;
}

/* Cuts images into strips. A strip's channel has `length` positions, of which `more` are those that
   taps see beyond the last step. */
static void set_strips(weights *g)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t below = (k->r.count - 1) * k->r.step / k->step_r;
    const int64_t right = (k->c.count - 1) * k->c.step / k->step_c;
    g->strip_cols = k->cols + right;
    g->band =
        luc_even_piece(k->rows, luc_max64(luc_min64(STRIP_PIXELS / g->strip_cols, k->rows), 1));
    g->bands = luc_ceil_div(k->rows, g->band);
    g->all_runs = g->p->n * g->bands;
    g->steps = luc_bf16_blocks((g->band - 1) * g->strip_cols + k->cols);
    g->more = below * g->strip_cols + right;
    /* An odd number of lines of the cache: rows do not all need the same ones. */
    g->length = (luc_bf16_blocks(g->steps * BLOCK + g->more) | 1) * BLOCK;
}

/* What strips compute in vain, as a part of the work. */
static double wasted(const weights *g)
{
    return (double)(g->all_runs * g->steps * BLOCK) /
               (double)(g->p->n * g->walk.rows * g->walk.cols) -
           1;
}

static void choose_way(weights *g)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t pixels = g->p->n * k->rows * k->cols;
    g->way = g->taps == 0 || k->depth % BLOCK != 0 ? LINES : TAPS;
    if (g->way == TAPS && pixels > 0) {
        set_strips(g);
        if (wasted(g) < 0.1 + 60 / (double)k->lanes) g->way = STRIPS;
    }
    g->chunks = g->way == LINES ? 1 : k->depth / BLOCK;
    g->chunk_blocks = g->way == LINES ? luc_bf16_blocks(g->numbers) : g->taps;
}

static weights plan(const luc_conv2d_params *p)
{
    weights g = {.p = p, .walk = luc_conv_walk_of(p, false, 0), .table = luc_bf16_kernels()};
    const luc_conv_walk *k = &g.walk;
    const int64_t pixels = p->n * k->rows * k->cols;
    g.taps = k->r.count * k->c.count, g.numbers = g.taps * k->depth;
    g.panels = luc_bf16_blocks(k->lanes);
    choose_way(&g);
    const size_t step = PACKED * sizeof(uint16_t);
    const size_t sums = (size_t)(p->groups * g.chunks * g.panels * g.chunk_blocks) * 2 * step;
    const int64_t most = luc_max64((int64_t)(SUMS_BYTES / (sums + 1)), 1);
    int64_t part = luc_max64(PART_NUMBERS / luc_max64(k->lanes, 1), LEAST_PIXELS);
    part = luc_max64(luc_min64(part, MOST_PIXELS), luc_ceil_div(pixels, most));
    if (g.way == STRIPS) {
        g.runs = luc_min64(luc_max64(part / (g.steps * BLOCK), 1), MOST_RUNS);
        g.runs = luc_even_piece(g.all_runs, g.runs);
        g.parts = luc_ceil_div(g.all_runs, g.runs);
        g.x_bytes = sizeof(uint16_t) * (size_t)(g.all_runs * phases_of(k) * p->c * g.length);
    } else {
        g.runs = 1;
        g.steps = luc_bf16_blocks(luc_even_piece(luc_max64(pixels, 1), part));
        g.run_pixels = g.steps * BLOCK;
        g.parts = g.all_runs = luc_max64(luc_ceil_div(pixels, g.run_pixels), 1);
        g.rows_bytes = (size_t)(g.steps * (g.way == TAPS ? 1 : g.chunk_blocks)) * step;
        g.line_bytes = BLOCK * luc_round64((size_t)g.numbers * sizeof(uint16_t));
    }
    g.dy_bytes = (size_t)(g.parts * p->groups * g.panels * g.runs * g.steps) * step;
    /* One part needs no memory of its own: an item's sums are stored at once. */
    g.sums_bytes = g.parts > 1 ? (size_t)g.parts * sums : 0;
    return g;
}

/* A thread's: one chunk's sums, its rows, and lines. */
static size_t chunk_bytes(const weights *g)
{
    return (size_t)(g->panels * g->chunk_blocks) * PACKED * sizeof(float);
}

static size_t thread_bytes(const weights *g)
{
    return chunk_bytes(g) + g->rows_bytes + g->line_bytes;
}

size_t luc_conv_block_weights_bytes(const luc_conv2d_params *p, int threads)
{
    const weights g = plan(p);
    return g.x_bytes + g.dy_bytes + g.sums_bytes + thread_bytes(&g) * (size_t)threads;
}

/* ---- dy -------------------------------------------------------------------------------------- */

/* Where pixel (n, row, col) of dy is. */
static const uint16_t *dy_at(const weights *g, int64_t n, int64_t row, int64_t col)
{
    const luc_conv_walk *k = &g->walk;
    return g->dy + n * k->dst_n + row * k->dst_r + col * k->dst_c;
}

/* Sets what step s of a run has of dy: NULL where there is no pixel. */
static void see_dy(const weights *g, int64_t run, int64_t s, const uint16_t *line[BLOCK])
{
    const luc_conv_walk *k = &g->walk;
    if (g->way == STRIPS) {
        const int64_t n = run / g->bands, first = run % g->bands * g->band;
        const int64_t rows = luc_min64(g->band, k->rows - first);
        int64_t row = s * BLOCK / g->strip_cols, col = s * BLOCK % g->strip_cols;
        for (int i = 0; i < BLOCK; i++) {
            line[i] = row < rows && col < k->cols ? dy_at(g, n, first + row, col) : NULL;
            if (++col == g->strip_cols) col = 0, row++;
        }
        return;
    }
    const int64_t pixels = g->p->n * k->rows * k->cols;
    int64_t pixel = run * g->run_pixels + s * BLOCK;
    for (int i = 0; i < BLOCK; i++, pixel++) {
        const int64_t at = pixel / k->cols;
        line[i] = pixel < pixels ? dy_at(g, at / k->rows, at % k->rows, pixel % k->cols) : NULL;
    }
}

/* Items are runs of a part: all groups and panels of each. */
static void pack_dy(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    const luc_conv_walk *k = &g->walk;
    const uint16_t *seen[BLOCK], *line[BLOCK];
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        const int64_t run = item / g->steps, s = item % g->steps, part = run / g->runs;
        see_dy(g, run, s, seen);
        for (int64_t i = 0; i < g->p->groups * g->panels; i++) {
            const int64_t lane = i % g->panels * BLOCK;
            const int64_t channel = i / g->panels * k->lanes + lane;
            const int64_t of = (part * g->p->groups * g->panels + i) * g->runs + run % g->runs;
            for (int j = 0; j < BLOCK; j++) line[j] = seen[j] ? seen[j] + channel : NULL;
            g->table->columns(g->packed_dy + (of * g->steps + s) * PACKED, line,
                              luc_min64(BLOCK, k->lanes - lane));
        }
    }
}

/* ---- x --------------------------------------------------------------------------------------- */

/* Where a strip has a phase of a channel. */
static uint16_t *x_at(const weights *g, int64_t run, int64_t phase, int64_t channel)
{
    const int64_t of = run * phases_of(&g->walk) + phase;
    return g->packed_x + (of * g->p->c + channel) * g->length;
}

/* Items are strips by phases by 32 channels. */
static void pack_x(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    const luc_conv_walk *k = &g->walk;
    const uint16_t *line[BLOCK];
    _Alignas(64) uint16_t turned[PACKED];
    const int64_t blocks = g->p->c / BLOCK, phases = phases_of(k);
    const int64_t end_at = (g->band - 1) * g->strip_cols + k->cols + g->more;
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        const int64_t channel = item % blocks * BLOCK, phase = item / blocks % phases;
        const int64_t run = item / blocks / phases, n = run / g->bands;
        const int64_t top = run % g->bands * g->band * k->step_r + k->r.first + phase / k->step_c;
        const int64_t left = k->c.first + phase % k->step_c;
        uint16_t *to = x_at(g, run, phase, channel);
        if (!luc_conv_phase_is_seen(k, phase)) continue;
        int64_t row = top, col = left;
        const int64_t right = left + g->strip_cols * k->step_c;
        for (int64_t at = 0; at < g->length; at += BLOCK, to += BLOCK) {
            for (int64_t i = 0; i < BLOCK; i++) {
                const bool inside = at + i < end_at && row >= 0 && row < k->src_rows && col >= 0 &&
                                    col < k->src_cols;
                line[i] =
                    inside ? g->x + n * k->src_n + row * k->src_r + col * k->src_c + channel : NULL;
                col += k->step_c;
                if (col == right) col = left, row += k->step_r;
            }
            g->table->rows_across(turned, line, BLOCK);
            for (int64_t c = 0; c < BLOCK; c++)
                memcpy(to + c * g->length, turned + c * BLOCK, BLOCK * sizeof *to);
        }
    }
}

/* The rows of one tap's channels along a run's pixels. src is at the first channel. */
static void turn_tap(const weights *g, uint16_t *to, const uint16_t *src, int64_t run, int64_t tap)
{
    const luc_conv_walk *k = &g->walk;
    const uint16_t *seen[BLOCK];
    const int64_t pixels = g->p->n * k->rows * k->cols;
    for (int64_t s = 0; s < g->steps; s++, to += PACKED) {
        const int64_t first = run * g->run_pixels + s * BLOCK;
        const int64_t some = luc_min64(luc_max64(pixels - first, 0), BLOCK);
        for (int64_t i = some; i < BLOCK; i++) seen[i] = NULL;
        luc_conv_see(k, src, first, some, tap / k->c.count, tap % k->c.count, seen);
        g->table->rows_across(to, seen, BLOCK);
    }
}

/* The rows of all that a run's pixels see. */
static void turn_lines(const weights *g, uint16_t *to, uint16_t *lines, const uint16_t *src,
                       int64_t run)
{
    const uint16_t *line[BLOCK], *first[BLOCK];
    const int64_t pixels = g->p->n * g->walk.rows * g->walk.cols;
    const int64_t length = (int64_t)g->line_bytes / BLOCK / (int64_t)sizeof *lines;
    for (int64_t s = 0; s < g->steps; s++) {
        for (int64_t i = 0; i < BLOCK; i++) {
            const int64_t pixel = run * g->run_pixels + s * BLOCK + i;
            line[i] = pixel < pixels ? lines + i * length : NULL;
            if (!line[i]) continue;
            const luc_conv_corner c = luc_conv_corner_of(&g->walk, pixel);
            luc_conv_fill_row(&g->walk, src, &c, lines + i * length);
        }
        for (int64_t block = 0; block < g->chunk_blocks; block++) {
            const int64_t at = block * BLOCK;
            for (int i = 0; i < BLOCK; i++) first[i] = line[i] ? line[i] + at : NULL;
            g->table->rows_across(to + (block * g->steps + s) * PACKED, first,
                                  luc_min64(BLOCK, g->numbers - at));
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Whether the kernels' elements follow each other in memory, and blocks are of one tap. */
static bool has_dense_kernels(const weights *g)
{
    const luc_conv2d_params *p = g->p;
    return g->way != LINES && g->taps <= MOST_TAPS && (p->kw == 1 || p->w_stride[3] == 1) &&
           (p->kh == 1 || p->w_stride[2] == p->kw) && p->w_stride[1] == g->taps;
}

/* Rounds the sums of 32 channels with all taps, [tap][channel][32 output channels], and turns them:
   the numbers of an output channel follow each other in dw. */
static void store_dense(const weights *g, const float *sums, uint16_t *dw, int64_t outputs)
{
    _Alignas(64) uint16_t half[MOST_TAPS * PACKED], turned[PACKED];
    const uint16_t *line[BLOCK];
    for (int64_t tap = 0; tap < g->taps; tap++)
        for (int64_t c = 0; c < BLOCK; c++)
            luc_convert_get()->fn[LUCID_F32][LUCID_BF16](half + (c * g->taps + tap) * BLOCK,
                                                         sums + (tap * BLOCK + c) * BLOCK, BLOCK);
    for (int64_t at = 0; at < BLOCK * g->taps; at += BLOCK) {
        for (int64_t i = 0; i < BLOCK; i++) line[i] = half + (at + i) * BLOCK;
        g->table->rows_across(turned, line, outputs);
        for (int64_t o = 0; o < outputs; o++)
            memcpy(dw + o * g->p->w_stride[0] + at, turned + o * BLOCK, BLOCK * sizeof *dw);
    }
}

/* Stores one panel of a chunk's sums, [block][32][32 output channels]. */
static void store_panel(const weights *g, const float *sums, int64_t group, int64_t chunk,
                        int64_t panel)
{
    const luc_conv2d_params *p = g->p;
    const luc_conv_walk *k = &g->walk;
    const int64_t outputs = luc_min64(BLOCK, k->lanes - panel * BLOCK);
    uint16_t *dw = g->dw + (group * k->lanes + panel * BLOCK) * p->w_stride[0];
    if (has_dense_kernels(g)) {
        store_dense(g, sums, dw + chunk * BLOCK * g->taps, outputs);
        return;
    }
    for (int64_t i = 0; i < g->chunk_blocks * BLOCK; i++) {
        const int64_t at = g->way == LINES ? i : i / BLOCK * k->depth + chunk * BLOCK + i % BLOCK;
        if (at >= g->numbers) break;
        const int64_t tap = at / k->depth, channel = at % k->depth;
        uint16_t *to = dw + channel * p->w_stride[1] + tap / p->kw * p->w_stride[2] +
                       tap % p->kw * p->w_stride[3];
        for (int64_t o = 0; o < outputs; o++)
            to[o * p->w_stride[0]] = luc_f32_to_bf16(sums[i * BLOCK + o]);
    }
}

/* Adds the parts' sums, in order: items are panels of chunks. */
static void add_parts(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    const int64_t size = g->chunk_blocks * PACKED, all = g->p->groups * g->chunks * g->panels;
    float *sum = (float *)(void *)(g->scratch + (size_t)thread * thread_bytes(g));
    for (int64_t item = begin; item < end; item++) {
        memcpy(sum, g->sums + item * size, sizeof *sum * (size_t)size);
        for (int64_t part = 1; part < g->parts; part++) {
            const float *from = g->sums + (part * all + item) * size;
            for (int64_t i = 0; i < size; i++) sum[i] += from[i];
        }
        const int64_t chunk = item / g->panels;
        store_panel(g, sum, chunk / g->chunks, chunk % g->chunks, item % g->panels);
    }
}

typedef struct {
    const weights *g;
    uint16_t *dbias;
} bias_sums;

static void sum_bias(void *ctx, int64_t begin, int64_t end, int thread)
{
    const bias_sums *b = ctx;
    const luc_conv_walk *k = &b->g->walk;
    double sum[BIAS_CHANNELS] = {0};
    (void)thread;
    for (int64_t i = 0; i < b->g->p->n * k->rows * k->cols; i++) {
        const int64_t line = i / k->cols;
        const uint16_t *dy = dy_at(b->g, line / k->rows, line % k->rows, i % k->cols);
        for (int64_t o = begin; o < end; o++) sum[o - begin] += (double)luc_bf16_to_f32(dy[o]);
    }
    for (int64_t o = begin; o < end; o++) b->dbias[o] = luc_f32_to_bf16((float)sum[o - begin]);
}

/* ---- the product ----------------------------------------------------------------------------- */

/* All panels of dy by block number `block` of a chunk; b has the rows. */
static void run_block(const weights *g, luc_bf16_block *b, float *sums, int64_t part, int64_t group,
                      int64_t block)
{
    for (int64_t panel = 0; panel < g->panels; panel++) {
        const int64_t of = ((part * g->p->groups + group) * g->panels + panel) * g->runs;
        b->b = g->packed_dy + of * g->steps * PACKED;
        b->n = luc_min64(BLOCK, g->walk.lanes - panel * BLOCK);
        b->c = sums + (panel * g->chunk_blocks + block) * PACKED;
        g->table->block(b);
    }
}

/* A chunk by strips: all taps. */
static void run_strips(const weights *g, float *sums, int64_t part, int64_t group, int64_t chunk)
{
    const luc_conv_walk *k = &g->walk;
    int64_t run[MOST_RUNS];
    luc_bf16_block b = luc_bf16_plain_block(g->length, BLOCK, g->steps);
    b.m = BLOCK;
    b.a_run = run;
    b.runs = luc_min64(g->runs, g->all_runs - part * g->runs);
    for (int64_t i = 0; i < b.runs; i++) run[i] = i * phases_of(k) * g->p->c * g->length;
    for (int64_t tap = 0; tap < g->taps; tap++) {
        const int64_t r = tap / k->c.count * k->r.step, c = tap % k->c.count * k->c.step;
        const int64_t phase = r % k->step_r * k->step_c + c % k->step_c;
        b.a = x_at(g, part * g->runs, phase, group * k->depth + chunk * BLOCK) +
              r / k->step_r * g->strip_cols + c / k->step_c;
        run_block(g, &b, sums, part, group, tap);
    }
}

/* A chunk by taps, or by lines. */
static void run_rows(const weights *g, float *sums, uint16_t *rows, uint16_t *lines, int64_t part,
                     int64_t group, int64_t chunk)
{
    const uint16_t *src = g->x + group * g->walk.depth + chunk * BLOCK;
    luc_bf16_block b = luc_bf16_plain_block(BLOCK, PACKED, g->steps);
    if (g->way == LINES) turn_lines(g, rows, lines, src, part);
    for (int64_t i = 0; i < g->chunk_blocks; i++) {
        if (g->way == TAPS) turn_tap(g, rows, src, part, i);
        b.a = g->way == TAPS ? rows : rows + i * g->steps * PACKED;
        b.m = g->way == TAPS ? BLOCK : luc_min64(BLOCK, g->numbers - i * BLOCK);
        run_block(g, &b, sums, part, group, i);
    }
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const weights *g = ctx;
    char *scratch = g->scratch + (size_t)thread * thread_bytes(g);
    uint16_t *rows = (uint16_t *)(void *)(scratch + chunk_bytes(g));
    uint16_t *lines = (uint16_t *)(void *)(scratch + chunk_bytes(g) + g->rows_bytes);
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item % g->chunks, of = item / g->chunks;
        const int64_t group = of % g->p->groups, part = of / g->p->groups;
        float *sums = g->parts > 1 ? g->sums + item * g->panels * g->chunk_blocks * PACKED
                                   : (float *)(void *)scratch;
        g->table->begin();
        if (g->way == STRIPS)
            run_strips(g, sums, part, group, chunk);
        else
            run_rows(g, sums, rows, lines, part, group, chunk);
        g->table->end();
        for (int64_t panel = 0; panel < g->panels && g->parts == 1; panel++)
            store_panel(g, sums + panel * g->chunk_blocks * PACKED, group, chunk, panel);
    }
}

void luc_conv_block_weights(const luc_conv2d_params *p, const uint16_t *x, const uint16_t *dy,
                            uint16_t *dw, uint16_t *dbias, char *workspace, int threads)
{
    weights g = plan(p);
    g.x = x, g.dy = dy, g.dw = dw;
    g.packed_x = (uint16_t *)(void *)workspace;
    g.packed_dy = (uint16_t *)(void *)(workspace + g.x_bytes);
    g.sums = (float *)(void *)(workspace + g.x_bytes + g.dy_bytes);
    g.scratch = workspace + g.x_bytes + g.dy_bytes + g.sums_bytes;
    luc_parallel_for_max(g.all_runs * g.steps, 16, threads, pack_dy, &g);
    if (g.way == STRIPS)
        luc_parallel_for_max(g.all_runs * phases_of(&g.walk) * (p->c / BLOCK), 1, threads, pack_x,
                             &g);
    luc_parallel_for_max(g.parts * p->groups * g.chunks, 1, threads, run_item, &g);
    if (g.parts > 1)
        luc_parallel_for_max(p->groups * g.chunks * g.panels, 1, threads, add_parts, &g);
    bias_sums b = {&g, dbias};
    if (dbias) luc_parallel_for_max(p->o, BIAS_CHANNELS, threads, sum_bias, &b);
}

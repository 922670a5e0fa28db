/*
 * blocks.c: forward and input gradient of bfloat16 over channels_last images, as products of pixels
 * by weights in the blocks of bf16/bf16.h.
 *
 * There are three ways to the rows of what pixels see. A 1x1 kernel reads the image as it is. A
 * strip is a copy of some image rows with zeros around, in which each tap's rows lie at equal
 * distances. Where strips would waste too much, on small images and where channels do not fill
 * steps, what some pixels see is copied into the format of blocks.
 *
 * An item of parallel work is some pixels of a walk's grid and some panels of destination channels.
 * With strips these are rows of one image, else neighbours, wherever rows and images end.
 */
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/conv/blocks_priv.h"
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/threads/parallel.h"

enum {
    MOST_PIXELS = 256, /* of an item, and the least where rows are long */
    LEAST_PIXELS = 128,
    ROW_BYTES = 1 << 20, /* that an item's rows should take of the second-level cache */
    STRIP_BYTES = 1 << 18,
    MOST_RUNS = 49,  /* of taps in a strip */
    LEAST_ITEMS = 8, /* in which a walk should be cut, for threads */
    FEW_PANELS = 4,  /* a row that so few panels are multiplied with is not worth a copy */
    MOST_TAPS = 16,  /* of kernels that are packed by transposition */
};

typedef struct {
    const luc_conv2d_params *p;
    luc_conv_walk walk;
    const luc_bf16_table *table;
    int64_t taps, numbers, steps; /* of a row */
    int64_t panels;               /* of one group */
    int64_t pixels, item_pixels, item_panels, pixel_items, panel_items;
    bool whole;  /* no step has numbers of two taps */
    bool direct; /* the image is a matrix of rows */
    bool dense;  /* the destination's pixels follow each other */
    /* Strips: [row's phase][column's phase][row][column][channel], where a phase is what remains of
       a source coordinate divided by the step. */
    bool strip, aligned; /* aligned: grid rows are whole tiles */
    int64_t strip_rows, strip_cols, pitch, item_rows, image_items;
    int64_t run[MOST_RUNS];
    size_t packed_bytes, row_bytes, line_bytes;
    /* one run */
    const uint16_t *src, *w, *packed;
    luc_conv_then then;
    uint16_t *dst, *pack_to;
    char *scratch;
} blocks;

/* Whether every pixel of the grid sees the source pixel of the same number, and these follow each
   other. Rows a multiple of 2 KB apart would all need the same lines of the first-level cache. */
static bool is_matrix(const blocks *g)
{
    const luc_conv_walk *k = &g->walk;
    return g->taps == 1 && g->whole && k->step_r == 1 && k->step_c == 1 && k->r.first == 0 &&
           k->c.first == 0 && k->rows == k->src_rows && k->cols == k->src_cols &&
           k->src_r == k->cols * k->src_c && (g->p->n == 1 || k->src_n == k->rows * k->src_r) &&
           (k->src_c % 1024 != 0 || g->panels <= FEW_PANELS);
}

/* ---- strips ---------------------------------------------------------------------------------- */

/* The rows of a strip for this number of grid rows, and its columns: each phase has the same. */
static int64_t rows_of_strip(const luc_conv_walk *k, int64_t rows)
{
    return rows + (k->r.count - 1) * k->r.step / k->step_r;
}

static int64_t cols_of_strip(const luc_conv_walk *k)
{
    return k->cols + (k->c.count - 1) * k->c.step / k->step_c;
}

/* Whether strips cost less: they compute columns between the rows of the grid in vain, unless rows
   are whole tiles. The other way copies every number once for each tap, and blocks read the copies
   from the second-level cache: that takes the time of some 200 columns of the product. */
static bool strips_pay(const blocks *g)
{
    const luc_conv_walk *k = &g->walk;
    if (!g->whole || g->taps == 0 || g->taps > MOST_RUNS) return false;
    if (g->taps == 1) return false; /* each number is copied once in any case */
    const double pixels = (double)(k->rows * k->cols);
    const double wasted =
        k->cols % LUC_BF16_TILE == 0
            ? 0
            : (double)(luc_ceil_div(k->rows * cols_of_strip(k), LUC_BF16_TILE) * LUC_BF16_TILE) /
                      pixels -
                  1;
    return wasted < 200 / (double)k->lanes;
}

/* Cuts images into strips. */
static void set_strips(blocks *g)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t channels = k->depth * g->p->groups;
    /* Pixels a multiple of 1 KB apart would all need the same lines of the first-level cache. */
    g->pitch = channels % 512 == 0 ? channels + LUC_BF16_BLOCK : channels;
    g->strip_cols = cols_of_strip(k);
    g->aligned = k->cols % LUC_BF16_TILE == 0;
    const int64_t line = g->strip_cols * g->pitch * k->step_r * k->step_c;
    const int64_t more = rows_of_strip(k, 0);
    int64_t rows = luc_max64(STRIP_BYTES / 2 / line - more, 1);
    rows = luc_min64(rows, luc_max64(luc_ceil_div(k->rows * g->p->n, LEAST_ITEMS), 2));
    g->item_rows = luc_even_piece(k->rows, luc_min64(rows, k->rows));
    if (g->item_rows % 2 && g->item_rows < k->rows) g->item_rows++; /* blocks may take two */
    g->image_items = luc_ceil_div(k->rows, g->item_rows);
    g->pixel_items = g->p->n * g->image_items;
    g->strip_rows = rows_of_strip(k, g->item_rows);
    for (int64_t tap = 0; tap < g->taps; tap++) {
        const int64_t r = tap / k->c.count * k->r.step, c = tap % k->c.count * k->c.step;
        const int64_t phase = r % k->step_r * k->step_c + c % k->step_c;
        const int64_t row = phase * g->strip_rows + r / k->step_r;
        g->run[tap] = (row * g->strip_cols + c / k->step_c) * g->pitch;
    }
    /* A last block that is not full reads beyond the end. */
    const int64_t pixels = k->step_r * k->step_c * g->strip_rows * g->strip_cols + LUC_BF16_BLOCK;
    g->row_bytes = luc_round64(sizeof(uint16_t) * (size_t)(pixels * g->pitch));
}

/* One row of a strip: pixels of source row `from`, or zeros where that is NULL. */
static void fill_line(const blocks *g, uint16_t *to, const uint16_t *from, int64_t phase)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t channels = k->depth * g->p->groups, left = k->c.first + phase;
    const size_t bytes = sizeof *to * (size_t)channels, pitch = sizeof *to * (size_t)g->pitch;
    int64_t first = 0, last = 0;
    if (from) luc_valid_range(g->strip_cols, k->step_c, left, k->src_cols, &first, &last);
    memset(to, 0, pitch * (size_t)first);
    memset(to + last * g->pitch, 0, pitch * (size_t)(g->strip_cols - last));
    if (first == last) return;
    from += (first * k->step_c + left) * k->src_c;
    to += first * g->pitch;
    if (k->step_c == 1 && k->src_c == channels && g->pitch == channels) {
        memcpy(to, from, bytes * (size_t)(last - first));
        return;
    }
    for (int64_t i = first; i < last; i++, to += g->pitch, from += k->step_c * k->src_c)
        memcpy(to, from, bytes);
}

/* The strip of grid rows [row, row + rows) of one image. */
static void fill_strip(const blocks *g, uint16_t *strip, const uint16_t *image, int64_t row,
                       int64_t rows)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t line = g->strip_cols * g->pitch, count = rows_of_strip(k, rows);
    for (int64_t phase = 0; phase < k->step_r * k->step_c; phase++) {
        const int64_t of_row = phase / k->step_c, of_col = phase % k->step_c;
        if (!luc_conv_phase_is_seen(k, phase)) continue;
        uint16_t *to = strip + phase * g->strip_rows * line;
        for (int64_t i = 0; i < count; i++) {
            const int64_t at = (row + i) * k->step_r + k->r.first + of_row;
            const bool inside = at >= 0 && at < k->src_rows;
            fill_line(g, to + i * line, inside ? image + at * k->src_r : NULL, of_col);
        }
    }
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* Sets what follows from walk number i. False: there is nothing to compute. */
static bool set_walk(blocks *g, bool backward, int64_t i)
{
    const luc_conv2d_params *p = g->p;
    g->walk = luc_conv_walk_of(p, backward, i);
    const luc_conv_walk *k = &g->walk;
    g->table = luc_bf16_kernels();
    g->taps = k->r.count * k->c.count;
    g->numbers = g->taps * k->depth;
    g->steps = luc_bf16_blocks(g->numbers);
    g->panels = luc_bf16_blocks(k->lanes);
    g->pixels = p->n * k->rows * k->cols;
    if (g->pixels <= 0 || k->lanes <= 0) return false;
    g->whole = k->depth % LUC_BF16_BLOCK == 0;
    g->direct = is_matrix(g);
    g->dense = k->dst_r == k->cols * k->dst_c && (p->n == 1 || k->dst_n == k->rows * k->dst_r);
    g->strip = strips_pay(g);
    if (g->strip) {
        set_strips(g);
    } else {
        const int64_t row = luc_max64(g->steps, 1) * LUC_BF16_BLOCK * (int64_t)sizeof(uint16_t);
        const int64_t fit = ROW_BYTES / row / LUC_BF16_BLOCK * LUC_BF16_BLOCK;
        g->item_pixels = luc_min64(luc_max64(fit, LEAST_PIXELS), MOST_PIXELS);
        g->pixel_items = luc_ceil_div(g->pixels, g->item_pixels);
        g->row_bytes = (size_t)(row * (g->direct ? LUC_BF16_BLOCK : g->item_pixels));
    }
    const int64_t cuts = luc_min64(luc_ceil_div(LEAST_ITEMS, g->pixel_items), g->panels);
    g->item_panels = luc_ceil_div(g->panels, cuts);
    g->panel_items = luc_ceil_div(g->panels, g->item_panels);
    g->packed_bytes =
        sizeof(uint16_t) * LUC_BF16_PACKED * (size_t)(p->groups * g->panels * g->steps);
    g->line_bytes = g->whole ? 0 : luc_round64(sizeof(uint16_t) * (size_t)g->numbers);
    return true;
}

/* ---- the weights ----------------------------------------------------------------------------- */

/* A step of a panel from weights of which neither side follows in memory: a copy of its lanes. */
static void pack_copy(const blocks *g, uint16_t *to, const uint16_t *w, int64_t lanes,
                      int64_t first, int64_t count)
{
    const luc_conv_walk *k = &g->walk;
    uint16_t lines[LUC_BF16_BLOCK][LUC_BF16_BLOCK];
    const uint16_t *line[LUC_BF16_BLOCK];
    int64_t offset[LUC_BF16_BLOCK];
    for (int64_t i = 0; i < count; i++) {
        const int64_t tap = (first + i) / k->depth, depth = (first + i) % k->depth;
        offset[i] =
            luc_conv_tap_at(g->p, k, tap / k->c.count, tap % k->c.count) + depth * k->w_depth;
    }
    for (int64_t l = 0; l < LUC_BF16_BLOCK; l++) {
        line[l] = l < lanes ? lines[l] : NULL;
        const uint16_t *from = w + l * k->w_lane;
        for (int64_t i = 0; i < count && l < lanes; i++) lines[l][i] = from[offset[i]];
    }
    g->table->columns_across(to, line, count);
}

/* The step's numbers [first, first + count) of a panel whose first lane's weights are at w. */
static void pack_step(const blocks *g, uint16_t *to, const uint16_t *w, int64_t lanes,
                      int64_t first, int64_t count)
{
    const luc_conv_walk *k = &g->walk;
    const uint16_t *line[LUC_BF16_BLOCK];
    if (!g->whole || (k->w_depth != 1 && k->w_lane != 1)) {
        pack_copy(g, to, w, lanes, first, count);
        return;
    }
    const int64_t tap = first / k->depth, depth = first % k->depth;
    w += luc_conv_tap_at(g->p, k, tap / k->c.count, tap % k->c.count) + depth * k->w_depth;
    for (int64_t i = 0; i < LUC_BF16_BLOCK; i++)
        line[i] = k->w_lane == 1 ? w + i * k->w_depth : i < lanes ? w + i * k->w_lane : NULL;
    if (k->w_lane == 1)
        g->table->columns(to, line, lanes);
    else
        g->table->columns_across(to, line, count);
}

/* Whether the kernels' elements follow each other in memory, and the channels they belong to. */
static bool has_dense_kernels(const blocks *g)
{
    const luc_conv2d_params *p = g->p;
    const int64_t all = p->kh * p->kw;
    return g->whole && g->taps > 0 && all > 1 && all <= MOST_TAPS && p->w_stride[3] == 1 &&
           p->w_stride[2] == p->kw && p->w_stride[1] == all;
}

/* All taps of 32 source channels of a panel: 32 output channels by what they have for `inner` input
   channels are transposed. After it, the numbers of one element follow each other. */
static void pack_dense(const blocks *g, uint16_t *to, int64_t chunks, const uint16_t *w,
                       int64_t outputs, int64_t inner)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t all = g->p->kh * g->p->kw;
    const bool by_lane = k->w_lane == g->p->w_stride[1]; /* the input channels are the lanes */
    _Alignas(64) uint16_t turned[MOST_TAPS * LUC_BF16_PACKED];
    const uint16_t *line[LUC_BF16_BLOCK];
    for (int64_t at = 0; at < inner * all; at += LUC_BF16_BLOCK) {
        for (int64_t o = 0; o < LUC_BF16_BLOCK; o++)
            line[o] = o < outputs ? w + o * g->p->w_stride[0] + at : NULL;
        g->table->rows_across(turned + at * LUC_BF16_BLOCK, line,
                              luc_min64(LUC_BF16_BLOCK, inner * all - at));
    }
    for (int64_t tap = 0; tap < g->taps; tap++) {
        const uint16_t *first =
            turned + LUC_BF16_BLOCK * luc_conv_tap_at(g->p, k, tap / k->c.count, tap % k->c.count);
        for (int64_t i = 0; i < LUC_BF16_BLOCK; i++)
            line[i] = i < inner ? first + i * all * LUC_BF16_BLOCK : NULL;
        uint16_t *step = to + tap * chunks * LUC_BF16_PACKED;
        if (by_lane)
            g->table->columns_across(step, line, LUC_BF16_BLOCK);
        else
            g->table->columns(step, line, LUC_BF16_BLOCK);
    }
}

/* Neighbouring taps lie close to each other, so they are packed one after the other. */
static void pack_panels(void *ctx, int64_t begin, int64_t end, int thread)
{
    const blocks *g = ctx;
    const luc_conv_walk *k = &g->walk;
    const int64_t taps = g->whole ? g->taps : 1, chunks = g->steps / luc_max64(taps, 1);
    const bool dense = has_dense_kernels(g), by_lane = k->w_lane == g->p->w_stride[1];
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i / g->panels, lane = i % g->panels * LUC_BF16_BLOCK;
        const int64_t lanes = luc_min64(LUC_BF16_BLOCK, k->lanes - lane);
        const uint16_t *w = g->w + group * (g->p->o / g->p->groups) * g->p->w_stride[0];
        uint16_t *to = g->pack_to + i * g->steps * LUC_BF16_PACKED;
        w += lane * k->w_lane;
        for (int64_t chunk = 0; chunk < chunks && dense; chunk++)
            pack_dense(g, to + chunk * LUC_BF16_PACKED, chunks,
                       w + chunk * LUC_BF16_BLOCK * k->w_depth, by_lane ? LUC_BF16_BLOCK : lanes,
                       by_lane ? lanes : LUC_BF16_BLOCK);
        for (int64_t step = 0; step < g->steps && !dense; step++) {
            const int64_t first = (step % taps * chunks + step / taps) * LUC_BF16_BLOCK;
            pack_step(g, to + first * LUC_BF16_BLOCK, w, lanes, first,
                      luc_min64(LUC_BF16_BLOCK, g->numbers - first));
        }
    }
}

static size_t blocks_packed_bytes(const luc_conv2d_params *p, bool backward)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        blocks g = {.p = p};
        if (set_walk(&g, backward, i)) bytes += g.packed_bytes;
    }
    return bytes;
}

static void blocks_pack(const luc_conv2d_params *p, bool backward, const void *w, void *packed)
{
    uint16_t *to = packed;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        blocks g = {.p = p, .w = w, .pack_to = to};
        if (!set_walk(&g, backward, i)) continue;
        luc_parallel_for(p->groups * g.panels, 1, pack_panels, &g);
        to += g.packed_bytes / sizeof *to;
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

/* The rows of m pixels, in format, `step` numbers between two steps. */
static void fill_rows(const blocks *g, uint16_t *to, int64_t step, uint16_t *line,
                      const uint16_t *src, int64_t pixel, int64_t m)
{
    const luc_conv_walk *k = &g->walk;
    const uint16_t *seen[MOST_PIXELS];
    for (int64_t i = 0; i < m && !g->whole; i++) {
        const luc_conv_corner corner = luc_conv_corner_of(k, pixel + i);
        const uint16_t *row = line;
        luc_conv_fill_row(k, src, &corner, line);
        g->table->rows(to + i * LUC_BF16_BLOCK, step, &row, 1, g->numbers);
    }
    for (int64_t tap = 0; tap < g->taps && g->whole; tap++) {
        luc_conv_see(k, src, pixel, m, tap / k->c.count, tap % k->c.count, seen);
        g->table->rows(to, step, seen, m, k->depth);
        to += step * (k->depth / LUC_BF16_BLOCK);
    }
}

/* Rounds a block's m sums from row `row` of it on, to neighbouring pixels of an image's row. */
static void store_run(const blocks *g, const luc_bf16_block *b, int64_t row, int64_t m, int64_t n,
                      int64_t r, int64_t c, int64_t channel)
{
    const luc_conv_walk *k = &g->walk;
    const luc_conv_then *then = &g->then;
    const luc_bf16_then last = {.scale = then->scale ? then->scale + channel : NULL,
                                .shift = then->shift ? then->shift + channel : NULL,
                                .relu = then->relu};
    const int64_t at = k->dst_at + n * k->dst_n + r * k->dst_r + c * k->dst_c + channel;
    g->table->finish(&last, b->c + row * LUC_BF16_BLOCK, m, b->n, g->dst + at, k->dst_c,
                     then->half_residual ? then->half_residual + at : NULL);
}

/* Stores a block of neighbouring pixels, from `pixel` on. */
static void store(const blocks *g, const luc_bf16_block *b, int64_t pixel, int64_t channel)
{
    const luc_conv_walk *k = &g->walk;
    for (int64_t i = 0, some; i < b->m; i += some) {
        const int64_t col = (pixel + i) % k->cols, line = (pixel + i) / k->cols;
        some = g->dense ? b->m : luc_min64(b->m - i, k->cols - col);
        store_run(g, b, i, some, line / k->rows, line % k->rows, col, channel);
    }
}

/* One panel of a group: all blocks of pixels [pixel, pixel + count). */
static void run_panel(const blocks *g, luc_bf16_block *b, const uint16_t *rows, const uint16_t *src,
                      int64_t pixel, int64_t count, int64_t channel)
{
    for (int64_t i = 0; i < count; i += LUC_BF16_BLOCK) {
        b->m = luc_min64(LUC_BF16_BLOCK, count - i);
        if (g->direct && b->m % LUC_BF16_TILE == 0) {
            b->a = src + (pixel + i) * g->walk.src_c;
            b->a_row = g->walk.src_c, b->a_step = LUC_BF16_BLOCK;
        } else {
            b->a = g->direct ? rows : rows + i * LUC_BF16_BLOCK;
            b->a_row = LUC_BF16_BLOCK;
            b->a_step = LUC_BF16_BLOCK * (g->direct ? LUC_BF16_BLOCK : g->item_pixels);
        }
        b->a_half = LUC_BF16_TILE * b->a_row;
        g->table->block(b);
        store(g, b, pixel + i, channel);
    }
}

/* All blocks of a strip whose grid rows are whole tiles: of `rows` rows from `row` of image n. */
static void run_tiles(const blocks *g, luc_bf16_block *b, const uint16_t *strip, int64_t n,
                      int64_t row, int64_t rows, int64_t channel)
{
    const int64_t tiles = g->walk.cols / LUC_BF16_TILE, count = rows * tiles;
    int64_t at[2], r[2], c[2];
    for (int64_t i = 0; i < count; i += 2) {
        const int some = i + 1 < count ? 2 : 1;
        for (int t = 0; t < some; t++) {
            r[t] = (i + t) / tiles, c[t] = (i + t) % tiles * LUC_BF16_TILE;
            at[t] = (r[t] * g->strip_cols + c[t]) * g->pitch;
        }
        b->m = some * LUC_BF16_TILE;
        b->a = strip + at[0], b->a_half = some > 1 ? at[1] - at[0] : 0;
        g->table->block(b);
        for (int t = 0; t < some; t++)
            store_run(g, b, t * LUC_BF16_TILE, LUC_BF16_TILE, n, row + r[t], c[t], channel);
    }
}

/* Those of any other strip: its columns between the rows of the grid are computed, and left out. */
static void run_strip(const blocks *g, luc_bf16_block *b, const uint16_t *strip, int64_t n,
                      int64_t row, int64_t rows, int64_t channel)
{
    const int64_t cols = g->walk.cols, count = (rows - 1) * g->strip_cols + cols;
    b->a_half = LUC_BF16_TILE * g->pitch;
    for (int64_t i = 0; i < count; i += LUC_BF16_BLOCK) {
        b->m = luc_min64(LUC_BF16_BLOCK, count - i);
        b->a = strip + i * g->pitch;
        g->table->block(b);
        for (int64_t j = i, end; j < i + b->m; j = end) {
            const int64_t r = j / g->strip_cols, c = j % g->strip_cols;
            end = luc_min64((r + 1) * g->strip_cols, i + b->m);
            const int64_t some = luc_min64(end - j, cols - c);
            if (some > 0) store_run(g, b, j - i, some, n, row + r, c, channel);
        }
    }
}

/* The panels [p0, p1) of all groups, by strips. */
static void run_strips(const blocks *g, luc_bf16_block *b, int64_t item, int64_t p0, int64_t p1,
                       uint16_t *strip)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t n = item / g->image_items, row = item % g->image_items * g->item_rows;
    const int64_t rows = luc_min64(g->item_rows, k->rows - row);
    fill_strip(g, strip, g->src + n * k->src_n, row, rows);
    b->runs = g->taps, b->steps = k->depth / LUC_BF16_BLOCK, b->a_run = g->run;
    b->a_row = g->pitch, b->a_step = LUC_BF16_BLOCK;
    for (int64_t i = 0; i < g->p->groups * (p1 - p0); i++) {
        const int64_t group = i / (p1 - p0), panel = p0 + i % (p1 - p0);
        const int64_t lane = panel * LUC_BF16_BLOCK, channel = group * k->lanes + lane;
        b->n = luc_min64(LUC_BF16_BLOCK, k->lanes - lane);
        b->b = g->packed + (group * g->panels + panel) * g->steps * LUC_BF16_PACKED;
        if (g->aligned)
            run_tiles(g, b, strip + group * k->depth, n, row, rows, channel);
        else
            run_strip(g, b, strip + group * k->depth, n, row, rows, channel);
    }
}

/* The same by rows. */
static void run_rows(const blocks *g, luc_bf16_block *b, int64_t item, int64_t p0, int64_t p1,
                     uint16_t *rows, uint16_t *line)
{
    const luc_conv_walk *k = &g->walk;
    const int64_t pixel = item * g->item_pixels;
    const int64_t count = luc_min64(g->item_pixels, g->pixels - pixel);
    for (int64_t group = 0; group < g->p->groups; group++) {
        const uint16_t *src = g->src + group * k->depth;
        /* Only the last block would be read beyond the image's end. */
        const int64_t skip = g->direct ? count / LUC_BF16_BLOCK * LUC_BF16_BLOCK : 0;
        const int64_t wide = g->direct ? LUC_BF16_BLOCK : g->item_pixels;
        if (skip < count)
            fill_rows(g, rows, wide * LUC_BF16_BLOCK, line, src, pixel + skip, count - skip);
        for (int64_t panel = p0; panel < p1; panel++) {
            const int64_t lane = panel * LUC_BF16_BLOCK;
            b->n = luc_min64(LUC_BF16_BLOCK, k->lanes - lane);
            b->b = g->packed + (group * g->panels + panel) * g->steps * LUC_BF16_PACKED;
            run_panel(g, b, rows, src, pixel, count, group * k->lanes + lane);
        }
    }
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const blocks *g = ctx;
    const int64_t item = begin / g->panel_items, p0 = begin % g->panel_items * g->item_panels;
    const int64_t p1 = luc_min64(p0 + g->item_panels, g->panels);
    char *scratch = g->scratch + (size_t)thread * (g->row_bytes + g->line_bytes);
    uint16_t *rows = (uint16_t *)(void *)scratch;
    _Alignas(64) float sums[LUC_BF16_BLOCK * LUC_BF16_BLOCK];
    luc_bf16_block b = luc_bf16_plain_block(0, 0, g->steps);
    (void)end;
    b.c = sums;
    g->table->begin();
    if (g->strip)
        run_strips(g, &b, item, p0, p1, rows);
    else
        run_rows(g, &b, item, p0, p1, rows, (uint16_t *)(void *)(scratch + g->row_bytes));
    g->table->end();
}

static size_t blocks_bytes(const luc_conv2d_params *p, bool backward, int threads)
{
    size_t most = 0;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        blocks g = {.p = p};
        if (!set_walk(&g, backward, i)) continue;
        const size_t bytes = (g.row_bytes + g.line_bytes) * (size_t)threads;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void blocks_run(const luc_conv2d_params *p, bool backward, const void *from,
                       const void *packed, const luc_conv_then *then, void *to, char *workspace,
                       int threads)
{
    const uint16_t *weights = packed;
    for (int64_t i = 0; i < luc_conv_walks(p, backward); i++) {
        blocks g = {.p = p, .src = from, .packed = weights, .dst = to, .scratch = workspace};
        if (then) g.then = *then;
        if (!set_walk(&g, backward, i)) continue;
        weights += g.packed_bytes / sizeof *weights;
        luc_parallel_for_max(g.pixel_items * g.panel_items, 1, threads, run_item, &g);
    }
}

const luc_conv_packed_kernel luc_conv_blocks = {blocks_packed_bytes, blocks_pack, blocks_bytes,
                                                blocks_run, NULL};

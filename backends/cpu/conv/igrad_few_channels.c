/*
 * igrad_few_channels.c: input gradient of a convolution of stride 2 into few channels (the first
 * layer of a network), compiled once per CPU level.
 *
 * With the channels of one pixel a vector would be nearly empty. So its lanes are the channels of a
 * square of 2x2 pixels, which read nearly the same pixels of dy: the two rows of the square read
 * two ranges of dy's rows, and its columns two ranges of columns. Where the ranges agree, all lanes
 * are summed at once, and elsewhere the lanes that read anything. So a NaN reaches no pixel that
 * does not read it. In the order LANES every such set of lanes is at most two runs.
 *
 * An item of parallel work is a block of rows of squares of one image: dy's rows are copied into
 * a strip with zeros around, tiles add their sums to a row of squares, which then goes to dx.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/matmul/tile_priv.h"

enum { SQUARE = 4, MOST_RUNS = 3, MOST_KERNEL = 32 };

/* The row and the column of the square's pixels. */
static const int LANES[SQUARE][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};

/* Neighbouring source rows (or columns) that the same rows of a square read; bit r of `seen`: row r
   reads them. */
typedef struct {
    int64_t first, count;
    int seen;
} run;

typedef struct {
    luc_conv_taps taps[2]; /* of the square's rows or columns */
    int64_t first, count;  /* source rows that any of them reads */
    run runs[MOST_RUNS];
    int run_count;
} side;

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    side r, c;
    int64_t rows, cols, width; /* squares; lanes of a square */
    int64_t pitch;             /* of the strip's rows */
    int64_t lanes;             /* of a packed row of weights */
    int64_t item_rows, image_items;
    size_t strip_bytes, line_bytes;
    const float *dy, *packed;
    float *dx;
    char *scratch;
} plan;

/* Which of the square's two rows read source row `at`. */
static int seen_by(const side *s, int64_t at)
{
    int seen = 0;
    for (int i = 0; i < 2; i++)
        if (at >= s->taps[i].first && at < s->taps[i].first + s->taps[i].count) seen |= 1 << i;
    return seen;
}

static void set_side(side *s, int64_t kernel, int64_t pad)
{
    int64_t last = INT64_MIN;
    s->first = INT64_MAX;
    for (int i = 0; i < 2; i++) {
        luc_conv_taps *t = &s->taps[i];
        *t = luc_conv_backward_taps(kernel, pad, 1, 2, i);
        if (t->count == 0) continue;
        s->first = luc_min64(s->first, t->first);
        last = luc_max64(last, t->first + t->count);
    }
    s->count = last - s->first;
    s->run_count = 0;
    for (int64_t at = 0; at < s->count; at++) {
        const int seen = seen_by(s, s->first + at);
        if (s->run_count == 0 || s->runs[s->run_count - 1].seen != seen)
            s->runs[s->run_count++] = (run){.first = at, .seen = seen};
        s->runs[s->run_count - 1].count++;
    }
}

static void set_plan(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->tile = luc_tile_f32_get();
    set_side(&g->r, p->kh, p->pad_h);
    set_side(&g->c, p->kw, p->pad_w);
    g->rows = luc_ceil_div(p->h, 2), g->cols = luc_ceil_div(p->w, 2);
    g->width = SQUARE * p->c;
    g->lanes = g->width <= g->tile->lanes ? g->tile->lanes : g->tile->cols;
    g->pitch = (g->cols + g->c.count - 1) * p->o;
    const int64_t row = g->pitch * (int64_t)sizeof(float);
    const int64_t most = (int64_t)(luc_cpu_l2_bytes() / 2) / row - g->r.count;
    g->item_rows = luc_even_piece(g->rows, luc_min64(luc_max64(most, 1), 16));
    g->image_items = luc_ceil_div(g->rows, g->item_rows);
    const int64_t strip = (g->item_rows + g->r.count - 1) * g->pitch;
    g->strip_bytes = luc_round64((size_t)strip * sizeof(float));
    g->line_bytes = luc_round64((size_t)(g->cols * g->width) * sizeof(float));
}

static bool conv_thin_wins(const luc_conv2d_params *p)
{
    return LUC_VF > 1 && p->stride_h == 2 && p->stride_w == 2 && p->dilation_h == 1 &&
           p->dilation_w == 1 && p->groups == 1 && p->c <= 4 && SQUARE * p->c <= 2 * LUC_VF &&
           p->kh > 1 && p->kw > 1 && p->kh <= MOST_KERNEL && p->kw <= MOST_KERNEL && p->o >= LUC_VF;
}

static size_t conv_thin_packed_bytes(const luc_conv2d_params *p, bool backward)
{
    plan g = {.p = p};
    (void)backward;
    set_plan(&g);
    const size_t rows = (size_t)(g.r.count * g.c.count * p->o);
    /* A run of lanes is read as a whole vector, wherever it begins. */
    return luc_round64((rows * (size_t)g.lanes + (size_t)g.tile->cols) * sizeof(float));
}

/* [source row][source column][output channel][lane]; lanes that read nothing there are not used. */
static void conv_thin_pack(const luc_conv2d_params *p, bool backward, const void *w, void *packed)
{
    plan g = {.p = p};
    const float *weights = w;
    float *panel = packed;
    memset(packed, 0, conv_thin_packed_bytes(p, backward));
    set_plan(&g);
    for (int64_t i = 0; i < g.r.count * g.c.count; i++)
        for (int q = 0; q < SQUARE; q++) {
            const luc_conv_taps *r = &g.r.taps[LANES[q][0]], *c = &g.c.taps[LANES[q][1]];
            const int64_t tr = g.r.first + i / g.c.count - r->first;
            const int64_t tc = g.c.first + i % g.c.count - c->first;
            if (tr < 0 || tr >= r->count || tc < 0 || tc >= c->count) continue;
            const float *from = weights + (r->kernel_first + tr * r->kernel_step) * p->w_stride[2] +
                                (c->kernel_first + tc * c->kernel_step) * p->w_stride[3];
            float *to = panel + i * p->o * g.lanes + q * p->c;
            for (int64_t o = 0; o < p->o; o++)
                for (int64_t ch = 0; ch < p->c; ch++)
                    to[o * g.lanes + ch] = from[o * p->w_stride[0] + ch * p->w_stride[1]];
        }
}

static size_t conv_thin_bytes(const luc_conv2d_params *p, bool backward, int threads)
{
    plan g = {.p = p};
    (void)backward;
    set_plan(&g);
    return (g.strip_bytes + g.line_bytes) * (size_t)threads;
}

/* The rows of dy that rows [row, row + rows) of squares read, with zeros around them. */
static void fill_strip(const plan *g, float *to, const float *image, int64_t row, int64_t rows)
{
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->cols + g->c.count - 1;
    int64_t first, last;
    luc_valid_range(cols, 1, g->c.first, p->ow, &first, &last);
    for (int64_t i = 0; i < rows + g->r.count - 1; i++, to += g->pitch) {
        const int64_t at = row + g->r.first + i;
        if (at < 0 || at >= p->oh || first == last) {
            memset(to, 0, sizeof(float) * (size_t)g->pitch);
            continue;
        }
        const float *from = image + at * p->y_stride[2] + (first + g->c.first) * p->y_stride[3];
        memset(to, 0, sizeof(float) * (size_t)(first * p->o));
        memset(to + last * p->o, 0, sizeof(float) * (size_t)((cols - last) * p->o));
        for (int64_t j = first; j < last; j++, from += p->y_stride[3])
            memcpy(to + j * p->o, from, sizeof(float) * (size_t)p->o);
    }
}

/* Adds to the lanes [first, first + count) of a line of squares what they read in one run of rows
   and one of columns. */
static void add_lanes(const plan *g, const float *strip, float *to, const run *r, const run *c,
                      int first, int count)
{
    const luc_conv2d_params *p = g->p;
    luc_segment segments[MOST_KERNEL];
    const int half = g->tile->half;
    const int64_t channel = first * p->c, size = luc_even_piece(g->cols, g->tile->rows);
    for (int64_t i = 0; i < r->count; i++) {
        segments[i].a = (r->first + i) * g->pitch + c->first * p->o;
        segments[i].b = ((r->first + i) * g->c.count + c->first) * p->o * g->lanes + channel;
    }
    luc_tile_f32 t = {.segment = segments, .segments = r->count, .depth = c->count * p->o};
    t.a_row = p->o, t.a_step = 1, t.b = g->packed, t.b_step = g->lanes;
    t.c_row = g->width, t.n = (int)(count * p->c), t.flags = LUC_TILE_ADD;
    for (int64_t j = 0; j < g->cols; j += size) {
        t.m = (int)luc_min64(size, g->cols - j);
        t.a0 = strip + j * p->o, t.a1 = t.a0 + half * p->o;
        t.c0 = to + j * g->width + channel, t.c1 = t.c0 + half * g->width;
        g->tile->run(&t);
    }
}

static void sum_line(const plan *g, const float *strip, float *to)
{
    for (int i = 0; i < g->r.run_count * g->c.run_count; i++) {
        const run *r = &g->r.runs[i / g->c.run_count], *c = &g->c.runs[i % g->c.run_count];
        int first = 0;
        for (int q = 0; q <= SQUARE; q++) {
            if (q < SQUARE && (r->seen >> LANES[q][0] & 1) && (c->seen >> LANES[q][1] & 1))
                continue;
            if (q > first) add_lanes(g, strip, to, r, c, first, q - first);
            first = q + 1;
        }
    }
}

static void store_line(const plan *g, const float *line, float *image, int64_t row)
{
    const luc_conv2d_params *p = g->p;
    for (int q = 0; q < SQUARE; q++) {
        const int64_t i = 2 * row + LANES[q][0];
        if (i >= p->h) continue;
        float *to = image + i * p->x_stride[2] + LANES[q][1] * p->x_stride[3];
        const float *from = line + q * p->c;
        for (int64_t j = LANES[q][1]; j < p->w; j += 2, to += 2 * p->x_stride[3], from += g->width)
            for (int64_t ch = 0; ch < p->c; ch++) to[ch] = from[ch];
    }
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t n = begin / g->image_items, row = begin % g->image_items * g->item_rows;
    const int64_t rows = luc_min64(g->item_rows, g->rows - row);
    char *scratch = g->scratch + (size_t)thread * (g->strip_bytes + g->line_bytes);
    float *strip = (float *)(void *)scratch, *line = (float *)(void *)(scratch + g->strip_bytes);
    (void)end;
    fill_strip(g, strip, g->dy + n * p->y_stride[0], row, rows);
    for (int64_t i = 0; i < rows; i++) {
        memset(line, 0, g->line_bytes);
        sum_line(g, strip + i * g->pitch, line);
        store_line(g, line, g->dx + n * p->x_stride[0], row + i);
    }
}

static void conv_thin_run(const luc_conv2d_params *p, bool backward, const void *from,
                          const void *packed, const luc_conv_then *then, void *to, char *workspace,
                          int threads)
{
    plan g = {.p = p, .dy = from, .packed = packed, .dx = to, .scratch = workspace};
    (void)backward, (void)then;
    set_plan(&g);
    luc_parallel_for_max(p->n * g.image_items, 1, threads, run_item, &g);
}

LUC_LEVEL_TABLE(luc_conv_thin_table, luc_conv_thin) = {
    .wins = conv_thin_wins,
    .kernel = {conv_thin_packed_bytes, conv_thin_pack, conv_thin_bytes, conv_thin_run, NULL},
};

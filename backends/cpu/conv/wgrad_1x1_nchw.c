/*
 * wgrad_1x1_nchw.c: weight gradient of a 1x1 kernel without padding and groups, from
 * a dy whose channels are planes ([N,C,H,W] memory), compiled once per CPU level.
 *
 *     dw[o][c] = sum over pixels of dy[pixel][o] * x[pixel][c]
 *
 * A register tile's rows are output channels, its columns input channels, its depth the pixels of a
 * chunk. x is packed chunk by chunk, panel by panel, into the second-level cache, from planes or
 * channels_last memory alike; a stride thins it on the way. dy's planes are read where they are. So
 * neither is converted.
 *
 * The chunks are cut into parts that depend on the shape alone. An item of parallel work sums one
 * part for a block of dw; at the end the parts are added in order.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/matmul/tile_priv.h"

enum {
    CHUNK = 256,       /* the most pixels of a chunk */
    FEW_CHANNELS = 16, /* channels; with fewer the tile is too empty */
    FEW_PIXELS = 16,   /* of an image */
    ITEMS = 32,        /* items of parallel work, if the shape allows it */
};
static const size_t MOST_PARTIAL = (size_t)6 << 20; /* bytes of all partial results */

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    int64_t size, total;                                        /* pixels of an image, of all */
    int64_t chunks, parts;                                      /* of pixels */
    int64_t panels, set_panels, panel_sets, set_rows, row_sets; /* of dw: columns, rows */
    int64_t panel;                                              /* floats of one that is packed */
    bool x_planes, thin, direct;
    size_t partial_bytes, packed_bytes, thin_bytes;
    const float *x, *dy;
    float *dw;
    int64_t dw_row;
    float *partial;
    char *scratch;
} plan;

static bool are_planes(int64_t h, int64_t w, const int64_t *stride)
{
    return (w <= 1 || stride[3] == 1) && (h <= 1 || stride[2] == w);
}

static bool conv_pointwise_weight_fits(const luc_conv2d_params *p)
{
    if (p->kh != 1 || p->kw != 1 || p->groups != 1 || p->pad_h != 0 || p->pad_w != 0) return false;
    if (p->c < FEW_CHANNELS || p->o < FEW_CHANNELS || p->n < 1) return false;
    if (p->oh * p->ow < FEW_PIXELS || p->y_stride[1] == 1) return false;
    return are_planes(p->oh, p->ow, p->y_stride) &&
           (p->x_stride[1] == 1 || are_planes(p->h, p->w, p->x_stride));
}

static void set_chunks(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->size = p->oh * p->ow, g->total = p->n * g->size;
    if (g->size > CHUNK)
        g->chunks = p->n * luc_ceil_div(g->size, CHUNK);
    else
        g->chunks = luc_ceil_div(p->n, CHUNK / g->size);
}

static void set_plan(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->tile = luc_tile_f32_get();
    g->x_planes = p->x_stride[1] != 1;
    g->thin = g->x_planes && (p->stride_h > 1 || p->stride_w > 1);
    set_chunks(g);
    /* The packed chunk and the block of dw take less than half of the second-level cache. */
    const int64_t cols = g->tile->cols, l2 = (int64_t)luc_cpu_l2_bytes();
    g->panel = CHUNK * cols;
    g->panels = luc_ceil_div(p->c, cols);
    const int64_t most = luc_max64(l2 / 4 / (g->panel * (int64_t)sizeof(float)), 1);
    g->set_panels = luc_even_piece(g->panels, most);
    g->panel_sets = luc_ceil_div(g->panels, g->set_panels);
    const int64_t row = g->set_panels * cols * (int64_t)sizeof(float);
    g->set_rows = luc_even_piece(p->o, luc_max64(l2 / 2 / row, g->tile->rows));
    g->row_sets = luc_ceil_div(p->o, g->set_rows);
    const size_t whole = luc_round64((size_t)(p->o * p->c) * sizeof(float));
    int64_t parts = luc_min64(luc_ceil_div(ITEMS, g->panel_sets * g->row_sets),
                              (int64_t)(MOST_PARTIAL / whole));
    g->parts = luc_max64(luc_min64(parts, g->chunks), 1);
    g->direct = g->parts == 1 && p->w_stride[1] == 1;
    g->partial_bytes = g->direct ? 0 : whole * (size_t)g->parts;
    g->packed_bytes = luc_round64((size_t)(g->set_panels * g->panel) * sizeof(float));
    g->thin_bytes = g->thin ? luc_round64((size_t)g->panel * sizeof(float)) : 0;
}

static size_t thread_bytes(const plan *g)
{
    return g->packed_bytes + g->thin_bytes;
}

static size_t conv_pointwise_weight_bytes(const luc_conv2d_params *p, int threads)
{
    plan g = {.p = p};
    set_plan(&g);
    return g.partial_bytes + thread_bytes(&g) * (size_t)threads;
}

/* Pixels [begin, begin + count), numbered through all images. */
typedef struct {
    int64_t begin, count;
} chunk;

static chunk chunk_at(const plan *g, int64_t i)
{
    chunk k;
    if (g->size > CHUNK) {
        const int64_t pieces = luc_ceil_div(g->size, CHUNK), piece = luc_even_piece(g->size, CHUNK);
        const int64_t at = i % pieces * piece;
        k.begin = i / pieces * g->size + at;
        k.count = luc_min64(piece, g->size - at);
    } else {
        const int64_t most = CHUNK / g->size * g->size;
        k.begin = i * most;
        k.count = luc_min64(most, g->total - k.begin);
    }
    return k;
}

/* ---- x, packed: [panel][pixel][lane] -------------------------------------------------------- */

/* Copies n floats that are `step` apart. */
LUC_INLINE void copy_thin(float *to, const float *from, int64_t step, int64_t n)
{
    int64_t j = 0;
    if (step == 2) {
        for (; j + LUC_VF < n; j += LUC_VF)
            vf_store(to + j, vf_even(vf_load(from + 2 * j), vf_load(from + 2 * j + LUC_VF)));
    }
    for (; j < n; j++) to[j] = from[j * step];
}

/* Channels [c, c + lanes) of planes, for `count` pixels of image n from pixel `at` on. */
static void pack_planes(const plan *g, int64_t n, int64_t at, int64_t count, int64_t c,
                        int64_t lanes, float *buffer, float *to)
{
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols;
    const float *x = g->x + n * p->x_stride[0] + c * p->x_stride[1];
    if (!g->thin) {
        luc_gemm_get()->transpose_32(to, cols, x + at, p->x_stride[1], lanes, count);
        return;
    }
    for (int64_t l = 0; l < lanes; l++, x += p->x_stride[1])
        for (int64_t i = at; i < at + count;) {
            const int64_t col = i % p->ow, run = luc_min64(p->ow - col, at + count - i);
            copy_thin(buffer + l * CHUNK + i - at,
                      x + i / p->ow * p->stride_h * p->x_stride[2] + col * p->stride_w, p->stride_w,
                      run);
            i += run;
        }
    luc_gemm_get()->transpose_32(to, cols, buffer, CHUNK, lanes, count);
}

/* The same for channels_last pixels. */
static void pack_last(const plan *g, int64_t n, int64_t at, int64_t count, int64_t c, int64_t lanes,
                      float *to)
{
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, step = p->stride_w * p->x_stride[3];
    const float *x = g->x + n * p->x_stride[0] + c;
    int64_t row = at / p->ow, col = at % p->ow;
    for (int64_t i = 0; i < count; i++, to += cols) {
        const float *from = x + row * p->stride_h * p->x_stride[2] + col * step;
        for (int64_t l = 0; l < lanes; l += LUC_VF)
            vf_store_n(to + l, vf_load_n(from + l, luc_min64(LUC_VF, lanes - l)),
                       luc_min64(LUC_VF, lanes - l));
        if (++col == p->ow) row++, col = 0;
    }
}

/* `panels` panels of a chunk from `panel` on. */
static void pack_x(const plan *g, const chunk *k, int64_t panel, int64_t panels, float *buffer,
                   float *to)
{
    const int64_t cols = g->tile->cols;
    for (int64_t j = 0; j < panels; j++, to += g->panel) {
        const int64_t c = (panel + j) * cols, lanes = luc_min64(cols, g->p->c - c);
        if (lanes < cols) memset(to, 0, sizeof(float) * (size_t)(k->count * cols));
        for (int64_t i = 0; i < k->count;) {
            const int64_t n = (k->begin + i) / g->size, at = (k->begin + i) % g->size;
            const int64_t count = luc_min64(g->size - at, k->count - i);
            if (g->x_planes)
                pack_planes(g, n, at, count, c, lanes, buffer, to + i * cols);
            else
                pack_last(g, n, at, count, c, lanes, to + i * cols);
            i += count;
        }
    }
}

/* ---- dy ------------------------------------------------------------------------------------- */

/* The rows of a tile: channels [o, o + m) of a chunk. The chunk has `segments` segments of `depth`
 * pixels. */
typedef struct {
    const float *dy; /* of channel o, pixel k->begin */
    int64_t m, segments, depth;
} rows;

static rows rows_at(const plan *g, const chunk *k, int64_t o, int64_t m)
{
    const luc_conv2d_params *p = g->p;
    rows r = {.m = m, .segments = 1, .depth = k->count};
    if (g->size <= CHUNK) r.segments = k->count / g->size, r.depth = g->size;
    r.dy = g->dy + k->begin / g->size * p->y_stride[0] + k->begin % g->size + o * p->y_stride[1];
    return r;
}

/* Prefetches share `share` of `shares` of the rows: they come from memory, in short pieces. */
static void fetch(const plan *g, const rows *r, int64_t share, int64_t shares)
{
    enum { LINE = 64 / sizeof(float) };
    const int64_t pieces = r->segments * r->m;
    for (int64_t i = pieces * share / shares; i < pieces * (share + 1) / shares; i++) {
        const float *from =
            r->dy + i % r->segments * g->p->y_stride[0] + i / r->segments * g->p->y_stride[1];
        for (int64_t j = 0; j < r->depth; j += LINE) __builtin_prefetch(from + j, 0, 2);
        __builtin_prefetch(from + r->depth - 1, 0, 2);
    }
}

/* ---- the product ---------------------------------------------------------------------------- */

/* The data of an item. */
typedef struct {
    int64_t o, count, panel, panels; /* of dw */
    float *packed, *buffer;
    float *to; /* of row o, the first panel's first column */
} item;

/* Takes a chunk through all tiles of the item. */
static void run_chunk(const plan *g, const item *w, const chunk *k, bool add)
{
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, tiles = luc_ceil_div(w->count, g->tile->rows);
    luc_segment segments[CHUNK];
    luc_tile_f32 t = {.b_step = cols, .c_row = g->dw_row, .segment = segments};
    t.flags = add ? LUC_TILE_ADD : 0;
    rows next = rows_at(g, k, w->o, w->count / tiles);
    fetch(g, &next, 0, 1);
    pack_x(g, k, w->panel, w->panels, w->buffer, w->packed);
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t begin = w->count * i / tiles, end = w->count * (i + 1) / tiles;
        const rows r = next;
        t.m = (int)(end - begin), t.segments = r.segments, t.depth = r.depth;
        t.a0 = r.dy, t.a_row = p->y_stride[1], t.a_step = 1;
        t.a1 = t.a0 + g->tile->half * t.a_row;
        for (int64_t s = 0; s < r.segments; s++) {
            segments[s].a = s * p->y_stride[0];
            segments[s].b = s * r.depth * cols;
        }
        if (i + 1 < tiles) next = rows_at(g, k, w->o + end, w->count * (i + 2) / tiles - end);
        for (int64_t j = 0; j < w->panels; j++) {
            if (i + 1 < tiles) fetch(g, &next, j, w->panels);
            t.n = (int)luc_min64(cols, p->c - (w->panel + j) * cols);
            t.b = w->packed + j * g->panel;
            t.c0 = w->to + begin * g->dw_row + j * cols, t.c1 = t.c0 + g->tile->half * g->dw_row;
            g->tile->run(&t);
        }
    }
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t sets = g->row_sets * g->panel_sets, part = begin / sets;
    char *scratch = g->scratch + (size_t)thread * thread_bytes(g);
    (void)end;
    item w = {.packed = (float *)(void *)scratch};
    w.buffer = (float *)(void *)(scratch + g->packed_bytes);
    w.o = begin % sets / g->panel_sets * g->set_rows;
    w.count = luc_min64(g->set_rows, p->o - w.o);
    w.panel = begin % g->panel_sets * g->set_panels;
    w.panels = luc_min64(g->set_panels, g->panels - w.panel);
    const size_t whole = g->partial_bytes / sizeof(float) / (size_t)g->parts;
    w.to = (g->direct ? g->dw : g->partial + (size_t)part * whole) + w.o * g->dw_row +
           w.panel * g->tile->cols;
    const int64_t first = g->chunks * part / g->parts, last = g->chunks * (part + 1) / g->parts;
    for (int64_t i = first; i < last; i++) {
        const chunk k = chunk_at(g, i);
        run_chunk(g, &w, &k, i > first);
    }
}

/* Adds the parts of dw's rows, in order. */
static void gather(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const size_t whole = g->partial_bytes / sizeof(float) / (size_t)g->parts;
    (void)thread;
    for (int64_t o = begin; o < end; o++) {
        float *dw = g->dw + o * p->w_stride[0];
        for (int64_t c = 0; c < p->c; c += LUC_VF) {
            const int64_t n = luc_min64(LUC_VF, p->c - c);
            const float *from = g->partial + o * p->c + c;
            vf sum = vf_load_n(from, n);
            for (int64_t part = 1; part < g->parts; part++)
                sum = vf_add(sum, vf_load_n(from + (size_t)part * whole, n));
            if (p->w_stride[1] == 1) {
                vf_store_n(dw + c, sum, n);
                continue;
            }
            float lanes[LUC_VF];
            vf_store(lanes, sum);
            for (int64_t l = 0; l < n; l++) dw[(c + l) * p->w_stride[1]] = lanes[l];
        }
    }
}

static void conv_pointwise_weight_run(const luc_conv2d_params *p, const float *x, const float *dy,
                                      float *dw, char *workspace, int threads)
{
    plan g = {.p = p, .x = x, .dy = dy, .dw = dw};
    set_plan(&g);
    g.dw_row = g.direct ? p->w_stride[0] : p->c;
    g.partial = (float *)(void *)workspace;
    g.scratch = workspace + g.partial_bytes;
    luc_parallel_for_max(g.parts * g.row_sets * g.panel_sets, 1, threads, run_item, &g);
    if (!g.direct) luc_parallel_for(p->o, luc_ceil_div(1 << 14, p->c), gather, &g);
}

LUC_LEVEL_TABLE(luc_conv_pointwise_weight_table, luc_conv_pointwise_weight) = {
    .fits = conv_pointwise_weight_fits,
    .bytes = conv_pointwise_weight_bytes,
    .run = conv_pointwise_weight_run,
};

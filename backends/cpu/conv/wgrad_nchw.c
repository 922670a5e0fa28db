/*
 * wgrad_nchw.c: weight gradient over images whose channels are planes ([N,C,H,W] memory),
 * compiled once per CPU level.
 *
 *     dw[o][c][tap] = sum over pixels of dy[o][pixel] * x[c][pixel as the tap sees it]
 *
 * are dot products along the pixels, and need no transposition. So that the pixels of a tap are
 * adjacent, as those of dy are, a chunk's rows of x are copied once for each column of the kernel:
 * shifted, thinned by the stride, and with zeros around the image. The kernel's rows are offsets
 * into that copy.
 *
 * A chunk is a block of output rows of one image, or several small images. The chunks are cut
 * into parts that depend on the shape alone. An item of parallel work sums one part for some of
 * the input channels into a partial result; at the end the partial results are added in order.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/conv/dot_tile.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"

enum {
    CHUNK = 1024,      /* pixels; the lanes of all sums are added once for each chunk */
    LEAST_PIXELS = 32, /* pixels of an image that pay with few taps ... */
    MANY_PIXELS = 400, /* ... and with many taps */
    FEW_TAPS = 64,     /* of all channels of a group */
    MOST_COLS = 4096,  /* of an image */
    AHEAD = 1024,      /* floats by which x is fetched ahead of its copy */
    ITEMS = 32,        /* items of parallel work, if the shape allows it */
};
static const size_t MOST_PARTIAL = (size_t)6 << 20; /* bytes of all partial results */

/* A tap: its first pixel in the copies of a channel, and its place in the kernel. */
typedef struct {
    int64_t at, kernel_row, kernel_col;
} tap;

/* A column of the kernel: the source column of the first output, and the outputs whose source lies
   in the image. */
typedef struct {
    int64_t offset, first, last;
} column;

typedef struct {
    const luc_conv2d_params *p;
    int64_t cg, og, taps; /* channels of a group */
    bool direct;          /* x's own planes can be used as they are */
    int64_t chunk_rows, row_chunks, chunk_images, chunks, parts;
    int64_t classes;                /* remainders of the kernel's rows by the stride */
    int64_t class_rows;             /* source rows of each remainder that a chunk reads */
    int64_t column, channel, image; /* between copies of kernel columns, channels, images */
    int64_t block, blocks, splits;  /* channels copied together; such blocks of all groups */
    int64_t out_block;              /* planes of dy that are used together */
    int64_t trios, tap_tiles;       /* the most tiles of a block, in each direction */
    size_t table_bytes, partial_bytes, copy_bytes;
    const float *x, *dy;
    float *dw, *partial;
    char *copies;
    tap *table;
    column *columns;
    int64_t *remainders;
} plan;

static bool planes_dense(int64_t h, int64_t w, const int64_t *stride)
{
    return (w <= 1 || stride[3] == 1) && (h <= 1 || stride[2] == w);
}

/* Small images fill the sums' vectors badly. They pay if little is computed, because a conversion
   would then take much of the time. */
static bool conv_plane_fits(const luc_conv2d_params *p)
{
    const int64_t cg = p->c / p->groups, og = p->o / p->groups;
    const bool planes = p->w <= 1 || p->x_stride[3] == 1;
    const int64_t least = cg * p->kh * p->kw <= FEW_TAPS ? LEAST_PIXELS : MANY_PIXELS;
    return planes_dense(p->oh, p->ow, p->y_stride) && p->ow <= MOST_COLS &&
           p->oh * p->ow >= least && (planes || cg * p->kw <= og);
}

/* The remainders of the kernel's rows by the stride, each once, are written to `to` unless it is
   NULL. Returns their number. They repeat from the first 0 on. */
static int64_t find_remainders(const luc_conv2d_params *p, int64_t *to)
{
    int64_t count = 0;
    for (; count < p->kh; count++) {
        const int64_t remainder = count * p->dilation_h % p->stride_h;
        if (count > 0 && remainder == 0) break;
        if (to) to[count] = remainder;
    }
    return count;
}

static void set_chunks(plan *g)
{
    const luc_conv2d_params *p = g->p;
    const int64_t pixels = luc_max64(p->oh * p->ow, 1);
    g->chunk_rows = luc_even_piece(luc_max64(p->oh, 1), luc_max64(CHUNK / luc_max64(p->ow, 1), 1));
    g->row_chunks = luc_ceil_div(p->oh, g->chunk_rows);
    g->chunk_images = g->row_chunks > 1 ? 1 : luc_max64(CHUNK / pixels, 1);
    g->chunk_images = luc_even_piece(luc_max64(p->n, 1), g->chunk_images);
    g->chunks = luc_ceil_div(p->n, g->chunk_images) * g->row_chunks;
}

static void set_copies(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->direct = p->kh == 1 && p->kw == 1 && p->stride_h == 1 && p->stride_w == 1 && p->pad_h == 0 &&
                p->pad_w == 0 && p->oh == p->h && planes_dense(p->h, p->w, p->x_stride);
    g->classes = find_remainders(p, NULL);
    g->class_rows = g->chunk_rows + (p->kh - 1) * p->dilation_h / p->stride_h;
    g->column = g->classes * g->class_rows * p->ow;
    g->channel = g->direct ? p->x_stride[1] : p->kw * g->column;
    const int64_t pixels = g->direct ? g->chunk_rows * p->ow : g->channel;
    const size_t size = (size_t)(pixels * g->chunk_images) * sizeof(float);
    /* The copies and dy's chunk should share the second-level cache. */
    const int64_t most = luc_max64((int64_t)(luc_cpu_l2_bytes() / 3 / (size + 1)), 1);
    g->block = luc_even_piece(luc_max64(g->cg, 1), most);
    g->image = g->direct ? p->x_stride[0] : g->block * g->channel;
    const size_t floats = g->direct ? 0 : (size_t)(g->image * g->chunk_images);
    g->copy_bytes = luc_round64(floats * sizeof(float));
}

static void set_plan(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->cg = p->c / p->groups, g->og = p->o / p->groups, g->taps = p->kh * p->kw;
    set_chunks(g);
    set_copies(g);
    g->blocks = p->groups * luc_ceil_div(g->cg, g->block);
    g->trios = luc_ceil_div(g->og, LUC_DOTS_A);
    const int64_t plane = g->chunk_rows * p->ow * g->chunk_images * (int64_t)sizeof(float);
    const int64_t planes = (int64_t)luc_cpu_l2_bytes() / 2 / (plane + 1);
    g->out_block = luc_even_piece(g->trios, luc_max64(planes / LUC_DOTS_A, 1)) * LUC_DOTS_A;
    g->tap_tiles = luc_ceil_div(g->block * g->taps, LUC_DOTS_B);
    const int64_t tiles = g->blocks * g->trios * g->tap_tiles;
    const size_t whole = luc_round64((size_t)(tiles * LUC_DOTS_SIZE) * sizeof(float));
    int64_t parts = luc_min64(ITEMS, (int64_t)(MOST_PARTIAL / (whole + 1)));
    g->parts = luc_min64(luc_max64(parts, 1), g->chunks);
    g->splits = luc_min64(luc_ceil_div(ITEMS, luc_max64(g->parts, 1)), g->blocks);
    g->partial_bytes = whole * (size_t)g->parts;
    g->table_bytes = luc_round64((size_t)g->taps * sizeof(tap) + (size_t)p->kw * sizeof(column) +
                                 (size_t)g->classes * sizeof(int64_t));
}

static size_t conv_plane_bytes(const luc_conv2d_params *p, int threads)
{
    plan g = {.p = p};
    set_plan(&g);
    return g.partial_bytes + g.table_bytes + g.copy_bytes * (size_t)threads;
}

/* Taps that share a copy are neighbours: their pixels overlap, and a tile finds them in the L1. */
static void fill_tables(plan *g)
{
    const luc_conv2d_params *p = g->p;
    tap *to = g->table;
    find_remainders(p, g->remainders);
    for (int64_t s = 0; s < p->kw; s++) {
        column *v = &g->columns[s];
        v->offset = s * p->dilation_w - p->pad_w;
        luc_valid_range(p->ow, p->stride_w, v->offset, p->w, &v->first, &v->last);
    }
    for (int64_t s = 0; s < p->kw; s++)
        for (int64_t class = 0; class < g->classes; class ++)
            for (int64_t r = 0; r < p->kh; r++) {
                const int64_t at = r * p->dilation_h;
                if (at % p->stride_h != g->remainders[class]) continue;
                to->at = s * g->column + (class * g->class_rows + at / p->stride_h) * p->ow;
                to->kernel_row = r, to->kernel_col = s;
                to++;
            }
}

/* ---- copies of x ----------------------------------------------------------------------------- */

/* Copies every second number at p, n in all. */
LUC_INLINE void copy_even(float *to, const float *p, int64_t n)
{
    int64_t j = 0;
    for (; j + LUC_VF < n; j += LUC_VF)
        vf_store(to + j, vf_even(vf_load(p + 2 * j), vf_load(p + 2 * j + LUC_VF)));
    if (j == n) return;
    const int64_t left = 2 * (n - j) - 1, low = luc_min64(left, LUC_VF);
    const vf a = vf_load_n(p + 2 * j, low), b = vf_load_n(p + 2 * j + low, left - low);
    vf_store_n(to + j, vf_even(a, b), n - j);
}

LUC_INLINE void copy_run(float *to, const float *p, int64_t n)
{
    int64_t j = 0;
    for (; j + LUC_VF <= n; j += LUC_VF) vf_store(to + j, vf_load(p + j));
    if (j < n) vf_store_n(to + j, vf_load_n(p + j, n - j), n - j);
}

/* One row of x, as one column of the kernel reads it. */
LUC_INLINE void copy_row(const plan *g, const column *v, float *to, const float *row)
{
    const int64_t pixel = g->p->x_stride[3], step = pixel * g->p->stride_w, n = v->last - v->first;
    const float *from = row + (v->offset + v->first * g->p->stride_w) * pixel;
    for (int64_t j = 0; j < v->first; j++) to[j] = 0;
    float *dst = to + v->first;
    if (step == 1)
        copy_run(dst, from, n);
    else if (step == 2)
        copy_even(dst, from, n);
    else
        for (int64_t j = 0; j < n; j++) dst[j] = from[j * step];
    for (int64_t j = v->last; j < g->p->ow; j++) to[j] = 0;
}

/* A chunk: `rows` output rows from `row` on, of `images` images from n on. */
typedef struct {
    int64_t n, images, row, rows;
} chunk;

/* The source rows of a remainder that a chunk reads. */
static int64_t class_rows(const plan *g, const chunk *k)
{
    return k->rows + (g->p->kh - 1) * g->p->dilation_h / g->p->stride_h;
}

/* Copies one channel of one image row by row. */
static void copy_channel(const plan *g, const chunk *k, const float *x, float *to)
{
    const luc_conv2d_params *p = g->p;
    const int64_t rows = class_rows(g, k);
    for (int64_t i = 0; i < rows * g->classes; i++) {
        const int64_t class = i % g->classes, at = i / g->classes;
        const int64_t h = (k->row + at) * p->stride_h - p->pad_h + g->remainders[class];
        float *row = to + (class * g->class_rows + at) * p->ow;
        for (int64_t j = 0; j < p->w; j += 16) luc_prefetch(x + h * p->x_stride[2] + AHEAD + j);
        for (int64_t s = 0; s < p->kw; s++, row += g->column) {
            if (h < 0 || h >= p->h)
                memset(row, 0, sizeof(float) * (size_t)p->ow);
            else
                copy_row(g, &g->columns[s], row, x + h * p->x_stride[2]);
        }
    }
}

/* The same if the rows of x follow each other like those of the copies: all rows at once, and then
   the zeros between rows. */
static void copy_joined(const plan *g, const chunk *k, const float *x, float *to)
{
    const luc_conv2d_params *p = g->p;
    const int64_t rows = class_rows(g, k), top = k->row - p->pad_h, cols = p->ow;
    int64_t begin, end;
    luc_valid_range(rows, 1, top, p->h, &begin, &end);
    for (int64_t s = 0; s < p->kw; s++, to += g->column) {
        const column *v = &g->columns[s];
        if (begin == end || v->first == v->last) {
            memset(to, 0, sizeof(float) * (size_t)(rows * cols));
            continue;
        }
        memset(to, 0, sizeof(float) * (size_t)(begin * cols));
        copy_run(to + begin * cols + v->first, x + (top + begin) * cols + v->offset + v->first,
                 (end - begin - 1) * cols + v->last - v->first);
        for (int64_t i = begin; i < end; i++) {
            for (int64_t j = 0; j < v->first; j++) to[i * cols + j] = 0;
            for (int64_t j = v->last; j < cols; j++) to[i * cols + j] = 0;
        }
        memset(to + end * cols, 0, sizeof(float) * (size_t)((rows - end) * cols));
    }
}

/* Channels [c, c + count) of x for a chunk. */
static void copy_channels(const plan *g, const chunk *k, int64_t c, int64_t count, float *copies)
{
    const luc_conv2d_params *p = g->p;
    const bool joined = p->stride_h == 1 && p->stride_w == 1 && p->ow == p->w &&
                        planes_dense(p->h, p->w, p->x_stride);
    for (int64_t i = 0; i < k->images * count; i++) {
        const int64_t n = i / count, channel = i % count;
        const float *x = g->x + (k->n + n) * p->x_stride[0] + (c + channel) * p->x_stride[1];
        float *to = copies + n * g->image + channel * g->channel;
        if (joined)
            copy_joined(g, k, x, to);
        else
            copy_channel(g, k, x, to);
    }
}

/* ---- sums ------------------------------------------------------------------------------------ */

#define RUN_B(i)                             \
    static void run_1_##i(const luc_dots *t) \
    {                                        \
        luc_dots_run(t, 1, i + 1);           \
    }                                        \
    static void run_2_##i(const luc_dots *t) \
    {                                        \
        luc_dots_run(t, 2, i + 1);           \
    }                                        \
    static void run_3_##i(const luc_dots *t) \
    {                                        \
        luc_dots_run(t, 3, i + 1);           \
    }
LUC_DOTS_EACH_B(RUN_B)
#undef RUN_B

static void run_tile(const luc_dots *t, int64_t na, int64_t nb)
{
    static void (*const tiles[LUC_DOTS_B][LUC_DOTS_A])(const luc_dots *) = {
#define ENTRY(i) {run_1_##i, run_2_##i, run_3_##i},
        LUC_DOTS_EACH_B(ENTRY)
#undef ENTRY
    };
    tiles[nb - 1][na - 1](t);
}

/* Takes one block of channels over a chunk. It takes as many of dy's planes at a time as fit into
   the L2. Of these planes, taps that read the same pixels stay in the L1 while the planes pass. */
static void run_block(const plan *g, const chunk *k, int64_t block, const float *source, bool add,
                      float *to)
{
    const luc_conv2d_params *p = g->p;
    const int64_t group_blocks = g->blocks / p->groups, group = block / group_blocks;
    const int64_t count = luc_min64(g->block, g->cg - block % group_blocks * g->block) * g->taps;
    const float *dy =
        g->dy + k->n * p->y_stride[0] + group * g->og * p->y_stride[1] + k->row * p->y_stride[2];
    luc_dots t = {.segments = k->images, .depth = k->rows * p->ow, .add = add};
    t.a_next = p->y_stride[0], t.b_next = g->image;
    for (int64_t begin = 0; begin < g->og; begin += g->out_block)
        for (int64_t first = 0; first < count; first += LUC_DOTS_B) {
            const int64_t nb = luc_min64(LUC_DOTS_B, count - first);
            for (int64_t b = 0; b < nb; b++)
                t.b[b] = source + (first + b) / g->taps * g->channel +
                         g->table[(first + b) % g->taps].at;
            for (int64_t o = begin; o < luc_min64(begin + g->out_block, g->og); o += LUC_DOTS_A) {
                const int64_t na = luc_min64(LUC_DOTS_A, g->og - o);
                for (int64_t a = 0; a < na; a++) t.a[a] = dy + (o + a) * p->y_stride[1];
                t.to = to + (first / LUC_DOTS_B * g->trios + o / LUC_DOTS_A) * LUC_DOTS_SIZE;
                run_tile(&t, na, nb);
            }
        }
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t part = begin / g->splits, split = begin % g->splits;
    const int64_t first = g->chunks * part / g->parts, last = g->chunks * (part + 1) / g->parts;
    const int64_t group_blocks = g->blocks / p->groups, size = g->trios * g->tap_tiles;
    float *copies = (float *)(void *)(g->copies + (size_t)thread * g->copy_bytes);
    (void)end;
    for (int64_t i = first; i < last; i++) {
        chunk k = {.n = i / g->row_chunks * g->chunk_images};
        k.images = luc_min64(g->chunk_images, p->n - k.n);
        k.row = i % g->row_chunks * g->chunk_rows;
        k.rows = luc_min64(g->chunk_rows, p->oh - k.row);
        for (int64_t block = g->blocks * split / g->splits;
             block < g->blocks * (split + 1) / g->splits; block++) {
            const int64_t at = block % group_blocks * g->block;
            const int64_t c = block / group_blocks * g->cg + at;
            const float *source = copies;
            if (g->direct)
                source = g->x + k.n * p->x_stride[0] + c * p->x_stride[1] + k.row * p->x_stride[2];
            else
                copy_channels(g, &k, c, luc_min64(g->block, g->cg - at), copies);
            run_block(g, &k, block, source, i > first,
                      g->partial + (part * g->blocks + block) * size * LUC_DOTS_SIZE);
        }
    }
}

/* Adds the parts of a tile, in order, and stores the numbers in their places in dw. */
static void gather(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t group_blocks = g->blocks / p->groups, tiles = g->trios * g->tap_tiles;
    const int64_t whole = g->blocks * tiles * LUC_DOTS_SIZE;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t block = i / tiles, first = i % tiles / g->trios * LUC_DOTS_B;
        const int64_t o = i % g->trios * LUC_DOTS_A, group = block / group_blocks;
        const int64_t c = block % group_blocks * g->block;
        const int64_t count = luc_min64(g->block, g->cg - c) * g->taps;
        if (first >= count) continue;
        float sum[LUC_DOTS_SIZE] = {0};
        for (int64_t part = 0; part < g->parts; part++) {
            const float *more = g->partial + part * whole + i * LUC_DOTS_SIZE;
            for (int j = 0; j < LUC_DOTS_SIZE; j += LUC_VF)
                vf_store(sum + j, vf_add(vf_load(sum + j), vf_load(more + j)));
        }
        for (int64_t b = first; b < luc_min64(first + LUC_DOTS_B, count); b++) {
            const tap *t = &g->table[b % g->taps];
            float *dw = g->dw + (group * g->og + o) * p->w_stride[0] +
                        (c + b / g->taps) * p->w_stride[1] + t->kernel_row * p->w_stride[2] +
                        t->kernel_col * p->w_stride[3];
            for (int64_t a = 0; a < luc_min64(LUC_DOTS_A, g->og - o); a++)
                dw[a * p->w_stride[0]] = sum[a * LUC_DOTS_B + b - first];
        }
    }
}

static void conv_plane_run(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                           char *workspace, int threads)
{
    plan g = {.p = p, .x = x, .dy = dy, .dw = dw};
    set_plan(&g);
    if (p->o <= 0 || g.cg <= 0 || g.taps <= 0) return;
    g.partial = (float *)(void *)workspace;
    g.table = (tap *)(void *)(workspace + g.partial_bytes);
    g.columns = (column *)(void *)(g.table + g.taps);
    g.remainders = (int64_t *)(void *)(g.columns + p->kw);
    g.copies = workspace + g.partial_bytes + g.table_bytes;
    fill_tables(&g);
    luc_parallel_for_max(g.parts * g.splits, 1, threads, run_item, &g);
    luc_parallel_for(g.blocks * g.trios * g.tap_tiles, 16, gather, &g);
}

/* ---- bias gradient --------------------------------------------------------------------------- */

typedef struct {
    const luc_conv2d_params *p;
    const float *dy;
    float *dbias;
} bias_plan;

/* Blocks of output channels. */
static void sum_planes(void *ctx, int64_t begin, int64_t end, int thread)
{
    const bias_plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t pixels = p->oh * p->ow;
    (void)thread;
    for (int64_t o = begin; o < end; o++) {
        vd sum = vd_zero();
        double rest = 0;
        for (int64_t n = 0; n < p->n; n++) {
            const float *dy = g->dy + n * p->y_stride[0] + o * p->y_stride[1];
            int64_t j = 0;
            for (; j + LUC_VD <= pixels; j += LUC_VD) sum = vd_add(sum, vd_load_f32(dy + j));
            for (; j < pixels; j++) rest += (double)dy[j];
        }
        g->dbias[o] = (float)(vd_sum(sum) + rest);
    }
}

static void conv_plane_run_bias(const luc_conv2d_params *p, const float *dy, float *dbias)
{
    bias_plan g = {.p = p, .dy = dy, .dbias = dbias};
    luc_parallel_for(p->o, 4, sum_planes, &g);
}

LUC_LEVEL_TABLE(luc_conv_plane_table, luc_conv_plane) = {
    .fits = conv_plane_fits,
    .bytes = conv_plane_bytes,
    .run = conv_plane_run,
    .run_bias = conv_plane_run_bias,
};

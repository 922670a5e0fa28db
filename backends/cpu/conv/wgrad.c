/*
 * wgrad.c: weight gradient over channels_last images, compiled once per CPU level.
 *
 *     dw[tap][c][o] = sum over pixels of x[pixel at tap][c] * dy[pixel][o]
 *
 * The rows of all output images are cut into `parts` that depend on the shape alone. An item of
 * parallel work sums one part for a set of panels of output channels into a partial result; at the
 * end the partial results are added in order. Within an item, a chunk of about CHUNK pixels at a
 * time goes through every tile of the result, so that x comes from memory once for each set. A
 * tile's rows are input channels, its depth the pixels of an image row, its segments the rows.
 *
 * With few input channels a tile would be nearly empty. Then its rows are all channels and taps of
 * a kernel row, in a strip of image rows with zeros around. If those are few too, or not adjacent,
 * the chunk's windows are written out (for this chunk alone), and the rows are all taps and
 * channels.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/matmul/tile_priv.h"

enum {
    CHUNK = 128,      /* pixels; also the most rows, and so the most segments, of a chunk */
    FEW_CHANNELS = 8, /* channels; with fewer, strips or windows are used */
    LEAST_ROWS = 7,   /* rows of a tile that is nearly full */
    ITEMS = 32,       /* items of parallel work, if the shape allows it */
    FAR = 128,        /* if dy's pixels are at least this far apart (floats), it is copied ... */
    MANY_ROWS = 200,  /* ... if the result has at least this number of rows */
    BIAS_ROWS = 64,   /* parts of the bias gradient */
};
static const size_t MOST_PARTIAL = (size_t)6 << 20; /* bytes of all partial results */

typedef struct {
    const luc_conv2d_params *p;
    const luc_tile_f32_table *tile;
    int64_t cg, og, panels, taps; /* channels of a group, panels of output channels */
    int64_t rows, chunk_rows, parts;
    int64_t panel_size; /* of one panel of one partial result: [tap][cg][tile->cols] */
    int64_t set, sets;  /* panels that an item covers; such sets of panels in a group */
    bool strips;        /* x is read from strips with zeros around ... */
    bool windows;       /* ... and from windows that are written out from the strips */
    bool copy;          /* dy's panels are copied */
    size_t partial_bytes, dy_bytes, strip_bytes, window_bytes;
    const float *x, *dy;
    float *dw, *partial;
    char *scratch;
} plan;

/* The pixels of an image row that the windows of one output row read, from the first window's first
   one. */
static int64_t strip_cols(const plan *g)
{
    const luc_conv2d_params *p = g->p;
    return (p->ow - 1) * p->stride_w + (p->kw - 1) * p->dilation_w + 1;
}

static void set_plan(plan *g)
{
    const luc_conv2d_params *p = g->p;
    g->tile = luc_tile_f32_get();
    g->cg = p->c / p->groups, g->og = p->o / p->groups;
    g->panels = luc_ceil_div(g->og, g->tile->cols);
    g->taps = p->kh * p->kw;
    g->panel_size = g->taps * g->cg * g->tile->cols;
    g->strips = g->cg < FEW_CHANNELS;
    g->windows = g->strips && (p->dilation_w > 1 || p->kw * g->cg < LEAST_ROWS);
    g->rows = p->n * p->oh;
    g->chunk_rows = luc_max64(1, luc_min64(CHUNK / luc_max64(p->ow, 1), CHUNK));
    const int64_t panels = p->groups * g->panels;
    const size_t whole = luc_round64((size_t)(panels * g->panel_size) * sizeof(float));
    int64_t parts = luc_min64(ITEMS, (int64_t)(MOST_PARTIAL / (whole + 1)));
    parts = luc_min64(parts, luc_ceil_div(g->rows, g->chunk_rows));
    g->parts = luc_max64(parts, 1);
    /* An item's result should stay in the L2 together with what it reads. */
    const int64_t bytes = g->panel_size * (int64_t)sizeof(float) + 1;
    int64_t set = luc_max64((int64_t)(luc_cpu_l2_bytes() / 2) / bytes, 1);
    set = luc_min64(set, luc_max64(panels * g->parts / ITEMS, 1));
    g->set = luc_even_piece(luc_max64(g->panels, 1), set);
    g->sets = luc_ceil_div(g->panels, g->set);
    g->partial_bytes = whole * (size_t)g->parts;
    const size_t pixels = (size_t)(g->chunk_rows * p->ow);
    /* Tiles read whole vectors, and pixels that are far apart share few lines of the L1. */
    const int64_t lanes = g->og - (g->panels - 1) * g->tile->cols; /* of the last panel */
    const bool whole_vectors = lanes == g->tile->cols || lanes == g->tile->lanes;
    g->copy = !whole_vectors || (p->y_stride[3] >= FAR && g->taps * g->cg >= MANY_ROWS);
    g->dy_bytes =
        g->copy ? luc_round64(pixels * (size_t)(g->set * g->tile->cols) * sizeof(float)) : 0;
    g->strip_bytes = g->window_bytes = 0;
    if (!g->strips) return;
    const int64_t strips = p->kh * (g->windows ? 1 : g->chunk_rows);
    const size_t strip = (size_t)(strips * strip_cols(g) * g->cg);
    g->strip_bytes = luc_round64((strip + LUC_VF + 4) * sizeof(float)); /* see copy_more */
    if (!g->windows) return;
    g->window_bytes =
        luc_round64((pixels * (size_t)(g->taps * g->cg) + LUC_VF + 4) * sizeof(float));
}

static size_t conv_weight_bytes(const luc_conv2d_params *p, int threads)
{
    plan g = {.p = p};
    set_plan(&g);
    return g.partial_bytes + (g.dy_bytes + g.strip_bytes + g.window_bytes) * (size_t)threads;
}

/* A chunk: output rows [row, row + rows) over all images, and dy's panel for them. */
typedef struct {
    int64_t row, rows;
    const float *dy;          /* of the first row's first pixel */
    int64_t dy_row, dy_pixel; /* strides; dy_row holds within an image, or throughout a copy */
    int64_t dy_panel;         /* from panel to panel */
    int64_t panels;           /* in use now ... */
    int lanes;                /* ... and the lanes of the last panel */
} chunk;

static int64_t dy_at(const plan *g, const chunk *k, int64_t row)
{
    const luc_conv2d_params *p = g->p;
    if (g->copy) return (row - k->row) * k->dy_row;
    return row / p->oh * p->y_stride[0] + row % p->oh * p->y_stride[2] -
           (k->row / p->oh * p->y_stride[0] + k->row % p->oh * p->y_stride[2]);
}

/* Copies n of `cols` numbers, with zeros after them. */
LUC_INLINE void copy_lanes(float *to, const float *from, int64_t cols, int64_t n)
{
    for (int64_t l = 0; l < cols; l += LUC_VF, n -= LUC_VF)
        vf_store(to + l, n >= LUC_VF ? vf_load(from + l) : vf_load_n(from + l, luc_max64(n, 0)));
}

/* dy from a channel on. */
static void take_dy(const plan *g, chunk *k, float *copy, int64_t channel)
{
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols;
    k->dy = g->dy + k->row / p->oh * p->y_stride[0] + k->row % p->oh * p->y_stride[2] + channel;
    k->dy_row = p->y_stride[2], k->dy_pixel = p->y_stride[3], k->dy_panel = cols;
    if (!g->copy) return;
    k->dy = copy, k->dy_row = cols * p->ow, k->dy_pixel = cols, k->dy_panel = k->rows * k->dy_row;
    for (int64_t r = 0; r < k->rows; r++) {
        const int64_t row = k->row + r;
        const float *from =
            g->dy + row / p->oh * p->y_stride[0] + row % p->oh * p->y_stride[2] + channel;
        float *to = copy + r * k->dy_row;
        for (int64_t j = 0; j < p->ow; j++, from += p->y_stride[3], to += cols)
            for (int64_t panel = 0; panel < k->panels; panel++)
                copy_lanes(to + panel * k->dy_panel, from + panel * cols, cols,
                           panel < k->panels - 1 ? cols : k->lanes);
    }
}

/* Takes all rows of A (input channels) for one tap, or all taps of written windows; b is B in the
   first panel. */
static void run_tiles(const plan *g, const chunk *k, luc_tile_f32 *t, const float *a,
                      const float *b, float *c, int64_t rows)
{
    const int half = g->tile->half;
    const int64_t size = luc_even_piece(rows, g->tile->rows), cols = g->tile->cols;
    for (int64_t m = 0; m < rows; m += size) {
        t->m = (int)luc_min64(size, rows - m);
        t->a0 = a + m, t->a1 = t->a0 + half;
        for (int64_t panel = 0; panel < k->panels; panel++) {
            const bool narrow = panel == k->panels - 1 && k->lanes <= g->tile->lanes;
            t->n = narrow ? g->tile->lanes : (int)cols; /* plain, whole vectors */
            t->b = b + panel * k->dy_panel;
            t->c0 = c + panel * g->panel_size + m * t->c_row, t->c1 = t->c0 + half * t->c_row;
            g->tile->run(t);
        }
    }
}

/* One tap: the pixels whose source lies in the image, directly from x. */
static void run_tap(const plan *g, const chunk *k, luc_tile_f32 *t, int64_t r, int64_t s,
                    int64_t channel, float *c)
{
    const luc_conv2d_params *p = g->p;
    luc_segment segments[CHUNK];
    int64_t first, last, count = 0;
    luc_valid_range(p->ow, p->stride_w, s * p->dilation_w - p->pad_w, p->w, &first, &last);
    if (first == last) return;
    const int64_t left = first * p->stride_w + s * p->dilation_w - p->pad_w;
    for (int64_t i = 0; i < k->rows; i++) {
        const int64_t row = k->row + i;
        const int64_t h = row % p->oh * p->stride_h + r * p->dilation_h - p->pad_h;
        if (h < 0 || h >= p->h) continue;
        segments[count].a = row / p->oh * p->x_stride[0] + h * p->x_stride[2];
        segments[count++].b = dy_at(g, k, row);
    }
    t->segment = segments, t->segments = count;
    t->depth = last - first;
    t->a_row = 1, t->a_step = p->stride_w * p->x_stride[3];
    run_tiles(g, k, t, g->x + channel + left * p->x_stride[3], k->dy + first * k->dy_pixel, c,
              g->cg);
}

/* Row h of an image with adjacent channels, and zeros outside of the image. */
static void write_strip(const plan *g, float *to, const float *image, int64_t h)
{
    const luc_conv2d_params *p = g->p;
    const int64_t cols = strip_cols(g), left = luc_min64(p->pad_w, cols);
    const int64_t right = luc_max64(luc_min64(p->w + p->pad_w, cols), left);
    if (h < 0 || h >= p->h) {
        memset(to, 0, sizeof(float) * (size_t)(cols * g->cg));
        return;
    }
    const float *from = image + h * p->x_stride[2] + (left - p->pad_w) * p->x_stride[3];
    memset(to, 0, sizeof(float) * (size_t)(left * g->cg));
    memset(to + right * g->cg, 0, sizeof(float) * (size_t)((cols - right) * g->cg));
    if (p->x_stride[3] == g->cg) {
        memcpy(to + left * g->cg, from, sizeof(float) * (size_t)((right - left) * g->cg));
        return;
    }
    for (int64_t j = left; j < right; j++, from += p->x_stride[3])
        for (int64_t c = 0; c < g->cg; c++) to[j * g->cg + c] = from[c];
}

/* Copies at least n numbers, and up to a vector more; the additional ones are overwritten later. */
LUC_INLINE void copy_more(float *to, const float *from, int64_t n)
{
    if (n <= 4) {
        memcpy(to, from, 4 * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < n; i += LUC_VF) vf_store(to + i, vf_load(from + i));
}

/* The strips that output row i of a chunk reads. */
static void write_strips(const plan *g, const chunk *k, int64_t i, float *to, int64_t channel)
{
    const luc_conv2d_params *p = g->p;
    const int64_t row = k->row + i, top = row % p->oh * p->stride_h - p->pad_h;
    const float *image = g->x + row / p->oh * p->x_stride[0] + channel;
    for (int64_t r = 0; r < p->kh; r++, to += strip_cols(g) * g->cg)
        write_strip(g, to, image, top + r * p->dilation_h);
}

/* The windows of a chunk, [pixel][tap][channel], with zeros outside of the image. */
static void write_windows(const plan *g, const chunk *k, float *strip, float *to, int64_t channel)
{
    const luc_conv2d_params *p = g->p;
    const int64_t pitch = strip_cols(g) * g->cg, step = p->stride_w * g->cg;
    const bool joined = p->dilation_w == 1; /* the taps of a kernel row are one piece */
    const int64_t pieces = joined ? 1 : p->kw, piece = (joined ? p->kw : 1) * g->cg;
    for (int64_t i = 0; i < k->rows; i++) {
        write_strips(g, k, i, strip, channel);
        for (int64_t j = 0; j < p->ow; j++)
            for (int64_t r = 0; r < p->kh; r++)
                for (int64_t s = 0; s < pieces; s++, to += piece)
                    copy_more(to, strip + r * pitch + j * step + s * p->dilation_w * g->cg, piece);
    }
}

/* Kernel row r, whose taps and channels are adjacent in the strips. */
static void run_strip(const plan *g, const chunk *k, luc_tile_f32 *t, const float *strips,
                      int64_t r, float *c)
{
    const luc_conv2d_params *p = g->p;
    luc_segment segments[CHUNK];
    const int64_t pitch = strip_cols(g) * g->cg, rows = p->kw * g->cg;
    for (int64_t i = 0; i < k->rows; i++) {
        segments[i].a = (i * p->kh + r) * pitch;
        segments[i].b = dy_at(g, k, k->row + i);
    }
    t->segment = segments, t->segments = k->rows;
    t->depth = p->ow;
    t->a_row = 1, t->a_step = p->stride_w * g->cg;
    run_tiles(g, k, t, strips, k->dy, c + r * rows * t->c_row, rows);
}

static void run_windows(const plan *g, const chunk *k, luc_tile_f32 *t, const float *windows,
                        float *c)
{
    const luc_conv2d_params *p = g->p;
    luc_segment segments[CHUNK];
    const int64_t size = g->taps * g->cg;
    for (int64_t i = 0; i < k->rows; i++) {
        segments[i].a = i * p->ow * size;
        segments[i].b = dy_at(g, k, k->row + i);
    }
    t->segment = segments, t->segments = k->rows;
    t->depth = p->ow;
    t->a_row = 1, t->a_step = size;
    run_tiles(g, k, t, windows, k->dy, c, size);
}

/* Takes a chunk through the panels in k. */
static void run_chunk(const plan *g, const chunk *k, float *strips, int64_t channel, float *c)
{
    const int64_t cols = g->tile->cols;
    luc_tile_f32 t = {.b_step = k->dy_pixel, .c_row = cols, .flags = LUC_TILE_ADD};
    if (g->windows) {
        float *windows = strips + g->strip_bytes / sizeof(float);
        write_windows(g, k, strips, windows, channel);
        run_windows(g, k, &t, windows, c);
    } else if (g->strips) {
        for (int64_t i = 0; i < k->rows; i++)
            write_strips(g, k, i, strips + i * g->p->kh * strip_cols(g) * g->cg, channel);
        for (int64_t r = 0; r < g->p->kh; r++) run_strip(g, k, &t, strips, r, c);
    } else {
        for (int64_t tap = 0; tap < g->taps; tap++)
            run_tap(g, k, &t, tap / g->p->kw, tap % g->p->kw, channel, c + tap * g->cg * cols);
    }
}

static void run_item(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, sets = p->groups * g->sets;
    const int64_t part = begin / sets, group = begin % sets / g->sets;
    const int64_t panel = begin % g->sets * g->set, panels = luc_min64(g->set, g->panels - panel);
    char *scratch = g->scratch + (size_t)thread * (g->dy_bytes + g->strip_bytes + g->window_bytes);
    float *copy = (float *)(void *)scratch, *strips = (float *)(void *)(scratch + g->dy_bytes);
    float *c = g->partial + ((part * p->groups + group) * g->panels + panel) * g->panel_size;
    (void)end;
    memset(c, 0, sizeof(float) * (size_t)(panels * g->panel_size));
    const int64_t last = g->rows * (part + 1) / g->parts;
    chunk k = {.row = g->rows * part / g->parts, .panels = panels};
    k.lanes = (int)luc_min64(cols, g->og - (panel + panels - 1) * cols);
    for (; k.row < last; k.row += k.rows) {
        k.rows = luc_min64(g->chunk_rows, last - k.row);
        take_dy(g, &k, copy, group * g->og + panel * cols);
        run_chunk(g, &k, strips, group * g->cg, c);
    }
}

/* Adds the parts, in order, and stores the numbers in their places in dw. Items are blocks of
   (panel, tap). */
static void gather(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    const int64_t cols = g->tile->cols, size = g->cg * cols;
    const int64_t whole = p->groups * g->panels * g->panel_size;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t panel = i / g->taps, tap = i % g->taps, lane = panel % g->panels * cols;
        float *sum = g->partial + panel * g->panel_size + tap * size;
        for (int64_t part = 1; part < g->parts; part++) {
            const float *more = sum + part * whole;
            for (int64_t j = 0; j < size; j += LUC_VF)
                vf_store(sum + j, vf_add(vf_load(sum + j), vf_load(more + j)));
        }
        const int64_t o = panel / g->panels * g->og + lane;
        float *dw = g->dw + o * p->w_stride[0] + tap / p->kw * p->w_stride[2] +
                    tap % p->kw * p->w_stride[3];
        for (int64_t l = 0; l < luc_min64(cols, g->og - lane); l++)
            for (int64_t c = 0; c < g->cg; c++)
                dw[l * p->w_stride[0] + c * p->w_stride[1]] = sum[c * cols + l];
    }
}

static void conv_weight_run(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                            char *workspace, int threads)
{
    plan g = {.p = p, .x = x, .dy = dy, .dw = dw};
    set_plan(&g);
    if (p->o <= 0 || g.panel_size <= 0) return;
    g.partial = (float *)(void *)workspace;
    g.scratch = workspace + g.partial_bytes;
    luc_parallel_for_max(g.parts * p->groups * g.sets, 1, threads, run_item, &g);
    luc_parallel_for(p->groups * g.panels * g.taps, 1, gather, &g);
}

/* ---- bias gradient: dy summed over pixels, in double ----------------------------------------- */

typedef struct {
    const luc_conv2d_params *p;
    const float *dy;
    double *partial; /* [part][o] */
    int64_t parts;
} bias_plan;

static int64_t bias_parts(const luc_conv2d_params *p)
{
    return luc_max64(1, luc_min64(BIAS_ROWS, p->n * p->oh));
}

static size_t conv_bias_bytes(const luc_conv2d_params *p)
{
    return luc_round64((size_t)(bias_parts(p) * p->o) * sizeof(double));
}

static void sum_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const bias_plan *g = ctx;
    const luc_conv2d_params *p = g->p;
    (void)thread, (void)end;
    const int64_t rows = p->n * p->oh;
    double *sum = g->partial + begin * p->o;
    memset(sum, 0, sizeof(double) * (size_t)p->o);
    for (int64_t row = rows * begin / g->parts; row < rows * (begin + 1) / g->parts; row++) {
        const float *dy = g->dy + row / p->oh * p->y_stride[0] + row % p->oh * p->y_stride[2];
        for (int64_t j = 0; j < p->ow; j++, dy += p->y_stride[3]) {
            int64_t c = 0;
            for (; c + LUC_VD <= p->o; c += LUC_VD)
                vd_store(sum + c, vd_add(vd_load(sum + c), vd_load_f32(dy + c)));
            for (; c < p->o; c++) sum[c] += (double)dy[c];
        }
    }
}

static void conv_bias_run(const luc_conv2d_params *p, const float *dy, float *dbias,
                          char *workspace)
{
    bias_plan g = {.p = p, .dy = dy, .partial = (double *)(void *)workspace};
    g.parts = bias_parts(p);
    luc_parallel_for(g.parts, 1, sum_part, &g);
    for (int64_t c = 0; c < p->o; c++) {
        double sum = 0;
        for (int64_t part = 0; part < g.parts; part++) sum += g.partial[part * p->o + c];
        dbias[c] = (float)sum;
    }
}

LUC_LEVEL_TABLE(luc_conv_weight_table, luc_conv_weight) = {
    .bytes = conv_weight_bytes,
    .run = conv_weight_run,
    .bias_bytes = conv_bias_bytes,
    .run_bias = conv_bias_run,
};

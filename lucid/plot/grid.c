#include "lucid/plot/plot_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/options_priv.h"

#include <math.h>
#include <string.h>

enum { TEXT = 13, TITLE = 20, MARGIN = 28, GAP = 18, BAR = 14 };

/* Tiles of equal size, numbers in rows. */
typedef struct grid {
    const lucid_grid_options *options;
    double *values; /* [n][height][width] */
    int64_t n, height, width;
    int columns, rows, top;                               /* top: where the first tile begins */
    int tile_width, tile_height, cell_width, cell_height; /* pixels */
    const char *const *captions;
} grid;

static bool check_options(const lucid_grid_options *o, const char *op)
{
    if (o->columns < 1 || o->scale < 1 || o->scale > 1000)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "columns, scale: expected >= 1, and a scale up to 1000, got %d, %d",
                         o->columns, o->scale);
    if (isfinite(o->low) && isfinite(o->high)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "low, high: expected finite numbers, got %g, %g",
                     o->low, o->high);
}

static bool read_values(grid *g, const lucid_tensor *t, const char *op)
{
    size_t count = (size_t)lucid_numel(t);
    g->values = luc_calloc(count, sizeof *g->values, op);
    return g->values && lucid_to_doubles(t, g->values, count);
}

/* Places the tiles and makes the empty picture. `below` pixels stay free under the tiles. */
static lucid_image *lay_out(grid *g, int below, const char *op)
{
    const lucid_grid_options *o = g->options;
    const int64_t most = LUCID_IMAGE_MAX;
    if (g->n < 1 || g->width < 1 || g->height < 1 || g->width > most || g->height > most)
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, op,
            "images: expected at least one of 1 to %lld pixels each way, got %lld "
            "of %lldx%lld",
            (long long)most, (long long)g->n, (long long)g->height, (long long)g->width);
    double caption = 0;
    for (int64_t i = 0; g->captions && i < g->n; i++)
        caption = fmax(caption, lucid_image_text_width(TEXT, g->captions[i]));
    int64_t tile_width = g->width * o->scale, tile_height = g->height * o->scale;
    int64_t cell_width = (tile_width > caption ? tile_width : (int64_t)ceil(caption)) + GAP;
    int64_t cell_height = tile_height + GAP + (g->captions ? TEXT + 12 : 0);
    int64_t columns = g->n < o->columns ? g->n : o->columns, rows = (g->n + columns - 1) / columns;
    int64_t title = (int64_t)ceil(lucid_image_text_width(TITLE, o->title));
    int64_t inner = columns * cell_width - GAP;
    if (inner < title) inner = title;
    g->top = MARGIN + (o->title ? TITLE + MARGIN : 0);
    int64_t height = g->top + rows * cell_height - GAP + MARGIN + below;
    if (cell_width > most || cell_height > most || columns > most || rows > most ||
        inner + 2 * MARGIN > most || height > most)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "%lld images in %lld columns make a picture over %d pixels",
                              (long long)g->n, (long long)columns, LUCID_IMAGE_MAX);
    g->columns = (int)columns, g->rows = (int)rows;
    g->tile_width = (int)tile_width, g->tile_height = (int)tile_height;
    g->cell_width = (int)cell_width, g->cell_height = (int)cell_height;
    lucid_image *image = lucid_image_new((int)inner + 2 * MARGIN, (int)height, LUC_PAPER);
    if (image && o->title &&
        !lucid_image_text(image, MARGIN, MARGIN + TITLE, TITLE, LUC_INK, o->title)) {
        lucid_image_free(image);
        return NULL;
    }
    return image;
}

/* The upper left corner of tile i. */
static void place(const grid *g, int64_t i, int *x, int *y)
{
    int column = (int)(i % g->columns), row = (int)(i / g->columns);
    *x = MARGIN + column * g->cell_width + (g->cell_width - GAP - g->tile_width) / 2;
    *y = g->top + row * g->cell_height;
}

/* ---- images ---------------------------------------------------------------------------------- */

static void find_range(const grid *g, double *low, double *high)
{
    *low = g->options->low, *high = g->options->high;
    if (*low != 0 || *high != 0) return;
    *low = INFINITY, *high = -INFINITY;
    for (int64_t i = 0; i < g->n * g->height * g->width; i++) {
        if (!isfinite(g->values[i])) continue;
        *low = fmin(*low, g->values[i]), *high = fmax(*high, g->values[i]);
    }
}

static uint32_t gray_of(double value, double low, double high)
{
    /* In halves: from -1e308 to 1e308 is more than a double can hold. */
    double share = high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0;
    uint32_t level = share >= 1 ? 255 : share > 0 ? (uint32_t)lround(share * 255) : 0;
    return level * 0x010101u;
}

static void draw_gray(const grid *g, lucid_image *image, int64_t i, double low, double high)
{
    int x, y, scale = g->options->scale;
    place(g, i, &x, &y);
    const double *v = g->values + i * g->height * g->width;
    for (int64_t r = 0; r < g->height; r++)
        for (int64_t c = 0; c < g->width; c++)
            lucid_image_rect(image, x + (int)c * scale, y + (int)r * scale, scale, scale,
                             gray_of(v[r * g->width + c], low, high), 1);
}

static bool draw_caption(const grid *g, lucid_image *image, int64_t i)
{
    int x, y;
    if (!g->captions || !g->captions[i]) return true;
    place(g, i, &x, &y);
    double width = lucid_image_text_width(TEXT, g->captions[i]);
    return lucid_image_text(image, x + (g->tile_width - width) / 2, y + g->tile_height + 10 + TEXT,
                            TEXT, LUC_INK, g->captions[i]);
}

lucid_image *lucid_plot_images_opt(const lucid_tensor *images, const char *const *captions,
                                   const lucid_grid_options *options)
{
    static const char op[] = "plot_images";
    grid g = {.options = LUC_OPTIONS(lucid_grid, options, op), .captions = captions};
    if (!g.options) return NULL;
    if (!images) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "images: got NULL");
    lucid_shape s = lucid_tensor_shape(images);
    if (s.ndim != 3 && !(s.ndim == 4 && s.dims[1] == 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "images: expected [n,H,W] or [n,1,H,W], got %s",
                              luc_shape_text(images).s);
    g.n = s.dims[0], g.height = s.dims[s.ndim - 2], g.width = s.dims[s.ndim - 1];
    if (!check_options(g.options, op)) return NULL;
    lucid_image *image = lay_out(&g, 0, op);
    bool ok = image && read_values(&g, images, op);
    double low, high;
    if (ok) find_range(&g, &low, &high);
    for (int64_t i = 0; ok && i < g.n; i++) {
        draw_gray(&g, image, i, low, high);
        ok = draw_caption(&g, image, i);
    }
    luc_free(g.values);
    if (ok) return image;
    lucid_image_free(image);
    return NULL;
}

/* ---- filters --------------------------------------------------------------------------------- */

/* -1 blue, 0 nearly white, 1 red; beyond gray: not a number. */
static uint32_t diverging(double share)
{
    static const double blue[3] = {33, 82, 196}, white[3] = {247, 247, 247}, red[3] = {192, 32, 38};
    if (!(share >= -1 && share <= 1)) return 0x808080;
    const double *end = share < 0 ? blue : red;
    uint32_t color = 0;
    for (int c = 0; c < 3; c++) {
        double v = white[c] + (end[c] - white[c]) * pow(fabs(share), 0.8);
        color = color << 8 | (uint32_t)lround(v);
    }
    return color;
}

static void draw_filter(const grid *g, lucid_image *image, int64_t i, double most)
{
    int x, y, scale = g->options->scale;
    place(g, i, &x, &y);
    lucid_image_rect(image, x - 1, y - 1, g->tile_width + 2, g->tile_height + 2, 0xcbd2d9, 1);
    const double *v = g->values + i * g->height * g->width;
    for (int64_t r = 0; r < g->height; r++)
        for (int64_t c = 0; c < g->width; c++)
            lucid_image_rect(image, x + (int)c * scale, y + (int)r * scale, scale, scale,
                             diverging(most > 0 ? v[r * g->width + c] / most : 0), 1);
}

/* The colours from -most to most, with their numbers. */
static bool draw_scale(lucid_image *image, double most)
{
    enum { LENGTH = 201 };
    char low[32], high[32];
    int decimals = most > 0 && most < 10 ? (int)ceil(1 - log10(most)) : 0;
    luc_number_text(-most, decimals < 1 ? 1 : decimals, low, sizeof low);
    luc_number_text(most, decimals < 1 ? 1 : decimals, high, sizeof high);
    int y = image->height - MARGIN - BAR, x = MARGIN + (int)lucid_image_text_width(TEXT, low) + 12;
    for (int i = 0; i < LENGTH; i++)
        lucid_image_rect(image, x + i, y, 1, BAR, diverging((i - LENGTH / 2) / (LENGTH / 2.0)), 1);
    return lucid_image_text(image, MARGIN, y + BAR, TEXT, LUC_INK, low) &&
           lucid_image_text(image, x + LENGTH + 12, y + BAR, TEXT, LUC_INK, high);
}

lucid_image *lucid_plot_filters_opt(const lucid_tensor *weight, const lucid_grid_options *options)
{
    static const char op[] = "plot_filters";
    grid g = {.options = LUC_OPTIONS(lucid_grid, options, op)};
    if (!g.options) return NULL;
    if (!weight) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "weight: got NULL");
    lucid_shape s = lucid_tensor_shape(weight);
    if (s.ndim != 4)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "weight: expected [O,I,kH,kW], got %s",
                              luc_shape_text(weight).s);
    g.height = s.dims[2], g.width = s.dims[3];
    if (!check_options(g.options, op)) return NULL;
    if (!luc_mul_i64(s.dims[0], s.dims[1], &g.n)) g.n = 0; /* of filters without a value */
    lucid_image *image = lay_out(&g, BAR + MARGIN, op);
    bool ok = image && read_values(&g, weight, op);
    double most = 0;
    for (int64_t i = 0; ok && i < lucid_numel(weight); i++)
        if (isfinite(g.values[i])) most = fmax(most, fabs(g.values[i]));
    for (int64_t i = 0; ok && i < g.n; i++) draw_filter(&g, image, i, most);
    ok = ok && draw_scale(image, most);
    luc_free(g.values);
    if (ok) return image;
    lucid_image_free(image);
    return NULL;
}

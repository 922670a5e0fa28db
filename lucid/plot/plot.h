/* plot.h: pictures about training: curves, grids of images, filters.
 *
 *     lucid_series loss = {.name = "training", .y = losses, .n = steps, .smooth = 0.02};
 *     lucid_panel panel = {.title = "loss", .series = &loss, .count = 1};
 *     lucid_image *image = lucid_plot(&panel, 1);
 *     lucid_image_write_png(image, "loss.png");
 *     lucid_image_free(image);
 *
 * The pictures are drawn on white. The caller frees them with lucid_image_free. NULL after an
 * error. */
#ifndef LUCID_IO_PLOT_H
#define LUCID_IO_PLOT_H

#include "../core/api.h"
#include "../io/png.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- curves ---------------------------------------------------------------------------------- */

/* A curve. A zeroed field has the meaning given with it. Values that are not finite leave a gap. */
typedef struct lucid_series {
    const char *name; /* for the legend; NULL: not in it */
    const double *x;  /* n values, ascending; NULL: 1, 2, 3, ... */
    const double *y;  /* n values */
    int64_t n;
    double smooth; /* > 0: a mean over this share of the curve, the values themselves paler */
    bool markers;  /* a dot at each value */
} lucid_series;

typedef struct lucid_panel {
    const char *title;          /* above it, such as what y is; NULL: none */
    const char *x_label;        /* below it; NULL: none */
    const lucid_series *series; /* at most 8 have colours of their own */
    int count;                  /* of series: 0 to 1000 */
    bool log_y;                 /* logarithmic; values <= 0 leave a gap */
    /* The range of y, finite; both 0: what the values need. With log_y and y_max alone, the axis
     * begins at the least value (or at y_max / 1000, where all are above y_max). */
    double y_min, y_max;
} lucid_panel;

typedef struct lucid_plot_options {
    LUCID_OPTIONS_SIZE(lucid_plot_options);
    int width LUCID_DEFAULT(1600), height LUCID_DEFAULT(640); /* of the whole picture */
    const char *title LUCID_DEFAULT(NULL);                    /* above everything; NULL: none */
} lucid_plot_options;
LUCID_DEFAULTS(lucid_plot, .width = 1600, .height = 640, .title = NULL);

/* Draws 1 to 8 panels beside one another, each with axes, numbers, grid and legend. options may be
 * NULL: the defaults. */
LUCID_API lucid_image *lucid_plot_opt(const lucid_panel *panels, int count,
                                      const lucid_plot_options *options);
/* lucid_plot(panels, 2, .title = "MNIST") */
#define lucid_plot(...) LUCID_CALL2(lucid_plot_opt, lucid_plot, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* ---- images ---------------------------------------------------------------------------------- */

typedef struct lucid_grid_options {
    LUCID_OPTIONS_SIZE(lucid_grid_options);
    int columns LUCID_DEFAULT(8);          /* >= 1 */
    int scale LUCID_DEFAULT(5);            /* pixels a value takes, each way, >= 1 */
    const char *title LUCID_DEFAULT(NULL); /* above everything; NULL: none */
    /* The values of black and white; both 0: the least and the most there are. */
    double low LUCID_DEFAULT(0), high LUCID_DEFAULT(0);
} lucid_grid_options;
LUCID_DEFAULTS(lucid_grid, .columns = 8, .scale = 5, .title = NULL, .low = 0, .high = 0);

/* Gray images from a tensor [n,H,W] or [n,1,H,W] of any dtype, with a caption under each: n texts,
 * or NULL for none. */
LUCID_API lucid_image *lucid_plot_images_opt(const lucid_tensor *images,
                                             const char *const *captions,
                                             const lucid_grid_options *options);
/* The filters of a convolution, weight [O,I,kH,kW]: O * I tiles, blue below zero, white at zero,
 * red above, on one scale for all, which is drawn and numbered below. low and high of the options
 * do not count. */
LUCID_API lucid_image *lucid_plot_filters_opt(const lucid_tensor *weight,
                                              const lucid_grid_options *options);
/* lucid_plot_images(x, captions, .columns = 4);  lucid_plot_filters(conv->weight) */
#define lucid_plot_images(...) \
    LUCID_CALL2(lucid_plot_images_opt, lucid_grid, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_plot_filters(...) \
    LUCID_CALL1(lucid_plot_filters_opt, lucid_grid, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

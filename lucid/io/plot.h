/* plot.h: pictures of a training: curves, grids of images, filters.
 *
 *     lucid_series loss = {.name = "training", .y = losses, .n = steps, .smooth = 0.02};
 *     lucid_image *image = lucid_plot(&(lucid_panel){.title = "loss", .series = &loss, .count = 1},
 *                                     1, NULL);
 *     lucid_image_write_png(image, "loss.png");
 *     lucid_image_free(image);
 *
 * The pictures are drawn on white. They are the caller's: free them with lucid_image_free. NULL
 * after an error. */
#ifndef LUCID_IO_PLOT_H
#define LUCID_IO_PLOT_H

#include "lucid/api.h"
#include "lucid/io/png.h"
#include "lucid/tensor.h"

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
    int width, height; /* of the whole picture */
    const char *title; /* above everything; NULL: none */
} lucid_plot_options;
#define LUCID_PLOT_DEFAULTS .width = 1600, .height = 640, .title = NULL
LUCID_API extern const lucid_plot_options lucid_plot_defaults;

/* Draws 1 to 8 panels beside one another, each with axes, numbers, grid and legend. options may be
 * NULL: the defaults. */
LUCID_API lucid_image *lucid_plot(const lucid_panel *panels, int count,
                                  const lucid_plot_options *options);

/* ---- images ---------------------------------------------------------------------------------- */

typedef struct lucid_grid_options {
    int columns;       /* >= 1 */
    int scale;         /* pixels a value takes, each way, >= 1 */
    const char *title; /* above everything; NULL: none */
    double low, high;  /* the values of black and white; both 0: the least and the most there are */
} lucid_grid_options;
#define LUCID_GRID_DEFAULTS .columns = 8, .scale = 5, .title = NULL, .low = 0, .high = 0
LUCID_API extern const lucid_grid_options lucid_grid_defaults;

/* Gray images from a tensor [n,H,W] or [n,1,H,W] of any dtype, with a caption under each: n texts,
 * or NULL for none. */
LUCID_API lucid_image *lucid_plot_images(const lucid_tensor *images, const char *const *captions,
                                         const lucid_grid_options *options);
/* The filters of a convolution, weight [O,I,kH,kW]: O * I tiles, blue below zero, white at zero,
 * red above, on one scale for all, which is drawn and numbered below. low and high of the options
 * do not count. */
LUCID_API lucid_image *lucid_plot_filters(const lucid_tensor *weight,
                                          const lucid_grid_options *options);

LUCID_END_DECLS
#endif

#include "lucid/plot/plot_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const char op[] = "plot";

static const uint32_t palette[8] = {0x2563eb, 0xea580c, 0x059669, 0xc026d3,
                                    0x0891b2, 0xca8a04, 0xdc2626, 0x57534e};

enum { TEXT = 15, TITLE = 20, HEAD = 17, MARGIN = 28, SERIES_MAX = 1000 };

/* A panel's position, axes and picture. */
typedef struct frame {
    lucid_image *image;
    const lucid_panel *panel;
    int x, y, width, height; /* of the field with the curves */
    luc_axis axis_x, axis_y;
} frame;

static double x_of(const lucid_series *s, int64_t i)
{
    return s->x ? s->x[i] : (double)(i + 1);
}

static bool can_show(const lucid_panel *panel, double x, double y)
{
    return isfinite(x) && isfinite(y) && (!panel->log_y || y > 0);
}

/* The least and the most of x and y; *whole: all x are whole numbers, such as epochs. */
static void find_range(const lucid_panel *panel, double range[4], bool *whole)
{
    *whole = true;
    range[0] = range[2] = INFINITY;
    range[1] = range[3] = -INFINITY;
    for (int k = 0; k < panel->count; k++)
        for (int64_t i = 0; i < panel->series[k].n; i++) {
            double x = x_of(&panel->series[k], i), y = panel->series[k].y[i];
            if (!can_show(panel, x, y)) continue;
            *whole = *whole && x == floor(x);
            range[0] = fmin(range[0], x), range[1] = fmax(range[1], x);
            range[2] = fmin(range[2], y), range[3] = fmax(range[3], y);
        }
}

static bool text_at(lucid_image *image, double x, double y, double height, uint32_t color,
                    double align, const char *text)
{
    x -= align * lucid_image_text_width(height, text);
    return lucid_image_text(image, x, y, height, color, text);
}

/* ---- axes ------------------------------------------------------------------------------------ */

static double widest_label(const luc_axis *axis)
{
    double widest = 0;
    for (int i = 0; i < axis->count; i++)
        widest = fmax(widest, lucid_image_text_width(TEXT, axis->labels[i]));
    return widest;
}

static bool draw_axes(const frame *f)
{
    bool ok = true;
    for (int i = 0; i < f->axis_y.count; i++) {
        double y = luc_axis_pixel(&f->axis_y, f->axis_y.ticks[i]);
        lucid_image_rect(f->image, f->x, (int)lround(y), f->width, 1, LUC_RULE, 1);
        ok = ok && text_at(f->image, f->x - 12, y + TEXT / 2.0, TEXT, LUC_PALE_INK, 1,
                           f->axis_y.labels[i]);
    }
    for (int i = 0; i < f->axis_x.count; i++) {
        double x = luc_axis_pixel(&f->axis_x, f->axis_x.ticks[i]);
        lucid_image_rect(f->image, (int)lround(x), f->y, 1, f->height, LUC_RULE, 1);
        lucid_image_rect(f->image, (int)lround(x), f->y + f->height, 2, 7, LUC_PALE_INK, 1);
        ok = ok && text_at(f->image, x, f->y + f->height + 16 + TEXT, TEXT, LUC_PALE_INK, 0.5,
                           f->axis_x.labels[i]);
    }
    lucid_image_rect(f->image, f->x, f->y + f->height, f->width, 2, LUC_PALE_INK, 1);
    if (ok && f->panel->title)
        ok = text_at(f->image, f->x, f->y - 18, HEAD, LUC_INK, 0, f->panel->title);
    if (ok && f->panel->x_label)
        ok = text_at(f->image, f->x + f->width / 2.0, f->y + f->height + 34 + 2 * TEXT, TEXT,
                     LUC_PALE_INK, 0.5, f->panel->x_label);
    return ok;
}

/* ---- curves ---------------------------------------------------------------------------------- */

/* A value's pixel, kept near the field so that a range given by the user cuts the curve. */
static double pixel_y(const frame *f, double y)
{
    double p = isfinite(y) ? luc_axis_pixel(&f->axis_y, y) : NAN;
    return isnan(p) ? NAN : fmin(fmax(p, f->y - 4), f->y + f->height + 4);
}

/* What values are multiplied by before they are summed, so that their sum is a number. */
static double sum_scale(const frame *f, const lucid_series *s)
{
    double most = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (can_show(f->panel, x_of(s, i), s->y[i])) most = fmax(most, fabs(s->y[i]));
    return most > DBL_MAX / ((double)s->n + 1) ? 1 / ((double)s->n + 1) : 1;
}

/* Replaces the pixels by those of the mean over a window around each value. */
static bool smooth_points(const frame *f, const lucid_series *s, double *points)
{
    int64_t reach = (int64_t)(fmin(s->smooth, 1) * (double)s->n / 2);
    double *sum = luc_calloc((size_t)s->n + 1, 2 * sizeof *sum, op); /* of values, of how many */
    if (!sum) return false;
    double scale = sum_scale(f, s);
    for (int64_t i = 0; i < s->n; i++) {
        bool shown = can_show(f->panel, x_of(s, i), s->y[i]);
        sum[2 * i + 2] = sum[2 * i] + (shown ? s->y[i] * scale : 0);
        sum[2 * i + 3] = sum[2 * i + 1] + (shown ? 1 : 0);
    }
    for (int64_t i = 0; i < s->n; i++) {
        /* The window is smaller at the beginning, where curves are steep. */
        int64_t half = i < reach ? i : reach, end = half < s->n - i ? i + half + 1 : s->n;
        double n = sum[2 * end + 1] - sum[2 * (i - half) + 1];
        double mean = n > 0 ? (sum[2 * end] - sum[2 * (i - half)]) / n / scale : NAN;
        points[2 * i + 1] = pixel_y(f, mean);
    }
    luc_free(sum);
    return true;
}

static bool draw_series(const frame *f, const lucid_series *s, uint32_t color)
{
    if (s->n == 0) return true;
    double *points = luc_calloc((size_t)s->n * 2, sizeof *points, op);
    if (!points) return false;
    for (int64_t i = 0; i < s->n; i++) {
        points[2 * i] = luc_axis_pixel(&f->axis_x, x_of(s, i));
        points[2 * i + 1] = pixel_y(f, s->y[i]);
    }
    bool smooth = s->smooth > 0;
    bool ok = lucid_image_line(f->image, points, s->n, smooth ? 1.2 : 3, color, smooth ? 0.28 : 1);
    for (int64_t i = 0; ok && s->markers && i < s->n; i++)
        ok = lucid_image_line(f->image, points + 2 * i, 1, 10, color, 1);
    if (ok && smooth)
        ok = smooth_points(f, s, points) && lucid_image_line(f->image, points, s->n, 3.2, color, 1);
    luc_free(points);
    return ok;
}

/* ---- legend ---------------------------------------------------------------------------------- */

typedef struct box {
    double left, top, right, bottom;
} box;

/* How much of a curve is in a box: counts the values, and steps on the lines between them. */
static int64_t amount_in(const frame *f, const lucid_series *s, const box *b)
{
    int64_t n = 0, steps = s->n < 200 ? 20 : 1;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t next = i + 1 < s->n ? i + 1 : i;
        double x = luc_axis_pixel(&f->axis_x, x_of(s, i)), y = luc_axis_pixel(&f->axis_y, s->y[i]);
        double dx = luc_axis_pixel(&f->axis_x, x_of(s, next)) - x;
        double dy = luc_axis_pixel(&f->axis_y, s->y[next]) - y;
        for (int64_t k = 0; k < steps; k++) {
            double px = x + dx * (double)k / (double)steps, py = y + dy * (double)k / (double)steps;
            n += px >= b->left && px < b->right && py >= b->top && py < b->bottom;
        }
    }
    return n;
}

/* The legend goes to the corner that hides the least. */
static bool draw_legend(const frame *f)
{
    enum { ROW = 30, PAD = 14, SAMPLE = 34 };
    int rows = 0;
    double widest = 0;
    for (int k = 0; k < f->panel->count; k++) {
        const char *name = f->panel->series[k].name;
        if (!name) continue;
        rows++;
        widest = fmax(widest, lucid_image_text_width(TEXT, name));
    }
    if (!rows) return true;
    int width = (int)fmin(widest, LUCID_IMAGE_MAX) + SAMPLE + 3 * PAD, height = rows * ROW + PAD;
    int best_x = 0, best_y = 0;
    int64_t fewest = INT64_MAX;
    for (int corner = 0; corner < 4;
         corner++) { /* upper right, lower right, upper and lower left */
        int x = corner < 2 ? f->x + f->width - width - 12 : f->x + 12;
        int y = corner % 2 ? f->y + f->height - height - 14 : f->y + 8;
        box around = {x - 8, y - 8, x + width + 8, y + height + 8};
        int64_t n = 0;
        for (int k = 0; k < f->panel->count; k++) n += amount_in(f, &f->panel->series[k], &around);
        if (n < fewest) fewest = n, best_x = x, best_y = y;
    }
    lucid_image_rect(f->image, best_x, best_y, width, height, LUC_PAPER, 0.85);
    int y = best_y + PAD / 2 + ROW / 2;
    bool ok = true;
    for (int k = 0; ok && k < f->panel->count; k++) {
        if (!f->panel->series[k].name) continue;
        double sample[] = {best_x + PAD, y, best_x + PAD + SAMPLE - 4, y};
        ok = lucid_image_line(f->image, sample, 2, 4, palette[k % 8], 1) &&
             lucid_image_text(f->image, best_x + 2 * PAD + SAMPLE - 4, y + TEXT / 2.0, TEXT,
                              LUC_INK, f->panel->series[k].name);
        y += ROW;
    }
    return ok;
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* The range that the user gave. A logarithm cannot begin at 0, which y_min is where it is not
 * given: then the least value is where it begins, or the third power of ten below y_max. */
static void fix_range(const lucid_panel *panel, double range[4])
{
    range[3] = panel->y_max;
    if (!panel->log_y || panel->y_min > 0)
        range[2] = panel->y_min;
    else if (!(range[2] < panel->y_max))
        range[2] = panel->y_max / 1000;
}

static bool draw_panel(lucid_image *image, const lucid_panel *panel, int x, int y, int width,
                       int height)
{
    frame f = {.image = image, .panel = panel};
    double range[4];
    bool fixed = panel->y_min != 0 || panel->y_max != 0;
    bool whole;
    find_range(panel, range, &whole);
    if (range[0] > 0 && range[0] < 0.02 * range[1]) range[0] = 0; /* steps counted from one */
    if (fixed) fix_range(panel, range);
    f.y = y + (panel->title ? HEAD + 26 : 12);
    f.height = height - (f.y - y) - (panel->x_label ? 46 + 2 * TEXT : 24 + TEXT);
    if (f.height < 20) f.height = 20;
    f.axis_y = (luc_axis){.log = panel->log_y, .fixed = fixed};
    luc_axis_init(&f.axis_y, range[2], range[3], f.height / 64 + 1);
    int left = (int)widest_label(&f.axis_y) + 20;
    f.x = x + left;
    f.width = width - left - 16;
    if (f.width < 20) f.width = 20;
    f.axis_x = (luc_axis){.fixed = true, .whole = whole};
    luc_axis_init(&f.axis_x, range[0], range[1], f.width / 110 + 1);
    f.axis_x.from = f.x, f.axis_x.to = f.x + f.width;
    f.axis_y.from = f.y + f.height, f.axis_y.to = f.y;
    bool ok = draw_axes(&f);
    for (int k = 0; ok && k < panel->count; k++)
        ok = draw_series(&f, &panel->series[k], palette[k % 8]);
    return ok && draw_legend(&f);
}

static bool check_range(const lucid_panel *panel, int p)
{
    double low = panel->y_min, high = panel->y_max;
    if (isfinite(low) && isfinite(high) && low <= high && !(panel->log_y && low < 0)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "panels[%d]: y_min, y_max: expected finite numbers, %sy_min <= y_max, got %g, "
                     "%g",
                     p, panel->log_y ? "0 <= " : "", low, high);
}

static bool check_panels(const lucid_panel *panels, int count)
{
    if (!panels || count < 1 || count > 8)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "panels: expected 1 to 8, got %d",
                         panels ? count : 0);
    for (int p = 0; p < count; p++) {
        int n = panels[p].count;
        if (n < 0 || n > SERIES_MAX)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "panels[%d].count: expected 0 to %d, got %d",
                             p, SERIES_MAX, n);
        if (n && !panels[p].series)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "panels[%d]: no series", p);
        if (!check_range(&panels[p], p)) return false;
        for (int k = 0; k < n; k++) {
            const lucid_series *s = &panels[p].series[k];
            if (s->n < 0 || (s->n && !s->y))
                return luc_raise(LUCID_ERR_ARGUMENT, op, "panels[%d].series[%d]: no values", p, k);
        }
    }
    return true;
}

lucid_image *lucid_plot_opt(const lucid_panel *panels, int count, const lucid_plot_options *options)
{
    options = LUC_OPTIONS(lucid_plot, options, "plot");
    if (!options || !check_panels(panels, count)) return NULL;
    lucid_image *image = lucid_image_new(options->width, options->height, LUC_PAPER);
    if (!image) return NULL;
    int top = MARGIN, width = (options->width - MARGIN) / count;
    bool ok = true;
    if (options->title) {
        ok = lucid_image_text(image, MARGIN, top + TITLE, TITLE, LUC_INK, options->title);
        top += TITLE + MARGIN;
    }
    for (int p = 0; ok && p < count; p++)
        ok = draw_panel(image, &panels[p], MARGIN + p * width, top, width - MARGIN,
                        options->height - top - MARGIN / 2);
    if (ok) return image;
    lucid_image_free(image);
    return NULL;
}

#include "lucid/plot/image_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <math.h>
#include <string.h>

static const char live_name[] = "image"; /* in a report of what was never freed */

lucid_image *lucid_image_new(int width, int height, uint32_t color)
{
    static const char op[] = "image_new";
    if (width < 1 || height < 1 || width > LUCID_IMAGE_MAX || height > LUCID_IMAGE_MAX)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "width, height: expected 1 to %d, got %d, %d",
                              LUCID_IMAGE_MAX, width, height);
    lucid_image *image = luc_calloc(1, sizeof *image, op);
    if (!image) return NULL;
    image->pixels = luc_alloc((size_t)width * (size_t)height * 3, op);
    if (!image->pixels) {
        luc_free(image);
        return NULL;
    }
    image->width = width;
    image->height = height;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    lucid_image_rect(image, 0, 0, width, height, color, 1);
    return image;
}

void lucid_image_free(lucid_image *image)
{
    if (!image) return;
    luc_free(image->pixels);
    luc_free(image);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

static inline uint8_t *pixel_at(lucid_image *image, int x, int y)
{
    return image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
}

/* share: 0 to 255 of the colour. */
static inline void mix(uint8_t *pixel, uint32_t color, int share)
{
    for (int c = 0; c < 3; c++) {
        int old = pixel[c], new = (int)(color >> (16 - 8 * c) & 255);
        pixel[c] = (uint8_t)((old * (255 - share) + new *share + 127) / 255);
    }
}

static int to_share(double opacity)
{
    return opacity >= 1 ? 255 : opacity > 0 ? (int)lround(opacity * 255) : 0;
}

/* Cuts [*at, *at + *size) to [0, limit). */
static void cut(int *at, int *size, int limit)
{
    int64_t begin = *at, end = begin + *size;
    if (begin < 0) begin = 0;
    if (end > limit) end = limit;
    *at = (int)begin;
    *size = end > begin ? (int)(end - begin) : 0;
}

void lucid_image_rect(lucid_image *image, int x, int y, int width, int height, uint32_t color,
                      double opacity)
{
    if (!image) return;
    cut(&x, &width, image->width);
    cut(&y, &height, image->height);
    int share = to_share(opacity);
    for (int row = y; row < y + height; row++)
        for (int column = x; column < x + width; column++)
            mix(pixel_at(image, column, row), color, share);
}

void lucid_image_gray(lucid_image *image, int x, int y, int scale, const uint8_t *gray, int width,
                      int height)
{
    if (!image || !gray || scale < 1) return;
    for (int row = 0; row < height; row++) {
        int64_t top = y + (int64_t)row * scale;
        if (top >= image->height) break;
        if (top + scale <= 0) continue;
        for (int column = 0; column < width; column++) {
            int64_t left = x + (int64_t)column * scale;
            if (left >= image->width) break;
            if (left + scale <= 0) continue; /* what is left begins above -scale: an int holds it */
            uint32_t level = gray[(size_t)row * (size_t)width + (size_t)column];
            lucid_image_rect(image, (int)left, (int)top, scale, scale, level * 0x010101u, 1);
        }
    }
}

/* ---- strokes --------------------------------------------------------------------------------- */

/* As an int from 0 to most, also where an int cannot hold the value; NaN is 0. */
static int limit(double value, int most)
{
    return value >= most ? most : value > 0 ? (int)value : 0;
}

bool luc_mask_begin(luc_mask *mask, const lucid_image *image, double x0, double y0, double x1,
                    double y1)
{
    *mask = (luc_mask){0};
    mask->x = limit(floor(x0), image->width);
    mask->y = limit(floor(y0), image->height);
    int right = limit(ceil(x1), image->width), bottom = limit(ceil(y1), image->height);
    if (right <= mask->x || bottom <= mask->y) return true; /* nothing visible */
    mask->width = right - mask->x;
    mask->height = bottom - mask->y;
    mask->coverage = luc_calloc((size_t)mask->width, (size_t)mask->height, "image_line");
    return mask->coverage != NULL;
}

/* The distance of a point to the line from (0, 0) to (dx, dy). */
static inline double distance(double px, double py, double dx, double dy, double length2)
{
    double t = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return sqrt((px - t * dx) * (px - t * dx) + (py - t * dy) * (py - t * dy));
}

/* Cuts a line off where coordinate `axis` is outside of [low, high]; false: nothing is left. */
static bool cut_axis(double p[2], double q[2], int axis, double low, double high)
{
    int other = 1 - axis;
    if ((p[axis] < low && q[axis] < low) || (p[axis] > high && q[axis] > high)) return false;
    double most = fmax(fmax(fabs(p[0]), fabs(p[1])), fmax(fabs(q[0]), fabs(q[1])));
    /* The line's equation, in parts of the largest coordinate: that no product overflows. */
    double px = p[axis] / most, py = p[other] / most, qx = q[axis] / most, qy = q[other] / most;
    double slope = (qy - py) / (qx - px), at_zero = most * ((py * qx - qy * px) / (qx - px));
    double *ends[2] = {p, q};
    for (int k = 0; k < 2; k++) {
        double at = ends[k][axis], bound = at < low ? low : at > high ? high : at;
        if (bound == at) continue;
        ends[k][axis] = bound;
        ends[k][other] = at_zero + bound * slope;
    }
    return true;
}

/* Keeps of a line that leads far away what can be seen, `reach` around the mask included: distances
 * to points far away are no numbers that pixels can be made of. */
static bool cut_line(const luc_mask *mask, double p[2], double q[2], double reach)
{
    const double far = 1e6;
    if (fabs(p[0]) < far && fabs(p[1]) < far && fabs(q[0]) < far && fabs(q[1]) < far) return true;
    if (!isfinite(p[0]) || !isfinite(p[1]) || !isfinite(q[0]) || !isfinite(q[1])) return false;
    reach = fmin(reach, 1e12) + 2;
    return cut_axis(p, q, 0, mask->x - reach, mask->x + mask->width + reach) &&
           cut_axis(p, q, 1, mask->y - reach, mask->y + mask->height + reach);
}

void luc_mask_line(luc_mask *mask, double x0, double y0, double x1, double y1, double width)
{
    double p[2] = {x0, y0}, q[2] = {x1, y1};
    if (!mask->coverage || !(width > 0) || !cut_line(mask, p, q, width / 2 + 1)) return;
    x0 = p[0], y0 = p[1], x1 = q[0], y1 = q[1];
    double r = width / 2, reach = r + 1, dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    int left = limit(floor(fmin(x0, x1) - reach) - mask->x, mask->width);
    int right = limit(ceil(fmax(x0, x1) + reach) - mask->x, mask->width);
    int top = limit(floor(fmin(y0, y1) - reach) - mask->y, mask->height);
    int bottom = limit(ceil(fmax(y0, y1) + reach) - mask->y, mask->height);
    /* A line thinner than a pixel is drawn fainter instead. */
    double strength = width < 1 ? 255 * width : 255;
    if (width < 1) r = 0.5;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            double d = distance(mask->x + x + 0.5 - x0, mask->y + y + 0.5 - y0, dx, dy, length2);
            double c = (r + 0.5 - d) * strength;
            uint8_t *here = &mask->coverage[(size_t)y * (size_t)mask->width + (size_t)x];
            int share = c > strength ? (int)strength : c > 0 ? (int)c : 0;
            if (share > *here) *here = (uint8_t)share;
        }
}

void luc_mask_end(luc_mask *mask, lucid_image *image, uint32_t color, double opacity)
{
    int share = to_share(opacity);
    for (int y = 0; y < mask->height && mask->coverage; y++)
        for (int x = 0; x < mask->width; x++) {
            int c = mask->coverage[(size_t)y * (size_t)mask->width + (size_t)x];
            if (c) mix(pixel_at(image, mask->x + x, mask->y + y), color, c * share / 255);
        }
    luc_free(mask->coverage);
    mask->coverage = NULL;
}

bool lucid_image_line(lucid_image *image, const double *points, int64_t n, double width,
                      uint32_t color, double opacity)
{
    if (!image || !points) return false;
    if (!(width > 0)) return true;
    double x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY, reach = width / 2 + 1;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(points[2 * i]) || !isfinite(points[2 * i + 1])) continue;
        x0 = fmin(x0, points[2 * i]), x1 = fmax(x1, points[2 * i]);
        y0 = fmin(y0, points[2 * i + 1]), y1 = fmax(y1, points[2 * i + 1]);
    }
    luc_mask mask;
    if (!(x0 <= x1)) return true;
    if (!luc_mask_begin(&mask, image, x0 - reach, y0 - reach, x1 + reach, y1 + reach)) return false;
    for (int64_t i = 0; i < n; i++) {
        const double *p = points + 2 * i, *q = i + 1 < n ? p + 2 : p;
        if (!isfinite(p[0]) || !isfinite(p[1])) continue;
        if (!isfinite(q[0]) || !isfinite(q[1])) q = p; /* the last point before a gap */
        luc_mask_line(&mask, p[0], p[1], q[0], q[1], width);
    }
    luc_mask_end(&mask, image, color, opacity);
    return true;
}

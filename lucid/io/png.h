/* png.h: pictures: an RGB canvas with rectangles, smooth lines and text, written as PNG.
 *
 *     lucid_image *image = lucid_image_new(400, 100, 0xffffff);
 *     lucid_image_text(image, 20, 60, 20, 0x202020, "accuracy 99.1 %");
 *     lucid_image_write_png(image, "hello.png");
 *     lucid_image_free(image);
 *
 * Colours are 0xRRGGBB. Coordinates are pixels from the top left corner of the picture; what lies
 * outside is cut off, however far away it is. Every function accepts a NULL image, which comes from
 * an earlier error, and does nothing then. One thread at a time may draw on a picture. */
#ifndef LUCID_IO_PNG_H
#define LUCID_IO_PNG_H

#include "../core/api.h"

LUCID_BEGIN_DECLS

typedef struct lucid_image {
    int width, height;
    uint8_t *pixels; /* [height][width][3]: red, green, blue */
} lucid_image;

#define LUCID_IMAGE_MAX 16384 /* pixels, each way */

/* Makes a picture in one colour, of 1 to LUCID_IMAGE_MAX pixels in each direction. NULL after an
 * error. */
LUCID_API lucid_image *lucid_image_new(int width, int height, uint32_t color);
/* NULL does nothing. */
LUCID_API void lucid_image_free(lucid_image *image);

/* Draws a filled rectangle. `opacity` goes from 0 (invisible) to 1. */
LUCID_API void lucid_image_rect(lucid_image *image, int x, int y, int width, int height,
                                uint32_t color, double opacity);
/* Draws a smooth (anti-aliased) line through n points (x0, y0, x1, y1, ...) with round ends and
 * corners. Point (0.5, 0.5) is the middle of the first pixel. A point that is not finite leaves a
 * gap; a width that is not above 0 draws nothing. False after an error (memory). */
LUCID_API bool lucid_image_line(lucid_image *image, const double *points, int64_t n, double width,
                                uint32_t color, double opacity);
/* Draws ASCII text that begins at x on the base line y; `height` is that of a capital letter. Other
 * characters are drawn as a small box. Nothing is drawn where x, y or height is not finite or the
 * height is not above 0. False after an error (memory). */
LUCID_API bool lucid_image_text(lucid_image *image, double x, double y, double height,
                                uint32_t color, const char *text);
/* The width of a text in pixels. */
LUCID_API double lucid_image_text_width(double height, const char *text);
/* Draws a small gray picture, [height][width], with `scale` x `scale` pixels for each of its own;
 * scale >= 1. */
LUCID_API void lucid_image_gray(lucid_image *image, int x, int y, int scale, const uint8_t *gray,
                                int width, int height);

/* Writes a PNG file, beside `path` first and, when it has been read back, in its place. An older
 * file stays as it was after an error; one that is write-protected is not replaced; a symbolic link
 * stays one. Returns false after an error: LUCID_ERR_IO, LUCID_ERR_MEMORY, or LUCID_ERR_ARGUMENT
 * for a NULL. */
LUCID_API bool lucid_image_write_png(const lucid_image *image, const char *path);

LUCID_END_DECLS
#endif

/* image_priv.h: strokes: lines that cover a pixel once, however often they cross it. */
#ifndef LUCID_IO_IMAGE_PRIV_H
#define LUCID_IO_IMAGE_PRIV_H

#include "lucid/io/png.h"

/* How much of each pixel of a part of a picture is covered, 0 to 255. */
typedef struct luc_mask {
    int x, y, width, height;
    uint8_t *coverage;
} luc_mask;

/* Makes a mask for the area between these corners, cut to the picture. Returns false when memory is
 * out. */
bool luc_mask_begin(luc_mask *mask, const lucid_image *image, double x0, double y0, double x1,
                    double y1);
/* Adds a line of this width with round ends. */
void luc_mask_line(luc_mask *mask, double x0, double y0, double x1, double y1, double width);
/* Paints the covered pixels and frees the mask. */
void luc_mask_end(luc_mask *mask, lucid_image *image, uint32_t color, double opacity);

/* The strokes of a character: calls `line` for each straight piece, in units of which a capital
 * letter is 70 high, y upwards from the base line. Returns the advance to the next character. */
typedef void (*luc_glyph_line)(void *user, double x0, double y0, double x1, double y1);
double luc_glyph(unsigned char character, luc_glyph_line line, void *user);

#endif

/* pixels_priv.h: what the readers and writers of image formats share. */
#ifndef LUCID_IO_PIXELS_PRIV_H
#define LUCID_IO_PIXELS_PRIV_H

#include "lucid/io/image.h"
#include "lucid/io/output_priv.h"

/* A file in memory, and how it is to be read. */
typedef struct luc_image_source {
    const unsigned char *bytes;
    size_t size;
    const char *op, *path; /* for messages; where there is no file, path is "image" */
    const lucid_image_read_options *options;
    int orientation; /* set by the reader: EXIF's 1 to 8, 1 where it does not say or is not asked */
} luc_image_source;

/* Whether the bytes begin as the format does. */
bool luc_png_is(const unsigned char *bytes, size_t size);
bool luc_jpeg_is(const unsigned char *bytes, size_t size);
/* The picture as [C,H,W], in the current scope, not yet turned. NULL after an error. */
lucid_tensor *luc_png_decode(luc_image_source *source);
lucid_tensor *luc_jpeg_decode(luc_image_source *source);

/* How many channels a mode gives a file that has `channels` (1: gray, 2: gray and alpha, 3: RGB, 4:
 * RGBA). */
int luc_image_channels(lucid_image_mode mode, int channels);
/* A new tensor [C,H,W] of uint8 or int32, after the checks of sizes. */
lucid_tensor *luc_image_new(int channels, int64_t height, int64_t width, lucid_dtype dtype);
/* Is a picture of these sizes within the limit? False after an error. */
bool luc_image_check(const luc_image_source *source, uint64_t width, uint64_t height);

/* One row of a file's pixels, interleaved with `from` channels of 8 bits, to the rows of the
 * planes of a picture of `to` channels: plane k begins at out + k * plane. */
void luc_image_row(const unsigned char *row, size_t width, int from, unsigned char *out,
                   size_t plane, int to);
/* The same from big-endian samples of 16 bits to int32. */
void luc_image_row16(const unsigned char *row, size_t width, int from, int32_t *out, size_t plane,
                     int to);

/* EXIF's orientation, 1 to 8, from a TIFF block; 1 where it does not say. */
int luc_exif_orientation(const unsigned char *tiff, size_t size);

/* Pixels to be written, interleaved, 8 bits each. */
typedef struct luc_pixels {
    const unsigned char *data; /* [height][width][channels] */
    int width, height, channels;
} luc_pixels;

/* Write the whole file: false after an error, with nothing left over. */
bool luc_png_write(const luc_pixels *pixels, const char *path, const char *op);
bool luc_jpeg_write(const luc_pixels *pixels, const char *path, const char *op, int quality);

/* A picture [C,H,W] or [H,W], uint8 or floating from 0 to 1, as a PNG file in memory, for luc_free.
 * NULL after an error. */
unsigned char *luc_tensor_png(const lucid_tensor *image, size_t *size, const char *op);

#endif

/* image.h: images in and out: PNG and JPEG as uint8 tensors [C,H,W].
 *
 *     lucid_tensor *cat = lucid_image_read("cat.jpg", .mode = LUCID_IMAGE_RGB);
 *     lucid_image_write(cat, "cat.png");
 *
 * JPEG is there where lucid was built with libjpeg (-Djpeg); without it, reading or writing one is
 * LUCID_ERR_UNSUPPORTED. What kind of file it is, is told by its first bytes, not by its name. All
 * functions may be called from several threads at once. */
#ifndef LUCID_IO_IMAGE_H
#define LUCID_IO_IMAGE_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

/* The channels of what is read. Gray is (19595 R + 38470 G + 7471 B) / 65536, rounded, or the Y of
 * a JPEG. Where a mode has no alpha, that of the file is dropped; where the file has none, it is
 * 255. */
typedef enum lucid_image_mode {
    LUCID_IMAGE_UNCHANGED, /* those of the file; a palette counts as RGB or RGBA, CMYK as RGB */
    LUCID_IMAGE_GRAY,
    LUCID_IMAGE_GRAY_ALPHA,
    LUCID_IMAGE_RGB,
    LUCID_IMAGE_RGBA
} lucid_image_mode;

typedef struct lucid_image_read_options {
    LUCID_OPTIONS_SIZE(lucid_image_read_options);
    lucid_image_mode mode LUCID_DEFAULT(LUCID_IMAGE_UNCHANGED);
    /* Turn the picture as its EXIF data say that the camera was held. */
    bool orient LUCID_DEFAULT(false);
    /* A PNG of 16 bits as int32, 0 to 65535; false: rounded to uint8 as every other. */
    bool wide LUCID_DEFAULT(false);
    /* More pixels (width x height) than that are an error, before memory is taken for them. >= 1 */
    int64_t max_pixels LUCID_DEFAULT(134217728);
} lucid_image_read_options;
LUCID_DEFAULTS(lucid_image_read, .mode = LUCID_IMAGE_UNCHANGED, .orient = false, .wide = false,
               .max_pixels = 134217728);

/* Reads an image file, or one in memory (`size` bytes, which are only read): uint8 [C,H,W] on the
 * CPU, in the current scope. Interlaced PNGs, progressive and CMYK JPEGs, and 1 to 16 bits a sample
 * are read; gamma and colour profiles are not applied. options may be NULL: the defaults.
 * NULL after an error, whose message begins with the path: LUCID_ERR_IO where the file cannot be
 * read, LUCID_ERR_FORMAT where it is neither PNG nor JPEG, has more pixels than max_pixels, or is
 * damaged or cut off. Half a picture is never returned. */
LUCID_API lucid_tensor *lucid_image_read_opt(const char *path,
                                             const lucid_image_read_options *options);
LUCID_API lucid_tensor *lucid_image_decode_opt(const void *bytes, size_t size,
                                               const lucid_image_read_options *options);

/* lucid_image_read("cat.jpg", .mode = LUCID_IMAGE_RGB);  lucid_image_decode(bytes, n) */
#define lucid_image_read(...) \
    LUCID_CALL1(lucid_image_read_opt, lucid_image_read, LUCID_ASIS, __VA_ARGS__)
#define lucid_image_decode(...) \
    LUCID_CALL2(lucid_image_decode_opt, lucid_image_read, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_image_write_options {
    LUCID_OPTIONS_SIZE(lucid_image_write_options);
    int quality LUCID_DEFAULT(90); /* of a JPEG: 1 (small) to 100 (good) */
} lucid_image_write_options;
LUCID_DEFAULTS(lucid_image_write, .quality = 90);

/* Writes an image, uint8 [C,H,W] or [H,W] in any memory format, as PNG or JPEG: the end of the name
 * says which (.png, .jpg, .jpeg, in small or capital letters). C is 1 (gray), 2 (gray and alpha,
 * PNG only), 3 (RGB) or 4 (RGBA, PNG only). The file is written beside `path` and read back, and
 * takes its place then: a file that is there stays as it was on an error; one that is
 * write-protected is not replaced. options may be NULL. False after an error: LUCID_ERR_ARGUMENT,
 * LUCID_ERR_IO, LUCID_ERR_MEMORY. */
LUCID_API bool lucid_image_write_opt(const lucid_tensor *image, const char *path,
                                     const lucid_image_write_options *options);

/* lucid_image_write(image, "cat.jpg", .quality = 95) */
#define lucid_image_write(...) \
    LUCID_CALL2(lucid_image_write_opt, lucid_image_write, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* Whether this lucid reads and writes JPEG. */
LUCID_API bool lucid_image_has_jpeg(void);

LUCID_END_DECLS
#endif

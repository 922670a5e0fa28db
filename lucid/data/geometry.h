/* geometry.h: transforms that move pixels: sizes, crops, flips, padding, rotation. See transform.h.
 *
 * A size is one number or a pair (height, width): data_Resize(256), data_CenterCrop((224, 160)). */
#ifndef LUCID_DATA_GEOMETRY_H
#define LUCID_DATA_GEOMETRY_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/shape.h"
#include "transform.h"

LUCID_BEGIN_DECLS

/* How pixels between pixels are computed. */
typedef enum lucid_resample {
    LUCID_RESAMPLE_NEAREST,
    LUCID_RESAMPLE_BILINEAR,
    LUCID_RESAMPLE_BICUBIC
} lucid_resample;

/* What is outside of an image: a fill, the last pixel, the image mirrored without and with its last
 * pixel. */
typedef enum lucid_border {
    LUCID_BORDER_CONSTANT,
    LUCID_BORDER_EDGE,
    LUCID_BORDER_REFLECT,
    LUCID_BORDER_SYMMETRIC
} lucid_border;

typedef struct lucid_resize_options {
    LUCID_OPTIONS_SIZE(lucid_resize_options);
    lucid_resample resample LUCID_DEFAULT(LUCID_RESAMPLE_BILINEAR);
    bool antialias
        LUCID_DEFAULT(true); /* an image that gets smaller is smoothed; not for nearest */
    /* With one number as size: the longer side is at most that, and the shorter one less if need
     * be; 0: no limit. */
    int64_t max_size LUCID_DEFAULT(0);
} lucid_resize_options;
LUCID_DEFAULTS(lucid_resize, .resample = LUCID_RESAMPLE_BILINEAR, .antialias = true, .max_size = 0);

/* To a size of height and width; one number is the length of the shorter side, and the longer one
 * follows, rounded down. Bicubic is with a = -0.5, without antialias -0.75. */
LUCID_API lucid_transform *lucid_data_resize(lucid_extent size,
                                             const lucid_resize_options *options);

/* The middle, of these sizes; where the image is smaller, zeros around it. */
LUCID_API lucid_transform *lucid_data_center_crop(lucid_extent size);

typedef struct lucid_random_crop_options {
    LUCID_OPTIONS_SIZE(lucid_random_crop_options);
    lucid_extent padding LUCID_DEFAULT(0);   /* added on every side before: pixels, or a pair */
    bool pad_if_needed LUCID_DEFAULT(false); /* a smaller image is padded; else it is an error */
    double fill LUCID_DEFAULT(0);            /* of the padding, 0 to 255 for uint8 */
    lucid_border padding_mode LUCID_DEFAULT(LUCID_BORDER_CONSTANT);
} lucid_random_crop_options;
LUCID_DEFAULTS(lucid_random_crop, .padding = 0, .pad_if_needed = false, .fill = 0,
               .padding_mode = LUCID_BORDER_CONSTANT);

/* A part of these sizes, anywhere in the image and its padding. */
LUCID_API lucid_transform *lucid_data_random_crop(lucid_extent size,
                                                  const lucid_random_crop_options *options);

typedef struct lucid_random_resized_crop_options {
    LUCID_OPTIONS_SIZE(lucid_random_resized_crop_options);
    lucid_range scale LUCID_DEFAULT({0.08, 1});        /* part of the image's area */
    lucid_range ratio LUCID_DEFAULT({3. / 4, 4. / 3}); /* width / height */
    lucid_resample resample LUCID_DEFAULT(LUCID_RESAMPLE_BILINEAR);
    bool antialias LUCID_DEFAULT(true);
} lucid_random_resized_crop_options;
LUCID_DEFAULTS(lucid_random_resized_crop, .scale = {0.08, 1}, .ratio = {3. / 4, 4. / 3},
               .resample = LUCID_RESAMPLE_BILINEAR, .antialias = true);

/* A part of random area and shape, resized. After ten tries that do not lie within the image, the
 * largest part in the middle whose shape is allowed. */
LUCID_API lucid_transform *lucid_data_random_resized_crop(
    lucid_extent size, const lucid_random_resized_crop_options *options);

typedef struct lucid_random_flip_options {
    LUCID_OPTIONS_SIZE(lucid_random_flip_options);
    double p LUCID_DEFAULT(0.5);
} lucid_random_flip_options;
LUCID_DEFAULTS(lucid_random_flip, .p = 0.5);

/* Left and right, or top and bottom, are exchanged with probability p. */
LUCID_API lucid_transform *lucid_data_random_horizontal_flip(
    const lucid_random_flip_options *options);
LUCID_API lucid_transform *lucid_data_random_vertical_flip(
    const lucid_random_flip_options *options);

typedef struct lucid_image_pad_options {
    LUCID_OPTIONS_SIZE(lucid_image_pad_options);
    double fill LUCID_DEFAULT(0);
    lucid_border mode LUCID_DEFAULT(LUCID_BORDER_CONSTANT);
} lucid_image_pad_options;
LUCID_DEFAULTS(lucid_image_pad, .fill = 0, .mode = LUCID_BORDER_CONSTANT);

/* Pixels added on every side: one number, or above and below, left and right. */
LUCID_API lucid_transform *lucid_data_pad(lucid_extent padding,
                                          const lucid_image_pad_options *options);

typedef struct lucid_random_rotation_options {
    LUCID_OPTIONS_SIZE(lucid_random_rotation_options);
    lucid_resample resample LUCID_DEFAULT(LUCID_RESAMPLE_NEAREST); /* or bilinear */
    bool expand LUCID_DEFAULT(false); /* large enough for the whole image; else the old sizes */
    double fill LUCID_DEFAULT(0);
} lucid_random_rotation_options;
LUCID_DEFAULTS(lucid_random_rotation, .resample = LUCID_RESAMPLE_NEAREST, .expand = false,
               .fill = 0);

/* Turned about its middle by an angle in degrees, counterclockwise, from the range. */
LUCID_API lucid_transform *lucid_data_random_rotation(lucid_range degrees,
                                                      const lucid_random_rotation_options *options);

/* data_Resize(256);  data_RandomCrop(32, .padding = 4);  data_Pad((2, 3)) */
#define data_Resize(...) LUCID_CALL1(lucid_data_resize, lucid_resize, LUCID_EXTENT_OF, __VA_ARGS__)

#define data_CenterCrop(size) LUCID_STRICT(lucid_data_center_crop(LUCID_EXTENT_OF(size)))
#define data_RandomCrop(...) \
    LUCID_CALL1(lucid_data_random_crop, lucid_random_crop, LUCID_EXTENT_OF, __VA_ARGS__)
#define data_RandomResizedCrop(...)                                                         \
    LUCID_CALL1(lucid_data_random_resized_crop, lucid_random_resized_crop, LUCID_EXTENT_OF, \
                __VA_ARGS__)
#define data_RandomHorizontalFlip(...) \
    LUCID_CALL0(lucid_data_random_horizontal_flip, lucid_random_flip, __VA_ARGS__)
#define data_RandomVerticalFlip(...) \
    LUCID_CALL0(lucid_data_random_vertical_flip, lucid_random_flip, __VA_ARGS__)
#define data_Pad(...) LUCID_CALL1(lucid_data_pad, lucid_image_pad, LUCID_EXTENT_OF, __VA_ARGS__)
#define data_RandomRotation(...) \
    LUCID_CALL1(lucid_data_random_rotation, lucid_random_rotation, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

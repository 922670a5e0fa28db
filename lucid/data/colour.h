/* colour.h: transforms of colours, blur and erasing. See transform.h. */
#ifndef LUCID_DATA_COLOUR_H
#define LUCID_DATA_COLOUR_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/shape.h"
#include "transform.h"

LUCID_BEGIN_DECLS

typedef struct lucid_color_jitter_options {
    LUCID_OPTIONS_SIZE(lucid_color_jitter_options);
    /* b: a factor from max(0, 1 - b) to 1 + b */
    double brightness LUCID_DEFAULT(0), contrast LUCID_DEFAULT(0), saturation LUCID_DEFAULT(0);
    double hue LUCID_DEFAULT(0); /* 0 to 0.5: a shift from -hue to hue of the circle of colours */
} lucid_color_jitter_options;
LUCID_DEFAULTS(lucid_color_jitter, .brightness = 0, .contrast = 0, .saturation = 0, .hue = 0);

/* Brightness, contrast, saturation and hue, each by a random factor, in a random order. Images have
 * 1 or 3 channels; of gray ones saturation and hue stay. */
LUCID_API lucid_transform *lucid_data_color_jitter(const lucid_color_jitter_options *options);

typedef struct lucid_grayscale_options {
    LUCID_OPTIONS_SIZE(lucid_grayscale_options);
    int64_t channels LUCID_DEFAULT(1); /* of the result: 1 or 3 */
} lucid_grayscale_options;
LUCID_DEFAULTS(lucid_grayscale, .channels = 1);

/* 0.2989 R + 0.587 G + 0.114 B, of bytes without the fraction; images of 1 or 3 channels. */
LUCID_API lucid_transform *lucid_data_grayscale(const lucid_grayscale_options *options);

typedef struct lucid_random_grayscale_options {
    LUCID_OPTIONS_SIZE(lucid_random_grayscale_options);
    double p LUCID_DEFAULT(0.1);
} lucid_random_grayscale_options;
LUCID_DEFAULTS(lucid_random_grayscale, .p = 0.1);

/* The same with probability p; the number of channels stays. */
LUCID_API lucid_transform *lucid_data_random_grayscale(
    const lucid_random_grayscale_options *options);

typedef struct lucid_gaussian_blur_options {
    LUCID_OPTIONS_SIZE(lucid_gaussian_blur_options);
    lucid_range sigma LUCID_DEFAULT({0.1, 2}); /* one is drawn; > 0 */
} lucid_gaussian_blur_options;
LUCID_DEFAULTS(lucid_gaussian_blur, .sigma = {0.1, 2});

/* Blurred by a kernel of an odd number of pixels, one for both directions or a pair; at the edges
 * the image is mirrored. */
LUCID_API lucid_transform *lucid_data_gaussian_blur(lucid_extent kernel_size,
                                                    const lucid_gaussian_blur_options *options);

typedef struct lucid_random_erasing_options {
    LUCID_OPTIONS_SIZE(lucid_random_erasing_options);
    double p LUCID_DEFAULT(0.5);
    lucid_range scale LUCID_DEFAULT({0.02, 0.33}); /* part of the image's area */
    lucid_range ratio LUCID_DEFAULT({0.3, 3.3});   /* height / width */
    double value LUCID_DEFAULT(0);                 /* what is put there */
    /* Noise instead: normal numbers for float32, any bytes for uint8. */
    bool random LUCID_DEFAULT(false);
} lucid_random_erasing_options;
LUCID_DEFAULTS(lucid_random_erasing, .p = 0.5, .scale = {0.02, 0.33}, .ratio = {0.3, 3.3},
               .value = 0, .random = false);

/* A random rectangle is erased with probability p. Where ten tries do not fit, nothing is. */
LUCID_API lucid_transform *lucid_data_random_erasing(const lucid_random_erasing_options *options);

/* data_ColorJitter(.brightness = 0.4, .hue = 0.1);  data_GaussianBlur(5) */
#define data_ColorJitter(...) LUCID_CALL0(lucid_data_color_jitter, lucid_color_jitter, __VA_ARGS__)
#define data_Grayscale(...)   LUCID_CALL0(lucid_data_grayscale, lucid_grayscale, __VA_ARGS__)
#define data_RandomGrayscale(...) \
    LUCID_CALL0(lucid_data_random_grayscale, lucid_random_grayscale, __VA_ARGS__)
#define data_GaussianBlur(...) \
    LUCID_CALL1(lucid_data_gaussian_blur, lucid_gaussian_blur, LUCID_EXTENT_OF, __VA_ARGS__)
#define data_RandomErasing(...) \
    LUCID_CALL0(lucid_data_random_erasing, lucid_random_erasing, __VA_ARGS__)

LUCID_END_DECLS
#endif

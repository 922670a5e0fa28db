/* transform_priv.h: what the transforms of the library share. */
#ifndef LUCID_DATA_TRANSFORM_PRIV_H
#define LUCID_DATA_TRANSFORM_PRIV_H

#include "lucid/data/geometry.h"
#include "lucid/data/sampler_priv.h"
#include "lucid/data/transform.h"

/* An image that a transform reads: [C,H,W], uint8 or float32, contiguous. */
typedef struct luc_picture {
    int64_t c, h, w;
    lucid_dtype dtype;
    const void *data;
    lucid_tensor *tensor; /* it, or a contiguous copy of what was given */
} luc_picture;

/* Checks an image, and makes it contiguous. False after an error, which names op. */
bool luc_picture_of(luc_picture *p, lucid_tensor *image, const char *op);
/* A new image, and its memory. NULL after an error. */
lucid_tensor *luc_picture_new(int64_t c, int64_t h, int64_t w, lucid_dtype dtype, void **data,
                              const char *op);

/* A zeroed struct of that size that begins with a transform, alive until luc_transform_delete. */
void *luc_transform_new(size_t size, const lucid_transform *base);
void luc_transform_delete(lucid_transform *transform);

/* Are the samples images? False after an error. */
bool luc_spec_check(const lucid_sample_spec *in, const char *op);
/* lucid_transform.infer of transforms that keep sizes and dtype. */
bool luc_infer_same(const lucid_transform *t, const lucid_sample_spec *in, lucid_sample_spec *out);

/* Is it a probability, or a range? False after an error. */
bool luc_check_p(double p, const char *op);
bool luc_check_range(lucid_range range, double least, double most, const char *name,
                     const char *op);

/* A number in [low, high). */
static inline double luc_draw_range(lucid_generator *rng, lucid_range range)
{
    return range.low + luc_draw(rng) * (range.high - range.low);
}

/* A coordinate outside of 0 .. n - 1 by a padding mode; -1 where the fill is meant. */
int64_t luc_pad_index(int64_t i, int64_t n, lucid_border mode);
/* Rows top .. top + h and columns left .. left + w of a picture; what lies outside is padding. */
lucid_tensor *luc_crop(const luc_picture *p, int64_t top, int64_t left, int64_t h, int64_t w,
                       lucid_border mode, double fill, const char *op);
/* The part of a picture that begins at top, left and has h x w pixels, in oh x ow pixels. */
lucid_tensor *luc_resize(const luc_picture *p, int64_t top, int64_t left, int64_t h, int64_t w,
                         int64_t oh, int64_t ow, lucid_resample how, bool antialias,
                         const char *op);

/* Changes an image of c planes in place by a factor; the hue by a part of the circle of colours. */
typedef enum luc_colour { LUC_BRIGHTNESS, LUC_CONTRAST, LUC_SATURATION, LUC_HUE } luc_colour;
void luc_adjust(void *data, lucid_dtype dtype, int64_t c, int64_t plane, luc_colour what,
                double factor);

/* A value as a byte of an image: cut off, within 0 to 255. */
static inline uint8_t luc_byte(float v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Two numbers of an extent of the user's, each >= least. False after an error. */
bool luc_extent_check(lucid_extent extent, int64_t least, int64_t pair[2], const char *name,
                      const char *op);

/* Writes (x / 255 - mean) / std of a uint8 image: what ToFloat and Normalize do, in one go. */
bool luc_is_to_float(const lucid_transform *t);
lucid_tensor *luc_normalize_bytes(const lucid_transform *t, lucid_tensor *image);
bool luc_is_normalize(const lucid_transform *t);

#endif

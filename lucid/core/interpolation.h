/* interpolation.h: how numbers between the elements of an image are found. Kernels read it too. */
#ifndef LUCID_INTERPOLATION_H
#define LUCID_INTERPOLATION_H

/* The element whose index is the position rounded down, or rounded to the nearest; a mean of two
 * neighbours in one, two or three dimensions, weighted by their distance; a cubic through four
 * neighbours in two dimensions; the mean of the elements that an output covers. */
typedef enum lucid_interpolate_mode {
    LUCID_INTERPOLATE_NEAREST,
    LUCID_INTERPOLATE_NEAREST_EXACT,
    LUCID_INTERPOLATE_LINEAR,
    LUCID_INTERPOLATE_BILINEAR,
    LUCID_INTERPOLATE_TRILINEAR,
    LUCID_INTERPOLATE_BICUBIC,
    LUCID_INTERPOLATE_AREA
} lucid_interpolate_mode;

#endif

/* rearrange.h: moving elements between channels and pixels, padding, splitting a dimension.
 *
 * Any dtype; differentiable any number of times. Errors: sizes or options that do not fit; NULL
 * then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_REARRANGE_H
#define LUCID_AUTOGRAD_OPS_REARRANGE_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* [...,C f f,H,W] to [...,C,H f,W f], and back (Shi et al., 2016); f = factor >= 1. */
LUCID_API lucid_tensor *lucid_pixel_shuffle(lucid_tensor *x, int64_t factor);
LUCID_API lucid_tensor *lucid_pixel_unshuffle(lucid_tensor *x, int64_t factor);
/* The channels of x [N,C,...], seen as [groups, C / groups], in the order of [C / groups, groups]
 * (Zhang et al., 2018). groups divides C. */
LUCID_API lucid_tensor *lucid_channel_shuffle(lucid_tensor *x, int64_t groups);
/* Dimension dim becomes dimensions of the given sizes, of which one may be -1: it is computed. */
LUCID_API lucid_tensor *lucid_unflatten_opt(lucid_tensor *x, int dim, lucid_shape sizes);
#define lucid_unflatten(x, dim, sizes) \
    LUCID_STRICT(lucid_unflatten_opt(x, dim, LUCID_SHAPE_OF(sizes)))

typedef struct lucid_constant_pad_options {
    LUCID_OPTIONS_SIZE(lucid_constant_pad_options);
    double value LUCID_DEFAULT(0); /* what the new elements are; x's dtype must hold it */
} lucid_constant_pad_options;
LUCID_DEFAULTS(lucid_constant_pad, .value = 0);
/* Adds elements before and after the last dimensions. pads holds two numbers for each, the last
 * dimension first, as PyTorch has them: (left, right, top, bottom). A negative number cuts elements
 * off.    lucid_constant_pad(x, (1, 1, 2, 2), .value = 0.5) */
LUCID_API lucid_tensor *lucid_constant_pad_opt(lucid_tensor *x, lucid_shape pads,
                                               const lucid_constant_pad_options *options);
#define lucid_constant_pad(...) \
    LUCID_CALL2(lucid_constant_pad_opt, lucid_constant_pad, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif

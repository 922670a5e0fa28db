/* rearrange.h: moving elements between channels and pixels, splitting a dimension.
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

LUCID_END_DECLS
#endif

/* interpolate.h: making images larger or smaller. */
#ifndef LUCID_AUTOGRAD_OPS_INTERPOLATE_H
#define LUCID_AUTOGRAD_OPS_INTERPOLATE_H

#include "../../lucid/core/interpolation.h"
#include "../../lucid/core/tensor.h"
#include "../../lucid/core/triple.h"

LUCID_BEGIN_DECLS

/* A factor for each dimension: .scale_factors = lucid_scale_pair(2, 1.5). n 0: none are given. */
typedef struct lucid_scales {
    int n;
    double of[3];
} lucid_scales;
LUCID_API lucid_scales lucid_scale_pair(double h, double w);
LUCID_API lucid_scales lucid_scale_triple(double d, double h, double w);

/* Exactly one of size, scale_factor and scale_factors is given. */
typedef struct lucid_interpolate_options {
    LUCID_OPTIONS_SIZE(lucid_interpolate_options);
    lucid_extent size LUCID_DEFAULT(0);   /* of the output: a number for all dimensions,
                                                  * lucid_pair or lucid_triple; 0: not given */
    double scale_factor LUCID_DEFAULT(0); /* output / input in all dimensions; 0: not given */
    lucid_scales scale_factors LUCID_DEFAULT({0, {0, 0, 0}}); /* the same for each dimension */
    lucid_interpolate_mode mode LUCID_DEFAULT(LUCID_INTERPOLATE_NEAREST);
    /* The centres of the corner elements stay where they are. Otherwise the corners of the image
     * do. An error with nearest, nearest-exact and area. */
    bool align_corners LUCID_DEFAULT(false);
    /* Positions follow from the sizes alone, not from the factors that were given. */
    bool recompute_scale_factor LUCID_DEFAULT(false);
    bool antialias LUCID_DEFAULT(false); /* of an image that gets smaller: bilinear and bicubic */
} lucid_interpolate_options;
LUCID_DEFAULTS(lucid_interpolate, .size = 0, .scale_factor = 0, .scale_factors = {0, {0, 0, 0}},
               .mode = LUCID_INTERPOLATE_NEAREST, .align_corners = false,
               .recompute_scale_factor = false, .antialias = false);

/* x [N,C,L], [N,C,H,W] or [N,C,D,H,W] with other sizes after N and C, as PyTorch's interpolate.
 * Linear takes one dimension after them, bilinear and bicubic two, trilinear three, the others any.
 * The cubic's parameter is -0.75, with antialias -0.5. An output's size is the input's times the
 * factor, rounded down. Floating dtypes; 16-bit ones are computed in float32. A channels_last
 * layout is kept. Differentiable any number of times. Errors: sizes below 1, options that do not go
 * together; NULL then. Thread-safe.
 *
 *     lucid_tensor *y = lucid_interpolate(x, .scale_factor = 2);
 *     lucid_tensor *z = lucid_interpolate(x, .size = lucid_pair(224, 320), .antialias = true,
 *                                         .mode = LUCID_INTERPOLATE_BILINEAR); */
LUCID_API lucid_tensor *lucid_interpolate_opt(lucid_tensor *x,
                                              const lucid_interpolate_options *options);
#define lucid_interpolate(...) \
    LUCID_CALL1(lucid_interpolate_opt, lucid_interpolate, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

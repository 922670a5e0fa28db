/* grid_sample.h: reading images at given places (Jaderberg et al., "Spatial Transformer Networks",
 * 2015). */
#ifndef LUCID_AUTOGRAD_OPS_GRID_SAMPLE_H
#define LUCID_AUTOGRAD_OPS_GRID_SAMPLE_H

#include "../../lucid/core/interpolation.h"
#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* What is read outside of the image: zeros; the border; the image, mirrored at its border. */
typedef enum lucid_grid_padding {
    LUCID_GRID_ZEROS,
    LUCID_GRID_BORDER,
    LUCID_GRID_REFLECTION
} lucid_grid_padding;

typedef struct lucid_grid_sample_options {
    LUCID_OPTIONS_SIZE(lucid_grid_sample_options);
    /* Nearest, bilinear (of a volume: trilinear) or, of an image, bicubic. */
    lucid_interpolate_mode mode LUCID_DEFAULT(LUCID_INTERPOLATE_BILINEAR);
    lucid_grid_padding padding_mode LUCID_DEFAULT(LUCID_GRID_ZEROS);
    bool align_corners LUCID_DEFAULT(false); /* -1 and 1: centres of corner elements, not corners */
} lucid_grid_sample_options;
LUCID_DEFAULTS(lucid_grid_sample, .mode = LUCID_INTERPOLATE_BILINEAR,
               .padding_mode = LUCID_GRID_ZEROS, .align_corners = false);

typedef struct lucid_affine_grid_options {
    LUCID_OPTIONS_SIZE(lucid_affine_grid_options);
    bool align_corners LUCID_DEFAULT(false); /* as in grid_sample */
} lucid_affine_grid_options;
LUCID_DEFAULTS(lucid_affine_grid, .align_corners = false);

/* x [N,C,H,W] at grid [N,h,w,2] gives [N,C,h,w]; x [N,C,D,H,W] at grid [N,d,h,w,3] gives
 * [N,C,d,h,w]. The last dimension of grid is (x, y) or (x, y, z): -1 is the left, top or front end
 * and 1 the other. Both are of one floating dtype; 16-bit ones are computed in float32. Where a
 * place is NaN, the result is 0. Differentiable any number of times in x and grid. Errors: sizes
 * that do not fit; NULL then. Thread-safe.
 *
 *     lucid_tensor *grid = lucid_affine_grid(theta, (8, 3, 32, 32));
 *     lucid_tensor *y = lucid_grid_sample(x, grid, .padding_mode = LUCID_GRID_BORDER); */
LUCID_API lucid_tensor *lucid_grid_sample_opt(lucid_tensor *x, lucid_tensor *grid,
                                              const lucid_grid_sample_options *options);
#define lucid_grid_sample(...) \
    LUCID_CALL2(lucid_grid_sample_opt, lucid_grid_sample, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* The grid for grid_sample of affine maps theta [N,2,3] or [N,3,4] from the output's places to the
 * input's. size is that of the output, (N, C, H, W) or (N, C, D, H, W). Differentiable. */
LUCID_API lucid_tensor *lucid_affine_grid_opt(lucid_tensor *theta, lucid_shape size,
                                              const lucid_affine_grid_options *options);
#define lucid_affine_grid(...) \
    LUCID_CALL2(lucid_affine_grid_opt, lucid_affine_grid, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif

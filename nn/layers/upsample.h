/* upsample.h: layers that make images larger or smaller. Their function is lucid_interpolate
 * (autograd/ops/interpolate.h). They have no parameters. */
#ifndef LUCID_NN_LAYERS_UPSAMPLE_H
#define LUCID_NN_LAYERS_UPSAMPLE_H

#include "../../autograd/ops/interpolate.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_upsample_class;
LUCID_API extern const lucid_module_class lucid_nn_upsampling_nearest2d_class;
LUCID_API extern const lucid_module_class lucid_nn_upsampling_bilinear2d_class;

/* All of them. */
typedef struct nn_Upsample {
    lucid_module base;
    lucid_interpolate_options options;
} nn_Upsample;

/* Exactly one of them is given. */
typedef struct lucid_upsampling2d_options {
    LUCID_OPTIONS_SIZE(lucid_upsampling2d_options);
    lucid_extent size LUCID_DEFAULT(0);   /* of the output: a number or lucid_pair; 0: not given */
    double scale_factor LUCID_DEFAULT(0); /* output / input; 0: not given */
    lucid_scales scale_factors LUCID_DEFAULT({0, {0, 0, 0}}); /* the same for height and width */
} lucid_upsampling2d_options;
LUCID_DEFAULTS(lucid_upsampling2d, .size = 0, .scale_factor = 0, .scale_factors = {0, {0, 0, 0}});

/* The options are those of lucid_interpolate. Shape: [N,C,L], [N,C,H,W] or [N,C,D,H,W], as the mode
 * says. Errors: not exactly one of size, scale_factor and scale_factors; NULL then.
 *
 *     lucid_module *m = nn_Upsample(.scale_factor = 2, .mode = LUCID_INTERPOLATE_BILINEAR);
 *     lucid_tensor *y = lucid_forward(m, lucid_randn((1, 3, 16, 16)));    // [1,3,32,32] */
LUCID_API lucid_module *lucid_nn_upsample(const lucid_interpolate_options *options);
/* nn_Upsample with LUCID_INTERPOLATE_NEAREST, of [N,C,H,W].
 *
 *     lucid_module *m = nn_UpsamplingNearest2d(.size = lucid_pair(8, 16)); */
LUCID_API lucid_module *lucid_nn_upsampling_nearest2d(const lucid_upsampling2d_options *options);
/* nn_Upsample with LUCID_INTERPOLATE_BILINEAR and align_corners, of [N,C,H,W].
 *
 *     lucid_module *m = nn_UpsamplingBilinear2d(.scale_factor = 2); */
LUCID_API lucid_module *lucid_nn_upsampling_bilinear2d(const lucid_upsampling2d_options *options);

#define nn_Upsample(...) LUCID_CALL0(lucid_nn_upsample, lucid_interpolate, __VA_ARGS__)
#define nn_UpsamplingNearest2d(...) \
    LUCID_CALL0(lucid_nn_upsampling_nearest2d, lucid_upsampling2d, __VA_ARGS__)
#define nn_UpsamplingBilinear2d(...) \
    LUCID_CALL0(lucid_nn_upsampling_bilinear2d, lucid_upsampling2d, __VA_ARGS__)

LUCID_END_DECLS
#endif

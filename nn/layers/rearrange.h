/* rearrange.h: modules without parameters that move elements. Their functions are in
 * autograd/ops/rearrange.h. Errors of the constructors: numbers that no input would fit; the
 * result is NULL then. */
#ifndef LUCID_NN_LAYERS_REARRANGE_H
#define LUCID_NN_LAYERS_REARRANGE_H

#include "../../autograd/ops/rearrange.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_unflatten_class;
LUCID_API extern const lucid_module_class lucid_nn_pixel_shuffle_class;
LUCID_API extern const lucid_module_class lucid_nn_pixel_unshuffle_class;
LUCID_API extern const lucid_module_class lucid_nn_channel_shuffle_class;

typedef struct nn_Unflatten {
    lucid_module base;
    int dim;
    lucid_shape sizes;
} nn_Unflatten;
typedef struct nn_PixelShuffle {
    lucid_module base;
    int64_t factor;
} nn_PixelShuffle;
typedef struct nn_PixelUnshuffle {
    lucid_module base;
    int64_t factor;
} nn_PixelUnshuffle;
typedef struct nn_ChannelShuffle {
    lucid_module base;
    int64_t groups;
} nn_ChannelShuffle;

/* Dimension dim becomes dimensions of the given sizes, of which one may be -1.
 *
 *     lucid_module *m = nn_Unflatten(1, (64, 7, 7));    [N,3136] to [N,64,7,7] */
LUCID_API lucid_module *lucid_nn_unflatten(int dim, lucid_shape sizes);
/* [...,C f f,H,W] to [...,C,H f,W f].    lucid_module *m = nn_PixelShuffle(2); */
LUCID_API lucid_module *lucid_nn_pixel_shuffle(int64_t factor);
/* [...,C,H f,W f] to [...,C f f,H,W].    lucid_module *m = nn_PixelUnshuffle(2); */
LUCID_API lucid_module *lucid_nn_pixel_unshuffle(int64_t factor);
/* Mixes the groups of channels of [N,C,...].    lucid_module *m = nn_ChannelShuffle(2); */
LUCID_API lucid_module *lucid_nn_channel_shuffle(int64_t groups);

#define nn_Unflatten(dim, sizes)  LUCID_STRICT(lucid_nn_unflatten(dim, LUCID_SHAPE_OF(sizes)))
#define nn_PixelShuffle(factor)   lucid_nn_pixel_shuffle(factor)
#define nn_PixelUnshuffle(factor) lucid_nn_pixel_unshuffle(factor)
#define nn_ChannelShuffle(groups) lucid_nn_channel_shuffle(groups)

LUCID_END_DECLS
#endif

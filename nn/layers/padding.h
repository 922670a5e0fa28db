/* padding.h: modules that add elements around the last one, two or three dimensions, or cut them
 * off. Their function is lucid_pad (autograd/ops/padding.h).
 *
 * pads is one number for all sides, or two for each dimension, the last dimension first: (left,
 * right, top, bottom, front, back). A negative number cuts elements off. They have no parameters.
 * Errors of the constructors: a number of pads that does not fit; the result is NULL then. */
#ifndef LUCID_NN_LAYERS_PADDING_H
#define LUCID_NN_LAYERS_PADDING_H

#include "../../autograd/ops/padding.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_constant_pad1d_class;
LUCID_API extern const lucid_module_class lucid_nn_constant_pad2d_class;
LUCID_API extern const lucid_module_class lucid_nn_constant_pad3d_class;
LUCID_API extern const lucid_module_class lucid_nn_zero_pad1d_class;
LUCID_API extern const lucid_module_class lucid_nn_zero_pad2d_class;
LUCID_API extern const lucid_module_class lucid_nn_zero_pad3d_class;
LUCID_API extern const lucid_module_class lucid_nn_reflection_pad1d_class;
LUCID_API extern const lucid_module_class lucid_nn_reflection_pad2d_class;
LUCID_API extern const lucid_module_class lucid_nn_reflection_pad3d_class;
LUCID_API extern const lucid_module_class lucid_nn_replication_pad1d_class;
LUCID_API extern const lucid_module_class lucid_nn_replication_pad2d_class;
LUCID_API extern const lucid_module_class lucid_nn_replication_pad3d_class;
LUCID_API extern const lucid_module_class lucid_nn_circular_pad1d_class;
LUCID_API extern const lucid_module_class lucid_nn_circular_pad2d_class;
LUCID_API extern const lucid_module_class lucid_nn_circular_pad3d_class;

/* All of them. */
typedef struct nn_Pad {
    lucid_module base;
    lucid_shape pads; /* two numbers for each dimension, the last dimension first */
    lucid_pad_mode mode;
    double value;
} nn_Pad;

typedef struct lucid_constant_pad_options {
    LUCID_OPTIONS_SIZE(lucid_constant_pad_options);
    double value LUCID_DEFAULT(0); /* what the new elements are */
} lucid_constant_pad_options;
LUCID_DEFAULTS(lucid_constant_pad, .value = 0);

/* The new elements have a value, or are 0. Any number of dimensions comes before the padded ones.
 *
 *     lucid_module *m = nn_ConstantPad2d((1, 2, 0, 0), .value = 0.5), *z = nn_ZeroPad2d(1); */
LUCID_API lucid_module *lucid_nn_constant_pad1d(lucid_shape pads,
                                                const lucid_constant_pad_options *options);
LUCID_API lucid_module *lucid_nn_constant_pad2d(lucid_shape pads,
                                                const lucid_constant_pad_options *options);
LUCID_API lucid_module *lucid_nn_constant_pad3d(lucid_shape pads,
                                                const lucid_constant_pad_options *options);
LUCID_API lucid_module *lucid_nn_zero_pad1d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_zero_pad2d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_zero_pad3d(lucid_shape pads);
/* The new elements are those next to the border, mirrored: [a b c] with 2 on each side becomes
 * [c b a b c b a]. A pad is less than the size. The input of 1d is [C,L] or [N,C,L], of 2d [C,H,W]
 * or [N,C,H,W], of 3d [C,D,H,W] or [N,C,D,H,W].    lucid_module *m = nn_ReflectionPad2d(3); */
LUCID_API lucid_module *lucid_nn_reflection_pad1d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_reflection_pad2d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_reflection_pad3d(lucid_shape pads);
/* The new elements are the border's: [a a a b c c c]. Inputs as above.
 *
 *     lucid_module *m = nn_ReplicationPad1d((2, 0)); */
LUCID_API lucid_module *lucid_nn_replication_pad1d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_replication_pad2d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_replication_pad3d(lucid_shape pads);
/* The new elements are those of the other end: [b c a b c a b]. A pad is at most the size. Inputs
 * as above.    lucid_module *m = nn_CircularPad2d((1, 1, 0, 0)); */
LUCID_API lucid_module *lucid_nn_circular_pad1d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_circular_pad2d(lucid_shape pads);
LUCID_API lucid_module *lucid_nn_circular_pad3d(lucid_shape pads);

#define nn_ConstantPad1d(...)     LUC_CONSTANT_PAD(lucid_nn_constant_pad1d, __VA_ARGS__)
#define nn_ConstantPad2d(...)     LUC_CONSTANT_PAD(lucid_nn_constant_pad2d, __VA_ARGS__)
#define nn_ConstantPad3d(...)     LUC_CONSTANT_PAD(lucid_nn_constant_pad3d, __VA_ARGS__)
#define nn_ZeroPad1d(pads)        LUC_PAD(lucid_nn_zero_pad1d, pads)
#define nn_ZeroPad2d(pads)        LUC_PAD(lucid_nn_zero_pad2d, pads)
#define nn_ZeroPad3d(pads)        LUC_PAD(lucid_nn_zero_pad3d, pads)
#define nn_ReflectionPad1d(pads)  LUC_PAD(lucid_nn_reflection_pad1d, pads)
#define nn_ReflectionPad2d(pads)  LUC_PAD(lucid_nn_reflection_pad2d, pads)
#define nn_ReflectionPad3d(pads)  LUC_PAD(lucid_nn_reflection_pad3d, pads)
#define nn_ReplicationPad1d(pads) LUC_PAD(lucid_nn_replication_pad1d, pads)
#define nn_ReplicationPad2d(pads) LUC_PAD(lucid_nn_replication_pad2d, pads)
#define nn_ReplicationPad3d(pads) LUC_PAD(lucid_nn_replication_pad3d, pads)
#define nn_CircularPad1d(pads)    LUC_PAD(lucid_nn_circular_pad1d, pads)
#define nn_CircularPad2d(pads)    LUC_PAD(lucid_nn_circular_pad2d, pads)
#define nn_CircularPad3d(pads)    LUC_PAD(lucid_nn_circular_pad3d, pads)
#define LUC_PAD(fn, pads)         LUCID_STRICT(fn(LUCID_SHAPE_OF(pads)))
#define LUC_CONSTANT_PAD(fn, ...) LUCID_CALL1(fn, lucid_constant_pad, LUCID_SHAPE_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif

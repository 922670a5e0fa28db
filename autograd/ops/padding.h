/* padding.h: adding elements around a tensor, or cutting them off. */
#ifndef LUCID_AUTOGRAD_OPS_PADDING_H
#define LUCID_AUTOGRAD_OPS_PADDING_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* What the new elements are: one value; the elements that are next to the border, mirrored, without
 * the border itself (so a pad is less than the size); the border's element; those of the other end
 * (so a pad is at most the size). */
typedef enum lucid_pad_mode {
    LUCID_PAD_CONSTANT,
    LUCID_PAD_REFLECT,
    LUCID_PAD_REPLICATE,
    LUCID_PAD_CIRCULAR
} lucid_pad_mode;

typedef struct lucid_pad_options {
    LUCID_OPTIONS_SIZE(lucid_pad_options);
    lucid_pad_mode mode LUCID_DEFAULT(LUCID_PAD_CONSTANT);
    double value LUCID_DEFAULT(0); /* with LUCID_PAD_CONSTANT; x's dtype must hold it */
} lucid_pad_options;
LUCID_DEFAULTS(lucid_pad, .mode = LUCID_PAD_CONSTANT, .value = 0);

/* Adds elements before and after the last dimensions of x (PyTorch's pad). pads holds two numbers
 * for each, the last dimension first: (left, right, top, bottom, front, back). A negative number
 * cuts elements off; mirrored elements are then those of x as it was, repeated ones are the border
 * of x, and circular ones are taken after the cut. With LUCID_PAD_REFLECT, _REPLICATE and
 * _CIRCULAR a padded dimension must have an element unless its pads are 0. Any dtype and layout,
 * which is kept; differentiable any number of times. Errors: pads that do not fit; NULL then.
 * Thread-safe.
 *
 *     lucid_tensor *y = lucid_pad(x, (1, 1, 2, 2), .mode = LUCID_PAD_REFLECT);
 *     lucid_tensor *z = lucid_pad(x, (0, 3), .value = 0.5); */
LUCID_API lucid_tensor *lucid_pad_opt(lucid_tensor *x, lucid_shape pads,
                                      const lucid_pad_options *options);
#define lucid_pad(...) \
    LUCID_CALL2(lucid_pad_opt, lucid_pad, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif

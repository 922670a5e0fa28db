/* dropout.h: dropout (Srivastava et al., 2014). */
#ifndef LUCID_NN_LAYERS_DROPOUT_H
#define LUCID_NN_LAYERS_DROPOUT_H

#include "nn/module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_dropout_class;

typedef struct nn_Dropout {
    lucid_module base;
    double p;
} nn_Dropout;

typedef struct lucid_nn_dropout_options {
    double p; /* the probability that an element is dropped, in [0, 1] */
} lucid_nn_dropout_options;
#define LUCID_NN_DROPOUT_DEFAULTS .p = 0.5
LUCID_API extern const lucid_nn_dropout_options lucid_nn_dropout_defaults;

/* In training, zeroes each element with probability p and scales the others by 1/(1-p); in eval the
 * output is the input. Shape: any, and the same comes out.
 *
 *     lucid_module *drop = nn_Dropout(.p = 0.25); */
LUCID_API lucid_module *lucid_nn_dropout(const lucid_nn_dropout_options *options);
#ifndef __cplusplus
#define nn_Dropout(...)                                                      \
    LUCID_CALL(lucid_module *, lucid_nn_dropout(&(lucid_nn_dropout_options){ \
                                   LUCID_NN_DROPOUT_DEFAULTS, __VA_ARGS__}))
#endif

LUCID_END_DECLS
#endif

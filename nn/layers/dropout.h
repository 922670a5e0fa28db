/* dropout.h: dropout (Srivastava et al., 2014). */
#ifndef LUCID_NN_LAYERS_DROPOUT_H
#define LUCID_NN_LAYERS_DROPOUT_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_dropout_class;

typedef struct nn_Dropout {
    lucid_module base;
    double p;
} nn_Dropout;

typedef struct lucid_nn_dropout_options {
    LUCID_OPTIONS_SIZE(lucid_nn_dropout_options);
    double p LUCID_DEFAULT(0.5); /* the probability that an element is dropped, in [0, 1] */
} lucid_nn_dropout_options;
LUCID_DEFAULTS(lucid_nn_dropout, .p = 0.5);

/* In training, zeroes each element with probability p and scales the others by 1/(1-p); in eval the
 * output is the input. Shape: any, and the same comes out.
 *
 *     lucid_module *drop = nn_Dropout(.p = 0.25); */
LUCID_API lucid_module *lucid_nn_dropout(const lucid_nn_dropout_options *options);
#define nn_Dropout(...) LUCID_CALL0(lucid_nn_dropout, lucid_nn_dropout, __VA_ARGS__)

LUCID_END_DECLS
#endif

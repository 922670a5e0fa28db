/* dropout.h: dropout (Srivastava et al., 2014). */
#ifndef LUCID_NN_LAYERS_DROPOUT_H
#define LUCID_NN_LAYERS_DROPOUT_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_dropout_class;
LUCID_API extern const lucid_module_class lucid_nn_dropout1d_class;
LUCID_API extern const lucid_module_class lucid_nn_dropout2d_class;
LUCID_API extern const lucid_module_class lucid_nn_dropout3d_class;
LUCID_API extern const lucid_module_class lucid_nn_alpha_dropout_class;

typedef struct nn_Dropout {
    lucid_module base;
    double p;
} nn_Dropout;
/* Classes on Dropout: the same field. */
typedef struct nn_Dropout1d {
    nn_Dropout base;
} nn_Dropout1d;
typedef struct nn_Dropout2d {
    nn_Dropout base;
} nn_Dropout2d;
typedef struct nn_Dropout3d {
    nn_Dropout base;
} nn_Dropout3d;
typedef struct nn_AlphaDropout {
    nn_Dropout base;
} nn_AlphaDropout;

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
/* The same for whole channels (lucid_feature_dropout). Shape: [N,C,L], [N,C,H,W] and [N,C,D,H,W];
 * the first and the last also without N. A 3-d input of Dropout2d, which PyTorch reads as [N,C,L],
 * is an error.
 *
 *     lucid_module *drop = nn_Dropout2d(.p = 0.1); */
LUCID_API lucid_module *lucid_nn_dropout1d(const lucid_nn_dropout_options *options);
LUCID_API lucid_module *lucid_nn_dropout2d(const lucid_nn_dropout_options *options);
LUCID_API lucid_module *lucid_nn_dropout3d(const lucid_nn_dropout_options *options);
/* Dropout that keeps mean and variance, for networks with SELU (lucid_alpha_dropout). Shape: any,
 * and the same comes out. */
LUCID_API lucid_module *lucid_nn_alpha_dropout(const lucid_nn_dropout_options *options);

#define nn_Dropout(...)      LUCID_CALL0(lucid_nn_dropout, lucid_nn_dropout, __VA_ARGS__)
#define nn_Dropout1d(...)    LUCID_CALL0(lucid_nn_dropout1d, lucid_nn_dropout, __VA_ARGS__)
#define nn_Dropout2d(...)    LUCID_CALL0(lucid_nn_dropout2d, lucid_nn_dropout, __VA_ARGS__)
#define nn_Dropout3d(...)    LUCID_CALL0(lucid_nn_dropout3d, lucid_nn_dropout, __VA_ARGS__)
#define nn_AlphaDropout(...) LUCID_CALL0(lucid_nn_alpha_dropout, lucid_nn_dropout, __VA_ARGS__)

LUCID_END_DECLS
#endif

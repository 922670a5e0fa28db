/* curves.h: Hardtanh, Hardswish, Hardsigmoid, Mish, LogSigmoid, Softsign, the shrinks, GLU and
 * Softmin as layers. The functions, with their formulas and options, are in
 * autograd/ops/activation.h; the output has the input's shape, except GLU's. */
#ifndef LUCID_NN_LAYERS_CURVES_H
#define LUCID_NN_LAYERS_CURVES_H

#include "../../autograd/ops/activation.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_hardtanh_class;
LUCID_API extern const lucid_module_class lucid_nn_hardswish_class;
LUCID_API extern const lucid_module_class lucid_nn_hardsigmoid_class;
LUCID_API extern const lucid_module_class lucid_nn_mish_class;
LUCID_API extern const lucid_module_class lucid_nn_logsigmoid_class;
LUCID_API extern const lucid_module_class lucid_nn_softsign_class;
LUCID_API extern const lucid_module_class lucid_nn_tanhshrink_class;
LUCID_API extern const lucid_module_class lucid_nn_hardshrink_class;
LUCID_API extern const lucid_module_class lucid_nn_softshrink_class;
LUCID_API extern const lucid_module_class lucid_nn_glu_class;
LUCID_API extern const lucid_module_class lucid_nn_softmin_class;
LUCID_API extern const lucid_module_class lucid_nn_softmax2d_class;

typedef struct nn_Hardtanh {
    lucid_module base;
    double min_val, max_val;
} nn_Hardtanh;
typedef struct nn_Hardswish {
    lucid_module base;
} nn_Hardswish;
typedef struct nn_Hardsigmoid {
    lucid_module base;
} nn_Hardsigmoid;
typedef struct nn_Mish {
    lucid_module base;
} nn_Mish;
typedef struct nn_LogSigmoid {
    lucid_module base;
} nn_LogSigmoid;
typedef struct nn_Softsign {
    lucid_module base;
} nn_Softsign;
typedef struct nn_Tanhshrink {
    lucid_module base;
} nn_Tanhshrink;
typedef struct nn_Hardshrink {
    lucid_module base;
    double lambda;
} nn_Hardshrink;
typedef struct nn_Softshrink {
    lucid_module base;
    double lambda;
} nn_Softshrink;
typedef struct nn_GLU {
    lucid_module base;
    int dim;
} nn_GLU;
typedef struct nn_Softmin {
    lucid_module base;
    int dim;
} nn_Softmin;
typedef struct nn_Softmax2d {
    lucid_module base;
} nn_Softmax2d;

/* min(max(x, min), max).    nn_Hardtanh()    nn_Hardtanh(.min = -2, .max = 2)
 * A min above max is an error. */
LUCID_API lucid_module *lucid_nn_hardtanh(const lucid_hardtanh_options *options);
/* x hardsigmoid(x).    nn_Hardswish() */
LUCID_API lucid_module *lucid_nn_hardswish(void);
/* min(max(x + 3, 0), 6) / 6.    nn_Hardsigmoid() */
LUCID_API lucid_module *lucid_nn_hardsigmoid(void);
/* x tanh(softplus(x)).    nn_Mish() */
LUCID_API lucid_module *lucid_nn_mish(void);
/* log(sigmoid(x)).    nn_LogSigmoid() */
LUCID_API lucid_module *lucid_nn_logsigmoid(void);
/* x / (1 + |x|).    nn_Softsign() */
LUCID_API lucid_module *lucid_nn_softsign(void);
/* x - tanh(x).    nn_Tanhshrink() */
LUCID_API lucid_module *lucid_nn_tanhshrink(void);
/* nn_Hardshrink()    nn_Hardshrink(.lambda = 1) */
LUCID_API lucid_module *lucid_nn_hardshrink(const lucid_hardshrink_options *options);
/* nn_Softshrink(). A lambda below 0 is an error. */
LUCID_API lucid_module *lucid_nn_softshrink(const lucid_softshrink_options *options);
/* The first half along dim, times the sigmoid of the second.    nn_GLU(-1) */
LUCID_API lucid_module *lucid_nn_glu(int dim);
/* softmax(-x) along dim.    nn_Softmin(1) */
LUCID_API lucid_module *lucid_nn_softmin(int dim);
/* softmax over the channels of [N,C,H,W] or [C,H,W].    nn_Softmax2d() */
LUCID_API lucid_module *lucid_nn_softmax2d(void);

#define nn_Hardtanh(...)   LUCID_CALL0(lucid_nn_hardtanh, lucid_hardtanh, __VA_ARGS__)
#define nn_Hardswish()     lucid_nn_hardswish()
#define nn_Hardsigmoid()   lucid_nn_hardsigmoid()
#define nn_Mish()          lucid_nn_mish()
#define nn_LogSigmoid()    lucid_nn_logsigmoid()
#define nn_Softsign()      lucid_nn_softsign()
#define nn_Tanhshrink()    lucid_nn_tanhshrink()
#define nn_Hardshrink(...) LUCID_CALL0(lucid_nn_hardshrink, lucid_hardshrink, __VA_ARGS__)
#define nn_Softshrink(...) LUCID_CALL0(lucid_nn_softshrink, lucid_softshrink, __VA_ARGS__)
#define nn_GLU(dim)        lucid_nn_glu(dim)
#define nn_Softmin(dim)    lucid_nn_softmin(dim)
#define nn_Softmax2d()     lucid_nn_softmax2d()

LUCID_END_DECLS
#endif

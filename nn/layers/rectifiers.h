/* rectifiers.h: ReLU6, SELU, CELU, PReLU, RReLU and Threshold as layers. The output has the input's
 * shape. The functions, with their formulas and options, are in autograd/ops/activation.h. */
#ifndef LUCID_NN_LAYERS_RECTIFIERS_H
#define LUCID_NN_LAYERS_RECTIFIERS_H

#include "../../autograd/ops/activation.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_relu6_class;
LUCID_API extern const lucid_module_class lucid_nn_selu_class;
LUCID_API extern const lucid_module_class lucid_nn_celu_class;
LUCID_API extern const lucid_module_class lucid_nn_prelu_class;
LUCID_API extern const lucid_module_class lucid_nn_rrelu_class;
LUCID_API extern const lucid_module_class lucid_nn_threshold_class;

typedef struct nn_ReLU6 {
    lucid_module base;
} nn_ReLU6;
typedef struct nn_SELU {
    lucid_module base;
} nn_SELU;
typedef struct nn_CELU {
    lucid_module base;
    double alpha;
} nn_CELU;
typedef struct nn_PReLU {
    lucid_module base;
    int64_t num_parameters;
    lucid_tensor *weight; /* [num_parameters] */
    double init;
} nn_PReLU;
typedef struct nn_RReLU {
    lucid_module base;
    double lower, upper;
} nn_RReLU;
typedef struct nn_Threshold {
    lucid_module base;
    double threshold, value;
} nn_Threshold;

typedef struct lucid_nn_prelu_options {
    LUCID_OPTIONS_SIZE(lucid_nn_prelu_options);
    int64_t num_parameters LUCID_DEFAULT(1); /* 1, or the number of channels (dimension 1) */
    double init LUCID_DEFAULT(0.25);         /* the initial value of each weight */
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
} lucid_nn_prelu_options;
LUCID_DEFAULTS(lucid_nn_prelu, .num_parameters = 1, .init = 0.25, .dtype = LUCID_F32,
               .device = {LUCID_CPU, 0});

/* min(max(x, 0), 6).    nn_ReLU6() */
LUCID_API lucid_module *lucid_nn_relu6(void);
/* nn_SELU() */
LUCID_API lucid_module *lucid_nn_selu(void);
/* nn_CELU()    nn_CELU(.alpha = 2). An alpha of 0 is an error. */
LUCID_API lucid_module *lucid_nn_celu(const lucid_celu_options *options);
/* x where x > 0, else weight x, with a parameter "weight" of one element or one for each channel.
 *     nn_PReLU()    nn_PReLU(.num_parameters = 64) */
LUCID_API lucid_module *lucid_nn_prelu(const lucid_nn_prelu_options *options);
/* Random slopes in training, their mean in eval. The option .training is not used: the module's
 * mode decides.    nn_RReLU()    nn_RReLU(.lower = 0.1, .upper = 0.3) */
LUCID_API lucid_module *lucid_nn_rrelu(const lucid_rrelu_options *options);
/* x where x > threshold, else value.    nn_Threshold(0.1, 20) */
LUCID_API lucid_module *lucid_nn_threshold(double threshold, double value);

#define nn_ReLU6()                     lucid_nn_relu6()
#define nn_SELU()                      lucid_nn_selu()
#define nn_CELU(...)                   LUCID_CALL0(lucid_nn_celu, lucid_celu, __VA_ARGS__)
#define nn_PReLU(...)                  LUCID_CALL0(lucid_nn_prelu, lucid_nn_prelu, __VA_ARGS__)
#define nn_RReLU(...)                  LUCID_CALL0(lucid_nn_rrelu, lucid_rrelu, __VA_ARGS__)
#define nn_Threshold(threshold, value) lucid_nn_threshold(threshold, value)

LUCID_END_DECLS
#endif

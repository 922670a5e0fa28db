/* activation.h: activations as layers. None has parameters; the output has the input's shape. */
#ifndef LUCID_NN_LAYERS_ACTIVATION_H
#define LUCID_NN_LAYERS_ACTIVATION_H

#include "nn/module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_relu_class;
LUCID_API extern const lucid_module_class lucid_nn_sigmoid_class;
LUCID_API extern const lucid_module_class lucid_nn_tanh_class;
LUCID_API extern const lucid_module_class lucid_nn_gelu_class;
LUCID_API extern const lucid_module_class lucid_nn_silu_class;
LUCID_API extern const lucid_module_class lucid_nn_leaky_relu_class;
LUCID_API extern const lucid_module_class lucid_nn_elu_class;
LUCID_API extern const lucid_module_class lucid_nn_softmax_class;
LUCID_API extern const lucid_module_class lucid_nn_log_softmax_class;

typedef struct nn_ReLU {
    lucid_module base;
    bool inplace;
} nn_ReLU;
typedef struct nn_Sigmoid {
    lucid_module base;
} nn_Sigmoid;
typedef struct nn_Tanh {
    lucid_module base;
} nn_Tanh;
typedef struct nn_GELU {
    lucid_module base;
    bool tanh_approximation;
} nn_GELU;
typedef struct nn_SiLU {
    lucid_module base;
} nn_SiLU;
typedef struct nn_LeakyReLU {
    lucid_module base;
    double negative_slope;
} nn_LeakyReLU;
typedef struct nn_ELU {
    lucid_module base;
    double alpha;
} nn_ELU;
typedef struct nn_Softmax {
    lucid_module base;
    int dim;
} nn_Softmax;
typedef struct nn_LogSoftmax {
    lucid_module base;
    int dim;
} nn_LogSoftmax;

typedef struct lucid_nn_relu_options {
    bool inplace; /* write the result into the input's memory */
} lucid_nn_relu_options;
#define LUCID_NN_RELU_DEFAULTS .inplace = false
LUCID_API extern const lucid_nn_relu_options lucid_nn_relu_defaults;

typedef struct lucid_nn_gelu_options {
    bool tanh_approximation; /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
} lucid_nn_gelu_options;
#define LUCID_NN_GELU_DEFAULTS .tanh_approximation = false
LUCID_API extern const lucid_nn_gelu_options lucid_nn_gelu_defaults;

typedef struct lucid_nn_leaky_relu_options {
    double negative_slope;
} lucid_nn_leaky_relu_options;
#define LUCID_NN_LEAKY_RELU_DEFAULTS .negative_slope = 0.01
LUCID_API extern const lucid_nn_leaky_relu_options lucid_nn_leaky_relu_defaults;

typedef struct lucid_nn_elu_options {
    double alpha;
} lucid_nn_elu_options;
#define LUCID_NN_ELU_DEFAULTS .alpha = 1.0
LUCID_API extern const lucid_nn_elu_options lucid_nn_elu_defaults;

/* max(x, 0).    nn_ReLU()    nn_ReLU(.inplace = true) */
LUCID_API lucid_module *lucid_nn_relu(const lucid_nn_relu_options *options);
/* 1 / (1 + exp(-x)).    nn_Sigmoid() */
LUCID_API lucid_module *lucid_nn_sigmoid(void);
/* nn_Tanh() */
LUCID_API lucid_module *lucid_nn_tanh(void);
/* x Phi(x), Phi the normal distribution's.    nn_GELU()    nn_GELU(.tanh_approximation = true) */
LUCID_API lucid_module *lucid_nn_gelu(const lucid_nn_gelu_options *options);
/* x sigmoid(x).    nn_SiLU() */
LUCID_API lucid_module *lucid_nn_silu(void);
/* x where x > 0, else negative_slope x.    nn_LeakyReLU(.negative_slope = 0.2) */
LUCID_API lucid_module *lucid_nn_leaky_relu(const lucid_nn_leaky_relu_options *options);
/* x where x > 0, else alpha (exp(x) - 1).    nn_ELU() */
LUCID_API lucid_module *lucid_nn_elu(const lucid_nn_elu_options *options);
/* exp(x) / sum(exp(x)) along dim; negative dims count from the end.    nn_Softmax(1) */
LUCID_API lucid_module *lucid_nn_softmax(int dim);
/* Its logarithm, computed stably.    nn_LogSoftmax(-1) */
LUCID_API lucid_module *lucid_nn_log_softmax(int dim);

#ifndef __cplusplus
#define LUC_ACTIVATION(fn, type, ...) LUCID_CALL(lucid_module *, fn(&(type){__VA_ARGS__}))
#define nn_ReLU(...) \
    LUC_ACTIVATION(lucid_nn_relu, lucid_nn_relu_options, LUCID_NN_RELU_DEFAULTS, __VA_ARGS__)
#define nn_Sigmoid() lucid_nn_sigmoid()
#define nn_Tanh()    lucid_nn_tanh()
#define nn_GELU(...) \
    LUC_ACTIVATION(lucid_nn_gelu, lucid_nn_gelu_options, LUCID_NN_GELU_DEFAULTS, __VA_ARGS__)
#define nn_SiLU() lucid_nn_silu()
#define nn_LeakyReLU(...)                                                                          \
    LUC_ACTIVATION(lucid_nn_leaky_relu, lucid_nn_leaky_relu_options, LUCID_NN_LEAKY_RELU_DEFAULTS, \
                   __VA_ARGS__)
#define nn_ELU(...) \
    LUC_ACTIVATION(lucid_nn_elu, lucid_nn_elu_options, LUCID_NN_ELU_DEFAULTS, __VA_ARGS__)
#define nn_Softmax(dim)    lucid_nn_softmax(dim)
#define nn_LogSoftmax(dim) lucid_nn_log_softmax(dim)
#endif

LUCID_END_DECLS
#endif

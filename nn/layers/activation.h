/* activation.h: activations as layers. None has parameters; the output has the input's shape. */
#ifndef LUCID_NN_LAYERS_ACTIVATION_H
#define LUCID_NN_LAYERS_ACTIVATION_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_relu_class;
LUCID_API extern const lucid_module_class lucid_nn_sigmoid_class;
LUCID_API extern const lucid_module_class lucid_nn_tanh_class;
LUCID_API extern const lucid_module_class lucid_nn_gelu_class;
LUCID_API extern const lucid_module_class lucid_nn_silu_class;
LUCID_API extern const lucid_module_class lucid_nn_softplus_class;
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
typedef struct nn_Softplus {
    lucid_module base;
    double beta, threshold;
} nn_Softplus;
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
    LUCID_OPTIONS_SIZE(lucid_nn_relu_options);
    bool inplace LUCID_DEFAULT(false); /* writes the result into the input's memory */
} lucid_nn_relu_options;
LUCID_DEFAULTS(lucid_nn_relu, .inplace = false);

typedef struct lucid_nn_gelu_options {
    LUCID_OPTIONS_SIZE(lucid_nn_gelu_options);
    /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    bool tanh_approximation LUCID_DEFAULT(false);
} lucid_nn_gelu_options;
LUCID_DEFAULTS(lucid_nn_gelu, .tanh_approximation = false);

typedef struct lucid_nn_softplus_options {
    LUCID_OPTIONS_SIZE(lucid_nn_softplus_options);
    double beta LUCID_DEFAULT(1.0);
    double threshold LUCID_DEFAULT(20.0); /* x itself where beta x is larger */
} lucid_nn_softplus_options;
LUCID_DEFAULTS(lucid_nn_softplus, .beta = 1.0, .threshold = 20.0);

typedef struct lucid_nn_leaky_relu_options {
    LUCID_OPTIONS_SIZE(lucid_nn_leaky_relu_options);
    double negative_slope LUCID_DEFAULT(0.01);
} lucid_nn_leaky_relu_options;
LUCID_DEFAULTS(lucid_nn_leaky_relu, .negative_slope = 0.01);

typedef struct lucid_nn_elu_options {
    LUCID_OPTIONS_SIZE(lucid_nn_elu_options);
    double alpha LUCID_DEFAULT(1.0);
} lucid_nn_elu_options;
LUCID_DEFAULTS(lucid_nn_elu, .alpha = 1.0);

/* max(x, 0).    nn_ReLU()    nn_ReLU(.inplace = true) */
LUCID_API lucid_module *lucid_nn_relu(const lucid_nn_relu_options *options);
/* 1 / (1 + exp(-x)).    nn_Sigmoid() */
LUCID_API lucid_module *lucid_nn_sigmoid(void);
/* nn_Tanh() */
LUCID_API lucid_module *lucid_nn_tanh(void);
/* x Phi(x), where Phi is the normal distribution's function.    nn_GELU()
 * nn_GELU(.tanh_approximation = true) */
LUCID_API lucid_module *lucid_nn_gelu(const lucid_nn_gelu_options *options);
/* x sigmoid(x).    nn_SiLU() */
LUCID_API lucid_module *lucid_nn_silu(void);
/* log(1 + exp(beta x)) / beta.    nn_Softplus()    nn_Softplus(.beta = 2) */
LUCID_API lucid_module *lucid_nn_softplus(const lucid_nn_softplus_options *options);
/* x where x > 0, else negative_slope x.    nn_LeakyReLU(.negative_slope = 0.2) */
LUCID_API lucid_module *lucid_nn_leaky_relu(const lucid_nn_leaky_relu_options *options);
/* x where x > 0, else alpha (exp(x) - 1).    nn_ELU() */
LUCID_API lucid_module *lucid_nn_elu(const lucid_nn_elu_options *options);
/* exp(x) / sum(exp(x)) along dim; negative dims count from the end.    nn_Softmax(1) */
LUCID_API lucid_module *lucid_nn_softmax(int dim);
/* Its logarithm, computed stably.    nn_LogSoftmax(-1) */
LUCID_API lucid_module *lucid_nn_log_softmax(int dim);

#define nn_ReLU(...)       LUCID_CALL0(lucid_nn_relu, lucid_nn_relu, __VA_ARGS__)
#define nn_Sigmoid()       lucid_nn_sigmoid()
#define nn_Tanh()          lucid_nn_tanh()
#define nn_GELU(...)       LUCID_CALL0(lucid_nn_gelu, lucid_nn_gelu, __VA_ARGS__)
#define nn_SiLU()          lucid_nn_silu()
#define nn_Softplus(...)   LUCID_CALL0(lucid_nn_softplus, lucid_nn_softplus, __VA_ARGS__)
#define nn_LeakyReLU(...)  LUCID_CALL0(lucid_nn_leaky_relu, lucid_nn_leaky_relu, __VA_ARGS__)
#define nn_ELU(...)        LUCID_CALL0(lucid_nn_elu, lucid_nn_elu, __VA_ARGS__)
#define nn_Softmax(dim)    lucid_nn_softmax(dim)
#define nn_LogSoftmax(dim) lucid_nn_log_softmax(dim)

LUCID_END_DECLS
#endif

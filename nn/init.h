/* init.h: initial values of parameters. Each function writes into its tensor, without recording,
 * takes random numbers from the default generator (random.h), and returns the tensor, or NULL after
 * an error. Tensors may have any floating dtype and any strides. */
#ifndef LUCID_NN_INIT_H
#define LUCID_NN_INIT_H

#include "../lucid/api.h"
#include "../lucid/tensor.h"

LUCID_BEGIN_DECLS

/* Values that are uniform in [low, high), normally distributed, or all the same. */
LUCID_API lucid_tensor *lucid_init_uniform(lucid_tensor *tensor, double low, double high);
LUCID_API lucid_tensor *lucid_init_normal(lucid_tensor *tensor, double mean, double std);
LUCID_API lucid_tensor *lucid_init_constant(lucid_tensor *tensor, double value);

typedef enum lucid_nonlinearity {
    LUCID_LINEAR,     /* gain 1: linear, convolution, sigmoid */
    LUCID_TANH,       /* 5/3 */
    LUCID_RELU,       /* sqrt(2) */
    LUCID_LEAKY_RELU, /* sqrt(2 / (1 + a^2)) */
    LUCID_SELU,       /* 3/4 */
} lucid_nonlinearity;
/* The factor for the weights of a layer that is followed by this nonlinearity. a is the leaky
 * ReLU's slope, and is not used otherwise. */
LUCID_API double lucid_init_gain(lucid_nonlinearity nonlinearity, double a);

/* The numbers of values that a weight [out,in,...] sums (fan-in: in times the window) and feeds
 * (fan-out: out times the window). Returns false, with an error, for fewer than 2 dimensions. */
LUCID_API bool lucid_init_fans(const lucid_tensor *weight, int64_t *fan_in, int64_t *fan_out);

typedef struct lucid_kaiming_options {
    LUCID_OPTIONS_SIZE(lucid_kaiming_options);
    double a LUCID_DEFAULT(0); /* the slope of a leaky ReLU */
    /* Keeps the variance of the gradients instead of that of the outputs. */
    bool fan_out LUCID_DEFAULT(false);
    /* The nonlinearity after the layer. */
    lucid_nonlinearity nonlinearity LUCID_DEFAULT(LUCID_LEAKY_RELU);
} lucid_kaiming_options;
LUCID_DEFAULTS(lucid_kaiming, .a = 0, .fan_out = false, .nonlinearity = LUCID_LEAKY_RELU);

/* By He et al., 2015: uniform in +-gain * sqrt(3 / fan), or normal with std gain / sqrt(fan). The
 * layers' own default is kaiming_uniform with a = sqrt(5), that is +-1/sqrt(fan_in). */
LUCID_API lucid_tensor *lucid_init_kaiming_uniform_opt(lucid_tensor *weight,
                                                       const lucid_kaiming_options *options);
LUCID_API lucid_tensor *lucid_init_kaiming_normal_opt(lucid_tensor *weight,
                                                      const lucid_kaiming_options *options);
/* By Glorot and Bengio, 2010: the standard deviation is gain * sqrt(2 / (fan_in + fan_out)). */
LUCID_API lucid_tensor *lucid_init_xavier_uniform(lucid_tensor *weight, double gain);
LUCID_API lucid_tensor *lucid_init_xavier_normal(lucid_tensor *weight, double gain);

/* lucid_init_kaiming_normal(conv->weight, .fan_out = true, .nonlinearity = LUCID_RELU) */
#define lucid_init_kaiming_uniform(...) \
    LUCID_CALL1(lucid_init_kaiming_uniform_opt, lucid_kaiming, LUCID_ASIS, __VA_ARGS__)
#define lucid_init_kaiming_normal(...) \
    LUCID_CALL1(lucid_init_kaiming_normal_opt, lucid_kaiming, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

/* init.h: initial values of parameters. Each function writes into its tensor, without recording,
 * takes random numbers from the default generator (random.h), and returns the tensor, or NULL after
 * an error. Tensors may have any floating dtype and any strides. */
#ifndef LUCID_NN_INIT_H
#define LUCID_NN_INIT_H

#include "../lucid/core/api.h"
#include "../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* Values that are uniform in [low, high), normally distributed, or all the same. */
LUCID_API lucid_tensor *lucid_init_uniform(lucid_tensor *tensor, double low, double high);
LUCID_API lucid_tensor *lucid_init_normal(lucid_tensor *tensor, double mean, double std);
LUCID_API lucid_tensor *lucid_init_constant(lucid_tensor *tensor, double value);
#define lucid_init_zeros(tensor) lucid_init_constant(tensor, 0)
#define lucid_init_ones(tensor)  lucid_init_constant(tensor, 1)

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

/* ---- with a structure ------------------------------------------------------------------------ */

typedef struct lucid_trunc_normal_options {
    LUCID_OPTIONS_SIZE(lucid_trunc_normal_options);
    double mean LUCID_DEFAULT(0), std
        LUCID_DEFAULT(1); /* of the normal before it is cut; std > 0 */
    /* The bounds themselves, not in units of std; a < b. */
    double a LUCID_DEFAULT(-2), b LUCID_DEFAULT(2);
} lucid_trunc_normal_options;
LUCID_DEFAULTS(lucid_trunc_normal, .mean = 0, .std = 1, .a = -2, .b = 2);
/* Normal values between a and b, by the inverse of the distribution: none is drawn twice, however
 * far the bounds lie in the tail. */
LUCID_API lucid_tensor *lucid_init_trunc_normal_opt(lucid_tensor *tensor,
                                                    const lucid_trunc_normal_options *options);

typedef struct lucid_orthogonal_options {
    LUCID_OPTIONS_SIZE(lucid_orthogonal_options);
    double gain LUCID_DEFAULT(1);
} lucid_orthogonal_options;
LUCID_DEFAULTS(lucid_orthogonal, .gain = 1);
/* A random orthogonal matrix times gain (Saxe et al., 2014), of at least two dimensions: the tensor
 * as [size(0), the others]. Its rows are orthogonal, or its columns where it has more rows. */
LUCID_API lucid_tensor *lucid_init_orthogonal_opt(lucid_tensor *tensor,
                                                  const lucid_orthogonal_options *options);

/* The identity, of two dimensions: as many inputs as possible go through. */
LUCID_API lucid_tensor *lucid_init_eye(lucid_tensor *tensor);

typedef struct lucid_dirac_options {
    LUCID_OPTIONS_SIZE(lucid_dirac_options);
    int64_t groups LUCID_DEFAULT(1); /* divides size(0); each group keeps its channels */
} lucid_dirac_options;
LUCID_DEFAULTS(lucid_dirac, .groups = 1);
/* The identity for the weight of a convolution, of 3, 4 or 5 dimensions: a one in the middle of the
 * window for as many channels as possible. */
LUCID_API lucid_tensor *lucid_init_dirac_opt(lucid_tensor *weight,
                                             const lucid_dirac_options *options);

typedef struct lucid_init_sparse_options {
    LUCID_OPTIONS_SIZE(lucid_init_sparse_options);
    double std LUCID_DEFAULT(0.01); /* of the others, >= 0 */
} lucid_init_sparse_options;
LUCID_DEFAULTS(lucid_init_sparse, .std = 0.01);
/* Normal values, of two dimensions, with ceil(sparsity * rows) zeros in each column (Martens,
 * 2010). */
LUCID_API lucid_tensor *lucid_init_sparse_opt(lucid_tensor *tensor, double sparsity,
                                              const lucid_init_sparse_options *options);

/* ---- macros ---------------------------------------------------------------------------------- */

/* lucid_init_trunc_normal(w, .std = 0.02);  lucid_init_orthogonal(w, .gain = 2) */
#define lucid_init_trunc_normal(...) \
    LUCID_CALL1(lucid_init_trunc_normal_opt, lucid_trunc_normal, LUCID_ASIS, __VA_ARGS__)
#define lucid_init_orthogonal(...) \
    LUCID_CALL1(lucid_init_orthogonal_opt, lucid_orthogonal, LUCID_ASIS, __VA_ARGS__)
#define lucid_init_dirac(...) \
    LUCID_CALL1(lucid_init_dirac_opt, lucid_dirac, LUCID_ASIS, __VA_ARGS__)
/* lucid_init_sparse(w, 0.9) */
#define lucid_init_sparse(...) \
    LUCID_CALL2(lucid_init_sparse_opt, lucid_init_sparse, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
/* lucid_init_kaiming_normal(conv->weight, .fan_out = true, .nonlinearity = LUCID_RELU) */
#define lucid_init_kaiming_uniform(...) \
    LUCID_CALL1(lucid_init_kaiming_uniform_opt, lucid_kaiming, LUCID_ASIS, __VA_ARGS__)
#define lucid_init_kaiming_normal(...) \
    LUCID_CALL1(lucid_init_kaiming_normal_opt, lucid_kaiming, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

/* activation.h: the activations that take options, or that other operators compute.
 *
 * The plain ones (relu, selu, silu, hardswish, hardsigmoid, mish, ...) are lines of core/ops.def
 * (elementwise.h). All work element by element and keep x's shape and layout; integers become
 * float32. NaN stays NaN. At a kink the derivative is PyTorch's. Names and defaults are PyTorch's
 * (torch.nn.functional 2.15). NULL after an error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_ACTIVATION_H
#define LUCID_AUTOGRAD_OPS_ACTIVATION_H

#include "../../lucid/core/options.h"
#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- rectifiers ------------------------------------------------------------------------------ */

/* min(max(x, 0), 6); the derivative is 0 at 0 and at 6. */
LUCID_API lucid_tensor *lucid_relu6(lucid_tensor *x);

typedef struct lucid_leaky_relu_options {
    LUCID_OPTIONS_SIZE(lucid_leaky_relu_options);
    double negative_slope LUCID_DEFAULT(0.01);
} lucid_leaky_relu_options;
LUCID_DEFAULTS(lucid_leaky_relu, .negative_slope = 0.01);
/* x where x > 0, else negative_slope x; the derivative at 0 is negative_slope.
 *     lucid_leaky_relu(x, .negative_slope = 0.2) */
LUCID_API lucid_tensor *lucid_leaky_relu_opt(lucid_tensor *x,
                                             const lucid_leaky_relu_options *options);
#define lucid_leaky_relu(...) \
    LUCID_CALL1(lucid_leaky_relu_opt, lucid_leaky_relu, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_elu_options {
    LUCID_OPTIONS_SIZE(lucid_elu_options);
    double alpha LUCID_DEFAULT(1.0);
} lucid_elu_options;
LUCID_DEFAULTS(lucid_elu, .alpha = 1.0);
/* x where x > 0, else alpha (e^x - 1); the derivative at 0 is alpha. (Clevert et al., 2016)
 *     lucid_elu(x, .alpha = 0.5) */
LUCID_API lucid_tensor *lucid_elu_opt(lucid_tensor *x, const lucid_elu_options *options);
#define lucid_elu(...) LUCID_CALL1(lucid_elu_opt, lucid_elu, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_celu_options {
    LUCID_OPTIONS_SIZE(lucid_celu_options);
    double alpha LUCID_DEFAULT(1.0); /* not 0 */
} lucid_celu_options;
LUCID_DEFAULTS(lucid_celu, .alpha = 1.0);
/* x where x > 0, else alpha (e^(x / alpha) - 1). (Barron, 2017)    lucid_celu(x, .alpha = 2) */
LUCID_API lucid_tensor *lucid_celu_opt(lucid_tensor *x, const lucid_celu_options *options);
#define lucid_celu(...) LUCID_CALL1(lucid_celu_opt, lucid_celu, LUCID_ASIS, __VA_ARGS__)

/* x where x > 0, else weight x. weight has one element, or one for each channel (dimension 1) of
 * x: sizes [1] or [C]. Both get gradients. (He et al., 2015) */
LUCID_API lucid_tensor *lucid_prelu(lucid_tensor *x, lucid_tensor *weight);

typedef struct lucid_rrelu_options {
    LUCID_OPTIONS_SIZE(lucid_rrelu_options);
    double lower LUCID_DEFAULT(1.0 / 8);
    double upper LUCID_DEFAULT(1.0 / 3); /* at least lower */
    bool training LUCID_DEFAULT(false);
} lucid_rrelu_options;
LUCID_DEFAULTS(lucid_rrelu, .lower = 1.0 / 8, .upper = 1.0 / 3, .training = false);
/* x where x > 0, else r x. In training each element has its own r, uniform in [lower, upper) and
 * drawn from the default generator; otherwise r is (lower + upper) / 2. (Xu et al., 2015)
 *     lucid_rrelu(x, .training = true) */
LUCID_API lucid_tensor *lucid_rrelu_opt(lucid_tensor *x, const lucid_rrelu_options *options);
#define lucid_rrelu(...) LUCID_CALL1(lucid_rrelu_opt, lucid_rrelu, LUCID_ASIS, __VA_ARGS__)

/* x where x > threshold, else value; the derivative is 1 or 0. */
LUCID_API lucid_tensor *lucid_threshold(lucid_tensor *x, double threshold, double value);

/* ---- curves ---------------------------------------------------------------------------------- */

typedef struct lucid_hardtanh_options {
    LUCID_OPTIONS_SIZE(lucid_hardtanh_options);
    double min LUCID_DEFAULT(-1.0);
    double max LUCID_DEFAULT(1.0); /* at least min */
} lucid_hardtanh_options;
LUCID_DEFAULTS(lucid_hardtanh, .min = -1.0, .max = 1.0);
/* min(max(x, min), max). It differs from lucid_clamp where x is NaN: the gradient passes there.
 *     lucid_hardtanh(x, .max = 2) */
LUCID_API lucid_tensor *lucid_hardtanh_opt(lucid_tensor *x, const lucid_hardtanh_options *options);
#define lucid_hardtanh(...) LUCID_CALL1(lucid_hardtanh_opt, lucid_hardtanh, LUCID_ASIS, __VA_ARGS__)

/* log(sigmoid(x)) = -log(1 + e^-x), which neither overflows nor loses digits. */
LUCID_API lucid_tensor *lucid_logsigmoid(lucid_tensor *x);
/* x / (1 + |x|) */
LUCID_API lucid_tensor *lucid_softsign(lucid_tensor *x);
/* x - tanh(x) */
LUCID_API lucid_tensor *lucid_tanhshrink(lucid_tensor *x);

typedef struct lucid_hardshrink_options {
    LUCID_OPTIONS_SIZE(lucid_hardshrink_options);
    double lambda LUCID_DEFAULT(0.5);
} lucid_hardshrink_options;
LUCID_DEFAULTS(lucid_hardshrink, .lambda = 0.5);
/* x where |x| > lambda, else 0.    lucid_hardshrink(x, .lambda = 1) */
LUCID_API lucid_tensor *lucid_hardshrink_opt(lucid_tensor *x,
                                             const lucid_hardshrink_options *options);
#define lucid_hardshrink(...) \
    LUCID_CALL1(lucid_hardshrink_opt, lucid_hardshrink, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_softshrink_options {
    LUCID_OPTIONS_SIZE(lucid_softshrink_options);
    double lambda LUCID_DEFAULT(0.5); /* at least 0 */
} lucid_softshrink_options;
LUCID_DEFAULTS(lucid_softshrink, .lambda = 0.5);
/* x - lambda where x > lambda, x + lambda where x < -lambda, else 0. */
LUCID_API lucid_tensor *lucid_softshrink_opt(lucid_tensor *x,
                                             const lucid_softshrink_options *options);
#define lucid_softshrink(...) \
    LUCID_CALL1(lucid_softshrink_opt, lucid_softshrink, LUCID_ASIS, __VA_ARGS__)

/* ---- along a dimension ----------------------------------------------------------------------- */

/* a sigmoid(b), where a is the first half of x along dim and b the second; the size of dim must be
 * even. A negative dim counts from the end; PyTorch's default is -1. (Dauphin et al., 2017) */
LUCID_API lucid_tensor *lucid_glu(lucid_tensor *x, int dim);
/* softmax(-x) along dim */
LUCID_API lucid_tensor *lucid_softmin(lucid_tensor *x, int dim);

LUCID_END_DECLS
#endif

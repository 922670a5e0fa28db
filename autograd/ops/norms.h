/* norms.h: normalisation over groups of channels, trailing dimensions and single images.
 *
 *     y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias            Var is biased
 *
 * All have PyTorch's formulas and defaults and are differentiable any number of times. The
 * statistics are batch normalisation's, computed in float64, so a mean far from 0 costs no
 * accuracy. x is floating, and so is y, with x's sizes and dtype; 16-bit x are normalised in
 * float32, with parameters of either dtype. Inside LUCID_AUTOCAST the result is float32.
 * Errors: sizes, dtypes and options that are refused; NULL then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_NORMS_H
#define LUCID_AUTOGRAD_OPS_NORMS_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_group_norm_options {
    LUCID_OPTIONS_SIZE(lucid_group_norm_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL), *bias LUCID_DEFAULT(NULL); /* [C] or NULL: 1 and 0 */
    double eps LUCID_DEFAULT(1e-5);                                      /* >= 0 */
} lucid_group_norm_options;
LUCID_DEFAULTS(lucid_group_norm, .weight = NULL, .bias = NULL, .eps = 1e-5);
/* Statistics of each sample's groups of C / num_groups channels (Wu and He, 2018), of x [N,C,...].
 * Errors: C is no multiple of num_groups. */
LUCID_API lucid_tensor *lucid_group_norm_opt(lucid_tensor *x, int64_t num_groups,
                                             const lucid_group_norm_options *options);

typedef struct lucid_layer_norm_options {
    LUCID_OPTIONS_SIZE(lucid_layer_norm_options);
    /* of normalized_shape, or NULL: 1 and 0 */
    lucid_tensor *weight LUCID_DEFAULT(NULL), *bias LUCID_DEFAULT(NULL);
    double eps LUCID_DEFAULT(1e-5); /* >= 0 */
} lucid_layer_norm_options;
LUCID_DEFAULTS(lucid_layer_norm, .weight = NULL, .bias = NULL, .eps = 1e-5);
/* Statistics over the last dimensions, whose sizes are normalized_shape (Ba et al., 2016).
 *
 *     lucid_layer_norm(x, 64, .weight = w)        lucid_layer_norm(x, (8, 8)) */
LUCID_API lucid_tensor *lucid_layer_norm_opt(lucid_tensor *x, lucid_shape normalized_shape,
                                             const lucid_layer_norm_options *options);

typedef struct lucid_instance_norm_options {
    LUCID_OPTIONS_SIZE(lucid_instance_norm_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL), *bias LUCID_DEFAULT(NULL); /* [C] or NULL: 1 and 0 */
    /* [C], both or none: averages over samples, which change in place where the input's statistics
     * are used */
    lucid_tensor *running_mean LUCID_DEFAULT(NULL), *running_var LUCID_DEFAULT(NULL);
    bool use_input_stats LUCID_DEFAULT(true); /* false: normalise by the running statistics */
    double momentum LUCID_DEFAULT(0.1);       /* new = (1 - momentum) old + momentum input's */
    double eps LUCID_DEFAULT(1e-5);           /* >= 0 */
} lucid_instance_norm_options;
LUCID_DEFAULTS(lucid_instance_norm, .weight = NULL, .bias = NULL, .running_mean = NULL,
               .running_var = NULL, .use_input_stats = true, .momentum = 0.1, .eps = 1e-5);
/* Statistics of each sample's channels (Ulyanov et al., 2016), of x [N,C,...]. Errors: a single
 * value per channel where the input's statistics are used; running statistics missing where they
 * are not. */
LUCID_API lucid_tensor *lucid_instance_norm_opt(lucid_tensor *x,
                                                const lucid_instance_norm_options *options);

typedef struct lucid_rms_norm_options {
    LUCID_OPTIONS_SIZE(lucid_rms_norm_options);
    lucid_tensor *weight LUCID_DEFAULT(NULL); /* of normalized_shape, or NULL: 1 */
    double eps LUCID_DEFAULT(-1); /* >= 0; -1: the distance from 1 to the next number of x's dtype,
                                     for 16-bit x of float32 */
} lucid_rms_norm_options;
LUCID_DEFAULTS(lucid_rms_norm, .weight = NULL, .eps = -1);
/* x / sqrt(E[x^2] + eps) * weight over the last dimensions (Zhang and Sennrich, 2019). */
LUCID_API lucid_tensor *lucid_rms_norm_opt(lucid_tensor *x, lucid_shape normalized_shape,
                                           const lucid_rms_norm_options *options);

typedef struct lucid_local_response_norm_options {
    LUCID_OPTIONS_SIZE(lucid_local_response_norm_options);
    double alpha LUCID_DEFAULT(1e-4), beta LUCID_DEFAULT(0.75), k LUCID_DEFAULT(1);
} lucid_local_response_norm_options;
LUCID_DEFAULTS(lucid_local_response_norm, .alpha = 1e-4, .beta = 0.75, .k = 1);
/* x / (k + alpha / size * the sum of squares over `size` channels around)^beta (Krizhevsky et al.,
 * 2012), of x [N,C,...] of at least three dimensions; size >= 1. */
LUCID_API lucid_tensor *lucid_local_response_norm_opt(
    lucid_tensor *x, int64_t size, const lucid_local_response_norm_options *options);

/* lucid_group_norm(x, 8, .weight = w, .bias = b) */
#define lucid_group_norm(...) \
    LUCID_CALL2(lucid_group_norm_opt, lucid_group_norm, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_layer_norm(...) \
    LUCID_CALL2(lucid_layer_norm_opt, lucid_layer_norm, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_instance_norm(...) \
    LUCID_CALL1(lucid_instance_norm_opt, lucid_instance_norm, LUCID_ASIS, __VA_ARGS__)
#define lucid_rms_norm(...) \
    LUCID_CALL2(lucid_rms_norm_opt, lucid_rms_norm, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_local_response_norm(...)                                                            \
    LUCID_CALL2(lucid_local_response_norm_opt, lucid_local_response_norm, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)

LUCID_END_DECLS
#endif

/* adaptive_softmax.h: a softmax over many classes of which few are frequent. */
#ifndef LUCID_NN_LAYERS_ADAPTIVE_SOFTMAX_H
#define LUCID_NN_LAYERS_ADAPTIVE_SOFTMAX_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_adaptive_log_softmax_with_loss_class;

typedef struct nn_AdaptiveLogSoftmaxWithLoss {
    lucid_module base;
    int64_t in_features, n_classes;
    lucid_shape cutoffs;       /* the given ones, and n_classes at the end */
    lucid_module *head, *tail; /* a Linear; a ModuleList of Sequentials of two Linears */
} nn_AdaptiveLogSoftmaxWithLoss;

typedef struct lucid_nn_adaptive_log_softmax_with_loss_options {
    LUCID_OPTIONS_SIZE(lucid_nn_adaptive_log_softmax_with_loss_options);
    double div_value LUCID_DEFAULT(4); /* each cluster has so many times fewer features */
    bool head_bias LUCID_DEFAULT(false);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_adaptive_log_softmax_with_loss_options;
LUCID_DEFAULTS(lucid_nn_adaptive_log_softmax_with_loss, .div_value = 4, .head_bias = false,
               .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Classes in order of frequency: those below the first cutoff have a place in the head, the others
 * are in clusters between the cutoffs, which are computed for samples of theirs only (Grave et al.,
 * 2017). cutoffs: 1 to 7 rising numbers in [1, n_classes). Inputs: input [N,in_features] or
 * [in_features], target [N] or []. Outputs: the log-probability of each target; loss?, minus their
 * mean. Targets are read on the host, which waits for a device.
 *
 *     lucid_module *m = nn_AdaptiveLogSoftmaxWithLoss(64, 1000, (20, 200));
 *     lucid_forward_into(m, (x, target), (&log_prob, &loss)); */
LUCID_API lucid_module *lucid_nn_adaptive_log_softmax_with_loss(
    int64_t in_features, int64_t n_classes, lucid_shape cutoffs,
    const lucid_nn_adaptive_log_softmax_with_loss_options *options);
#define nn_AdaptiveLogSoftmaxWithLoss(...)                                                        \
    LUCID_CALL3(lucid_nn_adaptive_log_softmax_with_loss, lucid_nn_adaptive_log_softmax_with_loss, \
                LUCID_ASIS, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)
/* The log-probabilities of all classes, [N,n_classes], of an input [N,in_features]; PyTorch's
 * log_prob. Its argmax over dimension 1 is PyTorch's predict. */
LUCID_API lucid_tensor *lucid_adaptive_log_prob(lucid_module *adaptive, lucid_tensor *x);

LUCID_END_DECLS
#endif

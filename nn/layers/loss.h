/* loss.h: losses as modules of two inputs. Their functions are in autograd/ops/loss.h. */
#ifndef LUCID_NN_LAYERS_LOSS_H
#define LUCID_NN_LAYERS_LOSS_H

#include "../../lucid/core/reduction.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_cross_entropy_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_nll_loss_class;
LUCID_API extern const lucid_module_class lucid_nn_mse_loss_class;

typedef struct nn_NLLLoss {
    lucid_module base;
    lucid_tensor *weight; /* [C], a buffer, or NULL */
    int reduction;
    int64_t ignore_index;
} nn_NLLLoss;
typedef struct nn_CrossEntropyLoss {
    lucid_module base;
    lucid_tensor *weight; /* [C], a buffer, or NULL */
    int reduction;
    int64_t ignore_index;
    double label_smoothing;
} nn_CrossEntropyLoss;
typedef struct nn_MSELoss {
    lucid_module base;
    int reduction;
} nn_MSELoss;

typedef struct lucid_nn_cross_entropy_loss_options {
    LUCID_OPTIONS_SIZE(lucid_nn_cross_entropy_loss_options);
    /* [C], the weight of each class; NULL: all are 1. The module takes a reference. */
    lucid_tensor *weight LUCID_DEFAULT(NULL);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
    int64_t ignore_index LUCID_DEFAULT(-100);          /* targets of this class do not count */
    double label_smoothing LUCID_DEFAULT(0);           /* in [0, 1] */
} lucid_nn_cross_entropy_loss_options;
LUCID_DEFAULTS(lucid_nn_cross_entropy_loss, .weight = NULL, .reduction = LUCID_REDUCTION_MEAN,
               .ignore_index = -100, .label_smoothing = 0);

typedef struct lucid_nn_nll_loss_options {
    LUCID_OPTIONS_SIZE(lucid_nn_nll_loss_options);
    /* [C], the weight of each class; NULL: all are 1. The module takes a reference. */
    lucid_tensor *weight LUCID_DEFAULT(NULL);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
    int64_t ignore_index LUCID_DEFAULT(-100);          /* targets of this class do not count */
} lucid_nn_nll_loss_options;
LUCID_DEFAULTS(lucid_nn_nll_loss, .weight = NULL, .reduction = LUCID_REDUCTION_MEAN,
               .ignore_index = -100);

typedef struct lucid_nn_mse_loss_options {
    LUCID_OPTIONS_SIZE(lucid_nn_mse_loss_options);
    int reduction LUCID_DEFAULT(LUCID_REDUCTION_MEAN); /* LUCID_REDUCTION_MEAN, _SUM or _NONE */
} lucid_nn_mse_loss_options;
LUCID_DEFAULTS(lucid_nn_mse_loss, .reduction = LUCID_REDUCTION_MEAN);

/* Computes lucid_cross_entropy of logits [N,C], [N,C,...] or [C] and a target, which holds classes
 * or probabilities. Errors of the constructor: a reduction or label_smoothing that the function
 * refuses, a weight that is not [C].
 *
 *     lucid_module *criterion = nn_CrossEntropyLoss(.label_smoothing = 0.1);
 *     lucid_tensor *loss = lucid_forward(criterion, logits, target); */
LUCID_API lucid_module *lucid_nn_cross_entropy_loss(
    const lucid_nn_cross_entropy_loss_options *options);
/* Computes lucid_nll_loss of log-probabilities and classes.
 *
 *     lucid_module *criterion = nn_NLLLoss(.ignore_index = 0);
 *     lucid_tensor *loss = lucid_forward(criterion, lucid_log_softmax(logits, 1), target); */
LUCID_API lucid_module *lucid_nn_nll_loss(const lucid_nn_nll_loss_options *options);
/* Computes lucid_mse_loss: (input - target)^2, reduced.
 *
 *     lucid_module *criterion = nn_MSELoss(.reduction = LUCID_REDUCTION_SUM);
 *     lucid_tensor *loss = lucid_forward(criterion, y, target); */
LUCID_API lucid_module *lucid_nn_mse_loss(const lucid_nn_mse_loss_options *options);

#define nn_CrossEntropyLoss(...) \
    LUCID_CALL0(lucid_nn_cross_entropy_loss, lucid_nn_cross_entropy_loss, __VA_ARGS__)
#define nn_NLLLoss(...) LUCID_CALL0(lucid_nn_nll_loss, lucid_nn_nll_loss, __VA_ARGS__)
#define nn_MSELoss(...) LUCID_CALL0(lucid_nn_mse_loss, lucid_nn_mse_loss, __VA_ARGS__)

LUCID_END_DECLS
#endif

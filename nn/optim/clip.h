/* clip.h: keeping gradients in bounds. */
#ifndef LUCID_NN_OPTIM_CLIP_H
#define LUCID_NN_OPTIM_CLIP_H

#include "../module.h"

LUCID_BEGIN_DECLS

typedef struct lucid_clip_options {
    LUCID_OPTIONS_SIZE(lucid_clip_options);
    /* 2, another p > 0, or INFINITY: the largest absolute value. */
    double norm_type LUCID_DEFAULT(2);
    /* A NaN or infinite norm is an error, and nothing is scaled. */
    bool error_if_nonfinite LUCID_DEFAULT(false);
} lucid_clip_options;
LUCID_DEFAULTS(lucid_clip, .norm_type = 2, .error_if_nonfinite = false);

/* Scales the gradients of a module's parameters, in place, by min(1, max_norm / (norm + 1e-6)),
 * where norm is the norm of all gradients as one vector; parameters without a gradient do not
 * count. Returns the norm before scaling; NAN on an error. */
LUCID_API double lucid_clip_grad_norm_opt(lucid_module *module, double max_norm,
                                          const lucid_clip_options *options);
/* The same for n tensors. */
LUCID_API double lucid_clip_grad_norm_list(lucid_tensor *const *params, size_t n, double max_norm,
                                           const lucid_clip_options *options);
/* Brings every element of the gradients of a module's parameters into [-value, value], in place;
 * NaN stays. value >= 0. False after an error. */
LUCID_API bool lucid_clip_grad_value(lucid_module *module, double value);
/* The same for n tensors. */
LUCID_API bool lucid_clip_grad_value_list(lucid_tensor *const *params, size_t n, double value);
/* lucid_clip_grad_norm(net, 1.0) */
#define lucid_clip_grad_norm(...) \
    LUCID_CALL2(lucid_clip_grad_norm_opt, lucid_clip, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

/* clip.h: keeping gradients in bounds. */
#ifndef LUCID_NN_OPTIM_CLIP_H
#define LUCID_NN_OPTIM_CLIP_H

#include "nn/module.h"

LUCID_BEGIN_DECLS

typedef struct lucid_clip_options {
    double norm_type;        /* 2, another p > 0, or INFINITY: the largest absolute value */
    bool error_if_nonfinite; /* a NaN or infinite norm is an error, and nothing is scaled */
} lucid_clip_options;
#define LUCID_CLIP_DEFAULTS .norm_type = 2, .error_if_nonfinite = false
LUCID_API extern const lucid_clip_options lucid_clip_defaults;

/* Scales the gradients of a module's parameters, in place, by min(1, max_norm / (norm + 1e-6)), where
 * norm is that of all of them as one vector; parameters without a gradient do not count. Returns the
 * norm before; NAN on an error. */
LUCID_API double lucid_clip_grad_norm_opt(lucid_module *module, double max_norm,
                                          const lucid_clip_options *options);
/* The same for n tensors. */
LUCID_API double lucid_clip_grad_norm_list(lucid_tensor *const *params, size_t n, double max_norm,
                                           const lucid_clip_options *options);
#ifndef __cplusplus
/* lucid_clip_grad_norm(net, 1.0) */
#define lucid_clip_grad_norm(module, ...)                   \
    LUCID_CALL(double, lucid_clip_grad_norm_opt(            \
                           module, LUCID_HEAD(__VA_ARGS__), \
                           &(lucid_clip_options){LUCID_CLIP_DEFAULTS, LUCID_TAIL(__VA_ARGS__)}))
#endif

LUCID_END_DECLS
#endif

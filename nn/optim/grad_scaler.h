/* grad_scaler.h: scaling the loss, so that small gradients survive float16.
 *
 *     lucid_grad_scaler *scaler = optim_GradScaler();
 *     ...
 *     lucid_zero_grad(opt);
 *     lucid_backward(lucid_grad_scaler_scale(scaler, loss));
 *     lucid_grad_scaler_unscale_(scaler, opt);     // only where gradients are looked at, as here
 *     lucid_clip_grad_norm(net, 1.0);
 *     lucid_grad_scaler_step(scaler, opt);         // instead of lucid_step(opt)
 *     lucid_grad_scaler_update(scaler);
 *     ...
 *     lucid_grad_scaler_free(scaler);
 *
 * The loss is multiplied by a scale and the gradients are divided by it before the optimizer's
 * step. A step is skipped if the divided gradients hold an infinity or a NaN, and the scale becomes
 * smaller, down to 2^-126 (float32's smallest normal number). After a number of successful steps in
 * a row it becomes larger. Formulas, defaults and order are those of
 * torch.amp.GradScaler; parameters and gradients are float32. bfloat16 has float32's range and
 * needs no scaler. See docs/mixed_precision.md. Threads: one at a time. */
#ifndef LUCID_NN_OPTIM_GRAD_SCALER_H
#define LUCID_NN_OPTIM_GRAD_SCALER_H

#include "optimizer.h"

LUCID_BEGIN_DECLS

typedef struct lucid_grad_scaler lucid_grad_scaler;

typedef struct lucid_grad_scaler_options {
    LUCID_OPTIONS_SIZE(lucid_grad_scaler_options);
    double init_scale LUCID_DEFAULT(65536); /* finite, at least 2^-126 */
    /* > 1: the scale is multiplied by it after growth_interval steps. */
    double growth_factor LUCID_DEFAULT(2);
    /* In (0, 1): the scale is multiplied by it after a skipped step. */
    double backoff_factor LUCID_DEFAULT(0.5);
    int64_t growth_interval LUCID_DEFAULT(2000); /* >= 1 */
    /* False: scale, unscale_ and update do nothing, step is lucid_step. */
    bool enabled LUCID_DEFAULT(true);
} lucid_grad_scaler_options;
LUCID_DEFAULTS(lucid_grad_scaler, .init_scale = 65536, .growth_factor = 2, .backoff_factor = 0.5,
               .growth_interval = 2000, .enabled = true);

/* Makes a scaler, which the caller releases with lucid_grad_scaler_free. If options is NULL, the
 * defaults are used. NULL on an error. */
LUCID_API lucid_grad_scaler *lucid_grad_scaler_new(const lucid_grad_scaler_options *options);
LUCID_API void lucid_grad_scaler_free(lucid_grad_scaler *scaler);
/* optim_GradScaler();  optim_GradScaler(.init_scale = 1024, .enabled = dtype == LUCID_F16) */
#define optim_GradScaler(...) LUCID_CALL0(lucid_grad_scaler_new, lucid_grad_scaler, __VA_ARGS__)

/* loss times the scale, recorded for backward: any shape, floating. The scale lies on the loss's
 * device, so that a captured step reads its current value. */
LUCID_API lucid_tensor *lucid_grad_scaler_scale(lucid_grad_scaler *scaler, lucid_tensor *loss);
/* Divides the gradients of the optimizer's parameters by the scale, in place, and notes whether one
 * is not finite: one kernel for all gradients of a device and dtype, and nothing waits for it. Call
 * it to see or clip gradients before the step; otherwise lucid_grad_scaler_step does it. Errors: a
 * second call before update, a call after step, float16 gradients. */
LUCID_API bool lucid_grad_scaler_unscale_(lucid_grad_scaler *scaler, lucid_optimizer *optimizer);
/* Calls lucid_step(optimizer), unless a gradient is not finite. To know this it waits for the
 * device, which no other function here does. Returns true also if the step was skipped, and false
 * after an error: a second call before update, no gradient at all, a failure of the step. Does
 * nothing while an error is pending. */
LUCID_API bool lucid_grad_scaler_step(lucid_grad_scaler *scaler, lucid_optimizer *optimizer);
/* Whether the last step of this optimizer was skipped. */
LUCID_API bool lucid_grad_scaler_skipped(const lucid_grad_scaler *scaler,
                                         const lucid_optimizer *optimizer);
/* Changes the scale by what the steps since the last update have found, once for all optimizers. It
 * is an error if nothing was unscaled since then. */
LUCID_API bool lucid_grad_scaler_update(lucid_grad_scaler *scaler);

/* The current scale, without waiting for a device; 1 if the scaler is not enabled, NAN on an error.
 * The second function sets it to a number that is finite and at least 2^-126. */
LUCID_API double lucid_grad_scaler_get_scale(const lucid_grad_scaler *scaler);
LUCID_API bool lucid_grad_scaler_set_scale(lucid_grad_scaler *scaler, double scale);
/* Steps in a row since the scale last changed. */
LUCID_API int64_t lucid_grad_scaler_growth_tracker(const lucid_grad_scaler *scaler);
LUCID_API bool lucid_grad_scaler_is_enabled(const lucid_grad_scaler *scaler);
/* The current options. The second function changes growth_factor, backoff_factor and
 * growth_interval; init_scale and enabled must be those that the scaler has. */
LUCID_API bool lucid_grad_scaler_get_options(const lucid_grad_scaler *scaler,
                                             lucid_grad_scaler_options *options);
LUCID_API bool lucid_grad_scaler_set_options(lucid_grad_scaler *scaler,
                                             const lucid_grad_scaler_options *options);

/* What training needs to go on: "scale", "growth_factor", "backoff_factor", "growth_interval" and
 * "_growth_tracker", 0-d on the CPU; it is empty if the scaler is not enabled. The caller
 * releases it with lucid_state_dict_free. */
LUCID_API lucid_state_dict *lucid_grad_scaler_state_dict(const lucid_grad_scaler *scaler);
/* Loads such a state; a scaler that is not enabled ignores it. If it is refused, nothing
 * changes. */
LUCID_API bool lucid_grad_scaler_load_state_dict(lucid_grad_scaler *scaler,
                                                 const lucid_state_dict *state);

LUCID_END_DECLS
#endif

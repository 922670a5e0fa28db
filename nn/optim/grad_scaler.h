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
 * step. A step whose gradients, divided, hold an infinity or a NaN is left out and the scale
 * becomes smaller, down to 2^-126 (float32's smallest normal number); after a number of steps in a
 * row that were all done it becomes larger. Formulas, defaults and order are those of
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
    /* > 1: what the scale is multiplied by after growth_interval steps. */
    double growth_factor LUCID_DEFAULT(2);
    /* In (0, 1): what it is multiplied by after a step left out. */
    double backoff_factor LUCID_DEFAULT(0.5);
    int64_t growth_interval LUCID_DEFAULT(2000); /* >= 1 */
    /* False: scale, unscale_ and update do nothing, step is lucid_step. */
    bool enabled LUCID_DEFAULT(true);
} lucid_grad_scaler_options;
LUCID_DEFAULTS(lucid_grad_scaler, .init_scale = 65536, .growth_factor = 2, .backoff_factor = 0.5,
               .growth_interval = 2000, .enabled = true);

/* A new one, the caller's to lucid_grad_scaler_free. options NULL: the defaults. NULL on an
 * error. */
LUCID_API lucid_grad_scaler *lucid_grad_scaler_new(const lucid_grad_scaler_options *options);
LUCID_API void lucid_grad_scaler_free(lucid_grad_scaler *scaler);
/* optim_GradScaler();  optim_GradScaler(.init_scale = 1024, .enabled = dtype == LUCID_F16) */
#define optim_GradScaler(...) LUCID_CALL0(lucid_grad_scaler_new, lucid_grad_scaler, __VA_ARGS__)

/* loss times the scale, recorded for backward: any shape, floating. The scale lies on the loss's
 * device, so that a captured step reads the one of the moment. */
LUCID_API lucid_tensor *lucid_grad_scaler_scale(lucid_grad_scaler *scaler, lucid_tensor *loss);
/* Divides the gradients of the optimizer's parameters by the scale, in place, and notes whether one
 * is not finite: one kernel for all gradients of a device and dtype, and nothing waits for it. Call
 * it to see or clip gradients before the step; lucid_grad_scaler_step does it otherwise. Errors: a
 * second time before update, after step, float16 gradients. */
LUCID_API bool lucid_grad_scaler_unscale_(lucid_grad_scaler *scaler, lucid_optimizer *optimizer);
/* lucid_step(optimizer), unless a gradient is not finite. To know, it waits for the device: the one
 * time that it is waited for. True also where the step was left out; false after an error: a second
 * time before update, no gradient at all, a failure of the step. Refused while an error is
 * pending. */
LUCID_API bool lucid_grad_scaler_step(lucid_grad_scaler *scaler, lucid_optimizer *optimizer);
/* Was the last step of this optimizer left out? */
LUCID_API bool lucid_grad_scaler_skipped(const lucid_grad_scaler *scaler,
                                         const lucid_optimizer *optimizer);
/* Changes the scale by what the steps since the last update have found, once for all optimizers. An
 * error where nothing was unscaled since. */
LUCID_API bool lucid_grad_scaler_update(lucid_grad_scaler *scaler);

/* The scale of the moment, without waiting for a device; 1 where the scaler is not enabled, NAN on
 * an error. And setting it (finite, at least 2^-126). */
LUCID_API double lucid_grad_scaler_get_scale(const lucid_grad_scaler *scaler);
LUCID_API bool lucid_grad_scaler_set_scale(lucid_grad_scaler *scaler, double scale);
/* Steps in a row since the scale last changed. */
LUCID_API int64_t lucid_grad_scaler_growth_tracker(const lucid_grad_scaler *scaler);
LUCID_API bool lucid_grad_scaler_is_enabled(const lucid_grad_scaler *scaler);
/* The options it was made with, or has now; and changing growth_factor, backoff_factor and
 * growth_interval (init_scale and enabled must be those that it has). */
LUCID_API bool lucid_grad_scaler_get_options(const lucid_grad_scaler *scaler,
                                             lucid_grad_scaler_options *options);
LUCID_API bool lucid_grad_scaler_set_options(lucid_grad_scaler *scaler,
                                             const lucid_grad_scaler_options *options);

/* What training needs to go on: "scale", "growth_factor", "backoff_factor", "growth_interval" and
 * "_growth_tracker", 0-d on the CPU; nothing where the scaler is not enabled. The caller's to
 * lucid_state_dict_free. */
LUCID_API lucid_state_dict *lucid_grad_scaler_state_dict(const lucid_grad_scaler *scaler);
/* Takes such a state over; a scaler that is not enabled ignores it. Where it is refused, nothing
 * has changed. */
LUCID_API bool lucid_grad_scaler_load_state_dict(lucid_grad_scaler *scaler,
                                                 const lucid_state_dict *state);

LUCID_END_DECLS
#endif

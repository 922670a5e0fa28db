/* scheduler.h: learning rates that change during training.
 *
 *     lucid_scheduler *s = optim_OneCycleLR(opt, 0.1, steps, .pct_start = 0.25);
 *     ... after every lucid_step(opt): lucid_scheduler_step(s) ...
 *     lucid_scheduler_free(s);
 *
 * A group's initial rate is the one that it has when its first scheduler is made. It stays with the
 * group and in the optimizer's state, as PyTorch's "initial_lr". To resume, make the optimizer and
 * the scheduler, load the optimizer's state before or after that, and seek the step:
 *
 *     lucid_optimizer_load(opt, "net.optimizer");
 *     lucid_scheduler_seek(s, steps_done);
 *
 * A group that is added later is scheduled from the next step on, starting from the rate that it
 * has then (CosineAnnealingLR, while the curve rises: that rate is taken for the highest one;
 * OneCycleLR: its rates are those of all groups). If the program sets a rate itself, StepLR and
 * CosineAnnealingLR continue from it; a seek ignores it, so seek first and load afterwards. If a
 * rate would not be finite, or lucid_optim_set_options would refuse the options, a step or a seek
 * is an error and changes nothing.
 *
 * A scheduler does not own its optimizer: free it first. Formulas are PyTorch's. */
#ifndef LUCID_NN_OPTIM_SCHEDULER_H
#define LUCID_NN_OPTIM_SCHEDULER_H

#include "optimizer.h"

LUCID_BEGIN_DECLS

typedef struct lucid_scheduler lucid_scheduler;

typedef struct lucid_step_lr_options {
    LUCID_OPTIONS_SIZE(lucid_step_lr_options);
    double gamma LUCID_DEFAULT(0.1);
} lucid_step_lr_options;
LUCID_DEFAULTS(lucid_step_lr, .gamma = 0.1);
/* Multiplies the learning rates by gamma every step_size >= 1 steps. */
LUCID_API lucid_scheduler *lucid_optim_step_lr(lucid_optimizer *optimizer, int64_t step_size,
                                               const lucid_step_lr_options *options);

typedef struct lucid_cosine_lr_options {
    LUCID_OPTIONS_SIZE(lucid_cosine_lr_options);
    double eta_min LUCID_DEFAULT(0); /* the lowest learning rate */
} lucid_cosine_lr_options;
LUCID_DEFAULTS(lucid_cosine_lr, .eta_min = 0);
/* Lowers the learning rates along half a cosine from the current ones to eta_min in t_max >= 1
 * steps, and raises them to the initial rates in the next t_max steps: Loshchilov and Hutter, 2017,
 * without restarts. */
LUCID_API lucid_scheduler *lucid_optim_cosine_annealing_lr(lucid_optimizer *optimizer,
                                                           int64_t t_max,
                                                           const lucid_cosine_lr_options *options);

typedef struct lucid_one_cycle_lr_options {
    LUCID_OPTIONS_SIZE(lucid_one_cycle_lr_options);
    /* The part of the steps in which the rate rises, in [0, 1]. */
    double pct_start LUCID_DEFAULT(0.3);
    bool linear LUCID_DEFAULT(false); /* straight lines instead of cosines */
    bool cycle_momentum LUCID_DEFAULT(
        true); /* momentum (Adam: beta1) falls while the rate rises, and the reverse */
    double base_momentum LUCID_DEFAULT(0.85);   /* at the highest rate */
    double max_momentum LUCID_DEFAULT(0.95);    /* at the beginning and the end */
    double div_factor LUCID_DEFAULT(25);        /* the first rate is max_lr / div_factor */
    double final_div_factor LUCID_DEFAULT(1e4); /* the last is the first / final_div_factor */
    bool three_phase
        LUCID_DEFAULT(false); /* up, down in the same time, and then to the last rate */
} lucid_one_cycle_lr_options;
LUCID_DEFAULTS(lucid_one_cycle_lr, .pct_start = 0.3, .linear = false, .cycle_momentum = true,
               .base_momentum = 0.85, .max_momentum = 0.95, .div_factor = 25,
               .final_div_factor = 1e4, .three_phase = false);
/* Raises the rates to max_lr and lowers them again within total_steps (Smith and Topin, 2018).
 * Making it sets the rates (and momenta) of step 0. Stepping beyond total_steps is an error. */
LUCID_API lucid_scheduler *lucid_optim_one_cycle_lr(lucid_optimizer *optimizer, double max_lr,
                                                    int64_t total_steps,
                                                    const lucid_one_cycle_lr_options *options);

/* Advances one step and sets the optimizer's learning rates. While an error is pending it does
 * nothing and returns false. */
LUCID_API bool lucid_scheduler_step(lucid_scheduler *scheduler);
/* The first function returns the current step. The second goes to a step directly, to resume
 * training: the learning rates (and momenta) become those that follow from the initial rates, with
 * the same bits as after single steps. It takes the same short time for every step from 0 to
 * INT64_MAX. */
LUCID_API int64_t lucid_scheduler_position(const lucid_scheduler *scheduler);
LUCID_API bool lucid_scheduler_seek(lucid_scheduler *scheduler, int64_t position);
LUCID_API void lucid_scheduler_free(lucid_scheduler *scheduler);

/* optim_StepLR(opt, 10, .gamma = 0.5);  optim_CosineAnnealingLR(opt, 90) */
#define optim_StepLR(...) \
    LUCID_CALL2(lucid_optim_step_lr, lucid_step_lr, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define optim_CosineAnnealingLR(...)                                                      \
    LUCID_CALL2(lucid_optim_cosine_annealing_lr, lucid_cosine_lr, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)
/* optim_OneCycleLR(opt, max_lr, total_steps, .pct_start = 0.25) */
#define optim_OneCycleLR(...)                                                                     \
    LUCID_CALL3(lucid_optim_one_cycle_lr, lucid_one_cycle_lr, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)

LUCID_END_DECLS
#endif

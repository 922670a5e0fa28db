/* scheduler.h: learning rates that change during training.
 *
 *     lucid_scheduler *s = optim_OneCycleLR(opt, 0.1, steps, .pct_start = 0.25);
 *     ... after every lucid_step(opt): lucid_scheduler_step(s) ...
 *     lucid_scheduler_free(s);
 *
 * A step is what the program makes of it: a batch or an epoch. Making a scheduler sets the rates of
 * step 0. Several schedulers of one optimizer, stepped in turns, each change the rate that the
 * others have left, except those whose rate is a formula of the initial one alone (LambdaLR,
 * NoamLR, CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR, SequentialLR), which overwrite it.
 *
 * A group's initial rate is the one that it has when its first scheduler is made. It stays with the
 * group and in the optimizer's state, as PyTorch's "initial_lr". To resume, make the optimizer and
 * the scheduler as at first, and load the states of both, in any order. Or load the optimizer's
 * state and seek the step, which is enough where the program has set no rates itself:
 *
 *     lucid_optimizer_load(opt, "net.optimizer");
 *     lucid_scheduler_seek(s, steps_done);
 *
 * A group that is added later follows from the next step on: from the rate that it has then
 * (CosineAnnealingLR: while the curve rises, that is its highest rate; CyclicLR and OneCycleLR: as
 * all groups). A rate that the program sets itself is where the schedules that do not overwrite it
 * go on from; a seek does not know of it, so seek first and load then. Where a rate would not be
 * finite, or options would be refused by lucid_optim_set_options, a step or a seek is an error and
 * changes nothing.
 *
 * A scheduler does not own its optimizer: free it first. Formulas, defaults and names are
 * PyTorch's. Every function that makes a scheduler gives NULL after an error: a number out of its
 * range, or an optimizer that is NULL. Threads: one at a time for an optimizer and its
 * schedulers. */
#ifndef LUCID_NN_OPTIM_SCHEDULER_H
#define LUCID_NN_OPTIM_SCHEDULER_H

#include "optimizer.h"

LUCID_BEGIN_DECLS

typedef struct lucid_scheduler lucid_scheduler;

/* ---- lists ----------------------------------------------------------------------------------- */

/* Steps at which something happens, in order; (30, 80) or 30 in the macros below. */
#define LUCID_MAX_MILESTONES 32
typedef struct lucid_milestones {
    size_t count;
    int64_t at[LUCID_MAX_MILESTONES];
} lucid_milestones;

/* Schedulers that another one is made of; (a, b) in the macros below. */
#define LUCID_MAX_SCHEDULERS 16
typedef struct lucid_schedulers {
    size_t count;
    lucid_scheduler *of[LUCID_MAX_SCHEDULERS];
} lucid_schedulers;

/* ---- factors of the initial rate ------------------------------------------------------------- */

typedef struct lucid_step_lr_options {
    LUCID_OPTIONS_SIZE(lucid_step_lr_options);
    double gamma LUCID_DEFAULT(0.1); /* >= 0 */
} lucid_step_lr_options;
LUCID_DEFAULTS(lucid_step_lr, .gamma = 0.1);
/* Multiplies the learning rates by gamma every step_size >= 1 steps. */
LUCID_API lucid_scheduler *lucid_optim_step_lr(lucid_optimizer *optimizer, int64_t step_size,
                                               const lucid_step_lr_options *options);

typedef struct lucid_multi_step_lr_options {
    LUCID_OPTIONS_SIZE(lucid_multi_step_lr_options);
    double gamma LUCID_DEFAULT(0.1); /* >= 0 */
} lucid_multi_step_lr_options;
LUCID_DEFAULTS(lucid_multi_step_lr, .gamma = 0.1);
/* Multiplies the learning rates by gamma at each of the milestones, which are steps >= 0 in order.
 * One that is there twice counts twice. */
LUCID_API lucid_scheduler *lucid_optim_multi_step_lr(lucid_optimizer *optimizer,
                                                     lucid_milestones milestones,
                                                     const lucid_multi_step_lr_options *options);

/* Multiplies the learning rates by gamma >= 0 at every step. */
LUCID_API lucid_scheduler *lucid_optim_exponential_lr(lucid_optimizer *optimizer, double gamma);

typedef struct lucid_linear_lr_options {
    LUCID_OPTIONS_SIZE(lucid_linear_lr_options);
    double start_factor LUCID_DEFAULT(1.0 / 3); /* in (0, 1] */
    double end_factor LUCID_DEFAULT(1.0);       /* in [0, 1] */
    int64_t total_iters LUCID_DEFAULT(5);       /* the step with end_factor, >= 1 */
} lucid_linear_lr_options;
LUCID_DEFAULTS(lucid_linear_lr, .start_factor = 1.0 / 3, .end_factor = 1.0, .total_iters = 5);
/* A straight line from start_factor times the initial rate to end_factor times it: a warm-up. */
LUCID_API lucid_scheduler *lucid_optim_linear_lr(lucid_optimizer *optimizer,
                                                 const lucid_linear_lr_options *options);

typedef struct lucid_constant_lr_options {
    LUCID_OPTIONS_SIZE(lucid_constant_lr_options);
    double factor LUCID_DEFAULT(1.0 / 3); /* in [0, 1] */
    int64_t total_iters LUCID_DEFAULT(5); /* the first step without it, >= 0 */
} lucid_constant_lr_options;
LUCID_DEFAULTS(lucid_constant_lr, .factor = 1.0 / 3, .total_iters = 5);
/* The initial rate times factor, and from the step total_iters on without it. */
LUCID_API lucid_scheduler *lucid_optim_constant_lr(lucid_optimizer *optimizer,
                                                   const lucid_constant_lr_options *options);

typedef struct lucid_polynomial_lr_options {
    LUCID_OPTIONS_SIZE(lucid_polynomial_lr_options);
    int64_t total_iters LUCID_DEFAULT(5); /* the first step with rate 0, >= 1 */
    double power LUCID_DEFAULT(1.0);      /* >= 0 */
} lucid_polynomial_lr_options;
LUCID_DEFAULTS(lucid_polynomial_lr, .total_iters = 5, .power = 1.0);
/* The initial rate times (1 - step / total_iters)^power. */
LUCID_API lucid_scheduler *lucid_optim_polynomial_lr(lucid_optimizer *optimizer,
                                                     const lucid_polynomial_lr_options *options);

/* A factor for a step >= 0 and a group of the optimizer (PyTorch takes a list of functions). It
 * must give the same number whenever it is asked for the same step; an error that it raises ends
 * the step, the seek or the making. */
typedef double (*lucid_lr_lambda)(int64_t step, size_t group, void *user);
typedef struct lucid_lambda_lr_options {
    LUCID_OPTIONS_SIZE(lucid_lambda_lr_options);
    void *user LUCID_DEFAULT(NULL); /* handed to the function; must outlive the scheduler */
} lucid_lambda_lr_options;
LUCID_DEFAULTS(lucid_lambda_lr, .user = NULL);
/* The initial rate times lambda(step). */
LUCID_API lucid_scheduler *lucid_optim_lambda_lr(lucid_optimizer *optimizer, lucid_lr_lambda lambda,
                                                 const lucid_lambda_lr_options *options);
/* Multiplies the rates by lambda(step) at every step >= 1. A seek calls lambda once for each step
 * on the way. */
LUCID_API lucid_scheduler *lucid_optim_multiplicative_lr(lucid_optimizer *optimizer,
                                                         lucid_lr_lambda lambda,
                                                         const lucid_lambda_lr_options *options);

/* The initial rate times d_model^-0.5 min(n^-0.5, n warmup_steps^-1.5), n = step + 1: rises for
 * warmup_steps >= 1 steps and falls then (Vaswani et al., 2017). PyTorch has none. */
LUCID_API lucid_scheduler *lucid_optim_noam_lr(lucid_optimizer *optimizer, int64_t d_model,
                                               int64_t warmup_steps);

/* ---- curves ---------------------------------------------------------------------------------- */

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

typedef struct lucid_warm_restarts_lr_options {
    LUCID_OPTIONS_SIZE(lucid_warm_restarts_lr_options);
    int64_t t_mult LUCID_DEFAULT(1); /* each cycle is this much longer than the one before, >= 1 */
    double eta_min LUCID_DEFAULT(0); /* the lowest learning rate */
} lucid_warm_restarts_lr_options;
LUCID_DEFAULTS(lucid_warm_restarts_lr, .t_mult = 1, .eta_min = 0);
/* Half a cosine from the initial rates down towards eta_min, and again from the top: the first time
 * for t_0 >= 1 steps (Loshchilov and Hutter, 2017). */
LUCID_API lucid_scheduler *lucid_optim_cosine_annealing_warm_restarts(
    lucid_optimizer *optimizer, int64_t t_0, const lucid_warm_restarts_lr_options *options);

typedef enum lucid_cycle_mode {
    LUCID_TRIANGULAR,  /* every cycle as high as the first */
    LUCID_TRIANGULAR2, /* each half as high as the one before */
    LUCID_EXP_RANGE,   /* gamma^step times as high */
} lucid_cycle_mode;
typedef struct lucid_cyclic_lr_options {
    LUCID_OPTIONS_SIZE(lucid_cyclic_lr_options);
    int64_t step_size_up LUCID_DEFAULT(2000); /* steps in which the rate rises, >= 1 */
    int64_t step_size_down LUCID_DEFAULT(0);  /* in which it falls; 0: as step_size_up */
    lucid_cycle_mode mode LUCID_DEFAULT(LUCID_TRIANGULAR);
    double gamma LUCID_DEFAULT(1.0); /* of LUCID_EXP_RANGE */
    /* In place of mode: how high, for the number of the cycle (from 1), or (scale_by_step) for the
     * step. */
    double (*scale_fn)(double x, void *user) LUCID_DEFAULT(NULL);
    void *user LUCID_DEFAULT(NULL);
    bool scale_by_step LUCID_DEFAULT(false);
    bool cycle_momentum LUCID_DEFAULT(true); /* momentum (Adam: beta1) falls while the rate rises */
    double base_momentum LUCID_DEFAULT(0.8); /* at the highest rate */
    double max_momentum LUCID_DEFAULT(0.9);  /* at base_lr */
} lucid_cyclic_lr_options;
LUCID_DEFAULTS(lucid_cyclic_lr, .step_size_up = 2000, .step_size_down = 0, .mode = LUCID_TRIANGULAR,
               .gamma = 1.0, .scale_fn = NULL, .user = NULL, .scale_by_step = false,
               .cycle_momentum = true, .base_momentum = 0.8, .max_momentum = 0.9);
/* Raises the rate from base_lr to max_lr and lowers it again, in straight lines, without end
 * (Smith, 2017). The same
 * rates for all groups. Refused for an optimizer that has neither momentum nor beta1, unless
 * cycle_momentum is false. */
LUCID_API lucid_scheduler *lucid_optim_cyclic_lr(lucid_optimizer *optimizer, double base_lr,
                                                 double max_lr,
                                                 const lucid_cyclic_lr_options *options);

typedef struct lucid_one_cycle_lr_options {
    LUCID_OPTIONS_SIZE(lucid_one_cycle_lr_options);
    /* The part of the steps in which the rate rises, in [0, 1]. */
    double pct_start LUCID_DEFAULT(0.3);
    bool linear LUCID_DEFAULT(false);        /* straight lines instead of cosines */
    bool cycle_momentum LUCID_DEFAULT(true); /* momentum (Adam: beta1) falls while the rate rises */
    double base_momentum LUCID_DEFAULT(0.85);   /* at the highest rate */
    double max_momentum LUCID_DEFAULT(0.95);    /* at the beginning and the end */
    double div_factor LUCID_DEFAULT(25);        /* the first rate is max_lr / div_factor */
    double final_div_factor LUCID_DEFAULT(1e4); /* the last is the first / final_div_factor */
    bool three_phase LUCID_DEFAULT(false);      /* up, down in equal time, then to the last rate */
} lucid_one_cycle_lr_options;
LUCID_DEFAULTS(lucid_one_cycle_lr, .pct_start = 0.3, .linear = false, .cycle_momentum = true,
               .base_momentum = 0.85, .max_momentum = 0.95, .div_factor = 25,
               .final_div_factor = 1e4, .three_phase = false);
/* Raises the rates to max_lr and lowers them again within total_steps (Smith and Topin, 2018).
 * Making it sets the rates (and momenta) of step 0. Stepping beyond total_steps is an error. */
LUCID_API lucid_scheduler *lucid_optim_one_cycle_lr(lucid_optimizer *optimizer, double max_lr,
                                                    int64_t total_steps,
                                                    const lucid_one_cycle_lr_options *options);

/* ---- schedules of schedules ------------------------------------------------------------------ */

/* One schedule after the other: scheduler i + 1 begins at milestone i with its own step 0, from the
 * initial rates. One milestone less than schedulers, each >= 1 and in order.
 *
 *     optim_SequentialLR(opt, (optim_LinearLR(opt), optim_CosineAnnealingLR(opt, 85)), 5)
 *
 * The schedulers become the new one's, and are freed where it is refused: they must not be stepped
 * or freed. ReduceLROnPlateau cannot be one of them. */
LUCID_API lucid_scheduler *lucid_optim_sequential_lr(lucid_optimizer *optimizer,
                                                     lucid_schedulers schedulers,
                                                     lucid_milestones milestones);
/* All of them at every step, each changing the rate that the one before has left; they become the
 * new one's as above. A seek goes through all steps on the way. */
LUCID_API lucid_scheduler *lucid_optim_chained_scheduler(lucid_optimizer *optimizer,
                                                         lucid_schedulers schedulers);

typedef struct lucid_reduce_lr_on_plateau_options {
    LUCID_OPTIONS_SIZE(lucid_reduce_lr_on_plateau_options);
    bool maximize LUCID_DEFAULT(false);   /* larger is better (PyTorch: mode = "max") */
    double factor LUCID_DEFAULT(0.1);     /* in [0, 1) */
    int64_t patience LUCID_DEFAULT(10);   /* bad steps that are allowed, >= 0 */
    double threshold LUCID_DEFAULT(1e-4); /* better by less than this is no better */
    bool absolute LUCID_DEFAULT(false);   /* threshold is a difference, not a part of the best */
    int64_t cooldown LUCID_DEFAULT(0);    /* steps that do not count after a reduction, >= 0 */
    double min_lr LUCID_DEFAULT(0);       /* the lowest rate */
    const double *min_lrs LUCID_DEFAULT(NULL); /* one for each group instead; copied */
    size_t n_min_lrs LUCID_DEFAULT(0);
    double eps LUCID_DEFAULT(1e-8); /* a rate that would fall by less stays */
} lucid_reduce_lr_on_plateau_options;
LUCID_DEFAULTS(lucid_reduce_lr_on_plateau, .maximize = false, .factor = 0.1, .patience = 10,
               .threshold = 1e-4, .absolute = false, .cooldown = 0, .min_lr = 0, .min_lrs = NULL,
               .n_min_lrs = 0, .eps = 1e-8);
/* Multiplies the rates by factor when what lucid_scheduler_step_metric is given has got no better
 * for more than patience steps. NaN is bad. It has no seek: load its state. */
LUCID_API lucid_scheduler *lucid_optim_reduce_lr_on_plateau(
    lucid_optimizer *optimizer, const lucid_reduce_lr_on_plateau_options *options);

/* ---- stepping -------------------------------------------------------------------------------- */

/* Advances one step and sets the optimizer's learning rates. While an error is pending it does
 * nothing and returns false. */
LUCID_API bool lucid_scheduler_step(lucid_scheduler *scheduler);
/* The same with what was measured (a loss of the validation set), which ReduceLROnPlateau needs and
 * the others do not look at. */
LUCID_API bool lucid_scheduler_step_metric(lucid_scheduler *scheduler, double metric);
/* The steps gone so far; and going to a step at once, as when training is resumed: the learning
 * rates (and momenta) become those that the initial rates have there, to the bit. Takes the same
 * short time for every step from 0 to INT64_MAX, except in MultiplicativeLR and ChainedScheduler,
 * which go through the steps before it. */
LUCID_API int64_t lucid_scheduler_position(const lucid_scheduler *scheduler);
LUCID_API bool lucid_scheduler_seek(lucid_scheduler *scheduler, int64_t position);
/* NULL does nothing. */
LUCID_API void lucid_scheduler_free(lucid_scheduler *scheduler);

/* Where the scheduler is: "last_epoch", "base_lrs", "_last_lr" (as in PyTorch), and what the rates
 * are counted from; of ReduceLROnPlateau "best", "num_bad_epochs" and "cooldown_counter". The rates
 * themselves are in the optimizer's state. The caller's to lucid_state_dict_free. */
LUCID_API lucid_state_dict *lucid_scheduler_state_dict(const lucid_scheduler *scheduler);
/* Takes such a state over into a scheduler that was made with the same arguments, of an optimizer
 * with as many groups. Where it is refused (another kind, another number of groups, numbers that
 * cannot be), nothing has changed. */
LUCID_API bool lucid_scheduler_load_state_dict(lucid_scheduler *scheduler,
                                               const lucid_state_dict *state);

/* ---- macros ---------------------------------------------------------------------------------- */

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
/* optim_MultiStepLR(opt, (30, 80), .gamma = 0.1) */
#define optim_MultiStepLR(...)                                                                 \
    LUCID_CALL2(lucid_optim_multi_step_lr, lucid_multi_step_lr, LUCID_ASIS, LUC_MILESTONES_OF, \
                __VA_ARGS__)
#define optim_ExponentialLR(opt, gamma) lucid_optim_exponential_lr(opt, gamma)
/* optim_LinearLR(opt, .total_iters = 500);  optim_PolynomialLR(opt, .power = 2) */
#define optim_LinearLR(...) \
    LUCID_CALL1(lucid_optim_linear_lr, lucid_linear_lr, LUCID_ASIS, __VA_ARGS__)
#define optim_ConstantLR(...) \
    LUCID_CALL1(lucid_optim_constant_lr, lucid_constant_lr, LUCID_ASIS, __VA_ARGS__)
#define optim_PolynomialLR(...) \
    LUCID_CALL1(lucid_optim_polynomial_lr, lucid_polynomial_lr, LUCID_ASIS, __VA_ARGS__)
/* optim_LambdaLR(opt, factor_of_step, .user = &settings) */
#define optim_LambdaLR(...) \
    LUCID_CALL2(lucid_optim_lambda_lr, lucid_lambda_lr, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define optim_MultiplicativeLR(...) \
    LUCID_CALL2(lucid_optim_multiplicative_lr, lucid_lambda_lr, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define optim_NoamLR(opt, d_model, warmup_steps) lucid_optim_noam_lr(opt, d_model, warmup_steps)
/* optim_CosineAnnealingWarmRestarts(opt, 10, .t_mult = 2);  optim_CyclicLR(opt, 1e-3, 0.1) */
#define optim_CosineAnnealingWarmRestarts(...)                                                  \
    LUCID_CALL2(lucid_optim_cosine_annealing_warm_restarts, lucid_warm_restarts_lr, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)
#define optim_CyclicLR(...)                                                                 \
    LUCID_CALL3(lucid_optim_cyclic_lr, lucid_cyclic_lr, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)
/* optim_SequentialLR(opt, (warm_up, cosine), 5);  optim_ChainedScheduler(opt, (a, b)) */
#define optim_SequentialLR(opt, schedulers, milestones) \
    lucid_optim_sequential_lr(opt, LUC_SCHEDULERS_OF(schedulers), LUC_MILESTONES_OF(milestones))
#define optim_ChainedScheduler(opt, schedulers) \
    lucid_optim_chained_scheduler(opt, LUC_SCHEDULERS_OF(schedulers))
/* optim_ReduceLROnPlateau(opt, .patience = 3) */
#define optim_ReduceLROnPlateau(...)                                                      \
    LUCID_CALL1(lucid_optim_reduce_lr_on_plateau, lucid_reduce_lr_on_plateau, LUCID_ASIS, \
                __VA_ARGS__)

#define LUC_MILESTONES_OF(x)   LUCID_CAT(LUC_MILESTONES_OF_, LUC_IS_PAREN(x))(x)
#define LUC_MILESTONES_OF_0(x) LUC_MILESTONES(x)
#define LUC_MILESTONES_OF_1(x) LUC_MILESTONES x
#define LUC_SCHEDULERS_OF(x)   LUCID_CAT(LUC_SCHEDULERS_OF_, LUC_IS_PAREN(x))(x)
#define LUC_SCHEDULERS_OF_0(x) LUC_SCHEDULERS(x)
#define LUC_SCHEDULERS_OF_1(x) LUC_SCHEDULERS x
#ifdef __cplusplus
#define LUC_MILESTONES(...) (lucid_milestones{LUC_COUNT(__VA_ARGS__), {__VA_ARGS__}})
#define LUC_SCHEDULERS(...) (lucid_schedulers{LUC_COUNT(__VA_ARGS__), {__VA_ARGS__}})
#else
#define LUC_MILESTONES(...) ((lucid_milestones){LUC_COUNT(__VA_ARGS__), {__VA_ARGS__}})
#define LUC_SCHEDULERS(...) ((lucid_schedulers){LUC_COUNT(__VA_ARGS__), {__VA_ARGS__}})
#endif

LUCID_END_DECLS
#endif

/* algorithms.h: the optimizers beside SGD, Adam, AdamW and Adadelta (optimizer.h).
 *
 *     lucid_optimizer *opt = optim_RMSprop(net, .lr = 1e-3, .momentum = 0.9);
 *
 * Formulas, defaults and names of states are PyTorch's; LARS, LAMB and Lookahead, which PyTorch
 * does not have, are their papers'. Each function makes an optimizer of all parameters of a module,
 * the caller's to lucid_optimizer_free; NULL after an error: a NULL module, one without parameters,
 * or a number out of its range. g is the gradient (its negative with maximize) plus weight_decay p,
 * t the step from 1 on. Float16 and bfloat16 parameters are computed with in float32, and their
 * states are kept in the parameter's dtype. These optimizers are made of operators: lucid_capture
 * does not take their steps yet. There is no SparseAdam, because lucid has no sparse tensors.
 * Threads: one at a time. */
#ifndef LUCID_NN_OPTIM_ALGORITHMS_H
#define LUCID_NN_OPTIM_ALGORITHMS_H

#include "optimizer.h"

LUCID_BEGIN_DECLS

/* ---- scaled by the size of gradients --------------------------------------------------------- */

typedef struct lucid_rmsprop_options {
    LUCID_OPTIONS_SIZE(lucid_rmsprop_options);
    double lr LUCID_DEFAULT(1e-2);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double alpha LUCID_DEFAULT(0.99); /* decay of the average of squares, >= 0 */
    double eps LUCID_DEFAULT(1e-8);
    double momentum LUCID_DEFAULT(0);
    bool centered LUCID_DEFAULT(false); /* divide by the deviation instead of the size */
} lucid_rmsprop_options;
LUCID_DEFAULTS(lucid_rmsprop, .lr = 1e-2, .weight_decay = 0, .maximize = false, .alpha = 0.99,
               .eps = 1e-8, .momentum = 0, .centered = false);
/* RMSprop (Hinton, 2012; centered: Graves, 2013):
 *     v <- alpha v + (1 - alpha) g^2;  centered: a <- alpha a + (1 - alpha) g
 *     d = g / (sqrt(v - a^2) + eps);  with momentum: b <- momentum b + d, and b in place of d
 *     p <- p - lr d
 * State: square_avg, momentum_buffer, grad_avg. */
LUCID_API lucid_optimizer *lucid_optim_rmsprop(lucid_module *module,
                                               const lucid_rmsprop_options *options);

typedef struct lucid_adagrad_options {
    LUCID_OPTIONS_SIZE(lucid_adagrad_options);
    double lr LUCID_DEFAULT(1e-2);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double lr_decay LUCID_DEFAULT(0);                  /* >= 0 */
    double initial_accumulator_value LUCID_DEFAULT(0); /* >= 0 */
    double eps LUCID_DEFAULT(1e-10);
} lucid_adagrad_options;
LUCID_DEFAULTS(lucid_adagrad, .lr = 1e-2, .weight_decay = 0, .maximize = false, .lr_decay = 0,
               .initial_accumulator_value = 0, .eps = 1e-10);
/* Adagrad (Duchi et al., 2011):
 *     s <- s + g^2;  p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
 * State: sum. */
LUCID_API lucid_optimizer *lucid_optim_adagrad(lucid_module *module,
                                               const lucid_adagrad_options *options);

typedef struct lucid_adamax_options {
    LUCID_OPTIONS_SIZE(lucid_adamax_options);
    double lr LUCID_DEFAULT(2e-3);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double beta1 LUCID_DEFAULT(0.9), beta2 LUCID_DEFAULT(0.999); /* in [0, 1) */
    double eps LUCID_DEFAULT(1e-8);
} lucid_adamax_options;
LUCID_DEFAULTS(lucid_adamax, .lr = 2e-3, .weight_decay = 0, .maximize = false, .beta1 = 0.9,
               .beta2 = 0.999, .eps = 1e-8);
/* Adamax (Kingma and Ba, 2015):
 *     m <- beta1 m + (1 - beta1) g;  u <- max(beta2 u, |g| + eps)
 *     p <- p - lr / (1 - beta1^t) m / u
 * State: exp_avg, exp_inf. */
LUCID_API lucid_optimizer *lucid_optim_adamax(lucid_module *module,
                                              const lucid_adamax_options *options);

typedef struct lucid_nadam_options {
    LUCID_OPTIONS_SIZE(lucid_nadam_options);
    double lr LUCID_DEFAULT(2e-3);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double beta1 LUCID_DEFAULT(0.9), beta2 LUCID_DEFAULT(0.999); /* in [0, 1) */
    double eps LUCID_DEFAULT(1e-8);
    double momentum_decay LUCID_DEFAULT(4e-3);        /* >= 0 */
    bool decoupled_weight_decay LUCID_DEFAULT(false); /* p *= 1 - lr weight_decay instead */
} lucid_nadam_options;
LUCID_DEFAULTS(lucid_nadam, .lr = 2e-3, .weight_decay = 0, .maximize = false, .beta1 = 0.9,
               .beta2 = 0.999, .eps = 1e-8, .momentum_decay = 4e-3,
               .decoupled_weight_decay = false);
/* NAdam (Dozat, 2016), with m and v as Adam's:
 *     mu(t) = beta1 (1 - 0.96^(t momentum_decay) / 2);  M <- M mu(t)
 *     d = sqrt(v / (1 - beta2^t)) + eps
 *     p <- p - lr (1 - mu(t)) / (1 - M) g / d - lr mu(t + 1) / (1 - M mu(t + 1)) m / d
 * State: mu_product (M), exp_avg, exp_avg_sq. */
LUCID_API lucid_optimizer *lucid_optim_nadam(lucid_module *module,
                                             const lucid_nadam_options *options);

typedef struct lucid_radam_options {
    LUCID_OPTIONS_SIZE(lucid_radam_options);
    double lr LUCID_DEFAULT(1e-3);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double beta1 LUCID_DEFAULT(0.9), beta2 LUCID_DEFAULT(0.999); /* in [0, 1) */
    double eps LUCID_DEFAULT(1e-8);
    bool decoupled_weight_decay LUCID_DEFAULT(false); /* p *= 1 - lr weight_decay instead */
} lucid_radam_options;
LUCID_DEFAULTS(lucid_radam, .lr = 1e-3, .weight_decay = 0, .maximize = false, .beta1 = 0.9,
               .beta2 = 0.999, .eps = 1e-8, .decoupled_weight_decay = false);
/* RAdam (Liu et al., 2020): Adam whose step is scaled by how well v is known, and which does not
 * divide by it in the first steps. State: exp_avg, exp_avg_sq. */
LUCID_API lucid_optimizer *lucid_optim_radam(lucid_module *module,
                                             const lucid_radam_options *options);

typedef struct lucid_lamb_options {
    LUCID_OPTIONS_SIZE(lucid_lamb_options);
    double lr LUCID_DEFAULT(1e-3);
    double weight_decay LUCID_DEFAULT(1e-2);
    bool maximize LUCID_DEFAULT(false);
    double beta1 LUCID_DEFAULT(0.9), beta2 LUCID_DEFAULT(0.999); /* in [0, 1) */
    double eps LUCID_DEFAULT(1e-6);
} lucid_lamb_options;
LUCID_DEFAULTS(lucid_lamb, .lr = 1e-3, .weight_decay = 1e-2, .maximize = false, .beta1 = 0.9,
               .beta2 = 0.999, .eps = 1e-6);
/* LAMB (You et al., 2020), with m and v as Adam's, of the gradient alone:
 *     r = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay p
 *     p <- p - lr |p| / |r| r      (the ratio is 1 where one of the norms is 0)
 * State: exp_avg, exp_avg_sq. */
LUCID_API lucid_optimizer *lucid_optim_lamb(lucid_module *module,
                                            const lucid_lamb_options *options);

typedef struct lucid_lars_options {
    LUCID_OPTIONS_SIZE(lucid_lars_options);
    double lr LUCID_DEFAULT(1.0);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double momentum LUCID_DEFAULT(0.9), dampening LUCID_DEFAULT(0);
    bool nesterov LUCID_DEFAULT(false);
    double trust_coefficient LUCID_DEFAULT(1e-3); /* >= 0 */
    double eps LUCID_DEFAULT(1e-8);
} lucid_lars_options;
LUCID_DEFAULTS(lucid_lars, .lr = 1.0, .weight_decay = 0, .maximize = false, .momentum = 0.9,
               .dampening = 0, .nesterov = false, .trust_coefficient = 1e-3, .eps = 1e-8);
/* LARS (You et al., 2017): SGD with momentum of the gradient g = (gradient + weight_decay p) times
 * trust_coefficient |p| / (|gradient| + weight_decay |p| + eps) (1 where a norm is 0).
 * State: momentum_buffer. */
LUCID_API lucid_optimizer *lucid_optim_lars(lucid_module *module,
                                            const lucid_lars_options *options);

/* ---- others ---------------------------------------------------------------------------------- */

typedef struct lucid_asgd_options {
    LUCID_OPTIONS_SIZE(lucid_asgd_options);
    double lr LUCID_DEFAULT(1e-2);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double lambd LUCID_DEFAULT(1e-4); /* >= 0 */
    double alpha LUCID_DEFAULT(0.75); /* power of the falling rate, >= 0 */
    double t0 LUCID_DEFAULT(1e6);     /* the step from which on it averages, >= 0 */
} lucid_asgd_options;
LUCID_DEFAULTS(lucid_asgd, .lr = 1e-2, .weight_decay = 0, .maximize = false, .lambd = 1e-4,
               .alpha = 0.75, .t0 = 1e6);
/* Averaged SGD (Polyak and Juditsky, 1992), with eta = lr and mu = 1 at first:
 *     p <- p (1 - lambd eta) - eta g;  ax <- ax + mu (p - ax)
 *     eta <- lr / (1 + lambd lr t)^alpha;  mu <- 1 / max(1, t - t0)
 * State: ax (the averaged parameters), eta, mu. */
LUCID_API lucid_optimizer *lucid_optim_asgd(lucid_module *module,
                                            const lucid_asgd_options *options);

typedef struct lucid_rprop_options {
    LUCID_OPTIONS_SIZE(lucid_rprop_options);
    double lr LUCID_DEFAULT(1e-2); /* the first step's size */
    bool maximize LUCID_DEFAULT(false);
    double eta_minus LUCID_DEFAULT(0.5);                             /* in (0, 1) */
    double eta_plus LUCID_DEFAULT(1.2);                              /* > 1 */
    double step_min LUCID_DEFAULT(1e-6), step_max LUCID_DEFAULT(50); /* >= 0 */
} lucid_rprop_options;
LUCID_DEFAULTS(lucid_rprop, .lr = 1e-2, .maximize = false, .eta_minus = 0.5, .eta_plus = 1.2,
               .step_min = 1e-6, .step_max = 50);
/* Rprop (Riedmiller and Braun, 1993), for gradients of all data at once: each element has a step
 * size of its own, which grows by eta_plus while its gradient keeps its sign, and falls by
 * eta_minus, and the step is left out, where it changes. State: prev, step_size. */
LUCID_API lucid_optimizer *lucid_optim_rprop(lucid_module *module,
                                             const lucid_rprop_options *options);

/* eps1 = LUCID_EPS_OF_DTYPE: the distance from 1 to the next number of the parameter's dtype. */
#define LUCID_EPS_OF_DTYPE (-1.0)
typedef struct lucid_adafactor_options {
    LUCID_OPTIONS_SIZE(lucid_adafactor_options);
    double lr LUCID_DEFAULT(1e-2);
    double weight_decay LUCID_DEFAULT(0); /* p *= 1 - lr weight_decay */
    bool maximize LUCID_DEFAULT(false);
    double beta2_decay LUCID_DEFAULT(-0.8); /* <= 0 */
    double eps1 LUCID_DEFAULT(LUCID_EPS_OF_DTYPE), eps2 LUCID_DEFAULT(1e-3);
    double d LUCID_DEFAULT(1.0); /* the largest root mean square of a step, >= 1 */
} lucid_adafactor_options;
LUCID_DEFAULTS(lucid_adafactor, .lr = 1e-2, .weight_decay = 0, .maximize = false,
               .beta2_decay = -0.8, .eps1 = LUCID_EPS_OF_DTYPE, .eps2 = 1e-3, .d = 1.0);
/* Adafactor (Shazeer and Stern, 2018), without momentum: the squares of a parameter of two or more
 * dimensions are kept as averages of its rows and columns. State: row_var and col_var, or
 * variance. */
LUCID_API lucid_optimizer *lucid_optim_adafactor(lucid_module *module,
                                                 const lucid_adafactor_options *options);

typedef enum lucid_muon_adjust {
    LUCID_MUON_ORIGINAL,           /* lr sqrt(max(1, rows / columns)) */
    LUCID_MUON_MATCH_RMS_ADAMW,    /* lr 0.2 sqrt(max(rows, columns)) */
    LUCID_MUON_SPECTRAL_UNCLAMPED, /* lr sqrt(rows / columns) */
} lucid_muon_adjust;
typedef struct lucid_muon_options {
    LUCID_OPTIONS_SIZE(lucid_muon_options);
    double lr LUCID_DEFAULT(1e-3);
    double weight_decay LUCID_DEFAULT(0.1); /* p *= 1 - lr weight_decay */
    double momentum LUCID_DEFAULT(0.95);
    bool nesterov LUCID_DEFAULT(true);
    double eps LUCID_DEFAULT(1e-7);
    double ns_a LUCID_DEFAULT(3.4445), ns_b LUCID_DEFAULT(-4.775), ns_c LUCID_DEFAULT(2.0315);
    int64_t ns_steps LUCID_DEFAULT(5); /* in [1, 99] */
    lucid_muon_adjust adjust_lr LUCID_DEFAULT(LUCID_MUON_ORIGINAL);
} lucid_muon_options;
LUCID_DEFAULTS(lucid_muon, .lr = 1e-3, .weight_decay = 0.1, .momentum = 0.95, .nesterov = true,
               .eps = 1e-7, .ns_a = 3.4445, .ns_b = -4.775, .ns_c = 2.0315, .ns_steps = 5,
               .adjust_lr = LUCID_MUON_ORIGINAL);
/* Muon (Jordan et al., 2024): steps along an orthogonal matrix near the momentum, found by ns_steps
 * of a Newton-Schulz iteration. For parameters of two dimensions only: others are refused, so make
 * one with lucid_optim_new("Muon", NULL) and give it the matrices with lucid_optim_add_matching.
 * The iteration runs in the parameter's dtype, in float32 at least (PyTorch's runs in bfloat16).
 * State: momentum_buffer. */
LUCID_API lucid_optimizer *lucid_optim_muon(lucid_module *module,
                                            const lucid_muon_options *options);

/* ---- with a closure -------------------------------------------------------------------------- */

typedef struct lucid_lbfgs_options {
    LUCID_OPTIONS_SIZE(lucid_lbfgs_options);
    double lr LUCID_DEFAULT(1.0);
    bool maximize LUCID_DEFAULT(false);
    int64_t max_iter LUCID_DEFAULT(20); /* in one lucid_step_closure, >= 1 */
    int64_t max_eval LUCID_DEFAULT(0);  /* calls of the closure in it; 0: max_iter * 5 / 4 */
    double tolerance_grad LUCID_DEFAULT(1e-7);
    double tolerance_change LUCID_DEFAULT(1e-9);
    int64_t history_size LUCID_DEFAULT(100); /* >= 1 */
    bool strong_wolfe LUCID_DEFAULT(false);  /* search along the line (line_search_fn) */
} lucid_lbfgs_options;
LUCID_DEFAULTS(lucid_lbfgs, .lr = 1.0, .maximize = false, .max_iter = 20, .max_eval = 0,
               .tolerance_grad = 1e-7, .tolerance_change = 1e-9, .history_size = 100,
               .strong_wolfe = false);
/* L-BFGS (Nocedal, 1980; the line search of Nocedal and Wright, 2006, as in minFunc). Needs
 * lucid_step_closure, for it computes the loss several times in a step. One group; all parameters
 * on one device and of one dtype. It keeps 2 history_size + 3 vectors as long as all parameters.
 * State: that of parameter 0, with old_dirs and old_stps as matrices [kept,numel]. */
LUCID_API lucid_optimizer *lucid_optim_lbfgs(lucid_module *module,
                                             const lucid_lbfgs_options *options);

/* ---- Lookahead ------------------------------------------------------------------------------- */

typedef struct lucid_lookahead_options {
    LUCID_OPTIONS_SIZE(lucid_lookahead_options);
    int64_t k LUCID_DEFAULT(5);      /* >= 1 */
    double alpha LUCID_DEFAULT(0.5); /* in [0, 1] */
} lucid_lookahead_options;
LUCID_DEFAULTS(lucid_lookahead, .k = 5, .alpha = 0.5);
/* Makes any optimizer but LBFGS one with slow parameters (Zhang et al., 2019): after every k steps
 * of a parameter, slow <- slow + alpha (p - slow) and p <- slow. The slow ones begin as the
 * parameters at their first step from now on, and are in the optimizer's state ("slow"); k and
 * alpha are not: give them again before the state is loaded. */
LUCID_API bool lucid_optim_lookahead(lucid_optimizer *optimizer,
                                     const lucid_lookahead_options *options);

/* ---- macros ---------------------------------------------------------------------------------- */

#define optim_RMSprop(...) LUCID_CALL1(lucid_optim_rmsprop, lucid_rmsprop, LUCID_ASIS, __VA_ARGS__)
#define optim_Adagrad(...) LUCID_CALL1(lucid_optim_adagrad, lucid_adagrad, LUCID_ASIS, __VA_ARGS__)
#define optim_Adamax(...)  LUCID_CALL1(lucid_optim_adamax, lucid_adamax, LUCID_ASIS, __VA_ARGS__)
#define optim_NAdam(...)   LUCID_CALL1(lucid_optim_nadam, lucid_nadam, LUCID_ASIS, __VA_ARGS__)
#define optim_RAdam(...)   LUCID_CALL1(lucid_optim_radam, lucid_radam, LUCID_ASIS, __VA_ARGS__)
#define optim_LAMB(...)    LUCID_CALL1(lucid_optim_lamb, lucid_lamb, LUCID_ASIS, __VA_ARGS__)
#define optim_LARS(...)    LUCID_CALL1(lucid_optim_lars, lucid_lars, LUCID_ASIS, __VA_ARGS__)
#define optim_ASGD(...)    LUCID_CALL1(lucid_optim_asgd, lucid_asgd, LUCID_ASIS, __VA_ARGS__)
#define optim_Rprop(...)   LUCID_CALL1(lucid_optim_rprop, lucid_rprop, LUCID_ASIS, __VA_ARGS__)
#define optim_Adafactor(...) \
    LUCID_CALL1(lucid_optim_adafactor, lucid_adafactor, LUCID_ASIS, __VA_ARGS__)
#define optim_Muon(...)  LUCID_CALL1(lucid_optim_muon, lucid_muon, LUCID_ASIS, __VA_ARGS__)
#define optim_LBFGS(...) LUCID_CALL1(lucid_optim_lbfgs, lucid_lbfgs, LUCID_ASIS, __VA_ARGS__)
/* optim_Lookahead(opt, .k = 6) */
#define optim_Lookahead(...) \
    LUCID_CALL1(lucid_optim_lookahead, lucid_lookahead, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif

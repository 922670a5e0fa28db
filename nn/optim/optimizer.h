/* optimizer.h: optimizers: SGD, Adam, AdamW, Adadelta, and what all optimizers share. The others
 * are in algorithms.h.
 *
 *     lucid_optimizer *opt = optim_SGD(net, .lr = 0.05, .momentum = 0.9);
 *     ...
 *     lucid_zero_grad(opt);
 *     lucid_backward(loss);
 *     lucid_step(opt);
 *     ...
 *     lucid_optimizer_free(opt);
 *
 * Formulas, defaults and names are PyTorch's. Parameters are in groups, each with options of its
 * own. An optimizer that is made for a module has group 0; one that lucid_optim_new makes has none.
 * An optimizer keeps references to its parameters, so that it and the module may be freed in any
 * order. Threads: one at a time. */
#ifndef LUCID_NN_OPTIM_OPTIMIZER_H
#define LUCID_NN_OPTIM_OPTIMIZER_H

#include "../module.h"
#include "../state_dict.h"

LUCID_BEGIN_DECLS

typedef struct lucid_optimizer lucid_optimizer;

/* The options of each optimizer. All numbers must be finite and >= 0. weight_decay adds
 * weight_decay * p to the gradient (AdamW: p *= 1 - lr * weight_decay); maximize goes up the
 * gradient instead of down. */
typedef struct lucid_sgd_options {
    LUCID_OPTIONS_SIZE(lucid_sgd_options);
    double lr LUCID_DEFAULT(1e-3); /* learning rate */
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double momentum LUCID_DEFAULT(0), dampening LUCID_DEFAULT(0);
    bool nesterov LUCID_DEFAULT(false);
} lucid_sgd_options;
LUCID_DEFAULTS(lucid_sgd, .lr = 1e-3, .weight_decay = 0, .maximize = false, .momentum = 0,
               .dampening = 0, .nesterov = false);

typedef struct lucid_adam_options {
    LUCID_OPTIONS_SIZE(lucid_adam_options);
    double lr LUCID_DEFAULT(1e-3);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    /* Decay of the averages of the gradient and its square, in [0, 1). */
    double beta1 LUCID_DEFAULT(0.9), beta2 LUCID_DEFAULT(0.999);
    double eps LUCID_DEFAULT(1e-8); /* added to the denominator */
    bool amsgrad LUCID_DEFAULT(false);
} lucid_adam_options;
LUCID_DEFAULTS(lucid_adam, .lr = 1e-3, .weight_decay = 0, .maximize = false, .beta1 = 0.9,
               .beta2 = 0.999, .eps = 1e-8, .amsgrad = false);

typedef struct lucid_adamw_options {
    LUCID_OPTIONS_SIZE(lucid_adamw_options);
    double lr LUCID_DEFAULT(1e-3);
    double weight_decay LUCID_DEFAULT(1e-2);
    bool maximize LUCID_DEFAULT(false);
    double beta1 LUCID_DEFAULT(0.9), beta2 LUCID_DEFAULT(0.999);
    double eps LUCID_DEFAULT(1e-8);
    bool amsgrad LUCID_DEFAULT(false);
} lucid_adamw_options;
LUCID_DEFAULTS(lucid_adamw, .lr = 1e-3, .weight_decay = 1e-2, .maximize = false, .beta1 = 0.9,
               .beta2 = 0.999, .eps = 1e-8, .amsgrad = false);

typedef struct lucid_adadelta_options {
    LUCID_OPTIONS_SIZE(lucid_adadelta_options);
    double lr LUCID_DEFAULT(1.0);
    double weight_decay LUCID_DEFAULT(0);
    bool maximize LUCID_DEFAULT(false);
    double rho LUCID_DEFAULT(0.9); /* decay of the averages of squares, in [0, 1] */
    double eps LUCID_DEFAULT(1e-6);
} lucid_adadelta_options;
LUCID_DEFAULTS(lucid_adadelta, .lr = 1.0, .weight_decay = 0, .maximize = false, .rho = 0.9,
               .eps = 1e-6);

/* The options of a group of parameters, of any kind of optimizer, as lucid_optim_get_options gives
 * them. Setting one that the optimizer's kind does not have is an error. */
typedef struct lucid_optim_options {
    size_t struct_size; /* as lucid_optim_get_options sets it */
    double lr, weight_decay;
    bool maximize;
    double momentum, dampening;
    bool nesterov;
    double beta1, beta2, eps;
    bool amsgrad;
    double rho;
    /* Of the kinds in algorithms.h. */
    double alpha;
    bool centered;
    double lr_decay, initial_accumulator_value;
    double momentum_decay;
    bool decoupled_weight_decay;
    double trust_coefficient;
    double lambd, t0;
    double eta_minus, eta_plus, step_min, step_max;
    double beta2_decay, eps1, eps2, d;
    double ns_a, ns_b, ns_c;
    int64_t ns_steps, adjust_lr; /* adjust_lr: a lucid_muon_adjust */
    int64_t max_iter, max_eval;
    double tolerance_grad, tolerance_change;
    int64_t history_size;
    bool strong_wolfe;
} lucid_optim_options;

/* A moment (an average, a momentum buffer) of a parameter whose gradient has become 0 decays
 * forever. A number in it that is smaller than the smallest normal number of float32 (1.2e-38), or
 * of float64 for float64 parameters (2.2e-308), is stored as 0: CPUs compute with such numbers more
 * than ten times slower. In Adam's and Adadelta's averages of squares this is done only if eps is
 * so large that it makes no difference: in float32 for an eps of at least 1.2e-10 (Adam) or 1.3e-29
 * (Adadelta). */

/* ---- making one ------------------------------------------------------------------------------ */

/* Each makes an optimizer for all parameters of a module, which the caller releases with
 * lucid_optimizer_free.
 *
 * SGD, with g = gradient + weight_decay p:
 *     v <- momentum v + (1 - dampening) g  (v = g at the first step)
 *     p <- p - lr v                        (nesterov: p - lr (g + momentum v))
 * Nesterov needs momentum > 0 and dampening 0. */
LUCID_API lucid_optimizer *lucid_optim_sgd(lucid_module *module, const lucid_sgd_options *options);
/* Adam (Kingma and Ba, 2015), with g as above, at step t:
 *     m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
 *     p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
 * amsgrad: with the largest v so far. */
LUCID_API lucid_optimizer *lucid_optim_adam(lucid_module *module,
                                            const lucid_adam_options *options);
/* AdamW (Loshchilov and Hutter, 2019): Adam with p *= 1 - lr * weight_decay instead of weight decay
 * in the gradient. */
LUCID_API lucid_optimizer *lucid_optim_adamw(lucid_module *module,
                                             const lucid_adamw_options *options);
/* Adadelta (Zeiler, 2012):
 *     v <- rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) g
 *     u <- rho u + (1 - rho) d^2;  p <- p - lr d */
LUCID_API lucid_optimizer *lucid_optim_adadelta(lucid_module *module,
                                                const lucid_adadelta_options *options);
/* The same without parameters yet: kind is a name as in PyTorch, "SGD" or "RMSprop", or "LARS",
 * "LAMB"; add them with lucid_optim_add_group. options NULL: the defaults of the kind. */
LUCID_API lucid_optimizer *lucid_optim_new(const char *kind, const lucid_optim_options *options);
LUCID_API void lucid_optimizer_free(lucid_optimizer *optimizer);

/* optim_SGD(net, .lr = 0.05, .momentum = 0.9);  optim_AdamW(net) */
#define optim_SGD(...)   LUCID_CALL1(lucid_optim_sgd, lucid_sgd, LUCID_ASIS, __VA_ARGS__)
#define optim_Adam(...)  LUCID_CALL1(lucid_optim_adam, lucid_adam, LUCID_ASIS, __VA_ARGS__)
#define optim_AdamW(...) LUCID_CALL1(lucid_optim_adamw, lucid_adamw, LUCID_ASIS, __VA_ARGS__)
#define optim_Adadelta(...) \
    LUCID_CALL1(lucid_optim_adadelta, lucid_adadelta, LUCID_ASIS, __VA_ARGS__)

/* ---- groups ---------------------------------------------------------------------------------- */

/* Adds a group with options of its own; NULL stands for those that the optimizer was made with. A
 * parameter must be a leaf of floating dtype and be in one group only.
 *
 *     lucid_optim_options slow = lucid_optim_get_options(opt, 0);
 *     slow.lr = 1e-4;
 *     lucid_optim_add_group(opt, params, n, &slow); */
LUCID_API bool lucid_optim_add_group(lucid_optimizer *optimizer, lucid_tensor *const *params,
                                     size_t n, const lucid_optim_options *options);
/* The same with the parameters of a module whose names match a pattern ("*.weight", as
 * lucid_name_matches has it) and which are in no group yet. An error where there are none. */
LUCID_API bool lucid_optim_add_matching(lucid_optimizer *optimizer, lucid_module *module,
                                        const char *pattern, const lucid_optim_options *options);
/* Takes the parameters of a module whose names match out of their groups, with their states, and
 * makes a group of them with options of its own. A group that is left without parameters stays. An
 * error where none matches, and for one that is in no group.
 *
 *     lucid_optim_options o = lucid_optim_get_options(opt, 0);
 *     o.weight_decay = 0;
 *     lucid_optim_move_matching(opt, net, "*.bias|bn*", &o); */
LUCID_API bool lucid_optim_move_matching(lucid_optimizer *optimizer, lucid_module *module,
                                         const char *pattern, const lucid_optim_options *options);
/* The same for all parameters of the optimizer with fewer than two dimensions, biases and the
 * scales of normalisations, with the options of group 0 but no weight decay. */
LUCID_API bool lucid_optim_no_decay_for_vectors(lucid_optimizer *optimizer);
LUCID_API size_t lucid_optim_group_count(const lucid_optimizer *optimizer);
/* The number of parameters in a group, and one of them (borrowed). */
LUCID_API size_t lucid_optim_group_size(const lucid_optimizer *optimizer, size_t group);
LUCID_API lucid_tensor *lucid_optim_param(const lucid_optimizer *optimizer, size_t group, size_t i);
/* The options that the optimizer was made with, which a new group has unless it is given others. */
LUCID_API lucid_optim_options lucid_optim_get_defaults(const lucid_optimizer *optimizer);
LUCID_API lucid_optim_options lucid_optim_get_options(const lucid_optimizer *optimizer,
                                                      size_t group);
LUCID_API bool lucid_optim_set_options(lucid_optimizer *optimizer, size_t group,
                                       const lucid_optim_options *options);
/* The first function returns the learning rate of group 0, the second sets that of all groups. */
LUCID_API double lucid_optim_lr(const lucid_optimizer *optimizer);
LUCID_API bool lucid_optim_set_lr(lucid_optimizer *optimizer, double lr);
/* The rate that schedules start from (PyTorch's "initial_lr"): the one that the group had when its
 * first scheduler was made, and before that its current rate. NAN on an error. The second function
 * sets it (finite and >= 0), to begin a new schedule at another rate after an earlier scheduler, or
 * after loading a state of an older version, which does not have it. */
LUCID_API double lucid_optim_initial_lr(const lucid_optimizer *optimizer, size_t group);
LUCID_API bool lucid_optim_set_initial_lr(lucid_optimizer *optimizer, size_t group, double lr);

/* ---- training -------------------------------------------------------------------------------- */

/* Changes every parameter that has a gradient; the others and their state stay as they are. While
 * an error is pending it changes nothing and returns false. */
LUCID_API bool lucid_step(lucid_optimizer *optimizer);
/* Computes the loss anew: removes gradients, runs forward and backward, and returns the loss, a
 * tensor with one element; NULL after an error. */
typedef lucid_tensor *(*lucid_closure)(void *user);
/* A step of an optimizer that may compute the loss several times (LBFGS, which lucid_step refuses).
 * The others call the closure once and step. Returns the loss of the first call; NAN after an
 * error, and nothing has changed where the closure failed at its first call. */
LUCID_API double lucid_step_closure(lucid_optimizer *optimizer, lucid_closure closure, void *user);
/* Removes the gradients of all its parameters. */
LUCID_API bool lucid_optimizer_zero_grad(lucid_optimizer *optimizer);

/* ---- state ----------------------------------------------------------------------------------- */

/* All that a training run needs to continue with the same bits: options of the groups, their
 * initial rates ("initial_lr"), step counts and moments ("state.0.momentum_buffer", by parameter).
 * The moments are copies. The caller releases it with lucid_state_dict_free. */
LUCID_API lucid_state_dict *lucid_optimizer_state_dict(lucid_optimizer *optimizer);
/* Loads such a state. The groups must have the same numbers of parameters, with the same sizes, and
 * the optimizer must be of the same kind. If it is refused, nothing changes. A state from a version
 * that saved no initial rates does not change those of the groups. */
LUCID_API bool lucid_optimizer_load_state_dict(lucid_optimizer *optimizer,
                                               const lucid_state_dict *state);
/* The same, to and from a safetensors file. */
LUCID_API bool lucid_optimizer_save(lucid_optimizer *optimizer, const char *path);
LUCID_API bool lucid_optimizer_load(lucid_optimizer *optimizer, const char *path);

/* lucid_zero_grad(opt);  lucid_zero_grad(net)
 * lucid_save(net, "net.safetensors");  lucid_save(opt, "opt.safetensors");  and a state dict */
#ifdef __cplusplus
extern "C++" {
static inline bool luc_zero_grad(lucid_module *module)
{
    return lucid_module_zero_grad(module);
}
static inline bool luc_zero_grad(lucid_optimizer *optimizer)
{
    return lucid_optimizer_zero_grad(optimizer);
}
static inline bool luc_save(lucid_module *module, const char *path)
{
    return lucid_module_save(module, path);
}
static inline bool luc_save(lucid_optimizer *optimizer, const char *path)
{
    return lucid_optimizer_save(optimizer, path);
}
static inline bool luc_save(const lucid_state_dict *state, const char *path)
{
    return lucid_state_dict_save(state, path);
}
}
#define lucid_zero_grad(target)  luc_zero_grad(target)
#define lucid_save(target, path) luc_save(target, path)
#else
/* clang-format off */
#define lucid_zero_grad(target)                              \
    _Generic((target),                                       \
        lucid_module *: lucid_module_zero_grad,              \
        lucid_optimizer *: lucid_optimizer_zero_grad)(target)
#define lucid_save(target, path)                             \
    _Generic((target),                                       \
        lucid_module *: lucid_module_save,                   \
        lucid_optimizer *: lucid_optimizer_save,             \
        lucid_state_dict *: lucid_state_dict_save,           \
        const lucid_state_dict *: lucid_state_dict_save)(target, path)
/* clang-format on */
#endif

LUCID_END_DECLS
#endif

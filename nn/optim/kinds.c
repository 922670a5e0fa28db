/* kinds.c: the table of optimizers, and making each of them. */
#include "autograd/autograd.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/module_priv.h"
#include "nn/optim/algorithms.h"
#include "nn/optim/optimizer_priv.h"

#include <string.h>

/* ---- what each keeps ------------------------------------------------------------------------- */

static unsigned needs_1(const lucid_optim_options *o, const lucid_tensor *param)
{
    (void)o;
    (void)param;
    return 1;
}

static unsigned needs_2(const lucid_optim_options *o, const lucid_tensor *param)
{
    (void)o;
    (void)param;
    return 3;
}

static unsigned needs_momentum(const lucid_optim_options *o, const lucid_tensor *param)
{
    (void)param;
    return o->momentum != 0 ? 1 : 0;
}

static unsigned needs_adam(const lucid_optim_options *o, const lucid_tensor *param)
{
    (void)param;
    return o->amsgrad ? 7 : 3;
}

static unsigned needs_rmsprop(const lucid_optim_options *o, const lucid_tensor *param)
{
    (void)param;
    return 1u | (o->momentum > 0 ? 2u : 0) | (o->centered ? 4u : 0);
}

/* Rows and columns, or the squares themselves. */
static unsigned needs_adafactor(const lucid_optim_options *o, const lucid_tensor *param)
{
    (void)o;
    return lucid_ndim(param) > 1 ? 3 : 4;
}

static void adafactor_sizes(int moment, lucid_shape *shape)
{
    if (moment < 2) shape->dims[shape->ndim - 1 - moment] = 1;
}

static double adagrad_first(const lucid_optim_options *o, int moment)
{
    (void)moment;
    return o->initial_accumulator_value;
}

static double rprop_first(const lucid_optim_options *o, int moment)
{
    return moment == 1 ? o->lr : 0;
}

static double first_one(const lucid_optim_options *o, int number)
{
    (void)o;
    (void)number;
    return 1;
}

static double asgd_first(const lucid_optim_options *o, int number)
{
    return number == 0 ? o->lr : 1;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define COMMON (LUC_HAS(lr) | LUC_HAS(weight_decay) | LUC_HAS(maximize))
#define BETAS  (COMMON | LUC_HAS(beta1) | LUC_HAS(beta2) | LUC_HAS(eps))

enum {
    SGD,
    ADAM,
    ADAMW,
    ADADELTA,
    RMSPROP,
    ADAGRAD,
    ADAMAX,
    NADAM,
    RADAM,
    LAMB,
    LARS,
    ASGD,
    RPROP,
    ADAFACTOR,
    MUON,
    LBFGS,
    KINDS
};

static const luc_optim_kind kinds[KINDS] = {
    [SGD] = {.name = "SGD",
             .kernel = LUCID_OP_sgd_step,
             .moments = {"momentum_buffer"},
             .fields = COMMON | LUC_HAS(momentum) | LUC_HAS(dampening) | LUC_HAS(nesterov),
             .needs = needs_momentum},
    [ADAM] = {.name = "Adam",
              .kernel = LUCID_OP_adam_step,
              .moments = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
              .fields = BETAS | LUC_HAS(amsgrad),
              .needs = needs_adam},
    [ADAMW] = {.name = "AdamW",
               .kernel = LUCID_OP_adam_step,
               .moments = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
               .fields = BETAS | LUC_HAS(amsgrad),
               .decay = LUC_DECAY_DECOUPLED,
               .needs = needs_adam},
    [ADADELTA] = {.name = "Adadelta",
                  .kernel = LUCID_OP_adadelta_step,
                  .moments = {"square_avg", "acc_delta"},
                  .fields = COMMON | LUC_HAS(rho) | LUC_HAS(eps),
                  .needs = needs_2},
    [RMSPROP] = {.name = "RMSprop",
                 .update = luc_update_rmsprop,
                 .moments = {"square_avg", "momentum_buffer", "grad_avg"},
                 .fields =
                     COMMON | LUC_HAS(alpha) | LUC_HAS(eps) | LUC_HAS(momentum) | LUC_HAS(centered),
                 .needs = needs_rmsprop},
    [ADAGRAD] = {.name = "Adagrad",
                 .update = luc_update_adagrad,
                 .moments = {"sum"},
                 .fields =
                     COMMON | LUC_HAS(lr_decay) | LUC_HAS(initial_accumulator_value) | LUC_HAS(eps),
                 .needs = needs_1,
                 .first_value = adagrad_first},
    [ADAMAX] = {.name = "Adamax",
                .update = luc_update_adamax,
                .moments = {"exp_avg", "exp_inf"},
                .fields = BETAS,
                .needs = needs_2},
    [NADAM] = {.name = "NAdam",
               .update = luc_update_nadam,
               .moments = {"exp_avg", "exp_avg_sq"},
               .numbers = {"mu_product"},
               .fields = BETAS | LUC_HAS(momentum_decay) | LUC_HAS(decoupled_weight_decay),
               .decay = LUC_DECAY_CHOSEN,
               .needs = needs_2,
               .first_number = first_one},
    [RADAM] = {.name = "RAdam",
               .update = luc_update_radam,
               .moments = {"exp_avg", "exp_avg_sq"},
               .fields = BETAS | LUC_HAS(decoupled_weight_decay),
               .decay = LUC_DECAY_CHOSEN,
               .needs = needs_2},
    [LAMB] = {.name = "LAMB",
              .update = luc_update_lamb,
              .moments = {"exp_avg", "exp_avg_sq"},
              .fields = BETAS,
              .decay = LUC_DECAY_OWN,
              .needs = needs_2},
    [LARS] = {.name = "LARS",
              .update = luc_update_lars,
              .moments = {"momentum_buffer"},
              .fields = COMMON | LUC_HAS(momentum) | LUC_HAS(dampening) | LUC_HAS(nesterov) |
                        LUC_HAS(trust_coefficient) | LUC_HAS(eps),
              .decay = LUC_DECAY_OWN,
              .needs = needs_momentum},
    [ASGD] = {.name = "ASGD",
              .update = luc_update_asgd,
              .moments = {"ax"},
              .numbers = {"eta", "mu"},
              .fields = COMMON | LUC_HAS(lambd) | LUC_HAS(alpha) | LUC_HAS(t0),
              .needs = needs_1,
              .first_number = asgd_first},
    [RPROP] = {.name = "Rprop",
               .update = luc_update_rprop,
               .moments = {"prev", "step_size"},
               .fields = LUC_HAS(lr) | LUC_HAS(maximize) | LUC_HAS(eta_minus) | LUC_HAS(eta_plus) |
                         LUC_HAS(step_min) | LUC_HAS(step_max),
               .needs = needs_2,
               .first_value = rprop_first},
    [ADAFACTOR] = {.name = "Adafactor",
                   .update = luc_update_adafactor,
                   .moments = {"row_var", "col_var", "variance"},
                   .fields =
                       COMMON | LUC_HAS(beta2_decay) | LUC_HAS(eps1) | LUC_HAS(eps2) | LUC_HAS(d),
                   .decay = LUC_DECAY_OWN,
                   .needs = needs_adafactor,
                   .sizes = adafactor_sizes},
    [MUON] = {.name = "Muon",
              .update = luc_update_muon,
              .moments = {"momentum_buffer"},
              .fields = LUC_HAS(lr) | LUC_HAS(weight_decay) | LUC_HAS(momentum) |
                        LUC_HAS(nesterov) | LUC_HAS(eps) | LUC_HAS(ns_a) | LUC_HAS(ns_b) |
                        LUC_HAS(ns_c) | LUC_HAS(ns_steps) | LUC_HAS(adjust_lr),
              .decay = LUC_DECAY_DECOUPLED,
              .matrices_only = true,
              .needs = needs_1},
    [LBFGS] = {.name = "LBFGS",
               .fields = LUC_HAS(lr) | LUC_HAS(maximize) | LUC_HAS(max_iter) | LUC_HAS(max_eval) |
                         LUC_HAS(tolerance_grad) | LUC_HAS(tolerance_change) |
                         LUC_HAS(history_size) | LUC_HAS(strong_wolfe),
               .needs_closure = true},
};

const luc_optim_kind *luc_optim_find_kind(const char *name)
{
    for (int k = 0; name && k < KINDS; k++)
        if (strcmp(kinds[k].name, name) == 0) return &kinds[k];
    return NULL;
}

/* ---- options of each kind as those of a group ------------------------------------------------ */

#define GROUP(...) (*LUC_WITH(lucid_optim, __VA_ARGS__))

static lucid_optim_options of_sgd(const lucid_sgd_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .momentum = o->momentum, .dampening = o->dampening, .nesterov = o->nesterov);
}

static lucid_optim_options of_adam(const lucid_adam_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps, .amsgrad = o->amsgrad);
}

static lucid_optim_options of_adamw(const lucid_adamw_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps, .amsgrad = o->amsgrad);
}

static lucid_optim_options of_adadelta(const lucid_adadelta_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .rho = o->rho, .eps = o->eps);
}

static lucid_optim_options of_rmsprop(const lucid_rmsprop_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .alpha = o->alpha, .eps = o->eps, .momentum = o->momentum,
                 .centered = o->centered);
}

static lucid_optim_options of_adagrad(const lucid_adagrad_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .lr_decay = o->lr_decay, .initial_accumulator_value = o->initial_accumulator_value,
                 .eps = o->eps);
}

static lucid_optim_options of_adamax(const lucid_adamax_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps);
}

static lucid_optim_options of_nadam(const lucid_nadam_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
                 .momentum_decay = o->momentum_decay,
                 .decoupled_weight_decay = o->decoupled_weight_decay);
}

static lucid_optim_options of_radam(const lucid_radam_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
                 .decoupled_weight_decay = o->decoupled_weight_decay);
}

static lucid_optim_options of_lamb(const lucid_lamb_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps);
}

static lucid_optim_options of_lars(const lucid_lars_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .momentum = o->momentum, .dampening = o->dampening, .nesterov = o->nesterov,
                 .trust_coefficient = o->trust_coefficient, .eps = o->eps);
}

static lucid_optim_options of_asgd(const lucid_asgd_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .lambd = o->lambd, .alpha = o->alpha, .t0 = o->t0);
}

static lucid_optim_options of_rprop(const lucid_rprop_options *o)
{
    return GROUP(.lr = o->lr, .maximize = o->maximize, .eta_minus = o->eta_minus,
                 .eta_plus = o->eta_plus, .step_min = o->step_min, .step_max = o->step_max);
}

static lucid_optim_options of_adafactor(const lucid_adafactor_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .maximize = o->maximize,
                 .beta2_decay = o->beta2_decay, .eps1 = o->eps1, .eps2 = o->eps2, .d = o->d);
}

static lucid_optim_options of_muon(const lucid_muon_options *o)
{
    return GROUP(.lr = o->lr, .weight_decay = o->weight_decay, .momentum = o->momentum,
                 .nesterov = o->nesterov, .eps = o->eps, .ns_a = o->ns_a, .ns_b = o->ns_b,
                 .ns_c = o->ns_c, .ns_steps = o->ns_steps, .adjust_lr = (int64_t)o->adjust_lr);
}

static lucid_optim_options of_lbfgs(const lucid_lbfgs_options *o)
{
    return GROUP(.lr = o->lr, .maximize = o->maximize, .max_iter = o->max_iter,
                 .max_eval = o->max_eval, .tolerance_grad = o->tolerance_grad,
                 .tolerance_change = o->tolerance_change, .history_size = o->history_size,
                 .strong_wolfe = o->strong_wolfe);
}

/* ---- making ---------------------------------------------------------------------------------- */

static lucid_optimizer *of_module(int kind, lucid_module *m, lucid_optim_options options)
{
    if (!luc_check_module(m, kinds[kind].name)) return NULL;
    lucid_optimizer *opt = luc_optim_make(&kinds[kind], &options);
    size_t n = 0;
    lucid_tensor **params = opt ? luc_module_tensors(m, true, false, &n) : NULL;
    bool ok = params && lucid_optim_add_group(opt, params, n, NULL);
    luc_free(params);
    if (ok) return opt;
    lucid_optimizer_free(opt);
    return NULL;
}

#define MAKER(KIND, kind, text)                                                                 \
    lucid_optimizer *lucid_optim_##kind(lucid_module *m, const lucid_##kind##_options *options) \
    {                                                                                           \
        const lucid_##kind##_options *o = LUC_OPTIONS(lucid_##kind, options, text);             \
        return o ? of_module(KIND, m, of_##kind(o)) : NULL;                                     \
    }
#define ALL(X)                           \
    X(SGD, sgd, "SGD")                   \
    X(ADAM, adam, "Adam")                \
    X(ADAMW, adamw, "AdamW")             \
    X(ADADELTA, adadelta, "Adadelta")    \
    X(RMSPROP, rmsprop, "RMSprop")       \
    X(ADAGRAD, adagrad, "Adagrad")       \
    X(ADAMAX, adamax, "Adamax")          \
    X(NADAM, nadam, "NAdam")             \
    X(RADAM, radam, "RAdam")             \
    X(LAMB, lamb, "LAMB")                \
    X(LARS, lars, "LARS")                \
    X(ASGD, asgd, "ASGD")                \
    X(RPROP, rprop, "Rprop")             \
    X(ADAFACTOR, adafactor, "Adafactor") \
    X(MUON, muon, "Muon")                \
    X(LBFGS, lbfgs, "LBFGS")
ALL(MAKER)

#define DEFAULTS(KIND, kind, text) \
    case KIND:                     \
        return of_##kind(&lucid_##kind##_defaults);

static lucid_optim_options defaults_of(int kind)
{
    switch (kind) {
        ALL(DEFAULTS)
    default:
        return (lucid_optim_options){0};
    }
}

lucid_optimizer *lucid_optim_new(const char *kind, const lucid_optim_options *options)
{
    const luc_optim_kind *k = luc_optim_find_kind(kind);
    if (kind && strcmp(kind, "SparseAdam") == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "optim_new",
                              "kind: there is no SparseAdam, because there are no sparse tensors");
    if (!k)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "optim_new",
                              "kind: expected a name as PyTorch's, SGD or AdamW, or LARS or LAMB, "
                              "got \"%s\"",
                              kind ? kind : "(null)");
    const lucid_optim_options defaults = defaults_of((int)(k - kinds));
    const lucid_optim_options *o = luc_optim_read_options(options, &defaults, kind);
    return o ? luc_optim_make(k, o) : NULL;
}

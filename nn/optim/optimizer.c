/* optimizer.c: making optimizers, their groups and options. */
#include "nn/optim/optimizer_priv.h"
#include "autograd/autograd.h"
#include "lucid/error_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/options_priv.h"

#include <math.h>
#include <string.h>

static const luc_optim_kind kinds[] = {
    {.name = "SGD",
     .kernel = LUCID_OP_sgd_step,
     .moments = {"momentum_buffer"},
     .has_momentum = true},
    {.name = "Adam",
     .kernel = LUCID_OP_adam_step,
     .moments = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
     .has_betas = true,
     .has_eps = true},
    {.name = "AdamW",
     .kernel = LUCID_OP_adam_step,
     .moments = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
     .decoupled = true,
     .has_betas = true,
     .has_eps = true},
    {.name = "Adadelta",
     .kernel = LUCID_OP_adadelta_step,
     .moments = {"square_avg", "acc_delta"},
     .has_eps = true,
     .has_rho = true},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

bool luc_check_optimizer(const lucid_optimizer *opt, const char *op)
{
    if (opt) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "optimizer: expected one, got NULL");
}

/* ---- options --------------------------------------------------------------------------------- */

/* A group's options have no defaults of their own, so they cannot grow by taking them. */
static const lucid_optim_options *read_options(const lucid_optim_options *given,
                                               const lucid_optim_options *defaults, const char *op)
{
    if (!given || given->struct_size == sizeof *given) return given ? given : defaults;
    return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                          "options: expected those of lucid_optim_get_options with some fields "
                          "changed, got a struct whose struct_size is %zu",
                          given->struct_size);
}

static bool check_number(const luc_optim_kind *kind, const char *name, double value, bool has,
                         double below)
{
    if (!has)
        return value == 0 ||
               luc_raise(LUCID_ERR_ARGUMENT, kind->name, "%s: expected 0 (%s has none), got %g",
                         name, kind->name, value);
    if (value >= 0 && isfinite(value) && value < below) return true;
    if (isinf(below))
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name, "%s: expected a number >= 0, got %g", name,
                         value);
    return luc_raise(LUCID_ERR_ARGUMENT, kind->name, "%s: expected [0, 1), got %g", name, value);
}

bool luc_optim_check_options(const luc_optim_kind *kind, const lucid_optim_options *o)
{
    if (!check_number(kind, "lr", o->lr, true, INFINITY) ||
        !check_number(kind, "weight_decay", o->weight_decay, true, INFINITY) ||
        !check_number(kind, "momentum", o->momentum, kind->has_momentum, INFINITY) ||
        !check_number(kind, "beta1", o->beta1, kind->has_betas, 1) ||
        !check_number(kind, "beta2", o->beta2, kind->has_betas, 1) ||
        !check_number(kind, "eps", o->eps, kind->has_eps, INFINITY) ||
        !check_number(kind, "rho", o->rho, kind->has_rho, INFINITY))
        return false;
    if (o->rho > 1)
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name, "rho: expected [0, 1], got %g", o->rho);
    if (!isfinite(o->dampening) || (o->dampening != 0 && !kind->has_momentum))
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name, "dampening: expected %s, got %g",
                         kind->has_momentum ? "a finite number" : "0", o->dampening);
    if (o->nesterov && !(o->momentum > 0 && o->dampening == 0))
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name,
                         "nesterov: expected momentum > 0 and dampening 0, got %g and %g",
                         o->momentum, o->dampening);
    if (o->amsgrad && !kind->has_betas)
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name, "amsgrad: expected false, got true");
    return true;
}

static void set_options(luc_optim_group *g, const lucid_optim_options *o)
{
    g->options = *o;
    if (!g->scheduled) g->initial_lr = o->lr;
}

lucid_optim_options lucid_optim_get_defaults(const lucid_optimizer *opt)
{
    lucid_optim_options none = {0};
    return luc_check_optimizer(opt, "optim_get_defaults") ? opt->defaults : none;
}

lucid_optim_options lucid_optim_get_options(const lucid_optimizer *opt, size_t group)
{
    if (!luc_check_optimizer(opt, "optim_get_options")) return (lucid_optim_options){0};
    if (group < opt->n_groups) return opt->groups[group].options;
    luc_raise(LUCID_ERR_ARGUMENT, "optim_get_options", "group: expected one below %zu, got %zu",
              opt->n_groups, group);
    return (lucid_optim_options){0};
}

bool lucid_optim_set_options(lucid_optimizer *opt, size_t group, const lucid_optim_options *options)
{
    const char *op = "optim_set_options";
    if (!luc_check_optimizer(opt, op)) return false;
    if (group >= opt->n_groups)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "group: expected one below %zu, got %zu",
                         opt->n_groups, group);
    if (!options) return luc_raise(LUCID_ERR_ARGUMENT, op, "options: expected some, got NULL");
    if (!read_options(options, NULL, op) || !luc_optim_check_options(opt->kind, options))
        return false;
    set_options(&opt->groups[group], options);
    return true;
}

double lucid_optim_lr(const lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, "optim_lr")) return NAN;
    return opt->n_groups ? opt->groups[0].options.lr : opt->defaults.lr;
}

bool lucid_optim_set_lr(lucid_optimizer *opt, double lr)
{
    if (!luc_check_optimizer(opt, "optim_set_lr") ||
        !check_number(opt->kind, "lr", lr, true, INFINITY))
        return false;
    for (size_t i = 0; i < opt->n_groups; i++) {
        lucid_optim_options o = opt->groups[i].options;
        o.lr = lr;
        set_options(&opt->groups[i], &o);
    }
    return true;
}

void luc_optim_begin_schedule(luc_optim_group *g, int64_t step)
{
    if (g->scheduled) return;
    g->scheduled = true;
    g->initial_lr = g->options.lr;
    g->initial_step = step;
}

double lucid_optim_initial_lr(const lucid_optimizer *opt, size_t group)
{
    if (!luc_check_optimizer(opt, "optim_initial_lr")) return NAN;
    if (group < opt->n_groups) return opt->groups[group].initial_lr;
    luc_raise(LUCID_ERR_ARGUMENT, "optim_initial_lr", "group: expected one below %zu, got %zu",
              opt->n_groups, group);
    return NAN;
}

bool lucid_optim_set_initial_lr(lucid_optimizer *opt, size_t group, double lr)
{
    const char *op = "optim_set_initial_lr";
    if (!luc_check_optimizer(opt, op)) return false;
    if (group >= opt->n_groups)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "group: expected one below %zu, got %zu",
                         opt->n_groups, group);
    if (!(lr >= 0 && isfinite(lr)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "lr: expected a number >= 0, got %g", lr);
    luc_optim_group *g = &opt->groups[group];
    g->scheduled = true;
    g->initial_lr = lr;
    g->initial_step = 0;
    return true;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool is_in(const lucid_optimizer *opt, const lucid_tensor *t)
{
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n; i++)
            if (opt->groups[g].params[i].tensor == t) return true;
    return false;
}

static bool check_param(const lucid_optimizer *opt, lucid_tensor *const *params, size_t i)
{
    const char *op = opt->kind->name;
    lucid_tensor *t = params[i];
    if (!luc_check_tensor(t, op, "parameter")) return false;
    if (!lucid_dtype_is_floating(t->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "parameter %zu: expected a floating dtype, got %s",
                         i, lucid_dtype_name(t->view.dtype));
    if (!lucid_is_leaf(t))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "parameter %zu: expected a leaf, got the result of %s", i,
                         lucid_grad_fn_name(t));
    bool twice = is_in(opt, t);
    for (size_t j = 0; j < i && !twice; j++) twice = params[j] == t;
    return !twice ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "parameter %zu: expected one that is in no group yet, got it twice", i);
}

bool lucid_optim_add_group(lucid_optimizer *opt, lucid_tensor *const *params, size_t n,
                           const lucid_optim_options *options)
{
    if (!luc_check_optimizer(opt, "optim_add_group")) return false;
    if (n == 0 || !params)
        return luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                         "parameters: expected at least one, got none");
    const lucid_optim_options *o = read_options(options, &opt->defaults, opt->kind->name);
    if (!o || !luc_optim_check_options(opt->kind, o)) return false;
    for (size_t i = 0; i < n; i++)
        if (!check_param(opt, params, i)) return false;
    luc_optim_group *groups =
        luc_realloc(opt->groups, (opt->n_groups + 1) * sizeof *groups, opt->kind->name);
    if (!groups) return false;
    opt->groups = groups;
    luc_optim_param *p = luc_calloc(n, sizeof *p, opt->kind->name);
    if (!p) return false;
    for (size_t i = 0; i < n; i++) p[i].tensor = lucid_retain(params[i]);
    groups[opt->n_groups++] =
        (luc_optim_group){.options = *o, .initial_lr = o->lr, .params = p, .n = n};
    return true;
}

size_t lucid_optim_group_count(const lucid_optimizer *opt)
{
    return opt ? opt->n_groups : 0;
}

size_t lucid_optim_group_size(const lucid_optimizer *opt, size_t group)
{
    return opt && group < opt->n_groups ? opt->groups[group].n : 0;
}

lucid_tensor *lucid_optim_param(const lucid_optimizer *opt, size_t group, size_t i)
{
    return i < lucid_optim_group_size(opt, group) ? opt->groups[group].params[i].tensor : NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static lucid_optimizer *make(const luc_optim_kind *kind, const lucid_optim_options *o)
{
    if (!luc_optim_check_options(kind, o)) return NULL;
    lucid_optimizer *opt = luc_calloc(1, sizeof *opt, kind->name);
    if (!opt) return NULL;
    opt->kind = kind;
    opt->defaults = *o;
    luc_live_add_named(LUC_LIVE_OPTIMIZERS, opt->kind->name, 1);
    return opt;
}

/* Converts the options of each kind into those of a group. */
static lucid_optim_options of_sgd(const lucid_sgd_options *o)
{
    return *LUC_WITH(lucid_optim, .lr = o->lr, .weight_decay = o->weight_decay,
                     .maximize = o->maximize, .momentum = o->momentum, .dampening = o->dampening,
                     .nesterov = o->nesterov);
}

static lucid_optim_options of_adam(const lucid_adam_options *o)
{
    return *LUC_WITH(lucid_optim, .lr = o->lr, .weight_decay = o->weight_decay,
                     .maximize = o->maximize, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
                     .amsgrad = o->amsgrad);
}

static lucid_optim_options of_adamw(const lucid_adamw_options *o)
{
    return *LUC_WITH(lucid_optim, .lr = o->lr, .weight_decay = o->weight_decay,
                     .maximize = o->maximize, .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
                     .amsgrad = o->amsgrad);
}

static lucid_optim_options of_adadelta(const lucid_adadelta_options *o)
{
    return *LUC_WITH(lucid_optim, .lr = o->lr, .weight_decay = o->weight_decay,
                     .maximize = o->maximize, .rho = o->rho, .eps = o->eps);
}

enum { SGD, ADAM, ADAMW, ADADELTA };

lucid_optimizer *lucid_optim_new(const char *kind, const lucid_optim_options *options)
{
    int k = 0;
    while (kind && k < KINDS && strcmp(kinds[k].name, kind) != 0) k++;
    if (!kind || k == KINDS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "optim_new",
                              "kind: expected SGD, Adam, AdamW or Adadelta, got \"%s\"",
                              kind ? kind : "(null)");
    const lucid_optim_options defaults = k == SGD     ? of_sgd(&lucid_sgd_defaults)
                                         : k == ADAM  ? of_adam(&lucid_adam_defaults)
                                         : k == ADAMW ? of_adamw(&lucid_adamw_defaults)
                                                      : of_adadelta(&lucid_adadelta_defaults);
    const lucid_optim_options *o = read_options(options, &defaults, kind);
    return o ? make(&kinds[k], o) : NULL;
}

static lucid_optimizer *of_module(int kind, lucid_module *m, lucid_optim_options options)
{
    if (!luc_check_module(m, kinds[kind].name)) return NULL;
    lucid_optimizer *opt = make(&kinds[kind], &options);
    size_t n = 0;
    lucid_tensor **params = opt ? luc_module_tensors(m, true, false, &n) : NULL;
    bool ok = params && lucid_optim_add_group(opt, params, n, NULL);
    luc_free(params);
    if (ok) return opt;
    lucid_optimizer_free(opt);
    return NULL;
}

lucid_optimizer *lucid_optim_sgd(lucid_module *m, const lucid_sgd_options *options)
{
    const lucid_sgd_options *o = LUC_OPTIONS(lucid_sgd, options, "SGD");
    return o ? of_module(SGD, m, of_sgd(o)) : NULL;
}

lucid_optimizer *lucid_optim_adam(lucid_module *m, const lucid_adam_options *options)
{
    const lucid_adam_options *o = LUC_OPTIONS(lucid_adam, options, "Adam");
    return o ? of_module(ADAM, m, of_adam(o)) : NULL;
}

lucid_optimizer *lucid_optim_adamw(lucid_module *m, const lucid_adamw_options *options)
{
    const lucid_adamw_options *o = LUC_OPTIONS(lucid_adamw, options, "AdamW");
    return o ? of_module(ADAMW, m, of_adamw(o)) : NULL;
}

lucid_optimizer *lucid_optim_adadelta(lucid_module *m, const lucid_adadelta_options *options)
{
    const lucid_adadelta_options *o = LUC_OPTIONS(lucid_adadelta, options, "Adadelta");
    return o ? of_module(ADADELTA, m, of_adadelta(o)) : NULL;
}

void lucid_optimizer_free(lucid_optimizer *opt)
{
    if (!opt) return;
    for (size_t g = 0; g < opt->n_groups; g++) {
        luc_optim_group *group = &opt->groups[g];
        for (size_t i = 0; i < group->n; i++) {
            lucid_release(group->params[i].tensor);
            for (int k = 0; k < LUC_MAX_MOMENTS; k++) lucid_release(group->params[i].moment[k]);
        }
        luc_free(group->params);
    }
    luc_free(opt->groups);
    luc_free(opt->scratch);
    luc_live_add_named(LUC_LIVE_OPTIMIZERS, opt->kind->name, -1);
    luc_free(opt);
}

bool lucid_optimizer_zero_grad(lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, "zero_grad")) return false;
    bool ok = true;
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n && ok; i++)
            ok = lucid_set_grad(opt->groups[g].params[i].tensor, NULL);
    return ok;
}

/* optimizer_options.c: the options of groups: their table, checks, reading and setting. */
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/optim/optimizer_priv.h"

#include <math.h>
#include <stddef.h>

const luc_field luc_optim_fields[LUC_FIELDS] = {
#define X(name, type, low, high, closed) \
    {#name, offsetof(lucid_optim_options, name), type, low, high, closed},
    LUC_OPTIM_FIELDS(X)
#undef X
};
_Static_assert(LUC_FIELDS <= 64, "a kind has a bit for each option");

double luc_field_value(const lucid_optim_options *o, luc_optim_field field)
{
    const char *at = (const char *)o + luc_optim_fields[field].at;
    switch (luc_optim_fields[field].type) {
    case LUC_BOOL:
        return *(const bool *)at;
    case LUC_INTEGER:
        return (double)*(const int64_t *)at;
    default:
        return *(const double *)at;
    }
}

const lucid_optim_options *luc_optim_read_options(const lucid_optim_options *given,
                                                  const lucid_optim_options *defaults,
                                                  const char *op)
{
    /* A group's options have no defaults of their own, so they cannot grow by taking them. */
    if (!given || given->struct_size == sizeof *given) return given ? given : defaults;
    return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                          "options: expected those of lucid_optim_get_options with some fields "
                          "changed, got a struct whose struct_size is %zu",
                          given->struct_size);
}

static bool raise_range(const char *kind, const luc_field *f, double value)
{
    if (isinf(f->low) && isinf(f->high))
        return luc_raise(LUCID_ERR_ARGUMENT, kind, "%s: expected a finite number, got %g", f->name,
                         value);
    if (f->low == 0 && isinf(f->high))
        return luc_raise(LUCID_ERR_ARGUMENT, kind, "%s: expected a number >= 0, got %g", f->name,
                         value);
    return luc_raise(LUCID_ERR_ARGUMENT, kind, "%s: expected [%g, %g%c, got %g", f->name, f->low,
                     f->high, f->closed ? ']' : ')', value);
}

bool luc_optim_check_number(const luc_optim_kind *kind, luc_optim_field field, double value)
{
    const luc_field *f = &luc_optim_fields[field];
    if (luc_optim_has(kind, field)) {
        bool fits = value >= f->low && (f->closed ? value <= f->high : value < f->high);
        return (fits && isfinite(value)) || raise_range(kind->name, f, value);
    }
    if (value == 0) return true;
    if (f->type == LUC_BOOL)
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name,
                         "%s: expected false (%s has none), got true", f->name, kind->name);
    return luc_raise(LUCID_ERR_ARGUMENT, kind->name, "%s: expected 0 (%s has none), got %g",
                     f->name, kind->name, value);
}

bool luc_optim_check_options(const luc_optim_kind *kind, const lucid_optim_options *o)
{
    for (int f = 0; f < LUC_FIELDS; f++)
        if (!luc_optim_check_number(kind, (luc_optim_field)f,
                                    luc_field_value(o, (luc_optim_field)f)))
            return false;
    /* Muon looks ahead without momentum too, as PyTorch's. */
    if (o->nesterov && !kind->matrices_only && !(o->momentum > 0 && o->dampening == 0))
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name,
                         "nesterov: expected momentum > 0 and dampening 0, got %g and %g",
                         o->momentum, o->dampening);
    if (o->step_min > o->step_max)
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name,
                         "step_min: expected at most step_max, %g, got %g", o->step_max,
                         o->step_min);
    if (o->eps1 < 0 && o->eps1 != LUCID_EPS_OF_DTYPE)
        return luc_raise(LUCID_ERR_ARGUMENT, kind->name,
                         "eps1: expected a number >= 0 or LUCID_EPS_OF_DTYPE, got %g", o->eps1);
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
    if (!luc_optim_read_options(options, NULL, op) || !luc_optim_check_options(opt->kind, options))
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
        !luc_optim_check_number(opt->kind, LUC_FIELD_lr, lr))
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

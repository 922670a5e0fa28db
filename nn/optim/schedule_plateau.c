/* schedule_plateau.c: ReduceLROnPlateau: smaller rates when what is measured gets no better. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/schedule_priv.h"

#include <math.h>
#include <string.h>

const luc_schedule luc_plateau_schedule = {.name = "ReduceLROnPlateau"};

/* A NaN is never better. */
static bool is_better(const lucid_reduce_lr_on_plateau_options *o, double value, double best)
{
    double by = o->threshold;
    if (o->maximize) return value > (o->absolute ? best + by : best * (1 + by));
    return value < (o->absolute ? best - by : best * (1 - by));
}

static double least_rate(const lucid_reduce_lr_on_plateau_options *o, size_t group)
{
    return group < o->n_min_lrs ? o->min_lrs[group] : o->min_lr;
}

/* Every group's rate times the factor, unless that is hardly a change. */
static bool reduce(lucid_scheduler *s, const lucid_reduce_lr_on_plateau_options *o)
{
    lucid_optimizer *opt = s->optimizer;
    for (size_t i = 0; i < opt->n_groups; i++) {
        s->next[i].options = opt->groups[i].options;
        double old = opt->groups[i].options.lr, lr = fmax(old * o->factor, least_rate(o, i));
        if (old - lr > o->eps) s->next[i].options.lr = lr;
        if (!luc_schedule_check_options(s, i, s->position + 1, &s->next[i].options)) return false;
    }
    for (size_t i = 0; i < opt->n_groups; i++) {
        luc_optim_begin_schedule(&opt->groups[i], s->position);
        opt->groups[i].options = s->next[i].options;
    }
    return true;
}

bool luc_plateau_step(lucid_scheduler *s, double metric)
{
    luc_plateau *p = &s->u.plateau, next = *p;
    if (!luc_schedule_grow(s)) return false;
    s->n_groups = s->optimizer->n_groups;
    if (is_better(&p->options, metric, p->best)) {
        next.best = metric;
        next.bad = 0;
    } else {
        next.bad++;
    }
    if (next.cooldown > 0) {
        next.cooldown--;
        next.bad = 0;
    }
    if (next.bad > p->options.patience) {
        if (!reduce(s, &p->options)) return false;
        next.cooldown = p->options.cooldown;
        next.bad = 0;
    }
    *p = next;
    s->position++;
    return true;
}

static bool check(const char *name, const lucid_optimizer *opt,
                  const lucid_reduce_lr_on_plateau_options *o)
{
    if (!luc_schedule_check_range(name, "factor", o->factor, 0, 1) ||
        !luc_schedule_check_count(name, "patience", o->patience, 0) ||
        !luc_schedule_check_count(name, "cooldown", o->cooldown, 0) ||
        !luc_schedule_check_range(name, "threshold", o->threshold, 0, INFINITY) ||
        !luc_schedule_check_range(name, "min_lr", o->min_lr, 0, INFINITY) ||
        !luc_schedule_check_range(name, "eps", o->eps, 0, INFINITY))
        return false;
    if (o->factor == 1)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "factor: expected less than 1, got 1");
    if (o->n_min_lrs != 0 && (o->n_min_lrs != opt->n_groups || !o->min_lrs))
        return luc_raise(LUCID_ERR_ARGUMENT, name,
                         "min_lrs: expected one for each of %zu groups, got %zu", opt->n_groups,
                         o->min_lrs ? o->n_min_lrs : 0);
    for (size_t i = 0; i < o->n_min_lrs; i++)
        if (!luc_schedule_check_range(name, "min_lrs", o->min_lrs[i], 0, INFINITY)) return false;
    return true;
}

lucid_scheduler *lucid_optim_reduce_lr_on_plateau(lucid_optimizer *opt,
                                                  const lucid_reduce_lr_on_plateau_options *options)
{
    const char *name = luc_plateau_schedule.name;
    const lucid_reduce_lr_on_plateau_options *o =
        LUC_OPTIONS(lucid_reduce_lr_on_plateau, options, name);
    if (!o || !luc_check_optimizer(opt, name) || !check(name, opt, o)) return NULL;
    double *least = o->n_min_lrs ? luc_alloc(o->n_min_lrs * sizeof *least, name) : NULL;
    if (o->n_min_lrs && !least) return NULL;
    lucid_scheduler *s = luc_schedule_new(&luc_plateau_schedule, opt);
    if (!s) {
        luc_free(least);
        return NULL;
    }
    if (least) memcpy(least, o->min_lrs, o->n_min_lrs * sizeof *least);
    s->u.plateau.options = *o;
    s->u.plateau.options.min_lrs = least;
    s->u.plateau.best = o->maximize ? -INFINITY : INFINITY;
    s->begun = true;
    return s;
}

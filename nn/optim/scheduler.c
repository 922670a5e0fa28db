/* scheduler.c: learning rates that change as training goes on. */
#include "nn/optim/scheduler.h"
#include "nn/optim/optimizer_priv.h"

#include <math.h>

const lucid_step_lr_options lucid_step_lr_defaults = {LUCID_STEP_LR_DEFAULTS};
const lucid_cosine_lr_options lucid_cosine_lr_defaults = {LUCID_COSINE_LR_DEFAULTS};
const lucid_one_cycle_lr_options lucid_one_cycle_lr_defaults = {LUCID_ONE_CYCLE_LR_DEFAULTS};

/* Sets the options of one group for position > 0, from those at position - 1. */
typedef void (*advance_fn)(const lucid_scheduler *s, size_t group, lucid_optim_options *o);

struct lucid_scheduler {
    const char *name;
    lucid_optimizer *optimizer; /* not owned */
    advance_fn advance;
    int64_t position;
    size_t n_groups;
    lucid_optim_options *base; /* of every group, at position 0 */
    int64_t period;            /* StepLR: steps; cosine: t_max; one cycle: all steps */
    double max_lr;             /* one cycle */
    lucid_step_lr_options step;
    lucid_cosine_lr_options cosine;
    lucid_one_cycle_lr_options cycle;
};

/* ---- the rules ------------------------------------------------------------------------------- */

static void advance_step(const lucid_scheduler *s, size_t group, lucid_optim_options *o)
{
    (void)group;
    if (s->position % s->period == 0) o->lr *= s->step.gamma;
}

/* From one step to the next, so that a learning rate that the program has changed goes on from
 * there. */
static void advance_cosine(const lucid_scheduler *s, size_t group, lucid_optim_options *o)
{
    double low = s->cosine.eta_min, t = (double)s->period;
    int64_t p = s->position;
    if ((p - 1 - s->period) % (2 * s->period) == 0)
        o->lr += (s->base[group].lr - low) * (1 - cos(M_PI / t)) / 2;
    else
        o->lr = (1 + cos(M_PI * (double)p / t)) / (1 + cos(M_PI * (double)(p - 1) / t)) *
                    (o->lr - low) +
                low;
}

static double anneal(const lucid_scheduler *s, double start, double end, double part)
{
    if (s->cycle.linear) return (end - start) * part + start;
    return end + (start - end) / 2 * (cos(M_PI * part) + 1);
}

/* Where a phase of the cycle ends, and what learning rate and momentum it goes to. */
typedef struct phase {
    double end, lr, momentum;
} phase;

static void set_cycle(const lucid_scheduler *s, lucid_optim_options *o)
{
    const lucid_one_cycle_lr_options *c = &s->cycle;
    double n = (double)s->period, p = (double)s->position;
    double first = s->max_lr / c->div_factor;
    phase phases[3] = {{c->pct_start * n - 1, s->max_lr, c->base_momentum},
                       {2 * c->pct_start * n - 2, first, c->max_momentum},
                       {n - 1, first / c->final_div_factor, c->max_momentum}};
    int count = 3;
    if (!c->three_phase) phases[1] = phases[--count];
    phase from = {0, first, c->max_momentum};
    int i = 0;
    for (; i < count - 1 && p > phases[i].end; i++) from = phases[i];
    double length = phases[i].end - from.end;
    double part = length != 0 ? (p - from.end) / length : 1;
    o->lr = anneal(s, from.lr, phases[i].lr, part);
    if (!c->cycle_momentum) return;
    double momentum = anneal(s, from.momentum, phases[i].momentum, part);
    if (s->optimizer->kind->has_betas)
        o->beta1 = momentum;
    else
        o->momentum = momentum;
}

static void advance_cycle(const lucid_scheduler *s, size_t group, lucid_optim_options *o)
{
    (void)group;
    set_cycle(s, o);
}

/* ---- making one ------------------------------------------------------------------------------ */

static bool check_count(const char *name, const char *argument, int64_t value)
{
    return value >= 1 || luc_raise(LUCID_ERR_ARGUMENT, name, "%s: expected at least 1, got %lld",
                                   argument, (long long)value);
}

static bool check_range(const char *name, const char *argument, double value, double low,
                        double high)
{
    if (value >= low && value <= high && isfinite(value)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, name, "%s: expected [%g, %g], got %g", argument, low, high,
                     value);
}

static lucid_scheduler *make(const char *name, lucid_optimizer *opt, advance_fn advance)
{
    if (!luc_check_optimizer(opt, name)) return NULL;
    lucid_scheduler *s = luc_calloc(1, sizeof *s, name);
    if (!s) return NULL;
    s->name = name;
    s->optimizer = opt;
    s->advance = advance;
    s->n_groups = opt->n_groups;
    s->base = luc_calloc(opt->n_groups, sizeof *s->base, name);
    luc_live_add(LUC_LIVE_OTHER, 1);
    if (!s->base) {
        lucid_scheduler_free(s);
        return NULL;
    }
    for (size_t g = 0; g < s->n_groups; g++) s->base[g] = opt->groups[g].options;
    return s;
}

lucid_scheduler *lucid_optim_step_lr(lucid_optimizer *opt, int64_t step_size,
                                     const lucid_step_lr_options *options)
{
    const lucid_step_lr_options *o = options ? options : &lucid_step_lr_defaults;
    if (!check_count("StepLR", "step_size", step_size) ||
        !check_range("StepLR", "gamma", o->gamma, 0, INFINITY))
        return NULL;
    lucid_scheduler *s = make("StepLR", opt, advance_step);
    if (!s) return NULL;
    s->period = step_size;
    s->step = *o;
    return s;
}

lucid_scheduler *lucid_optim_cosine_annealing_lr(lucid_optimizer *opt, int64_t t_max,
                                                 const lucid_cosine_lr_options *options)
{
    const lucid_cosine_lr_options *o = options ? options : &lucid_cosine_lr_defaults;
    if (!check_count("CosineAnnealingLR", "t_max", t_max) ||
        !check_range("CosineAnnealingLR", "eta_min", o->eta_min, 0, INFINITY))
        return NULL;
    lucid_scheduler *s = make("CosineAnnealingLR", opt, advance_cosine);
    if (!s) return NULL;
    s->period = t_max;
    s->cosine = *o;
    return s;
}

static bool check_cycle(const lucid_optimizer *opt, double max_lr,
                        const lucid_one_cycle_lr_options *o)
{
    const char *name = "OneCycleLR";
    if (!check_range(name, "max_lr", max_lr, 0, INFINITY) ||
        !check_range(name, "pct_start", o->pct_start, 0, 1) ||
        !check_range(name, "base_momentum", o->base_momentum, 0, 1) ||
        !check_range(name, "max_momentum", o->max_momentum, 0, 1) ||
        !check_range(name, "div_factor", o->div_factor, 1e-300, INFINITY) ||
        !check_range(name, "final_div_factor", o->final_div_factor, 1e-300, INFINITY))
        return false;
    if (!o->cycle_momentum || opt->kind->has_momentum || opt->kind->has_betas) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, name,
                     "cycle_momentum: expected an optimizer with momentum or beta1, got %s",
                     opt->kind->name);
}

lucid_scheduler *lucid_optim_one_cycle_lr(lucid_optimizer *opt, double max_lr, int64_t total_steps,
                                          const lucid_one_cycle_lr_options *options)
{
    const lucid_one_cycle_lr_options *o = options ? options : &lucid_one_cycle_lr_defaults;
    if (!luc_check_optimizer(opt, "OneCycleLR") || !check_cycle(opt, max_lr, o) ||
        !check_count("OneCycleLR", "total_steps", total_steps))
        return NULL;
    lucid_scheduler *s = make("OneCycleLR", opt, advance_cycle);
    if (!s) return NULL;
    s->period = total_steps;
    s->max_lr = max_lr;
    s->cycle = *o;
    for (size_t g = 0; g < s->n_groups; g++) {
        set_cycle(s, &s->base[g]);
        opt->groups[g].options = s->base[g];
    }
    return s;
}

void lucid_scheduler_free(lucid_scheduler *s)
{
    if (!s) return;
    luc_free(s->base);
    luc_free(s);
    luc_live_add(LUC_LIVE_OTHER, -1);
}

/* ---- stepping -------------------------------------------------------------------------------- */

static bool check_scheduler(const lucid_scheduler *s, const char *op)
{
    if (s) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "scheduler: expected one, got NULL");
}

static bool check_position(const lucid_scheduler *s, int64_t position)
{
    if (position >= 0 && (s->advance != advance_cycle || position <= s->period)) return true;
    return luc_raise(LUCID_ERR_STATE, s->name, "step: expected at most %lld, got %lld",
                     (long long)s->period, (long long)position);
}

static void advance(lucid_scheduler *s)
{
    s->position++;
    for (size_t g = 0; g < s->n_groups; g++) s->advance(s, g, &s->optimizer->groups[g].options);
}

bool lucid_scheduler_step(lucid_scheduler *s)
{
    if (!check_scheduler(s, "scheduler_step") || lucid_error_code() != LUCID_OK ||
        !check_position(s, s->position + 1))
        return false;
    advance(s);
    return true;
}

int64_t lucid_scheduler_position(const lucid_scheduler *s)
{
    return s ? s->position : -1;
}

/* Step by step, so that the learning rate is the same to the last bit. */
bool lucid_scheduler_seek(lucid_scheduler *s, int64_t position)
{
    if (!check_scheduler(s, "scheduler_seek") || !check_position(s, position)) return false;
    for (size_t g = 0; g < s->n_groups; g++) {
        lucid_optim_options *o = &s->optimizer->groups[g].options;
        o->lr = s->base[g].lr;
        if (s->advance == advance_cycle) *o = s->base[g];
    }
    s->position = 0;
    while (s->position < position) advance(s);
    return true;
}

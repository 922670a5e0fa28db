/* scheduler.c: learning rates that change during training. */
#include "nn/optim/scheduler.h"
#include "lucid/error_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/options_priv.h"
#include "nn/optim/optimizer_priv.h"

#include <assert.h>
#include <math.h>

/* The point from which the rates of a group are computed: a step, and the rate at that step. The
 * rate of a later step follows from these two numbers alone, so that a seek gives the same bits as
 * single steps. */
typedef struct anchor {
    double lr;
    int64_t step;
    double last; /* the rate that this scheduler set last; the program may set another one */
} anchor;

/* Sets a group's options to those of `position`, which is not before from->step. */
typedef void (*rule_fn)(const lucid_scheduler *s, size_t group, const anchor *from,
                        int64_t position, lucid_optim_options *o);

struct lucid_scheduler {
    const char *name;
    lucid_optimizer *optimizer; /* not owned */
    rule_fn rule;
    int64_t position;
    size_t n_groups; /* number of the optimizer's groups that it schedules so far */
    anchor *anchors; /* one for each group */
    int64_t period;  /* StepLR: steps; cosine: t_max; one cycle: all steps */
    double max_lr;   /* one cycle */
    lucid_step_lr_options step;
    lucid_cosine_lr_options cosine;
    lucid_one_cycle_lr_options cycle;
};

/* ---- the rules ------------------------------------------------------------------------------- */

static void step_rule(const lucid_scheduler *s, size_t group, const anchor *from, int64_t position,
                      lucid_optim_options *o)
{
    (void)group;
    int64_t times = position / s->period - from->step / s->period;
    o->lr = from->lr == 0 ? 0 : from->lr * pow(s->step.gamma, (double)times);
}

/* (1 + cos(pi position / t)) / 2: 1 at the tops of the curve and 0 at its lowest points. The sine
 * is exact near those, where the sum would cancel. */
static double cosine_height(int64_t position, int64_t t)
{
    int64_t from_lowest = position % t;
    if (position / t % 2 == 0) from_lowest = t - from_lowest;
    double h = sin(M_PI / 2 * ((double)from_lowest / (double)t));
    return h * h;
}

/* The number of lowest points (t, 3 t, 5 t, ...) before a position. */
static int64_t lowest_points_before(int64_t position, int64_t t)
{
    return position > t ? (position - t - 1) / 2 / t + 1 : 0;
}

/* The curve is stretched so that it passes through the anchor. After the next lowest point the
 * anchor has no influence: the rate rises to the group's initial one. */
static void cosine_rule(const lucid_scheduler *s, size_t group, const anchor *from,
                        int64_t position, lucid_optim_options *o)
{
    double low = s->cosine.eta_min, top = s->optimizer->groups[group].initial_lr;
    int64_t t = s->period;
    if (position == from->step)
        o->lr = from->lr;
    else if (lowest_points_before(position, t) > lowest_points_before(from->step, t))
        o->lr = low + (top - low) * cosine_height(position, t);
    else
        o->lr =
            low + (from->lr - low) * (cosine_height(position, t) / cosine_height(from->step, t));
}

static double anneal(const lucid_scheduler *s, double start, double end, double part)
{
    if (s->cycle.linear) return (end - start) * part + start;
    return end + (start - end) / 2 * (cos(M_PI * part) + 1);
}

/* A phase of the cycle: the step where it ends, and the learning rate and momentum there. */
typedef struct phase {
    double end, lr, momentum;
} phase;

static void cycle_rule(const lucid_scheduler *s, size_t group, const anchor *unused,
                       int64_t position, lucid_optim_options *o)
{
    (void)group;
    (void)unused;
    const lucid_one_cycle_lr_options *c = &s->cycle;
    double n = (double)s->period, p = (double)position;
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

/* ---- going to a step ------------------------------------------------------------------------- */

/* Sets the point from which a group's rates are computed. For a group that was added later this is
 * the current step. But where the curve rises, its current height may be close to 0; then the
 * group's rate is taken for the one of step 0, at the top. */
static anchor anchor_of(const lucid_scheduler *s, size_t group, int64_t position, bool seek)
{
    assert(group < s->optimizer->n_groups && s->period > 0 && position >= 0);
    const luc_optim_group *g = &s->optimizer->groups[group];
    anchor a = {.lr = g->options.lr, .step = s->position};
    if (!g->scheduled && s->rule == cosine_rule && s->position / s->period % 2 == 1) a.step = 0;
    if (g->scheduled && seek) a = (anchor){.lr = g->initial_lr, .step = g->initial_step};
    if (g->scheduled && !seek && group < s->n_groups && s->anchors[group].last == g->options.lr)
        a = s->anchors[group];
    if (a.step > position) a.step = position;
    return a;
}

static bool check_options(const lucid_scheduler *s, size_t group, int64_t position,
                          const lucid_optim_options *o)
{
    if (isfinite(o->lr)) return luc_optim_check_options(s->optimizer->kind, o);
    return luc_raise(LUCID_ERR_STATE, s->name,
                     "step %lld: lr of group %zu: expected a finite number, got %g",
                     (long long)position, group, o->lr);
}

/* Allocates the anchors of groups that were added since. */
static bool grow_anchors(lucid_scheduler *s)
{
    size_t n = s->optimizer->n_groups;
    if (n <= s->n_groups) return true;
    anchor *anchors = luc_realloc(s->anchors, n * sizeof *anchors, s->name);
    if (anchors) s->anchors = anchors;
    return anchors != NULL;
}

/* Sets every group's options to those of a step, computed from the current rates or, in a seek,
 * from the initial ones. If an option is refused, nothing changes. */
static bool go(lucid_scheduler *s, int64_t position, bool seek)
{
    lucid_optimizer *opt = s->optimizer;
    if (!grow_anchors(s)) return false;
    for (int assign = 0; assign < 2; assign++) {
        for (size_t i = 0; i < opt->n_groups; i++) {
            luc_optim_group *g = &opt->groups[i];
            lucid_optim_options o = g->options;
            anchor a = anchor_of(s, i, position, seek);
            s->rule(s, i, &a, position, &o);
            if (!assign) {
                if (!check_options(s, i, position, &o)) return false;
                continue;
            }
            luc_optim_begin_schedule(g, a.step);
            if (s->rule == cycle_rule) g->initial_lr = s->max_lr / s->cycle.div_factor;
            g->options = o;
            a.last = o.lr;
            s->anchors[i] = a;
        }
    }
    s->n_groups = opt->n_groups;
    s->position = position;
    return true;
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

static lucid_scheduler *make(const char *name, lucid_optimizer *opt, rule_fn rule, int64_t period)
{
    if (!luc_check_optimizer(opt, name)) return NULL;
    lucid_scheduler *s = luc_calloc(1, sizeof *s, name);
    if (!s) return NULL;
    s->name = name;
    s->optimizer = opt;
    s->rule = rule;
    s->period = period;
    luc_live_add_named(LUC_LIVE_OTHER, s->name, 1);
    return s;
}

/* Sets the optimizer's rates to those of step 0. Frees the scheduler if they are refused. */
static lucid_scheduler *begin(lucid_scheduler *s)
{
    if (go(s, 0, false)) return s;
    lucid_scheduler_free(s);
    return NULL;
}

lucid_scheduler *lucid_optim_step_lr(lucid_optimizer *opt, int64_t step_size,
                                     const lucid_step_lr_options *options)
{
    const lucid_step_lr_options *o = LUC_OPTIONS(lucid_step_lr, options, "StepLR");
    if (!o) return NULL;
    if (!check_count("StepLR", "step_size", step_size) ||
        !check_range("StepLR", "gamma", o->gamma, 0, INFINITY))
        return NULL;
    lucid_scheduler *s = make("StepLR", opt, step_rule, step_size);
    if (!s) return NULL;
    s->step = *o;
    return begin(s);
}

lucid_scheduler *lucid_optim_cosine_annealing_lr(lucid_optimizer *opt, int64_t t_max,
                                                 const lucid_cosine_lr_options *options)
{
    const lucid_cosine_lr_options *o = LUC_OPTIONS(lucid_cosine_lr, options, "CosineAnnealingLR");
    if (!o) return NULL;
    if (!check_count("CosineAnnealingLR", "t_max", t_max) ||
        !check_range("CosineAnnealingLR", "eta_min", o->eta_min, 0, INFINITY))
        return NULL;
    lucid_scheduler *s = make("CosineAnnealingLR", opt, cosine_rule, t_max);
    if (!s) return NULL;
    s->cosine = *o;
    return begin(s);
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
    const lucid_one_cycle_lr_options *o = LUC_OPTIONS(lucid_one_cycle_lr, options, "OneCycleLR");
    if (!o) return NULL;
    if (!luc_check_optimizer(opt, "OneCycleLR") || !check_cycle(opt, max_lr, o) ||
        !check_count("OneCycleLR", "total_steps", total_steps))
        return NULL;
    lucid_scheduler *s = make("OneCycleLR", opt, cycle_rule, total_steps);
    if (!s) return NULL;
    s->max_lr = max_lr;
    s->cycle = *o;
    return begin(s);
}

void lucid_scheduler_free(lucid_scheduler *s)
{
    if (!s) return;
    luc_live_add_named(LUC_LIVE_OTHER, s->name, -1);
    luc_free(s->anchors);
    luc_free(s);
}

/* ---- stepping -------------------------------------------------------------------------------- */

static bool check_scheduler(const lucid_scheduler *s, const char *op)
{
    if (s) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "scheduler: expected one, got NULL");
}

bool lucid_scheduler_step(lucid_scheduler *s)
{
    if (!check_scheduler(s, "scheduler_step") || lucid_error_code() != LUCID_OK) return false;
    int64_t last = s->rule == cycle_rule ? s->period : INT64_MAX;
    if (s->position >= last)
        return luc_raise(LUCID_ERR_STATE, s->name,
                         "step: expected at most %lld steps, got one more", (long long)last);
    return go(s, s->position + 1, false);
}

int64_t lucid_scheduler_position(const lucid_scheduler *s)
{
    return s ? s->position : -1;
}

bool lucid_scheduler_seek(lucid_scheduler *s, int64_t position)
{
    if (!check_scheduler(s, "scheduler_seek")) return false;
    int64_t last = s->rule == cycle_rule ? s->period : INT64_MAX;
    if (position < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, s->name, "position: expected at least 0, got %lld",
                         (long long)position);
    if (position > last)
        return luc_raise(LUCID_ERR_STATE, s->name, "position: expected at most %lld, got %lld",
                         (long long)last, (long long)position);
    return go(s, position, true);
}

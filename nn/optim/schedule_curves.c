/* schedule_curves.c: schedules with curves of their own: CosineAnnealingLR,
 * CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR. */
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/schedule_priv.h"

#include <math.h>

/* ---- half a cosine --------------------------------------------------------------------------- */

/* (1 + cos(pi position / t)) / 2: 1 at the tops of the curve and 0 at its lowest points. The sine
 * is exact near those, where the sum would cancel. */
static double cosine_height(int64_t position, int64_t t)
{
    int64_t from_lowest = position % t;
    if (position / t % 2 == 0) from_lowest = t - from_lowest;
    double h = sin(M_PI / 2 * ((double)from_lowest / (double)t));
    return h * h;
}

/* How many lowest points (t, 3 t, 5 t, ...) lie before a position. */
static int64_t lowest_points_before(int64_t position, int64_t t)
{
    return position > t ? (position - t - 1) / 2 / t + 1 : 0;
}

/* The curve is stretched so that it goes through the anchor. At a lowest point that is forgotten:
 * from there the rate rises to the group's initial one. */
static void cosine_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                        int64_t position, lucid_optim_options *o)
{
    double low = s->u.cosine.eta_min, top = s->optimizer->groups[group].initial_lr;
    int64_t t = s->period;
    if (position == from->step)
        o->lr = from->lr;
    else if (lowest_points_before(position, t) > lowest_points_before(from->step, t))
        o->lr = low + (top - low) * cosine_height(position, t);
    else
        o->lr =
            low + (from->lr - low) * (cosine_height(position, t) / cosine_height(from->step, t));
}

static const luc_schedule cosine_schedule = {
    .name = "CosineAnnealingLR", .rule = cosine_rule, .late_is_top = true};

lucid_scheduler *lucid_optim_cosine_annealing_lr(lucid_optimizer *opt, int64_t t_max,
                                                 const lucid_cosine_lr_options *options)
{
    const char *name = "CosineAnnealingLR";
    const lucid_cosine_lr_options *o = LUC_OPTIONS(lucid_cosine_lr, options, name);
    if (!o || !luc_schedule_check_count(name, "t_max", t_max, 1) ||
        !luc_schedule_check_range(name, "eta_min", o->eta_min, 0, INFINITY))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&cosine_schedule, opt);
    if (!s) return NULL;
    s->u.cosine = *o;
    s->period = t_max;
    return luc_schedule_begin(s);
}

/* ---- cosines with restarts ------------------------------------------------------------------- */

/* The cycle that a position lies in: its length, and the position from its begin. */
static int64_t in_cycle(int64_t position, int64_t first, int64_t factor, int64_t *length)
{
    *length = first;
    if (factor == 1) return position % first;
    while (position >= *length) {
        position -= *length;
        if (*length > INT64_MAX / factor) {
            *length = INT64_MAX;
            break;
        }
        *length *= factor;
    }
    return position;
}

static void restarts_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                          int64_t position, lucid_optim_options *o)
{
    (void)from;
    int64_t length, at = in_cycle(position, s->period, s->u.restarts.t_mult, &length);
    double low = s->u.restarts.eta_min, top = s->optimizer->groups[group].initial_lr;
    o->lr = at == 0 ? top : low + (top - low) * cosine_height(at, length);
}

static const luc_schedule restarts_schedule = {.name = "CosineAnnealingWarmRestarts",
                                               .rule = restarts_rule};

lucid_scheduler *lucid_optim_cosine_annealing_warm_restarts(
    lucid_optimizer *opt, int64_t t_0, const lucid_warm_restarts_lr_options *options)
{
    const char *name = "CosineAnnealingWarmRestarts";
    const lucid_warm_restarts_lr_options *o = LUC_OPTIONS(lucid_warm_restarts_lr, options, name);
    if (!o || !luc_schedule_check_count(name, "t_0", t_0, 1) ||
        !luc_schedule_check_count(name, "t_mult", o->t_mult, 1) ||
        !luc_schedule_check_range(name, "eta_min", o->eta_min, 0, INFINITY))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&restarts_schedule, opt);
    if (!s) return NULL;
    s->u.restarts = *o;
    s->period = t_0;
    return luc_schedule_begin(s);
}

/* ---- up and down, again and again ------------------------------------------------------------ */

/* How high the cycle's top is at a position, as a part of max_lr - base_lr. */
static double cycle_scale(const lucid_scheduler *s, int64_t position, int64_t cycle)
{
    const lucid_cyclic_lr_options *c = &s->u.cyclic;
    double x = c->scale_by_step ? (double)position : (double)cycle;
    if (c->scale_fn) return c->scale_fn(x, c->user);
    switch (c->mode) {
    case LUCID_TRIANGULAR2:
        return pow(0.5, (double)(cycle - 1));
    case LUCID_EXP_RANGE:
        return pow(c->gamma, (double)position);
    default:
        return 1;
    }
}

static void cyclic_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                        int64_t position, lucid_optim_options *o)
{
    (void)group;
    (void)from;
    const lucid_cyclic_lr_options *c = &s->u.cyclic;
    int64_t up = c->step_size_up, down = c->step_size_down ? c->step_size_down : up;
    int64_t at = position % (up + down), cycle = position / (up + down) + 1;
    double height = at <= up ? (double)at / (double)up : (double)(up + down - at) / (double)down;
    height *= cycle_scale(s, position, cycle);
    o->lr = s->number + (s->second - s->number) * height;
    if (c->cycle_momentum)
        luc_schedule_set_momentum(s, o,
                                  c->max_momentum - (c->max_momentum - c->base_momentum) * height);
}

static const luc_schedule cyclic_schedule = {
    .name = "CyclicLR", .rule = cyclic_rule, .sets_initial = true};

static bool check_cyclic(const lucid_optimizer *opt, double base_lr, double max_lr,
                         const lucid_cyclic_lr_options *o)
{
    const char *name = "CyclicLR";
    int64_t most = INT64_MAX / 2;
    if (!luc_schedule_check_range(name, "base_lr", base_lr, 0, INFINITY) ||
        !luc_schedule_check_range(name, "max_lr", max_lr, 0, INFINITY) ||
        !luc_schedule_check_count(name, "step_size_up", o->step_size_up, 1) ||
        !luc_schedule_check_count(name, "step_size_down", o->step_size_down, 0) ||
        !luc_schedule_check_range(name, "gamma", o->gamma, 0, INFINITY) ||
        !luc_schedule_check_range(name, "base_momentum", o->base_momentum, 0, 1) ||
        !luc_schedule_check_range(name, "max_momentum", o->max_momentum, 0, 1) ||
        !luc_schedule_check_momentum(name, opt, o->cycle_momentum))
        return false;
    if (o->step_size_up > most || o->step_size_down > most)
        return luc_raise(LUCID_ERR_ARGUMENT, name,
                         "step_size_up, step_size_down: expected at most %lld, got %lld and %lld",
                         (long long)most, (long long)o->step_size_up, (long long)o->step_size_down);
    return (o->mode >= LUCID_TRIANGULAR && o->mode <= LUCID_EXP_RANGE) ||
           luc_raise(
               LUCID_ERR_ARGUMENT, name,
               "mode: expected LUCID_TRIANGULAR, LUCID_TRIANGULAR2 or LUCID_EXP_RANGE, got %d",
               (int)o->mode);
}

lucid_scheduler *lucid_optim_cyclic_lr(lucid_optimizer *opt, double base_lr, double max_lr,
                                       const lucid_cyclic_lr_options *options)
{
    const lucid_cyclic_lr_options *o = LUC_OPTIONS(lucid_cyclic_lr, options, "CyclicLR");
    if (!o || !luc_check_optimizer(opt, "CyclicLR") || !check_cyclic(opt, base_lr, max_lr, o))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&cyclic_schedule, opt);
    if (!s) return NULL;
    s->u.cyclic = *o;
    s->number = base_lr;
    s->second = max_lr;
    return luc_schedule_begin(s);
}

/* ---- up and down once ------------------------------------------------------------------------ */

static double anneal(const lucid_scheduler *s, double start, double end, double part)
{
    if (s->u.one_cycle.linear) return (end - start) * part + start;
    return end + (start - end) / 2 * (cos(M_PI * part) + 1);
}

/* Where a phase of the cycle ends, and what learning rate and momentum it goes to. */
typedef struct phase {
    double end, lr, momentum;
} phase;

static void one_cycle_rule(const lucid_scheduler *s, size_t group, const luc_anchor *unused,
                           int64_t position, lucid_optim_options *o)
{
    (void)group;
    (void)unused;
    const lucid_one_cycle_lr_options *c = &s->u.one_cycle;
    double n = (double)s->period, p = (double)position;
    double first = s->number / c->div_factor;
    phase phases[3] = {{c->pct_start * n - 1, s->number, c->base_momentum},
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
    if (c->cycle_momentum)
        luc_schedule_set_momentum(s, o, anneal(s, from.momentum, phases[i].momentum, part));
}

static const luc_schedule one_cycle_schedule = {
    .name = "OneCycleLR", .rule = one_cycle_rule, .sets_initial = true, .ends = true};

static bool check_one_cycle(const lucid_optimizer *opt, double max_lr,
                            const lucid_one_cycle_lr_options *o)
{
    const char *name = "OneCycleLR";
    return luc_schedule_check_range(name, "max_lr", max_lr, 0, INFINITY) &&
           luc_schedule_check_range(name, "pct_start", o->pct_start, 0, 1) &&
           luc_schedule_check_range(name, "base_momentum", o->base_momentum, 0, 1) &&
           luc_schedule_check_range(name, "max_momentum", o->max_momentum, 0, 1) &&
           luc_schedule_check_range(name, "div_factor", o->div_factor, 1e-300, INFINITY) &&
           luc_schedule_check_range(name, "final_div_factor", o->final_div_factor, 1e-300,
                                    INFINITY) &&
           luc_schedule_check_momentum(name, opt, o->cycle_momentum);
}

lucid_scheduler *lucid_optim_one_cycle_lr(lucid_optimizer *opt, double max_lr, int64_t total_steps,
                                          const lucid_one_cycle_lr_options *options)
{
    const lucid_one_cycle_lr_options *o = LUC_OPTIONS(lucid_one_cycle_lr, options, "OneCycleLR");
    if (!o) return NULL;
    if (!luc_check_optimizer(opt, "OneCycleLR") || !check_one_cycle(opt, max_lr, o) ||
        !luc_schedule_check_count("OneCycleLR", "total_steps", total_steps, 1))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&one_cycle_schedule, opt);
    if (!s) return NULL;
    s->number = max_lr;
    s->period = total_steps;
    s->u.one_cycle = *o;
    return luc_schedule_begin(s);
}

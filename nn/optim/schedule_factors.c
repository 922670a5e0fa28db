/* schedule_factors.c: schedules that multiply the initial rate by a factor of the step: StepLR,
 * MultiStepLR, ExponentialLR, LinearLR, ConstantLR, PolynomialLR, LambdaLR, MultiplicativeLR,
 * NoamLR. */
#include "lucid/core/options_priv.h"
#include "nn/optim/schedule_priv.h"

#include <math.h>

/* The rate `to` steps on from an anchor: the factors of the two steps. From a rate that has become
 * 0 the curve cannot be followed any more: it stays. */
static double scale(const luc_anchor *from, double at_anchor, double at_position)
{
    double before = from->base ? 1 : at_anchor;
    if (from->lr == 0 || before == at_position) return from->lr;
    return before == 0 ? from->lr : from->lr * (at_position / before);
}

static lucid_scheduler *with_gamma(const luc_schedule *kind, lucid_optimizer *opt, double gamma)
{
    if (!luc_schedule_check_range(kind->name, "gamma", gamma, 0, INFINITY)) return NULL;
    lucid_scheduler *s = luc_schedule_new(kind, opt);
    if (s) s->number = gamma;
    return s;
}

static double power(double lr, double gamma, int64_t times)
{
    return lr == 0 ? 0 : lr * pow(gamma, (double)times);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                      int64_t position, lucid_optim_options *o)
{
    (void)group;
    o->lr = power(from->lr, s->number, position / s->period - from->step / s->period);
}

static const luc_schedule step_schedule = {.name = "StepLR", .rule = step_rule};

lucid_scheduler *lucid_optim_step_lr(lucid_optimizer *opt, int64_t step_size,
                                     const lucid_step_lr_options *options)
{
    const lucid_step_lr_options *o = LUC_OPTIONS(lucid_step_lr, options, "StepLR");
    if (!o || !luc_schedule_check_count("StepLR", "step_size", step_size, 1)) return NULL;
    lucid_scheduler *s = with_gamma(&step_schedule, opt, o->gamma);
    if (!s) return NULL;
    s->period = step_size;
    return luc_schedule_begin(s);
}

static int64_t milestones_until(const lucid_scheduler *s, int64_t position)
{
    int64_t n = 0;
    while (n < (int64_t)s->milestones.count && s->milestones.at[n] <= position) n++;
    return n;
}

static void multi_step_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                            int64_t position, lucid_optim_options *o)
{
    (void)group;
    int64_t before = from->base ? 0 : milestones_until(s, from->step);
    o->lr = power(from->lr, s->number, milestones_until(s, position) - before);
}

static const luc_schedule multi_step_schedule = {.name = "MultiStepLR", .rule = multi_step_rule};

lucid_scheduler *lucid_optim_multi_step_lr(lucid_optimizer *opt, lucid_milestones milestones,
                                           const lucid_multi_step_lr_options *options)
{
    const char *name = "MultiStepLR";
    const lucid_multi_step_lr_options *o = LUC_OPTIONS(lucid_multi_step_lr, options, name);
    if (!o || !luc_schedule_check_milestones(name, &milestones, 0)) return NULL;
    lucid_scheduler *s = with_gamma(&multi_step_schedule, opt, o->gamma);
    if (!s) return NULL;
    s->milestones = milestones;
    return luc_schedule_begin(s);
}

static void exponential_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                             int64_t position, lucid_optim_options *o)
{
    (void)group;
    o->lr = power(from->lr, s->number, position - from->step);
}

static const luc_schedule exponential_schedule = {.name = "ExponentialLR",
                                                  .rule = exponential_rule};

lucid_scheduler *lucid_optim_exponential_lr(lucid_optimizer *opt, double gamma)
{
    lucid_scheduler *s = with_gamma(&exponential_schedule, opt, gamma);
    return s ? luc_schedule_begin(s) : NULL;
}

/* ---- until total_iters ----------------------------------------------------------------------- */

/* The part of total_iters that has passed. */
static double passed(const lucid_scheduler *s, int64_t position)
{
    return position >= s->period ? 1 : (double)position / (double)s->period;
}

static double linear_factor(const lucid_scheduler *s, int64_t position)
{
    const lucid_linear_lr_options *o = &s->u.linear;
    double part = passed(s, position);
    return part == 1 ? o->end_factor : o->start_factor + (o->end_factor - o->start_factor) * part;
}

static void linear_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                        int64_t position, lucid_optim_options *o)
{
    (void)group;
    o->lr = scale(from, linear_factor(s, from->step), linear_factor(s, position));
}

static const luc_schedule linear_schedule = {.name = "LinearLR", .rule = linear_rule};

lucid_scheduler *lucid_optim_linear_lr(lucid_optimizer *opt, const lucid_linear_lr_options *options)
{
    const char *name = "LinearLR";
    const lucid_linear_lr_options *o = LUC_OPTIONS(lucid_linear_lr, options, name);
    if (!o || !luc_schedule_check_range(name, "start_factor", o->start_factor, 1e-300, 1) ||
        !luc_schedule_check_range(name, "end_factor", o->end_factor, 0, 1) ||
        !luc_schedule_check_count(name, "total_iters", o->total_iters, 1))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&linear_schedule, opt);
    if (!s) return NULL;
    s->u.linear = *o;
    s->period = o->total_iters;
    return luc_schedule_begin(s);
}

static double constant_factor(const lucid_scheduler *s, int64_t position)
{
    return position >= s->period ? 1 : s->u.constant.factor;
}

static void constant_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                          int64_t position, lucid_optim_options *o)
{
    (void)group;
    o->lr = scale(from, constant_factor(s, from->step), constant_factor(s, position));
}

static const luc_schedule constant_schedule = {.name = "ConstantLR", .rule = constant_rule};

lucid_scheduler *lucid_optim_constant_lr(lucid_optimizer *opt,
                                         const lucid_constant_lr_options *options)
{
    const char *name = "ConstantLR";
    const lucid_constant_lr_options *o = LUC_OPTIONS(lucid_constant_lr, options, name);
    if (!o || !luc_schedule_check_range(name, "factor", o->factor, 0, 1) ||
        !luc_schedule_check_count(name, "total_iters", o->total_iters, 0))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&constant_schedule, opt);
    if (!s) return NULL;
    s->u.constant = *o;
    s->period = o->total_iters;
    return luc_schedule_begin(s);
}

static double polynomial_factor(const lucid_scheduler *s, int64_t position)
{
    return pow(1 - passed(s, position), s->u.polynomial.power);
}

static void polynomial_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                            int64_t position, lucid_optim_options *o)
{
    (void)group;
    o->lr = scale(from, polynomial_factor(s, from->step), polynomial_factor(s, position));
}

static const luc_schedule polynomial_schedule = {.name = "PolynomialLR", .rule = polynomial_rule};

lucid_scheduler *lucid_optim_polynomial_lr(lucid_optimizer *opt,
                                           const lucid_polynomial_lr_options *options)
{
    const char *name = "PolynomialLR";
    const lucid_polynomial_lr_options *o = LUC_OPTIONS(lucid_polynomial_lr, options, name);
    if (!o || !luc_schedule_check_range(name, "power", o->power, 0, INFINITY) ||
        !luc_schedule_check_count(name, "total_iters", o->total_iters, 1))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&polynomial_schedule, opt);
    if (!s) return NULL;
    s->u.polynomial = *o;
    s->period = o->total_iters;
    return luc_schedule_begin(s);
}

/* ---- the program's own factors --------------------------------------------------------------- */

static void lambda_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                        int64_t position, lucid_optim_options *o)
{
    (void)from;
    o->lr = s->optimizer->groups[group].initial_lr * s->lambda(position, group, s->u.lambda.user);
}

static void multiplicative_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                                int64_t position, lucid_optim_options *o)
{
    o->lr = from->lr;
    for (int64_t k = from->step; k < position; k++)
        o->lr *= s->lambda(k + 1, group, s->u.lambda.user);
}

static const luc_schedule lambda_schedule = {.name = "LambdaLR", .rule = lambda_rule};
static const luc_schedule multiplicative_schedule = {
    .name = "MultiplicativeLR", .rule = multiplicative_rule, .from_last = true};

static lucid_scheduler *with_lambda(const luc_schedule *kind, lucid_optimizer *opt,
                                    lucid_lr_lambda lambda, const lucid_lambda_lr_options *options)
{
    const lucid_lambda_lr_options *o = LUC_OPTIONS(lucid_lambda_lr, options, kind->name);
    if (!o) return NULL;
    if (!lambda)
        return luc_raise_null(LUCID_ERR_ARGUMENT, kind->name,
                              "lambda: expected a function, got NULL");
    lucid_scheduler *s = luc_schedule_new(kind, opt);
    if (!s) return NULL;
    s->lambda = lambda;
    s->u.lambda = *o;
    return luc_schedule_begin(s);
}

lucid_scheduler *lucid_optim_lambda_lr(lucid_optimizer *opt, lucid_lr_lambda lambda,
                                       const lucid_lambda_lr_options *options)
{
    return with_lambda(&lambda_schedule, opt, lambda, options);
}

lucid_scheduler *lucid_optim_multiplicative_lr(lucid_optimizer *opt, lucid_lr_lambda lambda,
                                               const lucid_lambda_lr_options *options)
{
    return with_lambda(&multiplicative_schedule, opt, lambda, options);
}

/* ---- Noam ------------------------------------------------------------------------------------ */

static void noam_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                      int64_t position, lucid_optim_options *o)
{
    (void)from;
    double n = (double)position + 1, warm_up = (double)s->period;
    double rising = n * pow(warm_up, -1.5), falling = 1 / sqrt(n);
    o->lr = s->optimizer->groups[group].initial_lr * fmin(rising, falling) / sqrt(s->second);
}

static const luc_schedule noam_schedule = {.name = "NoamLR", .rule = noam_rule};

lucid_scheduler *lucid_optim_noam_lr(lucid_optimizer *opt, int64_t d_model, int64_t warmup_steps)
{
    if (!luc_schedule_check_count("NoamLR", "d_model", d_model, 1) ||
        !luc_schedule_check_count("NoamLR", "warmup_steps", warmup_steps, 1))
        return NULL;
    lucid_scheduler *s = luc_schedule_new(&noam_schedule, opt);
    if (!s) return NULL;
    s->second = (double)d_model;
    s->period = warmup_steps;
    return luc_schedule_begin(s);
}

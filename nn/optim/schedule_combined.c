/* schedule_combined.c: schedules made of schedules: SequentialLR, ChainedScheduler. The inner ones
 * lend their rules; only the outer one is stepped and has a position. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/schedule_priv.h"

#include <stdint.h>

/* ---- one after the other --------------------------------------------------------------------- */

static void sequential_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                            int64_t position, lucid_optim_options *o)
{
    size_t i = 0;
    while (i < s->milestones.count && position >= s->milestones.at[i]) i++;
    int64_t begins = i ? s->milestones.at[i - 1] : 0;
    const lucid_scheduler *child = s->children[i];
    luc_anchor a = {.lr = s->optimizer->groups[group].initial_lr, .base = true};
    if (child->kind->from_last && !from->base && from->step >= begins)
        a = (luc_anchor){.lr = from->lr, .step = from->step - begins};
    child->kind->rule(child, group, &a, position - begins, o);
}

/* ---- all at once ----------------------------------------------------------------------------- */

/* One step of each inner schedule, from what the one before it has made of the rate. */
static void chain_step(const lucid_scheduler *s, size_t group, int64_t position, bool base,
                       lucid_optim_options *o)
{
    for (size_t i = 0; i < s->n_children; i++) {
        const lucid_scheduler *child = s->children[i];
        luc_anchor a = {.lr = o->lr, .step = base ? 0 : position - 1, .base = base};
        child->kind->rule(child, group, &a, position, o);
    }
}

static void chained_rule(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                         int64_t position, lucid_optim_options *o)
{
    o->lr = from->lr;
    if (from->base) chain_step(s, group, 0, true, o);
    for (int64_t k = from->step; k < position; k++) chain_step(s, group, k + 1, false, o);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Whose rates follow from the step before is known only when the inner schedules are. */
static const luc_schedule sequential_schedule = {.name = "SequentialLR", .rule = sequential_rule};
static const luc_schedule sequential_from_last = {
    .name = "SequentialLR", .rule = sequential_rule, .from_last = true};
static const luc_schedule chained_schedule = {
    .name = "ChainedScheduler", .rule = chained_rule, .from_last = true};

static bool check_children(const char *name, const lucid_optimizer *opt,
                           const lucid_schedulers *schedulers)
{
    if (schedulers->count < 1 || schedulers->count > LUCID_MAX_SCHEDULERS)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "schedulers: expected 1 to %d of them, got %zu",
                         LUCID_MAX_SCHEDULERS, schedulers->count);
    for (size_t i = 0; i < schedulers->count; i++) {
        const lucid_scheduler *s = schedulers->of[i];
        if (!luc_check_scheduler(s, name)) return false;
        if (s->optimizer != opt)
            return luc_raise(LUCID_ERR_ARGUMENT, name,
                             "scheduler %zu: expected one of the same optimizer, got a %s of "
                             "another",
                             i, s->kind->name);
        if (!s->kind->rule)
            return luc_raise(LUCID_ERR_ARGUMENT, name,
                             "scheduler %zu: expected one whose rates follow from the step, got %s",
                             i, s->kind->name);
        for (size_t j = 0; j < i; j++)
            if (schedulers->of[j] == s)
                return luc_raise(LUCID_ERR_ARGUMENT, name,
                                 "scheduler %zu: expected another one than scheduler %zu, got the "
                                 "same",
                                 i, j);
    }
    return true;
}

/* Each but the last must go on until the next one begins. */
static bool check_lengths(const lucid_schedulers *schedulers, const lucid_milestones *m)
{
    for (size_t i = 0; i < m->count; i++) {
        int64_t needed = m->at[i] - (i ? m->at[i - 1] : 0) - 1;
        int64_t last = luc_schedule_last_step(schedulers->of[i]);
        if (needed > last)
            return luc_raise(LUCID_ERR_ARGUMENT, "SequentialLR",
                             "scheduler %zu: expected one that goes on for %lld steps, got %s with "
                             "%lld",
                             i, (long long)needed, schedulers->of[i]->kind->name, (long long)last);
    }
    return true;
}

/* Frees each of them once. */
static void free_all(const lucid_schedulers *schedulers)
{
    size_t n = schedulers->count < LUCID_MAX_SCHEDULERS ? schedulers->count : LUCID_MAX_SCHEDULERS;
    for (size_t i = 0; i < n; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++) seen = seen || schedulers->of[j] == schedulers->of[i];
        if (!seen) lucid_scheduler_free(schedulers->of[i]);
    }
}

/* The rates of step 0 count from the initial ones, whatever the inner schedules have made of
 * them. */
static lucid_scheduler *adopt(const luc_schedule *kind, lucid_optimizer *opt,
                              const lucid_schedulers *schedulers, const lucid_milestones *m)
{
    lucid_scheduler *s = luc_schedule_new(kind, opt);
    if (!s) {
        free_all(schedulers);
        return NULL;
    }
    for (size_t i = 0; i < schedulers->count; i++) s->children[i] = schedulers->of[i];
    s->n_children = schedulers->count;
    s->milestones = *m;
    double rates[1],
        *was = opt->n_groups > 1 ? luc_alloc(opt->n_groups * sizeof *was, kind->name) : rates;
    if (!was) {
        lucid_scheduler_free(s);
        return NULL;
    }
    for (size_t i = 0; i < opt->n_groups; i++) {
        was[i] = opt->groups[i].options.lr;
        opt->groups[i].options.lr = opt->groups[i].initial_lr;
    }
    s = luc_schedule_begin(s);
    for (size_t i = 0; !s && i < opt->n_groups; i++) opt->groups[i].options.lr = was[i];
    if (was != rates) luc_free(was);
    return s;
}

lucid_scheduler *lucid_optim_sequential_lr(lucid_optimizer *opt, lucid_schedulers schedulers,
                                           lucid_milestones milestones)
{
    const char *name = "SequentialLR";
    bool ok = luc_check_optimizer(opt, name) && check_children(name, opt, &schedulers);
    if (ok && milestones.count != schedulers.count - 1)
        ok = luc_raise(LUCID_ERR_ARGUMENT, name,
                       "milestones: expected one less than schedulers, %zu, got %zu",
                       schedulers.count - 1, milestones.count);
    ok = ok && (milestones.count == 0 || luc_schedule_check_milestones(name, &milestones, 1));
    if (!ok || !check_lengths(&schedulers, &milestones)) {
        free_all(&schedulers);
        return NULL;
    }
    bool from_last = false;
    for (size_t i = 0; i < schedulers.count; i++)
        from_last = from_last || schedulers.of[i]->kind->from_last;
    return adopt(from_last ? &sequential_from_last : &sequential_schedule, opt, &schedulers,
                 &milestones);
}

lucid_scheduler *lucid_optim_chained_scheduler(lucid_optimizer *opt, lucid_schedulers schedulers)
{
    const char *name = "ChainedScheduler";
    if (!luc_check_optimizer(opt, name) || !check_children(name, opt, &schedulers)) {
        free_all(&schedulers);
        return NULL;
    }
    return adopt(&chained_schedule, opt, &schedulers, &(lucid_milestones){0});
}

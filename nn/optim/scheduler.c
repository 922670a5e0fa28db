/* scheduler.c: what all learning rate schedules share: going to a step, checks, life. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/schedule_priv.h"

#include <assert.h>
#include <math.h>

/* ---- going to a step ------------------------------------------------------------------------- */

/* Sets the point from which a group's rates are computed. For a group that was added later this is
 * the current step. But where the curve rises, its current height may be close to 0; then the
 * group's rate is taken for the one of step 0, at the top. */
static luc_anchor anchor_of(const lucid_scheduler *s, size_t group, int64_t position, bool seek)
{
    assert(group < s->optimizer->n_groups && position >= 0);
    const luc_optim_group *g = &s->optimizer->groups[group];
    luc_anchor a = {.lr = g->options.lr, .step = s->position, .base = !s->begun};
    bool known = g->scheduled && group < s->n_groups && s->begun;
    if (!g->scheduled && s->kind->late_is_top && s->position / s->period % 2 == 1) a.step = 0;
    if (g->scheduled && seek)
        a = (luc_anchor){g->initial_lr, g->initial_step, .base = g->initial_step == 0};
    if (known && !seek && !s->kind->from_last && s->anchors[group].last == g->options.lr)
        a = s->anchors[group];
    if (a.step > position) a.step = position;
    return a;
}

bool luc_schedule_check_options(const lucid_scheduler *s, size_t group, int64_t position,
                                const lucid_optim_options *o)
{
    if (lucid_error_code() != LUCID_OK) return false; /* from the program's own function */
    if (isfinite(o->lr)) return luc_optim_check_options(s->optimizer->kind, o);
    return luc_raise(LUCID_ERR_STATE, s->kind->name,
                     "step %lld: lr of group %zu: expected a finite number, got %g",
                     (long long)position, group, o->lr);
}

bool luc_schedule_grow(lucid_scheduler *s)
{
    size_t n = s->optimizer->n_groups;
    if (n <= s->n_groups) return true;
    luc_anchor *anchors = luc_realloc(s->anchors, n * sizeof *anchors, s->kind->name);
    if (anchors) s->anchors = anchors;
    luc_schedule_next *next = luc_realloc(s->next, n * sizeof *next, s->kind->name);
    if (next) s->next = next;
    return anchors && next;
}

/* Sets every group's options to those of a step, computed from the current rates or, in a seek,
 * from the initial ones. If an option is refused, nothing changes. */
static bool go(lucid_scheduler *s, int64_t position, bool seek)
{
    lucid_optimizer *opt = s->optimizer;
    if (!luc_schedule_grow(s)) return false;
    for (size_t i = 0; i < opt->n_groups; i++) {
        luc_schedule_next *next = &s->next[i];
        next->options = opt->groups[i].options;
        next->anchor = anchor_of(s, i, position, seek);
        s->kind->rule(s, i, &next->anchor, position, &next->options);
        if (!luc_schedule_check_options(s, i, position, &next->options)) return false;
    }
    for (size_t i = 0; i < opt->n_groups; i++) {
        luc_optim_group *g = &opt->groups[i];
        luc_anchor *a = &s->next[i].anchor;
        luc_optim_begin_schedule(g, a->step);
        if (s->kind->sets_initial && !s->begun) {
            g->initial_lr = s->next[i].options.lr;
            g->initial_step = 0;
        }
        g->options = s->next[i].options;
        a->last = g->options.lr;
        s->anchors[i] = *a;
    }
    s->n_groups = opt->n_groups;
    s->position = position;
    s->begun = true;
    return true;
}

/* ---- checks of arguments --------------------------------------------------------------------- */

bool luc_schedule_check_count(const char *name, const char *argument, int64_t value, int64_t least)
{
    return value >= least ||
           luc_raise(LUCID_ERR_ARGUMENT, name, "%s: expected at least %lld, got %lld", argument,
                     (long long)least, (long long)value);
}

bool luc_schedule_check_range(const char *name, const char *argument, double value, double low,
                              double high)
{
    if (value >= low && value <= high && isfinite(value)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, name, "%s: expected [%g, %g], got %g", argument, low, high,
                     value);
}

bool luc_schedule_check_milestones(const char *name, const lucid_milestones *m, int64_t least)
{
    if (m->count < 1 || m->count > LUCID_MAX_MILESTONES)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "milestones: expected 1 to %d of them, got %zu",
                         LUCID_MAX_MILESTONES, m->count);
    for (size_t i = 0; i < m->count; i++) {
        int64_t low = i ? m->at[i - 1] : least;
        if (m->at[i] < low)
            return luc_raise(LUCID_ERR_ARGUMENT, name,
                             "milestones: expected steps in order, each at least %lld, got %lld "
                             "after %lld",
                             (long long)least, (long long)m->at[i], (long long)low);
    }
    return true;
}

bool luc_schedule_check_momentum(const char *name, const lucid_optimizer *opt, bool cycles)
{
    if (!cycles || luc_optim_has(opt->kind, LUC_FIELD_momentum) ||
        luc_optim_has(opt->kind, LUC_FIELD_beta1))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, name,
                     "cycle_momentum: expected an optimizer with momentum or beta1, got %s",
                     opt->kind->name);
}

void luc_schedule_set_momentum(const lucid_scheduler *s, lucid_optim_options *o, double momentum)
{
    if (luc_optim_has(s->optimizer->kind, LUC_FIELD_beta1))
        o->beta1 = momentum;
    else
        o->momentum = momentum;
}

/* ---- life ------------------------------------------------------------------------------------ */

lucid_scheduler *luc_schedule_new(const luc_schedule *kind, lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, kind->name)) return NULL;
    lucid_scheduler *s = luc_calloc(1, sizeof *s, kind->name);
    if (!s) return NULL;
    s->kind = kind;
    s->optimizer = opt;
    luc_live_add_named(LUC_LIVE_OTHER, kind->name, 1);
    return s;
}

lucid_scheduler *luc_schedule_begin(lucid_scheduler *s)
{
    if (go(s, 0, false)) return s;
    lucid_scheduler_free(s);
    return NULL;
}

void lucid_scheduler_free(lucid_scheduler *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_children; i++) lucid_scheduler_free(s->children[i]);
    if (s->kind == &luc_plateau_schedule) luc_free((void *)s->u.plateau.options.min_lrs);
    luc_live_add_named(LUC_LIVE_OTHER, s->kind->name, -1);
    luc_free(s->anchors);
    luc_free(s->next);
    luc_free(s);
}

/* ---- stepping -------------------------------------------------------------------------------- */

bool luc_check_scheduler(const lucid_scheduler *s, const char *op)
{
    if (s) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "scheduler: expected one, got NULL");
}

int64_t luc_schedule_last_step(const lucid_scheduler *s)
{
    if (s->kind->ends) return s->period;
    int64_t last = INT64_MAX;
    bool chained = s->n_children && s->milestones.count == 0;
    for (size_t i = chained ? 0 : s->n_children ? s->n_children - 1 : 0; i < s->n_children; i++) {
        int64_t of_child = luc_schedule_last_step(s->children[i]);
        if (of_child < last) last = of_child;
    }
    if (chained || !s->n_children || last == INT64_MAX) return last;
    int64_t begins = s->milestones.at[s->milestones.count - 1];
    return last > INT64_MAX - begins ? INT64_MAX : begins + last;
}

bool lucid_scheduler_step(lucid_scheduler *s)
{
    if (!luc_check_scheduler(s, "scheduler_step") || lucid_error_code() != LUCID_OK) return false;
    if (!s->kind->rule)
        return luc_raise(LUCID_ERR_STATE, s->kind->name,
                         "step: expected lucid_scheduler_step_metric with what was measured, got "
                         "no number");
    int64_t last = luc_schedule_last_step(s);
    if (s->position >= last)
        return luc_raise(LUCID_ERR_STATE, s->kind->name,
                         "step: expected at most %lld steps, got one more", (long long)last);
    return go(s, s->position + 1, false);
}

bool lucid_scheduler_step_metric(lucid_scheduler *s, double metric)
{
    if (!luc_check_scheduler(s, "scheduler_step_metric") || lucid_error_code() != LUCID_OK)
        return false;
    return s->kind->rule ? lucid_scheduler_step(s) : luc_plateau_step(s, metric);
}

int64_t lucid_scheduler_position(const lucid_scheduler *s)
{
    return s ? s->position : -1;
}

bool lucid_scheduler_seek(lucid_scheduler *s, int64_t position)
{
    if (!luc_check_scheduler(s, "scheduler_seek")) return false;
    if (!s->kind->rule)
        return luc_raise(LUCID_ERR_UNSUPPORTED, s->kind->name,
                         "seek: its rates depend on what was measured: load its state instead");
    int64_t last = luc_schedule_last_step(s);
    if (position < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, s->kind->name,
                         "position: expected at least 0, got %lld", (long long)position);
    if (position > last)
        return luc_raise(LUCID_ERR_STATE, s->kind->name,
                         "position: expected at most %lld, got %lld", (long long)last,
                         (long long)position);
    return go(s, position, true);
}

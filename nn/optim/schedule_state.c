/* schedule_state.c: the state of a scheduler, and taking one over. */
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/optim/schedule_priv.h"
#include "nn/state_dict.h"
#include "nn/state_dict_priv.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define KIND_NOTE "scheduler"

/* ---- out ------------------------------------------------------------------------------------- */

static bool put_numbers(lucid_state_dict *d, const char *name, const double *values, size_t n,
                        bool scalar)
{
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = LUCID_F64;
    lucid_shape shape = {.ndim = scalar ? 0 : 1, .dims = {(int64_t)n}};
    lucid_tensor *t = lucid_from_typed_data(shape, values, LUCID_F64, &options);
    return t && lucid_state_dict_set(d, name, t);
}

static bool put_integer(lucid_state_dict *d, const char *name, int64_t value)
{
    lucid_tensor *t = lucid_from_typed_data((lucid_shape){0}, &value, LUCID_I64, NULL);
    return t && lucid_state_dict_set(d, name, t);
}

/* What the groups' rates are counted from. */
static bool put_anchors(const lucid_scheduler *s, lucid_state_dict *d)
{
    size_t n = s->n_groups;
    double *v = luc_calloc(5 * n, sizeof *v, s->kind->name);
    if (!v) return false;
    for (size_t i = 0; i < n; i++) {
        const luc_anchor *a = &s->anchors[i];
        v[i] = s->optimizer->groups[i].initial_lr;
        v[n + i] = a->last;
        v[2 * n + i] = a->lr;
        v[3 * n + i] = (double)a->step;
        v[4 * n + i] = a->base;
    }
    bool ok = put_numbers(d, "base_lrs", v, n, false) &&
              put_numbers(d, "_last_lr", v + n, n, false) &&
              put_numbers(d, "from.lr", v + 2 * n, n, false) &&
              put_numbers(d, "from.step", v + 3 * n, n, false) &&
              put_numbers(d, "from.base", v + 4 * n, n, false);
    luc_free(v);
    return ok;
}

lucid_state_dict *lucid_scheduler_state_dict(const lucid_scheduler *s)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!luc_check_scheduler(s, "scheduler_state_dict")) return NULL;
    lucid_state_dict *d = lucid_state_dict_new();
    bool ok = d && lucid_state_dict_set_note(d, KIND_NOTE, s->kind->name) &&
              put_integer(d, "last_epoch", s->position);
    const luc_plateau *p = &s->u.plateau;
    if (ok && !s->kind->rule)
        ok = put_numbers(d, "best", &p->best, 1, true) &&
             put_integer(d, "num_bad_epochs", p->bad) &&
             put_integer(d, "cooldown_counter", p->cooldown);
    else if (ok)
        ok = put_anchors(s, d);
    if (ok) return d;
    lucid_state_dict_free(d);
    return NULL;
}

/* ---- in -------------------------------------------------------------------------------------- */

static bool refuse(const lucid_scheduler *s, const char *what, const char *expected,
                   const char *got)
{
    return luc_raise(LUCID_ERR_FORMAT, s->kind->name, "state: %s: expected %s, got %s", what,
                     expected, got);
}

/* n numbers of a name. */
static bool get_numbers(const lucid_scheduler *s, const lucid_state_dict *d, const char *name,
                        double *values, size_t n)
{
    char expected[48];
    lucid_tensor *t = lucid_state_dict_get(d, name);
    snprintf(expected, sizeof expected, "%zu numbers", n);
    if (!t) return lucid_error_code() == LUCID_OK && refuse(s, name, expected, "none");
    if (lucid_numel(t) != (int64_t)n) return refuse(s, name, expected, luc_shape_text(t).s);
    return lucid_to_doubles(t, values, n);
}

/* A whole number from 0 to `most`. */
static bool get_integer(const lucid_scheduler *s, const lucid_state_dict *d, const char *name,
                        int64_t most, int64_t *value)
{
    double number;
    char got[32];
    if (!get_numbers(s, d, name, &number, 1)) return false;
    bool fits = number >= 0 && number < 9223372036854775808.0 && number == floor(number);
    if (fits) {
        lucid_tensor *t = lucid_state_dict_get(d, name);
        *value = (int64_t)number;
        if (lucid_tensor_dtype(t) == LUCID_I64) lucid_copy_to(t, value, sizeof *value);
        if (*value >= 0 && *value <= most) return true;
    }
    luc_snprintf(got, sizeof got, "%g", number);
    return refuse(s, name, "a number of steps", got);
}

static bool load_plateau(lucid_scheduler *s, const lucid_state_dict *d, int64_t position)
{
    luc_plateau p = s->u.plateau;
    if (!get_numbers(s, d, "best", &p.best, 1) ||
        !get_integer(s, d, "num_bad_epochs", INT64_MAX - 1, &p.bad) ||
        !get_integer(s, d, "cooldown_counter", INT64_MAX, &p.cooldown))
        return false;
    if (isnan(p.best)) return refuse(s, "best", "a number", "nan");
    s->u.plateau = p;
    s->position = position;
    return true;
}

static bool is_rate(double lr)
{
    return lr >= 0 && isfinite(lr);
}

/* The five lists of put_anchors, each for all groups. */
static bool read_anchors(const lucid_scheduler *s, const lucid_state_dict *d, int64_t position,
                         double *v, size_t n)
{
    if (!get_numbers(s, d, "base_lrs", v, n) || !get_numbers(s, d, "_last_lr", v + n, n) ||
        !get_numbers(s, d, "from.lr", v + 2 * n, n) ||
        !get_numbers(s, d, "from.step", v + 3 * n, n) ||
        !get_numbers(s, d, "from.base", v + 4 * n, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        double step = v[3 * n + i];
        if (!is_rate(v[i]) || !is_rate(v[n + i]) || !is_rate(v[2 * n + i]))
            return refuse(s, "rates", "numbers >= 0", "others");
        if (!(step >= 0 && step <= (double)position && step == floor(step)))
            return refuse(s, "from.step", "steps that have been", "others");
    }
    return true;
}

static bool load_anchors(lucid_scheduler *s, const lucid_state_dict *d, int64_t position)
{
    size_t n = s->optimizer->n_groups;
    if (!luc_schedule_grow(s)) return false;
    double *v = luc_calloc(5 * n, sizeof *v, s->kind->name);
    bool ok = v && read_anchors(s, d, position, v, n);
    for (size_t i = 0; ok && i < n; i++) {
        luc_optim_group *g = &s->optimizer->groups[i];
        s->anchors[i] = (luc_anchor){.lr = v[2 * n + i],
                                     .step = (int64_t)v[3 * n + i],
                                     .base = v[4 * n + i] != 0,
                                     .last = v[n + i]};
        if (s->anchors[i].step > position) s->anchors[i].step = position;
        g->initial_lr = v[i];
        if (!g->scheduled) g->initial_step = 0;
        g->scheduled = true;
    }
    luc_free(v);
    if (!ok) return false;
    s->n_groups = n;
    s->position = position;
    return true;
}

bool lucid_scheduler_load_state_dict(lucid_scheduler *s, const lucid_state_dict *state)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    int64_t position;
    if (!luc_check_scheduler(s, "scheduler_load_state_dict")) return false;
    if (!state)
        return lucid_error_code() == LUCID_OK &&
               luc_raise(LUCID_ERR_ARGUMENT, s->kind->name, "state: expected one, got NULL");
    if (!luc_state_is_whole(state, s->kind->name)) return false;
    const char *kind = lucid_state_dict_note(state, KIND_NOTE);
    if (!kind || strcmp(kind, s->kind->name) != 0)
        return refuse(s, "scheduler", s->kind->name, kind ? kind : "none");
    if (!get_integer(s, state, "last_epoch", luc_schedule_last_step(s), &position)) return false;
    return s->kind->rule ? load_anchors(s, state, position) : load_plateau(s, state, position);
}

/* optimizer_state.c: saving and loading options, step counts and moments. */
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "lucid/error_priv.h"
#include "lucid/format_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/tensor_priv.h"
#include "lucid/text_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/state_dict.h"
#include "nn/state_dict_priv.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define KIND_NOTE   "optimizer"
#define GROUPS_NOTE "param_groups"

/* ---- options as text: every double reads back exactly ---------------------------------------- */

/* The members of a group's object, in the order in which they are written. */
static const struct {
    const char *name;
    size_t at; /* in lucid_optim_options */
    bool is_bool;
} members[] = {
    {"lr", offsetof(lucid_optim_options, lr), false},
    {"weight_decay", offsetof(lucid_optim_options, weight_decay), false},
    {"maximize", offsetof(lucid_optim_options, maximize), true},
    {"momentum", offsetof(lucid_optim_options, momentum), false},
    {"dampening", offsetof(lucid_optim_options, dampening), false},
    {"nesterov", offsetof(lucid_optim_options, nesterov), true},
    {"beta1", offsetof(lucid_optim_options, beta1), false},
    {"beta2", offsetof(lucid_optim_options, beta2), false},
    {"eps", offsetof(lucid_optim_options, eps), false},
    {"amsgrad", offsetof(lucid_optim_options, amsgrad), true},
    {"rho", offsetof(lucid_optim_options, rho), false},
};
enum { MEMBERS = sizeof members / sizeof *members };

/* "initial_lr" is null where no schedule has begun. Files of older versions have none. */
static bool put_initial(luc_string *out, const luc_optim_group *g, const char *op)
{
    if (g->scheduled && !isfinite(g->initial_lr))
        return luc_raise(LUCID_ERR_STATE, op, "initial_lr: expected a finite number, got %g",
                         g->initial_lr);
    return luc_string_printf(out, ",\"initial_lr\":") &&
           (g->scheduled ? luc_json_put_number(out, g->initial_lr)
                         : luc_string_printf(out, "null")) &&
           luc_string_printf(out, ",\"initial_step\":%lld", (long long)g->initial_step);
}

/* Returns false, with an error raised, when memory is out or a number has no form in JSON. */
static bool put_group(luc_string *out, const luc_optim_group *g, const char *op)
{
    const char *options = (const char *)&g->options;
    bool ok = luc_string_printf(out, "{\"params\":%zu", g->n);
    for (size_t i = 0; ok && i < MEMBERS; i++) {
        ok = luc_string_printf(out, ",\"%s\":", members[i].name);
        if (ok && members[i].is_bool) {
            bool value = *(const bool *)(options + members[i].at);
            ok = luc_string_printf(out, value ? "true" : "false");
        } else if (ok) {
            double value = *(const double *)(options + members[i].at);
            if (!isfinite(value))
                return luc_raise(LUCID_ERR_STATE, op, "%s: expected a finite number, got %g",
                                 members[i].name, value);
            ok = luc_json_put_number(out, value);
        }
    }
    return ok && put_initial(out, g, op) && luc_string_add(out, "}", 1);
}

static bool note_groups(const lucid_optimizer *opt, lucid_state_dict *s)
{
    luc_string text = {0};
    bool ok = luc_string_add(&text, "[", 1);
    for (size_t g = 0; ok && g < opt->n_groups; g++)
        ok = (!g || luc_string_add(&text, ",", 1)) &&
             put_group(&text, &opt->groups[g], opt->kind->name);
    ok = ok && luc_string_add(&text, "]", 1) && lucid_state_dict_set_note(s, GROUPS_NOTE, text.s);
    luc_string_free(&text);
    return ok;
}

/* Reads the initial rate into `g`, which holds the group's current one: that stays if the text has
 * none. */
static bool read_initial(luc_json *j, const char *name, luc_optim_group *g)
{
    if (strcmp(name, "initial_step") == 0)
        return luc_json_integer(j, &g->initial_step) && g->initial_step >= 0;
    if (strcmp(name, "initial_lr") != 0) return luc_json_skip(j);
    g->scheduled = luc_json_peek(j) != 'n';
    if (!g->scheduled) return luc_json_skip(j);
    return luc_json_number(j, &g->initial_lr) && g->initial_lr >= 0;
}

/* Reads one member of a group's object and sets its bit in `seen` (the last bit is for "params").
 * Unknown names are skipped. */
static bool read_member(luc_json *j, const char *name, luc_optim_group *g, size_t *n,
                        unsigned *seen)
{
    size_t i = 0;
    while (i < MEMBERS && strcmp(name, members[i].name) != 0) i++;
    if (i == MEMBERS && strcmp(name, "params") != 0) return read_initial(j, name, g);
    if (*seen & 1u << i) return false;
    *seen |= 1u << i;
    if (i == MEMBERS) {
        int64_t params;
        if (!luc_json_integer(j, &params) || params < 0) return false;
        *n = (size_t)params;
        return true;
    }
    char *at = (char *)&g->options + members[i].at;
    return members[i].is_bool ? luc_json_bool(j, (bool *)at) : luc_json_number(j, (double *)at);
}

/* `name` is large enough for every string of the text. */
static bool read_group(luc_json *j, char *name, luc_optim_group *g, size_t *n)
{
    unsigned seen = 0;
    bool first = true;
    g->options = (lucid_optim_options){.struct_size = sizeof g->options};
    g->scheduled = true; /* the group keeps its initial rate if the state has none */
    if (luc_json_peek(j) != '{' || !luc_json_open(j, '{')) return false;
    while (luc_json_member(j, '}', &first))
        if (!luc_json_name(j, name, NULL) || !read_member(j, name, g, n, &seen)) return false;
    if (!g->scheduled) g->initial_lr = g->options.lr;
    return !j->error && seen == (1u << (MEMBERS + 1)) - 1;
}

/* Counts the members of a list. Returns false if the text is no list. */
static bool count_list(luc_json j, size_t *count)
{
    bool first = true;
    *count = 0;
    if (luc_json_peek(&j) != '[') return false;
    luc_json_open(&j, '[');
    while (luc_json_member(&j, ']', &first) && luc_json_skip(&j)) ++*count;
    return luc_json_finish(&j);
}

/* ---- saving ---------------------------------------------------------------------------------- */

static bool set_entry(lucid_state_dict *s, size_t i, const char *name, lucid_tensor *t)
{
    char key[64];
    snprintf(key, sizeof key, "state.%zu.%s", i, name);
    return t && lucid_state_dict_set(s, key, t);
}

static bool put_param(const lucid_optimizer *opt, const luc_optim_param *p, size_t i,
                      lucid_state_dict *s)
{
    if (p->step == 0) return true;
    lucid_tensor *step = lucid_from_typed_data((lucid_shape){0}, &p->step, LUCID_I64, NULL);
    if (!set_entry(s, i, "step", step)) return false;
    for (int k = 0; k < LUC_MAX_MOMENTS; k++)
        if (p->moment[k] && p->started &&
            !set_entry(s, i, opt->kind->moments[k], lucid_clone(p->moment[k], LUCID_PRESERVE)))
            return false;
    return true;
}

lucid_state_dict *lucid_optimizer_state_dict(lucid_optimizer *opt)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!luc_check_optimizer(opt, "optimizer_state_dict")) return NULL;
    lucid_state_dict *s = lucid_state_dict_new();
    bool ok = s && lucid_state_dict_set_note(s, KIND_NOTE, opt->kind->name) && note_groups(opt, s);
    size_t number = 0;
    for (size_t g = 0; ok && g < opt->n_groups; g++)
        for (size_t i = 0; ok && i < opt->groups[g].n; i++)
            ok = put_param(opt, &opt->groups[g].params[i], number++, s);
    if (ok) return s;
    lucid_state_dict_free(s);
    return NULL;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* A loaded state, which is kept apart from the optimizer until all of it is known to fit. */
typedef struct incoming {
    const lucid_optimizer *opt;
    const lucid_state_dict *state;
    luc_optim_group *groups; /* their options and initial rates only */
    luc_optim_param *params; /* the parameters of all groups, in order; owns its moments */
    size_t n_params;
    size_t used; /* the number of tensors that were taken from the state */
} incoming;

static bool refuse(const incoming *in, const char *what, const char *expected, const char *got)
{
    return luc_raise(LUCID_ERR_FORMAT, in->opt->kind->name, "state: %s: expected %s, got %s", what,
                     expected, got);
}

/* Reads the options of all groups from a list with the same number of entries. */
static bool read_options(incoming *in, luc_json *j, char *name)
{
    char expected[32], got[32];
    bool first = true;
    luc_json_open(j, '[');
    for (size_t g = 0; luc_json_member(j, ']', &first); g++) {
        size_t n = 0;
        in->groups[g] = in->opt->groups[g];
        if (!read_group(j, name, &in->groups[g], &n))
            return refuse(in, "groups", "the options of each", "something else");
        if (n != in->opt->groups[g].n) {
            snprintf(expected, sizeof expected, "%zu", in->opt->groups[g].n);
            snprintf(got, sizeof got, "%zu", n);
            return refuse(in, "parameters of a group", expected, got);
        }
        if (!luc_optim_check_options(in->opt->kind, &in->groups[g].options)) return false;
    }
    return true;
}

static bool read_groups(incoming *in)
{
    const char *kind = lucid_state_dict_note(in->state, KIND_NOTE);
    const char *text = lucid_state_dict_note(in->state, GROUPS_NOTE);
    if (!kind || strcmp(kind, in->opt->kind->name) != 0)
        return refuse(in, "optimizer", in->opt->kind->name, kind ? kind : "none");
    if (!text) return refuse(in, "groups", "a list", "none");
    size_t size = strlen(text), count;
    luc_json j = luc_json_begin(text, size);
    if (!count_list(j, &count)) return refuse(in, "groups", "a list", "something else");
    if (count != in->opt->n_groups) {
        char expected[32], got[32];
        snprintf(expected, sizeof expected, "%zu", in->opt->n_groups);
        snprintf(got, sizeof got, "%zu", count);
        return refuse(in, "groups", expected, got);
    }
    char *name = luc_alloc(size, in->opt->kind->name);
    bool ok = name && read_options(in, &j, name);
    luc_free(name);
    return ok;
}

static lucid_tensor *get(incoming *in, size_t i, const char *name, char key[64])
{
    snprintf(key, 64, "state.%zu.%s", i, name);
    lucid_tensor *t = lucid_state_dict_get(in->state, key);
    if (t) in->used++;
    return t;
}

static bool read_moment(incoming *in, lucid_tensor *from, const lucid_tensor *param,
                        const char *key, lucid_tensor **moment)
{
    if (!luc_dims_equal(from->view.ndim, from->view.dims, param->view.ndim, param->view.dims))
        return refuse(in, key, luc_shape_text(param).s, luc_shape_text(from).s);
    lucid_tensor *t = luc_optim_moment_like(param);
    if (!t || !luc_copy_data(t, from, in->opt->kind->name)) return false;
    *moment = lucid_retain(t);
    return true;
}

static bool read_param(incoming *in, const luc_optim_param *now, size_t i,
                       const lucid_optim_options *o)
{
    char key[64];
    luc_optim_param *p = &in->params[i];
    lucid_tensor *step = get(in, i, "step", key);
    if (!step) return true; /* no step was done yet */
    if (lucid_numel(step) != 1) return refuse(in, key, "one number", luc_shape_text(step).s);
    double number = lucid_item(step);
    if (!(number >= 0 && number <= 9007199254740992)) { /* 2^53 */
        char got[32];
        luc_snprintf(got, sizeof got, "%g", number);
        return refuse(in, key, "a number of steps", got);
    }
    p->step = (int64_t)number;
    for (int k = 0; k < LUC_MAX_MOMENTS && in->opt->kind->moments[k]; k++) {
        lucid_tensor *from = get(in, i, in->opt->kind->moments[k], key);
        if (from && !read_moment(in, from, now->tensor, key, &p->moment[k])) return false;
        p->started = p->started || from;
    }
    int needed = luc_optim_moments(in->opt->kind, o);
    for (int k = 0; k < needed; k++)
        if (in->opt->kind->has_betas && !p->moment[k])
            return refuse(in, in->opt->kind->moments[k], "a tensor for every parameter", "none");
    return true;
}

static bool read_all(incoming *in)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!read_groups(in)) return false;
    size_t number = 0;
    for (size_t g = 0; g < in->opt->n_groups; g++)
        for (size_t i = 0; i < in->opt->groups[g].n; i++)
            if (!read_param(in, &in->opt->groups[g].params[i], number++, &in->groups[g].options))
                return false;
    if (in->used == lucid_state_dict_size(in->state)) return true;
    return refuse(in, "tensors", "those of its parameters only", "others too");
}

/* Exchanges the state that was read and the optimizer's, so that `in` frees the old one. */
static void exchange(lucid_optimizer *opt, incoming *in)
{
    size_t number = 0;
    for (size_t g = 0; g < opt->n_groups; g++) {
        opt->groups[g].options = in->groups[g].options;
        opt->groups[g].initial_lr = in->groups[g].initial_lr;
        opt->groups[g].initial_step = in->groups[g].initial_step;
        opt->groups[g].scheduled = in->groups[g].scheduled;
        for (size_t i = 0; i < opt->groups[g].n; i++) {
            luc_optim_param *p = &opt->groups[g].params[i], old = *p;
            *p = in->params[number];
            p->tensor = old.tensor;
            old.tensor = NULL;
            in->params[number++] = old;
        }
    }
}

bool lucid_optimizer_load_state_dict(lucid_optimizer *opt, const lucid_state_dict *state)
{
    if (!luc_check_optimizer(opt, "optimizer_load_state_dict")) return false;
    if (!state)
        return lucid_error_code() == LUCID_OK &&
               luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name, "state: expected one, got NULL");
    if (!luc_state_is_whole(state, opt->kind->name)) return false;
    incoming in = {.opt = opt, .state = state};
    for (size_t g = 0; g < opt->n_groups; g++) in.n_params += opt->groups[g].n;
    in.groups = luc_calloc(opt->n_groups, sizeof *in.groups, opt->kind->name);
    in.params = luc_calloc(in.n_params, sizeof *in.params, opt->kind->name);
    bool ok = in.groups && in.params && read_all(&in);
    if (ok) exchange(opt, &in);
    for (size_t i = 0; in.params && i < in.n_params; i++)
        for (int k = 0; k < LUC_MAX_MOMENTS; k++) lucid_release(in.params[i].moment[k]);
    luc_free(in.params);
    luc_free(in.groups);
    return ok;
}

/* ---- files ----------------------------------------------------------------------------------- */

bool lucid_optimizer_save(lucid_optimizer *opt, const char *path)
{
    LUC_CALLED_AS("optimizer_save");
    if (!luc_check_optimizer(opt, "optimizer_save") || lucid_error_code() != LUCID_OK) return false;
    lucid_state_dict *s = lucid_optimizer_state_dict(opt);
    bool ok = s && lucid_state_dict_save(s, path);
    lucid_state_dict_free(s);
    return ok;
}

bool lucid_optimizer_load(lucid_optimizer *opt, const char *path)
{
    if (!luc_check_optimizer(opt, "optimizer_load")) return false;
    lucid_state_dict *s;
    {
        LUC_CALLED_AS("optimizer_load");
        s = lucid_state_dict_load(path);
    }
    bool ok = s && lucid_optimizer_load_state_dict(opt, s);
    lucid_state_dict_free(s);
    return ok;
}

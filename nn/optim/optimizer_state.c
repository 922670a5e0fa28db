/* optimizer_state.c: what training needs to go on: options, step counts and moments. */
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/state_dict.h"
#include "nn/state_dict_priv.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KIND_NOTE   "optimizer"
#define GROUPS_NOTE "param_groups"

/* ---- options as text: every double reads back exactly ---------------------------------------- */

/* "initial_lr" is null where no schedule has begun. Files of older versions have none. */
static json_t *group_to_json(const luc_optim_group *g)
{
    const lucid_optim_options *o = &g->options;
    return json_pack("{s:I, s:f, s:f, s:b, s:f, s:f, s:b, s:f, s:f, s:f, s:b, s:f, s:o, s:I}",
                     "params", (json_int_t)g->n, "lr", o->lr, "weight_decay", o->weight_decay,
                     "maximize", (int)o->maximize, "momentum", o->momentum, "dampening",
                     o->dampening, "nesterov", (int)o->nesterov, "beta1", o->beta1, "beta2",
                     o->beta2, "eps", o->eps, "amsgrad", (int)o->amsgrad, "rho", o->rho,
                     "initial_lr", g->scheduled ? json_real(g->initial_lr) : json_null(),
                     "initial_step", (json_int_t)g->initial_step);
}

/* The initial rate into `g`, which holds what the group has now: that stays where there is none. */
static bool initial_from_json(json_t *json, luc_optim_group *g)
{
    json_t *rate = json_object_get(json, "initial_lr"),
           *step = json_object_get(json, "initial_step");
    g->scheduled = !json_is_null(rate);
    if (!rate) return true;
    g->initial_lr = g->scheduled ? json_number_value(rate) : g->options.lr;
    g->initial_step = json_integer_value(step);
    return (!g->scheduled || json_is_number(rate)) && isfinite(g->initial_lr) &&
           g->initial_lr >= 0 && (!step || json_is_integer(step)) && g->initial_step >= 0;
}

static bool group_from_json(json_t *json, luc_optim_group *g, size_t *n)
{
    lucid_optim_options *o = &g->options;
    json_int_t params;
    int maximize, nesterov, amsgrad;
    *o = (lucid_optim_options){0};
    if (json_unpack(json, "{s:I, s:F, s:F, s:b, s:F, s:F, s:b, s:F, s:F, s:F, s:b, s:F}", "params",
                    &params, "lr", &o->lr, "weight_decay", &o->weight_decay, "maximize", &maximize,
                    "momentum", &o->momentum, "dampening", &o->dampening, "nesterov", &nesterov,
                    "beta1", &o->beta1, "beta2", &o->beta2, "eps", &o->eps, "amsgrad", &amsgrad,
                    "rho", &o->rho) != 0)
        return false;
    o->maximize = maximize;
    o->nesterov = nesterov;
    o->amsgrad = amsgrad;
    *n = (size_t)params;
    return initial_from_json(json, g);
}

static bool note_groups(const lucid_optimizer *opt, lucid_state_dict *s)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t g = 0; ok && g < opt->n_groups; g++)
        ok = json_array_append_new(list, group_to_json(&opt->groups[g])) == 0;
    char *text = ok ? json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(list);
    if (!text) return luc_raise(LUCID_ERR_MEMORY, opt->kind->name, "out of memory: options");
    ok = lucid_state_dict_set_note(s, GROUPS_NOTE, text);
    free(text);
    return ok;
}

/* ---- out ------------------------------------------------------------------------------------- */

static bool put(lucid_state_dict *s, size_t i, const char *name, lucid_tensor *t)
{
    char key[64];
    snprintf(key, sizeof key, "state.%zu.%s", i, name);
    return t && lucid_state_dict_set(s, key, t);
}

static bool put_param(const lucid_optimizer *opt, const luc_optim_param *p, size_t i,
                      lucid_state_dict *s)
{
    if (p->step == 0) return true;
    const lucid_tensor_options integer = {LUCID_INDEX_DEFAULTS};
    if (!put(s, i, "step", lucid_from_data_opt((lucid_shape){0}, &p->step, &integer))) return false;
    for (int k = 0; k < LUC_MAX_MOMENTS; k++)
        if (p->moment[k] && p->started &&
            !put(s, i, opt->kind->moments[k], lucid_clone(p->moment[k], LUCID_PRESERVE)))
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

/* ---- in -------------------------------------------------------------------------------------- */

/* What is loaded, beside the optimizer until all of it is known to fit. */
typedef struct incoming {
    const lucid_optimizer *opt;
    const lucid_state_dict *state;
    luc_optim_group *groups; /* their options and initial rates only */
    luc_optim_param *params; /* by number over all groups; owns its moments */
    size_t n_params;
    size_t used; /* tensors of the state that have been taken */
} incoming;

static bool refuse(const incoming *in, const char *what, const char *expected, const char *got)
{
    return luc_raise(LUCID_ERR_FORMAT, in->opt->kind->name, "state: %s: expected %s, got %s", what,
                     expected, got);
}

static bool read_groups(incoming *in)
{
    const char *kind = lucid_state_dict_note(in->state, KIND_NOTE);
    const char *text = lucid_state_dict_note(in->state, GROUPS_NOTE);
    if (!kind || strcmp(kind, in->opt->kind->name) != 0)
        return refuse(in, "optimizer", in->opt->kind->name, kind ? kind : "none");
    json_t *list = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    char expected[32], got[32];
    snprintf(expected, sizeof expected, "%zu", in->opt->n_groups);
    snprintf(got, sizeof got, "%zu", json_array_size(list));
    bool ok = json_array_size(list) == in->opt->n_groups || refuse(in, "groups", expected, got);
    for (size_t g = 0; ok && g < in->opt->n_groups; g++) {
        size_t n = 0;
        in->groups[g] = in->opt->groups[g];
        if (!group_from_json(json_array_get(list, g), &in->groups[g], &n))
            ok = refuse(in, "groups", "the options of each", "something else");
        else if (n != in->opt->groups[g].n) {
            snprintf(expected, sizeof expected, "%zu", in->opt->groups[g].n);
            snprintf(got, sizeof got, "%zu", n);
            ok = refuse(in, "parameters of a group", expected, got);
        } else {
            ok = luc_optim_check_options(in->opt->kind, &in->groups[g].options);
        }
    }
    json_decref(list);
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
        snprintf(got, sizeof got, "%g", number);
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

/* Puts what was read into the optimizer, and what was there before into `in`, to be freed. */
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

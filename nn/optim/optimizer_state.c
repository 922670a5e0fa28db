/* optimizer_state.c: saving and loading options, step counts and moments. */
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/state_dict.h"
#include "nn/state_dict_priv.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define KIND_NOTE   "optimizer"
#define GROUPS_NOTE "param_groups"
#define SLOW        "slow"

/* ---- options as text: every double reads back exactly ---------------------------------------- */

/* Whether an option is in the states of a kind. Files of versions that did not know it lack it. */
static bool is_saved(const luc_optim_kind *kind, int field)
{
    return field < LUC_FIELDS_ALWAYS || luc_optim_has(kind, (luc_optim_field)field);
}

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
static bool put_field(luc_string *out, const lucid_optim_options *o, int field, const char *op)
{
    const luc_field *f = &luc_optim_fields[field];
    double value = luc_field_value(o, (luc_optim_field)field);
    if (!luc_string_printf(out, ",\"%s\":", f->name)) return false;
    if (f->type == LUC_BOOL) return luc_string_printf(out, value != 0 ? "true" : "false");
    if (!isfinite(value))
        return luc_raise(LUCID_ERR_STATE, op, "%s: expected a finite number, got %g", f->name,
                         value);
    if (f->type == LUC_INTEGER) return luc_string_printf(out, "%lld", (long long)value);
    return luc_json_put_number(out, value);
}

static bool put_group(luc_string *out, const luc_optim_group *g, const luc_optim_kind *kind)
{
    bool ok = luc_string_printf(out, "{\"params\":%zu", g->n);
    for (int f = 0; ok && f < LUC_FIELDS; f++)
        if (is_saved(kind, f)) ok = put_field(out, &g->options, f, kind->name);
    return ok && put_initial(out, g, kind->name) && luc_string_add(out, "}", 1);
}

static bool note_groups(const lucid_optimizer *opt, lucid_state_dict *s)
{
    luc_string text = {0};
    bool ok = luc_string_add(&text, "[", 1);
    for (size_t g = 0; ok && g < opt->n_groups; g++)
        ok = (!g || luc_string_add(&text, ",", 1)) && put_group(&text, &opt->groups[g], opt->kind);
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

/* A group as it is read: which members were there, the last bit for "params". */
typedef struct group_reader {
    const luc_optim_kind *kind;
    luc_optim_group *group;
    size_t n;
    uint64_t seen;
} group_reader;

#define SEEN_PARAMS ((uint64_t)1 << 63)
_Static_assert(LUC_FIELDS < 63, "a bit for each option and one more");

static bool read_field(luc_json *j, lucid_optim_options *o, int field)
{
    char *at = (char *)o + luc_optim_fields[field].at;
    switch (luc_optim_fields[field].type) {
    case LUC_BOOL:
        return luc_json_bool(j, (bool *)at);
    case LUC_INTEGER:
        return luc_json_integer(j, (int64_t *)at);
    default:
        return luc_json_number(j, (double *)at);
    }
}

/* One member of a group's object. An unknown name is skipped. */
static bool read_member(luc_json *j, const char *name, group_reader *r)
{
    int f = 0;
    while (f < LUC_FIELDS && strcmp(name, luc_optim_fields[f].name) != 0) f++;
    bool is_params = f == LUC_FIELDS && strcmp(name, "params") == 0;
    if (f == LUC_FIELDS && !is_params) return read_initial(j, name, r->group);
    if (f < LUC_FIELDS && !is_saved(r->kind, f)) return luc_json_skip(j);
    uint64_t bit = is_params ? SEEN_PARAMS : (uint64_t)1 << f;
    if (r->seen & bit) return false;
    r->seen |= bit;
    if (!is_params) return read_field(j, &r->group->options, f);
    int64_t params;
    if (!luc_json_integer(j, &params) || params < 0) return false;
    r->n = (size_t)params;
    return true;
}

/* `name` is large enough for every string of the text. */
static bool read_group(luc_json *j, char *name, group_reader *r)
{
    bool first = true;
    uint64_t wanted = SEEN_PARAMS;
    luc_optim_group *g = r->group;
    for (int f = 0; f < LUC_FIELDS; f++)
        if (is_saved(r->kind, f)) wanted |= (uint64_t)1 << f;
    g->options = (lucid_optim_options){.struct_size = sizeof g->options};
    g->scheduled = true; /* the group keeps its initial rate if the state has none */
    if (luc_json_peek(j) != '{' || !luc_json_open(j, '{')) return false;
    while (luc_json_member(j, '}', &first))
        if (!luc_json_name(j, name, NULL) || !read_member(j, name, r)) return false;
    if (!g->scheduled) g->initial_lr = g->options.lr;
    return !j->error && r->seen == wanted;
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
    for (int k = 0; k < LUC_MAX_NUMBERS && opt->kind->numbers[k]; k++) {
        lucid_tensor *t = lucid_from_typed_data((lucid_shape){0}, &p->number[k], LUCID_F64, NULL);
        if (!set_entry(s, i, opt->kind->numbers[k], t)) return false;
    }
    return !p->slow || set_entry(s, i, SLOW, lucid_clone(p->slow, LUCID_PRESERVE));
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
    if (ok && luc_lbfgs_put(opt, s)) return s;
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
    struct luc_lbfgs *lbfgs;
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
        in->groups[g] = in->opt->groups[g];
        group_reader r = {.kind = in->opt->kind, .group = &in->groups[g]};
        if (!read_group(j, name, &r))
            return refuse(in, "groups", "the options of each", "something else");
        if (r.n != in->opt->groups[g].n) {
            snprintf(expected, sizeof expected, "%zu", in->opt->groups[g].n);
            snprintf(got, sizeof got, "%zu", r.n);
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

static bool read_tensor(incoming *in, lucid_tensor *from, const lucid_tensor *param,
                        const lucid_optim_options *o, const char *key, int k, lucid_tensor **to)
{
    char expected[64];
    lucid_shape shape =
        k < 0 ? lucid_tensor_shape(param) : luc_optim_moment_shape(in->opt->kind, param, k);
    if (!luc_dims_equal(from->view.ndim, from->view.dims, shape.ndim, shape.dims))
        return refuse(in, key, lucid_shape_format(&shape, expected, sizeof expected),
                      luc_shape_text(from).s);
    lucid_tensor *t = k < 0 ? lucid_clone(lucid_detach((lucid_tensor *)param), LUCID_PRESERVE)
                            : luc_optim_moment_like(in->opt->kind, o, param, k);
    if (!t || !luc_copy_data(t, from, in->opt->kind->name)) return false;
    *to = lucid_retain(t);
    return true;
}

static bool read_numbers(incoming *in, luc_optim_param *p, size_t i)
{
    char key[64];
    for (int k = 0; k < LUC_MAX_NUMBERS && in->opt->kind->numbers[k]; k++) {
        lucid_tensor *t = get(in, i, in->opt->kind->numbers[k], key);
        if (!t) return lucid_error_code() == LUCID_OK && refuse(in, key, "one number", "none");
        if (lucid_numel(t) != 1) return refuse(in, key, "one number", luc_shape_text(t).s);
        p->number[k] = lucid_item(t);
        if (!isfinite(p->number[k])) return refuse(in, key, "a finite number", "another one");
    }
    return true;
}

static bool read_step(incoming *in, lucid_tensor *step, const char *key, luc_optim_param *p)
{
    if (lucid_numel(step) != 1) return refuse(in, key, "one number", luc_shape_text(step).s);
    double number = lucid_item(step);
    if (!(number >= 0 && number <= 9007199254740992)) { /* 2^53 */
        char got[32];
        luc_snprintf(got, sizeof got, "%g", number);
        return refuse(in, key, "a number of steps", got);
    }
    p->step = (int64_t)number;
    return true;
}

static bool read_param(incoming *in, const luc_optim_param *now, size_t i,
                       const lucid_optim_options *o)
{
    char key[64];
    const luc_optim_kind *kind = in->opt->kind;
    luc_optim_param *p = &in->params[i];
    lucid_tensor *step = get(in, i, "step", key);
    if (!step) return true; /* no step was done yet */
    if (!read_step(in, step, key, p)) return false;
    for (int k = 0; k < LUC_MAX_MOMENTS && kind->moments[k]; k++) {
        lucid_tensor *from = get(in, i, kind->moments[k], key);
        if (from && !read_tensor(in, from, now->tensor, o, key, k, &p->moment[k])) return false;
        p->started = p->started || from;
    }
    /* SGD's momentum begins when it is asked for; the others need theirs from the first step on. */
    unsigned needed = luc_optim_moments(kind, o, now->tensor);
    for (int k = 0; k < LUC_MAX_MOMENTS; k++)
        if ((needed >> k & 1) && !luc_optim_has(kind, LUC_FIELD_momentum) &&
            !luc_optim_has(kind, LUC_FIELD_rho) && !p->moment[k])
            return refuse(in, kind->moments[k], "a tensor for every parameter", "none");
    lucid_tensor *slow = get(in, i, SLOW, key);
    if (slow && !in->opt->lookahead_k)
        return refuse(in, key, "an optimizer with Lookahead", "none");
    if (slow && !read_tensor(in, slow, now->tensor, o, key, -1, &p->slow)) return false;
    return read_numbers(in, p, i);
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
    if (in->opt->kind->needs_closure && !luc_lbfgs_get(in->opt, in->state, &in->lbfgs, &in->used))
        return false;
    if (in->used == lucid_state_dict_size(in->state)) return true;
    return refuse(in, "tensors", "those of its parameters only", "others too");
}

/* Exchanges the state that was read and the optimizer's, so that `in` frees the old one. */
static void exchange(lucid_optimizer *opt, incoming *in)
{
    size_t number = 0;
    struct luc_lbfgs *lbfgs = opt->lbfgs;
    opt->lbfgs = in->lbfgs;
    in->lbfgs = lbfgs;
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
    for (size_t i = 0; in.params && i < in.n_params; i++) luc_optim_param_release(&in.params[i]);
    luc_lbfgs_free(in.lbfgs);
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

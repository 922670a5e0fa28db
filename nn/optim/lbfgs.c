/* lbfgs.c: L-BFGS: directions from the last differences of gradients and parameters (Nocedal,
 * 1980). */
#include "nn/optim/lbfgs_priv.h"
#include "autograd/autograd.h"
#include "autograd/ops/indexing.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/state_dict.h"

#include <math.h>
#include <string.h>

/* ---- vectors --------------------------------------------------------------------------------- */

double luc_dot(lucid_tensor *a, lucid_tensor *b)
{
    LUCID_SCOPE;
    lucid_tensor *sum = lucid_sum(lucid_mul(a, b));
    return sum ? lucid_item(sum) : NAN;
}

double luc_largest(lucid_tensor *x)
{
    LUCID_SCOPE;
    if (!x || lucid_numel(x) == 0) return 0;
    lucid_tensor *most = lucid_max(lucid_abs(x));
    return most ? lucid_item(most) : NAN;
}

lucid_tensor *luc_lbfgs_flat(lucid_optimizer *opt, bool gradients)
{
    const luc_optim_group *g = &opt->groups[0];
    lucid_tensor **parts = luc_calloc(g->n, sizeof *parts, opt->kind->name), *flat = NULL;
    bool ok = parts != NULL;
    for (size_t i = 0; ok && i < g->n; i++) {
        lucid_tensor *p = lucid_detach(g->params[i].tensor);
        lucid_tensor *t = gradients ? g->params[i].tensor->grad : p;
        if (!t) t = lucid_mul_scalar(p, 0);
        parts[i] = lucid_reshape(t, (-1));
        ok = parts[i] != NULL;
    }
    if (ok) flat = lucid_cat_list(parts, g->n, 0);
    luc_free(parts);
    return gradients && flat && g->options.maximize ? lucid_neg(flat) : flat;
}

bool luc_lbfgs_go(lucid_optimizer *opt, lucid_tensor *base, double t, lucid_tensor *direction)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const luc_optim_group *g = &opt->groups[0];
    lucid_tensor *to = t == 0 ? base : luc_add_scaled(base, t, direction);
    int64_t at = 0;
    if (!to || !luc_before_any_write()) return false;
    for (size_t i = 0; i < g->n; i++) {
        lucid_tensor *p = g->params[i].tensor, *part = lucid_narrow(to, 0, at, lucid_numel(p));
        part = part ? lucid_reshape_opt(part, lucid_tensor_shape(p)) : NULL;
        if (!part || !luc_copy_data(p, part, opt->kind->name)) return false;
        luc_storage_bump(p->storage);
        at += lucid_numel(p);
    }
    return true;
}

bool luc_lbfgs_evaluate(lucid_optimizer *opt, lucid_closure closure, void *user, double *loss,
                        lucid_tensor **grad)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    *loss = luc_closure_loss(opt, closure, user);
    if (lucid_error_code() != LUCID_OK) return false;
    if (opt->groups[0].options.maximize) *loss = -*loss;
    *grad = lucid_retain(luc_lbfgs_flat(opt, true));
    return *grad != NULL;
}

/* ---- the memory ------------------------------------------------------------------------------ */

void luc_lbfgs_free(luc_lbfgs *l)
{
    if (!l) return;
    for (int64_t i = 0; i < l->kept; i++) {
        lucid_release(l->y[i]);
        lucid_release(l->s[i]);
    }
    lucid_release(l->direction);
    lucid_release(l->grad);
    luc_free(l->y);
    luc_free(l->s);
    luc_free(l->ro);
    luc_free(l);
}

static luc_lbfgs *memory_of(int64_t capacity, const char *op)
{
    luc_lbfgs *l = luc_calloc(1, sizeof *l, op);
    if (!l) return NULL;
    l->y = luc_calloc((size_t)capacity, sizeof *l->y, op);
    l->s = luc_calloc((size_t)capacity, sizeof *l->s, op);
    l->ro = luc_calloc((size_t)capacity, sizeof *l->ro, op);
    l->capacity = capacity;
    if (l->y && l->s && l->ro) return l;
    luc_lbfgs_free(l);
    return NULL;
}

static void forget_oldest(luc_lbfgs *l)
{
    size_t rest = (size_t)--l->kept;
    lucid_release(l->y[0]);
    lucid_release(l->s[0]);
    memmove(l->y, l->y + 1, rest * sizeof *l->y);
    memmove(l->s, l->s + 1, rest * sizeof *l->s);
    memmove(l->ro, l->ro + 1, rest * sizeof *l->ro);
}

/* Adds the last change, unless the loss does not curve upwards along it. */
static bool remember(luc_lbfgs *l, lucid_tensor *grad)
{
    lucid_tensor *y = lucid_sub(grad, l->grad), *s = lucid_mul_scalar(l->direction, l->t);
    if (!y || !s) return false;
    double ys = luc_dot(y, s), yy = luc_dot(y, y);
    if (lucid_error_code() != LUCID_OK) return false;
    if (!(ys > 1e-10)) return true;
    if (l->kept == l->capacity) forget_oldest(l);
    l->y[l->kept] = lucid_retain(y);
    l->s[l->kept] = lucid_retain(s);
    l->ro[l->kept++] = 1 / ys;
    l->scale = ys / yy;
    return true;
}

/* The inverse Hessian that the memory describes, times -grad. */
static lucid_tensor *descend(const luc_lbfgs *l, lucid_tensor *grad, const char *op)
{
    double *al = luc_calloc((size_t)l->kept, sizeof *al, op);
    lucid_tensor *q = al ? lucid_neg(grad) : NULL;
    for (int64_t i = l->kept; i-- > 0;) {
        al[i] = luc_dot(l->s[i], q) * l->ro[i];
        q = luc_add_scaled(q, -al[i], l->y[i]);
    }
    q = lucid_mul_scalar(q, l->scale);
    for (int64_t i = 0; i < l->kept; i++) {
        double be = luc_dot(l->y[i], q) * l->ro[i];
        q = luc_add_scaled(q, al[i] - be, l->s[i]);
    }
    luc_free(al);
    return q;
}

/* ---- a step ---------------------------------------------------------------------------------- */

typedef struct run {
    lucid_optimizer *opt;
    lucid_closure closure;
    void *user;
    luc_lbfgs *l;
    const lucid_optim_options *o;
    lucid_tensor *grad; /* where the parameters are; owned */
    double loss;
    int64_t evaluations, most;
} run;

static void replace(lucid_tensor **to, lucid_tensor *with)
{
    lucid_retain(with);
    lucid_release(*to);
    *to = with;
}

/* The direction of this iteration, and what the next one needs of it. */
static bool next_direction(run *r)
{
    LUCID_SCOPE;
    luc_lbfgs *l = r->l;
    lucid_tensor *d;
    if (++l->iterations == 1) {
        l->scale = 1;
        d = lucid_neg(r->grad);
    } else {
        if (!remember(l, r->grad)) return false;
        d = descend(l, r->grad, r->opt->kind->name);
    }
    if (!d) return false;
    replace(&l->direction, d);
    replace(&l->grad, r->grad);
    l->loss = r->loss;
    l->t = r->o->lr;
    if (l->iterations > 1) return true;
    double sum = lucid_item(lucid_sum(lucid_abs(r->grad)));
    l->t = fmin(1, 1 / sum) * r->o->lr;
    return lucid_error_code() == LUCID_OK;
}

static bool search(run *r, lucid_tensor *start, double slope)
{
    luc_lbfgs *l = r->l;
    luc_line line = {r->opt, r->closure, r->user, start, l->direction, r->loss, slope, r->grad, 0};
    luc_point found = {0, 0, 0, NULL};
    bool ok = luc_line_search(&line, l->t, r->most - r->evaluations, &found);
    r->evaluations += line.evaluations;
    l->evaluations += line.evaluations;
    if (!ok) return false;
    l->t = found.t;
    r->loss = found.loss;
    lucid_release(r->grad);
    r->grad = found.grad;
    return luc_lbfgs_go(r->opt, start, l->t, l->direction);
}

/* Along the direction; `last` says that nobody will look at the loss. */
static bool advance(run *r, double slope, bool last)
{
    LUCID_SCOPE;
    lucid_tensor *start = luc_lbfgs_flat(r->opt, false);
    if (!start) return false;
    if (r->o->strong_wolfe) return search(r, start, slope);
    if (!luc_lbfgs_go(r->opt, start, r->l->t, r->l->direction)) return false;
    if (last) return true;
    lucid_tensor *grad = NULL;
    if (!luc_lbfgs_evaluate(r->opt, r->closure, r->user, &r->loss, &grad)) return false;
    lucid_release(r->grad);
    r->grad = grad;
    r->evaluations++;
    r->l->evaluations++;
    return true;
}

/* One iteration; *more says whether another one should follow. */
static bool iterate(run *r, bool last, bool *more)
{
    luc_lbfgs *l = r->l;
    *more = false;
    if (!next_direction(r)) return false;
    double slope = luc_dot(r->grad, l->direction);
    if (lucid_error_code() != LUCID_OK) return false;
    if (slope > -r->o->tolerance_change) return true;
    if (!advance(r, slope, last)) return false;
    *more = !last && r->evaluations < r->most && luc_largest(r->grad) > r->o->tolerance_grad &&
            luc_largest(l->direction) * fabs(l->t) > r->o->tolerance_change &&
            fabs(r->loss - l->loss) >= r->o->tolerance_change;
    return lucid_error_code() == LUCID_OK;
}

/* From the loss at the start, `first`; false after an error. */
static bool iterate_all(run *r)
{
    bool more = true;
    for (int64_t k = 1; more; k++)
        if (!iterate(r, k >= r->o->max_iter, &more)) return false;
    return true;
}

double luc_lbfgs_step(lucid_optimizer *opt, lucid_closure closure, void *user)
{
    LUCID_NO_GRAD;
    const char *name = opt->kind->name;
    if (opt->n_groups == 0) {
        luc_raise(LUCID_ERR_STATE, name, "step: expected a group of parameters, got none");
        return NAN;
    }
    const lucid_optim_options *o = &opt->groups[0].options;
    if (luc_is_capturing(lucid_tensor_device(opt->groups[0].params[0].tensor))) {
        luc_raise(LUCID_ERR_UNSUPPORTED, name, "step: it cannot be captured");
        return NAN;
    }
    if (!opt->lbfgs) opt->lbfgs = memory_of(o->history_size, name);
    run r = {opt, closure, user, opt->lbfgs, o, NULL, 0, 1, o->max_eval};
    if (r.most == 0) r.most = o->max_iter * 5 / 4;
    if (!opt->lbfgs || !luc_lbfgs_evaluate(opt, closure, user, &r.loss, &r.grad)) return NAN;
    r.l->evaluations++;
    double first = o->maximize ? -r.loss : r.loss;
    bool ok = luc_largest(r.grad) <= o->tolerance_grad || iterate_all(&r);
    lucid_release(r.grad);
    return ok && lucid_error_code() == LUCID_OK ? first : NAN;
}

/* ---- state ----------------------------------------------------------------------------------- */

static bool put(lucid_state_dict *d, const char *name, lucid_tensor *t)
{
    char key[64];
    snprintf(key, sizeof key, "state.0.%s", name);
    return t && lucid_state_dict_set(d, key, t);
}

static lucid_tensor *numbers(const double *values, int64_t n, int ndim)
{
    return lucid_from_typed_data((lucid_shape){.ndim = ndim, .dims = {n}}, values, LUCID_F64, NULL);
}

static lucid_tensor *integer(int64_t value)
{
    return lucid_from_typed_data((lucid_shape){0}, &value, LUCID_I64, NULL);
}

bool luc_lbfgs_put(const lucid_optimizer *opt, lucid_state_dict *d)
{
    const luc_lbfgs *l = opt->lbfgs;
    if (!l || l->evaluations == 0) return true;
    bool ok =
        put(d, "func_evals", integer(l->evaluations)) && put(d, "n_iter", integer(l->iterations));
    if (!ok || !l->direction) return ok;
    ok = put(d, "d", lucid_clone(l->direction, LUCID_CONTIGUOUS)) &&
         put(d, "prev_flat_grad", lucid_clone(l->grad, LUCID_CONTIGUOUS)) &&
         put(d, "t", numbers(&l->t, 1, 0)) && put(d, "H_diag", numbers(&l->scale, 1, 0)) &&
         put(d, "prev_loss", numbers(&l->loss, 1, 0));
    if (!ok || l->kept == 0) return ok;
    return put(d, "old_dirs", lucid_stack_list(l->y, (size_t)l->kept, 0)) &&
           put(d, "old_stps", lucid_stack_list(l->s, (size_t)l->kept, 0)) &&
           put(d, "ro", numbers(l->ro, l->kept, 1));
}

typedef struct reader {
    const lucid_optimizer *opt;
    const lucid_state_dict *d;
    size_t *used;
    int64_t numel;
} reader;

/* A tensor of these sizes; NULL where there is none (optional), or after raising. */
static lucid_tensor *get(const reader *r, const char *name, lucid_shape shape, bool optional)
{
    char key[64], expected[64];
    snprintf(key, sizeof key, "state.0.%s", name);
    lucid_tensor *t = lucid_state_dict_get(r->d, key);
    if (lucid_error_code() != LUCID_OK || (!t && optional)) return NULL;
    lucid_shape got = t ? lucid_tensor_shape(t) : (lucid_shape){0};
    if (t && lucid_shape_equal(&got, &shape)) {
        ++*r->used;
        return t;
    }
    luc_raise(LUCID_ERR_FORMAT, r->opt->kind->name, "state: %s: expected %s, got %s", key,
              lucid_shape_format(&shape, expected, sizeof expected),
              t ? luc_shape_text(t).s : "none");
    return NULL;
}

static bool get_number(const reader *r, const char *name, double *value)
{
    lucid_tensor *t = get(r, name, (lucid_shape){0}, false);
    if (t) *value = lucid_item(t);
    return t != NULL;
}

/* As the parameters: where they lie, and in their dtype; owned. */
static bool get_vector(const reader *r, const char *name, lucid_tensor **to)
{
    const lucid_tensor *model = r->opt->groups[0].params[0].tensor;
    lucid_tensor *t = get(r, name, LUCID_SHAPE(r->numel), false);
    t = t ? lucid_tensor_to(t, lucid_tensor_device(model)) : NULL;
    t = t ? lucid_clone(lucid_cast(t, lucid_tensor_dtype(model)), LUCID_CONTIGUOUS) : NULL;
    *to = lucid_retain(t);
    return *to != NULL;
}

static bool get_rows(const reader *r, const char *name, int64_t rows, lucid_tensor **to)
{
    const lucid_tensor *model = r->opt->groups[0].params[0].tensor;
    lucid_tensor *t = get(r, name, LUCID_SHAPE(rows, r->numel), false);
    t = t ? lucid_tensor_to(t, lucid_tensor_device(model)) : NULL;
    t = t ? lucid_cast(t, lucid_tensor_dtype(model)) : NULL;
    for (int64_t i = 0; t && i < rows; i++) {
        to[i] = lucid_retain(lucid_clone(lucid_select(t, 0, i), LUCID_CONTIGUOUS));
        if (!to[i]) return false;
    }
    return t != NULL;
}

static bool get_history(const reader *r, luc_lbfgs *l)
{
    lucid_tensor *ro = lucid_state_dict_get(r->d, "state.0.ro");
    if (!ro) return lucid_error_code() == LUCID_OK;
    int64_t rows = lucid_numel(ro);
    if (rows > l->capacity)
        return luc_raise(LUCID_ERR_FORMAT, r->opt->kind->name,
                         "state: state.0.ro: expected at most history_size, %lld, got %lld",
                         (long long)l->capacity, (long long)rows);
    if (!get(r, "ro", LUCID_SHAPE(rows), false) || !lucid_to_doubles(ro, l->ro, (size_t)rows))
        return false;
    l->kept = rows; /* so that what is read so far is freed */
    return get_rows(r, "old_dirs", rows, l->y) && get_rows(r, "old_stps", rows, l->s);
}

static bool read_state(const reader *r, luc_lbfgs *l)
{
    double evaluations, iterations;
    if (!get_number(r, "func_evals", &evaluations) || !get_number(r, "n_iter", &iterations))
        return false;
    if (!(evaluations >= 0 && evaluations < 9e15 && iterations >= 0 && iterations < 9e15))
        return luc_raise(LUCID_ERR_FORMAT, r->opt->kind->name,
                         "state: func_evals, n_iter: expected numbers of calls, got %g and %g",
                         evaluations, iterations);
    l->evaluations = (int64_t)evaluations;
    l->iterations = (int64_t)iterations;
    if (l->iterations == 0) return true;
    return get_number(r, "t", &l->t) && get_number(r, "H_diag", &l->scale) &&
           get_number(r, "prev_loss", &l->loss) && get_vector(r, "d", &l->direction) &&
           get_vector(r, "prev_flat_grad", &l->grad) && get_history(r, l);
}

bool luc_lbfgs_get(const lucid_optimizer *opt, const lucid_state_dict *d, luc_lbfgs **state,
                   size_t *used)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    *state = NULL;
    if (opt->n_groups == 0 || !lucid_state_dict_get(d, "state.0.func_evals"))
        return lucid_error_code() == LUCID_OK;
    reader r = {opt, d, used, 0};
    for (size_t i = 0; i < opt->groups[0].n; i++)
        r.numel += lucid_numel(opt->groups[0].params[i].tensor);
    luc_lbfgs *l = memory_of(opt->groups[0].options.history_size, opt->kind->name);
    if (l && read_state(&r, l)) {
        *state = l;
        return true;
    }
    luc_lbfgs_free(l);
    return false;
}

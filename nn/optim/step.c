/* step.c: one step of an optimizer: one kernel call for all parameters of a group that share a
 * device and a dtype. */
#include "autograd/autograd.h"
#include "lucid/capture_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/profiler_priv.h"
#include "lucid/tensor_priv.h"
#include "nn/optim/optimizer_priv.h"

#include <assert.h>
#include <string.h>

int luc_optim_moments(const luc_optim_kind *kind, const lucid_optim_options *o)
{
    if (kind->has_momentum) return o->momentum != 0 ? 1 : 0;
    if (kind->has_betas) return o->amsgrad ? 3 : 2;
    return 2;
}

lucid_tensor *luc_optim_moment_like(const lucid_tensor *param)
{
    lucid_meta meta;
    luc_tensor_get_meta(param, &meta);
    meta.offset = 0;
    if (!luc_is_dense(meta.ndim, meta.dims, meta.strides))
        luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    lucid_tensor *t = luc_tensor_new(&meta, lucid_tensor_device(param), "step");
    return t && luc_fill_data(t, 0, "step") ? t : NULL;
}

/* Makes the moment, or moves it to the device to which lucid_to has moved the parameter. */
static bool make_moment(const lucid_tensor *param, lucid_tensor **moment)
{
    if (*moment && luc_same_place(*moment, param)) return true;
    lucid_tensor *t = luc_optim_moment_like(param);
    if (!t || (*moment && !luc_copy_data(t, *moment, "step"))) return false;
    lucid_release(*moment);
    *moment = lucid_retain(t);
    return true;
}

/* Makes the moments that the options need, for every parameter that has a gradient. */
static bool make_moments(luc_optim_group *g, int moments)
{
    LUCID_SCOPE;
    for (size_t i = 0; i < g->n; i++) {
        luc_optim_param *p = &g->params[i];
        if (!p->tensor->grad) continue;
        for (int k = 0; k < moments; k++)
            if (!make_moment(p->tensor, &p->moment[k])) return false;
    }
    return true;
}

/* The lists of a kernel call. They share one block of memory, which the optimizer keeps. */
typedef struct lists {
    lucid_view *param, *grad, *state[LUC_MAX_MOMENTS];
    int64_t *step;
    bool *first;
    size_t n;
} lists;

static bool make_lists(lucid_optimizer *opt, size_t n, lists *l)
{
    size_t views = (2 + LUC_MAX_MOMENTS) * sizeof(lucid_view);
    size_t each = views + sizeof *l->step + sizeof *l->first;
    size_t size = n * each;
    if (opt->scratch_size < size) {
        void *p = luc_realloc(opt->scratch, size, "step");
        if (!p) return false;
        opt->scratch = p;
        opt->scratch_size = size;
    }
    l->param = opt->scratch;
    l->grad = l->param + n;
    for (size_t k = 0; k < LUC_MAX_MOMENTS; k++) l->state[k] = l->grad + (k + 1) * n;
    l->step = (int64_t *)(l->state[LUC_MAX_MOMENTS - 1] + n);
    l->first = (bool *)(l->step + n);
    l->n = 0;
    return true;
}

static void add_param(lists *l, const luc_optim_param *p, int moments)
{
    assert(p->tensor->grad && p->tensor->grad->numel == p->tensor->numel);
    size_t i = l->n++;
    l->param[i] = p->tensor->view;
    l->grad[i] = p->tensor->grad->view;
    for (int k = 0; k < moments; k++) l->state[k][i] = p->moment[k]->view;
    l->step[i] = p->step + 1;
    l->first[i] = !p->started;
}

/* ---- in a captured step ---- */

typedef struct captured {
    lucid_optimizer *opt;
    size_t group, begin; /* the parameters that step_alike was given */
} captured;

/* Whether parameter i of a group has a gradient, and the same device and dtype as parameter
 * `begin`. */
static bool is_alike(const luc_optim_group *g, size_t begin, size_t i)
{
    return g->params[i].tensor->grad &&
           luc_same_place(g->params[i].tensor, g->params[begin].tensor);
}

/* Is called before a replay: writes the current learning rate and the number of replays, which is
 * added to the parameters' step counts. */
static void refresh(const void *user, int64_t replay, uint64_t *values)
{
    captured c;
    memcpy(&c, user, sizeof c);
    assert(c.group < c.opt->n_groups);
    luc_optim_group *g = &c.opt->groups[c.group];
    memcpy(&values[0], &g->options.lr, sizeof values[0]);
    memcpy(&values[1], &replay, sizeof values[1]);
    for (size_t i = c.begin; replay && i < g->n; i++)
        if (is_alike(g, c.begin, i)) g->params[i].step++;
}

/* The device's memory for these numbers: NULL outside of a capture. Returns false after raising an
 * error. */
static bool make_cells(lucid_optimizer *opt, const luc_optim_group *g, size_t begin,
                       const uint64_t **cells)
{
    const captured c = {opt, (size_t)(g - opt->groups), begin};
    *cells = NULL;
    if (!luc_is_capturing(lucid_tensor_device(g->params[begin].tensor))) return true;
    *cells = luc_capture_cells(2, refresh, &c, sizeof c, "step");
    return *cells != NULL;
}

static bool run(const lucid_optimizer *opt, const lucid_optim_options *o, lists *l,
                lucid_device device, lucid_dtype dtype, const uint64_t *live)
{
    const lucid_optim_attrs attrs = {
        .live = live,
        .n = (int64_t)l->n,
        .param = l->param,
        .grad = l->grad,
        .state = {l->state[0], l->state[1], l->state[2]},
        .first = l->first,
        .step = l->step,
        .lr = o->lr,
        .momentum = o->momentum,
        .dampening = o->dampening,
        .weight_decay = o->weight_decay,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .rho = o->rho,
        .nesterov = o->nesterov,
        .maximize = o->maximize,
        .amsgrad = o->amsgrad,
        .decoupled = opt->kind->decoupled,
    };
    lucid_kernel_args args = {.attrs = &attrs};
    return luc_kernel_run(device, opt->kind->kernel, dtype, &args);
}

/* Steps parameter `begin` of a group, and those after it that share its device and dtype. */
static bool step_alike(lucid_optimizer *opt, luc_optim_group *g, size_t begin, int moments)
{
    const lucid_tensor *model = g->params[begin].tensor;
    lists l;
    if (!make_lists(opt, g->n - begin, &l)) return false;
    for (size_t i = begin; i < g->n; i++) {
        if (is_alike(g, begin, i)) add_param(&l, &g->params[i], moments);
    }
    assert(l.n > 0); /* parameter `begin` has a gradient */
    const uint64_t *live;
    if (!luc_before_any_write() || !make_cells(opt, g, begin, &live) ||
        !run(opt, &g->options, &l, lucid_tensor_device(model), model->view.dtype, live))
        return false;
    for (size_t i = begin; i < g->n; i++) {
        luc_optim_param *p = &g->params[i];
        if (!is_alike(g, begin, i)) continue;
        p->step++;
        if (moments > 0) p->started = true;
        luc_storage_bump(p->tensor->storage);
    }
    return true;
}

/* The first parameter with a gradient whose device or dtype differs from those of all parameters
 * before it; n if there is none. */
static size_t next_place(const luc_optim_group *g, size_t from)
{
    for (size_t i = from; i < g->n; i++) {
        if (!g->params[i].tensor->grad) continue;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = g->params[j].tensor->grad &&
                   luc_same_place(g->params[i].tensor, g->params[j].tensor);
        if (!seen) return i;
    }
    return g->n;
}

static bool step(lucid_optimizer *opt)
{
    for (size_t k = 0; k < opt->n_groups; k++) {
        luc_optim_group *g = &opt->groups[k];
        if (!make_moments(g, luc_optim_moments(opt->kind, &g->options))) return false;
    }
    for (size_t k = 0; k < opt->n_groups; k++) {
        luc_optim_group *g = &opt->groups[k];
        int moments = luc_optim_moments(opt->kind, &g->options);
        for (size_t i = next_place(g, 0); i < g->n; i = next_place(g, i + 1))
            if (!step_alike(opt, g, i, moments)) return false;
    }
    return true;
}

bool lucid_step(lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, "step") || lucid_error_code() != LUCID_OK) return false;
    if (!luc_profiler_is_on()) return step(opt);
    luc_span span;
    luc_span_begin(&span, false);
    if (step(opt)) return luc_span_end(&span, "optimizer_step", 0, 0);
    luc_span_drop(&span);
    return false;
}

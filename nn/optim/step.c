/* step.c: one step of an optimizer: one kernel call for all parameters of a group that share a
 * device and a dtype. */
#include "autograd/autograd.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/optim/optimizer_priv.h"

#include <math.h>
#include <string.h>

/* Places the lists of a kernel call in one block of memory, which the optimizer keeps. */
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

static void add_param(lists *l, const luc_optim_param *p, unsigned moments)
{
    size_t i = l->n++;
    l->param[i] = p->tensor->view;
    l->grad[i] = p->tensor->grad->view;
    for (int k = 0; k < LUC_MAX_MOMENTS; k++)
        if (moments >> k & 1) l->state[k][i] = p->moment[k]->view;
    l->step[i] = p->step + 1;
    l->first[i] = !p->started;
}

/* ---- in a captured step ---- */

typedef struct captured {
    lucid_optimizer *opt;
    size_t group, begin; /* the parameters that step_alike was given */
} captured;

/* Collects the parameters of a group, from `begin` on, that have a gradient and are on the first
 * one's device and of its dtype. */
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

static bool run_kernel(const lucid_optimizer *opt, const lucid_optim_options *o, lists *l,
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
        .decoupled = opt->kind->decay == LUC_DECAY_DECOUPLED,
    };
    lucid_kernel_args args = {.attrs = &attrs};
    return luc_kernel_run(device, opt->kind->kernel, dtype, &args);
}

/* Steps parameter `begin` of a group, and those after it that share its device and dtype. */
static bool step_alike(lucid_optimizer *opt, luc_optim_group *g, size_t begin)
{
    const lucid_tensor *model = g->params[begin].tensor;
    unsigned moments = luc_optim_moments(opt->kind, &g->options, model);
    lists l;
    if (!make_lists(opt, g->n - begin, &l)) return false;
    for (size_t i = begin; i < g->n; i++) {
        if (is_alike(g, begin, i)) add_param(&l, &g->params[i], moments);
    }
    const uint64_t *live;
    if (!luc_before_any_write() || !make_cells(opt, g, begin, &live) ||
        !run_kernel(opt, &g->options, &l, lucid_tensor_device(model), model->view.dtype, live))
        return false;
    for (size_t i = begin; i < g->n; i++) {
        luc_optim_param *p = &g->params[i];
        if (!is_alike(g, begin, i)) continue;
        p->step++;
        if (moments) p->started = true;
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

static bool kernel_step(lucid_optimizer *opt)
{
    for (size_t k = 0; k < opt->n_groups; k++)
        if (!luc_optim_make_moments(opt, &opt->groups[k])) return false;
    for (size_t k = 0; k < opt->n_groups; k++) {
        luc_optim_group *g = &opt->groups[k];
        for (size_t i = next_place(g, 0); i < g->n; i = next_place(g, i + 1))
            if (!step_alike(opt, g, i)) return false;
    }
    return true;
}

static bool step(lucid_optimizer *opt)
{
    if (!opt->lookahead_k) return opt->kind->update ? luc_optim_update(opt) : kernel_step(opt);
    return luc_lookahead_begin(opt) &&
           (opt->kind->update ? luc_optim_update(opt) : kernel_step(opt)) && luc_lookahead_end(opt);
}

/* The loss of one call of the closure; NAN after an error. */
double luc_closure_loss(const lucid_optimizer *opt, lucid_closure closure, void *user)
{
    LUCID_SCOPE;
    LUCID_ENABLE_GRAD;
    lucid_tensor *loss = closure(user);
    if (lucid_error_code() != LUCID_OK) return NAN;
    if (loss && lucid_numel(loss) == 1) return lucid_item(loss);
    luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
              "closure: expected a loss with one element, got %s",
              loss ? luc_shape_text(loss).s : "NULL");
    return NAN;
}

bool lucid_step(lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, "step") || lucid_error_code() != LUCID_OK) return false;
    if (opt->kind->needs_closure)
        return luc_raise(LUCID_ERR_STATE, opt->kind->name,
                         "step: expected lucid_step_closure, for it computes the loss several "
                         "times, got lucid_step");
    if (!luc_profiler_is_on()) return step(opt);
    luc_span span;
    luc_span_begin(&span, false);
    if (step(opt)) return luc_span_end(&span, "optimizer_step", 0, 0);
    luc_span_drop(&span);
    return false;
}

double lucid_step_closure(lucid_optimizer *opt, lucid_closure closure, void *user)
{
    if (!luc_check_optimizer(opt, "step_closure") || lucid_error_code() != LUCID_OK) return NAN;
    if (!closure) {
        luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name, "closure: expected a function, got NULL");
        return NAN;
    }
    if (opt->kind->needs_closure) return luc_lbfgs_step(opt, closure, user);
    double value = luc_closure_loss(opt, closure, user);
    return lucid_error_code() == LUCID_OK && lucid_step(opt) ? value : NAN;
}

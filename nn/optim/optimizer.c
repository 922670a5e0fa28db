/* optimizer.c: optimizers and their groups. */
#include "nn/optim/optimizer_priv.h"
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

bool luc_check_optimizer(const lucid_optimizer *opt, const char *op)
{
    if (opt) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "optimizer: expected one, got NULL");
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool is_in(const lucid_optimizer *opt, const lucid_tensor *t)
{
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n; i++)
            if (opt->groups[g].params[i].tensor == t) return true;
    return false;
}

static bool check_param(const lucid_optimizer *opt, lucid_tensor *const *params, size_t i)
{
    const char *op = opt->kind->name;
    lucid_tensor *t = params[i];
    if (!luc_check_tensor(t, op, "parameter")) return false;
    if (!lucid_dtype_is_floating(t->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "parameter %zu: expected a floating dtype, got %s",
                         i, lucid_dtype_name(t->view.dtype));
    if (!lucid_is_leaf(t))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "parameter %zu: expected a leaf, got the result of %s", i,
                         lucid_grad_fn_name(t));
    if (opt->kind->matrices_only && lucid_ndim(t) != 2)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "parameter %zu: expected 2 dimensions, got %s; add the others to another "
                         "optimizer",
                         i, luc_shape_text(t).s);
    bool twice = is_in(opt, t);
    for (size_t j = 0; j < i && !twice; j++) twice = params[j] == t;
    return !twice ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "parameter %zu: expected one that is in no group yet, got it twice", i);
}

bool lucid_optim_add_group(lucid_optimizer *opt, lucid_tensor *const *params, size_t n,
                           const lucid_optim_options *options)
{
    if (!luc_check_optimizer(opt, "optim_add_group")) return false;
    if (n == 0 || !params)
        return luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                         "parameters: expected at least one, got none");
    const lucid_optim_options *o = luc_optim_read_options(options, &opt->defaults, opt->kind->name);
    if (!o || !luc_optim_check_options(opt->kind, o)) return false;
    if (opt->kind->needs_closure && opt->n_groups > 0)
        return luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                         "groups: expected one only, got another one");
    for (size_t i = 0; i < n; i++) {
        if (!check_param(opt, params, i)) return false;
        if (opt->kind->needs_closure && !luc_same_place(params[0], params[i]))
            return luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                             "parameter %zu: expected the device and dtype of parameter 0", i);
    }
    luc_optim_group *groups =
        luc_realloc(opt->groups, (opt->n_groups + 1) * sizeof *groups, opt->kind->name);
    if (!groups) return false;
    opt->groups = groups;
    luc_optim_param *p = luc_calloc(n, sizeof *p, opt->kind->name);
    if (!p) return false;
    for (size_t i = 0; i < n; i++) p[i].tensor = lucid_retain(params[i]);
    groups[opt->n_groups++] =
        (luc_optim_group){.options = *o, .initial_lr = o->lr, .params = p, .n = n};
    return true;
}

size_t lucid_optim_group_count(const lucid_optimizer *opt)
{
    return opt ? opt->n_groups : 0;
}

size_t lucid_optim_group_size(const lucid_optimizer *opt, size_t group)
{
    return opt && group < opt->n_groups ? opt->groups[group].n : 0;
}

lucid_tensor *lucid_optim_param(const lucid_optimizer *opt, size_t group, size_t i)
{
    return i < lucid_optim_group_size(opt, group) ? opt->groups[group].params[i].tensor : NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

lucid_optimizer *luc_optim_make(const luc_optim_kind *kind, const lucid_optim_options *o)
{
    if (!luc_optim_check_options(kind, o)) return NULL;
    lucid_optimizer *opt = luc_calloc(1, sizeof *opt, kind->name);
    if (!opt) return NULL;
    opt->kind = kind;
    opt->defaults = *o;
    luc_live_add_named(LUC_LIVE_OPTIMIZERS, opt->kind->name, 1);
    return opt;
}

void luc_optim_param_release(luc_optim_param *p)
{
    lucid_release(p->tensor);
    lucid_release(p->slow);
    for (int k = 0; k < LUC_MAX_MOMENTS; k++) lucid_release(p->moment[k]);
}

void lucid_optimizer_free(lucid_optimizer *opt)
{
    if (!opt) return;
    for (size_t g = 0; g < opt->n_groups; g++) {
        luc_optim_group *group = &opt->groups[g];
        for (size_t i = 0; i < group->n; i++) luc_optim_param_release(&group->params[i]);
        luc_free(group->params);
    }
    luc_free(opt->groups);
    luc_free(opt->scratch);
    luc_lbfgs_free(opt->lbfgs);
    luc_live_add_named(LUC_LIVE_OPTIMIZERS, opt->kind->name, -1);
    luc_free(opt);
}

bool lucid_optimizer_zero_grad(lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, "zero_grad")) return false;
    bool ok = true;
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n && ok; i++)
            ok = lucid_set_grad(opt->groups[g].params[i].tensor, NULL);
    return ok;
}

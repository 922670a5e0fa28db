/* groups.c: groups of parameters by name. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "nn/module_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/pattern.h"

#include <string.h>

static bool check_pattern(const lucid_optimizer *opt, const char *pattern)
{
    return pattern ||
           luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name, "pattern: expected one, got NULL");
}

static bool raise_none(const lucid_optimizer *opt, const char *pattern)
{
    return luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                     "pattern: expected one that matches a parameter, got \"%s\"", pattern);
}

/* Where a parameter is; false where it is in no group. */
static bool find(const lucid_optimizer *opt, const lucid_tensor *t, size_t *group, size_t *at)
{
    for (*group = 0; *group < opt->n_groups; ++*group)
        for (*at = 0; *at < opt->groups[*group].n; ++*at)
            if (opt->groups[*group].params[*at].tensor == t) return true;
    return false;
}

/* The module's parameters whose names match; with absent, those that are in no group yet. The
 * caller's to luc_free. */
static lucid_tensor **matching(const lucid_optimizer *opt, lucid_module *m, const char *pattern,
                               bool absent, size_t *count)
{
    size_t n, group, at;
    *count = 0;
    if (!luc_check_module(m, opt->kind->name) || !check_pattern(opt, pattern)) return NULL;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    lucid_tensor **found = p ? luc_calloc(n, sizeof *found, opt->kind->name) : NULL;
    for (size_t i = 0; found && i < n; i++) {
        if (!lucid_name_matches(p[i].name, pattern)) continue;
        if (!absent || !find(opt, p[i].tensor, &group, &at)) found[(*count)++] = p[i].tensor;
    }
    if (*count || !found) return found;
    raise_none(opt, pattern);
    luc_free(found);
    return NULL;
}

bool lucid_optim_add_matching(lucid_optimizer *opt, lucid_module *m, const char *pattern,
                              const lucid_optim_options *options)
{
    size_t n;
    if (!luc_check_optimizer(opt, "optim_add_matching")) return false;
    lucid_tensor **params = matching(opt, m, pattern, true, &n);
    bool ok = params && lucid_optim_add_group(opt, params, n, options);
    luc_free(params);
    return ok;
}

/* Takes parameters out of their groups and makes a group of them. All of them are in one. */
static bool move(lucid_optimizer *opt, lucid_tensor *const *params, size_t n,
                 const lucid_optim_options *options)
{
    const lucid_optim_options *o = luc_optim_read_options(options, &opt->defaults, opt->kind->name);
    if (!o || !luc_optim_check_options(opt->kind, o)) return false;
    if (opt->kind->needs_closure)
        return luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                         "groups: expected one only, got another one");
    luc_optim_group *groups =
        luc_realloc(opt->groups, (opt->n_groups + 1) * sizeof *groups, opt->kind->name);
    if (!groups) return false;
    opt->groups = groups;
    luc_optim_param *moved = luc_calloc(n, sizeof *moved, opt->kind->name);
    if (!moved) return false;
    for (size_t i = 0; i < n; i++) {
        size_t g, at;
        if (!find(opt, params[i], &g, &at)) continue;
        luc_optim_group *from = &groups[g];
        moved[i] = from->params[at];
        memmove(from->params + at, from->params + at + 1, (from->n - at - 1) * sizeof *moved);
        from->n--;
    }
    groups[opt->n_groups++] =
        (luc_optim_group){.options = *o, .initial_lr = o->lr, .params = moved, .n = n};
    return true;
}

bool lucid_optim_move_matching(lucid_optimizer *opt, lucid_module *m, const char *pattern,
                               const lucid_optim_options *options)
{
    size_t n, group, at;
    if (!luc_check_optimizer(opt, "optim_move_matching")) return false;
    lucid_tensor **params = matching(opt, m, pattern, false, &n);
    bool ok = params != NULL;
    for (size_t i = 0; ok && i < n; i++)
        if (!find(opt, params[i], &group, &at))
            ok = luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                           "pattern: expected names of the optimizer's parameters, got \"%s\", "
                           "which matches another one too",
                           pattern);
    ok = ok && move(opt, params, n, options);
    luc_free(params);
    return ok;
}

bool lucid_optim_no_decay_for_vectors(lucid_optimizer *opt)
{
    if (!luc_check_optimizer(opt, "optim_no_decay_for_vectors")) return false;
    size_t n = 0, total = 0;
    for (size_t g = 0; g < opt->n_groups; g++) total += opt->groups[g].n;
    lucid_tensor **params = luc_calloc(total, sizeof *params, opt->kind->name);
    if (!params) return false;
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n; i++) {
            lucid_tensor *t = opt->groups[g].params[i].tensor;
            if (lucid_ndim(t) < 2) params[n++] = t;
        }
    lucid_optim_options o = opt->n_groups ? opt->groups[0].options : opt->defaults;
    o.weight_decay = 0;
    bool ok = n ? move(opt, params, n, &o)
                : luc_raise(LUCID_ERR_ARGUMENT, opt->kind->name,
                            "parameters: expected some with fewer than two dimensions, got none");
    luc_free(params);
    return ok;
}

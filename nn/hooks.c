/* hooks.c: functions that run before and after a module's forward and in its backward. */
#include "nn/module_priv.h"

#include <stdatomic.h>

bool luc_has_hooks(const lucid_module *m, luc_module_hook_kind kind)
{
    for (size_t i = 0; i < m->state->n_hooks; i++)
        if (m->state->hooks[i].kind == kind && !m->state->hooks[i].removed) return true;
    return false;
}

/* Takes removed hooks out, unless hooks are being run. */
static void sweep(struct luc_module_state *s)
{
    if (s->hooks_running) return;
    size_t n = 0;
    for (size_t i = 0; i < s->n_hooks; i++)
        if (!s->hooks[i].removed) s->hooks[n++] = s->hooks[i];
    s->n_hooks = n;
}

static uint64_t add_hook(lucid_module *m, luc_module_hook hook, bool given)
{
    static atomic_uint_fast64_t next = 1;
    if (!luc_check_module(m, "register_hook")) return 0;
    if (!given)
        return (uint64_t)luc_raise(LUCID_ERR_ARGUMENT, "register_hook",
                                   "%s: hook: expected a function, got NULL", m->cls->name);
    struct luc_module_state *s = m->state;
    if (s->n_hooks == s->hooks_capacity) {
        size_t n = s->hooks_capacity ? 2 * s->hooks_capacity : 4;
        luc_module_hook *hooks = luc_realloc(s->hooks, n * sizeof *hooks, "register_hook");
        if (!hooks) return 0;
        s->hooks = hooks;
        s->hooks_capacity = n;
    }
    hook.id = atomic_fetch_add(&next, 1);
    s->hooks[s->n_hooks++] = hook;
    return hook.id;
}

uint64_t lucid_register_forward_pre_hook(lucid_module *m, lucid_forward_pre_hook hook, void *user)
{
    luc_module_hook h = {.kind = LUC_HOOK_FORWARD_PRE, .fn.forward_pre = hook, .user = user};
    return add_hook(m, h, hook != NULL);
}

uint64_t lucid_register_forward_hook(lucid_module *m, lucid_forward_hook hook, void *user)
{
    luc_module_hook h = {.kind = LUC_HOOK_FORWARD, .fn.forward = hook, .user = user};
    return add_hook(m, h, hook != NULL);
}

uint64_t lucid_register_full_backward_hook(lucid_module *m, lucid_backward_hook hook, void *user)
{
    luc_module_hook h = {.kind = LUC_HOOK_BACKWARD, .fn.backward = hook, .user = user};
    return add_hook(m, h, hook != NULL);
}

bool lucid_module_remove_hook(lucid_module *m, uint64_t handle)
{
    if (!luc_check_module(m, "module_remove_hook")) return false;
    for (size_t i = 0; i < m->state->n_hooks; i++) {
        luc_module_hook *h = &m->state->hooks[i];
        if (h->id != handle || h->removed) continue;
        h->removed = true;
        sweep(m->state);
        return true;
    }
    return false;
}

/* ---- running --------------------------------------------------------------------------------- */

static lucid_tensor *call(lucid_module *m, const luc_module_hook *h, lucid_tensor *a,
                          lucid_tensor *b)
{
    switch (h->kind) {
    case LUC_HOOK_FORWARD_PRE:
        return h->fn.forward_pre(m, a, h->user);
    case LUC_HOOK_FORWARD:
        return h->fn.forward(m, a, b, h->user);
    default:
        return h->fn.backward(m, a, b, h->user);
    }
}

/* Runs the hooks of a kind that are there now: their results replace *changing (a or b). False after
 * an error. */
static bool run_hooks(lucid_module *m, luc_module_hook_kind kind, lucid_tensor **a,
                      lucid_tensor **b, lucid_tensor **changing)
{
    struct luc_module_state *s = m->state;
    size_t n = s->n_hooks;
    bool ok = true;
    s->hooks_running++;
    for (size_t i = 0; i < n && ok; i++) {
        luc_module_hook h = s->hooks[i]; /* a copy: a hook may add another */
        if (h.kind != kind || h.removed) continue;
        bool had_error = lucid_error_code() != LUCID_OK;
        lucid_tensor *result = call(m, &h, *a, b ? *b : NULL);
        ok = had_error || lucid_error_code() == LUCID_OK;
        if (result && *changing) *changing = result;
    }
    s->hooks_running--;
    sweep(s);
    return ok;
}

lucid_tensor *luc_run_forward_pre_hooks(lucid_module *m, lucid_tensor *x)
{
    return run_hooks(m, LUC_HOOK_FORWARD_PRE, &x, NULL, &x) ? x : NULL;
}

lucid_tensor *luc_run_forward_hooks(lucid_module *m, lucid_tensor *x, lucid_tensor *y)
{
    return run_hooks(m, LUC_HOOK_FORWARD, &x, &y, &y) ? y : NULL;
}

bool luc_run_backward_hooks(lucid_module *m, lucid_tensor *grad_input, lucid_tensor *grad_output,
                            lucid_tensor **result)
{
    lucid_tensor *now = grad_input;
    if (!run_hooks(m, LUC_HOOK_BACKWARD, &now, &grad_output, &now)) return false;
    if (result) *result = now;
    return true;
}

/* hooks.c: functions that run before and after a module's forward and in its backward. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "nn/module_priv.h"

#include <stdatomic.h>

bool luc_has_hooks(const lucid_module *m, luc_module_hook_kind kind)
{
    for (size_t i = 0; i < m->state->n_hooks; i++)
        if (m->state->hooks[i].kind == kind && !m->state->hooks[i].removed) return true;
    return false;
}

/* Deletes the hooks that were removed, unless hooks are running. */
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

uint64_t lucid_register_forward_pre_hook_many(lucid_module *m, lucid_forward_pre_hook_many hook,
                                              void *user)
{
    luc_module_hook h = {
        .kind = LUC_HOOK_FORWARD_PRE, .many = true, .fn.forward_pre_many = hook, .user = user};
    return add_hook(m, h, hook != NULL);
}

uint64_t lucid_register_forward_hook_many(lucid_module *m, lucid_forward_hook_many hook, void *user)
{
    luc_module_hook h = {
        .kind = LUC_HOOK_FORWARD, .many = true, .fn.forward_many = hook, .user = user};
    return add_hook(m, h, hook != NULL);
}

uint64_t lucid_register_full_backward_hook_many(lucid_module *m, lucid_backward_hook_many hook,
                                                void *user)
{
    luc_module_hook h = {
        .kind = LUC_HOOK_BACKWARD, .many = true, .fn.backward_many = hook, .user = user};
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

/* What hooks of one kind see: inputs and outputs, or the gradients of both. */
typedef struct seen {
    lucid_tensor **in, **out;
    int n_in, n_out;
} seen;

/* Runs a hook that sees the first input and the first output. */
static void call_one(lucid_module *m, const luc_module_hook *h, const seen *s)
{
    lucid_tensor *first = s->n_in ? s->in[0] : NULL, *result = NULL;
    switch (h->kind) {
    case LUC_HOOK_FORWARD_PRE:
        result = h->fn.forward_pre(m, first, h->user);
        if (result && s->n_in) s->in[0] = result;
        return;
    case LUC_HOOK_FORWARD:
        result = h->fn.forward(m, first, s->out[0], h->user);
        if (result) s->out[0] = result;
        return;
    default:
        if (s->out[0]) result = h->fn.backward(m, first, s->out[0], h->user);
        if (result && first) s->in[0] = result;
    }
}

static bool call_backward_many(lucid_module *m, const luc_module_hook *h, const seen *s)
{
    lucid_tensor *before[LUCID_MODULE_MAX_INPUTS];
    for (int i = 0; i < s->n_in; i++) before[i] = s->in[i];
    bool ok = h->fn.backward_many(m, s->in, s->n_in, s->out, s->n_out, h->user);
    for (int i = 0; i < s->n_in; i++)
        if (!before[i] || !s->in[i]) s->in[i] = before[i];
    return ok;
}

/* Runs a hook that sees all of them. */
static bool call_many(lucid_module *m, const luc_module_hook *h, const seen *s)
{
    switch (h->kind) {
    case LUC_HOOK_FORWARD_PRE:
        return h->fn.forward_pre_many(m, s->in, s->n_in, h->user);
    case LUC_HOOK_FORWARD:
        return h->fn.forward_many(m, s->in, s->n_in, s->out, s->n_out, h->user);
    default:
        return call_backward_many(m, h, s);
    }
}

static bool are_living(lucid_tensor *const *tensors, int n, const lucid_module *m)
{
    for (int i = 0; i < n; i++)
        if (!luc_is_living(tensors[i], m->cls->name, "the result of its hook")) return false;
    return true;
}

static bool call(lucid_module *m, const luc_module_hook *h, const seen *s)
{
    bool had_error = lucid_error_code() != LUCID_OK;
    if (!h->many)
        call_one(m, h, s);
    else if (!call_many(m, h, s))
        return lucid_error_code() != LUCID_OK
                   ? false
                   : luc_raise(LUCID_ERR_STATE, m->cls->name,
                               "hook: expected true or an error, got false without one");
    if (!are_living(s->in, s->n_in, m) || !are_living(s->out, s->n_out, m)) return false;
    return had_error || lucid_error_code() == LUCID_OK;
}

/* Runs the hooks of a kind that are registered now, not those that hooks add meanwhile. Returns
 * false after an error. */
static bool run_hooks(lucid_module *m, luc_module_hook_kind kind, const seen *tensors)
{
    struct luc_module_state *s = m->state;
    size_t n = s->n_hooks;
    bool ok = true;
    s->hooks_running++;
    for (size_t i = 0; i < n && ok; i++) {
        luc_module_hook h = s->hooks[i]; /* a copy, because a hook may add another one */
        if (h.kind == kind && !h.removed) ok = call(m, &h, tensors);
    }
    s->hooks_running--;
    sweep(s);
    return ok;
}

bool luc_run_forward_pre_hooks(lucid_module *m, lucid_tensor **in, int n_in)
{
    return run_hooks(m, LUC_HOOK_FORWARD_PRE, &(seen){.in = in, .n_in = n_in});
}

bool luc_run_forward_hooks(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                           int n_out)
{
    /* These hooks may not replace inputs. */
    const seen tensors = {(lucid_tensor **)(uintptr_t)in, out, n_in, n_out};
    return run_hooks(m, LUC_HOOK_FORWARD, &tensors);
}

bool luc_run_backward_hooks(lucid_module *m, lucid_tensor **grad_in, int n_in,
                            lucid_tensor *const *grad_out, int n_out)
{
    const seen tensors = {grad_in, (lucid_tensor **)(uintptr_t)grad_out, n_in, n_out};
    return run_hooks(m, LUC_HOOK_BACKWARD, &tensors);
}

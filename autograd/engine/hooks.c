/* hooks.c: hooks on gradients, and results that keep theirs. */
#include "autograd/engine/engine_priv.h"
#include "autograd/graph/graph_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

/* LUC_LOCK_HOOKS guards every hook list and every node's `retained`: they change seldom, and
 * backward reads them from whatever thread it runs in. */
static atomic_uint_fast64_t last_id;

static bool add(luc_hooks *hooks, const luc_hook *hook)
{
    if (hooks->n == hooks->capacity) {
        size_t capacity = hooks->capacity ? 2 * hooks->capacity : 4;
        luc_hook *p = luc_realloc(hooks->item, capacity * sizeof *p, "register_hook");
        if (!p) return false;
        hooks->item = p;
        hooks->capacity = capacity;
    }
    hooks->item[hooks->n++] = *hook;
    return true;
}

static bool take_out(luc_hooks *hooks, uint64_t id)
{
    for (size_t i = 0; i < hooks->n; i++) {
        if (hooks->item[i].id != id) continue;
        hooks->n--;
        memmove(&hooks->item[i], &hooks->item[i + 1], (hooks->n - i) * sizeof hooks->item[i]);
        return true;
    }
    return false;
}

/* A result's hook is kept by its producer. The tensor remembers which, because it may get another
 * producer. */
static bool remember(lucid_tensor *t, uint64_t id)
{
    luc_tensor_extra *x = luc_tensor_extra_get(t);
    if (!x) return false;
    if (x->n_hooked == x->hooked_capacity) {
        size_t capacity = x->hooked_capacity ? 2 * x->hooked_capacity : 4;
        void *p = luc_realloc(x->hooked, capacity * sizeof *x->hooked, "register_hook");
        if (!p) return false;
        x->hooked = p;
        x->hooked_capacity = capacity;
    }
    x->hooked[x->n_hooked].id = id;
    x->hooked[x->n_hooked++].fn = luc_node_retain(t->grad_fn);
    return true;
}

static uint64_t register_locked(lucid_tensor *t, lucid_tensor_hook fn, void *user)
{
    uint64_t id = atomic_fetch_add(&last_id, 1) + 1;
    luc_hook hook = {.id = id, .nr = t->output_nr, .fn = fn, .user = user};
    if (!t->grad_fn) {
        hook.nr = 0;
        luc_tensor_extra *x = luc_tensor_extra_get(t);
        return x && add(&x->hooks, &hook) ? id : 0;
    }
    luc_node_extra *x = luc_node_extra_get(t->grad_fn);
    if (!x || !add(&x->hooks, &hook)) return 0;
    if (remember(t, id)) return id;
    take_out(&x->hooks, id);
    return 0;
}

uint64_t lucid_register_hook(lucid_tensor *t, lucid_tensor_hook hook, void *user)
{
    if (!luc_given(t, "register_hook", "tensor") || !luc_view_refresh(t)) return 0;
    if (!t->requires_grad) {
        luc_raise(LUCID_ERR_ARGUMENT, "register_hook",
                  "tensor: expected one that requires a gradient, got one that %s",
                  luc_no_gradient_reason(t));
        return 0;
    }
    if (!hook) {
        luc_raise(LUCID_ERR_ARGUMENT, "register_hook", "hook: expected a function, got NULL");
        return 0;
    }
    luc_lock(LUC_LOCK_HOOKS);
    uint64_t id = register_locked(t, hook, user);
    luc_unlock(LUC_LOCK_HOOKS);
    return id;
}

bool lucid_remove_hook(lucid_tensor *t, uint64_t handle)
{
    if (!t || !luc_is_living(t, "remove_hook", "tensor")) return false;
    lucid_node *fn = NULL;
    bool found = false;
    luc_lock(LUC_LOCK_HOOKS);
    luc_tensor_extra *x = t->extra;
    if (x) found = take_out(&x->hooks, handle);
    for (size_t i = 0; x && i < x->n_hooked && !found; i++) {
        if (x->hooked[i].id != handle) continue;
        fn = x->hooked[i].fn;
        found = fn->extra && take_out(&fn->extra->hooks, handle);
        x->hooked[i] = x->hooked[--x->n_hooked];
        break;
    }
    luc_unlock(LUC_LOCK_HOOKS);
    luc_node_release(fn);
    if (!found)
        return luc_raise(LUCID_ERR_ARGUMENT, "remove_hook", "handle: there is no hook %llu here",
                         (unsigned long long)handle);
    return true;
}

/* ---- running -------------------------------------------------------------------------------- */

/* The first hook for output nr with an id above `after`; false if there is none. */
static bool hook_at(const luc_hooks *hooks, int nr, uint64_t after, luc_hook *hook)
{
    for (size_t i = 0; i < hooks->n; i++)
        if (hooks->item[i].nr == nr && hooks->item[i].id > after) {
            *hook = hooks->item[i];
            return true;
        }
    return false;
}

/* The next hook after id `after`: a hook may remove itself or add others while it runs. */
static bool next_hook(lucid_node *n, lucid_tensor *leaf, int nr, uint64_t after, luc_hook *hook)
{
    luc_lock(LUC_LOCK_HOOKS);
    const luc_hooks *hooks = NULL;
    if (n && n->extra) hooks = &n->extra->hooks;
    if (leaf && leaf->extra) hooks = &leaf->extra->hooks;
    bool found = hooks && hook_at(hooks, nr, after, hook);
    luc_unlock(LUC_LOCK_HOOKS);
    return found;
}

static bool replace(lucid_tensor **grad, lucid_tensor *by)
{
    const lucid_tensor *g = *grad;
    if (!luc_is_living(by, "hook", "its result")) return false;
    if (!luc_dims_equal(g->view.ndim, g->view.dims, by->view.ndim, by->view.dims) ||
        g->view.dtype != by->view.dtype ||
        !lucid_device_equal(g->storage->device, by->storage->device))
        return luc_raise(LUCID_ERR_ARGUMENT, "hook",
                         "expected a gradient %s %s on %s, got %s %s on %s", luc_shape_text(g).s,
                         lucid_dtype_name(g->view.dtype), lucid_device_name(g->storage->device),
                         luc_shape_text(by).s, lucid_dtype_name(by->view.dtype),
                         lucid_device_name(by->storage->device));
    lucid_retain(by);
    lucid_release(*grad);
    *grad = by;
    return true;
}

/* Runs each hook in its own scope; *grad is an owned reference. */
static bool run_hooks(lucid_node *n, lucid_tensor *leaf, int nr, lucid_tensor **grad)
{
    luc_hook hook = {.id = 0};
    bool ok = true;
    while (ok && next_hook(n, leaf, nr, hook.id, &hook)) {
        const uint64_t raised = luc_raise_count();
        size_t scope = lucid_scope_begin_at("a hook on a gradient", 0);
        if (!scope) return false;
        lucid_tensor *by = hook.fn(*grad, hook.user);
        ok = luc_raise_count() == raised && (!by || by == *grad || replace(grad, by));
        lucid_scope_end(scope);
    }
    return ok;
}

bool luc_run_node_hooks(lucid_node *n, int nr, lucid_tensor **grad)
{
    return !__atomic_load_n(&n->extra, __ATOMIC_ACQUIRE) || run_hooks(n, NULL, nr, grad);
}

bool luc_run_leaf_hooks(lucid_tensor *leaf, lucid_tensor **grad)
{
    return !luc_tensor_extra_of(leaf) || run_hooks(NULL, leaf, 0, grad);
}

/* ---- results that keep their gradient ------------------------------------------------------- */

/* The tensor that keeps the gradient of output nr, retained, unless it is just dying. */
static lucid_tensor *retained(lucid_node *n, int nr)
{
    luc_lock(LUC_LOCK_HOOKS);
    lucid_tensor *t = n->extra ? n->extra->retained[nr] : NULL;
    int refs = t ? atomic_load(&t->refs) : 0;
    while (refs > 0 && !atomic_compare_exchange_weak(&t->refs, &refs, refs + 1)) continue;
    luc_unlock(LUC_LOCK_HOOKS);
    return refs > 0 ? t : NULL;
}

bool luc_keep_retained(lucid_node *n, int nr, lucid_tensor *grad, bool create_graph)
{
    if (!__atomic_load_n(&n->extra, __ATOMIC_ACQUIRE)) return true;
    lucid_tensor *t = retained(n, nr);
    bool ok = !t || luc_accumulate(t, grad, create_graph);
    lucid_release(t);
    return ok;
}

bool lucid_retain_grad(lucid_tensor *t)
{
    if (!luc_given(t, "retain_grad", "tensor") || !luc_view_refresh(t)) return false;
    if (!t->requires_grad)
        return luc_raise(LUCID_ERR_ARGUMENT, "retain_grad",
                         "tensor: expected one that requires a gradient, got one that %s",
                         luc_no_gradient_reason(t));
    if (!t->grad_fn || t->retains_grad) return true;
    if (!luc_retained_add(t)) return false;
    t->retains_grad = true;
    return true;
}

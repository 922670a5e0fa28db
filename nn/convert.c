/* convert.c: moving and converting all parameters and buffers of a module at once. */
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

typedef struct target {
    bool change_device, change_dtype;
    lucid_device device;
    lucid_dtype dtype;
} target;

/* t on the wanted device and of the wanted dtype: t itself, or a copy. */
static lucid_tensor *converted(lucid_tensor *t, const target *to)
{
    if (to->change_device) t = lucid_tensor_to(t, to->device);
    if (t && to->change_dtype && lucid_dtype_is_floating(lucid_tensor_dtype(t)))
        t = lucid_cast(t, to->dtype);
    return t;
}

/* Makes all copies first and then exchanges the data, so that a failure changes nothing. */
static bool convert(lucid_module *m, const target *to)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    size_t n;
    lucid_tensor **old = luc_module_tensors(m, true, true, &n);
    if (!old) return false;
    lucid_tensor **now = luc_calloc(2 * n, sizeof *now, "to");
    bool ok = now != NULL && luc_before_any_write();
    for (size_t i = 0; i < n && ok; i++) {
        lucid_tensor *grad = lucid_tensor_grad(old[i]);
        now[2 * i] = converted(old[i], to);
        now[2 * i + 1] = grad ? converted(grad, to) : NULL;
        ok = now[2 * i] && (!grad || now[2 * i + 1]);
    }
    for (size_t i = 0; i < n && ok; i++) {
        lucid_tensor *grad = lucid_tensor_grad(old[i]);
        if (now[2 * i] != old[i]) luc_tensor_swap_data(old[i], now[2 * i]);
        if (grad && now[2 * i + 1] != grad) luc_tensor_swap_data(grad, now[2 * i + 1]);
    }
    luc_free(now);
    luc_free(old);
    return ok;
}

bool lucid_module_to(lucid_module *m, lucid_device device)
{
    return luc_check_module(m, "to") &&
           convert(m, &(target){.change_device = true, .device = device});
}

bool lucid_to_dtype(lucid_module *m, lucid_dtype dtype)
{
    if (!luc_check_module(m, "to_dtype")) return false;
    if (!lucid_dtype_is_floating(dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, "to_dtype",
                         "%s: dtype: expected a floating one, got %s", m->cls->name,
                         lucid_dtype_name(dtype));
    return convert(m, &(target){.change_dtype = true, .dtype = dtype});
}

bool lucid_module_requires_grad(lucid_module *m, bool requires_grad)
{
    if (!luc_check_module(m, "module_requires_grad")) return false;
    size_t n;
    lucid_tensor **p = luc_module_tensors(m, true, false, &n);
    bool ok = p != NULL;
    for (size_t i = 0; i < n && ok; i++) ok = lucid_requires_grad_(p[i], requires_grad) != NULL;
    luc_free(p);
    return ok;
}

bool lucid_module_zero_grad(lucid_module *m)
{
    if (!luc_check_module(m, "zero_grad")) return false;
    size_t n;
    lucid_tensor **p = luc_module_tensors(m, true, false, &n);
    bool ok = p != NULL;
    for (size_t i = 0; i < n && ok; i++) ok = lucid_set_grad(p[i], NULL);
    luc_free(p);
    return ok;
}

/* ---- modules one by one, children first ------------------------------------------------------ */

typedef struct children_first {
    void (*fn)(lucid_module *m, void *user);
    void *user;
} children_first;

static bool apply_to_one(lucid_module *m, const char *path, void *user)
{
    const children_first *a = user;
    (void)path;
    a->fn(m, a->user);
    return true;
}

bool lucid_module_apply(lucid_module *m, void (*fn)(lucid_module *m, void *user), void *user)
{
    if (!luc_check_module(m, "module_apply")) return false;
    if (!fn)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_apply",
                         "%s: fn: expected a function, got NULL", m->cls->name);
    /* As in PyTorch, a module is visited once for every path that leads to it. */
    return luc_module_walk_children_first(m, apply_to_one, &(children_first){fn, user});
}

static bool reset(lucid_module *m, const char *path, void *user)
{
    (void)path;
    (void)user;
    const lucid_module_class *c = luc_class_with(m, reset_parameters);
    return !c || c->reset_parameters(m);
}

bool lucid_module_reset_parameters(lucid_module *m)
{
    return luc_check_module(m, "module_reset_parameters") && luc_module_walk(m, true, reset, NULL);
}

/* tensor.c: the properties of a tensor that autograd knows. */
#include "autograd/graph/graph_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

bool luc_given(const lucid_tensor *t, const char *op, const char *argument)
{
    if (!t) return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a tensor, got NULL", argument);
    return luc_is_living(t, op, argument);
}

bool luc_given_meta(const lucid_tensor *t, const char *op, const char *argument)
{
    if (!t) return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a tensor, got NULL", argument);
    return luc_is_there(t, op, argument);
}

lucid_tensor *lucid_requires_grad_(lucid_tensor *t, bool requires_grad)
{
    if (!luc_given(t, "requires_grad_", "tensor") || !luc_view_refresh(t)) return NULL;
    if (!luc_before_write(t->storage)) return NULL; /* what was applied to it was recorded then */
    if (t->grad_fn) {
        if (requires_grad) return t;
        return luc_raise_null(LUCID_ERR_ARGUMENT, "requires_grad_",
                              "tensor: expected a leaf, got a result of %s; use lucid_detach",
                              t->grad_fn->op->name);
    }
    if (requires_grad && !lucid_dtype_is_floating(t->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "requires_grad_",
                              "tensor: expected a floating dtype, got %s",
                              lucid_dtype_name(t->view.dtype));
    /* A view that becomes a leaf begins a history of its own. Besides, leaves are what nodes own:
     * one that owned its base could close a circle. */
    if (requires_grad && t->extra && t->extra->base) {
        lucid_release(t->extra->base);
        t->extra->base = NULL;
    }
    t->requires_grad = requires_grad;
    return t;
}

bool lucid_requires_grad(const lucid_tensor *t)
{
    /* A view may have to update its history from its base first, which is no visible change. */
    lucid_tensor *looked = (lucid_tensor *)(uintptr_t)t;
    return t && luc_is_there(t, "requires_grad", "tensor") && luc_view_refresh(looked) &&
           t->requires_grad;
}

bool lucid_is_leaf(const lucid_tensor *t)
{
    lucid_tensor *looked = (lucid_tensor *)(uintptr_t)t;
    return t && luc_is_living(t, "is_leaf", "tensor") && luc_view_refresh(looked) && !t->grad_fn;
}

const char *lucid_grad_fn_name(const lucid_tensor *t)
{
    lucid_tensor *looked = (lucid_tensor *)(uintptr_t)t;
    return t && luc_is_living(t, "grad_fn_name", "tensor") && luc_view_refresh(looked) && t->grad_fn
               ? t->grad_fn->op->name
               : "";
}

lucid_tensor *lucid_tensor_grad(const lucid_tensor *t)
{
    return t && luc_is_living(t, "tensor_grad", "tensor") ? t->grad : NULL;
}

bool lucid_set_grad(lucid_tensor *t, lucid_tensor *grad)
{
    if (!luc_given(t, "set_grad", "tensor") || !luc_is_living(grad, "set_grad", "grad"))
        return false;
    if (grad) {
        if (grad == t)
            return luc_raise(LUCID_ERR_ARGUMENT, "set_grad", "grad: a tensor cannot be its own");
        if (!luc_dims_equal(t->view.ndim, t->view.dims, grad->view.ndim, grad->view.dims) ||
            t->view.dtype != grad->view.dtype ||
            !lucid_device_equal(t->storage->device, grad->storage->device))
            return luc_raise(LUCID_ERR_ARGUMENT, "set_grad",
                             "grad: expected %s %s on %s, got %s %s on %s", luc_shape_text(t).s,
                             lucid_dtype_name(t->view.dtype), lucid_device_name(t->storage->device),
                             luc_shape_text(grad).s, lucid_dtype_name(grad->view.dtype),
                             lucid_device_name(grad->storage->device));
        lucid_retain(grad);
    }
    lucid_tensor *old = t->grad;
    t->grad = grad;
    lucid_release(old);
    return true;
}

lucid_tensor *lucid_detach(lucid_tensor *t)
{
    if (!luc_given(t, "detach", "tensor")) return NULL;
    lucid_meta meta;
    luc_tensor_get_meta(t, &meta);
    lucid_tensor *d = luc_tensor_on(t->storage, &meta, "detach");
    if (d) d->is_scalar = t->is_scalar;
    return d;
}

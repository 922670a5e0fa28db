/* inplace.c: operators that write into their first input. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/dispatch/fuse_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

/* ---- may it be written? ---------------------------------------------------------------------- */

/* "add_": for messages only. */
static luc_text name_of(const lucid_op *op)
{
    luc_text text;
    snprintf(text.s, sizeof text.s, "%.60s_", op->name);
    return text;
}

/* Refuses a leaf that requires a gradient, a view of one, and a view that was made while nothing
 * was recorded. */
static bool may_change(const lucid_tensor *t)
{
    const lucid_tensor *base = t->extra ? t->extra->base : NULL;
    return !t->no_grad_view && (t->grad_fn || !t->requires_grad) &&
           (!base || base->grad_fn || !base->requires_grad);
}

static bool refuse_change(const lucid_tensor *t, const char *name)
{
    if (t->no_grad_view && t->grad_fn && !(t->grad_fn->op->flags & LUCID_OP_VIEW))
        return luc_raise(LUCID_ERR_STATE, name,
                         "in place: an input of a module with backward hooks and several inputs "
                         "cannot be changed while a gradient is recorded; use the form that is not "
                         "in place");
    if (t->no_grad_view)
        return luc_raise(LUCID_ERR_STATE, name,
                         "in place: a view made while no gradient was recorded cannot be changed "
                         "while one is; make both inside LUCID_NO_GRAD, or neither");
    return luc_raise(LUCID_ERR_STATE, name,
                     "in place: a %sleaf that requires a gradient cannot be changed; use "
                     "LUCID_NO_GRAD to set its value",
                     t->requires_grad && !t->grad_fn ? "" : "view of a ");
}

static bool is_expanded(const lucid_tensor *t)
{
    for (int d = 0; d < t->view.ndim && t->numel > 0; d++)
        if (t->view.strides[d] == 0 && t->view.dims[d] > 1) return true;
    return false;
}

static bool refuse_expanded(const lucid_tensor *t, const char *name, const char *argument)
{
    return luc_raise(LUCID_ERR_ARGUMENT, name,
                     "in place: %s: an expanded tensor %s cannot be changed: several of its "
                     "elements are one in memory; use lucid_clone",
                     argument, luc_shape_text(t).s);
}

bool luc_check_inplace(const lucid_tensor *t, const char *name)
{
    if (is_expanded(t)) return refuse_expanded(t, name, "x");
    bool records = lucid_is_grad_enabled() && t->requires_grad;
    return !records || may_change(t) || refuse_change(t, name);
}

static bool check_result(const lucid_call *c)
{
    const lucid_op *op = c->op;
    const lucid_tensor *t = c->in[0];
    const lucid_meta *m = &c->out[0];
    if (c->n_out != 1 || c->op->flags & LUCID_OP_VIEW)
        return luc_raise(LUCID_ERR_UNSUPPORTED, name_of(op).s, "has no form in place");
    if (is_expanded(t)) return refuse_expanded(t, name_of(op).s, luc_argument_name(op, 0).s);
    if (!luc_dims_equal(t->view.ndim, t->view.dims, m->ndim, m->dims))
        return luc_raise(LUCID_ERR_ARGUMENT, name_of(op).s,
                         "in place: %s: expected the shape of the result, %s, got %s",
                         luc_argument_name(c->op, 0).s, luc_dims_text(m->ndim, m->dims).s,
                         luc_shape_text(t).s);
    if (t->view.dtype != m->dtype)
        return luc_raise(LUCID_ERR_ARGUMENT, name_of(op).s,
                         "in place: %s: expected the dtype of the result, %s, got %s",
                         luc_argument_name(c->op, 0).s, lucid_dtype_name(m->dtype),
                         lucid_dtype_name(t->view.dtype));
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool same_elements(const lucid_view *a, const lucid_view *b)
{
    return a->data == b->data && luc_dims_equal(a->ndim, a->dims, b->ndim, b->dims) &&
           luc_dims_equal(a->ndim, a->strides, b->ndim, b->strides);
}

static lucid_tensor *copy_of(const lucid_tensor *t, const char *op)
{
    lucid_meta m;
    luc_tensor_get_meta(t, &m);
    if (!luc_is_dense(m.ndim, m.dims, m.strides)) luc_contiguous_strides(m.ndim, m.dims, m.strides);
    lucid_tensor *copy = luc_tensor_new(&m, t->storage->device, op);
    return copy && luc_copy_data(copy, t, op) ? copy : NULL;
}

/* The tensors that the kernel reads and that the node keeps. They differ from the inputs where the
 * kernel will overwrite an input, of which they are copies. */
static bool take_copies(const lucid_call *c, lucid_tensor **read, lucid_tensor **keep)
{
    const lucid_tensor *t = c->in[0];
    uint32_t saves = c->needs && c->op->saves ? c->op->saves(c) : 0;
    for (int i = 0; i < c->n_in; i++) {
        read[i] = c->in[i];
        keep[i] = NULL;
        if (!read[i] || read[i]->storage != t->storage) continue;
        const bool overlaps = !same_elements(&read[i]->view, &t->view);
        if (overlaps || (i < 16 && saves & LUCID_SAVE_INPUT(i))) {
            keep[i] = copy_of(read[i], c->op->name);
            if (!keep[i]) return false;
        }
        if (overlaps) read[i] = keep[i];
    }
    return true;
}

static bool write_result(const lucid_call *c, lucid_tensor *const *read)
{
    lucid_tensor *t = c->in[0];
    if (!c->op->compose || luc_call_kernel(c).run) return luc_call_compute(c, read, &t);
    bool grad_mode = lucid_set_grad_enabled(false);
    const luc_fuse_pause pause = luc_fuse_pause_begin();
    size_t autocast = lucid_autocast_begin(LUCID_AUTOCAST_OFF);
    lucid_tensor *made[LUCID_MAX_OUTPUTS] = {NULL};
    bool ok = c->op->compose(c, made) && made[0] && luc_copy_data(t, made[0], c->op->name);
    lucid_autocast_end(autocast);
    luc_fuse_pause_end(pause);
    lucid_set_grad_enabled(grad_mode);
    return ok;
}

static bool apply_inplace(lucid_call *c)
{
    lucid_tensor *t = c->in[0];
    lucid_tensor *read[LUC_MAX_APPLY], *keep[LUC_MAX_APPLY];
    if (!check_result(c)) return false;
    if (c->needs && !may_change(t)) return refuse_change(t, name_of(c->op).s);
    luc_tensor_get_meta(t, &c->out[0]);
    if (!luc_before_write(t->storage) || !take_copies(c, read, keep) || !write_result(c, read))
        return false;
    luc_storage_bump(t->storage);
    if (!c->needs) return true;
    lucid_node *fn = luc_node_new(c, &t, keep);
    return fn && luc_rebase_history(t, fn);
}

lucid_tensor *lucid_apply_inplace(const lucid_op *op, lucid_tensor *const *inputs, int n,
                                  const void *attrs)
{
    lucid_call c;
    if (!luc_check_apply(op, inputs, n, "apply_inplace")) return NULL;
    if (n < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op->name, "inputs: expected at least 1, got %d",
                              n);
    if (luc_fusing) {
        const luc_fused fused = luc_fuse_inplace(op, inputs, n, attrs);
        if (fused != LUC_NOT_FUSED) return fused == LUC_FUSED ? inputs[0] : NULL;
    }
    if (!luc_call_begin(&c, op, inputs, n, attrs)) return NULL;
    lucid_tensor *t = inputs[0];
    luc_span span;
    const bool profiled = luc_profiler_is_on();
    if (profiled) luc_span_begin(&span, false);
    size_t scope = lucid_scope_begin();
    bool ok = scope && apply_inplace(&c);
    lucid_scope_end(scope);
    if (profiled && ok)
        ok = luc_profile_call(&span, &c);
    else if (profiled)
        luc_span_drop(&span);
    return ok ? t : NULL;
}

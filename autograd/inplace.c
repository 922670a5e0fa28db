/* inplace.c: operators that write into their first input, and the history that this makes. */
#include "autograd/fuse_priv.h"
#include "autograd/node_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"

#include <string.h>

/* ---- may it be written? ----------------------------------------------------------------------- */

/* "add_": for messages only. */
static luc_text name_of(const lucid_op *op)
{
    luc_text text;
    snprintf(text.s, sizeof text.s, "%.60s_", op->name);
    return text;
}

/* A leaf that requires a gradient, a view of one, or a view from a time without recording: no. */
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

/* ---- writing ---------------------------------------------------------------------------------- */

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

/* What the kernel reads and what the node keeps, where that is not the inputs themselves: copies of
 * inputs that the kernel is about to overwrite. */
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

/* ---- the history of views --------------------------------------------------------------------- */

typedef struct slices_attrs {
    lucid_meta base, view;
} slices_attrs;

/* Memory for a tensor like base, with whatever gaps its strides leave. */
static lucid_tensor *like_base(const lucid_meta *base, lucid_device device)
{
    lucid_meta m = *base;
    size_t last = 0;
    m.offset = 0;
    for (int d = 0; d < m.ndim; d++)
        if (m.dims[d] > 1) last += (size_t)(m.dims[d] - 1) * (size_t)m.strides[d];
    size_t bytes = (last + 1) * lucid_dtype_size(m.dtype); /* no more than the base's own */
    luc_storage *s = luc_storage_new(device, bytes, "copy_slices");
    if (!s) return NULL;
    lucid_tensor *t = luc_tensor_on(s, &m, "copy_slices");
    luc_storage_release(s);
    return t;
}

/* The gradient of the base: the incoming one, with the written part's run through the operator. */
static bool copy_slices_vjp(lucid_vjp *v)
{
    lucid_tensor *grad = v->grad_out[0];
    if (!grad) return true;
    const slices_attrs *a = v->attrs;
    lucid_node *inner = v->node->extra->inner;
    lucid_shape shape = {.ndim = a->view.ndim}, strides = {.ndim = a->view.ndim};
    memcpy(shape.dims, a->view.dims, (size_t)shape.ndim * sizeof *shape.dims);
    memcpy(strides.dims, a->view.strides, (size_t)shape.ndim * sizeof *shape.dims);

    lucid_tensor *result = like_base(&a->base, grad->storage->device);
    if (!lucid_copy_(result, grad)) return false;
    lucid_tensor *slice =
        lucid_as_strided_opt(result, shape, strides, a->view.offset - a->base.offset);
    lucid_tensor *grad_slice = lucid_clone(slice, LUCID_PRESERVE);
    if (!grad_slice) return false;

    luc_vjp_run run;
    luc_vjp_begin(&run, inner, &grad_slice);
    if (!luc_vjp_call(&run)) return false;
    for (int i = 1; i < v->n_in; i++) v->grad_in[i] = run.grad_in[i];
    if (!(v->needs & 1)) return true;
    if (!(run.grad_in[0] ? lucid_copy_(slice, run.grad_in[0]) : lucid_zero_(slice))) return false;
    v->grad_in[0] = result;
    return true;
}

static const lucid_op copy_slices_op = {
    .name = "copy_slices",
    .schema = "base",
    .doc = "An operator in place on a view, as the history of the view's base.",
    .id = LUCID_OP_CUSTOM,
    .n_in = -1,
    .n_out = 1,
    .attrs_size = sizeof(slices_attrs),
    .vjp = copy_slices_vjp,
};

const lucid_meta *luc_written_base(const lucid_node *outer)
{
    return &((const slices_attrs *)outer->attrs)->base;
}

/* The base's new producer around inner (taken over), whose inputs' edges it shares. */
static lucid_node *copy_slices_node(lucid_tensor *base, lucid_tensor *t, lucid_node *inner)
{
    slices_attrs attrs;
    luc_tensor_get_meta(base, &attrs.base);
    luc_tensor_get_meta(t, &attrs.view);
    lucid_tensor *in[LUC_MAX_APPLY] = {base};
    lucid_call c = {.op = &copy_slices_op, .n_in = 1, .n_out = 1, .in = in, .attrs = &attrs};
    c.needs = base->requires_grad;
    lucid_node *n = NULL;
    luc_node_extra *ix = luc_node_extra_get(inner);
    /* Room for inner's inputs; the tensors themselves are gone, their edges are what counts. */
    c.n_in = inner->n_in;
    if (ix) n = luc_node_new(&c, &base, NULL);
    luc_node_extra *x = n ? luc_node_extra_get(n) : NULL;
    if (!x) {
        luc_node_release(n);
        luc_node_release(inner);
        return NULL;
    }
    for (int i = 1; i < inner->n_in; i++) {
        const luc_edge *e = &inner->edge[i];
        n->edge[i] = (luc_edge){luc_node_retain(e->fn), lucid_retain(e->leaf), e->nr};
        n->in[i] = inner->in[i];
        n->needs |= inner->needs & 1u << i;
    }
    x->inner = inner;
    ix->outer = n;
    return n;
}

bool luc_rebase_history(lucid_tensor *t, lucid_node *fn)
{
    lucid_tensor *base = t->extra ? t->extra->base : NULL;
    if (!base) {
        luc_set_grad_fn(t, fn, 0);
        return true;
    }
    lucid_node *n = copy_slices_node(base, t, fn);
    if (!n) return false;
    luc_set_grad_fn(base, n, 0);
    return luc_view_refresh(t);
}

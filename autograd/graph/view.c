/* view.c: views in the graph.
 *
 * A view knows its base: the tensor whose memory it looks at. When one of them is changed in place
 * the base gets a new producer, and every view finds its own anew, from the base, when it is next
 * read, if the storage's version has changed since the view last saw it. Views of views
 * have the same base. Two kinds of views have none: lucid_detach's, and those made while nothing
 * was recorded. The latter may not be changed in place while gradients are recorded (PyTorch's
 * rule, because their history would be ambiguous). A view from a time without recording stays a
 * constant. */
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"

#include "lucid/core/attrs.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

luc_tensor_extra *luc_tensor_extra_get(lucid_tensor *t)
{
    if (t->extra) return t->extra;
    luc_tensor_extra *x = luc_pool_alloc(sizeof *x, "view");
    if (!x) return NULL;
    memset(x, 0, sizeof *x);
    __atomic_store_n(&t->extra, x, __ATOMIC_RELEASE);
    return x;
}

static uint64_t version_of(const lucid_tensor *t)
{
    return atomic_load_explicit(&t->storage->version, memory_order_relaxed);
}

bool luc_view_track(lucid_tensor *view, lucid_tensor *t)
{
    if (luc_grad_off || t->no_grad_view) {
        view->no_grad_view = true;
        return true;
    }
    luc_tensor_extra *x = luc_tensor_extra_get(view);
    if (!x) return false;
    x->base = lucid_retain(t->extra && t->extra->base ? t->extra->base : t);
    atomic_store_explicit(&x->view_version, version_of(t), memory_order_release);
    return true;
}

/* t as a view of base, by strides: for a record. */
static lucid_view_attrs geometry(const lucid_tensor *base, const lucid_tensor *t)
{
    lucid_view_attrs a = {.offset = t->offset, .start = base->offset};
    a.shape.ndim = t->view.ndim;
    for (int d = 0; d < t->view.ndim; d++) {
        a.shape.dims[d] = t->view.dims[d];
        a.strides[d] = t->view.strides[d];
    }
    return a;
}

static lucid_node *as_strided_node(lucid_tensor *base, lucid_tensor *t)
{
    lucid_view_attrs attrs = geometry(base, t);
    lucid_call c = {.op = &luc_op_as_strided, .n_in = 1, .n_out = 1, .in = &base, .attrs = &attrs};
    c.needs = 1;
    return luc_node_new(&c, &t, NULL);
}

static bool refresh(lucid_tensor *t, luc_tensor_extra *x)
{
    uint64_t version = version_of(t);
    if (atomic_load_explicit(&x->view_version, memory_order_relaxed) == version ||
        (!t->grad_fn && !x->base->requires_grad))
        return true;
    if (x->base->storage == t->storage) {
        lucid_node *fn = as_strided_node(x->base, t);
        if (!fn) return false;
        luc_set_grad_fn(t, fn, 0);
    }
    atomic_store_explicit(&x->view_version, version, memory_order_release);
    return true;
}

bool luc_view_refresh_slow(lucid_tensor *t)
{
    luc_tensor_extra *x = t->extra;
    if (atomic_load_explicit(&x->view_version, memory_order_acquire) == version_of(t)) return true;
    /* Several threads may read one view at once. */
    luc_lock(LUC_LOCK_VIEWS);
    bool ok = refresh(t, x);
    luc_unlock(LUC_LOCK_VIEWS);
    return ok;
}

lucid_node *luc_grad_fn(lucid_tensor *t)
{
    return luc_view_refresh(t) ? t->grad_fn : NULL;
}

/* The tensor that outer's operator wrote, seen as a part of the base that outer produces. */
lucid_tensor *luc_slice_of(lucid_node *outer, lucid_tensor *t)
{
    lucid_tensor *base = luc_tensor_on(t->storage, luc_written_base(outer), outer->op->name);
    if (!base) return NULL;
    luc_set_grad_fn(base, luc_node_retain(outer), 0);
    lucid_node *fn = as_strided_node(base, t);
    if (!fn) return NULL;
    luc_set_grad_fn(t, fn, 0);
    return t;
}

/* ---- what an operator in place makes of it --------------------------------------------------- */

const lucid_meta *luc_written_base(const lucid_node *outer)
{
    return &((const luc_slices_attrs *)outer->attrs)->base;
}

/* The base's new producer around inner (taken over), whose inputs' edges it shares. */
static lucid_node *copy_slices_node(lucid_tensor *base, lucid_tensor *t, lucid_node *inner)
{
    luc_slices_attrs attrs;
    luc_tensor_get_meta(base, &attrs.base);
    luc_tensor_get_meta(t, &attrs.view);
    lucid_tensor *in[LUC_MAX_APPLY] = {base};
    lucid_call c = {.op = &luc_op_copy_slices, .n_in = 1, .n_out = 1, .in = in, .attrs = &attrs};
    c.needs = base->requires_grad;
    lucid_node *n = NULL;
    luc_node_extra *ix = luc_node_extra_get(inner);
    /* Space for inner's inputs. Only their edges are needed; the tensors do not exist any more. */
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

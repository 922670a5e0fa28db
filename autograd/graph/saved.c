/* saved.c: running a vjp, and giving it saved tensors and sizes. */
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

#define LUC_GRAPH_RELEASED                                                                     \
    "the graph was released by an earlier backward; give that one .retain_graph = true to go " \
    "through it again"

/* ---- saved tensors --------------------------------------------------------------------------- */

static luc_saved *find_saved(lucid_node *n, int which)
{
    for (int i = 0; i < n->n_saved; i++)
        if (n->saved[i].which == which) return &n->saved[i];
    return NULL;
}

static luc_text saved_name(const lucid_node *n, int which)
{
    if (which < 16) return luc_argument_name(n->op, which);
    luc_text text;
    if (n->n_out > 1)
        snprintf(text.s, sizeof text.s, "output %d", which - 16);
    else
        snprintf(text.s, sizeof text.s, "output");
    return text;
}

static void set_producer(lucid_tensor *t, lucid_node *fn, int nr)
{
    if (!fn) return;
    t->grad_fn = luc_node_retain(fn);
    t->output_nr = nr;
    t->requires_grad = true;
}

/* A leaf whose data were exchanged since: what was saved leads to it through a node of its own. */
static bool pass_vjp(lucid_vjp *v)
{
    v->grad_in[0] = v->grad_out[0];
    return true;
}
static const lucid_op pass_op = {.name = "saved",
                                 .schema = "leaf",
                                 .id = LUCID_OP_CUSTOM,
                                 .n_in = 1,
                                 .n_out = 1,
                                 .vjp = pass_vjp};

static lucid_tensor *unpack_leaf(lucid_tensor *leaf, lucid_tensor *t)
{
    if (leaf->storage == t->storage && leaf->offset == t->offset) {
        lucid_retain(leaf);
        return luc_scope_add(leaf) ? leaf : NULL;
    }
    lucid_call c = {.op = &pass_op, .n_in = 1, .n_out = 1, .in = &leaf, .needs = 1};
    return luc_record(&c, &t) ? t : NULL;
}

static lucid_tensor *unpack(lucid_node *n, int which)
{
    luc_saved *s = find_saved(n, which);
    luc_text name = saved_name(n, which);
    if (!s)
        return luc_raise_null(LUCID_ERR_INTERNAL, n->op->name,
                              "%s: the vjp asks for what .saves did not name", name.s);
    const luc_packed *p = which < 16 ? &n->in[which] : &n->out[which - 16];
    luc_node_lock(n);
    luc_storage *storage = luc_storage_retain(s->storage);
    luc_node_unlock(n);
    if (!storage)
        return luc_raise_null(LUCID_ERR_STATE, n->op->name, "%s: %s", name.s, LUC_GRAPH_RELEASED);
    uint64_t version = atomic_load_explicit(&storage->version, memory_order_relaxed);
    lucid_tensor *t = NULL;
    if (version == s->version) {
        lucid_meta meta;
        luc_packed_meta(p, &meta);
        meta.offset = s->offset;
        t = luc_tensor_on(storage, &meta, n->op->name);
    } else {
        luc_raise(LUCID_ERR_STATE, n->op->name,
                  "%s: the tensor %s, needed for backward, is at version %llu, expected %llu: it "
                  "was modified in place after it was used here",
                  name.s, luc_dims_text(p->ndim, p->dims).s, (unsigned long long)version,
                  (unsigned long long)s->version);
    }
    luc_storage_release(storage);
    if (!t) return NULL;
    t->is_scalar = s->is_scalar;
    return t;
}

lucid_tensor *luc_saved_unpack(lucid_node *n, int which)
{
    lucid_tensor *t = unpack(n, which);
    if (!t || luc_grad_off) return t;
    /* The backward is recorded too: t gets the history that it had. */
    if (which >= 16) {
        if (n->extra && n->extra->outer) return luc_slice_of(n->extra->outer, t);
        set_producer(t, n, which - 16);
    } else if (n->edge[which].leaf) {
        return unpack_leaf(n->edge[which].leaf, t);
    } else {
        set_producer(t, n->edge[which].fn, n->edge[which].nr);
    }
    return t;
}

static bool vjp_given(const lucid_vjp *v, const char *function)
{
    return v || luc_raise(LUCID_ERR_ARGUMENT, function, "v: expected a lucid_vjp, got NULL");
}

lucid_tensor *lucid_saved_input(lucid_vjp *v, int i)
{
    if (!vjp_given(v, "saved_input")) return NULL;
    if (i < 0 || i >= v->n_in || i >= 16 || v->node->in[i].ndim < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, v->op->name, "saved_input: there is no input %d",
                              i);
    return luc_saved_unpack(v->node, i);
}

lucid_tensor *lucid_saved_output(lucid_vjp *v, int i)
{
    if (!vjp_given(v, "saved_output")) return NULL;
    if (i < 0 || i >= v->n_out)
        return luc_raise_null(LUCID_ERR_ARGUMENT, v->op->name,
                              "saved_output: there is no output %d", i);
    return luc_saved_unpack(v->node, 16 + i);
}

/* ---- what a vjp may ask ---------------------------------------------------------------------- */

bool lucid_has_input(const lucid_vjp *v, int i)
{
    return vjp_given(v, "has_input") && i >= 0 && i < v->n_in && v->node->in[i].ndim >= 0;
}

static const lucid_meta *meta_of(const lucid_vjp *v, const luc_packed *p, int at)
{
    if (p->ndim < 0) return NULL;
    luc_vjp_run *run = (luc_vjp_run *)((char *)(uintptr_t)v - offsetof(luc_vjp_run, v));
    luc_packed_meta(p, &run->meta[at]);
    return &run->meta[at];
}

const lucid_meta *lucid_input_meta(const lucid_vjp *v, int i)
{
    if (!vjp_given(v, "input_meta")) return NULL;
    return i >= 0 && i < v->n_in ? meta_of(v, &v->node->in[i], i) : NULL;
}

const lucid_meta *lucid_output_meta(const lucid_vjp *v, int i)
{
    if (!vjp_given(v, "output_meta")) return NULL;
    return i >= 0 && i < v->n_out ? meta_of(v, &v->node->out[i], LUC_MAX_APPLY + i) : NULL;
}

/* ---- running it ------------------------------------------------------------------------------ */

void luc_vjp_begin(luc_vjp_run *run, lucid_node *n, lucid_tensor *const *grad_out)
{
    for (int i = 0; i < n->n_in; i++) run->grad_in[i] = NULL;
    run->v = (lucid_vjp){
        .op = n->op,
        .attrs = n->attrs,
        .n_in = n->n_in,
        .n_out = n->n_out,
        .grad_out = grad_out,
        .grad_in = run->grad_in,
        .needs = n->needs,
        .node = n,
    };
}

/* A gradient must look like the input that it belongs to. */
static bool check_gradient(lucid_node *n, int i, const lucid_tensor *g)
{
    if (!luc_is_living(g, n->op->name, "the gradient that its vjp gives")) return false;
    const luc_packed *p = &n->in[i];
    const lucid_device *d = &g->storage->device;
    if (luc_dims_equal(p->ndim, p->dims, g->view.ndim, g->view.dims) &&
        g->view.dtype == (lucid_dtype)p->dtype && d->type == (lucid_device_type)p->device_type &&
        d->index == p->device_index)
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, n->op->name,
                     "vjp: expected a gradient %s for %s, got %s %s on %s", luc_packed_text(p).s,
                     luc_argument_name(n->op, i).s, luc_shape_text(g).s,
                     lucid_dtype_name(g->view.dtype), lucid_device_name(*d));
}

static bool call_vjp(luc_vjp_run *run)
{
    lucid_node *n = run->v.node;
    const uint64_t raised = luc_raise_count();
    if (!n->op->vjp(&run->v)) {
        if (luc_raise_count() == raised)
            luc_raise(LUCID_ERR_INTERNAL, n->op->name, "vjp: failed without raising an error");
        return false;
    }
    /* The vjp ignored an error of an operator: a NULL that it passed on is no zero then. */
    if (luc_raise_count() != raised) return false;
    for (int i = 0; i < n->n_in; i++) {
        if (!(run->v.needs & 1u << i)) run->grad_in[i] = NULL;
        if (run->grad_in[i] && !check_gradient(n, i, run->grad_in[i])) return false;
    }
    return true;
}

bool luc_vjp_call(luc_vjp_run *run)
{
    lucid_node *n = run->v.node;
    if (!n->op->vjp)
        return luc_raise(LUCID_ERR_UNSUPPORTED, n->op->name, "has no derivative (no .vjp)");
    if (n->released && n->n_saved)
        return luc_raise(LUCID_ERR_STATE, n->op->name, "%s", LUC_GRAPH_RELEASED);
    if (!n->op->state_retain) return call_vjp(run);
    /* Another thread's backward may release the node meanwhile. */
    if (!luc_node_state(n, &run->v.state))
        return luc_raise(LUCID_ERR_STATE, n->op->name, "%s", LUC_GRAPH_RELEASED);
    const bool ok = call_vjp(run);
    if (run->v.state) n->op->state_release(run->v.state);
    run->v.state = NULL;
    return ok;
}

/* node.c: recording an application, and freeing graphs of any depth. */
#include "autograd/graph/graph_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

/* ---- making ---------------------------------------------------------------------------------- */

static atomic_uint_fast64_t sequence;

static int popcount(uint32_t bits)
{
    return __builtin_popcount(bits);
}

static int64_t *pack(luc_packed *p, int64_t *free_sizes, int ndim, lucid_dtype dtype,
                     lucid_device device, const int64_t *dims, const int64_t *strides)
{
    p->ndim = (int8_t)ndim;
    p->dtype = (uint8_t)dtype;
    p->device_type = (uint8_t)device.type;
    p->device_index = device.index;
    p->dims = free_sizes;
    for (int d = 0; d < ndim; d++) free_sizes[d] = dims[d];
    for (int d = 0; d < ndim; d++) free_sizes[ndim + d] = strides[d];
    return free_sizes + 2 * ndim;
}

void luc_packed_meta(const luc_packed *p, lucid_meta *meta)
{
    meta->dtype = (lucid_dtype)p->dtype;
    meta->ndim = p->ndim;
    for (int d = 0; d < p->ndim; d++) {
        meta->dims[d] = p->dims[d];
        meta->strides[d] = p->dims[p->ndim + d];
    }
    meta->offset = 0;
}

luc_text luc_packed_text(const luc_packed *p)
{
    luc_text text, dims = luc_dims_text(p->ndim, p->dims);
    lucid_device device = {(lucid_device_type)p->device_type, p->device_index};
    snprintf(text.s, sizeof text.s, "%.100s %s on %s", dims.s,
             lucid_dtype_name((lucid_dtype)p->dtype), lucid_device_name(device));
    return text;
}

/* The allocation: the node, edges, packed metas, saved tensors, attributes, sizes. */
static lucid_node *allocate(const lucid_call *c, lucid_tensor *const *outputs, int n_saved)
{
    size_t dims = 0;
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i]) dims += 2 * (size_t)c->in[i]->view.ndim;
    for (int i = 0; i < c->n_out; i++) dims += 2 * (size_t)outputs[i]->view.ndim;
    size_t n_in = (size_t)c->n_in, n_out = (size_t)c->n_out;
    size_t attrs_size = c->attrs ? (c->op->attrs_size + 15) & ~(size_t)15 : 0;
    size_t head = (sizeof(lucid_node) + 15) & ~(size_t)15;
    size_t size = head + attrs_size + n_in * sizeof(luc_edge) +
                  (n_in + n_out) * sizeof(luc_packed) + (size_t)n_saved * sizeof(luc_saved) +
                  dims * sizeof(int64_t);
    char *p = luc_pool_alloc(size, c->op->name);
    if (!p) return NULL;
    lucid_node *n = (lucid_node *)p;
    n->size = size;
    p += head;
    n->attrs = attrs_size ? p : NULL;
    p += attrs_size;
    n->edge = (luc_edge *)p;
    p += n_in * sizeof(luc_edge);
    n->in = (luc_packed *)p;
    p += n_in * sizeof(luc_packed);
    n->out = (luc_packed *)p;
    p += n_out * sizeof(luc_packed);
    n->saved = (luc_saved *)p;
    return n;
}

static void save(luc_saved *s, lucid_tensor *t, int which)
{
    s->storage = luc_storage_retain(t->storage);
    s->version = atomic_load_explicit(&t->storage->version, memory_order_relaxed);
    s->offset = t->offset;
    s->which = (uint8_t)which;
    s->is_scalar = t->is_scalar;
}

static void fill(lucid_node *n, const lucid_call *c, lucid_tensor *const *outputs,
                 lucid_tensor *const *keep, uint32_t saves)
{
    int64_t *free_sizes = (int64_t *)(n->saved + n->n_saved);
    luc_saved *saved = n->saved;
    for (int i = 0; i < n->n_in; i++) {
        lucid_tensor *t = c->in[i];
        lucid_tensor *kept = keep && keep[i] ? keep[i] : t;
        n->edge[i] = c->needs & 1u << i ? luc_edge_of(t) : (luc_edge){NULL, NULL, 0};
        if (!t) {
            n->in[i].ndim = -1;
            continue;
        }
        /* A copy that is kept instead has its own layout. */
        free_sizes = pack(&n->in[i], free_sizes, t->view.ndim, t->view.dtype, t->storage->device,
                          t->view.dims, kept->view.strides);
        if (i < 16 && saves & LUCID_SAVE_INPUT(i)) save(saved++, kept, i);
    }
    for (int i = 0; i < n->n_out; i++) {
        lucid_tensor *t = outputs[i];
        free_sizes = pack(&n->out[i], free_sizes, t->view.ndim, t->view.dtype, t->storage->device,
                          t->view.dims, t->view.strides);
        if (saves & LUCID_SAVE_OUTPUT(i)) save(saved++, t, 16 + i);
    }
}

/* The bits of .saves whose inputs and outputs exist. */
static uint32_t saves_of(const lucid_call *c)
{
    uint32_t saves = c->op->saves ? c->op->saves(c) : 0;
    for (int i = 0; i < 16; i++)
        if (i >= c->n_in || !c->in[i]) saves &= ~LUCID_SAVE_INPUT(i);
    return saves & (((1u << (16 + c->n_out)) - 1));
}

/* ---- an operator's state --------------------------------------------------------------------- */

static bool has_state(const lucid_node *n)
{
    return n->attrs && n->op->state_retain;
}

/* The node's reference to the state that the attributes begin with. */
static bool take_state(lucid_node *n)
{
    if (n->op->attrs_size < sizeof(void *) || !n->op->state_release)
        return luc_raise(LUCID_ERR_ARGUMENT, n->op->name,
                         "state_retain: expected attributes that begin with a pointer, and a "
                         ".state_release; got attrs_size %zu",
                         n->op->attrs_size);
    void *state = *(void **)n->attrs;
    if (state) n->op->state_retain(state);
    return true;
}

static void drop_state(lucid_node *n)
{
    luc_node_lock(n);
    void *state = *(void **)n->attrs;
    *(void **)n->attrs = NULL;
    n->released = true;
    luc_node_unlock(n);
    if (state) n->op->state_release(state);
}

bool luc_node_state(lucid_node *n, void **state)
{
    luc_node_lock(n);
    const bool there = !n->released;
    *state = there && n->attrs ? *(void **)n->attrs : NULL;
    if (*state) n->op->state_retain(*state);
    luc_node_unlock(n);
    return there;
}

/* ---- recording ------------------------------------------------------------------------------- */

lucid_node *luc_node_new(const lucid_call *c, lucid_tensor *const *outputs,
                         lucid_tensor *const *keep)
{
    uint32_t saves = saves_of(c);
    int n_saved = popcount(saves);
    lucid_node *n = allocate(c, outputs, n_saved);
    if (!n) return NULL;
    atomic_init(&n->refs, 1);
    atomic_init(&n->released, false);
    n->op = c->op;
    n->seq = atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed);
    n->n_in = c->n_in;
    n->n_out = c->n_out;
    n->n_saved = n_saved;
    n->needs = c->needs;
    n->extra = NULL;
    n->next = NULL;
    fill(n, c, outputs, keep, saves);
    luc_live_add(LUC_LIVE_NODES, 1);
    if (n->attrs) {
        memcpy(n->attrs, c->attrs, c->op->attrs_size);
        if (n->op->state_retain && !take_state(n)) {
            n->attrs = NULL; /* there is nothing to give back */
            luc_node_release(n);
            return NULL;
        }
    }
    if ((atomic_load_explicit(&luc_anomaly, memory_order_relaxed) && !luc_anomaly_note(n)) ||
        (luc_profiler_is_on() && !luc_profile_note(n))) {
        luc_node_release(n);
        return NULL;
    }
    return n;
}

bool luc_record(const lucid_call *c, lucid_tensor **outputs)
{
    lucid_node *n = luc_node_new(c, outputs, NULL);
    if (!n) return false;
    for (int i = 0; i < c->n_out; i++) {
        lucid_tensor *t = outputs[i];
        if (!lucid_dtype_is_floating(t->view.dtype)) continue;
        t->grad_fn = luc_node_retain(n);
        t->output_nr = i;
        t->requires_grad = true;
    }
    luc_node_release(n);
    return true;
}

luc_edge luc_edge_of(lucid_tensor *t)
{
    lucid_node *fn = t->grad_fn;
    if (fn) return (luc_edge){luc_node_retain(fn), NULL, t->output_nr};
    return (luc_edge){NULL, t->requires_grad ? lucid_retain(t) : NULL, 0};
}

luc_node_extra *luc_node_extra_get(lucid_node *n)
{
    if (n->extra) return n->extra;
    luc_node_extra *x = luc_calloc(1, sizeof *x, n->op->name);
    __atomic_store_n(&n->extra, x, __ATOMIC_RELEASE); /* a backward may be reading it */
    return x;
}

/* ---- freeing --------------------------------------------------------------------------------- */

lucid_node *luc_node_retain(lucid_node *n)
{
    if (n) atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

void luc_edge_release(luc_edge *e)
{
    lucid_node *fn = e->fn;
    lucid_tensor *leaf = e->leaf;
    *e = (luc_edge){NULL, NULL, 0};
    if (fn) luc_node_release(fn);
    if (leaf) lucid_release(leaf);
}

void luc_node_lock(lucid_node *n)
{
    luc_spin_lock(LUC_SPIN_NODE, n);
}

void luc_node_unlock(lucid_node *n)
{
    luc_spin_unlock(LUC_SPIN_NODE, n);
}

void luc_node_release_saved(lucid_node *n)
{
    for (int i = 0; i < n->n_saved; i++) {
        luc_node_lock(n);
        luc_storage *s = n->saved[i].storage;
        n->saved[i].storage = NULL;
        n->released = true;
        luc_node_unlock(n);
        luc_storage_release(s);
    }
    if (has_state(n)) drop_state(n);
    if (n->extra && n->extra->inner) {
        luc_node_release_saved(n->extra->inner);
        if (n->extra->inner->released) n->released = true;
    }
}

static void extra_free(luc_node_extra *x)
{
    if (!x) return;
    luc_hooks_free(&x->hooks);
    if (x->inner) luc_node_release(x->inner);
    luc_free(x->origin);
    luc_free(x->module);
    luc_free(x);
}

static void node_free(lucid_node *n)
{
    if (has_state(n)) drop_state(n);
    for (int i = 0; i < n->n_saved; i++) luc_storage_release(n->saved[i].storage);
    for (int i = 0; i < n->n_in; i++) luc_edge_release(&n->edge[i]);
    extra_free(n->extra);
    luc_live_add(LUC_LIVE_NODES, -1);
    luc_pool_free(n, n->size);
}

/* Nodes whose last reference this thread has dropped and that are still to be freed. Freeing one
 * drops others, through its edges or through a leaf's gradient: those wait here for the outermost
 * call, so the stack stays flat however deep the graph is. */
static _Thread_local lucid_node *doomed;
static _Thread_local bool draining;

void luc_node_release(lucid_node *n)
{
    if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1) return;
    n->next = doomed;
    doomed = n;
    if (draining) return;
    draining = true;
    while (doomed) {
        lucid_node *next = doomed;
        doomed = next->next;
        node_free(next);
    }
    draining = false;
}

static void tensor_release(lucid_tensor *t)
{
    if (t->retains_grad && t->grad_fn) luc_retained_remove(t);
    luc_tensor_extra *x = t->extra;
    if (x) {
        luc_hooks_free(&x->hooks);
        for (size_t i = 0; i < x->n_hooked; i++) luc_node_release(x->hooked[i].fn);
        luc_free(x->hooked);
        lucid_release(x->base);
        luc_pool_free(x, sizeof *x);
    }
    lucid_release(t->grad);
    luc_node_release(t->grad_fn);
}

__attribute__((constructor)) static void attach(void)
{
    luc_tensor_autograd.release = tensor_release;
}

/* graph_priv.h: the graph: nodes, edges, saved tensors, views. The lowest of autograd's layers.
 *
 * A node is one recorded application of an operator. It refers to the nodes that made its inputs
 * (edges) and to what its vjp needs (saved), never to its own output tensors: so the graph has no
 * cycles and reference counts free it. Nodes are released iteratively, whatever the depth. */
#ifndef LUCID_AUTOGRAD_GRAPH_GRAPH_PRIV_H
#define LUCID_AUTOGRAD_GRAPH_GRAPH_PRIV_H

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/tensor_priv.h"

/* The most inputs that one application takes: lucid_call.needs has a bit for each. */
#define LUC_MAX_APPLY 32

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Where the gradient of an input goes: to output nr of a node, or to a leaf, or nowhere. */
typedef struct luc_edge {
    lucid_node *fn;     /* owned reference */
    lucid_tensor *leaf; /* owned reference */
    int nr;
} luc_edge;

/* The description of an input or output: a lucid_meta and device without the unused dimensions. */
typedef struct luc_packed {
    int8_t ndim; /* -1: not given */
    uint8_t dtype;
    uint8_t device_type;
    int32_t device_index;
    int64_t *dims; /* then the strides; inside the node's allocation */
} luc_packed;

/* A tensor that a node keeps: its storage and offset. Its sizes and strides are those of the input
 * or output that it was. */
typedef struct luc_saved {
    luc_storage *storage; /* owned; NULL once released */
    uint64_t version;     /* of the storage when it was saved */
    int64_t offset;
    uint8_t which;  /* input i, or 16 + output i */
    bool is_scalar; /* see lucid_tensor */
} luc_saved;

struct lucid_node {
    atomic_int refs;
    atomic_bool released; /* saved tensors are gone: a second backward is an error */
    const lucid_op *op;
    uint64_t seq; /* order of recording: later ones run first in backward */
    int n_in, n_out, n_saved;
    uint32_t needs;               /* bit i: input i requires a gradient */
    size_t size;                  /* of the allocation, which holds all the arrays below */
    luc_edge *edge;               /* [n_in] */
    luc_packed *in;               /* [n_in] */
    luc_packed *out;              /* [n_out] */
    luc_saved *saved;             /* [n_saved] */
    void *attrs;                  /* op->attrs_size bytes, or NULL */
    struct luc_node_extra *extra; /* mostly NULL */
    lucid_node *next;             /* used while a graph is freed */
};

/* A hook on the gradient of an output of a node (of a result), or of a leaf. */
typedef struct luc_hook {
    uint64_t id;
    int nr; /* which output */
    lucid_tensor_hook fn;
    void *user;
} luc_hook;
typedef struct luc_hooks {
    luc_hook *item;
    size_t n, capacity;
} luc_hooks;

/* The part that few nodes need. Guarded by LUC_LOCK_HOOKS. */
typedef struct luc_node_extra {
    luc_hooks hooks;
    /* Results that keep their gradient. Not owned: a tensor that dies takes itself off. */
    lucid_tensor *retained[LUCID_MAX_OUTPUTS];
    /* An operator in place on a view: the operator itself, whose gradients are those of the
     * view. */
    lucid_node *inner;
    lucid_node *outer; /* of an inner one: the node that owns it (not owned) */
    char *origin;      /* anomaly mode: the module's path and the inputs' sizes */
    char *module;      /* while profiling: the module's path */
} luc_node_extra;

/* The part that few tensors need. */
struct luc_tensor_extra {
    luc_hooks hooks;    /* of a leaf */
    lucid_tensor *base; /* owned: the tensor that this one is a differentiable view of */
    atomic_uint_fast64_t view_version; /* of the storage when grad_fn was set */
    struct {
        uint64_t id;
        lucid_node *fn; /* owned: the node that has the hook of a result */
    } * hooked;
    size_t n_hooked, hooked_capacity;
};

/* A node for c's application, with one reference, its outputs as in c->out (with offsets in the
 * storages of `outputs`). keep[i], if keep is given and it is not NULL, is saved instead of input
 * i. NULL when memory is out. */
lucid_node *luc_node_new(const lucid_call *c, lucid_tensor *const *outputs,
                         lucid_tensor *const *keep);
/* Records c's application; outputs[n_out] get grad_fn and output_nr. False when memory is out. */
bool luc_record(const lucid_call *c, lucid_tensor **outputs);
lucid_node *luc_node_retain(lucid_node *n);
void luc_node_release(lucid_node *n); /* iterative */
/* A reference to the state of a node whose operator has one; *state is NULL where the attributes
 * gave none. False: a backward has released it. */
bool luc_node_state(lucid_node *n, void **state);
/* Drops the saved tensors, and the state, of a node whose vjp has run. */
void luc_node_release_saved(lucid_node *n);
/* The node's extra, which is made if it does not exist. NULL when memory is out. */
luc_node_extra *luc_node_extra_get(lucid_node *n);
/* Another thread may read what this one releases, when both walk one graph. */
void luc_node_lock(lucid_node *n);
void luc_node_unlock(lucid_node *n);
/* Input `which`, or output `which` - 16, as it was saved; raises when it was changed or released.
 * It belongs to the current scope, and has its history where gradient mode is on. */
lucid_tensor *luc_saved_unpack(lucid_node *n, int which);
void luc_edge_release(luc_edge *e);
/* The edge of a tensor: its producer, itself as a leaf that requires a gradient, or none. Takes
 * references. A view must have been refreshed, before an operator in place writes: this is the
 * history from before. */
luc_edge luc_edge_of(lucid_tensor *t);
void luc_packed_meta(const luc_packed *p, lucid_meta *meta); /* offset 0 */
/* True for a tensor. A NULL comes from an earlier error, which stays, or is the caller's mistake,
 * which is raised here. */
bool luc_given(const lucid_tensor *t, const char *op, const char *argument);
/* The same for callers that read only dtype, sizes and device before they apply an operator to t: a
 * result that waits continues to wait. */
bool luc_given_meta(const lucid_tensor *t, const char *op, const char *argument);
/* "[3,4] float32" */
luc_text luc_packed_text(const luc_packed *p);

/* ---- running a vjp --------------------------------------------------------------------------- */

/* The vjp of a node as the engine runs it: lucid_vjp and what lucid_input_meta returns. */
typedef struct luc_vjp_run {
    lucid_vjp v;
    lucid_tensor *grad_in[LUC_MAX_APPLY];
    lucid_meta meta[LUC_MAX_APPLY + LUCID_MAX_OUTPUTS];
} luc_vjp_run;
/* Fills run->v for n. */
void luc_vjp_begin(luc_vjp_run *run, lucid_node *n, lucid_tensor *const *grad_out);
/* Runs it and checks its gradients. Raises and returns false on an error. */
bool luc_vjp_call(luc_vjp_run *run);

/* ---- views ---------------------------------------------------------------------- */

luc_tensor_extra *luc_tensor_extra_get(lucid_tensor *t); /* makes it; NULL when memory is out */
/* It is made while other threads may read the tensor, when a hook is registered: hence the memory
 * order. */
static inline luc_tensor_extra *luc_tensor_extra_of(const lucid_tensor *t)
{
    return __atomic_load_n(&t->extra, __ATOMIC_ACQUIRE);
}
/* The producer of a tensor. A view whose base was changed in place gets a new one. */
lucid_node *luc_grad_fn(lucid_tensor *t);
/* Updates t->grad_fn and t->requires_grad after changes of its base. */
bool luc_view_refresh_slow(lucid_tensor *t);
static inline bool luc_view_refresh(lucid_tensor *t)
{
    const luc_tensor_extra *x = luc_tensor_extra_of(t);
    return !x || !x->base || luc_view_refresh_slow(t);
}
/* Notes that view was made from t. */
bool luc_view_track(lucid_tensor *view, lucid_tensor *t);
/* Moves t to another producer (owned reference taken over): the kept gradient moves with it. */
void luc_set_grad_fn(lucid_tensor *t, lucid_node *fn, int nr);
/* The attributes of copy_slices: the base that was written and the view of it. */
typedef struct luc_slices_attrs {
    lucid_meta base, view;
} luc_slices_attrs;
/* After an in-place operator, makes node fn, whose reference it takes, the producer of t and, for a
 * view, of its base. */
bool luc_rebase_history(lucid_tensor *t, lucid_node *fn);
/* t, the memory that `outer` (an operator in place on a view) wrote, with that history. */
lucid_tensor *luc_slice_of(lucid_node *outer, lucid_tensor *t);
/* The base of that view, as it lies in the storage. */
const lucid_meta *luc_written_base(const lucid_node *outer);

/* ---- notes ----------------------------------------------------------------------------------- */

/* Notes where the node was recorded. */
bool luc_anomaly_note(lucid_node *n);

/* Notes in which module the node was recorded. */
bool luc_profile_note(lucid_node *n);

/* ---- hooks and kept gradients ---------------------------------------------------------------- */

/* A tensor that dies or moves to another producer is taken off its producer. */
void luc_retained_remove(lucid_tensor *t);
bool luc_retained_add(lucid_tensor *t);
void luc_hooks_free(luc_hooks *hooks);

/* ---- modes ----------------------------------------------------------------------------------- */

extern _Thread_local bool luc_grad_off __attribute__((tls_model("initial-exec")));
extern atomic_bool luc_anomaly;

#endif

/* node_priv.h: the graph: nodes, edges, saved tensors.
 *
 * A node is one recorded application of an operator. It refers to the nodes that made its inputs
 * (edges) and to what its vjp needs (saved), never to its own output tensors: so the graph has no
 * cycles and reference counts free it. Nodes are released iteratively, whatever the depth. */
#ifndef LUCID_AUTOGRAD_NODE_PRIV_H
#define LUCID_AUTOGRAD_NODE_PRIV_H

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "lucid/error_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/tensor_priv.h"

/* Where the gradient of an input goes: to output nr of a node, or to a leaf, or nowhere. */
typedef struct luc_edge {
    lucid_node *fn;     /* owned reference */
    lucid_tensor *leaf; /* owned reference */
    int nr;
} luc_edge;

/* A tensor as a node keeps it: storage, view and producer, not the tensor itself. */
typedef struct luc_saved {
    luc_storage *storage; /* owned; NULL once released (or the input was not given) */
    uint64_t version;     /* of the storage when it was saved */
    luc_edge edge;        /* an own output's edge has fn NULL: it is the node itself (own) */
    bool own, requires_grad, is_scalar;
    int which; /* input i, or 16 + output i */
    lucid_meta meta;
} luc_saved;

/* A hook on the gradient of an output of a node (of a result), or on a leaf. */
typedef struct luc_hook {
    uint64_t id;
    lucid_tensor_hook fn;
    void *user;
    bool captured; /* internal: retain_grad */
} luc_hook;

struct lucid_node {
    atomic_int refs;
    const lucid_op *op;
    uint64_t seq; /* order of recording: later ones run first in backward */
    int n_in, n_out, n_saved;
    uint32_t needs; /* bit i: input i requires a gradient */
    bool released;  /* saved tensors are gone: a second backward is an error */
    size_t size;    /* of the allocation */
    luc_edge *edge;         /* [n_in] */
    lucid_meta *in_meta;    /* [n_in]; ndim -1: not given */
    lucid_meta *out_meta;   /* [n_out] */
    luc_saved *saved;       /* [n_saved] */
    void *attrs;
    struct luc_node_extra *extra; /* hooks, retained gradients, the copy-slices base; mostly NULL */
    char *origin;           /* anomaly mode: the module's path and the inputs' sizes */
    lucid_node *next;       /* used while a graph is freed */
};

/* Records c's application; outputs[n_out] get grad_fn and output_nr. False when memory is out. */
bool luc_record(const lucid_call *c, lucid_tensor **outputs);
lucid_node *luc_node_retain(lucid_node *n);
void luc_node_release(lucid_node *n); /* iterative */
/* Drops the saved tensors of a node whose vjp has run. */
void luc_node_release_saved(lucid_node *n);
void luc_edge_release(luc_edge *e);
/* The edge of a tensor: its producer, itself as a leaf that requires a gradient, or none. */
bool luc_edge_of(lucid_tensor *t, luc_edge *edge); /* takes references */
/* The producer of a tensor; a view whose base was changed in place gets it anew. */
lucid_node *luc_grad_fn(lucid_tensor *t);
/* A fresh tensor for what was saved, with version check; scope-owned. */
lucid_tensor *luc_saved_unpack(lucid_node *n, luc_saved *s);

/* What few tensors have. */
struct luc_tensor_extra {
    luc_hook *hooks; /* of a leaf */
    size_t n_hooks;
    lucid_tensor *base;  /* owned: the tensor that this one is a differentiable view of */
    uint64_t view_version; /* of the storage when grad_fn was set */
};
luc_tensor_extra *luc_tensor_extra_get(lucid_tensor *t, const char *op); /* makes it */

/* After an in-place operator: moves t's history on to node fn (and, for views, the base's). */
bool luc_rebase_history(lucid_tensor *t, const lucid_call *c);
/* Before one: may t be written? Raises when not. */
bool luc_check_inplace(lucid_tensor *t, const char *op);

/* Shared by the operators' files. */
#define LUC_OP(name)     extern const lucid_op luc_op_##name;
#define LUC_KERNEL(name)
#include "lucid/ops.def"
#undef LUC_OP
#undef LUC_KERNEL

#endif

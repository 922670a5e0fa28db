/* run_priv.h: the state of one backward for each node. It is kept outside of the nodes, so that
 * several threads may walk one graph. */
#ifndef LUCID_AUTOGRAD_ENGINE_RUN_PRIV_H
#define LUCID_AUTOGRAD_ENGINE_RUN_PRIV_H

#include "autograd/graph/graph_priv.h"

/* A node, or a leaf, that the roots depend on. */
typedef struct luc_slot {
    lucid_node *fn;                        /* not owned: the roots hold the graph */
    lucid_tensor *leaf;                    /* one of the two */
    int waits;                             /* edges that lead here and have not delivered */
    bool wanted;                           /* run it: it leads to a gradient that was asked for */
    bool target;                           /* gradients of its own were asked for */
    lucid_tensor *grad[LUCID_MAX_OUTPUTS]; /* owned: the sums so far */
} luc_slot;

typedef struct luc_run {
    luc_slot *slot;
    size_t n, capacity;
    uint32_t *table; /* open addressing: slot index + 1; 0 is free */
    size_t table_size;
    uint32_t *heap; /* slots that are ready, the last recorded on top */
    size_t heap_n, heap_capacity;
    bool retain_graph, create_graph;
    bool selective; /* only what is wanted; else everything, and leaves accumulate */
    /* lucid_grad: where the gradient of each input goes; NULL: into .grad */
    lucid_tensor **captured; /* [n_inputs], owned */
    luc_edge *input;         /* [n_inputs] */
    size_t n_inputs;
} luc_run;

void luc_run_free(luc_run *run);
/* The index of the slot of an edge's target, which is made if it does not exist. SIZE_MAX when
 * memory is out. */
size_t luc_run_find(luc_run *run, const luc_edge *e);
bool luc_run_push(luc_run *run, size_t slot);
size_t luc_run_pop(luc_run *run); /* the heap must not be empty */
/* Finds every slot that the roots lead to, and counts the edges. */
bool luc_run_discover(luc_run *run, const luc_edge *roots, size_t n);
/* Marks what leads to a target. */
bool luc_run_select(luc_run *run);

#endif

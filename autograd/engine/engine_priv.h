/* engine_priv.h: what backward does with the graph: accumulating, hooks, anomalies. The highest of
 * autograd's layers: it may use operators. */
#ifndef LUCID_AUTOGRAD_ENGINE_ENGINE_PRIV_H
#define LUCID_AUTOGRAD_ENGINE_ENGINE_PRIV_H

#include "autograd/dispatch/dispatch_priv.h"

/* Adds grad to leaf->grad (thread-safe). grad may be kept or copied. */
bool luc_accumulate(lucid_tensor *leaf, lucid_tensor *grad, bool create_graph);
/* a + b, into a's own memory where nothing else sees it; takes a's reference, returns an owned
 * one. */
lucid_tensor *luc_accumulate_buffer(lucid_tensor *a, lucid_tensor *b, bool create_graph);
/* Runs the hooks of output nr of a node, or of a leaf, on *grad, in order: takes and leaves an
 * owned reference. */
bool luc_run_node_hooks(lucid_node *n, int nr, lucid_tensor **grad);
bool luc_run_leaf_hooks(lucid_tensor *leaf, lucid_tensor **grad);
/* Hands grad to the result that keeps the gradient of output nr, if any. */
bool luc_keep_retained(lucid_node *n, int nr, lucid_tensor *grad, bool create_graph);
/* Raises, in anomaly mode, when a gradient of the node holds a NaN. */
bool luc_anomaly_check(lucid_node *n, lucid_tensor *const *grad_in);
/* Explains for messages why a tensor does not require a gradient: "... got one that does not". */
const char *luc_no_gradient_reason(const lucid_tensor *t);

#endif

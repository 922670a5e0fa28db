/* dispatch_priv.h: one application of an operator, from the checks to the record in the graph.
 * autocast.c, profile.c, defer.c and fuse.c are wrappers around it. This layer uses the graph below
 * it; it knows operators only by name, and nothing of the engine. */
#ifndef LUCID_AUTOGRAD_DISPATCH_DISPATCH_PRIV_H
#define LUCID_AUTOGRAD_DISPATCH_DISPATCH_PRIV_H

#include "autograd/graph/graph_priv.h"

/* Raises the error that luc_check_apply found. */
bool luc_refuse_apply(const lucid_op *op, int n, const char *function);
/* Checks that there are an operator with a name, and inputs, before anything of the operator is
 * read. Raises in the name of the exported function. It is inline because every operation calls
 * it. */
static inline bool luc_check_apply(const lucid_op *op, lucid_tensor *const *inputs, int n,
                                   const char *function)
{
    if (__builtin_expect(op && op->name && (inputs || n <= 0), 1)) return true;
    return luc_refuse_apply(op, n, function);
}
/* Checks inputs, finds c->needs, runs .infer and checks what it says. False after an error or for a
 * NULL input. */
bool luc_call_begin(lucid_call *c, const lucid_op *op, lucid_tensor *const *inputs, int n,
                    const void *attrs);
/* Runs the kernel of the call from views, or .compose into out; see apply.c. */
bool luc_call_compute(const lucid_call *c, lucid_tensor *const *in, lucid_tensor *const *out);
/* The kernel for the call. If its .run is NULL there is none, and .compose is used. */
lucid_kernel luc_call_kernel(const lucid_call *c);
/* The .infer of an operator that has none: output 0 is the broadcast of the inputs. */
bool luc_infer_broadcast(lucid_call *c);
/* Checks the result of every .infer: 0 to 8 dimensions, sizes >= 0, a number of bytes that does not
 * overflow, and that a view lies inside its storage. Raises and returns false otherwise. */
bool luc_check_outputs(lucid_call *c);

/* ---- in place -------------------------------------------------------------------------------- */

/* Whether the operator `name` may change t in place. Raises an error if not. */
bool luc_check_inplace(const lucid_tensor *t, const char *name);

/* ---- the profiler ---------------------------------------------------------------------------- */

/* Ends a span as one of c's operator. False after an error. */
bool luc_profile_call(luc_span *span, const lucid_call *c);
/* Calls luc_vjp_call in its own span, under the path of that module. */
bool luc_profile_vjp(luc_vjp_run *vjp, lucid_node *n);

#endif

/* retained.c: lists of hooks, and results that keep their gradient, as the graph sees them: they
 * end with the tensor, and move with it to another producer. */
#include "autograd/graph/graph_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"

void luc_hooks_free(luc_hooks *hooks)
{
    luc_free(hooks->item);
}

bool luc_retained_add(lucid_tensor *t)
{
    luc_lock(LUC_LOCK_HOOKS);
    luc_node_extra *x = luc_node_extra_get(t->grad_fn);
    if (x) x->retained[t->output_nr] = t;
    luc_unlock(LUC_LOCK_HOOKS);
    return x != NULL;
}

void luc_retained_remove(lucid_tensor *t)
{
    luc_lock(LUC_LOCK_HOOKS);
    luc_node_extra *x = t->grad_fn->extra;
    if (x && x->retained[t->output_nr] == t) x->retained[t->output_nr] = NULL;
    luc_unlock(LUC_LOCK_HOOKS);
}

void luc_set_grad_fn(lucid_tensor *t, lucid_node *fn, int nr)
{
    lucid_node *old = t->grad_fn;
    if (t->retains_grad && old) luc_retained_remove(t);
    t->grad_fn = fn;
    t->output_nr = nr;
    t->requires_grad = true;
    /* Without memory for it the gradient is not kept; the history itself is right. */
    if (t->retains_grad) luc_retained_add(t);
    luc_node_release(old);
}

/* accumulate.c: adding gradients up: on the way through the graph, and in leaves. */
#include "autograd/engine/engine_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/tensor_priv.h"

/* Whether only the holder of g's single reference can see its memory. */
static bool is_sole(lucid_tensor *g)
{
    return atomic_load_explicit(&g->refs, memory_order_acquire) == 1 && !g->storage->foreign &&
           atomic_load_explicit(&g->storage->refs, memory_order_acquire) == 1;
}

static bool is_dense(const lucid_tensor *g)
{
    return luc_is_dense(g->view.ndim, g->view.dims, g->view.strides);
}

lucid_tensor *luc_accumulate_buffer(lucid_tensor *a, lucid_tensor *b, bool create_graph)
{
    lucid_tensor *sum;
    size_t scope = lucid_scope_begin_at("lucid_backward", 0);
    if (!scope) {
        lucid_release(a);
        return NULL;
    }
    if (!create_graph && is_sole(a) && is_dense(a))
        sum = lucid_apply_inplace(&luc_op_add, (lucid_tensor *[]){a, b}, 2, NULL);
    else if (!create_graph && is_sole(b) && is_dense(b))
        sum = lucid_apply_inplace(&luc_op_add, (lucid_tensor *[]){b, a}, 2, NULL);
    else
        sum = lucid_apply(&luc_op_add, (lucid_tensor *[]){a, b}, 2, NULL);
    lucid_retain(sum);
    lucid_scope_end(scope);
    lucid_release(a);
    return sum;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static luc_lock_id lock_of(const lucid_tensor *leaf)
{
    enum { LOCKS = LUC_LOCK_LEAVES_END - LUC_LOCK_LEAVES + 1 };
    return (luc_lock_id)(LUC_LOCK_LEAVES + ((uintptr_t)leaf >> 6) % LOCKS);
}

static bool strides_equal(const lucid_view *a, const int64_t *strides)
{
    for (int d = 0; d < a->ndim; d++)
        if (a->dims[d] > 1 && a->strides[d] != strides[d]) return false;
    return true;
}

/* The layout that a gradient has: the leaf's own where it is dense, else contiguous. */
static void layout_like(const lucid_tensor *leaf, lucid_meta *m)
{
    luc_tensor_get_meta(leaf, m);
    m->offset = 0;
    if (!is_dense(leaf)) luc_contiguous_strides(m->ndim, m->dims, m->strides);
}

/* The first gradient of a leaf: grad itself where nobody else holds it, else a copy. Owned. */
static lucid_tensor *first_gradient(lucid_tensor *leaf, lucid_tensor *grad, bool create_graph)
{
    lucid_meta m;
    layout_like(leaf, &m);
    if (create_graph) return lucid_retain(lucid_clone(grad, LUCID_PRESERVE)); /* with its history */
    const bool whole =
        grad->storage->size == (size_t)grad->numel * lucid_dtype_size(grad->view.dtype);
    if (is_sole(grad) && whole && strides_equal(&grad->view, m.strides)) return lucid_retain(grad);
    lucid_tensor *copy = luc_tensor_new(&m, grad->storage->device, "backward");
    return copy && luc_copy_data(copy, grad, "backward") ? lucid_retain(copy) : NULL;
}

/* Swaps in the new gradient; *old gets what is to be released after unlocking. */
static bool accumulate(lucid_tensor *leaf, lucid_tensor *grad, bool create_graph,
                       lucid_tensor **old)
{
    if (!leaf->grad) {
        leaf->grad = first_gradient(leaf, grad, create_graph);
        return leaf->grad != NULL;
    }
    lucid_tensor *in[] = {leaf->grad, grad};
    if (!create_graph && is_dense(leaf->grad))
        return lucid_apply_inplace(&luc_op_add, in, 2, NULL) != NULL;
    lucid_tensor *sum = lucid_apply(&luc_op_add, in, 2, NULL);
    if (!sum) return false;
    *old = leaf->grad;
    leaf->grad = lucid_retain(sum);
    return true;
}

bool luc_accumulate(lucid_tensor *leaf, lucid_tensor *grad, bool create_graph)
{
    lucid_tensor *old = NULL;
    size_t scope = lucid_scope_begin_at("lucid_backward", 0);
    if (!scope) return false;
    const luc_lock_id lock = lock_of(leaf);
    luc_lock(lock);
    bool ok = accumulate(leaf, grad, create_graph, &old);
    luc_unlock(lock);
    lucid_scope_end(scope);
    lucid_release(old);
    return ok;
}

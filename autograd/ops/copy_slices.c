/* copy_slices.c: an operator in place on a view, as the history of the view's base. */
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/tensor_priv.h"

/* Makes memory for a tensor like base, including the gaps between its elements. */
static lucid_tensor *like_base(const lucid_meta *base, lucid_device device)
{
    lucid_meta m = *base;
    size_t last = 0;
    m.offset = 0;
    for (int d = 0; d < m.ndim; d++)
        if (m.dims[d] > 1) last += (size_t)(m.dims[d] - 1) * (size_t)m.strides[d];
    size_t bytes = (last + 1) * lucid_dtype_size(m.dtype); /* no more than the base's own */
    luc_storage *s = luc_storage_new(device, bytes, "copy_slices");
    if (!s) return NULL;
    lucid_tensor *t = luc_tensor_on(s, &m, "copy_slices");
    luc_storage_release(s);
    return t;
}

/* The gradient of the base: the incoming one, with the written part's run through the operator. */
static bool copy_slices_vjp(lucid_vjp *v)
{
    lucid_tensor *grad = v->grad_out[0];
    if (!grad) return true;
    const luc_slices_attrs *a = v->attrs;
    lucid_node *inner = v->node->extra->inner;
    lucid_shape shape = {.ndim = a->view.ndim}, strides = {.ndim = a->view.ndim};
    memcpy(shape.dims, a->view.dims, (size_t)shape.ndim * sizeof *shape.dims);
    memcpy(strides.dims, a->view.strides, (size_t)shape.ndim * sizeof *shape.dims);

    lucid_tensor *result = like_base(&a->base, grad->storage->device);
    if (!lucid_copy_(result, grad)) return false;
    lucid_tensor *slice =
        lucid_as_strided_opt(result, shape, strides, a->view.offset - a->base.offset);
    lucid_tensor *grad_slice = lucid_clone(slice, LUCID_PRESERVE);
    if (!grad_slice) return false;

    luc_vjp_run run;
    luc_vjp_begin(&run, inner, &grad_slice);
    if (!luc_vjp_call(&run)) return false;
    for (int i = 1; i < v->n_in; i++) v->grad_in[i] = run.grad_in[i];
    if (!(v->needs & 1)) return true;
    if (!(run.grad_in[0] ? lucid_copy_(slice, run.grad_in[0]) : lucid_zero_(slice))) return false;
    v->grad_in[0] = result;
    return true;
}

const lucid_op luc_op_copy_slices = {
    .name = "copy_slices",
    .schema = "base",
    .doc = "An operator in place on a view, as the history of the view's base.",
    .id = LUCID_OP_CUSTOM,
    .n_in = -1,
    .n_out = 1,
    .attrs_size = sizeof(luc_slices_attrs),
    .vjp = copy_slices_vjp,
};

/* unpool.c: the other way round than max pooling. The operator works on flat planes [N,C,P]. */
#include "autograd/ops/unpool.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/numbers.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/sorting.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- the operator: (x [N,C,P], index [N,C,P]) -> [N,C,size] ---------------------------------- */

static bool unpool_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    if (!luc_want_floating(c, 0) || !luc_want_ndim(c, 0, 3, "[N,C,P]") || !luc_want_like(c, 1, 0))
        return false;
    if (c->in[1]->view.dtype != LUCID_I64) return luc_bad_input(c, 1, "expected int64");
    lucid_shape shape = lucid_tensor_shape(c->in[0]);
    shape.dims[2] = a->size;
    return luc_infer_shape(c, &shape);
}

/* The elements in the order of their indices; all but the last of those with one index become 0,
 * so that adding is assigning. */
static bool unpool_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_dim_attrs *a = c->attrs;
    lucid_tensor *x = c->in[0], *index = c->in[1];
    lucid_shape shape = lucid_tensor_shape(x);
    const int64_t n = shape.dims[2];
    if (n > 1) {
        lucid_tensor *order = lucid_argsort_opt(index, 2, NULL);
        if (!order) return false;
        index = lucid_gather(index, 2, order);
        x = lucid_gather(x, 2, order);
        if (!x || !index) return false;
        lucid_tensor *last =
            lucid_ne(lucid_narrow(index, 2, 1, n - 1), lucid_narrow(index, 2, 0, n - 1));
        shape.dims[2] = 1;
        lucid_tensor *end = lucid_full_opt(
            shape, 1, LUC_WITH(lucid_tensor, .dtype = LUCID_BOOL, .device = c->device));
        if (!last || !end) return false;
        lucid_tensor *keep = lucid_cat_list((lucid_tensor *[]){last, end}, 2, 2);
        if (!keep) return false;
        x = lucid_where(keep, x, luc_full_like(x, 0));
    }
    shape.dims[2] = a->size;
    out[0] = x ? luc_scatter_add(x, index, 2, shape) : NULL;
    return out[0] != NULL;
}

static bool unpool_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_gather(v->grad_out[0], 2, lucid_saved_input(v, 1));
    return v->grad_in[0] != NULL;
}

static const lucid_dim_attrs of_nine = {.dim = 2, .size = 9}, below_zero = {.dim = 2, .size = -1};
/* One element a plane: with an index twice the gradient is PyTorch's, which is not that of the last
 * element alone. */
static const lucid_sample unpool_samples[] = {
    {.name = "one",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 1), LUC_INDEX(9, {3, {2, 3, 1}})},
     .attrs = &of_nine},
};
static const lucid_sample unpool_bad_samples[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 4), LUC_INDEX(9, {3, {2, 3, 5}})},
     .attrs = &of_nine,
     .error = "index: expected [2,3,4] like x"},
    {.name = "size",
     .n_in = 2,
     .in = {LUC_IN3(2, 3, 4), LUC_INDEX(9, {3, {2, 3, 4}})},
     .attrs = &below_zero,
     .error = "shape"},
};

const lucid_op luc_op_max_unpool = {
    .name = "max_unpool",
    .schema = "x, index",
    .doc = "zeros with x at its indices",
    .id = LUCID_OP_max_unpool,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = unpool_infer,
    .saves = luc_save_second,
    .vjp = unpool_vjp,
    .compose = unpool_compose,
    LUC_SAMPLES(unpool_samples),
    LUC_BAD_SAMPLES(unpool_bad_samples),
};

/* indexing.c: joining tensors and picking elements by index. */
#include "autograd/ops/indexing.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- cat ------------------------------------------------------------------------------------- */

static bool cat_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    if (c->n_in < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, "cat", "tensors: expected at least one, got none");
    const lucid_view *first = &c->in[0]->view;
    int64_t total = 0;
    if (!luc_want_dim(c, a->dim, first->ndim)) return false;
    for (int i = 0; i < c->n_in; i++) {
        const lucid_view *t = &c->in[i]->view;
        bool ok = t->ndim == first->ndim;
        for (int d = 0; ok && d < t->ndim; d++) ok = d == a->dim || t->dims[d] == first->dims[d];
        if (!ok)
            return luc_raise(LUCID_ERR_ARGUMENT, "cat",
                             "tensors: expected the sizes of tensor 0, %s, but for dimension %d, "
                             "got %s for tensor %d",
                             luc_shape_text(c->in[0]).s, a->dim, luc_shape_text(c->in[i]).s, i);
        if (__builtin_add_overflow(total, t->dims[a->dim], &total))
            return luc_raise(LUCID_ERR_ARGUMENT, "cat",
                             "tensors: the sum of the sizes of dimension %d overflows at tensor "
                             "%d, %s",
                             a->dim, i, luc_shape_text(c->in[i]).s);
    }
    lucid_infer_like(c, 0, 0);
    c->out[0].dims[a->dim] = total;
    lucid_infer_strides(c, 0, 0);
    return true;
}

static bool cat_vjp(lucid_vjp *v)
{
    const lucid_dim_attrs *a = v->attrs;
    int64_t at = 0;
    for (int i = 0; i < v->n_in; i++) {
        int64_t n = lucid_input_meta(v, i)->dims[a->dim];
        if (luc_needs(v, i)) v->grad_in[i] = lucid_narrow(v->grad_out[0], a->dim, at, n);
        at += n;
    }
    return true;
}

static const lucid_dim_attrs dim0 = {.dim = 0}, dim1 = {.dim = 1};
static const lucid_sample cat_samples[] = {
    {.name = "rows", .n_in = 2, .in = {LUC_IN2(3, 5), LUC_IN2(2, 5)}, .attrs = &dim0},
    {.name = "columns",
     .n_in = 3,
     .in = {LUC_IN2(3, 2), LUC_IN2(3, 1), LUC_IN2(3, 3)},
     .attrs = &dim1},
    {.name = "channels",
     .n_in = 2,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN4(2, 2, 4, 5)},
     .attrs = &dim1},
};
static const lucid_dim_attrs dim2 = {.dim = 2}, dim_below = {.dim = -1};
static const lucid_sample cat_bad_samples[] = {
    {.name = "dimension",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_IN2(2, 5)},
     .attrs = &dim2,
     .error = "dim: expected [0,2), got 2"},
    {.name = "scalars",
     .n_in = 2,
     .in = {LUC_IN0(), LUC_IN0()},
     .attrs = &dim0,
     .error = "dim: expected [0,0), got 0"},
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_IN2(2, 4)},
     .attrs = &dim0,
     .error = "tensors: expected the sizes of tensor 0"},
};

const lucid_op luc_op_cat = {
    .name = "cat",
    .schema = "tensors",
    .doc = "joins along a dimension",
    .id = LUCID_OP_cat,
    .n_in = -1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_dim_attrs),
    .autocast = LUCID_AUTOCAST_WIDEST,
    .infer = cat_infer,
    .vjp = cat_vjp,
    LUC_SAMPLES(cat_samples),
    LUC_BAD_SAMPLES(cat_bad_samples),
};

/* An application takes this many; where there are more, they are joined in groups first. */
enum { CAT_GROUP = LUCID_MAX_INPUTS };

static lucid_tensor *cat_some(lucid_tensor *const *tensors, size_t n, int dim)
{
    lucid_dim_attrs attrs = {.dim = dim};
    if (n <= CAT_GROUP) return lucid_apply(&luc_op_cat, tensors, (int)n, &attrs);
    lucid_tensor *groups[CAT_GROUP];
    size_t count = 0, each = n / CAT_GROUP + (n % CAT_GROUP != 0);
    for (size_t at = 0; at < n; at += each)
        groups[count++] = cat_some(tensors + at, n - at < each ? n - at : each, dim);
    return cat_some(groups, count, dim);
}

static bool check_list(lucid_tensor *const *tensors, size_t n, const char *op)
{
    if (!tensors || n == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "tensors: expected at least one, got none");
    for (size_t i = 0; i < n; i++)
        if (!tensors[i])
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "tensors: expected %zu tensors, got NULL for "
                             "tensor %zu",
                             n, i);
    return true;
}

/* A list of n tensors: `few`, if it has the room, or memory of its own. NULL after an error. */
enum { FEW = 32 };
static lucid_tensor **list_of(lucid_tensor **few, size_t n, const char *op)
{
    if (n <= FEW) return few;
    size_t bytes;
    if (!luc_mul_size(n, sizeof *few, &bytes))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "tensors: expected fewer than %zu", n);
    return luc_alloc(bytes, op);
}

static void list_free(lucid_tensor **list, lucid_tensor *const *few)
{
    if (list != few) luc_free(list);
}

lucid_tensor *lucid_cat_list(lucid_tensor *const *tensors, size_t n, int dim)
{
    if (!check_list(tensors, n, "cat")) return NULL;
    if (tensors[0]->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "cat",
                              "tensors: expected at least 1 dimension, got []");
    int d = luc_wrap_dim(dim, tensors[0]->view.ndim, "cat", "dim");
    if (d < 0) return NULL;
    lucid_dtype dtype = luc_result_type(tensors, n);
    lucid_tensor *few[FEW], **like = list_of(few, n, "cat"), *y = NULL;
    if (!like) return NULL;
    size_t cast = 0;
    while (cast < n && (like[cast] = lucid_cast(tensors[cast], dtype))) cast++;
    if (cast == n) y = cat_some(like, n, d);
    list_free(like, few);
    return y;
}

lucid_tensor *lucid_stack_list(lucid_tensor *const *tensors, size_t n, int dim)
{
    if (!check_list(tensors, n, "stack")) return NULL;
    const lucid_view *first = &tensors[0]->view;
    if (first->ndim == LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "stack",
                              "tensors: expected fewer than %d dimensions, got %s", LUCID_MAX_DIMS,
                              luc_shape_text(tensors[0]).s);
    int d = luc_wrap_dim(dim, first->ndim + 1, "stack", "dim");
    if (d < 0) return NULL;
    lucid_tensor *few[FEW], **raised = list_of(few, n, "stack"), *y = NULL;
    if (!raised) return NULL;
    size_t i = 0;
    for (; i < n; i++) {
        const lucid_view *t = &tensors[i]->view;
        if (!luc_dims_equal(t->ndim, t->dims, first->ndim, first->dims)) {
            luc_raise(LUCID_ERR_ARGUMENT, "stack",
                      "tensors: expected %s like tensor 0, got %s for tensor %zu",
                      luc_shape_text(tensors[0]).s, luc_shape_text(tensors[i]).s, i);
            break;
        }
        if (!(raised[i] = lucid_unsqueeze(tensors[i], d))) break;
    }
    if (i == n) y = lucid_cat_list(raised, n, d);
    list_free(raised, few);
    return y;
}

/* ---- index_select: (x, index) and its gradient index_add: (grad, index) -> zeros with rows
 * added */

static bool check_index(const lucid_call *c, int i)
{
    if (c->in[i]->view.dtype != LUCID_I64) return luc_bad_input(c, i, "expected int64");
    return true;
}

static bool index_select_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    if (!check_index(c, 1) || !luc_want_dim(c, a->dim, c->in[0]->view.ndim)) return false;
    if (c->in[1]->view.ndim != 1) return luc_bad_input(c, 1, "expected 1-D");
    lucid_infer_like(c, 0, 0);
    c->out[0].dims[a->dim] = c->in[1]->view.dims[0];
    lucid_infer_strides(c, 0, 0);
    return true;
}

static bool index_add_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view, *index = &c->in[1]->view;
    if (!check_index(c, 1) || !luc_want_dim(c, a->dim, x->ndim)) return false;
    if (index->ndim != 1 || index->dims[0] != x->dims[a->dim])
        return luc_bad_input(c, 1, "expected [%lld], an index for each row of x %s",
                             (long long)x->dims[a->dim], luc_shape_text(c->in[0]).s);
    lucid_infer_like(c, 0, 0);
    c->out[0].dims[a->dim] = a->size;
    lucid_infer_strides(c, 0, 0);
    return true;
}

/* Applies `op` to the gradient and the index; size is dimension dim of the input. */
static bool indexed_vjp(lucid_vjp *v, const lucid_op *op)
{
    lucid_dim_attrs a = *(const lucid_dim_attrs *)v->attrs;
    a.size = lucid_input_meta(v, 0)->dims[a.dim];
    v->grad_in[0] = luc_apply2(op, v->grad_out[0], lucid_saved_input(v, 1), &a);
    return v->grad_in[0] != NULL;
}

static bool index_select_vjp(lucid_vjp *v)
{
    return indexed_vjp(v, &luc_op_index_add);
}

static bool index_add_vjp(lucid_vjp *v)
{
    return indexed_vjp(v, &luc_op_index_select);
}

static const lucid_dim_attrs into_four = {.dim = 0, .size = 4}, dim1_of_5 = {.dim = 1, .size = 5};
static const lucid_sample index_select_samples[] = {
    {.name = "rows", .n_in = 2, .in = {LUC_IN2(4, 5), LUC_INDEX(4, {1, {6}})}, .attrs = &dim0},
    {.name = "columns",
     .n_in = 2,
     .in = {LUC_IN3(2, 5, 3), LUC_INDEX(5, {1, {3}})},
     .attrs = &dim1_of_5},
};
static const lucid_sample index_bad_samples[] = {
    {.name = "dimension",
     .n_in = 2,
     .in = {LUC_IN2(4, 5), LUC_INDEX(4, {1, {3}})},
     .attrs = &dim_below,
     .error = "dim: expected [0,2), got -1"},
    {.name = "rank",
     .n_in = 2,
     .in = {LUC_IN2(4, 5), LUC_INDEX(4, {2, {3, 1}})},
     .attrs = &dim0,
     .error = "index: expected 1-D"},
    {.name = "dtype",
     .n_in = 2,
     .in = {LUC_IN2(4, 5), LUC_IN1(3)},
     .attrs = &dim0,
     .error = "index: expected int64"},
    {.name = "range",
     .n_in = 2,
     .attrs = &dim0,
     .error = "index",
     .in = {LUC_IN2(4, 5),
            {.shape = {1, {3}}, .dtype = LUCID_I64, .low = 4, .high = 9, .no_grad = true}}},
};
static const lucid_sample index_add_samples[] = {
    {.name = "rows", .n_in = 2, .in = {LUC_IN2(6, 5), LUC_INDEX(4, {1, {6}})}, .attrs = &into_four},
};

static const lucid_dim_attrs into_less = {.dim = 0, .size = -4}, into_dim2 = {.dim = 2, .size = 4};
static const lucid_sample index_add_bad_samples[] = {
    {.name = "fewer rows than indices",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_INDEX(4, {1, {6}})},
     .attrs = &into_four,
     .error = "index: expected [3], an index for each row"},
    {.name = "dimension",
     .n_in = 2,
     .in = {LUC_IN2(6, 5), LUC_INDEX(4, {1, {6}})},
     .attrs = &into_dim2,
     .error = "dim: expected [0,2), got 2"},
    {.name = "size",
     .n_in = 2,
     .in = {LUC_IN2(6, 5), LUC_INDEX(4, {1, {6}})},
     .attrs = &into_less,
     .error = "shape: expected sizes >= 0, got [-4,5]"},
};

const lucid_op luc_op_index_select = {
    .name = "index_select",
    .schema = "x, index",
    .doc = "rows by index",
    .id = LUCID_OP_index_select,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = index_select_infer,
    .saves = luc_save_second,
    .vjp = index_select_vjp,
    LUC_SAMPLES(index_select_samples),
    LUC_BAD_SAMPLES(index_bad_samples),
};

const lucid_op luc_op_index_add = {
    .name = "index_add",
    .schema = "x, index",
    .doc = "rows added to zeros at index",
    .id = LUCID_OP_index_add,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = index_add_infer,
    .saves = luc_save_second,
    .vjp = index_add_vjp,
    LUC_SAMPLES(index_add_samples),
    LUC_BAD_SAMPLES(index_add_bad_samples),
};

/* ---- gather: (x, index) and its gradient scatter_add: (grad, index) -------------------------- */

/* Whether v has the dimensions of dims, with sizes that are not larger, except along `dim`. */
static bool fits_but_for(const lucid_view *v, int ndim, const int64_t *dims, int dim)
{
    bool ok = v->ndim == ndim;
    for (int d = 0; ok && d < ndim; d++) ok = d == dim || v->dims[d] <= dims[d];
    return ok;
}

static bool gather_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view, *index = &c->in[1]->view;
    if (!check_index(c, 1) || !luc_want_dim(c, a->dim, x->ndim)) return false;
    if (!fits_but_for(index, x->ndim, x->dims, a->dim))
        return luc_bad_input(c, 1, "expected sizes of at most x %s but for dimension %d",
                             luc_shape_text(c->in[0]).s, a->dim);
    luc_set_dims(c, 0, x->dtype, index->ndim, index->dims);
    luc_contiguous_strides(index->ndim, index->dims, c->out[0].strides);
    return true;
}

/* The sizes of x travel in the view attributes. */
typedef struct scatter_attrs {
    lucid_dim_attrs dim; /* first: the kernel reads it as lucid_dim_attrs */
    lucid_shape shape;
} scatter_attrs;

lucid_tensor *luc_scatter_add(lucid_tensor *grad, lucid_tensor *index, int dim, lucid_shape shape)
{
    scatter_attrs a = {{.dim = dim, .size = shape.dims[dim]}, shape};
    return luc_apply2(&luc_op_scatter_add, grad, index, &a);
}

static bool gather_vjp(lucid_vjp *v)
{
    const lucid_dim_attrs *a = v->attrs;
    v->grad_in[0] = luc_scatter_add(v->grad_out[0], lucid_saved_input(v, 1), a->dim,
                                    luc_meta_shape(lucid_input_meta(v, 0)));
    return v->grad_in[0] != NULL;
}

static bool scatter_add_infer(lucid_call *c)
{
    const scatter_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view, *index = &c->in[1]->view;
    if (!check_index(c, 1) || !luc_infer_shape(c, &a->shape) ||
        !luc_want_dim(c, a->dim.dim, a->shape.ndim))
        return false;
    if (!fits_but_for(index, a->shape.ndim, a->shape.dims, a->dim.dim) ||
        !fits_but_for(index, x->ndim, x->dims, -1))
        return luc_bad_input(c, 1,
                             "expected sizes of at most x %s, and of at most the result but for "
                             "dimension %d",
                             luc_shape_text(c->in[0]).s, a->dim.dim);
    return true;
}

static bool scatter_add_vjp(lucid_vjp *v)
{
    const scatter_attrs *a = v->attrs;
    v->grad_in[0] = luc_apply2(&luc_op_gather, v->grad_out[0], lucid_saved_input(v, 1), &a->dim);
    return v->grad_in[0] != NULL;
}

static const scatter_attrs to_45 = {{.dim = 1, .size = 5}, {2, {4, 5}}};
static const lucid_sample gather_samples[] = {
    {.name = "columns",
     .n_in = 2,
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {2, {4, 3}})},
     .attrs = &dim1},
    {.name = "fewer rows",
     .n_in = 2,
     .in = {LUC_IN2(4, 5), LUC_INDEX(4, {2, {6, 2}})},
     .attrs = &dim0},
};
static const lucid_sample gather_bad_samples[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {2, {7, 3}})},
     .attrs = &dim1,
     .error = "index: expected sizes of at most"},
};
static const lucid_sample scatter_add_samples[] = {
    {.name = "columns",
     .n_in = 2,
     .in = {LUC_IN2(4, 3), LUC_INDEX(5, {2, {4, 3}})},
     .attrs = &to_45},
};
static const scatter_attrs to_nowhere = {{.dim = 2, .size = 5}, {2, {4, 5}}};
static const scatter_attrs to_rank_9 = {{.dim = 0, .size = 5}, {9, {4, 5}}};
static const lucid_sample scatter_add_bad_samples[] = {
    {.name = "rank",
     .n_in = 2,
     .in = {LUC_IN2(4, 3), LUC_INDEX(5, {2, {4, 3}})},
     .attrs = &to_rank_9,
     .error = "shape: expected 0 to 8 dimensions, got 9"},
    {.name = "rows",
     .n_in = 2,
     .in = {LUC_IN2(6, 3), LUC_INDEX(5, {2, {6, 3}})},
     .attrs = &to_45,
     .error = "index: expected sizes of at most"},
    {.name = "more indices than numbers",
     .n_in = 2,
     .in = {LUC_IN2(4, 2), LUC_INDEX(5, {2, {4, 3}})},
     .attrs = &to_45,
     .error = "index: expected sizes of at most"},
    {.name = "dimension",
     .n_in = 2,
     .in = {LUC_IN2(4, 3), LUC_INDEX(5, {2, {4, 3}})},
     .attrs = &to_nowhere,
     .error = "dim: expected [0,2), got 2"},
};

const lucid_op luc_op_gather = {
    .name = "gather",
    .schema = "x, index",
    .doc = "elements by index along a dimension",
    .id = LUCID_OP_gather,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = gather_infer,
    .saves = luc_save_second,
    .vjp = gather_vjp,
    LUC_SAMPLES(gather_samples),
    LUC_BAD_SAMPLES(gather_bad_samples),
};

const lucid_op luc_op_scatter_add = {
    .name = "scatter_add",
    .schema = "x, index",
    .doc = "elements added to zeros at index",
    .id = LUCID_OP_scatter_add,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(scatter_attrs),
    .infer = scatter_add_infer,
    .saves = luc_save_second,
    .vjp = scatter_add_vjp,
    LUC_SAMPLES(scatter_add_samples),
    LUC_BAD_SAMPLES(scatter_add_bad_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

/* The index as int64. */
static lucid_tensor *as_index(lucid_tensor *index)
{
    if (index && (index->view.dtype == LUCID_I32 || index->view.dtype == LUCID_U8))
        return lucid_cast(index, LUCID_I64);
    return index;
}

lucid_tensor *lucid_index_select(lucid_tensor *x, int dim, lucid_tensor *index)
{
    if (!luc_given(x, "index_select", "x") || !luc_given(index, "index_select", "index"))
        return NULL;
    if (x->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "index_select",
                              "x: expected at least 1 dimension, got []");
    int d = luc_wrap_dim(dim, x->view.ndim, "index_select", "dim");
    if (d < 0) return NULL;
    lucid_dim_attrs attrs = {.dim = d, .size = x->view.dims[d]};
    if (index->view.ndim == 0) index = lucid_unsqueeze(index, 0);
    return luc_apply2(&luc_op_index_select, x, as_index(index), &attrs);
}

lucid_tensor *lucid_gather(lucid_tensor *x, int dim, lucid_tensor *index)
{
    if (!luc_given(x, "gather", "x") || !luc_given(index, "gather", "index")) return NULL;
    int d = luc_wrap_dim(dim, x->view.ndim, "gather", "dim");
    if (d < 0) return NULL;
    bool scalar = x->view.ndim == 0;
    if (scalar) x = lucid_unsqueeze(x, 0);
    if (index->view.ndim == 0) index = lucid_unsqueeze(index, 0);
    lucid_dim_attrs attrs = {.dim = d, .size = x ? x->view.dims[d] : 0};
    lucid_tensor *y = luc_apply2(&luc_op_gather, x, as_index(index), &attrs);
    return scalar ? lucid_squeeze(y, 0) : y;
}

lucid_tensor *lucid_one_hot(lucid_tensor *index, int64_t num_classes)
{
    if (!luc_given(index, "one_hot", "index")) return NULL;
    if (num_classes < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "one_hot", "num_classes: expected >= 1, got %lld",
                              (long long)num_classes);
    lucid_index_options o = lucid_index_defaults;
    o.device = index->storage->device;
    lucid_tensor *classes = lucid_arange_opt(0, (double)num_classes, 1, &o);
    lucid_tensor *wide = lucid_unsqueeze(as_index(index), -1);
    if (!classes || !wide) return NULL;
    if (wide->view.dtype != LUCID_I64)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "one_hot", "index: expected int64, got %s",
                              lucid_dtype_name(wide->view.dtype));
    if (wide->numel > 0) {
        double low = lucid_item(lucid_min_opt(wide, LUCID_ALL, NULL));
        double high = lucid_item(lucid_max_opt(wide, LUCID_ALL, NULL));
        if (low < 0 || high >= (double)num_classes)
            return luc_raise_null(LUCID_ERR_ARGUMENT, "one_hot",
                                  "index: expected classes in [0,%lld), got %lld",
                                  (long long)num_classes, (long long)(low < 0 ? low : high));
    }
    return lucid_cast(lucid_eq(wide, classes), LUCID_I64);
}

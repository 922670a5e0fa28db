/* select_index.c: slices of a dimension by an index, x[i, j] and x[mask]. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/search.h"
#include "autograd/ops/select.h"
#include "autograd/ops/select_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- slices of a dimension ------------------------------------------------------------------- */

/* x, the dimension and the index [K] of one call. A tensor [] goes as [1]. */
typedef struct slices {
    lucid_tensor *x, *index;
    int dim;
    bool scalar;
} slices;

static bool begin_slices(slices *s, const char *op)
{
    if (!luc_given(s->x, op, "x") || !(s->index = luc_as_index(s->index, op))) return false;
    s->dim = luc_wrap_dim(s->dim, s->x->view.ndim, op, "dim");
    if (s->dim < 0) return false;
    if (s->index->view.ndim > 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "index: expected [K], got %s",
                         luc_shape_text(s->index).s);
    s->scalar = s->x->view.ndim == 0;
    if (s->scalar && !(s->x = lucid_unsqueeze(s->x, 0))) return false;
    if (s->index->view.ndim == 0) s->index = lucid_unsqueeze(s->index, 0);
    return s->index != NULL;
}

/* Source in x's dtype, checked: x's sizes, but one slice for each index. */
static lucid_tensor *slices_source(const slices *s, lucid_tensor *source, const char *op)
{
    if (!luc_given(source, op, "source")) return NULL;
    if (source->view.ndim == 0 && !(source = lucid_unsqueeze(source, 0))) return NULL;
    lucid_shape want = lucid_tensor_shape(s->x);
    want.dims[s->dim] = s->index->numel;
    if (!luc_dims_equal(want.ndim, want.dims, source->view.ndim, source->view.dims))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "source: expected %s, got %s",
                              luc_dims_text(want.ndim, want.dims).s, luc_shape_text(source).s);
    return lucid_cast(source, s->x->view.dtype);
}

static lucid_tensor *end_slices(const slices *s, lucid_tensor *y)
{
    return y && s->scalar ? lucid_squeeze(y, 0) : y;
}

lucid_tensor *lucid_index_add(lucid_tensor *x, int dim, lucid_tensor *index, lucid_tensor *source,
                              double alpha)
{
    const char *op = "index_add";
    LUC_CALLED_AS("index_add");
    LUCID_SCOPE;
    slices s = {.x = x, .index = index, .dim = dim};
    if (!begin_slices(&s, op) || !(source = slices_source(&s, source, op))) return NULL;
    if (alpha != 1) source = lucid_cast(lucid_mul_scalar(source, alpha), s.x->view.dtype);
    const lucid_dim_attrs attrs = {.dim = s.dim, .size = s.x->view.dims[s.dim]};
    lucid_tensor *sum = source ? luc_apply2(&luc_op_index_add, source, s.index, &attrs) : NULL;
    return sum ? lucid_scope_return(end_slices(&s, lucid_add(s.x, sum))) : NULL;
}

lucid_tensor *lucid_index_copy(lucid_tensor *x, int dim, lucid_tensor *index, lucid_tensor *source)
{
    const char *op = "index_copy";
    LUC_CALLED_AS("index_copy");
    LUCID_SCOPE;
    slices s = {.x = x, .index = index, .dim = dim};
    if (!begin_slices(&s, op) || !(source = slices_source(&s, source, op))) return NULL;
    lucid_shape line = {.ndim = s.x->view.ndim};
    for (int d = 0; d < line.ndim; d++) line.dims[d] = d == s.dim ? s.index->numel : 1;
    lucid_tensor *all = lucid_reshape_opt(s.index, line);
    all = all ? lucid_expand_opt(all, lucid_tensor_shape(source)) : NULL;
    lucid_tensor *y = all ? lucid_scatter(s.x, s.dim, all, source) : NULL;
    return lucid_scope_return(end_slices(&s, y));
}

lucid_tensor *lucid_index_fill_opt(lucid_tensor *x, int dim, lucid_tensor *index,
                                   lucid_tensor *value)
{
    const char *op = "index_fill";
    LUC_CALLED_AS("index_fill");
    LUCID_SCOPE;
    slices s = {.x = x, .index = index, .dim = dim};
    if (!begin_slices(&s, op) || !(value = luc_as_value(value, s.x, op))) return NULL;
    const int64_t n = s.x->view.dims[s.dim];
    lucid_tensor *ones = luc_full_like(s.index, 1);
    lucid_tensor *hit =
        ones ? luc_scatter_add(lucid_cast(ones, LUCID_BOOL), s.index, 0, LUCID_SHAPE(n)) : NULL;
    lucid_shape line = {.ndim = s.x->view.ndim};
    for (int d = 0; d < line.ndim; d++) line.dims[d] = d == s.dim ? n : 1;
    hit = hit ? lucid_reshape_opt(hit, line) : NULL;
    return hit ? lucid_scope_return(end_slices(&s, lucid_where(hit, value, s.x))) : NULL;
}

/* ---- x[i, j] and x[mask] --------------------------------------------------------------------- */

/* Negative indices from the end of n; checked, which waits for the device. */
static lucid_tensor *wrapped(lucid_tensor *index, int64_t n, const char *op)
{
    if (index->numel > 0) {
        const double least = lucid_item(lucid_min_opt(index, LUCID_ALL, NULL));
        const double most = lucid_item(lucid_max_opt(index, LUCID_ALL, NULL));
        if (!(least >= -(double)n && most < (double)n))
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "index: expected [%lld,%lld), got %g",
                                  (long long)-n, (long long)n, most < (double)n ? least : most);
    }
    lucid_tensor *negative = lucid_lt(index, lucid_scalar(0));
    return negative ? lucid_where(negative, lucid_add_scalar(index, (double)n), index) : NULL;
}

/* The indices, one for each of the first dimensions, masks replaced by where they are true. Returns
 * how many they are, 0 after an error. */
static int spread_indices(const lucid_tensor *x, lucid_tensor *const *indices, size_t n,
                          lucid_tensor **out, const char *op)
{
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        lucid_tensor *index = indices[i];
        const bool is_mask = index->view.dtype == LUCID_BOOL;
        const int takes = is_mask ? index->view.ndim : 1;
        if (takes < 1 || count + takes > x->view.ndim) {
            luc_raise(LUCID_ERR_ARGUMENT, op,
                      "indices: expected at most one for each dimension of "
                      "%s, got more with %s",
                      luc_shape_text(x).s, luc_shape_text(index).s);
            return 0;
        }
        if (!is_mask) {
            if (!(index = luc_as_index(index, op))) return 0;
            if (!(out[count] = wrapped(index, x->view.dims[count], op))) return 0;
        } else if (!luc_dims_equal(takes, index->view.dims, takes, x->view.dims + count)) {
            luc_raise(LUCID_ERR_ARGUMENT, op, "indices: expected a mask of sizes of x %s, got %s",
                      luc_shape_text(x).s, luc_shape_text(index).s);
            return 0;
        } else if (!lucid_nonzero_tuple(index, out + count, (size_t)takes)) {
            return 0;
        }
        count += takes;
    }
    return count;
}

/* The places, in x as [named, rest], of what the indices name: their sizes are `shape`. */
typedef struct places {
    lucid_tensor *at;
    lucid_shape shape;   /* of the broadcast indices, and then x's other dimensions */
    int64_t named, rest; /* elements of the dimensions that are named, and of the others */
} places;

static bool find_places(lucid_tensor *x, lucid_tensor *const *indices, size_t n, places *p,
                        const char *op)
{
    lucid_tensor *list[LUCID_MAX_DIMS];
    if (!luc_given(x, op, "x") || !luc_check_tensors(indices, n, op)) return false;
    const int count = spread_indices(x, indices, n, list, op);
    if (count == 0) return false;
    p->shape = lucid_tensor_shape(list[0]);
    p->at = list[0];
    p->named = x->view.dims[0];
    for (int i = 1; i < count; i++) {
        const lucid_shape one = lucid_tensor_shape(list[i]);
        if (!lucid_shape_broadcast(&p->shape, &one, &p->shape))
            return luc_raise(
                LUCID_ERR_ARGUMENT, op, "indices: expected sizes that broadcast with %s, got %s",
                luc_dims_text(p->shape.ndim, p->shape.dims).s, luc_shape_text(list[i]).s);
        p->at = lucid_add(lucid_mul_scalar(p->at, (double)x->view.dims[i]), list[i]);
        if (!p->at) return false;
        p->named *= x->view.dims[i];
    }
    p->rest = 1;
    if (p->shape.ndim + x->view.ndim - count > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "indices: the result has more than %d dimensions",
                         LUCID_MAX_DIMS);
    for (int d = count; d < x->view.ndim; d++) {
        p->shape.dims[p->shape.ndim++] = x->view.dims[d];
        p->rest *= x->view.dims[d];
    }
    p->at = lucid_reshape_opt(p->at, LUCID_SHAPE(p->at->numel));
    return p->at != NULL;
}

lucid_tensor *lucid_index(lucid_tensor *x, lucid_tensor *const *indices, size_t n)
{
    LUC_CALLED_AS("index");
    LUCID_SCOPE;
    places p;
    if (!find_places(x, indices, n, &p, "index")) return NULL;
    lucid_tensor *rows = lucid_reshape_opt(x, LUCID_SHAPE(p.named, p.rest));
    lucid_tensor *y = rows ? lucid_index_select(rows, 0, p.at) : NULL;
    return y ? lucid_scope_return(lucid_reshape_opt(y, p.shape)) : NULL;
}

lucid_tensor *lucid_index_put(lucid_tensor *x, lucid_tensor *const *indices, size_t n,
                              lucid_tensor *values, bool accumulate)
{
    const char *op = "index_put";
    LUC_CALLED_AS("index_put");
    LUCID_SCOPE;
    places p;
    if (!luc_given(values, op, "values") || !find_places(x, indices, n, &p, op)) return NULL;
    values = luc_meet(values, x->view.dtype, x->storage->device);
    values = values ? lucid_expand_opt(values, p.shape) : NULL;
    values = values ? lucid_reshape_opt(values, LUCID_SHAPE(p.at->numel, p.rest)) : NULL;
    lucid_tensor *rows = lucid_reshape_opt(x, LUCID_SHAPE(p.named, p.rest));
    if (!values || !rows) return NULL;
    lucid_tensor *y = accumulate ? lucid_index_add(rows, 0, p.at, values, 1)
                                 : lucid_index_copy(rows, 0, p.at, values);
    return y ? lucid_scope_return(lucid_reshape_opt(y, lucid_tensor_shape(x))) : NULL;
}

lucid_tensor *lucid_take(lucid_tensor *x, lucid_tensor *index)
{
    LUC_CALLED_AS("take");
    LUCID_SCOPE;
    if (!luc_given(x, "take", "x") || !luc_given(index, "take", "index")) return NULL;
    lucid_tensor *row = lucid_reshape_opt(x, LUCID_SHAPE(x->numel));
    return row ? lucid_scope_return(lucid_index(row, (lucid_tensor *[]){index}, 1)) : NULL;
}

lucid_tensor *lucid_put(lucid_tensor *x, lucid_tensor *index, lucid_tensor *source, bool accumulate)
{
    const char *op = "put";
    LUC_CALLED_AS("put");
    LUCID_SCOPE;
    if (!luc_given(x, op, "x") || !luc_given(index, op, "index") ||
        !luc_given(source, op, "source"))
        return NULL;
    if (index->numel != source->numel)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "source: expected %lld elements, got %s",
                              (long long)index->numel, luc_shape_text(source).s);
    lucid_tensor *row = lucid_reshape_opt(x, LUCID_SHAPE(x->numel));
    lucid_tensor *flat = lucid_reshape_opt(index, LUCID_SHAPE(index->numel));
    lucid_tensor *from = lucid_reshape_opt(source, LUCID_SHAPE(source->numel));
    if (!row || !flat || !from) return NULL;
    lucid_tensor *y = lucid_index_put(row, (lucid_tensor *[]){flat}, 1, from, accumulate);
    return y ? lucid_scope_return(lucid_reshape_opt(y, lucid_tensor_shape(x))) : NULL;
}

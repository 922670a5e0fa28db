/* arrange_matrices.c: joining by columns and rows, grids, diagonals and triangles. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/padding.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- joining --------------------------------------------------------------------------------- */

static lucid_tensor *as_column(lucid_tensor *x)
{
    x = lucid_atleast_1d(x);
    return x && x->view.ndim == 1 ? lucid_unsqueeze(x, 1) : x;
}

/* Joins what `shaped` makes of each tensor, along dim; -1: 0 for vectors, else 1. */
static lucid_tensor *joined(lucid_tensor *const *tensors, size_t n, const char *op,
                            lucid_tensor *(*shaped)(lucid_tensor *), int dim)
{
    if (!luc_check_tensors(tensors, n, op)) return NULL;
    LUCID_SCOPE;
    size_t bytes;
    if (!luc_mul_size(n, sizeof(lucid_tensor *), &bytes))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "tensors: expected fewer than %zu", n);
    lucid_tensor **list = luc_alloc(bytes, op), *y = NULL;
    if (!list) return NULL;
    size_t i = 0;
    while (i < n && (list[i] = shaped(tensors[i]))) i++;
    if (i == n) y = lucid_cat_list(list, n, dim >= 0 ? dim : list[0]->view.ndim > 1);
    luc_free(list);
    return lucid_scope_return(y);
}

lucid_tensor *lucid_hstack(lucid_tensor *const *tensors, size_t n)
{
    LUC_CALLED_AS("hstack");
    return joined(tensors, n, "hstack", lucid_atleast_1d, -1);
}

lucid_tensor *lucid_vstack(lucid_tensor *const *tensors, size_t n)
{
    LUC_CALLED_AS("vstack");
    return joined(tensors, n, "vstack", lucid_atleast_2d, 0);
}

lucid_tensor *lucid_dstack(lucid_tensor *const *tensors, size_t n)
{
    LUC_CALLED_AS("dstack");
    return joined(tensors, n, "dstack", lucid_atleast_3d, 2);
}

lucid_tensor *lucid_column_stack(lucid_tensor *const *tensors, size_t n)
{
    LUC_CALLED_AS("column_stack");
    return joined(tensors, n, "column_stack", as_column, 1);
}

lucid_tensor *lucid_block_diag(lucid_tensor *const *tensors, size_t n)
{
    const char *op = "block_diag";
    LUC_CALLED_AS("block_diag");
    LUCID_SCOPE;
    if (!luc_check_tensors(tensors, n, op)) return NULL;
    int64_t columns = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        if (tensors[i]->view.ndim > 2)
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "tensors: expected at most 2 dimensions, got %s for tensor %zu",
                                  luc_shape_text(tensors[i]).s, i);
        const lucid_tensor *t = tensors[i];
        const int64_t width = t->view.ndim ? t->view.dims[t->view.ndim - 1] : 1;
        if (__builtin_add_overflow(columns, width, &columns) || columns > INT32_MAX)
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "tensors: too many columns");
    }
    size_t bytes;
    if (!luc_mul_size(n, sizeof(lucid_tensor *), &bytes)) return NULL;
    lucid_tensor **list = luc_alloc(bytes, op), *y = NULL;
    if (!list) return NULL;
    size_t i = 0;
    for (; i < n; i++) {
        lucid_tensor *t = lucid_atleast_2d(tensors[i]);
        if (!t) break;
        const int64_t width = t->view.dims[1];
        list[i] = lucid_pad_opt(t, LUCID_SHAPE(at, columns - at - width), NULL);
        if (!list[i]) break;
        at += width;
    }
    if (i == n) y = lucid_cat_list(list, n, 0);
    luc_free(list);
    return lucid_scope_return(y);
}

/* ---- grids ----------------------------------------------------------------------------------- */

bool lucid_meshgrid(lucid_tensor *const *tensors, size_t n, bool xy, lucid_tensor **grids)
{
    const char *op = "meshgrid";
    LUC_CALLED_AS("meshgrid");
    if (!luc_check_tensors(tensors, n, op)) return false;
    if (!grids) return luc_raise(LUCID_ERR_ARGUMENT, op, "grids: expected room, got NULL");
    if (n > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "tensors: expected at most %d, got %zu",
                         LUCID_MAX_DIMS, n);
    lucid_shape shape = {.ndim = (int)n};
    for (size_t i = 0; i < n; i++) {
        if (tensors[i]->view.ndim > 1)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "tensors: expected vectors, got %s for tensor %zu",
                             luc_shape_text(tensors[i]).s, i);
        shape.dims[i] = tensors[i]->numel;
    }
    for (size_t i = 0; i < n; i++) {
        lucid_shape own = {.ndim = (int)n};
        for (size_t d = 0; d < n; d++) own.dims[d] = d == i ? shape.dims[i] : 1;
        lucid_tensor *t = lucid_reshape_opt(tensors[i], own);
        t = t ? lucid_expand_opt(t, shape) : NULL;
        if (t && xy && n > 1) t = lucid_transpose(t, 0, 1);
        if (!(grids[i] = t)) return false;
    }
    return true;
}

lucid_tensor *lucid_cartesian_prod(lucid_tensor *const *tensors, size_t n)
{
    LUC_CALLED_AS("cartesian_prod");
    LUCID_SCOPE;
    lucid_tensor *grids[LUCID_MAX_DIMS], *flat[LUCID_MAX_DIMS];
    if (!lucid_meshgrid(tensors, n, false, grids)) return NULL;
    if (n == 1) return lucid_scope_return(tensors[0]);
    for (size_t i = 0; i < n; i++)
        if (!(flat[i] = lucid_reshape_opt(grids[i], LUCID_SHAPE(grids[i]->numel)))) return NULL;
    return lucid_scope_return(lucid_stack_list(flat, n, 1));
}

/* ---- triangles ------------------------------------------------------------------------------- */

static bool check_diagonal(int64_t diagonal, const char *op)
{
    return (diagonal > -INT32_MAX && diagonal < INT32_MAX) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "diagonal: expected a number of 31 bits, got %lld",
                     (long long)diagonal);
}

/* Column minus row, of the last two dimensions [M,N] of x. */
static lucid_tensor *offsets(const lucid_tensor *x, int64_t m, int64_t n)
{
    lucid_tensor *rows = luc_count_on(x, 0, 1, m), *columns = luc_count_on(x, 0, 1, n);
    return rows && columns ? lucid_sub(columns, lucid_unsqueeze(rows, 1)) : NULL;
}

static lucid_tensor *triangle(lucid_tensor *x, int64_t diagonal, const char *op, bool upper)
{
    LUCID_SCOPE;
    if (!luc_given(x, op, "x") || !check_diagonal(diagonal, op)) return NULL;
    const int ndim = x->view.ndim;
    if (ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected matrices [..,M,N], got %s",
                              luc_shape_text(x).s);
    lucid_tensor *at = offsets(x, x->view.dims[ndim - 2], x->view.dims[ndim - 1]);
    lucid_tensor *limit = lucid_scalar((double)diagonal);
    lucid_tensor *inside = upper ? lucid_ge(at, limit) : lucid_le(at, limit);
    return lucid_scope_return(lucid_where(inside, x, luc_full_like(x, 0)));
}

lucid_tensor *lucid_tril(lucid_tensor *x, int64_t diagonal)
{
    LUC_CALLED_AS("tril");
    return triangle(x, diagonal, "tril", false);
}

lucid_tensor *lucid_triu(lucid_tensor *x, int64_t diagonal)
{
    LUC_CALLED_AS("triu");
    return triangle(x, diagonal, "triu", true);
}

static lucid_tensor *indices(int64_t rows, int64_t columns, int64_t diagonal, const char *op,
                             bool upper)
{
    LUCID_SCOPE;
    if (rows < 0 || columns < 0 || rows > INT32_MAX || columns > INT32_MAX)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "rows, columns: expected numbers of 31 bits, got %lld and %lld",
                              (long long)rows, (long long)columns);
    if (!check_diagonal(diagonal, op)) return NULL;
    int64_t count = 0, at = 0;
    for (int pass = 0; pass < 2; pass++) {
        static lucid_tensor *const none = NULL;
        lucid_tensor *y = pass ? lucid_zeros_opt(LUCID_SHAPE(2, count),
                                                 LUC_WITH(lucid_tensor, .dtype = LUCID_I64,
                                                          .memory_format = LUCID_CONTIGUOUS))
                               : none;
        if (pass && !y) return NULL;
        int64_t *to = y ? y->view.data : NULL;
        for (int64_t r = 0; r < rows; r++) {
            int64_t first = upper ? r + diagonal : 0, end = upper ? columns : r + diagonal + 1;
            if (first < 0) first = 0;
            if (end > columns) end = columns;
            if (!pass) count += end > first ? end - first : 0;
            for (int64_t c = first; pass && c < end; c++, at++) to[at] = r, to[count + at] = c;
        }
        if (pass) return lucid_scope_return(y);
    }
    return NULL;
}

lucid_tensor *lucid_tril_indices(int64_t rows, int64_t columns, int64_t diagonal)
{
    LUC_CALLED_AS("tril_indices");
    return indices(rows, columns, diagonal, "tril_indices", false);
}

lucid_tensor *lucid_triu_indices(int64_t rows, int64_t columns, int64_t diagonal)
{
    LUC_CALLED_AS("triu_indices");
    return indices(rows, columns, diagonal, "triu_indices", true);
}

/* ---- diagonals ------------------------------------------------------------------------------- */

/* Wraps two different dimensions. */
static bool wrap_two(int *a, int *b, int ndim, const char *op)
{
    *a = luc_wrap_dim(*a, ndim, op, "dim0");
    *b = *a < 0 ? -1 : luc_wrap_dim(*b, ndim, op, "dim1");
    return *b >= 0 &&
           (*a != *b || luc_raise(LUCID_ERR_ARGUMENT, op,
                                  "dim1: expected another dimension than dim0, got %d", *b));
}

lucid_tensor *lucid_diagonal(lucid_tensor *x, int64_t diagonal, int dim0, int dim1)
{
    const char *op = "diagonal";
    LUC_CALLED_AS("diagonal");
    if (!luc_given(x, op, "x") || !check_diagonal(diagonal, op)) return NULL;
    if (x->view.ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected at least 2 dimensions, got %s",
                              luc_shape_text(x).s);
    if (!wrap_two(&dim0, &dim1, x->view.ndim, op) || !(x = luc_without_overlap(x))) return NULL;
    const lucid_view *v = &x->view;
    const int64_t down = diagonal < 0 ? -diagonal : 0, right = diagonal > 0 ? diagonal : 0;
    const int64_t m = v->dims[dim0] - down, n = v->dims[dim1] - right, least = m < n ? m : n;
    lucid_shape shape = {.ndim = 0}, strides;
    for (int d = 0; d < v->ndim; d++) {
        if (d == dim0 || d == dim1) continue;
        strides.dims[shape.ndim] = v->strides[d];
        shape.dims[shape.ndim++] = v->dims[d];
    }
    strides.dims[shape.ndim] = v->strides[dim0] + v->strides[dim1];
    shape.dims[shape.ndim++] = least > 0 ? least : 0;
    strides.ndim = shape.ndim;
    const int64_t skip = down * v->strides[dim0] + right * v->strides[dim1];
    return lucid_as_strided_opt(x, shape, strides, x->offset + (least > 0 ? skip : 0));
}

lucid_tensor *lucid_diag_embed(lucid_tensor *x, int64_t diagonal, int dim0, int dim1)
{
    const char *op = "diag_embed";
    LUC_CALLED_AS("diag_embed");
    LUCID_SCOPE;
    if (!luc_given(x, op, "x") || !check_diagonal(diagonal, op)) return NULL;
    const int ndim = x->view.ndim + 1;
    if (x->view.ndim < 1 || ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected 1 to %d dimensions, got %s",
                              LUCID_MAX_DIMS - 1, luc_shape_text(x).s);
    if (!wrap_two(&dim0, &dim1, ndim, op)) return NULL;
    const int64_t down = diagonal < 0 ? -diagonal : 0, right = diagonal > 0 ? diagonal : 0;
    const int64_t size = x->view.dims[x->view.ndim - 1] + down + right;
    if (size > INT32_MAX)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: %s is too large for a diagonal",
                              luc_shape_text(x).s);
    /* Each row r has x[r - down] everywhere, and only the diagonal of it stays. */
    lucid_tensor *column = lucid_pad_opt(x, LUCID_SHAPE(down, right), NULL);
    column = column ? lucid_unsqueeze(column, -1) : NULL;
    if (!column) return NULL;
    lucid_tensor *on = lucid_eq(offsets(x, size, size), lucid_scalar((double)diagonal));
    lucid_tensor *y = lucid_where(on, column, luc_full_like(column, 0));
    if (!y) return NULL;
    return lucid_scope_return(lucid_movedim_opt(y, LUCID_SHAPE(-2, -1), LUCID_SHAPE(dim0, dim1)));
}

lucid_tensor *lucid_diag(lucid_tensor *x, int64_t diagonal)
{
    LUC_CALLED_AS("diag");
    if (!luc_given(x, "diag", "x")) return NULL;
    if (x->view.ndim == 1) return lucid_diag_embed(x, diagonal, 0, 1);
    if (x->view.ndim == 2) return lucid_diagonal(x, diagonal, 0, 1);
    return luc_raise_null(LUCID_ERR_ARGUMENT, "diag", "x: expected a vector or a matrix, got %s",
                          luc_shape_text(x).s);
}

lucid_tensor *lucid_diagflat(lucid_tensor *x, int64_t diagonal)
{
    LUC_CALLED_AS("diagflat");
    if (!luc_given(x, "diagflat", "x")) return NULL;
    lucid_tensor *row = lucid_reshape_opt(x, LUCID_SHAPE(x->numel));
    return row ? lucid_diag_embed(row, diagonal, 0, 1) : NULL;
}

lucid_tensor *lucid_trace(lucid_tensor *x)
{
    LUC_CALLED_AS("trace");
    if (!luc_given(x, "trace", "x")) return NULL;
    if (x->view.ndim != 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "trace", "x: expected a matrix, got %s",
                              luc_shape_text(x).s);
    lucid_tensor *d = lucid_diagonal(x, 0, 0, 1);
    return d ? lucid_sum_opt(d, LUCID_ALL, NULL) : NULL;
}

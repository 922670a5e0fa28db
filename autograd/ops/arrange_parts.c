/* arrange_parts.c: cutting tensors into parts, and dimensions of size 1. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- parts ----------------------------------------------------------------------------------- */

/* Wraps dim, and checks the list that is written. -1 after an error. */
static int dim_of_parts(lucid_tensor *x, int dim, lucid_tensor **parts, const char *op)
{
    if (!luc_given(x, op, "x")) return -1;
    if (!parts) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "parts: expected room for tensors, got NULL");
        return -1;
    }
    if (x->view.ndim == 0) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected at least 1 dimension, got []");
        return -1;
    }
    return luc_wrap_dim(dim, x->view.ndim, op, "dim");
}

static bool fits(int64_t wanted, size_t count, const char *op)
{
    return (uint64_t)wanted <= count ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "count: expected room for %lld parts, got %zu",
                     (long long)wanted, count);
}

/* n parts of `size`, the last one what is left. */
static size_t even_parts(lucid_tensor *x, int64_t size, int64_t n, int dim, lucid_tensor **parts)
{
    const int64_t all = x->view.dims[dim];
    for (int64_t i = 0; i < n; i++) {
        const int64_t start = i * size, rest = all - start;
        parts[i] = lucid_narrow(x, dim, start, rest < size ? rest : size);
        if (!parts[i]) return 0;
    }
    return (size_t)n;
}

static size_t split_size(lucid_tensor *x, int64_t size, int dim, lucid_tensor **parts, size_t count,
                         const char *op)
{
    const int64_t all = x->view.dims[dim];
    if (size < 0 || (size == 0 && all > 0)) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "size: expected more than 0, got %lld", (long long)size);
        return 0;
    }
    const int64_t n = all == 0 ? 1 : all / size + (all % size != 0);
    return fits(n, count, op) ? even_parts(x, size, n, dim, parts) : 0;
}

size_t lucid_split_size(lucid_tensor *x, int64_t size, int dim, lucid_tensor **parts, size_t count)
{
    LUC_CALLED_AS("split_size");
    const int at = dim_of_parts(x, dim, parts, "split_size");
    return at < 0 ? 0 : split_size(x, size, at, parts, count, "split_size");
}

size_t lucid_chunk(lucid_tensor *x, int64_t chunks, int dim, lucid_tensor **parts, size_t count)
{
    LUC_CALLED_AS("chunk");
    const int at = dim_of_parts(x, dim, parts, "chunk");
    if (at < 0) return 0;
    if (chunks < 1) {
        luc_raise(LUCID_ERR_ARGUMENT, "chunk", "chunks: expected at least 1, got %lld",
                  (long long)chunks);
        return 0;
    }
    const int64_t all = x->view.dims[at], size = all / chunks + (all % chunks != 0);
    if (all > 0) return split_size(x, size, at, parts, count, "chunk");
    return fits(chunks, count, "chunk") ? even_parts(x, 0, chunks, at, parts) : 0;
}

size_t lucid_split_with_sizes(lucid_tensor *x, const int64_t *sizes, int dim, lucid_tensor **parts,
                              size_t count)
{
    const char *op = "split_with_sizes";
    LUC_CALLED_AS("split_with_sizes");
    const int at = dim_of_parts(x, dim, parts, op);
    if (at < 0) return 0;
    if (!sizes || count == 0) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "sizes: expected at least one, got none");
        return 0;
    }
    const int64_t all = x->view.dims[at];
    int64_t start = 0;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] < 0 || sizes[i] > all - start) {
            luc_raise(LUCID_ERR_ARGUMENT, op,
                      "sizes: expected sizes with the sum %lld, got %lld "
                      "after %lld",
                      (long long)all, (long long)sizes[i], (long long)start);
            return 0;
        }
        if (!(parts[i] = lucid_narrow(x, at, start, sizes[i]))) return 0;
        start += sizes[i];
    }
    if (start == all) return count;
    luc_raise(LUCID_ERR_ARGUMENT, op, "sizes: expected the sum %lld, got %lld", (long long)all,
              (long long)start);
    return 0;
}

size_t lucid_tensor_split(lucid_tensor *x, int64_t sections, int dim, lucid_tensor **parts,
                          size_t count)
{
    LUC_CALLED_AS("tensor_split");
    const int at = dim_of_parts(x, dim, parts, "tensor_split");
    if (at < 0) return 0;
    if (sections < 1) {
        luc_raise(LUCID_ERR_ARGUMENT, "tensor_split", "sections: expected at least 1, got %lld",
                  (long long)sections);
        return 0;
    }
    if (!fits(sections, count, "tensor_split")) return 0;
    const int64_t all = x->view.dims[at];
    int64_t start = 0;
    for (int64_t i = 0; i < sections; i++) {
        const int64_t size = all / sections + (i < all % sections);
        if (!(parts[i] = lucid_narrow(x, at, start, size))) return 0;
        start += size;
    }
    return (size_t)sections;
}

size_t lucid_tensor_split_at(lucid_tensor *x, const int64_t *indices, int dim, lucid_tensor **parts,
                             size_t count)
{
    LUC_CALLED_AS("tensor_split_at");
    const int at = dim_of_parts(x, dim, parts, "tensor_split_at");
    if (at < 0) return 0;
    if (count == 0 || (count > 1 && !indices)) {
        luc_raise(LUCID_ERR_ARGUMENT, "tensor_split_at", "indices: expected %zu, got none",
                  count ? count - 1 : 1);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t start = i ? indices[i - 1] : 0, end = i + 1 < count ? indices[i] : INT64_MAX;
        if (!(parts[i] = lucid_slice(x, at, start, end, 1))) return 0;
    }
    return count;
}

size_t lucid_unbind(lucid_tensor *x, int dim, lucid_tensor **parts, size_t count)
{
    LUC_CALLED_AS("unbind");
    const int at = dim_of_parts(x, dim, parts, "unbind");
    if (at < 0) return 0;
    const int64_t n = x->view.dims[at];
    if (!fits(n, count, "unbind")) return 0;
    for (int64_t i = 0; i < n; i++)
        if (!(parts[i] = lucid_select(x, at, i))) return 0;
    return (size_t)n;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

lucid_tensor *lucid_squeeze_dims_opt(lucid_tensor *x, lucid_shape dims)
{
    const char *op = "squeeze_dims";
    LUC_CALLED_AS("squeeze_dims");
    uint32_t mask;
    if (!luc_given(x, op, "x") || !luc_reduce_mask(x, &dims, op, &mask)) return NULL;
    if (dims.ndim == 0) mask = 0;
    lucid_shape shape = {.ndim = 0};
    for (int d = 0; d < x->view.ndim; d++)
        if (!(mask >> d & 1) || x->view.dims[d] != 1) shape.dims[shape.ndim++] = x->view.dims[d];
    for (int d = x->view.ndim - 1; d >= 0 && x; d--)
        if ((mask >> d & 1) && x->view.dims[d] == 1) x = lucid_squeeze(x, d);
    return x;
}

lucid_tensor *lucid_unsqueeze_dims_opt(lucid_tensor *x, lucid_shape dims)
{
    const char *op = "unsqueeze_dims";
    LUC_CALLED_AS("unsqueeze_dims");
    if (!luc_given(x, op, "x")) return NULL;
    if (dims.ndim < 0 || x->view.ndim + dims.ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "dims: expected at most %d dimensions for %s, got %d",
                              LUCID_MAX_DIMS - x->view.ndim, luc_shape_text(x).s, dims.ndim);
    const int ndim = x->view.ndim + dims.ndim;
    bool is_new[LUCID_MAX_DIMS] = {false};
    for (int i = 0; i < dims.ndim; i++) {
        const int d = luc_wrap_dim(dims.dims[i], ndim, op, "dims");
        if (d < 0) return NULL;
        if (is_new[d])
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "dims: dimension %d is named twice", d);
        is_new[d] = true;
    }
    for (int d = 0; d < ndim && x; d++)
        if (is_new[d]) x = lucid_unsqueeze(x, d);
    return x;
}

lucid_tensor *lucid_atleast_1d(lucid_tensor *x)
{
    if (!luc_given(x, "atleast_1d", "x")) return NULL;
    return x->view.ndim >= 1 ? x : lucid_unsqueeze(x, 0);
}

lucid_tensor *lucid_atleast_2d(lucid_tensor *x)
{
    if (!luc_given(x, "atleast_2d", "x")) return NULL;
    x = lucid_atleast_1d(x);
    return !x || x->view.ndim >= 2 ? x : lucid_unsqueeze(x, 0);
}

lucid_tensor *lucid_atleast_3d(lucid_tensor *x)
{
    if (!luc_given(x, "atleast_3d", "x")) return NULL;
    x = lucid_atleast_2d(x);
    return !x || x->view.ndim >= 3 ? x : lucid_unsqueeze(x, -1);
}

lucid_tensor *lucid_expand_as(lucid_tensor *x, lucid_tensor *other)
{
    LUC_CALLED_AS("expand_as");
    if (!luc_given(x, "expand_as", "x") || !luc_given(other, "expand_as", "other")) return NULL;
    return lucid_expand_opt(x, lucid_tensor_shape(other));
}

bool luc_check_tensors(lucid_tensor *const *tensors, size_t n, const char *op)
{
    if (!tensors || n == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "tensors: expected at least one, got none");
    for (size_t i = 0; i < n; i++)
        if (!tensors[i])
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "tensors: expected %zu, got NULL for tensor "
                             "%zu",
                             n, i);
    for (size_t i = 0; i < n; i++)
        if (!luc_given(tensors[i], op, "tensors")) return false;
    return true;
}

bool lucid_broadcast_tensors(lucid_tensor *const *tensors, size_t n, lucid_tensor **out)
{
    const char *op = "broadcast_tensors";
    LUC_CALLED_AS("broadcast_tensors");
    if (!luc_check_tensors(tensors, n, op)) return false;
    if (!out) return luc_raise(LUCID_ERR_ARGUMENT, op, "out: expected room for tensors, got NULL");
    lucid_shape shape = {.ndim = 0};
    for (size_t i = 0; i < n; i++) {
        const lucid_shape one = lucid_tensor_shape(tensors[i]);
        if (!lucid_shape_broadcast(&shape, &one, &shape))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "tensors: expected sizes that broadcast with %s, got %s for tensor "
                             "%zu",
                             luc_dims_text(shape.ndim, shape.dims).s, luc_shape_text(tensors[i]).s,
                             i);
    }
    for (size_t i = 0; i < n; i++)
        if (!(out[i] = lucid_expand_opt(tensors[i], shape))) return false;
    return true;
}

/* Wraps a list of dims, each named once. */
static bool wrap_list(const lucid_shape *dims, int ndim, const char *op, const char *argument,
                      int *out)
{
    for (int i = 0; i < dims->ndim; i++) {
        out[i] = luc_wrap_dim(dims->dims[i], ndim, op, argument);
        if (out[i] < 0) return false;
        for (int j = 0; j < i; j++)
            if (out[j] == out[i])
                return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: dimension %d is named twice",
                                 argument, out[i]);
    }
    return true;
}

lucid_tensor *lucid_movedim_opt(lucid_tensor *x, lucid_shape from, lucid_shape to)
{
    const char *op = "movedim";
    LUC_CALLED_AS("movedim");
    if (!luc_given(x, op, "x")) return NULL;
    const int ndim = x->view.ndim;
    int source[LUCID_MAX_DIMS], target[LUCID_MAX_DIMS];
    if (from.ndim != to.ndim || from.ndim < 0 || from.ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "to: expected %d dimensions like from, got %d", from.ndim, to.ndim);
    if (!wrap_list(&from, ndim, op, "from", source) || !wrap_list(&to, ndim, op, "to", target))
        return NULL;
    if (ndim == 0) return x;
    lucid_shape order = {.ndim = ndim};
    bool moved[LUCID_MAX_DIMS] = {false}, taken[LUCID_MAX_DIMS] = {false};
    for (int i = 0; i < from.ndim; i++) {
        order.dims[target[i]] = source[i];
        taken[target[i]] = moved[source[i]] = true;
    }
    for (int d = 0, next = 0; d < ndim; d++) {
        if (taken[d]) continue;
        while (moved[next]) next++;
        order.dims[d] = next++;
    }
    return lucid_permute_opt(x, order);
}

/* x itself, or a copy where elements lie on one another: as_strided has a gradient then. */
lucid_tensor *luc_without_overlap(lucid_tensor *x)
{
    for (int d = 0; d < x->view.ndim; d++)
        if (x->view.strides[d] == 0 && x->view.dims[d] > 1)
            return lucid_contiguous(x, LUCID_CONTIGUOUS);
    return x;
}

lucid_tensor *lucid_unfold_dim(lucid_tensor *x, int dim, int64_t size, int64_t step)
{
    const char *op = "unfold_dim";
    LUC_CALLED_AS("unfold_dim");
    if (!luc_given(x, op, "x")) return NULL;
    if (x->view.ndim == 0 && !(x = lucid_unsqueeze(x, 0))) return NULL;
    const int ndim = x->view.ndim, at = luc_wrap_dim(dim, ndim, op, "dim");
    if (at < 0) return NULL;
    if (ndim == LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "x: expected fewer than %d dimensions, got %s", LUCID_MAX_DIMS,
                              luc_shape_text(x).s);
    if (size < 0 || size > x->view.dims[at] || step < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "size, step: expected a size in [0,%lld] and a step >= 1, got %lld "
                              "and %lld",
                              (long long)x->view.dims[at], (long long)size, (long long)step);
    if (!(x = luc_without_overlap(x))) return NULL;
    lucid_shape shape = lucid_tensor_shape(x), strides = {.ndim = ndim + 1};
    const int64_t stride = x->view.strides[at];
    memcpy(strides.dims, x->view.strides, (size_t)ndim * sizeof *strides.dims);
    shape.dims[at] = (shape.dims[at] - size) / step + 1;
    strides.dims[at] = shape.dims[at] > 1 ? stride * step : stride;
    shape.dims[shape.ndim++] = size;
    strides.dims[ndim] = stride;
    return lucid_as_strided_opt(x, shape, strides, x->offset);
}

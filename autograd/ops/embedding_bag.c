/* embedding_bag.c: rows of a table, reduced over bags of indices; padded sequences. */
#include "autograd/ops/embedding_bag.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static const char *const op = "embedding_bag";

/* ---- bags of several sizes ------------------------------------------------------------------- */

/* Bags as rows of a matrix: which element of the index each place holds, and whether it holds one.
 * `begins` has bags + 1 numbers. */
static bool make_rows(const double *begins, int64_t bags, lucid_device device, lucid_tensor **at,
                      lucid_tensor **there)
{
    int64_t longest = 0;
    for (int64_t b = 0; b < bags; b++)
        if ((int64_t)(begins[b + 1] - begins[b]) > longest)
            longest = (int64_t)(begins[b + 1] - begins[b]);
    const lucid_shape shape = LUCID_SHAPE(bags, longest);
    lucid_tensor *place = lucid_zeros_opt(shape, LUC_WITH(lucid_tensor, .dtype = LUCID_I64));
    lucid_tensor *held =
        place ? lucid_zeros_opt(shape, LUC_WITH(lucid_tensor, .dtype = LUCID_BOOL)) : NULL;
    if (!held) return false;
    int64_t *p = lucid_mutable_data(place);
    bool *h = lucid_mutable_data(held);
    for (int64_t b = 0; b < bags; b++)
        for (int64_t k = 0; k < (int64_t)(begins[b + 1] - begins[b]); k++) {
            p[b * longest + k] = (int64_t)begins[b] + k;
            h[b * longest + k] = true;
        }
    *at = lucid_tensor_to(place, device);
    *there = *at ? lucid_tensor_to(held, device) : NULL;
    return *there != NULL;
}

/* Reads offsets into begins[bags + 1]. */
static bool read_offsets(const lucid_tensor *offsets, int64_t bags, int64_t n, double *begins)
{
    if (!lucid_to_doubles(offsets, begins, (size_t)offsets->numel)) return false;
    if (offsets->numel == bags) begins[bags] = (double)n;
    if (bags > 0 && begins[0] != 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "offsets: expected 0 at the beginning, got %g",
                         begins[0]);
    for (int64_t b = 0; b < bags; b++)
        if (begins[b + 1] < begins[b] || begins[b + 1] > (double)n)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "offsets: expected rising numbers up to %lld, got %g after %g",
                             (long long)n, begins[b + 1], begins[b]);
    return true;
}

/* Replaces a 1-d index and its weights by matrices; *there says which places count. */
static bool spread(lucid_tensor **index, lucid_tensor **weights, lucid_tensor **there,
                   const lucid_embedding_bag_options *o)
{
    const lucid_tensor *offsets = o->offsets;
    const lucid_dtype dtype = offsets->view.dtype;
    if (offsets->view.ndim != 1 || (dtype != LUCID_I64 && dtype != LUCID_I32) ||
        (o->include_last_offset && offsets->numel < 1))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "offsets: expected integers [B], got %s %s",
                         lucid_dtype_name(dtype), luc_shape_text(offsets).s);
    const int64_t bags = offsets->numel - (o->include_last_offset ? 1 : 0);
    double *begins = luc_calloc((size_t)bags + 1, sizeof *begins, op);
    lucid_tensor *at = NULL;
    bool ok = begins && read_offsets(offsets, bags, (*index)->numel, begins) &&
              make_rows(begins, bags, (*index)->storage->device, &at, there);
    luc_free(begins);
    if (!ok) return false;
    const lucid_shape shape = lucid_tensor_shape(at);
    lucid_tensor *flat = lucid_reshape_opt(at, LUCID_SHAPE(at->numel));
    if (!flat) return false;
    *index = lucid_index_select(*index, 0, flat);
    if (*index) *index = lucid_reshape_opt(*index, shape);
    if (*weights) {
        *weights = lucid_index_select(*weights, 0, flat);
        if (!*weights || !(*weights = lucid_reshape_opt(*weights, shape))) return false;
    }
    return *index != NULL;
}

/* ---- bags of one size ------------------------------------------------------------------------ */

/* rows [B,L,D], there [B,L] or NULL */
static lucid_tensor *reduce(lucid_tensor *rows, lucid_tensor *there, lucid_bag_mode mode)
{
    const lucid_shape dim = LUCID_SHAPE(1);
    const int64_t length = rows->view.dims[1];
    lucid_tensor *live = there ? lucid_unsqueeze(there, 2) : NULL;
    if (there && !live) return NULL;
    if (mode == LUCID_BAG_MAX && length > 0) {
        lucid_tensor *lowest = luc_full_like(rows, -INFINITY), *y = rows;
        if (live) y = lowest ? lucid_where(live, rows, lowest) : NULL;
        y = y ? lucid_max_opt(y, dim, NULL) : NULL;
        if (!y || !live) return y;
        lucid_tensor *some = lucid_max_opt(lucid_cast(live, LUCID_U8), dim, NULL);
        return some ? lucid_where(lucid_cast(some, LUCID_BOOL), y, luc_full_like(y, 0)) : NULL;
    }
    if (live) rows = lucid_where(live, rows, luc_full_like(rows, 0));
    lucid_tensor *sum = rows ? lucid_sum_opt(rows, dim, NULL) : NULL;
    if (!sum || mode != LUCID_BAG_MEAN || length == 0) return sum;
    if (!live) return lucid_mul_scalar(sum, 1 / (double)length);
    lucid_tensor *count = lucid_sum_opt(lucid_cast(live, sum->view.dtype), dim, NULL);
    return count ? lucid_div(sum, lucid_clamp(count, 1, INFINITY)) : NULL;
}

static bool check(const lucid_tensor *index, const lucid_tensor *weight,
                  const lucid_embedding_bag_options *o)
{
    const lucid_tensor *factor = o->per_sample_weights;
    if (weight->view.ndim != 2 || !lucid_dtype_is_floating(weight->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "weight: expected floating numbers [n,D], got %s %s",
                         lucid_dtype_name(weight->view.dtype), luc_shape_text(weight).s);
    if (index->view.ndim != (o->offsets ? 1 : 2))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "index: expected %s, got %s",
                         o->offsets ? "[N] with offsets" : "[B,L] without offsets",
                         luc_shape_text(index).s);
    if (o->mode != LUCID_BAG_SUM && o->mode != LUCID_BAG_MEAN && o->mode != LUCID_BAG_MAX)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "mode: expected LUCID_BAG_SUM, LUCID_BAG_MEAN or LUCID_BAG_MAX, got %d",
                         (int)o->mode);
    if (factor && o->mode != LUCID_BAG_SUM)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "per_sample_weights: expected none with another mode than LUCID_BAG_SUM, "
                         "got %s",
                         luc_shape_text(factor).s);
    if (factor &&
        (factor->view.dtype != weight->view.dtype ||
         !luc_dims_equal(factor->view.ndim, factor->view.dims, index->view.ndim, index->view.dims)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "per_sample_weights: expected %s %s, got %s %s",
                         lucid_dtype_name(weight->view.dtype), luc_shape_text(index).s,
                         lucid_dtype_name(factor->view.dtype), luc_shape_text(factor).s);
    const int64_t rows = weight->view.dims[0], padding = o->padding_idx;
    return padding == LUCID_NO_PADDING || (padding >= -rows && padding < rows) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "padding_idx: expected a row in [%lld,%lld), got %lld",
                     (long long)-rows, (long long)rows, (long long)padding);
}

lucid_tensor *lucid_embedding_bag_opt(lucid_tensor *index, lucid_tensor *weight,
                                      const lucid_embedding_bag_options *options)
{
    LUC_CALLED_AS("embedding_bag");
    LUCID_SCOPE;
    const lucid_embedding_bag_options *o = LUC_OPTIONS(lucid_embedding_bag, options, op);
    if (!o || !luc_given(index, op, "index") || !luc_given(weight, op, "weight") ||
        !check(index, weight, o))
        return NULL;
    lucid_tensor *there = NULL, *factor = o->per_sample_weights;
    if (o->offsets && !spread(&index, &factor, &there, o)) return NULL;
    int64_t padding = o->padding_idx;
    if (padding != LUCID_NO_PADDING) {
        if (padding < 0) padding += weight->view.dims[0];
        lucid_tensor *other = lucid_ne(index, lucid_scalar((double)padding));
        there = there ? lucid_logical_and(there, other) : other;
        if (!there) return NULL;
    }
    lucid_tensor *rows = lucid_embedding_opt(index, weight, NULL);
    if (rows && factor) {
        factor = lucid_unsqueeze(factor, 2);
        rows = factor ? lucid_mul(rows, factor) : NULL;
    }
    return lucid_scope_return(rows ? reduce(rows, there, o->mode) : NULL);
}

/* ---- pad_sequence ---------------------------------------------------------------------------- */

/* Whether tensor i has the dtype and the sizes of the first, except of dimension 0. */
static bool alike(lucid_tensor *const *tensors, size_t i)
{
    if (!luc_given(tensors[i], "pad_sequence", "tensors")) return false;
    const lucid_view *a = &tensors[0]->view, *b = &tensors[i]->view;
    if (b->ndim >= 1 && a->dtype == b->dtype &&
        luc_dims_equal(a->ndim - 1, a->dims + 1, b->ndim - 1, b->dims + 1))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, "pad_sequence",
                     "tensors: expected [T,...] with one dtype and other sizes in common, got %s "
                     "and %s",
                     luc_shape_text(tensors[0]).s, luc_shape_text(tensors[i]).s);
}

static lucid_tensor *padded(lucid_tensor *x, int64_t steps, const lucid_pad_sequence_options *o)
{
    lucid_shape shape = lucid_tensor_shape(x);
    shape.dims[0] = steps - x->view.dims[0];
    if (shape.dims[0] == 0) return x;
    lucid_tensor *rest = lucid_full_opt(
        shape, o->padding_value,
        LUC_WITH(lucid_tensor, .dtype = x->view.dtype, .device = x->storage->device));
    lucid_tensor *both[2] = {o->padding_left ? rest : x, o->padding_left ? x : rest};
    return rest ? lucid_cat_list(both, 2, 0) : NULL;
}

lucid_tensor *lucid_pad_sequence_opt(lucid_tensor *const *tensors, size_t n,
                                     const lucid_pad_sequence_options *options)
{
    LUC_CALLED_AS("pad_sequence");
    LUCID_SCOPE;
    const lucid_pad_sequence_options *o = LUC_OPTIONS(lucid_pad_sequence, options, "pad_sequence");
    if (!o) return NULL;
    if (!tensors || n == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "pad_sequence",
                              "tensors: expected at least one tensor, got none");
    int64_t steps = 0;
    for (size_t i = 0; i < n; i++) {
        if (!alike(tensors, i)) return NULL;
        if (tensors[i]->view.dims[0] > steps) steps = tensors[i]->view.dims[0];
    }
    lucid_tensor **list = luc_calloc(n, sizeof *list, "pad_sequence");
    bool ok = list != NULL;
    for (size_t i = 0; i < n && ok; i++) ok = (list[i] = padded(tensors[i], steps, o)) != NULL;
    lucid_tensor *y = ok ? lucid_stack_list(list, n, o->batch_first ? 0 : 1) : NULL;
    luc_free(list);
    return lucid_scope_return(y);
}

/* attention.c: scaled dot-product attention, composed of products and a softmax. */
#include "autograd/ops/attention.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static const char *const op = "scaled_dot_product_attention";

/* ---- what is refused ------------------------------------------------------------------------- */

static bool check_tensor(const lucid_tensor *t, const lucid_tensor *query, const char *name)
{
    if (!luc_given(t, op, name)) return false;
    if (!lucid_dtype_is_floating(t->view.dtype) || t->view.dtype != query->view.dtype)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected %s, got %s", name,
                         t == query ? "a floating dtype" : lucid_dtype_name(query->view.dtype),
                         lucid_dtype_name(t->view.dtype));
    return t->view.ndim >= 2 || luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected [...,%s], got %s",
                                          name, t == query ? "L,E" : "S,E", luc_shape_text(t).s);
}

static bool check_sizes(const lucid_tensor *q, const lucid_tensor *k, const lucid_tensor *v)
{
    if (lucid_size(k, -1) != lucid_size(q, -1))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "key: expected [...,S,%lld], got %s",
                         (long long)lucid_size(q, -1), luc_shape_text(k).s);
    return lucid_size(v, -2) == lucid_size(k, -2) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "value: expected [...,%lld,Ev], got %s",
                     (long long)lucid_size(k, -2), luc_shape_text(v).s);
}

static bool check_options(const lucid_scaled_dot_product_attention_options *o)
{
    if (!(o->dropout_p >= 0 && o->dropout_p <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dropout_p: expected [0,1], got %g", o->dropout_p);
    if (o->is_causal && o->attn_mask)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "attn_mask: expected none beside is_causal, got both");
    const lucid_tensor *mask = o->attn_mask;
    return !mask || mask->view.dtype == LUCID_BOOL || lucid_dtype_is_floating(mask->view.dtype) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "attn_mask: expected bool or a floating dtype, got %s",
                     lucid_dtype_name(mask->view.dtype));
}

/* Whether the mask broadcasts to the scores. */
static bool check_mask(const lucid_tensor *mask, const lucid_tensor *scores)
{
    const lucid_shape a = lucid_tensor_shape(mask), b = lucid_tensor_shape(scores);
    lucid_shape both;
    if (lucid_shape_broadcast(&a, &b, &both) &&
        luc_dims_equal(both.ndim, both.dims, b.ndim, b.dims))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "attn_mask: expected sizes that broadcast to %s, got %s",
                     luc_shape_text(scores).s, luc_shape_text(mask).s);
}

/* ---- masks ----------------------------------------------------------------------------------- */

static lucid_tensor *number_like(const lucid_tensor *x, lucid_dtype dtype, double value)
{
    return lucid_full_opt((lucid_shape){0}, value,
                          LUC_WITH(lucid_tensor, .dtype = dtype, .device = x->storage->device));
}

/* [rows,columns] of bools: column <= row. */
static lucid_tensor *triangle(int64_t rows, int64_t columns, lucid_device device)
{
    const lucid_index_options *o = LUC_WITH(lucid_index, .dtype = LUCID_I64, .device = device);
    lucid_tensor *row = lucid_arange_opt(0, (double)rows, 1, o);
    lucid_tensor *column = row ? lucid_arange_opt(0, (double)columns, 1, o) : NULL;
    return column ? lucid_le(column, lucid_unsqueeze(row, 1)) : NULL;
}

lucid_tensor *lucid_causal_mask_opt(int64_t size, const lucid_tensor_options *options)
{
    LUC_CALLED_AS("causal_mask");
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "causal_mask");
    if (!o) return NULL;
    if (size < 0 || !lucid_dtype_is_floating(o->dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "causal_mask",
                              "size: expected at least 0 and a floating dtype, got %lld and %s",
                              (long long)size, lucid_dtype_name(o->dtype));
    LUCID_NO_GRAD;
    lucid_tensor *sees = triangle(size, size, o->device);
    if (!sees) return NULL;
    lucid_tensor *mask =
        lucid_where(sees, number_like(sees, o->dtype, 0), number_like(sees, o->dtype, -INFINITY));
    return mask && o->requires_grad ? lucid_requires_grad_(mask, true) : mask;
}

/* The mask as something to add to the scores. *dead becomes [...,L,1] of bools: queries that see no
 * key, whose scores stay finite. */
static lucid_tensor *addend(lucid_tensor *mask, lucid_dtype dtype, lucid_tensor **dead)
{
    lucid_tensor *bias = mask;
    if (!mask) return NULL;
    if (mask->view.dtype == LUCID_BOOL)
        bias = lucid_where(mask, number_like(mask, dtype, 0), number_like(mask, dtype, -INFINITY));
    bias = lucid_cast(bias, dtype);
    if (!bias || bias->view.ndim == 0 || lucid_size(bias, -1) == 0) return bias;
    lucid_tensor *best =
        lucid_max_opt(lucid_detach(bias), LUCID_SHAPE(-1), LUC_WITH(lucid_reduce, .keepdim = true));
    *dead = best ? lucid_eq(best, lucid_scalar(-INFINITY)) : NULL;
    return *dead ? lucid_where(*dead, number_like(bias, dtype, 0), bias) : NULL;
}

/* ---- attention ------------------------------------------------------------------------------- */

/* scale q k^T, the smaller of q and k being scaled. */
static lucid_tensor *products(lucid_tensor *q, lucid_tensor *k, double scale)
{
    if (scale != 1 && q->numel <= k->numel) q = lucid_mul_scalar(q, scale);
    if (scale != 1 && q && q->numel > k->numel) k = lucid_mul_scalar(k, scale);
    return q && k ? lucid_matmul(q, lucid_transpose(k, -2, -1)) : NULL;
}

static lucid_tensor *attend(lucid_tensor *q, lucid_tensor *k, lucid_tensor *v,
                            const lucid_scaled_dot_product_attention_options *o)
{
    const int64_t size = lucid_size(q, -1);
    const double scale = isnan(o->scale) ? 1 / sqrt((double)size) : o->scale;
    lucid_tensor *scores = products(q, k, size ? scale : 1), *mask = o->attn_mask, *dead = NULL;
    if (!scores || (mask && !check_mask(mask, scores))) return NULL;
    if (o->is_causal) {
        mask = triangle(lucid_size(q, -2), lucid_size(k, -2), q->storage->device);
        if (!mask) return NULL;
    }
    if (mask) {
        lucid_tensor *bias =
            addend(mask, scores->view.dtype, o->is_causal ? &(lucid_tensor *){0} : &dead);
        scores = bias ? lucid_add(scores, bias) : NULL;
    }
    lucid_tensor *weights = scores ? lucid_softmax(scores, -1) : NULL;
    if (weights && o->dropout_p > 0) weights = lucid_dropout(weights, o->dropout_p, true);
    lucid_tensor *y = weights ? lucid_matmul(weights, v) : NULL;
    return y && dead ? lucid_where(dead, number_like(y, y->view.dtype, 0), y) : y;
}

/* Grouped heads: query [...,H,L,E] becomes [...,H/n,n,L,E], key and value [...,H/n,1,S,E]. */
static bool group_heads(lucid_tensor **q, lucid_tensor **k, lucid_tensor **v)
{
    const int64_t heads = lucid_size(*q, -3), shared = lucid_size(*k, -3);
    if (lucid_size(*v, -3) != shared || shared < 1 || heads % shared != 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "key, value: expected equal numbers of heads that divide the query's "
                         "%lld, got %s and %s",
                         (long long)heads, luc_shape_text(*k).s, luc_shape_text(*v).s);
    if ((*q)->view.ndim >= LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "query: expected fewer dimensions than %d with enable_gqa, got %s",
                         LUCID_MAX_DIMS, luc_shape_text(*q).s);
    lucid_shape shape = lucid_tensor_shape(*q);
    const int at = shape.ndim++ - 3;
    for (int d = shape.ndim - 1; d > at + 1; d--) shape.dims[d] = shape.dims[d - 1];
    shape.dims[at] = shared;
    shape.dims[at + 1] = heads / shared;
    *q = lucid_reshape_opt(*q, shape);
    *k = lucid_unsqueeze(*k, -3);
    *v = lucid_unsqueeze(*v, -3);
    return *q && *k && *v;
}

/* The mask of grouped heads; one without heads, or with a single one, broadcasts as it is. */
static lucid_tensor *group_mask(lucid_tensor *mask, lucid_tensor *q, int64_t heads)
{
    if (!mask || mask->view.ndim < 3) return mask;
    if (lucid_size(mask, -3) == 1) return lucid_unsqueeze(mask, -3);
    if (lucid_size(mask, -3) != heads || mask->view.ndim >= LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "attn_mask: expected 1 or %lld heads in dimension -3, got %s",
                              (long long)heads, luc_shape_text(mask).s);
    lucid_shape shape = lucid_tensor_shape(mask);
    const int at = shape.ndim++ - 3;
    for (int d = shape.ndim - 1; d > at + 1; d--) shape.dims[d] = shape.dims[d - 1];
    shape.dims[at] = lucid_size(q, -4);
    shape.dims[at + 1] = lucid_size(q, -3);
    return lucid_reshape_opt(mask, shape);
}

static lucid_tensor *grouped(lucid_tensor *q, lucid_tensor *k, lucid_tensor *v,
                             const lucid_scaled_dot_product_attention_options *o)
{
    const int64_t heads = q->view.ndim >= 3 ? lucid_size(q, -3) : 0;
    if (q->view.ndim < 3 || k->view.ndim < 3 || v->view.ndim < 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "query, key, value: expected [...,H,L,E] with enable_gqa, got %s, %s "
                              "and %s",
                              luc_shape_text(q).s, luc_shape_text(k).s, luc_shape_text(v).s);
    if (!group_heads(&q, &k, &v)) return NULL;
    lucid_scaled_dot_product_attention_options inner = *o;
    inner.attn_mask = group_mask(o->attn_mask, q, heads);
    if (o->attn_mask && !inner.attn_mask) return NULL;
    lucid_tensor *y = attend(q, k, v, &inner);
    if (!y) return NULL;
    lucid_shape shape = lucid_tensor_shape(y);
    const int at = shape.ndim - 4;
    shape.dims[at] = heads;
    for (int d = at + 1; d < shape.ndim - 1; d++) shape.dims[d] = shape.dims[d + 1];
    shape.ndim--;
    return lucid_reshape_opt(y, shape);
}

lucid_tensor *lucid_scaled_dot_product_attention_opt(
    lucid_tensor *query, lucid_tensor *key, lucid_tensor *value,
    const lucid_scaled_dot_product_attention_options *options)
{
    LUC_CALLED_AS("scaled_dot_product_attention");
    LUCID_SCOPE;
    const lucid_scaled_dot_product_attention_options *o =
        LUC_OPTIONS(lucid_scaled_dot_product_attention, options, op);
    if (!o || !luc_given(query, op, "query") || !check_tensor(query, query, "query") ||
        !check_tensor(key, query, "key") || !check_tensor(value, query, "value") ||
        !check_sizes(query, key, value) || !check_options(o))
        return NULL;
    const lucid_dtype dtype = query->view.dtype;
    const bool wide = dtype == LUCID_F32 || dtype == LUCID_F64 || luc_autocast_is_on();
    if (!wide) {
        query = lucid_cast(query, LUCID_F32);
        key = lucid_cast(key, LUCID_F32);
        value = lucid_cast(value, LUCID_F32);
        if (!query || !key || !value) return NULL;
    }
    lucid_tensor *y = o->enable_gqa ? grouped(query, key, value, o) : attend(query, key, value, o);
    return lucid_scope_return(y && !wide ? lucid_cast(y, dtype) : y);
}

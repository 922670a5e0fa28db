/* embedding.c: rows of a table, products of two vectors, and dropout of whole channels. */
#include "autograd/ops/embedding.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>

/* ---- embedding, bilinear --------------------------------------------------------------------- */

lucid_tensor *lucid_embedding_opt(lucid_tensor *index, lucid_tensor *weight,
                                  const lucid_embedding_options *options)
{
    const char *op = "embedding";
    LUC_CALLED_AS("embedding");
    const lucid_embedding_options *o = LUC_OPTIONS(lucid_embedding, options, op);
    if (!o || !luc_given(index, op, "index") || !luc_given(weight, op, "weight")) return NULL;
    if (weight->view.ndim != 2 || index->view.ndim >= LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "index, weight: expected [...] and [n,D], got %s and %s",
                              luc_shape_text(index).s, luc_shape_text(weight).s);
    const int64_t rows = weight->view.dims[0];
    int64_t padding = o->padding_idx;
    if (padding != LUCID_NO_PADDING && (padding < -rows || padding >= rows))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "padding_idx: expected a row in [%lld,%lld), got %lld",
                              (long long)-rows, (long long)rows, (long long)padding);
    if (padding < 0 && padding != LUCID_NO_PADDING) padding += rows;
    lucid_shape shape = lucid_tensor_shape(index);
    shape.dims[shape.ndim++] = weight->view.dims[1];
    lucid_tensor *flat = lucid_reshape_opt(index, LUCID_SHAPE(index->numel));
    lucid_tensor *y = flat ? lucid_index_select(weight, 0, flat) : NULL;
    if (!y) return NULL;
    if (padding != LUCID_NO_PADDING && lucid_requires_grad(y)) {
        lucid_tensor *is_padding =
            lucid_eq(lucid_unsqueeze(flat, 1), lucid_scalar((double)padding));
        y = lucid_where(is_padding, lucid_detach(y), y);
    }
    return y ? lucid_reshape_opt(y, shape) : NULL;
}

/* Whether x1 [...,I] and x2 [...,J] share the sizes before the last, and fit weight [O,I,J]. */
static bool check_bilinear(const lucid_tensor *x1, const lucid_tensor *x2, const lucid_tensor *w)
{
    const lucid_view *a = &x1->view, *b = &x2->view, *v = &w->view;
    if (v->ndim == 3 && a->ndim >= 1 && b->ndim == a->ndim &&
        luc_dims_equal(a->ndim - 1, a->dims, b->ndim - 1, b->dims) &&
        a->dims[a->ndim - 1] == v->dims[1] && b->dims[b->ndim - 1] == v->dims[2])
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, "bilinear",
                     "x1, x2, weight: expected [...,I], [...,J] and [O,I,J], got %s, %s and %s",
                     luc_shape_text(x1).s, luc_shape_text(x2).s, luc_shape_text(w).s);
}

lucid_tensor *lucid_bilinear(lucid_tensor *x1, lucid_tensor *x2, lucid_tensor *weight,
                             lucid_tensor *bias)
{
    const char *op = "bilinear";
    LUC_CALLED_AS("bilinear");
    if (!luc_given(x1, op, "x1") || !luc_given(x2, op, "x2") || !luc_given(weight, op, "weight") ||
        !check_bilinear(x1, x2, weight))
        return NULL;
    const int64_t *w = weight->view.dims;
    if (bias && (bias->view.ndim != 1 || bias->view.dims[0] != w[0]))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "bias: expected [%lld], got %s",
                              (long long)w[0], luc_shape_text(bias).s);
    int64_t rows = 1;
    lucid_shape shape = lucid_tensor_shape(x1);
    for (int d = 0; d < shape.ndim - 1; d++) rows *= shape.dims[d];
    shape.dims[shape.ndim - 1] = w[0];
    /* x1 [M,I] by weight as [I,O J], then each [O,J] by x2's [J,1] */
    lucid_tensor *table = lucid_permute_opt(weight, LUCID_SHAPE(1, 0, 2));
    table = table ? lucid_reshape_opt(table, LUCID_SHAPE(w[1], w[0] * w[2])) : NULL;
    lucid_tensor *left = lucid_reshape_opt(x1, LUCID_SHAPE(rows, w[1]));
    lucid_tensor *right = lucid_reshape_opt(x2, LUCID_SHAPE(rows, w[2], 1));
    if (!table || !left || !right) return NULL;
    lucid_tensor *y = lucid_matmul(left, table);
    y = y ? lucid_reshape_opt(y, LUCID_SHAPE(rows, w[0], w[2])) : NULL;
    y = y ? lucid_matmul(y, right) : NULL;
    y = y ? lucid_reshape_opt(y, shape) : NULL;
    return y && bias ? lucid_add(y, bias) : y;
}

/* ---- dropout --------------------------------------------------------------------------------- */

static bool check_dropout(const lucid_tensor *x, double p, const char *op)
{
    if (!luc_given(x, op, "x")) return false;
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected a floating dtype, got %s",
                         lucid_dtype_name(x->view.dtype));
    return (p >= 0 && p <= 1) || luc_raise(LUCID_ERR_ARGUMENT, op, "p: expected [0,1], got %g", p);
}

lucid_tensor *lucid_feature_dropout(lucid_tensor *x, double p, bool training)
{
    const char *op = "feature_dropout";
    LUC_CALLED_AS("feature_dropout");
    if (!check_dropout(x, p, op)) return NULL;
    if (x->view.ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected [N,C,...], got %s",
                              luc_shape_text(x).s);
    if (!training || p == 0) return x;
    lucid_shape shape = lucid_tensor_shape(x);
    for (int d = 2; d < shape.ndim; d++) shape.dims[d] = 1;
    lucid_tensor *ones = lucid_ones_opt(
        shape, LUC_WITH(lucid_tensor, .dtype = x->view.dtype, .device = x->storage->device));
    return ones ? lucid_mul(x, lucid_dropout(ones, p, true)) : NULL;
}

/* With the limit -alpha of SELU, dropped elements make the mean -alpha p and the variance
 * (1 - p)(1 + p alpha^2): the factor and the shift undo both. */
lucid_tensor *lucid_alpha_dropout(lucid_tensor *x, double p, bool training)
{
    const double alpha = 1.7580993408473766;
    LUC_CALLED_AS("alpha_dropout");
    if (!check_dropout(x, p, "alpha_dropout")) return NULL;
    if (!training || p == 0) return x;
    if (p == 1) return lucid_mul_scalar(x, 0);
    const double factor = 1 / sqrt((alpha * alpha * p + 1) * (1 - p));
    lucid_tensor *kept = lucid_bernoulli_opt(
        lucid_tensor_shape(x), 1 - p,
        LUC_WITH(lucid_tensor, .dtype = x->view.dtype, .device = x->storage->device));
    if (!kept) return NULL;
    lucid_tensor *dropped = lucid_mul_scalar(lucid_sub_scalar(kept, 1), alpha);
    lucid_tensor *y = lucid_add(lucid_mul(x, kept), dropped);
    return lucid_mul_scalar(lucid_add_scalar(y, alpha * p), factor);
}

/* loss_common.c: checks and reductions that the losses share. */
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

bool luc_loss_how(int reduction, const char *op)
{
    return (reduction >= LUCID_REDUCTION_NONE && reduction <= LUCID_REDUCTION_SUM) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "reduction: expected none, mean or sum, got %d",
                     reduction);
}

lucid_tensor *luc_loss_reduced(lucid_tensor *loss, int reduction)
{
    if (reduction == LUCID_REDUCTION_NONE) return loss;
    return reduction == LUCID_REDUCTION_MEAN ? lucid_mean_opt(loss, LUCID_ALL, NULL)
                                             : lucid_sum_opt(loss, LUCID_ALL, NULL);
}

lucid_tensor *luc_loss_input(lucid_tensor *x, const char *op, const char *argument)
{
    if (!luc_given(x, op, argument)) return NULL;
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: expected a floating dtype, got %s",
                              argument, lucid_dtype_name(x->view.dtype));
    return luc_autocast_full(x);
}

bool luc_loss_pair(lucid_tensor **x, lucid_tensor **y, const char *op, const char *const names[2])
{
    *x = luc_loss_input(*x, op, names[0]);
    if (!*x || !luc_given(*y, op, names[1])) return false;
    const lucid_view *a = &(*x)->view, *b = &(*y)->view;
    if (!luc_dims_equal(a->ndim, a->dims, b->ndim, b->dims))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected %s like %s, got %s", names[1],
                         luc_shape_text(*x).s, names[0], luc_shape_text(*y).s);
    *y = lucid_dtype_is_floating(b->dtype) ? luc_autocast_full(*y) : lucid_cast(*y, a->dtype);
    return *y != NULL;
}

bool luc_loss_weight(const lucid_tensor *w, const lucid_tensor *x, const char *op,
                     const char *argument)
{
    if (!w) return true;
    const lucid_view *a = &w->view, *b = &x->view;
    bool fits = a->ndim <= b->ndim && lucid_dtype_is_floating(a->dtype);
    for (int d = 1; fits && d <= a->ndim; d++)
        fits = a->dims[a->ndim - d] == 1 || a->dims[a->ndim - d] == b->dims[b->ndim - d];
    return fits ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "%s: expected floating numbers that broadcast to %s, got %s %s", argument,
                     luc_shape_text(x).s, lucid_dtype_name(a->dtype), luc_shape_text(w).s);
}

bool luc_loss_number(double value, double least, const char *op, const char *argument)
{
    if (value >= least && !isnan(value)) return true;
    if (isinf(least))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a number, got %g", argument, value);
    return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a number >= %g, got %g", argument, least,
                     value);
}

lucid_tensor *luc_loss_positive(lucid_tensor *x)
{
    if (!x) return NULL;
    return lucid_where(lucid_lt(x, lucid_scalar(0)), luc_full_like(x, 0), x);
}

lucid_tensor *luc_loss_wide(lucid_tensor *x)
{
    if (!x || (x->view.dtype != LUCID_F16 && x->view.dtype != LUCID_BF16)) return x;
    return lucid_cast(x, LUCID_F32);
}

bool luc_loss_extreme(lucid_tensor *x, bool largest, double *value)
{
    LUCID_NO_GRAD;
    *value = 0;
    if (x->numel == 0) return true;
    lucid_tensor *t =
        largest ? lucid_max_opt(x, LUCID_ALL, NULL) : lucid_min_opt(x, LUCID_ALL, NULL);
    if (!t) return false;
    *value = lucid_item(t);
    return true;
}

lucid_tensor *luc_loss_softplus(lucid_tensor *x)
{
    return lucid_softplus_opt(x, LUC_WITH(lucid_softplus, .beta = 1, .threshold = INFINITY));
}

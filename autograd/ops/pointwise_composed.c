/* pointwise_composed.c: conditions, replaced values and sums of products, element by element, which
 * other operators compute. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <float.h>

/* ---- conditions ------------------------------------------------------------------------------ */

lucid_tensor *lucid_inf_mask(lucid_tensor *x)
{
    LUC_CALLED_AS("inf_mask");
    if (!luc_given(x, "inf_mask", "x")) return NULL;
    return lucid_eq(lucid_abs(x), lucid_scalar(INFINITY));
}

lucid_tensor *lucid_finite_mask(lucid_tensor *x)
{
    LUC_CALLED_AS("finite_mask");
    if (!luc_given(x, "finite_mask", "x")) return NULL;
    return lucid_lt(lucid_abs(x), lucid_scalar(INFINITY));
}

/* Where x is not 0, as a bool tensor. */
static lucid_tensor *truth_of(lucid_tensor *x, const char *op, const char *argument)
{
    if (!luc_given(x, op, argument)) return NULL;
    return x->view.dtype == LUCID_BOOL ? x : lucid_ne(x, lucid_scalar(0));
}

lucid_tensor *lucid_logical_and(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("logical_and");
    if (!(a = truth_of(a, "logical_and", "a")) || !(b = truth_of(b, "logical_and", "b")))
        return NULL;
    return lucid_mul(a, b);
}

lucid_tensor *lucid_logical_or(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("logical_or");
    if (!(a = truth_of(a, "logical_or", "a")) || !(b = truth_of(b, "logical_or", "b"))) return NULL;
    return lucid_maximum(a, b);
}

lucid_tensor *lucid_logical_xor(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("logical_xor");
    if (!(a = truth_of(a, "logical_xor", "a")) || !(b = truth_of(b, "logical_xor", "b")))
        return NULL;
    return lucid_ne(a, b);
}

lucid_tensor *lucid_logical_not(lucid_tensor *x)
{
    LUC_CALLED_AS("logical_not");
    if (!luc_given(x, "logical_not", "x")) return NULL;
    return lucid_eq(x, lucid_scalar(0));
}

/* ---- replaced values ------------------------------------------------------------------------- */

static double largest(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F16:
        return 65504;
    case LUCID_BF16:
        return 0x1.fep127;
    case LUCID_F64:
        return DBL_MAX;
    default:
        return FLT_MAX;
    }
}

lucid_tensor *lucid_nan_to_num_opt(lucid_tensor *x, const lucid_nan_to_num_options *options)
{
    LUC_CALLED_AS("nan_to_num");
    const lucid_nan_to_num_options *o = LUC_OPTIONS(lucid_nan_to_num, options, "nan_to_num");
    if (!o || !luc_given(x, "nan_to_num", "x")) return NULL;
    const lucid_dtype dtype = x->view.dtype;
    if (!lucid_dtype_is_floating(dtype)) return lucid_clone(x, LUCID_PRESERVE);
    const double most = largest(dtype), values[] = {o->nan, isnan(o->posinf) ? most : o->posinf,
                                                    isnan(o->neginf) ? -most : o->neginf};
    lucid_tensor *where[] = {lucid_nan_mask(x), lucid_eq(x, lucid_scalar(INFINITY)),
                             lucid_eq(x, lucid_scalar(-INFINITY))};
    lucid_tensor *y = x;
    for (int i = 0; i < 3; i++) {
        lucid_tensor *value = luc_meet(lucid_scalar(values[i]), dtype, x->storage->device);
        y = lucid_where(where[i], value, y);
    }
    return y;
}

/* ---- sums of products ------------------------------------------------------------------------ */

/* From the end that is nearer, so that a weight of 1 gives b and not a + (b - a). */
lucid_tensor *lucid_lerp(lucid_tensor *a, lucid_tensor *b, lucid_tensor *weight)
{
    LUC_CALLED_AS("lerp");
    if (!luc_given(a, "lerp", "a") || !luc_given(b, "lerp", "b") ||
        !luc_given(weight, "lerp", "weight"))
        return NULL;
    lucid_tensor *way = lucid_sub(b, a);
    if (weight->is_scalar && !weight->requires_grad) {
        const double w = lucid_item(weight);
        return fabs(w) < 0.5 ? lucid_add(a, lucid_mul_scalar(way, w))
                             : lucid_sub(b, lucid_mul_scalar(way, 1 - w));
    }
    lucid_tensor *rest = lucid_add_scalar(lucid_neg(weight), 1);
    lucid_tensor *near_a = lucid_lt(lucid_abs(weight), lucid_scalar(0.5));
    return lucid_where(near_a, lucid_add(a, lucid_mul(weight, way)),
                       lucid_sub(b, lucid_mul(way, rest)));
}

static lucid_tensor *add_scaled(lucid_tensor *x, lucid_tensor *term, double value)
{
    return lucid_add(x, value == 1 ? term : lucid_mul_scalar(term, value));
}

lucid_tensor *lucid_addcmul(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b, double value)
{
    LUC_CALLED_AS("addcmul");
    if (!luc_given(x, "addcmul", "x") || !luc_given(a, "addcmul", "a") ||
        !luc_given(b, "addcmul", "b"))
        return NULL;
    return add_scaled(x, lucid_mul(a, b), value);
}

lucid_tensor *lucid_addcdiv(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b, double value)
{
    LUC_CALLED_AS("addcdiv");
    if (!luc_given(x, "addcdiv", "x") || !luc_given(a, "addcdiv", "a") ||
        !luc_given(b, "addcdiv", "b"))
        return NULL;
    return add_scaled(x, lucid_div(a, b), value);
}

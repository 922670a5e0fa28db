/* activation_composed.c: activations that other operators compute. Their derivatives, of any
 * order, are those operators'. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/activation.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* x as a floating tensor; NULL, with an error by op, for NULL. */
static lucid_tensor *floating(lucid_tensor *x, const char *op)
{
    return luc_given(x, op, "x") ? lucid_cast(x, luc_float_type(x->view.dtype)) : NULL;
}

/* A number in x's dtype, on its device. */
static lucid_tensor *number_like(const lucid_tensor *x, double value)
{
    return luc_meet(lucid_scalar(value), x->view.dtype, x->storage->device);
}

lucid_tensor *lucid_threshold(lucid_tensor *x, double threshold, double value)
{
    LUC_CALLED_AS("threshold");
    if (!(x = floating(x, "threshold"))) return NULL;
    lucid_tensor *low = lucid_le(x, number_like(x, threshold));
    return lucid_where(low, number_like(x, value), x);
}

/* min(x, 0) - log(1 + e^-|x|), in x's dtype also inside LUCID_AUTOCAST, whose policy for logarithms
 * is float32. */
lucid_tensor *lucid_logsigmoid(lucid_tensor *x)
{
    LUC_CALLED_AS("logsigmoid");
    if (!(x = floating(x, "logsigmoid"))) return NULL;
    const lucid_softplus_options o = {.struct_size = sizeof o, .beta = 1, .threshold = INFINITY};
    lucid_tensor *y = lucid_neg(lucid_softplus_opt(lucid_neg(x), &o));
    return y ? lucid_cast(y, x->view.dtype) : NULL;
}

lucid_tensor *lucid_softsign(lucid_tensor *x)
{
    LUC_CALLED_AS("softsign");
    if (!(x = floating(x, "softsign"))) return NULL;
    return lucid_div(x, lucid_add_scalar(lucid_abs(x), 1));
}

lucid_tensor *lucid_tanhshrink(lucid_tensor *x)
{
    LUC_CALLED_AS("tanhshrink");
    if (!(x = floating(x, "tanhshrink"))) return NULL;
    return lucid_sub(x, lucid_tanh(x));
}

/* x where |x| > lambda, else 0. A NaN stays, because it is not <= lambda. */
static lucid_tensor *outside(lucid_tensor *x, double lambda)
{
    lucid_tensor *inside = lucid_le(lucid_abs(x), number_like(x, lambda));
    return lucid_where(inside, number_like(x, 0), x);
}

lucid_tensor *lucid_hardshrink_opt(lucid_tensor *x, const lucid_hardshrink_options *options)
{
    LUC_CALLED_AS("hardshrink");
    const lucid_hardshrink_options *o = LUC_OPTIONS(lucid_hardshrink, options, "hardshrink");
    if (!o || !(x = floating(x, "hardshrink"))) return NULL;
    return outside(x, o->lambda);
}

lucid_tensor *lucid_softshrink_opt(lucid_tensor *x, const lucid_softshrink_options *options)
{
    LUC_CALLED_AS("softshrink");
    const lucid_softshrink_options *o = LUC_OPTIONS(lucid_softshrink, options, "softshrink");
    if (!o || !(x = floating(x, "softshrink"))) return NULL;
    if (!(o->lambda >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "softshrink", "lambda: expected >= 0, got %g",
                              o->lambda);
    /* The sign has no gradient, so that of x passes where |x| > lambda, also where x is NaN. */
    lucid_tensor *y = outside(x, o->lambda);
    return lucid_sub(y, lucid_mul_scalar(lucid_sign(y), o->lambda));
}

/* weight with dimensions of size 1 after it, so that its elements meet dimension 1 of x. */
static lucid_tensor *by_channel(const lucid_tensor *x, lucid_tensor *weight)
{
    const int64_t channels = x->view.ndim > 1 ? x->view.dims[1] : 1;
    if (weight->view.ndim > 1 || (weight->numel != 1 && weight->numel != channels))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "prelu", "weight: expected [1] or [%lld], got %s",
                              (long long)channels, luc_shape_text(weight).s);
    lucid_shape shape = {.ndim = x->view.ndim > 1 ? x->view.ndim - 1 : x->view.ndim};
    for (int d = 0; d < shape.ndim; d++) shape.dims[d] = d ? 1 : weight->numel;
    return lucid_reshape_opt(weight, shape);
}

lucid_tensor *lucid_prelu(lucid_tensor *x, lucid_tensor *weight)
{
    LUC_CALLED_AS("prelu");
    if (!(x = floating(x, "prelu")) || !luc_given(weight, "prelu", "weight")) return NULL;
    if (!(weight = by_channel(x, weight))) return NULL;
    lucid_tensor *positive = lucid_gt(x, number_like(x, 0));
    return lucid_where(positive, x, lucid_mul(weight, x));
}

lucid_tensor *lucid_rrelu_opt(lucid_tensor *x, const lucid_rrelu_options *options)
{
    LUC_CALLED_AS("rrelu");
    const lucid_rrelu_options *o = LUC_OPTIONS(lucid_rrelu, options, "rrelu");
    if (!o || !(x = floating(x, "rrelu"))) return NULL;
    if (!(o->lower <= o->upper) || isinf(o->lower) || isinf(o->upper))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "rrelu",
                              "lower: expected a finite number up to upper %g, got %g", o->upper,
                              o->lower);
    if (!o->training) {
        const lucid_scalar_attrs attrs = {(o->lower + o->upper) / 2};
        return luc_apply1(&luc_op_leaky_relu, x, &attrs);
    }
    lucid_tensor_options t = lucid_tensor_defaults;
    t.dtype = x->view.dtype;
    t.device = x->storage->device;
    lucid_tensor *slope = lucid_rand_opt(lucid_tensor_shape(x), &t);
    slope = lucid_add_scalar(lucid_mul_scalar(slope, o->upper - o->lower), o->lower);
    return lucid_where(lucid_le(x, number_like(x, 0)), lucid_mul(x, slope), x);
}

lucid_tensor *lucid_glu(lucid_tensor *x, int dim)
{
    LUC_CALLED_AS("glu");
    if (!(x = floating(x, "glu"))) return NULL;
    const int d = luc_wrap_dim(dim, x->view.ndim, "glu", "dim");
    if (d < 0) return NULL;
    if (x->view.ndim == 0 || x->view.dims[d] % 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "glu",
                              "x: expected an even size of dim %d, got %s", d, luc_shape_text(x).s);
    const int64_t half = x->view.dims[d] / 2;
    lucid_tensor *gate = lucid_sigmoid(lucid_narrow(x, d, half, half));
    return lucid_mul(lucid_narrow(x, d, 0, half), gate);
}

lucid_tensor *lucid_softmin(lucid_tensor *x, int dim)
{
    LUC_CALLED_AS("softmin");
    if (!(x = floating(x, "softmin"))) return NULL;
    return lucid_softmax(lucid_neg(x), dim);
}

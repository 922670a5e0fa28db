/* norms.c: normalisation over groups of channels, trailing dimensions and single images, composed
 * of batch normalisation's kernel on a view. */
#include "autograd/ops/norms.h"
#include "autograd/autograd.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <float.h>

/* ---- what they share ------------------------------------------------------------------------- */

/* Checks x, and casts it to the dtype that is computed in: float32, or float64. */
static lucid_tensor *wide_input(lucid_tensor *x, const char *op)
{
    if (!luc_given(x, op, "x")) return NULL;
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected a floating dtype, got %s",
                              lucid_dtype_name(x->view.dtype));
    return lucid_cast(x, x->view.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
}

/* y in x's dtype; inside autocast it stays float32. */
static lucid_tensor *as_input(lucid_tensor *y, const lucid_tensor *x)
{
    return luc_autocast_is_on() ? y : lucid_cast(y, x->view.dtype);
}

static bool check_eps(double eps, const char *op)
{
    return (eps >= 0 && isfinite(eps)) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "eps: expected a number >= 0, got %g", eps);
}

/* Whether a parameter, which may be NULL, is floating and has the sizes of the shape. */
static bool check_parameter(const lucid_tensor *p, const lucid_shape *shape, const char *op,
                            const char *argument)
{
    if (!p || (lucid_dtype_is_floating(p->view.dtype) &&
               luc_dims_equal(p->view.ndim, p->view.dims, shape->ndim, shape->dims)))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected floating numbers %s, got %s %s",
                     argument, luc_dims_text(shape->ndim, shape->dims).s,
                     lucid_dtype_name(p->view.dtype), luc_shape_text(p).s);
}

/* Normalises each of `rows` runs of x's elements, row by row in memory order: batch normalisation
 * of one sample whose channels are the runs. A run of one number gives 0. */
static lucid_tensor *normalized(lucid_tensor *x, int64_t rows, double eps)
{
    const lucid_batch_norm_attrs attrs = {.eps = eps, .momentum = -1, .training = true};
    if (x->numel == 0) return x;
    lucid_tensor *in[8] = {lucid_reshape_opt(x, LUCID_SHAPE(1, rows, x->numel / rows))};
    lucid_tensor *y = in[0] ? lucid_apply(&luc_op_batch_norm, in, 8, &attrs) : NULL;
    return y ? lucid_reshape_opt(y, lucid_tensor_shape(x)) : NULL;
}

/* y weight + bias, in y's dtype, of parameters that broadcast to y after a reshape. */
static lucid_tensor *affine(lucid_tensor *y, lucid_tensor *weight, lucid_tensor *bias,
                            lucid_shape shape)
{
    if (y && weight) y = lucid_mul(y, lucid_reshape_opt(lucid_cast(weight, y->view.dtype), shape));
    if (y && bias) y = lucid_add(y, lucid_reshape_opt(lucid_cast(bias, y->view.dtype), shape));
    return y;
}

/* [1,C,1,...]: the shape in which [C] meets x. */
static lucid_shape channel_shape(const lucid_tensor *x)
{
    lucid_shape shape = {.ndim = x->view.ndim};
    for (int d = 0; d < shape.ndim; d++) shape.dims[d] = d == 1 ? x->view.dims[1] : 1;
    return shape;
}

static bool check_channels(const lucid_tensor *x, const char *op)
{
    return x->view.ndim >= 2 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected [N,C,...], got %s", luc_shape_text(x).s);
}

/* ---- group_norm ------------------------------------------------------------------------------ */

lucid_tensor *lucid_group_norm_opt(lucid_tensor *x, int64_t num_groups,
                                   const lucid_group_norm_options *options)
{
    const char *op = "group_norm";
    LUC_CALLED_AS("group_norm");
    const lucid_group_norm_options *o = LUC_OPTIONS(lucid_group_norm, options, op);
    lucid_tensor *wide = o && check_eps(o->eps, op) ? wide_input(x, op) : NULL;
    if (!wide || !check_channels(wide, op)) return NULL;
    const int64_t channels = wide->view.dims[1];
    if (num_groups < 1 || channels % num_groups != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "num_groups: expected a divisor of the %lld channels, got %lld",
                              (long long)channels, (long long)num_groups);
    const lucid_shape shape = LUCID_SHAPE(channels);
    if (!check_parameter(o->weight, &shape, op, "weight") ||
        !check_parameter(o->bias, &shape, op, "bias"))
        return NULL;
    lucid_tensor *y = normalized(wide, wide->view.dims[0] * num_groups, o->eps);
    return as_input(affine(y, o->weight, o->bias, channel_shape(wide)), x);
}

/* ---- layer_norm, rms_norm -------------------------------------------------------------------- */

/* Whether x's last sizes are those of the shape, which names at least one. */
static bool check_trailing(const lucid_tensor *x, const lucid_shape *shape, const char *op)
{
    const lucid_view *v = &x->view;
    const int n = shape->ndim;
    if (n >= 1 && n <= v->ndim && luc_dims_equal(n, v->dims + v->ndim - n, n, shape->dims))
        return true;
    if (n < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "normalized_shape: expected a size, got none");
    return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected last sizes %s (normalized_shape), got %s",
                     luc_dims_text(n, shape->dims).s, luc_shape_text(x).s);
}

static int64_t product(const lucid_shape *shape)
{
    int64_t n = 1;
    for (int d = 0; d < shape->ndim; d++) n *= shape->dims[d];
    return n;
}

lucid_tensor *lucid_layer_norm_opt(lucid_tensor *x, lucid_shape normalized_shape,
                                   const lucid_layer_norm_options *options)
{
    const char *op = "layer_norm";
    LUC_CALLED_AS("layer_norm");
    const lucid_layer_norm_options *o = LUC_OPTIONS(lucid_layer_norm, options, op);
    lucid_tensor *wide = o && check_eps(o->eps, op) ? wide_input(x, op) : NULL;
    if (!wide || !check_trailing(wide, &normalized_shape, op) ||
        !check_parameter(o->weight, &normalized_shape, op, "weight") ||
        !check_parameter(o->bias, &normalized_shape, op, "bias"))
        return NULL;
    const int64_t each = product(&normalized_shape);
    lucid_tensor *y = normalized(wide, each ? wide->numel / each : 0, o->eps);
    return as_input(affine(y, o->weight, o->bias, normalized_shape), x);
}

lucid_tensor *lucid_rms_norm_opt(lucid_tensor *x, lucid_shape normalized_shape,
                                 const lucid_rms_norm_options *options)
{
    const char *op = "rms_norm";
    LUC_CALLED_AS("rms_norm");
    const lucid_rms_norm_options *o = LUC_OPTIONS(lucid_rms_norm, options, op);
    lucid_tensor *wide = o && (o->eps == -1 || check_eps(o->eps, op)) ? wide_input(x, op) : NULL;
    if (!wide || !check_trailing(wide, &normalized_shape, op) ||
        !check_parameter(o->weight, &normalized_shape, op, "weight"))
        return NULL;
    const double least = wide->view.dtype == LUCID_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    const double eps = o->eps == -1 ? least : o->eps;
    lucid_shape dims = {.ndim = normalized_shape.ndim};
    for (int d = 0; d < dims.ndim; d++) dims.dims[d] = d - dims.ndim;
    lucid_tensor *mean =
        lucid_mean_opt(lucid_square(wide), dims, LUC_WITH(lucid_reduce, .keepdim = true));
    lucid_tensor *y = lucid_mul(wide, lucid_rsqrt(lucid_add_scalar(mean, eps)));
    return as_input(affine(y, o->weight, NULL, normalized_shape), x);
}

/* ---- instance_norm --------------------------------------------------------------------------- */

/* running <- (1 - m) running + m * (value [N,C], averaged over samples) */
static bool follow(lucid_tensor *running, lucid_tensor *value, double momentum)
{
    lucid_tensor *mean = lucid_mean_opt(value, LUCID_SHAPE(0), NULL);
    lucid_tensor *step = mean ? lucid_mul_scalar(mean, momentum) : NULL;
    if (!step || !lucid_mul_scalar_(running, 1 - momentum)) return false;
    return lucid_add_(running, lucid_cast(step, running->view.dtype)) != NULL;
}

/* Updates the running statistics with those of x [N,C,...]; the variance is unbiased there. */
static bool update_running(lucid_tensor *x, const lucid_instance_norm_options *o)
{
    LUCID_NO_GRAD;
    const lucid_view *v = &x->view;
    if (x->numel == 0) return true;
    lucid_tensor *flat = lucid_reshape_opt(x, LUCID_SHAPE(v->dims[0], v->dims[1], -1));
    const lucid_shape last = LUCID_SHAPE(2);
    return flat && follow(o->running_mean, lucid_mean_opt(flat, last, NULL), o->momentum) &&
           follow(o->running_var, lucid_var_opt(flat, last, NULL), o->momentum);
}

static bool check_instance(const lucid_tensor *x, const lucid_instance_norm_options *o)
{
    const char *op = "instance_norm";
    if (!check_channels(x, op)) return false;
    const lucid_shape shape = LUCID_SHAPE(x->view.dims[1]);
    if (!check_parameter(o->weight, &shape, op, "weight") ||
        !check_parameter(o->bias, &shape, op, "bias") ||
        !check_parameter(o->running_mean, &shape, op, "running_mean") ||
        !check_parameter(o->running_var, &shape, op, "running_var"))
        return false;
    if (!o->running_mean != !o->running_var)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "running_mean, running_var: expected both or none, got one");
    if (!o->use_input_stats)
        return o->running_mean ||
               luc_raise(LUCID_ERR_ARGUMENT, op,
                         "running_mean: expected statistics without use_input_stats, got nothing");
    if (o->running_mean && !(o->momentum >= 0 && o->momentum <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "momentum: expected [0,1], got %g", o->momentum);
    int64_t each = 1;
    for (int d = 2; d < x->view.ndim; d++) each *= x->view.dims[d];
    return each != 1 || luc_raise(LUCID_ERR_ARGUMENT, op,
                                  "x: expected more than 1 value per channel when training, got %s",
                                  luc_shape_text(x).s);
}

lucid_tensor *lucid_instance_norm_opt(lucid_tensor *x, const lucid_instance_norm_options *options)
{
    const char *op = "instance_norm";
    LUC_CALLED_AS("instance_norm");
    const lucid_instance_norm_options *o = LUC_OPTIONS(lucid_instance_norm, options, op);
    lucid_tensor *wide = o && check_eps(o->eps, op) ? wide_input(x, op) : NULL;
    if (!wide || !check_instance(wide, o)) return NULL;
    lucid_tensor *y;
    if (o->use_input_stats) {
        y = normalized(wide, wide->view.dims[0] * wide->view.dims[1], o->eps);
        if (y && o->running_mean && !update_running(wide, o)) return NULL;
    } else {
        const lucid_dtype dtype = wide->view.dtype;
        y = lucid_batch_norm_opt(
            wide, LUC_WITH(lucid_batch_norm, .running_mean = lucid_cast(o->running_mean, dtype),
                           .running_var = lucid_cast(o->running_var, dtype), .eps = o->eps));
    }
    return as_input(affine(y, o->weight, o->bias, channel_shape(wide)), x);
}

/* ---- local_response_norm --------------------------------------------------------------------- */

/* The sums of `size` channels around each, with (size / 2) before it. */
static lucid_tensor *channel_sums(lucid_tensor *x, int64_t size)
{
    if (!x) return NULL;
    const int64_t channels = x->view.dims[1];
    lucid_shape shape = lucid_tensor_shape(x);
    lucid_tensor *parts[3] = {NULL, x, NULL}, *sum;
    const lucid_tensor_options *like =
        LUC_WITH(lucid_tensor, .dtype = x->view.dtype, .device = x->storage->device);
    shape.dims[1] = size / 2;
    parts[0] = lucid_zeros_opt(shape, like);
    shape.dims[1] = (size - 1) / 2;
    parts[2] = lucid_zeros_opt(shape, like);
    if (!parts[0] || !parts[2]) return NULL;
    lucid_tensor *padded = lucid_cat_list(parts, 3, 1);
    sum = lucid_narrow(padded, 1, 0, channels);
    for (int64_t i = 1; i < size && sum; i++)
        sum = lucid_add(sum, lucid_narrow(padded, 1, i, channels));
    return sum;
}

lucid_tensor *lucid_local_response_norm_opt(lucid_tensor *x, int64_t size,
                                            const lucid_local_response_norm_options *options)
{
    const char *op = "local_response_norm";
    LUC_CALLED_AS("local_response_norm");
    const lucid_local_response_norm_options *o =
        LUC_OPTIONS(lucid_local_response_norm, options, op);
    lucid_tensor *wide = o ? wide_input(x, op) : NULL;
    if (!wide) return NULL;
    if (wide->view.ndim < 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected [N,C,...] of 3 or more, got %s",
                              luc_shape_text(x).s);
    if (size < 1 || size > 1 << 20)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "size: expected 1 to %d, got %lld", 1 << 20,
                              (long long)size);
    if (isnan(o->alpha) || isnan(o->beta) || isnan(o->k))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "alpha, beta, k: expected numbers, got %g, %g, %g", o->alpha, o->beta,
                              o->k);
    if (wide->numel == 0) return as_input(wide, x);
    lucid_tensor *sum = channel_sums(lucid_square(wide), size);
    lucid_tensor *below = lucid_add_scalar(lucid_mul_scalar(sum, o->alpha / (double)size), o->k);
    return as_input(lucid_div(wide, lucid_pow_scalar(below, o->beta)), x);
}

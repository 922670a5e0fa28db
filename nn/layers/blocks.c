/* blocks.c: blocks of networks for images. */
#include "nn/layers/blocks.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/blocks_priv.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/curves.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/pooling.h"
#include "nn/layers/rectifiers.h"
#include "nn/module_priv.h"
#include "nn/state_dict.h"

/* ---- convolution, normalisation, activation -------------------------------------------------- */

lucid_module *luc_activation(lucid_activation activation, const char *op)
{
    switch (activation) {
    case LUCID_ACTIVATION_RELU:
        return nn_ReLU(.inplace = true);
    case LUCID_ACTIVATION_RELU6:
        return nn_ReLU6();
    case LUCID_ACTIVATION_HARDSWISH:
        return nn_Hardswish();
    case LUCID_ACTIVATION_HARDSIGMOID:
        return nn_Hardsigmoid();
    case LUCID_ACTIVATION_SILU:
        return nn_SiLU();
    case LUCID_ACTIVATION_SIGMOID:
        return nn_Sigmoid();
    case LUCID_ACTIVATION_GELU:
        return nn_GELU();
    default:
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "activation: expected one, got %d",
                              (int)activation);
    }
}

const lucid_module_class lucid_nn_conv2d_norm_activation_class = {
    .name = "Conv2dNormActivation",
    .size = sizeof(nn_Sequential),
    .super = &lucid_nn_sequential_class,
};

lucid_module *lucid_nn_conv2d_norm_activation(
    int64_t in, int64_t out, int64_t kernel, const lucid_nn_conv2d_norm_activation_options *options)
{
    static const char op[] = "Conv2dNormActivation";
    const lucid_nn_conv2d_norm_activation_options *o =
        LUC_OPTIONS(lucid_nn_conv2d_norm_activation, options, op);
    if (!o || !luc_layer_at_least(op, "kernel", kernel, 1) ||
        !luc_layer_at_least(op, "padding", o->padding, -1))
        return NULL;
    int64_t padding = o->padding;
    if (padding < 0 && __builtin_mul_overflow((kernel - 1) / 2, o->dilation, &padding))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "kernel, dilation: too large");
    lucid_module *m = lucid_module_new(&lucid_nn_conv2d_norm_activation_class);
    bool ok = lucid_sequential_append(m, nn_Conv2d(in, out, kernel, .stride = o->stride,
                                                   .padding = padding, .dilation = o->dilation,
                                                   .groups = o->groups, .bias = !o->norm));
    if (ok && o->norm)
        ok =
            lucid_sequential_append(m, nn_BatchNorm2d(out, .eps = o->eps, .momentum = o->momentum));
    if (ok && o->activation != LUCID_ACTIVATION_NONE)
        ok = lucid_sequential_append(m, luc_activation(o->activation, op));
    return luc_layer_done(m, ok);
}

/* ---- squeeze and excitation ------------------------------------------------------------------ */

static lucid_tensor *se_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_SqueezeExcitation *se = lucid_self(m, nn_SqueezeExcitation);
    lucid_tensor *scale = lucid_forward(se->fc1, lucid_forward(se->avgpool, x)); /* [N,S,1,1] */
    scale = lucid_forward(se->fc2, lucid_forward(se->activation, scale));        /* [N,C,1,1] */
    return lucid_mul(x, lucid_forward(se->scale_activation, scale));
}

const lucid_module_class lucid_nn_squeeze_excitation_class = {
    .name = "SqueezeExcitation",
    .size = sizeof(nn_SqueezeExcitation),
    .super = &lucid_module_class_base,
    .forward = se_forward,
};

lucid_module *lucid_nn_squeeze_excitation(int64_t channels, int64_t squeeze,
                                          const lucid_nn_squeeze_excitation_options *options)
{
    static const char op[] = "SqueezeExcitation";
    const lucid_nn_squeeze_excitation_options *o =
        LUC_OPTIONS(lucid_nn_squeeze_excitation, options, op);
    lucid_module *m = o ? lucid_module_new(&lucid_nn_squeeze_excitation_class) : NULL;
    nn_SqueezeExcitation *se = m ? lucid_self(m, nn_SqueezeExcitation) : NULL;
    if (!se) return NULL;
    bool ok = lucid_register_module(m, "avgpool", &se->avgpool, nn_AdaptiveAvgPool2d(1)) &&
              lucid_register_module(m, "fc1", &se->fc1, nn_Conv2d(channels, squeeze, 1)) &&
              lucid_register_module(m, "fc2", &se->fc2, nn_Conv2d(squeeze, channels, 1)) &&
              lucid_register_module(m, "activation", &se->activation,
                                    luc_activation(o->activation, op)) &&
              lucid_register_module(m, "scale_activation", &se->scale_activation,
                                    luc_activation(o->scale_activation, op));
    return luc_layer_done(m, ok);
}

/* ---- stochastic depth ------------------------------------------------------------------------ */

lucid_tensor *lucid_stochastic_depth_opt(lucid_tensor *x, double p,
                                         const lucid_stochastic_depth_options *options)
{
    static const char op[] = "stochastic_depth";
    const lucid_stochastic_depth_options *o = LUC_OPTIONS(lucid_stochastic_depth, options, op);
    if (!o || !luc_check_tensor(x, op, "x")) return NULL;
    if (!(p >= 0 && p <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "p: expected one in [0, 1], got %g", p);
    if (!o->training || p == 0) return x;
    if (lucid_ndim(x) < 1 || !lucid_dtype_is_floating(lucid_tensor_dtype(x)))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected floating [N,...], got %s %s",
                              lucid_dtype_name(lucid_tensor_dtype(x)), luc_shape_text(x).s);
    lucid_shape shape = lucid_tensor_shape(x);
    for (int d = o->batch ? 0 : 1; d < shape.ndim; d++) shape.dims[d] = 1;
    lucid_tensor *kept = lucid_bernoulli(shape, 1 - p, .dtype = lucid_tensor_dtype(x),
                                         .device = lucid_tensor_device(x));
    if (p < 1) kept = lucid_div(kept, 1 - p);
    return lucid_mul(x, kept);
}

static lucid_tensor *depth_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_StochasticDepth *d = lucid_self(m, nn_StochasticDepth);
    return lucid_stochastic_depth(x, d->p, .batch = d->batch, .training = m->training);
}

static int depth_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_StochasticDepth *d = lucid_self(m, nn_StochasticDepth);
    return luc_snprintf(text, size, "p=%g, mode=%s", d->p, d->batch ? "batch" : "row");
}

const lucid_module_class lucid_nn_stochastic_depth_class = {
    .name = "StochasticDepth",
    .size = sizeof(nn_StochasticDepth),
    .super = &lucid_module_class_base,
    .forward = depth_forward,
    .extra_repr = depth_repr,
};

lucid_module *lucid_nn_stochastic_depth(double p, const lucid_stochastic_depth_options *options)
{
    static const char op[] = "StochasticDepth";
    const lucid_stochastic_depth_options *o = LUC_OPTIONS(lucid_stochastic_depth, options, op);
    if (o && !(p >= 0 && p <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "p: expected one in [0, 1], got %g", p);
    lucid_module *m = o ? lucid_module_new(&lucid_nn_stochastic_depth_class) : NULL;
    nn_StochasticDepth *d = m ? lucid_self(m, nn_StochasticDepth) : NULL;
    if (!d) return NULL;
    d->p = p;
    d->batch = o->batch;
    return m;
}

/* ---- others ---------------------------------------------------------------------------------- */

static lucid_tensor *per_channel(lucid_tensor *t)
{
    return lucid_reshape(t, (1, -1, 1, 1));
}

/* x scale + (bias - mean scale), scale = weight / sqrt(var + eps) */
static lucid_tensor *frozen_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_FrozenBatchNorm2d *bn = lucid_self(m, nn_FrozenBatchNorm2d);
    lucid_tensor *scale = lucid_div(bn->weight, lucid_sqrt(lucid_add(bn->running_var, bn->eps)));
    lucid_tensor *shift = lucid_sub(bn->bias, lucid_mul(bn->running_mean, scale));
    return lucid_add(lucid_mul(x, per_channel(scale)), per_channel(shift));
}

static int frozen_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_FrozenBatchNorm2d *bn = lucid_self(m, nn_FrozenBatchNorm2d);
    return luc_snprintf(text, size, "%lld, eps=%g", (long long)lucid_size(bn->weight, 0), bn->eps);
}

/* Takes away what a BatchNorm2d counts. */
static bool frozen_load(lucid_module *m, lucid_state_dict *state, const char *prefix,
                        int64_t version)
{
    char name[512];
    (void)m, (void)version;
    if (snprintf(name, sizeof name, "%snum_batches_tracked", prefix) >= (int)sizeof name)
        return true;
    lucid_state_dict_remove(state, name);
    return lucid_error_code() == LUCID_OK;
}

const lucid_module_class lucid_nn_frozen_batch_norm2d_class = {
    .name = "FrozenBatchNorm2d",
    .size = sizeof(nn_FrozenBatchNorm2d),
    .super = &lucid_module_class_base,
    .forward = frozen_forward,
    .extra_repr = frozen_repr,
    .load_state_hook = frozen_load,
};

lucid_module *lucid_nn_frozen_batch_norm2d(int64_t channels,
                                           const lucid_nn_frozen_batch_norm2d_options *options)
{
    static const char op[] = "FrozenBatchNorm2d";
    LUCID_SCOPE;
    const lucid_nn_frozen_batch_norm2d_options *o =
        LUC_OPTIONS(lucid_nn_frozen_batch_norm2d, options, op);
    if (!o || !luc_layer_at_least(op, "channels", channels, 1)) return NULL;
    if (!(o->eps >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "eps: expected at least 0, got %g", o->eps);
    lucid_module *m = lucid_module_new(&lucid_nn_frozen_batch_norm2d_class);
    nn_FrozenBatchNorm2d *bn = m ? lucid_self(m, nn_FrozenBatchNorm2d) : NULL;
    if (!bn) return NULL;
    bn->eps = o->eps;
    bool ok = lucid_register_buffer(m, "weight", &bn->weight, lucid_ones(channels)) &&
              lucid_register_buffer(m, "bias", &bn->bias, lucid_zeros(channels)) &&
              lucid_register_buffer(m, "running_mean", &bn->running_mean, lucid_zeros(channels)) &&
              lucid_register_buffer(m, "running_var", &bn->running_var, lucid_ones(channels));
    return luc_layer_done(m, ok);
}

static lucid_tensor *permute_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_permute_opt(x, lucid_self(m, nn_Permute)->dims);
}

const lucid_module_class lucid_nn_permute_class = {
    .name = "Permute",
    .size = sizeof(nn_Permute),
    .super = &lucid_module_class_base,
    .forward = permute_forward,
};

lucid_module *lucid_nn_permute(lucid_shape dims)
{
    lucid_module *m = lucid_module_new(&lucid_nn_permute_class);
    nn_Permute *p = m ? lucid_self(m, nn_Permute) : NULL;
    if (p) p->dims = dims;
    return m;
}

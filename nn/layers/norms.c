/* norms.c: GroupNorm, LayerNorm, RMSNorm, InstanceNorm and LocalResponseNorm. */
#include "nn/layers/norms.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/checkpoint.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

#include <math.h>

static bool check_eps(double eps, const char *layer)
{
    return (eps >= 0 && isfinite(eps)) ||
           luc_raise(LUCID_ERR_ARGUMENT, layer, "eps: expected a number >= 0, got %g", eps);
}

/* Ones and zeros, where they exist. */
static bool reset(lucid_tensor *weight, lucid_tensor *bias)
{
    return (!weight || lucid_init_constant(weight, 1)) && (!bias || lucid_init_constant(bias, 0));
}

/* ---- GroupNorm ------------------------------------------------------------------------------- */

static lucid_tensor *group_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_GroupNorm *g = lucid_self(m, nn_GroupNorm);
    return lucid_group_norm(x, g->num_groups, .weight = g->weight, .bias = g->bias, .eps = g->eps);
}

static bool group_check(lucid_module *m, lucid_tensor *x)
{
    const nn_GroupNorm *g = lucid_self(m, nn_GroupNorm);
    if (lucid_ndim(x) >= 2 && lucid_size(x, 1) == g->num_channels) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "input: expected [N,%lld,...], got %s",
                     (long long)g->num_channels, luc_shape_text(x).s);
}

static bool group_reset(lucid_module *m)
{
    const nn_GroupNorm *g = lucid_self(m, nn_GroupNorm);
    return reset(g->weight, g->bias);
}

static int group_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_GroupNorm *g = lucid_self(m, nn_GroupNorm);
    return snprintf(text, size, "%lld, %lld, eps=%s, affine=%s", (long long)g->num_groups,
                    (long long)g->num_channels, luc_float_text(g->eps).s,
                    luc_python_bool(g->weight));
}

const lucid_module_class lucid_nn_group_norm_class = {
    .name = "GroupNorm",
    .size = sizeof(nn_GroupNorm),
    .super = &lucid_module_class_base,
    .forward = group_forward,
    .check_input = group_check,
    .reset_parameters = group_reset,
    .extra_repr = group_repr,
};

lucid_module *lucid_nn_group_norm(int64_t num_groups, int64_t num_channels,
                                  const lucid_nn_group_norm_options *options)
{
    const lucid_nn_group_norm_options *o = LUC_OPTIONS(lucid_nn_group_norm, options, "GroupNorm");
    if (!o || !check_eps(o->eps, "GroupNorm") ||
        !luc_layer_at_least("GroupNorm", "num_channels", num_channels, 0))
        return NULL;
    if (num_groups < 1 || num_channels % num_groups != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "GroupNorm",
                              "num_groups: expected a divisor of the %lld channels, got %lld",
                              (long long)num_channels, (long long)num_groups);
    lucid_module *m = lucid_module_new(&lucid_nn_group_norm_class);
    nn_GroupNorm *g = m ? lucid_self(m, nn_GroupNorm) : NULL;
    if (!g) return NULL;
    g->num_groups = num_groups;
    g->num_channels = num_channels;
    g->eps = o->eps;
    const lucid_shape shape = LUCID_SHAPE(num_channels);
    bool ok = luc_layer_parameter(m, "weight", &g->weight, o->affine, shape, o->dtype, o->device) &&
              luc_layer_parameter(m, "bias", &g->bias, o->affine, shape, o->dtype, o->device) &&
              group_reset(m);
    return luc_layer_done(m, ok);
}

/* ---- LayerNorm and RMSNorm ------------------------------------------------------------------- */

static bool check_shape(const lucid_shape *shape, const char *layer)
{
    if (shape->ndim < 1 || shape->ndim > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, layer,
                         "normalized_shape: expected at least one size, got %d", shape->ndim);
    for (int d = 0; d < shape->ndim; d++)
        if (!luc_layer_at_least(layer, "normalized_shape", shape->dims[d], 0)) return false;
    return true;
}

/* "(8, 8)", or "(8,)" for one size, as Python writes them. */
static luc_text tuple_text(const lucid_shape *shape)
{
    luc_text t = {"("};
    size_t used = 1;
    for (int d = 0; d < shape->ndim && used < sizeof t.s - 1; d++)
        used += (size_t)snprintf(t.s + used, sizeof t.s - used, "%s%lld", d ? ", " : "",
                                 (long long)shape->dims[d]);
    if (used < sizeof t.s) snprintf(t.s + used, sizeof t.s - used, shape->ndim == 1 ? ",)" : ")");
    return t;
}

static lucid_tensor *layer_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_LayerNorm *l = lucid_self(m, nn_LayerNorm);
    return lucid_layer_norm(x, l->normalized_shape, .weight = l->weight, .bias = l->bias,
                            .eps = l->eps);
}

static bool layer_reset(lucid_module *m)
{
    const nn_LayerNorm *l = lucid_self(m, nn_LayerNorm);
    return reset(l->weight, l->bias);
}

static int layer_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_LayerNorm *l = lucid_self(m, nn_LayerNorm);
    return snprintf(text, size, "%s, eps=%s, elementwise_affine=%s, bias=%s",
                    tuple_text(&l->normalized_shape).s, luc_float_text(l->eps).s,
                    luc_python_bool(l->weight), luc_python_bool(l->bias));
}

const lucid_module_class lucid_nn_layer_norm_class = {
    .name = "LayerNorm",
    .size = sizeof(nn_LayerNorm),
    .super = &lucid_module_class_base,
    .forward = layer_forward,
    .reset_parameters = layer_reset,
    .extra_repr = layer_repr,
};

lucid_module *lucid_nn_layer_norm(lucid_shape normalized_shape,
                                  const lucid_nn_layer_norm_options *options)
{
    const lucid_nn_layer_norm_options *o = LUC_OPTIONS(lucid_nn_layer_norm, options, "LayerNorm");
    if (!o || !check_eps(o->eps, "LayerNorm") || !check_shape(&normalized_shape, "LayerNorm"))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_layer_norm_class);
    nn_LayerNorm *l = m ? lucid_self(m, nn_LayerNorm) : NULL;
    if (!l) return NULL;
    l->normalized_shape = normalized_shape;
    l->eps = o->eps;
    bool has_weight = o->elementwise_affine, has_bias = has_weight && o->bias;
    bool ok =
        luc_layer_parameter(m, "weight", &l->weight, has_weight, normalized_shape, o->dtype,
                            o->device) &&
        luc_layer_parameter(m, "bias", &l->bias, has_bias, normalized_shape, o->dtype, o->device) &&
        layer_reset(m);
    return luc_layer_done(m, ok);
}

static lucid_tensor *rms_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_RMSNorm *r = lucid_self(m, nn_RMSNorm);
    return lucid_rms_norm(x, r->normalized_shape, .weight = r->weight, .eps = r->eps);
}

static bool rms_reset(lucid_module *m)
{
    return reset(lucid_self(m, nn_RMSNorm)->weight, NULL);
}

static int rms_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_RMSNorm *r = lucid_self(m, nn_RMSNorm);
    return snprintf(text, size, "%s, eps=%s, elementwise_affine=%s",
                    tuple_text(&r->normalized_shape).s,
                    r->eps == -1 ? "None" : luc_float_text(r->eps).s, luc_python_bool(r->weight));
}

const lucid_module_class lucid_nn_rms_norm_class = {
    .name = "RMSNorm",
    .size = sizeof(nn_RMSNorm),
    .super = &lucid_module_class_base,
    .forward = rms_forward,
    .reset_parameters = rms_reset,
    .extra_repr = rms_repr,
};

lucid_module *lucid_nn_rms_norm(lucid_shape normalized_shape,
                                const lucid_nn_rms_norm_options *options)
{
    const lucid_nn_rms_norm_options *o = LUC_OPTIONS(lucid_nn_rms_norm, options, "RMSNorm");
    if (!o || !(o->eps == -1 || check_eps(o->eps, "RMSNorm")) ||
        !check_shape(&normalized_shape, "RMSNorm"))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_rms_norm_class);
    nn_RMSNorm *r = m ? lucid_self(m, nn_RMSNorm) : NULL;
    if (!r) return NULL;
    r->normalized_shape = normalized_shape;
    r->eps = o->eps;
    bool ok = luc_layer_parameter(m, "weight", &r->weight, o->elementwise_affine, normalized_shape,
                                  o->dtype, o->device) &&
              rms_reset(m);
    return luc_layer_done(m, ok);
}

/* ---- InstanceNorm, on BatchNorm's base ------------------------------------------------------- */

/* As PyTorch: the module's num_batches_tracked exists, but nothing counts. An input without N gets
 * one, of which check_input has seen that it is missing. */
static lucid_tensor *instance(lucid_module *m, lucid_tensor *x, int ndim)
{
    const nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    const bool single = lucid_ndim(x) == ndim - 1, statistics = m->training || !b->running_mean;
    const bool tracks = statistics && m->training && b->running_mean && b->track_running_stats &&
                        !lucid_is_recomputing();
    const bool buffers = tracks || !statistics;
    if (single) x = lucid_unsqueeze(x, 0);
    lucid_tensor *y = lucid_instance_norm(
        x, .weight = b->weight, .bias = b->bias, .running_mean = buffers ? b->running_mean : NULL,
        .running_var = buffers ? b->running_var : NULL, .use_input_stats = statistics,
        .momentum = b->momentum, .eps = b->eps);
    return single && y ? lucid_squeeze(y, 0) : y;
}

static bool instance_check(lucid_module *m, lucid_tensor *x, int ndim, const char *expected)
{
    const nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    const int given = lucid_ndim(x);
    if ((given == ndim || given == ndim - 1) && lucid_size(x, given - ndim + 1) == b->num_features)
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "input: expected %s with %lld channels, got %s", expected,
                     (long long)b->num_features, luc_shape_text(x).s);
}

#define INSTANCE_NORM(rank, sizes)                                                               \
    static lucid_tensor *forward_##rank(lucid_module *m, lucid_tensor *x)                        \
    {                                                                                            \
        return instance(m, x, rank + 2);                                                         \
    }                                                                                            \
    static bool check_##rank(lucid_module *m, lucid_tensor *x)                                   \
    {                                                                                            \
        return instance_check(m, x, rank + 2, sizes);                                            \
    }                                                                                            \
    const lucid_module_class lucid_nn_instance_norm##rank##d_class = {                           \
        .name = "InstanceNorm" #rank "d",                                                        \
        .size = sizeof(nn_InstanceNorm##rank##d),                                                \
        .super = &lucid_nn_batch_norm_base_class,                                                \
        .forward = forward_##rank,                                                               \
        .check_input = check_##rank,                                                             \
    };                                                                                           \
    lucid_module *lucid_nn_instance_norm##rank##d(int64_t num_features,                          \
                                                  const lucid_nn_instance_norm_options *options) \
    {                                                                                            \
        return make_instance(&lucid_nn_instance_norm##rank##d_class, num_features, options);     \
    }

static lucid_module *make_instance(const lucid_module_class *cls, int64_t num_features,
                                   const lucid_nn_instance_norm_options *options)
{
    const lucid_nn_instance_norm_options *o =
        LUC_OPTIONS(lucid_nn_instance_norm, options, cls->name);
    if (!o) return NULL;
    if (!(o->momentum >= 0 && o->momentum <= 1)) /* BatchNorm's base takes LUCID_MOMENTUM_NONE */
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name, "momentum: expected [0,1], got %g",
                              o->momentum);
    return lucid_nn_batch_norm_new(cls, num_features,
                                   LUC_WITH(lucid_nn_batch_norm, .eps = o->eps,
                                            .momentum = o->momentum, .affine = o->affine,
                                            .track_running_stats = o->track_running_stats,
                                            .device = o->device, .dtype = o->dtype));
}

INSTANCE_NORM(1, "[N,C,L] or [C,L]")
INSTANCE_NORM(2, "[N,C,H,W] or [C,H,W]")
INSTANCE_NORM(3, "[N,C,D,H,W] or [C,D,H,W]")

/* ---- LocalResponseNorm ----------------------------------------------------------------------- */

static lucid_tensor *response_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_LocalResponseNorm *l = lucid_self(m, nn_LocalResponseNorm);
    return lucid_local_response_norm_opt(x, l->size, &l->options);
}

static int response_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_LocalResponseNorm *l = lucid_self(m, nn_LocalResponseNorm);
    return snprintf(text, size, "%lld, alpha=%s, beta=%s, k=%s", (long long)l->size,
                    luc_float_text(l->options.alpha).s, luc_float_text(l->options.beta).s,
                    luc_float_text(l->options.k).s);
}

const lucid_module_class lucid_nn_local_response_norm_class = {
    .name = "LocalResponseNorm",
    .size = sizeof(nn_LocalResponseNorm),
    .super = &lucid_module_class_base,
    .forward = response_forward,
    .extra_repr = response_repr,
};

lucid_module *lucid_nn_local_response_norm(int64_t size,
                                           const lucid_local_response_norm_options *options)
{
    const lucid_local_response_norm_options *o =
        LUC_OPTIONS(lucid_local_response_norm, options, "LocalResponseNorm");
    if (!o || !luc_layer_at_least("LocalResponseNorm", "size", size, 1)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_local_response_norm_class);
    nn_LocalResponseNorm *l = m ? lucid_self(m, nn_LocalResponseNorm) : NULL;
    if (!l) return NULL;
    l->size = size;
    l->options = *o;
    return m;
}

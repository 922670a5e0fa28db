/* layer.c: what the layers share. */
#include "autograd/ops/convolution.h"
#include "nn/layers/layer_priv.h"

#include <math.h>

bool luc_layer_parameter(lucid_module *m, const char *name, lucid_tensor **field, bool wanted,
                         lucid_shape shape, lucid_dtype dtype, lucid_device device)
{
    LUCID_SCOPE;
    lucid_tensor_options options = {LUCID_TENSOR_DEFAULTS};
    options.dtype = dtype;
    options.device = device;
    lucid_tensor *value = wanted ? lucid_zeros_opt(shape, &options) : NULL;
    if (wanted && !value) return false;
    return lucid_register_parameter(m, name, field, value);
}

bool luc_layer_at_least(const char *layer, const char *argument, int64_t value, int64_t least)
{
    return value >= least ||
           luc_raise(LUCID_ERR_ARGUMENT, layer, "%s: expected at least %lld, got %lld", argument,
                     (long long)least, (long long)value);
}

bool luc_layer_reset(lucid_tensor *weight, lucid_tensor *bias)
{
    const lucid_kaiming_options options = {.a = sqrt(5), .nonlinearity = LUCID_LEAKY_RELU};
    int64_t in, out;
    if (!lucid_init_fans(weight, &in, &out)) return false;
    if (!lucid_init_kaiming_uniform_opt(weight, &options)) return false;
    double bound = in > 0 ? 1 / sqrt((double)in) : 0;
    return !bias || lucid_init_uniform(bias, -bound, bound);
}

luc_text luc_pair_text(int64_t h, int64_t w)
{
    luc_text t;
    snprintf(t.s, sizeof t.s, "(%lld, %lld)", (long long)h, (long long)w);
    return t;
}

luc_text luc_size_text(int64_t h, int64_t w_option)
{
    luc_text t;
    if (w_option != LUCID_SAME) return luc_pair_text(h, w_option);
    snprintf(t.s, sizeof t.s, "%lld", (long long)h);
    return t;
}

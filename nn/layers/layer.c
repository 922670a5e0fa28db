/* layer.c: what the layers share. */
#include "nn/layers/layer_priv.h"
#include "lucid/core/error_priv.h"

#include <math.h>

bool luc_layer_parameter(lucid_module *m, const char *name, lucid_tensor **field, bool wanted,
                         lucid_shape shape, lucid_dtype dtype, lucid_device device)
{
    LUCID_SCOPE;
    lucid_tensor_options options = lucid_tensor_defaults;
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
    lucid_kaiming_options options = lucid_kaiming_defaults;
    options.a = sqrt(5);
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

luc_text luc_extent_text(lucid_extent extent)
{
    int64_t pair[2];
    luc_text t;
    lucid_extent_get(extent, pair);
    if (pair[0] != extent || pair[1] != extent) return luc_pair_text(pair[0], pair[1]);
    snprintf(t.s, sizeof t.s, "%lld", (long long)extent);
    return t;
}

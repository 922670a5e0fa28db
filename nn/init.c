/* init.c: initial values of parameters. */
#include "nn/init.h"
#include "autograd/autograd.h"
#include "autograd/ops/elementwise.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

#include <math.h>

lucid_tensor *lucid_init_uniform(lucid_tensor *t, double low, double high)
{
    LUCID_NO_GRAD;
    return luc_check_tensor(t, "init_uniform", "tensor") ? lucid_uniform_(t, low, high) : NULL;
}

lucid_tensor *lucid_init_normal(lucid_tensor *t, double mean, double std)
{
    LUCID_NO_GRAD;
    return luc_check_tensor(t, "init_normal", "tensor") ? lucid_normal_(t, mean, std) : NULL;
}

lucid_tensor *lucid_init_constant(lucid_tensor *t, double value)
{
    LUCID_NO_GRAD;
    return luc_check_tensor(t, "init_constant", "tensor") ? lucid_fill_(t, value) : NULL;
}

double lucid_init_gain(lucid_nonlinearity nonlinearity, double a)
{
    switch (nonlinearity) {
    case LUCID_TANH:
        return 5.0 / 3;
    case LUCID_SELU:
        return 3.0 / 4;
    case LUCID_RELU:
        return sqrt(2);
    case LUCID_LEAKY_RELU:
        return sqrt(2 / (1 + a * a));
    default:
        return 1;
    }
}

static bool fans(const lucid_tensor *weight, const char *op, int64_t *in, int64_t *out)
{
    if (!luc_check_tensor(weight, op, "weight")) return false;
    lucid_shape s = lucid_tensor_shape(weight);
    if (s.ndim < 2)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "weight: expected at least 2 dimensions, got %s",
                         luc_shape_text(weight).s);
    int64_t window = 1;
    for (int d = 2; d < s.ndim; d++) window *= s.dims[d];
    *in = s.dims[1] * window;
    *out = s.dims[0] * window;
    return true;
}

bool lucid_init_fans(const lucid_tensor *weight, int64_t *fan_in, int64_t *fan_out)
{
    if (!fan_in || !fan_out)
        return luc_raise(LUCID_ERR_ARGUMENT, "init_fans", "%s: expected a place for it, got NULL",
                         fan_in ? "fan_out" : "fan_in");
    return fans(weight, "init_fans", fan_in, fan_out);
}

/* The standard deviation by Kaiming's rule; negative after an error. */
static double kaiming_std(const lucid_tensor *weight, const lucid_kaiming_options *options,
                          const char *op)
{
    int64_t in, out;
    const lucid_kaiming_options *o = LUC_OPTIONS(lucid_kaiming, options, op);
    if (!o || !fans(weight, op, &in, &out)) return -1;
    int64_t fan = o->fan_out ? out : in;
    return fan > 0 ? lucid_init_gain(o->nonlinearity, o->a) / sqrt((double)fan) : 0;
}

static lucid_tensor *uniform_with(lucid_tensor *t, double std)
{
    double bound = sqrt(3) * std;
    return std < 0 ? NULL : lucid_init_uniform(t, -bound, bound);
}

lucid_tensor *lucid_init_kaiming_uniform_opt(lucid_tensor *weight, const lucid_kaiming_options *o)
{
    return uniform_with(weight, kaiming_std(weight, o, "init_kaiming_uniform"));
}

lucid_tensor *lucid_init_kaiming_normal_opt(lucid_tensor *weight, const lucid_kaiming_options *o)
{
    double std = kaiming_std(weight, o, "init_kaiming_normal");
    return std < 0 ? NULL : lucid_init_normal(weight, 0, std);
}

static double xavier_std(const lucid_tensor *weight, double gain, const char *op)
{
    int64_t in, out;
    if (!fans(weight, op, &in, &out)) return -1;
    return in + out > 0 ? gain * sqrt(2.0 / (double)(in + out)) : 0;
}

lucid_tensor *lucid_init_xavier_uniform(lucid_tensor *weight, double gain)
{
    return uniform_with(weight, xavier_std(weight, gain, "init_xavier_uniform"));
}

lucid_tensor *lucid_init_xavier_normal(lucid_tensor *weight, double gain)
{
    double std = xavier_std(weight, gain, "init_xavier_normal");
    return std < 0 ? NULL : lucid_init_normal(weight, 0, std);
}

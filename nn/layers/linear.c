/* linear.c: the fully connected layer. */
#include "nn/layers/linear.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    nn_Linear *l = lucid_self(m, nn_Linear);
    return lucid_linear(x, l->weight, l->bias);
}

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    nn_Linear *l = lucid_self(m, nn_Linear);
    int ndim = lucid_ndim(x);
    if (ndim > 0 && lucid_size(x, -1) == l->in_features) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "input: expected [...,%lld], got %s",
                     (long long)l->in_features, luc_shape_text(x).s);
}

static bool reset_parameters(lucid_module *m)
{
    nn_Linear *l = lucid_self(m, nn_Linear);
    return luc_layer_reset(l->weight, l->bias);
}

static int extra_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Linear *l = lucid_self(m, nn_Linear);
    return snprintf(text, size, "in_features=%lld, out_features=%lld, bias=%s",
                    (long long)l->in_features, (long long)l->out_features,
                    luc_python_bool(l->bias));
}

const lucid_module_class lucid_nn_linear_class = {
    .name = "Linear",
    .size = sizeof(nn_Linear),
    .super = &lucid_module_class_base,
    .forward = forward,
    .check_input = check_input,
    .reset_parameters = reset_parameters,
    .extra_repr = extra_repr,
};

lucid_module *lucid_nn_linear(int64_t in_features, int64_t out_features,
                              const lucid_nn_linear_options *options)
{
    const lucid_nn_linear_options *o = LUC_OPTIONS(lucid_nn_linear, options, "Linear");
    if (!o) return NULL;
    if (!luc_layer_at_least("Linear", "in_features", in_features, 0) ||
        !luc_layer_at_least("Linear", "out_features", out_features, 0))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_linear_class);
    nn_Linear *l = m ? lucid_self(m, nn_Linear) : NULL;
    if (!l) return NULL;
    l->in_features = in_features;
    l->out_features = out_features;
    bool ok = luc_layer_parameter(m, "weight", &l->weight, true,
                                  LUCID_SHAPE(out_features, in_features), o->dtype, o->device) &&
              luc_layer_parameter(m, "bias", &l->bias, o->bias, LUCID_SHAPE(out_features), o->dtype,
                                  o->device) &&
              reset_parameters(m);
    return luc_layer_done(m, ok);
}

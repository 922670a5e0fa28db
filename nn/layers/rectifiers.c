/* rectifiers.c: ReLU6, SELU, CELU, PReLU, RReLU and Threshold as layers. */
#include "nn/layers/rectifiers.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

/* ---- ReLU6, SELU ----------------------------------------------------------------------------- */

static lucid_tensor *relu6_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_relu6(x);
}

const lucid_module_class lucid_nn_relu6_class = {
    .name = "ReLU6",
    .size = sizeof(nn_ReLU6),
    .super = &lucid_module_class_base,
    .forward = relu6_forward,
};

lucid_module *lucid_nn_relu6(void)
{
    return lucid_module_new(&lucid_nn_relu6_class);
}

static lucid_tensor *selu_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_selu(x);
}

const lucid_module_class lucid_nn_selu_class = {
    .name = "SELU",
    .size = sizeof(nn_SELU),
    .super = &lucid_module_class_base,
    .forward = selu_forward,
};

lucid_module *lucid_nn_selu(void)
{
    return lucid_module_new(&lucid_nn_selu_class);
}

/* ---- CELU ------------------------------------------------------------------------------------ */

static lucid_tensor *celu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_celu(x, .alpha = lucid_self(m, nn_CELU)->alpha);
}

static int celu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "alpha=%s", luc_float_text(lucid_self(m, nn_CELU)->alpha).s);
}

const lucid_module_class lucid_nn_celu_class = {
    .name = "CELU",
    .size = sizeof(nn_CELU),
    .super = &lucid_module_class_base,
    .forward = celu_forward,
    .extra_repr = celu_repr,
};

lucid_module *lucid_nn_celu(const lucid_celu_options *options)
{
    const lucid_celu_options *o = LUC_OPTIONS(lucid_celu, options, "CELU");
    if (!o) return NULL;
    if (o->alpha == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "CELU", "alpha: expected a number other than 0");
    lucid_module *m = lucid_module_new(&lucid_nn_celu_class);
    nn_CELU *a = m ? lucid_self(m, nn_CELU) : NULL;
    if (a) a->alpha = o->alpha;
    return m;
}

/* ---- PReLU ----------------------------------------------------------------------------------- */

static lucid_tensor *prelu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_prelu(x, lucid_self(m, nn_PReLU)->weight);
}

static int prelu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "num_parameters=%lld",
                    (long long)lucid_self(m, nn_PReLU)->num_parameters);
}

static bool prelu_reset(lucid_module *m)
{
    nn_PReLU *a = lucid_self(m, nn_PReLU);
    LUCID_NO_GRAD;
    return lucid_fill_(a->weight, a->init) != NULL;
}

const lucid_module_class lucid_nn_prelu_class = {
    .name = "PReLU",
    .size = sizeof(nn_PReLU),
    .super = &lucid_module_class_base,
    .forward = prelu_forward,
    .reset_parameters = prelu_reset,
    .extra_repr = prelu_repr,
};

lucid_module *lucid_nn_prelu(const lucid_nn_prelu_options *options)
{
    const lucid_nn_prelu_options *o = LUC_OPTIONS(lucid_nn_prelu, options, "PReLU");
    if (!o || !luc_layer_at_least("PReLU", "num_parameters", o->num_parameters, 1)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_prelu_class);
    nn_PReLU *a = m ? lucid_self(m, nn_PReLU) : NULL;
    if (!a) return NULL;
    a->num_parameters = o->num_parameters;
    a->init = o->init;
    bool ok = luc_layer_parameter(m, "weight", &a->weight, true, LUCID_SHAPE(o->num_parameters),
                                  o->dtype, o->device) &&
              prelu_reset(m);
    return luc_layer_done(m, ok);
}

/* ---- RReLU ----------------------------------------------------------------------------------- */

static lucid_tensor *rrelu_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_RReLU *a = lucid_self(m, nn_RReLU);
    return lucid_rrelu(x, .lower = a->lower, .upper = a->upper, .training = m->training);
}

static int rrelu_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_RReLU *a = lucid_self(m, nn_RReLU);
    return snprintf(text, size, "lower=%s, upper=%s", luc_float_text(a->lower).s,
                    luc_float_text(a->upper).s);
}

const lucid_module_class lucid_nn_rrelu_class = {
    .name = "RReLU",
    .size = sizeof(nn_RReLU),
    .super = &lucid_module_class_base,
    .forward = rrelu_forward,
    .extra_repr = rrelu_repr,
};

lucid_module *lucid_nn_rrelu(const lucid_rrelu_options *options)
{
    const lucid_rrelu_options *o = LUC_OPTIONS(lucid_rrelu, options, "RReLU");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_rrelu_class);
    nn_RReLU *a = m ? lucid_self(m, nn_RReLU) : NULL;
    if (a) a->lower = o->lower;
    if (a) a->upper = o->upper;
    return m;
}

/* ---- Threshold ------------------------------------------------------------------------------- */

static lucid_tensor *threshold_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Threshold *a = lucid_self(m, nn_Threshold);
    return lucid_threshold(x, a->threshold, a->value);
}

static int threshold_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Threshold *a = lucid_self(m, nn_Threshold);
    return snprintf(text, size, "threshold=%s, value=%s", luc_float_text(a->threshold).s,
                    luc_float_text(a->value).s);
}

const lucid_module_class lucid_nn_threshold_class = {
    .name = "Threshold",
    .size = sizeof(nn_Threshold),
    .super = &lucid_module_class_base,
    .forward = threshold_forward,
    .extra_repr = threshold_repr,
};

lucid_module *lucid_nn_threshold(double threshold, double value)
{
    lucid_module *m = lucid_module_new(&lucid_nn_threshold_class);
    nn_Threshold *a = m ? lucid_self(m, nn_Threshold) : NULL;
    if (a) a->threshold = threshold;
    if (a) a->value = value;
    return m;
}

/* activation.c: activations as layers. */
#include "nn/layers/activation.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

/* ---- ReLU ------------------------------------------------------------------------------------ */

static lucid_tensor *relu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_self(m, nn_ReLU)->inplace ? lucid_relu_(x) : lucid_relu(x);
}

static int relu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "%s", lucid_self(m, nn_ReLU)->inplace ? "inplace=True" : "");
}

const lucid_module_class lucid_nn_relu_class = {
    .name = "ReLU",
    .size = sizeof(nn_ReLU),
    .super = &lucid_module_class_base,
    .forward = relu_forward,
    .extra_repr = relu_repr,
};

lucid_module *lucid_nn_relu(const lucid_nn_relu_options *options)
{
    const lucid_nn_relu_options *o = LUC_OPTIONS(lucid_nn_relu, options, "ReLU");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_relu_class);
    nn_ReLU *a = m ? lucid_self(m, nn_ReLU) : NULL;
    if (a) a->inplace = o->inplace;
    return m;
}

/* ---- Sigmoid, Tanh, SiLU --------------------------------------------------------------------- */

static lucid_tensor *sigmoid_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_sigmoid(x);
}

const lucid_module_class lucid_nn_sigmoid_class = {
    .name = "Sigmoid",
    .size = sizeof(nn_Sigmoid),
    .super = &lucid_module_class_base,
    .forward = sigmoid_forward,
};

lucid_module *lucid_nn_sigmoid(void)
{
    return lucid_module_new(&lucid_nn_sigmoid_class);
}

static lucid_tensor *tanh_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_tanh(x);
}

const lucid_module_class lucid_nn_tanh_class = {
    .name = "Tanh",
    .size = sizeof(nn_Tanh),
    .super = &lucid_module_class_base,
    .forward = tanh_forward,
};

lucid_module *lucid_nn_tanh(void)
{
    return lucid_module_new(&lucid_nn_tanh_class);
}

static lucid_tensor *silu_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_silu(x);
}

const lucid_module_class lucid_nn_silu_class = {
    .name = "SiLU",
    .size = sizeof(nn_SiLU),
    .super = &lucid_module_class_base,
    .forward = silu_forward,
};

lucid_module *lucid_nn_silu(void)
{
    return lucid_module_new(&lucid_nn_silu_class);
}

/* ---- Softplus -------------------------------------------------------------------------------- */

static lucid_tensor *softplus_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Softplus *a = lucid_self(m, nn_Softplus);
    return lucid_softplus(x, .beta = a->beta, .threshold = a->threshold);
}

static int softplus_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Softplus *a = lucid_self(m, nn_Softplus);
    return snprintf(text, size, "beta=%s, threshold=%s", luc_float_text(a->beta).s,
                    luc_float_text(a->threshold).s);
}

const lucid_module_class lucid_nn_softplus_class = {
    .name = "Softplus",
    .size = sizeof(nn_Softplus),
    .super = &lucid_module_class_base,
    .forward = softplus_forward,
    .extra_repr = softplus_repr,
};

lucid_module *lucid_nn_softplus(const lucid_nn_softplus_options *options)
{
    const lucid_nn_softplus_options *o = LUC_OPTIONS(lucid_nn_softplus, options, "Softplus");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_softplus_class);
    nn_Softplus *a = m ? lucid_self(m, nn_Softplus) : NULL;
    if (a) a->beta = o->beta;
    if (a) a->threshold = o->threshold;
    return m;
}

/* ---- GELU ------------------------------------------------------------------------------------ */

static lucid_tensor *gelu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_gelu(x, lucid_self(m, nn_GELU)->tanh_approximation);
}

static int gelu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "approximate='%s'",
                    lucid_self(m, nn_GELU)->tanh_approximation ? "tanh" : "none");
}

const lucid_module_class lucid_nn_gelu_class = {
    .name = "GELU",
    .size = sizeof(nn_GELU),
    .super = &lucid_module_class_base,
    .forward = gelu_forward,
    .extra_repr = gelu_repr,
};

lucid_module *lucid_nn_gelu(const lucid_nn_gelu_options *options)
{
    const lucid_nn_gelu_options *o = LUC_OPTIONS(lucid_nn_gelu, options, "GELU");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_gelu_class);
    nn_GELU *a = m ? lucid_self(m, nn_GELU) : NULL;
    if (a) a->tanh_approximation = o->tanh_approximation;
    return m;
}

/* ---- LeakyReLU, ELU -------------------------------------------------------------------------- */

static lucid_tensor *leaky_relu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_leaky_relu(x, .negative_slope = lucid_self(m, nn_LeakyReLU)->negative_slope);
}

static int leaky_relu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "negative_slope=%s",
                    luc_float_text(lucid_self(m, nn_LeakyReLU)->negative_slope).s);
}

const lucid_module_class lucid_nn_leaky_relu_class = {
    .name = "LeakyReLU",
    .size = sizeof(nn_LeakyReLU),
    .super = &lucid_module_class_base,
    .forward = leaky_relu_forward,
    .extra_repr = leaky_relu_repr,
};

lucid_module *lucid_nn_leaky_relu(const lucid_nn_leaky_relu_options *options)
{
    const lucid_nn_leaky_relu_options *o = LUC_OPTIONS(lucid_nn_leaky_relu, options, "LeakyReLU");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_leaky_relu_class);
    nn_LeakyReLU *a = m ? lucid_self(m, nn_LeakyReLU) : NULL;
    if (a) a->negative_slope = o->negative_slope;
    return m;
}

static lucid_tensor *elu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_elu(x, .alpha = lucid_self(m, nn_ELU)->alpha);
}

static int elu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "alpha=%s", luc_float_text(lucid_self(m, nn_ELU)->alpha).s);
}

const lucid_module_class lucid_nn_elu_class = {
    .name = "ELU",
    .size = sizeof(nn_ELU),
    .super = &lucid_module_class_base,
    .forward = elu_forward,
    .extra_repr = elu_repr,
};

lucid_module *lucid_nn_elu(const lucid_nn_elu_options *options)
{
    const lucid_nn_elu_options *o = LUC_OPTIONS(lucid_nn_elu, options, "ELU");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_elu_class);
    nn_ELU *a = m ? lucid_self(m, nn_ELU) : NULL;
    if (a) a->alpha = o->alpha;
    return m;
}

/* ---- Softmax, LogSoftmax --------------------------------------------------------------------- */

static lucid_tensor *softmax_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_softmax(x, lucid_self(m, nn_Softmax)->dim);
}

static int softmax_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "dim=%d", lucid_self(m, nn_Softmax)->dim);
}

const lucid_module_class lucid_nn_softmax_class = {
    .name = "Softmax",
    .size = sizeof(nn_Softmax),
    .super = &lucid_module_class_base,
    .forward = softmax_forward,
    .extra_repr = softmax_repr,
};

lucid_module *lucid_nn_softmax(int dim)
{
    lucid_module *m = lucid_module_new(&lucid_nn_softmax_class);
    nn_Softmax *a = m ? lucid_self(m, nn_Softmax) : NULL;
    if (a) a->dim = dim;
    return m;
}

static lucid_tensor *log_softmax_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_log_softmax(x, lucid_self(m, nn_LogSoftmax)->dim);
}

static int log_softmax_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "dim=%d", lucid_self(m, nn_LogSoftmax)->dim);
}

const lucid_module_class lucid_nn_log_softmax_class = {
    .name = "LogSoftmax",
    .size = sizeof(nn_LogSoftmax),
    .super = &lucid_module_class_base,
    .forward = log_softmax_forward,
    .extra_repr = log_softmax_repr,
};

lucid_module *lucid_nn_log_softmax(int dim)
{
    lucid_module *m = lucid_module_new(&lucid_nn_log_softmax_class);
    nn_LogSoftmax *a = m ? lucid_self(m, nn_LogSoftmax) : NULL;
    if (a) a->dim = dim;
    return m;
}

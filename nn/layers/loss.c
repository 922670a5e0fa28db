/* loss.c: losses as modules of two inputs. */
#include "nn/layers/loss.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"

/* ---- checks ---------------------------------------------------------------------------------- */

static bool check_reduction(const char *loss, int reduction)
{
    return (reduction >= LUCID_REDUCTION_NONE && reduction <= LUCID_REDUCTION_SUM) ||
           luc_raise(LUCID_ERR_ARGUMENT, loss, "reduction: expected none, mean or sum, got %d",
                     reduction);
}

static bool check_weight(const char *loss, const lucid_tensor *weight)
{
    if (!weight) return true;
    if (lucid_ndim(weight) == 1 && lucid_dtype_is_floating(lucid_tensor_dtype(weight))) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, loss, "weight: expected a floating [C], got %s %s",
                     luc_shape_text(weight).s, lucid_dtype_name(lucid_tensor_dtype(weight)));
}

/* ---- cross-entropy --------------------------------------------------------------------------- */

static bool cross_entropy_forward(lucid_module *m, lucid_tensor *const *in, int n_in,
                                  lucid_tensor **out, int n_out)
{
    (void)n_in, (void)n_out;
    const nn_CrossEntropyLoss *l = lucid_self(m, nn_CrossEntropyLoss);
    out[0] =
        lucid_cross_entropy(in[0], in[1], .weight = l->weight, .reduction = l->reduction,
                            .ignore_index = l->ignore_index, .label_smoothing = l->label_smoothing);
    return out[0] != NULL;
}

const lucid_module_class lucid_nn_cross_entropy_loss_class = {
    .name = "CrossEntropyLoss",
    .size = sizeof(nn_CrossEntropyLoss),
    .super = &lucid_module_class_base,
    .forward_many = cross_entropy_forward,
    .inputs = "logits, target",
    .outputs = "loss",
};

lucid_module *lucid_nn_cross_entropy_loss(const lucid_nn_cross_entropy_loss_options *options)
{
    const lucid_nn_cross_entropy_loss_options *o =
        LUC_OPTIONS(lucid_nn_cross_entropy_loss, options, "CrossEntropyLoss");
    if (!o || !check_reduction("CrossEntropyLoss", o->reduction) ||
        !check_weight("CrossEntropyLoss", o->weight))
        return NULL;
    if (!(o->label_smoothing >= 0 && o->label_smoothing <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "CrossEntropyLoss",
                              "label_smoothing: expected [0,1], got %g", o->label_smoothing);
    lucid_module *m = lucid_module_new(&lucid_nn_cross_entropy_loss_class);
    nn_CrossEntropyLoss *l = m ? lucid_self(m, nn_CrossEntropyLoss) : NULL;
    if (!l) return NULL;
    l->reduction = o->reduction;
    l->ignore_index = o->ignore_index;
    l->label_smoothing = o->label_smoothing;
    return luc_layer_done(m, lucid_register_buffer(m, "weight", &l->weight, o->weight));
}

/* ---- the negative logarithm of a likelihood -------------------------------------------------- */

static bool nll_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                        int n_out)
{
    (void)n_in, (void)n_out;
    const nn_NLLLoss *l = lucid_self(m, nn_NLLLoss);
    out[0] = lucid_nll_loss(in[0], in[1], .weight = l->weight, .reduction = l->reduction,
                            .ignore_index = l->ignore_index);
    return out[0] != NULL;
}

const lucid_module_class lucid_nn_nll_loss_class = {
    .name = "NLLLoss",
    .size = sizeof(nn_NLLLoss),
    .super = &lucid_module_class_base,
    .forward_many = nll_forward,
    .inputs = "log_probs, target",
    .outputs = "loss",
};

lucid_module *lucid_nn_nll_loss(const lucid_nn_nll_loss_options *options)
{
    const lucid_nn_nll_loss_options *o = LUC_OPTIONS(lucid_nn_nll_loss, options, "NLLLoss");
    if (!o || !check_reduction("NLLLoss", o->reduction) || !check_weight("NLLLoss", o->weight))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_nll_loss_class);
    nn_NLLLoss *l = m ? lucid_self(m, nn_NLLLoss) : NULL;
    if (!l) return NULL;
    l->reduction = o->reduction;
    l->ignore_index = o->ignore_index;
    return luc_layer_done(m, lucid_register_buffer(m, "weight", &l->weight, o->weight));
}

/* ---- the squared error ----------------------------------------------------------------------- */

static bool mse_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                        int n_out)
{
    (void)n_in, (void)n_out;
    const nn_MSELoss *l = lucid_self(m, nn_MSELoss);
    out[0] = lucid_mse_loss(in[0], in[1], .reduction = l->reduction);
    return out[0] != NULL;
}

const lucid_module_class lucid_nn_mse_loss_class = {
    .name = "MSELoss",
    .size = sizeof(nn_MSELoss),
    .super = &lucid_module_class_base,
    .forward_many = mse_forward,
    .inputs = "input, target",
    .outputs = "loss",
};

lucid_module *lucid_nn_mse_loss(const lucid_nn_mse_loss_options *options)
{
    const lucid_nn_mse_loss_options *o = LUC_OPTIONS(lucid_nn_mse_loss, options, "MSELoss");
    if (!o || !check_reduction("MSELoss", o->reduction)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_mse_loss_class);
    nn_MSELoss *l = m ? lucid_self(m, nn_MSELoss) : NULL;
    if (!l) return NULL;
    l->reduction = o->reduction;
    return m;
}

/* loss_priv.h: the part of a loss's module that all losses have. */
#ifndef LUCID_NN_LAYERS_LOSS_PRIV_H
#define LUCID_NN_LAYERS_LOSS_PRIV_H

#include "lucid/core/options_priv.h"
#include "nn/layers/layer_priv.h"

/* Defines lucid_nn_LOSS_class, whose forward calls lucid_LOSS_opt with the arguments (a list in
 * parentheses) and the module's options; and make_LOSS, which checks and keeps the options. */
#define LUC_LOSS_MODULE(Type, loss, names, result, arguments)                        \
    static bool loss##_forward(lucid_module *m, lucid_tensor *const *in, int n_in,   \
                               lucid_tensor **out, int n_out)                        \
    {                                                                                \
        (void)n_in, (void)n_out;                                                     \
        const nn_##Type *l = lucid_self(m, nn_##Type);                               \
        out[0] = lucid_##loss##_opt(LUC_UNWRAP arguments, &l->options);              \
        return out[0] != NULL;                                                       \
    }                                                                                \
    const lucid_module_class lucid_nn_##loss##_class = {                             \
        .name = #Type,                                                               \
        .size = sizeof(nn_##Type),                                                   \
        .super = &lucid_module_class_base,                                           \
        .forward_many = loss##_forward,                                              \
        .inputs = names,                                                             \
        .outputs = result,                                                           \
    };                                                                               \
    static lucid_module *make_##loss(const lucid_##loss##_options *options)          \
    {                                                                                \
        const lucid_##loss##_options *o = LUC_OPTIONS(lucid_##loss, options, #Type); \
        if (!o || !luc_##loss##_valid(o, #Type)) return NULL;                        \
        lucid_module *m = lucid_module_new(&lucid_nn_##loss##_class);                \
        nn_##Type *l = m ? lucid_self(m, nn_##Type) : NULL;                          \
        if (l) l->options = *o;                                                      \
        return m;                                                                    \
    }

#endif

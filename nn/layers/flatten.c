/* flatten.c: joining dimensions. */
#include "nn/layers/flatten.h"
#include "nn/layers/layer_priv.h"
#include "lucid/core/options_priv.h"

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Flatten *f = lucid_self(m, nn_Flatten);
    return lucid_flatten(x, f->start_dim, f->end_dim);
}

static int extra_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Flatten *f = lucid_self(m, nn_Flatten);
    return snprintf(text, size, "start_dim=%d, end_dim=%d", f->start_dim, f->end_dim);
}

const lucid_module_class lucid_nn_flatten_class = {
    .name = "Flatten",
    .size = sizeof(nn_Flatten),
    .super = &lucid_module_class_base,
    .forward = forward,
    .extra_repr = extra_repr,
};

lucid_module *lucid_nn_flatten(const lucid_nn_flatten_options *options)
{
    const lucid_nn_flatten_options *o = LUC_OPTIONS(lucid_nn_flatten, options, "Flatten");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_flatten_class);
    nn_Flatten *f = m ? lucid_self(m, nn_Flatten) : NULL;
    if (!f) return NULL;
    f->start_dim = o->start_dim;
    f->end_dim = o->end_dim;
    return m;
}

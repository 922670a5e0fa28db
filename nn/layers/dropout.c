/* dropout.c: dropout. */
#include "nn/layers/dropout.h"
#include "lucid/options_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Dropout *d = lucid_self(m, nn_Dropout);
    return lucid_dropout(x, d->p, m->training);
}

static int extra_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Dropout *d = lucid_self(m, nn_Dropout);
    return snprintf(text, size, "p=%s, inplace=False", luc_float_text(d->p).s);
}

const lucid_module_class lucid_nn_dropout_class = {
    .name = "Dropout",
    .size = sizeof(nn_Dropout),
    .super = &lucid_module_class_base,
    .forward = forward,
    .extra_repr = extra_repr,
};

lucid_module *lucid_nn_dropout(const lucid_nn_dropout_options *options)
{
    const lucid_nn_dropout_options *o = LUC_OPTIONS(lucid_nn_dropout, options, "Dropout");
    if (!o) return NULL;
    if (!(o->p >= 0 && o->p <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "Dropout", "p: expected [0, 1], got %g", o->p);
    lucid_module *m = lucid_module_new(&lucid_nn_dropout_class);
    nn_Dropout *d = m ? lucid_self(m, nn_Dropout) : NULL;
    if (!d) return NULL;
    d->p = o->p;
    return m;
}

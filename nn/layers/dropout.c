/* dropout.c: dropout of elements, of whole channels, and the form that keeps the variance. */
#include "nn/layers/dropout.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
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

/* ---- whole channels -------------------------------------------------------------------------- */

static lucid_tensor *channels_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Dropout *d = lucid_self(m, nn_Dropout);
    return lucid_feature_dropout(x, d->p, m->training);
}

/* For classes whose input may lack N. */
static lucid_tensor *lines_forward(lucid_module *m, lucid_tensor *x)
{
    const bool single = lucid_ndim(x) % 2 == 0; /* [C,L] and [C,D,H,W] have 2 and 4 dimensions */
    lucid_tensor *y = channels_forward(m, single ? lucid_unsqueeze(x, 0) : x);
    return single && y ? lucid_squeeze(y, 0) : y;
}

static bool check_rank(lucid_module *m, lucid_tensor *x, int low, int high, const char *expected)
{
    const int ndim = lucid_ndim(x);
    return (ndim >= low && ndim <= high) ||
           luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "input: expected %s, got %s", expected,
                     luc_shape_text(x).s);
}

static bool check_1d(lucid_module *m, lucid_tensor *x)
{
    return check_rank(m, x, 2, 3, "[N,C,L] or [C,L]");
}

static bool check_2d(lucid_module *m, lucid_tensor *x)
{
    return check_rank(m, x, 4, 4, "[N,C,H,W]");
}

static bool check_3d(lucid_module *m, lucid_tensor *x)
{
    return check_rank(m, x, 4, 5, "[N,C,D,H,W] or [C,D,H,W]");
}

const lucid_module_class lucid_nn_dropout1d_class = {
    .name = "Dropout1d",
    .size = sizeof(nn_Dropout1d),
    .super = &lucid_nn_dropout_class,
    .forward = lines_forward,
    .check_input = check_1d,
};

const lucid_module_class lucid_nn_dropout2d_class = {
    .name = "Dropout2d",
    .size = sizeof(nn_Dropout2d),
    .super = &lucid_nn_dropout_class,
    .forward = channels_forward,
    .check_input = check_2d,
};

const lucid_module_class lucid_nn_dropout3d_class = {
    .name = "Dropout3d",
    .size = sizeof(nn_Dropout3d),
    .super = &lucid_nn_dropout_class,
    .forward = lines_forward,
    .check_input = check_3d,
};

static lucid_tensor *alpha_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Dropout *d = lucid_self(m, nn_Dropout);
    return lucid_alpha_dropout(x, d->p, m->training);
}

const lucid_module_class lucid_nn_alpha_dropout_class = {
    .name = "AlphaDropout",
    .size = sizeof(nn_AlphaDropout),
    .super = &lucid_nn_dropout_class,
    .forward = alpha_forward,
};

/* ---- making one ------------------------------------------------------------------------------ */

static lucid_module *make(const lucid_module_class *cls, const lucid_nn_dropout_options *options)
{
    const lucid_nn_dropout_options *o = LUC_OPTIONS(lucid_nn_dropout, options, cls->name);
    if (!o) return NULL;
    if (!(o->p >= 0 && o->p <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name, "p: expected [0, 1], got %g", o->p);
    lucid_module *m = lucid_module_new(cls);
    nn_Dropout *d = m ? lucid_self(m, nn_Dropout) : NULL;
    if (!d) return NULL;
    d->p = o->p;
    return m;
}

lucid_module *lucid_nn_dropout(const lucid_nn_dropout_options *options)
{
    return make(&lucid_nn_dropout_class, options);
}

lucid_module *lucid_nn_dropout1d(const lucid_nn_dropout_options *options)
{
    return make(&lucid_nn_dropout1d_class, options);
}

lucid_module *lucid_nn_dropout2d(const lucid_nn_dropout_options *options)
{
    return make(&lucid_nn_dropout2d_class, options);
}

lucid_module *lucid_nn_dropout3d(const lucid_nn_dropout_options *options)
{
    return make(&lucid_nn_dropout3d_class, options);
}

lucid_module *lucid_nn_alpha_dropout(const lucid_nn_dropout_options *options)
{
    return make(&lucid_nn_alpha_dropout_class, options);
}

/* curves.c: Hardtanh, Hardswish, Hardsigmoid, Mish, LogSigmoid, Softsign, the shrinks, GLU and
 * Softmin as layers. */
#include "nn/layers/curves.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

/* ---- without options ------------------------------------------------------------------------- */

/* The layer nn_<name> of lucid_<function>(x). */
#define PLAIN(name_, function)                                                \
    static lucid_tensor *function##_forward(lucid_module *m, lucid_tensor *x) \
    {                                                                         \
        (void)m;                                                              \
        return lucid_##function(x);                                           \
    }                                                                         \
    const lucid_module_class lucid_nn_##function##_class = {                  \
        .name = #name_,                                                       \
        .size = sizeof(nn_##name_),                                           \
        .super = &lucid_module_class_base,                                    \
        .forward = function##_forward,                                        \
    };                                                                        \
    lucid_module *lucid_nn_##function(void)                                   \
    {                                                                         \
        return lucid_module_new(&lucid_nn_##function##_class);                \
    }
PLAIN(Hardswish, hardswish)
PLAIN(Hardsigmoid, hardsigmoid)
PLAIN(Mish, mish)
PLAIN(LogSigmoid, logsigmoid)
PLAIN(Softsign, softsign)
PLAIN(Tanhshrink, tanhshrink)

/* ---- Hardtanh -------------------------------------------------------------------------------- */

static lucid_tensor *hardtanh_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Hardtanh *a = lucid_self(m, nn_Hardtanh);
    return lucid_hardtanh(x, .min = a->min_val, .max = a->max_val);
}

static int hardtanh_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Hardtanh *a = lucid_self(m, nn_Hardtanh);
    return snprintf(text, size, "min_val=%s, max_val=%s", luc_float_text(a->min_val).s,
                    luc_float_text(a->max_val).s);
}

const lucid_module_class lucid_nn_hardtanh_class = {
    .name = "Hardtanh",
    .size = sizeof(nn_Hardtanh),
    .super = &lucid_module_class_base,
    .forward = hardtanh_forward,
    .extra_repr = hardtanh_repr,
};

lucid_module *lucid_nn_hardtanh(const lucid_hardtanh_options *options)
{
    const lucid_hardtanh_options *o = LUC_OPTIONS(lucid_hardtanh, options, "Hardtanh");
    if (!o) return NULL;
    if (!(o->min <= o->max))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "Hardtanh",
                              "min: expected at most max %g, got %g", o->max, o->min);
    lucid_module *m = lucid_module_new(&lucid_nn_hardtanh_class);
    nn_Hardtanh *a = m ? lucid_self(m, nn_Hardtanh) : NULL;
    if (a) a->min_val = o->min;
    if (a) a->max_val = o->max;
    return m;
}

/* ---- Hardshrink, Softshrink ------------------------------------------------------------------ */

static lucid_tensor *hardshrink_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_hardshrink(x, .lambda = lucid_self(m, nn_Hardshrink)->lambda);
}

static int hardshrink_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "%s", luc_float_text(lucid_self(m, nn_Hardshrink)->lambda).s);
}

const lucid_module_class lucid_nn_hardshrink_class = {
    .name = "Hardshrink",
    .size = sizeof(nn_Hardshrink),
    .super = &lucid_module_class_base,
    .forward = hardshrink_forward,
    .extra_repr = hardshrink_repr,
};

lucid_module *lucid_nn_hardshrink(const lucid_hardshrink_options *options)
{
    const lucid_hardshrink_options *o = LUC_OPTIONS(lucid_hardshrink, options, "Hardshrink");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_hardshrink_class);
    nn_Hardshrink *a = m ? lucid_self(m, nn_Hardshrink) : NULL;
    if (a) a->lambda = o->lambda;
    return m;
}

static lucid_tensor *softshrink_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_softshrink(x, .lambda = lucid_self(m, nn_Softshrink)->lambda);
}

static int softshrink_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "%s", luc_float_text(lucid_self(m, nn_Softshrink)->lambda).s);
}

const lucid_module_class lucid_nn_softshrink_class = {
    .name = "Softshrink",
    .size = sizeof(nn_Softshrink),
    .super = &lucid_module_class_base,
    .forward = softshrink_forward,
    .extra_repr = softshrink_repr,
};

lucid_module *lucid_nn_softshrink(const lucid_softshrink_options *options)
{
    const lucid_softshrink_options *o = LUC_OPTIONS(lucid_softshrink, options, "Softshrink");
    if (!o) return NULL;
    if (!(o->lambda >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "Softshrink", "lambda: expected >= 0, got %g",
                              o->lambda);
    lucid_module *m = lucid_module_new(&lucid_nn_softshrink_class);
    nn_Softshrink *a = m ? lucid_self(m, nn_Softshrink) : NULL;
    if (a) a->lambda = o->lambda;
    return m;
}

/* ---- GLU, Softmin, Softmax2d ----------------------------------------------------------------- */

static lucid_tensor *glu_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_glu(x, lucid_self(m, nn_GLU)->dim);
}

static int glu_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "dim=%d", lucid_self(m, nn_GLU)->dim);
}

const lucid_module_class lucid_nn_glu_class = {
    .name = "GLU",
    .size = sizeof(nn_GLU),
    .super = &lucid_module_class_base,
    .forward = glu_forward,
    .extra_repr = glu_repr,
};

lucid_module *lucid_nn_glu(int dim)
{
    lucid_module *m = lucid_module_new(&lucid_nn_glu_class);
    nn_GLU *a = m ? lucid_self(m, nn_GLU) : NULL;
    if (a) a->dim = dim;
    return m;
}

static lucid_tensor *softmin_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_softmin(x, lucid_self(m, nn_Softmin)->dim);
}

static int softmin_repr(const lucid_module *m, char *text, size_t size)
{
    return snprintf(text, size, "dim=%d", lucid_self(m, nn_Softmin)->dim);
}

const lucid_module_class lucid_nn_softmin_class = {
    .name = "Softmin",
    .size = sizeof(nn_Softmin),
    .super = &lucid_module_class_base,
    .forward = softmin_forward,
    .extra_repr = softmin_repr,
};

lucid_module *lucid_nn_softmin(int dim)
{
    lucid_module *m = lucid_module_new(&lucid_nn_softmin_class);
    nn_Softmin *a = m ? lucid_self(m, nn_Softmin) : NULL;
    if (a) a->dim = dim;
    return m;
}

static lucid_tensor *softmax2d_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_softmax(x, -3);
}

static bool softmax2d_check(lucid_module *m, lucid_tensor *x)
{
    if (lucid_ndim(x) == 3 || lucid_ndim(x) == 4) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "input: expected [N,C,H,W] or [C,H,W], got %s", luc_shape_text(x).s);
}

const lucid_module_class lucid_nn_softmax2d_class = {
    .name = "Softmax2d",
    .size = sizeof(nn_Softmax2d),
    .super = &lucid_module_class_base,
    .forward = softmax2d_forward,
    .check_input = softmax2d_check,
};

lucid_module *lucid_nn_softmax2d(void)
{
    return lucid_module_new(&lucid_nn_softmax2d_class);
}

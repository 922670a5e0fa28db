/* padding.c: modules that add elements around the last dimensions, or cut them off. */
#include "nn/layers/padding.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

static lucid_tensor *pad_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Pad *p = lucid_module_cast(m, m->cls->name);
    return lucid_pad(x, p->pads, .mode = p->mode, .value = p->value);
}

/* As in PyTorch, only a constant takes any number of dimensions. */
static bool check_input(lucid_module *m, lucid_tensor *x)
{
    static const char *const shapes[] = {"[N,C,L] or [C,L]", "[N,C,H,W] or [C,H,W]",
                                         "[N,C,D,H,W] or [C,D,H,W]"};
    const nn_Pad *p = lucid_module_cast(m, m->cls->name);
    const int ndim = lucid_ndim(x), rank = p->pads.ndim / 2;
    if (p->mode == LUCID_PAD_CONSTANT || ndim == rank + 1 || ndim == rank + 2) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "input: expected %s, got %s",
                     shapes[rank - 1], luc_shape_text(x).s);
}

static int pads_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Pad *p = lucid_module_cast((lucid_module *)m, m->cls->name);
    int used = snprintf(text, size, "(");
    for (int d = 0; d < p->pads.ndim; d++) {
        const size_t at = (size_t)used < size ? (size_t)used : size;
        used += snprintf(text + at, size - at, "%s%lld", d ? ", " : "", (long long)p->pads.dims[d]);
    }
    const size_t at = (size_t)used < size ? (size_t)used : size;
    return used + snprintf(text + at, size - at, ")");
}

static int constant_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Pad *p = lucid_module_cast((lucid_module *)m, m->cls->name);
    char pads[256];
    pads_repr(m, pads, sizeof pads);
    return snprintf(text, size, "padding=%s, value=%s", pads, luc_float_text(p->value).s);
}

static lucid_module *make(const lucid_module_class *cls, int rank, lucid_shape pads,
                          lucid_pad_mode mode, double value)
{
    if (pads.ndim != 1 && pads.ndim != 2 * rank)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "pads: expected one number, or %d, got %d", 2 * rank, pads.ndim);
    for (int i = pads.ndim; i < 2 * rank; i++) pads.dims[i] = pads.dims[0];
    pads.ndim = 2 * rank;
    lucid_module *m = lucid_module_new(cls);
    nn_Pad *p = m ? lucid_module_cast(m, cls->name) : NULL;
    if (!p) return NULL;
    p->pads = pads;
    p->mode = mode;
    p->value = value;
    return m;
}

#define CLASS(Type, snake, repr)                          \
    const lucid_module_class lucid_nn_##snake##_class = { \
        .name = #Type,                                    \
        .size = sizeof(nn_Pad),                           \
        .super = &lucid_module_class_base,                \
        .forward = pad_forward,                           \
        .check_input = check_input,                       \
        .extra_repr = repr,                               \
    };
#define PAD(Type, snake, rank, mode)                                 \
    CLASS(Type, snake, pads_repr)                                    \
    lucid_module *lucid_nn_##snake(lucid_shape pads)                 \
    {                                                                \
        return make(&lucid_nn_##snake##_class, rank, pads, mode, 0); \
    }
#define PADS(rank)                                                                          \
    CLASS(ConstantPad##rank##d, constant_pad##rank##d, constant_repr)                       \
    lucid_module *lucid_nn_constant_pad##rank##d(lucid_shape pads,                          \
                                                 const lucid_constant_pad_options *options) \
    {                                                                                       \
        const lucid_constant_pad_options *o =                                               \
            LUC_OPTIONS(lucid_constant_pad, options, "ConstantPad" #rank "d");              \
        if (!o) return NULL;                                                                \
        return make(&lucid_nn_constant_pad##rank##d_class, rank, pads, LUCID_PAD_CONSTANT,  \
                    o->value);                                                              \
    }                                                                                       \
    PAD(ZeroPad##rank##d, zero_pad##rank##d, rank, LUCID_PAD_CONSTANT)                      \
    PAD(ReflectionPad##rank##d, reflection_pad##rank##d, rank, LUCID_PAD_REFLECT)           \
    PAD(ReplicationPad##rank##d, replication_pad##rank##d, rank, LUCID_PAD_REPLICATE)       \
    PAD(CircularPad##rank##d, circular_pad##rank##d, rank, LUCID_PAD_CIRCULAR)

PADS(1)
PADS(2)
PADS(3)

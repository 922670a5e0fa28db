/* rearrange.c: modules without parameters that move elements. */
#include "nn/layers/rearrange.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

/* ---- Unflatten ------------------------------------------------------------------------------- */

static lucid_tensor *unflatten_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Unflatten *u = lucid_self(m, nn_Unflatten);
    return lucid_unflatten_opt(x, u->dim, u->sizes);
}

static int unflatten_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Unflatten *u = lucid_self(m, nn_Unflatten);
    const lucid_shape *s = &u->sizes;
    int used = snprintf(text, size, "dim=%d, unflattened_size=(", u->dim);
    for (int d = 0; d < s->ndim; d++) {
        const size_t at = (size_t)used < size ? (size_t)used : size;
        used += snprintf(text + at, size - at, "%s%lld", d ? ", " : "", (long long)s->dims[d]);
    }
    const size_t at = (size_t)used < size ? (size_t)used : size;
    return used + snprintf(text + at, size - at, s->ndim == 1 ? ",)" : ")");
}

const lucid_module_class lucid_nn_unflatten_class = {
    .name = "Unflatten",
    .size = sizeof(nn_Unflatten),
    .super = &lucid_module_class_base,
    .forward = unflatten_forward,
    .extra_repr = unflatten_repr,
};

lucid_module *lucid_nn_unflatten(int dim, lucid_shape sizes)
{
    if (sizes.ndim < 1 || sizes.ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "Unflatten",
                              "sizes: expected 1 to %d sizes, got %d", LUCID_MAX_DIMS, sizes.ndim);
    for (int d = 0; d < sizes.ndim; d++)
        if (!luc_layer_at_least("Unflatten", "sizes", sizes.dims[d], -1)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_unflatten_class);
    nn_Unflatten *u = m ? lucid_self(m, nn_Unflatten) : NULL;
    if (!u) return NULL;
    u->dim = dim;
    u->sizes = sizes;
    return m;
}

/* ---- modules with one number ----------------------------------------------------------------- */

/* The class and constructor of a module that hands its one number to a function. */
#define ONE_NUMBER(Type, function, field, format)                                        \
    static lucid_tensor *function##_forward(lucid_module *m, lucid_tensor *x)            \
    {                                                                                    \
        return lucid_##function(x, lucid_self(m, nn_##Type)->field);                     \
    }                                                                                    \
    static int function##_repr(const lucid_module *m, char *text, size_t size)           \
    {                                                                                    \
        return snprintf(text, size, format, (long long)lucid_self(m, nn_##Type)->field); \
    }                                                                                    \
    const lucid_module_class lucid_nn_##function##_class = {                             \
        .name = #Type,                                                                   \
        .size = sizeof(nn_##Type),                                                       \
        .super = &lucid_module_class_base,                                               \
        .forward = function##_forward,                                                   \
        .extra_repr = function##_repr,                                                   \
    };                                                                                   \
    lucid_module *lucid_nn_##function(int64_t field)                                     \
    {                                                                                    \
        if (!luc_layer_at_least(#Type, #field, field, 1)) return NULL;                   \
        lucid_module *m = lucid_module_new(&lucid_nn_##function##_class);                \
        nn_##Type *self = m ? lucid_self(m, nn_##Type) : NULL;                           \
        if (self) self->field = field;                                                   \
        return m;                                                                        \
    }

ONE_NUMBER(PixelShuffle, pixel_shuffle, factor, "upscale_factor=%lld")
ONE_NUMBER(PixelUnshuffle, pixel_unshuffle, factor, "downscale_factor=%lld")
ONE_NUMBER(ChannelShuffle, channel_shuffle, groups, "groups=%lld")

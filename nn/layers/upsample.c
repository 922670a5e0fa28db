/* upsample.c: layers that make images larger or smaller. */
#include "nn/layers/upsample.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

static lucid_tensor *upsample_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Upsample *u = lucid_module_cast(m, m->cls->name);
    return lucid_interpolate_opt(x, &u->options);
}

static bool check_image(lucid_module *m, lucid_tensor *x)
{
    return lucid_ndim(x) == 4 ||
           luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "input: expected [N,C,H,W], got %s",
                     luc_shape_text(x).s);
}

/* As Python writes a number of sizes, or of factors. */
static int list_text(char *text, size_t size, const char *name, int n, const double *of, bool whole)
{
    int used = luc_snprintf(text, size, n > 1 ? "%s=(" : "%s=", name);
    for (int i = 0; i < n; i++) {
        const size_t at = (size_t)used < size ? (size_t)used : size;
        used += whole ? luc_snprintf(text + at, size - at, "%s%.0f", i ? ", " : "", of[i])
                      : luc_snprintf(text + at, size - at, "%s%s", i ? ", " : "",
                                     luc_float_text(of[i]).s);
    }
    const size_t at = (size_t)used < size ? (size_t)used : size;
    return used + luc_snprintf(text + at, size - at, n > 1 ? ")" : "");
}

static int upsample_repr(const lucid_module *m, char *text, size_t size)
{
    static const char *const modes[] = {"nearest",   "nearest-exact", "linear", "bilinear",
                                        "trilinear", "bicubic",       "area"};
    const nn_Upsample *u = lucid_module_cast(m, m->cls->name);
    const lucid_interpolate_options *o = &u->options;
    int64_t d[3] = {0, 0, 0};
    int n = 1, used;
    if (luc_extent_is_pair(o->size)) {
        n = 2;
        lucid_extent_get(o->size, d);
    } else if (lucid_triple_get(o->size, d) && luc_extent_is_triple(o->size)) {
        n = 3;
    }
    const double sizes[3] = {(double)d[0], (double)d[1], (double)d[2]};
    if (o->size)
        used = list_text(text, size, "size", n, sizes, true);
    else if (o->scale_factors.n)
        used =
            list_text(text, size, "scale_factor", o->scale_factors.n, o->scale_factors.of, false);
    else
        used = list_text(text, size, "scale_factor", 1, &o->scale_factor, false);
    const size_t at = (size_t)used < size ? (size_t)used : size;
    return used + luc_snprintf(text + at, size - at, ", mode='%s'", modes[o->mode]);
}

#define CLASS(Type, snake, check)                         \
    const lucid_module_class lucid_nn_##snake##_class = { \
        .name = #Type,                                    \
        .size = sizeof(nn_Upsample),                      \
        .super = &lucid_module_class_base,                \
        .forward = upsample_forward,                      \
        .check_input = check,                             \
        .extra_repr = upsample_repr,                      \
    };
CLASS(Upsample, upsample, NULL)
CLASS(UpsamplingNearest2d, upsampling_nearest2d, check_image)
CLASS(UpsamplingBilinear2d, upsampling_bilinear2d, check_image)

static lucid_module *make(const lucid_module_class *cls, const lucid_interpolate_options *o)
{
    const int given = (o->size != 0) + (o->scale_factor != 0) + (o->scale_factors.n != 0);
    if (given != 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "size, scale_factor, scale_factors: expected one of them, got %d",
                              given);
    if (o->mode < LUCID_INTERPOLATE_NEAREST || o->mode > LUCID_INTERPOLATE_AREA)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "mode: expected a lucid_interpolate_mode, got %d", (int)o->mode);
    if (o->scale_factors.n < 0 || o->scale_factors.n > 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "scale_factors: expected up to 3 numbers, got %d",
                              o->scale_factors.n);
    lucid_module *m = lucid_module_new(cls);
    nn_Upsample *u = m ? lucid_module_cast(m, cls->name) : NULL;
    if (u) u->options = *o;
    return m;
}

lucid_module *lucid_nn_upsample(const lucid_interpolate_options *options)
{
    const lucid_interpolate_options *o = LUC_OPTIONS(lucid_interpolate, options, "Upsample");
    return o ? make(&lucid_nn_upsample_class, o) : NULL;
}

static lucid_module *make2d(const lucid_module_class *cls,
                            const lucid_upsampling2d_options *options, bool bilinear)
{
    const lucid_upsampling2d_options *o = LUC_OPTIONS(lucid_upsampling2d, options, cls->name);
    if (!o) return NULL;
    lucid_interpolate_options i = lucid_interpolate_defaults;
    i.size = o->size;
    i.scale_factor = o->scale_factor;
    i.scale_factors = o->scale_factors;
    i.mode = bilinear ? LUCID_INTERPOLATE_BILINEAR : LUCID_INTERPOLATE_NEAREST;
    i.align_corners = bilinear;
    return make(cls, &i);
}

lucid_module *lucid_nn_upsampling_nearest2d(const lucid_upsampling2d_options *options)
{
    return make2d(&lucid_nn_upsampling_nearest2d_class, options, false);
}

lucid_module *lucid_nn_upsampling_bilinear2d(const lucid_upsampling2d_options *options)
{
    return make2d(&lucid_nn_upsampling_bilinear2d_class, options, true);
}

/* image_calls.c: calls of interpolation, pooling and sampling with the options of a manifest. */
#include "tests/reference/image_calls.h"
#include "autograd/ops.h"

#include <stdio.h>
#include <string.h>

static bool truth(const op_case *c, const char *key)
{
    return vectors_bool(c->line, key, false);
}

/* The place of a field's text in a list that ends with NULL. */
static int place(const op_case *c, const char *key, const char *const *names)
{
    const char *text = vectors_get(c->line, key);
    for (int i = 0; text && names[i]; i++)
        if (strcmp(text, names[i]) == 0) return i;
    return 0;
}

/* One number, two or three. */
static lucid_extent extent(const op_case *c, const char *key, lucid_extent otherwise)
{
    lucid_shape list;
    if (!vectors_list(c->line, key, &list)) return otherwise;
    if (list.ndim == 1) return list.dims[0];
    if (list.ndim == 2) return lucid_pair(list.dims[0], list.dims[1]);
    return lucid_triple(list.dims[0], list.dims[1], list.dims[2]);
}

static void call_interpolate(op_case *c)
{
    static const char *const modes[] = {"nearest",   "nearest-exact", "linear", "bilinear",
                                        "trilinear", "bicubic",       "area",   NULL};
    lucid_interpolate_options o = lucid_interpolate_defaults;
    const char *factor = vectors_get(c->line, "scale_factor");
    double f[3];
    const int n = factor ? sscanf(factor, "%lf,%lf,%lf", &f[0], &f[1], &f[2]) : 0;
    o.mode = (lucid_interpolate_mode)place(c, "mode", modes);
    o.align_corners = truth(c, "align_corners");
    o.antialias = truth(c, "antialias");
    o.recompute_scale_factor = truth(c, "recompute_scale_factor");
    o.size = extent(c, "size", 0);
    if (n == 1) o.scale_factor = f[0];
    if (n == 2) o.scale_factors = lucid_scale_pair(f[0], f[1]);
    if (n == 3) o.scale_factors = lucid_scale_triple(f[0], f[1], f[2]);
    c->out[0] = lucid_interpolate_opt(c->in[0], &o);
}

static const op_entry table[] = {
    {"interpolate", TOLERANCE_SUM, TOLERANCE_SUM, call_interpolate},
};

const op_entry *image_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

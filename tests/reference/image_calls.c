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

/* ---- pooling --------------------------------------------------------------------------------- */

static bool is(const op_case *c, const char *name)
{
    return strcmp(vectors_get(c->line, "op"), name) == 0;
}

/* The dimension in a name such as max_pool3d_places. */
static int rank(const op_case *c)
{
    const char *text = strstr(vectors_get(c->line, "op"), "pool");
    return text ? text[4] - '0' : 0;
}

static void call_max_pool(op_case *c)
{
    lucid_max_pool2d_options o = lucid_max_pool2d_defaults;
    const lucid_extent kernel = extent(c, "kernel_size", 1);
    o.stride = extent(c, "stride", LUCID_KERNEL);
    o.padding = extent(c, "padding", 0);
    o.dilation = extent(c, "dilation", 1);
    o.ceil_mode = truth(c, "ceil_mode");
    const int n = rank(c);
    lucid_pooled p = n == 1   ? lucid_max_pool1d_with_indices_opt(c->in[0], kernel, &o)
                     : n == 2 ? lucid_max_pool2d_with_indices_opt(c->in[0], kernel, &o)
                              : lucid_max_pool3d_with_indices_opt(c->in[0], kernel, &o);
    c->out[0] = p.values;
    c->out[1] = p.indices;
}

static void call_avg_pool(op_case *c)
{
    lucid_avg_pool2d_options o = lucid_avg_pool2d_defaults;
    const lucid_extent kernel = extent(c, "kernel_size", 1);
    o.stride = extent(c, "stride", LUCID_KERNEL);
    o.padding = extent(c, "padding", 0);
    o.ceil_mode = truth(c, "ceil_mode");
    o.count_include_pad = vectors_bool(c->line, "count_include_pad", true);
    o.divisor_override = vectors_int(c->line, "divisor_override", 0);
    c->out[0] = rank(c) == 1 ? lucid_avg_pool1d_opt(c->in[0], kernel, &o)
                             : lucid_avg_pool3d_opt(c->in[0], kernel, &o);
}

static void call_adaptive_avg(op_case *c)
{
    const lucid_extent size = extent(c, "output_size", 1);
    c->out[0] = rank(c) == 1 ? lucid_adaptive_avg_pool1d(c->in[0], size)
                             : lucid_adaptive_avg_pool3d_opt(c->in[0], size);
}

static void call_adaptive_max(op_case *c)
{
    const lucid_extent size = extent(c, "output_size", 1);
    const int n = rank(c);
    lucid_pooled p = n == 1   ? lucid_adaptive_max_pool1d_with_indices(c->in[0], size)
                     : n == 2 ? lucid_adaptive_max_pool2d_with_indices_opt(c->in[0], size)
                              : lucid_adaptive_max_pool3d_with_indices_opt(c->in[0], size);
    c->out[0] = p.values;
    c->out[1] = p.indices;
}

static void call_lp_pool(op_case *c)
{
    lucid_lp_pool_options o = lucid_lp_pool_defaults;
    const lucid_extent kernel = extent(c, "kernel_size", 1);
    const double p = vectors_double(c->line, "norm_type", 0);
    o.stride = extent(c, "stride", LUCID_KERNEL);
    o.ceil_mode = truth(c, "ceil_mode");
    c->out[0] = is(c, "lp_pool1d")   ? lucid_lp_pool1d_opt(c->in[0], p, kernel, &o)
                : is(c, "lp_pool2d") ? lucid_lp_pool2d_opt(c->in[0], p, kernel, &o)
                                     : lucid_lp_pool3d_opt(c->in[0], p, kernel, &o);
}

static void call_unpool(op_case *c)
{
    lucid_max_unpool_options o = lucid_max_unpool_defaults;
    const lucid_extent kernel = extent(c, "kernel_size", 1);
    o.stride = extent(c, "stride", LUCID_KERNEL);
    o.output_size = extent(c, "output_size", 0);
    c->out[0] = is(c, "max_unpool1d")   ? lucid_max_unpool1d_opt(c->in[0], c->in[1], kernel, &o)
                : is(c, "max_unpool2d") ? lucid_max_unpool2d_opt(c->in[0], c->in[1], kernel, &o)
                                        : lucid_max_unpool3d_opt(c->in[0], c->in[1], kernel, &o);
}

/* ---- sampling -------------------------------------------------------------------------------- */

static void call_grid_sample(op_case *c)
{
    static const char *const modes[] = {"nearest", "?", "?", "bilinear", "?", "bicubic", NULL};
    static const char *const paddings[] = {"zeros", "border", "reflection", NULL};
    lucid_grid_sample_options o = lucid_grid_sample_defaults;
    o.mode = (lucid_interpolate_mode)place(c, "mode", modes);
    o.padding_mode = (lucid_grid_padding)place(c, "padding_mode", paddings);
    o.align_corners = truth(c, "align_corners");
    c->out[0] = lucid_grid_sample_opt(c->in[0], c->in[1], &o);
}

static void call_affine_grid(op_case *c)
{
    lucid_shape size = {.ndim = 0};
    vectors_list(c->line, "size", &size);
    c->out[0] = lucid_affine_grid(c->in[0], size, .align_corners = truth(c, "align_corners"));
}

static const op_entry table[] = {
    {"grid_sample", TOLERANCE_STATISTICS, TOLERANCE_STATISTICS, call_grid_sample},
    {"affine_grid", TOLERANCE_SUM, TOLERANCE_SUM, call_affine_grid},
    {"interpolate", TOLERANCE_SUM, TOLERANCE_SUM, call_interpolate},
    {"max_pool1d_places", TOLERANCE_EXACT, TOLERANCE_SUM, call_max_pool},
    {"adaptive_max_pool1d_places", TOLERANCE_EXACT, TOLERANCE_SUM, call_adaptive_max},
    {"lp_pool1d", TOLERANCE_STATISTICS, TOLERANCE_STATISTICS, call_lp_pool},
    {"max_unpool1d", TOLERANCE_EXACT, TOLERANCE_EXACT, call_unpool},
    {"max_pool2d_places", TOLERANCE_EXACT, TOLERANCE_SUM, call_max_pool},
    {"adaptive_max_pool2d_places", TOLERANCE_EXACT, TOLERANCE_SUM, call_adaptive_max},
    {"lp_pool2d", TOLERANCE_STATISTICS, TOLERANCE_STATISTICS, call_lp_pool},
    {"max_unpool2d", TOLERANCE_EXACT, TOLERANCE_EXACT, call_unpool},
    {"max_pool3d_places", TOLERANCE_EXACT, TOLERANCE_SUM, call_max_pool},
    {"adaptive_max_pool3d_places", TOLERANCE_EXACT, TOLERANCE_SUM, call_adaptive_max},
    {"lp_pool3d", TOLERANCE_STATISTICS, TOLERANCE_STATISTICS, call_lp_pool},
    {"max_unpool3d", TOLERANCE_EXACT, TOLERANCE_EXACT, call_unpool},
    {"avg_pool1d", TOLERANCE_SUM, TOLERANCE_SUM, call_avg_pool},
    {"adaptive_avg_pool1d", TOLERANCE_SUM, TOLERANCE_SUM, call_adaptive_avg},
    {"avg_pool3d", TOLERANCE_SUM, TOLERANCE_SUM, call_avg_pool},
    {"adaptive_avg_pool3d", TOLERANCE_SUM, TOLERANCE_SUM, call_adaptive_avg},
};

const op_entry *image_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

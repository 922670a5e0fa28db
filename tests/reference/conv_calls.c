/* conv_calls.c: calls of convolutions of any rank with the options that a manifest names. */
#include "tests/reference/conv_calls.h"
#include "autograd/ops.h"
#include "tests/testing.h"

static lucid_extent extent(const op_case *c, const char *key)
{
    lucid_shape n = {.ndim = 0};
    if (strcmp(vectors_get(c->line, key), "same") == 0) return LUCID_SAME;
    vectors_list(c->line, key, &n);
    return n.ndim == 1   ? n.dims[0]
           : n.ndim == 2 ? lucid_pair(n.dims[0], n.dims[1])
                         : lucid_triple(n.dims[0], n.dims[1], n.dims[2]);
}

static void call_conv(op_case *c)
{
    const char *op = vectors_get(c->line, "op");
    lucid_conv_options o = lucid_conv_defaults;
    o.stride = extent(c, "stride");
    o.padding = extent(c, "padding");
    o.dilation = extent(c, "dilation");
    o.groups = vectors_int(c->line, "groups", 1);
    c->out[0] = strcmp(op, "conv1d") == 0 ? lucid_conv1d_opt(c->in[0], c->in[1], c->in[2], &o)
                                          : lucid_conv3d_opt(c->in[0], c->in[1], c->in[2], &o);
}

static void call_transpose(op_case *c)
{
    const char *op = vectors_get(c->line, "op");
    lucid_conv_transpose_options o = lucid_conv_transpose_defaults;
    o.stride = extent(c, "stride");
    o.padding = extent(c, "padding");
    o.output_padding = extent(c, "output_padding");
    o.dilation = extent(c, "dilation");
    o.groups = vectors_int(c->line, "groups", 1);
    lucid_tensor **in = c->in;
    if (strcmp(op, "conv_transpose1d") == 0)
        c->out[0] = lucid_conv_transpose1d_opt(in[0], in[1], in[2], &o);
    if (strcmp(op, "conv_transpose2d") == 0)
        c->out[0] = lucid_conv_transpose2d_opt(in[0], in[1], in[2], &o);
    if (strcmp(op, "conv_transpose3d") == 0)
        c->out[0] = lucid_conv_transpose3d_opt(in[0], in[1], in[2], &o);
}

static void call_windows(op_case *c)
{
    lucid_unfold_options o = lucid_unfold_defaults;
    o.stride = extent(c, "stride");
    o.padding = extent(c, "padding");
    o.dilation = extent(c, "dilation");
    const lucid_extent kernel = extent(c, "kernel_size");
    c->out[0] = strcmp(vectors_get(c->line, "op"), "unfold2d") == 0
                    ? lucid_unfold_opt(c->in[0], kernel, &o)
                    : lucid_fold_opt(c->in[0], extent(c, "output_size"), kernel, &o);
}

static const op_entry table[] = {
    {"conv1d", TOLERANCE_SUM, TOLERANCE_SUM, call_conv},
    {"conv3d", TOLERANCE_SUM, TOLERANCE_SUM, call_conv},
    {"conv_transpose1d", TOLERANCE_SUM, TOLERANCE_SUM, call_transpose},
    {"conv_transpose2d", TOLERANCE_SUM, TOLERANCE_SUM, call_transpose},
    {"conv_transpose3d", TOLERANCE_SUM, TOLERANCE_SUM, call_transpose},
    {"unfold2d", TOLERANCE_EXACT, TOLERANCE_SUM, call_windows},
    {"fold", TOLERANCE_SUM, TOLERANCE_EXACT, call_windows},
};

const op_entry *conv_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

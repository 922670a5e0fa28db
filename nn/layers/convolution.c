/* convolution.c: convolution layers. */
#include "nn/layers/convolution.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"

static lucid_conv2d_options options_of(const nn_Conv2d *c)
{
    lucid_extent padding = c->same ? LUCID_SAME : lucid_pair(c->padding[0], c->padding[1]);
    if (c->padding_mode != LUCID_PAD_CONSTANT) padding = 0; /* x has it already */
    return *LUC_WITH(lucid_conv2d, .stride = lucid_pair(c->stride[0], c->stride[1]),
                     .padding = padding, .dilation = lucid_pair(c->dilation[0], c->dilation[1]),
                     .groups = c->groups);
}

/* x with the padding around it, in a mode that is not zeros. */
static lucid_tensor *padded(const nn_Conv2d *c, lucid_tensor *x)
{
    lucid_shape pads = {.ndim = 4};
    for (int i = 0; i < 2; i++) {
        const int64_t total = c->same ? c->dilation[1 - i] * (c->kernel[1 - i] - 1) : 0;
        pads.dims[2 * i] = c->same ? total / 2 : c->padding[1 - i];
        pads.dims[2 * i + 1] = c->same ? total - total / 2 : c->padding[1 - i];
    }
    return lucid_pad(x, pads, .mode = c->padding_mode);
}

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    nn_Conv2d *c = lucid_self(m, nn_Conv2d);
    const lucid_conv2d_options options = options_of(c);
    if (c->padding_mode != LUCID_PAD_CONSTANT && !(x = padded(c, x))) return NULL;
    return lucid_conv2d_opt(x, c->weight, c->bias, &options);
}

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    nn_Conv2d *c = lucid_self(m, nn_Conv2d);
    int ndim = lucid_ndim(x);
    if ((ndim == 3 || ndim == 4) && lucid_size(x, ndim - 3) == c->in_channels) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "input: expected [N,%lld,H,W] or [%lld,H,W], got %s",
                     (long long)c->in_channels, (long long)c->in_channels, luc_shape_text(x).s);
}

static bool reset_parameters(lucid_module *m)
{
    nn_Conv2d *c = lucid_self(m, nn_Conv2d);
    return luc_layer_reset(c->weight, c->bias);
}

/* Writes ", padding=(1, 1)", or nothing if both numbers are the default. */
static luc_text option_text(const char *name, const int64_t pair[2], int64_t by_default)
{
    luc_text t = {""};
    if (pair[0] != by_default || pair[1] != by_default)
        snprintf(t.s, sizeof t.s, ", %s=%.80s", name, luc_pair_text(pair[0], pair[1]).s);
    return t;
}

static int extra_repr(const lucid_module *m, char *text, size_t size)
{
    static const char *const modes[] = {"", ", padding_mode=reflect", ", padding_mode=replicate",
                                        ", padding_mode=circular"};
    const nn_Conv2d *c = lucid_self(m, nn_Conv2d);
    const luc_text same = {", padding=same"};
    char groups[32] = "";
    if (c->groups != 1) snprintf(groups, sizeof groups, ", groups=%lld", (long long)c->groups);
    return snprintf(text, size, "%lld, %lld, kernel_size=%s, stride=%s%s%s%s%s%s",
                    (long long)c->in_channels, (long long)c->out_channels,
                    luc_pair_text(c->kernel[0], c->kernel[1]).s,
                    luc_pair_text(c->stride[0], c->stride[1]).s,
                    (c->same ? same : option_text("padding", c->padding, 0)).s,
                    option_text("dilation", c->dilation, 1).s, groups,
                    c->bias ? "" : ", bias=False", modes[c->padding_mode]);
}

const lucid_module_class lucid_nn_conv2d_class = {
    .name = "Conv2d",
    .size = sizeof(nn_Conv2d),
    .super = &lucid_module_class_base,
    .forward = forward,
    .check_input = check_input,
    .reset_parameters = reset_parameters,
    .extra_repr = extra_repr,
};

static bool set_pair(int64_t pair[2], const char *argument, lucid_extent extent, int64_t least)
{
    lucid_extent_get(extent, pair);
    return luc_layer_at_least("Conv2d", argument, pair[0], least) &&
           luc_layer_at_least("Conv2d", argument, pair[1], least);
}

static bool set_padding(nn_Conv2d *c, const lucid_nn_conv2d_options *o)
{
    c->same = o->padding == LUCID_SAME;
    c->padding_mode = o->padding_mode;
    if ((unsigned)o->padding_mode > LUCID_PAD_CIRCULAR)
        return luc_raise(LUCID_ERR_ARGUMENT, "Conv2d", "padding_mode: expected a mode, got %d",
                         (int)o->padding_mode);
    if (!c->same) return set_pair(c->padding, "padding", o->padding, 0);
    return (c->stride[0] == 1 && c->stride[1] == 1) ||
           luc_raise(LUCID_ERR_ARGUMENT, "Conv2d", "padding: LUCID_SAME needs stride 1, got %s",
                     luc_pair_text(c->stride[0], c->stride[1]).s);
}

static bool set_sizes(nn_Conv2d *c, lucid_extent kernel, const lucid_nn_conv2d_options *o)
{
    if (!set_pair(c->kernel, "kernel", kernel, 1) || !set_pair(c->stride, "stride", o->stride, 1) ||
        !set_padding(c, o) || !set_pair(c->dilation, "dilation", o->dilation, 1) ||
        !luc_layer_at_least("Conv2d", "in_channels", c->in_channels, 0) ||
        !luc_layer_at_least("Conv2d", "out_channels", c->out_channels, 0) ||
        !luc_layer_at_least("Conv2d", "groups", o->groups, 1))
        return false;
    c->groups = o->groups;
    if (c->in_channels % o->groups == 0 && c->out_channels % o->groups == 0) return true;
    return luc_raise(
        LUCID_ERR_ARGUMENT, "Conv2d",
        "groups: expected a divisor of in_channels %lld and out_channels %lld, got %lld",
        (long long)c->in_channels, (long long)c->out_channels, (long long)o->groups);
}

lucid_module *lucid_nn_conv2d(int64_t in_channels, int64_t out_channels, lucid_extent kernel,
                              const lucid_nn_conv2d_options *options)
{
    const lucid_nn_conv2d_options *o = LUC_OPTIONS(lucid_nn_conv2d, options, "Conv2d");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_conv2d_class);
    nn_Conv2d *c = m ? lucid_self(m, nn_Conv2d) : NULL;
    if (!c) return NULL;
    c->in_channels = in_channels;
    c->out_channels = out_channels;
    if (!set_sizes(c, kernel, o)) return luc_layer_done(m, false);
    lucid_shape shape =
        LUCID_SHAPE(out_channels, in_channels / c->groups, c->kernel[0], c->kernel[1]);
    bool ok = luc_layer_parameter(m, "weight", &c->weight, true, shape, o->dtype, o->device) &&
              luc_layer_parameter(m, "bias", &c->bias, o->bias, LUCID_SHAPE(out_channels), o->dtype,
                                  o->device) &&
              reset_parameters(m);
    return luc_layer_done(m, ok);
}

/* pooling.c: 2-d pooling layers. */
#include "nn/layers/pooling.h"
#include "autograd/ops/pooling_nd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    int ndim = lucid_ndim(x);
    if (ndim == 3 || ndim == 4) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "input: expected [N,C,H,W] or [C,H,W], got %s", luc_shape_text(x).s);
}

/* As in PyTorch, a stride that was not given is the window's size. */
static luc_text stride_text(lucid_extent kernel, lucid_extent stride)
{
    return luc_extent_text(stride == LUCID_KERNEL ? kernel : stride);
}

static bool check_least(const char *layer, const char *argument, lucid_extent extent, int64_t least)
{
    int64_t pair[2];
    lucid_extent_get(extent, pair);
    return luc_layer_at_least(layer, argument, pair[0], least) &&
           luc_layer_at_least(layer, argument, pair[1], least);
}

static bool check_window(const char *layer, lucid_extent kernel, lucid_extent stride,
                         lucid_extent padding)
{
    if (!check_least(layer, "kernel", kernel, 1) ||
        (stride != LUCID_KERNEL && !check_least(layer, "stride", stride, 1)) ||
        !check_least(layer, "padding", padding, 0))
        return false;
    int64_t k[2], p[2];
    lucid_extent_get(kernel, k);
    lucid_extent_get(padding, p);
    if (p[0] <= k[0] / 2 && p[1] <= k[1] / 2) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, layer,
                     "padding: expected at most half the window %s, got %s",
                     luc_pair_text(k[0], k[1]).s, luc_pair_text(p[0], p[1]).s);
}

/* ---- MaxPool2d ------------------------------------------------------------------------------- */

static lucid_tensor *max_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_MaxPool2d *p = lucid_self(m, nn_MaxPool2d);
    return lucid_max_pool2d_opt(x, p->kernel, &p->options);
}

/* Places are computed where a second output asks for them. */
static bool max_forward_many(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                             int n_out)
{
    const nn_MaxPool2d *p = lucid_self(m, nn_MaxPool2d);
    (void)n_in;
    if (n_out < 2) {
        out[0] = lucid_max_pool2d_opt(in[0], p->kernel, &p->options);
        return out[0] != NULL;
    }
    const lucid_pooled both = lucid_max_pool2d_with_indices_opt(in[0], p->kernel, &p->options);
    out[0] = both.values;
    out[1] = both.indices;
    return out[0] != NULL;
}

static int max_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_MaxPool2d *p = lucid_self(m, nn_MaxPool2d);
    const lucid_max_pool2d_options *o = &p->options;
    return snprintf(text, size, "kernel_size=%s, stride=%s, padding=%s, dilation=%s, ceil_mode=%s",
                    luc_extent_text(p->kernel).s, stride_text(p->kernel, o->stride).s,
                    luc_extent_text(o->padding).s, luc_extent_text(o->dilation).s,
                    luc_python_bool(o->ceil_mode));
}

const lucid_module_class lucid_nn_max_pool2d_class = {
    .name = "MaxPool2d",
    .size = sizeof(nn_MaxPool2d),
    .super = &lucid_module_class_base,
    .forward = max_forward,
    .forward_many = max_forward_many,
    .inputs = "input",
    .outputs = "output, indices?",
    .check_input = check_input,
    .extra_repr = max_repr,
};

lucid_module *lucid_nn_max_pool2d(lucid_extent kernel, const lucid_max_pool2d_options *options)
{
    const lucid_max_pool2d_options *o = LUC_OPTIONS(lucid_max_pool2d, options, "MaxPool2d");
    if (!o || !check_window("MaxPool2d", kernel, o->stride, o->padding) ||
        !check_least("MaxPool2d", "dilation", o->dilation, 1))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_max_pool2d_class);
    nn_MaxPool2d *p = m ? lucid_self(m, nn_MaxPool2d) : NULL;
    if (!p) return NULL;
    p->kernel = kernel;
    p->options = *o;
    return m;
}

/* ---- AvgPool2d ------------------------------------------------------------------------------- */

static lucid_tensor *avg_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_AvgPool2d *p = lucid_self(m, nn_AvgPool2d);
    return lucid_avg_pool2d_opt(x, p->kernel, &p->options);
}

static int avg_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_AvgPool2d *p = lucid_self(m, nn_AvgPool2d);
    const lucid_avg_pool2d_options *o = &p->options;
    return snprintf(text, size, "kernel_size=%s, stride=%s, padding=%s",
                    luc_extent_text(p->kernel).s, stride_text(p->kernel, o->stride).s,
                    luc_extent_text(o->padding).s);
}

const lucid_module_class lucid_nn_avg_pool2d_class = {
    .name = "AvgPool2d",
    .size = sizeof(nn_AvgPool2d),
    .super = &lucid_module_class_base,
    .forward = avg_forward,
    .check_input = check_input,
    .extra_repr = avg_repr,
};

lucid_module *lucid_nn_avg_pool2d(lucid_extent kernel, const lucid_avg_pool2d_options *options)
{
    const lucid_avg_pool2d_options *o = LUC_OPTIONS(lucid_avg_pool2d, options, "AvgPool2d");
    if (!o || !check_window("AvgPool2d", kernel, o->stride, o->padding)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_avg_pool2d_class);
    nn_AvgPool2d *p = m ? lucid_self(m, nn_AvgPool2d) : NULL;
    if (!p) return NULL;
    p->kernel = kernel;
    p->options = *o;
    return m;
}

/* ---- AdaptiveAvgPool2d ----------------------------------------------------------------------- */

static lucid_tensor *adaptive_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_AdaptiveAvgPool2d *p = lucid_self(m, nn_AdaptiveAvgPool2d);
    return lucid_adaptive_avg_pool2d_opt(x, p->output);
}

static int adaptive_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_AdaptiveAvgPool2d *p = lucid_self(m, nn_AdaptiveAvgPool2d);
    int64_t pair[2];
    lucid_extent_get(p->output, pair);
    if (pair[0] != LUCID_KEEP && pair[1] != LUCID_KEEP)
        return snprintf(text, size, "output_size=%s", luc_extent_text(p->output).s);
    luc_text h, w;
    snprintf(h.s, sizeof h.s, "%lld", (long long)pair[0]);
    snprintf(w.s, sizeof w.s, "%lld", (long long)pair[1]);
    if (p->output == LUCID_KEEP) return snprintf(text, size, "output_size=None");
    return snprintf(text, size, "output_size=(%s, %s)", pair[0] == LUCID_KEEP ? "None" : h.s,
                    pair[1] == LUCID_KEEP ? "None" : w.s);
}

const lucid_module_class lucid_nn_adaptive_avg_pool2d_class = {
    .name = "AdaptiveAvgPool2d",
    .size = sizeof(nn_AdaptiveAvgPool2d),
    .super = &lucid_module_class_base,
    .forward = adaptive_forward,
    .check_input = check_input,
    .extra_repr = adaptive_repr,
};

lucid_module *lucid_nn_adaptive_avg_pool2d(lucid_extent output)
{
    int64_t pair[2];
    lucid_extent_get(output, pair);
    for (int i = 0; i < 2; i++)
        if (pair[i] != LUCID_KEEP && !luc_layer_at_least("AdaptiveAvgPool2d", "output", pair[i], 1))
            return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_adaptive_avg_pool2d_class);
    nn_AdaptiveAvgPool2d *p = m ? lucid_self(m, nn_AdaptiveAvgPool2d) : NULL;
    if (p) p->output = output;
    return m;
}

/* pooling.c: 2-d pooling layers. */
#include "nn/layers/pooling.h"
#include "nn/layers/layer_priv.h"

const lucid_nn_adaptive_pool2d_options lucid_nn_adaptive_pool2d_defaults = {
    LUCID_NN_ADAPTIVE_POOL2D_DEFAULTS};

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    int ndim = lucid_ndim(x);
    if (ndim == 3 || ndim == 4) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "input: expected [N,C,H,W] or [C,H,W], got %s", luc_shape_text(x).s);
}

/* As PyTorch has it: a stride that was not given is the window's size. */
static luc_text stride_text(int64_t kernel, const lucid_pool2d_options *o)
{
    if (o->stride == LUCID_KERNEL) return luc_size_text(kernel, o->kernel_w);
    return luc_size_text(o->stride, o->stride_w);
}

static bool check_least(const char *layer, const char *argument, int64_t h, int64_t w,
                        int64_t least)
{
    return luc_layer_at_least(layer, argument, h, least) &&
           luc_layer_at_least(layer, argument, w == LUCID_SAME ? h : w, least);
}

static bool check_options(const char *layer, int64_t kernel, const lucid_pool2d_options *o)
{
    int64_t kernel_w = o->kernel_w == LUCID_SAME ? kernel : o->kernel_w;
    int64_t padding_w = o->padding_w == LUCID_SAME ? o->padding : o->padding_w;
    if (!check_least(layer, "kernel", kernel, o->kernel_w, 1) ||
        (o->stride != LUCID_KERNEL && !check_least(layer, "stride", o->stride, o->stride_w, 1)) ||
        !check_least(layer, "padding", o->padding, o->padding_w, 0) ||
        !check_least(layer, "dilation", o->dilation, o->dilation_w, 1))
        return false;
    if (o->padding <= kernel / 2 && padding_w <= kernel_w / 2) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, layer,
                     "padding: expected at most half the window %s, got %s",
                     luc_pair_text(kernel, kernel_w).s, luc_pair_text(o->padding, padding_w).s);
}

/* ---- MaxPool2d ------------------------------------------------------------------------------- */

static lucid_tensor *max_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_MaxPool2d *p = lucid_self(m, nn_MaxPool2d);
    return lucid_max_pool2d_opt(x, p->kernel, &p->options);
}

static int max_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_MaxPool2d *p = lucid_self(m, nn_MaxPool2d);
    const lucid_pool2d_options *o = &p->options;
    return snprintf(text, size, "kernel_size=%s, stride=%s, padding=%s, dilation=%s, ceil_mode=%s",
                    luc_size_text(p->kernel, o->kernel_w).s, stride_text(p->kernel, o).s,
                    luc_size_text(o->padding, o->padding_w).s,
                    luc_size_text(o->dilation, o->dilation_w).s, luc_python_bool(o->ceil_mode));
}

const lucid_module_class lucid_nn_max_pool2d_class = {
    .name = "MaxPool2d",
    .size = sizeof(nn_MaxPool2d),
    .super = &lucid_module_class_base,
    .forward = max_forward,
    .check_input = check_input,
    .extra_repr = max_repr,
};

lucid_module *lucid_nn_max_pool2d(int64_t kernel, const lucid_pool2d_options *options)
{
    const lucid_pool2d_options *o = options ? options : &lucid_pool2d_defaults;
    if (!check_options("MaxPool2d", kernel, o)) return NULL;
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
    const lucid_pool2d_options *o = &p->options;
    return snprintf(text, size, "kernel_size=%s, stride=%s, padding=%s",
                    luc_size_text(p->kernel, o->kernel_w).s, stride_text(p->kernel, o).s,
                    luc_size_text(o->padding, o->padding_w).s);
}

const lucid_module_class lucid_nn_avg_pool2d_class = {
    .name = "AvgPool2d",
    .size = sizeof(nn_AvgPool2d),
    .super = &lucid_module_class_base,
    .forward = avg_forward,
    .check_input = check_input,
    .extra_repr = avg_repr,
};

lucid_module *lucid_nn_avg_pool2d(int64_t kernel, const lucid_pool2d_options *options)
{
    const lucid_pool2d_options *o = options ? options : &lucid_pool2d_defaults;
    if (!check_options("AvgPool2d", kernel, o)) return NULL;
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
    return lucid_adaptive_avg_pool2d(x, p->output[0], p->output[1]);
}

static int adaptive_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_AdaptiveAvgPool2d *p = lucid_self(m, nn_AdaptiveAvgPool2d);
    return snprintf(text, size, "output_size=%s",
                    luc_size_text(p->output[0], p->square ? LUCID_SAME : p->output[1]).s);
}

const lucid_module_class lucid_nn_adaptive_avg_pool2d_class = {
    .name = "AdaptiveAvgPool2d",
    .size = sizeof(nn_AdaptiveAvgPool2d),
    .super = &lucid_module_class_base,
    .forward = adaptive_forward,
    .check_input = check_input,
    .extra_repr = adaptive_repr,
};

lucid_module *lucid_nn_adaptive_avg_pool2d(int64_t output,
                                           const lucid_nn_adaptive_pool2d_options *options)
{
    const lucid_nn_adaptive_pool2d_options *o =
        options ? options : &lucid_nn_adaptive_pool2d_defaults;
    if (!check_least("AdaptiveAvgPool2d", "output", output, o->output_w, 1)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_adaptive_avg_pool2d_class);
    nn_AdaptiveAvgPool2d *p = m ? lucid_self(m, nn_AdaptiveAvgPool2d) : NULL;
    if (!p) return NULL;
    p->square = o->output_w == LUCID_SAME;
    p->output[0] = output;
    p->output[1] = p->square ? output : o->output_w;
    return m;
}

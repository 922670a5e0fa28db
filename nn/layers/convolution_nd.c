/* convolution_nd.c: convolution of rows and volumes, transposed convolution, unfold and fold, as
 * modules. */
#include "nn/layers/convolution_nd.h"
#include "autograd/ops/convolution_nd_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

#include <string.h>

static nn_ConvNd *conv_of(const lucid_module *m)
{
    return lucid_module_cast((lucid_module *)m, m->cls->name);
}

static lucid_extent extent_of(int rank, const int64_t n[3])
{
    return rank == 1 ? n[2] : rank == 2 ? lucid_pair(n[1], n[2]) : lucid_triple(n[0], n[1], n[2]);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* x with the padding around it, in a mode that is not zeros. */
static lucid_tensor *padded(const nn_ConvNd *c, lucid_tensor *x)
{
    lucid_shape pads = {.ndim = 2 * c->rank};
    for (int i = 0; i < c->rank; i++) {
        const int64_t total = c->same ? c->dilation[2 - i] * (c->kernel[2 - i] - 1) : 0;
        pads.dims[2 * i] = c->same ? total / 2 : c->padding[2 - i];
        pads.dims[2 * i + 1] = c->same ? total - total / 2 : c->padding[2 - i];
    }
    return lucid_pad(x, pads, .mode = c->padding_mode);
}

static lucid_tensor *conv_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_ConvNd *c = conv_of(m);
    lucid_conv_options o = lucid_conv_defaults;
    o.stride = extent_of(c->rank, c->stride);
    o.dilation = extent_of(c->rank, c->dilation);
    o.groups = c->groups;
    if (c->padding_mode == LUCID_PAD_CONSTANT)
        o.padding = c->same ? LUCID_SAME : extent_of(c->rank, c->padding);
    else if (!(x = padded(c, x)))
        return NULL;
    return c->rank == 1 ? lucid_conv1d_opt(x, c->weight, c->bias, &o)
                        : lucid_conv3d_opt(x, c->weight, c->bias, &o);
}

static lucid_tensor *transpose_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_ConvNd *c = conv_of(m);
    lucid_conv_transpose_options o = lucid_conv_transpose_defaults;
    o.stride = extent_of(c->rank, c->stride);
    o.padding = extent_of(c->rank, c->padding);
    o.output_padding = extent_of(c->rank, c->output_padding);
    o.dilation = extent_of(c->rank, c->dilation);
    o.groups = c->groups;
    if (c->rank == 1) return lucid_conv_transpose1d_opt(x, c->weight, c->bias, &o);
    return c->rank == 2 ? lucid_conv_transpose2d_opt(x, c->weight, c->bias, &o)
                        : lucid_conv_transpose3d_opt(x, c->weight, c->bias, &o);
}

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    static const char *const sizes[] = {"L", "H,W", "D,H,W"};
    const nn_ConvNd *c = conv_of(m);
    const int ndim = lucid_ndim(x), first = ndim - c->rank - 1;
    if ((first == 0 || first == 1) && lucid_size(x, first) == c->in_channels) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "input: expected [N,%lld,%s] or [%lld,%s], got %s", (long long)c->in_channels,
                     sizes[c->rank - 1], (long long)c->in_channels, sizes[c->rank - 1],
                     luc_shape_text(x).s);
}

static bool reset_parameters(lucid_module *m)
{
    nn_ConvNd *c = conv_of(m);
    return luc_layer_reset(c->weight, c->bias);
}

/* The padding at the output that gives it the size; -1 after an error. */
static int64_t more_for(const nn_ConvNd *c, int i, int64_t in, int64_t want)
{
    const int64_t least =
        (in - 1) * c->stride[i] - 2 * c->padding[i] + c->dilation[i] * (c->kernel[i] - 1) + 1;
    if (want >= least && want - least < c->stride[i]) return want - least;
    luc_raise(LUCID_ERR_ARGUMENT, c->base.cls->name,
              "output_size: expected a size in [%lld,%lld], got %lld", (long long)least,
              (long long)(least + c->stride[i] - 1), (long long)want);
    return -1;
}

static bool is_transposed(const lucid_module *m)
{
    return m->cls == &lucid_nn_conv_transpose1d_class ||
           m->cls == &lucid_nn_conv_transpose2d_class || m->cls == &lucid_nn_conv_transpose3d_class;
}

lucid_tensor *lucid_forward_sized_opt(lucid_module *m, lucid_tensor *x, lucid_shape output_size)
{
    const char *op = "forward_sized";
    if (!m) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "module: expected a module, got NULL");
    if (!luc_check_tensor(x, op, "x")) return NULL;
    if (!is_transposed(m))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "module: expected a transposed convolution, got %s", m->cls->name);
    nn_ConvNd *c = conv_of(m);
    if (!c || !check_input(m, x)) return NULL;
    const int rank = c->rank, given = output_size.ndim;
    if (given != rank && given != lucid_ndim(x))
        return luc_raise_null(LUCID_ERR_ARGUMENT, m->cls->name,
                              "output_size: expected %d or %d numbers, got %d", rank, lucid_ndim(x),
                              given);
    int64_t before[3], more[3] = {0};
    for (int i = 3 - rank; i < 3; i++) {
        const int64_t in = lucid_size(x, lucid_ndim(x) - 3 + i);
        if ((more[i] = more_for(c, i, in, output_size.dims[given - 3 + i])) < 0) return NULL;
    }
    memcpy(before, c->output_padding, sizeof before);
    memcpy(c->output_padding, more, sizeof more);
    lucid_tensor *y = lucid_forward(m, x);
    memcpy(c->output_padding, before, sizeof before);
    return y;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* Writes ", name=(1, 1)" with Python's commas, or nothing if all numbers are the default. */
static luc_text option_text(const nn_ConvNd *c, const char *name, const int64_t n[3],
                            int64_t by_default)
{
    luc_text t = {""};
    bool differs = false;
    for (int i = 3 - c->rank; i < 3; i++) differs = differs || n[i] != by_default;
    if (!differs) return t;
    int used = snprintf(t.s, sizeof t.s, ", %s=(%lld", name, (long long)n[3 - c->rank]);
    for (int i = 4 - c->rank; i < 3; i++)
        used += snprintf(t.s + used, sizeof t.s - (size_t)used, ", %lld", (long long)n[i]);
    snprintf(t.s + used, sizeof t.s - (size_t)used, c->rank == 1 ? ",)" : ")");
    return t;
}

static int extra_repr(const lucid_module *m, char *text, size_t size)
{
    static const char *const modes[] = {"", ", padding_mode=reflect", ", padding_mode=replicate",
                                        ", padding_mode=circular"};
    const nn_ConvNd *c = conv_of(m);
    char groups[32] = "";
    if (c->groups != 1) snprintf(groups, sizeof groups, ", groups=%lld", (long long)c->groups);
    return snprintf(text, size, "%lld, %lld%s%s%s%s%s%s%s%s", (long long)c->in_channels,
                    (long long)c->out_channels, option_text(c, "kernel_size", c->kernel, -1).s,
                    option_text(c, "stride", c->stride, -1).s,
                    c->same ? ", padding=same" : option_text(c, "padding", c->padding, 0).s,
                    option_text(c, "dilation", c->dilation, 1).s,
                    option_text(c, "output_padding", c->output_padding, 0).s, groups,
                    c->bias ? "" : ", bias=False", modes[c->padding_mode]);
}

/* ---- construction ---------------------------------------------------------------------------- */

static bool check_channels(const nn_ConvNd *c, const char *layer)
{
    if (!luc_layer_at_least(layer, "in_channels", c->in_channels, 0) ||
        !luc_layer_at_least(layer, "out_channels", c->out_channels, 0) ||
        !luc_layer_at_least(layer, "groups", c->groups, 1))
        return false;
    if (c->in_channels % c->groups == 0 && c->out_channels % c->groups == 0) return true;
    return luc_raise(
        LUCID_ERR_ARGUMENT, layer,
        "groups: expected a divisor of in_channels %lld and out_channels %lld, got %lld",
        (long long)c->in_channels, (long long)c->out_channels, (long long)c->groups);
}

/* The extents that all have; padding may be LUCID_SAME. */
static bool set_extents(nn_ConvNd *c, const char *layer, lucid_extent kernel, lucid_extent stride,
                        lucid_extent padding, lucid_extent dilation)
{
    for (int i = 0; i < 3; i++) c->kernel[i] = c->stride[i] = c->dilation[i] = 1;
    return luc_extent_of_rank(layer, "kernel", c->rank, kernel, 1, c->kernel) &&
           luc_extent_of_rank(layer, "stride", c->rank, stride, 1, c->stride) &&
           (c->same || luc_extent_of_rank(layer, "padding", c->rank, padding, 0, c->padding)) &&
           luc_extent_of_rank(layer, "dilation", c->rank, dilation, 1, c->dilation);
}

static bool set_parameters(nn_ConvNd *c, int64_t rows, int64_t columns, bool bias,
                           lucid_dtype dtype, lucid_device device)
{
    lucid_module *m = &c->base;
    lucid_shape shape = {.ndim = c->rank + 2, .dims = {rows, columns}};
    for (int i = 0; i < c->rank; i++) shape.dims[2 + i] = c->kernel[3 - c->rank + i];
    return luc_layer_parameter(m, "weight", &c->weight, true, shape, dtype, device) &&
           luc_layer_parameter(m, "bias", &c->bias, bias, LUCID_SHAPE(c->out_channels), dtype,
                               device) &&
           reset_parameters(m);
}

static nn_ConvNd *new_conv(const lucid_module_class *cls, int rank, int64_t in, int64_t out,
                           int64_t groups)
{
    lucid_module *m = lucid_module_new(cls);
    nn_ConvNd *c = m ? conv_of(m) : NULL;
    if (!c) return NULL;
    c->rank = rank;
    c->in_channels = in;
    c->out_channels = out;
    c->groups = groups;
    return c;
}

static lucid_module *make_conv(const lucid_module_class *cls, int rank, int64_t in, int64_t out,
                               lucid_extent kernel, const lucid_nn_conv_options *options)
{
    const lucid_nn_conv_options *o = LUC_OPTIONS(lucid_nn_conv, options, cls->name);
    nn_ConvNd *c = o ? new_conv(cls, rank, in, out, o->groups) : NULL;
    if (!c) return NULL;
    c->same = o->padding == LUCID_SAME;
    c->padding_mode = o->padding_mode;
    bool ok = check_channels(c, cls->name) &&
              set_extents(c, cls->name, kernel, o->stride, o->padding, o->dilation);
    if (ok && (unsigned)o->padding_mode > LUCID_PAD_CIRCULAR)
        ok = luc_raise(LUCID_ERR_ARGUMENT, cls->name, "padding_mode: expected a mode, got %d",
                       (int)o->padding_mode);
    for (int i = 0; ok && c->same && i < 3; i++)
        ok = c->stride[i] == 1 ||
             luc_raise(LUCID_ERR_ARGUMENT, cls->name,
                       "padding: LUCID_SAME needs stride 1, got %lld", (long long)c->stride[i]);
    ok = ok && set_parameters(c, out, in / c->groups, o->bias, o->dtype, o->device);
    return luc_layer_done(&c->base, ok);
}

static lucid_module *make_transpose(const lucid_module_class *cls, int rank, int64_t in,
                                    int64_t out, lucid_extent kernel,
                                    const lucid_nn_conv_transpose_options *options)
{
    const lucid_nn_conv_transpose_options *o =
        LUC_OPTIONS(lucid_nn_conv_transpose, options, cls->name);
    nn_ConvNd *c = o ? new_conv(cls, rank, in, out, o->groups) : NULL;
    if (!c) return NULL;
    bool ok = check_channels(c, cls->name) &&
              set_extents(c, cls->name, kernel, o->stride, o->padding, o->dilation) &&
              luc_extent_of_rank(cls->name, "output_padding", rank, o->output_padding, 0,
                                 c->output_padding) &&
              set_parameters(c, in, out / c->groups, o->bias, o->dtype, o->device);
    return luc_layer_done(&c->base, ok);
}

#define CLASS(lower, upper, n, make, call, opts)                                                   \
    const lucid_module_class lucid_nn_##lower##_class = {                                          \
        .name = upper,                                                                             \
        .size = sizeof(nn_ConvNd),                                                                 \
        .super = &lucid_module_class_base,                                                         \
        .forward = call,                                                                           \
        .check_input = check_input,                                                                \
        .reset_parameters = reset_parameters,                                                      \
        .extra_repr = extra_repr,                                                                  \
    };                                                                                             \
    lucid_module *lucid_nn_##lower(int64_t in_channels, int64_t out_channels, lucid_extent kernel, \
                                   const opts *options)                                            \
    {                                                                                              \
        return make(&lucid_nn_##lower##_class, n, in_channels, out_channels, kernel, options);     \
    }
CLASS(conv1d, "Conv1d", 1, make_conv, conv_forward, lucid_nn_conv_options)
CLASS(conv3d, "Conv3d", 3, make_conv, conv_forward, lucid_nn_conv_options)
#define TRANSPOSED(n)                                                                         \
    CLASS(conv_transpose##n##d, "ConvTranspose" #n "d", n, make_transpose, transpose_forward, \
          lucid_nn_conv_transpose_options)
TRANSPOSED(1)
TRANSPOSED(2)
TRANSPOSED(3)

/* ---- Unfold, Fold ---------------------------------------------------------------------------- */

static lucid_tensor *unfold_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Unfold *u = lucid_self(m, nn_Unfold);
    return lucid_unfold_opt(x, u->kernel, &u->options);
}

static lucid_tensor *fold_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Fold *f = lucid_self(m, nn_Fold);
    return lucid_fold_opt(x, f->output_size, f->kernel, &f->options);
}

static int window_repr(char *text, size_t size, const char *before, lucid_extent kernel,
                       const lucid_unfold_options *o)
{
    return snprintf(text, size, "%skernel_size=%s, dilation=%s, padding=%s, stride=%s", before,
                    luc_extent_text(kernel).s, luc_extent_text(o->dilation).s,
                    luc_extent_text(o->padding).s, luc_extent_text(o->stride).s);
}

static int unfold_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Unfold *u = lucid_self(m, nn_Unfold);
    return window_repr(text, size, "", u->kernel, &u->options);
}

static int fold_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Fold *f = lucid_self(m, nn_Fold);
    char before[160];
    snprintf(before, sizeof before, "output_size=%.80s, ", luc_extent_text(f->output_size).s);
    return window_repr(text, size, before, f->kernel, &f->options);
}

const lucid_module_class lucid_nn_unfold_class = {
    .name = "Unfold",
    .size = sizeof(nn_Unfold),
    .super = &lucid_module_class_base,
    .forward = unfold_forward,
    .extra_repr = unfold_repr,
};
const lucid_module_class lucid_nn_fold_class = {
    .name = "Fold",
    .size = sizeof(nn_Fold),
    .super = &lucid_module_class_base,
    .forward = fold_forward,
    .extra_repr = fold_repr,
};

static bool check_window(const char *layer, lucid_extent kernel, const lucid_unfold_options *o)
{
    int64_t n[3];
    return luc_extent_of_rank(layer, "kernel", 2, kernel, 1, n) &&
           luc_extent_of_rank(layer, "dilation", 2, o->dilation, 1, n) &&
           luc_extent_of_rank(layer, "padding", 2, o->padding, 0, n) &&
           luc_extent_of_rank(layer, "stride", 2, o->stride, 1, n);
}

lucid_module *lucid_nn_unfold(lucid_extent kernel, const lucid_unfold_options *options)
{
    const lucid_unfold_options *o = LUC_OPTIONS(lucid_unfold, options, "Unfold");
    if (!o || !check_window("Unfold", kernel, o)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_unfold_class);
    nn_Unfold *u = m ? lucid_self(m, nn_Unfold) : NULL;
    if (!u) return NULL;
    u->kernel = kernel;
    u->options = *o;
    return m;
}

lucid_module *lucid_nn_fold(lucid_extent output_size, lucid_extent kernel,
                            const lucid_unfold_options *options)
{
    const lucid_unfold_options *o = LUC_OPTIONS(lucid_unfold, options, "Fold");
    int64_t n[3];
    if (!o || !check_window("Fold", kernel, o) ||
        !luc_extent_of_rank("Fold", "output_size", 2, output_size, 1, n))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_fold_class);
    nn_Fold *f = m ? lucid_self(m, nn_Fold) : NULL;
    if (!f) return NULL;
    f->output_size = output_size;
    f->kernel = kernel;
    f->options = *o;
    return m;
}

/* resnet.c: residual networks. */
#include "nn/models/resnet.h"
#include "autograd/ops.h"
#include "lucid/core/error.h"
#include "nn/init.h"
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"
#include "lucid/core/options_priv.h"

#include <stdio.h>

/* ---- parts ----------------------------------------------------------------------------------- */

/* A convolution that keeps the image's size, unless it has a stride. */
static lucid_module *grouped_convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                                         int64_t groups)
{
    lucid_module *m = nn_Conv2d(in, out, kernel, .stride = stride, .padding = kernel / 2,
                                .groups = groups, .bias = false);
    nn_Conv2d *conv = m ? lucid_self(m, nn_Conv2d) : NULL;
    if (conv &&
        lucid_init_kaiming_normal(conv->weight, .fan_out = true, .nonlinearity = LUCID_RELU))
        return m;
    lucid_module_free(m);
    return NULL;
}

static lucid_module *convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride)
{
    return grouped_convolution(in, out, kernel, stride, 1);
}

/* The shortcut of a block that changes the sizes. */
static lucid_module *projection(int64_t in, int64_t out, int64_t stride)
{
    return nn_Sequential(convolution(in, out, 1, stride), nn_BatchNorm2d(out));
}

/* relu(bn(conv(x))) */
static lucid_tensor *unit(lucid_module *conv, lucid_module *bn, lucid_module *relu, lucid_tensor *x)
{
    return lucid_forward(relu, lucid_forward(bn, lucid_forward(conv, x)));
}

/* relu(bn(conv(y)) + shortcut) */
static lucid_tensor *last_unit(lucid_module *conv, lucid_module *bn, lucid_module *relu,
                               lucid_tensor *y, lucid_tensor *shortcut)
{
    y = lucid_forward(bn, lucid_forward(conv, y));
    return lucid_forward(relu, lucid_add(y, shortcut));
}

static lucid_module *finished(lucid_module *m, bool ok)
{
    if (ok) return m;
    lucid_module_free(m);
    return NULL;
}

/* ---- the basic block ------------------------------------------------------------------------- */

/* The shortcut without parameters, which leaves out pixels of x [N,C,H,W] and adds channels of
 * zeros. */
static lucid_tensor *thin_and_pad(const nn_BasicBlock *b, lucid_tensor *x)
{
    lucid_tensor *thin =
        lucid_slice(lucid_slice(x, 2, 0, INT64_MAX, b->stride), 3, 0, INT64_MAX, b->stride);
    if (!thin) return NULL;
    lucid_shape shape = lucid_tensor_shape(thin);
    shape.dims[1] = b->pad;
    lucid_tensor *zeros =
        lucid_zeros(shape, .dtype = lucid_tensor_dtype(x), .device = lucid_tensor_device(x));
    return lucid_cat((zeros, thin, zeros), 1);
}

static lucid_tensor *basic_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_BasicBlock *b = lucid_self(m, nn_BasicBlock);
    lucid_tensor *shortcut = x;
    if (b->downsample)
        shortcut = lucid_forward(b->downsample, x);
    else if (b->pad || b->stride > 1)
        shortcut = thin_and_pad(b, x);
    lucid_tensor *y = unit(b->conv1, b->bn1, b->relu, x);
    return last_unit(b->conv2, b->bn2, b->relu, y, shortcut);
}

const lucid_module_class lucid_nn_basic_block_class = {
    .name = "BasicBlock",
    .size = sizeof(nn_BasicBlock),
    .super = &lucid_module_class_base,
    .forward = basic_forward,
};

/* cifar: the shortcut has no parameters. */
static lucid_module *basic_block(int64_t in, int64_t out, int64_t stride, bool cifar)
{
    lucid_module *m = lucid_module_new(&lucid_nn_basic_block_class);
    nn_BasicBlock *b = m ? lucid_self(m, nn_BasicBlock) : NULL;
    if (!b) return NULL;
    b->stride = stride;
    b->pad = cifar ? (out - in) / 2 : 0;
    bool ok = lucid_register_module(m, "conv1", &b->conv1, convolution(in, out, 3, stride)) &&
              lucid_register_module(m, "bn1", &b->bn1, nn_BatchNorm2d(out)) &&
              lucid_register_module(m, "relu", &b->relu, nn_ReLU(.inplace = true)) &&
              lucid_register_module(m, "conv2", &b->conv2, convolution(out, out, 3, 1)) &&
              lucid_register_module(m, "bn2", &b->bn2, nn_BatchNorm2d(out));
    if (ok && !cifar && (in != out || stride > 1))
        ok = lucid_register_module(m, "downsample", &b->downsample, projection(in, out, stride));
    return finished(m, ok);
}

/* ---- the bottleneck -------------------------------------------------------------------------- */

static lucid_tensor *bottleneck_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Bottleneck *b = lucid_self(m, nn_Bottleneck);
    lucid_tensor *shortcut = b->downsample ? lucid_forward(b->downsample, x) : x;
    lucid_tensor *y = unit(b->conv1, b->bn1, b->relu, x);
    y = unit(b->conv2, b->bn2, b->relu, y);
    return last_unit(b->conv3, b->bn3, b->relu, y, shortcut);
}

const lucid_module_class lucid_nn_bottleneck_class = {
    .name = "Bottleneck",
    .size = sizeof(nn_Bottleneck),
    .super = &lucid_module_class_base,
    .forward = bottleneck_forward,
};

static lucid_module *bottleneck(int64_t in, int64_t out, int64_t stride,
                                const lucid_nn_resnet_options *o)
{
    lucid_module *m = lucid_module_new(&lucid_nn_bottleneck_class);
    nn_Bottleneck *b = m ? lucid_self(m, nn_Bottleneck) : NULL;
    if (!b) return NULL;
    const int64_t inner = out / 4 * o->width_per_group / 64 * o->groups;
    bool ok = lucid_register_module(m, "conv1", &b->conv1, convolution(in, inner, 1, 1)) &&
              lucid_register_module(m, "bn1", &b->bn1, nn_BatchNorm2d(inner)) &&
              lucid_register_module(m, "conv2", &b->conv2,
                                    grouped_convolution(inner, inner, 3, stride, o->groups)) &&
              lucid_register_module(m, "bn2", &b->bn2, nn_BatchNorm2d(inner)) &&
              lucid_register_module(m, "conv3", &b->conv3, convolution(inner, out, 1, 1)) &&
              lucid_register_module(m, "bn3", &b->bn3, nn_BatchNorm2d(out)) &&
              lucid_register_module(m, "relu", &b->relu, nn_ReLU(.inplace = true));
    if (ok && (in != out || stride > 1))
        ok = lucid_register_module(m, "downsample", &b->downsample, projection(in, out, stride));
    return finished(m, ok);
}

/* ---- the network ----------------------------------------------------------------------------- */

typedef struct plan {
    int depth;
    int blocks[4];
    bool bottlenecks;
} plan;

static const plan plans[] = {
    {18, {2, 2, 2, 2}, false},     {34, {3, 4, 6, 3}, false},  {50, {3, 4, 6, 3}, true},
    {101, {3, 4, 23, 3}, true},    {152, {3, 8, 36, 3}, true}, {20, {3, 3, 3, 0}, false},
    {32, {5, 5, 5, 0}, false},     {44, {7, 7, 7, 0}, false},  {56, {9, 9, 9, 0}, false},
    {110, {18, 18, 18, 0}, false},
};

static const plan *plan_of(int depth)
{
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if (plans[i].depth == depth) return &plans[i];
    lucid_raise(LUCID_ERR_ARGUMENT, "ResNet",
                "depth: expected 18, 34, 50, 101, 152 (ImageNet) or 20, 32, 44, 56, 110 (CIFAR), "
                "got %d",
                depth);
    return NULL;
}

static lucid_tensor *resnet_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_ResNet *net = lucid_self(m, nn_ResNet);
    x = unit(net->conv1, net->bn1, net->relu, x);
    if (net->maxpool) x = lucid_forward(net->maxpool, x);
    for (int i = 0; i < 4 && net->layer[i]; i++) x = lucid_forward(net->layer[i], x);
    return lucid_forward(net->fc, lucid_flatten(lucid_forward(net->avgpool, x), 1, -1));
}

const lucid_module_class lucid_nn_resnet_class = {
    .name = "ResNet",
    .size = sizeof(nn_ResNet),
    .super = &lucid_module_class_base,
    .forward = resnet_forward,
};

/* Registers stage i; *in becomes its number of output channels. */
static bool add_stage(lucid_module *m, const plan *p, const lucid_nn_resnet_options *o, int i,
                      int64_t *in)
{
    nn_ResNet *net = lucid_self(m, nn_ResNet);
    const bool cifar = p->blocks[3] == 0;
    const int64_t width = (int64_t)(cifar ? 16 : 64) << i, out = p->bottlenecks ? 4 * width : width;
    char name[16];
    snprintf(name, sizeof name, "layer%d", i + 1);
    if (!lucid_register_module(m, name, &net->layer[i], nn_Sequential())) return false;
    for (int k = 0; k < p->blocks[i]; k++) {
        int64_t stride = k == 0 && i > 0 ? 2 : 1;
        lucid_module *block =
            p->bottlenecks ? bottleneck(*in, out, stride, o) : basic_block(*in, out, stride, cifar);
        if (!lucid_sequential_append(net->layer[i], block)) return false;
        *in = out;
    }
    return true;
}

static bool add_stem(lucid_module *m, const lucid_nn_resnet_options *o, int64_t width, bool small)
{
    nn_ResNet *net = lucid_self(m, nn_ResNet);
    lucid_module *conv = convolution(o->in_channels, width, small ? 3 : 7, small ? 1 : 2);
    return lucid_register_module(m, "conv1", &net->conv1, conv) &&
           lucid_register_module(m, "bn1", &net->bn1, nn_BatchNorm2d(width)) &&
           lucid_register_module(m, "relu", &net->relu, nn_ReLU(.inplace = true)) &&
           (small || lucid_register_module(m, "maxpool", &net->maxpool,
                                           nn_MaxPool2d(3, .stride = 2, .padding = 1)));
}

/* Bounds that keep every number of channels far from overflow. */
static bool check_groups(const plan *p, const lucid_nn_resnet_options *o)
{
    const int64_t most = 1 << 20;
    const bool plain = o->groups == 1 && o->width_per_group == 64;
    if (o->groups >= 1 && o->groups <= most && o->width_per_group >= 1 &&
        o->width_per_group <= most && (plain || p->bottlenecks))
        return true;
    lucid_raise(LUCID_ERR_ARGUMENT, "ResNet",
                "groups, width_per_group: expected at least 1%s, got %lld and %lld",
                p->bottlenecks ? "" : " (1 and 64 in basic blocks)", (long long)o->groups,
                (long long)o->width_per_group);
    return false;
}

lucid_module *lucid_nn_resnet(const lucid_nn_resnet_options *options)
{
    const lucid_nn_resnet_options *o = LUC_OPTIONS(lucid_nn_resnet, options, "ResNet");
    if (!o) return NULL;
    const plan *p = plan_of(o->depth);
    if (!p) return NULL;
    if (o->num_classes < 1 || o->in_channels < 1) {
        lucid_raise(LUCID_ERR_ARGUMENT, "ResNet",
                    "num_classes, in_channels: expected at least 1, got %lld and %lld",
                    (long long)o->num_classes, (long long)o->in_channels);
        return NULL;
    }
    if (!check_groups(p, o)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_resnet_class);
    nn_ResNet *net = m ? lucid_self(m, nn_ResNet) : NULL;
    if (!net) return NULL;
    const bool cifar = p->blocks[3] == 0;
    int64_t channels = cifar ? 16 : 64;
    bool ok = add_stem(m, o, channels, cifar || o->cifar_stem);
    for (int i = 0; i < (cifar ? 3 : 4) && ok; i++) ok = add_stage(m, p, o, i, &channels);
    ok = ok && lucid_register_module(m, "avgpool", &net->avgpool, nn_AdaptiveAvgPool2d(1)) &&
         lucid_register_module(m, cifar ? "linear" : "fc", &net->fc,
                               nn_Linear(channels, o->num_classes));
    return finished(m, ok);
}

/* ---- by torchvision's names ------------------------------------------------------------------ */

lucid_module *luc_build_resnet(int i, const lucid_nn_model_options *o)
{
    static const struct {
        int depth;
        int64_t groups, width;
    } rows[] = {{18, 1, 64}, {34, 1, 64},  {50, 1, 64},  {101, 1, 64}, {152, 1, 64},
                {50, 32, 4}, {101, 32, 8}, {101, 64, 4}, {50, 1, 128}, {101, 1, 128}};
    lucid_nn_resnet_options r = lucid_nn_resnet_defaults;
    r.depth = rows[i].depth;
    r.groups = rows[i].groups;
    r.width_per_group = rows[i].width;
    r.num_classes = o->num_classes;
    r.in_channels = o->in_channels;
    return lucid_nn_resnet(&r);
}

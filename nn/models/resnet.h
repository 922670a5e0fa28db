/* resnet.h: residual networks (He et al., 2016, "Deep residual learning for image recognition"),
 * with the names, shapes and initial values of torchvision's, so that its weights can be loaded. */
#ifndef LUCID_NN_MODELS_RESNET_H
#define LUCID_NN_MODELS_RESNET_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_basic_block_class;
LUCID_API extern const lucid_module_class lucid_nn_bottleneck_class;
LUCID_API extern const lucid_module_class lucid_nn_resnet_class;

/* relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), both convolutions 3x3. */
typedef struct nn_BasicBlock {
    lucid_module base;
    lucid_module *conv1, *bn1, *relu, *conv2, *bn2;
    lucid_module *downsample; /* NULL: the shortcut is x itself, or has no parameters (next line) */
    int64_t stride, pad; /* every stride-th pixel of x, and pad channels of zeros on each side */
} nn_BasicBlock;

/* Three convolutions: 1x1 to fewer channels, 3x3 with the stride, 1x1 to four times as many as a
 * plain bottleneck has inside. */
typedef struct nn_Bottleneck {
    lucid_module base;
    lucid_module *conv1, *bn1, *conv2, *bn2, *conv3, *bn3, *relu;
    lucid_module *downsample; /* NULL: the shortcut is x itself */
} nn_Bottleneck;

typedef struct nn_ResNet {
    lucid_module base;
    lucid_module *conv1, *bn1, *relu;
    lucid_module *maxpool;  /* NULL if the stem is CIFAR's */
    lucid_module *layer[4]; /* layer[3] is NULL in the networks of three stages */
    lucid_module *avgpool;
    lucid_module *fc; /* its name is "linear" in the networks of three stages */
} nn_ResNet;

typedef struct lucid_nn_resnet_options {
    LUCID_OPTIONS_SIZE(lucid_nn_resnet_options);
    int depth LUCID_DEFAULT(18);             /* see lucid_nn_resnet */
    int64_t num_classes LUCID_DEFAULT(1000); /* outputs, >= 1 */
    int64_t in_channels LUCID_DEFAULT(3);    /* channels of the images, >= 1 */
    /* The network begins with a 3x3 convolution of stride 1 and without max pooling: for images of
     * 32x32. */
    bool cifar_stem LUCID_DEFAULT(false);
    /* Of bottlenecks: groups of the 3x3 convolution (ResNeXt, Xie et al., 2017), and the channels
     * of each in the first stage (wide ResNets, Zagoruyko and Komodakis, 2016). */
    int64_t groups LUCID_DEFAULT(1);
    int64_t width_per_group LUCID_DEFAULT(64);
} lucid_nn_resnet_options;
LUCID_DEFAULTS(lucid_nn_resnet, .depth = 18, .num_classes = 1000, .in_channels = 3,
               .cifar_stem = false, .groups = 1, .width_per_group = 64);

/* Makes the residual network of this depth:
 *
 *     18, 34          ImageNet's, four stages of 64, 128, 256, 512 channels in basic blocks
 *     50, 101, 152    the same in bottlenecks: 256, 512, 1024, 2048 channels
 *     20, 32, 44, 56, 110   the paper's for CIFAR: three stages of 16, 32, 64 channels, shortcuts
 *                     without parameters, always CIFAR's stem
 *
 * Shape: [N,in_channels,H,W] gives [N,num_classes], for any H and W that leave a pixel (224 and 32
 * are usual). Convolutions begin normal with std sqrt(2 / fan_out), as in the paper.
 *
 *     lucid_module *net = nn_ResNet50();
 *     lucid_module *small = nn_ResNet18(.num_classes = 10, .cifar_stem = true);
 *     lucid_tensor *y = lucid_forward(small, lucid_randn((128, 3, 32, 32)));    // [128,10] */
LUCID_API lucid_module *lucid_nn_resnet(const lucid_nn_resnet_options *options);

#define nn_ResNet18(...)  LUC_RESNET((.depth = 18), __VA_ARGS__)
#define nn_ResNet34(...)  LUC_RESNET((.depth = 34), __VA_ARGS__)
#define nn_ResNet50(...)  LUC_RESNET((.depth = 50), __VA_ARGS__)
#define nn_ResNet101(...) LUC_RESNET((.depth = 101), __VA_ARGS__)
#define nn_ResNet152(...) LUC_RESNET((.depth = 152), __VA_ARGS__)
/* The paper's networks for CIFAR-10, with 10 classes unless .num_classes says otherwise. */
#define nn_ResNet20(...)  LUC_RESNET((.depth = 20, .num_classes = 10), __VA_ARGS__)
#define nn_ResNet32(...)  LUC_RESNET((.depth = 32, .num_classes = 10), __VA_ARGS__)
#define nn_ResNet44(...)  LUC_RESNET((.depth = 44, .num_classes = 10), __VA_ARGS__)
#define nn_ResNet56(...)  LUC_RESNET((.depth = 56, .num_classes = 10), __VA_ARGS__)
#define nn_ResNet110(...) LUC_RESNET((.depth = 110, .num_classes = 10), __VA_ARGS__)
#define LUC_RESNET(preset, ...) \
    LUCID_CALL0_PRESET(lucid_nn_resnet, lucid_nn_resnet, preset, __VA_ARGS__)

LUCID_END_DECLS
#endif

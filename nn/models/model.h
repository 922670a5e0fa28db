/* model.h: networks for classification of images, by torchvision's names. Parameters and buffers
 * have torchvision's names, order and shapes, so that its weights can be loaded:
 *
 *     lucid_module *net = nn_Model("mobilenet_v3_small", .num_classes = 10);
 *     lucid_load(net, "mobilenet_v3_small.pth", .ignore = "classifier.3.*");
 *
 * ResNets have options and macros of their own too (resnet.h). */
#ifndef LUCID_NN_MODELS_MODEL_H
#define LUCID_NN_MODELS_MODEL_H

#include "../../lucid/core/options.h"
#include "../module.h"

LUCID_BEGIN_DECLS

typedef struct lucid_nn_model_options {
    LUCID_OPTIONS_SIZE(lucid_nn_model_options);
    int64_t num_classes LUCID_DEFAULT(1000); /* outputs, >= 1 */
    int64_t in_channels LUCID_DEFAULT(3);    /* channels of the images, >= 1 */
    /* The probability of the dropout before the last layer, in [0, 1]. -1: the model's. */
    double dropout LUCID_DEFAULT(-1);
    /* The size of the images, for vit alone: a multiple of the patch. 0: 224 (vit_h_14 too). */
    int64_t image_size LUCID_DEFAULT(0);
} lucid_nn_model_options;
LUCID_DEFAULTS(lucid_nn_model, .num_classes = 1000, .in_channels = 3, .dropout = -1,
               .image_size = 0);

/* Makes the network of this name, with torchvision's initial values:
 *
 *     alexnet; vgg11, vgg13, vgg16, vgg19, and the same with _bn; resnet18, 34, 50, 101, 152;
 *     resnext50_32x4d, resnext101_32x8d, resnext101_64x4d; wide_resnet50_2, wide_resnet101_2;
 *     densenet121, 161, 169, 201; squeezenet1_0, 1_1; googlenet; inception_v3; mobilenet_v2;
 *     mobilenet_v3_small, _large; mnasnet0_5, 0_75, 1_0, 1_3; shufflenet_v2_x0_5, x1_0, x1_5, x2_0;
 *     efficientnet_b0 to b7, efficientnet_v2_s, _m, _l; regnet_x_400mf, 800mf, 1_6gf, 3_2gf, 8gf,
 *     16gf, 32gf, regnet_y_ of the same sizes and 128gf; convnext_tiny, small, base, large;
 *     vit_b_16, b_32, l_16, l_32, h_14; lenet5 (LeCun et al., 1998: images of 28x28 or 32x32)
 *
 * Shape: [N,in_channels,H,W] gives [N,num_classes], for any H and W that leave a pixel in each
 * layer; torchvision has trained with 224x224 (inception_v3: 299x299). googlenet and inception_v3
 * have the auxiliary classifiers of training as further outputs that need not be asked for; they
 * are logits too, and NULL in eval mode:
 *
 *     lucid_forward_into(net, (x), (&y, &aux2, &aux1));     // googlenet; inception_v3: (&y, &aux)
 *
 * NULL after an error; an unknown name is LUCID_ERR_ARGUMENT. */
LUCID_API lucid_module *lucid_nn_model(const char *name, const lucid_nn_model_options *options);
/* nn_Model("vgg16_bn", .num_classes = 10) */
#define nn_Model(...) LUCID_CALL1(lucid_nn_model, lucid_nn_model, LUCID_ASIS, __VA_ARGS__)

/* The number of names, and name i; NULL, with an error, where there is none. */
LUCID_API int64_t lucid_model_count(void);
LUCID_API const char *lucid_model_name(int64_t i);

LUCID_END_DECLS
#endif

/* model.c: networks by name. */
#include "nn/models/model.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/models/build_priv.h"

#include <string.h>

static const struct {
    const char *name;
    luc_model_builder *build;
    int row;
} models[] = {
    {"lenet5", luc_build_lenet, 0},
    {"alexnet", luc_build_alexnet, 0},
    {"vgg11", luc_build_vgg, 0},
    {"vgg13", luc_build_vgg, 1},
    {"vgg16", luc_build_vgg, 2},
    {"vgg19", luc_build_vgg, 3},
    {"vgg11_bn", luc_build_vgg, 4},
    {"vgg13_bn", luc_build_vgg, 5},
    {"vgg16_bn", luc_build_vgg, 6},
    {"vgg19_bn", luc_build_vgg, 7},
    {"resnet18", luc_build_resnet, 0},
    {"resnet34", luc_build_resnet, 1},
    {"resnet50", luc_build_resnet, 2},
    {"resnet101", luc_build_resnet, 3},
    {"resnet152", luc_build_resnet, 4},
    {"resnext50_32x4d", luc_build_resnet, 5},
    {"resnext101_32x8d", luc_build_resnet, 6},
    {"resnext101_64x4d", luc_build_resnet, 7},
    {"wide_resnet50_2", luc_build_resnet, 8},
    {"wide_resnet101_2", luc_build_resnet, 9},
    {"densenet121", luc_build_densenet, 0},
    {"densenet161", luc_build_densenet, 1},
    {"densenet169", luc_build_densenet, 2},
    {"densenet201", luc_build_densenet, 3},
    {"squeezenet1_0", luc_build_squeezenet, 0},
    {"squeezenet1_1", luc_build_squeezenet, 1},
    {"googlenet", luc_build_googlenet, 0},
    {"inception_v3", luc_build_inception, 0},
    {"mobilenet_v2", luc_build_mobilenet_v2, 0},
    {"mobilenet_v3_small", luc_build_mobilenet_v3, 0},
    {"mobilenet_v3_large", luc_build_mobilenet_v3, 1},
    {"mnasnet0_5", luc_build_mnasnet, 0},
    {"mnasnet0_75", luc_build_mnasnet, 1},
    {"mnasnet1_0", luc_build_mnasnet, 2},
    {"mnasnet1_3", luc_build_mnasnet, 3},
    {"shufflenet_v2_x0_5", luc_build_shufflenet, 0},
    {"shufflenet_v2_x1_0", luc_build_shufflenet, 1},
    {"shufflenet_v2_x1_5", luc_build_shufflenet, 2},
    {"shufflenet_v2_x2_0", luc_build_shufflenet, 3},
    {"efficientnet_b0", luc_build_efficientnet, 0},
    {"efficientnet_b1", luc_build_efficientnet, 1},
    {"efficientnet_b2", luc_build_efficientnet, 2},
    {"efficientnet_b3", luc_build_efficientnet, 3},
    {"efficientnet_b4", luc_build_efficientnet, 4},
    {"efficientnet_b5", luc_build_efficientnet, 5},
    {"efficientnet_b6", luc_build_efficientnet, 6},
    {"efficientnet_b7", luc_build_efficientnet, 7},
    {"efficientnet_v2_s", luc_build_efficientnet, 8},
    {"efficientnet_v2_m", luc_build_efficientnet, 9},
    {"efficientnet_v2_l", luc_build_efficientnet, 10},
    {"regnet_x_400mf", luc_build_regnet, 0},
    {"regnet_x_800mf", luc_build_regnet, 1},
    {"regnet_x_1_6gf", luc_build_regnet, 2},
    {"regnet_x_3_2gf", luc_build_regnet, 3},
    {"regnet_x_8gf", luc_build_regnet, 4},
    {"regnet_x_16gf", luc_build_regnet, 5},
    {"regnet_x_32gf", luc_build_regnet, 6},
    {"regnet_y_400mf", luc_build_regnet, 7},
    {"regnet_y_800mf", luc_build_regnet, 8},
    {"regnet_y_1_6gf", luc_build_regnet, 9},
    {"regnet_y_3_2gf", luc_build_regnet, 10},
    {"regnet_y_8gf", luc_build_regnet, 11},
    {"regnet_y_16gf", luc_build_regnet, 12},
    {"regnet_y_32gf", luc_build_regnet, 13},
    {"regnet_y_128gf", luc_build_regnet, 14},
    {"convnext_tiny", luc_build_convnext, 0},
    {"convnext_small", luc_build_convnext, 1},
    {"convnext_base", luc_build_convnext, 2},
    {"convnext_large", luc_build_convnext, 3},
    {"vit_b_16", luc_build_vit, 0},
    {"vit_b_32", luc_build_vit, 1},
    {"vit_l_16", luc_build_vit, 2},
    {"vit_l_32", luc_build_vit, 3},
    {"vit_h_14", luc_build_vit, 4},
};
enum { MODELS = sizeof models / sizeof *models };

int64_t lucid_model_count(void)
{
    return MODELS;
}

const char *lucid_model_name(int64_t i)
{
    if (i >= 0 && i < MODELS) return models[i].name;
    return luc_raise_null(LUCID_ERR_ARGUMENT, "model_name", "i: expected one in [0,%d), got %lld",
                          (int)MODELS, (long long)i);
}

lucid_module *lucid_nn_model(const char *name, const lucid_nn_model_options *options)
{
    static const char op[] = "Model";
    const lucid_nn_model_options *o = LUC_OPTIONS(lucid_nn_model, options, op);
    if (!o) return NULL;
    if (!name) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "name: got NULL");
    if (o->num_classes < 1 || o->in_channels < 1 || o->image_size < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "num_classes, in_channels: expected at least 1, got %lld and %lld; "
                              "image_size: at least 0, got %lld",
                              (long long)o->num_classes, (long long)o->in_channels,
                              (long long)o->image_size);
    if (!(o->dropout == -1 || (o->dropout >= 0 && o->dropout <= 1)))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "dropout: expected -1 or one in [0, 1], got %g", o->dropout);
    for (int i = 0; i < MODELS; i++)
        if (strcmp(models[i].name, name) == 0) return models[i].build(models[i].row, o);
    return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                          "name: expected one of %d (lucid_model_name), got \"%s\"", (int)MODELS,
                          name);
}

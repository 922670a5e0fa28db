/* alexnet.c: LeNet-5 and AlexNet. */
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

static const lucid_module_class alexnet_class = {
    .name = "AlexNet", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class lenet_class = {
    .name = "LeNet5", .size = sizeof(luc_net), .super = &luc_net_class};

/* Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014: [N,C,H,W],
 * H and W at least 63, gives [N,num_classes]. */
lucid_module *luc_build_alexnet(int i, const lucid_nn_model_options *o)
{
    const double p = luc_dropout_of(o, 0.5);
    lucid_module *m = lucid_module_new(&alexnet_class);
    (void)i;
    bool ok = luc_net_add(
                  m, "features",
                  nn_Sequential(nn_Conv2d(o->in_channels, 64, 11, .stride = 4, .padding = 2),
                                nn_ReLU(.inplace = true), nn_MaxPool2d(3, .stride = 2),
                                nn_Conv2d(64, 192, 5, .padding = 2), nn_ReLU(.inplace = true),
                                nn_MaxPool2d(3, .stride = 2), nn_Conv2d(192, 384, 3, .padding = 1),
                                nn_ReLU(.inplace = true), nn_Conv2d(384, 256, 3, .padding = 1),
                                nn_ReLU(.inplace = true), nn_Conv2d(256, 256, 3, .padding = 1),
                                nn_ReLU(.inplace = true), nn_MaxPool2d(3, .stride = 2))) &&
              luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(6)) && luc_net_head(m, false, false) &&
              luc_net_add(m, "classifier",
                          nn_Sequential(nn_Dropout(.p = p), nn_Linear(256 * 6 * 6, 4096),
                                        nn_ReLU(.inplace = true), nn_Dropout(.p = p),
                                        nn_Linear(4096, 4096), nn_ReLU(.inplace = true),
                                        nn_Linear(4096, o->num_classes)));
    return luc_finish_model(m, ok, NULL);
}

/* LeCun et al., "Gradient-based learning applied to document recognition", 1998, with max pooling
 * and rectifiers as it is mostly written now: images of 28x28 (padded by 2) or 32x32. */
lucid_module *luc_build_lenet(int i, const lucid_nn_model_options *o)
{
    lucid_module *m = lucid_module_new(&lenet_class);
    (void)i;
    bool ok = luc_net_add(m, "features",
                          nn_Sequential(nn_Conv2d(o->in_channels, 6, 5, .padding = 2), nn_ReLU(),
                                        nn_MaxPool2d(2), nn_Conv2d(6, 16, 5), nn_ReLU(),
                                        nn_MaxPool2d(2))) &&
              luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(5)) && luc_net_head(m, false, false) &&
              luc_net_add(m, "classifier",
                          nn_Sequential(nn_Linear(400, 120), nn_ReLU(), nn_Linear(120, 84),
                                        nn_ReLU(), nn_Linear(84, o->num_classes)));
    return luc_finish_model(m, ok, NULL);
}

/* vgg.c: VGG (Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
 * recognition", 2015), without and with BatchNorm. */
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

static const lucid_module_class vgg_class = {
    .name = "VGG", .size = sizeof(luc_net), .super = &luc_net_class};

/* Five stages of 3x3 convolutions, each ended by max pooling. */
static lucid_module *make_features(const int *depths, bool norm, int64_t in)
{
    static const int64_t widths[] = {64, 128, 256, 512, 512};
    lucid_module *m = nn_Sequential();
    bool ok = m != NULL;
    for (int stage = 0; ok && stage < 5; stage++) {
        for (int k = 0; ok && k < depths[stage]; k++) {
            ok = luc_append(m, NULL, nn_Conv2d(in, widths[stage], 3, .padding = 1)) &&
                 (!norm || luc_append(m, NULL, nn_BatchNorm2d(widths[stage]))) &&
                 luc_append(m, NULL, nn_ReLU(.inplace = true));
            in = widths[stage];
        }
        ok = ok && luc_append(m, NULL, nn_MaxPool2d(2));
    }
    return luc_finish_model(m, ok, NULL);
}

/* [N,C,H,W], H and W at least 32, gives [N,num_classes]. */
lucid_module *luc_build_vgg(int i, const lucid_nn_model_options *o)
{
    static const int depths[][5] = {
        {1, 1, 2, 2, 2}, {2, 2, 2, 2, 2}, {2, 2, 3, 3, 3}, {2, 2, 4, 4, 4}};
    static const luc_init init = {LUC_INIT_FAN_OUT, 0, LUC_INIT_NORMAL, 0.01};
    const double p = luc_dropout_of(o, 0.5);
    lucid_module *m = lucid_module_new(&vgg_class);
    bool ok = luc_net_add(m, "features", make_features(depths[i % 4], i >= 4, o->in_channels)) &&
              luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(7)) && luc_net_head(m, false, false) &&
              luc_net_add(m, "classifier",
                          nn_Sequential(nn_Linear(512 * 7 * 7, 4096), nn_ReLU(.inplace = true),
                                        nn_Dropout(.p = p), nn_Linear(4096, 4096),
                                        nn_ReLU(.inplace = true), nn_Dropout(.p = p),
                                        nn_Linear(4096, o->num_classes)));
    return luc_finish_model(m, ok, &init);
}

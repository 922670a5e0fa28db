/* squeezenet.c: SqueezeNet (Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer
 * parameters", 2016). */
#include "nn/init.h"
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

static const lucid_module_class squeezenet_class = {
    .name = "SqueezeNet", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class fire_class = {
    .name = "Fire", .size = sizeof(luc_branches), .super = &luc_branches_class};

/* 1x1 to few channels, then 1x1 and 3x3 side by side. */
static lucid_module *make_fire(int64_t in, int64_t squeeze, int64_t expand)
{
    lucid_module *m = luc_branches_new(&fire_class, "ab(cd|ef)");
    bool ok = luc_branches_add(m, "squeeze", nn_Conv2d(in, squeeze, 1)) &&
              luc_branches_add(m, "squeeze_activation", nn_ReLU(.inplace = true)) &&
              luc_branches_add(m, "expand1x1", nn_Conv2d(squeeze, expand, 1)) &&
              luc_branches_add(m, "expand1x1_activation", nn_ReLU(.inplace = true)) &&
              luc_branches_add(m, "expand3x3", nn_Conv2d(squeeze, expand, 3, .padding = 1)) &&
              luc_branches_add(m, "expand3x3_activation", nn_ReLU(.inplace = true));
    return luc_finish_model(m, ok, NULL);
}

/* Eight fire modules, some after max pooling. */
static lucid_module *make_features(int version, int64_t in)
{
    static const int64_t squeeze[] = {16, 16, 32, 32, 48, 48, 64, 64};
    static const bool pooled[2][8] = {{true, false, false, true, false, false, false, true},
                                      {true, false, true, false, true, false, false, false}};
    int64_t width = version ? 64 : 96;
    lucid_module *m =
        nn_Sequential(nn_Conv2d(in, width, version ? 3 : 7, .stride = 2), nn_ReLU(.inplace = true));
    bool ok = m != NULL;
    for (int k = 0; ok && k < 8; k++) {
        if (pooled[version][k])
            ok = luc_append(m, NULL, nn_MaxPool2d(3, .stride = 2, .ceil_mode = true));
        ok = ok && luc_append(m, NULL, make_fire(width, squeeze[k], 4 * squeeze[k]));
        width = 8 * squeeze[k];
    }
    return luc_finish_model(m, ok, NULL);
}

/* [N,C,H,W], H and W at least 21, gives [N,num_classes]: the mean of a map of each class. */
lucid_module *luc_build_squeezenet(int i, const lucid_nn_model_options *o)
{
    static const luc_init init = {.conv = LUC_INIT_FAN_IN_UNIFORM};
    lucid_module *m = lucid_module_new(&squeezenet_class);
    lucid_module *last = nn_Conv2d(512, o->num_classes, 1);
    bool ok = luc_net_add(m, "features", make_features(i, o->in_channels)) &&
              luc_net_add(m, "classifier",
                          nn_Sequential(nn_Dropout(.p = luc_dropout_of(o, 0.5)), last,
                                        nn_ReLU(.inplace = true), nn_AdaptiveAvgPool2d(1))) &&
              luc_net_head(m, false, false);
    m = luc_finish_model(m, ok, &init);
    if (m && lucid_init_normal(lucid_self(last, nn_Conv2d)->weight, 0, 0.01)) return m;
    lucid_module_free(m);
    return NULL;
}

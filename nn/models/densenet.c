/* densenet.c: DenseNet (Huang et al., "Densely connected convolutional networks", 2017). */
#include "lucid/core/error_priv.h"
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"
#include "nn/state_dict.h"

#include <stdio.h>
#include <string.h>

/* Files of before 2017 have names such as "norm.1.weight" where the layer's is "norm1.weight". */
static bool load_old_names(lucid_module *m, lucid_state_dict *state, const char *prefix,
                           int64_t version)
{
    static const char *const parts[] = {"norm", "conv"};
    const size_t n = strlen(prefix);
    (void)m, (void)version;
    for (size_t i = 0; i < lucid_state_dict_size(state);) {
        const char *name = lucid_state_dict_at(state, i).name;
        char renamed[512] = "";
        for (int k = 0; k < 2 && strncmp(name, prefix, n) == 0; k++)
            if (strncmp(name + n, parts[k], 4) == 0 && name[n + 4] == '.' && name[n + 5] &&
                name[n + 6] == '.' && strlen(name) < sizeof renamed)
                snprintf(renamed, sizeof renamed, "%s%s%s", prefix, parts[k], name + n + 5);
        if (!*renamed) {
            i++;
            continue;
        }
        char old[512];
        snprintf(old, sizeof old, "%s", name);
        if (!lucid_state_dict_set(state, renamed, lucid_state_dict_at(state, i).tensor) ||
            !lucid_state_dict_remove(state, old))
            return false;
    }
    return true;
}

static const lucid_module_class densenet_class = {
    .name = "DenseNet", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class layer_class = {.name = "_DenseLayer",
                                               .size = sizeof(luc_branches),
                                               .super = &luc_branches_class,
                                               .load_state_hook = load_old_names};
static const lucid_module_class block_class = {
    .name = "_DenseBlock", .size = sizeof(nn_Sequential), .super = &lucid_nn_sequential_class};
static const lucid_module_class transition_class = {
    .name = "_Transition", .size = sizeof(nn_Sequential), .super = &lucid_nn_sequential_class};

/* Gives its input and `growth` channels more. */
static lucid_module *make_layer(int64_t in, int64_t growth)
{
    lucid_module *m = luc_branches_new(&layer_class, "I|abcdef");
    bool ok =
        luc_branches_add(m, "norm1", nn_BatchNorm2d(in)) &&
        luc_branches_add(m, "relu1", nn_ReLU(.inplace = true)) &&
        luc_branches_add(m, "conv1", nn_Conv2d(in, 4 * growth, 1, .bias = false)) &&
        luc_branches_add(m, "norm2", nn_BatchNorm2d(4 * growth)) &&
        luc_branches_add(m, "relu2", nn_ReLU(.inplace = true)) &&
        luc_branches_add(m, "conv2", nn_Conv2d(4 * growth, growth, 3, .padding = 1, .bias = false));
    return luc_finish_model(m, ok, NULL);
}

static lucid_module *make_block(int layers, int64_t in, int64_t growth)
{
    lucid_module *m = lucid_module_new(&block_class);
    bool ok = m != NULL;
    for (int k = 0; ok && k < layers; k++) {
        char name[40];
        snprintf(name, sizeof name, "denselayer%d", k + 1);
        ok = luc_append(m, name, make_layer(in + k * growth, growth));
    }
    return luc_finish_model(m, ok, NULL);
}

/* Half the channels, a quarter of the pixels. */
static lucid_module *make_transition(int64_t in)
{
    lucid_module *m = lucid_module_new(&transition_class);
    bool ok = luc_append(m, "norm", nn_BatchNorm2d(in)) &&
              luc_append(m, "relu", nn_ReLU(.inplace = true)) &&
              luc_append(m, "conv", nn_Conv2d(in, in / 2, 1, .bias = false)) &&
              luc_append(m, "pool", nn_AvgPool2d(2));
    return luc_finish_model(m, ok, NULL);
}

/* [N,C,H,W], H and W at least 29, gives [N,num_classes]. */
lucid_module *luc_build_densenet(int i, const lucid_nn_model_options *o)
{
    static const struct {
        int64_t growth, stem;
        int layers[4];
    } rows[] = {{32, 64, {6, 12, 24, 16}},
                {48, 96, {6, 12, 36, 24}},
                {32, 64, {6, 12, 32, 32}},
                {32, 64, {6, 12, 48, 32}}};
    static const luc_init init = {.conv = LUC_INIT_FAN_IN};
    int64_t width = rows[i].stem;
    lucid_module *m = lucid_module_new(&densenet_class), *f = nn_Sequential();
    bool ok =
        luc_net_add(m, "features", f) &&
        luc_append(f, "conv0",
                   nn_Conv2d(o->in_channels, width, 7, .stride = 2, .padding = 3, .bias = false)) &&
        luc_append(f, "norm0", nn_BatchNorm2d(width)) &&
        luc_append(f, "relu0", nn_ReLU(.inplace = true)) &&
        luc_append(f, "pool0", nn_MaxPool2d(3, .stride = 2, .padding = 1));
    for (int k = 0; ok && k < 4; k++) {
        char name[40];
        snprintf(name, sizeof name, "denseblock%d", k + 1);
        ok = luc_append(f, name, make_block(rows[i].layers[k], width, rows[i].growth));
        width += rows[i].layers[k] * rows[i].growth;
        if (k == 3) break;
        snprintf(name, sizeof name, "transition%d", k + 1);
        ok = ok && luc_append(f, name, make_transition(width));
        width /= 2;
    }
    ok = ok && luc_append(f, "norm5", nn_BatchNorm2d(width)) && luc_net_head(m, true, true) &&
         luc_net_add(m, "classifier", nn_Linear(width, o->num_classes));
    return luc_finish_model(m, ok, &init);
}

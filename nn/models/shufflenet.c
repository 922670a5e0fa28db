/* shufflenet.c: ShuffleNetV2 (Ma et al., "ShuffleNet V2: practical guidelines for efficient CNN
 * architecture design", 2018). */
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

#include <stdio.h>

static const lucid_module_class net_class = {
    .name = "ShuffleNetV2", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class block_class = {
    .name = "InvertedResidual", .size = sizeof(luc_branches), .super = &luc_branches_class};

/* With a stride, two branches of the input; otherwise one half of the channels stays as it is. */
static lucid_module *make_block(int64_t in, int64_t out, int64_t stride)
{
    const int64_t half = out / 2;
    lucid_module *m = luc_branches_new(&block_class, stride > 1 ? "(a|b)S" : "(L|Rb)S");
    lucid_module *first = nn_Sequential(), *second = nn_Sequential();
    bool ok = luc_branches_add(m, "branch1", first) && luc_branches_add(m, "branch2", second);
    if (ok && stride > 1)
        ok = luc_append_conv(first, in, in, 3, stride, in, 0.1, false) &&
             luc_append_conv(first, in, half, 1, 1, 1, 0.1, true);
    ok = ok && luc_append_conv(second, stride > 1 ? in : half, half, 1, 1, 1, 0.1, true) &&
         luc_append_conv(second, half, half, 3, stride, half, 0.1, false) &&
         luc_append_conv(second, half, half, 1, 1, 1, 0.1, true);
    return luc_finish_model(m, ok, NULL);
}

static lucid_module *conv(int64_t in, int64_t out, int64_t kernel, int64_t stride)
{
    lucid_module *m = nn_Sequential();
    return luc_finish_model(m, m && luc_append_conv(m, in, out, kernel, stride, 1, 0.1, true),
                            NULL);
}

/* [N,C,H,W] gives [N,num_classes]. */
lucid_module *luc_build_shufflenet(int i, const lucid_nn_model_options *o)
{
    static const int64_t widths[][4] = {
        {48, 96, 192, 1024}, {116, 232, 464, 1024}, {176, 352, 704, 1024}, {244, 488, 976, 2048}};
    static const int blocks[] = {4, 8, 4};
    int64_t in = 24;
    lucid_module *m = lucid_module_new(&net_class);
    bool ok = luc_net_add(m, "conv1", conv(o->in_channels, in, 3, 2)) &&
              luc_net_add(m, "maxpool", nn_MaxPool2d(3, .stride = 2, .padding = 1));
    for (int s = 0; ok && s < 3; s++) {
        char name[40];
        snprintf(name, sizeof name, "stage%d", s + 2);
        lucid_module *stage = nn_Sequential();
        ok = luc_net_add(m, name, stage);
        for (int k = 0; ok && k < blocks[s]; k++, in = widths[i][s])
            ok = luc_append(stage, NULL, make_block(in, widths[i][s], k ? 1 : 2));
    }
    ok = ok && luc_net_add(m, "conv5", conv(in, widths[i][3], 1, 1)) &&
         luc_net_head(m, false, true) &&
         luc_net_add(m, "fc", nn_Linear(widths[i][3], o->num_classes));
    return luc_finish_model(m, ok, NULL);
}

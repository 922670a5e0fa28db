/* regnet.c: RegNet (Radosavovic et al., "Designing network design spaces", 2020). */
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

#include <math.h>
#include <stdio.h>

static const lucid_module_class net_class = {
    .name = "RegNet", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class block_class = {
    .name = "ResBottleneckBlock", .size = sizeof(luc_residual), .super = &luc_residual_class};

/* What the paper's line of widths comes to, stage by stage. */
typedef struct plan {
    int blocks[4];
    int64_t width[4];
    int64_t group; /* channels of a group of the 3x3 convolutions */
    bool squeeze;  /* Y: squeeze and excitation */
} plan;

static const plan plans[] = {
    {{1, 2, 7, 12}, {32, 64, 160, 400}, 16, false},
    {{1, 3, 7, 5}, {64, 128, 288, 672}, 16, false},
    {{2, 4, 10, 2}, {72, 168, 408, 912}, 24, false},
    {{2, 6, 15, 2}, {96, 192, 432, 1008}, 48, false},
    {{2, 5, 15, 1}, {80, 240, 720, 1920}, 120, false},
    {{2, 6, 13, 1}, {256, 512, 896, 2048}, 128, false},
    {{2, 7, 13, 1}, {336, 672, 1344, 2520}, 168, false},
    {{1, 3, 6, 6}, {48, 104, 208, 440}, 8, true},
    {{1, 3, 8, 2}, {64, 144, 320, 784}, 16, true},
    {{2, 6, 17, 2}, {48, 120, 336, 888}, 24, true},
    {{2, 5, 13, 1}, {72, 216, 576, 1512}, 24, true},
    {{2, 4, 10, 1}, {224, 448, 896, 2016}, 56, true},
    {{2, 4, 11, 1}, {224, 448, 1232, 3024}, 112, true},
    {{2, 5, 12, 1}, {232, 696, 1392, 3712}, 232, true},
    {{2, 7, 17, 1}, {528, 1056, 2904, 7392}, 264, true},
};

static lucid_module *conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups,
                          bool active)
{
    return nn_Conv2dNormActivation(in, out, kernel, .stride = stride, .groups = groups,
                                   .activation =
                                       active ? LUCID_ACTIVATION_RELU : LUCID_ACTIVATION_NONE);
}

static lucid_module *make_block(const plan *p, int64_t in, int64_t out, int64_t stride)
{
    const int64_t group = p->group < out ? p->group : out;
    lucid_module *m = lucid_module_new(&block_class), *body = nn_Sequential();
    luc_residual *r = (luc_residual *)m;
    bool ok =
        body && luc_append(body, "a", conv(in, out, 1, 1, 1, true)) &&
        luc_append(body, "b", conv(out, out, 3, stride, out / group, true)) &&
        (!p->squeeze ||
         luc_append(body, "se", nn_SqueezeExcitation(out, (int64_t)rint(0.25 * (double)in)))) &&
        luc_append(body, "c", conv(out, out, 1, 1, 1, false));
    body = luc_finish_model(body, ok, NULL);
    if (!r || !body) {
        lucid_module_free(m);
        lucid_module_free(body);
        return NULL;
    }
    r->add = true;
    if (in != out || stride > 1)
        ok = lucid_register_module(m, "proj", &r->project, conv(in, out, 1, stride, 1, false));
    ok = lucid_register_module(m, "f", &r->body, body) && ok &&
         lucid_register_module(m, "activation", &r->after, nn_ReLU(.inplace = true));
    return luc_finish_model(m, ok, NULL);
}

static lucid_module *make_trunk(const plan *p, int64_t in)
{
    lucid_module *m = nn_Sequential();
    bool ok = m != NULL;
    for (int s = 0; ok && s < 4; s++) {
        char name[40];
        snprintf(name, sizeof name, "block%d", s + 1);
        lucid_module *stage = nn_Sequential();
        ok = luc_append(m, name, stage);
        for (int k = 0; ok && k < p->blocks[s]; k++, in = p->width[s]) {
            snprintf(name, sizeof name, "block%d-%d", s + 1, k);
            ok = luc_append(stage, name, make_block(p, in, p->width[s], k ? 1 : 2));
        }
    }
    return luc_finish_model(m, ok, NULL);
}

/* [N,C,H,W] gives [N,num_classes]. */
lucid_module *luc_build_regnet(int i, const lucid_nn_model_options *o)
{
    static const luc_init init = {LUC_INIT_FAN_OUT, 0, LUC_INIT_NORMAL, 0.01};
    lucid_module *m = lucid_module_new(&net_class);
    bool ok = luc_net_add(m, "stem", conv(o->in_channels, 32, 3, 2, 1, true)) &&
              luc_net_add(m, "trunk_output", make_trunk(&plans[i], 32)) &&
              luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(1)) && luc_net_head(m, false, false) &&
              luc_net_add(m, "fc", nn_Linear(plans[i].width[3], o->num_classes));
    return luc_finish_model(m, ok, &init);
}

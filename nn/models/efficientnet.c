/* efficientnet.c: EfficientNet (Tan and Le, "EfficientNet: rethinking model scaling for
 * convolutional neural networks", 2019) and EfficientNetV2 (2021). */
#include "nn/layers/container.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

#include <math.h>

static const lucid_module_class net_class = {
    .name = "EfficientNet", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class block_class = {
    .name = "MBConv", .size = sizeof(luc_residual), .super = &luc_residual_class};
static const lucid_module_class fused_class = {
    .name = "FusedMBConv", .size = sizeof(luc_residual), .super = &luc_residual_class};

/* A stage: the first block has the stride. */
typedef struct stage {
    bool fused; /* one 3x3 convolution instead of 1x1, one for each channel, and squeeze */
    int expand, kernel, stride, width, blocks;
} stage;

static const stage base[] = {{false, 1, 3, 1, 16, 1},  {false, 6, 3, 2, 24, 2},
                             {false, 6, 5, 2, 40, 2},  {false, 6, 3, 2, 80, 3},
                             {false, 6, 5, 1, 112, 3}, {false, 6, 5, 2, 192, 4},
                             {false, 6, 3, 1, 320, 1}, {.blocks = 0}};
static const stage v2_s[] = {{true, 1, 3, 1, 24, 2},
                             {true, 4, 3, 2, 48, 4},
                             {true, 4, 3, 2, 64, 4},
                             {false, 4, 3, 2, 128, 6},
                             {false, 6, 3, 1, 160, 9},
                             {false, 6, 3, 2, 256, 15},
                             {.blocks = 0}};
static const stage v2_m[] = {{true, 1, 3, 1, 24, 3},    {true, 4, 3, 2, 48, 5},
                             {true, 4, 3, 2, 80, 5},    {false, 4, 3, 2, 160, 7},
                             {false, 6, 3, 1, 176, 14}, {false, 6, 3, 2, 304, 18},
                             {false, 6, 3, 1, 512, 5},  {.blocks = 0}};
static const stage v2_l[] = {{true, 1, 3, 1, 32, 4},    {true, 4, 3, 2, 64, 7},
                             {true, 4, 3, 2, 96, 7},    {false, 4, 3, 2, 192, 10},
                             {false, 6, 3, 1, 224, 19}, {false, 6, 3, 2, 384, 25},
                             {false, 6, 3, 1, 640, 7},  {.blocks = 0}};

typedef struct plan {
    const stage *stages;
    double width, depth, dropout;
    int64_t stem, last;   /* last: 0 is four times the last stage */
    double eps, momentum; /* of norms */
} plan;

static const plan plans[] = {
    {base, 1, 1, 0.2, 32, 0, 1e-5, 0.1},      {base, 1, 1.1, 0.2, 32, 0, 1e-5, 0.1},
    {base, 1.1, 1.2, 0.3, 32, 0, 1e-5, 0.1},  {base, 1.2, 1.4, 0.3, 32, 0, 1e-5, 0.1},
    {base, 1.4, 1.8, 0.4, 32, 0, 1e-5, 0.1},  {base, 1.6, 2.2, 0.4, 32, 0, 1e-3, 0.01},
    {base, 1.8, 2.6, 0.5, 32, 0, 1e-3, 0.01}, {base, 2, 3.1, 0.5, 32, 0, 1e-3, 0.01},
    {v2_s, 1, 1, 0.2, 24, 1280, 1e-3, 0.1},   {v2_m, 1, 1, 0.3, 24, 1280, 1e-3, 0.1},
    {v2_l, 1, 1, 0.4, 32, 1280, 1e-3, 0.1},
};

static lucid_module *conv(const plan *p, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                          int64_t groups, bool active)
{
    return nn_Conv2dNormActivation(
        in, out, kernel, .stride = stride, .groups = groups, .eps = p->eps, .momentum = p->momentum,
        .activation = active ? LUCID_ACTIVATION_SILU : LUCID_ACTIVATION_NONE);
}

static lucid_module *make_body(const plan *p, const stage *s, int64_t in, int64_t out,
                               int64_t stride)
{
    const int64_t inner = luc_round_channels((double)in * s->expand, 8);
    lucid_module *m = nn_Sequential();
    bool ok = m != NULL;
    if (s->fused && inner == in)
        ok = ok && luc_append(m, NULL, conv(p, in, out, s->kernel, stride, 1, true));
    else if (s->fused)
        ok = ok && luc_append(m, NULL, conv(p, in, inner, s->kernel, stride, 1, true)) &&
             luc_append(m, NULL, conv(p, inner, out, 1, 1, 1, false));
    else
        ok = ok && (inner == in || luc_append(m, NULL, conv(p, in, inner, 1, 1, 1, true))) &&
             luc_append(m, NULL, conv(p, inner, inner, s->kernel, stride, inner, true)) &&
             luc_append(m, NULL,
                        nn_SqueezeExcitation(inner, in < 4 ? 1 : in / 4,
                                             .activation = LUCID_ACTIVATION_SILU)) &&
             luc_append(m, NULL, conv(p, inner, out, 1, 1, 1, false));
    return luc_finish_model(m, ok, NULL);
}

static lucid_module *make_block(const plan *p, const stage *s, int64_t in, int64_t out,
                                int64_t stride, double drop)
{
    lucid_module *m = lucid_module_new(s->fused ? &fused_class : &block_class);
    luc_residual *r = (luc_residual *)m;
    if (!r) return NULL;
    r->add = stride == 1 && in == out;
    bool ok = lucid_register_module(m, "block", &r->body, make_body(p, s, in, out, stride)) &&
              lucid_register_module(m, "stochastic_depth", &r->drop, nn_StochasticDepth(drop));
    return luc_finish_model(m, ok, NULL);
}

static int blocks_of(const plan *p, const stage *s)
{
    return (int)ceil(s->blocks * p->depth);
}

/* [N,C,H,W] gives [N,num_classes]. Blocks are left out in training with a probability that grows to
 * 0.2 with depth. */
lucid_module *luc_build_efficientnet(int i, const lucid_nn_model_options *o)
{
    static const luc_init init = {LUC_INIT_FAN_OUT, 0, LUC_INIT_OUTPUTS, 0};
    const plan *p = &plans[i];
    int64_t in = luc_round_channels((double)p->stem * p->width, 8);
    int total = 0, done = 0;
    for (const stage *s = p->stages; s->blocks; s++) total += blocks_of(p, s);
    lucid_module *m = lucid_module_new(&net_class), *f = nn_Sequential();
    bool ok = luc_net_add(m, "features", f) &&
              luc_append(f, NULL, conv(p, o->in_channels, in, 3, 2, 1, true));
    for (const stage *s = p->stages; ok && s->blocks; s++) {
        const int64_t out = luc_round_channels(s->width * p->width, 8);
        lucid_module *blocks = nn_Sequential();
        ok = luc_append(f, NULL, blocks);
        for (int k = 0; ok && k < blocks_of(p, s); k++, done++, in = out)
            ok = luc_append(blocks, NULL,
                            make_block(p, s, in, out, k ? 1 : s->stride, 0.2 * done / total));
    }
    const int64_t last = p->last ? p->last : 4 * in;
    ok = ok && luc_append(f, NULL, conv(p, in, last, 1, 1, 1, true)) &&
         luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(1)) && luc_net_head(m, false, false) &&
         luc_net_add(m, "classifier", luc_classifier(o, p->dropout, last));
    return luc_finish_model(m, ok, &init);
}

/* mobilenet.c: MobileNetV2 (Sandler et al., 2018), MobileNetV3 (Howard et al., 2019) and MNASNet
 * (Tan et al., "MnasNet: platform-aware neural architecture search for mobile", 2019): blocks that
 * widen, filter each channel, and narrow. */
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/curves.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

static const lucid_module_class v2_class = {
    .name = "MobileNetV2", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class v3_class = {
    .name = "MobileNetV3", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class mnasnet_class = {
    .name = "MNASNet", .size = sizeof(luc_net), .super = &luc_net_class, .version = 2};
static const lucid_module_class block_class = {
    .name = "InvertedResidual", .size = sizeof(luc_residual), .super = &luc_residual_class};

/* A block around a body that is made already. */
static lucid_module *make_block(const char *name, lucid_module *body, bool residual)
{
    lucid_module *m = lucid_module_new(&block_class);
    luc_residual *r = (luc_residual *)m;
    bool ok = lucid_register_module(m, name, m ? &r->body : NULL, body);
    if (m) r->add = residual;
    return luc_finish_model(m, ok, NULL);
}

/* ---- MobileNetV2 ----------------------------------------------------------------------------- */

static lucid_module *conv_v2(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                             int64_t groups)
{
    return nn_Conv2dNormActivation(in, out, kernel, .stride = stride, .groups = groups,
                                   .activation = LUCID_ACTIVATION_RELU6);
}

static lucid_module *block_v2(int64_t in, int64_t out, int64_t stride, int64_t expand)
{
    const int64_t inner = in * expand;
    lucid_module *body = nn_Sequential();
    bool ok = body && (expand == 1 || luc_append(body, NULL, conv_v2(in, inner, 1, 1, 1))) &&
              luc_append(body, NULL, conv_v2(inner, inner, 3, stride, inner)) &&
              luc_append_conv(body, inner, out, 1, 1, 1, 0.1, false);
    return make_block("conv", luc_finish_model(body, ok, NULL), stride == 1 && in == out);
}

/* [N,C,H,W] gives [N,num_classes]. */
lucid_module *luc_build_mobilenet_v2(int i, const lucid_nn_model_options *o)
{
    static const int rows[][4] = {/* expand, width, blocks, stride */
                                  {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                  {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    static const luc_init init = {LUC_INIT_FAN_OUT, 0, LUC_INIT_NORMAL, 0.01};
    int64_t in = 32;
    lucid_module *m = lucid_module_new(&v2_class), *f = nn_Sequential();
    bool ok =
        luc_net_add(m, "features", f) && luc_append(f, NULL, conv_v2(o->in_channels, in, 3, 2, 1));
    (void)i;
    for (int r = 0; ok && r < 7; r++)
        for (int k = 0; ok && k < rows[r][2]; k++, in = rows[r][1])
            ok = luc_append(f, NULL, block_v2(in, rows[r][1], k ? 1 : rows[r][3], rows[r][0]));
    ok = ok && luc_append(f, NULL, conv_v2(in, 1280, 1, 1, 1)) && luc_net_head(m, false, true) &&
         luc_net_add(m, "classifier", luc_classifier(o, 0.2, 1280));
    return luc_finish_model(m, ok, &init);
}

/* ---- MobileNetV3 ----------------------------------------------------------------------------- */

typedef struct row_v3 {
    int kernel, inner, out;
    bool squeeze, hardswish;
    int stride;
} row_v3;

static const row_v3 small_v3[] = {
    {3, 16, 16, true, false, 2}, {3, 72, 24, false, false, 2}, {3, 88, 24, false, false, 1},
    {5, 96, 40, true, true, 2},  {5, 240, 40, true, true, 1},  {5, 240, 40, true, true, 1},
    {5, 120, 48, true, true, 1}, {5, 144, 48, true, true, 1},  {5, 288, 96, true, true, 2},
    {5, 576, 96, true, true, 1}, {5, 576, 96, true, true, 1},
};
static const row_v3 large_v3[] = {
    {3, 16, 16, false, false, 1}, {3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1},
    {5, 72, 40, true, false, 2},  {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1},
    {3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1},
    {3, 184, 80, false, true, 1}, {3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1},
    {5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1},
};

static lucid_module *conv_v3(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                             int64_t groups, lucid_activation activation)
{
    return nn_Conv2dNormActivation(in, out, kernel, .stride = stride, .groups = groups, .eps = 1e-3,
                                   .momentum = 0.01, .activation = activation);
}

static lucid_module *block_v3(int64_t in, const row_v3 *r)
{
    const lucid_activation act = r->hardswish ? LUCID_ACTIVATION_HARDSWISH : LUCID_ACTIVATION_RELU;
    lucid_module *body = nn_Sequential();
    bool ok =
        body && (r->inner == in || luc_append(body, NULL, conv_v3(in, r->inner, 1, 1, 1, act))) &&
        luc_append(body, NULL, conv_v3(r->inner, r->inner, r->kernel, r->stride, r->inner, act)) &&
        (!r->squeeze ||
         luc_append(body, NULL,
                    nn_SqueezeExcitation(r->inner, luc_round_channels(r->inner / 4, 8),
                                         .scale_activation = LUCID_ACTIVATION_HARDSIGMOID))) &&
        luc_append(body, NULL, conv_v3(r->inner, r->out, 1, 1, 1, LUCID_ACTIVATION_NONE));
    return make_block("block", luc_finish_model(body, ok, NULL), r->stride == 1 && in == r->out);
}

/* [N,C,H,W] gives [N,num_classes]. */
lucid_module *luc_build_mobilenet_v3(int i, const lucid_nn_model_options *o)
{
    static const luc_init init = {LUC_INIT_FAN_OUT, 0, LUC_INIT_NORMAL, 0.01};
    const row_v3 *rows = i ? large_v3 : small_v3;
    const int n =
        i ? (int)(sizeof large_v3 / sizeof *large_v3) : (int)(sizeof small_v3 / sizeof *small_v3);
    const int64_t last = i ? 1280 : 1024;
    int64_t in = 16;
    lucid_module *m = lucid_module_new(&v3_class), *f = nn_Sequential();
    bool ok = luc_net_add(m, "features", f) &&
              luc_append(f, NULL, conv_v3(o->in_channels, in, 3, 2, 1, LUCID_ACTIVATION_HARDSWISH));
    for (int k = 0; ok && k < n; in = rows[k++].out)
        ok = luc_append(f, NULL, block_v3(in, &rows[k]));
    ok = ok && luc_append(f, NULL, conv_v3(in, 6 * in, 1, 1, 1, LUCID_ACTIVATION_HARDSWISH)) &&
         luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(1)) && luc_net_head(m, false, false) &&
         luc_net_add(m, "classifier",
                     nn_Sequential(nn_Linear(6 * in, last), nn_Hardswish(),
                                   nn_Dropout(.p = luc_dropout_of(o, 0.2)),
                                   nn_Linear(last, o->num_classes)));
    return luc_finish_model(m, ok, &init);
}

/* ---- MNASNet --------------------------------------------------------------------------------- */

#define MNASNET_MOMENTUM 3e-4 /* 1 - 0.9997 */

static lucid_module *block_mnasnet(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                                   int64_t expand)
{
    const int64_t inner = in * expand;
    lucid_module *body = nn_Sequential();
    bool ok = body && luc_append_conv(body, in, inner, 1, 1, 1, MNASNET_MOMENTUM, true) &&
              luc_append_conv(body, inner, inner, kernel, stride, inner, MNASNET_MOMENTUM, true) &&
              luc_append_conv(body, inner, out, 1, 1, 1, MNASNET_MOMENTUM, false);
    return make_block("layers", luc_finish_model(body, ok, NULL), stride == 1 && in == out);
}

/* [N,C,H,W] gives [N,num_classes]. */
lucid_module *luc_build_mnasnet(int i, const lucid_nn_model_options *o)
{
    static const double alphas[] = {0.5, 0.75, 1, 1.3};
    static const int rows[][5] = {/* width, kernel, stride, expand, blocks */
                                  {24, 3, 2, 3, 3}, {40, 5, 2, 3, 3},  {80, 5, 2, 6, 3},
                                  {96, 3, 1, 6, 2}, {192, 5, 2, 6, 4}, {320, 3, 1, 6, 1}};
    static const luc_init init = {LUC_INIT_FAN_OUT, 0, LUC_INIT_OUTPUTS, 0};
    const int64_t stem = luc_round_channels(32 * alphas[i], 8);
    int64_t in = luc_round_channels(16 * alphas[i], 8);
    lucid_module *m = lucid_module_new(&mnasnet_class), *f = nn_Sequential();
    bool ok = luc_net_add(m, "layers", f) &&
              luc_append_conv(f, o->in_channels, stem, 3, 2, 1, MNASNET_MOMENTUM, true) &&
              luc_append_conv(f, stem, stem, 3, 1, stem, MNASNET_MOMENTUM, true) &&
              luc_append_conv(f, stem, in, 1, 1, 1, MNASNET_MOMENTUM, false);
    for (int r = 0; ok && r < 6; r++) {
        const int64_t out = luc_round_channels(rows[r][0] * alphas[i], 8);
        lucid_module *stack = nn_Sequential();
        ok = luc_append(f, NULL, stack);
        for (int k = 0; ok && k < rows[r][4]; k++, in = out)
            ok = luc_append(stack, NULL,
                            block_mnasnet(in, out, rows[r][1], k ? 1 : rows[r][2], rows[r][3]));
    }
    ok = ok && luc_append_conv(f, in, 1280, 1, 1, 1, MNASNET_MOMENTUM, true) &&
         luc_net_head(m, false, true) && luc_net_add(m, "classifier", luc_classifier(o, 0.2, 1280));
    return luc_finish_model(m, ok, &init);
}

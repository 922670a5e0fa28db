/* convnext.c: ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022). */
#include "autograd/ops.h"
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/flatten.h"
#include "nn/layers/linear.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/norms.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"

/* LayerNorm over the channels of [N,C,H,W]. */
typedef struct norm2d {
    lucid_module base;
    lucid_tensor *weight, *bias; /* [C] */
} norm2d;

static lucid_tensor *norm2d_forward(lucid_module *m, lucid_tensor *x)
{
    const norm2d *n = (const norm2d *)m;
    lucid_tensor *y = lucid_layer_norm(lucid_permute(x, (0, 2, 3, 1)), lucid_size(n->weight, 0),
                                       .weight = n->weight, .bias = n->bias, .eps = 1e-6);
    return lucid_permute(y, (0, 3, 1, 2));
}

static const lucid_module_class net_class = {
    .name = "ConvNeXt", .size = sizeof(luc_net), .super = &luc_net_class};
static const lucid_module_class block_class = {
    .name = "CNBlock", .size = sizeof(luc_residual), .super = &luc_residual_class};

static const lucid_module_class norm2d_class = {.name = "LayerNorm2d",
                                                .size = sizeof(norm2d),
                                                .super = &lucid_module_class_base,
                                                .forward = norm2d_forward};

static lucid_module *make_norm2d(int64_t channels)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&norm2d_class);
    norm2d *n = (norm2d *)m;
    if (!n) return NULL;
    bool ok = lucid_register_parameter(m, "weight", &n->weight, lucid_ones(channels)) &&
              lucid_register_parameter(m, "bias", &n->bias, lucid_zeros(channels));
    return luc_finish_model(m, ok, NULL);
}

static lucid_module *make_block(int64_t width, double drop)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&block_class);
    luc_residual *r = (luc_residual *)m;
    if (!r) return NULL;
    r->add = true;
    lucid_module *body = nn_Sequential(nn_Conv2d(width, width, 7, .padding = 3, .groups = width),
                                       nn_Permute((0, 2, 3, 1)), nn_LayerNorm(width, .eps = 1e-6),
                                       nn_Linear(width, 4 * width), nn_GELU(),
                                       nn_Linear(4 * width, width), nn_Permute((0, 3, 1, 2)));
    bool ok =
        lucid_register_module(m, "block", &r->body, body) &&
        lucid_register_module(m, "stochastic_depth", &r->drop, nn_StochasticDepth(drop)) &&
        lucid_register_parameter(m, "layer_scale", &r->scale, lucid_full((width, 1, 1), 1e-6));
    return luc_finish_model(m, ok, NULL);
}

/* [N,C,H,W], H and W at least 32, gives [N,num_classes]. Blocks are left out in training with a
 * probability that grows with depth. */
lucid_module *luc_build_convnext(int i, const lucid_nn_model_options *o)
{
    static const struct {
        int64_t width;
        int third; /* blocks of the third stage; the others have 3 */
        double drop;
    } rows[] = {{96, 9, 0.1}, {96, 27, 0.4}, {128, 27, 0.5}, {192, 27, 0.5}};
    static const luc_init init = {LUC_INIT_TRUNCATED, 0.02, LUC_INIT_TRUNCATED, 0.02};
    const int total = rows[i].third + 9;
    int64_t width = rows[i].width;
    int done = 0;
    lucid_module *m = lucid_module_new(&net_class), *f = nn_Sequential();
    lucid_module *stem = nn_Sequential(nn_Conv2d(o->in_channels, width, 4, .stride = 4));
    bool ok = luc_net_add(m, "features", f) && luc_append(f, NULL, stem) &&
              luc_append(stem, NULL, make_norm2d(width));
    for (int s = 0; ok && s < 4; s++, width *= 2) {
        lucid_module *stage = nn_Sequential(), *down = NULL;
        if (s) {
            down = nn_Sequential();
            ok = luc_append(f, NULL, down) && luc_append(down, NULL, make_norm2d(width / 2)) &&
                 luc_append(down, NULL, nn_Conv2d(width / 2, width, 2, .stride = 2));
        }
        ok = luc_append(f, NULL, stage) && ok;
        for (int k = 0; ok && k < (s == 2 ? rows[i].third : 3); k++, done++)
            ok = luc_append(stage, NULL, make_block(width, rows[i].drop * done / (total - 1)));
    }
    width /= 2;
    lucid_module *last = nn_Sequential();
    ok = ok && luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(1)) &&
         luc_net_add(m, "classifier", last) && luc_append(last, NULL, make_norm2d(width)) &&
         luc_append(last, NULL, nn_Flatten()) &&
         luc_append(last, NULL, nn_Linear(width, o->num_classes));
    if (m) ((luc_net *)m)->head = -1; /* the classifier flattens */
    return luc_finish_model(m, ok, &init);
}

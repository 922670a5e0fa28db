/* googlenet.c: GoogLeNet (Szegedy et al., "Going deeper with convolutions", 2015), with BatchNorm,
 * as torchvision has it. */
#include "autograd/ops.h"
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"
#include "nn/models/inception_priv.h"

typedef struct googlenet {
    luc_net net; /* parts AUX1 and AUX2 are not applied in their turn */
    lucid_module *aux1, *aux2;
} googlenet;

/* The parts after which the auxiliary classifiers of training take the image: inception4a, 4d. */
enum { AFTER_4A = 9, AFTER_4D = 12 };

static bool forward_many(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                         int n_out)
{
    const googlenet *g = (const googlenet *)m;
    const luc_net *net = &g->net;
    (void)n_in;
    lucid_tensor *x = luc_net_run(net, in[0], 0, AFTER_4A);
    if (m->training && n_out > 2) out[2] = lucid_forward(g->aux1, x);
    x = luc_net_run(net, x, AFTER_4A, AFTER_4D);
    if (m->training && n_out > 1) out[1] = lucid_forward(g->aux2, x);
    out[0] = luc_net_run(net, x, AFTER_4D, net->n);
    return out[0] != NULL;
}

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    const luc_net *net = (const luc_net *)m;
    return luc_net_run(net, x, 0, net->n);
}

static const lucid_module_class net_class = {.name = "GoogLeNet",
                                             .size = sizeof(googlenet),
                                             .super = &luc_net_class,
                                             .forward = forward,
                                             .forward_many = forward_many,
                                             .outputs = "logits, aux_logits2?, aux_logits1?"};
static const lucid_module_class inception_class = {
    .name = "Inception", .size = sizeof(luc_branches), .super = &luc_branches_class};
static const lucid_module_class aux_class = {
    .name = "InceptionAux", .size = sizeof(luc_net), .super = &luc_net_class};

/* The numbers of channels are the paper's: 1x1, before and after 3x3, before and after what the
 * paper has as 5x5, and after pooling. */
typedef struct row {
    const char *name;
    int64_t in, one, three_in, three, five_in, five, pool;
} row;

static lucid_module *make_inception(const row *r)
{
    lucid_module *m = luc_branches_new(&inception_class, "a|b|c|d");
    bool ok = luc_branches_add(m, "branch1", luc_conv_bn(r->in, r->one, 1, 1, 0, 1e-3)) &&
              luc_branches_add(m, "branch2",
                               nn_Sequential(luc_conv_bn(r->in, r->three_in, 1, 1, 0, 1e-3),
                                             luc_conv_bn(r->three_in, r->three, 3, 1, 1, 1e-3))) &&
              luc_branches_add(m, "branch3",
                               nn_Sequential(luc_conv_bn(r->in, r->five_in, 1, 1, 0, 1e-3),
                                             luc_conv_bn(r->five_in, r->five, 3, 1, 1, 1e-3))) &&
              luc_branches_add(
                  m, "branch4",
                  nn_Sequential(nn_MaxPool2d(3, .stride = 1, .padding = 1, .ceil_mode = true),
                                luc_conv_bn(r->in, r->pool, 1, 1, 0, 1e-3)));
    return luc_finish_model(m, ok, NULL);
}

/* mean of 4x4 windows, 1x1, two linear layers */
static lucid_module *make_aux(int64_t in, int64_t classes)
{
    lucid_module *m = lucid_module_new(&aux_class);
    bool ok = luc_net_add(m, "pool", nn_AdaptiveAvgPool2d(4)) &&
              luc_net_add(m, "conv", luc_conv_bn(in, 128, 1, 1, 0, 1e-3)) &&
              luc_net_head(m, false, false) && luc_net_add(m, "fc1", nn_Linear(2048, 1024)) &&
              luc_net_add(m, "relu", nn_ReLU(.inplace = true)) &&
              luc_net_add(m, "dropout", nn_Dropout(.p = 0.7)) &&
              luc_net_add(m, "fc2", nn_Linear(1024, classes));
    return luc_finish_model(m, ok, NULL);
}

static const row rows[] = {{"inception3a", 192, 64, 96, 128, 16, 32, 32},
                           {"inception3b", 256, 128, 128, 192, 32, 96, 64},
                           {"maxpool3", 0, 3, 0, 0, 0, 0, 0},
                           {"inception4a", 480, 192, 96, 208, 16, 48, 64},
                           {"inception4b", 512, 160, 112, 224, 24, 64, 64},
                           {"inception4c", 512, 128, 128, 256, 24, 64, 64},
                           {"inception4d", 512, 112, 144, 288, 32, 64, 64},
                           {"inception4e", 528, 256, 160, 320, 32, 128, 128},
                           {"maxpool4", 0, 2, 0, 0, 0, 0, 0},
                           {"inception5a", 832, 256, 160, 320, 32, 128, 128},
                           {"inception5b", 832, 384, 192, 384, 48, 128, 128}};

static lucid_module *make_pool(int64_t kernel)
{
    return nn_MaxPool2d(kernel, .stride = 2, .ceil_mode = true);
}

/* [N,C,H,W], H and W at least 15, gives [N,num_classes] and, in training, two further predictions
 * of the same size. */
lucid_module *luc_build_googlenet(int i, const lucid_nn_model_options *o)
{
    static const luc_init init = {LUC_INIT_TRUNCATED, 0.01, LUC_INIT_TRUNCATED, 0.01};
    lucid_module *m = lucid_module_new(&net_class);
    googlenet *g = (googlenet *)m;
    (void)i;
    bool ok = luc_net_add(m, "conv1", luc_conv_bn(o->in_channels, 64, 7, 2, 3, 1e-3)) &&
              luc_net_add(m, "maxpool1", make_pool(3)) &&
              luc_net_add(m, "conv2", luc_conv_bn(64, 64, 1, 1, 0, 1e-3)) &&
              luc_net_add(m, "conv3", luc_conv_bn(64, 192, 3, 1, 1, 1e-3)) &&
              luc_net_add(m, "maxpool2", make_pool(3));
    for (size_t k = 0; ok && k < sizeof rows / sizeof *rows; k++)
        ok = luc_net_add(m, rows[k].name,
                         rows[k].in ? make_inception(&rows[k]) : make_pool(rows[k].one));
    ok = ok && lucid_register_module(m, "aux1", &g->aux1, make_aux(512, o->num_classes)) &&
         lucid_register_module(m, "aux2", &g->aux2, make_aux(528, o->num_classes)) &&
         luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(1)) && luc_net_head(m, false, false) &&
         luc_net_add(m, "dropout", nn_Dropout(.p = luc_dropout_of(o, 0.2))) &&
         luc_net_add(m, "fc", nn_Linear(1024, o->num_classes));
    return luc_finish_model(m, ok, &init);
}

/* inception.c: Inception v3 (Szegedy et al., "Rethinking the Inception architecture for computer
 * vision", 2016). */
#include "autograd/ops.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/pooling.h"
#include "nn/models/build_priv.h"
#include "nn/models/inception_priv.h"

#define EPS 1e-3

static const lucid_module_class conv_class = {
    .name = "BasicConv2d", .size = sizeof(nn_Sequential), .super = &lucid_nn_sequential_class};

lucid_module *luc_conv_bn(int64_t in, int64_t out, lucid_extent kernel, int64_t stride,
                          lucid_extent padding, double eps)
{
    lucid_module *m = lucid_module_new(&conv_class);
    bool ok = luc_append(m, "conv",
                         lucid_nn_conv2d(in, out, kernel,
                                         LUC_WITH(lucid_nn_conv2d, .stride = stride,
                                                  .padding = padding, .dilation = 1, .groups = 1,
                                                  .device = {LUCID_CPU, 0}, .dtype = LUCID_F32))) &&
              luc_append(m, "bn", nn_BatchNorm2d(out, .eps = eps)) &&
              luc_append(m, "relu", nn_ReLU(.inplace = true));
    return luc_finish_model(m, ok, NULL);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* One convolution of a block. in: 0 is the block's input. */
typedef struct row {
    const char *name;
    int in, out, h, w, stride; /* the kernel is h x w; with a stride it is not padded */
} row;

typedef struct block {
    const char *name, *plan;
    const row *rows;
    int n;
} block;

static const row a_rows[] = {
    {"branch1x1", 0, 64, 1, 1, 1},       {"branch5x5_1", 0, 48, 1, 1, 1},
    {"branch5x5_2", 48, 64, 5, 5, 1},    {"branch3x3dbl_1", 0, 64, 1, 1, 1},
    {"branch3x3dbl_2", 64, 96, 3, 3, 1}, {"branch3x3dbl_3", 96, 96, 3, 3, 1},
    {"branch_pool", 0, -1, 1, 1, 1}};
static const row b_rows[] = {{"branch3x3", 0, 384, 3, 3, 2},
                             {"branch3x3dbl_1", 0, 64, 1, 1, 1},
                             {"branch3x3dbl_2", 64, 96, 3, 3, 1},
                             {"branch3x3dbl_3", 96, 96, 3, 3, 2}};
/* -1 is a number of the block's own. */
static const row c_rows[] = {
    {"branch1x1", 0, 192, 1, 1, 1},       {"branch7x7_1", 0, -1, 1, 1, 1},
    {"branch7x7_2", -1, -1, 1, 7, 1},     {"branch7x7_3", -1, 192, 7, 1, 1},
    {"branch7x7dbl_1", 0, -1, 1, 1, 1},   {"branch7x7dbl_2", -1, -1, 7, 1, 1},
    {"branch7x7dbl_3", -1, -1, 1, 7, 1},  {"branch7x7dbl_4", -1, -1, 7, 1, 1},
    {"branch7x7dbl_5", -1, 192, 1, 7, 1}, {"branch_pool", 0, 192, 1, 1, 1}};
static const row d_rows[] = {
    {"branch3x3_1", 0, 192, 1, 1, 1},     {"branch3x3_2", 192, 320, 3, 3, 2},
    {"branch7x7x3_1", 0, 192, 1, 1, 1},   {"branch7x7x3_2", 192, 192, 1, 7, 1},
    {"branch7x7x3_3", 192, 192, 7, 1, 1}, {"branch7x7x3_4", 192, 192, 3, 3, 2}};
static const row e_rows[] = {
    {"branch1x1", 0, 320, 1, 1, 1},         {"branch3x3_1", 0, 384, 1, 1, 1},
    {"branch3x3_2a", 384, 384, 1, 3, 1},    {"branch3x3_2b", 384, 384, 3, 1, 1},
    {"branch3x3dbl_1", 0, 448, 1, 1, 1},    {"branch3x3dbl_2", 448, 384, 3, 3, 1},
    {"branch3x3dbl_3a", 384, 384, 1, 3, 1}, {"branch3x3dbl_3b", 384, 384, 3, 1, 1},
    {"branch_pool", 0, 192, 1, 1, 1}};

#define ROWS(r) r, sizeof r / sizeof *r
static const block blocks[] = {{"InceptionA", "a|bc|def|Ag", ROWS(a_rows)},
                               {"InceptionB", "a|bcd|M", ROWS(b_rows)},
                               {"InceptionC", "a|bcd|efghi|Aj", ROWS(c_rows)},
                               {"InceptionD", "ab|cdef|M", ROWS(d_rows)},
                               {"InceptionE", "a|b(c|d)|ef(g|h)|Ai", ROWS(e_rows)}};

static const lucid_module_class block_classes[] = {
    {.name = "InceptionA", .size = sizeof(luc_branches), .super = &luc_branches_class},
    {.name = "InceptionB", .size = sizeof(luc_branches), .super = &luc_branches_class},
    {.name = "InceptionC", .size = sizeof(luc_branches), .super = &luc_branches_class},
    {.name = "InceptionD", .size = sizeof(luc_branches), .super = &luc_branches_class},
    {.name = "InceptionE", .size = sizeof(luc_branches), .super = &luc_branches_class}};

/* kind: 'A' to 'E'; in: the input's channels; own: what -1 stands for. */
static lucid_module *make_block(char kind, int64_t in, int64_t own)
{
    const block *b = &blocks[kind - 'A'];
    lucid_module *m = luc_branches_new(&block_classes[kind - 'A'], b->plan);
    bool ok = m != NULL;
    for (int k = 0; ok && k < b->n; k++) {
        const row *r = &b->rows[k];
        const int64_t from = r->in == 0 ? in : r->in < 0 ? own : r->in;
        const bool padded = r->stride == 1;
        const lucid_extent kernel = lucid_pair(r->h, r->w);
        const lucid_extent padding = padded ? lucid_pair(r->h / 2, r->w / 2) : (lucid_extent)0;
        ok = luc_branches_add(
            m, r->name,
            luc_conv_bn(from, r->out < 0 ? own : r->out, kernel, r->stride, padding, EPS));
    }
    return luc_finish_model(m, ok, NULL);
}

/* ---- the network ----------------------------------------------------------------------------- */

typedef struct inception {
    luc_net net;
    lucid_module *aux;
} inception;

enum { AFTER_6E = 15 }; /* the parts before the auxiliary classifier of training */

static bool forward_many(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                         int n_out)
{
    const inception *g = (const inception *)m;
    const luc_net *net = &g->net;
    (void)n_in;
    lucid_tensor *x = luc_net_run(net, in[0], 0, AFTER_6E);
    if (m->training && n_out > 1)
        out[1] = lucid_forward(g->aux, lucid_avg_pool2d(x, 5, .stride = 3));
    out[0] = luc_net_run(net, x, AFTER_6E, net->n);
    return out[0] != NULL;
}

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    const luc_net *net = (const luc_net *)m;
    return luc_net_run(net, x, 0, net->n);
}

static const lucid_module_class net_class = {.name = "Inception3",
                                             .size = sizeof(inception),
                                             .super = &luc_net_class,
                                             .forward = forward,
                                             .forward_many = forward_many,
                                             .outputs = "logits, aux_logits?"};
static const lucid_module_class aux_class = {
    .name = "InceptionAux", .size = sizeof(luc_net), .super = &luc_net_class};

static lucid_module *make_aux(int64_t classes)
{
    lucid_module *m = lucid_module_new(&aux_class);
    bool ok = luc_net_add(m, "conv0", luc_conv_bn(768, 128, 1, 1, 0, EPS)) &&
              luc_net_add(m, "conv1", luc_conv_bn(128, 768, 5, 1, 0, EPS)) &&
              luc_net_head(m, false, true) && luc_net_add(m, "fc", nn_Linear(768, classes));
    return luc_finish_model(m, ok, NULL);
}

static bool add_stem(lucid_module *m, int64_t in)
{
    return luc_net_add(m, "Conv2d_1a_3x3", luc_conv_bn(in, 32, 3, 2, 0, EPS)) &&
           luc_net_add(m, "Conv2d_2a_3x3", luc_conv_bn(32, 32, 3, 1, 0, EPS)) &&
           luc_net_add(m, "Conv2d_2b_3x3", luc_conv_bn(32, 64, 3, 1, 1, EPS)) &&
           luc_net_add(m, "maxpool1", nn_MaxPool2d(3, .stride = 2)) &&
           luc_net_add(m, "Conv2d_3b_1x1", luc_conv_bn(64, 80, 1, 1, 0, EPS)) &&
           luc_net_add(m, "Conv2d_4a_3x3", luc_conv_bn(80, 192, 3, 1, 0, EPS)) &&
           luc_net_add(m, "maxpool2", nn_MaxPool2d(3, .stride = 2));
}

/* [N,C,H,W], H and W at least 75, gives [N,num_classes] and, in training, a further prediction of
 * the same size. */
lucid_module *luc_build_inception(int i, const lucid_nn_model_options *o)
{
    static const luc_init init = {LUC_INIT_TRUNCATED, 0.1, LUC_INIT_TRUNCATED, 0.1};
    lucid_module *m = lucid_module_new(&net_class);
    inception *g = (inception *)m;
    (void)i;
    bool ok = add_stem(m, o->in_channels) && luc_net_add(m, "Mixed_5b", make_block('A', 192, 32)) &&
              luc_net_add(m, "Mixed_5c", make_block('A', 256, 64)) &&
              luc_net_add(m, "Mixed_5d", make_block('A', 288, 64)) &&
              luc_net_add(m, "Mixed_6a", make_block('B', 288, 0)) &&
              luc_net_add(m, "Mixed_6b", make_block('C', 768, 128)) &&
              luc_net_add(m, "Mixed_6c", make_block('C', 768, 160)) &&
              luc_net_add(m, "Mixed_6d", make_block('C', 768, 160)) &&
              luc_net_add(m, "Mixed_6e", make_block('C', 768, 192)) &&
              lucid_register_module(m, "AuxLogits", &g->aux, make_aux(o->num_classes)) &&
              luc_net_add(m, "Mixed_7a", make_block('D', 768, 0)) &&
              luc_net_add(m, "Mixed_7b", make_block('E', 1280, 0)) &&
              luc_net_add(m, "Mixed_7c", make_block('E', 2048, 0)) &&
              luc_net_add(m, "avgpool", nn_AdaptiveAvgPool2d(1)) && luc_net_head(m, false, false) &&
              luc_net_add(m, "dropout", nn_Dropout(.p = luc_dropout_of(o, 0.5))) &&
              luc_net_add(m, "fc", nn_Linear(2048, o->num_classes));
    return luc_finish_model(m, ok, &init);
}

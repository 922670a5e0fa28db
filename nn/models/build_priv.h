/* build_priv.h: what the files of networks share: a network of parts one after another, blocks of
 * branches, residual blocks, and initial values. */
#ifndef LUCID_NN_MODELS_BUILD_PRIV_H
#define LUCID_NN_MODELS_BUILD_PRIV_H

#include "nn/layers/blocks.h"
#include "nn/models/model.h"

/* ---- networks -------------------------------------------------------------------------------- */

enum { LUC_NET_PARTS = 28 };

/* Parts one after another. Before part `head` the image becomes a vector. */
typedef struct luc_net {
    lucid_module base;
    lucid_module *part[LUC_NET_PARTS];
    int n, head;
    bool relu; /* before that, a rectifier */
    bool pool; /* before that, the mean of all pixels */
} luc_net;

extern const lucid_module_class luc_net_class; /* the super of networks' classes */
/* Adds a part. */
bool luc_net_add(lucid_module *net, const char *name, lucid_module *part);
/* The next part is the head. */
bool luc_net_head(lucid_module *net, bool relu, bool pool);
/* Applies parts [from, to), with what comes before the head. */
lucid_tensor *luc_net_run(const luc_net *net, lucid_tensor *x, int from, int to);

/* ---- blocks ---------------------------------------------------------------------------------- */

enum { LUC_BRANCHES_PARTS = 12 };

/* Branches whose results are put together in dimension 1. The plan says how the parts are wired:
 *
 *     a b c    parts in the order in which they were added, one after another
 *     |        between branches, which have the same input
 *     (...)    branches inside a branch
 *     I        the input as it is; L and R its first and second half of channels
 *     M A      max pooling 3x3 of stride 2; average pooling 3x3 that keeps the size
 *     S        channels shuffled in two groups
 *
 * A dense layer is "I|abcdef", a fire module "ab(cd|ef)". */
typedef struct luc_branches {
    lucid_module base;
    lucid_module *part[LUC_BRANCHES_PARTS];
    int n;
    const char *plan; /* constant text */
} luc_branches;

extern const lucid_module_class luc_branches_class; /* the super of such blocks' classes */
lucid_module *luc_branches_new(const lucid_module_class *cls, const char *plan);
bool luc_branches_add(lucid_module *m, const char *name, lucid_module *part);

/* after(x' + drop(scale * body(x))): x' is project(x), or x, or nothing where `add` is false. All
 * but the body may be absent. */
typedef struct luc_residual {
    lucid_module base;
    lucid_module *body, *project, *drop, *after;
    lucid_tensor *scale;
    bool add;
} luc_residual;

extern const lucid_module_class luc_residual_class; /* the super of such blocks' classes */

/* ---- making them ----------------------------------------------------------------------------- */

/* The nearest multiple of `divisor` that is not below `divisor` or 9/10 of the value: how networks
 * with a width round numbers of channels. */
int64_t luc_round_channels(double value, int64_t divisor);
/* nn_Sequential without modules, and one more module in it by name (NULL: its number). */
bool luc_append(lucid_module *sequential, const char *name, lucid_module *module);
/* A convolution without bias whose padding keeps the size, and BatchNorm2d, as two more modules; a
 * rectifier as a third. */
bool luc_append_conv(lucid_module *sequential, int64_t in, int64_t out, int64_t kernel,
                     int64_t stride, int64_t groups, double momentum, bool relu);
/* nn_Dropout and nn_Linear: the usual classifier. `p` is what the options do not set. */
lucid_module *luc_classifier(const lucid_nn_model_options *o, double p, int64_t in);
double luc_dropout_of(const lucid_nn_model_options *o, double p);

typedef enum luc_init_kind {
    LUC_INIT_LAYER,          /* as the layer itself does */
    LUC_INIT_FAN_OUT,        /* normal, variance 2 / fan_out */
    LUC_INIT_FAN_IN,         /* normal, variance 2 / fan_in */
    LUC_INIT_FAN_IN_UNIFORM, /* uniform, the same variance */
    LUC_INIT_NORMAL,         /* normal, std */
    LUC_INIT_TRUNCATED,      /* normal inside [-2, 2], std */
    LUC_INIT_OUTPUTS         /* uniform in +-1/sqrt(outputs) */
} luc_init_kind;

/* How a network's convolutions and linear layers begin; biases then are 0. */
typedef struct luc_init {
    luc_init_kind conv;
    double conv_std;
    luc_init_kind linear;
    double linear_std;
} luc_init;

/* Sets the initial values of a finished network. Returns it, or frees it and returns NULL after an
 * error (`ok` false too). */
lucid_module *luc_finish_model(lucid_module *net, bool ok, const luc_init *init);

/* ---- families -------------------------------------------------------------------------------- */

/* Each makes the network that is row i of its family's table. */
typedef lucid_module *luc_model_builder(int i, const lucid_nn_model_options *o);
luc_model_builder luc_build_alexnet, luc_build_lenet, luc_build_vgg, luc_build_squeezenet,
    luc_build_densenet, luc_build_googlenet, luc_build_inception, luc_build_mobilenet_v2,
    luc_build_mobilenet_v3, luc_build_mnasnet, luc_build_shufflenet, luc_build_efficientnet,
    luc_build_regnet, luc_build_convnext, luc_build_resnet, luc_build_vit;

#endif

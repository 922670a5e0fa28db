/* train.c: whole training steps: forward, loss, backward, optimizer. */
#include "row.h"

#include <math.h>
#include <stdlib.h>

typedef struct training {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_tensor *x, *y; /* retained */
    bool nll;            /* the net ends in log_softmax */
    double loss;         /* of the first step */
    bool stepped;
} training;

static void train_step(void *state)
{
    training *t = state;
    LUCID_SCOPE;
    lucid_tensor *out = lucid_forward(t->net, t->x);
    lucid_tensor *loss = t->nll ? lucid_nll_loss(out, t->y) : lucid_cross_entropy(out, t->y);
    lucid_zero_grad(t->opt);
    lucid_backward(loss);
    lucid_step(t->opt);
    if (!t->stepped) t->loss = lucid_item(loss);
    t->stepped = true;
}

static double first_loss(void *state)
{
    return ((training *)state)->loss;
}

static void train_teardown(void *state)
{
    training *t = state;
    lucid_optimizer_free(t->opt);
    lucid_module_free(t->net);
    lucid_release(t->x);
    lucid_release(t->y);
    free(t);
}

/* Takes net and optimizer over. Images of [batch, channels, size, size], classes 0 to 9 in turn. */
static void *make_training(lucid_module *net, lucid_optimizer *opt, lucid_shape shape, bool nll)
{
    training *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->net = net;
    t->opt = opt;
    t->nll = nll;
    LUCID_SCOPE;
    t->x = lucid_retain(lucid_empty_opt(shape, NULL));
    row_fill(t->x, 1, 0);
    lucid_tensor *y = lucid_arange(0, (double)shape.dims[0], 1);
    int64_t *class = lucid_mutable_data(y);
    for (int64_t i = 0; i < shape.dims[0]; i++) class[i] %= 10;
    t->y = lucid_retain(y);
    row_fill_module(net);
    return t;
}

/* The net of examples/mnist.c, without its dropout. */
static void *setup_mnist(const row *r)
{
    lucid_module *net =
        nn_Sequential(nn_Conv2d(1, 32, 3, .padding = 1, .bias = false), nn_BatchNorm2d(32),
                      nn_ReLU(), nn_MaxPool2d(2), nn_Conv2d(32, 64, 3, .padding = 1, .bias = false),
                      nn_BatchNorm2d(64), nn_ReLU(), nn_MaxPool2d(2), nn_Flatten(),
                      nn_Linear(3136, 128), nn_ReLU(), nn_Linear(128, 10));
    return make_training(net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 1, 28, 28), false);
}

static void *setup_net_a(const row *r)
{
    lucid_module *net = nn_Sequential(
        nn_Conv2d(1, 32, 3, .padding = 1), nn_BatchNorm2d(32), nn_ReLU(),
        nn_Conv2d(32, 64, 3, .padding = 1), nn_BatchNorm2d(64), nn_ReLU(), nn_MaxPool2d(2),
        nn_Conv2d(64, 64, 3, .padding = 1), nn_BatchNorm2d(64), nn_ReLU(), nn_MaxPool2d(2),
        nn_Flatten(), nn_Linear(3136, 128), nn_ReLU(), nn_Linear(128, 10));
    return make_training(net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 1, 28, 28), false);
}

/* PyTorch's own MNIST example. */
static void *setup_official(const row *r)
{
    lucid_module *net =
        nn_Sequential(nn_Conv2d(1, 32, 3), nn_ReLU(), nn_Conv2d(32, 64, 3), nn_ReLU(),
                      nn_MaxPool2d(2), nn_Dropout(.p = 0.25), nn_Flatten(), nn_Linear(9216, 128),
                      nn_ReLU(), nn_Dropout(.p = 0.5), nn_Linear(128, 10), nn_LogSoftmax(1));
    return make_training(net, optim_Adadelta(net), LUCID_SHAPE(r->arguments[0], 1, 28, 28), true);
}

static void *setup_mlp(const row *r)
{
    lucid_module *net = nn_Sequential(nn_Linear(784, 128), nn_ReLU(), nn_Linear(128, 10));
    return make_training(net, optim_SGD(net, .lr = 0.05), LUCID_SHAPE(r->arguments[0], 784), false);
}

static void *setup_resnet18(const row *r)
{
    lucid_module *net = nn_ResNet18(.num_classes = 10, .cifar_stem = true);
    return make_training(net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 3, 32, 32), false);
}

/* ---- inference ------------------------------------------------------------------------------- */

static void *setup_inference(const row *r)
{
    job *j = job_new(r);
    j->net = nn_ResNet50();
    row_fill_module(j->net);
    lucid_eval(j->net);
    job_input(j, 0, LUCID_SHAPE(r->arguments[0], 3, 224, 224), 1, false, false);
    return j;
}

static void infer(void *state)
{
    job *j = state;
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *y = lucid_forward(j->net, j->in[0]);
    job_show(j, &y, 1);
}

#define TRAIN(label, how, batch, mflop, tol)                                                   \
    {                                                                                          \
        .name = "train " label " b" #batch, .twin = label, .arguments = {batch}, .setup = how, \
        .run = train_step, .teardown = train_teardown, .value = first_loss, .tolerance = tol,  \
        .flops = (mflop)*1e6 * (batch), .memory = true                                         \
    }
#define INFER(label, batch, mflop)                                                            \
    {                                                                                         \
        .name = "infer " label " b" #batch, .twin = label, .arguments = {batch},              \
        .setup = setup_inference, .run = infer, .teardown = job_teardown, .value = job_value, \
        .tolerance = 1e-3, .flops = (mflop)*1e6 * (batch), .memory = true,                    \
    }

const row train_rows[] = {
    TRAIN("mnist", setup_mnist, 64, 46.7, 1e-4),
    TRAIN("mnist", setup_mnist, 256, 46.7, 1e-4),
    TRAIN("net_a", setup_net_a, 64, 134, 1e-4),
    TRAIN("net_a", setup_net_a, 256, 134, 1e-4),
    TRAIN("official", setup_official, 64, 72, 0.5), /* dropout: other masks */
    TRAIN("mlp", setup_mlp, 64, 0.61, 1e-4),
    TRAIN("resnet18", setup_resnet18, 32, 3340, 1e-3),
    TRAIN("resnet18", setup_resnet18, 128, 3340, 1e-3),
    INFER("resnet50", 1, 8180),
    INFER("resnet50", 8, 8180),
    {.name = NULL},
};

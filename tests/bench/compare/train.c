/* train.c: whole training steps: forward, loss, backward, optimizer. */
#include "row.h"

#include <math.h>
#include <stdlib.h>

typedef struct training {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_tensor *x, *y; /* retained */
    lucid_graph *graph;  /* the step, captured: on a GPU */
    bool nll;            /* the net ends in log_softmax */
    bool half;           /* under autocast to bfloat16 */
    double loss;         /* of the first step */
    bool stepped;
} training;

static lucid_tensor *training_loss(training *t)
{
    LUCID_AUTOCAST(t->half ? LUCID_BF16 : LUCID_F32);
    lucid_tensor *out = lucid_forward(t->net, t->x);
    return t->nll ? lucid_nll_loss(out, t->y) : lucid_cross_entropy(out, t->y);
}

static bool train_once(void *state)
{
    training *t = state;
    LUCID_SCOPE;
    lucid_tensor *loss = training_loss(t);
    lucid_zero_grad(t->opt);
    if (!lucid_backward(loss) || !lucid_step(t->opt)) return false;
    if (!t->stepped) t->loss = lucid_item(loss);
    t->stepped = true;
    return true;
}

/* The first call tells the row's value; on a GPU the others are a captured one, played back. */
static void call_or_replay(bool (*once)(void *), void *state, bool called, lucid_graph **graph)
{
    if (*graph)
        lucid_replay(*graph);
    else if (called && row_device.type != LUCID_CPU)
        *graph = lucid_capture(row_device, once, state);
    else
        once(state);
}

static void train_step(void *state)
{
    training *t = state;
    call_or_replay(train_once, t, t->stepped, &t->graph);
}

static double first_loss(void *state)
{
    return ((training *)state)->loss;
}

static void train_teardown(void *state)
{
    training *t = state;
    lucid_graph_free(t->graph);
    lucid_optimizer_free(t->opt);
    lucid_module_free(t->net);
    lucid_release(t->x);
    lucid_release(t->y);
    free(t);
}

/* Takes net and optimizer over. Images of [batch, channels, size, size], classes 0 to 9 in turn. */
static void *make_training(const row *r, lucid_module *net, lucid_optimizer *opt, lucid_shape shape,
                           bool nll)
{
    training *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->net = net;
    t->opt = opt;
    t->nll = nll;
    LUCID_SCOPE;
    lucid_tensor_options o = lucid_tensor_defaults;
    o.device = row_device;
    if (r->half) o.memory_format = LUCID_CHANNELS_LAST;
    t->half = r->half;
    t->x = lucid_retain(lucid_empty_opt(shape, &o));
    row_fill(t->x, 1, 0);
    lucid_tensor *y = lucid_arange(0, (double)shape.dims[0], 1);
    int64_t *class = lucid_mutable_data(y);
    for (int64_t i = 0; i < shape.dims[0]; i++) class[i] %= 10;
    t->y = lucid_retain(lucid_tensor_to(y, row_device));
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
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 1, 28, 28), false);
}

static void *setup_net_a(const row *r)
{
    lucid_module *net = nn_Sequential(
        nn_Conv2d(1, 32, 3, .padding = 1), nn_BatchNorm2d(32), nn_ReLU(),
        nn_Conv2d(32, 64, 3, .padding = 1), nn_BatchNorm2d(64), nn_ReLU(), nn_MaxPool2d(2),
        nn_Conv2d(64, 64, 3, .padding = 1), nn_BatchNorm2d(64), nn_ReLU(), nn_MaxPool2d(2),
        nn_Flatten(), nn_Linear(3136, 128), nn_ReLU(), nn_Linear(128, 10));
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 1, 28, 28), false);
}

/* PyTorch's own MNIST example. */
static void *setup_official(const row *r)
{
    lucid_module *net =
        nn_Sequential(nn_Conv2d(1, 32, 3), nn_ReLU(), nn_Conv2d(32, 64, 3), nn_ReLU(),
                      nn_MaxPool2d(2), nn_Dropout(.p = 0.25), nn_Flatten(), nn_Linear(9216, 128),
                      nn_ReLU(), nn_Dropout(.p = 0.5), nn_Linear(128, 10), nn_LogSoftmax(1));
    return make_training(r, net, optim_Adadelta(net), LUCID_SHAPE(r->arguments[0], 1, 28, 28),
                         true);
}

static void *setup_mlp(const row *r)
{
    lucid_module *net = nn_Sequential(nn_Linear(784, 128), nn_ReLU(), nn_Linear(128, 10));
    return make_training(r, net, optim_SGD(net, .lr = 0.05), LUCID_SHAPE(r->arguments[0], 784),
                         false);
}

static void *setup_resnet18(const row *r)
{
    lucid_module *net = nn_ResNet18(.num_classes = 10, .cifar_stem = true);
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 3, 32, 32), false);
}

/* Two layers over 64 steps, and a linear layer of all of them. */
static void *setup_lstm(const row *r)
{
    lucid_module *net = nn_Sequential(nn_LSTM(64, 128, .num_layers = 2, .batch_first = true),
                                      nn_Flatten(), nn_Linear(64 * 128, 10));
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 64, 64), false);
}

/* The attention of ViT-S: 197 tokens, 6 heads. */
static void *setup_attention(const row *r)
{
    lucid_module *net = nn_Sequential(nn_MultiheadAttention(384, 6, .batch_first = true),
                                      nn_Flatten(), nn_Linear(197 * 384, 10));
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 197, 384), false);
}

/* ---- the same network as a program of its own would write it, in plain calls ----------------- */

typedef struct own_block {
    lucid_module base;
    lucid_module *conv1, *bn1, *conv2, *bn2, *conv3, *bn3; /* the last two: the shortcut, or NULL */
} own_block;

static lucid_tensor *own_block_forward(lucid_module *m, lucid_tensor *x)
{
    const own_block *b = lucid_self(m, own_block);
    lucid_tensor *y = lucid_relu(lucid_forward(b->bn1, lucid_forward(b->conv1, x)));
    y = lucid_forward(b->bn2, lucid_forward(b->conv2, y));
    if (b->conv3) x = lucid_forward(b->bn3, lucid_forward(b->conv3, x));
    return lucid_relu(lucid_add(y, x));
}

static const lucid_module_class own_block_class = {.name = "OwnBlock",
                                                   .size = sizeof(own_block),
                                                   .super = &lucid_module_class_base,
                                                   .forward = own_block_forward};

static lucid_module *make_own_block(int64_t in, int64_t out, int64_t stride)
{
    lucid_module *m = lucid_module_new(&own_block_class);
    own_block *b = lucid_self(m, own_block);
    lucid_register_module(m, "conv1", &b->conv1,
                          nn_Conv2d(in, out, 3, .stride = stride, .padding = 1, .bias = false));
    lucid_register_module(m, "bn1", &b->bn1, nn_BatchNorm2d(out));
    lucid_register_module(m, "conv2", &b->conv2,
                          nn_Conv2d(out, out, 3, .padding = 1, .bias = false));
    lucid_register_module(m, "bn2", &b->bn2, nn_BatchNorm2d(out));
    if (stride == 1) return m;
    lucid_register_module(m, "conv3", &b->conv3,
                          nn_Conv2d(in, out, 1, .stride = stride, .bias = false));
    lucid_register_module(m, "bn3", &b->bn3, nn_BatchNorm2d(out));
    return m;
}

static void *setup_own_resnet18(const row *r)
{
    lucid_module *net = nn_Sequential(
        nn_Conv2d(3, 64, 3, .padding = 1, .bias = false), nn_BatchNorm2d(64), nn_ReLU(),
        make_own_block(64, 64, 1), make_own_block(64, 64, 1), make_own_block(64, 128, 2),
        make_own_block(128, 128, 1), make_own_block(128, 256, 2), make_own_block(256, 256, 1),
        make_own_block(256, 512, 2), make_own_block(512, 512, 1), nn_AdaptiveAvgPool2d(1),
        nn_Flatten(), nn_Linear(512, 10));
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 3, 32, 32), false);
}

static void *setup_resnet50(const row *r)
{
    lucid_module *net = nn_ResNet50();
    return make_training(r, net, optim_SGD(net, .lr = 0.05, .momentum = 0.9),
                         LUCID_SHAPE(r->arguments[0], 3, 224, 224), false);
}

/* ---- inference ------------------------------------------------------------------------------- */

/* A row of bfloat16 has the whole network in it. */
static void *setup_inference(const row *r)
{
    job *j = job_new(r);
    j->net = nn_ResNet50();
    row_fill_module(j->net);
    lucid_eval(j->net);
    if (r->half) lucid_to_dtype(j->net, LUCID_BF16);
    job_input(j, 0, LUCID_SHAPE(r->arguments[0], 3, 224, 224), 1, false, false);
    return j;
}

static bool infer_once(void *state)
{
    job *j = state;
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *y = lucid_forward(j->net, j->in[0]);
    if (!y) return false;
    job_show(j, &y, 1);
    return true;
}

static void infer(void *state)
{
    job *j = state;
    call_or_replay(infer_once, j, j->shown, &j->graph);
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

/* The same in bfloat16: training under autocast. */
#define TRAIN_HALF(label, how, batch, mflop)                                              \
    {                                                                                     \
        .name = "train " label " b" #batch " bf16", .twin = label, .arguments = {batch},  \
        .setup = how, .run = train_step, .teardown = train_teardown, .value = first_loss, \
        .tolerance = 2e-2, .flops = (mflop)*1e6 * (batch), .memory = true, .half = true,  \
        .everywhere = true                                                                \
    }
#define INFER_HALF(label, batch, mflop)                                                       \
    {                                                                                         \
        .name = "infer " label " b" #batch " bf16", .twin = label, .arguments = {batch},      \
        .setup = setup_inference, .run = infer, .teardown = job_teardown, .value = job_value, \
        .tolerance = 5e-2, .flops = (mflop)*1e6 * (batch), .memory = true, .half = true,      \
        .everywhere = true                                                                    \
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
    /* beside the row of nn_ResNet18: as fast */
    {.name = "train own resnet18 b32",
     .twin = "resnet18",
     .arguments = {32},
     .setup = setup_own_resnet18,
     .run = train_step,
     .teardown = train_teardown,
     .value = first_loss,
     .tolerance = 1e-3,
     .flops = 3340e6 * 32,
     .memory = true},
    TRAIN("lstm", setup_lstm, 32, 88.6, 1e-4),
    TRAIN("attention", setup_attention, 8, 880, 1e-4),
    INFER("resnet50", 1, 8180),
    INFER("resnet50", 8, 8180),
    TRAIN_HALF("mnist", setup_mnist, 64, 46.7),
    TRAIN_HALF("mnist", setup_mnist, 256, 46.7),
    TRAIN_HALF("resnet18", setup_resnet18, 32, 3340),
    TRAIN_HALF("resnet18", setup_resnet18, 128, 3340),
    INFER_HALF("resnet50", 1, 8180),
    INFER_HALF("resnet50", 8, 8180),
    {.name = NULL},
};

/* Those that only a GPU is fit for. */
const row gpu_rows[] = {
    TRAIN("mnist", setup_mnist, 2048, 46.7, 1e-4),
    {.name = "train resnet18 b512 bf16",
     .twin = "resnet18",
     .arguments = {512, 1},
     .setup = setup_resnet18,
     .run = train_step,
     .teardown = train_teardown,
     .value = first_loss,
     .tolerance = 2e-2,
     .flops = 3340e6 * 512,
     .memory = true,
     .half = true},
    {.name = "train resnet50 b256 bf16",
     .twin = "train_resnet50",
     .arguments = {256, 1},
     .setup = setup_resnet50,
     .run = train_step,
     .teardown = train_teardown,
     .value = first_loss,
     .tolerance = 2e-2,
     .flops = 3 * 8180e6 * 256,
     .memory = true,
     .half = true},
    {.name = NULL},
};

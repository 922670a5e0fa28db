/* optimizer.c: steps over the 11.2 million parameters of ResNet-18, gradients given. */
#include "row.h"

static lucid_optimizer *make(lucid_module *net, int64_t kind)
{
    switch (kind) {
    case 0:
        return optim_SGD(net, .lr = 0.05, .momentum = 0.9);
    case 1:
        return optim_Adam(net);
    case 2:
        return optim_AdamW(net);
    default:
        return optim_Adadelta(net);
    }
}

static void *setup_optimizer(const row *r)
{
    job *j = job_new(r);
    j->net = nn_ResNet18(.num_classes = 10, .cifar_stem = true);
    row_fill_module(j->net);
    j->opt = make(j->net, r->arguments[0]);
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(j->net, &n);
    for (size_t i = 0; i < n; i++) {
        LUCID_SCOPE;
        lucid_tensor_options o = lucid_tensor_defaults;
        o.device = row_device;
        lucid_tensor *g = lucid_empty_opt(lucid_tensor_shape(p[i].tensor), &o);
        row_fill(g, 0.01, 0);
        lucid_set_grad(p[i].tensor, g);
    }
    return j;
}

static void run_optimizer(void *state)
{
    job *j = state;
    lucid_step(j->opt);
    lucid_tensor *p[] = {lucid_get_parameter(j->net, "conv1.weight"),
                         lucid_get_parameter(j->net, "layer4.1.conv2.weight"),
                         lucid_get_parameter(j->net, "fc.weight")};
    job_show(j, p, 3);
}

#define COUNT 11173962.0
/* passes: arrays of the parameters' size that are read or written: parameter and state both ways,
 * the gradient once. */
#define ROW(label, kind, passes)                                                  \
    {                                                                             \
        .name = label " step 11.2M", .twin = "optimizer", .arguments = {kind},    \
        .setup = setup_optimizer, .run = run_optimizer, .teardown = job_teardown, \
        .value = job_value, .tolerance = 1e-4, .bytes = 4.0 * (passes)*COUNT,     \
    }
const row optimizer_rows[] = {
    ROW("SGD momentum", 0, 5), ROW("Adam", 1, 7), ROW("AdamW", 2, 7),
    ROW("Adadelta", 3, 7),     {.name = NULL},
};

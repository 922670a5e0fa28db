/* custom_module.c: a module of your own (squeeze and excitation, Hu et al., 2018), hooks that look
 * at what goes through it, and options for parameters by their names.
 *
 *     custom_module --quick                  made-up pictures, a few seconds */
#include "common/arguments.h"
#include "common/shapes.h"

#include <stdio.h>

static const char help[] = "Trains a network with a module of its own on made-up pictures.\n\n"
                           "  --epochs N    passes over the pictures (10)\n"
                           "  --quick       3 epochs\n";

/* y = x * sigmoid(W2 relu(W1 mean_hw(x)));  x, y: [N,C,H,W] */
typedef struct SEBlock {
    lucid_module base;
    lucid_module *squeeze, *excite;
} SEBlock;

static lucid_tensor *se_forward(lucid_module *m, lucid_tensor *x)
{
    SEBlock *se = lucid_self(m, SEBlock);
    lucid_tensor *g = lucid_mean(x, (2, 3), .keepdim = true); /* [N,C,1,1] */
    g = lucid_relu(lucid_forward(se->squeeze, g));
    return lucid_mul(x, lucid_sigmoid(lucid_forward(se->excite, g)));
}

static const lucid_module_class SEBlock_class = {
    .name = "SEBlock",
    .size = sizeof(SEBlock),
    .super = &lucid_module_class_base,
    .forward = se_forward,
};

static lucid_module *make_se(int64_t channels, int64_t reduction)
{
    lucid_module *m = lucid_module_new(&SEBlock_class);
    SEBlock *se = lucid_self(m, SEBlock);
    if (!se) return NULL;
    lucid_register_module(m, "squeeze", &se->squeeze, nn_Conv2d(channels, channels / reduction, 1));
    lucid_register_module(m, "excite", &se->excite, nn_Conv2d(channels / reduction, channels, 1));
    return m;
}

/* What the hooks have seen. */
typedef struct seen {
    double passed; /* the mean of |output| / |input| */
    double grad;   /* the norm of the last gradient of the input */
} seen;

static lucid_tensor *look_forward(lucid_module *m, lucid_tensor *x, lucid_tensor *y, void *user)
{
    LUCID_NO_GRAD;
    (void)m;
    seen *s = user;
    s->passed = lucid_item(lucid_mean(lucid_abs(y))) / lucid_item(lucid_mean(lucid_abs(x)));
    return NULL; /* the output stays as it is */
}

static lucid_tensor *look_backward(lucid_module *m, lucid_tensor *grad_input,
                                   lucid_tensor *grad_output, void *user)
{
    LUCID_NO_GRAD;
    (void)m, (void)grad_output;
    seen *s = user;
    if (grad_input) s->grad = lucid_item(lucid_sqrt(lucid_sum(lucid_square(grad_input))));
    return NULL;
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_module *net = nn_Sequential(
        nn_Conv2d(3, 16, 3, .padding = 1), nn_BatchNorm2d(16), nn_ReLU(), nn_MaxPool2d(2),
        make_se(16, 4), nn_Conv2d(16, 32, 3, .padding = 1), nn_BatchNorm2d(32), nn_ReLU(),
        make_se(32, 4), nn_AdaptiveAvgPool2d(3), nn_Flatten(), nn_Linear(288, SHAPES_KINDS));
    lucid_module_print(net);
    seen s = {0};
    lucid_module *block = lucid_get_module(net, "4");
    const uint64_t forward_hook = lucid_register_forward_hook(block, look_forward, &s);
    lucid_register_full_backward_hook(block, look_backward, &s);

    lucid_loader *data = data_Loader(data_Map(shapes_dataset(384, 24), data_ToFloat()),
                                     .batch_size = 32, .shuffle = true);
    lucid_optimizer *opt = optim_AdamW(net, .lr = 3e-3, .weight_decay = 0.05);
    lucid_optim_no_decay_for_vectors(opt); /* biases and the scales of BatchNorm */
    const int epochs = arguments_epochs(&a, 10, 3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        lucid_batch b;
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss);
        }
        printf("epoch %d: loss %.4f; block 4 lets through %.2f, gradient %.4f\n", epoch,
               sum / (double)lucid_loader_batches(data), s.passed, s.grad);
    }
    lucid_module_remove_hook(block, forward_hook);
    lucid_optimizer_free(opt);
    lucid_loader_free(data);
    lucid_module_free(net);
    return lucid_finish();
}

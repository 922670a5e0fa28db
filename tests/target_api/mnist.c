#include <lucid/lucid.h>
#include <stdio.h>

static lucid_module *make_net(void)
{
    return nn_Sequential(
        nn_Conv2d(1, 32, 3, .padding = 1, .bias = false),        /* [N,32,28,28] */
        nn_BatchNorm2d(32), nn_ReLU(), nn_MaxPool2d(2),          /* [N,32,14,14] */
        nn_Conv2d(32, 64, 3, .padding = 1, .bias = false),
        nn_BatchNorm2d(64, .momentum = 0.05), nn_ReLU(), nn_MaxPool2d(2),
        nn_Flatten(),                                            /* [N,3136] */
        nn_Linear(64 * 7 * 7, 128), nn_ReLU(), nn_Dropout(.p = 0.25),
        nn_Linear(128, 10));                                     /* [N,10] */
}

static double accuracy(lucid_module *net, lucid_loader *data)
{
    LUCID_NO_GRAD;                               /* until the closing brace */
    lucid_eval(net);
    double hits = 0;
    lucid_batch b;
    while (lucid_next(data, &b)) {               /* b lives until the next lucid_next */
        LUCID_SCOPE;                             /* tensors below die at the brace */
        lucid_tensor *guess = lucid_argmax(lucid_forward(net, b.x), 1);
        hits += lucid_item(lucid_sum(lucid_eq(guess, b.y)));
    }
    lucid_train(net);
    return hits / (double)lucid_loader_size(data);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "examples/data/mnist";
    lucid_manual_seed(42);
    lucid_device   dev   = lucid_best_device();
    lucid_module  *net   = make_net();
    lucid_to(net, dev);
    lucid_loader  *train = data_Loader(data_MNIST(dir, LUCID_TRAIN), .batch_size = 64, .shuffle = true, .device = dev);
    lucid_loader  *test  = data_Loader(data_MNIST(dir, LUCID_TEST), .batch_size = 256, .device = dev);
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.05, .momentum = 0.9);

    for (int epoch = 1; epoch <= 3; epoch++) {
        double loss_sum = 0, batches = 0;
        lucid_batch b;
        while (lucid_next(train, &b)) {          /* false at the end or after an error */
            LUCID_SCOPE;
            lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            loss_sum += lucid_item(loss);
            batches++;
        }
        printf("epoch %d: loss %.4f, accuracy %.2f%%\n", epoch, loss_sum / batches, 100 * accuracy(net, test));
    }
    lucid_save(net, "mnist.safetensors");        /* refuses while an error is pending */
    lucid_optimizer_free(opt);
    lucid_loader_free(test);
    lucid_loader_free(train);
    lucid_module_free(net);
    return lucid_finish();                       /* reports pending errors and leaks */
}

/* embed.c: a siamese network whose outputs are near one another for pictures of one class, and far
 * for others: triplet loss (Schroff et al., 2015). It is tested as a search: which picture is the
 * nearest one to a picture?
 *
 *     embed --data examples/data/mnist
 *     embed --quick                          made-up pictures, a few seconds */
#include "common/arguments.h"
#include "common/shapes.h"

#include <stdio.h>

static const char help[] = "Trains a network that tells which pictures are alike.\n\n"
                           "  --data DIR    the four files of MNIST, or of one of its family\n"
                           "  --epochs N    passes over the training images (3)\n"
                           "  --save FILE   where the weights go (embed.safetensors)\n"
                           "  --quick       few made-up pictures\n";

static lucid_module *make_net(int64_t channels)
{
    return nn_Sequential(nn_Conv2d(channels, 32, 3, .padding = 1), nn_BatchNorm2d(32), nn_ReLU(),
                         nn_MaxPool2d(2), nn_Conv2d(32, 64, 3, .padding = 1), nn_BatchNorm2d(64),
                         nn_ReLU(), nn_AdaptiveAvgPool2d(4), nn_Flatten(), nn_Linear(1024, 32));
}

/* For each sample another one of its class and one of another class, in the same batch: the first
 * after it that fit. Writes their places [n]; samples without such a pair take themselves. */
static void choose(const int64_t *y, int64_t n, int64_t *anchor, int64_t *same, int64_t *other,
                   int64_t *count)
{
    *count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t s = -1, o = -1;
        for (int64_t k = 1; k < n && (s < 0 || o < 0); k++) {
            const int64_t j = (i + k) % n;
            if (y[j] == y[i] && s < 0) s = j;
            if (y[j] != y[i] && o < 0) o = j;
        }
        if (s < 0 || o < 0) continue;
        anchor[*count] = i, same[*count] = s, other[*count] = o;
        ++*count;
    }
}

static lucid_tensor *batch_loss(lucid_module *net, const lucid_batch *b)
{
    int64_t a[128], s[128], o[128], n;
    choose(lucid_data(b->y), b->n, a, s, o, &n);
    lucid_tensor *z = lucid_forward(net, b->x); /* once for all three */
    return lucid_triplet_margin_loss(lucid_index_select(z, 0, lucid_from_data((n), a)),
                                     lucid_index_select(z, 0, lucid_from_data((n), s)),
                                     lucid_index_select(z, 0, lucid_from_data((n), o)),
                                     .swap = true);
}

static void train(lucid_module *net, lucid_loader *data, int epochs)
{
    lucid_optimizer *opt = optim_Adam(net, .lr = 1e-3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        lucid_batch b;
        lucid_train(net);
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *loss = batch_loss(net, &b);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss);
        }
        printf("epoch %d: loss %.4f\n", epoch, sum / (double)lucid_loader_batches(data));
    }
    lucid_optimizer_free(opt);
}

/* The part of a batch's pictures whose nearest other one is of the same class. */
static double search(lucid_module *net, lucid_loader *data)
{
    LUCID_NO_GRAD;
    double hits = 0;
    lucid_batch b;
    lucid_eval(net);
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_tensor *z = lucid_forward(net, b.x),
                     *sq = lucid_sum(lucid_square(z), 1, .keepdim = true);
        lucid_tensor *d = lucid_sub(lucid_add(sq, lucid_transpose(sq, 0, 1)),
                                    lucid_mul(lucid_matmul(z, lucid_transpose(z, 0, 1)), 2));
        d = lucid_add(d, lucid_mul(lucid_eye(b.n, b.n), 1e9)); /* not itself */
        lucid_tensor *nearest = lucid_index_select(b.y, 0, lucid_argmin(d, 1));
        hits += lucid_item(lucid_sum(lucid_eq(nearest, b.y)));
    }
    return hits / (double)lucid_loader_size(data);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_dataset *train_set = a.quick ? data_Map(shapes_dataset(512, 24), data_ToFloat())
                                       : data_MNIST(a.data, LUCID_TRAIN);
    lucid_dataset *test_set = a.quick ? data_Map(shapes_dataset(600, 24), data_ToFloat())
                                      : data_MNIST(a.data, LUCID_TEST);
    lucid_loader *data =
        data_Loader(train_set, .batch_size = 64, .shuffle = true, .drop_last = true);
    lucid_loader *tests = data_Loader(test_set, .batch_size = 100, .shuffle = true);
    lucid_module *net = make_net(a.quick ? 3 : 1);
    printf("before: the nearest picture is of the same class in %.1f %%\n",
           100 * search(net, tests));
    train(net, data, arguments_epochs(&a, 3, 4));
    printf("after: in %.1f %%\n", 100 * search(net, tests));
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "embed.safetensors");
    lucid_module_free(net);
    lucid_loader_free(tests);
    lucid_loader_free(data);
    return lucid_finish();
}

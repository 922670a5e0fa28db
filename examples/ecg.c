/* ecg.c: a convolutional network in one dimension that tells beats of a heart apart.
 *
 *     ecg --data beats.csv                   rows of samples of a beat and its class, 0, 1, ...
 *     ecg --quick                            made-up beats, a few seconds
 *
 * A signal [N,1,L] is a picture [N,1,1,L] with kernels of one row. */
#include "common/arguments.h"

#include <lucid/lucid.h>
#include <math.h>
#include <stdio.h>

static const char help[] =
    "Trains a network to tell beats of a heart apart.\n\n"
    "  --data FILE   CSV: in each row the samples of a beat, then its class\n"
    "  --epochs N    passes over it (20)\n"
    "  --save FILE   where the weights go (ecg.safetensors)\n"
    "  --quick       made-up beats of three classes\n";

static lucid_module *block(int64_t in, int64_t out)
{
    return nn_Sequential(
        nn_Conv2d(in, out, lucid_pair(1, 7), .padding = lucid_pair(0, 3), .bias = false),
        nn_BatchNorm2d(out), nn_ReLU(), nn_MaxPool2d(lucid_pair(1, 2)));
}

static lucid_module *make_net(int64_t classes)
{
    return nn_Sequential(block(1, 16), block(16, 32), block(32, 64), nn_AdaptiveAvgPool2d(1),
                         nn_Flatten(), nn_Dropout(.p = 0.2), nn_Linear(64, classes));
}

/* Rows of 128 samples and a class: a usual beat, one that comes early and is wide, one without the
 * small wave before it. */
static lucid_tensor *make_beats(int64_t n)
{
    enum { L = 128 };
    lucid_tensor *rows = lucid_mul(lucid_randn((n, L + 1)), 0.08);
    float *v = lucid_mutable_data(rows);
    for (int64_t i = 0; v && i < n; i++, v += L + 1) {
        const int kind = (int)(i % 3);
        const double middle = kind == 1 ? 48 : 64, width = kind == 1 ? 6 : 2.5;
        for (int t = 0; t < L; t++) {
            const double d = t - middle;
            v[t] += (float)exp(-d * d / (2 * width * width));
            v[t] += (float)(0.3 * exp(-(d - 30) * (d - 30) / 100));
            if (kind != 2) v[t] += (float)(0.25 * exp(-(d + 20) * (d + 20) / 30));
        }
        v[L] = (float)kind;
    }
    return rows;
}

static double test(lucid_module *net, lucid_loader *data, lucid_confusion *confusion)
{
    LUCID_NO_GRAD;
    lucid_batch b;
    lucid_eval(net);
    lucid_confusion_reset(confusion);
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_confusion_add(confusion, lucid_forward(net, b.x), b.y);
    }
    return lucid_confusion_measure(confusion, LUCID_F1, LUCID_MACRO);
}

static void train(lucid_module *net, lucid_loader *data, lucid_loader *tests, int epochs,
                  lucid_confusion *confusion)
{
    lucid_optimizer *opt = optim_AdamW(net, .lr = 3e-3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        lucid_batch b;
        lucid_train(net);
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss);
        }
        printf("epoch %d: loss %.4f, F1 %.3f\n", epoch, sum / (double)lucid_loader_batches(data),
               test(net, tests, confusion));
    }
    lucid_optimizer_free(opt);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_tensor *rows = a.quick ? make_beats(600) : lucid_csv_read(a.data);
    const int64_t n = lucid_size(rows, 0), length = lucid_size(rows, 1) - 1;
    lucid_tensor *x = lucid_reshape(lucid_narrow(rows, 1, 0, length), (n, 1, 1, length));
    lucid_tensor *y = lucid_cast(lucid_select(rows, 1, length), LUCID_I64);
    const int64_t classes = (int64_t)lucid_item(lucid_max(y)) + 1;
    lucid_dataset *learn, *check;
    data_random_split(data_Tensors(x, y), (0.8, 0.2), (&learn, &check));
    lucid_loader *data = data_Loader(learn, .batch_size = 32, .shuffle = true);
    lucid_loader *tests = data_Loader(check, .batch_size = 256);
    lucid_module *net = make_net(classes);
    lucid_confusion *confusion = lucid_confusion_new(classes);
    train(net, data, tests, arguments_epochs(&a, 20, 4), confusion);
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "ecg.safetensors");
    lucid_confusion_free(confusion);
    lucid_module_free(net);
    lucid_loader_free(tests);
    lucid_loader_free(data);
    return lucid_finish();
}

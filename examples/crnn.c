/* crnn.c: reads lines of digits: a convolutional network makes columns of a picture a sequence, an
 * LSTM reads it in both directions, and CTC finds where each digit is (Graves et al., 2006; Shi et
 * al., 2015). The lines are made of MNIST's digits.
 *
 *     crnn --data examples/data/mnist
 *     crnn --quick                           made-up digits, a few seconds */
#include "common/arguments.h"

#include <lucid/lucid.h>
#include <stdio.h>

static const char help[] = "Trains a network that reads lines of five handwritten digits.\n\n"
                           "  --data DIR    the four files of MNIST\n"
                           "  --epochs N    passes over the training images (4)\n"
                           "  --save FILE   where the weights go (crnn.safetensors)\n"
                           "  --quick       digits that are easy to tell apart\n";

enum { DIGITS = 5, CLASSES = 11 }; /* class 0 is CTC's blank, class d + 1 the digit d */

typedef struct CRNN {
    lucid_module base;
    lucid_module *conv, *lstm, *head;
} CRNN;

static lucid_tensor *crnn_forward(lucid_module *m, lucid_tensor *x)
{
    CRNN *c = lucid_self(m, CRNN);
    x = lucid_forward(c->conv, x);                           /* [N,32,H/4,W/4] */
    x = lucid_flatten(lucid_permute(x, (3, 0, 1, 2)), 2, 3); /* [W/4,N,32 H/4] */
    return lucid_log_softmax(lucid_forward(c->head, lucid_forward(c->lstm, x)), 2);
}

static const lucid_module_class CRNN_class = {
    .name = "CRNN",
    .size = sizeof(CRNN),
    .super = &lucid_module_class_base,
    .forward = crnn_forward,
};

static lucid_module *make_crnn(int64_t height)
{
    lucid_module *m = lucid_module_new(&CRNN_class);
    CRNN *c = lucid_self(m, CRNN);
    if (!c) return NULL;
    lucid_register_module(m, "conv", &c->conv,
                          nn_Sequential(nn_Conv2d(1, 16, 3, .padding = 1), nn_BatchNorm2d(16),
                                        nn_ReLU(), nn_MaxPool2d(2),
                                        nn_Conv2d(16, 32, 3, .padding = 1), nn_BatchNorm2d(32),
                                        nn_ReLU(), nn_MaxPool2d(2)));
    lucid_register_module(m, "lstm", &c->lstm,
                          nn_LSTM(32 * (height / 4), 64, .bidirectional = true));
    lucid_register_module(m, "head", &c->head, nn_Linear(128, CLASSES));
    return m;
}

/* Lines of the digits of a batch: x [N,1,H,W] gives [N/5,1,H,5 W], y [N] gives [N/5,5]. */
static void make_lines(const lucid_batch *b, lucid_tensor **x, lucid_tensor **y)
{
    const int64_t n = b->n / DIGITS, h = lucid_size(b->x, 2), w = lucid_size(b->x, 3);
    *x = lucid_permute(lucid_reshape(b->x, (n, DIGITS, h, w)), (0, 2, 1, 3)); /* [n,H,5,W] */
    *x = lucid_reshape(*x, (n, 1, h, DIGITS * w));
    *y = lucid_add(lucid_reshape(b->y, (n, DIGITS)), lucid_ones((n, DIGITS), .dtype = LUCID_I64));
}

/* How many lines are read right: the best class of each column, without repeats and blanks. */
static int64_t read_right(lucid_tensor *scores, lucid_tensor *y)
{
    LUCID_NO_GRAD;
    lucid_tensor *best = lucid_contiguous(lucid_argmax(scores, 2), LUCID_CONTIGUOUS); /* [T,N] */
    const int64_t *c = lucid_data(best), *truth = lucid_data(lucid_contiguous(y, LUCID_CONTIGUOUS));
    int64_t steps = lucid_size(best, 0), n = lucid_size(best, 1), right = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t found = 0, wrong = 0;
        for (int64_t t = 0; t < steps; t++) {
            const int64_t at = c[t * n + i], before = t ? c[(t - 1) * n + i] : 0;
            if (at == 0 || at == before) continue;
            if (found >= DIGITS || truth[i * DIGITS + found] != at) wrong++;
            found++;
        }
        right += found == DIGITS && !wrong;
    }
    return right;
}

static void train(lucid_module *net, lucid_loader *data, int epochs)
{
    lucid_optimizer *opt = optim_Adam(net, .lr = 3e-3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0, right = 0, lines = 0;
        lucid_batch b;
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *x, *y;
            make_lines(&b, &x, &y);
            lucid_tensor *scores = lucid_forward(net, x); /* [T,N,11] */
            const int64_t n = lucid_size(y, 0), t = lucid_size(scores, 0);
            lucid_tensor *loss =
                lucid_ctc_loss(scores, y, lucid_full((n), (double)t, .dtype = LUCID_I64),
                               lucid_full((n), DIGITS, .dtype = LUCID_I64));
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_clip_grad_norm(net, 5);
            lucid_step(opt);
            sum += lucid_item(loss), lines += (double)n, right += (double)read_right(scores, y);
        }
        printf("epoch %d: loss %.4f, %.1f %% of the lines right\n", epoch,
               sum / (double)lucid_loader_batches(data), 100 * right / lines);
    }
    lucid_optimizer_free(opt);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_dataset *digits =
        a.quick ? data_Map(data_FakeData(1600, (1, 16, 16), .signal = 0.9), data_ToFloat())
                : data_MNIST(a.data, LUCID_TRAIN);
    lucid_loader *data =
        data_Loader(digits, .batch_size = 32 * DIGITS, .shuffle = true, .drop_last = true);
    lucid_module *net = make_crnn(a.quick ? 16 : 28);
    train(net, data, arguments_epochs(&a, 4, 4));
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "crnn.safetensors");
    lucid_module_free(net);
    lucid_loader_free(data);
    return lucid_finish();
}

/* mnist.c: trains a small convolutional network to read handwritten digits.
 *
 *     ./run mnist                     3 epochs, above 99 %
 *     ./run mnist --epochs 1 --lr 0.05 --seed 7
 *     ./run mnist --load mnist.safetensors --eval-only
 *
 * This file has the whole training. examples/mnist/ has the rest: the options, the progress bar and
 * the pictures. */
#include "mnist/options.h"
#include "mnist/progress.h"
#include "mnist/report.h"

#include <lucid/lucid.h>
#include <signal.h>
#include <stdio.h>

/* The number of the signal, SIGINT (Ctrl-C) or SIGTERM, that has come; 0 before. Training then ends
 * after the current step, and its weights are saved. A second signal ends the program at once. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    interrupted = sig;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

static lucid_module *make_net(void)
{
    return nn_Sequential(nn_Conv2d(1, 32, 3, .padding = 1, .bias = false),  /* [N,32,28,28] */
                         nn_BatchNorm2d(32), nn_ReLU(), nn_MaxPool2d(2),    /* [N,32,14,14] */
                         nn_Conv2d(32, 64, 3, .padding = 1, .bias = false), /* [N,64,14,14] */
                         nn_BatchNorm2d(64), nn_ReLU(), nn_MaxPool2d(2),    /* [N,64,7,7] */
                         nn_Flatten(),                                      /* [N,3136] */
                         nn_Linear(64 * 7 * 7, 128), nn_ReLU(), nn_Dropout(.p = 0.25),
                         nn_Linear(128, 10)); /* [N,10] */
}

/* One pass over the training data; returns the mean loss. */
static double train_epoch(lucid_module *net, lucid_loader *data, lucid_optimizer *opt,
                          lucid_scheduler *schedule, progress *bar, report *rep)
{
    double loss_sum = 0;
    int64_t seen = 0;
    lucid_batch b;
    lucid_train(net);
    while (!interrupted && lucid_next(data, &b)) {
        LUCID_SCOPE; /* the tensors of this step die at the brace */
        lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
        lucid_zero_grad(opt);
        lucid_backward(loss);
        lucid_step(opt);
        lucid_scheduler_step(schedule);

        double mean = lucid_item(loss);
        loss_sum += mean * (double)b.n;
        seen += b.n;
        report_step(rep, mean);
        progress_update(bar, seen, loss_sum / (double)seen);
    }
    return seen ? loss_sum / (double)seen : 0;
}

/* Loss and accuracy on the test data. Wrong answers go to the report. */
static score test(lucid_module *net, lucid_loader *data, report *rep)
{
    LUCID_NO_GRAD; /* nothing is recorded until the closing brace */
    score s = {0};
    lucid_batch b;
    lucid_eval(net);
    while (!interrupted && lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_tensor *logits = lucid_forward(net, b.x);
        lucid_tensor *guess = lucid_argmax(logits, 1);
        s.loss += lucid_item(lucid_cross_entropy(logits, b.y, .reduction = LUCID_REDUCTION_SUM));
        s.hits += (int64_t)lucid_item(lucid_sum(lucid_eq(guess, b.y)));
        s.n += b.n;
        report_wrong_answers(rep, &b, guess);
    }
    lucid_loader_reset(data);
    return s;
}

static void train(const options *o, lucid_module *net, lucid_loader *train_data,
                  lucid_loader *test_data, report *rep)
{
    lucid_optimizer *opt =
        optim_SGD(net, .lr = o->lr, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true);
    lucid_scheduler *schedule =
        optim_OneCycleLR(opt, o->lr, o->epochs * lucid_loader_batches(train_data),
                         .pct_start = 0.25, .div_factor = 5, .final_div_factor = 1000);
    for (int epoch = 1; epoch <= o->epochs && !interrupted; epoch++) {
        progress bar = progress_begin(epoch, o->epochs, lucid_loader_size(train_data), o->quiet);
        double loss = train_epoch(net, train_data, opt, schedule, &bar, rep);
        if (lucid_error_code() != LUCID_OK) break;
        double seconds = progress_seconds(&bar);
        score s = test(net, test_data, rep);
        const score *tested = interrupted ? NULL : &s;
        progress_end(&bar, seconds, loss, tested ? score_accuracy(tested) : -1);
        report_epoch(rep, &(epoch_result){.epoch = epoch,
                                          .samples = bar.done,
                                          .train_loss = loss,
                                          .lr = lucid_optim_lr(opt),
                                          .seconds = seconds,
                                          .test = tested});
    }
    lucid_scheduler_free(schedule);
    lucid_optimizer_free(opt);
}

int main(int argc, char **argv)
{
    options o;
    if (!options_parse(&o, argc, argv)) return o.help ? 0 : 2;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    if (o.threads > 0) lucid_set_num_threads(o.threads);
    lucid_manual_seed(o.seed);
    lucid_set_deterministic(true); /* one seed, the same bits, also with cuDNN */

    lucid_module *net = make_net();
    lucid_to(net, o.device);
    if (o.load) lucid_load(net, o.load);
    bool on_gpu = o.device.type == LUCID_CUDA; /* the whole data set fits there */
    lucid_loader *train_data =
        data_Loader(data_MNIST(o.data, LUCID_TRAIN), .batch_size = o.batch_size, .shuffle = true,
                    .device = o.device, .resident = on_gpu);
    lucid_loader *test_data = data_Loader(data_MNIST(o.data, LUCID_TEST), .batch_size = 200,
                                          .device = o.device, .resident = on_gpu);
    report *rep = report_begin(&o, net);

    if (!o.eval_only) train(&o, net, train_data, test_data, rep);
    report_weights(rep, net); /* before anything else can go wrong */
    score final = test(net, test_data, rep);
    report_end(rep, net, interrupted ? NULL : &final);

    lucid_loader_free(test_data);
    lucid_loader_free(train_data);
    lucid_module_free(net);
    int status = lucid_finish();                     /* reports pending errors and leaks */
    return interrupted ? 128 + interrupted : status; /* the exit status that shells expect */
}

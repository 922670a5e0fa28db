/* cifar10.c: trains ResNet-20 on CIFAR-10 with random crops, flips and a one-cycle schedule.
 *
 *     cifar10 --data cifar-10-batches-bin                    the folder of the binary form
 *     cifar10 --data DIR --load w.safetensors --epochs 0     only tests these weights
 *     cifar10 --quick                                        made-up pictures, half a minute */
#include <getopt.h>
#include <lucid/lucid.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char help[] =
    "Trains ResNet-20 on CIFAR-10 and tests it.\n\n"
    "  --data DIR      data_batch_1.bin to 5 and test_batch.bin, or a single file of images\n"
    "  --epochs N      passes over the training images (100); 0: only test\n"
    "  --workers N     threads that prepare the images (2)\n"
    "  --bf16          convolutions and products in bfloat16\n"
    "  --load FILE     begin with these weights\n"
    "  --save FILE     where the weights go (cifar10.safetensors)\n"
    "  --quick         two short epochs on made-up pictures, without data\n";

typedef struct options {
    const char *data, *load, *save;
    int epochs, workers, bf16, quick;
} options;

/* Reads the command line. -1: go on; else the exit status. */
static int parse(options *o, int argc, char **argv)
{
    *o = (options){.save = "cifar10.safetensors", .epochs = 100, .workers = 2};
    const struct option table[] = {
        {"data", 1, NULL, 'd'},      {"epochs", 1, NULL, 'e'},      {"load", 1, NULL, 'l'},
        {"workers", 1, NULL, 'w'},   {"save", 1, NULL, 's'},        {"help", 0, NULL, 'h'},
        {"bf16", 0, &o->bf16, true}, {"quick", 0, &o->quick, true}, {0}};
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        char *end = "";
        if (c == 'd') o->data = optarg;
        if (c == 'l') o->load = optarg;
        if (c == 's') o->save = optarg;
        if (c == 'e') o->epochs = (int)strtol(optarg, &end, 10);
        if (c == 'w') o->workers = (int)strtol(optarg, &end, 10);
        if (c == 'h') return fputs(help, stdout) < 0;
        if (c == '?' || *end) return fputs("cifar10: see --help\n", stderr), 2;
    }
    if (o->quick) o->epochs = 2;
    if (optind == argc && (o->data || o->quick)) return -1;
    return fputs("cifar10: --data DIR is needed; --help tells more\n", stderr), 2;
}

static lucid_loader *load_data(const options *o, lucid_split split)
{
    lucid_dataset *d =
        o->quick ? data_FakeData(split == LUCID_TRAIN ? 768 : 256, (3, 32, 32), .signal = 0.5)
                 : data_CIFAR10(o->data, split);
    lucid_transform *to_float =
        data_Compose(data_ToFloat(), data_Normalize((.485, .456, .406), (.229, .224, .225)));
    if (split == LUCID_TEST) return data_Loader(data_Map(d, to_float), .batch_size = 256);
    lucid_transform *augment =
        data_Compose(data_RandomCrop(32, .padding = 4), data_RandomHorizontalFlip(), to_float);
    return data_Loader(data_Map(d, augment), .batch_size = o->quick ? 32 : 128, .shuffle = true,
                       .drop_last = true, .workers = o->workers);
}

static double test(lucid_module *net, lucid_loader *data)
{
    LUCID_NO_GRAD;
    double hits = 0;
    lucid_batch b;
    lucid_eval(net);
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        hits += lucid_item(lucid_sum(lucid_eq(lucid_argmax(lucid_forward(net, b.x), 1), b.y)));
    }
    return 100 * hits / (double)lucid_loader_size(data);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void train(lucid_module *net, const options *o, lucid_loader *data, lucid_loader *tests)
{
    const int64_t steps = lucid_loader_batches(data);
    lucid_optimizer *opt =
        optim_SGD(net, .lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true);
    lucid_scheduler *schedule = optim_OneCycleLR(opt, o->quick ? 0.02 : 0.2, o->epochs * steps);
    for (int epoch = 1; epoch <= o->epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0, waited = 0, begin = now(), asked = begin;
        lucid_batch b;
        lucid_train(net);
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            LUCID_AUTOCAST(o->bf16 ? LUCID_BF16 : LUCID_AUTOCAST_OFF);
            waited += now() - asked;
            lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            lucid_scheduler_step(schedule);
            sum += lucid_item(loss);
            asked = now();
        }
        double seconds = now() - begin;
        printf("epoch %d: loss %.4f, test %.2f %%, %.1f ms a step, %.1f %% of it for data\n", epoch,
               sum / (double)steps, test(net, tests), 1e3 * seconds / (double)steps,
               100 * waited / seconds);
        fflush(stdout);
    }
    lucid_scheduler_free(schedule);
    lucid_optimizer_free(opt);
}

int main(int argc, char **argv)
{
    options o;
    const int status = parse(&o, argc, argv);
    if (status >= 0) return status;
    lucid_manual_seed(1);
    lucid_module *net = nn_ResNet20();
    if (o.load) lucid_load(net, o.load);
    lucid_loader *tests = load_data(&o, LUCID_TEST);
    if (o.epochs > 0) {
        lucid_loader *data = load_data(&o, LUCID_TRAIN);
        train(net, &o, data, tests);
        lucid_loader_free(data);
        if (!o.quick) lucid_save(net, o.save);
    }
    printf("test accuracy %.2f %%\n", test(net, tests));
    lucid_loader_free(tests);
    lucid_module_free(net);
    return lucid_finish();
}

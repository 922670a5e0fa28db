/* networks.c: lucid models, lucid summary and lucid bench. */
#include "nn/command/commands_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int command_models(int argc, char **argv)
{
    (void)argc, (void)argv;
    for (int64_t i = 0; i < lucid_model_count(); i++) puts(lucid_model_name(i));
    return 0;
}

/* The size of the images: the argument, else the one that the model was trained with. 0 after a
 * mistake, which is reported. */
static int64_t size_of(int argc, char **argv)
{
    if (argc < 2) {
        if (!strcmp(argv[0], "lenet5")) return 28;
        return strcmp(argv[0], "inception_v3") ? 224 : 299;
    }
    char *end;
    const long size = strtol(argv[1], &end, 10);
    if (size > 0 && size <= 4096 && !*end) return size;
    fprintf(stderr, "lucid: %s: expected a size from 1 to 4096\n", argv[1]);
    return 0;
}

static lucid_module *make(const char *name, int64_t size, int64_t *channels)
{
    const bool gray = !strcmp(name, "lenet5");
    *channels = gray ? 1 : 3;
    const int64_t image = strncmp(name, "vit_", 4) ? 0 : size;
    return nn_Model(name, .num_classes = gray ? 10 : 1000, .in_channels = *channels,
                    .image_size = image);
}

int command_summary(int argc, char **argv)
{
    LUCID_SCOPE;
    const int64_t size = size_of(argc, argv);
    if (!size) return 2;
    int64_t channels;
    lucid_module *net = make(argv[0], size, &channels);
    char *text = net ? lucid_module_summary(net, lucid_zeros((1, channels, size, size))) : NULL;
    if (text) puts(text);
    free(text);
    lucid_module_free(net);
    return 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void forward(lucid_module *net, lucid_optimizer *opt, lucid_tensor *x, lucid_tensor *y)
{
    LUCID_NO_GRAD;
    LUCID_SCOPE;
    (void)opt, (void)y;
    lucid_forward(net, x);
}

static void step(lucid_module *net, lucid_optimizer *opt, lucid_tensor *x, lucid_tensor *y)
{
    LUCID_SCOPE;
    lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, x), y);
    lucid_zero_grad(opt);
    lucid_backward(loss);
    lucid_step(opt);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct number {
    char s[24];
} number;

/* A time with two decimals, whatever the locale. */
static number hundredths(double ms)
{
    number n;
    const int64_t all = (int64_t)(ms * 100 + 0.5);
    snprintf(n.s, sizeof n.s, "%" PRId64 ".%02d", all / 100, (int)(all % 100));
    return n;
}

/* The median of at least 5 runs, and of as many as fit into 2 seconds, after one that does not
 * count; in milliseconds. */
static double time_of(void (*run)(lucid_module *, lucid_optimizer *, lucid_tensor *,
                                  lucid_tensor *),
                      lucid_module *net, lucid_optimizer *opt, lucid_tensor *x, lucid_tensor *y)
{
    double times[200];
    int n = 0;
    run(net, opt, x, y);
    const double begin = now();
    while (lucid_error_code() == LUCID_OK && n < 200 && (n < 5 || now() - begin < 2)) {
        const double before = now();
        run(net, opt, x, y);
        times[n++] = 1e3 * (now() - before);
    }
    if (n == 0) return 0;
    qsort(times, (size_t)n, sizeof *times, ascending);
    return times[n / 2];
}

int command_bench(int argc, char **argv)
{
    LUCID_SCOPE;
    const int64_t size = size_of(argc, argv);
    if (!size) return 2;
    int64_t channels;
    lucid_module *net = make(argv[0], size, &channels);
    if (!net) return 1;
    lucid_optimizer *opt = optim_SGD(net, .lr = 1e-3);
    printf("%s, images of %" PRId64 "x%" PRId64 ", %d threads, medians in ms\n", argv[0], size,
           size, lucid_get_num_threads());
    printf("batch   forward   training step\n");
    for (int64_t batch = 1; batch <= 8 && lucid_error_code() == LUCID_OK; batch *= 8) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_randn((batch, channels, size, size));
        lucid_tensor *y = lucid_zeros((batch), .dtype = LUCID_I64);
        lucid_eval(net);
        const double forward_ms = time_of(forward, net, opt, x, y);
        lucid_train(net);
        /* BatchNorm of one pixel and one image has no variance: batches of two and more train. */
        if (batch == 1)
            printf("%5" PRId64 "  %8s         -\n", batch, hundredths(forward_ms).s);
        else
            printf("%5" PRId64 "  %8s  %8s\n", batch, hundredths(forward_ms).s,
                   hundredths(time_of(step, net, opt, x, y)).s);
    }
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return 0;
}

/* options.c: reading the command line. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help_text[] =
    "Trains a convolutional network on MNIST and tests it.\n"
    "\n"
    "  --epochs N       passes over the training data (3)\n"
    "  --batch-size N   samples a step (64)\n"
    "  --lr X           highest learning rate of the cycle (0.05)\n"
    "  --seed N         seed of all random numbers (42)\n"
    "  --threads N      CPU threads (all)\n"
    "  --device D       cpu, cuda or cuda:N (the best there is)\n"
    "  --data DIR       the four idx files of MNIST or Fashion-MNIST, plain or .gz\n"
    "                   (examples/data/mnist)\n"
    "  --out DIR        where mnist.safetensors, metrics.jsonl and the pictures go (.)\n"
    "  --load FILE      begin with these weights\n"
    "  --eval-only      test only (with --load); the picture is wrong-eval.png\n"
    "  --quiet          no progress; only the last line\n"
    "  --help           this text\n"
    "\n"
    "Ctrl-C and SIGTERM end the training after the step; what was reached is saved.\n";

enum { EPOCHS = 256, BATCH, LR, SEED, THREADS, DEVICE, DATA, OUT, LOAD, EVAL_ONLY, QUIET, HELP };

static const struct option table[] = {
    {"epochs", required_argument, NULL, EPOCHS},
    {"batch-size", required_argument, NULL, BATCH},
    {"lr", required_argument, NULL, LR},
    {"seed", required_argument, NULL, SEED},
    {"threads", required_argument, NULL, THREADS},
    {"device", required_argument, NULL, DEVICE},
    {"data", required_argument, NULL, DATA},
    {"out", required_argument, NULL, OUT},
    {"load", required_argument, NULL, LOAD},
    {"eval-only", no_argument, NULL, EVAL_ONLY},
    {"quiet", no_argument, NULL, QUIET},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* Reads a whole number in [low, high]. False if it is none, after saying what is wrong. */
static bool read_integer(const char *name, const char *text, int64_t low, int64_t high,
                         int64_t *value)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && v >= low && v <= high) {
        *value = v;
        return true;
    }
    fprintf(stderr, "mnist: --%s: expected a whole number in [%lld,%lld], got \"%s\"\n", name,
            (long long)low, (long long)high, text);
    return false;
}

static bool read_rate(const char *text, double *value)
{
    char *end;
    double v = strtod(text, &end);
    if (end != text && *end == '\0' && isfinite(v) && v > 0) {
        *value = v;
        return true;
    }
    fprintf(stderr, "mnist: --lr: expected a number above 0, got \"%s\"\n", text);
    return false;
}

static bool read_device(const char *text, lucid_device *device)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    bool ok = lucid_device_parse(text, device);
    if (ok && lucid_device_count(device->type) <= device->index) {
        lucid_synchronize(*device); /* raises the error that says why */
        ok = false;
        fprintf(stderr, "mnist: --device: %s cannot be used here%s%s\n", text,
                lucid_error()[0] ? ": " : "", lucid_error());
    } else if (!ok) {
        fprintf(stderr, "mnist: --device: %s\n", lucid_error());
    }
    lucid_clear_error();
    lucid_set_error_mode(LUCID_ERRORS_STOP);
    return ok;
}

static bool read_option(options *o, int which, const char *value)
{
    int64_t n = 0;
    bool ok = true;
    switch (which) {
    case EPOCHS:
        ok = read_integer("epochs", value, 1, 10000, &n);
        o->epochs = (int)n;
        return ok;
    case BATCH:
        return read_integer("batch-size", value, 2, 60000, &o->batch_size);
    case LR:
        return read_rate(value, &o->lr);
    case SEED:
        ok = read_integer("seed", value, 0, INT64_MAX, &n);
        o->seed = (uint64_t)n;
        return ok;
    case THREADS:
        ok = read_integer("threads", value, 1, 1024, &n);
        o->threads = (int)n;
        return ok;
    case DEVICE:
        return read_device(value, &o->device);
    case DATA:
        o->data = value;
        return true;
    case OUT:
        o->out = value;
        return true;
    case LOAD:
        o->load = value;
        return true;
    case EVAL_ONLY:
        return o->eval_only = true;
    case QUIET:
        return o->quiet = true;
    case HELP:
        o->help = true;
        return false;
    default:
        return false; /* getopt has printed what is wrong */
    }
}

static bool check_together(const options *o)
{
    if (o->eval_only && !o->load) {
        fprintf(stderr, "mnist: --eval-only needs --load FILE: there is nothing to test\n");
        return false;
    }
    if (mkdir(o->out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "mnist: --out: cannot make the folder %s: %s\n", o->out, strerror(errno));
        return false;
    }
    return true;
}

bool options_parse(options *o, int argc, char **argv)
{
    *o = (options){.epochs = 3,
                   .batch_size = 64,
                   .lr = 0.05,
                   .seed = 42,
                   .device = lucid_best_device(),
                   .data = "examples/data/mnist",
                   .out = "."};
    int which;
    while ((which = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (read_option(o, which, optarg)) continue;
        if (o->help)
            fputs(help_text, stdout);
        else
            fprintf(stderr, "mnist: try --help\n");
        return false;
    }
    if (optind < argc) {
        fprintf(stderr, "mnist: expected options, got \"%s\"; try --help\n", argv[optind]);
        return false;
    }
    return check_together(o);
}

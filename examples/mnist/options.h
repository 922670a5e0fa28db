/* options.h: the command line of the MNIST example. */
#ifndef MNIST_OPTIONS_H
#define MNIST_OPTIONS_H

#include <lucid/lucid.h>

typedef struct options {
    int epochs;         /* 3 */
    int64_t batch_size; /* 64 */
    double lr;          /* the highest learning rate of the cycle */
    uint64_t seed;      /* 42 */
    int threads;        /* 0: all CPUs of the machine */
    lucid_device device;
    const char *data; /* folder with the four files */
    const char *out;  /* folder for the results */
    const char *load; /* weights to begin with, or NULL */
    bool eval_only, quiet, help;
} options;

/* False when the program must end: help was asked for and printed, or something is wrong and was
 * printed to stderr. */
bool options_parse(options *o, int argc, char **argv);

#endif

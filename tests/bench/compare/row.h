/* row.h: a row of the comparison with PyTorch: one thing that both do, over and over. The twin of a row
 * is in rival.py, under the same name. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include <lucid/lucid.h>

typedef struct row {
    const char *name;     /* "train net_a b64" */
    int64_t arguments[6]; /* what setup makes of them is its own affair */
    /* Makes what run needs, in the current scope or as objects of its own; NULL: failed. */
    void *(*setup)(const struct row *row);
    void (*run)(void *state); /* once: a training step, a forward, ... */
    void (*teardown)(void *state);
    /* A number that shows that both compute the same, after the first run; NULL: none. */
    double (*value)(void *state);
    double tolerance; /* of the values, relative */
    double flops;     /* of one run; 0: not counted */
    double bytes;     /* that one run must read and write at least; 0: not counted */
    bool memory;      /* runs in processes of its own, and their peak memory is shown */
} row;

/* The families, each ended by a row without a name. */
extern const row overhead_rows[], train_rows[], layer_rows[], elementwise_rows[], optimizer_rows[];

/* Fills t like rival.py's fill(): numbers in [-scale, scale) that depend on the index alone. */
void row_fill(lucid_tensor *t, double scale, double offset);
/* Fills a module's parameters so, with PyTorch's usual scale 1/sqrt(fan in), and biases with 0. */
void row_fill_module(lucid_module *net);

#endif

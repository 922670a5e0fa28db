/* row.h: a row of the comparison with PyTorch: one thing that both do, over and over. The tables
 * are here alone: rival.py is told a row's twin and arguments. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H

#include <lucid/lucid.h>

typedef struct row {
    const char *name;      /* "train net_a b64" */
    const char *twin;      /* what it is in rival.py's KINDS; NULL: it has none */
    int64_t arguments[10]; /* what setup, and the twin, make of them is their own affair */
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
    bool half;        /* bfloat16: on a GPU only, */
    bool everywhere;  /* unless this is set */
    /* For the tables of operators (op.c): the operator itself. */
    lucid_tensor *(*op)(const struct row *row, lucid_tensor *const *in);
} row;

/* The families, each ended by a row without a name, and NULL after the last family. */
extern const row *const row_families[];
extern const row overhead_rows[], train_rows[], conv_rows[], norm_rows[], op_rows[],
    optimizer_rows[], system_rows[], gpu_rows[];

/* Where rows run, and the dtype of their images: set before setup (worker.c). */
extern lucid_device row_device;
extern lucid_dtype row_dtype;

/* ---- the same numbers on both sides (fill.c) ---- */

/* Fills t like rival.py's fill(): numbers in [offset - scale, offset + scale) that depend on the
 * index alone. */
void row_fill(lucid_tensor *t, double scale, double offset);
/* Fills a module's parameters so and moves it to row_device, with PyTorch's usual scale 1/sqrt(fan
 * in), biases with 0.1; other vectors (BatchNorm's weights) stay as they are. */
void row_fill_module(lucid_module *net);
/* A number that tells tensors apart, as rival.py's check(): it sees signs and places, and no terms
 * cancel in it. */
double row_check(lucid_tensor *const *tensors, int n);

/* ---- what most rows need (job.c) ---- */

typedef struct job {
    const row *row;
    lucid_tensor *in[4]; /* retained, as is the next */
    lucid_tensor *kept;  /* a recorded result */
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_loader *loader;
    lucid_graph *graph; /* what run does, captured: on a GPU */
    double value;       /* of the first run */
    bool shown;
} job;

job *job_new(const row *r);
/* A filled tensor of the job's: in[i]. */
lucid_tensor *job_input(job *j, int i, lucid_shape shape, double scale, bool channels_last,
                        bool requires_grad);
/* To be called by run with its results: the first ones are the row's value. */
void job_show(job *j, lucid_tensor *const *results, int n);
double job_value(void *state);
void job_teardown(void *state);

#endif

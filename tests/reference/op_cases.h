/* op_cases.h: runs the cases of an operators' area (ops_pointwise, ...) and compares. */
#ifndef TESTS_REFERENCE_OP_CASES_H
#define TESTS_REFERENCE_OP_CASES_H

#include "tests/reference/vectors.h"
#include "tests/tolerance.h"

enum { OP_INPUTS = 4, OP_OUTPUTS = 2 };

/* A case that runs: what an operator's entry reads, and what it writes. */
typedef struct op_case {
    const vectors *v;
    const vectors_case *line;
    int n_in;
    lucid_tensor *in[OP_INPUTS]; /* laid out as the case says; NULL where it has none */
    lucid_tensor *running_mean, *running_var;
    lucid_tensor *out[OP_OUTPUTS];
    char why[160]; /* why the entry cannot run the case: a failure, unless empty */
} op_case;

typedef struct op_entry {
    const char *name; /* op=NAME in the manifests */
    tolerance_class forward, backward;
    void (*call)(op_case *c); /* sets out */
} op_entry;

/* The entry for an operator's name, NULL where there is none. */
const op_entry *op_find(const char *name);
/* The same for the activations and mathematical functions; op_find asks it too. */
const op_entry *op_find_activation(const char *name);
/* The same for reductions, scans, parts, turns and searches. */
const op_entry *op_find_tensor(const char *name);
/* The same for masks, scattering, indices, products and linear algebra. */
const op_entry *op_find_linear(const char *name);

/* Runs every case of the area. Each that fails is reported by its name; returns how many ran. */
int op_cases_run(const char *area);

#endif

/* lbfgs_priv.h: L-BFGS and its line search: all parameters as one vector. */
#ifndef LUCID_NN_OPTIM_LBFGS_PRIV_H
#define LUCID_NN_OPTIM_LBFGS_PRIV_H

#include "nn/optim/update_priv.h"

/* What is kept from step to step. The tensors are owned. */
typedef struct luc_lbfgs {
    lucid_tensor *direction, *grad; /* of the last iteration */
    lucid_tensor **y, **s;          /* differences of gradients and parameters, oldest first */
    double *ro;                     /* 1 / (y s) */
    int64_t kept, capacity;
    double t, scale, loss; /* step length, first guess of the inverse Hessian, loss before */
    int64_t iterations, evaluations;
} luc_lbfgs;

/* The loss and its gradient at a point of the line. */
typedef struct luc_point {
    double t, loss, slope;
    lucid_tensor *grad; /* owned */
} luc_point;

/* A line through the parameters. */
typedef struct luc_line {
    lucid_optimizer *opt;
    lucid_closure closure;
    void *user;
    lucid_tensor *start, *direction; /* vectors */
    double loss, slope;              /* at the start */
    lucid_tensor *grad;              /* there */
    int64_t evaluations;
} luc_line;

double luc_dot(lucid_tensor *a, lucid_tensor *b);
/* The largest absolute value; 0 of none. */
double luc_largest(lucid_tensor *x);
/* Gradients, or parameters, one after the other: scope-owned. */
lucid_tensor *luc_lbfgs_flat(lucid_optimizer *opt, bool gradients);
/* p <- base + t direction, both vectors. */
bool luc_lbfgs_go(lucid_optimizer *opt, lucid_tensor *base, double t, lucid_tensor *direction);
/* The loss where the parameters are, and its gradient, retained. */
bool luc_lbfgs_evaluate(lucid_optimizer *opt, lucid_closure closure, void *user, double *loss,
                        lucid_tensor **grad);
/* A point that satisfies the strong Wolfe conditions, or the best one that max_probes find; the
 * parameters end at the line's start. */
bool luc_line_search(luc_line *line, double first, int64_t max_probes, luc_point *found);

#endif

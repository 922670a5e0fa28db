/* optimizer_priv.h: the inside of optimizers. */
#ifndef LUCID_NN_OPTIM_OPTIMIZER_PRIV_H
#define LUCID_NN_OPTIM_OPTIMIZER_PRIV_H

#include "lucid/attrs.h"
#include "nn/module_priv.h"
#include "nn/optim/optimizer.h"

enum { LUC_MAX_MOMENTS = 3 };

/* A kind of optimizer: its kernel, the tensors that it keeps for every parameter, its options. */
typedef struct luc_optim_kind {
    const char *name;
    lucid_op_id kernel;
    const char *moments[LUC_MAX_MOMENTS]; /* names in state dicts, as attrs.h orders them */
    bool decoupled;                       /* AdamW */
    bool has_momentum, has_betas, has_eps, has_rho;
} luc_optim_kind;

/* A parameter and its state. */
typedef struct luc_optim_param {
    lucid_tensor *tensor;                  /* owned reference */
    lucid_tensor *moment[LUC_MAX_MOMENTS]; /* owned; NULL until the first step that needs it */
    bool started;                          /* the moments hold something */
    int64_t step;                          /* steps done */
} luc_optim_param;

typedef struct luc_optim_group {
    lucid_optim_options options;
    double initial_lr;    /* schedules start from it; options.lr until there is one */
    int64_t initial_step; /* when the group had initial_lr: step 0, or its first */
    bool scheduled;       /* initial_lr no longer follows options.lr */
    luc_optim_param *params;
    size_t n;
} luc_optim_group;

struct lucid_optimizer {
    const luc_optim_kind *kind;
    lucid_optim_options defaults; /* those that it was made with */
    luc_optim_group *groups;
    size_t n_groups;
    void *scratch; /* memory of the lists that kernels get */
    size_t scratch_size;
};

/* Whether two tensors share a device and a dtype, so that one kernel call may take both. */
static inline bool luc_same_place(const lucid_tensor *a, const lucid_tensor *b)
{
    return a->view.dtype == b->view.dtype &&
           lucid_device_equal(lucid_tensor_device(a), lucid_tensor_device(b));
}

bool luc_check_optimizer(const lucid_optimizer *opt, const char *op);
/* Raises an error and returns false if the kind lacks an option that is set, or if one is out of
 * its range. */
bool luc_optim_check_options(const luc_optim_kind *kind, const lucid_optim_options *options);
/* Makes the group's current rate its initial rate, unless it has one. */
void luc_optim_begin_schedule(luc_optim_group *group, int64_t step);
/* The number of moments that a group's options need. */
int luc_optim_moments(const luc_optim_kind *kind, const lucid_optim_options *options);
/* Makes a moment of zeros with the parameter's layout, owned by the current scope. */
lucid_tensor *luc_optim_moment_like(const lucid_tensor *param);

#endif

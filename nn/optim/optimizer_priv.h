/* optimizer_priv.h: the inside of optimizers. */
#ifndef LUCID_NN_OPTIM_OPTIMIZER_PRIV_H
#define LUCID_NN_OPTIM_OPTIMIZER_PRIV_H

#include "lucid/attrs.h"
#include "nn/module_priv.h"
#include "nn/optim/optimizer.h"

enum { LUC_MAX_MOMENTS = 3 };

/* An algorithm: its kernel, the tensors that it keeps for every parameter, its options. */
typedef struct luc_optim_kind {
    const char *name;
    lucid_op_id kernel;
    const char *moments[LUC_MAX_MOMENTS]; /* names in state dicts, as attrs.h orders them */
    bool decoupled;                       /* AdamW */
    bool has_momentum, has_betas, has_eps, has_rho;
} luc_optim_kind;

/* Options that not every kind has. */
typedef enum luc_optim_field { LUC_FIELD_momentum, LUC_FIELD_beta1 } luc_optim_field;
static inline bool luc_optim_has(const luc_optim_kind *kind, luc_optim_field field)
{
    return field == LUC_FIELD_momentum ? kind->has_momentum : kind->has_betas;
}

/* A parameter and what is kept for it. */
typedef struct luc_optim_param {
    lucid_tensor *tensor;                  /* owned reference */
    lucid_tensor *moment[LUC_MAX_MOMENTS]; /* owned; NULL until the first step that needs it */
    bool started;                          /* the moments hold something */
    int64_t step;                          /* steps done */
} luc_optim_param;

typedef struct luc_optim_group {
    lucid_optim_options options;
    double initial_lr;    /* what schedules count from; follows options.lr until there is one */
    int64_t initial_step; /* the step of the schedule at which the group had it: 0, or it joined */
    bool scheduled;       /* initial_lr no longer follows options.lr */
    luc_optim_param *params;
    size_t n;
} luc_optim_group;

struct lucid_optimizer {
    const luc_optim_kind *kind;
    lucid_optim_options defaults; /* those that it was made with */
    luc_optim_group *groups;
    size_t n_groups;
    void *scratch; /* the lists that kernels get */
    size_t scratch_size;
};

/* Do two tensors share a device and a dtype, so that one kernel call may take both? */
static inline bool luc_same_place(const lucid_tensor *a, const lucid_tensor *b)
{
    return a->view.dtype == b->view.dtype &&
           lucid_device_equal(lucid_tensor_device(a), lucid_tensor_device(b));
}

bool luc_check_optimizer(const lucid_optimizer *opt, const char *op);
/* Are these options ones that the kind has, in their ranges? Raises when not. */
bool luc_optim_check_options(const luc_optim_kind *kind, const lucid_optim_options *options);
/* Keeps the rate that the group has now as its initial one, unless it has one. */
void luc_optim_begin_schedule(luc_optim_group *group, int64_t step);
/* How many moments a group's options ask for. */
int luc_optim_moments(const luc_optim_kind *kind, const lucid_optim_options *options);
/* Memory for a moment: laid out as the parameter. Filled with zeros; scope-owned. */
lucid_tensor *luc_optim_moment_like(const lucid_tensor *param);

#endif

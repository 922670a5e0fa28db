/* optimizer_priv.h: the inside of optimizers. */
#ifndef LUCID_NN_OPTIM_OPTIMIZER_PRIV_H
#define LUCID_NN_OPTIM_OPTIMIZER_PRIV_H

#include "lucid/core/attrs.h"
#include "nn/module_priv.h"
#include "nn/optim/algorithms.h"

enum { LUC_MAX_MOMENTS = 3, LUC_MAX_NUMBERS = 2 };

/* ---- options --------------------------------------------------------------------------------- */

/* The options of a group: X(name, type, lowest, highest, is the highest one allowed). The first
 * eleven are in every saved state, the others in those of kinds that have them. */
#define LUC_OPTIM_FIELDS(X)                                      \
    X(lr, LUC_NUMBER, 0, INFINITY, false)                        \
    X(weight_decay, LUC_NUMBER, 0, INFINITY, false)              \
    X(maximize, LUC_BOOL, 0, 1, true)                            \
    X(momentum, LUC_NUMBER, 0, INFINITY, false)                  \
    X(dampening, LUC_NUMBER, -INFINITY, INFINITY, false)         \
    X(nesterov, LUC_BOOL, 0, 1, true)                            \
    X(beta1, LUC_NUMBER, 0, 1, false)                            \
    X(beta2, LUC_NUMBER, 0, 1, false)                            \
    X(eps, LUC_NUMBER, 0, INFINITY, false)                       \
    X(amsgrad, LUC_BOOL, 0, 1, true)                             \
    X(rho, LUC_NUMBER, 0, 1, true)                               \
    X(alpha, LUC_NUMBER, 0, INFINITY, false)                     \
    X(centered, LUC_BOOL, 0, 1, true)                            \
    X(lr_decay, LUC_NUMBER, 0, INFINITY, false)                  \
    X(initial_accumulator_value, LUC_NUMBER, 0, INFINITY, false) \
    X(momentum_decay, LUC_NUMBER, 0, INFINITY, false)            \
    X(decoupled_weight_decay, LUC_BOOL, 0, 1, true)              \
    X(trust_coefficient, LUC_NUMBER, 0, INFINITY, false)         \
    X(lambd, LUC_NUMBER, 0, INFINITY, false)                     \
    X(t0, LUC_NUMBER, 0, INFINITY, false)                        \
    X(eta_minus, LUC_NUMBER, 1e-300, 1, false)                   \
    X(eta_plus, LUC_NUMBER, 1.0000000000000002, INFINITY, false) \
    X(step_min, LUC_NUMBER, 0, INFINITY, false)                  \
    X(step_max, LUC_NUMBER, 0, INFINITY, false)                  \
    X(beta2_decay, LUC_NUMBER, -INFINITY, 0, true)               \
    X(eps1, LUC_NUMBER, LUCID_EPS_OF_DTYPE, INFINITY, false)     \
    X(eps2, LUC_NUMBER, 0, INFINITY, false)                      \
    X(d, LUC_NUMBER, 1, INFINITY, false)                         \
    X(ns_a, LUC_NUMBER, -INFINITY, INFINITY, false)              \
    X(ns_b, LUC_NUMBER, -INFINITY, INFINITY, false)              \
    X(ns_c, LUC_NUMBER, -INFINITY, INFINITY, false)              \
    X(ns_steps, LUC_INTEGER, 1, 99, true)                        \
    X(adjust_lr, LUC_INTEGER, 0, 2, true)                        \
    X(max_iter, LUC_INTEGER, 1, 1e9, true)                       \
    X(max_eval, LUC_INTEGER, 0, 1e9, true)                       \
    X(tolerance_grad, LUC_NUMBER, 0, INFINITY, false)            \
    X(tolerance_change, LUC_NUMBER, 0, INFINITY, false)          \
    X(history_size, LUC_INTEGER, 1, 1e6, true)                   \
    X(strong_wolfe, LUC_BOOL, 0, 1, true)

typedef enum luc_optim_field {
#define X(name, type, low, high, closed) LUC_FIELD_##name,
    LUC_OPTIM_FIELDS(X)
#undef X
        LUC_FIELDS,
    LUC_FIELDS_ALWAYS = LUC_FIELD_rho + 1 /* saved by every kind */
} luc_optim_field;

typedef enum luc_field_type { LUC_NUMBER, LUC_BOOL, LUC_INTEGER } luc_field_type;
typedef struct luc_field {
    const char *name;
    size_t at; /* in lucid_optim_options */
    luc_field_type type;
    double low, high;
    bool closed;
} luc_field;
extern const luc_field luc_optim_fields[LUC_FIELDS];
double luc_field_value(const lucid_optim_options *o, luc_optim_field field);
#define LUC_HAS(name) ((uint64_t)1 << LUC_FIELD_##name)

/* ---- kinds ----------------------------------------------------------------------------------- */

typedef struct luc_optim_param luc_optim_param;

/* One step of one parameter, made of operators. `param` and `grad` have maximize and weight decay
 * applied, unless the kind does that itself. The outputs are new tensors in the scope of the
 * moment: the parameter's own memory changes when all of them exist. */
typedef struct luc_update {
    const lucid_optim_options *o;
    const luc_optim_param *p;
    int64_t step;                                      /* from 1 on */
    lucid_tensor *param, *grad, *old[LUC_MAX_MOMENTS]; /* 16-bit ones as float32 */
    lucid_tensor *out, *moment[LUC_MAX_MOMENTS];       /* a NULL moment stays as it is */
    double number[LUC_MAX_NUMBERS];
} luc_update;

typedef enum luc_decay {
    LUC_DECAY_GRADIENT,  /* gradient + weight_decay p */
    LUC_DECAY_DECOUPLED, /* p *= 1 - lr weight_decay */
    LUC_DECAY_CHOSEN,    /* as decoupled_weight_decay says */
    LUC_DECAY_OWN,       /* the update does it */
} luc_decay;

/* An algorithm: its kernel or its update, the tensors that it keeps for every parameter, its
 * options. */
typedef struct luc_optim_kind {
    const char *name;
    lucid_op_id kernel; /* where update is NULL */
    bool (*update)(luc_update *u);
    const char *moments[LUC_MAX_MOMENTS]; /* names in state dicts, as core/attrs.h orders them */
    const char *numbers[LUC_MAX_NUMBERS];
    uint64_t fields; /* LUC_HAS(...) of each option */
    luc_decay decay;
    bool needs_closure; /* LBFGS: luc_lbfgs_step in place of both */
    bool matrices_only; /* Muon */
    /* The moments that a parameter needs, a bit for each. */
    unsigned (*needs)(const lucid_optim_options *o, const lucid_tensor *param);
    /* What a moment is full of before the first step; NULL: 0. */
    double (*first_value)(const lucid_optim_options *o, int moment);
    double (*first_number)(const lucid_optim_options *o, int number);
    /* A moment's sizes where they are not the parameter's. */
    void (*sizes)(int moment, lucid_shape *shape);
} luc_optim_kind;

static inline bool luc_optim_has(const luc_optim_kind *kind, luc_optim_field field)
{
    return kind->fields >> field & 1;
}

/* ---- optimizers ------------------------------------------------------------------------------ */

/* A parameter and its state. */
struct luc_optim_param {
    lucid_tensor *tensor;                  /* owned reference */
    lucid_tensor *moment[LUC_MAX_MOMENTS]; /* owned; NULL until the first step that needs it */
    lucid_tensor *slow;                    /* owned; Lookahead's, or NULL */
    double number[LUC_MAX_NUMBERS];
    bool started; /* the moments hold something */
    int64_t step; /* steps done */
};

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
    int64_t lookahead_k; /* 0: none */
    double lookahead_alpha;
    struct luc_lbfgs *lbfgs; /* owned; NULL until the first step */
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
bool luc_optim_check_number(const luc_optim_kind *kind, luc_optim_field field, double value);
/* Makes the group's current rate its initial rate, unless it has one. */
void luc_optim_begin_schedule(luc_optim_group *group, int64_t step);
/* An optimizer without groups. */
lucid_optimizer *luc_optim_make(const luc_optim_kind *kind, const lucid_optim_options *options);
/* The kind of a name, NULL (nothing raised) where there is none. */
const luc_optim_kind *luc_optim_find_kind(const char *name);
/* A given group's options, or the defaults; NULL after raising. */
const lucid_optim_options *luc_optim_read_options(const lucid_optim_options *given,
                                                  const lucid_optim_options *defaults,
                                                  const char *op);
/* The moments that a parameter needs, a bit for each. */
unsigned luc_optim_moments(const luc_optim_kind *kind, const lucid_optim_options *options,
                           const lucid_tensor *param);
/* Memory for a moment: laid out as the parameter, or of the kind's own sizes. Filled with what it
 * begins with; scope-owned. */
lucid_tensor *luc_optim_moment_like(const luc_optim_kind *kind, const lucid_optim_options *options,
                                    const lucid_tensor *param, int moment);
/* The sizes of a moment. */
lucid_shape luc_optim_moment_shape(const luc_optim_kind *kind, const lucid_tensor *param,
                                   int moment);
/* The numbers that a parameter begins with, where it has made no step yet. */
void luc_optim_first_numbers(const luc_optim_kind *kind, const lucid_optim_options *o,
                             luc_optim_param *p);
/* Gives every parameter of a group that has a gradient its moments. */
bool luc_optim_make_moments(const lucid_optimizer *opt, luc_optim_group *g);
/* One step of the kinds that are made of operators. */
bool luc_optim_update(lucid_optimizer *opt);
/* The loss of one call of the closure; NAN after an error. */
double luc_closure_loss(const lucid_optimizer *opt, lucid_closure closure, void *user);
/* Lookahead: before a step it keeps the slow parameters, after it it brings them on. */
bool luc_lookahead_begin(lucid_optimizer *opt);
bool luc_lookahead_end(lucid_optimizer *opt);
void luc_optim_param_release(luc_optim_param *p);

/* The updates. */
bool luc_update_rmsprop(luc_update *u);
bool luc_update_adagrad(luc_update *u);
bool luc_update_adamax(luc_update *u);
bool luc_update_nadam(luc_update *u);
bool luc_update_radam(luc_update *u);
bool luc_update_lamb(luc_update *u);
bool luc_update_lars(luc_update *u);
bool luc_update_asgd(luc_update *u);
bool luc_update_rprop(luc_update *u);
bool luc_update_adafactor(luc_update *u);
bool luc_update_muon(luc_update *u);

/* ---- L-BFGS ---------------------------------------------------------------------------------- */

/* The loss at the closure's first call; NAN after an error. */
double luc_lbfgs_step(lucid_optimizer *opt, lucid_closure closure, void *user);
void luc_lbfgs_free(struct luc_lbfgs *state);
bool luc_lbfgs_put(const lucid_optimizer *opt, lucid_state_dict *s);
/* What was saved; *state is NULL where no step was done. Counts the tensors that it takes. */
bool luc_lbfgs_get(const lucid_optimizer *opt, const lucid_state_dict *s, struct luc_lbfgs **state,
                   size_t *used);

#endif

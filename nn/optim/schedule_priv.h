/* schedule_priv.h: the inside of learning rate schedules. */
#ifndef LUCID_NN_OPTIM_SCHEDULE_PRIV_H
#define LUCID_NN_OPTIM_SCHEDULE_PRIV_H

#include "nn/optim/optimizer_priv.h"
#include "nn/optim/scheduler.h"

/* Where the rates of a group are counted from: its rate at a step. Where the rule is a formula, the
 * rate of a later step follows from these numbers alone, so that a seek gives the same bits as
 * going there step by step. */
typedef struct luc_anchor {
    double lr;
    int64_t step;
    bool base;   /* lr is the initial rate, to which the factor of step 0 has not been applied */
    double last; /* the rate that this scheduler has set last: another one is the program's own */
} luc_anchor;

/* Sets a group's options to those of `position`, which is not before from->step. */
typedef void (*luc_rule)(const lucid_scheduler *s, size_t group, const luc_anchor *from,
                         int64_t position, lucid_optim_options *o);

typedef struct luc_schedule {
    const char *name;
    luc_rule rule;     /* NULL: ReduceLROnPlateau, which needs numbers of the program */
    bool from_last;    /* each step follows from the one before, not from a formula */
    bool sets_initial; /* the initial rate is what the rule gives for step 0 */
    bool late_is_top;  /* a group that joins while the curve rises has its highest rate */
    bool ends;         /* at `period` */
} luc_schedule;

/* What a group gets, before all groups are known to be right. */
typedef struct luc_schedule_next {
    lucid_optim_options options;
    luc_anchor anchor;
} luc_schedule_next;

typedef struct luc_plateau {
    lucid_reduce_lr_on_plateau_options options; /* its min_lrs is owned */
    double best;
    int64_t bad, cooldown;
} luc_plateau;

struct lucid_scheduler {
    const luc_schedule *kind;
    lucid_optimizer *optimizer; /* not owned */
    int64_t position;
    bool begun;                  /* step 0 has been set */
    size_t n_groups;             /* groups of the optimizer that it has scheduled so far */
    luc_anchor *anchors;         /* one for each of them */
    luc_schedule_next *next;     /* one for each of them */
    int64_t period;              /* StepLR: steps; cosine: t_max; total_iters; ... */
    double number;               /* the one that is not an option: gamma, max_lr, base_lr */
    double second;               /* CyclicLR: max_lr; NoamLR: the model's width */
    lucid_milestones milestones; /* MultiStepLR, SequentialLR */
    lucid_scheduler *children[LUCID_MAX_SCHEDULERS]; /* owned */
    size_t n_children;
    lucid_lr_lambda lambda;
    union {
        lucid_step_lr_options step;
        lucid_multi_step_lr_options multi_step;
        lucid_linear_lr_options linear;
        lucid_constant_lr_options constant;
        lucid_polynomial_lr_options polynomial;
        lucid_lambda_lr_options lambda;
        lucid_cosine_lr_options cosine;
        lucid_warm_restarts_lr_options restarts;
        lucid_cyclic_lr_options cyclic;
        lucid_one_cycle_lr_options one_cycle;
        luc_plateau plateau;
    } u;
};

/* Checks of arguments, which raise in the scheduler's name. The range is closed. */
bool luc_schedule_check_count(const char *name, const char *argument, int64_t value, int64_t least);
bool luc_schedule_check_range(const char *name, const char *argument, double value, double low,
                              double high);
/* Whole numbers of steps that rise, or stay, from `least` on; at least one of them. */
bool luc_schedule_check_milestones(const char *name, const lucid_milestones *m, int64_t least);
/* Refuses an optimizer whose kind has neither momentum nor beta1, where they are to be cycled. */
bool luc_schedule_check_momentum(const char *name, const lucid_optimizer *opt, bool cycles);
/* Sets momentum, or beta1 in an optimizer that has it. */
void luc_schedule_set_momentum(const lucid_scheduler *s, lucid_optim_options *o, double momentum);

bool luc_check_scheduler(const lucid_scheduler *s, const char *op);
/* A scheduler that has not begun; the caller fills in its numbers. NULL after raising. */
lucid_scheduler *luc_schedule_new(const luc_schedule *kind, lucid_optimizer *opt);
/* Sets the optimizer's rates to those of step 0. Frees the scheduler where they are refused. */
lucid_scheduler *luc_schedule_begin(lucid_scheduler *s);
/* Raises where a group's new options cannot be. */
bool luc_schedule_check_options(const lucid_scheduler *s, size_t group, int64_t position,
                                const lucid_optim_options *o);
/* Gives each group of the optimizer its anchor. */
bool luc_schedule_grow(lucid_scheduler *s);
/* The last step that the scheduler can go to. */
int64_t luc_schedule_last_step(const lucid_scheduler *s);
/* One step on for a scheduler whose rates depend on what the program measures. */
bool luc_plateau_step(lucid_scheduler *s, double metric);

extern const luc_schedule luc_plateau_schedule;

#endif

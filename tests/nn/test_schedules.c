/* Every schedule over 200 steps against PyTorch's rates: stepped, sought, and resumed from a state;
 * and arguments that are refused. */
#include "tests/testing.h"

#include "lucid/lucid.h"
#include "tests/reference/vectors.h"

enum { STEPS = 200, GROUPS = 2 };

static double factor(int64_t step, size_t group, void *user)
{
    (void)group;
    (void)user;
    return pow(0.95, (double)step);
}

static double multiplier(int64_t step, size_t group, void *user)
{
    (void)group;
    (void)user;
    return step % 3 ? 0.99 : 0.97;
}

static double shrink(double x, void *user)
{
    (void)user;
    return 1 / (1 + 0.1 * x);
}

/* ---- making what a line says ----------------------------------------------------------------- */

static lucid_optimizer *optimizer_of(bool adam)
{
    static const double rates[GROUPS] = {0.1, 0.02};
    lucid_optimizer *opt = lucid_optim_new(adam ? "Adam" : "SGD", NULL);
    for (size_t g = 0; g < GROUPS; g++) {
        lucid_tensor *p = lucid_zeros(1);
        lucid_optim_options o = lucid_optim_get_defaults(opt);
        o.lr = rates[g];
        if (!adam) o.momentum = 0.9;
        cr_assert(lucid_optim_add_group(opt, &p, 1, &o), "%s", lucid_error());
    }
    return opt;
}

static lucid_milestones milestones(const vectors_case *c)
{
    lucid_milestones m = {0};
    lucid_shape list;
    cr_assert(vectors_list(c, "milestones", &list));
    for (; (int)m.count < list.ndim; m.count++) m.at[m.count] = list.dims[m.count];
    return m;
}

/* One of the schedules that make_schedules.py combines. */
static lucid_scheduler *inner(lucid_optimizer *opt, const char *name)
{
    if (strcmp(name, "linear") == 0) return optim_LinearLR(opt, .total_iters = 20);
    if (strcmp(name, "constant") == 0)
        return optim_ConstantLR(opt, .factor = 0.25, .total_iters = 10);
    if (strcmp(name, "exponential") == 0) return optim_ExponentialLR(opt, 0.97);
    if (strcmp(name, "cosine") == 0) return optim_CosineAnnealingLR(opt, 60, .eta_min = 0.001);
    if (strcmp(name, "long") == 0) return optim_CosineAnnealingLR(opt, 250, .eta_min = 0.001);
    if (strcmp(name, "step") == 0) return optim_StepLR(opt, 30, .gamma = 0.5);
    cr_assert(strcmp(name, "polynomial") == 0, "%s", name);
    return optim_PolynomialLR(opt, .total_iters = 100, .power = 2);
}

static lucid_scheduler *combined(const vectors_case *c, lucid_optimizer *opt)
{
    char names[128];
    lucid_schedulers list = {0};
    snprintf(names, sizeof names, "%s", vectors_get(c, "inner"));
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ","))
        list.of[list.count++] = inner(opt, name);
    if (strcmp(vectors_get(c, "op"), "ChainedScheduler") == 0)
        return lucid_optim_chained_scheduler(opt, list);
    lucid_milestones m = {0};
    if (strcmp(vectors_get(c, "milestones"), "empty") != 0) m = milestones(c);
    return lucid_optim_sequential_lr(opt, list, m);
}

static lucid_scheduler *cyclic(const vectors_case *c, lucid_optimizer *opt)
{
    const char *mode = vectors_get(c, "mode"), *by = vectors_get(c, "scale_mode");
    return optim_CyclicLR(opt, vectors_double(c, "base_lr", 0), vectors_double(c, "max_lr", 0),
                          .step_size_up = vectors_int(c, "step_size_up", 2000),
                          .step_size_down = vectors_int(c, "step_size_down", 0),
                          .mode = !mode                            ? LUCID_TRIANGULAR
                                  : strcmp(mode, "exp_range") == 0 ? LUCID_EXP_RANGE
                                                                   : LUCID_TRIANGULAR2,
                          .gamma = vectors_double(c, "gamma", 1), .scale_fn = by ? shrink : NULL,
                          .scale_by_step = by && strcmp(by, "iterations") == 0,
                          .cycle_momentum = vectors_bool(c, "cycle_momentum", true));
}

static bool is(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

static lucid_scheduler *plateau(const vectors_case *c, lucid_optimizer *opt)
{
    double least[GROUPS] = {0, 0};
    bool lists = vectors_get(c, "min_lr") != NULL;
    if (lists) cr_assert(sscanf(vectors_get(c, "min_lr"), "%lf,%lf", least, least + 1) == 2);
    return optim_ReduceLROnPlateau(
        opt, .maximize = is(vectors_get(c, "mode"), "max"),
        .factor = vectors_double(c, "factor", 0.1), .patience = vectors_int(c, "patience", 10),
        .threshold = vectors_double(c, "threshold", 1e-4),
        .absolute = is(vectors_get(c, "threshold_mode"), "abs"),
        .cooldown = vectors_int(c, "cooldown", 0), .min_lrs = lists ? least : NULL,
        .n_min_lrs = lists ? GROUPS : 0, .eps = vectors_double(c, "eps", 1e-8));
}

static lucid_scheduler *schedule(const vectors_case *c, lucid_optimizer *opt)
{
    const char *op = vectors_get(c, "op");
    double gamma = vectors_double(c, "gamma", 1), eta_min = vectors_double(c, "eta_min", 0);
    int64_t total = vectors_int(c, "total_iters", 5);
    if (is(op, "StepLR")) return optim_StepLR(opt, vectors_int(c, "step_size", 0), .gamma = gamma);
    if (is(op, "MultiStepLR")) return optim_MultiStepLR(opt, 7, .gamma = gamma);
    if (is(op, "ExponentialLR")) return optim_ExponentialLR(opt, gamma);
    if (is(op, "LinearLR"))
        return optim_LinearLR(opt, .start_factor = vectors_double(c, "start_factor", 0),
                              .end_factor = vectors_double(c, "end_factor", 0),
                              .total_iters = total);
    if (is(op, "ConstantLR"))
        return optim_ConstantLR(opt, .factor = vectors_double(c, "factor", 0),
                                .total_iters = total);
    if (is(op, "PolynomialLR"))
        return optim_PolynomialLR(opt, .total_iters = total,
                                  .power = vectors_double(c, "power", 1));
    if (is(op, "CosineAnnealingLR"))
        return optim_CosineAnnealingLR(opt, vectors_int(c, "T_max", 0), .eta_min = eta_min);
    if (is(op, "CosineAnnealingWarmRestarts"))
        return optim_CosineAnnealingWarmRestarts(opt, vectors_int(c, "T_0", 0),
                                                 .t_mult = vectors_int(c, "T_mult", 1),
                                                 .eta_min = eta_min);
    if (is(op, "LambdaLR")) return optim_LambdaLR(opt, factor);
    if (is(op, "MultiplicativeLR")) return optim_MultiplicativeLR(opt, multiplier);
    if (is(op, "CyclicLR")) return cyclic(c, opt);
    if (is(op, "OneCycleLR"))
        return optim_OneCycleLR(opt, vectors_double(c, "max_lr", 0),
                                vectors_int(c, "total_steps", 0),
                                .pct_start = vectors_double(c, "pct_start", 0));
    return is(op, "ReduceLROnPlateau") ? plateau(c, opt) : combined(c, opt);
}

static lucid_scheduler *made(const vectors_case *c, lucid_optimizer *opt)
{
    lucid_scheduler *s =
        is(vectors_get(c, "op"), "MultiStepLR")
            ? lucid_optim_multi_step_lr(
                  opt, milestones(c),
                  &(lucid_multi_step_lr_options){.struct_size = sizeof(lucid_multi_step_lr_options),
                                                 .gamma = vectors_double(c, "gamma", 0)})
            : schedule(c, opt);
    cr_assert(s, "%s: %s", vectors_name(c), lucid_error());
    return s;
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct table {
    double lr[STEPS][GROUPS], momentum[STEPS][GROUPS], metric[STEPS];
} table;

static void read_table(const vectors *v, const char *name, const char *role, double *into,
                       size_t count)
{
    LUCID_SCOPE;
    char key[128];
    snprintf(key, sizeof key, "%s/%s", name, role);
    if (vectors_has(v, key)) cr_assert(lucid_to_doubles(vectors_tensor(v, key), into, count));
}

static void compare(const char *name, const char *how, const lucid_optimizer *opt, const table *t,
                    int k)
{
    for (size_t g = 0; g < GROUPS; g++) {
        lucid_optim_options o = lucid_optim_get_options(opt, g);
        double momentum = o.beta2 > 0 ? o.beta1 : o.momentum;
        cr_expect(testing_close(o.lr, t->lr[k][g], 1e-12, 1e-16),
                  "%s: %s: step %d: expected %.17g, got %.17g", name, how, k, t->lr[k][g], o.lr);
        cr_expect(testing_close(momentum, t->momentum[k][g], 1e-12, 0),
                  "%s: %s: step %d: momentum: expected %.17g, got %.17g", name, how, k,
                  t->momentum[k][g], momentum);
    }
}

/* Makes both once more, loads the states of step `stop`, and goes on: the same bits. */
static void resume(const vectors_case *c, const table *t, double mine[STEPS][GROUPS],
                   const lucid_state_dict *opt_state, const lucid_state_dict *state, int stop)
{
    const char *name = vectors_name(c);
    lucid_optimizer *opt = optimizer_of(is(vectors_get(c, "optimizer"), "Adam"));
    lucid_scheduler *s = made(c, opt);
    bool first = stop % 2 == 0;
    if (first) cr_assert(lucid_optimizer_load_state_dict(opt, opt_state), "%s", lucid_error());
    cr_assert(lucid_scheduler_load_state_dict(s, state), "%s: %s", name, lucid_error());
    if (!first) cr_assert(lucid_optimizer_load_state_dict(opt, opt_state), "%s", lucid_error());
    cr_expect(lucid_scheduler_position(s) == stop);
    for (int k = stop; k < STEPS; k++) {
        for (size_t g = 0; g < GROUPS; g++)
            cr_expect(lucid_optim_get_options(opt, g).lr == mine[k][g],
                      "%s: resumed at %d: step %d: expected %.17g, got %.17g", name, stop, k,
                      mine[k][g], lucid_optim_get_options(opt, g).lr);
        cr_assert(lucid_scheduler_step_metric(s, t->metric[k]), "%s: %s", name, lucid_error());
    }
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

static void run(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    static table t;
    double mine[STEPS][GROUPS];
    const char *name = vectors_name(c);
    enum { STOP = 63, STOP_2 = 140 };
    lucid_state_dict *states[4] = {NULL};
    read_table(v, name, "lr", &t.lr[0][0], STEPS * GROUPS);
    read_table(v, name, "momentum", &t.momentum[0][0], STEPS * GROUPS);
    read_table(v, name, "metric", t.metric, STEPS);
    lucid_optimizer *opt = optimizer_of(is(vectors_get(c, "optimizer"), "Adam"));
    lucid_scheduler *s = made(c, opt);
    for (int k = 0; k < STEPS; k++) {
        compare(name, "stepped", opt, &t, k);
        for (size_t g = 0; g < GROUPS; g++) mine[k][g] = lucid_optim_get_options(opt, g).lr;
        if (k == STOP || k == STOP_2) {
            states[2 * (k == STOP_2)] = lucid_optimizer_state_dict(opt);
            states[2 * (k == STOP_2) + 1] = lucid_scheduler_state_dict(s);
        }
        cr_assert(lucid_scheduler_step_metric(s, t.metric[k]), "%s: %s", name, lucid_error());
    }
    bool seeks = !is(vectors_get(c, "op"), "ReduceLROnPlateau");
    for (int k = STEPS - 1; seeks && k >= 0; k -= 7) {
        cr_assert(lucid_scheduler_seek(s, k), "%s: %s", name, lucid_error());
        for (size_t g = 0; g < GROUPS; g++)
            cr_expect(lucid_optim_get_options(opt, g).lr == mine[k][g],
                      "%s: sought: step %d: expected %.17g, got %.17g", name, k, mine[k][g],
                      lucid_optim_get_options(opt, g).lr);
    }
    resume(c, &t, mine, states[0], states[1], STOP);
    resume(c, &t, mine, states[2], states[3], STOP_2);
    for (int i = 0; i < 4; i++) lucid_state_dict_free(states[i]);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

Test(schedules, rates_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("schedules");
    for (const vectors_case *c; (c = vectors_next(v)); cases++) run(v, c);
    vectors_close(v);
    cr_expect(cases >= 45, "only %d cases", cases);
    cr_expect(lucid_finish() == 0);
}

/* ---- what PyTorch has not -------------------------------------------------------------------- */

Test(schedules, noam_rises_and_falls)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_optimizer *opt = optimizer_of(true);
    lucid_scheduler *s = optim_NoamLR(opt, 512, 50);
    for (int k = 0; k < 120; k++) {
        double n = k + 1, expected = 0.1 * pow(512, -0.5) * fmin(pow(n, -0.5), n * pow(50, -1.5));
        double got = lucid_optim_lr(opt);
        cr_expect(testing_close(got, expected, 1e-13, 0), "%d: %.17g, not %.17g", k, got, expected);
        cr_assert(lucid_scheduler_step(s));
    }
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

Test(schedules, combined_ones_take_rates_of_their_neighbours)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_optimizer *opt = optimizer_of(false);
    lucid_scheduler *s = optim_SequentialLR(
        opt, (optim_LinearLR(opt, .total_iters = 4), optim_MultiplicativeLR(opt, multiplier)), 4);
    cr_assert(s, "%s", lucid_error());
    cr_expect(testing_close(lucid_optim_lr(opt), 0.1 / 3, 1e-15, 0), "%g", lucid_optim_lr(opt));
    for (int k = 0; k < 6; k++) cr_assert(lucid_scheduler_step(s));
    double stepped = lucid_optim_lr(opt);
    cr_expect(testing_close(stepped, 0.1 * 0.99 * 0.99, 1e-14, 0), "%.17g", stepped);
    cr_expect(lucid_scheduler_seek(s, 6) && lucid_optim_lr(opt) == stepped);
    lucid_scheduler_free(s);
    s = optim_ChainedScheduler(opt, (optim_LambdaLR(opt, factor), optim_ExponentialLR(opt, 0.5)));
    for (int k = 0; k < 3; k++) cr_assert(lucid_scheduler_step(s));
    cr_expect(testing_close(lucid_optim_lr(opt), 0.1 * pow(0.95, 3) * 0.5, 1e-14, 0));
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    cr_expect(lucid_finish() == 0);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static double bad_factor(int64_t step, size_t group, void *user)
{
    (void)group;
    if (step == 3 && user) lucid_raise(LUCID_ERR_STATE, "mine", "no third step");
    return step == 3 ? NAN : 1;
}

Test(schedules, functions_that_fail_end_the_step)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_optimizer *opt = optimizer_of(false);
    lucid_scheduler *s = optim_LambdaLR(opt, bad_factor);
    cr_expect(lucid_scheduler_step(s) && lucid_scheduler_step(s));
    EXPECT_ERROR(lucid_scheduler_step(s), LUCID_ERR_STATE, "LambdaLR: step 3: lr of group 0");
    cr_expect(lucid_scheduler_position(s) == 2 && lucid_optim_lr(opt) == 0.1);
    lucid_scheduler_free(s);
    s = optim_MultiplicativeLR(opt, bad_factor, .user = opt);
    EXPECT_ERROR(lucid_scheduler_seek(s, 5), LUCID_ERR_STATE, "no third step");
    cr_expect(lucid_scheduler_position(s) == 0 && lucid_optim_lr(opt) == 0.1);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

#define REFUSED(expression, text) EXPECT_ERROR(expression, LUCID_ERR_ARGUMENT, text)

Test(schedules, bad_arguments_are_refused)
{
    LUCID_SCOPE;
    lucid_optimizer *opt = optimizer_of(false), *other = optimizer_of(false);
    lucid_module *m = nn_Linear(1, 1);
    lucid_optimizer *plain = optim_Adadelta(m);
    REFUSED(optim_MultiStepLR(opt, (5, 3)), "MultiStepLR: milestones: expected steps in order");
    REFUSED(optim_MultiStepLR(opt, -1), "each at least 0, got -1");
    REFUSED(optim_MultiStepLR(opt, 5, .gamma = NAN), "gamma: expected [0, inf], got nan");
    REFUSED(lucid_optim_multi_step_lr(opt, (lucid_milestones){0}, NULL), "expected 1 to 32");
    REFUSED(optim_ExponentialLR(opt, -1), "ExponentialLR: gamma: expected [0, inf], got -1");
    REFUSED(optim_LinearLR(opt, .start_factor = 0), "LinearLR: start_factor");
    REFUSED(optim_LinearLR(opt, .end_factor = 1.5), "end_factor: expected [0, 1], got 1.5");
    REFUSED(optim_LinearLR(opt, .total_iters = 0), "total_iters: expected at least 1, got 0");
    REFUSED(optim_ConstantLR(opt, .factor = 2), "ConstantLR: factor: expected [0, 1], got 2");
    REFUSED(optim_PolynomialLR(opt, .power = -1), "PolynomialLR: power");
    REFUSED(optim_LambdaLR(opt, NULL), "LambdaLR: lambda: expected a function, got NULL");
    REFUSED(optim_NoamLR(opt, 0, 10), "NoamLR: d_model: expected at least 1, got 0");
    REFUSED(optim_CosineAnnealingWarmRestarts(opt, 0), "t_0: expected at least 1, got 0");
    REFUSED(optim_CosineAnnealingWarmRestarts(opt, 1, .t_mult = 0), "t_mult: expected at least 1");
    REFUSED(optim_CyclicLR(opt, 0.1, 1, .step_size_up = 0), "step_size_up: expected at least 1");
    REFUSED(optim_CyclicLR(opt, -0.1, 1), "CyclicLR: base_lr: expected [0, inf], got -0.1");
    REFUSED(optim_CyclicLR(opt, 0.1, 1, .step_size_up = INT64_MAX), "step_size_up, step_size_down");
    REFUSED(optim_CyclicLR(opt, 0.1, 1, .mode = (lucid_cycle_mode)7), "mode: expected LUCID_");
    REFUSED(optim_CyclicLR(plain, 0.1, 1), "cycle_momentum: expected an optimizer with momentum");
    REFUSED(optim_ReduceLROnPlateau(opt, .factor = 1), "factor: expected less than 1, got 1");
    REFUSED(optim_ReduceLROnPlateau(opt, .patience = -1), "patience: expected at least 0, got -1");
    REFUSED(optim_ReduceLROnPlateau(opt, .n_min_lrs = 1), "min_lrs: expected one for each of 2");
    REFUSED(optim_ReduceLROnPlateau(NULL), "ReduceLROnPlateau: optimizer: expected one, got NULL");
    REFUSED(optim_SequentialLR(opt, (optim_StepLR(opt, 1), optim_StepLR(other, 1)), 4),
            "scheduler 1: expected one of the same optimizer");
    REFUSED(optim_SequentialLR(opt, (optim_StepLR(opt, 1), optim_StepLR(opt, 1)), (4, 5)),
            "milestones: expected one less than schedulers, 1, got 2");
    REFUSED(optim_SequentialLR(opt, (optim_OneCycleLR(opt, 1, 3), optim_StepLR(opt, 1)), 9),
            "scheduler 0: expected one that goes on for 8 steps, got OneCycleLR with 3");
    REFUSED(optim_ChainedScheduler(opt, (optim_StepLR(opt, 1), optim_ReduceLROnPlateau(opt))),
            "scheduler 1: expected one whose rates follow from the step");
    lucid_scheduler *s = optim_StepLR(opt, 1);
    REFUSED(optim_ChainedScheduler(opt, (s, s)), "expected another one than scheduler 0");
    lucid_optimizer_free(opt);
    lucid_optimizer_free(other);
    lucid_optimizer_free(plain);
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}

Test(schedules, plateau_wants_numbers_and_states_are_checked)
{
    LUCID_SCOPE;
    lucid_optimizer *opt = optimizer_of(false);
    lucid_scheduler *s = optim_ReduceLROnPlateau(opt), *t = optim_StepLR(opt, 3);
    EXPECT_ERROR(lucid_scheduler_step(s), LUCID_ERR_STATE, "expected lucid_scheduler_step_metric");
    EXPECT_ERROR(lucid_scheduler_seek(s, 1), LUCID_ERR_UNSUPPORTED, "load its state instead");
    lucid_state_dict *of_s = lucid_scheduler_state_dict(s), *of_t = lucid_scheduler_state_dict(t);
    EXPECT_ERROR(lucid_scheduler_load_state_dict(s, of_t), LUCID_ERR_FORMAT,
                 "state: scheduler: expected ReduceLROnPlateau, got StepLR");
    EXPECT_ERROR(lucid_scheduler_load_state_dict(s, NULL), LUCID_ERR_ARGUMENT, "state: expected");
    lucid_state_dict_remove(of_s, "best");
    EXPECT_ERROR(lucid_scheduler_load_state_dict(s, of_s), LUCID_ERR_FORMAT,
                 "state: best: expected 1 numbers, got none");
    lucid_state_dict_set(of_t, "last_epoch", lucid_scalar(-2));
    EXPECT_ERROR(lucid_scheduler_load_state_dict(t, of_t), LUCID_ERR_FORMAT, "last_epoch");
    lucid_state_dict_set(of_t, "last_epoch", lucid_scalar(2));
    lucid_state_dict_set(of_t, "base_lrs", lucid_zeros((3), .dtype = LUCID_F64));
    EXPECT_ERROR(lucid_scheduler_load_state_dict(t, of_t), LUCID_ERR_FORMAT,
                 "base_lrs: expected 2 numbers, got [3]");
    lucid_state_dict_set(of_t, "base_lrs", lucid_full((2), NAN, .dtype = LUCID_F64));
    EXPECT_ERROR(lucid_scheduler_load_state_dict(t, of_t), LUCID_ERR_FORMAT, "rates: expected");
    cr_expect(lucid_scheduler_position(t) == 0 && lucid_optim_initial_lr(opt, 0) == 0.1);
    lucid_state_dict_free(of_s);
    lucid_state_dict_free(of_t);
    lucid_scheduler_free(s);
    lucid_scheduler_free(t);
    lucid_optimizer_free(opt);
    cr_expect(lucid_finish() == 0);
}

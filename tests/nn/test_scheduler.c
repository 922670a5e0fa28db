/* Schedulers where training does not run through: resumed in any order, with groups that join later
 * and rates that the program changes, at steps far away, and where a rate would not be a number. */
#include "tests/testing.h"

#include "lucid/lucid.h"

#include <stdint.h>
#include <time.h>

enum { STEP, COSINE, CYCLE, KINDS };
static const char *const names[] = {"StepLR", "CosineAnnealingLR", "OneCycleLR"};

static lucid_scheduler *schedule(int kind, lucid_optimizer *opt)
{
    lucid_scheduler *s = kind == STEP     ? optim_StepLR(opt, 3, .gamma = 0.7)
                         : kind == COSINE ? optim_CosineAnnealingLR(opt, 7, .eta_min = 1e-3)
                                          : optim_OneCycleLR(opt, 0.3, 24);
    cr_assert(s, "%s: %s", names[kind], lucid_error());
    return s;
}

static lucid_optimizer *optimizer_of(lucid_tensor **p, const double *lr, size_t groups)
{
    lucid_optimizer *opt = lucid_optim_new("SGD", NULL);
    cr_assert(opt, "%s", lucid_error());
    lucid_optim_options o = lucid_optim_get_defaults(opt);
    o.momentum = 0.9;
    for (size_t g = 0; g < groups; g++) {
        o.lr = lr[g];
        cr_assert(lucid_optim_add_group(opt, &p[g], 1, &o), "%s", lucid_error());
    }
    return opt;
}

static double rate(const lucid_optimizer *opt, size_t group)
{
    return lucid_optim_get_options(opt, group).lr;
}

static double momentum(const lucid_optimizer *opt, size_t group)
{
    return lucid_optim_get_options(opt, group).momentum;
}

/* ---- resuming -------------------------------------------------------------------------------- */

enum { STEPS = 20, GROUPS = 2 };
static const double first_rates[GROUPS] = {0.1, 0.02};

/* The rates and momenta of a run that goes through, and its state after `stop` steps. */
static lucid_state_dict *run_through(int kind, lucid_tensor **p, int64_t stop,
                                     double full[STEPS][GROUPS][2])
{
    lucid_state_dict *state = NULL;
    lucid_optimizer *opt = optimizer_of(p, first_rates, GROUPS);
    lucid_scheduler *s = schedule(kind, opt);
    for (int k = 0; k < STEPS; k++) {
        if (k == stop) state = lucid_optimizer_state_dict(opt);
        for (size_t g = 0; g < GROUPS; g++) {
            full[k][g][0] = rate(opt, g);
            full[k][g][1] = momentum(opt, g);
        }
        cr_assert(lucid_scheduler_step(s));
    }
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    return state;
}

typedef enum order { LOAD_MAKE_SEEK, MAKE_LOAD_SEEK, MAKE_SEEK_LOAD, ORDERS } order;

static void resume(int kind, order how, int64_t stop)
{
    static const char *const orders[] = {"load, make, seek", "make, load, seek",
                                         "make, seek, load"};
    double full[STEPS][GROUPS][2];
    lucid_tensor *p[] = {lucid_zeros((1)), lucid_zeros((1))};
    lucid_state_dict *state = run_through(kind, p, stop, full);
    lucid_optimizer *opt = optimizer_of(p, first_rates, GROUPS);
    lucid_scheduler *s = how == LOAD_MAKE_SEEK ? NULL : schedule(kind, opt);
    if (how == MAKE_SEEK_LOAD) cr_assert(lucid_scheduler_seek(s, stop));
    cr_assert(lucid_optimizer_load_state_dict(opt, state), "%s", lucid_error());
    if (how == LOAD_MAKE_SEEK) s = schedule(kind, opt);
    if (how != MAKE_SEEK_LOAD) cr_assert(lucid_scheduler_seek(s, stop));
    for (int64_t k = stop; k < STEPS; k++) {
        for (size_t g = 0; g < GROUPS; g++) {
            cr_expect(rate(opt, g) == full[k][g][0] && momentum(opt, g) == full[k][g][1],
                      "%s: %s: stopped at %d: step %d, group %zu: expected %.17g and %.17g, got "
                      "%.17g and %.17g",
                      names[kind], orders[how], (int)stop, (int)k, g, full[k][g][0], full[k][g][1],
                      rate(opt, g), momentum(opt, g));
        }
        cr_assert(lucid_scheduler_step(s));
    }
    lucid_state_dict_free(state);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

Test(scheduler, resumes_to_the_bit_in_any_order)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int kind = 0; kind < KINDS; kind++)
        for (int how = 0; how < ORDERS; how++)
            for (int64_t stop = 0; stop < STEPS; stop += 3) resume(kind, (order)how, stop);
    cr_expect(lucid_finish() == 0);
}

/* ---- initial rates --------------------------------------------------------------------------- */

Test(scheduler, initial_rates_live_in_groups_and_state)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(1, 1);
    lucid_optimizer *opt = optim_SGD(m, .lr = 0.1), *other = optim_SGD(m, .lr = 0.5);
    cr_expect(lucid_optim_initial_lr(opt, 0) == 0.1);
    cr_expect(lucid_optim_set_lr(opt, 0.2) && lucid_optim_initial_lr(opt, 0) == 0.2);
    lucid_state_dict *before = lucid_optimizer_state_dict(opt);
    lucid_scheduler *s = optim_StepLR(opt, 1, .gamma = 0.5);
    cr_expect(lucid_scheduler_step(s) && lucid_optim_set_lr(opt, 0.3));
    cr_expect(lucid_optim_initial_lr(opt, 0) == 0.2);
    lucid_state_dict *after = lucid_optimizer_state_dict(opt);
    cr_expect(strstr(lucid_state_dict_note(before, "param_groups"), "\"initial_lr\":null"));
    cr_expect(strstr(lucid_state_dict_note(after, "param_groups"), "\"initial_lr\":0.2"));
    cr_expect(lucid_optimizer_load_state_dict(other, before));
    cr_expect(lucid_optim_initial_lr(other, 0) == 0.2 && lucid_optim_set_lr(other, 0.7) &&
              lucid_optim_initial_lr(other, 0) == 0.7);
    cr_expect(lucid_optimizer_load_state_dict(other, after));
    cr_expect(lucid_optim_initial_lr(other, 0) == 0.2 && rate(other, 0) == 0.3);
    cr_expect(lucid_optim_set_initial_lr(opt, 0, 8) && lucid_scheduler_seek(s, 2) &&
              rate(opt, 0) == 2);
    EXPECT_ERROR(lucid_optim_set_initial_lr(opt, 1, 8), LUCID_ERR_ARGUMENT, "group: expected one");
    EXPECT_ERROR(lucid_optim_set_initial_lr(opt, 0, NAN), LUCID_ERR_ARGUMENT, "lr: expected");
    EXPECT_ERROR(lucid_optim_set_initial_lr(NULL, 0, 1), LUCID_ERR_ARGUMENT, "optimizer");
    EXPECT_ERROR(lucid_optim_initial_lr(opt, 7), LUCID_ERR_ARGUMENT, "group: expected one below 1");
    lucid_state_dict_free(before);
    lucid_state_dict_free(after);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    lucid_optimizer_free(other);
    lucid_module_free(m);
}

/* The note of the groups as an older version wrote it, with that instead of the initial
 * rate. */
static void rewrite(lucid_state_dict *state, const char *with)
{
    char text[1024];
    snprintf(text, sizeof text, "%s", lucid_state_dict_note(state, "param_groups"));
    char *at = strstr(text, ",\"initial_lr\"");
    cr_assert(at, "%s", text);
    snprintf(at, sizeof text - (size_t)(at - text), "%s}]", with);
    cr_assert(lucid_state_dict_set_note(state, "param_groups", text));
}

Test(scheduler, states_without_initial_rates_still_load)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(1, 1);
    lucid_optimizer *opt = optim_SGD(m, .lr = 0.1);
    lucid_scheduler *s = optim_StepLR(opt, 3, .gamma = 0.1);
    for (int k = 0; k < 4; k++) cr_assert(lucid_scheduler_step(s));
    lucid_state_dict *state = lucid_optimizer_state_dict(opt);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    rewrite(state, "");
    for (int made_first = 0; made_first < 2; made_first++) {
        opt = optim_SGD(m, .lr = 0.1);
        s = made_first ? optim_StepLR(opt, 3, .gamma = 0.1) : NULL;
        cr_assert(lucid_optimizer_load_state_dict(opt, state), "%s", lucid_error());
        if (!s) s = optim_StepLR(opt, 3, .gamma = 0.1);
        cr_assert(lucid_scheduler_seek(s, 4));
        cr_expect(testing_close(rate(opt, 0), 0.01, 1e-15, 0), "%.17g", rate(opt, 0));
        lucid_scheduler_free(s);
        lucid_optimizer_free(opt);
    }
    opt = optim_SGD(m, .lr = 0.1);
    static const char *const bad[] = {
        ",\"initial_lr\":-1", ",\"initial_lr\":\"0.1\"", ",\"initial_lr\":[]",
        ",\"initial_lr\":0.1,\"initial_step\":-1", ",\"initial_lr\":0.1,\"initial_step\":0.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lucid_state_dict_free(state);
        state = lucid_optimizer_state_dict(opt);
        rewrite(state, bad[i]);
        EXPECT_ERROR(lucid_optimizer_load_state_dict(opt, state), LUCID_ERR_FORMAT, "groups");
        cr_expect(rate(opt, 0) == 0.1 && lucid_optim_initial_lr(opt, 0) == 0.1);
    }
    lucid_state_dict_free(state);
    lucid_optimizer_free(opt);
    lucid_module_free(m);
}

/* ---- groups that join later ------------------------------------------------------------------ */

Test(scheduler, a_group_that_joins_later_is_scheduled_from_its_rate)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int kind = 0; kind < KINDS; kind++) {
        lucid_tensor *p[] = {lucid_zeros((1)), lucid_zeros((1))};
        const double lr[] = {0.1, 0.1};
        lucid_optimizer *opt = optimizer_of(p, lr, 1), *resumed = optimizer_of(p, lr, 2);
        lucid_scheduler *s = schedule(kind, opt);
        for (int k = 0; k < 4; k++) cr_assert(lucid_scheduler_step(s));
        lucid_optim_options o = lucid_optim_get_options(opt, 0);
        o.lr = 0.1;
        cr_assert(lucid_optim_add_group(opt, &p[1], 1, &o));
        double at_0 = rate(opt, 0), seen[16];
        for (int k = 5; k < 16; k++) {
            cr_assert(lucid_scheduler_step(s), "%s", lucid_error());
            seen[k] = rate(opt, 1);
            double expected = kind == STEP    ? 0.1 * rate(opt, 0) / at_0
                              : kind == CYCLE ? rate(opt, 0)
                              : k <= 7        ? 1e-3 + (rate(opt, 0) - 1e-3) * 0.099 / (at_0 - 1e-3)
                                              : rate(opt, 0);
            cr_expect(testing_close(seen[k], expected, 1e-12, 0),
                      "%s: step %d: expected %.17g, got %.17g", names[kind], k, expected, seen[k]);
        }
        cr_assert(lucid_scheduler_seek(s, 6) && rate(opt, 1) == seen[6], "%s: %.17g", names[kind],
                  rate(opt, 1));
        lucid_state_dict *state = lucid_optimizer_state_dict(opt);
        cr_assert(lucid_optimizer_load_state_dict(resumed, state));
        lucid_scheduler *t = schedule(kind, resumed);
        cr_assert(lucid_scheduler_seek(t, 9) && rate(resumed, 1) == seen[9], "%s: %.17g, not %.17g",
                  names[kind], rate(resumed, 1), seen[9]);
        lucid_state_dict_free(state);
        lucid_scheduler_free(s);
        lucid_scheduler_free(t);
        lucid_optimizer_free(opt);
        lucid_optimizer_free(resumed);
    }
}

/* Made for an optimizer that has no group yet, and of one that joins while the cosine rises: there
 * its own rate is the highest. */
Test(scheduler, groups_join_at_any_time)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *p = lucid_zeros((1)), *q = lucid_zeros((1));
    lucid_optim_options half = {.struct_size = sizeof half, .lr = 0.5};
    lucid_optimizer *opt = lucid_optim_new("SGD", &half);
    lucid_scheduler *s = optim_CosineAnnealingLR(opt, 100);
    cr_assert(s, "%s", lucid_error());
    cr_assert(lucid_optim_add_group(opt, &p, 1, NULL));
    for (int k = 0; k < 101; k++) cr_assert(lucid_scheduler_step(s));
    cr_assert(lucid_optim_add_group(opt, &q, 1, NULL));
    for (int k = 101; k < 200; k++) {
        cr_assert(lucid_scheduler_step(s));
        cr_expect(rate(opt, 1) <= 0.5 && rate(opt, 1) == rate(opt, 0), "step %d: %g", k + 1,
                  rate(opt, 1));
    }
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

/* ---- rates that the program changes ---------------------------------------------------------- */

Test(scheduler, goes_on_from_a_rate_that_the_program_has_changed)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *p = lucid_zeros((1));
    const double lr = 1;
    lucid_optimizer *opt = optimizer_of(&p, &lr, 1);
    lucid_scheduler *s = optim_StepLR(opt, 2, .gamma = 0.5);
    for (int k = 0; k < 3; k++) cr_assert(lucid_scheduler_step(s));
    cr_assert(lucid_optim_set_lr(opt, 8));
    cr_assert(lucid_scheduler_step(s) && rate(opt, 0) == 4, "%g", rate(opt, 0));
    cr_assert(lucid_scheduler_step(s) && rate(opt, 0) == 4, "%g", rate(opt, 0));
    lucid_scheduler *second = optim_StepLR(opt, 1, .gamma = 0.25); /* both change it in turns */
    cr_assert(second && rate(opt, 0) == 4);
    cr_assert(lucid_scheduler_step(second) && rate(opt, 0) == 1, "%g", rate(opt, 0));
    cr_assert(lucid_scheduler_step(s) && rate(opt, 0) == 0.5, "%g", rate(opt, 0));
    cr_assert(lucid_scheduler_step(second) && rate(opt, 0) == 0.125, "%g", rate(opt, 0));
    lucid_scheduler_free(second);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    opt = optimizer_of(&p, &lr, 1);
    s = optim_CosineAnnealingLR(opt, 4);
    cr_assert(lucid_scheduler_step(s) && lucid_optim_set_lr(opt, 2 * rate(opt, 0)));
    for (int k = 2; k <= 4; k++) { /* twice the curve until its lowest point */
        double expected = 1 + cos(M_PI * k / 4);
        cr_assert(lucid_scheduler_step(s));
        cr_expect(testing_close(rate(opt, 0), expected, 1e-14, 1e-16), "%.17g", rate(opt, 0));
    }
    cr_assert(lucid_scheduler_step(s));
    cr_expect(testing_close(rate(opt, 0), 0.5 * (1 - cos(M_PI / 4)), 1e-14, 0));
    cr_assert(lucid_optim_set_lr(opt, 2 * rate(opt, 0)) && lucid_scheduler_step(s));
    cr_expect(testing_close(rate(opt, 0), 1 - cos(M_PI / 2), 1e-14, 0), "%.17g", rate(opt, 0));
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

/* ---- far away -------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Test(scheduler, seeks_any_step_at_once, .timeout = 20)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    static const int64_t far[] = {1000000, 1000000000, (int64_t)1 << 62, INT64_MAX};
    lucid_tensor *p = lucid_zeros((1));
    const double lr = 0.1;
    for (int i = 0; i < 4; i++) {
        lucid_optimizer *opt = optimizer_of(&p, &lr, 1);
        lucid_scheduler *s[] = {optim_StepLR(opt, 1, .gamma = 1 - 1e-9),
                                optim_CosineAnnealingLR(opt, 1),
                                optim_CosineAnnealingLR(opt, 1000),
                                optim_CosineAnnealingLR(opt, INT64_MAX),
                                optim_StepLR(opt, INT64_MAX),
                                optim_OneCycleLR(opt, 0.1, INT64_MAX)};
        for (size_t k = 0; k < sizeof s / sizeof *s; k++) {
            double began = seconds();
            cr_assert(lucid_scheduler_seek(s[k], far[i]), "%s", lucid_error());
            cr_expect(seconds() - began < 0.05, "scheduler %zu to %lld: %.1f s", k,
                      (long long)far[i], seconds() - began);
            cr_expect(rate(opt, 0) >= 0 && rate(opt, 0) <= 0.1 + 1e-16, "scheduler %zu to %lld: %g",
                      k, (long long)far[i], rate(opt, 0));
            cr_expect(lucid_scheduler_position(s[k]) == far[i]);
            if (far[i] == INT64_MAX)
                EXPECT_ERROR(lucid_scheduler_step(s[k]), LUCID_ERR_STATE, "step: expected at most");
            lucid_scheduler_free(s[k]);
        }
        lucid_optimizer_free(opt);
    }
}

/* ---- rates that are none --------------------------------------------------------------------- */

Test(scheduler, refuses_options_that_the_optimizer_would_refuse)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(1, 1);
    lucid_optimizer *opt = optim_SGD(m, .lr = 1e-3, .momentum = 0.9);
    lucid_scheduler *s = optim_StepLR(opt, 1, .gamma = 1e200);
    cr_assert(lucid_scheduler_step(s) && rate(opt, 0) == 1e197);
    EXPECT_ERROR(lucid_scheduler_step(s), LUCID_ERR_STATE,
                 "StepLR: step 2: lr of group 0: expected a finite number, got inf");
    EXPECT_ERROR(lucid_scheduler_seek(s, 1000), LUCID_ERR_STATE,
                 "StepLR: step 1000: lr of group 0");
    cr_expect(rate(opt, 0) == 1e197 && lucid_scheduler_position(s) == 1);
    EXPECT_ERROR(lucid_scheduler_seek(s, -1), LUCID_ERR_ARGUMENT,
                 "StepLR: position: expected at least 0, got -1");
    lucid_state_dict *state = lucid_optimizer_state_dict(opt);
    cr_expect(state && lucid_optimizer_load_state_dict(opt, state), "%s", lucid_error());
    lucid_state_dict_free(state);
    EXPECT_ERROR(optim_OneCycleLR(opt, 1e300, 10, .div_factor = 1e-300), LUCID_ERR_STATE,
                 "OneCycleLR: step 0: lr of group 0: expected a finite number, got inf");
    cr_expect(rate(opt, 0) == 1e197 && momentum(opt, 0) == 0.9);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);

    opt = optim_SGD(m, .momentum = 0.9, .nesterov = true); /* which needs momentum */
    s = optim_OneCycleLR(opt, 0.1, 12, .pct_start = 0.5, .base_momentum = 0);
    for (int k = 1; k < 5; k++) cr_expect(lucid_scheduler_step(s));
    EXPECT_ERROR(lucid_scheduler_step(s), LUCID_ERR_ARGUMENT, "nesterov: expected momentum > 0");
    cr_expect(lucid_scheduler_position(s) == 4);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    opt = optim_Adam(m); /* beta1 of 1 could be saved, and was refused when loaded */
    EXPECT_ERROR(optim_OneCycleLR(opt, 0.1, 10, .max_momentum = 1), LUCID_ERR_ARGUMENT,
                 "beta1: expected [0, 1), got 1");
    lucid_optimizer_free(opt);
    lucid_module_free(m);
}

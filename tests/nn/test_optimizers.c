/* The optimizers beside SGD, Adam, AdamW and Adadelta, against PyTorch: steps, states, resuming;
 * L-BFGS with its closures; Lookahead; groups by pattern; what is refused. */
#include "tests/testing.h"

#include "lucid/lucid.h"
#include "tests/nn/steps.h"

#include <unistd.h>

static lucid_tensor *role(const vectors *v, const char *name, const char *text)
{
    char key[256];
    snprintf(key, sizeof key, "%s/%s", name, text);
    return vectors_has(v, key) ? vectors_tensor(v, key) : NULL;
}

static lucid_tensor *row(lucid_tensor *t, int64_t k)
{
    return lucid_clone(lucid_select(t, 0, k), LUCID_CONTIGUOUS);
}

/* ---- PyTorch's vectors ----------------------------------------------------------------------- */

static lucid_optim_options read_options(const vectors_case *c, lucid_optim_options o)
{
#define NUMBER(name) o.name = vectors_double(c, #name, o.name)
#define FLAG(name)   o.name = vectors_bool(c, #name, o.name)
#define WHOLE(name)  o.name = vectors_int(c, #name, o.name)
    NUMBER(lr), NUMBER(weight_decay), NUMBER(momentum), NUMBER(dampening), NUMBER(beta1);
    NUMBER(beta2), NUMBER(eps), NUMBER(alpha), NUMBER(lr_decay), NUMBER(momentum_decay);
    NUMBER(initial_accumulator_value), NUMBER(trust_coefficient), NUMBER(lambd), NUMBER(t0);
    NUMBER(eta_minus), NUMBER(eta_plus), NUMBER(step_min), NUMBER(step_max), NUMBER(beta2_decay);
    NUMBER(eps1), NUMBER(eps2), NUMBER(d), NUMBER(ns_a), NUMBER(ns_b), NUMBER(ns_c);
    NUMBER(tolerance_grad), NUMBER(tolerance_change);
    FLAG(maximize), FLAG(nesterov), FLAG(centered), FLAG(decoupled_weight_decay);
    FLAG(strong_wolfe);
    WHOLE(ns_steps), WHOLE(adjust_lr), WHOLE(max_iter), WHOLE(max_eval), WHOLE(history_size);
    return o;
}

/* An optimizer of the case's kind and options over p[0..1]. */
static lucid_optimizer *read_optimizer(const vectors_case *c, lucid_tensor **p, size_t n)
{
    lucid_optimizer *opt = lucid_optim_new(vectors_get(c, "op"), NULL);
    cr_assert(opt, "%s: %s", vectors_name(c), lucid_error());
    lucid_optim_options o = read_options(c, lucid_optim_get_defaults(opt));
    for (size_t i = 0; i < n; i++) lucid_requires_grad_(p[i], true);
    cr_assert(lucid_optim_add_group(opt, p, n, &o), "%s: %s", vectors_name(c), lucid_error());
    double k, alpha;
    if (vectors_get(c, "lookahead")) {
        cr_assert(sscanf(vectors_get(c, "lookahead"), "%lf,%lf", &k, &alpha) == 2);
        cr_assert(optim_Lookahead(opt, .k = (int64_t)k, .alpha = alpha));
    }
    return opt;
}

static void compare_state(const vectors *v, const char *name, lucid_optimizer *opt, double limit)
{
    lucid_state_dict *s = lucid_optimizer_state_dict(opt);
    int compared = 0;
    for (size_t i = 0; i < lucid_state_dict_size(s); i++) {
        lucid_named_tensor t = lucid_state_dict_at(s, i);
        lucid_tensor *expected = role(v, name, t.name);
        char what[256];
        snprintf(what, sizeof what, "%s: %s", name, t.name);
        if (!expected) continue;
        cr_expect(lucid_numel(expected) == lucid_numel(t.tensor), "%s: another size", what);
        expect_near(what,
                    lucid_reshape_opt(lucid_cast(t.tensor, lucid_tensor_dtype(expected)),
                                      lucid_tensor_shape(expected)),
                    expected, limit, 1e-30);
        compared++;
    }
    cr_expect(compared >= 1 || strncmp(name, "lars_plain", 10) == 0,
              "%s: the state has no name of PyTorch's", name);
    lucid_state_dict_free(s);
}

/* Steps from `from` to the end; at `stop` the state is kept. */
static lucid_state_dict *train(const vectors *v, const vectors_case *c, lucid_optimizer *opt,
                               lucid_tensor **p, int64_t from, int64_t stop, double limit)
{
    const char *name = vectors_name(c);
    lucid_state_dict *kept = NULL;
    lucid_tensor *g[2] = {role(v, name, "grad.0"), role(v, name, "grad.1")};
    lucid_tensor *after[2] = {role(v, name, "after.param.0"), role(v, name, "after.param.1")};
    for (int64_t k = from; k < vectors_int(c, "steps", 0); k++) {
        if (k == stop) kept = lucid_optimizer_state_dict(opt);
        for (int i = 0; i < 2; i++) cr_assert(lucid_set_grad(p[i], row(g[i], k)));
        uint64_t version = lucid_tensor_version(p[0]);
        cr_assert(lucid_step(opt), "%s: %s", name, lucid_error());
        cr_expect(lucid_tensor_version(p[0]) > version, "%s: no new version", name);
        for (int i = 0; i < 2; i++) {
            char what[128];
            snprintf(what, sizeof what, "%s: step %d: param.%d", name, (int)k, i);
            expect_near(what, lucid_detach(p[i]), row(after[i], k), limit, limit / 10);
        }
    }
    return kept;
}

static void run_optimizer(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    const char *name = vectors_name(c);
    bool wide = vectors_dtype(vectors_get(c, "dtype")) == LUCID_F64;
    double limit = wide ? 1e-12 : 5e-6;
    enum { STOP = 7 };
    lucid_tensor *p[2] = {role(v, name, "param.0"), role(v, name, "param.1")}, *q[2];
    lucid_optimizer *opt = read_optimizer(c, p, 2);
    lucid_state_dict *kept = train(v, c, opt, p, 0, STOP, limit);
    compare_state(v, name, opt, limit);
    for (int i = 0; i < 2; i++) {
        char text[32];
        snprintf(text, sizeof text, "after.param.%d", i);
        q[i] = row(role(v, name, text), STOP - 1);
    }
    lucid_optimizer *resumed = read_optimizer(c, q, 2);
    cr_assert(lucid_optimizer_load_state_dict(resumed, kept), "%s: %s", name, lucid_error());
    train(v, c, resumed, q, STOP, -1, limit);
    lucid_state_dict_free(kept);
    lucid_optimizer_free(opt);
    lucid_optimizer_free(resumed);
}

Test(optimizers, steps_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("optimizers");
    for (const vectors_case *c; (c = vectors_next(v));) {
        if (strcmp(vectors_get(c, "op"), "LBFGS") == 0) continue;
        run_optimizer(v, c);
        cases++;
    }
    vectors_close(v);
    cr_expect(cases >= 70, "only %d cases", cases);
    cr_expect(lucid_finish() == 0);
}

/* Each dtype; the memory transposed; no elements; the last parameter without a gradient. */
static void run_any(const char *kind, lucid_dtype dtype, int64_t rows)
{
    LUCID_SCOPE;
    lucid_manual_seed(3);
    lucid_tensor *p[3], *before;
    for (int i = 0; i < 3; i++) {
        lucid_tensor *t = lucid_transpose(lucid_randn((4, rows), .dtype = dtype), 0, 1);
        p[i] = lucid_requires_grad_(lucid_detach(t), true);
    }
    before = lucid_clone(lucid_detach(p[0]), LUCID_PRESERVE);
    lucid_optimizer *opt = lucid_optim_new(kind, NULL);
    cr_assert(opt && lucid_optim_add_group(opt, p, 3, NULL), "%s: %s", kind, lucid_error());
    cr_assert(optim_Lookahead(opt, .k = 2));
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < 2; i++) lucid_set_grad(p[i], lucid_randn((rows, 4), .dtype = dtype));
        cr_assert(lucid_step(opt), "%s, %s: %s", kind, lucid_dtype_name(dtype), lucid_error());
    }
    cr_expect(!lucid_has_nan(p[0]) && lucid_tensor_dtype(p[0]) == dtype, "%s: %s", kind,
              lucid_dtype_name(dtype));
    cr_expect(rows == 0 || !lucid_equal(before, p[0]), "%s, %s: no step", kind,
              lucid_dtype_name(dtype));
    lucid_optimizer_free(opt);
}

Test(optimizers, take_any_dtype_and_memory)
{
    static const char *const kinds[] = {"SGD",     "Adam",   "AdamW", "Adadelta",  "RMSprop",
                                        "Adagrad", "Adamax", "NAdam", "RAdam",     "LAMB",
                                        "LARS",    "ASGD",   "Rprop", "Adafactor", "Muon"};
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int d = 0; d < 4; d++)
            for (int64_t rows = 0; rows < 6; rows += 5) run_any(kinds[k], dtypes[d], rows);
    cr_expect(lucid_finish() == 0);
}

/* ---- L-BFGS ---------------------------------------------------------------------------------- */

typedef struct problem {
    lucid_optimizer *opt;
    lucid_tensor *p[2];
    bool bowl, fails;
    double sign;
    int calls;
} problem;

static lucid_tensor *loss_of(problem *q)
{
    if (!q->bowl) {
        lucid_tensor *x = lucid_select(q->p[0], 0, 0), *y = lucid_select(q->p[0], 0, 1);
        lucid_tensor *bend = lucid_square(lucid_sub(y, lucid_square(x)));
        return lucid_add(lucid_square(lucid_sub(1, x)), lucid_mul(bend, 100));
    }
    lucid_tensor *weights = lucid_reshape(lucid_arange(1, 7, 1, .dtype = LUCID_F64), (2, 3));
    lucid_tensor *flat = lucid_sum(lucid_mul(weights, lucid_square(lucid_sub(q->p[0], 0.5))));
    lucid_tensor *square = lucid_square(q->p[1]);
    return lucid_add(flat,
                     lucid_add(lucid_sum(lucid_square(square)), lucid_mul(lucid_sum(square), 0.1)));
}

static lucid_tensor *closure(void *user)
{
    problem *q = user;
    q->calls++;
    if (q->fails && q->calls == 3) return NULL;
    lucid_zero_grad(q->opt);
    lucid_tensor *loss = lucid_mul(loss_of(q), q->sign);
    return lucid_backward(loss) ? loss : NULL;
}

static void run_lbfgs(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    const char *name = vectors_name(c);
    problem q = {.bowl = strcmp(vectors_get(c, "problem"), "bowl") == 0, .sign = 1};
    if (vectors_bool(c, "maximize", false)) q.sign = -1;
    size_t n = q.bowl ? 2 : 1;
    q.p[0] = role(v, name, "param.0");
    q.p[1] = role(v, name, "param.1");
    q.opt = read_optimizer(c, q.p, n);
    lucid_tensor *losses = role(v, name, "loss");
    for (int k = 0; k < 6; k++) {
        double expected = lucid_at(losses, LUCID_SHAPE(k));
        double got = lucid_step_closure(q.opt, closure, &q);
        cr_expect(testing_close(got, expected, 1e-6, 1e-14), "%s: step %d: loss %.17g, not %.17g",
                  name, k, got, expected);
        for (size_t i = 0; i < n; i++) {
            char what[64];
            snprintf(what, sizeof what, "after.param.%zu", i);
            expect_near(name, lucid_detach(q.p[i]), row(role(v, name, what), k), 1e-6, 1e-9);
        }
        if (k != 2) continue; /* go on with another one, which has the state of this one */
        lucid_state_dict *s = lucid_optimizer_state_dict(q.opt);
        lucid_optimizer *other = read_optimizer(c, q.p, n);
        cr_assert(lucid_optimizer_load_state_dict(other, s), "%s: %s", name, lucid_error());
        lucid_state_dict_free(s);
        lucid_optimizer_free(q.opt);
        q.opt = other;
    }
    compare_state(v, name, q.opt, 1e-4);
    lucid_optimizer_free(q.opt);
}

Test(optimizers, lbfgs_is_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("optimizers");
    for (const vectors_case *c; (c = vectors_next(v));) {
        if (strcmp(vectors_get(c, "op"), "LBFGS") != 0) continue;
        run_lbfgs(v, c);
        cases++;
    }
    vectors_close(v);
    cr_expect(cases == 5, "%d cases", cases);
    cr_expect(lucid_finish() == 0);
}

Test(optimizers, lbfgs_finds_the_lowest_point_of_rosenbrocks_valley)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    problem q = {.sign = 1};
    q.p[0] = lucid_from_data((2), ((double[]){-1.2, 1}));
    lucid_requires_grad_(q.p[0], true);
    q.opt = lucid_optim_new("LBFGS", NULL);
    lucid_optim_options o = lucid_optim_get_defaults(q.opt);
    o.strong_wolfe = true;
    cr_assert(lucid_optim_add_group(q.opt, q.p, 1, &o));
    for (int k = 0; k < 5; k++) cr_assert(lucid_step_closure(q.opt, closure, &q) >= 0);
    EXPECT_VALUES(q.p[0], 1e-4, 0, {1, 1});
    lucid_optimizer_free(q.opt);
}

Test(optimizers, closures_are_checked)
{
    LUCID_SCOPE;
    problem q = {.sign = 1, .fails = true};
    q.p[0] = lucid_from_data((2), ((double[]){-1.2, 1}));
    lucid_requires_grad_(q.p[0], true);
    q.opt = lucid_optim_new("LBFGS", NULL);
    EXPECT_ERROR(lucid_step_closure(q.opt, closure, &q), LUCID_ERR_STATE, "expected a group");
    cr_assert(lucid_optim_add_group(q.opt, q.p, 1, NULL));
    EXPECT_ERROR(lucid_optim_add_group(q.opt, q.p, 1, NULL), LUCID_ERR_ARGUMENT, "one only");
    EXPECT_ERROR(lucid_step(q.opt), LUCID_ERR_STATE, "LBFGS: step: expected lucid_step_closure");
    EXPECT_ERROR(lucid_step_closure(q.opt, NULL, NULL), LUCID_ERR_ARGUMENT, "closure: expected");
    EXPECT_ERROR(lucid_step_closure(q.opt, closure, &q), LUCID_ERR_ARGUMENT,
                 "LBFGS: closure: expected a loss with one element, got NULL");
    EXPECT_ERROR(optim_Lookahead(q.opt), LUCID_ERR_ARGUMENT, "expected another one than LBFGS");
    lucid_optimizer_free(q.opt);
    q.opt = lucid_optim_new("RMSprop", NULL);
    q.fails = false;
    q.calls = 0;
    cr_assert(lucid_optim_add_group(q.opt, q.p, 1, NULL));
    cr_expect(lucid_step_closure(q.opt, closure, &q) > 0 && q.calls == 1);
    lucid_optimizer_free(q.opt);
    cr_expect(lucid_finish() == 0);
}

/* ---- groups by pattern ----------------------------------------------------------------------- */

Test(optimizers, names_match_patterns)
{
    static const struct {
        const char *name, *pattern;
        bool is;
    } cases[] = {
        {"conv1.weight", "*.weight", true},
        {"conv1.weight", "*.bias", false},
        {"conv1.weight", "conv?.weight", true},
        {"conv1.weight", "conv1", false},
        {"a.bias", "*.bias|*bn*", true},
        {"layer1.bn2.weight", "*.bias|*bn*", true},
        {"", "", true},
        {"", "*", true},
        {"x", "", false},
        {"x", "|x", true},
        {"aaaab", "*a*ab", true},
        {"aaaa", "*a*ab", false},
        {"abc", "a**c", true},
        {"abc", "abc?", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(lucid_name_matches(cases[i].name, cases[i].pattern) == cases[i].is,
                  "\"%s\" and \"%s\"", cases[i].name, cases[i].pattern);
    cr_expect(!lucid_name_matches(NULL, "*") && !lucid_name_matches("a", NULL));
}

Test(optimizers, parameters_move_between_groups_with_their_states)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Sequential(nn_Linear(3, 4), nn_BatchNorm1d(4), nn_Linear(4, 2));
    lucid_optimizer *opt = optim_NAdam(m, .weight_decay = 0.1), *other = optim_AdamW(m);
    lucid_backward(lucid_sum(lucid_forward(m, lucid_randn((5, 3)))));
    cr_assert(lucid_step(opt));
    lucid_optim_options o = lucid_optim_get_options(opt, 0);
    o.weight_decay = 0;
    cr_assert(lucid_optim_move_matching(opt, m, "*.bias|1.*", &o), "%s", lucid_error());
    cr_expect(lucid_optim_group_size(opt, 0) == 2 && lucid_optim_group_size(opt, 1) == 4);
    cr_expect(lucid_optim_param(opt, 1, 0) == lucid_get_parameter(m, "0.bias"));
    lucid_state_dict *s = lucid_optimizer_state_dict(opt);
    cr_expect(lucid_state_dict_get(s, "state.5.mu_product"));
    cr_assert(lucid_step(opt), "%s", lucid_error());
    cr_assert(lucid_optimizer_load_state_dict(opt, s), "%s", lucid_error());
    lucid_state_dict_free(s);
    cr_expect(lucid_optim_no_decay_for_vectors(other));
    cr_expect(lucid_optim_group_size(other, 1) == 4 &&
              lucid_optim_get_options(other, 1).weight_decay == 0);
    EXPECT_ERROR(lucid_optim_move_matching(opt, m, "nothing", NULL), LUCID_ERR_ARGUMENT,
                 "NAdam: pattern: expected one that matches a parameter, got \"nothing\"");
    lucid_optimizer *muon = lucid_optim_new("Muon", NULL);
    cr_expect(lucid_optim_add_matching(muon, m, "?.weight", NULL) == false);
    lucid_clear_error();
    cr_expect(lucid_optim_add_matching(muon, m, "0.weight", NULL));
    cr_expect(lucid_optim_add_matching(muon, m, "0.weight|2.weight", NULL));
    cr_expect(lucid_optim_group_size(muon, 1) == 1);
    EXPECT_ERROR(lucid_optim_add_matching(muon, m, "0.weight", NULL), LUCID_ERR_ARGUMENT,
                 "pattern");
    EXPECT_ERROR(lucid_optim_move_matching(muon, m, "*", NULL), LUCID_ERR_ARGUMENT,
                 "which matches another one too");
    lucid_optimizer_free(muon);
    lucid_optimizer_free(opt);
    lucid_optimizer_free(other);
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}

Test(optimizers, frozen_parameters_stay)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Sequential(nn_Linear(3, 4), nn_Linear(4, 2));
    lucid_backward(lucid_sum(lucid_forward(m, lucid_ones((1, 3)))));
    cr_expect(lucid_freeze(m, "*", .except = "1.*") == 2);
    cr_expect(!lucid_requires_grad(lucid_get_parameter(m, "0.bias")) &&
              !lucid_tensor_grad(lucid_get_parameter(m, "0.bias")));
    cr_expect(lucid_requires_grad(lucid_get_parameter(m, "1.bias")));
    cr_expect(lucid_freeze(m, "0.weight", .requires_grad = true) == 1);
    EXPECT_ERROR(lucid_freeze(m, "2.*"), LUCID_ERR_ARGUMENT, "freeze: pattern: expected one that");
    EXPECT_ERROR(lucid_freeze(m, NULL), LUCID_ERR_ARGUMENT, "pattern: expected one, got NULL");
    lucid_module_free(m);
}

/* ---- refusals -------------------------------------------------------------------------------- */

#define REFUSED(expression, text) EXPECT_ERROR(expression, LUCID_ERR_ARGUMENT, text)

Test(optimizers, bad_arguments_are_refused)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(2, 2);
    REFUSED(optim_RMSprop(m, .lr = NAN), "RMSprop: lr: expected a number >= 0, got nan");
    REFUSED(optim_RMSprop(m, .alpha = -1), "RMSprop: alpha: expected a number >= 0, got -1");
    REFUSED(optim_Adagrad(m, .initial_accumulator_value = -1), "initial_accumulator_value");
    REFUSED(optim_Adamax(m, .beta2 = 1), "Adamax: beta2: expected [0, 1), got 1");
    REFUSED(optim_NAdam(m, .momentum_decay = -1), "NAdam: momentum_decay");
    REFUSED(optim_RAdam(m, .weight_decay = INFINITY), "RAdam: weight_decay");
    REFUSED(optim_Rprop(m, .eta_minus = 1), "Rprop: eta_minus: expected [1e-300, 1), got 1");
    REFUSED(optim_Rprop(m, .eta_plus = 1), "Rprop: eta_plus: expected");
    REFUSED(optim_Rprop(m, .step_min = 2, .step_max = 1), "step_min: expected at most step_max, 1");
    REFUSED(optim_Adafactor(m, .d = 0.5), "Adafactor: d: expected [1, inf), got 0.5");
    REFUSED(optim_Adafactor(m, .eps1 = -0.5), "eps1: expected a number >= 0 or LUCID_EPS_OF");
    REFUSED(optim_Adafactor(m, .beta2_decay = 1), "beta2_decay: expected [-inf, 0], got 1");
    REFUSED(optim_Muon(m), "Muon: parameter 1: expected 2 dimensions, got [2]");
    REFUSED(optim_LBFGS(m, .max_iter = 0), "LBFGS: max_iter: expected [1, 1e+09], got 0");
    REFUSED(optim_LARS(m, .momentum = 0, .nesterov = true), "LARS: nesterov: expected momentum");
    REFUSED(optim_ASGD(NULL), "ASGD");
    REFUSED(lucid_optim_new("SparseAdam", NULL), "there are no sparse tensors");
    lucid_optimizer *opt = optim_LAMB(m);
    REFUSED(optim_Lookahead(opt, .k = 0), "Lookahead: k: expected at least 1, got 0");
    REFUSED(optim_Lookahead(opt, .alpha = 2), "Lookahead: alpha: expected [0, 1], got 2");
    lucid_optim_options o = lucid_optim_get_options(opt, 0);
    o.centered = true;
    REFUSED(lucid_optim_set_options(opt, 0, &o), "centered: expected false (LAMB has none)");
    lucid_optimizer_free(opt);
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}

Test(optimizers, states_that_do_not_fit_are_refused)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Linear(2, 3);
    lucid_optimizer *opt = optim_Adafactor(m), *nadam = optim_NAdam(m);
    lucid_backward(lucid_sum(lucid_forward(m, lucid_ones((1, 2)))));
    cr_assert(lucid_step(opt) && lucid_step(nadam));
    lucid_state_dict *s = lucid_optimizer_state_dict(opt), *t = lucid_optimizer_state_dict(nadam);
    EXPECT_SHAPE(lucid_state_dict_get(s, "state.0.row_var"), 3, 1);
    EXPECT_SHAPE(lucid_state_dict_get(s, "state.0.col_var"), 1, 2);
    EXPECT_SHAPE(lucid_state_dict_get(s, "state.1.variance"), 3);
    lucid_state_dict_set(s, "state.0.row_var", lucid_ones((3, 2)));
    EXPECT_ERROR(lucid_optimizer_load_state_dict(opt, s), LUCID_ERR_FORMAT,
                 "state.0.row_var: expected [3,1], got [3,2]");
    lucid_state_dict_remove(s, "state.0.row_var");
    EXPECT_ERROR(lucid_optimizer_load_state_dict(opt, s), LUCID_ERR_FORMAT, "row_var: expected a");
    lucid_state_dict_remove(t, "state.1.mu_product");
    EXPECT_ERROR(lucid_optimizer_load_state_dict(nadam, t), LUCID_ERR_FORMAT,
                 "state.1.mu_product: expected one number, got none");
    lucid_state_dict_free(s);
    lucid_state_dict_free(t);
    lucid_optimizer_free(opt);
    lucid_optimizer_free(nadam);
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}

/* Optimizers, schedulers and clipping against PyTorch; groups; resuming to the last bit. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "lucid/core/random.h"
#include "tests/nn/steps.h"

#include <unistd.h>

/* ---- PyTorch's vectors ----------------------------------------------------------------------- */

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

static void read_betas(const char *text, lucid_optim_options *o)
{
    if (text) cr_assert(sscanf(text, "%lf,%lf", &o->beta1, &o->beta2) == 2);
}

/* The options of group 0, or of group 1, for which only differences are given. */
static lucid_optim_options read_options(const vectors_case *c, lucid_optim_options o,
                                        const char *group)
{
    char key[64];
#define FIELD(name, read) \
    snprintf(key, sizeof key, "%s" #name, group), o.name = read(c, key, o.name)
    FIELD(lr, vectors_double);
    FIELD(weight_decay, vectors_double);
    FIELD(momentum, vectors_double);
    FIELD(dampening, vectors_double);
    FIELD(eps, vectors_double);
    FIELD(rho, vectors_double);
    FIELD(nesterov, vectors_bool);
    FIELD(maximize, vectors_bool);
    FIELD(amsgrad, vectors_bool);
#undef FIELD
    snprintf(key, sizeof key, "%sbetas", group);
    read_betas(vectors_get(c, key), &o);
    return o;
}

/* "0:1,4:0": in step 0 parameter 1 has no gradient. */
static bool is_missing(const char *text, int step, int param)
{
    char item[16];
    snprintf(item, sizeof item, "%d:%d", step, param);
    const char *at = text ? strstr(text, item) : NULL;
    return at && (at == text || at[-1] == ',') && (at[strlen(item)] == ',' || !at[strlen(item)]);
}

static bool has_group_1(const vectors_case *c)
{
    static const char *const keys[] = {"group1.lr", "group1.momentum", "group1.rho", "group1.betas",
                                       "group1.weight_decay"};
    for (int i = 0; i < 5; i++)
        if (vectors_get(c, keys[i])) return true;
    return false;
}

static void compare_state(const vectors *v, const char *name, lucid_optimizer *opt, double limit)
{
    lucid_state_dict *s = lucid_optimizer_state_dict(opt);
    for (size_t i = 0; i < lucid_state_dict_size(s); i++) {
        lucid_named_tensor t = lucid_state_dict_at(s, i);
        lucid_tensor *expected = role(v, name, t.name);
        char what[256];
        snprintf(what, sizeof what, "%s: %s", name, t.name);
        if (expected && lucid_numel(expected) == lucid_numel(t.tensor))
            expect_near(what, lucid_reshape_opt(t.tensor, lucid_tensor_shape(expected)), expected,
                        limit, 1e-30);
    }
    lucid_state_dict_free(s);
}

static void run_optimizer(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    const char *name = vectors_name(c), *kind = vectors_get(c, "op");
    lucid_optim_options zero = {.struct_size = sizeof zero}, first = read_options(c, zero, "");
    lucid_optimizer *opt = lucid_optim_new(kind, &first);
    cr_assert(opt, "%s: %s", name, lucid_error());
    lucid_tensor *p[2] = {role(v, name, "param.0"), role(v, name, "param.1")};
    lucid_tensor *g[2] = {role(v, name, "grad.0"), role(v, name, "grad.1")};
    lucid_tensor *after[2] = {role(v, name, "after.param.0"), role(v, name, "after.param.1")};
    for (int i = 0; i < 2; i++) lucid_requires_grad_(p[i], true);
    if (has_group_1(c)) {
        lucid_optim_options second = read_options(c, first, "group1.");
        cr_assert(lucid_optim_add_group(opt, p, 1, NULL));
        cr_assert(lucid_optim_add_group(opt, p + 1, 1, &second), "%s", lucid_error());
    } else {
        cr_assert(lucid_optim_add_group(opt, p, 2, NULL));
    }
    double limit = vectors_dtype(vectors_get(c, "dtype")) == LUCID_F64 ? 1e-13 : 1e-6;
    for (int k = 0; k < vectors_int(c, "steps", 0); k++) {
        for (int i = 0; i < 2; i++) {
            bool missing = is_missing(vectors_get(c, "missing"), k, i);
            cr_assert(lucid_set_grad(p[i], missing ? NULL : row(g[i], k)), "%s", lucid_error());
        }
        cr_assert(lucid_step(opt), "%s: %s", name, lucid_error());
        for (int i = 0; i < 2; i++) {
            char what[128];
            snprintf(what, sizeof what, "%s: step %d: param.%d", name, k, i);
            expect_near(what, lucid_detach(p[i]), row(after[i], k), limit, 1e-30);
        }
    }
    compare_state(v, name, opt, limit);
    lucid_optimizer_free(opt);
}

static bool is_optimizer(const char *op)
{
    return strcmp(op, "SGD") == 0 || strncmp(op, "Ada", 3) == 0;
}

Test(optim, optimizers_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("optim");
    for (const vectors_case *c; (c = vectors_next(v));)
        if (is_optimizer(vectors_get(c, "op"))) {
            run_optimizer(v, c);
            cases++;
        }
    vectors_close(v);
    cr_expect(cases >= 45, "only %d cases", cases);
}

/* ---- schedulers ------------------------------------------------------------------------------ */

static lucid_scheduler *read_scheduler(const vectors_case *c, lucid_optimizer *opt)
{
    const char *op = vectors_get(c, "op");
    if (strcmp(op, "StepLR") == 0)
        return optim_StepLR(opt, vectors_int(c, "step_size", 0),
                            .gamma = vectors_double(c, "gamma", 0));
    if (strcmp(op, "CosineAnnealingLR") == 0)
        return optim_CosineAnnealingLR(opt, vectors_int(c, "T_max", 0),
                                       .eta_min = vectors_double(c, "eta_min", 0));
    return optim_OneCycleLR(opt, vectors_double(c, "max_lr", 0), vectors_int(c, "total_steps", 0),
                            .pct_start = vectors_double(c, "pct_start", 0),
                            .linear = strcmp(vectors_get(c, "anneal_strategy"), "linear") == 0,
                            .cycle_momentum = vectors_bool(c, "cycle_momentum", true),
                            .base_momentum = vectors_double(c, "base_momentum", 0),
                            .max_momentum = vectors_double(c, "max_momentum", 0),
                            .div_factor = vectors_double(c, "div_factor", 0),
                            .final_div_factor = vectors_double(c, "final_div_factor", 0),
                            .three_phase = vectors_bool(c, "three_phase", false));
}

static void compare_rates(const vectors *v, const char *name, lucid_optimizer *opt, int64_t k)
{
    LUCID_SCOPE;
    lucid_tensor *lr = role(v, name, "lr"), *momentum = role(v, name, "momentum");
    for (size_t g = 0; g < lucid_optim_group_count(opt); g++) {
        lucid_optim_options o = lucid_optim_get_options(opt, g);
        double expected = lucid_at(lr, LUCID_SHAPE(k, (int64_t)g));
        cr_expect(testing_close(o.lr, expected, 1e-12, 1e-16),
                  "%s: step %d: expected %.17g, got %.17g", name, (int)k, expected, o.lr);
        if (!momentum) continue;
        expected = lucid_at(momentum, LUCID_SHAPE(k, (int64_t)g));
        double got = o.beta2 > 0 ? o.beta1 : o.momentum;
        cr_expect(testing_close(got, expected, 1e-12, 0), "%s: step %d: momentum %.17g, got %.17g",
                  name, (int)k, expected, got);
    }
}

static void run_scheduler(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    const char *name = vectors_name(c);
    bool adam = strcmp(vectors_get(c, "optimizer"), "Adam") == 0;
    double lr[2] = {0, 0};
    int groups = sscanf(vectors_get(c, "lr"), "%lf,%lf", &lr[0], &lr[1]);
    lucid_optimizer *opt = lucid_optim_new(adam ? "Adam" : "SGD", NULL);
    for (int g = 0; g < groups; g++) {
        lucid_tensor *p = lucid_zeros(1);
        lucid_optim_options o = lucid_optim_get_defaults(opt);
        if (!adam) o.momentum = vectors_double(c, "momentum", 0);
        o.lr = lr[g];
        cr_assert(lucid_optim_add_group(opt, &p, 1, &o));
    }
    int64_t steps = vectors_int(c, "steps", 0);
    lucid_scheduler *s = read_scheduler(c, opt);
    cr_assert(s, "%s: %s", name, lucid_error());
    for (int64_t k = 0; k < steps; k++) {
        compare_rates(v, name, opt, k);
        if (k + 1 < steps) cr_assert(lucid_scheduler_step(s), "%s: %s", name, lucid_error());
    }
    cr_assert(lucid_scheduler_position(s) == steps - 1);
    cr_assert(lucid_scheduler_seek(s, steps / 2));
    compare_rates(v, name, opt, steps / 2);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
}

Test(optim, schedulers_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("optim");
    for (const vectors_case *c; (c = vectors_next(v));)
        if (vectors_get(c, "optimizer")) {
            run_scheduler(v, c);
            cases++;
        }
    vectors_close(v);
    cr_expect(cases >= 19, "only %d cases", cases);
}

Test(optim, one_cycle_ends)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(1, 1);
    lucid_optimizer *opt = optim_SGD(m, .momentum = 0.9);
    lucid_scheduler *s = optim_OneCycleLR(opt, 0.1, 3);
    for (int i = 0; i < 3; i++) cr_expect(lucid_scheduler_step(s));
    EXPECT_ERROR(lucid_scheduler_step(s), LUCID_ERR_STATE, "OneCycleLR: step: expected at most 3");
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    opt = optim_Adadelta(m);
    EXPECT_ERROR(optim_OneCycleLR(opt, 0.1, 3), LUCID_ERR_ARGUMENT, "got Adadelta");
    lucid_optimizer_free(opt);
    lucid_module_free(m);
}

/* ---- clipping -------------------------------------------------------------------------------- */

Test(optim, clip_grad_norm_is_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("optim");
    for (const vectors_case *c; (c = vectors_next(v));) {
        if (strcmp(vectors_get(c, "op"), "clip_grad_norm_") != 0) continue;
        LUCID_SCOPE;
        const char *name = vectors_name(c);
        lucid_tensor *p[3];
        for (int i = 0; i < 3; i++) {
            char text[16];
            snprintf(text, sizeof text, "in%d", i);
            lucid_tensor *g = role(v, name, text);
            p[i] = lucid_requires_grad_(lucid_clone(g, LUCID_PRESERVE), true);
            lucid_set_grad(p[i], g);
        }
        lucid_clip_options o = lucid_clip_defaults;
        o.norm_type = vectors_double(c, "norm_type", 2);
        double norm = lucid_clip_grad_norm_list(p, 3, vectors_double(c, "max_norm", 0), &o);
        double expected = lucid_item(role(v, name, "out"));
        cr_expect(testing_close(norm, expected, 1e-6, 0), "%s: expected %.9g, got %.9g", name,
                  expected, norm);
        for (int i = 0; i < 3; i++) {
            char text[24];
            snprintf(text, sizeof text, "after.in%d", i);
            expect_near(name, lucid_tensor_grad(p[i]), role(v, name, text), 1e-6, 1e-30);
        }
        cases++;
    }
    vectors_close(v);
    cr_expect(cases >= 12, "only %d cases", cases);
}

Test(optim, clip_refuses_what_is_not_finite)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(2, 1);
    lucid_tensor *w = lucid_get_parameter(m, "weight");
    lucid_set_grad(w, lucid_values((1, 2), INFINITY, 1));
    EXPECT_ERROR(lucid_clip_grad_norm(m, 1, .error_if_nonfinite = true), LUCID_ERR_STATE,
                 "expected a finite norm, got inf");
    EXPECT_ERROR(lucid_clip_grad_norm_list(NULL, 2, 1, NULL), LUCID_ERR_ARGUMENT,
                 "clip_grad_norm: params: expected 2 tensors, got NULL");
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {INFINITY, 1});
    lucid_module_free(m);
}

/* ---- groups and options ---------------------------------------------------------------------- */

Test(optim, options_are_checked)
{
    lucid_module *m = nn_Linear(2, 2);
    EXPECT_ERROR(optim_SGD(m, .lr = -1), LUCID_ERR_ARGUMENT, "SGD: lr: expected a number >= 0");
    lucid_optimizer *sgd = optim_SGD(m), *adam = optim_Adam(m);
    lucid_optim_options o = lucid_optim_get_options(sgd, 0);
    o.beta1 = 0.9;
    EXPECT_ERROR(lucid_optim_set_options(sgd, 0, &o), LUCID_ERR_ARGUMENT,
                 "beta1: expected 0 (SGD has none)");
    o = lucid_optim_get_options(adam, 0);
    o.momentum = 0.9;
    EXPECT_ERROR(lucid_optim_set_options(adam, 0, &o), LUCID_ERR_ARGUMENT, "Adam: momentum");
    o.struct_size = 0;
    EXPECT_ERROR(lucid_optim_set_options(adam, 0, &o), LUCID_ERR_ARGUMENT,
                 "options: expected those of lucid_optim_get_options");
    lucid_optimizer_free(sgd);
    lucid_optimizer_free(adam);
    EXPECT_ERROR(optim_SGD(m, .nesterov = true), LUCID_ERR_ARGUMENT, "nesterov");
    EXPECT_ERROR(optim_Adam(m, .beta1 = 1), LUCID_ERR_ARGUMENT, "beta1: expected [0, 1), got 1");
    EXPECT_ERROR(optim_Adadelta(m, .rho = 1.5), LUCID_ERR_ARGUMENT, "rho: expected [0, 1]");
    EXPECT_ERROR(lucid_optim_new("Sgd", NULL), LUCID_ERR_ARGUMENT, "got \"Sgd\"");
    lucid_module *none = nn_ReLU();
    EXPECT_ERROR(optim_SGD(none), LUCID_ERR_ARGUMENT, "expected at least one, got none");
    lucid_module_free(none);
    lucid_module_free(m);
}

Test(optim, groups)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(2, 2);
    lucid_optimizer *opt = optim_SGD(m, .lr = 0.5);
    lucid_tensor *extra = lucid_zeros((3), .requires_grad = true);
    lucid_optim_options slow = lucid_optim_get_options(opt, 0);
    slow.lr = 0.01;
    cr_expect(lucid_optim_add_group(opt, &extra, 1, &slow));
    cr_expect(lucid_optim_group_count(opt) == 2 && lucid_optim_group_size(opt, 0) == 2);
    cr_expect(lucid_optim_param(opt, 1, 0) == extra);
    EXPECT_ERROR(lucid_optim_add_group(opt, &extra, 1, NULL), LUCID_ERR_ARGUMENT, "twice");
    lucid_set_grad(extra, lucid_ones((3)));
    cr_expect(lucid_step(opt));
    EXPECT_VALUES(extra, 1e-7, 0, {-0.01, -0.01, -0.01});
    cr_expect(lucid_optim_set_lr(opt, 2) && lucid_optim_get_options(opt, 1).lr == 2);
    cr_expect(lucid_zero_grad(opt) && !lucid_tensor_grad(extra));
    lucid_module_free(m); /* the optimizer keeps the parameters */
    cr_expect(lucid_step(opt));
    lucid_optimizer_free(opt);
}

Test(optim, step_refuses_while_an_error_is_pending)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Linear(1, 1, .bias = false);
    lucid_optimizer *opt = optim_SGD(m, .lr = 1);
    lucid_tensor *w = lucid_get_parameter(m, "weight");
    lucid_set_grad(w, lucid_ones((1, 1)));
    double before = lucid_item(w);
    uint64_t version = lucid_tensor_version(w);
    lucid_raise(LUCID_ERR_STATE, "test", "earlier");
    cr_expect(!lucid_step(opt) && lucid_item(w) == before && lucid_tensor_version(w) == version);
    lucid_clear_error();
    cr_expect(lucid_step(opt) && lucid_item(w) == before - 1 && lucid_tensor_version(w) > version);
    lucid_optimizer_free(opt);
    lucid_module_free(m);
}

/* ---- resuming -------------------------------------------------------------------------------- */

static void train(lucid_module *m, lucid_optimizer *opt, int from, int to)
{
    for (int k = from; k < to; k++) {
        LUCID_SCOPE;
        lucid_manual_seed((uint64_t)k);
        lucid_tensor *x = lucid_randn((8, 5));
        lucid_tensor *loss = lucid_mean(lucid_square(lucid_forward(m, x)));
        cr_assert(lucid_zero_grad(opt) && lucid_backward(loss) && lucid_step(opt), "%s",
                  lucid_error());
    }
}

static lucid_module *small_net(void)
{
    lucid_manual_seed(99);
    return nn_Sequential(nn_Linear(5, 7), nn_BatchNorm1d(7), nn_Tanh(), nn_Linear(7, 2));
}

static lucid_optimizer *make_optimizer(int kind, lucid_module *m)
{
    switch (kind) {
    case 0:
        return optim_SGD(m, .lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3, .nesterov = true);
    case 1:
        return optim_Adam(m, .lr = 0.01, .amsgrad = true);
    case 2:
        return optim_AdamW(m, .lr = 0.01);
    default:
        return optim_Adadelta(m);
    }
}

/* Ten steps at once, and five, saving, loading elsewhere, five: the same bits. */
static void resume(int kind, const char *net_path, const char *opt_path)
{
    lucid_module *whole = small_net(), *begun = small_net(), *resumed = small_net();
    lucid_optimizer *a = make_optimizer(kind, whole), *b = make_optimizer(kind, begun);
    train(whole, a, 0, 10);
    train(begun, b, 0, 5);
    cr_assert(lucid_optim_set_lr(b, 0.1) && lucid_optim_set_lr(b, lucid_optim_lr(a)));
    cr_assert(lucid_save(begun, net_path) && lucid_optimizer_save(b, opt_path), "%s",
              lucid_error());
    lucid_init_constant(lucid_get_parameter(resumed, "0.weight"), 5);
    lucid_optimizer *c = make_optimizer(kind, resumed);
    cr_assert(lucid_optim_set_lr(c, 123));
    cr_assert(lucid_load(resumed, net_path) && lucid_optimizer_load(c, opt_path), "%s",
              lucid_error());
    cr_expect(lucid_optim_lr(c) == lucid_optim_lr(a));
    train(resumed, c, 5, 10);
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(whole, &n);
    const lucid_named_tensor *q = lucid_named_parameters(resumed, NULL);
    for (size_t i = 0; i < n; i++)
        cr_expect(lucid_equal(p[i].tensor, q[i].tensor), "kind %d: %s", kind, p[i].name);
    lucid_optimizer *optimizers[] = {a, b, c};
    lucid_module *modules[] = {whole, begun, resumed};
    for (int i = 0; i < 3; i++) lucid_optimizer_free(optimizers[i]), lucid_module_free(modules[i]);
}

Test(optim, resumes_to_the_last_bit)
{
    char net_path[64], opt_path[64];
    snprintf(net_path, sizeof net_path, "/tmp/lucid-net-%d.safetensors", (int)getpid());
    snprintf(opt_path, sizeof opt_path, "/tmp/lucid-opt-%d.safetensors", (int)getpid());
    for (int kind = 0; kind < 4; kind++) resume(kind, net_path, opt_path);
    unlink(net_path);
    unlink(opt_path);
}

Test(optim, a_state_that_does_not_fit_is_refused)
{
    lucid_module *m = small_net(), *other = nn_Linear(2, 2);
    lucid_optimizer *sgd = optim_SGD(m, .momentum = 0.9), *adam = optim_Adam(m);
    lucid_optimizer *small = optim_SGD(other, .lr = 0.25, .momentum = 0.5);
    train(m, sgd, 0, 2);
    lucid_state_dict *s = lucid_optimizer_state_dict(sgd);
    EXPECT_ERROR(lucid_optimizer_load_state_dict(adam, s), LUCID_ERR_FORMAT,
                 "optimizer: expected Adam, got SGD");
    EXPECT_ERROR(lucid_optimizer_load_state_dict(small, s), LUCID_ERR_FORMAT,
                 "parameters of a group: expected 2, got 6");
    cr_expect(lucid_optim_lr(small) == 0.25);
    lucid_state_dict_free(s);
    lucid_optimizer_free(small);
    lucid_optimizer_free(adam);
    lucid_optimizer_free(sgd);
    lucid_module_free(other);
    lucid_module_free(m);
}

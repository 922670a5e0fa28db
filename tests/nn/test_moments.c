/* test_moments.c: optimizers whose gradients have become 0: their moments do not stay among the
 * subnormal numbers, and what is large enough to matter is as it was. */
#include "backends/cpu/levels_priv.h"
#include "lucid/lucid.h"
#include "testing.h"

#include <float.h>

typedef struct kind {
    const char *name, *optimizer;
    bool momentum, amsgrad;
    double eps; /* < 0: the default */
} kind;

static const kind kinds[] = {
    {"SGD", "SGD", true, false, -1},
    {"Adam", "Adam", false, false, -1},
    {"AdamW", "AdamW", false, false, -1},
    {"amsgrad", "Adam", false, true, -1},
    {"Adadelta", "Adadelta", false, false, -1},
};

static lucid_optimizer *make(const kind *k, lucid_tensor *p)
{
    lucid_optimizer *opt = lucid_optim_new(k->optimizer, NULL);
    cr_assert(opt, "%s", lucid_error());
    lucid_optim_options o = lucid_optim_get_defaults(opt);
    if (k->momentum) o.momentum = 0.5;
    if (strcmp(k->optimizer, "Adadelta") == 0)
        o.rho = 0.5;
    else if (!k->momentum)
        o.beta1 = 0.5, o.beta2 = k->eps >= 0 ? 0.999 : 0.5;
    o.amsgrad = k->amsgrad;
    if (k->eps >= 0) o.eps = k->eps;
    cr_assert(lucid_optim_add_group(opt, &p, 1, &o), "%s", lucid_error());
    return opt;
}

/* Numbers of the state that are subnormal, and that are 0. */
static void look(lucid_optimizer *opt, double least, int64_t *subnormal, int64_t *zero)
{
    lucid_state_dict *state = lucid_optimizer_state_dict(opt);
    cr_assert(state, "%s", lucid_error());
    *subnormal = *zero = 0;
    for (size_t i = 0; i < lucid_state_dict_size(state); i++) {
        lucid_tensor *t = lucid_state_dict_at(state, i).tensor;
        if (!t || !lucid_dtype_is_floating(lucid_tensor_dtype(t)) || lucid_numel(t) < 30) continue;
        double x[64];
        cr_assert(lucid_numel(t) <= 64 && lucid_to_doubles(t, x, (size_t)lucid_numel(t)));
        for (int64_t k = 0; k < lucid_numel(t); k++) {
            *subnormal += x[k] != 0 && fabs(x[k]) < least;
            *zero += x[k] == 0;
        }
    }
    lucid_state_dict_free(state);
}

static void silent(const kind *k, lucid_dtype dtype)
{
    LUCID_SCOPE;
    const double least = dtype == LUCID_F64 ? DBL_MIN : (double)FLT_MIN;
    const int steps = dtype == LUCID_F64 ? 1200 : 200;
    int64_t subnormal, zero;
    lucid_manual_seed(1);
    lucid_tensor *p = lucid_requires_grad_(lucid_cast(lucid_randn((37)), dtype), true);
    lucid_optimizer *opt = make(k, p);
    for (int i = 0; i < steps; i++) {
        LUCID_SCOPE;
        lucid_tensor *g = lucid_cast(lucid_mul_scalar(lucid_randn((37)), i < 3 ? 1 : 0), dtype);
        cr_assert(lucid_set_grad(p, g) && lucid_step(opt), "%s", lucid_error());
        look(opt, least, &subnormal, &zero);
        cr_expect(subnormal == 0, "%s, %s, %s: %lld subnormal numbers after step %d", k->name,
                  lucid_dtype_name(dtype), lucid_cpu_level(), (long long)subnormal, i);
        if (subnormal) break;
    }
    cr_expect(k->amsgrad || zero > 0 || subnormal, "%s, %s: the moments have not become 0", k->name,
              lucid_dtype_name(dtype));
    cr_expect(isfinite(lucid_item(lucid_sum(p))));
    lucid_set_grad(p, NULL);
    lucid_optimizer_free(opt);
}

Test(moments, none_stays_subnormal, .timeout = 120)
{
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        luc_cpu_force((luc_cpu_level)level);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            silent(&kinds[k], LUCID_F32);
            silent(&kinds[k], LUCID_F64);
        }
    }
    luc_cpu_force(luc_cpu_best());
}

/* With an eps so small that the square's root is seen beside it, the square stays as it is: 0 / 0
 * would otherwise reach the weights. */
Test(moments, a_tiny_eps_keeps_the_squares, .timeout = 60)
{
    static const double epsilons[] = {0, 1e-30, 1e-12};
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        luc_cpu_force((luc_cpu_level)level);
        for (int e = 0; e < 3; e++)
            for (int which = 1; which < 4; which++) {
                LUCID_SCOPE;
                kind k = kinds[which];
                k.eps = epsilons[e];
                lucid_tensor *p = lucid_requires_grad_(lucid_ones((37)), true);
                lucid_optimizer *opt = make(&k, p);
                for (int i = 0; i < 300; i++) {
                    lucid_set_grad(p, lucid_full((37), i < 3 ? 1e-19 : 0));
                    cr_assert(lucid_step(opt));
                }
                cr_expect(isfinite(lucid_item(lucid_sum(p))), "%s, eps %g, %s", k.name, k.eps,
                          lucid_cpu_level());
                lucid_set_grad(p, NULL);
                lucid_optimizer_free(opt);
            }
    }
    luc_cpu_force(luc_cpu_best());
}

/* Parameters as they come out of float64 arithmetic by the formula, while the squares of tiny
 * gradients are subnormal: what is stored as 0 does not show. */
Test(moments, tiny_gradients_step_as_before, .timeout = 60)
{
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        luc_cpu_force((luc_cpu_level)level);
        LUCID_SCOPE;
        kind k = kinds[1];
        lucid_tensor *p = lucid_requires_grad_(lucid_zeros((37)), true);
        lucid_optimizer *opt = make(&k, p);
        double expected = 0, m = 0;
        for (int t = 1; t <= 40; t++) {
            const double g = 1e-21 * t; /* squares of 1e-42 */
            lucid_set_grad(p, lucid_full((37), g));
            cr_assert(lucid_step(opt));
            m = 0.5 * m + 0.5 * g;
            expected -= 1e-3 * (m / (1 - pow(0.5, t))) / 1e-8;
        }
        const double got = lucid_item(lucid_mean(p));
        cr_expect(fabs(got - expected) < 2e-6 * fabs(expected), "%s: expected %g, got %g",
                  lucid_cpu_level(), expected, got);
        lucid_set_grad(p, NULL);
        lucid_optimizer_free(opt);
    }
    luc_cpu_force(luc_cpu_best());
}

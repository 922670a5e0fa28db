/* Optimizer steps over lists of tensors, against PyTorch's formulas in double. */
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>

enum { PARAMS = 6 };

typedef struct {
    lucid_optim_attrs a;
    array param[PARAMS], grad[PARAMS], state[3][PARAMS];
    lucid_view views[5][PARAMS];
    bool first[PARAMS];
    int64_t step[PARAMS];
} list;

static const int64_t shapes[PARAMS][2] = {{3, 5}, {1, 1}, {40, 700}, {0, 4}, {17, 1}, {100, 333}};

static array positive(lucid_dtype dtype, const int64_t *dims, array_layout layout)
{
    array a = array_normal(dtype, 2, dims, layout, 0, 1);
    for (int64_t i = 0; i < array_numel(&a); i++) array_set(&a, i, fabs(array_get(&a, i)) + 0.01);
    return a;
}

static void fill(list *l, lucid_dtype dtype, array_layout param, array_layout grad)
{
    for (int i = 0; i < PARAMS; i++) {
        l->param[i] = array_normal(dtype, 2, shapes[i], param, 0, 1);
        l->grad[i] = array_normal(dtype, 2, shapes[i], grad, 0, 1);
        l->state[0][i] = positive(dtype, shapes[i], param);
        l->state[1][i] = positive(dtype, shapes[i], param);
        l->state[2][i] = positive(dtype, shapes[i], param);
        l->views[0][i] = l->param[i].view;
        l->views[1][i] = l->grad[i].view;
        for (int k = 0; k < 3; k++) l->views[2 + k][i] = l->state[k][i].view;
        l->first[i] = i == 2;
        l->step[i] = 1 + i;
    }
    l->a.n = PARAMS;
    l->a.param = l->views[0];
    l->a.grad = l->views[1];
    for (int k = 0; k < 3; k++) l->a.state[k] = l->views[2 + k];
    l->a.first = l->first;
    l->a.step = l->step;
}

static double gradient(const lucid_optim_attrs *a, double p, double g)
{
    if (a->maximize) g = -g;
    return a->decoupled ? g : g + a->weight_decay * p;
}

static void sgd(const lucid_optim_attrs *a, bool first, double *p, double g, double *s)
{
    g = gradient(a, *p, g);
    if (a->momentum != 0) {
        s[0] = first ? g : a->momentum * s[0] + (1 - a->dampening) * g;
        g = a->nesterov ? g + a->momentum * s[0] : s[0];
    }
    *p -= a->lr * g;
}

static void adam(const lucid_optim_attrs *a, int64_t t, double *p, double g, double *s)
{
    g = gradient(a, *p, g);
    if (a->decoupled) *p *= 1 - a->lr * a->weight_decay;
    s[0] = a->beta1 * s[0] + (1 - a->beta1) * g;
    s[1] = a->beta2 * s[1] + (1 - a->beta2) * g * g;
    if (a->amsgrad && s[1] > s[2]) s[2] = s[1];
    double v = a->amsgrad ? s[2] : s[1];
    double root = sqrt(v) / sqrt(1 - pow(a->beta2, (double)t)) + a->eps;
    *p -= a->lr / (1 - pow(a->beta1, (double)t)) * s[0] / root;
}

static void adadelta(const lucid_optim_attrs *a, double *p, double g, double *s)
{
    g = gradient(a, *p, g);
    s[0] = a->rho * s[0] + (1 - a->rho) * g * g;
    double delta = sqrt(s[1] + a->eps) / sqrt(s[0] + a->eps) * g;
    s[1] = a->rho * s[1] + (1 - a->rho) * delta * delta;
    *p -= a->lr * delta;
}

static void check(lucid_op_id op, lucid_optim_attrs attrs, lucid_dtype dtype, array_layout param,
                  array_layout grad)
{
    static list l;
    l.a = attrs;
    fill(&l, dtype, param, grad);
    array before[4][PARAMS];
    for (int i = 0; i < PARAMS; i++) {
        before[0][i] = array_as(&l.param[i], DENSE);
        for (int k = 0; k < 3; k++) before[1 + k][i] = array_as(&l.state[k][i], DENSE);
    }
    cr_assert(kernel_call(op, dtype, &l.a, NULL, 0, NULL, 0));
    double e = dtype == LUCID_F64   ? 1e-14
               : dtype == LUCID_F32 ? 1e-6
               : dtype == LUCID_F16 ? 4e-3
                                    : 3e-2;
    double worst = 0;
    for (int i = 0; i < PARAMS; i++)
        for (int64_t j = 0; j < array_numel(&l.param[i]); j++) {
            double p = array_get(&before[0][i], j), s[3], g = array_get(&l.grad[i], j);
            for (int k = 0; k < 3; k++) s[k] = array_get(&before[1 + k][i], j);
            if (op == LUCID_OP_sgd_step) sgd(&l.a, l.first[i], &p, g, s);
            if (op == LUCID_OP_adam_step) adam(&l.a, l.step[i], &p, g, s);
            if (op == LUCID_OP_adadelta_step) adadelta(&l.a, &p, g, s);
            worst = fmax(worst, fabs(p - array_get(&l.param[i], j)) / (1 + fabs(p)));
            for (int k = 0; k < 3; k++)
                worst = fmax(worst, fabs(s[k] - array_get(&l.state[k][i], j)) / (1 + fabs(s[k])));
        }
    cr_expect_leq(worst, e, "op %d dtype %d layouts %d %d: %g", (int)op, (int)dtype, (int)param,
                  (int)grad, worst);
    array_free_all();
}

static void check_everywhere(lucid_op_id op, lucid_optim_attrs attrs)
{
    static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    FOR_LEVELS
    for (int t = 0; t < 4; t++) {
        check(op, attrs, floating[t], DENSE, DENSE);
        check(op, attrs, floating[t], SHIFTED, PADDED);
        check(op, attrs, floating[t], REVERSED, DENSE);
        check(op, attrs, floating[t], REVERSED, REVERSED);
    }
}

Test(optim, sgd)
{
    for (int kind = 0; kind < 6; kind++)
        check_everywhere(LUCID_OP_sgd_step,
                         (lucid_optim_attrs){.lr = 0.1,
                                             .momentum = kind ? 0.9 : 0,
                                             .dampening = kind == 2 ? 0.5 : 0,
                                             .nesterov = kind == 3,
                                             .weight_decay = kind == 4 ? 0.01 : 0,
                                             .maximize = kind == 5});
}

Test(optim, adam)
{
    for (int kind = 0; kind < 5; kind++)
        check_everywhere(LUCID_OP_adam_step, (lucid_optim_attrs){.lr = 0.01,
                                                                 .beta1 = kind == 4 ? 0.4 : 0.9,
                                                                 .beta2 = 0.999,
                                                                 .eps = 1e-3,
                                                                 .weight_decay = kind ? 0.01 : 0,
                                                                 .decoupled = kind == 2,
                                                                 .amsgrad = kind == 3,
                                                                 .maximize = kind == 4});
}

Test(optim, adadelta)
{
    for (int kind = 0; kind < 3; kind++)
        check_everywhere(LUCID_OP_adadelta_step,
                         (lucid_optim_attrs){.lr = 0.5,
                                             .rho = 0.9,
                                             .eps = 1e-3,
                                             .weight_decay = kind == 1 ? 0.01 : 0,
                                             .maximize = kind == 2});
}

Test(optim, sum_of_squares)
{
    static list l;
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++) {
        fill(&l, LUCID_F32, (array_layout)layout, (array_layout)layout);
        long double truth = 0;
        for (int i = 0; i < PARAMS; i++)
            for (int64_t j = 0; j < array_numel(&l.grad[i]); j++) {
                long double g = array_get(&l.grad[i], j);
                truth += g * g;
            }
        lucid_list_attrs attrs = {PARAMS, l.views[1]};
        array sum = array_new(LUCID_F64, 0, NULL, DENSE), first = sum;
        for (int threads = 1; threads <= 3; threads++) {
            luc_set_num_threads(threads);
            cr_assert(kernel_call(LUCID_OP_sum_squares, LUCID_F64, &attrs, NULL, 0,
                                  (array *[]){&sum}, 1));
            if (threads == 1) first = array_as(&sum, DENSE);
            cr_expect(array_same(&first, &sum));
        }
        cr_expect_leq(fabs((double)(array_get(&sum, 0) / truth - 1)), 1e-13);
        luc_set_num_threads(0);
        array_free_all();
    }
}

/* Every element times 1/scale, rounded once; `found` says whether one was no number. */
static void check_unscale(lucid_dtype dtype, array_layout layout, double bad, int64_t where)
{
    static list l;
    fill(&l, dtype, DENSE, layout);
    if (where >= 0) array_set(&l.grad[5], where, bad);
    double factor = (double)(float)(1 / 24.0);
    array scale = array_new(LUCID_F32, 0, NULL, DENSE), found = scale, before[PARAMS];
    found = array_as(&scale, DENSE);
    array_set(&scale, 0, 24);
    array_set(&found, 0, 0);
    for (int i = 0; i < PARAMS; i++) before[i] = array_as(&l.grad[i], DENSE);
    lucid_list_attrs attrs = {PARAMS, l.views[1]};
    cr_assert(kernel_call(LUCID_OP_unscale, dtype, &attrs, (array *[]){&scale}, 1,
                          (array *[]){&found}, 1));
    cr_expect(array_get(&found, 0) == (where >= 0), "dtype %d layout %d at %lld", (int)dtype,
              (int)layout, (long long)where);
    for (int i = 0; i < PARAMS; i++) {
        array want = array_new(dtype, 2, shapes[i], DENSE);
        for (int64_t k = 0; k < array_numel(&want); k++)
            array_set(&want, k,
                      dtype == LUCID_F64
                          ? array_get(&before[i], k) * factor
                          : (double)((float)array_get(&before[i], k) * (float)factor));
        cr_expect(array_same(&want, &l.grad[i]), "dtype %d layout %d tensor %d", (int)dtype,
                  (int)layout, i);
        cr_expect(array_gaps_intact(&l.grad[i]));
    }
    array_free_all();
}

Test(optim, unscale)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    FOR_LEVELS
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int layout = 0; layout < LAYOUTS; layout++) {
            check_unscale((lucid_dtype)dtype, (array_layout)layout, 0, -1);
            for (int64_t k = 0; k < 3; k++) /* the first, the middle, the very last */
                check_unscale((lucid_dtype)dtype, (array_layout)layout, bad[k],
                              k == 2 ? 100 * 333 - 1 : k * 16001);
        }
}

/* What was found before stays found. */
Test(optim, unscale_keeps_what_was_found)
{
    array scale = array_new(LUCID_F32, 0, NULL, DENSE), found = array_as(&scale, DENSE);
    array_set(&scale, 0, 2);
    array_set(&found, 0, 1);
    array x = array_normal(LUCID_F32, 1, (int64_t[]){5}, DENSE, 0, 1);
    lucid_list_attrs attrs = {1, &x.view}, none = {0, NULL};
    cr_assert(kernel_call(LUCID_OP_unscale, LUCID_F32, &attrs, (array *[]){&scale}, 1,
                          (array *[]){&found}, 1));
    cr_assert(kernel_call(LUCID_OP_unscale, LUCID_F32, &none, (array *[]){&scale}, 1,
                          (array *[]){&found}, 1));
    cr_expect(array_get(&found, 0) == 1);
    array_free_all();
}

/* The result counts, not the gradient: a finite one that overflows when it is divided by a small
 * scale is found, and with a scale of 0 everything is. */
Test(optim, unscale_finds_what_overflows)
{
    static const double largest[] = {3e38, 1e308, 6e4, 3e38};
    FOR_LEVELS
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int k = 0; k < 3; k++) {
            array scale = array_new(LUCID_F32, 0, NULL, DENSE), found = array_as(&scale, DENSE);
            array_set(&scale, 0, k == 0 ? 1 : k == 1 ? 0.5 : 0);
            array_set(&found, 0, 0);
            array x = array_new((lucid_dtype)dtype, 1, (int64_t[]){37}, DENSE);
            for (int64_t i = 0; i < 37; i++) array_set(&x, i, 0);
            if (k < 2) array_set(&x, 35, largest[dtype - LUCID_F32]);
            lucid_list_attrs attrs = {1, &x.view};
            cr_assert(kernel_call(LUCID_OP_unscale, (lucid_dtype)dtype, &attrs, (array *[]){&scale},
                                  1, (array *[]){&found}, 1));
            cr_expect(array_get(&found, 0) == (k > 0), "%s: case %d",
                      lucid_dtype_name((lucid_dtype)dtype), k);
            array_free_all();
        }
}

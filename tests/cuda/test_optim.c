/* Optimizer steps and sums of squares on the device against the CPU's: more tensors than one launch
 * takes, empty ones, odd sizes, layouts that differ, unaligned memory. */
#include "device_call.h"

#include <float.h>

CUDA_SUITE(optim);

enum { PARAMS = 130, LISTS = 5 };

/* The parameters, gradients and states of one side. */
typedef struct lists {
    lucid_optim_attrs a;
    array array[LISTS][PARAMS];
    lucid_view view[LISTS][PARAMS];
    bool first[PARAMS];
    int64_t step[PARAMS];
} lists;

static void fill(lists *l, int n, lucid_dtype dtype, array_layout param, array_layout grad)
{
    array_state = 88172645463325252u;
    for (int i = 0; i < n; i++) {
        int64_t dims[] = {i % 7 == 6 ? 0 : 1 + i % 5, 1 + (i * 37) % 50};
        if (i == 3) dims[1] = 3001;
        for (int k = 0; k < LISTS; k++) {
            l->array[k][i] = array_normal(dtype, 2, dims, k == 1 ? grad : param, 0, 1);
            array *a = &l->array[k][i];
            for (int64_t j = 0; k > 1 && j < array_numel(a); j++)
                array_set(a, j, fabs(array_get(a, j)) + 0.01);
            l->view[k][i] = a->view;
        }
        l->first[i] = i == 2;
        l->step[i] = 1 + i * i;
    }
    l->a.n = n;
    l->a.param = l->view[0];
    l->a.grad = l->view[1];
    for (int k = 0; k < 3; k++) l->a.state[k] = l->view[2 + k];
    l->a.first = l->first;
    l->a.step = l->step;
}

static bool step_there(lucid_op_id op, lucid_dtype dtype, lists *l)
{
    int n = (int)l->a.n;
    for (int k = 0; k < LISTS; k++)
        for (int i = 0; i < n; i++) l->view[k][i] = device_put(&l->array[k][i]);
    lucid_kernel_args args = {.op = op, .attrs = &l->a};
    bool ok = device_run(dtype, &args);
    for (int k = 0; k < LISTS; k++)
        for (int i = 0; i < n; i++) {
            device_get(&l->array[k][i], &l->view[k][i]);
            device_drop(&l->array[k][i], &l->view[k][i]);
        }
    return ok;
}

static void compare(lucid_op_id op, lucid_dtype dtype, const lucid_optim_attrs *settings, int n,
                    array_layout param, array_layout grad)
{
    static lists here, there;
    here.a = there.a = *settings;
    fill(&here, n, dtype, param, grad);
    fill(&there, n, dtype, param, grad);
    if (settings->live) { /* the CPU is told what the cells say: see `captured` */
        there.a.lr = 77;
        for (int i = 0; i < n; i++) there.step[i] -= 3;
    }
    here.a.live = NULL;
    lucid_kernel_args args = {.op = op, .attrs = &here.a};
    cr_assert(luc_cpu_backend()->kernels[op][dtype].run(&args));
    cr_assert(step_there(op, dtype, &there), "%s", lucid_error());
    /* One rounding of the numbers that the step is made of. */
    static const double eps[] = {4e-7, 1e-14, 2e-3, 2e-2};
    for (int k = 0; k < LISTS; k++)
        for (int i = 0; i < n; i++) {
            const array *got = &there.array[k][i];
            double d = device_distance(got, &here.array[k][i], eps[dtype], eps[dtype]);
            cr_expect(d <= 1, "op %d, %s, layouts %d and %d: list %d, tensor %d is off by %g",
                      (int)op, lucid_dtype_name(dtype), (int)param, (int)grad, k, i, d);
            cr_expect(array_gaps_intact(got), "op %d: tensor %d", (int)op, i);
        }
    array_free_all();
}

static const array_layout layouts[][2] = {
    {DENSE, DENSE},   {REVERSED, REVERSED}, {DENSE, REVERSED},
    {PADDED, PADDED}, {SHIFTED, SHIFTED},   {DENSE, SHIFTED},
};

static void everywhere(lucid_op_id op, const lucid_optim_attrs *settings)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
            compare(op, (lucid_dtype)dtype, settings, 9, layouts[i][0], layouts[i][1]);
        compare(op, (lucid_dtype)dtype, settings, PARAMS, DENSE, DENSE);
        compare(op, (lucid_dtype)dtype, settings, 0, DENSE, DENSE);
    }
}

Test(optim, sgd)
{
    const lucid_optim_attrs plain = {.lr = 0.1}, decay = {.lr = 0.1, .weight_decay = 0.05};
    const lucid_optim_attrs momentum = {.lr = 0.1, .momentum = 0.9, .dampening = 0.2};
    const lucid_optim_attrs all = {
        .lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true, .maximize = true};
    everywhere(LUCID_OP_sgd_step, &plain);
    everywhere(LUCID_OP_sgd_step, &decay);
    everywhere(LUCID_OP_sgd_step, &momentum);
    everywhere(LUCID_OP_sgd_step, &all);
}

static const lucid_optim_attrs adam = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

Test(optim, adam)
{
    lucid_optim_attrs a = adam;
    everywhere(LUCID_OP_adam_step, &a);
    a.beta1 = 0.3; /* the mean is nearer to the gradient than to itself */
    a.amsgrad = a.maximize = true;
    a.weight_decay = 0.02;
    everywhere(LUCID_OP_adam_step, &a);
    a.decoupled = true;
    everywhere(LUCID_OP_adam_step, &a);
}

Test(optim, adadelta)
{
    const lucid_optim_attrs a = {.lr = 1, .rho = 0.9, .eps = 1e-6};
    const lucid_optim_attrs decay = {.lr = 0.3, .rho = 0.95, .eps = 1e-6, .weight_decay = 0.1};
    everywhere(LUCID_OP_adadelta_step, &a);
    everywhere(LUCID_OP_adadelta_step, &decay);
}

/* In a captured step the learning rate and what is added to the steps come from the device. */
Test(optim, captured)
{
    const lucid_backend *b = device_backend();
    const double lr = 0.02;
    int64_t more = 3;
    uint64_t cells[2], *live = b->alloc(0, sizeof cells);
    memcpy(&cells[0], &lr, 8);
    memcpy(&cells[1], &more, 8);
    cr_assert(b->copy(live, lucid_cuda(0), cells, lucid_cpu(), sizeof cells));
    lucid_optim_attrs a = adam;
    a.lr = lr;
    a.live = live;
    a.weight_decay = 0.1;
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        a.decoupled = decoupled;
        compare(LUCID_OP_adam_step, LUCID_F32, &a, 3, DENSE, DENSE);
        compare(LUCID_OP_adam_step, LUCID_F64, &a, 3, DENSE, REVERSED);
    }
    a.momentum = 0.9;
    compare(LUCID_OP_sgd_step, LUCID_F32, &a, 5, DENSE, DENSE);
    b->free(0, live, sizeof cells);
}

/* Moments around the smallest normal number, of gradients that have become 0: what is smaller is
 * stored as 0 on both sides, or, where eps is tiny, on neither; the same bits. */
static void compare_small(lucid_op_id op, lucid_dtype dtype, const lucid_optim_attrs *settings,
                          bool flushed)
{
    enum { N = 9 };
    static lists here, there;
    const double least = dtype == LUCID_F64 ? DBL_MIN : (double)FLT_MIN;
    lists *sides[] = {&here, &there};
    for (int side = 0; side < 2; side++) {
        lists *l = sides[side];
        l->a = *settings;
        fill(l, N, dtype, DENSE, DENSE);
        for (int i = 0; i < N; i++)
            for (int64_t j = 0; j < array_numel(&l->array[0][i]); j++) {
                array_set(&l->array[1][i], j, 0);
                for (int k = 2; k < LISTS; k++)
                    array_set(&l->array[k][i], j, array_get(&l->array[k][i], j) * least);
            }
    }
    lucid_kernel_args args = {.op = op, .attrs = &here.a};
    cr_assert(luc_cpu_backend()->kernels[op][dtype].run(&args));
    cr_assert(step_there(op, dtype, &there), "%s", lucid_error());
    int subnormal = 0, states = op == LUCID_OP_sgd_step ? 1 : settings->amsgrad ? 3 : 2;
    for (int k = 0; k < 2 + states; k++)
        for (int i = 0; i < N; i++) {
            if (dtype == LUCID_F32)
                cr_expect(array_same(&there.array[k][i], &here.array[k][i]),
                          "op %d: list %d, tensor %d differs", (int)op, k, i);
            for (int64_t j = 0; k > 1 && j < array_numel(&there.array[k][i]); j++) {
                const double x = array_get(&there.array[k][i], j);
                subnormal += x != 0 && fabs(x) < least;
            }
        }
    cr_expect((subnormal == 0) == flushed, "op %d, %s: %d subnormal numbers", (int)op,
              lucid_dtype_name(dtype), subnormal);
    array_free_all();
}

Test(optim, small_moments)
{
    const lucid_optim_attrs sgd = {.lr = 0.1, .momentum = 0.5}, delta = {.rho = 0.5, .eps = 1e-6};
    lucid_optim_attrs squares = {.lr = 0.1, .beta1 = 0.5, .beta2 = 0.5, .eps = 1e-8};
    for (int dtype = LUCID_F32; dtype <= LUCID_F64; dtype++) {
        compare_small(LUCID_OP_sgd_step, (lucid_dtype)dtype, &sgd, true);
        compare_small(LUCID_OP_adadelta_step, (lucid_dtype)dtype, &delta, true);
        for (int amsgrad = 0; amsgrad < 2; amsgrad++) {
            squares.amsgrad = amsgrad;
            squares.eps = 1e-8;
            compare_small(LUCID_OP_adam_step, (lucid_dtype)dtype, &squares, true);
            squares.eps = 0;
            compare_small(LUCID_OP_adam_step, (lucid_dtype)dtype, &squares, false);
        }
    }
}

static void squares(lucid_dtype dtype, int n, array_layout layout)
{
    static array tensors[2 * PARAMS];
    static lucid_view here[2 * PARAMS], there[2 * PARAMS];
    lucid_list_attrs list = {.n = n, .views = here};
    for (int i = 0; i < n; i++) {
        int64_t dims[] = {i % 7 == 6 ? 0 : 1 + i % 5, i == 4 ? 5003 : 1 + (i * 37) % 50};
        tensors[i] = array_normal(dtype, 2, dims, i % 3 == 2 ? layout : DENSE, 0, 1);
        here[i] = tensors[i].view;
        there[i] = device_put(&tensors[i]);
    }
    array want = array_new(LUCID_F64, 0, NULL, DENSE), *w = &want;
    array got = array_new(LUCID_F64, 0, NULL, DENSE), again = got;
    cr_assert(kernel_call(LUCID_OP_sum_squares, dtype, &list, NULL, 0, &w, 1));
    list.views = there;
    array *g = &got, *h = &again;
    again = array_new(LUCID_F64, 0, NULL, DENSE);
    cr_assert(device_call(LUCID_OP_sum_squares, dtype, &list, NULL, 0, &g, 1));
    cr_assert(device_call(LUCID_OP_sum_squares, dtype, &list, NULL, 0, &h, 1));
    cr_expect(device_distance(&got, &want, 0, 1e-13) <= 1, "%s, %d tensors: %.17g, expected %.17g",
              lucid_dtype_name(dtype), n, array_get(&got, 0), array_get(&want, 0));
    cr_expect(array_same(&got, &again));
    for (int i = 0; i < n; i++) device_drop(&tensors[i], &there[i]);
    array_free_all();
}

Test(optim, sum_squares)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int layout = 0; layout < LAYOUTS; layout++) {
            squares((lucid_dtype)dtype, 0, (array_layout)layout);
            squares((lucid_dtype)dtype, 9, (array_layout)layout);
            squares((lucid_dtype)dtype, 2 * PARAMS, (array_layout)layout);
        }
}

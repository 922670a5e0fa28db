/* test_state.c: an operator's state lives as long as the recorded graph needs it, and no longer. */
#include "own_ops.h"

#include "lucid/lucid.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the operator of this file carries: a factor. */
typedef struct factor {
    atomic_int refs;
    double value;
} factor;
typedef struct factor_attrs {
    factor *state;
} factor_attrs;

static atomic_int living, retained;

static factor *factor_new(double value)
{
    factor *f = malloc(sizeof *f);
    cr_assert(f);
    atomic_init(&f->refs, 1);
    f->value = value;
    atomic_fetch_add(&living, 1);
    return f;
}
static void factor_retain(void *state)
{
    atomic_fetch_add(&((factor *)state)->refs, 1);
    atomic_fetch_add(&retained, 1);
}
static void factor_release(void *state)
{
    factor *f = state;
    if (atomic_fetch_sub(&f->refs, 1) != 1) return;
    f->value = NAN; /* who uses it now will be seen */
    free(f);
    atomic_fetch_sub(&living, 1);
}

static bool scale_kernel(const lucid_kernel_args *args)
{
    const factor_attrs *a = args->attrs;
    const lucid_view *x = args->in[0], *y = args->out[0];
    for (int64_t i = 0; i < x->dims[0]; i++) own_set(y, i, a->state->value * own_get(x, i));
    return true;
}
static bool scale_vjp(lucid_vjp *v)
{
    const factor *f = v->state;
    if (!f) return lucid_raise(LUCID_ERR_STATE, "scale", "no state");
    v->grad_in[0] = lucid_mul_scalar(v->grad_out[0], f->value);
    return v->grad_in[0] != NULL;
}
static const lucid_op scale_op = {
    .name = "scale",
    .schema = "x",
    .id = LUCID_OP_CUSTOM,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(factor_attrs),
    .kernel = scale_kernel,
    .vjp = scale_vjp,
    .state_retain = factor_retain,
    .state_release = factor_release,
};

/* The caller's own reference ends here, as it would in a program. */
static lucid_tensor *scale(lucid_tensor *x, double value)
{
    const factor_attrs attrs = {factor_new(value)};
    lucid_tensor *y = lucid_apply(&scale_op, &x, 1, &attrs);
    factor_release(attrs.state);
    return y;
}

static lucid_tensor *leaf(void)
{
    return lucid_ones((3), .requires_grad = true);
}

Test(state, lives_until_backward_has_released_the_graph)
{
    LUCID_SCOPE;
    lucid_tensor *x = leaf(), *y = lucid_sum(scale(scale(x, 2), 3));
    cr_expect_eq(living, 2);
    cr_assert(lucid_backward(y), "%s", lucid_error());
    cr_expect_eq(living, 0, "the scope still holds the results");
    cr_expect_eq(((const float *)lucid_data(lucid_tensor_grad(x)))[1], 6);
}

Test(state, a_second_backward_is_refused)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *y = lucid_sum(scale(leaf(), 2));
    cr_assert(lucid_backward(y, .retain_graph = true));
    cr_expect_eq(living, 1);
    cr_assert(lucid_backward(y));
    cr_expect_eq(living, 0);
    EXPECT_ERROR(lucid_backward(y), LUCID_ERR_STATE,
                 "scale: the graph was released by an earlier backward");
}

Test(state, is_freed_with_a_graph_that_no_backward_runs_through)
{
    {
        LUCID_SCOPE;
        lucid_tensor *y = leaf();
        for (int i = 0; i < 100000; i++) y = scale(y, 1); /* freed without recursion */
        cr_expect_eq(living, 100000);
    }
    cr_expect_eq(living, 0);
    cr_expect_eq(lucid_live().nodes, 0);
}

Test(state, is_not_taken_where_nothing_is_recorded)
{
    LUCID_SCOPE;
    cr_assert(scale(lucid_ones((3)), 2));
    {
        LUCID_NO_GRAD;
        cr_assert(scale(leaf(), 2));
    }
    cr_expect_eq(retained, 0);
    cr_expect_eq(living, 0);
}

Test(state, in_place_and_on_a_view)
{
    {
        LUCID_SCOPE;
        lucid_tensor *x = leaf(), *y = lucid_mul_scalar(x, 1);
        lucid_tensor *half = lucid_narrow(y, 0, 0, 2);
        const factor_attrs attrs = {factor_new(5)};
        cr_assert(lucid_apply_inplace(&scale_op, &half, 1, &attrs), "%s", lucid_error());
        factor_release(attrs.state);
        cr_expect_eq(living, 1);
        cr_assert(lucid_backward(lucid_sum(y)), "%s", lucid_error());
        cr_expect_eq(living, 0);
        const float *g = lucid_data(lucid_tensor_grad(x));
        cr_expect(g[0] == 5 && g[1] == 5 && g[2] == 1);
    }
    cr_expect_eq(living, 0);
}

Test(state, an_operator_that_cannot_hold_it_is_refused)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_op bad = scale_op;
    bad.state_release = NULL;
    const factor_attrs attrs = {factor_new(2)};
    lucid_tensor *x = leaf();
    EXPECT_ERROR(lucid_apply(&bad, &x, 1, &attrs), LUCID_ERR_ARGUMENT, "state_retain: expected");
    factor_release(attrs.state);
    cr_expect_eq(living, 0);
    cr_expect_eq(lucid_live().nodes, 0);
}

/* Several threads walk one graph; each run of the vjp holds the state that another may release. */
static lucid_tensor *shared_root;
static atomic_int wrong;

static void *walk(void *unused)
{
    LUCID_SCOPE;
    lucid_tensor *x = shared_root, *y = lucid_sum(shared_root), *g = NULL;
    (void)unused;
    if (!lucid_grad(&y, 1, &x, 1, &g, .retain_graph = true)) atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void *walk_to_leaf(void *x_)
{
    LUCID_SCOPE;
    lucid_tensor *x = x_, *g = NULL;
    /* Without retain_graph: the first one releases it, the others are refused or get it whole. */
    bool ok = lucid_grad(&shared_root, 1, &x, 1, &g);
    if (ok && ((const float *)lucid_data(g))[0] != 6) atomic_fetch_add(&wrong, 1);
    if (!ok && lucid_error_code() != LUCID_ERR_STATE) atomic_fetch_add(&wrong, 1);
    lucid_clear_error();
    return NULL;
}

Test(state, threads_walk_one_graph, .timeout = 60)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int round = 0; round < 200; round++) {
        LUCID_SCOPE;
        pthread_t thread[4];
        lucid_tensor *x = lucid_ones((1), .requires_grad = true);
        shared_root = scale(scale(x, 2), 3);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(pthread_create(&thread[i], NULL, i ? walk_to_leaf : walk, x), 0);
        for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    }
    cr_expect_eq(wrong, 0);
    cr_expect_eq(living, 0);
}

/* test_backward.c: gradients, from one multiplication to third derivatives. */
#include "autograd/ops.h"
#include "own_ops.h"

#include <pthread.h>

TestSuite(backward, .init = own_setup, .fini = own_teardown);

Test(backward, square)
{
    lucid_tensor *x = OWN_LEAF((1), 3);
    cr_expect(lucid_backward(own_square(x)));
    OWN_GRAD(x, 6);
}

Test(backward, gradient_argument)
{
    lucid_tensor *x = OWN_LEAF((3), 1, 2, 3);
    lucid_tensor *g = OWN_DATA((3), 1, 10, 100);
    cr_expect(lucid_backward(own_square(x), .gradient = g));
    OWN_GRAD(x, 2, 40, 600);
    OWN_EXPECT(g, 1, 10, 100);
}

Test(backward, broadcast_is_summed)
{
    lucid_tensor *a = OWN_LEAF((2, 3), 1, 2, 3, 4, 5, 6);
    lucid_tensor *b = OWN_LEAF((3), 1, 10, 100);
    lucid_tensor *c = OWN_LEAF((2, 1), 2, 3);
    lucid_tensor *y = own_mul(own_mul(a, b), c);
    cr_expect(lucid_backward(y, .gradient = OWN_DATA((2, 3), 1, 1, 1, 1, 1, 1)));
    OWN_GRAD(a, 2, 20, 200, 3, 30, 300);
    OWN_GRAD(b, 14, 19, 24);
    OWN_GRAD(c, 321, 654);
}

/* Adding up: in a diamond, over several backwards, for a tensor used twice. */
Test(backward, diamond)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3);
    lucid_tensor *a = own_square(x), *b = own_double(x);
    lucid_tensor *y = own_mul(own_add(a, b), own_add(b, x)); /* (x^2 + 2x) * 3x */
    cr_expect(lucid_backward(y, .gradient = OWN_DATA((2), 1, 1)));
    OWN_GRAD(x, 60, 117); /* 9x^2 + 12x */
}

Test(backward, accumulates)
{
    lucid_tensor *x = OWN_LEAF((1), 3);
    cr_expect(lucid_backward(own_square(x)));
    lucid_tensor *grad = lucid_retain(lucid_tensor_grad(x));
    cr_expect(lucid_backward(own_square(x)));
    OWN_GRAD(x, 12);
    cr_expect_eq(lucid_tensor_grad(x), grad, "the gradient grows in place");
    lucid_release(grad);
    cr_expect(lucid_set_grad(x, NULL));
    cr_expect_null(lucid_tensor_grad(x));
    cr_expect(lucid_backward(own_square(x)));
    OWN_GRAD(x, 6);
}

Test(backward, leaf_is_root)
{
    lucid_tensor *x = OWN_LEAF((2), 3, 4), *g = OWN_DATA((2), 5, 6);
    cr_expect(lucid_backward(x, .gradient = g));
    OWN_GRAD(x, 5, 6);
    cr_expect_neq(lucid_tensor_grad(x), g, "the caller's gradient is copied");
    cr_expect(lucid_backward(x, .gradient = g));
    OWN_EXPECT(g, 5, 6);
}

/* Two leaves that get the same gradient do not share its memory. */
Test(backward, gradients_do_not_share_memory)
{
    lucid_tensor *a = OWN_LEAF((2), 1, 2), *b = OWN_LEAF((2), 3, 4);
    cr_expect(lucid_backward(own_add(a, b), .gradient = OWN_DATA((2), 1, 1)));
    cr_expect_not(lucid_shares_storage(lucid_tensor_grad(a), lucid_tensor_grad(b)));
}

Test(backward, several_and_duplicate_roots)
{
    lucid_tensor *x = OWN_LEAF((1), 3);
    lucid_tensor *a = own_square(x), *b = own_double(a); /* b depends on a */
    cr_expect(lucid_backward_multi((lucid_tensor *[]){a, b, a}, NULL, 3, NULL));
    OWN_GRAD(x, 24); /* 6 + 12 + 6 */
    lucid_set_grad(x, NULL);
    lucid_tensor *y = own_square(x);
    cr_expect(lucid_backward_multi((lucid_tensor *[]){y, y},
                                   (lucid_tensor *[]){OWN_DATA((1), 2), NULL}, 2, NULL));
    OWN_GRAD(x, 18);
}

Test(backward, many_roots)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *roots[9];
    for (int i = 0; i < 9; i++) roots[i] = own_square(x);
    cr_expect(lucid_backward_multi(roots, NULL, 9, NULL));
    OWN_GRAD(x, 54);
}

Test(backward, only_into_inputs)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *w = OWN_LEAF((1), 4);
    lucid_tensor *h = own_square(x), *y = own_mul(h, w);
    cr_expect(
        lucid_backward(y, .inputs = (lucid_tensor *[]){x}, .n_inputs = 1, .retain_graph = true));
    OWN_GRAD(x, 24);
    cr_expect_null(lucid_tensor_grad(w));
    /* A result that is named keeps its gradient; the gradients before it in the graph do not
     * change. */
    lucid_set_grad(x, NULL);
    cr_expect(lucid_backward(y, .inputs = (lucid_tensor *[]){h}, .n_inputs = 1));
    OWN_GRAD(h, 4);
    cr_expect_null(lucid_tensor_grad(x));
    cr_expect_null(lucid_tensor_grad(w));
}

/* ---- retained and released graphs ---- */

Test(backward, retain_graph)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y = own_square(x);
    for (int i = 0; i < 3; i++) cr_expect(lucid_backward(y, .retain_graph = true));
    OWN_GRAD(x, 18);
    cr_expect(lucid_backward(y));
    cr_expect_not(lucid_backward(y));
    OWN_EXPECT_ERROR("own_square: the graph was released by an earlier backward; give that one "
                     ".retain_graph = true to go through it again");
    OWN_GRAD(x, 24);
}

/* As in PyTorch: a node that saves nothing has nothing to release. */
Test(backward, twice_without_saved_tensors)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y = own_double(own_add(x, x));
    cr_expect(lucid_backward(y));
    cr_expect(lucid_backward(y));
    OWN_GRAD(x, 8);
}

Test(backward, saved_memory_goes_as_backward_runs)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y;
    {
        LUCID_SCOPE;
        y = own_square(own_square(own_square(x)));
        lucid_retain(y);
    }
    cr_expect_eq(lucid_live().storages, 4); /* x, two that are saved, y */
    cr_expect(lucid_backward(y));
    cr_expect_eq(lucid_live().storages, 3); /* x, its gradient, y */
    lucid_release(y);
    cr_expect_eq(lucid_live().nodes, 0);
}

/* ---- grad ---- */

Test(backward, grad_of_leaves_and_results)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *w = OWN_LEAF((1), 4);
    lucid_tensor *h = own_square(x), *y = own_mul(h, w), *g[3];
    cr_expect(lucid_grad((&(lucid_tensor *){y}), 1, ((lucid_tensor *[]){x, h, w}), 3, g));
    OWN_EXPECT(g[0], 24);
    OWN_EXPECT(g[1], 4);
    OWN_EXPECT(g[2], 9);
    cr_expect_null(lucid_tensor_grad(x));
    cr_expect_null(lucid_tensor_grad(h));
    cr_expect_not(lucid_requires_grad(g[0]));
}

Test(backward, grad_of_the_output_itself)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y = own_square(x), *g[2];
    cr_expect(lucid_grad(&y, 1, ((lucid_tensor *[]){y, y}), 2, g));
    OWN_EXPECT(g[0], 1);
    OWN_EXPECT(g[1], 1);
}

Test(backward, grad_unused)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *w = OWN_LEAF((1), 4), *y = own_square(x), *g[2];
    lucid_tensor *inputs[] = {x, w};
    cr_expect_not(lucid_grad(&y, 1, inputs, 2, g, .retain_graph = true));
    cr_expect_null(g[0]);
    OWN_EXPECT_ERROR(
        "grad: inputs[1]: the outputs do not depend on it; .allow_unused = true gives NULL for it");
    cr_expect(lucid_grad(&y, 1, inputs, 2, g, .allow_unused = true));
    OWN_EXPECT(g[0], 6);
    cr_expect_null(g[1]);
}

Test(backward, grad_with_gradients)
{
    lucid_tensor *x = OWN_LEAF((2), 3, 4), *y[2] = {own_square(x), own_double(x)}, *g;
    lucid_tensor *ones = OWN_DATA((2), 1, 1), *v = OWN_DATA((2), 10, 100);
    lucid_tensor *gradients[] = {v, ones};
    cr_expect(lucid_grad(y, 2, &x, 1, &g, .gradients = gradients));
    OWN_EXPECT(g, 62, 802);
}

/* ---- higher derivatives ---- */

Test(backward, third_derivative)
{
    lucid_tensor *x = OWN_LEAF((1), 2), *y = own_square(own_square(x)), *g1, *g2, *g3; /* x^4 */
    cr_expect(lucid_grad(&y, 1, &x, 1, &g1, .create_graph = true));
    OWN_EXPECT(g1, 32);
    cr_expect(lucid_grad(&g1, 1, &x, 1, &g2, .create_graph = true));
    OWN_EXPECT(g2, 48);
    cr_expect(lucid_grad(&g2, 1, &x, 1, &g3));
    OWN_EXPECT(g3, 48);
    cr_expect_not(lucid_requires_grad(g3));
}

Test(backward, create_graph_into_leaves)
{
    lucid_tensor *x = OWN_LEAF((1), 2), *y = own_mul(own_square(x), x); /* x^3 */
    cr_expect(lucid_backward(y, .create_graph = true));
    OWN_GRAD(x, 12);
    lucid_tensor *g = lucid_scope_return(lucid_retain(lucid_tensor_grad(x)));
    cr_expect(lucid_requires_grad(g));
    lucid_set_grad(x, NULL);
    cr_expect(lucid_backward(g));
    OWN_GRAD(x, 12); /* 6x */
    lucid_release(g);
    lucid_set_grad(x, NULL);
}

Test(backward, float32_too)
{
    lucid_tensor *x = lucid_requires_grad_(lucid_values((2, 2), 1, 2, 3, 4), true);
    cr_expect(lucid_backward(own_square(x), .gradient = lucid_ones((2, 2))));
    OWN_GRAD(x, 2, 4, 6, 8);
    cr_expect_eq(lucid_tensor_dtype(lucid_tensor_grad(x)), LUCID_F32);
}

/* The gradient of a dense leaf has the leaf's own layout. */
Test(backward, layout_follows_the_leaf)
{
    lucid_tensor *x =
        lucid_ones((2, 3, 4, 5), .memory_format = LUCID_CHANNELS_LAST, .requires_grad = true);
    cr_expect(lucid_backward(own_double(x), .gradient = lucid_ones((2, 3, 4, 5))));
    cr_expect(lucid_is_contiguous(lucid_tensor_grad(x), LUCID_CHANNELS_LAST));
    cr_expect(lucid_backward(x, .gradient = lucid_ones((2, 3, 4, 5))));
    cr_expect(lucid_allclose(lucid_tensor_grad(x), lucid_full((2, 3, 4, 5), 3), 0, 0, false));
}

/* ---- refusals ---- */

Test(backward, refusals)
{
    lucid_tensor *x = OWN_LEAF((2), 1, 2), *plain = OWN_DATA((2), 1, 2);
    cr_expect_not(lucid_backward(own_square(x)));
    OWN_EXPECT_ERROR("backward: gradient: a root of shape [2] needs one: only a one-element root "
                     "does not");
    cr_expect_not(lucid_backward(own_square(plain), .gradient = plain));
    OWN_EXPECT_ERROR("backward: root: expected a tensor that requires a gradient, got one that "
                     "does not");
    cr_expect_not(lucid_backward(own_square(x), .gradient = OWN_DATA((3), 1, 2, 3)));
    OWN_EXPECT_ERROR("backward: gradient: expected [2] float64 on cpu, got [3] float64 on cpu");
    cr_expect_not(lucid_backward(own_square(x), .gradient = lucid_ones((2))));
    OWN_EXPECT_ERROR("backward: gradient: expected [2] float64 on cpu, got [2] float32 on cpu");
    lucid_tensor *g;
    cr_expect_not(lucid_grad(&x, 1, &plain, 1, &g));
    OWN_EXPECT_ERROR("grad: inputs[0]: expected a tensor that requires a gradient, got one that "
                     "does not");
    cr_expect_not(lucid_backward(x, .gradient = plain, .inputs = &x, .n_inputs = 0));
    OWN_EXPECT_ERROR("backward: inputs: expected at least 1, got 0");
    cr_expect_not(lucid_backward(NULL));
    OWN_EXPECT_ERROR("backward: root: expected a tensor, got NULL");
    cr_expect_null(lucid_tensor_grad(x));
}

static bool raising_vjp(lucid_vjp *v)
{
    return lucid_raise(LUCID_ERR_STATE, v->op->name, "refuses");
}
static bool silent_vjp(lucid_vjp *v)
{
    (void)v;
    return false;
}
static bool wrong_shape_vjp(lucid_vjp *v)
{
    (void)v;
    v->grad_in[0] = lucid_zeros((7));
    return true;
}
static bool forgetful_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_saved_input(v, 0);
    return true;
}
/* An operation inside fails; the NULL it gives is passed on as if it were a zero. */
static bool careless_vjp(lucid_vjp *v)
{
    v->grad_in[0] = own_add(v->grad_out[0], lucid_zeros((2, 5), .dtype = LUCID_F64));
    return true;
}

Test(backward, errors_in_a_vjp)
{
    const struct {
        bool (*vjp)(lucid_vjp *);
        const char *message;
    } cases[] = {
        {raising_vjp, "bad: refuses"},
        {silent_vjp, "bad: vjp: failed without raising an error"},
        {wrong_shape_vjp, "bad: vjp: expected a gradient [3] float64 on cpu for x, got [7] float32 "
                          "on cpu"},
        {forgetful_vjp, "bad: x: the vjp asks for what .saves did not name"},
        {careless_vjp, "own_add: b: expected a shape that broadcasts with [3], got [2,5]"},
        {NULL, "bad: has no derivative (no .vjp)"},
    };
    lucid_tensor *x = OWN_LEAF((3), 1, 2, 3), *ones = OWN_DATA((3), 1, 1, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        LUCID_SCOPE;
        lucid_op bad = own_square_op;
        bad.name = "bad";
        bad.saves = NULL;
        bad.vjp = cases[i].vjp;
        lucid_tensor *h = own_square(x);
        lucid_tensor *y = own_square(lucid_apply(&bad, &h, 1, NULL));
        cr_expect_not(lucid_backward(y, .gradient = ones));
        OWN_EXPECT_ERROR(cases[i].message);
        cr_expect_null(lucid_tensor_grad(x));
        cr_expect(lucid_is_grad_enabled());
        lucid_clear_error();
    }
}

/* ---- out of memory where the stack of scopes grows ------------------------------------------- */

typedef struct {
    int scopes;
    uint64_t nth;
    bool reached;
} shortage;

/* Leaves garbage where the next calls have their variables. */
__attribute__((noinline)) static void dirty_the_stack(void)
{
    volatile char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 0x41;
}

static void *backward_without_memory(void *p)
{
    shortage *s = p;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_requires_grad_(lucid_full((2, 3), 1.5), true);
    lucid_tensor *y = lucid_sum(lucid_mul(lucid_mul(x, x), x));
    for (int i = 0; i < s->scopes; i++) lucid_scope_begin();
    dirty_the_stack();
    lucid_memory_fail_nth(s->nth);
    const bool ok = lucid_backward_multi((lucid_tensor *[]){y, y}, NULL, 2, NULL);
    s->reached = lucid_memory_fail_count() >= s->nth;
    lucid_memory_fail_nth(0);
    cr_expect_eq(ok, lucid_error_code() == LUCID_OK, "%d scopes, allocation %d: %s: %s", s->scopes,
                 (int)s->nth, ok ? "true" : "false", lucid_error());
    return NULL;
}

/* Each thread has a stack of its own, which grows at 64 open scopes. */
Test(backward, memory_is_out_at_any_depth_of_scopes)
{
    for (int scopes = 60; scopes <= 64; scopes++) {
        shortage s = {.scopes = scopes, .nth = 1, .reached = true};
        for (; s.reached; s.nth++) {
            pthread_t thread;
            cr_assert(pthread_create(&thread, NULL, backward_without_memory, &s) == 0);
            pthread_join(thread, NULL);
        }
        cr_expect_gt(s.nth, 5);
    }
}

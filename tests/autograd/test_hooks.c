/* test_hooks.c: hooks on gradients, results that keep theirs. */
#include "own_ops.h"

TestSuite(hooks, .init = own_setup, .fini = own_teardown);

/* What hooks saw, in order. */
static char seen[256];

static lucid_tensor *note(lucid_tensor *grad, void *user)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%s%g ", (const char *)user, lucid_item(grad));
    return NULL;
}

static lucid_tensor *times_ten(lucid_tensor *grad, void *user)
{
    note(grad, user);
    return own_mul(grad, OWN_DATA((1), 10));
}

static void hooks_setup(void)
{
    own_setup();
    seen[0] = '\0';
}

/* The leaf's gradient is complete when its hook is called, though two edges lead there. */
Test(hooks, on_a_leaf, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3);
    cr_expect_gt(lucid_register_hook(x, note, "x"), 0);
    cr_expect(lucid_backward(own_add(own_square(x), own_double(x))));
    cr_expect_str_eq(seen, "x8 ");
    OWN_GRAD(x, 8);
}

Test(hooks, on_a_result_replaces, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *h = own_square(x);
    lucid_register_hook(h, times_ten, "h");
    cr_expect(lucid_backward(own_add(own_double(h), h)));
    cr_expect_str_eq(seen, "h3 ");
    OWN_GRAD(x, 180);
}

Test(hooks, run_in_order_and_are_removed, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y = own_square(x);
    uint64_t a = lucid_register_hook(x, times_ten, "a");
    uint64_t b = lucid_register_hook(x, note, "b");
    uint64_t c = lucid_register_hook(x, times_ten, "c");
    cr_expect(a != b && b != c && a != c);
    cr_expect(lucid_backward(y, .retain_graph = true));
    cr_expect_str_eq(seen, "a6 b60 c60 ");
    OWN_GRAD(x, 600);
    cr_expect(lucid_remove_hook(x, b));
    cr_expect(lucid_remove_hook(x, a));
    seen[0] = '\0';
    cr_expect(lucid_backward(y));
    cr_expect_str_eq(seen, "c6 ");
    OWN_GRAD(x, 660);
    cr_expect_not(lucid_remove_hook(x, a));
    char text[64];
    snprintf(text, sizeof text, "remove_hook: handle: there is no hook %d here", (int)a);
    OWN_EXPECT_ERROR(text);
}

Test(hooks, each_output_and_each_tensor_its_own, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *h = own_square(x), *k = own_double(h);
    lucid_register_hook(k, times_ten, "k");
    uint64_t gone = lucid_register_hook(h, note, "gone");
    lucid_register_hook(h, note, "h");
    lucid_register_hook(x, note, "x");
    cr_expect(lucid_remove_hook(h, gone));
    cr_expect(lucid_backward(own_double(k)));
    cr_expect_str_eq(seen, "k2 h40 x240 ");
}

/* retain_grad sees what the hooks made of the gradient, wherever they were added (PyTorch's
 * rule). */
Test(hooks, retain_grad_comes_last, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *h = own_square(x);
    cr_expect(lucid_retain_grad(h));
    cr_expect(lucid_retain_grad(h));
    lucid_register_hook(h, times_ten, "h");
    lucid_tensor *y = own_double(h);
    cr_expect(lucid_backward(y, .retain_graph = true));
    OWN_GRAD(h, 20);
    OWN_GRAD(x, 120);
    cr_expect(lucid_backward(y));
    OWN_GRAD(h, 40);
    cr_expect_null(lucid_tensor_grad(y), "results do not keep theirs unasked");
}

/* The gradient that was asked for is the one that flows on to earlier operators. */
Test(hooks, grad_sees_the_hooks_too, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *h = own_square(x), *y = own_double(h), *g[2];
    lucid_register_hook(h, times_ten, "h");
    lucid_register_hook(x, times_ten, "x");
    cr_expect(lucid_grad(&y, 1, ((lucid_tensor *[]){h, x}), 2, g));
    cr_expect_str_eq(seen, "h2 x120 ");
    OWN_EXPECT(g[0], 20);
    OWN_EXPECT(g[1], 1200);
}

/* A tensor that is gone does not get a gradient, and its hooks still run. */
Test(hooks, tensor_dies_first, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y;
    {
        LUCID_SCOPE;
        lucid_tensor *h = own_square(x);
        lucid_retain_grad(h);
        lucid_register_hook(h, times_ten, "h");
        y = lucid_scope_return(own_double(h));
    }
    cr_expect(lucid_backward(y));
    cr_expect_str_eq(seen, "h2 ");
    OWN_GRAD(x, 120);
}

/* In place: a hook stays with the value it was added to, the kept gradient goes with the tensor. */
Test(hooks, after_in_place, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *w = OWN_DATA((1), 5), *h = own_square(x);
    uint64_t old = lucid_register_hook(h, note, "old");
    lucid_retain_grad(h);
    own_mul_(h, w);
    lucid_register_hook(h, note, "new");
    lucid_tensor *y = own_double(h);
    cr_expect(lucid_backward(y, .retain_graph = true));
    cr_expect_str_eq(seen, "new2 old10 ");
    OWN_GRAD(h, 2);
    OWN_GRAD(x, 60);
    cr_expect(lucid_remove_hook(h, old));
    seen[0] = '\0';
    cr_expect(lucid_backward(y));
    cr_expect_str_eq(seen, "new2 ");
}

static lucid_tensor *removes_itself(lucid_tensor *grad, void *user)
{
    struct {
        lucid_tensor *x;
        uint64_t id;
    } *self = user;
    note(grad, "once");
    lucid_remove_hook(self->x, self->id);
    lucid_register_hook(self->x, note, "added");
    return NULL;
}

Test(hooks, change_while_they_run, .init = hooks_setup)
{
    struct {
        lucid_tensor *x;
        uint64_t id;
    } self = {.x = OWN_LEAF((1), 3)};
    lucid_tensor *y = own_square(self.x);
    self.id = lucid_register_hook(self.x, removes_itself, &self);
    lucid_register_hook(self.x, note, "after");
    cr_expect(lucid_backward(y));
    cr_expect_str_eq(seen, "once6 after6 added6 ");
}

/* A backward inside of a backward. */
static lucid_tensor *inner_backward(lucid_tensor *grad, void *user)
{
    (void)grad;
    LUCID_ENABLE_GRAD;
    lucid_tensor *z = user;
    cr_expect(lucid_backward(own_square(z)));
    return NULL;
}

Test(hooks, may_run_backward, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *z = OWN_LEAF((1), 4);
    lucid_register_hook(x, inner_backward, z);
    cr_expect(lucid_backward(own_square(x)));
    OWN_GRAD(x, 6);
    OWN_GRAD(z, 8);
}

/* With create_graph a hook's own work is recorded, too. */
static lucid_tensor *squares(lucid_tensor *grad, void *user)
{
    (void)user;
    return own_square(grad);
}

Test(hooks, are_differentiated, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *y = own_square(x), *g, *g2;
    lucid_register_hook(x, squares, NULL);
    cr_expect(lucid_grad(&y, 1, &x, 1, &g, .create_graph = true));
    OWN_EXPECT(g, 36); /* (2x)^2 */
    lucid_tensor *w = OWN_LEAF((1), 1);
    (void)w;
    cr_expect(lucid_grad(&g, 1, &x, 1, &g2));
    OWN_EXPECT(g2, 576); /* 8x = 24, squared by the hook again */
}

static lucid_tensor *fails(lucid_tensor *grad, void *user)
{
    (void)grad;
    (void)user;
    lucid_raise(LUCID_ERR_STATE, "my_hook", "refuses");
    return NULL;
}
static lucid_tensor *wrong_shape(lucid_tensor *grad, void *user)
{
    (void)grad;
    (void)user;
    return lucid_zeros((2, 2));
}

Test(hooks, errors, .init = hooks_setup)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *h = own_square(x), *plain = OWN_DATA((1), 3);
    uint64_t bad = lucid_register_hook(h, fails, NULL);
    cr_expect_not(lucid_backward(own_double(h)));
    OWN_EXPECT_ERROR("my_hook: refuses");
    cr_expect(lucid_remove_hook(h, bad));
    lucid_register_hook(h, wrong_shape, NULL);
    cr_expect_not(lucid_backward(own_double(h)));
    OWN_EXPECT_ERROR("hook: expected a gradient [1] float64 on cpu, got [2,2] float32 on cpu");
    cr_expect_null(lucid_tensor_grad(x));
    cr_expect_eq(lucid_register_hook(plain, note, ""), 0);
    OWN_EXPECT_ERROR("register_hook: tensor: expected one that requires a gradient, got one that "
                     "does not");
    cr_expect_eq(lucid_register_hook(x, NULL, NULL), 0);
    OWN_EXPECT_ERROR("register_hook: hook: expected a function, got NULL");
    cr_expect_not(lucid_retain_grad(plain));
    OWN_EXPECT_ERROR(
        "retain_grad: tensor: expected one that requires a gradient, got one that does "
        "not");
    cr_expect_eq(lucid_register_hook(NULL, note, ""), 0);
    cr_expect_not(lucid_remove_hook(NULL, 1));
}

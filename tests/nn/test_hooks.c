/* Hooks around forward and backward, errors with the module's path, checkpoints. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "tests/nn/se_block.h"

static lucid_tensor *count_pre(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)m, (void)x;
    ++*(int *)user;
    return NULL;
}

static lucid_tensor *double_input(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)m, (void)user;
    return lucid_mul_scalar(x, 2);
}

static lucid_tensor *add_one(lucid_module *m, lucid_tensor *x, lucid_tensor *y, void *user)
{
    (void)m, (void)x, (void)user;
    return lucid_add_scalar(y, 1);
}

Test(hooks, forward_hooks_run_in_order_and_replace)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Identity();
    int count = 0;
    uint64_t a = lucid_register_forward_pre_hook(m, count_pre, &count);
    uint64_t b = lucid_register_forward_pre_hook(m, double_input, NULL);
    uint64_t c = lucid_register_forward_hook(m, add_one, NULL);
    cr_expect(a && b && c && a != b && b != c);
    lucid_tensor *x = lucid_values((2), 1, 2);
    EXPECT_VALUES(lucid_forward(m, x), 0, 0, {3, 5});
    cr_expect(lucid_module_remove_hook(m, b) && !lucid_module_remove_hook(m, b));
    EXPECT_VALUES(lucid_forward(m, x), 0, 0, {2, 3});
    cr_expect(lucid_module_remove_hook(m, c) && lucid_module_remove_hook(m, a));
    EXPECT_VALUES(lucid_forward(m, x), 0, 0, {1, 2});
    cr_expect(count == 2);
    EXPECT_ERROR(lucid_register_forward_hook(m, NULL, NULL), LUCID_ERR_ARGUMENT, "hook");
    lucid_module_free(m);
}

static lucid_tensor *remove_itself(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)x;
    lucid_module_remove_hook(m, *(uint64_t *)user);
    return NULL;
}

Test(hooks, a_hook_may_remove_itself)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Identity();
    int count = 0;
    uint64_t id = lucid_register_forward_pre_hook(m, remove_itself, &id);
    lucid_register_forward_pre_hook(m, count_pre, &count);
    cr_expect(lucid_forward(m, lucid_ones((1))) && lucid_forward(m, lucid_ones((1))));
    cr_expect(count == 2);
    lucid_module_free(m);
}

static lucid_tensor *fails(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)m, (void)x, (void)user;
    lucid_raise(LUCID_ERR_STATE, "my_hook", "no");
    return NULL;
}

Test(hooks, an_error_in_a_hook_ends_the_call)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_ReLU(), nn_Sequential(nn_Identity()));
    lucid_register_forward_pre_hook(lucid_get_module(net, "1.0"), fails, NULL);
    EXPECT_ERROR(lucid_forward(net, lucid_ones((1))), LUCID_ERR_STATE,
                 "my_hook: no; module net.1.0");
    lucid_module_set_name(net, "resnet");
    EXPECT_ERROR(lucid_forward(net, lucid_ones((1))), LUCID_ERR_STATE, "; module resnet.1.0");
    lucid_module_free(net);
}

/* ---- backward -------------------------------------------------------------------------------- */

typedef struct seen {
    int calls;
    double input, output; /* sums of the gradients; NAN where there is none */
    double factor;        /* what the gradient of the input is multiplied with; 0: left */
} seen;

static lucid_tensor *watch(lucid_module *m, lucid_tensor *in, lucid_tensor *out, void *user)
{
    (void)m;
    seen *s = user;
    s->calls++;
    s->input = in ? lucid_item(lucid_sum(in)) : NAN;
    s->output = lucid_item(lucid_sum(out));
    return s->factor != 0 && in ? lucid_mul_scalar(in, s->factor) : NULL;
}

Test(hooks, backward_hook_sees_and_replaces)
{
    int64_t modules = lucid_live().modules;
    {
        LUCID_SCOPE;
        seen s = {.factor = 10};
        lucid_module *m = nn_Linear(2, 1, .bias = false);
        lucid_tensor *w = lucid_get_parameter(m, "weight");
        lucid_init_constant(w, 3);
        uint64_t id = lucid_register_full_backward_hook(m, watch, &s);
        lucid_tensor *x = lucid_values((1, 2), 1, 2);
        lucid_requires_grad_(x, true);
        lucid_tensor *y = lucid_forward(m, x);
        EXPECT_VALUES(y, 0, 0, {9});
        lucid_backward(lucid_mul_scalar(y, 2), .retain_graph = true);
        cr_expect(s.calls == 1 && s.input == 12 && s.output == 2);
        EXPECT_VALUES(lucid_tensor_grad(x), 0, 0, {60, 60});
        EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {2, 4});
        cr_expect(lucid_module_remove_hook(m, id));
        lucid_backward(lucid_forward(m, x));
        cr_expect(s.calls == 1);
        lucid_module_free(m);
    }
    cr_expect(lucid_live().modules == modules, "the graph let the module go");
}

Test(hooks, backward_hook_of_an_input_without_gradient)
{
    LUCID_SCOPE;
    seen s = {0};
    lucid_module *net = nn_Sequential(nn_Linear(2, 2), nn_ReLU(.inplace = true));
    lucid_register_full_backward_hook(lucid_get_module(net, "0"), watch, &s);
    lucid_backward(lucid_sum(lucid_forward(net, lucid_ones((3, 2)))));
    cr_expect(s.calls == 1 && isnan(s.input));
    {
        LUCID_NO_GRAD;
        lucid_forward(net, lucid_ones((3, 2)));
    }
    cr_expect(s.calls == 1);
    lucid_module_free(net);
}

/* ---- errors ---------------------------------------------------------------------------------- */

Test(errors, messages_end_with_the_path)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_ReLU(), make_se(8, 2), nn_BatchNorm2d(8));
    EXPECT_ERROR(lucid_forward(net, lucid_ones((1, 4, 2, 2))), LUCID_ERR_ARGUMENT,
                 "Conv2d: input: expected [N,8,H,W] or [8,H,W], got [1,4,1,1]; module "
                 "net.1.squeeze");
    EXPECT_ERROR(lucid_forward(lucid_get_module(net, "2"), lucid_ones((2, 8))), LUCID_ERR_ARGUMENT,
                 "BatchNorm2d: input: expected 4-D [N,C,H,W], got 2-D [2,8]; module BatchNorm2d");
    EXPECT_ERROR(lucid_forward(NULL, lucid_ones((1))), LUCID_ERR_ARGUMENT, "got NULL");
    EXPECT_ERROR(lucid_forward(net, NULL), LUCID_ERR_ARGUMENT, "Sequential: input");
    lucid_module_free(net);
}

static lucid_tensor *returns_nothing(lucid_module *m, lucid_tensor *x)
{
    (void)m, (void)x;
    return NULL;
}

Test(errors, forward_without_a_result)
{
    LUCID_SCOPE;
    const lucid_module_class cls = {.name = "Nothing",
                                    .size = sizeof(lucid_module),
                                    .super = &lucid_module_class_base,
                                    .forward = returns_nothing};
    lucid_module *m = lucid_module_new(&cls), *base = lucid_module_new(&lucid_module_class_base);
    EXPECT_ERROR(lucid_forward(m, lucid_ones((1))), LUCID_ERR_STATE,
                 "Nothing: forward: expected a tensor, got NULL");
    EXPECT_ERROR(lucid_forward(base, lucid_ones((1))), LUCID_ERR_UNSUPPORTED, "no forward");
    lucid_module_free(base);
    lucid_module_free(m);
}

/* ---- scopes ---------------------------------------------------------------------------------- */

Test(forward, only_the_result_lives_on)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_module *net = nn_Sequential(nn_Linear(8, 8), nn_ReLU(), make_se(8, 2), nn_Tanh());
    lucid_module *mlp = nn_Sequential(nn_Linear(8, 8), nn_ReLU(), nn_Linear(8, 8), nn_Tanh());
    lucid_tensor *x = lucid_ones((2, 8));
    size_t held = lucid_scope_count();
    int64_t tensors = lucid_live().tensors;
    cr_expect(lucid_forward(mlp, x));
    cr_expect(lucid_scope_count() == held + 1);
    cr_expect(lucid_live().tensors == tensors + 1);
    lucid_module_free(mlp);
    lucid_module_free(net);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

Test(checkpoint, gives_the_same_gradients)
{
    LUCID_SCOPE;
    lucid_manual_seed(5);
    lucid_module *m = nn_Sequential(nn_Linear(6, 6), nn_Dropout(), nn_Tanh());
    lucid_tensor *x = lucid_randn((4, 6), .requires_grad = true), *grads[2][2], *y[2];
    lucid_tensor *w = lucid_get_parameter(m, "0.weight");
    for (int i = 0; i < 2; i++) {
        lucid_manual_seed(6);
        lucid_set_grad(x, NULL);
        lucid_zero_grad(m);
        y[i] = i ? lucid_checkpoint(m, x) : lucid_forward(m, x);
        lucid_randn((10)); /* what comes after has other random numbers */
        lucid_generator state = lucid_get_rng_state();
        cr_assert(lucid_backward(lucid_sum(lucid_square(y[i]))), "%s", lucid_error());
        cr_expect(lucid_get_rng_state().offset == state.offset);
        grads[i][0] = lucid_tensor_grad(x);
        grads[i][1] = lucid_tensor_grad(w);
        for (int k = 0; k < 2; k++) grads[i][k] = lucid_clone(grads[i][k], LUCID_PRESERVE);
    }
    cr_expect(lucid_equal(y[0], y[1]));
    cr_expect(lucid_equal(grads[0][0], grads[1][0]) && lucid_equal(grads[0][1], grads[1][1]));
    lucid_module_free(m);
}

Test(checkpoint, an_input_without_gradient)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(2, 1);
    lucid_backward(lucid_sum(lucid_checkpoint(m, lucid_ones((3, 2)))));
    EXPECT_VALUES(lucid_tensor_grad(lucid_get_parameter(m, "bias")), 0, 0, {3});
    lucid_module_free(m);
}

/* test_many_hooks.c: hooks, checkpoints, capture, autocast, the profiler and failing allocations
 * around modules of several inputs and outputs. */
#include "tests/nn/many.h"
#include "lucid/lucid.h"
#include "tests/testing.h"

static void begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(12);
}
static void end(void)
{
    cr_expect_eq(lucid_finish(), 0);
}
TestSuite(many_hooks, .init = begin, .fini = end);
TestSuite(many_checkpoint, .init = begin, .fini = end);
TestSuite(many_around, .init = begin, .fini = end);

/* y = 2 a + 3 b, z = a b, so that every gradient is known. `b` may be absent: 1. */
static bool mix_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                        int n_out)
{
    (void)m, (void)n_in, (void)n_out;
    lucid_tensor *a = in[0], *b = in[1] ? in[1] : lucid_ones((1));
    out[0] = lucid_add(lucid_mul_scalar(a, 2), lucid_mul_scalar(b, 3));
    out[1] = lucid_mul(a, b);
    return true;
}

static const lucid_module_class Mix_class = {
    .name = "Mix",
    .size = sizeof(lucid_module),
    .super = &lucid_module_class_base,
    .forward_many = mix_forward,
    .inputs = "a, b?",
    .outputs = "y, z?",
};

static lucid_tensor *leaf(double value)
{
    return lucid_requires_grad_(lucid_values((1), value), true);
}

static double grad_of(lucid_tensor *t)
{
    return lucid_tensor_grad(t) ? lucid_item(lucid_tensor_grad(t)) : NAN;
}

/* ---- forward hooks --------------------------------------------------------------------------- */

static bool swap_inputs(lucid_module *m, lucid_tensor **in, int n_in, void *user)
{
    (void)m;
    *(int *)user = n_in;
    if (n_in < 2) return true;
    lucid_tensor *a = in[0];
    in[0] = in[1];
    in[1] = a;
    return true;
}

static bool sum_to_z(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                     int n_out, void *user)
{
    (void)m, (void)user;
    for (int i = 0; i < n_in && n_out == 2; i++)
        if (in[i]) out[1] = lucid_add(out[1], in[i]);
    return true;
}

static lucid_tensor *tenfold(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)m, (void)user;
    return lucid_mul_scalar(x, 10);
}

static lucid_tensor *add_first(lucid_module *m, lucid_tensor *x, lucid_tensor *y, void *user)
{
    (void)m, (void)user;
    return lucid_add(x, y);
}

Test(many_hooks, forward_hooks_see_and_replace_all)
{
    lucid_module *m = lucid_module_new(&Mix_class);
    lucid_tensor *a = lucid_values((1), 5), *b = lucid_values((1), 7), *y, *z;
    int n = 0;
    uint64_t pre = lucid_register_forward_pre_hook_many(m, swap_inputs, &n);
    uint64_t post = lucid_register_forward_hook_many(m, sum_to_z, NULL);
    cr_assert(lucid_forward_into(m, (a, b), (&y, &z)), "%s", lucid_error());
    EXPECT_VALUES(y, 0, 0, {2 * 7 + 3 * 5});
    EXPECT_VALUES(z, 0, 0, {35 + 12});
    cr_expect(n == 2);
    /* Hooks of one tensor see and replace the first, in the order in which all were added. */
    uint64_t one = lucid_register_forward_pre_hook(m, tenfold, NULL);
    uint64_t last = lucid_register_forward_hook(m, add_first, NULL);
    cr_assert(lucid_forward_into(m, (a, b), (&y, &z)), "%s", lucid_error());
    EXPECT_VALUES(y, 0, 0, {2 * 70 + 3 * 5 + 70});
    EXPECT_VALUES(z, 0, 0, {350 + 75});
    EXPECT_VALUES(lucid_forward(m, a), 0, 0, {2 * 50 + 3 + 50});
    cr_expect(n == 1);
    cr_expect(lucid_module_remove_hook(m, pre) && lucid_module_remove_hook(m, post) &&
              lucid_module_remove_hook(m, one) && lucid_module_remove_hook(m, last));
    EXPECT_VALUES(lucid_forward(m, a, b), 0, 0, {31});
    EXPECT_ERROR(lucid_register_forward_hook_many(m, NULL, NULL), LUCID_ERR_ARGUMENT, "hook");
    lucid_module_free(m);
}

Test(many_hooks, they_serve_modules_of_one_input)
{
    lucid_module *m = nn_Identity();
    int n = 0;
    lucid_register_forward_pre_hook_many(m, swap_inputs, &n);
    lucid_register_forward_hook_many(m, sum_to_z, NULL);
    EXPECT_VALUES(lucid_forward(m, lucid_ones((1))), 0, 0, {1});
    cr_expect(n == 1);
    lucid_module_free(m);
}

static bool take_away(lucid_module *m, lucid_tensor **in, int n_in, void *user)
{
    (void)m, (void)n_in;
    in[*(int *)user] = NULL;
    return true;
}

static bool take_output(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                        int n_out, void *user)
{
    (void)m, (void)in, (void)n_in, (void)n_out, (void)user;
    out[0] = NULL;
    return true;
}

static bool just_false(lucid_module *m, lucid_tensor **in, int n_in, void *user)
{
    (void)m, (void)in, (void)n_in, (void)user;
    return false;
}

Test(many_hooks, hooks_that_take_away_or_fail)
{
    lucid_module *m = lucid_module_new(&Mix_class), *one = nn_Identity();
    lucid_module *net = nn_Sequential(m);
    lucid_tensor *a = lucid_ones((1));
    int which = 1;
    uint64_t id = lucid_register_forward_pre_hook_many(m, take_away, &which);
    EXPECT_VALUES(lucid_forward(m, a, lucid_zeros((1))), 0, 0, {5}); /* b is optional */
    which = 0;
    EXPECT_ERROR(lucid_forward(m, a, a), LUCID_ERR_ARGUMENT, "Mix: a: expected a tensor, got NULL");
    lucid_module_remove_hook(m, id);
    id = lucid_register_forward_hook_many(m, take_output, NULL);
    EXPECT_ERROR(lucid_forward(m, a, a), LUCID_ERR_STATE,
                 "Mix: forward_many: expected y, got NULL");
    lucid_module_remove_hook(m, id);
    lucid_register_forward_pre_hook_many(m, just_false, NULL);
    EXPECT_ERROR(lucid_forward(net, a, a), LUCID_ERR_STATE,
                 "Mix: hook: expected true or an error, got false without one; module net.0");
    lucid_register_forward_pre_hook_many(one, take_away, &which);
    EXPECT_ERROR(lucid_forward(one, a), LUCID_ERR_ARGUMENT, "Identity: input: expected a tensor");
    lucid_module_free(one);
    lucid_module_free(net);
}

/* ---- backward hooks -------------------------------------------------------------------------- */

typedef struct seen {
    int calls, n_in, n_out;
    double in[LUCID_MODULE_MAX_INPUTS], out[LUCID_MODULE_MAX_OUTPUTS]; /* NAN: none */
    double factor; /* of every gradient of an input; 0: left */
} seen;

static double item_or_nan(lucid_tensor *t)
{
    return t ? lucid_item(lucid_sum(t)) : NAN;
}

static bool watch(lucid_module *m, lucid_tensor **in, int n_in, lucid_tensor *const *out, int n_out,
                  void *user)
{
    (void)m;
    seen *s = user;
    s->calls++;
    s->n_in = n_in;
    s->n_out = n_out;
    for (int i = 0; i < n_in; i++) s->in[i] = item_or_nan(in[i]);
    for (int i = 0; i < n_out; i++) s->out[i] = item_or_nan(out[i]);
    for (int i = 0; i < n_in && s->factor != 0; i++)
        in[i] = in[i] ? lucid_mul_scalar(in[i], s->factor) : lucid_ones((1));
    return true;
}

static lucid_tensor *watch_one(lucid_module *m, lucid_tensor *in, lucid_tensor *out, void *user)
{
    (void)m;
    seen *s = user;
    s->calls++;
    s->in[0] = item_or_nan(in);
    s->out[0] = item_or_nan(out);
    return NULL;
}

Test(many_hooks, backward_hooks_see_and_replace_all)
{
    int64_t modules = lucid_live().modules;
    {
        LUCID_SCOPE;
        lucid_module *m = lucid_module_new(&Mix_class);
        seen s = {.factor = 100}, first = {0};
        lucid_register_full_backward_hook_many(m, watch, &s);
        lucid_register_full_backward_hook(m, watch_one, &first);
        lucid_tensor *a = leaf(5), *b = leaf(7), *y, *z;
        cr_assert(lucid_forward_into(m, (a, b), (&y, &z)));
        EXPECT_VALUES(y, 0, 0, {31});
        EXPECT_VALUES(z, 0, 0, {35});
        /* d(10 y + z)/da = 20 + b, d/db = 30 + a */
        cr_assert(lucid_backward(lucid_add(lucid_mul_scalar(y, 10), z), .retain_graph = true));
        cr_expect(s.calls == 1 && s.n_in == 2 && s.n_out == 2);
        cr_expect(s.in[0] == 27 && s.in[1] == 35 && s.out[0] == 10 && s.out[1] == 1);
        cr_expect(first.calls == 1 && first.in[0] == 2700 && first.out[0] == 10);
        cr_expect(grad_of(a) == 2700 && grad_of(b) == 3500);
        /* One output at a time: no gradient comes to the other. */
        cr_assert(lucid_backward(z, .retain_graph = true));
        cr_expect(s.calls == 2 && s.in[0] == 7 && isnan(s.out[0]) && s.out[1] == 1);
        cr_expect(first.calls == 1, "nothing came to the first output");
        cr_assert(lucid_backward(y));
        cr_expect(s.calls == 3 && s.in[1] == 3 && s.out[0] == 1 && isnan(s.out[1]));
        lucid_module_free(m);
    }
    cr_expect(lucid_live().modules == modules, "the graph let the module go");
}

Test(many_hooks, backward_hooks_of_absent_and_constant_inputs)
{
    lucid_module *m = lucid_module_new(&Mix_class);
    seen s = {.factor = 2};
    lucid_register_full_backward_hook_many(m, watch, &s);
    lucid_tensor *a = leaf(5), *b = lucid_ones((1));
    cr_assert(lucid_backward(lucid_forward(m, a)));
    cr_expect(s.n_in == 1 && s.n_out == 1 && s.in[0] == 2 && grad_of(a) == 4);
    cr_assert(lucid_backward(lucid_forward(m, b, a)));
    cr_expect(s.n_in == 2 && isnan(s.in[0]) && s.in[1] == 3 && grad_of(a) == 4 + 6);
    cr_assert(lucid_backward(lucid_forward(m, a, NULL)));
    cr_expect(s.n_in == 2 && s.in[0] == 2 && isnan(s.in[1]) && s.calls == 3);
    {
        LUCID_NO_GRAD;
        cr_expect(!lucid_requires_grad(lucid_forward(m, a, b)));
    }
    cr_expect(!lucid_requires_grad(lucid_forward(m, b, b)) && s.calls == 3);
    /* Only the parameters need gradients. */
    lucid_module *heads = make_heads(3, 2);
    seen h = {0};
    lucid_register_full_backward_hook_many(heads, watch, &h);
    lucid_tensor *classes, *boxes;
    cr_assert(lucid_forward_into(heads, (lucid_ones((1, 3))), (&classes, &boxes)));
    cr_assert(lucid_backward(lucid_add(lucid_sum(classes), lucid_sum(boxes))));
    cr_expect(h.calls == 1 && isnan(h.in[0]) && h.out[0] == 2 && h.out[1] == 4);
    lucid_module_free(heads);
    lucid_module_free(m);
}

/* One input is another's memory, or the input itself comes out. */
Test(many_hooks, the_same_tensor_twice)
{
    lucid_module *m = lucid_module_new(&Mix_class), *none = nn_Sequential();
    seen s = {0};
    lucid_register_full_backward_hook_many(m, watch, &s);
    lucid_register_full_backward_hook_many(none, watch, &s);
    lucid_tensor *a = leaf(3), *y, *z;
    cr_assert(lucid_forward_into(m, (a, a), (&y, &z)));
    cr_assert(lucid_backward(lucid_add(y, z)));
    cr_expect(s.in[0] == 5 && s.in[1] == 6 && grad_of(a) == 11);
    cr_assert(lucid_forward_into(none, (a, a), (&y, &z)));
    cr_expect(y != a && z != a);
    lucid_set_grad(a, NULL);
    cr_assert(lucid_backward(lucid_add(y, lucid_mul_scalar(z, 4))));
    cr_expect(s.calls == 2 && s.in[0] == 1 && s.in[1] == 4 && grad_of(a) == 5);
    lucid_module_free(none);
    lucid_module_free(m);
}

static bool write_first(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                        int n_out)
{
    (void)m, (void)n_in, (void)n_out;
    out[0] = lucid_mul(lucid_relu_(in[0]), in[1]);
    return true;
}

static const lucid_module_class WriteFirst_class = {
    .name = "WriteFirst",
    .size = sizeof(lucid_module),
    .super = &lucid_module_class_base,
    .forward_many = write_first,
    .inputs = "a, b",
};

Test(many_hooks, inputs_that_change_in_place)
{
    lucid_module *m = lucid_module_new(&WriteFirst_class);
    lucid_tensor *a = leaf(-3), *b = leaf(4);
    lucid_tensor *h = lucid_neg(a);
    cr_assert(lucid_backward(lucid_add(lucid_forward(m, h, b), h)), "%s", lucid_error());
    cr_expect(grad_of(a) == -5 && grad_of(b) == 3);
    seen s = {0};
    lucid_register_full_backward_hook_many(m, watch, &s);
    /* One input that requires a gradient is a view of the caller's tensor, which sees the
     * change. */
    lucid_set_grad(a, NULL);
    h = lucid_neg(a);
    cr_assert(lucid_backward(lucid_add(lucid_forward(m, h, lucid_values((1), 4)), h)), "%s",
              lucid_error());
    cr_expect(grad_of(a) == -5);
    /* Several: refused, for the caller's tensor would have the value without the history. */
    EXPECT_ERROR(
        lucid_forward(m, lucid_neg(a), b), LUCID_ERR_STATE,
        "relu_: in place: an input of a module with backward hooks and several inputs cannot "
        "be changed while a gradient is recorded");
    LUCID_NO_GRAD;
    EXPECT_VALUES(lucid_forward(m, lucid_neg(a), b), 0, 0, {12});
    lucid_module_free(m);
}

/* Eight of each, the most that there are. */
static bool eight_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                          int n_out)
{
    (void)m, (void)n_in;
    for (int i = 0; i < n_out; i++) out[i] = lucid_mul_scalar(in[i], i + 1);
    return true;
}

static const lucid_module_class Eight_class = {
    .name = "Eight",
    .size = sizeof(lucid_module),
    .super = &lucid_module_class_base,
    .forward_many = eight_forward,
    .inputs = "a, b, c, d, e, f, g, h",
    .outputs = "a, b, c, d, e, f, g, h",
};

static void expect_eight(lucid_tensor **in, lucid_tensor **out)
{
    lucid_tensor *sum = out[0];
    for (int i = 1; i < 8; i++) sum = lucid_add(sum, out[i]);
    cr_assert(lucid_backward(sum), "%s", lucid_error());
    for (int i = 0; i < 8; i++) cr_expect(grad_of(in[i]) == i + 1, "input %d", i);
}

Test(many_hooks, eight_inputs_and_outputs)
{
    lucid_module *m = lucid_module_new(&Eight_class);
    seen s = {0};
    lucid_tensor *in[8], *out[8];
    lucid_register_full_backward_hook_many(m, watch, &s);
    for (int i = 0; i < 8; i++) in[i] = leaf(i);
    cr_assert(lucid_forward_many(m, in, 8, out, 8), "%s", lucid_error());
    expect_eight(in, out);
    cr_expect(s.calls == 1 && s.n_in == 8 && s.n_out == 8 && s.in[7] == 8 && s.out[7] == 1);
    for (int i = 0; i < 8; i++) lucid_set_grad(in[i], NULL);
    cr_assert(lucid_checkpoint_many(m, in, 8, out, 8), "%s", lucid_error());
    expect_eight(in, out);
    cr_expect(s.calls == 2);
    lucid_module_free(m);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* A siamese net with dropout, its loss, and an LSTM: with and without a checkpoint. */
static void run_lstm(lucid_module *m, bool checkpoint, lucid_tensor *const *in,
                     lucid_tensor **grads)
{
    lucid_tensor *out[3];
    lucid_manual_seed(4);
    for (int i = 0; i < 3; i++) lucid_set_grad(in[i], NULL);
    lucid_zero_grad(m);
    bool ok =
        checkpoint ? lucid_checkpoint_many(m, in, 3, out, 3) : lucid_forward_many(m, in, 3, out, 3);
    cr_assert(ok, "%s", lucid_error());
    lucid_tensor *loss = lucid_add(lucid_sum(lucid_square(out[0])), lucid_sum(out[2]));
    cr_assert(lucid_backward(loss), "%s", lucid_error());
    for (int i = 0; i < 3; i++) grads[i] = lucid_clone(lucid_tensor_grad(in[i]), LUCID_PRESERVE);
    grads[3] =
        lucid_clone(lucid_tensor_grad(lucid_get_parameter(m, "from_h.weight")), LUCID_PRESERVE);
    for (int i = 0; i < 3; i++) grads[4 + i] = lucid_detach(out[i]);
}

Test(many_checkpoint, gives_the_same_gradients)
{
    lucid_module *m = make_lstm(3, 4);
    lucid_tensor *in[3] = {lucid_randn((5, 2, 3), .requires_grad = true),
                           lucid_randn((2, 4), .requires_grad = true),
                           lucid_randn((2, 4), .requires_grad = true)};
    lucid_tensor *plain[7], *anew[7];
    run_lstm(m, false, in, plain);
    run_lstm(m, true, in, anew);
    for (int i = 0; i < 7; i++) cr_expect(lucid_equal(plain[i], anew[i]), "tensor %d", i);
    lucid_module_free(m);
}

Test(many_checkpoint, absent_inputs_integers_and_random_numbers)
{
    lucid_module *m = make_lstm(3, 2), *criterion = nn_CrossEntropyLoss(.label_smoothing = 0.2);
    lucid_tensor *x = lucid_randn((3, 2, 3), .requires_grad = true), *want, *y, *h, *c;
    lucid_backward(lucid_sum(lucid_forward(m, x)));
    want = lucid_clone(lucid_tensor_grad(x), LUCID_PRESERVE);
    lucid_set_grad(x, NULL);
    lucid_backward(lucid_sum(lucid_checkpoint(m, x, NULL, NULL)));
    cr_expect(lucid_equal(want, lucid_tensor_grad(x)));
    lucid_set_grad(x, NULL);
    lucid_backward(lucid_sum(lucid_checkpoint(m, x)));
    cr_expect(lucid_equal(want, lucid_tensor_grad(x)));
    cr_assert(lucid_checkpoint_many(m, &x, 1, (lucid_tensor *[3]){0}, 3), "%s", lucid_error());
    /* A target is no number to differentiate by. */
    lucid_tensor *logits = lucid_randn((4, 3), .requires_grad = true);
    lucid_tensor *target = lucid_randint((4), 0, 3);
    cr_assert(lucid_backward(lucid_checkpoint(criterion, logits, target)), "%s", lucid_error());
    y = lucid_clone(lucid_tensor_grad(logits), LUCID_PRESERVE);
    lucid_set_grad(logits, NULL);
    lucid_backward(lucid_forward(criterion, logits, target));
    cr_expect(lucid_equal(y, lucid_tensor_grad(logits)));
    /* Dropout inside draws the same numbers again. */
    lucid_module *net = nn_Sequential(make_heads(3, 4), make_siamese(nn_Dropout()));
    lucid_tensor *grads[2], *v = lucid_randn((4, 3), .requires_grad = true);
    for (int i = 0; i < 2; i++) {
        lucid_set_grad(v, NULL);
        lucid_manual_seed(9);
        lucid_tensor *d = i ? lucid_checkpoint(net, v) : lucid_forward(net, v);
        cr_assert(lucid_backward(lucid_sum(d)), "%s", lucid_error());
        grads[i] = lucid_clone(lucid_tensor_grad(v), LUCID_PRESERVE);
    }
    cr_expect(lucid_equal(grads[0], grads[1]));
    EXPECT_ERROR(lucid_checkpoint(criterion, logits), LUCID_ERR_ARGUMENT,
                 "CrossEntropyLoss: inputs: expected 2 (logits, target), got 1");
    EXPECT_ERROR(lucid_checkpoint(criterion, logits, NULL), LUCID_ERR_ARGUMENT, "target: expected");
    EXPECT_ERROR(lucid_checkpoint(NULL, logits, target), LUCID_ERR_ARGUMENT, "module: expected");
    (void)h, (void)c;
    lucid_module_free(net);
    lucid_module_free(criterion);
    lucid_module_free(m);
}

Test(many_checkpoint, backward_of_one_output_only)
{
    lucid_module *m = lucid_module_new(&Mix_class);
    lucid_tensor *a = leaf(5), *b = leaf(7), *out[2];
    cr_assert(lucid_checkpoint_many(m, (lucid_tensor *[]){a, b}, 2, out, 2));
    cr_assert(lucid_backward(out[1]), "%s", lucid_error());
    cr_expect(grad_of(a) == 7 && grad_of(b) == 5);
    /* The input itself comes out. */
    lucid_module *none = nn_Sequential();
    lucid_set_grad(a, NULL);
    lucid_set_grad(b, NULL);
    cr_assert(lucid_checkpoint_many(none, (lucid_tensor *[]){a, b}, 2, out, 2));
    cr_expect(out[0] != a);
    cr_assert(lucid_backward(lucid_mul(out[0], out[1])), "%s", lucid_error());
    cr_expect(grad_of(a) == 7 && grad_of(b) == 5);
    lucid_module_free(none);
    lucid_module_free(m);
}

/* ---- what else is around a module ------------------------------------------------------------ */

typedef struct step {
    lucid_module *net, *criterion;
    lucid_optimizer *opt;
    lucid_tensor *x, *labels, *loss;
} step;

static bool train_step(void *user)
{
    step *s = user;
    LUCID_SCOPE;
    lucid_tensor *classes, *boxes;
    if (!lucid_forward_into(s->net, (s->x), (&classes, &boxes))) return false;
    lucid_tensor *loss =
        lucid_add(lucid_forward(s->criterion, classes, s->labels), lucid_mean(boxes));
    return lucid_zero_grad(s->opt) && lucid_backward(loss) && lucid_step(s->opt) &&
           lucid_copy_(s->loss, lucid_detach(loss));
}

Test(many_around, a_captured_step)
{
    double losses[2][6];
    for (int captured = 0; captured < 2; captured++) {
        LUCID_SCOPE;
        lucid_manual_seed(3);
        step s = {.net = nn_Sequential(nn_Linear(4, 8), nn_Tanh(), make_heads(8, 3)),
                  .criterion = nn_CrossEntropyLoss(.label_smoothing = 0.1),
                  .x = lucid_randn((6, 4)),
                  .labels = lucid_randint((6), 0, 3),
                  .loss = lucid_zeros((1))};
        s.loss = lucid_reshape(s.loss, ());
        s.opt = optim_SGD(s.net, .lr = 0.1, .momentum = 0.9);
        lucid_graph *graph = NULL;
        for (int i = 0; i < 6; i++) {
            bool ok = !captured ? train_step(&s)
                      : i < 2   ? i == 0 || (graph = lucid_capture(lucid_cpu(), train_step, &s))
                                : lucid_replay(graph);
            cr_assert(ok, "%s", lucid_error());
            losses[captured][i] = lucid_item(s.loss);
        }
        lucid_graph_free(graph);
        lucid_optimizer_free(s.opt);
        lucid_module_free(s.criterion);
        lucid_module_free(s.net);
    }
    /* lucid_capture runs the step twice. */
    for (int i = 1; i < 6; i++) cr_expect_eq(losses[0][i], losses[1][i], "step %d", i);
}

Test(many_around, autocast)
{
    lucid_module *m = make_lstm(3, 4), *heads = make_heads(4, 2);
    lucid_tensor *x = lucid_randn((2, 3, 3), .requires_grad = true), *grads[2];
    for (int i = 0; i < 2; i++) {
        lucid_tensor *y, *h, *c, *loss;
        lucid_set_grad(x, NULL);
        {
            LUCID_AUTOCAST(LUCID_BF16);
            lucid_tensor *out[3];
            cr_assert(i ? lucid_checkpoint_many(m, &x, 1, out, 3)
                        : lucid_forward_into(m, (x), (&y, &h, &c)),
                      "%s", lucid_error());
            lucid_tensor *classes, *boxes;
            cr_assert(lucid_forward_into(heads, (i ? out[1] : h), (&classes, &boxes)));
            cr_expect(lucid_tensor_dtype(classes) == LUCID_BF16);
            loss = lucid_add(lucid_sum(lucid_cast(classes, LUCID_F32)),
                             lucid_sum(lucid_cast(boxes, LUCID_F32)));
        }
        cr_assert(lucid_backward(loss), "%s", lucid_error());
        grads[i] = lucid_clone(lucid_tensor_grad(x), LUCID_PRESERVE);
    }
    cr_expect(lucid_equal(grads[0], grads[1]));
    lucid_module_free(heads);
    lucid_module_free(m);
}

Test(many_around, profiler_names_the_modules)
{
    lucid_module *net = make_siamese(nn_Linear(3, 2));
    lucid_tensor *x = lucid_ones((2, 3), .requires_grad = true);
    cr_assert(lucid_profiler_start());
    cr_assert(lucid_backward(lucid_sum(lucid_forward(net, x, lucid_neg(x)))));
    lucid_profiler_stop();
    lucid_profile_entry e;
    int64_t linear = 0, square_backward = 0;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++) {
        if (!strcmp(e.op, "linear") && !e.backward && !strcmp(e.module, "net.embed"))
            linear += e.count;
        if (!strcmp(e.op, "square") && e.backward && !strcmp(e.module, "net"))
            square_backward += e.count;
    }
    cr_expect_eq(linear, 2);
    cr_expect_eq(square_backward, 1);
    lucid_profiler_reset();
    lucid_module_free(net);
}

Test(many_around, train_and_eval_and_state)
{
    lucid_module *net = nn_Sequential(make_heads(4, 4), make_siamese(nn_Dropout()));
    lucid_tensor *x = lucid_randn((3, 4));
    lucid_eval(net);
    cr_expect(lucid_equal(lucid_forward(net, x), lucid_forward(net, x)));
    lucid_train(net);
    cr_expect(!lucid_equal(lucid_forward(net, x), lucid_forward(net, x)));
    lucid_state_dict *state = lucid_module_state_dict(net);
    lucid_module *other = nn_Sequential(make_heads(4, 4), make_siamese(nn_Dropout()));
    cr_assert(lucid_load_state_dict(other, state), "%s", lucid_error());
    lucid_eval(net);
    lucid_eval(other);
    cr_expect(lucid_equal(lucid_forward(net, x), lucid_forward(other, x)));
    lucid_state_dict_free(state);
    lucid_module_free(other);
    lucid_module_free(net);
}

Test(many_around, only_the_outputs_live_on)
{
    LUCID_NO_GRAD;
    lucid_module *m = make_lstm(3, 2);
    lucid_tensor *x = lucid_ones((4, 1, 3)), *y, *h, *c;
    size_t held = lucid_scope_count();
    int64_t tensors = lucid_live().tensors;
    cr_assert(lucid_forward_into(m, (x), (&y, &h, &c)));
    cr_expect(lucid_scope_count() == held + 3 && lucid_live().tensors == tensors + 3);
    cr_assert(lucid_forward(m, x));
    cr_expect(lucid_scope_count() == held + 4 && lucid_live().tensors == tensors + 4);
    lucid_module_free(m);
}

/* ---- failing allocations --------------------------------------------------------------------- */

static bool leave(lucid_module *m, lucid_tensor **in, int n_in, void *user)
{
    (void)m, (void)in, (void)n_in, (void)user;
    return true;
}

/* Does everything; returns false if something failed. */
static bool work(void)
{
    LUCID_SCOPE;
    seen s = {0};
    lucid_module *lstm = make_lstm(2, 2),
                 *criterion =
                     nn_CrossEntropyLoss(.label_smoothing = 0.1, .weight = lucid_ones((2)));
    lucid_module *net = nn_Sequential(make_heads(2, 4), make_siamese(nn_Linear(4, 3)));
    bool ok = lstm && criterion && net && lucid_register_full_backward_hook_many(lstm, watch, &s) &&
              lucid_register_forward_pre_hook_many(lstm, leave, NULL) &&
              lucid_register_full_backward_hook_many(net, watch, &s);
    lucid_tensor *x = lucid_ones((2, 3, 2), .requires_grad = true);
    lucid_tensor *h0 = lucid_ones((3, 2), .requires_grad = true);
    lucid_tensor *target = lucid_zeros((3), .dtype = LUCID_I64);
    for (int k = 0; k < 2 && ok; k++) {
        LUCID_SCOPE;
        lucid_tensor *out[3];
        ok = k ? lucid_checkpoint_into(lstm, (x, h0, NULL), (&out[0], &out[1], &out[2]))
               : lucid_forward_into(lstm, (x, h0, NULL), (&out[0], &out[1], &out[2]));
        lucid_tensor *d = k ? lucid_checkpoint(net, out[1]) : lucid_forward(net, out[1]);
        lucid_tensor *loss = lucid_forward(criterion, lucid_stack((d, d), 1), target);
        lucid_tensor *soft = lucid_forward(criterion, h0, lucid_detach(h0));
        lucid_tensor *sum = lucid_add(lucid_add(loss, soft), lucid_sum(out[2]));
        ok = ok && lucid_backward(sum);
        lucid_zero_grad(lstm);
        lucid_zero_grad(net);
    }
    lucid_module_free(lstm);
    lucid_module_free(criterion);
    lucid_module_free(net);
    return ok && lucid_error_code() == LUCID_OK;
}

Test(many_around, every_allocation_fails_once)
{
    cr_assert(work(), "%s", lucid_error());
    const lucid_live_counts before = lucid_live();
    uint64_t nth = 1;
    for (bool done = false; !done && nth < 20000; nth++) {
        lucid_memory_fail_nth(nth);
        done = work();
        bool failed = lucid_memory_fail_count() >= nth;
        lucid_memory_fail_nth(0);
        lucid_live_counts now = lucid_live();
        cr_assert(now.tensors == before.tensors && now.storages == before.storages &&
                      now.nodes == before.nodes && now.modules == before.modules &&
                      now.other == before.other,
                  "allocation %d leaks", (int)nth);
        cr_expect(done != failed, "allocation %d: %s", (int)nth, lucid_error());
        cr_expect(done || lucid_error_code() == LUCID_ERR_MEMORY, "allocation %d: %s", (int)nth,
                  lucid_error());
        lucid_clear_error();
    }
    cr_expect(nth > 300, "only %d allocations were counted", (int)nth);
}

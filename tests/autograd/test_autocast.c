/* Mixed precision: scopes, every operator's policy, gradients, kept casts, and what goes wrong. */
#include "lucid/extend.h"
#include "tests/testing.h"

#include <pthread.h>

static lucid_tensor *bf16(lucid_tensor *t)
{
    return lucid_cast(t, LUCID_BF16);
}

static lucid_dtype dtype_of(const lucid_tensor *t)
{
    cr_assert(t, "%s", lucid_error());
    return lucid_tensor_dtype(t);
}

#define EXPECT_DTYPE(tensor, dtype)                                            \
    cr_expect(dtype_of(tensor) == (dtype), "%s: expected %s, got %s", #tensor, \
              lucid_dtype_name(dtype), lucid_dtype_name(lucid_tensor_dtype(tensor)))

/* ---- scopes ---------------------------------------------------------------------------------- */

static lucid_dtype leave_early(bool early)
{
    LUCID_AUTOCAST(LUCID_F16);
    if (early) return lucid_autocast_dtype();
    return LUCID_BF16;
}

Test(autocast, scopes_nest_and_end_with_their_block)
{
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
    {
        LUCID_AUTOCAST(LUCID_BF16);
        cr_expect(lucid_autocast_dtype() == LUCID_BF16);
        cr_expect(leave_early(true) == LUCID_F16);
        for (int i = 0; i < 3; i++) {
            LUCID_AUTOCAST(LUCID_AUTOCAST_OFF);
            cr_expect(lucid_autocast_dtype() == LUCID_F32);
            if (i == 1) break;
        }
        cr_expect(lucid_autocast_dtype() == LUCID_BF16);
    }
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
}

Test(autocast, functions)
{
    size_t outer = lucid_autocast_begin(LUCID_F16), inner = lucid_autocast_begin(LUCID_BF16);
    cr_expect(outer && inner && lucid_autocast_dtype() == LUCID_BF16);
    lucid_autocast_end(0);
    cr_expect(lucid_autocast_dtype() == LUCID_BF16);
    lucid_autocast_end(outer); /* and the inner one */
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
    lucid_autocast_end(inner);
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);

    static const lucid_dtype bad[] = {LUCID_F64, LUCID_I64, LUCID_BOOL, LUCID_DTYPE_COUNT};
    for (int i = 0; i < 4; i++) {
        size_t scope = 1;
        EXPECT_ERROR(scope = lucid_autocast_begin(bad[i]), LUCID_ERR_ARGUMENT,
                     "autocast: dtype: expected bfloat16, float16, or float32 (off), got ");
        cr_expect(scope == 0 && lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
    }
}

static void *other_thread(void *p)
{
    lucid_tensor *w = p;
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
    lucid_autocast_begin(LUCID_F16); /* the thread's end is the scope's */
    EXPECT_DTYPE(lucid_matmul(w, w), LUCID_F16);
    return NULL;
}

Test(autocast, belongs_to_its_thread)
{
    {
        LUCID_SCOPE;
        lucid_tensor *w = lucid_requires_grad_(lucid_ones((2, 2)), true);
        LUCID_AUTOCAST(LUCID_BF16);
        pthread_t thread;
        cr_assert(pthread_create(&thread, NULL, other_thread, w) == 0);
        pthread_join(thread, NULL);
        EXPECT_DTYPE(lucid_matmul(w, w), LUCID_BF16);
    }
    lucid_live_counts n = lucid_live();
    cr_expect(n.tensors == 0 && n.storages == 0 && n.nodes == 0);
}

Test(autocast, finish_ends_it)
{
    lucid_autocast_begin(LUCID_BF16);
    lucid_tensor *w = lucid_requires_grad_(lucid_ones((2, 2)), true);
    EXPECT_DTYPE(lucid_matmul(w, w), LUCID_BF16);
    cr_expect(lucid_finish() == 0);
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
}

/* ---- policies -------------------------------------------------------------------------------- */

Test(autocast, every_operator_has_torchs_policy)
{
    static const struct {
        lucid_autocast_policy policy;
        const char *names[48];
    } lists[] = {
        {LUCID_AUTOCAST_LOW, {"matmul", "linear", "conv2d", "lstm"}},
        {LUCID_AUTOCAST_FULL, {"exp",          "log",
                               "rsqrt",        "square",
                               "reciprocal",   "pow_scalar",
                               "pow",          "sum",
                               "softmax",      "log_softmax",
                               "nll_loss",     "softplus",
                               "tan",          "asin",
                               "acos",         "sinh",
                               "cosh",         "log1p",
                               "log2",         "log10",
                               "expm1",        "cumsum",
                               "cumprod",      "linalg_cholesky",
                               "linalg_det",   "linalg_slogdet",
                               "linalg_solve", "linalg_solve_triangular",
                               "linalg_qr",    "linalg_svd",
                               "linalg_eigh"}},
        {LUCID_AUTOCAST_WIDEST, {"add", "sub", "mul", "div", "cat", "minimum", "maximum", "atan2"}},
    };
    const size_t n_lists = sizeof lists / sizeof *lists;
    for (size_t i = 0; lucid_op_at(i); i++) {
        const lucid_op *op = lucid_op_at(i);
        lucid_autocast_policy want = LUCID_AUTOCAST_NONE;
        for (size_t l = 0; l < n_lists; l++)
            for (int k = 0; lists[l].names[k]; k++)
                if (strcmp(op->name, lists[l].names[k]) == 0) want = lists[l].policy;
        cr_expect(op->autocast == want, "%s: expected policy %d, got %d", op->name, (int)want,
                  (int)op->autocast);
    }
    for (size_t l = 0; l < n_lists; l++)
        for (int k = 0; lists[l].names[k]; k++)
            cr_expect(lucid_op_find(lists[l].names[k]), "%s", lists[l].names[k]);
}

Test(autocast, low)
{
    LUCID_SCOPE;
    lucid_tensor *a = lucid_randn((3, 4)), *b = lucid_randn((4, 5)), *v = lucid_randn((4));
    lucid_tensor *w = lucid_randn((5, 4)), *bias = lucid_randn((5));
    lucid_tensor *x = lucid_randn((2, 3, 5, 5)), *k = lucid_randn((4, 3, 3, 3));
    static const lucid_dtype dtypes[] = {LUCID_BF16, LUCID_F16};
    for (int i = 0; i < 2; i++) {
        lucid_dtype d = dtypes[i];
        lucid_tensor *want = lucid_matmul(lucid_cast(a, d), lucid_cast(b, d));
        lucid_tensor *linear =
            lucid_linear(lucid_cast(a, d), lucid_cast(w, d), lucid_cast(bias, d));
        lucid_tensor *conv = lucid_conv2d(lucid_cast(x, d), lucid_cast(k, d), NULL);
        LUCID_AUTOCAST(d);
        EXPECT_DTYPE(lucid_matmul(a, b), d);
        EXPECT_DTYPE(lucid_matmul(v, b), d);
        EXPECT_DTYPE(lucid_matmul(a, v), d);
        cr_expect(lucid_equal(lucid_matmul(a, b), want));
        cr_expect(lucid_equal(lucid_matmul(lucid_cast(a, d), b), want));
        cr_expect(lucid_equal(lucid_linear(a, w, bias), linear));
        EXPECT_DTYPE(lucid_linear(a, w, NULL), d);
        cr_expect(lucid_equal(lucid_conv2d(x, k, NULL), conv));
        EXPECT_DTYPE(lucid_conv2d(lucid_cast(x, d), k, lucid_randn((4))), d);
        LUCID_AUTOCAST(LUCID_AUTOCAST_OFF);
        EXPECT_DTYPE(lucid_matmul(a, b), LUCID_F32);
    }
}

Test(autocast, full)
{
    LUCID_SCOPE;
    lucid_tensor *x = bf16(lucid_rand((3, 4))), *f = lucid_cast(x, LUCID_F32);
    lucid_tensor *target = lucid_zeros((3), .dtype = LUCID_I64);
    EXPECT_DTYPE(lucid_exp(x), LUCID_BF16);
    LUCID_AUTOCAST(LUCID_BF16);
    cr_expect(lucid_equal(lucid_exp(x), lucid_exp(f)));
    EXPECT_DTYPE(lucid_exp(x), LUCID_F32);
    EXPECT_DTYPE(lucid_log(x), LUCID_F32);
    EXPECT_DTYPE(lucid_rsqrt(x), LUCID_F32);
    EXPECT_DTYPE(lucid_square(x), LUCID_F32);
    EXPECT_DTYPE(lucid_reciprocal(x), LUCID_F32);
    EXPECT_DTYPE(lucid_pow_scalar(x, 3), LUCID_F32);
    EXPECT_DTYPE(lucid_pow(x, x), LUCID_F32);
    EXPECT_DTYPE(lucid_sum(x), LUCID_F32);
    EXPECT_DTYPE(lucid_softmax(x, 1), LUCID_F32);
    EXPECT_DTYPE(lucid_log_softmax(x, 1), LUCID_F32);
    EXPECT_DTYPE(lucid_nll_loss(x, target), LUCID_F32);
    EXPECT_DTYPE(lucid_nll_loss(x, target, .weight = bf16(lucid_ones((4)))), LUCID_F32);
    EXPECT_DTYPE(lucid_cross_entropy(x, target), LUCID_F32);
    EXPECT_DTYPE(lucid_cross_entropy(x, target, .label_smoothing = 0.1), LUCID_F32);
    EXPECT_DTYPE(lucid_cross_entropy(x, lucid_softmax(x, 1)), LUCID_F32);
    EXPECT_DTYPE(lucid_mse_loss(x, x), LUCID_F32);
    cr_expect(lucid_equal(lucid_mse_loss(x, lucid_zeros((3, 4))), lucid_mean(lucid_square(f))));
}

Test(autocast, widest_and_the_rest)
{
    LUCID_SCOPE;
    lucid_tensor *f = lucid_rand((3, 4)), *x = bf16(f), *h = lucid_cast(f, LUCID_F16);
    LUCID_AUTOCAST(LUCID_BF16);
    EXPECT_DTYPE(lucid_add(x, f), LUCID_F32);
    EXPECT_DTYPE(lucid_add(x, x), LUCID_BF16);
    EXPECT_DTYPE(lucid_mul(x, h), LUCID_F32);
    EXPECT_DTYPE(lucid_cat((x, f)), LUCID_F32);
    EXPECT_DTYPE(lucid_apply(lucid_op_find("mul"), (lucid_tensor *[]){x, f}, 2, NULL), LUCID_F32);
    EXPECT_DTYPE(lucid_relu(x), LUCID_BF16);
    EXPECT_DTYPE(lucid_tanh(x), LUCID_BF16);
    EXPECT_DTYPE(lucid_mean(x), LUCID_BF16);
    EXPECT_DTYPE(lucid_relu(f), LUCID_F32);
    EXPECT_DTYPE(lucid_add(x, lucid_scalar(2)), LUCID_BF16);
}

Test(autocast, float64_and_integers_are_left_alone)
{
    LUCID_SCOPE;
    lucid_tensor *d = lucid_randn((3, 4), .dtype = LUCID_F64), *w = lucid_randn((5, 4));
    lucid_tensor *i = lucid_ones((2, 2), .dtype = LUCID_I64);
    LUCID_AUTOCAST(LUCID_BF16);
    EXPECT_DTYPE(lucid_linear(d, lucid_cast(w, LUCID_F64), NULL), LUCID_F64);
    EXPECT_DTYPE(lucid_matmul(d, lucid_transpose(w, 0, 1)), LUCID_F64);
    cr_expect(lucid_equal(lucid_matmul(d, lucid_transpose(w, 0, 1)),
                          lucid_matmul(d, lucid_cast(lucid_transpose(w, 0, 1), LUCID_F64))));
    EXPECT_DTYPE(lucid_exp(d), LUCID_F64);
    EXPECT_DTYPE(lucid_sum(i), LUCID_I64);
    EXPECT_DTYPE(lucid_softmax(i, 0), LUCID_F32);
    EXPECT_ERROR(lucid_linear(d, w, NULL), LUCID_ERR_ARGUMENT,
                 "linear: weight: expected dtype float64, got float32");
}

Test(autocast, in_place_is_left_alone)
{
    LUCID_SCOPE;
    lucid_tensor *x = bf16(lucid_ones((2, 2))), *f = lucid_ones((2, 2));
    LUCID_AUTOCAST(LUCID_BF16);
    cr_assert(lucid_add_(x, f) && lucid_add_(f, x) && lucid_exp(x));
    EXPECT_DTYPE(x, LUCID_BF16);
    EXPECT_DTYPE(f, LUCID_F32);
    EXPECT_VALUES(f, 0, 0, {3, 3, 3, 3});
}

/* ---- batch normalisation: x in 16 bits, everything else in float32 --------------------------- */

Test(autocast, batch_norm_keeps_its_state_in_float32)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(bf16(lucid_randn((4, 3, 5, 5))), true);
    lucid_tensor *w = lucid_requires_grad_(lucid_rand((3)), true);
    lucid_tensor *b = lucid_requires_grad_(lucid_rand((3)), true);
    lucid_tensor *mean = lucid_zeros((3)), *var = lucid_ones((3));
    LUCID_AUTOCAST(LUCID_BF16);
    for (int relu = 0; relu < 2; relu++)
        for (int residual = 0; residual < 3; residual++) {
            static const lucid_dtype dtypes[] = {LUCID_BF16, LUCID_BF16, LUCID_F32};
            lucid_tensor *r =
                residual ? lucid_randn((4, 3, 5, 5), .dtype = dtypes[residual]) : NULL;
            lucid_tensor *y = lucid_batch_norm(x, .weight = w, .bias = b, .running_mean = mean,
                                               .running_var = var, .training = true, .residual = r,
                                               .relu = relu != 0);
            EXPECT_DTYPE(y, dtypes[residual]); /* the wider of x and the residual */
            cr_assert(lucid_backward(lucid_sum(y)), "%s", lucid_error());
        }
    EXPECT_DTYPE(lucid_tensor_grad(w), LUCID_F32);
    EXPECT_DTYPE(lucid_tensor_grad(b), LUCID_F32);
    EXPECT_DTYPE(lucid_tensor_grad(x), LUCID_BF16);
    cr_expect(lucid_at(mean, LUCID_SHAPE(0)) != 0);
}

/* ---- gradients ------------------------------------------------------------------------------- */

typedef struct problem {
    lucid_tensor *x, *w1, *b1, *w2, *y;
} problem;

static problem make_problem(void)
{
    lucid_manual_seed(3);
    problem p = {.x = lucid_randn((6, 5)),
                 .w1 = lucid_randn((7, 5)),
                 .b1 = lucid_randn((7)),
                 .w2 = lucid_randn((3, 7)),
                 .y = lucid_zeros((6), .dtype = LUCID_I64)};
    lucid_requires_grad_(p.w1, true);
    lucid_requires_grad_(p.b1, true);
    lucid_requires_grad_(p.w2, true);
    return p;
}

static lucid_tensor *loss_of(const problem *p)
{
    lucid_tensor *h = lucid_relu(lucid_linear(p->x, p->w1, p->b1));
    return lucid_cross_entropy(lucid_linear(h, p->w2, NULL), p->y);
}

/* The same with every cast written out. */
static lucid_tensor *loss_by_hand(const problem *p)
{
    lucid_tensor *h = lucid_relu(lucid_linear(bf16(p->x), bf16(p->w1), bf16(p->b1)));
    lucid_tensor *z = lucid_linear(h, bf16(p->w2), NULL);
    return lucid_cross_entropy(lucid_cast(z, LUCID_F32), p->y);
}

static void take_grads(const problem *p, lucid_tensor *grads[3])
{
    lucid_tensor *const w[] = {p->w1, p->b1, p->w2};
    for (int i = 0; i < 3; i++) {
        EXPECT_DTYPE(lucid_tensor_grad(w[i]), LUCID_F32);
        grads[i] = lucid_clone(lucid_tensor_grad(w[i]), LUCID_PRESERVE);
        lucid_set_grad(w[i], NULL);
    }
}

Test(autocast, gradients_arrive_in_float32)
{
    LUCID_SCOPE;
    problem p = make_problem();
    lucid_tensor *want[3], *got[3], *inside[3], *loss = loss_by_hand(&p);
    cr_assert(lucid_backward(loss));
    take_grads(&p, want);
    lucid_tensor *mixed;
    {
        LUCID_AUTOCAST(LUCID_BF16);
        mixed = loss_of(&p);
        cr_assert(lucid_backward(loss_of(&p))); /* inside: the same numbers */
        take_grads(&p, inside);
    }
    cr_expect(lucid_equal(loss, mixed) && dtype_of(mixed) == LUCID_F32);
    cr_assert(lucid_backward(mixed));
    take_grads(&p, got);
    for (int i = 0; i < 3; i++)
        cr_expect(lucid_equal(want[i], got[i]) && lucid_equal(want[i], inside[i]), "gradient %d",
                  i);
}

Test(autocast, second_derivatives)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(lucid_values((2, 2), 1, 2, 3, 4), true), *g, *h;
    LUCID_AUTOCAST(LUCID_BF16);
    lucid_tensor *y = lucid_sum(lucid_matmul(x, x));
    cr_assert(lucid_grad(&y, 1, &x, 1, &g, .create_graph = true), "%s", lucid_error());
    EXPECT_VALUES(g, 0, 0, {7, 11, 9, 13});
    lucid_tensor *s = lucid_sum(lucid_mul(g, g));
    cr_assert(lucid_grad(&s, 1, &x, 1, &h), "%s", lucid_error());
    EXPECT_VALUES(h, 0, 0, {68, 76, 84, 92});
    EXPECT_DTYPE(h, LUCID_F32);
}

/* ---- kept casts ------------------------------------------------------------------------------ */

static int64_t storages(void)
{
    return lucid_live().storages;
}

Test(autocast, a_parameter_is_cast_once)
{
    LUCID_SCOPE;
    lucid_tensor *w = lucid_requires_grad_(lucid_randn((4, 4)), true), *f = lucid_randn((4, 4));
    lucid_tensor *x = bf16(f);
    int64_t before = storages();
    {
        LUCID_AUTOCAST(LUCID_BF16);
        lucid_tensor *first = lucid_linear(x, w, NULL);
        cr_expect(storages() == before + 2); /* the result and the cast */
        lucid_tensor *second = lucid_linear(x, w, NULL);
        lucid_tensor *third = lucid_matmul(x, w);
        cr_expect(storages() == before + 4);
        {
            LUCID_AUTOCAST(LUCID_F16); /* another dtype, another cast */
            lucid_linear(lucid_cast(x, LUCID_F16), w, NULL);
            cr_expect(storages() == before + 7);
        }
        {
            LUCID_AUTOCAST(LUCID_AUTOCAST_OFF);
            lucid_matmul(f, w);
            cr_expect(storages() == before + 8);
        }
        lucid_linear(x, w, NULL); /* all are kept until the outermost ends */
        cr_expect(storages() == before + 9);
        lucid_linear(f, w, NULL); /* casts of what is no parameter die at once, but for history */
        cr_assert(lucid_backward(lucid_sum(lucid_add(lucid_add(first, second), third))));
        EXPECT_DTYPE(lucid_tensor_grad(w), LUCID_F32);
    }
    cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
}

Test(autocast, what_was_kept_is_freed_at_the_end)
{
    LUCID_SCOPE;
    lucid_tensor *w[100], *x = bf16(lucid_randn((3, 3)));
    for (int i = 0; i < 100; i++) w[i] = lucid_requires_grad_(lucid_randn((3, 3)), true);
    lucid_live_counts before = lucid_live();
    {
        LUCID_AUTOCAST(LUCID_BF16);
        for (int round = 0; round < 2; round++) {
            LUCID_SCOPE;
            for (int i = 0; i < 100; i++) lucid_linear(x, w[i], NULL);
        }
        cr_expect(lucid_live().storages == before.storages + 100);
    }
    lucid_live_counts n = lucid_live();
    cr_expect(n.tensors == before.tensors && n.storages == before.storages &&
              n.nodes == before.nodes);
}

Test(autocast, a_change_of_the_parameter_is_seen)
{
    LUCID_SCOPE;
    lucid_tensor *w = lucid_requires_grad_(lucid_ones((2, 2)), true);
    lucid_tensor *x = lucid_ones((1, 2));
    LUCID_AUTOCAST(LUCID_BF16);
    EXPECT_VALUES(lucid_linear(x, w, NULL), 0, 0, {2, 2});
    {
        LUCID_NO_GRAD;
        lucid_fill_(w, 3);
    }
    lucid_tensor *y = lucid_linear(x, w, NULL);
    EXPECT_VALUES(y, 0, 0, {6, 6});
    cr_assert(lucid_backward(lucid_sum(y)));
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {1, 1, 1, 1});
}

/* A cast that was made while nothing was recorded leads to no parameter. */
Test(autocast, casts_of_no_grad_are_not_used_for_gradients)
{
    LUCID_SCOPE;
    lucid_tensor *w = lucid_requires_grad_(lucid_ones((2, 2)), true), *x = lucid_ones((1, 2));
    LUCID_AUTOCAST(LUCID_BF16);
    {
        LUCID_NO_GRAD;
        cr_expect(!lucid_requires_grad(lucid_linear(x, w, NULL)));
    }
    cr_assert(lucid_backward(lucid_sum(lucid_linear(x, w, NULL))));
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {1, 1, 1, 1});
    {
        LUCID_NO_GRAD;
        cr_expect(!lucid_requires_grad(lucid_linear(x, w, NULL)));
    }
    lucid_requires_grad_(w, false);
    cr_expect(!lucid_requires_grad(lucid_linear(x, w, NULL)));
}

Test(autocast, two_backwards_through_one_cast)
{
    LUCID_SCOPE;
    lucid_tensor *w = lucid_requires_grad_(lucid_ones((2, 2)), true), *x = lucid_ones((1, 2));
    LUCID_AUTOCAST(LUCID_BF16);
    for (int i = 0; i < 2; i++) cr_assert(lucid_backward(lucid_sum(lucid_linear(x, w, NULL))));
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {2, 2, 2, 2});
}

/* ---- a program's own operators --------------------------------------------------------------- */

static lucid_dtype seen; /* by the kernel */

static bool own_kernel(const lucid_kernel_args *args)
{
    seen = args->in[0]->dtype;
    memset(args->out[0]->data, 0, 2 * lucid_dtype_size(args->out[0]->dtype));
    return true;
}

static bool own_compose(const lucid_call *c, lucid_tensor **out)
{
    out[0] = lucid_matmul(c->in[0], c->in[0]);
    return out[0] != NULL;
}

Test(autocast, own_operators)
{
    LUCID_SCOPE;
    lucid_op own = {.name = "own",
                    .schema = "x",
                    .id = LUCID_OP_CUSTOM,
                    .n_in = 1,
                    .n_out = 1,
                    .kernel = own_kernel};
    lucid_tensor *f = lucid_ones((2)), *x = bf16(f);
    LUCID_AUTOCAST(LUCID_BF16);
    EXPECT_DTYPE(lucid_apply(&own, &f, 1, NULL), LUCID_F32);
    EXPECT_DTYPE(lucid_apply(&own, &x, 1, NULL), LUCID_BF16);
    own.autocast = LUCID_AUTOCAST_LOW;
    EXPECT_DTYPE(lucid_apply(&own, &f, 1, NULL), LUCID_BF16);
    cr_expect(seen == LUCID_BF16);
    own.autocast = LUCID_AUTOCAST_FULL;
    EXPECT_DTYPE(lucid_apply(&own, &x, 1, NULL), LUCID_F32);
    cr_expect(seen == LUCID_F32);
    own.kernel = NULL; /* what it is composed of computes in the dtype that .infer has said */
    own.compose = own_compose;
    own.autocast = LUCID_AUTOCAST_NONE;
    lucid_tensor *m = lucid_ones((2, 2));
    EXPECT_DTYPE(lucid_apply(&own, &m, 1, NULL), LUCID_F32);
    lucid_tensor *none = NULL;
    EXPECT_ERROR(lucid_linear(f, none, NULL), LUCID_ERR_ARGUMENT, "linear: weight");
    own.autocast = LUCID_AUTOCAST_LOW;
    EXPECT_ERROR(lucid_apply(&own, &none, 1, NULL), LUCID_ERR_ARGUMENT,
                 "own: x: expected a tensor");
}

/* ---- deterministic --------------------------------------------------------------------------- */

Test(deterministic, operators_without_such_a_form_are_refused)
{
    LUCID_SCOPE;
    lucid_op own = {.name = "own",
                    .schema = "x",
                    .id = LUCID_OP_CUSTOM,
                    .n_in = 1,
                    .n_out = 1,
                    .flags = LUCID_OP_NONDETERMINISTIC,
                    .kernel = own_kernel};
    lucid_tensor *x = lucid_ones((2));
    cr_expect(lucid_apply(&own, &x, 1, NULL));
    lucid_set_deterministic(true);
    EXPECT_ERROR(lucid_apply(&own, &x, 1, NULL), LUCID_ERR_STATE,
                 "own: expected an operator with a deterministic form");
    for (size_t i = 0; lucid_op_at(i); i++)
        cr_expect(!(lucid_op_at(i)->flags & LUCID_OP_NONDETERMINISTIC), "%s", lucid_op_at(i)->name);
    lucid_set_deterministic(false);
    cr_expect(lucid_apply(&own, &x, 1, NULL));
}

/* ---- memory runs out ------------------------------------------------------------------------- */

static bool train_once(void)
{
    LUCID_SCOPE;
    problem p = make_problem();
    lucid_tensor *loss;
    if (!p.x || !p.w1 || !p.b1 || !p.w2 || !p.y) return false;
    {
        LUCID_AUTOCAST(LUCID_BF16);
        loss = loss_of(&p);
        loss = lucid_add(loss, loss_of(&p));
        loss = lucid_add(loss, lucid_mse_loss(lucid_matmul(p.x, lucid_transpose(p.w1, 0, 1)),
                                              lucid_zeros((6, 7))));
    }
    return lucid_backward(loss);
}

Test(autocast, every_allocation_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(train_once(), "%s", lucid_error()); /* the thread has its stack of scopes now */
    uint64_t nth = 1;
    for (bool done = false; !done; nth++) {
        lucid_memory_fail_nth(nth);
        bool ok = train_once();
        done = lucid_memory_fail_count() < nth;
        lucid_memory_fail_nth(0);
        cr_expect(ok == done, "allocation %llu", (unsigned long long)nth);
        if (!done)
            cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "allocation %llu: %s",
                      (unsigned long long)nth, lucid_error());
        lucid_clear_error();
        lucid_live_counts n = lucid_live();
        cr_assert(n.tensors == 0 && n.storages == 0 && n.nodes == 0, "allocation %llu fails: alive",
                  (unsigned long long)nth);
        cr_expect(lucid_autocast_dtype() == LUCID_AUTOCAST_OFF);
        cr_assert(nth < 10000);
    }
    cr_expect(nth > 50, "only %llu allocations were counted", (unsigned long long)nth);
}

/* Operators that follow one another inside lucid_forward run as one, with the same results. */
#include "tests/testing.h"

#include "autograd/autocast.h"
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "backends/cpu/levels_priv.h"
#include "lucid/extend.h"
#include "lucid/core/profiler.h"
#include "lucid/core/random.h"
#include "nn/nn.h"

/* ---- networks in two copies: one that fuses, one that does not ---- */

static lucid_module *network(lucid_dtype dtype)
{
    lucid_manual_seed(3);
    lucid_module *m = nn_Sequential(
        nn_BatchNorm2d(5), nn_ReLU(), nn_BatchNorm2d(5, .affine = false), nn_ReLU(.inplace = true),
        nn_ReLU(), nn_BatchNorm2d(5, .momentum = LUCID_MOMENTUM_NONE), nn_BatchNorm2d(5), nn_ReLU(),
        nn_Flatten(), nn_BatchNorm1d(5 * 12, .track_running_stats = false), nn_ReLU());
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    for (size_t i = 0; i < n; i++) lucid_init_uniform(p[i].tensor, -1, 1.5);
    lucid_to_dtype(m, dtype);
    return m;
}

static lucid_tensor *input(lucid_dtype dtype, lucid_memory_format format)
{
    lucid_manual_seed(8);
    lucid_tensor *x = lucid_cast(lucid_randn((6, 5, 3, 4)), dtype);
    return lucid_requires_grad_(lucid_detach(lucid_contiguous(x, format)), true);
}

/* Returns the output; in training, runs backward as well. */
static lucid_tensor *run(lucid_module *m, lucid_tensor *x, bool fused)
{
    bool before = lucid_set_fusion(fused);
    lucid_tensor *y = lucid_forward(m, x);
    if (lucid_requires_grad(y)) {
        cr_expect_str_eq(lucid_grad_fn_name(y), fused ? "batch_norm" : "relu");
        lucid_manual_seed(9);
        lucid_backward(
            lucid_sum(lucid_mul(y, lucid_cast(lucid_randn((6, 60)), lucid_tensor_dtype(x)))));
    }
    cr_expect(lucid_set_fusion(before) == fused);
    return y;
}

static void expect_same(const lucid_tensor *a, const lucid_tensor *b, const char *what)
{
    cr_expect(a && b && lucid_equal(a, b), "%s differs", what);
}

static void expect_same_state(lucid_module *a, lucid_module *b)
{
    size_t n, m;
    const lucid_named_tensor *p = lucid_named_parameters(a, &n);
    const lucid_named_tensor *q = lucid_named_parameters(b, &m);
    cr_assert(n == m && n == 8);
    for (size_t i = 0; i < n; i++)
        if (lucid_tensor_grad(q[i].tensor) || lucid_tensor_grad(p[i].tensor))
            expect_same(lucid_tensor_grad(p[i].tensor), lucid_tensor_grad(q[i].tensor), p[i].name);
    p = lucid_named_buffers(a, &n);
    q = lucid_named_buffers(b, &m);
    cr_assert(n == m && n == 12);
    for (size_t i = 0; i < n; i++) expect_same(p[i].tensor, q[i].tensor, p[i].name);
}

Test(fusion, the_same_bits_with_and_without)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    for (int t = 0; t < 4; t++)
        for (int layout = 0; layout < 2; layout++) {
            LUCID_SCOPE;
            lucid_memory_format format = layout ? LUCID_CHANNELS_LAST : LUCID_CONTIGUOUS;
            lucid_module *a = network(dtypes[t]), *b = network(dtypes[t]);
            lucid_tensor *x = input(dtypes[t], format), *y = input(dtypes[t], format);
            for (int step = 0; step < 2; step++) {
                expect_same(run(a, x, true), run(b, y, false), "the output");
                expect_same(lucid_tensor_grad(x), lucid_tensor_grad(y), "the input's gradient");
                expect_same_state(a, b);
            }
            lucid_eval(a);
            lucid_eval(b);
            expect_same(run(a, x, true), run(b, y, false), "the output in eval");
            expect_same(lucid_tensor_grad(x), lucid_tensor_grad(y), "the gradient in eval");
            LUCID_NO_GRAD;
            expect_same(run(a, x, true), run(b, y, false), "the output under no_grad");
            expect_same_state(a, b);
            lucid_module_free(a);
            lucid_module_free(b);
        }
}

Test(fusion, only_parameters_or_only_the_input_need_gradients)
{
    for (int frozen = 0; frozen < 2; frozen++)
        for (int training = 0; training < 2; training++) {
            LUCID_SCOPE;
            lucid_module *a = network(LUCID_F32), *b = network(LUCID_F32);
            lucid_tensor *x = input(LUCID_F32, LUCID_CONTIGUOUS);
            lucid_tensor *y = lucid_detach(x);
            lucid_requires_grad_(x, frozen);
            lucid_requires_grad_(y, frozen);
            lucid_module_requires_grad(a, !frozen);
            lucid_module_requires_grad(b, !frozen);
            lucid_set_training(a, training);
            lucid_set_training(b, training);
            expect_same(run(a, x, true), run(b, y, false), "the output");
            if (frozen) expect_same(lucid_tensor_grad(x), lucid_tensor_grad(y), "the gradient");
            expect_same_state(a, b);
            lucid_module_free(a);
            lucid_module_free(b);
        }
}

/* ---- what keeps them apart ---- */

static const char *last_operator(lucid_module *m)
{
    lucid_tensor *x = lucid_requires_grad_(lucid_randn((4, 3, 2, 2)), true);
    lucid_tensor *y = lucid_forward(m, x);
    lucid_backward(lucid_sum(y));
    return lucid_grad_fn_name(y);
}

static lucid_tensor *least(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)m;
    LUCID_NO_GRAD;
    *(double *)user = lucid_item(lucid_min(x));
    return NULL;
}

static lucid_tensor *least_output(lucid_module *m, lucid_tensor *x, lucid_tensor *y, void *user)
{
    (void)x;
    return least(m, y, user);
}

static lucid_tensor *count(lucid_module *m, lucid_tensor *gx, lucid_tensor *gy, void *user)
{
    (void)m, (void)gx, (void)gy;
    ++*(int *)user;
    return NULL;
}

Test(fusion, hooks_see_what_goes_between)
{
    LUCID_SCOPE;
    lucid_module *bn = nn_BatchNorm2d(3), *relu = nn_ReLU(), *m = nn_Sequential(bn, relu);
    double seen = 1;
    int calls = 0;
    cr_expect_str_eq(last_operator(m), "batch_norm");
    uint64_t hook = lucid_register_forward_pre_hook(relu, least, &seen);
    cr_expect_str_eq(last_operator(m), "relu");
    cr_expect_lt(seen, 0);
    lucid_module_remove_hook(relu, hook);
    cr_expect_str_eq(last_operator(m), "batch_norm");
    seen = 1;
    hook = lucid_register_forward_hook(bn, least_output, &seen);
    cr_expect_str_eq(last_operator(m), "relu");
    cr_expect_lt(seen, 0);
    lucid_module_remove_hook(bn, hook);
    lucid_register_full_backward_hook(bn, count, &calls);
    last_operator(m);
    cr_expect_eq(calls, 1);
    lucid_register_full_backward_hook(relu, count, &calls);
    last_operator(m);
    cr_expect_eq(calls, 3);
    lucid_module_free(m);
}

/* relu(norm(conv(x)) + residual), written as anybody would write it; conv, residual and relu may be
 * left out. */
typedef struct Block {
    lucid_module base;
    lucid_module *conv, *norm;
    lucid_tensor *residual;
    bool relu, inplace, residual_first;
} Block;

static lucid_tensor *block_forward(lucid_module *m, lucid_tensor *x)
{
    const Block *b = lucid_self(m, Block);
    lucid_tensor *y = lucid_forward(b->norm, b->conv ? lucid_forward(b->conv, x) : x);
    if (b->residual)
        y = b->inplace          ? lucid_add_(y, b->residual)
            : b->residual_first ? lucid_add(b->residual, y)
                                : lucid_add(y, b->residual);
    return !b->relu ? y : b->inplace ? lucid_relu_(y) : lucid_relu(y);
}

static const lucid_module_class block_class = {.name = "Block",
                                               .size = sizeof(Block),
                                               .super = &lucid_module_class_base,
                                               .forward = block_forward};

static Block *block(lucid_module *conv, lucid_module *norm)
{
    Block *b = lucid_self(lucid_module_new(&block_class), Block);
    if (conv) lucid_register_module(&b->base, "conv", &b->conv, conv);
    lucid_register_module(&b->base, "norm", &b->norm, norm);
    return b;
}

typedef struct OwnNorm {
    nn_BatchNorm2d base;
} OwnNorm;
typedef struct OwnConvolution {
    nn_Conv2d base;
} OwnConvolution;

static lucid_tensor *minus_one(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_add_scalar(lucid_mul_scalar(x, 0), -1);
}

static bool takes_all(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return x != NULL;
}

Test(fusion, classes_of_ones_own_keep_their_forward)
{
    LUCID_SCOPE;
    const lucid_module_class own = {.name = "OwnNorm",
                                    .size = sizeof(OwnNorm),
                                    .super = &lucid_nn_batch_norm2d_class,
                                    .forward = minus_one};
    lucid_module *m = nn_Sequential(lucid_nn_batch_norm_new(&own, 3, NULL), nn_ReLU());
    cr_expect_str_eq(last_operator(m), "relu");
    lucid_tensor *y = lucid_forward(m, lucid_randn((4, 3, 2, 2)));
    cr_expect_eq(lucid_item(lucid_max(y)), 0);
    lucid_module_free(m);
}

/* After a convolution of the library and one of a class of this test, in training and in eval. */
Test(fusion, convolutions_of_ones_own_keep_their_forward)
{
    LUCID_SCOPE;
    const lucid_module_class conv = {.name = "OwnConvolution",
                                     .size = sizeof(OwnConvolution),
                                     .super = &lucid_nn_conv2d_class,
                                     .forward = minus_one,
                                     .check_input = takes_all};
    const lucid_module_class deeper = {
        .name = "Deeper", .size = sizeof(OwnConvolution), .super = &conv};
    const lucid_module_class norm = {.name = "OwnNorm",
                                     .size = sizeof(OwnNorm),
                                     .super = &lucid_nn_batch_norm2d_class,
                                     .forward = minus_one};
    lucid_module *a =
        nn_Sequential(lucid_module_new(&deeper), nn_BatchNorm2d(3, .eps = 0, .momentum = 0));
    lucid_module *b = nn_Sequential(nn_Conv2d(3, 3, 1), lucid_nn_batch_norm_new(&norm, 3, NULL));
    lucid_tensor *x = lucid_randn((4, 3, 2, 2));
    for (int training = 0; training < 2; training++) {
        lucid_set_training(a, training);
        lucid_set_training(b, training);
        LUCID_NO_GRAD;
        /* minus one, by running statistics of 0 and 1, or by its own */
        lucid_tensor *y = lucid_forward(a, x), *z = lucid_forward(b, x);
        cr_assert(y && z, "%s", lucid_error());
        cr_expect_eq(lucid_item(lucid_max(y)), training ? 0 : -1);
        cr_expect_eq(lucid_item(lucid_max(z)), -1);
    }
    lucid_module_free(a);
    lucid_module_free(b);
}

Test(fusion, an_order_that_is_not_batch_norm_and_relu)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Sequential(nn_ReLU(), nn_BatchNorm2d(3));
    lucid_tensor *y = lucid_forward(m, lucid_randn((4, 3, 2, 2)));
    cr_expect_lt(lucid_item(lucid_min(y)), 0);
    lucid_module *tanh = nn_Sequential(nn_BatchNorm2d(3), nn_Tanh(), nn_ReLU());
    cr_expect_str_eq(last_operator(tanh), "relu");
    lucid_module_free(tanh);
    lucid_module_free(m);
}

Test(fusion, errors_name_the_module)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *bn = nn_BatchNorm2d(3);
    lucid_module *m = nn_Sequential(nn_Identity(), bn, nn_ReLU(), nn_Identity());
    EXPECT_ERROR(lucid_forward(m, lucid_randn((4, 2, 2, 2))), LUCID_ERR_ARGUMENT,
                 "BatchNorm2d: input: expected 3 channels");
    lucid_forward(m, lucid_randn((4, 2, 2, 2)));
    cr_expect(strstr(lucid_error(), "; module net.1"), "%s", lucid_error());
    lucid_clear_error();
    EXPECT_ERROR(lucid_forward(m, lucid_randn((4, 3))), LUCID_ERR_ARGUMENT, "4-D [N,C,H,W]");
    cr_expect_eq(lucid_item(lucid_get_buffer(bn, "num_batches_tracked")), 0);
    lucid_module_free(m);
    Block *b = block(NULL, nn_BatchNorm2d(3));
    b->residual = lucid_randn((4, 3, 2, 5));
    EXPECT_ERROR(lucid_forward(&b->base, lucid_randn((4, 3, 2, 2))), LUCID_ERR_ARGUMENT,
                 "add: b: expected a shape that broadcasts with [4,3,2,2]");
    lucid_module_free(&b->base);
}

/* ---- residual blocks ---- */

/* form: bit 0 ReLU, bit 1 a residual, bit 2 both in place, bit 3 the residual comes first. */
static void run_block(lucid_dtype dtype, int form, bool training, bool fused, lucid_tensor *got[8])
{
    lucid_manual_seed(5);
    Block *b = block(NULL, nn_BatchNorm2d(7, .dtype = dtype));
    lucid_set_training(&b->base, training);
    lucid_tensor *x = lucid_requires_grad_(lucid_cast(lucid_randn((3, 7, 5, 4)), dtype), true);
    lucid_tensor *r = lucid_requires_grad_(lucid_cast(lucid_randn((3, 7, 5, 4)), dtype), true);
    lucid_tensor *g = lucid_cast(lucid_randn((3, 7, 5, 4)), dtype);
    b->relu = form & 1;
    b->residual = form & 2 ? r : NULL;
    b->inplace = form & 4;
    b->residual_first = form & 8;
    lucid_set_fusion(fused);
    lucid_tensor *y = lucid_forward(&b->base, x);
    if (fused) cr_expect_str_eq(lucid_grad_fn_name(y), "batch_norm");
    lucid_set_fusion(true);
    lucid_backward(lucid_sum(lucid_mul(y, g)));
    got[0] = y;
    got[1] = lucid_tensor_grad(x);
    got[2] = form & 2 ? lucid_tensor_grad(r) : y;
    got[3] = lucid_tensor_grad(lucid_get_parameter(b->norm, "weight"));
    got[4] = lucid_tensor_grad(lucid_get_parameter(b->norm, "bias"));
    got[5] = lucid_get_buffer(b->norm, "running_mean");
    got[6] = lucid_get_buffer(b->norm, "running_var");
    got[7] = lucid_get_buffer(b->norm, "num_batches_tracked");
    for (int i = 0; i < 8; i++) got[i] = lucid_clone(got[i], LUCID_CONTIGUOUS);
    lucid_module_free(&b->base);
}

Test(fusion, the_end_of_a_residual_block)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64};
    for (int form = 0; form < 16; form++)
        for (int k = 0; k < 4; k++) {
            LUCID_SCOPE;
            lucid_tensor *fused[8], *apart[8];
            run_block(dtypes[k / 2], form, k % 2, true, fused);
            run_block(dtypes[k / 2], form, k % 2, false, apart);
            for (int i = 0; i < 8; i++) expect_same(fused[i], apart[i], "one of a block's results");
        }
}

/* ReLU's output is not kept for backward: changing it in place is allowed; x is, and it is not. */
Test(fusion, what_backward_needs)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Sequential(nn_BatchNorm2d(3), nn_ReLU());
    lucid_tensor *leaf = lucid_requires_grad_(lucid_randn((4, 3, 2, 2)), true);
    lucid_tensor *y = lucid_forward(m, lucid_mul_scalar(leaf, 2));
    cr_expect(lucid_backward(lucid_sum(lucid_mul_scalar_(y, 3))), "%s", lucid_error());
    lucid_tensor *x = lucid_mul_scalar(leaf, 2);
    y = lucid_forward(m, x);
    lucid_mul_scalar_(x, 3);
    EXPECT_ERROR(lucid_backward(lucid_sum(y)), LUCID_ERR_STATE, "modified in place");
    lucid_module_free(m);
}

/* ---- with the convolution in front ---- */

static lucid_module *classifier(lucid_dtype dtype)
{
    lucid_manual_seed(4);
    lucid_module *m = nn_Sequential(
        nn_Conv2d(3, 18, 3, .padding = 1), nn_BatchNorm2d(18), nn_ReLU(),
        nn_Conv2d(18, 35, 1, .stride = 2, .bias = false), nn_BatchNorm2d(35),
        nn_Conv2d(35, 35, 3, .groups = 35, .padding = 1), nn_BatchNorm2d(35, .affine = false),
        nn_ReLU(.inplace = true), nn_Conv2d(35, 20, 3, .groups = 5, .padding = 2, .dilation = 2),
        nn_BatchNorm2d(20), nn_Conv2d(20, 9, 1), nn_BatchNorm2d(9), nn_ReLU(), nn_Conv2d(9, 4, 3));
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    for (size_t i = 0; i < n; i++) lucid_init_uniform(p[i].tensor, -0.5, 0.7);
    p = lucid_named_buffers(m, &n);
    for (size_t i = 0; i < n; i++)
        if (lucid_dtype_is_floating(lucid_tensor_dtype(p[i].tensor)))
            lucid_init_uniform(p[i].tensor, 0.3, 1.5);
    lucid_to_dtype(m, dtype);
    return m;
}

static double largest(const lucid_tensor *a)
{
    LUCID_SCOPE;
    return lucid_item(lucid_max(lucid_abs(lucid_cast((lucid_tensor *)(uintptr_t)a, LUCID_F64))));
}

/* |a - b| <= limit everywhere */
static void expect_within(const lucid_tensor *a, const lucid_tensor *b, double limit)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_cast((lucid_tensor *)(uintptr_t)a, LUCID_F64);
    lucid_tensor *y = lucid_cast((lucid_tensor *)(uintptr_t)b, LUCID_F64);
    const double off = largest(lucid_sub(x, y));
    cr_expect_leq(off, limit, "off by %g, more than %g", off, limit);
}

static void expect_near(const lucid_tensor *a, const lucid_tensor *b, double tolerance)
{
    expect_within(a, b, tolerance * largest(b));
}

/* Counts how often an operator ran inside f. */
static size_t count_of(const char *name, lucid_module *m, lucid_tensor *x, lucid_tensor **y)
{
    lucid_profiler_reset();
    lucid_profiler_start();
    *y = lucid_forward(m, x);
    lucid_profiler_stop();
    size_t count = 0;
    lucid_profile_entry e;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++)
        if (!strcmp(e.op, name)) count += (size_t)e.count;
    lucid_profiler_reset();
    return count;
}

Test(fusion, a_convolution_in_front_of_a_batch_norm_in_eval)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    static const double tolerances[] = {1e-5, 1e-13, 0.02, 0.1};
    for (int level = 0; level >= 0; level = luc_cpu_next(level))
        for (int t = 0; t < 4; t++)
            for (int layout = 0; layout < 2; layout++) {
                LUCID_SCOPE;
                luc_cpu_force((luc_cpu_level)level);
                lucid_module *m = classifier(dtypes[t]);
                lucid_tensor *x = lucid_cast(lucid_randn((2, 3, 13, 10)), dtypes[t]), *fused, *y;
                x = lucid_contiguous(x, layout ? LUCID_CHANNELS_LAST : LUCID_CONTIGUOUS);
                lucid_eval(m);
                LUCID_NO_GRAD;
                cr_expect_eq(count_of("conv2d_batch_norm", m, x, &fused), 5);
                lucid_set_fusion(false);
                cr_expect_eq(count_of("conv2d_batch_norm", m, x, &y), 0);
                lucid_set_fusion(true);
                expect_near(fused, y, tolerances[t]);
                lucid_module_free(m);
            }
    luc_cpu_force(luc_cpu_best());
}

Test(fusion, a_convolution_stays_apart_where_it_must)
{
    LUCID_SCOPE;
    static const char op[] = "conv2d_batch_norm";
    lucid_module *conv = nn_Conv2d(3, 4, 3), *bn = nn_BatchNorm2d(4), *m = nn_Sequential(conv, bn);
    lucid_tensor *x = lucid_randn((2, 3, 6, 6)), *y;
    double seen;
    cr_expect_eq(count_of(op, m, x, &y), 0, "in training");
    lucid_eval(m);
    cr_expect_eq(count_of(op, m, x, &y), 0, "with gradients");
    cr_expect(lucid_requires_grad(y));
    lucid_module_requires_grad(m, false);
    cr_expect_eq(count_of(op, m, x, &y), 1, "nothing asks for a gradient");
    lucid_tensor *leaf = lucid_requires_grad_(lucid_clone(x, LUCID_CONTIGUOUS), true);
    cr_expect_eq(count_of(op, m, leaf, &y), 0, "the input asks for one");
    cr_expect(lucid_backward(lucid_sum(y)) && lucid_tensor_grad(leaf));
    LUCID_NO_GRAD;
    cr_expect_eq(count_of(op, m, leaf, &y), 1, "under no_grad");
    uint64_t hook = lucid_register_forward_hook(conv, least_output, &seen);
    cr_expect_eq(count_of(op, m, x, &y), 0, "a hook on the convolution");
    lucid_module_remove_hook(conv, hook);
    hook = lucid_register_forward_pre_hook(bn, least, &seen);
    cr_expect_eq(count_of(op, m, x, &y), 0, "a hook on the BatchNorm");
    lucid_module_remove_hook(bn, hook);
    cr_expect_eq(count_of(op, m, x, &y), 1, "without hooks");
    lucid_module_free(m);
    m = nn_Sequential(nn_Conv2d(3, 4, 3), nn_BatchNorm2d(4, .track_running_stats = false));
    lucid_eval(m);
    cr_expect_eq(count_of(op, m, x, &y), 0, "the batch's statistics");
    lucid_module_free(m);
}

/* Mixed precision reaches into what was folded: the dtype and, to its rounding, the numbers are
 * those of the modules one by one. */
Test(fusion, a_folded_convolution_obeys_autocast)
{
    for (int added = 0; added < 3; added++) {
        LUCID_SCOPE;
        LUCID_NO_GRAD;
        LUCID_AUTOCAST(LUCID_BF16);
        Block *b = block(nn_Conv2d(3, 4, 3, .padding = 1), nn_BatchNorm2d(4));
        lucid_eval(&b->base);
        lucid_tensor *x = lucid_randn((2, 3, 6, 5)), *r = lucid_randn((2, 4, 6, 5)), *y[2];
        b->residual = added == 1 ? r : added == 2 ? lucid_cast(r, LUCID_BF16) : NULL;
        b->relu = true;
        for (int k = 0; k < 2; k++) {
            lucid_set_fusion(k == 0);
            y[k] = lucid_forward(&b->base, x);
        }
        lucid_set_fusion(true);
        cr_expect_eq(lucid_tensor_dtype(y[1]), added == 1 ? LUCID_F32 : LUCID_BF16);
        cr_expect_eq(lucid_tensor_dtype(y[0]), lucid_tensor_dtype(y[1]));
        expect_near(y[0], y[1], 0.02);
        lucid_tensor *z;
        cr_expect_eq(count_of("conv2d_batch_norm", &b->base, x, &z), 1);
        cr_expect_eq(count_of("relu", &b->base, x, &z), added == 1 ? 1 : 0);
        cr_expect_eq(count_of("conv2d_batch_norm", &b->base, lucid_cast(x, LUCID_BF16), &z), 1);
        lucid_module_free(&b->base);
    }
}

/* A change of statistics and weights has an effect. */
Test(fusion, nothing_is_remembered_of_what_was_folded)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_module *m = classifier(LUCID_F32);
    lucid_tensor *x = lucid_randn((2, 3, 13, 10));
    for (int step = 0; step < 4; step++) {
        size_t n;
        lucid_train(m);
        lucid_forward(m, lucid_randn((4, 3, 9, 9)));
        lucid_eval(m);
        lucid_tensor *fused = lucid_forward(m, x);
        lucid_set_fusion(false);
        expect_near(fused, lucid_forward(m, x), 1e-5);
        lucid_set_fusion(true);
        const lucid_named_tensor *p = lucid_named_parameters(m, &n);
        for (size_t i = 0; i < n; i++) lucid_mul_scalar_(p[i].tensor, -0.9);
    }
    lucid_module_free(m);
}

Test(fusion, a_convolution_with_a_residual)
{
    for (int form = 0; form < 8; form++) {
        LUCID_SCOPE;
        lucid_manual_seed(6);
        Block *b = block(nn_Conv2d(5, 7, 3, .padding = 1), nn_BatchNorm2d(7));
        lucid_init_uniform(lucid_get_buffer(b->norm, "running_var"), 0.3, 1.5);
        lucid_set_training(b->norm, form & 4);
        lucid_tensor *x = lucid_randn((2, 5, 6, 4)), *r = lucid_randn((2, 7, 6, 4)), *y[3];
        b->residual = form & 2 ? r : lucid_permute(lucid_randn((2, 7, 4, 6)), (0, 1, 3, 2));
        b->relu = form & 1;
        for (int k = 0; k < 3; k++) {
            lucid_set_fusion(k == 0);
            lucid_set_grad_enabled(k == 2);
            y[k] = lucid_forward(&b->base, x);
            cr_expect_eq(lucid_requires_grad(y[k]), k == 2);
        }
        lucid_set_fusion(true);
        lucid_set_grad_enabled(true);
        expect_near(y[0], y[1], 1e-5);
        expect_near(y[2], y[1], 1e-5);
        cr_expect(lucid_backward(lucid_sum(y[2])));
        cr_expect(lucid_tensor_grad(lucid_get_parameter(b->conv, "weight")));
        lucid_module_free(&b->base);
    }
}

Test(fusion, the_function_is_differentiable)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_randn((2, 3, 5, 4)), *w = lucid_randn((4, 3, 3, 3));
    lucid_tensor *mean = lucid_randn((4)), *var = lucid_rand((4));
    lucid_tensor *y =
        lucid_conv2d_batch_norm(x, w, .running_mean = mean, .running_var = var, .relu = true);
    lucid_requires_grad_(w, true);
    lucid_tensor *z =
        lucid_conv2d_batch_norm(x, w, .running_mean = mean, .running_var = var, .relu = true);
    expect_near(z, y, 1e-5);
    cr_expect(!lucid_requires_grad(y) && lucid_requires_grad(z));
    cr_expect(lucid_backward(lucid_sum(z)) && lucid_tensor_grad(w));
}

/* Errors of a convolution and of the BatchNorm after it name the right one of the two. */
static void expect_refusals(bool training)
{
    lucid_module *m = nn_Sequential(nn_Identity(), nn_Conv2d(3, 4, 3), nn_BatchNorm2d(4));
    lucid_module *wrong = nn_Sequential(nn_Conv2d(3, 4, 3), nn_BatchNorm2d(5));
    lucid_set_training(m, training);
    lucid_set_training(wrong, training);
    lucid_forward(m, lucid_randn((2, 5, 6, 6)));
    cr_expect(strstr(lucid_error(), "Conv2d: input: expected [N,3,H,W]"), "%s", lucid_error());
    cr_expect(strstr(lucid_error(), "; module net.1"), "%s", lucid_error());
    lucid_clear_error();
    EXPECT_ERROR(lucid_forward(m, lucid_randn((2, 3, 2, 2))), LUCID_ERR_ARGUMENT,
                 "conv2d: weight: expected a kernel of at most");
    EXPECT_ERROR(lucid_forward(wrong, lucid_randn((2, 3, 6, 6))), LUCID_ERR_ARGUMENT,
                 "BatchNorm2d: input: expected 5 channels");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((3, 6, 6))), LUCID_ERR_ARGUMENT, "4-D [N,C,H,W]");
    if (training)
        EXPECT_ERROR(lucid_forward(m, lucid_randn((1, 3, 3, 3))), LUCID_ERR_ARGUMENT,
                     "expected more than 1 value per channel");
    cr_expect_eq(lucid_item(lucid_get_buffer(m, "2.num_batches_tracked")), 0);
    lucid_module_free(m);
    lucid_module_free(wrong);
}

Test(fusion, errors_of_a_convolution_and_a_batch_norm_name_the_module)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    expect_refusals(true);
    LUCID_NO_GRAD;
    expect_refusals(false);
}

Test(fusion, errors_of_the_function)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 3, 6, 6)), *w = lucid_randn((4, 3, 3, 3));
    EXPECT_ERROR(lucid_conv2d_batch_norm(x, w), LUCID_ERR_ARGUMENT, "running_mean");
    lucid_tensor *one = lucid_ones((4));
    EXPECT_ERROR(lucid_conv2d_batch_norm(x, w, .running_mean = one, .running_var = one, .eps = -1),
                 LUCID_ERR_ARGUMENT, "eps: expected >= 0");
    EXPECT_ERROR(
        lucid_conv2d_batch_norm(x, w, .running_mean = one, .running_var = one, .conv.stride = 0),
        LUCID_ERR_ARGUMENT, "conv2d_batch_norm: stride: expected >= 1");
}

/* ---- the batch's statistics, from the convolution ---- */

/* Runs a training step of each of two copies and compares outputs, gradients and statistics. */
static void expect_same_training(lucid_module *a, lucid_module *b, lucid_tensor *x,
                                 double tolerance)
{
    lucid_tensor *y[2];
    size_t n, expected = lucid_tensor_dtype(x) == LUCID_F32 ? 5 : 0;
    cr_expect_eq(count_of("conv2d_statistics", a, x, &y[0]), expected);
    lucid_set_fusion(false);
    cr_expect_eq(count_of("conv2d_statistics", b, x, &y[1]), 0);
    lucid_set_fusion(true);
    expect_near(y[0], y[1], tolerance);
    lucid_manual_seed(12);
    lucid_tensor *g =
        lucid_cast(lucid_randn_opt(lucid_tensor_shape(y[0]), NULL), lucid_tensor_dtype(x));
    for (int i = 0; i < 2; i++) lucid_backward(lucid_sum(lucid_mul(y[i], g)));
    const lucid_named_tensor *p = lucid_named_parameters(a, &n), *q = lucid_named_parameters(b, &n);
    double most = 0; /* of all gradients: those of the biases in front of a BatchNorm are 0 */
    for (size_t i = 0; i < n; i++) most = fmax(most, largest(lucid_tensor_grad(q[i].tensor)));
    for (size_t i = 0; i < n; i++)
        expect_within(lucid_tensor_grad(p[i].tensor), lucid_tensor_grad(q[i].tensor),
                      tolerance * most);
    p = lucid_named_buffers(a, &n), q = lucid_named_buffers(b, &n);
    for (size_t i = 0; i < n; i++) expect_near(p[i].tensor, q[i].tensor, tolerance);
}

Test(fusion, a_convolution_finds_the_statistics_in_training)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_BF16};
    static const double tolerances[] = {5e-6, 0, 0};
    for (int level = 0; level >= 0; level = luc_cpu_next(level))
        for (int t = 0; t < 3; t++) {
            LUCID_SCOPE;
            luc_cpu_force((luc_cpu_level)level);
            lucid_module *a = classifier(dtypes[t]), *b = classifier(dtypes[t]);
            /* the first one's result is large enough for sums that are taken on the way */
            lucid_tensor *x = lucid_cast(lucid_randn((18, 3, 66, 68)), dtypes[t]);
            expect_same_training(a, b, x, tolerances[t]);
            lucid_module_free(a);
            lucid_module_free(b);
        }
    luc_cpu_force(luc_cpu_best());
}

Test(fusion, a_convolution_finds_no_statistics_where_it_must_not)
{
    LUCID_SCOPE;
    static const char op[] = "conv2d_statistics";
    lucid_module *conv = nn_Conv2d(3, 4, 3), *bn = nn_BatchNorm2d(4), *m = nn_Sequential(conv, bn);
    lucid_tensor *x = lucid_randn((2, 3, 6, 6)), *y;
    double seen;
    cr_expect_eq(count_of(op, m, x, &y), 1, "in training");
    uint64_t hook = lucid_register_forward_hook(conv, least_output, &seen);
    cr_expect_eq(count_of(op, m, x, &y), 0, "a hook on the convolution");
    lucid_module_remove_hook(conv, hook);
    hook = lucid_register_forward_pre_hook(bn, least, &seen);
    cr_expect_eq(count_of(op, m, x, &y), 0, "a hook on the BatchNorm");
    lucid_module_remove_hook(bn, hook);
    {
        LUCID_AUTOCAST(LUCID_BF16);
        cr_expect_eq(count_of(op, m, x, &y), 0, "in 16 bits");
        cr_expect_eq(lucid_tensor_dtype(y), LUCID_BF16);
    }
    lucid_eval(m);
    cr_expect_eq(count_of(op, m, x, &y), 0, "in eval");
    lucid_module_free(m);
    m = nn_Sequential(nn_Conv2d(3, 4, 3), nn_BatchNorm2d(4, .track_running_stats = false));
    lucid_eval(m);
    cr_expect_eq(count_of(op, m, x, &y), 1, "in eval, without running statistics");
    lucid_module_free(m);
}

/* The gradient of a gradient's squares, and of a forward that is computed a second time, are the
 * same as without fusion. */
Test(fusion, statistics_in_second_derivatives_and_checkpoints)
{
    lucid_tensor *got[2][2][3], *mean[2][2];
    LUCID_SCOPE;
    for (int form = 0; form < 2; form++)
        for (int k = 0; k < 2; k++) {
            lucid_manual_seed(4);
            lucid_module *conv = nn_Conv2d(3, 6, 3, .groups = 3), *bn = nn_BatchNorm2d(6);
            lucid_module *m = nn_Sequential(conv, bn, nn_ReLU());
            lucid_tensor *x = lucid_requires_grad_(lucid_randn((4, 3, 7, 6)), true);
            lucid_tensor *w = lucid_get_parameter(conv, "weight");
            lucid_tensor *in[] = {x, w, lucid_get_parameter(bn, "weight")}, **grads = got[form][k];
            lucid_set_fusion(k == 0);
            lucid_tensor *y = lucid_square(form ? lucid_checkpoint(m, x) : lucid_forward(m, x));
            lucid_tensor *loss = lucid_sum(lucid_mul(y, lucid_randn((4, 6, 5, 4))));
            if (form == 0) {
                cr_assert(lucid_grad(&loss, 1, in, 3, grads, .create_graph = true));
                loss =
                    lucid_add(lucid_sum(lucid_square(grads[0])), lucid_sum(lucid_square(grads[1])));
            }
            cr_assert(lucid_backward(loss), "%s", lucid_error());
            for (int i = 0; i < 3; i++)
                grads[i] = lucid_clone(lucid_tensor_grad(in[i]), LUCID_CONTIGUOUS);
            mean[form][k] = lucid_clone(lucid_get_buffer(bn, "running_mean"), LUCID_CONTIGUOUS);
            cr_expect_eq(lucid_item(lucid_get_buffer(bn, "num_batches_tracked")), 1);
            lucid_module_free(m);
        }
    lucid_set_fusion(true);
    for (int form = 0; form < 2; form++) {
        expect_near(mean[form][0], mean[form][1], 1e-6);
        for (int i = 0; i < 3; i++) expect_near(got[form][0][i], got[form][1][i], 5e-5);
    }
}

Test(fusion, statistics_by_name)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    const lucid_conv2d_attrs attrs = {
        .stride = {1, 1}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 1};
    lucid_tensor *x = lucid_randn((3, 2, 5, 4)), *w = lucid_randn((4, 2, 3, 3)), *out[3];
    cr_assert(lucid_apply_multi(lucid_op_find("conv2d_statistics"), (lucid_tensor *[]){x, w, NULL},
                                3, &attrs, out));
    lucid_tensor *y = out[0], *mean = out[1], *var = out[2];
    cr_expect(lucid_equal(y, lucid_conv2d(x, w, NULL, .padding = 1)));
    lucid_tensor *wide = lucid_cast(y, LUCID_F64);
    expect_near(mean, lucid_mean(wide, (0, 2, 3)), 4e-7);
    expect_near(var, lucid_var(wide, (0, 2, 3), .correction = 0), 4e-7);
    expect_near(lucid_batch_norm(y, .training = true, .mean = mean, .var = var),
                lucid_batch_norm(y, .training = true), 1e-6);
    lucid_tensor *last = lucid_contiguous(y, LUCID_CONTIGUOUS);
    expect_near(lucid_batch_norm(last, .training = true, .mean = mean, .var = var),
                lucid_batch_norm(last, .training = true), 1e-6);
    EXPECT_ERROR(lucid_batch_norm(y, .training = true, .mean = mean), LUCID_ERR_ARGUMENT,
                 "batch_norm: mean, var: expected both or none, got one");
    EXPECT_ERROR(lucid_batch_norm(y, .training = true, .mean = mean, .var = lucid_ones((4))),
                 LUCID_ERR_ARGUMENT, "batch_norm: var: expected float64 [4]");
    EXPECT_ERROR(lucid_batch_norm(x, .training = true, .mean = mean, .var = var),
                 LUCID_ERR_ARGUMENT, "batch_norm: mean: expected float64 [2]");
}

/* Means of ten thousand deviations, and a channel that is constant: as accurate as a BatchNorm
 * alone. */
Test(fusion, statistics_of_a_convolution_far_from_zero)
{
    for (int kernel = 1; kernel <= 3; kernel += 2) {
        LUCID_SCOPE;
        lucid_module *conv = nn_Conv2d(3, 40, kernel, .padding = kernel / 2);
        lucid_module *bn = nn_BatchNorm2d(40), *m = nn_Sequential(conv, bn);
        lucid_set_grad_enabled(false);
        lucid_init_normal(lucid_get_parameter(bn, "bias"), 0, 1);
        lucid_init_uniform(lucid_get_parameter(conv, "bias"), -1e4, 1e4);
        lucid_mul_scalar_(lucid_get_parameter(conv, "weight"), sqrt(3 * kernel * kernel));
        lucid_zero_(lucid_select(lucid_get_parameter(conv, "weight"), 0, 7));
        lucid_set_grad_enabled(true);
        lucid_tensor *x = lucid_randn((9, 3, 64, 64)), *fused;
        cr_expect_eq(count_of("conv2d_statistics", m, x, &fused), 1);
        lucid_tensor *exact =
            lucid_batch_norm(lucid_cast(lucid_forward(conv, x), LUCID_F64), .training = true,
                             .bias = lucid_cast(lucid_get_parameter(bn, "bias"), LUCID_F64));
        expect_within(fused, exact, 2e-6);
        lucid_tensor *constant = lucid_select(fused, 1, 7), *bias = lucid_get_parameter(bn, "bias");
        cr_expect_eq(lucid_item(lucid_min(constant)), lucid_item(lucid_select(bias, 0, 7)));
        cr_expect_eq(lucid_item(lucid_max(constant)), lucid_item(lucid_select(bias, 0, 7)));
        lucid_module_free(m);
    }
}

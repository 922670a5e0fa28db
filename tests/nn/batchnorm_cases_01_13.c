/* BatchNorm, cases 1 to 13 of the list in tests/reference/README.md: statistics, momentum, modes,
 * precision. */
#include "tests/nn/batchnorm.h"

TEST_SUITE_ON_DEVICE(batchnorm);

/* ---- 1 to 3: what is normalised with, what is tracked ---------------------------------------- */

static void case01(bn_run r)
{
    bn_check(r);
    r.shape = LUCID_SHAPE(7, 5);
    bn_check(r);
    r.shape = LUCID_SHAPE(3, 4, 9);
    bn_check(r);
    r.shape = LUCID_SHAPE(2, 33, 7, 9);
    bn_check(r);
    r.shape = LUCID_SHAPE(2, 3, 3, 4, 5);
    bn_check(r);
}

Test(batchnorm, case01_biased_for_normalising_unbiased_for_tracking)
{
    bn_vectors("case01", 26);
    bn_everywhere(case01);
}

/* [0,2] and then [2,4] through BatchNorm1d(1): mean 1, unbiased variance 2; then 3 and 2. */
static void two_batches(lucid_dtype dtype, double momentum, double mean, double var)
{
    LUCID_SCOPE;
    lucid_module *m = nn_BatchNorm1d(1, .momentum = momentum,
                                     .dtype = dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_tensor *f_mean = lucid_zeros((1)), *f_var = lucid_ones((1));
    for (int i = 0; i < 2; i++) {
        lucid_tensor *x = lucid_cast(lucid_values((2, 1), 2 * i, 2 * i + 2), dtype);
        cr_assert(lucid_forward(m, x), "%s", lucid_error());
        if (momentum >= 0 && dtype == LUCID_F32)
            lucid_batch_norm(x, .running_mean = f_mean, .running_var = f_var, .training = true,
                             .momentum = momentum);
    }
    double t = dtype == LUCID_F64 ? 1e-15 : 1e-6;
    EXPECT_VALUES(bn->running_mean, t, 0, {mean});
    EXPECT_VALUES(bn->running_var, t, 0, {var});
    cr_expect(lucid_item(bn->num_batches_tracked) == 2);
    if (momentum >= 0 && dtype == LUCID_F32) {
        EXPECT_VALUES(f_mean, t, 0, {mean});
        EXPECT_VALUES(f_var, t, 0, {var});
    }
    lucid_module_free(m);
}

Test(batchnorm, case02_momentum)
{
    bn_vectors("case02", 3);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        two_batches((lucid_dtype)dtype, 0.1, 0.39, 1.19);
        two_batches((lucid_dtype)dtype, 0, 0, 1);
        two_batches((lucid_dtype)dtype, 1, 3, 2);
    }
}

Test(batchnorm, case03_momentum_none_is_the_average)
{
    bn_vectors("case03", 1);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        two_batches((lucid_dtype)dtype, LUCID_MOMENTUM_NONE, 2, 2);
}

/* ---- 4 to 9: modes --------------------------------------------------------------------------- */

static void case04(bn_run r)
{
    LUCID_SCOPE;
    r.shape = LUCID_SHAPE(1, 3, 1, 1);
    lucid_tensor *x = bn_normal(r.shape, r.dtype, 0, 1);
    lucid_module *m = bn_module(&r, r.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_set_training(m, r.training);
    if (r.training && r.functional) {
        EXPECT_ERROR(lucid_batch_norm(x, .training = true), LUCID_ERR_ARGUMENT,
                     "batch_norm: input: expected more than 1 value per channel when training, "
                     "got [1,3,1,1]");
    } else if (r.training) {
        EXPECT_ERROR(lucid_forward(m, x), LUCID_ERR_ARGUMENT,
                     "BatchNorm2d: input: expected more than 1 value per channel when training, "
                     "got [1,3,1,1]");
        EXPECT_VALUES(bn->running_mean, 0, 0, {0, 0, 0});
        cr_expect(lucid_item(bn->num_batches_tracked) == 0, "a refused batch does not count");
    } else {
        bn_check(r);
    }
    lucid_module_free(m);
    r.shape = LUCID_SHAPE(1, 3, 2, 2);
    bn_check(r);
}

Test(batchnorm, case04_one_value_per_channel)
{
    bn_vectors("case04", 4);
    bn_everywhere(case04);
}

Test(batchnorm, case05_without_running_statistics)
{
    LUCID_SCOPE;
    bn_vectors("case05", 3);
    lucid_module *m = nn_BatchNorm2d(3, .track_running_stats = false);
    lucid_tensor *x = lucid_randn((4, 3, 2, 2));
    lucid_tensor *y = lucid_forward(m, x);
    lucid_eval(m);
    cr_expect(lucid_equal(lucid_forward(m, x), y));
    size_t n;
    lucid_named_buffers(m, &n);
    cr_expect(n == 0);
    EXPECT_ERROR(lucid_forward(m, lucid_randn((1, 3, 1, 1))), LUCID_ERR_ARGUMENT,
                 "more than 1 value per channel");
    EXPECT_ERROR(lucid_batch_norm(lucid_randn((1, 3))), LUCID_ERR_ARGUMENT,
                 "more than 1 value per channel");
    lucid_module_free(m);
}

static void case06(bn_run r)
{
    LUCID_SCOPE;
    if (r.functional) return; /* it is the module's switch */
    lucid_module *m = bn_module(&r, r.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 3, 1), r.layout);
    cr_assert(lucid_forward(m, x));
    lucid_tensor *mean = lucid_clone(bn->running_mean, LUCID_PRESERVE);
    lucid_tensor *var = lucid_clone(bn->running_var, LUCID_PRESERVE);
    bn->track_running_stats = false;
    lucid_tensor *y = lucid_forward(m, x);
    cr_expect(lucid_equal(y, lucid_forward(m, x)), "the batch's statistics, whatever was tracked");
    cr_expect(lucid_equal(bn->running_mean, mean) && lucid_equal(bn->running_var, var));
    cr_expect(lucid_item(bn->num_batches_tracked) == 1);
    lucid_eval(m);
    lucid_tensor *expected = lucid_batch_norm(x, .weight = bn->weight, .bias = bn->bias,
                                              .running_mean = mean, .running_var = var);
    cr_expect(lucid_equal(lucid_forward(m, x), expected), "eval still uses the buffers");
    lucid_module_free(m);
}

Test(batchnorm, case06_tracking_switched_off_later)
{
    bn_vectors("case06", 1);
    bn_everywhere(case06);
}

static void case07(bn_run r)
{
    LUCID_SCOPE;
    if (r.training) return;
    bn_check(r);
    lucid_module *m = bn_module(&r, r.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    lucid_eval(m);
    lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 3, 1), r.layout);
    lucid_tensor *dy = bn_normal(r.shape, r.dtype, 0, 1), *first[3] = {0};
    lucid_requires_grad_(x, true);
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    for (int i = 0; i < 2; i++) {
        lucid_tensor *in[3] = {x, bn->weight, bn->bias}, *grads[3];
        lucid_tensor *y = lucid_forward(m, x);
        cr_assert(lucid_grad(&y, 1, in, 3, grads, .gradients = &dy), "%s", lucid_error());
        for (int k = 0; k < 3; k++) {
            if (i) cr_expect(lucid_equal(first[k], grads[k]), "gradient %d", k);
            first[k] = grads[k];
        }
    }
    lucid_module_free(m);
}

Test(batchnorm, case07_eval_backward)
{
    bn_vectors("case07", 8);
    bn_everywhere(case07);
}

static void case08(bn_run r)
{
    if (r.training) return;
    for (int which = 0; which < 2; which++) {
        LUCID_SCOPE;
        lucid_module *m = bn_module(&r, r.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
        nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
        lucid_eval(m);
        lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 3, 1), r.layout);
        lucid_requires_grad_(x, true);
        lucid_tensor *y = r.functional ? lucid_batch_norm(x, .weight = bn->weight, .bias = bn->bias,
                                                          .running_mean = bn->running_mean,
                                                          .running_var = bn->running_var)
                                       : lucid_forward(m, x);
        lucid_add_scalar_(which ? bn->running_var : bn->running_mean, 1);
        EXPECT_ERROR(lucid_backward(lucid_sum(y)), LUCID_ERR_STATE,
                     which ? "running_var" : "running_mean");
        lucid_module_free(m);
    }
}

Test(batchnorm, case08_buffers_changed_before_backward)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    bn_everywhere(case08);
}

static void case09(bn_run r)
{
    LUCID_SCOPE;
    if (!r.training || r.functional) return;
    lucid_dtype wide = r.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    lucid_module *m = bn_module(&r, wide), *other = bn_module(&r, wide);
    lucid_tensor *x[2], *y[2], *dy = lay_out(bn_normal(r.shape, r.dtype, 0, 1), r.layout);
    for (int i = 0; i < 2; i++) {
        x[i] = lay_out(bn_normal(r.shape, r.dtype, 3 * i, 1 + i), r.layout);
        lucid_requires_grad_(x[i], true);
        y[i] = lucid_forward(m, x[i]);
    }
    cr_expect(lucid_item(lucid_get_buffer(m, "num_batches_tracked")) == 2);
    for (int i = 0; i < 2; i++) {
        lucid_zero_grad(m);
        cr_assert(lucid_backward(y[i], .gradient = dy), "%s", lucid_error());
        /* The channel alone, in its own layer, must give the same. */
        lucid_tensor *alone = lucid_detach(x[i]);
        lucid_requires_grad_(alone, true);
        lucid_zero_grad(other);
        lucid_backward(lucid_forward(other, alone), .gradient = dy);
        cr_expect(lucid_equal(lucid_tensor_grad(x[i]), lucid_tensor_grad(alone)));
        cr_expect(lucid_equal(lucid_tensor_grad(lucid_get_parameter(m, "weight")),
                              lucid_tensor_grad(lucid_get_parameter(other, "weight"))));
    }
    lucid_module_free(other);
    lucid_module_free(m);
}

Test(batchnorm, case09_two_forwards_two_backwards)
{
    bn_vectors("case09", 1);
    bn_everywhere(case09);
}

/* ---- 10 to 13: precision --------------------------------------------------------------------- */

static void case10(bn_run r)
{
    if (r.dtype != LUCID_F32 && r.dtype != LUCID_F64) return; /* 1e4 + 1 is not in the others */
    r.mean = 1e4;
    r.std = 1;
    r.tolerance = r.dtype == LUCID_F64 ? 1e-10 : 2e-6;
    r.shape = LUCID_SHAPE(16, 3, 12, 12);
    bn_check(r);
}

Test(batchnorm, case10_variance_is_never_a_difference_of_squares)
{
    bn_vectors("case10", 2);
    bn_everywhere(case10);
}

/* The largest distance of y from the truth in float64. */
static double distance(lucid_module *m, lucid_tensor *x)
{
    LUCID_SCOPE;
    int64_t n = lucid_size(x, 0), c = lucid_size(x, 1), s = lucid_size(x, 2) * lucid_size(x, 3);
    double *v = bn_doubles(x), *y = bn_doubles(lucid_forward(m, x)), mean[8], var[8], worst = 0;
    bn_statistics(v, n, c, s, mean, var);
    for (int64_t i = 0; i < n * c * s; i++) {
        int64_t k = i / s % c;
        double error = fabs(y[i] - (v[i] - mean[k]) / sqrt(var[k] + 1e-5));
        if (!(error <= worst)) worst = error;
    }
    free(v);
    free(y);
    return worst;
}

Test(batchnorm, case11_large_means)
{
    bn_vectors("case11", 6);
    lucid_manual_seed(3);
    static const char *const layouts[] = {"contiguous", "channels_last"};
    for (int i = 0; i < 4; i++) {
        LUCID_SCOPE;
        double std = i & 1 ? 0.1 : 1, limit = i & 1 ? 1e-5 : 2e-6;
        lucid_module *m = nn_BatchNorm2d(8);
        lucid_tensor *x = bn_normal(LUCID_SHAPE(8, 8, 32, 32), LUCID_F32, 1e4, std);
        double error = distance(m, lay_out(x, layouts[i >> 1]));
        cr_expect(error <= limit, "mean 1e4, std %g, %s: %g", std, layouts[i >> 1], error);
        lucid_module_free(m);
    }
}

/* Every element of a constant channel is the bias, to the last bit. */
static void constant_channels(bn_run r)
{
    static const double values[] = {0, 1, -3.7, 1e4, 123456.789, -3e7, 1e-20, 1.0 / 3};
    enum { CHANNELS = 8 };
    LUCID_SCOPE;
    if (!r.training) return;
    lucid_dtype wide = r.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    r.shape = LUCID_SHAPE(5, CHANNELS, 3, 7);
    lucid_module *m = bn_module(&r, wide);
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_tensor *bias = bn_normal(LUCID_SHAPE(CHANNELS), wide, 0, 1);
    {
        LUCID_NO_GRAD;
        lucid_copy_(bn->bias, bias);
        lucid_uniform_(bn->weight, 0.5, 2);
    }
    lucid_tensor *row =
        lucid_from_doubles_opt(LUCID_SHAPE(1, CHANNELS, 1, 1), values, CHANNELS, NULL);
    lucid_tensor *ones = lucid_ones_opt(r.shape, NULL);
    if (r.dtype == LUCID_F16) row = lucid_clamp(row, -60000, 60000);
    lucid_tensor *x = lay_out(lucid_cast(lucid_mul(ones, row), r.dtype), r.layout);
    lucid_tensor *y = r.functional ? lucid_batch_norm(x, .weight = bn->weight, .bias = bn->bias,
                                                      .training = true, .eps = r.eps)
                                   : lucid_forward(m, x);
    cr_assert(y, "%s", lucid_error());
    lucid_tensor *expected =
        lucid_cast(lucid_expand_opt(lucid_reshape(bias, (1, CHANNELS, 1, 1)), r.shape), r.dtype);
    cr_expect(lucid_equal(lucid_detach(y), expected), "%s, %s, eps %g", lucid_dtype_name(r.dtype),
              r.layout, r.eps);
    lucid_module_free(m);
}

Test(batchnorm, case12_constant_channel_gives_the_bias)
{
    bn_vectors("case12", 8);
    bn_everywhere(constant_channels);
}

static void case13(bn_run r)
{
    r.eps = 0;
    constant_channels(r);
}

Test(batchnorm, case13_eps_0_on_a_constant_channel)
{
    bn_vectors("case13", 4);
    bn_everywhere(case13);
}

/* BatchNorm, cases 14 to 25 of that list: odd values, empty batches, dtypes, layouts, sizes. */
#include "tests/nn/batchnorm.h"

#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

TEST_SUITE_ON_DEVICE(batchnorm);

static lucid_dtype wide_of(const bn_run *r)
{
    return r->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
}

static lucid_tensor *apply(const bn_run *r, lucid_module *m, lucid_tensor *x)
{
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_set_training(m, r->training);
    if (!r->functional) return lucid_forward(m, x);
    return lucid_batch_norm(x, .weight = bn->weight, .bias = bn->bias,
                            .running_mean = bn->running_mean, .running_var = bn->running_var,
                            .training = r->training, .momentum = r->momentum, .eps = r->eps);
}

/* ---- 14 to 16 -------------------------------------------------------------------------------- */

static void case14(bn_run r)
{
    LUCID_SCOPE;
    if (r.training) return;
    lucid_module *m = bn_module(&r, wide_of(&r));
    double *v = calloc(1, sizeof *v);
    lucid_tensor *var = lucid_get_buffer(m, "running_var");
    lucid_fill_(lucid_narrow(var, 0, 1, 1), -0.5);
    lucid_tensor *y = apply(&r, m, lay_out(bn_normal(r.shape, r.dtype, 0, 1), r.layout));
    size_t n = (size_t)lucid_numel(y), s = 30;
    free(v);
    v = bn_doubles(y);
    for (size_t i = 0; i < n; i++)
        cr_expect((isnan(v[i]) != 0) == (i / s % 3 == 1), "%zu: %g", i, v[i]);
    free(v);
    lucid_module_free(m);
}

Test(batchnorm, case14_negative_running_var_gives_nan)
{
    bn_vectors("case14", 1);
    bn_everywhere(case14);
}

static void empty(bn_run r, lucid_shape shape)
{
    LUCID_SCOPE;
    r.shape = shape;
    lucid_module *m = bn_module(&r, wide_of(&r));
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = r.dtype;
    lucid_tensor *x =
        lucid_requires_grad_(lay_out(lucid_zeros_opt(shape, &options), r.layout), true);
    lucid_tensor *y = apply(&r, m, x);
    cr_assert(y, "%s", lucid_error());
    lucid_shape out = lucid_tensor_shape(y);
    cr_expect(lucid_shape_equal(&out, &shape));
    cr_assert(lucid_backward(lucid_sum(y)), "%s", lucid_error());
    out = lucid_tensor_shape(lucid_tensor_grad(x));
    cr_expect(lucid_shape_equal(&out, &shape));
    lucid_tensor *zeros = lucid_zeros_opt(LUCID_SHAPE(shape.dims[1]), NULL);
    cr_expect(lucid_equal(lucid_tensor_grad(bn->weight), zeros));
    cr_expect(lucid_equal(lucid_tensor_grad(bn->bias), zeros));
    cr_expect(lucid_equal(bn->running_mean, zeros));
    cr_expect(lucid_equal(bn->running_var, lucid_add_scalar(zeros, 1)));
    if (!r.functional) cr_expect(lucid_item(bn->num_batches_tracked) == (r.training ? 1 : 0));
    lucid_module_free(m);
}

static void case15(bn_run r)
{
    empty(r, LUCID_SHAPE(0, 3, 4, 5));
    empty(r, LUCID_SHAPE(4, 0, 3, 3));
    empty(r, LUCID_SHAPE(2, 3, 0, 5));
}

Test(batchnorm, case15_empty_batch)
{
    bn_vectors("case15", 2);
    bn_everywhere(case15);
}

static void case16(bn_run r)
{
    LUCID_SCOPE;
    if (!r.training) return;
    r.shape = LUCID_SHAPE(3, 5, 4, 4);
    lucid_module *m = bn_module(&r, wide_of(&r)), *clean = bn_module(&r, wide_of(&r));
    lucid_tensor *x = bn_normal(r.shape, r.dtype, 0, 1);
    lucid_tensor *bad = lucid_clone(x, LUCID_PRESERVE);
    lucid_fill_(lucid_select(lucid_select(bad, 0, 1), 0, 1), NAN);
    lucid_fill_(lucid_narrow(lucid_select(lucid_select(bad, 0, 2), 0, 3), 0, 0, 1), INFINITY);
    lucid_tensor *y = apply(&r, m, lay_out(bad, r.layout));
    lucid_tensor *good = apply(&r, clean, lay_out(x, r.layout));
    for (int k = 0; k < 5; k++) {
        lucid_tensor *a = lucid_select(lucid_detach(y), 1, k);
        if (k == 1 || k == 3) {
            double *v = bn_doubles(a);
            int nans = 0;
            for (int i = 0; i < 48; i++) nans += isnan(v[i]) != 0;
            cr_expect(k == 3 || nans == 48, "channel %d: %d NaN", k, nans);
            free(v);
        } else {
            cr_expect(lucid_equal(a, lucid_select(lucid_detach(good), 1, k)), "channel %d", k);
        }
    }
    double *mean = bn_doubles(lucid_get_buffer(m, "running_mean"));
    cr_expect(isnan(mean[1]) && isfinite(mean[0]) && isfinite(mean[2]) && isfinite(mean[4]));
    free(mean);
    lucid_module_free(clean);
    lucid_module_free(m);
}

Test(batchnorm, case16_nan_and_inf_stay_in_their_channel)
{
    bn_vectors("case16", 2);
    bn_everywhere(case16);
}

/* ---- 17, 18: dtypes -------------------------------------------------------------------------- */

static void case17(bn_run r)
{
    LUCID_SCOPE;
    if (r.dtype != LUCID_F16 && r.dtype != LUCID_BF16) return;
    r.std = 3e3;
    r.mean = 1e3;
    bn_check(r);
    if (!r.training) return;
    r.momentum = 1;
    lucid_module *m = bn_module(&r, LUCID_F32);
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 0, 3e3), r.layout);
    lucid_requires_grad_(x, true);
    lucid_tensor *y = apply(&r, m, x);
    lucid_backward(lucid_sum(y));
    cr_expect(lucid_tensor_dtype(y) == r.dtype);
    cr_expect(lucid_tensor_dtype(lucid_tensor_grad(x)) == r.dtype);
    cr_expect(lucid_tensor_dtype(lucid_tensor_grad(bn->weight)) == LUCID_F32);
    double *var = bn_doubles(bn->running_var);
    for (int i = 0; i < 3; i++) cr_expect(isfinite(var[i]) && var[i] > 65504, "%g", var[i]);
    free(var);
    lucid_module_free(m);
}

/* Beyond 1e154 the variance is no float64 any more but infinite, so that y is the bias, as in
 * PyTorch, and all gradients but the bias's are 0. */
Test(batchnorm, case16_float64_whose_variance_overflows)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    static const char *const layouts[] = {"contiguous", "channels_last"};
    for (int i = 0; i < 2; i++) {
        LUCID_SCOPE;
        lucid_tensor *x = bn_normal(LUCID_SHAPE(2, 2, 3, 5), LUCID_F64, 0, 1);
        lucid_tensor *one = bn_normal(LUCID_SHAPE(1, 2, 1, 1), LUCID_F64, 0, 0);
        lucid_fill_(one, 1);
        lucid_fill_(lucid_narrow(one, 1, 1, 1), 1e160); /* the second channel only */
        x = lucid_requires_grad_(lay_out(lucid_mul(x, one), layouts[i]), true);
        lucid_tensor *w = lucid_requires_grad_(lucid_ones((2), .dtype = LUCID_F64), true);
        lucid_tensor *b = lucid_requires_grad_(lucid_full((2), 0.25, .dtype = LUCID_F64), true);
        lucid_tensor *mean = lucid_zeros((2), .dtype = LUCID_F64),
                     *var = lucid_ones((2), .dtype = LUCID_F64);
        lucid_tensor *y = lucid_batch_norm(x, .weight = w, .bias = b, .running_mean = mean,
                                           .running_var = var, .training = true);
        lucid_tensor *dy = bn_normal(LUCID_SHAPE(2, 2, 3, 5), LUCID_F64, 1, 1);
        lucid_tensor *in[2] = {x, w}, *grads[2];
        cr_assert(y && lucid_grad(&y, 1, in, 2, grads, .gradients = &dy), "%s", lucid_error());
        double *ys = bn_doubles(y), *dx = bn_doubles(grads[0]), *dw = bn_doubles(grads[1]);
        for (int k = 0; k < 60; k++) {
            cr_expect(isfinite(ys[k]) && isfinite(dx[k]), "%s: y %g, dx %g", layouts[i], ys[k],
                      dx[k]);
            if (k / 15 % 2) cr_expect(ys[k] == 0.25 && dx[k] == 0);
        }
        cr_expect(isfinite(dw[0]) && dw[1] == 0, "dw %g %g", dw[0], dw[1]);
        free(ys), free(dx), free(dw);
        double *m = bn_doubles(mean), *v = bn_doubles(var);
        cr_expect(isfinite(v[0]) && v[1] == INFINITY && isfinite(m[1]), "running %g, %g", m[1],
                  v[1]);
        free(m), free(v);
    }
}

Test(batchnorm, case17_half_precision_has_float32_statistics)
{
    bn_vectors("case17", 2);
    bn_everywhere(case17);
}

Test(batchnorm, case18_counter_stays_int64)
{
    LUCID_SCOPE;
    lucid_module *m = nn_BatchNorm2d(3);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        cr_assert(lucid_to_dtype(m, (lucid_dtype)dtype), "%s", lucid_error());
        lucid_tensor *counter = lucid_get_buffer(m, "num_batches_tracked");
        cr_expect(lucid_tensor_dtype(counter) == LUCID_I64 && lucid_ndim(counter) == 0);
        cr_expect(lucid_tensor_dtype(lucid_get_buffer(m, "running_mean")) == (lucid_dtype)dtype);
        lucid_tensor *x = bn_normal(LUCID_SHAPE(4, 3, 2, 2), (lucid_dtype)dtype, 0, 1);
        cr_expect(lucid_forward(m, x), "%s", lucid_error());
        cr_expect(lucid_item(counter) == dtype + 1);
    }
    lucid_module_free(m);
}

/* ---- 19 to 22: layouts and what is given ----------------------------------------------------- */

static void same_as_contiguous(bn_run r, const char *layout)
{
    LUCID_SCOPE;
    lucid_tensor *values = bn_normal(r.shape, r.dtype, 1, 2),
                 *dy = bn_normal(r.shape, r.dtype, 0, 1);
    lucid_tensor *y[2], *dx[2];
    for (int i = 0; i < 2; i++) {
        const char *as = i ? layout : "contiguous";
        lucid_module *m = bn_module(&r, wide_of(&r));
        lucid_tensor *x = lucid_requires_grad_(lucid_detach(lay_out(values, as)), true);
        y[i] = apply(&r, m, x);
        cr_assert(y[i] && lucid_backward(y[i], .gradient = lay_out(dy, as)), "%s", lucid_error());
        dx[i] = lucid_retain(lucid_tensor_grad(x));
        if (strcmp(as, "channels_last") == 0) {
            cr_expect(lucid_is_contiguous(y[i], LUCID_CHANNELS_LAST),
                      "the output keeps the layout");
            cr_expect(lucid_is_contiguous(dx[i], LUCID_CHANNELS_LAST), "and so does dx");
        }
        lucid_module_free(m);
    }
    expect_near(layout, lucid_detach(y[1]), y[0], steps_tolerance(r.dtype), 1);
    expect_near(layout, dx[1], dx[0], steps_tolerance(r.dtype), 1);
    lucid_release(dx[0]);
    lucid_release(dx[1]);
}

static void case19(bn_run r)
{
    same_as_contiguous(r, "channels_last");
    r.shape = LUCID_SHAPE(2, 37, 9, 5);
    same_as_contiguous(r, "channels_last");
    r.shape = LUCID_SHAPE(2, 3, 2, 4, 5);
    same_as_contiguous(r, "channels_last");
}

Test(batchnorm, case19_channels_last_is_kept)
{
    bn_vectors("case19", 11);
    bn_everywhere(case19);
}

static void case20(bn_run r)
{
    LUCID_SCOPE;
    same_as_contiguous(r, "transposed");
    same_as_contiguous(r, "step2");
    /* Stride 0 in x, and in the gradient of a sum. */
    lucid_tensor *one = bn_normal(LUCID_SHAPE(1, 3, 5, 6), r.dtype, 1, 2), *y[2], *dx[2];
    for (int i = 0; i < 2; i++) {
        lucid_module *m = bn_module(&r, wide_of(&r));
        lucid_tensor *x = lucid_expand_opt(one, r.shape);
        x = lucid_requires_grad_(lucid_detach(i ? lucid_clone(x, LUCID_CONTIGUOUS) : x), true);
        y[i] = apply(&r, m, x);
        cr_assert(lucid_backward(lucid_sum(lucid_mul_scalar(y[i], 3))), "%s", lucid_error());
        dx[i] = lucid_retain(lucid_tensor_grad(x));
        lucid_module_free(m);
    }
    expect_near("expanded", lucid_detach(y[0]), y[1], steps_tolerance(r.dtype), 1);
    expect_near("expanded", dx[0], dx[1], steps_tolerance(r.dtype), 1);
    lucid_release(dx[0]);
    lucid_release(dx[1]);
}

Test(batchnorm, case20_any_strides)
{
    bn_vectors("case20", 1);
    bn_everywhere(case20);
}

static void case21(bn_run r)
{
    LUCID_SCOPE;
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = wide_of(&r);
    lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 2, 1), r.layout), *mean[2], *var[2];
    for (int i = 0; i < 2; i++) {
        mean[i] = lucid_zeros_opt(LUCID_SHAPE(i ? 6 : 3), &o);
        var[i] = lucid_ones_opt(LUCID_SHAPE(i ? 6 : 3), &o);
        if (i) mean[i] = lucid_slice(mean[i], 0, 0, 6, 2), var[i] = lucid_slice(var[i], 0, 0, 6, 2);
        cr_assert(lucid_batch_norm(x, .running_mean = mean[i], .running_var = var[i],
                                   .training = r.training),
                  "%s", lucid_error());
    }
    cr_expect(lucid_equal(mean[0], mean[1]) && lucid_equal(var[0], var[1]));
    if (r.training) cr_expect(!lucid_equal(mean[1], lucid_mul_scalar(mean[1], 0)));
}

Test(batchnorm, case21_strided_running_buffers)
{
    bn_vectors("case21", 2);
    bn_everywhere(case21);
}

static void case22(bn_run r)
{
    if (!r.functional) return;
    for (int given = 0; given < 4; given++) {
        r.no_weight = given & 1;
        r.no_bias = given & 2;
        bn_check(r);
    }
}

Test(batchnorm, case22_what_is_absent)
{
    LUCID_SCOPE;
    bn_vectors("case22", 11);
    bn_everywhere(case22);
    lucid_tensor *x = lucid_randn((4, 3)), *one = lucid_ones((3));
    EXPECT_ERROR(lucid_batch_norm(x, .running_mean = one), LUCID_ERR_ARGUMENT,
                 "running_var: expected running statistics in eval mode, got nothing");
    EXPECT_ERROR(lucid_batch_norm(x, .running_var = one), LUCID_ERR_ARGUMENT, "running_mean");
}

/* ---- 23 to 25: sizes and eps ----------------------------------------------------------------- */

static double formula(int64_t i)
{
    return (double)(7919 * i % 1009) / 16 - 31;
}

static void compare_ends(const steps_case *s, int k, lucid_tensor *y)
{
    int64_t n = lucid_size(y, 0);
    char head[64], tail[64];
    snprintf(head, sizeof head, "truth.s%d.head", k);
    snprintf(tail, sizeof tail, "truth.s%d.tail", k);
    lucid_tensor *first = lucid_narrow(lucid_detach(y), 0, 0, 8);
    lucid_tensor *last = lucid_narrow(lucid_detach(y), 0, n - 8, 8);
    cr_assert(bn_role(s, head) && bn_role(s, tail));
    expect_near(head, first, bn_role(s, head), 2e-6, 1);
    expect_near(tail, last, bn_role(s, tail), 2e-6, 1);
}

Test(batchnorm, case23_many_samples)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open("batchnorm");
    const vectors_case *c;
    while ((c = vectors_next(v)) && strncmp(vectors_name(c), "case23", 6) != 0) continue;
    steps_case s;
    steps_read(&s, v, c);
    cr_assert(s.module && s.input.dims[0] == 880801);
    int64_t n = lucid_shape_numel(&s.input);
    float *p = malloc((size_t)n * sizeof *p);
    cr_assert(p);
    for (int64_t i = 0; i < n; i++) p[i] = (float)formula(i);
    lucid_tensor *x = lucid_from_data_opt(s.input, p, NULL);
    free(p);
    for (int k = 0; k < 2; k++) {
        lucid_set_training(s.module, k == 0);
        lucid_tensor *y = lucid_forward(s.module, x);
        cr_assert(y, "%s", lucid_error());
        compare_ends(&s, k, y);
        steps_compare_buffers(&s, k);
    }
    lucid_requires_grad_(x, true);
    lucid_train(s.module);
    cr_expect(lucid_backward(lucid_sum(lucid_forward(s.module, x))), "%s", lucid_error());
    lucid_module_free(s.module);
    vectors_close(v);
}

/* More than 2^31 elements, of half precision: 4 GiB come out. x is one sample, expanded. */
Test(batchnorm, case24_more_than_2_to_the_31_elements)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    enum { SIDE = 1 << 10, CHANNELS = 2 };
    const int64_t samples = 1025;
    long long memory = (long long)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (test_is_slow()) cr_skip_test("too many elements for the emulator");
    if (SANITIZED) memory = 0; /* the sanitizer's own memory comes on top */
    if (memory < 6LL << 30) cr_skip_test("needs 6 GiB of free memory");
    lucid_module *bn = nn_BatchNorm2d(CHANNELS);
    lucid_tensor *one = bn_normal(LUCID_SHAPE(1, CHANNELS, SIDE, SIDE), LUCID_F16, 3, 2);
    lucid_tensor *x = lucid_expand(one, (samples, CHANNELS, SIDE, SIDE));
    cr_assert(lucid_numel(x) > INT64_C(1) << 31);
    lucid_fill_(lucid_get_buffer(bn, "running_mean"), 3);
    lucid_fill_(lucid_get_buffer(bn, "running_var"), 4);
    lucid_eval(bn);
    lucid_tensor *y = lucid_forward(bn, x), *expected = lucid_forward(bn, one);
    cr_assert(y, "%s", lucid_error());
    cr_expect(lucid_equal(lucid_narrow(y, 0, samples - 1, 1), expected));
    cr_expect(lucid_equal(lucid_narrow(y, 0, 0, 1), expected));
    lucid_module_free(bn);
}

static void case25(bn_run r)
{
    r.eps = 1e-12;
    bn_check(r);
}

Test(batchnorm, case25_tiny_eps)
{
    bn_vectors("case25", 2);
    bn_everywhere(case25);
}

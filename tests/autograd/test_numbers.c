/* test_numbers.c: numbers that operators are given: those that a dtype cannot hold, or only
 * roughly, those of dimensions, windows and memory formats, random ones in place. Where PyTorch
 * takes the same program it gives the same results. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/random.h"
#include "tests/testing.h"

static lucid_tensor *ints(lucid_dtype dtype)
{
    return lucid_arange(1, 4, 1, .dtype = dtype); /* 1 2 3 */
}

/* Infinity, and what int64 does not hold, are no integers: the result is floating. */
Test(numbers, integers_with_numbers_that_are_none)
{
    const lucid_dtype dtypes[] = {LUCID_U8, LUCID_I32, LUCID_I64};
    for (int i = 0; i < 3; i++) {
        lucid_tensor *x = ints(dtypes[i]);
        cr_expect_eq(lucid_tensor_dtype(lucid_mul_scalar(x, 3)), dtypes[i]);
        cr_expect_eq(lucid_tensor_dtype(lucid_mul_scalar(x, INFINITY)), LUCID_F32);
        EXPECT_VALUES(lucid_mul_scalar(x, INFINITY), 0, 0, {INFINITY, INFINITY, INFINITY});
        EXPECT_VALUES(lucid_sub_scalar(x, INFINITY), 0, 0, {-INFINITY, -INFINITY, -INFINITY});
        EXPECT_VALUES(lucid_add_scalar(x, 1e19), 1e-6, 0, {1e19, 1e19, 1e19});
        EXPECT_VALUES(lucid_pow_scalar(x, INFINITY), 0, 0, {1, INFINITY, INFINITY});
    }
    EXPECT_VALUES(lucid_add_scalar(ints(LUCID_I64), -0x1p62), 0, 0, {-0x1p62, -0x1p62, -0x1p62});
}

Test(numbers, integers_in_place_refuse_them)
{
    EXPECT_ERROR(lucid_mul_scalar_(ints(LUCID_I32), INFINITY), LUCID_ERR_ARGUMENT,
                 "mul_scalar_: value: inf cannot be used in place on int32");
    EXPECT_ERROR(lucid_add_scalar_(ints(LUCID_I64), 1e19), LUCID_ERR_ARGUMENT,
                 "cannot be used in place on int64");
    EXPECT_ERROR(lucid_fill_(ints(LUCID_I32), 1e10), LUCID_ERR_ARGUMENT,
                 "fill_: value: expected -2147483648 to 2147483647, which int32 holds");
    EXPECT_ERROR(lucid_fill_(ints(LUCID_U8), -1), LUCID_ERR_ARGUMENT, "uint8 holds");
    EXPECT_ERROR(lucid_fill_(ints(LUCID_I64), NAN), LUCID_ERR_ARGUMENT, "got nan");
    EXPECT_VALUES(lucid_fill_(ints(LUCID_I32), 2.5), 0, 0, {2, 2, 2}); /* as lucid_full */
    EXPECT_VALUES(lucid_fill_(lucid_zeros((2), .dtype = LUCID_BOOL), 300), 0, 0, {1, 1});
}

/* A bound with a fraction makes an integer's result floating, as any other number does. */
Test(numbers, clamp_of_integers)
{
    lucid_tensor *y = lucid_clamp(ints(LUCID_I32), 1.5, 2.5);
    cr_expect_eq(lucid_tensor_dtype(y), LUCID_F32);
    EXPECT_VALUES(y, 0, 0, {1.5, 2, 2.5});
    cr_expect_eq(lucid_tensor_dtype(lucid_clamp(ints(LUCID_I32), 2, INFINITY)), LUCID_I32);
    EXPECT_VALUES(lucid_clamp_(ints(LUCID_U8), -5, 2), 0, 0, {1, 2, 2});
    EXPECT_ERROR(lucid_clamp_(ints(LUCID_I64), 0.5, 2), LUCID_ERR_ARGUMENT,
                 "clamp_: min, max: 0.5, 2 cannot be used in place on int64");
}

static lucid_tensor *half(lucid_dtype dtype, double a, double b)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    return lucid_from_doubles_opt(LUCID_SHAPE(2), (double[]){a, b}, 2, &o);
}

/* 65536 is beyond float16, 1e-8 below it: the product is not. */
Test(numbers, factors_that_float16_does_not_hold)
{
    lucid_tensor *x = half(LUCID_F16, 60000, 0.0009765625);
    EXPECT_VALUES(lucid_div_scalar(x, 65536), 0, 0x1p-25, {60000 / 65536.0, 0x1p-26});
    EXPECT_VALUES(lucid_div(x, lucid_scalar(65536)), 0, 0x1p-25, {60000 / 65536.0, 0x1p-26});
    EXPECT_VALUES(lucid_mul(x, lucid_scalar(65536)), 0, 0, {INFINITY, 64});
    EXPECT_VALUES(lucid_mul(lucid_scalar(65536), x), 0, 0, {INFINITY, 64});
    EXPECT_VALUES(lucid_mul(x, lucid_scalar(1e-8)), 1e-3, 0, {6e-4, 0});
    EXPECT_VALUES(lucid_mul_(lucid_clone(x, LUCID_PRESERVE), lucid_scalar(65536)), 0, 0,
                  {INFINITY, 64});
    EXPECT_VALUES(lucid_div_(lucid_clone(x, LUCID_PRESERVE), lucid_scalar(65536)), 0, 0x1p-25,
                  {60000 / 65536.0, 0x1p-26});
    cr_expect_eq(lucid_tensor_dtype(lucid_div_scalar(x, 65536)), LUCID_F16);
}

/* 3.1 is 3.09375 in bfloat16: 3 * 3.1 is 9.3125 and not 9.25, its rounding's. */
Test(numbers, factors_are_not_rounded)
{
    lucid_tensor *x = half(LUCID_BF16, 3, 1e-30);
    EXPECT_VALUES(lucid_mul(x, lucid_scalar(3.1)), 0, 1e-29, {9.3125, 0});
    EXPECT_VALUES(lucid_div(half(LUCID_BF16, 12.1875, 3), lucid_scalar(3.1)), 0, 0,
                  {3.9375, 0.96875});
    /* Its reciprocal is beyond float32. */
    EXPECT_VALUES(lucid_div(half(LUCID_BF16, 0, 0x1p-100), lucid_scalar(0x1p-130)), 0, 0,
                  {0, 0x1p30});
    EXPECT_VALUES(lucid_div(half(LUCID_BF16, 0, 1), lucid_scalar(0)), 0, 0, {NAN, INFINITY});
}

Test(numbers, factors_in_backward)
{
    lucid_tensor *x = lucid_requires_grad_(half(LUCID_F16, 60000, 2), true);
    lucid_backward(lucid_div_scalar(x, 65536), .gradient = half(LUCID_F16, 32768, 1));
    EXPECT_VALUES(lucid_tensor_grad(x), 0, 0, {0.5, 0x1p-16});
}

/* Products of window, stride and dilation must not wrap around. */
Test(numbers, windows_of_pooling)
{
    lucid_tensor *x = lucid_ones((1, 1, 4, 4));
    const int64_t big = (int64_t)1 << 62;
    const char *expected = "kernel, stride, dilation: expected 1 to 2147483647";
    EXPECT_ERROR(lucid_max_pool2d(x, 5, .dilation = big), LUCID_ERR_ARGUMENT, expected);
    EXPECT_ERROR(lucid_max_pool2d(x, 2, .stride = INT64_MAX, .ceil_mode = true), LUCID_ERR_ARGUMENT,
                 expected);
    EXPECT_ERROR(lucid_avg_pool2d(x, big), LUCID_ERR_ARGUMENT, expected);
    EXPECT_VALUES(lucid_max_pool2d(x, 2, .stride = INT32_MAX), 0, 0, {1});
    EXPECT_VALUES(lucid_avg_pool2d(x, 3, .stride = INT32_MAX, .ceil_mode = true), 0, 0, {1});
    EXPECT_ERROR(lucid_max_pool2d(x, 3, .dilation = INT32_MAX), LUCID_ERR_ARGUMENT,
                 "expected an image that holds a window");
}

/* However it is written, what is reduced is what is named. */
Test(numbers, of_dimensions)
{
    lucid_tensor *x = lucid_ones((2, 3, 4));
    int last = 2;
    EXPECT_SHAPE(lucid_sum(x, 1), 2, 4);
    EXPECT_SHAPE(lucid_sum(x, (last, last - 2), .keepdim = true), 1, 3, 1);
    EXPECT_SHAPE(lucid_mean(x, (1, -1)), 2);
    EXPECT_SHAPE(lucid_max(x, (0)), 3, 4);
    EXPECT_SHAPE(lucid_min(x, (last - 1) + 1), 2, 3);
    EXPECT_SHAPE(lucid_min(x, (int)1.5), 2, 4);
    EXPECT_SHAPE(lucid_var(x, LUCID_SHAPE(0, 1)), 4);
    EXPECT_SHAPE(lucid_sum(x), );
    EXPECT_SHAPE(lucid_sum(x, ()), );
    EXPECT_SHAPE(lucid_sum(x, LUCID_ALL, .keepdim = true), 1, 1, 1);
    EXPECT_SHAPE(lucid_argmax(x, 1), 2, 4);
    EXPECT_SHAPE(lucid_argmax(x), );
    EXPECT_SHAPE(lucid_argmin(x, LUCID_ALL, .keepdim = true), 1, 1, 1);
    EXPECT_VALUES(lucid_argmax(lucid_values((2, 2), 1, 2, 9, 3)), 0, 0, {2});
    EXPECT_VALUES(lucid_argmin(lucid_transpose(lucid_values((2, 2), 1, 2, -9, 3), 0, 1)), 0, 0,
                  {1});
    EXPECT_ERROR(lucid_argmax(x, (0, 1)), LUCID_ERR_ARGUMENT,
                 "argmax: dims: expected one dimension, or all of them, got [0,1]");
    EXPECT_ERROR(lucid_argmax(lucid_ones((0, 2))), LUCID_ERR_ARGUMENT, "at least one element");
    EXPECT_ERROR(lucid_sum(x, (1, -2)), LUCID_ERR_ARGUMENT, "dimension 1 is named twice");
}

/* What is written in place is rounded once: 1 + 0.00390625 - 1 in bfloat16, whose next number after
 * 1 is 1.0078125. */
Test(numbers, a_wider_tensor_in_place)
{
    lucid_tensor *x = half(LUCID_BF16, -1, 3), *b = lucid_values((2), 1.00390625, 3.1);
    EXPECT_VALUES(lucid_add_(lucid_clone(x, LUCID_PRESERVE), b), 0, 0, {0.00390625, 6.09375});
    EXPECT_VALUES(lucid_mul_(lucid_clone(x, LUCID_PRESERVE), b), 0, 0, {-1, 9.3125});
    lucid_tensor *w = lucid_requires_grad_(lucid_clone(b, LUCID_PRESERVE), true);
    lucid_tensor *y = lucid_mul_(lucid_clone(x, LUCID_PRESERVE), w);
    cr_expect_eq(lucid_tensor_dtype(y), LUCID_BF16);
    lucid_backward(y, .gradient = half(LUCID_BF16, 1, 2));
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {-1, 6});
    lucid_requires_grad_(x, true);
    EXPECT_ERROR(lucid_sub_(x, b), LUCID_ERR_STATE, "sub_: in place: a leaf");
    EXPECT_ERROR(lucid_add_(half(LUCID_F16, 1, 2), lucid_ones((2, 2))), LUCID_ERR_ARGUMENT, "add_");
    EXPECT_ERROR(lucid_sub_(b, lucid_zeros((2), .dtype = LUCID_BOOL)), LUCID_ERR_ARGUMENT,
                 "sub_: b: expected numbers, got bool");
}

/* What was there before does not matter any more: its gradient is zero, as after fill_. */
Test(numbers, random_ones_in_place_of_a_result)
{
    lucid_tensor *w = lucid_ones((4), .requires_grad = true), *y = lucid_mul_scalar(w, 3);
    lucid_normal_(lucid_narrow(y, 0, 0, 2), 0, 1);
    lucid_backward(lucid_sum(y));
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {0, 0, 3, 3});
    y = lucid_mul_scalar(w, 3);
    lucid_manual_seed(5);
    lucid_uniform_(y, 0, 1);
    lucid_manual_seed(5);
    cr_expect(lucid_equal(y, lucid_rand((4))), "the same numbers as without a history");
    lucid_backward(lucid_sum(lucid_mul(y, w)));
    cr_expect(lucid_allclose(lucid_tensor_grad(w), lucid_add(lucid_values((4), 0, 0, 3, 3), y),
                             1e-6, 0, false));
    EXPECT_ERROR(lucid_uniform_(lucid_ones((2), .dtype = LUCID_I64), 0, 1), LUCID_ERR_ARGUMENT,
                 "uniform_: x: expected a floating dtype to write into, got int64");
    EXPECT_ERROR(lucid_uniform_(lucid_ones((2)), -INFINITY, 1), LUCID_ERR_ARGUMENT,
                 "high: expected >= low, both finite, got [-inf,1)");
}

Test(numbers, convolutions_beyond_all_bounds)
{
    const int64_t big = INT64_C(1) << 62;
    lucid_tensor *x = lucid_ones((1, 1, 4, 4)), *w = lucid_ones((1, 1, 3, 3));
    EXPECT_ERROR(lucid_conv2d(x, w, NULL, .dilation = big), LUCID_ERR_ARGUMENT,
                 "conv2d: dilation: expected <= 2147483647, got 4611686018427387904");
    EXPECT_ERROR(lucid_conv2d(x, w, NULL, .padding = big), LUCID_ERR_ARGUMENT,
                 "conv2d: padding: expected <= 2147483647");
    EXPECT_ERROR(lucid_conv2d(x, w, NULL, .stride = big), LUCID_ERR_ARGUMENT,
                 "conv2d: stride: expected <= 2147483647");
    EXPECT_ERROR(lucid_conv2d(x, w, NULL, .dilation = INT32_MAX), LUCID_ERR_ARGUMENT,
                 "conv2d: weight: expected a kernel of at most 4x4");
    EXPECT_ERROR(lucid_conv2d(x, w, NULL, .groups = 0), LUCID_ERR_ARGUMENT,
                 "conv2d: groups: expected >= 1, got 0");
    lucid_tensor *y = lucid_conv2d(x, w, NULL, .padding = INT32_MAX); /* 2^64 outputs */
    cr_expect(!y && lucid_error_code() != LUCID_OK);
    lucid_clear_error();
    EXPECT_VALUES(lucid_conv2d(x, w, NULL, .stride = INT32_MAX), 0, 0, {9});
}

Test(numbers, memory_formats_that_there_are_not)
{
    lucid_tensor *x = lucid_ones((2, 3));
    EXPECT_ERROR(lucid_clone(x, (lucid_memory_format)3), LUCID_ERR_ARGUMENT,
                 "clone: memory_format: expected");
    EXPECT_ERROR(lucid_contiguous(x, (lucid_memory_format)-1), LUCID_ERR_ARGUMENT,
                 "contiguous: memory_format: expected");
}

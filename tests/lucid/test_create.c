/* Making tensors: every function, every option, every refusal. */
#include "lucid/core/tensor_priv.h"
#include "tests/testing.h"

static const lucid_dtype all_dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16,
                                         LUCID_I64, LUCID_I32, LUCID_U8,  LUCID_BOOL};

Test(create, defaults_of_the_functions)
{
    lucid_shape s = LUCID_SHAPE(2, 3);
    lucid_tensor *floats[] = {lucid_empty_opt(s, NULL),          lucid_zeros_opt(s, NULL),
                              lucid_ones_opt(s, NULL),           lucid_full_opt(s, 3, NULL),
                              lucid_randn_opt(s, NULL),          lucid_rand_opt(s, NULL),
                              lucid_bernoulli_opt(s, 0.5, NULL), lucid_eye_opt(2, 3, NULL)};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        EXPECT_SHAPE(floats[i], 2, 3);
        cr_expect(lucid_tensor_dtype(floats[i]) == LUCID_F32);
        cr_expect(lucid_is_contiguous(floats[i], LUCID_CONTIGUOUS) && !floats[i]->requires_grad);
        cr_expect(lucid_tensor_version(floats[i]) == 0);
    }
    cr_expect(lucid_tensor_dtype(lucid_arange_opt(0, 3, 1, NULL)) == LUCID_I64);
    cr_expect(lucid_tensor_dtype(lucid_randint_opt(s, 0, 3, NULL)) == LUCID_I64);
    cr_expect(lucid_tensor_dtype(lucid_randperm_opt(3, NULL)) == LUCID_I64);
    cr_expect(lucid_tensor_dtype(lucid_linspace_opt(0, 1, 3, NULL)) == LUCID_F32);
}

Test(create, values_in_every_dtype)
{
    for (int k = 0; k < LUCID_DTYPE_COUNT; k++) {
        lucid_dtype d = all_dtypes[k];
        EXPECT_VALUES(lucid_zeros((2, 2), .dtype = d), 0, 0, {0, 0, 0, 0});
        EXPECT_VALUES(lucid_ones((2, 2), .dtype = d), 0, 0, {1, 1, 1, 1});
        EXPECT_VALUES(lucid_full((3), 1, .dtype = d), 0, 0, {1, 1, 1});
        EXPECT_VALUES(lucid_eye(2, 3, .dtype = d), 0, 0, {1, 0, 0, 0, 1, 0});
        lucid_tensor_options o = lucid_tensor_defaults;
        o.dtype = d;
        EXPECT_VALUES(lucid_from_doubles_opt(LUCID_SHAPE(3), (double[]){1, 0, 1}, 3, &o), 0, 0,
                      {1, 0, 1});
        if (d != LUCID_BOOL) {
            EXPECT_VALUES(lucid_arange(1, 6, 2, .dtype = d), 0, 0, {1, 3, 5});
            EXPECT_VALUES(lucid_full((1), 100, .dtype = d), 0, 0, {100});
        }
        EXPECT_SHAPE(lucid_zeros((0, 4), .dtype = d), 0, 4);
        EXPECT_SHAPE(lucid_zeros((), .dtype = d), );
    }
    EXPECT_VALUES(lucid_full((2), 7.9, .dtype = LUCID_I64), 0, 0, {7, 7});
    EXPECT_VALUES(lucid_full((2), 0.5, .dtype = LUCID_BOOL), 0, 0, {1, 1});
}

Test(create, options)
{
    lucid_tensor *t =
        lucid_full((2, 3, 4, 5), 2, .memory_format = LUCID_CHANNELS_LAST, .requires_grad = true);
    cr_expect(lucid_is_contiguous(t, LUCID_CHANNELS_LAST) && t->requires_grad);
    cr_expect(lucid_stride(t, 1) == 1);
    t = lucid_zeros((1, 2, 3, 4, 5), .memory_format = LUCID_CHANNELS_LAST, .dtype = LUCID_U8);
    cr_expect(lucid_is_contiguous(t, LUCID_CHANNELS_LAST));
    float numbers[120];
    for (int i = 0; i < 120; i++) numbers[i] = (float)i;
    t = lucid_from_data((2, 3, 4, 5), numbers, .memory_format = LUCID_CHANNELS_LAST);
    cr_expect(lucid_at(t, LUCID_SHAPE(1, 2, 3, 4)) == 119 &&
              lucid_at(t, LUCID_SHAPE(0, 1, 0, 0)) == 20);
    t = lucid_randn((2, 3, 2, 2), .memory_format = LUCID_CHANNELS_LAST);
    cr_expect(lucid_is_contiguous(t, LUCID_CHANNELS_LAST));
}

Test(create, options_that_are_refused)
{
    EXPECT_ERROR(lucid_zeros((2, 3), .memory_format = (lucid_memory_format)77), LUCID_ERR_ARGUMENT,
                 "zeros: memory_format: expected LUCID_PRESERVE, LUCID_CONTIGUOUS or "
                 "LUCID_CHANNELS_LAST, got 77");
    EXPECT_ERROR(lucid_zeros((2, 3), .memory_format = LUCID_CHANNELS_LAST), LUCID_ERR_ARGUMENT,
                 "zeros: memory_format: channels_last: expected 4 or 5 dimensions, got [2,3]");
    EXPECT_ERROR(lucid_ones((2), .dtype = LUCID_I64, .requires_grad = true), LUCID_ERR_ARGUMENT,
                 "ones: requires_grad: expected a floating dtype, got int64");
    EXPECT_ERROR(lucid_empty((2, -3)), LUCID_ERR_ARGUMENT,
                 "empty: shape: expected sizes >= 0, got [2,-3]");
    EXPECT_ERROR(lucid_empty((2), .dtype = (lucid_dtype)99), LUCID_ERR_ARGUMENT,
                 "empty: dtype: expected a lucid_dtype, got 99");
    EXPECT_ERROR(lucid_empty(((int64_t)1 << 40, (int64_t)1 << 40)), LUCID_ERR_ARGUMENT,
                 "empty: shape: the size of [1099511627776,1099511627776] overflows");
    EXPECT_ERROR(lucid_empty(((int64_t)1 << 50)), LUCID_ERR_MEMORY,
                 "empty: out of memory on cpu: 4503599627370496 bytes asked for");
    EXPECT_ERROR(lucid_empty((2), .device = ((lucid_device){LUCID_CPU, 1})), LUCID_ERR_DEVICE,
                 "empty: device: expected an index below 1 for cpu, got 1");
    EXPECT_ERROR(lucid_empty((2), .device = ((lucid_device){(lucid_device_type)7, 0})),
                 LUCID_ERR_ARGUMENT, "device: type: expected cpu or cuda, got 7");
    lucid_shape nine = {.ndim = 9};
    EXPECT_ERROR(lucid_empty_opt(nine, NULL), LUCID_ERR_ARGUMENT,
                 "empty: shape: expected 0 to 8 dimensions, got 9");
}

Test(create, full_must_fit)
{
    EXPECT_ERROR(lucid_full((2), 256, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT,
                 "full: value: expected 0 to 255, which uint8 holds, got 256");
    EXPECT_ERROR(lucid_full((2), -1, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT, "got -1");
    EXPECT_ERROR(
        lucid_full((2), 3e9, .dtype = LUCID_I32), LUCID_ERR_ARGUMENT,
        "full: value: expected -2147483648 to 2147483647, which int32 holds, got 3000000000");
    EXPECT_ERROR(lucid_full((2), 1e19, .dtype = LUCID_I64), LUCID_ERR_ARGUMENT, "int64 holds");
    EXPECT_ERROR(lucid_full((2), NAN, .dtype = LUCID_I64), LUCID_ERR_ARGUMENT, "got nan");
    EXPECT_VALUES(lucid_full((1), -2147483648.0, .dtype = LUCID_I32), 0, 0, {-2147483648.0});
    EXPECT_VALUES(lucid_full((1), INFINITY), 0, 0, {INFINITY});
}

Test(create, arange)
{
    EXPECT_VALUES(lucid_arange(0, 5, 1), 0, 0, {0, 1, 2, 3, 4});
    EXPECT_VALUES(lucid_arange(5, 0, -2), 0, 0, {5, 3, 1});
    EXPECT_VALUES(lucid_arange(0, 1, 0.25, .dtype = LUCID_F64), 0, 0, {0, 0.25, 0.5, 0.75});
    EXPECT_VALUES(lucid_arange(-3, 3, 2.5, .dtype = LUCID_F32), 0, 0, {-3, -0.5, 2});
    EXPECT_SHAPE(lucid_arange(3, 3, 1), 0);
    EXPECT_SHAPE(lucid_arange(3, 3, -1), 0);
    lucid_tensor *many = lucid_arange(0, 100000, 1);
    cr_expect(lucid_at(many, LUCID_SHAPE(99999)) == 99999 && lucid_numel(many) == 100000);
    EXPECT_ERROR(
        lucid_arange(0, 5, 0), LUCID_ERR_ARGUMENT,
        "arange: step: expected finite numbers and a step other than 0, got start 0, end 5, "
        "step 0");
    EXPECT_ERROR(lucid_arange(0, INFINITY, 1), LUCID_ERR_ARGUMENT, "arange: step: expected finite");
    EXPECT_ERROR(lucid_arange(0, 5, NAN), LUCID_ERR_ARGUMENT, "arange: step: expected finite");
    EXPECT_ERROR(lucid_arange(0, 5, -1), LUCID_ERR_ARGUMENT,
                 "arange: step: expected the sign of end - start, got start 0, end 5, step -1");
    EXPECT_ERROR(lucid_arange(5, 0, 1), LUCID_ERR_ARGUMENT, "expected the sign of end - start");
    EXPECT_ERROR(lucid_arange(0, 5, 0.5), LUCID_ERR_ARGUMENT,
                 "arange: dtype: expected a floating one for start 0, end 5, step 0.5, got int64");
    EXPECT_ERROR(lucid_arange(0, 1e30, 1e-3, .dtype = LUCID_F64), LUCID_ERR_ARGUMENT,
                 "arange: end: 1e+33 elements are too many");
    EXPECT_ERROR(lucid_arange(0, 300, 1, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT,
                 "arange: end: expected 0 to 255, which uint8 holds, got 299");
    EXPECT_ERROR(lucid_arange(-1, 3, 1, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT, "arange: start:");
}

Test(create, linspace)
{
    EXPECT_VALUES(lucid_linspace(0, 1, 5), 0, 0, {0, 0.25, 0.5, 0.75, 1});
    EXPECT_VALUES(lucid_linspace(3, -3, 3), 0, 0, {3, 0, -3});
    EXPECT_VALUES(lucid_linspace(2, 9, 1), 0, 0, {2});
    EXPECT_SHAPE(lucid_linspace(0, 1, 0), 0);
    lucid_tensor *t = lucid_linspace(0, 0.1, 1001, .dtype = LUCID_F64);
    cr_expect(lucid_at(t, LUCID_SHAPE(1000)) == 0.1); /* the end exactly */
    EXPECT_ERROR(lucid_linspace(0, 1, -1), LUCID_ERR_ARGUMENT,
                 "linspace: steps: expected >= 0, got -1");
}

Test(create, eye_and_scalar)
{
    EXPECT_VALUES(lucid_eye(3, 2), 0, 0, {1, 0, 0, 1, 0, 0});
    EXPECT_SHAPE(lucid_eye(0, 2), 0, 2);
    EXPECT_ERROR(lucid_eye(-1, 2), LUCID_ERR_ARGUMENT,
                 "eye: shape: expected sizes >= 0, got [-1,2]");
    lucid_tensor *s = lucid_scalar(2.5);
    cr_expect(lucid_ndim(s) == 0 && lucid_tensor_dtype(s) == LUCID_F64 && lucid_item(s) == 2.5);
    cr_expect(s->is_scalar && !lucid_zeros(())->is_scalar);
}

Test(create, from_data_and_doubles)
{
    int32_t ints[] = {1, -2, 3};
    lucid_tensor *t = lucid_from_data((3), ints, .dtype = LUCID_I32);
    ints[0] = 99; /* copied */
    EXPECT_VALUES(t, 0, 0, {1, -2, 3});
    EXPECT_VALUES(lucid_values((2, 2), 1, 2.5, -3, 4), 0, 0, {1, 2.5, -3, 4});
    cr_expect(lucid_from_data_opt(LUCID_SHAPE(0), NULL, NULL));
    EXPECT_ERROR(lucid_from_data((2), (float *)NULL), LUCID_ERR_ARGUMENT,
                 "from_data: data: expected 2 elements, got NULL");
    EXPECT_ERROR(lucid_values((2, 2), 1, 2, 3), LUCID_ERR_ARGUMENT,
                 "from_doubles: values: expected 4 for [2,2], got 3");
    EXPECT_ERROR(lucid_from_doubles_opt(LUCID_SHAPE(2), NULL, 2, NULL), LUCID_ERR_ARGUMENT,
                 "from_doubles: data: expected 2 elements, got NULL");
}

Test(create, random_refusals)
{
    EXPECT_ERROR(lucid_randn((2), .dtype = LUCID_I64), LUCID_ERR_ARGUMENT,
                 "randn: dtype: expected a floating one, got int64");
    EXPECT_ERROR(lucid_rand((2), .dtype = LUCID_BOOL), LUCID_ERR_ARGUMENT,
                 "rand: dtype: expected a floating one, got bool");
    EXPECT_ERROR(lucid_randint((2), 3, 3), LUCID_ERR_ARGUMENT,
                 "randint: high: expected > low, got low 3, high 3");
    EXPECT_ERROR(lucid_randint((2), 0, 257, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT,
                 "randint: high - 1: expected 0 to 255, which uint8 holds, got 256");
    EXPECT_ERROR(lucid_randint((2), -1, 3, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT, "randint: low:");
    EXPECT_ERROR(lucid_bernoulli((2), 1.5), LUCID_ERR_ARGUMENT,
                 "bernoulli: p: expected [0,1], got 1.5");
    EXPECT_ERROR(lucid_bernoulli((2), NAN), LUCID_ERR_ARGUMENT,
                 "bernoulli: p: expected [0,1], got");
    EXPECT_ERROR(lucid_randperm(-1), LUCID_ERR_ARGUMENT,
                 "randperm: shape: expected sizes >= 0, got [-1]");
    EXPECT_ERROR(lucid_randperm(257, .dtype = LUCID_U8), LUCID_ERR_ARGUMENT,
                 "randperm: n - 1: expected 0 to 255, which uint8 holds, got 256");
    cr_expect(lucid_randperm(256, .dtype = LUCID_U8) &&
              lucid_randint((2), 0, 256, .dtype = LUCID_U8));
}

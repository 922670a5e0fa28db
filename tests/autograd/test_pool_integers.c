/* test_pool_integers.c: max pooling of integers. */
#include "autograd/ops.h"
#include "lucid/attrs.h"
#include "tests/testing.h"

/* Every integer type, with padding, dilation and an index: float64's pooling of the same numbers. */
static void check_integers(lucid_dtype dtype, double low)
{
    static const lucid_pool2d_options options[] = {
        {LUCID_POOL2D_DEFAULTS},
        {.kernel_w = LUCID_SAME,
         .stride = 2,
         .stride_w = LUCID_SAME,
         .padding = 1,
         .padding_w = LUCID_SAME,
         .dilation = 1,
         .dilation_w = LUCID_SAME,
         .ceil_mode = true},
        {.kernel_w = 2,
         .stride = 1,
         .stride_w = LUCID_SAME,
         .padding = 1,
         .padding_w = LUCID_SAME,
         .dilation = 2,
         .dilation_w = LUCID_SAME},
    };
    lucid_tensor *x = lucid_randint((2, 3, 9, 7), (int64_t)low, 100, .dtype = dtype);
    for (int i = 0; i < 3; i++)
        for (int last = 0; last < 2; last++) {
            lucid_tensor *in = last ? lucid_contiguous(x, LUCID_CHANNELS_LAST) : x;
            lucid_tensor *y = lucid_max_pool2d_opt(in, 3, &options[i]);
            lucid_tensor *want = lucid_max_pool2d_opt(lucid_cast(x, LUCID_F64), 3, &options[i]);
            cr_assert(y, "%s", lucid_error());
            cr_expect_eq(lucid_tensor_dtype(y), dtype);
            cr_expect(lucid_equal(lucid_cast(y, LUCID_F64), want), "%s, options %d",
                      lucid_dtype_name(dtype), i);
        }
}

Test(pool_integers, as_float64)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    check_integers(LUCID_I64, -100);
    check_integers(LUCID_I32, -100);
    check_integers(LUCID_U8, 0);
    lucid_tensor *least = lucid_full((1, 1, 2, 2), (double)INT64_MIN, .dtype = LUCID_I64);
    lucid_tensor *out[2];
    const lucid_pool2d_attrs two = {
        .kernel = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}, .count_include_pad = true};
    cr_assert(lucid_apply_multi(lucid_op_find("max_pool2d"), &least, 1, &two, out));
    cr_expect_eq(lucid_item(out[0]), (double)INT64_MIN);
    cr_expect_eq(lucid_item(out[1]), 0);
    cr_expect_null(lucid_max_pool2d_opt(lucid_ones((1, 1, 2, 2), .dtype = LUCID_BOOL), 2, NULL));
    lucid_clear_error();
}

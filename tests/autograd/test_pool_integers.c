/* test_pool_integers.c: max pooling of integers. */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "lucid/core/attrs.h"
#include "tests/testing.h"

/* Every integer type, with padding, dilation and an index: float64's pooling of the same
 * numbers. */
static void check_integers(lucid_dtype dtype, double low)
{
    lucid_max_pool2d_options options[3];
    for (int i = 0; i < 3; i++) options[i] = lucid_max_pool2d_defaults;
    options[1].stride = 2, options[1].padding = 1, options[1].ceil_mode = true;
    options[2].stride = 1, options[2].padding = 1, options[2].dilation = 2;
    const lucid_extent kernels[] = {3, 3, lucid_pair(3, 2)};
    lucid_tensor *x = lucid_randint((2, 3, 9, 7), (int64_t)low, 100, .dtype = dtype);
    for (int i = 0; i < 3; i++)
        for (int last = 0; last < 2; last++) {
            lucid_tensor *in = last ? lucid_contiguous(x, LUCID_CHANNELS_LAST) : x;
            lucid_tensor *y = lucid_max_pool2d_opt(in, kernels[i], &options[i]);
            lucid_tensor *want =
                lucid_max_pool2d_opt(lucid_cast(x, LUCID_F64), kernels[i], &options[i]);
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

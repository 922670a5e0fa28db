/* test_index_sums.c: sums by an index, the gradients of index_select, gather and overlapping views:
 * a place that is named thousands of times neither stalls in 16 bits nor loses float32's digits;
 * and joining any number of tensors. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/device.h"
#include "lucid/core/random.h"
#include "lucid/core/scope.h"
#include "tests/testing.h"

enum { MANY = 5000 };

static lucid_tensor *leaf(lucid_shape shape, lucid_dtype dtype)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    o.requires_grad = true;
    return lucid_zeros_opt(shape, &o);
}

/* x [2] or [2,1] seen MANY times at its first element, in three ways. */
static lucid_tensor *seen(int way, lucid_tensor *x, lucid_tensor *index)
{
    if (way == 0) return lucid_index_select(x, 0, index);
    if (way == 1) return lucid_gather(x, 0, index);
    return lucid_as_strided(x, (MANY), (0), 0);
}
static const char *const ways[] = {"index_select", "gather", "as_strided"};

/* The gradient of x[0] where each of its MANY views has gradient g[k]. */
static double summed(int way, lucid_tensor *g)
{
    lucid_tensor *x = leaf(LUCID_SHAPE(2), lucid_tensor_dtype(g));
    lucid_tensor *index = lucid_zeros((MANY), .dtype = LUCID_I64);
    cr_assert(lucid_backward(seen(way, x, index), .gradient = g), "%s", lucid_error());
    lucid_tensor *grad = lucid_tensor_grad(x);
    cr_expect_eq(lucid_at(grad, LUCID_SHAPE(1)), 0);
    return lucid_at(grad, LUCID_SHAPE(0));
}

Test(index_sums, ones_do_not_stall_in_16_bits)
{
    const lucid_dtype dtypes[] = {LUCID_BF16, LUCID_F16, LUCID_F32, LUCID_F64};
    const double want[] = {4992, 5000, 5000, 5000}; /* bfloat16 has 8 bits */
    for (int way = 0; way < 3; way++)
        for (int d = 0; d < 4; d++) {
            LUCID_SCOPE;
            double got = summed(way, lucid_ones((MANY), .dtype = dtypes[d]));
            cr_expect_eq(got, want[d], "%s %s: expected %g, got %g", ways[way],
                         lucid_dtype_name(dtypes[d]), want[d], got);
        }
}

Test(index_sums, float32_keeps_its_digits)
{
    lucid_manual_seed(3);
    for (int way = 0; way < 3; way++) {
        LUCID_SCOPE;
        lucid_tensor *g = lucid_rand((MANY));
        double want = lucid_item(lucid_sum(lucid_cast(g, LUCID_F64))), got = summed(way, g);
        cr_expect_lt(fabs(got - want), 1e-7 * want, "%s: error %g", ways[way],
                     fabs(got - want) / want);
    }
}

/* Rows of any length, few and many threads: the same bits, and those of float64 rounded. */
static void check_rows(int64_t inner, lucid_dtype dtype)
{
    LUCID_SCOPE;
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    lucid_tensor *g = lucid_rand_opt(LUCID_SHAPE(300, inner), &o), *sums[2];
    lucid_tensor *index = lucid_randint((300), 0, 3, .dtype = LUCID_I64);
    for (int i = 0; i < 2; i++) {
        lucid_set_num_threads(i ? 3 : 1);
        lucid_tensor *x = leaf(LUCID_SHAPE(4, inner), dtype);
        cr_assert(lucid_backward(lucid_index_select(x, 0, index), .gradient = g));
        sums[i] = lucid_tensor_grad(x);
    }
    cr_expect(lucid_equal(sums[0], sums[1]), "%s [.,%lld]: other bits with other threads",
              lucid_dtype_name(dtype), (long long)inner);
    lucid_tensor *wide = leaf(LUCID_SHAPE(4, inner), LUCID_F64);
    cr_assert(
        lucid_backward(lucid_index_select(wide, 0, index), .gradient = lucid_cast(g, LUCID_F64)));
    const double ulp = dtype == LUCID_F32 ? 3e-7 : /* runs of 16 in float32 */ dtype == LUCID_F16
                                                   ? 1e-3
                                                   : 8e-3;
    cr_expect(
        lucid_allclose(lucid_cast(sums[0], LUCID_F64), lucid_tensor_grad(wide), ulp, 0, false),
        "%s [.,%lld]", lucid_dtype_name(dtype), (long long)inner);
}

Test(index_sums, rows_of_any_length)
{
    const int64_t inner[] = {1, 2, 7, 64, 511, 512, 513, 1500};
    for (int i = 0; i < 8; i++) {
        check_rows(inner[i], LUCID_F32);
        check_rows(inner[i], LUCID_F16);
        check_rows(inner[i], LUCID_BF16);
    }
}

/* ---- joining any number of tensors ----------------------------------------------------------- */

enum { TENSORS = 700 };

Test(index_sums, cat_and_stack_take_any_number)
{
    lucid_tensor *all[TENSORS], *leaves[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        leaves[i] = lucid_requires_grad_(lucid_full((i % 3 + 1, 2), i, .dtype = LUCID_F64), true);
        all[i] = lucid_square(leaves[i]);
    }
    lucid_tensor *y = lucid_cat(all, TENSORS, 0);
    cr_assert(y, "%s", lucid_error());
    cr_expect_eq(lucid_size(y, 0), 1399);
    cr_expect_eq(lucid_at(y, LUCID_SHAPE(1398, 1)), 699. * 699);
    lucid_tensor *loss = lucid_sum(lucid_mul(y, y)); /* x^4: 4 x^3, then 12 x^2 */
    lucid_tensor *first[TENSORS], *second[1];
    cr_assert(lucid_grad(&loss, 1, leaves, TENSORS, first, .create_graph = true));
    EXPECT_VALUES(first[3], 0, 0, {108, 108});
    lucid_tensor *s = lucid_sum(first[698]);
    cr_assert(lucid_grad(&s, 1, &leaves[698], 1, second));
    cr_expect_eq(lucid_at(second[0], LUCID_SHAPE(0, 0)), 12. * 698 * 698);

    for (int i = 0; i < TENSORS; i++) all[i] = lucid_full((2), i);
    lucid_tensor *z = lucid_stack(all, TENSORS, 1);
    EXPECT_SHAPE(z, 2, TENSORS);
    cr_expect_eq(lucid_at(z, LUCID_SHAPE(1, 699)), 699);
    all[690] = lucid_ones((3));
    EXPECT_ERROR(lucid_stack(all, TENSORS, 0), LUCID_ERR_ARGUMENT, "got [3] for tensor 690");
}

/* ---- sizes that overflow --------------------------------------------------------------------- */

Test(index_sums, sizes_that_overflow_are_refused)
{
    lucid_tensor *one = lucid_ones((1)), *list[8];
    list[0] = lucid_ones((2), .dtype = LUCID_U8);
    for (int i = 1; i < 8; i++)
        list[i] = lucid_expand(lucid_ones((1), .dtype = LUCID_U8), ((int64_t)1 << 62));
    cr_assert(list[1], "%s", lucid_error());
    EXPECT_ERROR(lucid_cat(list, 5, 0), LUCID_ERR_ARGUMENT,
                 "sum of the sizes of dimension 0 overflows");
    EXPECT_ERROR(lucid_expand(one, ((int64_t)1 << 62)), LUCID_ERR_ARGUMENT, "overflows");
    EXPECT_ERROR(lucid_expand(lucid_ones((1, 1)), (1ll << 32, 1ll << 32)), LUCID_ERR_ARGUMENT,
                 "expand: shape: the size of [4294967296,4294967296] overflows");
    EXPECT_ERROR(lucid_expand(lucid_ones((1, 1)), (1ll << 32, (1ll << 32) + 1)), LUCID_ERR_ARGUMENT,
                 "overflows");
    /* 0 times as much: no product of some of the sizes may overflow either */
    EXPECT_ERROR(lucid_expand(lucid_ones((0, 1, 1)), (0, 1ll << 32, 1ll << 32)), LUCID_ERR_ARGUMENT,
                 "overflows");
    lucid_shape nine = {.ndim = 9}, none = {.ndim = INT32_MIN};
    EXPECT_ERROR(lucid_expand_opt(one, nine), LUCID_ERR_ARGUMENT, "[9 dimensions]");
    EXPECT_ERROR(lucid_expand_opt(one, none), LUCID_ERR_ARGUMENT, "[-2147483648 dimensions]");
    EXPECT_ERROR(lucid_permute_opt(one, nine), LUCID_ERR_ARGUMENT, "[9 dimensions]");
    cr_expect_eq(lucid_shape_numel(&nine), -1);
    cr_expect_not(lucid_shape_equal(&nine, &nine));
    cr_expect_not(lucid_shape_broadcast(&nine, &none, &nine));
    lucid_tensor *y = lucid_slice(lucid_ones((3, 4)), 0, 0, 1, INT64_MAX);
    EXPECT_SHAPE(y, 1, 4);
}

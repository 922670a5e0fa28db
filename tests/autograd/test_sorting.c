/* test_sorting.c: sort, argsort and topk as a program calls them: what comes out, gradients,
 * errors. */
#include "autograd/ops.h"
#include "lucid/lucid.h"
#include "tests/testing.h"

#include <math.h>

static void setup(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}
static void teardown(void)
{
    cr_expect_eq(lucid_finish(), 0);
}
TestSuite(sorting, .init = setup, .fini = teardown);

static bool is(const lucid_tensor *t, const double *want, int64_t n)
{
    if (!t || lucid_numel(t) != n) return false;
    for (int64_t i = 0; i < n; i++) {
        double x = lucid_at(t, LUCID_SHAPE(i));
        if (x != want[i] && !(isnan(x) && isnan(want[i]))) return false;
    }
    return true;
}
#define IS(t, ...)                                                             \
    cr_expect(is(t, (double[]){__VA_ARGS__},                                   \
                 (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))), \
              "%s is not {%s} (%s)", #t, #__VA_ARGS__, lucid_error())

/* ---- values ---- */

Test(sorting, as_pytorch_does)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_values((9), 3, NAN, -0.0, 0.0, INFINITY, -INFINITY, NAN, -0.0, 1);
    lucid_sorted up = lucid_sort(x, 0), down = lucid_sort(x, -1, .descending = true);
    IS(up.values, -INFINITY, 0, 0, 0, 1, 3, INFINITY, NAN, NAN);
    IS(up.indices, 5, 2, 3, 7, 8, 0, 4, 1, 6);
    IS(down.values, NAN, NAN, INFINITY, 3, 1, 0, 0, 0, -INFINITY);
    IS(down.indices, 1, 6, 4, 0, 8, 2, 3, 7, 5);
    cr_expect(signbit(lucid_at(up.values, LUCID_SHAPE(1))) &&
              !signbit(lucid_at(up.values, LUCID_SHAPE(2))));
    cr_expect(signbit(lucid_at(down.values, LUCID_SHAPE(5))) &&
              !signbit(lucid_at(down.values, LUCID_SHAPE(6))));
    IS(lucid_argsort(x, 0, .descending = true), 1, 6, 4, 0, 8, 2, 3, 7, 5);
    IS(lucid_topk(x, 4).indices, 1, 6, 4, 0);
    IS(lucid_topk(x, 3, .largest = false).indices, 5, 2, 3);
    IS(lucid_topk(x, 3, .largest = false, .sorted = false).values, -INFINITY, 0, 0);
    cr_expect_eq(lucid_tensor_dtype(up.indices), LUCID_I64);
    cr_expect_eq(lucid_tensor_dtype(lucid_argsort(x, 0)), LUCID_I64);
}

Test(sorting, dimensions)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_values((2, 3), 3, 1, 2, 1, 1, 9);
    IS(lucid_reshape(lucid_sort(x, 0).values, (-1)), 1, 1, 2, 3, 1, 9);
    IS(lucid_reshape(lucid_sort(x, -2).indices, (-1)), 1, 0, 0, 0, 1, 1);
    IS(lucid_reshape(lucid_sort(x, -1).values, (-1)), 1, 2, 3, 1, 1, 9);
    IS(lucid_reshape(lucid_topk(x, 1, .dim = 0).values, (-1)), 3, 1, 9);
    IS(lucid_reshape(lucid_topk(x, 2).indices, (-1)), 0, 2, 2, 0);
    lucid_tensor *bools = lucid_cast(lucid_values((3), 1, 0, 1), LUCID_BOOL);
    IS(lucid_sort(bools, 0).indices, 1, 0, 2);
    IS(lucid_sort(bools, 0, .descending = true).values, 1, 1, 0);
    lucid_tensor *bytes = lucid_cast(lucid_values((3), 3, 200, 7), LUCID_U8);
    IS(lucid_topk(bytes, 2).values, 200, 7);
    /* The layout of x stays. */
    lucid_tensor *image = lucid_contiguous(lucid_randn((2, 3, 4, 5)), LUCID_CHANNELS_LAST);
    cr_expect_eq(lucid_stride(lucid_sort(image, 1).values, 1), 1);
    cr_expect_eq(lucid_stride(lucid_sort(image, 1).indices, 1), 1);
}

Test(sorting, of_no_dimensions)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_scalar(2.5);
    lucid_sorted s = lucid_sort(x, -1), t = lucid_topk(x, 1, .dim = 0);
    cr_expect_eq(lucid_ndim(s.values), 0);
    cr_expect_eq(lucid_ndim(s.indices), 0);
    cr_expect_eq(lucid_ndim(t.values), 0);
    cr_expect_eq(lucid_item(s.values), 2.5);
    cr_expect_eq(lucid_item(s.indices), 0);
    cr_expect_eq(lucid_item(t.values), 2.5);
    cr_expect_eq(lucid_item(lucid_argsort(x, 0)), 0);
}

Test(sorting, of_nothing)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_zeros((0, 3));
    for (int dim = 0; dim < 2; dim++) {
        lucid_sorted s = lucid_sort_opt(x, dim, NULL);
        cr_expect(s.values && lucid_size(s.values, 0) == 0 && lucid_size(s.indices, 1) == 3);
    }
    lucid_sorted none = lucid_topk(lucid_zeros((2, 3)), 0);
    cr_expect(none.values && lucid_size(none.values, 0) == 2 && lucid_size(none.indices, 1) == 0);
    cr_expect_not_null(lucid_topk(x, 0, .dim = 0).values);
    cr_expect_not_null(lucid_topk_opt(lucid_ones((4)), 1, NULL).values);
}

/* ---- gradients ---- */

/* Cubes, so that the second derivative is one. */
static bool cubes(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    lucid_tensor *x = in[0];
    (void)n;
    (void)user;
    lucid_tensor *sorted[] = {lucid_sort(x, 0).values, lucid_sort(x, 1, .descending = true).values,
                              lucid_topk(x, 3).values,
                              lucid_topk(x, 2, .dim = 0, .largest = false).values};
    for (int k = 0; k < 4; k++) out[k] = lucid_pow_scalar(sorted[k], 3);
    *n_out = 4;
    return out[3] != NULL;
}

Test(sorting, gradients)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(lucid_randn((4, 7), .dtype = LUCID_F64), true);
    cr_expect(lucid_gradcheck(cubes, NULL, &x, 1, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(cubes, NULL, &x, 1, NULL), "%s", lucid_error());
}

Test(sorting, gradients_go_to_where_values_came_from)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(lucid_values((4), 5, 2, 5, 1), true);
    lucid_sorted s = lucid_sort(x, 0, .descending = true);
    cr_expect(lucid_requires_grad(s.values) && !lucid_requires_grad(s.indices));
    cr_expect(!lucid_requires_grad(lucid_argsort(x, 0)));
    lucid_backward(lucid_sum(lucid_mul(s.values, lucid_values((4), 1, 2, 3, 4))));
    IS(lucid_tensor_grad(x), 1, 3, 2, 4);
    lucid_backward(lucid_sum(lucid_topk(x, 2).values));
    IS(lucid_tensor_grad(x), 2, 3, 3, 4); /* added */
    lucid_tensor *one = lucid_requires_grad_(lucid_scalar(3), true);
    lucid_backward(lucid_sort(one, 0).values);
    cr_expect_eq(lucid_item(lucid_tensor_grad(one)), 1);
}

/* ---- errors ---- */

Test(sorting, errors)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_ones((2, 3)), *none = NULL;
    EXPECT_ERROR(lucid_sort(x, 2), LUCID_ERR_ARGUMENT,
                 "sort: dim: expected a dimension in [-2,1], got 2");
    EXPECT_ERROR(lucid_argsort(x, -3), LUCID_ERR_ARGUMENT,
                 "argsort: dim: expected a dimension in [-2,1], got -3");
    EXPECT_ERROR(lucid_topk(x, 1, .dim = 5), LUCID_ERR_ARGUMENT,
                 "topk: dim: expected a dimension in [-2,1], got 5");
    EXPECT_ERROR(lucid_sort(lucid_scalar(1), 1), LUCID_ERR_ARGUMENT, "dim: expected");
    EXPECT_ERROR(lucid_topk(x, 4), LUCID_ERR_ARGUMENT,
                 "topk: k: expected 0 to 3 (the size of dimension 1 of x), got 4");
    EXPECT_ERROR(lucid_topk(x, -1, .dim = 0), LUCID_ERR_ARGUMENT,
                 "topk: k: expected 0 to 2 (the size of dimension 0 of x), got -1");
    EXPECT_ERROR(lucid_topk(lucid_scalar(1), 0), LUCID_ERR_ARGUMENT,
                 "topk: k: expected 1 for x of no dimensions, got 0");
    EXPECT_ERROR(lucid_sort(none, 0), LUCID_ERR_ARGUMENT, "sort: x: expected a tensor, got NULL");
    EXPECT_ERROR(lucid_topk(none, 1), LUCID_ERR_ARGUMENT, "topk: x: expected a tensor, got NULL");
    EXPECT_ERROR(lucid_sort(lucid_expand(lucid_ones((1)), (4294967296)), 0), LUCID_ERR_ARGUMENT,
                 "sort: x: expected less than 2^32 elements along dimension 0");
    lucid_sorted s = lucid_sort(x, 2);
    cr_expect(!s.values && !s.indices);
    /* An error that came before goes on. */
    cr_expect_null(lucid_topk(s.values, 1).values);
    cr_expect(strstr(lucid_error(), "sort: dim"), "%s", lucid_error());
    lucid_clear_error();
}

/* Sizes and strides: counts, texts, broadcasting, layouts, overflow. */
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "tests/testing.h"

#define BIG ((int64_t)1 << 62)

Test(shape, numel)
{
    lucid_shape s = LUCID_SHAPE();
    cr_expect(lucid_shape_numel(&s) == 1);
    s = LUCID_SHAPE(2, 3, 4);
    cr_expect(lucid_shape_numel(&s) == 24);
    s = LUCID_SHAPE(2, 0, 4);
    cr_expect(lucid_shape_numel(&s) == 0);
    s = LUCID_SHAPE(BIG, 0, BIG); /* the overflow is not there: nothing is counted */
    cr_expect(lucid_shape_numel(&s) == 0);
    s = LUCID_SHAPE(BIG, 4);
    cr_expect(lucid_shape_numel(&s) == -1);
    s = LUCID_SHAPE(0, -1);
    cr_expect(lucid_shape_numel(&s) == -1);
}

Test(shape, equal)
{
    lucid_shape a = LUCID_SHAPE(2, 3), b = LUCID_SHAPE(2, 3), c = LUCID_SHAPE(2, 3, 1);
    cr_expect(lucid_shape_equal(&a, &b));
    cr_expect(!lucid_shape_equal(&a, &c));
    b.dims[5] = 77; /* beyond ndim: does not count */
    cr_expect(lucid_shape_equal(&a, &b));
    b.dims[1] = 4;
    cr_expect(!lucid_shape_equal(&a, &b));
}

Test(shape, format)
{
    char text[64];
    lucid_shape s = LUCID_SHAPE(8, 64, 32, 32), scalar = LUCID_SHAPE();
    cr_expect(strcmp(lucid_shape_format(&s, text, sizeof text), "[8,64,32,32]") == 0, "%s", text);
    cr_expect(strcmp(lucid_shape_format(&scalar, text, sizeof text), "[]") == 0, "%s", text);
    for (size_t n = 1; n < 14; n++) {
        memset(text, '#', sizeof text);
        lucid_shape_format(&s, text, n);
        cr_expect(strlen(text) < n && text[n] == '#', "size %zu", n);
    }
    cr_expect(lucid_shape_format(&s, text, 0) == text);
    int64_t least[LUCID_MAX_DIMS];
    for (int d = 0; d < LUCID_MAX_DIMS; d++) least[d] = INT64_MIN;
    luc_text longest = luc_dims_text(LUCID_MAX_DIMS, least);
    cr_expect(longest.s[strlen(longest.s) - 1] == ']', "%s", longest.s);
}

static void broadcasts(lucid_shape a, lucid_shape b, const lucid_shape *want)
{
    char x[64], y[64];
    lucid_shape_format(&a, x, sizeof x);
    lucid_shape_format(&b, y, sizeof y);
    lucid_shape out, *at[] = {&out, &a, &b}; /* the result may be one of the two */
    for (int i = 0; i < 3; i++) {
        lucid_shape keep_a = a, keep_b = b;
        bool ok = lucid_shape_broadcast(&a, &b, at[i]);
        cr_expect(ok == (want != NULL), "%s with %s", x, y);
        if (want) cr_expect(lucid_shape_equal(at[i], want), "%s with %s, out %d", x, y, i);
        a = keep_a;
        b = keep_b;
    }
}

Test(shape, broadcast)
{
    broadcasts(LUCID_SHAPE(3, 1), LUCID_SHAPE(4), &LUCID_SHAPE(3, 4));
    broadcasts(LUCID_SHAPE(4), LUCID_SHAPE(3, 1), &LUCID_SHAPE(3, 4));
    broadcasts(LUCID_SHAPE(), LUCID_SHAPE(2, 5), &LUCID_SHAPE(2, 5));
    broadcasts(LUCID_SHAPE(), LUCID_SHAPE(), &LUCID_SHAPE());
    broadcasts(LUCID_SHAPE(1), LUCID_SHAPE(0), &LUCID_SHAPE(0));
    broadcasts(LUCID_SHAPE(5, 1, 7), LUCID_SHAPE(1, 6, 1), &LUCID_SHAPE(5, 6, 7));
    broadcasts(LUCID_SHAPE(2), LUCID_SHAPE(0), NULL);
    broadcasts(LUCID_SHAPE(3, 2), LUCID_SHAPE(3), NULL);
}

Test(shape, strides)
{
    int64_t dims[] = {2, 3, 4, 5}, strides[5];
    luc_contiguous_strides(4, dims, strides);
    cr_expect(luc_dims_equal(4, strides, 4, (int64_t[]){60, 20, 5, 1}));
    cr_expect(luc_is_contiguous(4, dims, strides) && luc_is_dense(4, dims, strides));
    cr_expect(!luc_is_channels_last(4, dims, strides));
    luc_channels_last_strides(4, dims, strides);
    cr_expect(luc_dims_equal(4, strides, 4, (int64_t[]){60, 1, 15, 3}));
    cr_expect(luc_is_channels_last(4, dims, strides) && luc_is_dense(4, dims, strides));
    cr_expect(!luc_is_contiguous(4, dims, strides));
    int64_t dims5[] = {2, 3, 4, 5, 6};
    luc_channels_last_strides(5, dims5, strides);
    cr_expect(luc_dims_equal(5, strides, 5, (int64_t[]){360, 1, 90, 18, 3}));
    cr_expect(luc_is_channels_last(5, dims5, strides));
    cr_expect(!luc_is_channels_last(3, dims, strides));
}

Test(shape, sizes_of_one_and_nought)
{
    int64_t dims[] = {1, 3, 1, 1}, odd[] = {99, 1, -7, 12345}, strides[4];
    cr_expect(luc_is_contiguous(4, dims, odd));
    cr_expect(luc_is_channels_last(4, dims, odd));
    cr_expect(luc_is_dense(4, dims, odd));
    int64_t none[] = {2, 0, 3};
    luc_contiguous_strides(3, none, strides);
    cr_expect(luc_dims_equal(3, strides, 3, (int64_t[]){3, 3, 1})); /* as PyTorch has them */
    cr_expect(luc_is_contiguous(3, none, (int64_t[]){5, 5, 5}));
    cr_expect(luc_is_dense(3, none, (int64_t[]){5, 5, 5}));
    cr_expect(luc_is_contiguous(0, NULL, NULL) && luc_is_dense(0, NULL, NULL));
}

Test(shape, dense)
{
    cr_expect(luc_is_dense(3, (int64_t[]){2, 3, 4}, (int64_t[]){1, 8, 2})); /* permuted */
    cr_expect(!luc_is_dense(2, (int64_t[]){2, 3}, (int64_t[]){6, 2}));      /* gaps */
    cr_expect(!luc_is_dense(2, (int64_t[]){2, 3}, (int64_t[]){1, 1}));      /* overlap */
    cr_expect(!luc_is_dense(2, (int64_t[]){2, 3}, (int64_t[]){0, 1}));      /* expanded */
    cr_expect(!luc_is_dense(1, (int64_t[]){3}, (int64_t[]){-1}));
}

Test(shape, checked)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_shape s = LUCID_SHAPE(2, 3);
    cr_expect(luc_check_shape(&s, LUCID_F32, "op"));
    s.ndim = 9;
    EXPECT_ERROR(luc_check_shape(&s, LUCID_F32, "op"), LUCID_ERR_ARGUMENT,
                 "op: shape: expected 0 to 8 dimensions, got 9");
    s.ndim = -1;
    EXPECT_ERROR(luc_check_shape(&s, LUCID_F32, "op"), LUCID_ERR_ARGUMENT, "got -1");
    s = LUCID_SHAPE(2, -3);
    EXPECT_ERROR(luc_check_shape(&s, LUCID_F32, "op"), LUCID_ERR_ARGUMENT,
                 "op: shape: expected sizes >= 0, got [2,-3]");
    s = LUCID_SHAPE(2);
    EXPECT_ERROR(luc_check_shape(&s, (lucid_dtype)8, "op"), LUCID_ERR_ARGUMENT,
                 "op: dtype: expected a lucid_dtype, got 8");
    s = LUCID_SHAPE(BIG, 4);
    EXPECT_ERROR(luc_check_shape(&s, LUCID_U8, "op"), LUCID_ERR_ARGUMENT,
                 "op: shape: the size of [4611686018427387904,4] overflows");
    s = LUCID_SHAPE(BIG);
    EXPECT_ERROR(luc_check_shape(&s, LUCID_F64, "op"), LUCID_ERR_ARGUMENT, "overflows");
    s = LUCID_SHAPE(0, BIG, BIG); /* nothing to store, but the strides overflow */
    EXPECT_ERROR(luc_check_shape(&s, LUCID_F32, "op"), LUCID_ERR_ARGUMENT, "overflows");
    s = LUCID_SHAPE(0, BIG);
    cr_expect(luc_check_shape(&s, LUCID_U8, "op"));
}

/* What an operator infers from sizes that were legal one by one may still be too large. */
Test(shape, a_result_that_overflows_is_refused)
{
    lucid_meta meta = {.dtype = LUCID_F32, .ndim = 2, .dims = {(int64_t)1 << 33, (int64_t)1 << 33}};
    luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    EXPECT_ERROR(luc_tensor_new(&meta, lucid_cpu(), "add"), LUCID_ERR_ARGUMENT,
                 "add: shape: the size of [8589934592,8589934592] overflows");
    meta.dims[1] = (int64_t)1 << 28; /* 2^61 elements: the bytes overflow */
    luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    EXPECT_ERROR(luc_tensor_new(&meta, lucid_cpu(), "add"), LUCID_ERR_ARGUMENT, "overflows");
    meta.dims[1] = (int64_t)1 << 20; /* 2^55 bytes: no machine has them */
    luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    EXPECT_ERROR(luc_tensor_new(&meta, lucid_cpu(), "add"), LUCID_ERR_MEMORY,
                 "add: out of memory on cpu: 36028797018963968 bytes asked for");
    cr_expect(lucid_live().tensors == 0 && lucid_live().storages == 0);
}

Test(shape, wrap_dim)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_expect(luc_wrap_dim(0, 3, "sum", "dim") == 0 && luc_wrap_dim(2, 3, "sum", "dim") == 2);
    cr_expect(luc_wrap_dim(-1, 3, "sum", "dim") == 2 && luc_wrap_dim(-3, 3, "sum", "dim") == 0);
    cr_expect(luc_wrap_dim(0, 0, "sum", "dim") == 0 && luc_wrap_dim(-1, 0, "sum", "dim") == 0);
    EXPECT_ERROR(luc_wrap_dim(3, 3, "sum", "dim"), LUCID_ERR_ARGUMENT,
                 "sum: dim: expected a dimension in [-3,2], got 3");
    EXPECT_ERROR(luc_wrap_dim(-4, 3, "sum", "dim"), LUCID_ERR_ARGUMENT, "got -4");
    EXPECT_ERROR(luc_wrap_dim(1, 0, "sum", "dim"), LUCID_ERR_ARGUMENT, "[-1,0], got 1");
    EXPECT_ERROR(luc_wrap_dim(INT64_MIN, 3, "sum", "dim"), LUCID_ERR_ARGUMENT, "sum: dim");
}

Test(shape, products)
{
    size_t z;
    int64_t i;
    cr_expect(luc_mul_size(3, 4, &z) && z == 12);
    cr_expect(!luc_mul_size(SIZE_MAX, 2, &z));
    cr_expect(luc_mul_i64(-3, 4, &i) && i == -12);
    cr_expect(!luc_mul_i64(INT64_MAX, 2, &i));
}

/* Tensors: properties, storage, versions, names, reading elements out. */
#include "lucid/core/memory.h"
#include "lucid/core/tensor_priv.h"
#include "tests/testing.h"

#include <pthread.h>

/* A view of t's storage. */
static lucid_tensor *view_of(lucid_tensor *t, int64_t offset, lucid_shape dims, lucid_shape strides)
{
    lucid_meta m = {.dtype = t->view.dtype, .ndim = dims.ndim, .offset = offset};
    memcpy(m.dims, dims.dims, sizeof m.dims);
    memcpy(m.strides, strides.dims, sizeof m.strides);
    return luc_tensor_on(t->storage, &m, "view");
}

Test(tensor, properties)
{
    lucid_tensor *t = lucid_empty((2, 3, 4), .dtype = LUCID_I32);
    cr_expect(lucid_ndim(t) == 3 && lucid_numel(t) == 24 && lucid_storage_offset(t) == 0);
    cr_expect(lucid_size(t, 0) == 2 && lucid_size(t, -1) == 4 && lucid_size(t, -3) == 2);
    cr_expect(lucid_stride(t, 0) == 12 && lucid_stride(t, -1) == 1);
    cr_expect(lucid_tensor_dtype(t) == LUCID_I32);
    cr_expect(lucid_device_equal(lucid_tensor_device(t), lucid_cpu()));
    cr_expect(lucid_is_contiguous(t, LUCID_CONTIGUOUS));
    cr_expect(!lucid_is_contiguous(t, LUCID_CHANNELS_LAST));
    cr_expect((uintptr_t)lucid_data(t) % 64 == 0);
    EXPECT_SHAPE(t, 2, 3, 4);
    lucid_tensor *scalar = lucid_empty(());
    cr_expect(lucid_ndim(scalar) == 0 && lucid_numel(scalar) == 1);
    cr_expect(lucid_data(lucid_empty((0))) != NULL);
}

Test(tensor, properties_out_of_range)
{
    lucid_tensor *t = lucid_empty((2, 3)), *scalar = lucid_empty(());
    EXPECT_ERROR(lucid_size(t, 2), LUCID_ERR_ARGUMENT,
                 "size: dim: expected a dimension in [-2,1], got 2");
    EXPECT_ERROR(lucid_stride(t, -3), LUCID_ERR_ARGUMENT,
                 "stride: dim: expected a dimension in [-2,1], got -3");
    EXPECT_ERROR(lucid_size(scalar, 0), LUCID_ERR_ARGUMENT,
                 "size: dim: a 0-d tensor has no dimensions, got 0");
    EXPECT_ERROR(lucid_stride(scalar, 0), LUCID_ERR_ARGUMENT, "a 0-d tensor has no dimensions");
}

/* In the mode that stops, all of these accept a NULL without a message. */
Test(tensor, null_after_an_error_propagates)
{
    double d = 0;
    cr_expect(lucid_ndim(NULL) == 0 && lucid_numel(NULL) == 0 && lucid_storage_offset(NULL) == 0);
    cr_expect(lucid_size(NULL, 5) == 0 && lucid_stride(NULL, 5) == 0);
    cr_expect(lucid_tensor_shape(NULL).ndim == 0);
    cr_expect(lucid_tensor_dtype(NULL) == LUCID_F32);
    cr_expect(lucid_device_equal(lucid_tensor_device(NULL), lucid_cpu()));
    cr_expect(!lucid_is_contiguous(NULL, LUCID_CONTIGUOUS) && lucid_tensor_version(NULL) == 0);
    cr_expect(!lucid_shares_storage(NULL, NULL) && !lucid_set_name(NULL, "x"));
    cr_expect(strcmp(lucid_name(NULL), "") == 0);
    cr_expect(!lucid_data(NULL) && !lucid_mutable_data(NULL));
    cr_expect(lucid_error_code() == LUCID_OK);                /* properties of nothing are silent */
    const char *mine = "tensor: expected a tensor, got NULL"; /* no error came before */
    EXPECT_ERROR(lucid_item(NULL), LUCID_ERR_ARGUMENT, mine);
    EXPECT_ERROR(lucid_at(NULL, LUCID_SHAPE(0)), LUCID_ERR_ARGUMENT, mine);
    EXPECT_ERROR(lucid_copy_to(NULL, &d, 8), LUCID_ERR_ARGUMENT, mine);
    EXPECT_ERROR(lucid_to_doubles(NULL, &d, 1), LUCID_ERR_ARGUMENT, mine);
    EXPECT_ERROR(lucid_equal(NULL, NULL), LUCID_ERR_ARGUMENT, mine);
    EXPECT_ERROR(lucid_allclose(NULL, NULL, 1, 1, true), LUCID_ERR_ARGUMENT, mine);
    lucid_raise(LUCID_ERR_STATE, "first", "came before");
    cr_expect(isnan(lucid_item(NULL)) && isnan(lucid_at(NULL, LUCID_SHAPE(0))));
    cr_expect(!lucid_copy_to(NULL, &d, 8) && !lucid_equal(NULL, NULL));
    cr_expect_str_eq(lucid_error(), "first: came before");
}

Test(tensor, views_share_storage_and_version)
{
    lucid_tensor *t = lucid_zeros((4, 5)), *other = lucid_zeros((4, 5));
    lucid_tensor *row = view_of(t, 5, LUCID_SHAPE(5), LUCID_SHAPE(1));
    cr_expect(lucid_shares_storage(t, row) && !lucid_shares_storage(t, other));
    cr_expect(lucid_storage_offset(row) == 5);
    cr_expect((const char *)lucid_data(row) == (const char *)lucid_data(t) + 5 * sizeof(float));
    uint64_t before = lucid_tensor_version(t);
    ((float *)lucid_mutable_data(row))[2] = 7;
    cr_expect(lucid_tensor_version(t) == before + 1 && lucid_tensor_version(row) == before + 1);
    cr_expect(lucid_tensor_version(other) == before);
    cr_expect(lucid_at(t, LUCID_SHAPE(1, 2)) == 7);
    lucid_data(t); /* reading counts nothing */
    cr_expect(lucid_tensor_version(t) == before + 1);
}

Test(tensor, the_storage_lives_as_long_as_a_view)
{
    lucid_tensor *row;
    {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_full((4, 5), 3);
        row = lucid_retain(view_of(t, 10, LUCID_SHAPE(5), LUCID_SHAPE(1)));
    }
    cr_expect(lucid_live().tensors == 1 && lucid_live().storages == 1);
    EXPECT_VALUES(row, 0, 0, {3, 3, 3, 3, 3});
    lucid_release(row);
    cr_expect(lucid_live().tensors == 0 && lucid_live().storages == 0);
}

Test(tensor, swap_data)
{
    lucid_tensor *a = lucid_full((2, 3), 1), *b = lucid_full((4), 2, .dtype = LUCID_F64);
    const void *pa = lucid_data(a), *pb = lucid_data(b);
    luc_tensor_swap_data(a, b);
    cr_expect(lucid_data(a) == pb && lucid_data(b) == pa);
    EXPECT_SHAPE(a, 4);
    EXPECT_SHAPE(b, 2, 3);
    cr_expect(lucid_tensor_dtype(a) == LUCID_F64 && lucid_numel(b) == 6);
}

Test(tensor, names)
{
    lucid_tensor *t = lucid_empty((1));
    char name[] = "weight";
    cr_expect(strcmp(lucid_name(t), "") == 0);
    cr_expect(lucid_set_name(t, name));
    name[0] = 'X';
    cr_expect(strcmp(lucid_name(t), "weight") == 0);
    cr_expect(lucid_set_name(t, lucid_name(t))); /* its own */
    cr_expect(strcmp(lucid_name(t), "weight") == 0);
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_memory_fail_nth(1);
    cr_expect(!lucid_set_name(t, "bias"));
    lucid_memory_fail_nth(0);
    cr_expect(lucid_error_code() == LUCID_ERR_MEMORY);
    cr_expect(strcmp(lucid_name(t), "weight") == 0);
    lucid_clear_error();
    cr_expect(lucid_set_name(t, NULL) && strcmp(lucid_name(t), "") == 0);
}

/* ---- the caller's memory --------------------------------------------------------------------- */

typedef struct counted {
    int calls;
    void *data;
} counted;

static void count_free(void *user, void *data)
{
    counted *c = user;
    c->calls++;
    c->data = data;
}

Test(tensor, from_blob_frees_once_after_the_last_view)
{
    float data[6] = {1, 2, 3, 4, 5, 6};
    counted c = {0};
    lucid_tensor *column;
    {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_from_blob(LUCID_SHAPE(2, 3), LUCID_F32, data, count_free, &c);
        cr_expect(lucid_data(t) == data);
        column = lucid_retain(view_of(t, 1, LUCID_SHAPE(2), LUCID_SHAPE(3)));
        data[1] = 20; /* no copy */
    }
    cr_expect(c.calls == 0);
    EXPECT_VALUES(column, 0, 0, {20, 5});
    lucid_release(column);
    cr_expect(c.calls == 1 && c.data == data);
    cr_expect(lucid_live().storages == 0);
}

Test(tensor, from_blob_that_fails_frees_nothing)
{
    float data[7];
    counted c = {0};
    EXPECT_ERROR(lucid_from_blob(LUCID_SHAPE(2), LUCID_F32, NULL, count_free, &c),
                 LUCID_ERR_ARGUMENT, "from_blob: data: expected 2 elements, got NULL");
    EXPECT_ERROR(lucid_from_blob(LUCID_SHAPE(-2), LUCID_F32, data, count_free, &c),
                 LUCID_ERR_ARGUMENT, "from_blob: shape: expected sizes >= 0, got [-2]");
    EXPECT_ERROR(lucid_from_blob(LUCID_SHAPE(1), LUCID_F32, (char *)data + 1, count_free, &c),
                 LUCID_ERR_ARGUMENT,
                 "from_blob: data: expected an address that is a multiple of 4 for float32, got");
    for (uint64_t n = 1;; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        lucid_tensor *t = lucid_from_blob(LUCID_SHAPE(2), LUCID_F32, data, count_free, &c);
        lucid_memory_fail_nth(0);
        if (t) break;
        cr_expect(c.calls == 0 && lucid_error_code() == LUCID_ERR_MEMORY);
        lucid_clear_error();
    }
    cr_expect(c.calls == 1); /* by the end of the scope, of the one that was made */
}

Test(tensor, from_blob_of_nothing)
{
    counted c = {0};
    {
        LUCID_SCOPE;
        cr_expect(lucid_from_blob(LUCID_SHAPE(0, 3), LUCID_F32, NULL, count_free, &c));
        cr_expect(lucid_from_blob(LUCID_SHAPE(0, 3), LUCID_F32, NULL, NULL, NULL));
    }
    cr_expect(c.calls == 1);
}

/* ---- reading --------------------------------------------------------------------------------- */

static const lucid_dtype all_dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16,
                                         LUCID_I64, LUCID_I32, LUCID_U8,  LUCID_BOOL};

Test(tensor, item_and_at_of_every_dtype)
{
    for (int k = 0; k < LUCID_DTYPE_COUNT; k++) {
        lucid_tensor *t = lucid_full((2, 3), 1, .dtype = all_dtypes[k]);
        cr_expect(lucid_at(t, LUCID_SHAPE(1, 2)) == 1, "%s", lucid_dtype_name(all_dtypes[k]));
        cr_expect(lucid_at(t, LUCID_SHAPE(-2, -3)) == 1);
        cr_expect(lucid_item(lucid_full((1, 1), 1, .dtype = all_dtypes[k])) == 1);
    }
    cr_expect(lucid_item(lucid_full((), -2.5, .dtype = LUCID_F16)) == -2.5);
    cr_expect(lucid_item(lucid_full((), -2.5, .dtype = LUCID_BF16)) == -2.5);
    cr_expect(lucid_item(lucid_full((), -7, .dtype = LUCID_I64)) == -7);
    cr_expect(lucid_item(lucid_full((), -7, .dtype = LUCID_I32)) == -7);
    cr_expect(lucid_item(lucid_full((), 255, .dtype = LUCID_U8)) == 255);
    cr_expect(isnan(lucid_item(lucid_full((), NAN))));
}

Test(tensor, item_and_at_errors)
{
    lucid_tensor *t = lucid_zeros((2, 3));
    EXPECT_ERROR(lucid_item(t), LUCID_ERR_ARGUMENT,
                 "item: tensor: expected one element, got [2,3]");
    EXPECT_ERROR(lucid_item(lucid_zeros((0))), LUCID_ERR_ARGUMENT,
                 "item: tensor: expected one element, got [0]");
    EXPECT_ERROR(lucid_at(t, LUCID_SHAPE(1)), LUCID_ERR_ARGUMENT,
                 "at: index: expected 2 numbers for [2,3], got 1");
    EXPECT_ERROR(lucid_at(t, LUCID_SHAPE(1, 3)), LUCID_ERR_ARGUMENT,
                 "at: index: expected [-3,3) in dimension 1, got 3");
    EXPECT_ERROR(lucid_at(t, LUCID_SHAPE(-3, 0)), LUCID_ERR_ARGUMENT,
                 "at: index: expected [-2,2) in dimension 0, got -3");
}

Test(tensor, copies_out_in_row_major_order)
{
    lucid_tensor *t = lucid_values((2, 3), 1, 2, 3, 4, 5, 6);
    lucid_tensor *turned = view_of(t, 0, LUCID_SHAPE(3, 2), LUCID_SHAPE(1, 3));
    float f[6] = {0};
    double d[6] = {0};
    cr_expect(lucid_copy_to(turned, f, sizeof f));
    cr_expect(memcmp(f, (float[]){1, 4, 2, 5, 3, 6}, sizeof f) == 0);
    cr_expect(lucid_to_doubles(turned, d, 6));
    cr_expect(memcmp(d, (double[]){1, 4, 2, 5, 3, 6}, sizeof d) == 0);
    for (int k = 0; k < LUCID_DTYPE_COUNT; k++) {
        cr_expect(lucid_to_doubles(lucid_full((6), 1, .dtype = all_dtypes[k]), d, 6));
        cr_expect(d[0] == 1 && d[5] == 1, "%s", lucid_dtype_name(all_dtypes[k]));
    }
    cr_expect(lucid_copy_to(lucid_zeros((0, 3)), f, 0));
    EXPECT_ERROR(lucid_copy_to(t, f, 23), LUCID_ERR_ARGUMENT,
                 "copy_to: bytes: expected 24 for float32 [2,3], got 23");
    EXPECT_ERROR(lucid_copy_to(t, NULL, 24), LUCID_ERR_ARGUMENT, "got 24 (and data is NULL)");
    EXPECT_ERROR(lucid_to_doubles(t, d, 5), LUCID_ERR_ARGUMENT,
                 "to_doubles: count: expected 6 for [2,3], got 5");
    EXPECT_ERROR(lucid_to_doubles(t, NULL, 6), LUCID_ERR_ARGUMENT, "(and values is NULL)");
}

Test(tensor, equal)
{
    lucid_tensor *a = lucid_values((2, 2), 1, 2, 3, 4), *b = lucid_values((2, 2), 1, 2, 3, 4);
    cr_expect(lucid_equal(a, b));
    cr_expect(!lucid_equal(a, lucid_values((4), 1, 2, 3, 4)));
    cr_expect(!lucid_equal(a, lucid_values((2, 2), 1, 2, 3, 5)));
    cr_expect(lucid_equal(lucid_zeros((0, 3)), lucid_zeros((0, 3))));
    cr_expect(!lucid_equal(lucid_full((1), NAN), lucid_full((1), NAN)));
    cr_expect(lucid_equal(lucid_full((1), INFINITY), lucid_full((1), INFINITY)));
    cr_expect(lucid_equal(lucid_full((1), -0.0), lucid_full((1), 0.0)));
    cr_expect(lucid_equal(a, view_of(a, 0, LUCID_SHAPE(2, 2), LUCID_SHAPE(2, 1))));
    /* two integers next to each other beyond 2^53 */
    int64_t x = ((int64_t)1 << 53) + 1, y = (int64_t)1 << 53;
    cr_expect(!lucid_equal(lucid_from_data((1), &x, .dtype = LUCID_I64),
                           lucid_from_data((1), &y, .dtype = LUCID_I64)));
    cr_expect(lucid_equal(lucid_full((2), 1, .dtype = LUCID_U8), lucid_full((2), 1)));
}

Test(tensor, allclose)
{
    lucid_tensor *a = lucid_values((2), 1, 100), *b = lucid_values((2), 1.001, 100);
    cr_expect(!lucid_allclose(a, b, 0, 1e-4, false) && lucid_allclose(a, b, 0, 2e-3, false));
    cr_expect(!lucid_allclose(a, b, 1e-4, 0, false) && lucid_allclose(a, b, 2e-3, 0, false));
    lucid_tensor *n = lucid_full((1), NAN), *i = lucid_full((1), INFINITY);
    cr_expect(lucid_allclose(n, n, 0, 0, true) && !lucid_allclose(n, n, 1, 1, false));
    cr_expect(lucid_allclose(i, i, 0, 0, false));
    cr_expect(!lucid_allclose(i, lucid_full((1), -INFINITY), 1, 1, false));
    cr_expect(!lucid_allclose(i, lucid_full((1), 1e30), 1, 1, false));
    cr_expect(!lucid_allclose(n, lucid_zeros((1)), 1, 1, true));
    cr_expect(!lucid_allclose(a, lucid_values((1), 1), 1, 1, false));
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { ROUNDS = 20000 };

static void *retain_and_release(void *p)
{
    for (int i = 0; i < ROUNDS; i++) {
        lucid_retain(p);
        lucid_release(p);
    }
    return NULL;
}

Test(tensor, references_are_counted_across_threads)
{
    lucid_tensor *t = lucid_retain(lucid_zeros((3)));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, retain_and_release, t) == 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_expect(atomic_load(&t->refs) == 2);
    lucid_release(t);
}

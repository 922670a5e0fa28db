/* Tensors handed to and taken from others by DLPack. */
#include "tests/testing.h"

#include "lucid/lucid.h"

/* As DLPack's own header has it. */
struct DLManagedTensor {
    struct {
        void *data;
        int32_t device_type, device_id, ndim;
        uint8_t code, bits;
        uint16_t lanes;
        int64_t *shape, *strides;
        uint64_t byte_offset;
    } t;
    void *context;
    void (*deleter)(struct DLManagedTensor *self);
};

static void begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}

TestSuite(dlpack, .init = begin);

static int deleted;
static void count(struct DLManagedTensor *self)
{
    (void)self;
    deleted++;
}

Test(dlpack, out_and_in_again)
{
    {
        LUCID_SCOPE;
        for (int dtype = 0; dtype < LUCID_DTYPE_COUNT; dtype++) {
            lucid_tensor *x = lucid_full((2, 3), 1, .dtype = (lucid_dtype)dtype);
            struct DLManagedTensor *m = lucid_to_dlpack(lucid_transpose(x, 0, 1));
            if (!m && lucid_error_code() == LUCID_ERR_UNSUPPORTED) continue;
            cr_assert(m, "%s", lucid_error());
            cr_expect(m->t.ndim == 2 && m->t.shape[0] == 3 && m->t.strides[0] == 1);
            lucid_tensor *y = lucid_from_dlpack(m);
            cr_assert(y, "%s", lucid_error());
            cr_expect_eq(lucid_tensor_dtype(y), (lucid_dtype)dtype);
            cr_expect_eq(lucid_data(y), lucid_data(x));
            cr_expect_eq(lucid_stride(y, 1), 3);
        }
        lucid_tensor *x = lucid_zeros((0, 3)), *y = lucid_from_dlpack(lucid_to_dlpack(x));
        EXPECT_SHAPE(y, 0, 3);
        y = lucid_from_dlpack(lucid_to_dlpack(lucid_ones(())));
        cr_expect(y && lucid_item(y) == 1);
    }
    cr_expect_eq(lucid_live().other, 0);
    cr_expect_eq(lucid_live().storages, 0);
}

Test(dlpack, the_deleter_is_called_once_with_the_last_view)
{
    float numbers[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int64_t shape[] = {2, 2}, strides[] = {4, 1};
    struct DLManagedTensor m = {{numbers, 1, 0, 2, 2, 32, 1, shape, strides, 8}, NULL, count};
    lucid_tensor *kept;
    {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_from_dlpack(&m);
        cr_assert(x, "%s", lucid_error());
        cr_expect(lucid_item(lucid_sum(x)) == 2 + 3 + 6 + 7);
        kept = lucid_retain(lucid_select(x, 0, 1));
    }
    cr_expect_eq(deleted, 0);
    cr_expect(((const float *)lucid_data(kept))[0] == 6);
    lucid_release(kept);
    cr_expect_eq(deleted, 1);
}

Test(dlpack, refused)
{
    LUCID_SCOPE;
    float numbers[4] = {0};
    int64_t shape[] = {2, 2}, strides[] = {-2, 1};
    struct DLManagedTensor m = {{numbers, 1, 0, 2, 2, 32, 1, shape, strides, 0}, NULL, count};
    deleted = 0;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "strides are negative");
    strides[0] = INT64_MAX;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "too large");
    m.t.strides = NULL;
    m.t.device_type = 2;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "memory of the CPU");
    m.t.device_type = 1;
    m.t.byte_offset = 2;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "not aligned");
    m.t.byte_offset = 0;
    m.t.bits = 8;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "no dtype of code 2, 8 bits");
    m.t.bits = 32;
    m.t.ndim = 9;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "0 to 8 dimensions");
    m.t.ndim = 2;
    m.t.data = NULL;
    EXPECT_ERROR(lucid_from_dlpack(&m), LUCID_ERR_UNSUPPORTED, "data is NULL");
    EXPECT_ERROR(lucid_from_dlpack(NULL), LUCID_ERR_ARGUMENT, "got NULL");
    EXPECT_ERROR(lucid_to_dlpack(lucid_ones(3, .requires_grad = true)), LUCID_ERR_ARGUMENT,
                 "requires no gradient");
    cr_expect_eq(deleted, 0);
}

/* dlpack.c: tensors of other libraries. */
#include "lucid/core/dlpack.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <stdint.h>

/* The interface that libraries agree on, version 0 of DLPack. */
enum { DL_CPU = 1, DL_CUDA = 2 };
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 };

typedef struct dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides; /* strides of elements; NULL: row-major */
    uint64_t byte_offset;
} dl_tensor;

struct DLManagedTensor {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct DLManagedTensor *self);
};

static const struct {
    lucid_dtype dtype;
    uint8_t code, bits;
} dtypes[] = {{LUCID_F32, DL_FLOAT, 32},   {LUCID_F64, DL_FLOAT, 64}, {LUCID_F16, DL_FLOAT, 16},
              {LUCID_BF16, DL_BFLOAT, 16}, {LUCID_I64, DL_INT, 64},   {LUCID_I32, DL_INT, 32},
              {LUCID_U8, DL_UINT, 8},      {LUCID_BOOL, DL_BOOL, 8}};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

/* ---- to others ------------------------------------------------------------------------------- */

typedef struct handed {
    struct DLManagedTensor managed;
    lucid_tensor *tensor; /* owned */
    int64_t shape[LUCID_MAX_DIMS], strides[LUCID_MAX_DIMS];
} handed;

static void give_back(struct DLManagedTensor *self)
{
    handed *h = (handed *)self;
    if (!h) return;
    lucid_release(h->tensor);
    luc_free(h);
    luc_live_add_named(LUC_LIVE_OTHER, "DLPack tensor", -1);
}

struct DLManagedTensor *lucid_to_dlpack(lucid_tensor *t)
{
    static const char op[] = "to_dlpack";
    if (!t && lucid_error_code() != LUCID_OK) return NULL;
    if (!t) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "tensor: got NULL");
    if (t->requires_grad)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "tensor: expected one that requires no gradient (lucid_detach)");
    void *data = lucid_mutable_data(t);
    if (!data && t->numel) return NULL;
    const lucid_device device = lucid_tensor_device(t);
    if (device.type != LUCID_CPU && !lucid_synchronize(device)) return NULL;
    handed *h = luc_calloc(1, sizeof *h, op);
    if (!h) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, "DLPack tensor", 1);
    dl_tensor *d = &h->managed.tensor;
    d->data = data;
    d->device.type = device.type == LUCID_CPU ? DL_CPU : DL_CUDA;
    d->device.id = device.index;
    d->ndim = t->view.ndim;
    d->dtype.lanes = 1;
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == t->view.dtype)
            d->dtype.code = dtypes[i].code, d->dtype.bits = dtypes[i].bits;
    for (int i = 0; i < t->view.ndim; i++) {
        h->shape[i] = t->view.dims[i];
        h->strides[i] = t->view.strides[i];
    }
    d->shape = h->shape;
    d->strides = h->strides;
    h->managed.deleter = give_back;
    h->tensor = lucid_retain(t);
    return &h->managed;
}

/* ---- from others ----------------------------------------------------------------------------- */

static bool check(const dl_tensor *d, lucid_meta *meta, const char *op)
{
    int found = -1;
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].code == d->dtype.code && dtypes[i].bits == d->dtype.bits) found = i;
    if (found < 0 || d->dtype.lanes != 1)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op,
                         "managed: lucid has no dtype of code %d, %d bits, %d lanes", d->dtype.code,
                         d->dtype.bits, d->dtype.lanes);
    if (d->device.type != DL_CPU)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op,
                         "managed: expected memory of the CPU (device type 1), got type %d",
                         (int)d->device.type);
    if (d->ndim < 0 || d->ndim > LUCID_MAX_DIMS || (d->ndim && !d->shape))
        return luc_raise(LUCID_ERR_UNSUPPORTED, op, "managed: expected 0 to %d dimensions, got %d",
                         LUCID_MAX_DIMS, (int)d->ndim);
    meta->dtype = dtypes[found].dtype;
    meta->ndim = d->ndim;
    return true;
}

/* Sets sizes and strides; *bytes becomes the length of the memory that they reach. */
static bool measure(const dl_tensor *d, lucid_meta *meta, int64_t *bytes, const char *op)
{
    int64_t last = 0, part, numel = 1;
    bool ok = true, empty = false;
    for (int i = 0; i < meta->ndim; i++) meta->dims[i] = d->shape[i];
    for (int i = 0; i < meta->ndim; i++) {
        ok = ok && meta->dims[i] >= 0 && (!d->strides || d->strides[i] >= 0) &&
             luc_mul_i64(numel, meta->dims[i] > 1 ? meta->dims[i] : 1, &numel);
        empty = empty || meta->dims[i] == 0;
    }
    if (ok) luc_contiguous_strides(meta->ndim, meta->dims, meta->strides);
    for (int i = 0; ok && i < meta->ndim; i++) {
        if (d->strides) meta->strides[i] = d->strides[i];
        if (!empty)
            ok = luc_mul_i64(meta->dims[i] - 1, meta->strides[i], &part) &&
                 !__builtin_add_overflow(last, part, &last);
    }
    const int64_t width = (int64_t)lucid_dtype_size(meta->dtype);
    *bytes = 0;
    ok = ok && last < INT64_MAX && luc_mul_i64(numel, width, &part) &&
         (empty || luc_mul_i64(last + 1, width, bytes));
    return ok || luc_raise(LUCID_ERR_UNSUPPORTED, op,
                           "managed: sizes or strides are negative or too large");
}

static void release_managed(void *user, void *data)
{
    struct DLManagedTensor *m = user;
    (void)data;
    if (m->deleter) m->deleter(m);
}

lucid_tensor *lucid_from_dlpack(struct DLManagedTensor *m)
{
    static const char op[] = "from_dlpack";
    lucid_meta meta = {.offset = 0};
    int64_t bytes;
    if (!m && lucid_error_code() != LUCID_OK) return NULL;
    if (!m) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "managed: got NULL");
    const dl_tensor *d = &m->tensor;
    if (!check(d, &meta, op) || !measure(d, &meta, &bytes, op)) return NULL;
    char *data = d->data ? (char *)d->data + d->byte_offset : NULL;
    if ((!data && bytes) || (uintptr_t)data % lucid_dtype_size(meta.dtype))
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, op, "managed: data is %s",
                              data ? "not aligned" : "NULL");
    const size_t depth = lucid_scope_begin();
    if (!depth) return NULL;
    /* The memory as bytes first. A failure after this must not call the deleter. */
    lucid_tensor *base = lucid_from_blob(LUCID_SHAPE(bytes), LUCID_U8, data, NULL, NULL);
    lucid_tensor *t = base ? luc_tensor_on(base->storage, &meta, op) : NULL;
    lucid_retain(t);
    lucid_scope_end(depth);
    if (!t || !luc_scope_add(t)) return NULL;
    t->storage->free = release_managed;
    t->storage->user = m;
    return t;
}

/* tensor.c: storages and tensors: making, keeping, freeing and asking them. */
#include "lucid/core/backend_priv.h"
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <string.h>

luc_tensor_hooks luc_tensor_autograd;
_Thread_local unsigned luc_waiting;
_Thread_local bool luc_fusing;

/* ---- storage --------------------------------------------------------------------------------- */

static inline bool storage_allocate(luc_storage *s, const lucid_backend *b, const char *op)
{
    s->data = b->alloc(s->device.index, s->size);
    return s->data || luc_raise_no_memory(s->device, s->size, "", op);
}

static inline luc_storage *storage_without_data(const lucid_backend *b, lucid_device device,
                                                size_t size, const char *op)
{
    if (!b) return NULL;
    int count = b->device_count();
    if (device.index < 0 || device.index >= count)
        return luc_raise_null(LUCID_ERR_DEVICE, op,
                              "device: expected an index below %d for %s, got %d", count, b->name,
                              device.index);
    luc_storage *s = luc_pool_alloc(sizeof *s, op);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    atomic_init(&s->refs, 1);
    s->device = device;
    s->size = size ? size : 1; /* so that data has an address; free gets the same size */
    luc_live_add(LUC_LIVE_STORAGES, 1);
    return s;
}

luc_storage *luc_storage_new(lucid_device device, size_t size, const char *op)
{
    const lucid_backend *b = lucid_backend_get(device.type);
    luc_storage *s = storage_without_data(b, device, size, op);
    if (!s || storage_allocate(s, b, op)) return s;
    luc_storage_release(s);
    return NULL;
}

luc_storage *luc_storage_retain(luc_storage *s)
{
    if (!s) return NULL;
    const int refs = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    assert(refs > 0);
    (void)refs;
    return s;
}

void luc_storage_release(luc_storage *s)
{
    if (!s) return;
    const int refs = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    assert(refs > 0);
    if (refs != 1) return;
    if (s->foreign) {
        if (s->free) s->free(s->user, s->data);
    } else if (s->data) {
        lucid_backend_get(s->device.type)->free(s->device.index, s->data, s->size);
    }
    if (s->kept) luc_keep_drop(s);
    luc_live_add(LUC_LIVE_STORAGES, -1);
    luc_pool_free(s, sizeof *s);
}

/* ---- tensors --------------------------------------------------------------------------------- */

void luc_tensor_set_meta(lucid_tensor *t, const lucid_meta *meta)
{
    assert(meta->ndim >= 0 && meta->ndim <= LUCID_MAX_DIMS);
    assert(lucid_dtype_size(meta->dtype) > 0);
    t->view.dtype = meta->dtype;
    t->view.ndim = meta->ndim;
    t->numel = 1;
    for (int d = 0; d < meta->ndim; d++) {
        t->view.dims[d] = meta->dims[d];
        t->view.strides[d] = meta->strides[d];
        t->numel *= meta->dims[d];
    }
    t->offset = meta->offset;
    t->view.data = t->storage->data; /* NULL is legal where there are no elements */
    if (meta->offset)
        t->view.data = (char *)t->view.data + meta->offset * (int64_t)lucid_dtype_size(meta->dtype);
}

void luc_tensor_get_meta(const lucid_tensor *t, lucid_meta *meta)
{
    meta->dtype = t->view.dtype;
    meta->ndim = t->view.ndim;
    for (int d = 0; d < t->view.ndim; d++) {
        meta->dims[d] = t->view.dims[d];
        meta->strides[d] = t->view.strides[d];
    }
    meta->offset = t->offset;
}

/* Takes ownership of the caller's reference to the storage, even if it fails. */
static lucid_tensor *tensor_on(luc_storage *s, const lucid_meta *meta, const char *op)
{
    lucid_tensor *t = luc_pool_alloc(sizeof *t, op);
    if (!t) {
        luc_storage_release(s);
        return NULL;
    }
    /* Sizes and strides beyond ndim are never read: only the rest is cleared. */
    memset((char *)t + sizeof t->view, 0, offsetof(lucid_tensor, end) - sizeof t->view);
    atomic_init(&t->refs, 1);
    t->storage = s;
    luc_tensor_set_meta(t, meta);
    luc_live_add(LUC_LIVE_TENSORS, 1);
    return luc_scope_add(t) ? t : NULL;
}

/* The bytes from the first element to the last, both included; 0 where there is none. -1 where they
 * overflow, or a size or a stride is negative. */
static int64_t extent(const lucid_meta *meta)
{
    int64_t n = 1, numel = 1, span;
    bool ok = true, empty = false;
    for (int d = 0; d < meta->ndim; d++) {
        const int64_t size = meta->dims[d], stride = meta->strides[d];
        empty |= size == 0;
        ok &= (size | stride) >= 0;
        ok &= !__builtin_mul_overflow(numel, size, &numel);
        ok &= !__builtin_mul_overflow(size - 1, stride, &span);
        ok &= !__builtin_add_overflow(n, span, &n);
    }
    ok &= !__builtin_mul_overflow(n, (int64_t)lucid_dtype_size(meta->dtype), &n);
    return ok ? (empty ? 0 : n) : -1;
}

static inline int64_t bytes_of(const lucid_meta *meta, const char *op)
{
    const int64_t bytes = extent(meta);
    if (bytes < 0)
        luc_raise(LUCID_ERR_ARGUMENT, op, "shape: the size of %s overflows",
                  luc_dims_text(meta->ndim, meta->dims).s);
    return bytes;
}

lucid_tensor *luc_tensor_without_data(const lucid_meta *meta, lucid_device device, const char *op)
{
    const int64_t bytes = bytes_of(meta, op);
    if (bytes < 0) return NULL;
    luc_storage *s =
        storage_without_data(lucid_backend_get(device.type), device, (size_t)bytes, op);
    return s ? tensor_on(s, meta, op) : NULL;
}

bool luc_tensor_allocate(lucid_tensor *t, const char *op)
{
    luc_storage *s = t->storage;
    assert(t->offset == 0); /* luc_tensor_without_data makes no other */
    if (!s->data && !storage_allocate(s, lucid_backend_get(s->device.type), op)) return false;
    t->view.data = s->data;
    return true;
}

lucid_tensor *luc_tensor_new(const lucid_meta *meta, lucid_device device, const char *op)
{
    const int64_t bytes = bytes_of(meta, op);
    if (bytes < 0) return NULL;
    luc_storage *s = luc_storage_new(device, (size_t)bytes, op);
    if (!s) return NULL;
    lucid_tensor *t = tensor_on(s, meta, op);
    if (t && meta->offset != 0) {
        t->offset = 0;
        t->view.data = s->data;
    }
    return t;
}

lucid_tensor *luc_tensor_on(luc_storage *s, const lucid_meta *meta, const char *op)
{
    return tensor_on(luc_storage_retain(s), meta, op);
}

void luc_tensor_swap_data(lucid_tensor *t, lucid_tensor *from)
{
    lucid_meta a, b;
    luc_tensor_get_meta(t, &a);
    luc_tensor_get_meta(from, &b);
    assert(t->storage && from->storage);
    luc_storage *s = t->storage;
    t->storage = from->storage;
    from->storage = s;
    luc_tensor_set_meta(t, &b);
    luc_tensor_set_meta(from, &a);
}

lucid_tensor *lucid_retain(lucid_tensor *t)
{
    if (!t) return NULL;
    const int refs = atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    if (__builtin_expect(refs <= 0, false) && !luc_waits(refs)) {
        atomic_fetch_sub_explicit(&t->refs, 1, memory_order_relaxed);
        luc_raise_ended(t, "retain", "tensor");
        return NULL;
    }
    return t;
}

/* Handles a release whose count was not positive before. */
static void release_other(lucid_tensor *t, int refs)
{
    if (luc_waits(refs - 1)) {
        if (refs - 1 == LUC_WAITS) luc_tensor_autograd.forget(t);
        return;
    }
    /* The tensor was released too often, most likely because it was not retained. */
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    luc_raise_ended(t, "release", "tensor");
}

void lucid_release(lucid_tensor *t)
{
    if (!t) return;
    const int refs = atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel);
    if (refs != 1) {
        if (__builtin_expect(refs <= 0, false)) release_other(t, refs);
        return;
    }
    if ((t->grad_fn || t->grad || t->extra) && luc_tensor_autograd.release)
        luc_tensor_autograd.release(t);
    luc_storage_release(t->storage);
    luc_live_add(LUC_LIVE_TENSORS, -1);
    if (__builtin_expect(luc_debug_tensors, false) && luc_quarantine(t)) return;
    if (t->name) luc_free(t->name);
    luc_pool_free(t, sizeof *t);
}

/* ---- properties ------------------------------------------------------------------------------ */

int lucid_ndim(const lucid_tensor *t)
{
    return t && luc_is_there(t, "ndim", "tensor") ? t->view.ndim : 0;
}

int64_t lucid_size(const lucid_tensor *t, int dim)
{
    if (!t || !luc_is_there(t, "size", "tensor")) return 0;
    if (t->view.ndim == 0) {
        luc_raise(LUCID_ERR_ARGUMENT, "size", "dim: a 0-d tensor has no dimensions, got %d", dim);
        return 0;
    }
    int d = luc_wrap_dim(dim, t->view.ndim, "size", "dim");
    return d < 0 ? 0 : t->view.dims[d];
}

int64_t lucid_stride(const lucid_tensor *t, int dim)
{
    if (!t || !luc_is_there(t, "stride", "tensor")) return 0;
    if (t->view.ndim == 0) {
        luc_raise(LUCID_ERR_ARGUMENT, "stride", "dim: a 0-d tensor has no dimensions, got %d", dim);
        return 0;
    }
    int d = luc_wrap_dim(dim, t->view.ndim, "stride", "dim");
    return d < 0 ? 0 : t->view.strides[d];
}

lucid_shape lucid_tensor_shape(const lucid_tensor *t)
{
    lucid_shape s = {0};
    if (!t || !luc_is_there(t, "tensor_shape", "tensor")) return s;
    s.ndim = t->view.ndim;
    memcpy(s.dims, t->view.dims, (size_t)s.ndim * sizeof *s.dims);
    return s;
}

int64_t lucid_numel(const lucid_tensor *t)
{
    return t && luc_is_there(t, "numel", "tensor") ? t->numel : 0;
}

int64_t lucid_storage_offset(const lucid_tensor *t)
{
    return t && luc_is_there(t, "storage_offset", "tensor") ? t->offset : 0;
}

lucid_dtype lucid_tensor_dtype(const lucid_tensor *t)
{
    return t && luc_is_there(t, "tensor_dtype", "tensor") ? t->view.dtype : LUCID_F32;
}

lucid_device lucid_tensor_device(const lucid_tensor *t)
{
    return t && luc_is_there(t, "tensor_device", "tensor") ? t->storage->device : lucid_cpu();
}

bool lucid_is_contiguous(const lucid_tensor *t, lucid_memory_format format)
{
    if (!t || !luc_is_there(t, "is_contiguous", "tensor")) return false;
    if (format == LUCID_CHANNELS_LAST)
        return luc_is_channels_last(t->view.ndim, t->view.dims, t->view.strides);
    return luc_is_contiguous(t->view.ndim, t->view.dims, t->view.strides);
}

bool lucid_shares_storage(const lucid_tensor *a, const lucid_tensor *b)
{
    return a && b && luc_is_living(a, "shares_storage", "a") &&
           luc_is_living(b, "shares_storage", "b") && a->storage == b->storage;
}

uint64_t lucid_tensor_version(const lucid_tensor *t)
{
    if (!t || !luc_is_living(t, "version", "tensor")) return 0;
    return atomic_load_explicit(&t->storage->version, memory_order_relaxed);
}

bool lucid_set_name(lucid_tensor *t, const char *name)
{
    if (!t || !luc_is_there(t, "set_name", "tensor")) return false;
    char *copy = NULL;
    if (name && !(copy = luc_strdup(name, "set_name"))) return false;
    luc_free(t->name);
    t->name = copy;
    return true;
}

const char *lucid_name(const lucid_tensor *t)
{
    return t && luc_is_there(t, "name", "tensor") && t->name ? t->name : "";
}

const void *lucid_data(const lucid_tensor *t)
{
    return t && luc_is_living(t, "data", "tensor") ? t->view.data : NULL;
}

void *lucid_mutable_data(lucid_tensor *t)
{
    if (!t || !luc_is_living(t, "mutable_data", "tensor")) return NULL;
    if (!luc_before_pointer() || !luc_before_write(t->storage)) return NULL;
    luc_storage_bump(t->storage);
    return t->view.data;
}

/* keep.c: what kernels keep of an input, on the input's storage. */
#include "lucid/core/keep.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <string.h>

/* This struct is in the CPU's memory. If the data are too, they follow it in the same block. */
struct lucid_kept {
    atomic_int refs;
    uint64_t version;  /* of the storage when the call began */
    uint64_t epoch;    /* luc_capture_epoch then */
    const void *input; /* its first element: another view of the storage is another input */
    lucid_device device;
    void *data;
    size_t key_size, bytes; /* bytes: of the data */
    unsigned char key[LUCID_KEEP_KEY];
};

enum { HEADER = (sizeof(struct lucid_kept) + 63) / 64 * 64 };

lucid_kept *lucid_kept_new(lucid_keep *keep, size_t bytes, const void *key, size_t key_size)
{
    if (!keep || key_size > LUCID_KEEP_KEY || bytes > SIZE_MAX - HEADER) return NULL;
    const lucid_device device = keep->storage->device;
    const bool here = device.type == LUCID_CPU;
    const lucid_backend *b = here ? NULL : lucid_backend_get(device.type);
    if (!here && !b) return NULL;
    lucid_kept *k = luc_cache_alloc(HEADER + (here ? bytes : 0));
    if (!k) return NULL;
    memset(k, 0, sizeof *k);
    k->data = here ? (char *)k + HEADER : b->alloc(device.index, bytes);
    if (!k->data) {
        luc_cache_free(k, HEADER);
        return NULL;
    }
    k->device = device;
    k->epoch = luc_capture_epoch();
    atomic_init(&k->refs, 1);
    k->version = keep->version;
    k->input = keep->input;
    k->key_size = key_size;
    k->bytes = bytes;
    memcpy(k->key, key, key_size);
    return k;
}

void *lucid_kept_data(lucid_kept *kept)
{
    return kept ? kept->data : NULL;
}

void lucid_kept_release(lucid_kept *k)
{
    if (!k) return;
    const int refs = atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel);
    assert(refs > 0);
    if (refs != 1) return;
    const bool here = k->device.type == LUCID_CPU;
    if (!here) lucid_backend_get(k->device.type)->free(k->device.index, k->data, k->bytes);
    luc_cache_free(k, HEADER + (here ? k->bytes : 0));
}

/* ---- on the storage ------------------------------------------------------------------------- */

lucid_kept *lucid_keep_find(lucid_keep *keep, const void *key, size_t key_size)
{
    if (!keep) return NULL;
    luc_spin_lock(LUC_SPIN_STORAGE, keep->storage);
    lucid_kept *k = keep->storage->kept;
    if (k && (k->version != keep->version || k->input != keep->input || k->key_size != key_size ||
              memcmp(k->key, key, key_size) != 0 ||
              (k->device.type != LUCID_CPU && k->epoch != luc_capture_epoch())))
        k = NULL;
    if (k) atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    luc_spin_unlock(LUC_SPIN_STORAGE, keep->storage);
    return k;
}

/* k: a reference of the storage's own, or NULL. */
static void replace(luc_storage *s, lucid_kept *k)
{
    luc_spin_lock(LUC_SPIN_STORAGE, s);
    lucid_kept *old = s->kept;
    __atomic_store_n(&s->kept, k, __ATOMIC_RELAXED); /* luc_keep_drop reads it without the lock */
    luc_spin_unlock(LUC_SPIN_STORAGE, s);
    lucid_kept_release(old);
}

void lucid_keep_put(lucid_keep *keep, lucid_kept *kept)
{
    if (!keep || !kept) return;
    assert(atomic_load(&kept->refs) > 0);
    atomic_fetch_add_explicit(&kept->refs, 1, memory_order_relaxed);
    replace(keep->storage, kept);
}

void luc_keep_drop(luc_storage *s)
{
    if (__atomic_load_n(&s->kept, __ATOMIC_RELAXED)) replace(s, NULL);
}

bool luc_keep_begin(lucid_keep *keep, const lucid_tensor *t)
{
    if (t->storage->foreign) return false; /* its owner may change it unnoticed */
    keep->storage = t->storage;
    keep->version = lucid_tensor_version(t);
    keep->input = t->view.data;
    return true;
}

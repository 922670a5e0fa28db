/* feed.c: how a loader's batches get to its device.
 *
 * Two pieces of device memory take turns: while the device works on one batch, the next one is
 * copied into the other piece, from page-locked memory. If the user has kept a batch, or a graph
 * has saved it, he keeps its memory, and new memory takes its place. */
#include "lucid/data/loader_priv.h"

#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

static const char op[] = "data_Loader";

bool luc_feed_begin(luc_feed *feed, lucid_device device)
{
    feed->device = device;
    if (device.type == LUCID_CPU) return true;
    feed->backend = lucid_backend_get(device.type);
    return feed->backend != NULL;
}

void luc_feed_end(luc_feed *feed)
{
    for (int i = 0; i < 2; i++) {
        lucid_release(feed->slots[i].x);
        lucid_release(feed->slots[i].y);
        if (feed->slots[i].mark) feed->backend->mark_free(feed->slots[i].mark);
    }
    lucid_release(feed->all_x);
    lucid_release(feed->all_y);
    lucid_release(feed->order);
    *feed = (luc_feed){.device = feed->device, .backend = feed->backend};
}

/* ---- batches in host memory ------------------------------------------------------------------ */

static void free_locked(void *user, void *data)
{
    ((const lucid_backend *)user)->host_free(data);
}

/* A tensor on page-locked memory; it belongs to the scope. */
static lucid_tensor *locked_tensor(const lucid_backend *b, lucid_shape shape, lucid_dtype dtype)
{
    size_t bytes = (size_t)lucid_shape_numel(&shape) * lucid_dtype_size(dtype);
    void *data = b->host_alloc(bytes);
    if (!data)
        return luc_raise_null(LUCID_ERR_MEMORY, op,
                              "out of memory: %zu bytes of page-locked memory asked for", bytes);
    lucid_tensor *t = lucid_from_blob(shape, dtype, data, free_locked, (void *)(uintptr_t)b);
    if (!t) b->host_free(data);
    return t;
}

lucid_tensor *luc_feed_batch(const luc_feed *feed, const lucid_sample_spec *spec, int64_t n,
                             char **data)
{
    size_t scope = lucid_scope_begin();
    if (!scope) return NULL;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = spec->dtype;
    lucid_shape shape = {.ndim = spec->shape.ndim + 1, .dims = {n}};
    for (int d = 0; d < spec->shape.ndim; d++) shape.dims[d + 1] = spec->shape.dims[d];
    bool locked = feed->backend && feed->backend->host_alloc && lucid_shape_numel(&shape) > 0;
    lucid_tensor *t = lucid_retain(locked ? locked_tensor(feed->backend, shape, spec->dtype)
                                          : lucid_empty_opt(shape, &options));
    if (t) *data = lucid_mutable_data(t);
    lucid_scope_end(scope);
    return t;
}

/* ---- to the device --------------------------------------------------------------------------- */

static lucid_tensor *empty_like(const lucid_tensor *t, lucid_device device)
{
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = lucid_tensor_dtype(t);
    options.device = device;
    return lucid_empty_opt(lucid_tensor_shape(t), &options);
}

/* Whether nobody but the slot holds the tensor. */
static bool is_unshared(const lucid_tensor *there)
{
    return there && atomic_load(&there->refs) == 1 && atomic_load(&there->storage->refs) == 1;
}

/* Whether the same is true and the tensor has the batch's sizes. */
static bool is_free(const lucid_tensor *there, const lucid_tensor *t)
{
    return is_unshared(there) &&
           luc_dims_equal(there->view.ndim, there->view.dims, t->view.ndim, t->view.dims);
}

/* Makes *slot a place for t. *fresh: it was made now, and work on the former owner of its memory
 * may still be queued. */
static bool make_place(lucid_tensor **slot, const lucid_tensor *t, lucid_device device, bool *fresh)
{
    if (is_free(*slot, t)) return true;
    *fresh = true;
    lucid_release(*slot);
    size_t scope = lucid_scope_begin();
    *slot = scope ? lucid_retain(empty_like(t, device)) : NULL;
    if (scope) lucid_scope_end(scope);
    return *slot != NULL;
}

static size_t bytes_of(const lucid_tensor *t)
{
    return (size_t)t->numel * lucid_dtype_size(t->view.dtype);
}

/* The user's tensor on the memory of a slot. It ends with the batch, as on the CPU. If the user got
 * the slot's own tensor and kept it, its content would become that of a later batch. */
static lucid_tensor *batch_tensor(const lucid_tensor *slot)
{
    lucid_meta meta;
    luc_tensor_get_meta(slot, &meta);
    size_t scope = lucid_scope_begin();
    lucid_tensor *t = scope ? lucid_retain(luc_tensor_on(slot->storage, &meta, op)) : NULL;
    lucid_scope_end(scope);
    return t;
}

static bool upload_beside(luc_feed *feed, luc_job *job)
{
    const lucid_backend *b = feed->backend;
    const int index = feed->device.index;
    int k = feed->slot = 1 - feed->slot;
    bool fresh = !feed->slots[k].marked;
    if (!make_place(&feed->slots[k].x, job->x, feed->device, &fresh) ||
        !make_place(&feed->slots[k].y, job->y, feed->device, &fresh))
        return false;
    if (fresh) {
        void *mark = b->mark(index, feed->slots[k].mark);
        if (!mark) return false;
        feed->slots[k].mark = mark;
    }
    lucid_tensor *x = feed->slots[k].x, *y = feed->slots[k].y;
    if (!b->upload(index, x->view.data, job->x->view.data, bytes_of(x), feed->slots[k].mark) ||
        !b->upload(index, y->view.data, job->y->view.data, bytes_of(y), feed->slots[k].mark))
        return false;
    lucid_release(job->x);
    lucid_release(job->y);
    job->x = batch_tensor(x);
    job->y = batch_tensor(y);
    return job->x && job->y;
}

/* Replaces a CPU tensor by its copy on the device. */
static bool move(lucid_tensor **t, lucid_device device)
{
    size_t scope = lucid_scope_begin();
    if (!scope) return false;
    lucid_tensor *there = empty_like(*t, device);
    bool ok = there && luc_copy_data(there, *t, op);
    if (ok) {
        lucid_release(*t);
        *t = lucid_retain(there);
    }
    lucid_scope_end(scope);
    return ok;
}

bool luc_feed_upload(luc_feed *feed, luc_job *job)
{
    if (!feed->backend) return true;
    if (feed->backend->upload) return upload_beside(feed, job);
    return move(&job->x, feed->device) && move(&job->y, feed->device);
}

bool luc_feed_leave(luc_feed *feed)
{
    if (!feed->backend || !feed->backend->upload || !feed->slots[feed->slot].x) return true;
    void *mark = feed->backend->mark(feed->device.index, feed->slots[feed->slot].mark);
    if (!mark) return false;
    feed->slots[feed->slot].mark = mark;
    /* Work on a batch that somebody still holds may also be queued after this mark. */
    feed->slots[feed->slot].marked =
        is_unshared(feed->slots[feed->slot].x) && is_unshared(feed->slots[feed->slot].y);
    return true;
}

/* ---- resident data -------------------------------------------------------------------------- */

bool luc_feed_keep(luc_feed *feed, luc_job *job)
{
    if (feed->backend && !(move(&job->x, feed->device) && move(&job->y, feed->device)))
        return false;
    feed->all_x = job->x;
    feed->all_y = job->y;
    job->x = job->y = NULL;
    return true;
}

bool luc_feed_order(luc_feed *feed, const int64_t *order, int64_t n)
{
    size_t scope = lucid_scope_begin();
    if (!scope) return false;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = LUCID_I64;
    options.device = feed->device;
    lucid_release(feed->order);
    feed->order = lucid_retain(lucid_from_data_opt(LUCID_SHAPE(n), order, &options));
    lucid_scope_end(scope);
    return feed->order != NULL;
}

/* Rows order[begin .. begin + n) of all samples; the tensor belongs to no scope. */
static lucid_tensor *gather(const luc_feed *feed, const lucid_tensor *all, int64_t begin, int64_t n)
{
    size_t scope = lucid_scope_begin();
    if (!scope) return NULL;
    lucid_meta meta;
    luc_tensor_get_meta(all, &meta);
    meta.dims[0] = n;
    lucid_tensor *t = luc_tensor_new(&meta, feed->device, op);
    bool ok = t != NULL;
    if (ok && t->numel > 0) {
        lucid_view index = feed->order->view;
        index.data = (int64_t *)index.data + begin;
        index.dims[0] = n;
        const lucid_view *in[] = {&all->view, &index}, *out[] = {&t->view};
        const lucid_dim_attrs attrs = {.dim = 0};
        lucid_kernel_args args = {.n_in = 2, .n_out = 1, .in = in, .out = out, .attrs = &attrs};
        ok = luc_kernel_run(feed->device, LUCID_OP_index_select, all->view.dtype, &args);
    }
    t = ok ? lucid_retain(t) : NULL;
    lucid_scope_end(scope);
    return t;
}

bool luc_feed_gather(luc_feed *feed, luc_job *job, int64_t begin)
{
    job->x = gather(feed, feed->all_x, begin, job->n);
    if (job->x) job->y = gather(feed, feed->all_y, begin, job->n);
    return job->y != NULL;
}

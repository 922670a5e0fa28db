/* autocast.c: the thread's mixed precision: policies, and the casts of parameters that are kept. */
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/dispatch/dispatch_priv.h"
#include "lucid/core/attrs.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

_Thread_local lucid_dtype luc_autocast_now = LUCID_AUTOCAST_OFF;

static _Thread_local size_t depth; /* how many scopes are open */

/* ---- kept casts ------------------------------------------------------------------------------ */

/* A cast of a parameter. It is valid while the parameter has the same memory with the same version,
 * and no capture has begun, ended or run (a replay changes memory without a version); and only in
 * the same gradient mode, because a cast that was not recorded has no history. */
typedef struct kept {
    lucid_tensor *from;      /* owned: its address is the key */
    luc_storage *storage;    /* owned, so that no other storage gets its address */
    uint64_t version, epoch; /* of the storage; of lucid/capture */
    bool recorded;
    lucid_tensor *cast; /* owned */
} kept;

/* Open addressing by address and dtype; a place is free where .from is NULL. */
typedef struct kept_table {
    kept *place;
    size_t size, used; /* size: 0 or a power of two, at least twice what is used */
} kept_table;

static _Thread_local kept_table table;

static void kept_release(kept *k)
{
    lucid_release(k->from);
    lucid_release(k->cast);
    luc_storage_release(k->storage);
}

static void table_clear(void)
{
    kept_table old = table;
    table = (kept_table){0};
    for (size_t i = 0; i < old.size; i++)
        if (old.place[i].from) kept_release(&old.place[i]);
    luc_free(old.place);
}

static kept *find(const kept_table *t, const lucid_tensor *from, lucid_dtype dtype)
{
    uint64_t h = ((uint64_t)(uintptr_t)from + (uint64_t)dtype) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 20) & (t->size - 1);
    while (t->place[i].from && (t->place[i].from != from || t->place[i].cast->view.dtype != dtype))
        i = (i + 1) & (t->size - 1);
    return &t->place[i];
}

/* Enlarges the table for one more entry. */
static bool table_grow(void)
{
    if (table.size >= 2 * (table.used + 1)) return true;
    kept_table bigger = {.size = table.size ? 2 * table.size : 64, .used = table.used};
    bigger.place = luc_calloc(bigger.size, sizeof *bigger.place, "autocast");
    if (!bigger.place) return false;
    for (size_t i = 0; i < table.size; i++) {
        const kept *k = &table.place[i];
        if (k->from) *find(&bigger, k->from, k->cast->view.dtype) = *k;
    }
    luc_free(table.place);
    table.place = bigger.place;
    table.size = bigger.size;
    return true;
}

static bool is_good(const kept *k, bool recorded)
{
    const lucid_tensor *t = k->from;
    return t && k->storage == t->storage && k->recorded == recorded &&
           k->epoch == luc_capture_epoch() &&
           k->version == atomic_load_explicit(&t->storage->version, memory_order_relaxed);
}

/* Whether t is a parameter: a float32 leaf that requires a gradient and is no view. */
static bool is_parameter(const lucid_tensor *t)
{
    return t->requires_grad && !t->grad_fn && t->view.dtype == LUCID_F32 &&
           !(t->extra && t->extra->base);
}

static lucid_tensor *cast_now(lucid_tensor *t, lucid_dtype dtype)
{
    const lucid_view_attrs attrs = {.dtype = dtype};
    return lucid_apply(&luc_op_cast, &t, 1, &attrs);
}

static lucid_tensor *cast_parameter(lucid_tensor *t, lucid_dtype dtype)
{
    const bool recorded = !luc_grad_off;
    if (table.size) {
        kept *k = find(&table, t, dtype);
        if (is_good(k, recorded)) return k->cast;
    }
    /* The version from before the cast, so that a write in the meantime makes the cast stale. */
    uint64_t version = atomic_load_explicit(&t->storage->version, memory_order_relaxed);
    lucid_tensor *cast = cast_now(t, dtype);
    if (!cast || !table_grow()) return NULL;
    kept *k = find(&table, t, dtype), old = *k;
    *k = (kept){.from = lucid_retain(t),
                .storage = luc_storage_retain(t->storage),
                .version = version,
                .epoch = luc_capture_epoch(),
                .recorded = recorded,
                .cast = lucid_retain(cast)};
    if (old.from)
        kept_release(&old);
    else
        table.used++;
    return cast;
}

/* ---- policies -------------------------------------------------------------------------------- */

/* Only what floats is cast; float64 only ever by widening to it. */
static bool differs(const lucid_tensor *t, lucid_dtype dtype)
{
    lucid_dtype d = t->view.dtype;
    return d != dtype && d != LUCID_F64 && lucid_dtype_is_floating(d);
}

static lucid_tensor *cast_to(lucid_tensor *t, lucid_dtype dtype)
{
    if (!differs(t, dtype)) return t;
    return is_parameter(t) ? cast_parameter(t, dtype) : cast_now(t, dtype);
}

/* The widest of the floating dtypes; LUCID_DTYPE_COUNT where there is none. */
static lucid_dtype widest(lucid_tensor *const *inputs, int n)
{
    lucid_dtype d = LUCID_DTYPE_COUNT;
    for (int i = 0; i < n; i++) {
        if (!inputs[i] || !lucid_dtype_is_floating(inputs[i]->view.dtype)) continue;
        lucid_dtype got = inputs[i]->view.dtype;
        d = d == LUCID_DTYPE_COUNT ? got : lucid_promote_types(d, got);
    }
    return d;
}

lucid_dtype luc_autocast_target(const lucid_op *op, lucid_tensor *const *inputs, int n)
{
    lucid_dtype dtype = LUCID_F32;
    if (op->autocast != LUCID_AUTOCAST_FULL) dtype = widest(inputs, n);
    if (op->autocast == LUCID_AUTOCAST_LOW) {
        if (dtype == LUCID_F64)
            return LUCID_DTYPE_COUNT; /* float64 is kept, because the caller chose it */
        dtype = luc_autocast_now;
    }
    for (int i = 0; i < n; i++)
        if (inputs[i] && differs(inputs[i], dtype)) return dtype;
    return LUCID_DTYPE_COUNT;
}

bool luc_autocast_inputs(lucid_tensor *const *inputs, int n, lucid_dtype dtype, lucid_tensor **cast)
{
    for (int i = 0; i < n; i++) {
        cast[i] = inputs[i] ? cast_to(inputs[i], dtype) : NULL;
        if (inputs[i] && !cast[i]) return false;
    }
    return true;
}

lucid_tensor *luc_autocast_full(lucid_tensor *t)
{
    return t && luc_autocast_is_on() ? cast_to(t, LUCID_F32) : t;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

/* What begin returns: the depth of the scope, and the dtype before it in the low bits. */
enum { DTYPE_BITS = 4 };

size_t lucid_autocast_begin(lucid_dtype dtype)
{
    if (dtype != LUCID_BF16 && dtype != LUCID_F16 && dtype != LUCID_AUTOCAST_OFF) {
        luc_raise(LUCID_ERR_ARGUMENT, "autocast",
                  "dtype: expected bfloat16, float16, or float32 (off), got %s",
                  lucid_dtype_name(dtype));
        return 0;
    }
    size_t scope = ++depth << DTYPE_BITS | (size_t)luc_autocast_now;
    luc_autocast_now = dtype;
    return scope;
}

void lucid_autocast_end(size_t scope)
{
    size_t at = scope >> DTYPE_BITS;
    if (at == 0 || at > depth) return;
    depth = at - 1;
    luc_autocast_now = (lucid_dtype)(scope & ((1u << DTYPE_BITS) - 1));
    if (depth == 0) table_clear();
}

void lucid_autocast_cleanup(size_t *scope)
{
    if (scope) lucid_autocast_end(*scope);
}

lucid_dtype lucid_autocast_dtype(void)
{
    return luc_autocast_now;
}

void luc_autocast_end_all(void)
{
    depth = 0;
    luc_autocast_now = LUCID_AUTOCAST_OFF;
    table_clear();
}

/* memory.c: general allocation, pools of small objects, the fail-the-nth hook, live counts. */
#include "lucid/core/memory_priv.h"
#include "lucid/core/backend.h"
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the hook -------------------------------------------------------------------------------- */

static atomic_bool watched;
static atomic_uint_fast64_t fail_at, counted;

void lucid_memory_fail_nth(uint64_t n)
{
    luc_pool_release_thread();
    atomic_store(&counted, 0);
    atomic_store(&fail_at, n);
    atomic_store(&watched, n != 0);
}

uint64_t lucid_memory_fail_count(void)
{
    return atomic_load(&counted);
}

bool luc_alloc_is_watched(void)
{
    return atomic_load_explicit(&watched, memory_order_relaxed);
}

bool luc_alloc_should_fail(void)
{
    if (!luc_alloc_is_watched()) return false;
    return atomic_fetch_add(&counted, 1) + 1 == atomic_load(&fail_at);
}

/* ---- general memory -------------------------------------------------------------------------- */

static void *out_of_memory(size_t size, const char *what)
{
    return luc_raise_null(LUCID_ERR_MEMORY, what, "out of memory: %zu bytes asked for", size);
}

void *luc_alloc(size_t size, const char *what)
{
    void *p = luc_alloc_should_fail() ? NULL : malloc(size ? size : 1);
    return p ? p : out_of_memory(size, what);
}

void *luc_calloc(size_t count, size_t size, const char *what)
{
    size_t bytes;
    if (!luc_mul_size(count, size, &bytes)) return out_of_memory(SIZE_MAX, what);
    void *p = luc_alloc_should_fail() ? NULL : calloc(bytes ? bytes : 1, 1);
    return p ? p : out_of_memory(bytes, what);
}

void *luc_realloc(void *old, size_t size, const char *what)
{
    void *p = luc_alloc_should_fail() ? NULL : realloc(old, size ? size : 1);
    return p ? p : out_of_memory(size, what);
}

void luc_free(void *p)
{
    free(p);
}

char *luc_strdup(const char *text, const char *what)
{
    size_t n = strlen(text) + 1;
    char *copy = luc_alloc(n, what);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* ---- pools: free lists of small objects, a thread's own -------------------------------------- */

enum { POOLS_ON = !LUC_ASAN };
enum { POOL_STEP = 64, POOL_CLASSES = LUC_POOL_MAX / POOL_STEP, POOL_KEEP = 1 << 20 };

typedef struct pool_item {
    struct pool_item *next;
} pool_item;

static __thread struct {
    pool_item *head[POOL_CLASSES];
    uint16_t count[POOL_CLASSES]; /* to POOL_KEEP / POOL_STEP */
    bool registered;              /* a destructor will run when the thread ends */
} pool __attribute__((tls_model("initial-exec")));
static pthread_key_t pool_key;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void pool_thread_end(void *p)
{
    (void)p;
    pool.registered = false; /* destructors that run later register it anew */
    luc_pool_release_thread();
}

static void pool_make_key(void)
{
    pthread_key_create(&pool_key, pool_thread_end);
}

/* A thread that only frees objects of other threads has lists, too, which its end must free. */
static void pool_register(void)
{
    pthread_once(&pool_once, pool_make_key);
    pool.registered = pthread_setspecific(pool_key, &pool) == 0;
}

static size_t pool_class(size_t size)
{
    return size ? (size - 1) / POOL_STEP : 0;
}

void *luc_pool_alloc(size_t size, const char *what)
{
    if (!POOLS_ON || size > LUC_POOL_MAX) return luc_alloc(size, what);
    size_t k = pool_class(size);
    pool_item *p = luc_alloc_is_watched() ? NULL : pool.head[k];
    if (!p) return luc_alloc((k + 1) * POOL_STEP, what);
    assert(pool.count[k] > 0);
    pool.head[k] = p->next;
    pool.count[k]--;
    return p;
}

void luc_pool_free(void *memory, size_t size)
{
    if (!memory) return;
    size_t k = pool_class(size);
    if (!POOLS_ON || size > LUC_POOL_MAX || luc_alloc_is_watched() ||
        pool.count[k] >= POOL_KEEP / ((k + 1) * POOL_STEP)) {
        free(memory);
        return;
    }
    if (!pool.registered) pool_register();
    pool_item *p = memory;
    p->next = pool.head[k];
    pool.head[k] = p;
    pool.count[k]++;
}

void luc_pool_release_thread(void)
{
    for (size_t k = 0; k < POOL_CLASSES; k++) {
        assert((pool.head[k] == NULL) == (pool.count[k] == 0));
        while (pool.head[k]) {
            pool_item *p = pool.head[k];
            pool.head[k] = p->next;
            free(p);
        }
        pool.count[k] = 0;
    }
}

/* ---- live counts: a thread's own cells, summed when asked ------------------------------------ */

typedef struct live_cell {
    _Atomic int64_t n[LUC_LIVE_KINDS]; /* written by its thread only */
    struct live_cell *next;
} live_cell;

static live_cell *live_cells;  /* of running threads */
static live_cell live_of_dead; /* sum of the threads that ended, and the fallback */
static pthread_key_t live_key;
static pthread_once_t live_once = PTHREAD_ONCE_INIT;
static __thread live_cell *live_mine __attribute__((tls_model("initial-exec")));
static __thread live_cell live_storage __attribute__((tls_model("initial-exec")));

static void live_thread_end(void *p)
{
    live_cell *cell = p;
    luc_lock(LUC_LOCK_LIVE);
    for (live_cell **at = &live_cells; *at; at = &(*at)->next) {
        if (*at != cell) continue;
        *at = cell->next;
        break;
    }
    for (int k = 0; k < LUC_LIVE_KINDS; k++) live_of_dead.n[k] += cell->n[k];
    luc_unlock(LUC_LOCK_LIVE);
    memset(cell, 0, sizeof *cell);
    live_mine = NULL; /* destructors that run later register it anew */
}

/* In a child of fork: the cells of the parent's other threads lie in stacks that new threads will
 * get. */
static void live_forget_threads(void)
{
    for (live_cell *c = live_cells; c; c = c->next)
        for (int k = 0; k < LUC_LIVE_KINDS && c != live_mine; k++) live_of_dead.n[k] += c->n[k];
    live_cells = live_mine;
    if (live_mine) live_mine->next = NULL;
}

static void live_make_key(void)
{
    pthread_key_create(&live_key, live_thread_end);
    luc_in_forked_child(live_forget_threads);
}

static void live_register(void)
{
    pthread_once(&live_once, live_make_key);
    live_mine = &live_storage;
    luc_lock(LUC_LOCK_LIVE);
    live_mine->next = live_cells;
    live_cells = live_mine;
    luc_unlock(LUC_LOCK_LIVE);
    pthread_setspecific(live_key, live_mine);
}

void luc_live_add(luc_live_kind kind, int64_t delta)
{
    if (!live_mine) live_register();
    _Atomic int64_t *n = &live_mine->n[kind];
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + delta,
                          memory_order_relaxed);
}

lucid_live_counts lucid_live(void)
{
    int64_t sum[LUC_LIVE_KINDS];
    luc_lock(LUC_LOCK_LIVE);
    for (int k = 0; k < LUC_LIVE_KINDS; k++) {
        sum[k] = live_of_dead.n[k];
        for (live_cell *c = live_cells; c; c = c->next)
            sum[k] += atomic_load_explicit(&c->n[k], memory_order_relaxed);
    }
    luc_unlock(LUC_LOCK_LIVE);
    return (lucid_live_counts){
        .tensors = sum[LUC_LIVE_TENSORS],
        .storages = sum[LUC_LIVE_STORAGES],
        .nodes = sum[LUC_LIVE_NODES],
        .modules = sum[LUC_LIVE_MODULES],
        .optimizers = sum[LUC_LIVE_OPTIMIZERS],
        .loaders = sum[LUC_LIVE_LOADERS],
        .other = sum[LUC_LIVE_OTHER],
    };
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool report_live(void)
{
    lucid_live_counts n = lucid_live();
    const struct {
        const char *what;
        int64_t count;
        luc_live_kind kind;
    } rows[] = {{"tensor", n.tensors, LUC_LIVE_TENSORS},
                {"storage", n.storages, LUC_LIVE_STORAGES},
                {"graph node", n.nodes, LUC_LIVE_NODES},
                {"module", n.modules, LUC_LIVE_MODULES},
                {"optimizer", n.optimizers, LUC_LIVE_OPTIMIZERS},
                {"loader", n.loaders, LUC_LIVE_LOADERS},
                {"other object", n.other, LUC_LIVE_OTHER}};
    bool clean = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].count == 0) continue;
        fprintf(stderr, "%s %lld %s%s", clean ? "lucid: never freed:" : ",",
                (long long)rows[i].count, rows[i].what, rows[i].count == 1 ? "" : "s");
        luc_live_print_names(stderr, rows[i].kind);
        clean = false;
    }
    if (!clean) fputc('\n', stderr);
    return clean;
}

int lucid_finish(void)
{
    luc_scope_end_all();
    bool ok = lucid_error_code() == LUCID_OK;
    if (!ok)
        fprintf(stderr, "lucid: %s error: %s\n", lucid_code_name(lucid_error_code()),
                lucid_error());
    luc_quarantine_release();
    if (!report_live()) ok = false;
    luc_pool_release_thread();
    luc_cache_release();
    lucid_clear_error();
    return ok ? 0 : 1;
}

/* ---- figures of a device --------------------------------------------------------------------- */

lucid_memory_stats lucid_memory(lucid_device device)
{
    lucid_memory_stats none = {0};
    if (lucid_device_count(device.type) <= device.index || device.index < 0) return none;
    const lucid_backend *b = lucid_backend_get(device.type);
    return b && b->memory ? b->memory(device.index) : none;
}

void lucid_memory_reset_peak(lucid_device device)
{
    if (lucid_device_count(device.type) <= device.index || device.index < 0) return;
    const lucid_backend *b = lucid_backend_get(device.type);
    if (b && b->memory_reset_peak) b->memory_reset_peak(device.index);
}

bool lucid_memory_set_cache_limit(lucid_device device, double peaks)
{
    static const char op[] = "memory_set_cache_limit";
    if (!(peaks >= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "peaks: expected >= 1, got %g", peaks);
    if (lucid_device_count(device.type) <= device.index || device.index < 0)
        return luc_raise(LUCID_ERR_DEVICE, op, "device: %s cannot be used here",
                         lucid_device_name(device));
    const lucid_backend *b = lucid_backend_get(device.type);
    if (!b) return false;
    if (!b->memory_set_cache_limit)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op, "device: the backend %s has no cache", b->name);
    b->memory_set_cache_limit(device.index, peaks);
    return true;
}

void lucid_memory_release_cache(lucid_device device)
{
    if (lucid_device_count(device.type) <= device.index || device.index < 0) return;
    const lucid_backend *b = lucid_backend_get(device.type);
    if (b && b->memory_release_cache) b->memory_release_cache(device.index);
}

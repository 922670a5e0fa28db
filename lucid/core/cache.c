/* cache.c: the caching allocator of host memory for tensor data.
 *
 * Fresh pages cost more than the arithmetic of most layers, so blocks are kept and handed out
 * again. Sizes are rounded up to classes, eight to a doubling; a block carries its class in the 64
 * bytes before it. Small blocks come from the thread's own lists; larger ones from lists under
 * one lock, where a block of up to twice the size is taken before the system is asked.
 *
 * What is reserved grows only when the system is asked. Where it would then be more than a multiple
 * of the most that tensors ever took at once, the blocks that lay unused for the longest time go
 * back first. A program whose steps have one shape finds all its blocks here and never comes to
 * that. */
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGN = 64,
    HEADER = 64,
    SMALL_MAX = 4096,
    SMALL_CLASSES = SMALL_MAX / ALIGN,
    SMALL_KEEP = 64, /* blocks of one class that a thread keeps */
    HUGE_PAGE = 2 << 20,
    HUGE_FROM = 4 << 20, /* blocks from here on ask for huge pages */
    CLASSES = 8 * 64,
    STEPS = 8,
    SLACK = 64 << 20 /* bytes that may be reserved beyond the multiple */
};

typedef struct block {
    size_t size; /* of the data, as the class has it */
    size_t kind; /* class; SMALL_CLASSES + class for large ones */
    bool exact;  /* made while the hook was on: goes straight back to the system */
    struct block *next, *previous; /* in the list of its class; previous: large ones only */
    struct block *newer, *older;   /* large ones: by when they were freed */
} block;
_Static_assert(sizeof(block) <= HEADER, "the header must fit before the data");

/* Large blocks that are free: under LUC_LOCK_CACHE. */
static block *large[CLASSES];
static block *newest, *oldest;

static _Atomic double limit = LUCID_CACHE_LIMIT_DEFAULT; /* of reserved, in multiples of most */
static struct {
    atomic_size_t current, peak, reserved;
    atomic_size_t most; /* the most that was in use: as peak, but never reset */
    atomic_uint_fast64_t allocations, hits;
    atomic_int_fast64_t live;
} stats;

static __thread struct {
    block *head[SMALL_CLASSES];
    uint8_t count[SMALL_CLASSES]; /* to SMALL_KEEP */
    bool registered;
} small __attribute__((tls_model("initial-exec")));
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The class of a large size and, in *rounded, the size that the class has. */
static size_t large_class(size_t size, size_t *rounded)
{
    unsigned top = 63u - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
    size_t step = ((size_t)1 << top) / STEPS;
    size_t k = (size - 1 - ((size_t)1 << top)) / step + 1; /* 1..8 steps above the power */
    *rounded = ((size_t)1 << top) + k * step;
    assert(k >= 1 && k <= STEPS && *rounded >= size);
    return (size_t)top * STEPS + k - 1;
}

static block *system_alloc(size_t size)
{
    size_t bytes;
    if (__builtin_add_overflow(size, (size_t)HEADER, &bytes)) return NULL;
    size_t align = size >= HUGE_FROM ? HUGE_PAGE : ALIGN;
    void *p = NULL;
    if (posix_memalign(&p, align, bytes) != 0) return NULL;
    if (size >= HUGE_FROM) madvise(p, bytes, MADV_HUGEPAGE);
    atomic_fetch_add(&stats.reserved, size);
    block *b = p;
    b->size = size;
    return b;
}

/* While a block is in a list, AddressSanitizer reports each use of its data, which means that a
 * pointer of lucid_data has outlived its tensor. */
static void hide_data(block *b)
{
    (void)b;
    LUC_ASAN_POISON((char *)b + HEADER, b->size);
}

static void show_data(block *b)
{
    (void)b;
    LUC_ASAN_UNPOISON((char *)b + HEADER, b->size);
}

static void system_free(block *b)
{
    show_data(b);
    atomic_fetch_sub(&stats.reserved, b->size);
    free(b);
}

static void free_list(block *b)
{
    while (b) {
        block *next = b->next;
        system_free(b);
        b = next;
    }
}

static void release_small(void *unused)
{
    (void)unused;
    for (size_t k = 0; k < SMALL_CLASSES; k++) {
        while (small.head[k]) {
            block *b = small.head[k];
            small.head[k] = b->next;
            system_free(b);
        }
        small.count[k] = 0;
    }
    small.registered = false;
}

static void make_key(void)
{
    pthread_key_create(&thread_end, release_small);
}

static void raise_to(atomic_size_t *most, size_t now)
{
    size_t before = atomic_load_explicit(most, memory_order_relaxed);
    while (now > before && !atomic_compare_exchange_weak_explicit(
                               most, &before, now, memory_order_relaxed, memory_order_relaxed)) {}
}

static void count_in(size_t size)
{
    size_t now = atomic_fetch_add_explicit(&stats.current, size, memory_order_relaxed) + size;
    raise_to(&stats.peak, now);
    atomic_fetch_add_explicit(&stats.allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats.live, 1, memory_order_relaxed);
}

static block *take_small(size_t k)
{
    block *b = small.head[k];
    if (!b) return NULL;
    assert(small.count[k] > 0 && b->kind == k);
    small.head[k] = b->next;
    small.count[k]--;
    return b;
}

/* ---- large blocks: all under the lock -------------------------------------------------------- */

static void link(block *b)
{
    assert(luc_lock_is_held(LUC_LOCK_CACHE));
    assert(b->kind >= SMALL_CLASSES && b->kind < SMALL_CLASSES + CLASSES);
    block **head = &large[b->kind - SMALL_CLASSES];
    b->previous = NULL;
    b->next = *head;
    if (*head) (*head)->previous = b;
    *head = b;
    b->newer = NULL;
    b->older = newest;
    *(newest ? &newest->newer : &oldest) = b;
    newest = b;
}

static void unlink(block *b)
{
    assert(luc_lock_is_held(LUC_LOCK_CACHE));
    *(b->previous ? &b->previous->next : &large[b->kind - SMALL_CLASSES]) = b->next;
    if (b->next) b->next->previous = b->previous;
    *(b->newer ? &b->newer->older : &newest) = b->older;
    *(b->older ? &b->older->newer : &oldest) = b->newer;
}

/* Takes the oldest blocks out, of `bytes` together or a little more; a list by .next. */
static block *take_oldest(size_t bytes)
{
    block *taken = NULL;
    for (size_t n = 0; n < bytes && oldest;) {
        block *b = oldest;
        n += b->size;
        unlink(b);
        b->next = taken;
        taken = b;
    }
    return taken;
}

/* A cached block of the class, or of one up to twice the size. */
static block *take_large(size_t k)
{
    block *b = NULL;
    luc_lock(LUC_LOCK_CACHE);
    for (size_t i = k; i <= k + STEPS && i < CLASSES && !b; i++) {
        b = large[i];
        if (b) unlink(b);
    }
    luc_unlock(LUC_LOCK_CACHE);
    return b;
}

/* Gives old blocks back before `size` bytes are taken from the system. */
static void return_old_blocks(size_t size)
{
    const size_t current = atomic_load_explicit(&stats.current, memory_order_relaxed);
    const size_t reserved = atomic_load_explicit(&stats.reserved, memory_order_relaxed);
    raise_to(&stats.most, current + size);
    raise_to(&stats.most, atomic_load_explicit(&stats.peak, memory_order_relaxed));
    const double most = (double)atomic_load_explicit(&stats.most, memory_order_relaxed);
    const double excess = (double)(reserved + size) - SLACK -
                          most * atomic_load_explicit(&limit, memory_order_relaxed);
    if (!(excess > 0)) return;
    luc_lock(LUC_LOCK_CACHE);
    block *b = take_oldest(excess < (double)SIZE_MAX ? (size_t)excess : SIZE_MAX);
    luc_unlock(LUC_LOCK_CACHE);
    free_list(b);
}

bool luc_cache_set_limit(double peaks)
{
    if (!(peaks >= 1)) return false;
    atomic_store(&limit, peaks);
    return_old_blocks(0);
    return true;
}

void *luc_cache_alloc(size_t size)
{
    if (luc_alloc_should_fail()) return NULL;
    bool exact = luc_alloc_is_watched();
    if (size == 0) size = 1;
    if (size > PTRDIFF_MAX) return NULL;
    size_t k, rounded;
    block *b;
    if (size <= SMALL_MAX) {
        k = (size - 1) / ALIGN;
        rounded = (k + 1) * ALIGN;
        b = exact ? NULL : take_small(k);
    } else {
        k = large_class(size, &rounded);
        b = exact ? NULL : take_large(k);
        k += SMALL_CLASSES;
    }
    if (b) {
        show_data(b);
        atomic_fetch_add_explicit(&stats.hits, 1, memory_order_relaxed);
    } else {
        if (!exact) return_old_blocks(rounded);
        b = system_alloc(rounded);
        if (!b) {
            luc_cache_release();
            b = system_alloc(rounded);
        }
        if (!b) return NULL;
        b->kind = k;
    }
    assert(b->size >= size);
    b->exact = exact;
    count_in(b->size);
    return (char *)b + HEADER;
}

void luc_cache_free(void *p, size_t size)
{
    if (!p) return;
    block *b = (block *)(void *)((char *)p - HEADER);
    assert((uintptr_t)p % ALIGN == 0 && b->size >= size);
    (void)size;
    atomic_fetch_sub_explicit(&stats.current, b->size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&stats.live, 1, memory_order_relaxed);
    if (b->exact) {
        system_free(b);
    } else if (b->kind < SMALL_CLASSES) {
        if (!small.registered) {
            pthread_once(&once, make_key);
            pthread_setspecific(thread_end, &small);
            small.registered = true;
        }
        if (small.count[b->kind] >= SMALL_KEEP) {
            system_free(b);
            return;
        }
        hide_data(b);
        b->next = small.head[b->kind];
        small.head[b->kind] = b;
        small.count[b->kind]++;
    } else {
        hide_data(b);
        luc_lock(LUC_LOCK_CACHE);
        link(b);
        luc_unlock(LUC_LOCK_CACHE);
    }
}

lucid_memory_stats luc_cache_stats(void)
{
    return (lucid_memory_stats){
        .current_bytes = atomic_load(&stats.current),
        .peak_bytes = atomic_load(&stats.peak),
        .reserved_bytes = atomic_load(&stats.reserved),
        .allocations = atomic_load(&stats.allocations),
        .cache_hits = atomic_load(&stats.hits),
        .live_blocks = atomic_load(&stats.live),
    };
}

void luc_cache_reset_peak(void)
{
    raise_to(&stats.most, atomic_load(&stats.peak));
    atomic_store(&stats.peak, atomic_load(&stats.current));
}

void luc_cache_release(void)
{
    release_small(NULL);
    luc_lock(LUC_LOCK_CACHE);
    block *b = take_oldest(SIZE_MAX);
    luc_unlock(LUC_LOCK_CACHE);
    free_list(b);
}

/* memory_priv.h: allocation for the library's own files. Everything goes through here, so that the
 * fail-the-nth hook sees it. */
#ifndef LUCID_MEMORY_PRIV_H
#define LUCID_MEMORY_PRIV_H

#include "lucid/core/memory.h"

#include <stdio.h>

/* AddressSanitizer checks every small object, and reports each use of the data of a cached
 * block. */
#if defined(__SANITIZE_ADDRESS__)
#define LUC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LUC_ASAN 1
#endif
#endif
#ifdef LUC_ASAN
#include <sanitizer/asan_interface.h>
#define LUC_ASAN_POISON(p, size)   __asan_poison_memory_region(p, size)
#define LUC_ASAN_UNPOISON(p, size) __asan_unpoison_memory_region(p, size)
#else
#define LUC_ASAN                   0
#define LUC_ASAN_POISON(p, size)   ((void)0)
#define LUC_ASAN_UNPOISON(p, size) ((void)0)
#endif

/* General memory, like malloc/calloc/realloc/free; `what` names the caller in the error that is
 * raised when memory is out. A size of 0 gives a valid pointer. luc_calloc checks count * size. */
void *luc_alloc(size_t size, const char *what);
void *luc_calloc(size_t count, size_t size, const char *what);
void *luc_realloc(void *p, size_t size, const char *what);
void luc_free(void *p);
char *luc_strdup(const char *text, const char *what);

/* Small objects of the library (tensors, storages, nodes): thread-local free lists by size class up
 * to LUC_POOL_MAX bytes, above that luc_alloc. Not zeroed. Free with the same size. */
#define LUC_POOL_MAX 2048
void *luc_pool_alloc(size_t size, const char *what);
void luc_pool_free(void *p, size_t size);
void luc_pool_release_thread(void); /* frees this thread's lists, as the end of the thread does */

/* The caching allocator of host memory that the CPU backend uses: 64-byte aligned, with huge pages
 * for large blocks. Returns NULL, without raising, when memory is out. */
void *luc_cache_alloc(size_t size);
void luc_cache_free(void *p, size_t size);
lucid_memory_stats luc_cache_stats(void);
void luc_cache_reset_peak(void);
void luc_cache_release(void);
bool luc_cache_set_limit(double peaks); /* see lucid_memory_set_cache_limit; false if peaks < 1 */

/* Counts an allocation while the hook is on; true when it is the one that must fail. */
bool luc_alloc_should_fail(void);
/* True while the fail-the-nth hook is on: pools and caches are then bypassed. */
bool luc_alloc_is_watched(void);

/* Objects alive, by kind, as lucid_live reports them. */
typedef enum luc_live_kind {
    LUC_LIVE_TENSORS,
    LUC_LIVE_STORAGES,
    LUC_LIVE_NODES,
    LUC_LIVE_MODULES,
    LUC_LIVE_OPTIMIZERS,
    LUC_LIVE_LOADERS,
    LUC_LIVE_OTHER,
    LUC_LIVE_KINDS
} luc_live_kind;
void luc_live_add(luc_live_kind kind, int64_t delta);
/* The same for an object of a class. The report of objects that were never freed has the name,
 * which is constant text. luc_live_print_names prints the names: " (2 Conv2d, 1 Linear)", or
 * nothing. */
void luc_live_add_named(luc_live_kind kind, const char *name, int64_t delta);
void luc_live_print_names(FILE *file, luc_live_kind kind);

/* Products of sizes: false on overflow. */
bool luc_mul_size(size_t a, size_t b, size_t *out);
bool luc_mul_i64(int64_t a, int64_t b, int64_t *out);

#endif

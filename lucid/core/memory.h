/* memory.h: figures and limits of lucid's memory. All functions are thread-safe. */
#ifndef LUCID_MEMORY_H
#define LUCID_MEMORY_H

#include "api.h"
#include "device.h"

LUCID_BEGIN_DECLS

typedef struct lucid_memory_stats {
    size_t current_bytes;  /* in tensors at present, rounded up to the allocator's size classes */
    size_t peak_bytes;     /* the most since the start or the last reset */
    size_t reserved_bytes; /* taken from the system: in tensors or cached for reuse */
    uint64_t allocations;  /* requests so far */
    uint64_t cache_hits;   /* requests served without asking the system */
    int64_t live_blocks;   /* blocks in use now */
} lucid_memory_stats;

/* The data allocator's figures of a device. A device that cannot be used gives zeros. */
LUCID_API lucid_memory_stats lucid_memory(lucid_device device);
/* Sets peak_bytes to current_bytes. */
LUCID_API void lucid_memory_reset_peak(lucid_device device);
/* Returns cached blocks to the system. */
LUCID_API void lucid_memory_release_cache(lucid_device device);
/* How much a device's cache may keep: before memory is taken from the system, cached blocks go back
 * to it until reserved_bytes is at most `peaks` times the most that tensors have taken at once
 * since the start (lucid_memory_reset_peak changes nothing about it), and 64 MiB. peaks must be >=
 * 1; INFINITY keeps everything. Steps of one shape find all their blocks in the cache, whatever the
 * limit, unless it is near 1. False after an error. */
#define LUCID_CACHE_LIMIT_DEFAULT 2.0
LUCID_API bool lucid_memory_set_cache_limit(lucid_device device, double peaks);

/* For tests: the nth allocation from now on (1 = the next), small objects and tensor data alike,
 * counted over all threads, fails as if memory were out; the later ones succeed. 0 switches it off.
 * Caches and pools are bypassed while it is on, so that every request counts. */
LUCID_API void lucid_memory_fail_nth(uint64_t n);
/* Allocations counted since lucid_memory_fail_nth was last called. */
LUCID_API uint64_t lucid_memory_fail_count(void);

/* Objects of the library alive now. After everything is freed, all are zero. */
typedef struct lucid_live_counts {
    int64_t tensors, storages, nodes, modules, optimizers, loaders, other;
} lucid_live_counts;
LUCID_API lucid_live_counts lucid_live(void);

/* The last call of a program: ends this thread's scopes, reports a pending error and what is still
 * alive (to stderr), and releases caches. Returns 0 when all is well, else 1: fit for
 * `return lucid_finish();`. lucid can be used again after it. */
LUCID_API int lucid_finish(void);

LUCID_END_DECLS
#endif

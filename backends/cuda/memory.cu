/* memory.cu: the caching allocator of device memory.
 *
 * Segments are taken from the driver and cut into blocks; a freed block is joined with its free
 * neighbours and handed out again, the smallest that fits first. All work of a device runs on one
 * stream, so a block may be reused at once: what was queued for its old owner comes before what is
 * queued for the new one. Memory that a graph capture asks for comes from a pool of its own,
 * because the graph goes on using those addresses. */
#include "backends/cuda/memory.h"

#include <map>
#include <mutex>
#include <new>
#include <set>
#include <stdlib.h>

namespace luc
{

namespace
{

constexpr size_t granule = 512;         /* sizes are multiples of it */
constexpr size_t small_limit = 1 << 20; /* smaller blocks share segments of 2 MiB */
constexpr size_t small_segment = 2 << 20;
constexpr size_t large_segment = 20 << 20; /* blocks up to half of this size share segments */
constexpr size_t round_large = 2 << 20;
constexpr size_t slack = 64 << 20; /* bytes that may be reserved beyond the limit */

struct block {
    char *at;
    size_t size;
    bool used, small;
    int pool;           /* 0: the pool for all; else a graph's */
    block *prev, *next; /* neighbours in the segment */
};

struct by_size {
    bool operator()(const block *a, const block *b) const
    {
        if (a->size != b->size) return a->size < b->size;
        return a->at < b->at;
    }
};

struct arena {
    std::mutex lock;
    std::map<int, std::set<block *, by_size>> free_small, free_large; /* by pool */
    std::map<void *, block *> used;
    std::map<void *, size_t> direct; /* taken straight from the driver, because the cache is off */
    int pool = 0, pools = 0;         /* for which memory is asked now; how many pools there were */
    lucid_memory_stats stats = {};
    size_t most = 0; /* the most bytes ever in use; stats.peak_bytes can be reset */
    double limit = LUCID_CACHE_LIMIT_DEFAULT; /* of the reserved bytes, as a multiple of `most` */
};
arena *const arenas = new arena[max_devices]; /* never destroyed: tensors may outlive main */

bool cache_is_off()
{
    static const bool off = [] {
        const char *s = getenv("LUCID_CUDA_CACHE");
        return s && *s == '0';
    }();
    return off;
}

std::set<block *, by_size> &free_list(arena &a, const block *b)
{
    return (b->small ? a.free_small : a.free_large)[b->pool];
}

/* Memory of the current device from the driver. NULL if there is none; no error is raised. */
void *driver_alloc(size_t bytes)
{
    void *p = nullptr;
    if (cudaMalloc(&p, bytes) == cudaSuccess) return p;
    cudaGetLastError();
    return nullptr;
}

/* Gives entirely free segments back to the driver. */
void release_free(arena &a, std::set<block *, by_size> &list)
{
    for (auto i = list.begin(); i != list.end();) {
        block *b = *i;
        if (b->prev || b->next) {
            ++i;
            continue;
        }
        i = list.erase(i);
        cudaFree(b->at);
        a.stats.reserved_bytes -= b->size;
        delete b;
    }
}

void release_cache(arena &a, int pool)
{
    release_free(a, a.free_small[pool]);
    release_free(a, a.free_large[pool]);
}

/* Whether the reserved memory would exceed the limit with `bytes` more. */
bool is_over_limit(const arena &a, size_t bytes)
{
    size_t most = a.stats.current_bytes + bytes;
    if (a.most > most) most = a.most;
    return (double)(a.stats.reserved_bytes + bytes) > a.limit * (double)most + (double)slack;
}

block *new_segment(arena &a, size_t bytes, bool small)
{
    size_t size = small ? small_segment
                  : bytes <= large_segment / 2
                      ? large_segment
                      : ceil_div((int64_t)bytes, round_large) * round_large;
    if (a.pool == 0 && is_over_limit(a, size)) release_cache(a, 0);
    void *p = driver_alloc(size);
    if (!p && a.pool == 0) {
        release_cache(a, 0);
        p = driver_alloc(size);
    }
    if (!p && size > bytes) { /* tight: allocate no more than what is asked for */
        size = bytes;
        p = driver_alloc(size);
    }
    if (!p) return nullptr;
    block *b = new block{static_cast<char *>(p), size, false, small, a.pool, nullptr, nullptr};
    a.stats.reserved_bytes += size;
    return b;
}

/* Takes `bytes` from the front of b; the rest goes to the free list. */
void split(arena &a, block *b, size_t bytes)
{
    size_t rest = b->size - bytes;
    if (rest < (b->small ? granule : small_limit)) return;
    block *r = new block{b->at + bytes, rest, false, b->small, b->pool, b, b->next};
    if (b->next) b->next->prev = r;
    b->next = r;
    b->size = bytes;
    free_list(a, r).insert(r);
}

block *take(arena &a, size_t bytes)
{
    bool small = bytes < small_limit;
    auto &list = (small ? a.free_small : a.free_large)[a.pool];
    block key = {nullptr, bytes, false, small, a.pool, nullptr, nullptr};
    auto i = list.lower_bound(&key);
    block *b;
    if (i != list.end()) {
        b = *i;
        list.erase(i);
        a.stats.cache_hits++;
    } else {
        b = new_segment(a, bytes, small);
        if (!b) return nullptr;
    }
    split(a, b, bytes);
    b->used = true;
    a.used[b->at] = b;
    return b;
}

/* Joins b with its free neighbours and puts it on the free list. */
void give(arena &a, block *b)
{
    b->used = false;
    if (block *n = b->next; n && !n->used) {
        free_list(a, n).erase(n);
        b->size += n->size;
        b->next = n->next;
        if (n->next) n->next->prev = b;
        delete n;
    }
    if (block *p = b->prev; p && !p->used) {
        free_list(a, p).erase(p);
        p->size += b->size;
        p->next = b->next;
        if (b->next) b->next->prev = p;
        delete b;
        b = p;
    }
    free_list(a, b).insert(b);
}

void count_in(arena &a, size_t bytes)
{
    a.stats.current_bytes += bytes;
    a.stats.allocations++;
    a.stats.live_blocks++;
    if (a.stats.current_bytes > a.stats.peak_bytes) a.stats.peak_bytes = a.stats.current_bytes;
    if (a.stats.current_bytes > a.most) a.most = a.stats.current_bytes;
}

void count_out(arena &a, size_t bytes)
{
    a.stats.current_bytes -= bytes;
    a.stats.live_blocks--;
}

} // namespace

void *device_alloc(int index, size_t bytes)
{
    if (host.should_fail() || !use_device(index, "alloc")) return nullptr;
    arena &a = arenas[index];
    std::lock_guard<std::mutex> guard(a.lock);
    size_t size = bytes ? (size_t)ceil_div((int64_t)bytes, granule) * granule : granule;
    try {
        if ((host.is_watched() || cache_is_off()) && a.pool == 0) {
            /* The size is not rounded up, so that a checker finds reads beyond the end. */
            void *p = driver_alloc(bytes ? bytes : 1);
            if (!p) return nullptr;
            a.direct[p] = bytes;
            a.stats.reserved_bytes += bytes;
            count_in(a, bytes);
            return p;
        }
        block *b = take(a, size);
        if (!b) return nullptr;
        count_in(a, b->size);
        return b->at;
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void device_free(int index, void *p, size_t)
{
    if (!p || !use_device(index, "free")) return;
    arena &a = arenas[index];
    std::lock_guard<std::mutex> guard(a.lock);
    auto d = a.direct.find(p);
    if (d != a.direct.end()) {
        count_out(a, d->second);
        a.stats.reserved_bytes -= d->second;
        a.direct.erase(d);
        cudaFree(p);
        return;
    }
    auto i = a.used.find(p);
    if (i == a.used.end()) return;
    block *b = i->second;
    a.used.erase(i);
    count_out(a, b->size);
    give(a, b);
}

lucid_memory_stats device_memory(int index)
{
    std::lock_guard<std::mutex> guard(arenas[index].lock);
    return arenas[index].stats;
}

void device_memory_reset_peak(int index)
{
    std::lock_guard<std::mutex> guard(arenas[index].lock);
    arenas[index].stats.peak_bytes = arenas[index].stats.current_bytes;
}

void device_memory_set_cache_limit(int index, double peaks)
{
    if (!use_device(index, "memory_set_cache_limit")) return;
    arena &a = arenas[index];
    std::lock_guard<std::mutex> guard(a.lock);
    a.limit = peaks;
    if (is_over_limit(a, 0)) release_cache(a, 0);
}

void device_memory_release_cache(int index)
{
    if (!use_device(index, "memory_release_cache")) return;
    std::lock_guard<std::mutex> guard(arenas[index].lock);
    release_cache(arenas[index], 0);
}

/* ---- pools of graphs ------------------------------------------------------------------------ */

int begin_pool(int index)
{
    std::lock_guard<std::mutex> guard(arenas[index].lock);
    return arenas[index].pool = ++arenas[index].pools;
}

void leave_pool(int index)
{
    std::lock_guard<std::mutex> guard(arenas[index].lock);
    arenas[index].pool = 0;
}

void end_pool(int index, int pool)
{
    arena &a = arenas[index];
    std::lock_guard<std::mutex> guard(a.lock);
    /* Free blocks join the pool for all; those in use follow when they are freed. */
    for (auto *lists : {&a.free_small, &a.free_large}) {
        auto moved = (*lists)[pool];
        lists->erase(pool);
        for (block *b : moved) {
            b->pool = 0;
            (*lists)[0].insert(b);
        }
    }
    for (auto &u : a.used)
        if (u.second->pool == pool) u.second->pool = 0;
}

} // namespace luc

/* sizes.h: arithmetic of sizes, and the sizes that all families share. */
#ifndef LUC_SIZES_H
#define LUC_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LUC_CACHE_LINE = 64,
    /* Storing around the cache spares reading the lines that are written, and leaves the cache to
     * other data. It pays where the output would have left the cache before anyone reads it.
     * Elementwise kernels, copies and fills do little else than store: for them it pays early (with
     * 12 MB, a sum of two tensors is 1.6 times as fast). */
    LUC_STREAM_BYTES = 8 << 20,
    /* The next layer reads the output of a layer (convolution, pooling) soon, and gets this much of
     * it from a cache of 32 MB. */
    LUC_STREAM_LAYER_BYTES = 16 << 20,
    /* What a layer reads and writes in all, its output and others' data, fills that cache. */
    LUC_STREAM_MOVED_BYTES = 32 << 20,
};

/* Whether a kernel that does little else than store stores `written` bytes around the cache. */
static inline bool luc_streams(int64_t written)
{
    return written >= LUC_STREAM_BYTES;
}

/* Whether a layer does, for its output. */
static inline bool luc_layer_streams(int64_t written)
{
    return written >= LUC_STREAM_LAYER_BYTES;
}

/* Whether a layer that reads and writes `moved` bytes in all does. */
static inline bool luc_moved_streams(int64_t moved)
{
    return moved >= LUC_STREAM_MOVED_BYTES;
}

static inline int64_t luc_min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t luc_max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a / b, rounded up, for a > 0; 0 for other a. b > 0 (any, where a <= 0). */
static inline int64_t luc_ceil_div(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : 0;
}

/* n up to the next multiple of a cache line. */
static inline size_t luc_round64(size_t n)
{
    return (n + LUC_CACHE_LINE - 1) / LUC_CACHE_LINE * LUC_CACHE_LINE;
}

#endif

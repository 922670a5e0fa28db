/* pool.h: how a pooling call is described to its kernels (pool.cu makes the plan).
 *
 * `big` is the image that windows slide over (the input, or its gradient); `small` has one value
 * for each window. Threads go through the elements of the image that is written, in the order of
 * its memory: along the rows of NCHW, or along the channels of channels_last, 16 bytes at a
 * time. */
#ifndef LUC_CUDA_POOL_H
#define LUC_CUDA_POOL_H

#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum { pool_threads = 256 };

struct pool_image {
    void *data;
    int64_t strides[4]; /* of N, C, H, W */
};
struct pool_axis {
    int size, out, kernel, stride, padding, dilation;
};
struct pool_window {
    int begin, end, padded; /* the taps inside the image, and the length with padding */
};
struct pool_place {
    int64_t n, c;
    int y, x;
};

struct pool_plan {
    pool_image big, small, index; /* index.data: NULL if there is none */
    bool wide_index;              /* the index is int64, not int32 */
    pool_axis axis[2];
    int64_t n, c, h, w; /* of the image that is written; c in packs */
    int64_t total;
    int64_t pixels; /* of one channel of big */
    bool by_channels;
    bool is_32bit; /* total and pixels fit */
    divider by[3];
    bool adaptive, include_pad;
    int64_t divisor;
    int width; /* adjacent channels that are moved as one */
};

__device__ inline pool_place pool_locate(const pool_plan &p, int64_t i)
{
    pool_place at;
    int64_t part[3]; /* sizes[0] is the innermost */
    int64_t sizes[3] = {p.by_channels ? p.c : p.w, p.by_channels ? p.w : p.h,
                        p.by_channels ? p.h : p.c};
    for (int k = 0; k < 3; k++) {
        int64_t q = p.is_32bit ? (int64_t)p.by[k].quotient((uint32_t)i) : i / sizes[k];
        part[k] = i - q * sizes[k];
        i = q;
    }
    at.n = i;
    at.c = (p.by_channels ? part[0] : part[2]) * p.width;
    at.x = (int)(p.by_channels ? part[1] : part[0]);
    at.y = (int)(p.by_channels ? part[2] : part[1]);
    return at;
}

__device__ inline int64_t pool_offset(const pool_image &image, const pool_place &at)
{
    return at.n * image.strides[0] + at.c * image.strides[1];
}

/* ceil(a / b) for a > 0, b > 0, and 0 below. */
__device__ inline int pool_ceil(int a, int b)
{
    return a > 0 ? (a - 1) / b + 1 : 0;
}

__device__ inline pool_window pool_window_of(const pool_plan &p, int axis, int o)
{
    const pool_axis &a = p.axis[axis];
    pool_window w;
    if (p.adaptive) {
        w.begin = (int)((int64_t)o * a.size / a.out);
        w.end = (int)((((int64_t)o + 1) * a.size - 1) / a.out + 1);
        w.padded = w.end - w.begin;
        return w;
    }
    int begin = o * a.stride - a.padding, end = begin + (a.kernel - 1) * a.dilation + 1;
    int limit = a.size + a.padding;
    w.begin = begin < 0 ? begin + pool_ceil(-begin, a.dilation) * a.dilation : begin;
    w.end = end < a.size ? end : a.size;
    w.padded = (end < limit ? end : limit) - begin;
    return w;
}

/* The windows [begin, end) that may cover position i of an axis. */
__device__ inline pool_window pool_cover(const pool_plan &p, int axis, int i)
{
    const pool_axis &a = p.axis[axis];
    pool_window w;
    if (p.adaptive) {
        w.begin = (int)((int64_t)i * a.out / a.size);
        w.end = (int)((((int64_t)i + 1) * a.out - 1) / a.size + 1);
    } else {
        int reach = (a.kernel - 1) * a.dilation;
        w.begin = pool_ceil(i + a.padding - reach, a.stride);
        w.end = (i + a.padding) / a.stride + 1;
    }
    if (w.end > a.out) w.end = a.out;
    w.padded = 0;
    return w;
}

/* Makes the plan of a call that writes `written` (big or small). False after an error. */
bool pool_make_plan(const call &c, pool_plan *p, const lucid_view *big, const lucid_view *small,
                    const lucid_view *index, bool writes_big, bool adaptive);
inline unsigned pool_blocks(const call &c, const pool_plan &p)
{
    return c.blocks_for(p.total, pool_threads, 32);
}

} // namespace luc

#endif

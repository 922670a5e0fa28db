/* pool_max.cu: max pooling, its gradient, and picking by its indices.
 *
 * The kernels are bound by memory, of which the indices are a large part. The gradient gathers:
 * each element finds out which of the few windows that cover it chose it, and adds their gradients
 * in their order. */
#include "backends/cuda/pool.h"

namespace luc
{

template <class T, int W> __device__ inline pack<T, W> load_pack(const void *data, int64_t at)
{
    return *reinterpret_cast<const pack<T, W> *>(static_cast<const T *>(data) + at);
}

/* Stores the winners of W windows, with indices of type I, 16 bytes at a time. */
template <class I, int W, class V>
__device__ inline void store_winners(void *data, int64_t at, const V *v)
{
    enum { most = 16 / sizeof(I), step = W < most ? W : most };
    I *to = static_cast<I *>(data) + at;
    for (int w = 0; w < W; w += step) {
        pack<I, step> out;
        for (int k = 0; k < step; k++) out.v[k] = (I)v[w + k];
        *reinterpret_cast<pack<I, step> *>(to + w) = out;
    }
}

template <class I, int W, class V>
__device__ inline void load_winners(const void *data, int64_t at, V *v)
{
    enum { most = 16 / sizeof(I), step = W < most ? W : most };
    const I *from = static_cast<const I *>(data) + at;
    for (int w = 0; w < W; w += step) {
        pack<I, step> in = *reinterpret_cast<const pack<I, step> *>(from + w);
        for (int k = 0; k < step; k++) v[w + k] = in.v[k];
    }
}

/* The index is int32, int64, or not wanted. */
template <int W, class V>
__device__ inline void store_index(const pool_plan &p, int64_t at, const V *v)
{
    if (!p.index.data) return;
    if (p.wide_index)
        store_winners<int64_t, W>(p.index.data, at, v);
    else
        store_winners<int32_t, W>(p.index.data, at, v);
}

template <int W, class V> __device__ inline void load_index(const pool_plan &p, int64_t at, V *v)
{
    if (p.wide_index)
        load_winners<int64_t, W>(p.index.data, at, v);
    else
        load_winners<int32_t, W>(p.index.data, at, v);
}

/* All kernels count pixels in 32 bits, except the one that takes everything. */
template <int K, int W> struct winner_of {
    typedef int type;
};
template <> struct winner_of<0, 1> {
    typedef int64_t type;
};

/* The number of the type that no other is below. */
template <class C> __device__ inline C least()
{
    return (C)-HUGE_VAL;
}
template <> __device__ inline int64_t least<int64_t>()
{
    return INT64_MIN;
}
template <> __device__ inline int32_t least<int32_t>()
{
    return INT32_MIN;
}
template <> __device__ inline uint8_t least<uint8_t>()
{
    return 0;
}

/* K: the window is K x K without dilation, and all its taps are loaded at once; 0: any window. The
 * first largest element wins, and a NaN wins over all. A tap outside counts as the least number,
 * which never wins. */
template <class T, int K, int W>
__global__ void __launch_bounds__(pool_threads) max_forward(pool_plan p)
{
    typedef compute_t<T> C;
    typedef typename winner_of<K, W>::type I;
    int64_t step = (int64_t)gridDim.x * pool_threads;
    for (int64_t i = (int64_t)blockIdx.x * pool_threads + threadIdx.x; i < p.total; i += step) {
        pool_place at = pool_locate(p, i);
        pool_window wy = pool_window_of(p, 0, at.y), wx = pool_window_of(p, 1, at.x);
        int64_t x = pool_offset(p.big, at);
        I columns = p.axis[1].size, winner[W];
        C best[W];
        for (int w = 0; w < W; w++) {
            best[w] = least<C>();
            winner[w] = wy.begin * columns + wx.begin;
        }
        if (K > 0) {
            enum { side = K > 0 ? K : 1 };
            int y0 = at.y * p.axis[0].stride - p.axis[0].padding;
            int x0 = at.x * p.axis[1].stride - p.axis[1].padding;
            pack<T, W> taps[side * side];
#pragma unroll
            for (int k = 0; k < side * side; k++) {
                int r = y0 + k / side, c = x0 + k % side;
                bool inside = r >= 0 && r < p.axis[0].size && c >= 0 && c < columns;
                if (inside) {
                    taps[k] = load_pack<T, W>(p.big.data,
                                              x + r * p.big.strides[2] + c * p.big.strides[3]);
                } else {
                    for (int w = 0; w < W; w++) taps[k].v[w] = narrow<T>(least<C>());
                }
            }
#pragma unroll
            for (int k = 0; k < side * side; k++)
                for (int w = 0; w < W; w++) {
                    C v = widen(taps[k].v[w]);
                    if (v > best[w] || v != v) {
                        best[w] = v;
                        winner[w] = (y0 + k / side) * columns + x0 + k % side;
                    }
                }
        } else {
            for (int r = wy.begin; r < wy.end; r += p.axis[0].dilation)
                for (int c = wx.begin; c < wx.end; c += p.axis[1].dilation) {
                    pack<T, W> tap = load_pack<T, W>(p.big.data, x + r * p.big.strides[2] +
                                                                     c * p.big.strides[3]);
                    for (int w = 0; w < W; w++) {
                        C v = widen(tap.v[w]);
                        if (v > best[w] || v != v) {
                            best[w] = v;
                            winner[w] = r * columns + c;
                        }
                    }
                }
        }
        pack<T, W> out;
        for (int w = 0; w < W; w++) out.v[w] = narrow<T>(best[w]);
        int64_t to =
            pool_offset(p.small, at) + at.y * p.small.strides[2] + at.x * p.small.strides[3];
        *reinterpret_cast<pack<T, W> *>(static_cast<T *>(p.small.data) + to) = out;
        store_index<W>(
            p, pool_offset(p.index, at) + at.y * p.index.strides[2] + at.x * p.index.strides[3],
            winner);
    }
}

template <class T, int W> __global__ void __launch_bounds__(pool_threads) max_backward(pool_plan p)
{
    typedef compute_t<T> C;
    int64_t step = (int64_t)gridDim.x * pool_threads;
    for (int64_t i = (int64_t)blockIdx.x * pool_threads + threadIdx.x; i < p.total; i += step) {
        pool_place at = pool_locate(p, i);
        pool_window wy = pool_cover(p, 0, at.y), wx = pool_cover(p, 1, at.x);
        int64_t here = (int64_t)at.y * p.axis[1].size + at.x;
        int64_t g = pool_offset(p.small, at), index = pool_offset(p.index, at);
        C sum[W] = {};
        for (int r = wy.begin; r < wy.end; r++)
            for (int c = wx.begin; c < wx.end; c++) {
                int64_t from[W];
                load_index<W>(p, index + r * p.index.strides[2] + c * p.index.strides[3], from);
                pack<T, W> grad = load_pack<T, W>(p.small.data, g + r * p.small.strides[2] +
                                                                    c * p.small.strides[3]);
                for (int w = 0; w < W; w++)
                    if (from[w] == here) sum[w] += widen(grad.v[w]);
            }
        pack<T, W> out;
        for (int w = 0; w < W; w++) out.v[w] = narrow<T>(sum[w]);
        int64_t to = pool_offset(p.big, at) + at.y * p.big.strides[2] + at.x * p.big.strides[3];
        *reinterpret_cast<pack<T, W> *>(static_cast<T *>(p.big.data) + to) = out;
    }
}

template <class T> __global__ void __launch_bounds__(pool_threads) max_gather(pool_plan p)
{
    int64_t step = (int64_t)gridDim.x * pool_threads;
    for (int64_t i = (int64_t)blockIdx.x * pool_threads + threadIdx.x; i < p.total; i += step) {
        pool_place at = pool_locate(p, i);
        int64_t from;
        load_index<1>(
            p, pool_offset(p.index, at) + at.y * p.index.strides[2] + at.x * p.index.strides[3],
            &from);
        int64_t columns = p.axis[1].size, y = from / columns;
        T v = narrow<T>(0);
        if (from >= 0 && from < p.pixels)
            v = static_cast<const T *>(p.big.data)[pool_offset(p.big, at) + y * p.big.strides[2] +
                                                   (from - y * columns) * p.big.strides[3]];
        static_cast<T *>(p.small.data)[pool_offset(p.small, at) + at.y * p.small.strides[2] +
                                       at.x * p.small.strides[3]] = v;
    }
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* The side of a square window without dilation, if it has kernels of its own. */
static int side_of(const pool_plan &p)
{
    const pool_axis &y = p.axis[0], &x = p.axis[1];
    bool plain =
        p.pixels <= INT32_MAX && y.kernel == x.kernel && y.dilation == 1 && x.dilation == 1;
    return plain && (y.kernel == 2 || y.kernel == 3) ? y.kernel : 0;
}

template <class T> static bool max_pool2d(const lucid_kernel_args *args)
{
    enum { wide = 16 / sizeof(T) };
    call c(args);
    pool_plan p;
    if (!pool_make_plan(c, &p, c.in(0), c.out(0), c.out(1), false, false)) return false;
    void (*kernel)(pool_plan) = p.width > 1 ? max_forward<T, 0, wide> : max_forward<T, 0, 1>;
    if constexpr (sizeof(T) < 8) {
        int side = side_of(p);
        if (side == 2) kernel = p.width > 1 ? max_forward<T, 2, wide> : max_forward<T, 2, 1>;
        if (side == 3) kernel = p.width > 1 ? max_forward<T, 3, wide> : max_forward<T, 3, 1>;
    }
    return c.launch(kernel, pool_blocks(c, p), pool_threads, 0, p);
}

template <class T> static bool max_pool2d_backward(const lucid_kernel_args *args)
{
    enum { wide = 16 / sizeof(T) };
    call c(args);
    pool_plan p;
    if (!pool_make_plan(c, &p, c.out(0), c.in(0), c.in(1), true, false)) return false;
    return c.launch(p.width > 1 ? max_backward<T, wide> : max_backward<T, 1>, pool_blocks(c, p),
                    pool_threads, 0, p);
}

template <class T> static bool max_pool2d_gather(const lucid_kernel_args *args)
{
    call c(args);
    pool_plan p;
    if (!pool_make_plan(c, &p, c.in(0), c.out(0), c.in(1), false, false)) return false;
    p.c *= p.width; /* one element at a time */
    p.total *= p.width;
    p.width = 1;
    p.is_32bit = p.is_32bit && p.total < (int64_t)1 << 31;
    if (p.is_32bit && p.total) p.by[p.by_channels ? 0 : 2] = divider((uint32_t)p.c);
    return c.launch(max_gather<T>, pool_blocks(c, p), pool_threads, 0, p);
}

void register_pool_max(lucid_backend *b)
{
    LUC_FLOATS(b, max_pool2d, max_pool2d);
    LUC_INTEGERS(b, max_pool2d, max_pool2d); /* integers have no gradient */
    LUC_FLOATS(b, max_pool2d_backward, max_pool2d_backward);
    LUC_FLOATS(b, max_pool2d_gather, max_pool2d_gather);
}

} // namespace luc

/* tile.h: the matrix product under matmul, linear and the convolutions: C[i,j] = sum over k of
 * A[i,k] B[j,k], + bias[j], where an element's address is any function of its two indices.
 *
 * A problem says where elements lie by giving an `index` for each side of each matrix: `line` for a
 * stride, `pixels` for image, row and column, `taps` for kernel row, kernel column and channel. Two
 * of them together make an address and, for images, the coordinates that tell whether it lies in the
 * padding, which is 0. So a convolution is a product that never builds the matrix of its windows.
 *
 * A block of 256 threads makes a tile of C. It steps through k with two buffers in shared memory:
 * while it multiplies out of one, each thread has the elements of the next tile under way into its
 * registers. Accumulation is in float for 16-bit types, else in the type itself. Bound by FMA issue
 * and, for convolutions, by the arithmetic of addresses, which one tile row of FMAs hides.
 *
 * A product with few tiles and a long k is split along k: every part writes its sums into the
 * workspace, and a second kernel adds them in order, so the bits are the same in every run. */
#ifndef LUC_CUDA_TILE_H
#define LUC_CUDA_TILE_H

#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

/* ---- indices ---------------------------------------------------------------------------------- */

/* One side's share of an element: offset, and image coordinates. */
struct spot {
    int64_t at;
    int y, x;
};

struct line {
    int64_t stride;
    __device__ spot operator()(int64_t i) const
    {
        return {i * stride, 0, 0};
    }
};

/* i = (image * h + y) * w + x. The coordinates are y0 + y * y_step, x0 + x * x_step. */
struct pixels {
    int64_t image_stride, y_stride, x_stride;
    int h, w, y_step, x_step, y0, x0;
    divider by_w, by_h;
    bool small; /* all indices are below 2^31 */
    __device__ spot operator()(int64_t i) const
    {
        int64_t image;
        int y, x;
        if (small) {
            uint32_t row = by_w.quotient((uint32_t)i), n = by_h.quotient(row);
            x = (int)((uint32_t)i - row * by_w.d);
            y = (int)(row - n * by_h.d);
            image = n;
        } else {
            int64_t row = i / w;
            x = (int)(i - row * w);
            image = row / h;
            y = (int)(row - image * h);
        }
        return {image * image_stride + y * y_stride + x * x_stride, y0 + y * y_step,
                x0 + x * x_step};
    }
};

/* i = (row * columns + column) * channels + channel. */
struct taps {
    int64_t row_stride, column_stride, channel_stride;
    int row_step, column_step;
    divider by_channels, by_columns;
    __device__ spot operator()(int64_t i) const
    {
        uint32_t tap = by_channels.quotient((uint32_t)i), row = by_columns.quotient(tap);
        int c = (int)((uint32_t)i - tap * by_channels.d), s = (int)(tap - row * by_columns.d);
        int r = (int)row;
        return {r * row_stride + s * column_stride + c * channel_stride, r * row_step,
                s * column_step};
    }
};

/* A side's element exists where the sum of the coordinates lies in [0,h) x [0,w). */
struct bounds {
    unsigned h, w;
    __device__ bool hold(spot o, spot k) const
    {
        return (unsigned)(o.y + k.y) < h && (unsigned)(o.x + k.x) < w;
    }
};

/* A problem is a struct P with
 *     element      the type of A, B and C; its `core` says where they lie for one batch
 *     core at      with a, b, m, n, k, a_outer, a_depth, b_outer, b_depth (indices), a_limits,
 *                  b_limits, c_row(i) and store(c_row, j, sum); m and n are those of every batch
 *     checks_a, checks_b   whether the limits count; may_be_big: worth 128 x 128 tiles
 *     select(z)    the core of batch z */

/* ---- sizes ------------------------------------------------------------------------------------ */

enum { tile_threads = 256 };
template <int M, int N, int K, int PER_M, int PER_N> struct tile_shape {
    enum { m = M, n = N, k = K, per_m = PER_M, per_n = PER_N };
};
typedef tile_shape<128, 128, 8, 8, 8> big_tile; /* 64 accumulators a thread */
typedef tile_shape<64, 64, 16, 4, 4> small_tile;

struct tiling {
    bool big, a_along_k, b_along_k; /* neighbouring threads read neighbours in k, or in i and j */
    int64_t tiles_m, tiles_n, batches, k_of_split;
    int splits;
    int64_t blocks() const
    {
        return tiles_m * tiles_n * batches * splits;
    }
};

/* How a product of these sizes is cut up, on a device of so many multiprocessors. */
inline tiling cut(int64_t m, int64_t n, int64_t k, int64_t batches, bool may_be_big,
                  int multiprocessors)
{
    tiling t = {};
    t.batches = batches;
    t.big = may_be_big && m > 64 && n > 64 &&
            ceil_div(m, 128) * ceil_div(n, 128) * batches >= multiprocessors;
    int64_t side = t.big ? 128 : 64;
    t.tiles_m = ceil_div(m, side);
    t.tiles_n = ceil_div(n, side);
    /* Enough blocks for two on each multiprocessor, each with 128 or more of k, and no more than
     * eight million sums kept. */
    int64_t tiles = t.tiles_m * t.tiles_n * batches, parts = 1;
    if (tiles > 0 && tiles < multiprocessors) {
        parts = ceil_div(2 * multiprocessors, tiles);
        if (parts > k / 128) parts = k / 128;
        int64_t fits = ((int64_t)8 << 20) / (m * n * batches);
        if (parts > fits) parts = fits;
        if (parts > 1024) parts = 1024;
        if (parts < 1) parts = 1;
    }
    t.k_of_split = ceil_div(ceil_div(k, parts), 16) * 16;
    t.splits = t.k_of_split > 0 ? (int)ceil_div(k, t.k_of_split) : 1;
    return t;
}

/* ---- the kernel ------------------------------------------------------------------------------- */

/* Which elements of a tile [outer, k] this thread brings. */
template <int OUTER, int K> struct share {
    enum { count = OUTER * K / tile_threads };
    bool along_k;
    __device__ int outer(int i) const
    {
        return along_k ? (int)threadIdx.x / K + i * (tile_threads / K) : (int)threadIdx.x % OUTER;
    }
    __device__ int depth(int i) const
    {
        return along_k ? (int)threadIdx.x % K
                       : (int)threadIdx.x / OUTER + i * (tile_threads / OUTER);
    }
};

template <bool CHECKED, class T, class K, int OUTER, int DEPTH, int N>
__device__ inline void fetch(compute_t<T> (&to)[N], const T *p, share<OUTER, DEPTH> s,
                             const spot (&o)[N], unsigned inside, const K &at_k, int64_t k,
                             int64_t k_end, bounds limits)
{
    spot d = {0, 0, 0};
    bool deep = false;
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (i == 0 || !s.along_k) {
            deep = k + s.depth(i) < k_end;
            d = at_k(k + s.depth(i));
        }
        bool take = deep && (inside >> i & 1u);
        if (CHECKED) take = take && limits.hold(o[i], d);
        to[i] = take ? widen(p[o[i].at + d.at]) : compute_t<T>(0);
    }
}

template <class T, int OUTER, int DEPTH, int N, int ROW>
__device__ inline void put(pack<T, 4> (&tile)[DEPTH][ROW], share<OUTER, DEPTH> s,
                           const T (&from)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++) reinterpret_cast<T *>(tile[s.depth(i)])[s.outer(i)] = from[i];
}

/* Where number i of a thread's `PER` rows or columns lies in the tile: in runs of four. */
template <int SIZE, int PER> __device__ inline int run(int thread, int i)
{
    return i / 4 * (SIZE / (PER / 4)) + thread * 4 + i % 4;
}

template <class P, class S>
__global__ void __launch_bounds__(tile_threads)
    multiply_tiles(P given, tiling t, compute_t<typename P::element> *parts)
{
    typedef typename P::element T;
    typedef compute_t<T> C;
    /* Rows are four elements longer than the tile, so that stores along k hit different banks. */
    __shared__ pack<C, 4> a_tile[2][S::k][S::m / 4 + 1], b_tile[2][S::k][S::n / 4 + 1];
    share<S::m, S::k> share_a = {t.a_along_k};
    share<S::n, S::k> share_b = {t.b_along_k};
    int row = (int)threadIdx.x / 16, column = (int)threadIdx.x % 16;

    for (int64_t work = blockIdx.x; work < t.tiles_m * t.tiles_n * t.batches * t.splits;
         work += gridDim.x) {
        int64_t i0 = work % t.tiles_m * S::m, left = work / t.tiles_m;
        int64_t j0 = left % t.tiles_n * S::n;
        left /= t.tiles_n;
        int64_t split = left % t.splits, batch = left / t.splits;
        const typename P::core p = given.select(batch);
        int64_t k = split * t.k_of_split, k_end = k + t.k_of_split < p.k ? k + t.k_of_split : p.k;

        spot a_outer[decltype(share_a)::count], b_outer[decltype(share_b)::count];
        unsigned a_inside = 0, b_inside = 0;
#pragma unroll
        for (int i = 0; i < decltype(share_a)::count; i++) {
            a_outer[i] = p.a_outer(i0 + share_a.outer(i));
            a_inside |= (unsigned)(i0 + share_a.outer(i) < p.m) << i;
        }
#pragma unroll
        for (int i = 0; i < decltype(share_b)::count; i++) {
            b_outer[i] = p.b_outer(j0 + share_b.outer(i));
            b_inside |= (unsigned)(j0 + share_b.outer(i) < p.n) << i;
        }

        C sum[S::per_m][S::per_n] = {};
        C a_next[decltype(share_a)::count], b_next[decltype(share_b)::count];
        fetch<P::checks_a>(a_next, p.a, share_a, a_outer, a_inside, p.a_depth, k, k_end,
                           p.a_limits);
        fetch<P::checks_b>(b_next, p.b, share_b, b_outer, b_inside, p.b_depth, k, k_end,
                           p.b_limits);
        int now = 0;
        for (; k < k_end; k += S::k, now ^= 1) {
            put(a_tile[now], share_a, a_next);
            put(b_tile[now], share_b, b_next);
            __syncthreads(); /* the other buffer's readers are past it too: two buffers are enough */
            if (k + S::k < k_end) {
                fetch<P::checks_a>(a_next, p.a, share_a, a_outer, a_inside, p.a_depth, k + S::k,
                                   k_end, p.a_limits);
                fetch<P::checks_b>(b_next, p.b, share_b, b_outer, b_inside, p.b_depth, k + S::k,
                                   k_end, p.b_limits);
            }
#pragma unroll
            for (int d = 0; d < S::k; d++) {
                pack<C, 4> x[S::per_m / 4], y[S::per_n / 4];
#pragma unroll
                for (int i = 0; i < S::per_m / 4; i++)
                    x[i] = a_tile[now][d][run<S::m, S::per_m>(row, i * 4) / 4];
#pragma unroll
                for (int j = 0; j < S::per_n / 4; j++)
                    y[j] = b_tile[now][d][run<S::n, S::per_n>(column, j * 4) / 4];
#pragma unroll
                for (int i = 0; i < S::per_m; i++)
#pragma unroll
                    for (int j = 0; j < S::per_n; j++)
                        sum[i][j] += x[i / 4].v[i % 4] * y[j / 4].v[j % 4];
            }
        }
        __syncthreads(); /* before the next piece of work fills the buffers */

#pragma unroll
        for (int i = 0; i < S::per_m; i++) {
            int64_t at_i = i0 + run<S::m, S::per_m>(row, i);
            if (at_i >= p.m) continue;
            spot o = p.c_row(at_i);
#pragma unroll
            for (int j = 0; j < S::per_n; j++) {
                int64_t at_j = j0 + run<S::n, S::per_n>(column, j);
                if (at_j >= p.n) continue;
                if (t.splits > 1)
                    parts[((batch * t.splits + split) * p.m + at_i) * p.n + at_j] = sum[i][j];
                else
                    p.store(o, at_j, sum[i][j]);
            }
        }
    }
}

/* Adds the parts of each element in order. */
template <class P>
__global__ void add_parts(P given, tiling t, const compute_t<typename P::element> *parts)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, each = given.at.m * given.at.n;
    for (int64_t e = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; e < each * t.batches;
         e += step) {
        int64_t batch = e / each, within = e - batch * each;
        const compute_t<typename P::element> *at = parts + batch * t.splits * each + within;
        compute_t<typename P::element> sum = 0;
        for (int s = 0; s < t.splits; s++) sum += at[s * each];
        const typename P::core p = given.select(batch);
        p.store(p.c_row(within / p.n), within % p.n, sum);
    }
}

/* Bytes of workspace that `multiply` needs. */
template <class T> inline size_t parts_bytes(const tiling &t, int64_t m, int64_t n)
{
    if (t.splits <= 1) return 0;
    return (size_t)(t.splits * t.batches * m * n) * sizeof(compute_t<T>);
}

/* Runs a problem, whose m and n are not 0. */
template <class P> bool multiply(const call &c, const P &p, const tiling &t, void *workspace)
{
    typedef compute_t<typename P::element> C;
    C *parts = static_cast<C *>(workspace);
    int64_t most = ((int64_t)1 << 31) - 1, blocks = t.blocks() < most ? t.blocks() : most;
    bool done;
    if constexpr (sizeof(C) == 4 && P::may_be_big)
        done = t.big ? c.launch(multiply_tiles<P, big_tile>, (unsigned)blocks, tile_threads, 0, p,
                                t, parts)
                     : c.launch(multiply_tiles<P, small_tile>, (unsigned)blocks, tile_threads, 0, p,
                                t, parts);
    else
        done =
            c.launch(multiply_tiles<P, small_tile>, (unsigned)blocks, tile_threads, 0, p, t, parts);
    if (!done || t.splits <= 1) return done;
    const C *from = parts;
    return c.launch(add_parts<P>, c.blocks_for(p.at.m * p.at.n * t.batches, 256), 256, 0, p, t,
                    from);
}

} // namespace luc

#endif

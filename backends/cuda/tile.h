/* tile.h: the matrix product under matmul, linear and the convolutions: C[i,j] = sum over k of
 * A[i,k] B[j,k], + bias[j], where an element's address is any function of its two indices.
 *
 * A problem says where elements lie by giving an `index` for each side of each matrix: `line` for a
 * stride, `pixels` for image, row and column, `taps` for kernel row, kernel column and channel. Two
 * of them together make an address and, for images, the coordinates that tell whether it lies in
 * the padding, which is 0. So a convolution is a product that never builds the matrix of its
 * windows.
 *
 * A block of 256 threads makes a tile of C. It steps through k with two buffers in shared memory:
 * while it multiplies from one, each thread loads elements of the next tile into its registers.
 * 16-bit types are multiplied on tensor cores and summed in float; they are bound by the loading,
 * one element at a time. The other types are summed in the type itself. They are bound by FMA issue
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

/* ---- indices -------------------------------------------------------------------------------- */

/* What one side contributes to an element's place: an offset, and image coordinates. */
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

/* i = (image * h + y) * w + x. The coordinates are y0 + y * y_step and x0 + x * x_step. */
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

/* A side's element exists if the sum of the coordinates lies in [0,h) x [0,w). */
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
 *     checks_a, checks_b   whether the limits are checked; may_be_big: worth 128 x 128 tiles
 *     select(z)    the core of batch z */

/* ---- sizes ---------------------------------------------------------------------------------- */

enum { tile_threads = 256 };

struct tiling {
    bool big, a_along_k, b_along_k; /* neighbouring threads read neighbours in k, or in i and j */
    int64_t tiles_m, tiles_n, batches, k_of_split;
    int splits;
    int64_t blocks() const
    {
        return tiles_m * tiles_n * batches * splits;
    }
};

/* How a product of these sizes is cut up, on a device with this number of multiprocessors. */
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
    /* The split gives two blocks to each multiprocessor, each with 128 or more of k, and keeps at
     * most eight million sums. */
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

/* ---- loading -------------------------------------------------------------------------------- */

/* The elements of a tile [outer, k] that this thread loads. */
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

/* An element as the tile holds it: T itself, or the type in which T is computed. */
template <class V, class T> __device__ inline V held(T x)
{
    if constexpr (sizeof(V) == sizeof(T))
        return x;
    else
        return widen(x);
}

template <bool CHECKED, class V, class T, class K, int OUTER, int DEPTH, int N>
__device__ inline void fetch(V (&to)[N], const T *p, share<OUTER, DEPTH> s, const spot (&o)[N],
                             unsigned inside, const K &at_k, int64_t k, int64_t k_end,
                             bounds limits)
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
        to[i] = take ? held<V>(p[o[i].at + d.at]) : V{};
    }
}

/* ---- multiplying ---------------------------------------------------------------------------- */

/* There are two ways to hold a tile and its sums. `side` is a tile of A or B in shared memory. A
 * thread has the sums (i, j), i < rows and j < columns, of the rows row(i) and columns column(j) of
 * the tile. */

/* Where number i of a thread's `PER` rows or columns lies in the tile. They lie in runs of four. */
template <int SIZE, int PER> __device__ inline int run(int thread, int i)
{
    return i / 4 * (SIZE / (PER / 4)) + thread * 4 + i % 4;
}

template <class T, int M, int N, int K, int ROWS, int COLUMNS> struct fma_tile {
    enum { m = M, n = N, k = K, rows = ROWS, columns = COLUMNS };
    typedef compute_t<T> value;
    /* Rows are four elements longer than the tile, so that stores along k use different banks. */
    template <int OUTER> struct side {
        pack<value, 4> at[K][OUTER / 4 + 1];
        template <int COUNT>
        __device__ void store_share(share<OUTER, K> s, const value (&from)[COUNT])
        {
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                reinterpret_cast<value *>(at[s.depth(i)])[s.outer(i)] = from[i];
        }
    };
    value sums[ROWS][COLUMNS];

    __device__ static int row(int i)
    {
        return run<M, ROWS>((int)threadIdx.x / 16, i);
    }
    __device__ static int column(int j)
    {
        return run<N, COLUMNS>((int)threadIdx.x % 16, j);
    }
    __device__ value sum(int i, int j) const
    {
        return sums[i][j];
    }
    __device__ void multiply(const side<M> &a, const side<N> &b)
    {
#pragma unroll
        for (int d = 0; d < K; d++) {
            pack<value, 4> x[ROWS / 4], y[COLUMNS / 4];
#pragma unroll
            for (int i = 0; i < ROWS / 4; i++) x[i] = a.at[d][row(i * 4) / 4];
#pragma unroll
            for (int j = 0; j < COLUMNS / 4; j++) y[j] = b.at[d][column(j * 4) / 4];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < COLUMNS; j++)
                    sums[i][j] += x[i / 4].v[i % 4] * y[j / 4].v[j % 4];
        }
    }
};

/* c [16,8] += a [16,16] b [16,8] by the 32 threads of a warp. Thread 4 g + t has, as pairs, a's
 * (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8) and b's (2t, g), (2t + 8, g), the pairs along
 * k; and c's (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). */
template <class T>
__device__ inline void multiply_in_warp(float (&c)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2])
{
#ifdef LUC_CUDA_EMULATED
    luc_emulated_mma(c, a, b, [](uint16_t bits) { return widen(T{bits}); });
#else
#define LUC_MMA(type)                                                \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type       \
        ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])             \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
    if constexpr (is_bf16<T>)
        LUC_MMA("bf16");
    else
        LUC_MMA("f16");
#undef LUC_MMA
#endif
}

/* Eight warps, 2 x 4. */
template <class T, int M, int N, int K> struct tensor_tile {
    enum { m = M, n = N, k = K, rows = M / 16, columns = N / 16 };
    typedef T value;
    /* Pairs along k. Rows are eight elements longer, so that the lanes of a warp read different
     * banks. */
    template <int OUTER> struct side {
        uint32_t at[OUTER][K / 2 + 4];
        template <int COUNT> __device__ void store_share(share<OUTER, K> s, const T (&from)[COUNT])
        {
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                reinterpret_cast<T *>(at[s.outer(i)])[s.depth(i)] = from[i];
        }
    };
    float sums[rows / 2][columns / 2][4];

    __device__ static int row(int i)
    {
        return (int)threadIdx.x / 128 * (M / 2) + i / 2 * 16 + (int)threadIdx.x % 32 / 4 +
               i % 2 * 8;
    }
    __device__ static int column(int j)
    {
        return (int)threadIdx.x / 32 % 4 * (N / 4) + j / 2 * 8 + (int)threadIdx.x % 4 * 2 + j % 2;
    }
    __device__ float sum(int i, int j) const
    {
        return sums[i / 2][j / 2][i % 2 * 2 + j % 2];
    }
    __device__ void multiply(const side<M> &a, const side<N> &b)
    {
        const int t = (int)threadIdx.x % 4;
        const int b_row = (int)threadIdx.x / 32 % 4 * (N / 4) + (int)threadIdx.x % 32 / 4;
#pragma unroll
        for (int d = 0; d < K / 2; d += 8) {
            uint32_t y[columns / 2][2];
#pragma unroll
            for (int j = 0; j < columns / 2; j++)
#pragma unroll
                for (int h = 0; h < 2; h++) y[j][h] = b.at[b_row + j * 8][d + t + h * 4];
#pragma unroll
            for (int i = 0; i < rows / 2; i++) {
                uint32_t x[4];
#pragma unroll
                for (int h = 0; h < 4; h++) x[h] = a.at[row(i * 2 + h % 2)][d + t + h / 2 * 4];
#pragma unroll
                for (int j = 0; j < columns / 2; j++) multiply_in_warp<T>(sums[i][j], x, y[j]);
            }
        }
    }
};

/* The kinds of tiles for an element type. */
template <class T, bool small_float> struct tiles_of {
    typedef fma_tile<T, 128, 128, 8, 8, 8> big; /* 64 accumulators a thread */
    typedef fma_tile<T, 64, 64, 16, 4, 4> small;
};
template <class T> struct tiles_of<T, true> {
    typedef tensor_tile<T, 128, 128, 16> big;
    typedef tensor_tile<T, 64, 64, 32> small;
};

/* ---- the kernel ----------------------------------------------------------------------------- */

/* Stores this thread's sums of the tile at (i0, j0): into `parts` where sums are split, [m,n] of
 * one split and batch, otherwise into the result. */
template <class P, class S>
__device__ __forceinline__ void store_tile(const typename P::core &p, const S &tile, int64_t i0,
                                           int64_t j0, compute_t<typename P::element> *parts)
{
#pragma unroll
    for (int i = 0; i < S::rows; i++) {
        int64_t at_i = i0 + S::row(i);
        if (at_i >= p.m) continue;
        spot o = p.c_row(at_i);
#pragma unroll
        for (int j = 0; j < S::columns; j++) {
            int64_t at_j = j0 + S::column(j);
            if (at_j >= p.n) continue;
            if (parts)
                parts[at_i * p.n + at_j] = tile.sum(i, j);
            else
                p.store(o, at_j, tile.sum(i, j));
        }
    }
}

template <class P, class S>
__global__ void __launch_bounds__(tile_threads)
    multiply_tiles(P given, tiling t, compute_t<typename P::element> *parts)
{
    typedef typename S::value V;
    __shared__ typename S::template side<S::m> a_tile[2];
    __shared__ typename S::template side<S::n> b_tile[2];
    share<S::m, S::k> share_a = {t.a_along_k};
    share<S::n, S::k> share_b = {t.b_along_k};

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

        S tile = {};
        V a_next[decltype(share_a)::count], b_next[decltype(share_b)::count];
        fetch<P::checks_a>(a_next, p.a, share_a, a_outer, a_inside, p.a_depth, k, k_end,
                           p.a_limits);
        fetch<P::checks_b>(b_next, p.b, share_b, b_outer, b_inside, p.b_depth, k, k_end,
                           p.b_limits);
        int now = 0;
        for (; k < k_end; k += S::k, now ^= 1) {
            a_tile[now].store_share(share_a, a_next);
            b_tile[now].store_share(share_b, b_next);
            __syncthreads(); /* all threads have read the other buffer, so two buffers are enough */
            if (k + S::k < k_end) {
                fetch<P::checks_a>(a_next, p.a, share_a, a_outer, a_inside, p.a_depth, k + S::k,
                                   k_end, p.a_limits);
                fetch<P::checks_b>(b_next, p.b, share_b, b_outer, b_inside, p.b_depth, k + S::k,
                                   k_end, p.b_limits);
            }
            tile.multiply(a_tile[now], b_tile[now]);
        }
        __syncthreads(); /* before the next piece of work fills the buffers */
        store_tile<P>(p, tile, i0, j0,
                      t.splits > 1 ? parts + (batch * t.splits + split) * p.m * p.n : nullptr);
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

/* The bytes of workspace that `multiply` needs. */
template <class T> inline size_t parts_bytes(const tiling &t, int64_t m, int64_t n)
{
    if (t.splits <= 1) return 0;
    return (size_t)(t.splits * t.batches * m * n) * sizeof(compute_t<T>);
}

/* Runs a problem, whose m and n are not 0. */
template <class P> bool multiply(const call &c, const P &p, const tiling &t, void *workspace)
{
    typedef typename P::element T;
    typedef compute_t<T> C;
    typedef tiles_of<T, sizeof(T) == 2> shapes;
    C *parts = static_cast<C *>(workspace);
    int64_t most = ((int64_t)1 << 31) - 1, blocks = t.blocks() < most ? t.blocks() : most;
    bool done;
    if constexpr (sizeof(C) == 4 && P::may_be_big)
        done = t.big ? c.launch(multiply_tiles<P, typename shapes::big>, (unsigned)blocks,
                                tile_threads, 0, p, t, parts)
                     : c.launch(multiply_tiles<P, typename shapes::small>, (unsigned)blocks,
                                tile_threads, 0, p, t, parts);
    else
        done = c.launch(multiply_tiles<P, typename shapes::small>, (unsigned)blocks, tile_threads,
                        0, p, t, parts);
    if (!done || t.splits <= 1) return done;
    const C *from = parts;
    return c.launch(add_parts<P>, c.blocks_for(p.at.m * p.at.n * t.batches, 256), 256, 0, p, t,
                    from);
}

} // namespace luc

#endif

/* reduce_rows.cu: reductions whose elements are neighbours in memory: each result has a group of
 * threads of one warp, or a block.
 *
 * The kernels are bound by memory: every element is read once, 16 bytes a thread where alignment
 * allows it, with four (or eight narrow) loads in flight. If there are few results, each is split
 * over several blocks, and reduce.cu joins the parts. */
#include "backends/cuda/reduce.h"

namespace luc
{

/* The steps [i, end) of a thread, which are `group` apart. */
template <class T, int K, int W>
__device__ typename reducer<T, K>::carried gather_row(const reduce_plan &p, const T *x, int64_t i,
                                                      int64_t end, double centre)
{
    typedef reducer<T, K> R;
    typedef typename R::carried A;
    enum { ahead = W == 1 ? 8 : 4 };
    const int64_t step = p.group;
    A acc = R::nothing();
    for (; i + (ahead - 1) * step < end; i += ahead * step) {
        ahead_of_use<T, W> in[ahead];
        typename R::near v[ahead * W];
#pragma unroll
        for (int k = 0; k < ahead; k++) in[k].load(x + reduced_offset(p, i + k * step, W));
#pragma unroll
        for (int k = 0; k < ahead; k++) {
            const pack<T, W> each = in[k].get();
#pragma unroll
            for (int w = 0; w < W; w++) v[k * W + w] = R::first(each.v[w], centre, p.smallest);
        }
        acc = R::join(acc, (A)join_all<R>(v));
    }
    for (; i < end; i += step) {
        pack<T, W> in = *reinterpret_cast<const pack<T, W> *>(x + reduced_offset(p, i, W));
        typename R::near v[W];
#pragma unroll
        for (int k = 0; k < W; k++) v[k] = R::first(in.v[k], centre, p.smallest);
        acc = R::join(acc, (A)join_all<R>(v));
    }
    return acc;
}

/* Every thread of a group gets what the whole group has gathered. A group is part of a warp, or the
 * block. Joining is symmetric at every step, so all threads get the same bits. */
template <class R, class A> __device__ A join_group(A a, int group)
{
    __shared__ A of_warp[reduce_threads / 32];
    int within = group < 32 ? group : 32;
    for (int d = 1; d < within; d *= 2) a = R::join(a, __shfl_xor_sync(0xffffffffu, a, d));
    if (group <= 32) return a;
    __syncthreads();
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = a;
    __syncthreads();
    A all[reduce_threads / 32];
#pragma unroll
    for (int k = 0; k < reduce_threads / 32; k++) all[k] = of_warp[k];
    return join_all<R>(all);
}

template <class T, int K, int W>
__global__ void __launch_bounds__(reduce_threads) reduce_row(reduce_plan p)
{
    typedef reducer<T, K> R;
    typedef typename R::carried A;
    int64_t split = 0, block = blockIdx.x;
    if (p.splits > 1) {
        split = block % p.splits;
        block /= p.splits;
    }
    int lane = threadIdx.x % p.group;
    int64_t result = block * (reduce_threads / p.group) + threadIdx.x / p.group, at[2] = {0, 0};
    int64_t begin = split * p.part, end = begin + p.part, steps = p.count / W;
    if (end > steps) end = steps;
    if (result < p.results)
        p.kept.offsets(result, at);
    else
        end = begin;
    const T *x = static_cast<const T *>(p.x) + at[0];
    double centre = 0;
    if constexpr (K == reduce_squares) {
        if (!p.centres) {
            typedef reducer<T, reduce_sum> S;
            centre = (double)join_group<S>(gather_row<T, reduce_sum, W>(p, x, begin + lane, end, 0),
                                           p.group) /
                     (double)p.count;
        } else if (result < p.results) {
            centre = p.centres[result];
        }
    }
    A acc = gather_row<T, K, W>(p, x, begin + lane, end, centre);
    acc = join_group<R>(acc, p.group);
    if (lane != 0 || result >= p.results) return;
    if (p.splits > 1)
        static_cast<A *>(p.partial)[split * p.results + result] = acc;
    else
        reduce_store(p, at[1], acc);
}

struct rows {
    enum { wide_extremes = true };
    template <class T, int K, int W> static bool launch(const call &c, const reduce_plan &p)
    {
        int64_t blocks = ceil_div(p.results, reduce_threads / p.group) * p.splits;
        if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
        return c.launch(reduce_row<T, K, W>, (unsigned)blocks, reduce_threads, 0, p);
    }
};

bool reduce_rows(const call &c, const reduce_plan &p)
{
    return reduce_by_type<rows>(c, p);
}

} // namespace luc

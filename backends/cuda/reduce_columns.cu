/* reduce_columns.cu: reductions whose results are neighbours in memory: threads lie along the
 * results, and the rows of threads of a block share the elements.
 *
 * The kernel is bound by memory, as those of reduce_rows.cu are: a thread reads 16 bytes of
 * neighbouring results at a time, four elements ahead. Sums of channels in channels_last are
 * computed in this way. */
#include "backends/cuda/reduce.h"

namespace luc
{

/* Rows [r, end) of the reduced space, `step` apart, for W adjacent results. */
template <class T, int K, int W>
__device__ void gather_columns(const reduce_plan &p, const T *x, int64_t r, int64_t end,
                               int64_t step, const double *centre,
                               typename reducer<T, K>::carried *acc)
{
    typedef reducer<T, K> R;
    typedef typename R::carried A;
    enum { ahead = W == 1 ? 8 : 4 };
#pragma unroll
    for (int w = 0; w < W; w++) acc[w] = R::nothing();
    for (; r + (ahead - 1) * step < end; r += ahead * step) {
        ahead_of_use<T, W> in[ahead];
#pragma unroll
        for (int k = 0; k < ahead; k++) in[k].load(x + reduced_offset(p, r + k * step, 1));
        typename R::near v[W][ahead];
#pragma unroll
        for (int k = 0; k < ahead; k++) {
            const pack<T, W> each = in[k].get();
#pragma unroll
            for (int w = 0; w < W; w++) v[w][k] = R::first(each.v[w], centre[w], p.smallest);
        }
#pragma unroll
        for (int w = 0; w < W; w++) acc[w] = R::join(acc[w], (A)join_all<R>(v[w]));
    }
    for (; r < end; r += step) {
        pack<T, W> in = *reinterpret_cast<const pack<T, W> *>(x + reduced_offset(p, r, 1));
#pragma unroll
        for (int w = 0; w < W; w++)
            acc[w] = R::join(acc[w], (A)R::first(in.v[w], centre[w], p.smallest));
    }
}

/* Joins the rows of the block, in acc of the first row. Every thread of a column gets the whole. */
template <class R, int W, class A> __device__ void join_rows(A *acc, int columns, int group)
{
    __shared__ A all[reduce_threads * W];
    int row = threadIdx.x / columns;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < W; w++) all[w * reduce_threads + threadIdx.x] = acc[w];
    for (int half = group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (row < half) {
#pragma unroll
            for (int w = 0; w < W; w++) {
                A *a = all + w * reduce_threads + threadIdx.x;
                *a = R::join(*a, a[half * columns]);
            }
        }
    }
    __syncthreads();
#pragma unroll
    for (int w = 0; w < W; w++) acc[w] = all[w * reduce_threads + threadIdx.x % columns];
}

template <class T, int K, int W>
__global__ void __launch_bounds__(reduce_threads) reduce_column(reduce_plan p)
{
    typedef reducer<T, K> R;
    typedef typename R::carried A;
    int64_t split = 0, block = blockIdx.x;
    if (p.splits > 1) {
        split = block % p.splits;
        block /= p.splits;
    }
    int columns = reduce_threads / p.group, row = threadIdx.x / columns;
    int64_t result = (block * columns + threadIdx.x % columns) * W, at[2] = {0, 0};
    int64_t begin = split * p.part, end = begin + p.part;
    if (end > p.count) end = p.count;
    if (result < p.results)
        p.kept.offsets(result, at);
    else
        end = begin;
    const T *x = static_cast<const T *>(p.x) + at[0];
    A acc[W];
    double centre[W] = {};
    if constexpr (K == reduce_squares) {
        if (!p.centres) {
            double sum[W];
            gather_columns<T, reduce_sum, W>(p, x, begin + row, end, p.group, centre, sum);
            join_rows<reducer<T, reduce_sum>, W>(sum, columns, p.group);
            for (int w = 0; w < W; w++) centre[w] = sum[w] / (double)p.count;
        } else if (result < p.results) {
            for (int w = 0; w < W; w++) centre[w] = p.centres[result + w];
        }
    }
    gather_columns<T, K, W>(p, x, begin + row, end, p.group, centre, acc);
    join_rows<R, W>(acc, columns, p.group);
    if (row != 0 || result >= p.results) return;
    for (int w = 0; w < W; w++) {
        if (p.splits > 1)
            static_cast<A *>(p.partial)[split * p.results + result + w] = acc[w];
        else
            reduce_store(p, at[1] + w * p.kept.strides[0][1], acc[w]);
    }
}

struct columns {
    enum { wide_extremes = false };
    template <class T, int K, int W> static bool launch(const call &c, const reduce_plan &p)
    {
        int64_t blocks = ceil_div(ceil_div(p.results, W), reduce_threads / p.group) * p.splits;
        if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
        return c.launch(reduce_column<T, K, W>, (unsigned)blocks, reduce_threads, 0, p);
    }
};

bool reduce_columns(const call &c, const reduce_plan &p)
{
    return reduce_by_type<columns>(c, p);
}

} // namespace luc

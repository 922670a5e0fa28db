/* norm_resident.cu: batch normalisation where a block holds its whole channel in shared memory.
 *
 * Block c takes channel c: it keeps what it reads, sums it, and makes the output from it. Every
 * operand is moved once, so this is as near to a copy as it gets. In a block, reading, summing and
 * writing follow each other. So several blocks must fit on a multiprocessor, or there must be so
 * few channels that the number of launches matters (norm.cu decides). A thread reads back only what
 * it has written itself, so there are no bank conflicts, and no barrier except for the sum. */
#include "backends/cuda/norm.h"

namespace luc
{

enum { threads = 512, plain_bytes = 47 << 10 };

template <class S>
__device__ inline void finish(norm_coef<S> &k, const norm_channels &ch, int64_t c, double shift,
                              double s1, double s2)
{
    __shared__ norm_coef<S> of_block;
    norm_block_sum<threads>(s1, s2);
    if (threadIdx.x == 0)
        of_block = ch.backward ? norm_finish_backward<S>(ch, c, s1, s2, true)
                               : norm_finish<S>(ch, c, shift, s1, s2, true);
    __syncthreads();
    k = of_block;
}

template <class T, int W, int U>
__device__ inline void keep_and_sum(held<T, W> *kept, const T *x, const norm_runs &r, int q,
                                    double shift, double &s1, double &s2)
{
    held<T, W> v[U];
#pragma unroll
    for (int u = 0; u < U; u++)
        v[u] = norm_load_last<W>(x, norm_offset(r, q + u * threads, norm_x));
#pragma unroll
    for (int u = 0; u < U; u++) kept[q + u * threads] = v[u];
    enum { PART = W * U < 16 ? W * U : 16, PER = PART / W };
#pragma unroll
    for (int u = 0; u < U; u += PER) {
        compute_t<T> f[PART];
#pragma unroll
        for (int i = 0; i < PART; i++) f[i] = widen(norm_open(v[u + i / W]).v[i % W]);
        norm_add(s1, s2, f, shift);
    }
}

/* Takes the sums once more, around the mean that the first ones give, so that the precision of
 * double is lost in the mean only once. (If x is float, the sums are wider than x already.) */
template <class T, int W>
__device__ inline void again_from_mean(const held<T, W> *kept, int packs, double n, double &shift,
                                       double &s1, double &s2)
{
    __shared__ double mean;
    norm_block_sum<threads>(s1, s2);
    if (threadIdx.x == 0) mean = shift + s1 / n;
    __syncthreads();
    if (norm_is_finite(mean)) shift = mean;
    s1 = s2 = 0;
    for (int q = threadIdx.x; q < packs; q += threads) {
        compute_t<T> f[W];
        for (int j = 0; j < W; j++) f[j] = widen(norm_open(kept[q]).v[j]);
        norm_add(s1, s2, f, shift);
    }
}

template <class T, int W>
__global__ void __launch_bounds__(threads, 2)
    resident_forward(norm_work w, norm_runs r, norm_channels ch)
{
    typedef compute_t<T> S;
    typedef held<T, W> P;
    enum { U = norm_unroll<T, W>::value };
    LUC_SHARED_ARRAY(P, kept);
    int64_t c = blockIdx.x;
    int packs = (int)w.packs, q = threadIdx.x;
    const T *x = norm_operand<const T>(w, norm_x, c);
    double shift = norm_shift(x), s1 = 0, s2 = 0;
    for (; q + (U - 1) * threads < packs; q += U * threads)
        keep_and_sum<T, W, U>(kept, x, r, q, shift, s1, s2);
    for (; q < packs; q += threads) keep_and_sum<T, W, 1>(kept, x, r, q, shift, s1, s2);
    if constexpr (sizeof(T) == 8) again_from_mean<T, W>(kept, packs, ch.n, shift, s1, s2);
    norm_coef<S> k;
    finish(k, ch, c, shift, s1, s2);
    const T *other = norm_operand<const T>(w, norm_other, c);
    T *out = norm_operand<T>(w, norm_out, c);
#pragma unroll 4
    for (q = threadIdx.x; q < packs; q += threads) {
        P to_add = {};
        if (other) to_add = norm_load_last<W>(other, norm_offset(r, q, norm_other));
        pack<T, W> v = norm_open(kept[q]), add = norm_open(to_add);
#pragma unroll
        for (int j = 0; j < W; j++) {
            S y = norm_y(widen(v.v[j]), k);
            if (other) y += widen(add.v[j]);
            v.v[j] = narrow<T>(w.relu ? norm_relu(y) : y);
        }
        norm_store(out, norm_offset(r, q, norm_out), v, w.stream);
    }
}

template <class T, int W, int U>
__device__ inline void keep_and_sum_grads(held<T, W> *kept_x, held<T, W> *kept_dy,
                                          const norm_work &w, const norm_runs &r, int64_t c, int q,
                                          const norm_coef<compute_t<T>> &k, double &s1, double &s2)
{
    typedef compute_t<T> S;
    const T *x = norm_operand<const T>(w, norm_x, c), *dy = norm_operand<const T>(w, norm_dy, c);
    const T *other = norm_operand<const T>(w, norm_other, c);
    held<T, W> vx[U], vd[U], vy[U] = {};
#pragma unroll
    for (int u = 0; u < U; u++) {
        int at = q + u * threads;
        vx[u] = norm_load_last<W>(x, norm_offset(r, at, norm_x));
        vd[u] = norm_load_last<W>(dy, norm_offset(r, at, norm_dy));
        if (other) vy[u] = norm_load_last<W>(other, norm_offset(r, at, norm_other));
    }
    T *out = norm_operand<T>(w, norm_kept, c);
#pragma unroll
    for (int u = 0; u < U; u++) {
        int at = q + u * threads;
        pack<T, W> px = norm_open(vx[u]), pd = norm_open(vd[u]), py = norm_open(vy[u]);
        S fx[W], fd[W];
#pragma unroll
        for (int j = 0; j < W; j++) {
            fx[j] = widen(px.v[j]);
            S y = other ? widen(py.v[j]) : (S)0;
            fd[j] = norm_cut_of<T>(w.cut, widen(pd.v[j]), fx[j], y, k);
            pd.v[j] = narrow<T>(fd[j]);
        }
        norm_add_grads(s1, s2, fd, fx, k);
        if (out) norm_store(out, norm_offset(r, at, norm_kept), pd, w.stream);
        kept_x[at] = vx[u];
        kept_dy[at].w = as_words(pd);
    }
}

template <class T, int W>
__global__ void __launch_bounds__(threads, 2)
    resident_backward(norm_work w, norm_runs r, norm_channels ch)
{
    typedef compute_t<T> S;
    typedef held<T, W> P;
    enum { U = norm_unroll<T, W>::value / 2 };
    LUC_SHARED_ARRAY(P, kept);
    int64_t c = blockIdx.x;
    int packs = (int)w.packs, q = threadIdx.x;
    P *kept_dy = kept + packs;
    norm_coef<S> k = norm_coef_of<S>(ch, c, norm_get(ch.mean, c, 0), norm_get(ch.invstd, c, 1));
    double s1 = 0, s2 = 0;
    for (; q + (U - 1) * threads < packs; q += U * threads)
        keep_and_sum_grads<T, W, U>(kept, kept_dy, w, r, c, q, k, s1, s2);
    for (; q < packs; q += threads)
        keep_and_sum_grads<T, W, 1>(kept, kept_dy, w, r, c, q, k, s1, s2);
    finish(k, ch, c, 0.0, s1, s2);
    T *out = norm_operand<T>(w, norm_out, c);
    if (!out) return;
#pragma unroll 4
    for (q = threadIdx.x; q < packs; q += threads) {
        pack<T, W> vx = norm_open(kept[q]), vd = norm_open(kept_dy[q]);
#pragma unroll
        for (int j = 0; j < W; j++)
            vd.v[j] = narrow<T>(norm_dx(widen(vx.v[j]), widen(vd.v[j]), k, ch.batch));
        norm_store(out, norm_offset(r, q, norm_out), vd, w.stream);
    }
}

template <class T, int W> static bool run(const call &c, const norm_plan &p)
{
    void (*kernel)(norm_work, norm_runs, norm_channels) =
        p.ch.backward ? resident_backward<T, W> : resident_forward<T, W>;
    /* By default a block gets 48 KB, its static arrays included. The same limit is always asked
     * for, because another thread may be about to launch the same kernel. */
    if (p.resident_bytes > plain_bytes &&
        !ok(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (int)norm_resident_limit(c.device)),
            c.op))
        return false;
    return c.launch(kernel, (unsigned)p.work.channels, threads, p.resident_bytes, p.work, p.runs,
                    p.ch);
}

bool norm_run_resident(const call &c, const norm_plan &p)
{
    LUC_NORM_DISPATCH(p, run, c, p);
}

} // namespace luc

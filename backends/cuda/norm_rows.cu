/* norm_rows.cu: batch normalisation of channels that are runs of memory, or have any other strides,
 * with partial sums in the workspace (see norm.h).
 *
 * In both passes block b takes share b / channels of channel b % channels. Both are bound by
 * memory. The sums' pass reads x (backward: x and grad_y). The output's pass reads them again, from
 * the back, and writes; the smaller the tensor is, the more of it comes from L2. */
#include "backends/cuda/norm.h"

namespace luc
{

enum { threads = 256 };

template <class P> struct norm_share {
    P place;
    int64_t share; /* packs of a block */
    int splits;
};

template <class T, int W, class P> struct unroll {
    enum { value = norm_unroll<T, W>::value };
};
template <class T> struct unroll<T, 1, walk<norm_operands>> {
    enum { value = 4 }; /* most of its time goes into finding the places */
};

template <class T, int W, class P, int U>
__device__ inline void load(held<T, W> (&v)[U], const T *p, const P &place, int k, int64_t q)
{
#pragma unroll
    for (int u = 0; u < U; u++) v[u] = norm_load<W>(p, norm_offset(place, q + u * threads, k));
}

template <int N, class T, int W, int U>
__device__ inline void widen_all(compute_t<T> (&to)[N], const held<T, W> (&v)[U], int first)
{
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = widen(norm_open(v[first + i / W]).v[i % W]);
}

/* ---- sums ----------------------------------------------------------------------------------- */

template <class T, int W, class P>
__global__ void __launch_bounds__(threads) rows_sums(norm_work w, norm_share<P> g, norm_pair *sums)
{
    enum { U = unroll<T, W, P>::value, PART = W * U < 16 ? W * U : 16, PER = PART / W };
    int64_t c = blockIdx.x % w.channels, split = blockIdx.x / w.channels;
    int64_t q = split * g.share, end = q + g.share < w.packs ? q + g.share : w.packs;
    const T *x = norm_operand<const T>(w, norm_x, c);
    double shift = norm_shift(x), s1 = 0, s2 = 0;
    for (q += threadIdx.x; q + (U - 1) * threads < end; q += U * threads) {
        held<T, W> v[U];
        load(v, x, g.place, norm_x, q);
#pragma unroll
        for (int u = 0; u < U; u += PER) {
            compute_t<T> f[PART];
            widen_all(f, v, u);
            norm_add(s1, s2, f, shift);
        }
    }
    for (; q < end; q += threads) {
        held<T, W> v[1];
        compute_t<T> f[W];
        load(v, x, g.place, norm_x, q);
        widen_all(f, v, 0);
        norm_add(s1, s2, f, shift);
    }
    norm_block_sum<threads>(s1, s2);
    if (threadIdx.x == 0) sums[c * g.splits + split] = {s1, s2};
}

/* The cut grad_y of U packs from q on is summed, and stored if it is wanted. */
template <class T, int W, class P, int U>
__device__ inline void grad_sums_step(const norm_work &w, const P &place, int64_t c, int64_t q,
                                      const norm_coef<compute_t<T>> &k, double &s1, double &s2)
{
    typedef compute_t<T> S;
    held<T, W> vx[U] = {}, vd[U], vy[U] = {};
    load(vx, norm_operand<const T>(w, norm_x, c), place, norm_x, q);
    load(vd, norm_operand<const T>(w, norm_dy, c), place, norm_dy, q);
    if (w.cut == norm_cut_output)
        load(vy, norm_operand<const T>(w, norm_other, c), place, norm_other, q);
    T *kept = norm_operand<T>(w, norm_kept, c);
#pragma unroll
    for (int u = 0; u < U; u++) {
        pack<T, W> px = norm_open(vx[u]), pd = norm_open(vd[u]), py = norm_open(vy[u]), cut;
        S x[W], dy[W];
#pragma unroll
        for (int j = 0; j < W; j++) {
            x[j] = widen(px.v[j]);
            S y = w.cut == norm_cut_output ? widen(py.v[j]) : (S)0;
            dy[j] = norm_cut_of<T>(w.cut, widen(pd.v[j]), x[j], y, k);
            cut.v[j] = narrow<T>(dy[j]);
        }
        if (kept) norm_store(kept, norm_offset(place, q + u * threads, norm_kept), cut, false);
        norm_add_grads(s1, s2, dy, x, k);
    }
}

template <class T, int W, class P>
__global__ void __launch_bounds__(threads)
    rows_grad_sums(norm_work w, norm_share<P> g, norm_channels ch, norm_pair *sums)
{
    enum { U = unroll<T, W, P>::value / 2 };
    int64_t c = blockIdx.x % w.channels, split = blockIdx.x / w.channels;
    int64_t q = split * g.share, end = q + g.share < w.packs ? q + g.share : w.packs;
    norm_coef<compute_t<T>> k =
        norm_coef_of<compute_t<T>>(ch, c, norm_get(ch.mean, c, 0), norm_get(ch.invstd, c, 1));
    double s1 = 0, s2 = 0;
    for (q += threadIdx.x; q + (U - 1) * threads < end; q += U * threads)
        grad_sums_step<T, W, P, U>(w, g.place, c, q, k, s1, s2);
    for (; q < end; q += threads) grad_sums_step<T, W, P, 1>(w, g.place, c, q, k, s1, s2);
    norm_block_sum<threads>(s1, s2);
    if (threadIdx.x == 0) sums[c * g.splits + split] = {s1, s2};
}

/* ---- output --------------------------------------------------------------------------------- */

/* The channel's coefficients, from the partial sums. Every block adds these up for itself, always
 * in the same order. The channel's first block writes the channel's outputs. */
template <class T>
__device__ inline void coefficients(norm_coef<compute_t<T>> &k, const norm_channels &ch, int64_t c,
                                    bool first, const T *x, const norm_pair *sums, int n)
{
    typedef compute_t<T> S;
    __shared__ norm_coef<S> of_block;
    if (threadIdx.x < 32) {
        double s1 = 0, s2 = 0;
        for (int i = threadIdx.x; i < n; i += 32) {
            norm_pair s = sums[c * n + i];
            s1 += s.s1;
            s2 += s.s2;
        }
        for (int d = 16; d > 0; d >>= 1) {
            s1 += __shfl_xor_sync(0xffffffffu, s1, d);
            s2 += __shfl_xor_sync(0xffffffffu, s2, d);
        }
        if (threadIdx.x == 0)
            of_block = ch.backward
                           ? norm_finish_backward<S>(ch, c, s1, s2, first)
                           : norm_finish<S>(ch, c, n > 0 ? norm_shift(x) : 0.0, s1, s2, first);
    }
    __syncthreads();
    k = of_block;
}

template <class T, int W, class P, int U>
__device__ inline void out_load(held<T, W> (&vx)[U], held<T, W> (&vo)[U], const norm_work &w,
                                const P &place, int64_t c, int64_t q)
{
    const T *x = norm_operand<const T>(w, norm_x, c), *o = norm_operand<const T>(w, norm_other, c);
#pragma unroll
    for (int u = 0; u < U; u++)
        vx[u] = norm_load_last<W>(x, norm_offset(place, q + u * threads, norm_x));
    if (o)
#pragma unroll
        for (int u = 0; u < U; u++)
            vo[u] = norm_load_last<W>(o, norm_offset(place, q + u * threads, norm_other));
}

template <class T, int W, class P, int U>
__device__ inline void out_store(const held<T, W> (&vx)[U], const held<T, W> (&vo)[U],
                                 const norm_work &w, const P &place, int64_t c, int64_t q,
                                 const norm_coef<compute_t<T>> &k)
{
    T *out = norm_operand<T>(w, norm_out, c);
    bool add = w.data[norm_other] != nullptr;
#pragma unroll
    for (int u = 0; u < U; u++) {
        pack<T, W> px = norm_open(vx[u]), po = norm_open(vo[u]), y;
#pragma unroll
        for (int j = 0; j < W; j++) {
            compute_t<T> v = norm_y(widen(px.v[j]), k);
            if (add) v += widen(po.v[j]);
            y.v[j] = narrow<T>(w.relu ? norm_relu(v) : v);
        }
        norm_store(out, norm_offset(place, q + u * threads, norm_out), y, w.stream);
    }
}

/* From the end to the beginning: block 0 takes the last share of the last channel. */
template <class T, int W, class P>
__global__ void __launch_bounds__(threads)
    rows_out(norm_work w, norm_share<P> g, norm_channels ch, const norm_pair *sums, int n_sums)
{
    enum { U = unroll<T, W, P>::value };
    int64_t b = gridDim.x - 1 - blockIdx.x, c = b % w.channels, split = b / w.channels;
    int64_t q = split * g.share, end = q + g.share < w.packs ? q + g.share : w.packs;
    norm_coef<compute_t<T>> k;
    coefficients<T>(k, ch, c, split == 0, norm_operand<const T>(w, norm_x, c), sums, n_sums);
    for (q += threadIdx.x; q + (U - 1) * threads < end; q += U * threads) {
        held<T, W> vx[U], vo[U] = {};
        out_load(vx, vo, w, g.place, c, q);
        out_store(vx, vo, w, g.place, c, q, k);
    }
    for (; q < end; q += threads) {
        held<T, W> vx[1], vo[1] = {};
        out_load(vx, vo, w, g.place, c, q);
        out_store(vx, vo, w, g.place, c, q, k);
    }
}

/* If the cut grad_y was stored, it is read in place of grad_y; otherwise grad_y is cut once
 * more. */
template <class T, int W, class P, int U>
__device__ inline void grad_out_step(const norm_work &w, const P &place, int64_t c, int64_t q,
                                     const norm_coef<compute_t<T>> &k, bool batch)
{
    typedef compute_t<T> S;
    int from = w.data[norm_kept] ? norm_kept : norm_dy;
    norm_cut cut = from == norm_kept ? norm_no_cut : w.cut;
    bool needs_x = batch || cut == norm_cut_sign;
    const T *x = norm_operand<const T>(w, norm_x, c), *dy = norm_operand<const T>(w, from, c);
    const T *other = norm_operand<const T>(w, norm_other, c);
    held<T, W> vx[U] = {}, vd[U], vy[U] = {};
#pragma unroll
    for (int u = 0; u < U; u++) {
        int64_t at = q + u * threads;
        vd[u] = norm_load<W>(dy, norm_offset(place, at, from));
        if (needs_x) vx[u] = norm_load_last<W>(x, norm_offset(place, at, norm_x));
        if (cut == norm_cut_output) vy[u] = norm_load<W>(other, norm_offset(place, at, norm_other));
    }
    T *out = norm_operand<T>(w, norm_out, c);
#pragma unroll
    for (int u = 0; u < U; u++) {
        pack<T, W> px = norm_open(vx[u]), pd = norm_open(vd[u]), py = norm_open(vy[u]), dx;
#pragma unroll
        for (int j = 0; j < W; j++) {
            S v = needs_x ? widen(px.v[j]) : (S)0;
            S y = cut == norm_cut_output ? widen(py.v[j]) : (S)0;
            S d = norm_cut_of<T>(cut, widen(pd.v[j]), v, y, k);
            dx.v[j] = narrow<T>(norm_dx(v, d, k, batch));
        }
        norm_store(out, norm_offset(place, q + u * threads, norm_out), dx, w.stream);
    }
}

template <class T, int W, class P>
__global__ void __launch_bounds__(threads)
    rows_grad_out(norm_work w, norm_share<P> g, norm_channels ch, const norm_pair *sums, int n_sums)
{
    enum { U = unroll<T, W, P>::value / 2 };
    int64_t b = gridDim.x - 1 - blockIdx.x, c = b % w.channels, split = b / w.channels;
    int64_t q = split * g.share, end = q + g.share < w.packs ? q + g.share : w.packs;
    norm_coef<compute_t<T>> k;
    coefficients<T>(k, ch, c, split == 0, norm_operand<const T>(w, norm_x, c), sums, n_sums);
    if (!w.data[norm_out]) return;
    for (q += threadIdx.x; q + (U - 1) * threads < end; q += U * threads)
        grad_out_step<T, W, P, U>(w, g.place, c, q, k, ch.batch);
    for (; q < end; q += threads) grad_out_step<T, W, P, 1>(w, g.place, c, q, k, ch.batch);
}

/* ---- the host's side ------------------------------------------------------------------------ */

template <class T, int W, class P>
static bool run(const call &c, const norm_plan &p, const P &place)
{
    norm_pair *sums = c.workspace<norm_pair>();
    int n = p.sums ? p.splits : 0;
    unsigned channels = (unsigned)p.work.channels;
    norm_share<P> in = {place, ceil_div(p.work.packs, p.splits), p.splits};
    norm_share<P> out = {place, ceil_div(p.work.packs, p.out_splits), p.out_splits};
    dim3 in_grid(channels * p.splits), out_grid(channels * p.out_splits);
    if (p.ch.backward)
        return (!p.sums ||
                c.launch(rows_grad_sums<T, W, P>, in_grid, threads, 0, p.work, in, p.ch, sums)) &&
               c.launch(rows_grad_out<T, W, P>, out_grid, threads, 0, p.work, out, p.ch, sums, n);
    return (!p.sums || c.launch(rows_sums<T, W, P>, in_grid, threads, 0, p.work, in, sums)) &&
           c.launch(rows_out<T, W, P>, out_grid, threads, 0, p.work, out, p.ch, sums, n);
}

template <class T, int W> static bool run_runs(const call &c, const norm_plan &p)
{
    return run<T, W>(c, p, p.runs);
}

bool norm_run_rows(const call &c, const norm_plan &p)
{
    if (p.way == norm_by_strides) switch (p.dtype) {
        case LUCID_F32:
            return run<float, 1>(c, p, p.w);
        case LUCID_F64:
            return run<double, 1>(c, p, p.w);
        case LUCID_F16:
            return run<f16, 1>(c, p, p.w);
        default:
            return run<bf16, 1>(c, p, p.w);
        }
    LUC_NORM_DISPATCH(p, run_runs, c, p);
}

} // namespace luc

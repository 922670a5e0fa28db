/* elementwise.h: the kernels that all elementwise operations share.
 *
 * A functor such as two<LUCID_OP_add> computes an element. For operations that matter for speed the
 * operation is known when the functor is compiled; for the others it is `any`, and a uniform switch
 * chooses it at run time. There are three kernels, by how the operands lie in memory:
 *   dense      all have one layout without gaps, or are single values: 16-byte loads, several in
 *              flight
 *   broadcast  the output has no gaps, an input any strides (a value for each channel, a row, ...)
 *   strided    anything; one element for each thread
 * All are bound by memory. Elements are computed in float for the 16-bit types and rounded once. */
#ifndef LUC_CUDA_ELEMENTWISE_H
#define LUC_CUDA_ELEMENTWISE_H

#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

#include <math.h>

namespace luc
{

enum { any = -1, block_threads = 256 };

template <class T> struct is_floating {
    enum { value = (int)dtype_of<T>::value < (int)LUCID_I64 };
};

/* The numbers of an operation: the bounds of clamp, or the scalar (a). */
template <class T, bool Floating = is_floating<T>::value> struct numbers {
    compute_t<T> a, b;
    bool open_low, open_high; /* this bound is absent */
};
template <class T> struct numbers<T, false> {
    int64_t a, b; /* cut to T's range, for clamp */
};

/* K inputs; single[k]: input k is a single value. */
template <class T, int K> struct inputs {
    const T *x[K];
    bool single[K];
};

/* ---- dense ---------------------------------------------------------------------------------- */

/* A block takes `per` <= U packs for each of its threads. The last block also takes the elements
 * after the last whole pack. F is the functor. U packs of W elements are loaded before any of them
 * is used. */
template <class F, int U, class R, class T>
__global__ void __launch_bounds__(block_threads)
    dense(R *y, inputs<T, F::n_in> in, int64_t n, int per, int op, numbers<T> k)
{
    enum { K = F::n_in, W = 16 / sizeof(T) };
    typedef pack<T, W> packed;
    typedef compute_t<T> C;
    const int64_t packs = n / W;
    const int64_t first = (int64_t)blockIdx.x * block_threads * per + threadIdx.x;
    words<16> raw[K][U];
    LUC_UNROLL
    for (int i = 0; i < K; i++) {
        if (in.single[i]) {
            packed value;
            LUC_UNROLL
            for (int j = 0; j < W; j++) value.v[j] = *in.x[i];
            LUC_UNROLL
            for (int u = 0; u < U; u++) raw[i][u] = as_words(value);
        } else {
            LUC_UNROLL
            for (int u = 0; u < U; u++)
                if (u < per && first + u * block_threads < packs)
                    raw[i][u] =
                        reinterpret_cast<const words<16> *>(in.x[i])[first + u * block_threads];
        }
    }
    LUC_UNROLL
    for (int u = 0; u < U; u++) {
        if (u >= per || first + u * block_threads >= packs) continue;
        C x[K][W];
        compute_t<R> z[W] = {};
        pack<R, W> out;
        LUC_UNROLL
        for (int i = 0; i < K; i++) {
            const packed each = as_pack<packed>(raw[i][u]);
            for (int j = 0; j < W; j++) x[i][j] = widen(each.v[j]);
        }
        F::template run<T>(op, x, z, k);
        LUC_UNROLL
        for (int j = 0; j < W; j++) out.v[j] = narrow<R>(z[j]);
        reinterpret_cast<pack<R, W> *>(y)[first + u * block_threads] = out;
    }
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x < n - packs * W) {
        const int64_t at = packs * W + threadIdx.x;
        C x[K][1];
        compute_t<R> z[1] = {};
        for (int i = 0; i < K; i++) x[i][0] = widen(in.x[i][in.single[i] ? 0 : at]);
        F::template run<T>(op, x, z, k);
        y[at] = narrow<R>(z[0]);
    }
}

/* Whether `dense` can compute the walk. */
template <class R, class T, int K> bool is_dense(const walk<K + 1> &w, const R *y, inputs<T, K> *in)
{
    enum { W = 16 / sizeof(T) };
    if (w.ndim > 1 || (w.ndim == 1 && w.strides[0][0] != 1)) return false;
    bool aligned = is_aligned(y, W * sizeof(R));
    for (int k = 0; k < K; k++) {
        int64_t stride = w.ndim ? w.strides[0][k + 1] : 1;
        in->single[k] = stride == 0;
        if (stride != 0 && stride != 1) return false;
        aligned = aligned && (in->single[k] || is_aligned(in->x[k], 16));
    }
    return aligned;
}

/* The packs of each thread: as many as leave four blocks for each multiprocessor. */
inline int packs_a_thread(const call &c, int64_t packs, int most)
{
    int64_t per = packs / ((int64_t)block_threads * 4 * c.device->multiprocessors);
    return per < 1 ? 1 : per > most ? most : (int)per;
}

template <class F, int U, class R, class T>
bool launch_dense(const call &c, R *y, const inputs<T, F::n_in> &in, int64_t n, int op,
                  const numbers<T> &k)
{
    int64_t packs = n / (16 / (int64_t)sizeof(T));
    int per = packs_a_thread(c, packs, U);
    int64_t blocks = ceil_div(packs, (int64_t)block_threads * per);
    if (blocks == 0) blocks = 1;
    return c.launch(dense<F, U, R, T>, (unsigned)blocks, block_threads, 0, y, in, n, per, op, k);
}

/* ---- broadcast ------------------------------------------------------------------------------ */

/* How an input is read: at the same places as the output; in packs, because its rows are whole
 * packs; or element by element. */
struct access {
    bool same, packs;
};

/* Element i of the output, which has no gaps, is element i of the walk. A thread takes one pack, or
 * one of the elements after the last whole pack. */
template <class F, class T>
__global__ void __launch_bounds__(block_threads)
    broadcast(T *y, inputs<T, 2> in, walk<3> w, access a0, access a1, numbers<T> k)
{
    enum { W = 16 / sizeof(T) };
    typedef pack<T, W> packed;
    typedef compute_t<T> C;
    const int64_t packs = w.n / W, i = (int64_t)blockIdx.x * block_threads + threadIdx.x;
    if (i >= packs) {
        int64_t e = packs * W + (i - packs), at[3];
        if (e >= w.n) return;
        w.offsets(e, at);
        C x[2][1] = {{widen(in.x[0][at[1]])}, {widen(in.x[1][at[2]])}}, z[1] = {};
        F::template run<T>(any, x, z, k);
        y[e] = narrow<T>(z[0]);
        return;
    }
    const int64_t first = i * W, length = w.dims[0];
    const int64_t row =
        w.small ? (int64_t)((uint32_t)first - w.by[0].quotient((uint32_t)first) * (uint32_t)length)
                : first % length;
    const int64_t left = length - row; /* in the row */
    if (left < W && length < W) {      /* a pack covers several rows */
        LUC_ROLL
        for (int64_t e = first; e < first + W; e++) {
            int64_t at[3];
            w.offsets(e, at);
            C x[2][1] = {{widen(in.x[0][at[1]])}, {widen(in.x[1][at[2]])}}, z[1] = {};
            F::template run<T>(any, x, z, k);
            y[e] = narrow<T>(z[0]);
        }
        return;
    }
    int64_t at[3], next[3];
    w.offsets(first, at);
    w.offsets(left < W ? first + left : first, next);
    const access how[2] = {a0, a1};
    words<16> raw[2];
    LUC_UNROLL
    for (int o = 0; o < 2; o++) {
        const T *p = in.x[o];
        if (how[o].same || how[o].packs) {
            raw[o] = *reinterpret_cast<const words<16> *>(p + (how[o].same ? first : at[o + 1]));
        } else {
            packed each;
            const int64_t step = w.strides[0][o + 1];
            const T *here = p + at[o + 1], *there = p + next[o + 1] - left * step;
            LUC_UNROLL
            for (int j = 0; j < W; j++) each.v[j] = (j < left ? here : there)[j * step];
            raw[o] = as_words(each);
        }
    }
    C x[2][W], z[W] = {};
    LUC_UNROLL
    for (int o = 0; o < 2; o++) {
        const packed each = as_pack<packed>(raw[o]);
        for (int j = 0; j < W; j++) x[o][j] = widen(each.v[j]);
    }
    F::template run<T>(any, x, z, k);
    packed out;
    LUC_UNROLL
    for (int j = 0; j < W; j++) out.v[j] = narrow<T>(z[j]);
    reinterpret_cast<packed *>(y)[i] = out;
}

/* Whether operand k of the walk lies without gaps in the walk's order. */
template <int K> bool is_gapless(const walk<K> &w, int k)
{
    int64_t stride = 1;
    for (int d = 0; d < w.ndim; d++) {
        if (w.strides[d][k] != stride) return false;
        stride *= w.dims[d];
    }
    return true;
}

template <class T> access access_of(const walk<3> &w, const T *x, int k)
{
    enum { W = 16 / sizeof(T) };
    access a = {is_gapless(w, k) && is_aligned(x, 16), w.strides[0][k] == 1 && is_aligned(x, 16)};
    a.packs = a.packs && w.dims[0] % W == 0;
    for (int d = 1; d < w.ndim; d++) a.packs = a.packs && w.strides[d][k] % W == 0;
    return a;
}

template <class F, class T>
bool launch_broadcast(const call &c, T *y, const inputs<T, 2> &in, const walk<3> &w,
                      const numbers<T> &k)
{
    const int64_t width = 16 / (int64_t)sizeof(T), threads = w.n / width + w.n % width;
    return c.launch(broadcast<F, T>, (unsigned)ceil_div(threads, block_threads), block_threads, 0,
                    y, in, w, access_of(w, in.x[0], 1), access_of(w, in.x[1], 2), k);
}

/* ---- strided -------------------------------------------------------------------------------- */

template <class F, class R, class T>
__global__ void __launch_bounds__(block_threads)
    strided(R *y, inputs<T, F::n_in> in, walk<F::n_in + 1> w, int op, numbers<T> k)
{
    enum { K = F::n_in };
    const int64_t step = (int64_t)gridDim.x * block_threads;
    for (int64_t i = (int64_t)blockIdx.x * block_threads + threadIdx.x; i < w.n; i += step) {
        int64_t at[K + 1];
        compute_t<T> x[K][1];
        compute_t<R> z[1] = {};
        w.offsets(i, at);
        for (int o = 0; o < K; o++) x[o][0] = widen(in.x[o][at[o + 1]]);
        F::template run<T>(op, x, z, k);
        y[at[0]] = narrow<R>(z[0]);
    }
}

template <class F, class R, class T>
bool launch_strided(const call &c, R *y, const inputs<T, F::n_in> &in, const walk<F::n_in + 1> &w,
                    int op, const numbers<T> &k)
{
    return c.launch(strided<F, R, T>, c.blocks_for(w.n, block_threads), block_threads, 0, y, in, w,
                    op, k);
}

/* ---- the numbers of a call ------------------------------------------------------------------ */

/* A bound or scalar in an integer type: infinite bounds become the limits of the type. */
inline int64_t bounded(double x, int64_t low, int64_t high)
{
    if (!(x > (double)low)) return low;
    return x >= (double)high ? high : (int64_t)x;
}
template <class T> struct range_of {
    enum : int64_t { low = 0, high = dtype_of<T>::value == (int)LUCID_BOOL ? 1 : UINT8_MAX };
};
template <> struct range_of<int64_t> {
    enum : int64_t { low = INT64_MIN, high = INT64_MAX };
};
template <> struct range_of<int32_t> {
    enum : int64_t { low = INT32_MIN, high = INT32_MAX };
};

/* How many an elementwise operator has, by core/ops.def. */
inline int count_of_numbers(lucid_op_id op)
{
    switch (op) {
#define LUC_UNARY(name, type, numbers, call) \
    case LUCID_OP_##name:                    \
        return numbers;
#define LUC_BINARY(name, type, numbers, call) LUC_UNARY(name, type, numbers, call)
#include "lucid/core/ops.def"
    default:
        return 0;
    }
}

template <class T> numbers<T> numbers_of(const call &c)
{
    const int count = count_of_numbers(c.args->op);
    const double a = count > 0 ? c.attrs<double>()[0] : 0, b = count > 1 ? c.attrs<double>()[1] : 0;
    if constexpr (is_floating<T>::value) {
        return {(compute_t<T>)a, (compute_t<T>)b, a == -INFINITY || a == INFINITY,
                b == -INFINITY || b == INFINITY};
    } else if (count == 2) { /* clamp */
        return {bounded(a, range_of<T>::low, range_of<T>::high),
                bounded(b, range_of<T>::low, range_of<T>::high)};
    } else {
        return {bounded(a, INT64_MIN, INT64_MAX), 0};
    }
}

} // namespace luc

#endif

/* norm.h: batch normalisation on the device: how a call is cut up, and what all its ways share.
 *
 * Statistics. A thread takes some sixteen values at a time, in registers. It computes their mean in
 * float, and then their distances from it. From these two it makes the sums of d and d*d, where
 * d = x - shift, in double, and adds them up in a fixed order. `shift` is the channel's first
 * value, so cancellation in the sums costs no more than double can spare (see
 * backends/cpu/norm/norm_priv.h). Within the sixteen values nothing cancels, whatever the mean is.
 * So the double unit, which is slow on some GPUs, has half an operation to do for each element.
 *
 * Three ways through memory, chosen in norm.cu:
 *
 *   resident  One block holds its whole channel in shared memory: x (backward: x and grad_y) is
 *             read once, and the output is written. It is for channels of up to some 200 KB, if
 *             there are enough of them.
 *   runs      A channel is a set of runs that are contiguous in every operand (NCHW). Blocks take
 *             equal shares of a channel, neighbouring blocks neighbouring channels, so that memory
 *             is swept from front to back; partial sums go to the workspace. The second kernel adds
 *             them up (every block does so for itself: they are few numbers) and makes the output
 *             from the back to the front, because what the first one read last is still in L2. The
 *             same kernels take any other strides, one element at a time.
 *   lanes     The channels of a pixel are neighbours (channels_last, [N,C]): a thread takes W
 *             channels and goes down the pixels. A small kernel between the two passes adds up.
 *
 * All are bound by memory: for each element there are a handful of float operations, and 2 to 16
 * bytes are moved. Memory is kept busy by 64 to 128 bytes of loads in flight in every thread. */
#ifndef LUC_CUDA_NORM_H
#define LUC_CUDA_NORM_H

#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

/* ---- what a call is made of ----------------------------------------------------------------- */

/* The operands that have x's sizes. */
enum { norm_x, norm_out, norm_other, norm_dy, norm_kept, norm_operands };

/* [C] numbers of any floating dtype. p is NULL if they are not given. */
struct norm_array {
    void *p;
    int64_t stride;
    int dtype;
};

/* What a call needs once for each channel. */
struct norm_channels {
    double eps, momentum, n; /* n: values of a channel */
    bool backward, batch;    /* batch: the batch's statistics, not the running ones */
    norm_array weight, bias, running_mean, running_var;
    norm_array mean, invstd;           /* forward: written; backward: given */
    norm_array grad_weight, grad_bias; /* written, if wanted */
    uint32_t want;
};

enum norm_cut { norm_no_cut, norm_cut_sign, norm_cut_output };

/* How the output pass makes an element, and where the operands lie. */
struct norm_work {
    void *data[norm_operands]; /* NULL if not given */
    int64_t channel_stride[norm_operands];
    int64_t channels, packs; /* packs of W elements in a channel */
    bool relu, stream;       /* stream: too large to be read again from L2 */
    norm_cut cut;            /* of grad_y */
};

/* Where pack q of a channel lies, if a channel has runs of `inner` packs. */
struct norm_runs {
    divider by;
    int64_t inner, strides[norm_operands];
    int width;
};

/* Lanes: a pixel has `tiles` tiles of `columns` packs, and a block takes `rows` pixels at a
 * time. */
struct norm_lanes {
    int64_t strides[norm_operands], pixels, share; /* share: the pixels of a block */
    int columns, rows, tiles, all;                 /* all: the packs of a pixel */
};

enum norm_way { norm_empty, norm_resident, norm_by_runs, norm_by_strides, norm_by_lanes };

struct norm_plan {
    norm_way way;
    int width, dtype;
    bool sums, output; /* the passes that the call needs */
    norm_channels ch;
    norm_work work;
    norm_runs runs;
    norm_lanes lanes;
    walk<norm_operands> w;
    int splits, out_splits;    /* the blocks of a channel (lanes: of a tile) in the two passes */
    size_t resident_bytes;     /* shared memory */
    size_t coef_at, workspace; /* in bytes: the sums come first, then the coefficients (lanes) */
};

/* The shared memory that a block may use, besides its static arrays. */
inline size_t norm_resident_limit(const device_info *d)
{
    return d ? d->shared_limit - 1024 : 0;
}
bool norm_run_resident(const call &c, const norm_plan &p);
bool norm_run_rows(const call &c, const norm_plan &p); /* runs and strides */
bool norm_run_lanes(const call &c, const norm_plan &p);

/* ---- numbers once a channel ----------------------------------------------------------------- */

__device__ inline bool norm_is_finite(double x)
{
    return x - x == 0;
}

__device__ inline double norm_get(const norm_array &a, int64_t c, double absent)
{
    if (!a.p) return absent;
    int64_t at = c * a.stride;
    switch (a.dtype) {
    case LUCID_F32:
        return static_cast<const float *>(a.p)[at];
    case LUCID_F64:
        return static_cast<const double *>(a.p)[at];
    case LUCID_F16:
        return to_float(static_cast<const f16 *>(a.p)[at]);
    default:
        return to_float(static_cast<const bf16 *>(a.p)[at]);
    }
}

__device__ inline void norm_put(const norm_array &a, int64_t c, double v)
{
    if (!a.p) return;
    int64_t at = c * a.stride;
    switch (a.dtype) {
    case LUCID_F32:
        static_cast<float *>(a.p)[at] = (float)v;
        break;
    case LUCID_F64:
        static_cast<double *>(a.p)[at] = v;
        break;
    case LUCID_F16:
        static_cast<f16 *>(a.p)[at] = convert<f16>(v);
        break;
    default:
        static_cast<bf16 *>(a.p)[at] = convert<bf16>(v);
    }
}

/* y = ((x - hi) - lo) * scale + bias; grad_x = ((dy - mean_dy) - ((x - hi) - lo) * slope) *
 * scale. */
template <class S> struct norm_coef {
    S hi, lo, scale, bias;
    S mean_dy, slope, unit;
};

/* A power of two near invstd. Float products of x - mean are scaled by it, which is exact and gives
 * them the range of xhat. */
__device__ inline float norm_unit(float invstd)
{
    unsigned power = __float_as_uint(invstd) & 0x7f800000u;
    return power == 0 || power == 0x7f800000u ? 1 : __uint_as_float(power);
}
__device__ inline double norm_unit(double)
{
    return 1;
}

/* Forward and backward compute these from the same numbers in the same way, because the sign of y
 * depends on them. */
template <class S>
__device__ inline norm_coef<S> norm_coef_of(const norm_channels &ch, int64_t c, double mean,
                                            double invstd)
{
    norm_coef<S> k;
    k.hi = (S)mean;
    k.lo = norm_is_finite(mean) ? (S)(mean - (double)k.hi) : (S)0;
    k.scale = (S)__dmul_rn(invstd, norm_get(ch.weight, c, 1));
    k.bias = (S)norm_get(ch.bias, c, 0);
    k.unit = norm_unit((S)invstd);
    k.mean_dy = k.slope = 0;
    return k;
}

__device__ inline void norm_track(const norm_channels &ch, const norm_array &a, int64_t c, double v)
{
    double m = ch.momentum;
    if (a.p)
        norm_put(a, c,
                 m == 1 ? v : __dadd_rn(__dmul_rn(1 - m, norm_get(a, c, 0)), __dmul_rn(m, v)));
}

/* The coefficients from the sums of d and d*d. `write`: the channel's outputs are written as
 * well. */
template <class S>
__device__ inline norm_coef<S> norm_finish(const norm_channels &ch, int64_t c, double shift,
                                           double s1, double s2, bool write)
{
    double mean = 0, var = 0;
    if (!ch.batch) {
        mean = norm_get(ch.running_mean, c, 0);
        var = norm_get(ch.running_var, c, 1);
    } else if (ch.n > 0) {
        double offset = s1 / ch.n;
        mean = shift + offset;
        var = __dadd_rn(s2 / ch.n, -__dmul_rn(offset, offset));
        if (var < 0) var = 0; /* rounding of a nearly constant channel; a NaN stays */
        if (s2 > 0 && !norm_is_finite(s2) && norm_is_finite(offset))
            var = s2; /* overflowing squares of float64: infinity, not infinity less infinity */
        if (write && ch.momentum >= 0) {
            norm_track(ch, ch.running_mean, c, mean);
            norm_track(ch, ch.running_var, c, ch.n > 1 ? var * (ch.n / (ch.n - 1)) : var);
        }
    }
    /* A constant channel gives its bias even without eps. */
    double invstd = ch.batch && var + ch.eps == 0 ? 0 : 1 / sqrt(var + ch.eps);
    if (write) {
        norm_put(ch.mean, c, mean);
        norm_put(ch.invstd, c, invstd);
    }
    return norm_coef_of<S>(ch, c, mean, invstd);
}

/* The coefficients from the sums of dy and dy * (x - mean) * unit. */
template <class S>
__device__ inline norm_coef<S> norm_finish_backward(const norm_channels &ch, int64_t c, double s1,
                                                    double s2, bool write)
{
    double mean = norm_get(ch.mean, c, 0), invstd = norm_get(ch.invstd, c, 1);
    norm_coef<S> k = norm_coef_of<S>(ch, c, mean, invstd);
    s2 *= invstd / (double)k.unit;
    if (ch.batch && ch.n > 0) {
        k.mean_dy = (S)(s1 / ch.n);
        k.slope = (S)(s2 / ch.n * invstd);
    }
    if (write && (ch.want & 2)) norm_put(ch.grad_weight, c, s2);
    if (write && (ch.want & 4)) norm_put(ch.grad_bias, c, s1);
    return k;
}

/* ---- an element ----------------------------------------------------------------------------- */

__device__ inline float fused(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}
__device__ inline double fused(double a, double b, double c)
{
    return __fma_rn(a, b, c);
}

/* The largest number that rounds to 0 in T. */
template <class T> __device__ inline compute_t<T> norm_tiny()
{
    return 0;
}
template <> __device__ inline float norm_tiny<f16>()
{
    return 0x1p-25f;
}
template <> __device__ inline float norm_tiny<bf16>()
{
    return 0x1p-134f;
}

template <class S> __device__ inline S norm_centred(S x, const norm_coef<S> &k)
{
    return (x - k.hi) - k.lo;
}

template <class S> __device__ inline S norm_y(S x, const norm_coef<S> &k)
{
    return fused(norm_centred(x, k), k.scale, k.bias);
}

template <class S> __device__ inline S norm_relu(S y)
{
    return y < 0 ? (S)0 : y; /* a NaN stays */
}

/* dy, or 0 where ReLU's output was not above 0. That is known from y, or computed again from x. */
template <class T>
__device__ inline compute_t<T> norm_cut_of(norm_cut cut, compute_t<T> dy, compute_t<T> x,
                                           compute_t<T> y, const norm_coef<compute_t<T>> &k)
{
    if (cut == norm_cut_output) return y <= 0 ? 0 : dy;
    if (cut == norm_cut_sign) return norm_y(x, k) <= norm_tiny<T>() ? 0 : dy;
    return dy;
}

template <class S> __device__ inline S norm_dx(S x, S dy, const norm_coef<S> &k, bool batch)
{
    S t = dy - k.mean_dy;
    if (batch) t = fused(-norm_centred(x, k), k.slope, t);
    return t * k.scale;
}

/* ---- sums ----------------------------------------------------------------------------------- */

struct alignas(16) norm_pair {
    double s1, s2;
};

/* Adds d and d*d over n values, d = x - shift, in double, one after another. */
template <int N, class S>
__device__ inline void norm_add_each(double &s1, double &s2, const S (&x)[N], double shift)
{
    for (int i = 0; i < N; i++) {
        double d = (double)x[i] - shift;
        s1 += d;
        s2 = fused(d, d, s2);
    }
}

/* The same through the values' own mean m. With e = sum(x - m) and v = sum((x - m)^2), which are
 * both small, sum(d) = N (m - shift) + e and sum(d*d) = v + (m - shift) (N (m - shift) + 2 e). If v
 * exceeds what float can square, or something is not finite, each value is added by itself. */
template <int N>
__device__ inline void norm_add(double &s1, double &s2, const float (&x)[N], double shift)
{
    static_assert((N & (N - 1)) == 0, "1/N must be exact");
    float part[4] = {0, 0, 0, 0}, e[2] = {0, 0}, v[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < N; i++) part[i & 3] = __fmaf_rn(x[i], 1.0f / N, part[i & 3]);
    float m = (part[0] + part[1]) + (part[2] + part[3]);
#pragma unroll
    for (int i = 0; i < N; i++) {
        float d = x[i] - m;
        e[i & 1] += d;
        v[i & 1] = __fmaf_rn(d, d, v[i & 1]);
    }
    float square = v[0] + v[1];
    if (!(square >= 1e-30f && square <= 1e37f)) {
        norm_add_each(s1, s2, x, shift);
        return;
    }
    double rest = (double)e[0] + (double)e[1], a = (double)m - shift,
           sum = fused(a, (double)N, rest);
    s1 += sum;
    s2 += fused(a, sum + rest, (double)square);
}
template <int N>
__device__ inline void norm_add(double &s1, double &s2, const double (&x)[N], double shift)
{
    norm_add_each(s1, s2, x, shift);
}
template <>
__device__ inline void norm_add<1>(double &s1, double &s2, const float (&x)[1], double shift)
{
    norm_add_each(s1, s2, x, shift);
}

/* Adds dy and dy * (x - mean) * unit over N elements. */
template <int N, class S>
__device__ inline void norm_add_grads(double &s1, double &s2, const S (&dy)[N], const S (&x)[N],
                                      const norm_coef<S> &k)
{
    S a[2] = {0, 0}, b[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < N; i++) {
        a[i & 1] += dy[i];
        b[i & 1] = fused(dy[i], norm_centred(x[i], k) * k.unit, b[i & 1]);
    }
    s1 += (double)a[0] + (double)a[1];
    s2 += (double)b[0] + (double)b[1];
}

/* The number that the sums are taken around. */
template <class T> __device__ inline double norm_shift(const T *first)
{
    double x = (double)widen(*first);
    return norm_is_finite(x) ? x : 0;
}

/* Adds the sums of all threads in a fixed order; the first thread gets the result. */
template <int THREADS> __device__ inline void norm_block_sum(double &s1, double &s2)
{
    __shared__ double each[2][THREADS / 32];
    for (int d = 16; d > 0; d >>= 1) {
        s1 += __shfl_xor_sync(0xffffffffu, s1, d);
        s2 += __shfl_xor_sync(0xffffffffu, s2, d);
    }
    if (threadIdx.x % 32 == 0) {
        each[0][threadIdx.x / 32] = s1;
        each[1][threadIdx.x / 32] = s2;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        s1 = s2 = 0;
        for (int i = 0; i < THREADS / 32; i++) {
            s1 += each[0][i];
            s2 += each[1][i];
        }
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

/* The packs in flight in a thread: 64 bytes of an operand, or 8 elements where they are read
 * singly. */
template <class T, int W> struct norm_unroll {
    enum { value = W == 1 ? 8 : 64 / (int)(sizeof(T) * W) };
};

/* A pack that was loaded and is not used yet. */
template <class T, int W> struct held {
    words<(int)sizeof(T) * W> w;
};
template <class T, int W> __device__ inline pack<T, W> norm_open(const held<T, W> &h)
{
    return as_pack<pack<T, W>>(h.w);
}
template <int W, class T> __device__ inline held<T, W> norm_load(const T *p, int64_t i)
{
    return *reinterpret_cast<const held<T, W> *>(p + i);
}
#ifdef LUC_CUDA_EMULATED
template <int W, class T> inline held<T, W> norm_load_last(const T *p, int64_t i)
{
    return norm_load<W>(p, i);
}
template <int W, class T> inline void norm_store(T *p, int64_t i, const pack<T, W> &v, bool)
{
    reinterpret_cast<held<T, W> *>(p + i)->w = as_words(v);
}
#else
template <int BYTES> struct norm_bits;
template <> struct norm_bits<16> {
    typedef uint4 type;
};
template <> struct norm_bits<8> {
    typedef uint2 type;
};
template <> struct norm_bits<4> {
    typedef unsigned type;
};
template <> struct norm_bits<2> {
    typedef unsigned short type;
};
/* Nothing reads it again soon, so it may leave L2 first. */
template <int W, class T> __device__ inline held<T, W> norm_load_last(const T *p, int64_t i)
{
    typedef typename norm_bits<(int)sizeof(T) * W>::type bits;
    bits b = __ldcs(reinterpret_cast<const bits *>(p + i));
    held<T, W> v;
    memcpy(&v, &b, sizeof v);
    return v;
}
template <int W, class T>
__device__ inline void norm_store(T *p, int64_t i, const pack<T, W> &v, bool stream)
{
    typedef typename norm_bits<(int)sizeof(T) * W>::type bits;
    bits b;
    memcpy(&b, &v, sizeof b);
    if (stream)
        __stcs(reinterpret_cast<bits *>(p + i), b);
    else
        *reinterpret_cast<bits *>(p + i) = b;
}
#endif

/* The offset of pack q of a channel in operand k. */
__device__ inline int64_t norm_offset(const norm_runs &r, int64_t q, int k)
{
    uint32_t n = r.by.quotient((uint32_t)q);
    return n * r.strides[k] + (q - n * r.inner) * r.width;
}
__device__ inline int64_t norm_offset(const walk<norm_operands> &w, int64_t q, int k)
{
    int64_t at[norm_operands];
    w.offsets(q, at);
    return at[k];
}

/* Operand k of channel c; NULL if it is not given. */
template <class T> __device__ inline T *norm_operand(const norm_work &w, int k, int64_t c)
{
    T *p = static_cast<T *>(w.data[k]);
    return p ? p + c * w.channel_stride[k] : nullptr;
}

} // namespace luc

/* function<T, W>(...) for the plan's dtype and width. */
#define LUC_NORM_HALF(p, T, function, ...)               \
    ((p).width == 8   ? function<luc::T, 8>(__VA_ARGS__) \
     : (p).width == 4 ? function<luc::T, 4>(__VA_ARGS__) \
                      : function<luc::T, 1>(__VA_ARGS__))
#define LUC_NORM_DISPATCH(p, function, ...)                                                        \
    switch ((p).dtype) {                                                                           \
    case LUCID_F32:                                                                                \
        return (p).width == 4 ? function<float, 4>(__VA_ARGS__) : function<float, 1>(__VA_ARGS__); \
    case LUCID_F64:                                                                                \
        return (p).width == 2 ? function<double, 2>(__VA_ARGS__)                                   \
                              : function<double, 1>(__VA_ARGS__);                                  \
    case LUCID_F16:                                                                                \
        return LUC_NORM_HALF(p, f16, function, __VA_ARGS__);                                       \
    default:                                                                                       \
        return LUC_NORM_HALF(p, bf16, function, __VA_ARGS__);                                      \
    }

#endif

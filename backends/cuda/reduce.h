/* reduce.h: how a reduction is cut up, and what its kernels share (reduce.cu makes the plan,
 * reduce_rows.cu and reduce_columns.cu gather).
 *
 * A result gathers `count` elements. They are added in a tree that depends on sizes and strides
 * alone, so the bits are the same in every run and on every GPU. Floats are added over a few
 * elements in the type in which they are computed, and from there on in double. */
#ifndef LUC_CUDA_REDUCE_H
#define LUC_CUDA_REDUCE_H

#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum { reduce_threads = 256, reduce_blocks = 1024 }; /* with fewer blocks, results are split */
enum reduce_kind { reduce_sum, reduce_squares, reduce_extreme };

struct reduce_plan {
    const void *x;
    void *y;
    void *partial;         /* [splits][results], double or int64 */
    const double *centres; /* of squares: [results]; NULL: each block finds its own */
    walk<2> kept;          /* where a result begins in x and in y */
    walk<1> reduced;       /* where the elements of a result lie */
    int64_t results, count;
    bool columns; /* neighbouring results are neighbours in x: threads go side by side along them */
    int width;    /* elements read as one: of a row, or of neighbouring results */
    int group;    /* threads that share one result (rows) or one pack of results (columns) */
    int64_t splits,
        part; /* steps of the reduced space (packs of a row, rows of a column) a split */
    int y_dtype;
    lucid_op_id op;
    reduce_kind kind;
    double correction;
    bool smallest;
};

reduce_plan reduce_make_plan(const lucid_kernel_args *args);
bool plan_reduce(const lucid_kernel_args *args, lucid_plan *plan);
bool reduce(const lucid_kernel_args *args);
bool reduce_rows(const call &c, const reduce_plan &p);
bool reduce_columns(const call &c, const reduce_plan &p);

/* The type that threads exchange, and the type in which a few elements are gathered. */
template <class T> struct sum_of {
    typedef double carried;
    typedef compute_t<T> near;
};
template <> struct sum_of<int64_t> {
    typedef int64_t carried, near;
};
template <> struct sum_of<int32_t> {
    typedef int64_t carried, near;
};
template <> struct sum_of<uint8_t> {
    typedef int64_t carried, near;
};

template <class T, int K> struct reducer {
    typedef typename sum_of<T>::carried carried;
    typedef typename sum_of<T>::near near;

    __device__ static near first(T x, double, bool smallest)
    {
        near v = (near)widen(x);
        return K == reduce_extreme && smallest ? flip(v) : v;
    }
    template <class A> __device__ static A join(A a, A b)
    {
        return K == reduce_extreme ? (b > a || b != b ? b : a) : add(a, b);
    }
    /* Reverses the order: the smallest element has the largest value of this. It is its own
     * inverse. */
    __device__ static float flip(float v)
    {
        return -v;
    }
    __device__ static double flip(double v)
    {
        return -v;
    }
    __device__ static int64_t flip(int64_t v)
    {
        return ~v;
    }
    __device__ static float add(float a, float b)
    {
        return a + b;
    }
    __device__ static double add(double a, double b)
    {
        return a + b;
    }
    __device__ static int64_t add(int64_t a, int64_t b) /* wraps around */
    {
        return (int64_t)((uint64_t)a + (uint64_t)b);
    }
    __device__ static carried nothing()
    {
        return K == reduce_extreme ? worst((carried)0) : (carried)0;
    }
    __device__ static double worst(double)
    {
        return -HUGE_VAL;
    }
    __device__ static int64_t worst(int64_t)
    {
        return INT64_MIN;
    }
};
/* Squared distances from a centre are computed in double from the beginning. */
template <class T> struct reducer<T, reduce_squares> : reducer<T, reduce_sum> {
    typedef double near;
    __device__ static double first(T x, double centre, bool)
    {
        double d = (double)widen(x) - centre;
        return d * d;
    }
};

/* Joins all n values pairwise into v[0]. */
template <class R, int n, class A> __device__ inline A join_all(A (&v)[n])
{
#pragma unroll
    for (int half = n / 2; half > 0; half /= 2)
#pragma unroll
        for (int j = 0; j < half; j++) v[j] = R::join(v[j], v[j + half]);
    return v[0];
}

/* A pack as it is loaded before its use: as whole words (see `words`). */
template <class T, int W> struct ahead_of_use {
    words<sizeof(pack<T, W>)> raw;
    __device__ __forceinline__ void load(const T *p)
    {
        raw = *reinterpret_cast<const words<sizeof(pack<T, W>)> *>(p);
    }
    __device__ __forceinline__ pack<T, W> get() const
    {
        return as_pack<pack<T, W>>(raw);
    }
};
template <class T> struct ahead_of_use<T, 1> {
    T raw;
    __device__ __forceinline__ void load(const T *p)
    {
        raw = *p;
    }
    __device__ __forceinline__ pack<T, 1> get() const
    {
        return {{raw}};
    }
};

/* The element that `step` packs of `width` lead to. */
__device__ inline int64_t reduced_offset(const reduce_plan &p, int64_t step, int width)
{
    if (p.reduced.ndim == 1) return step * width * p.reduced.strides[0][0];
    int64_t at[1];
    p.reduced.offsets(step * width, at);
    return at[0];
}

template <class Y> __device__ inline void write_result(void *y, int64_t at, Y value)
{
    static_cast<Y *>(y)[at] = value;
}

/* Computes the result from what was gathered. */
__device__ inline void reduce_store(const reduce_plan &p, int64_t at, double v)
{
    if (p.smallest) v = -v;
    if (p.op == LUCID_OP_mean) v /= (double)p.count;
    if (p.op == LUCID_OP_var) v /= fmax(0.0, (double)p.count - p.correction);
    switch (p.y_dtype) {
    case LUCID_F64:
        return write_result(p.y, at, v);
    case LUCID_F16:
        return write_result(p.y, at, to_f16((float)v));
    case LUCID_BF16:
        return write_result(p.y, at, to_bf16((float)v));
    default:
        return write_result(p.y, at, (float)v);
    }
}
__device__ inline void reduce_store(const reduce_plan &p, int64_t at, int64_t v)
{
    if (p.smallest) v = ~v;
    switch (p.y_dtype) {
    case LUCID_I64:
        return write_result(p.y, at, v);
    case LUCID_I32:
        return write_result(p.y, at, (int32_t)v);
    default:
        return write_result(p.y, at, (uint8_t)v);
    }
}

/* Calls L::launch<T, K, W> for the input's dtype and the plan's kind, with packs of W elements if
 * the plan has found some. L::wide_extremes: extremes use packs too. */
template <class L, class T, int W> bool reduce_floats(const call &c, const reduce_plan &p)
{
    bool wide = p.width > 1;
    if (p.kind == reduce_squares) return L::template launch<T, reduce_squares, 1>(c, p);
    if (p.kind == reduce_sum)
        return wide ? L::template launch<T, reduce_sum, W>(c, p)
                    : L::template launch<T, reduce_sum, 1>(c, p);
    if constexpr (L::wide_extremes)
        if (wide) return L::template launch<T, reduce_extreme, W>(c, p);
    return L::template launch<T, reduce_extreme, 1>(c, p);
}

template <class L, class T> bool reduce_integers(const call &c, const reduce_plan &p)
{
    if (p.kind == reduce_extreme) return L::template launch<T, reduce_extreme, 1>(c, p);
    return L::template launch<T, reduce_sum, 1>(c, p);
}

template <class L> bool reduce_by_type(const call &c, const reduce_plan &p)
{
    switch (c.in(0)->dtype) {
    case LUCID_F32:
        return reduce_floats<L, float, 4>(c, p);
    case LUCID_F64:
        return reduce_floats<L, double, 2>(c, p);
    case LUCID_F16:
        return reduce_floats<L, f16, 8>(c, p);
    case LUCID_BF16:
        return reduce_floats<L, bf16, 8>(c, p);
    case LUCID_I64:
        return reduce_integers<L, int64_t>(c, p);
    case LUCID_I32:
        return reduce_integers<L, int32_t>(c, p);
    default:
        return reduce_integers<L, uint8_t>(c, p);
    }
}

} // namespace luc

#endif

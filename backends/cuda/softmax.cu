/* softmax.cu: softmax, log_softmax and their gradients along any dimension.
 *
 * Rows whose elements are neighbours stay in registers: they are read once and written once, 16
 * bytes a thread where alignment allows it (bound by memory). Longer rows and other dimensions are
 * read twice. There, neighbouring threads take neighbours along the dimension that is denser in
 * memory, and the first pass keeps a running maximum. Sums are joined in fixed trees. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum { any_threads = 256, row_threads = 128, most_threads = 1024 };

struct softmax_plan {
    const void *a, *b; /* forward: x; backward: grad and y */
    void *out;
    walk<3> other; /* the other dimensions: of out, a, b */
    int64_t n, step[3];
    int group; /* threads that share a row */
    bool log, columns;
};

__device__ inline float exp_of(float x)
{
    return expf(x);
}
__device__ inline double exp_of(double x)
{
    return exp(x);
}
__device__ inline float log_of(float x)
{
    return logf(x);
}
__device__ inline double log_of(double x)
{
    return log(x);
}

/* ---- rows in registers ---------------------------------------------------------------------- */

/* Elements a thread holds. */
template <class T> struct held {
    enum { count = sizeof(compute_t<T>) == 8 ? 8 : 16 };
};

/* The maximum, or the sum, over a group: part of a warp, or the block. All threads get the same. */
template <bool sum, class C> __device__ C join_group(C v, int group)
{
    __shared__ C of_warp[most_threads / 32];
    int within = group < 32 ? group : 32;
    for (int d = 1; d < within; d *= 2) {
        C o = __shfl_xor_sync(0xffffffffu, v, d);
        v = sum ? v + o : (o > v ? o : v);
    }
    if (group <= 32) return v;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    __syncthreads();
    if (lane == 0) of_warp[warp] = v;
    __syncthreads();
    v = lane < group / 32 ? of_warp[lane] : (sum ? (C)0 : (C)-HUGE_VAL);
    for (int d = 1; d < 32; d *= 2) {
        C o = __shfl_xor_sync(0xffffffffu, v, d);
        v = sum ? v + o : (o > v ? o : v);
    }
    return v;
}

/* This thread's part of row `row` of operand k; elements after the end of the row become `rest`. */
template <class T, int W>
__device__ inline void load_row(compute_t<T> (&v)[held<T>::count], const T *p,
                                const softmax_plan &s, int lane, bool mine, compute_t<T> rest)
{
#pragma unroll
    for (int k = 0; k < held<T>::count / W; k++) {
        int64_t i = (int64_t)(lane + k * s.group) * W;
        pack<T, W> in;
        bool inside = mine && i < s.n;
        if (inside) in = *reinterpret_cast<const pack<T, W> *>(p + i);
#pragma unroll
        for (int w = 0; w < W; w++) v[k * W + w] = inside ? widen(in.v[w]) : rest;
    }
}

template <class T, int W>
__device__ inline void store_row(T *p, const compute_t<T> (&v)[held<T>::count],
                                 const softmax_plan &s, int lane, bool mine)
{
#pragma unroll
    for (int k = 0; k < held<T>::count / W; k++) {
        int64_t i = (int64_t)(lane + k * s.group) * W;
        pack<T, W> out;
#pragma unroll
        for (int w = 0; w < W; w++) out.v[w] = narrow<T>(v[k * W + w]);
        if (mine && i < s.n) *reinterpret_cast<pack<T, W> *>(p + i) = out;
    }
}

/* Finds the row of this thread's group. False if there is none: the thread only takes part in the
 * shuffles. */
__device__ inline bool locate(const softmax_plan &s, int64_t (&at)[3])
{
    int64_t row = (int64_t)blockIdx.x * (blockDim.x / s.group) + threadIdx.x / s.group;
    bool mine = row < s.other.n;
    s.other.offsets(mine ? row : 0, at);
    return mine;
}

template <class T, int W>
__global__ void __launch_bounds__(most_threads) softmax_row(softmax_plan s)
{
    typedef compute_t<T> C;
    enum { n = held<T>::count };
    int64_t at[3];
    int lane = threadIdx.x % s.group;
    bool mine = locate(s, at);
    C v[n], most = (C)-HUGE_VAL, sum = 0;
    load_row<T, W>(v, static_cast<const T *>(s.a) + at[1], s, lane, mine, (C)-HUGE_VAL);
#pragma unroll
    for (int k = 0; k < n; k++) most = v[k] > most ? v[k] : most;
    most = join_group<false>(most, s.group);
    /* -inf after the end of the row adds nothing; if the whole row is -inf, the result is NaN, as
     * it should be */
#pragma unroll
    for (int k = 0; k < n; k++) {
        if ((int64_t)(k / W) * s.group * W >= s.n) continue; /* no thread has an element there */
        v[k] -= most;
        C e = exp_of(v[k]);
        int64_t i = (int64_t)(lane + k / W * s.group) * W;
        if (i < s.n) sum += e;
        if (!s.log) v[k] = e;
    }
    sum = join_group<true>(sum, s.group);
    C all = s.log ? log_of(sum) : sum;
#pragma unroll
    for (int k = 0; k < n; k++) v[k] = s.log ? v[k] - all : v[k] / all;
    store_row<T, W>(static_cast<T *>(s.out) + at[0], v, s, lane, mine);
}

template <class T, int W>
__global__ void __launch_bounds__(most_threads) softmax_backward_row(softmax_plan s)
{
    typedef compute_t<T> C;
    enum { n = held<T>::count };
    int64_t at[3];
    int lane = threadIdx.x % s.group;
    bool mine = locate(s, at);
    C g[n], y[n], sum = 0;
    load_row<T, W>(g, static_cast<const T *>(s.a) + at[1], s, lane, mine, (C)0);
    load_row<T, W>(y, static_cast<const T *>(s.b) + at[2], s, lane, mine, (C)0);
#pragma unroll
    for (int k = 0; k < n; k++) sum += s.log ? g[k] : g[k] * y[k];
    sum = join_group<true>(sum, s.group);
#pragma unroll
    for (int k = 0; k < n; k++) {
        if ((int64_t)(k / W) * s.group * W >= s.n) continue;
        g[k] = s.log ? g[k] - exp_of(y[k]) * sum : y[k] * (g[k] - sum);
    }
    store_row<T, W>(static_cast<T *>(s.out) + at[0], g, s, lane, mine);
}

/* ---- any strides, any length ---------------------------------------------------------------- */

/* Where this thread works: its result, and its lane among the threads that share the result. */
__device__ inline bool locate_any(const softmax_plan &s, int64_t (&at)[3], int &lane)
{
    int results = any_threads / s.group;
    lane = s.columns ? threadIdx.x / results : threadIdx.x % s.group;
    int64_t r = s.columns ? threadIdx.x % results : threadIdx.x / s.group;
    r += (int64_t)blockIdx.x * results;
    bool mine = r < s.other.n;
    s.other.offsets(mine ? r : 0, at);
    return mine;
}

/* A running maximum, and the sum of exp(x - maximum) so far. */
template <class C> struct running {
    C most, sum;
};
template <class C> __device__ inline void take(running<C> &r, C x)
{
    if (x > r.most) { /* x - x, because an infinity makes the sum NaN */
        r.sum = r.sum * exp_of(r.most - x) + exp_of(x - x);
        r.most = x;
    } else if (x != (C)-HUGE_VAL) {
        r.sum += exp_of(x - r.most);
    }
}
template <class C> __device__ inline running<C> join(running<C> a, running<C> b)
{
    C most = b.most > a.most ? b.most : a.most;
    if (a.most != most) a.sum = a.sum == 0 ? a.sum : a.sum * exp_of(a.most - most);
    if (b.most != most) b.sum = b.sum == 0 ? b.sum : b.sum * exp_of(b.most - most);
    return {most, a.sum + b.sum};
}

template <class T> __global__ void __launch_bounds__(any_threads) softmax_any(softmax_plan s)
{
    typedef compute_t<T> C;
    __shared__ C most[any_threads], sum[any_threads];
    int64_t at[3];
    int lane, apart = s.columns ? any_threads / s.group : 1;
    bool mine = locate_any(s, at, lane);
    const T *x = static_cast<const T *>(s.a) + at[1];
    T *y = static_cast<T *>(s.out) + at[0];
    int64_t n = mine ? s.n : 0;
    running<C> r = {(C)-HUGE_VAL, 0};
    for (int64_t i = lane; i < n; i += s.group) take(r, widen(x[i * s.step[1]]));
    most[threadIdx.x] = r.most;
    sum[threadIdx.x] = r.sum;
    for (int half = s.group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) {
            int other = threadIdx.x + half * apart;
            r = join(r, running<C>{most[other], sum[other]});
            most[threadIdx.x] = r.most;
            sum[threadIdx.x] = r.sum;
        }
    }
    __syncthreads();
    int first = threadIdx.x - lane * apart;
    C above = most[first], all = s.log ? log_of(sum[first]) : sum[first];
    for (int64_t i = lane; i < n; i += s.group) {
        C d = widen(x[i * s.step[1]]) - above;
        y[i * s.step[0]] = narrow<T>(s.log ? d - all : exp_of(d) / all);
    }
}

template <class T>
__global__ void __launch_bounds__(any_threads) softmax_backward_any(softmax_plan s)
{
    typedef compute_t<T> C;
    __shared__ C sums[any_threads];
    int64_t at[3];
    int lane, apart = s.columns ? any_threads / s.group : 1;
    bool mine = locate_any(s, at, lane);
    const T *g = static_cast<const T *>(s.a) + at[1], *y = static_cast<const T *>(s.b) + at[2];
    T *dx = static_cast<T *>(s.out) + at[0];
    int64_t n = mine ? s.n : 0;
    C sum = 0;
    for (int64_t i = lane; i < n; i += s.group) {
        C v = widen(g[i * s.step[1]]);
        sum += s.log ? v : v * widen(y[i * s.step[2]]);
    }
    sums[threadIdx.x] = sum;
    for (int half = s.group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) sums[threadIdx.x] += sums[threadIdx.x + half * apart];
    }
    __syncthreads();
    sum = sums[threadIdx.x - lane * apart];
    for (int64_t i = lane; i < n; i += s.group) {
        C vg = widen(g[i * s.step[1]]), vy = widen(y[i * s.step[2]]);
        dx[i * s.step[0]] = narrow<T>(s.log ? vg - exp_of(vy) * sum : vy * (vg - sum));
    }
}

/* ---- the choice ----------------------------------------------------------------------------- */

static int least_power(int64_t n, int most)
{
    int p = 1;
    while (p < n && p < most) p *= 2;
    return p;
}

static softmax_plan make_plan(const lucid_view *a, const lucid_view *b, const lucid_view *out,
                              int dim)
{
    const lucid_view *views[3] = {out, a, b ? b : a};
    lucid_view other[3] = {};
    softmax_plan s = {};
    s.a = a->data;
    s.b = b ? b->data : nullptr;
    s.out = out->data;
    s.n = 1;
    for (int d = 0; d < a->ndim; d++) {
        for (int k = 0; k < 3; k++) {
            if (d == dim) {
                s.step[k] = views[k]->strides[d];
                s.n = a->dims[d];
                continue;
            }
            other[k].dims[other[k].ndim] = a->dims[d];
            other[k].strides[other[k].ndim++] = views[k]->strides[d];
        }
    }
    s.other = make_walk<3>({&other[0], &other[1], &other[2]});
    return s;
}

template <class T> static bool is_wide(const softmax_plan &s, int width)
{
    size_t bytes = width * sizeof(T);
    bool wide = s.n % width == 0 && is_aligned(s.a, bytes) && is_aligned(s.out, bytes) &&
                is_aligned(s.b, bytes);
    for (int d = 0; d < s.other.ndim && wide; d++)
        for (int k = 0; k < 3; k++) wide = wide && s.other.strides[d][k] % width == 0;
    return wide;
}

template <class T> static bool run(const call &c, softmax_plan s, bool backward)
{
    enum { width = 16 / sizeof(T), elements = held<T>::count };
    if (s.other.n == 0 || s.n == 0) return true;
    bool row = s.n == 1 || (s.step[0] == 1 && s.step[1] == 1 && s.step[2] == 1);
    if (row && s.n <= (int64_t)most_threads * elements) {
        bool wide = is_wide<T>(s, width);
        s.group = s.n <= 32 * elements ? least_power(ceil_div(s.n, wide ? width : 4), 32)
                                       : least_power(ceil_div(s.n, elements), most_threads);
        int threads = s.group <= 32 ? (int)row_threads : s.group;
        int64_t blocks = ceil_div(s.other.n, threads / s.group);
        if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
        void (*kernel)(softmax_plan) =
            backward ? (wide ? softmax_backward_row<T, width> : softmax_backward_row<T, 1>)
                     : (wide ? softmax_row<T, width> : softmax_row<T, 1>);
        return c.launch(kernel, (unsigned)blocks, threads, 0, s);
    }
    s.columns = s.other.ndim > 0 && s.other.strides[0][0] < s.step[0];
    int results = s.columns ? least_power(s.other.n, 32) : 1;
    s.group = least_power(ceil_div(s.n, 8), any_threads / results);
    int64_t blocks = ceil_div(s.other.n, any_threads / s.group);
    if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
    return c.launch(backward ? softmax_backward_any<T> : softmax_any<T>, (unsigned)blocks,
                    any_threads, 0, s);
}

template <class T> static bool softmax(const lucid_kernel_args *args)
{
    call c(args);
    softmax_plan s = make_plan(c.in(0), nullptr, c.out(0), c.attrs<lucid_dim_attrs>()->dim);
    s.log = args->op == LUCID_OP_log_softmax;
    return run<T>(c, s, false);
}

template <class T> static bool softmax_backward(const lucid_kernel_args *args)
{
    call c(args);
    softmax_plan s = make_plan(c.in(0), c.in(1), c.out(0), c.attrs<lucid_dim_attrs>()->dim);
    s.log = args->op == LUCID_OP_log_softmax_backward;
    return run<T>(c, s, true);
}

void register_softmax(lucid_backend *b)
{
    LUC_FLOATS(b, softmax, softmax);
    LUC_FLOATS(b, log_softmax, softmax);
    LUC_FLOATS(b, softmax_backward, softmax_backward);
    LUC_FLOATS(b, log_softmax_backward, softmax_backward);
}

} // namespace luc

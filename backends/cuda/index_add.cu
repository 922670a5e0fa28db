/* index_add.cu: index_add and scatter_add, with the same bits in every run and without sorting.
 *
 * index_add links the positions that have the same index into chains, by comparing all with all (in
 * shared memory: count^2 comparisons, which take less time than moving the slices up to tens of
 * thousands of indices). The thread of a chain's first position then adds up the slices of the
 * chain, in order, and writes the sum once, so each place is written by one thread.
 *
 * In scatter_add every element has an index of its own. If there are few places, each place
 * searches its whole line of indices; otherwise one thread adds up each line, in order.
 *
 * Each sum is rounded to the element type once, and long sums are taken in parts, as on the CPU. So
 * a place that is named thousands of times neither stalls in 16 bits nor loses float's digits. */
#include "backends/cuda/dtype.h"
#include "backends/cuda/index.h"

namespace luc
{

enum { add_threads = 256, few_places = 1 << 20, chain_lanes = 8 /* threads for each position */ };

template <class T> __device__ inline compute_t<T> plus(compute_t<T> a, compute_t<T> b)
{
    return a + b;
}
template <> __device__ inline int64_t plus<int64_t>(int64_t a, int64_t b) /* wraps around */
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
template <> __device__ inline int32_t plus<int32_t>(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
template <> __device__ inline uint8_t plus<boolean>(uint8_t a, uint8_t b)
{
    return a | b;
}

/* A sum of many numbers: runs are added in the type that is computed in, and their sums in
 * double. */
template <class T> struct long_sum {
    enum { run_length = 16 };
    compute_t<T> run = 0;
    double total = 0;
    int64_t n = 0;
    __device__ void add(compute_t<T> x)
    {
        run = n % run_length ? plus<T>(run, x) : x;
        if (++n % run_length == 0) total += (double)run;
    }
    __device__ compute_t<T> result() const
    {
        if (n <= run_length) return run;
        return (compute_t<T>)(total + (n % run_length ? (double)run : 0.0));
    }
};
/* Integers are exact, and wrap around. */
template <class T> struct exact_sum {
    compute_t<T> run = 0;
    __device__ void add(compute_t<T> x)
    {
        run = plus<T>(run, x);
    }
    __device__ compute_t<T> result() const
    {
        return run;
    }
};
template <> struct long_sum<int64_t> : exact_sum<int64_t> {
};
template <> struct long_sum<int32_t> : exact_sum<int32_t> {
};
template <> struct long_sum<uint8_t> : exact_sum<uint8_t> {
};
template <> struct long_sum<boolean> : exact_sum<boolean> {
};

/* ---- chains --------------------------------------------------------------------------------- */

/* next[k] is the next position with the index of k, or `count`. If k is the first of its chain, the
 * value is stored as its complement, which is negative. A wrong index is in no chain. */
__global__ void __launch_bounds__(add_threads)
    chain(int32_t *next, index_list index, int64_t stride, int count, checker check)
{
    __shared__ int64_t tile[add_threads];
    const int lane = (int)threadIdx.x % chain_lanes;
    int k = (int)(blockIdx.x * (add_threads / chain_lanes) + threadIdx.x / chain_lanes);
    int64_t mine = k < count ? index.read(k * stride) : -1;
    bool first = k < count && check.accepts(mine, k);
    int found = count;
    for (int from = 0; from < count; from += add_threads) {
        int n = count - from < add_threads ? count - from : (int)add_threads;
        __syncthreads();
        if ((int)threadIdx.x < n) tile[threadIdx.x] = index.read((from + threadIdx.x) * stride);
        __syncthreads();
        for (int j = lane; j < n; j += chain_lanes) {
            if (tile[j] != mine) continue;
            if (from + j < k) first = false;
            if (from + j > k && from + j < found) found = from + j;
        }
    }
    for (int d = 1; d < chain_lanes; d *= 2) {
        int other = __shfl_xor_sync(0xffffffffu, found, d);
        if (other < found) found = other;
        first = __shfl_xor_sync(0xffffffffu, (int)first, d) && first;
    }
    if (k < count && lane == 0) next[k] = first ? ~found : found;
}

struct chain_plan {
    const int32_t *next;
    index_list index;
    int64_t index_stride, from_stride, to_stride; /* strides along dim */
    int count;
    walk<3> elements; /* of grad, of y without dim, and the position along dim */
};

/* W contiguous elements; the thread of a chain's first position adds the whole chain. */
template <class T, int W>
__global__ void __launch_bounds__(add_threads) add_chains(T *y, const T *g, chain_plan p)
{
    int64_t step = (int64_t)gridDim.x * add_threads;
    for (int64_t i = (int64_t)blockIdx.x * add_threads + threadIdx.x; i < p.elements.n; i += step) {
        int64_t at[3];
        p.elements.offsets(i, at);
        int next = p.next[at[2]];
        if (next >= 0) continue;
        const T *from = g + (at[0] - at[2] * p.from_stride) * W;
        pack<T, W> in = *reinterpret_cast<const pack<T, W> *>(from + at[2] * p.from_stride * W);
        long_sum<T> sum[W];
        for (int w = 0; w < W; w++) sum[w].add(widen(in.v[w]));
        for (next = ~next; next < p.count; next = p.next[next]) {
            in = *reinterpret_cast<const pack<T, W> *>(from + next * p.from_stride * W);
            for (int w = 0; w < W; w++) sum[w].add(widen(in.v[w]));
        }
        for (int w = 0; w < W; w++) in.v[w] = narrow<T>(sum[w].result());
        int64_t to = at[1] + p.index.read(at[2] * p.index_stride) * p.to_stride;
        *reinterpret_cast<pack<T, W> *>(y + to * W) = in;
    }
}

static const lucid_backend *table;

static bool fill_zero(const lucid_kernel_args *args, const lucid_view *y)
{
    lucid_scalar_attrs zero = {0};
    lucid_kernel_args fill = *args;
    fill.op = LUCID_OP_fill;
    fill.n_in = 0;
    fill.out = &y;
    fill.attrs = &zero;
    return table->kernels[LUCID_OP_fill][y->dtype].run(&fill);
}

static int64_t count_of(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return n;
}

template <class T>
static bool add_by_chains(const call &c, int dim, int64_t count, int64_t index_stride)
{
    enum { wide = sizeof(T) < 2 ? 1 : 16 / sizeof(T) };
    lucid_view g = *c.in(0), y = *c.out(0), place;
    if (count == 0 || count_of(&g) == 0) return true;
    if (count > INT32_MAX - add_threads) return c.unsupported("more than 2^31 indices");
    T *to = static_cast<T *>(y.data);
    const T *from = static_cast<const T *>(g.data);
    int64_t width = 1;
    if (wide > 1) { /* 16 bytes or one element */
        lucid_view wide_g = g, wide_y = y;
        width = widen_views(&wide_y, &wide_g, dim, sizeof(T), 16);
        if (width == wide) {
            g = wide_g;
            y = wide_y;
        }
    }
    lucid_view same = g; /* the sizes of y are those of grad, except along dim */
    place = g;
    for (int d = 0; d < g.ndim; d++) {
        same.strides[d] = d == dim ? 0 : y.strides[d];
        place.strides[d] = d == dim;
    }
    int32_t *next = c.workspace<int32_t>();
    chain_plan p = {next,
                    index_list(c.in(1)),
                    index_stride,
                    g.ndim ? g.strides[dim] : 0,
                    y.ndim ? y.strides[dim] : 0,
                    (int)count,
                    make_walk<3>({&g, &same, &place})};
    checker check(c, c.out(0)->ndim ? c.out(0)->dims[dim] : 1);
    if (!c.launch(chain, (unsigned)ceil_div(count, add_threads / chain_lanes), add_threads, 0, next,
                  p.index, index_stride, (int)count, check))
        return false;
    return c.launch(wide > 1 && width == wide ? add_chains<T, wide> : add_chains<T, 1>,
                    c.blocks_for(p.elements.n, add_threads), add_threads, 0, to, from, p);
}

template <class T> static bool index_add(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *index = c.in(1);
    if (!has_index_dtype(c, index) || !fill_zero(args, args->out[0])) return false;
    return add_by_chains<T>(c, c.attrs<lucid_dim_attrs>()->dim, count_of(index),
                            index->ndim ? index->strides[0] : 0);
}

/* ---- an index for every element ------------------------------------------------------------- */

struct scatter_plan {
    index_list index;
    walk<3> lines; /* the other dimensions, of grad, index and y */
    int64_t grad_stride, index_stride, y_stride, count, size;
    int group; /* threads that share one place */
    checker check;
};

/* The type of the sums that are stored in memory while they grow. */
template <class T> struct sums_in {
    typedef T type;
};
template <> struct sums_in<float> {
    typedef double type;
};
template <> struct sums_in<f16> {
    typedef float type;
};
template <> struct sums_in<bf16> {
    typedef float type;
};

/* A thread for each line. y, of T or of its wider type, is zero before. */
template <class T, class S>
__global__ void __launch_bounds__(add_threads) scatter_lines(S *y, const T *g, scatter_plan p)
{
    int64_t step = (int64_t)gridDim.x * add_threads;
    for (int64_t i = (int64_t)blockIdx.x * add_threads + threadIdx.x; i < p.lines.n; i += step) {
        int64_t at[3];
        p.lines.offsets(i, at);
        for (int64_t k = 0; k < p.count; k++) {
            int64_t place = at[1] + k * p.index_stride, j = p.index.read(place);
            if (!p.check.accepts(j, place)) continue;
            S *to = y + at[2] + j * p.y_stride;
            *to = narrow<S>(plus<S>(widen(*to), widen(g[at[0] + k * p.grad_stride])));
        }
    }
}

/* A group of threads for each place: it looks for its index in the whole line. */
template <class T>
__global__ void __launch_bounds__(add_threads) scatter_places(T *y, const T *g, scatter_plan p)
{
    __shared__ compute_t<T> sums[add_threads];
    int lane = threadIdx.x % p.group;
    int64_t place = (int64_t)blockIdx.x * (add_threads / p.group) + threadIdx.x / p.group;
    int64_t line = place / p.size, j = place % p.size, at[3];
    bool mine = line < p.lines.n;
    p.lines.offsets(mine ? line : 0, at);
    long_sum<T> sum;
    for (int64_t k = lane; k < (mine ? p.count : 0); k += p.group) {
        int64_t from = at[1] + k * p.index_stride, i = p.index.read(from);
        if (i == j) sum.add(widen(g[at[0] + k * p.grad_stride]));
        if (j == 0) p.check.accepts(i, from);
    }
    sums[threadIdx.x] = sum.result();
    for (int half = p.group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) sums[threadIdx.x] = plus<T>(sums[threadIdx.x], sums[threadIdx.x + half]);
    }
    if (lane == 0 && mine) y[at[2] + j * p.y_stride] = narrow<T>(sums[threadIdx.x]);
}

/* Where y is while it grows: y itself, or memory of the sums' type in the workspace, row-major. */
template <class S> static lucid_view sums_of(const lucid_view *y, S *workspace)
{
    lucid_view v = *y;
    if (y->dtype == (lucid_dtype)dtype_of<S>::value) return v;
    int64_t stride = 1;
    v.data = workspace;
    v.dtype = (lucid_dtype)dtype_of<S>::value;
    for (int d = y->ndim - 1; d >= 0; stride *= y->dims[d--]) v.strides[d] = stride;
    return v;
}

static bool round_sums(const lucid_kernel_args *args, const lucid_view *sums)
{
    lucid_kernel_args cast = *args;
    if (sums->dtype == args->out[0]->dtype) return true;
    cast.op = LUCID_OP_cast;
    cast.n_in = 1;
    cast.in = &sums;
    cast.attrs = NULL;
    return table->kernels[LUCID_OP_cast][sums->dtype].run(&cast);
}

/* For many places, in many lines. */
static bool sums_in_memory(const lucid_view *index, const lucid_view *y, int dim)
{
    int64_t lines = 1, size = y->ndim ? y->dims[dim] : 1;
    for (int d = 0; d < index->ndim; d++)
        if (d != dim) lines *= index->dims[d];
    return lines > 1 && size > 0 && lines >= ceil_div(few_places, size);
}

template <class T> static bool scatter_add(const lucid_kernel_args *args)
{
    typedef typename sums_in<T>::type S;
    call c(args);
    int dim = c.attrs<lucid_dim_attrs>()->dim;
    const lucid_view *index = c.in(1), *y_view = c.out(0);
    const bool in_memory = sums_in_memory(index, y_view, dim);
    const lucid_view grown = in_memory ? sums_of<S>(y_view, c.workspace<S>()) : *y_view;
    const lucid_view *views[3] = {c.in(0), index, &grown};
    if (!has_index_dtype(c, index) || !fill_zero(args, &grown)) return false;
    int64_t steps[3] = {0, 0, 0}, count = index->ndim ? index->dims[dim] : 1;
    lucid_view lines[3] = {};
    for (int k = 0; k < 3; k++) {
        for (int d = 0; d < index->ndim; d++) {
            if (d == dim) {
                steps[k] = views[k]->strides[d];
                continue;
            }
            lines[k].dims[lines[k].ndim] = index->dims[d];
            lines[k].strides[lines[k].ndim++] = views[k]->strides[d];
        }
    }
    scatter_plan p = {index_list(index),
                      make_walk<3>({&lines[0], &lines[1], &lines[2]}),
                      steps[0],
                      steps[1],
                      steps[2],
                      count,
                      c.out(0)->ndim ? c.out(0)->dims[dim] : 1,
                      1,
                      checker(c, c.out(0)->ndim ? c.out(0)->dims[dim] : 1)};
    if (p.lines.n == 0 || count == 0) return round_sums(args, &grown);
    T *y = static_cast<T *>(c.out(0)->data);
    const T *g = static_cast<const T *>(c.in(0)->data);
    int64_t places = p.lines.n * p.size;
    if (in_memory)
        return c.launch(scatter_lines<T, S>, c.blocks_for(p.lines.n, add_threads), add_threads, 0,
                        static_cast<S *>(grown.data), g, p) &&
               round_sums(args, &grown);
    if (places == 0) /* every index is wrong */
        return c.launch(scatter_lines<T, T>, c.blocks_for(p.lines.n, add_threads), add_threads, 0,
                        y, g, p);
    if (places >= few_places) return add_by_chains<T>(c, dim, count, steps[1]);
    while (p.group < add_threads && p.group * 16 < count && places * p.group < few_places)
        p.group *= 2;
    return c.launch(scatter_places<T>, (unsigned)ceil_div(places, add_threads / p.group),
                    add_threads, 0, y, g, p);
}

static bool plan_sums(const lucid_kernel_args *args, lucid_plan *plan)
{
    const lucid_view *index = args->in[1];
    int64_t n = count_of(index);
    if (args->op == LUCID_OP_scatter_add) { /* chains are for a single line of indices */
        int dim = static_cast<const lucid_dim_attrs *>(args->attrs)->dim;
        const lucid_view *y = args->out[0];
        if (sums_in_memory(index, y, dim)) {
            const size_t size = y->dtype == LUCID_F32 ? sizeof(double) : sizeof(float);
            plan->workspace = (size_t)count_of(y) * size;
            return true;
        }
        if (index->ndim && n != index->dims[dim]) return true;
    }
    plan->workspace = (size_t)n * sizeof(int32_t);
    return true;
}

void register_index_add(lucid_backend *b)
{
    table = b;
    LUC_ALL_DTYPES(b, index_add, index_add);
    LUC_ALL_DTYPES(b, scatter_add, scatter_add);
    set_plan(b, LUCID_OP_index_add, plan_sums);
    set_plan(b, LUCID_OP_scatter_add, plan_sums);
}

} // namespace luc

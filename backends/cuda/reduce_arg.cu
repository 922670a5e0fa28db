/* reduce_arg.cu: argmax and argmin: the first index, in logical order, of the extreme; a NaN is
 * more extreme than any number.
 *
 * Every thread scans the elements of its result that are `group` apart, in order. Then the threads
 * of a block join their findings. Neighbouring threads take neighbouring elements if those are
 * denser in memory, and neighbouring results otherwise. If there are few results, each is split
 * over several blocks. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum {
    arg_threads = 256,
    arg_blocks = 1024,
    arg_shortest = 16 /* elements of a thread, if a result is split */
};

/* The best so far. For argmin the order is reversed. Index -1: none yet. */
template <class V> struct best {
    V value;
    int64_t index;
};

__device__ inline float turned(float v)
{
    return -v;
}
__device__ inline double turned(double v)
{
    return -v;
}
__device__ inline int64_t turned(int64_t v)
{
    return ~v;
}

template <class V> __device__ inline bool beats(const best<V> &a, const best<V> &b)
{
    if (a.index < 0 || b.index < 0) return a.index >= 0;
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan || b_nan) return a_nan && (!b_nan || a.index < b.index);
    return a.value > b.value || (a.value == b.value && a.index < b.index);
}

struct arg_plan {
    const void *x;
    int64_t *y;
    void *partial; /* [splits][results] */
    walk<2> kept;
    /* The reduced dimensions in logical order, from the innermost. */
    int ndim;
    bool small;
    int64_t dims[LUCID_MAX_DIMS], strides[LUCID_MAX_DIMS];
    divider by[LUCID_MAX_DIMS];
    int64_t results, count, splits, part;
    int group;
    bool columns, smallest;
};

__device__ inline int64_t arg_offset(const arg_plan &p, int64_t i)
{
    if (p.ndim == 1) return i * p.strides[0];
    int64_t at = 0;
    for (int d = 0; d < p.ndim; d++) {
        int64_t q = p.small ? (int64_t)p.by[d].quotient((uint32_t)i) : i / p.dims[d];
        at += (i - q * p.dims[d]) * p.strides[d];
        i = q;
    }
    return at;
}

template <class V> __device__ best<V> join_block(best<V> b, const arg_plan &p, int lane)
{
    __shared__ V values[arg_threads];
    __shared__ int64_t indices[arg_threads];
    const int apart = p.columns ? arg_threads / p.group : 1;
    values[threadIdx.x] = b.value;
    indices[threadIdx.x] = b.index;
    for (int half = p.group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) {
            int other = threadIdx.x + half * apart;
            best<V> o = {values[other], indices[other]};
            if (beats(o, b)) {
                b = o;
                values[threadIdx.x] = b.value;
                indices[threadIdx.x] = b.index;
            }
        }
    }
    return b;
}

/* V: float, double or int64, in which T is compared. */
template <class T, class V> __global__ void __launch_bounds__(arg_threads) find(arg_plan p)
{
    int64_t split = 0, block = blockIdx.x;
    if (p.splits > 1) {
        split = block % p.splits;
        block /= p.splits;
    }
    const int results = arg_threads / p.group;
    int lane = p.columns ? threadIdx.x / results : threadIdx.x % p.group;
    int64_t result = p.columns ? threadIdx.x % results : threadIdx.x / p.group, at[2] = {0, 0};
    result += block * results;
    int64_t begin = split * p.part, end = begin + p.part;
    if (end > p.count) end = p.count;
    if (result < p.results)
        p.kept.offsets(result, at);
    else
        end = begin;
    const T *x = static_cast<const T *>(p.x) + at[0];
    best<V> b = {0, -1};
    for (int64_t i = begin + lane; i < end; i += p.group) {
        V v = (V)widen(x[arg_offset(p, i)]);
        if (p.smallest) v = turned(v);
        best<V> here = {v, i};
        if (beats(here, b)) b = here;
    }
    b = join_block(b, p, lane);
    if (lane != 0 || result >= p.results) return;
    if (p.splits > 1)
        static_cast<best<V> *>(p.partial)[split * p.results + result] = b;
    else
        p.y[at[1]] = b.index;
}

/* Joins the parts, one thread for each result: there are parts only if there are few results. */
template <class V> __global__ void __launch_bounds__(arg_threads) find_parts(arg_plan p)
{
    int64_t result = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, at[2];
    if (result >= p.results) return;
    const best<V> *partial = static_cast<const best<V> *>(p.partial);
    best<V> b = partial[result];
    for (int64_t s = 1; s < p.splits; s++) {
        best<V> o = partial[s * p.results + result];
        if (beats(o, b)) b = o;
    }
    p.kept.offsets(result, at);
    p.y[at[1]] = b.index;
}

static int64_t least_power(int64_t n, int64_t most)
{
    int64_t p = 1;
    while (p < n && p < most) p *= 2;
    return p;
}

/* Joins reduced dimensions that follow each other both in logical order and in memory. */
static void add_reduced(arg_plan *p, int64_t n, int64_t stride)
{
    int last = p->ndim - 1;
    if (n == 1) return;
    if (last >= 0 && stride == p->strides[last] * p->dims[last]) {
        p->dims[last] *= n;
        return;
    }
    p->dims[p->ndim] = n;
    p->strides[p->ndim++] = stride;
}

static arg_plan make_plan(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_reduce_attrs *attrs = static_cast<const lucid_reduce_attrs *>(args->attrs);
    lucid_view kept_x = {}, kept_y = {};
    arg_plan p = {};
    p.count = 1;
    for (int d = 0, at = 0; d < x->ndim; d++) {
        if (attrs->mask >> d & 1) {
            at += attrs->keepdim;
            continue;
        }
        kept_x.dims[kept_x.ndim] = kept_y.dims[kept_x.ndim] = x->dims[d];
        kept_y.strides[kept_x.ndim] = y->strides[at++];
        kept_x.strides[kept_x.ndim++] = x->strides[d];
    }
    kept_y.ndim = kept_x.ndim;
    for (int d = x->ndim - 1; d >= 0; d--) {
        if (!(attrs->mask >> d & 1)) continue;
        p.count *= x->dims[d];
        add_reduced(&p, x->dims[d], x->strides[d]);
    }
    p.x = x->data;
    p.y = static_cast<int64_t *>(y->data);
    p.kept = make_walk<2>({&kept_x, &kept_y});
    p.results = p.kept.n;
    p.small = p.count < (int64_t)1 << 31;
    for (int d = 0; d < p.ndim && p.small && p.count; d++) p.by[d] = divider((uint32_t)p.dims[d]);
    p.smallest = args->op == LUCID_OP_argmin;
    p.columns = p.kept.ndim && p.ndim && p.kept.strides[0][0] < p.strides[0];
    if (p.columns)
        p.group = (int)least_power(p.count, arg_threads / least_power(p.results, 32));
    else
        p.group = (int)least_power(ceil_div(p.count, 4), p.count < 4096 ? 32 : (int)arg_threads);
    int64_t blocks = ceil_div(p.results, arg_threads / p.group);
    int64_t splits = blocks ? arg_blocks / blocks : 1;
    int64_t most = p.count / (p.group * arg_shortest);
    if (splits > most) splits = most;
    if (splits < 1) splits = 1;
    p.part = ceil_div(p.count, splits);
    p.splits = p.part ? ceil_div(p.count, p.part) : 1;
    return p;
}

static bool plan_arg(const lucid_kernel_args *args, lucid_plan *plan)
{
    const arg_plan p = make_plan(args);
    if (p.splits > 1) plan->workspace = (size_t)(p.splits * p.results) * sizeof(best<double>);
    hand_on(plan, p);
    return true;
}

template <class T, class V> static bool run(const lucid_kernel_args *args)
{
    call c(args);
    arg_plan p = handed_on<arg_plan>(args);
    if (p.results == 0) return true;
    if (p.count == 0)
        return raise(LUCID_ERR_ARGUMENT, c.op,
                     "input: expected at least one element to reduce, got none");
    int64_t blocks = ceil_div(p.results, arg_threads / p.group) * p.splits;
    if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
    p.partial = p.splits > 1 ? c.workspace<char>() : nullptr;
    if (!c.launch(find<T, V>, (unsigned)blocks, arg_threads, 0, p)) return false;
    return p.splits == 1 ||
           c.launch(find_parts<V>, (unsigned)ceil_div(p.results, arg_threads), arg_threads, 0, p);
}

void register_reduce_arg(lucid_backend *b)
{
    static const lucid_op_id ops[] = {LUCID_OP_argmax, LUCID_OP_argmin};
    for (lucid_op_id op : ops) {
        b->kernels[op][LUCID_F32].run = run<float, float>;
        b->kernels[op][LUCID_F64].run = run<double, double>;
        b->kernels[op][LUCID_F16].run = run<f16, float>;
        b->kernels[op][LUCID_BF16].run = run<bf16, float>;
        b->kernels[op][LUCID_I64].run = run<int64_t, int64_t>;
        b->kernels[op][LUCID_I32].run = run<int32_t, int64_t>;
        b->kernels[op][LUCID_U8].run = run<uint8_t, int64_t>;
        b->kernels[op][LUCID_BOOL].run = run<uint8_t, int64_t>;
        set_plan(b, op, plan_arg);
    }
}

} // namespace luc

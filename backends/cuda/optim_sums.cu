/* optim_sums.cu: the sum of the squares of all elements of a list of tensors, in double. Every
 * block leaves a partial sum in the workspace, and one block adds these. Both orders are fixed, so
 * the bits are the same in every run and on every device. The kernels are bound by memory. */
#include "backends/cuda/optim_lists.h"
#include "lucid/core/attrs.h"

namespace luc
{

namespace
{

struct nothing {
};
struct squared {
    const void *x;
    int64_t n;
    uint32_t begin;
    bool aligned;
};
typedef tensor_list<squared, nothing> list_of;
static_assert(sizeof(list_of) <= 4096, "kernel arguments are limited");

/* The sum over the block's threads, in thread 0. */
__device__ double block_sum(double x)
{
    __shared__ double warps[list_threads / 32];
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(0xffffffffu, x, d);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < list_threads / 32; i++) sum += warps[i];
    return sum;
}

template <class T>
__global__ void __launch_bounds__(list_threads) square_list(list_of list, double *partial)
{
    enum { W = 16 / sizeof(T), U = list_packs };
    typedef pack<T, W> packed;
    const squared &e = list.entries[list.find(blockIdx.x)];
    const int64_t first = (int64_t)(blockIdx.x - e.begin) * list_part<T>::value;
    const int64_t left = e.n - first;
    const int n = left < list_part<T>::value ? (int)left : (int)list_part<T>::value;
    const T *x = static_cast<const T *>(e.x) + first;
    double sum = 0;
    if (e.aligned && n == list_part<T>::value) { /* all loads are in flight at once */
        packed in[U];
        LUC_UNROLL
        for (int u = 0; u < U; u++)
            in[u] = reinterpret_cast<const packed *>(x)[u * list_threads + (int)threadIdx.x];
        LUC_UNROLL
        for (int u = 0; u < U; u++)
            for (int j = 0; j < W; j++) {
                double v = (double)widen(in[u].v[j]);
                sum = __fma_rn(v, v, sum);
            }
    } else {
        for (int i = (int)threadIdx.x; i < n; i += list_threads) {
            double v = (double)widen(x[i]);
            sum = __fma_rn(v, v, sum);
        }
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* A tensor with gaps: the same parts, in the order of its memory. */
template <class T>
__global__ void __launch_bounds__(list_threads)
    square_strided(const T *x, walk<1> w, double *partial)
{
    const int64_t first = (int64_t)blockIdx.x * list_part<T>::value;
    const int64_t end = first + list_part<T>::value;
    double sum = 0;
    for (int64_t i = first + threadIdx.x; i < end && i < w.n; i += list_threads) {
        int64_t at[1];
        w.offsets(i, at);
        double v = (double)widen(x[at[0]]);
        sum = __fma_rn(v, v, sum);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(list_threads)
    add_partials(double *y, const double *partial, int64_t n)
{
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += list_threads) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *y = sum;
}

template <class T> int64_t blocks_of(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return ceil_div(n, list_part<T>::value);
}

int64_t blocks_of(const lucid_view *v)
{
    return v->dtype == LUCID_F64   ? blocks_of<double>(v)
           : v->dtype == LUCID_F32 ? blocks_of<float>(v)
                                   : blocks_of<f16>(v);
}

template <class T> bool sum_squares(const lucid_kernel_args *args)
{
    call c(args);
    if (!c.device) return false;
    const lucid_list_attrs *a = c.attrs<lucid_list_attrs>();
    double *partial = c.workspace<double>();
    list_of list = {};
    int64_t done = 0, blocks = 0; /* of the list */
    for (int64_t i = 0; i <= a->n; i++) {
        const bool full = list.n == list_of::most || blocks > (1 << 30);
        const bool gap = i < a->n && !make_walk<1>({&a->views[i]}).contiguous;
        if (blocks > 0 && (full || gap || i == a->n)) {
            if (!c.launch(square_list<T>, (unsigned)blocks, list_threads, 0, list, partial + done))
                return false;
            done += blocks;
            list.n = 0;
            blocks = 0;
        }
        if (i == a->n) break;
        const lucid_view *v = &a->views[i];
        walk<1> w = make_walk<1>({v});
        if (w.n == 0) continue;
        const int64_t parts = blocks_of<T>(v);
        if (gap) {
            if (!c.launch(square_strided<T>, (unsigned)parts, list_threads, 0,
                          static_cast<const T *>(v->data), w, partial + done))
                return false;
            done += parts;
            continue;
        }
        list.entries[list.n++] = {v->data, w.n, (uint32_t)blocks, is_aligned(v->data, 16)};
        blocks += parts;
    }
    return c.launch(add_partials, 1, list_threads, 0, static_cast<double *>(c.out(0)->data),
                    partial, done);
}

bool plan_sum_squares(const lucid_kernel_args *args, lucid_plan *plan)
{
    const lucid_list_attrs *a = static_cast<const lucid_list_attrs *>(args->attrs);
    int64_t blocks = 0;
    for (int64_t i = 0; i < a->n; i++) blocks += blocks_of(&a->views[i]);
    plan->workspace = (size_t)blocks * sizeof(double);
    return true;
}

} // namespace

void register_optim_sums(lucid_backend *b)
{
    LUC_FLOATS(b, sum_squares, sum_squares);
    set_plan(b, LUCID_OP_sum_squares, plan_sum_squares);
}

} // namespace luc

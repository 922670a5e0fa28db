/* where.cu: where(condition, a, b). It moves bits by the size of an element, whatever they mean. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/view.h"

namespace luc
{

namespace
{

enum { block_threads = 256, packs_at_once = 2 };

struct choice {
    const uint8_t *condition;
    const void *a, *b;
    bool single[3];
};

/* Operands that all have one layout without gaps, or are single values; bound by memory. */
template <class T>
__global__ void __launch_bounds__(block_threads) where_dense(T *y, choice in, int64_t n)
{
    enum { W = 16 / sizeof(T), U = packs_at_once };
    typedef pack<T, W> packed;
    typedef pack<uint8_t, W> flags;
    const T *a = static_cast<const T *>(in.a), *b = static_cast<const T *>(in.b);
    const int64_t packs = n / W, first = (int64_t)blockIdx.x * block_threads * U + threadIdx.x;
    words<sizeof(flags)> c[U];
    words<16> va[U], vb[U];
    flags one_c;
    packed one_a, one_b;
    const uint8_t single_c = in.single[0] ? *in.condition : 0;
    const T single_a = in.single[1] ? *a : T(0), single_b = in.single[2] ? *b : T(0);
    LUC_UNROLL
    for (int j = 0; j < W; j++) {
        one_c.v[j] = single_c;
        one_a.v[j] = single_a;
        one_b.v[j] = single_b;
    }
    LUC_UNROLL
    for (int u = 0; u < U; u++) {
        const int64_t i = first + u * block_threads;
        c[u] = as_words(one_c);
        va[u] = as_words(one_a);
        vb[u] = as_words(one_b);
        if (i >= packs) continue;
        if (!in.single[0]) c[u] = reinterpret_cast<const words<sizeof(flags)> *>(in.condition)[i];
        if (!in.single[1]) va[u] = reinterpret_cast<const words<16> *>(a)[i];
        if (!in.single[2]) vb[u] = reinterpret_cast<const words<16> *>(b)[i];
    }
    LUC_UNROLL
    for (int u = 0; u < U; u++) {
        const int64_t i = first + u * block_threads;
        if (i >= packs) continue;
        const flags each = as_pack<flags>(c[u]);
        const packed yes = as_pack<packed>(va[u]), no = as_pack<packed>(vb[u]);
        packed out;
        for (int j = 0; j < W; j++) out.v[j] = each.v[j] ? yes.v[j] : no.v[j];
        reinterpret_cast<packed *>(y)[i] = out;
    }
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x < n - packs * W) {
        const int64_t i = packs * W + threadIdx.x;
        y[i] =
            in.condition[in.single[0] ? 0 : i] ? a[in.single[1] ? 0 : i] : b[in.single[2] ? 0 : i];
    }
}

template <class T>
__global__ void __launch_bounds__(block_threads) where_strided(T *y, choice in, walk<4> w)
{
    const T *a = static_cast<const T *>(in.a), *b = static_cast<const T *>(in.b);
    const int64_t step = (int64_t)gridDim.x * block_threads;
    for (int64_t i = (int64_t)blockIdx.x * block_threads + threadIdx.x; i < w.n; i += step) {
        int64_t at[4];
        w.offsets(i, at);
        T yes = a[at[2]], no = b[at[3]];
        y[at[0]] = in.condition[at[1]] ? yes : no;
    }
}

template <class T> bool is_dense(const walk<4> &w, const T *y, choice *in)
{
    if (w.ndim > 1 || (w.ndim == 1 && w.strides[0][0] != 1)) return false;
    for (int k = 0; k < 3; k++) {
        int64_t stride = w.ndim ? w.strides[0][k + 1] : 1;
        if (stride != 0 && stride != 1) return false;
        in->single[k] = stride == 0;
    }
    return is_aligned(y, 16) && (in->single[0] || is_aligned(in->condition, 16 / sizeof(T))) &&
           (in->single[1] || is_aligned(in->a, 16)) && (in->single[2] || is_aligned(in->b, 16));
}

template <class T> bool where_kernel(const lucid_kernel_args *args)
{
    call c(args);
    walk<4> w = make_walk<4>({c.out(0), c.in(0), c.in(1), c.in(2)});
    if (w.n == 0) return true;
    if (!c.device) return false;
    T *y = static_cast<T *>(c.out(0)->data);
    choice in = {static_cast<const uint8_t *>(c.in(0)->data), c.in(1)->data, c.in(2)->data, {}};
    if (!is_dense(w, y, &in))
        return c.launch(where_strided<T>, c.blocks_for(w.n, block_threads), block_threads, 0, y, in,
                        w);
    int64_t packs = w.n / (16 / (int64_t)sizeof(T));
    int64_t blocks = ceil_div(packs, block_threads * packs_at_once);
    return c.launch(where_dense<T>, (unsigned)(blocks ? blocks : 1), block_threads, 0, y, in, w.n);
}

} // namespace

void register_where(lucid_backend *b)
{
    static const lucid_run_fn by_size[] = {nullptr,
                                           where_kernel<uint8_t>,
                                           where_kernel<uint16_t>,
                                           nullptr,
                                           where_kernel<uint32_t>,
                                           nullptr,
                                           nullptr,
                                           nullptr,
                                           where_kernel<uint64_t>};
    static const int sizes[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    for (int d = 0; d < LUCID_DTYPE_COUNT; d++)
        b->kernels[LUCID_OP_where][d].run = by_size[sizes[d]];
}

} // namespace luc

/* dropout.cu: dropout and its gradient. Element i in row-major order is dropped if number i of the
 * stream is below p 2^32, whatever the memory layout is, as in backends/cpu/random/dropout.c. The
 * kernel is bound by memory if the layout is row-major; Philox takes some twenty instructions for
 * each element. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/philox.h"
#include "backends/cuda/view.h"

#include <math.h>

namespace luc
{

namespace
{

enum { block_threads = 256 };

template <class T> struct dropping {
    const T *x;
    T *y;
    uint8_t *mask;
    stream_of_numbers numbers;
    compute_t<T> scale;
    uint32_t above; /* elements with numbers above it are kept, */
    bool all;       /* or all are kept */
    bool backward;  /* the mask is read, not written */

    __device__ __forceinline__ void one(T in, uint32_t bits, uint8_t *keep, T *out) const
    {
        if (!backward) *keep = bits > above || all;
        compute_t<T> v = widen(in) * scale;
        *out = narrow<T>(*keep ? v : 0);
    }
};

/* The elements of a pack: 16 bytes, but not less than a block of Philox. */
template <class T> struct pack_size {
    enum { value = sizeof(T) == 8 ? 4 : 16 / sizeof(T) };
};

/* The walk over x, y and the mask is in row-major order. */
template <class T>
__global__ void __launch_bounds__(block_threads)
    dropout_rows(dropping<T> d, walk<3> w, bool in_packs)
{
    enum { E = pack_size<T>::value };
    typedef pack<T, E> packed;
    typedef pack<uint8_t, E> flags;
    const int64_t i = (int64_t)blockIdx.x * block_threads + threadIdx.x;
    if (i * E >= w.n) return;
    const bool whole = in_packs && (i + 1) * E <= w.n;
    words<sizeof(packed)> raw = {};
    words<sizeof(flags)> raw_mask = {};
    if (whole) { /* the loads are in flight while the numbers are made */
        raw = reinterpret_cast<const words<sizeof(packed)> *>(d.x)[i];
        if (d.backward) raw_mask = reinterpret_cast<const words<sizeof(flags)> *>(d.mask)[i];
    }
    const uint64_t key = d.backward ? 0 : d.numbers.key();
    const uint64_t first = d.backward ? 0 : d.numbers.first() + (uint64_t)(i * (E / 4));
    if (whole) {
        const packed in = as_pack<packed>(raw);
        flags keep = as_pack<flags>(raw_mask);
        packed out;
        uint32_t bits[E] = {};
        LUC_UNROLL
        for (int k = 0; k < E && !d.backward; k += 4) philox(key, first + k / 4, bits + k);
        LUC_UNROLL
        for (int k = 0; k < E; k++) d.one(in.v[k], bits[k], &keep.v[k], &out.v[k]);
        reinterpret_cast<packed *>(d.y)[i] = out;
        if (!d.backward) reinterpret_cast<flags *>(d.mask)[i] = keep;
        return;
    }
    LUC_ROLL
    for (int k = 0; k < E; k += 4) {
        uint32_t bits[4] = {};
        if (!d.backward) philox(key, first + k / 4, bits);
        LUC_UNROLL
        for (int j = 0; j < 4; j++) {
            int64_t at[3];
            if (i * E + k + j >= w.n) return;
            w.offsets(i * E + k + j, at);
            d.one(d.x[at[0]], bits[j], &d.mask[at[2]], &d.y[at[1]]);
        }
    }
}

/* In channels_last memory, neighbours in rows are far apart, and neighbours along dimension 1 of
 * the walk (the channels) are adjacent. A thread takes four neighbours in a row, which share a
 * block of Philox. The threads of a warp take channels, so that memory is read and written in
 * runs. */
template <class T>
__global__ void __launch_bounds__(block_threads) dropout_crossed(dropping<T> d, walk<3> w)
{
    const int64_t step = (int64_t)gridDim.x * block_threads, fours = w.dims[0] / 4;
    const uint64_t key = d.backward ? 0 : d.numbers.key();
    const uint64_t offset = d.backward ? 0 : d.numbers.first();
    for (int64_t i = (int64_t)blockIdx.x * block_threads + threadIdx.x; i < w.n / 4; i += step) {
        int64_t channel = i % w.dims[1], rest = i / w.dims[1];
        int64_t outer = rest / fours,
                four = outer * w.dims[1] * fours + channel * fours + rest % fours;
        int64_t at[3];
        w.offsets(four * 4, at);
        uint32_t bits[4] = {};
        T in[4];
        LUC_UNROLL
        for (int k = 0; k < 4; k++) in[k] = d.x[at[0] + k * w.strides[0][0]];
        if (!d.backward) philox(key, offset + (uint64_t)four, bits);
        LUC_UNROLL
        for (int k = 0; k < 4; k++)
            d.one(in[k], bits[k], &d.mask[at[2] + k * w.strides[0][2]],
                  &d.y[at[1] + k * w.strides[0][1]]);
    }
}

bool is_crossed(const walk<3> &w)
{
    if (w.ndim < 2 || w.dims[0] % 4 != 0 || w.dims[1] < 8) return false;
    for (int k = 0; k < 3; k++)
        if (w.strides[1][k] != 1) return false;
    return true;
}

template <class T>
bool run(const call &c, const lucid_view *y, const lucid_view *mask, bool backward)
{
    enum { E = pack_size<T>::value };
    const lucid_view *x = c.in(0);
    const lucid_random_attrs *a = c.attrs<lucid_random_attrs>();
    const uint64_t threshold = (uint64_t)llround(a->a * 0x1p32);
    walk<3> w = make_walk<3>({x, y, mask}, true);
    dropping<T> d = {static_cast<const T *>(x->data),
                     static_cast<T *>(y->data),
                     static_cast<uint8_t *>(mask->data),
                     stream_of_numbers(a),
                     (compute_t<T>)(a->a < 1 ? 1 / (1 - a->a) : 0),
                     threshold ? (uint32_t)(threshold - 1) : 0,
                     threshold == 0,
                     backward};
    if (is_crossed(w))
        return c.launch(dropout_crossed<T>, c.blocks_for(w.n / 4, block_threads), block_threads, 0,
                        d, w);
    bool in_packs = w.contiguous && is_aligned(d.x, sizeof(pack<T, E>)) &&
                    is_aligned(d.y, sizeof(pack<T, E>)) && is_aligned(d.mask, E);
    return c.launch(dropout_rows<T>, (unsigned)ceil_div(w.n, (int64_t)E * block_threads),
                    block_threads, 0, d, w, in_packs);
}

template <class T> bool dropout_forward(const lucid_kernel_args *args)
{
    call c(args);
    return run<T>(c, c.out(0), c.out(1), false);
}

template <class T> bool dropout_backward(const lucid_kernel_args *args)
{
    call c(args);
    return run<T>(c, c.out(0), c.in(1), true);
}

} // namespace

void register_dropout(lucid_backend *b)
{
    LUC_FLOATS(b, dropout, dropout_forward);
    LUC_FLOATS(b, dropout_backward, dropout_backward);
}

} // namespace luc

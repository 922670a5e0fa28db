/* view.h: several views of the same sizes are walked together. Dimensions are joined where that is
 * possible.
 *
 * The host makes a `walk<K>`, and device code asks it for the K offsets of element i. Sizes below
 * 2^31 are divided by multiplication (Granlund and Montgomery, Division by invariant integers using
 * multiplication, PLDI 1994). */
#ifndef LUC_CUDA_VIEW_H
#define LUC_CUDA_VIEW_H

#include "backends/cuda/platform.h"
#include "lucid/core/backend.h"

#include <string.h>

namespace luc
{

/* Divides 0 <= n < 2^31 by a divisor that the host knows. */
struct divider {
    uint32_t d, multiplier, shift;
    __host__ __device__ divider() : d(1), multiplier(0), shift(0)
    {
    }
    __host__ __device__ explicit divider(uint32_t divisor) : d(divisor)
    {
        for (shift = 0; shift < 32 && (1ull << shift) < divisor; shift++) {}
        multiplier = (uint32_t)(((1ull << 32) * ((1ull << shift) - divisor)) / divisor + 1);
    }
    __device__ uint32_t quotient(uint32_t n) const
    {
        return (uint32_t)(((uint64_t)__umulhi(n, multiplier) + n) >> shift);
    }
};

template <int K> struct walk {
    int ndim; /* after joining; dimension 0 is the innermost */
    int64_t n;
    bool small;      /* n < 2^31, so 32-bit arithmetic is enough */
    bool contiguous; /* in every view, element i lies at offset i */
    int64_t dims[LUCID_MAX_DIMS];
    int64_t strides[LUCID_MAX_DIMS][K];
    divider by[LUCID_MAX_DIMS];

    __device__ void offsets(int64_t i, int64_t at[K]) const
    {
        for (int k = 0; k < K; k++) at[k] = 0;
        if (small) {
            uint32_t left = (uint32_t)i;
            LUC_UNROLL /* unrolled, so that sizes and strides are operands and no loads */
                for (int d = 0; d < LUCID_MAX_DIMS; d++)
            {
                if (d == ndim) break;
                uint32_t q = by[d].quotient(left), r = left - q * by[d].d;
                left = q;
                for (int k = 0; k < K; k++) at[k] += r * strides[d][k];
            }
        } else {
            int64_t left = i;
            LUC_ROLL
            for (int d = 0; d < ndim; d++) {
                int64_t q = left / dims[d], r = left - q * dims[d];
                left = q;
                for (int k = 0; k < K; k++) at[k] += r * strides[d][k];
            }
        }
    }
};

/* The walk over K views of the same sizes. Dimensions are sorted by the strides of the first view,
 * so that its memory is written front to back. If element i must be the i-th one in row-major order
 * (in_rows), they keep their order. They are joined where all views allow it. */
template <int K> walk<K> make_walk(const lucid_view *const (&views)[K], bool in_rows = false)
{
    walk<K> w;
    const lucid_view *v = views[0];
    int order[LUCID_MAX_DIMS], n = 0;
    w.n = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        w.n *= v->dims[d];
        if (v->dims[d] != 1) order[n++] = d; /* from the innermost */
    }
    for (int i = 1; i < n && !in_rows; i++) /* sorted by the first view's strides, stably */
        for (int j = i; j > 0 && v->strides[order[j]] < v->strides[order[j - 1]]; j--) {
            int swapped = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swapped;
        }
    w.ndim = 0;
    for (int i = 0; i < n; i++) {
        int d = order[i];
        bool joins = w.ndim > 0;
        for (int k = 0; k < K && joins; k++)
            joins = views[k]->strides[d] == w.strides[w.ndim - 1][k] * w.dims[w.ndim - 1];
        if (joins) {
            w.dims[w.ndim - 1] *= v->dims[d];
            continue;
        }
        w.dims[w.ndim] = v->dims[d];
        for (int k = 0; k < K; k++) w.strides[w.ndim][k] = views[k]->strides[d];
        w.ndim++;
    }
    w.small = w.n < ((int64_t)1 << 31) && w.n > 0;
    w.contiguous = w.ndim <= 1;
    for (int k = 0; k < K && w.ndim == 1; k++) w.contiguous = w.contiguous && w.strides[0][k] == 1;
    for (int d = 0; d < w.ndim && w.small && w.n > 0; d++) w.by[d] = divider((uint32_t)w.dims[d]);
    return w;
}

/* A run of W elements, moved as one. */
template <class T, int W> struct alignas(sizeof(T) * W) pack {
    T v[W];
};
/* The same as words. A kernel that loads several packs before it uses one keeps them in this form,
 * because the compiler takes a pack of small types apart where it is loaded, and waits there. */
template <int Bytes> struct alignas(Bytes) words {
    uint32_t v[Bytes / 4];
};
template <> struct words<2> {
    uint16_t v;
};
template <class P> __device__ __forceinline__ P as_pack(const words<sizeof(P)> &w)
{
    P p;
    memcpy(&p, &w, sizeof p);
    return p;
}
template <class P> __device__ __forceinline__ words<sizeof(P)> as_words(const P &p)
{
    words<sizeof(P)> w;
    memcpy(&w, &p, sizeof p);
    return w;
}
inline bool is_aligned(const void *p, size_t bytes)
{
    return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

} // namespace luc

#endif

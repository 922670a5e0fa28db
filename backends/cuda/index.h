/* index.h: what kernels with indices share. */
#ifndef LUC_CUDA_INDEX_H
#define LUC_CUDA_INDEX_H

#include "backends/cuda/fault.h"
#include "backends/cuda/view.h"

namespace luc
{

inline size_t size_of(lucid_dtype dtype)
{
    static const size_t sizes[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    return sizes[dtype];
}

/* int64 or int32 indices. */
struct index_list {
    const void *data;
    bool narrow;
    explicit index_list(const lucid_view *v) : data(v->data), narrow(v->dtype == LUCID_I32)
    {
    }
    __device__ int64_t read(int64_t at) const
    {
        return narrow ? static_cast<const int32_t *>(data)[at]
                      : static_cast<const int64_t *>(data)[at];
    }
};

inline bool has_index_dtype(const call &c, const lucid_view *index)
{
    if (index->dtype == LUCID_I64 || index->dtype == LUCID_I32) return true;
    return raise(LUCID_ERR_ARGUMENT, c.op, "index: expected int64 or int32, got dtype %d",
                 (int)index->dtype);
}

/* How many elements can be moved as one, up to `most` bytes, along the dimension in which both
 * views are dense (but not along `except`). The views become views of such packs. */
inline int64_t widen_views(lucid_view *y, lucid_view *x, int except, size_t size, size_t most)
{
    int along = -1;
    for (int d = 0; d < y->ndim && along < 0; d++)
        if (d != except && y->dims[d] > 1 && y->strides[d] == 1 && x->strides[d] == 1) along = d;
    int64_t width = along < 0 ? 1 : (int64_t)(most / size);
    for (; width > 1; width /= 2) {
        size_t bytes = (size_t)width * size;
        bool fits =
            y->dims[along] % width == 0 && is_aligned(y->data, bytes) && is_aligned(x->data, bytes);
        for (int d = 0; d < y->ndim && fits; d++)
            fits = d == along || (y->strides[d] % width == 0 && x->strides[d] % width == 0);
        if (fits) break;
    }
    if (width == 1) return 1;
    y->dims[along] /= width;
    x->dims[along] /= width;
    for (int d = 0; d < y->ndim; d++) {
        if (d == along) continue;
        y->strides[d] /= width;
        x->strides[d] /= width;
    }
    return width;
}

} // namespace luc

#endif

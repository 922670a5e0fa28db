/* index.h: what the kernels that take indices share. */
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

/* How many elements can be moved as one, as far as dimensions behind `dim` are rows that both views
 * have contiguous: the views become those of such packs. */
inline int64_t widen_views(lucid_view *y, lucid_view *x, int dim, size_t size)
{
    int last = y->ndim - 1;
    int64_t width = (int64_t)(16 / size);
    for (; width > 1; width /= 2) {
        size_t bytes = (size_t)width * size;
        bool fits = last > dim && y->dims[last] % width == 0 && y->strides[last] == 1 &&
                    x->strides[last] == 1 && is_aligned(y->data, bytes) &&
                    is_aligned(x->data, bytes);
        for (int d = 0; d < last && fits; d++)
            fits = y->strides[d] % width == 0 && x->strides[d] % width == 0;
        if (fits) break;
    }
    if (width == 1) return 1;
    y->dims[last] /= width;
    x->dims[last] /= width;
    for (int d = 0; d < last; d++) {
        y->strides[d] /= width;
        x->strides[d] /= width;
    }
    return width;
}

} // namespace luc

#endif

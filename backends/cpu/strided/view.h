/* view.h: what kernels ask of a view: how many elements, how they lie, and single elements. */
#ifndef LUC_STRIDED_VIEW_H
#define LUC_STRIDED_VIEW_H

#include "backends/cpu/simd/simd.h"
#include "lucid/core/backend.h"

static inline int64_t luc_view_numel(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return n;
}

/* True when the elements lie in row-major order without gaps. */
static inline bool luc_view_is_contiguous(const lucid_view *v)
{
    int64_t expected = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        if (v->dims[d] == 0) return true;
        if (v->dims[d] != 1 && v->strides[d] != expected) return false;
        expected *= v->dims[d];
    }
    return true;
}

/* True for [N,C,H,W] (or [N,C,spatial...]) that lies in memory as [N,spatial...,C] without gaps. */
static inline bool luc_view_is_channels_last(const lucid_view *v)
{
    if (v->ndim < 3) return false;
    if (v->dims[1] != 1 && v->strides[1] != 1) return false;
    int64_t expected = v->dims[1];
    for (int d = v->ndim - 1; d >= 0; d--) {
        if (d == 1) continue;
        if (v->dims[d] != 1 && v->strides[d] != expected) return false;
        expected *= v->dims[d];
    }
    return true;
}

/* The bytes of an element, like lucid_dtype_size but without the call. */
static inline size_t luc_elem_size(lucid_dtype dtype)
{
    static const unsigned char size[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    return size[dtype];
}

/* Element `offset` (in elements from data) of a floating view. */
static inline double luc_view_get(const lucid_view *v, int64_t offset)
{
    switch (v->dtype) {
    case LUCID_F32:
        return (double)((const float *)v->data)[offset];
    case LUCID_F64:
        return ((const double *)v->data)[offset];
    case LUCID_F16:
        return (double)luc_f16_to_f32(((const uint16_t *)v->data)[offset]);
    default:
        return (double)luc_bf16_to_f32(((const uint16_t *)v->data)[offset]);
    }
}

static inline void luc_view_put(const lucid_view *v, int64_t offset, double x)
{
    switch (v->dtype) {
    case LUCID_F32:
        ((float *)v->data)[offset] = (float)x;
        break;
    case LUCID_F64:
        ((double *)v->data)[offset] = x;
        break;
    case LUCID_F16:
        ((uint16_t *)v->data)[offset] = luc_f32_to_f16((float)x);
        break;
    default:
        ((uint16_t *)v->data)[offset] = luc_f32_to_bf16((float)x);
        break;
    }
}

#endif

/* view_priv.h: walking and reading views; kernels for any strides share it. */
#ifndef LUC_VIEW_PRIV_H
#define LUC_VIEW_PRIV_H

#include <string.h>

#include "backends/cpu/simd/simd.h"
#include "lucid/backend.h"

LUC_INLINE int64_t luc_view_numel(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return n;
}

/* True when the elements lie in row-major order without gaps. */
LUC_INLINE bool luc_view_is_contiguous(const lucid_view *v)
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
LUC_INLINE bool luc_view_is_channels_last(const lucid_view *v)
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

/* Bytes of a dtype, without a call. */
LUC_INLINE size_t luc_elem_size(lucid_dtype dtype)
{
    static const uint8_t size[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    return size[dtype];
}

/* Element `offset` (in elements from data) of a floating view. */
LUC_INLINE double luc_view_get(const lucid_view *v, int64_t offset)
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

LUC_INLINE void luc_view_put(const lucid_view *v, int64_t offset, double x)
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

enum { LUC_MAX_OPERANDS = 5 };

/* The dimensions that several views share, as few as can describe them all. Neighbours that lie one
 * after the other in every view are one dimension, and dimensions of size 1 are left out. dims[ndim
 * - 1] is the innermost one; there is always at least one. */
typedef struct luc_loop {
    int ndim, operands;
    int64_t dims[LUCID_MAX_DIMS];
    int64_t strides[LUC_MAX_OPERANDS][LUCID_MAX_DIMS];
} luc_loop;

/* An empty loop over `operands` views; luc_loop_add appends a dimension inside the others, with
 * strides in the order of the operands. */
LUC_INLINE luc_loop luc_loop_begin(int operands)
{
    return (luc_loop){.operands = operands};
}

LUC_INLINE void luc_loop_add(luc_loop *l, int64_t dim, const int64_t *strides)
{
    if (dim == 1) return;
    if (l->ndim > 0) {
        int last = l->ndim - 1, k = 0;
        while (k < l->operands && l->strides[k][last] == strides[k] * dim) k++;
        if (k == l->operands) {
            l->dims[last] *= dim;
            for (k = 0; k < l->operands; k++) l->strides[k][last] = strides[k];
            return;
        }
    }
    l->dims[l->ndim] = dim;
    for (int k = 0; k < l->operands; k++) l->strides[k][l->ndim] = strides[k];
    l->ndim++;
}

LUC_INLINE void luc_loop_end(luc_loop *l)
{
    if (l->ndim > 0) return;
    l->ndim = 1;
    l->dims[0] = 1;
    for (int k = 0; k < l->operands; k++) l->strides[k][0] = 1;
}

/* The number of innermost runs. */
LUC_INLINE int64_t luc_loop_runs(const luc_loop *l)
{
    int64_t n = 1;
    for (int d = 0; d < l->ndim - 1; d++) n *= l->dims[d];
    return n;
}

/* Where run `run` begins in each operand. */
LUC_INLINE void luc_loop_offsets(const luc_loop *l, int64_t run, int64_t *offsets)
{
    for (int k = 0; k < l->operands; k++) offsets[k] = 0;
    for (int d = l->ndim - 2; d >= 0; d--) {
        int64_t i = run % l->dims[d];
        run /= l->dims[d];
        for (int k = 0; k < l->operands; k++) offsets[k] += i * l->strides[k][d];
    }
}

/* From this number of bytes on, an output is written around the cache: by then it would have left
 * the cache before it is read. */
enum { LUC_STREAM_BYTES = 16 << 20 };

#endif

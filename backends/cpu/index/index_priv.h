/* index_priv.h: what the kernels with indices share: index.c and index_add.c. */
#ifndef LUC_INDEX_PRIV_H
#define LUC_INDEX_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"

enum {
    LUC_INDEX_GRAIN = 1 << 14, /* elements of a block */
    LUC_ROWS_AHEAD = 6         /* how many rows ahead a row is prefetched */
};

/* The number of elements of the dimensions [from, to). */
static inline int64_t luc_index_product(const lucid_view *v, int from, int to)
{
    int64_t n = 1;
    for (int d = from; d < to; d++) n *= v->dims[d];
    return n;
}

/* The bytes from the beginning of v to position `i` of the dimensions [from, to). */
static inline int64_t luc_index_offset(const lucid_view *v, int from, int to, int64_t i)
{
    int64_t offset = 0;
    for (int d = to - 1; d >= from; d--) {
        offset += i % v->dims[d] * v->strides[d];
        i /= v->dims[d];
    }
    return offset * (int64_t)luc_elem_size(v->dtype);
}

static inline int64_t luc_index_stride(const lucid_view *v, int dim)
{
    return v->ndim ? v->strides[dim] * (int64_t)luc_elem_size(v->dtype) : 0;
}

static inline int64_t luc_index_read(const lucid_view *v, int64_t offset)
{
    const char *p = (const char *)v->data + offset;
    return v->dtype == LUCID_I32 ? *(const int32_t *)(const void *)p
                                 : *(const int64_t *)(const void *)p;
}

/* Prefetches a row, because the hardware cannot guess which one is next. */
static inline void luc_index_fetch(const char *row, int64_t bytes)
{
    enum { LINE = 64, MOST = 16 * LINE };
    for (int64_t i = 0; i < bytes && i < MOST; i += LINE) __builtin_prefetch(row + i);
}

/* True if all indices are in [0, size) and of an integer dtype; otherwise raises an error. */
bool luc_index_check(const char *op, const lucid_view *index, int64_t size);
/* Whether the dimensions after `dim` are one contiguous row. */
bool luc_index_inner_dense(const lucid_view *v, int dim);

void luc_cpu_register_index_add(lucid_backend *b);

#endif

/* index_priv.h: what the kernels that go by an index share: index.c, index_add.c. */
#ifndef LUC_INDEX_PRIV_H
#define LUC_INDEX_PRIV_H

#include "backends/cpu/cpu_priv.h"
#include "backends/cpu/iterate.h"

enum {
    LUC_INDEX_GRAIN = 1 << 14, /* elements a block */
    LUC_ROWS_AHEAD = 6         /* rows that are asked for before they are needed */
};

/* The number of elements of the dimensions [from, to). */
static inline int64_t luc_index_product(const lucid_view *v, int from, int to)
{
    int64_t n = 1;
    for (int d = from; d < to; d++) n *= v->dims[d];
    return n;
}

/* Bytes from v's begin to position `i` of the dimensions [from, to). */
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

/* Asks for a row that the hardware cannot guess. */
static inline void luc_index_fetch(const char *row, int64_t bytes)
{
    enum { LINE = 64, MOST = 16 * LINE };
    for (int64_t i = 0; i < bytes && i < MOST; i += LINE) __builtin_prefetch(row + i);
}

/* All indices are within [0, size) and of an integer dtype; raises where not. */
bool luc_index_check(const char *op, const lucid_view *index, int64_t size);
/* Are the dimensions after `dim` one contiguous row? */
bool luc_index_inner_dense(const lucid_view *v, int dim);

void luc_cpu_register_index_add(lucid_backend *b);

#endif

/*
 * iterate.h: walks several views of one shape in few, long loops.
 *
 * Dimensions of size 1 are dropped. The others are sorted so that the output is walked in the order
 * of its memory, and joined where every operand allows it. So dense memory in any order (NCHW,
 * NHWC, transposed) becomes one flat loop.
 */
#ifndef LUC_ITERATE_H
#define LUC_ITERATE_H

#include "lucid/backend.h"

enum { LUC_ITER_OPERANDS = 4 };

typedef struct luc_iter {
    int n_ops;
    int ndim;                                           /* 0: a single element */
    int64_t numel;                                      /* 0: nothing to do */
    int64_t dims[LUCID_MAX_DIMS];                       /* outermost first */
    int64_t strides[LUC_ITER_OPERANDS][LUCID_MAX_DIMS]; /* bytes; operand 0 is the output */
    char *data[LUC_ITER_OPERANDS];
} luc_iter;

/* Operand 0 is `out`; the others are the inputs, which have out's sizes (strides may be 0). */
void luc_iter_init(luc_iter *it, const lucid_view *out, const lucid_view *const *in, int n_in);

/* True if a view's elements lie row by row without gaps. */
static inline bool luc_view_contiguous(const lucid_view *v)
{
    int64_t expected = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        if (v->dims[d] != 1 && v->strides[d] != expected) return false;
        expected *= v->dims[d];
    }
    return true;
}

static inline int64_t luc_view_numel(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return n;
}

/* The bytes of an element, like lucid_dtype_size but without the call. */
static inline size_t luc_elem_size(lucid_dtype t)
{
    static const unsigned char size[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    return size[t];
}

#endif

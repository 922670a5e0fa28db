/*
 * loop.h: several views of one shape as few, long loops.
 *
 * A loop has the dimensions that its operands share, each with a stride for every operand (in
 * elements or in bytes, as the caller likes). Dimensions of size 1 are left out, and neighbours
 * that lie one after the other in every operand are joined. So dense memory becomes one flat loop.
 * Strides may be 0 (an expanded operand).
 *
 * A loop is made in one of three ways:
 *     luc_loop_of_views: all dimensions of some views, in the order of memory;
 *     luc_loop_begin, luc_loop_add ..., luc_loop_end: the caller's dimensions in his order;
 *     luc_loop_begin, luc_loop_push ..., luc_loop_sort_by, luc_loop_join: sorted by one operand.
 */
#ifndef LUC_STRIDED_LOOP_H
#define LUC_STRIDED_LOOP_H

#include "backends/cpu/strided/view.h"

enum { LUC_MAX_OPERANDS = 5 };

typedef struct luc_loop {
    int ndim, operands;           /* ndim 0: a single element */
    int64_t dims[LUCID_MAX_DIMS]; /* outermost first */
    int64_t strides[LUC_MAX_OPERANDS][LUCID_MAX_DIMS];
    /* luc_loop_of_views sets these as well: */
    int64_t numel; /* 0: nothing to do */
    char *data[LUC_MAX_OPERANDS];
} luc_loop;

/* The dimensions of `out` (operand 0) and of n_in inputs, which have out's sizes. Strides are in
 * bytes. Sorted so that the output is walked in the order of its memory; where that does not
 * decide, the first input, and so on. */
void luc_loop_of_views(luc_loop *l, const lucid_view *out, const lucid_view *const *in, int n_in);

/* A loop without dimensions. */
static inline luc_loop luc_loop_begin(int operands)
{
    return (luc_loop){.operands = operands};
}

/* Appends a dimension, the innermost so far, with the operands' strides. */
static inline void luc_loop_push(luc_loop *l, int64_t dim, const int64_t *strides)
{
    l->dims[l->ndim] = dim;
    for (int k = 0; k < l->operands; k++) l->strides[k][l->ndim] = strides[k];
    l->ndim++;
}

/* The same, but a dimension of size 1 is left out, and one that continues the last one is joined to
 * it. */
static inline void luc_loop_add(luc_loop *l, int64_t dim, const int64_t *strides)
{
    if (dim == 1) return;
    const int last = l->ndim - 1;
    int k = 0;
    while (last >= 0 && k < l->operands && l->strides[k][last] == strides[k] * dim) k++;
    if (last < 0 || k < l->operands) {
        luc_loop_push(l, dim, strides);
        return;
    }
    l->dims[last] *= dim;
    for (k = 0; k < l->operands; k++) l->strides[k][last] = strides[k];
}

/* A loop without dimensions gets one of size 1, so that there is always an innermost one. */
static inline void luc_loop_end(luc_loop *l)
{
    static const int64_t ones[LUC_MAX_OPERANDS] = {1, 1, 1, 1, 1};
    if (l->ndim == 0) luc_loop_push(l, 1, ones);
}

/* Joins neighbours that lie one after the other in every operand. */
void luc_loop_join(luc_loop *l);

/* Sorts the dimensions by the strides of one operand, the largest first; equal ones stay in order.
 * */
void luc_loop_sort_by(luc_loop *l, int operand);

/* The number of innermost runs. */
static inline int64_t luc_loop_runs(const luc_loop *l)
{
    int64_t n = 1;
    for (int d = 0; d < l->ndim - 1; d++) n *= l->dims[d];
    return n;
}

/* Moves each operand's offset to element `index`, counted in row-major order, of the outermost
 * `ndim` dimensions. */
static inline void luc_loop_move(const luc_loop *l, int ndim, int64_t index, int64_t *offsets)
{
    for (int d = ndim - 1; d >= 0; d--) {
        const int64_t i = index % l->dims[d];
        index /= l->dims[d];
        for (int k = 0; k < l->operands; k++) offsets[k] += i * l->strides[k][d];
    }
}

/* Where run `run` begins in each operand. */
static inline void luc_loop_offsets(const luc_loop *l, int64_t run, int64_t *offsets)
{
    for (int k = 0; k < l->operands; k++) offsets[k] = 0;
    luc_loop_move(l, l->ndim - 1, run, offsets);
}

#endif

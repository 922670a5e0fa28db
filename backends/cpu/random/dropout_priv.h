/* dropout_priv.h: dropout: the kernels of a CPU level, on runs of neighbouring elements. */
#ifndef LUC_DROPOUT_PRIV_H
#define LUC_DROPOUT_PRIV_H

#include "backends/cpu/levels_priv.h"

typedef struct luc_dropout_table {
    /* mask = bits >= threshold; y = mask ? x * scale : 0. threshold up to 2^32. */
    void (*forward[4])(void *y, uint8_t *mask, const void *x, const uint32_t *bits, int64_t n,
                       uint64_t threshold, double scale);
    /* dx = mask ? g * scale : 0 */
    void (*backward[4])(void *dx, const uint8_t *mask, const void *g, int64_t n, double scale);
} luc_dropout_table;
LUC_DECLARE_TABLES(luc_dropout_table, luc_dropout)

#endif

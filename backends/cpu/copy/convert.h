/* convert.h: converts rows of one element type to another. The results are the same at every
 * level. */
#ifndef LUC_CONVERT_H
#define LUC_CONVERT_H

#include "backends/cpu/levels_priv.h"

/* y[i] = (type)x[i] for contiguous rows. Floats are cut towards zero when they become integers, as
 * in PyTorch. A number that does not fit becomes the smallest integer of the type (for u8: the
 * lower 8 bits of the int64). A bool is x != 0. */
typedef void (*luc_convert_fn)(void *y, const void *x, int64_t n);

typedef struct luc_convert_table {
    luc_convert_fn fn[LUCID_DTYPE_COUNT][LUCID_DTYPE_COUNT]; /* [from][to] */
} luc_convert_table;
LUC_DECLARE_TABLES(luc_convert_table, luc_convert)

#endif

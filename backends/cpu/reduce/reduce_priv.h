/* reduce_priv.h: the inner loops of reductions, which dispatch.c drives. */
#ifndef LUC_REDUCE_PRIV_H
#define LUC_REDUCE_PRIV_H

#include "backends/cpu/levels_priv.h"

/* What is gathered: the sum, the sum of squared distances from a centre, the extremes. */
typedef enum { LUC_SUM, LUC_SQUARES, LUC_MAX, LUC_MIN, LUC_REDUCE_KINDS } luc_reduce_kind;
/* Types that have loops of their own: bool is u8, the 16-bit types are widened to float. */
typedef enum { LUC_R_F32, LUC_R_F64, LUC_R_I64, LUC_R_I32, LUC_R_U8, LUC_R_TYPES } luc_reduce_type;

/* What has been gathered so far: d for floating types, i for integers. A NaN extreme stays. */
typedef union {
    double d;
    int64_t i;
} luc_acc;

/* acc gathers x[0..n). centre: of SQUARES. */
typedef void (*luc_reduce_row_fn)(luc_acc *acc, const void *x, int64_t n, double centre);
/* acc[c] gathers x[r * ld + c] for r < rows and c < n, in the order of r. centre[c]: of SQUARES. */
typedef void (*luc_reduce_cols_fn)(luc_acc *acc, const void *x, int64_t ld, int64_t rows, int64_t n,
                                   const double *centre);

/* acc[r] is the sum of x[r * ld + i], i < n, for r < rows: the same as a row's loop gives, for many
 * rows. */
typedef void (*luc_sum_rows_fn)(luc_acc *acc, const void *x, int64_t ld, int64_t rows, int64_t n);

typedef struct luc_reduce_table {
    luc_sum_rows_fn sum_rows[LUC_R_TYPES]; /* NULL except for floats */
    luc_reduce_row_fn row[LUC_REDUCE_KINDS][LUC_R_TYPES];
    luc_reduce_cols_fn cols[LUC_REDUCE_KINDS][LUC_R_TYPES];
} luc_reduce_table;
LUC_DECLARE_TABLES(luc_reduce_table, luc_reduce)

#endif

/*
 * elementwise_priv.h: the loops of elementwise operations over contiguous runs.
 *
 * The driver (dispatch.c) converts every operand to the type that is computed in, and to a
 * contiguous run or a single value. The loops know nothing of strides or of 16-bit types.
 */
#ifndef LUC_ELEMENTWISE_H
#define LUC_ELEMENTWISE_H

#include "backends/cpu/copy/convert.h"

/* What a loop gets besides its operands. */
typedef struct luc_ew_call {
    unsigned single; /* bit i: input i is one value for the whole run */
    bool half;       /* the result is rounded to 16 bits (gelu) */
    bool stream;     /* store around the cache (a hint); the caller ends with the fence */
    double p0, p1;   /* the operator's attributes */
    luc_convert_fn convert;
} luc_ew_call;

/* y[i] = op(in[0][i], in[1][i], in[2][i]), i < n. y may be any of the inputs. */
typedef void (*luc_ew_fn)(const luc_ew_call *c, int64_t n, void *y, const void *const *in);

typedef struct luc_ew_table {
    luc_ew_fn fn[LUCID_OP_COUNT];
} luc_ew_table;

LUC_DECLARE_TABLES(luc_ew_table, luc_ew_f32)
LUC_DECLARE_TABLES(luc_ew_table, luc_ew_f64)
LUC_DECLARE_TABLES(luc_ew_table, luc_ew_i64)
LUC_DECLARE_TABLES(luc_ew_table, luc_ew_i32)
LUC_DECLARE_TABLES(luc_ew_table, luc_ew_u8)
LUC_DECLARE_TABLES(luc_ew_table, luc_ew_bool)

/* where(condition, a, b) moves bits by the size of an element: 1, 2, 4 or 8 bytes (index: its
 * log2). */
typedef struct luc_ew_where_table {
    luc_ew_fn fn[4];
} luc_ew_where_table;
LUC_DECLARE_TABLES(luc_ew_where_table, luc_ew_where)

/* Copies bytes around the cache (streaming stores where the level has them). dst is aligned to 4
 * bytes. The caller ends with the fence. */
typedef struct luc_stream_table {
    void (*copy)(void *dst, const void *src, size_t bytes);
    void (*fence)(void);
    /* y[i] = *value for i < n, n >= 0, and up to 63 bytes more; size: 1, 2, 4 or 8 bytes */
    void (*repeat)(void *y, const void *value, int64_t n, size_t size);
} luc_stream_table;
LUC_DECLARE_TABLES(luc_stream_table, luc_stream)

#endif

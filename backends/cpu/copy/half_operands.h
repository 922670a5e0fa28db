/* half_operands.h: operands in float16 and bfloat16, which are computed in float and rounded
 * once. */
#ifndef LUC_HALVES_H
#define LUC_HALVES_H

#include "backends/cpu/levels_priv.h"

/* The number of bytes by which luc_take_wide advances *at. */
size_t luc_wide_bytes(int64_t n);

/* Takes memory for n floats at *at, and advances *at. If half is not NULL, the floats get the
 * values of its n numbers. */
float *luc_take_wide(char **at, int64_t n, const void *half, lucid_dtype type);

/* Rounds n floats to the type. */
void luc_narrow(const float *wide, void *half, int64_t n, lucid_dtype type);

/* The same for rows of n numbers, `stride` apart in both; what lies between the rows stays as it
 * is. */
void luc_narrow_rows(const float *wide, void *half, int64_t rows, int64_t n, int64_t stride,
                     lucid_dtype type);

#endif

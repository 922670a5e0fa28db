/* halves.h: operands in float16 and bfloat16, computed in float and rounded once. */
#ifndef LUC_HALVES_H
#define LUC_HALVES_H

#include "backends/cpu/cpu_priv.h"

/* The bytes that luc_take_wide moves *at by. */
size_t luc_wide_bytes(int64_t n);

/* Room for n floats at *at, which moves behind them; they become half's n numbers of the type,
 * unless half is NULL. */
float *luc_take_wide(char **at, int64_t n, const void *half, lucid_dtype type);

/* Rounds n floats to the type. */
void luc_narrow(const float *wide, void *half, int64_t n, lucid_dtype type);

/* The same for rows of n, stride apart in both; what lies between them stays as it is. */
void luc_narrow_rows(const float *wide, void *half, int64_t rows, int64_t n, int64_t stride,
                     lucid_dtype type);

#endif

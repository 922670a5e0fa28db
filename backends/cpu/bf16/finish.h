/* finish.h: sums of a block to bfloat16, with what follows them. Before it is included,
 * LUC_ROUND_BF16(p, x) and LUC_ROUND_BF16_N(p, x, n) say how a vector of sums is rounded and
 * stored. */
#ifndef LUC_BF16_FINISH_H
#define LUC_BF16_FINISH_H

#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/simd/simd.h"

/* One vector of columns, n of them, of all rows. */
LUC_INLINE void luc_finish_columns(const luc_bf16_then *then, const float *c, int64_t m, int64_t j,
                                   int64_t n, const bool all, uint16_t *to, int64_t to_row,
                                   const uint16_t *residual)
{
    const vf none = vf_set1(-0.0F); /* x * 1 + -0 is x, whatever it is */
    const vf scale = then->scale ? vf_load_n(then->scale + j, n) : vf_set1(1);
    const vf shift = then->shift ? vf_load_n(then->shift + j, n) : none;
    for (int64_t i = 0; i < m; i++, c += LUC_BF16_BLOCK, to += to_row) {
        vf sum = vf_add(vf_mul(all ? vf_load(c) : vf_load_n(c, n), scale), shift);
        if (then->row_shift) sum = vf_add(sum, vf_set1(then->row_shift[i]));
        if (residual) {
            sum = vf_add(sum, all ? vf_load_bf16(residual) : vf_load_bf16_n(residual, n));
            residual += to_row;
        }
        if (then->relu) sum = vf_max(vf_zero(), sum); /* a NaN stays: it is the second */
        if (all)
            LUC_ROUND_BF16(to, sum);
        else
            LUC_ROUND_BF16_N(to, sum, n);
    }
}

static void luc_finish_block(const luc_bf16_then *then, const float *c, int64_t m, int64_t n,
                             uint16_t *to, int64_t to_row, const uint16_t *residual)
{
    for (int64_t j = 0; j < n; j += LUC_VF) {
        const uint16_t *with = residual ? residual + j : NULL;
        if (n - j >= LUC_VF)
            luc_finish_columns(then, c + j, m, j, LUC_VF, true, to + j, to_row, with);
        else
            luc_finish_columns(then, c + j, m, j, n - j, false, to + j, to_row, with);
    }
}

#endif

/* philox_priv.h: Philox4x32-10 in bulk. All levels give the same numbers, to the last bit. */
#ifndef LUC_RANDOM_KERNEL_PRIV_H
#define LUC_RANDOM_KERNEL_PRIV_H

#include "backends/cpu/levels_priv.h"

typedef struct luc_random_table {
    /* out[4 i + lane] = lane of block `block + i`, i < blocks (see lucid_philox) */
    void (*bits)(uint32_t *out, uint64_t seed, uint64_t block, int64_t blocks);
    /* Numbers 2 i and 2 i + 1 of the standard normal distribution from the pair of 32-bit numbers
     * in the same places (Box and Muller): r cos t and r sin t, with r = sqrt(-2 log u), u in
     * (0, 1] from the upper 31 bits of the first, rounded to float, t in [0, 2 pi) from the 32 bits
     * of the second. y = mean + std * that. pairs: how many. */
    void (*normal)(float *y, const uint32_t *bits, int64_t pairs, float mean, float std);
    /* y = a + (b - a) u, u in [0, 1) from the upper 24 bits; never above `last`. */
    void (*uniform)(float *y, const uint32_t *bits, int64_t n, float a, float b, float last);
} luc_random_table;
LUC_DECLARE_TABLES(luc_random_table, luc_random)

#endif

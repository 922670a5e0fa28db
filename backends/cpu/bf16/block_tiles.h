/* block_tiles.h: a block of sums by tiles; for the level AMX, and for generic, which emulates
 * them. */
#ifndef LUC_BLOCK_TILES_H
#define LUC_BLOCK_TILES_H

#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/bf16/tiles.h"

/* Bytes between two rows of c, and of a panel's tile; numbers in a tile. */
enum { C_ROW = 4 * LUC_BF16_BLOCK, B_ROW = 64, B_TILE = LUC_BF16_PACKED / 2, C_TILE = 16 };

/* Two tiles of rows and `columns` (1 or 2) of columns: four tiles of sums are in registers. */
LUC_INLINE void luc_block_tall(const luc_bf16_block *k, const int columns)
{
    LUC_TILES;
    const int64_t row = k->a_row * (int64_t)sizeof *k->a;
    const uint16_t *b = k->b;
    LUC_TILE_ZERO(0);
    LUC_TILE_ZERO(1);
    LUC_TILE_ZERO(2);
    LUC_TILE_ZERO(3);
    for (int64_t i = 0; i < k->runs; i++) {
        const uint16_t *a = k->a + k->a_run[i], *a1 = a + k->a_half;
        for (int64_t s = 0; s < k->steps; s++) {
            LUC_TILE_LOAD(6, b, B_ROW);
            LUC_TILE_LOAD(4, a, row);
            LUC_TILE_DOT(0, 4, 6);
            LUC_TILE_LOAD(5, a1, row);
            LUC_TILE_DOT(2, 5, 6);
            if (columns > 1) {
                LUC_TILE_LOAD(7, b + B_TILE, B_ROW);
                LUC_TILE_DOT(1, 4, 7);
                LUC_TILE_DOT(3, 5, 7);
            }
            a += k->a_step, a1 += k->a_step, b += LUC_BF16_PACKED;
        }
    }
    float *low = k->c + LUC_BF16_TILE * LUC_BF16_BLOCK;
    LUC_TILE_STORE(0, k->c, C_ROW);
    LUC_TILE_STORE(2, low, C_ROW);
    if (columns == 1) return;
    LUC_TILE_STORE(1, k->c + C_TILE, C_ROW);
    LUC_TILE_STORE(3, low + C_TILE, C_ROW);
}

/* One tile of rows. */
LUC_INLINE void luc_block_flat(const luc_bf16_block *k, const int columns)
{
    LUC_TILES;
    const int64_t row = k->a_row * (int64_t)sizeof *k->a;
    const uint16_t *b = k->b;
    LUC_TILE_ZERO(0);
    LUC_TILE_ZERO(1);
    for (int64_t i = 0; i < k->runs; i++) {
        const uint16_t *a = k->a + k->a_run[i];
        for (int64_t s = 0; s < k->steps; s++) {
            LUC_TILE_LOAD(6, b, B_ROW);
            LUC_TILE_LOAD(4, a, row);
            LUC_TILE_DOT(0, 4, 6);
            if (columns > 1) {
                LUC_TILE_LOAD(7, b + B_TILE, B_ROW);
                LUC_TILE_DOT(1, 4, 7);
            }
            a += k->a_step, b += LUC_BF16_PACKED;
        }
    }
    LUC_TILE_STORE(0, k->c, C_ROW);
    if (columns > 1) LUC_TILE_STORE(1, k->c + C_TILE, C_ROW);
}

static inline void luc_block_with_tiles(const luc_bf16_block *k)
{
    const bool tall = k->m > LUC_BF16_TILE, wide = k->n > LUC_BF16_TILE;
    if (tall && wide)
        luc_block_tall(k, 2);
    else if (tall)
        luc_block_tall(k, 1);
    else if (wide)
        luc_block_flat(k, 2);
    else
        luc_block_flat(k, 1);
}

#endif

/*
 * tiles.h: the tiles of AMX, which are 8 registers of 16 rows by 64 bytes, and their plain-C
 * emulation of the same names.
 *
 *     LUC_TILES;                      first, in a function that uses them
 *     LUC_TILE_ZERO(t)
 *     LUC_TILE_LOAD(t, p, stride)     16 rows from memory, `stride` bytes apart
 *     LUC_TILE_STORE(t, p, stride)
 *     LUC_TILE_DOT(c, a, b)           c[i][j] += sum over k of a[i][2k] b[k][2j] +
 *                                     a[i][2k + 1] b[k][2j + 1] (TDPBF16PS)
 *
 * t, c, a and b are constants from 0 to 7. luc_tiles_begin gives a thread its tiles, luc_tiles_end
 * takes them away: afterwards the system saves nothing of them when it switches threads.
 */
#ifndef LUC_TILES_H
#define LUC_TILES_H

#include "backends/cpu/simd/simd.h"

#if defined(LUC_LEVEL_AMX)
#include <immintrin.h>

#define LUC_TILES                    ((void)0)
#define LUC_TILE_ZERO(t)             _tile_zero(t)
#define LUC_TILE_LOAD(t, p, stride)  _tile_loadd(t, p, stride)
#define LUC_TILE_STORE(t, p, stride) _tile_stored(t, p, stride)
#define LUC_TILE_DOT(c, a, b)        _tile_dpbf16ps(c, a, b)

static inline void luc_tiles_begin(void)
{
    /* The layout is the processor's (palette 1). */
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    _Static_assert(sizeof all == 64, "what the instruction reads");
    _tile_loadconfig(&all);
}

static inline void luc_tiles_end(void)
{
    _tile_release();
}

#else

typedef union {
    float sums[16][16];
    uint16_t numbers[16][32];
} luc_tile;

#define LUC_TILES                    luc_tile luc_tile_registers[8]
#define LUC_TILE_ZERO(t)             memset(&luc_tile_registers[t], 0, sizeof(luc_tile))
#define LUC_TILE_LOAD(t, p, stride)  luc_tile_load(&luc_tile_registers[t], p, stride)
#define LUC_TILE_STORE(t, p, stride) luc_tile_store(&luc_tile_registers[t], p, stride)
#define LUC_TILE_DOT(c, a, b) \
    luc_tile_dot(&luc_tile_registers[c], &luc_tile_registers[a], &luc_tile_registers[b])

static inline void luc_tile_load(luc_tile *t, const void *from, int64_t stride)
{
    for (int i = 0; i < 16; i++) memcpy(t->numbers[i], (const char *)from + i * stride, 64);
}

static inline void luc_tile_store(const luc_tile *t, void *to, int64_t stride)
{
    for (int i = 0; i < 16; i++) memcpy((char *)to + i * stride, t->sums[i], 64);
}

/* x, or a zero of its sign if x is subnormal. */
static inline float luc_tile_flush(float x)
{
    return fabsf(x) < 0x1p-126F ? copysignf(0, x) : x;
}

static inline float luc_tile_number(uint16_t half)
{
    return luc_tile_flush(luc_bf16_to_f32(half));
}

/* The processor sums even and odd numbers apart. A product of two of them is exact in float, unless
 * it leaves float's range: here it overflows even where the sum with it would not. */
static inline void luc_tile_dot(luc_tile *c, const luc_tile *a, const luc_tile *b)
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            float sum[2] = {0, 0};
            for (int k = 0; k < 32; k++) {
                const float x = luc_tile_number(a->numbers[i][k]);
                const float y = luc_tile_number(b->numbers[k / 2][2 * j + k % 2]);
                sum[k % 2] = luc_tile_flush(sum[k % 2] + luc_tile_flush(x * y));
            }
            const float both = luc_tile_flush(sum[0] + sum[1]);
            c->sums[i][j] = luc_tile_flush(luc_tile_flush(c->sums[i][j]) + both);
        }
}

#endif

#endif

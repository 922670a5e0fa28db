/*
 * tile_priv.h: the register tile, the innermost part of every matrix product and convolution.
 *
 * A tile computes, for rows r < m and columns j < n,
 *
 *     acc[r][j] = sum over segments s, steps k < depth of
 *                 A(r)[seg[s].a + k * a_step] * B[seg[s].b + k * b_step + j]
 *
 * and stores it. A(r) is a0 + r * a_row for r < half and a1 + (r - half) * a_row above, so one
 * tile may cover the ends of two image rows; C is divided alike. B's rows are read as whole
 * vectors: `cols` elements must be readable even if n is smaller (packed panels are padded with
 * zeros). A matrix product has one segment; a convolution has one per kernel row or tap. Strides
 * and offsets count elements. Sums run over segments, then k, one fused multiply-add each (the
 * reference level multiplies, then adds).
 */
#ifndef LUC_TILE_PRIV_H
#define LUC_TILE_PRIV_H

#include <stdint.h>

#include "backends/cpu/levels_priv.h"

typedef struct {
    int64_t a, b;
} luc_segment;

/* What a tile does to C, besides plain storing. */
enum {
    LUC_TILE_ADD = 1,        /* C += acc, before all that follows */
    LUC_TILE_SCALE = 2,      /* C = alpha * acc + beta * C (beta 0: C is not read); excludes ADD */
    LUC_TILE_BIAS_COL = 4,   /* + bias[j] */
    LUC_TILE_BIAS_ROW = 8,   /* + bias[r] */
    LUC_TILE_RELU = 16,      /* max(C, 0), the last of all; a NaN stays */
    LUC_TILE_SCALE_COL = 32, /* * scale[j], before the bias */
    LUC_TILE_RESIDUAL = 64,  /* + r0, r1, after the bias; they have the strides of C */
    LUC_TILE_STREAM = 128, /* store around the cache where C is aligned for it; the caller ends with
                              the fence */
};

/* clang-format off */
#define LUC_DEFINE_TILE(T, name)                                                                   \
    typedef struct {                                                                               \
        const T *a0, *a1, *b;                                                                      \
        T *c0, *c1;                                                                                \
        int64_t a_row, a_step, b_step, c_row;                                                      \
        int64_t depth, segments;                                                                   \
        const luc_segment *segment;                                                                \
        int m, n, flags;                                                                           \
        T alpha, beta;                                                                             \
        const T *bias, *scale, *r0, *r1;                                                           \
    } name;                                                                                        \
    typedef void (*name##_fn)(const name *tile);                                                   \
    /* rows, cols: the largest tile; half: rows that belong to a0; lanes: of one vector.           \
       Tiles of n <= lanes columns read B `lanes` wide, others `cols` wide. */                     \
    typedef struct {                                                                               \
        int rows, half, cols, lanes;                                                               \
        name##_fn run;                                                                             \
    } name##_table;

LUC_DEFINE_TILE(float, luc_tile_f32)
LUC_DEFINE_TILE(double, luc_tile_f64)
/* clang-format on */

LUC_DECLARE_TABLES(luc_tile_f32_table, luc_tile_f32)
LUC_DECLARE_TABLES(luc_tile_f64_table, luc_tile_f64)

#endif

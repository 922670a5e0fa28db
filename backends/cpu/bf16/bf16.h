/*
 * bf16.h: products of bfloat16 matrices in the 16-bit instructions of a CPU.
 *
 * All of them go through one function, `block`: 32 rows by 32 columns of sums in float, in steps
 * of 32 numbers along the dimension that is summed. The level AMX computes a block with its tiles,
 * AVX512_BF16 with vdpbf16ps, and generic with the tiles in plain C (tiles.h), for the tests alone.
 *
 * Both instructions read a subnormal number as zero, make zero of a subnormal sum, and round to
 * nearest whatever the thread's rounding mode is. They add in different orders, so that results
 * differ between the two levels by float's rounding.
 *
 * Formats, of which a step has 1024 numbers:
 *   rows     the left operand: [step][row][32]. It may also lie in a matrix as it is.
 *   columns  the right operand, by panels of 32 columns: [panel][step][16 columns][pair][column][2]
 * Numbers beyond the last row, column or step are 0.
 */
#ifndef LUC_BF16_H
#define LUC_BF16_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"

enum {
    LUC_BF16_BLOCK = 32,   /* rows, columns and steps */
    LUC_BF16_TILE = 16,    /* rows and columns of a tile */
    LUC_BF16_PACKED = 1024 /* numbers in a step of a panel of columns */
};

/* One block of sums. */
typedef struct {
    /* The 32 numbers of row r and step s: a + r * a_row + s * a_step. The second 16 rows may lie
       elsewhere: a_half from the first. Steps come in runs, of which number i is a_run[i] on. */
    const uint16_t *a;
    int64_t a_row, a_step, a_half;
    const int64_t *a_run;
    const uint16_t *b;   /* the panel of columns: all steps, one after the other */
    int64_t runs, steps; /* steps of one run; 0 of either: the sums are 0 */
    int64_t m, n;        /* 1 to 32; rows of a up to the next multiple of 16 are read */
    float *c;            /* [32][32], of which m rows and n columns have a meaning */
} luc_bf16_block;

/* What is done to sums before they are rounded: c * scale + shift + row_shift + residual, ReLU. */
typedef struct {
    const float *scale, *shift; /* of the columns; NULL: 1 and 0 */
    const float *row_shift;     /* of the rows; NULL: 0 */
    bool relu;                  /* a NaN stays */
} luc_bf16_then;

typedef struct {
    /* Whether blocks are faster than float's products. */
    bool (*pays)(void);
    /* Whether the operating system lets this process use the instructions. */
    bool (*is_permitted)(void);
    /* A thread calls these around its blocks: it holds the tiles in between. */
    void (*begin)(void), (*end)(void);
    void (*block)(const luc_bf16_block *block);
    /* Rounds m rows of n <= 32 sums; the residual has the same rows as `to`, or is NULL. */
    void (*finish)(const luc_bf16_then *then, const float *c, int64_t m, int64_t n, uint16_t *to,
                   int64_t to_row, const uint16_t *residual);
    /* The operand by rows: m rows of `numbers` each, from where they lie (NULL: zeros), `step`
       numbers between two steps. */
    void (*rows)(uint16_t *to, int64_t step, const uint16_t *const *row, int64_t m,
                 int64_t numbers);
    /* A step of m <= 32 rows of it, from 32 lines along the rows: line k has their numbers k. */
    void (*rows_across)(uint16_t *to, const uint16_t *const *line, int64_t m);
    /* A step of a panel, from 32 lines along the columns: line k has the numbers k of n <= 32
       columns (NULL: zeros). */
    void (*columns)(uint16_t *to, const uint16_t *const *line, int64_t n);
    /* The same from the 32 columns as they lie, of which k <= 32 numbers are read (NULL: zeros). */
    void (*columns_across)(uint16_t *to, const uint16_t *const *column, int64_t k);
} luc_bf16_table;
LUC_DECLARE_TABLES(luc_bf16_table, luc_bf16)

/* The table of the level in use, or of a level below where the system permits no tiles. */
const luc_bf16_table *luc_bf16_kernels(void);

/* Whether the level in use computes products of bfloat16 faster than those of float. */
bool luc_bf16_pays(void);

/* A block whose steps are one run, and whose rows lie at equal distances. */
static inline luc_bf16_block luc_bf16_plain_block(int64_t a_row, int64_t a_step, int64_t steps)
{
    static const int64_t none = 0;
    return (luc_bf16_block){.a_row = a_row,
                            .a_step = a_step,
                            .a_half = LUC_BF16_TILE * a_row,
                            .a_run = &none,
                            .runs = 1,
                            .steps = steps};
}

static inline int64_t luc_bf16_blocks(int64_t n)
{
    return luc_ceil_div(n, LUC_BF16_BLOCK);
}

/* Whether luc_bf16_gemm can compute the product (alpha 1, beta 0, sizes that fit). */
bool luc_bf16_gemm_fits(const luc_gemm_params *p);
size_t luc_bf16_gemm_workspace(const luc_gemm_params *p);
/* luc_gemm of bfloat16 at any level. */
void luc_bf16_gemm(const luc_gemm_params *p, const uint16_t *a, const uint16_t *b, uint16_t *c,
                   const uint16_t *bias, void *workspace);

#endif

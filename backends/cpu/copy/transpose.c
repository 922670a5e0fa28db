/* transpose.c: transposes batches of dense matrices, which also converts NCHW to NHWC and back. */
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"

#include <string.h>

/* A block of this number of rows and columns is taken at a time: both sides of it fit into the
 * L1. */
enum { BLOCK = 64 };

typedef struct {
    char *dst;
    const char *src;
    int64_t rows, cols, row_blocks, col_blocks;
    size_t bytes;
    const luc_gemm_table *kernels;
} transposition;

#define DEFINE_BLOCK(T, name)                                                             \
    static void name(T *dst, int64_t ld_dst, const T *src, int64_t ld_src, int64_t rows,  \
                     int64_t cols)                                                        \
    {                                                                                     \
        for (int64_t c = 0; c < cols; c++)                                                \
            for (int64_t r = 0; r < rows; r++) dst[c * ld_dst + r] = src[r * ld_src + c]; \
    }
DEFINE_BLOCK(uint8_t, block_8)
DEFINE_BLOCK(uint16_t, block_16)
DEFINE_BLOCK(uint64_t, block_64)

static void run_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    const transposition *t = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t blocks = t->row_blocks * t->col_blocks, batch = i / blocks;
        const int64_t r = i % blocks / t->col_blocks * BLOCK, c = i % t->col_blocks * BLOCK;
        const int64_t rows = t->rows - r < BLOCK ? t->rows - r : BLOCK;
        const int64_t cols = t->cols - c < BLOCK ? t->cols - c : BLOCK;
        const size_t base = (size_t)(batch * t->rows * t->cols);
        char *dst = t->dst + (base + (size_t)(c * t->rows + r)) * t->bytes;
        const char *src = t->src + (base + (size_t)(r * t->cols + c)) * t->bytes;
        switch (t->bytes) {
        case 1:
            block_8((uint8_t *)dst, t->rows, (const uint8_t *)src, t->cols, rows, cols);
            break;
        case 2:
            block_16((uint16_t *)(void *)dst, t->rows, (const uint16_t *)(const void *)src, t->cols,
                     rows, cols);
            break;
        case 4:
            t->kernels->transpose_32((float *)(void *)dst, t->rows,
                                     (const float *)(const void *)src, t->cols, rows, cols);
            break;
        default:
            block_64((uint64_t *)(void *)dst, t->rows, (const uint64_t *)(const void *)src, t->cols,
                     rows, cols);
        }
    }
}

void luc_transpose(void *dst, const void *src, int64_t batch, int64_t rows, int64_t cols,
                   size_t element_bytes)
{
    if (batch <= 0 || rows <= 0 || cols <= 0) return;
    if (rows == 1 || cols == 1) { /* the same order */
        memcpy(dst, src, (size_t)(batch * rows * cols) * element_bytes);
        return;
    }
    transposition t = {
        .dst = dst,
        .src = src,
        .rows = rows,
        .cols = cols,
        .row_blocks = luc_ceil_div(rows, BLOCK),
        .col_blocks = luc_ceil_div(cols, BLOCK),
        .bytes = element_bytes,
        .kernels = luc_gemm_get(),
    };
    luc_parallel_for(batch * t.row_blocks * t.col_blocks, 8, run_block, &t);
}

/*
 * copy.c: copies one view into another of the same type and sizes, with any strides on both sides.
 *
 * When dimensions have been joined (strided/loop.h), there are three kinds of work: runs that
 * are contiguous on both sides (memcpy), matrices that are contiguous along one dimension of the
 * input and along another one of the output (transposed in blocks), and the rest, element by
 * element.
 */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"

#include <string.h>

enum { BLOCK = 64, GRAIN_BYTES = 1 << 17 };

typedef struct {
    luc_loop loop;
    size_t size; /* of an element */
    bool stream;
    const luc_stream_table *streaming;
    /* for transposing: dims[cross] is contiguous in the input, dims[last] in the output */
    int cross;
    int64_t row_blocks, col_blocks;
    const luc_gemm_table *kernels;
} job;

/* The addresses at position `index` of all dimensions before `ndim`, except `skip`. */
static void locate(const luc_loop *l, int ndim, int skip, int64_t index, char **y, char **x)
{
    *y = l->data[0];
    *x = l->data[1];
    for (int d = ndim - 1; d >= 0; d--) {
        if (d == skip) continue;
        int64_t i = index % l->dims[d];
        index /= l->dims[d];
        *y += i * l->strides[0][d];
        *x += i * l->strides[1][d];
    }
}

/* -- contiguous runs -- */
static void copy_run(const job *j, char *y, const char *x, size_t bytes)
{
    if (j->stream)
        j->streaming->copy(y, x, bytes);
    else
        memcpy(y, x, bytes);
}

static void copy_runs(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int last = j->loop.ndim - 1;
    const int64_t row = j->loop.dims[last], size = (int64_t)j->size;
    (void)thread;
    for (int64_t at = begin; at < end;) {
        int64_t from = at % row, n = row - from < end - at ? row - from : end - at;
        char *y, *x;
        locate(&j->loop, last, -1, at / row, &y, &x);
        copy_run(j, y + from * size, x + from * size, (size_t)(n * size));
        at += n;
    }
    if (j->stream) j->streaming->fence();
}

/* -- transposed -- */
#define DEFINE_BLOCK(bits)                                                            \
    static void block##bits(uint##bits##_t *y, int64_t y_ld, const uint##bits##_t *x, \
                            int64_t x_ld, int64_t rows, int64_t cols)                 \
    {                                                                                 \
        for (int64_t c = 0; c < cols; c++)                                            \
            for (int64_t r = 0; r < rows; r++) y[c * y_ld + r] = x[r * x_ld + c];     \
    }
DEFINE_BLOCK(8)
DEFINE_BLOCK(16)
DEFINE_BLOCK(64)

static void transpose_block(const job *j, void *y, const void *x, int64_t rows, int64_t cols)
{
    const int64_t size = (int64_t)j->size;
    const int64_t y_ld = j->loop.strides[0][j->cross] / size;
    const int64_t x_ld = j->loop.strides[1][j->loop.ndim - 1] / size;
    switch (size) {
    case 1:
        block8(y, y_ld, x, x_ld, rows, cols);
        return;
    case 2:
        block16(y, y_ld, x, x_ld, rows, cols);
        return;
    case 4:
        j->kernels->transpose_32(y, y_ld, x, x_ld, rows, cols);
        return;
    default:
        block64(y, y_ld, x, x_ld, rows, cols);
        return;
    }
}

static void transpose_blocks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const luc_loop *l = &j->loop;
    const int last = l->ndim - 1;
    const int64_t size = (int64_t)j->size, per_matrix = j->row_blocks * j->col_blocks;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        char *y, *x;
        locate(l, last, j->cross, i / per_matrix, &y, &x);
        int64_t r = i % per_matrix / j->col_blocks * BLOCK, c = i % j->col_blocks * BLOCK;
        int64_t rows = l->dims[last] - r < BLOCK ? l->dims[last] - r : BLOCK;
        int64_t cols = l->dims[j->cross] - c < BLOCK ? l->dims[j->cross] - c : BLOCK;
        y += c * l->strides[0][j->cross] + r * size;
        x += r * l->strides[1][last] + c * size;
        transpose_block(j, y, x, rows, cols);
    }
}

/* The dimension along which the input is contiguous, if that is worth a transposition; else -1. */
static int find_cross(const luc_loop *l, int64_t size)
{
    const int last = l->ndim - 1;
    if (l->strides[0][last] != size || l->strides[1][last] % size != 0) return -1;
    for (int d = 0; d < last; d++)
        if (l->strides[1][d] == size && l->strides[0][d] % size == 0 && l->dims[d] > 1) return d;
    return -1;
}

/* -- anything else -- */
#define DEFINE_SCATTERED(bits)                                                                     \
    static void scattered##bits(char *y, int64_t y_step, const char *x, int64_t x_step, int64_t n) \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            *(uint##bits##_t *)(void *)(y + i * y_step) =                                          \
                *(const uint##bits##_t *)(const void *)(x + i * x_step);                           \
    }
DEFINE_SCATTERED(8)
DEFINE_SCATTERED(16)
DEFINE_SCATTERED(32)
DEFINE_SCATTERED(64)

static void copy_scattered(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int last = j->loop.ndim - 1;
    const int64_t row = j->loop.dims[last];
    const int64_t y_step = j->loop.strides[0][last], x_step = j->loop.strides[1][last];
    (void)thread;
    for (int64_t at = begin; at < end;) {
        int64_t from = at % row, n = row - from < end - at ? row - from : end - at;
        char *y, *x;
        locate(&j->loop, last, -1, at / row, &y, &x);
        y += from * y_step;
        x += from * x_step;
        switch (j->size) {
        case 1:
            scattered8(y, y_step, x, x_step, n);
            break;
        case 2:
            scattered16(y, y_step, x, x_step, n);
            break;
        case 4:
            scattered32(y, y_step, x, x_step, n);
            break;
        default:
            scattered64(y, y_step, x, x_step, n);
            break;
        }
        at += n;
    }
}

static void run(job *j)
{
    const luc_loop *l = &j->loop;
    const int last = l->ndim - 1;
    const int64_t size = (int64_t)j->size;
    j->cross = -1;
    if (l->strides[0][last] == size && l->strides[1][last] == size) {
        luc_parallel_for(l->numel, GRAIN_BYTES / size, copy_runs, j);
        return;
    }
    j->cross = find_cross(l, size);
    if (j->cross < 0) {
        luc_parallel_for(l->numel, GRAIN_BYTES / size / 4, copy_scattered, j);
        return;
    }
    j->kernels = luc_gemm_get();
    j->row_blocks = luc_ceil_div(l->dims[last], BLOCK);
    j->col_blocks = luc_ceil_div(l->dims[j->cross], BLOCK);
    int64_t blocks = l->numel / (l->dims[last] * l->dims[j->cross]) * j->row_blocks * j->col_blocks;
    int64_t block_bytes = l->numel / blocks * size;
    luc_parallel_for(blocks, GRAIN_BYTES / (block_bytes + 1) + 1, transpose_blocks, j);
}

static bool copy(const lucid_kernel_args *args)
{
    job j = {.size = luc_elem_size(args->out[0]->dtype)};
    luc_loop_of_views(&j.loop, args->out[0], args->in, 1);
    if (j.loop.numel == 0 || j.loop.data[0] == j.loop.data[1]) return true;
    if (j.loop.ndim == 0) {
        memcpy(j.loop.data[0], j.loop.data[1], j.size);
        return true;
    }
    j.stream = luc_streams(j.loop.numel * (int64_t)j.size);
    j.streaming = luc_stream_get();
    run(&j);
    return true;
}

void luc_cpu_register_copy(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) b->kernels[LUCID_OP_copy][type].run = copy;
}

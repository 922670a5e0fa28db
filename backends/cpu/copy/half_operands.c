/* half_operands.c: converts float16 and bfloat16 arrays to float and back, with several threads. */
#include "backends/cpu/copy/half_operands.h"

#include "backends/cpu/copy/convert.h"
#include "backends/cpu/threads/parallel.h"

enum { GRAIN = 1 << 14 };

typedef struct {
    float *wide;
    uint16_t *half;
    luc_convert_fn convert;
    int64_t n, stride; /* of a row */
} conversion;

static void widen(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    c->convert(c->wide + begin, c->half + begin, end - begin);
}

static void narrow(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    c->convert(c->half + begin, c->wide + begin, end - begin);
}

static void narrow_some_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    for (int64_t r = begin; r < end; r++)
        c->convert(c->half + r * c->stride, c->wide + r * c->stride, c->n);
}

size_t luc_wide_bytes(int64_t n)
{
    return luc_round64((size_t)n * sizeof(float));
}

float *luc_take_wide(char **at, int64_t n, const void *half, lucid_dtype type)
{
    conversion c = {.wide = (float *)(void *)*at, .half = (uint16_t *)(uintptr_t)half};
    c.convert = luc_convert_get()->fn[type][LUCID_F32];
    *at += luc_wide_bytes(n);
    if (half) luc_parallel_for(n, GRAIN, widen, &c);
    return c.wide;
}

void luc_narrow(const float *wide, void *half, int64_t n, lucid_dtype type)
{
    luc_narrow_rows(wide, half, 1, n, n, type);
}

void luc_narrow_rows(const float *wide, void *half, int64_t rows, int64_t n, int64_t stride,
                     lucid_dtype type)
{
    conversion c = {.wide = (float *)(uintptr_t)wide, .half = half, .n = n, .stride = stride};
    c.convert = luc_convert_get()->fn[LUCID_F32][type];
    if (rows == 1 || n == stride)
        luc_parallel_for(rows * n, GRAIN, narrow, &c);
    else
        luc_parallel_for(rows, n < GRAIN ? GRAIN / (n + 1) : 1, narrow_some_rows, &c);
}

/* engine_peak.h: data, and the rate of the register tile, for the benchmarks of the engine. */
#ifndef TESTS_BENCH_ENGINE_PEAK_H
#define TESTS_BENCH_ENGINE_PEAK_H

#include "backends/cpu/matmul/tile_priv.h"
#include "bench.h"

static inline float *bench_numbers(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    if (!x) exit(1);
    for (size_t i = 0; i < n; i++) x[i] = (float)(i % 17) * 0.01f;
    return x;
}

static inline void bench_run_tile(void *context)
{
    for (int i = 0; i < 100; i++) luc_tile_f32_get()->run(context);
}

/* The largest tile, 128 steps deep: operations a second of one thread. */
static inline double bench_tile_peak(void)
{
    const luc_tile_f32_table *table = luc_tile_f32_get();
    const luc_segment none = {0, 0};
    float *x = bench_numbers(1 << 14);
    luc_tile_f32 t = {.a0 = x,
                      .a1 = x + table->half,
                      .b = x + 4096,
                      .c0 = x + 12288,
                      .a_row = 1,
                      .c1 = x + 12288 + table->half * table->cols,
                      .a_step = table->rows,
                      .b_step = table->cols,
                      .c_row = table->cols,
                      .depth = 128,
                      .segments = 1,
                      .segment = &none,
                      .m = table->rows,
                      .n = table->cols};
    double seconds = bench_time(bench_run_tile, &t);
    free(x);
    return 100 * 2.0 * table->rows * table->cols * 128 / seconds;
}

#endif

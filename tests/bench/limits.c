/* What this machine can do at most, without lucid: the ground that every other figure stands on. */
#include "bench.h"
#include "machine.h"
#include <cblas.h>
#include <omp.h>

#define STREAM_BYTES (64 << 20)
#define SIDE         1024

static float *from, *to;

static void copy(void *context)
{
    (void)context;
#pragma omp parallel
    {
        size_t n = (size_t)omp_get_num_threads(), i = (size_t)omp_get_thread_num();
        size_t begin = STREAM_BYTES / n * i;
        size_t end = i + 1 == n ? STREAM_BYTES : STREAM_BYTES / n * (i + 1);
        memcpy((char *)to + begin, (char *)from + begin, end - begin);
    }
}

static void triad(void *context)
{
    (void)context;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < STREAM_BYTES / sizeof(float); i++) to[i] += 0.5f * from[i];
}

static void fork_join(void *context)
{
#pragma omp parallel
    *(volatile int *)context = 0;
}

/* Every thread multiplies matrices of its own: how lucid calls OpenBLAS. */
static void product(void *context)
{
    (void)context;
    size_t area = (size_t)SIDE * SIDE;
#pragma omp parallel
    {
        int n = omp_get_num_threads(), i = omp_get_thread_num();
        int first = SIDE * i / n, rows = SIDE * (i + 1) / n - first;
        size_t offset = (size_t)first * SIDE;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, SIDE, SIDE, 1.0f,
                    from + offset, SIDE, from + area, SIDE, 0.0f, to + offset, SIDE);
    }
}

static void row(int argc, char **argv, const char *name, bench_function run, double work,
                const char *unit)
{
    static int unused;
    if (bench_wanted(argc, argv, name)) bench_row(name, bench_time(run, &unused), work, unit);
}

int main(int argc, char **argv)
{
    from = malloc(STREAM_BYTES);
    to = malloc(STREAM_BYTES);
    if (!from || !to) return 1;
    memset(from, 0, STREAM_BYTES); /* untouched pages would all be the one page of zeros */
    memset(to, 0, STREAM_BYTES);
    openblas_set_num_threads(1);
    printf("%d threads, OpenBLAS kernels for %s\n", omp_get_max_threads(), openblas_get_corename());
    if (bench_wanted(argc, argv, "peak")) {
        machine m = machine_measure(omp_get_max_threads());
        printf("%-44s %9.2f GFLOP/s\n", "peak of multiply-adds in registers", 1e-9 * m.flops);
        printf("%-44s %9.2f GB/s\n", "peak of streaming copies (read + written)", 1e-9 * m.bytes);
    }
    row(argc, argv, "copy 64 MB (read + written)", copy, 2e-9 * STREAM_BYTES, "GB/s");
    row(argc, argv, "y += a x, 64 MB (read twice, written)", triad, 3e-9 * STREAM_BYTES, "GB/s");
    row(argc, argv, "fork-join of the threads", fork_join, 0, "");
    row(argc, argv, "sgemm 1024, a slice a thread", product, 2e-9 * SIDE * SIDE * SIDE, "GFLOP/s");
    free(from);
    free(to);
    return 0;
}

/* Matrix products of float and double by our own tiles and by OpenBLAS, in turns, and which of them
   lucid uses. OpenBLAS is called as lucid calls it: block by block, with one thread for a block.
   With one thread CPU time is measured, which other programs on the machine disturb less. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/openblas.h"
#include "backends/cpu/threads/parallel.h"
#include "bench.h"
#include "engine_peak.h"

typedef struct {
    luc_gemm_params p;
    luc_gemm_type type;
    void *a, *b, *c, *workspace;
    size_t bytes;
} product;

static void multiply(const product *g)
{
    luc_gemm(&g->p, g->type, g->a, g->b, g->c, NULL, g->workspace, g->bytes);
}

static void run_own(void *context)
{
    luc_openblas_allow(false);
    multiply(context);
    luc_openblas_allow(true);
}

static void run_openblas(void *context)
{
    luc_openblas_prefer(true);
    multiply(context);
    luc_openblas_prefer(false);
}

static void *numbers(luc_gemm_type type, int64_t n)
{
    if (type == LUC_GEMM_F32) return bench_numbers((size_t)n);
    double *x = (double *)(void *)bench_numbers(2 * (size_t)n);
    for (int64_t i = 0; i < n; i++) x[i] = (double)(i % 17) * 0.125 - 1;
    return x;
}

static void row(product g, const char *name)
{
    const luc_gemm_params *p = &g.p;
    const double work = 2e-9 * (double)p->m * (double)p->n * (double)p->k;
    g.a = numbers(g.type, p->m * p->k);
    g.b = numbers(g.type, p->k * p->n);
    g.c = numbers(g.type, p->m * p->n);
    const bool chosen = luc_openblas_gemm(p, g.type, g.a, g.b, g.c, NULL);
    printf("%-28s", name);
    for (int threads = 1; threads <= 2; threads++) {
        luc_set_num_threads(threads);
        bench_clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
        g.bytes = luc_gemm_workspace(p, g.type);
        g.workspace = bench_numbers(g.bytes / sizeof(float));
        if (luc_openblas_core()) {
            double own, other;
            bench_time_pair(run_own, &g, run_openblas, &g, &own, &other);
            printf("  %dt own %6.1f OpenBLAS %6.1f ratio %.2f", threads, work / own, work / other,
                   own / other);
        } else {
            printf("  %dt own %6.1f", threads, work / bench_time(run_own, &g));
        }
        free(g.workspace);
    }
    printf("  %s\n", chosen ? "OpenBLAS" : "own");
    fflush(stdout);
    free(g.a), free(g.b), free(g.c);
}

static const struct {
    int64_t m, n, k;
    bool ta, tb;
} shapes[] = {
    {64, 128, 784, 0, 1},     {64, 784, 128, 0, 0},     {128, 784, 64, 1, 0},  /* MLP */
    {64, 128, 3136, 0, 1},    {64, 3136, 128, 0, 0},    {128, 3136, 64, 1, 0}, /* net A */
    {64, 10, 128, 0, 1},      {1, 1000, 2048, 0, 1},    {1, 4096, 4096, 0, 0},
    {4096, 1, 4096, 0, 0},    {128, 128, 128, 0, 0},    {256, 256, 256, 0, 0},
    {512, 512, 512, 0, 1},    {64, 3136, 576, 0, 0},    {512, 49, 4608, 0, 0},
    {3136, 64, 576, 0, 0},    {64, 224, 576, 0, 0},     {1024, 1024, 1024, 0, 0},
    {1024, 1024, 1024, 0, 1}, {1024, 1024, 1024, 1, 0}, {512, 4096, 1024, 0, 1},
    {4096, 512, 1024, 0, 1},  {2048, 2048, 1024, 0, 0}, {2048, 2048, 1024, 0, 1},
    {2048, 2048, 1024, 1, 0}, {2048, 2048, 2048, 0, 0}, {4096, 2048, 1024, 0, 1},
};

int main(int argc, char **argv)
{
    const char *core = luc_openblas_core();
    printf("level %s, float tile in L1 %.1f GFLOP/s a thread, OpenBLAS kernels: %s; GFLOP/s:\n",
           luc_cpu_level_name(luc_cpu_current()), bench_tile_peak() * 1e-9,
           core ? core : "not used");
    for (size_t i = 0; i < 2 * (sizeof shapes / sizeof *shapes); i++) {
        const size_t s = i % (sizeof shapes / sizeof *shapes);
        const bool is_f64 = i != s;
        product g = {
            .p = luc_gemm_plain(shapes[s].m, shapes[s].n, shapes[s].k, shapes[s].ta, shapes[s].tb),
            .type = is_f64 ? LUC_GEMM_F64 : LUC_GEMM_F32};
        char name[80];
        snprintf(name, sizeof name, "%cgemm %dx%dx%d %c%c", is_f64 ? 'd' : 's', (int)g.p.m,
                 (int)g.p.n, (int)g.p.k, g.p.trans_a ? 'T' : 'N', g.p.trans_b ? 'T' : 'N');
        if (bench_wanted(argc, argv, name)) row(g, name);
    }
    return 0;
}

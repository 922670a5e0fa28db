/* Matrix products at 1 and 2 threads, beside OpenBLAS, and their share of what the register tile
   reaches on data in the first-level cache. Run it with OPENBLAS_CORETYPE=SkylakeX where OpenBLAS
   does not know the CPU (its choice is printed). */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/threads/parallel.h"
#include "bench.h"
#include "engine_peak.h"

#include <cblas.h>

typedef struct {
    luc_gemm_params p;
    float *a, *b, *c;
    void *workspace;
    size_t bytes;
} product;

static void run_lucid(void *context)
{
    product *g = context;
    luc_gemm(&g->p, LUC_GEMM_F32, g->a, g->b, g->c, NULL, g->workspace, g->bytes);
}

static void run_openblas(void *context)
{
    product *g = context;
    cblas_sgemm(CblasRowMajor, g->p.trans_a ? CblasTrans : CblasNoTrans,
                g->p.trans_b ? CblasTrans : CblasNoTrans, (blasint)g->p.m, (blasint)g->p.n,
                (blasint)g->p.k, 1, g->a, (blasint)g->p.lda, g->b, (blasint)g->p.ldb, 0, g->c,
                (blasint)g->p.ldc);
}

static void row(int64_t m, int64_t n, int64_t k, bool ta, bool tb, double peak, int argc,
                char **argv)
{
    char name[80];
    snprintf(name, sizeof name, "sgemm %dx%dx%d %c%c", (int)m, (int)n, (int)k, ta ? 'T' : 'N',
             tb ? 'T' : 'N');
    if (!bench_wanted(argc, argv, name)) return;
    product g = {.p = luc_gemm_plain(m, n, k, ta, tb),
                 .a = bench_numbers((size_t)(m * k)),
                 .b = bench_numbers((size_t)(k * n)),
                 .c = bench_numbers((size_t)(m * n))};
    const double work = 2e-9 * (double)m * (double)n * (double)k;
    printf("%-28s", name);
    for (int threads = 1; threads <= 2; threads++) {
        luc_set_num_threads(threads);
        openblas_set_num_threads(threads);
        g.bytes = luc_gemm_workspace(&g.p, LUC_GEMM_F32);
        g.workspace = bench_numbers(g.bytes / sizeof(float));
        double own, other;
        bench_time_pair(run_lucid, &g, run_openblas, &g, &own, &other);
        printf("  %dt %7.1f GFLOP/s %3.0f%%  OpenBLAS %7.1f  ratio %.2f", threads, work / own,
               100 * work * 1e9 / own / peak / threads, work / other, other / own);
        free(g.workspace);
    }
    printf("\n");
    fflush(stdout);
    free(g.a), free(g.b), free(g.c);
}

int main(int argc, char **argv)
{
    const struct {
        int64_t m, n, k;
        bool ta, tb;
    } shapes[] = {
        {64, 128, 784, 0, 1},     {64, 784, 128, 0, 0},
        {128, 784, 64, 1, 0}, /* MLP */
        {64, 128, 3136, 0, 1},    {64, 3136, 128, 0, 0},
        {128, 3136, 64, 1, 0}, /* Linear of net A */
        {64, 10, 128, 0, 1},      {64, 128, 10, 0, 0},
        {10, 128, 64, 1, 0},      {1, 1000, 2048, 0, 1},
        {1, 4096, 4096, 0, 0},    {4096, 1, 4096, 0, 0},
        {128, 128, 128, 0, 0},    {256, 256, 256, 0, 0},
        {512, 512, 512, 0, 1},    {1024, 1024, 1024, 0, 0},
        {1024, 1024, 1024, 0, 1}, {1024, 1024, 1024, 1, 0},
        {64, 3136, 576, 0, 0},    {512, 49, 4608, 0, 0},
        {1024, 196, 256, 0, 0},   {3136, 64, 576, 0, 0},
        {2048, 2048, 2048, 0, 0},
    };
    const double peak = bench_tile_peak();
    printf("level %s, tile in L1 %.1f GFLOP/s a thread, OpenBLAS kernels for %s\n",
           luc_cpu_level_name(luc_cpu_current()), peak * 1e-9, openblas_get_corename());
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        row(shapes[i].m, shapes[i].n, shapes[i].k, shapes[i].ta, shapes[i].tb, peak, argc, argv);
    return 0;
}

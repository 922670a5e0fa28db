/* test_bf16.c: products of bfloat16 in 16-bit instructions: every level, of which generic emulates
 * the tiles, against sums in double, on random numbers and on those that are special. */
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/threads/parallel.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(int64_t)(state >> 11) * 0x1p-52 - 1.0;
}

static int64_t pick(int64_t low, int64_t high)
{
    return low + (int64_t)((uniform() + 1) / 2 * (double)(high - low + 1));
}

static void *block(size_t bytes)
{
    return aligned_alloc(64, (bytes + 127) / 64 * 64);
}

static uint16_t *filled(int64_t n)
{
    uint16_t *p = block((size_t)n * 2);
    for (int64_t i = 0; i < n; i++) p[i] = luc_f32_to_bf16((float)uniform());
    return p;
}

static void every_level(void (*f)(void))
{
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        cr_assert(luc_cpu_force((luc_cpu_level)level));
        f();
    }
    luc_cpu_force(luc_cpu_best());
}

/* The product with this number of threads; what surrounds c and the workspace stays as it is. */
static void multiply(const luc_gemm_params *p, const uint16_t *a, const uint16_t *b, uint16_t *c,
                     const uint16_t *bias, int threads)
{
    enum { BEYOND = 256 };
    const size_t bytes = luc_bf16_gemm_workspace(p);
    unsigned char *workspace = block(bytes + BEYOND);
    memset(workspace, 0xff, bytes + BEYOND); /* NaN */
    luc_set_num_threads(threads);
    luc_bf16_gemm(p, a, b, c, bias, workspace);
    luc_set_num_threads(0);
    for (int i = 0; i < BEYOND; i++)
        cr_assert_eq(workspace[bytes + (size_t)i], 0xff, "written beyond the workspace");
    free(workspace);
}

static double a_at(const luc_gemm_params *p, const uint16_t *a, int64_t i, int64_t r, int64_t k)
{
    const int64_t at = p->trans_a ? k * p->lda + r : r * p->lda + k;
    return (double)luc_bf16_to_f32(a[i * p->stride_a + at]);
}

static double b_at(const luc_gemm_params *p, const uint16_t *b, int64_t i, int64_t k, int64_t c)
{
    const int64_t at = p->trans_b ? c * p->ldb + k : k * p->ldb + c;
    return (double)luc_bf16_to_f32(b[i * p->stride_b + at]);
}

static void check_element(const luc_gemm_params *p, const uint16_t *a, const uint16_t *b,
                          const uint16_t *bias, int64_t i, int64_t r, int64_t c, uint16_t got)
{
    double sum = 0, size = 0;
    for (int64_t k = 0; k < p->k; k++) {
        const double term = a_at(p, a, i, r, k) * b_at(p, b, i, k, c);
        sum += term, size += fabs(term);
    }
    if (p->bias_kind) {
        const double term =
            (double)luc_bf16_to_f32(bias[p->bias_kind == LUC_GEMM_BIAS_COL ? c : r]);
        sum += term, size += fabs(term);
    }
    if (p->relu && sum < 0) sum = 0;
    /* float's sums, then one rounding to 8 bits */
    const double error = fabs(sum) * 0x1.01p-8 + size * 4e-6 + 1e-30;
    cr_assert(fabs((double)luc_bf16_to_f32(got) - sum) <= error,
              "level %s, m %d n %d k %d, transposed %d %d: [%d][%d,%d] is %g, expected %g",
              luc_cpu_level_name(luc_cpu_current()), (int)p->m, (int)p->n, (int)p->k, p->trans_a,
              p->trans_b, (int)i, (int)r, (int)c, (double)luc_bf16_to_f32(got), sum);
}

/* The memory of a product's matrices ends where their last numbers do, so that a sanitizer sees
   what is read beyond. */
static void check(const luc_gemm_params *p)
{
    const int64_t rows_a = p->trans_a ? p->k : p->m, rows_b = p->trans_b ? p->n : p->k;
    const int64_t last = luc_max64(p->batch - 1, 0);
    uint16_t *a = filled(last * p->stride_a + rows_a * p->lda);
    uint16_t *b = filled(last * p->stride_b + rows_b * p->ldb), *bias = filled(p->m + p->n);
    const int64_t nc = last * p->stride_c + p->m * p->ldc;
    uint16_t *c = filled(nc), *again = block((size_t)nc * 2), *old = block((size_t)nc * 2);
    memcpy(old, c, (size_t)nc * 2), memcpy(again, c, (size_t)nc * 2);
    multiply(p, a, b, c, bias, 3);
    multiply(p, a, b, again, bias, 1);
    cr_assert(memcmp(c, again, (size_t)nc * 2) == 0, "threads change bits");
    for (int64_t i = 0; i < p->batch; i++)
        for (int64_t r = 0; r < p->m; r++) {
            for (int64_t j = 0; j < p->n; j++)
                check_element(p, a, b, bias, i, r, j, c[i * p->stride_c + r * p->ldc + j]);
            for (int64_t j = p->n; j < p->ldc; j++) {
                const int64_t gap = i * p->stride_c + r * p->ldc + j;
                cr_assert_eq(c[gap], old[gap], "a gap between rows was written");
            }
        }
    free(a), free(b), free(bias), free(c), free(again), free(old);
}

static void random_products(void)
{
    const int64_t sizes[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 70};
    for (int i = 0; i < 60; i++) {
        luc_gemm_params p = luc_gemm_plain(sizes[pick(1, 11)], sizes[pick(1, 11)],
                                           sizes[pick(0, 11)], pick(0, 1), pick(0, 1));
        p.lda += pick(0, 2) * 3, p.ldb += pick(0, 2) * 3, p.ldc += pick(0, 2) * 3;
        p.bias_kind = (luc_gemm_bias)pick(0, 2);
        p.relu = pick(0, 1);
        if (pick(0, 3) == 0) {
            p.batch = pick(2, 3);
            p.stride_a = pick(0, 1) * ((p.trans_a ? p.k : p.m) * p.lda + 5);
            p.stride_b = pick(0, 1) * ((p.trans_b ? p.n : p.k) * p.ldb + 5);
            p.stride_c = p.m * p.ldc + 5;
        }
        check(&p);
    }
    luc_gemm_params large = luc_gemm_plain(300, 290, 131, false, true);
    check(&large);
}
Test(bf16, random_products)
{
    every_level(random_products);
}

/* One number of a row is special: the sums of that row alone are what IEEE's rules say. */
static void special_numbers(void)
{
    enum { M = 20, N = 35, K = 40, AT = 7 };
    const float values[] = {NAN, INFINITY, -INFINITY, 0x1p-130F, -0.0F, 0x1.fep127F};
    const luc_gemm_params p = luc_gemm_plain(M, N, K, false, false);
    for (int v = 0; v < 6; v++) {
        uint16_t *a = filled(M * K), *b = filled(K * N), *c = filled(M * N);
        for (int i = 0; i < K * N; i++) b[i] = luc_f32_to_bf16(1);
        for (int k = 0; k < K; k++) a[AT * K + k] = luc_f32_to_bf16(k == 3 ? values[v] : 0.0F);
        multiply(&p, a, b, c, NULL, 2);
        for (int j = 0; j < N; j++) {
            const float got = luc_bf16_to_f32(c[AT * N + j]);
            const float want = v == 3 ? 0 : values[v]; /* a subnormal number counts as 0 */
            cr_assert(isnan(want) ? isnan(got) : got == want, "level %s: %g, expected %g",
                      luc_cpu_level_name(luc_cpu_current()), (double)got, (double)want);
        }
        for (int i = 0; i < M * N; i++) cr_assert(i / N == AT || isfinite(luc_bf16_to_f32(c[i])));
        free(a), free(b), free(c);
    }
}
Test(bf16, special_numbers)
{
    every_level(special_numbers);
}

/* Blocks of the emulated tiles and of the processor's: the same bits, whatever the numbers are. */
Test(bf16, tiles_as_the_emulation)
{
    enum { STEPS = 3, A = STEPS * 1024, C = 1024 };
    const luc_bf16_table *emulated = luc_level_table(&luc_bf16_tables, LUC_CPU_GENERIC);
    const luc_bf16_table *real = luc_bf16_kernels();
    uint16_t *a = filled(A), *b = filled(A);
    float *want = block(C * 4), *got = block(C * 4);
    /* luc_bf16_kernels are those of a level below where the system refuses tiles. */
    if (strcmp(luc_cpu_level_name(luc_cpu_current()), "amx") != 0 || real != luc_bf16_get())
        cr_skip_test("this machine has no tiles");
    for (int turn = 0; turn < 40; turn++) {
        for (int i = 0; i < A; i++) { /* sizes of every kind, from subnormals to infinities */
            const int most = turn < 20 ? 0 : turn < 30 ? 128 : 60, low = turn < 30 ? 140 : 60;
            const int of_a = most ? (int)pick(-low, most) : 0;
            const int of_b = turn < 30 ? 0 : (int)pick(-60, 60);
            a[i] = luc_f32_to_bf16(ldexpf((float)uniform(), of_a));
            b[i] = luc_f32_to_bf16(ldexpf((float)uniform(), of_b));
        }
        luc_bf16_block k = luc_bf16_plain_block(32, 1024, STEPS);
        k.a = a, k.b = b;
        k.m = pick(1, 32), k.n = pick(1, 32), k.c = want;
        emulated->block(&k);
        k.c = got;
        real->begin();
        real->block(&k);
        real->end();
        for (int i = 0; i < C; i++) {
            if (i / 32 >= k.m || i % 32 >= k.n || (isnan(want[i]) && isnan(got[i]))) continue;
            cr_assert(memcmp(&want[i], &got[i], 4) == 0, "turn %d, [%d,%d]: %.9g, emulated %.9g",
                      turn, i / 32, i % 32, (double)got[i], (double)want[i]);
        }
    }
    free(a), free(b), free(want), free(got);
}

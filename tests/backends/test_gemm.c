/* Matrix products: every CPU level, type and shape against a naive product in double. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/matmul/openblas.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static const size_t size_of[] = {
    [LUC_GEMM_F32] = 4,  [LUC_GEMM_F64] = 8, [LUC_GEMM_F16] = 2,
    [LUC_GEMM_BF16] = 2, [LUC_GEMM_I32] = 4, [LUC_GEMM_I64] = 8,
};

static double get(luc_gemm_type type, const void *p, int64_t i)
{
    switch (type) {
    case LUC_GEMM_F32:
        return ((const float *)p)[i];
    case LUC_GEMM_F64:
        return ((const double *)p)[i];
    case LUC_GEMM_F16:
        return luc_f16_to_f32(((const uint16_t *)p)[i]);
    case LUC_GEMM_BF16:
        return luc_bf16_to_f32(((const uint16_t *)p)[i]);
    case LUC_GEMM_I32:
        return ((const int32_t *)p)[i];
    default:
        return (double)((const int64_t *)p)[i];
    }
}

static void set(luc_gemm_type type, void *p, int64_t i, double x)
{
    switch (type) {
    case LUC_GEMM_F32:
        ((float *)p)[i] = (float)x;
        break;
    case LUC_GEMM_F64:
        ((double *)p)[i] = x;
        break;
    case LUC_GEMM_F16:
        ((uint16_t *)p)[i] = luc_f32_to_f16((float)x);
        break;
    case LUC_GEMM_BF16:
        ((uint16_t *)p)[i] = luc_f32_to_bf16((float)x);
        break;
    case LUC_GEMM_I32:
        ((int32_t *)p)[i] = (int32_t)(x * 100);
        break;
    case LUC_GEMM_I64:
        ((int64_t *)p)[i] = (int64_t)(x * 100);
        break;
    }
}

static void *filled(luc_gemm_type type, int64_t n)
{
    void *p = block((size_t)n * size_of[type]);
    for (int64_t i = 0; i < n; i++) set(type, p, i, uniform());
    return p;
}

/* Relative to the sum of absolute products. */
static double tolerance(luc_gemm_type type)
{
    switch (type) {
    case LUC_GEMM_F32:
        return 4e-6;
    case LUC_GEMM_F64:
        return 1e-14;
    case LUC_GEMM_F16:
        return 0x1p-10;
    case LUC_GEMM_BF16:
        return 0x1p-7;
    default:
        return 0;
    }
}

/* Element (r, c) of the product in double, and the size of what was added. */
static double expected(const luc_gemm_params *p, luc_gemm_type type, const void *a, const void *b,
                       const void *old, const void *bias, int64_t i, int64_t r, int64_t c,
                       double *size)
{
    double sum = 0, abs = 0;
    for (int64_t k = 0; k < p->k; k++) {
        double x = get(type, a, i * p->stride_a + (p->trans_a ? k * p->lda + r : r * p->lda + k));
        double y = get(type, b, i * p->stride_b + (p->trans_b ? c * p->ldb + k : k * p->ldb + c));
        sum += x * y, abs += fabs(x * y);
    }
    sum *= p->alpha, abs *= fabs(p->alpha);
    if (p->beta != 0) {
        double x = p->beta * get(type, old, i * p->stride_c + r * p->ldc + c);
        sum += x, abs += fabs(x);
    }
    if (p->bias_kind) {
        double x = get(type, bias, p->bias_kind == LUC_GEMM_BIAS_COL ? c : r);
        sum += x, abs += fabs(x);
    }
    *size = abs;
    return p->relu && sum < 0 ? 0 : sum;
}

static void check(const luc_gemm_params *p, luc_gemm_type type)
{
    const int64_t na =
        p->batch * 1 + (p->batch - 1) * p->stride_a + (p->trans_a ? p->k : p->m) * p->lda + 1;
    const int64_t nb =
        p->batch * 1 + (p->batch - 1) * p->stride_b + (p->trans_b ? p->n : p->k) * p->ldb + 1;
    const int64_t nc = (p->batch - 1) * p->stride_c + p->m * p->ldc + 1;
    void *a = filled(type, na), *b = filled(type, nb), *old = filled(type, nc);
    void *bias = filled(type, p->m + p->n), *c = block((size_t)nc * size_of[type]);
    void *again = block((size_t)nc * size_of[type]);
    const size_t bytes = (size_t)nc * size_of[type];
    memcpy(c, old, bytes);
    memcpy(again, old, bytes);
    luc_set_num_threads(3);
    size_t space = luc_gemm_workspace(p, type);
    void *workspace = block(space);
    memset(workspace, 0xff, space); /* NaN */
    luc_gemm(p, type, a, b, c, p->bias_kind ? bias : NULL, workspace, space);
    luc_set_num_threads(1);
    luc_gemm(p, type, a, b, again, p->bias_kind ? bias : NULL, workspace, space);
    space = luc_gemm_workspace(p, type); /* of one thread, for three */
    luc_set_num_threads(3);
    void *third = block(bytes);
    memcpy(third, old, bytes);
    luc_gemm(p, type, a, b, third, p->bias_kind ? bias : NULL, workspace, space);
    luc_set_num_threads(0);
    cr_assert(memcmp(c, third, bytes) == 0, "a small workspace changes bits");
    free(third);
    cr_assert(memcmp(c, again, bytes) == 0, "threads change bits: m %d n %d k %d", (int)p->m,
              (int)p->n, (int)p->k);
    for (int64_t i = 0; i < p->batch; i++)
        for (int64_t r = 0; r < p->m; r++)
            for (int64_t j = 0; j < p->ldc; j++) {
                int64_t at = i * p->stride_c + r * p->ldc + j;
                double size = 0, got = get(type, c, at);
                double want = j < p->n ? expected(p, type, a, b, old, bias, i, r, j, &size)
                                       : get(type, old, at); /* between rows: untouched */
                cr_assert(fabs(got - want) <= tolerance(type) * size,
                          "level %s type %d m %d n %d k %d ta %d tb %d alpha %g beta %g bias %d "
                          "relu %d at (%d, %d, %d): expected %.9g, got %.9g",
                          luc_cpu_level_name(luc_cpu_current()), type, (int)p->m, (int)p->n,
                          (int)p->k, p->trans_a, p->trans_b, p->alpha, p->beta, p->bias_kind,
                          p->relu, (int)i, (int)r, (int)j, want, got);
            }
    free(a), free(b), free(c), free(old), free(bias), free(again), free(workspace);
}

static luc_gemm_params random_params(int64_t m, int64_t n, int64_t k)
{
    luc_gemm_params p = luc_gemm_plain(m, n, k, pick(0, 1), pick(0, 1));
    const double scales[] = {1, 1, 0, 2, -1};
    p.lda += pick(0, 3), p.ldb += pick(0, 3), p.ldc += pick(0, 3);
    p.alpha = scales[pick(0, 4)], p.beta = scales[pick(0, 4)];
    p.bias_kind = (luc_gemm_bias)pick(0, 2);
    p.relu = pick(0, 3) == 0;
    p.batch = pick(0, 3) == 0 ? 3 : 1;
    p.stride_a = pick(0, 1) ? 0 : (p.trans_a ? k : m) * p.lda;
    p.stride_b = pick(0, 1) ? 0 : (p.trans_b ? n : k) * p.ldb;
    p.stride_c = m * p.ldc + pick(0, 2);
    return p;
}

/* With our own kernels alone, and with OpenBLAS for every product that it can compute. */
static void every_level(void (*f)(void))
{
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        cr_assert(luc_cpu_force((luc_cpu_level)level));
        luc_openblas_allow(false);
        f();
        luc_openblas_allow(true);
        luc_openblas_prefer(true);
        if (luc_openblas_core()) f();
        luc_openblas_prefer(false);
    }
    luc_cpu_force(luc_cpu_best());
}

static void small_shapes(void)
{
    for (int i = 0; i < 300; i++) {
        luc_gemm_params p = random_params(pick(1, 40), pick(1, 70), pick(0, 60));
        check(&p, (luc_gemm_type)(i % 6));
    }
}
Test(gemm, small_shapes)
{
    every_level(small_shapes);
}

static void edges(void)
{
    const int64_t sizes[] = {1, 2, 4, 5, 13, 15, 16, 17, 33, 64, 100};
    for (int i = 0; i < 11; i++)
        for (int j = 0; j < 11; j++) {
            luc_gemm_params p = random_params(sizes[i], sizes[j], pick(1, 20));
            check(&p, i % 2 ? LUC_GEMM_F32 : LUC_GEMM_F64);
        }
}
Test(gemm, edges)
{
    every_level(edges);
}

static void large_shapes(void)
{
    const int64_t shapes[][3] = {{64, 128, 784}, {130, 300, 257}, {500, 70, 600}, {1, 500, 700},
                                 {500, 1, 513},  {3, 300, 1000},  {300, 4, 256},  {64, 10, 128}};
    for (int i = 0; i < 8; i++)
        for (int transposed = 0; transposed < 4; transposed++) {
            luc_gemm_params p = random_params(shapes[i][0], shapes[i][1], shapes[i][2]);
            p.trans_a = transposed & 1, p.trans_b = transposed >> 1;
            p.lda = (p.trans_a ? p.m : p.k) + 1, p.ldb = (p.trans_b ? p.k : p.n) + 2;
            p.stride_a = p.stride_b = 0;
            check(&p, LUC_GEMM_F32);
        }
}
Test(gemm, large_shapes)
{
    every_level(large_shapes);
}

static void zero_sizes(void)
{
    float c[4] = {1, 2, 3, 4}, a[4] = {0};
    _Alignas(64) static char workspace[1 << 20];
    luc_gemm_params p = luc_gemm_plain(2, 2, 0, false, false);
    luc_gemm(&p, LUC_GEMM_F32, a, a, c, NULL, workspace, sizeof workspace);
    for (int i = 0; i < 4; i++) cr_assert_eq(c[i], 0); /* an empty sum */
    p.beta = 1, c[2] = 7;
    luc_gemm(&p, LUC_GEMM_F32, a, a, c, NULL, workspace, sizeof workspace);
    cr_assert_eq(c[2], 7);
    p.m = 0;
    luc_gemm(&p, LUC_GEMM_F32, NULL, a, NULL, NULL, workspace, sizeof workspace);
    p.m = 2, p.batch = 0;
    luc_gemm(&p, LUC_GEMM_F32, NULL, a, NULL, NULL, workspace, sizeof workspace);
}
Test(gemm, zero_sizes)
{
    every_level(zero_sizes);
}

static void special_values(void)
{
    enum { M = 20, N = 35, K = 50 };
    static float a[M * K], b[K * N], c[M * N];
    luc_gemm_params p = luc_gemm_plain(M, N, K, false, false);
    size_t space = luc_gemm_workspace(&p, LUC_GEMM_F32);
    void *workspace = block(space);
    for (int i = 0; i < M * K; i++) a[i] = 1;
    for (int i = 0; i < K * N; i++) b[i] = 1;
    for (int i = 0; i < M * N; i++) c[i] = NAN; /* not read */
    a[3 * K + 7] = NAN, a[4 * K] = INFINITY, b[49 * N + 34] = -INFINITY;
    p.relu = true;
    luc_gemm(&p, LUC_GEMM_F32, a, b, c, NULL, workspace, space);
    for (int r = 0; r < M; r++)
        for (int j = 0; j < N; j++) {
            float x = c[r * N + j];
            if (r == 3 || (r == 4 && j == 34))
                cr_assert(isnan(x), "(%d, %d): expected NaN, got %g", r, j, x);
            else
                cr_assert_eq(x, r == 4 ? INFINITY : j == 34 ? 0 : K, "(%d, %d): %g", r, j, x);
        }
    free(workspace);
}
Test(gemm, special_values)
{
    every_level(special_values);
}

static void transpositions(void)
{
    for (int i = 0; i < 40; i++) {
        int64_t batch = pick(1, 3), rows = pick(1, 90), cols = pick(1, 150);
        size_t bytes = (size_t)1 << (i % 4), n = (size_t)(batch * rows * cols);
        unsigned char *src = block(n * bytes), *dst = block(n * bytes);
        for (size_t k = 0; k < n * bytes; k++) src[k] = (unsigned char)(k * 37 + k / 251);
        luc_transpose(dst, src, batch, rows, cols, bytes);
        for (int64_t b = 0; b < batch; b++)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < cols; c++)
                    cr_assert(memcmp(dst + (size_t)((b * cols + c) * rows + r) * bytes,
                                     src + (size_t)((b * rows + r) * cols + c) * bytes,
                                     bytes) == 0);
        free(src), free(dst);
    }
}
Test(gemm, transpositions)
{
    every_level(transpositions);
}

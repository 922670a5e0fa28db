/* gemm.c: matrix products of every element type, on top of the float and double kernels. */
#include "backends/cpu/gemm_priv.h"
#include "backends/cpu/parallel.h"
#include "backends/cpu/simd.h"

static size_t round64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Elements from the first to the last of `count` matrices of rows x cols. */
static int64_t extent(int64_t rows, int64_t cols, int64_t ld, int64_t batch, int64_t stride)
{
    if (rows <= 0 || cols <= 0 || batch <= 0) return 0;
    return (rows - 1) * ld + cols + (batch - 1) * stride;
}

typedef struct {
    int64_t a, b, c, bias;
} sizes;

static sizes operand_sizes(const luc_gemm_params *p)
{
    sizes s;
    s.a = extent(p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k, p->lda, p->batch, p->stride_a);
    s.b = extent(p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n, p->ldb, p->batch, p->stride_b);
    s.c = extent(p->m, p->n, p->ldc, p->batch, p->stride_c);
    s.bias = p->bias_kind == LUC_GEMM_BIAS_COL   ? p->n
             : p->bias_kind == LUC_GEMM_BIAS_ROW ? p->m
                                                 : 0;
    return s;
}

static size_t float_workspace(const luc_gemm_params *p)
{
    return luc_gemm_get()->scratch_f32(p) * (size_t)luc_num_threads();
}

size_t luc_gemm_workspace(const luc_gemm_params *p, luc_gemm_type type)
{
    switch (type) {
    case LUC_GEMM_F32:
        return float_workspace(p);
    case LUC_GEMM_F64:
        return luc_gemm_get()->scratch_f64(p) * (size_t)luc_num_threads();
    case LUC_GEMM_F16:
    case LUC_GEMM_BF16: {
        sizes s = operand_sizes(p);
        const int64_t most = INT64_MAX / 64;
        if (s.a > most || s.b > most || s.c > most) return SIZE_MAX;
        size_t floats = round64((size_t)s.a * 4) + round64((size_t)s.b * 4) +
                        round64((size_t)s.c * 4) + round64((size_t)s.bias * 4);
        return floats + float_workspace(p);
    }
    default:
        return 0;
    }
}

typedef struct {
    float *wide;
    uint16_t *half;
    bool bf16;
} conversion;

static void widen(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        c->wide[i] = c->bf16 ? luc_bf16_to_f32(c->half[i]) : luc_f16_to_f32(c->half[i]);
}

static void narrow(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        c->half[i] = c->bf16 ? luc_f32_to_bf16(c->wide[i]) : luc_f32_to_f16(c->wide[i]);
}

/* Converts n numbers to float at *at and moves *at behind them. */
static float *take_wide(char **at, const void *half, int64_t n, bool bf16)
{
    conversion c = {.wide = (float *)*at, .half = (uint16_t *)(uintptr_t)half, .bf16 = bf16};
    *at += round64((size_t)n * 4);
    if (half) luc_parallel_for(n, 1 << 14, widen, &c);
    return c.wide;
}

/* C in its own rows: what lies between rows must not be touched. */
static void narrow_rows(const luc_gemm_params *p, float *wide, uint16_t *half, bool bf16)
{
    for (int64_t i = 0; i < p->batch; i++)
        for (int64_t r = 0; r < p->m; r++) {
            int64_t at = i * p->stride_c + r * p->ldc;
            conversion c = {.wide = wide + at, .half = half + at, .bf16 = bf16};
            narrow(&c, 0, p->n, 0);
        }
}

static void gemm_half(const luc_gemm_params *p, bool bf16, const void *a, const void *b, void *c,
                      const void *bias, void *workspace, size_t bytes)
{
    sizes s = operand_sizes(p);
    char *at = workspace;
    const float *wide_a = take_wide(&at, a, s.a, bf16), *wide_b = take_wide(&at, b, s.b, bf16);
    float *wide_c = take_wide(&at, p->beta != 0 ? c : NULL, s.c, bf16);
    const float *wide_bias = take_wide(&at, bias, s.bias, bf16);
    luc_gemm_get()->gemm_f32(p, wide_a, wide_b, wide_c, bias ? wide_bias : NULL, at,
                             bytes - (size_t)(at - (char *)workspace));
    narrow_rows(p, wide_c, c, bf16);
}

typedef struct {
    const luc_gemm_params *p;
    const void *a, *b, *bias;
    void *c;
} integers;

/* Rows of C over all products; unsigned arithmetic, because overflow wraps. */
#define DEFINE_INTEGER(T, U, name)                                                           \
    static void name(void *ctx, int64_t begin, int64_t end, int thread)                      \
    {                                                                                        \
        const integers *g = ctx;                                                             \
        const luc_gemm_params *p = g->p;                                                     \
        const T *bias = g->bias;                                                             \
        const U alpha = (U)(T)p->alpha, beta = (U)(T)p->beta;                                \
        (void)thread;                                                                        \
        for (int64_t i = begin; i < end; i++) {                                              \
            int64_t batch = i / p->m, r = i % p->m;                                          \
            const T *a = (const T *)g->a + batch * p->stride_a;                              \
            const T *b = (const T *)g->b + batch * p->stride_b;                              \
            T *c = (T *)g->c + batch * p->stride_c + r * p->ldc;                             \
            for (int64_t j = 0; j < p->n; j++) {                                             \
                U sum = 0;                                                                   \
                for (int64_t k = 0; k < p->k; k++)                                           \
                    sum += (U)a[p->trans_a ? k * p->lda + r : r * p->lda + k] *              \
                           (U)b[p->trans_b ? j * p->ldb + k : k * p->ldb + j];               \
                sum = alpha * sum + (beta ? beta * (U)c[j] : 0);                             \
                if (p->bias_kind) sum += (U)bias[p->bias_kind == LUC_GEMM_BIAS_COL ? j : r]; \
                c[j] = p->relu && (T)sum < 0 ? 0 : (T)sum;                                   \
            }                                                                                \
        }                                                                                    \
    }
DEFINE_INTEGER(int32_t, uint32_t, rows_i32)
DEFINE_INTEGER(int64_t, uint64_t, rows_i64)

static void gemm_integers(const luc_gemm_params *p, luc_parallel_fn rows, const void *a,
                          const void *b, void *c, const void *bias)
{
    if (p->m <= 0 || p->n <= 0 || p->batch <= 0) return;
    integers g = {.p = p, .a = a, .b = b, .c = c, .bias = bias};
    luc_parallel_for(p->m * p->batch, 1 + (1 << 15) / (1 + p->n * p->k), rows, &g);
}

void luc_gemm(const luc_gemm_params *p, luc_gemm_type type, const void *a, const void *b, void *c,
              const void *bias, void *workspace, size_t workspace_bytes)
{
    switch (type) {
    case LUC_GEMM_F32:
        luc_gemm_get()->gemm_f32(p, a, b, c, bias, workspace, workspace_bytes);
        break;
    case LUC_GEMM_F64:
        luc_gemm_get()->gemm_f64(p, a, b, c, bias, workspace, workspace_bytes);
        break;
    case LUC_GEMM_F16:
    case LUC_GEMM_BF16:
        gemm_half(p, type == LUC_GEMM_BF16, a, b, c, bias, workspace, workspace_bytes);
        break;
    case LUC_GEMM_I32:
        gemm_integers(p, rows_i32, a, b, c, bias);
        break;
    case LUC_GEMM_I64:
        gemm_integers(p, rows_i64, a, b, c, bias);
        break;
    }
}

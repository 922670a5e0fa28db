/* gemm.c: matrix products of every element type, on top of the float and double kernels. */
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/matmul/openblas.h"
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/copy/half_operands.h"
#include "backends/cpu/threads/parallel.h"

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

/* Whether 16-bit instructions compute the product. */
static bool in_bf16(const luc_gemm_params *p, luc_gemm_type type)
{
    return type == LUC_GEMM_BF16 && luc_bf16_pays() && luc_bf16_gemm_fits(p);
}

size_t luc_gemm_workspace(const luc_gemm_params *p, luc_gemm_type type)
{
    if (in_bf16(p, type)) return luc_bf16_gemm_workspace(p);
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
        return luc_wide_bytes(s.a) + luc_wide_bytes(s.b) + luc_wide_bytes(s.c) +
               luc_wide_bytes(s.bias) + float_workspace(p);
    }
    default:
        return 0;
    }
}

static void gemm_half(const luc_gemm_params *p, lucid_dtype type, const void *a, const void *b,
                      void *c, const void *bias, void *workspace, size_t bytes)
{
    sizes s = operand_sizes(p);
    char *at = workspace;
    const float *wide_a = luc_take_wide(&at, s.a, a, type);
    const float *wide_b = luc_take_wide(&at, s.b, b, type);
    float *wide_c = luc_take_wide(&at, s.c, p->beta != 0 ? c : NULL, type);
    const float *wide_bias = luc_take_wide(&at, s.bias, bias, type);
    luc_gemm(p, LUC_GEMM_F32, wide_a, wide_b, wide_c, bias ? wide_bias : NULL, at,
             bytes - (size_t)(at - (char *)workspace));
    if (p->batch == 1 || p->stride_c == p->m * p->ldc) {
        luc_narrow_rows(wide_c, c, p->batch * p->m, p->n, p->ldc, type);
        return;
    }
    for (int64_t i = 0; i < p->batch; i++)
        luc_narrow_rows(wide_c + i * p->stride_c, (uint16_t *)c + i * p->stride_c, p->m, p->n,
                        p->ldc, type);
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
    const bool is_float = type == LUC_GEMM_F32 || type == LUC_GEMM_F64;
    if (is_float && luc_openblas_gemm(p, type, a, b, c, bias)) return;
    if (in_bf16(p, type)) {
        luc_bf16_gemm(p, a, b, c, bias, workspace);
        return;
    }
    switch (type) {
    case LUC_GEMM_F32:
        luc_gemm_get()->gemm_f32(p, a, b, c, bias, workspace, workspace_bytes);
        break;
    case LUC_GEMM_F64:
        luc_gemm_get()->gemm_f64(p, a, b, c, bias, workspace, workspace_bytes);
        break;
    case LUC_GEMM_F16:
    case LUC_GEMM_BF16:
        gemm_half(p, type == LUC_GEMM_BF16 ? LUCID_BF16 : LUCID_F16, a, b, c, bias, workspace,
                  workspace_bytes);
        break;
    case LUC_GEMM_I32:
        gemm_integers(p, rows_i32, a, b, c, bias);
        break;
    case LUC_GEMM_I64:
        gemm_integers(p, rows_i64, a, b, c, bias);
        break;
    }
}

/*
 * gemm.h: matrix products on plain pointers.
 *
 *     C = alpha * op(A) op(B) + beta * C, then + bias, then ReLU       op(A) [m,k], op(B) [k,n]
 *
 * Matrices are row-major with leading dimensions; a transposed operand is stored as [k,m] or
 * [n,k]. The sum for an element of C is added in an order that depends on the shape alone, so
 * results are the same bits with any number of threads. With beta = 0 C is not read and may hold
 * anything.
 */
#ifndef LUC_GEMM_H
#define LUC_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    LUC_GEMM_F32,
    LUC_GEMM_F64,
    LUC_GEMM_F16, /* F16, BF16: products and sums in float, rounded once at the end */
    LUC_GEMM_BF16,
    LUC_GEMM_I32, /* integers: exact, wrapping; alpha and beta are converted to the type */
    LUC_GEMM_I64,
} luc_gemm_type;

typedef enum {
    LUC_GEMM_NO_BIAS,
    LUC_GEMM_BIAS_COL, /* bias[n], one for each column of C */
    LUC_GEMM_BIAS_ROW, /* bias[m] */
} luc_gemm_bias;

typedef struct {
    int64_t m, n, k;
    bool trans_a, trans_b;
    int64_t lda, ldb, ldc;
    double alpha, beta;
    luc_gemm_bias bias_kind;
    bool relu;
    int64_t batch; /* independent products; 0 does nothing */
    int64_t stride_a, stride_b,
        stride_c; /* elements from one to the next; A and B may repeat (0) */
} luc_gemm_params;

/* Plain C = op(A) op(B) of dense matrices: the leading dimensions fit, alpha 1, beta 0, batch 1. */
static inline luc_gemm_params luc_gemm_plain(int64_t m, int64_t n, int64_t k, bool trans_a,
                                             bool trans_b)
{
    return (luc_gemm_params){
        .m = m,
        .n = n,
        .k = k,
        .trans_a = trans_a,
        .trans_b = trans_b,
        .lda = trans_a ? m : k,
        .ldb = trans_b ? k : n,
        .ldc = n,
        .alpha = 1,
        .batch = 1,
    };
}

/* Bytes of workspace for luc_gemm, with the number of threads set now. SIZE_MAX: the shape is too
   large to be computed (only for float16 and bfloat16, which are converted). */
size_t luc_gemm_workspace(const luc_gemm_params *p, luc_gemm_type type);

/* Computes it. a, b, c and bias (NULL without) are of `type`; workspace is 64-byte aligned, of at
   least luc_gemm_workspace bytes, and its content does not matter. */
void luc_gemm(const luc_gemm_params *p, luc_gemm_type type, const void *a, const void *b, void *c,
              const void *bias, void *workspace, size_t workspace_bytes);

/* Transposes `batch` dense matrices: dst [cols,rows] = src [rows,cols]; elements of 1, 2, 4 or 8
   bytes. NCHW to NHWC is rows = C, cols = H*W, batch = N; back is rows = H*W, cols = C. */
void luc_transpose(void *dst, const void *src, int64_t batch, int64_t rows, int64_t cols,
                   size_t element_bytes);

#endif

/* gemm_priv.h: what gemm.c and gemm_blocked.c, which is compiled for each level, share. */
#ifndef LUC_GEMM_PRIV_H
#define LUC_GEMM_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"

typedef struct {
    size_t (*scratch_f32)(const luc_gemm_params *p); /* bytes for each thread */
    size_t (*scratch_f64)(const luc_gemm_params *p);
    void (*gemm_f32)(const luc_gemm_params *p, const float *a, const float *b, float *c,
                     const float *bias, void *workspace, size_t bytes);
    void (*gemm_f64)(const luc_gemm_params *p, const double *a, const double *b, double *c,
                     const double *bias, void *workspace, size_t bytes);
    /* dst[c * ld_dst + r] = src[r * ld_src + c], 4-byte elements */
    void (*transpose_32)(float *dst, int64_t ld_dst, const float *src, int64_t ld_src, int64_t rows,
                         int64_t cols);
} luc_gemm_table;

LUC_DECLARE_TABLES(luc_gemm_table, luc_gemm)

#endif

/*
 * winograd.h: the transforms of Winograd's minimal filtering F(4x4, 3x3), on vectors of channels.
 *
 * A 4x4 block of outputs of a 3x3 kernel needs 36 products a channel pair instead of 144:
 * y = A' [ (G w G') * (B' d B) ] A for a 6x6 block d of inputs. The interpolation points are
 * 0, +-sqrt(1/2), +-sqrt(2) and infinity, not the usual 0, +-1, +-2: the error is then about twice
 * that of direct summation in float, instead of ten times.
 *
 * Included by per-level sources. Blocks are arrays of vectors, row by row.
 */
#ifndef LUC_WINOGRAD_H
#define LUC_WINOGRAD_H

#include "backends/cpu/simd.h"

enum {
    LUC_WINO_OUT = 4,   /* outputs of a block, in each direction */
    LUC_WINO_IN = 6,    /* inputs */
    LUC_WINO_SIZE = 36, /* products */
};

static const float luc_wino_a = 0.70710678118654752f, luc_wino_b = 1.41421356237309505f;

/* B' d: six numbers at distance `step` in d become six at distance `to_step` in v. */
LUC_INLINE void luc_wino_input_1d(const vf *d, int step, vf *v, int to_step)
{
    const vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const vf d5 = d[5 * step], half = vf_set1(0.5f), two = vf_set1(2), five = vf_set1(2.5f);
    const vf even_a = vf_fnma(two, d2, d4), odd_a = vf_fnma(two, d1, d3);
    const vf even_b = vf_fnma(half, d2, d4), odd_b = vf_fnma(half, d1, d3);
    const vf a = vf_set1(luc_wino_a), b = vf_set1(luc_wino_b);
    v[0] = vf_fnma(five, d2, vf_add(d0, d4));
    v[to_step] = vf_fma(a, odd_a, even_a);
    v[2 * to_step] = vf_fnma(a, odd_a, even_a);
    v[3 * to_step] = vf_fma(b, odd_b, even_b);
    v[4 * to_step] = vf_fnma(b, odd_b, even_b);
    v[5 * to_step] = vf_fnma(five, d3, vf_add(d1, d5));
}

/* A' m: six numbers become four. */
LUC_INLINE void luc_wino_output_1d(const vf *m, int step, vf *y, int to_step)
{
    const vf m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
    const vf sum_a = vf_add(m1, m2), diff_a = vf_sub(m1, m2);
    const vf sum_b = vf_add(m3, m4), diff_b = vf_sub(m3, m4);
    const vf a = vf_set1(luc_wino_a), b = vf_set1(luc_wino_b), half = vf_set1(0.5f);
    const vf a3 = vf_set1(0.5f * luc_wino_a), b3 = vf_set1(2 * luc_wino_b), two = vf_set1(2);
    y[0] = vf_add(vf_add(m0, sum_a), sum_b);
    y[to_step] = vf_fma(a, diff_a, vf_mul(b, diff_b));
    y[2 * to_step] = vf_fma(half, sum_a, vf_mul(two, sum_b));
    y[3 * to_step] = vf_fma(a3, diff_a, vf_fma(b3, diff_b, m[5 * step]));
}

/* G w: three numbers become six. */
LUC_INLINE void luc_wino_kernel_1d(const vf *w, int step, vf *u, int to_step)
{
    const vf w0 = w[0], w1 = w[step], w2 = w[2 * step];
    const vf na = vf_set1(-2.0f / 3), nb = vf_set1(1.0f / 6);
    const vf a = vf_set1(luc_wino_a), b = vf_set1(luc_wino_b);
    const vf even_a = vf_fma(vf_set1(0.5f), w2, w0), even_b = vf_fma(vf_set1(2), w2, w0);
    u[0] = w0;
    u[to_step] = vf_mul(na, vf_fma(a, w1, even_a));
    u[2 * to_step] = vf_mul(na, vf_fnma(a, w1, even_a));
    u[3 * to_step] = vf_mul(nb, vf_fma(b, w1, even_b));
    u[4 * to_step] = vf_mul(nb, vf_fnma(b, w1, even_b));
    u[5 * to_step] = w2;
}

#endif

/*
 * winograd_transforms.h: the transforms of Winograd's minimal filtering F(4x4, 3x3), on vectors of
 * channels.
 *
 * A 4x4 block of outputs of a 3x3 kernel needs 36 products for a pair of channels instead of 144:
 * y = A' [ (G w G') * (B' d B) ] A for a 6x6 block d of inputs. The interpolation points are
 * 0, +-sqrt(1/2), +-sqrt(2) and infinity, not the usual 0, +-1, +-2: the error is then about twice
 * that of direct summation in float, instead of ten times.
 *
 * Sources that are compiled for each level include this file. Blocks are arrays of vectors, row by
 * row.
 */
#ifndef LUC_WINOGRAD_H
#define LUC_WINOGRAD_H

#include "backends/cpu/simd/simd.h"

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

/* G w for four taps: four numbers become six. The weight gradient is the minimal filtering
   F(3x3, 4x4) at the same points: a 4x4 block of dy is the kernel, 3x3 weights are the outputs. */
LUC_INLINE void luc_wino_dy_1d(const vf *w, int step, vf *u, int to_step)
{
    const vf w0 = w[0], w1 = w[step], w2 = w[2 * step], w3 = w[3 * step];
    const vf na = vf_set1(-2.0f / 3), nb = vf_set1(1.0f / 6), half = vf_set1(0.5f);
    const vf a = vf_set1(luc_wino_a), b = vf_set1(luc_wino_b), two = vf_set1(2);
    const vf even_a = vf_fma(half, w2, w0), odd_a = vf_fma(half, w3, w1);
    const vf even_b = vf_fma(two, w2, w0), odd_b = vf_fma(two, w3, w1);
    u[0] = w0;
    u[to_step] = vf_mul(na, vf_fma(a, odd_a, even_a));
    u[2 * to_step] = vf_mul(na, vf_fnma(a, odd_a, even_a));
    u[3 * to_step] = vf_mul(nb, vf_fma(b, odd_b, even_b));
    u[4 * to_step] = vf_mul(nb, vf_fnma(b, odd_b, even_b));
    u[5 * to_step] = w3;
}

/* A' m for three outputs: six numbers become three. */
LUC_INLINE void luc_wino_weight_1d(const vf *m, int step, vf *y, int to_step)
{
    const vf m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
    const vf sum_a = vf_add(m1, m2), sum_b = vf_add(m3, m4);
    const vf a = vf_set1(luc_wino_a), b = vf_set1(luc_wino_b), half = vf_set1(0.5f);
    y[0] = vf_add(vf_add(m[0], sum_a), sum_b);
    y[to_step] = vf_fma(a, vf_sub(m1, m2), vf_mul(b, vf_sub(m3, m4)));
    y[2 * to_step] = vf_fma(half, sum_a, vf_fma(vf_set1(2), sum_b, m[5 * step]));
}

/* Where blocks of LUC_WINO_OUT x LUC_WINO_OUT pixels lie in images of `rows` by `cols` blocks. */
typedef struct {
    int64_t n, row, col; /* image, first pixel */
} luc_wino_place;

static inline luc_wino_place luc_wino_place_of(int64_t block, int64_t rows, int64_t cols)
{
    const int64_t at = block % (rows * cols);
    return (luc_wino_place){block / (rows * cols), at / cols * LUC_WINO_OUT,
                            at % cols * LUC_WINO_OUT};
}

/* An image in channels_last memory, and a vector of zeros for pixels outside of it. */
typedef struct {
    const float *pixels, *zeros;
    int64_t rows, cols, stride_r, stride_c;
} luc_wino_image;

/* The addresses of size x size pixels from (row, col), which may lie outside. */
static inline void luc_wino_pixels(const luc_wino_image *image, int64_t row, int64_t col, int size,
                                   const float **pixel)
{
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            const int64_t r = row + i, c = col + j;
            const bool in = r >= 0 && r < image->rows && c >= 0 && c < image->cols;
            *pixel++ =
                in ? image->pixels + r * image->stride_r + c * image->stride_c : image->zeros;
        }
}

/* Channels [c, c + n) of a pixel; n is at most a vector. */
LUC_INLINE vf luc_wino_load(const float *pixel, int64_t c, int64_t n)
{
    return n == LUC_VF ? vf_load(pixel + c) : vf_load_n(pixel + c, n);
}

/* A block has twice as many vectors as there are registers, so each transform goes through memory
   once, between columns and rows. Loops over the six are written out where the compiler would
   otherwise store the numbers once more. */

/* V = B' d B of one 6x6 block of pixels, n channels from c: v[e * step]. */
LUC_INLINE void luc_wino_input(const float *const *pixel, int64_t c, int64_t n, float *v,
                               int64_t step)
{
    vf half[LUC_WINO_SIZE];
    for (int i = 0; i < LUC_WINO_IN; i++) {
        const vf d[LUC_WINO_IN] = {
            luc_wino_load(pixel[i], c, n),      luc_wino_load(pixel[i + 6], c, n),
            luc_wino_load(pixel[i + 12], c, n), luc_wino_load(pixel[i + 18], c, n),
            luc_wino_load(pixel[i + 24], c, n), luc_wino_load(pixel[i + 30], c, n),
        };
        luc_wino_input_1d(d, 1, half + i, LUC_WINO_IN);
    }
    for (int i = 0; i < LUC_WINO_IN; i++, v += LUC_WINO_IN * step) {
        vf r[LUC_WINO_IN];
        luc_wino_input_1d(half + LUC_WINO_IN * i, 1, r, 1);
        vf_store(v, r[0]);
        vf_store(v + step, r[1]);
        vf_store(v + 2 * step, r[2]);
        vf_store(v + 3 * step, r[3]);
        vf_store(v + 4 * step, r[4]);
        vf_store(v + 5 * step, r[5]);
    }
}

/* The same for all channels: v[e * step + channel]. */
static inline void luc_wino_transform_input(const float *const *pixel, int64_t channels, float *v,
                                            int64_t step)
{
    int64_t c = 0;
    for (; c + LUC_VF <= channels; c += LUC_VF) luc_wino_input(pixel, c, LUC_VF, v + c, step);
    if (c < channels) luc_wino_input(pixel, c, channels - c, v + c, step);
}

/* D = G dy G' of one 4x4 block of pixels, n channels from c: to[e * step]. */
LUC_INLINE void luc_wino_dy(const float *const *pixel, int64_t c, int64_t n, float *to,
                            int64_t step)
{
    vf half[LUC_WINO_IN * LUC_WINO_OUT];
    for (int i = 0; i < LUC_WINO_OUT; i++) {
        const vf d[LUC_WINO_OUT] = {
            luc_wino_load(pixel[i], c, n),
            luc_wino_load(pixel[i + 4], c, n),
            luc_wino_load(pixel[i + 8], c, n),
            luc_wino_load(pixel[i + 12], c, n),
        };
        luc_wino_dy_1d(d, 1, half + i, LUC_WINO_OUT);
    }
    for (int i = 0; i < LUC_WINO_IN; i++, to += LUC_WINO_IN * step) {
        vf r[LUC_WINO_IN];
        luc_wino_dy_1d(half + LUC_WINO_OUT * i, 1, r, 1);
        vf_store(to, r[0]);
        vf_store(to + step, r[1]);
        vf_store(to + 2 * step, r[2]);
        vf_store(to + 3 * step, r[3]);
        vf_store(to + 4 * step, r[4]);
        vf_store(to + 5 * step, r[5]);
    }
}

/* A' m of one block, m[e * step]: the four rows of six from which luc_wino_output_1d makes the
   pixels. */
LUC_INLINE void luc_wino_output(const float *m, int64_t step, vf *half)
{
    for (int i = 0; i < LUC_WINO_IN; i++, m += step) {
        const vf column[LUC_WINO_IN] = {
            vf_load(m),
            vf_load(m + 6 * step),
            vf_load(m + 12 * step),
            vf_load(m + 18 * step),
            vf_load(m + 24 * step),
            vf_load(m + 30 * step),
        };
        luc_wino_output_1d(column, 1, half + i, LUC_WINO_IN);
    }
}

#endif

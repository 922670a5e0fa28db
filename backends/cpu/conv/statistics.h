/* statistics.h: adding pixels to the sums of a part's channels (luc_conv_sums) from registers.
 *
 * For a few pixels at a time, d = y - centre and d * d are summed in float. The centre is the mean
 * of some of these pixels, so the squares are not much larger than those around the pixels' own
 * mean, and what float loses is small beside the variance, wherever the mean is. These sums are
 * then added, in double, to sums around a base that all pixels of the part share. */
#ifndef LUC_CONV_SUMS_H
#define LUC_CONV_SUMS_H

#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/simd/template.h"

/* One vector of channels, of some pixels. */
typedef struct {
    vf centre, d, square;
} luc_sums_vector;

LUC_INLINE luc_sums_vector luc_sums_open(vf a, vf b, vf c, vf d)
{
    const vf sum = vf_add(vf_add(a, b), vf_add(c, d));
    return (luc_sums_vector){vf_mul(sum, vf_set1(0.25F)), vf_zero(), vf_zero()};
}

LUC_INLINE void luc_sums_take(luc_sums_vector *s, vf y)
{
    const vf d = vf_sub(y, s->centre);
    s->d = vf_add(s->d, d);
    s->square = vf_fma(d, d, s->square);
}

/* Where the base of the part's channel is; the sums follow, s->channels and twice as many on. */
LUC_INLINE double *luc_sums_of(const luc_conv_sums *s, int64_t part, int64_t channel)
{
    return s->sums + 3 * part * s->channels + channel;
}

/* The number of channels, of n, that are in half h of their vector. */
LUC_INLINE int64_t luc_sums_half(int64_t n, int h)
{
    return n == LUC_VF ? LUC_VD : luc_min64(luc_max64(n - h * LUC_VD, 0), LUC_VD);
}

/* Begins the sums of n channels, LUC_VF at most, around these. */
LUC_INLINE void luc_sums_begin(double *base, int64_t channels, vf first, int64_t n)
{
    for (int h = 0; h < luc_parts_f32; h++, base += LUC_VD) {
        const int64_t some = luc_sums_half(n, h);
        vd_store_n(base, luc_part_f32(first, h), some);
        vd_store_n(base + channels, vd_zero(), some);
        vd_store_n(base + 2 * channels, vd_zero(), some);
    }
}

/* Adds the sums of this number of pixels. */
LUC_INLINE void luc_sums_close(double *base, int64_t channels, const luc_sums_vector *s,
                               int64_t pixels, int64_t n)
{
    const vd count = vd_set1((double)pixels);
    for (int h = 0; h < luc_parts_f32; h++, base += LUC_VD) {
        const int64_t some = luc_sums_half(n, h);
        double *s1 = base + channels, *s2 = s1 + channels;
        const vd d = luc_part_f32(s->d, h), square = luc_part_f32(s->square, h);
        const vd off = vd_sub(luc_part_f32(s->centre, h), vd_load_n(base, some));
        const vd moved = vd_fma(count, off, d); /* sum of off + d; of (off + d)^2 is the next */
        const vd squares = vd_fma(off, vd_add(moved, d), square);
        vd_store_n(s1, vd_add(vd_load_n(s1, some), moved), some);
        vd_store_n(s2, vd_add(vd_load_n(s2, some), squares), some);
    }
}

#endif

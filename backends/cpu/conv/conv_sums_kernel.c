/*
 * conv_sums_kernel.c: the mean and the variance of a convolution's channels, from pixels that have
 * just been computed and are still in the cache; compiled once per CPU level.
 *
 * The pixels are cut into parts. Of each there are, for every channel, the sums of d and d * d in
 * double, where d = y - centre and the centre is the part's first pixel: one of its values, so that
 * the sums never cancel more than they can spare (see norm_priv.h). The parts are added in order.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/typed.h"

enum { MOST_VECTORS = 2 }; /* of channels at once: so many additions do not wait for one another */

static void sums_begin(const luc_conv_sums *s, int64_t part, const float *y, int64_t channel,
                       int64_t n)
{
    double *centre = s->sums + 3 * part * s->channels + channel, *s1 = centre + s->channels;
    double *s2 = s1 + s->channels;
    for (int64_t i = 0; i < n; i++) {
        centre[i] = isfinite(y[i]) ? (double)y[i] : 0;
        s1[i] = s2[i] = 0;
    }
}

/* `vectors` vectors of channels, n of which there are: all, or fewer than a vector. */
LUC_INLINE void add_columns(double *centre, int64_t channels, const float *y, int64_t pixels,
                            int64_t step, const int vectors, const bool whole, int64_t n)
{
    enum { WIDE = MOST_VECTORS * luc_parts_f32 };
    double *s1 = centre + channels, *s2 = s1 + channels;
    vd c[WIDE], a[WIDE], b[WIDE];
    const int wide = vectors * luc_parts_f32;
    for (int k = 0; k < wide; k++) {
        const int64_t some = whole ? LUC_VD : luc_min64(luc_max64(n - k * LUC_VD, 0), LUC_VD);
        c[k] = vd_load_n(centre + k * LUC_VD, some);
        a[k] = vd_load_n(s1 + k * LUC_VD, some);
        b[k] = vd_load_n(s2 + k * LUC_VD, some);
    }
    for (int64_t i = 0; i < pixels; i++, y += step)
        for (int v = 0; v < vectors; v++) {
            const vf x = whole ? vf_load(y + v * LUC_VF) : vf_load_n(y, n);
            for (int h = 0; h < luc_parts_f32; h++) {
                const int k = v * luc_parts_f32 + h;
                const vd d = vd_sub(luc_part_f32(x, h), c[k]);
                a[k] = vd_add(a[k], d);
                b[k] = vd_fma(d, d, b[k]);
            }
        }
    for (int k = 0; k < wide; k++) {
        const int64_t some = whole ? LUC_VD : luc_min64(luc_max64(n - k * LUC_VD, 0), LUC_VD);
        vd_store_n(s1 + k * LUC_VD, a[k], some);
        vd_store_n(s2 + k * LUC_VD, b[k], some);
    }
}

static void sums_add(const luc_conv_sums *s, int64_t part, const float *y, int64_t pixels,
                     int64_t step, int64_t channel, int64_t n)
{
    double *centre = s->sums + 3 * part * s->channels + channel;
    int64_t i = 0;
    for (; i + 2 * LUC_VF <= n; i += 2 * LUC_VF)
        add_columns(centre + i, s->channels, y + i, pixels, step, 2, true, 0);
    for (; i + LUC_VF <= n; i += LUC_VF)
        add_columns(centre + i, s->channels, y + i, pixels, step, 1, true, 0);
    if (i < n) add_columns(centre + i, s->channels, y + i, pixels, step, 1, false, n - i);
}

static void sums_finish(const luc_conv_sums *s, double *mean, double *var)
{
    const int64_t channels = s->channels;
    double pixels = 0;
    for (int64_t c = 0; c < channels; c++) mean[c] = var[c] = 0;
    for (int64_t part = 0; part < s->parts; part++) {
        const double *centre = s->sums + 3 * part * channels, *s1 = centre + channels;
        const double n = (double)s->pixels[part];
        for (int64_t c = 0; c < channels; c++) mean[c] += n * (centre[c] - s->sums[c]) + s1[c];
        pixels += n;
    }
    /* Around the first centre, so that the mean of a constant is that constant. */
    for (int64_t c = 0; c < channels; c++) mean[c] = s->sums[c] + mean[c] / pixels;
    /* of (centre + d - mean)^2 */
    for (int64_t part = 0; part < s->parts; part++) {
        const double *centre = s->sums + 3 * part * channels, *s1 = centre + channels;
        const double *s2 = s1 + channels, n = (double)s->pixels[part];
        for (int64_t c = 0; c < channels; c++) {
            const double off = centre[c] - mean[c];
            var[c] += s2[c] + off * (2 * s1[c] + n * off);
        }
    }
    for (int64_t c = 0; c < channels; c++) var[c] = var[c] < 0 ? 0 : var[c] / pixels;
}

const luc_conv_sums_table LUC_LEVEL_NAME(luc_conv_sums) = {
    .begin = sums_begin,
    .add = sums_add,
    .finish = sums_finish,
};

/*
 * conv_sums_kernel.c: the mean and the variance of a convolution's channels, from pixels that have
 * just been computed and are still in the cache; compiled once per CPU level.
 *
 * The pixels are cut into parts. Of each there are, for every channel, the sums of d and d * d, where
 * d = y - centre and the centre is the mean of the part's first pixels, as a float: so near to the
 * others that the sums cancel no more than they can spare, and that float holds a few of them. What
 * is added up of CHUNK pixels is added to sums in double; the parts follow one another in order.
 *
 * Squares that float cannot hold make a variance that is not finite, or next to nothing: such
 * channels are computed once more, in double.
 */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/typed.h"

enum {
    CHUNK = 64,       /* pixels */
    MOST_VECTORS = 4, /* of channels at once: so many additions do not wait for one another */
};

/* Smaller variances may have lost squares. */
static const double LEAST = 1e-30;

/* `vectors` vectors of channels where they are whole, or one of n channels. */
LUC_INLINE vf load(const float *p, int v, bool whole, int64_t n)
{
    return whole ? vf_load(p + v * LUC_VF) : vf_load_n(p, n);
}

/* to[0 .. n) += v */
LUC_INLINE void add_wide(double *to, vf v, bool whole, int64_t n)
{
    for (int h = 0; h < luc_parts_f32; h++, to += LUC_VD) {
        const int64_t some = whole ? LUC_VD : luc_min64(luc_max64(n - h * LUC_VD, 0), LUC_VD);
        vd_store_n(to, vd_add(vd_load_n(to, some), luc_part_f32(v, h)), some);
    }
}

/* At most CHUNK pixels. */
LUC_INLINE void add_columns(double *centre, int64_t channels, const float *y, int64_t pixels,
                            int64_t step, const int vectors, const bool whole, int64_t n)
{
    float narrow[MOST_VECTORS * LUC_VF];
    vf c[MOST_VECTORS], a[MOST_VECTORS], b[MOST_VECTORS];
    const int64_t width = whole ? vectors * LUC_VF : n;
    for (int64_t i = 0; i < width; i++) narrow[i] = (float)centre[i];
    for (int v = 0; v < vectors; v++) {
        c[v] = load(narrow, v, whole, n);
        a[v] = b[v] = vf_zero();
    }
    for (int64_t i = 0; i < pixels; i++, y += step)
        for (int v = 0; v < vectors; v++) {
            const vf d = vf_sub(load(y, v, whole, n), c[v]);
            a[v] = vf_add(a[v], d);
            b[v] = vf_fma(d, d, b[v]);
        }
    for (int v = 0; v < vectors; v++) {
        add_wide(centre + channels + v * LUC_VF, a[v], whole, n);
        add_wide(centre + 2 * channels + v * LUC_VF, b[v], whole, n);
    }
}

static void add_chunk(double *centre, int64_t channels, const float *y, int64_t pixels,
                      int64_t step, int64_t n)
{
    int64_t i = 0;
    for (; i + 4 * LUC_VF <= n; i += 4 * LUC_VF)
        add_columns(centre + i, channels, y + i, pixels, step, 4, true, 0);
    for (; i + 2 * LUC_VF <= n; i += 2 * LUC_VF)
        add_columns(centre + i, channels, y + i, pixels, step, 2, true, 0);
    for (; i + LUC_VF <= n; i += LUC_VF)
        add_columns(centre + i, channels, y + i, pixels, step, 1, true, 0);
    if (i < n) add_columns(centre + i, channels, y + i, pixels, step, 1, false, n - i);
}

static double *sums_of(const luc_conv_sums *s, int64_t part, int64_t channel)
{
    return s->sums + 3 * part * s->channels + channel;
}

static void clear_sums(const luc_conv_sums *s, double *centre, int64_t n)
{
    memset(centre + s->channels, 0, (size_t)n * sizeof *centre);
    memset(centre + 2 * s->channels, 0, (size_t)n * sizeof *centre);
}

/* The mean around the first pixel, in turn, is the centre of all. */
static void sums_begin(const luc_conv_sums *s, int64_t part, const float *y, int64_t pixels,
                       int64_t step, int64_t channel, int64_t n)
{
    double *centre = sums_of(s, part, channel);
    const int64_t some = luc_min64(pixels, CHUNK);
    clear_sums(s, centre, n);
    for (int64_t i = 0; i < n; i++) centre[i] = isfinite(y[i]) ? (double)y[i] : 0;
    add_chunk(centre, s->channels, y, some, step, n);
    for (int64_t i = 0; i < n; i++) {
        const float mean = (float)(centre[i] + centre[s->channels + i] / (double)some);
        if (isfinite(mean)) centre[i] = (double)mean;
    }
    clear_sums(s, centre, n);
}

static void sums_add(const luc_conv_sums *s, int64_t part, const float *y, int64_t pixels,
                     int64_t step, int64_t channel, int64_t n)
{
    double *centre = sums_of(s, part, channel);
    for (int64_t i = 0; i < pixels; i += CHUNK)
        add_chunk(centre, s->channels, y + i * step, luc_min64(pixels - i, CHUNK), step, n);
}

/* A channel's statistics as they are defined. */
static void define(const float *y, int64_t pixels, int64_t step, double *mean, double *var)
{
    double sum = 0, squares = 0, centre = isfinite(y[0]) ? (double)y[0] : 0;
    for (int64_t i = 0; i < pixels; i++) sum += (double)y[i * step] - centre;
    *mean = centre + sum / (double)pixels;
    for (int64_t i = 0; i < pixels; i++) {
        const double d = (double)y[i * step] - *mean;
        squares += d * d;
    }
    *var = squares / (double)pixels;
}

/* Of all pixels around the first part's centre, so that the mean of a constant is that constant. */
static int64_t find_means(const luc_conv_sums *s, double *mean)
{
    const int64_t channels = s->channels;
    int64_t pixels = 0;
    for (int64_t c = 0; c < channels; c++) mean[c] = 0;
    for (int64_t part = 0; part < s->parts; part++) {
        const double *centre = sums_of(s, part, 0), *s1 = centre + channels;
        const double n = (double)s->pixels[part];
        for (int64_t c = 0; c < channels; c++) mean[c] += n * (centre[c] - s->sums[c]) + s1[c];
        pixels += s->pixels[part];
    }
    for (int64_t c = 0; c < channels; c++) mean[c] = s->sums[c] + mean[c] / (double)pixels;
    return pixels;
}

static bool is_constant(const luc_conv_sums *s, int64_t c)
{
    for (int64_t part = 0; part < s->parts; part++) {
        const double *centre = sums_of(s, part, c);
        if (*centre != s->sums[c] || centre[s->channels] != 0) return false;
    }
    return true;
}

static void sums_finish(const luc_conv_sums *s, const float *y, double *mean, double *var)
{
    const int64_t channels = s->channels, pixels = find_means(s, mean);
    for (int64_t c = 0; c < channels; c++) var[c] = 0;
    for (int64_t part = 0; part < s->parts; part++) {
        const double *centre = sums_of(s, part, 0), *s1 = centre + channels, *s2 = s1 + channels;
        const double n = (double)s->pixels[part];
        for (int64_t c = 0; c < channels; c++) { /* sum of (centre + d - mean)^2 */
            const double off = centre[c] - mean[c];
            var[c] += s2[c] + off * (2 * s1[c] + n * off);
        }
    }
    for (int64_t c = 0; c < channels; c++) {
        var[c] /= (double)pixels;
        if (!(var[c] >= LEAST && isfinite(var[c])) && !is_constant(s, c))
            define(y + c, pixels, channels, &mean[c], &var[c]);
    }
}

const luc_conv_sums_table LUC_LEVEL_NAME(luc_conv_sums) = {
    .begin = sums_begin,
    .add = sums_add,
    .finish = sums_finish,
};

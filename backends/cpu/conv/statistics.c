/*
 * statistics.c: the mean and the variance of a convolution's channels, from pixels that have
 * just been computed and are still in the cache; compiled once per CPU level.
 *
 * The pixels are cut into parts, whose sums (statistics.h) are put together in order. Squares that
 * float cannot hold make a variance that is not finite, or close to 0: such channels are
 * computed once more, in double.
 */
#include "backends/cpu/conv/statistics.h"

enum {
    CHUNK = 32,       /* pixels whose sums are floats */
    MOST_VECTORS = 4, /* vectors of channels at once: their additions do not wait for one another */
};

/* Smaller variances may have lost squares. */
static const double LEAST = 1e-30;

LUC_INLINE vf load(const float *y, int v, int64_t n)
{
    return n == LUC_VF ? vf_load(y + v * LUC_VF) : vf_load_n(y, n);
}

/* Sums of at most CHUNK pixels, for `vectors` whole vectors of channels, or for one vector with n
   channels. */
LUC_INLINE void add_columns(double *base, int64_t channels, const float *y, int64_t pixels,
                            int64_t step, const int vectors, int64_t n)
{
    luc_sums_vector s[MOST_VECTORS];
    const float *y1 = y + pixels / 4 * step, *y2 = y + pixels / 2 * step;
    const float *y3 = y + (pixels - 1) * step;
    for (int v = 0; v < vectors; v++)
        s[v] = luc_sums_open(load(y, v, n), load(y1, v, n), load(y2, v, n), load(y3, v, n));
    for (int64_t i = 0; i < pixels; i++)
        for (int v = 0; v < vectors; v++) luc_sums_take(&s[v], load(y + i * step, v, n));
    for (int v = 0; v < vectors; v++) luc_sums_close(base + v * LUC_VF, channels, &s[v], pixels, n);
}

static void add_chunk(double *base, int64_t channels, const float *y, int64_t pixels, int64_t step,
                      int64_t n)
{
    int64_t i = 0;
    for (; i + 4 * LUC_VF <= n; i += 4 * LUC_VF)
        add_columns(base + i, channels, y + i, pixels, step, 4, LUC_VF);
    for (; i + 2 * LUC_VF <= n; i += 2 * LUC_VF)
        add_columns(base + i, channels, y + i, pixels, step, 2, LUC_VF);
    for (; i + LUC_VF <= n; i += LUC_VF)
        add_columns(base + i, channels, y + i, pixels, step, 1, LUC_VF);
    if (i < n) add_columns(base + i, channels, y + i, pixels, step, 1, n - i);
}

static void sums_begin(const luc_conv_sums *s, int64_t part, const float *y, int64_t channel,
                       int64_t n)
{
    double *base = luc_sums_of(s, part, channel);
    for (int64_t i = 0; i < n; i += LUC_VF) {
        const int64_t some = luc_min64(LUC_VF, n - i);
        luc_sums_begin(base + i, s->channels, vf_load_n(y + i, some), some);
    }
}

static void sums_add(const luc_conv_sums *s, int64_t part, const float *y, int64_t pixels,
                     int64_t step, int64_t channel, int64_t n)
{
    double *base = luc_sums_of(s, part, channel);
    for (int64_t i = 0; i < pixels; i += CHUNK)
        add_chunk(base, s->channels, y + i * step, luc_min64(pixels - i, CHUNK), step, n);
}

/* A channel's statistics by their definition. The loop ends at the first NaN, because the result is
   NaN then, and a training that has diverged would otherwise wait here for every channel. */
static void define(const float *y, int64_t pixels, int64_t step, double *mean, double *var)
{
    double sum = 0, squares = 0, centre = isfinite(y[0]) ? (double)y[0] : 0;
    for (int64_t i = 0; i < pixels && !isnan(sum); i++) sum += (double)y[i * step] - centre;
    *mean = centre + sum / (double)pixels;
    for (int64_t i = 0; i < pixels && !isnan(squares); i++) {
        const double d = (double)y[i * step] - *mean;
        squares += d * d;
    }
    *var = squares / (double)pixels;
}

/* The statistics of all pixels are taken around the first part's base, so that the mean of a
   constant is that constant. */
static int64_t find_means(const luc_conv_sums *s, double *mean)
{
    const int64_t channels = s->channels;
    int64_t pixels = 0;
    for (int64_t c = 0; c < channels; c++) mean[c] = 0;
    for (int64_t part = 0; part < s->parts; part++) {
        const double *base = luc_sums_of(s, part, 0), *s1 = base + channels;
        const double n = (double)s->pixels[part];
        for (int64_t c = 0; c < channels; c++) mean[c] += n * (base[c] - s->sums[c]) + s1[c];
        pixels += s->pixels[part];
    }
    for (int64_t c = 0; c < channels; c++) mean[c] = s->sums[c] + mean[c] / (double)pixels;
    return pixels;
}

/* Every pixel equals the base, or is so near it that its square is 0. */
static bool is_constant(const luc_conv_sums *s, int64_t c)
{
    for (int64_t part = 0; part < s->parts; part++) {
        const double *base = luc_sums_of(s, part, c), *s1 = base + s->channels;
        if (*base != s->sums[c] || *s1 != 0 || s1[s->channels] != 0) return false;
    }
    return true;
}

static void sums_finish(const luc_conv_sums *s, const float *y, double *mean, double *var)
{
    const int64_t channels = s->channels, pixels = find_means(s, mean);
    for (int64_t c = 0; c < channels; c++) var[c] = 0;
    for (int64_t part = 0; part < s->parts; part++) {
        const double *base = luc_sums_of(s, part, 0), *s1 = base + channels, *s2 = s1 + channels;
        const double n = (double)s->pixels[part];
        for (int64_t c = 0; c < channels; c++) { /* sum of (base + d - mean)^2 */
            const double off = base[c] - mean[c];
            var[c] += s2[c] + off * (2 * s1[c] + n * off);
        }
    }
    for (int64_t c = 0; c < channels; c++) {
        var[c] /= (double)pixels;
        if (!(var[c] >= LEAST && isfinite(var[c])) && !is_constant(s, c))
            define(y + c, pixels, channels, &mean[c], &var[c]);
    }
}

LUC_LEVEL_TABLE(luc_conv_sums_table, luc_conv_sums) = {
    .begin = sums_begin,
    .add = sums_add,
    .finish = sums_finish,
};

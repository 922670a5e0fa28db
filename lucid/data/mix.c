#include "lucid/data/mix.h"

#include "lucid/data/sampler_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

/* ---- what is drawn --------------------------------------------------------------------------- */

static double normal(lucid_generator *rng)
{
    const double u = 1 - luc_draw(rng);
    return sqrt(-2 * log(u)) * cos(luc_draw(rng) * (2 * 3.14159265358979323846));
}

/* A number of the gamma distribution, as its logarithm, so that small shapes keep their meaning
 * (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000). */
static double log_gamma_number(double shape, lucid_generator *rng)
{
    double less = 0;
    if (shape < 1) {
        less = log(1 - luc_draw(rng)) / shape;
        shape += 1;
    }
    const double d = shape - 1. / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = normal(rng), v = 1 + c * x;
        if (v <= 0) continue;
        const double cube = v * v * v, u = 1 - luc_draw(rng);
        if (log(u) < 0.5 * x * x + d - d * cube + d * log(cube)) return log(d * cube) + less;
    }
}

/* A number of Beta(alpha, alpha). */
static double beta_number(double alpha, lucid_generator *rng)
{
    if (alpha == 1) return luc_draw(rng);
    const double a = log_gamma_number(alpha, rng), b = log_gamma_number(alpha, rng);
    return 1 / (1 + exp(b - a));
}

/* Each batch has numbers of its own. */
static lucid_generator generator_of(const lucid_batch *b, uint64_t seed)
{
    uint32_t key[4];
    lucid_philox(seed, (uint64_t)b->epoch, key);
    return (lucid_generator){(uint64_t)key[1] << 32 | key[0], (uint64_t)b->number << 24};
}

/* ---- the batch ------------------------------------------------------------------------------- */

static bool check(const lucid_batch *b, int64_t classes, const lucid_mix_options *o, const char *op)
{
    if (!b || !b->x || !b->y)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "batch: expected one of lucid_next, got %s",
                         b ? "none" : "NULL");
    if (!(o->alpha >= 1e-300) || !isfinite(o->alpha)) /* below, its reciprocal is infinite */
        return luc_raise(LUCID_ERR_ARGUMENT, op, "alpha: expected at least 1e-300, got %g",
                         o->alpha);
    if (classes < 1 || classes > 1 << 24)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "classes: expected 1 to 2^24, got %lld",
                         (long long)classes);
    if (lucid_tensor_dtype(b->x) != LUCID_F32 || lucid_ndim(b->x) != 4 ||
        lucid_tensor_device(b->x).type != LUCID_CPU || !lucid_is_contiguous(b->x, LUCID_CONTIGUOUS))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "batch: expected x float32 [n,C,H,W] on the CPU, contiguous, got %s %s on "
                         "%s",
                         lucid_dtype_name(lucid_tensor_dtype(b->x)), luc_shape_text(b->x).s,
                         lucid_device_name(lucid_tensor_device(b->x)));
    if (lucid_tensor_dtype(b->y) != LUCID_I64 || lucid_ndim(b->y) != 1 ||
        lucid_size(b->y, 0) != lucid_size(b->x, 0) || lucid_tensor_device(b->y).type != LUCID_CPU ||
        !lucid_is_contiguous(b->y, LUCID_CONTIGUOUS))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "batch: expected y int64 [%lld], got %s %s",
                         (long long)lucid_size(b->x, 0), lucid_dtype_name(lucid_tensor_dtype(b->y)),
                         luc_shape_text(b->y).s);
    const int64_t *y = lucid_data(b->y);
    for (int64_t i = 0; i < lucid_numel(b->y); i++)
        if (y[i] < 0 || y[i] >= classes)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "batch: expected classes in [0,%lld), got %lld at %lld",
                             (long long)classes, (long long)y[i], (long long)i);
    return true;
}

/* The targets: `part` of the class of each image, the rest of the class of the one before. */
static lucid_tensor *mixed_targets(const lucid_batch *b, int64_t classes, double part)
{
    const int64_t n = lucid_size(b->y, 0), *y = lucid_data(b->y);
    lucid_tensor *t = lucid_zeros_opt(LUCID_SHAPE(n, classes), NULL);
    float *p = t ? lucid_mutable_data(t) : NULL;
    for (int64_t i = 0; p && i < n; i++) {
        p[i * classes + y[i]] += (float)part;
        p[i * classes + y[i ? i - 1 : n - 1]] += (float)(1 - part);
    }
    return t;
}

static void blend(const lucid_tensor *from, lucid_tensor *to, float part)
{
    const int64_t n = lucid_size(from, 0), one = n ? lucid_numel(from) / n : 0;
    const float *x = lucid_data(from);
    float *out = lucid_mutable_data(to);
    for (int64_t i = 0; i < n; i++) {
        const float *a = x + i * one, *b = x + (i ? i - 1 : n - 1) * one;
        for (int64_t k = 0; k < one; k++) out[i * one + k] = part * a[k] + (1 - part) * b[k];
    }
}

/* Puts the rectangle box = {top, bottom, left, right} of the image before into each. */
static void paste(const lucid_tensor *from, lucid_tensor *to, const int64_t box[4])
{
    const int64_t n = lucid_size(from, 0), c = lucid_size(from, 1), h = lucid_size(from, 2);
    const int64_t w = lucid_size(from, 3), one = c * h * w;
    const float *x = lucid_data(from);
    float *out = lucid_mutable_data(to);
    if (n * one == 0) return;
    memcpy(out, x, (size_t)(n * one) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t y = box[0]; y < box[1]; y++)
                memcpy(out + i * one + (k * h + y) * w + box[2],
                       x + (i ? i - 1 : n - 1) * one + (k * h + y) * w + box[2],
                       (size_t)(box[3] - box[2]) * sizeof *x);
}

static int64_t clamp(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

static bool mix(lucid_batch *batch, int64_t classes, const lucid_mix_options *options, bool cut,
                const char *op)
{
    options = LUC_OPTIONS(lucid_mix, options, op);
    if (!options || !check(batch, classes, options, op)) return false;
    lucid_generator rng = generator_of(batch, options->seed);
    double part = beta_number(options->alpha, &rng);
    const int64_t h = lucid_size(batch->x, 2), w = lucid_size(batch->x, 3);
    int64_t box[4] = {0};
    if (cut && h > 0 && w > 0) {
        const double half = 0.5 * sqrt(1 - part);
        const int64_t rh = (int64_t)(half * (double)h), rw = (int64_t)(half * (double)w);
        const int64_t x = (int64_t)lucid_random_below(&rng, (uint64_t)w);
        const int64_t y = (int64_t)lucid_random_below(&rng, (uint64_t)h);
        box[0] = clamp(y - rh, h), box[1] = clamp(y + rh, h);
        box[2] = clamp(x - rw, w), box[3] = clamp(x + rw, w);
        part = 1 - (double)((box[1] - box[0]) * (box[3] - box[2])) / (double)(h * w);
    }
    lucid_tensor *y = mixed_targets(batch, classes, part);
    lucid_tensor *x = y ? lucid_empty_opt(lucid_tensor_shape(batch->x), NULL) : NULL;
    if (!x) return false;
    if (cut)
        paste(batch->x, x, box);
    else
        blend(batch->x, x, (float)part);
    batch->x = x;
    batch->y = y;
    return true;
}

bool lucid_data_mixup(lucid_batch *batch, int64_t classes, const lucid_mix_options *options)
{
    return mix(batch, classes, options, false, "data_Mixup");
}

bool lucid_data_cutmix(lucid_batch *batch, int64_t classes, const lucid_mix_options *options)
{
    return mix(batch, classes, options, true, "data_CutMix");
}

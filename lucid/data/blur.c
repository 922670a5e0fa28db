/* blur.c: blur and erasing. */
#include "lucid/data/colour.h"
#include "lucid/data/transform_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"

#include <math.h>
#include <string.h>

enum { MOST_KERNEL = 255 };

/* ---- GaussianBlur ---------------------------------------------------------------------------- */

typedef struct blur {
    lucid_transform base;
    int64_t kernel[2];
    lucid_range sigma;
} blur;

static void gaussian(float *weights, int64_t n, double sigma)
{
    double w[MOST_KERNEL], sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = ((double)i - (double)(n - 1) / 2) / sigma;
        sum += w[i] = exp(-0.5 * x * x);
    }
    for (int64_t i = 0; i < n; i++) weights[i] = (float)(w[i] / sum);
}

/* One channel along its rows into `to`, whose rows are as long; `line` has room for a row and its
 * edges. */
static void blur_rows(const float *from, int64_t h, int64_t w, const float *weights, int64_t n,
                      float *line, float *to)
{
    const int64_t half = n / 2;
    for (int64_t y = 0; y < h; y++) {
        memcpy(line + half, from + y * w, (size_t)w * sizeof *line);
        for (int64_t x = 0; x < half; x++) {
            line[x] = from[y * w + luc_pad_index(x - half, w, LUCID_BORDER_REFLECT)];
            line[half + w + x] = from[y * w + luc_pad_index(w + x, w, LUCID_BORDER_REFLECT)];
        }
        float *out = to + y * w;
        memset(out, 0, (size_t)w * sizeof *out);
        for (int64_t k = 0; k < n; k++)
            for (int64_t x = 0; x < w; x++) out[x] += weights[k] * line[x + k];
    }
}

static void blur_columns(const float *from, int64_t h, int64_t w, const float *weights, int64_t n,
                         float *to)
{
    for (int64_t y = 0; y < h; y++) {
        float *out = to + y * w;
        memset(out, 0, (size_t)w * sizeof *out);
        for (int64_t k = 0; k < n; k++) {
            const float *row = from + luc_pad_index(y + k - n / 2, h, LUCID_BORDER_REFLECT) * w;
            for (int64_t x = 0; x < w; x++) out[x] += weights[k] * row[x];
        }
    }
}

static bool blur_planes(const blur *b, const luc_picture *p, double sigma, void *data)
{
    const int64_t plane = p->h * p->w;
    float wy[MOST_KERNEL], wx[MOST_KERNEL];
    gaussian(wy, b->kernel[0], sigma);
    gaussian(wx, b->kernel[1], sigma);
    float *memory =
        luc_calloc((size_t)(2 * plane + p->w + b->kernel[1]), sizeof *memory, b->base.name);
    if (!memory) return false;
    float *first = memory, *second = memory + plane, *line = second + plane;
    for (int64_t k = 0; k < p->c; k++) {
        const float *from = (const float *)p->data + k * plane;
        if (p->dtype == LUCID_U8) {
            for (int64_t i = 0; i < plane; i++)
                second[i] = (float)((const uint8_t *)p->data)[k * plane + i];
            from = second;
        }
        blur_rows(from, p->h, p->w, wx, b->kernel[1], line, first);
        float *to = p->dtype == LUCID_U8 ? second : (float *)data + k * plane;
        blur_columns(first, p->h, p->w, wy, b->kernel[0], to);
        if (p->dtype == LUCID_U8)
            for (int64_t i = 0; i < plane; i++)
                ((uint8_t *)data)[k * plane + i] = luc_byte(nearbyintf(to[i]));
    }
    luc_free(memory);
    return true;
}

static lucid_tensor *blur_apply(const lucid_transform *t, lucid_tensor *image, lucid_generator *rng)
{
    const blur *b = (const blur *)t;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, p.dtype, &data, t->name);
    if (!out || p.h * p.w == 0) return out;
    return blur_planes(b, &p, luc_draw_range(rng, b->sigma), data) ? out : NULL;
}

lucid_transform *lucid_data_gaussian_blur(lucid_extent kernel_size,
                                          const lucid_gaussian_blur_options *options)
{
    static const char op[] = "data_GaussianBlur";
    int64_t kernel[2];
    options = LUC_OPTIONS(lucid_gaussian_blur, options, op);
    if (!options || !luc_check_range(options->sigma, 1e-6, 1e6, "sigma", op)) return NULL;
    lucid_extent_get(kernel_size, kernel);
    for (int i = 0; i < 2; i++)
        if (kernel[i] < 1 || kernel[i] > MOST_KERNEL || kernel[i] % 2 == 0)
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "kernel_size: expected an odd number, 1 to %d, got %lld",
                                  MOST_KERNEL, (long long)kernel[i]);
    blur *b = luc_transform_new(
        sizeof *b, &(lucid_transform){.name = op, .apply = blur_apply, .infer = luc_infer_same});
    if (!b) return NULL;
    b->kernel[0] = kernel[0];
    b->kernel[1] = kernel[1];
    b->sigma = options->sigma;
    return &b->base;
}

/* ---- RandomErasing --------------------------------------------------------------------------- */

typedef struct erasing {
    lucid_transform base;
    lucid_random_erasing_options options;
} erasing;

/* Two normal numbers of one block (Box and Muller). */
static void normal_pair(lucid_generator *rng, float out[2])
{
    const double u = 1 - luc_draw(rng), angle = luc_draw(rng) * (2 * 3.14159265358979323846);
    const double r = sqrt(-2 * log(u));
    out[0] = (float)(r * cos(angle));
    out[1] = (float)(r * sin(angle));
}

static void erase(const erasing *e, const luc_picture *p, const int64_t box[4], void *data,
                  lucid_generator *rng)
{
    float pair[2] = {0};
    int64_t drawn = 0;
    const float value = (float)e->options.value;
    for (int64_t k = 0; k < p->c; k++)
        for (int64_t y = box[0]; y < box[0] + box[2]; y++)
            for (int64_t x = box[1]; x < box[1] + box[3]; x++, drawn++) {
                const int64_t i = (k * p->h + y) * p->w + x;
                if (p->dtype == LUCID_U8) {
                    ((uint8_t *)data)[i] =
                        e->options.random ? (uint8_t)lucid_random_below(rng, 256) : luc_byte(value);
                    continue;
                }
                if (e->options.random && drawn % 2 == 0) normal_pair(rng, pair);
                ((float *)data)[i] = e->options.random ? pair[drawn % 2] : value;
            }
}

static lucid_tensor *erasing_apply(const lucid_transform *t, lucid_tensor *image,
                                   lucid_generator *rng)
{
    const erasing *e = (const erasing *)t;
    const lucid_random_erasing_options *o = &e->options;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    if (!(luc_draw(rng) < o->p)) return image;
    const double area = (double)p.h * (double)p.w;
    const lucid_range ratios = lucid_range(log(o->ratio.low), log(o->ratio.high));
    for (int tries = 0; tries < 10; tries++) {
        const double target = area * luc_draw_range(rng, o->scale);
        const double ratio = exp(luc_draw_range(rng, ratios));
        const int64_t h = (int64_t)nearbyint(sqrt(target * ratio));
        const int64_t w = (int64_t)nearbyint(sqrt(target / ratio));
        if (h >= p.h || w >= p.w) continue;
        const int64_t box[] = {(int64_t)lucid_random_below(rng, (uint64_t)(p.h - h) + 1),
                               (int64_t)lucid_random_below(rng, (uint64_t)(p.w - w) + 1), h, w};
        lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, p.dtype, &data, t->name);
        if (!out) return NULL;
        memcpy(data, p.data, (size_t)(p.c * p.h * p.w) * lucid_dtype_size(p.dtype));
        erase(e, &p, box, data, rng);
        return out;
    }
    return image;
}

lucid_transform *lucid_data_random_erasing(const lucid_random_erasing_options *options)
{
    static const char op[] = "data_RandomErasing";
    options = LUC_OPTIONS(lucid_random_erasing, options, op);
    if (!options || !luc_check_p(options->p, op) ||
        !luc_check_range(options->scale, 0, 1, "scale", op) ||
        !luc_check_range(options->ratio, 1e-6, 1e6, "ratio", op))
        return NULL;
    if (!isfinite(options->value))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "value: expected a finite number, got %g",
                              options->value);
    erasing *e = luc_transform_new(
        sizeof *e, &(lucid_transform){.name = op, .apply = erasing_apply, .infer = luc_infer_same});
    if (!e) return NULL;
    e->options = *options;
    return &e->base;
}

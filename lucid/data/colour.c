/* colour.c: colours. Bytes lose their fractions, as in torchvision. */
#include "lucid/data/colour.h"

#include "lucid/data/transform_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"

#include <math.h>
#include <string.h>

static bool check_channels(int64_t c, const char *op)
{
    return c == 1 || c == 3 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "image: expected 1 or 3 channels, got %lld",
                     (long long)c);
}

static bool infer_colours(const lucid_transform *t, const lucid_sample_spec *in,
                          lucid_sample_spec *out)
{
    return luc_infer_same(t, in, out) &&
           (in->shape.dims[0] < 0 || check_channels(in->shape.dims[0], t->name));
}

static inline float gray_of(float r, float g, float b)
{
    return r * 0.2989f + g * 0.587f + b * 0.114f;
}

static inline float within(float v, float most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

/* ---- gray ------------------------------------------------------------------------------------ */

typedef struct grayscale {
    lucid_transform base;
    int64_t channels; /* of the result; 0: those of the image */
    double p;
} grayscale;

static void gray_plane(const luc_picture *p, void *to)
{
    const int64_t plane = p->h * p->w;
    if (p->dtype == LUCID_U8) {
        const uint8_t *r = p->data, *g = r + plane, *b = g + plane;
        uint8_t *out = to;
        for (int64_t i = 0; i < plane; i++) out[i] = (uint8_t)gray_of(r[i], g[i], b[i]);
    } else {
        const float *r = p->data, *g = r + plane, *b = g + plane;
        float *out = to;
        for (int64_t i = 0; i < plane; i++) out[i] = gray_of(r[i], g[i], b[i]);
    }
}

static lucid_tensor *grayscale_apply(const lucid_transform *t, lucid_tensor *image,
                                     lucid_generator *rng)
{
    const grayscale *s = (const grayscale *)t;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->name) || !check_channels(p.c, t->name)) return NULL;
    if (s->p < 1 && !(luc_draw(rng) < s->p)) return image;
    const int64_t channels = s->channels ? s->channels : p.c;
    lucid_tensor *out = luc_picture_new(channels, p.h, p.w, p.dtype, &data, t->name);
    if (!out || p.h * p.w == 0) return out;
    const size_t bytes = (size_t)(p.h * p.w) * lucid_dtype_size(p.dtype);
    if (p.c == 3)
        gray_plane(&p, data);
    else
        memcpy(data, p.data, bytes);
    for (int64_t k = 1; k < channels; k++) memcpy((char *)data + (size_t)k * bytes, data, bytes);
    return out;
}

static bool grayscale_infer(const lucid_transform *t, const lucid_sample_spec *in,
                            lucid_sample_spec *out)
{
    const grayscale *s = (const grayscale *)t;
    if (!infer_colours(t, in, out)) return false;
    if (s->channels) out->shape.dims[0] = s->channels;
    return true;
}

static lucid_transform *grayscale_new(int64_t channels, double p, const char *op)
{
    grayscale *s = luc_transform_new(
        sizeof *s,
        &(lucid_transform){.name = op, .apply = grayscale_apply, .infer = grayscale_infer});
    if (!s) return NULL;
    s->channels = channels;
    s->p = p;
    return &s->base;
}

lucid_transform *lucid_data_grayscale(const lucid_grayscale_options *options)
{
    static const char op[] = "data_Grayscale";
    options = LUC_OPTIONS(lucid_grayscale, options, op);
    if (!options) return NULL;
    if (options->channels != 1 && options->channels != 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "channels: expected 1 or 3, got %lld",
                              (long long)options->channels);
    return grayscale_new(options->channels, 1, op);
}

lucid_transform *lucid_data_random_grayscale(const lucid_random_grayscale_options *options)
{
    static const char op[] = "data_RandomGrayscale";
    options = LUC_OPTIONS(lucid_random_grayscale, options, op);
    if (!options || !luc_check_p(options->p, op)) return NULL;
    return grayscale_new(0, options->p, op);
}

/* ---- brightness, contrast, saturation -------------------------------------------------------- */

/* Every value times `factor`, plus `add`. */
static void scale_values(void *data, lucid_dtype dtype, int64_t n, float factor, float add)
{
    if (dtype == LUCID_F32) {
        float *p = data;
        for (int64_t i = 0; i < n; i++) p[i] = within(p[i] * factor + add, 1);
        return;
    }
    uint8_t table[256], *p = data;
    for (int i = 0; i < 256; i++) table[i] = (uint8_t)within((float)i * factor + add, 255);
    for (int64_t i = 0; i < n; i++) p[i] = table[p[i]];
}

/* The mean of the gray picture, of bytes without its fractions. */
static double gray_mean(const void *data, lucid_dtype dtype, int64_t c, int64_t plane)
{
    double sum = 0;
    if (dtype == LUCID_U8) {
        const uint8_t *r = data, *g = c == 3 ? r + plane : r, *b = c == 3 ? g + plane : r;
        int64_t whole = 0;
        for (int64_t i = 0; i < plane; i++)
            whole += c == 3 ? (int64_t)gray_of(r[i], g[i], b[i]) : r[i];
        sum = (double)whole;
    } else {
        const float *r = data, *g = c == 3 ? r + plane : r, *b = c == 3 ? g + plane : r;
        for (int64_t i = 0; i < plane; i++)
            sum += (double)(c == 3 ? gray_of(r[i], g[i], b[i]) : r[i]);
    }
    return sum / (double)plane;
}

static void contrast(void *data, lucid_dtype dtype, int64_t c, int64_t plane, double factor)
{
    const float mean = (float)gray_mean(data, dtype, c, plane);
    scale_values(data, dtype, c * plane, (float)factor, (float)(1 - factor) * mean);
}

static void saturate(void *data, lucid_dtype dtype, int64_t plane, double factor)
{
    const float by = (float)factor, rest = (float)(1 - factor);
    if (dtype == LUCID_U8) {
        uint8_t *r = data, *g = r + plane, *b = g + plane;
        for (int64_t i = 0; i < plane; i++) {
            const float gray = rest * (float)(int)gray_of(r[i], g[i], b[i]);
            r[i] = (uint8_t)within((float)r[i] * by + gray, 255);
            g[i] = (uint8_t)within((float)g[i] * by + gray, 255);
            b[i] = (uint8_t)within((float)b[i] * by + gray, 255);
        }
        return;
    }
    float *r = data, *g = r + plane, *b = g + plane;
    for (int64_t i = 0; i < plane; i++) {
        const float gray = rest * gray_of(r[i], g[i], b[i]);
        r[i] = within(r[i] * by + gray, 1);
        g[i] = within(g[i] * by + gray, 1);
        b[i] = within(b[i] * by + gray, 1);
    }
}

/* ---- hue ------------------------------------------------------------------------------------- */

/* Turns a colour on the circle of hues. Largest and smallest part stay. */
static void turn_hue(float rgb[3], float by)
{
    const float r = rgb[0], g = rgb[1], b = rgb[2];
    const float most = fmaxf(r, fmaxf(g, b)), least = fminf(r, fminf(g, b)), range = most - least;
    if (!(range > 0)) return;
    const float rc = (most - r) / range, gc = (most - g) / range, bc = (most - b) / range;
    float h = most == r ? bc - gc : most == g ? 2 + rc - bc : 4 + gc - rc;
    h = h / 6 + 1 + by;
    h -= floorf(h);
    if (!isfinite(h)) return; /* a NaN or an infinity has no hue */
    const float s = range / most, h6 = h * 6, sector = floorf(h6), f = h6 - sector;
    const float p = within(most * (1 - s), 1), q = within(most * (1 - s * f), 1);
    const float t = within(most * (1 - s * (1 - f)), 1);
    const float out[6][3] = {{most, t, p}, {q, most, p}, {p, most, t},
                             {p, q, most}, {t, p, most}, {most, p, q}};
    memcpy(rgb, out[(int)sector % 6], sizeof out[0]);
}

static void shift_hue(void *data, lucid_dtype dtype, int64_t plane, float by)
{
    for (int64_t i = 0; i < plane; i++) {
        float rgb[3];
        if (dtype == LUCID_U8) {
            uint8_t *p = (uint8_t *)data + i;
            for (int k = 0; k < 3; k++) rgb[k] = (float)p[k * plane] / 255.0f;
            turn_hue(rgb, by);
            for (int k = 0; k < 3; k++) p[k * plane] = luc_byte(rgb[k] * 255.999f);
        } else {
            float *p = (float *)data + i;
            for (int k = 0; k < 3; k++) rgb[k] = p[k * plane];
            turn_hue(rgb, by);
            for (int k = 0; k < 3; k++) p[k * plane] = rgb[k];
        }
    }
}

/* ---- ColorJitter ----------------------------------------------------------------------------- */

void luc_adjust(void *data, lucid_dtype dtype, int64_t c, int64_t plane, luc_colour what,
                double factor)
{
    if (what == LUC_BRIGHTNESS) scale_values(data, dtype, c * plane, (float)factor, 0);
    if (what == LUC_CONTRAST) contrast(data, dtype, c, plane, factor);
    if (what == LUC_SATURATION && c == 3) saturate(data, dtype, plane, factor);
    if (what == LUC_HUE && c == 3) shift_hue(data, dtype, plane, (float)factor);
}

typedef struct jitter {
    lucid_transform base;
    lucid_color_jitter_options options;
} jitter;

static double factor_of(double amount, lucid_generator *rng)
{
    return luc_draw_range(rng, lucid_range(amount < 1 ? 1 - amount : 0, 1 + amount));
}

static lucid_tensor *jitter_apply(const lucid_transform *t, lucid_tensor *image,
                                  lucid_generator *rng)
{
    const lucid_color_jitter_options *o = &((const jitter *)t)->options;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->name) || !check_channels(p.c, t->name)) return NULL;
    lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, p.dtype, &data, t->name);
    const int64_t plane = p.h * p.w, n = p.c * plane;
    if (!out || n == 0) return out;
    memcpy(data, p.data, (size_t)n * lucid_dtype_size(p.dtype));
    int64_t order[] = {0, 1, 2, 3};
    luc_shuffle(order, 4, rng);
    for (int i = 0; i < 4; i++) {
        const luc_colour what = (luc_colour)order[i];
        const double amount[] = {o->brightness, o->contrast, o->saturation, o->hue};
        if (!(amount[what] > 0)) continue;
        double factor = what == LUC_HUE ? luc_draw_range(rng, lucid_range(-o->hue, o->hue))
                                        : factor_of(amount[what], rng);
        luc_adjust(data, p.dtype, p.c, plane, what, factor);
    }
    return out;
}

lucid_transform *lucid_data_color_jitter(const lucid_color_jitter_options *options)
{
    static const char op[] = "data_ColorJitter";
    options = LUC_OPTIONS(lucid_color_jitter, options, op);
    if (!options) return NULL;
    const double amounts[] = {options->brightness, options->contrast, options->saturation,
                              options->hue};
    static const char *const names[] = {"brightness", "contrast", "saturation", "hue"};
    for (int i = 0; i < 4; i++)
        if (!(amounts[i] >= 0 && amounts[i] <= (i == 3 ? 0.5 : 1e6)))
            return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: expected 0 to %g, got %g", names[i],
                                  i == 3 ? 0.5 : 1e6, amounts[i]);
    jitter *j = luc_transform_new(
        sizeof *j, &(lucid_transform){.name = op, .apply = jitter_apply, .infer = infer_colours});
    if (!j) return NULL;
    j->options = *options;
    return &j->base;
}

#include "lucid/data/geometry.h"

#include "lucid/data/transform_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

/* ---- crops and padding ----------------------------------------------------------------------- */

int64_t luc_pad_index(int64_t i, int64_t n, lucid_border mode)
{
    if (i >= 0 && i < n) return i;
    if (n == 0 || mode == LUCID_BORDER_CONSTANT) return -1;
    if (mode == LUCID_BORDER_EDGE) return i < 0 ? 0 : n - 1;
    /* A mirrored image and itself in turn: with a period of 2n, or without the last pixels less. */
    const bool twice = mode == LUCID_BORDER_SYMMETRIC;
    if (!twice && n == 1) return 0;
    const int64_t period = twice ? 2 * n : 2 * n - 2;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - i - twice;
}

static void fill_row(char *to, int64_t n, lucid_dtype dtype, double fill)
{
    if (dtype == LUCID_U8)
        memset(to, luc_byte((float)fill), (size_t)n);
    else
        for (int64_t x = 0; x < n; x++) ((float *)(void *)to)[x] = (float)fill;
}

/* One row of w pixels from column `left` on. */
static void crop_row(const char *from, int64_t width, int64_t left, int64_t w, lucid_dtype dtype,
                     lucid_border mode, double fill, char *to)
{
    const size_t size = lucid_dtype_size(dtype);
    int64_t begin = left < 0 ? -left : 0, end = width - left < w ? width - left : w;
    if (begin > w) begin = w;
    if (end < begin) end = begin;
    if (end > begin)
        memcpy(to + (size_t)begin * size, from + (size_t)(left + begin) * size,
               (size_t)(end - begin) * size);
    if (mode == LUCID_BORDER_CONSTANT || width == 0) {
        fill_row(to, begin, dtype, fill);
        fill_row(to + (size_t)end * size, w - end, dtype, fill);
        return;
    }
    for (int64_t x = 0; x < w; x++) {
        if (x == begin) x = end;
        if (x >= w) break;
        memcpy(to + (size_t)x * size, from + (size_t)luc_pad_index(left + x, width, mode) * size,
               size);
    }
}

lucid_tensor *luc_crop(const luc_picture *p, int64_t top, int64_t left, int64_t h, int64_t w,
                       lucid_border mode, double fill, const char *op)
{
    void *data;
    lucid_tensor *out = luc_picture_new(p->c, h, w, p->dtype, &data, op);
    if (!out) return NULL;
    const size_t size = lucid_dtype_size(p->dtype);
    char *to = data;
    for (int64_t k = 0; k < p->c; k++)
        for (int64_t y = 0; y < h; y++, to += (size_t)w * size) {
            const int64_t from = luc_pad_index(top + y, p->h, mode);
            if (from < 0)
                fill_row(to, w, p->dtype, fill);
            else
                crop_row((const char *)p->data + (size_t)((k * p->h + from) * p->w) * size, p->w,
                         left, w, p->dtype, mode, fill, to);
        }
    return out;
}

static bool check_padding(double fill, lucid_border mode, const char *op)
{
    if ((unsigned)mode > LUCID_BORDER_SYMMETRIC)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "padding_mode: expected a lucid_border, got %d",
                         (int)mode);
    return isfinite(fill) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "fill: expected a finite number, got %g", fill);
}

static bool check_resample(lucid_resample how, lucid_resample most, const char *op)
{
    return (unsigned)how <= (unsigned)most ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "resample: expected %s, got %d",
                     most == LUCID_RESAMPLE_BICUBIC ? "a lucid_resample" : "nearest or bilinear",
                     (int)how);
}

/* ---- transforms to a fixed size -------------------------------------------------------------- */

/* All of this family; each uses what it needs. */
typedef struct sized {
    lucid_transform base;
    int64_t h, w, padding[2];
    lucid_resize_options resize;
    bool shorter; /* Resize: h is the length of the shorter side */
    lucid_random_crop_options crop;
    lucid_random_resized_crop_options part;
    lucid_range log_ratio;
} sized;

static bool infer_fixed(const lucid_transform *t, const lucid_sample_spec *in,
                        lucid_sample_spec *out)
{
    const sized *s = (const sized *)t;
    *out = *in;
    out->shape.dims[1] = s->h;
    out->shape.dims[2] = s->w;
    return luc_spec_check(in, t->name);
}

/* A size as the user gave it. */
static sized *sized_new(lucid_extent size, const lucid_transform *base)
{
    int64_t pair[2];
    if (!luc_extent_check(size, 1, pair, "size", base->name)) return NULL;
    sized *s = luc_transform_new(sizeof *s, base);
    if (!s) return NULL;
    s->h = pair[0];
    s->w = pair[1];
    return s;
}

/* ---- Resize ---------------------------------------------------------------------------------- */

/* The sizes of what comes out of h x w. */
static bool resized(const sized *s, int64_t h, int64_t w, int64_t out[2])
{
    out[0] = s->h, out[1] = s->w;
    if (!s->shorter) return true;
    if (h < 1 || w < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, s->base.name,
                         "image: expected one pixel at least each way, got %lldx%lld", (long long)h,
                         (long long)w);
    const bool upright = w <= h;
    const int64_t less = upright ? w : h, more = upright ? h : w, most = s->resize.max_size;
    int64_t low = s->h, high = (int64_t)((double)low * (double)more / (double)less);
    if (most && high > most) {
        low = (int64_t)((double)most * (double)low / (double)high);
        high = most;
    }
    if (low < 1) low = 1;
    if (high > 1 << 24)
        return luc_raise(LUCID_ERR_ARGUMENT, s->base.name,
                         "image: %lldx%lld would get a side of %lld pixels", (long long)h,
                         (long long)w, (long long)high);
    out[0] = upright ? high : low;
    out[1] = upright ? low : high;
    return true;
}

static lucid_tensor *resize_apply(const lucid_transform *t, lucid_tensor *image,
                                  lucid_generator *rng)
{
    const sized *s = (const sized *)t;
    luc_picture p;
    int64_t out[2];
    (void)rng;
    if (!luc_picture_of(&p, image, t->name) || !resized(s, p.h, p.w, out)) return NULL;
    if (out[0] == p.h && out[1] == p.w) return image;
    return luc_resize(&p, 0, 0, p.h, p.w, out[0], out[1], s->resize.resample, s->resize.antialias,
                      t->name);
}

static bool resize_infer(const lucid_transform *t, const lucid_sample_spec *in,
                         lucid_sample_spec *out)
{
    const sized *s = (const sized *)t;
    if (!infer_fixed(t, in, out)) return false;
    const int64_t h = in->shape.dims[1], w = in->shape.dims[2];
    if (s->shorter && (h < 0 || w < 0)) {
        out->shape.dims[1] = out->shape.dims[2] = -1;
        return true;
    }
    return resized(s, h, w, out->shape.dims + 1);
}

lucid_transform *lucid_data_resize(lucid_extent size, const lucid_resize_options *options)
{
    static const char op[] = "data_Resize";
    options = LUC_OPTIONS(lucid_resize, options, op);
    if (!options || !check_resample(options->resample, LUCID_RESAMPLE_BICUBIC, op)) return NULL;
    const bool shorter = !luc_extent_is_pair(size);
    if (options->max_size < 0 || (options->max_size && (!shorter || options->max_size < size)))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "max_size: expected 0, or with a single number as size at least "
                              "that; got %lld",
                              (long long)options->max_size);
    sized *s = sized_new(
        size, &(lucid_transform){.name = op, .apply = resize_apply, .infer = resize_infer});
    if (!s) return NULL;
    s->resize = *options;
    s->shorter = shorter;
    return &s->base;
}

/* ---- crops ----------------------------------------------------------------------------------- */

static lucid_tensor *center_crop_apply(const lucid_transform *t, lucid_tensor *image,
                                       lucid_generator *rng)
{
    const sized *s = (const sized *)t;
    luc_picture p;
    (void)rng;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    /* Half an odd difference goes to the even number of pixels, as in Python; padding has the
     * smaller half above and left. */
    int64_t top = p.h >= s->h ? (int64_t)nearbyint((double)(p.h - s->h) / 2) : -((s->h - p.h) / 2);
    int64_t left = p.w >= s->w ? (int64_t)nearbyint((double)(p.w - s->w) / 2) : -((s->w - p.w) / 2);
    return luc_crop(&p, top, left, s->h, s->w, LUCID_BORDER_CONSTANT, 0, t->name);
}

lucid_transform *lucid_data_center_crop(lucid_extent size)
{
    sized *s = sized_new(size, &(lucid_transform){.name = "data_CenterCrop",
                                                  .apply = center_crop_apply,
                                                  .infer = infer_fixed});
    return s ? &s->base : NULL;
}

/* How far the crop may move along a side of `n` pixels and its padding; -1 after an error. *before
 * is the padding before it. */
static int64_t crop_room(const sized *s, int side, int64_t n, int64_t *before)
{
    const int64_t crop = side ? s->w : s->h;
    *before = s->padding[side];
    int64_t whole = n + 2 * *before;
    if (whole < crop && s->crop.pad_if_needed) {
        *before += crop - whole;
        whole += 2 * (crop - whole);
    }
    if (whole >= crop) return whole - crop;
    luc_raise(LUCID_ERR_ARGUMENT, s->base.name,
              "image: expected a %s of at least %lld pixels with its padding, got %lld; "
              ".pad_if_needed = true pads it",
              side ? "width" : "height", (long long)crop, (long long)whole);
    return -1;
}

static lucid_tensor *random_crop_apply(const lucid_transform *t, lucid_tensor *image,
                                       lucid_generator *rng)
{
    const sized *s = (const sized *)t;
    luc_picture p;
    int64_t above, before;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    int64_t down = crop_room(s, 0, p.h, &above), across = crop_room(s, 1, p.w, &before);
    if (down < 0 || across < 0) return NULL;
    int64_t top = (int64_t)lucid_random_below(rng, (uint64_t)down + 1) - above;
    int64_t left = (int64_t)lucid_random_below(rng, (uint64_t)across + 1) - before;
    return luc_crop(&p, top, left, s->h, s->w, s->crop.padding_mode, s->crop.fill, t->name);
}

static bool random_crop_infer(const lucid_transform *t, const lucid_sample_spec *in,
                              lucid_sample_spec *out)
{
    const sized *s = (const sized *)t;
    int64_t before;
    if (!infer_fixed(t, in, out)) return false;
    for (int side = 0; side < 2; side++)
        if (in->shape.dims[1 + side] >= 0 &&
            crop_room(s, side, in->shape.dims[1 + side], &before) < 0)
            return false;
    return true;
}

lucid_transform *lucid_data_random_crop(lucid_extent size, const lucid_random_crop_options *options)
{
    static const char op[] = "data_RandomCrop";
    int64_t padding[2];
    options = LUC_OPTIONS(lucid_random_crop, options, op);
    if (!options || !luc_extent_check(options->padding, 0, padding, "padding", op) ||
        !check_padding(options->fill, options->padding_mode, op))
        return NULL;
    sized *s = sized_new(
        size,
        &(lucid_transform){.name = op, .apply = random_crop_apply, .infer = random_crop_infer});
    if (!s) return NULL;
    s->crop = *options;
    s->padding[0] = padding[0];
    s->padding[1] = padding[1];
    return &s->base;
}

/* ---- RandomResizedCrop ----------------------------------------------------------------------- */

typedef struct part {
    int64_t top, left, h, w;
} part;

static part choose_part(const sized *s, int64_t h, int64_t w, lucid_generator *rng)
{
    const double area = (double)h * (double)w;
    for (int tries = 0; tries < 10; tries++) {
        const double target = area * luc_draw_range(rng, s->part.scale);
        const double ratio = exp(luc_draw_range(rng, s->log_ratio));
        const int64_t pw = (int64_t)nearbyint(sqrt(target * ratio));
        const int64_t ph = (int64_t)nearbyint(sqrt(target / ratio));
        if (pw < 1 || pw > w || ph < 1 || ph > h) continue;
        const int64_t top = (int64_t)lucid_random_below(rng, (uint64_t)(h - ph) + 1);
        return (part){top, (int64_t)lucid_random_below(rng, (uint64_t)(w - pw) + 1), ph, pw};
    }
    const double ratio = (double)w / (double)h;
    part all = {.h = h, .w = w};
    if (ratio < s->part.ratio.low) all.h = (int64_t)nearbyint((double)w / s->part.ratio.low);
    if (ratio > s->part.ratio.high) all.w = (int64_t)nearbyint((double)h * s->part.ratio.high);
    if (all.h < 1) all.h = 1;
    if (all.w < 1) all.w = 1;
    all.top = (h - all.h) / 2;
    all.left = (w - all.w) / 2;
    return all;
}

static lucid_tensor *random_resized_crop_apply(const lucid_transform *t, lucid_tensor *image,
                                               lucid_generator *rng)
{
    const sized *s = (const sized *)t;
    luc_picture p;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    if (p.h < 1 || p.w < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, t->name,
                              "image: expected one pixel at least each way, got %lldx%lld",
                              (long long)p.h, (long long)p.w);
    part a = choose_part(s, p.h, p.w, rng);
    return luc_resize(&p, a.top, a.left, a.h, a.w, s->h, s->w, s->part.resample, s->part.antialias,
                      t->name);
}

lucid_transform *lucid_data_random_resized_crop(lucid_extent size,
                                                const lucid_random_resized_crop_options *options)
{
    static const char op[] = "data_RandomResizedCrop";
    options = LUC_OPTIONS(lucid_random_resized_crop, options, op);
    if (!options || !check_resample(options->resample, LUCID_RESAMPLE_BICUBIC, op) ||
        !luc_check_range(options->scale, 1e-9, 1e9, "scale", op) ||
        !luc_check_range(options->ratio, 1e-6, 1e6, "ratio", op))
        return NULL;
    sized *s = sized_new(
        size,
        &(lucid_transform){.name = op, .apply = random_resized_crop_apply, .infer = infer_fixed});
    if (!s) return NULL;
    s->part = *options;
    s->log_ratio.low = log(options->ratio.low);
    s->log_ratio.high = log(options->ratio.high);
    return &s->base;
}

/* ---- flips ----------------------------------------------------------------------------------- */

typedef struct flip {
    lucid_transform base;
    double p;
    bool vertical;
} flip;

static void flip_row(const char *from, int64_t w, size_t size, char *to)
{
    if (size == 1)
        for (int64_t x = 0; x < w; x++) to[x] = from[w - 1 - x];
    else
        for (int64_t x = 0; x < w; x++)
            ((float *)(void *)to)[x] = ((const float *)(const void *)from)[w - 1 - x];
}

static lucid_tensor *flip_apply(const lucid_transform *t, lucid_tensor *image, lucid_generator *rng)
{
    const flip *f = (const flip *)t;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    if (!(luc_draw(rng) < f->p)) return image;
    lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, p.dtype, &data, t->name);
    if (!out) return NULL;
    const size_t size = lucid_dtype_size(p.dtype), row = (size_t)p.w * size;
    for (int64_t y = 0; y < p.c * p.h; y++) {
        const int64_t other = y / p.h * p.h + p.h - 1 - y % p.h;
        if (f->vertical)
            memcpy((char *)data + (size_t)y * row, (const char *)p.data + (size_t)other * row, row);
        else
            flip_row((const char *)p.data + (size_t)y * row, p.w, size,
                     (char *)data + (size_t)y * row);
    }
    return out;
}

static lucid_transform *flip_new(const lucid_random_flip_options *options, bool vertical,
                                 const char *op)
{
    options = LUC_OPTIONS(lucid_random_flip, options, op);
    if (!options || !luc_check_p(options->p, op)) return NULL;
    flip *f = luc_transform_new(
        sizeof *f, &(lucid_transform){.name = op, .apply = flip_apply, .infer = luc_infer_same});
    if (!f) return NULL;
    f->p = options->p;
    f->vertical = vertical;
    return &f->base;
}

lucid_transform *lucid_data_random_horizontal_flip(const lucid_random_flip_options *options)
{
    return flip_new(options, false, "data_RandomHorizontalFlip");
}

lucid_transform *lucid_data_random_vertical_flip(const lucid_random_flip_options *options)
{
    return flip_new(options, true, "data_RandomVerticalFlip");
}

/* ---- Pad ------------------------------------------------------------------------------------- */

typedef struct pad {
    lucid_transform base;
    int64_t padding[2];
    lucid_image_pad_options options;
} pad;

static lucid_tensor *pad_apply(const lucid_transform *t, lucid_tensor *image, lucid_generator *rng)
{
    const pad *a = (const pad *)t;
    luc_picture p;
    (void)rng;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    return luc_crop(&p, -a->padding[0], -a->padding[1], p.h + 2 * a->padding[0],
                    p.w + 2 * a->padding[1], a->options.mode, a->options.fill, t->name);
}

static bool pad_infer(const lucid_transform *t, const lucid_sample_spec *in, lucid_sample_spec *out)
{
    const pad *a = (const pad *)t;
    if (!luc_infer_same(t, in, out)) return false;
    for (int i = 0; i < 2; i++)
        if (in->shape.dims[1 + i] >= 0) out->shape.dims[1 + i] += 2 * a->padding[i];
    return true;
}

lucid_transform *lucid_data_pad(lucid_extent padding, const lucid_image_pad_options *options)
{
    static const char op[] = "data_Pad";
    int64_t pair[2];
    options = LUC_OPTIONS(lucid_image_pad, options, op);
    if (!options || !luc_extent_check(padding, 0, pair, "padding", op) ||
        !check_padding(options->fill, options->mode, op))
        return NULL;
    pad *a = luc_transform_new(
        sizeof *a, &(lucid_transform){.name = op, .apply = pad_apply, .infer = pad_infer});
    if (!a) return NULL;
    a->padding[0] = pair[0];
    a->padding[1] = pair[1];
    a->options = *options;
    return &a->base;
}

/* ---- RandomRotation -------------------------------------------------------------------------- */

typedef struct rotation {
    lucid_transform base;
    lucid_range degrees;
    lucid_random_rotation_options options;
} rotation;

/* A pixel of one channel; 0 outside. */
static inline float at(const luc_picture *p, int64_t k, int64_t y, int64_t x)
{
    if (y < 0 || x < 0 || y >= p->h || x >= p->w) return 0;
    const int64_t i = (k * p->h + y) * p->w + x;
    return p->dtype == LUCID_U8 ? (float)((const uint8_t *)p->data)[i]
                                : ((const float *)p->data)[i];
}

/* 1 inside of the image, 0 outside. */
static inline float inside(const luc_picture *p, int64_t y, int64_t x)
{
    return y >= 0 && x >= 0 && y < p->h && x < p->w;
}

static void put(void *data, lucid_dtype dtype, int64_t i, float v)
{
    if (dtype == LUCID_U8)
        ((uint8_t *)data)[i] = luc_byte(nearbyintf(v));
    else
        ((float *)data)[i] = v;
}

static void sample(const luc_picture *p, double y, double x, int64_t i, int64_t plane,
                   const lucid_random_rotation_options *o, void *data)
{
    const float fill = (float)o->fill;
    if (o->resample == LUCID_RESAMPLE_NEAREST) {
        const int64_t yy = (int64_t)nearbyint(y), xx = (int64_t)nearbyint(x);
        for (int64_t k = 0; k < p->c; k++)
            put(data, p->dtype, k * plane + i, inside(p, yy, xx) > 0 ? at(p, k, yy, xx) : fill);
        return;
    }
    const int64_t y0 = (int64_t)floor(y), x0 = (int64_t)floor(x);
    const float dy = (float)(y - (double)y0), dx = (float)(x - (double)x0);
    const float w[] = {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx};
    float share = 0; /* of the pixel that lies inside */
    for (int j = 0; j < 4; j++) share += w[j] * inside(p, y0 + j / 2, x0 + j % 2);
    for (int64_t k = 0; k < p->c; k++) {
        float sum = 0;
        for (int j = 0; j < 4; j++) sum += w[j] * at(p, k, y0 + j / 2, x0 + j % 2);
        put(data, p->dtype, k * plane + i, share * (sum - fill) + fill); /* as torchvision does */
    }
}

/* How many pixels hold a side of n when it is turned: `half` is the farthest corner from the
 * middle. What is a hair outside of a pixel does not take another one. */
static int64_t expanded(double half, int64_t n)
{
    half = (double)(float)half; /* a right angle's cosine is not quite 0 */
    const double end = trunc((half + (double)n / 2) * 1e4) / 1e4;
    const double begin = trunc(((double)n / 2 - half) * 1e4) / 1e4;
    return (int64_t)ceil(end) - (int64_t)floor(begin);
}

static lucid_tensor *rotation_apply(const lucid_transform *t, lucid_tensor *image,
                                    lucid_generator *rng)
{
    const rotation *r = (const rotation *)t;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    const double angle = luc_draw_range(rng, r->degrees) * (3.14159265358979323846 / 180);
    const double c = cos(angle), s = sin(angle);
    int64_t h = p.h, w = p.w;
    if (r->options.expand) {
        h = expanded((fabs(c) * (double)p.h + fabs(s) * (double)p.w) / 2, p.h);
        w = expanded((fabs(s) * (double)p.h + fabs(c) * (double)p.w) / 2, p.w);
    }
    lucid_tensor *out = luc_picture_new(p.c, h, w, p.dtype, &data, t->name);
    if (!out) return NULL;
    for (int64_t i = 0; i < h * w; i++) {
        const double dy = (double)(i / w) + 0.5 - (double)h / 2;
        const double dx = (double)(i % w) + 0.5 - (double)w / 2;
        sample(&p, s * dx + c * dy + (double)p.h / 2 - 0.5, c * dx - s * dy + (double)p.w / 2 - 0.5,
               i, h * w, &r->options, data);
    }
    return out;
}

static bool rotation_infer(const lucid_transform *t, const lucid_sample_spec *in,
                           lucid_sample_spec *out)
{
    if (!luc_infer_same(t, in, out)) return false;
    if (((const rotation *)t)->options.expand) out->shape.dims[1] = out->shape.dims[2] = -1;
    return true;
}

lucid_transform *lucid_data_random_rotation(lucid_range degrees,
                                            const lucid_random_rotation_options *options)
{
    static const char op[] = "data_RandomRotation";
    options = LUC_OPTIONS(lucid_random_rotation, options, op);
    if (!options || !luc_check_range(degrees, -36000, 36000, "degrees", op) ||
        !check_resample(options->resample, LUCID_RESAMPLE_BILINEAR, op) ||
        !check_padding(options->fill, LUCID_BORDER_CONSTANT, op))
        return NULL;
    rotation *r = luc_transform_new(
        sizeof *r,
        &(lucid_transform){.name = op, .apply = rotation_apply, .infer = rotation_infer});
    if (!r) return NULL;
    r->degrees = degrees;
    r->options = *options;
    return &r->base;
}

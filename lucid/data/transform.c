/* transform.c: what transforms share: applying, composing, mapping over a data set. */
#include "lucid/data/transform.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/data/transform_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

static const char live_name[] = "transform"; /* for the report of objects that were never freed */

/* ---- shared ---------------------------------------------------------------------------------- */

void *luc_transform_new(size_t size, const lucid_transform *base)
{
    lucid_transform *t = luc_calloc(1, size, base->name);
    if (!t) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    *t = *base;
    if (!t->free) t->free = luc_transform_delete;
    return t;
}

void luc_transform_delete(lucid_transform *transform)
{
    luc_free(transform);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

void lucid_transform_free(lucid_transform *transform)
{
    if (transform && transform->free) transform->free(transform);
}

bool luc_picture_of(luc_picture *p, lucid_tensor *image, const char *op)
{
    if (!image) return luc_raise(LUCID_ERR_ARGUMENT, op, "image: got NULL");
    const lucid_dtype dtype = lucid_tensor_dtype(image);
    if (lucid_ndim(image) != 3 || (dtype != LUCID_U8 && dtype != LUCID_F32))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "image: expected uint8 or float32 [C,H,W], got %s %s",
                         lucid_dtype_name(dtype), luc_shape_text(image).s);
    if (lucid_tensor_device(image).type != LUCID_CPU)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "image: expected one on the CPU, got one on %s",
                         lucid_device_name(lucid_tensor_device(image)));
    if (!lucid_is_contiguous(image, LUCID_CONTIGUOUS)) {
        lucid_tensor *copy =
            lucid_empty_opt(lucid_tensor_shape(image), LUC_WITH(lucid_tensor, .dtype = dtype,
                                                                .memory_format = LUCID_CONTIGUOUS));
        if (!copy || !luc_copy_data(copy, image, op)) return false;
        image = copy;
    }
    *p = (luc_picture){lucid_size(image, 0), lucid_size(image, 1),
                       lucid_size(image, 2), dtype,
                       lucid_data(image),    image};
    return p->data || p->c * p->h * p->w == 0;
}

lucid_tensor *luc_picture_new(int64_t c, int64_t h, int64_t w, lucid_dtype dtype, void **data,
                              const char *op)
{
    const lucid_shape shape = LUCID_SHAPE(c, h, w);
    if (!luc_check_shape(&shape, dtype, op)) return NULL;
    lucid_tensor *t = lucid_empty_opt(
        shape, LUC_WITH(lucid_tensor, .dtype = dtype, .memory_format = LUCID_CONTIGUOUS));
    if (t) *data = lucid_mutable_data(t);
    return t;
}

bool luc_spec_check(const lucid_sample_spec *in, const char *op)
{
    if (in->shape.ndim == 3 && (in->dtype == LUCID_U8 || in->dtype == LUCID_F32)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "samples: expected images, uint8 or float32 [C,H,W], got %s %s",
                     lucid_dtype_name(in->dtype), luc_dims_text(in->shape.ndim, in->shape.dims).s);
}

bool luc_infer_same(const lucid_transform *t, const lucid_sample_spec *in, lucid_sample_spec *out)
{
    *out = *in;
    return luc_spec_check(in, t->name);
}

bool luc_check_p(double p, const char *op)
{
    return (p >= 0 && p <= 1) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "p: expected a probability, 0 to 1, got %g", p);
}

bool luc_check_range(lucid_range range, double least, double most, const char *name, const char *op)
{
    if (range.low <= range.high && range.low >= least && range.high <= most) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "%s: expected a range low <= high within %g to %g, got %g to %g", name, least,
                     most, range.low, range.high);
}

bool luc_extent_check(lucid_extent extent, int64_t least, int64_t pair[2], const char *name,
                      const char *op)
{
    lucid_extent_get(extent, pair);
    for (int i = 0; i < 2; i++)
        if (pair[i] < least || pair[i] > 1 << 20)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected %lld to %d pixels, got %lld",
                             name, (long long)least, 1 << 20, (long long)pair[i]);
    return true;
}

/* ---- applying -------------------------------------------------------------------------------- */

/* A transform's result: NULL also where it raised an error that it did not tell of. */
static lucid_tensor *run(const lucid_transform *t, lucid_tensor *image, lucid_generator *rng)
{
    const char *name = t->name ? t->name : "transform";
    if (!t->apply) return luc_raise_null(LUCID_ERR_ARGUMENT, name, "its .apply is NULL");
    const uint64_t raised = luc_raise_count();
    lucid_tensor *out = t->apply(t, image, rng);
    if (luc_raise_count() != raised) return NULL;
    if (!out && lucid_error_code() == LUCID_OK)
        luc_raise(LUCID_ERR_STATE, name, "gave no image, and no reason was raised");
    return out;
}

lucid_tensor *lucid_transform_apply(const lucid_transform *transform, lucid_tensor *image,
                                    lucid_generator *rng)
{
    static const char op[] = "transform_apply";
    if (lucid_error_code() != LUCID_OK && (!transform || !image)) return NULL;
    if (!transform) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "transform: got NULL");
    if (!image) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "image: got NULL");
    (void)lucid_ndim(image); /* reports an image that has ended */
    lucid_generator own = {0};
    if (!rng) {
        lucid_generator g = luc_random_take(1);
        own.seed = lucid_random_u64(&g);
        rng = &own;
    }
    size_t scope = lucid_scope_begin();
    if (!scope) return NULL;
    lucid_tensor *out = run(transform, image, rng);
    if (out != image) lucid_scope_return(out);
    lucid_scope_end(scope);
    return out;
}

/* ---- Compose --------------------------------------------------------------------------------- */

typedef struct compose {
    lucid_transform base;
    int64_t n;
    lucid_transform **list; /* owned */
} compose;

static lucid_tensor *compose_apply(const lucid_transform *transform, lucid_tensor *image,
                                   lucid_generator *rng)
{
    const compose *c = (const compose *)transform;
    for (int64_t i = 0; image && i < c->n; i++) {
        const bool both = i + 1 < c->n && luc_is_to_float(c->list[i]) &&
                          luc_is_normalize(c->list[i + 1]) && lucid_tensor_dtype(image) == LUCID_U8;
        image = both ? luc_normalize_bytes(c->list[++i], image) : run(c->list[i], image, rng);
    }
    return image;
}

static bool infer(const lucid_transform *t, const lucid_sample_spec *in, lucid_sample_spec *out)
{
    *out = *in;
    return !t->infer || t->infer(t, in, out);
}

static bool compose_infer(const lucid_transform *transform, const lucid_sample_spec *in,
                          lucid_sample_spec *out)
{
    const compose *c = (const compose *)transform;
    lucid_sample_spec now = *in;
    for (int64_t i = 0; i < c->n; i++) {
        if (!infer(c->list[i], &now, out)) return false;
        now = *out;
    }
    *out = now;
    return true;
}

static void compose_free(lucid_transform *transform)
{
    compose *c = (compose *)transform;
    for (int64_t i = 0; i < c->n; i++) lucid_transform_free(c->list[i]);
    luc_free(c->list);
    luc_transform_delete(transform);
}

lucid_transform *lucid_data_compose(lucid_transform *const *transforms, int64_t n)
{
    static const char op[] = "data_Compose";
    compose *c = NULL;
    if (n < 0 || (n && !transforms))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "transforms: expected a list, got %lld%s",
                              (long long)n, transforms ? "" : " and NULL");
    for (int64_t i = 0; i < n; i++)
        if (!transforms[i] || !transforms[i]->apply) {
            luc_raise(LUCID_ERR_ARGUMENT, op, "transforms: number %lld: got %s", (long long)i,
                      transforms[i] ? "one whose .apply is NULL" : "NULL");
            goto fail;
        }
    c = luc_transform_new(sizeof *c, &(lucid_transform){.name = op,
                                                        .apply = compose_apply,
                                                        .infer = compose_infer,
                                                        .free = compose_free});
    if (!c) goto fail;
    c->list = luc_calloc((size_t)n, sizeof *c->list, op);
    if (!c->list) goto fail;
    if (n) memcpy(c->list, transforms, (size_t)n * sizeof *c->list);
    c->n = n;
    return &c->base;
fail:
    if (c) compose_free(&c->base);
    for (int64_t i = 0; i < n; i++) lucid_transform_free(transforms[i]);
    return NULL;
}

/* ---- RandomApply, Lambda --------------------------------------------------------------------- */

typedef struct random_apply {
    lucid_transform base;
    double p;
    lucid_transform *inner; /* owned */
} random_apply;

static lucid_tensor *random_apply_apply(const lucid_transform *transform, lucid_tensor *image,
                                        lucid_generator *rng)
{
    const random_apply *r = (const random_apply *)transform;
    return luc_draw(rng) < r->p ? run(r->inner, image, rng) : image;
}

static bool random_apply_infer(const lucid_transform *transform, const lucid_sample_spec *in,
                               lucid_sample_spec *out)
{
    const random_apply *r = (const random_apply *)transform;
    if (!infer(r->inner, in, out)) return false;
    bool same = out->dtype == in->dtype && out->shape.ndim == in->shape.ndim;
    for (int d = 0; same && d < in->shape.ndim; d++) same = out->shape.dims[d] == in->shape.dims[d];
    return same ||
           luc_raise(LUCID_ERR_ARGUMENT, r->base.name,
                     "transform: expected one that keeps sizes and dtype, %s makes %s %s "
                     "of %s %s",
                     r->inner->name ? r->inner->name : "(no name)", lucid_dtype_name(out->dtype),
                     luc_dims_text(out->shape.ndim, out->shape.dims).s, lucid_dtype_name(in->dtype),
                     luc_dims_text(in->shape.ndim, in->shape.dims).s);
}

static void random_apply_free(lucid_transform *transform)
{
    lucid_transform_free(((random_apply *)transform)->inner);
    luc_transform_delete(transform);
}

lucid_transform *lucid_data_random_apply(lucid_transform *transform,
                                         const lucid_random_apply_options *options)
{
    static const char op[] = "data_RandomApply";
    options = LUC_OPTIONS(lucid_random_apply, options, op);
    random_apply *r = NULL;
    if (!options || !luc_check_p(options->p, op)) goto fail;
    if (!transform || !transform->apply) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "transform: got %s",
                  transform ? "one whose .apply is NULL" : "NULL");
        goto fail;
    }
    r = luc_transform_new(sizeof *r, &(lucid_transform){.name = op,
                                                        .apply = random_apply_apply,
                                                        .infer = random_apply_infer,
                                                        .free = random_apply_free});
    if (!r) goto fail;
    r->p = options->p;
    r->inner = transform;
    return &r->base;
fail:
    lucid_transform_free(transform);
    return NULL;
}

typedef struct lambda {
    lucid_transform base;
    lucid_transform_fn fn;
    void *user;
} lambda;

static lucid_tensor *lambda_apply(const lucid_transform *transform, lucid_tensor *image,
                                  lucid_generator *rng)
{
    const lambda *l = (const lambda *)transform;
    return l->fn(image, rng, l->user);
}

lucid_transform *lucid_data_lambda(lucid_transform_fn fn, void *user)
{
    static const char op[] = "data_Lambda";
    if (!fn) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "fn: expected a function, got NULL");
    lambda *l = luc_transform_new(sizeof *l, &(lucid_transform){.name = op, .apply = lambda_apply});
    if (!l) return NULL;
    l->fn = fn;
    l->user = user;
    return &l->base;
}

/* ---- Map ------------------------------------------------------------------------------------- */

typedef struct map {
    lucid_dataset base;
    lucid_dataset *of;          /* owned */
    lucid_transform *transform; /* owned */
} map;

static lucid_tensor *map_load(const lucid_dataset *dataset, int64_t index, lucid_generator *rng,
                              void *y)
{
    const map *m = (const map *)dataset;
    lucid_tensor *x = luc_dataset_load(m->of, index, rng, y);
    return x ? run(m->transform, x, rng) : NULL;
}

static int64_t map_label(const lucid_dataset *dataset, int64_t index)
{
    const map *m = (const map *)dataset;
    return m->of->label(m->of, index);
}

static void map_free(lucid_dataset *dataset)
{
    map *m = (map *)dataset;
    lucid_dataset_free(m->of);
    lucid_transform_free(m->transform);
    luc_dataset_delete(m);
}

lucid_dataset *lucid_data_map(lucid_dataset *dataset, lucid_transform *transform)
{
    static const char op[] = "data_Map";
    map *m = NULL;
    lucid_sample_spec spec;
    if (!luc_dataset_check(dataset, "dataset", op)) goto fail;
    if (!transform || !transform->apply) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "transform: got %s",
                  transform ? "one whose .apply is NULL" : "NULL");
        goto fail;
    }
    if (!infer(transform, &dataset->x, &spec)) goto fail;
    m = luc_dataset_new(sizeof *m, op);
    if (!m) goto fail;
    m->of = dataset;
    m->transform = transform;
    m->base = (lucid_dataset){.name = op,
                              .size = dataset->size,
                              .x = spec,
                              .y = dataset->y,
                              .load = map_load,
                              .label = dataset->label ? map_label : NULL,
                              .classes = dataset->classes,
                              .n_classes = dataset->n_classes,
                              .free = map_free};
    return &m->base;
fail:
    lucid_dataset_free(dataset);
    lucid_transform_free(transform);
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

static lucid_tensor *to_float_apply(const lucid_transform *t, lucid_tensor *image,
                                    lucid_generator *rng)
{
    luc_picture p;
    void *data;
    (void)rng;
    if (!luc_picture_of(&p, image, t->name)) return NULL;
    if (p.dtype == LUCID_F32) return image;
    lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, LUCID_F32, &data, t->name);
    if (!out) return NULL;
    const uint8_t *from = p.data;
    float *to = data;
    for (int64_t i = 0; i < p.c * p.h * p.w; i++) to[i] = (float)from[i] / 255.0f;
    return out;
}

static bool to_float_infer(const lucid_transform *t, const lucid_sample_spec *in,
                           lucid_sample_spec *out)
{
    *out = *in;
    out->dtype = LUCID_F32;
    return luc_spec_check(in, t->name);
}

lucid_transform *lucid_data_to_float(void)
{
    return luc_transform_new(sizeof(lucid_transform), &(lucid_transform){.name = "data_ToFloat",
                                                                         .apply = to_float_apply,
                                                                         .infer = to_float_infer});
}

bool luc_is_to_float(const lucid_transform *t)
{
    return t->apply == to_float_apply;
}

typedef struct normalize {
    lucid_transform base;
    int64_t n;
    float *mean, *std; /* in one piece of memory */
} normalize;

static bool check_channels(const normalize *t, int64_t c)
{
    return t->n == 1 || t->n == c ||
           luc_raise(LUCID_ERR_ARGUMENT, t->base.name,
                     "mean, std: expected one number or one for each of %lld channels, got %lld",
                     (long long)c, (long long)t->n);
}

static lucid_tensor *normalize_apply(const lucid_transform *transform, lucid_tensor *image,
                                     lucid_generator *rng)
{
    const normalize *t = (const normalize *)transform;
    luc_picture p;
    void *data;
    (void)rng;
    if (!luc_picture_of(&p, image, t->base.name) || !check_channels(t, p.c)) return NULL;
    if (p.dtype != LUCID_F32)
        return luc_raise_null(LUCID_ERR_ARGUMENT, t->base.name,
                              "image: expected float32, got uint8: put data_ToFloat() before it");
    lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, LUCID_F32, &data, t->base.name);
    if (!out) return NULL;
    const int64_t plane = p.h * p.w;
    for (int64_t k = 0; k < p.c; k++) {
        const float *from = (const float *)p.data + k * plane;
        float *to = (float *)data + k * plane;
        const float mean = t->mean[t->n == 1 ? 0 : k], std = t->std[t->n == 1 ? 0 : k];
        for (int64_t i = 0; i < plane; i++) to[i] = (from[i] - mean) / std;
    }
    return out;
}

bool luc_is_normalize(const lucid_transform *t)
{
    return t->apply == normalize_apply;
}

lucid_tensor *luc_normalize_bytes(const lucid_transform *transform, lucid_tensor *image)
{
    const normalize *t = (const normalize *)transform;
    luc_picture p;
    void *data;
    if (!luc_picture_of(&p, image, t->base.name) || !check_channels(t, p.c)) return NULL;
    lucid_tensor *out = luc_picture_new(p.c, p.h, p.w, LUCID_F32, &data, t->base.name);
    if (!out) return NULL;
    const int64_t plane = p.h * p.w;
    for (int64_t k = 0; k < p.c; k++) {
        const uint8_t *from = (const uint8_t *)p.data + k * plane;
        float *to = (float *)data + k * plane, value[256];
        const float mean = t->mean[t->n == 1 ? 0 : k], std = t->std[t->n == 1 ? 0 : k];
        for (int i = 0; i < 256; i++) value[i] = ((float)i / 255.0f - mean) / std;
        for (int64_t i = 0; i < plane; i++) to[i] = value[from[i]];
    }
    return out;
}

static bool normalize_infer(const lucid_transform *transform, const lucid_sample_spec *in,
                            lucid_sample_spec *out)
{
    const normalize *t = (const normalize *)transform;
    *out = *in;
    if (!luc_spec_check(in, t->base.name)) return false;
    if (in->dtype != LUCID_F32)
        return luc_raise(LUCID_ERR_ARGUMENT, t->base.name,
                         "samples: expected float32, got uint8: put data_ToFloat() before it");
    return in->shape.dims[0] < 0 || check_channels(t, in->shape.dims[0]);
}

static void normalize_free(lucid_transform *transform)
{
    luc_free(((normalize *)transform)->mean);
    luc_transform_delete(transform);
}

lucid_transform *lucid_data_normalize(const double *mean, const double *std, int64_t n)
{
    static const char op[] = "data_Normalize";
    if (!mean || !std || n < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "mean, std: expected one number at least of each, got %lld%s",
                              (long long)n, mean && std ? "" : " and NULL");
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(mean[i]) || !isfinite(std[i]) || (float)std[i] == 0)
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "mean, std: expected finite numbers and a std that is not 0, got "
                                  "%g and %g for channel %lld",
                                  mean[i], std[i], (long long)i);
    normalize *t = luc_transform_new(sizeof *t, &(lucid_transform){.name = op,
                                                                   .apply = normalize_apply,
                                                                   .infer = normalize_infer,
                                                                   .free = normalize_free});
    if (!t) return NULL;
    t->mean = luc_calloc((size_t)n, 2 * sizeof *t->mean, op);
    if (!t->mean) {
        normalize_free(&t->base);
        return NULL;
    }
    t->std = t->mean + n;
    t->n = n;
    for (int64_t i = 0; i < n; i++) t->mean[i] = (float)mean[i], t->std[i] = (float)std[i];
    return &t->base;
}

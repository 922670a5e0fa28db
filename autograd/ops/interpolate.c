/* interpolate.c: making images larger or smaller. The operator works on [N,C,H,W]; other numbers of
 * dimensions are images in disguise, because each dimension is interpolated for itself. */
#include "autograd/ops/interpolate.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/interpolate_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/pooling.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- the operators --------------------------------------------------------------------------- */

static bool is_nearest(int mode)
{
    return mode == LUCID_INTERPOLATE_NEAREST || mode == LUCID_INTERPOLATE_NEAREST_EXACT;
}

static bool check_attrs(const char *op, const lucid_interpolate_attrs *a)
{
    if (a->mode < LUCID_INTERPOLATE_NEAREST || a->mode >= LUCID_INTERPOLATE_AREA)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "mode: expected nearest to bicubic, got %d",
                         a->mode);
    if (is_nearest(a->mode) && (a->align_corners || a->antialias))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected false with nearest, got true",
                         a->align_corners ? "align_corners" : "antialias");
    for (int i = 0; i < 2; i++) {
        const int64_t most = INT32_MAX;
        if (a->in[i] < 1 || a->out[i] < 1 || a->in[i] > most || a->out[i] > most)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "size: expected 1 to %lld, got %lld to %lld",
                             (long long)most, (long long)a->in[i], (long long)a->out[i]);
        if (!(a->scale[i] >= 0 && a->scale[i] <= 0x1p31))
            return luc_raise(LUCID_ERR_ARGUMENT, op, "scale_factor: expected a number > 0, got %g",
                             a->scale[i]);
    }
    return true;
}

/* Checks that input 0 has the sizes `from`, and makes output 0 with `to` in its layout. */
static bool infer(lucid_call *c, const int64_t *from, const int64_t *to)
{
    const lucid_view *x = &c->in[0]->view;
    if (!luc_want_floating(c, 0) || !luc_want_ndim(c, 0, 4, "[N,C,H,W]") ||
        !check_attrs(c->op->name, c->attrs))
        return false;
    if (x->dims[2] != from[0] || x->dims[3] != from[1])
        return luc_bad_input(c, 0, "expected an image of %lldx%lld", (long long)from[0],
                             (long long)from[1]);
    const int64_t dims[4] = {x->dims[0], x->dims[1], to[0], to[1]};
    luc_set_dims(c, 0, x->dtype, 4, dims);
    bool last =
        !luc_is_contiguous(4, x->dims, x->strides) && luc_is_channels_last(4, x->dims, x->strides);
    if (last)
        luc_channels_last_strides(4, dims, c->out[0].strides);
    else
        luc_contiguous_strides(4, dims, c->out[0].strides);
    return true;
}

static bool interpolate_infer(lucid_call *c)
{
    const lucid_interpolate_attrs *a = c->attrs;
    return infer(c, a->in, a->out);
}

static bool interpolate_backward_infer(lucid_call *c)
{
    const lucid_interpolate_attrs *a = c->attrs;
    return infer(c, a->out, a->in);
}

static bool interpolate_vjp(lucid_vjp *v)
{
    v->grad_in[0] = luc_apply1(&luc_op_interpolate_backward, v->grad_out[0], v->attrs);
    return v->grad_in[0] != NULL;
}

static bool interpolate_backward_vjp(lucid_vjp *v)
{
    v->grad_in[0] = luc_apply1(&luc_op_interpolate, v->grad_out[0], v->attrs);
    return v->grad_in[0] != NULL;
}

#define FROM_45(m, h, w, ...)                               \
    {                                                       \
        .mode = m, .in = {4, 5}, .out = {h, w}, __VA_ARGS__ \
    }
static const lucid_interpolate_attrs
    nearest = FROM_45(LUCID_INTERPOLATE_NEAREST, 7, 3, .scale = {0}),
    exact = FROM_45(LUCID_INTERPOLATE_NEAREST_EXACT, 8, 2, .scale = {0}),
    doubled = FROM_45(LUCID_INTERPOLATE_BILINEAR, 8, 10, .scale = {2, 2}),
    smaller = FROM_45(LUCID_INTERPOLATE_BILINEAR, 3, 4, .scale = {0}),
    aligned = FROM_45(LUCID_INTERPOLATE_BILINEAR, 9, 1, .align_corners = true),
    smooth = FROM_45(LUCID_INTERPOLATE_BILINEAR, 2, 3, .antialias = true),
    rows = FROM_45(LUCID_INTERPOLATE_BILINEAR, 6, 5, .scale = {0}),
    columns = FROM_45(LUCID_INTERPOLATE_BILINEAR, 4, 7, .scale = {0}),
    cubic = FROM_45(LUCID_INTERPOLATE_BICUBIC, 7, 3, .scale = {0}),
    cubic_smooth = FROM_45(LUCID_INTERPOLATE_BICUBIC, 2, 6, .antialias = true),
    no_mode = FROM_45(LUCID_INTERPOLATE_AREA, 2, 6, .scale = {0}),
    no_size = FROM_45(LUCID_INTERPOLATE_NEAREST, 2, 0, .scale = {0}),
    wrong_scale = FROM_45(LUCID_INTERPOLATE_NEAREST, 2, 2, .scale = {-1, 1}),
    wrong_corners = FROM_45(LUCID_INTERPOLATE_NEAREST, 2, 2, .align_corners = true);

#define SAMPLE(attributes, h, w)                                                          \
    {                                                                                     \
        .name = #attributes, .n_in = 1, .in = {LUC_IN4(2, 3, h, w)}, .attrs = &attributes \
    }
static const lucid_sample samples[] = {
    SAMPLE(nearest, 4, 5), SAMPLE(exact, 4, 5),        SAMPLE(doubled, 4, 5), SAMPLE(smaller, 4, 5),
    SAMPLE(aligned, 4, 5), SAMPLE(smooth, 4, 5),       SAMPLE(rows, 4, 5),    SAMPLE(columns, 4, 5),
    SAMPLE(cubic, 4, 5),   SAMPLE(cubic_smooth, 4, 5),
};
static const lucid_sample backward_samples[] = {
    SAMPLE(nearest, 7, 3),      SAMPLE(exact, 8, 2),   SAMPLE(doubled, 8, 10),
    SAMPLE(smaller, 3, 4),      SAMPLE(aligned, 9, 1), SAMPLE(smooth, 2, 3),
    SAMPLE(rows, 6, 5),         SAMPLE(columns, 4, 7), SAMPLE(cubic, 7, 3),
    SAMPLE(cubic_smooth, 2, 6),
};
#define BAD_SAMPLE(attributes, message)                                                    \
    {                                                                                      \
        .name = #attributes, .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &attributes, \
        .error = message                                                                   \
    }
static const lucid_sample bad_samples[] = {
    BAD_SAMPLE(no_mode, "mode: expected nearest to bicubic"),
    BAD_SAMPLE(no_size, "size: expected 1 to"),
    BAD_SAMPLE(wrong_scale, "scale_factor: expected a number > 0, got -1"),
    BAD_SAMPLE(wrong_corners, "align_corners: expected false with nearest"),
    {.name = "sizes",
     .n_in = 1,
     .in = {LUC_IN4(2, 3, 5, 5)},
     .attrs = &doubled,
     .error = "x: expected an image of 4x5"},
};
static const lucid_sample backward_bad_samples[] = {
    BAD_SAMPLE(doubled, "grad: expected an image of 8x10"),
    BAD_SAMPLE(no_mode, "mode: expected nearest to bicubic"),
};

const lucid_op luc_op_interpolate = {
    .name = "interpolate",
    .schema = "x",
    .doc = "an image with other sizes",
    .id = LUCID_OP_interpolate,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_interpolate_attrs),
    .infer = interpolate_infer,
    .vjp = interpolate_vjp,
    .compose = luc_interpolate_compose,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(bad_samples),
};

const lucid_op luc_op_interpolate_backward = {
    .name = "interpolate_backward",
    .schema = "grad",
    .doc = "grad spread over what an image was made of",
    .id = LUCID_OP_interpolate_backward,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_interpolate_attrs),
    .infer = interpolate_backward_infer,
    .vjp = interpolate_backward_vjp,
    .compose = luc_interpolate_backward_compose,
    LUC_SAMPLES(backward_samples),
    LUC_BAD_SAMPLES(backward_bad_samples),
};

/* ---- sizes ----------------------------------------------------------------------------------- */

static const char op[] = "interpolate";

/* A call: what the output is like in each of `n` dimensions after N and C. */
typedef struct job {
    int n;
    int64_t out[3];
    double scale[3]; /* 0: from the sizes */
    const lucid_interpolate_options *o;
} job;

lucid_scales lucid_scale_pair(double h, double w)
{
    return (lucid_scales){.n = 2, .of = {h, w}};
}

lucid_scales lucid_scale_triple(double d, double h, double w)
{
    return (lucid_scales){.n = 3, .of = {d, h, w}};
}

static bool get_size(job *j, lucid_extent size)
{
    bool ok = true;
    if (luc_extent_is_pair(size)) {
        lucid_extent_get(size, j->out);
        ok = j->n == 2;
    } else {
        int64_t triple[3];
        lucid_triple_get(size, triple);
        ok = j->n == 3 || !luc_extent_is_triple(size);
        for (int d = 0; d < j->n; d++) j->out[d] = triple[d];
    }
    for (int d = 0; d < j->n && ok; d++) ok = j->out[d] >= 1;
    return ok ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "size: expected a number >= 1 or %d of them, got %lld",
                     j->n, (long long)j->out[0]);
}

static bool get_scales(job *j, const lucid_view *x)
{
    const lucid_interpolate_options *o = j->o;
    if (o->scale_factors.n && o->scale_factors.n != j->n)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "scale_factors: expected %d numbers, got %d", j->n,
                         o->scale_factors.n);
    for (int d = 0; d < j->n; d++) {
        const double scale = o->scale_factors.n ? o->scale_factors.of[d] : o->scale_factor;
        const double size = floor((double)x->dims[2 + d] * scale);
        if (!(scale > 0 && size >= 1 && size <= INT32_MAX))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "scale_factor: expected a number > 0 that leaves a size >= 1 of %lld, "
                             "got %g",
                             (long long)x->dims[2 + d], scale);
        j->out[d] = (int64_t)size;
        const bool by_size = o->recompute_scale_factor || o->mode == LUCID_INTERPOLATE_AREA;
        j->scale[d] = by_size ? 0 : scale;
    }
    return true;
}

static bool check_mode(const job *j)
{
    static const struct {
        const char *name;
        int n; /* dimensions after N and C; 0: any */
    } modes[] = {{"nearest", 0},   {"nearest-exact", 0}, {"linear", 1}, {"bilinear", 2},
                 {"trilinear", 3}, {"bicubic", 2},       {"area", 0}};
    const lucid_interpolate_options *o = j->o;
    if (o->mode < LUCID_INTERPOLATE_NEAREST || o->mode > LUCID_INTERPOLATE_AREA)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "mode: expected a lucid_interpolate_mode, got %d",
                         (int)o->mode);
    const char *name = modes[o->mode].name;
    const int n = modes[o->mode].n;
    if (n && n != j->n)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected %d dimensions with mode %s, got %d",
                         n + 2, name, j->n + 2);
    if (n == 0 && o->align_corners)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "align_corners: expected false with %s, got true",
                         name);
    if (o->antialias && n != 2)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "antialias: expected false with %s, got true",
                         name);
    return true;
}

static bool get_job(job *j, const lucid_tensor *x)
{
    const lucid_view *v = &x->view;
    const lucid_interpolate_options *o = j->o;
    const int given = (o->size != 0) + (o->scale_factor != 0) + (o->scale_factors.n != 0);
    if (v->ndim < 3 || v->ndim > 5)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "x: expected [N,C,L], [N,C,H,W] or [N,C,D,H,W], got %s",
                         luc_shape_text(x).s);
    j->n = v->ndim - 2;
    for (int d = 2; d < v->ndim; d++)
        if (v->dims[d] < 1)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "x: expected sizes >= 1 after N and C, got %s",
                             luc_shape_text(x).s);
    if (given != 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "size, scale_factor, scale_factors: expected one of them, got %d", given);
    if (o->size != 0 && o->recompute_scale_factor)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "recompute_scale_factor: expected false with a size, got true");
    return check_mode(j) && (o->size != 0 ? get_size(j, o->size) : get_scales(j, v));
}

/* ---- the function ---------------------------------------------------------------------------- */

/* An image x [N,C,H,W] to the sizes and scales of dimensions `h` and `w` of the call; -1: this
 * dimension stays as it is. */
static lucid_tensor *image(const job *j, lucid_tensor *x, int h, int w)
{
    if (!x) return NULL;
    const int d[2] = {h, w};
    lucid_interpolate_attrs a = {
        .mode = j->o->mode, .align_corners = j->o->align_corners, .antialias = j->o->antialias};
    for (int i = 0; i < 2; i++) {
        a.in[i] = x->view.dims[2 + i];
        a.out[i] = d[i] < 0 ? a.in[i] : j->out[d[i]];
        a.scale[i] = d[i] < 0 ? 0 : j->scale[d[i]];
    }
    if (j->o->mode == LUCID_INTERPOLATE_AREA)
        return lucid_adaptive_avg_pool2d_opt(x, lucid_pair(a.out[0], a.out[1]));
    return luc_apply1(&luc_op_interpolate, x, &a);
}

/* x [N,C,D,H,W]: H and W of C D channels, then D of images [N,C,D,H W]. What lies between has no
 * fewer bits than float32. */
static lucid_tensor *volume(const job *j, lucid_tensor *x)
{
    const lucid_view *v = &x->view;
    const int64_t n = v->dims[0], c = v->dims[1], d = v->dims[2];
    const lucid_dtype dtype = v->dtype;
    const bool last =
        !luc_is_contiguous(5, v->dims, v->strides) && luc_is_channels_last(5, v->dims, v->strides);
    if (dtype == LUCID_F16 || dtype == LUCID_BF16) x = lucid_cast(x, LUCID_F32);
    if (!x) return NULL;
    lucid_tensor *y = lucid_reshape_opt(x, LUCID_SHAPE(n, c * d, x->view.dims[3], x->view.dims[4]));
    y = image(j, y, 1, 2);
    if (y) y = lucid_reshape_opt(y, LUCID_SHAPE(n, c, d, j->out[1] * j->out[2]));
    y = image(j, y, 0, -1);
    if (y) y = lucid_reshape_opt(y, LUCID_SHAPE(n, c, j->out[0], j->out[1], j->out[2]));
    if (y && y->view.dtype != dtype) y = lucid_cast(y, dtype);
    return y && last ? lucid_contiguous(y, LUCID_CHANNELS_LAST) : y;
}

lucid_tensor *lucid_interpolate_opt(lucid_tensor *x, const lucid_interpolate_options *options)
{
    LUC_CALLED_AS("interpolate");
    const lucid_interpolate_options *o = LUC_OPTIONS(lucid_interpolate, options, op);
    if (!o || !luc_given(x, op, "x")) return NULL;
    job j = {.o = o};
    if (!get_job(&j, x)) return NULL;
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected a floating dtype, got %s",
                              lucid_dtype_name(x->view.dtype));
    if (j.n == 3) return volume(&j, x);
    if (j.n == 2) return image(&j, x, 0, 1);
    lucid_tensor *y = image(&j, lucid_unsqueeze(x, 2), -1, 0);
    return y ? lucid_squeeze(y, 2) : NULL;
}

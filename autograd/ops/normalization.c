/* normalization.c: batch normalisation and dropout. */
#include "autograd/ops/normalization.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"

const lucid_batch_norm_options lucid_batch_norm_defaults = {LUCID_BATCH_NORM_DEFAULTS};

/* ---- batch_norm: (x, weight?, bias?, running_mean?, running_var?, residual?) -> (y, mean, invstd) -- */

enum { X, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, RESIDUAL, BN_INPUTS };

/* The running statistics are used when not training; otherwise the batch's. */
static bool bn_infer(lucid_call *c)
{
    const lucid_view *x = &c->in[X]->view;
    if (!luc_want_floating(c, X)) return false;
    if (x->ndim < 2) return luc_bad_input(c, X, "expected at least 2-D [N,C,...]");
    int64_t channels = x->dims[1];
    lucid_dtype wide = x->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    for (int i = WEIGHT; i <= RUNNING_VAR; i++) {
        const lucid_tensor *p = c->in[i];
        if (!p) continue;
        if (p->view.ndim != 1 || p->view.dims[0] != channels)
            return luc_bad_input(c, i, "expected [%lld] (input %s)", (long long)channels,
                                 luc_shape_text(c->in[X]).s);
        if (p->view.dtype != x->dtype && p->view.dtype != wide)
            return luc_bad_input(c, i, "expected %s", lucid_dtype_name(wide));
    }
    const lucid_tensor *r = c->in[RESIDUAL];
    if (r && (r->view.dtype != x->dtype ||
              !luc_dims_equal(x->ndim, x->dims, r->view.ndim, r->view.dims)))
        return luc_bad_input(c, RESIDUAL, "expected %s %s like the input",
                             lucid_dtype_name(x->dtype), luc_shape_text(c->in[X]).s);
    lucid_infer_like(c, 0, X);
    for (int i = 1; i < 3; i++) {
        luc_set_dims(c, i, LUCID_F64, 1, &channels);
        c->out[i].strides[0] = 1;
    }
    return true;
}

static uint32_t bn_saves(const lucid_call *c)
{
    const lucid_batch_norm_attrs *a = c->attrs;
    uint32_t mask = 0;
    bool x = c->needs & 1, w = c->needs >> WEIGHT & 1, relu = a->relu;
    bool sign = relu && !c->in[RESIDUAL]; /* ReLU's sign is found once more */
    if (w || sign || (x && a->training)) mask |= LUCID_SAVE_INPUT(X);
    if ((x || sign) && c->in[WEIGHT]) mask |= LUCID_SAVE_INPUT(WEIGHT);
    if (sign && c->in[BIAS]) mask |= LUCID_SAVE_INPUT(BIAS);
    if (relu && !sign) mask |= LUCID_SAVE_OUTPUT(0);
    if (x || w || relu) mask |= LUCID_SAVE_OUTPUT(1) | LUCID_SAVE_OUTPUT(2);
    /* Not for their numbers, which outputs 1 and 2 keep: a change before backward is a mistake. */
    for (int i = RUNNING_MEAN; i <= RUNNING_VAR && !a->training; i++)
        if ((x || w || relu) && c->in[i]) mask |= LUCID_SAVE_INPUT(i);
    return mask;
}

/* The gradient of the bias where nothing cuts g: its sums. */
static lucid_tensor *bias_alone(lucid_vjp *v, lucid_tensor *g)
{
    lucid_reduce_options o = {.dims = {0}, .n_dims = 1};
    for (int d = 2; d < g->view.ndim; d++) o.dims[o.n_dims++] = d;
    return lucid_cast(lucid_sum_opt(g, &o), lucid_input_meta(v, BIAS)->dtype);
}

static lucid_tensor *saved_if(lucid_vjp *v, bool wanted, int i)
{
    return wanted && lucid_has_input(v, i) ? lucid_saved_input(v, i) : NULL;
}

/* batch_norm_backward with what was saved; `want` as there. */
static bool bn_backward(lucid_vjp *v, uint32_t want, lucid_tensor *g, lucid_tensor **out)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    lucid_batch_norm_attrs attrs = *a;
    attrs.want = want;
    bool sign = a->relu && !lucid_has_input(v, RESIDUAL);
    /* x takes part in these only; elsewhere anything like it does. */
    bool x = (want & 2) || sign || ((want & 1) && a->training);
    lucid_tensor *in[] = {
        g,
        x ? lucid_saved_input(v, X) : g,
        saved_if(v, sign || (want & 1), WEIGHT),
        lucid_saved_output(v, 1),
        lucid_saved_output(v, 2),
        saved_if(v, sign, BIAS),
        a->relu && !sign ? lucid_saved_output(v, 0) : NULL,
    };
    return lucid_apply_multi(&luc_op_batch_norm_backward, in, 7, &attrs, out);
}

static bool bn_vjp(lucid_vjp *v)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    lucid_tensor *g = v->grad_out[0];
    if (!g) return true; /* only the statistics were used, and they are constants */
    bool x = luc_needs(v, X), w = luc_needs(v, WEIGHT), b = luc_needs(v, BIAS);
    bool r = luc_needs(v, RESIDUAL);
    if (r && !a->relu) v->grad_in[RESIDUAL] = g;
    if (!x && !w && !a->relu) {
        if (b) v->grad_in[BIAS] = bias_alone(v, g);
        return !b || v->grad_in[BIAS];
    }
    for (int i = RUNNING_MEAN; i <= RUNNING_VAR && !a->training; i++)
        if (lucid_has_input(v, i) && !lucid_saved_input(v, i)) return false;
    uint32_t want = (x ? 1u : 0) | (w ? 2u : 0) | (b ? 4u : 0) | (r && a->relu ? 8u : 0);
    lucid_tensor *out[4];
    if (!bn_backward(v, want, g, out)) return false;
    if (x) v->grad_in[X] = out[0];
    if (w) v->grad_in[WEIGHT] = lucid_cast(out[1], lucid_input_meta(v, WEIGHT)->dtype);
    if (b) v->grad_in[BIAS] = lucid_cast(out[2], lucid_input_meta(v, BIAS)->dtype);
    if (r && a->relu) v->grad_in[RESIDUAL] = out[3];
    return true;
}

static const lucid_batch_norm_attrs train = {.eps = 1e-5, .momentum = -1, .training = true},
                                    eval = {.eps = 1e-5, .momentum = -1},
                                    train_relu = {.eps = 1e-5,
                                                  .momentum = -1,
                                                  .training = true,
                                                  .relu = true},
                                    eval_relu = {.eps = 1e-5, .momentum = -1, .relu = true};
#define RUNNING(c) LUC_RUNNING(c, -0.5, 0.5), LUC_RUNNING(c, 0.5, 2)
#define LUC_RUNNING(c, lo, hi)                                    \
    {                                                             \
        .shape = {1, {c}}, .low = lo, .high = hi, .no_grad = true \
    }
static const lucid_sample bn_samples[] = {
    {.name = "train",
     .n_in = 6,
     .attrs = &train,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "eval",
     .n_in = 6,
     .attrs = &eval,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), RUNNING(3), LUC_ABSENT}},
    {.name = "no affine",
     .n_in = 6,
     .attrs = &train,
     .in = {LUC_IN3(4, 3, 2), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "weight only",
     .n_in = 6,
     .attrs = &train,
     .in = {LUC_IN2(6, 3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "bias only",
     .n_in = 6,
     .attrs = &eval,
     .in = {LUC_IN2(6, 3), LUC_ABSENT, LUC_IN1(3), RUNNING(3), LUC_ABSENT}},
    {.name = "train relu",
     .n_in = 6,
     .attrs = &train_relu,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "eval relu",
     .n_in = 6,
     .attrs = &eval_relu,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), RUNNING(3), LUC_ABSENT}},
    {.name = "relu, no affine",
     .n_in = 6,
     .attrs = &train_relu,
     .in = {LUC_IN3(4, 3, 2), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "train residual",
     .n_in = 6,
     .attrs = &train,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT,
            LUC_IN4(2, 3, 4, 5)}},
    {.name = "train residual relu",
     .n_in = 6,
     .attrs = &train_relu,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT,
            LUC_IN4(2, 3, 4, 5)}},
    {.name = "eval residual relu",
     .n_in = 6,
     .attrs = &eval_relu,
     .in = {LUC_IN2(6, 3), LUC_IN1(3), LUC_IN1(3), RUNNING(3), LUC_IN2(6, 3)}},
};
static const lucid_sample bn_bad_samples[] = {
    {.name = "rank",
     .n_in = 6,
     .attrs = &train,
     .error = "input: expected at least 2-D",
     .in = {LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "weight",
     .n_in = 6,
     .attrs = &train,
     .error = "weight: expected [3]",
     .in = {LUC_IN2(4, 3), LUC_IN1(2), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT}},
    {.name = "running",
     .n_in = 6,
     .attrs = &eval,
     .error = "running_var: expected [3]",
     .in = {LUC_IN2(4, 3), LUC_ABSENT, LUC_ABSENT, LUC_IN1(3), LUC_IN1(4), LUC_ABSENT}},
    {.name = "residual",
     .n_in = 6,
     .attrs = &train_relu,
     .error = "residual: expected float32 [4,3] like the input",
     .in = {LUC_IN2(4, 3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_IN2(1, 3)}},
};

const lucid_op luc_op_batch_norm = {
    .name = "batch_norm",
    .schema = "input, weight?, bias?, running_mean?, running_var?, residual?",
    .doc = "batch normalisation, then the sum with a residual, then ReLU",
    .id = LUCID_OP_batch_norm,
    .n_in = BN_INPUTS,
    .n_out = 3,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_batch_norm_attrs),
    .infer = bn_infer,
    .saves = bn_saves,
    .vjp = bn_vjp,
    LUC_SAMPLES(bn_samples),
    LUC_BAD_SAMPLES(bn_bad_samples),
};

/* ---- batch_norm_backward: (g, x, weight?, mean, invstd, bias?, y?) -> (dx, dweight, dbias, dr) ----- */

enum { G, BX, BWEIGHT, MEAN, INVSTD, BBIAS, BY, BACKWARD_INPUTS };

static bool bn_backward_infer(lucid_call *c)
{
    const lucid_batch_norm_attrs *a = c->attrs;
    const lucid_view *x = &c->in[BX]->view;
    lucid_dtype wide = x->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    int64_t channels = x->dims[1], none = 0;
    if (!luc_dims_equal(x->ndim, x->dims, c->in[G]->view.ndim, c->in[G]->view.dims))
        return luc_bad_input(c, G, "expected %s like the input", luc_shape_text(c->in[BX]).s);
    if (c->in[BY] && !luc_dims_equal(x->ndim, x->dims, c->in[BY]->view.ndim, c->in[BY]->view.dims))
        return luc_bad_input(c, BY, "expected %s like the input", luc_shape_text(c->in[BX]).s);
    for (int i = 0; i < 4; i += 3) {
        if (a->want >> i & 1) {
            lucid_infer_like(c, i, BX);
            continue;
        }
        luc_set_dims(c, i, x->dtype, 1, &none);
        c->out[i].strides[0] = 1;
    }
    for (int i = 1; i < 3; i++) {
        luc_set_dims(c, i, wide, 1, a->want >> i & 1 ? &channels : &none);
        c->out[i].strides[0] = 1;
    }
    return true;
}

static uint32_t bn_backward_saves(const lucid_call *c)
{
    const lucid_batch_norm_attrs *a = c->attrs;
    uint32_t mask = LUCID_SAVE_INPUT(G) | LUCID_SAVE_INPUT(BX) | LUCID_SAVE_INPUT(MEAN) |
                    LUCID_SAVE_INPUT(INVSTD);
    if (c->in[BWEIGHT]) mask |= LUCID_SAVE_INPUT(BWEIGHT);
    if (a->relu && c->in[BY]) mask |= LUCID_SAVE_INPUT(BY);
    if (a->relu && !c->in[BY] && c->in[BBIAS]) mask |= LUCID_SAVE_INPUT(BBIAS);
    return mask;
}

/* t, of x's sizes and dtype, where ReLU let the gradient pass and 0 elsewhere: as a function of t,
 * for what passes is constant nearly everywhere. */
static lucid_tensor *cut(lucid_vjp *v, lucid_tensor *t)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    if (!a->relu || !t) return t;
    lucid_batch_norm_attrs attrs = *a;
    attrs.want = 8;
    bool sign = !lucid_has_input(v, BY);
    lucid_tensor *in[BACKWARD_INPUTS] = {
        t,
        lucid_saved_input(v, BX),
        saved_if(v, true, BWEIGHT),
        lucid_saved_input(v, MEAN),
        lucid_saved_input(v, INVSTD),
        saved_if(v, sign, BBIAS),
        saved_if(v, true, BY),
    };
    lucid_tensor *out[4];
    if (!lucid_apply_multi(&luc_op_batch_norm_backward, in, BACKWARD_INPUTS, &attrs, out))
        return NULL;
    return out[3];
}

/* What the second derivative is written in: everything [1,C,1..] or of x's sizes, in float64 or
 * float32. xh is the normalised input, m() the mean over all but the channel. */
typedef struct second {
    lucid_tensor *g, *x, *w, *s; /* g: as ReLU cuts it; s: invstd */
    lucid_tensor *xh;
    lucid_shape row; /* [1,C,1..] */
    lucid_reduce_options over;
    double n;
} second;

static lucid_tensor *as_row(const second *d, lucid_tensor *t, lucid_dtype dtype)
{
    return lucid_reshape_opt(lucid_cast(t, dtype), d->row);
}

static lucid_tensor *sum_over(const second *d, lucid_tensor *t)
{
    return lucid_sum_opt(t, &d->over);
}

static lucid_tensor *mean_over(const second *d, lucid_tensor *t)
{
    return lucid_mul_scalar(lucid_sum_opt(t, &d->over), 1 / d->n);
}

/* With batch statistics xh and s are functions of x, so they are computed from x anew: differentiable
 * once more. With running statistics they are constants. */
static bool second_begin(lucid_vjp *v, second *d)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    lucid_tensor *x = lucid_saved_input(v, BX), *g = cut(v, lucid_saved_input(v, G));
    if (!x || !g) return false;
    lucid_dtype wide = x->view.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    d->x = lucid_cast(x, wide);
    d->g = lucid_cast(g, wide);
    d->row = (lucid_shape){.ndim = x->view.ndim};
    d->over = lucid_reduce_defaults;
    d->over.keepdim = true;
    d->over.n_dims = 0;
    d->n = 1;
    for (int i = 0; i < x->view.ndim; i++) {
        d->row.dims[i] = i == 1 ? x->view.dims[1] : 1;
        if (i == 1) continue;
        d->over.dims[d->over.n_dims++] = i;
        d->n *= (double)x->view.dims[i];
    }
    d->w = lucid_has_input(v, BWEIGHT) ? as_row(d, lucid_saved_input(v, BWEIGHT), wide) : NULL;
    if (a->training) {
        lucid_tensor *centred = lucid_sub(d->x, mean_over(d, d->x));
        lucid_tensor *var = mean_over(d, lucid_square(centred));
        d->s = lucid_rsqrt(lucid_add_scalar(var, a->eps));
        d->xh = lucid_mul(centred, d->s);
    } else {
        d->s = as_row(d, lucid_saved_input(v, INVSTD), wide);
        d->xh = lucid_mul(lucid_sub(d->x, as_row(d, lucid_saved_input(v, MEAN), wide)), d->s);
    }
    return d->xh && d->s;
}

#define ADD(sum, term)                                   \
    do {                                                 \
        lucid_tensor *term_ = (term);                    \
        if (!term_) return false;                        \
        (sum) = (sum) ? lucid_add((sum), term_) : term_; \
    } while (0)

/* What reaches x with the batch's statistics; pg is p g, and uu is u projected. */
static bool bn_backward_to_x(const second *d, lucid_tensor *ws, lucid_tensor *u, lucid_tensor *uu,
                             lucid_tensor *pg, lucid_tensor **result)
{
    /* Through xh: h is d<..>/d xh, projected like dx; through s in front: -xh s <g, uu> w / n. */
    lucid_tensor *h = pg, *to_x = NULL;
    if (u) {
        lucid_tensor *gx = mean_over(d, lucid_mul(d->g, d->xh));
        lucid_tensor *ux = mean_over(d, lucid_mul(u, d->xh));
        lucid_tensor *bent = lucid_add(lucid_mul(u, gx), lucid_mul(d->g, ux));
        ADD(h, lucid_neg(lucid_mul(ws, bent)));
    }
    if (h) {
        lucid_tensor *hh = lucid_sub(h, mean_over(d, h));
        hh = lucid_sub(hh, lucid_mul(d->xh, mean_over(d, lucid_mul(h, d->xh))));
        ADD(to_x, lucid_mul(d->s, hh));
    }
    if (u) {
        lucid_tensor *front = mean_over(d, lucid_mul(d->g, uu));
        lucid_tensor *curve = lucid_mul(lucid_mul(ws, d->s), front);
        ADD(to_x, lucid_neg(lucid_mul(d->xh, curve)));
    }
    *result = to_x;
    return true;
}

/* dx, dw and db as functions of g, x and w, in operators; then their derivatives follow from
 * writing out <u, dx> + <p, dw> + <q, db> and differentiating it by hand:
 *   dx = w s (g - m(g) - xh m(g xh)),  dw = sum(g xh),  db = sum(g)        (batch statistics)
 *   dx = w s g                                                             (running statistics)
 * where g is cut already: `to_g` is the gradient of that. */
static bool second_gradients(lucid_vjp *v, lucid_tensor **result)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    second d;
    if (!second_begin(v, &d)) return false;
    lucid_dtype wide = d.x->view.dtype;
    lucid_tensor *u = a->want & 1 ? v->grad_out[0] : NULL;
    lucid_tensor *p = a->want & 2 ? v->grad_out[1] : NULL;
    lucid_tensor *q = a->want & 4 ? v->grad_out[2] : NULL;
    if (u) u = lucid_cast(u, wide);
    if (p) p = as_row(&d, p, wide);
    if (q) q = as_row(&d, q, wide);
    lucid_tensor *ws = d.w ? lucid_mul(d.w, d.s) : d.s;
    lucid_tensor *to_g = NULL, *to_x = NULL, *to_w = NULL, *uu = NULL;
    if (u) {
        /* dx is symmetric: the same projection of u gives the gradient of g. */
        uu = u;
        if (a->training) {
            uu = lucid_sub(u, mean_over(&d, u));
            uu = lucid_sub(uu, lucid_mul(d.xh, mean_over(&d, lucid_mul(u, d.xh))));
        }
        ADD(to_g, lucid_mul(ws, uu));
        ADD(to_w, lucid_mul(d.s, sum_over(&d, lucid_mul(d.g, uu))));
    }
    if (p) ADD(to_g, lucid_mul(p, d.xh));
    if (q) ADD(to_g, lucid_expand_opt(q, lucid_tensor_shape(d.x)));
    if (luc_needs(v, BX)) {
        lucid_tensor *pg = p ? lucid_mul(p, d.g) : NULL;
        if (a->training && !bn_backward_to_x(&d, ws, u, uu, pg, &to_x)) return false;
        if (!a->training && pg) ADD(to_x, lucid_mul(pg, d.s));
    }
#undef ADD
    if (luc_needs(v, G) && to_g) *result = lucid_cast(to_g, lucid_input_meta(v, G)->dtype);
    if (luc_needs(v, BX) && to_x) v->grad_in[BX] = lucid_cast(to_x, lucid_input_meta(v, BX)->dtype);
    if (luc_needs(v, BWEIGHT) && to_w) {
        const lucid_meta *m = lucid_input_meta(v, BWEIGHT);
        v->grad_in[BWEIGHT] = lucid_cast(lucid_reshape_opt(to_w, luc_meta_shape(m)), m->dtype);
    }
    return true;
}

static bool bn_backward_vjp(lucid_vjp *v)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    lucid_tensor *to_g = NULL, *t = a->want & 8 ? v->grad_out[3] : NULL;
    bool others = false;
    for (int i = 0; i < 3; i++) others |= (a->want >> i & 1) && v->grad_out[i];
    if (others && !second_gradients(v, &to_g)) return false;
    if (!luc_needs(v, G) || (!to_g && !t)) return true;
    v->grad_in[G] = cut(v, to_g && t ? lucid_add(to_g, t) : to_g ? to_g : t);
    return v->grad_in[G] != NULL;
}

/* mean and invstd must be x's own, so the derivatives are checked through batch_norm's samples. */
static const lucid_batch_norm_attrs eval_all = {.eps = 1e-5, .momentum = -1, .want = 7},
                                    eval_cut = {
                                        .eps = 1e-5, .momentum = -1, .relu = true, .want = 15};
#define STATISTIC(lo, hi)                                                             \
    {                                                                                 \
        .shape = {1, {3}}, .dtype = LUCID_F64, .low = lo, .high = hi, .no_grad = true \
    }
static const lucid_sample bn_backward_samples[] = {
    {.name = "eval",
     .n_in = 7,
     .attrs = &eval_all,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN4(2, 3, 4, 5), LUC_IN1(3), STATISTIC(-0.5, 0.5),
            STATISTIC(0.5, 2), LUC_ABSENT, LUC_ABSENT}},
    {.name = "eval, cut by sign",
     .n_in = 7,
     .attrs = &eval_cut,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN4(2, 3, 4, 5), LUC_IN1(3), STATISTIC(-0.5, 0.5),
            STATISTIC(0.5, 2), LUC_IN1(3), LUC_ABSENT}},
    {.name = "eval, cut by output",
     .n_in = 7,
     .attrs = &eval_cut,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN4(2, 3, 4, 5), LUC_IN1(3), STATISTIC(-0.5, 0.5),
            STATISTIC(0.5, 2), LUC_ABSENT, LUC_IN4(2, 3, 4, 5)}},
};
static const lucid_sample bn_backward_bad_samples[] = {
    {.name = "sizes",
     .n_in = 7,
     .attrs = &eval_all,
     .error = "grad: expected [2,3,4,5]",
     .in = {LUC_IN4(2, 3, 4, 4), LUC_IN4(2, 3, 4, 5), LUC_IN1(3), STATISTIC(-0.5, 0.5),
            STATISTIC(0.5, 2), LUC_ABSENT, LUC_ABSENT}},
};

const lucid_op luc_op_batch_norm_backward = {
    .name = "batch_norm_backward",
    .schema = "grad, input, weight?, mean, invstd, bias?, output?",
    .doc = "gradients of batch normalisation",
    .id = LUCID_OP_batch_norm_backward,
    .n_in = BACKWARD_INPUTS,
    .n_out = 4,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_batch_norm_attrs),
    .infer = bn_backward_infer,
    .saves = bn_backward_saves,
    .vjp = bn_backward_vjp,
    LUC_SAMPLES(bn_backward_samples),
    LUC_BAD_SAMPLES(bn_backward_bad_samples),
};

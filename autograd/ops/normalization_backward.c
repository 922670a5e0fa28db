/* normalization_backward.c: the gradients of batch normalisation, and theirs. */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"

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
        luc_saved_if(v, true, BWEIGHT),
        lucid_saved_input(v, MEAN),
        lucid_saved_input(v, INVSTD),
        luc_saved_if(v, sign, BBIAS),
        luc_saved_if(v, true, BY),
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

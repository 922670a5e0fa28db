/* normalization_backward.c: the gradients of batch normalisation, and theirs. */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- batch_norm_backward: (g, x, weight?, mean, invstd, bias?, y?) -> (dx, dweight, dbias, dr) */

enum { G, BX, BWEIGHT, MEAN, INVSTD, BBIAS, BY, BACKWARD_INPUTS };

static bool bn_backward_infer(lucid_call *c)
{
    const lucid_batch_norm_attrs *a = c->attrs;
    if (!luc_check_bn_backward(c)) return false;
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

/* What the second derivative is written in: everything [1,C,1..] or of x's sizes, in the dtype
 * `wide`. With the batch's statistics that is float64, because the terms that are added may cancel;
 * with running statistics float32 will do for what is narrower. */
typedef struct second {
    lucid_tensor *x, *g;     /* in their own dtypes; g: as ReLU cuts it */
    lucid_tensor *w, *s;     /* w: NULL stands for 1; s: invstd */
    lucid_tensor *invstd;    /* as forward made it: [C] in float64 */
    lucid_tensor *xh;        /* the normalised input */
    lucid_tensor *u, *p, *q; /* what reached dx, dw and db, or NULL */
    bool needs_x, needs_w;
    lucid_dtype wide;
    lucid_shape row;  /* [1,C,1..] */
    lucid_shape over; /* all dimensions but the channel */
    double n;         /* values of a channel, and 1 where it has none: a mean of nothing is 0 */
} second;

/* What reaches g (as it is cut), x and w; NULL where nothing does. */
typedef struct second_gradients {
    lucid_tensor *g, *x, *w;
} second_gradients;

/* False for a term that could not be made: NULL in *sum stands for no terms yet. */
static bool add_term(lucid_tensor **sum, lucid_tensor *term)
{
    if (!term) return false;
    *sum = *sum ? lucid_add(*sum, term) : term;
    return *sum != NULL;
}

static lucid_tensor *as_row(const second *d, lucid_tensor *t)
{
    return lucid_reshape_opt(lucid_cast(t, d->wide), d->row);
}

static lucid_tensor *mean_over(const second *d, lucid_tensor *t)
{
    return lucid_div_scalar(lucid_sum_opt(t, d->over, LUC_WITH(lucid_reduce, .keepdim = true)),
                            d->n);
}

/* Scopes let go of what is as large as x and no longer needed: memory that is still in the cache is
 * used again. */
static lucid_tensor *mean_of_product(const second *d, lucid_tensor *a, lucid_tensor *b)
{
    LUCID_SCOPE;
    return lucid_scope_return(mean_over(d, lucid_mul(a, b)));
}

static lucid_tensor *centred(const second *d, lucid_tensor *t)
{
    LUCID_SCOPE;
    t = lucid_cast(t, d->wide);
    return lucid_scope_return(lucid_sub(t, mean_over(d, t)));
}

/* a by_a + b by_b */
static lucid_tensor *weighted_sum(lucid_tensor *a, lucid_tensor *by_a, lucid_tensor *b,
                                  lucid_tensor *by_b)
{
    LUCID_SCOPE;
    return lucid_scope_return(lucid_add(lucid_mul(a, by_a), lucid_mul(b, by_b)));
}

static void second_sizes(second *d, const lucid_tensor *x)
{
    d->row = (lucid_shape){.ndim = x->view.ndim};
    d->over = (lucid_shape){.ndim = 0};
    d->n = 1;
    for (int i = 0; i < x->view.ndim; i++) {
        d->row.dims[i] = i == 1 ? x->view.dims[1] : 1;
        if (i == 1) continue;
        d->over.dims[d->over.ndim++] = i;
        d->n *= (double)x->view.dims[i];
    }
    if (d->n < 1) d->n = 1;
}

/* With batch statistics xh and s are functions of x, so they are computed from x: they can be
 * differentiated once more. Forward's mean m and 1 / deviation i come first, as constants, which
 * changes nothing in exact arithmetic:
 *     z = (x - m) i,  c = z - mean(z),  r = 1 / sqrt(mean(c c) + eps i i),  xh = c r,  s = i r
 * but z has lost the mean of x already, so that the rounding of its own mean does not show, and the
 * squares are near 1 whatever the range of x is. In a constant channel z is exactly 0; where eps is
 * 0 as well, r is 1 and s is i, which forward made 0 there. */
static bool second_normalise_batch(second *d, lucid_tensor *mean, double eps)
{
    LUCID_SCOPE;
    lucid_tensor *invstd = d->s, *x = lucid_cast(d->x, d->wide);
    lucid_tensor *c = centred(d, lucid_mul(lucid_sub(x, mean), invstd));
    lucid_tensor *squares = mean_of_product(d, c, c);
    squares = lucid_add(squares, lucid_mul_scalar(lucid_square(invstd), eps));
    lucid_tensor *none = lucid_cast(lucid_eq(squares, lucid_scalar(0)), d->wide);
    lucid_tensor *r = lucid_rsqrt(lucid_add(squares, none));
    d->s = lucid_scope_return(lucid_mul(invstd, r));
    d->xh = lucid_scope_return(lucid_mul(c, r));
    return d->s && d->xh;
}

/* The mean is subtracted as two numbers of x's dtype, as forward does: one would not hold it. */
static bool second_normalise_running(second *d, lucid_tensor *mean)
{
    LUCID_SCOPE;
    lucid_tensor *high = lucid_cast(mean, d->wide);
    lucid_tensor *low = lucid_cast(lucid_sub(mean, lucid_cast(high, LUCID_F64)), d->wide);
    lucid_tensor *c = lucid_sub(lucid_cast(d->x, d->wide), as_row(d, high));
    d->xh = lucid_scope_return(lucid_mul(lucid_sub(c, as_row(d, low)), d->s));
    return d->xh != NULL;
}

static bool second_begin(lucid_vjp *v, second *d)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    d->x = lucid_saved_input(v, BX);
    d->g = cut(v, lucid_saved_input(v, G));
    if (!d->x || !d->g) return false;
    second_sizes(d, d->x);
    d->needs_x = luc_needs(v, BX);
    d->needs_w = luc_needs(v, BWEIGHT);
    d->wide = a->training || d->x->view.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    if (lucid_has_input(v, BWEIGHT) && !(d->w = as_row(d, lucid_saved_input(v, BWEIGHT))))
        return false;
    d->u = a->want & 1 ? v->grad_out[0] : NULL;
    lucid_tensor *p = a->want & 2 ? v->grad_out[1] : NULL;
    lucid_tensor *q = a->want & 4 ? v->grad_out[2] : NULL;
    if (p && !(d->p = as_row(d, p))) return false;
    if (q && !(d->q = as_row(d, q))) return false;
    lucid_tensor *mean = lucid_saved_input(v, MEAN);
    d->invstd = lucid_saved_input(v, INVSTD);
    d->s = as_row(d, d->invstd);
    if (!d->s) return false;
    if (a->training) return second_normalise_batch(d, as_row(d, mean), a->eps);
    return !d->p || second_normalise_running(d, mean);
}

/* s sum(g u), as the dw of an input u whose mean is 0: so it is summed in double. */
static lucid_tensor *scaled_sum_of_product(const second *d, lucid_tensor *g, lucid_tensor *u)
{
    const lucid_batch_norm_attrs attrs = {.momentum = -1, .want = 2};
    lucid_tensor *mean = luc_full_like(d->invstd, 0), *out[4];
    if (!mean) return NULL;
    lucid_tensor *in[BACKWARD_INPUTS] = {[G] = g, [BX] = u, [MEAN] = mean, [INVSTD] = d->invstd};
    if (!lucid_apply_multi(&luc_op_batch_norm_backward, in, BACKWARD_INPUTS, &attrs, out))
        return NULL;
    return out[1];
}

/* With running statistics dx = w s g, dw = sum(g xh) and db = sum(g), so that
 *     <u,dx> + <p,dw> + <q,db> = sum(u w s g) + p sum(g xh) + q sum(g). */
static bool differentiate_running(const second *d, second_gradients *to)
{
    lucid_tensor *g = lucid_cast(d->g, d->wide);
    if (d->u) {
        lucid_tensor *u = lucid_cast(d->u, d->wide), *us = lucid_mul(u, d->s);
        if (!add_term(&to->g, d->w ? lucid_mul(us, d->w) : us)) return false;
        if (d->needs_w && !add_term(&to->w, scaled_sum_of_product(d, g, u))) return false;
    }
    if (!d->p) return true;
    return add_term(&to->g, lucid_mul(d->xh, d->p)) &&
           (!d->needs_x || add_term(&to->x, lucid_mul(g, lucid_mul(d->p, d->s))));
}

/* With the batch's statistics, m() being the mean over a channel of n values,
 *     dx = w s (g - m(g) - xh m(g xh)),  dw = sum(g xh),  db = sum(g).
 * With u and g centred (uc, gc), for m(xh) is 0,
 *     <u,dx> + <p,dw> + <q,db> = n (w s (m(uc gc) - m(uc xh) m(gc xh)) + p m(gc xh) + q m(g)).
 * Its derivatives by g and w can be read off. That by x follows from
 *     d xh_j / d x_i = s ((i == j) - 1/n - xh_i xh_j / n),  d s / d x_i = -s s xh_i / n
 * and is s (by_uc uc + by_gc gc - by_xh xh). */
static bool differentiate_batch(const second *d, second_gradients *to)
{
    lucid_tensor *xh = d->xh, *s = d->s, *by_uc = NULL, *by_gc = NULL, *by_xh = NULL, *uc = NULL;
    lucid_tensor *ws = d->w ? lucid_mul(d->w, s) : s;
    lucid_tensor *gc = centred(d, d->g), *gx = mean_of_product(d, gc, xh);
    if (d->p && (!add_term(&by_gc, d->p) || !add_term(&by_xh, lucid_mul(d->p, gx)))) return false;
    if (d->u) {
        uc = centred(d, d->u);
        lucid_tensor *ux = mean_of_product(d, uc, xh), *ug = mean_of_product(d, uc, gc);
        lucid_tensor *product = lucid_mul(ux, gx);
        lucid_tensor *bent = lucid_sub(ug, lucid_mul_scalar(product, 3));
        by_uc = lucid_neg(lucid_mul(ws, gx));
        if (!add_term(&by_gc, lucid_neg(lucid_mul(ws, ux)))) return false;
        if (!add_term(&by_xh, lucid_mul(ws, bent))) return false;
        lucid_tensor *by_w = lucid_mul(s, lucid_sub(ug, product));
        if (d->needs_w && !add_term(&to->w, lucid_mul_scalar(by_w, d->n))) return false;
    }
    if (!by_gc) return true; /* db alone: it does not depend on x */
    lucid_tensor *by_g = d->u ? weighted_sum(uc, ws, xh, by_gc) : lucid_mul(xh, by_gc);
    if (!add_term(&to->g, by_g)) return false;
    if (!d->needs_x) return true;
    LUCID_SCOPE;
    lucid_tensor *by_x = weighted_sum(gc, lucid_mul(s, by_gc), xh, lucid_neg(lucid_mul(s, by_xh)));
    if (d->u) by_x = lucid_add(by_x, lucid_mul(uc, lucid_mul(s, by_uc)));
    return add_term(&to->x, lucid_scope_return(by_x));
}

/* From what reaches dx, dw and db to what reaches g (in *to_g, before its cut), x and w: in
 * operators, which can be differentiated again. */
static bool second_derivative(lucid_vjp *v, lucid_tensor **to_g)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    second d = {0};
    second_gradients to = {0};
    if (!second_begin(v, &d)) return false;
    if (!(a->training ? differentiate_batch(&d, &to) : differentiate_running(&d, &to)))
        return false;
    if (d.q && !add_term(&to.g, to.g ? d.q : lucid_expand_opt(d.q, lucid_tensor_shape(d.x))))
        return false;
    if (luc_needs(v, G) && to.g && !(*to_g = lucid_cast(to.g, lucid_input_meta(v, G)->dtype)))
        return false;
    if (to.x && !(v->grad_in[BX] = lucid_cast(to.x, lucid_input_meta(v, BX)->dtype))) return false;
    if (!to.w) return true;
    const lucid_meta *m = lucid_input_meta(v, BWEIGHT);
    v->grad_in[BWEIGHT] = lucid_cast(lucid_reshape_opt(to.w, luc_meta_shape(m)), m->dtype);
    return v->grad_in[BWEIGHT] != NULL;
}

static bool bn_backward_vjp(lucid_vjp *v)
{
    const lucid_batch_norm_attrs *a = v->attrs;
    lucid_tensor *to_g = NULL, *t = a->want & 8 ? v->grad_out[3] : NULL;
    bool others = false;
    for (int i = 0; i < 3; i++) others |= (a->want >> i & 1) && v->grad_out[i];
    if (others && !second_derivative(v, &to_g)) return false;
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

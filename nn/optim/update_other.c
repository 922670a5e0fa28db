/* update_other.c: the steps of LARS, ASGD, Rprop, Adafactor and Muon. The formulas are in
 * algorithms.h. */
#include "autograd/ops/matmul.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/update_priv.h"

#include <float.h>
#include <math.h>

bool luc_update_lars(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    lucid_tensor *p = luc_update_norm(u->param), *g = luc_update_norm(u->grad);
    lucid_tensor *size = luc_add_scaled(g, o->weight_decay, p);
    lucid_tensor *both = lucid_mul(p, g), *one = both ? lucid_scalar(1) : NULL;
    lucid_tensor *ratio = lucid_div(p, lucid_add_scalar(size, o->eps));
    lucid_tensor *trust =
        lucid_where(lucid_gt(both, 0), lucid_mul_scalar(ratio, o->trust_coefficient), one);
    lucid_tensor *step = u->grad;
    if (o->weight_decay != 0) step = luc_add_scaled(step, o->weight_decay, u->param);
    step = lucid_mul(step, luc_as_dtype(trust, u->param));
    if (o->momentum != 0) {
        lucid_tensor *v = lucid_mul_scalar(u->old[0], o->momentum);
        v = u->p->started ? luc_add_scaled(v, 1 - o->dampening, step) : step;
        u->moment[0] = v;
        step = o->nesterov ? luc_add_scaled(step, o->momentum, v) : v;
    }
    u->out = luc_add_scaled(u->param, -o->lr, step);
    return u->out;
}

bool luc_update_asgd(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    double eta = u->number[0], mu = u->number[1], t = (double)u->step;
    lucid_tensor *p = lucid_mul_scalar(u->param, 1 - o->lambd * eta);
    u->out = luc_add_scaled(p, -eta, u->grad);
    u->moment[0] = mu == 1 ? u->out : luc_lerp(u->old[0], u->out, mu);
    u->number[0] = o->lr / pow(1 + o->lambd * o->lr * t, o->alpha);
    u->number[1] = 1 / fmax(1, t - o->t0);
    return u->out && u->moment[0];
}

bool luc_update_rprop(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    lucid_tensor *sign = lucid_mul(u->grad, u->old[0]), *sizes = u->old[1];
    lucid_tensor *changed = lucid_lt(sign, 0), *kept = lucid_gt(sign, 0);
    sizes = lucid_where(kept, lucid_mul_scalar(sizes, o->eta_plus),
                        lucid_where(changed, lucid_mul_scalar(sizes, o->eta_minus), sizes));
    u->moment[1] = lucid_clamp(sizes, o->step_min, o->step_max);
    u->moment[0] = lucid_where(changed, lucid_mul_scalar(u->grad, 0), u->grad);
    u->out = lucid_sub(u->param, lucid_mul(lucid_sign(u->moment[0]), u->moment[1]));
    return u->out;
}

/* ---- Adafactor ------------------------------------------------------------------------------- */

static double eps_of(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F64:
        return DBL_EPSILON;
    case LUCID_F16:
        return 0x1p-10;
    case LUCID_BF16:
        return 0x1p-7;
    default:
        return FLT_EPSILON;
    }
}

/* The mean of the squares along a dimension, brought into its average. */
static lucid_tensor *average_along(luc_update *u, int moment, int dim, double weight)
{
    lucid_tensor *mean = lucid_mean(lucid_square(u->grad), (dim), .keepdim = true);
    return u->moment[moment] = luc_lerp(u->old[moment], mean, weight);
}

/* The estimate of the squares from those of rows and columns. */
static lucid_tensor *estimate(luc_update *u, double eps1, double weight)
{
    lucid_tensor *rows = average_along(u, 0, -1, weight);
    lucid_tensor *columns = average_along(u, 1, -2, weight);
    lucid_tensor *mean = lucid_mean(rows, (-2), .keepdim = true);
    return lucid_div(lucid_mul(rows, columns), lucid_clamp(mean, eps1, INFINITY));
}

bool luc_update_adafactor(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    double t = (double)u->step, count = sqrt((double)lucid_numel(u->param));
    double eps1 =
        o->eps1 == LUCID_EPS_OF_DTYPE ? eps_of(lucid_tensor_dtype(u->p->tensor)) : o->eps1;
    double weight = pow(t, o->beta2_decay);
    if (count == 0) count = 1;
    lucid_tensor *size = lucid_mul_scalar(luc_update_norm(u->param), 1 / count), *v, *p = u->param;
    lucid_tensor *lr =
        lucid_mul_scalar(lucid_clamp(size, o->eps2, INFINITY), fmin(o->lr, 1 / sqrt(t)));
    if (o->weight_decay != 0) p = lucid_mul_scalar(p, 1 - o->lr * o->weight_decay);
    if (lucid_ndim(u->param) > 1)
        v = estimate(u, eps1, weight);
    else
        v = u->moment[2] = luc_lerp(u->old[2], lucid_square(u->grad), weight);
    lucid_tensor *step = lucid_mul(lucid_rsqrt(lucid_clamp(v, eps1 * eps1, INFINITY)), u->grad);
    lucid_tensor *too_long = lucid_mul_scalar(luc_update_norm(step), 1 / (count * o->d));
    lr = lucid_div(lr, lucid_clamp(too_long, 1, INFINITY));
    u->out = lucid_sub(p, lucid_mul(step, luc_as_dtype(lr, p)));
    return u->out;
}

/* ---- Muon ------------------------------------------------------------------------------------ */

/* An orthogonal matrix near x, by a Newton-Schulz iteration with a quintic polynomial. */
static lucid_tensor *orthogonal(const lucid_optim_options *o, lucid_tensor *x)
{
    lucid_dtype dtype = x ? lucid_tensor_dtype(x) : LUCID_F32;
    bool tall = x && lucid_size(x, 0) > lucid_size(x, 1);
    if (tall) x = lucid_transpose(x, 0, 1);
    if (dtype != LUCID_F64) x = lucid_cast(x, LUCID_F32);
    x = lucid_div(x, lucid_clamp(luc_update_norm(x), o->eps, INFINITY));
    for (int64_t k = 0; x && k < o->ns_steps; k++) {
        lucid_tensor *gram = lucid_matmul(x, lucid_transpose(x, 0, 1));
        lucid_tensor *next =
            luc_add_scaled(lucid_mul_scalar(gram, o->ns_b), o->ns_c, lucid_matmul(gram, gram));
        x = lucid_add(lucid_mul_scalar(x, o->ns_a), lucid_matmul(next, x));
    }
    if (tall) x = lucid_transpose(x, 0, 1);
    return x ? lucid_cast(x, dtype) : NULL;
}

static double muon_rate(const lucid_optim_options *o, const lucid_tensor *p)
{
    double rows = (double)lucid_size(p, 0), columns = (double)lucid_size(p, 1);
    if (columns == 0) return o->lr;
    switch (o->adjust_lr) {
    case LUCID_MUON_MATCH_RMS_ADAMW:
        return o->lr * 0.2 * sqrt(fmax(rows, columns));
    case LUCID_MUON_SPECTRAL_UNCLAMPED:
        return o->lr * sqrt(rows / columns);
    default:
        return o->lr * sqrt(fmax(1, rows / columns));
    }
}

bool luc_update_muon(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    lucid_tensor *m = u->moment[0] = luc_lerp(u->old[0], u->grad, 1 - o->momentum);
    lucid_tensor *step = o->nesterov ? luc_lerp(u->grad, m, o->momentum) : m;
    u->out = luc_add_scaled(u->param, -muon_rate(o, u->param), orthogonal(o, step));
    return u->out;
}

/* update_adaptive.c: steps scaled by the size of past gradients: RMSprop, Adagrad, Adamax, NAdam,
 * RAdam, LAMB. The formulas are in algorithms.h. */
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/update_priv.h"

#include <math.h>

bool luc_update_rmsprop(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    lucid_tensor *const *m = u->old;
    u->moment[0] = luc_average_square(m[0], u->grad, o->alpha);
    lucid_tensor *size = u->moment[0], *step;
    if (o->centered) {
        u->moment[2] = luc_lerp(m[2], u->grad, 1 - o->alpha);
        size = lucid_sub(size, lucid_square(u->moment[2]));
    }
    step = lucid_div(u->grad, lucid_add_scalar_(lucid_sqrt(size), o->eps));
    if (o->momentum > 0)
        step = u->moment[1] = lucid_add_(lucid_mul_scalar(m[1], o->momentum), step);
    u->out = luc_add_scaled(u->param, -o->lr, step);
    return u->out;
}

bool luc_update_adagrad(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    double lr = o->lr / (1 + (double)(u->step - 1) * o->lr_decay);
    u->moment[0] = lucid_add(u->old[0], lucid_square(u->grad));
    lucid_tensor *size = lucid_add_scalar_(lucid_sqrt(u->moment[0]), o->eps);
    u->out = luc_add_quotient(u->param, -lr, u->grad, size);
    return u->out;
}

bool luc_update_adamax(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    u->moment[0] = luc_lerp(u->old[0], u->grad, 1 - o->beta1);
    u->moment[1] = lucid_maximum(lucid_mul_scalar(u->old[1], o->beta2),
                                 lucid_add_scalar_(lucid_abs(u->grad), o->eps));
    double lr = o->lr / (1 - pow(o->beta1, (double)u->step));
    u->out = luc_add_quotient(u->param, -lr, u->moment[0], u->moment[1]);
    return u->out;
}

/* Adam's two averages. */
static void average(luc_update *u)
{
    u->moment[0] = luc_lerp(u->old[0], u->grad, 1 - u->o->beta1);
    u->moment[1] = luc_average_square(u->old[1], u->grad, u->o->beta2);
}

/* sqrt(v / (1 - beta2^t)) + eps */
static lucid_tensor *denominator(const luc_update *u)
{
    double correction = 1 - pow(u->o->beta2, (double)u->step);
    return lucid_add_scalar_(lucid_sqrt_(lucid_mul_scalar(u->moment[1], 1 / correction)),
                             u->o->eps);
}

bool luc_update_nadam(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    double t = (double)u->step, decay = o->momentum_decay;
    double mu = o->beta1 * (1 - 0.5 * pow(0.96, t * decay));
    double next = o->beta1 * (1 - 0.5 * pow(0.96, (t + 1) * decay));
    double product = u->number[0] * mu;
    average(u);
    lucid_tensor *d = denominator(u), *p;
    p = luc_add_quotient(u->param, -o->lr * (1 - mu) / (1 - product), u->grad, d);
    u->out = luc_add_quotient(p, -o->lr * next / (1 - product * next), u->moment[0], d);
    u->number[0] = product;
    return u->out;
}

bool luc_update_radam(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    double t = (double)u->step, power = pow(o->beta2, t), correction2 = 1 - power;
    double longest = 2 / (1 - o->beta2) - 1, length = longest - 2 * t * power / correction2;
    average(u);
    lucid_tensor *m = lucid_mul_scalar(u->moment[0], o->lr / (1 - pow(o->beta1, t)));
    if (length > 5) {
        double scale =
            sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
        lucid_tensor *size = lucid_add_scalar_(lucid_sqrt(u->moment[1]), o->eps);
        m = lucid_mul_scalar_(lucid_div(m, size), scale * sqrt(correction2));
    }
    u->out = lucid_sub(u->param, m);
    return u->out;
}

bool luc_update_lamb(luc_update *u)
{
    const lucid_optim_options *o = u->o;
    average(u);
    lucid_tensor *m = lucid_mul_scalar(u->moment[0], 1 / (1 - pow(o->beta1, (double)u->step)));
    lucid_tensor *r = lucid_div(m, denominator(u));
    if (o->weight_decay != 0) r = luc_add_scaled(r, o->weight_decay, u->param);
    lucid_tensor *trust =
        luc_as_dtype(luc_trust(luc_update_norm(u->param), luc_update_norm(r)), u->param);
    u->out = lucid_add_(lucid_mul_scalar_(lucid_mul(r, trust), -o->lr), u->param);
    return u->out;
}

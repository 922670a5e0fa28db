/* update.c: a step of the optimizers that are made of operators: one parameter at a time.
 * Everything new is computed before the parameter and its moments change, so that a failed operator
 * leaves each parameter with its moments either before the step or after it. */
#include "nn/optim/update_priv.h"
#include "autograd/autograd.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/optim/optimizer_priv.h"

#include <math.h>

/* ---- moments --------------------------------------------------------------------------------- */

unsigned luc_optim_moments(const luc_optim_kind *kind, const lucid_optim_options *o,
                           const lucid_tensor *param)
{
    return kind->needs ? kind->needs(o, param) : 0;
}

lucid_shape luc_optim_moment_shape(const luc_optim_kind *kind, const lucid_tensor *param,
                                   int moment)
{
    lucid_shape shape = lucid_tensor_shape(param);
    if (kind->sizes) kind->sizes(moment, &shape);
    return shape;
}

lucid_tensor *luc_optim_moment_like(const luc_optim_kind *kind, const lucid_optim_options *o,
                                    const lucid_tensor *param, int moment)
{
    lucid_meta meta;
    luc_tensor_get_meta(param, &meta);
    meta.offset = 0;
    lucid_shape shape = luc_optim_moment_shape(kind, param, moment);
    bool same = luc_dims_equal(shape.ndim, shape.dims, meta.ndim, meta.dims);
    for (int d = 0; d < shape.ndim; d++) meta.dims[d] = shape.dims[d];
    if (!same || !luc_is_dense(meta.ndim, meta.dims, meta.strides))
        luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    lucid_tensor *t = luc_tensor_new(&meta, lucid_tensor_device(param), "step");
    double first = kind->first_value ? kind->first_value(o, moment) : 0;
    return t && luc_fill_data(t, first, "step") ? t : NULL;
}

/* The moment as it must be: made, or brought to where lucid_to has moved the parameter. */
static bool make_moment(const lucid_optimizer *opt, const luc_optim_group *g, luc_optim_param *p,
                        int k)
{
    lucid_tensor **moment = &p->moment[k];
    if (*moment && luc_same_place(*moment, p->tensor)) return true;
    lucid_tensor *t = luc_optim_moment_like(opt->kind, &g->options, p->tensor, k);
    if (!t || (*moment && !luc_copy_data(t, *moment, "step"))) return false;
    lucid_release(*moment);
    *moment = lucid_retain(t);
    return true;
}

bool luc_optim_make_moments(const lucid_optimizer *opt, luc_optim_group *g)
{
    LUCID_SCOPE;
    for (size_t i = 0; i < g->n; i++) {
        luc_optim_param *p = &g->params[i];
        if (!p->tensor->grad) continue;
        unsigned needed = luc_optim_moments(opt->kind, &g->options, p->tensor);
        for (int k = 0; k < LUC_MAX_MOMENTS; k++)
            if ((needed >> k & 1) && !make_moment(opt, g, p, k)) return false;
    }
    return true;
}

void luc_optim_first_numbers(const luc_optim_kind *kind, const lucid_optim_options *o,
                             luc_optim_param *p)
{
    for (int k = 0; k < LUC_MAX_NUMBERS && kind->first_number; k++)
        p->number[k] = kind->first_number(o, k);
}

/* ---- one parameter --------------------------------------------------------------------------- */

static bool decays_apart(const luc_optim_kind *kind, const lucid_optim_options *o)
{
    return kind->decay == LUC_DECAY_DECOUPLED ||
           (kind->decay == LUC_DECAY_CHOSEN && o->decoupled_weight_decay);
}

/* Squares of float16 gradients are soon 0 in float16, so that 16-bit parameters are computed with
 * in float32, as the fused kernels do. */
static lucid_tensor *wide(lucid_tensor *t)
{
    lucid_dtype dtype = t ? lucid_tensor_dtype(t) : LUCID_F32;
    return dtype == LUCID_F16 || dtype == LUCID_BF16 ? lucid_cast(t, LUCID_F32) : t;
}

/* What the update sees. */
static bool prepare(const luc_optim_kind *kind, luc_update *u)
{
    const lucid_optim_options *o = u->o;
    u->param = wide(u->p->tensor);
    u->grad = wide(u->p->tensor->grad);
    for (int k = 0; k < LUC_MAX_MOMENTS; k++)
        if (u->p->moment[k] && !(u->old[k] = wide(u->p->moment[k]))) return false;
    if (o->maximize) u->grad = lucid_neg(u->grad);
    if (o->weight_decay != 0 && kind->decay != LUC_DECAY_OWN) {
        if (decays_apart(kind, o))
            u->param = lucid_mul_scalar(u->param, 1 - o->lr * o->weight_decay);
        else
            u->grad = luc_add_scaled(u->grad, o->weight_decay, u->param);
    }
    return u->param && u->grad;
}

static bool write_back(luc_update *u, luc_optim_param *p)
{
    if (!luc_before_any_write()) return false;
    bool ok = luc_copy_data(p->tensor, u->out, "step");
    luc_storage_bump(p->tensor->storage);
    for (int k = 0; ok && k < LUC_MAX_MOMENTS; k++)
        if (u->moment[k]) ok = luc_copy_data(p->moment[k], u->moment[k], "step");
    for (int k = 0; k < LUC_MAX_NUMBERS; k++) p->number[k] = u->number[k];
    p->step = u->step;
    p->started = true;
    return ok;
}

static bool update_param(const luc_optim_kind *kind, const luc_optim_group *g, luc_optim_param *p)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (p->step == 0) luc_optim_first_numbers(kind, &g->options, p);
    luc_update u = {.o = &g->options, .p = p, .step = p->step + 1};
    for (int k = 0; k < LUC_MAX_NUMBERS; k++) u.number[k] = p->number[k];
    if (luc_is_capturing(lucid_tensor_device(p->tensor)))
        return luc_raise(LUCID_ERR_UNSUPPORTED, kind->name,
                         "step: it cannot be captured, because it is made of operators with the "
                         "numbers of the moment");
    return prepare(kind, &u) && kind->update(&u) && u.out && write_back(&u, p);
}

bool luc_optim_update(lucid_optimizer *opt)
{
    for (size_t k = 0; k < opt->n_groups; k++)
        if (!luc_optim_make_moments(opt, &opt->groups[k])) return false;
    for (size_t k = 0; k < opt->n_groups; k++) {
        luc_optim_group *g = &opt->groups[k];
        for (size_t i = 0; i < g->n; i++)
            if (g->params[i].tensor->grad && !update_param(opt->kind, g, &g->params[i]))
                return false;
    }
    return true;
}

/* ---- norms ----------------------------------------------------------------------------------- */

lucid_tensor *luc_update_norm(lucid_tensor *x)
{
    if (x && lucid_tensor_dtype(x) != LUCID_F64) x = lucid_cast(x, LUCID_F32);
    return lucid_sqrt(lucid_sum(lucid_square(x)));
}

lucid_tensor *luc_trust(lucid_tensor *a, lucid_tensor *b)
{
    lucid_tensor *product = lucid_mul(a, b), *one = product ? lucid_scalar(1) : NULL;
    return lucid_where(lucid_gt(product, 0), lucid_div(a, b), one);
}

lucid_tensor *luc_as_dtype(lucid_tensor *number, const lucid_tensor *x)
{
    return number ? lucid_cast(number, lucid_tensor_dtype(x)) : NULL;
}

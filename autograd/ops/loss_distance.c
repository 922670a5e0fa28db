/* loss_distance.c: losses of the difference of two tensors, and of labels that are 1 or -1. */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_pointwise.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static const char *const names[2] = {"input", "target"};

/* ---- l1, smooth_l1, huber -------------------------------------------------------------------- */

bool luc_l1_loss_valid(const lucid_l1_loss_options *o, const char *op)
{
    return luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_l1_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                const lucid_l1_loss_options *options)
{
    LUC_CALLED_AS("l1_loss");
    const lucid_l1_loss_options *o = LUC_OPTIONS(lucid_l1_loss, options, "l1_loss");
    if (!o || !luc_l1_loss_valid(o, "l1_loss") || !luc_loss_pair(&input, &target, "l1_loss", names))
        return NULL;
    return luc_loss_reduced(lucid_abs(lucid_sub(input, target)), o->reduction);
}

/* Huber's function of d: c (d - c / 2) with c = d cut to +-delta. That is d^2 / 2 inside and a line
 * outside; its derivative is c, and at 0, where |d| has none, its second derivative is 1. */
static lucid_tensor *huber(lucid_tensor *d, double delta)
{
    lucid_tensor *c = lucid_clamp(d, -delta, delta);
    return lucid_mul(c, lucid_sub(d, lucid_mul_scalar(c, 0.5)));
}

bool luc_smooth_l1_loss_valid(const lucid_smooth_l1_loss_options *o, const char *op)
{
    return luc_loss_number(o->beta, 0, op, "beta") && luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_smooth_l1_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                       const lucid_smooth_l1_loss_options *options)
{
    LUC_CALLED_AS("smooth_l1_loss");
    const lucid_smooth_l1_loss_options *o =
        LUC_OPTIONS(lucid_smooth_l1_loss, options, "smooth_l1_loss");
    if (!o || !luc_smooth_l1_loss_valid(o, "smooth_l1_loss") ||
        !luc_loss_pair(&input, &target, "smooth_l1_loss", names))
        return NULL;
    lucid_tensor *d = lucid_sub(input, target);
    lucid_tensor *loss = o->beta == 0 ? lucid_abs(d) : lucid_div_scalar(huber(d, o->beta), o->beta);
    return luc_loss_reduced(loss, o->reduction);
}

bool luc_huber_loss_valid(const lucid_huber_loss_options *o, const char *op)
{
    if (!(o->delta > 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "delta: expected a number > 0, got %g", o->delta);
    return luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_huber_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                   const lucid_huber_loss_options *options)
{
    LUC_CALLED_AS("huber_loss");
    const lucid_huber_loss_options *o = LUC_OPTIONS(lucid_huber_loss, options, "huber_loss");
    if (!o || !luc_huber_loss_valid(o, "huber_loss") ||
        !luc_loss_pair(&input, &target, "huber_loss", names))
        return NULL;
    lucid_tensor *w = o->weight;
    if (w && !luc_dims_equal(w->view.ndim, w->view.dims, input->view.ndim, input->view.dims))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "huber_loss",
                              "weight: expected %s like input, got %s", luc_shape_text(input).s,
                              luc_shape_text(w).s);
    if (!luc_loss_weight(w, input, "huber_loss", "weight")) return NULL;
    lucid_tensor *loss = huber(lucid_sub(input, target), o->delta);
    return luc_loss_reduced(w ? lucid_mul(loss, w) : loss, o->reduction);
}

/* ---- soft_margin, hinge_embedding ------------------------------------------------------------ */

bool luc_soft_margin_loss_valid(const lucid_soft_margin_loss_options *o, const char *op)
{
    return luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_soft_margin_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                         const lucid_soft_margin_loss_options *options)
{
    LUC_CALLED_AS("soft_margin_loss");
    const lucid_soft_margin_loss_options *o =
        LUC_OPTIONS(lucid_soft_margin_loss, options, "soft_margin_loss");
    if (!o || !luc_soft_margin_loss_valid(o, "soft_margin_loss") ||
        !luc_loss_pair(&input, &target, "soft_margin_loss", names))
        return NULL;
    lucid_tensor *margin = lucid_neg(lucid_mul(target, input));
    return luc_loss_reduced(luc_loss_softplus(margin), o->reduction);
}

bool luc_hinge_embedding_loss_valid(const lucid_hinge_embedding_loss_options *o, const char *op)
{
    return luc_loss_number(o->margin, -INFINITY, op, "margin") && luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_hinge_embedding_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                             const lucid_hinge_embedding_loss_options *options)
{
    const char *op = "hinge_embedding_loss";
    LUC_CALLED_AS("hinge_embedding_loss");
    const lucid_hinge_embedding_loss_options *o =
        LUC_OPTIONS(lucid_hinge_embedding_loss, options, op);
    if (!o || !luc_hinge_embedding_loss_valid(o, op) || !luc_loss_pair(&input, &target, op, names))
        return NULL;
    lucid_tensor *zero = luc_full_like(input, 0);
    lucid_tensor *apart = luc_loss_positive(lucid_add_scalar(lucid_neg(input), o->margin));
    apart = lucid_where(lucid_eq(target, lucid_scalar(1)), zero, apart);
    lucid_tensor *close = lucid_where(lucid_eq(target, lucid_scalar(-1)), zero, input);
    return luc_loss_reduced(lucid_add(apart, close), o->reduction);
}

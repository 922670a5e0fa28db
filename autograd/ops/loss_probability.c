/* loss_probability.c: losses of probabilities, of their logits, and of likelihoods. */
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_pointwise.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <float.h>

static const char *const names[2] = {"input", "target"};
static const double log_2pi = 1.8378770664093454836;

/* 1 - x */
static lucid_tensor *complement(lucid_tensor *x)
{
    return lucid_add_scalar(lucid_neg(x), 1);
}

/* The loss times an optional weight, reduced. */
static lucid_tensor *weighted(lucid_tensor *loss, lucid_tensor *weight, int reduction)
{
    return luc_loss_reduced(weight ? lucid_mul(loss, weight) : loss, reduction);
}

/* ---- binary cross-entropy of probabilities --------------------------------------------------- */

/* log(x), at least -100; and log(1 - x), accurate where x is small: with w = 1 - x as it is rounded
 * it is log(w) (-x) / (w - 1), where both errors cancel. */
static lucid_tensor *bounded_log(lucid_tensor *x)
{
    return lucid_clamp(lucid_log(x), -100, INFINITY);
}

static lucid_tensor *bounded_log_complement(lucid_tensor *x)
{
    lucid_tensor *w = complement(x), *minus = lucid_neg(x);
    lucid_tensor *exact = lucid_mul(lucid_log(w), lucid_div(minus, lucid_sub_scalar(w, 1)));
    lucid_tensor *y = lucid_where(lucid_eq(w, lucid_scalar(1)), minus, exact);
    return lucid_clamp(y, -100, INFINITY);
}

/* The operator: its derivative is PyTorch's, which is finite at 0 and 1 because it divides by at
 * least 1e-12 (in float32, as PyTorch has it), so that no composition of operators has it. */
static bool bce_compose(const lucid_call *c, lucid_tensor **out)
{
    lucid_tensor *x = c->in[0], *y = c->in[1];
    lucid_tensor *zero = lucid_mul(complement(y), bounded_log_complement(x));
    out[0] = lucid_neg(lucid_add(lucid_mul(y, bounded_log(x)), zero));
    return out[0] != NULL;
}

static bool bce_vjp(lucid_vjp *v)
{
    lucid_tensor *g = v->grad_out[0], *x = lucid_saved_input(v, 0);
    if (!x) return false;
    if (luc_needs(v, 0)) {
        lucid_tensor *y = lucid_saved_input(v, 1);
        lucid_tensor *below = lucid_clamp(lucid_mul(complement(x), x), (double)1e-12f, INFINITY);
        v->grad_in[0] = lucid_mul(g, lucid_div(lucid_sub(x, y), below));
    }
    if (luc_needs(v, 1))
        v->grad_in[1] = lucid_mul(g, lucid_sub(bounded_log_complement(x), bounded_log(x)));
    return (!luc_needs(v, 0) || v->grad_in[0]) && (!luc_needs(v, 1) || v->grad_in[1]);
}

static uint32_t bce_saves(const lucid_call *c)
{
    return LUCID_SAVE_INPUT(0) | (c->needs & 1 ? LUCID_SAVE_INPUT(1) : 0);
}

static const lucid_op bce_op = {
    .name = "binary_cross_entropy",
    .schema = "input, target",
    .doc = "-(y log x + (1 - y) log(1 - x))",
    .id = LUCID_OP_CUSTOM,
    .n_in = 2,
    .n_out = 1,
    .autocast = LUCID_AUTOCAST_FULL,
    .saves = bce_saves,
    .vjp = bce_vjp,
    .compose = bce_compose,
};

bool luc_binary_cross_entropy_valid(const lucid_binary_cross_entropy_options *o, const char *op)
{
    return luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_binary_cross_entropy_opt(lucid_tensor *input, lucid_tensor *target,
                                             const lucid_binary_cross_entropy_options *options)
{
    const char *op = "binary_cross_entropy";
    LUC_CALLED_AS("binary_cross_entropy");
    const lucid_binary_cross_entropy_options *o =
        LUC_OPTIONS(lucid_binary_cross_entropy, options, op);
    if (!o || !luc_binary_cross_entropy_valid(o, op) ||
        !luc_loss_pair(&input, &target, op, names) ||
        !luc_loss_weight(o->weight, input, op, "weight"))
        return NULL;
    double low, high;
    if (!luc_loss_extreme(input, false, &low) || !luc_loss_extreme(input, true, &high)) return NULL;
    if (!(low >= 0 && high <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "input: expected probabilities in [0,1], got %g",
                              low >= 0 ? high : low);
    lucid_dtype dtype = lucid_promote_types(input->view.dtype, target->view.dtype);
    lucid_tensor *x = lucid_cast(input, dtype), *y = lucid_cast(target, dtype);
    return weighted(luc_apply2(&bce_op, x, y, NULL), o->weight, o->reduction);
}

/* ---- binary cross-entropy of logits ---------------------------------------------------------- */

bool luc_binary_cross_entropy_with_logits_valid(
    const lucid_binary_cross_entropy_with_logits_options *o, const char *op)
{
    return luc_loss_how(o->reduction, op);
}

/* (1 - y) x + (1 + (p - 1) y) log(1 + e^-x). log(1 + e^-x) is softplus(-x). */
static lucid_tensor *logit_loss(lucid_tensor *x, lucid_tensor *y, lucid_tensor *p)
{
    lucid_tensor *tail = luc_loss_softplus(lucid_neg(x));
    if (p) {
        lucid_tensor *factor = lucid_add_scalar(lucid_mul(lucid_sub_scalar(p, 1), y), 1);
        tail = lucid_mul(factor, tail);
    }
    return lucid_add(lucid_mul(complement(y), x), tail);
}

lucid_tensor *lucid_binary_cross_entropy_with_logits_opt(
    lucid_tensor *input, lucid_tensor *target,
    const lucid_binary_cross_entropy_with_logits_options *options)
{
    const char *op = "binary_cross_entropy_with_logits";
    LUC_CALLED_AS("binary_cross_entropy_with_logits");
    const lucid_binary_cross_entropy_with_logits_options *o =
        LUC_OPTIONS(lucid_binary_cross_entropy_with_logits, options, op);
    if (!o || !luc_binary_cross_entropy_with_logits_valid(o, op) ||
        !luc_loss_pair(&input, &target, op, names) ||
        !luc_loss_weight(o->weight, input, op, "weight") ||
        !luc_loss_weight(o->pos_weight, input, op, "pos_weight"))
        return NULL;
    return weighted(logit_loss(input, target, o->pos_weight), o->weight, o->reduction);
}

/* ---- kl_div ---------------------------------------------------------------------------------- */

bool luc_kl_div_valid(const lucid_kl_div_options *o, const char *op)
{
    return (o->reduction >= LUCID_REDUCTION_NONE && o->reduction <= LUCID_REDUCTION_BATCHMEAN) ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "reduction: expected none, mean, sum or batchmean, got %d", o->reduction);
}

lucid_tensor *lucid_kl_div_opt(lucid_tensor *input, lucid_tensor *target,
                               const lucid_kl_div_options *options)
{
    LUC_CALLED_AS("kl_div");
    const lucid_kl_div_options *o = LUC_OPTIONS(lucid_kl_div, options, "kl_div");
    if (!o || !luc_kl_div_valid(o, "kl_div") || !luc_loss_pair(&input, &target, "kl_div", names))
        return NULL;
    lucid_tensor *loss;
    if (o->log_target) {
        loss = lucid_mul(lucid_exp(target), lucid_sub(target, input));
    } else { /* y log y is 0 at 0: there, the logarithm of 1 is taken */
        lucid_tensor *none = lucid_eq(target, lucid_scalar(0));
        lucid_tensor *safe = lucid_where(none, luc_full_like(target, 1), target);
        loss = lucid_mul(target, lucid_sub(lucid_log(safe), input));
    }
    if (o->reduction != LUCID_REDUCTION_BATCHMEAN) return luc_loss_reduced(loss, o->reduction);
    lucid_tensor *mean = lucid_sum_opt(luc_loss_wide(loss), LUCID_ALL, NULL);
    if (input->view.ndim > 0) mean = lucid_div_scalar(mean, (double)input->view.dims[0]);
    return mean ? lucid_cast(mean, loss->view.dtype) : NULL;
}

/* ---- focal and Dice -------------------------------------------------------------------------- */

bool luc_focal_loss_valid(const lucid_focal_loss_options *o, const char *op)
{
    return luc_loss_number(o->gamma, 0, op, "gamma") &&
           luc_loss_number(o->alpha, -INFINITY, op, "alpha") && luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_focal_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                   const lucid_focal_loss_options *options)
{
    LUC_CALLED_AS("focal_loss");
    const lucid_focal_loss_options *o = LUC_OPTIONS(lucid_focal_loss, options, "focal_loss");
    if (!o || !luc_focal_loss_valid(o, "focal_loss") ||
        !luc_loss_pair(&input, &target, "focal_loss", names))
        return NULL;
    lucid_tensor *loss = logit_loss(input, target, NULL);
    if (o->gamma > 0) { /* 1 - p = y sigmoid(-x) + (1 - y) sigmoid(x), without cancellation */
        lucid_tensor *wrong = lucid_add(lucid_mul(target, lucid_sigmoid(lucid_neg(input))),
                                        lucid_mul(complement(target), lucid_sigmoid(input)));
        /* The slope of wrong^gamma at 0 is infinite where gamma < 1, the loss is 0 all the same. */
        const double least = input->view.dtype == LUCID_F16 ? 0x1p-24 : FLT_MIN;
        if (o->gamma < 1) wrong = lucid_clamp(wrong, least, INFINITY);
        loss = lucid_mul(loss, lucid_pow_scalar(wrong, o->gamma));
    }
    if (o->alpha >= 0) { /* alpha y + (1 - alpha) (1 - y) */
        lucid_tensor *factor =
            lucid_add_scalar(lucid_mul_scalar(target, 2 * o->alpha - 1), 1 - o->alpha);
        loss = lucid_mul(loss, factor);
    }
    return luc_loss_reduced(loss, o->reduction);
}

bool luc_dice_loss_valid(const lucid_dice_loss_options *o, const char *op)
{
    return luc_loss_number(o->smooth, 0, op, "smooth") && luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_dice_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                  const lucid_dice_loss_options *options)
{
    LUC_CALLED_AS("dice_loss");
    const lucid_dice_loss_options *o = LUC_OPTIONS(lucid_dice_loss, options, "dice_loss");
    if (!o || !luc_dice_loss_valid(o, "dice_loss") ||
        !luc_loss_pair(&input, &target, "dice_loss", names))
        return NULL;
    if (input->view.ndim < 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "dice_loss", "input: expected [N,C,...], got %s",
                              luc_shape_text(input).s);
    lucid_shape dims = {.ndim = 0};
    for (int d = 2; d < input->view.ndim; d++) dims.dims[dims.ndim++] = d;
    lucid_tensor *x = luc_loss_wide(input), *y = luc_loss_wide(target);
    lucid_tensor *both = lucid_sum_opt(lucid_mul(x, y), dims, NULL);
    lucid_tensor *each = lucid_add(lucid_sum_opt(x, dims, NULL), lucid_sum_opt(y, dims, NULL));
    lucid_tensor *above = lucid_add_scalar(lucid_mul_scalar(both, 2), o->smooth);
    lucid_tensor *score = lucid_div(above, lucid_add_scalar(each, o->smooth));
    lucid_tensor *loss = luc_loss_reduced(complement(score), o->reduction);
    return loss ? lucid_cast(loss, input->view.dtype) : NULL;
}

/* ---- likelihoods ----------------------------------------------------------------------------- */

bool luc_poisson_nll_loss_valid(const lucid_poisson_nll_loss_options *o, const char *op)
{
    return luc_loss_number(o->eps, 0, op, "eps") && luc_loss_how(o->reduction, op);
}

/* y log y - y + 0.5 log(2 pi y), where y > 1. Elsewhere the logarithm of 1 is taken, so that no
 * derivative is NaN. */
static lucid_tensor *stirling(lucid_tensor *y)
{
    lucid_tensor *few = lucid_le(y, lucid_scalar(1));
    lucid_tensor *log_y = lucid_log(lucid_where(few, luc_full_like(y, 1), y));
    lucid_tensor *sum = lucid_sub(lucid_mul(y, log_y), y);
    sum = lucid_add(sum, lucid_mul_scalar(lucid_add_scalar(log_y, log_2pi), 0.5));
    return lucid_where(few, luc_full_like(y, 0), sum);
}

lucid_tensor *lucid_poisson_nll_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                         const lucid_poisson_nll_loss_options *options)
{
    const char *op = "poisson_nll_loss";
    LUC_CALLED_AS("poisson_nll_loss");
    const lucid_poisson_nll_loss_options *o = LUC_OPTIONS(lucid_poisson_nll_loss, options, op);
    if (!o || !luc_poisson_nll_loss_valid(o, op) || !luc_loss_pair(&input, &target, op, names))
        return NULL;
    lucid_tensor *loss;
    if (o->log_input) {
        loss = lucid_sub(lucid_exp(input), lucid_mul(target, input));
    } else {
        lucid_tensor *log_x = lucid_log(lucid_add_scalar(input, o->eps));
        loss = lucid_sub(input, lucid_mul(target, log_x));
    }
    if (o->full) loss = lucid_add(loss, stirling(target));
    return luc_loss_reduced(loss, o->reduction);
}

bool luc_gaussian_nll_loss_valid(const lucid_gaussian_nll_loss_options *o, const char *op)
{
    if (!(o->eps > 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "eps: expected a number > 0, got %g", o->eps);
    return luc_loss_how(o->reduction, op);
}

/* var as it broadcasts to x; NULL, with an error, where its sizes are others. */
static lucid_tensor *fitting_variance(lucid_tensor *var, const lucid_tensor *x)
{
    const lucid_view *a = &x->view, *b = &var->view;
    if (b->ndim + 1 == a->ndim && luc_dims_equal(b->ndim, a->dims, b->ndim, b->dims))
        return lucid_unsqueeze(var, -1);
    int ones = 0;
    bool fits = a->ndim == b->ndim;
    for (int d = 0; fits && d < a->ndim; d++) {
        fits = a->dims[d] == b->dims[d] || b->dims[d] == 1;
        ones += a->dims[d] != b->dims[d];
    }
    if (fits && ones <= 1) return var;
    return luc_raise_null(LUCID_ERR_ARGUMENT, "gaussian_nll_loss",
                          "var: expected %s like input, with a 1 for one size, or without the "
                          "last, got %s",
                          luc_shape_text(x).s, luc_shape_text(var).s);
}

/* max(var, eps), through which the gradient passes unchanged. */
static lucid_tensor *at_least(lucid_tensor *var, double eps)
{
    lucid_tensor *lift;
    {
        LUCID_NO_GRAD;
        lift = lucid_sub(lucid_clamp(var, eps, INFINITY), var);
    }
    return lucid_add(var, lift);
}

lucid_tensor *lucid_gaussian_nll_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                          lucid_tensor *var,
                                          const lucid_gaussian_nll_loss_options *options)
{
    const char *op = "gaussian_nll_loss";
    LUC_CALLED_AS("gaussian_nll_loss");
    const lucid_gaussian_nll_loss_options *o = LUC_OPTIONS(lucid_gaussian_nll_loss, options, op);
    if (!o || !luc_gaussian_nll_loss_valid(o, op) || !luc_loss_pair(&input, &target, op, names))
        return NULL;
    var = luc_loss_input(var, op, "var");
    var = var ? fitting_variance(var, input) : NULL;
    if (!var) return NULL;
    double low;
    if (!luc_loss_extreme(var, false, &low)) return NULL;
    if (low < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "var: expected numbers >= 0, got %g", low);
    var = at_least(var, o->eps);
    lucid_tensor *square = lucid_square(lucid_sub(input, target));
    lucid_tensor *loss = lucid_add(lucid_log(var), lucid_div(square, var));
    if (o->full) loss = lucid_add_scalar(loss, log_2pi);
    return luc_loss_reduced(lucid_mul_scalar(loss, 0.5), o->reduction);
}

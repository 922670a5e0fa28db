/* loss.c: softmax, log_softmax and losses. */
#include "autograd/ops/loss.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- softmax and log_softmax ----------------------------------------------------------------- */

/* A 0-d tensor counts as one line of one element. */
static bool soft_infer(lucid_call *c)
{
    const lucid_dim_attrs *a = c->attrs;
    const int ndim = c->in[0]->view.ndim;
    if (!luc_want_floating(c, 0) || !luc_want_dim(c, a->dim, ndim ? ndim : 1)) return false;
    lucid_infer_like(c, 0, 0);
    return true;
}

static bool soft_backward_infer(lucid_call *c)
{
    return soft_infer(c) && luc_want_like(c, 1, 0);
}

static uint32_t save_both(const lucid_call *c)
{
    return LUCID_SAVE_INPUT(1) | (c->needs & 2 ? LUCID_SAVE_INPUT(0) : 0);
}

static lucid_tensor *sum_dim(lucid_tensor *x, int dim)
{
    return lucid_sum_opt(x, LUCID_SHAPE(dim), LUC_WITH(lucid_reduce, .keepdim = true));
}

static bool softmax_vjp(lucid_vjp *v)
{
    v->grad_in[0] =
        luc_apply2(&luc_op_softmax_backward, v->grad_out[0], lucid_saved_output(v, 0), v->attrs);
    return v->grad_in[0] != NULL;
}

static bool log_softmax_vjp(lucid_vjp *v)
{
    v->grad_in[0] = luc_apply2(&luc_op_log_softmax_backward, v->grad_out[0],
                               lucid_saved_output(v, 0), v->attrs);
    return v->grad_in[0] != NULL;
}

/* dx = y (g - sum(g y)): of g it is itself; of y: u (g - sum(g y)) - g sum(u y). */
static bool softmax_backward_vjp(lucid_vjp *v)
{
    const lucid_dim_attrs *a = v->attrs;
    lucid_tensor *u = v->grad_out[0], *y = lucid_saved_input(v, 1);
    if (luc_needs(v, 0)) v->grad_in[0] = luc_apply2(&luc_op_softmax_backward, u, y, a);
    if (luc_needs(v, 1)) {
        lucid_tensor *g = lucid_saved_input(v, 0);
        lucid_tensor *centred = lucid_sub(g, sum_dim(lucid_mul(g, y), a->dim));
        lucid_tensor *other = lucid_mul(g, sum_dim(lucid_mul(u, y), a->dim));
        v->grad_in[1] = lucid_sub(lucid_mul(u, centred), other);
    }
    return true;
}

/* dx = g - e^y sum(g): of g: u - sum(u e^y); of y: -u e^y sum(g). */
static bool log_softmax_backward_vjp(lucid_vjp *v)
{
    const lucid_dim_attrs *a = v->attrs;
    lucid_tensor *u = v->grad_out[0], *p = lucid_exp(lucid_saved_input(v, 1));
    if (luc_needs(v, 0)) v->grad_in[0] = lucid_sub(u, sum_dim(lucid_mul(u, p), a->dim));
    if (luc_needs(v, 1)) {
        lucid_tensor *total = sum_dim(lucid_saved_input(v, 0), a->dim);
        v->grad_in[1] = lucid_neg(lucid_mul(lucid_mul(u, p), total));
    }
    return true;
}

static const lucid_dim_attrs dim0 = {.dim = 0}, dim1 = {.dim = 1};
static const lucid_sample softmax_samples[] = {
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &dim1},
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &dim0},
    {.name = "channels", .n_in = 1, .in = {LUC_IN4(2, 3, 2, 4)}, .attrs = &dim1},
};
static const lucid_sample softmax_backward_samples[] = {
    {.name = "rows",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(0.05, 0.4, {2, {3, 5}})},
     .attrs = &dim1},
};
static const lucid_sample log_softmax_backward_samples[] = {
    {.name = "rows",
     .n_in = 2,
     .in = {LUC_IN2(3, 5), LUC_RANGE(-2, -0.5, {2, {3, 5}})},
     .attrs = &dim1},
};

const lucid_op luc_op_softmax = {
    .name = "softmax",
    .schema = "x",
    .doc = "e^x / sum(e^x)",
    .id = LUCID_OP_softmax,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_dim_attrs),
    .autocast = LUCID_AUTOCAST_FULL,
    .infer = soft_infer,
    .saves = luc_save_output,
    .vjp = softmax_vjp,
    LUC_SAMPLES(softmax_samples),
};

const lucid_op luc_op_log_softmax = {
    .name = "log_softmax",
    .schema = "x",
    .doc = "log(softmax(x))",
    .id = LUCID_OP_log_softmax,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_dim_attrs),
    .autocast = LUCID_AUTOCAST_FULL,
    .infer = soft_infer,
    .saves = luc_save_output,
    .vjp = log_softmax_vjp,
    LUC_SAMPLES(softmax_samples),
};

const lucid_op luc_op_softmax_backward = {
    .name = "softmax_backward",
    .schema = "grad, y",
    .doc = "y (grad - sum(grad y))",
    .id = LUCID_OP_softmax_backward,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = soft_backward_infer,
    .saves = save_both,
    .vjp = softmax_backward_vjp,
    LUC_SAMPLES(softmax_backward_samples),
};

const lucid_op luc_op_log_softmax_backward = {
    .name = "log_softmax_backward",
    .schema = "grad, y",
    .doc = "grad - e^y sum(grad)",
    .id = LUCID_OP_log_softmax_backward,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_dim_attrs),
    .infer = soft_backward_infer,
    .saves = save_both,
    .vjp = log_softmax_backward_vjp,
    LUC_SAMPLES(log_softmax_backward_samples),
};

static lucid_tensor *soft(const lucid_op *op, lucid_tensor *x, int dim)
{
    if (!luc_given(x, op->name, "x")) return NULL;
    lucid_dim_attrs attrs = {.dim = luc_wrap_dim(dim, x->view.ndim, op->name, "dim")};
    if (attrs.dim < 0) return NULL;
    return luc_apply1(op, lucid_cast(x, luc_float_type(x->view.dtype)), &attrs);
}

lucid_tensor *lucid_softmax(lucid_tensor *x, int dim)
{
    return soft(&luc_op_softmax, x, dim);
}

lucid_tensor *lucid_log_softmax(lucid_tensor *x, int dim)
{
    return soft(&luc_op_log_softmax, x, dim);
}

/* ---- nll_loss: (log_probs [N,C,...], target [N,...], weight? [C]) -> (loss, total weight) ---- */

/* The sizes of classes for x [N,C,...] or [C]: x's without C. Returns how many there are. */
static int class_dims(const lucid_view *x, int64_t dims[LUCID_MAX_DIMS])
{
    int c = x->ndim == 1 ? 0 : 1;
    for (int d = 0; d < x->ndim; d++)
        if (d != c) dims[d < c ? d : d - 1] = x->dims[d];
    return x->ndim - 1;
}

static bool check_target(const lucid_call *c, const lucid_view *x)
{
    const lucid_view *t = &c->in[1]->view;
    int64_t dims[LUCID_MAX_DIMS];
    int ndim = class_dims(x, dims);
    if (t->dtype == LUCID_I64 && luc_dims_equal(t->ndim, t->dims, ndim, dims)) return true;
    return luc_bad_input(c, 1, "expected int64 classes %s", luc_dims_text(ndim, dims).s);
}

static bool check_weight(const lucid_call *c, int i, const lucid_view *x)
{
    const lucid_tensor *w = c->in[i];
    if (!w) return true;
    if (w->view.ndim != 1 || w->view.dims[0] != x->dims[1] || w->view.dtype != x->dtype)
        return luc_bad_input(c, i, "expected %s [%lld]", lucid_dtype_name(x->dtype),
                             (long long)x->dims[1]);
    return true;
}

static bool check_reduction(const lucid_call *c, const lucid_nll_attrs *a)
{
    if (a->reduction >= LUCID_REDUCTION_NONE && a->reduction <= LUCID_REDUCTION_SUM) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                     "reduction: expected LUCID_REDUCTION_NONE, _MEAN or _SUM, got %d",
                     a->reduction);
}

static bool nll_infer(lucid_call *c)
{
    const lucid_nll_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    if (!luc_want_floating(c, 0) || !check_reduction(c, a)) return false;
    if (x->ndim < 2) return luc_bad_input(c, 0, "expected at least 2-D [N,C,...]");
    if (!check_target(c, x) || !check_weight(c, 2, x)) return false;
    const lucid_view *t = &c->in[1]->view;
    luc_set_dims(c, 0, x->dtype, a->reduction == LUCID_REDUCTION_NONE ? t->ndim : 0, t->dims);
    luc_contiguous_strides(c->out[0].ndim, c->out[0].dims, c->out[0].strides);
    luc_set_dims(c, 1, x->dtype, 0, NULL);
    return true;
}

static uint32_t nll_saves(const lucid_call *c)
{
    return LUCID_SAVE_INPUT(1) | (c->in[2] ? LUCID_SAVE_INPUT(2) : 0) | LUCID_SAVE_OUTPUT(1);
}

/* The sizes of log_probs travel as dimension 1's size: the others are the target's. */
typedef struct nll_backward_attrs {
    lucid_nll_attrs nll; /* first: the kernel reads it as lucid_nll_attrs */
    int64_t classes;
} nll_backward_attrs;

static bool nll_vjp(lucid_vjp *v)
{
    if (!v->grad_out[0]) return true; /* total_weight is a constant */
    nll_backward_attrs a = {*(const lucid_nll_attrs *)v->attrs, lucid_input_meta(v, 0)->dims[1]};
    lucid_tensor *weight = lucid_has_input(v, 2) ? lucid_saved_input(v, 2) : NULL;
    lucid_tensor *in[] = {v->grad_out[0], lucid_saved_input(v, 1), weight,
                          lucid_saved_output(v, 1)};
    v->grad_in[0] = lucid_apply(&luc_op_nll_loss_backward, in, 4, &a);
    return v->grad_in[0] != NULL;
}

static bool nll_backward_infer(lucid_call *c)
{
    const nll_backward_attrs *a = c->attrs;
    const lucid_view *g = &c->in[0]->view, *t = &c->in[1]->view;
    const lucid_tensor *w = c->in[2], *total = c->in[3];
    if (!luc_want_floating(c, 0) || !check_reduction(c, &a->nll)) return false;
    if (t->dtype != LUCID_I64 || t->ndim < 1 || t->ndim >= LUCID_MAX_DIMS)
        return luc_bad_input(c, 1, "expected int64 classes of 1 to %d dimensions",
                             LUCID_MAX_DIMS - 1);
    if (a->nll.reduction == LUCID_REDUCTION_NONE ? !luc_want_like(c, 0, 1) : g->ndim != 0)
        return luc_bad_input(c, 0, "expected the sizes of the loss");
    if (w && (w->view.ndim != 1 || w->view.dims[0] != a->classes || w->view.dtype != g->dtype))
        return luc_bad_input(c, 2, "expected %s [%lld]", lucid_dtype_name(g->dtype),
                             (long long)a->classes);
    if (total->view.ndim != 0 || total->view.dtype != g->dtype)
        return luc_bad_input(c, 3, "expected %s []", lucid_dtype_name(g->dtype));
    lucid_shape shape = {t->ndim + 1, {t->dims[0], a->classes}};
    for (int d = 1; d < t->ndim; d++) shape.dims[d + 1] = t->dims[d];
    return luc_infer_shape(c, &shape);
}

static uint32_t nll_backward_saves(const lucid_call *c)
{
    return LUCID_SAVE_INPUT(1) | (c->in[2] ? LUCID_SAVE_INPUT(2) : 0);
}

/* Linear in grad: with weights w_t / total at the targets, <u, dx> = -sum(u at target) scaled. That
 * is nll_loss of u again, which has the same scaling. */
static bool nll_backward_vjp(lucid_vjp *v)
{
    const nll_backward_attrs *a = v->attrs;
    lucid_tensor *weight = lucid_has_input(v, 2) ? lucid_saved_input(v, 2) : NULL;
    lucid_tensor *in[] = {v->grad_out[0], lucid_saved_input(v, 1), weight};
    v->grad_in[0] = lucid_apply(&luc_op_nll_loss, in, 3, &a->nll);
    return v->grad_in[0] != NULL;
}

static const lucid_nll_attrs nll_mean = {LUCID_REDUCTION_MEAN, -100},
                             nll_none = {LUCID_REDUCTION_NONE, -100},
                             nll_sum = {LUCID_REDUCTION_SUM, 2};
static const nll_backward_attrs nll_back = {{LUCID_REDUCTION_MEAN, -100}, 5};
#define LUC_WEIGHT(n)                                             \
    {                                                             \
        .shape = {1, {n}}, .low = 0.5, .high = 2, .no_grad = true \
    }
static const lucid_sample nll_samples[] = {
    {.name = "mean",
     .n_in = 3,
     .attrs = &nll_mean,
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {1, {4}}), LUC_ABSENT}},
    {.name = "weighted",
     .n_in = 3,
     .attrs = &nll_mean,
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {1, {4}}), LUC_WEIGHT(5)}},
    {.name = "none",
     .n_in = 3,
     .attrs = &nll_none,
     .in = {LUC_IN4(2, 5, 2, 3), LUC_INDEX(5, {3, {2, 2, 3}}), LUC_WEIGHT(5)}},
    {.name = "sum",
     .n_in = 3,
     .attrs = &nll_sum,
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {1, {4}}), LUC_ABSENT}},
};
static const lucid_sample nll_bad_samples[] = {
    {.name = "rank",
     .n_in = 3,
     .attrs = &nll_mean,
     .error = "target: expected int64 classes [4]",
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {2, {4, 5}}), LUC_ABSENT}},
    {.name = "range",
     .n_in = 3,
     .attrs = &nll_mean,
     .error = "target",
     .in = {LUC_IN2(4, 5),
            {.shape = {1, {4}}, .dtype = LUCID_I64, .low = 5, .high = 9, .no_grad = true},
            LUC_ABSENT}},
    {.name = "weight",
     .n_in = 3,
     .attrs = &nll_mean,
     .error = "weight: expected",
     .in = {LUC_IN2(4, 5), LUC_INDEX(5, {1, {4}}), LUC_WEIGHT(4)}},
};
static const lucid_sample nll_backward_samples[] = {
    {.name = "mean",
     .n_in = 4,
     .attrs = &nll_back,
     .in = {LUC_IN0(),
            LUC_INDEX(5, {1, {4}}),
            LUC_ABSENT,
            {.shape = {0, {0}}, .low = 4, .high = 4.0000001, .no_grad = true}},
     .no_second = true},
};

static const nll_backward_attrs nll_none_back = {{LUCID_REDUCTION_NONE, -100}, 5},
                                nll_less_back = {{LUCID_REDUCTION_MEAN, -100}, -5},
                                nll_odd_back = {{7, -100}, 5};
#define LUC_TOTAL                                                       \
    {                                                                   \
        .shape = {0, {0}}, .low = 4, .high = 4.0000001, .no_grad = true \
    }
static const lucid_sample nll_backward_bad_samples[] = {
    {.name = "target's dtype",
     .n_in = 4,
     .attrs = &nll_back,
     .error = "target: expected int64 classes",
     .in = {LUC_IN0(), LUC_IN1(4), LUC_ABSENT, LUC_TOTAL}},
    {.name = "grad",
     .n_in = 4,
     .attrs = &nll_none_back,
     .error = "grad: expected [4] like target",
     .in = {LUC_IN1(3), LUC_INDEX(5, {1, {4}}), LUC_ABSENT, LUC_TOTAL}},
    {.name = "weight",
     .n_in = 4,
     .attrs = &nll_back,
     .error = "weight: expected float32 [5]",
     .in = {LUC_IN0(), LUC_INDEX(5, {1, {4}}), LUC_WEIGHT(3), LUC_TOTAL}},
    {.name = "classes",
     .n_in = 4,
     .attrs = &nll_less_back,
     .error = "shape: expected sizes >= 0, got [4,-5]",
     .in = {LUC_IN0(), LUC_INDEX(5, {1, {4}}), LUC_ABSENT, LUC_TOTAL}},
    {.name = "reduction",
     .n_in = 4,
     .attrs = &nll_odd_back,
     .error = "reduction: expected",
     .in = {LUC_IN0(), LUC_INDEX(5, {1, {4}}), LUC_ABSENT, LUC_TOTAL}},
};

const lucid_op luc_op_nll_loss = {
    .name = "nll_loss",
    .schema = "input, target, weight?",
    .doc = "negative log likelihood",
    .id = LUCID_OP_nll_loss,
    .n_in = 3,
    .n_out = 2,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_nll_attrs),
    .autocast = LUCID_AUTOCAST_FULL,
    .infer = nll_infer,
    .saves = nll_saves,
    .vjp = nll_vjp,
    LUC_SAMPLES(nll_samples),
    LUC_BAD_SAMPLES(nll_bad_samples),
};

const lucid_op luc_op_nll_loss_backward = {
    .name = "nll_loss_backward",
    .schema = "grad, target, weight?, total_weight",
    .doc = "gradient of nll_loss",
    .id = LUCID_OP_nll_loss_backward,
    .n_in = 4,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(nll_backward_attrs),
    .infer = nll_backward_infer,
    .saves = nll_backward_saves,
    .vjp = nll_backward_vjp,
    LUC_SAMPLES(nll_backward_samples),
    LUC_BAD_SAMPLES(nll_backward_bad_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

/* What the losses of classes share; nll_loss has no smoothing. */
typedef lucid_cross_entropy_options loss_options;

static bool check_options(const loss_options *o, const char *op)
{
    if (!luc_loss_how(o->reduction, op)) return false;
    return (o->label_smoothing >= 0 && o->label_smoothing <= 1) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "label_smoothing: expected [0,1], got %g",
                     o->label_smoothing);
}

/* [C] with a 0-d class goes through as [1,C] with [1]. A NULL x comes from an earlier error. */
static lucid_tensor *nll(lucid_tensor *x, lucid_tensor *target, const loss_options *o)
{
    if (!x) return NULL;
    bool single = x->view.ndim == 1;
    if (target->view.dtype == LUCID_I32 || target->view.dtype == LUCID_U8)
        target = lucid_cast(target, LUCID_I64);
    if (single) {
        x = lucid_unsqueeze(x, 0);
        target = lucid_unsqueeze(target, 0);
    }
    if (!x || !target) return NULL;
    lucid_nll_attrs attrs = {o->reduction, o->ignore_index};
    lucid_tensor *loss =
        lucid_apply(&luc_op_nll_loss, (lucid_tensor *[]){x, target, o->weight}, 3, &attrs);
    return single && o->reduction == LUCID_REDUCTION_NONE ? lucid_squeeze(loss, 0) : loss;
}

lucid_tensor *lucid_nll_loss_opt(lucid_tensor *log_probs, lucid_tensor *target,
                                 const lucid_nll_loss_options *options)
{
    const lucid_nll_loss_options *o = LUC_OPTIONS(lucid_nll_loss, options, "nll_loss");
    if (!o || !luc_given(log_probs, "nll_loss", "log_probs") ||
        !luc_given(target, "nll_loss", "target") || !luc_loss_how(o->reduction, "nll_loss"))
        return NULL;
    const loss_options shared = {
        .weight = o->weight, .reduction = o->reduction, .ignore_index = o->ignore_index};
    return nll(log_probs, target, &shared);
}

/* The weights as [1,C,1..] against log-probabilities. */
static lucid_tensor *class_row(lucid_tensor *weight, const lucid_tensor *logp, int dim)
{
    lucid_shape row = {.ndim = logp->view.ndim};
    for (int d = 0; d < row.ndim; d++) row.dims[d] = d == dim ? logp->view.dims[dim] : 1;
    return lucid_reshape_opt(weight, row);
}

/* Against probabilities: -sum over classes of w p log q; the mean is over samples. */
static lucid_tensor *soft_targets(lucid_tensor *logp, lucid_tensor *p, const loss_options *o)
{
    int dim = logp->view.ndim == 1 ? 0 : 1;
    double classes = (double)logp->view.dims[dim];
    if (o->label_smoothing > 0)
        p = lucid_add_scalar(lucid_mul_scalar(p, 1 - o->label_smoothing),
                             o->label_smoothing / classes);
    lucid_tensor *terms = lucid_mul(logp, p);
    if (o->weight) terms = lucid_mul(terms, class_row(o->weight, logp, dim));
    return luc_loss_reduced(lucid_neg(lucid_sum_opt(terms, LUCID_SHAPE(dim), NULL)), o->reduction);
}

/* (1 - e) nll + e/C * sum over classes of -w log q, where classes that are ignored count nothing;
 * the mean divides both by the weights of the targets. */
static lucid_tensor *smoothed(lucid_tensor *logp, lucid_tensor *target, const loss_options *o)
{
    int dim = logp->view.ndim == 1 ? 0 : 1;
    double e = o->label_smoothing, classes = (double)logp->view.dims[dim];
    loss_options each = *o;
    each.reduction = LUCID_REDUCTION_NONE;
    lucid_tensor *hard = nll(logp, target, &each);
    lucid_tensor *terms = o->weight ? lucid_mul(logp, class_row(o->weight, logp, dim)) : logp;
    lucid_tensor *spread = lucid_neg(lucid_sum_opt(terms, LUCID_SHAPE(dim), NULL));
    lucid_tensor *counts = lucid_ne(target, lucid_scalar((double)o->ignore_index));
    lucid_tensor *zero = luc_full_like(spread, 0);
    spread = lucid_where(counts, spread, zero);
    lucid_tensor *loss =
        lucid_add(lucid_mul_scalar(hard, 1 - e), lucid_mul_scalar(spread, e / classes));
    if (o->reduction != LUCID_REDUCTION_MEAN) return luc_loss_reduced(loss, o->reduction);
    lucid_tensor *ones = luc_full_like(logp, -1), *weights; /* nll of -1 is the target's weight */
    {
        LUCID_NO_GRAD;
        each.reduction = LUCID_REDUCTION_SUM;
        weights = nll(ones, target, &each);
    }
    return lucid_div(lucid_sum_opt(loss, LUCID_ALL, NULL), weights);
}

/* Whether target holds classes, or probabilities of the logits' shape. Raises if it is neither. */
static bool check_cross_entropy_target(const lucid_tensor *logits, const lucid_tensor *target)
{
    const lucid_view *x = &logits->view, *t = &target->view;
    int64_t dims[LUCID_MAX_DIMS];
    int ndim = class_dims(x, dims);
    const bool soft = lucid_dtype_is_floating(t->dtype);
    bool ok = soft ? luc_dims_equal(t->ndim, t->dims, x->ndim, x->dims)
                   : t->dtype != LUCID_BOOL && luc_dims_equal(t->ndim, t->dims, ndim, dims);
    if (ok) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, "cross_entropy",
                     "target: expected int64 classes %s, or %s probabilities %s like the logits, "
                     "got %s %s",
                     luc_dims_text(ndim, dims).s, lucid_dtype_name(x->dtype),
                     luc_shape_text(logits).s, lucid_dtype_name(t->dtype),
                     luc_shape_text(target).s);
}

static bool check_class_weight(const lucid_tensor *weight, int64_t classes, const char *op)
{
    if (!weight || (weight->view.ndim == 1 && weight->view.dims[0] == classes)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "weight: expected one number for each class [%lld], "
                     "got %s",
                     (long long)classes, luc_shape_text(weight).s);
}

lucid_tensor *lucid_cross_entropy_opt(lucid_tensor *logits, lucid_tensor *target,
                                      const lucid_cross_entropy_options *options)
{
    LUC_CALLED_AS("cross_entropy");
    const loss_options *o = LUC_OPTIONS(lucid_cross_entropy, options, "cross_entropy");
    if (!o || !luc_given(logits, "cross_entropy", "logits") ||
        !luc_given(target, "cross_entropy", "target"))
        return NULL;
    if (!check_options(o, "cross_entropy")) return NULL;
    if (logits->view.ndim == 0 || !lucid_dtype_is_floating(logits->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "cross_entropy",
                              "logits: expected a floating dtype and [N,C,...] or [C], got %s %s",
                              lucid_dtype_name(logits->view.dtype), luc_shape_text(logits).s);
    int dim = logits->view.ndim == 1 ? 0 : 1;
    bool soft_target = lucid_dtype_is_floating(target->view.dtype);
    if (!check_cross_entropy_target(logits, target) ||
        !check_class_weight(o->weight, logits->view.dims[dim], "cross_entropy"))
        return NULL;
    lucid_tensor *logp = lucid_log_softmax(logits, dim);
    if (!logp) return NULL;
    if (soft_target) return soft_targets(logp, target, o);
    return o->label_smoothing > 0 ? smoothed(logp, target, o) : nll(logp, target, o);
}

lucid_tensor *lucid_mse_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                 const lucid_mse_loss_options *options)
{
    LUC_CALLED_AS("mse_loss");
    const lucid_mse_loss_options *o = LUC_OPTIONS(lucid_mse_loss, options, "mse_loss");
    if (!o || !luc_given(input, "mse_loss", "input") || !luc_given(target, "mse_loss", "target") ||
        !luc_loss_how(o->reduction, "mse_loss"))
        return NULL;
    if (!luc_dims_equal(input->view.ndim, input->view.dims, target->view.ndim, target->view.dims))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "mse_loss",
                              "target: expected %s like input, got %s", luc_shape_text(input).s,
                              luc_shape_text(target).s);
    bool floating =
        lucid_dtype_is_floating(input->view.dtype) || lucid_dtype_is_floating(target->view.dtype);
    if (!floating && (o->reduction == LUCID_REDUCTION_MEAN || input->view.dtype == LUCID_BOOL))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "mse_loss",
                              "input: expected a floating dtype, got %s",
                              lucid_dtype_name(input->view.dtype));
    input = luc_autocast_full(input);
    target = luc_autocast_full(target);
    return luc_loss_reduced(lucid_square(lucid_sub(input, target)), o->reduction);
}

/* normalization.c: batch normalisation; its gradients are in normalization_backward.c. */
#include "autograd/ops/normalization.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- batch_norm: (x, weight?, bias?, running_mean?, running_var?, residual?, mean?, var?)
 *      -> (y, mean, invstd) -------------------------------------------------------------------- */

enum { X, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, RESIDUAL, KNOWN_MEAN, KNOWN_VAR, BN_INPUTS };

/* The running statistics are used when not training; otherwise the batch's. */
static bool bn_infer(lucid_call *c)
{
    const lucid_batch_norm_attrs *a = c->attrs;
    const lucid_view *x = &c->in[X]->view;
    if (!luc_want_floating(c, X)) return false;
    if (x->ndim < 2) return luc_bad_input(c, X, "expected at least 2-D [N,C,...]");
    for (int i = RUNNING_MEAN; i <= RUNNING_VAR && !a->training; i++)
        if (!c->in[i]) return luc_bad_input(c, i, "expected running statistics in eval mode");
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
    for (int i = KNOWN_MEAN; i <= KNOWN_VAR; i++) {
        const lucid_tensor *p = c->in[i];
        if (p && (p->view.dtype != LUCID_F64 || p->view.ndim != 1 || p->view.dims[0] != channels))
            return luc_bad_input(c, i, "expected float64 [%lld] (input %s)", (long long)channels,
                                 luc_shape_text(c->in[X]).s);
        if (!p != !c->in[KNOWN_MEAN])
            return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                             "mean, var: expected both or none, got one");
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

/* Inputs: (grad, x, weight?, mean, invstd, bias?, y?). */
bool luc_check_bn_backward(const lucid_call *c)
{
    enum { G = 0, BX = 1, MEAN = 3, INVSTD = 4, Y = 6 };
    const lucid_view *x = &c->in[BX]->view;
    if (!luc_want_floating(c, BX)) return false;
    if (x->ndim < 2) return luc_bad_input(c, BX, "expected at least 2-D [N,C,...]");
    for (int i = 0; i < c->n_in; i++) {
        if (i == BX || !c->in[i]) continue;
        const lucid_view *p = &c->in[i]->view;
        const bool like_x = i == G || i == Y, statistic = i == MEAN || i == INVSTD;
        const lucid_dtype wide = statistic || x->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
        if (!like_x && (p->ndim != 1 || p->dims[0] != x->dims[1]))
            return luc_bad_input(c, i, "expected [%lld]", (long long)x->dims[1]);
        if (p->dtype != (like_x ? x->dtype : wide) && (statistic || p->dtype != x->dtype))
            return luc_bad_input(c, i, "expected %s", lucid_dtype_name(like_x ? x->dtype : wide));
    }
    return true;
}

/* The running statistics, where they are updated. */
static uint32_t bn_mutates(const lucid_call *c)
{
    const lucid_batch_norm_attrs *a = c->attrs;
    return a->training && a->momentum >= 0 ? 1u << RUNNING_MEAN | 1u << RUNNING_VAR : 0;
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
    lucid_shape dims = {.ndim = 1}; /* dimension 0 */
    for (int d = 2; d < g->view.ndim; d++) dims.dims[dims.ndim++] = d;
    return lucid_cast(lucid_sum_opt(g, dims, NULL), lucid_input_meta(v, BIAS)->dtype);
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
        luc_saved_if(v, sign || (want & 1), WEIGHT),
        lucid_saved_output(v, 1),
        lucid_saved_output(v, 2),
        luc_saved_if(v, sign, BIAS),
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
/* Statistics that are given must be x's own, which numbers made for a sample are not. */
#define UNKNOWN LUC_ABSENT, LUC_ABSENT
static const lucid_sample bn_samples[] = {
    {.name = "train",
     .n_in = BN_INPUTS,
     .attrs = &train,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT,
            UNKNOWN}},
    {.name = "eval",
     .n_in = BN_INPUTS,
     .attrs = &eval,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), RUNNING(3), LUC_ABSENT, UNKNOWN}},
    {.name = "no affine",
     .n_in = BN_INPUTS,
     .attrs = &train,
     .in = {LUC_IN3(4, 3, 2), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, UNKNOWN}},
    {.name = "weight only",
     .n_in = BN_INPUTS,
     .attrs = &train,
     .in = {LUC_IN2(6, 3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, UNKNOWN}},
    {.name = "bias only",
     .n_in = BN_INPUTS,
     .attrs = &eval,
     .in = {LUC_IN2(6, 3), LUC_ABSENT, LUC_IN1(3), RUNNING(3), LUC_ABSENT, UNKNOWN}},
    {.name = "train relu",
     .n_in = BN_INPUTS,
     .attrs = &train_relu,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT,
            UNKNOWN}},
    {.name = "eval relu",
     .n_in = BN_INPUTS,
     .attrs = &eval_relu,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), RUNNING(3), LUC_ABSENT, UNKNOWN}},
    {.name = "relu, no affine",
     .n_in = BN_INPUTS,
     .attrs = &train_relu,
     .in = {LUC_IN3(4, 3, 2), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, UNKNOWN}},
    {.name = "train residual",
     .n_in = BN_INPUTS,
     .attrs = &train,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT,
            LUC_IN4(2, 3, 4, 5), UNKNOWN}},
    {.name = "train residual relu",
     .n_in = BN_INPUTS,
     .attrs = &train_relu,
     .in = {LUC_IN4(2, 3, 4, 5), LUC_IN1(3), LUC_IN1(3), LUC_ABSENT, LUC_ABSENT,
            LUC_IN4(2, 3, 4, 5), UNKNOWN}},
    {.name = "eval residual relu",
     .n_in = BN_INPUTS,
     .attrs = &eval_relu,
     .in = {LUC_IN2(6, 3), LUC_IN1(3), LUC_IN1(3), RUNNING(3), LUC_IN2(6, 3), UNKNOWN}},
};
static const lucid_sample bn_bad_samples[] = {
    {.name = "rank",
     .n_in = BN_INPUTS,
     .attrs = &train,
     .error = "input: expected at least 2-D",
     .in = {LUC_IN1(3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, UNKNOWN}},
    {.name = "weight",
     .n_in = BN_INPUTS,
     .attrs = &train,
     .error = "weight: expected [3]",
     .in = {LUC_IN2(4, 3), LUC_IN1(2), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, UNKNOWN}},
    {.name = "running",
     .n_in = BN_INPUTS,
     .attrs = &eval,
     .error = "running_var: expected [3]",
     .in = {LUC_IN2(4, 3), LUC_ABSENT, LUC_ABSENT, LUC_IN1(3), LUC_IN1(4), LUC_ABSENT, UNKNOWN}},
    {.name = "residual",
     .n_in = BN_INPUTS,
     .attrs = &train_relu,
     .error = "residual: expected float32 [4,3] like the input",
     .in = {LUC_IN2(4, 3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_ABSENT, LUC_IN2(1, 3), UNKNOWN}},
};

const lucid_op luc_op_batch_norm = {
    .name = "batch_norm",
    .schema = "input, weight?, bias?, running_mean?, running_var?, residual?, mean?, var?",
    .doc = "batch normalisation, then the sum with a residual, then ReLU",
    .id = LUCID_OP_batch_norm,
    .n_in = BN_INPUTS,
    .n_out = 3,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_batch_norm_attrs),
    .infer = bn_infer,
    .mutates = bn_mutates,
    .saves = bn_saves,
    .vjp = bn_vjp,
    LUC_SAMPLES(bn_samples),
    LUC_BAD_SAMPLES(bn_bad_samples),
};

/* ---- the function ---------------------------------------------------------------------------- */

static int64_t values_per_channel(const lucid_tensor *x)
{
    int64_t n = 1;
    for (int d = 0; d < x->view.ndim; d++)
        if (d != 1) n *= x->view.dims[d];
    return n;
}

lucid_tensor *lucid_batch_norm_opt(lucid_tensor *x, const lucid_batch_norm_options *options)
{
    const lucid_batch_norm_options *o = LUC_OPTIONS(lucid_batch_norm, options, "batch_norm");
    if (!o || !luc_given_meta(x, "batch_norm", "x")) return NULL;
    const char *name = o->name ? o->name : "batch_norm";
    bool batch = o->training || (!o->running_mean && !o->running_var);
    if (!batch && (!o->running_mean || !o->running_var))
        return luc_raise_null(LUCID_ERR_ARGUMENT, name,
                              "%s: expected running statistics in eval mode, got nothing",
                              o->running_mean ? "running_var" : "running_mean");
    if (!(o->eps >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, name, "eps: expected >= 0, got %g", o->eps);
    if (batch && x->view.ndim >= 2 && values_per_channel(x) == 1 && x->view.dims[1] > 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, name,
                              "input: expected more than 1 value per channel when training, got %s",
                              luc_shape_text(x).s);
    bool track = o->training && (o->running_mean || o->running_var);
    if (track && !(o->momentum >= 0 && o->momentum <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, name, "momentum: expected [0,1], got %g",
                              o->momentum);
    lucid_batch_norm_attrs attrs = {
        .eps = o->eps,
        .momentum = track ? o->momentum : -1,
        .training = batch,
        .relu = o->relu,
    };
    lucid_tensor *residual = o->residual;
    if (luc_autocast_is_on() && residual && residual->view.dtype != x->view.dtype) {
        /* As the sum of the two would: in the wider. Parameters are float32 whatever x is. */
        lucid_dtype wide = lucid_promote_types(x->view.dtype, residual->view.dtype);
        x = lucid_cast(x, wide);
        residual = lucid_cast(residual, wide);
        if (!x || !residual) return NULL;
    }
    lucid_tensor *in[BN_INPUTS] = {x,        o->weight, o->bias, o->running_mean, o->running_var,
                                   residual, o->mean,   o->var};
    if (batch && !track) in[RUNNING_MEAN] = in[RUNNING_VAR] = NULL;
    if (!batch) in[KNOWN_MEAN] = in[KNOWN_VAR] = NULL;
    return lucid_apply(&luc_op_batch_norm, in, BN_INPUTS, &attrs);
}

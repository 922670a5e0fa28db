/* convolution_norm.c: convolution and the batch normalisation, sum and ReLU that follow it in a
 * network that is only used: one operator for inference. */
#include "autograd/autograd.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/ops_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

enum { X, WEIGHT, BIAS, NORM_WEIGHT, NORM_BIAS, MEAN, VAR, RESIDUAL, INPUTS };

static bool infer(lucid_call *c)
{
    for (int i = 0; i < INPUTS; i++) {
        const bool norm = i >= NORM_WEIGHT && i <= VAR; /* these may be wider */
        if (c->in[i] && !norm && c->in[i]->view.dtype != c->in[X]->view.dtype)
            return luc_bad_input(c, i, "expected %s", lucid_dtype_name(c->in[X]->view.dtype));
    }
    if (!luc_conv2d_infer(c)) return false;
    const lucid_meta *out = &c->out[0];
    const lucid_dtype wide = out->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    for (int i = NORM_WEIGHT; i <= VAR; i++) {
        const lucid_tensor *p = c->in[i];
        if (p && (p->view.ndim != 1 || p->view.dims[0] != out->dims[1]))
            return luc_bad_input(c, i, "expected [%lld]", (long long)out->dims[1]);
        if (p && p->view.dtype != out->dtype && p->view.dtype != wide)
            return luc_bad_input(c, i, "expected %s", lucid_dtype_name(wide));
    }
    const lucid_tensor *r = c->in[RESIDUAL];
    if (r && !luc_dims_equal(4, out->dims, r->view.ndim, r->view.dims))
        return luc_bad_input(c, RESIDUAL, "expected %s %s like the result",
                             lucid_dtype_name(out->dtype), luc_dims_text(4, out->dims).s);
    return true;
}

static bool compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_conv2d_batch_norm_attrs *a = c->attrs;
    const lucid_batch_norm_attrs norm = {.eps = a->eps, .momentum = -1, .relu = a->relu};
    lucid_tensor *y = lucid_apply(&luc_op_conv2d, c->in, 3, &a->conv);
    /* its last two, the batch's statistics, are not given */
    lucid_tensor *in[8] = {y,           c->in[NORM_WEIGHT], c->in[NORM_BIAS],
                           c->in[MEAN], c->in[VAR],         c->in[RESIDUAL]};
    out[0] = y ? lucid_apply(&luc_op_batch_norm, in, 8, &norm) : NULL;
    return out[0] != NULL;
}

/* ---- samples --------------------------------------------------------------------------------- */

#define CONV(s, p, d, g)                                                     \
    {                                                                        \
        .stride = {s, s}, .padding = {p, p}, .dilation = {d, d}, .groups = g \
    }
static const lucid_conv2d_batch_norm_attrs plain = {.conv = CONV(1, 1, 1, 1), .eps = 1e-5},
                                           relu = {CONV(1, 1, 1, 1), 1e-5, true},
                                           strided = {CONV(2, 1, 1, 1), 1e-3, true},
                                           grouped = {CONV(1, 1, 1, 2), 1e-5, true},
                                           depthwise = {CONV(1, 1, 1, 3), 1e-5, true},
                                           one = {CONV(1, 0, 1, 1), 1e-5, true},
                                           one_strided = {CONV(2, 0, 1, 1), 1e-5, false},
                                           dilated = {CONV(1, 2, 2, 1), 0, false};
#define RUNNING(c) LUC_RANGE(-0.5, 0.5, {1, {c}}), LUC_RANGE(0.5, 2, {1, {c}})
static const lucid_sample samples[] = {
    {.name = "plain",
     .n_in = 8,
     .attrs = &plain,
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_IN1(4), LUC_IN1(4), LUC_IN1(4),
            RUNNING(4), LUC_ABSENT}},
    {.name = "residual, relu",
     .n_in = 8,
     .attrs = &relu,
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT, LUC_IN1(4), LUC_IN1(4),
            RUNNING(4), LUC_IN4(2, 4, 5, 6)}},
    {.name = "strided",
     .n_in = 8,
     .attrs = &strided,
     .in = {LUC_IN4(1, 3, 7, 6), LUC_IN4(17, 3, 3, 3), LUC_IN1(17), LUC_IN1(17), LUC_IN1(17),
            RUNNING(17), LUC_IN4(1, 17, 4, 3)}},
    {.name = "grouped, weight only",
     .n_in = 8,
     .attrs = &grouped,
     .in = {LUC_IN4(2, 4, 5, 5), LUC_IN4(6, 2, 3, 3), LUC_IN1(6), LUC_IN1(6), LUC_ABSENT,
            RUNNING(6), LUC_IN4(2, 6, 5, 5)}},
    {.name = "depthwise, bias only",
     .n_in = 8,
     .attrs = &depthwise,
     .in = {LUC_IN4(2, 3, 5, 5), LUC_IN4(3, 1, 3, 3), LUC_ABSENT, LUC_ABSENT, LUC_IN1(3),
            RUNNING(3), LUC_IN4(2, 3, 5, 5)}},
    {.name = "1x1",
     .n_in = 8,
     .attrs = &one,
     .in = {LUC_IN4(2, 3, 4, 4), LUC_IN4(35, 3, 1, 1), LUC_IN1(35), LUC_IN1(35), LUC_IN1(35),
            RUNNING(35), LUC_IN4(2, 35, 4, 4)}},
    {.name = "1x1, strided",
     .n_in = 8,
     .attrs = &one_strided,
     .in = {LUC_IN4(2, 5, 7, 4), LUC_IN4(18, 5, 1, 1), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT,
            RUNNING(18), LUC_ABSENT}},
    {.name = "1x1, one pixel",
     .n_in = 8,
     .attrs = &one,
     .in = {LUC_IN4(2, 5, 1, 1), LUC_IN4(6, 5, 1, 1), LUC_IN1(6), LUC_IN1(6), LUC_IN1(6),
            RUNNING(6), LUC_IN4(2, 6, 1, 1)}},
    {.name = "dilated, no eps",
     .n_in = 8,
     .attrs = &dilated,
     .in = {LUC_IN4(1, 2, 6, 5), LUC_IN4(3, 2, 3, 3), LUC_IN1(3), LUC_IN1(3), LUC_IN1(3),
            RUNNING(3), LUC_ABSENT}},
};
static const lucid_sample bad_samples[] = {
    {.name = "channels",
     .n_in = 8,
     .attrs = &plain,
     .error = "weight: expected [4,3,kH,kW]",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 1, 3, 3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT,
            RUNNING(4), LUC_ABSENT}},
    {.name = "mean",
     .n_in = 8,
     .attrs = &plain,
     .error = "running_mean: expected [4]",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT,
            RUNNING(3), LUC_ABSENT}},
    {.name = "norm_weight's dtype",
     .n_in = 8,
     .attrs = &plain,
     .error = "norm_weight: expected float32",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT, LUC_INDEX(2, {1, {4}}),
            LUC_ABSENT, RUNNING(4), LUC_ABSENT}},
    {.name = "weight's dtype",
     .n_in = 8,
     .attrs = &plain,
     .error = "weight: expected float32",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_INDEX(2, {4, {4, 3, 3, 3}}), LUC_ABSENT, LUC_ABSENT,
            LUC_ABSENT, RUNNING(4), LUC_ABSENT}},
    {.name = "residual",
     .n_in = 8,
     .attrs = &plain,
     .error = "residual: expected float32 [2,4,5,6] like the result",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT, LUC_ABSENT, LUC_ABSENT,
            RUNNING(4), LUC_IN4(2, 4, 5, 1)}},
};

const lucid_op luc_op_conv2d_batch_norm = {
    .name = "conv2d_batch_norm",
    .schema =
        "input, weight, bias?, norm_weight?, norm_bias?, running_mean, running_var, residual?",
    .doc = "2-d convolution, then batch normalisation with running statistics, a sum, ReLU",
    .id = LUCID_OP_conv2d_batch_norm,
    .n_in = INPUTS,
    .n_out = 1,
    .flags = LUCID_OP_NO_GRAD | LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_conv2d_batch_norm_attrs),
    .keeps = WEIGHT, /* packed */
    .infer = infer,
    .flops = luc_conv2d_flops,
    .compose = compose,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(bad_samples),
};

/* ---- the function ---------------------------------------------------------------------------- */

static bool is_recorded(lucid_tensor *const *in)
{
    bool any = false;
    for (int i = 0; i < INPUTS; i++) any |= in[i] && lucid_requires_grad(in[i]);
    return any && lucid_is_grad_enabled();
}

/* The operators that can be differentiated. */
static lucid_tensor *in_steps(lucid_tensor *x, lucid_tensor *weight,
                              const lucid_conv2d_batch_norm_options *o)
{
    const lucid_batch_norm_options norm = {
        .struct_size = sizeof norm,
        .weight = o->norm_weight,
        .bias = o->norm_bias,
        .running_mean = o->running_mean,
        .running_var = o->running_var,
        .eps = o->eps,
        .residual = o->residual,
        .relu = o->relu,
        .name = "conv2d_batch_norm",
    };
    return lucid_batch_norm_opt(lucid_conv2d_opt(x, weight, o->bias, &o->conv), &norm);
}

/* Inside LUCID_AUTOCAST the convolution's inputs are cast as conv2d would cast them. The other
 * parameters stay as they are. */
static bool cast_as_conv2d(lucid_tensor **in)
{
    const lucid_dtype dtype = luc_autocast_target(&luc_op_conv2d, in, BIAS + 1);
    return dtype == LUCID_DTYPE_COUNT || luc_autocast_inputs(in, BIAS + 1, dtype, in);
}

lucid_tensor *lucid_conv2d_batch_norm_opt(lucid_tensor *x, lucid_tensor *weight,
                                          const lucid_conv2d_batch_norm_options *options)
{
    static const char op[] = "conv2d_batch_norm";
    const lucid_conv2d_batch_norm_options *o = LUC_OPTIONS(lucid_conv2d_batch_norm, options, op);
    if (!o || !luc_given(x, op, "x") || !luc_given(weight, op, "weight") ||
        !luc_given(o->running_mean, op, "running_mean") ||
        !luc_given(o->running_var, op, "running_var"))
        return NULL;
    if (!(o->eps >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "eps: expected >= 0, got %g", o->eps);
    lucid_conv2d_batch_norm_attrs a = {.eps = o->eps, .relu = o->relu};
    if (!luc_conv2d_attrs(&o->conv, op, &a.conv)) return NULL;
    lucid_tensor *in[INPUTS] = {
        x,          weight, o->bias, o->norm_weight, o->norm_bias, o->running_mean, o->running_var,
        o->residual};
    LUCID_SCOPE;
    bool apart = is_recorded(in);
    if (!apart && luc_autocast_is_on()) {
        if (!cast_as_conv2d(in)) return NULL;
        apart = o->residual && o->residual->view.dtype != in[X]->view.dtype;
    }
    if (apart) return lucid_scope_return(in_steps(x, weight, o));
    return lucid_scope_return(lucid_apply(&luc_op_conv2d_batch_norm, in, INPUTS, &a));
}

/* convolution_statistics.c: convolution with the statistics that the batch normalisation after it
 * needs. */
#include "autograd/ops/convolution.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/options_priv.h"

/* ---- conv2d_statistics: (x, weight, bias?) -> (y, mean [O], var [O]) ------------------------- */

enum { Y, MEAN, VAR };

static bool infer(lucid_call *c)
{
    if (!luc_conv2d_infer(c)) return false;
    for (int i = MEAN; i <= VAR; i++) {
        luc_set_dims(c, i, LUCID_F64, 1, &c->out[Y].dims[1]);
        c->out[i].strides[0] = 1;
    }
    return true;
}

static const lucid_shape pixels = {3, {0, 2, 3}};

static bool compose(const lucid_call *c, lucid_tensor **out)
{
    out[Y] = lucid_apply(&luc_op_conv2d, c->in, 3, c->attrs);
    lucid_tensor *wide = lucid_cast(out[Y], LUCID_F64);
    out[MEAN] = lucid_mean_opt(wide, pixels, NULL);
    out[VAR] = lucid_var_opt(wide, pixels, LUC_WITH(lucid_var, .correction = 0));
    return out[MEAN] && out[VAR];
}

/* The statistics are constants here: the gradient of the batch normalisation's x contains their
 * part. */
static bool vjp(lucid_vjp *v)
{
    return !v->grad_out[Y] || luc_conv2d_gradients(v, v->grad_out[Y]);
}

/* ---- samples --------------------------------------------------------------------------------- */

#define CONV(s, p, g)                                                        \
    {                                                                        \
        .stride = {s, s}, .padding = {p, p}, .dilation = {1, 1}, .groups = g \
    }
static const lucid_conv2d_attrs padded = CONV(1, 1, 1), strided = CONV(2, 1, 1),
                                depthwise = CONV(1, 1, 3), one = CONV(1, 0, 1);
static const lucid_sample samples[] = {
    {.name = "padded",
     .n_in = 3,
     .attrs = &padded,
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_IN1(4)}},
    {.name = "strided",
     .n_in = 3,
     .attrs = &strided,
     .in = {LUC_IN4(1, 3, 7, 6), LUC_IN4(2, 3, 3, 3), LUC_ABSENT}},
    {.name = "depthwise",
     .n_in = 3,
     .attrs = &depthwise,
     .in = {LUC_IN4(2, 3, 5, 5), LUC_IN4(3, 1, 3, 3), LUC_ABSENT}},
    {.name = "1x1",
     .n_in = 3,
     .attrs = &one,
     .in = {LUC_IN4(2, 3, 4, 4), LUC_IN4(5, 3, 1, 1), LUC_IN1(5)}},
};
static const lucid_sample bad_samples[] = {
    {.name = "channels",
     .n_in = 3,
     .attrs = &one,
     .error = "weight: expected [4,3,kH,kW]",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 1, 3, 3), LUC_ABSENT}},
};

const lucid_op luc_op_conv2d_statistics = {
    .name = "conv2d_statistics",
    .schema = "input, weight, bias?",
    .doc = "2-d convolution, and the mean and variance of its channels",
    .id = LUCID_OP_conv2d_statistics,
    .n_in = 3,
    .n_out = 3,
    .attrs_size = sizeof(lucid_conv2d_attrs),
    .keeps = 1, /* the weight, packed */
    .infer = infer,
    .flops = luc_conv2d_flops,
    .saves = luc_save_other,
    .vjp = vjp,
    .compose = compose,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(bad_samples),
};

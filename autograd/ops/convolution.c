/* convolution.c: 2-d convolution and its two gradients. Each of the three is linear in both of its
 * inputs, so their derivatives are again one another. */
#include "autograd/ops/convolution.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/convolution_nd_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- attributes ------------------------------------------------------------------------------ */

/* Up to INT32_MAX, so that no product of two of them overflows. */
static bool check_option(const char *op, const char *name, const int64_t value[2], int64_t least)
{
    if (value[0] < least || value[1] < least)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected >= %lld, got %lld,%lld", name,
                         (long long)least, (long long)value[0], (long long)value[1]);
    if (value[0] > INT32_MAX || value[1] > INT32_MAX)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected <= %lld, got %lld,%lld", name,
                         (long long)INT32_MAX, (long long)value[0], (long long)value[1]);
    return true;
}

/* Checks for both the function and .infer, because an operator may also be applied by its name. */
static bool check_attrs(const char *op, const lucid_conv2d_attrs *a)
{
    if (a->groups < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "groups: expected >= 1, got %lld",
                         (long long)a->groups);
    return check_option(op, "stride", a->stride, 1) && check_option(op, "padding", a->padding, 0) &&
           check_option(op, "dilation", a->dilation, 1);
}

/* ---- infer ----------------------------------------------------------------------------------- */

/* float convolutions work on channels_last memory and answer in it; nothing else to gain for
 * 1 x 1 images or one channel, where both layouts are the same memory. */
static void conv_layout(lucid_meta *out)
{
    luc_channels_last_strides(out->ndim, out->dims, out->strides);
}

static bool check_weight(const lucid_call *c, const int64_t *x, const lucid_view *w,
                         const lucid_conv2d_attrs *a)
{
    int64_t channels = x[1];
    if (channels % a->groups != 0 || w->dims[0] % a->groups != 0 ||
        w->dims[1] != channels / a->groups) {
        return luc_bad_input(c, 1, "expected [%lld,%lld,kH,kW] (input %s, groups %lld)",
                             (long long)w->dims[0], (long long)(channels / a->groups),
                             luc_dims_text(4, x).s, (long long)a->groups);
    }
    for (int i = 0; i < 2; i++) {
        const int64_t k = w->dims[2 + i];
        if (k < 1 || k > INT32_MAX || a->dilation[i] * (k - 1) + 1 > x[2 + i] + 2 * a->padding[i])
            return luc_bad_input(c, 1,
                                 "expected a kernel of at most %lldx%lld, the padded input "
                                 "(input %s, padding %lld,%lld, dilation %lld,%lld)",
                                 (long long)(x[2] + 2 * a->padding[0]),
                                 (long long)(x[3] + 2 * a->padding[1]), luc_dims_text(4, x).s,
                                 (long long)a->padding[0], (long long)a->padding[1],
                                 (long long)a->dilation[0], (long long)a->dilation[1]);
    }
    return true;
}

static int64_t out_size(int64_t in, int64_t kernel, const lucid_conv2d_attrs *a, int i)
{
    return (in + 2 * a->padding[i] - a->dilation[i] * (kernel - 1) - 1) / a->stride[i] + 1;
}

bool luc_conv2d_infer(lucid_call *c)
{
    const lucid_conv2d_attrs *a = c->attrs;
    if (!check_attrs(c->op->name, a) || !luc_want_floating(c, 0) ||
        !luc_want_ndim(c, 0, 4, "[N,C,H,W]") || !luc_want_ndim(c, 1, 4, "[O,C/groups,kH,kW]") ||
        !luc_check_relu(c, a->relu))
        return false;
    const lucid_view *x = &c->in[0]->view, *w = &c->in[1]->view;
    if (!check_weight(c, x->dims, w, a)) return false;
    if (c->in[2] && (c->in[2]->view.ndim != 1 || c->in[2]->view.dims[0] != w->dims[0]))
        return luc_bad_input(c, 2, "expected [%lld]", (long long)w->dims[0]);
    int64_t dims[4] = {x->dims[0], w->dims[0], out_size(x->dims[2], w->dims[2], a, 0),
                       out_size(x->dims[3], w->dims[3], a, 1)};
    luc_set_dims(c, 0, x->dtype, 4, dims);
    conv_layout(&c->out[0]);
    return true;
}

/* Whether grad has the shape of the convolution of x with w, which have these sizes. */
static bool check_grad(const lucid_call *c, const int64_t *x, const int64_t *w,
                       const lucid_conv2d_attrs *a)
{
    const lucid_view *g = &c->in[0]->view;
    const int64_t want[4] = {x[0], w[0], out_size(x[2], w[2], a, 0), out_size(x[3], w[3], a, 1)};
    if (luc_dims_equal(4, want, g->ndim, g->dims)) return true;
    return luc_bad_input(c, 0, "expected %s, the sizes of the convolution of %s with %s",
                         luc_dims_text(4, want).s, luc_dims_text(4, x).s, luc_dims_text(4, w).s);
}

/* Output 0 is of the sizes in the attributes. */
static bool set_sized(lucid_call *c, const lucid_conv2d_attrs *a)
{
    lucid_shape size = {.ndim = 4};
    memcpy(size.dims, a->size, sizeof a->size);
    return check_attrs(c->op->name, a) && luc_infer_shape(c, &size);
}

static bool backward_input_infer(lucid_call *c)
{
    const lucid_conv2d_attrs *a = c->attrs;
    if (!luc_want_floating(c, 0) || !luc_want_ndim(c, 0, 4, "[N,O,H',W']") ||
        !luc_want_ndim(c, 1, 4, "[O,C/groups,kH,kW]") || !set_sized(c, a))
        return false;
    conv_layout(&c->out[0]);
    const lucid_view *w = &c->in[1]->view;
    return check_weight(c, a->size, w, a) && check_grad(c, a->size, w->dims, a);
}

/* Checks that x can be convolved with a weight of the sizes that are to be made. */
static bool check_weight_size(const lucid_call *c, const lucid_view *x, const lucid_conv2d_attrs *a)
{
    bool ok = x->dims[1] % a->groups == 0 && a->size[0] % a->groups == 0 &&
              a->size[1] == x->dims[1] / a->groups;
    for (int i = 0; ok && i < 2; i++) {
        int64_t span = a->size[2 + i] <= INT32_MAX ? a->dilation[i] * (a->size[2 + i] - 1) + 1 : -1;
        ok = span >= 1 && span <= x->dims[2 + i] + 2 * a->padding[i];
    }
    return ok || luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                           "size: expected [O,%lld,kH,kW], a kernel inside the padded input (input "
                           "%s, groups %lld), got %s",
                           (long long)(x->dims[1] / a->groups), luc_shape_text(c->in[1]).s,
                           (long long)a->groups, luc_dims_text(4, a->size).s);
}

static bool backward_weight_infer(lucid_call *c)
{
    const lucid_conv2d_attrs *a = c->attrs;
    return luc_want_floating(c, 0) && luc_want_ndim(c, 0, 4, "[N,O,H',W']") &&
           luc_want_ndim(c, 1, 4, "[N,C,H,W]") && set_sized(c, a) &&
           check_weight_size(c, &c->in[1]->view, a) &&
           check_grad(c, c->in[1]->view.dims, a->size, a);
}

/* ---- gradients ------------------------------------------------------------------------------- */

static lucid_conv2d_attrs sized(const void *attrs, const int64_t *size)
{
    lucid_conv2d_attrs a = *(const lucid_conv2d_attrs *)attrs;
    memcpy(a.size, size, sizeof a.size);
    a.relu = false; /* the gradient has gone through it already */
    return a;
}

static lucid_tensor *input_grad(lucid_tensor *g, lucid_tensor *w, const void *attrs,
                                const int64_t *size)
{
    lucid_conv2d_attrs a = sized(attrs, size);
    return luc_apply2(&luc_op_conv2d_backward_input, g, w, &a);
}

static lucid_tensor *weight_grad(lucid_tensor *g, lucid_tensor *x, const void *attrs,
                                 const int64_t *size)
{
    lucid_conv2d_attrs a = sized(attrs, size);
    return luc_apply2(&luc_op_conv2d_backward_weight, g, x, &a);
}

static lucid_tensor *convolve(lucid_tensor *x, lucid_tensor *w, const void *attrs)
{
    return lucid_apply(&luc_op_conv2d, (lucid_tensor *[]){x, w, NULL}, 3, attrs);
}

bool luc_conv2d_gradients(lucid_vjp *v, lucid_tensor *g)
{
    if (luc_needs(v, 0))
        v->grad_in[0] =
            input_grad(g, lucid_saved_input(v, 1), v->attrs, lucid_input_meta(v, 0)->dims);
    if (luc_needs(v, 1))
        v->grad_in[1] =
            weight_grad(g, lucid_saved_input(v, 0), v->attrs, lucid_input_meta(v, 1)->dims);
    if (luc_needs(v, 2)) {
        v->grad_in[2] = lucid_sum_opt(g, LUCID_SHAPE(0, 2, 3), NULL);
    }
    return true;
}

static bool conv2d_vjp(lucid_vjp *v)
{
    const lucid_conv2d_attrs *a = v->attrs;
    lucid_tensor *g = v->grad_out[0];
    if (a->relu) g = luc_apply2(&luc_op_relu_backward, g, lucid_saved_output(v, 0), NULL);
    return g && luc_conv2d_gradients(v, g);
}

static uint32_t conv2d_saves(const lucid_call *c)
{
    const lucid_conv2d_attrs *a = c->attrs;
    return luc_save_other(c) | (a->relu ? LUCID_SAVE_OUTPUT(0) : 0);
}

/* dx = B(g, w): of g it is the convolution, of w the weight's gradient. */
static bool backward_input_vjp(lucid_vjp *v)
{
    lucid_tensor *u = v->grad_out[0];
    if (luc_needs(v, 0)) v->grad_in[0] = convolve(u, lucid_saved_input(v, 1), v->attrs);
    if (luc_needs(v, 1))
        v->grad_in[1] =
            weight_grad(lucid_saved_input(v, 0), u, v->attrs, lucid_input_meta(v, 1)->dims);
    return true;
}

/* dw = W(g, x): of g it is the convolution, of x the input's gradient. */
static bool backward_weight_vjp(lucid_vjp *v)
{
    lucid_tensor *u = v->grad_out[0];
    if (luc_needs(v, 0)) v->grad_in[0] = convolve(lucid_saved_input(v, 1), u, v->attrs);
    if (luc_needs(v, 1))
        v->grad_in[1] =
            input_grad(lucid_saved_input(v, 0), u, v->attrs, lucid_input_meta(v, 1)->dims);
    return true;
}

/* ---- samples --------------------------------------------------------------------------------- */

#define CONV(s, p, d, g, ...)                                                           \
    {                                                                                   \
        .stride = {s, s}, .padding = {p, p}, .dilation = {d, d}, .groups = g, .size = { \
            __VA_ARGS__                                                                 \
        }                                                                               \
    }
static const lucid_conv2d_attrs plain = CONV(1, 0, 1, 1, 0), padded = CONV(1, 1, 1, 1, 0),
                                strided = CONV(2, 1, 1, 1, 0), dilated = CONV(1, 2, 2, 1, 0),
                                grouped = CONV(1, 1, 1, 2, 0), depthwise = CONV(1, 1, 1, 3, 0),
                                uneven = {.stride = {2, 1},
                                          .padding = {0, 2},
                                          .dilation = {1, 2},
                                          .groups = 1};
static const lucid_sample conv2d_samples[] = {
    {.name = "plain",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_IN1(4)}},
    {.name = "padded",
     .n_in = 3,
     .attrs = &padded,
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT}},
    {.name = "strided",
     .n_in = 3,
     .attrs = &strided,
     .in = {LUC_IN4(1, 3, 7, 6), LUC_IN4(2, 3, 3, 3), LUC_IN1(2)}},
    {.name = "dilated",
     .n_in = 3,
     .attrs = &dilated,
     .in = {LUC_IN4(1, 2, 6, 5), LUC_IN4(3, 2, 3, 3), LUC_IN1(3)}},
    {.name = "grouped",
     .n_in = 3,
     .attrs = &grouped,
     .in = {LUC_IN4(2, 4, 5, 5), LUC_IN4(6, 2, 3, 3), LUC_IN1(6)}},
    {.name = "depthwise",
     .n_in = 3,
     .attrs = &depthwise,
     .in = {LUC_IN4(2, 3, 5, 5), LUC_IN4(3, 1, 3, 3), LUC_ABSENT}},
    {.name = "1x1",
     .n_in = 3,
     .attrs = &plain,
     .in = {LUC_IN4(2, 3, 4, 4), LUC_IN4(5, 3, 1, 1), LUC_IN1(5)}},
    {.name = "uneven",
     .n_in = 3,
     .attrs = &uneven,
     .in = {LUC_IN4(2, 2, 7, 6), LUC_IN4(3, 2, 3, 2), LUC_IN1(3)}},
    {.name = "first layer",
     .n_in = 3,
     .attrs = &padded,
     .in = {LUC_IN4(2, 1, 6, 6), LUC_IN4(4, 1, 3, 3), LUC_ABSENT}},
};
static const lucid_conv2d_attrs no_groups = CONV(1, 0, 1, 0, 0), no_stride = CONV(0, 0, 1, 1, 0);
static const lucid_sample conv2d_bad_samples[] = {
    {.name = "groups",
     .n_in = 3,
     .attrs = &no_groups,
     .error = "groups: expected >= 1, got 0",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT}},
    {.name = "stride",
     .n_in = 3,
     .attrs = &no_stride,
     .error = "stride: expected >= 1, got 0,0",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT}},
    {.name = "rank",
     .n_in = 3,
     .attrs = &plain,
     .error = "input: expected 4-D [N,C,H,W]",
     .in = {LUC_IN2(5, 6), LUC_IN4(4, 3, 3, 3), LUC_ABSENT}},
    {.name = "channels",
     .n_in = 3,
     .attrs = &plain,
     .error = "weight: expected [4,3,kH,kW]",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 1, 3, 3), LUC_ABSENT}},
    {.name = "kernel",
     .n_in = 3,
     .attrs = &plain,
     .error = "weight: expected a kernel of at most",
     .in = {LUC_IN4(2, 3, 4, 4), LUC_IN4(4, 3, 7, 7), LUC_ABSENT}},
    {.name = "bias",
     .n_in = 3,
     .attrs = &plain,
     .error = "bias: expected [4]",
     .in = {LUC_IN4(2, 3, 5, 6), LUC_IN4(4, 3, 3, 3), LUC_IN1(3)}},
};

static const lucid_conv2d_attrs to_input = CONV(2, 1, 1, 1, 1, 3, 7, 6),
                                to_weight = CONV(2, 1, 1, 1, 2, 3, 3, 3),
                                to_grouped_input = CONV(1, 1, 1, 2, 2, 4, 5, 5),
                                to_grouped_weight = CONV(1, 1, 1, 2, 6, 2, 3, 3);
static const lucid_sample backward_input_samples[] = {
    {.name = "strided",
     .n_in = 2,
     .attrs = &to_input,
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(2, 3, 3, 3)}},
    {.name = "grouped",
     .n_in = 2,
     .attrs = &to_grouped_input,
     .in = {LUC_IN4(2, 6, 5, 5), LUC_IN4(6, 2, 3, 3)}},
};
static const lucid_sample backward_weight_samples[] = {
    {.name = "strided",
     .n_in = 2,
     .attrs = &to_weight,
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(1, 3, 7, 6)}},
    {.name = "grouped",
     .n_in = 2,
     .attrs = &to_grouped_weight,
     .in = {LUC_IN4(2, 6, 5, 5), LUC_IN4(2, 4, 5, 5)}},
};

static const lucid_conv2d_attrs to_seven = CONV(2, 1, 1, 1, 7, 3, 7, 6),
                                to_other_size = CONV(2, 1, 1, 1, 1, 3, 9, 6),
                                to_no_groups = CONV(2, 1, 1, 0, 1, 3, 7, 6),
                                to_wide_weight = CONV(2, 1, 1, 1, 2, 4, 3, 3),
                                to_large_kernel = CONV(2, 1, 1, 1, 2, 3, 30, 3);
static const lucid_sample backward_input_bad_samples[] = {
    {.name = "more images than grad has",
     .n_in = 2,
     .attrs = &to_seven,
     .error = "grad: expected [7,2,4,3]",
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(2, 3, 3, 3)}},
    {.name = "larger images",
     .n_in = 2,
     .attrs = &to_other_size,
     .error = "grad: expected [1,2,5,3]",
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(2, 3, 3, 3)}},
    {.name = "grad's channels",
     .n_in = 2,
     .attrs = &to_input,
     .error = "grad: expected [1,2,4,3]",
     .in = {LUC_IN4(1, 3, 4, 3), LUC_IN4(2, 3, 3, 3)}},
    {.name = "groups",
     .n_in = 2,
     .attrs = &to_no_groups,
     .error = "groups: expected >= 1, got 0",
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(2, 3, 3, 3)}},
};
static const lucid_sample backward_weight_bad_samples[] = {
    {.name = "channels",
     .n_in = 2,
     .attrs = &to_wide_weight,
     .error = "size: expected [O,3,kH,kW]",
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(1, 3, 7, 6)}},
    {.name = "kernel",
     .n_in = 2,
     .attrs = &to_large_kernel,
     .error = "size: expected [O,3,kH,kW]",
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(1, 3, 7, 6)}},
    {.name = "images",
     .n_in = 2,
     .attrs = &to_weight,
     .error = "grad: expected [2,2,4,3]",
     .in = {LUC_IN4(1, 2, 4, 3), LUC_IN4(2, 3, 7, 6)}},
};

/* ---- the operators --------------------------------------------------------------------------- */

/* ---- work ------------------------------------------------------------------------------------ */

/* Each element of the side [N,O,H',W'] goes with the weights of one output channel. */
static double work(const int64_t *side, const int64_t *weight)
{
    return 2.0 * (double)luc_dims_numel(4, side) * (double)luc_dims_numel(3, weight + 1);
}

double luc_conv2d_flops(const lucid_call *c)
{
    return work(c->out[0].dims, c->in[1]->view.dims);
}

static double backward_input_flops(const lucid_call *c)
{
    return work(c->in[0]->view.dims, c->in[1]->view.dims);
}

static double backward_weight_flops(const lucid_call *c)
{
    return work(c->in[0]->view.dims, c->out[0].dims);
}

const lucid_op luc_op_conv2d = {
    .name = "conv2d",
    .schema = "input, weight, bias?",
    .doc = "2-d convolution",
    .id = LUCID_OP_conv2d,
    .n_in = 3,
    .n_out = 1,
    .attrs_size = sizeof(lucid_conv2d_attrs),
    .autocast = LUCID_AUTOCAST_LOW,
    .keeps = 1, /* the weight, packed */
    .infer = luc_conv2d_infer,
    .flops = luc_conv2d_flops,
    .saves = conv2d_saves,
    .vjp = conv2d_vjp,
    LUC_SAMPLES(conv2d_samples),
    LUC_BAD_SAMPLES(conv2d_bad_samples),
};

const lucid_op luc_op_conv2d_backward_input = {
    .name = "conv2d_backward_input",
    .schema = "grad, weight",
    .doc = "gradient of the input",
    .id = LUCID_OP_conv2d_backward_input,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_conv2d_attrs),
    .keeps = 1, /* the weight, as forward left it */
    .infer = backward_input_infer,
    .flops = backward_input_flops,
    .saves = luc_save_other,
    .vjp = backward_input_vjp,
    LUC_SAMPLES(backward_input_samples),
    LUC_BAD_SAMPLES(backward_input_bad_samples),
};

const lucid_op luc_op_conv2d_backward_weight = {
    .name = "conv2d_backward_weight",
    .schema = "grad, input",
    .doc = "gradient of the weight",
    .id = LUCID_OP_conv2d_backward_weight,
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(lucid_conv2d_attrs),
    .infer = backward_weight_infer,
    .flops = backward_weight_flops,
    .saves = luc_save_other,
    .vjp = backward_weight_vjp,
    LUC_SAMPLES(backward_weight_samples),
    LUC_BAD_SAMPLES(backward_weight_bad_samples),
};

/* ---- the function ---------------------------------------------------------------------------- */

bool luc_conv2d_attrs(const lucid_conv2d_options *options, const char *op, lucid_conv2d_attrs *a)
{
    const lucid_conv2d_options *o = LUC_OPTIONS(lucid_conv2d, options, op);
    if (!o) return false;
    *a = (lucid_conv2d_attrs){.groups = o->groups};
    lucid_extent_get(o->stride, a->stride);
    lucid_extent_get(o->padding, a->padding);
    lucid_extent_get(o->dilation, a->dilation);
    return check_attrs(op, a);
}

/* For the padding LUCID_SAME: the options with it in numbers, and x with what is uneven of it. */
static lucid_tensor *pad_same(lucid_tensor *x, lucid_tensor *weight,
                              const lucid_conv2d_options *options, lucid_conv2d_options *even)
{
    luc_windows w = {.op = "conv2d", .rank = 2};
    const lucid_conv2d_options *o = LUC_OPTIONS(lucid_conv2d, options, w.op);
    if (!o || !luc_extent_of_rank(w.op, "stride", 2, o->stride, 1, w.stride) ||
        !luc_extent_of_rank(w.op, "dilation", 2, o->dilation, 1, w.dilation))
        return NULL;
    *even = *o;
    x = luc_conv_same(x, weight, &w);
    even->padding = lucid_pair(w.padding[1], w.padding[2]);
    return x;
}

lucid_tensor *lucid_conv2d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                               const lucid_conv2d_options *o)
{
    if (!luc_given(x, "conv2d", "x") || !luc_given(weight, "conv2d", "weight")) return NULL;
    lucid_conv2d_attrs a;
    lucid_conv2d_options even;
    if (o && o->padding == LUCID_SAME && weight->view.ndim >= 2 && x->view.ndim >= 2) {
        if (!(x = pad_same(x, weight, o, &even))) return NULL;
        o = &even;
    }
    if (!luc_conv2d_attrs(o, "conv2d", &a)) return NULL;
    bool single = x->view.ndim == 3;
    if (single) x = lucid_unsqueeze(x, 0);
    lucid_tensor *y = lucid_apply(&luc_op_conv2d, (lucid_tensor *[]){x, weight, bias}, 3, &a);
    return single ? lucid_squeeze(y, 0) : y;
}

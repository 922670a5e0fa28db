/* pooling.c: 2-d pooling. Every operator is linear given its indices or windows, so the derivative
 * of a backward is the forward again. */
#include "autograd/ops/pooling.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- infer ----------------------------------------------------------------------------------- */

/* Output i: N and C of the input, H and W of size, in the input's layout. */
static void set_pooled(lucid_call *c, int i, lucid_dtype dtype, const int64_t *size)
{
    const lucid_view *x = &c->in[0]->view;
    int64_t dims[4] = {x->dims[0], x->dims[1], size[0], size[1]};
    luc_set_dims(c, i, dtype, 4, dims);
    lucid_meta *out = &c->out[i];
    bool last =
        !luc_is_contiguous(4, x->dims, x->strides) && luc_is_channels_last(4, x->dims, x->strides);
    if (last)
        luc_channels_last_strides(4, out->dims, out->strides);
    else
        luc_contiguous_strides(4, out->dims, out->strides);
}

/* With ceil_mode, a last window that begins in the padding after the input is left out. */
static int64_t pooled_size(int64_t in, const lucid_pool2d_attrs *a, int i)
{
    int64_t span = a->dilation[i] * (a->kernel[i] - 1) + 1;
    int64_t free_steps = in + 2 * a->padding[i] - span + (a->ceil_mode ? a->stride[i] - 1 : 0);
    if (free_steps < 0) return 0;
    int64_t n = free_steps / a->stride[i] + 1;
    if (a->ceil_mode && (n - 1) * a->stride[i] >= in + a->padding[i]) n--;
    return n;
}

/* Checks for both the functions and .infer, because an operator may also be applied by its name. */
static bool check_window(const char *op, const lucid_pool2d_attrs *a)
{
    const int64_t most = INT32_MAX; /* so that no product of two of them overflows */
    for (int i = 0; i < 2; i++) {
        if (a->kernel[i] < 1 || a->stride[i] < 1 || a->dilation[i] < 1 || a->kernel[i] > most ||
            a->stride[i] > most || a->dilation[i] > most)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "kernel, stride, dilation: expected 1 to %lld, got %lld, %lld, %lld",
                             (long long)most, (long long)a->kernel[i], (long long)a->stride[i],
                             (long long)a->dilation[i]);
        if (a->padding[i] < 0 || a->padding[i] > a->kernel[i] / 2)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "padding: expected 0 to half the window of "
                             "%lld, got %lld",
                             (long long)a->kernel[i], (long long)a->padding[i]);
    }
    if (a->divisor < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "divisor_override: expected > 0, or 0 for none, "
                         "got %lld",
                         (long long)a->divisor);
    return true;
}

static bool pool_infer(lucid_call *c, int64_t *size)
{
    const lucid_pool2d_attrs *a = c->attrs;
    if (!check_window(c->op->name, a) || !luc_want_ndim(c, 0, 4, "[N,C,H,W]")) return false;
    const lucid_view *x = &c->in[0]->view;
    for (int i = 0; i < 2; i++) size[i] = pooled_size(x->dims[2 + i], a, i);
    if (size[0] < 1 || size[1] < 1)
        return luc_bad_input(c, 0,
                             "expected an image that holds a window of %lldx%lld (padding "
                             "%lld,%lld)",
                             (long long)a->kernel[0], (long long)a->kernel[1],
                             (long long)a->padding[0], (long long)a->padding[1]);
    set_pooled(c, 0, x->dtype, size);
    return true;
}

static bool max_infer(lucid_call *c)
{
    const lucid_pool2d_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    int64_t size[2], none = 0;
    if (x->dtype == LUCID_BOOL) return luc_bad_input(c, 0, "expected numbers");
    if (!pool_infer(c, size)) return false;
    bool wide = x->dims[3] > 0 && x->dims[2] > INT32_MAX / x->dims[3];
    lucid_dtype dtype = wide ? LUCID_I64 : LUCID_I32;
    if (a->no_index) {
        luc_set_dims(c, 1, dtype, 1, &none);
        luc_contiguous_strides(1, &none, c->out[1].strides);
    } else {
        set_pooled(c, 1, dtype, size);
    }
    return true;
}

static bool avg_infer(lucid_call *c)
{
    int64_t size[2];
    return luc_want_floating(c, 0) && pool_infer(c, size);
}

/* The backwards, gather and adaptive pooling: H and W are in the attributes. */
static bool sized_infer(lucid_call *c)
{
    const lucid_pool2d_attrs *a = c->attrs;
    if (!luc_want_floating(c, 0) || !luc_want_ndim(c, 0, 4, "[N,C,H,W]")) return false;
    if (a->size[0] < 0 || a->size[1] < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, c->op->name, "size: expected >= 0, got %lld,%lld",
                         (long long)a->size[0], (long long)a->size[1]);
    set_pooled(c, 0, c->in[0]->view.dtype, a->size);
    return true;
}

/* Whether windows over images of the sizes `in` give outputs of the sizes `out`. */
static bool check_pooled(const lucid_call *c, const int64_t *in, const int64_t *out)
{
    const lucid_pool2d_attrs *a = c->attrs;
    if (!check_window(c->op->name, a)) return false;
    for (int i = 0; i < 2; i++)
        if (pooled_size(in[i], a, i) != out[i])
            return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                             "size: expected images of %lldx%lld and windows of %lldx%lld that "
                             "give %lldx%lld",
                             (long long)in[0], (long long)in[1], (long long)a->kernel[0],
                             (long long)a->kernel[1], (long long)out[0], (long long)out[1]);
    return true;
}

static bool avg_backward_infer(lucid_call *c)
{
    const lucid_pool2d_attrs *a = c->attrs;
    return sized_infer(c) && check_pooled(c, a->size, &c->in[0]->view.dims[2]);
}

/* (x or grad, index): the index is an image of the windows' sizes. */
static bool check_winners(lucid_call *c, const int64_t *size)
{
    const lucid_view *x = &c->in[0]->view, *index = &c->in[1]->view;
    bool whole = index->dtype == LUCID_I32 || index->dtype == LUCID_I64;
    if (whole && index->ndim == 4 && index->dims[0] == x->dims[0] && index->dims[1] == x->dims[1] &&
        index->dims[2] == size[0] && index->dims[3] == size[1])
        return true;
    return luc_bad_input(c, 1, "expected int32 or int64 [%lld,%lld,%lld,%lld]",
                         (long long)x->dims[0], (long long)x->dims[1], (long long)size[0],
                         (long long)size[1]);
}

static bool max_backward_infer(lucid_call *c)
{
    const lucid_pool2d_attrs *a = c->attrs;
    const int64_t *pooled = &c->in[0]->view.dims[2];
    return sized_infer(c) && check_winners(c, pooled) && check_pooled(c, a->size, pooled);
}

static bool max_gather_infer(lucid_call *c)
{
    const lucid_pool2d_attrs *a = c->attrs;
    return sized_infer(c) && check_winners(c, a->size) &&
           check_pooled(c, &c->in[0]->view.dims[2], a->size);
}

static bool adaptive_infer(lucid_call *c)
{
    const lucid_view *x = &c->in[0]->view;
    if (!sized_infer(c)) return false;
    if (x->dims[2] < 1 || x->dims[3] < 1)
        return luc_bad_input(c, 0, "expected an image with H and W >= 1");
    return true;
}

static bool adaptive_backward_infer(lucid_call *c)
{
    const lucid_pool2d_attrs *a = c->attrs;
    if (!sized_infer(c)) return false;
    if (a->size[0] < 1 || a->size[1] < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, c->op->name, "size: expected >= 1, got %lld,%lld",
                         (long long)a->size[0], (long long)a->size[1]);
    return true;
}

static lucid_pool2d_attrs sized(const void *attrs, const lucid_meta *like)
{
    lucid_pool2d_attrs a = *(const lucid_pool2d_attrs *)attrs;
    a.size[0] = like->dims[2];
    a.size[1] = like->dims[3];
    return a;
}

/* ---- max ------------------------------------------------------------------------------------- */

static uint32_t save_index_output(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_OUTPUT(1);
}

static uint32_t save_index_input(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(1);
}

static bool max_vjp(lucid_vjp *v)
{
    lucid_pool2d_attrs a = sized(v->attrs, lucid_input_meta(v, 0));
    v->grad_in[0] =
        luc_apply2(&luc_op_max_pool2d_backward, v->grad_out[0], lucid_saved_output(v, 1), &a);
    return v->grad_in[0] != NULL;
}

static bool max_backward_vjp(lucid_vjp *v)
{
    lucid_pool2d_attrs a = sized(v->attrs, lucid_input_meta(v, 0));
    v->grad_in[0] =
        luc_apply2(&luc_op_max_pool2d_gather, v->grad_out[0], lucid_saved_input(v, 1), &a);
    return v->grad_in[0] != NULL;
}

static bool max_gather_vjp(lucid_vjp *v)
{
    lucid_pool2d_attrs a = sized(v->attrs, lucid_input_meta(v, 0));
    v->grad_in[0] =
        luc_apply2(&luc_op_max_pool2d_backward, v->grad_out[0], lucid_saved_input(v, 1), &a);
    return v->grad_in[0] != NULL;
}

#define POOL(k, s, p, d, ...)                                                      \
    {                                                                              \
        .kernel = {k, k}, .stride = {s, s}, .padding = {p, p}, .dilation = {d, d}, \
        .count_include_pad = true, __VA_ARGS__                                     \
    }
static const lucid_pool2d_attrs two = POOL(2, 2, 0, 1, .size = {0}),
                                three = POOL(3, 2, 1, 1, .size = {0}),
                                dilated = POOL(2, 1, 0, 2, .size = {0}),
                                ceiled = POOL(3, 2, 0, 1, .ceil_mode = true),
                                whole_of_four = POOL(4, 4, 0, 1, .size = {4, 4}),
                                four_to_one = POOL(4, 4, 0, 1, .size = {1, 1});
static const lucid_sample max_samples[] = {
    {.name = "2x2", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 6)}, .attrs = &two},
    {.name = "3x3", .n_in = 1, .in = {LUC_IN4(2, 3, 5, 6)}, .attrs = &three},
    {.name = "dilated", .n_in = 1, .in = {LUC_IN4(1, 2, 5, 5)}, .attrs = &dilated},
    {.name = "ceil", .n_in = 1, .in = {LUC_IN4(1, 2, 6, 6)}, .attrs = &ceiled},
};
static const lucid_pool2d_attrs wide_padding = POOL(2, 2, 5, 1, .size = {0});
static const lucid_sample pool_bad_samples[] = {
    {.name = "padding",
     .n_in = 1,
     .in = {LUC_IN4(2, 3, 4, 4)},
     .attrs = &wide_padding,
     .error = "padding: expected 0 to half the window of 2, got 5"},
    {.name = "rank",
     .n_in = 1,
     .in = {LUC_IN2(4, 4)},
     .attrs = &two,
     .error = "input: expected 4-D [N,C,H,W]"},
    {.name = "window",
     .n_in = 1,
     .in = {LUC_IN4(1, 1, 1, 4)},
     .attrs = &two,
     .error = "input: expected an image that holds a window"},
};
/* One window over the whole image: any index lies in its window, as max_pool2d's do. */
static const lucid_sample max_backward_samples[] = {
    {.name = "4x4",
     .n_in = 2,
     .in = {LUC_IN4(2, 3, 1, 1), LUC_INDEX(16, {4, {2, 3, 1, 1}})},
     .attrs = &whole_of_four},
};
static const lucid_sample max_gather_samples[] = {
    {.name = "4x4",
     .n_in = 2,
     .in = {LUC_IN4(2, 3, 4, 4), LUC_INDEX(16, {4, {2, 3, 1, 1}})},
     .attrs = &four_to_one},
};

static const lucid_pool2d_attrs no_step = POOL(2, 0, 0, 1, .size = {4, 4}),
                                five_to_four = POOL(4, 4, 0, 1, .size = {9, 4});
static const lucid_sample max_backward_bad_samples[] = {
    {.name = "stride",
     .n_in = 2,
     .in = {LUC_IN4(2, 3, 1, 1), LUC_INDEX(16, {4, {2, 3, 1, 1}})},
     .attrs = &no_step,
     .error = "kernel, stride, dilation: expected 1 to"},
    {.name = "size",
     .n_in = 2,
     .in = {LUC_IN4(2, 3, 1, 1), LUC_INDEX(16, {4, {2, 3, 1, 1}})},
     .attrs = &five_to_four,
     .error = "size: expected images of 9x4 and windows of 4x4 that give 1x1"},
};
static const lucid_sample avg_backward_bad_samples[] = {
    {.name = "stride",
     .n_in = 1,
     .in = {LUC_IN4(2, 3, 1, 1)},
     .attrs = &no_step,
     .error = "kernel, stride, dilation: expected 1 to"},
    {.name = "size",
     .n_in = 1,
     .in = {LUC_IN4(2, 3, 1, 1)},
     .attrs = &five_to_four,
     .error = "size: expected images of 9x4 and windows of 4x4 that give 1x1"},
};
static const lucid_sample winners_bad_samples[] = {
    {.name = "sizes",
     .n_in = 2,
     .in = {LUC_IN4(2, 3, 4, 4), LUC_INDEX(16, {4, {2, 3, 2, 4}})},
     .attrs = &four_to_one,
     .error = "index: expected int32 or int64 [2,3,"},
};

const lucid_op luc_op_max_pool2d = {
    .name = "max_pool2d",
    .schema = "input",
    .doc = "the largest of each window",
    .id = LUCID_OP_max_pool2d,
    .n_in = 1,
    .n_out = 2,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = max_infer,
    .saves = save_index_output,
    .vjp = max_vjp,
    LUC_SAMPLES(max_samples),
    LUC_BAD_SAMPLES(pool_bad_samples),
};

const lucid_op luc_op_max_pool2d_backward = {
    .name = "max_pool2d_backward",
    .schema = "grad, index",
    .doc = "grad at the winners",
    .id = LUCID_OP_max_pool2d_backward,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = max_backward_infer,
    .saves = save_index_input,
    .vjp = max_backward_vjp,
    LUC_SAMPLES(max_backward_samples),
    LUC_BAD_SAMPLES(max_backward_bad_samples),
};

const lucid_op luc_op_max_pool2d_gather = {
    .name = "max_pool2d_gather",
    .schema = "x, index",
    .doc = "x at the winners",
    .id = LUCID_OP_max_pool2d_gather,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = max_gather_infer,
    .saves = save_index_input,
    .vjp = max_gather_vjp,
    LUC_SAMPLES(max_gather_samples),
    LUC_BAD_SAMPLES(winners_bad_samples),
};

/* ---- average --------------------------------------------------------------------------------- */

/* Applies `op` with H and W of the other side of this node. */
static bool linear_vjp(lucid_vjp *v, const lucid_op *op)
{
    lucid_pool2d_attrs a = sized(v->attrs, lucid_input_meta(v, 0));
    v->grad_in[0] = luc_apply1(op, v->grad_out[0], &a);
    return v->grad_in[0] != NULL;
}

static bool avg_vjp(lucid_vjp *v)
{
    return linear_vjp(v, &luc_op_avg_pool2d_backward);
}

static bool avg_backward_vjp(lucid_vjp *v)
{
    return linear_vjp(v, &luc_op_avg_pool2d);
}

static bool adaptive_vjp(lucid_vjp *v)
{
    return linear_vjp(v, &luc_op_adaptive_avg_pool2d_backward);
}

static bool adaptive_backward_vjp(lucid_vjp *v)
{
    return linear_vjp(v, &luc_op_adaptive_avg_pool2d);
}

static const lucid_pool2d_attrs no_pad = {.kernel = {3, 3},
                                          .stride = {2, 2},
                                          .padding = {1, 1},
                                          .dilation = {1, 1}},
                                divided = POOL(2, 2, 0, 1, .divisor = 3), to_23 = {.size = {2, 3}},
                                to_45 = {.size = {4, 5}},
                                three_of_five = POOL(3, 2, 1, 1, .size = {5, 5});
static const lucid_sample avg_samples[] = {
    {.name = "2x2", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 6)}, .attrs = &two},
    {.name = "3x3", .n_in = 1, .in = {LUC_IN4(2, 3, 5, 6)}, .attrs = &three},
    {.name = "without padding", .n_in = 1, .in = {LUC_IN4(1, 2, 5, 5)}, .attrs = &no_pad},
    {.name = "ceil", .n_in = 1, .in = {LUC_IN4(1, 2, 6, 6)}, .attrs = &ceiled},
    {.name = "divisor", .n_in = 1, .in = {LUC_IN4(1, 2, 4, 4)}, .attrs = &divided},
};
static const lucid_sample avg_backward_samples[] = {
    {.name = "3x3", .n_in = 1, .in = {LUC_IN4(1, 2, 3, 3)}, .attrs = &three_of_five},
};
static const lucid_sample adaptive_samples[] = {
    {.name = "uneven", .n_in = 1, .in = {LUC_IN4(2, 3, 5, 7)}, .attrs = &to_23},
    {.name = "larger", .n_in = 1, .in = {LUC_IN4(1, 2, 3, 2)}, .attrs = &to_45},
};
static const lucid_sample adaptive_backward_samples[] = {
    {.name = "uneven", .n_in = 1, .in = {LUC_IN4(2, 3, 2, 3)}, .attrs = &to_45},
};

const lucid_op luc_op_avg_pool2d = {
    .name = "avg_pool2d",
    .schema = "input",
    .doc = "the mean of each window",
    .id = LUCID_OP_avg_pool2d,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = avg_infer,
    .vjp = avg_vjp,
    LUC_SAMPLES(avg_samples),
    LUC_BAD_SAMPLES(pool_bad_samples),
};

const lucid_op luc_op_avg_pool2d_backward = {
    .name = "avg_pool2d_backward",
    .schema = "grad",
    .doc = "grad spread over each window",
    .id = LUCID_OP_avg_pool2d_backward,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = avg_backward_infer,
    .vjp = avg_backward_vjp,
    LUC_SAMPLES(avg_backward_samples),
    LUC_BAD_SAMPLES(avg_backward_bad_samples),
};

const lucid_op luc_op_adaptive_avg_pool2d = {
    .name = "adaptive_avg_pool2d",
    .schema = "input",
    .doc = "means to a given size",
    .id = LUCID_OP_adaptive_avg_pool2d,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = adaptive_infer,
    .vjp = adaptive_vjp,
    LUC_SAMPLES(adaptive_samples),
};

const lucid_op luc_op_adaptive_avg_pool2d_backward = {
    .name = "adaptive_avg_pool2d_backward",
    .schema = "grad",
    .doc = "grad spread back",
    .id = LUCID_OP_adaptive_avg_pool2d_backward,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_pool2d_attrs),
    .infer = adaptive_backward_infer,
    .vjp = adaptive_backward_vjp,
    LUC_SAMPLES(adaptive_backward_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

/* Fills kernel, stride and padding, and checks them and what else stands in a. */
static bool pool_attrs(lucid_extent kernel, lucid_extent stride, lucid_extent padding,
                       const char *op, lucid_pool2d_attrs *a)
{
    lucid_extent_get(kernel, a->kernel);
    lucid_extent_get(stride == LUCID_KERNEL ? kernel : stride, a->stride);
    lucid_extent_get(padding, a->padding);
    return check_window(op, a);
}

/* [C,H,W] goes through as [1,C,H,W]. */
static lucid_tensor *pool(const lucid_op *op, lucid_tensor *x, const lucid_pool2d_attrs *a)
{
    bool single = x->view.ndim == 3;
    if (single) x = lucid_unsqueeze(x, 0);
    lucid_tensor *y = luc_apply1(op, x, a);
    return single ? lucid_squeeze(y, 0) : y;
}

lucid_tensor *lucid_max_pool2d_opt(lucid_tensor *x, lucid_extent kernel,
                                   const lucid_max_pool2d_options *options)
{
    const lucid_max_pool2d_options *o = LUC_OPTIONS(lucid_max_pool2d, options, "max_pool2d");
    if (!o || !luc_given(x, "max_pool2d", "x")) return NULL;
    lucid_pool2d_attrs a = {.ceil_mode = o->ceil_mode};
    lucid_extent_get(o->dilation, a.dilation);
    if (!pool_attrs(kernel, o->stride, o->padding, "max_pool2d", &a)) return NULL;
    a.no_index =
        !lucid_requires_grad(x) || !lucid_is_grad_enabled(); /* only a gradient asks for it */
    return pool(&luc_op_max_pool2d, x, &a);
}

lucid_tensor *lucid_avg_pool2d_opt(lucid_tensor *x, lucid_extent kernel,
                                   const lucid_avg_pool2d_options *options)
{
    const lucid_avg_pool2d_options *o = LUC_OPTIONS(lucid_avg_pool2d, options, "avg_pool2d");
    if (!o || !luc_given(x, "avg_pool2d", "x")) return NULL;
    lucid_pool2d_attrs a = {
        .dilation = {1, 1},
        .ceil_mode = o->ceil_mode,
        .count_include_pad = o->count_include_pad,
        .divisor = o->divisor_override,
    };
    if (!pool_attrs(kernel, o->stride, o->padding, "avg_pool2d", &a)) return NULL;
    return pool(&luc_op_avg_pool2d, x, &a);
}

lucid_tensor *lucid_adaptive_avg_pool2d_opt(lucid_tensor *x, lucid_extent size)
{
    if (!luc_given(x, "adaptive_avg_pool2d", "x")) return NULL;
    lucid_pool2d_attrs a = {.ceil_mode = false};
    lucid_extent_get(size, a.size);
    for (int i = 0; i < 2; i++)
        if (a.size[i] == LUCID_KEEP && x->view.ndim >= 2)
            a.size[i] = x->view.dims[x->view.ndim - 2 + i];
    if (a.size[0] < 1 || a.size[1] < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "adaptive_avg_pool2d",
                              "size: expected >= 1, got %lld,%lld", (long long)a.size[0],
                              (long long)a.size[1]);
    return pool(&luc_op_adaptive_avg_pool2d, x, &a);
}

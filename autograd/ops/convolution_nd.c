/* convolution_nd.c: convolution of rows and volumes, and transposed convolution, as 2-d ones. */
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/convolution_nd_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#define ONES    \
    {           \
        1, 1, 1 \
    }

static const char *const shapes[] = {"[N,C,L] or [C,L]", "[N,C,H,W] or [C,H,W]",
                                     "[N,C,D,H,W] or [C,D,H,W]"};

/* ---- what both share ------------------------------------------------------------------------- */

/* Checks ranks and dtypes, and reads the kernel's sizes. */
static bool check_tensors(luc_windows *w, const lucid_tensor *x, const lucid_tensor *weight)
{
    if (!luc_given(x, w->op, "x") || !luc_given(weight, w->op, "weight")) return false;
    const int ndim = x->view.ndim;
    if (ndim != w->rank + 1 && ndim != w->rank + 2)
        return luc_raise(LUCID_ERR_ARGUMENT, w->op, "x: expected %s, got %s", shapes[w->rank - 1],
                         luc_shape_text(x).s);
    if (weight->view.ndim != w->rank + 2)
        return luc_raise(LUCID_ERR_ARGUMENT, w->op, "weight: expected %d dimensions, got %s",
                         w->rank + 2, luc_shape_text(weight).s);
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, w->op, "x: expected a floating dtype, got %s",
                         lucid_dtype_name(x->view.dtype));
    for (int i = 3 - w->rank; i < 3; i++) {
        w->kernel[i] = weight->view.dims[weight->view.ndim - 3 + i];
        if (w->kernel[i] < 1 || w->kernel[i] > INT32_MAX)
            return luc_raise(LUCID_ERR_ARGUMENT, w->op, "weight: expected a kernel, got %s",
                             luc_shape_text(weight).s);
    }
    return true;
}

static bool check_groups(const luc_windows *w)
{
    return w->groups >= 1 || luc_raise(LUCID_ERR_ARGUMENT, w->op, "groups: expected >= 1, got %lld",
                                       (long long)w->groups);
}

/* x [N,C,*] without N gets one; rows become images of height 1. */
static lucid_tensor *as_image(lucid_tensor *x, int rank, bool single)
{
    if (x && single) x = lucid_unsqueeze(x, 0);
    return x && rank == 1 ? lucid_unsqueeze(x, 2) : x;
}

static lucid_tensor *from_image(lucid_tensor *y, int rank, bool single)
{
    if (y && rank == 1) y = lucid_squeeze(y, 2);
    return y && single ? lucid_squeeze(y, 0) : y;
}

/* Volumes [N,C,D,H,W] as images [N D,C,H,W]. */
static lucid_tensor *slices(lucid_tensor *x)
{
    const int64_t *d = x->view.dims;
    const lucid_shape shape = LUCID_SHAPE(d[0] * d[2], d[1], d[3], d[4]);
    x = lucid_transpose(x, 1, 2);
    return x ? lucid_reshape_opt(x, shape) : NULL;
}

/* A weight [O,I,kD,kH,kW] as one of images [O,I kD,kH,kW]; of images it is one already. */
static lucid_tensor *flat_weight(lucid_tensor *w)
{
    const int64_t *d = w->view.dims;
    if (w->view.ndim == 3) return lucid_unsqueeze(w, 2);
    if (w->view.ndim == 4) return w;
    return lucid_reshape_opt(w, LUCID_SHAPE(d[0], d[1] * d[2], d[3], d[4]));
}

/* Autocast's dtype for convolutions, on whole parameters, whose casts are kept. */
static bool cast_inputs(lucid_tensor *in[2])
{
    if (!luc_autocast_is_on()) return true;
    lucid_tensor *cast[2];
    const lucid_dtype dtype = luc_autocast_target(&luc_op_conv2d, in, 2);
    if (dtype == LUCID_DTYPE_COUNT) return true;
    if (!luc_autocast_inputs(in, 2, dtype, cast)) return false;
    in[0] = cast[0], in[1] = cast[1];
    return true;
}

/* ---- convolution ----------------------------------------------------------------------------- */

lucid_tensor *luc_conv_same(lucid_tensor *x, const lucid_tensor *weight, luc_windows *w)
{
    for (int i = 3 - w->rank; i < 3 && x; i++) {
        const int from_end = 3 - i;
        const int64_t k = weight->view.dims[weight->view.ndim - from_end];
        const int64_t total = w->dilation[i] * (k - 1);
        if (w->stride[i] != 1)
            return luc_raise_null(LUCID_ERR_ARGUMENT, w->op,
                                  "padding: LUCID_SAME needs stride 1, got %lld",
                                  (long long)w->stride[i]);
        w->padding[i] = total / 2;
        x = luc_pad_dim(x, x->view.ndim - from_end, 0, total % 2);
    }
    return x;
}

static bool read_conv(luc_windows *w, const lucid_conv_options *o)
{
    w->groups = o->groups;
    return luc_extent_of_rank(w->op, "stride", w->rank, o->stride, 1, w->stride) &&
           (o->padding == LUCID_SAME ||
            luc_extent_of_rank(w->op, "padding", w->rank, o->padding, 0, w->padding)) &&
           luc_extent_of_rank(w->op, "dilation", w->rank, o->dilation, 1, w->dilation) &&
           check_groups(w);
}

static bool check_weight(const luc_windows *w, const lucid_tensor *x, const lucid_tensor *weight)
{
    const int first = x->view.ndim - w->rank - 1;
    const int64_t channels = x->view.dims[first], *k = weight->view.dims;
    if (channels % w->groups || k[0] % w->groups || k[1] != channels / w->groups)
        return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                         "weight: expected [%lld,%lld,...] (x %s, groups %lld), got %s",
                         (long long)k[0], (long long)(channels / w->groups), luc_shape_text(x).s,
                         (long long)w->groups, luc_shape_text(weight).s);
    for (int i = 3 - w->rank; i < 3; i++) {
        const int64_t room = x->view.dims[x->view.ndim - 3 + i] + 2 * w->padding[i];
        if (w->dilation[i] * (w->kernel[i] - 1) + 1 > room)
            return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                             "weight: expected a kernel inside the padded input (x %s), got %s",
                             luc_shape_text(x).s, luc_shape_text(weight).s);
    }
    return true;
}

/* x [N,C,D,H,W] as images whose channels are those of all slices that a window sees. */
static lucid_tensor *depth_windows(lucid_tensor *x, const luc_windows *w)
{
    x = luc_pad_dim(x, 2, w->padding[0], w->padding[0]);
    if (x && w->kernel[0] == 1 && w->stride[0] == 1) return slices(x);
    x = luc_windows_of(x ? lucid_transpose(x, 1, 2) : NULL, 1, w->kernel[0], w->stride[0],
                       w->dilation[0]); /* [N,k,D',C,H,W] */
    x = x ? lucid_permute_opt(x, LUCID_SHAPE(0, 2, 3, 1, 4, 5)) : NULL;
    if (!x) return NULL;
    const int64_t *d = x->view.dims;
    return lucid_reshape_opt(x, LUCID_SHAPE(d[0] * d[1], d[2] * d[3], d[4], d[5]));
}

static lucid_tensor *convolve(luc_windows *w, lucid_tensor *x, lucid_tensor *weight,
                              lucid_tensor *bias, const lucid_conv_options *options)
{
    LUC_CALLED_AS(w->op);
    const lucid_conv_options *o = LUC_OPTIONS(lucid_conv, options, w->op);
    if (!o || !read_conv(w, o) || !check_tensors(w, x, weight)) return NULL;
    if (o->padding == LUCID_SAME && !(x = luc_conv_same(x, weight, w))) return NULL;
    if (!check_weight(w, x, weight)) return NULL;
    const bool single = x->view.ndim == w->rank + 1;
    x = as_image(x, w->rank, single);
    if (!x) return NULL;
    const int64_t batch = x->view.dims[0], span = w->dilation[0] * (w->kernel[0] - 1) + 1;
    const int64_t depth = (x->view.dims[2] + 2 * w->padding[0] - span) / w->stride[0] + 1;
    if (w->rank == 3) x = depth_windows(x, w);
    const lucid_conv2d_attrs a = {.stride = {w->stride[1], w->stride[2]},
                                  .padding = {w->padding[1], w->padding[2]},
                                  .dilation = {w->dilation[1], w->dilation[2]},
                                  .groups = w->groups};
    lucid_tensor *in[3] = {x, flat_weight(weight), bias};
    if (!x || !in[1]) return NULL;
    lucid_tensor *y = lucid_apply(&luc_op_conv2d, in, 3, &a);
    if (y && w->rank == 3) {
        const int64_t *d = y->view.dims;
        y = lucid_reshape_opt(y, LUCID_SHAPE(batch, depth, d[1], d[2], d[3]));
        y = y ? lucid_transpose(y, 1, 2) : NULL;
    }
    return from_image(y, w->rank, single);
}

lucid_tensor *lucid_conv1d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                               const lucid_conv_options *options)
{
    luc_windows w = {.op = "conv1d", .rank = 1, .kernel = ONES, .stride = ONES, .dilation = ONES};
    return convolve(&w, x, weight, bias, options);
}

lucid_tensor *lucid_conv3d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                               const lucid_conv_options *options)
{
    luc_windows w = {.op = "conv3d", .rank = 3};
    return convolve(&w, x, weight, bias, options);
}

/* ---- transposed convolution ------------------------------------------------------------------ */

static bool read_transpose(luc_windows *w, const lucid_conv_transpose_options *o)
{
    w->groups = o->groups;
    if (!luc_extent_of_rank(w->op, "stride", w->rank, o->stride, 1, w->stride) ||
        !luc_extent_of_rank(w->op, "padding", w->rank, o->padding, 0, w->padding) ||
        !luc_extent_of_rank(w->op, "output_padding", w->rank, o->output_padding, 0,
                            w->output_padding) ||
        !luc_extent_of_rank(w->op, "dilation", w->rank, o->dilation, 1, w->dilation) ||
        !check_groups(w))
        return false;
    for (int i = 3 - w->rank; i < 3; i++)
        if (w->output_padding[i] >= w->stride[i] && w->output_padding[i] >= w->dilation[i])
            return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                             "output_padding: expected less than the stride or the dilation, got "
                             "%lld (stride %lld, dilation %lld)",
                             (long long)w->output_padding[i], (long long)w->stride[i],
                             (long long)w->dilation[i]);
    return true;
}

/* Output channels, and what the output's sizes are before and after it is cut. */
static bool check_transpose(const luc_windows *w, const lucid_tensor *x, const lucid_tensor *weight,
                            const lucid_tensor *bias, int64_t full[3])
{
    const int64_t channels = x->view.dims[x->view.ndim - w->rank - 1], *k = weight->view.dims;
    int64_t out;
    if (k[0] != channels || channels % w->groups || !luc_mul_i64(k[1], w->groups, &out))
        return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                         "weight: expected [%lld,O/groups,...] (x %s, groups %lld), got %s",
                         (long long)channels, luc_shape_text(x).s, (long long)w->groups,
                         luc_shape_text(weight).s);
    if (bias && (bias->view.ndim != 1 || bias->view.dims[0] != out))
        return luc_raise(LUCID_ERR_ARGUMENT, w->op, "bias: expected [%lld], got %s", (long long)out,
                         luc_shape_text(bias).s);
    for (int i = 3 - w->rank; i < 3; i++) {
        const int64_t size = x->view.dims[x->view.ndim - 3 + i];
        const int64_t span = w->dilation[i] * (w->kernel[i] - 1) + 1;
        if (size < 1 || !luc_mul_i64(size - 1, w->stride[i], &full[i]) ||
            __builtin_add_overflow(full[i], span, &full[i]) || full[i] > INT64_MAX / 2)
            return luc_raise(LUCID_ERR_ARGUMENT, w->op, "x: expected sizes above 0, got %s",
                             luc_shape_text(x).s);
        if (full[i] - 2 * w->padding[i] + w->output_padding[i] < 1)
            return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                             "padding: expected one that leaves an output, got %lld of %lld",
                             (long long)w->padding[i], (long long)full[i]);
    }
    return true;
}

/* Images [N,C,H,W] and a weight [C,O/groups,kH,kW]: what conv2d's gradient is of size `size`. With
 * an output padding as large as the stride, a convolution of that size would be larger than x: the
 * output is then made whole, and cut. */
static lucid_tensor *transpose_images(const luc_windows *w, lucid_tensor *x, lucid_tensor *weight,
                                      const int64_t full[3])
{
    bool whole = false;
    lucid_conv2d_attrs a = {.stride = {w->stride[1], w->stride[2]},
                            .dilation = {w->dilation[1], w->dilation[2]},
                            .groups = w->groups,
                            .size = {x->view.dims[0], weight->view.dims[1] * w->groups}};
    for (int i = 0; i < 2; i++) whole = whole || w->output_padding[i + 1] >= w->stride[i + 1];
    for (int i = 0; i < 2; i++) {
        a.padding[i] = whole ? 0 : w->padding[i + 1];
        a.size[i + 2] = full[i + 1];
        if (!whole) a.size[i + 2] += w->output_padding[i + 1] - 2 * w->padding[i + 1];
    }
    lucid_tensor *y = luc_apply2(&luc_op_conv2d_backward_input, x, weight, &a);
    for (int i = 1; i < 3 && whole; i++)
        y = luc_pad_dim(y, i + 1, -w->padding[i], w->output_padding[i] - w->padding[i]);
    return y;
}

/* [N D,O kD,H',W']: each depth's windows, summed where they overlap. */
static lucid_tensor *sum_depth(const luc_windows *w, lucid_tensor *y, int64_t batch, int64_t depth,
                               int64_t full)
{
    if (!y) return NULL;
    const int64_t *d = y->view.dims, k = w->kernel[0];
    y = lucid_reshape_opt(y, LUCID_SHAPE(batch, depth, d[1] / k, k, d[2], d[3]));
    y = y ? lucid_permute_opt(y, LUCID_SHAPE(0, 2, 3, 1, 4, 5)) : NULL;
    const int64_t padding = w->padding[0], more = w->output_padding[0];
    y = luc_windows_sum(y, 2, full, w->stride[0], w->dilation[0]);
    return luc_pad_dim(y, 2, -padding, more - padding);
}

static lucid_tensor *add_bias(lucid_tensor *y, lucid_tensor *bias, int channel_dim)
{
    if (!y || !bias) return y;
    lucid_shape shape = {.ndim = y->view.ndim - channel_dim, .dims = {bias->view.dims[0]}};
    for (int d = 1; d < shape.ndim; d++) shape.dims[d] = 1;
    bias = lucid_cast(bias, y->view.dtype);
    bias = bias ? lucid_reshape_opt(bias, shape) : NULL;
    return bias ? lucid_add_(y, bias) : NULL;
}

static lucid_tensor *transpose(luc_windows *w, lucid_tensor *x, lucid_tensor *weight,
                               lucid_tensor *bias, const lucid_conv_transpose_options *options)
{
    int64_t full[3] = ONES;
    LUC_CALLED_AS(w->op);
    const lucid_conv_transpose_options *o = LUC_OPTIONS(lucid_conv_transpose, options, w->op);
    if (!o || !read_transpose(w, o) || !check_tensors(w, x, weight) ||
        !check_transpose(w, x, weight, bias, full))
        return NULL;
    lucid_tensor *in[2] = {x, weight};
    if (!cast_inputs(in)) return NULL;
    const bool single = x->view.ndim == w->rank + 1;
    x = as_image(in[0], w->rank, single);
    if (!x) return NULL;
    const int64_t batch = x->view.dims[0], depth = x->view.dims[2];
    if (w->rank == 3) x = slices(x);
    weight = flat_weight(in[1]);
    if (!x || !weight) return NULL;
    lucid_tensor *y = transpose_images(w, x, weight, full);
    if (w->rank == 3) y = sum_depth(w, y, batch, depth, full[0]);
    return from_image(add_bias(y, bias, 1), w->rank, single);
}

#define TRANSPOSE(n)                                                                          \
    lucid_tensor *lucid_conv_transpose##n##d_opt(lucid_tensor *x, lucid_tensor *weight,       \
                                                 lucid_tensor *bias,                          \
                                                 const lucid_conv_transpose_options *options) \
    {                                                                                         \
        luc_windows w = {.op = "conv_transpose" #n "d",                                       \
                         .rank = n,                                                           \
                         .kernel = ONES,                                                      \
                         .stride = ONES,                                                      \
                         .dilation = ONES};                                                   \
        return transpose(&w, x, weight, bias, options);                                       \
    }
TRANSPOSE(1)
TRANSPOSE(2)
TRANSPOSE(3)

/* reduction.c: sums, means, variances and extremes over dimensions. */
#include "autograd/ops/reduction.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- options --------------------------------------------------------------------------------- */

bool luc_reduce_mask(const lucid_tensor *x, const lucid_shape *dims, const char *op, uint32_t *mask)
{
    int ndim = x->view.ndim;
    *mask = 0;
    if (dims->ndim > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dims: expected at most %d, got %d",
                         LUCID_MAX_DIMS, dims->ndim);
    if (dims->ndim <= 0) *mask = (1u << ndim) - 1;
    for (int i = 0; i < dims->ndim; i++) {
        int d = luc_wrap_dim(dims->dims[i], ndim, op, "dims");
        if (d < 0) return false;
        if (*mask >> d & 1)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "dims: dimension %d is named twice", d);
        *mask |= 1u << d;
    }
    if (ndim == 0) *mask = 0;
    return true;
}

/* The dimensions of a mask as a list; one without entries for none. */
static lucid_shape mask_dims(uint32_t mask)
{
    lucid_shape dims = {.ndim = 0};
    for (int d = 0; d < LUCID_MAX_DIMS; d++)
        if (mask >> d & 1) dims.dims[dims.ndim++] = d;
    return dims;
}

/* ---- infer ----------------------------------------------------------------------------------- */

static bool infer_reduced(lucid_call *c, lucid_dtype dtype)
{
    const lucid_reduce_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    lucid_meta *out = &c->out[0];
    if (a->mask >> x->ndim)
        return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                         "mask: expected dimensions of x %s, got bits %#x",
                         luc_shape_text(c->in[0]).s, (unsigned)a->mask);
    out->dtype = dtype;
    out->ndim = 0;
    for (int d = 0; d < x->ndim; d++) {
        bool gone = a->mask >> d & 1;
        if (gone && !a->keepdim) continue;
        out->dims[out->ndim++] = gone ? 1 : x->dims[d];
    }
    luc_contiguous_strides(out->ndim, out->dims, out->strides);
    return true;
}

static int64_t reduced_count(uint32_t mask, int ndim, const int64_t *dims)
{
    int64_t n = 1;
    for (int d = 0; d < ndim; d++)
        if (mask >> d & 1) n *= dims[d];
    return n;
}

static bool infer_sum(lucid_call *c)
{
    lucid_dtype d = c->in[0]->view.dtype;
    return infer_reduced(c, lucid_dtype_is_floating(d) ? d : LUCID_I64);
}

static bool infer_mean(lucid_call *c)
{
    return luc_want_floating(c, 0) && infer_reduced(c, c->in[0]->view.dtype);
}

static bool infer_extreme(lucid_call *c)
{
    const lucid_reduce_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    if (reduced_count(a->mask, x->ndim, x->dims) == 0)
        return luc_bad_input(c, 0,
                             "expected at least one element to reduce, for nothing has no largest "
                             "or smallest (lucid_cat a value to x, or ask lucid_size first)");
    return infer_reduced(c, x->dtype);
}

static bool infer_index(lucid_call *c)
{
    return infer_extreme(c) && infer_reduced(c, LUCID_I64);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* A reduced tensor with its reduced dimensions back, of size 1. */
static lucid_tensor *with_kept_dims(lucid_vjp *v, lucid_tensor *t)
{
    const lucid_reduce_attrs *a = v->attrs;
    const lucid_meta *in = lucid_input_meta(v, 0);
    lucid_shape shape = {.ndim = in->ndim};
    for (int d = 0; d < in->ndim; d++) shape.dims[d] = a->mask >> d & 1 ? 1 : in->dims[d];
    return a->keepdim ? t : lucid_reshape_opt(t, shape);
}

static lucid_tensor *spread(lucid_vjp *v, lucid_tensor *t)
{
    return lucid_expand_opt(with_kept_dims(v, t), luc_meta_shape(lucid_input_meta(v, 0)));
}

static double count_of(lucid_vjp *v)
{
    const lucid_reduce_attrs *a = v->attrs;
    const lucid_meta *in = lucid_input_meta(v, 0);
    return (double)reduced_count(a->mask, in->ndim, in->dims);
}

static bool sum_vjp(lucid_vjp *v)
{
    v->grad_in[0] = spread(v, v->grad_out[0]);
    return v->grad_in[0] != NULL;
}

static bool mean_vjp(lucid_vjp *v)
{
    v->grad_in[0] = spread(v, lucid_div_scalar(v->grad_out[0], count_of(v)));
    return v->grad_in[0] != NULL;
}

/* d var = 2 (x - mean) / (n - correction) */
static bool var_vjp(lucid_vjp *v)
{
    const lucid_reduce_attrs *a = v->attrs;
    lucid_tensor *x = lucid_saved_input(v, 0);
    if (!x) return false;
    const lucid_reduce_options *keep = LUC_WITH(lucid_reduce, .keepdim = true);
    const lucid_shape dims = mask_dims(a->mask);
    /* Centred twice: the first mean is rounded to x's dtype, which shows where it is large. */
    lucid_tensor *centred = lucid_sub(x, lucid_mean_opt(x, dims, keep));
    centred = lucid_sub(centred, lucid_mean_opt(centred, dims, keep));
    double scale = 2 / (count_of(v) - (double)a->correction);
    lucid_tensor *g = with_kept_dims(v, v->grad_out[0]);
    v->grad_in[0] = lucid_mul(centred, lucid_mul_scalar(g, scale));
    return v->grad_in[0] != NULL;
}

/* The gradient is shared evenly by the elements that equal the extreme. A NaN extreme: by the
 * NaNs. */
static bool extreme_vjp(lucid_vjp *v)
{
    const lucid_reduce_attrs *a = v->attrs;
    lucid_tensor *x = lucid_saved_input(v, 0);
    if (!x) return false;
    lucid_tensor *y = with_kept_dims(v, lucid_saved_output(v, 0));
    lucid_tensor *hit = lucid_where(lucid_nan_mask(y), lucid_nan_mask(x), lucid_eq(x, y));
    const lucid_reduce_options *keep = LUC_WITH(lucid_reduce, .keepdim = true);
    const lucid_shape dims = mask_dims(a->mask);
    lucid_tensor *ties = lucid_cast(lucid_sum_opt(hit, dims, keep), x->view.dtype);
    lucid_tensor *share = lucid_div(with_kept_dims(v, v->grad_out[0]), ties);
    v->grad_in[0] = lucid_mul(lucid_cast(hit, x->view.dtype), share);
    return v->grad_in[0] != NULL;
}

static uint32_t save_input_and_output(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_OUTPUT(0);
}

/* ---- the operators --------------------------------------------------------------------------- */

static const lucid_reduce_attrs all2 = {.mask = 3, .correction = 1},
                                rows = {.mask = 1, .correction = 1},
                                columns = {.mask = 2, .keepdim = true, .correction = 1},
                                channels = {.mask = 13, .correction = 0}, none0 = {0},
                                inner = {.mask = 12, .keepdim = true, .correction = 1};
static const lucid_sample samples[] = {
    {.name = "all", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &all2},
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &rows},
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &columns},
    {.name = "channels", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &channels},
    {.name = "image", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &inner},
};
static const lucid_sample sum_samples[] = {
    {.name = "all", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &all2},
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &columns},
    {.name = "channels", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &channels},
    {.name = "scalar", .n_in = 1, .in = {LUC_IN0()}, .attrs = &none0},
    {.name = "empty", .n_in = 1, .in = {LUC_IN2(0, 3)}, .attrs = &rows},
};
static const lucid_reduce_attrs dim_5 = {.mask = 1u << 5};
#define LUC_BAD_MASK                                                            \
    {                                                                           \
        .name = "dimension", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &dim_5, \
        .error = "mask: expected dimensions of x [3,5], got bits 0x20"          \
    }
static const lucid_sample sum_bad_samples[] = {LUC_BAD_MASK};
static const lucid_sample mean_bad_samples[] = {
    LUC_BAD_MASK,
    {.name = "integers",
     .n_in = 1,
     .in = {{.shape = {2, {3, 5}}, .dtype = LUCID_I64, .low = 0, .high = 9, .no_grad = true}},
     .attrs = &all2,
     .error = "x: expected a floating dtype"},
};
static const lucid_sample extreme_bad_samples[] = {
    LUC_BAD_MASK,
    {.name = "nothing",
     .n_in = 1,
     .in = {LUC_IN2(0, 3)},
     .attrs = &rows,
     .error = "x: expected at least one element"},
};

const lucid_op luc_op_sum = {
    .name = "sum",
    .schema = "x",
    .doc = "sum over dims",
    .id = LUCID_OP_sum,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .autocast = LUCID_AUTOCAST_FULL,
    .infer = infer_sum,
    .vjp = sum_vjp,
    LUC_SAMPLES(sum_samples),
    LUC_BAD_SAMPLES(sum_bad_samples),
};

const lucid_op luc_op_mean = {
    .name = "mean",
    .schema = "x",
    .doc = "mean over dims",
    .id = LUCID_OP_mean,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .infer = infer_mean,
    .vjp = mean_vjp,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(mean_bad_samples),
};

const lucid_op luc_op_var = {
    .name = "var",
    .schema = "x",
    .doc = "variance over dims",
    .id = LUCID_OP_var,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .infer = infer_mean,
    .saves = luc_save_input,
    .vjp = var_vjp,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(mean_bad_samples),
};

const lucid_op luc_op_amax = {
    .name = "amax",
    .schema = "x",
    .doc = "the largest over dims",
    .id = LUCID_OP_amax,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .infer = infer_extreme,
    .saves = save_input_and_output,
    .vjp = extreme_vjp,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(extreme_bad_samples),
};

const lucid_op luc_op_amin = {
    .name = "amin",
    .schema = "x",
    .doc = "the smallest over dims",
    .id = LUCID_OP_amin,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .infer = infer_extreme,
    .saves = save_input_and_output,
    .vjp = extreme_vjp,
    LUC_SAMPLES(samples),
    LUC_BAD_SAMPLES(extreme_bad_samples),
};

static const lucid_sample arg_samples[] = {
    {.name = "rows", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &rows},
    {.name = "columns", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &columns},
};

const lucid_op luc_op_argmax = {
    .name = "argmax",
    .schema = "x",
    .doc = "index of the largest along dim",
    .id = LUCID_OP_argmax,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_NO_GRAD,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .infer = infer_index,
    LUC_SAMPLES(arg_samples),
    LUC_BAD_SAMPLES(extreme_bad_samples),
};

const lucid_op luc_op_argmin = {
    .name = "argmin",
    .schema = "x",
    .doc = "index of the smallest along dim",
    .id = LUCID_OP_argmin,
    .n_in = 1,
    .n_out = 1,
    .flags = LUCID_OP_NO_GRAD,
    .attrs_size = sizeof(lucid_reduce_attrs),
    .infer = infer_index,
    LUC_SAMPLES(arg_samples),
    LUC_BAD_SAMPLES(extreme_bad_samples),
};

/* ---- the functions --------------------------------------------------------------------------- */

static lucid_tensor *reduce(const lucid_op *op, lucid_tensor *x, const lucid_shape *dims,
                            const lucid_reduce_options *options)
{
    const lucid_reduce_options *o = LUC_OPTIONS(lucid_reduce, options, op->name);
    lucid_reduce_attrs attrs = {.keepdim = o && o->keepdim, .correction = 1};
    if (!o || !luc_given(x, op->name, "x") || !luc_reduce_mask(x, dims, op->name, &attrs.mask))
        return NULL;
    return luc_apply1(op, x, &attrs);
}

lucid_tensor *lucid_sum_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    return reduce(&luc_op_sum, x, &dims, options);
}

lucid_tensor *lucid_mean_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    return reduce(&luc_op_mean, x, &dims, options);
}

lucid_tensor *lucid_var_opt(lucid_tensor *x, lucid_shape dims, const lucid_var_options *options)
{
    const lucid_var_options *o = LUC_OPTIONS(lucid_var, options, "var");
    if (!o) return NULL;
    lucid_reduce_attrs attrs = {.keepdim = o->keepdim, .correction = o->correction};
    if (!luc_given(x, "var", "x") || !luc_reduce_mask(x, &dims, "var", &attrs.mask)) return NULL;
    return luc_apply1(&luc_op_var, x, &attrs);
}

lucid_tensor *lucid_max_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("max");
    return reduce(&luc_op_amax, x, &dims, options);
}

lucid_tensor *lucid_min_opt(lucid_tensor *x, lucid_shape dims, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("min");
    return reduce(&luc_op_amin, x, &dims, options);
}

/* The index in all of x: that along the one dimension of x's elements in a row. */
static lucid_tensor *arg_of_all(const lucid_op *op, lucid_tensor *x, bool keepdim)
{
    lucid_shape row = {1, {-1}}, ones = {.ndim = keepdim ? x->view.ndim : 0};
    for (int d = 0; d < ones.ndim; d++) ones.dims[d] = 1;
    if (x->numel == 0) row.dims[0] = 0;
    lucid_reduce_attrs attrs = {.mask = 1};
    x = lucid_reshape_opt(x, row);
    return x ? lucid_reshape_opt(luc_apply1(op, x, &attrs), ones) : NULL;
}

static lucid_tensor *arg_reduce(const lucid_op *op, lucid_tensor *x, const lucid_shape *dims,
                                const lucid_reduce_options *options)
{
    const lucid_reduce_options *o = LUC_OPTIONS(lucid_reduce, options, op->name);
    if (!o || !luc_given(x, op->name, "x")) return NULL;
    lucid_reduce_attrs attrs = {.keepdim = o->keepdim};
    if (!luc_reduce_mask(x, dims, op->name, &attrs.mask)) return NULL;
    if (dims->ndim > 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op->name,
                              "dims: expected one dimension, or all of them, got %s",
                              luc_dims_text(dims->ndim, dims->dims).s);
    if (dims->ndim <= 0 && x->view.ndim != 1) return arg_of_all(op, x, o->keepdim);
    return luc_apply1(op, x, &attrs);
}

lucid_tensor *lucid_argmax_opt(lucid_tensor *x, lucid_shape dims,
                               const lucid_reduce_options *options)
{
    return arg_reduce(&luc_op_argmax, x, &dims, options);
}

lucid_tensor *lucid_argmin_opt(lucid_tensor *x, lucid_shape dims,
                               const lucid_reduce_options *options)
{
    return arg_reduce(&luc_op_argmin, x, &dims, options);
}

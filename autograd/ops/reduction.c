/* reduction.c: sums, means, variances and extremes over dimensions. */
#include "autograd/ops/reduction.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"

const lucid_reduce_options lucid_reduce_defaults = {LUCID_REDUCE_DEFAULTS};

/* ---- options ----------------------------------------------------------------------------------- */

/* n_dims where .dims[i] was written: nobody can tell how many there are. */
enum { DIMS_UNCLEAR = LUCID_DIMS_ALL - 1 };

int lucid_count_dims(const char *text)
{
    const char *p = text ? strstr(text, ".dims") : NULL;
    while (p && (p[5] == '_' || (p[5] >= 'a' && p[5] <= 'z'))) p = strstr(p + 5, ".dims");
    if (!p) return LUCID_DIMS_ALL;
    for (p += 5; *p == ' ';) p++;
    if (*p == '[') return DIMS_UNCLEAR;
    p = strchr(p, '{');
    if (!p) return LUCID_DIMS_ALL;
    int depth = 1, count = 0;
    bool item = false; /* something was written since the last comma */
    for (p++; *p && depth > 0; p++) {
        if (*p == '{' || *p == '(' || *p == '[') depth++;
        if (*p == '}' || *p == ')' || *p == ']') depth--;
        if (depth == 1 && *p == ',') {
            count += item;
            item = false;
        } else if (depth > 0 && *p != ' ') {
            item = true;
        }
    }
    count += item;
    return count ? count : LUCID_DIMS_ALL;
}

/* Options to attributes: a bit for each reduced dimension. */
static bool reduce_attrs(const lucid_tensor *x, const lucid_reduce_options *o, const char *op,
                         lucid_reduce_attrs *a)
{
    if (!o) o = &lucid_reduce_defaults;
    int ndim = x->view.ndim;
    *a = (lucid_reduce_attrs){.keepdim = o->keepdim, .correction = o->correction};
    if (o->n_dims < LUCID_DIMS_ALL)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "dims: expected .dims = {..}, or .n_dims beside .dims[i], got n_dims %d",
                         o->n_dims);
    if (o->n_dims <= 0) {
        a->mask = (1u << ndim) - 1;
        return true;
    }
    if (o->n_dims > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dims: expected at most %d, got %d",
                         LUCID_MAX_DIMS, o->n_dims);
    for (int i = 0; i < o->n_dims; i++) {
        int d = luc_wrap_dim(o->dims[i], ndim, op, "dims");
        if (d < 0) return false;
        if (a->mask >> d & 1)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "dims: dimension %d is named twice", d);
        a->mask |= 1u << d;
    }
    if (ndim == 0) a->mask = 0;
    return true;
}

/* ---- infer ------------------------------------------------------------------------------------- */

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

/* ---- gradients --------------------------------------------------------------------------------- */

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
    lucid_reduce_options o = lucid_reduce_defaults;
    o.keepdim = true;
    o.n_dims = 0;
    for (int d = 0; d < x->view.ndim; d++)
        if (a->mask >> d & 1) o.dims[o.n_dims++] = d;
    /* Centred twice: the first mean is rounded to x's dtype, which shows where it is large. */
    lucid_tensor *centred = lucid_sub(x, lucid_mean_opt(x, &o));
    centred = lucid_sub(centred, lucid_mean_opt(centred, &o));
    double scale = 2 / (count_of(v) - (double)a->correction);
    lucid_tensor *g = with_kept_dims(v, v->grad_out[0]);
    v->grad_in[0] = lucid_mul(centred, lucid_mul_scalar(g, scale));
    return v->grad_in[0] != NULL;
}

/* The gradient is shared evenly by the elements that equal the extreme. A NaN extreme: by the NaNs. */
static bool extreme_vjp(lucid_vjp *v)
{
    const lucid_reduce_attrs *a = v->attrs;
    lucid_tensor *x = lucid_saved_input(v, 0);
    if (!x) return false;
    lucid_tensor *y = with_kept_dims(v, lucid_saved_output(v, 0));
    lucid_tensor *hit = lucid_where(lucid_isnan(y), lucid_isnan(x), lucid_eq(x, y));
    lucid_reduce_options o = lucid_reduce_defaults;
    o.keepdim = true;
    o.n_dims = 0;
    for (int d = 0; d < x->view.ndim; d++)
        if (a->mask >> d & 1) o.dims[o.n_dims++] = d;
    lucid_tensor *ties = lucid_cast(lucid_sum_opt(hit, &o), x->view.dtype);
    lucid_tensor *share = lucid_div(with_kept_dims(v, v->grad_out[0]), ties);
    v->grad_in[0] = lucid_mul(lucid_cast(hit, x->view.dtype), share);
    return v->grad_in[0] != NULL;
}

static uint32_t save_input_and_output(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_OUTPUT(0);
}

/* ---- the operators ------------------------------------------------------------------------------- */

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

/* ---- the functions ------------------------------------------------------------------------------- */

static lucid_tensor *reduce(const lucid_op *op, lucid_tensor *x, const lucid_reduce_options *o)
{
    lucid_reduce_attrs attrs;
    if (!luc_given(x, op->name, "x") || !reduce_attrs(x, o, op->name, &attrs)) return NULL;
    return luc_apply1(op, x, &attrs);
}

lucid_tensor *lucid_sum_opt(lucid_tensor *x, const lucid_reduce_options *options)
{
    return reduce(&luc_op_sum, x, options);
}

lucid_tensor *lucid_mean_opt(lucid_tensor *x, const lucid_reduce_options *options)
{
    return reduce(&luc_op_mean, x, options);
}

lucid_tensor *lucid_var_opt(lucid_tensor *x, const lucid_reduce_options *options)
{
    return reduce(&luc_op_var, x, options);
}

lucid_tensor *lucid_max_opt(lucid_tensor *x, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("max");
    return reduce(&luc_op_amax, x, options);
}

lucid_tensor *lucid_min_opt(lucid_tensor *x, const lucid_reduce_options *options)
{
    LUC_CALLED_AS("min");
    return reduce(&luc_op_amin, x, options);
}

static lucid_tensor *arg_reduce(const lucid_op *op, lucid_tensor *x, int dim,
                                const lucid_reduce_options *o)
{
    if (!luc_given(x, op->name, "x")) return NULL;
    int d = luc_wrap_dim(dim, x->view.ndim, op->name, "dim");
    if (d < 0) return NULL;
    lucid_reduce_attrs attrs = {.mask = x->view.ndim ? 1u << d : 0, .keepdim = o && o->keepdim};
    return luc_apply1(op, x, &attrs);
}

lucid_tensor *lucid_argmax_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    return arg_reduce(&luc_op_argmax, x, dim, options);
}

lucid_tensor *lucid_argmin_opt(lucid_tensor *x, int dim, const lucid_reduce_options *options)
{
    return arg_reduce(&luc_op_argmin, x, dim, options);
}

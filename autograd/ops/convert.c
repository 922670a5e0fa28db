/* convert.c: copies: other dtype, layout or device. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- cast ------------------------------------------------------------------------------------ */

static bool cast_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    if (lucid_dtype_size(a->dtype) == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, "cast", "dtype: expected a lucid_dtype, got %d",
                         (int)a->dtype);
    return luc_infer_broadcast_as(c, a->dtype);
}

static bool cast_vjp(lucid_vjp *v)
{
    v->grad_in[0] = lucid_cast(v->grad_out[0], lucid_input_meta(v, 0)->dtype);
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs to_double = {.dtype = LUCID_F64};
static const lucid_sample cast_samples[] = {
    {.name = "to float64", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &to_double},
};

static const lucid_view_attrs to_nothing = {.dtype = LUCID_DTYPE_COUNT};
static const lucid_sample cast_bad_samples[] = {
    {.name = "dtype",
     .n_in = 1,
     .in = {LUC_IN2(3, 5)},
     .attrs = &to_nothing,
     .error = "dtype: expected a lucid_dtype"},
};

const lucid_op luc_op_cast = {
    .name = "cast",
    .schema = "x",
    .doc = "another dtype",
    .id = LUCID_OP_cast,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = cast_infer,
    .vjp = cast_vjp,
    LUC_SAMPLES(cast_samples),
    LUC_BAD_SAMPLES(cast_bad_samples),
};

lucid_tensor *lucid_cast(lucid_tensor *x, lucid_dtype dtype)
{
    if (!luc_given(x, "cast", "x")) return NULL;
    if (x->view.dtype == dtype) return x;
    if (lucid_dtype_size(dtype) == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "cast", "dtype: expected a lucid_dtype, got %d",
                              (int)dtype);
    lucid_view_attrs attrs = {.dtype = dtype};
    return luc_apply1(&luc_op_cast, x, &attrs);
}

/* ---- copy ------------------------------------------------------------------------------------ */

static bool copy_infer(lucid_call *c)
{
    const lucid_view_attrs *a = c->attrs;
    const lucid_view *x = &c->in[0]->view;
    if (!luc_check_memory_format(a->format, "copy")) return false;
    if (a->format == LUCID_PRESERVE) return luc_infer_broadcast_as(c, x->dtype);
    luc_set_dims(c, 0, x->dtype, x->ndim, x->dims);
    if (a->format == LUCID_CONTIGUOUS) {
        luc_contiguous_strides(x->ndim, x->dims, c->out[0].strides);
        return true;
    }
    if (x->ndim != 4 && x->ndim != 5)
        return luc_bad_input(c, 0, "expected 4-D or 5-D for channels_last");
    luc_channels_last_strides(x->ndim, x->dims, c->out[0].strides);
    return true;
}

/* The gradient of an image that was copied into another layout (for example flattened) goes back
 * into the image's own layout here, once, so that no operator before it meets the other layout. */
static bool copy_vjp(lucid_vjp *v)
{
    const lucid_meta *in = lucid_input_meta(v, 0);
    bool last = !luc_is_contiguous(in->ndim, in->dims, in->strides) &&
                luc_is_channels_last(in->ndim, in->dims, in->strides);
    v->grad_in[0] = last ? lucid_contiguous(v->grad_out[0], LUCID_CHANNELS_LAST) : v->grad_out[0];
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs preserve = {.format = LUCID_PRESERVE},
                              last = {.format = LUCID_CHANNELS_LAST},
                              no_format = {.format = (lucid_memory_format)9};
static const lucid_sample copy_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &preserve},
    {.name = "channels_last", .n_in = 1, .in = {LUC_IN4(2, 3, 4, 5)}, .attrs = &last},
};
static const lucid_sample copy_bad_samples[] = {
    {.name = "rank",
     .n_in = 1,
     .in = {LUC_IN2(3, 5)},
     .attrs = &last,
     .error = "x: expected 4-D or 5-D"},
    {.name = "format",
     .n_in = 1,
     .in = {LUC_IN2(3, 5)},
     .attrs = &no_format,
     .error = "memory_format: expected"},
};

const lucid_op luc_op_copy = {
    .name = "copy",
    .schema = "x",
    .doc = "a copy, in a layout",
    .id = LUCID_OP_copy,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = copy_infer,
    .vjp = copy_vjp,
    LUC_SAMPLES(copy_samples),
    LUC_BAD_SAMPLES(copy_bad_samples),
};

lucid_tensor *lucid_clone(lucid_tensor *x, lucid_memory_format format)
{
    LUC_CALLED_AS("clone");
    lucid_view_attrs attrs = {.format = format};
    if (!luc_check_memory_format(format, "clone")) return NULL;
    return luc_apply1(&luc_op_copy, x, &attrs);
}

lucid_tensor *lucid_contiguous(lucid_tensor *x, lucid_memory_format format)
{
    LUC_CALLED_AS("contiguous");
    if (!luc_given(x, "contiguous", "x") || !luc_check_memory_format(format, "contiguous"))
        return NULL;
    if (format == LUCID_PRESERVE || lucid_is_contiguous(x, format)) return x;
    return lucid_clone(x, format);
}

/* ---- to_device ------------------------------------------------------------------------------- */

/* The output lives elsewhere, so this operator makes it itself. */
static bool to_device_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_view_attrs *a = c->attrs;
    out[0] = luc_tensor_new(&c->out[0], a->device, "to_device");
    return out[0] && luc_copy_data(out[0], c->in[0], "to_device");
}

static bool to_device_infer(lucid_call *c)
{
    return luc_infer_broadcast_as(c, c->in[0]->view.dtype);
}

/* Back to where the input was. */
static bool to_device_vjp(lucid_vjp *v)
{
    const lucid_view_attrs *a = v->attrs;
    lucid_device home = {(lucid_device_type)a->start, (int)a->step};
    v->grad_in[0] = lucid_tensor_to(v->grad_out[0], home);
    return v->grad_in[0] != NULL;
}

static const lucid_view_attrs to_cpu = {.device = {LUCID_CPU, 0}, .start = LUCID_CPU};
static const lucid_sample to_device_samples[] = {
    {.name = "cpu", .n_in = 1, .in = {LUC_IN2(3, 5)}, .attrs = &to_cpu},
};

const lucid_op luc_op_to_device = {
    .name = "to_device",
    .schema = "x",
    .doc = "a copy on another device",
    .id = LUCID_OP_to_device,
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(lucid_view_attrs),
    .infer = to_device_infer,
    .compose = to_device_compose,
    .vjp = to_device_vjp,
    LUC_SAMPLES(to_device_samples),
};

lucid_tensor *lucid_tensor_to(lucid_tensor *x, lucid_device device)
{
    if (!luc_given(x, "tensor_to", "x")) return NULL;
    lucid_device home = x->storage->device;
    if (lucid_device_equal(home, device)) return x;
    /* start and step remember where it came from, for the way back. */
    lucid_view_attrs attrs = {.device = device, .start = home.type, .step = home.index};
    return luc_apply1(&luc_op_to_device, x, &attrs);
}

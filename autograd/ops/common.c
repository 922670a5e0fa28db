/* common.c: type promotion, broadcasting and messages, for all operators. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/op_table_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- types ----------------------------------------------------------------------------------- */

/* -1: no tensor of this priority. A higher priority decides unless the lower has a higher
 * category. */
static int combine(int higher, int lower)
{
    if (higher < 0) return lower;
    if (lower < 0 || lucid_dtype_is_floating((lucid_dtype)higher)) return higher;
    if (higher == LUCID_BOOL || lucid_dtype_is_floating((lucid_dtype)lower))
        return (int)lucid_promote_types((lucid_dtype)higher, (lucid_dtype)lower);
    return higher;
}

static int join(int a, lucid_dtype b)
{
    return a < 0 ? (int)b : (int)lucid_promote_types((lucid_dtype)a, b);
}

/* As Python's 2 and 2.5: a whole number is an integer to the tensors that it meets. */
static lucid_dtype number_type(const lucid_tensor *t)
{
    double x = *(const double *)t->view.data;
    return x == trunc(x) && fabs(x) < 0x1p53 ? LUCID_I64 : LUCID_F32;
}

lucid_dtype luc_result_type(lucid_tensor *const *tensors, size_t n)
{
    int dims = -1, zero = -1, number = -1;
    for (size_t i = 0; i < n; i++) {
        const lucid_tensor *t = tensors[i];
        if (!t) continue;
        if (t->is_scalar)
            number = join(number, number_type(t));
        else if (t->view.ndim == 0)
            zero = join(zero, t->view.dtype);
        else
            dims = join(dims, t->view.dtype);
    }
    int d = combine(combine(dims, zero), number);
    return d < 0 ? LUCID_F32 : (lucid_dtype)d;
}

lucid_dtype luc_type_with_number(lucid_dtype d, double value)
{
    if (lucid_dtype_is_floating(d)) return d;
    if (value != trunc(value) || fabs(value) >= 0x1p63) return LUCID_F32;
    return d == LUCID_BOOL ? LUCID_I64 : d;
}

lucid_dtype luc_float_type(lucid_dtype d)
{
    return lucid_dtype_is_floating(d) ? d : LUCID_F32;
}

/* A number of the CPU on a GPU. It travels as an argument of the kernel that writes it: a copy
 * could not be captured. Where that is not exact, or a gradient must find its way back, it is
 * copied. */
static lucid_tensor *send_number(lucid_tensor *t, lucid_device device)
{
    double value = luc_element_to_double(t, 0);
    bool exact = t->view.dtype != LUCID_I64 || fabs(value) < 0x1p53;
    if (!exact || t->requires_grad) return lucid_tensor_to(t, device);
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = t->view.dtype;
    o.device = device;
    lucid_tensor *there = lucid_empty_opt((lucid_shape){0}, &o);
    return there && luc_fill_data(there, value, "fill") ? there : NULL;
}

lucid_tensor *luc_meet(lucid_tensor *t, lucid_dtype dtype, lucid_device device)
{
    if (!t) return NULL;
    if (t->view.dtype != dtype) {
        bool number = t->is_scalar;
        t = lucid_cast(t, dtype);
        if (t && number) t->is_scalar = false;
    }
    /* A 0-d tensor of the CPU may meet one of a GPU; anything larger is the caller's mistake. */
    if (t && t->view.ndim == 0 && t->storage->device.type == LUCID_CPU && device.type != LUCID_CPU)
        t = send_number(t, device);
    return t;
}

bool luc_is_factor(const lucid_tensor *x, const lucid_tensor *number, bool inverse, double *factor)
{
    if (!x || !number || !number->is_scalar || number->requires_grad || x->is_scalar) return false;
    if (x->view.dtype != LUCID_F16 && x->view.dtype != LUCID_BF16) return false;
    double value = *(const double *)number->view.data;
    *factor = inverse ? 1 / value : value;
    return !inverse || value == 0 || fabs(*factor) <= FLT_MAX; /* the kernel's float */
}

bool luc_check_relu(const lucid_call *c, bool relu)
{
    const bool has = c->op == &luc_op_conv2d || c->op == &luc_op_linear;
    if (!relu || (has && c->device.type == LUCID_CPU)) return true;
    return luc_raise(LUCID_ERR_UNSUPPORTED, c->op->name,
                     "relu: expected conv2d or linear on the CPU, got %s on %s", c->op->name,
                     lucid_device_name(c->device));
}

/* ---- saving ---------------------------------------------------------------------------------- */

uint32_t luc_save_input(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0);
}

uint32_t luc_save_output(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_OUTPUT(0);
}

uint32_t luc_save_second(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(1);
}

uint32_t luc_save_other(const lucid_call *c)
{
    return (c->needs & 1 ? LUCID_SAVE_INPUT(1) : 0) | (c->needs & 2 ? LUCID_SAVE_INPUT(0) : 0);
}

/* ---- infer ----------------------------------------------------------------------------------- */

void luc_set_dims(lucid_call *c, int i, lucid_dtype dtype, int ndim, const int64_t *dims)
{
    c->out[i].dtype = dtype;
    c->out[i].ndim = ndim;
    c->out[i].offset = 0;
    for (int d = 0; d < ndim; d++) c->out[i].dims[d] = dims[d];
}

bool luc_infer_broadcast_as(lucid_call *c, lucid_dtype dtype)
{
    if (!luc_infer_broadcast(c)) return false;
    c->out[0].dtype = dtype;
    return true;
}

bool luc_bad_input(const lucid_call *c, int i, const char *fmt, ...)
{
    char expected[256];
    va_list args;
    va_start(args, fmt);
    luc_vsnprintf(expected, sizeof expected, fmt, args);
    va_end(args);
    const lucid_tensor *t = c->in[i];
    return luc_raise(LUCID_ERR_ARGUMENT, c->op->name, "%s: %s, got %s%s%s",
                     luc_argument_name(c->op, i).s, expected,
                     t ? lucid_dtype_name(t->view.dtype) : "", t ? " " : "nothing",
                     t ? luc_shape_text(t).s : "");
}

bool luc_want_floating(const lucid_call *c, int i)
{
    if (lucid_dtype_is_floating(c->in[i]->view.dtype)) return true;
    return luc_bad_input(c, i, "expected a floating dtype");
}

bool luc_want_ndim(const lucid_call *c, int i, int ndim, const char *shape)
{
    if (c->in[i]->view.ndim == ndim) return true;
    return luc_bad_input(c, i, "expected %d-D %s", ndim, shape);
}

bool luc_want_like(const lucid_call *c, int i, int j)
{
    const lucid_view *a = &c->in[i]->view, *b = &c->in[j]->view;
    if (luc_dims_equal(a->ndim, a->dims, b->ndim, b->dims)) return true;
    return luc_bad_input(c, i, "expected %s like %s", luc_shape_text(c->in[j]).s,
                         luc_argument_name(c->op, j).s);
}

bool luc_bad_dim(const lucid_call *c, int dim, int ndim)
{
    return luc_raise(LUCID_ERR_ARGUMENT, c->op->name, "dim: expected [0,%d), got %d", ndim, dim);
}

bool luc_infer_shape(lucid_call *c, const lucid_shape *shape)
{
    const lucid_dtype dtype = c->in[0]->view.dtype;
    if (!luc_check_shape(shape, dtype, c->op->name)) return false;
    luc_set_dims(c, 0, dtype, shape->ndim, shape->dims);
    luc_contiguous_strides(shape->ndim, shape->dims, c->out[0].strides);
    return true;
}

lucid_shape luc_meta_shape(const lucid_meta *m)
{
    lucid_shape s = {.ndim = m->ndim};
    for (int d = 0; d < m->ndim; d++) s.dims[d] = m->dims[d];
    return s;
}

lucid_tensor *luc_full_like(lucid_tensor *x, double value)
{
    if (!x) return NULL;
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = x->view.dtype;
    o.device = x->storage->device;
    return lucid_full_opt(lucid_tensor_shape(x), value, &o);
}

/* ---- gradients of broadcasts ----------------------------------------------------------------- */

lucid_tensor *lucid_sum_to_input(lucid_vjp *v, int i, lucid_tensor *grad)
{
    if (!v)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "sum_to_input",
                              "v: expected a lucid_vjp, got NULL");
    const lucid_meta *m = lucid_input_meta(v, i);
    if (!m || !grad) return NULL;
    const int ndim = grad->view.ndim, lead = ndim - m->ndim;
    if (luc_dims_equal(ndim, grad->view.dims, m->ndim, m->dims)) return grad;
    lucid_shape dims = {.ndim = 0};
    for (int d = 0; d < ndim; d++)
        if (d < lead || (m->dims[d - lead] == 1 && grad->view.dims[d] != 1))
            dims.dims[dims.ndim++] = d;
    /* An empty list would mean all of them; then only leading sizes of 1 differ. */
    if (dims.ndim) grad = lucid_sum_opt(grad, dims, LUC_WITH(lucid_reduce, .keepdim = true));
    lucid_shape shape = {.ndim = m->ndim};
    memcpy(shape.dims, m->dims, (size_t)m->ndim * sizeof *m->dims);
    return lead ? lucid_reshape_opt(grad, shape) : grad;
}

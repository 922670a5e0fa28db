/* ops_priv.h: functions that the operators' files share. */
#ifndef LUCID_AUTOGRAD_OPS_OPS_PRIV_H
#define LUCID_AUTOGRAD_OPS_OPS_PRIV_H

#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/op.h"
#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

/* ---- samples --------------------------------------------------------------------------------- */

/* Inputs of samples, by number of dimensions; LO.. gives a range, INDEX integers in [0, n). */
#define LUC_IN0()           \
    {                       \
        .shape = { 0, {0} } \
    }
#define LUC_IN1(a)          \
    {                       \
        .shape = { 1, {a} } \
    }
#define LUC_IN2(a, b)          \
    {                          \
        .shape = { 2, {a, b} } \
    }
#define LUC_IN3(a, b, c)          \
    {                             \
        .shape = { 3, {a, b, c} } \
    }
#define LUC_IN4(a, b, c, d)          \
    {                                \
        .shape = { 4, {a, b, c, d} } \
    }
#define LUC_RANGE(lo, hi, ...)                      \
    {                                               \
        .shape = __VA_ARGS__, .low = lo, .high = hi \
    }
#define LUC_INDEX(n, ...)                                                              \
    {                                                                                  \
        .shape = __VA_ARGS__, .dtype = LUCID_I64, .low = 0, .high = n, .no_grad = true \
    }
#define LUC_MASK(...)                                                                   \
    {                                                                                   \
        .shape = __VA_ARGS__, .dtype = LUCID_BOOL, .low = 0, .high = 2, .no_grad = true \
    }
#define LUC_ABSENT           \
    {                        \
        .shape = { -1, {0} } \
    }

#define LUC_SAMPLES(list) .samples = list, .n_samples = (int)(sizeof(list) / sizeof *(list))
#define LUC_BAD_SAMPLES(list) \
    .bad_samples = list, .n_bad_samples = (int)(sizeof(list) / sizeof *(list))

/* ---- types ----------------------------------------------------------------------------------- */

/* The dtype in which tensors meet: PyTorch's result_type. Tensors of one or more dimensions decide;
 * 0-d ones only raise the category (bool, integer, floating); numbers (lucid_scalar) likewise. */
lucid_dtype luc_result_type(lucid_tensor *const *tensors, size_t n);
/* The dtype that a number leaves a tensor of dtype d in: an integer keeps its own with an integer
 * (of int64) and becomes float32 with any other number; a bool counts as an int64. */
lucid_dtype luc_type_with_number(lucid_dtype d, double value);
/* The floating dtype for functions whose result is no integer: d itself, or float32. */
lucid_dtype luc_float_type(lucid_dtype d);
/* A number cast to dtype, on a device: for meeting a tensor. Others: lucid_cast. */
lucid_tensor *luc_meet(lucid_tensor *t, lucid_dtype dtype, lucid_device device);

/* True where x has 16 bits and is to be multiplied (or divided: inverse) by a number, which 16 bits
 * may not hold (65536, 1e-8) or only roughly: the number, to be given to mul_scalar as it is. */
bool luc_is_factor(const lucid_tensor *x, const lucid_tensor *number, bool inverse, double *factor);

/* What the types of core/ops.def say of integers: true where they become a floating dtype. */
#define LUC_IS_SAME     false
#define LUC_IS_FLOATING true
#define LUC_IS_TRUTH    false

/* ---- saving ---------------------------------------------------------------------------------- */

/* .saves of operators whose derivative needs: the input; the output; input 1 (a mask, an index,
 * what a derivative's own argument was); of two inputs the other one, for each that needs a
 * gradient. */
uint32_t luc_save_input(const lucid_call *c);
uint32_t luc_save_output(const lucid_call *c);
uint32_t luc_save_second(const lucid_call *c);
uint32_t luc_save_other(const lucid_call *c);

/* ---- infer ----------------------------------------------------------------------------------- */

/* Output 0: the broadcast of all inputs, of the given dtype, with the layout of the inputs. */
bool luc_infer_broadcast_as(lucid_call *c, lucid_dtype dtype);
/* Raises "op: argument: expected ..., got [..]" with the argument's name from the schema. */
bool luc_bad_input(const lucid_call *c, int i, const char *fmt, ...) LUCID_PRINTF(3, 4);
/* Copies sizes into output i. */
void luc_set_dims(lucid_call *c, int i, lucid_dtype dtype, int ndim, const int64_t *dims);
bool luc_want_floating(const lucid_call *c, int i);
/* Which kernels have a ReLU at their end, as an attribute. Raises where another is to have one. */
bool luc_check_relu(const lucid_call *c, bool relu);
bool luc_want_ndim(const lucid_call *c, int i, int ndim, const char *shape);
/* Input i has the sizes of input j; and an attribute `dim` is one of ndim dimensions. */
bool luc_want_like(const lucid_call *c, int i, int j);
bool luc_bad_dim(const lucid_call *c, int dim, int ndim);
static inline bool luc_want_dim(const lucid_call *c, int dim, int ndim)
{
    return (dim >= 0 && dim < ndim) || luc_bad_dim(c, dim, ndim);
}
/* Output 0 is contiguous with the sizes in the attributes, which anything may have written. */
bool luc_infer_shape(lucid_call *c, const lucid_shape *shape);

/* The shape as a lucid_shape, of what a node remembers. */
lucid_shape luc_meta_shape(const lucid_meta *m);
/* true: input i needs a gradient. */
static inline bool luc_needs(const lucid_vjp *v, int i)
{
    return v->needs >> i & 1;
}
/* Saved input i, where it is wanted and was given; else NULL. */
static inline lucid_tensor *luc_saved_if(lucid_vjp *v, bool wanted, int i)
{
    return wanted && lucid_has_input(v, i) ? lucid_saved_input(v, i) : NULL;
}

/* One input, one output. */
static inline lucid_tensor *luc_apply1(const lucid_op *op, lucid_tensor *x, const void *attrs)
{
    return lucid_apply(op, (lucid_tensor *[]){x}, 1, attrs);
}
/* The same for an x whose integers become float32, because they have no root or logarithm. */
lucid_tensor *luc_apply_floating(const lucid_op *op, lucid_tensor *x, const void *attrs);
static inline lucid_tensor *luc_apply2(const lucid_op *op, lucid_tensor *a, lucid_tensor *b,
                                       const void *attrs)
{
    return lucid_apply(op, (lucid_tensor *[]){a, b}, 2, attrs);
}

/* conv2d's own, for what begins with a convolution: inputs 0 to 2, and attributes, are conv2d's. */
struct lucid_conv2d_options;
bool luc_conv2d_infer(lucid_call *c);
double luc_conv2d_flops(const lucid_call *c);
/* For .vjp, with g for the convolution's result. */
bool luc_conv2d_gradients(lucid_vjp *v, lucid_tensor *g);
/* False, with an error by op, when an option is too small. */
bool luc_conv2d_attrs(const struct lucid_conv2d_options *o, const char *op, lucid_conv2d_attrs *a);

/* For batch_norm_backward's .infer: dtypes of all inputs, and the sizes of those with one number
 * for each channel. */
bool luc_check_bn_backward(const lucid_call *c);

/* Zeros of the given sizes, with grad's elements added at their indices along dim: the gradient of
 * a gather. */
lucid_tensor *luc_scatter_add(lucid_tensor *grad, lucid_tensor *index, int dim, lucid_shape shape);

/* An operator with the sizes and strides of x, a number everywhere: no gradient. */
lucid_tensor *luc_full_like(lucid_tensor *x, double value);

#endif

/* own_ops.h: operators defined the way that a program defines its own, with their kernels in them.
 * The tests of the engine use these: so they do not depend on lucid's operators. */
#ifndef LUCID_TESTS_OWN_OPS_H
#define LUCID_TESTS_OWN_OPS_H

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "lucid/core/memory.h"

#include <criterion/criterion.h>
#include <string.h>

/* ---- kernels: float32 and float64, any strides ---- */

static inline double own_get(const lucid_view *v, int64_t at)
{
    return v->dtype == LUCID_F64 ? ((double *)v->data)[at] : (double)((float *)v->data)[at];
}

static inline void own_set(const lucid_view *v, int64_t at, double value)
{
    if (v->dtype == LUCID_F64)
        ((double *)v->data)[at] = value;
    else
        ((float *)v->data)[at] = (float)value;
}

typedef double (*own_fn)(double a, double b);

static inline bool own_run(const lucid_kernel_args *args, own_fn fn)
{
    const lucid_view *o = args->out[0], *a = args->in[0];
    const lucid_view *b = args->n_in > 1 ? args->in[1] : a;
    int64_t index[LUCID_MAX_DIMS] = {0}, n = 1;
    for (int d = 0; d < o->ndim; d++) n *= o->dims[d];
    for (int64_t i = 0; i < n; i++) {
        int64_t at[3] = {0};
        for (int d = 0; d < o->ndim; d++) {
            at[0] += index[d] * o->strides[d];
            at[1] += index[d] * a->strides[d];
            at[2] += index[d] * b->strides[d];
        }
        own_set(o, at[0], fn(own_get(a, at[1]), own_get(b, at[2])));
        for (int d = o->ndim - 1; d >= 0 && ++index[d] == o->dims[d]; d--) index[d] = 0;
    }
    return true;
}

static inline double own_fn_add(double a, double b)
{
    return a + b;
}
static inline double own_fn_mul(double a, double b)
{
    return a * b;
}
static inline double own_fn_square(double a, double b)
{
    (void)b;
    return a * a;
}
static inline double own_fn_double(double a, double b)
{
    (void)b;
    return a + a;
}
static inline bool own_kernel_add(const lucid_kernel_args *args)
{
    return own_run(args, own_fn_add);
}
static inline bool own_kernel_mul(const lucid_kernel_args *args)
{
    return own_run(args, own_fn_mul);
}
static inline bool own_kernel_square(const lucid_kernel_args *args)
{
    return own_run(args, own_fn_square);
}
static inline bool own_kernel_double(const lucid_kernel_args *args)
{
    return own_run(args, own_fn_double);
}

/* ---- the operators ---- */

static lucid_tensor *own_mul(lucid_tensor *a, lucid_tensor *b);
static lucid_tensor *own_double(lucid_tensor *x);

static inline bool own_add_vjp(lucid_vjp *v)
{
    for (int i = 0; i < 2; i++)
        if (v->needs & 1u << i) v->grad_in[i] = lucid_sum_to_input(v, i, v->grad_out[0]);
    return true;
}
static const lucid_op own_add_op = {.name = "own_add",
                                    .schema = "a, b",
                                    .id = LUCID_OP_CUSTOM,
                                    .n_in = 2,
                                    .n_out = 1,
                                    .flags = LUCID_OP_BROADCAST,
                                    .vjp = own_add_vjp,
                                    .kernel = own_kernel_add};

static inline uint32_t own_mul_saves(const lucid_call *c)
{
    return (c->needs & 1 ? LUCID_SAVE_INPUT(1) : 0) | (c->needs & 2 ? LUCID_SAVE_INPUT(0) : 0);
}
static inline bool own_mul_vjp(lucid_vjp *v)
{
    for (int i = 0; i < 2; i++)
        if (v->needs & 1u << i)
            v->grad_in[i] =
                lucid_sum_to_input(v, i, own_mul(v->grad_out[0], lucid_saved_input(v, 1 - i)));
    return true;
}
/* No .id: it is 0, which is one of lucid's own operators. That must not matter. */
static const lucid_op own_mul_op = {.name = "own_mul",
                                    .schema = "a, b",
                                    .n_in = 2,
                                    .n_out = 1,
                                    .flags = LUCID_OP_BROADCAST,
                                    .saves = own_mul_saves,
                                    .vjp = own_mul_vjp,
                                    .kernel = own_kernel_mul};

static inline uint32_t own_square_saves(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0);
}
static inline bool own_square_vjp(lucid_vjp *v)
{
    v->grad_in[0] = own_mul(v->grad_out[0], own_double(lucid_saved_input(v, 0)));
    return true;
}
static const lucid_op own_square_op = {
    .name = "own_square",
    .schema = "x",
    .id = LUCID_OP_CUSTOM,
    .n_in = 1,
    .n_out = 1,
    .saves = own_square_saves,
    .vjp = own_square_vjp,
    .kernels = {[LUCID_F32] = own_kernel_square, [LUCID_F64] = own_kernel_square}};

static inline bool own_double_vjp(lucid_vjp *v)
{
    v->grad_in[0] = own_double(v->grad_out[0]);
    return true;
}
static const lucid_op own_double_op = {.name = "own_double",
                                       .schema = "x",
                                       .id = LUCID_OP_CUSTOM,
                                       .n_in = 1,
                                       .n_out = 1,
                                       .vjp = own_double_vjp,
                                       .kernel = own_kernel_double};

static inline lucid_tensor *own_add(lucid_tensor *a, lucid_tensor *b)
{
    return lucid_apply(&own_add_op, (lucid_tensor *[]){a, b}, 2, NULL);
}
static inline lucid_tensor *own_mul(lucid_tensor *a, lucid_tensor *b)
{
    return lucid_apply(&own_mul_op, (lucid_tensor *[]){a, b}, 2, NULL);
}
static inline lucid_tensor *own_square(lucid_tensor *x)
{
    return lucid_apply(&own_square_op, &x, 1, NULL);
}
static inline lucid_tensor *own_double(lucid_tensor *x)
{
    return lucid_apply(&own_double_op, &x, 1, NULL);
}
static inline lucid_tensor *own_add_(lucid_tensor *a, lucid_tensor *b)
{
    return lucid_apply_inplace(&own_add_op, (lucid_tensor *[]){a, b}, 2, NULL);
}
static inline lucid_tensor *own_mul_(lucid_tensor *a, lucid_tensor *b)
{
    return lucid_apply_inplace(&own_mul_op, (lucid_tensor *[]){a, b}, 2, NULL);
}
static inline lucid_tensor *own_square_(lucid_tensor *x)
{
    return lucid_apply_inplace(&own_square_op, &x, 1, NULL);
}

/* ---- what every test needs ---- */

static inline lucid_tensor *own_leaf(lucid_shape shape, const double *values, size_t count)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = LUCID_F64;
    o.requires_grad = true;
    return lucid_from_doubles_opt(shape, values, count, &o);
}
/* OWN_LEAF((2, 2), 1, 2, 3, 4): a float64 leaf. OWN_DATA: the same without gradient. */
#define OWN_LEAF(shape, ...)                                       \
    own_leaf(LUCID_SHAPE_OF(shape), (const double[]){__VA_ARGS__}, \
             sizeof((const double[]){__VA_ARGS__}) / sizeof(double))
#define OWN_DATA(shape, ...) lucid_requires_grad_(OWN_LEAF(shape, __VA_ARGS__), false)

static inline bool own_near(const lucid_tensor *t, const double *want, size_t count)
{
    double got[64];
    if (!t || (size_t)lucid_numel(t) != count || count > 64) return false;
    if (!lucid_to_doubles(t, got, count)) return false;
    for (size_t i = 0; i < count; i++) {
        double e = got[i] - want[i];
        if (!(e < 1e-9 && e > -1e-9)) {
            cr_log_error("element %zu: got %.17g, want %.17g", i, got[i], want[i]);
            return false;
        }
    }
    return true;
}
/* All elements, row-major. */
#define OWN_EXPECT(tensor, ...)                               \
    cr_expect(own_near(tensor, (const double[]){__VA_ARGS__}, \
                       sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))
#define OWN_GRAD(leaf, ...) OWN_EXPECT(lucid_tensor_grad(leaf), __VA_ARGS__)

/* The pending error's whole message; clears it. */
#define OWN_EXPECT_ERROR(text)                 \
    do {                                       \
        cr_expect_str_eq(lucid_error(), text); \
        lucid_clear_error();                   \
    } while (0)

static inline void own_setup(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}
/* Nothing may be left when a test ends. */
static inline void own_teardown(void)
{
    cr_expect_str_eq(lucid_error(), "");
    lucid_clear_error();
    cr_expect_eq(lucid_finish(), 0);
    lucid_live_counts live = lucid_live();
    cr_expect_eq(live.tensors, 0);
    cr_expect_eq(live.storages, 0);
    cr_expect_eq(live.nodes, 0);
    cr_expect_eq(live.other, 0);
}

#endif

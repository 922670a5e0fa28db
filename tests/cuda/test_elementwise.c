/* Elementwise operations on the device against the CPU's: every dtype, special numbers, layouts
 * that differ, broadcast inputs, in place. */
#include "device_call.h"

CUDA_SUITE(elementwise);

typedef struct operation {
    lucid_op_id op;
    const void *attrs;
    bool cancels; /* a difference of near numbers: its error is absolute */
} operation;

static const lucid_gelu_attrs erf_form = {0}, tanh_form = {1};
static const lucid_clamp_attrs both_bounds = {-0.7, 1.5}, upper = {-INFINITY, 0.5},
                               crossed = {2, 1}, nothing = {-INFINITY, INFINITY};
static const lucid_scalar_attrs two_and_half = {2.5}, minus_three = {-3},
                                exponents[] = {{0}, {0.5}, {2}, {3}, {-1}, {-0.5}, {1.7}, {5}};

static const operation unary[] = {
    {LUCID_OP_neg, NULL, false},
    {LUCID_OP_abs, NULL, false},
    {LUCID_OP_sign, NULL, false},
    {LUCID_OP_exp, NULL, false},
    {LUCID_OP_log, NULL, false},
    {LUCID_OP_sqrt, NULL, false},
    {LUCID_OP_rsqrt, NULL, false},
    {LUCID_OP_square, NULL, false},
    {LUCID_OP_reciprocal, NULL, false},
    {LUCID_OP_tanh, NULL, false},
    {LUCID_OP_sigmoid, NULL, false},
    {LUCID_OP_relu, NULL, false},
    {LUCID_OP_gelu, &erf_form, false},
    {LUCID_OP_gelu, &tanh_form, false},
    {LUCID_OP_silu, NULL, false},
    {LUCID_OP_clamp, &both_bounds, false},
    {LUCID_OP_clamp, &upper, false},
    {LUCID_OP_clamp, &crossed, false},
    {LUCID_OP_add_scalar, &two_and_half, false},
    {LUCID_OP_add_scalar, &minus_three, false},
    {LUCID_OP_mul_scalar, &two_and_half, false},
    {LUCID_OP_mul_scalar, &minus_three, false},
    {LUCID_OP_pow_scalar, &exponents[0], false},
    {LUCID_OP_pow_scalar, &exponents[1], false},
    {LUCID_OP_pow_scalar, &exponents[2], false},
    {LUCID_OP_pow_scalar, &exponents[3], false},
    {LUCID_OP_pow_scalar, &exponents[4], false},
    {LUCID_OP_pow_scalar, &exponents[5], false},
    {LUCID_OP_pow_scalar, &exponents[6], false},
    {LUCID_OP_pow_scalar, &exponents[7], false},
    {LUCID_OP_isnan, NULL, false},
};
static const operation binary[] = {
    {LUCID_OP_tanh_backward, NULL, true},
    {LUCID_OP_sigmoid_backward, NULL, true},
    {LUCID_OP_relu_backward, NULL, false},
    {LUCID_OP_gelu_backward, &erf_form, true},
    {LUCID_OP_gelu_backward, &tanh_form, true},
    {LUCID_OP_silu_backward, NULL, true},
    {LUCID_OP_clamp_backward, &both_bounds, false},
    {LUCID_OP_clamp_backward, &upper, false},
    {LUCID_OP_clamp_backward, &nothing, false},
    {LUCID_OP_add, NULL, false},
    {LUCID_OP_sub, NULL, false},
    {LUCID_OP_mul, NULL, false},
    {LUCID_OP_div, NULL, false},
    {LUCID_OP_pow, NULL, false},
    {LUCID_OP_minimum, NULL, false},
    {LUCID_OP_maximum, NULL, false},
    {LUCID_OP_eq, NULL, false},
    {LUCID_OP_ne, NULL, false},
    {LUCID_OP_lt, NULL, false},
    {LUCID_OP_le, NULL, false},
    {LUCID_OP_gt, NULL, false},
    {LUCID_OP_ge, NULL, false},
};
#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

static lucid_dtype result_of(lucid_op_id op, lucid_dtype dtype)
{
    bool is_bool = op == LUCID_OP_isnan || (op >= LUCID_OP_eq && op <= LUCID_OP_ge);
    return is_bool ? LUCID_BOOL : dtype;
}

/* Both sides on the same inputs; out_layout is the output's. Where one has no kernel, neither
 * has. */
static void compare(const operation *o, lucid_dtype dtype, array *const *in, int n_in,
                    array_layout out_layout, const char *what)
{
    lucid_dtype result = result_of(o->op, dtype);
    const lucid_view *v = &in[0]->view;
    array want = array_new(result, v->ndim, v->dims, out_layout), *w = &want;
    array got = array_new(result, v->ndim, v->dims, out_layout), *g = &got;
    if (!kernel_call(o->op, dtype, o->attrs, in, n_in, &w, 1)) {
        lucid_clear_error();
        cr_expect(!device_backend()->kernels[o->op][dtype].run, "op %d, %s: the CPU has no kernel",
                  (int)o->op, lucid_dtype_name(dtype));
        return;
    }
    cr_assert(device_call(o->op, dtype, o->attrs, in, n_in, &g, 1), "%s", lucid_error());
    /* A few roundings of the type, and of the smallest numbers that it has. */
    static const double eps[] = {1e-6, 1e-14, 1.0 / 1024, 1.0 / 128, 0, 0, 0, 0};
    static const double least[] = {6e-45, 2e-323, 1.2e-7, 2e-40, 0, 0, 0, 0};
    /* gelu's exponential makes an argument's rounding larger */
    double relative = eps[result] * (o->op == LUCID_OP_gelu ? 8 : 1);
    double d = device_distance(&got, &want, o->cancels ? 8 * eps[result] : least[result], relative);
    cr_expect(d <= 1 || (eps[result] == 0 && array_same(&got, &want)),
              "op %d, %s, %s, output layout %d: off by %g", (int)o->op, lucid_dtype_name(dtype),
              what, (int)out_layout, d);
    cr_expect(array_gaps_intact(&got), "op %d, %s, %s", (int)o->op, lucid_dtype_name(dtype), what);
}

/* Numbers that a dtype has, special ones among them. */
static array specials(lucid_dtype dtype, int64_t n, int64_t period)
{
    static const double floats[] = {NAN,   INFINITY, -INFINITY, 0.0,  -0.0, 1,     -1,    0.5,
                                    -0.75, 2,        3.5,       -4.2, 88,   -104,  1e-40, -1e-40,
                                    1e30,  -1e30,    6e-8,      70,   -17,  65519, 1.5,   0.44};
    static const double whole[] = {0,
                                   1,
                                   2,
                                   3,
                                   7,
                                   -1,
                                   -2,
                                   -5,
                                   127,
                                   200,
                                   65537,
                                   2147483647.0,
                                   -2147483648.0,
                                   9e18,
                                   -9223372036854775808.0,
                                   5,
                                   1,
                                   0};
    array a = array_new(dtype, 1, &n, DENSE);
    for (int64_t i = 0; i < n; i++) {
        double x = whole[i / period % COUNT(whole)];
        if (lucid_dtype_is_floating(dtype)) x = floats[i / period % COUNT(floats)];
        if (dtype == LUCID_BOOL) x = x > 1;
        if (dtype == LUCID_U8) x = (double)((int64_t)fabs(x) & 255);
        if (dtype == LUCID_I32 && fabs(x) > 3e9) x = 12345;
        array_set(&a, i, x);
    }
    return a;
}

static array some_numbers(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout layout)
{
    array a = array_normal(dtype, ndim, dims, layout, 0, lucid_dtype_is_floating(dtype) ? 1.5 : 30);
    for (int64_t i = 0; dtype == LUCID_BOOL && i < array_numel(&a); i++)
        array_set(&a, i, (int)array_get(&a, i) & 1);
    return a;
}

Test(elementwise, special_numbers)
{
    for (int dtype = 0; dtype < LUCID_DTYPE_COUNT; dtype++) {
        const int64_t n = 24 * 24;
        array a = specials((lucid_dtype)dtype, n, 1), b = specials((lucid_dtype)dtype, n, 24);
        array gradient = some_numbers((lucid_dtype)dtype, 1, &n, DENSE);
        array *in[] = {&a, &b}, *smooth[] = {&gradient, &b};
        for (int k = 0; k < COUNT(unary); k++)
            compare(&unary[k], (lucid_dtype)dtype, in, 1, DENSE, "special numbers");
        for (int k = 0; k < COUNT(binary); k++) {
            array **both = binary[k].cancels ? smooth : in;
            compare(&binary[k], (lucid_dtype)dtype, both, 2, DENSE, "special numbers");
            compare(&binary[k], (lucid_dtype)dtype, both, 2, PADDED, "special numbers, apart");
        }
        array_free_all();
    }
}

/* The operators that bring their truth with them: a new one is tested without a change to this
 * file. */
Test(elementwise, operators_with_an_element)
{
    const int64_t n = 24 * 24;
    const lucid_op *op;
    for (size_t i = 0; (op = lucid_op_at(i)); i++)
        for (int k = 0; op->element && k < op->n_samples; k++)
            for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
                const operation o = {(lucid_op_id)op->id, op->samples[k].attrs, op->n_in == 2};
                array a = op->n_in == 2 ? some_numbers((lucid_dtype)dtype, 1, &n, DENSE)
                                        : specials((lucid_dtype)dtype, n, 1);
                array b = specials((lucid_dtype)dtype, n, 24), *in[] = {&a, &b};
                compare(&o, (lucid_dtype)dtype, in, op->n_in, DENSE, op->name);
                compare(&o, (lucid_dtype)dtype, in, op->n_in, PADDED, op->name);
                array_free_all();
            }
}

Test(elementwise, sizes)
{
    static const int64_t sizes[] = {0, 1, 3, 15, 16, 17, 257, 9001};
    for (int dtype = 0; dtype < LUCID_DTYPE_COUNT; dtype++)
        for (int s = 0; s < COUNT(sizes); s++) {
            array a = some_numbers((lucid_dtype)dtype, 1, &sizes[s], DENSE);
            array b = some_numbers((lucid_dtype)dtype, 1, &sizes[s], DENSE), *in[] = {&a, &b};
            for (int k = 0; k < COUNT(unary); k++)
                compare(&unary[k], (lucid_dtype)dtype, in, 1, DENSE, "sizes");
            for (int k = 0; k < COUNT(binary); k++)
                compare(&binary[k], (lucid_dtype)dtype, in, 2, DENSE, "sizes");
            array_free_all();
        }
}

/* Every layout against every other. */
Test(elementwise, layouts)
{
    static const int64_t dims[] = {2, 3, 5, 8};
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_BF16, LUCID_F64, LUCID_I64, LUCID_U8};
    for (int t = 0; t < COUNT(dtypes); t++)
        for (int i = 0; i < LAYOUTS; i++)
            for (int j = 0; j < LAYOUTS; j++) {
                array a = some_numbers(dtypes[t], 4, dims, (array_layout)i);
                array b = some_numbers(dtypes[t], 4, dims, (array_layout)j), *in[] = {&a, &b};
                for (int k = 0; k < COUNT(unary); k += 5)
                    compare(&unary[k], dtypes[t], in, 1, (array_layout)j, "layouts");
                for (int k = 0; k < COUNT(binary); k += 3) {
                    compare(&binary[k], dtypes[t], in, 2, (array_layout)i, "layouts");
                    compare(&binary[k], dtypes[t], in, 2, DENSE, "layouts, dense");
                }
                array_free_all();
            }
}

/* Input `which` holds one number along the dimensions of mask. */
static void broadcast(lucid_dtype dtype, const int64_t *dims, array_layout layout, int which,
                      unsigned mask)
{
    static const operation some[] = {{LUCID_OP_add, NULL, false},     {LUCID_OP_sub, NULL, false},
                                     {LUCID_OP_mul, NULL, false},     {LUCID_OP_div, NULL, false},
                                     {LUCID_OP_maximum, NULL, false}, {LUCID_OP_lt, NULL, false}};
    int64_t small[3];
    for (int d = 0; d < 3; d++) small[d] = mask >> d & 1 ? 1 : dims[d];
    array a = some_numbers(dtype, 3, dims, layout), b = some_numbers(dtype, 3, small, layout);
    for (int d = 0; d < 3; d++) {
        b.view.dims[d] = dims[d];
        if (small[d] == 1) b.view.strides[d] = 0;
    }
    array *in[2] = {which ? &a : &b, which ? &b : &a};
    for (int k = 0; k < COUNT(some); k++) {
        if (some[k].op == LUCID_OP_div && !lucid_dtype_is_floating(dtype)) continue;
        compare(&some[k], dtype, in, 2, layout, "broadcast");
    }
    array_free_all();
}

Test(elementwise, broadcasts)
{
    static const int64_t shapes[][3] = {
        {4, 16, 24}, {3, 5, 7}, {2, 33, 50}, {40, 10, 3}, {7, 1, 64}};
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F16, LUCID_BF16, LUCID_F64, LUCID_I32};
    static const array_layout layouts[] = {DENSE, REVERSED, SHIFTED, PADDED};
    for (int t = 0; t < COUNT(dtypes); t++)
        for (int s = 0; s < COUNT(shapes); s++)
            for (int l = 0; l < COUNT(layouts); l++)
                for (unsigned mask = 0; mask < 8; mask++)
                    for (int which = 0; which < 2; which++)
                        broadcast(dtypes[t], shapes[s], layouts[l], which, mask);
}

Test(elementwise, in_place)
{
    static const int64_t dims[] = {5, 37};
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int layout = 0; layout < LAYOUTS; layout++) {
            array a = some_numbers((lucid_dtype)dtype, 2, dims, (array_layout)layout);
            array b = some_numbers((lucid_dtype)dtype, 2, dims, DENSE);
            array c = array_as(&a, (array_layout)layout), *in[] = {&a, &b}, *in_c[] = {&c, &b};
            cr_assert(kernel_call(LUCID_OP_sub, (lucid_dtype)dtype, NULL, in, 2, in, 1));
            cr_assert(device_call(LUCID_OP_sub, (lucid_dtype)dtype, NULL, in_c, 2, in_c, 1));
            cr_expect(array_same(&a, &c));
            cr_assert(kernel_call(LUCID_OP_neg, (lucid_dtype)dtype, NULL, in, 1, in, 1));
            cr_assert(device_call(LUCID_OP_neg, (lucid_dtype)dtype, NULL, in_c, 1, in_c, 1));
            cr_expect(array_same(&a, &c) && array_gaps_intact(&c));
            array_free_all();
        }
}

Test(elementwise, where)
{
    static const int64_t dims[] = {6, 35};
    for (int dtype = 0; dtype < LUCID_DTYPE_COUNT; dtype++)
        for (int layout = 0; layout < LAYOUTS; layout++)
            for (int single = 0; single < 8; single++) {
                array_layout l = (array_layout)layout;
                array condition = some_numbers(LUCID_BOOL, 2, dims, l);
                array a = some_numbers((lucid_dtype)dtype, 2, dims, l);
                array b = some_numbers((lucid_dtype)dtype, 2, dims, single == 3 ? DENSE : l);
                array want = array_new((lucid_dtype)dtype, 2, dims, l), *w = &want;
                array got = array_new((lucid_dtype)dtype, 2, dims, l), *g = &got;
                array *in[] = {&condition, &a, &b};
                for (int k = 0; k < 3; k++)
                    if (single >> k & 1) in[k]->view.strides[0] = in[k]->view.strides[1] = 0;
                cr_assert(kernel_call(LUCID_OP_where, (lucid_dtype)dtype, NULL, in, 3, &w, 1));
                cr_assert(device_call(LUCID_OP_where, (lucid_dtype)dtype, NULL, in, 3, &g, 1));
                cr_expect(array_same(&got, &want) && array_gaps_intact(&got),
                          "%s, layout %d, single %d", lucid_dtype_name((lucid_dtype)dtype), layout,
                          single);
                array_free_all();
            }
}

/* Every elementwise kernel at every CPU level against plain loops over the C library in double. */
#include "autograd/op.h"
#include "kernel_call.h"

#include <criterion/criterion.h>

static const int64_t sizes[] = {0, 1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 63, 65, 100, 1000, 2500};

typedef struct {
    double p0, p1; /* scalar, or clamp's bounds */
    bool flag;     /* gelu: tanh */
} parameters;

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double gelu_slope(double x)
{
    return 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
}

static double gelu_derivative(double x, bool tanh_form)
{
    if (isinf(x)) return NAN;
    if (!tanh_form) return 0.5 * erfc(-x * M_SQRT1_2) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
    double s = sigmoid(gelu_slope(x)), rest = s * (1 - s);
    return s + (rest == 0 ? 0 : x * rest * 2 * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x));
}

static double unary(lucid_op_id op, double x, const parameters *p)
{
    switch (op) {
    case LUCID_OP_neg:
        return -x;
    case LUCID_OP_abs:
        return fabs(x);
    case LUCID_OP_sign:
        return (x > 0) - (x < 0);
    case LUCID_OP_exp:
        return exp(x);
    case LUCID_OP_log:
        return log(x);
    case LUCID_OP_sqrt:
        return sqrt(x);
    case LUCID_OP_rsqrt:
        return 1 / sqrt(x);
    case LUCID_OP_square:
        return x * x;
    case LUCID_OP_reciprocal:
        return 1 / x;
    case LUCID_OP_tanh:
        return tanh(x);
    case LUCID_OP_sigmoid:
        return sigmoid(x);
    case LUCID_OP_relu:
        return x < 0 ? 0 : x;
    case LUCID_OP_gelu:
        return x * (p->flag ? sigmoid(gelu_slope(x)) : 0.5 * erfc(-x * M_SQRT1_2));
    case LUCID_OP_silu:
        return x * sigmoid(x);
    case LUCID_OP_clamp:
        return isnan(x) ? x : fmin(p->p1, x < p->p0 ? p->p0 : x);
    case LUCID_OP_add_scalar:
        return x + p->p0;
    case LUCID_OP_mul_scalar:
        return x * p->p0;
    case LUCID_OP_pow_scalar:
        return p->p0 == 0.5 ? sqrt(x) : pow(x, p->p0);
    case LUCID_OP_isnan:
        return isnan(x);
    default:
        abort();
    }
}

static double binary(lucid_op_id op, double a, double b, const parameters *p)
{
    switch (op) {
    case LUCID_OP_add:
        return a + b;
    case LUCID_OP_sub:
        return a - b;
    case LUCID_OP_mul:
        return a * b;
    case LUCID_OP_div:
        return a / b;
    case LUCID_OP_pow:
        return pow(a, b);
    case LUCID_OP_minimum:
        return isnan(a) || isnan(b) ? NAN : b < a ? b : a;
    case LUCID_OP_maximum:
        return isnan(a) || isnan(b) ? NAN : b > a ? b : a;
    case LUCID_OP_eq:
        return a == b;
    case LUCID_OP_ne:
        return a != b;
    case LUCID_OP_lt:
        return a < b;
    case LUCID_OP_le:
        return a <= b;
    case LUCID_OP_gt:
        return a > b;
    case LUCID_OP_ge:
        return a >= b;
    case LUCID_OP_tanh_backward:
        return (double)(a * (1 - (long double)b) * (1 + (long double)b));
    case LUCID_OP_sigmoid_backward:
        return (double)(a * (1 - (long double)b) * b);
    case LUCID_OP_relu_backward:
        return b <= 0 ? 0 : a;
    case LUCID_OP_gelu_backward:
        return a * gelu_derivative(b, p->flag);
    case LUCID_OP_silu_backward:
        return a * (isinf(b) ? NAN : sigmoid(b) * (1 + b * sigmoid(-b)));
    case LUCID_OP_clamp_backward:
        return (b > p->p0 || (b == b && p->p0 == -INFINITY)) &&
                       (b < p->p1 || (b == b && p->p1 == INFINITY))
                   ? a
                   : 0;
    default:
        abort();
    }
}

/* One operation under test. ulps: of the result, beyond the final rounding; 0: must be exact. */
typedef struct {
    lucid_op_id op;
    int n_in;
    double ulps;
    bool to_bool, ints; /* ints: there are integer kernels too */
    parameters p;
    const lucid_op *by; /* its .element is the truth, and these are its attributes */
    const void *attrs;
} operation;

#define NONE        \
    {               \
        0, 0, false \
    }
static const operation operations[] = {
    {LUCID_OP_neg, 1, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_abs, 1, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_sign, 1, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_exp, 1, 2, false, false, NONE, NULL, NULL},
    {LUCID_OP_log, 1, 2, false, false, NONE, NULL, NULL},
    {LUCID_OP_sqrt, 1, 0, false, false, NONE, NULL, NULL},
    {LUCID_OP_rsqrt, 1, 2, false, false, NONE, NULL, NULL},
    {LUCID_OP_square, 1, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_reciprocal, 1, 0, false, false, NONE, NULL, NULL},
    {LUCID_OP_tanh, 1, 2, false, false, NONE, NULL, NULL},
    {LUCID_OP_sigmoid, 1, 2, false, false, NONE, NULL, NULL},
    {LUCID_OP_relu, 1, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_gelu, 1, 8, false, false, NONE, NULL, NULL},
    /* e^-u is as wrong as u, up to 100, is rounded */
    {LUCID_OP_gelu, 1, 200, false, false, {0, 0, true}, NULL, NULL},
    {LUCID_OP_silu, 1, 3, false, false, NONE, NULL, NULL},
    {LUCID_OP_clamp, 1, 0, false, true, {-1, 2, false}, NULL, NULL},
    {LUCID_OP_clamp, 1, 0, false, true, {-INFINITY, 1, false}, NULL, NULL},
    {LUCID_OP_clamp, 1, 0, false, true, {2, -1, false}, NULL, NULL},
    {LUCID_OP_add_scalar, 1, 0, false, true, {3, 0, false}, NULL, NULL},
    {LUCID_OP_mul_scalar, 1, 0, false, true, {-3, 0, false}, NULL, NULL},
    {LUCID_OP_pow_scalar, 1, 2, false, true, {2, 0, false}, NULL, NULL},
    {LUCID_OP_pow_scalar, 1, 2, false, true, {3, 0, false}, NULL, NULL},
    {LUCID_OP_pow_scalar, 1, 2, false, false, {0.5, 0, false}, NULL, NULL},
    {LUCID_OP_pow_scalar, 1, 2, false, false, {-1.5, 0, false}, NULL, NULL},
    {LUCID_OP_pow_scalar, 1, 2, false, true, {0, 0, false}, NULL, NULL},
    {LUCID_OP_isnan, 1, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_add, 2, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_sub, 2, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_mul, 2, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_div, 2, 0, false, false, NONE, NULL, NULL},
    {LUCID_OP_pow, 2, 2, false, false, NONE, NULL, NULL},
    {LUCID_OP_minimum, 2, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_maximum, 2, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_eq, 2, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_ne, 2, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_lt, 2, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_le, 2, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_gt, 2, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_ge, 2, 0, true, true, NONE, NULL, NULL},
    {LUCID_OP_tanh_backward, 2, 4, false, false, NONE, NULL, NULL},
    {LUCID_OP_sigmoid_backward, 2, 4, false, false, NONE, NULL, NULL},
    {LUCID_OP_relu_backward, 2, 0, false, true, NONE, NULL, NULL},
    {LUCID_OP_gelu_backward, 2, 16, false, false, NONE, NULL, NULL},
    {LUCID_OP_gelu_backward, 2, 16, false, false, {0, 0, true}, NULL, NULL},
    {LUCID_OP_silu_backward, 2, 16, false, false, NONE, NULL, NULL},
    {LUCID_OP_clamp_backward, 2, 0, false, false, {-1, 2, false}, NULL, NULL},
    {LUCID_OP_clamp_backward, 2, 0, false, false, {-INFINITY, 1, false}, NULL, NULL},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

static double value(lucid_dtype dtype)
{
    static const double special[] = {0,      -0.0, 1,     -1,   INFINITY, -INFINITY, NAN, 1e-40,
                                     -1e-44, 1e30, -1e30, 88.5, -87.9,    -103.2,    20,  -20};
    double x = array_random();
    int kind = (int)(fabs(x) * 1e6) % 6;
    if (dtype == LUCID_BOOL) return kind & 1;
    if (dtype == LUCID_U8) return (int)(fabs(x) * 1e6) % 256;
    if (!lucid_dtype_is_floating(dtype)) return trunc(x * 5);
    if (kind == 0) return special[(int)(fabs(x) * 1e7) % 16];
    return kind == 1 ? trunc(x * 2) : x * 3;
}

static array random_array(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout layout)
{
    array a = array_new(dtype, ndim, dims, layout);
    for (int64_t i = 0, n = array_numel(&a); i < n; i++) array_set(&a, i, value(dtype));
    return a;
}

static bool decays(const operation *o)
{
    if (o->by) return o->n_in == 2; /* a derivative */
    return o->op == LUCID_OP_gelu_backward || o->op == LUCID_OP_silu_backward;
}

/* The operands of o. The derivatives of tanh and sigmoid get one of their results; the gradient of
 * what decays towards 0 is finite, because an infinity would show where 0 is reached. */
static void random_operands(const operation *o, lucid_dtype dtype, int ndim, const int64_t *dims,
                            array_layout layout, array *a, array *b)
{
    *a = random_array(dtype, ndim, dims, layout);
    *b = random_array(dtype, ndim, dims, layout);
    bool of_result = o->op == LUCID_OP_tanh_backward || o->op == LUCID_OP_sigmoid_backward;
    array *bounded = of_result ? b : decays(o) ? a : NULL;
    for (int64_t i = 0, n = array_numel(a); bounded && i < n; i++)
        array_set(bounded, i, tanh(array_get(bounded, i)));
}

/* What the type can hold of the exact result, rounded once; integers wrap around. */
static double rounded(lucid_dtype dtype, double x)
{
    switch (dtype) {
    case LUCID_F32:
        return (double)(float)x;
    case LUCID_F16:
        return (double)lucid_f16_to_f32(lucid_f32_to_f16((float)x));
    case LUCID_BF16:
        return (double)lucid_bf16_to_f32(lucid_f32_to_bf16((float)x));
    case LUCID_F64:
        return x;
    case LUCID_I32:
        return (double)(int32_t)(uint32_t)(int64_t)x;
    case LUCID_U8:
        return (double)(uint8_t)(int64_t)x;
    case LUCID_BOOL:
        return x != 0;
    default:
        return x;
    }
}

/* scale: the size that the error is measured by */
static bool near(lucid_dtype dtype, double got, double want, double scale, double ulps)
{
    static const double epsilon[] = {0x1p-23, 0x1p-52, 0x1p-10, 0x1p-7};
    static const double smallest[] = {0x1p-149, 0x1p-1074, 0x1p-24, 0x1p-133};
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (got == want) return true;
    if (ulps == 0 || !lucid_dtype_is_floating(dtype)) return false;
    if (isinf(got) || isinf(want)) return false;
    /* the 16-bit types are computed in float: what is left is one rounding */
    double unit = (dtype == LUCID_F16 || dtype == LUCID_BF16) ? 1 : ulps;
    if (dtype == LUCID_F64) unit++; /* the C library's own, which is no more than a double either */
    double wide = dtype == LUCID_F64 ? 0 : scale * ulps * 0x1p-23;
    /* x sigmoid(x) and its like multiply what may have become denormal by x, up to about 100 */
    return fabs(got - want) <= unit * epsilon[dtype] * scale + 100 * smallest[dtype] + wide;
}

static const void *attributes(const operation *o, void *memory)
{
    if (o->by) return o->attrs;
    if (o->op == LUCID_OP_clamp || o->op == LUCID_OP_clamp_backward)
        *(lucid_clamp_attrs *)memory = (lucid_clamp_attrs){o->p.p0, o->p.p1};
    else if (o->op == LUCID_OP_gelu || o->op == LUCID_OP_gelu_backward)
        *(lucid_gelu_attrs *)memory = (lucid_gelu_attrs){o->p.flag};
    else
        *(lucid_scalar_attrs *)memory = (lucid_scalar_attrs){o->p.p0};
    return memory;
}

static bool has_kernel(const operation *o, lucid_dtype dtype)
{
    if (lucid_dtype_is_floating(dtype)) return true;
    if (!o->ints) return false;
    if (dtype == LUCID_U8 && o->op == LUCID_OP_clamp) return o->p.p1 >= 0;
    if (dtype != LUCID_BOOL) return true;
    switch (o->op) {
    case LUCID_OP_neg:
    case LUCID_OP_sub:
    case LUCID_OP_add_scalar:
    case LUCID_OP_mul_scalar:
    case LUCID_OP_pow_scalar:
    case LUCID_OP_clamp:
        return false;
    default:
        return true;
    }
}

static double truth(const operation *o, double a, double b)
{
    if (o->by) return o->by->element((const double[]){a, b}, o->attrs);
    return o->n_in == 1 ? unary(o->op, a, &o->p) : binary(o->op, a, b, &o->p);
}

/* Calls the kernel and compares each element; the layouts are those of output and inputs. */
static void check(const operation *o, lucid_dtype dtype, array *y, array *a, array *b,
                  const char *what)
{
    union {
        lucid_clamp_attrs clamp;
        lucid_scalar_attrs scalar;
        lucid_gelu_attrs gelu;
    } memory;
    double *want = malloc((size_t)(array_numel(y) + 1) * sizeof *want);
    for (int64_t i = 0; i < array_numel(y); i++) {
        double x = array_get(a, i);
        want[i] = truth(o, x, o->n_in == 1 ? 0 : array_get(b, i));
        want[i] = rounded(y->view.dtype, want[i]);
    }
    bool ok = kernel_call(o->op, dtype, attributes(o, &memory), (array *[]){a, b}, o->n_in, &y, 1);
    cr_assert(ok);
    for (int64_t i = 0; i < array_numel(y); i++) {
        /* gelu' and silu' have a root: there the error is measured by the gradient that comes in */
        double scale = fmax(fabs(want[i]), decays(o) ? 1 : 0), got = array_get(y, i);
        if (near(y->view.dtype, got, want[i], scale, o->ulps)) continue;
        cr_assert(false, "op %d, %s, %s, %s: element %ld of %ld: expected %.17g, got %.17g", o->op,
                  lucid_dtype_name(dtype), luc_cpu_level_name(luc_cpu_current()), what, (long)i,
                  (long)array_numel(y), want[i], got);
    }
    cr_assert(array_gaps_intact(y));
    free(want);
}

static lucid_dtype result_type(const operation *o, lucid_dtype dtype)
{
    return o->to_bool ? LUCID_BOOL : dtype;
}

Test(elementwise, sizes_and_types)
{
    FOR_LEVELS
    for (size_t k = 0; k < OPERATIONS; k++)
        for (int t = 0; t < LUCID_DTYPE_COUNT; t++) {
            const operation *o = &operations[k];
            const lucid_dtype dtype = (lucid_dtype)t;
            if (!has_kernel(o, dtype)) continue;
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                array a, b;
                random_operands(o, dtype, 1, &sizes[s], s % 2 ? DENSE : SHIFTED, &a, &b);
                array y = array_new(result_type(o, dtype), 1, &sizes[s], s % 3 ? DENSE : SHIFTED);
                check(o, dtype, &y, &a, &b, "1-d");
            }
            array_free_all();
        }
}

/* The operators that bring their truth with them (.element), with the attributes of their samples:
 * a new one is tested here without a change to this file. */
Test(elementwise, operators_with_an_element)
{
    const lucid_op *op;
    int cases = 0;
    for (size_t i = 0; (op = lucid_op_at(i)); i++)
        for (int k = 0; op->element && k < op->n_samples; k++, cases++) {
            const operation o = {(lucid_op_id)op->id, op->n_in, 6, false, false, NONE, op,
                                 op->samples[k].attrs};
            FOR_LEVELS
            for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
                for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                    for (int l = 0; l < LAYOUTS; l++) {
                        const int64_t dims[] = {2, sizes[s]};
                        array a, b;
                        random_operands(&o, (lucid_dtype)dtype, 2, dims, (array_layout)l, &a, &b);
                        array y = array_new((lucid_dtype)dtype, 2, dims, s % 2 ? DENSE : SHIFTED);
                        check(&o, (lucid_dtype)dtype, &y, &a, &b, op->name);
                        array_free_all();
                    }
        }
    cr_expect_gt(cases, 0);
}

Test(elementwise, layouts)
{
    static const int64_t shapes[][4] = {{2, 3, 5, 7}, {2, 16, 4, 4}, {1, 3, 33, 17}, {3, 1, 1, 40}};
    static const lucid_dtype types[] = {LUCID_F32, LUCID_BF16, LUCID_I64, LUCID_U8};
    static const size_t which[] = {0, 3, 26, 28, 35}; /* neg exp add mul lt */
    FOR_LEVELS
    for (size_t k = 0; k < sizeof which / sizeof *which; k++)
        for (size_t t = 0; t < 4; t++)
            for (int mix = 0; mix < 4 * LAYOUTS * LAYOUTS * LAYOUTS; mix += 11) {
                const operation *o = &operations[which[k]];
                if (!has_kernel(o, types[t])) continue;
                const int64_t *dims = shapes[mix % 4];
                int l = mix / 4;
                array a = random_array(types[t], 4, dims, (array_layout)(l % LAYOUTS));
                array b = random_array(types[t], 4, dims, (array_layout)(l / LAYOUTS % LAYOUTS));
                array y = array_new(result_type(o, types[t]), 4, dims,
                                    (array_layout)(l / LAYOUTS / LAYOUTS));
                check(o, types[t], &y, &a, &b, "4-d");
                array_free_all();
            }
}

/* The same array with stride 0 where `mask` says so. */
static array expanded(array a, unsigned mask)
{
    for (int d = 0; d < a.view.ndim; d++)
        if (mask >> d & 1) a.view.strides[d] = 0;
    return a;
}

Test(elementwise, broadcast)
{
    static const int64_t shapes[][4] = {
        {3, 5, 4, 6}, {2, 3, 33, 40}, {2, 70, 5, 5}, {2, 8, 1, 600}, {2, 1100, 2, 2}};
    static const lucid_dtype types[] = {LUCID_F32, LUCID_F16, LUCID_F64, LUCID_I32};
    static const size_t which[] = {3, 26, 27, 31, 37}; /* exp add sub minimum gt */
    FOR_LEVELS
    for (size_t k = 0; k < sizeof which / sizeof *which; k++)
        for (size_t t = 0; t < 4; t++)
            for (unsigned mask = 0; mask < 256; mask += t ? 29 : 5)
                for (int l = 0; l < 3; l++) {
                    const operation *o = &operations[which[k]];
                    if (!has_kernel(o, types[t])) continue;
                    const int64_t *dims = shapes[(mask + (unsigned)l) % 5];
                    if (dims[1] > 1000 && mask % 8) continue; /* enough of the large one */
                    const array_layout layout = l == 2 ? PADDED : (array_layout)l;
                    array a = expanded(random_array(types[t], 4, dims, layout), mask & 15);
                    array b = expanded(random_array(types[t], 4, dims, layout), mask >> 4);
                    array y = array_new(result_type(o, types[t]), 4, dims, layout);
                    check(o, types[t], &y, &a, &b, "broadcast");
                    array_free_all();
                }
}

Test(elementwise, in_place)
{
    const int64_t dims[] = {2, 3, 70, 5};
    FOR_LEVELS
    for (size_t k = 0; k < OPERATIONS; k++)
        for (int l = 0; l < LAYOUTS; l++)
            for (int t = 0; t < LUCID_DTYPE_COUNT; t++) {
                const operation *o = &operations[k];
                const lucid_dtype dtype = (lucid_dtype)t;
                if (!has_kernel(o, dtype) || o->to_bool) continue;
                array a, b;
                random_operands(o, dtype, 4, dims, (array_layout)l, &a, &b);
                array kept = array_as(&a, (array_layout)l);
                check(o, dtype, &a, &a, &b, "in place of a");
                if (o->n_in == 2) check(o, dtype, &b, &kept, &b, "in place of b");
                array_free_all();
            }
}

/* Large enough for several threads and for streaming stores; the bits do not depend on threads. */
Test(elementwise, large)
{
    const int64_t flat = (9 << 18) + 17, channels[] = {2, 37, 251, 119}; /* 9 MB */
    FOR_LEVELS
    for (int l = 0; l < 3; l++) {
        const operation *o = &operations[26];
        const int ndim = l ? 4 : 1;
        const int64_t *dims = l ? channels : &flat;
        const array_layout layout = l == 2 ? CHANNELS_LAST : DENSE;
        array a = random_array(LUCID_F32, ndim, dims, layout);
        array b = random_array(LUCID_F32, ndim, dims, layout);
        if (l) b = expanded(b, 13); /* a value a channel */
        array y = array_new(LUCID_F32, ndim, dims, layout);
        array z = array_new(LUCID_F32, ndim, dims, layout);
        luc_set_num_threads(3);
        check(o, LUCID_F32, &y, &a, &b, "large");
        luc_set_num_threads(1);
        check(o, LUCID_F32, &z, &a, &b, "large, one thread");
        luc_set_num_threads(0);
        cr_assert(memcmp(y.block, z.block, y.bytes) == 0);
        array_free_all();
    }
}

/* exp, log, tanh, sigmoid within 2 ulps of the truth, over floats of every size. */
Test(elementwise, accuracy)
{
    enum { N = 1 << 14 };
    static const size_t which[] = {3, 4, 9, 10};
    const int64_t n = N;
    FOR_LEVELS
    for (size_t k = 0; k < 4; k++) {
        uint32_t bits = 0;
        for (int round = 0; round < 24; round++) {
            array a = array_new(LUCID_F32, 1, &n, DENSE), y = array_new(LUCID_F32, 1, &n, DENSE);
            float *x = a.view.data;
            for (int i = 0; i < N; i++, bits += 2654435761u) memcpy(&x[i], &bits, 4);
            check(&operations[which[k]], LUCID_F32, &y, &a, NULL, "accuracy");
            array_free_all();
        }
    }
}

/* The same in double, against the C library, which is itself within one. */
Test(elementwise, accuracy_of_double)
{
    enum { N = 1 << 13 };
    static const size_t which[] = {3, 4, 9, 10};
    const int64_t n = N;
    FOR_LEVELS
    for (size_t k = 0; k < 4; k++) {
        uint64_t bits = 0;
        for (int round = 0; round < 8; round++) {
            array a = array_new(LUCID_F64, 1, &n, DENSE), y = array_new(LUCID_F64, 1, &n, DENSE);
            double *x = a.view.data;
            /* every size of number, and those where the functions are not flat */
            for (int i = 0; i < N; i++, bits += 11400714819323198485u) {
                memcpy(&x[i], &bits, 8);
                if (round % 2)
                    x[i] = ((double)(bits >> 11) * 0x1p-53 - 0.5) * (round < 4 ? 4 : 1500);
            }
            check(&operations[which[k]], LUCID_F64, &y, &a, NULL, "accuracy of double");
            array_free_all();
        }
    }
}

Test(elementwise, sign_of_zero_and_nan)
{
    const int64_t n = 40;
    FOR_LEVELS
    {
        array a = array_new(LUCID_F32, 1, &n, DENSE), b = array_new(LUCID_F32, 1, &n, DENSE);
        array y = array_new(LUCID_F32, 1, &n, DENSE);
        for (int64_t i = 0; i < n; i++) {
            array_set(&a, i, i % 2 ? -0.0 : 0.0);
            array_set(&b, i, i % 2 ? 0.0 : -0.0);
        }
        array *out = &y, *in[] = {&a, &b};
        kernel_call(LUCID_OP_relu, LUCID_F32, NULL, in, 1, &out, 1);
        cr_assert(array_same(&y, &a), "relu(-0) is -0");
        kernel_call(LUCID_OP_maximum, LUCID_F32, NULL, in, 2, &out, 1);
        cr_assert(array_same(&y, &a), "of equals the first");
        kernel_call(LUCID_OP_minimum, LUCID_F32, NULL, in, 2, &out, 1);
        cr_assert(array_same(&y, &a), "of equals the first");
        kernel_call(LUCID_OP_tanh, LUCID_F32, NULL, in, 1, &out, 1);
        cr_assert(array_same(&y, &a), "tanh keeps the sign");
        array_free_all();
    }
}

Test(elementwise, where)
{
    const int64_t dims[] = {3, 50, 7};
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (unsigned mask = 0; mask < 512; mask += 37)
            for (int l = 0; l < LAYOUTS; l++) {
                const lucid_dtype type = (lucid_dtype)t;
                array c = expanded(random_array(LUCID_BOOL, 3, dims, (array_layout)l), mask & 7);
                array a = expanded(random_array(type, 3, dims, (array_layout)l), mask >> 3 & 7);
                array b = expanded(random_array(type, 3, dims, DENSE), mask >> 6);
                array y = array_new(type, 3, dims, (array_layout)l), *out = &y;
                cr_assert(
                    kernel_call(LUCID_OP_where, type, NULL, (array *[]){&c, &a, &b}, 3, &out, 1));
                for (int64_t i = 0; i < array_numel(&y); i++) {
                    double want = array_get(&c, i) ? array_get(&a, i) : array_get(&b, i);
                    double got = array_get(&y, i);
                    cr_assert(got == want || (isnan(got) && isnan(want)));
                }
                array_free_all();
            }
}

/* Integers beyond what a double holds, and powers. */
Test(elementwise, integers)
{
    const int64_t n = 6;
    static const int64_t a[] = {INT64_MAX, INT64_MIN, 3, -1, 1, 2};
    static const int64_t b[] = {1, -1, 39, -3, -5, -1};
    static const int64_t sum[] = {INT64_MIN, INT64_MAX, 42, -4, -4, 1};
    static const int64_t power[] = {INT64_MAX, 0, 4052555153018976267, -1, 1, 0};
    FOR_LEVELS
    {
        array x = array_new(LUCID_I64, 1, &n, DENSE), z = array_new(LUCID_I64, 1, &n, DENSE);
        array y = array_new(LUCID_I64, 1, &n, DENSE), *out = &y, *in[] = {&x, &z};
        memcpy(x.view.data, a, sizeof a);
        memcpy(z.view.data, b, sizeof b);
        kernel_call(LUCID_OP_add, LUCID_I64, NULL, in, 2, &out, 1);
        cr_assert(memcmp(y.view.data, sum, sizeof sum) == 0);
        kernel_call(LUCID_OP_pow, LUCID_I64, NULL, in, 2, &out, 1);
        cr_assert(memcmp(y.view.data, power, sizeof power) == 0);
        array_free_all();
    }
}

static double converted(lucid_dtype to, double x)
{
    const bool fits = x >= -0x1p63 && x < 0x1p63;
    switch (to) {
    case LUCID_I64:
        return fits ? trunc(x) : (double)INT64_MIN;
    case LUCID_I32:
        return x > -0x1p31 - 1 && x < 0x1p31 ? trunc(x) : INT32_MIN;
    case LUCID_U8:
        return fits ? (double)(uint8_t)(int64_t)x : 0;
    default:
        return rounded(to, x);
    }
}

Test(elementwise, cast)
{
    FOR_LEVELS
    for (int f = 0; f < LUCID_DTYPE_COUNT; f++)
        for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (int l = 0; l < LAYOUTS; l++) {
                    const int64_t dims[] = {2, sizes[s] / 2};
                    const lucid_dtype from = (lucid_dtype)f, to = (lucid_dtype)t;
                    array x = random_array(from, 2, dims, (array_layout)l);
                    array y = array_new(to, 2, dims, (array_layout)((l + s) % LAYOUTS));
                    array *in = &x, *out = &y;
                    cr_assert(kernel_call(LUCID_OP_cast, from, NULL, &in, 1, &out, 1));
                    for (int64_t i = 0; i < array_numel(&y); i++) {
                        double v = array_get(&x, i), got = array_get(&y, i);
                        /* integers wrap where they are narrowed: those here are small */
                        double want =
                            lucid_dtype_is_floating(from) ? converted(to, v) : rounded(to, v);
                        cr_assert(got == want || (isnan(got) && isnan(want)),
                                  "%s to %s: %g gives %g, expected %g", lucid_dtype_name(from),
                                  lucid_dtype_name(to), v, got, want);
                    }
                    cr_assert(array_gaps_intact(&y));
                    array_free_all();
                }
}

/* float32.c: the elementwise loops of float; compiled for each level. */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/simd/vmath.h"

#define LUC_DT      f32
#define LUC_C(name) name##f
#include "backends/cpu/elementwise/floating_tmpl.h"

LUC_INLINE LUC_V op_gelu_erf_v(luc_ew_call k, LUC_V x)
{
    (void)k;
    vf density;
    return vf_mul(x, vf_normal(x, &density));
}
UNARY_LOOP(op_gelu_erf)
LUC_INLINE LUC_V op_gelu_half_v(luc_ew_call k, LUC_V x)
{
    (void)k;
    return vf_mul(x, vf_normal_coarse(x));
}
UNARY_LOOP(op_gelu_half)
/* x (1 + tanh u) / 2 = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3); this form keeps its
 * precision where tanh u is near -1. */
LUC_INLINE vf gelu_slope(vf x)
{
    vf cubic = vf_fma(vf_mul(x, x), vf_set1(0.044715f), vf_set1(1.0f));
    return vf_mul(vf_mul(x, vf_set1(1.59576912160573071f)), cubic);
}
LUC_INLINE LUC_V op_gelu_tanh_v(luc_ew_call k, LUC_V x)
{
    (void)k;
    return vf_mul(x, vf_sigmoid(gelu_slope(x)));
}
UNARY_LOOP(op_gelu_tanh)
static void op_gelu(const luc_ew_call *c, int64_t n, void *y, const void *const *in)
{
    (c->p0 != 0 ? op_gelu_tanh : c->half ? op_gelu_half : op_gelu_erf)(c, n, y, in);
}

LUC_INLINE LUC_V op_gelu_erf_backward_v(luc_ew_call k, LUC_V a, LUC_V b)
{
    (void)k;
    vf density, cumulative = vf_normal(b, &density);
    return vf_mul(a, vf_fma(b, density, cumulative));
}
BINARY_LOOP(op_gelu_erf_backward)
LUC_INLINE LUC_V op_gelu_tanh_backward_v(luc_ew_call k, LUC_V a, LUC_V b)
{
    (void)k;
    vf s = vf_sigmoid(gelu_slope(b));
    /* 2 du/dx; the square is kept finite, because s (1 - s) is 0 long before the square
     * overflows */
    vf square = vf_min(vf_mul(b, b), vf_set1(1e30f));
    vf d = vf_fma(square, vf_set1(3 * 0.044715f * 1.59576912160573071f),
                  vf_set1(1.59576912160573071f));
    vf bs = vf_mul(b, vf_mul(s, vf_sub(vf_set1(1.0f), s)));
    return vf_mul(a, vf_fma(bs, d, s));
}
BINARY_LOOP(op_gelu_tanh_backward)
static void op_gelu_backward(const luc_ew_call *c, int64_t n, void *y, const void *const *in)
{
    (c->p0 != 0 ? op_gelu_tanh_backward : op_gelu_erf_backward)(c, n, y, in);
}

static void op_pow(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)
{
    float *y = y_;
    const float *a = in[0], *b = in[1];
    int64_t sa = c->single & 1 ? 0 : 1, sb = c->single & 2 ? 0 : 1;
    for (int64_t i = 0; i < n; i++) y[i] = powf(a[i * sa], b[i * sb]);
}
static void pow_general(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)
{
    float *y = y_;
    const float *x = in[0], exponent = (float)c->p0;
    for (int64_t i = 0; i < n; i++) y[i] = powf(x[i], exponent);
}
static void op_pow_scalar(const luc_ew_call *c, int64_t n, void *y, const void *const *in)
{
    pow_by(pow_general, c, n, y, in);
}

LUC_LEVEL_TABLE(luc_ew_table, luc_ew_f32) = {{
#define UNARY(name, expression)    EW_ENTRY(name)
#define BINARY(name, expression)   EW_ENTRY(name)
#define COMPARE(name, expression)  EW_ENTRY(name)
#define LOOP(name)                 EW_ENTRY(name)
#define LIBRARY(name)              EW_ENTRY(name)
#define LIBRARY2(name, expression) EW_ENTRY(name)
#include "backends/cpu/elementwise/floating.def"
}};
#undef LUC_DT

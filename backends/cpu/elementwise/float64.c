/* float64.c: the elementwise loops of double; compiled for each level. The C library
 * computes powers and gelu, one value at a time. */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/simd/vmath_f64.h"

#define LUC_DT      f64
#define LUC_C(name) name
#include "backends/cpu/elementwise/floating_tmpl.h"

static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}
static double normal_cumulative(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}
static double normal_density(double x)
{
    return 0.39894228040143267794 * exp(-0.5 * x * x);
}
/* gelu's tanh form is x sigmoid(gelu_slope(x)) */
static double gelu_slope(double x)
{
    return 1.59576912160573071176 * (x + 0.044715 * x * x * x);
}
static double gelu_derivative(double x, bool tanh_form)
{
    if (!tanh_form) return normal_cumulative(x) + x * normal_density(x);
    double s = sigmoid(gelu_slope(x));
    /* The square is kept finite, because s (1 - s) is 0 long before the square overflows. */
    double square = fmin(x * x, 1e300);
    return s + x * (s * (1 - s)) * 1.59576912160573071176 * (1 + 3 * 0.044715 * square);
}
EACH(op_gelu, x *(c->p0 != 0 ? sigmoid(gelu_slope(x)) : normal_cumulative(x)))
EACH2(op_gelu_backward, a *gelu_derivative(b, c->p0 != 0))
EACH2(op_pow, pow(a, b))
EACH(pow_general, pow(x, c->p0))

static void op_pow_scalar(const luc_ew_call *c, int64_t n, void *y, const void *const *in)
{
    pow_by(pow_general, c, n, y, in);
}

LUC_LEVEL_TABLE(luc_ew_table, luc_ew_f64) = {{
#define UNARY(name, expression)    EW_ENTRY(name)
#define BINARY(name, expression)   EW_ENTRY(name)
#define COMPARE(name, expression)  EW_ENTRY(name)
#define LOOP(name)                 EW_ENTRY(name)
#define LIBRARY(name)              EW_ENTRY(name)
#define LIBRARY2(name, expression) EW_ENTRY(name)
#include "backends/cpu/elementwise/floating.def"
}};
#undef LUC_DT

/*
 * vmath_f64.h: exp, expm1, log, tanh and sigmoid for vectors of double.
 *
 * The reference level uses the C library. The vector levels use series whose last term is below the
 * last bit. Their errors are at most 1 unit in the last place for exp and log, and 3 for tanh and
 * sigmoid (the largest ones found: 0.96, 0.75, 2.45, 2.11), denormal results included.
 */
#ifndef LUC_VMATH_F64_H
#define LUC_VMATH_F64_H

#include "backends/cpu/simd/simd.h"

#if !LUC_HAS_VECTORS

LUC_INLINE vd vd_exp(vd x)
{
    return exp(x);
}
LUC_INLINE vd vd_expm1(vd x)
{
    return expm1(x);
}
LUC_INLINE vd vd_log(vd x)
{
    return log(x);
}
LUC_INLINE vd vd_tanh(vd x)
{
    return tanh(x);
}
LUC_INLINE vd vd_sigmoid(vd x)
{
    double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

#else

/* p 2^n for whole n in [-2044, 2046], rounded once. */
LUC_INLINE vd vd_scale(vd p, vd n)
{
    vd half = vd_floor(vd_mul(n, vd_set1(0.5)));
    return vd_mul(vd_mul(p, vd_pow2(half)), vd_pow2(vd_sub(n, half)));
}

/* x = n log 2 + r, |r| <= log(2)/2; returns e^r - 1. */
LUC_INLINE vd luc_expm1_reduce(vd x, vd *n)
{
    static const double c[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0,
                               1.0 / 3628800.0,    1.0 / 362880.0,    1.0 / 40320.0,
                               1.0 / 5040.0,       1.0 / 720.0,       1.0 / 120.0,
                               1.0 / 24.0,         1.0 / 6.0,         0.5};
    *n = vd_round(vd_mul(x, vd_set1(0x1.71547652b82fep+0)));
    vd r = vd_fnma(*n, vd_set1(0x1.62e42fefa39efp-1), x);
    r = vd_fnma(*n, vd_set1(0x1.abc9e3b39803fp-56), r);
    vd p = vd_set1(c[0]);
    for (int i = 1; i < (int)(sizeof c / sizeof *c); i++) p = vd_fma(p, r, vd_set1(c[i]));
    return vd_fma(p, vd_mul(r, r), r);
}

LUC_INLINE vd vd_exp(vd x)
{
    /* Beyond these the result is 0 or infinity; a NaN stays, because min and max return b. */
    x = vd_min(vd_set1(710.0), vd_max(vd_set1(-746.0), x));
    vd n, p = luc_expm1_reduce(x, &n);
    return vd_scale(vd_add(p, vd_set1(1.0)), n);
}

/* As vf_expm1. */
LUC_INLINE vd vd_expm1(vd x)
{
    vd n, p = luc_expm1_reduce(vd_min(vd_set1(60.0), vd_max(vd_set1(-60.0), x)), &n);
    vd scale = vd_pow2(n), y = vd_fma(p, scale, vd_sub(scale, vd_set1(1.0)));
    y = vd_select(vd_gt(x, vd_set1(60.0)), vd_exp(x), y);
    return vd_select(vd_eq(x, vd_zero()), x, y); /* the sign of zero, too */
}

LUC_INLINE vd vd_log(vd x)
{
    /* log((1 + s) / (1 - s)) = 2s + s R(s^2) */
    static const double c[] = {2.0 / 23, 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13,
                               2.0 / 11, 2.0 / 9,  2.0 / 7,  2.0 / 5,  2.0 / 3};
    vmd tiny = vd_lt(x, vd_set1(0x1p-1022));
    vd m, e = vd_split(vd_select(tiny, vd_mul(x, vd_set1(0x1p54)), x), &m);
    e = vd_sub(e, vd_select(tiny, vd_set1(54.0), vd_zero()));
    vd f = vd_sub(m, vd_set1(1.0)), s = vd_div(f, vd_add(f, vd_set1(2.0))), z = vd_mul(s, s);
    vd p = vd_set1(c[0]);
    for (int i = 1; i < (int)(sizeof c / sizeof *c); i++) p = vd_fma(p, z, vd_set1(c[i]));
    p = vd_mul(z, p);
    /* log(1 + f) = f - f^2/2 + s (f^2/2 + R), the large parts added last */
    vd h = vd_mul(vd_mul(f, f), vd_set1(0.5));
    vd low = vd_fma(s, vd_add(h, p), vd_mul(e, vd_set1(0x1.ef35793c7673p-45)));
    vd y = vd_fma(e, vd_set1(0x1.62e42fefa38p-1), vd_sub(f, vd_sub(h, low)));
    y = vd_select(vd_eq(x, vd_set1(INFINITY)), x, y);
    y = vd_select(vd_eq(x, vd_zero()), vd_set1(-INFINITY), y);
    return vd_select(vd_ge(x, vd_zero()), y, vd_set1(NAN));
}

LUC_INLINE vd vd_tanh(vd x)
{
    /* with m = e^(2|x|) - 1: m / (m + 2); beyond 20 it is 1 */
    vd a = vd_min(vd_set1(20.0), vd_abs(x)), n, p = luc_expm1_reduce(vd_add(a, a), &n);
    vd scale = vd_pow2(n), m = vd_fma(p, scale, vd_sub(scale, vd_set1(1.0)));
    vd y = vd_div(m, vd_add(m, vd_set1(2.0)));
    /* the sign of zero, too */
    return vd_select(vd_lt(x, vd_zero()), vd_neg(y), vd_select(vd_eq(x, vd_zero()), x, y));
}

LUC_INLINE vd vd_sigmoid(vd x)
{
    vd e = vd_exp(vd_neg(vd_abs(x)));
    vd top = vd_select(vd_lt(x, vd_zero()), e, vd_set1(1.0));
    return vd_div(top, vd_add(e, vd_set1(1.0)));
}

#endif

/* As vf_log1p. */
LUC_INLINE vd vd_log1p(vd x)
{
    const vd one = vd_set1(1.0);
    vd u = vd_add(one, x), lost = vd_sub(x, vd_sub(u, one));
    return vd_add(vd_log(u), vd_div(lost, u));
}

#endif

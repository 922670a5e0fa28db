/*
 * vmath.h: exp, expm1, log, tanh, sigmoid and the normal distribution for vectors of float.
 *
 * The polynomials are minimax fits made for lucid. At the reference level the C library computes in
 * double, and the result is rounded once. The vector levels differ from that by at most 2 units in
 * the last place for exp, log, tanh and sigmoid, denormal results included.
 */
#ifndef LUC_VMATH_H
#define LUC_VMATH_H

#include "backends/cpu/simd/simd.h"

/* The logarithm, with the same bits at every level: every step is one rounding, which all levels
 * make. */
LUC_INLINE vf luc_log_same(vf x)
{
    const vf one = vf_set1(1.0f);
    vm tiny = vf_lt(x, vf_set1(0x1p-126f));
    vf y = vf_select(tiny, vf_mul(x, vf_set1(0x1p23f)), x);
    /* y = 2^e m, m in [sqrt(1/2), sqrt(2)) */
    vi bits = vi_add(vf_bits(y), vi_set1(0x3f800000 - 0x3f3504f3));
    vf e = vi_to_vf(vi_sub(vi_sar(bits, 23), vi_set1(127)));
    e = vf_sub(e, vf_select(tiny, vf_set1(23.0f), vf_zero()));
    vf m = vi_float(vi_add(vi_and(bits, vi_set1(0x7fffff)), vi_set1(0x3f3504f3)));
    vf f = vf_sub(m, one), s = vf_div(f, vf_add(f, vf_set1(2.0f))), z = vf_mul(s, s);
    vf p = vf_set1(0.2361066072f);
    p = vf_fma(p, z, vf_set1(0.2853588453f));
    p = vf_fma(p, z, vf_set1(0.400003562f));
    p = vf_mul(z, vf_fma(p, z, vf_set1(0.6666666556f)));
    /* log(1 + f) = f - f^2/2 + s (f^2/2 + p), the large parts added last */
    vf h = vf_mul(vf_mul(f, f), vf_set1(0.5f));
    vf low = vf_fma(s, vf_add(h, p), vf_mul(e, vf_set1(1.42860682030941723e-6f)));
    vf y2 = vf_fma(e, vf_set1(0x1.62e4p-1f), vf_sub(f, vf_sub(h, low)));
    y2 = vf_select(vf_eq(x, vf_set1(INFINITY)), x, y2);
    y2 = vf_select(vf_eq(x, vf_zero()), vf_set1(-INFINITY), y2);
    return vf_select(vf_ge(x, vf_zero()), y2, vf_set1(NAN));
}

#if !LUC_HAS_VECTORS

LUC_INLINE vf vf_exp(vf x)
{
    return (float)exp((double)x);
}
LUC_INLINE vf vf_expm1(vf x)
{
    return (float)expm1((double)x);
}
LUC_INLINE vf vf_log(vf x)
{
    return (float)log((double)x);
}
LUC_INLINE vf vf_tanh(vf x)
{
    return (float)tanh((double)x);
}
LUC_INLINE vf vf_sigmoid(vf x)
{
    return (float)(1 / (1 + exp(-(double)x)));
}
/* The density of the standard normal distribution and, returned, its cumulative function. */
LUC_INLINE vf vf_normal(vf x, vf *density)
{
    *density = (float)(exp(-0.5 * (double)x * (double)x) * 0.39894228040143267794);
    return (float)(0.5 * erfc(-(double)x * 0.70710678118654752440));
}
LUC_INLINE vf vf_normal_coarse(vf x)
{
    vf density;
    return vf_normal(x, &density);
}

#else

/* 2^n, n in [-126, 127] */
LUC_INLINE vf vf_pow2i(vi n)
{
    return vi_float(vi_shl(vi_add(n, vi_set1(127)), 23));
}

/* p 2^n for any whole n in [-252, 254]: the result may be denormal, and is rounded once. */
LUC_INLINE vf vf_scale(vf p, vf n)
{
#if defined(LUC_VF_SCALE)
    return LUC_VF_SCALE(p, n);
#else
    vi whole = vf_to_vi(n), half = vi_sar(whole, 1);
    return vf_mul(vf_mul(p, vf_pow2i(half)), vf_pow2i(vi_sub(whole, half)));
#endif
}

/* x = n log 2 + r, |r| <= log(2)/2; returns (e^r - 1 - r) / r^2. */
LUC_INLINE vf luc_exp_reduce(vf x, vf *n, vf *r)
{
    *n = vf_round(vf_mul(x, vf_set1(1.44269504088896341f)));
    *r = vf_fnma(*n, vf_set1(0x1.62e4p-1f), x);             /* the upper bits of log 2 */
    *r = vf_fnma(*n, vf_set1(1.42860682030941723e-6f), *r); /* the rest */
    vf p = vf_set1(0.001381314088f);
    p = vf_fma(p, *r, vf_set1(0.008369418935f));
    p = vf_fma(p, *r, vf_set1(0.04166845688f));
    p = vf_fma(p, *r, vf_set1(0.1666651479f));
    return vf_fma(p, *r, vf_set1(0.4999999305f));
}

LUC_INLINE vf vf_exp(vf x)
{
    /* Beyond these the result is 0 or infinity; a NaN stays, because min and max return b. */
    x = vf_min(vf_set1(89.0f), vf_max(vf_set1(-104.0f), x));
    vf n, r, p = luc_exp_reduce(x, &n, &r);
    p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0f));
    return vf_scale(p, n);
}

/* e^x - 1, within 3 units in the last place, with the sign of x. */
LUC_INLINE vf vf_expm1(vf x)
{
    /* With 1 = 2^n 2^-n: (e^r - 1) 2^n + (2^n - 1). Beyond 30 the 1 is too small to count. */
    vf n, r, p = luc_exp_reduce(vf_min(vf_set1(30.0f), vf_max(vf_set1(-30.0f), x)), &n, &r);
    vf scale = vf_pow2i(vf_to_vi(n));
    vf y = vf_fma(vf_fma(p, vf_mul(r, r), r), scale, vf_sub(scale, vf_set1(1.0f)));
    y = vi_float(vi_or(vf_bits(y), vi_and(vf_bits(x), vi_set1(INT32_MIN))));
    return vf_select(vf_gt(x, vf_set1(30.0f)), vf_exp(x), y);
}

LUC_INLINE vf vf_log(vf x)
{
    return luc_log_same(x);
}

LUC_INLINE vf vf_tanh(vf x)
{
    /* with m = e^(2|x|) - 1: m / (m + 2); beyond 9.1 it is 1 */
    vf a = vf_min(vf_set1(9.1f), vf_abs(x));
    vf n, r, p = luc_exp_reduce(vf_add(a, a), &n, &r);
    vf scale = vf_pow2i(vf_to_vi(n));
    vf m = vf_fma(vf_fma(p, vf_mul(r, r), r), scale, vf_sub(scale, vf_set1(1.0f)));
    vf y = vf_div(m, vf_add(m, vf_set1(2.0f)));
    return vi_float(vi_or(vf_bits(y), vi_and(vf_bits(x), vi_set1(INT32_MIN))));
}

LUC_INLINE vf vf_sigmoid(vf x)
{
    vf e = vf_exp(vf_neg(vf_abs(x)));
    vf top = vf_select(vf_lt(x, vf_zero()), e, vf_set1(1.0f));
    return vf_div(top, vf_add(e, vf_set1(1.0f)));
}

/* For a >= 0 the tail of the distribution is density(a) G(a) sqrt(2 pi) / (1 + 2a) with a G that is
 * smooth in t = (a - 4) / (a + 4). */
LUC_INLINE vf vf_normal(vf x, vf *density)
{
    const vf one = vf_set1(1.0f);
    vf a = vf_min(vf_set1(15.0f), vf_abs(x)), sq = vf_mul(a, a);
    vf lost = vf_fma(a, a, vf_neg(sq));
    vf half = vf_mul(sq, vf_set1(-0.5f));
    vf e = vf_exp(half);
    e = vf_fma(e, vf_mul(lost, vf_set1(-0.5f)), e);
    vf u = vf_add(a, vf_set1(4.0f)), w = vf_fma(a, vf_set1(2.0f), one);
    vf inverse = vf_div(one, vf_mul(u, w));
    vf t = vf_mul(vf_mul(vf_sub(a, vf_set1(4.0f)), w), inverse);
    vf g = vf_set1(0.0002565321481f);
    g = vf_fma(g, t, vf_set1(0.001631679068f));
    g = vf_fma(g, t, vf_set1(-0.001486146945f));
    g = vf_fma(g, t, vf_set1(-0.0106203802f));
    g = vf_fma(g, t, vf_set1(0.04443082411f));
    g = vf_fma(g, t, vf_set1(-0.09523080784f));
    g = vf_fma(g, t, vf_set1(0.1289017583f));
    g = vf_fma(g, t, vf_set1(-0.09638234504f));
    g = vf_fma(g, t, vf_set1(-0.02300904058f));
    g = vf_fma(g, t, vf_set1(0.8496957995f));
    vf tail = vf_mul(vf_mul(e, g), vf_mul(u, inverse));
    *density = vf_mul(e, vf_set1(0.39894228040143267794f));
    return vf_select(vf_gt(x, vf_zero()), vf_sub(one, tail), tail);
}

/* The cumulative function to 4e-5 of itself, which is enough for 16-bit types. The tail for a >= 0
 * is 2^(-a^2 / (2 log 2)) times a polynomial in 1 / (1 + 0.38 a). */
LUC_INLINE vf vf_normal_coarse(vf x)
{
    const vf one = vf_set1(1.0f);
    vf a = vf_min(vf_set1(15.0f), vf_abs(x));
    vf z = vf_mul(vf_mul(a, a), vf_set1(-0.72134752044448170f)), n = vf_round(z);
    vf f = vf_sub(z, n), t = vf_div(one, vf_fma(a, vf_set1(0.38f), one));
    vf p = vf_set1(0.00957007597f);
    p = vf_fma(p, f, vf_set1(0.0559178937f));
    p = vf_fma(p, f, vf_set1(0.240247456f));
    p = vf_fma(p, f, vf_set1(0.693121811f));
    p = vf_fma(p, f, vf_set1(0.999999261f));
    vf g = vf_set1(-0.0899270038f);
    g = vf_fma(g, t, vf_set1(0.188873615f));
    g = vf_fma(g, t, vf_set1(0.091981834f));
    g = vf_fma(g, t, vf_set1(0.157828853f));
    g = vf_fma(g, t, vf_set1(0.151225199f));
    vf tail = vf_scale(vf_mul(vf_mul(g, t), p), n);
    return vf_select(vf_gt(x, vf_zero()), vf_sub(one, tail), tail);
}

#endif

/* log(1 + x) for finite x >= 0, within 3 units in the last place. What 1 + x loses of x is added
 * again, so that a small x keeps its digits. */
LUC_INLINE vf vf_log1p(vf x)
{
    const vf one = vf_set1(1.0f);
    vf u = vf_add(one, x), lost = vf_sub(x, vf_sub(u, one));
    return vf_add(vf_log(u), vf_div(lost, u));
}

#endif

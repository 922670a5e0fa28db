/* elementwise_math.h: the functions of activations, by element type. The results of 16-bit types
 * are rounded to 11 or 8 bits, so these types use the fast exponential and quotient, and memory
 * remains their bound. */
#ifndef LUC_CUDA_ELEMENTWISE_MATH_H
#define LUC_CUDA_ELEMENTWISE_MATH_H

#include "backends/cuda/elementwise.h"

namespace luc
{

template <class T> struct is_double {
    enum { value = (int)dtype_of<T>::value == (int)LUCID_F64 };
};

template <class T> __device__ __forceinline__ compute_t<T> exp_of(compute_t<T> x)
{
    if constexpr (is_double<T>::value)
        return exp(x);
    else if constexpr (sizeof(T) == 2)
        return __expf(x);
    else
        return expf(x);
}
/* a / b with b in [1, 2^60] */
template <class T> __device__ __forceinline__ compute_t<T> quotient(compute_t<T> a, compute_t<T> b)
{
    if constexpr (sizeof(T) == 2)
        return __fdividef(a, b);
    else
        return a / b;
}

template <class T> __device__ __forceinline__ compute_t<T> sigmoid(compute_t<T> x)
{
    typedef compute_t<T> C;
    C e = exp_of<T>(x < 0 ? x : -x);
    return quotient<T>(x < 0 ? e : C(1), e + 1);
}

/* The density of the standard normal distribution and, returned, its cumulative function. In float,
 * for a = |x|, the tail is density(a) G(a) sqrt(2 pi) / (1 + 2a) with a G that is smooth in t = (a
 * - 4) / (a + 4), so that it keeps its precision for large a. */
template <class T>
__device__ __forceinline__ compute_t<T> normal(compute_t<T> x, compute_t<T> *density)
{
    if constexpr (is_double<T>::value) {
        *density = 0.39894228040143267794 * exp(-0.5 * x * x);
        return 0.5 * erfc(-x * 0.70710678118654752440);
    } else {
        float a = fabsf(x);
        a = a > 15.0f ? 15.0f : a;
        float sq = a * a, lost = fmaf(a, a, -sq);
        float e = exp_of<T>(-0.5f * sq);
        e = fmaf(e, -0.5f * lost, e);
        float u = a + 4.0f, w = fmaf(a, 2.0f, 1.0f), inverse = quotient<T>(1.0f, u * w);
        float t = (a - 4.0f) * w * inverse;
        float g = 0.0002565321481f;
        g = fmaf(g, t, 0.001631679068f);
        g = fmaf(g, t, -0.001486146945f);
        g = fmaf(g, t, -0.0106203802f);
        g = fmaf(g, t, 0.04443082411f);
        g = fmaf(g, t, -0.09523080784f);
        g = fmaf(g, t, 0.1289017583f);
        g = fmaf(g, t, -0.09638234504f);
        g = fmaf(g, t, -0.02300904058f);
        g = fmaf(g, t, 0.8496957995f);
        float tail = e * g * (u * inverse);
        *density = e * 0.39894228040143267794f;
        return x > 0 ? 1.0f - tail : tail;
    }
}

/* gelu's tanh form, x (1 + tanh v) / 2 = x sigmoid(2v), v = sqrt(2/pi) (x + 0.044715 x^3): this is
 * 2v. It keeps its precision where tanh v is near -1. */
template <class T> __device__ __forceinline__ compute_t<T> gelu_slope(compute_t<T> x)
{
    typedef compute_t<T> C;
    return x * C(1.59576912160573071176) * (x * x * C(0.044715) + 1);
}

template <class T> __device__ __forceinline__ compute_t<T> gelu_erf(compute_t<T> x)
{
    compute_t<T> density;
    return x * normal<T>(x, &density);
}
template <class T> __device__ __forceinline__ compute_t<T> gelu_erf_derivative(compute_t<T> x)
{
    compute_t<T> density, cumulative = normal<T>(x, &density);
    return cumulative + x * density;
}
template <class T> __device__ __forceinline__ compute_t<T> gelu_tanh_derivative(compute_t<T> x)
{
    typedef compute_t<T> C;
    const C most = is_double<T>::value ? C(1e300) : C(1e30f);
    C s = sigmoid<T>(gelu_slope<T>(x));
    /* The square is kept finite, because s (1 - s) is 0 long before the square overflows. */
    C square = x * x;
    square = square > most ? most : square;
    C slope = square * C(3 * 0.044715 * 1.59576912160573071176) + C(1.59576912160573071176);
    return s + x * (s * (1 - s)) * slope;
}
template <class T> __device__ __forceinline__ compute_t<T> silu_derivative(compute_t<T> x)
{
    compute_t<T> s = sigmoid<T>(x);
    return s * (1 + x * (1 - s));
}

/* A NaN stays. */
template <class C> __device__ __forceinline__ C clamp_of(C x, C low, C high)
{
    C y = low > x ? low : x;
    return high < y ? high : y;
}
/* True strictly inside the bounds, and for a NaN if both bounds are absent. */
template <class T, class C>
__device__ __forceinline__ C clamp_backward(C a, C b, const numbers<T> &k)
{
    bool above = k.open_low ? b >= k.a : b > k.a, below = k.open_high ? b <= k.b : b < k.b;
    return above && below ? a : C(0);
}

/* alpha (e^(scale x) - 1) where x <= 0, and its derivative. A NaN lets the gradient pass. */
constexpr double selu_alpha = 1.6732632423543772848, selu_scale = 1.0507009873554804934;
template <class C> __device__ __forceinline__ C elu_of(C x, C alpha, C scale)
{
    return x > 0 ? x : alpha * expm1(scale * x);
}
template <class C> __device__ __forceinline__ C elu_slope(C x, C alpha, C scale)
{
    return x <= 0 ? alpha * scale * exp(scale * x) : C(1);
}
/* With w = e^x and n = w (w + 2), tanh(log(1 + w)) = n / (n + 2). From 40 on this is 1. */
template <class T> __device__ __forceinline__ compute_t<T> mish(compute_t<T> x)
{
    typedef compute_t<T> C;
    const C w = exp_of<T>(x > 40 ? C(40) : x), n = w * (w + 2);
    return x * (n / (n + 2));
}
template <class T> __device__ __forceinline__ compute_t<T> mish_slope(compute_t<T> x)
{
    typedef compute_t<T> C;
    const C low = x > 40 ? C(40) : x, w = exp_of<T>(low), n = w * (w + 2), below = n + 2;
    return n / below + 4 * (low * w) / below * ((w + 1) / below);
}

/* The remainder of a / b that has b's sign. */
template <class C> __device__ __forceinline__ C remainder_of(C a, C b)
{
    const C rest = fmod(a, b);
    return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
}

/* With u = beta x: x where u > threshold, else log(1 + e^u) / beta. */
template <class T>
__device__ __forceinline__ compute_t<T> softplus(compute_t<T> x, const numbers<T> &k)
{
    typedef compute_t<T> C;
    const C u = x * k.a, tail = log1p(exp_of<T>(u < 0 ? u : -u));
    return u > k.b ? x : ((0 > u ? C(0) : u) + tail) / k.a;
}
template <class T>
__device__ __forceinline__ compute_t<T> softplus_backward(compute_t<T> grad, compute_t<T> x,
                                                          const numbers<T> &k)
{
    const compute_t<T> u = x * k.a;
    return u > k.b ? grad : grad * sigmoid<T>(u);
}

/* x^e by squaring; a negative exponent gives the integer part of the quotient, as in PyTorch. */
__device__ inline uint64_t int_pow(uint64_t x, int64_t e, bool is_minus_one)
{
    if (e < 0) {
        if (x == 1) return 1;
        if (is_minus_one) return e % 2 ? x : 1;
        return 0;
    }
    uint64_t y = 1;
    for (; e; e >>= 1, x *= x)
        if (e & 1) y *= x;
    return y;
}

} // namespace luc

#endif

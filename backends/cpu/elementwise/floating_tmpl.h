/*
 * floating_tmpl.h: the loops that are the same for float and double (see simd/template.h). Each of
 * float32.c and float64.c includes it, and adds what differs. LUC_C(name) is the C library's
 * function of the type: sinf or sin.
 */

/* The number of elements before y may be streamed to; 0 if streaming is not wanted. */
LUC_INLINE int64_t stream_head(const luc_ew_call *c, const LUC_T *y, int64_t n)
{
    const uintptr_t vector = LUC_LANES * sizeof(LUC_T), past = (uintptr_t)y & (vector - 1);
    const int64_t head = past ? (int64_t)((vector - past) / sizeof(LUC_T)) : 0;
    return !c->stream ? -1 : head < n ? head : n;
}

/* Makes a loop of a vector function f(k, x) or f(k, a, b). An operand with its bit in `single` is
 * one value for the whole run; this is never true of all operands. */
#define UNARY_LOOP(op)                                                                        \
    static void op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)          \
    {                                                                                         \
        const luc_ew_call k = *c;                                                             \
        LUC_T *y = y_;                                                                        \
        const LUC_T *x = in[0];                                                               \
        int64_t i = 0, head = stream_head(c, y, n);                                           \
        if (head >= 0) {                                                                      \
            if (head > 0) LUC_VO(store_n)(y, op##_v(k, LUC_VO(load_some)(x, head)), head);    \
            for (i = head; i + LUC_LANES <= n; i += LUC_LANES)                                \
                LUC_VO(stream)(y + i, op##_v(k, LUC_VO(load)(x + i)));                        \
        }                                                                                     \
        for (; i + LUC_LANES <= n; i += LUC_LANES)                                            \
            LUC_VO(store)(y + i, op##_v(k, LUC_VO(load)(x + i)));                             \
        if (i < n) LUC_VO(store_n)(y + i, op##_v(k, LUC_VO(load_some)(x + i, n - i)), n - i); \
    }

#define BINARY_LOOP(op)                                                                          \
    LUC_INLINE void op##_run(luc_ew_call k, int64_t n, LUC_T *y, const LUC_T *a, const LUC_T *b, \
                             bool sa, bool sb)                                                   \
    {                                                                                            \
        const LUC_V va = LUC_VO(set1)(*a), vb = LUC_VO(set1)(*b);                                \
        int64_t i = 0, head = stream_head(&k, y, n);                                             \
        if (head >= 0) {                                                                         \
            if (head > 0) {                                                                      \
                LUC_V ta = sa ? va : LUC_VO(load_some)(a, head),                                 \
                      tb = sb ? vb : LUC_VO(load_some)(b, head);                                 \
                LUC_VO(store_n)(y, op##_v(k, ta, tb), head);                                     \
            }                                                                                    \
            for (i = head; i + LUC_LANES <= n; i += LUC_LANES) LUC_VO(stream)                    \
            (y + i, op##_v(k, sa ? va : LUC_VO(load)(a + i), sb ? vb : LUC_VO(load)(b + i)));    \
        }                                                                                        \
        for (; i + LUC_LANES <= n; i += LUC_LANES) LUC_VO(store)                                 \
        (y + i, op##_v(k, sa ? va : LUC_VO(load)(a + i), sb ? vb : LUC_VO(load)(b + i)));        \
        if (i == n) return;                                                                      \
        LUC_V ta = sa ? va : LUC_VO(load_some)(a + i, n - i),                                    \
              tb = sb ? vb : LUC_VO(load_some)(b + i, n - i);                                    \
        LUC_VO(store_n)(y + i, op##_v(k, ta, tb), n - i);                                        \
    }                                                                                            \
    static void op(const luc_ew_call *c, int64_t n, void *y, const void *const *in)              \
    {                                                                                            \
        if (n == 0) return;                                                                      \
        switch (c->single & 3) {                                                                 \
        case 0:                                                                                  \
            op##_run(*c, n, y, in[0], in[1], false, false);                                      \
            return;                                                                              \
        case 1:                                                                                  \
            op##_run(*c, n, y, in[0], in[1], true, false);                                       \
            return;                                                                              \
        default:                                                                                 \
            op##_run(*c, n, y, in[0], in[1], false, true);                                       \
            return;                                                                              \
        }                                                                                        \
    }

#define COMPARE_LOOP(op, expression)                                                 \
    static void op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in) \
    {                                                                                \
        uint8_t *y = y_;                                                             \
        const LUC_T *a_ = in[0], *b_ = in[1];                                        \
        if (n == 0) return;                                                          \
        if (c->single & 1) {                                                         \
            const LUC_T a = *a_;                                                     \
            LUC_IVDEP                                                                \
            for (int64_t i = 0; i < n; i++) {                                        \
                const LUC_T b = b_[i];                                               \
                y[i] = (expression);                                                 \
            }                                                                        \
        } else if (c->single & 2) {                                                  \
            const LUC_T b = *b_;                                                     \
            LUC_IVDEP                                                                \
            for (int64_t i = 0; i < n; i++) {                                        \
                const LUC_T a = a_[i];                                               \
                y[i] = (expression);                                                 \
            }                                                                        \
        } else {                                                                     \
            LUC_IVDEP                                                                \
            for (int64_t i = 0; i < n; i++) {                                        \
                const LUC_T a = a_[i], b = b_[i];                                    \
                y[i] = (expression);                                                 \
            }                                                                        \
        }                                                                            \
    }

static void op_isnan(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)
{
    uint8_t *y = y_;
    const LUC_T *x = in[0];
    (void)c;
    LUC_IVDEP
    for (int64_t i = 0; i < n; i++) y[i] = x[i] != x[i];
}

/* -- expressions of more than a line -- */
#define FIRST  LUC_VO(set1)((LUC_T)k.p0)
#define SECOND LUC_VO(set1)((LUC_T)k.p1)

/* The sign of a NaN is 0, as in PyTorch. */
LUC_INLINE LUC_V sign(LUC_V x)
{
    const LUC_V zero = LUC_VO(zero)();
    LUC_V down = LUC_VO(keep)(LUC_VO(lt)(x, zero), LUC_VO(set1)(-1));
    return LUC_VO(select)(LUC_VO(gt)(x, zero), LUC_VO(set1)(1), down);
}
/* True strictly inside the bounds, and for a NaN if both bounds are absent. */
LUC_INLINE LUC_V clamp_backward(luc_ew_call k, LUC_V a, LUC_V b)
{
    const LUC_V low = LUC_VO(set1)((LUC_T)k.p0), high = LUC_VO(set1)((LUC_T)k.p1);
    LUC_V y = LUC_VO(select)(LUC_VO(gt)(b, low), a, LUC_VO(zero)());
    if (isinf(k.p0)) y = LUC_VO(select)(LUC_VO(ge)(b, low), a, LUC_VO(zero)());
    return isinf(k.p1) ? LUC_VO(select)(LUC_VO(le)(b, high), y, LUC_VO(zero)())
                       : LUC_VO(select)(LUC_VO(lt)(b, high), y, LUC_VO(zero)());
}
LUC_INLINE LUC_V silu_backward(LUC_V a, LUC_V b)
{
    LUC_V s = LUC_VO(sigmoid)(b), one = LUC_VO(set1)(1);
    return LUC_VO(mul)(a, LUC_VO(mul)(s, LUC_VO(fma)(b, LUC_VO(sub)(one, s), one)));
}
/* With u = beta x: x where u > threshold, else log(1 + e^u) / beta. This form neither overflows nor
 * loses the digits of a small e^u. */
LUC_INLINE LUC_V softplus(luc_ew_call k, LUC_V x)
{
    LUC_V u = LUC_VO(mul)(x, FIRST), tail = LUC_VO(log1p)(LUC_VO(exp)(LUC_VO(neg)(LUC_VO(abs)(u))));
    LUC_V y = LUC_VO(div)(LUC_VO(add)(LUC_VO(max)(LUC_VO(zero)(), u), tail), FIRST);
    return LUC_VO(select)(LUC_VO(gt)(u, SECOND), x, y);
}
LUC_INLINE LUC_V softplus_backward(luc_ew_call k, LUC_V a, LUC_V b)
{
    LUC_V u = LUC_VO(mul)(b, FIRST);
    return LUC_VO(select)(LUC_VO(gt)(u, SECOND), a, LUC_VO(mul)(a, LUC_VO(sigmoid)(u)));
}
LUC_INLINE LUC_V leaky_relu(LUC_V slope, LUC_V x)
{
    LUC_V low = LUC_VO(mul)(slope, LUC_VO(min)(LUC_VO(zero)(), x));
    return LUC_VO(select)(LUC_VO(gt)(x, LUC_VO(zero)()), x, low);
}
LUC_INLINE LUC_V leaky_relu_backward(LUC_V slope, LUC_V a, LUC_V b)
{
    LUC_V factor = LUC_VO(select)(LUC_VO(gt)(b, LUC_VO(zero)()), LUC_VO(set1)(1), slope);
    return LUC_VO(mul)(a, factor);
}
/* alpha (e^(scale x) - 1) where x <= 0. The exponent of the other elements is not used, and made 0
 * so that it does not overflow. */
LUC_INLINE LUC_V elu(LUC_V alpha, LUC_V scale, LUC_V x)
{
    LUC_V low = LUC_VO(min)(LUC_VO(zero)(), x);
    low = LUC_VO(mul)(alpha, LUC_VO(expm1)(LUC_VO(mul)(scale, low)));
    return LUC_VO(select)(LUC_VO(gt)(x, LUC_VO(zero)()), x, low);
}
/* A NaN lets the gradient pass, as in PyTorch. */
LUC_INLINE LUC_V elu_backward(LUC_V alpha, LUC_V scale, LUC_V a, LUC_V b)
{
    LUC_V low = LUC_VO(exp)(LUC_VO(mul)(scale, LUC_VO(min)(LUC_VO(zero)(), b)));
    low = LUC_VO(mul)(LUC_VO(mul)(alpha, scale), low);
    return LUC_VO(mul)(a, LUC_VO(select)(LUC_VO(le)(b, LUC_VO(zero)()), low, LUC_VO(set1)(1)));
}
#define SELU_ALPHA LUC_VO(set1)((LUC_T)1.6732632423543772848)
#define SELU_SCALE LUC_VO(set1)((LUC_T)1.0507009873554804934)
/* The gradient is 0 on the bounds and outside, and passes a NaN. */
LUC_INLINE LUC_V hardtanh_backward(luc_ew_call k, LUC_V a, LUC_V b)
{
    LUC_V y = LUC_VO(select)(LUC_VO(le)(b, FIRST), LUC_VO(zero)(), a);
    return LUC_VO(select)(LUC_VO(ge)(b, SECOND), LUC_VO(zero)(), y);
}
LUC_INLINE LUC_V hardsigmoid(LUC_V x)
{
    LUC_V y = LUC_VO(max)(LUC_VO(zero)(), LUC_VO(add)(x, LUC_VO(set1)(3)));
    return LUC_VO(div)(LUC_VO(min)(LUC_VO(set1)(6), y), LUC_VO(set1)(6));
}
LUC_INLINE LUC_V hardsigmoid_backward(LUC_V a, LUC_V b)
{
    LUC_V inside = LUC_VO(div)(a, LUC_VO(set1)(6));
    return LUC_VO(keep)(LUC_VO(lt)(LUC_VO(abs)(b), LUC_VO(set1)(3)), inside);
}
/* 0 up to -3, x / 3 + 1 / 2 between, 1 from 3 on; a NaN lets the gradient pass. */
LUC_INLINE LUC_V hardswish_backward(LUC_V a, LUC_V b)
{
    const LUC_V one = LUC_VO(set1)(1), low = LUC_VO(set1)(-3), high = LUC_VO(set1)(3);
    LUC_V slope = LUC_VO(div)(LUC_VO(max)(low, b), high);
    slope = LUC_VO(add)(slope, LUC_VO(set1)((LUC_T)0.5));
    slope = LUC_VO(mul)(a, LUC_VO(select)(LUC_VO(lt)(b, high), slope, one));
    return LUC_VO(select)(LUC_VO(le)(b, low), LUC_VO(zero)(), slope);
}
/* With w = e^x and n = w (w + 2), tanh(log(1 + w)) = n / (n + 2). From 40 on this is 1. */
LUC_INLINE LUC_V mish(LUC_V x)
{
    const LUC_V two = LUC_VO(set1)(2);
    LUC_V w = LUC_VO(exp)(LUC_VO(min)(LUC_VO(set1)(40), x));
    LUC_V n = LUC_VO(mul)(w, LUC_VO(add)(w, two));
    return LUC_VO(mul)(x, LUC_VO(div)(n, LUC_VO(add)(n, two)));
}
/* n / (n + 2) + 4 x w (w + 1) / (n + 2)^2 */
LUC_INLINE LUC_V mish_backward(LUC_V a, LUC_V b)
{
    const LUC_V one = LUC_VO(set1)(1), two = LUC_VO(set1)(2);
    LUC_V x = LUC_VO(min)(LUC_VO(set1)(40), b), w = LUC_VO(exp)(x);
    LUC_V n = LUC_VO(mul)(w, LUC_VO(add)(w, two)), below = LUC_VO(add)(n, two);
    LUC_V slope = LUC_VO(div)(LUC_VO(mul)(LUC_VO(set1)(4), LUC_VO(mul)(x, w)), below);
    slope = LUC_VO(mul)(slope, LUC_VO(div)(LUC_VO(add)(w, one), below));
    return LUC_VO(mul)(a, LUC_VO(add)(LUC_VO(div)(n, below), slope));
}
/* The remainder of a / b that has b's sign. */
LUC_INLINE LUC_T remainder_of(LUC_T a, LUC_T b)
{
    const LUC_T rest = LUC_C(fmod)(a, b);
    return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
}

/* -- the loops -- */

/* One number at a time. */
#define EACH(op, expression)                                                         \
    static void op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in) \
    {                                                                                \
        LUC_T *y = y_;                                                               \
        const LUC_T *x_ = in[0];                                                     \
        (void)c;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                            \
            const LUC_T x = x_[i];                                                   \
            y[i] = (expression);                                                     \
        }                                                                            \
    }
#define EACH2(op, expression)                                                        \
    static void op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in) \
    {                                                                                \
        LUC_T *y = y_;                                                               \
        const LUC_T *a_ = in[0], *b_ = in[1];                                        \
        int64_t sa = c->single & 1 ? 0 : 1, sb = c->single & 2 ? 0 : 1;              \
        for (int64_t i = 0; i < n; i++) {                                            \
            const LUC_T a = a_[i * sa], b = b_[i * sb];                              \
            y[i] = (expression);                                                     \
        }                                                                            \
    }

#define UNARY(name, expression)                            \
    LUC_INLINE LUC_V op_##name##_v(luc_ew_call k, LUC_V x) \
    {                                                      \
        (void)k;                                           \
        return expression;                                 \
    }                                                      \
    UNARY_LOOP(op_##name)
#define BINARY(name, expression)                                    \
    LUC_INLINE LUC_V op_##name##_v(luc_ew_call k, LUC_V a, LUC_V b) \
    {                                                               \
        (void)k;                                                    \
        return expression;                                          \
    }                                                               \
    BINARY_LOOP(op_##name)

UNARY(cube, LUC_VO(mul)(LUC_VO(mul)(x, x), x))
UNARY(one, ((void)x, LUC_VO(set1)(1)))

#define COMPARE(name, expression)  COMPARE_LOOP(op_##name, expression)
#define LIBRARY(name)              EACH(op_##name, LUC_C(name)(x))
#define LIBRARY2(name, expression) EACH2(op_##name, expression)
#include "backends/cpu/elementwise/floating.def"

/* pow_scalar for exponents that have a simpler form, and `general` for the others. */
static void pow_by(luc_ew_fn general, const luc_ew_call *c, int64_t n, void *y,
                   const void *const *in)
{
    static const struct {
        double exponent;
        luc_ew_fn fn;
    } simple[] = {{0, op_one},  {0.5, op_sqrt},      {2, op_square},
                  {3, op_cube}, {-1, op_reciprocal}, {-0.5, op_rsqrt}};
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
        if (c->p0 == simple[i].exponent) {
            simple[i].fn(c, n, y, in);
            return;
        }
    }
    general(c, n, y, in);
}

/* The entries of the table; it stands at the end of the including file. */
#define EW_ENTRY(name) [LUCID_OP_##name] = op_##name,

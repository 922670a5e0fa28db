/*
 * floating_tmpl.h: the loops that are the same for float and double. The including file defines
 * T (the type), V (its vector), LANES and F(name), which names a vector function of simd/simd.h.
 */

/* The number of elements before y may be streamed to; 0 if streaming is not wanted. */
LUC_INLINE int64_t stream_head(const luc_ew_call *c, const T *y, int64_t n)
{
    const uintptr_t vector = LANES * sizeof(T), past = (uintptr_t)y & (vector - 1);
    const int64_t head = past ? (int64_t)((vector - past) / sizeof(T)) : 0;
    return !c->stream ? -1 : head < n ? head : n;
}

/* Makes a loop of a vector function f(k, x) or f(k, a, b). An operand with its bit in `single` is
 * one value for the whole run; this is never true of all operands. */
#define UNARY_LOOP(op)                                                                 \
    static void op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)   \
    {                                                                                  \
        const luc_ew_call k = *c;                                                      \
        T *y = y_;                                                                     \
        const T *x = in[0];                                                            \
        int64_t i = 0, head = stream_head(c, y, n);                                    \
        if (head >= 0) {                                                               \
            if (head > 0) F(store_n)(y, op##_v(k, F(load_some)(x, head)), head);       \
            for (i = head; i + LANES <= n; i += LANES)                                 \
                F(stream)(y + i, op##_v(k, F(load)(x + i)));                           \
        }                                                                              \
        for (; i + LANES <= n; i += LANES) F(store)(y + i, op##_v(k, F(load)(x + i))); \
        if (i < n) F(store_n)(y + i, op##_v(k, F(load_some)(x + i, n - i)), n - i);    \
    }

#define BINARY_LOOP(op)                                                                          \
    LUC_INLINE void op##_run(luc_ew_call k, int64_t n, T *y, const T *a, const T *b, bool sa,    \
                             bool sb)                                                            \
    {                                                                                            \
        const V va = F(set1)(*a), vb = F(set1)(*b);                                              \
        int64_t i = 0, head = stream_head(&k, y, n);                                             \
        if (head >= 0) {                                                                         \
            if (head > 0) {                                                                      \
                V ta = sa ? va : F(load_some)(a, head), tb = sb ? vb : F(load_some)(b, head);    \
                F(store_n)(y, op##_v(k, ta, tb), head);                                          \
            }                                                                                    \
            for (i = head; i + LANES <= n; i += LANES)                                           \
                F(stream)(y + i, op##_v(k, sa ? va : F(load)(a + i), sb ? vb : F(load)(b + i))); \
        }                                                                                        \
        for (; i + LANES <= n; i += LANES)                                                       \
            F(store)(y + i, op##_v(k, sa ? va : F(load)(a + i), sb ? vb : F(load)(b + i)));      \
        if (i == n) return;                                                                      \
        V ta = sa ? va : F(load_some)(a + i, n - i), tb = sb ? vb : F(load_some)(b + i, n - i);  \
        F(store_n)(y + i, op##_v(k, ta, tb), n - i);                                             \
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
        const T *a_ = in[0], *b_ = in[1];                                            \
        if (n == 0) return;                                                          \
        if (c->single & 1) {                                                         \
            const T a = *a_;                                                         \
            LUC_IVDEP                                                                \
            for (int64_t i = 0; i < n; i++) {                                        \
                const T b = b_[i];                                                   \
                y[i] = (expression);                                                 \
            }                                                                        \
        } else if (c->single & 2) {                                                  \
            const T b = *b_;                                                         \
            LUC_IVDEP                                                                \
            for (int64_t i = 0; i < n; i++) {                                        \
                const T a = a_[i];                                                   \
                y[i] = (expression);                                                 \
            }                                                                        \
        } else {                                                                     \
            LUC_IVDEP                                                                \
            for (int64_t i = 0; i < n; i++) {                                        \
                const T a = a_[i], b = b_[i];                                        \
                y[i] = (expression);                                                 \
            }                                                                        \
        }                                                                            \
    }

static void op_isnan(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)
{
    uint8_t *y = y_;
    const T *x = in[0];
    (void)c;
    LUC_IVDEP
    for (int64_t i = 0; i < n; i++) y[i] = x[i] != x[i];
}

/* -- expressions of more than a line -- */
#define FIRST  F(set1)((T)k.p0)
#define SECOND F(set1)((T)k.p1)

/* The sign of a NaN is 0, as in PyTorch. */
LUC_INLINE V sign(V x)
{
    const V zero = F(zero)();
    V down = F(keep)(F(lt)(x, zero), F(set1)(-1));
    return F(select)(F(gt)(x, zero), F(set1)(1), down);
}
/* True strictly inside the bounds, and for a NaN if both bounds are absent. */
LUC_INLINE V clamp_backward(luc_ew_call k, V a, V b)
{
    const V low = F(set1)((T)k.p0), high = F(set1)((T)k.p1);
    V y = F(select)(F(gt)(b, low), a, F(zero)());
    if (isinf(k.p0)) y = F(select)(F(ge)(b, low), a, F(zero)());
    return isinf(k.p1) ? F(select)(F(le)(b, high), y, F(zero)())
                       : F(select)(F(lt)(b, high), y, F(zero)());
}
LUC_INLINE V silu_backward(V a, V b)
{
    V s = F(sigmoid)(b), one = F(set1)(1);
    return F(mul)(a, F(mul)(s, F(fma)(b, F(sub)(one, s), one)));
}
/* With u = beta x: x where u > threshold, else log(1 + e^u) / beta. This form neither overflows nor
 * loses the digits of a small e^u. */
LUC_INLINE V softplus(luc_ew_call k, V x)
{
    V u = F(mul)(x, FIRST), tail = F(log1p)(F(exp)(F(neg)(F(abs)(u))));
    V y = F(div)(F(add)(F(max)(F(zero)(), u), tail), FIRST);
    return F(select)(F(gt)(u, SECOND), x, y);
}
LUC_INLINE V softplus_backward(luc_ew_call k, V a, V b)
{
    V u = F(mul)(b, FIRST);
    return F(select)(F(gt)(u, SECOND), a, F(mul)(a, F(sigmoid)(u)));
}

/* -- the loops -- */

#define UNARY(name, expression)                    \
    LUC_INLINE V op_##name##_v(luc_ew_call k, V x) \
    {                                              \
        (void)k;                                   \
        return expression;                         \
    }                                              \
    UNARY_LOOP(op_##name)
#define BINARY(name, expression)                        \
    LUC_INLINE V op_##name##_v(luc_ew_call k, V a, V b) \
    {                                                   \
        (void)k;                                        \
        return expression;                              \
    }                                                   \
    BINARY_LOOP(op_##name)

UNARY(cube, F(mul)(F(mul)(x, x), x))
UNARY(one, ((void)x, F(set1)(1)))

#define COMPARE(name, expression) COMPARE_LOOP(op_##name, expression)
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

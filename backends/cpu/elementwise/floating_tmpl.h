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
#define UNARY(op)                                                                      \
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

#define BINARY(op)                                                                               \
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

#define COMPARE(op, expression)                                                      \
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

COMPARE(op_eq, a == b)
COMPARE(op_ne, a != b)
COMPARE(op_lt, a < b)
COMPARE(op_le, a <= b)
COMPARE(op_gt, a > b)
COMPARE(op_ge, a >= b)

static void op_isnan(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)
{
    uint8_t *y = y_;
    const T *x = in[0];
    (void)c;
    LUC_IVDEP
    for (int64_t i = 0; i < n; i++) y[i] = x[i] != x[i];
}

/* -- one tensor -- */
#define UNARY_V(op)  LUC_INLINE V op##_v(luc_ew_call k, V x)
#define BINARY_V(op) LUC_INLINE V op##_v(luc_ew_call k, V a, V b)

UNARY_V(op_neg)
{
    (void)k;
    return F(neg)(x);
}
UNARY(op_neg)
UNARY_V(op_abs)
{
    (void)k;
    return F(abs)(x);
}
UNARY(op_abs)
/* sign of a NaN is 0, as in PyTorch */
UNARY_V(op_sign)
{
    (void)k;
    const V zero = F(zero)();
    V down = F(keep)(F(lt)(x, zero), F(set1)(-1));
    return F(select)(F(gt)(x, zero), F(set1)(1), down);
}
UNARY(op_sign)
UNARY_V(op_sqrt)
{
    (void)k;
    return F(sqrt)(x);
}
UNARY(op_sqrt)
UNARY_V(op_rsqrt)
{
    (void)k;
    return F(div)(F(set1)(1), F(sqrt)(x));
}
UNARY(op_rsqrt)
UNARY_V(op_square)
{
    (void)k;
    return F(mul)(x, x);
}
UNARY(op_square)
UNARY_V(op_reciprocal)
{
    (void)k;
    return F(div)(F(set1)(1), x);
}
UNARY(op_reciprocal)
/* max returns its second argument if they are equal or one is a NaN, so relu(-0) is -0 as in
 * PyTorch */
UNARY_V(op_relu)
{
    (void)k;
    return F(max)(F(zero)(), x);
}
UNARY(op_relu)
UNARY_V(op_clamp)
{
    return F(min)(F(set1)((T)k.p1), F(max)(F(set1)((T)k.p0), x));
}
UNARY(op_clamp)
UNARY_V(op_add_scalar)
{
    return F(add)(x, F(set1)((T)k.p0));
}
UNARY(op_add_scalar)
UNARY_V(op_mul_scalar)
{
    return F(mul)(x, F(set1)((T)k.p0));
}
UNARY(op_mul_scalar)
UNARY_V(op_cube)
{
    (void)k;
    return F(mul)(F(mul)(x, x), x);
}
UNARY(op_cube)
UNARY_V(op_one)
{
    (void)k;
    (void)x;
    return F(set1)(1);
}
UNARY(op_one)

/* -- two tensors -- */
BINARY_V(op_add)
{
    (void)k;
    return F(add)(a, b);
}
BINARY(op_add)
BINARY_V(op_sub)
{
    (void)k;
    return F(sub)(a, b);
}
BINARY(op_sub)
BINARY_V(op_mul)
{
    (void)k;
    return F(mul)(a, b);
}
BINARY(op_mul)
BINARY_V(op_div)
{
    (void)k;
    return F(div)(a, b);
}
BINARY(op_div)
/* A NaN on either side wins; of equal numbers (0 and -0) the first one wins. */
BINARY_V(op_minimum)
{
    (void)k;
    return F(select)(F(isnan)(b), b, F(min)(b, a));
}
BINARY(op_minimum)
BINARY_V(op_maximum)
{
    (void)k;
    return F(select)(F(isnan)(b), b, F(max)(b, a));
}
BINARY(op_maximum)

/* -- derivatives: a is the gradient of the output -- */
BINARY_V(op_tanh_backward)
{
    (void)k;
    return F(mul)(a, F(fnma)(b, b, F(set1)(1)));
}
BINARY(op_tanh_backward)
BINARY_V(op_sigmoid_backward)
{
    (void)k;
    return F(mul)(a, F(mul)(F(sub)(F(set1)(1), b), b));
}
BINARY(op_sigmoid_backward)
/* A NaN in b lets the gradient pass, as in PyTorch. */
BINARY_V(op_relu_backward)
{
    (void)k;
    return F(select)(F(le)(b, F(zero)()), F(zero)(), a);
}
BINARY(op_relu_backward)
/* True strictly inside the bounds, and for a NaN if both bounds are absent. */
BINARY_V(op_clamp_backward)
{
    const V low = F(set1)((T)k.p0), high = F(set1)((T)k.p1);
    V y = F(select)(F(gt)(b, low), a, F(zero)());
    if (isinf(k.p0)) y = F(select)(F(ge)(b, low), a, F(zero)());
    return isinf(k.p1) ? F(select)(F(le)(b, high), y, F(zero)())
                       : F(select)(F(lt)(b, high), y, F(zero)());
}
BINARY(op_clamp_backward)

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

/* The entries of the table that this file provides. */
#define EW_COMMON                                                                                  \
    [LUCID_OP_neg] = op_neg, [LUCID_OP_abs] = op_abs, [LUCID_OP_sign] = op_sign,                   \
    [LUCID_OP_sqrt] = op_sqrt, [LUCID_OP_rsqrt] = op_rsqrt, [LUCID_OP_square] = op_square,         \
    [LUCID_OP_reciprocal] = op_reciprocal, [LUCID_OP_relu] = op_relu, [LUCID_OP_clamp] = op_clamp, \
    [LUCID_OP_add_scalar] = op_add_scalar, [LUCID_OP_mul_scalar] = op_mul_scalar,                  \
    [LUCID_OP_isnan] = op_isnan, [LUCID_OP_tanh_backward] = op_tanh_backward,                      \
    [LUCID_OP_sigmoid_backward] = op_sigmoid_backward,                                             \
    [LUCID_OP_relu_backward] = op_relu_backward, [LUCID_OP_clamp_backward] = op_clamp_backward,    \
    [LUCID_OP_add] = op_add, [LUCID_OP_sub] = op_sub, [LUCID_OP_mul] = op_mul,                     \
    [LUCID_OP_div] = op_div, [LUCID_OP_minimum] = op_minimum, [LUCID_OP_maximum] = op_maximum,     \
    [LUCID_OP_eq] = op_eq, [LUCID_OP_ne] = op_ne, [LUCID_OP_lt] = op_lt, [LUCID_OP_le] = op_le,    \
    [LUCID_OP_gt] = op_gt, [LUCID_OP_ge] = op_ge

/* integers.c: the elementwise loops of integers and bool, in plain C; compiled for each
 * level. Sums and products wrap around. */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/simd/simd.h"

#include <string.h>

/* x^e by squaring; a negative exponent gives the integer part of the quotient, as in PyTorch. */
static uint64_t int_pow(uint64_t x, int64_t e, bool is_minus_one)
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

/* A bound or scalar in the integer type: infinite bounds become the limits of the type. */
static int64_t bounded(double x, int64_t low, int64_t high)
{
    if (!(x > (double)low)) return low;
    return x >= (double)high ? high : (int64_t)x;
}

#define UNARY(T, op, expression)                                                                  \
    static void T##_##op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)        \
    {                                                                                             \
        T##_type *y = y_;                                                                         \
        const T##_type *x_ = in[0];                                                               \
        const int64_t s = bounded(c->p0, T##_min, T##_max), t = bounded(c->p1, T##_min, T##_max); \
        const int64_t w = bounded(c->p0, INT64_MIN, INT64_MAX);                                   \
        (void)s, (void)t, (void)w;                                                                \
        LUC_IVDEP                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                         \
            const T##_type x = x_[i];                                                             \
            y[i] = (T##_type)(expression);                                                        \
        }                                                                                         \
    }

#define BINARY_TO(T, R, op, expression)                                                    \
    static void T##_##op(const luc_ew_call *c, int64_t n, void *y_, const void *const *in) \
    {                                                                                      \
        R *y = y_;                                                                         \
        const T##_type *a_ = in[0], *b_ = in[1];                                           \
        if (c->single & 1) {                                                               \
            const T##_type a = *a_;                                                        \
            LUC_IVDEP                                                                      \
            for (int64_t i = 0; i < n; i++) {                                              \
                const T##_type b = b_[i];                                                  \
                y[i] = (R)(expression);                                                    \
            }                                                                              \
        } else if (c->single & 2) {                                                        \
            const T##_type b = *b_;                                                        \
            LUC_IVDEP                                                                      \
            for (int64_t i = 0; i < n; i++) {                                              \
                const T##_type a = a_[i];                                                  \
                y[i] = (R)(expression);                                                    \
            }                                                                              \
        } else {                                                                           \
            LUC_IVDEP                                                                      \
            for (int64_t i = 0; i < n; i++) {                                              \
                const T##_type a = a_[i], b = b_[i];                                       \
                y[i] = (R)(expression);                                                    \
            }                                                                              \
        }                                                                                  \
    }
#define BINARY(T, op, expression)  BINARY_TO(T, T##_type, op, expression)
#define COMPARE(T, op, expression) BINARY_TO(T, uint8_t, op, expression)

#define U(x) ((uint64_t)(x))
#define POWERS(T)                                                                                  \
    static void T##_pow(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)          \
    {                                                                                              \
        T##_type *y = y_;                                                                          \
        const T##_type *a = in[0], *b = in[1];                                                     \
        const int64_t sa = c->single & 1 ? 0 : 1, sb = c->single & 2 ? 0 : 1;                      \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = (T##_type)int_pow(U(a[i * sa]), b[i * sb], (int64_t)a[i * sa] == -1);           \
    }                                                                                              \
    static void T##_pow_scalar(const luc_ew_call *c, int64_t n, void *y_, const void *const *in)   \
    {                                                                                              \
        T##_type *y = y_;                                                                          \
        const T##_type *x = in[0];                                                                 \
        const int64_t e = bounded(c->p0, INT64_MIN, INT64_MAX);                                    \
        for (int64_t i = 0; i < n; i++) y[i] = (T##_type)int_pow(U(x[i]), e, (int64_t)x[i] == -1); \
    }
#define ALL_BUT_BOOL(T)                                 \
    UNARY(T, neg, 0 - U(x))                             \
    UNARY(T, abs, U(x) >> 63 ? 0 - U(x) : U(x))         \
    UNARY(T, sign, (x > 0) - (int)(U(x) >> 63))         \
    UNARY(T, square, U(x) * U(x))                       \
    UNARY(T, relu, x > 0 ? x : 0)                       \
    UNARY(T, clamp, x > t || s > t ? t : x < s ? s : x) \
    UNARY(T, add_scalar, U(x) + U(w))                   \
    UNARY(T, mul_scalar, U(x) * U(w))                   \
    POWERS(T)                                           \
    BINARY(T, add, U(a) + U(b))                         \
    BINARY(T, sub, U(a) - U(b))                         \
    BINARY(T, mul, U(a) * U(b))                         \
    COMMON(T)
#define COMMON(T)                           \
    BINARY(T, minimum, b < a ? b : a)       \
    BINARY(T, maximum, b > a ? b : a)       \
    BINARY(T, relu_backward, b > 0 ? a : 0) \
    COMPARE(T, eq, a == b)                  \
    COMPARE(T, ne, a != b)                  \
    COMPARE(T, lt, a < b)                   \
    COMPARE(T, le, a <= b)                  \
    COMPARE(T, gt, a > b)                   \
    COMPARE(T, ge, a >= b)

typedef int64_t i64_type;
typedef int32_t i32_type;
typedef uint8_t u8_type, b8_type;
static const int64_t i64_min = INT64_MIN, i64_max = INT64_MAX;
static const int64_t i32_min = INT32_MIN, i32_max = INT32_MAX;
static const int64_t u8_min = 0, u8_max = UINT8_MAX, b8_min = 0, b8_max = 1;

ALL_BUT_BOOL(i64)
ALL_BUT_BOOL(i32)
ALL_BUT_BOOL(u8)
COMMON(b8)
BINARY(b8, add, a | b)
BINARY(b8, mul, a &b)
BINARY(b8, pow, a | !b)
UNARY(b8, square, x)
UNARY(b8, clamp, x > t || s > t ? t : x < s ? s : x)

/* No integer is a NaN. */
static void none(const luc_ew_call *c, int64_t n, void *y, const void *const *in)
{
    (void)c;
    (void)in;
    memset(y, 0, (size_t)n);
}

#define TABLE_COMMON(T)                                                                           \
    [LUCID_OP_minimum] = T##_minimum, [LUCID_OP_maximum] = T##_maximum,                           \
    [LUCID_OP_relu_backward] = T##_relu_backward, [LUCID_OP_eq] = T##_eq, [LUCID_OP_ne] = T##_ne, \
    [LUCID_OP_lt] = T##_lt, [LUCID_OP_le] = T##_le, [LUCID_OP_gt] = T##_gt,                       \
    [LUCID_OP_ge] = T##_ge, [LUCID_OP_add] = T##_add, [LUCID_OP_mul] = T##_mul,                   \
    [LUCID_OP_pow] = T##_pow, [LUCID_OP_square] = T##_square, [LUCID_OP_clamp] = T##_clamp,       \
    [LUCID_OP_isnan] = none
#define TABLE(T)                                                                       \
    TABLE_COMMON(T), [LUCID_OP_neg] = T##_neg, [LUCID_OP_abs] = T##_abs,               \
                     [LUCID_OP_sign] = T##_sign, [LUCID_OP_relu] = T##_relu,           \
                     [LUCID_OP_sub] = T##_sub, [LUCID_OP_add_scalar] = T##_add_scalar, \
                     [LUCID_OP_mul_scalar] = T##_mul_scalar,                           \
                     [LUCID_OP_pow_scalar] = T##_pow_scalar

LUC_LEVEL_TABLE(luc_ew_table, luc_ew_i64) = {{TABLE(i64)}};
LUC_LEVEL_TABLE(luc_ew_table, luc_ew_i32) = {{TABLE(i32)}};
LUC_LEVEL_TABLE(luc_ew_table, luc_ew_u8) = {{TABLE(u8)}};
/* abs, sign and relu of a bool are the bool itself, which is also its square */
LUC_LEVEL_TABLE(luc_ew_table, luc_ew_bool) = {{
    TABLE_COMMON(b8),
    [LUCID_OP_abs] = b8_square,
    [LUCID_OP_sign] = b8_square,
    [LUCID_OP_relu] = b8_square,
}};

#define WHERE(bits)                                                                               \
    LUC_INLINE void where##bits##_run(int64_t n, uint##bits##_t *y, const uint8_t *c, int64_t sc, \
                                      const uint##bits##_t *a, int64_t sa,                        \
                                      const uint##bits##_t *b, int64_t sb)                        \
    {                                                                                             \
        LUC_IVDEP                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                         \
            uint##bits##_t yes = a[i * sa], no = b[i * sb];                                       \
            y[i] = c[i * sc] ? yes : no;                                                          \
        }                                                                                         \
    }                                                                                             \
    static void where##bits(const luc_ew_call *k, int64_t n, void *y, const void *const *in)      \
    {                                                                                             \
        switch (k->single) {                                                                      \
        case 0:                                                                                   \
            where##bits##_run(n, y, in[0], 1, in[1], 1, in[2], 1);                                \
            break;                                                                                \
        case 2:                                                                                   \
            where##bits##_run(n, y, in[0], 1, in[1], 0, in[2], 1);                                \
            break;                                                                                \
        case 4:                                                                                   \
            where##bits##_run(n, y, in[0], 1, in[1], 1, in[2], 0);                                \
            break;                                                                                \
        case 6:                                                                                   \
            where##bits##_run(n, y, in[0], 1, in[1], 0, in[2], 0);                                \
            break;                                                                                \
        default:                                                                                  \
            where##bits##_run(n, y, in[0], !(k->single & 1), in[1], !(k->single & 2), in[2],      \
                              !(k->single & 4));                                                  \
        }                                                                                         \
    }
WHERE(8)
WHERE(16)
WHERE(32)
WHERE(64)
LUC_LEVEL_TABLE(luc_ew_where_table, luc_ew_where) = {{where8, where16, where32, where64}};

/* -- stores around the cache -- */
static void stream_copy(void *dst, const void *src, size_t bytes)
{
    char *d = dst;
    const char *s = src;
    const size_t step = LUC_VF * sizeof(float);
    size_t head = (size_t)(-(uintptr_t)d) & (step - 1);
    if (head > bytes) head = bytes;
    memcpy(d, s, head);
    size_t i = head;
    for (; i + step <= bytes; i += step)
        vf_stream((float *)(void *)(d + i), vf_load((const float *)(const void *)(s + i)));
    memcpy(d + i, s + i, bytes - i);
}
static void stream_fence(void)
{
    luc_stream_fence();
}

static void repeat(void *y, const void *value, int64_t n, size_t size)
{
    /* eight bytes of it, and from them a vector: no arithmetic touches these bits */
    uint64_t bits = 0;
    double pattern;
    memcpy(&bits, value, size);
    for (size_t filled = size; filled < sizeof bits; filled *= 2) bits |= bits << 8 * filled;
    memcpy(&pattern, &bits, sizeof bits);
    const vd vector = vd_set1(pattern);
    const int64_t step = (int64_t)sizeof vector, bytes = n * (int64_t)size;
    for (int64_t i = 0; i < bytes; i += step) memcpy((char *)y + i, &vector, sizeof vector);
}
LUC_LEVEL_TABLE(luc_stream_table, luc_stream) = {stream_copy, stream_fence, repeat};

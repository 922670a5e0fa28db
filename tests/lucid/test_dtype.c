/* Element types: sizes, names, promotion and the 16-bit conversions. */
#include "lucid/core/dtype.h"
#include "tests/reference/vectors.h"
#include "tests/testing.h"

Test(dtype, table)
{
    static const struct {
        lucid_dtype dtype;
        const char *name;
        size_t size;
        bool floating;
    } rows[] = {{LUCID_F32, "float32", 4, true},
                {LUCID_F64, "float64", 8, true},
                {LUCID_F16, "float16", 2, true},
                {LUCID_BF16, "bfloat16", 2, true},
                {LUCID_I64, "int64", 8, false},
                {LUCID_I32, "int32", 4, false},
                {LUCID_U8, "uint8", 1, false},
                {LUCID_BOOL, "bool", 1, false},
                {LUCID_DTYPE_COUNT, "no dtype", 0, false},
                {(lucid_dtype)77, "no dtype", 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect(strcmp(lucid_dtype_name(rows[i].dtype), rows[i].name) == 0);
        cr_expect(lucid_dtype_size(rows[i].dtype) == rows[i].size);
        cr_expect(lucid_dtype_is_floating(rows[i].dtype) == rows[i].floating);
    }
}

/* Two tensors with dimensions: there the result depends on the types alone. */
Test(dtype, promotion_as_in_pytorch)
{
    vectors *v = vectors_open("promotion");
    int cases = 0;
    for (const vectors_case *c; (c = vectors_next(v));) {
        if (strcmp(vectors_get(c, "op"), "add") != 0 || strcmp(vectors_get(c, "a_dim"), "1") != 0 ||
            strcmp(vectors_get(c, "b_dim"), "1") != 0)
            continue;
        const char *a = vectors_get(c, "a"), *b = vectors_get(c, "b"), *out = vectors_get(c, "out");
        lucid_dtype got = lucid_promote_types(vectors_dtype(a), vectors_dtype(b));
        cr_expect(got == vectors_dtype(out), "%s + %s: expected %s, got %s", a, b, out,
                  lucid_dtype_name(got));
        cases++;
    }
    cr_expect(cases == LUCID_DTYPE_COUNT * LUCID_DTYPE_COUNT, "%d cases", cases);
    vectors_close(v);
}

Test(dtype, promotion_of_what_is_no_dtype)
{
    cr_expect(lucid_promote_types(LUCID_F32, LUCID_DTYPE_COUNT) == LUCID_DTYPE_COUNT);
    cr_expect(lucid_promote_types((lucid_dtype)99, LUCID_F32) == LUCID_DTYPE_COUNT);
}

/* The value of 16 bits, from the definition of the format. */
static double value_of(uint16_t bits, int exponent_bits, int mantissa_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    int e = bits >> mantissa_bits & top, m = bits & ((1 << mantissa_bits) - 1);
    double sign = bits & 0x8000 ? -1 : 1;
    if (e == top) return m ? NAN : sign * INFINITY;
    if (e == 0) return sign * ldexp(m, 1 - bias - mantissa_bits);
    return sign * ldexp(m + (1 << mantissa_bits), e - bias - mantissa_bits);
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void every_value(int exponent_bits, int mantissa_bits, float (*widen)(uint16_t),
                        uint16_t (*narrow)(float))
{
    for (uint32_t i = 0; i <= 0xffff; i++) {
        uint16_t bits = (uint16_t)i;
        double want = value_of(bits, exponent_bits, mantissa_bits);
        float got = widen(bits);
        if (isnan(want)) {
            cr_assert(isnan(got), "%04x", bits);
            uint16_t back = narrow(got);
            cr_assert(isnan(value_of(back, exponent_bits, mantissa_bits)), "%04x", bits);
            cr_assert((back & 0x8000) == (bits & 0x8000), "%04x: the sign of a NaN", bits);
            continue;
        }
        cr_assert((double)got == want && !signbit(got) == !signbit(want), "%04x: %g, %g", bits,
                  (double)got, want);
        cr_assert(narrow(got) == bits, "%04x comes back as %04x", bits, narrow(got));
    }
}

Test(dtype, every_f16_comes_back)
{
    every_value(5, 10, lucid_f16_to_f32, lucid_f32_to_f16);
}

Test(dtype, every_bf16_comes_back)
{
    every_value(8, 7, lucid_bf16_to_f32, lucid_f32_to_bf16);
}

/* Slow rounding to nearest, ties to even: the neighbours by bisection, compared in double, where
 * all of this is exact. */
static uint16_t round_slowly(float x, int exponent_bits, int mantissa_bits)
{
    uint16_t sign = signbit(x) ? 0x8000 : 0,
             infinity = (uint16_t)(((1 << exponent_bits) - 1) << mantissa_bits);
    double a = fabs((double)x);
    uint16_t low = 0, high = infinity; /* value(low) <= a < value(high) */
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (value_of(middle, exponent_bits, mantissa_bits) <= a)
            low = middle;
        else
            high = middle;
    }
    double below = value_of(low, exponent_bits, mantissa_bits);
    /* Where infinity is the neighbour, it stands for the next power of two. */
    double above =
        high == infinity
            ? below + (below - value_of((uint16_t)(low - 1), exponent_bits, mantissa_bits))
            : value_of(high, exponent_bits, mantissa_bits);
    double down = a - below, up = above - a;
    bool take_low = down < up || (down == up && low % 2 == 0);
    return (uint16_t)(sign | (take_low ? low : high));
}

static void rounding(int exponent_bits, int mantissa_bits, uint16_t (*narrow)(float))
{
    /* Every exponent and sign, and mantissas around the ties, then a walk over all floats. */
    for (uint32_t top = 0; top < 512; top++) {
        for (uint32_t m = 0; m < 4096; m++) {
            uint32_t spread = m & 1 ? m >> 1 : (m >> 1) << 12;
            for (int32_t d = -1; d <= 1; d++) {
                uint32_t u = top << 23 | ((spread + (uint32_t)d) & 0x7fffff);
                if ((u & 0x7fffffff) > 0x7f800000) continue;
                float x = float_of(u);
                uint16_t want = isinf(x) ? (uint16_t)((signbit(x) ? 0x8000 : 0) |
                                                      ((1 << exponent_bits) - 1) << mantissa_bits)
                                         : round_slowly(x, exponent_bits, mantissa_bits);
                cr_assert(narrow(x) == want, "%08x (%a): expected %04x, got %04x", u, (double)x,
                          want, narrow(x));
            }
        }
    }
    for (uint64_t u = 0; u <= 0xffffffff; u += 9973) {
        float x = float_of((uint32_t)u);
        if (!isfinite(x)) continue;
        uint16_t want = round_slowly(x, exponent_bits, mantissa_bits);
        cr_assert(narrow(x) == want, "%08x (%a): expected %04x, got %04x", (unsigned)u, (double)x,
                  want, narrow(x));
    }
}

Test(dtype, f32_to_f16_rounds_to_nearest_even)
{
    rounding(5, 10, lucid_f32_to_f16);
}

Test(dtype, f32_to_bf16_rounds_to_nearest_even)
{
    rounding(8, 7, lucid_f32_to_bf16);
}

/* A NaN whose payload lies in the bits that are cut off must not become infinity. */
Test(dtype, nan_stays_nan)
{
    for (uint32_t payload = 1; payload <= 0x400000; payload *= 2) {
        for (uint32_t sign = 0; sign <= 1; sign++) {
            float x = float_of(sign << 31 | 0x7f800000u | payload);
            cr_expect(isnan(lucid_f16_to_f32(lucid_f32_to_f16(x))), "%08x", bits_of(x));
            cr_expect(isnan(lucid_bf16_to_f32(lucid_f32_to_bf16(x))), "%08x", bits_of(x));
        }
    }
}

/* dtype.c: sizes, names, promotion and the 16-bit conversions. */
#include "lucid/core/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
    bool floating;
} dtypes[LUCID_DTYPE_COUNT] = {
    [LUCID_F32] = {"float32", 4, true}, [LUCID_F64] = {"float64", 8, true},
    [LUCID_F16] = {"float16", 2, true}, [LUCID_BF16] = {"bfloat16", 2, true},
    [LUCID_I64] = {"int64", 8, false},  [LUCID_I32] = {"int32", 4, false},
    [LUCID_U8] = {"uint8", 1, false},   [LUCID_BOOL] = {"bool", 1, false},
};

static bool is_dtype(lucid_dtype d)
{
    return (unsigned)d < LUCID_DTYPE_COUNT;
}

size_t lucid_dtype_size(lucid_dtype dtype)
{
    return is_dtype(dtype) ? dtypes[dtype].size : 0;
}

const char *lucid_dtype_name(lucid_dtype dtype)
{
    return is_dtype(dtype) ? dtypes[dtype].name : "no dtype";
}

bool lucid_dtype_is_floating(lucid_dtype dtype)
{
    return is_dtype(dtype) && dtypes[dtype].floating;
}

/* Rank in the order bool < u8 < i32 < i64 < f16, bf16 < f32 < f64. */
static int rank(lucid_dtype d)
{
    static const int ranks[LUCID_DTYPE_COUNT] = {
        [LUCID_BOOL] = 0, [LUCID_U8] = 1,   [LUCID_I32] = 2, [LUCID_I64] = 3,
        [LUCID_F16] = 4,  [LUCID_BF16] = 4, [LUCID_F32] = 5, [LUCID_F64] = 6,
    };
    return ranks[d];
}

lucid_dtype lucid_promote_types(lucid_dtype a, lucid_dtype b)
{
    if (!is_dtype(a) || !is_dtype(b)) return LUCID_DTYPE_COUNT;
    if (a == b) return a;
    if (rank(a) == 4 && rank(b) == 4) return LUCID_F32; /* f16 with bf16 */
    return rank(a) > rank(b) ? a : b;
}

static uint32_t float_bits(float value)
{
    uint32_t u;
    memcpy(&u, &value, sizeof u);
    return u;
}

static float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

uint16_t lucid_f32_to_f16(float value)
{
    uint32_t u = float_bits(value), sign = (u >> 16) & 0x8000u, x = u & 0x7fffffffu;
    if (x > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((x >> 13) & 0x1ffu)); /* NaN */
    if (x >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to infinity */
    if (x >= 0x38800000u) {                                  /* normal: round to nearest even */
        x += 0xfffu + ((x >> 13) & 1u);
        return (uint16_t)(sign | ((x - 0x38000000u) >> 13));
    }
    /* Subnormal: adding 0.5 aligns the mantissa so that the addition itself rounds. */
    return (uint16_t)(sign | (float_bits(bits_float(x) + 0.5f) - 0x3f000000u));
}

float lucid_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, x = bits & 0x7fffu;
    if (x >= 0x7c00u) return bits_float(sign | 0x7f800000u | ((x & 0x3ffu) << 13));
    if (x >= 0x0400u) return bits_float(sign | ((x << 13) + 0x38000000u));
    return bits_float(sign | float_bits((float)x * 0x1p-24f));
}

uint16_t lucid_f32_to_bf16(float value)
{
    uint32_t u = float_bits(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x0040u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

float lucid_bf16_to_f32(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

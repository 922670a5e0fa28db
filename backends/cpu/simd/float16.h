/* float16.h: converts one float16 or bfloat16 number to and from float, rounding to nearest
 * even. */
#ifndef LUC_SIMD_HALF_H
#define LUC_SIMD_HALF_H

LUC_INLINE uint32_t luc_float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

LUC_INLINE float luc_bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

LUC_INLINE float luc_bf16_to_f32(uint16_t h)
{
    return luc_bits_float((uint32_t)h << 16);
}

LUC_INLINE uint16_t luc_f32_to_bf16(float x)
{
    uint32_t bits = luc_float_bits(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); /* quiet NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

LUC_INLINE float luc_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) { /* infinity, NaN (made quiet) */
        uint32_t quiet = rest > 0x7c00 ? 0x400000 : 0;
        return luc_bits_float(sign | 0x7f800000 | (rest & 0x3ff) << 13 | quiet);
    }
    if (rest < 0x400) { /* zero, subnormal */
        float tiny = (float)rest * 0x1p-24f;
        return luc_bits_float(sign | luc_float_bits(tiny));
    }
    return luc_bits_float(sign | ((rest << 13) + 0x38000000));
}

LUC_INLINE uint16_t luc_f32_to_f16(float x)
{
    uint32_t bits = luc_float_bits(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff)); /* NaN */
    if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00);                       /* >= 65520 */
    if (rest < 0x38800000) { /* below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 */
        float shifted = luc_bits_float(rest) + 0.5f;
        return (uint16_t)(sign | (luc_float_bits(shifted) - 0x3f000000));
    }
    return (uint16_t)(sign | (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13);
}

#endif

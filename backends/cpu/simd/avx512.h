/* avx512.h: the vectors of simd.h with AVX-512 F, BW, DQ and VL. A vector has 64 bytes. */
#ifndef LUC_SIMD_AVX512_H
#define LUC_SIMD_AVX512_H

#include <immintrin.h>

#define LUC_HAS_VECTORS 1
#define LUC_REGISTERS   32
enum { LUC_VF = 16, LUC_VD = 8 };
typedef __m512 vf;
typedef __m512d vd;
typedef __m512i vi;
typedef __mmask16 vm;
typedef __mmask8 vmd;

/* The mask of the first n lanes, n <= 16. */
LUC_INLINE __mmask16 luc_first16(int64_t n)
{
    return (__mmask16)((1u << (unsigned)n) - 1u);
}
LUC_INLINE __mmask8 luc_first8(int64_t n)
{
    return (__mmask8)((1u << (unsigned)n) - 1u);
}

/* clang-format off */
#define LUC_512_FLOATING(v, T, M, ps, first)                                                       \
    LUC_INLINE v v##_zero(void) { return _mm512_setzero_##ps(); }                                  \
    LUC_INLINE v v##_set1(T x) { return _mm512_set1_##ps(x); }                                     \
    LUC_INLINE v v##_load(const T *p) { return _mm512_loadu_##ps(p); }                             \
    LUC_INLINE v v##_load_n(const T *p, int64_t n) { return _mm512_maskz_loadu_##ps(first(n), p); }\
    LUC_INLINE v v##_load_some(const T *p, int64_t n)                                              \
    { return _mm512_mask_loadu_##ps(_mm512_set1_##ps(*p), first(n), p); }                          \
    LUC_INLINE void v##_store(T *p, v x) { _mm512_storeu_##ps(p, x); }                             \
    LUC_INLINE void v##_stream(T *p, v x) { _mm512_stream_##ps(p, x); }                            \
    LUC_INLINE void v##_store_n(T *p, v x, int64_t n) { _mm512_mask_storeu_##ps(p, first(n), x); } \
    LUC_INLINE v v##_add(v a, v b) { return _mm512_add_##ps(a, b); }                               \
    LUC_INLINE v v##_sub(v a, v b) { return _mm512_sub_##ps(a, b); }                               \
    LUC_INLINE v v##_mul(v a, v b) { return _mm512_mul_##ps(a, b); }                               \
    LUC_INLINE v v##_div(v a, v b) { return _mm512_div_##ps(a, b); }                               \
    LUC_INLINE v v##_fma(v a, v b, v c) { return _mm512_fmadd_##ps(a, b, c); }                     \
    LUC_INLINE v v##_fnma(v a, v b, v c) { return _mm512_fnmadd_##ps(a, b, c); }                   \
    LUC_INLINE v v##_min(v a, v b) { return _mm512_min_##ps(a, b); }                               \
    LUC_INLINE v v##_max(v a, v b) { return _mm512_max_##ps(a, b); }                               \
    LUC_INLINE v v##_sqrt(v a) { return _mm512_sqrt_##ps(a); }                                     \
    LUC_INLINE v v##_abs(v a) { return _mm512_andnot_##ps(_mm512_set1_##ps((T)-0.0), a); }         \
    LUC_INLINE v v##_neg(v a) { return _mm512_xor_##ps(a, _mm512_set1_##ps((T)-0.0)); }            \
    LUC_INLINE v v##_round(v a) { return _mm512_roundscale_##ps(a, 8); }                           \
    LUC_INLINE v v##_floor(v a) { return _mm512_roundscale_##ps(a, 9); }                           \
    LUC_INLINE v v##_ceil(v a) { return _mm512_roundscale_##ps(a, 10); }                           \
    LUC_INLINE v v##_trunc(v a) { return _mm512_roundscale_##ps(a, 11); }                          \
    LUC_INLINE M v##_lt(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_LT_OQ); }             \
    LUC_INLINE M v##_le(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_LE_OQ); }             \
    LUC_INLINE M v##_gt(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_GT_OQ); }             \
    LUC_INLINE M v##_ge(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_GE_OQ); }             \
    LUC_INLINE M v##_eq(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_EQ_OQ); }             \
    LUC_INLINE M v##_ne(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_NEQ_UQ); }            \
    LUC_INLINE M v##_unordered(v a, v b) { return _mm512_cmp_##ps##_mask(a, b, _CMP_UNORD_Q); }    \
    LUC_INLINE M v##_isnan(v a) { return _mm512_cmp_##ps##_mask(a, a, _CMP_UNORD_Q); }             \
    LUC_INLINE v v##_select(M m, v a, v b) { return _mm512_mask_blend_##ps(m, b, a); }             \
    LUC_INLINE v v##_keep(M m, v a) { return _mm512_maskz_mov_##ps(m, a); }

LUC_512_FLOATING(vf, float, vm, ps, luc_first16)
LUC_512_FLOATING(vd, double, vmd, pd, luc_first8)

#define LUC_512_MASK(M, ALL)                                                                       \
    LUC_INLINE M M##_and(M a, M b) { return (M)(a & b); }                                          \
    LUC_INLINE M M##_or(M a, M b) { return (M)(a | b); }                                           \
    LUC_INLINE M M##_not(M a) { return (M)~a; }                                                    \
    LUC_INLINE bool M##_any(M a) { return a != 0; }                                                \
    LUC_INLINE bool M##_all(M a) { return a == ALL; }                                              \
    LUC_INLINE uint32_t M##_bits(M a) { return a; }
LUC_512_MASK(vm, 0xffff)
LUC_512_MASK(vmd, 0xff)

/* Adds the lanes in halves, in a fixed order. */
#define LUC_512_FOLD(name, op)                                                                     \
    LUC_INLINE float vf_##name(vf a)                                                               \
    {                                                                                              \
        __m256 h = _mm256_##op##_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));      \
        __m128 q = _mm_##op##_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));          \
        q = _mm_##op##_ps(q, _mm_movehl_ps(q, q));                                                 \
        return _mm_cvtss_f32(_mm_##op##_ss(q, _mm_movehdup_ps(q)));                                \
    }                                                                                              \
    LUC_INLINE double vd_##name(vd a)                                                              \
    {                                                                                              \
        __m256d h = _mm256_##op##_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));     \
        __m128d q = _mm_##op##_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));         \
        return _mm_cvtsd_f64(_mm_##op##_sd(q, _mm_unpackhi_pd(q, q)));                             \
    }
LUC_512_FOLD(sum, add)
LUC_512_FOLD(hmin, min)
LUC_512_FOLD(hmax, max)

/* float16 */
LUC_INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
LUC_INLINE vf vf_load_f16_n(const uint16_t *p, int64_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(luc_first16(n), p));
}
LUC_INLINE void vf_store_f16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, 8));
}
LUC_INLINE void vf_store_f16_n(uint16_t *p, vf x, int64_t n)
{
    _mm256_mask_storeu_epi16(p, luc_first16(n), _mm512_cvtps_ph(x, 8));
}

/* bfloat16: the upper half of a float */
LUC_INLINE vf luc_widen_bf16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
LUC_INLINE __m256i luc_narrow_bf16(vf x)
{
    __m512i b = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(b, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __m512i quiet = _mm512_or_si512(b, _mm512_set1_epi32(0x400000));
    r = _mm512_mask_mov_epi32(r, vf_isnan(x), quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
LUC_INLINE vf vf_load_bf16(const uint16_t *p)
{
    return luc_widen_bf16(_mm256_loadu_si256((const __m256i *)p));
}
LUC_INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    return luc_widen_bf16(_mm256_maskz_loadu_epi16(luc_first16(n), p));
}
LUC_INLINE void vf_store_bf16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, luc_narrow_bf16(x));
}
LUC_INLINE void vf_store_bf16_n(uint16_t *p, vf x, int64_t n)
{
    _mm256_mask_storeu_epi16(p, luc_first16(n), luc_narrow_bf16(x));
}

/* int32 */
LUC_INLINE vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
LUC_INLINE vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
LUC_INLINE void vi_store(int32_t *p, vi x) { _mm512_storeu_si512(p, x); }
LUC_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
LUC_INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
LUC_INLINE vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
LUC_INLINE vi vi_mul_wide(vi a, uint32_t b, vi *high)
{
    const __m512i k = _mm512_set1_epi32((int)b);
    __m512i even = _mm512_mul_epu32(a, k), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), k);
    *high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
    return _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
}
LUC_INLINE vi vi_counters(uint32_t start)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_add_epi32(_mm512_set1_epi32((int)start), order);
}
LUC_INLINE void vi_store4(uint32_t *p, vi a, vi b, vi c, vi d)
{
    __m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b);
    __m512i cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);
    _mm512_storeu_si512(p, _mm512_unpacklo_epi64(ab0, cd0));
    _mm512_storeu_si512(p + 16, _mm512_unpackhi_epi64(ab0, cd0));
    _mm512_storeu_si512(p + 32, _mm512_unpacklo_epi64(ab1, cd1));
    _mm512_storeu_si512(p + 48, _mm512_unpackhi_epi64(ab1, cd1));
}
LUC_INLINE void vi_load_pairs(const uint32_t *p, vi *x, vi *y)
{
    __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 16);
    *x = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
    *y = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xdd));
}
LUC_INLINE void vf_store_pairs(float *p, vf x, vf y)
{
    _mm512_storeu_ps(p, _mm512_unpacklo_ps(x, y));
    _mm512_storeu_ps(p + 16, _mm512_unpackhi_ps(x, y));
}
LUC_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
LUC_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
LUC_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
LUC_INLINE vi vi_shl(vi a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
LUC_INLINE vi vi_shr(vi a, int n) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n)); }
LUC_INLINE vi vi_sar(vi a, int n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }
LUC_INLINE vm vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
LUC_INLINE vm vi_gt(vi a, vi b) { return _mm512_cmpgt_epi32_mask(a, b); }
LUC_INLINE vi vi_select(vm m, vi a, vi b) { return _mm512_mask_blend_epi32(m, b, a); }
/* int32 in memory: the first n of 16 numbers, the others 0, and back */
LUC_INLINE vi vi_load_n(const int32_t *p, int64_t n)
{
    return _mm512_maskz_loadu_epi32(luc_first16(n), p);
}
LUC_INLINE void vi_store_n(int32_t *p, vi x, int64_t n)
{
    _mm512_mask_storeu_epi32(p, luc_first16(n), x);
}

/* pairs */
LUC_INLINE vi luc_every_second(int first)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_add_epi32(even, _mm512_set1_epi32(first));
}
LUC_INLINE vi luc_zip_order(int first)
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_add_epi32(low, _mm512_set1_epi32(first));
}
LUC_INLINE vf vf_even(vf a, vf b) { return _mm512_permutex2var_ps(a, luc_every_second(0), b); }
LUC_INLINE vf vf_odd(vf a, vf b) { return _mm512_permutex2var_ps(a, luc_every_second(1), b); }
LUC_INLINE vf vf_zip_low(vf a, vf b) { return _mm512_permutex2var_ps(a, luc_zip_order(0), b); }
LUC_INLINE vf vf_zip_high(vf a, vf b) { return _mm512_permutex2var_ps(a, luc_zip_order(8), b); }
LUC_INLINE vd vd_even(vd a, vd b)
{
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
}
LUC_INLINE vd vd_odd(vd a, vd b)
{
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), b);
}
LUC_INLINE vd vd_zip_low(vd a, vd b)
{
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
}
LUC_INLINE vd vd_zip_high(vd a, vd b)
{
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
}

/* 2^n for whole n in [-1022, 1023]; and x = m 2^e for normal x > 0, m in [sqrt(1/2), sqrt(2)) */
LUC_INLINE vd vd_pow2(vd n) { return _mm512_scalef_pd(_mm512_set1_pd(1), n); }
LUC_INLINE vd vd_split(vd x, vd *m)
{
    const __m512i root = _mm512_set1_epi64(0x3fe6a09e667f3bcd);
    const __m512i low = _mm512_set1_epi64(0xfffffffffffff);
    __m512i b = _mm512_sub_epi64(_mm512_castpd_si512(x), root);
    b = _mm512_add_epi64(b, _mm512_set1_epi64(0x3ff0000000000000));
    *m = _mm512_castsi512_pd(_mm512_add_epi64(_mm512_and_si512(b, low), root));
    return _mm512_cvtepi64_pd(_mm512_sub_epi64(_mm512_srli_epi64(b, 52), _mm512_set1_epi64(1023)));
}

LUC_INLINE vi vf_to_vi(vf x) { return _mm512_cvtps_epi32(x); }
LUC_INLINE vf vi_to_vf(vi x) { return _mm512_cvtepi32_ps(x); }
LUC_INLINE vi vf_bits(vf x) { return _mm512_castps_si512(x); }
LUC_INLINE vf vi_float(vi x) { return _mm512_castsi512_ps(x); }

/* float data in double arithmetic */
LUC_INLINE vd luc_low(vf x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
LUC_INLINE vd luc_high(vf x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }
LUC_INLINE vd vd_add_vf(vd acc, vf x) { return vd_add(vd_add(acc, luc_low(x)), luc_high(x)); }
LUC_INLINE vd vd_fma_vf(vd acc, vf a, vf b)
{
    return vd_fma(luc_high(a), luc_high(b), vd_fma(luc_low(a), luc_low(b), acc));
}
LUC_INLINE vd vd_load_f32(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
LUC_INLINE vd vd_load_f32_n(const float *p, int64_t n)
{
    return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(luc_first8(n), p));
}
LUC_INLINE void vd_store_f32(float *p, vd x) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(x)); }
LUC_INLINE void vd_store_f32_n(float *p, vd x, int64_t n)
{
    _mm256_mask_storeu_ps(p, luc_first8(n), _mm512_cvtpd_ps(x));
}

/* p 2^n, rounded once */
#define LUC_VF_SCALE _mm512_scalef_ps

/* The sums over the lanes of LUC_VF vectors: every quarter of 128 bits gets its sums of four
 * vectors, and then the quarters are added. */
LUC_INLINE vf luc_quarter_sums(const vf *v)
{
    const vf a = vf_add(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    const vf b = vf_add(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    return vf_add(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
LUC_INLINE vf vf_lane_sums(const vf *v)
{
    const vf a = luc_quarter_sums(v), b = luc_quarter_sums(v + 4);
    const vf c = luc_quarter_sums(v + 8), d = luc_quarter_sums(v + 12);
    const vf low = vf_add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    const vf high = vf_add(_mm512_shuffle_f32x4(c, d, 0x88), _mm512_shuffle_f32x4(c, d, 0xdd));
    return vf_add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

/* Loads x once. Otherwise compilers load it again for each product. */
#define LUC_IN_REGISTER(x) __asm__("" : "+v"(x))

LUC_INLINE void luc_stream_fence(void) { _mm_sfence(); }
/* clang-format on */

#endif

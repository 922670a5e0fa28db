/* avx2.h: the vectors of simd.h with AVX2, FMA and F16C. A vector has 32 bytes. */
#ifndef LUC_SIMD_AVX2_H
#define LUC_SIMD_AVX2_H

#include <immintrin.h>

#define LUC_HAS_VECTORS 1
#define LUC_REGISTERS   16
enum { LUC_VF = 8, LUC_VD = 4 };
typedef __m256 vf;
typedef __m256d vd;
typedef __m256i vi;
typedef __m256 vm;
typedef __m256d vmd;

/* The mask of the first n lanes: n <= 8 of 32 bits, n <= 4 of 64 bits. */
LUC_INLINE __m256i luc_first32(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}
LUC_INLINE __m256i luc_first64(int64_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

/* clang-format off */
#define LUC_256_FLOATING(v, T, M, ps, first)                                                       \
    LUC_INLINE v v##_zero(void) { return _mm256_setzero_##ps(); }                                  \
    LUC_INLINE v v##_set1(T x) { return _mm256_set1_##ps(x); }                                     \
    LUC_INLINE v v##_load(const T *p) { return _mm256_loadu_##ps(p); }                             \
    LUC_INLINE v v##_load_n(const T *p, int64_t n) { return _mm256_maskload_##ps(p, first(n)); }   \
    LUC_INLINE v v##_load_some(const T *p, int64_t n)                                              \
    {                                                                                              \
        return _mm256_blendv_##ps(_mm256_set1_##ps(*p), _mm256_maskload_##ps(p, first(n)),         \
                                  _mm256_castsi256_##ps(first(n)));                                \
    }                                                                                              \
    LUC_INLINE void v##_store(T *p, v x) { _mm256_storeu_##ps(p, x); }                             \
    LUC_INLINE void v##_stream(T *p, v x) { _mm256_stream_##ps(p, x); }                            \
    LUC_INLINE void v##_store_n(T *p, v x, int64_t n) { _mm256_maskstore_##ps(p, first(n), x); }   \
    LUC_INLINE v v##_add(v a, v b) { return _mm256_add_##ps(a, b); }                               \
    LUC_INLINE v v##_sub(v a, v b) { return _mm256_sub_##ps(a, b); }                               \
    LUC_INLINE v v##_mul(v a, v b) { return _mm256_mul_##ps(a, b); }                               \
    LUC_INLINE v v##_div(v a, v b) { return _mm256_div_##ps(a, b); }                               \
    LUC_INLINE v v##_fma(v a, v b, v c) { return _mm256_fmadd_##ps(a, b, c); }                     \
    LUC_INLINE v v##_fnma(v a, v b, v c) { return _mm256_fnmadd_##ps(a, b, c); }                   \
    LUC_INLINE v v##_min(v a, v b) { return _mm256_min_##ps(a, b); }                               \
    LUC_INLINE v v##_max(v a, v b) { return _mm256_max_##ps(a, b); }                               \
    LUC_INLINE v v##_sqrt(v a) { return _mm256_sqrt_##ps(a); }                                     \
    LUC_INLINE v v##_abs(v a) { return _mm256_andnot_##ps(_mm256_set1_##ps((T)-0.0), a); }         \
    LUC_INLINE v v##_neg(v a) { return _mm256_xor_##ps(a, _mm256_set1_##ps((T)-0.0)); }            \
    LUC_INLINE v v##_round(v a) { return _mm256_round_##ps(a, 8); }                                \
    LUC_INLINE v v##_floor(v a) { return _mm256_round_##ps(a, 9); }                                \
    LUC_INLINE v v##_ceil(v a) { return _mm256_round_##ps(a, 10); }                                \
    LUC_INLINE v v##_trunc(v a) { return _mm256_round_##ps(a, 11); }                               \
    LUC_INLINE M v##_lt(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_LT_OQ); }                    \
    LUC_INLINE M v##_le(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_LE_OQ); }                    \
    LUC_INLINE M v##_gt(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_GT_OQ); }                    \
    LUC_INLINE M v##_ge(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_GE_OQ); }                    \
    LUC_INLINE M v##_eq(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_EQ_OQ); }                    \
    LUC_INLINE M v##_ne(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_NEQ_UQ); }                   \
    LUC_INLINE M v##_unordered(v a, v b) { return _mm256_cmp_##ps(a, b, _CMP_UNORD_Q); }           \
    LUC_INLINE M v##_isnan(v a) { return _mm256_cmp_##ps(a, a, _CMP_UNORD_Q); }                    \
    LUC_INLINE v v##_select(M m, v a, v b) { return _mm256_blendv_##ps(b, a, m); }                 \
    LUC_INLINE v v##_keep(M m, v a) { return _mm256_and_##ps(m, a); }                              \
    LUC_INLINE M M##_and(M a, M b) { return _mm256_and_##ps(a, b); }                               \
    LUC_INLINE M M##_or(M a, M b) { return _mm256_or_##ps(a, b); }                                 \
    LUC_INLINE bool M##_any(M a) { return _mm256_movemask_##ps(a) != 0; }                          \
    LUC_INLINE uint32_t M##_bits(M a) { return (uint32_t)_mm256_movemask_##ps(a); }

LUC_256_FLOATING(vf, float, vm, ps, luc_first32)
LUC_256_FLOATING(vd, double, vmd, pd, luc_first64)
LUC_INLINE vm vm_not(vm a) { return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))); }
LUC_INLINE vmd vmd_not(vmd a)
{
    return _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi32(-1)));
}
LUC_INLINE bool vm_all(vm a) { return _mm256_movemask_ps(a) == 0xff; }
LUC_INLINE bool vmd_all(vmd a) { return _mm256_movemask_pd(a) == 0xf; }

/* Adds the lanes in halves, in a fixed order. */
#define LUC_256_FOLD(name, op)                                                                     \
    LUC_INLINE float vf_##name(vf a)                                                               \
    {                                                                                              \
        __m128 q = _mm_##op##_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));          \
        q = _mm_##op##_ps(q, _mm_movehl_ps(q, q));                                                 \
        return _mm_cvtss_f32(_mm_##op##_ss(q, _mm_movehdup_ps(q)));                                \
    }                                                                                              \
    LUC_INLINE double vd_##name(vd a)                                                              \
    {                                                                                              \
        __m128d q = _mm_##op##_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));         \
        return _mm_cvtsd_f64(_mm_##op##_sd(q, _mm_unpackhi_pd(q, q)));                             \
    }
LUC_256_FOLD(sum, add)
LUC_256_FOLD(hmin, min)
LUC_256_FOLD(hmax, max)

/* 16-bit data: the first n, through memory that may be read and written whole */
LUC_INLINE __m128i luc_load16_n(const uint16_t *p, int64_t n)
{
    uint16_t full[8] = {0};
    for (int64_t i = 0; i < n; i++) full[i] = p[i];
    return _mm_loadu_si128((const __m128i *)full);
}
LUC_INLINE void luc_store16_n(uint16_t *p, __m128i x, int64_t n)
{
    uint16_t full[8];
    _mm_storeu_si128((__m128i *)full, x);
    for (int64_t i = 0; i < n; i++) p[i] = full[i];
}

/* float16 */
LUC_INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
LUC_INLINE vf vf_load_f16_n(const uint16_t *p, int64_t n)
{
    return _mm256_cvtph_ps(luc_load16_n(p, n));
}
LUC_INLINE void vf_store_f16(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, 8));
}
LUC_INLINE void vf_store_f16_n(uint16_t *p, vf x, int64_t n)
{
    luc_store16_n(p, _mm256_cvtps_ph(x, 8), n);
}

/* bfloat16: the upper half of a float */
LUC_INLINE vf luc_widen_bf16(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
LUC_INLINE __m128i luc_narrow_bf16(vf x)
{
    __m256i b = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(b, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(b, _mm256_set1_epi32(0x400000));
    r = _mm256_blendv_epi8(r, quiet, _mm256_castps_si256(vf_isnan(x)));
    r = _mm256_srli_epi32(r, 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
LUC_INLINE vf vf_load_bf16(const uint16_t *p)
{
    return luc_widen_bf16(_mm_loadu_si128((const __m128i *)p));
}
LUC_INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    return luc_widen_bf16(luc_load16_n(p, n));
}
LUC_INLINE void vf_store_bf16(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p, luc_narrow_bf16(x));
}
LUC_INLINE void vf_store_bf16_n(uint16_t *p, vf x, int64_t n)
{
    luc_store16_n(p, luc_narrow_bf16(x), n);
}

/* int32 */
LUC_INLINE vi vi_set1(int32_t x) { return _mm256_set1_epi32(x); }
LUC_INLINE vi vi_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
LUC_INLINE void vi_store(int32_t *p, vi x) { _mm256_storeu_si256((__m256i *)p, x); }
LUC_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
LUC_INLINE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
LUC_INLINE vi vi_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
LUC_INLINE vi vi_mul_wide(vi a, uint32_t b, vi *high)
{
    const __m256i k = _mm256_set1_epi32((int)b);
    __m256i even = _mm256_mul_epu32(a, k), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), k);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}
LUC_INLINE vi vi_counters(uint32_t start)
{
    const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm256_add_epi32(_mm256_set1_epi32((int)start), order);
}
LUC_INLINE void vi_store4(uint32_t *p, vi a, vi b, vi c, vi d)
{
    __m256i ab0 = _mm256_unpacklo_epi32(a, b), ab1 = _mm256_unpackhi_epi32(a, b);
    __m256i cd0 = _mm256_unpacklo_epi32(c, d), cd1 = _mm256_unpackhi_epi32(c, d);
    _mm256_storeu_si256((__m256i *)p, _mm256_unpacklo_epi64(ab0, cd0));
    _mm256_storeu_si256((__m256i *)(p + 8), _mm256_unpackhi_epi64(ab0, cd0));
    _mm256_storeu_si256((__m256i *)(p + 16), _mm256_unpacklo_epi64(ab1, cd1));
    _mm256_storeu_si256((__m256i *)(p + 24), _mm256_unpackhi_epi64(ab1, cd1));
}
LUC_INLINE void vi_load_pairs(const uint32_t *p, vi *x, vi *y)
{
    __m256 a = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)p));
    __m256 b = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(p + 8)));
    *x = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    *y = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
}
LUC_INLINE void vf_store_pairs(float *p, vf x, vf y)
{
    _mm256_storeu_ps(p, _mm256_unpacklo_ps(x, y));
    _mm256_storeu_ps(p + 8, _mm256_unpackhi_ps(x, y));
}
LUC_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
LUC_INLINE vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
LUC_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
LUC_INLINE vi vi_shl(vi a, int n) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(n)); }
LUC_INLINE vi vi_shr(vi a, int n) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(n)); }
LUC_INLINE vi vi_sar(vi a, int n) { return _mm256_sra_epi32(a, _mm_cvtsi32_si128(n)); }
LUC_INLINE vm vi_eq(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
LUC_INLINE vm vi_gt(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)); }
LUC_INLINE vi vi_select(vm m, vi a, vi b)
{
    return _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
}
/* int32 in memory: the first n of 8 numbers, the others 0, and back */
LUC_INLINE vi vi_load_n(const int32_t *p, int64_t n)
{
    return _mm256_maskload_epi32(p, luc_first32(n));
}
LUC_INLINE void vi_store_n(int32_t *p, vi x, int64_t n)
{
    _mm256_maskstore_epi32(p, luc_first32(n), x);
}

/* pairs */
LUC_INLINE vf luc_halves_in_order(__m256 x)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
}
LUC_INLINE vf vf_even(vf a, vf b) { return luc_halves_in_order(_mm256_shuffle_ps(a, b, 0x88)); }
LUC_INLINE vf vf_odd(vf a, vf b) { return luc_halves_in_order(_mm256_shuffle_ps(a, b, 0xdd)); }
LUC_INLINE vf vf_zip_low(vf a, vf b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
LUC_INLINE vf vf_zip_high(vf a, vf b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}
LUC_INLINE vd vd_even(vd a, vd b) { return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8); }
LUC_INLINE vd vd_odd(vd a, vd b) { return _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8); }
LUC_INLINE vd vd_zip_low(vd a, vd b)
{
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20);
}
LUC_INLINE vd vd_zip_high(vd a, vd b)
{
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31);
}

/* 2^n for whole n in [-1022, 1023]; and x = m 2^e for normal x > 0, m in [sqrt(1/2), sqrt(2)).
 * Added to 2^52, a whole number is in the lowest bits. */
LUC_INLINE vd vd_pow2(vd n)
{
    __m256d b = _mm256_add_pd(n, _mm256_set1_pd(0x1p52 + 1023));
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(b), 52));
}
LUC_INLINE vd vd_split(vd x, vd *m)
{
    const __m256i root = _mm256_set1_epi64x(0x3fe6a09e667f3bcd);
    const __m256i low = _mm256_set1_epi64x(0xfffffffffffff);
    __m256i b = _mm256_sub_epi64(_mm256_castpd_si256(x), root);
    b = _mm256_add_epi64(b, _mm256_set1_epi64x(0x3ff0000000000000));
    *m = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_and_si256(b, low), root));
    b = _mm256_or_si256(_mm256_srli_epi64(b, 52), _mm256_set1_epi64x(0x4330000000000000));
    return _mm256_sub_pd(_mm256_castsi256_pd(b), _mm256_set1_pd(0x1p52 + 1023));
}

LUC_INLINE vi vf_to_vi(vf x) { return _mm256_cvtps_epi32(x); }
LUC_INLINE vf vi_to_vf(vi x) { return _mm256_cvtepi32_ps(x); }
LUC_INLINE vi vf_bits(vf x) { return _mm256_castps_si256(x); }
LUC_INLINE vf vi_float(vi x) { return _mm256_castsi256_ps(x); }

/* float data in double arithmetic */
LUC_INLINE vd luc_low(vf x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }
LUC_INLINE vd luc_high(vf x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }
LUC_INLINE vd vd_add_vf(vd acc, vf x) { return vd_add(vd_add(acc, luc_low(x)), luc_high(x)); }
LUC_INLINE vd vd_fma_vf(vd acc, vf a, vf b)
{
    return vd_fma(luc_high(a), luc_high(b), vd_fma(luc_low(a), luc_low(b), acc));
}
LUC_INLINE vd vd_load_f32(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
LUC_INLINE vd vd_load_f32_n(const float *p, int64_t n)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(_mm256_maskload_ps(p, luc_first32(n))));
}
LUC_INLINE void vd_store_f32(float *p, vd x) { _mm_storeu_ps(p, _mm256_cvtpd_ps(x)); }
LUC_INLINE void vd_store_f32_n(float *p, vd x, int64_t n)
{
    _mm256_maskstore_ps(p, luc_first32(n), _mm256_castps128_ps256(_mm256_cvtpd_ps(x)));
}

/* The sums over the lanes of LUC_VF vectors: every half gets its sums of four vectors, and then the
 * halves are added. */
LUC_INLINE vf luc_half_sums(const vf *v)
{
    const vf a = vf_add(_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
    const vf b = vf_add(_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
    return vf_add(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
}
LUC_INLINE vf vf_lane_sums(const vf *v)
{
    const vf a = luc_half_sums(v), b = luc_half_sums(v + 4);
    return vf_add(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

/* Loads x once. Otherwise compilers load it again for each product. */
#define LUC_IN_REGISTER(x) __asm__("" : "+x"(x))

LUC_INLINE void luc_stream_fence(void) { _mm_sfence(); }
/* clang-format on */

#endif

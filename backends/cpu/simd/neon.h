/* neon.h: the vectors of simd.h with aarch64's Advanced SIMD. A vector has 16 bytes. */
#ifndef LUC_SIMD_NEON_H
#define LUC_SIMD_NEON_H

#include <arm_neon.h>

#define LUC_HAS_VECTORS 1
#define LUC_REGISTERS   32
enum { LUC_VF = 4, LUC_VD = 2 };
typedef float32x4_t vf;
typedef float64x2_t vd;
typedef int32x4_t vi;
typedef uint32x4_t vm;
typedef uint64x2_t vmd;

/* clang-format off */
/* Partial vectors go through memory that may be read and written whole. */
#define LUC_128_FLOATING(v, T, M, f, u, N)                                                         \
    LUC_INLINE v v##_zero(void) { return vdupq_n_##f(0); }                                         \
    LUC_INLINE v v##_set1(T x) { return vdupq_n_##f(x); }                                          \
    LUC_INLINE v v##_load(const T *p) { return vld1q_##f(p); }                                     \
    LUC_INLINE v v##_load_n(const T *p, int64_t n)                                                 \
    {                                                                                              \
        T all[N] = {0};                                                                            \
        for (int64_t i = 0; i < n; i++) all[i] = p[i];                                             \
        return vld1q_##f(all);                                                                     \
    }                                                                                              \
    LUC_INLINE v v##_load_some(const T *p, int64_t n)                                              \
    {                                                                                              \
        T all[N];                                                                                  \
        for (int64_t i = 0; i < N; i++) all[i] = p[i < n ? i : 0];                                 \
        return vld1q_##f(all);                                                                     \
    }                                                                                              \
    LUC_INLINE void v##_store(T *p, v x) { vst1q_##f(p, x); }                                      \
    LUC_INLINE void v##_stream(T *p, v x) { vst1q_##f(p, x); }                                     \
    LUC_INLINE void v##_store_n(T *p, v x, int64_t n)                                              \
    {                                                                                              \
        T all[N];                                                                                  \
        vst1q_##f(all, x);                                                                         \
        for (int64_t i = 0; i < n; i++) p[i] = all[i];                                             \
    }                                                                                              \
    LUC_INLINE v v##_add(v a, v b) { return vaddq_##f(a, b); }                                     \
    LUC_INLINE v v##_sub(v a, v b) { return vsubq_##f(a, b); }                                     \
    LUC_INLINE v v##_mul(v a, v b) { return vmulq_##f(a, b); }                                     \
    LUC_INLINE v v##_div(v a, v b) { return vdivq_##f(a, b); }                                     \
    LUC_INLINE v v##_fma(v a, v b, v c) { return vfmaq_##f(c, a, b); }                             \
    LUC_INLINE v v##_fnma(v a, v b, v c) { return vfmsq_##f(c, a, b); }                            \
    /* the instructions for minimum and maximum treat NaN otherwise */                             \
    LUC_INLINE v v##_min(v a, v b) { return vbslq_##f(vcltq_##f(a, b), a, b); }                    \
    LUC_INLINE v v##_max(v a, v b) { return vbslq_##f(vcgtq_##f(a, b), a, b); }                    \
    LUC_INLINE v v##_sqrt(v a) { return vsqrtq_##f(a); }                                           \
    LUC_INLINE v v##_abs(v a) { return vabsq_##f(a); }                                             \
    LUC_INLINE v v##_neg(v a) { return vnegq_##f(a); }                                             \
    LUC_INLINE v v##_round(v a) { return vrndnq_##f(a); }                                          \
    LUC_INLINE v v##_floor(v a) { return vrndmq_##f(a); }                                          \
    LUC_INLINE v v##_ceil(v a) { return vrndpq_##f(a); }                                           \
    LUC_INLINE v v##_trunc(v a) { return vrndq_##f(a); }                                           \
    LUC_INLINE M v##_lt(v a, v b) { return vcltq_##f(a, b); }                                      \
    LUC_INLINE M v##_le(v a, v b) { return vcleq_##f(a, b); }                                      \
    LUC_INLINE M v##_gt(v a, v b) { return vcgtq_##f(a, b); }                                      \
    LUC_INLINE M v##_ge(v a, v b) { return vcgeq_##f(a, b); }                                      \
    LUC_INLINE M v##_eq(v a, v b) { return vceqq_##f(a, b); }                                      \
    LUC_INLINE M v##_ne(v a, v b) { return M##_not(vceqq_##f(a, b)); }                             \
    LUC_INLINE M v##_unordered(v a, v b)                                                           \
    {                                                                                              \
        return M##_not(vandq_##u(vceqq_##f(a, a), vceqq_##f(b, b)));                               \
    }                                                                                              \
    LUC_INLINE M v##_isnan(v a) { return M##_not(vceqq_##f(a, a)); }                               \
    LUC_INLINE v v##_select(M m, v a, v b) { return vbslq_##f(m, a, b); }                          \
    LUC_INLINE v v##_keep(M m, v a)                                                                \
    {                                                                                              \
        return vreinterpretq_##f##_##u(vandq_##u(m, vreinterpretq_##u##_##f(a)));                  \
    }                                                                                              \
    LUC_INLINE M M##_and(M a, M b) { return vandq_##u(a, b); }                                     \
    LUC_INLINE M M##_or(M a, M b) { return vorrq_##u(a, b); }

LUC_INLINE vm vm_not(vm a) { return vmvnq_u32(a); }
LUC_INLINE vmd vmd_not(vmd a) { return vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(a))); }
LUC_128_FLOATING(vf, float, vm, f32, u32, 4)
LUC_128_FLOATING(vd, double, vmd, f64, u64, 2)
LUC_INLINE bool vm_any(vm a) { return vmaxvq_u32(a) != 0; }
LUC_INLINE bool vmd_any(vmd a) { return vmaxvq_u32(vreinterpretq_u32_u64(a)) != 0; }
LUC_INLINE bool vm_all(vm a) { return vminvq_u32(a) != 0; }
LUC_INLINE bool vmd_all(vmd a) { return vminvq_u32(vreinterpretq_u32_u64(a)) != 0; }
LUC_INLINE uint32_t vm_bits(vm a)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(a, vld1q_u32(bit)));
}
LUC_INLINE uint32_t vmd_bits(vmd a)
{
    return (uint32_t)((vgetq_lane_u64(a, 0) & 1) | (vgetq_lane_u64(a, 1) & 2));
}

/* Folds the lanes in halves, in a fixed order. */
LUC_INLINE float vf_sum(vf a)
{
    const float32x2_t h = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}
LUC_INLINE double vd_sum(vd a) { return vgetq_lane_f64(a, 0) + vgetq_lane_f64(a, 1); }
#define LUC_128_FOLD(name, op)                                                                     \
    LUC_INLINE float vf_##name(vf a)                                                               \
    {                                                                                              \
        const vf h = vf_##op(a, vextq_f32(a, a, 2));                                               \
        return vgetq_lane_f32(vf_##op(h, vextq_f32(h, h, 1)), 0);                                  \
    }                                                                                              \
    LUC_INLINE double vd_##name(vd a)                                                              \
    {                                                                                              \
        return vgetq_lane_f64(vd_##op(a, vextq_f64(a, a, 1)), 0);                                  \
    }
LUC_128_FOLD(hmin, min)
LUC_128_FOLD(hmax, max)

/* 16-bit data: the first n */
LUC_INLINE uint16x4_t luc_load16_n(const uint16_t *p, int64_t n)
{
    uint16_t all[4] = {0};
    for (int64_t i = 0; i < n; i++) all[i] = p[i];
    return vld1_u16(all);
}
LUC_INLINE void luc_store16_n(uint16_t *p, uint16x4_t x, int64_t n)
{
    uint16_t all[4];
    vst1_u16(all, x);
    for (int64_t i = 0; i < n; i++) p[i] = all[i];
}

/* float16 */
LUC_INLINE vf luc_widen_f16(uint16x4_t h) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
LUC_INLINE uint16x4_t luc_narrow_f16(vf x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }
LUC_INLINE vf vf_load_f16(const uint16_t *p) { return luc_widen_f16(vld1_u16(p)); }
LUC_INLINE vf vf_load_f16_n(const uint16_t *p, int64_t n)
{
    return luc_widen_f16(luc_load16_n(p, n));
}
LUC_INLINE void vf_store_f16(uint16_t *p, vf x) { vst1_u16(p, luc_narrow_f16(x)); }
LUC_INLINE void vf_store_f16_n(uint16_t *p, vf x, int64_t n)
{
    luc_store16_n(p, luc_narrow_f16(x), n);
}

/* bfloat16: the upper half of a float */
LUC_INLINE vf luc_widen_bf16(uint16x4_t h) { return vreinterpretq_f32_u32(vshll_n_u16(h, 16)); }
LUC_INLINE uint16x4_t luc_narrow_bf16(vf x)
{
    const uint32x4_t b = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(b, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(b, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(b, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vf_isnan(x), quiet, rounded), 16);
}
LUC_INLINE vf vf_load_bf16(const uint16_t *p) { return luc_widen_bf16(vld1_u16(p)); }
LUC_INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    return luc_widen_bf16(luc_load16_n(p, n));
}
LUC_INLINE void vf_store_bf16(uint16_t *p, vf x) { vst1_u16(p, luc_narrow_bf16(x)); }
LUC_INLINE void vf_store_bf16_n(uint16_t *p, vf x, int64_t n)
{
    luc_store16_n(p, luc_narrow_bf16(x), n);
}

/* int32 */
LUC_INLINE uint32x4_t luc_unsigned(vi x) { return vreinterpretq_u32_s32(x); }
LUC_INLINE vi luc_signed(uint32x4_t x) { return vreinterpretq_s32_u32(x); }
LUC_INLINE vi vi_set1(int32_t x) { return vdupq_n_s32(x); }
LUC_INLINE vi vi_load(const int32_t *p) { return vld1q_s32(p); }
LUC_INLINE void vi_store(int32_t *p, vi x) { vst1q_s32(p, x); }
LUC_INLINE vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
LUC_INLINE vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
LUC_INLINE vi vi_mul(vi a, vi b) { return vmulq_s32(a, b); }
LUC_INLINE vi vi_mul_wide(vi a, uint32_t b, vi *high)
{
    const uint32x4_t x = luc_unsigned(a), k = vdupq_n_u32(b);
    const uint32x4_t low = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x), vget_low_u32(k)));
    const uint32x4_t top = vreinterpretq_u32_u64(vmull_high_u32(x, k));
    *high = luc_signed(vuzp2q_u32(low, top));
    return luc_signed(vuzp1q_u32(low, top));
}
LUC_INLINE vi vi_counters(uint32_t start)
{
    static const uint32_t order[4] = {0, 1, 2, 3};
    return luc_signed(vaddq_u32(vdupq_n_u32(start), vld1q_u32(order)));
}
LUC_INLINE void vi_store4(uint32_t *p, vi a, vi b, vi c, vi d)
{
    const uint32x4x4_t all = {{luc_unsigned(a), luc_unsigned(b), luc_unsigned(c), luc_unsigned(d)}};
    vst4q_u32(p, all);
}
LUC_INLINE void vi_load_pairs(const uint32_t *p, vi *x, vi *y)
{
    const uint32x4x2_t both = vld2q_u32(p);
    *x = luc_signed(both.val[0]);
    *y = luc_signed(both.val[1]);
}
LUC_INLINE void vf_store_pairs(float *p, vf x, vf y)
{
    const float32x4x2_t both = {{x, y}};
    vst2q_f32(p, both);
}
LUC_INLINE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
LUC_INLINE vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
LUC_INLINE vi vi_xor(vi a, vi b) { return veorq_s32(a, b); }
LUC_INLINE vi vi_shl(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
LUC_INLINE vi vi_shr(vi a, int n)
{
    return luc_signed(vshlq_u32(luc_unsigned(a), vdupq_n_s32(-n)));
}
LUC_INLINE vi vi_sar(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(-n)); }
LUC_INLINE vm vi_eq(vi a, vi b) { return vceqq_s32(a, b); }
LUC_INLINE vm vi_gt(vi a, vi b) { return vcgtq_s32(a, b); }
LUC_INLINE vi vi_select(vm m, vi a, vi b) { return vbslq_s32(m, a, b); }
/* int32 in memory: the first n of 4 numbers, the others 0, and back */
LUC_INLINE vi vi_load_n(const int32_t *p, int64_t n)
{
    int32_t all[4] = {0};
    for (int64_t i = 0; i < n; i++) all[i] = p[i];
    return vld1q_s32(all);
}
LUC_INLINE void vi_store_n(int32_t *p, vi x, int64_t n)
{
    int32_t all[4];
    vst1q_s32(all, x);
    for (int64_t i = 0; i < n; i++) p[i] = all[i];
}

/* pairs */
LUC_INLINE vf vf_even(vf a, vf b) { return vuzp1q_f32(a, b); }
LUC_INLINE vf vf_odd(vf a, vf b) { return vuzp2q_f32(a, b); }
LUC_INLINE vf vf_zip_low(vf a, vf b) { return vzip1q_f32(a, b); }
LUC_INLINE vf vf_zip_high(vf a, vf b) { return vzip2q_f32(a, b); }
LUC_INLINE vd vd_even(vd a, vd b) { return vuzp1q_f64(a, b); }
LUC_INLINE vd vd_odd(vd a, vd b) { return vuzp2q_f64(a, b); }
LUC_INLINE vd vd_zip_low(vd a, vd b) { return vzip1q_f64(a, b); }
LUC_INLINE vd vd_zip_high(vd a, vd b) { return vzip2q_f64(a, b); }

/* 2^n for whole n in [-1022, 1023]; and x = m 2^e for normal x > 0, m in [sqrt(1/2), sqrt(2)) */
LUC_INLINE vd vd_pow2(vd n)
{
    const int64x2_t e = vaddq_s64(vcvtq_s64_f64(n), vdupq_n_s64(1023));
    return vreinterpretq_f64_s64(vshlq_n_s64(e, 52));
}
LUC_INLINE vd vd_split(vd x, vd *m)
{
    const int64x2_t root = vdupq_n_s64(0x3fe6a09e667f3bcd), low = vdupq_n_s64(0xfffffffffffff);
    int64x2_t b = vsubq_s64(vreinterpretq_s64_f64(x), root);
    b = vaddq_s64(b, vdupq_n_s64(0x3ff0000000000000));
    *m = vreinterpretq_f64_s64(vaddq_s64(vandq_s64(b, low), root));
    b = vreinterpretq_s64_u64(vshrq_n_u64(vreinterpretq_u64_s64(b), 52));
    return vcvtq_f64_s64(vsubq_s64(b, vdupq_n_s64(1023)));
}

LUC_INLINE vi vf_to_vi(vf x)
{
    const vf r = vrndnq_f32(x); /* the conversion alone would give other numbers beyond the range */
    const vm inside = vm_and(vf_ge(r, vf_set1(-0x1p31f)), vf_lt(r, vf_set1(0x1p31f)));
    return vbslq_s32(inside, vcvtq_s32_f32(r), vdupq_n_s32(INT32_MIN));
}
LUC_INLINE vf vi_to_vf(vi x) { return vcvtq_f32_s32(x); }
LUC_INLINE vi vf_bits(vf x) { return vreinterpretq_s32_f32(x); }
LUC_INLINE vf vi_float(vi x) { return vreinterpretq_f32_s32(x); }

/* float data in double arithmetic */
LUC_INLINE vd luc_low(vf x) { return vcvt_f64_f32(vget_low_f32(x)); }
LUC_INLINE vd luc_high(vf x) { return vcvt_high_f64_f32(x); }
LUC_INLINE vd vd_add_vf(vd acc, vf x) { return vd_add(vd_add(acc, luc_low(x)), luc_high(x)); }
LUC_INLINE vd vd_fma_vf(vd acc, vf a, vf b)
{
    return vd_fma(luc_high(a), luc_high(b), vd_fma(luc_low(a), luc_low(b), acc));
}
LUC_INLINE vd vd_load_f32(const float *p) { return vcvt_f64_f32(vld1_f32(p)); }
LUC_INLINE vd vd_load_f32_n(const float *p, int64_t n)
{
    float all[2] = {0};
    for (int64_t i = 0; i < n; i++) all[i] = p[i];
    return vd_load_f32(all);
}
LUC_INLINE void vd_store_f32(float *p, vd x) { vst1_f32(p, vcvt_f32_f64(x)); }
LUC_INLINE void vd_store_f32_n(float *p, vd x, int64_t n)
{
    float all[2];
    vd_store_f32(all, x);
    for (int64_t i = 0; i < n; i++) p[i] = all[i];
}

/* The sums over the lanes of LUC_VF vectors. */
LUC_INLINE vf vf_lane_sums(const vf *v)
{
    return vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3]));
}

#define LUC_IN_REGISTER(x) __asm__("" : "+w"(x))

LUC_INLINE void luc_stream_fence(void) {}
/* clang-format on */

#endif

/* generic.h: the vectors of simd.h in plain C. A vector has one element. */
#ifndef LUC_SIMD_REF_H
#define LUC_SIMD_REF_H

/* What each level's header defines: whether a vector has several elements, and how many vectors its
 * registers hold, which the register tiles of products are made for (0: these do not matter). */
#define LUC_HAS_VECTORS 0
#define LUC_REGISTERS   0
enum { LUC_VF = 1, LUC_VD = 1 };
typedef float vf;
typedef double vd;
typedef int32_t vi;
typedef bool vm, vmd;

/* The functions that are the same for float and double. */
#define LUC_REF_FLOATING(v, T, M, fma_, sqrt_, abs_, rint_, floor_, ceil_, trunc_) \
    LUC_INLINE v v##_zero(void)                                                    \
    {                                                                              \
        return 0;                                                                  \
    }                                                                              \
    LUC_INLINE v v##_set1(T x)                                                     \
    {                                                                              \
        return x;                                                                  \
    }                                                                              \
    LUC_INLINE v v##_load(const T *p)                                              \
    {                                                                              \
        return *p;                                                                 \
    }                                                                              \
    LUC_INLINE v v##_load_n(const T *p, int64_t n)                                 \
    {                                                                              \
        return n > 0 ? *p : 0;                                                     \
    }                                                                              \
    LUC_INLINE v v##_load_some(const T *p, int64_t n)                              \
    {                                                                              \
        (void)n;                                                                   \
        return *p;                                                                 \
    }                                                                              \
    LUC_INLINE void v##_store(T *p, v x)                                           \
    {                                                                              \
        *p = x;                                                                    \
    }                                                                              \
    LUC_INLINE void v##_stream(T *p, v x)                                          \
    {                                                                              \
        *p = x;                                                                    \
    }                                                                              \
    LUC_INLINE void v##_store_n(T *p, v x, int64_t n)                              \
    {                                                                              \
        if (n > 0) *p = x;                                                         \
    }                                                                              \
    LUC_INLINE v v##_add(v a, v b)                                                 \
    {                                                                              \
        return a + b;                                                              \
    }                                                                              \
    LUC_INLINE v v##_sub(v a, v b)                                                 \
    {                                                                              \
        return a - b;                                                              \
    }                                                                              \
    LUC_INLINE v v##_mul(v a, v b)                                                 \
    {                                                                              \
        return a * b;                                                              \
    }                                                                              \
    LUC_INLINE v v##_div(v a, v b)                                                 \
    {                                                                              \
        return a / b;                                                              \
    }                                                                              \
    LUC_INLINE v v##_fma(v a, v b, v c)                                            \
    {                                                                              \
        return fma_(a, b, c);                                                      \
    }                                                                              \
    LUC_INLINE v v##_fnma(v a, v b, v c)                                           \
    {                                                                              \
        return fma_(-a, b, c);                                                     \
    }                                                                              \
    LUC_INLINE v v##_min(v a, v b)                                                 \
    {                                                                              \
        return a < b ? a : b;                                                      \
    }                                                                              \
    LUC_INLINE v v##_max(v a, v b)                                                 \
    {                                                                              \
        return a > b ? a : b;                                                      \
    }                                                                              \
    LUC_INLINE v v##_sqrt(v a)                                                     \
    {                                                                              \
        return sqrt_(a);                                                           \
    }                                                                              \
    LUC_INLINE v v##_abs(v a)                                                      \
    {                                                                              \
        return abs_(a);                                                            \
    }                                                                              \
    LUC_INLINE v v##_neg(v a)                                                      \
    {                                                                              \
        return -a;                                                                 \
    }                                                                              \
    LUC_INLINE v v##_round(v a)                                                    \
    {                                                                              \
        return rint_(a);                                                           \
    }                                                                              \
    LUC_INLINE v v##_floor(v a)                                                    \
    {                                                                              \
        return floor_(a);                                                          \
    }                                                                              \
    LUC_INLINE v v##_ceil(v a)                                                     \
    {                                                                              \
        return ceil_(a);                                                           \
    }                                                                              \
    LUC_INLINE v v##_trunc(v a)                                                    \
    {                                                                              \
        return trunc_(a);                                                          \
    }                                                                              \
    LUC_INLINE M v##_lt(v a, v b)                                                  \
    {                                                                              \
        return a < b;                                                              \
    }                                                                              \
    LUC_INLINE M v##_le(v a, v b)                                                  \
    {                                                                              \
        return a <= b;                                                             \
    }                                                                              \
    LUC_INLINE M v##_gt(v a, v b)                                                  \
    {                                                                              \
        return a > b;                                                              \
    }                                                                              \
    LUC_INLINE M v##_ge(v a, v b)                                                  \
    {                                                                              \
        return a >= b;                                                             \
    }                                                                              \
    LUC_INLINE M v##_eq(v a, v b)                                                  \
    {                                                                              \
        return a == b;                                                             \
    }                                                                              \
    LUC_INLINE M v##_ne(v a, v b)                                                  \
    {                                                                              \
        return a != b;                                                             \
    }                                                                              \
    LUC_INLINE M v##_unordered(v a, v b)                                           \
    {                                                                              \
        return a != a || b != b;                                                   \
    }                                                                              \
    LUC_INLINE M v##_isnan(v a)                                                    \
    {                                                                              \
        return a != a;                                                             \
    }                                                                              \
    LUC_INLINE v v##_select(M m, v a, v b)                                         \
    {                                                                              \
        return m ? a : b;                                                          \
    }                                                                              \
    LUC_INLINE v v##_keep(M m, v a)                                                \
    {                                                                              \
        return m ? a : 0;                                                          \
    }                                                                              \
    LUC_INLINE T v##_sum(v a)                                                      \
    {                                                                              \
        return a;                                                                  \
    }                                                                              \
    LUC_INLINE T v##_hmin(v a)                                                     \
    {                                                                              \
        return a;                                                                  \
    }                                                                              \
    LUC_INLINE T v##_hmax(v a)                                                     \
    {                                                                              \
        return a;                                                                  \
    }

/* clang-format off */
LUC_REF_FLOATING(vf, float, vm, fmaf, sqrtf, fabsf, rintf, floorf, ceilf, truncf)
LUC_REF_FLOATING(vd, double, vmd, fma, sqrt, fabs, rint, floor, ceil, trunc)

#define LUC_REF_MASK(M)                                                                            \
    LUC_INLINE M M##_and(M a, M b) { return a && b; }                                              \
    LUC_INLINE M M##_or(M a, M b) { return a || b; }                                               \
    LUC_INLINE M M##_not(M a) { return !a; }                                                       \
    LUC_INLINE bool M##_any(M a) { return a; }                                                     \
    LUC_INLINE bool M##_all(M a) { return a; }                                                     \
    LUC_INLINE uint32_t M##_bits(M a) { return a; }
LUC_REF_MASK(vm)
LUC_REF_MASK(vmd)

/* float16 and bfloat16 in memory, float in registers */
LUC_INLINE vf vf_load_f16(const uint16_t *p) { return luc_f16_to_f32(*p); }
LUC_INLINE vf vf_load_f16_n(const uint16_t *p, int64_t n) { return n > 0 ? luc_f16_to_f32(*p) : 0; }
LUC_INLINE void vf_store_f16(uint16_t *p, vf x) { *p = luc_f32_to_f16(x); }
LUC_INLINE void vf_store_f16_n(uint16_t *p, vf x, int64_t n) { if (n > 0) *p = luc_f32_to_f16(x); }
LUC_INLINE vf vf_load_bf16(const uint16_t *p) { return luc_bf16_to_f32(*p); }
LUC_INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    return n > 0 ? luc_bf16_to_f32(*p) : 0;
}
LUC_INLINE void vf_store_bf16(uint16_t *p, vf x) { *p = luc_f32_to_bf16(x); }
LUC_INLINE void vf_store_bf16_n(uint16_t *p, vf x, int64_t n)
{
    if (n > 0) *p = luc_f32_to_bf16(x);
}

/* int32 */
LUC_INLINE vi vi_set1(int32_t x) { return x; }
LUC_INLINE vi vi_load(const int32_t *p) { return *p; }
LUC_INLINE void vi_store(int32_t *p, vi x) { *p = x; }
LUC_INLINE vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
LUC_INLINE vi vi_sub(vi a, vi b) { return (vi)((uint32_t)a - (uint32_t)b); }
LUC_INLINE vi vi_mul(vi a, vi b) { return (vi)((uint32_t)a * (uint32_t)b); }
/* the lower and the upper half of the unsigned product */
LUC_INLINE vi vi_mul_wide(vi a, uint32_t b, vi *high)
{
    uint64_t p = (uint64_t)(uint32_t)a * b;
    *high = (vi)(uint32_t)(p >> 32);
    return (vi)(uint32_t)p;
}
/* a run of counters in the order in which vi_store4 wants them: start + 0, 1, ... */
LUC_INLINE vi vi_counters(uint32_t start) { return (vi)start; }
/* p[4 i + j] = the i-th counter's value of a, b, c or d (j = 0, 1, 2, 3) */
LUC_INLINE void vi_store4(uint32_t *p, vi a, vi b, vi c, vi d)
{
    p[0] = (uint32_t)a;
    p[1] = (uint32_t)b;
    p[2] = (uint32_t)c;
    p[3] = (uint32_t)d;
}
LUC_INLINE vi vi_and(vi a, vi b) { return a & b; }
LUC_INLINE vi vi_or(vi a, vi b) { return a | b; }
LUC_INLINE vi vi_xor(vi a, vi b) { return a ^ b; }
LUC_INLINE vi vi_shl(vi a, int n) { return (vi)((uint32_t)a << n); }
LUC_INLINE vi vi_shr(vi a, int n) { return (vi)((uint32_t)a >> n); }
LUC_INLINE vi vi_sar(vi a, int n) { return a >> n; }
LUC_INLINE vm vi_eq(vi a, vi b) { return a == b; }
LUC_INLINE vm vi_gt(vi a, vi b) { return a > b; }
LUC_INLINE vi vi_select(vm m, vi a, vi b) { return m ? a : b; }
/* the first n lanes from memory, the others 0, and back */
LUC_INLINE vi vi_load_n(const int32_t *p, int64_t n) { return n > 0 ? *p : 0; }
LUC_INLINE void vi_store_n(int32_t *p, vi x, int64_t n) { if (n > 0) *p = x; }

/* pairs: the even and the odd elements of (a, b), and back: zip_low(a, b) = a0 b0 a1 b1 ... */
LUC_INLINE vf vf_even(vf a, vf b) { (void)b; return a; }
LUC_INLINE vf vf_odd(vf a, vf b) { (void)a; return b; }
LUC_INLINE vf vf_zip_low(vf a, vf b) { (void)b; return a; }
LUC_INLINE vf vf_zip_high(vf a, vf b) { (void)a; return b; }
LUC_INLINE vd vd_even(vd a, vd b) { (void)b; return a; }
LUC_INLINE vd vd_odd(vd a, vd b) { (void)a; return b; }
LUC_INLINE vd vd_zip_low(vd a, vd b) { (void)b; return a; }
LUC_INLINE vd vd_zip_high(vd a, vd b) { (void)a; return b; }

/* 2 LUC_VF numbers x0 y0 x1 y1 ... apart, and together again; the order of the pairs within a
 * register is the level's own */
LUC_INLINE void vi_load_pairs(const uint32_t *p, vi *x, vi *y)
{
    *x = (vi)p[0];
    *y = (vi)p[1];
}
LUC_INLINE void vf_store_pairs(float *p, vf x, vf y)
{
    p[0] = x;
    p[1] = y;
}

/* between them: to_vi rounds to nearest even (out of range or NaN: INT32_MIN, as the CPU does) */
LUC_INLINE vi vf_to_vi(vf x)
{
    float r = rintf(x);
    return r >= -0x1p31f && r < 0x1p31f ? (vi)r : INT32_MIN;
}
LUC_INLINE vf vi_to_vf(vi x) { return (vf)x; }
LUC_INLINE vi vf_bits(vf x) { return (vi)luc_float_bits(x); }
LUC_INLINE vf vi_float(vi x) { return luc_bits_float((uint32_t)x); }

/* float data in double arithmetic: acc + every lane of x, or of a*b, folded into acc's lanes */
LUC_INLINE vd vd_add_vf(vd acc, vf x) { return acc + (double)x; }
LUC_INLINE vd vd_fma_vf(vd acc, vf a, vf b) { return fma((double)a, (double)b, acc); }
LUC_INLINE vd vd_load_f32(const float *p) { return (double)*p; }
LUC_INLINE vd vd_load_f32_n(const float *p, int64_t n) { return n > 0 ? (double)*p : 0; }
LUC_INLINE void vd_store_f32(float *p, vd x) { *p = (float)x; }
LUC_INLINE void vd_store_f32_n(float *p, vd x, int64_t n) { if (n > 0) *p = (float)x; }

/* the sums over the lanes of LUC_VF vectors, one sum a lane */
LUC_INLINE vf vf_lane_sums(const vf *v) { return *v; }

/* x as a vector that stays in a register (a hint) */
#define LUC_IN_REGISTER(x) (void)(x)

/* after *_stream, before another thread reads */
LUC_INLINE void luc_stream_fence(void) {}
/* clang-format on */

#endif

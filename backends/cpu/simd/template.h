/*
 * template.h: how a template file is written. A file whose name ends in _tmpl.h is included once
 * for each type that it is for, with the type's short name in LUC_DT, and nothing else:
 *
 *     #define LUC_DT f16
 *     #include "backends/cpu/scale/scale_tmpl.h"
 *     #undef LUC_DT
 *
 * Within it the names below stand for that type. The floating types f32, f64, f16 and bf16 are
 * defined here. A family may have types of its own (sort's `narrow` and `wide`), for which it
 * defines luc_elem_<type> and what else it uses.
 *
 *     LUC_T                             an element in memory
 *     LUC_S, LUC_V, LUC_M               the scalar, the vector and the mask that it is computed in
 *                                       (of float for the 16-bit types)
 *     LUC_LANES                         how many elements a vector holds
 *     LUC_F(name)                       name_f16: every function and type of a template is named so
 *     LUC_VO(add)(a, b)                 vf_add or vd_add, likewise every operation of simd.h
 *     LUC_MO(and)(a, b)                 vm_and or vmd_and
 *     LUC_LOAD(p), LUC_LOAD_N(p, n)     elements to a vector
 *     LUC_LOAD_SOME(p, n)               the same, n >= 1, as vf_load_some
 *     LUC_STORE(p, v), LUC_STORE_N(p, v, n), LUC_STREAM(p, v)
 *     LUC_GET(p), LUC_PUT(p, s)         one element to and from LUC_S
 *     LUC_FIRST(n)                      the mask of the first n lanes
 *     LUC_PARTS, LUC_PART(v, k)         a vector in double: how many vd, and the k-th
 */
#ifndef LUC_TEMPLATE_H
#define LUC_TEMPLATE_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/simd/simd.h"

typedef float luc_elem_f32;
typedef double luc_elem_f64;
typedef uint16_t luc_elem_f16, luc_elem_bf16;

#define LUC_V_f32  vf
#define LUC_V_f64  vd
#define LUC_V_f16  vf
#define LUC_V_bf16 vf
#define LUC_M_f32  vm
#define LUC_M_f64  vmd
#define LUC_M_f16  vm
#define LUC_M_bf16 vm
#define LUC_S_f32  float
#define LUC_S_f64  double
#define LUC_S_f16  float
#define LUC_S_bf16 float
#define LUC_N_f32  LUC_VF
#define LUC_N_f64  LUC_VD
#define LUC_N_f16  LUC_VF
#define LUC_N_bf16 LUC_VF

#define LUC_T         LUC_JOIN(luc_elem_, LUC_DT)
#define LUC_S         LUC_JOIN(LUC_S_, LUC_DT)
#define LUC_V         LUC_JOIN(LUC_V_, LUC_DT)
#define LUC_M         LUC_JOIN(LUC_M_, LUC_DT)
#define LUC_LANES     LUC_JOIN(LUC_N_, LUC_DT)
#define LUC_F(name)   LUC_JOIN(name##_, LUC_DT)
#define LUC_VO(op)    LUC_JOIN(LUC_V, _##op)
#define LUC_MO(op)    LUC_JOIN(LUC_M, _##op)
#define LUC_LOAD      LUC_F(luc_load)
#define LUC_LOAD_N    LUC_F(luc_load_n)
#define LUC_LOAD_SOME LUC_F(luc_load_some)
#define LUC_STORE     LUC_F(luc_store)
#define LUC_STORE_N   LUC_F(luc_store_n)
#define LUC_STREAM    LUC_F(luc_stream)
#define LUC_GET       LUC_F(luc_get)
#define LUC_PUT       LUC_F(luc_put)
#define LUC_PART      LUC_F(luc_part)
#define LUC_PARTS     LUC_F(luc_parts)
#define LUC_FIRST     LUC_F(luc_first)

/* clang-format off */
#define LUC_TYPED_LOADS(dt, T, S, V, load, load_n, store, store_n, stream, get, put)               \
    LUC_INLINE V luc_load_##dt(const T *p) { return load(p); }                                     \
    LUC_INLINE V luc_load_n_##dt(const T *p, int64_t n) { return load_n(p, n); }                   \
    LUC_INLINE void luc_store_##dt(T *p, V v) { store(p, v); }                                     \
    LUC_INLINE void luc_store_n_##dt(T *p, V v, int64_t n) { store_n(p, v, n); }                   \
    LUC_INLINE void luc_stream_##dt(T *p, V v) { stream(p, v); }                                   \
    LUC_INLINE S luc_get_##dt(const T *p) { return get(*p); }                                      \
    LUC_INLINE void luc_put_##dt(T *p, S s) { *p = put(s); }

LUC_TYPED_LOADS(f32, float, float, vf, vf_load, vf_load_n, vf_store, vf_store_n, vf_stream, , )
LUC_TYPED_LOADS(f64, double, double, vd, vd_load, vd_load_n, vd_store, vd_store_n, vd_stream, , )
LUC_TYPED_LOADS(f16, uint16_t, float, vf, vf_load_f16, vf_load_f16_n, vf_store_f16, vf_store_f16_n,
                vf_store_f16, luc_f16_to_f32, luc_f32_to_f16)
LUC_TYPED_LOADS(bf16, uint16_t, float, vf, vf_load_bf16, vf_load_bf16_n, vf_store_bf16,
                vf_store_bf16_n, vf_store_bf16, luc_bf16_to_f32, luc_f32_to_bf16)

/* clang-format on */

/* The mask of the first n lanes. */
LUC_INLINE vm luc_first_f32(int64_t n)
{
    static const float lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vf_lt(vf_load(lane), vf_set1((float)n));
}
LUC_INLINE vmd luc_first_f64(int64_t n)
{
    static const double lane[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    return vd_lt(vd_load(lane), vd_set1((double)n));
}

LUC_INLINE vf luc_load_some_f32(const float *p, int64_t n)
{
    return vf_load_some(p, n);
}
LUC_INLINE vd luc_load_some_f64(const double *p, int64_t n)
{
    return vd_load_some(p, n);
}
LUC_INLINE vf luc_load_some_f16(const uint16_t *p, int64_t n)
{
    vf first = vf_set1(luc_f16_to_f32(*p));
    return vf_select(luc_first_f32(n), vf_load_f16_n(p, n), first);
}
LUC_INLINE vf luc_load_some_bf16(const uint16_t *p, int64_t n)
{
    vf first = vf_set1(luc_bf16_to_f32(*p));
    return vf_select(luc_first_f32(n), vf_load_bf16_n(p, n), first);
}
#define luc_first_f16  luc_first_f32
#define luc_first_bf16 luc_first_f32

/* A vector in double: as many vd as are needed for it. */
#if LUC_HAS_VECTORS
enum { luc_parts_f32 = 2, luc_parts_f64 = 1, luc_parts_f16 = 2, luc_parts_bf16 = 2 };
LUC_INLINE vd luc_part_f32(vf v, int k)
{
    return k ? luc_high(v) : luc_low(v);
}
#else
enum { luc_parts_f32 = 1, luc_parts_f64 = 1, luc_parts_f16 = 1, luc_parts_bf16 = 1 };
LUC_INLINE vd luc_part_f32(vf v, int k)
{
    (void)k;
    return (vd)v;
}
#endif
LUC_INLINE vd luc_part_f64(vd v, int k)
{
    (void)k;
    return v;
}
#define luc_part_f16  luc_part_f32
#define luc_part_bf16 luc_part_f32

/* How many elements of `size` bytes lie before the next address that LUC_STREAM takes. */
LUC_INLINE int64_t luc_to_aligned(const void *p, size_t size)
{
    enum { LINE = 64 };
    uintptr_t over = (uintptr_t)p % LINE;
    return over ? (int64_t)((LINE - over) / size) : 0;
}

/* The four floating dtypes' slots of a level's table, from functions name_f32, name_f64, ... */
#define LUC_FLOATING(name)                              \
    {                                                   \
        name##_f32, name##_f64, name##_f16, name##_bf16 \
    }

#endif

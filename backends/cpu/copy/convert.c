/* convert.c: conversions between element types; compiled for each level. */
#include "backends/cpu/copy/convert.h"
#include "backends/cpu/simd/simd.h"

#include <string.h>

/* Numbers out of range and NaN become the smallest integer, as on x86. */
LUC_INLINE int64_t f_i64(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}
LUC_INLINE int32_t f_i32(double x)
{
    return x > -2147483649.0 && x < 0x1p31 ? (int32_t)x : INT32_MIN;
}
#define f_u8(x)   ((uint8_t)f_i64(x))
#define f_f32(x)  ((float)(x))
#define f_f64(x)  ((double)(x))
#define f_bool(x) ((uint8_t)((x) != 0))
#define i_i64(x)  ((int64_t)(x))
#define i_i32(x)  ((int32_t)(x))
#define i_u8(x)   ((uint8_t)(x))
#define i_f32(x)  ((float)(x))
#define i_f64(x)  ((double)(x))
#define i_bool(x) ((uint8_t)((x) != 0))

typedef float t_f32;
typedef double t_f64;
typedef int64_t t_i64;
typedef int32_t t_i32;
typedef uint8_t t_u8, t_bool;

#define CONVERT(kind, from, to)                                   \
    static void from##_##to(void *y_, const void *x_, int64_t n)  \
    {                                                             \
        t_##to *restrict y = y_;                                  \
        const t_##from *restrict x = x_;                          \
        for (int64_t i = 0; i < n; i++) y[i] = kind##_##to(x[i]); \
    }
#define SAME(type)                                               \
    static void type##_##type(void *y, const void *x, int64_t n) \
    {                                                            \
        memcpy(y, x, (size_t)n * sizeof(t_##type));              \
    }

/* clang-format off */
SAME(f32) CONVERT(f, f32, f64) CONVERT(f, f32, i64) CONVERT(f, f32, i32) CONVERT(f, f32, u8)
CONVERT(f, f32, bool)
CONVERT(f, f64, f32) SAME(f64) CONVERT(f, f64, i64) CONVERT(f, f64, i32) CONVERT(f, f64, u8)
CONVERT(f, f64, bool)
CONVERT(i, i64, f32) CONVERT(i, i64, f64) SAME(i64) CONVERT(i, i64, i32) CONVERT(i, i64, u8)
CONVERT(i, i64, bool)
CONVERT(i, i32, f32) CONVERT(i, i32, f64) CONVERT(i, i32, i64) SAME(i32) CONVERT(i, i32, u8)
CONVERT(i, i32, bool)
CONVERT(i, u8, f32) CONVERT(i, u8, f64) CONVERT(i, u8, i64) CONVERT(i, u8, i32) SAME(u8)
CONVERT(i, u8, bool)
    /* clang-format on */

    /* The 16-bit types are converted to float first, as in PyTorch. */
    typedef uint16_t t_f16,
    t_bf16;
SAME(f16)
SAME(bf16)

#define WIDEN(half)                                                                  \
    static void half##_f32(void *y_, const void *x_, int64_t n)                      \
    {                                                                                \
        float *y = y_;                                                               \
        const uint16_t *x = x_;                                                      \
        int64_t i = 0;                                                               \
        for (; i + LUC_VF <= n; i += LUC_VF) vf_store(y + i, vf_load_##half(x + i)); \
        if (i < n) vf_store_n(y + i, vf_load_##half##_n(x + i, n - i), n - i);       \
    }                                                                                \
    static void f32_##half(void *y_, const void *x_, int64_t n)                      \
    {                                                                                \
        uint16_t *y = y_;                                                            \
        const float *x = x_;                                                         \
        int64_t i = 0;                                                               \
        for (; i + LUC_VF <= n; i += LUC_VF) vf_store_##half(y + i, vf_load(x + i)); \
        if (i < n) vf_store_##half##_n(y + i, vf_load_n(x + i, n - i), n - i);       \
    }
WIDEN(f16)
WIDEN(bf16)

enum { CHUNK = 512 };
#define BY_FLOAT(from, to)                                     \
    static void from##_##to(void *y, const void *x, int64_t n) \
    {                                                          \
        float wide[CHUNK];                                     \
        for (int64_t i = 0; i < n; i += CHUNK) {               \
            int64_t count = n - i < CHUNK ? n - i : CHUNK;     \
            from##_f32(wide, (const t_##from *)x + i, count);  \
            f32_##to((t_##to *)y + i, wide, count);            \
        }                                                      \
    }
/* clang-format off */
BY_FLOAT(f16, f64) BY_FLOAT(f16, bf16) BY_FLOAT(f16, i64) BY_FLOAT(f16, i32) BY_FLOAT(f16, u8)
BY_FLOAT(f16, bool)
BY_FLOAT(bf16, f64) BY_FLOAT(bf16, f16) BY_FLOAT(bf16, i64) BY_FLOAT(bf16, i32) BY_FLOAT(bf16, u8)
BY_FLOAT(bf16, bool)
BY_FLOAT(f64, f16) BY_FLOAT(i64, f16) BY_FLOAT(i32, f16) BY_FLOAT(u8, f16)
BY_FLOAT(f64, bf16) BY_FLOAT(i64, bf16) BY_FLOAT(i32, bf16) BY_FLOAT(u8, bf16)

#define FROM(from)                                                                                 \
    {                                                                                              \
        [LUCID_F32] = from##_f32, [LUCID_F64] = from##_f64, [LUCID_F16] = from##_f16,              \
        [LUCID_BF16] = from##_bf16, [LUCID_I64] = from##_i64, [LUCID_I32] = from##_i32,            \
        [LUCID_U8] = from##_u8, [LUCID_BOOL] = from##_bool                                         \
    }
LUC_LEVEL_TABLE(luc_convert_table, luc_convert) = {{
    [LUCID_F32] = FROM(f32), [LUCID_F64] = FROM(f64), [LUCID_F16] = FROM(f16),
    [LUCID_BF16] = FROM(bf16), [LUCID_I64] = FROM(i64), [LUCID_I32] = FROM(i32),
    [LUCID_U8] = FROM(u8), [LUCID_BOOL] = FROM(u8), /* a bool is a u8 that is 0 or 1 */
}};
/* clang-format on */

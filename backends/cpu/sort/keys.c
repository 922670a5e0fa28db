/* keys.c: converts elements to keys and back, and searches in keys; compiled for each
 * level. */
#include "backends/cpu/sort/sort_priv.h"

#if defined(LUC_LEVEL_AVX512)
#include <immintrin.h>
#endif

/* -- keys -- */
/* The key of a float: its bits, complemented if it is negative. K is the type of the key, B that of
 * the bits (of the element's size), INFINITE the bits of infinity. */
#define FLOAT_KEYS(name, K, B, INFINITE)                                         \
    static void keys_##name(void *keys_, const void *x_, int64_t n, bool flip)   \
    {                                                                            \
        const B *restrict x = x_;                                                \
        K *restrict keys = keys_;                                                \
        const B sign = (B)((B)1 << (8 * sizeof(B) - 1)), all = (B) ~(B)0;        \
        const K turned = flip ? ~(K)0 : 0;                                       \
        for (int64_t i = 0; i < n; i++) {                                        \
            B b = x[i], size = (B)(b & (B)~sign);                                \
            b = size == 0 ? 0 : b;                                               \
            B key = (B)(b & sign ? (B)~b : (B)(b | sign));                       \
            key = size > (INFINITE) ? all : key;                                 \
            keys[i] = (K)key ^ turned;                                           \
        }                                                                        \
    }                                                                            \
    static void values_##name(void *y_, const void *keys_, int64_t n, bool flip) \
    {                                                                            \
        B *restrict y = y_;                                                      \
        const K *restrict keys = keys_;                                          \
        const B sign = (B)((B)1 << (8 * sizeof(B) - 1));                         \
        const K turned = flip ? ~(K)0 : 0;                                       \
        for (int64_t i = 0; i < n; i++) {                                        \
            B key = (B)(keys[i] ^ turned);                                       \
            y[i] = (B)(key & sign ? key ^ sign : (B)~key);                       \
        }                                                                        \
    }
FLOAT_KEYS(f32, uint32_t, uint32_t, 0x7f800000u)
FLOAT_KEYS(f64, uint64_t, uint64_t, 0x7ff0000000000000u)
FLOAT_KEYS(f16, uint32_t, uint16_t, 0x7c00u)
FLOAT_KEYS(bf16, uint32_t, uint16_t, 0x7f80u)

/* SIGN: the sign bit, or 0 for unsigned types. */
#define INTEGER_KEYS(name, K, B, SIGN)                                           \
    static void keys_##name(void *keys_, const void *x_, int64_t n, bool flip)   \
    {                                                                            \
        const B *restrict x = x_;                                                \
        K *restrict keys = keys_;                                                \
        const K turned = (K)((flip ? ~(K)0 : 0) ^ (SIGN));                       \
        for (int64_t i = 0; i < n; i++) keys[i] = (K)x[i] ^ turned;              \
    }                                                                            \
    static void values_##name(void *y_, const void *keys_, int64_t n, bool flip) \
    {                                                                            \
        B *restrict y = y_;                                                      \
        const K *restrict keys = keys_;                                          \
        const K turned = (K)((flip ? ~(K)0 : 0) ^ (SIGN));                       \
        for (int64_t i = 0; i < n; i++) y[i] = (B)(keys[i] ^ turned);            \
    }
INTEGER_KEYS(i64, uint64_t, uint64_t, 0x8000000000000000u)
INTEGER_KEYS(i32, uint32_t, uint32_t, 0x80000000u)
INTEGER_KEYS(u8, uint32_t, uint8_t, 0u)

/* -- ranks: n * n comparisons, of which a vector does many -- */
/* Ranks 16 keys at a time. Numbers after the last key are compared too, and their counts ignored.
 * Compilers do not make this of loops over numbers; a comparison of vectors gives 0 or -1. */
typedef uint32_t ranks __attribute__((vector_size(64)));
#define RANKS(name, K, I)                                                                  \
    typedef K name##_keys __attribute__((vector_size(16 * sizeof(K))));                    \
    typedef I name##_mask __attribute__((vector_size(16 * sizeof(K))));                    \
    static void name(uint32_t *rank, const K *keys, int n)                                 \
    {                                                                                      \
        const name##_mask number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; \
        for (int from = 0; from < n; from += 16) {                                         \
            name##_keys its;                                                               \
            name##_mask before = {0};                                                      \
            memcpy(&its, keys + from, sizeof its);                                         \
            for (int j = 0; j < from; j++) before -= keys[j] <= its;                       \
            for (int j = from; j < from + 16 && j < n; j++)                                \
                before -= (keys[j] < its) | ((keys[j] == its) & (number > j - from));      \
            for (int j = from + 16; j < n; j++) before -= keys[j] < its;                   \
            const ranks counts = __builtin_convertvector(before, ranks);                   \
            memcpy(rank + from, &counts, sizeof counts);                                   \
        }                                                                                  \
    }
RANKS(ranks_narrow, uint32_t, int32_t)
RANKS(ranks_wide, uint64_t, int64_t)

/* -- search -- */
#define BELOW(name, K)                                                   \
    static int64_t name(const K *keys, int64_t from, int64_t n, K limit) \
    {                                                                    \
        int64_t i = from;                                                \
        BELOW_VECTORS_##K for (; i + 16 <= n; i += 16)                   \
        {                                                                \
            K any = 0;                                                   \
            for (int j = 0; j < 16; j++) any |= keys[i + j] < limit;     \
            if (any) break;                                              \
        }                                                                \
        while (i < n && keys[i] >= limit) i++;                           \
        return i;                                                        \
    }
#if defined(LUC_LEVEL_AVX512)
#define BELOW_VECTORS_uint32_t                                                         \
    const __m512i limits = _mm512_set1_epi32((int)limit);                              \
    for (; i + 16 <= n; i += 16) {                                                     \
        unsigned mask = _mm512_cmplt_epu32_mask(_mm512_loadu_si512(keys + i), limits); \
        if (mask) return i + __builtin_ctz(mask);                                      \
    }
#define BELOW_VECTORS_uint64_t                                                         \
    const __m512i limits = _mm512_set1_epi64((long long)limit);                        \
    for (; i + 8 <= n; i += 8) {                                                       \
        unsigned mask = _mm512_cmplt_epu64_mask(_mm512_loadu_si512(keys + i), limits); \
        if (mask) return i + __builtin_ctz(mask);                                      \
    }
#else
#define BELOW_VECTORS_uint32_t
#define BELOW_VECTORS_uint64_t
#endif
BELOW(below_narrow, uint32_t)
BELOW(below_wide, uint64_t)

#define BY_TYPE(name)                                                                   \
    {                                                                                   \
        [LUCID_F32] = name##_f32, [LUCID_F64] = name##_f64, [LUCID_F16] = name##_f16,   \
        [LUCID_BF16] = name##_bf16, [LUCID_I64] = name##_i64, [LUCID_I32] = name##_i32, \
        [LUCID_U8] = name##_u8, [LUCID_BOOL] = name##_u8                                \
    }

LUC_LEVEL_TABLE(luc_sort_table, luc_sort) = {
    .keys = BY_TYPE(keys),
    .values = BY_TYPE(values),
    .ranks_narrow = ranks_narrow,
    .ranks_wide = ranks_wide,
    .below_narrow = below_narrow,
    .below_wide = below_wide,
};

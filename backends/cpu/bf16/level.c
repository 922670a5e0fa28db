/* level.c: what goes before and after blocks of products of bfloat16: operands in their formats,
 * and sums rounded; compiled for each level. Generic has the blocks too, by emulated tiles. */
#include "backends/cpu/bf16/block_tiles.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/simd/template.h"

#define LUC_ROUND_BF16   vf_store_bf16
#define LUC_ROUND_BF16_N vf_store_bf16_n
#include "backends/cpu/bf16/finish.h"

enum { PAIRS = LUC_BF16_BLOCK / 2, TILE = LUC_BF16_TILE, TILE_NUMBERS = LUC_BF16_PACKED / 2 };

/* ---- operands -------------------------------------------------------------------------------- */

static void copy_rows(uint16_t *to, int64_t step, const uint16_t *const *row, int64_t m,
                      int64_t numbers)
{
    for (int64_t i = 0; i < m; i++, to += LUC_BF16_BLOCK) {
        uint16_t *at = to;
        for (int64_t k = 0; k < numbers; k += LUC_BF16_BLOCK, at += step) {
            const size_t some = (size_t)luc_min64(numbers - k, LUC_BF16_BLOCK);
            if (!row[i]) {
                memset(at, 0, sizeof *at * LUC_BF16_BLOCK);
            } else if (some == LUC_BF16_BLOCK) {
                memcpy(at, row[i] + k, sizeof *at * LUC_BF16_BLOCK);
            } else {
                memcpy(at, row[i] + k, sizeof *at * some);
                memset(at + some, 0, sizeof *at * (LUC_BF16_BLOCK - some));
            }
        }
    }
}

#if defined(__AVX512BW__)
/* n <= 16 numbers of two lines, in pairs. */
LUC_INLINE void pair(uint16_t *to, const uint16_t *even, const uint16_t *odd, int64_t n)
{
    const __mmask16 first = (__mmask16)((1u << n) - 1);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i low = even ? _mm256_maskz_loadu_epi16(first, even) : zero;
    const __m256i high = odd ? _mm256_maskz_loadu_epi16(first, odd) : zero;
    const __m512i pairs = _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                                          _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    _mm512_storeu_si512(to, pairs);
}
#else
LUC_INLINE void pair(uint16_t *to, const uint16_t *even, const uint16_t *odd, int64_t n)
{
    for (int64_t j = 0; j < TILE; j++) {
        to[2 * j] = even && j < n ? even[j] : 0;
        to[2 * j + 1] = odd && j < n ? odd[j] : 0;
    }
}
#endif

#if defined(__AVX512BW__)
LUC_INLINE __m512i all_columns(const uint16_t *line)
{
    return line ? _mm512_loadu_si512(line) : _mm512_setzero_si512();
}

/* Pairs of 32 columns, for both tiles. */
static void whole_columns(uint16_t *to, const uint16_t *const *line)
{
    const __m512i first = _mm512_or_si512(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_slli_epi32(
            _mm512_set_epi32(47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32), 16));
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(TILE));
    for (int p = 0; p < PAIRS; p++, to += LUC_BF16_BLOCK) {
        const __m512i even = all_columns(line[2 * p]), odd = all_columns(line[2 * p + 1]);
        _mm512_storeu_si512(to, _mm512_permutex2var_epi16(even, first, odd));
        _mm512_storeu_si512(to + TILE_NUMBERS, _mm512_permutex2var_epi16(even, second, odd));
    }
}
#endif

static void columns(uint16_t *to, const uint16_t *const *line, int64_t n)
{
#if defined(__AVX512BW__)
    if (n == LUC_BF16_BLOCK) {
        whole_columns(to, line);
        return;
    }
#endif
    for (int64_t t = 0; t < LUC_BF16_BLOCK; t += TILE) {
        const int64_t some = luc_min64(luc_max64(n - t, 0), TILE);
        for (int p = 0; p < PAIRS; p++, to += LUC_BF16_BLOCK) {
            const uint16_t *even = line[2 * p], *odd = line[2 * p + 1];
            pair(to, even ? even + t : NULL, odd ? odd + t : NULL, some);
        }
    }
}

/* A pair is one element of 4 bytes: 16 columns by 16 pairs are transposed. */
static void transpose_tile(uint16_t *to, const uint16_t *from)
{
    luc_gemm_get()->transpose_32((float *)(void *)to, TILE, (const float *)(const void *)from, TILE,
                                 TILE, TILE);
}

static void rows_across(uint16_t *to, const uint16_t *const *line, int64_t m)
{
    _Alignas(64) uint16_t paired[LUC_BF16_PACKED];
    columns(paired, line, m);
    transpose_tile(to, paired);
    transpose_tile(to + TILE_NUMBERS, paired + TILE_NUMBERS);
}

static void columns_across(uint16_t *to, const uint16_t *const *column, int64_t k)
{
    _Alignas(64) uint16_t lines[LUC_BF16_PACKED];
    copy_rows(lines, 0, column, LUC_BF16_BLOCK, k);
    transpose_tile(to, lines);
    transpose_tile(to + TILE_NUMBERS, lines + TILE_NUMBERS);
}

#if defined(LUC_LEVEL_GENERIC)
static bool always(void)
{
    return true;
}
static bool never(void)
{
    return false;
}
static void nothing(void)
{
}
#endif

LUC_LEVEL_TABLE(luc_bf16_table, luc_bf16) = {
#if defined(LUC_LEVEL_GENERIC)
    .pays = never,
    .is_permitted = always,
    .begin = nothing,
    .end = nothing,
    .block = luc_block_with_tiles,
#endif
    .finish = luc_finish_block,
    .rows = copy_rows,
    .rows_across = rows_across,
    .columns = columns,
    .columns_across = columns_across,
};

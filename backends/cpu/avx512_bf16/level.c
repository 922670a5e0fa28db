/* level.c: what AVX512-BF16 does better than AVX-512: blocks of products of bfloat16, and their
 * rounding. */
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/simd/simd.h"

#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>

/* The instruction makes zero of a subnormal number, as those that made the sums do. */
LUC_INLINE void round_and_store(uint16_t *p, __m512 x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)_mm512_cvtneps_pbh(x));
}

LUC_INLINE void round_and_store_n(uint16_t *p, __m512 x, int64_t n)
{
    const __mmask16 first = (__mmask16)((1u << n) - 1);
    _mm256_mask_storeu_epi16(p, first, (__m256i)_mm512_cvtneps_pbh(x));
}

#define LUC_ROUND_BF16   round_and_store
#define LUC_ROUND_BF16_N round_and_store_n
#include "backends/cpu/bf16/finish.h"

enum { GROUP = 8, PAIRS = LUC_BF16_BLOCK / 2, TILE_NUMBERS = LUC_BF16_PACKED / 2 };

LUC_INLINE __m512bh pairs_at(const uint16_t *p)
{
    return (__m512bh)_mm512_loadu_si512(p);
}

/* A pair of a row, in all lanes. */
LUC_INLINE __m512bh same_pair(const uint16_t *p)
{
    int32_t both;
    memcpy(&both, p, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* GROUP rows by all columns: 16 sums of vectors are in registers. */
LUC_INLINE void rows_of_block(const luc_bf16_block *k, int64_t first)
{
    const int64_t low = first % LUC_BF16_TILE;
    const uint16_t *rows = k->a + (first - low) / LUC_BF16_TILE * k->a_half + low * k->a_row;
    const uint16_t *b = k->b;
    __m512 x[GROUP], y[GROUP];
    for (int r = 0; r < GROUP; r++) x[r] = y[r] = _mm512_setzero_ps();
    for (int64_t i = 0; i < k->runs; i++) {
        const uint16_t *a = rows + k->a_run[i];
        for (int64_t s = 0; s < k->steps; s++, a += k->a_step, b += LUC_BF16_PACKED)
            for (int p = 0; p < PAIRS; p++) {
                const __m512bh u = pairs_at(b + p * LUC_BF16_BLOCK);
                const __m512bh v = pairs_at(b + TILE_NUMBERS + p * LUC_BF16_BLOCK);
#pragma GCC unroll 8
                for (int r = 0; r < GROUP; r++) {
                    const __m512bh same = same_pair(a + r * k->a_row + 2 * p);
                    x[r] = _mm512_dpbf16_ps(x[r], same, u);
                    y[r] = _mm512_dpbf16_ps(y[r], same, v);
                }
            }
    }
    float *c = k->c + first * LUC_BF16_BLOCK;
    for (int r = 0; r < GROUP; r++, c += LUC_BF16_BLOCK) {
        _mm512_storeu_ps(c, x[r]);
        _mm512_storeu_ps(c + LUC_VF, y[r]);
    }
}

static void block_of_dots(const luc_bf16_block *k)
{
    for (int64_t r = 0; r < k->m; r += GROUP) rows_of_block(k, r);
}

/* AMD's CPUs multiply twice as many pairs a cycle as floats. Intel's do half of that: on a Xeon
 * with AMX these blocks reach 80 GFLOP/s, and float's tiles 150, on two cores. */
static bool is_amd;

static void find_vendor(void)
{
    unsigned a, b, c, d;
    is_amd = __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
}

static bool pays(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_vendor); /* under a hypervisor the question takes microseconds */
    return is_amd;
}

static const luc_bf16_table bf16 = {
    .pays = pays,
    .block = block_of_dots,
    .finish = luc_finish_block,
};

extern const luc_override luc_overrides_avx512_bf16[];
const luc_override luc_overrides_avx512_bf16[] = {
    LUC_OVERRIDE(luc_bf16, &bf16),
    LUC_NO_OVERRIDE,
};

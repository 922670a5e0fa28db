/* gemm_blocked.c: blocked matrix products of float and double; compiled for each level. */
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/matmul/tile_priv.h"

enum {
    DEPTH = 256,      /* k steps between two visits of C: 32 columns of B then fit into the L1 */
    BLOCK_ROWS = 112, /* rows of A that are copied together: with DEPTH steps, 112 KB of the L2 */
    ITEM_ROWS = 448,  /* the most rows of C that one item of parallel work covers */
    ITEM_COLS = 256,
    FEW = 4,             /* up to this number of rows or columns: dot products */
    SMALL_WORK = 500000, /* operations that are not worth waking other threads for */
};

/* Cuts n into pieces of at most `most`, as even as multiples of `unit` allow. Returns the size of a
 * piece. */
static int64_t even_pieces(int64_t n, int64_t most, int64_t unit)
{
    int64_t pieces = luc_ceil_div(n, most);
    if (pieces < 1) return unit;
    int64_t size = luc_ceil_div(n, pieces);
    return luc_ceil_div(size, unit) * unit;
}

#if defined(LUC_LEVEL_AVX512)
enum { GROUP = 16 };
/* Rows r, r+4, r+8, r+12, four columns each, one row in each quarter of the vector. */
LUC_INLINE __m512 load_quarters(const float *p, int64_t ld)
{
    __m512 z = _mm512_castps128_ps512(_mm_loadu_ps(p));
    z = _mm512_insertf32x4(z, _mm_loadu_ps(p + 4 * ld), 1);
    z = _mm512_insertf32x4(z, _mm_loadu_ps(p + 8 * ld), 2);
    return _mm512_insertf32x4(z, _mm_loadu_ps(p + 12 * ld), 3);
}
#define UNPACK_LO _mm512_unpacklo_ps
#define UNPACK_HI _mm512_unpackhi_ps
#define SHUFFLE   _mm512_shuffle_ps
#elif defined(LUC_LEVEL_AVX2)
enum { GROUP = 8 };
LUC_INLINE __m256 load_quarters(const float *p, int64_t ld)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * ld),
                                1);
}
#define UNPACK_LO _mm256_unpacklo_ps
#define UNPACK_HI _mm256_unpackhi_ps
#define SHUFFLE   _mm256_shuffle_ps
#else
enum { GROUP = 1 };
#endif

#if defined(SHUFFLE)
/* Four columns of GROUP rows become four vectors. */
LUC_INLINE void transpose_group(float *dst, int64_t ld_dst, const float *src, int64_t ld_src)
{
    vf a = load_quarters(src, ld_src), b = load_quarters(src + ld_src, ld_src);
    vf c = load_quarters(src + 2 * ld_src, ld_src), d = load_quarters(src + 3 * ld_src, ld_src);
    vf ab_lo = UNPACK_LO(a, b), ab_hi = UNPACK_HI(a, b);
    vf cd_lo = UNPACK_LO(c, d), cd_hi = UNPACK_HI(c, d);
    vf_store(dst, SHUFFLE(ab_lo, cd_lo, 0x44));
    vf_store(dst + ld_dst, SHUFFLE(ab_lo, cd_lo, 0xee));
    vf_store(dst + 2 * ld_dst, SHUFFLE(ab_hi, cd_hi, 0x44));
    vf_store(dst + 3 * ld_dst, SHUFFLE(ab_hi, cd_hi, 0xee));
}
#endif

/* dst[c * ld_dst + r] = src[r * ld_src + c] */
static void transpose_f32(float *dst, int64_t ld_dst, const float *src, int64_t ld_src,
                          int64_t rows, int64_t cols)
{
    int64_t r = 0;
#if defined(SHUFFLE)
    for (; r + GROUP <= rows; r += GROUP) {
        int64_t c = 0;
        for (; c + 4 <= cols; c += 4)
            transpose_group(dst + c * ld_dst + r, ld_dst, src + r * ld_src + c, ld_src);
        for (; c < cols; c++)
            for (int i = 0; i < GROUP; i++) dst[c * ld_dst + r + i] = src[(r + i) * ld_src + c];
    }
#endif
    for (int64_t c = 0; c < cols; c++)
        for (int64_t i = r; i < rows; i++) dst[c * ld_dst + i] = src[i * ld_src + c];
}

static void transpose_f64(double *dst, int64_t ld_dst, const double *src, int64_t ld_src,
                          int64_t rows, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < rows; r++) dst[c * ld_dst + r] = src[r * ld_src + c];
}

#define LUC_DT f32
#include "backends/cpu/matmul/gemm_blocked_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/matmul/gemm_blocked_tmpl.h"
#undef LUC_DT

LUC_LEVEL_TABLE(luc_gemm_table, luc_gemm) = {
    .scratch_f32 = scratch_f32,
    .scratch_f64 = scratch_f64,
    .gemm_f32 = gemm_f32,
    .gemm_f64 = gemm_f64,
    .transpose_32 = transpose_f32,
};

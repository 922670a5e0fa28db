/* philox.c: the loops of philox_priv.h; compiled for each level. */
#include "backends/cpu/random/philox_priv.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/simd/vmath.h"

/* LUC_VF blocks, whose counters have the same upper half. */
LUC_INLINE void philox(uint32_t *out, uint64_t seed, uint64_t block)
{
    vi c0 = vi_counters((uint32_t)block), c1 = vi_set1((int32_t)(uint32_t)(block >> 32));
    vi c2 = vi_set1(0), c3 = vi_set1(0);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        vi high0, high1;
        vi low0 = vi_mul_wide(c0, 0xD2511F53u, &high0), low1 = vi_mul_wide(c2, 0xCD9E8D57u, &high1);
        c0 = vi_xor(vi_xor(high1, c1), vi_set1((int32_t)k0));
        c2 = vi_xor(vi_xor(high0, c3), vi_set1((int32_t)k1));
        c1 = low1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    vi_store4(out, c0, c1, c2, c3);
}

static void bits(uint32_t *out, uint64_t seed, uint64_t block, int64_t blocks)
{
    int64_t i = 0;
    for (; i + LUC_VF <= blocks; i += LUC_VF) {
        uint64_t first = block + (uint64_t)i;
        if ((uint32_t)first > UINT32_MAX - LUC_VF) break; /* the lower half overflows */
        philox(out + 4 * i, seed, first);
    }
    for (; i < blocks; i++) {
        uint32_t some[4 * LUC_VF];
        uint64_t first = block + (uint64_t)i;
        /* Only the first element is wanted. It is right even if the others overflow. */
        philox(some, seed, first);
        memcpy(out + 4 * i, some, 4 * sizeof *some);
    }
}

/* cos and sin of 2 pi bits / 2^32, from the nearest quarter turn and the rest. */
LUC_INLINE void cos_sin(vi turn, vf *c, vf *s)
{
    vi quarter = vi_shr(vi_add(turn, vi_set1(1 << 29)), 30);
    vf t = vi_to_vf(vi_sub(turn, vi_shl(quarter, 30)));
    t = vf_mul(t, vf_set1(1.46291807926715968e-9f)); /* 2 pi / 2^32 */
    vf z = vf_mul(t, t), one = vf_set1(1.0f);
    vf p = vf_fma(vf_set1(-0.0001951722886f), z, vf_set1(0.008332177683f));
    p = vf_fma(p, z, vf_set1(-0.1666665494f));
    p = vf_fma(p, vf_mul(z, t), t);
    vf q = vf_fma(vf_set1(2.443840653e-5f), z, vf_set1(-0.001388736733f));
    q = vf_fma(q, z, vf_set1(0.04166664687f));
    q = vf_fma(q, vf_mul(z, z), vf_fnma(z, vf_set1(0.5f), one));
    vm swap = vi_eq(vi_and(quarter, vi_set1(1)), vi_set1(1));
    vi sin_sign = vi_shl(vi_and(quarter, vi_set1(2)), 30);
    vi cos_sign = vi_shl(vi_and(vi_add(quarter, vi_set1(1)), vi_set1(2)), 30);
    *c = vi_float(vi_xor(vf_bits(vf_select(swap, p, q)), cos_sign));
    *s = vi_float(vi_xor(vf_bits(vf_select(swap, q, p)), sin_sign));
}

/* 2 LUC_VF numbers */
LUC_INLINE void normal_step(float *y, const uint32_t *u, vf mean, vf std)
{
    vi first, second;
    vi_load_pairs(u, &first, &second);
    vf x = vf_fma(vi_to_vf(vi_shr(first, 1)), vf_set1(0x1p-31f), vf_set1(0x1p-32f));
    vf r = vf_sqrt(vf_mul(vf_set1(-2.0f), luc_log_same(x))), c, s;
    cos_sin(second, &c, &s);
    r = vf_mul(r, std);
    vf_store_pairs(y, vf_fma(r, c, mean), vf_fma(r, s, mean));
}

static void normal(float *y, const uint32_t *u, int64_t pairs, float mean, float std)
{
    const vf m = vf_set1(mean), d = vf_set1(std);
    int64_t i = 0;
    for (; i + LUC_VF <= pairs; i += LUC_VF) normal_step(y + 2 * i, u + 2 * i, m, d);
    if (i == pairs) return;
    uint32_t some[2 * LUC_VF] = {0};
    float numbers[2 * LUC_VF];
    size_t bytes = (size_t)(pairs - i) * 2 * sizeof *some;
    memcpy(some, u + 2 * i, bytes);
    normal_step(numbers, some, m, d);
    memcpy(y + 2 * i, numbers, bytes);
}

static void uniform(float *y, const uint32_t *u, int64_t n, float a, float b, float last)
{
    const float width = b - a;
    for (int64_t i = 0; i < n; i++) {
        float x = a + width * ((float)(int32_t)(u[i] >> 8) * 0x1p-24f);
        y[i] = x < last ? x : last;
    }
}

LUC_LEVEL_TABLE(luc_random_table, luc_random) = {bits, normal, uniform};

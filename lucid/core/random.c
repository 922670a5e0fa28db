/* random.c: Philox4x32-10 and the default generator. */
#include "lucid/core/random.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/tensor_priv.h"

static lucid_generator generator = {.seed = 67280421310721u, .offset = 0};

void lucid_philox(uint64_t seed, uint64_t block, uint32_t out[4])
{
    if (!out) {
        luc_raise(LUCID_ERR_ARGUMENT, "philox", "out: expected room for 4 numbers, got NULL");
        return;
    }
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = 0, c3 = 0;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void lucid_manual_seed(uint64_t seed)
{
    lucid_set_rng_state((lucid_generator){.seed = seed, .offset = 0});
}

lucid_generator lucid_get_rng_state(void)
{
    luc_lock(LUC_LOCK_RANDOM);
    lucid_generator g = generator;
    luc_unlock(LUC_LOCK_RANDOM);
    return g;
}

void lucid_set_rng_state(lucid_generator state)
{
    luc_lock(LUC_LOCK_RANDOM);
    generator = state;
    luc_unlock(LUC_LOCK_RANDOM);
}

lucid_generator luc_random_take(uint64_t blocks)
{
    luc_lock(LUC_LOCK_RANDOM);
    lucid_generator g = generator;
    generator.offset += blocks;
    luc_unlock(LUC_LOCK_RANDOM);
    return g;
}

static bool generator_given(const lucid_generator *g, const char *function)
{
    return g ||
           luc_raise(LUCID_ERR_ARGUMENT, function, "generator: expected a generator, got NULL");
}

uint64_t lucid_random_u64(lucid_generator *g)
{
    uint32_t r[4];
    if (!generator_given(g, "random_u64")) return 0;
    lucid_philox(g->seed, g->offset++, r);
    return (uint64_t)r[1] << 32 | r[0];
}

uint64_t lucid_random_below(lucid_generator *g, uint64_t n)
{
    if (!generator_given(g, "random_below") || n <= 1) return 0;
    /* Refuse the numbers above the largest multiple of n: the rest are even over [0, n). */
    uint64_t limit = UINT64_MAX - (UINT64_MAX % n + 1) % n, x;
    do x = lucid_random_u64(g);
    while (x > limit);
    return x % n;
}

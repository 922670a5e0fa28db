/* Randomness: Philox itself, the generator's state, and what the distributions look like. */
#include "lucid/core/random.h"
#include "lucid/core/device.h"
#include "lucid/core/tensor_priv.h"
#include "tests/testing.h"

#include <pthread.h>

/* ---- Philox: a reference of our own, held against the known answers of Random123 ------------- */

static void reference(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k[2] = {key[0], key[1]};
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

Test(random, known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    uint32_t out[4];
    for (int i = 0; i < 3; i++) {
        reference(rows[i].counter, rows[i].key, out);
        cr_expect(memcmp(out, rows[i].out, sizeof out) == 0, "row %d of the reference", i);
    }
    lucid_philox(0, 0, out);
    cr_expect(memcmp(out, rows[0].out, sizeof out) == 0);
    uint64_t x = 88172645463325252u; /* xorshift64 */
    for (int i = 0; i < 10000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t seed = x, block = x * 0x9E3779B97F4A7C15u >> i % 64;
        uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, 0}, want[4];
        reference(counter, (uint32_t[]){(uint32_t)seed, (uint32_t)(seed >> 32)}, want);
        lucid_philox(seed, block, out);
        cr_assert(memcmp(out, want, sizeof out) == 0, "seed %llx, block %llx",
                  (unsigned long long)seed, (unsigned long long)block);
    }
}

/* ---- the generator --------------------------------------------------------------------------- */

Test(random, own_generator)
{
    lucid_generator g = {.seed = 5, .offset = 7};
    uint32_t out[4];
    lucid_philox(5, 7, out);
    cr_expect(lucid_random_u64(&g) == ((uint64_t)out[1] << 32 | out[0]) && g.offset == 8);
    uint64_t offset = g.offset;
    cr_expect(lucid_random_below(&g, 1) == 0 && g.offset == offset);
    int count[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint64_t k = lucid_random_below(&g, 6);
        cr_assert(k < 6);
        count[k]++;
    }
    for (int k = 0; k < 6; k++) /* 10000 on average, deviation 91 */
        cr_expect(abs(count[k] - 10000) < 500, "%d: %d times", k, count[k]);
    for (int i = 0; i < 1000; i++) /* half of the draws are refused here */
        cr_assert(lucid_random_below(&g, ((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
}

Test(random, seed_and_state)
{
    lucid_manual_seed(42);
    lucid_tensor *a = lucid_randn((100));
    lucid_generator middle = lucid_get_rng_state();
    lucid_tensor *b = lucid_rand((33)), *c = lucid_randint((17), 0, 1000), *d = lucid_randperm(50);
    cr_expect(middle.seed == 42 && middle.offset == 25);
    lucid_set_rng_state(middle);
    cr_expect(lucid_equal(b, lucid_rand((33))));
    cr_expect(lucid_equal(c, lucid_randint((17), 0, 1000)));
    cr_expect(lucid_equal(d, lucid_randperm(50)));
    lucid_manual_seed(42);
    cr_expect(lucid_get_rng_state().offset == 0);
    cr_expect(lucid_equal(a, lucid_randn((100))));
    cr_expect(!lucid_equal(a, lucid_randn((100))));
    lucid_manual_seed(43);
    cr_expect(!lucid_equal(a, lucid_randn((100))));
}

/* The definition that core/random.h gives, on the simplest of the distributions. */
Test(random, uniform_is_the_lanes_in_order)
{
    lucid_manual_seed(9);
    lucid_rand((4)); /* block 0 */
    lucid_tensor *t = lucid_rand((6));
    for (uint64_t i = 0; i < 6; i++) {
        uint32_t out[4];
        lucid_philox(9, 1 + i / 4, out);
        double want = (double)(out[i % 4] >> 8) * 0x1p-24;
        cr_expect(lucid_at(t, LUCID_SHAPE((int64_t)i)) == want);
    }
    cr_expect(lucid_get_rng_state().offset == 3);
}

Test(random, the_same_for_any_number_of_threads)
{
    enum { N = 300007 };
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    for (int k = 0; k < 4; k++) {
        LUCID_SCOPE;
        lucid_tensor *results[3][4];
        for (int threads = 1; threads <= 3; threads++) {
            lucid_set_num_threads(threads);
            lucid_manual_seed(7);
            results[threads - 1][0] = lucid_randn((N), .dtype = dtypes[k]);
            results[threads - 1][1] = lucid_rand((N), .dtype = dtypes[k]);
            results[threads - 1][2] = lucid_bernoulli((N), 0.3, .dtype = dtypes[k]);
            results[threads - 1][3] = lucid_randint((N), -5, 5);
        }
        for (int i = 0; i < 4; i++)
            for (int threads = 2; threads <= 3; threads++)
                cr_expect(lucid_equal(results[0][i], results[threads - 1][i]), "%s, %d, %d threads",
                          lucid_dtype_name(dtypes[k]), i, threads);
    }
}

/* Channels last or not: the numbers belong to the elements' places in memory order; but each is
 * drawn once, and the state moves on alike. */
Test(random, the_state_moves_by_the_count)
{
    lucid_manual_seed(1);
    lucid_randn((2, 3, 4, 5));
    uint64_t offset = lucid_get_rng_state().offset;
    lucid_manual_seed(1);
    lucid_randn((2, 3, 4, 5), .memory_format = LUCID_CHANNELS_LAST);
    cr_expect(lucid_get_rng_state().offset == offset && offset == 30);
    lucid_randn((0));
    cr_expect(lucid_get_rng_state().offset == offset);
}

/* ---- distributions --------------------------------------------------------------------------- */

enum { MANY = 400000 };

typedef struct moments {
    double mean, var, skew, kurtosis, least, most;
} moments;

static moments moments_of(lucid_tensor *t)
{
    double *x = malloc(MANY * sizeof *x);
    cr_assert(x && lucid_to_doubles(t, x, MANY));
    moments m = {.least = INFINITY, .most = -INFINITY};
    for (int i = 0; i < MANY; i++) {
        m.mean += x[i] / MANY;
        m.least = fmin(m.least, x[i]);
        m.most = fmax(m.most, x[i]);
    }
    for (int i = 0; i < MANY; i++) m.var += (x[i] - m.mean) * (x[i] - m.mean) / MANY;
    for (int i = 0; i < MANY; i++) {
        double z = (x[i] - m.mean) / sqrt(m.var);
        m.skew += z * z * z / MANY;
        m.kurtosis += z * z * z * z / MANY;
    }
    free(x);
    return m;
}

/* Bounds are five standard errors of 400,000 draws, and for the 16-bit types their rounding. */
Test(random, normal_moments)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    lucid_manual_seed(3);
    for (int k = 0; k < 4; k++) {
        moments m = moments_of(lucid_randn((MANY), .dtype = dtypes[k]));
        const char *name = lucid_dtype_name(dtypes[k]);
        cr_expect(fabs(m.mean) < 0.008, "%s: mean %g", name, m.mean);
        cr_expect(fabs(m.var - 1) < 0.012, "%s: var %g", name, m.var);
        cr_expect(fabs(m.skew) < 0.02, "%s: skew %g", name, m.skew);
        cr_expect(fabs(m.kurtosis - 3) < 0.04, "%s: kurtosis %g", name, m.kurtosis);
        cr_expect(m.least < -4 && m.most > 4 && m.least > -6.5 && m.most < 6.5, "%s: %g to %g",
                  name, m.least, m.most);
    }
}

Test(random, uniform_moments)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    lucid_manual_seed(4);
    for (int k = 0; k < 4; k++) {
        moments m = moments_of(lucid_rand((MANY), .dtype = dtypes[k]));
        const char *name = lucid_dtype_name(dtypes[k]);
        double step = dtypes[k] == LUCID_BF16 ? 0x1p-8 : dtypes[k] == LUCID_F16 ? 0x1p-11 : 0;
        cr_expect(fabs(m.mean - (1 - step) / 2) < 0.0023, "%s: mean %g", name, m.mean);
        cr_expect(fabs(m.var - 1.0 / 12) < 0.0006, "%s: var %g", name, m.var);
        cr_expect(m.least >= 0 && m.least < 1e-3 && m.most < 1 && m.most > 0.99, "%s: %.9g to %.9g",
                  name, m.least, m.most);
    }
}

Test(random, bernoulli_and_randint)
{
    lucid_manual_seed(5);
    moments m = moments_of(lucid_bernoulli((MANY), 0.3));
    cr_expect(fabs(m.mean - 0.3) < 0.0037 && m.least == 0 && m.most == 1, "%g", m.mean);
    cr_expect(moments_of(lucid_bernoulli((MANY), 0)).most == 0);
    cr_expect(moments_of(lucid_bernoulli((MANY), 1)).least == 1);
    m = moments_of(lucid_randint((MANY), -3, 4));
    cr_expect(fabs(m.mean) < 0.016 && m.least == -3 && m.most == 3, "%g", m.mean);
    cr_expect(fabs(m.var - 4) < 0.03, "%g", m.var);
    /* the widest range there is */
    m = moments_of(lucid_randint((MANY), INT64_MIN, INT64_MAX));
    cr_expect(m.least < -9e18 && m.most > 9e18 && fabs(m.mean) < 5e16, "%g to %g", m.least, m.most);
}

Test(random, randperm_is_a_permutation)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 100, 5000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k];
        lucid_tensor *t = lucid_randperm_opt(n, NULL);
        EXPECT_SHAPE(t, n);
        const int64_t *p = lucid_data(t);
        char *seen = calloc((size_t)n + 1, 1);
        for (int64_t i = 0; i < n; i++) {
            cr_assert(p[i] >= 0 && p[i] < n && !seen[p[i]]);
            seen[p[i]] = 1;
        }
        free(seen);
    }
}

/* Each of the 24 orders of 4 numbers occurs equally often. */
Test(random, randperm_is_even)
{
    int count[256] = {0}, kinds = 0;
    lucid_manual_seed(6);
    for (int i = 0; i < 24000; i++) {
        LUCID_SCOPE;
        const int64_t *p = lucid_data(lucid_randperm(4));
        count[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6]++;
    }
    double chi2 = 0;
    for (int k = 0; k < 256; k++) {
        if (count[k] == 0) continue;
        kinds++;
        chi2 += (count[k] - 1000.0) * (count[k] - 1000.0) / 1000;
    }
    cr_expect(kinds == 24);
    cr_expect(chi2 < 58, "%g", chi2); /* 23 degrees of freedom: 58 has a chance of 1e-4 */
}

static void *draw(void *p)
{
    LUCID_SCOPE;
    lucid_tensor *t = lucid_rand((1000));
    lucid_copy_to(t, p, 1000 * sizeof(float));
    return NULL;
}

/* Threads that draw from the default generator at once get different numbers. */
Test(random, threads_do_not_share_numbers)
{
    static float x[4][1000];
    pthread_t threads[4];
    lucid_manual_seed(8);
    for (int i = 0; i < 4; i++) cr_assert(pthread_create(&threads[i], NULL, draw, x[i]) == 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) cr_expect(memcmp(x[i], x[j], sizeof x[0]) != 0);
    cr_expect(lucid_get_rng_state().offset == 1000);
}

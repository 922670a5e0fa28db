/* Random numbers: defined by lucid_philox, the same at every CPU level and for any threads. */
#include "kernel_call.h"
#include "lucid/core/random.h"

#include <criterion/criterion.h>

static array drawn(lucid_op_id op, lucid_dtype dtype, int64_t n, const lucid_random_attrs *attrs,
                   array_layout layout)
{
    array y = array_new(dtype, 1, &n, layout), *out = &y;
    cr_assert(kernel_call(op, dtype, attrs, NULL, 0, &out, 1));
    cr_assert(array_gaps_intact(&y));
    return y;
}

static uint32_t number(const lucid_random_attrs *a, int64_t i)
{
    uint32_t lanes[4];
    lucid_philox(a->seed, a->offset + (uint64_t)i / 4, lanes);
    return lanes[i % 4];
}

static const uint64_t offsets[] = {0, 1, 0xfffffff0u, 0xfffffffffffffff0u};

Test(random, uniform_is_philox)
{
    FOR_LEVELS
    for (size_t o = 0; o < 4; o++)
        for (int64_t n = 0; n < 300; n += 23) {
            const lucid_random_attrs a = {.seed = 0x123456789abcdefu, .offset = offsets[o], .b = 1};
            array y = drawn(LUCID_OP_uniform, LUCID_F32, n, &a, SHIFTED);
            for (int64_t i = 0; i < n; i++)
                cr_assert(array_get(&y, i) == (number(&a, i) >> 8) * 0x1p-24);
            array d = drawn(LUCID_OP_uniform, LUCID_F64, n, &a, PADDED);
            for (int64_t i = 0; i < n; i++) {
                uint64_t wide = (uint64_t)number(&a, 2 * i) << 32 | number(&a, 2 * i + 1);
                cr_assert(array_get(&d, i) == (double)(wide >> 11) * 0x1p-53);
            }
            array_free_all();
        }
}

Test(random, normal_is_box_muller)
{
    FOR_LEVELS
    for (int64_t n = 0; n < 5000; n += 997) {
        const lucid_random_attrs a = {.seed = 99, .offset = 5, .a = 2, .b = 3};
        array y = drawn(LUCID_OP_normal, LUCID_F32, n, &a, DENSE);
        for (int64_t i = 0; i < n; i++) {
            double u = fmaf((float)(number(&a, i & ~1) >> 1), 0x1p-31f, 0x1p-32f);
            double t = 2 * M_PI * number(&a, i | 1) * 0x1p-32, r = 3 * sqrt(-2 * log(u));
            double want = 2 + r * (i % 2 ? sin(t) : cos(t));
            cr_assert(fabs(array_get(&y, i) - want) < 4e-6, "%ld: %g %g", (long)i, want,
                      array_get(&y, i));
        }
        array_free_all();
    }
}

Test(random, same_bits_at_every_level_and_thread_count)
{
    static const lucid_op_id ops[] = {LUCID_OP_uniform, LUCID_OP_normal, LUCID_OP_randint,
                                      LUCID_OP_bernoulli};
    const int64_t n = 100003;
    for (size_t k = 0; k < 4; k++)
        for (int t = 0; t < LUCID_DTYPE_COUNT; t++) {
            const lucid_random_attrs a = {.seed = 1, .a = k == 3 ? 0.3 : -1, .b = 2, .high = 100};
            if (k < 2 && !lucid_dtype_is_floating((lucid_dtype)t)) continue;
            luc_cpu_force(LUC_CPU_GENERIC);
            luc_set_num_threads(1);
            array first = drawn(ops[k], (lucid_dtype)t, n, &a, DENSE);
            luc_set_num_threads(3);
            FOR_LEVELS
            {
                array y = drawn(ops[k], (lucid_dtype)t, n, &a, DENSE);
                cr_assert(memcmp(y.block, first.block, y.bytes) == 0, "op %zu, type %d", k, t);
                array z = drawn(ops[k], (lucid_dtype)t, n, &a, PADDED);
                cr_assert(array_same(&z, &first));
            }
            luc_set_num_threads(0);
            array_free_all();
        }
}

Test(random, ranges_and_moments)
{
    const int64_t n = 200000;
    for (int t = 0; t < LUCID_I64; t++) {
        const lucid_random_attrs a = {.seed = 3, .a = -0.1, .b = 0.2};
        const double error = t == LUCID_BF16 ? 2e-3 : 1e-3;
        array y = drawn(LUCID_OP_uniform, (lucid_dtype)t, n, &a, DENSE);
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) {
            double x = array_get(&y, i);
            cr_assert(x >= -0.1001 && x < 0.2, "%g", x);
            sum += x;
        }
        cr_assert_float_eq(sum / (double)n, 0.05, error);
        const lucid_random_attrs b = {.seed = 3, .a = 1, .b = 2};
        y = drawn(LUCID_OP_normal, (lucid_dtype)t, n, &b, DENSE);
        sum = 0;
        for (int64_t i = 0; i < n; i++) {
            double x = array_get(&y, i);
            sum += x;
            squares += (x - 1) * (x - 1);
        }
        cr_assert_float_eq(sum / (double)n, 1, 0.02);
        cr_assert_float_eq(squares / (double)n, 4, 0.05);
        array_free_all();
    }
    const lucid_random_attrs full = {.seed = 4, .low = INT64_MIN, .high = INT64_MAX};
    array y = drawn(LUCID_OP_randint, LUCID_I64, n, &full, DENSE);
    int64_t negative = 0;
    for (int64_t i = 0; i < n; i++) negative += array_get(&y, i) < 0;
    cr_assert(llabs(negative - n / 2) < 2000);
    const lucid_random_attrs dice = {.seed = 5, .low = -2, .high = 4};
    y = drawn(LUCID_OP_randint, LUCID_I32, n, &dice, DENSE);
    int64_t counts[6] = {0};
    for (int64_t i = 0; i < n; i++) {
        double x = array_get(&y, i);
        cr_assert(x >= -2 && x < 4);
        counts[(int)x + 2]++;
    }
    for (int i = 0; i < 6; i++) cr_assert(llabs(counts[i] - n / 6) < 1000);
    static const double p[] = {0, 1, 0.25};
    for (int i = 0; i < 3; i++) {
        const lucid_random_attrs a = {.seed = 6, .a = p[i]};
        y = drawn(LUCID_OP_bernoulli, LUCID_F32, n, &a, DENSE);
        double sum = 0;
        for (int64_t j = 0; j < n; j++) sum += array_get(&y, j);
        cr_assert(i < 2 ? sum == p[i] * (double)n : fabs(sum / (double)n - p[i]) < 0.005);
    }
    array_free_all();
}

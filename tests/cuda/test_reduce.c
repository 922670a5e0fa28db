/* test_reduce.c: reductions on CUDA: sizes around a warp and a block, several blocks, split
 * results, any layout and mask, NaN and infinities, ties, nothing at all. */
#include "both.h"

CUDA_SUITE(reduce);

static const lucid_op_id ops[] = {LUCID_OP_sum,  LUCID_OP_mean,   LUCID_OP_var,   LUCID_OP_amax,
                                  LUCID_OP_amin, LUCID_OP_argmax, LUCID_OP_argmin};
enum { OPS = sizeof ops / sizeof *ops };

static bool takes(lucid_op_id op, lucid_dtype dtype)
{
    return lucid_dtype_is_floating(dtype) || (op != LUCID_OP_mean && op != LUCID_OP_var);
}

static void check(lucid_tensor *x, arrange how, uint32_t mask, bool keepdim, const char *what)
{
    for (int k = 0; k < OPS; k++) {
        if (!takes(ops[k], x->view.dtype)) continue;
        lucid_reduce_attrs attrs = {.mask = mask, .keepdim = keepdim, .correction = 1};
        expect_both(&(both){.op = luc_op_table[ops[k]],
                            .attrs = &attrs,
                            .n_in = 1,
                            .in = {x},
                            .arrange = {how},
                            .dtype = x->view.dtype,
                            .what = what});
    }
}

Test(reduce, rows_and_columns_of_any_length)
{
    static const int64_t lengths[] = {1, 2, 7, 31, 32, 33, 64, 100, 257, 1000, 1024, 2051};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (int d = 0; d < FLOATING; d++) {
            LUCID_SCOPE;
            int64_t n = lengths[i];
            char what[64];
            snprintf(what, sizeof what, "%lld", (long long)n);
            lucid_tensor *x = numbers((lucid_shape){2, {3, n}}, floating[d], -1, 1, 3);
            check(x, NULL, 2, false, what);
            check(x, NULL, 3, false, what);
            check(x, backwards, 2, true, what);
            x = numbers((lucid_shape){2, {n, 5}}, floating[d], -1, 1, 4);
            check(x, NULL, 1, false, what);
            x = numbers((lucid_shape){2, {n, 8}}, floating[d], -1, 1, 4);
            check(x, NULL, 1, false, what);
            check(x, backwards, 1, false, what);
            check(x, without_first, 1, false, what);
        }
    }
}

Test(reduce, every_mask_and_layout)
{
    static const arrange arranges[] = {as_it_is, channels_last, without_first, every_second,
                                       backwards};
    static const char *const names[] = {"contiguous", "channels_last", "unaligned", "every second",
                                        "backwards"};
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        double low = any_dtype[d] == LUCID_U8 || any_dtype[d] == LUCID_BOOL ? 0 : -9;
        double high = any_dtype[d] == LUCID_BOOL ? 2 : 9;
        lucid_tensor *x = numbers((lucid_shape){4, {3, 8, 5, 4}}, any_dtype[d], low, high, 5);
        for (int a = 0; a < 5; a++)
            for (uint32_t mask = 0; mask < 16; mask += d < 2 ? 1 : 3)
                check(x, arranges[a], mask, mask % 2, names[a]);
    }
}

/* Results that are split over blocks, in both directions; sizes no multiple of anything. */
Test(reduce, split)
{
    int64_t n = is_emulated() ? 40000 : 4000000;
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        lucid_dtype t = any_dtype[d];
        double low = t == LUCID_U8 || t == LUCID_BOOL ? 0 : -2;
        for (int64_t odd = 0; odd < 4; odd += 3) {
            lucid_tensor *x = numbers((lucid_shape){1, {n + odd}}, t, low, 2, 6);
            check(x, NULL, 1, false, "the whole");
            check(x, without_first, 1, false, "the whole, unaligned");
            x = numbers((lucid_shape){2, {n / 8, 8 + odd}}, t, low, 2, 7);
            check(x, NULL, 1, false, "few columns");
            check(x, backwards, 1, false, "few rows");
        }
        if (d >= FLOATING) continue;
        lucid_tensor *x = numbers((lucid_shape){4, {n / 2000, 5, 20, 20}}, t, -1, 1, 8);
        check(x, NULL, 13, false, "channels");
        x = numbers((lucid_shape){4, {n / 2000, 8, 20, 20}}, t, -1, 1, 8);
        check(x, channels_last, 13, false, "channels, channels_last");
        x = numbers((lucid_shape){4, {4, 8, 7, 7}}, t, -1, 1, 8);
        check(x, NULL, 13, true, "small channels");
        check(x, channels_last, 13, true, "small channels, channels_last");
    }
}

Test(reduce, not_a_number_and_infinities)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, -0.0};
    for (int d = 0; d < FLOATING; d++) {
        for (int k = 0; k < 4; k++) {
            for (int64_t at = 0; at < 2049; at += 341) {
                LUCID_SCOPE;
                double v[2052];
                for (int i = 0; i < 2052; i++) v[i] = (i * 37 % 100) / 100.0;
                v[at] = odd[k];
                v[(at + 1500) % 2052] = odd[k == 1 ? 2 : k];
                lucid_tensor_options o = lucid_tensor_defaults;
                o.dtype = floating[d];
                lucid_tensor *x = lucid_from_doubles_opt((lucid_shape){2, {513, 4}}, v, 2052, &o);
                check(x, NULL, 1, false, "odd numbers in columns");
                check(x, NULL, 2, false, "odd numbers in short rows");
                check(x, NULL, 3, false, "odd numbers");
            }
        }
    }
}

Test(reduce, ties_take_the_first)
{
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        lucid_tensor *x = numbers((lucid_shape){3, {6, 50, 40}}, any_dtype[d], 0, 2, 9);
        x = lucid_cast(lucid_cast(x, LUCID_U8), any_dtype[d]);
        for (uint32_t mask = 1; mask < 8; mask++) {
            check(x, NULL, mask, false, "ties");
            check(x, backwards, mask, false, "ties, backwards");
        }
    }
}

Test(reduce, nothing)
{
    for (int d = 0; d < FLOATING; d++) {
        LUCID_SCOPE;
        for (int k = 0; k < 3; k++) {
            lucid_reduce_attrs attrs = {.mask = 2, .correction = 1};
            both b = {.op = luc_op_table[ops[k]],
                      .attrs = &attrs,
                      .n_in = 1,
                      .dtype = floating[d],
                      .what = "empty"};
            b.in[0] = numbers((lucid_shape){2, {3, 0}}, floating[d], -1, 1, 1);
            expect_both(&b);
            attrs.mask = 1;
            expect_both(&b);
        }
    }
}

/* Large sums keep their accuracy: 0.1 as float, many times. */
Test(reduce, sums_stay_accurate)
{
    int64_t n = is_emulated() ? 200001 : 20000001;
    LUCID_SCOPE;
    lucid_tensor *x = lucid_full((n), 0.1, .device = lucid_cuda(0));
    double want = (double)n * (double)0.1f;
    cr_expect_float_eq(lucid_item(lucid_sum(x)), want, 1e-7 * want);
    cr_expect_float_eq(lucid_item(lucid_mean(x)), 0.1f, 1e-8);
}

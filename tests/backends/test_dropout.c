/* Dropout: which elements are dropped is defined by lucid_philox alone. */
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>

#include "lucid/core/random.h"

static bool kept(const lucid_random_attrs *a, int64_t i)
{
    uint32_t four[4];
    lucid_philox(a->seed, a->offset + (uint64_t)i / 4, four);
    return (double)four[i % 4] >= a->a * 0x1p32;
}

static void check(lucid_dtype dtype, const int64_t *dims, array_layout layout, double p)
{
    lucid_random_attrs attrs = {.seed = 0x123456789abcdef, .offset = 0xfffffffdu, .a = p};
    array x = array_normal(dtype, 4, dims, layout, 0, 1), y = array_new(dtype, 4, dims, layout);
    array mask = array_new(LUCID_U8, 4, dims, layout),
          g = array_normal(dtype, 4, dims, layout, 0, 1);
    array dx = array_new(dtype, 4, dims, layout);
    double scale = p < 1 ? 1 / (1 - p) : 0;
    double e = dtype == LUCID_F64   ? 1e-15
               : dtype == LUCID_F32 ? 2e-7
               : dtype == LUCID_F16 ? 1e-3
                                    : 8e-3;
    array_set(&x, 0, NAN);
    cr_assert(kernel_call(LUCID_OP_dropout, dtype, &attrs, (array *[]){&x}, 1,
                          (array *[]){&y, &mask}, 2));
    cr_assert(kernel_call(LUCID_OP_dropout_backward, dtype, &attrs, (array *[]){&g, &mask}, 2,
                          (array *[]){&dx}, 1));
    for (int64_t i = 0; i < array_numel(&x); i++) {
        bool keep = kept(&attrs, i);
        double vy = keep ? array_get(&x, i) * scale : 0, vd = keep ? array_get(&g, i) * scale : 0;
        double ey = array_get(&y, i);
        cr_assert_eq(array_get(&mask, i), keep, "element %d of layout %d", (int)i, (int)layout);
        cr_assert((ey != ey && vy != vy) || fabs(ey - vy) <= e * fabs(vy) + 6e-8);
        cr_assert(fabs(array_get(&dx, i) - vd) <= e * fabs(vd) + 6e-8);
    }
    array_free_all();
}

Test(dropout, the_same_elements_for_every_layout_dtype_and_level)
{
    static const int64_t shapes[][4] = {
        {2, 3, 5, 7}, {4, 16, 9, 11}, {1, 1, 1, 1}, {1, 3, 1, 1500}};
    static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    static const double p[] = {0, 0.25, 0.5, 1};
    FOR_LEVELS
    for (int s = 0; s < 4; s++)
        for (int layout = 0; layout < LAYOUTS; layout++)
            for (int t = 0; t < 4; t++)
                for (int i = 0; i < 4; i++)
                    check(floating[t], shapes[s], (array_layout)layout, p[i]);
}

Test(dropout, the_same_bits_for_any_number_of_threads)
{
    int64_t dims[] = {1, 1, 3, 100001};
    lucid_random_attrs attrs = {.seed = 7, .offset = 3, .a = 0.3};
    array x = array_normal(LUCID_F32, 4, dims, DENSE, 0, 1), first = {0};
    double dropped = 0;
    for (int threads = 1; threads <= 3; threads++) {
        array y = array_new(LUCID_F32, 4, dims, DENSE), mask = array_new(LUCID_U8, 4, dims, DENSE);
        luc_set_num_threads(threads);
        cr_assert(kernel_call(LUCID_OP_dropout, LUCID_F32, &attrs, (array *[]){&x}, 1,
                              (array *[]){&y, &mask}, 2));
        if (threads == 1) first = y;
        cr_expect(array_same(&first, &y));
        for (int64_t i = 0; i < array_numel(&mask); i++) dropped += array_get(&mask, i) == 0;
    }
    cr_expect_float_eq(dropped / 3 / 300003, 0.3, 0.005);
    luc_set_num_threads(0);
    array_free_all();
}

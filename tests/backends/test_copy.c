/* copy, fill, arange, eye at every CPU level. */
#include "kernel_call.h"

#include <criterion/criterion.h>

static array numbered(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout layout)
{
    array a = array_new(dtype, ndim, dims, layout);
    for (int64_t i = 0, n = array_numel(&a); i < n; i++) array_set(&a, i, (double)(i * 7 % 251));
    return a;
}

static void check_copy(array *x, array *y)
{
    cr_assert(kernel_call(LUCID_OP_copy, x->view.dtype, NULL, &x, 1, &y, 1));
    cr_assert(array_same(y, x), "%s at %s", lucid_dtype_name(x->view.dtype),
              luc_cpu_level_name(luc_cpu_current()));
    cr_assert(array_gaps_intact(y));
}

Test(copy, layouts)
{
    static const int64_t shapes[][4] = {{2, 3, 5, 7},   {2, 64, 5, 5}, {1, 1, 70, 67},
                                        {70, 1, 1, 65}, {0, 3, 2, 2},  {1, 1, 1, 1}};
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int l = 0; l < LAYOUTS * LAYOUTS; l++) {
                array x = numbered((lucid_dtype)t, 4, shapes[s], (array_layout)(l % LAYOUTS));
                array y = array_new((lucid_dtype)t, 4, shapes[s], (array_layout)(l / LAYOUTS));
                check_copy(&x, &y);
                array_free_all();
            }
}

/* Any order of the dimensions on either side, expanded and reversed ones. */
Test(copy, permutations)
{
    static const int64_t dims[] = {2, 5, 17, 18};
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (int order = 0; order < 24; order++) {
            array x = numbered((lucid_dtype)t, 4, dims, DENSE), y = x;
            int left[] = {0, 1, 2, 3}, at = order;
            int64_t sorted[4];
            for (int d = 0; d < 4; d++) { /* the order-th permutation */
                int pick = at % (4 - d);
                at /= 4 - d;
                sorted[d] = left[pick];
                for (int i = pick; i < 3; i++) left[i] = left[i + 1];
            }
            int64_t permuted[4];
            for (int d = 0; d < 4; d++) permuted[d] = dims[sorted[d]];
            y = array_new((lucid_dtype)t, 4, permuted, DENSE);
            array seen = x;
            for (int d = 0; d < 4; d++) {
                seen.view.dims[d] = permuted[d];
                seen.view.strides[d] = x.view.strides[sorted[d]];
            }
            check_copy(&seen, &y);
            seen.view.strides[order % 4] = 0;
            check_copy(&seen, &y);
            int d = order % 3;
            seen.view.data = (char *)seen.view.data + (permuted[d] - 1) * seen.view.strides[d] *
                                                          (int64_t)lucid_dtype_size((lucid_dtype)t);
            seen.view.strides[d] = -seen.view.strides[d];
            check_copy(&seen, &y);
            array_free_all();
        }
}

Test(copy, large)
{
    static const int64_t dims[] = {2, 36, 180, 170};
    FOR_LEVELS
    for (int l = 0; l < 4; l++) {
        array x = numbered(LUCID_F32, 4, dims, (array_layout)(l % 2));
        array y = array_new(LUCID_F32, 4, dims, (array_layout)(l / 2));
        check_copy(&x, &y);
        array_free_all();
    }
}

Test(create, fill)
{
    static const int64_t shapes[][4] = {{2, 3, 5, 7}, {1, 1, 1, 1}, {0, 2, 2, 2}, {1, 8, 530, 521}};
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (int l = 0; l < LAYOUTS; l++)
            for (size_t s = 0; s < 4; s++)
                for (int value = 0; value < 2; value++) {
                    if (s == 3 && (t || l > CHANNELS_LAST)) continue;
                    array y = array_new((lucid_dtype)t, 4, shapes[s], (array_layout)l), *out = &y;
                    const lucid_scalar_attrs attrs = {value};
                    cr_assert(kernel_call(LUCID_OP_fill, (lucid_dtype)t, &attrs, NULL, 0, &out, 1));
                    for (int64_t i = 0; i < array_numel(&y); i++)
                        if (array_get(&y, i) != value) cr_assert(false, "element %ld", (long)i);
                    cr_assert(array_gaps_intact(&y));
                    array_free_all();
                }
}

Test(create, arange_and_linspace)
{
    static const int64_t sizes[] = {0, 1, 2, 7, 1000, 70000};
    for (int t = 0; t < LUCID_BOOL; t++)
        for (size_t s = 0; s < 6; s++)
            for (int linspace = 0; linspace < 2; linspace++) {
                const lucid_dtype type = (lucid_dtype)t;
                const int64_t n = sizes[s];
                lucid_range_attrs a = {.start = 3, .step = 2, .linspace = linspace};
                a.end = linspace ? 10 : 3 + 2 * (double)n;
                if (linspace) a.step = n > 1 ? (a.end - a.start) / (double)(n - 1) : 0;
                if (linspace && !lucid_dtype_is_floating(type)) continue;
                if (!linspace && (type == LUCID_U8 || type == LUCID_F16 || type == LUCID_BF16) &&
                    n > 100)
                    continue;
                array y = array_new(type, 1, &n, s % 2 ? DENSE : PADDED), *out = &y;
                cr_assert(kernel_call(LUCID_OP_arange, type, &a, NULL, 0, &out, 1));
                array exact = array_new(type, 1, &n, DENSE);
                for (int64_t i = 0; i < n; i++) array_set(&exact, i, a.start + (double)i * a.step);
                for (int64_t i = 0; i < n; i++) {
                    double want = array_get(&exact, i), got = array_get(&y, i);
                    double error = linspace ? 10 * (type == LUCID_F64 ? 0x1p-51 : 0x1p-8) : 0;
                    cr_assert(fabs(got - want) <= error, "%g %g", got, want);
                }
                if (linspace && n > 1) cr_assert_eq(array_get(&y, n - 1), 10);
            }
    array_free_all();
}

Test(create, eye)
{
    static const int64_t shapes[][2] = {{0, 0},     {1, 1},    {3, 5},   {5, 3},
                                        {100, 100}, {2, 3000}, {3000, 2}};
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (size_t s = 0; s < 7; s++)
            for (int l = 0; l < LAYOUTS; l++) {
                array y = array_new((lucid_dtype)t, 2, shapes[s], (array_layout)l), *out = &y;
                cr_assert(kernel_call(LUCID_OP_eye, (lucid_dtype)t, NULL, NULL, 0, &out, 1));
                for (int64_t i = 0; i < array_numel(&y); i++)
                    if (array_get(&y, i) != (i / shapes[s][1] == i % shapes[s][1]))
                        cr_assert(false, "element %ld", (long)i);
                cr_assert(array_gaps_intact(&y));
                array_free_all();
            }
}

/* Reductions at every CPU level against plain loops in long double. */
#include "kernel_call.h"

#include <criterion/criterion.h>

static const lucid_op_id ops[] = {LUCID_OP_sum,  LUCID_OP_mean,   LUCID_OP_var,   LUCID_OP_amax,
                                  LUCID_OP_amin, LUCID_OP_argmax, LUCID_OP_argmin};

static bool is_arg(lucid_op_id op)
{
    return op == LUCID_OP_argmax || op == LUCID_OP_argmin;
}

static lucid_dtype result_type(lucid_op_id op, lucid_dtype x)
{
    if (is_arg(op)) return LUCID_I64;
    if (op == LUCID_OP_sum && !lucid_dtype_is_floating(x)) return LUCID_I64;
    return x;
}

/* The result for the elements of x that fall on one place; list holds them in logical order. */
static double expected(lucid_op_id op, const double *list, int64_t n, int64_t correction)
{
    long double sum = 0, squares = 0;
    int64_t best = 0;
    bool largest = op == LUCID_OP_argmax || op == LUCID_OP_amax;
    for (int64_t i = 0; i < n; i++) sum += list[i];
    long double mean = sum / n;
    for (int64_t i = 0; i < n; i++) {
        squares += (list[i] - mean) * (list[i] - mean);
        if (isnan(list[best])) continue;
        if (isnan(list[i]) || (largest ? list[i] > list[best] : list[i] < list[best])) best = i;
    }
    switch (op) {
    case LUCID_OP_sum:
        return (double)sum;
    case LUCID_OP_mean:
        return (double)mean;
    case LUCID_OP_var:
        return (double)(squares / fmaxl(0, (long double)(n - correction)));
    case LUCID_OP_amax:
    case LUCID_OP_amin:
        return list[best];
    default:
        return (double)best;
    }
}

/* Where the element at row-major position i of x falls, in row-major order of the kept ones. */
static int64_t place_of(const array *x, int64_t i, uint32_t mask)
{
    int64_t place = 0, step = 1;
    for (int d = x->view.ndim - 1; d >= 0; d--) {
        int64_t at = i % x->view.dims[d];
        i /= x->view.dims[d];
        if (mask >> d & 1) continue;
        place += at * step;
        step *= x->view.dims[d];
    }
    return place;
}

static array result_array(lucid_op_id op, const array *x, uint32_t mask, bool keepdim,
                          array_layout layout)
{
    int64_t dims[LUCID_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < x->view.ndim; d++) {
        bool reduced = mask >> d & 1;
        if (!reduced || keepdim) dims[n++] = reduced ? 1 : x->view.dims[d];
    }
    return array_new(result_type(op, x->view.dtype), n, dims, layout);
}

static double tolerance(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return 0x1p-23;
    case LUCID_F16:
        return 0x1p-10;
    case LUCID_BF16:
        return 0x1p-7;
    default:
        return 1e-14;
    }
}

static void check(lucid_op_id op, const array *x, uint32_t mask, bool keepdim, array_layout layout)
{
    const lucid_reduce_attrs attrs = {.mask = mask, .keepdim = keepdim, .correction = 1};
    array y = result_array(op, x, mask, keepdim, layout), *out = &y;
    const int64_t results = array_numel(&y), n = array_numel(x), count = results ? n / results : 0;
    double *lists = malloc((size_t)(n + 1) * sizeof *lists);
    int64_t *filled = calloc((size_t)results + 1, sizeof *filled);
    for (int64_t i = 0; i < n; i++) {
        int64_t place = place_of(x, i, mask);
        lists[place * count + filled[place]++] = array_get(x, i);
    }
    cr_assert(
        kernel_call(op, x->view.dtype, &attrs, (array *[]){(array *)(uintptr_t)x}, 1, &out, 1));
    for (int64_t r = 0; r < results; r++) {
        double want = expected(op, lists + r * count, count, 1), got = array_get(&y, r);
        double absolute = 0; /* the sum of the absolute values */
        for (int64_t i = 0; i < count; i++) absolute += fabs(lists[r * count + i]);
        bool exact = is_arg(op) || op == LUCID_OP_amax || op == LUCID_OP_amin ||
                     !lucid_dtype_is_floating(y.view.dtype);
        /* one rounding of the result, and those of sums in double */
        double error = exact ? 0
                             : tolerance(y.view.dtype) * fabs(want) +
                                   1e-14 * (op == LUCID_OP_sum ? absolute : absolute / count);
        if (got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= error) continue;
        cr_assert(false,
                  "op %d, %s, %s, mask %x, keepdim %d: result %ld: expected %.17g, got %.17g", op,
                  lucid_dtype_name(x->view.dtype), luc_cpu_level_name(luc_cpu_current()), mask,
                  keepdim, (long)r, want, got);
    }
    cr_assert(array_gaps_intact(&y));
    free(lists);
    free(filled);
}

static bool has_kernel(lucid_op_id op, lucid_dtype dtype)
{
    bool floating = lucid_dtype_is_floating(dtype);
    if (op == LUCID_OP_mean || op == LUCID_OP_var) return floating;
    return true;
}

static array random_array(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout layout)
{
    array x = array_new(dtype, ndim, dims, layout);
    for (int64_t i = 0, n = array_numel(&x); i < n; i++) {
        double v = array_random() * 3;
        if (dtype == LUCID_BOOL) v = v > 0;
        if (dtype == LUCID_U8) v = fabs(v) * 20;
        if (!lucid_dtype_is_floating(dtype)) v = trunc(v);
        array_set(&x, i, v);
    }
    return x;
}

Test(reduce, dimensions_and_layouts)
{
    static const int64_t shapes[][4] = {{2, 3, 4, 5}, {3, 17, 2, 9}, {1, 40, 1, 3}, {2, 1, 33, 16}};
    FOR_LEVELS
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
        for (int t = 0; t < LUCID_DTYPE_COUNT; t++) {
            if (!has_kernel(ops[k], (lucid_dtype)t)) continue;
            for (uint32_t mask = 0; mask < 16; mask++)
                for (int l = 0; l < LAYOUTS; l++) {
                    array x = random_array((lucid_dtype)t, 4, shapes[(mask + (uint32_t)l) % 4],
                                           (array_layout)l);
                    check(ops[k], &x, mask, l % 2, l == 2 ? PADDED : DENSE);
                    array_free_all();
                }
        }
}

Test(reduce, sizes)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 63, 65, 100, 1000, 3001};
    FOR_LEVELS
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
        for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                if (!has_kernel(ops[k], (lucid_dtype)t)) continue;
                if (sizes[s] == 0 && ops[k] >= LUCID_OP_amax) continue;
                const int64_t rows[] = {3, sizes[s]}, columns[] = {sizes[s], 3};
                array x = random_array((lucid_dtype)t, 2, rows, SHIFTED);
                check(ops[k], &x, 2, false, DENSE);
                x = random_array((lucid_dtype)t, 2, columns, SHIFTED);
                check(ops[k], &x, 1, false, DENSE);
                x = random_array((lucid_dtype)t, 2, columns, PADDED);
                check(ops[k], &x, 3, true, DENSE);
                array_free_all();
            }
}

/* Split over blocks: the same bits for any number of threads. */
Test(reduce, large_and_threads)
{
    static const int64_t shapes[][4] = {
        {1, 1, 1, 1500007}, {1, 4, 300, 301}, {20, 3, 101, 67}, {3000, 1, 1, 70}, {2, 700, 30, 31}};
    static const uint32_t masks[] = {15, 13, 8, 1, 14};
    FOR_LEVELS
    for (size_t k = 0; k < 5; k++)
        for (size_t s = 0; s < 5; s++)
            for (int l = 0; l < 2; l++) {
                array x = random_array(l ? LUCID_F64 : LUCID_F32, 4, shapes[s],
                                       s < 3 && l ? CHANNELS_LAST : DENSE);
                const lucid_reduce_attrs attrs = {.mask = masks[s], .correction = 1};
                array one = result_array(ops[k], &x, masks[s], false, DENSE);
                array four = result_array(ops[k], &x, masks[s], false, DENSE);
                array *in = &x, *out = &one;
                check(ops[k], &x, masks[s], false, DENSE);
                luc_set_num_threads(1);
                cr_assert(kernel_call(ops[k], x.view.dtype, &attrs, &in, 1, &out, 1));
                luc_set_num_threads(4);
                out = &four;
                cr_assert(kernel_call(ops[k], x.view.dtype, &attrs, &in, 1, &out, 1));
                luc_set_num_threads(0);
                cr_assert(memcmp(one.block, four.block, one.bytes) == 0);
                array_free_all();
            }
}

Test(reduce, nan_and_infinity_win)
{
    const int64_t dims[] = {5, 70};
    FOR_LEVELS
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
        for (int t = 0; t < LUCID_I64; t++)
            for (int64_t at = 0; at < 70; at += 3) {
                array x = random_array((lucid_dtype)t, 2, dims, at % 2 ? DENSE : REVERSED);
                array_set(&x, at, NAN);
                array_set(&x, 70 + (at + 7) % 70, INFINITY);
                array_set(&x, 140 + at, -INFINITY);
                if (ops[k] != LUCID_OP_var) check(ops[k], &x, 2, false, DENSE);
                if (ops[k] >= LUCID_OP_amax) check(ops[k], &x, 1, false, DENSE);
                array_free_all();
            }
}

/* The variance of what is far from 0, and the sum of many small numbers. */
Test(reduce, precision)
{
    const int64_t n = 200000;
    FOR_LEVELS
    {
        array x = array_normal(LUCID_F32, 1, &n, DENSE, 1e4, 0.1);
        check(LUCID_OP_var, &x, 1, false, DENSE);
        for (int64_t i = 0; i < n; i++) array_set(&x, i, 0.1);
        check(LUCID_OP_sum, &x, 1, false, DENSE);
        array y = array_new(LUCID_F32, 0, NULL, DENSE), *in = &x, *out = &y;
        const lucid_reduce_attrs attrs = {.mask = 1, .correction = 0};
        cr_assert(kernel_call(LUCID_OP_var, LUCID_F32, &attrs, &in, 1, &out, 1));
        cr_assert_eq(array_get(&y, 0), 0, "the variance of a constant");
        array_free_all();
    }
}

Test(reduce, large_integers)
{
    const int64_t n = 3;
    FOR_LEVELS
    {
        array x = array_new(LUCID_I64, 1, &n, DENSE), y = array_new(LUCID_I64, 0, NULL, DENSE);
        array *in = &x, *out = &y;
        const int64_t values[] = {INT64_MAX - 5, 3, 1};
        memcpy(x.view.data, values, sizeof values);
        const lucid_reduce_attrs attrs = {.mask = 1};
        cr_assert(kernel_call(LUCID_OP_sum, LUCID_I64, &attrs, &in, 1, &out, 1));
        cr_assert(*(int64_t *)y.view.data == INT64_MAX - 1);
        cr_assert(kernel_call(LUCID_OP_amax, LUCID_I64, &attrs, &in, 1, &out, 1));
        cr_assert(*(int64_t *)y.view.data == INT64_MAX - 5);
        array_free_all();
    }
}

/* softmax, its gradients and nll_loss against their definitions in double. */
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>
#include <stdarg.h>

#include "lucid/core/error.h"

static double *numbers(int64_t n)
{
    double *p = calloc((size_t)n + 1, sizeof *p);
    if (!p || array_count == 4096) abort();
    array_blocks[array_count++] = (char *)p;
    return p;
}

static double step_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64   ? 1e-13
           : dtype == LUCID_F32 ? 1e-6
           : dtype == LUCID_F16 ? 1.2e-3
                                : 8e-3;
}

/* Element (o, i, r) of [outer, size, inner]. */
typedef struct {
    int64_t outer, size, inner;
} split;

static int64_t at(split s, int64_t column, int64_t i)
{
    return (column / s.inner * s.size + i) * s.inner + column % s.inner;
}

static void truth(split s, const array *x, bool log_, double *y)
{
    for (int64_t c = 0; c < s.outer * s.inner; c++) {
        double max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < s.size; i++) {
            double v = array_get(x, at(s, c, i));
            if (!(v <= max)) max = v;
        }
        for (int64_t i = 0; i < s.size; i++) sum += exp(array_get(x, at(s, c, i)) - max);
        for (int64_t i = 0; i < s.size; i++) {
            double d = array_get(x, at(s, c, i)) - max;
            y[at(s, c, i)] = log_ ? d - log(sum) : exp(d) / sum;
        }
    }
}

static void back_truth(split s, const array *g, const array *y, bool log_, double *dx)
{
    for (int64_t c = 0; c < s.outer * s.inner; c++) {
        double sum = 0;
        for (int64_t i = 0; i < s.size; i++)
            sum += array_get(g, at(s, c, i)) * (log_ ? 1 : array_get(y, at(s, c, i)));
        for (int64_t i = 0; i < s.size; i++) {
            double vy = array_get(y, at(s, c, i)), vg = array_get(g, at(s, c, i));
            dx[at(s, c, i)] = log_ ? vg - exp(vy) * sum : vy * (vg - sum);
        }
    }
}

static void check(lucid_dtype dtype, const int64_t *dims, int dim, array_layout layout, bool log_,
                  double shift)
{
    split s = {1, dims[dim], 1};
    for (int d = 0; d < 4; d++)
        *(d < dim ? &s.outer : d > dim ? &s.inner : &s.size) *= d == dim ? 1 : dims[d];
    lucid_dim_attrs attrs = {.dim = dim};
    array x = array_normal(dtype, 4, dims, layout, shift, 3), y = array_new(dtype, 4, dims, layout);
    array g = array_normal(dtype, 4, dims, layout, 0, 1), dx = array_new(dtype, 4, dims, layout);
    double *value = numbers(array_numel(&x)), *grad = numbers(array_numel(&x)), e = step_of(dtype);
    truth(s, &x, log_, value);
    cr_assert(kernel_call(log_ ? LUCID_OP_log_softmax : LUCID_OP_softmax, dtype, &attrs,
                          (array *[]){&x}, 1, (array *[]){&y}, 1));
    cr_expect_leq(array_distance(&y, value, e, e), 1, "dtype %d dim %d layout %d size %d log %d",
                  (int)dtype, dim, (int)layout, (int)s.size, log_);
    back_truth(s, &g, &y, log_, grad);
    cr_assert(kernel_call(log_ ? LUCID_OP_log_softmax_backward : LUCID_OP_softmax_backward, dtype,
                          &attrs, (array *[]){&g, &y}, 2, (array *[]){&dx}, 1));
    cr_expect_leq(array_distance(&dx, grad, 4 * e, 4 * e), 1,
                  "backward, dtype %d dim %d layout %d size %d log %d", (int)dtype, dim,
                  (int)layout, (int)s.size, log_);
    array_free_all();
}

Test(softmax, every_dim_layout_dtype_and_level)
{
    static const int64_t shapes[][4] = {{2, 3, 4, 5},  {3, 10, 1, 1},   {1, 1, 7, 33},
                                        {5, 17, 3, 2}, {2, 100, 2, 40}, {1, 1, 1, 1000}};
    static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    FOR_LEVELS
    for (int s = 0; s < 6; s++)
        for (int dim = 0; dim < 4; dim++)
            for (int layout = 0; layout < LAYOUTS; layout++)
                for (int t = 0; t < 4; t++)
                    for (int l = 0; l < 2; l++)
                        check(floating[t], shapes[s], dim, (array_layout)layout, l,
                              t < 2 && layout == 0 ? 1e3 : 0);
}

Test(softmax, infinities_and_nan)
{
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++) {
        int64_t dims[] = {4, 20, 1, 3};
        lucid_dim_attrs attrs = {.dim = 1};
        array x = array_normal(LUCID_F32, 4, dims, (array_layout)layout, 0, 1);
        array y = array_new(LUCID_F32, 4, dims, (array_layout)layout);
        split s = {4, 20, 3};
        double *value = numbers(4 * 20 * 3);
        array_set(&x, at(s, 0, 7), NAN);
        array_set(&x, at(s, 1, 3), INFINITY);
        array_set(&x, at(s, 2, 19), -INFINITY);
        for (int64_t i = 0; i < 20; i++) array_set(&x, at(s, 3, i), -INFINITY);
        for (int l = 0; l < 2; l++) {
            truth(s, &x, l, value);
            cr_assert(kernel_call(l ? LUCID_OP_log_softmax : LUCID_OP_softmax, LUCID_F32, &attrs,
                                  (array *[]){&x}, 1, (array *[]){&y}, 1));
            cr_expect_leq(array_distance(&y, value, 1e-6, 1e-6), 1, "layout %d log %d", layout, l);
        }
        array_free_all();
    }
}

static void check_nll(lucid_dtype dtype, const int64_t *dims, int ndim, int reduction,
                      bool weighted, array_layout layout)
{
    int64_t tdims[3] = {dims[0], ndim > 2 ? dims[2] : 1, ndim > 3 ? dims[3] : 1};
    int64_t inner = tdims[1] * tdims[2], count = dims[0] * inner, classes = dims[1];
    lucid_nll_attrs attrs = {.reduction = reduction, .ignore_index = -100};
    array lp = array_normal(dtype, ndim, dims, layout, -2, 1),
          dx = array_new(dtype, ndim, dims, layout);
    array target = array_new(LUCID_I64, ndim - 1, tdims, layout);
    array w = array_normal(dtype, 1, &classes, PADDED, 1, 0.1);
    bool none = reduction == LUCID_REDUCTION_NONE;
    array loss = array_new(dtype, none ? ndim - 1 : 0, tdims, DENSE),
          total = array_new(dtype, 0, NULL, DENSE);
    array g = array_normal(dtype, none ? ndim - 1 : 0, tdims, DENSE, 1, 1);
    double *value = numbers(count), *grad = numbers(array_numel(&lp)), sum = 0, weights = 0;
    for (int64_t i = 0; i < count; i++)
        array_set(&target, i, i % 7 == 3 ? -100 : (double)(i * 5 % classes));
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < count; i++) {
            int64_t class = (int64_t)array_get(&target, i);
            if (class < 0) continue;
            int64_t place = (i / inner * classes + class) * inner + i % inner;
            double wt = weighted ? array_get(&w, class) : 1;
            if (pass == 0) {
                value[i] = -wt * array_get(&lp, place);
                sum += value[i];
                weights += wt;
            } else {
                double scale = none ? array_get(&g, i) : array_get(&g, 0);
                grad[place] = -wt * scale / (reduction == LUCID_REDUCTION_MEAN ? weights : 1);
            }
        }
    double e = step_of(dtype);
    cr_assert(kernel_call(LUCID_OP_nll_loss, dtype, &attrs,
                          (array *[]){&lp, &target, weighted ? &w : NULL}, 3,
                          (array *[]){&loss, &total}, 2));
    double reduced = reduction == LUCID_REDUCTION_MEAN ? sum / weights : sum;
    cr_expect_leq(array_distance(&loss, none ? value : &reduced, e, 10 * e), 1);
    cr_expect_leq(array_distance(&total, &weights, e, 10 * e), 1);
    cr_assert(kernel_call(LUCID_OP_nll_loss_backward, dtype, &attrs,
                          (array *[]){&g, &target, weighted ? &w : NULL, &total}, 4,
                          (array *[]){&dx}, 1));
    cr_expect_leq(array_distance(&dx, grad, 2 * e, 20 * e), 1);
    array_free_all();
}

Test(nll_loss, reductions_weights_dims_and_layouts)
{
    static const int64_t shapes[][4] = {
        {64, 10, 1, 1}, {3, 5, 7, 1}, {2, 4, 5, 6}, {9000, 3, 1, 1}};
    static const int ranks[] = {2, 3, 4, 2};
    for (int s = 0; s < 4; s++)
        for (int r = 0; r < 3; r++)
            for (int weighted = 0; weighted < 2; weighted++)
                for (int layout = 0; layout < 3; layout++)
                    for (int t = 0; t < 2; t++)
                        check_nll(t ? LUCID_F64 : LUCID_F32, shapes[s], ranks[s], r, weighted,
                                  (array_layout)layout);
}

Test(nll_loss, a_class_out_of_range_is_named)
{
    int64_t dims[] = {4, 10}, n = 4;
    lucid_nll_attrs attrs = {.reduction = LUCID_REDUCTION_MEAN, .ignore_index = -100};
    array lp = array_normal(LUCID_F32, 2, dims, DENSE, -2, 1),
          target = array_new(LUCID_I64, 1, &n, DENSE);
    array loss = array_new(LUCID_F32, 0, NULL, DENSE), total = array_new(LUCID_F32, 0, NULL, DENSE);
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    static const double bad[] = {10, -1};
    for (int b = 0; b < 2; b++) {
        for (int64_t i = 0; i < n; i++) array_set(&target, i, i == 2 ? bad[b] : 1);
        cr_assert_not(kernel_call(LUCID_OP_nll_loss, LUCID_F32, &attrs,
                                  (array *[]){&lp, &target, NULL}, 3, (array *[]){&loss, &total},
                                  2));
        cr_expect(strstr(lucid_error(), "[0,10)") != NULL, "%s", lucid_error());
        cr_expect(strstr(lucid_error(), b ? "got -1" : "got 10") != NULL, "%s", lucid_error());
        lucid_clear_error();
    }
    array_free_all();
}

/* index_select, index_add, gather, scatter_add, cat at every CPU level against plain loops. */
#include "kernel_call.h"
#include "lucid/core/error.h"

#include <criterion/criterion.h>

static array integers(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout layout,
                      int64_t below)
{
    array a = array_new(dtype, ndim, dims, layout);
    for (int64_t i = 0, n = array_numel(&a); i < n; i++)
        array_set(&a, i, (double)((int64_t)(fabs(array_random()) * 1e6) % below));
    return a;
}

/* The row-major position in b of position i of a, with `value` in dimension dim. */
static int64_t moved(const array *a, const array *b, int64_t i, int dim, int64_t value)
{
    int64_t at[LUCID_MAX_DIMS] = {0}, position = 0;
    for (int d = a->view.ndim - 1; d >= 0; d--) {
        at[d] = i % a->view.dims[d];
        i /= a->view.dims[d];
    }
    at[dim] = value;
    for (int d = 0; d < b->view.ndim; d++) position = position * b->view.dims[d] + at[d];
    return position;
}

static int64_t coordinate(const array *a, int64_t i, int dim)
{
    for (int d = a->view.ndim - 1; d > dim; d--) i /= a->view.dims[d];
    return i % a->view.dims[dim];
}

static void check_select(lucid_dtype type, int dim, int layout, const int64_t *dims, int64_t count)
{
    int64_t listed_dims[3] = {dims[0], dims[1], dims[2]};
    listed_dims[dim] = count;
    array x = integers(type, 3, dims, (array_layout)(layout % LAYOUTS), 2);
    array g = integers(type, 3, listed_dims, (array_layout)(layout / LAYOUTS), 2);
    array index = integers(layout % 2 ? LUCID_I32 : LUCID_I64, 1, &count,
                           layout % 3 ? DENSE : PADDED, dims[dim]);
    array y = array_new(type, 3, listed_dims, (array_layout)(layout / LAYOUTS)), *out = &y;
    array z = array_new(type, 3, dims, (array_layout)(layout % LAYOUTS));
    const lucid_dim_attrs attrs = {.dim = dim, .size = dims[dim]};
    cr_assert(
        kernel_call(LUCID_OP_index_select, type, &attrs, (array *[]){&x, &index}, 2, &out, 1));
    out = &z;
    cr_assert(kernel_call(LUCID_OP_index_add, type, &attrs, (array *[]){&g, &index}, 2, &out, 1));
    double *sums = calloc((size_t)array_numel(&z) + 1, sizeof *sums);
    for (int64_t i = 0; i < array_numel(&y); i++) {
        int64_t k = (int64_t)array_get(&index, coordinate(&y, i, dim));
        int64_t from = moved(&y, &x, i, dim, k);
        cr_assert(array_get(&y, i) == array_get(&x, from));
        sums[from] += array_get(&g, i);
    }
    for (int64_t i = 0; i < array_numel(&z); i++) {
        double want = type == LUCID_BOOL ? sums[i] > 0 : sums[i];
        cr_assert(array_get(&z, i) == want, "%s dim %d: %g %g", lucid_dtype_name(type), dim,
                  array_get(&z, i), want);
    }
    cr_assert(array_gaps_intact(&y) && array_gaps_intact(&z));
    free(sums);
    array_free_all();
}

Test(indexing, select_and_add)
{
    static const int64_t shapes[][3] = {{4, 5, 6}, {1, 60, 20}, {30, 1, 2}};
    static const int64_t counts[] = {0, 1, 7, 100};
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (int dim = 0; dim < 3; dim++)
            for (int l = 0; l < LAYOUTS * LAYOUTS; l++)
                check_select((lucid_dtype)t, dim, l, shapes[l % 3], counts[(l + t) % 4]);
}

/* More rows than a block holds, rows of one and of very many bytes, a row that all go to. */
Test(indexing, select_and_add_over_many_rows)
{
    static const int64_t shapes[][3] = {{1, 5000, 3},  {1, 9001, 1}, {2, 700, 100},
                                        {1, 40, 2500}, {1, 1, 33},   {3, 2, 17}};
    static const lucid_dtype types[] = {LUCID_F32, LUCID_F64, LUCID_I32, LUCID_BOOL};
    FOR_LEVELS
    for (int t = 0; t < 4; t++)
        for (int shape = 0; shape < 6; shape++)
            for (int l = 0; l < 2; l++) check_select(types[t], 1, l, shapes[shape], 300);
}

static void check_gather(lucid_dtype type, int dim, int layout)
{
    static const int64_t dims[] = {5, 6, 7}, listed_dims[] = {4, 6, 5}; /* the index may be less */
    int64_t sizes[3] = {listed_dims[0], listed_dims[1], listed_dims[2]};
    sizes[dim] = 9;
    array x = integers(type, 3, dims, (array_layout)(layout % LAYOUTS), 2);
    array g = integers(type, 3, sizes, (array_layout)(layout / LAYOUTS), 2);
    array index = integers(LUCID_I64, 3, sizes, (array_layout)(layout % 3), dims[dim]);
    array y = array_new(type, 3, sizes, (array_layout)(layout / LAYOUTS)), *out = &y;
    array z = array_new(type, 3, dims, (array_layout)(layout % LAYOUTS));
    const lucid_dim_attrs attrs = {.dim = dim, .size = dims[dim]};
    cr_assert(kernel_call(LUCID_OP_gather, type, &attrs, (array *[]){&x, &index}, 2, &out, 1));
    out = &z;
    cr_assert(kernel_call(LUCID_OP_scatter_add, type, &attrs, (array *[]){&g, &index}, 2, &out, 1));
    double sums[5 * 6 * 7] = {0};
    for (int64_t i = 0; i < array_numel(&y); i++) {
        int64_t from = moved(&y, &x, i, dim, (int64_t)array_get(&index, i));
        cr_assert(array_get(&y, i) == array_get(&x, from));
        sums[from] += array_get(&g, i);
    }
    for (int64_t i = 0; i < array_numel(&z); i++)
        cr_assert(array_get(&z, i) == (type == LUCID_BOOL ? sums[i] > 0 : sums[i]));
    cr_assert(array_gaps_intact(&y) && array_gaps_intact(&z));
    array_free_all();
}

Test(indexing, gather_and_scatter)
{
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (int dim = 0; dim < 3; dim++)
            for (int l = 0; l < LAYOUTS * LAYOUTS; l++) check_gather((lucid_dtype)t, dim, l);
}

Test(indexing, out_of_range_is_an_error)
{
    static const lucid_op_id ops[] = {LUCID_OP_index_select, LUCID_OP_index_add, LUCID_OP_gather,
                                      LUCID_OP_scatter_add};
    static const char *const names[] = {"index_select", "index_add", "gather", "scatter_add"};
    const int64_t n = 4;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (size_t k = 0; k < 4; k++)
        for (int bad = -1; bad <= 4; bad += 5) {
            array x = integers(LUCID_F32, 1, &n, DENSE, 5),
                  index = integers(LUCID_I64, 1, &n, DENSE, 4);
            array y = array_new(LUCID_F32, 1, &n, DENSE), *out = &y;
            const lucid_dim_attrs attrs = {.dim = 0, .size = 4};
            array_set(&index, 2, bad);
            cr_assert_not(
                kernel_call(ops[k], LUCID_F32, &attrs, (array *[]){&x, &index}, 2, &out, 1));
            cr_assert(strstr(lucid_error(), names[k]) && strstr(lucid_error(), "[0,4)") &&
                          strstr(lucid_error(), bad < 0 ? "-1" : "got 4"),
                      "%s", lucid_error());
            lucid_clear_error();
            array_free_all();
        }
}

Test(indexing, cat)
{
    FOR_LEVELS
    for (int t = 0; t < LUCID_DTYPE_COUNT; t++)
        for (int dim = 0; dim < 3; dim++)
            for (int l = 0; l < LAYOUTS; l++) {
                array x[4], *in[4], y, *out = &y;
                int64_t dims[] = {3, 4, 5}, total = 0;
                for (int i = 0; i < 4; i++) {
                    dims[dim] = i == 2 ? 0 : i + 1;
                    total += dims[dim];
                    x[i] = integers((lucid_dtype)t, 3, dims, (array_layout)((l + i) % LAYOUTS), 2);
                    in[i] = &x[i];
                }
                dims[dim] = total;
                y = array_new((lucid_dtype)t, 3, dims, (array_layout)l);
                const lucid_dim_attrs attrs = {.dim = dim};
                cr_assert(kernel_call(LUCID_OP_cat, (lucid_dtype)t, &attrs, in, 4, &out, 1));
                for (int64_t i = 0; i < array_numel(&y); i++) {
                    int64_t at = coordinate(&y, i, dim);
                    int k = 0;
                    while (at >= x[k].view.dims[dim]) at -= x[k++].view.dims[dim];
                    cr_assert(array_get(&y, i) == array_get(&x[k], moved(&y, &x[k], i, dim, at)));
                }
                cr_assert(array_gaps_intact(&y));
                array_free_all();
            }
}

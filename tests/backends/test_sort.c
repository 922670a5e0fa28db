/* Sorting at every CPU level against a comparison of the numbers themselves: dtypes, layouts, sizes
 * on both sides of every change of method, equals, NaN, infinities and zeros of both signs. */
#include "kernel_call.h"

#include <criterion/criterion.h>

static const lucid_dtype types[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16,
                                    LUCID_I64, LUCID_I32, LUCID_U8,  LUCID_BOOL};
enum { TYPES = 8 };

/* ---- what is right --------------------------------------------------------------------------- */

typedef struct {
    double value;
    int64_t index;
    bool down;
} item;

/* NaN is the largest; equals by their index, whichever way it goes. */
static int compare(const void *a_, const void *b_)
{
    const item *a = a_, *b = b_;
    bool a_nan = isnan(a->value), b_nan = isnan(b->value);
    int order = a_nan || b_nan ? a_nan - b_nan : (a->value > b->value) - (a->value < b->value);
    if (order != 0) return a->down ? -order : order;
    return (a->index > b->index) - (a->index < b->index);
}

static const char *element(const array *a, int64_t i)
{
    return (const char *)a->view.data +
           array_offset(a, i) * (int64_t)lucid_dtype_size(a->view.dtype);
}

/* Row r of the rows along dim: number of its element i, in an array that has n of them. */
static int64_t place(int64_t r, int64_t i, int64_t n, int64_t inner)
{
    return (r / inner * n + i) * inner + r % inner;
}

/* values (or NULL) and indices are the first k of x's order along dim, to the bit. */
static bool is_right(const array *x, const array *values, const array *indices, int dim, int64_t k,
                     bool down)
{
    const int64_t n = x->view.dims[dim];
    const size_t size = lucid_dtype_size(x->view.dtype);
    int64_t inner = 1, rows = n ? array_numel(x) / n : 0;
    for (int d = dim + 1; d < x->view.ndim; d++) inner *= x->view.dims[d];
    item *items = malloc((size_t)(n + 1) * sizeof *items);
    bool right = true;
    for (int64_t r = 0; r < rows && right; r++) {
        for (int64_t i = 0; i < n; i++)
            items[i] = (item){array_get(x, place(r, i, n, inner)), i, down};
        qsort(items, (size_t)n, sizeof *items, compare);
        for (int64_t i = 0; i < k && right; i++) {
            const int64_t at = place(r, i, k, inner), from = items[i].index;
            right = (int64_t)array_get(indices, at) == from;
            if (values && right)
                right =
                    memcmp(element(values, at), element(x, place(r, from, n, inner)), size) == 0;
        }
    }
    free(items);
    return right;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Normal numbers; with `ties` few of them, and among the floats NaN, infinities and both zeros. */
static array make(lucid_dtype type, int ndim, const int64_t *dims, array_layout layout, bool ties)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1, -1, 0x1p-24};
    const bool floating = lucid_dtype_is_floating(type);
    array x = array_new(type, ndim, dims, layout);
    for (int64_t i = 0, n = array_numel(&x); i < n; i++) {
        double v = array_random() * (floating ? 1 : 60);
        if (ties) v = floor(v * (floating ? 3 : 0.05));
        if (ties && floating && array_random() > 0) v = special[(array_state >> 20) % 8];
        if (type == LUCID_U8) v = (double)((int64_t)v & 255);
        if (type == LUCID_BOOL) v = v > 0;
        array_set(&x, i, v);
    }
    return x;
}

static void check(const array *x, int dim, int64_t k, bool down, array_layout layout)
{
    lucid_sort_attrs attrs = {.dim = dim, .k = k, .descending = down};
    int64_t dims[LUCID_MAX_DIMS];
    const lucid_dtype type = x->view.dtype;
    const int ndim = x->view.ndim;
    const bool all = k < 0;
    memcpy(dims, x->view.dims, sizeof dims);
    if (all) k = dims[dim];
    dims[dim] = k;
    array y = array_new(type, ndim, dims, layout), i = array_new(LUCID_I64, ndim, dims, layout);
    cr_assert(kernel_call(all ? LUCID_OP_sort : LUCID_OP_topk, type, &attrs,
                          (array *[]){(array *)x}, 1, (array *[]){&y, &i}, 2));
    cr_expect(is_right(x, &y, &i, dim, k, down) && array_gaps_intact(&y) && array_gaps_intact(&i),
              "%s %d-d, %lld along %d, k %lld, descending %d, layout %d", lucid_dtype_name(type),
              ndim, (long long)x->view.dims[dim], dim, all ? -1 : (long long)k, down, (int)layout);
    if (!all) return;
    array alone = array_new(LUCID_I64, ndim, dims, DENSE);
    cr_assert(kernel_call(LUCID_OP_argsort, type, &attrs, (array *[]){(array *)x}, 1,
                          (array *[]){&alone}, 1));
    cr_expect(is_right(x, NULL, &alone, dim, k, down), "argsort of %s", lucid_dtype_name(type));
}

/* ---- tests ----------------------------------------------------------------------------------- */

TestSuite(sort, .fini = array_free_all, .timeout = 300);

/* Rows that are ranked, and that are sorted by their bytes. */
Test(sort, rows)
{
    static const int64_t sizes[] = {1, 2, 3, 7, 63, 64, 65, 200, 1023, 1025, 3001};
    FOR_LEVELS
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int ties = 0; ties < 2; ties++) {
                array x = make(types[t], 2, (int64_t[]){5, sizes[s]}, DENSE, ties);
                check(&x, 1, -1, ties, DENSE);
                check(&x, 1, -1, !ties, SHIFTED);
                array_free_all();
            }
}

Test(sort, layouts)
{
    static const int64_t dims[] = {3, 18, 5, 20};
    FOR_LEVELS
    for (int t = 0; t < TYPES; t++)
        for (int layout = 0; layout < LAYOUTS; layout++)
            for (int dim = 0; dim < 4; dim++) {
                array x = make(types[t], 4, dims, (array_layout)layout, true);
                check(&x, dim, -1, dim & 1, (array_layout)layout);
                check(&x, dim, -1, !(dim & 1), DENSE);
                check(&x, dim, 3, dim & 1, (array_layout)layout);
                array_free_all();
            }
}

/* Columns, which are read in groups: more and fewer than a group, and more than a chunk of one. */
Test(sort, columns)
{
    static const int64_t sizes[][2] = {{40, 16}, {150, 17}, {1030, 33}, {70, 3}, {5000, 40}};
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            array x = make(types[t], 2, sizes[s], DENSE, s & 1);
            check(&x, 0, -1, t & 1, DENSE);
            check(&x, 0, 5, t & 1, DENSE);
            check(&x, 0, sizes[s][0] / 2 + 13, t & 1, REVERSED);
            array_free_all();
        }
}

Test(sort, top)
{
    static const int64_t sizes[] = {1, 5, 33, 64, 100, 1000, 2500};
    static const int64_t ks[] = {0, 1, 2, 5, 31, 32, 33, 64, 65, 100, 999, 1000, 2500};
    FOR_LEVELS
    for (int t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++) {
                if (ks[j] > sizes[s]) break;
                array x = make(types[t], 2, (int64_t[]){3, sizes[s]}, DENSE, (s + j) & 1);
                check(&x, 1, ks[j], true, DENSE);
                check(&x, 1, ks[j], false, PADDED);
                array_free_all();
            }
}

/* Rows in order, the other way round, and all alike: every element is a new best, or none is. */
Test(sort, in_order)
{
    for (int kind = 0; kind < 3; kind++) {
        array x = array_new(LUCID_F32, 2, (int64_t[]){2, 3000}, DENSE);
        for (int64_t i = 0; i < 6000; i++)
            array_set(&x, i, kind == 0 ? (double)i : kind == 1 ? (double)-i : 7);
        for (int down = 0; down < 2; down++) {
            check(&x, 1, -1, down, DENSE);
            check(&x, 1, 17, down, DENSE);
            check(&x, 1, 300, down, DENSE);
        }
        array_free_all();
    }
}

Test(sort, long_rows)
{
    static const int64_t sizes[] = {65535, 65536, 65537, 100000, 5 * 16384};
    static const int64_t ks[] = {-1, 1, 7, 32, 33, 1000, 1024, 1025, 60000};
    for (int threads = 1; threads < 5; threads += 2)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            lucid_dtype type = types[(s + (size_t)threads) % TYPES];
            luc_set_num_threads(threads);
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++) {
                array x = make(type, 1, &sizes[s], j & 1 ? DENSE : PADDED, j & 1);
                check(&x, 0, ks[j], j & 1, DENSE);
                array_free_all();
            }
        }
    array x = make(LUCID_F32, 2, (int64_t[]){2, 70000}, DENSE, true);
    check(&x, 1, -1, false, DENSE);
    check(&x, 1, 9, true, REVERSED);
    array y = make(LUCID_F64, 2, (int64_t[]){66000, 3}, DENSE, true);
    check(&y, 0, -1, true, DENSE);
    check(&y, 0, 40, false, DENSE);
}

/* Threads come and go between a plan and its run. */
Test(sort, planned_for_fewer_threads)
{
    int64_t dims[] = {64, 500};
    array x = make(LUCID_F32, 2, dims, DENSE, true), y = array_new(LUCID_F32, 2, dims, DENSE);
    array i = array_new(LUCID_I64, 2, dims, DENSE);
    lucid_sort_attrs attrs = {.dim = 1};
    const lucid_view *in[] = {&x.view}, *out[] = {&y.view, &i.view};
    lucid_kernel_args args = {
        .op = LUCID_OP_sort, .n_in = 1, .n_out = 2, .in = in, .out = out, .attrs = &attrs};
    const lucid_backend *cpu = luc_cpu_backend();
    luc_set_num_threads(1);
    const lucid_kernel kernel = cpu->kernels[LUCID_OP_sort][LUCID_F32];
    lucid_plan plan = {.workspace = 0};
    cr_assert(kernel.plan(&args, &plan));
    args.plan = &plan;
    args.workspace = aligned_alloc(64, plan.workspace);
    luc_set_num_threads(4);
    cr_assert(kernel.run(&args));
    cr_expect(is_right(&x, &y, &i, 1, 500, false));
    free(args.workspace);
}

/* Beyond the numbers that a double holds, and the ends of the integers. */
Test(sort, extreme_integers)
{
    static const int64_t in[] = {0, INT64_MAX, -1,       INT64_MIN, INT64_MAX - 1, INT64_MIN + 1,
                                 1, 0,         INT64_MAX};
    static const int64_t up[] = {3, 5, 2, 0, 7, 6, 4, 1, 8}, down[] = {1, 8, 4, 6, 0, 7, 2, 5, 3};
    int64_t n = 9;
    array x = array_new(LUCID_I64, 1, &n, DENSE), y = array_new(LUCID_I64, 1, &n, DENSE);
    array i = array_new(LUCID_I64, 1, &n, DENSE);
    memcpy(x.view.data, in, sizeof in);
    for (int d = 0; d < 2; d++) {
        lucid_sort_attrs attrs = {.dim = 0, .descending = d};
        cr_assert(kernel_call(LUCID_OP_sort, LUCID_I64, &attrs, (array *[]){&x}, 1,
                              (array *[]){&y, &i}, 2));
        for (int64_t j = 0; j < n; j++) {
            int64_t want = d ? down[j] : up[j];
            cr_expect_eq(((int64_t *)i.view.data)[j], want);
            cr_expect_eq(((int64_t *)y.view.data)[j], in[want]);
        }
    }
}

Test(sort, nothing)
{
    static const int64_t sizes[][3] = {{0, 3, 4}, {3, 0, 4}, {3, 4, 0}};
    for (int s = 0; s < 3; s++)
        for (int dim = 0; dim < 3; dim++) {
            array x = array_new(LUCID_F32, 3, sizes[s], DENSE);
            check(&x, dim, -1, true, DENSE);
            check(&x, dim, 0, true, DENSE);
        }
}

/* test_loop.c: strided loops: every element is visited once, in as few dimensions as can describe
 * them. */
#include "backends/cpu/strided/loop.h"
#include "kernel_call.h"

#include <criterion/criterion.h>

static lucid_view view_of(int ndim, const int64_t *dims, const int64_t *strides)
{
    static float data[1];
    lucid_view v = {.data = data, .dtype = LUCID_F32, .ndim = ndim};
    for (int d = 0; d < ndim; d++) v.dims[d] = dims[d], v.strides[d] = strides[d];
    return v;
}

/* The offset of element `index` in row-major order, by the definition. */
static int64_t place(const lucid_view *v, int64_t index)
{
    int64_t at = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        at += index % v->dims[d] * v->strides[d];
        index /= v->dims[d];
    }
    return at;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The loop visits the same pairs of places (out, in) as the two views do, in whatever order. */
static void expect_same_places(const luc_loop *l, const lucid_view *out, const lucid_view *in,
                               int64_t unit)
{
    enum { MOST = 4096 };
    static int64_t want[MOST], got[MOST];
    int64_t n = 0;
    const int64_t total = luc_view_numel(out);
    cr_assert(total <= MOST);
    for (int64_t i = 0; i < total; i++) want[i] = place(out, i) * 100000 + place(in, i);
    const int64_t row = l->ndim ? l->dims[l->ndim - 1] : 1;
    for (int64_t run = 0; run < (total ? luc_loop_runs(l) : 0); run++) {
        int64_t at[LUC_MAX_OPERANDS];
        luc_loop_offsets(l, run, at);
        for (int64_t i = 0; i < row; i++, n++) {
            const int64_t step0 = l->ndim ? l->strides[0][l->ndim - 1] : 0;
            const int64_t step1 = l->ndim ? l->strides[1][l->ndim - 1] : 0;
            got[n] = (at[0] + i * step0) / unit * 100000 + (at[1] + i * step1) / unit;
        }
    }
    cr_assert_eq(n, total);
    qsort(want, (size_t)n, sizeof *want, by_value);
    qsort(got, (size_t)n, sizeof *got, by_value);
    for (int64_t i = 0; i < n; i++) cr_assert_eq(got[i], want[i], "place %d", (int)i);
}

static luc_loop loop_of(const lucid_view *out, const lucid_view *in)
{
    luc_loop l;
    luc_loop_of_views(&l, out, &in, 1);
    cr_assert_eq(l.numel, luc_view_numel(out));
    cr_assert(l.data[0] == out->data && l.data[1] == in->data);
    expect_same_places(&l, out, in, 4);
    return l;
}

Test(loop, no_dimension_and_sizes_of_one)
{
    const int64_t ones[] = {1, 1, 1}, any[] = {7, 0, 3};
    lucid_view scalar = view_of(0, NULL, NULL), small = view_of(3, ones, any);
    cr_expect_eq(loop_of(&scalar, &scalar).ndim, 0);
    luc_loop l = loop_of(&small, &small);
    cr_expect_eq(l.ndim, 0);
    luc_loop_end(&l);
    cr_expect(l.ndim == 1 && l.dims[0] == 1 && luc_loop_runs(&l) == 1);
}

Test(loop, dense_memory_in_any_order_is_one_dimension)
{
    const int64_t dims[] = {2, 3, 4, 5}, nchw[] = {60, 20, 5, 1}, nhwc[] = {60, 1, 15, 3};
    lucid_view a = view_of(4, dims, nchw), b = view_of(4, dims, nhwc);
    luc_loop l = loop_of(&a, &a);
    cr_expect(l.ndim == 1 && l.dims[0] == 120 && l.strides[0][0] == 4);
    l = loop_of(&b, &b);
    cr_expect(l.ndim == 1 && l.dims[0] == 120);
    l = loop_of(&a, &b); /* channels apart from pixels */
    cr_expect(l.ndim == 3, "%d", l.ndim);
}

Test(loop, eight_dimensions)
{
    const int64_t dims[] = {2, 3, 2, 1, 3, 2, 2, 3};
    int64_t dense[8], gaps[8], back[8], s = 1, g = 1, r = 1;
    for (int d = 7; d >= 0; d--) dense[d] = s, gaps[d] = g, s *= dims[d], g *= dims[d] + 1;
    for (int d = 0; d < 8; d++) back[d] = r, r *= dims[d];
    lucid_view a = view_of(8, dims, dense), b = view_of(8, dims, gaps), c = view_of(8, dims, back);
    cr_expect_eq(loop_of(&a, &a).ndim, 1);
    cr_expect_eq(loop_of(&a, &b).ndim, 7);
    cr_expect_eq(loop_of(&a, &c).ndim, 7);
    cr_expect_eq(loop_of(&c, &c).ndim, 1);
}

Test(loop, an_expanded_operand_has_strides_of_0)
{
    const int64_t dims[] = {4, 3, 5}, dense[] = {15, 5, 1}, rows[] = {0, 1, 0}, none[] = {0, 0, 0};
    lucid_view a = view_of(3, dims, dense), b = view_of(3, dims, rows), c = view_of(3, dims, none);
    luc_loop l = loop_of(&a, &b);
    cr_expect_eq(l.ndim, 3);
    l = loop_of(&a, &c);
    cr_expect(l.ndim == 1 && l.strides[1][0] == 0 && l.strides[0][0] == 4);
}

Test(loop, an_empty_dimension_has_no_elements)
{
    const int64_t dims[] = {4, 0, 5}, dense[] = {5, 5, 1};
    lucid_view a = view_of(3, dims, dense);
    cr_expect_eq(loop_of(&a, &a).numel, 0);
}

Test(loop, added_dimensions_stay_in_order_and_are_joined)
{
    luc_loop l = luc_loop_begin(2);
    luc_loop_add(&l, 4, (int64_t[]){30, 6});
    luc_loop_add(&l, 1, (int64_t[]){99, 99}); /* left out */
    luc_loop_add(&l, 3, (int64_t[]){10, 2});  /* joined */
    luc_loop_add(&l, 2, (int64_t[]){5, 3});   /* not joined: the second operand differs */
    luc_loop_end(&l);
    cr_expect(l.ndim == 2 && l.dims[0] == 12 && l.dims[1] == 2 && luc_loop_runs(&l) == 12);
    cr_expect(l.strides[0][0] == 10 && l.strides[1][0] == 2);
    int64_t at[LUC_MAX_OPERANDS];
    luc_loop_offsets(&l, 7, at);
    cr_expect(at[0] == 70 && at[1] == 14);
    at[0] = 1, at[1] = 2;
    luc_loop_move(&l, 2, 15, at); /* element 15: run 7, and 1 along it */
    cr_expect(at[0] == 1 + 70 + 5 && at[1] == 2 + 14 + 3);
}

Test(loop, sorted_by_one_operand)
{
    luc_loop l = luc_loop_begin(2);
    luc_loop_push(&l, 3, (int64_t[]){2, 50});
    luc_loop_push(&l, 5, (int64_t[]){6, 10});
    luc_loop_push(&l, 2, (int64_t[]){1, 5});
    luc_loop_push(&l, 7, (int64_t[]){0, 1});
    luc_loop_sort_by(&l, 0);
    cr_expect(l.dims[0] == 5 && l.dims[1] == 3 && l.dims[2] == 2 && l.dims[3] == 7);
    cr_expect(l.strides[1][0] == 10 && l.strides[1][3] == 1);
    luc_loop_join(&l);
    cr_expect_eq(l.ndim, 4, "no two are neighbours in both operands");
    l.operands = 1;
    luc_loop_join(&l);
    cr_expect(l.ndim == 2 && l.dims[0] == 30 && l.strides[0][0] == 1);
}

Test(loop, division_rounds_up)
{
    cr_expect(luc_ceil_div(0, 4) == 0 && luc_ceil_div(1, 4) == 1 && luc_ceil_div(8, 4) == 2);
    cr_expect(luc_ceil_div(9, 4) == 3 && luc_ceil_div(-3, 4) == 0 && luc_ceil_div(-9, 4) == 0);
    cr_expect(luc_ceil_div(INT64_MAX, INT64_MAX) == 1 && luc_ceil_div(INT64_MAX, 2) > 0);
    cr_expect(luc_round64(0) == 0 && luc_round64(1) == 64 && luc_round64(64) == 64);
}

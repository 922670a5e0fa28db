/* test_index.c: cat, index_select, index_add, gather and scatter_add on CUDA: every dtype and
 * dimension, vectors and odd ends, many duplicates, and indices that are wrong. */
#include "both.h"

CUDA_SUITE(index);

/* Small whole numbers for the 16-bit types, whose sums are then exact. */
static lucid_tensor *values(lucid_shape shape, lucid_dtype dtype, uint64_t seed)
{
    double low = dtype == LUCID_U8 || dtype == LUCID_BOOL ? 0 : -5;
    if (dtype == LUCID_F16 || dtype == LUCID_BF16)
        return lucid_cast(numbers(shape, LUCID_I32, low, 5, seed), dtype);
    return numbers(shape, dtype, low, dtype == LUCID_BOOL ? 2 : 5, seed);
}

/* scatter_add's attributes: the sizes of the result follow those that kernels read. */
typedef struct scatter_attrs {
    lucid_dim_attrs dim;
    lucid_shape shape;
} scatter_attrs;

static void check(lucid_op_id op, lucid_tensor *x, lucid_tensor *index, arrange how, int dim,
                  int64_t size, const char *what)
{
    scatter_attrs attrs = {{.dim = dim, .size = size}, lucid_tensor_shape(x)};
    if (size) attrs.shape.dims[dim] = size;
    expect_both(&(both){.op = luc_op_table[op],
                        .attrs = &attrs,
                        .n_in = 2,
                        .in = {x, index},
                        .arrange = {how},
                        .dtype = x->view.dtype,
                        .what = what});
}

static const arrange arranges[] = {as_it_is, backwards, channels_last};

Test(index, select_and_add)
{
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        lucid_shape shape = {4, {6, 5, 7, 16}};
        lucid_tensor *x = values(shape, any_dtype[d], 1);
        for (int dim = 0; dim < 4; dim++)
            for (int a = 0; a < 3; a++) {
                int64_t n = shape.dims[dim];
                lucid_tensor *index = numbers((lucid_shape){1, {9}}, LUCID_I64, 0, (double)n, 2);
                check(LUCID_OP_index_select, x, index, arranges[a], dim, 0, "select");
                index = numbers((lucid_shape){1, {n}}, LUCID_I64, 0, 4, 3);
                check(LUCID_OP_index_add, x, index, arranges[a], dim, 5, "add");
            }
        lucid_tensor *none = lucid_zeros((0), .dtype = LUCID_I64);
        check(LUCID_OP_index_select, x, none, NULL, 0, 0, "nothing");
    }
}

Test(index, add_many)
{
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        if (any_dtype[d] == LUCID_F16 || any_dtype[d] == LUCID_BF16) continue;
        lucid_tensor *g = values((lucid_shape){2, {700, 20}}, any_dtype[d], 1);
        for (int size = 1; size <= 1000; size *= 10) {
            lucid_tensor *index = numbers((lucid_shape){1, {700}}, LUCID_I64, 0, (double)size, 2);
            check(LUCID_OP_index_add, g, index, NULL, 0, size, "many rows");
        }
        lucid_tensor *index = numbers((lucid_shape){1, {20}}, LUCID_I64, 0, 3, 2);
        check(LUCID_OP_index_add, g, index, NULL, 1, 4, "columns");
    }
}

Test(index, add_many_halves)
{
    for (int d = 2; d < 4; d++) {
        LUCID_SCOPE;
        lucid_tensor *g = values((lucid_shape){2, {100, 24}}, floating[d], 1);
        lucid_tensor *index = numbers((lucid_shape){1, {100}}, LUCID_I64, 0, 30, 2);
        check(LUCID_OP_index_add, g, index, NULL, 0, 30, "many rows");
        check(LUCID_OP_index_add, g, index, backwards, 0, 30, "many rows, backwards");
    }
}

Test(index, gather_and_scatter)
{
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        lucid_shape shape = {3, {6, 5, 8}};
        lucid_tensor *x = values(shape, any_dtype[d], 1);
        for (int dim = 0; dim < 3; dim++)
            for (int a = 0; a < 2; a++) {
                lucid_shape part = {3, {4, 5, 3}};
                lucid_tensor *index = numbers(part, LUCID_I64, 0, (double)shape.dims[dim], 2);
                check(LUCID_OP_gather, x, index, arranges[a], dim, 0, "gather");
                index = numbers(shape, LUCID_I64, 0, 7, 3);
                check(LUCID_OP_scatter_add, x, index, arranges[a], dim, 7, "scatter");
            }
    }
}

Test(index, scatter_many)
{
    static const int64_t sizes[] = {1, 10, 5000, 1 << 20};
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        if (any_dtype[d] == LUCID_F16 || any_dtype[d] == LUCID_BF16) continue;
        for (int k = 0; k < 4; k++) {
            if (d && sizes[k] > 10) continue;
            lucid_tensor *g = values((lucid_shape){1, {300}}, any_dtype[d], 1);
            lucid_tensor *index =
                numbers((lucid_shape){1, {300}}, LUCID_I64, 0, (double)sizes[k], 2);
            check(LUCID_OP_scatter_add, g, index, NULL, 0, sizes[k], "one line");
        }
    }
    LUCID_SCOPE;
    lucid_tensor *g = values((lucid_shape){2, {3, 40}}, LUCID_F32, 1);
    lucid_tensor *index = numbers((lucid_shape){2, {3, 40}}, LUCID_I64, 0, 20, 2);
    check(LUCID_OP_scatter_add, g, index, NULL, 1, 1 << 19, "few lines, many places");
}

Test(index, joined)
{
    for (int d = 0; d < ANY_DTYPE; d++) {
        LUCID_SCOPE;
        for (int dim = 0; dim < 4; dim++)
            for (int a = 0; a < 3; a++) {
                lucid_shape s = {4, {3, 4, 5, 6}}, t = s;
                t.dims[dim] = 2;
                lucid_dim_attrs attrs = {.dim = dim};
                expect_both(&(both){.op = luc_op_table[LUCID_OP_cat],
                                    .attrs = &attrs,
                                    .n_in = 3,
                                    .in = {values(s, any_dtype[d], 1), values(t, any_dtype[d], 2),
                                           values(s, any_dtype[d], 3)},
                                    .arrange = {arranges[a], arranges[a], NULL},
                                    .dtype = any_dtype[d],
                                    .what = "cat"});
            }
    }
}

/* Thousands of ones at one place, in each way that the kernels have: nothing stalls, and everything
 * is rounded once. The last one has more places than a thread each would look for. */
Test(index, long_sums_do_not_stall)
{
    static const lucid_dtype dtypes[] = {LUCID_BF16, LUCID_F16, LUCID_F32};
    static const double want[] = {4992, 5000, 5000};
    enum { MANY = 5000 };
    const lucid_device device = lucid_cuda(0);
    for (int d = 0; d < 3; d++) {
        LUCID_SCOPE;
        lucid_tensor *ones = lucid_ones((MANY), .dtype = dtypes[d], .device = device);
        lucid_tensor *zeros = lucid_zeros((MANY), .dtype = LUCID_I64, .device = device);
        scatter_attrs one = {{.dim = 0, .size = 2}, {1, {2}}};
        lucid_tensor *in[] = {ones, zeros};
        lucid_tensor *y = lucid_apply(luc_op_table[LUCID_OP_index_add], in, 2, &one);
        cr_expect_eq(lucid_at(y, LUCID_SHAPE(0)), want[d], "%s", lucid_dtype_name(dtypes[d]));
        y = lucid_apply(luc_op_table[LUCID_OP_scatter_add], in, 2, &one);
        cr_expect_eq(lucid_at(y, LUCID_SHAPE(0)), want[d], "%s", lucid_dtype_name(dtypes[d]));
        scatter_attrs lines = {{.dim = 1, .size = 1 << 19}, {2, {2, 1 << 19}}};
        in[0] = lucid_expand(ones, (2, MANY));
        in[1] = lucid_expand(zeros, (2, MANY));
        y = lucid_apply(luc_op_table[LUCID_OP_scatter_add], in, 2, &lines);
        cr_expect_eq(lucid_at(y, LUCID_SHAPE(1, 0)), want[d], "%s", lucid_dtype_name(dtypes[d]));
    }
}

/* ---- indices that are wrong ---- */

static lucid_tensor *wrong(double value)
{
    double v[] = {0, 1, value, 2};
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = LUCID_I64;
    o.device = lucid_cuda(0);
    return lucid_from_doubles_opt(LUCID_SHAPE(4), v, 4, &o);
}

Test(index, wrong_indices_are_reported_when_the_device_is_waited_for)
{
    static const lucid_op_id ops[] = {LUCID_OP_index_select, LUCID_OP_index_add, LUCID_OP_gather,
                                      LUCID_OP_scatter_add};
    static const char *const names[] = {"index_select", "index_add", "gather", "scatter_add"};
    static const double values_[] = {-1, 4, 1e15};
    scatter_attrs attrs = {{.dim = 0, .size = 4}, {1, {4}}};
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 3; i++) {
            LUCID_SCOPE;
            lucid_tensor *x = lucid_ones((4), .device = lucid_cuda(0));
            lucid_tensor *in[] = {x, wrong(values_[i])};
            lucid_tensor *y = lucid_apply(luc_op_table[ops[k]], in, 2, &attrs);
            lucid_tensor *after = lucid_sum(y); /* nothing has waited yet */
            cr_expect(after && lucid_error_code() == LUCID_OK, "%s: %s", names[k], lucid_error());
            char text[64];
            snprintf(text, sizeof text, "index: expected values in [0,4), got %.0f", values_[i]);
            EXPECT_ERROR(lucid_item(after), LUCID_ERR_ARGUMENT, text);
            lucid_item(after);
            cr_expect(lucid_error_code() == LUCID_OK, "%s is raised once: %s", names[k],
                      lucid_error());
            lucid_apply(luc_op_table[ops[k]], in, 2, &attrs);
            EXPECT_ERROR(lucid_synchronize(lucid_cuda(0)), LUCID_ERR_ARGUMENT, names[k]);
        }
}

/* The first wrong call is the one that is named. */
Test(index, the_first_fault_is_raised)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_ones((4), .device = lucid_cuda(0));
    lucid_index_select(x, 0, wrong(7));
    lucid_gather(x, 0, wrong(9));
    EXPECT_ERROR(lucid_synchronize(lucid_cuda(0)), LUCID_ERR_ARGUMENT, "got 7");
}

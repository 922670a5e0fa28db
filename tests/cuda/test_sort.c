/* test_sort.c: sort, argsort and topk on CUDA against the CPU: every dtype, rows on both sides of
 * every change of method, equals, NaN, infinities and zeros of both signs, layouts. There is one
 * right result: all of it is compared to the bit. */
#include "both.h"

CUDA_SUITE(sort);

/* Numbers of which many are equal; among the floats NaN, infinities and both zeros. */
static lucid_tensor *ties(lucid_shape shape, lucid_dtype dtype, uint64_t seed)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1, -1, 2};
    const size_t n = (size_t)lucid_shape_numel(&shape);
    double *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        const double r = next_number(&seed);
        values[i] = floor(r * 40);
        if (dtype == LUCID_BOOL)
            values[i] = r < 0.5;
        else if (!lucid_dtype_is_floating(dtype))
            values[i] = floor(r * 200) - (dtype == LUCID_U8 ? 0 : 100);
        else if (r < 0.3)
            values[i] = special[(seed >> 40) % 8];
    }
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    lucid_tensor *t = lucid_from_doubles_opt(shape, values, n, &o);
    free(values);
    return t;
}

/* The signs of zeros, too: 1 / x tells them. */
static void expect_bits(const lucid_tensor *got, const lucid_tensor *want, const char *what)
{
    cr_expect(is_same(got, want, LUCID_I64), "%s differs from the CPU's", what);
    if (!got || !lucid_dtype_is_floating(got->view.dtype)) return;
    cr_expect(is_same(lucid_reciprocal((lucid_tensor *)got), lucid_reciprocal((lucid_tensor *)want),
                      LUCID_I64),
              "%s: signs of zeros", what);
}

static void check(lucid_op_id op, lucid_tensor *x, arrange how, lucid_sort_attrs a)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *there = lucid_tensor_to(x, lucid_cuda(0));
    lucid_tensor *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS];
    const lucid_op *o = luc_op_table[op];
    if (how) {
        x = how(x);
        there = how(there);
    }
    char what[320];
    snprintf(what, sizeof what, "%s of %s %s along %d, k %lld, descending %d", o->name,
             lucid_dtype_name(x->view.dtype), luc_shape_text(x).s, a.dim, (long long)a.k,
             a.descending);
    bool ok = lucid_apply_multi(o, &x, 1, &a, want) && lucid_apply_multi(o, &there, 1, &a, got);
    cr_expect(ok, "%s: %s", what, lucid_error());
    for (int k = 0; ok && k < o->n_out; k++)
        expect_bits(lucid_tensor_to(got[k], lucid_cpu()), want[k], what);
    lucid_clear_error();
}

static void check_all(lucid_tensor *x, arrange how, int dim)
{
    const int64_t n = how ? how(x)->view.dims[dim] : x->view.dims[dim];
    const int64_t ks[] = {0, 1, 5, 8, 9, 100, n / 2, n};
    for (int down = 0; down < 2; down++) {
        check(LUCID_OP_sort, x, how, (lucid_sort_attrs){.dim = dim, .descending = down});
        for (int i = 0; i < 8; i++)
            if (ks[i] <= n && (i + down) % 2 == 0)
                check(LUCID_OP_topk, x, how,
                      (lucid_sort_attrs){.dim = dim, .k = ks[i], .descending = down});
    }
    check(LUCID_OP_argsort, x, how, (lucid_sort_attrs){.dim = dim, .descending = true});
}

Test(sort, rows)
{
    static const int64_t sizes[] = {1, 2, 7, 8, 9, 31, 100, 1000, 1024, 1025};
    for (int d = 0; d < ANY_DTYPE; d++)
        for (int s = 0; s < 10; s++) {
            LUCID_SCOPE;
            if (is_emulated() && sizes[s] >= 1000 && d % 4 != s % 4) continue;
            check_all(ties((lucid_shape){2, {sizes[s] < 32 ? 300 : 3, sizes[s]}}, any_dtype[d], 1),
                      NULL, 1);
        }
}

Test(sort, layouts)
{
    static const arrange arranges[] = {backwards, channels_last, without_first, every_second};
    for (int d = 0; d < ANY_DTYPE; d++)
        for (int a = 0; a < 4; a++) {
            LUCID_SCOPE;
            lucid_tensor *x = ties((lucid_shape){4, {3, 17, 4, 6}}, any_dtype[d], 2);
            check_all(x, arranges[a], a);
            check_all(x, arranges[a], 1);
        }
}

/* More than a tile: runs are merged, and the first of tiles are sorted again. */
Test(sort, long_rows)
{
    static const int64_t sizes[] = {2049, 4096, 4097, 6000, 12289, 20000};
    const lucid_dtype types[] = {LUCID_F32, LUCID_F64, LUCID_BF16, LUCID_I64};
    for (int d = 0; d < 4; d++)
        for (int s = 0; s < 6; s++) {
            LUCID_SCOPE;
            if (is_emulated() && s > 2 && (s + d) % 2) continue;
            lucid_tensor *x = ties((lucid_shape){2, {2, sizes[s]}}, types[d], 3);
            check(LUCID_OP_sort, x, NULL, (lucid_sort_attrs){.dim = 1});
            check(LUCID_OP_argsort, x, NULL, (lucid_sort_attrs){.dim = 1, .descending = true});
            static const int64_t ks[] = {1, 300, 1024, 2000};
            for (int k = 0; k < 4; k++)
                check(LUCID_OP_topk, x, NULL,
                      (lucid_sort_attrs){.dim = 1, .k = ks[k], .descending = k & 1});
        }
    LUCID_SCOPE;
    lucid_tensor *x = numbers((lucid_shape){2, {5000, 3}}, LUCID_F32, -1, 1, 4);
    check(LUCID_OP_sort, x, NULL, (lucid_sort_attrs){.dim = 0});
    check(LUCID_OP_topk, x, NULL, (lucid_sort_attrs){.dim = 0, .k = 7, .descending = true});
    check(LUCID_OP_sort, x, backwards, (lucid_sort_attrs){.dim = 1});
    /* Candidates of which there is more than a tile: they are sorted three times. */
    x = numbers((lucid_shape){1, {is_emulated() ? 40000 : 3000000}}, LUCID_F32, -1, 1, 5);
    check(LUCID_OP_topk, x, NULL, (lucid_sort_attrs){.k = 1000, .descending = true});
    check(LUCID_OP_sort, x, NULL, (lucid_sort_attrs){.descending = true});
}

Test(sort, nothing)
{
    for (int dim = 0; dim < 2; dim++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_zeros((0, 5)), *y = lucid_zeros((3, 0));
        check(LUCID_OP_sort, x, NULL, (lucid_sort_attrs){.dim = dim});
        check(LUCID_OP_argsort, y, NULL, (lucid_sort_attrs){.dim = dim});
        check(LUCID_OP_topk, y, NULL, (lucid_sort_attrs){.dim = dim});
    }
}

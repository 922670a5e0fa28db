/* Batch normalisation against its definition in long double. */
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>
#include <stdarg.h>

/* One case: the arrays of a forward and a backward call. */
typedef struct {
    array x, y, mean, invstd, w, b, rm, rv, dy, dx, dw, db;
    bool affine, running;
    lucid_batch_norm_attrs attrs;
    int64_t n, c, inner; /* x is [n,c,inner...] */
} norm_case;

static norm_case new_case(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout in,
                          array_layout out, double mean, double std)
{
    norm_case k = {.affine = true, .running = true};
    lucid_dtype param = dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    k.x = array_normal(dtype, ndim, dims, in, mean, std);
    k.dy = array_normal(dtype, ndim, dims, in, 0.25, 1);
    k.y = array_new(dtype, ndim, dims, out);
    k.dx = array_new(dtype, ndim, dims, out);
    k.c = dims[1];
    k.n = dims[0];
    k.inner = 1;
    for (int d = 2; d < ndim; d++) k.inner *= dims[d];
    k.mean = array_new(LUCID_F64, 1, &k.c, DENSE);
    k.invstd = array_new(LUCID_F64, 1, &k.c, DENSE);
    k.w = array_normal(param, 1, &k.c, DENSE, 1, 0.2);
    k.b = array_normal(param, 1, &k.c, DENSE, 0, 1);
    k.rm = array_normal(param, 1, &k.c, PADDED, 0, 1);
    k.rv = array_normal(param, 1, &k.c, PADDED, 3, 0.1);
    k.dw = array_new(param, 1, &k.c, DENSE);
    k.db = array_new(param, 1, &k.c, DENSE);
    k.attrs = (lucid_batch_norm_attrs){.eps = 1e-5, .momentum = 0.1, .training = true, .want = 7};
    return k;
}

static bool forward(norm_case *k)
{
    array *in[] = {&k->x, k->affine ? &k->w : NULL, k->affine ? &k->b : NULL,
                   k->running ? &k->rm : NULL, k->running ? &k->rv : NULL};
    array *out[] = {&k->y, &k->mean, &k->invstd};
    return kernel_call(LUCID_OP_batch_norm, k->x.view.dtype, &k->attrs, in, 5, out, 3);
}

static bool backward(norm_case *k)
{
    array *in[] = {&k->dy, &k->x, k->affine ? &k->w : NULL, &k->mean, &k->invstd};
    array *out[] = {&k->dx, &k->dw, &k->db};
    return kernel_call(LUCID_OP_batch_norm_backward, k->x.view.dtype, &k->attrs, in, 5, out, 3);
}

static int64_t element(const norm_case *k, int64_t c, int64_t i)
{
    return (i / k->inner * k->c + c) * k->inner + i % k->inner;
}

/* What is true, in long double, from the values that the arrays hold. */
typedef struct {
    double *y, *dx, *dw, *db, *mean, *invstd, *rm, *rv;
} norm_truth;

static double *doubles(int64_t n)
{
    double *p = malloc((size_t)(n + 1) * sizeof *p);
    if (!p || array_count == 4096) abort();
    array_blocks[array_count++] = (char *)p;
    return p;
}

static void statistics(const norm_case *k, int64_t c, long double *mean, long double *var)
{
    int64_t n = k->n * k->inner;
    *mean = *var = 0;
    for (int64_t i = 0; i < n; i++) *mean += array_get(&k->x, element(k, c, i));
    *mean /= n;
    for (int64_t i = 0; i < n; i++) {
        long double d = array_get(&k->x, element(k, c, i)) - *mean;
        *var += d * d;
    }
    *var /= n;
}

static norm_truth truth(const norm_case *k)
{
    int64_t n = k->n * k->inner, all = n * k->c;
    norm_truth t = {doubles(all),  doubles(all),  doubles(k->c), doubles(k->c),
                    doubles(k->c), doubles(k->c), doubles(k->c), doubles(k->c)};
    for (int64_t c = 0; c < k->c; c++) {
        long double mean = 0, var = 0, sdy = 0, sdyx = 0, w = k->affine ? array_get(&k->w, c) : 1;
        long double b = k->affine ? array_get(&k->b, c) : 0, m = k->attrs.momentum;
        if (k->attrs.training)
            statistics(k, c, &mean, &var);
        else
            mean = array_get(&k->rm, c), var = array_get(&k->rv, c);
        long double invstd = 1 / sqrtl(var + k->attrs.eps);
        for (int64_t i = 0; i < n; i++) {
            int64_t at = element(k, c, i);
            long double d = array_get(&k->x, at) - mean, dy = array_get(&k->dy, at);
            long double y = d * invstd * w + b;
            t.y[at] = (double)(k->attrs.relu && y < 0 ? 0 : y);
            sdy += dy;
            sdyx += dy * d * invstd;
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t at = element(k, c, i);
            long double xhat = (array_get(&k->x, at) - mean) * invstd, dy = array_get(&k->dy, at);
            t.dx[at] = (double)(k->attrs.training ? w * invstd * (dy - sdy / n - xhat * sdyx / n)
                                                  : w * invstd * dy);
        }
        t.dw[c] = (double)sdyx;
        t.db[c] = (double)sdy;
        t.mean[c] = (double)mean;
        t.invstd[c] = (double)invstd;
        bool track = k->running && k->attrs.training && m >= 0;
        t.rm[c] = (double)(track ? (1 - m) * array_get(&k->rm, c) + m * mean
                                 : (long double)array_get(&k->rm, c));
        t.rv[c] = (double)(track ? (1 - m) * array_get(&k->rv, c) + m * var * n / (n - 1)
                                 : (long double)array_get(&k->rv, c));
    }
    return t;
}

/* Tolerances: of one rounding of the output's type, of one of the parameters' type. */
static double step_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64   ? 1e-14
           : dtype == LUCID_F32 ? 1.2e-7
           : dtype == LUCID_F16 ? 1e-3
                                : 8e-3;
}

static void check(norm_case *k, const char *what)
{
    norm_truth t = truth(k);
    lucid_dtype dtype = k->x.view.dtype;
    double e = step_of(dtype), p = step_of(dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    double n = (double)(k->n * k->inner);
    cr_assert(forward(k), "%s", what);
    cr_expect_leq(array_distance(&k->y, t.y, 8 * e, 4 * e), 1, "%s: y", what);
    cr_expect_leq(array_distance(&k->mean, t.mean, 4e-15, 4e-16), 1, "%s: mean", what);
    cr_expect_leq(array_distance(&k->invstd, t.invstd, 0, 5e-14), 1, "%s: invstd", what);
    cr_expect_leq(array_distance(&k->rm, t.rm, p, p), 1, "%s: running_mean", what);
    cr_expect_leq(array_distance(&k->rv, t.rv, p, p), 1, "%s: running_var", what);
    cr_assert(backward(k), "%s", what);
    cr_expect_leq(array_distance(&k->dw, t.dw, p * (4 + sqrt(n)), p), 1, "%s: dw", what);
    cr_expect_leq(array_distance(&k->db, t.db, p * (4 + sqrt(n)), p), 1, "%s: db", what);
    double scale = n > 0 && k->c > 0 ? t.invstd[0] * 8 : 1;
    for (int64_t c = 0; c < k->c; c++) scale = fmax(scale, t.invstd[c] * 8);
    cr_expect_leq(array_distance(&k->dx, t.dx, scale * e, 4 * e), 1, "%s: dx", what);
}

static const char *text(const char *fmt, ...)
{
    static char buffer[200];
    va_list list;
    va_start(list, fmt);
    vsnprintf(buffer, sizeof buffer, fmt, list);
    va_end(list);
    return buffer;
}

static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
static const int64_t channels[] = {1, 2, 3, 5, 8, 17, 33, 64, 100};

Test(norm, every_layout_channel_count_dtype_and_level)
{
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int i = 0; i < 9; i++)
            for (int t = 0; t < 4; t++) {
                int64_t dims[] = {3, channels[i], 5, 7};
                norm_case k = new_case(floating[t], 4, dims, (array_layout)layout,
                                       (array_layout)layout, 0.5, 1.5);
                check(&k, text("level %d layout %d C %d dtype %d", level_, layout, (int)channels[i],
                               t));
                array_free_all();
            }
}

Test(norm, ranks_and_mixed_layouts)
{
    static const int64_t shapes[][5] = {{37, 5, 1, 1, 1},  {64, 100, 1, 1, 1}, {4, 6, 31, 1, 1},
                                        {2, 16, 33, 1, 1}, {2, 3, 4, 5, 6},    {1, 4, 2, 3, 7}};
    static const int ranks[] = {2, 2, 3, 3, 5, 5};
    FOR_LEVELS
    for (int s = 0; s < 6; s++)
        for (int in = 0; in < LAYOUTS; in++)
            for (int out = 0; out < LAYOUTS; out++) {
                norm_case k = new_case(LUCID_F32, ranks[s], shapes[s], (array_layout)in,
                                       (array_layout)out, -2, 0.5);
                check(&k, text("level %d shape %d layouts %d %d", level_, s, in, out));
                array_free_all();
            }
}

Test(norm, evaluation_and_relu)
{
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int relu = 0; relu < 2; relu++) {
            int64_t dims[] = {2, 7, 6, 9};
            norm_case k =
                new_case(LUCID_F32, 4, dims, (array_layout)layout, (array_layout)layout, 0.5, 1.5);
            k.attrs.relu = relu;
            k.attrs.training = false;
            check(&k, text("eval, level %d layout %d relu %d", level_, layout, relu));
            k.attrs.training = true;
            k.affine = k.running = false;
            check(&k, text("plain, level %d layout %d relu %d", level_, layout, relu));
            array_free_all();
        }
}

Test(norm, many_blocks_and_streaming)
{
    static const int64_t shapes[][4] = {{4, 3, 150, 151}, {70, 64, 23, 29}, {300, 33, 16, 17}};
    FOR_LEVELS
    for (int s = 0; s < 3; s++)
        for (int layout = 0; layout < 2; layout++) {
            norm_case k = new_case(LUCID_F32, 4, shapes[s], (array_layout)layout,
                                   (array_layout)layout, 0.5, 1.5);
            check(&k, text("level %d shape %d layout %d", level_, s, layout));
            array_free_all();
        }
}

static void far_from_zero(double mean, double std, double limit, array_layout layout)
{
    int64_t dims[] = {16, 8, 32, 32};
    norm_case k = new_case(LUCID_F32, 4, dims, layout, layout, mean, std);
    k.affine = false;
    norm_truth t = truth(&k);
    cr_assert(forward(&k));
    cr_expect_leq(array_distance(&k.y, t.y, limit, 0), 1, "mean %g std %g layout %d", mean, std,
                  (int)layout);
    cr_expect_leq(array_distance(&k.invstd, t.invstd, 0, 1e-13), 1);
    array_free_all();
}

Test(norm, accurate_far_from_zero)
{
    FOR_LEVELS
    for (int layout = 0; layout < 3; layout++) {
        far_from_zero(1e4, 1, 2e-6, (array_layout)layout);
        far_from_zero(1e4, 0.1, 1e-5, (array_layout)layout);
        far_from_zero(-1e4, 1, 2e-6, (array_layout)layout);
    }
}

Test(norm, a_constant_channel_gives_its_bias)
{
    static const double constants[] = {0, 1e4, 123456.789, -3e-20, 1e30};
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int i = 0; i < 5; i++)
            for (int eps = 0; eps < 3; eps++) {
                int64_t dims[] = {3, 5, 7, 6};
                norm_case k = new_case(LUCID_F32, 4, dims, (array_layout)layout,
                                       (array_layout)layout, constants[i], 0);
                k.attrs.eps = eps == 0 ? 0 : eps == 1 ? 1e-12 : 1e-5;
                cr_assert(forward(&k));
                for (int64_t e = 0; e < 3 * 5 * 42; e++)
                    cr_assert_eq(array_get(&k.y, e), array_get(&k.b, e / 42 % 5));
                array_free_all();
            }
}

Test(norm, bad_numbers_stay_in_their_channel)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int i = 0; i < 3; i++)
            for (int place = 0; place < 2; place++) {
                int64_t dims[] = {3, 5, 4, 5};
                norm_case k =
                    new_case(LUCID_F32, 4, dims, (array_layout)layout, (array_layout)layout, 0, 1);
                array_set(&k.x, place ? 2 * 20 + 7 : 2 * 20, bad[i]);
                cr_assert(forward(&k) && backward(&k));
                for (int64_t e = 0; e < 3 * 5 * 20; e++) {
                    bool poisoned = e / 20 % 5 == 2;
                    double y = array_get(&k.y, e), dx = array_get(&k.dx, e);
                    cr_assert_eq(y != y, poisoned, "layout %d %g at %d", layout, bad[i], (int)e);
                    cr_assert_eq(dx != dx, poisoned);
                }
                for (int64_t c = 0; c < 5; c++) cr_assert_eq(isfinite(array_get(&k.rv, c)), c != 2);
                array_free_all();
            }
}

Test(norm, empty_batches_leave_the_running_statistics_alone)
{
    FOR_LEVELS
    for (int c = 0; c < 3; c++) {
        int64_t dims[] = {0, c, 4, 5};
        norm_case k = new_case(LUCID_F32, 4, dims, DENSE, DENSE, 0, 1);
        k.dw = array_normal(LUCID_F32, 1, &k.c, DENSE, 1, 1);
        norm_case before = k;
        before.rm = array_as(&k.rm, DENSE);
        before.rv = array_as(&k.rv, DENSE);
        cr_assert(forward(&k) && backward(&k));
        for (int64_t i = 0; i < c; i++) {
            cr_expect_eq(array_get(&k.rm, i), array_get(&before.rm, i));
            cr_expect_eq(array_get(&k.rv, i), array_get(&before.rv, i));
            cr_expect_eq(array_get(&k.dw, i), 0);
            cr_expect_eq(array_get(&k.db, i), 0);
        }
        array_free_all();
    }
}

Test(norm, running_statistics)
{
    static const double steps[] = {0.1, 0, 1};
    static const double means[] = {0.39, 0, 3}, vars[] = {1.19, 1, 2};
    for (int i = 0; i < 3; i++) {
        int64_t dims[] = {2, 1};
        norm_case k = new_case(LUCID_F32, 2, dims, DENSE, DENSE, 0, 1);
        k.attrs.momentum = steps[i];
        array_set(&k.rm, 0, 0);
        array_set(&k.rv, 0, 1);
        for (int batch = 0; batch < 2; batch++) {
            array_set(&k.x, 0, 2 * batch);
            array_set(&k.x, 1, 2 * batch + 2);
            cr_assert(forward(&k));
        }
        cr_expect_float_eq(array_get(&k.rm, 0), means[i], 1e-6);
        cr_expect_float_eq(array_get(&k.rv, 0), vars[i], 1e-6);
        array_free_all();
    }
}

Test(norm, a_negative_running_variance_gives_nan)
{
    int64_t dims[] = {2, 2, 3, 3};
    norm_case k = new_case(LUCID_F32, 4, dims, DENSE, DENSE, 0, 1);
    k.attrs.training = false;
    array_set(&k.rv, 0, -1);
    cr_assert(forward(&k));
    cr_expect(isnan(array_get(&k.y, 0)));
    cr_expect(isfinite(array_get(&k.y, 9)));
    array_free_all();
}

Test(norm, half_precision_variance_may_exceed_its_type)
{
    int64_t dims[] = {8, 2, 4, 4};
    norm_case k = new_case(LUCID_F16, 4, dims, DENSE, DENSE, 0, 1000);
    check(&k, "float16, std 1000");
    cr_expect_gt(array_get(&k.rv, 0), 65504);
    array_free_all();
}

Test(norm, only_what_is_wanted_is_written)
{
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++)
        for (uint32_t want = 1; want < 8; want++) {
            int64_t dims[] = {3, 6, 4, 5}, none = 0;
            norm_case k =
                new_case(LUCID_F32, 4, dims, (array_layout)layout, (array_layout)layout, 0, 1);
            norm_truth t = truth(&k);
            cr_assert(forward(&k));
            k.attrs.want = want;
            if (!(want & 1)) k.dx = array_new(LUCID_F32, 1, &none, DENSE);
            if (!(want & 2)) k.dw = array_new(LUCID_F32, 1, &none, DENSE);
            if (!(want & 4)) k.db = array_new(LUCID_F32, 1, &none, DENSE);
            cr_assert(backward(&k));
            if (want & 1) cr_expect_leq(array_distance(&k.dx, t.dx, 2e-6, 0), 1);
            if (want & 2) cr_expect_leq(array_distance(&k.dw, t.dw, 2e-6, 2e-7), 1);
            if (want & 4) cr_expect_leq(array_distance(&k.db, t.db, 2e-6, 2e-7), 1);
            array_free_all();
        }
}

Test(norm, the_same_bits_for_any_number_of_threads)
{
    static const int64_t shapes[][4] = {{4, 3, 150, 151}, {40, 64, 9, 9}, {900, 17, 3, 5}};
    FOR_LEVELS
    for (int s = 0; s < 3; s++)
        for (int layout = 0; layout < 3; layout++) {
            norm_case k =
                new_case(LUCID_F32, 4, shapes[s], (array_layout)layout, (array_layout)layout, 3, 1);
            k.running = false;
            array first[4];
            for (int threads = 1; threads <= 3; threads++) {
                luc_set_num_threads(threads);
                cr_assert(forward(&k) && backward(&k));
                array now[] = {k.y, k.dx, k.dw, k.db};
                for (int i = 0; i < 4; i++) {
                    if (threads == 1)
                        first[i] = array_as(&now[i], DENSE);
                    else
                        cr_expect(array_same(&first[i], &now[i]),
                                  "level %d shape %d layout %d threads %d output %d", level_, s,
                                  layout, threads, i);
                }
            }
            luc_set_num_threads(0);
            array_free_all();
        }
}

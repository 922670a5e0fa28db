/* Batch normalisation against its definition in long double. */
#include "tests/backends/norm_case.h"

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

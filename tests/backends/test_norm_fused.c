/* Batch normalisation with the sum and the ReLU that follow it, in one: against the definition, and
 * against the same done one after the other, to the bit. */
#include "tests/backends/norm_case.h"

static norm_case fused_case(lucid_dtype dtype, const int64_t *dims, array_layout layout, bool added,
                            bool training)
{
    norm_case k = new_case(dtype, 4, dims, layout, layout, 0.5, 1.5);
    k.added = added;
    k.attrs.relu = true;
    k.attrs.training = training;
    k.attrs.want = 15;
    return k;
}

Test(norm_fused, every_layout_channel_count_dtype_and_level)
{
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int i = 0; i < 9; i++)
            for (int t = 0; t < 4; t++)
                for (int form = 0; form < 4; form++) {
                    int64_t dims[] = {3, channels[i], 5, 7};
                    norm_case k =
                        fused_case(floating[t], dims, (array_layout)layout, form & 1, form & 2);
                    check(&k, text("level %d layout %d C %d dtype %d form %d", level_, layout,
                                   (int)channels[i], t, form));
                    array_free_all();
                }
}

Test(norm_fused, a_residual_without_relu)
{
    FOR_LEVELS
    for (int layout = 0; layout < LAYOUTS; layout++) {
        int64_t dims[] = {3, 6, 5, 7};
        norm_case k = fused_case(LUCID_F32, dims, (array_layout)layout, true, true);
        k.attrs.relu = false;
        check(&k, text("level %d layout %d", level_, layout));
        array_free_all();
    }
}

Test(norm_fused, mixed_layouts)
{
    FOR_LEVELS
    for (int x = 0; x < LAYOUTS; x++)
        for (int r = 0; r < LAYOUTS; r++)
            for (int added = 0; added < 2; added++) {
                int64_t dims[] = {2, 6, 5, 67};
                norm_case k = fused_case(LUCID_F32, dims, (array_layout)x, added, true);
                k.r = array_as(&k.r, (array_layout)r);
                k.dy = array_as(&k.dy, (array_layout)r);
                k.dr = array_new(LUCID_F32, 4, dims, (array_layout)r);
                check(&k, text("level %d layouts %d %d added %d", level_, x, r, added));
                cr_expect(array_gaps_intact(&k.dr) && array_gaps_intact(&k.dx));
                array_free_all();
            }
}

Test(norm_fused, many_blocks_and_streaming)
{
    /* The second is large enough for streaming stores. */
    static const int64_t shapes[][4] = {{4, 3, 150, 151}, {70, 64, 23, 29}, {150, 33, 16, 17}};
    FOR_LEVELS
    for (int s = 0; s < 3; s++)
        for (int layout = 0; layout < 2; layout++)
            for (int added = s == 1; added < 2; added++) {
                norm_case k = fused_case(LUCID_F32, shapes[s], (array_layout)layout, added, true);
                check(&k, text("level %d shape %d layout %d added %d", level_, s, layout, added));
                array_free_all();
            }
}

/* ---- one after the other ---- */

/* dy where y > 0, and where y is a NaN. */
static array cut(const array *dy, const array *y, array_layout layout)
{
    array a = array_as(dy, layout);
    for (int64_t i = 0, n = array_numel(&a); i < n; i++)
        if (array_get(y, i) <= 0) array_set(&a, i, 0);
    return a;
}

/* The plain operation and ReLU, forward and backward: what k has must be the same to the bit. */
static void expect_same_as_apart(norm_case *k, array_layout layout, const char *what)
{
    norm_case plain = *k;
    plain.attrs.relu = plain.added = false;
    plain.attrs.want = 7;
    plain.rm = array_as(&k->rm, DENSE);
    plain.rv = array_as(&k->rv, DENSE);
    plain.y = array_as(&k->y, layout);
    plain.dx = array_as(&k->dx, layout);
    plain.dw = array_as(&k->dw, DENSE);
    plain.db = array_as(&k->db, DENSE);
    cr_assert(forward(&plain) && forward(k));
    for (int64_t i = 0, n = array_numel(&plain.y); i < n; i++) {
        double y = array_get(&plain.y, i);
        if (k->added) array_set(&plain.y, i, y + array_get(&k->r, i));
        y = array_get(&plain.y, i);
        if (y < 0) array_set(&plain.y, i, 0);
    }
    if (!k->added || k->x.view.dtype <= LUCID_F64)
        for (int64_t i = 0, n = array_numel(&k->y); i < n; i++) {
            double a = array_get(&k->y, i), b = array_get(&plain.y, i);
            cr_assert(a == b || (a != a && b != b), "%s: y at %d: %g, %g", what, (int)i, a, b);
        }
    cr_expect(array_same(&k->rm, &plain.rm) && array_same(&k->rv, &plain.rv), "%s", what);
    plain.dy = cut(&k->dy, &k->y, layout);
    cr_assert(backward(&plain) && backward(k));
    cr_expect(array_same(&k->dr, &plain.dy), "%s: dr", what);
    cr_expect(array_same(&k->dx, &plain.dx), "%s: dx", what);
    cr_expect(array_same(&k->dw, &plain.dw), "%s: dw", what);
    cr_expect(array_same(&k->db, &plain.db), "%s: db", what);
}

Test(norm_fused, the_bits_of_one_after_the_other)
{
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++)
        for (int t = 0; t < 4; t++)
            for (int form = 0; form < 4; form++)
                for (int odd = 0; odd < 2; odd++) {
                    int64_t dims[] = {6, odd ? 5 : 16, 9, 11};
                    norm_case k =
                        fused_case(floating[t], dims, (array_layout)layout, form & 1, form & 2);
                    expect_same_as_apart(&k, (array_layout)layout,
                                         text("level %d layout %d dtype %d form %d odd %d", level_,
                                              layout, t, form, odd));
                    array_free_all();
                }
}

/* Arrays that leave the cache together: outputs, and the gradient of the residual, are written
 * around it. */
Test(norm_fused, large_ones_equal_what_is_applied_apart)
{
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++) {
        int64_t dims[] = {24, 64, 40, 37};
        norm_case k = fused_case(LUCID_F32, dims, (array_layout)layout, true, true);
        expect_same_as_apart(&k, (array_layout)layout, text("level %d layout %d", level_, layout));
        array_free_all();
    }
}

/* Outputs about as small as the type can hold: some round to 0, and are not above it. */
Test(norm_fused, what_rounds_to_zero_is_cut)
{
    static const double scale[] = {0, 0, 0x1p-24, 0x1p-133};
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++)
        for (int t = 2; t < 4; t++) {
            int64_t dims[] = {6, 5, 9, 11}, zeros = 0;
            norm_case k = fused_case(floating[t], dims, (array_layout)layout, false, true);
            for (int c = 0; c < 5; c++) {
                array_set(&k.w, c, scale[t]);
                array_set(&k.b, c, c * 0.25 * scale[t]);
            }
            expect_same_as_apart(&k, (array_layout)layout,
                                 text("level %d layout %d dtype %d", level_, layout, t));
            for (int64_t i = 0; i < array_numel(&k.y); i++) zeros += array_get(&k.y, i) == 0;
            cr_expect(zeros > 100 && zeros < array_numel(&k.y) - 100);
            array_free_all();
        }
}

Test(norm_fused, bad_numbers_go_where_they_go_apart)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++)
        for (int i = 0; i < 3; i++)
            for (int form = 0; form < 4; form++)
                for (int place = 0; place < 3; place++) {
                    int64_t dims[] = {3, 5, 4, 5};
                    norm_case k =
                        fused_case(LUCID_F32, dims, (array_layout)layout, form & 1, form & 2);
                    array_set(place == 0 ? &k.x : place == 1 ? &k.r : &k.dy, 2 * 20 + 3, bad[i]);
                    expect_same_as_apart(&k, (array_layout)layout,
                                         text("level %d layout %d %g form %d place %d", level_,
                                              layout, bad[i], form, place));
                    array_free_all();
                }
}

Test(norm_fused, only_what_is_wanted_is_written)
{
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++)
        for (int form = 0; form < 4; form++)
            for (uint32_t want = 1; want < 16; want++) {
                int64_t dims[] = {3, 6, 4, 5}, none = 0;
                norm_case k = fused_case(LUCID_F32, dims, (array_layout)layout, form & 1, form & 2);
                cr_assert(forward(&k));
                norm_case all = k;
                all.dx = array_as(&k.dx, DENSE);
                all.dw = array_as(&k.dw, DENSE);
                all.db = array_as(&k.db, DENSE);
                all.dr = array_as(&k.dr, DENSE);
                cr_assert(backward(&all));
                k.attrs.want = want;
                if (!(want & 1)) k.dx = array_new(LUCID_F32, 1, &none, DENSE);
                if (!(want & 2)) k.dw = array_new(LUCID_F32, 1, &none, DENSE);
                if (!(want & 4)) k.db = array_new(LUCID_F32, 1, &none, DENSE);
                if (!(want & 8)) k.dr = array_new(LUCID_F32, 1, &none, DENSE);
                cr_assert(backward(&k));
                array *now[] = {&k.dx, &k.dw, &k.db, &k.dr};
                array *then[] = {&all.dx, &all.dw, &all.db, &all.dr};
                for (int i = 0; i < 4; i++)
                    if (want >> i & 1)
                        cr_expect(array_same(now[i], then[i]),
                                  "level %d layout %d form %d want %u output %d", level_, layout,
                                  form, want, i);
                array_free_all();
            }
}

Test(norm_fused, the_same_bits_for_any_number_of_threads)
{
    static const int64_t shapes[][4] = {{4, 3, 150, 151}, {40, 64, 9, 9}, {900, 17, 3, 5}};
    FOR_LEVELS
    for (int s = 0; s < 3; s++)
        for (int layout = 0; layout < 3; layout++)
            for (int added = 0; added < 2; added++) {
                norm_case k = fused_case(LUCID_F32, shapes[s], (array_layout)layout, added, true);
                k.running = false;
                array first[5];
                for (int threads = 1; threads <= 3; threads++) {
                    luc_set_num_threads(threads);
                    cr_assert(forward(&k) && backward(&k));
                    array now[] = {k.y, k.dx, k.dw, k.db, k.dr};
                    for (int i = 0; i < 5; i++) {
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

/* test_pool.c: pooling on CUDA: windows of every kind, both layouts with whole vectors of channels
 * and without, odd layouts, ties, NaN. */
#include "both.h"

CUDA_SUITE(pool);

typedef struct window {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool ceil_mode;
} window;
static const window windows[] = {
    {{2, 2}, {2, 2}, {0, 0}, {1, 1}, false}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}, false},
    {{3, 3}, {1, 1}, {1, 1}, {1, 1}, false}, {{2, 2}, {1, 1}, {1, 1}, {1, 1}, true},
    {{3, 2}, {2, 3}, {1, 0}, {1, 1}, true},  {{2, 3}, {1, 2}, {0, 1}, {2, 3}, false},
    {{5, 5}, {3, 3}, {2, 2}, {1, 1}, true},  {{9, 11}, {1, 1}, {0, 0}, {1, 1}, false},
};
enum { WINDOWS = sizeof windows / sizeof *windows };
static const arrange arranges[] = {as_it_is, channels_last, without_first, backwards};
enum { ARRANGES = 4 };

static lucid_pool2d_attrs attrs_of(const window *w)
{
    lucid_pool2d_attrs a = {.ceil_mode = w->ceil_mode, .count_include_pad = true};
    memcpy(a.kernel, w->kernel, sizeof a.kernel);
    memcpy(a.stride, w->stride, sizeof a.stride);
    memcpy(a.padding, w->padding, sizeof a.padding);
    memcpy(a.dilation, w->dilation, sizeof a.dilation);
    return a;
}

static void apply(lucid_op_id op, const lucid_pool2d_attrs *a, lucid_tensor *x, lucid_tensor *index,
                  arrange how, const char *what)
{
    expect_both(&(both){.op = luc_op_table[op],
                        .attrs = a,
                        .n_in = index ? 2 : 1,
                        .in = {x, index},
                        .arrange = {how, how},
                        .dtype = x->view.dtype,
                        .what = what});
}

static void check_max(lucid_tensor *x, const window *w, const char *what)
{
    LUCID_SCOPE;
    lucid_pool2d_attrs a = attrs_of(w);
    lucid_tensor *out[2];
    cr_assert(lucid_apply_multi(luc_op_table[LUCID_OP_max_pool2d], &x, 1, &a, out), "%s",
              lucid_error());
    lucid_pool2d_attrs back = a;
    back.size[0] = x->view.dims[2];
    back.size[1] = x->view.dims[3];
    a.size[0] = out[0]->view.dims[2];
    a.size[1] = out[0]->view.dims[3];
    lucid_tensor *g = numbers(lucid_tensor_shape(out[0]), x->view.dtype, -1, 1, 5);
    lucid_tensor *wide = lucid_cast(out[1], LUCID_I64);
    lucid_pool2d_attrs unasked = a;
    unasked.no_index = true;
    for (int k = 0; k < ARRANGES; k++) {
        apply(LUCID_OP_max_pool2d, &a, x, NULL, arranges[k], what);
        apply(LUCID_OP_max_pool2d, &unasked, x, NULL, arranges[k], what);
        if (arranges[k] == without_first) continue; /* indices would be of another image */
        apply(LUCID_OP_max_pool2d_backward, &back, g, out[1], arranges[k], what);
        apply(LUCID_OP_max_pool2d_backward, &back, g, wide, arranges[k], what);
        expect_both(&(both){.op = luc_op_table[LUCID_OP_max_pool2d_gather],
                            .attrs = &a,
                            .n_in = 2,
                            .in = {x, out[1]},
                            .arrange = {arranges[k], NULL},
                            .dtype = x->view.dtype,
                            .what = what});
    }
}

static void check_avg(lucid_tensor *x, const window *w, const char *what)
{
    LUCID_SCOPE;
    if (w->dilation[0] > 1) return;
    lucid_pool2d_attrs a = attrs_of(w), back;
    for (int k = 0; k < 3; k++) {
        a.count_include_pad = k == 0;
        a.divisor = k == 2 ? 3 : 0;
        lucid_tensor *y = lucid_apply(luc_op_table[LUCID_OP_avg_pool2d], &x, 1, &a);
        cr_assert(y, "%s", lucid_error());
        back = a;
        back.size[0] = x->view.dims[2];
        back.size[1] = x->view.dims[3];
        lucid_tensor *g = numbers(lucid_tensor_shape(y), x->view.dtype, -1, 1, 5);
        for (int i = 0; i < ARRANGES; i++) {
            apply(LUCID_OP_avg_pool2d, &a, x, NULL, arranges[i], what);
            if (arranges[i] != without_first)
                apply(LUCID_OP_avg_pool2d_backward, &back, g, NULL, arranges[i], what);
        }
    }
}

Test(pool, windows_and_layouts)
{
    for (int d = 0; d < FLOATING; d++)
        for (int w = 0; w < WINDOWS; w++) {
            LUCID_SCOPE;
            char what[32];
            snprintf(what, sizeof what, "window %d", w);
            lucid_tensor *x = numbers((lucid_shape){4, {2, 8, 12, 13}}, floating[d], -1, 1, 3);
            check_max(x, &windows[w], what);
            check_avg(x, &windows[w], what);
            x = numbers((lucid_shape){4, {2, 3, 11, 14}}, floating[d], -1, 1, 3);
            check_max(x, &windows[w], what);
            check_avg(x, &windows[w], what);
        }
}

Test(pool, adaptive)
{
    static const int64_t sizes[][2] = {{1, 1}, {2, 3}, {7, 7}, {5, 11}, {16, 9}, {1, 4}};
    for (int d = 0; d < FLOATING; d++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int i = 0; i < ARRANGES; i++) {
                LUCID_SCOPE;
                lucid_pool2d_attrs a = {.size = {sizes[s][0], sizes[s][1]}};
                lucid_tensor *x = numbers((lucid_shape){4, {3, 8, 10, 7}}, floating[d], -1, 1, 3);
                apply(LUCID_OP_adaptive_avg_pool2d, &a, x, NULL, arranges[i], "adaptive");
                apply(LUCID_OP_adaptive_avg_pool2d_backward, &a, x, NULL, arranges[i], "adaptive");
            }
}

/* A mean over images large enough to be split. */
Test(pool, whole_images)
{
    for (int d = 0; d < FLOATING; d++) {
        LUCID_SCOPE;
        int64_t side = is_emulated() ? 60 : 400;
        lucid_pool2d_attrs a = {.size = {1, 1}};
        lucid_tensor *x = numbers((lucid_shape){4, {2, 8, side, side}}, floating[d], -1, 1, 3);
        apply(LUCID_OP_adaptive_avg_pool2d, &a, x, NULL, as_it_is, "whole image");
        apply(LUCID_OP_adaptive_avg_pool2d, &a, x, NULL, channels_last, "whole image");
    }
}

Test(pool, ties_and_odd_numbers)
{
    static const double odd[] = {0.5, NAN, INFINITY, -INFINITY};
    for (int d = 0; d < FLOATING; d++)
        for (int k = 0; k < 4; k++)
            for (int w = 0; w < WINDOWS; w++) {
                LUCID_SCOPE;
                enum { N = 2 * 8 * 12 * 13 };
                double v[N];
                for (int i = 0; i < N; i++) v[i] = i * 7 % 5 == 0 ? odd[k] : i * 31 % 3 / 2.0;
                for (int i = 0; k == 3 && i < N / 2; i++) v[i] = odd[k];
                lucid_tensor_options o = lucid_tensor_defaults;
                o.dtype = floating[d];
                lucid_tensor *x =
                    lucid_from_doubles_opt((lucid_shape){4, {2, 8, 12, 13}}, v, N, &o);
                lucid_pool2d_attrs a = attrs_of(&windows[w]);
                for (int i = 0; i < 2; i++)
                    apply(LUCID_OP_max_pool2d, &a, x, NULL, arranges[i], "odd numbers");
            }
}

/* Pooling against its definition, window by window. */
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>
#include <stdarg.h>

typedef struct {
    lucid_pool2d_attrs attrs;
    int64_t n, c, h, w, oh, ow;
    bool adaptive;
} pool_case;

static int64_t out_size(const pool_case *k, int axis, int64_t size)
{
    const lucid_pool2d_attrs *a = &k->attrs;
    int64_t reach = a->dilation[axis] * (a->kernel[axis] - 1) + 1;
    int64_t room = size + 2 * a->padding[axis] - reach;
    int64_t out = (room + (a->ceil_mode ? a->stride[axis] - 1 : 0)) / a->stride[axis] + 1;
    if (a->ceil_mode && (out - 1) * a->stride[axis] >= size + a->padding[axis]) out--;
    return out;
}

static double *numbers(int64_t n)
{
    double *p = calloc((size_t)n + 1, sizeof *p);
    if (!p || array_count == 4096) abort();
    array_blocks[array_count++] = (char *)p;
    return p;
}

/* Tap (ky, kx) of window (oy, ox) of plane: where it lies in the input, or -1. */
static int64_t tap(const pool_case *k, int64_t oy, int64_t ox, int64_t ky, int64_t kx)
{
    const lucid_pool2d_attrs *a = &k->attrs;
    int64_t y = oy * a->stride[0] - a->padding[0] + ky * a->dilation[0];
    int64_t x = ox * a->stride[1] - a->padding[1] + kx * a->dilation[1];
    return y < 0 || y >= k->h || x < 0 || x >= k->w ? -1 : y * k->w + x;
}

static void max_truth(const pool_case *k, const array *x, double *out, double *index)
{
    for (int64_t o = 0; o < k->n * k->c * k->oh * k->ow; o++) {
        int64_t plane = o / (k->oh * k->ow), oy = o / k->ow % k->oh, ox = o % k->ow;
        out[o] = -INFINITY;
        index[o] = -1;
        for (int64_t t = 0; t < k->attrs.kernel[0] * k->attrs.kernel[1]; t++) {
            int64_t at = tap(k, oy, ox, t / k->attrs.kernel[1], t % k->attrs.kernel[1]);
            if (at < 0) continue;
            double v = array_get(x, plane * k->h * k->w + at);
            if (index[o] >= 0 && !(v > out[o]) && v == v) continue;
            out[o] = v;
            index[o] = (double)at;
        }
    }
}

/* Window [begin, end) along an axis and its length with padding. */
static void avg_window(const pool_case *k, int axis, int64_t o, int64_t *begin, int64_t *end,
                       int64_t *padded)
{
    int64_t size = axis ? k->w : k->h, out = axis ? k->ow : k->oh;
    if (k->adaptive) {
        *begin = (int64_t)floor((double)o * (double)size / (double)out);
        *end = (int64_t)ceil((double)(o + 1) * (double)size / (double)out);
        *padded = *end - *begin;
        return;
    }
    int64_t pad = k->attrs.padding[axis], from = o * k->attrs.stride[axis] - pad;
    int64_t to = from + k->attrs.kernel[axis];
    if (to > size + pad) to = size + pad;
    *padded = to - from;
    *begin = from < 0 ? 0 : from;
    *end = to > size ? size : to;
}

/* y = averages of x, and dx = what g brings back. */
static void avg_truth(const pool_case *k, const array *x, const array *g, double *out, double *dx)
{
    for (int64_t o = 0; o < k->n * k->c * k->oh * k->ow; o++) {
        int64_t plane = o / (k->oh * k->ow), y0, y1, x0, x1, py, px;
        avg_window(k, 0, o / k->ow % k->oh, &y0, &y1, &py);
        avg_window(k, 1, o % k->ow, &x0, &x1, &px);
        int64_t divisor = k->attrs.count_include_pad ? py * px : (y1 - y0) * (x1 - x0);
        if (k->attrs.divisor) divisor = k->attrs.divisor;
        for (int64_t i = y0; i < y1; i++)
            for (int64_t j = x0; j < x1; j++) {
                int64_t at = (plane * k->h + i) * k->w + j;
                out[o] += array_get(x, at) / (double)divisor;
                dx[at] += array_get(g, o) / (double)divisor;
            }
    }
}

static double step_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64   ? 1e-14
           : dtype == LUCID_F32 ? 1e-6
           : dtype == LUCID_F16 ? 2e-3
                                : 1.6e-2;
}

static char what[200];
static void describe(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    vsnprintf(what, sizeof what, fmt, list);
    va_end(list);
}

/* Numbers with ties, an infinity and a NaN. */
static array image(const pool_case *k, lucid_dtype dtype, array_layout layout, bool edges)
{
    int64_t dims[] = {k->n, k->c, k->h, k->w};
    array x = array_normal(dtype, 4, dims, layout, 0, 1);
    for (int64_t i = 0, n = array_numel(&x); edges && i < n; i++) {
        double v = round(2 * array_get(&x, i)) / 2;
        array_set(&x, i, i % 29 == 3 ? NAN : i % 31 == 4 ? -INFINITY : v);
    }
    return x;
}

static void check_max(pool_case k, lucid_dtype dtype, lucid_dtype winners, array_layout in,
                      array_layout out, bool edges)
{
    k.oh = out_size(&k, 0, k.h);
    k.ow = out_size(&k, 1, k.w);
    k.attrs.size[0] = k.h;
    k.attrs.size[1] = k.w;
    int64_t small[] = {k.n, k.c, k.oh, k.ow}, big[] = {k.n, k.c, k.h, k.w};
    int64_t count = k.n * k.c * k.oh * k.ow, pixels = k.h * k.w;
    array x = image(&k, dtype, in, edges), y = array_new(dtype, 4, small, out);
    array index = array_new(winners, 4, small, out), dx = array_new(dtype, 4, big, in);
    array g = array_normal(dtype, 4, small, out, 0, 1), won = array_new(dtype, 4, small, out);
    double *value = numbers(count), *at = numbers(count), *back = numbers(k.n * k.c * pixels);
    max_truth(&k, &x, value, at);
    cr_assert(kernel_call(LUCID_OP_max_pool2d, dtype, &k.attrs, (array *[]){&x}, 1,
                          (array *[]){&y, &index}, 2));
    cr_expect_leq(array_distance(&y, value, 1e-300, 0), 1, "%s: y", what);
    cr_assert_leq(array_distance(&index, at, 0.5, 0), 1, "%s: index", what);
    array alone = array_new(dtype, 4, small, out),
          none = array_new(winners, 1, (int64_t[]){0}, DENSE);
    k.attrs.no_index = true;
    cr_assert(kernel_call(LUCID_OP_max_pool2d, dtype, &k.attrs, (array *[]){&x}, 1,
                          (array *[]){&alone, &none}, 2));
    cr_expect(array_same(&alone, &y), "%s: y without an index", what);
    for (int64_t o = 0; o < count; o++)
        back[o / (k.oh * k.ow) * pixels + (int64_t)at[o]] += array_get(&g, o);
    cr_assert(kernel_call(LUCID_OP_max_pool2d_backward, dtype, &k.attrs, (array *[]){&g, &index}, 2,
                          (array *[]){&dx}, 1));
    double e = step_of(dtype);
    cr_expect_leq(array_distance(&dx, back, e, e), 1, "%s: dx", what);
    cr_assert(kernel_call(LUCID_OP_max_pool2d_gather, dtype, &k.attrs, (array *[]){&x, &index}, 2,
                          (array *[]){&won}, 1));
    cr_expect_leq(array_distance(&won, value, 1e-300, 0), 1, "%s: gather", what);
    array_free_all();
}

static void check_avg(pool_case k, lucid_dtype dtype, array_layout in, array_layout out)
{
    lucid_op_id op = k.adaptive ? LUCID_OP_adaptive_avg_pool2d : LUCID_OP_avg_pool2d;
    lucid_op_id back =
        k.adaptive ? LUCID_OP_adaptive_avg_pool2d_backward : LUCID_OP_avg_pool2d_backward;
    k.oh = k.adaptive ? k.attrs.size[0] : out_size(&k, 0, k.h);
    k.ow = k.adaptive ? k.attrs.size[1] : out_size(&k, 1, k.w);
    int64_t small[] = {k.n, k.c, k.oh, k.ow}, big[] = {k.n, k.c, k.h, k.w};
    array x = image(&k, dtype, in, false), y = array_new(dtype, 4, small, out);
    array g = array_normal(dtype, 4, small, out, 0, 1), dx = array_new(dtype, 4, big, in);
    double *value = numbers(array_numel(&y)), *grad = numbers(array_numel(&x));
    avg_truth(&k, &x, &g, value, grad);
    cr_assert(kernel_call(op, dtype, &k.attrs, (array *[]){&x}, 1, (array *[]){&y}, 1));
    k.attrs.size[0] = k.h;
    k.attrs.size[1] = k.w;
    cr_assert(kernel_call(back, dtype, &k.attrs, (array *[]){&g}, 1, (array *[]){&dx}, 1));
    double e = step_of(dtype);
    cr_expect_leq(array_distance(&y, value, e, e), 1, "%s: y", what);
    cr_expect_leq(array_distance(&dx, grad, e, e), 1, "%s: dx", what);
    array_free_all();
}

static const int64_t channels[] = {1, 3, 5, 17, 33, 100};
static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
static const lucid_pool2d_attrs windows[] = {
    {.kernel = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}, .count_include_pad = true},
    {.kernel = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}, .ceil_mode = true},
    {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}, .dilation = {1, 1}},
    {.kernel = {3, 2}, .stride = {1, 3}, .padding = {1, 1}, .dilation = {1, 1}, .divisor = 5},
    {.kernel = {5, 5},
     .stride = {1, 1},
     .padding = {2, 2},
     .dilation = {1, 1},
     .count_include_pad = true},
    {.kernel = {3, 3},
     .stride = {2, 2},
     .padding = {1, 1},
     .dilation = {1, 1},
     .ceil_mode = true,
     .count_include_pad = true},
};
enum { WINDOWS = sizeof windows / sizeof windows[0] };

Test(pool, maximum_of_every_window_layout_and_channel_count)
{
    FOR_LEVELS
    for (int window = 0; window < WINDOWS; window++)
        for (int layout = 0; layout < LAYOUTS; layout++)
            for (int c = 0; c < 6; c++) {
                pool_case k = {windows[window], 2, channels[c], 9, 11 + c, 0, 0, false};
                describe("level %d window %d layout %d C %d", level_, window, layout, c);
                check_max(k, LUCID_F32, LUCID_I32, (array_layout)layout, (array_layout)layout,
                          c % 2);
            }
}

Test(pool, maximum_of_every_dtype_and_mixed_layouts)
{
    FOR_LEVELS
    for (int dtype = 0; dtype < 4; dtype++)
        for (int window = 0; window < 3; window++)
            for (int in = 0; in < LAYOUTS; in++)
                for (int out = 0; out < LAYOUTS; out++) {
                    pool_case k = {windows[window], 2, 3, 6, 37, 0, 0, false};
                    describe("level %d dtype %d window %d layouts %d %d", level_, dtype, window, in,
                             out);
                    check_max(k, floating[dtype], LUCID_I32, (array_layout)in, (array_layout)out,
                              true);
                    check_max(k, floating[dtype], LUCID_I64, (array_layout)in, (array_layout)out,
                              true);
                }
}

Test(pool, maximum_with_dilation_and_every_width)
{
    FOR_LEVELS
    for (int64_t w = 2; w < 70; w++)
        for (int layout = 0; layout < 2; layout++) {
            pool_case k = {windows[0], 1, 2, 5, w, 0, 0, false};
            describe("level %d width %d layout %d", level_, (int)w, layout);
            check_max(k, LUCID_F32, LUCID_I32, (array_layout)layout, (array_layout)layout, w % 2);
            if (w < 5) continue;
            k.attrs.dilation[0] = k.attrs.dilation[1] = 2;
            k.attrs.kernel[0] = k.attrs.kernel[1] = 3;
            k.attrs.padding[1] = 1;
            check_max(k, LUCID_F32, LUCID_I32, (array_layout)layout, (array_layout)layout, false);
        }
}

Test(pool, rows_too_wide_for_one_strip_and_windows_too_large_for_any)
{
    static const lucid_pool2d_attrs large = {
        .kernel = {17, 20}, .stride = {3, 5}, .padding = {4, 9}, .dilation = {1, 1}};
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++)
        for (int window = 0; window <= WINDOWS; window++) {
            const bool over = window == WINDOWS;
            pool_case k = {
                over ? large : windows[window], 1, 2, over ? 21 : 5, over ? 45 : 2500, 0, 0, false};
            describe("level %d window %d layout %d", level_, window, layout);
            for (int dtype = 0; dtype < 4; dtype++) {
                check_max(k, floating[dtype], LUCID_I32, (array_layout)layout, (array_layout)layout,
                          true);
                check_avg(k, floating[dtype], (array_layout)layout, (array_layout)layout);
            }
        }
}

Test(pool, averages_over_whole_planes_and_equal_parts)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 4}, {6, 2}, {1, 8}, {6, 1}};
    FOR_LEVELS
    for (int size = 0; size < 5; size++)
        for (int in = 0; in < LAYOUTS; in++)
            for (int out = 0; out < LAYOUTS; out++)
                for (int dtype = 0; dtype < 4; dtype++) {
                    pool_case k = {
                        {.size = {sizes[size][0], sizes[size][1]}}, 2, 37, 6, 8, 0, 0, true};
                    k.attrs.count_include_pad = true;
                    describe("level %d size %d layouts %d %d dtype %d", level_, size, in, out,
                             dtype);
                    check_avg(k, floating[dtype], (array_layout)in, (array_layout)out);
                }
}

Test(pool, averages)
{
    FOR_LEVELS
    for (int window = 0; window < WINDOWS; window++)
        for (int layout = 0; layout < LAYOUTS; layout++)
            for (int dtype = 0; dtype < 4; dtype++)
                for (int c = 0; c < 4; c++) {
                    pool_case k = {windows[window], 2, channels[c], 8, 9 + c, 0, 0, false};
                    describe("level %d window %d layout %d dtype %d C %d", level_, window, layout,
                             dtype, c);
                    check_avg(k, floating[dtype], (array_layout)layout, (array_layout)layout);
                }
}

Test(pool, adaptive_averages)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 2}, {7, 7}, {8, 20}, {11, 5}};
    FOR_LEVELS
    for (int size = 0; size < 5; size++)
        for (int layout = 0; layout < LAYOUTS; layout++)
            for (int c = 0; c < 6; c++) {
                pool_case k = {
                    {.size = {sizes[size][0], sizes[size][1]}, .count_include_pad = true},
                    2,
                    channels[c],
                    8,
                    20,
                    0,
                    0,
                    true};
                describe("level %d size %d layout %d C %d", level_, size, layout, c);
                check_avg(k, LUCID_F32, (array_layout)layout, (array_layout)layout);
            }
}

/* Large enough to be written around the cache, where channels fill whole vectors. */
Test(pool, gradients_of_images_that_leave_the_cache)
{
    FOR_LEVELS
    for (int window = 0; window < 3; window += 2)
        for (int64_t c = 63; c < 65; c++) {
            pool_case k = {windows[window], 2, c, 186, 187, 0, 0, false};
            describe("level %d window %d C %d", level_, window, (int)c);
            check_max(k, LUCID_F32, LUCID_I32, CHANNELS_LAST, CHANNELS_LAST, false);
        }
}

Test(pool, the_same_bits_for_any_number_of_threads)
{
    int64_t big[] = {9, 24, 40, 44}, small[] = {9, 24, 20, 22};
    lucid_pool2d_attrs attrs = windows[2];
    attrs.size[0] = 40;
    attrs.size[1] = 44;
    FOR_LEVELS
    for (int layout = 0; layout < 2; layout++) {
        array x = array_normal(LUCID_F32, 4, big, (array_layout)layout, 0, 1), first[2] = {0};
        array index = array_new(LUCID_I32, 4, small, (array_layout)layout);
        for (int threads = 1; threads <= 3; threads++) {
            array y = array_new(LUCID_F32, 4, small, (array_layout)layout);
            array dx = array_new(LUCID_F32, 4, big, (array_layout)layout);
            luc_set_num_threads(threads);
            cr_assert(kernel_call(LUCID_OP_max_pool2d, LUCID_F32, &attrs, (array *[]){&x}, 1,
                                  (array *[]){&y, &index}, 2));
            cr_assert(kernel_call(LUCID_OP_max_pool2d_backward, LUCID_F32, &attrs,
                                  (array *[]){&y, &index}, 2, (array *[]){&dx}, 1));
            if (threads > 1)
                cr_expect(array_same(&first[0], &y) && array_same(&first[1], &dx));
            else
                first[0] = y, first[1] = dx;
        }
        luc_set_num_threads(0);
        array_free_all();
    }
}

/* Charts and grids: round numbers on the axes, curves through their values, one colour scale. */
#include "tests/lucid/io/files.h"

#include "lucid/plot/plot_priv.h"
#include "lucid/core/memory.h"

TestSuite(plot, .init = files_begin, .fini = files_end);

/* ---- axes ------------------------------------------------------------------------------------ */

/* The labels, joined by blanks. */
static const char *labels(luc_axis axis, double low, double high, int wanted)
{
    static char text[512];
    text[0] = 0;
    luc_axis_init(&axis, low, high, wanted);
    for (int i = 0; i < axis.count; i++) {
        if (i) strcat(text, " ");
        strcat(text, axis.labels[i]);
        cr_assert(axis.ticks[i] >= axis.low - 1e-9 && axis.ticks[i] <= axis.high * (1 + 1e-9));
    }
    cr_assert(axis.low < axis.high);
    return text;
}

Test(plot, round_numbers)
{
    const luc_axis fixed = {.fixed = true}, whole = {.fixed = true, .whole = true}, free = {0};
    cr_expect_str_eq(labels(fixed, 0, 1, 5), "0.0 0.2 0.4 0.6 0.8 1.0");
    cr_expect_str_eq(labels(fixed, 0, 10, 5), "0 2 4 6 8 10");
    cr_expect_str_eq(labels(fixed, 98.1, 99.3, 5), "98.5 99.0");
    cr_expect_str_eq(labels(fixed, -1, 1, 4), "-1.0 -0.5 0.0 0.5 1.0");
    cr_expect_str_eq(labels(fixed, 0, 0.007, 4), "0.000 0.002 0.004 0.006");
    cr_expect_str_eq(labels(fixed, 0, 60000, 4), "0 20000 40000 60000");
    cr_expect_str_eq(labels(fixed, 0, 3e-5, 3), "0 1e-05 2e-05 3e-05");
    cr_expect_str_eq(labels(whole, 1, 3, 7), "1 2 3");
    cr_expect_str_eq(labels(free, 0.02, 2.3, 5), "0.0 0.5 1.0 1.5 2.0");
}

Test(plot, logarithms)
{
    const luc_axis log = {.log = true};
    cr_expect_str_eq(labels(log, 0.02, 2.3, 6), "0.02 0.05 0.1 0.2 0.5 1 2");
    cr_expect_str_eq(labels(log, 1e-6, 10, 4), "1e-06 0.0001 0.01 1");
    luc_axis axis = {.log = true, .from = 100, .to = 0};
    luc_axis_init(&axis, 0.01, 1, 5);
    cr_expect_float_eq(luc_axis_pixel(&axis, 0.1), 50, 1e-9);
    cr_expect(isnan(luc_axis_pixel(&axis, 0)) && isnan(luc_axis_pixel(&axis, -1)));
}

/* A picture can be drawn of no value, one value, equal values, huge and tiny ones. */
Test(plot, odd_ranges)
{
    const double ranges[][2] = {
        {INFINITY, -INFINITY}, {3, 3},         {0, 0},         {-5, -5},
        {1e-300, 1e-300},      {1e300, 1e300}, {1, 1 + 1e-15}, {-1e300, 1e300}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int log = 0; log < 2; log++) {
            luc_axis axis = {.log = log, .to = 100};
            if (log && ranges[i][0] <= 0) continue;
            luc_axis_init(&axis, ranges[i][0], ranges[i][1], 5);
            cr_expect(axis.low < axis.high, "%d", (int)i);
            cr_expect(axis.count <= LUC_TICKS_MAX);
            double p = luc_axis_pixel(&axis, (axis.low + axis.high) / 2);
            cr_expect(log || (p >= 0 && p <= 100), "%d: %g", (int)i, p);
        }
}

/* ---- curves ---------------------------------------------------------------------------------- */

static int count_color(const lucid_image *image, uint32_t color)
{
    int n = 0;
    for (int i = 0; i < image->width * image->height; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        n += ((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]) == color;
    }
    return n;
}

enum { BLUE = 0x2563eb, ORANGE = 0xea580c };

Test(plot, two_panels)
{
    const double loss[] = {2, 1, 0.5, 0.25, 0.125}, accuracy[] = {90, 95, 97, 98, 98.5};
    lucid_series series[] = {{.name = "loss", .y = loss, .n = 5},
                             {.name = "accuracy", .y = accuracy, .n = 5, .markers = true}};
    lucid_panel panels[] = {
        {.title = "loss", .x_label = "epoch", .series = series, .count = 1, .log_y = true},
        {.title = "both", .series = series, .count = 2}};
    lucid_image *image = lucid_plot(panels, 2);
    cr_assert(image, "%s", lucid_error());
    cr_expect(image->width == 1600 && image->height == 640);
    cr_expect_gt(count_color(image, BLUE), 1000);
    cr_expect_gt(count_color(image, ORANGE), 1000);
    cr_assert(lucid_image_write_png(image, files_path("p.png")));
    lucid_image_free(image);
}

/* On a logarithmic axis powers of two lie on a straight line, from corner to corner. */
Test(plot, a_curve_goes_through_its_values)
{
    const double y[] = {1, 2, 4, 8, 16};
    lucid_series s = {.y = y, .n = 5};
    lucid_panel panel = {.series = &s, .count = 1, .log_y = true, .y_min = 1, .y_max = 16};
    lucid_plot_options options = lucid_plot_defaults;
    options.width = 500, options.height = 400;
    lucid_image *image = lucid_plot_opt(&panel, 1, &options);
    cr_assert(image, "%s", lucid_error());
    int left = 500, right = 0, left_y = 0, right_y = 0, n = 0;
    for (int x = 0; x < 500; x++)
        for (int row = 0; row < 400; row++) {
            const uint8_t *p = image->pixels + 3 * (row * 500 + x);
            if (p[0] != 0x25 || p[1] != 0x63 || p[2] != 0xeb) continue;
            if (x < left) left = x, left_y = row;
            if (x > right) right = x, right_y = row;
        }
    cr_assert(right - left > 300 && left_y - right_y > 200);
    for (int x = left + 5; x < right - 5; x++) { /* the line's middle is blue everywhere */
        int row = left_y + (right_y - left_y) * (x - left) / (right - left);
        const uint8_t *p = image->pixels + 3 * (row * 500 + x);
        n += p[0] == 0x25 && p[1] == 0x63 && p[2] == 0xeb;
    }
    cr_expect_gt(n, (right - left - 10) * 8 / 10);
    lucid_image_free(image);
}

Test(plot, values_that_are_no_numbers)
{
    const double y[] = {NAN, 1, INFINITY, 2, -INFINITY, 3, NAN}, bad[] = {NAN, NAN};
    lucid_series series[] = {{.name = "a", .y = y, .n = 7, .smooth = 0.5, .markers = true},
                             {.name = "b", .y = bad, .n = 2, .smooth = 1},
                             {.name = "c", .n = 0}};
    for (int log = 0; log < 2; log++) {
        lucid_panel panel = {.series = series, .count = 3, .log_y = log};
        lucid_image *image = lucid_plot(&panel, 1);
        cr_assert(image, "%s", lucid_error());
        cr_expect_gt(count_color(image, BLUE), 50);
        lucid_image_free(image);
        panel.count = 0;
        image = lucid_plot(&panel, 1);
        cr_assert(image, "%s", lucid_error());
        lucid_image_free(image);
    }
}

/* The mean over a window: a curve of alternating 0 and 1 becomes a flat one. */
Test(plot, smooth_curves)
{
    enum { N = 400 };
    double y[N];
    for (int i = 0; i < N; i++) y[i] = i % 2;
    lucid_series s = {.y = y, .n = N, .smooth = 0.2};
    lucid_panel panel = {.series = &s, .count = 1, .y_min = -1, .y_max = 2};
    lucid_image *image = lucid_plot(&panel, 1);
    cr_assert(image);
    int rows = 0;
    for (int row = 0; row < image->height; row++) {
        const uint8_t *p = image->pixels + 3 * (row * image->width + image->width / 2);
        rows += p[0] == 0x25 && p[1] == 0x63 && p[2] == 0xeb;
    }
    cr_expect(rows >= 2 && rows <= 5, "%d rows", rows);
    lucid_image_free(image);
}

Test(plot, small_and_large_pictures)
{
    const double y[] = {1, 2};
    lucid_series s = {.name = "a long name in a small picture", .y = y, .n = 2};
    lucid_panel panels[8];
    for (int i = 0; i < 8; i++) panels[i] = (lucid_panel){.title = "t", .series = &s, .count = 1};
    const int sizes[][2] = {{1, 1}, {30, 2000}, {2000, 30}, {100, 100}};
    for (int i = 0; i < 4; i++) {
        lucid_plot_options options = {sizeof options, sizes[i][0], sizes[i][1], "title"};
        lucid_image *image = lucid_plot_opt(panels, 8, &options);
        cr_assert(image, "%s", lucid_error());
        lucid_image_free(image);
    }
}

Test(plot, arguments)
{
    const double y[] = {1, 2};
    lucid_series s = {.y = y, .n = 2}, none = {.n = 2};
    lucid_panel p = {.series = &s, .count = 1};
    EXPECT_ERROR(lucid_plot(NULL, 1), LUCID_ERR_ARGUMENT, "plot: panels: expected 1 to 8");
    EXPECT_ERROR(lucid_plot(&p, 0), LUCID_ERR_ARGUMENT, "panels: expected 1 to 8, got 0");
    EXPECT_ERROR(lucid_plot(&p, 9), LUCID_ERR_ARGUMENT, "panels: expected 1 to 8, got 9");
    p.y_min = 2, p.y_max = 1;
    EXPECT_ERROR(lucid_plot(&p, 1), LUCID_ERR_ARGUMENT, "y_min <= y_max, got 2, 1");
    p = (lucid_panel){.series = &none, .count = 1};
    EXPECT_ERROR(lucid_plot(&p, 1), LUCID_ERR_ARGUMENT, "panels[0].series[0]: no values");
    p = (lucid_panel){.count = 1};
    EXPECT_ERROR(lucid_plot(&p, 1), LUCID_ERR_ARGUMENT, "panels[0]: no series");
}

/* ---- images and filters ---------------------------------------------------------------------- */

static uint32_t at(const lucid_image *image, int x, int y)
{
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

Test(plot, images)
{
    lucid_tensor *x = lucid_values((2, 1, 1, 3), -1, 0, 1, 1, 1, -1);
    const char *captions[] = {"said 4, is 9", NULL};
    lucid_grid_options options = lucid_grid_defaults;
    options.scale = 40;
    lucid_image *image = lucid_plot_images_opt(x, captions, &options);
    cr_assert(image, "%s", lucid_error());
    /* Tile 0 begins at the margin; tile 1 a gap of 18 after it. */
    cr_expect_eq(at(image, 28 + 20, 28 + 20), 0x000000);
    cr_expect_eq(at(image, 28 + 60, 28 + 20), 0x808080);
    cr_expect_eq(at(image, 28 + 100, 28 + 20), 0xffffff);
    cr_expect_eq(at(image, 28 + 120 + 18 + 100, 28 + 20), 0x000000);
    cr_expect_gt(count_color(image, 0x1f2933), 20, "a caption");
    lucid_image_free(image);
    options.low = 0, options.high = 2;
    image = lucid_plot_images_opt(x, NULL, &options);
    cr_expect_eq(at(image, 28 + 20, 28 + 20), 0x000000);
    cr_expect_eq(at(image, 28 + 100, 28 + 20), 0x808080);
    lucid_image_free(image);
    image = lucid_plot_images(lucid_values((1, 2, 2), NAN, 1, INFINITY, 2), NULL);
    cr_assert(image);
    lucid_image_free(image);
}

Test(plot, filters_share_one_scale)
{
    lucid_tensor *w = lucid_values((3, 1, 1, 2), 0, 0.5, -0.5, 0.25, -0.25, 0);
    lucid_grid_options options = lucid_grid_defaults;
    options.scale = 40;
    lucid_image *image = lucid_plot_filters_opt(w, &options);
    cr_assert(image, "%s", lucid_error());
    const int second = 28 + 80 + 18, third = second + 80 + 18, y = 28 + 20;
    uint32_t zero = at(image, 28 + 20, y), most = at(image, 28 + 60, y),
             least = at(image, second + 20, y);
    uint32_t half = at(image, second + 60, y), minus_half = at(image, third + 20, y);
    cr_expect_eq(zero, 0xf7f7f7);
    cr_expect_eq(at(image, third + 60, y), zero);
    cr_expect((most >> 16) > (most & 255) && (least & 255) > (least >> 16),
              "red above, blue below");
    cr_expect((half >> 8 & 255) > (most >> 8 & 255) && (half >> 8 & 255) < 0xf7, "paler");
    cr_expect((minus_half >> 16) > (least >> 16) && (minus_half >> 16) < 0xf7);
    lucid_image_free(image);
    image = lucid_plot_filters(lucid_values((1, 2, 1, 1), 0, 0));
    cr_assert(image, "all zeros");
    lucid_image_free(image);
}

Test(plot, tensors_that_are_no_pictures)
{
    lucid_tensor *x = lucid_values((2, 2), 1, 2, 3, 4);
    lucid_grid_options options = lucid_grid_defaults;
    EXPECT_ERROR(lucid_plot_images(NULL, NULL), LUCID_ERR_ARGUMENT, "images: got NULL");
    EXPECT_ERROR(lucid_plot_images(x, NULL), LUCID_ERR_ARGUMENT,
                 "expected [n,H,W] or [n,1,H,W], got [2,2]");
    EXPECT_ERROR(lucid_plot_filters(x), LUCID_ERR_ARGUMENT, "expected [O,I,kH,kW], got [2,2]");
    x = lucid_values((1, 1, 1, 2), 1, 2);
    options.columns = 0;
    EXPECT_ERROR(lucid_plot_images_opt(x, NULL, &options), LUCID_ERR_ARGUMENT, "columns, scale");
    options.columns = 1, options.scale = 1000;
    lucid_tensor *wide = lucid_empty((1, 100, 100));
    EXPECT_ERROR(lucid_plot_images_opt(wide, NULL, &options), LUCID_ERR_ARGUMENT,
                 "over 16384 pixels");
    EXPECT_ERROR(lucid_plot_images(lucid_empty((0, 2, 2)), NULL), LUCID_ERR_ARGUMENT,
                 "expected at least one of 1 to 16384 pixels each way, got ");
}

Test(plot, every_allocation_may_fail)
{
    const double y[] = {1, 2, 3};
    const char *caption = "a";
    lucid_series s = {.name = "a", .y = y, .n = 3, .smooth = 0.5};
    lucid_panel panel = {.title = "t", .x_label = "x", .series = &s, .count = 1};
    lucid_plot_options options = {sizeof options, 300, 200, "title"};
    lucid_tensor *x = lucid_retain(lucid_values((1, 1, 1, 2), 1, 2));
    for (uint64_t n = 1; n < 300; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        lucid_image *a = lucid_plot_opt(&panel, 1, &options);
        lucid_image *b = a ? lucid_plot_images(x, &caption) : NULL;
        lucid_image *c = b ? lucid_plot_filters(x) : NULL;
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                     lucid_error());
        cr_assert_eq(c != NULL, !reached);
        lucid_image_free(a);
        lucid_image_free(b);
        lucid_image_free(c);
        cr_assert_eq(lucid_live().other, 0);
        lucid_clear_error();
        if (!reached) {
            lucid_release(x);
            return;
        }
    }
    cr_assert_fail("never succeeded");
}

/* ---- ranges that doubles can barely hold, and a plot that must end --------------------------- */

Test(plot, any_range_ends, .timeout = 60)
{
    static const double numbers[] = {
        0,     5e-324,    1e-310, 2.3e-308, 1e-300, 1e-45,      1,   5,        1e15,     1e300,
        1e308, 1.797e308, -1,     -5e-324,  -1e308, -1.797e308, NAN, INFINITY, -INFINITY};
    enum { N = sizeof numbers / sizeof *numbers };
    int drawn = 0;
    for (int i = 0; i < N * N; i++)
        for (int k = 0; k < 4 * 9; k++) {
            static const double ranges[9][2] = {
                {0, 0},      {0, 5},         {0, 5e-324},
                {1e-310, 1}, {0, 1.797e308}, {-1.797e308, 1.797e308},
                {3, 3},      {1, 1 + 3e-16}, {-1e-320, 0}};
            const double y[] = {numbers[i / N], numbers[i % N]};
            lucid_series s = {.y = y, .x = k & 2 ? y : NULL, .n = 2, .smooth = k & 2 ? 1 : 0};
            lucid_panel p = {.series = &s,
                             .count = 1,
                             .log_y = k & 1,
                             .y_min = ranges[k / 4][0],
                             .y_max = ranges[k / 4][1]};
            const lucid_plot_options small = {
                .struct_size = sizeof small, .width = 200, .height = 120};
            lucid_image *image = lucid_plot_opt(&p, 1, &small);
            cr_expect(image || (p.log_y && p.y_min < 0), "%g %g in %g %g: %s", y[0], y[1], p.y_min,
                      p.y_max, lucid_error());
            lucid_clear_error();
            drawn += image != NULL;
            lucid_image_free(image);
        }
    cr_expect(drawn > N * N * 20);
}

Test(plot, ranges_that_are_none)
{
    const double y[] = {1, 2}, bad[] = {NAN, INFINITY, -INFINITY};
    lucid_series s = {.y = y, .n = 2};
    for (int i = 0; i < 6; i++) {
        lucid_panel p = {.series = &s, .count = 1, .log_y = i % 2};
        *(i < 3 ? &p.y_min : &p.y_max) = bad[i % 3];
        EXPECT_ERROR(lucid_plot(&p, 1), LUCID_ERR_ARGUMENT, "expected finite numbers");
    }
    lucid_panel p = {.series = &s, .count = 1, .log_y = true, .y_min = -1, .y_max = 1};
    EXPECT_ERROR(lucid_plot(&p, 1), LUCID_ERR_ARGUMENT, "0 <= y_min <= y_max, got -1, 1");
    p = (lucid_panel){.series = &s, .count = 1 << 30};
    EXPECT_ERROR(lucid_plot(&p, 1), LUCID_ERR_ARGUMENT, "count: expected 0 to 1000");
    lucid_grid_options grid = lucid_grid_defaults;
    grid.high = INFINITY;
    LUCID_SCOPE;
    EXPECT_ERROR(lucid_plot_images_opt(lucid_zeros((1, 2, 2)), NULL, &grid), LUCID_ERR_ARGUMENT,
                 "low, high: expected finite numbers");
}

/* An axis has marks, which lie on it in order. */
Test(plot, marks_of_extreme_axes)
{
    static const double ranges[][2] = {
        {-1.797e308, 1.797e308}, {0, 1.797e308}, {1e-320, 1e-310}, {5e-324, 1},
        {1e308, 1.7e308},        {-1e300, 5},    {1e-290, 1e-280}, {7, 7},
        {1e15, 1e15 + 1}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int log = 0; log < 2; log++)
            for (int wanted = 1; wanted < 12; wanted += 5) {
                if (log && ranges[i][0] <= 0) continue;
                luc_axis a = {.log = log, .from = 100, .to = 0};
                luc_axis_init(&a, ranges[i][0], ranges[i][1], wanted);
                cr_expect(a.low < a.high && isfinite(a.low) && isfinite(a.high), "%g %g", a.low,
                          a.high);
                cr_expect(a.count > 0 || log || wanted == 1, "no mark from %g to %g", a.low,
                          a.high);
                for (int k = 0; k < a.count; k++) {
                    double p = luc_axis_pixel(&a, a.ticks[k]);
                    cr_expect(p > -1 && p < 101, "%g of %g to %g lies at %g", a.ticks[k], a.low,
                              a.high, p);
                    cr_expect(k == 0 || a.ticks[k] > a.ticks[k - 1]);
                }
            }
}

/* A logarithmic range of which only the end is given begins at the least value. */
Test(plot, a_logarithm_with_an_upper_end_only)
{
    const double y[] = {0.01, 2};
    lucid_series s = {.y = y, .n = 2};
    lucid_panel given = {.series = &s, .count = 1, .log_y = true, .y_min = 0.01, .y_max = 5};
    lucid_panel half = {.series = &s, .count = 1, .log_y = true, .y_max = 5};
    lucid_image *a = lucid_plot(&given, 1), *b = lucid_plot(&half, 1);
    cr_assert(a && b);
    cr_expect(memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3) == 0);
    lucid_image_free(a);
    lucid_image_free(b);
}

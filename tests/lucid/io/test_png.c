/* Pictures: every pixel is where it should be, and the file holds the same pixels. */
#include "tests/lucid/io/files.h"

#include "lucid/io/png.h"
#include "lucid/core/memory.h"

#include <limits.h>
#include <png.h>

TestSuite(png, .init = files_begin, .fini = files_end);

static uint32_t at(const lucid_image *image, int x, int y)
{
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* Counts the pixels of a rectangle that are not white. */
static int ink(const lucid_image *image, int x, int y, int width, int height)
{
    int n = 0;
    for (int r = y; r < y + height; r++)
        for (int c = x; c < x + width; c++) n += at(image, c, r) != 0xffffff;
    return n;
}

Test(png, rectangles_are_cut_off)
{
    lucid_image *image = lucid_image_new(10, 8, 0xffffff);
    cr_assert(image);
    lucid_image_rect(image, -5, -5, 7, 6, 0x123456, 1);
    cr_expect_eq(ink(image, 0, 0, 10, 8), 2 * 1);
    cr_expect(at(image, 0, 0) == 0x123456 && at(image, 1, 0) == 0x123456);
    lucid_image_rect(image, 8, 6, INT32_MAX, INT32_MAX, 0, 1);
    cr_expect_eq(ink(image, 0, 0, 10, 8), 2 + 4);
    lucid_image_rect(image, 20, 20, 5, 5, 0, 1);
    lucid_image_rect(image, 3, 3, -2, 4, 0, 1);
    lucid_image_rect(image, 3, 3, 2, 2, 0, 0);
    cr_expect_eq(ink(image, 0, 0, 10, 8), 6);
    lucid_image_rect(image, 4, 4, 1, 1, 0x0000ff, 0.5);
    cr_expect_eq(at(image, 4, 4), 0x7f7fff);
    lucid_image_free(image);
    lucid_image_free(NULL);
    cr_expect_eq(lucid_live().other, 0);
}

Test(png, lines)
{
    lucid_image *image = lucid_image_new(40, 20, 0xffffff);
    const double flat[] = {5, 5.5, 30, 5.5}; /* three rows: 4, 5 and 6 */
    cr_assert(lucid_image_line(image, flat, 2, 3, 0, 1));
    for (int x = 5; x < 30; x++)
        cr_expect(at(image, x, 4) == 0 && at(image, x, 5) == 0 && at(image, x, 6) == 0);
    cr_expect_eq(ink(image, 0, 0, 40, 4) + ink(image, 0, 7, 40, 13), 0);
    /* If it is moved down by half a pixel, half of the outer rows is covered. */
    lucid_image_rect(image, 0, 0, 40, 20, 0xffffff, 1);
    const double between[] = {5, 6, 30, 6};
    cr_assert(lucid_image_line(image, between, 2, 3, 0, 1));
    cr_expect(at(image, 15, 5) == 0 && at(image, 15, 6) == 0);
    uint32_t edge = at(image, 15, 4) & 255;
    cr_expect(edge > 120 && edge < 136 && at(image, 15, 7) == at(image, 15, 4));
    lucid_image_free(image);
}

Test(png, a_line_covers_a_pixel_once)
{
    lucid_image *image = lucid_image_new(20, 20, 0xffffff);
    const double there_and_back[] = {2, 10.5, 18, 10.5, 2, 10.5, 18, 10.5};
    cr_assert(lucid_image_line(image, there_and_back, 4, 1, 0, 0.5));
    cr_expect_eq(at(image, 10, 10), 0x7f7f7f);
    lucid_image_free(image);
}

Test(png, lines_with_gaps_and_points_far_away)
{
    lucid_image *image = lucid_image_new(40, 20, 0xffffff);
    const double points[] = {5, 10, 10, 10, NAN, 10, 20, 10, 25, INFINITY, 35, 10};
    cr_assert(lucid_image_line(image, points, 6, 2, 0, 1));
    cr_expect(ink(image, 5, 9, 5, 2) == 10 && ink(image, 12, 0, 6, 20) == 0);
    cr_expect(ink(image, 19, 9, 2, 2) == 4 && ink(image, 22, 0, 11, 20) == 0);
    const double far[] = {-1e300, 5, 1e300, 5};
    cr_assert(lucid_image_line(image, far, 2, 2, 0, 1));
    const double outside[] = {-50, -50, -10, -10};
    cr_assert(lucid_image_line(image, outside, 2, 2, 0, 1));
    const double none[] = {NAN, NAN};
    cr_assert(lucid_image_line(image, none, 1, 2, 0, 1));
    lucid_image_free(image);
}

Test(png, every_character_has_a_shape_of_its_own)
{
    char text[2] = "";
    uint8_t *shapes[95];
    for (int c = 33; c < 127; c++) {
        lucid_image *image = lucid_image_new(60, 60, 0xffffff);
        text[0] = (char)c;
        cr_assert(lucid_image_text(image, 10, 45, 28, 0, text));
        double width = lucid_image_text_width(28, text);
        cr_expect(width >= 0 && width < 32);
        cr_expect_gt(ink(image, 6, 8, 8 + (int)width, 46), 5, "'%c'", c);
        cr_expect_eq(ink(image, 0, 0, 60, 60), ink(image, 6, 10, 8 + (int)width, 46),
                     "'%c' is not within its box", c);
        shapes[c - 33] = malloc(60 * 60 * 3);
        memcpy(shapes[c - 33], image->pixels, 60 * 60 * 3);
        for (int other = 33; other < c; other++)
            cr_expect(memcmp(shapes[c - 33], shapes[other - 33], 60 * 60 * 3) != 0, "%c %c", c,
                      other);
        lucid_image_free(image);
    }
    for (int i = 0; i < 94; i++) free(shapes[i]);
}

Test(png, text_of_any_bytes)
{
    lucid_image *image = lucid_image_new(60, 60, 0xffffff);
    cr_expect_eq(lucid_image_text_width(14, ""), 0);
    cr_expect_eq(lucid_image_text_width(14, NULL), 0);
    /* One box for one character, however many bytes it has. */
    double box = lucid_image_text_width(14, "\x01");
    cr_expect_eq(lucid_image_text_width(14, "\xc3\xa9"), box);
    cr_expect_eq(lucid_image_text_width(14, "\xf0\x9f\x94\xa5"), box);
    cr_expect_eq(lucid_image_text_width(14, "\xff"), box);
    cr_expect(lucid_image_text(image, -100, 500, 14, 0, "outside"));
    cr_expect_eq(ink(image, 0, 0, 60, 60), 0);
    cr_expect(lucid_image_text(image, 5, 30, 14, 0, "\xc3"));
    cr_expect_gt(ink(image, 0, 0, 60, 60), 10);
    lucid_image_free(image);
}

Test(png, gray_pictures)
{
    lucid_image *image = lucid_image_new(10, 10, 0xffffff);
    const uint8_t gray[] = {0, 100, 200, 255};
    lucid_image_gray(image, 1, 1, 3, gray, 2, 2);
    cr_expect(at(image, 3, 3) == 0 && at(image, 4, 3) == 0x646464 && at(image, 3, 4) == 0xc8c8c8);
    cr_expect_eq(ink(image, 0, 0, 10, 10), 27);
    lucid_image_free(image);
}

Test(png, the_file_holds_the_pixels)
{
    lucid_image *image = lucid_image_new(61, 37, 0x4080c0);
    for (int i = 0; i < 61 * 37 * 3; i++) image->pixels[i] = (uint8_t)(i * 7 + i / 61);
    const char *path = files_path("a.png");
    cr_assert(lucid_image_write_png(image, path), "%s", lucid_error());
    cr_expect_eq(files_count(), 1);
    png_image read = {.version = PNG_IMAGE_VERSION};
    cr_assert(png_image_begin_read_from_file(&read, path));
    cr_expect(read.width == 61 && read.height == 37);
    read.format = PNG_FORMAT_RGB;
    uint8_t pixels[61 * 37 * 3];
    cr_assert(png_image_finish_read(&read, NULL, pixels, 0, NULL));
    cr_expect(memcmp(pixels, image->pixels, sizeof pixels) == 0);
    lucid_image_free(image);
}

Test(png, errors)
{
    EXPECT_ERROR(lucid_image_new(0, 5, 0), LUCID_ERR_ARGUMENT,
                 "width, height: expected 1 to 16384");
    EXPECT_ERROR(lucid_image_new(5, 16385, 0), LUCID_ERR_ARGUMENT, "got 5, 16385");
    EXPECT_ERROR(lucid_image_write_png(NULL, "x"), LUCID_ERR_ARGUMENT, "image: got NULL");
    lucid_image *image = lucid_image_new(4, 4, 0);
    EXPECT_ERROR(lucid_image_write_png(image, NULL), LUCID_ERR_ARGUMENT, "path: expected");
    EXPECT_ERROR(lucid_image_write_png(image, files_path("no/x")), LUCID_ERR_IO, "No such file");
    lucid_image_free(image);
    const double point[] = {1, 1};
    lucid_image_rect(NULL, 0, 0, 1, 1, 0, 1);
    cr_expect_not(lucid_image_line(NULL, point, 1, 1, 0, 1));
    cr_expect_not(lucid_image_text(NULL, 0, 0, 10, 0, "a"));
    cr_expect_eq(lucid_error_code(), LUCID_OK);
}

Test(png, every_allocation_may_fail)
{
    const double points[] = {1, 1, 9, 9};
    for (uint64_t n = 1; n < 200; n++) {
        lucid_memory_fail_nth(n);
        lucid_image *image = lucid_image_new(10, 10, 0xffffff);
        bool ok = image && lucid_image_line(image, points, 2, 1, 0, 1) &&
                  lucid_image_text(image, 0, 9, 8, 0, "a") &&
                  lucid_image_write_png(image, files_path("a.png"));
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        lucid_image_free(image);
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%d: %s", (int)n,
                     lucid_error());
        cr_assert_eq(ok, !reached);
        cr_assert_eq(files_count(), !reached);
        cr_assert_eq(lucid_live().other, 0);
        lucid_clear_error();
        if (!reached) return;
    }
    cr_assert_fail("never succeeded");
}

/* ---- far away -------------------------------------------------------------------------------- */

static int painted(const lucid_image *image)
{
    int n = 0;
    for (int i = 0; i < image->width * image->height; i++) n += image->pixels[3 * i] != 255;
    return n;
}

/* A line that leads from far outside to far outside paints what a short one across the picture
 * does. */
Test(png, lines_through_the_picture_from_far_away)
{
    for (double far = 100; far < 1e308; far *= 17) {
        const double lines[][4] = {{-far, 5.5, far, 5.5},
                                   {5.5, far, 5.5, -far},
                                   {-far, -far, far, far},
                                   {5.5, 5.5, far, 5.5}};
        const double near[][4] = {
            {-50, 5.5, 50, 5.5}, {5.5, 50, 5.5, -50}, {-50, -50, 50, 50}, {5.5, 5.5, 50, 5.5}};
        for (int k = 0; k < 4; k++) {
            lucid_image *a = lucid_image_new(20, 12, 0xffffff),
                        *b = lucid_image_new(20, 12, 0xffffff);
            cr_expect(lucid_image_line(a, lines[k], 2, 2, 0, 1), "%g: %s", far, lucid_error());
            lucid_image_line(b, near[k], 2, 2, 0, 1);
            cr_expect(painted(b) > 10);
            cr_expect(memcmp(a->pixels, b->pixels, 20 * 12 * 3) == 0,
                      "line %d to %g: %d of %d pixels", k, far, painted(a), painted(b));
            lucid_image_free(a);
            lucid_image_free(b);
        }
    }
}

Test(png, any_coordinate_and_size)
{
    static const double d[] = {
        0,    1,     -1,    12.5,   1e6, 2147483647.0, 2147483648.0, -2147483649.0,
        1e18, -1e19, 1e308, -1e308, NAN, INFINITY,     -INFINITY,    5e-324};
    static const int n[] = {0, 1, -1, 7, 16384, INT_MAX, INT_MIN, INT_MAX - 3, INT_MIN + 3};
    enum { D = sizeof d / sizeof *d, N = sizeof n / sizeof *n };
    lucid_image *image = lucid_image_new(20, 12, 0xffffff);
    for (int i = 0; i < D * D * D; i++) {
        double a = d[i % D], b = d[i / D % D], c = d[i / D / D];
        const double line[] = {a, b, b, c};
        cr_assert(lucid_image_line(image, line, 2, c, 0, a), "%g %g %g: %s", a, b, c,
                  lucid_error());
        cr_assert(lucid_image_text(image, a, b, c, 0, "aB"), "%g %g %g: %s", a, b, c,
                  lucid_error());
    }
    const uint8_t gray[4] = {0, 1, 2, 3};
    for (int i = 0; i < N * N * N; i++) {
        int a = n[i % N], b = n[i / N % N], c = n[i / N / N];
        lucid_image_rect(image, a, b, c, a, 0, d[i % D]);
        lucid_image_gray(image, a, b, c, gray, 2, 2);
    }
    cr_expect_eq(lucid_error_code(), LUCID_OK);
    lucid_image_free(image);
}

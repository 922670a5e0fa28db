/* Image files: every kind is read as it is meant, and what is damaged is refused by name. */
#include "tests/fail_malloc.h"
#include "tests/lucid/io/files.h"

#include "lucid/io/image.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "lucid/core/scope.h"
#include "tests/reference/vectors.h"

#include <ftw.h>
#include <png.h>
#include <sys/stat.h>

TestSuite(image, .init = files_begin, .fini = files_end);

/* Smooth, so that a JPEG keeps it, and different in every channel. */
static lucid_tensor *picture(int c, int h, int w)
{
    lucid_tensor *t = lucid_empty((c, h, w), .dtype = LUCID_U8);
    uint8_t *p = lucid_mutable_data(t);
    for (int k = 0; k < c; k++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) *p++ = (uint8_t)(40 * k + 2 * y + 2 * x);
    return t;
}

static double largest_difference(const lucid_tensor *a, const lucid_tensor *b)
{
    double most = 0;
    const uint8_t *p = lucid_data(a), *q = lucid_data(b);
    for (int64_t i = 0; i < lucid_numel(a); i++) most = fmax(most, abs(p[i] - q[i]));
    return most;
}

/* ---- PNG ------------------------------------------------------------------------------------- */

Test(image, png_of_every_number_of_channels)
{
    for (int c = 1; c <= 4; c++) {
        lucid_tensor *t = picture(c, 7, 13);
        cr_assert(lucid_image_write(t, files_path("a.PnG")), "%s", lucid_error());
        cr_expect_eq(files_count(), 1);
        lucid_tensor *r = lucid_image_read(files_path("a.PnG"));
        cr_assert(r, "%s", lucid_error());
        cr_expect(lucid_tensor_dtype(r) == LUCID_U8 && lucid_equal(t, r), "%d channels", c);
    }
    lucid_tensor *gray = lucid_empty((5, 4), .dtype = LUCID_U8);
    memset(lucid_mutable_data(gray), 9, 20);
    cr_assert(lucid_image_write(gray, files_path("g.png")));
    EXPECT_SHAPE(lucid_image_read(files_path("g.png")), 1, 5, 4);
}

Test(image, png_of_any_memory_format)
{
    lucid_tensor *t = picture(3, 6, 5);
    uint8_t nhwc[6 * 5 * 3];
    for (int i = 0; i < 30; i++)
        for (int k = 0; k < 3; k++) nhwc[3 * i + k] = ((const uint8_t *)lucid_data(t))[30 * k + i];
    cr_assert(lucid_image_write(t, files_path("a.png")));
    png_image read = {.version = PNG_IMAGE_VERSION};
    cr_assert(png_image_begin_read_from_file(&read, files_path("a.png")));
    read.format = PNG_FORMAT_RGB;
    uint8_t pixels[6 * 5 * 3];
    cr_assert(png_image_finish_read(&read, NULL, pixels, 0, NULL));
    cr_expect(memcmp(pixels, nhwc, sizeof nhwc) == 0);
}

/* A PNG of one row (or three, interlaced) with any type and depth, as libpng writes it. */
typedef struct made {
    int width, height, depth, type, interlaced;
    const uint8_t *row; /* the same for every row */
    png_color palette[4];
    uint8_t alpha[2];
    int alphas;
} made;

static const char *write_made(const made *m)
{
    const char *path = files_path("made.png");
    FILE *f = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, (unsigned)m->width, (unsigned)m->height, m->depth, m->type,
                 m->interlaced, 0, 0);
    if (m->type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, m->palette, 4);
    if (m->alphas) png_set_tRNS(png, info, m->alpha, m->alphas, NULL);
    png_write_info(png, info);
    uint8_t *rows[64];
    for (int i = 0; i < m->height; i++) rows[i] = (uint8_t *)(uintptr_t)m->row;
    png_write_image(png, rows);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(f);
    return path;
}

Test(image, png_of_few_bits)
{
    const uint8_t bits[] = {0x1b};
    const char *path =
        write_made(&(made){.width = 4, .height = 1, .depth = 2, .type = 0, .row = bits});
    EXPECT_VALUES(lucid_image_read(path), 0, 0, {0, 85, 170, 255});
    path = write_made(&(made){.width = 8, .height = 1, .depth = 1, .type = 0, .row = bits});
    EXPECT_VALUES(lucid_image_read(path), 0, 0, {0, 0, 0, 255, 255, 0, 255, 255});
}

Test(image, png_of_a_palette)
{
    const uint8_t bits[] = {0x1b};
    made m = {.width = 4,
              .height = 1,
              .depth = 2,
              .type = PNG_COLOR_TYPE_PALETTE,
              .row = bits,
              .palette = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {250, 100, 0}}};
    EXPECT_VALUES(lucid_image_read(write_made(&m)), 0, 0, {1, 4, 7, 250, 2, 5, 8, 100, 3, 6, 9, 0});
    m.alpha[0] = 77, m.alphas = 1;
    lucid_tensor *t = lucid_image_read(write_made(&m));
    EXPECT_VALUES(t, 0, 0, {1, 4, 7, 250, 2, 5, 8, 100, 3, 6, 9, 0, 77, 255, 255, 255});
    t = lucid_image_read(write_made(&m), .mode = LUCID_IMAGE_RGB);
    EXPECT_VALUES(t, 0, 0, {1, 4, 7, 250, 2, 5, 8, 100, 3, 6, 9, 0});
    t = lucid_image_read(write_made(&m), .mode = LUCID_IMAGE_GRAY_ALPHA);
    EXPECT_VALUES(t, 0, 0, {2, 5, 8, 133, 77, 255, 255, 255});
}

Test(image, png_of_16_bits)
{
    const uint8_t row[] = {0, 0, 0x12, 0x34, 0xff, 0xff};
    made m = {.width = 3, .height = 1, .depth = 16, .type = 0, .row = row};
    EXPECT_VALUES(lucid_image_read(write_made(&m)), 0, 0, {0, 0x12, 255});
    lucid_tensor *t = lucid_image_read(write_made(&m), .wide = true);
    cr_expect_eq(lucid_tensor_dtype(t), LUCID_I32);
    EXPECT_VALUES(t, 0, 0, {0, 0x1234, 65535});
    m.width = 1, m.type = PNG_COLOR_TYPE_RGB;
    t = lucid_image_read(write_made(&m), .wide = true, .mode = LUCID_IMAGE_RGBA);
    EXPECT_VALUES(t, 0, 0, {0, 0x1234, 65535, 65535});
    t = lucid_image_read(write_made(&m), .wide = true, .mode = LUCID_IMAGE_GRAY);
    EXPECT_VALUES(t, 0, 0.5, {(38470.0 * 0x1234 + 7471.0 * 65535) / 65536});
    /* Eight bits stay eight. */
    m.depth = 8;
    cr_expect_eq(lucid_tensor_dtype(lucid_image_read(write_made(&m), .wide = true)), LUCID_U8);
}

Test(image, png_interlaced)
{
    const uint8_t row[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    made m = {.width = 3, .height = 5, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .row = row};
    lucid_tensor *plain = lucid_image_read(write_made(&m));
    m.interlaced = 1;
    cr_expect(lucid_equal(plain, lucid_image_read(write_made(&m))));
    EXPECT_SHAPE(plain, 3, 5, 3);
}

static double gray(double r, double g, double b)
{
    return floor((19595 * r + 38470 * g + 7471 * b + 32768) / 65536);
}

Test(image, modes)
{
    const uint8_t row[] = {200, 100, 50, 25};
    made m = {.width = 1, .height = 1, .depth = 8, .type = PNG_COLOR_TYPE_RGB_ALPHA, .row = row};
    const char *path = write_made(&m);
    EXPECT_VALUES(lucid_image_read(path), 0, 0, {200, 100, 50, 25});
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_RGB), 0, 0, {200, 100, 50});
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_GRAY), 0, 0, {gray(200, 100, 50)});
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_GRAY_ALPHA), 0, 0,
                  {gray(200, 100, 50), 25});
    m.type = PNG_COLOR_TYPE_GRAY_ALPHA;
    path = write_made(&m);
    EXPECT_VALUES(lucid_image_read(path), 0, 0, {200, 100});
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_RGBA), 0, 0, {200, 200, 200, 100});
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_RGB), 0, 0, {200, 200, 200});
    m.type = 0;
    path = write_made(&m);
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_RGBA), 0, 0, {200, 200, 200, 255});
    EXPECT_VALUES(lucid_image_read(path, .mode = LUCID_IMAGE_GRAY_ALPHA), 0, 0, {200, 255});
}

/* The test images that libpng's authors use; Debian has them in libsixel-examples. */
static const char png_suite[] = "/usr/share/doc/libsixel-examples/examples/images/pngsuite";

static int suite_right, suite_refused;

/* A file of the suite against libpng's own way of reading a whole file. Names that begin with x are
 * of files that are damaged. */
static int check_suite_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
    LUCID_SCOPE;
    const char *name = path + at->base;
    (void)st;
    if (type != FTW_F || !strstr(name, ".png")) return 0;
    lucid_tensor *t = lucid_image_read(path, .mode = LUCID_IMAGE_RGBA);
    if (name[0] == 'x') {
        cr_expect(!t && lucid_error_code() == LUCID_ERR_FORMAT, "%s: %s", path, lucid_error());
        cr_expect(strstr(lucid_error(), path));
        lucid_clear_error();
        suite_refused++;
        return 0;
    }
    cr_assert(t, "%s", lucid_error());
    suite_right++;
    FILE *f = fopen(path, "rb");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_filler(png, 255, PNG_FILLER_AFTER);
    png_read_png(png, info,
                 PNG_TRANSFORM_EXPAND | PNG_TRANSFORM_SCALE_16 | PNG_TRANSFORM_GRAY_TO_RGB, NULL);
    size_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    EXPECT_SHAPE(t, 4, (int64_t)height, (int64_t)width);
    png_bytepp rows = png_get_rows(png, info);
    const uint8_t *p = lucid_data(t);
    for (size_t y = 0; y < height; y++)
        for (size_t i = 0; i < 4 * width; i++)
            cr_assert(p[i % 4 * width * height + y * width + i / 4] == rows[y][i], "%s: %zu,%zu",
                      path, y, i / 4);
    png_destroy_read_struct(&png, &info, NULL);
    fclose(f);
    return 0;
}

Test(image, png_suite)
{
    const char *folder = getenv("LUCID_PNGSUITE") ? getenv("LUCID_PNGSUITE") : png_suite;
    if (access(folder, R_OK) != 0) cr_skip_test("no PngSuite in %s", folder);
    nftw(folder, check_suite_file, 16, FTW_PHYS);
    cr_expect(suite_right > 100 && suite_refused > 5, "%d, %d", suite_right, suite_refused);
}

/* ---- JPEG ------------------------------------------------------------------------------------ */

static void need_jpeg(void)
{
    if (!lucid_image_has_jpeg()) cr_skip_test("built without libjpeg");
}

Test(image, jpeg_there_and_back)
{
    need_jpeg();
    for (int c = 1; c <= 3; c += 2) {
        lucid_tensor *t = picture(c, 33, 50);
        cr_assert(lucid_image_write(t, files_path("a.JPG"), .quality = 100), "%s", lucid_error());
        lucid_tensor *r = lucid_image_read(files_path("a.JPG"));
        cr_assert(r, "%s", lucid_error());
        EXPECT_SHAPE(r, c, 33, 50);
        cr_expect_leq(largest_difference(t, r), 8);
        size_t large, small;
        free(files_read(files_path("a.JPG"), &large));
        cr_assert(lucid_image_write(t, files_path("a.jpeg"), .quality = 20));
        free(files_read(files_path("a.jpeg"), &small));
        cr_expect_lt(small, large);
    }
    cr_expect_eq(files_count(), 2);
}

Test(image, jpeg_modes)
{
    need_jpeg();
    cr_assert(lucid_image_write(picture(3, 20, 30), files_path("c.jpg"), .quality = 100));
    cr_assert(lucid_image_write(picture(1, 20, 30), files_path("g.jpg"), .quality = 100));
    EXPECT_SHAPE(lucid_image_read(files_path("c.jpg"), .mode = LUCID_IMAGE_GRAY), 1, 20, 30);
    lucid_tensor *t = lucid_image_read(files_path("c.jpg"), .mode = LUCID_IMAGE_RGBA);
    EXPECT_SHAPE(t, 4, 20, 30);
    cr_expect_eq(((const uint8_t *)lucid_data(t))[3 * 600 + 7], 255);
    EXPECT_SHAPE(lucid_image_read(files_path("c.jpg"), .mode = LUCID_IMAGE_GRAY_ALPHA), 2, 20, 30);
    t = lucid_image_read(files_path("g.jpg"), .mode = LUCID_IMAGE_RGB);
    EXPECT_SHAPE(t, 3, 20, 30);
    const uint8_t *p = lucid_data(t);
    cr_expect(memcmp(p, p + 600, 600) == 0 && memcmp(p, p + 1200, 600) == 0);
}

/* A file with an EXIF segment after its first two bytes. */
static const char *with_orientation(const char *path, int orientation, size_t *head)
{
    size_t size;
    char *old = files_read(path, &size), *data = malloc(size + 64);
    const unsigned char exif[] = {
        0xff, 0xe1, 0, 34, 'E', 'x', 'i',  'f', 0, 0, 'M', 'M', 0, '*', 0,
        0,    0,    8, 0,  1,   1,   0x12, 0,   3, 0, 0,   0,   1, 0,   (unsigned char)orientation,
        0,    0,    0, 0,  0,   0};
    *head = sizeof exif;
    memcpy(data, old, 2);
    memcpy(data + 2, exif, sizeof exif);
    memcpy(data + 2 + sizeof exif, old + 2, size - 2);
    const char *out = files_write("turned.jpg", data, size + sizeof exif);
    free(old);
    free(data);
    return out;
}

Test(image, orientation)
{
    need_jpeg();
    size_t head;
    cr_assert(lucid_image_write(picture(1, 3, 5), files_path("o.jpg"), .quality = 100));
    lucid_tensor *flat = lucid_image_read(files_path("o.jpg"));
    const uint8_t *f = lucid_data(flat);
    for (int o = 0; o <= 9; o++) {
        const char *path = with_orientation(files_path("o.jpg"), o, &head);
        lucid_tensor *t = lucid_image_read(path, .orient = true);
        cr_assert(t, "%s", lucid_error());
        bool swaps = o >= 5 && o <= 8;
        int h = swaps ? 5 : 3, w = swaps ? 3 : 5;
        EXPECT_SHAPE(t, 1, h, w);
        const uint8_t *p = lucid_data(t);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                /* Where the pixel is in the file, by the words of the standard. */
                int fy = y, fx = x;
                if (o == 2) fx = 4 - x;
                if (o == 3) fy = 2 - y, fx = 4 - x;
                if (o == 4) fy = 2 - y;
                if (o == 5) fy = x, fx = y;
                if (o == 6) fy = 2 - x, fx = y;
                if (o == 7) fy = 2 - x, fx = 4 - y;
                if (o == 8) fy = x, fx = 4 - y;
                cr_expect_eq(p[y * w + x], f[fy * 5 + fx], "orientation %d at %d,%d", o, y, x);
            }
        cr_expect(lucid_equal(lucid_image_read(path), flat));
    }
}

Test(image, jpeg_cut_off_anywhere)
{
    need_jpeg();
    size_t size;
    cr_assert(lucid_image_write(picture(3, 24, 40), files_path("a.jpg")));
    char *data = files_read(files_path("a.jpg"), &size);
    for (size_t n = 0; n < size; n++) {
        const char *path = files_write("cut.jpg", data, n);
        EXPECT_ERROR(lucid_image_read(path), LUCID_ERR_FORMAT, "cut.jpg: ");
    }
    free(data);
}

Test(image, png_cut_off_anywhere)
{
    size_t size;
    cr_assert(lucid_image_write(picture(3, 24, 40), files_path("a.png")));
    char *data = files_read(files_path("a.png"), &size);
    for (size_t n = 0; n < size; n++) {
        const char *path = files_write("cut.png", data, n);
        EXPECT_ERROR(lucid_image_read(path), LUCID_ERR_FORMAT, "cut.png: ");
        EXPECT_ERROR(lucid_image_decode(data, n), LUCID_ERR_FORMAT, "image_decode: image: ");
    }
    cr_expect(lucid_image_decode(data, size));
    free(data);
}

/* Any byte may be wrong: an error, or a picture of the same sizes or others; no crash. */
Test(image, damaged_bytes)
{
    for (int kind = 0; kind < 2; kind++) {
        if (kind && !lucid_image_has_jpeg()) continue;
        const char *path = files_path(kind ? "d.jpg" : "d.png");
        size_t size;
        cr_assert(lucid_image_write(picture(3, 16, 20), path));
        char *data = files_read(path, &size);
        lucid_generator g = {.seed = 5};
        for (int i = 0; i < 3000; i++) {
            LUCID_SCOPE;
            size_t at = lucid_random_below(&g, size);
            char old = data[at];
            data[at] = (char)lucid_random_u64(&g);
            lucid_tensor *t = lucid_image_decode(data, size, .max_pixels = 1 << 20);
            cr_expect_eq(t == NULL, lucid_error_code() != LUCID_OK);
            lucid_clear_error();
            data[at] = old;
        }
        free(data);
    }
}

Test(image, every_kind_from_torchvision)
{
    need_jpeg();
    vectors *v = vectors_open("images");
    for (const vectors_case *c; (c = vectors_next(v));) {
        LUCID_SCOPE;
        char name[128];
        snprintf(name, sizeof name, "%s/bytes", vectors_name(c));
        lucid_tensor *bytes = vectors_tensor(v, name);
        snprintf(name, sizeof name, "%s/out", vectors_name(c));
        lucid_tensor *out = vectors_tensor(v, name);
        lucid_tensor *t = lucid_image_decode(lucid_data(bytes), (size_t)lucid_numel(bytes),
                                             .mode = (lucid_image_mode)vectors_int(c, "mode", 0),
                                             .orient = vectors_bool(c, "orient", false));
        cr_assert(t, "%s: %s", vectors_name(c), lucid_error());
        lucid_shape a = lucid_tensor_shape(t), b = lucid_tensor_shape(out);
        cr_assert(lucid_shape_equal(&a, &b), "%s", vectors_name(c));
        cr_expect_leq(largest_difference(t, out), vectors_double(c, "within", 0), "%s",
                      vectors_name(c));
    }
    vectors_close(v);
}

/* Each scan of a progressive file goes through the whole picture: a file may have any number of
 * them, and a few kilobytes could keep a program busy for hours. */
Test(image, jpeg_of_too_many_scans)
{
    need_jpeg();
    vectors *v = vectors_open("images");
    lucid_tensor *t = vectors_tensor(v, "progressive_rgb/bytes");
    const uint8_t *bytes = lucid_data(t);
    const size_t size = (size_t)lucid_numel(t);
    /* The first scan: from its mark to the next one within the file. */
    size_t scan = 0, end = 0;
    for (size_t i = 2; i + 1 < size && !end; i++) {
        if (bytes[i] != 0xff || !bytes[i + 1]) continue;
        if (scan) end = i;
        if (!scan && bytes[i + 1] == 0xda) scan = i;
    }
    const size_t length = end - scan;
    for (int copies = 1; copies <= 600; copies += 599) {
        uint8_t *more = malloc(size + (size_t)copies * length), *at = more + scan;
        memcpy(more, bytes, scan);
        for (int i = 0; i < copies; i++, at += length) memcpy(at, bytes + scan, length);
        memcpy(at, bytes + end, size - end);
        at += size - end;
        if (copies == 1)
            cr_expect(lucid_image_decode(more, size), "%s", lucid_error());
        else
            EXPECT_ERROR(lucid_image_decode(more, (size_t)(at - more)), LUCID_ERR_FORMAT,
                         "has more than 500 scans");
        free(more);
    }
    vectors_close(v);
}

/* ---- errors ---------------------------------------------------------------------------------- */

Test(image, files_that_are_no_images)
{
    EXPECT_ERROR(lucid_image_read(NULL), LUCID_ERR_ARGUMENT, "image_read: path");
    EXPECT_ERROR(lucid_image_read(files_path("none")), LUCID_ERR_IO, "none: cannot open");
    EXPECT_ERROR(lucid_image_read(files_folder), LUCID_ERR_IO, "not a regular file");
    cr_assert(mkfifo(files_path("fifo"), 0600) == 0);
    EXPECT_ERROR(lucid_image_read(files_path("fifo")), LUCID_ERR_IO, "not a regular file");
    EXPECT_ERROR(lucid_image_read(files_write("e", "", 0)), LUCID_ERR_FORMAT, "neither PNG nor");
    EXPECT_ERROR(lucid_image_read(files_write("t", "GIF89a..", 8)), LUCID_ERR_FORMAT,
                 "t: is neither PNG nor JPEG");
    EXPECT_ERROR(lucid_image_read(files_write_gz("z", "GIF89a..", 8)), LUCID_ERR_FORMAT,
                 "z: is neither PNG nor JPEG");
    /* A file that begins otherwise is not read: this one would need a terabyte. */
    cr_assert(truncate(files_write("h", "BM", 2), (off_t)1 << 40) == 0);
    EXPECT_ERROR(lucid_image_read(files_path("h")), LUCID_ERR_FORMAT, "h: is neither PNG nor JPEG");
    EXPECT_ERROR(lucid_image_decode(NULL, 5), LUCID_ERR_ARGUMENT, "bytes: expected 5 bytes");
    EXPECT_ERROR(lucid_image_decode(NULL, 0), LUCID_ERR_FORMAT, "neither");
    EXPECT_ERROR(lucid_image_decode("", 0, .mode = (lucid_image_mode)9), LUCID_ERR_ARGUMENT,
                 "mode: expected a lucid_image_mode, got 9");
    EXPECT_ERROR(lucid_image_decode("", 0, .max_pixels = 0), LUCID_ERR_ARGUMENT, "max_pixels");
}

Test(image, too_many_pixels)
{
    cr_assert(lucid_image_write(picture(1, 10, 10), files_path("a.png")));
    cr_expect(lucid_image_read(files_path("a.png"), .max_pixels = 100));
    EXPECT_ERROR(lucid_image_read(files_path("a.png"), .max_pixels = 99), LUCID_ERR_FORMAT,
                 "a.png: expected 1 to 99 pixels (.max_pixels), got a picture of 10 x 10");
    /* 65,535 pixels each way in 33 bytes: refused before memory is taken. */
    const unsigned char head[] = {0x89, 'P', 'N', 'G', 13,  10, 26, 10,   0, 0, 0,
                                  13,   'I', 'H', 'D', 'R', 0,  0,  0x40, 0, 0, 0,
                                  0x20, 0,   8,   2,   0,   0,  0,  0,    0, 0, 0};
    EXPECT_ERROR(lucid_image_decode(head, sizeof head), LUCID_ERR_FORMAT, "image: ");
    if (!lucid_image_has_jpeg()) return;
    cr_assert(lucid_image_write(picture(1, 10, 10), files_path("a.jpg")));
    EXPECT_ERROR(lucid_image_read(files_path("a.jpg"), .max_pixels = 99), LUCID_ERR_FORMAT,
                 "a.jpg: expected 1 to 99 pixels (.max_pixels), got a picture of 10 x 10");
}

Test(image, what_cannot_be_written)
{
    lucid_tensor *t = picture(3, 4, 4);
    EXPECT_ERROR(lucid_image_write(NULL, files_path("a.png")), LUCID_ERR_ARGUMENT, "image: got");
    EXPECT_ERROR(lucid_image_write(t, NULL), LUCID_ERR_ARGUMENT, "path: expected a file name");
    EXPECT_ERROR(lucid_image_write(t, "x.gif"), LUCID_ERR_ARGUMENT,
                 "ends with .png, .jpg or .jpeg");
    EXPECT_ERROR(lucid_image_write(t, ".png"), LUCID_ERR_ARGUMENT, "ends with .png");
    EXPECT_ERROR(lucid_image_write(t, files_path("no/a.png")), LUCID_ERR_IO, "No such file");
    EXPECT_ERROR(lucid_image_write(t, files_path("a.jpg"), .quality = 0), LUCID_ERR_ARGUMENT,
                 "quality: expected 1 to 100, got 0");
    EXPECT_ERROR(lucid_image_write(lucid_zeros((3, 4, 4)), files_path("a.png")), LUCID_ERR_ARGUMENT,
                 "image: expected uint8 [C,H,W] or [H,W], got float32 [3,4,4]");
    EXPECT_ERROR(lucid_image_write(picture(5, 2, 2), files_path("a.png")), LUCID_ERR_ARGUMENT,
                 "expected 1 to 4 channels, got [5,2,2]");
    EXPECT_ERROR(lucid_image_write(picture(4, 2, 2), files_path("a.jpg")), LUCID_ERR_ARGUMENT,
                 "a JPEG has no alpha");
    EXPECT_ERROR(lucid_image_write(picture(3, 0, 2), files_path("a.png")), LUCID_ERR_ARGUMENT,
                 "expected 1 to 1000000 pixels each way, got [3,0,2]");
    cr_expect_eq(files_count(), 0);
}

static void allocations_fail(const char *path, bool write)
{
    lucid_tensor *t = picture(3, 40, 30);
    bool done = false;
    for (long n = 1; n < 2000 && !done; n++) {
        LUCID_SCOPE;
        fail_malloc_begin(n);
        bool ok = write ? lucid_image_write(t, path) : lucid_image_read(path) != NULL;
        done = !fail_malloc_end();
        /* A pool or the C library may do without. */
        cr_assert_eq(ok, lucid_error_code() == LUCID_OK, "%ld: %s", n, lucid_error());
        cr_assert(ok || lucid_error_code() == LUCID_ERR_MEMORY, "%ld: %s", n, lucid_error());
        lucid_clear_error();
        if (!write || done) continue;
        if (ok) unlink(path); /* it can do without what failed */
        cr_assert_eq(files_count(), 0);
    }
    cr_expect(done);
}

Test(image, every_allocation_may_fail)
{
    if (!FAIL_MALLOC_WORKS) cr_skip_test("no second malloc here");
    allocations_fail(files_path("a.png"), true);
    allocations_fail(files_path("a.png"), false);
    unlink(files_path("a.png"));
    if (!lucid_image_has_jpeg()) return;
    allocations_fail(files_path("a.jpg"), true);
    allocations_fail(files_path("a.jpg"), false);
}

Test(image, lucid_allocations_fail)
{
    cr_assert(lucid_image_write(picture(3, 9, 9), files_path("a.png")));
    for (uint64_t n = 1;; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        lucid_tensor *t = lucid_image_read(files_path("a.png"));
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_assert_eq(t == NULL, reached);
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK);
        lucid_clear_error();
        if (!reached) break;
    }
    cr_expect_eq(lucid_live().other, 0);
}

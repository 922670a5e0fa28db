/* Event files: what a reader of its own finds in them. */
#include "tests/lucid/io/files.h"

#include "lucid/core/memory.h"
#include "lucid/core/scope.h"
#include "lucid/io/image.h"
#include "lucid/io/tensorboard.h"

#include <math.h>

TestSuite(tensorboard, .init = files_begin, .fini = files_end);

/* ---- a reader -------------------------------------------------------------------------------- */

/* CRC-32C by a table. */
static uint32_t crc_of(const unsigned char *p, size_t n)
{
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) crc = table[(crc ^ p[i]) & 255] ^ (crc >> 8);
    return crc ^ 0xffffffffu;
}

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static uint32_t masked(const unsigned char *p, size_t n)
{
    const uint32_t crc = crc_of(p, n);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

typedef struct bytes {
    const unsigned char *p;
    size_t n;
} bytes;

static uint64_t varint(bytes *b)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        cr_assert(b->n > 0 && shift < 64);
        const unsigned char c = *b->p;
        b->p++, b->n--;
        v |= (uint64_t)(c & 127) << shift;
        if (c < 128) return v;
    }
}

/* The field of this number: its bytes, or its number in *value. False where there is none. */
static bool field(bytes b, unsigned number, bytes *inner, uint64_t *value)
{
    while (b.n) {
        const uint64_t key = varint(&b);
        const unsigned wire = key & 7;
        bytes here = b;
        uint64_t v = 0;
        if (wire == 0)
            v = varint(&b);
        else {
            const size_t n = wire == 1 ? 8 : wire == 5 ? 4 : varint(&b);
            cr_assert(wire == 1 || wire == 2 || wire == 5);
            cr_assert_leq(n, b.n);
            here = (bytes){b.p, n};
            if (wire != 2) v = little(b.p, (int)n);
            b.p += n, b.n -= n;
        }
        if (key >> 3 != number) continue;
        if (inner) *inner = here;
        if (value) *value = v;
        return true;
    }
    return false;
}

static double as_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* Reads record `number` of a file (0 is the version's) and checks it: the Event. */
static bytes record(const char *path, int number, bool last)
{
    static unsigned char data[1 << 20];
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    const size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    size_t at = 0;
    for (int i = 0;; i++) {
        cr_assert_leq(at + 16, n);
        const size_t length = little(data + at, 8);
        cr_assert_leq(at + 16 + length, n);
        cr_assert_eq(little(data + at + 8, 4), masked(data + at, 8));
        cr_assert_eq(little(data + at + 12 + length, 4), masked(data + at + 12, length));
        bytes event = {data + at + 12, length};
        at += 16 + length;
        if (i < number) continue;
        cr_expect(!last || at == n, "there is more than expected");
        return event;
    }
}

/* The Value of a record, after checks of tag and step. */
static bytes value_of(const char *path, int number, const char *tag, int64_t step)
{
    bytes event = record(path, number, true), summary, value, name;
    uint64_t time = 0, at = 0;
    cr_assert(field(event, 1, NULL, &time));
    cr_expect(as_double(time) > 1.6e9);
    cr_expect_eq(field(event, 2, NULL, &at), step != 0);
    cr_expect_eq((int64_t)at, step);
    cr_assert(field(event, 5, &summary, NULL));
    cr_assert(field(summary, 1, &value, NULL));
    cr_assert(field(value, 1, &name, NULL));
    cr_expect(name.n == strlen(tag) && !memcmp(name.p, tag, name.n));
    return value;
}

/* ---- tests ----------------------------------------------------------------------------------- */

Test(tensorboard, the_checksum_of_the_reader_is_crc32c)
{
    cr_expect_eq(crc_of((const unsigned char *)"123456789", 9), 0xe3069283u);
}

Test(tensorboard, scalars)
{
    lucid_tensorboard *b = lucid_tensorboard_open(files_folder);
    cr_assert(b, "%s", lucid_error());
    const char *path = lucid_tensorboard_path(b);
    cr_expect(strstr(path, "/events.out.tfevents."));
    bytes version;
    cr_assert(field(record(path, 0, true), 3, &version, NULL));
    cr_expect(version.n == 13 && !memcmp(version.p, "brain.Event:2", 13));
    const double values[] = {0.5, -3e38, 1e-40, INFINITY, NAN};
    const int64_t steps[] = {0, 1, 300, INT64_MAX, -1};
    for (int i = 0; i < 5; i++) {
        cr_assert(lucid_tensorboard_scalar(b, "loss/train", values[i], steps[i]));
        bytes v = value_of(path, i + 1, "loss/train", steps[i]);
        uint64_t bits;
        cr_assert(field(v, 2, NULL, &bits));
        const uint32_t word = (uint32_t)bits;
        float got;
        memcpy(&got, &word, sizeof got);
        cr_expect(got == (float)values[i] || (isnan(got) && isnan(values[i])), "%g", (double)got);
    }
    lucid_tensorboard *other = lucid_tensorboard_open(files_folder); /* another file */
    cr_assert(other);
    cr_expect(strcmp(path, lucid_tensorboard_path(other)));
    lucid_tensorboard_close(other);
    lucid_tensorboard_close(b);
}

Test(tensorboard, histograms)
{
    LUCID_SCOPE;
    lucid_tensorboard *b = lucid_tensorboard_open(files_folder);
    const double numbers[] = {-2, -1e-20, 0, 1, 1.05, 1.2, 1e30};
    lucid_tensor *x = lucid_from_data((7), numbers);
    cr_assert(lucid_tensorboard_histogram(b, "w", x, 7), "%s", lucid_error());
    bytes h, limits, counts, v = value_of(lucid_tensorboard_path(b), 1, "w", 7);
    cr_assert(field(v, 5, &h, NULL));
    const double want[] = {-2, 1e30, 7, 1e30 - 0.75, 1e60};
    for (unsigned i = 0; i < 5; i++) {
        uint64_t bits;
        cr_assert(field(h, i + 1, NULL, &bits));
        cr_expect(fabs(as_double(bits) - want[i]) <= 1e-9 * fabs(want[i]), "field %u", i + 1);
    }
    cr_assert(field(h, 6, &limits, NULL) && field(h, 7, &counts, NULL));
    cr_assert_eq(limits.n, counts.n);
    double sum = 0, below = 0, before = -HUGE_VAL;
    for (size_t i = 0; i < limits.n; i += 8) {
        const double limit = as_double(little(limits.p + i, 8));
        const double count = as_double(little(counts.p + i, 8));
        cr_expect(limit > before);
        if (count > 0 && limit < 1.3) /* each lies between two limits */
            for (int k = 0; k < 6; k++) {
                const double value = lucid_at(x, LUCID_SHAPE(k));
                below += value >= before && value < limit;
            }
        sum += count, before = limit;
    }
    cr_expect_eq(sum, 7);
    cr_expect_eq(below, 6);
    lucid_tensor *one = lucid_zeros((2, 3));
    cr_expect(lucid_tensorboard_histogram(b, "zeros", one, 8));
    EXPECT_ERROR(lucid_tensorboard_histogram(b, "e", lucid_zeros((0, 3)), 0), LUCID_ERR_ARGUMENT,
                 "values: there is none");
    EXPECT_ERROR(lucid_tensorboard_histogram(b, "n", lucid_values((2), 1, NAN), 0),
                 LUCID_ERR_ARGUMENT, "values: value 1 is not finite");
    lucid_tensorboard_close(b);
}

Test(tensorboard, images)
{
    LUCID_SCOPE;
    lucid_tensorboard *b = lucid_tensorboard_open(files_folder);
    for (int channels = 1; channels <= 4; channels++) {
        lucid_tensor *x = lucid_rand((channels, 5, 7));
        cr_assert(lucid_tensorboard_image(b, "x", x, channels), "%s", lucid_error());
        bytes image, file, v = value_of(lucid_tensorboard_path(b), channels, "x", channels);
        cr_assert(field(v, 4, &image, NULL) && field(image, 4, &file, NULL));
        uint64_t h, w, c;
        cr_assert(field(image, 1, NULL, &h) && field(image, 2, NULL, &w) &&
                  field(image, 3, NULL, &c));
        cr_expect(h == 5 && w == 7 && c == (uint64_t)channels);
        lucid_tensor *y = lucid_image_decode(file.p, file.n);
        cr_assert(y && lucid_size(y, 0) == channels, "%s", lucid_error());
        for (int64_t i = 0; i < channels * 35; i++) {
            const lucid_shape at = LUCID_SHAPE(i / 35, i / 7 % 5, i % 7);
            cr_expect_eq(lucid_at(y, at), floor(255 * lucid_at(x, at)));
        }
    }
    lucid_tensor *u8 = lucid_full((2, 2), 200, .dtype = LUCID_U8);
    cr_expect(lucid_tensorboard_image(b, "bytes", u8, 0));
    cr_expect(lucid_tensorboard_image(b, "odd", lucid_values((1, 3), -1, NAN, 7), 0));
    EXPECT_ERROR(lucid_tensorboard_image(b, "x", lucid_zeros((5, 2, 2)), 0), LUCID_ERR_ARGUMENT,
                 "expected [C,H,W] or [H,W]");
    EXPECT_ERROR(lucid_tensorboard_image(b, "x", lucid_zeros((2, 2), .dtype = LUCID_I64), 0),
                 LUCID_ERR_ARGUMENT, "expected uint8 or a floating dtype, got int64");
    lucid_tensorboard_close(b);
}

Test(tensorboard, texts)
{
    lucid_tensorboard *b = lucid_tensorboard_open(files_folder);
    const char *text = "# a title\n\n*lr* = 0.1";
    cr_assert(lucid_tensorboard_text(b, "notes", text, 3));
    bytes tensor, got, metadata, plugin, v = value_of(lucid_tensorboard_path(b), 1, "notes", 3);
    cr_assert(field(v, 8, &tensor, NULL) && field(tensor, 8, &got, NULL));
    cr_expect(got.n == strlen(text) && !memcmp(got.p, text, got.n));
    cr_assert(field(v, 9, &metadata, NULL) && field(metadata, 1, &plugin, NULL));
    cr_assert(field(plugin, 1, &got, NULL));
    cr_expect(got.n == 4 && !memcmp(got.p, "text", 4));
    lucid_tensorboard_close(b);
}

Test(tensorboard, mistakes)
{
    lucid_tensorboard_close(NULL);
    cr_expect_null(lucid_tensorboard_path(NULL));
    cr_expect_not(lucid_tensorboard_scalar(NULL, "x", 1, 0));
    EXPECT_ERROR(lucid_tensorboard_open(NULL), LUCID_ERR_ARGUMENT, "folder: expected a path");
    EXPECT_ERROR(lucid_tensorboard_open("/dev/null/x"), LUCID_ERR_IO, "the folder cannot be made");
    lucid_tensorboard *b = lucid_tensorboard_open(files_folder);
    EXPECT_ERROR(lucid_tensorboard_scalar(b, "", 1, 0), LUCID_ERR_ARGUMENT, "tag: expected a text");
    EXPECT_ERROR(lucid_tensorboard_scalar(b, NULL, 1, 0), LUCID_ERR_ARGUMENT, "got NULL");
    EXPECT_ERROR(lucid_tensorboard_text(b, "x", NULL, 0), LUCID_ERR_ARGUMENT, "text: got NULL");
    EXPECT_ERROR(lucid_tensorboard_image(b, "x", NULL, 0), LUCID_ERR_ARGUMENT, "image: got NULL");
    EXPECT_ERROR(lucid_tensorboard_histogram(b, "x", NULL, 0), LUCID_ERR_ARGUMENT,
                 "values: got NULL");
    cr_expect(lucid_tensorboard_scalar(b, "x", 1, 0));
    lucid_tensorboard_close(b);
}

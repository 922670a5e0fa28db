/* idx files: what is right is read, and everything else is refused by name. */
#include "tests/lucid/io/files.h"
#include "lucid/io/idx.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"

#include <sys/stat.h>

TestSuite(idx, .init = files_begin, .fini = files_end);

/* A 2 x 3 file of bytes. */
static const unsigned char small[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 253, 254, 255};

static void expect_small(lucid_tensor *t)
{
    EXPECT_SHAPE(t, 2, 3);
    cr_expect(lucid_tensor_dtype(t) == LUCID_U8);
    EXPECT_VALUES(t, 0, 0, {1, 2, 3, 253, 254, 255});
}

Test(idx, plain_and_compressed)
{
    expect_small(lucid_idx_read(files_write("plain", small, sizeof small)));
    /* What counts is the content, not the name. */
    expect_small(lucid_idx_read(files_write("plain.gz", small, sizeof small)));
    expect_small(lucid_idx_read(files_write_gz("packed.gz", small, sizeof small)));
    expect_small(lucid_idx_read(files_write_gz("packed", small, sizeof small)));
}

Test(idx, gzip_members_follow_one_another)
{
    size_t a, b;
    char *first = files_read(files_write_gz("a", small, 7), &a);
    char *second = files_read(files_write_gz("b", small + 7, sizeof small - 7), &b);
    first = realloc(first, a + b);
    memcpy(first + a, second, b);
    expect_small(lucid_idx_read(files_write("both", first, a + b)));
    free(first);
    free(second);
}

Test(idx, element_types)
{
    const unsigned char i8[] = {0, 0, 9, 1, 0, 0, 0, 3, 0x80, 0xff, 0x7f};
    const unsigned char i16[] = {0, 0, 11, 1, 0, 0, 0, 2, 0x80, 0, 0x12, 0x34};
    const unsigned char i32[] = {0, 0, 12, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xfe, 0x12, 0x34, 0, 1};
    const unsigned char f32[] = {0, 0, 13, 1, 0, 0, 0, 2, 0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0};
    const unsigned char f64[] = {0, 0, 14, 1, 0, 0, 0, 1, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    lucid_tensor *t = lucid_idx_read(files_write("i8", i8, sizeof i8));
    EXPECT_VALUES(t, 0, 0, {-128, -1, 127});
    cr_expect(lucid_tensor_dtype(t) == LUCID_I32);
    t = lucid_idx_read(files_write("i16", i16, sizeof i16));
    EXPECT_VALUES(t, 0, 0, {-32768, 0x1234});
    t = lucid_idx_read(files_write("i32", i32, sizeof i32));
    EXPECT_VALUES(t, 0, 0, {-2, 0x12340001});
    t = lucid_idx_read(files_write("f32", f32, sizeof f32));
    EXPECT_VALUES(t, 0, 0, {1.5, -2});
    cr_expect(lucid_tensor_dtype(t) == LUCID_F32);
    t = lucid_idx_read(files_write("f64", f64, sizeof f64));
    EXPECT_VALUES(t, 0, 0, {1.5});
    cr_expect(lucid_tensor_dtype(t) == LUCID_F64);
}

Test(idx, more_than_one_chunk_of_wide_elements)
{
    enum { N = 10000 };
    unsigned char *data = calloc(1, 8 + 2 * N);
    const unsigned char head[] = {0, 0, 11, 1, 0, 0, N >> 8, N & 255};
    memcpy(data, head, 8);
    for (int i = 0; i < N; i++)
        data[8 + 2 * i] = (unsigned char)(i >> 8), data[9 + 2 * i] = i & 255;
    lucid_tensor *t = lucid_idx_read(files_write("wide", data, 8 + 2 * N));
    cr_assert(t, "%s", lucid_error());
    const int32_t *p = lucid_data(t);
    for (int i = 0; i < N; i++) cr_assert_eq(p[i], i);
    free(data);
}

Test(idx, no_elements)
{
    const unsigned char none[] = {0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 3};
    EXPECT_SHAPE(lucid_idx_read(files_write("none", none, sizeof none)), 0, 3);
}

Test(idx, files_that_cannot_be_read)
{
    EXPECT_ERROR(lucid_idx_read(NULL), LUCID_ERR_ARGUMENT, "idx_read: path");
    EXPECT_ERROR(lucid_idx_read(files_path("absent")), LUCID_ERR_IO, "absent: cannot open");
    EXPECT_ERROR(lucid_idx_read(files_folder), LUCID_ERR_IO, "not a regular file");
    cr_assert(mkfifo(files_path("fifo"), 0600) == 0);
    EXPECT_ERROR(lucid_idx_read(files_path("fifo")), LUCID_ERR_IO, "not a regular file");
}

#define REFUSED(text, ...)                                                                        \
    do {                                                                                          \
        const unsigned char bytes_[] = {__VA_ARGS__};                                             \
        EXPECT_ERROR(lucid_idx_read(files_write("bad", bytes_, sizeof bytes_)), LUCID_ERR_FORMAT, \
                     text);                                                                       \
        EXPECT_ERROR(lucid_idx_read(files_write_gz("bad.gz", bytes_, sizeof bytes_)),             \
                     LUCID_ERR_FORMAT, text);                                                     \
    } while (0)

Test(idx, hostile_headers)
{
    REFUSED("ends inside the header", 0);
    REFUSED("ends inside the header", 0, 0, 8);
    REFUSED("ends inside the header", 0, 0, 8, 2, 0, 0, 0, 1);
    REFUSED("not an idx file", 0, 1, 8, 1, 0, 0, 0, 0);
    REFUSED("got 50 4b 03", 'P', 'K', 3, 4, 0, 0, 0, 0);
    REFUSED("not an idx file", 0, 0, 0x0a, 1, 0, 0, 0, 0);
    REFUSED("not an idx file", 0, 0, 0x0f, 1, 0, 0, 0, 0);
    REFUSED("expected 1 to 8 dimensions, got 0", 0, 0, 8, 0);
    REFUSED("expected 1 to 8 dimensions, got 9", 0, 0, 8, 9);
    REFUSED("promises [4294967295] elements", 0, 0, 8, 1, 255, 255, 255, 255);
    /* 2^32 * 2^32 wraps to 0, 2^31 * 2^31 * 4 to 0 as well: neither may pass as "no elements". */
    REFUSED("more than the file can hold", 0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255,
            255, 255, 255);
    REFUSED("more than the file can hold", 0, 0, 14, 2, 0x80, 0, 0, 0, 0x80, 0, 0, 0);
    REFUSED("more than the file can hold", 0, 0, 13, 2, 0x80, 0, 0, 0, 0x80, 0, 0, 0);
}

Test(idx, hostile_lengths)
{
    REFUSED("goes on after the last of [2]", 0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3);
    REFUSED("goes on after the last of [0]", 0, 0, 8, 1, 0, 0, 0, 0, 1);
    const unsigned char cut[] = {0, 0, 8, 1, 0, 0, 0, 10, 1, 2, 3};
    EXPECT_ERROR(lucid_idx_read(files_write_gz("cut", cut, sizeof cut)), LUCID_ERR_FORMAT,
                 "is cut off: expected 10 bytes for [10] elements, got 3");
    const unsigned char half[] = {0, 0, 12, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6};
    EXPECT_ERROR(lucid_idx_read(files_write_gz("half", half, sizeof half)), LUCID_ERR_FORMAT,
                 "expected 8 bytes for [2] elements, got 6");
    EXPECT_ERROR(lucid_idx_read(files_write("empty", "", 0)), LUCID_ERR_FORMAT,
                 "inside the header");
}

Test(idx, damaged_compression)
{
    size_t size;
    char *good = files_read(files_write_gz("good", small, sizeof small), &size);
    for (size_t n = 2; n < size; n++)
        EXPECT_ERROR(lucid_idx_read(files_write("cut", good, n)), LUCID_ERR_FORMAT, "cut: ");
    EXPECT_ERROR(lucid_idx_read(files_write("cut", good, size - 4)), LUCID_ERR_FORMAT,
                 "ends early");
    good[size] = 'x'; /* files_read left room */
    EXPECT_ERROR(lucid_idx_read(files_write("more", good, size + 1)), LUCID_ERR_FORMAT, "more: ");
    good[size - 6] ^= 1; /* the CRC */
    EXPECT_ERROR(lucid_idx_read(files_write("crc", good, size)), LUCID_ERR_FORMAT, "damaged");
    free(good);
}

/* Any bytes give an error or a tensor, and no memory is left over. */
Test(idx, every_changed_byte)
{
    size_t size;
    char *good = files_read(files_write_gz("good", small, sizeof small), &size);
    lucid_generator g = {.seed = 1};
    for (int round = 0; round < 2000; round++) {
        LUCID_SCOPE;
        bool gz = round % 2;
        char bytes[128];
        size_t n = gz ? size : sizeof small;
        cr_assert(n <= sizeof bytes);
        memcpy(bytes, gz ? good : (const char *)small, n);
        for (int k = 0; k < 1 + round % 3; k++)
            bytes[lucid_random_below(&g, n)] = (char)lucid_random_u64(&g);
        lucid_tensor *t = lucid_idx_read(files_write("changed", bytes, n));
        cr_assert(!t == (lucid_error_code() != LUCID_OK));
        lucid_clear_error();
    }
    cr_expect_eq(lucid_live().tensors, 0);
    free(good);
}

Test(idx, every_allocation_may_fail)
{
    const char *path = files_write_gz("packed", small, sizeof small);
    for (uint64_t n = 1; n < 100; n++) {
        lucid_memory_fail_nth(n);
        lucid_tensor *t = lucid_idx_read(path);
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_assert(!t == reached, "allocation %d", (int)n);
        cr_assert(lucid_error_code() == (reached ? LUCID_ERR_MEMORY : LUCID_OK), "%s",
                  lucid_error());
        lucid_clear_error();
        if (!reached) return;
        cr_assert_eq(lucid_live().tensors, 0);
    }
    cr_assert_fail("never succeeded");
}

/* gzip files that were padded with zeros, as tapes and some archives do, are whole. */
Test(idx, zeros_after_a_gzip_member)
{
    const unsigned char bytes[] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3};
    static const struct {
        size_t zeros;
        int members; /* that the content is cut into */
        const char *more, *error;
    } cases[] = {{1, 1, "", NULL},
                 {512, 1, "", NULL},
                 {200000, 1, "", NULL},
                 {300, 2, "", NULL},
                 {200000, 2, "", NULL},
                 {0, 2, "", NULL},
                 {0, 1, "x", "else follows"},
                 {70000, 1, "x", "else follows"},
                 {3, 1, "\x1f", "cut off"},
                 {3, 1, "\x1f\x8c", "damaged"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        LUCID_SCOPE;
        char *content = calloc(1, 500000);
        size_t at = 0, cut = cases[i].members == 2 ? 5 : sizeof bytes;
        for (int m = 0; m < cases[i].members; m++) {
            size_t size, begin = m ? cut : 0, n = m ? sizeof bytes - cut : cut;
            char *part = files_read(files_write_gz("part", bytes + begin, n), &size);
            memcpy(content + at, part, size);
            at += size + cases[i].zeros;
            free(part);
        }
        memcpy(content + at, cases[i].more, strlen(cases[i].more));
        const char *path = files_write("z", content, at + strlen(cases[i].more));
        if (cases[i].error) {
            EXPECT_ERROR(lucid_idx_read(path), LUCID_ERR_FORMAT, cases[i].error);
        } else {
            lucid_tensor *t = lucid_idx_read(path);
            cr_assert(t, "%zu zeros, %d members: %s", cases[i].zeros, cases[i].members,
                      lucid_error());
            EXPECT_VALUES(t, 0, 0, {1, 2, 3});
        }
        free(content);
    }
}

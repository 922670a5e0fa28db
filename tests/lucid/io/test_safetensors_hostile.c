/* safetensors: every rule of the format, broken in turn. */
#include "tests/lucid/io/files.h"

#include "lucid/io/safetensors.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"

TestSuite(safetensors_hostile, .init = files_begin, .fini = files_end);

/* Writes a file with this header and this number of bytes of data (1, 1, ...). */
static const char *make(const char *header, size_t data)
{
    uint64_t length = strlen(header);
    char *bytes = malloc(8 + length + data);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 1, data);
    const char *path = files_write("h", bytes, 8 + length + data);
    free(bytes);
    return path;
}

/* One tensor "a" with these members. */
static const char *one(const char *members, size_t data)
{
    char header[512];
    snprintf(header, sizeof header, "{\"a\":{%s}}", members);
    return make(header, data);
}

static void expect_opens(const char *path, int64_t count)
{
    lucid_safetensors *file = lucid_safetensors_open(path);
    cr_assert(file, "%s", lucid_error());
    cr_expect_eq(lucid_safetensors_count(file), count);
    lucid_safetensors_close(file);
}

#define REFUSED(path, text) EXPECT_ERROR(lucid_safetensors_open(path), LUCID_ERR_FORMAT, text)
#define F32(shape, begin, end) \
    "\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]"

Test(safetensors_hostile, right_files)
{
    expect_opens(make("{}", 0), 0);
    expect_opens(make("{}   ", 0), 0);
    expect_opens(make("{\"__metadata__\":{}}", 0), 0);
    expect_opens(one(F32("[2]", "0", "8"), 8), 1);
    expect_opens(one(F32("[]", "0", "4"), 4), 1);
    expect_opens(one(F32("[0,7]", "0", "0"), 0), 1);
    /* The data may lie in another order than the header, and empty tensors anywhere between. */
    expect_opens(
        make("{\"a\":{" F32("[1]", "4", "8") "},\"b\":{" F32("[1]", "0", "4") "},\"c\":{" F32(
                 "[0]", "4", "4") "},\"d\":{" F32("[0]", "8", "8") "}}",
             8),
        4);
}

Test(safetensors_hostile, the_header_as_a_whole)
{
    EXPECT_ERROR(lucid_safetensors_open(NULL), LUCID_ERR_ARGUMENT, "path");
    EXPECT_ERROR(lucid_safetensors_open(files_path("absent")), LUCID_ERR_IO, "absent: cannot open");
    EXPECT_ERROR(lucid_safetensors_open(files_folder), LUCID_ERR_IO, "not a regular file");
    REFUSED(files_write("h", "", 0), "the file has 0 bytes");
    REFUSED(files_write("h", "\1\0\0\0\0\0\0", 7), "cut off");
    REFUSED(files_write("h", "\3\0\0\0\0\0\0\0{}", 10), "its header would have 3");
    REFUSED(files_write("h", "\377\377\377\377\377\377\377\377{}", 10), "cut off");
    REFUSED(make("", 0), "does not begin with {");
    REFUSED(make(" {}", 0), "does not begin with {");
    REFUSED(make("[]", 0), "does not begin with {");
    REFUSED(make("{", 0), "the header is not right");
    REFUSED(make("{}x", 0), "the header is not right");
    REFUSED(make("{\"a\":1,}", 0), "the header is not right");
    REFUSED(make("{\"\xff\":1}", 0), "the header is not right");
    REFUSED(make("{\"a\\u0000\":1}", 0), "the header is not right");
    REFUSED(make("{\"a\":{" F32("[]", "0", "4") "},\"a\":{" F32("[]", "0", "4") "}}", 4),
            "duplicate object key");
    REFUSED(make("{\"a\":{\"dtype\":\"F32\"," F32("[]", "0", "4") "}}", 4), "duplicate object key");
}

Test(safetensors_hostile, a_header_over_the_limit)
{
    size_t length = 100000001;
    char *bytes = calloc(1, 8 + length);
    memset(bytes + 8, ' ', length);
    memcpy(bytes, &(uint64_t){length}, 8);
    memcpy(bytes + 8, "{}", 2);
    REFUSED(files_write("h", bytes, 8 + length), "at most 100000000 may be");
    memcpy(bytes, &(uint64_t){length - 1}, 8);
    expect_opens(files_write("h", bytes, 8 + length - 1), 0);
    free(bytes);
}

Test(safetensors_hostile, deep_and_long_headers)
{
    size_t length = 1 << 20;
    char *text = malloc(length + 1);
    memset(text, '[', length);
    memcpy(text, "{\"a\":", 5);
    text[length] = 0;
    REFUSED(make(text, 0), "the header is not right: lists and objects are nested too deeply");
    memset(text + 5, '9', length - 6);
    text[length - 1] = '}';
    REFUSED(make(text, 0), "tensor \"a\": expected an object");
    free(text);
}

Test(safetensors_hostile, metadata)
{
    REFUSED(make("{\"__metadata__\":[]}", 0), "expected strings by name");
    REFUSED(make("{\"__metadata__\":{\"a\":1}}", 0), "expected strings by name");
    REFUSED(make("{\"__metadata__\":{\"a\":\"1\",\"b\":null}}", 0), "expected strings by name");
    REFUSED(make("{\"__metadata__\":null}", 0), "expected strings by name");
    REFUSED(make("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0), "duplicate");
}

Test(safetensors_hostile, members_of_a_tensor)
{
    REFUSED(make("{\"a\":[]}", 0), "tensor \"a\": expected an object");
    REFUSED(one("", 0), "dtype: expected a string");
    REFUSED(one("\"dtype\":1,\"shape\":[],\"data_offsets\":[0,4]", 4), "dtype: expected a string");
    REFUSED(one("\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]", 4), "\"f32\" is unknown");
    REFUSED(one("\"dtype\":\"F32\",\"data_offsets\":[0,4]", 4), "shape: expected a list");
    REFUSED(one("\"dtype\":\"F32\",\"shape\":[]", 4), "data_offsets: expected two");
    REFUSED(one(F32("{}", "0", "4"), 4), "shape: expected a list");
    REFUSED(one(F32("[1.0]", "0", "4"), 4), "shape: expected integers");
    REFUSED(one(F32("[-1]", "0", "4"), 4), "shape: expected integers");
    REFUSED(one(F32("[\"1\"]", "0", "4"), 4), "shape: expected integers");
    REFUSED(one(F32("[]", "0", "4.0"), 4), "data_offsets: expected two");
    REFUSED(one(F32("[]", "0", "4,8"), 4), "data_offsets: expected two");
    REFUSED(one(F32("[]", "-4", "0"), 4), "data_offsets: expected two");
    REFUSED(one(F32("[]", "0", "4") ",\"more\":1", 4), "and nothing else");
}

Test(safetensors_hostile, sizes_and_offsets)
{
    REFUSED(one(F32("[2]", "0", "4"), 4), "another size");
    REFUSED(one(F32("[]", "4", "0"), 4), "[4,0] is not within the 4 bytes");
    REFUSED(one(F32("[]", "0", "8"), 4), "[0,8] is not within the 4 bytes");
    REFUSED(one(F32("[]", "4", "8"), 8), "after a gap that begins at 0");
    REFUSED(one(F32("[]", "0", "4"), 5), "end at byte 4 of 5");
    REFUSED(make("{}", 1), "end at byte 0 of 1");
    REFUSED(one(F32("[]", "9223372036854775804", "9223372036854775807"), 4), "is not within");
    REFUSED(one(F32("[]", "0", "18446744073709551616"), 4), "data_offsets: expected two");
    /* 2^62 floats wrap to 0 bytes; 2^32 x 2^32 to 0 elements. */
    REFUSED(one(F32("[4611686018427387904]", "0", "0"), 0), "overflows");
    REFUSED(one(F32("[4294967296,4294967296]", "0", "0"), 0), "overflows");
    REFUSED(one(F32("[9223372036854775807,2,0]", "0", "0"), 0), "overflows");
    REFUSED(make("{\"a\":{" F32("[2]", "0", "8") "},\"b\":{" F32("[2]", "4", "12") "}}", 12),
            "inside another that ends at 8");
    REFUSED(make("{\"a\":{" F32("[2]", "0", "8") "},\"b\":{" F32("[2]", "0", "8") "}}", 8),
            "inside another that ends at 8");
    REFUSED(make("{\"a\":{" F32("[1]", "0", "4") "},\"b\":{" F32("[1]", "8", "12") "}}", 12),
            "after a gap that begins at 4");
    REFUSED(one("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]", 2), "another size");
}

Test(safetensors_hostile, what_lucid_cannot_hold)
{
    lucid_safetensors *file =
        lucid_safetensors_open(one("\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]", 4));
    cr_assert(file, "%s", lucid_error());
    EXPECT_ERROR(lucid_safetensors_view(file, 0), LUCID_ERR_UNSUPPORTED, "lucid has no dtype I8");
    EXPECT_ERROR(lucid_safetensors_get(file, "b"), LUCID_ERR_ARGUMENT, "there is no tensor \"b\"");
    EXPECT_ERROR(lucid_safetensors_view(file, 1), LUCID_ERR_ARGUMENT, "i: expected 0 to 0, got 1");
    EXPECT_ERROR(lucid_safetensors_view(file, -1), LUCID_ERR_ARGUMENT, "got -1");
    EXPECT_ERROR(lucid_safetensors_name(file, 1), LUCID_ERR_ARGUMENT, "safetensors_name");
    lucid_safetensors_close(file);
    file = lucid_safetensors_open(one(F32("[1,1,1,1,1,1,1,1,1]", "0", "4"), 4));
    EXPECT_ERROR(lucid_safetensors_view(file, 0), LUCID_ERR_UNSUPPORTED,
                 "at most 8 dimensions, got 9");
    lucid_safetensors_close(file);
    char *bytes;
    size_t size;
    const char *path = one("\"dtype\":\"BOOL\",\"shape\":[4],\"data_offsets\":[0,4]", 4);
    bytes = files_read(path, &size);
    bytes[size - 1] = 2;
    file = lucid_safetensors_open(files_write("bool", bytes, size));
    EXPECT_ERROR(lucid_safetensors_view(file, 0), LUCID_ERR_FORMAT, "neither 0 nor 1");
    lucid_safetensors_close(file);
    free(bytes);
}

Test(safetensors_hostile, a_tensor_that_is_not_aligned_is_copied)
{
    lucid_safetensors *file = lucid_safetensors_open(
        make("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
             "\"b\":{" F32("[2]", "1", "9") "}}",
             9));
    cr_assert(file, "%s", lucid_error());
    lucid_tensor *t = lucid_safetensors_get(file, "b");
    cr_expect_eq((uintptr_t)lucid_data(t) % 4, 0);
    cr_expect_eq(*(const int32_t *)lucid_data(t), 0x01010101);
    lucid_safetensors_close(file);
}

/* Any bytes give an error or a file whose tensors can be read to the last byte. */
Test(safetensors_hostile, every_changed_byte)
{
    const char *right = "{\"__metadata__\":{\"k\":\"v\"},\"a\":{" F32(
        "[2]", "0", "8") "},"
                         "\"b\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[8,24]}}";
    size_t size;
    char *good = files_read(make(right, 24), &size), *bytes = malloc(size);
    lucid_generator g = {.seed = 2};
    int opened = 0;
    for (int round = 0; round < 3000; round++) {
        LUCID_SCOPE;
        memcpy(bytes, good, size);
        for (int k = 0; k <= round % 3; k++) {
            size_t at = lucid_random_below(&g, size);
            static const char likely[] = "{}[]\",:0123456789eE+-. ";
            bytes[at] = round % 2 ? likely[lucid_random_below(&g, sizeof likely - 1)]
                                  : (char)lucid_random_u64(&g);
        }
        lucid_safetensors *file = lucid_safetensors_open(files_write("changed", bytes, size));
        cr_assert(!file == (lucid_error_code() != LUCID_OK));
        for (int64_t i = 0; i < lucid_safetensors_count(file); i++) {
            lucid_tensor *t = lucid_safetensors_copy(file, i);
            cr_assert(!t == (lucid_error_code() != LUCID_OK));
            lucid_clear_error();
        }
        opened += file != NULL;
        lucid_safetensors_close(file);
        lucid_clear_error();
    }
    cr_expect(opened > 0 && opened < 2000, "opened %d", opened);
    cr_expect_eq(lucid_live().other, 0);
    free(bytes);
    free(good);
}

/* safetensors: what is written is read, by others too, and a file that is not right is refused. */
#include "tests/lucid/io/files.h"

#include "lucid/io/safetensors.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "lucid/core/tensor_priv.h"

#include "lucid/core/error_priv.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

TestSuite(safetensors, .init = files_begin, .fini = files_end);

/* A tensor of any dtype, whose bytes are small numbers (0 and 1 for bool). */
static lucid_tensor *sample(lucid_shape shape, lucid_dtype dtype, int salt)
{
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = dtype;
    lucid_tensor *t = lucid_empty_opt(shape, &options);
    unsigned char *p = lucid_mutable_data(t);
    size_t n = (size_t)lucid_numel(t) * lucid_dtype_size(dtype);
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)((i + (size_t)salt) % (dtype == LUCID_BOOL ? 2 : 63));
    return t;
}

static void expect_same_bytes(lucid_tensor *got, lucid_tensor *expected)
{
    cr_assert(got && expected, "%s", lucid_error());
    lucid_shape a = lucid_tensor_shape(got), b = lucid_tensor_shape(expected);
    cr_assert(lucid_shape_equal(&a, &b));
    cr_assert_eq(lucid_tensor_dtype(got), lucid_tensor_dtype(expected));
    size_t n = (size_t)lucid_numel(got) * lucid_dtype_size(lucid_tensor_dtype(got));
    cr_assert(n == 0 || memcmp(lucid_data(got), lucid_data(expected), n) == 0);
}

/* Names with everything that JSON must escape, and text beyond the first planes. */
static const char *const strange_names[] = {
    "layer.0.weight",  "",
    "with \"quotes\"", "back\\slash/slash",
    "tab\tnew\nline",  "\x01\x1f\x7f",
    "caf\xc3\xa9",     "\xf0\x9f\x94\xa5",
    "{\"a\":[1]}",     "dtype",
};
enum { STRANGE = sizeof strange_names / sizeof *strange_names };

Test(safetensors, every_dtype_and_name_comes_back)
{
    const lucid_shape shapes[] = {
        LUCID_SHAPE(2, 3), {0}, LUCID_SHAPE(0, 4), LUCID_SHAPE(1, 1, 1, 1, 1, 1, 1, 3)};
    enum { N = 8 * 4 };
    lucid_tensor *tensors[N];
    char names[N][64];
    const char *list[N];
    for (int i = 0; i < N; i++) {
        tensors[i] = sample(shapes[i % 4], (lucid_dtype)(i / 4), i);
        snprintf(names[i], sizeof names[i], "%s%d", strange_names[i % STRANGE], i);
        list[i] = names[i];
    }
    const char *path = files_path("all.safetensors");
    cr_assert(lucid_safetensors_write(path, list, tensors, N, NULL, NULL, 0), "%s", lucid_error());
    cr_expect_eq(files_count(), 1);
    lucid_safetensors *file = lucid_safetensors_open(path);
    cr_assert(file, "%s", lucid_error());
    cr_expect_eq(lucid_safetensors_count(file), N);
    for (int i = 0; i < N; i++) {
        cr_expect_str_eq(lucid_safetensors_name(file, i), names[i], "the order is the one given");
        cr_expect_eq(lucid_safetensors_find(file, names[i]), i);
        expect_same_bytes(lucid_safetensors_view(file, i), tensors[i]);
        expect_same_bytes(lucid_safetensors_copy(file, i), tensors[i]);
        expect_same_bytes(lucid_safetensors_get(file, names[i]), tensors[i]);
        if (i % 4 == 0) /* all widths lie aligned */
            cr_expect_eq((uintptr_t)lucid_data(lucid_safetensors_view(file, i)) %
                             lucid_dtype_size((lucid_dtype)(i / 4)),
                         0);
    }
    cr_expect_eq(lucid_safetensors_find(file, "absent"), -1);
    cr_expect_eq(lucid_error_code(), LUCID_OK);
    lucid_safetensors_close(file);
}

Test(safetensors, metadata)
{
    const char *values[STRANGE];
    for (int i = 0; i < STRANGE; i++) values[i] = strange_names[STRANGE - 1 - i];
    const char *path = files_path("m");
    cr_assert(lucid_safetensors_write(path, NULL, NULL, 0, strange_names, values, STRANGE));
    lucid_safetensors *file = lucid_safetensors_open(path);
    cr_assert(file, "%s", lucid_error());
    cr_expect_eq(lucid_safetensors_count(file), 0);
    cr_assert_eq(lucid_safetensors_metadata_count(file), STRANGE);
    for (int i = 0; i < STRANGE; i++) {
        cr_expect_str_eq(lucid_safetensors_metadata_key(file, i), strange_names[i]);
        cr_expect_str_eq(lucid_safetensors_metadata(file, strange_names[i]), values[i]);
    }
    cr_expect_null(lucid_safetensors_metadata(file, "absent"));
    EXPECT_ERROR(lucid_safetensors_metadata_key(file, STRANGE), LUCID_ERR_ARGUMENT, "i: expected");
    lucid_safetensors_close(file);
}

/* Files that the reference implementation, in Python, has written. */
Test(safetensors, files_of_others)
{
    const char *root = getenv("LUCID_SOURCE");
    char folder[400], path[700];
    snprintf(folder, sizeof folder, "%s/tests/reference", root ? root : ".");
    DIR *dir = opendir(folder);
    cr_assert(dir);
    int files = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        LUCID_SCOPE;
        if (!strstr(e->d_name, ".safetensors")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        lucid_safetensors *file = lucid_safetensors_open(path);
        cr_assert(file, "%s", lucid_error());
        cr_assert_gt(lucid_safetensors_count(file), 0);
        for (int64_t i = 0; i < lucid_safetensors_count(file); i++)
            cr_assert(lucid_safetensors_view(file, i), "%s", lucid_error());
        lucid_safetensors_close(file);
        files++;
    }
    closedir(dir);
    cr_expect_geq(files, 8);
}

/* The writer's bytes are fixed: header in the order given, padded; data from wide to narrow. */
Test(safetensors, the_bytes_of_a_file)
{
    const uint8_t bytes[] = {7, 8, 9};
    const float floats[] = {1.5f, -2};
    lucid_tensor *tensors[] = {
        lucid_from_data((3), bytes, .dtype = LUCID_U8),
        lucid_from_data((1, 2), floats),
    };
    const char *names[] = {"b", "a"}, *key = "k", *value = "v";
    const char *path = files_path("f");
    cr_assert(lucid_safetensors_write(path, names, tensors, 2, &key, &value, 1), "%s",
              lucid_error());
    const char header[] = "{\"__metadata__\":{\"k\":\"v\"},"
                          "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},"
                          "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}";
    size_t size, padded = (sizeof header - 1 + 7) / 8 * 8;
    char *got = files_read(path, &size);
    cr_assert_eq(size, 8 + padded + 11);
    uint64_t length;
    memcpy(&length, got, 8);
    cr_expect_eq(length, padded);
    cr_expect(memcmp(got + 8, header, sizeof header - 1) == 0, "%.*s", (int)padded, got + 8);
    for (size_t i = sizeof header - 1; i < padded; i++) cr_expect_eq(got[8 + i], ' ');
    cr_expect(memcmp(got + 8 + padded, floats, 8) == 0);
    cr_expect(memcmp(got + 8 + padded + 8, bytes, 3) == 0);
    free(got);
}

/* ---- views ----------------------------------------------------------------------------------- */

static const char *write_one(const char *name, float value)
{
    LUCID_SCOPE;
    lucid_tensor *t = lucid_from_data((2), ((float[]){value, -value}));
    const char *path = files_path(name), *key = "x";
    cr_assert(lucid_safetensors_write(path, &key, &t, 1, NULL, NULL, 0), "%s", lucid_error());
    return path;
}

Test(safetensors, a_view_outlives_the_reader_and_the_file)
{
    const char *path = write_one("v", 3);
    lucid_safetensors *file = lucid_safetensors_open(path);
    lucid_tensor *a = lucid_safetensors_view(file, 0), *b = lucid_safetensors_view(file, 0);
    cr_assert(a && b);
    cr_expect_eq(lucid_data(a), lucid_data(b), "no copy");
    lucid_tensor *copy = lucid_safetensors_copy(file, 0);
    lucid_safetensors_close(file);
    write_one("v", 4); /* renamed over: the mapping keeps the old content */
    cr_expect_eq(((const float *)lucid_data(a))[0], 3);
    unlink(path);
    cr_expect_eq(((const float *)lucid_data(b))[1], -3);
    /* A change stays in memory (all views of the mapping see it). */
    ((float *)lucid_mutable_data(a))[0] = 9;
    cr_expect_eq(((const float *)lucid_data(b))[0], 9);
    cr_expect_eq(((const float *)lucid_data(copy))[0], 3);
}

Test(safetensors, a_change_never_reaches_the_file)
{
    const char *path = write_one("v", 3);
    lucid_safetensors *file = lucid_safetensors_open(path);
    ((float *)lucid_mutable_data(lucid_safetensors_view(file, 0)))[0] = 9;
    lucid_safetensors_close(file);
    lucid_safetensors *again = lucid_safetensors_open(path);
    cr_expect_eq(((const float *)lucid_data(lucid_safetensors_view(again, 0)))[0], 3);
    lucid_safetensors_close(again);
}

Test(safetensors, nothing_stays_behind)
{
    {
        LUCID_SCOPE;
        lucid_safetensors *file = lucid_safetensors_open(write_one("v", 3));
        lucid_safetensors_view(file, 0);
        lucid_safetensors_close(file);
    }
    lucid_live_counts live = lucid_live();
    cr_expect(live.tensors == 0 && live.storages == 0 && live.other == 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

Test(safetensors, strided_tensors_are_written_row_major)
{
    float numbers[6] = {0, 1, 2, 3, 4, 5};
    lucid_tensor *t = lucid_from_data((2, 3), numbers);
    lucid_meta meta;
    luc_tensor_get_meta(t, &meta);
    meta.dims[0] = 3, meta.dims[1] = 2, meta.strides[0] = 1, meta.strides[1] = 3;
    lucid_tensor *transposed = luc_tensor_on(t->storage, &meta, "test");
    const char *path = files_path("t"), *name = "t";
    cr_assert(lucid_safetensors_write(path, &name, &transposed, 1, NULL, NULL, 0));
    lucid_safetensors *file = lucid_safetensors_open(path);
    EXPECT_SHAPE(lucid_safetensors_view(file, 0), 3, 2);
    EXPECT_VALUES(lucid_safetensors_view(file, 0), 0, 0, {0, 3, 1, 4, 2, 5});
    lucid_safetensors_close(file);
}

#define WRITE(name, tensor, n, key, value, m)                                          \
    lucid_safetensors_write(                                                           \
        path, (const char *const[]){name, "z"}, (lucid_tensor *const[]){tensor, t}, n, \
        (const char *const[]){key, "k2"}, (const char *const[]){value, "v2"}, m)

Test(safetensors, what_cannot_be_written)
{
    const char *path = files_path("w");
    lucid_tensor *t = sample(LUCID_SHAPE(2), LUCID_F32, 0);
    EXPECT_ERROR(WRITE("z", t, 2, "k", "v", 0), LUCID_ERR_ARGUMENT,
                 "names[1]: \"z\" is given twice");
    EXPECT_ERROR(WRITE(NULL, t, 1, "k", "v", 0), LUCID_ERR_ARGUMENT, "names[0]: got NULL");
    EXPECT_ERROR(WRITE("a", NULL, 1, "k", "v", 0), LUCID_ERR_ARGUMENT, "tensors[0] (a): got NULL");
    EXPECT_ERROR(WRITE("__metadata__", t, 1, "k", "v", 0), LUCID_ERR_ARGUMENT, "reserves");
    EXPECT_ERROR(WRITE("\xff", t, 1, "k", "v", 0), LUCID_ERR_ARGUMENT, "not UTF-8");
    EXPECT_ERROR(WRITE("\xed\xa0\x80", t, 1, "k", "v", 0), LUCID_ERR_ARGUMENT, "not UTF-8");
    EXPECT_ERROR(WRITE("a", t, 1, "k", "\xc3", 1), LUCID_ERR_ARGUMENT, "values[0] (of \"k\")");
    EXPECT_ERROR(WRITE("a", t, 1, "k2", "v", 2), LUCID_ERR_ARGUMENT, "\"k2\" is given twice");
    EXPECT_ERROR(WRITE("a", t, -1, "k", "v", 0), LUCID_ERR_ARGUMENT, "expected >= 0");
    EXPECT_ERROR(lucid_safetensors_write(NULL, NULL, NULL, 0, NULL, NULL, 0), LUCID_ERR_ARGUMENT,
                 "path: expected a file name");
    EXPECT_ERROR(lucid_safetensors_write(path, NULL, NULL, 1, NULL, NULL, 0), LUCID_ERR_ARGUMENT,
                 "got NULL");
    cr_expect_eq(files_count(), 0);
    path = files_folder;
    EXPECT_ERROR(WRITE("a", t, 1, "k", "v", 0), LUCID_ERR_IO, "is not a regular file");
    path = "/dev/null"; /* must not become a file */
    EXPECT_ERROR(WRITE("a", t, 1, "k", "v", 0), LUCID_ERR_IO, "/dev/null: cannot write");
    path = files_path("no/such/folder");
    EXPECT_ERROR(WRITE("a", t, 1, "k", "v", 0), LUCID_ERR_IO, "No such file");
}

Test(safetensors, a_pending_error_changes_nothing)
{
    const char *path = write_one("old", 3);
    struct stat before, after;
    stat(path, &before);
    luc_raise(LUCID_ERR_STATE, "test", "the first error");
    lucid_tensor *none = NULL;
    const char *name = "x";
    cr_expect(!lucid_safetensors_write(path, &name, &none, 1, NULL, NULL, 0));
    cr_expect_str_eq(lucid_error(), "test: the first error");
    lucid_clear_error();
    stat(path, &after);
    cr_expect_eq(before.st_ino, after.st_ino);
}

Test(safetensors, links_and_permissions_stay)
{
    char path[512], link_path[512];
    snprintf(path, sizeof path, "%s", write_one("real", 3));
    snprintf(link_path, sizeof link_path, "%s", files_path("link"));
    cr_assert(chmod(path, 0640) == 0 && symlink("real", link_path) == 0);
    write_one("link", 4);
    struct stat st;
    cr_assert(lstat(link_path, &st) == 0 && S_ISLNK(st.st_mode));
    cr_assert(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
    cr_expect_eq(st.st_mode & 0777, 0640);
    lucid_safetensors *file = lucid_safetensors_open(path);
    cr_expect_eq(((const float *)lucid_data(lucid_safetensors_view(file, 0)))[0], 4);
    lucid_safetensors_close(file);
    cr_expect_eq(files_count(), 2);
}

/* A full disk: the old file stays, and no temporary one. */
Test(safetensors, a_failed_write_costs_nothing)
{
    const char *path = write_one("old", 3);
    lucid_tensor *t = sample(LUCID_SHAPE(1000, 1000), LUCID_F32, 0);
    const char *name = "x";
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {100000, RLIM_INFINITY};
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT_ERROR(lucid_safetensors_write(path, &name, &t, 1, NULL, NULL, 0), LUCID_ERR_IO,
                 "old: cannot write: File too large");
    cr_expect_eq(files_count(), 1);
    lucid_safetensors *file = lucid_safetensors_open(path);
    cr_assert(file);
    cr_expect_eq(((const float *)lucid_data(lucid_safetensors_view(file, 0)))[0], 3);
    lucid_safetensors_close(file);
}

Test(safetensors, every_allocation_may_fail)
{
    const char *path = write_one("old", 3);
    for (uint64_t n = 1; n < 100; n++) {
        bool wrote, reached, mine = false;
        {
            LUCID_SCOPE;
            const char *name = "x";
            lucid_tensor *t = sample(LUCID_SHAPE(2), LUCID_F32, 0), *u = NULL;
            lucid_memory_fail_nth(n);
            wrote = lucid_safetensors_write(path, &name, &t, 1, NULL, NULL, 0);
            lucid_safetensors *file = lucid_safetensors_open(path);
            if (file) u = lucid_safetensors_view(file, 0);
            if (u) mine = lucid_safetensors_copy(file, 0);
            lucid_safetensors_close(file);
            reached = lucid_memory_fail_count() >= n;
            lucid_memory_fail_nth(0);
        }
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%d: %s", (int)n,
                     lucid_error());
        cr_assert_eq(wrote && mine, !reached);
        cr_assert_eq(files_count(), 1);
        cr_assert(lucid_live().tensors == 0 && lucid_live().other == 0);
        lucid_clear_error();
        if (!reached) return;
    }
    cr_assert_fail("never succeeded");
}

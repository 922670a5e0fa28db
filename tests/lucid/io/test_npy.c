/* NumPy's files and CSV: what is right is read, and everything else is refused by name. */
#include "tests/lucid/io/files.h"
#include "tests/reference/vectors.h"

#include "lucid/io/npy.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "lucid/core/scope.h"

#include <locale.h>
#include <sys/stat.h>

TestSuite(npy, .init = files_begin, .fini = files_end);

static void expect_same(const lucid_tensor *got, const lucid_tensor *want, const char *name)
{
    cr_assert(got, "%s: %s", name, lucid_error());
    cr_expect_eq(lucid_tensor_dtype(got), lucid_tensor_dtype(want), "%s", name);
    cr_expect(lucid_equal(got, want), "%s", name);
}

Test(npy, every_file_of_numpy)
{
    vectors *v = vectors_open("npy");
    int n = 0;
    for (const vectors_case *c; (c = vectors_next(v)); n++) {
        LUCID_SCOPE;
        char name[128];
        snprintf(name, sizeof name, "%s/bytes", vectors_name(c));
        lucid_tensor *bytes = vectors_tensor(v, name);
        snprintf(name, sizeof name, "%s/out", vectors_name(c));
        lucid_tensor *out = vectors_tensor(v, name);
        const char *path = files_write("a", lucid_data(bytes), (size_t)lucid_numel(bytes));
        if (strcmp(vectors_get(c, "op"), "npz") == 0) {
            lucid_npz *z = lucid_npz_open(path);
            cr_assert(z, "%s", lucid_error());
            cr_expect_eq(lucid_npz_count(z), 2);
            cr_expect_str_eq(lucid_npz_name(z, 0), "weights");
            expect_same(lucid_npz_get(z, vectors_get(c, "array")), out, vectors_name(c));
            EXPECT_ERROR(lucid_npz_get(z, "none"), LUCID_ERR_ARGUMENT, "has no array 'none'");
            lucid_npz_close(z);
        } else {
            expect_same(lucid_npy_read(path), out, vectors_name(c));
            expect_same(lucid_npy_read(path, .map = false), out, vectors_name(c));
        }
    }
    cr_expect_gt(n, 25);
    vectors_close(v);
    cr_expect_eq(lucid_live().other, 0);
}

Test(npy, written_and_read)
{
    for (int dtype = 0; dtype < LUCID_DTYPE_COUNT; dtype++) {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_full((3, 4), 1, .dtype = (lucid_dtype)dtype);
        if (dtype == LUCID_BF16) {
            EXPECT_ERROR(lucid_npy_write(t, files_path("a.npy")), LUCID_ERR_UNSUPPORTED,
                         "NumPy does not have bfloat16");
            continue;
        }
        cr_assert(lucid_npy_write(t, files_path("a.npy")), "%s", lucid_error());
        expect_same(lucid_npy_read(files_path("a.npy")), t, lucid_dtype_name((lucid_dtype)dtype));
    }
    const lucid_shape shapes[] = {{0}, {1, {5}}, {2, {0, 3}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}};
    for (int i = 0; i < 4; i++) {
        lucid_tensor *t = lucid_ones_opt(shapes[i], NULL);
        cr_assert(lucid_npy_write(t, files_path("a.npy")), "%s", lucid_error());
        lucid_tensor *r = lucid_npy_read(files_path("a.npy"));
        lucid_shape shape = lucid_tensor_shape(r);
        cr_expect(lucid_shape_equal(&shape, &shapes[i]) && lucid_equal(r, t));
    }
    cr_expect_eq(files_count(), 1);
    EXPECT_ERROR(lucid_npy_write(NULL, "a"), LUCID_ERR_ARGUMENT, "tensor: got NULL");
    EXPECT_ERROR(lucid_npy_write(lucid_ones(3), files_path("no/a")), LUCID_ERR_IO, "No such file");
}

Test(npy, a_mapped_array_may_be_changed_and_outlives_its_file)
{
    lucid_tensor *t = lucid_arange(0, 1000, 1, .dtype = LUCID_F32);
    const char *path = files_path("a.npy");
    cr_assert(lucid_npy_write(t, path));
    lucid_tensor *mapped = lucid_npy_read(path);
    ((float *)lucid_mutable_data(mapped))[3] = -1;
    expect_same(lucid_npy_read(path), t, "the file stays as it is");
    unlink(path);
    cr_expect(((const float *)lucid_data(mapped))[3] == -1);
    cr_expect(((const float *)lucid_data(mapped))[999] == 999);
}

/* A file with this header, and `size` zeros after it. */
static const char *with_header(const char *header, size_t size)
{
    static char bytes[1024];
    const size_t n = strlen(header);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (char)n;
    bytes[9] = (char)(n >> 8);
    memcpy(bytes + 10, header, n);
    return files_write("h.npy", bytes, 10 + n + size);
}

#define REFUSED(header, size, code, text) \
    EXPECT_ERROR(lucid_npy_read(with_header(header, size)), code, text)

Test(npy, hostile_headers)
{
    cr_expect(
        lucid_npy_read(with_header("{'descr':'<f4','fortran_order':False,'shape':(2L,)}", 8)));
    cr_expect(
        lucid_npy_read(with_header("{'shape':(),\"descr\":'<f4','fortran_order':True}\n", 4)));
    const lucid_code bad = LUCID_ERR_FORMAT, not_there = LUCID_ERR_UNSUPPORTED;
    REFUSED("", 0, bad, "expected its header to begin with {");
    REFUSED("{", 0, bad, "expected a key");
    REFUSED("{'descr'", 0, bad, "expected a key");
    REFUSED("{'descr':'<f4','fortran_order':False}", 4, bad, "lacks descr");
    REFUSED("{'descr':'<f4','descr':'<f4'}", 4, bad, "a key twice");
    REFUSED("{'descr':'<f4','fortran_order':Maybe,'shape':()}", 4, bad, "True or False");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(2,}", 8, bad, "sizes that fit");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(-2,)}", 8, bad, "sizes that fit");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(99999999999999999999,)}", 8, bad,
            "64 bits");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(2 3)}", 8, bad, "a comma between sizes");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':()} x", 4, bad, "goes on after them");
    REFUSED("{'descr':'<c8','fortran_order':False,'shape':()}", 8, not_there, "got '<c8'");
    REFUSED("{'descr':'|O','fortran_order':False,'shape':()}", 8, not_there, "got '|O'");
    REFUSED("{'descr':'<u8','fortran_order':False,'shape':()}", 8, not_there, "got '<u8'");
    REFUSED("{'descr':[('a','<f4')],'fortran_order':False,'shape':()}", 4, not_there, "records");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(1,1,1,1,1,1,1,1,1)}", 4, not_there,
            "more than 8 dimensions");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(3,)}", 8, bad,
            "is cut off: expected [3] elements of 4 bytes, got 8 bytes");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(1,)}", 8, bad, "is too long");
    REFUSED("{'descr':'<f4','fortran_order':False,'shape':(0,)}", 8, bad, "is too long");
    /* Products that wrap to 0. */
    REFUSED("{'descr':'<f8','fortran_order':False,'shape':(4294967296,4294967296)}", 0, bad,
            "cut off");
    REFUSED("{'descr':'<f8','fortran_order':False,'shape':(0,9223372036854775807,4)}", 0, bad, "");
}

Test(npy, files_that_are_none)
{
    EXPECT_ERROR(lucid_npy_read(NULL), LUCID_ERR_ARGUMENT, "path: expected a file name");
    EXPECT_ERROR(lucid_npy_read(files_path("none")), LUCID_ERR_IO, "cannot open");
    EXPECT_ERROR(lucid_npy_read(files_folder), LUCID_ERR_IO, "not a regular file");
    cr_assert(mkfifo(files_path("fifo"), 0600) == 0);
    EXPECT_ERROR(lucid_npy_read(files_path("fifo")), LUCID_ERR_IO, "not a regular file");
    EXPECT_ERROR(lucid_npy_read(files_write("e", "", 0)), LUCID_ERR_FORMAT, "is not an npy file");
    EXPECT_ERROR(lucid_npz_open(NULL), LUCID_ERR_ARGUMENT, "path: expected a file name");
    EXPECT_ERROR(lucid_npz_open(files_path("e")), LUCID_ERR_FORMAT, "it is cut off");
    EXPECT_ERROR(lucid_npz_get(NULL, "a"), LUCID_ERR_ARGUMENT, "file: got NULL");
    EXPECT_ERROR(lucid_npz_name(NULL, 0), LUCID_ERR_ARGUMENT, "and NULL");
    lucid_npz_close(NULL);
    cr_expect_eq(lucid_npz_count(NULL), 0);
}

/* A file of the reference, to be freed. */
static char *reference(const char *name, size_t *size)
{
    LUCID_SCOPE;
    vectors *v = vectors_open("npy");
    lucid_tensor *t = vectors_tensor(v, name);
    *size = (size_t)lucid_numel(t);
    char *bytes = malloc(*size);
    memcpy(bytes, lucid_data(t), *size);
    vectors_close(v);
    return bytes;
}

/* Any cut is an error, and any wrong byte an error or an array. */
static void damage(const char *name, bool zip)
{
    size_t size;
    char *bytes = reference(name, &size);
    lucid_generator g = {.seed = 3};
    for (size_t i = 0; i < 2 * size + 2000; i++) {
        LUCID_SCOPE;
        const bool cut = i < size;
        const size_t at = cut ? i : lucid_random_below(&g, size);
        const char old = bytes[at];
        if (!cut) bytes[at] = (char)lucid_random_u64(&g);
        const char *path = files_write("d", bytes, cut ? i : size);
        lucid_npz *z = zip ? lucid_npz_open(path) : NULL;
        lucid_tensor *t = zip ? z ? lucid_npz_get(z, "weights") : NULL : lucid_npy_read(path);
        cr_assert_eq(t == NULL, lucid_error_code() != LUCID_OK);
        cr_expect(!cut || !t, "%s cut to %zu bytes", name, i);
        lucid_npz_close(z);
        lucid_clear_error();
        bytes[at] = old;
    }
    free(bytes);
    cr_expect_eq(lucid_live().other, 0);
}

Test(npy, damaged_files)
{
    damage("f4/bytes", false);
    damage("fortran_big/bytes", false);
    damage("savez_weights/bytes", true);
    damage("savez_compressed_weights/bytes", true);
}

Test(npy, every_allocation_may_fail)
{
    size_t size;
    char *bytes = reference("savez_compressed_weights/bytes", &size);
    files_write("z.npz", bytes, size);
    free(bytes);
    files_write("c.csv", "1,2\n3,4\n", 8);
    for (uint64_t n = 1;; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        lucid_npz *z = lucid_npz_open(files_path("z.npz"));
        lucid_tensor *t = z ? lucid_npz_get(z, "weights") : NULL;
        bool ok = t && lucid_npy_write(t, files_path("w.npy")) &&
                  lucid_npy_read(files_path("w.npy")) && lucid_csv_read(files_path("c.csv"));
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        lucid_npz_close(z);
        cr_assert_eq(ok, !reached, "%d: %s", (int)n, lucid_error());
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                     lucid_error());
        lucid_clear_error();
        cr_assert_eq(lucid_live().other, 0);
        if (!reached) break;
    }
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static lucid_tensor *csv(const char *text)
{
    return lucid_csv_read(files_write("t.csv", text, strlen(text)));
}

Test(npy, csv)
{
    setlocale(LC_ALL, "de_DE.UTF-8"); /* with a decimal comma */
    lucid_tensor *t = csv("1,2.5,-3e2\n\n 4 ,nan,inf\r\n");
    EXPECT_SHAPE(t, 2, 3);
    EXPECT_VALUES(t, 0, 0, {1, 2.5, -300, 4, NAN, INFINITY});
    t = lucid_csv_read(files_write("a", "a;b\n1;2\n3;4", 11), .delimiter = ';', .skip_rows = 1,
                       .dtype = LUCID_F64);
    EXPECT_VALUES(t, 0, 0, {1, 2, 3, 4});
    cr_expect_eq(lucid_tensor_dtype(t), LUCID_F64);
    t = lucid_csv_read(files_write("b", "1  2\t 3\n 4 5 6 \n", 15), .delimiter = ' ');
    EXPECT_VALUES(t, 0, 0, {1, 2, 3, 4, 5, 6});
    /* A tab that ends a line is followed by an empty field, as a comma is. */
    EXPECT_VALUES(lucid_csv_read(files_write("d", "1\t 2 \r\n3\t4\n", 11), .delimiter = '\t'), 0, 0,
                  {1, 2, 3, 4});
    EXPECT_ERROR(lucid_csv_read(files_write("e", "1\t2\n3\t\n", 7), .delimiter = '\t'),
                 LUCID_ERR_FORMAT, "line 2, column 2: expected a number, got nothing");
    EXPECT_VALUES(lucid_csv_read(files_write_gz("c.gz", "1\n2\n", 4)), 0, 0, {1, 2});
    EXPECT_SHAPE(csv(""), 0, 0);
    EXPECT_SHAPE(csv("\n\n"), 0, 0);
}

Test(npy, csv_that_is_refused)
{
    EXPECT_ERROR(csv("1,2\n3\n"), LUCID_ERR_FORMAT, "t.csv: line 2: expected 2 fields, got 1");
    EXPECT_ERROR(csv("1,2\n3,x4\n"), LUCID_ERR_FORMAT,
                 "line 2, column 2: expected a number, got 'x4'");
    EXPECT_ERROR(csv("1,,2\n"), LUCID_ERR_FORMAT,
                 "line 1, column 2: expected a number, got nothing");
    EXPECT_ERROR(csv("1,2,\n"), LUCID_ERR_FORMAT, "line 1, column 3");
    EXPECT_ERROR(csv("1;2\n"), LUCID_ERR_FORMAT, "got '1;2'");
    EXPECT_ERROR(lucid_csv_read(files_write("z", "1\0002\n", 4)), LUCID_ERR_FORMAT, "got '1'");
    char longer[400];
    memset(longer, '1', sizeof longer);
    EXPECT_ERROR(lucid_csv_read(files_write("l", longer, sizeof longer)), LUCID_ERR_FORMAT,
                 "got '11");
    EXPECT_ERROR(lucid_csv_read(NULL), LUCID_ERR_ARGUMENT, "path: expected");
    EXPECT_ERROR(lucid_csv_read(files_path("none")), LUCID_ERR_IO, "cannot open");
    EXPECT_ERROR(lucid_csv_read("a", .delimiter = '-'), LUCID_ERR_ARGUMENT, "delimiter");
    EXPECT_ERROR(lucid_csv_read("a", .delimiter = 0), LUCID_ERR_ARGUMENT, "delimiter");
    EXPECT_ERROR(lucid_csv_read("a", .dtype = LUCID_I64), LUCID_ERR_ARGUMENT, "dtype: expected");
    char *bomb = calloc(1, 1 << 22);
    cr_assert(bomb);
    memset(bomb, '\n', 1 << 22);
    EXPECT_ERROR(lucid_csv_read(files_write_gz("bomb", bomb, 1 << 22), .max_bytes = 1 << 20),
                 LUCID_ERR_FORMAT, "bomb: expected at most 1048576 bytes (max_bytes)");
    free(bomb);
    EXPECT_ERROR(lucid_csv_read("a", .max_bytes = -1), LUCID_ERR_ARGUMENT, "max_bytes");
    EXPECT_ERROR(lucid_csv_read("a", .skip_rows = -1), LUCID_ERR_ARGUMENT, "skip_rows");
}

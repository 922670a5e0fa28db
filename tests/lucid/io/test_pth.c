/* PyTorch's files: what is right is read as it is, everything else is refused by name, and what
 * lucid writes comes back. */
#include "tests/lucid/io/files.h"
#include "tests/reference/vectors.h"

#include "lucid/core/memory.h"
#include "lucid/io/zip_priv.h"
#include "lucid/lucid.h"

#include <sys/mman.h>

TestSuite(pth, .init = files_begin, .fini = files_end);

/* Compares the tensors of a file with a case's, which are named in order. */
static void expect_tensors(vectors *v, const vectors_case *c, const lucid_pth *f)
{
    char names[2048], key[256];
    snprintf(names, sizeof names, "%s", vectors_get(c, "names"));
    int64_t n = 0;
    for (char *rest = names, *name; (name = strtok_r(rest, ",", &rest)); n++) {
        LUCID_SCOPE;
        snprintf(key, sizeof key, "%s/%lld", vectors_name(c), (long long)n);
        lucid_tensor *want = vectors_tensor(v, key);
        cr_assert_str_eq(lucid_pth_name(f, n), name, "%s", vectors_name(c));
        cr_expect_eq(lucid_pth_find(f, name), n);
        lucid_tensor *got = lucid_pth_view(f, n);
        cr_assert(got, "%s: %s", key, lucid_error());
        cr_expect_eq(lucid_tensor_dtype(got), lucid_tensor_dtype(want), "%s", key);
        cr_expect(lucid_equal(got, want), "%s (%s)", key, name);
    }
    cr_expect_eq(lucid_pth_count(f), n, "%s", vectors_name(c));
}

static const char *write_case(vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    char key[256];
    snprintf(key, sizeof key, "%s/bytes", vectors_name(c));
    lucid_tensor *bytes = vectors_tensor(v, key);
    return files_write("a.bin", lucid_data(bytes), (size_t)lucid_numel(bytes));
}

Test(pth, every_file_of_pytorch)
{
    vectors *v = vectors_open("pth");
    int n = 0, refused = 0;
    for (const vectors_case *c; (c = vectors_next(v)); n++) {
        const char *path = write_case(v, c);
        const char *why = vectors_get(c, "refused"), *foreign = vectors_get(c, "foreign");
        lucid_pth *f = lucid_pth_open(path);
        if (why) {
            cr_assert_null(f, "%s", vectors_name(c));
            cr_expect(strstr(lucid_error(), why), "%s: %s", vectors_name(c), lucid_error());
            lucid_clear_error();
            refused++;
            continue;
        }
        cr_assert(f, "%s: %s", vectors_name(c), lucid_error());
        if (foreign) {
            cr_expect_not_null(lucid_pth_get(f, "a"));
            EXPECT_ERROR(lucid_pth_get(f, "b"), LUCID_ERR_UNSUPPORTED, foreign);
        } else {
            expect_tensors(v, c, f);
        }
        lucid_pth_close(f);
    }
    cr_expect_gt(n, 40);
    cr_expect_gt(refused, 10);
    vectors_close(v);
    cr_expect_eq(lucid_live().other, 0);
}

/* The case of a name; the vectors stay open. */
static const char *find_case(const char *name)
{
    vectors *v = vectors_open("pth");
    const vectors_case *c = vectors_next(v);
    while (c && strcmp(vectors_name(c), name) != 0) c = vectors_next(v);
    cr_assert(c, "%s", name);
    const char *path = write_case(v, c);
    vectors_close(v);
    return path;
}

Test(pth, numbers_and_texts_of_a_checkpoint)
{
    static const char *const pairs[][2] = {
        {"epoch", "3"},
        {"name", "Gr\xc3\xb6\xc3\x9f"
                 "e"},
        {"best", "0.5"},
        {"done", "False"},
        {"large", "1099511627776"},
        {"shape.1", "3"},
        {"optimizer.param_groups.0.momentum", "0.90000000000000002"},
        {"optimizer.param_groups.0.params.5", "5"}};
    lucid_pth *f = lucid_pth_open(find_case("checkpoint"));
    cr_assert(f, "%s", lucid_error());
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *got = lucid_pth_note(f, pairs[i][0]);
        cr_assert(got, "%s", pairs[i][0]);
        cr_expect_str_eq(got, pairs[i][1]);
    }
    cr_expect_null(lucid_pth_note(f, "nothing"));
    cr_expect_null(lucid_pth_note(f, "state_dict"));
    cr_expect_eq(lucid_error_code(), LUCID_OK);
    cr_expect_gt(lucid_pth_note_count(f), 10);
    EXPECT_ERROR(lucid_pth_note_key(f, -1), LUCID_ERR_ARGUMENT, "pth_note_key: i: expected");
    EXPECT_ERROR(lucid_pth_name(f, 100), LUCID_ERR_ARGUMENT, "i: expected one in [0,");
    EXPECT_ERROR(lucid_pth_get(f, "fc"), LUCID_ERR_ARGUMENT, "there is no tensor \"fc\"");
    EXPECT_ERROR(lucid_pth_get(NULL, "fc"), LUCID_ERR_ARGUMENT, "file: got NULL");
    lucid_pth_close(f);
    f = lucid_pth_open(find_case("checkpoint_old"), .entry = "optimizer.state");
    cr_assert(f, "%s", lucid_error());
    cr_expect_eq(lucid_pth_count(f), 6);
    cr_expect_str_eq(lucid_pth_name(f, 0), "0.momentum_buffer");
    lucid_pth_close(f);
    EXPECT_ERROR(lucid_pth_open(find_case("checkpoint"), .entry = "ema"), LUCID_ERR_ARGUMENT,
                 "entry: the file has no \"ema\"");
    EXPECT_ERROR(lucid_pth_open(files_path("none")), LUCID_ERR_IO, "cannot open");
    EXPECT_ERROR(lucid_pth_open(NULL), LUCID_ERR_ARGUMENT, "path");
}

Test(pth, views_share_their_storage_and_never_reach_the_file)
{
    LUCID_SCOPE;
    const char *path = find_case("views");
    lucid_pth *f = lucid_pth_open(path);
    lucid_tensor *whole = lucid_pth_get(f, "whole"), *part = lucid_pth_get(f, "part");
    lucid_pth_close(f);
    cr_expect_eq(lucid_stride(part, 0), 6);
    lucid_fill_(whole, -1);
    cr_expect(lucid_item(lucid_sum(part)) == -6);
    f = lucid_pth_open(path);
    cr_expect(lucid_item(lucid_sum(lucid_pth_get(f, "part"))) == 72, "the file is as it was");
    cr_expect_eq(lucid_ndim(lucid_pth_get(f, "scalar")), 0);
    cr_expect_eq(lucid_stride(lucid_pth_get(f, "expanded"), 0), 0);
    lucid_pth_close(f);
}

/* ---- loading --------------------------------------------------------------------------------- */

static lucid_module *make_net(void)
{
    return nn_Sequential(nn_Conv2d(2, 3, 2), nn_BatchNorm2d(3), nn_Flatten(), nn_Linear(3, 2));
}

Test(pth, load_decides_by_content)
{
    static const char *const cases[] = {"state",   "state_old",   "checkpoint",
                                        "model",   "nested_old",  "only_one",
                                        "wrapped", "wrapped_old", "deflated"};
    LUCID_SCOPE;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lucid_module *net = make_net();
        cr_assert(lucid_load(net, find_case(cases[i])), "%s: %s", cases[i], lucid_error());
        lucid_tensor *w = lucid_get_parameter(net, "3.weight");
        lucid_pth *f = lucid_pth_open(files_path("a.bin"));
        const char *name =
            lucid_pth_find(f, "3.weight") < 0 ? "module._orig_mod.3.weight" : "3.weight";
        cr_expect(lucid_equal(w, lucid_pth_get(f, name)), "%s", cases[i]);
        lucid_pth_close(f);
        lucid_module_free(net);
    }
    lucid_state_dict *s = lucid_state_dict_load(find_case("state"));
    cr_assert(s, "%s", lucid_error());
    cr_expect_eq(lucid_state_dict_version(s, "1"), 2);
    cr_expect_eq(lucid_state_dict_version(s, ""), 1);
    lucid_state_dict_free(s);
    s = lucid_state_dict_load(find_case("checkpoint"));
    cr_expect_str_eq(lucid_state_dict_note(s, "epoch"), "3");
    lucid_state_dict_free(s);
}

static bool is_close(lucid_tensor *a, lucid_tensor *b)
{
    return lucid_allclose(a, b, 1e-5, 1e-6, false);
}

Test(pth, load_with_other_names_and_channels)
{
    LUCID_SCOPE;
    lucid_module *net = nn_NamedSequential({"conv", nn_Conv2d(1, 3, 2)}, {"bn", nn_BatchNorm2d(3)},
                                           {"flat", nn_Flatten()}, {"head", nn_Linear(3, 5)});
    const char *path = find_case("state");
    EXPECT_ERROR(lucid_load(net, path), LUCID_ERR_FORMAT, "unexpected: 0.weight");
    cr_assert(lucid_load(net, path, .rename = "0.*=conv.*|1.*=bn.*|3.*=head.*", .ignore = "head.*",
                         .adapt_channels = "conv.weight"),
              "%s", lucid_error());
    lucid_pth *f = lucid_pth_open(path);
    cr_expect(is_close(lucid_get_parameter(net, "conv.weight"),
                       lucid_sum(lucid_pth_get(f, "0.weight"), 1, .keepdim = true)));
    cr_expect(lucid_equal(lucid_get_parameter(net, "bn.bias"), lucid_pth_get(f, "1.bias")));
    lucid_module *wide = nn_Sequential(nn_Conv2d(5, 3, 2), nn_BatchNorm2d(3));
    cr_assert(lucid_load(wide, path, .ignore = "3.*", .adapt_channels = "0.weight"), "%s",
              lucid_error());
    lucid_tensor *w = lucid_get_parameter(wide, "0.weight"), *w0 = lucid_pth_get(f, "0.weight");
    cr_expect(is_close(lucid_select(w, 1, 4), lucid_mul(lucid_select(w0, 1, 0), 2.0 / 5)));
    cr_expect(is_close(lucid_select(w, 1, 3), lucid_mul(lucid_select(w0, 1, 1), 2.0 / 5)));
    lucid_pth_close(f);
    static const struct {
        const char *rename, *ignore, *adapt, *why;
    } bad[] = {
        {"0.weight", NULL, NULL, "rename: expected OLD=NEW with a * in both or in none"},
        {"0.weight=*", NULL, NULL, "expected OLD=NEW"},
        {"*.*=a", NULL, NULL, "expected OLD=NEW"},
        {"9.*=1.*", NULL, NULL, "rename: \"9.*=1.*\" is for none of the state's names"},
        {"0.*=1.*", NULL, NULL, "rename: two tensors would be \"1.weight\""},
        {NULL, "fc.*", NULL, "ignore: \"fc.*\" matches no name"},
        {NULL, "3.*", "conv1.*", "adapt_channels: \"conv1.*\" matches no name"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_ERROR(lucid_load(wide, path, .rename = bad[i].rename, .ignore = bad[i].ignore,
                                .adapt_channels = bad[i].adapt),
                     LUCID_ERR_ARGUMENT, bad[i].why);
    lucid_module_free(net);
    lucid_module_free(wide);
}

/* ---- writing --------------------------------------------------------------------------------- */

Test(pth, written_and_read)
{
    LUCID_SCOPE;
    lucid_module *net = make_net(), *other = make_net();
    lucid_state_dict *s = lucid_module_state_dict(net);
    lucid_state_dict_set_note(s, "epoch", "7");
    const char *path = files_path("net.pth");
    cr_assert(lucid_save(s, path), "%s", lucid_error());
    cr_assert(lucid_load(other, path), "%s", lucid_error());
    cr_expect(
        lucid_equal(lucid_get_parameter(other, "0.weight"), lucid_get_parameter(net, "0.weight")));
    lucid_state_dict *r = lucid_state_dict_load(path);
    cr_assert(r, "%s", lucid_error());
    cr_expect_eq(lucid_state_dict_version(r, "1"), 2);
    cr_expect_str_eq(lucid_state_dict_note(r, "epoch"), "7");
    cr_expect_eq(files_count(), 1);
    lucid_state_dict_free(r);
    lucid_state_dict_free(s);
    lucid_module_free(net);
    lucid_module_free(other);
}

Test(pth, every_dtype_stride_and_shared_memory)
{
    LUCID_SCOPE;
    lucid_tensor *t[LUCID_DTYPE_COUNT + 4];
    const char *names[LUCID_DTYPE_COUNT + 4];
    int n = 0;
    for (; n < LUCID_DTYPE_COUNT; n++) {
        t[n] = lucid_full((2, 3), 1, .dtype = (lucid_dtype)n);
        names[n] = lucid_dtype_name((lucid_dtype)n);
    }
    t[n] = lucid_transpose(lucid_randn((3, 4)), 0, 1), names[n++] = "transposed";
    t[n] = t[0], names[n++] = "tied";
    t[n] = lucid_zeros((0, 3)), names[n++] = "empty";
    t[n] = lucid_scalar(2.5), names[n++] = "scalar";
    const char *path = files_path("a.pt");
    cr_assert(lucid_pth_write(path, names, t, n), "%s", lucid_error());
    lucid_pth *f = lucid_pth_open(path);
    cr_assert(f, "%s", lucid_error());
    for (int i = 0; i < n; i++) {
        lucid_tensor *r = lucid_pth_get(f, names[i]);
        cr_assert(r, "%s", lucid_error());
        cr_expect_eq(lucid_tensor_dtype(r), lucid_tensor_dtype(t[i]));
        cr_expect(lucid_equal(r, t[i]), "%s", names[i]);
    }
    cr_expect_eq(lucid_data(lucid_pth_get(f, "tied")), lucid_data(lucid_pth_get(f, "float32")));
    lucid_pth_close(f);
    names[1] = "float32";
    EXPECT_ERROR(lucid_pth_write(path, names, t, n), LUCID_ERR_ARGUMENT, "is given twice");
    names[1] = "\xff";
    EXPECT_ERROR(lucid_pth_write(path, names, t, n), LUCID_ERR_ARGUMENT, "is not UTF-8");
    t[1] = NULL, names[1] = "a";
    EXPECT_ERROR(lucid_pth_write(path, names, t, n), LUCID_ERR_ARGUMENT, "(a): got NULL");
    EXPECT_ERROR(lucid_pth_write(path, NULL, t, n), LUCID_ERR_ARGUMENT, "names: got NULL");
    cr_expect(lucid_pth_write(path, NULL, NULL, 0));
}

/* An archive whose sizes take the 64-bit form. */
Test(pth, wide_archives)
{
    luc_output out;
    luc_file_map map;
    luc_zip zip;
    const char *path = files_path("wide.zip");
    cr_assert(luc_output_open(&out, path, "test"));
    luc_zip_writer w = {.out = &out, .limit = 5};
    cr_expect(luc_zip_begin(&w, "a/small", 3, 0x352441c2) && luc_zip_put(&w, "abc", 3));
    cr_expect(luc_zip_begin(&w, "a/large", 6, 0x4b8e39ef) && luc_zip_put(&w, "abcdef", 6));
    cr_expect(luc_zip_end(&w) && luc_output_check(&out));
    luc_zip_writer_free(&w);
    cr_assert(luc_output_close(&out, true), "%s", lucid_error());
    cr_assert(luc_file_map_open(&map, path, "test"));
    cr_assert(luc_zip_read(&zip, &map, path, "zip", "test"), "%s", lucid_error());
    const unsigned char *data = NULL;
    const luc_zip_member *m = luc_zip_find(&zip, "a/large");
    cr_assert(m && luc_zip_view(&zip, m, &data, "test") && data, "%s", lucid_error());
    cr_expect(m->size == 6 && memcmp(data, "abcdef", 6) == 0);
    cr_expect_eq((uintptr_t)data % 64, 0);
    cr_expect_null(luc_zip_find(&zip, "a/larg"));
    luc_zip_free(&zip);
    luc_file_map_close(&map);
}

Test(pth, every_allocation_may_fail)
{
    for (int k = 0; k < 3; k++) {
        static const char *const cases[] = {"checkpoint", "deflated", "state_old"};
        char path[512];
        snprintf(path, sizeof path, "%s", find_case(cases[k]));
        for (uint64_t n = 1;; n++) {
            LUCID_SCOPE;
            lucid_memory_fail_nth(n);
            lucid_pth *f = lucid_pth_open(path);
            lucid_tensor *t = f ? lucid_pth_get(f, "0.weight") : NULL;
            const char *name = "w";
            const bool ok = t && lucid_pth_write(files_path("w.pth"), &name, &t, 1);
            const bool reached = lucid_memory_fail_count() >= n;
            lucid_memory_fail_nth(0);
            lucid_pth_close(f);
            cr_assert_eq(ok, !reached, "%d: %s", (int)n, lucid_error());
            cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                         lucid_error());
            lucid_clear_error();
            cr_assert_eq(lucid_live().other, 0);
            if (!reached) break;
        }
    }
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Every tensor of a file, or one clear error. Returns whether all came. */
static bool read_all(const char *path, lucid_tensor *const *want, size_t n_want)
{
    LUCID_SCOPE;
    lucid_pth *f = lucid_pth_open(path);
    if (!f) {
        cr_expect_neq(lucid_error_code(), LUCID_OK);
        lucid_clear_error();
        return false;
    }
    bool same = (size_t)lucid_pth_count(f) == n_want;
    for (int64_t i = 0; i < lucid_pth_count(f); i++) {
        lucid_tensor *t = lucid_pth_view(f, i);
        cr_expect_eq(t == NULL, lucid_error_code() != LUCID_OK, "%d %s", t != NULL, lucid_error());
        lucid_clear_error();
        lucid_sum(t ? lucid_cast(t, LUCID_F64) : NULL);
        lucid_clear_error();
        same = same && t && want && lucid_equal(t, want[i]);
    }
    lucid_pth_close(f);
    return !want || same;
}

/* The file is in memory: there are thousands of it. */
static void damage(const char *name, bool has_checksums)
{
    LUCID_SCOPE;
    size_t size;
    char path[64], *bytes = files_read(find_case(name), &size);
    const int fd = memfd_create("damaged", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    lucid_tensor *want[64];
    lucid_pth *f = lucid_pth_open(files_path("a.bin"));
    const size_t n = (size_t)lucid_pth_count(f);
    cr_assert(f && n <= 64);
    for (size_t i = 0; i < n; i++) want[i] = lucid_pth_view(f, (int64_t)i);
    lucid_pth_close(f);
    for (size_t cut = 0; cut < size; cut++) {
        cr_expect(!read_all(path, NULL, n), "%s, cut to %zu of %zu", name, cut, size);
        cr_assert_eq(pwrite(fd, bytes + cut, 1, (off_t)cut), 1);
    }
    cr_expect(read_all(path, want, n));
    for (size_t at = 0; at < size; at++) {
        for (int k = 0; k < 2; k++) {
            const char flipped = (char)(bytes[at] ^ (k ? 0x80 : 1));
            cr_assert_eq(pwrite(fd, &flipped, 1, (off_t)at), 1);
            lucid_pth *g = lucid_pth_open(path);
            const bool opens = g != NULL;
            lucid_pth_close(g);
            lucid_clear_error();
            const bool right = read_all(path, has_checksums ? want : NULL, n);
            cr_expect(right || !opens || !has_checksums, "%s, byte %zu", name, at);
        }
        cr_assert_eq(pwrite(fd, bytes + at, 1, (off_t)at), 1);
    }
    close(fd);
    free(bytes);
}

Test(pth, every_cut_and_flip_of_an_archive)
{
    damage("parameters", true);
    damage("deflated", true);
    cr_expect_eq(lucid_live().other, 0);
}

Test(pth, every_cut_and_flip_of_the_old_form)
{
    damage("state_old", false);
    damage("views_old", false);
    cr_expect_eq(lucid_live().other, 0);
}

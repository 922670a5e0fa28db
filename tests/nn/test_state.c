/* Printing, state dicts, loading, files. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "tests/nn/made.h"
#include "tests/reference/vectors.h"

#include <stdio.h>
#include <unistd.h>

/* ---- printing and order, as PyTorch has them ------------------------------------------------- */

Test(state, printing_is_pytorchs)
{
    int cases = 0;
    vectors *v = vectors_open("module_repr");
    for (const vectors_case *c; (c = vectors_next(v)); cases++) {
        char name[64], expected[4096] = "";
        snprintf(name, sizeof name, "%s", vectors_name(c));
        for (int64_t n = vectors_int(c, "lines", 0); n > 0; n--) {
            strcat(expected, vectors_line(v));
            if (n > 1) strcat(expected, "\n");
        }
        lucid_module *m = made(name);
        cr_assert(m, "%s: there is no such module here", name);
        char *text = lucid_module_to_string(m);
        cr_expect_str_eq(text, expected);
        free(text);
        lucid_module_free(m);
    }
    vectors_close(v);
    cr_expect(cases >= 46, "only %d cases", cases);
}

static void describe(lucid_named_tensor t, char *text, size_t size)
{
    static const char *const dtypes[] = {"f32", "f64", "f16", "bf16", "i64"};
    int n = snprintf(text, size, "%s %s ", t.name, dtypes[lucid_tensor_dtype(t.tensor)]);
    if (lucid_ndim(t.tensor) == 0) snprintf(text + n, size - (size_t)n, "-");
    for (int d = 0; d < lucid_ndim(t.tensor); d++)
        n += snprintf(text + n, size - (size_t)n, "%s%lld", d ? "," : "",
                      (long long)lucid_size(t.tensor, d));
}

Test(state, order_is_pytorchs)
{
    int cases = 0;
    vectors *v = vectors_open("state_dict");
    for (const vectors_case *c; (c = vectors_next(v)); cases++) {
        char name[64], line[256];
        snprintf(name, sizeof name, "%s", vectors_name(c));
        size_t lines = (size_t)vectors_int(c, "lines", 0);
        lucid_module *m = made(name);
        cr_assert(m, "%s: there is no such module here", name);
        lucid_state_dict *s = lucid_module_state_dict(m);
        cr_assert(lucid_state_dict_size(s) == lines, "%s: expected %zu entries, got %zu", name,
                  lines, lucid_state_dict_size(s));
        for (size_t i = 0; i < lines; i++) {
            describe(lucid_state_dict_at(s, i), line, sizeof line);
            cr_expect_str_eq(line, vectors_line(v));
        }
        lucid_state_dict_free(s);
        lucid_module_free(m);
    }
    vectors_close(v);
    cr_expect(cases >= 15, "only %d cases", cases);
}

/* ---- state dicts ----------------------------------------------------------------------------- */

Test(state, tensors_are_shared_and_detached)
{
    lucid_module *m = nn_Linear(2, 2);
    lucid_state_dict *s = lucid_module_state_dict(m);
    lucid_tensor *w = lucid_get_parameter(m, "weight"), *entry = lucid_state_dict_get(s, "weight");
    cr_expect(lucid_shares_storage(w, entry) && !lucid_requires_grad(entry));
    lucid_init_constant(w, 3);
    EXPECT_VALUES(entry, 0, 0, {3, 3, 3, 3});
    lucid_state_dict_free(s);
    lucid_module_free(m);
}

Test(state, versions_and_notes)
{
    lucid_module *net = nn_Sequential(nn_Linear(2, 2), nn_BatchNorm1d(2));
    lucid_state_dict *s = lucid_module_state_dict(net);
    cr_expect(lucid_state_dict_version(s, "") == 1 && lucid_state_dict_version(s, "1") == 2);
    cr_expect(lucid_state_dict_version(s, "7") == -1);
    cr_expect(lucid_state_dict_set_note(s, "epoch", "3"));
    lucid_state_dict *copy = lucid_state_dict_copy(s);
    cr_expect_str_eq(lucid_state_dict_note(copy, "epoch"), "3");
    cr_expect(lucid_state_dict_version(copy, "1") == 2 && lucid_state_dict_size(copy) == 7);
    cr_expect(lucid_state_dict_remove(copy, "0.bias") && !lucid_state_dict_remove(copy, "0.bias"));
    cr_expect(lucid_state_dict_size(copy) == 6 && lucid_state_dict_size(s) == 7);
    cr_expect_str_eq(lucid_state_dict_at(copy, 1).name, "1.weight");
    lucid_state_dict_free(copy);
    lucid_state_dict_free(s);
    lucid_module_free(net);
}

Test(state, non_persistent_buffers_stay_out)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&lucid_module_class_base);
    lucid_register_buffer(m, "kept", NULL, lucid_ones((1)));
    lucid_register_buffer(m, "left", NULL, lucid_ones((1)), .persistent = false);
    lucid_state_dict *s = lucid_module_state_dict(m);
    cr_expect(lucid_state_dict_size(s) == 1 && lucid_state_dict_get(s, "kept"));
    lucid_state_dict_free(s);
    lucid_module_free(m);
}

/* ---- loading --------------------------------------------------------------------------------- */

Test(state, load_copies_and_converts)
{
    LUCID_SCOPE;
    lucid_manual_seed(1);
    lucid_module *a = made("mnist"), *b = made("mnist");
    lucid_tensor *w = lucid_get_parameter(b, "9.weight");
    uint64_t version = lucid_tensor_version(w);
    lucid_state_dict *s = lucid_module_state_dict(a);
    cr_expect(!lucid_equal(w, lucid_get_parameter(a, "9.weight")));
    cr_expect(lucid_load_state_dict(b, s));
    cr_expect(lucid_equal(w, lucid_get_parameter(a, "9.weight")));
    cr_expect(lucid_get_parameter(b, "9.weight") == w && lucid_tensor_version(w) > version);
    cr_expect(lucid_requires_grad(w));
    lucid_to_dtype(b, LUCID_F64);
    cr_expect(lucid_load_state_dict(b, s));
    cr_expect(lucid_tensor_dtype(w) == LUCID_F64);
    cr_expect(lucid_equal(w, lucid_get_parameter(a, "9.weight")));
    lucid_state_dict_free(s);
    lucid_module_free(b);
    lucid_module_free(a);
}

Test(state, a_refused_load_changes_nothing)
{
    LUCID_SCOPE;
    lucid_module *a = nn_Sequential(nn_Linear(2, 2), nn_Linear(2, 3));
    lucid_module *b = nn_Sequential(nn_Linear(2, 2), nn_Linear(2, 4), nn_Linear(1, 1));
    lucid_state_dict *s = lucid_module_state_dict(a), *before = lucid_module_state_dict(b);
    cr_expect(lucid_state_dict_set(s, "extra", lucid_ones((1))));
    lucid_tensor *w = lucid_get_parameter(b, "0.weight");
    lucid_tensor *old = lucid_clone(w, LUCID_PRESERVE);
    EXPECT_ERROR(lucid_load_state_dict(b, s), LUCID_ERR_FORMAT,
                 "missing: 2.weight, 2.bias; unexpected: extra; other sizes: 1.weight: expected "
                 "[4,2], got [3,2], 1.bias: expected [4], got [3]");
    EXPECT_ERROR(lucid_load_state_dict(b, s, .strict = false), LUCID_ERR_FORMAT, "other sizes");
    cr_expect(lucid_equal(w, old));
    lucid_state_dict_free(before);
    lucid_state_dict_free(s);
    lucid_module_free(b);
    lucid_module_free(a);
}

Test(state, non_strict_takes_what_fits)
{
    LUCID_SCOPE;
    lucid_module *a = nn_Sequential(nn_Linear(2, 2));
    lucid_module *b = nn_Sequential(nn_Linear(2, 2), nn_Linear(2, 4));
    lucid_state_dict *s = lucid_module_state_dict(a);
    lucid_state_dict_set(s, "extra", lucid_ones((1)));
    cr_expect(lucid_load_state_dict(b, s, .strict = false));
    cr_expect(lucid_equal(lucid_get_parameter(b, "0.weight"), lucid_get_parameter(a, "0.weight")));
    lucid_state_dict_free(s);
    lucid_module_free(b);
    lucid_module_free(a);
}

Test(state, a_load_that_runs_out_of_memory_changes_nothing)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *a = nn_Sequential(nn_Linear(2, 2), nn_BatchNorm1d(2)), *b = made("linear");
    lucid_module_free(b);
    b = nn_Sequential(nn_Linear(2, 2), nn_BatchNorm1d(2));
    lucid_to_dtype(b, LUCID_F64);
    lucid_state_dict *s = lucid_module_state_dict(a);
    lucid_tensor *old = lucid_clone(lucid_get_parameter(b, "0.weight"), LUCID_PRESERVE);
    bool done = false;
    int refused = 0;
    for (uint64_t nth = 1; !done && nth < 500; nth++) {
        lucid_memory_fail_nth(nth);
        done = lucid_load_state_dict(b, s);
        lucid_memory_fail_nth(0);
        if (done) break;
        refused++;
        cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "%s", lucid_error());
        lucid_clear_error();
        cr_expect(lucid_equal(lucid_get_parameter(b, "0.weight"), old), "allocation %d", refused);
    }
    cr_expect(done && refused > 10);
    cr_expect(lucid_equal(lucid_get_parameter(b, "0.weight"), lucid_get_parameter(a, "0.weight")));
    lucid_state_dict_free(s);
    lucid_module_free(b);
    lucid_module_free(a);
}

/* ---- files ----------------------------------------------------------------------------------- */

static const char *temporary(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/lucid-test-%d.safetensors", (int)getpid());
    return path;
}

Test(state, save_and_load)
{
    LUCID_SCOPE;
    lucid_manual_seed(2);
    const char *path = temporary();
    lucid_module *a = made("mnist"), *b = made("mnist");
    lucid_init_normal(lucid_get_buffer(a, "1.running_mean"), 0, 1);
    cr_expect(lucid_save(a, path), "%s", lucid_error());
    cr_expect(lucid_load(b, path), "%s", lucid_error());
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(a, &n),
                             *q = lucid_named_parameters(b, NULL);
    for (size_t i = 0; i < n; i++)
        cr_expect(lucid_equal(p[i].tensor, q[i].tensor), "%s", p[i].name);
    p = lucid_named_buffers(a, &n), q = lucid_named_buffers(b, NULL);
    for (size_t i = 0; i < n; i++)
        cr_expect(lucid_equal(p[i].tensor, q[i].tensor), "%s", p[i].name);
    lucid_state_dict *s = lucid_state_dict_load(path);
    cr_expect(lucid_state_dict_version(s, "1") == 2 && lucid_state_dict_version(s, "0") == 1);
    cr_expect_str_eq(lucid_state_dict_at(s, 5).name, "1.num_batches_tracked");
    lucid_state_dict_free(s);
    unlink(path);
    lucid_module_free(b);
    lucid_module_free(a);
}

Test(state, save_refuses_while_an_error_is_pending)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    const char *path = temporary();
    lucid_module *m = nn_Linear(2, 2);
    lucid_raise(LUCID_ERR_STATE, "test", "earlier");
    cr_expect(!lucid_save(m, path));
    cr_expect(access(path, F_OK) != 0);
    cr_expect(strstr(lucid_error(), "earlier"));
    lucid_clear_error();
    EXPECT_ERROR(lucid_load(m, "/nowhere/at/all"), LUCID_ERR_IO, "/nowhere/at/all");
    lucid_module_free(m);
}

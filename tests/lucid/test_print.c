/* Tensors as text: every stored case of PyTorch's, from memory laid out in several ways. */
#include "lucid/core/tensor_priv.h"
#include "tests/reference/vectors.h"
#include "tests/testing.h"

/* The same elements with the dimensions in reverse order in memory, and a gap after each
 * element. */
static lucid_tensor *strided_copy(const lucid_tensor *t)
{
    lucid_meta meta;
    luc_tensor_get_meta(t, &meta);
    int64_t step = 2;
    for (int d = 0; d < meta.ndim; d++) {
        meta.strides[d] = step;
        step *= meta.dims[d] > 0 ? meta.dims[d] : 1;
    }
    meta.offset = 1;
    size_t size = lucid_dtype_size(meta.dtype);
    luc_storage *s = luc_storage_new(lucid_cpu(), ((size_t)step + 1) * size, "strided_copy");
    cr_assert(s);
    lucid_tensor *copy = luc_tensor_on(s, &meta, "strided_copy");
    luc_storage_release(s);
    cr_assert(copy);
    const char *from = lucid_data(t);
    char *to = lucid_mutable_data(copy);
    for (int64_t i = 0; i < lucid_numel(t); i++) {
        int64_t rest = i, at = 0;
        for (int d = meta.ndim - 1; d >= 0; d--) {
            at += rest % meta.dims[d] * meta.strides[d];
            rest /= meta.dims[d];
        }
        memcpy(to + at * (int64_t)size, from + i * (int64_t)size, size);
    }
    return copy;
}

static void put(lucid_tensor *t, int64_t i, double x)
{
    void *p = lucid_mutable_data(t);
    switch (lucid_tensor_dtype(t)) {
    case LUCID_F32:
        ((float *)p)[i] = (float)x;
        break;
    case LUCID_F64:
        ((double *)p)[i] = x;
        break;
    case LUCID_F16:
        ((uint16_t *)p)[i] = lucid_f32_to_f16((float)x);
        break;
    case LUCID_I64:
        ((int64_t *)p)[i] = (int64_t)x;
        break;
    case LUCID_BOOL:
        ((uint8_t *)p)[i] = x != 0;
        break;
    default:
        cr_assert_fail("a dtype that no generated case has");
    }
}

/* Makes a tensor that is not stored, as its case says. */
static lucid_tensor *generated(const vectors_case *c, const char *how)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = vectors_dtype(vectors_get(c, "dtype"));
    lucid_shape shape;
    cr_assert(vectors_list(c, "shape", &shape));
    lucid_tensor *t = lucid_empty_opt(shape, &o);
    cr_assert(t);
    for (int64_t i = 0; i < lucid_numel(t); i++) {
        if (strcmp(how, "arange") == 0)
            put(t, i, (double)i);
        else if (strcmp(how, "quarter") == 0)
            put(t, i, (double)i / 4);
        else if (strcmp(how, "zeros") == 0)
            put(t, i, 0);
        else if (strcmp(how, "ones") == 0)
            put(t, i, 1);
        else
            cr_assert_fail("%s: values=%s is not known", vectors_name(c), how);
    }
    return t;
}

static void expect_text(const char *name, const char *how, const lucid_tensor *t, const char *want)
{
    char *got = lucid_to_string(t);
    cr_assert(got, "%s: %s", name, lucid_error());
    cr_expect(strcmp(got, want) == 0, "%s, %s: expected\n%s\ngot\n%s", name, how, want, got);
    free(got);
}

Test(print, every_stored_case)
{
    static char want[1 << 16];
    vectors *v = vectors_open("printing");
    int cases = 0;
    for (const vectors_case *c; (c = vectors_next(v)); cases++) {
        LUCID_SCOPE;
        size_t n = 0;
        for (int64_t lines = vectors_int(c, "lines", -1), i = 0; i < lines; i++) {
            const char *line = vectors_line(v);
            cr_assert(line && n + strlen(line) + 2 < sizeof want);
            n += (size_t)sprintf(want + n, "%s%s", i ? "\n" : "", line);
        }
        cr_assert(n > 0);
        char key[128];
        snprintf(key, sizeof key, "%s/in0", vectors_name(c));
        const char *how = vectors_get(c, "values");
        lucid_tensor *t = how ? generated(c, how) : vectors_tensor(v, key);
        lucid_tensor *strided = strided_copy(t);
        t->requires_grad = strided->requires_grad = vectors_bool(c, "requires_grad", false);
        expect_text(vectors_name(c), "contiguous", t, want);
        expect_text(vectors_name(c), "strided", strided, want);
    }
    cr_expect(cases > 100, "only %d cases", cases);
    vectors_close(v);
}

/* Makes a row of float32 without kernels. */
#define ROW(...) \
    row((const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float))
static lucid_tensor *row(const float *values, size_t n)
{
    lucid_tensor *t = lucid_empty_opt((lucid_shape){1, {(int64_t)n}}, NULL);
    cr_assert(t);
    memcpy(lucid_mutable_data(t), values, n * sizeof *values);
    return t;
}

static void with_options(int precision, int64_t threshold, int64_t edge_items, int line_width,
                         lucid_tensor *t, const char *want)
{
    lucid_set_print_options(precision, threshold, edge_items, line_width);
    expect_text("options", "set", t, want);
    lucid_set_print_options(4, 1000, 3, 80);
}

Test(print, options)
{
    lucid_tensor *t = ROW(0.5, 1.25, -2, 3.875, 4);
    with_options(2, 1000, 3, 80, t, "tensor([ 0.50,  1.25, -2.00,  3.88,  4.00])");
    with_options(0, 1000, 3, 80, t, "tensor([ 0,  1, -2,  4,  4])");
    with_options(4, 4, 1, 80, t, "tensor([0.5000,  ..., 4.0000])");
    with_options(4, 4, 2, 80, t, "tensor([0.5000, 1.2500,  ..., 3.8750, 4.0000])");
    with_options(4, 4, INT64_MAX, 80, t, "tensor([ 0.5000,  1.2500, -2.0000,  3.8750,  4.0000])");
    with_options(4, 4, 0, 80, t, "tensor([...], size=(5,))");
    with_options(4, 1000, 3, 30, t,
                 "tensor([ 0.5000,  1.2500,\n        -2.0000,  3.8750,\n"
                 "         4.0000])");
    with_options(4, 1000, 3, 1, ROW(1, 2), "tensor([1.,\n        2.])");
    with_options(1, 0, 3, 80, ROW(0.25), "tensor([0.2])");
}

Test(print, options_that_are_refused)
{
    EXPECT_ERROR(lucid_set_print_options(-1, 1000, 3, 80), LUCID_ERR_ARGUMENT,
                 "set_print_options: precision: expected 0 to 60, got -1");
    EXPECT_ERROR(lucid_set_print_options(61, 1000, 3, 80), LUCID_ERR_ARGUMENT, "got 61");
    EXPECT_ERROR(lucid_set_print_options(4, -1, 3, 80), LUCID_ERR_ARGUMENT,
                 "threshold: expected >= 0, got -1");
    EXPECT_ERROR(lucid_set_print_options(4, 1000, -1, 80), LUCID_ERR_ARGUMENT,
                 "edge_items: expected >= 0, got -1");
    EXPECT_ERROR(lucid_set_print_options(4, 1000, 3, 0), LUCID_ERR_ARGUMENT,
                 "line_width: expected >= 1, got 0");
    expect_text("after the refusals", "", ROW(0.5f), "tensor([0.5000])");
}

Test(print, the_most_digits_fit)
{
    double x = -99999999.5;
    lucid_tensor *t = lucid_from_blob(LUCID_SHAPE(1), LUCID_F64, &x, NULL, NULL);
    char digits[64];
    memset(digits, '0', sizeof digits);
    digits[0] = '5';
    digits[60] = '\0';
    char want[128];
    snprintf(want, sizeof want, "tensor([-99999999.%s], dtype=torch.float64)", digits);
    with_options(60, 1000, 3, 160, t, want);
}

Test(print, to_a_file)
{
    char *s = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&s, &n);
    lucid_fprint(f, ROW(1, 2));
    lucid_fprint(f, ROW(0.5f));
    fclose(f);
    cr_expect(strcmp(s, "tensor([1., 2.])\ntensor([0.5000])\n") == 0, "%s", s);
    free(s);
    EXPECT_ERROR(lucid_fprint(NULL, ROW(1)), LUCID_ERR_ARGUMENT,
                 "print: file: expected an open file, got NULL");
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        EXPECT_ERROR(lucid_fprint(full, ROW(1)), LUCID_ERR_IO,
                     "print: file: the text of [1] cannot be written");
        fclose(full);
    }
}

Test(print, null_is_silent)
{
    lucid_print(NULL);
    lucid_fprint(stdout, NULL);
    cr_expect(!lucid_to_string(NULL));
    cr_expect(lucid_error_code() == LUCID_OK);
}

Test(print, out_of_memory_leaves_one_error)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *t = ROW(1, 2, 3);
    size_t before = lucid_scope_count();
    for (uint64_t n = 1;; n++) {
        cr_assert(n < 100);
        lucid_memory_fail_nth(n);
        char *s = lucid_to_string(t);
        lucid_memory_fail_nth(0);
        if (s) {
            free(s);
            break;
        }
        cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "%s", lucid_error());
        cr_expect(lucid_scope_count() == before);
        lucid_clear_error();
    }
    cr_expect(lucid_error_code() == LUCID_OK);
}

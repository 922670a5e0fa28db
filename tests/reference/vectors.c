#include "tests/reference/vectors.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_LENGTH = 4096, FIELDS_MAX = 48 };

struct vectors_case {
    char text[LINE_MAX_LENGTH];
    int count;
    const char *key[FIELDS_MAX], *value[FIELDS_MAX];
};

struct vectors {
    char area[64];
    FILE *manifest;
    const char *bytes; /* the safetensors file */
    size_t size, data; /* data: where the tensors begin */
    json_t *header;
    vectors_case current;
    char line[LINE_MAX_LENGTH];
};

/* ---- files ----------------------------------------------------------------------------------- */

static void open_tensors(vectors *v)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.safetensors", TESTS_REFERENCE, v->area);
    int fd = open(path, O_RDONLY);
    if (fd < 0 && errno == ENOENT) return;
    struct stat st;
    cr_assert(fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= 8, "%s: cannot be read", path);
    v->size = (size_t)st.st_size;
    void *p = mmap(NULL, v->size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    cr_assert(p != MAP_FAILED, "%s: cannot be mapped", path);
    v->bytes = p;
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)v->bytes[i];
    cr_assert(length <= v->size - 8, "%s: a header of %llu bytes", path,
              (unsigned long long)length);
    json_error_t error;
    v->header = json_loadb(v->bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    cr_assert(v->header, "%s: %s", path, error.text);
    v->data = 8 + (size_t)length;
}

vectors *vectors_open(const char *area)
{
    char path[1024];
    vectors *v = calloc(1, sizeof *v);
    cr_assert(v);
    snprintf(v->area, sizeof v->area, "%s", area);
    snprintf(path, sizeof path, "%s/%s.txt", TESTS_REFERENCE, area);
    v->manifest = fopen(path, "r");
    cr_assert(v->manifest, "%s: cannot be read", path);
    open_tensors(v);
    return v;
}

void vectors_close(vectors *v)
{
    if (!v) return;
    fclose(v->manifest);
    json_decref(v->header);
    if (v->bytes) munmap((void *)(uintptr_t)v->bytes, v->size);
    free(v);
}

/* ---- the manifest ---------------------------------------------------------------------------- */

const char *vectors_line(vectors *v)
{
    if (!fgets(v->line, sizeof v->line, v->manifest)) return NULL;
    size_t n = strlen(v->line);
    cr_assert(n > 0 && v->line[n - 1] == '\n', "%s.txt: a line is too long: %s", v->area, v->line);
    v->line[n - 1] = '\0';
    return v->line;
}

const vectors_case *vectors_next(vectors *v)
{
    vectors_case *c = &v->current;
    const char *line;
    do line = vectors_line(v);
    while (line && line[0] == '#');
    if (!line) return NULL;
    memcpy(c->text, line, strlen(line) + 1);
    c->count = 0;
    char *save = NULL;
    for (char *f = strtok_r(c->text, " ", &save); f; f = strtok_r(NULL, " ", &save)) {
        char *sign = strchr(f, '=');
        cr_assert(sign && c->count < FIELDS_MAX, "%s.txt: cannot be read: %s", v->area, line);
        *sign = '\0';
        c->key[c->count] = f;
        c->value[c->count++] = sign + 1;
    }
    return c;
}

const char *vectors_get(const vectors_case *c, const char *key)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->key[i], key) == 0) return c->value[i];
    return NULL;
}

const char *vectors_name(const vectors_case *c)
{
    const char *name = vectors_get(c, "case");
    return name ? name : c->text;
}

double vectors_double(const vectors_case *c, const char *key, double otherwise)
{
    const char *text = vectors_get(c, key);
    if (!text) return otherwise;
    char *end;
    double x = strtod(text, &end);
    cr_assert(end != text && *end == '\0', "%s: %s=%s is no number", vectors_name(c), key, text);
    return x;
}

int64_t vectors_int(const vectors_case *c, const char *key, int64_t otherwise)
{
    const char *text = vectors_get(c, key);
    if (!text) return otherwise;
    char *end;
    long long x = strtoll(text, &end, 10);
    cr_assert(end != text && *end == '\0', "%s: %s=%s is no integer", vectors_name(c), key, text);
    return x;
}

bool vectors_bool(const vectors_case *c, const char *key, bool otherwise)
{
    const char *text = vectors_get(c, key);
    if (!text) return otherwise;
    bool yes = strcmp(text, "true") == 0;
    cr_assert(yes || strcmp(text, "false") == 0, "%s: %s=%s is no bool", vectors_name(c), key,
              text);
    return yes;
}

bool vectors_list(const vectors_case *c, const char *key, lucid_shape *list)
{
    const char *text = vectors_get(c, key);
    *list = (lucid_shape){0};
    if (!text || strcmp(text, "none") == 0) return false;
    if (strcmp(text, "empty") == 0) return true;
    for (char *end;; text = end + 1) {
        long long x = strtoll(text, &end, 10);
        cr_assert(end != text && list->ndim < LUCID_MAX_DIMS && (*end == ',' || *end == '\0'),
                  "%s: %s=%s is no list of integers", vectors_name(c), key, vectors_get(c, key));
        list->dims[list->ndim++] = x;
        if (*end == '\0') return true;
    }
}

lucid_dtype vectors_dtype(const char *text)
{
    static const struct {
        const char *name, *stored;
        lucid_dtype dtype;
    } rows[] = {{"f32", "F32", LUCID_F32}, {"f64", "F64", LUCID_F64},
                {"f16", "F16", LUCID_F16}, {"bf16", "BF16", LUCID_BF16},
                {"i64", "I64", LUCID_I64}, {"i32", "I32", LUCID_I32},
                {"u8", "U8", LUCID_U8},    {"bool", "BOOL", LUCID_BOOL}};
    for (size_t i = 0; text && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(text, rows[i].name) == 0 || strcmp(text, rows[i].stored) == 0)
            return rows[i].dtype;
    cr_assert_fail("no dtype: %s", text ? text : "(none)");
    return LUCID_DTYPE_COUNT;
}

/* ---- tensors --------------------------------------------------------------------------------- */

bool vectors_has(const vectors *v, const char *name)
{
    return json_object_get(v->header, name) != NULL;
}

lucid_tensor *vectors_tensor(const vectors *v, const char *name)
{
    json_t *entry = json_object_get(v->header, name);
    cr_assert(entry, "%s.safetensors has no %s", v->area, name);
    json_t *sizes = json_object_get(entry, "shape"),
           *where = json_object_get(entry, "data_offsets");
    lucid_shape shape = {.ndim = (int)json_array_size(sizes)};
    cr_assert(shape.ndim <= LUCID_MAX_DIMS, "%s: too many dimensions", name);
    for (int d = 0; d < shape.ndim; d++)
        shape.dims[d] = json_integer_value(json_array_get(sizes, (size_t)d));
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = vectors_dtype(json_string_value(json_object_get(entry, "dtype")));
    size_t begin = (size_t)json_integer_value(json_array_get(where, 0));
    size_t end = (size_t)json_integer_value(json_array_get(where, 1));
    cr_assert(begin <= end && end <= v->size - v->data, "%s: outside of the file", name);
    cr_assert(end - begin == (size_t)lucid_shape_numel(&shape) * lucid_dtype_size(options.dtype),
              "%s: %zu bytes do not fit its shape", name, end - begin);
    /* Copied bytewise: this reader must not depend on what is being tested. */
    lucid_tensor *t = lucid_empty_opt(shape, &options);
    cr_assert(t, "%s: %s", name, lucid_error());
    if (end > begin) memcpy(lucid_mutable_data(t), v->bytes + v->data + begin, end - begin);
    return t;
}

/* pth_write.c: writing files that torch.load reads, with weights_only=True too. */
#include "lucid/io/pth.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/pth_priv.h"
#include "lucid/io/zip_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* What is written, and which tensors share a storage. */
typedef struct request {
    const luc_pth_content *c;
    int64_t *order;   /* indices of tensors, those of the same memory side by side */
    int64_t *storage; /* of tensor i: the index of the tensor whose memory it is */
    const char *op;
} request;

/* ---- checks ---------------------------------------------------------------------------------- */

static bool is_utf8(const char *s)
{
    const char *end = s + strlen(s);
    for (size_t n; s < end; s += n)
        if (!(n = luc_utf8_size(s, end))) return false;
    return true;
}

static bool check_texts(const request *r, const char *const *texts, int64_t n, const char *argument)
{
    if (n < 0 || (n && !texts))
        return luc_raise(LUCID_ERR_ARGUMENT, r->op, "%s: got %s", argument,
                         n < 0 ? "a negative number of them" : "NULL");
    for (int64_t i = 0; i < n; i++) {
        if (!texts[i])
            return luc_raise(LUCID_ERR_ARGUMENT, r->op, "%s[%lld]: got NULL", argument,
                             (long long)i);
        if (!is_utf8(texts[i]) || strlen(texts[i]) > INT32_MAX)
            return luc_raise(LUCID_ERR_ARGUMENT, r->op, "%s[%lld]: \"%s\" is not UTF-8", argument,
                             (long long)i, texts[i]);
    }
    return true;
}

static int compare_names(const void *a, const void *b, void *names)
{
    return strcmp(((const char *const *)names)[*(const int64_t *)a],
                  ((const char *const *)names)[*(const int64_t *)b]);
}

static bool check_unique(const request *r)
{
    const char *const *names = r->c->names;
    qsort_r(r->order, (size_t)r->c->n, sizeof *r->order, compare_names, (void *)(uintptr_t)names);
    for (int64_t i = 1; i < r->c->n; i++)
        if (strcmp(names[r->order[i - 1]], names[r->order[i]]) == 0)
            return luc_raise(LUCID_ERR_ARGUMENT, r->op, "names[%lld]: \"%s\" is given twice",
                             (long long)r->order[i], names[r->order[i]]);
    return true;
}

static bool check_content(const request *r)
{
    const luc_pth_content *c = r->c;
    if (!check_texts(r, c->names, c->n, "names") || !check_texts(r, c->keys, c->m, "keys") ||
        !check_texts(r, c->values, c->m, "values") ||
        !check_texts(r, c->paths, c->n_versions, "paths"))
        return false;
    for (int64_t i = 0; i < c->n; i++)
        if (!c->tensors || !c->tensors[i])
            return luc_raise(LUCID_ERR_ARGUMENT, r->op, "tensors[%lld] (%s): got NULL",
                             (long long)i, c->names[i]);
    return true;
}

/* ---- shared storages ------------------------------------------------------------------------- */

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* 0 for tensors that are the same elements of the same memory. */
static int compare_memory(const lucid_tensor *a, const lucid_tensor *b)
{
    const uintptr_t x = (uintptr_t)a->storage, y = (uintptr_t)b->storage;
    int order = x != y ? (x > y) - (x < y) : compare_numbers(a->offset, b->offset);
    if (!order) order = compare_numbers(a->view.dtype, b->view.dtype);
    if (!order) order = compare_numbers(a->view.ndim, b->view.ndim);
    for (int d = 0; !order && d < a->view.ndim; d++) {
        order = compare_numbers(a->view.dims[d], b->view.dims[d]);
        if (!order) order = compare_numbers(a->view.strides[d], b->view.strides[d]);
    }
    return order;
}

static int compare_tensors(const void *a, const void *b, void *tensors)
{
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    lucid_tensor *const *t = tensors;
    const int order = compare_memory(t[i], t[j]);
    return order ? order : compare_numbers(i, j);
}

static void find_shared(const request *r)
{
    lucid_tensor *const *t = r->c->tensors;
    qsort_r(r->order, (size_t)r->c->n, sizeof *r->order, compare_tensors, (void *)(uintptr_t)t);
    for (int64_t i = 0; i < r->c->n; i++) {
        const int64_t k = r->order[i];
        const bool same =
            i && t[k]->numel && t[k]->storage && compare_memory(t[r->order[i - 1]], t[k]) == 0;
        r->storage[k] = same ? r->storage[r->order[i - 1]] : k;
    }
}

/* ---- the pickle ------------------------------------------------------------------------------ */

static bool put(luc_string *s, const char *instructions)
{
    return luc_string_add(s, instructions, strlen(instructions));
}

static bool put_text(luc_string *s, const char *text)
{
    const size_t n = strlen(text);
    const char head[5] = {'X', (char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24)};
    return luc_string_add(s, head, 5) && luc_string_add(s, text, n);
}

static bool put_integer(luc_string *s, int64_t number)
{
    char bytes[10] = {'\x8a', 8}; /* 64 bits */
    for (int i = 0; i < 8; i++) bytes[2 + i] = (char)((uint64_t)number >> 8 * i);
    if (number < INT32_MIN || number > INT32_MAX) return luc_string_add(s, bytes, 10);
    bytes[1] = 'J'; /* 32 bits */
    return luc_string_add(s, bytes + 1, 5);
}

#define ORDERED_DICT "ccollections\nOrderedDict\n)R"

static const char *storage_type(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return "ctorch\nFloatStorage\n";
    case LUCID_F64:
        return "ctorch\nDoubleStorage\n";
    case LUCID_F16:
        return "ctorch\nHalfStorage\n";
    case LUCID_BF16:
        return "ctorch\nBFloat16Storage\n";
    case LUCID_I64:
        return "ctorch\nLongStorage\n";
    case LUCID_I32:
        return "ctorch\nIntStorage\n";
    case LUCID_U8:
        return "ctorch\nByteStorage\n";
    case LUCID_BOOL:
        return "ctorch\nBoolStorage\n";
    default:
        return NULL;
    }
}

/* _rebuild_tensor_v2(storage, 0, sizes, strides, False, OrderedDict()) */
static bool put_tensor(luc_string *s, const lucid_tensor *t, int64_t storage)
{
    char key[24];
    int64_t strides[LUCID_MAX_DIMS];
    snprintf(key, sizeof key, "%lld", (long long)storage);
    luc_contiguous_strides(t->view.ndim, t->view.dims, strides);
    bool ok = put(s, "ctorch._utils\n_rebuild_tensor_v2\n((") && put_text(s, "storage") &&
              put(s, storage_type(t->view.dtype)) && put_text(s, key) && put_text(s, "cpu") &&
              put_integer(s, t->numel) && put(s, "tQ") && put_integer(s, 0) && put(s, "(");
    for (int d = 0; ok && d < t->view.ndim; d++) ok = put_integer(s, t->view.dims[d]);
    ok = ok && put(s, "t(");
    for (int d = 0; ok && d < t->view.ndim; d++) ok = put_integer(s, strides[d]);
    return ok && put(s, "t\x89" ORDERED_DICT "tR");
}

static bool put_attributes(luc_string *s, const luc_pth_content *c)
{
    bool ok = put(s, "}");
    if (ok && c->n_versions) {
        ok = put_text(s, LUC_PTH_VERSIONS) && put(s, ORDERED_DICT "(");
        for (int64_t i = 0; ok && i < c->n_versions; i++)
            ok = put_text(s, c->paths[i]) && put(s, "}") && put_text(s, "version") &&
                 put_integer(s, c->versions[i]) && put(s, "s");
        ok = ok && put(s, "us");
    }
    if (ok && c->m) {
        ok = put_text(s, LUC_PTH_NOTES) && put(s, "}(");
        for (int64_t i = 0; ok && i < c->m; i++)
            ok = put_text(s, c->keys[i]) && put_text(s, c->values[i]);
        ok = ok && put(s, "us");
    }
    return ok && put(s, "b");
}

static bool make_pickle(luc_string *s, const request *r)
{
    const luc_pth_content *c = r->c;
    bool ok = put(s, "\x80\x02" ORDERED_DICT "(");
    for (int64_t i = 0; ok && i < c->n; i++)
        ok = put_text(s, c->names[i]) && put_tensor(s, c->tensors[i], r->storage[i]);
    ok = ok && put(s, "u");
    if (ok && (c->n_versions || c->m)) ok = put_attributes(s, c);
    return ok && put(s, ".");
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool put_member(luc_zip_writer *w, const char *name, const void *data, size_t size)
{
    return luc_zip_begin(w, name, size, (uint32_t)crc32_z(0, data, size)) &&
           luc_zip_put(w, data, size);
}

static bool put_storage(luc_zip_writer *w, const lucid_tensor *t, int64_t i, const char *op)
{
    char name[48];
    snprintf(name, sizeof name, "archive/data/%lld", (long long)i);
    const size_t bytes = (size_t)t->numel * lucid_dtype_size(t->view.dtype);
    if (!bytes) return put_member(w, name, "", 0);
    if (lucid_tensor_device(t).type == LUCID_CPU && lucid_is_contiguous(t, LUCID_CONTIGUOUS))
        return put_member(w, name, lucid_data(t), bytes);
    void *data = luc_alloc(bytes, op);
    bool ok = data && lucid_copy_to(t, data, bytes) && put_member(w, name, data, bytes);
    luc_free(data);
    return ok;
}

static bool write_file(const char *path, const request *r, const luc_string *pickle)
{
    luc_output out;
    if (!luc_output_open(&out, path, r->op)) return false;
    luc_zip_writer w = {.out = &out, .limit = LUC_ZIP_LIMIT};
    bool ok = put_member(&w, "archive/data.pkl", pickle->s, pickle->length) &&
              put_member(&w, "archive/byteorder", "little", 6);
    for (int64_t i = 0; ok && i < r->c->n; i++)
        if (r->storage[i] == i) ok = put_storage(&w, r->c->tensors[i], i, r->op);
    ok = ok && put_member(&w, "archive/version", "3\n", 2) && luc_zip_end(&w) &&
         luc_output_check(&out);
    luc_zip_writer_free(&w);
    return luc_output_close(&out, ok);
}

bool luc_pth_write(const char *path, const luc_pth_content *content, const char *op)
{
    request r = {.c = content, .op = op};
    if (lucid_error_code() != LUCID_OK || !check_content(&r)) return false;
    luc_string pickle = {0};
    r.order = luc_calloc((size_t)content->n, sizeof *r.order, op);
    r.storage = luc_calloc((size_t)content->n, sizeof *r.storage, op);
    bool ok = r.order && r.storage;
    for (int64_t i = 0; ok && i < content->n; i++) r.order[i] = i;
    ok = ok && check_unique(&r);
    if (ok) find_shared(&r);
    ok = ok && make_pickle(&pickle, &r) && write_file(path, &r, &pickle);
    luc_string_free(&pickle);
    luc_free(r.order);
    luc_free(r.storage);
    return ok;
}

bool lucid_pth_write(const char *path, const char *const *names, lucid_tensor *const *tensors,
                     int64_t n)
{
    const luc_pth_content content = {.names = names, .tensors = tensors, .n = n};
    return luc_pth_write(path, &content, "pth_write");
}

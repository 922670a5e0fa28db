#include "lucid/io/safetensors.h"
#include "lucid/core/text_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/safetensors_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <stdlib.h>
#include <string.h>

static const char op[] = "safetensors_write";

typedef struct request {
    const char *const *names;
    lucid_tensor *const *tensors;
    int64_t n;
    const char *const *keys, *const *values;
    int64_t m;
} request;

static bool check_name(const char *name, const char *argument, int64_t i)
{
    if (!name)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s[%lld]: got NULL", argument, (long long)i);
    return true;
}

/* A NULL that comes from an earlier error changes nothing, because the first error counts. */
static bool check_request(const request *r)
{
    if (r->n < 0 || r->m < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "n, m: expected >= 0, got %lld, %lld",
                         (long long)r->n, (long long)r->m);
    if ((r->n && (!r->names || !r->tensors)) || (r->m && (!r->keys || !r->values)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "names, tensors, keys or values: got NULL");
    for (int64_t i = 0; i < r->n; i++) {
        if (!check_name(r->names[i], "names", i)) return false;
        if (strcmp(r->names[i], LUC_SAFETENSORS_METADATA) == 0)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "names[%lld]: the format reserves \"%s\"",
                             (long long)i, r->names[i]);
        if (!r->tensors[i])
            return luc_raise(LUCID_ERR_ARGUMENT, op, "tensors[%lld] (%s): got NULL", (long long)i,
                             r->names[i]);
    }
    for (int64_t i = 0; i < r->m; i++)
        if (!check_name(r->keys[i], "keys", i) || !check_name(r->values[i], "values", i))
            return false;
    return true;
}

/* ---- no name twice --------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b, void *names)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    int order = strcmp(((const char *const *)names)[i], ((const char *const *)names)[j]);
    return order ? order : (i > j) - (i < j);
}

static bool check_unique(const char *const *names, int64_t n, const char *argument)
{
    int64_t *order = luc_calloc((size_t)n, sizeof *order, op);
    if (!order) return false;
    for (int64_t i = 0; i < n; i++) order[i] = i;
    qsort_r(order, (size_t)n, sizeof *order, compare_names, (void *)names);
    bool ok = true;
    for (int64_t i = 1; ok && i < n; i++)
        if (strcmp(names[order[i - 1]], names[order[i]]) == 0)
            ok = luc_raise(LUCID_ERR_ARGUMENT, op, "%s[%lld]: \"%s\" is given twice", argument,
                           (long long)order[i], names[order[i]]);
    luc_free(order);
    return ok;
}

/* ---- where the data lie ---------------------------------------------------------------------- */

static size_t tensor_bytes(const lucid_tensor *t)
{
    return (size_t)lucid_numel(t) * lucid_dtype_size(lucid_tensor_dtype(t));
}

/* Tensors with wider elements come first, so that each is aligned; those of one width keep their
 * order. */
static const size_t widths[] = {8, 4, 2, 1};

/* Writes where each tensor's data begins. False on overflow. */
static bool lay_out(const request *r, size_t *begin)
{
    size_t at = 0;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int64_t i = 0; i < r->n; i++) {
            if (lucid_dtype_size(lucid_tensor_dtype(r->tensors[i])) != widths[w]) continue;
            begin[i] = at;
            if (tensor_bytes(r->tensors[i]) > (size_t)INT64_MAX - at)
                return luc_raise(LUCID_ERR_ARGUMENT, op, "tensors: too many bytes for a file");
            at += tensor_bytes(r->tensors[i]);
        }
    return true;
}

/* ---- the header ------------------------------------------------------------------------------ */

/* Appends a string of the caller. If that cannot be written, the error says what the string is. */
static bool put_string(luc_string *out, const char *text, const char *argument, int64_t i)
{
    if (luc_json_put_string(out, text)) return true;
    return !out->failed && luc_raise(LUCID_ERR_ARGUMENT, op, "%s[%lld]: \"%s\" is not UTF-8",
                                     argument, (long long)i, text);
}

static bool put_metadata(luc_string *out, const request *r)
{
    if (!r->m) return true;
    bool ok = luc_string_printf(out, "\"%s\":{", LUC_SAFETENSORS_METADATA);
    for (int64_t i = 0; ok && i < r->m; i++) {
        ok = (!i || luc_string_add(out, ",", 1)) && put_string(out, r->keys[i], "keys", i) &&
             luc_string_add(out, ":", 1);
        if (ok && !luc_json_put_string(out, r->values[i]))
            return !out->failed &&
                   luc_raise(LUCID_ERR_ARGUMENT, op, "values[%lld] (of \"%s\"): is not UTF-8",
                             (long long)i, r->keys[i]);
    }
    return ok && luc_string_add(out, r->n ? "}," : "}", r->n ? 2 : 1);
}

static bool put_tensor(luc_string *out, const lucid_tensor *t, size_t begin)
{
    bool ok = luc_string_printf(out, ":{\"dtype\":\"%s\",\"shape\":[",
                                luc_safetensors_by_dtype(lucid_tensor_dtype(t))->name);
    for (int d = 0; ok && d < lucid_ndim(t); d++)
        ok = luc_string_printf(out, d ? ",%lld" : "%lld", (long long)lucid_size(t, d));
    return ok &&
           luc_string_printf(out, "],\"data_offsets\":[%zu,%zu]}", begin, begin + tensor_bytes(t));
}

/* The header as text, padded with spaces so that the data lie aligned. False after an error. */
static bool make_header(luc_string *out, const request *r, const size_t *begin)
{
    bool ok = luc_string_add(out, "{", 1) && put_metadata(out, r);
    for (int64_t i = 0; ok && i < r->n; i++)
        ok = (!i || luc_string_add(out, ",", 1)) && put_string(out, r->names[i], "names", i) &&
             put_tensor(out, r->tensors[i], begin[i]);
    ok = ok && luc_string_add(out, "}", 1);
    if (ok) ok = luc_string_add(out, "       ", (8 - out->length % 8) % 8);
    if (!ok || out->length <= LUC_SAFETENSORS_HEADER_MAX) return ok;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "names, keys, values: more than the format's 100 MB");
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool write_header(luc_output *out, const luc_string *header)
{
    uint64_t size = header->length;
    return luc_output_write(out, &size, sizeof size) &&
           luc_output_write(out, header->s, header->length);
}

static bool write_tensor(luc_output *out, const lucid_tensor *t)
{
    size_t bytes = tensor_bytes(t);
    if (lucid_tensor_device(t).type == LUCID_CPU && lucid_is_contiguous(t, LUCID_CONTIGUOUS))
        return luc_output_write(out, lucid_data(t), bytes);
    void *data = luc_alloc(bytes, op);
    bool ok = data && lucid_copy_to(t, data, bytes) && luc_output_write(out, data, bytes);
    luc_free(data);
    return ok;
}

static bool write_data(luc_output *out, const request *r)
{
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int64_t i = 0; i < r->n; i++)
            if (lucid_dtype_size(lucid_tensor_dtype(r->tensors[i])) == widths[w] &&
                !write_tensor(out, r->tensors[i]))
                return false;
    return true;
}

/* Opens the file with lucid's reader: it must find the tensors that were to be written. */
static bool is_right(const luc_output *out, const request *r, const size_t *begin)
{
    lucid_safetensors *f = luc_safetensors_read(out->fd, out->path, op);
    if (!f) return false;
    bool same = lucid_safetensors_count(f) == r->n && lucid_safetensors_metadata_count(f) == r->m;
    for (int64_t i = 0; same && i < r->n; i++)
        same = luc_safetensors_is(f, i, r->names[i], r->tensors[i], begin[i]);
    for (int64_t i = 0; same && i < r->m; i++) {
        const char *value = lucid_safetensors_metadata(f, r->keys[i]);
        same = value && strcmp(value, r->values[i]) == 0;
    }
    lucid_safetensors_close(f);
    return same ||
           luc_raise(LUCID_ERR_IO, op,
                     "%s: cannot write: what was read back is not what was written", out->path);
}

static bool write_file(const char *path, const request *r, const size_t *begin,
                       const luc_string *header)
{
    luc_output out;
    if (!luc_output_open(&out, path, op)) return false;
    bool ok = write_header(&out, header) && write_data(&out, r) && luc_output_check(&out) &&
              is_right(&out, r, begin);
    return luc_output_close(&out, ok);
}

bool lucid_safetensors_write(const char *path, const char *const *names,
                             lucid_tensor *const *tensors, int64_t n, const char *const *keys,
                             const char *const *values, int64_t m)
{
    request r = {names, tensors, n, keys, values, m};
    if (lucid_error_code() != LUCID_OK || !check_request(&r)) return false;
    if (!check_unique(names, n, "names") || !check_unique(keys, m, "keys")) return false;
    luc_string header = {0};
    size_t *begin = luc_calloc((size_t)n, sizeof *begin, op);
    bool ok = begin && lay_out(&r, begin) && make_header(&header, &r, begin) &&
              write_file(path, &r, begin, &header);
    luc_string_free(&header);
    luc_free(begin);
    return ok;
}

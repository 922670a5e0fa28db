#include "lucid/io/safetensors.h"

#include "lucid/error_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/safetensors_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/tensor_priv.h"

#include <jansson.h>
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

/* Only the first error counts, so a NULL that comes from an earlier one says nothing new here. */
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

static size_t tensor_bytes(const lucid_tensor *t)
{
    return (size_t)lucid_numel(t) * lucid_dtype_size(lucid_tensor_dtype(t));
}

/* Puts a member (stolen) into a JSON object under a name that it does not have yet. */
static bool add_member(json_t *object, const char *argument, int64_t i, const char *name,
                       json_t *member)
{
    if (json_object_get(object, name)) {
        json_decref(member);
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s[%lld]: \"%s\" is given twice", argument,
                         (long long)i, name);
    }
    if (member && json_object_set_new(object, name, member) == 0) return true;
    /* jansson refuses a text that is not UTF-8, and says the same when memory is out. */
    json_t *text = json_string(name);
    json_decref(text);
    return text ? luc_raise(LUCID_ERR_MEMORY, op, "no memory for the header")
                : luc_raise(LUCID_ERR_ARGUMENT, op, "%s[%lld]: \"%s\" is not UTF-8", argument,
                            (long long)i, name);
}

static bool add_metadata(json_t *header, const request *r)
{
    if (!r->m) return true;
    json_t *map = json_object();
    if (!add_member(header, "keys", 0, LUC_SAFETENSORS_METADATA, map)) return false;
    for (int64_t i = 0; i < r->m; i++) {
        json_t *value = json_string(r->values[i]);
        if (!value)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "values[%lld] (of \"%s\"): is not UTF-8",
                             (long long)i, r->keys[i]);
        if (!add_member(map, "keys", i, r->keys[i], value)) return false;
    }
    return true;
}

static json_t *describe(const lucid_tensor *t, size_t begin)
{
    json_t *shape = json_array();
    for (int d = 0; d < lucid_ndim(t); d++)
        json_array_append_new(shape, json_integer(lucid_size(t, d)));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype",
                     luc_safetensors_by_dtype(lucid_tensor_dtype(t))->name, "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + tensor_bytes(t)));
}

/* The data goes from the widest elements to the narrowest, so that each tensor lies aligned; within
 * a width in the order given. */
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

/* The header as text, to be freed with free(): jansson's. NULL after an error. */
static char *make_header(const request *r, const size_t *begin)
{
    json_t *header = json_object();
    char *text = NULL;
    bool ok = header && add_metadata(header, r);
    for (int64_t i = 0; ok && i < r->n; i++)
        ok = add_member(header, "names", i, r->names[i], describe(r->tensors[i], begin[i]));
    if (ok) text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text) return luc_raise_null(LUCID_ERR_MEMORY, op, "no memory for the header");
    if (strlen(text) <= LUC_SAFETENSORS_HEADER_MAX - 8) return text;
    luc_raise(LUCID_ERR_ARGUMENT, op, "names, keys, values: more than the format's 100 MB");
    free(text);
    return NULL;
}

static bool write_header(luc_output *out, const char *text)
{
    static const char spaces[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    size_t size = strlen(text), padding = (8 - size % 8) % 8;
    uint64_t whole = size + padding;
    return luc_output_write(out, &whole, sizeof whole) && luc_output_write(out, text, size) &&
           luc_output_write(out, spaces, padding);
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

bool lucid_safetensors_write(const char *path, const char *const *names,
                             lucid_tensor *const *tensors, int64_t n, const char *const *keys,
                             const char *const *values, int64_t m)
{
    request r = {names, tensors, n, keys, values, m};
    if (lucid_error_code() != LUCID_OK || !check_request(&r)) return false;
    luc_output out;
    char *header = NULL;
    bool ok = false;
    size_t *begin = luc_calloc((size_t)n, sizeof *begin, op);
    if (begin && lay_out(&r, begin)) header = make_header(&r, begin);
    if (header && luc_output_open(&out, path, op)) {
        ok = write_header(&out, header) && write_data(&out, &r);
        ok = luc_output_close(&out, ok);
    }
    free(header);
    luc_free(begin);
    return ok;
}

#include "lucid/io/safetensors.h"

#include "lucid/error_priv.h"
#include "lucid/io/safetensors_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/tensor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char live_name[] = "safetensors file"; /* in a report of what was never freed */

static const char op[] = "safetensors_open";

static const luc_safetensors_dtype dtypes[] = {
    {"F32", 32, LUCID_F32},
    {"F64", 64, LUCID_F64},
    {"F16", 16, LUCID_F16},
    {"BF16", 16, LUCID_BF16},
    {"I64", 64, LUCID_I64},
    {"I32", 32, LUCID_I32},
    {"U8", 8, LUCID_U8},
    {"BOOL", 8, LUCID_BOOL},
    {"I8", 8, LUCID_DTYPE_COUNT},
    {"I16", 16, LUCID_DTYPE_COUNT},
    {"U16", 16, LUCID_DTYPE_COUNT},
    {"U32", 32, LUCID_DTYPE_COUNT},
    {"U64", 64, LUCID_DTYPE_COUNT},
    {"C64", 64, LUCID_DTYPE_COUNT},
    {"F8_E4M3", 8, LUCID_DTYPE_COUNT},
    {"F8_E5M2", 8, LUCID_DTYPE_COUNT},
    {"F8_E8M0", 8, LUCID_DTYPE_COUNT},
    {"F6_E2M3", 6, LUCID_DTYPE_COUNT},
    {"F6_E3M2", 6, LUCID_DTYPE_COUNT},
    {"F4", 4, LUCID_DTYPE_COUNT},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

const luc_safetensors_dtype *luc_safetensors_by_name(const char *name)
{
    for (int i = 0; i < DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
    return NULL;
}

const luc_safetensors_dtype *luc_safetensors_by_dtype(lucid_dtype dtype)
{
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype) return &dtypes[i];
    return NULL;
}

/* The file in memory, shared by the reader and the tensors that are views of it. */
typedef struct mapping {
    atomic_int refs;
    char *data;
    size_t size;
} mapping;

typedef struct entry {
    const char *name; /* the header's own */
    const luc_safetensors_dtype *dtype;
    int ndim; /* more than LUCID_MAX_DIMS: only those are in dims */
    int64_t dims[LUCID_MAX_DIMS];
    uint64_t begin, end;
} entry;

struct lucid_safetensors {
    char *path;
    mapping *map;
    size_t data; /* where the tensors' bytes begin in the mapping */
    json_t *header;
    json_t *metadata; /* of the header; may be NULL */
    entry *entries;
    int64_t count;
    int64_t *by_name, *by_offset; /* the entries' indices, sorted */
};

/* ---- the mapping ----------------------------------------------------------------------------- */

static void mapping_release(mapping *map)
{
    if (!map || atomic_fetch_sub(&map->refs, 1) != 1) return;
    if (map->size) munmap(map->data, map->size);
    luc_free(map);
}

static mapping *map_file(const char *path, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return luc_raise_null(LUCID_ERR_IO, op, "%s: cannot read: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return luc_raise_null(LUCID_ERR_IO, op, "%s: is not a regular file", path);
    mapping *map = luc_calloc(1, sizeof *map, op);
    if (!map) return NULL;
    atomic_init(&map->refs, 1);
    if (st.st_size == 0) return map;
    /* Private and writable: a tensor may be changed in place, and the file does not. */
    map->data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (map->data != MAP_FAILED) {
        map->size = (size_t)st.st_size;
        return map;
    }
    luc_raise(errno == ENOMEM ? LUCID_ERR_MEMORY : LUCID_ERR_IO, op, "%s: cannot map: %s", path,
              strerror(errno));
    luc_free(map);
    return NULL;
}

static mapping *map_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return luc_raise_null(LUCID_ERR_IO, op, "%s: cannot open: %s", path, strerror(errno));
    mapping *map = map_file(path, fd);
    close(fd);
    return map;
}

/* ---- the header ------------------------------------------------------------------------------ */

static bool bad(const lucid_safetensors *f, const char *name, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: tensor \"%s\": %s", f->path, name, what);
}

static bool parse_header(lucid_safetensors *f)
{
    uint64_t size = 0;
    if (f->map->size >= sizeof size) memcpy(&size, f->map->data, sizeof size);
    if (f->map->size < sizeof size || size > f->map->size - sizeof size)
        return luc_raise(LUCID_ERR_FORMAT, op,
                         "%s: is not a safetensors file, or is cut off: the file has %zu bytes, "
                         "its header would have %llu",
                         f->path, f->map->size, (unsigned long long)size);
    if (size > LUC_SAFETENSORS_HEADER_MAX)
        return luc_raise(LUCID_ERR_FORMAT, op, "%s: the header has %llu bytes; at most %d may be",
                         f->path, (unsigned long long)size, LUC_SAFETENSORS_HEADER_MAX);
    f->data = sizeof size + (size_t)size;
    const char *text = f->map->data + sizeof size;
    json_error_t why = {.text = "it does not begin with {"};
    if (size && *text == '{')
        f->header = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &why);
    if (f->header) return true;
    if (size && *text == '{' && json_error_code(&why) == json_error_out_of_memory)
        return luc_raise(LUCID_ERR_MEMORY, op, "%s: no memory for the header", f->path);
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: the header is not right: %s", f->path, why.text);
}

static bool read_metadata(lucid_safetensors *f)
{
    f->metadata = json_object_get(f->header, LUC_SAFETENSORS_METADATA);
    if (!f->metadata) return true;
    const char *key;
    json_t *value;
    bool right = json_is_object(f->metadata);
    json_object_foreach(f->metadata, key, value) right = right && json_is_string(value);
    return right || luc_raise(LUCID_ERR_FORMAT, op, "%s: %s: expected strings by name", f->path,
                              LUC_SAFETENSORS_METADATA);
}

/* A non-negative integer of the header. */
static bool read_count(const json_t *value, uint64_t *count)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *count = (uint64_t)json_integer_value(value);
    return true;
}

/* Reads the sizes; *bits is what the tensor takes. */
static bool read_shape(const lucid_safetensors *f, const json_t *shape, entry *e, uint64_t *bits)
{
    if (!json_is_array(shape)) return bad(f, e->name, "shape: expected a list");
    size_t ndim = json_array_size(shape);
    bool fits = ndim <= INT32_MAX;
    e->ndim = fits ? (int)ndim : 0;
    *bits = (uint64_t)e->dtype->bits;
    for (size_t d = 0; d < ndim; d++) {
        uint64_t size;
        if (!read_count(json_array_get(shape, d), &size))
            return bad(f, e->name, "shape: expected integers >= 0");
        if (d < LUCID_MAX_DIMS) e->dims[d] = (int64_t)size;
        fits = fits && !__builtin_mul_overflow(*bits, size, bits);
    }
    return fits || bad(f, e->name, "shape: the number of bytes overflows");
}

static bool read_entry(const lucid_safetensors *f, const char *name, const json_t *value, entry *e)
{
    e->name = name;
    if (!json_is_object(value)) return bad(f, name, "expected an object");
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype) return bad(f, name, "dtype: expected a string");
    e->dtype = luc_safetensors_by_name(dtype);
    if (!e->dtype)
        return luc_raise(LUCID_ERR_FORMAT, op, "%s: tensor \"%s\": dtype: \"%s\" is unknown",
                         f->path, name, dtype);
    uint64_t bits = 0;
    if (!read_shape(f, json_object_get(value, "shape"), e, &bits)) return false;
    const json_t *offsets = json_object_get(value, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !read_count(json_array_get(offsets, 0), &e->begin) ||
        !read_count(json_array_get(offsets, 1), &e->end))
        return bad(f, name, "data_offsets: expected two integers >= 0");
    if (json_object_size(value) != 3)
        return bad(f, name, "expected dtype, shape and data_offsets, and nothing else");
    uint64_t most = f->map->size - f->data;
    if (e->begin > e->end || e->end > most)
        return luc_raise(LUCID_ERR_FORMAT, op,
                         "%s: tensor \"%s\": data_offsets: [%llu,%llu] is not within the %llu "
                         "bytes of data that the file has",
                         f->path, name, (unsigned long long)e->begin, (unsigned long long)e->end,
                         (unsigned long long)most);
    if (bits % 8 || bits / 8 != e->end - e->begin)
        return luc_raise(LUCID_ERR_FORMAT, op,
                         "%s: tensor \"%s\": data_offsets: dtype and shape take %llu bits, "
                         "[%llu,%llu] is another size",
                         f->path, name, (unsigned long long)bits, (unsigned long long)e->begin,
                         (unsigned long long)e->end);
    return true;
}

static bool read_entries(lucid_safetensors *f)
{
    const char *name;
    json_t *value;
    size_t members = json_object_size(f->header);
    f->entries = luc_calloc(members, sizeof *f->entries, op);
    f->by_name = luc_calloc(members, sizeof *f->by_name, op);
    f->by_offset = luc_calloc(members, sizeof *f->by_offset, op);
    if (!f->entries || !f->by_name || !f->by_offset) return false;
    json_object_foreach(f->header, name, value)
    {
        if (strcmp(name, LUC_SAFETENSORS_METADATA) == 0) continue;
        if (!read_entry(f, name, value, &f->entries[f->count])) return false;
        f->by_name[f->count] = f->by_offset[f->count] = f->count;
        f->count++;
    }
    return true;
}

/* ---- order ----------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b, void *entries)
{
    const entry *e = entries;
    return strcmp(e[*(const int64_t *)a].name, e[*(const int64_t *)b].name);
}

static int compare_offsets(const void *a, const void *b, void *entries)
{
    const entry *x = (const entry *)entries + *(const int64_t *)a;
    const entry *y = (const entry *)entries + *(const int64_t *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors must follow one another from the first byte of the data to the last. */
static bool check_coverage(lucid_safetensors *f)
{
    uint64_t at = 0, whole = f->map->size - f->data;
    for (int64_t i = 0; i < f->count; i++) {
        const entry *e = &f->entries[f->by_offset[i]];
        if (e->begin != at)
            return luc_raise(LUCID_ERR_FORMAT, op,
                             "%s: tensor \"%s\": data_offsets: begins at byte %llu, %s %llu",
                             f->path, e->name, (unsigned long long)e->begin,
                             e->begin < at ? "inside another that ends at"
                                           : "behind a gap that begins at",
                             (unsigned long long)at);
        at = e->end;
    }
    if (at == whole) return true;
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: the tensors end at byte %llu of %llu of the data",
                     f->path, (unsigned long long)at, (unsigned long long)whole);
}

/* ---- open, close, look-up -------------------------------------------------------------------- */

lucid_safetensors *lucid_safetensors_open(const char *path)
{
    if (!path)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    lucid_safetensors *f = luc_calloc(1, sizeof *f, op);
    if (!f) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    f->path = luc_strdup(path, op);
    if (f->path) f->map = map_path(path);
    if (!f->map || !parse_header(f) || !read_metadata(f) || !read_entries(f)) goto fail;
    qsort_r(f->by_name, (size_t)f->count, sizeof *f->by_name, compare_names, f->entries);
    qsort_r(f->by_offset, (size_t)f->count, sizeof *f->by_offset, compare_offsets, f->entries);
    if (check_coverage(f)) return f;
fail:
    lucid_safetensors_close(f);
    return NULL;
}

void lucid_safetensors_close(lucid_safetensors *file)
{
    if (!file) return;
    mapping_release(file->map);
    json_decref(file->header);
    luc_free(file->entries);
    luc_free(file->by_name);
    luc_free(file->by_offset);
    luc_free(file->path);
    luc_free(file);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

int64_t lucid_safetensors_count(const lucid_safetensors *file)
{
    return file ? file->count : 0;
}

static const entry *entry_at(const lucid_safetensors *file, int64_t i, const char *what)
{
    if (!file) return luc_raise_null(LUCID_ERR_ARGUMENT, what, "file: got NULL");
    if (i < 0 || i >= file->count)
        return luc_raise_null(LUCID_ERR_ARGUMENT, what, "%s: i: expected 0 to %lld, got %lld",
                              file->path, (long long)file->count - 1, (long long)i);
    return &file->entries[i];
}

const char *lucid_safetensors_name(const lucid_safetensors *file, int64_t i)
{
    const entry *e = entry_at(file, i, "safetensors_name");
    return e ? e->name : NULL;
}

int64_t lucid_safetensors_find(const lucid_safetensors *file, const char *name)
{
    int64_t low = 0, high = file && name ? file->count : 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, i = file->by_name[middle];
        int order = strcmp(name, file->entries[i].name);
        if (order == 0) return i;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

int64_t lucid_safetensors_metadata_count(const lucid_safetensors *file)
{
    return file ? (int64_t)json_object_size(file->metadata) : 0;
}

const char *lucid_safetensors_metadata_key(const lucid_safetensors *file, int64_t i)
{
    int64_t count = lucid_safetensors_metadata_count(file);
    if (i < 0 || i >= count)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "safetensors_metadata_key",
                              "i: expected 0 to %lld, got %lld", (long long)count - 1,
                              (long long)i);
    void *member = json_object_iter(file->metadata);
    while (i--) member = json_object_iter_next(file->metadata, member);
    return json_object_iter_key(member);
}

const char *lucid_safetensors_metadata(const lucid_safetensors *file, const char *key)
{
    return file && key ? json_string_value(json_object_get(file->metadata, key)) : NULL;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* False, with an error raised, for a tensor that lucid cannot hold. */
static bool check_entry(const lucid_safetensors *file, const entry *e, const char *what)
{
    if (e->dtype->dtype == LUCID_DTYPE_COUNT)
        return luc_raise(LUCID_ERR_UNSUPPORTED, what, "%s: tensor \"%s\": lucid has no dtype %s",
                         file->path, e->name, e->dtype->name);
    if (e->ndim > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_UNSUPPORTED, what,
                         "%s: tensor \"%s\": expected at most %d dimensions, got %d", file->path,
                         e->name, LUCID_MAX_DIMS, e->ndim);
    if (e->dtype->dtype != LUCID_BOOL) return true;
    const char *p = file->map->data + file->data;
    for (uint64_t i = e->begin; i < e->end; i++)
        if (p[i] != 0 && p[i] != 1)
            return luc_raise(LUCID_ERR_FORMAT, what, "%s: tensor \"%s\": a bool is neither 0 nor 1",
                             file->path, e->name);
    return true;
}

static void release_view(void *user, void *data)
{
    (void)data;
    mapping_release(user);
}

static lucid_tensor *tensor_at(const lucid_safetensors *file, int64_t i, bool copy,
                               const char *what)
{
    const entry *e = entry_at(file, i, what);
    if (!e || !check_entry(file, e, what)) return NULL;
    lucid_shape shape = {.ndim = e->ndim};
    for (int d = 0; d < e->ndim; d++) shape.dims[d] = e->dims[d];
    char *data = file->map->data + file->data + e->begin;
    if (copy || (uintptr_t)data % (uintptr_t)(e->dtype->bits / 8) || e->begin == e->end) {
        lucid_tensor_options options = lucid_tensor_defaults;
        options.dtype = e->dtype->dtype;
        lucid_tensor *t = lucid_empty_opt(shape, &options);
        if (t && e->begin < e->end)
            memcpy(lucid_mutable_data(t), data, (size_t)(e->end - e->begin));
        return t;
    }
    atomic_fetch_add(&file->map->refs, 1);
    lucid_tensor *t = lucid_from_blob(shape, e->dtype->dtype, data, release_view, file->map);
    if (!t) mapping_release(file->map);
    return t;
}

lucid_tensor *lucid_safetensors_view(const lucid_safetensors *file, int64_t i)
{
    return tensor_at(file, i, false, "safetensors_view");
}

lucid_tensor *lucid_safetensors_copy(const lucid_safetensors *file, int64_t i)
{
    return tensor_at(file, i, true, "safetensors_copy");
}

lucid_tensor *lucid_safetensors_get(const lucid_safetensors *file, const char *name)
{
    static const char what[] = "safetensors_get";
    if (!file) return luc_raise_null(LUCID_ERR_ARGUMENT, what, "file: got NULL");
    if (!name) return luc_raise_null(LUCID_ERR_ARGUMENT, what, "name: got NULL");
    int64_t i = lucid_safetensors_find(file, name);
    if (i < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, what, "%s: there is no tensor \"%s\"", file->path,
                              name);
    return tensor_at(file, i, false, what);
}

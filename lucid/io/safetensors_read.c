#include "lucid/io/safetensors.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/safetensors_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char live_name[] = "safetensors file"; /* in a report of what was never freed */

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

/* Names and strings lie in the file object's text. */
typedef struct entry {
    const char *name, *dtype_name;
    const luc_safetensors_dtype *dtype; /* NULL: a dtype of a newer format */
    int ndim;                           /* more than LUCID_MAX_DIMS: only those are in dims */
    int64_t dims[LUCID_MAX_DIMS];
    int64_t elements; /* the product of all */
    uint64_t begin, end;
} entry;

typedef struct note {
    const char *key, *value;
} note;

struct lucid_safetensors {
    const char *op; /* of the call that opens it, for errors */
    char *path;
    mapping *map;
    size_t data; /* where the tensors' bytes begin in the mapping */
    char *text;
    size_t text_used;
    entry *entries;
    int64_t count;
    int64_t *by_name, *by_offset; /* the entries' indices, sorted */
    note *notes;                  /* the metadata; may be NULL */
    int64_t notes_count;
    int64_t *notes_by_key;
};

/* ---- the mapping ----------------------------------------------------------------------------- */

static void mapping_release(mapping *map)
{
    if (!map || atomic_fetch_sub(&map->refs, 1) != 1) return;
    if (map->size) munmap(map->data, map->size);
    luc_free(map);
}

static mapping *map_file(const char *path, int fd, const char *op)
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

/* ---- the header ------------------------------------------------------------------------------ */

static bool bad(const lucid_safetensors *f, const char *name, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, f->op, "%s: tensor \"%s\": %s", f->path, name, what);
}

static bool bad_header(const lucid_safetensors *f, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, f->op, "%s: the header is not right: %s", f->path, what);
}

static bool given_twice(const lucid_safetensors *f, const char *key)
{
    return luc_raise(LUCID_ERR_FORMAT, f->op,
                     "%s: the header is not right: duplicate object key \"%s\"", f->path, key);
}

/* Finds the header; f->data becomes the beginning of what follows it. */
static bool find_header(lucid_safetensors *f, luc_json *header)
{
    uint64_t size = 0;
    if (f->map->size >= sizeof size) memcpy(&size, f->map->data, sizeof size);
    if (f->map->size < sizeof size || size > f->map->size - sizeof size)
        return luc_raise(LUCID_ERR_FORMAT, f->op,
                         "%s: is not a safetensors file, or is cut off: the file has %zu bytes, "
                         "its header would have %llu",
                         f->path, f->map->size, (unsigned long long)size);
    if (size > LUC_SAFETENSORS_HEADER_MAX)
        return luc_raise(LUCID_ERR_FORMAT, f->op,
                         "%s: the header has %llu bytes; at most %d may be", f->path,
                         (unsigned long long)size, LUC_SAFETENSORS_HEADER_MAX);
    f->data = sizeof size + (size_t)size;
    *header = luc_json_begin(f->map->data + sizeof size, (size_t)size);
    return (size && *header->at == '{') || bad_header(f, "it does not begin with {");
}

/* Checks that the header is JSON and counts its members. No memory is taken before that: what it
 * takes afterwards is a small multiple of the header, however the header is made. */
static bool count_members(const lucid_safetensors *f, luc_json j, size_t *members)
{
    bool first = true;
    *members = 0;
    luc_json_open(&j, '{');
    while (luc_json_member(&j, '}', &first) && luc_json_name(&j, NULL, NULL) && luc_json_skip(&j))
        ++*members;
    if (luc_json_finish(&j)) return true;
    return luc_raise(LUCID_ERR_FORMAT, f->op, "%s: the header is not right: %s, at byte %zu of it",
                     f->path, j.error, j.error_at);
}

/* Decodes a string of the header into f->text, which is large enough for all strings, because each
 * takes two bytes more in the header. NULL if no string follows. */
static const char *read_string(lucid_safetensors *f, luc_json *j)
{
    char *text = f->text + f->text_used;
    size_t length;
    if (!luc_json_string(j, text, &length)) return NULL;
    f->text_used += length + 1;
    return text;
}

static const char *read_name(lucid_safetensors *f, luc_json *j)
{
    char *text = f->text + f->text_used;
    size_t length;
    if (!luc_json_name(j, text, &length)) return NULL;
    f->text_used += length + 1;
    return text;
}

static bool read_metadata(lucid_safetensors *f, luc_json *j)
{
    if (f->notes) return given_twice(f, LUC_SAFETENSORS_METADATA);
    luc_json ahead = *j;
    size_t members = 0;
    bool first = true, right = luc_json_open(&ahead, '{');
    while (right && luc_json_member(&ahead, '}', &first)) {
        right = luc_json_name(&ahead, NULL, NULL) && luc_json_string(&ahead, NULL, NULL);
        members++;
    }
    if (!right)
        return luc_raise(LUCID_ERR_FORMAT, f->op, "%s: %s: expected strings by name", f->path,
                         LUC_SAFETENSORS_METADATA);
    f->notes = luc_calloc(members, sizeof *f->notes, f->op);
    f->notes_by_key = luc_calloc(members, sizeof *f->notes_by_key, f->op);
    if (!f->notes || !f->notes_by_key) return false;
    first = true;
    luc_json_open(j, '{');
    while (luc_json_member(j, '}', &first)) {
        note *n = &f->notes[f->notes_count];
        n->key = read_name(f, j);
        n->value = read_string(f, j);
        f->notes_by_key[f->notes_count] = f->notes_count;
        f->notes_count++;
    }
    return true;
}

/* Reads a whole number that is not negative. */
static bool read_count(luc_json *j, uint64_t *count)
{
    int64_t value;
    if (luc_json_peek(j) != '0' || !luc_json_integer(j, &value) || value < 0) return false;
    *count = (uint64_t)value;
    return true;
}

/* A name that is not known here may be that of a newer dtype. */
static bool may_be_dtype(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n >= 1 && n <= 32 && !name[n] && *name >= 'A' && *name <= 'Z';
}

static bool read_dtype(lucid_safetensors *f, luc_json *j, entry *e)
{
    const char *name = luc_json_peek(j) == '"' ? read_string(f, j) : NULL;
    if (!name) return bad(f, e->name, "dtype: expected a string");
    e->dtype = luc_safetensors_by_name(name);
    e->dtype_name = name;
    return e->dtype || may_be_dtype(name) ||
           luc_raise(LUCID_ERR_FORMAT, f->op, "%s: tensor \"%s\": dtype: \"%s\" is unknown",
                     f->path, e->name, name);
}

static bool read_shape(const lucid_safetensors *f, luc_json *j, entry *e)
{
    bool first = true, fits = true;
    if (luc_json_peek(j) != '[') return bad(f, e->name, "shape: expected a list");
    luc_json_open(j, '[');
    e->ndim = 0;
    e->elements = 1;
    while (luc_json_member(j, ']', &first)) {
        uint64_t size;
        if (!read_count(j, &size)) return bad(f, e->name, "shape: expected integers >= 0");
        if (e->ndim < LUCID_MAX_DIMS) e->dims[e->ndim] = (int64_t)size;
        e->ndim++; /* a header has fewer bytes than this could count */
        fits = fits && luc_mul_i64(e->elements, (int64_t)size, &e->elements);
    }
    return fits || bad(f, e->name, "shape: the number of bytes overflows");
}

static bool read_offsets(const lucid_safetensors *f, luc_json *j, entry *e)
{
    bool first = true;
    if (luc_json_peek(j) == '[' && luc_json_open(j, '[') && luc_json_member(j, ']', &first) &&
        read_count(j, &e->begin) && luc_json_member(j, ']', &first) && read_count(j, &e->end) &&
        !luc_json_member(j, ']', &first) && !j->error)
        return true;
    return bad(f, e->name, "data_offsets: expected two integers >= 0");
}

/* Whether the file has the entry's bytes, and their number follows from dtype and shape. */
static bool check_bytes(const lucid_safetensors *f, const entry *e)
{
    uint64_t most = f->map->size - f->data, bits;
    if (e->begin > e->end || e->end > most)
        return luc_raise(LUCID_ERR_FORMAT, f->op,
                         "%s: tensor \"%s\": data_offsets: [%llu,%llu] is not within the %llu "
                         "bytes of data that the file has",
                         f->path, e->name, (unsigned long long)e->begin, (unsigned long long)e->end,
                         (unsigned long long)most);
    if (!e->dtype) return true;
    if (__builtin_mul_overflow((uint64_t)e->elements, (uint64_t)e->dtype->bits, &bits))
        return bad(f, e->name, "shape: the number of bytes overflows");
    if (bits % 8 == 0 && bits / 8 == e->end - e->begin) return true;
    return luc_raise(LUCID_ERR_FORMAT, f->op,
                     "%s: tensor \"%s\": data_offsets: dtype and shape take %llu bits, "
                     "[%llu,%llu] is another size",
                     f->path, e->name, (unsigned long long)bits, (unsigned long long)e->begin,
                     (unsigned long long)e->end);
}

/* Reads one member of a tensor's object and sets its bit in `seen`. */
static bool read_member(lucid_safetensors *f, luc_json *j, entry *e, unsigned *seen)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    size_t used = f->text_used;
    const char *key = read_name(f, j);
    unsigned k = 0;
    while (k < 3 && key && strcmp(key, keys[k]) != 0) k++;
    f->text_used = used; /* the key is not needed any longer */
    if (k == 3 || !key)
        return bad(f, e->name, "expected dtype, shape and data_offsets, and nothing else");
    if (*seen & 1u << k) return given_twice(f, keys[k]);
    *seen |= 1u << k;
    return k == 0 ? read_dtype(f, j, e) : k == 1 ? read_shape(f, j, e) : read_offsets(f, j, e);
}

static bool read_entry(lucid_safetensors *f, luc_json *j, entry *e)
{
    unsigned seen = 0;
    bool first = true;
    if (luc_json_peek(j) != '{') return bad(f, e->name, "expected an object");
    luc_json_open(j, '{');
    while (luc_json_member(j, '}', &first))
        if (!read_member(f, j, e, &seen)) return false;
    if (!(seen & 1)) return bad(f, e->name, "dtype: expected a string");
    if (!(seen & 2)) return bad(f, e->name, "shape: expected a list");
    if (!(seen & 4)) return bad(f, e->name, "data_offsets: expected two integers >= 0");
    return check_bytes(f, e);
}

static bool read_header(lucid_safetensors *f)
{
    luc_json j;
    size_t members;
    if (!find_header(f, &j) || !count_members(f, j, &members)) return false;
    f->text = luc_alloc((size_t)(j.end - j.at), f->op);
    f->entries = luc_calloc(members, sizeof *f->entries, f->op);
    f->by_name = luc_calloc(members, sizeof *f->by_name, f->op);
    f->by_offset = luc_calloc(members, sizeof *f->by_offset, f->op);
    if (!f->text || !f->entries || !f->by_name || !f->by_offset) return false;
    bool first = true;
    luc_json_open(&j, '{');
    while (luc_json_member(&j, '}', &first)) {
        const char *name = read_name(f, &j);
        if (strcmp(name, LUC_SAFETENSORS_METADATA) == 0) {
            if (!read_metadata(f, &j)) return false;
            continue;
        }
        entry *e = &f->entries[f->count];
        e->name = name;
        if (!read_entry(f, &j, e)) return false;
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

static int compare_keys(const void *a, const void *b, void *notes)
{
    const note *n = notes;
    return strcmp(n[*(const int64_t *)a].key, n[*(const int64_t *)b].key);
}

/* Sorts the entries and the metadata; a name that occurs twice is an error. */
static bool sort_all(lucid_safetensors *f)
{
    qsort_r(f->by_name, (size_t)f->count, sizeof *f->by_name, compare_names, f->entries);
    qsort_r(f->by_offset, (size_t)f->count, sizeof *f->by_offset, compare_offsets, f->entries);
    for (int64_t i = 1; i < f->count; i++)
        if (compare_names(&f->by_name[i - 1], &f->by_name[i], f->entries) == 0)
            return given_twice(f, f->entries[f->by_name[i]].name);
    if (!f->notes) return true;
    qsort_r(f->notes_by_key, (size_t)f->notes_count, sizeof *f->notes_by_key, compare_keys,
            f->notes);
    for (int64_t i = 1; i < f->notes_count; i++)
        if (compare_keys(&f->notes_by_key[i - 1], &f->notes_by_key[i], f->notes) == 0)
            return given_twice(f, f->notes[f->notes_by_key[i]].key);
    return true;
}

/* The tensors must follow one another from the first byte of the data to the last. */
static bool check_coverage(lucid_safetensors *f)
{
    uint64_t at = 0, whole = f->map->size - f->data;
    for (int64_t i = 0; i < f->count; i++) {
        const entry *e = &f->entries[f->by_offset[i]];
        if (e->begin != at)
            return luc_raise(LUCID_ERR_FORMAT, f->op,
                             "%s: tensor \"%s\": data_offsets: begins at byte %llu, %s %llu",
                             f->path, e->name, (unsigned long long)e->begin,
                             e->begin < at ? "inside another that ends at"
                                           : "after a gap that begins at",
                             (unsigned long long)at);
        at = e->end;
    }
    if (at == whole) return true;
    return luc_raise(LUCID_ERR_FORMAT, f->op,
                     "%s: the tensors end at byte %llu of %llu of the data", f->path,
                     (unsigned long long)at, (unsigned long long)whole);
}

/* ---- open, close, look-up -------------------------------------------------------------------- */

lucid_safetensors *luc_safetensors_read(int fd, const char *path, const char *op)
{
    lucid_safetensors *f = luc_calloc(1, sizeof *f, op);
    if (!f) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    f->op = op;
    f->path = luc_strdup(path, op);
    if (f->path) f->map = map_file(path, fd, op);
    if (f->map && read_header(f) && sort_all(f) && check_coverage(f)) return f;
    lucid_safetensors_close(f);
    return NULL;
}

lucid_safetensors *lucid_safetensors_open(const char *path)
{
    static const char op[] = "safetensors_open";
    if (!path)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return luc_raise_null(LUCID_ERR_IO, op, "%s: cannot open: %s", path, strerror(errno));
    lucid_safetensors *f = luc_safetensors_read(fd, path, op);
    close(fd);
    return f;
}

void lucid_safetensors_close(lucid_safetensors *file)
{
    if (!file) return;
    mapping_release(file->map);
    luc_free(file->text);
    luc_free(file->entries);
    luc_free(file->by_name);
    luc_free(file->by_offset);
    luc_free(file->notes);
    luc_free(file->notes_by_key);
    luc_free(file->path);
    luc_free(file);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

bool luc_safetensors_is(const lucid_safetensors *file, int64_t i, const char *name,
                        const lucid_tensor *tensor, size_t begin)
{
    if (i < 0 || i >= file->count) return false;
    const entry *e = &file->entries[i];
    bool same = strcmp(e->name, name) == 0 && e->dtype &&
                e->dtype->dtype == lucid_tensor_dtype(tensor) && e->ndim == lucid_ndim(tensor) &&
                e->begin == begin;
    for (int d = 0; same && d < e->ndim; d++) same = e->dims[d] == lucid_size(tensor, d);
    return same;
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
    return file ? file->notes_count : 0;
}

const char *lucid_safetensors_metadata_key(const lucid_safetensors *file, int64_t i)
{
    int64_t count = lucid_safetensors_metadata_count(file);
    if (i < 0 || i >= count)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "safetensors_metadata_key",
                              "i: expected 0 to %lld, got %lld", (long long)count - 1,
                              (long long)i);
    return file->notes[i].key;
}

const char *lucid_safetensors_metadata(const lucid_safetensors *file, const char *key)
{
    int64_t low = 0, high = file && key ? file->notes_count : 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const note *n = &file->notes[file->notes_by_key[middle]];
        int order = strcmp(key, n->key);
        if (order == 0) return n->value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* A bool is one byte, 0 or 1; anything else would be a number that is neither. */
static bool are_bools(const lucid_safetensors *file, const entry *e)
{
    const char *p = file->map->data + file->data;
    for (uint64_t i = e->begin; i < e->end; i++)
        if (p[i] != 0 && p[i] != 1) return false;
    return true;
}

lucid_code luc_safetensors_refusal(const lucid_safetensors *file, int64_t i, char *text,
                                   size_t size)
{
    const entry *e = &file->entries[i];
    if (!e->dtype || e->dtype->dtype == LUCID_DTYPE_COUNT) {
        luc_snprintf(text, size, "%s: tensor \"%s\": lucid has no dtype %s", file->path, e->name,
                     e->dtype_name);
        return LUCID_ERR_UNSUPPORTED;
    }
    if (e->ndim > LUCID_MAX_DIMS) {
        luc_snprintf(text, size, "%s: tensor \"%s\": expected at most %d dimensions, got %d",
                     file->path, e->name, LUCID_MAX_DIMS, e->ndim);
        return LUCID_ERR_UNSUPPORTED;
    }
    if (e->dtype->dtype != LUCID_BOOL || are_bools(file, e)) return LUCID_OK;
    luc_snprintf(text, size, "%s: tensor \"%s\": a bool is neither 0 nor 1", file->path, e->name);
    return LUCID_ERR_FORMAT;
}

static void release_view(void *user, void *data)
{
    (void)data;
    mapping_release(user);
}

static lucid_tensor *tensor_at(const lucid_safetensors *file, int64_t i, bool copy,
                               const char *what)
{
    char why[512];
    const entry *e = entry_at(file, i, what);
    if (!e) return NULL;
    lucid_code code = luc_safetensors_refusal(file, i, why, sizeof why);
    if (code != LUCID_OK) return luc_raise_null(code, what, "%s", why);
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

/* pth_read.c: reading PyTorch's files: the archive or the old form, storages, tensors. */
#include "lucid/io/pth.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "lucid/io/pickle_priv.h"
#include "lucid/io/pth_priv.h"
#include "lucid/io/zip_priv.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char op[] = "pth_open";
static const char live_name[] = "pth file"; /* in a report of what was never freed */

/* The file in memory, shared by the reader and the storages that are parts of it. */
typedef struct mapping {
    atomic_int refs;
    luc_file_map map;
} mapping;

typedef struct storage {
    const luc_pickle_value *id;
    lucid_tensor *bytes; /* owned; all of it, as uint8 */
    bool not_bools;      /* it has bytes that are neither 0 nor 1 */
} storage;

struct lucid_pth {
    char *path;
    mapping *map;
    luc_zip zip;
    luc_arena arena;
    luc_pickle p;
    luc_pth_list list;
    storage *storages;
    size_t n_storages;
    luc_string member;     /* "archive/": the folder that has all members of an archive */
    size_t folder;         /* its length, with the slash */
    unsigned char *pickle; /* owned; NULL where it is a part of the mapping */
    int64_t *by_name;      /* the entries' indices, sorted */
    int64_t *notes_by_key;
};

/* ---- the mapping ----------------------------------------------------------------------------- */

static void mapping_release(mapping *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1) return;
    luc_file_map_close(&m->map);
    luc_free(m);
}

static mapping *mapping_open(const char *path)
{
    mapping *m = luc_calloc(1, sizeof *m, op);
    if (!m) return NULL;
    atomic_init(&m->refs, 1);
    if (luc_file_map_open(&m->map, path, op)) return m;
    luc_free(m);
    return NULL;
}

static void release_part(void *user, void *data)
{
    (void)data;
    mapping_release(user);
}

static void release_copy(void *user, void *data)
{
    (void)user;
    luc_free(data);
}

/* ---- storages -------------------------------------------------------------------------------- */

static bool damaged(const lucid_pth *f, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: is a damaged pth file: %s", f->path, what);
}

static int compare_keys(const luc_pickle_value *a, const luc_pickle_value *b)
{
    const size_t m = a->text.length, n = b->text.length;
    const int order = memcmp(a->text.s, b->text.s, m < n ? m : n);
    return order ? order : (m > n) - (m < n);
}

static int compare_ids(const void *a, const void *b)
{
    return compare_keys((*(luc_pickle_value *const *)a)->storage.key,
                        (*(luc_pickle_value *const *)b)->storage.key);
}

/* Makes the list of storages, sorted by key: the pickle may name one many times. */
static bool list_storages(lucid_pth *f)
{
    const size_t n = f->p.n_storages;
    f->storages = luc_calloc(n, sizeof *f->storages, op);
    if (!f->storages) return false;
    if (n) qsort(f->p.storages, n, sizeof *f->p.storages, compare_ids);
    for (size_t i = 0; i < n; i++) {
        luc_pickle_value *id = f->p.storages[i];
        const luc_pickle_value *last = f->n_storages ? f->storages[f->n_storages - 1].id : NULL;
        if (!last || compare_keys(last->storage.key, id->storage.key) != 0)
            f->storages[f->n_storages++].id = id;
        else if (last->storage.dtype != id->storage.dtype ||
                 last->storage.numel != id->storage.numel)
            return damaged(f, "a storage is described in two ways");
        id->storage.index = f->n_storages - 1;
    }
    return true;
}

static storage *find_storage(const lucid_pth *f, const luc_pickle_value *key)
{
    size_t low = 0, high = f->n_storages;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_keys(key, f->storages[middle].id->storage.key);
        if (order == 0) return &f->storages[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int64_t element_size(const luc_pickle_value *id)
{
    return id->storage.dtype ? id->storage.dtype->bytes : 1;
}

/* Gives a storage its bytes. They lie in the mapping and are copied where they are not aligned, or
 * they are memory of luc_alloc, which the storage then owns. */
static bool fill(lucid_pth *f, storage *s, unsigned char *data, uint64_t size, bool owned)
{
    const luc_pickle_value *id = s->id;
    int64_t bytes;
    bool ok = luc_mul_i64(id->storage.numel, element_size(id), &bytes) && (uint64_t)bytes == size;
    if (!ok) damaged(f, "a storage has another size than the pickle says");
    LUCID_SCOPE;
    const lucid_shape shape = {.ndim = 1, .dims = {ok ? bytes : 0}};
    const bool is_part = !owned && size && (uintptr_t)data % 16 == 0;
    lucid_tensor *t = NULL;
    if (ok && is_part) {
        atomic_fetch_add(&f->map->refs, 1);
        t = lucid_from_blob(shape, LUCID_U8, data, release_part, f->map);
        if (!t) mapping_release(f->map);
    } else if (ok && owned) {
        t = lucid_from_blob(shape, LUCID_U8, data, release_copy, NULL);
        owned = !t;
    } else if (ok) {
        t = lucid_empty_opt(shape, LUC_WITH(lucid_tensor, .dtype = LUCID_U8));
        if (t && size) memcpy(lucid_mutable_data(t), data, (size_t)size);
    }
    if (owned) luc_free(data);
    const bool may_be_bools = !id->storage.dtype || id->storage.dtype->dtype == LUCID_BOOL;
    const unsigned char *p = t && may_be_bools ? t->view.data : NULL;
    for (int64_t i = 0; p && i < bytes && !s->not_bools; i++) s->not_bools = p[i] > 1;
    s->bytes = lucid_retain(t);
    return t != NULL;
}

/* ---- the archive ----------------------------------------------------------------------------- */

/* Finds the folder, which is named after the file that was written. False after an error. */
static bool find_folder(lucid_pth *f)
{
    for (int64_t i = 0; i < f->zip.n; i++) {
        const char *name = f->zip.members[i].name, *slash = strchr(name, '/');
        if (!slash || strcmp(slash, "/data.pkl") != 0) continue;
        f->folder = (size_t)(slash - name) + 1;
        return luc_string_add(&f->member, name, f->folder);
    }
    return luc_raise(LUCID_ERR_FORMAT, op,
                     "%s: is a ZIP archive, but none of torch.save: it has "
                     "no data.pkl",
                     f->path);
}

/* The member "archive/" + before + name, or NULL; *ok is false after an error. */
static const luc_zip_member *find_member(lucid_pth *f, const char *before, const char *name,
                                         size_t length, bool *ok)
{
    luc_string_cut(&f->member, f->folder);
    *ok = luc_string_add(&f->member, before, strlen(before)) &&
          luc_string_add(&f->member, name, length);
    return *ok ? luc_zip_find(&f->zip, f->member.s) : NULL;
}

static bool has_member(lucid_pth *f, const char *name, bool *ok)
{
    return *ok && find_member(f, "", name, strlen(name), ok) != NULL;
}

/* The bytes of a member, in the file where that is possible; *owned: to be freed. */
static unsigned char *member_bytes(lucid_pth *f, const luc_zip_member *m, bool *owned)
{
    const unsigned char *p;
    *owned = false;
    if (!luc_zip_view(&f->zip, m, &p, op)) return NULL;
    if (p) return (unsigned char *)(uintptr_t)p; /* the mapping is private and writable */
    *owned = true;
    return luc_zip_unpack(&f->zip, m, op);
}

static bool check_byte_order(lucid_pth *f)
{
    bool ok, owned;
    const luc_zip_member *m = find_member(f, "byteorder", "", 0, &ok);
    if (!m) return ok; /* files of before 2.1 do not say */
    unsigned char *p = member_bytes(f, m, &owned);
    if (!p) return false;
    const bool little = m->size == 6 && memcmp(p, "little", 6) == 0;
    if (owned) luc_free(p);
    return little || luc_raise(LUCID_ERR_UNSUPPORTED, op,
                               "%s: its numbers are in another byte order than little", f->path);
}

static bool read_archive_storages(lucid_pth *f)
{
    uint64_t left = f->map->map.size; /* members that overlap would take time without end */
    for (size_t i = 0; i < f->n_storages; i++) {
        const luc_pickle_value *key = f->storages[i].id->storage.key;
        bool ok, owned;
        const luc_zip_member *m = find_member(f, "data/", key->text.s, key->text.length, &ok);
        if (!m) return ok && damaged(f, "a storage is missing");
        if (m->packed > left) return damaged(f, "its storages are larger than the file");
        left -= m->packed;
        unsigned char *p = member_bytes(f, m, &owned);
        if (!p || !fill(f, &f->storages[i], p, m->size, owned)) return false;
    }
    return true;
}

static luc_pickle_value *read_archive(lucid_pth *f)
{
    bool ok, owned;
    size_t used;
    if (!luc_zip_read(&f->zip, &f->map->map, f->path, "pth", op) || !find_folder(f)) return NULL;
    const luc_zip_member *m = find_member(f, "data.pkl", "", 0, &ok);
    if (has_member(f, "constants.pkl", &ok))
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, op,
                              "%s: is a TorchScript program; save model.state_dict() instead",
                              f->path);
    if (!ok || !m || !check_byte_order(f)) return NULL;
    unsigned char *p = member_bytes(f, m, &owned);
    if (owned) f->pickle = p;
    luc_pickle_value *root = p ? luc_pickle_read(&f->p, p, (size_t)m->size, &used) : NULL;
    if (root && used != m->size) return luc_pickle_damaged(&f->p, "it ends too early");
    return root && list_storages(f) && read_archive_storages(f) ? root : NULL;
}

/* ---- the old form ---------------------------------------------------------------------------- */

/* Pickles of a magic number, a version, the system, the object and the keys of its storages, whose
 * numbers follow. */
static const unsigned char magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                      0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static bool read_old_storages(lucid_pth *f, const luc_pickle_value *keys, unsigned char *at,
                              const unsigned char *end)
{
    for (size_t i = 0; i < keys->list.n; i++) {
        const luc_pickle_value *key = keys->list.items[i];
        storage *s = key->kind == LUC_PICKLE_TEXT ? find_storage(f, key) : NULL;
        if (!s || s->bytes) return damaged(f, "its list of storages is not that of its pickle");
        if (end - at < 8) return damaged(f, "it is cut off");
        const uint64_t n = luc_little(at, 8), left = (uint64_t)(end - at) - 8;
        const uint64_t width = (uint64_t)element_size(s->id);
        if (n > left / width) return damaged(f, "it is cut off");
        if (n != (uint64_t)s->id->storage.numel)
            return damaged(f, "a storage has another size than the pickle says");
        if (!fill(f, s, at + 8, n * width, false)) return false;
        at += 8 + n * width;
    }
    if (at != end) return damaged(f, "it is longer than its storages");
    for (size_t i = 0; i < f->n_storages; i++)
        if (!f->storages[i].bytes) return damaged(f, "a storage is missing");
    return true;
}

static luc_pickle_value *read_old(lucid_pth *f)
{
    unsigned char *at = f->map->map.data, *end = at + f->map->map.size;
    luc_pickle_value *parts[5] = {NULL};
    for (int i = 0; i < 5; i++) {
        size_t used;
        parts[i] = luc_pickle_read(&f->p, at, (size_t)(end - at), &used);
        if (!parts[i]) return NULL;
        at += used;
    }
    const luc_pickle_value *little = luc_pickle_get(parts[2], "little_endian");
    if (parts[1]->kind != LUC_PICKLE_INTEGER || parts[1]->integer != 1001 || !little ||
        little->kind != LUC_PICKLE_BOOL || parts[4]->kind != LUC_PICKLE_LIST)
        return luc_pickle_damaged(&f->p, "it does not begin as torch.save does");
    if (!little->integer)
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, op,
                              "%s: its numbers are in another byte order than little", f->path);
    return list_storages(f) && read_old_storages(f, parts[4], at, end) ? parts[3] : NULL;
}

static bool is_zip(const unsigned char *bytes, size_t size)
{
    return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

static bool is_old(const unsigned char *bytes, size_t size)
{
    if (size < 32 || bytes[0] != 0x80) return false;
    for (size_t i = 2; i < 16; i++)
        if (memcmp(bytes + i, magic, sizeof magic) == 0) return true;
    return false;
}

bool luc_pth_is_file(const char *path)
{
    unsigned char bytes[32];
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    const ssize_t n = fd < 0 ? 0 : pread(fd, bytes, sizeof bytes, 0);
    if (fd >= 0) close(fd);
    return n > 0 && (is_zip(bytes, (size_t)n) || is_old(bytes, (size_t)n));
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Whether all elements of a tensor lie in its storage. Sets the number of elements, which may be
 * more than the storage's: the same may be there many times, with a stride of 0. */
static bool lies_inside(const lucid_pth *f, const luc_pickle_value *v)
{
    const storage *s = &f->storages[v->tensor->storage->storage.index];
    const int ndim = v->tensor->ndim < LUCID_MAX_DIMS ? v->tensor->ndim : LUCID_MAX_DIMS;
    int64_t numel = 1, last = v->tensor->offset, bytes, part;
    bool empty = false;
    for (int d = 0; d < ndim; d++) empty = empty || v->tensor->dims[d] == 0;
    for (int d = 0; d < ndim; d++) {
        const int64_t size = v->tensor->dims[d];
        if (size && !luc_mul_i64(numel, size, &numel)) return false;
        if (size && (!luc_mul_i64(size - 1, v->tensor->strides[d], &part) ||
                     __builtin_add_overflow(last, part, &last)))
            return false;
    }
    if (!luc_mul_i64(numel, v->tensor->dtype->bytes, &bytes)) return false;
    if (empty) return true;
    return last < INT64_MAX && luc_mul_i64(last + 1, v->tensor->dtype->bytes, &bytes) &&
           (size_t)bytes <= s->bytes->storage->size;
}

static bool check_tensors(const lucid_pth *f)
{
    for (size_t i = 0; i < f->list.count; i++)
        if (!lies_inside(f, f->list.entries[i].tensor))
            return luc_raise(LUCID_ERR_FORMAT, op,
                             "%s: is a damaged pth file: tensor \"%.200s\" is larger than its "
                             "storage",
                             f->path, f->list.entries[i].name);
    return true;
}

static int compare_entries(const void *a, const void *b, void *entries)
{
    const luc_pth_entry *e = entries;
    return strcmp(e[*(const int64_t *)a].name, e[*(const int64_t *)b].name);
}

static int compare_notes(const void *a, const void *b, void *notes)
{
    const luc_pth_note *n = notes;
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    const int order = strcmp(n[i].key, n[j].key);
    return order ? order : (i > j) - (i < j);
}

static int64_t *sorted(void *array, size_t n, int (*compare)(const void *, const void *, void *))
{
    int64_t *order = luc_calloc(n, sizeof *order, op);
    if (!order) return NULL;
    for (size_t i = 0; i < n; i++) order[i] = (int64_t)i;
    if (n) qsort_r(order, n, sizeof *order, compare, array);
    return order;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool read_file(lucid_pth *f, const char *entry)
{
    const luc_file_map *map = &f->map->map;
    luc_pickle_value *root = NULL;
    f->arena.op = op;
    f->p = (luc_pickle){.op = op, .path = f->path, .arena = &f->arena};
    f->list.p = &f->p;
    if (is_zip(map->data, map->size))
        root = read_archive(f);
    else if (is_old(map->data, map->size))
        root = read_old(f);
    else
        return luc_raise(LUCID_ERR_FORMAT, op, "%s: is no file of torch.save, or is cut off",
                         f->path);
    if (!root || !luc_pth_collect(&f->list, root, entry, map->size) || !check_tensors(f))
        return false;
    f->by_name = sorted(f->list.entries, f->list.count, compare_entries);
    f->notes_by_key = f->by_name ? sorted(f->list.notes, f->list.notes_count, compare_notes) : NULL;
    return f->notes_by_key != NULL;
}

lucid_pth *lucid_pth_open_opt(const char *path, const lucid_pth_options *options)
{
    const lucid_pth_options *o = LUC_OPTIONS(lucid_pth, options, op);
    mapping *map = o ? mapping_open(path) : NULL;
    lucid_pth *f = map ? luc_calloc(1, sizeof *f, op) : NULL;
    if (!f) {
        mapping_release(map);
        return NULL;
    }
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    f->map = map;
    f->path = luc_strdup(path, op);
    if (f->path && read_file(f, o->entry)) return f;
    lucid_pth_close(f);
    return NULL;
}

void lucid_pth_close(lucid_pth *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->n_storages; i++) lucid_release(f->storages[i].bytes);
    luc_free(f->storages);
    luc_zip_free(&f->zip);
    luc_string_free(&f->member);
    luc_arena_free(&f->arena);
    luc_free(f->pickle);
    luc_free(f->by_name);
    luc_free(f->notes_by_key);
    mapping_release(f->map);
    luc_free(f->path);
    luc_free(f);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

int64_t lucid_pth_count(const lucid_pth *f)
{
    return f ? (int64_t)f->list.count : 0;
}

static const luc_pth_entry *entry_at(const lucid_pth *f, int64_t i, const char *what)
{
    if (!f) return luc_raise_null(LUCID_ERR_ARGUMENT, what, "file: got NULL");
    if (i >= 0 && i < (int64_t)f->list.count) return &f->list.entries[i];
    return luc_raise_null(LUCID_ERR_ARGUMENT, what, "%s: i: expected one in [0,%lld), got %lld",
                          f->path, (long long)f->list.count, (long long)i);
}

const char *lucid_pth_name(const lucid_pth *f, int64_t i)
{
    const luc_pth_entry *e = entry_at(f, i, "pth_name");
    return e ? e->name : NULL;
}

int64_t lucid_pth_find(const lucid_pth *f, const char *name)
{
    int64_t low = 0, high = f && name ? (int64_t)f->list.count : 0;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2, i = f->by_name[middle];
        const int order = strcmp(name, f->list.entries[i].name);
        if (order == 0) return i;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

lucid_code luc_pth_refusal(const lucid_pth *f, int64_t i, char *text, size_t size)
{
    const luc_pth_entry *e = &f->list.entries[i];
    const luc_pickle_dtype *dtype = e->tensor->tensor->dtype;
    if (dtype->dtype == LUCID_DTYPE_COUNT) {
        luc_snprintf(text, size, "%s: tensor \"%s\": lucid has no dtype %s", f->path, e->name,
                     dtype->name);
        return LUCID_ERR_UNSUPPORTED;
    }
    if (e->tensor->tensor->ndim > LUCID_MAX_DIMS) {
        luc_snprintf(text, size, "%s: tensor \"%s\": expected at most %d dimensions, got %d",
                     f->path, e->name, LUCID_MAX_DIMS, e->tensor->tensor->ndim);
        return LUCID_ERR_UNSUPPORTED;
    }
    const storage *s = &f->storages[e->tensor->tensor->storage->storage.index];
    if (dtype->dtype != LUCID_BOOL || !s->not_bools) return LUCID_OK;
    luc_snprintf(text, size, "%s: tensor \"%s\": a bool is neither 0 nor 1", f->path, e->name);
    return LUCID_ERR_FORMAT;
}

static lucid_tensor *view_at(const lucid_pth *f, int64_t i, const char *what)
{
    char why[512];
    const luc_pth_entry *e = entry_at(f, i, what);
    const lucid_code code = e ? luc_pth_refusal(f, i, why, sizeof why) : LUCID_OK;
    if (code != LUCID_OK) return luc_raise_null(code, what, "%s", why);
    if (!e) return NULL;
    const luc_pickle_value *v = e->tensor;
    lucid_meta meta = {
        .dtype = v->tensor->dtype->dtype, .ndim = v->tensor->ndim, .offset = v->tensor->offset};
    bool empty = false;
    for (int d = 0; d < meta.ndim; d++) {
        meta.dims[d] = v->tensor->dims[d];
        meta.strides[d] = v->tensor->strides[d];
        empty = empty || meta.dims[d] == 0;
    }
    if (empty) meta.offset = 0;
    return luc_tensor_on(f->storages[v->tensor->storage->storage.index].bytes->storage, &meta,
                         what);
}

lucid_tensor *lucid_pth_view(const lucid_pth *f, int64_t i)
{
    return view_at(f, i, "pth_view");
}

lucid_tensor *lucid_pth_get(const lucid_pth *f, const char *name)
{
    static const char what[] = "pth_get";
    if (!f) return luc_raise_null(LUCID_ERR_ARGUMENT, what, "file: got NULL");
    if (!name) return luc_raise_null(LUCID_ERR_ARGUMENT, what, "name: got NULL");
    const int64_t i = lucid_pth_find(f, name);
    if (i >= 0) return view_at(f, i, what);
    return luc_raise_null(LUCID_ERR_ARGUMENT, what, "%s: there is no tensor \"%s\"", f->path, name);
}

int64_t lucid_pth_note_count(const lucid_pth *f)
{
    return f ? (int64_t)f->list.notes_count : 0;
}

const char *lucid_pth_note_key(const lucid_pth *f, int64_t i)
{
    const int64_t n = lucid_pth_note_count(f);
    if (i >= 0 && i < n) return f->list.notes[i].key;
    return luc_raise_null(LUCID_ERR_ARGUMENT, "pth_note_key",
                          "i: expected one in [0,%lld), got %lld", (long long)n, (long long)i);
}

const char *lucid_pth_note(const lucid_pth *f, const char *key)
{
    int64_t low = 0, high = f && key ? (int64_t)f->list.notes_count : 0;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const luc_pth_note *n = &f->list.notes[f->notes_by_key[middle]];
        const int order = strcmp(key, n->key);
        if (order == 0) return n->value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

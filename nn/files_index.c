/* files_index.c: weights in several safetensors files, which an index names:
 * {"metadata": {...}, "weight_map": {"conv1.weight": "model-00001-of-00002.safetensors", ...}}. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/safetensors.h"
#include "lucid/io/zip_priv.h"
#include "nn/module_priv.h"
#include "nn/state_dict_priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct shard {
    char *name; /* owned */
    lucid_safetensors *file;
} shard;

typedef struct reading {
    lucid_state_dict *state;
    const char *path;
    shard *shards;
    size_t n, capacity;
} reading;

static bool damaged(const reading *r, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, "load", "%s: is a damaged index of safetensors: %s", r->path,
                     what);
}

bool luc_is_index(const char *path)
{
    unsigned char b[16];
    struct stat st;
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    const bool regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    const bool read = regular && pread(fd, b, sizeof b, 0) == (ssize_t)sizeof b;
    if (fd >= 0) close(fd);
    if (!read || b[0] != '{') return false;
    /* safetensors begins with the length of a header, which fits in the file. */
    return b[8] != '{' || luc_little(b, 8) > (uint64_t)st.st_size;
}

/* The file of a name, in the index's folder; it is opened once. NULL after an error. */
static lucid_safetensors *open_shard(reading *r, const char *name)
{
    for (size_t i = r->n; i-- > 0;)
        if (strcmp(r->shards[i].name, name) == 0) return r->shards[i].file;
    if (!*name || strchr(name, '/') || strcmp(name, "..") == 0) {
        damaged(r, "a file is not in its folder");
        return NULL;
    }
    if (r->n == r->capacity) {
        const size_t more = r->capacity ? 2 * r->capacity : 8;
        shard *room = luc_realloc(r->shards, more * sizeof *room, "load");
        if (!room) return NULL;
        r->shards = room;
        r->capacity = more;
    }
    const char *slash = strrchr(r->path, '/');
    luc_string path = {0};
    shard *s = &r->shards[r->n];
    bool ok =
        luc_string_printf(&path, "%.*s%s", slash ? (int)(slash + 1 - r->path) : 0, r->path, name);
    *s = (shard){.name = ok ? luc_strdup(name, "load") : NULL};
    s->file = s->name ? lucid_safetensors_open(path.s) : NULL;
    luc_string_free(&path);
    if (s->file) {
        r->n++;
        return s->file;
    }
    luc_free(s->name);
    return NULL;
}

static bool read_weight(reading *r, const char *name, const char *file)
{
    lucid_safetensors *f = open_shard(r, file);
    if (!f) return false;
    const int64_t i = lucid_safetensors_find(f, name);
    if (i >= 0) return luc_state_read(r->state, f, i);
    return luc_raise(LUCID_ERR_FORMAT, "load", "%s: \"%s\" is not in %s", r->path, name, file);
}

/* Reads the map; `text` is room for two strings of the whole. */
static bool read_map(reading *r, luc_json *j, char *text, size_t size)
{
    bool first = true, ok = luc_json_open(j, '{');
    char *name = text, *file = text + size;
    while (ok && luc_json_member(j, '}', &first) && luc_json_name(j, name, NULL))
        ok = luc_json_string(j, file, NULL) ? read_weight(r, name, file) : false;
    return ok || lucid_error_code() != LUCID_OK;
}

static bool read_index(reading *r, const luc_file_map *map)
{
    luc_json j = luc_json_begin((const char *)map->data, map->size);
    char *text = luc_alloc(2 * map->size, "load");
    bool first = true, found = false, ok = text != NULL;
    if (ok && luc_json_open(&j, '{'))
        while (ok && luc_json_member(&j, '}', &first) && luc_json_name(&j, text, NULL)) {
            const bool map_here = strcmp(text, "weight_map") == 0;
            found = found || map_here;
            ok = map_here ? read_map(r, &j, text, map->size) : luc_json_skip(&j);
            if (lucid_error_code() != LUCID_OK) ok = false;
        }
    luc_free(text);
    if (lucid_error_code() != LUCID_OK) return false;
    if (!luc_json_finish(&j)) return damaged(r, j.error ? j.error : "it is no JSON");
    return found || damaged(r, "it has no \"weight_map\"");
}

bool luc_state_read_index(lucid_state_dict *s, const char *path)
{
    luc_file_map map;
    reading r = {.state = s, .path = path};
    if (!luc_file_map_open(&map, path, "load")) return false;
    const bool ok = read_index(&r, &map);
    luc_file_map_close(&map);
    for (size_t i = 0; i < r.n; i++) {
        lucid_safetensors_close(r.shards[i].file);
        luc_free(r.shards[i].name);
    }
    luc_free(r.shards);
    return ok;
}

/* files.c: state dicts as safetensors files. The versions of the modules are one text of the file's
 * metadata, in the form of PyTorch's state_dict._metadata: {"": {"version": 1}, "1": {...}}. */
#include "lucid/io/safetensors.h"
#include "nn/module_priv.h"
#include "nn/state_dict_priv.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define VERSIONS_KEY "_metadata"

/* ---- versions as text ------------------------------------------------------------------------ */

static char *versions_text(const lucid_state_dict *s)
{
    json_t *root = json_object();
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < s->versions.count; i++) {
        const luc_state_item *item = &s->versions.items[i];
        json_t *entry = json_pack("{s:I}", "version", (json_int_t)item->number);
        ok = entry && json_object_set_new(root, item->name, entry) == 0;
    }
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) luc_raise(LUCID_ERR_MEMORY, "save", "the versions of the modules cannot be written");
    return text;
}

/* A text that is not of this form says nothing about versions: that is allowed. */
static bool read_versions(lucid_state_dict *s, const char *text)
{
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *path;
    json_t *entry;
    bool ok = true;
    json_object_foreach(root, path, entry)
    {
        const json_t *version = json_object_get(entry, "version");
        if (!json_is_integer(version) || json_integer_value(version) < 0) continue;
        ok = ok && lucid_state_dict_set_version(s, path, json_integer_value(version));
    }
    json_decref(root);
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_file(const lucid_state_dict *s, const char *versions, const char *path)
{
    size_t n = s->tensors.count, m = s->notes.count + 1;
    const char **names = luc_calloc(n, sizeof *names, "save");
    lucid_tensor **tensors = luc_calloc(n, sizeof *tensors, "save");
    const char **keys = luc_calloc(2 * m, sizeof *keys, "save");
    bool ok = names && tensors && keys;
    for (size_t i = 0; ok && i < n; i++) {
        names[i] = s->tensors.items[i].name;
        tensors[i] = s->tensors.items[i].tensor;
    }
    size_t used = 0;
    for (size_t i = 0; ok && i < s->notes.count; i++) {
        if (strcmp(s->notes.items[i].name, VERSIONS_KEY) == 0) continue;
        keys[used] = s->notes.items[i].name;
        keys[m + used++] = s->notes.items[i].text;
    }
    if (ok && s->versions.count) {
        keys[used] = VERSIONS_KEY;
        keys[m + used++] = versions;
    }
    ok = ok &&
         lucid_safetensors_write(path, names, tensors, (int64_t)n, keys, keys + m, (int64_t)used);
    luc_free(names);
    luc_free(tensors);
    luc_free(keys);
    return ok;
}

bool lucid_state_dict_save(const lucid_state_dict *s, const char *path)
{
    LUC_CALLED_AS("state_dict_save");
    if (!luc_check_state(s, "save") || lucid_error_code() != LUCID_OK) return false;
    char *versions = versions_text(s);
    bool ok = versions && write_file(s, versions, path);
    free(versions);
    return ok;
}

bool lucid_save(lucid_module *m, const char *path)
{
    LUC_CALLED_AS("save");
    if (!luc_check_module(m, "save") || lucid_error_code() != LUCID_OK) return false;
    lucid_state_dict *s = lucid_module_state_dict(m);
    bool ok = s && lucid_state_dict_save(s, path);
    lucid_state_dict_free(s);
    return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_file(lucid_state_dict *s, const lucid_safetensors *file)
{
    LUCID_SCOPE;
    bool ok = true;
    for (int64_t i = 0; ok && i < lucid_safetensors_count(file); i++)
        ok = lucid_state_dict_set(s, lucid_safetensors_name(file, i),
                                  lucid_safetensors_view(file, i));
    for (int64_t i = 0; ok && i < lucid_safetensors_metadata_count(file); i++) {
        const char *key = lucid_safetensors_metadata_key(file, i);
        const char *value = lucid_safetensors_metadata(file, key);
        ok = strcmp(key, VERSIONS_KEY) == 0 ? read_versions(s, value)
                                            : lucid_state_dict_set_note(s, key, value);
    }
    return ok;
}

lucid_state_dict *lucid_state_dict_load(const char *path)
{
    LUC_CALLED_AS("state_dict_load");
    lucid_safetensors *file = lucid_safetensors_open(path);
    lucid_state_dict *s = file ? lucid_state_dict_new() : NULL;
    bool ok = s && read_file(s, file);
    lucid_safetensors_close(file);
    if (ok) return s;
    lucid_state_dict_free(s);
    return NULL;
}

bool lucid_load_opt(lucid_module *m, const char *path, const lucid_load_options *options)
{
    if (!luc_check_module(m, "load")) return false;
    lucid_state_dict *s;
    {
        LUC_CALLED_AS("load");
        s = lucid_state_dict_load(path);
    }
    bool ok = s && lucid_load_state_dict_opt(m, s, options);
    lucid_state_dict_free(s);
    return ok;
}

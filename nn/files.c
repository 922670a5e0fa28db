/* files.c: state dicts as files, of safetensors or of torch.save. The versions of the modules are
 * PyTorch's state_dict._metadata, in safetensors as one text of the file's metadata:
 * {"": {"version": 1}, "1": {...}}. */
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/pth.h"
#include "lucid/io/pth_priv.h"
#include "lucid/io/safetensors.h"
#include "lucid/io/safetensors_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"
#include "nn/state_dict_priv.h"

#include <string.h>

#define VERSIONS_KEY "_metadata"

/* ---- versions as text ------------------------------------------------------------------------ */

/* False, with an error raised, when memory is out or a name is not UTF-8. */
static bool put_versions(luc_string *out, const lucid_state_dict *s)
{
    bool ok = luc_string_add(out, "{", 1);
    for (size_t i = 0; ok && i < s->versions.count; i++) {
        const luc_state_item *item = &s->versions.items[i];
        ok = (!i || luc_string_add(out, ",", 1)) && luc_json_put_string(out, item->name) &&
             luc_string_printf(out, ":{\"version\":%lld}", (long long)item->number);
        if (!ok && !out->failed)
            luc_raise(LUCID_ERR_ARGUMENT, "save", "versions: \"%s\" is not UTF-8", item->name);
    }
    return ok && luc_string_add(out, "}", 1);
}

/* Reads {"version": 1}, which may have other members. Returns -1 if it has no version. */
static int64_t read_version(luc_json *j, char *name)
{
    int64_t version = -1, number;
    bool first = true;
    if (luc_json_peek(j) != '{') return luc_json_skip(j), -1;
    luc_json_open(j, '{');
    while (luc_json_member(j, '}', &first) && luc_json_name(j, name, NULL)) {
        luc_json value = *j;
        if (strcmp(name, "version") == 0 && luc_json_integer(&value, &number)) version = number;
        luc_json_skip(j);
    }
    return version;
}

/* A text that is not of this form says nothing about versions: that is allowed. */
static bool read_versions(lucid_state_dict *s, const char *text)
{
    size_t size = strlen(text);
    luc_json j = luc_json_begin(text, size), whole = j;
    if (luc_json_peek(&j) != '{' || !luc_json_skip(&whole) || !luc_json_finish(&whole)) return true;
    char *path = luc_alloc(2 * size, "load"), *name = path ? path + size : NULL;
    bool first = true, ok = path && luc_json_open(&j, '{');
    while (ok && luc_json_member(&j, '}', &first) && luc_json_name(&j, path, NULL)) {
        int64_t version = read_version(&j, name);
        if (version >= 0) ok = lucid_state_dict_set_version(s, path, version);
    }
    luc_free(path);
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_safetensors(const lucid_state_dict *s, const char *versions, const char *path)
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

static bool write_pth(const lucid_state_dict *s, const char *path)
{
    const size_t n = s->tensors.count, m = s->notes.count, k = s->versions.count;
    const char **texts = luc_calloc(n + 2 * m + k, sizeof *texts, "save");
    lucid_tensor **tensors = luc_calloc(n, sizeof *tensors, "save");
    int64_t *versions = luc_calloc(k, sizeof *versions, "save");
    bool ok = texts && tensors && versions;
    for (size_t i = 0; ok && i < n; i++) {
        texts[i] = s->tensors.items[i].name;
        tensors[i] = s->tensors.items[i].tensor;
    }
    for (size_t i = 0; ok && i < m; i++) {
        texts[n + i] = s->notes.items[i].name;
        texts[n + m + i] = s->notes.items[i].text;
    }
    for (size_t i = 0; ok && i < k; i++) {
        texts[n + 2 * m + i] = s->versions.items[i].name;
        versions[i] = s->versions.items[i].number;
    }
    const luc_pth_content content = {texts,         tensors,    (int64_t)n,        texts + n,
                                     texts + n + m, (int64_t)m, texts + n + 2 * m, versions,
                                     (int64_t)k};
    ok = ok && luc_pth_write(path, &content, "save");
    luc_free(texts);
    luc_free(tensors);
    luc_free(versions);
    return ok;
}

static bool ends_in(const char *path, const char *ending)
{
    const size_t n = path ? strlen(path) : 0, m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

bool lucid_state_dict_save(const lucid_state_dict *s, const char *path)
{
    LUC_CALLED_AS("state_dict_save");
    if (!luc_check_state(s, "save") || lucid_error_code() != LUCID_OK) return false;
    if (!luc_state_is_whole(s, "save")) return false;
    if (ends_in(path, ".pth") || ends_in(path, ".pt")) return write_pth(s, path);
    luc_string versions = {0};
    bool ok = put_versions(&versions, s) && write_safetensors(s, versions.s, path);
    luc_string_free(&versions);
    return ok;
}

bool lucid_module_save(lucid_module *m, const char *path)
{
    LUC_CALLED_AS("save");
    if (!luc_check_module(m, "save") || lucid_error_code() != LUCID_OK) return false;
    lucid_state_dict *s = lucid_module_state_dict(m);
    bool ok = s && lucid_state_dict_save(s, path);
    lucid_state_dict_free(s);
    return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A tensor that lucid cannot hold does not make the whole file an error: asking for it does. */
bool luc_state_read(lucid_state_dict *s, const lucid_safetensors *file, int64_t i)
{
    char why[512];
    const char *name = lucid_safetensors_name(file, i);
    lucid_code code = luc_safetensors_refusal(file, i, why, sizeof why);
    if (code != LUCID_OK) return luc_state_set_foreign(s, name, code, why);
    LUCID_SCOPE;
    return lucid_state_dict_set(s, name, lucid_safetensors_view(file, i));
}

static bool read_note(lucid_state_dict *s, const char *key, const char *value)
{
    return strcmp(key, VERSIONS_KEY) == 0 ? read_versions(s, value)
                                          : lucid_state_dict_set_note(s, key, value);
}

static bool read_safetensors(lucid_state_dict *s, const char *path)
{
    lucid_safetensors *file = lucid_safetensors_open(path);
    bool ok = file != NULL;
    for (int64_t i = 0; ok && i < lucid_safetensors_count(file); i++)
        ok = luc_state_read(s, file, i);
    for (int64_t i = 0; ok && i < lucid_safetensors_metadata_count(file); i++) {
        const char *key = lucid_safetensors_metadata_key(file, i);
        ok = read_note(s, key, lucid_safetensors_metadata(file, key));
    }
    lucid_safetensors_close(file);
    return ok;
}

static bool read_pth_tensor(lucid_state_dict *s, const lucid_pth *file, int64_t i)
{
    char why[512];
    const char *name = lucid_pth_name(file, i);
    const lucid_code code = luc_pth_refusal(file, i, why, sizeof why);
    if (code != LUCID_OK) return luc_state_set_foreign(s, name, code, why);
    LUCID_SCOPE;
    return lucid_state_dict_set(s, name, lucid_pth_view(file, i));
}

static bool read_pth(lucid_state_dict *s, const char *path, const char *entry)
{
    lucid_pth *file = lucid_pth_open_opt(path, LUC_WITH(lucid_pth, .entry = entry));
    bool ok = file != NULL;
    for (int64_t i = 0; ok && i < lucid_pth_count(file); i++) ok = read_pth_tensor(s, file, i);
    for (int64_t i = 0; ok && i < lucid_pth_note_count(file); i++) {
        const char *key = lucid_pth_note_key(file, i);
        ok = read_note(s, key, lucid_pth_note(file, key));
    }
    lucid_pth_close(file);
    return ok;
}

static lucid_state_dict *read_file(const char *path, const char *entry)
{
    lucid_state_dict *s = lucid_state_dict_new();
    bool ok = s != NULL;
    if (entry || luc_pth_is_file(path))
        ok = ok && read_pth(s, path, entry);
    else if (luc_is_index(path))
        ok = ok && luc_state_read_index(s, path);
    else
        ok = ok && read_safetensors(s, path);
    if (ok) return s;
    lucid_state_dict_free(s);
    return NULL;
}

lucid_state_dict *lucid_state_dict_load(const char *path)
{
    LUC_CALLED_AS("state_dict_load");
    return read_file(path, NULL);
}

bool lucid_load_opt(lucid_module *m, const char *path, const lucid_load_options *options)
{
    const lucid_load_options *o = LUC_OPTIONS(lucid_load, options, "load");
    if (!o || !luc_check_module(m, "load")) return false;
    lucid_state_dict *s;
    {
        LUC_CALLED_AS("load");
        s = read_file(path, o->entry);
    }
    bool ok = s && lucid_load_state_dict_opt(m, s, o);
    lucid_state_dict_free(s);
    return ok;
}

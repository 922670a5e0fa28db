/* pth_names.c: finds the state dict in what a file holds, and gives its tensors their names. */
#include "lucid/io/pth_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/pickle_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

static bool damaged(const luc_pth_list *list, const char *what)
{
    luc_pickle_damaged(list->p, what);
    return false;
}

/* ---- the wanted part ------------------------------------------------------------------------- */

static bool has_tensors(const luc_pickle_value *v)
{
    if (v->kind != LUC_PICKLE_DICT) return false;
    for (size_t i = 1; i < v->list.n; i += 2)
        if (v->list.items[i]->kind == LUC_PICKLE_TENSOR) return true;
    return false;
}

/* The dicts of tensors in a dict: the only one, or NULL; *several tells that there are more. */
static luc_pickle_value *only_dict(luc_pickle_value *v, luc_string *names, bool *several)
{
    luc_pickle_value *found = NULL;
    *several = false;
    for (size_t i = 1; i < v->list.n; i += 2) {
        luc_pickle_value *d = v->list.items[i];
        const luc_pickle_value *key = v->list.items[i - 1];
        if (d == found || !has_tensors(d)) continue;
        if (found) *several = true;
        found = d;
        if (names->length < 200 && key->kind == LUC_PICKLE_TEXT)
            luc_string_printf(names, "%s%.*s", names->length ? ", " : "",
                              (int)(key->text.length < 60 ? key->text.length : 60), key->text.s);
    }
    return *several ? NULL : found;
}

/* NULL after an error. */
static luc_pickle_value *find_state(const luc_pth_list *list, luc_pickle_value *root)
{
    static const char *const usual[] = {"state_dict", "model_state_dict", "model"};
    luc_pickle_value *v = root;
    for (int depth = 0; depth < 3 && v->kind == LUC_PICKLE_DICT; depth++) {
        luc_pickle_value *inside = NULL;
        for (size_t i = 0; !inside && i < sizeof usual / sizeof *usual; i++) {
            inside = luc_pickle_get(v, usual[i]);
            if (inside && inside->kind != LUC_PICKLE_DICT) inside = NULL;
        }
        if (!inside) break;
        v = inside;
    }
    if (v != root && has_tensors(v)) return v;
    if (root->kind != LUC_PICKLE_DICT || has_tensors(root)) return root;
    bool several;
    luc_string names = {0};
    v = only_dict(root, &names, &several);
    if (several)
        luc_raise(LUCID_ERR_ARGUMENT, list->p->op,
                  "%s: entry: the file has several dicts of tensors (%s), choose one",
                  list->p->path, names.s ? names.s : "");
    luc_string_free(&names);
    return several ? NULL : v ? v : root;
}

/* A value of a key that is a text, or of an index, or NULL. */
static luc_pickle_value *child(const luc_pickle_value *v, const char *key, size_t length)
{
    if (v->kind != LUC_PICKLE_DICT) return NULL;
    for (size_t i = v->list.n; i >= 2; i -= 2) {
        const luc_pickle_value *k = v->list.items[i - 2];
        if (k->kind == LUC_PICKLE_TEXT && k->text.length == length &&
            memcmp(k->text.s, key, length) == 0)
            return v->list.items[i - 1];
    }
    return NULL;
}

/* The part under keys with dots between them; a key may have dots itself. */
static luc_pickle_value *follow(luc_pickle_value *v, const char *path, int depth)
{
    luc_pickle_value *whole = child(v, path, strlen(path));
    if (whole || depth > DEEPEST) return whole;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        luc_pickle_value *c = child(v, path, (size_t)(dot - path));
        if (c) return follow(c, dot + 1, depth + 1);
    }
    return NULL;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Room for one more in an array of the arena. */
static bool make_room(const luc_pth_list *list, void **array, size_t size, size_t n, size_t *room)
{
    if (n < *room) return true;
    const size_t more = *room ? 2 * *room : 64;
    void *p = luc_arena_alloc(list->p->arena, more * size);
    if (!p) return false;
    if (n) memcpy(p, *array, n * size);
    *array = p;
    *room = more;
    return true;
}

static const char *keep(luc_pth_list *list, const char *text, size_t length)
{
    list->budget -= (int64_t)length;
    char *s = luc_arena_alloc(list->p->arena, length + 1);
    if (!s) return NULL;
    memcpy(s, text, length);
    s[length] = 0;
    return s;
}

static bool add_tensor(luc_pth_list *list, const luc_string *name, const luc_pickle_value *tensor)
{
    void *array = list->entries;
    if (!make_room(list, &array, sizeof *list->entries, list->count, &list->room)) return false;
    list->entries = array;
    const char *s = name->length ? keep(list, name->s, name->length) : "tensor";
    if (!s) return false;
    list->entries[list->count++] = (luc_pth_entry){s, tensor};
    return true;
}

static bool add_note(luc_pth_list *list, const char *key, const char *value, size_t length)
{
    void *array = list->notes;
    if (!make_room(list, &array, sizeof *list->notes, list->notes_count, &list->notes_room))
        return false;
    list->notes = array;
    const char *k = keep(list, key, strlen(key)), *v = k ? keep(list, value, length) : NULL;
    if (!v) return false;
    list->notes[list->notes_count++] = (luc_pth_note){k, v};
    return true;
}

static bool is_plain_text(const luc_pickle_value *v)
{
    const char *p = v->text.s, *end = p + v->text.length;
    while (p < end) {
        const size_t n = *p ? luc_utf8_size(p, end) : 0;
        if (!n) return false;
        p += n;
    }
    return true;
}

/* Numbers, bools and texts become notes; None, names and texts that are no UTF-8 do not. */
static bool note(luc_pth_list *list, const luc_string *name, const luc_pickle_value *v)
{
    char text[40];
    const char *key = name->length ? name->s : "value";
    if (v->kind == LUC_PICKLE_TEXT)
        return !is_plain_text(v) || add_note(list, key, v->text.s, v->text.length);
    if (v->kind == LUC_PICKLE_BOOL)
        luc_snprintf(text, sizeof text, "%s", v->integer ? "True" : "False");
    else if (v->kind == LUC_PICKLE_INTEGER)
        luc_snprintf(text, sizeof text, "%lld", (long long)v->integer);
    else if (v->kind == LUC_PICKLE_FLOAT)
        luc_snprintf(text, sizeof text, "%.17g", v->number);
    else
        return true;
    return add_note(list, key, text, strlen(text));
}

/* ---- the walk -------------------------------------------------------------------------------- */

typedef struct walk {
    luc_pth_list *list;
    const luc_pickle_value *skipped; /* a part that another walk has */
    bool tensors;                    /* false: only what becomes a note */
    luc_string name;
} walk;

static bool visit(walk *w, const luc_pickle_value *v, int depth);

static bool visit_item(walk *w, const luc_pickle_value *key, size_t i, const luc_pickle_value *v,
                       int depth)
{
    const size_t before = w->name.length;
    bool ok = !before || luc_string_add(&w->name, ".", 1);
    if (!key || key->kind == LUC_PICKLE_INTEGER) {
        ok =
            ok && luc_string_printf(&w->name, "%lld", key ? (long long)key->integer : (long long)i);
    } else if (key->kind == LUC_PICKLE_TEXT) {
        if (!is_plain_text(key)) return damaged(w->list, "a name is not UTF-8");
        ok = ok && (!key->text.length || luc_string_add(&w->name, key->text.s, key->text.length));
    } else if (v->kind == LUC_PICKLE_TENSOR && w->tensors) {
        return damaged(w->list, "the key of a tensor is neither a text nor a number");
    } else {
        luc_string_cut(&w->name, before);
        return true;
    }
    ok = ok && visit(w, v, depth);
    if (ok) luc_string_cut(&w->name, before);
    return ok;
}

static bool visit(walk *w, const luc_pickle_value *v, int depth)
{
    if (v == w->skipped) return true;
    w->list->budget -= 1 + (int64_t)w->name.length / 16;
    if (depth > DEEPEST || w->list->budget < 0)
        return damaged(w->list, "its lists and dicts hold each other too often");
    if (v->kind == LUC_PICKLE_TENSOR) return !w->tensors || add_tensor(w->list, &w->name, v);
    if (v->kind == LUC_PICKLE_DICT) {
        for (size_t i = 1; i < v->list.n; i += 2)
            if (!visit_item(w, v->list.items[i - 1], 0, v->list.items[i], depth + 1)) return false;
        return true;
    }
    if (v->kind == LUC_PICKLE_LIST || v->kind == LUC_PICKLE_TUPLE) {
        for (size_t i = 0; i < v->list.n; i++)
            if (!visit_item(w, NULL, i, v->list.items[i], depth + 1)) return false;
        return true;
    }
    return note(w->list, &w->name, v);
}

static bool walk_part(luc_pth_list *list, const luc_pickle_value *v, bool tensors,
                      const luc_pickle_value *skipped)
{
    walk w = {.list = list, .skipped = skipped, .tensors = tensors};
    const bool ok = visit(&w, v, 0);
    luc_string_free(&w.name);
    return ok;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* The versions of modules, {"": {"version": 1}}, as JSON. */
static bool read_versions(luc_pth_list *list, const luc_pickle_value *d)
{
    if (!d || d->kind != LUC_PICKLE_DICT) return true;
    luc_string text = {0};
    bool ok = luc_string_add(&text, "{", 1);
    for (size_t i = 1; ok && i < d->list.n; i += 2) {
        const luc_pickle_value *key = d->list.items[i - 1], *of = d->list.items[i];
        if (key->kind != LUC_PICKLE_TEXT || !is_plain_text(key) || of->kind != LUC_PICKLE_DICT ||
            of->list.n > 64)
            continue;
        const luc_pickle_value *version = luc_pickle_get(of, "version");
        if (!version || version->kind != LUC_PICKLE_INTEGER) continue;
        luc_string path = {0};
        ok = (!key->text.length || luc_string_add(&path, key->text.s, key->text.length)) &&
             (text.length == 1 || luc_string_add(&text, ",", 1)) &&
             luc_json_put_string(&text, path.s ? path.s : "") &&
             luc_string_printf(&text, ":{\"version\":%lld}", (long long)version->integer);
        luc_string_free(&path);
    }
    ok = ok && luc_string_add(&text, "}", 1) &&
         add_note(list, LUC_PTH_VERSIONS, text.s, text.length);
    luc_string_free(&text);
    return ok;
}

static bool read_attributes(luc_pth_list *list, const luc_pickle_value *state)
{
    const luc_pickle_value *attributes =
        state->kind == LUC_PICKLE_DICT ? state->list.attributes : NULL;
    if (!attributes) return true;
    const luc_pickle_value *notes = luc_pickle_get(attributes, LUC_PTH_NOTES);
    return read_versions(list, luc_pickle_get(attributes, LUC_PTH_VERSIONS)) &&
           (!notes || walk_part(list, notes, false, NULL));
}

/* ---- no name twice --------------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
    return strcmp((*(const luc_pth_entry *const *)a)->name,
                  (*(const luc_pth_entry *const *)b)->name);
}

static bool check_unique(const luc_pth_list *list)
{
    const luc_pth_entry **order = luc_calloc(list->count, sizeof *order, list->p->op);
    if (!order) return false;
    for (size_t i = 0; i < list->count; i++) order[i] = &list->entries[i];
    qsort(order, list->count, sizeof *order, compare_entries);
    bool ok = true;
    for (size_t i = 1; ok && i < list->count; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            ok = luc_raise(LUCID_ERR_FORMAT, list->p->op, "%s: has two tensors \"%.200s\"",
                           list->p->path, order[i]->name);
    luc_free(order);
    return ok;
}

bool luc_pth_collect(luc_pth_list *list, luc_pickle_value *root, const char *entry, size_t size)
{
    list->budget = 64 * (int64_t)size + 4096;
    luc_pickle_value *state = entry ? follow(root, entry, 0) : find_state(list, root);
    if (!state && entry)
        luc_raise(LUCID_ERR_ARGUMENT, list->p->op, "%s: entry: the file has no \"%s\"",
                  list->p->path, entry);
    return state && walk_part(list, state, true, NULL) && read_attributes(list, state) &&
           (state == root || walk_part(list, root, false, state)) && check_unique(list);
}

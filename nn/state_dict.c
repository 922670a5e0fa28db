/* state_dict.c: tensors, versions and notes by name. */
#include "nn/state_dict.h"
#include "nn/state_dict_priv.h"
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <assert.h>
#include <string.h>

static const char live_name[] = "state dict"; /* in a report of what was never freed */

static uint64_t hash_of(const char *name)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* The slot of a name, or the empty slot where it belongs. At least half of the slots are empty. */
static size_t *slot_of(const luc_state_table *table, const char *name, uint64_t hash)
{
    size_t mask = 2 * table->capacity - 1, at = (size_t)hash & mask;
    assert((table->capacity & (table->capacity - 1)) == 0 && table->count <= table->capacity);
    for (; table->slots[at]; at = (at + 1) & mask) {
        const luc_state_item *item = &table->items[table->slots[at] - 1];
        if (item->hash == hash && strcmp(item->name, name) == 0) break;
    }
    return &table->slots[at];
}

luc_state_item *luc_state_find(const luc_state_table *table, const char *name)
{
    if (!table->count) return NULL;
    size_t slot = *slot_of(table, name, hash_of(name));
    return slot ? &table->items[slot - 1] : NULL;
}

static void fill_slots(luc_state_table *table)
{
    memset(table->slots, 0, 2 * table->capacity * sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++)
        *slot_of(table, table->items[i].name, table->items[i].hash) = i + 1;
}

/* Enlarges the table for one more entry. */
static bool grow(luc_state_table *table)
{
    size_t n = table->capacity ? 2 * table->capacity : 16;
    size_t *slots = luc_calloc(2 * n, sizeof *slots, "state_dict");
    luc_state_item *items =
        slots ? luc_realloc(table->items, n * sizeof *items, "state_dict") : NULL;
    if (!items) {
        luc_free(slots);
        return false;
    }
    luc_free(table->slots);
    table->slots = slots;
    table->items = items;
    table->capacity = n;
    fill_slots(table);
    return true;
}

/* The item of a name, which is made if it does not exist. */
static luc_state_item *find_or_add(luc_state_table *table, const char *name)
{
    luc_state_item *item = luc_state_find(table, name);
    if (item) return item;
    if (table->count == table->capacity && !grow(table)) return NULL;
    char *copy = luc_strdup(name, "state_dict");
    if (!copy) return NULL;
    assert(table->count < table->capacity);
    item = &table->items[table->count];
    *item = (luc_state_item){.name = copy, .hash = hash_of(name)};
    *slot_of(table, name, item->hash) = ++table->count;
    return item;
}

static void item_clear(luc_state_item *item)
{
    luc_free(item->name);
    luc_free(item->text);
    lucid_release(item->tensor);
}

static void table_remove(luc_state_table *table, luc_state_item *item)
{
    assert(item >= table->items && item < table->items + table->count);
    item_clear(item);
    size_t after = (size_t)(table->items + table->count - (item + 1));
    memmove(item, item + 1, after * sizeof *item);
    table->count--;
    fill_slots(table);
}

/* Does nothing if the name does not exist. */
static bool remove_name(luc_state_table *table, const char *name)
{
    luc_state_item *item = luc_state_find(table, name);
    if (item) table_remove(table, item);
    return item != NULL;
}

static void table_free(luc_state_table *table)
{
    for (size_t i = 0; i < table->count; i++) item_clear(&table->items[i]);
    luc_free(table->items);
    luc_free(table->slots);
}

/* ---- state dicts ----------------------------------------------------------------------------- */

lucid_state_dict *lucid_state_dict_new(void)
{
    lucid_state_dict *s = luc_calloc(1, sizeof *s, "state_dict");
    if (s) luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    return s;
}

void lucid_state_dict_free(lucid_state_dict *s)
{
    if (!s) return;
    table_free(&s->tensors);
    table_free(&s->versions);
    table_free(&s->notes);
    table_free(&s->foreign);
    luc_free(s);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

bool luc_check_state(const lucid_state_dict *s, const char *op)
{
    if (s) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "state: expected a state dict, got NULL");
}

static bool check_key(const lucid_state_dict *s, const char *name, const char *op)
{
    if (!luc_check_state(s, op)) return false;
    return name || luc_raise(LUCID_ERR_ARGUMENT, op, "name: expected one, got NULL");
}

static bool copy_notes(const lucid_state_dict *from, lucid_state_dict *s)
{
    bool ok = true;
    for (size_t i = 0; ok && i < from->versions.count; i++)
        ok = lucid_state_dict_set_version(s, from->versions.items[i].name,
                                          from->versions.items[i].number);
    for (size_t i = 0; ok && i < from->notes.count; i++)
        ok = lucid_state_dict_set_note(s, from->notes.items[i].name, from->notes.items[i].text);
    for (size_t i = 0; ok && i < from->foreign.count; i++) {
        const luc_state_item *item = &from->foreign.items[i];
        ok = luc_state_set_foreign(s, item->name, (lucid_code)item->number, item->text);
    }
    return ok;
}

lucid_state_dict *lucid_state_dict_shallow_copy(const lucid_state_dict *from)
{
    if (!luc_check_state(from, "state_dict_shallow_copy")) return NULL;
    lucid_state_dict *s = lucid_state_dict_new();
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < from->tensors.count; i++)
        ok = lucid_state_dict_set(s, from->tensors.items[i].name, from->tensors.items[i].tensor);
    if (ok && copy_notes(from, s)) return s;
    lucid_state_dict_free(s);
    return NULL;
}

bool luc_state_is_tied(const lucid_tensor *a, const lucid_tensor *b)
{
    return a == b || (a->storage == b->storage && a->view.data == b->view.data &&
                      a->view.dtype == b->view.dtype &&
                      luc_dims_equal(a->view.ndim, a->view.dims, b->view.ndim, b->view.dims) &&
                      luc_dims_equal(a->view.ndim, a->view.strides, b->view.ndim, b->view.strides));
}

/* Copies entry i's tensor, or returns the copy of an earlier entry with the same tensor. */
static lucid_tensor *copied(const lucid_state_dict *from, const lucid_state_dict *s, size_t i)
{
    lucid_tensor *t = from->tensors.items[i].tensor;
    for (size_t k = 0; k < i; k++)
        if (luc_state_is_tied(from->tensors.items[k].tensor, t)) return s->tensors.items[k].tensor;
    return lucid_clone(t, LUCID_PRESERVE);
}

lucid_state_dict *lucid_state_dict_copy(const lucid_state_dict *from)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!luc_check_state(from, "state_dict_copy")) return NULL;
    lucid_state_dict *s = lucid_state_dict_new();
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < from->tensors.count; i++) {
        lucid_tensor *t = copied(from, s, i);
        ok = t && lucid_state_dict_set(s, from->tensors.items[i].name, t);
    }
    if (ok && copy_notes(from, s)) return s;
    lucid_state_dict_free(s);
    return NULL;
}

size_t lucid_state_dict_size(const lucid_state_dict *s)
{
    return s ? s->tensors.count : 0;
}

lucid_named_tensor lucid_state_dict_at(const lucid_state_dict *s, size_t i)
{
    if (!s || i >= s->tensors.count) return (lucid_named_tensor){0};
    return (lucid_named_tensor){s->tensors.items[i].name, s->tensors.items[i].tensor};
}

lucid_tensor *lucid_state_dict_get(const lucid_state_dict *s, const char *name)
{
    luc_state_item *item = s && name ? luc_state_find(&s->tensors, name) : NULL;
    if (item) return item->tensor;
    item = s && name ? luc_state_find(&s->foreign, name) : NULL;
    return item ? luc_raise_null((lucid_code)item->number, "state_dict_get", "%s", item->text)
                : NULL;
}

bool lucid_state_dict_set(lucid_state_dict *s, const char *name, lucid_tensor *tensor)
{
    if (!check_key(s, name, "state_dict_set") || !luc_check_tensor(tensor, "state_dict_set", name))
        return false;
    luc_state_item *item = find_or_add(&s->tensors, name);
    if (!item) return false;
    lucid_retain(tensor);
    lucid_release(item->tensor);
    item->tensor = tensor;
    remove_name(&s->foreign, name);
    return true;
}

bool lucid_state_dict_remove(lucid_state_dict *s, const char *name)
{
    if (!check_key(s, name, "state_dict_remove")) return false;
    return remove_name(&s->tensors, name) || remove_name(&s->foreign, name);
}

int64_t lucid_state_dict_version(const lucid_state_dict *s, const char *path)
{
    luc_state_item *item = s && path ? luc_state_find(&s->versions, path) : NULL;
    return item ? item->number : -1;
}

bool lucid_state_dict_set_version(lucid_state_dict *s, const char *path, int64_t version)
{
    if (!check_key(s, path, "state_dict_set_version")) return false;
    if (version < -1)
        return luc_raise(LUCID_ERR_ARGUMENT, "state_dict_set_version",
                         "version: expected at least -1, got %lld", (long long)version);
    if (version < 0) {
        remove_name(&s->versions, path);
        return true;
    }
    luc_state_item *item = find_or_add(&s->versions, path);
    if (item) item->number = version;
    return item != NULL;
}

const char *lucid_state_dict_note(const lucid_state_dict *s, const char *key)
{
    luc_state_item *item = s && key ? luc_state_find(&s->notes, key) : NULL;
    return item ? item->text : NULL;
}

bool lucid_state_dict_set_note(lucid_state_dict *s, const char *key, const char *value)
{
    if (!check_key(s, key, "state_dict_set_note")) return false;
    if (!value) {
        remove_name(&s->notes, key);
        return true;
    }
    char *copy = luc_strdup(value, "state_dict");
    luc_state_item *item = copy ? find_or_add(&s->notes, key) : NULL;
    if (!item) {
        luc_free(copy);
        return false;
    }
    luc_free(item->text);
    item->text = copy;
    return true;
}

/* ---- tensors that lucid cannot hold ---------------------------------------------------------- */

bool luc_state_set_foreign(lucid_state_dict *s, const char *name, lucid_code code, const char *why)
{
    char *copy = luc_strdup(why, "state_dict");
    luc_state_item *item = copy ? find_or_add(&s->foreign, name) : NULL;
    if (!item) {
        luc_free(copy);
        return false;
    }
    luc_free(item->text);
    item->text = copy;
    item->number = (int64_t)code;
    return true;
}

bool luc_state_is_whole(const lucid_state_dict *s, const char *op)
{
    if (!s->foreign.count) return true;
    const luc_state_item *item = &s->foreign.items[0];
    return luc_raise((lucid_code)item->number, op,
                     "state: %s; lucid_state_dict_remove takes \"%s\" out", item->text, item->name);
}

/* ---- of a module ----------------------------------------------------------------------------- */

static bool add_module(lucid_module *m, const char *path, void *user)
{
    lucid_state_dict *s = user;
    if (!lucid_state_dict_set_version(s, path, luc_module_version(m))) return false;
    bool ok = true;
    for (int kind = LUC_PARAMETER; kind <= LUC_BUFFER; kind++) {
        for (size_t i = 0; ok && i < m->state->n_entries; i++) {
            const luc_entry *e = &m->state->entries[i];
            lucid_tensor *t = (int)e->kind == kind && e->persistent ? luc_entry_tensor(e) : NULL;
            if (!t) continue;
            luc_string name = {0};
            ok = luc_string_printf(&name, *path ? "%s.%s" : "%s%s", path, e->name) &&
                 lucid_state_dict_set(s, name.s, lucid_detach(t));
            luc_string_free(&name);
        }
    }
    return ok;
}

lucid_state_dict *lucid_module_state_dict(lucid_module *m)
{
    LUCID_SCOPE;
    if (!luc_check_module(m, "state_dict")) return NULL;
    lucid_state_dict *s = lucid_state_dict_new();
    if (s && luc_module_walk(m, false, add_module, s)) return s;
    lucid_state_dict_free(s);
    return NULL;
}

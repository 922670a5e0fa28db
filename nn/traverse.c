/* traverse.c: walks over modules, named lists, paths. */
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/* ---- a set of addresses ---------------------------------------------------------------------- */

static size_t slot_of(const luc_set *set, const void *p)
{
    /* A power of two, and a free slot, without which the search would not end. */
    assert((set->capacity & (set->capacity - 1)) == 0 && set->count < set->capacity);
    size_t i = (size_t)(((uintptr_t)p >> 4) * 0x9E3779B97F4A7C15u) & (set->capacity - 1);
    while (set->slots[i] && set->slots[i] != p) i = (i + 1) & (set->capacity - 1);
    return i;
}

static bool set_grow(luc_set *set)
{
    luc_set wider = {.capacity = set->capacity ? 2 * set->capacity : 32, .count = set->count};
    wider.slots = luc_calloc(wider.capacity, sizeof *wider.slots, "modules");
    if (!wider.slots) return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i]) wider.slots[slot_of(&wider, set->slots[i])] = set->slots[i];
    luc_free(set->slots);
    *set = wider;
    return true;
}

int luc_set_add(luc_set *set, const void *p)
{
    if (2 * set->count >= set->capacity && !set_grow(set)) return -1;
    size_t i = slot_of(set, p);
    if (set->slots[i]) return 0;
    set->slots[i] = p;
    set->count++;
    return 1;
}

void luc_set_free(luc_set *set)
{
    luc_free(set->slots);
    *set = (luc_set){0};
}

/* ---- walking --------------------------------------------------------------------------------- */

/* A module on the path from the outermost one to the walk's current module. */
typedef struct step {
    lucid_module *module;
    size_t next;   /* the entry to look at when the walk comes back here */
    size_t length; /* length of the path that leads here */
} step;

typedef struct walk {
    luc_visit visit;
    void *user;
    luc_string path;
    bool once;
    bool children_first;
    luc_set seen;
    step *way; /* on the heap, so that modules may be nested as deep as memory allows */
    size_t depth, capacity;
} walk;

/* Enters a module and visits it, now or after its children. A module that is to be visited once is
 * not entered a second time. */
static bool enter(walk *w, lucid_module *m)
{
    if (w->once) {
        int added = luc_set_add(&w->seen, m);
        if (added <= 0) return added == 0;
    }
    if (w->depth == w->capacity) {
        size_t n = w->capacity ? 2 * w->capacity : 16;
        step *way = luc_realloc(w->way, n * sizeof *way, "modules");
        if (!way) return false;
        w->way = way;
        w->capacity = n;
    }
    w->way[w->depth++] = (step){.module = m, .length = w->path.length};
    return w->children_first || w->visit(m, w->path.s, w->user);
}

/* Moves from the innermost module to its next child, or back to its parent. */
static bool advance(walk *w)
{
    assert(w->depth > 0 && w->depth <= w->capacity);
    step *here = &w->way[w->depth - 1];
    assert(here->length <= w->path.length);
    luc_string_cut(&w->path, here->length);
    if (here->next == here->module->state->n_entries) {
        w->depth--;
        return !w->children_first || w->visit(here->module, w->path.s, w->user);
    }
    const luc_entry *e = &here->module->state->entries[here->next++];
    lucid_module *child = e->kind == LUC_CHILD ? luc_entry_module(e) : NULL;
    if (!child) return true;
    return luc_string_printf(&w->path, here->length ? ".%s" : "%s", e->name) && enter(w, child);
}

static bool walk_all(walk *w, lucid_module *m)
{
    bool ok = luc_string_add(&w->path, "", 0) && enter(w, m);
    while (ok && w->depth > 0) ok = advance(w);
    luc_string_free(&w->path);
    luc_set_free(&w->seen);
    luc_free(w->way);
    return ok;
}

bool luc_module_walk(lucid_module *m, bool once, luc_visit visit, void *user)
{
    return walk_all(&(walk){.visit = visit, .user = user, .once = once}, m);
}

bool luc_module_walk_children_first(lucid_module *m, luc_visit visit, void *user)
{
    return walk_all(&(walk){.visit = visit, .user = user, .children_first = true}, m);
}

/* ---- named lists ----------------------------------------------------------------------------- */

typedef struct collect {
    luc_named_list list;
    luc_set seen;
    luc_entry_kind kind;
} collect;

static void list_free(luc_named_list *list)
{
    for (size_t i = 0; i < list->count; i++) luc_free((void *)list->items[i].name);
    luc_free(list->items);
    *list = (luc_named_list){0};
}

void luc_lists_free(lucid_module *m)
{
    for (int i = 0; i < LUC_LISTS; i++) list_free(&m->state->lists[i]);
}

static bool list_add(luc_named_list *list, const char *path, const char *name, void *value)
{
    if (list->count == list->capacity) {
        size_t n = list->capacity ? 2 * list->capacity : 8;
        struct luc_named_item *items = luc_realloc(list->items, n * sizeof *items, "modules");
        if (!items) return false;
        list->items = items;
        list->capacity = n;
    }
    luc_string text = {0};
    luc_string_printf(&text, *path && *name ? "%s.%s" : "%s%s", path, name);
    if (text.failed) {
        luc_string_free(&text);
        return false;
    }
    list->items[list->count++] = (struct luc_named_item){text.s, value};
    return true;
}

static bool collect_tensors(lucid_module *m, const char *path, void *user)
{
    collect *c = user;
    for (size_t i = 0; i < m->state->n_entries; i++) {
        const luc_entry *e = &m->state->entries[i];
        lucid_tensor *t = e->kind == c->kind ? luc_entry_tensor(e) : NULL;
        int added = t ? luc_set_add(&c->seen, t) : 0;
        if (added < 0 || (added && !list_add(&c->list, path, e->name, t))) return false;
    }
    return true;
}

static bool collect_module(lucid_module *m, const char *path, void *user)
{
    collect *c = user;
    return list_add(&c->list, path, "", m);
}

static bool collect_children(lucid_module *m, collect *c)
{
    for (size_t i = 0; i < m->state->n_entries; i++) {
        const luc_entry *e = &m->state->entries[i];
        lucid_module *child = e->kind == LUC_CHILD ? luc_entry_module(e) : NULL;
        int added = child ? luc_set_add(&c->seen, child) : 0;
        if (added < 0 || (added && !list_add(&c->list, "", e->name, child))) return false;
    }
    return true;
}

static bool list_equal(const luc_named_list *a, const luc_named_list *b)
{
    if (a->count != b->count || !a->items) return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].value != b->items[i].value ||
            strcmp(a->items[i].name, b->items[i].name) != 0)
            return false;
    return true;
}

/* The list `which` of m. It is made again only if it has changed, so that an array that the caller
 * is reading stays valid. */
static const luc_named_list *named(lucid_module *m, int which, const char *op, size_t *n)
{
    if (n) *n = 0;
    if (!luc_check_module(m, op)) return NULL;
    collect c = {.kind = which == LUC_LIST_PARAMETERS ? LUC_PARAMETER : LUC_BUFFER};
    /* An empty list is an array as well, so that NULL always means an error. */
    c.list.items = luc_alloc(sizeof *c.list.items, op);
    c.list.capacity = c.list.items ? 1 : 0;
    bool ok = c.list.items != NULL;
    if (ok && which == LUC_LIST_CHILDREN)
        ok = collect_children(m, &c);
    else if (ok && which == LUC_LIST_MODULES)
        ok = luc_module_walk(m, true, collect_module, &c);
    else if (ok)
        ok = luc_module_walk(m, true, collect_tensors, &c);
    luc_set_free(&c.seen);
    luc_named_list *kept = &m->state->lists[which];
    if (!ok || list_equal(kept, &c.list)) {
        list_free(&c.list);
    } else {
        list_free(kept);
        *kept = c.list;
    }
    if (!ok) return NULL;
    if (n) *n = kept->count;
    return kept;
}

_Static_assert(sizeof(lucid_named_tensor) == sizeof(struct luc_named_item), "one layout");
_Static_assert(sizeof(lucid_named_module) == sizeof(struct luc_named_item), "one layout");

const lucid_named_tensor *lucid_named_parameters(lucid_module *m, size_t *n)
{
    const luc_named_list *list = named(m, LUC_LIST_PARAMETERS, "named_parameters", n);
    return list ? (const void *)list->items : NULL;
}

const lucid_named_tensor *lucid_named_buffers(lucid_module *m, size_t *n)
{
    const luc_named_list *list = named(m, LUC_LIST_BUFFERS, "named_buffers", n);
    return list ? (const void *)list->items : NULL;
}

const lucid_named_module *lucid_named_modules(lucid_module *m, size_t *n)
{
    const luc_named_list *list = named(m, LUC_LIST_MODULES, "named_modules", n);
    return list ? (const void *)list->items : NULL;
}

const lucid_named_module *lucid_named_children(lucid_module *m, size_t *n)
{
    const luc_named_list *list = named(m, LUC_LIST_CHILDREN, "named_children", n);
    return list ? (const void *)list->items : NULL;
}

lucid_tensor **luc_module_tensors(lucid_module *m, bool parameters, bool buffers, size_t *n)
{
    collect c = {.kind = LUC_PARAMETER};
    bool ok = !parameters || luc_module_walk(m, true, collect_tensors, &c);
    c.kind = LUC_BUFFER;
    ok = ok && (!buffers || luc_module_walk(m, true, collect_tensors, &c));
    lucid_tensor **tensors = ok ? luc_calloc(c.list.count, sizeof *tensors, "modules") : NULL;
    *n = tensors ? c.list.count : 0;
    for (size_t i = 0; i < *n; i++) tensors[i] = c.list.items[i].value;
    luc_set_free(&c.seen);
    list_free(&c.list);
    return tensors;
}

int64_t lucid_parameter_count(lucid_module *m, bool trainable_only)
{
    if (!luc_check_module(m, "parameter_count")) return -1;
    size_t n;
    lucid_tensor **p = luc_module_tensors(m, true, false, &n);
    if (!p) return -1;
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (!trainable_only || lucid_requires_grad(p[i])) sum += lucid_numel(p[i]);
    luc_free(p);
    return sum;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* Raises an error that says what the path names instead, or which names are similar to it. */
static luc_entry *no_entry(lucid_module *m, const char *path, luc_entry_kind kind,
                           const luc_entry *other, const char *op)
{
    static const char *const kinds[] = {"parameter", "buffer", "module"};
    luc_string near = {0};
    if (path && (other || luc_near_names(m, path, kind, &near)))
        luc_raise(LUCID_ERR_ARGUMENT, op, "%s: path: expected a %s, got \"%s\"%s%s%s", m->cls->name,
                  kinds[kind], path, other ? ", which is a " : "", other ? kinds[other->kind] : "",
                  other ? "" : near.s);
    else if (!path)
        luc_raise(LUCID_ERR_ARGUMENT, op, "%s: path: expected a %s, got NULL", m->cls->name,
                  kinds[kind]);
    luc_string_free(&near);
    return NULL;
}

/* Finds the entry at a path below m. If there is none of this kind, raises an error and returns
 * NULL. */
static luc_entry *entry_at(lucid_module *m, const char *path, luc_entry_kind kind, const char *op)
{
    if (!luc_check_module(m, op)) return NULL;
    const char *at = path ? path : "";
    lucid_module *inner = m;
    const luc_entry *other = NULL; /* an entry of that name, but of another kind */
    while (inner) {
        size_t length = strcspn(at, ".");
        bool last = at[length] == '\0';
        luc_entry *found = NULL;
        for (size_t i = 0; i < inner->state->n_entries && !found; i++) {
            luc_entry *e = &inner->state->entries[i];
            if (strlen(e->name) == length && memcmp(e->name, at, length) == 0) found = e;
        }
        if (!found || found->kind != (last ? kind : LUC_CHILD)) {
            other = last ? found : NULL;
            break;
        }
        if (last) return found;
        inner = luc_entry_module(found);
        at += length + 1;
    }
    return no_entry(m, path, kind, other, op);
}

lucid_module *lucid_get_module(lucid_module *m, const char *path)
{
    if (m && path && !*path) return m;
    luc_entry *e = entry_at(m, path, LUC_CHILD, "get_module");
    return e ? luc_entry_module(e) : NULL;
}

lucid_tensor *lucid_get_parameter(lucid_module *m, const char *path)
{
    luc_entry *e = entry_at(m, path, LUC_PARAMETER, "get_parameter");
    return e ? luc_entry_tensor(e) : NULL;
}

lucid_tensor *lucid_get_buffer(lucid_module *m, const char *path)
{
    luc_entry *e = entry_at(m, path, LUC_BUFFER, "get_buffer");
    return e ? luc_entry_tensor(e) : NULL;
}

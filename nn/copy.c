/* copy.c: deep copies of modules.
 *
 * Registration knows the address of every field, so a field of the copy is found at the same offset
 * in its struct as the original's. All that can fail is done first, while the copies' structs are
 * still zeroed and safe to free. Then the bytes of the structs are copied, and the classes copy
 * what they own. */
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* An original and its copy. Sorted by the original's address. */
typedef struct pair {
    void *from, *to;
} pair;

typedef struct pairs {
    pair *list;
    size_t n, capacity;
} pairs;

typedef struct copying {
    pairs modules; /* parents before their children, until sorted: see `order` */
    pairs tensors;
    lucid_module **order; /* the originals, parents before their children */
} copying;

static int compare(const void *a, const void *b)
{
    const char *x = ((const pair *)a)->from, *y = ((const pair *)b)->from;
    return (x > y) - (x < y);
}

static void *copy_of(const pairs *p, const void *from)
{
    const pair key = {.from = (void *)from};
    const pair *found = from ? bsearch(&key, p->list, p->n, sizeof key, compare) : NULL;
    return found ? found->to : NULL;
}

static bool add_pair(pairs *p, void *from, void *to)
{
    assert(p->n <= p->capacity);
    if (p->n == p->capacity) {
        size_t n = p->capacity ? 2 * p->capacity : 16;
        pair *list = luc_realloc(p->list, n * sizeof *list, "module_copy");
        if (!list) return false;
        p->list = list;
        p->capacity = n;
    }
    p->list[p->n++] = (pair){from, to};
    return true;
}

/* ---- what is to be copied, and whether it may be --------------------------------------------- */

/* The offset of a field in its module's struct. False if the field is not in the struct. */
static bool field_offset(const lucid_module *m, const luc_entry *e, size_t *offset)
{
    const void *field =
        e->kind == LUC_CHILD ? (const void *)e->field.module : (const void *)e->field.tensor;
    *offset = (size_t)((uintptr_t)field - (uintptr_t)m);
    return (uintptr_t)field >= (uintptr_t)m && *offset <= m->cls->size - sizeof(void *);
}

static bool check_and_add(lucid_module *m, const char *path, void *user)
{
    copying *c = user;
    size_t offset;
    luc_string at = {0};
    luc_string_printf(&at, *path ? "%s: " : "%s", path);
    bool ok = !at.failed;
    for (const lucid_module_class *cls = m->cls; ok && cls; cls = cls->super)
        if (cls->finalize && !cls->copy)
            ok = luc_raise(LUCID_ERR_STATE, "module_copy",
                           "%sclass %s: expected a copy function beside finalize, got none", at.s,
                           cls->name);
    for (size_t i = 0; ok && i < m->state->n_entries; i++) {
        const luc_entry *e = &m->state->entries[i];
        if (e->field.tensor && !field_offset(m, e, &offset))
            ok = luc_raise(LUCID_ERR_STATE, "module_copy",
                           "%s%s: field of \"%s\": expected one inside of the struct, got one "
                           "elsewhere",
                           at.s, m->cls->name, e->name);
    }
    luc_string_free(&at);
    return ok && add_pair(&c->modules, m, NULL);
}

static lucid_tensor *copy_tensor(lucid_tensor *t)
{
    lucid_tensor *copy = lucid_clone(t, LUCID_PRESERVE);
    lucid_tensor *grad = copy && t->grad ? lucid_clone(t->grad, LUCID_PRESERVE) : NULL;
    if (!copy || (t->grad && !grad) || (grad && !lucid_set_grad(copy, grad))) return NULL;
    return lucid_requires_grad_(copy, lucid_requires_grad(t));
}

static bool copy_tensors(copying *c, lucid_module *m)
{
    size_t n;
    lucid_tensor **tensors = luc_module_tensors(m, true, true, &n);
    bool ok = tensors != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        lucid_tensor *copy = copy_tensor(tensors[i]);
        ok = copy && add_pair(&c->tensors, tensors[i], copy);
    }
    luc_free(tensors);
    if (ok && n > 0) qsort(c->tensors.list, n, sizeof *c->tensors.list, compare);
    return ok;
}

/* ---- making the copies ----------------------------------------------------------------------- */

static bool make_modules(copying *c)
{
    pairs *p = &c->modules;
    c->order = luc_calloc(p->n, sizeof *c->order, "module_copy");
    if (!c->order) return false;
    for (size_t i = 0; i < p->n; i++) {
        lucid_module *from = c->order[i] = p->list[i].from, *to = lucid_module_new(from->cls);
        p->list[i].to = lucid_module_retain(to);
        if (!to) return false;
        to->training = from->training;
        if (from->state->name && !lucid_module_set_name(to, from->state->name)) return false;
    }
    qsort(p->list, p->n, sizeof *p->list, compare);
    return true;
}

/* Registers with the copy what is registered with the original. Parents come first: so a child has
 * no children yet when registration searches it for a circle. */
static bool register_all(const copying *c, const lucid_module *from, lucid_module *to)
{
    for (size_t i = 0; i < from->state->n_entries; i++) {
        const luc_entry *e = &from->state->entries[i];
        size_t offset = 0;
        void *field =
            e->field.tensor && field_offset(from, e, &offset) ? (char *)to + offset : NULL;
        lucid_tensor *t = e->kind == LUC_CHILD ? NULL : luc_entry_tensor(e);
        lucid_tensor *copy = t ? copy_of(&c->tensors, t) : NULL;
        bool ok = true;
        if (e->kind == LUC_CHILD)
            ok = lucid_register_module(to, e->name, field,
                                       copy_of(&c->modules, luc_entry_module(e)));
        else if (e->kind == LUC_BUFFER)
            ok = lucid_register_buffer_opt(to, e->name, field, copy,
                                           LUC_WITH(lucid_buffer, .persistent = e->persistent));
        else /* registration makes it require gradients */
            ok = lucid_register_parameter(to, e->name, field, copy) &&
                 (!copy || lucid_requires_grad_(copy, lucid_requires_grad(t)));
        if (!ok) return false;
    }
    return true;
}

/* ---- the rest of the structs ----------------------------------------------------------------- */

static void take_bytes(const lucid_module *from, lucid_module *to)
{
    memcpy((char *)to + sizeof *to, (const char *)from + sizeof *from, to->cls->size - sizeof *to);
    for (size_t i = 0; i < to->state->n_entries; i++) {
        luc_entry *e = &to->state->entries[i];
        if (e->kind == LUC_CHILD && e->field.module)
            *e->field.module = e->own.module;
        else if (e->field.tensor)
            *e->field.tensor = e->own.tensor;
    }
}

/* Calls the copy functions of a class and its supers, the supers' first. If one fails, that class's
 * part of the struct and all after it still hold what belongs to the original: they are zeroed, so
 * that finalize frees nothing twice. */
static bool copy_owned(const lucid_module *from, lucid_module *to, const lucid_module_class *cls)
{
    if (!cls) return true;
    if (!copy_owned(from, to, cls->super)) return false;
    if (!cls->copy || cls->copy(to, from)) return true;
    size_t begin = cls->super ? cls->super->size : sizeof *to;
    if (begin < sizeof *to) begin = sizeof *to;
    memset((char *)to + begin, 0, to->cls->size - begin);
    return false;
}

static bool fill_all(const copying *c)
{
    for (size_t i = 0; i < c->modules.n; i++) {
        const lucid_module *from = c->order[i];
        lucid_module *to = copy_of(&c->modules, from);
        take_bytes(from, to);
        if (copy_owned(from, to, from->cls)) continue;
        if (lucid_error_code() == LUCID_OK)
            luc_raise(LUCID_ERR_STATE, "module_copy",
                      "%s: expected true from the class's copy "
                      "function, got false",
                      from->cls->name);
        return false;
    }
    return true;
}

/* Releases the references that the list of copies holds, and after an error also the copies that no
 * other copy has taken as a child. */
static void release_modules(copying *c, bool ok)
{
    for (size_t i = 0; i < c->modules.n; i++) {
        lucid_module *to = c->modules.list[i].to;
        if (!ok) luc_module_free_unclaimed(to);
        lucid_module_free(to);
    }
}

lucid_module *lucid_module_copy(lucid_module *m)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!luc_check_module(m, "module_copy")) return NULL;
    copying c = {0};
    bool ok =
        luc_module_walk(m, true, check_and_add, &c) && copy_tensors(&c, m) && make_modules(&c);
    for (size_t i = 0; ok && i < c.modules.n; i++)
        ok = register_all(&c, c.order[i], copy_of(&c.modules, c.order[i]));
    ok = ok && fill_all(&c);
    lucid_module *copy = ok ? copy_of(&c.modules, m) : NULL;
    release_modules(&c, ok);
    luc_free(c.order);
    luc_free(c.modules.list);
    luc_free(c.tensors.list);
    return copy;
}

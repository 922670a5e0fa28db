/* module.c: the life of modules, classes and checked casts. */
#include "nn/module_priv.h"

#include <assert.h>
#include <string.h>

const lucid_module_class lucid_module_class_base = {
    .name = "Module",
    .size = sizeof(lucid_module),
    .inputs = "input",
    .outputs = "output",
    .version = 1,
};

/* ---- arguments ------------------------------------------------------------------------------- */

bool luc_check_module(const lucid_module *m, const char *op)
{
    if (m) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "module: expected a module, got NULL");
}

bool luc_check_tensor(const lucid_tensor *t, const char *op, const char *argument)
{
    if (t) return luc_is_living(t, op, argument);
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a tensor, got NULL", argument);
}

/* ---- classes --------------------------------------------------------------------------------- */

static bool check_class(const lucid_module_class *cls)
{
    if (!cls) return luc_raise(LUCID_ERR_ARGUMENT, "module_new", "class: expected one, got NULL");
    enum { DEEPEST = 64 }; /* a chain that is longer has a class that is its own super */
    const lucid_module_class *c = cls;
    for (int depth = 0; c && c != &lucid_module_class_base; c = c->super, depth++) {
        if (!c->name || !*c->name)
            return luc_raise(LUCID_ERR_ARGUMENT, "module_new", "class: expected a name, got none");
        if (depth == DEEPEST)
            return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                             "class %s: expected supers that end, got a circle", cls->name);
        size_t least = c->super ? c->super->size : sizeof(lucid_module);
        if (c->size < least)
            return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                             "class %s: size: expected at least %zu (its super's), got %zu",
                             c->name, least, c->size);
    }
    if (!c)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                         "class %s: super: expected a chain to lucid_module_class_base, got NULL",
                         cls->name);
    return true;
}

static const char *without_prefix(const char *name)
{
    return strncmp(name, "nn_", 3) == 0 ? name + 3 : name;
}

static bool is_kind_of(const lucid_module *m, const char *name)
{
    const char *wanted = without_prefix(name);
    if (strcmp(name, "lucid_module") == 0) return true;
    for (const lucid_module_class *c = m->cls; c; c = c->super)
        if (strcmp(without_prefix(c->name), wanted) == 0) return true;
    return false;
}

bool lucid_module_is(const lucid_module *m, const char *class_name)
{
    return m && class_name && is_kind_of(m, class_name);
}

void *lucid_module_cast(const lucid_module *m, const char *class_name)
{
    if (!luc_check_module(m, "self")) return NULL;
    if (!class_name)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "self", "class: expected a name, got NULL");
    if (!is_kind_of(m, class_name))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "self", "module: expected a %s, got a %s",
                              without_prefix(class_name), m->cls->name);
    return (void *)m;
}

int64_t luc_module_version(const lucid_module *m)
{
    const lucid_module_class *c = luc_class_with(m, version);
    return c ? c->version : 1;
}

/* ---- life ------------------------------------------------------------------------------------ */

lucid_module *lucid_module_new(const lucid_module_class *cls)
{
    luc_signature signature;
    if (!check_class(cls) || !luc_signature_find(&signature, cls)) return NULL;
    /* The private state follows the module's struct in the same block of memory. */
    size_t at = (cls->size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t);
    at *= _Alignof(max_align_t);
    lucid_module *m = luc_calloc(1, at + sizeof(struct luc_module_state), cls->name);
    if (!m) return NULL;
    m->cls = cls;
    m->training = true;
    m->state = (struct luc_module_state *)((char *)m + at);
    m->state->signature = signature;
    m->state->users = 1;
    m->state->floating = true;
    luc_live_add_named(LUC_LIVE_MODULES, m->cls->name, 1);
    return m;
}

static void entry_clear(luc_entry *e)
{
    if (e->kind != LUC_CHILD)
        lucid_release(e->own.tensor);
    else if (e->own.module)
        luc_module_disown(e->own.module);
    luc_free(e->name);
}

static void destroy_one(lucid_module *m)
{
    assert(m->state->users == 0 && m->state->parents == 0);
    for (const lucid_module_class *c = m->cls; c; c = c->super)
        if (c->finalize) c->finalize(m);
    struct luc_module_state *s = m->state;
    luc_lists_free(m);
    for (size_t i = 0; i < s->n_entries; i++) entry_clear(&s->entries[i]);
    luc_free(s->entries);
    luc_free(s->hooks);
    luc_free(s->name);
    luc_live_add_named(LUC_LIVE_MODULES, m->cls->name, -1);
    luc_free(m);
}

/* The modules that wait to be destroyed. A child that loses its last parent waits here until the
 * parent is freed, so that deep networks need no recursion. */
static _Thread_local struct luc_module_state *doomed;
static _Thread_local bool destroying;

static void destroy_if_unused(lucid_module *m)
{
    if (m->state->users != 0 || m->state->parents != 0) return;
    m->state->next_doomed = doomed;
    m->state->self = m;
    doomed = m->state;
    if (destroying) return;
    destroying = true;
    while (doomed) {
        lucid_module *next = doomed->self;
        doomed = doomed->next_doomed;
        destroy_one(next);
    }
    destroying = false;
}

lucid_module *lucid_module_retain(lucid_module *m)
{
    if (m) m->state->users++;
    return m;
}

void lucid_module_free(lucid_module *m)
{
    if (!m) return;
    if (m->state->users == 0) {
        luc_raise(LUCID_ERR_STATE, "module_free",
                  "module: expected one that the caller owns, got a %s that belongs to its parent "
                  "(free the outermost module only)",
                  m->cls->name);
        return;
    }
    m->state->users--;
    destroy_if_unused(m);
}

void luc_module_adopt(lucid_module *m)
{
    m->state->parents++;
    if (!m->state->floating) return;
    assert(m->state->users > 0);
    m->state->floating = false;
    m->state->users--;
}

void luc_module_disown(lucid_module *m)
{
    assert(m->state->parents > 0);
    m->state->parents--;
    destroy_if_unused(m);
}

void luc_module_free_unclaimed(lucid_module *m)
{
    if (!m || !m->state->floating) return;
    assert(m->state->users > 0 && m->state->parents == 0);
    m->state->floating = false;
    m->state->users--;
    destroy_if_unused(m);
}

/* registry.c: parameters, buffers and children of a module, by name. */
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <assert.h>
#include <string.h>

lucid_tensor *luc_entry_tensor(const luc_entry *e)
{
    return e->field.tensor ? *e->field.tensor : e->own.tensor;
}

lucid_module *luc_entry_module(const luc_entry *e)
{
    return e->field.module ? *e->field.module : e->own.module;
}

luc_entry *luc_entry_find(const lucid_module *m, const char *name)
{
    for (size_t i = 0; i < m->state->n_entries; i++)
        if (strcmp(m->state->entries[i].name, name) == 0) return &m->state->entries[i];
    return NULL;
}

static bool check_name(const lucid_module *self, const char *name, const char *op)
{
    const char *cls = self->cls->name;
    if (!name || !*name)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: name: expected one, got an empty one", cls);
    if (strchr(name, '.'))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: name: expected one without a dot, got \"%s\"",
                         cls, name);
    if (luc_entry_find(self, name))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "%s: name: expected a new one, got \"%s\", which is taken", cls, name);
    return true;
}

/* A NULL value registers an absence, unless it comes from an error. */
static bool check_value(const void *value)
{
    return value || lucid_error_code() == LUCID_OK;
}

/* Adds an entry at the end. NULL after an error. */
static luc_entry *add_entry(lucid_module *self, const char *name, luc_entry_kind kind)
{
    struct luc_module_state *s = self->state;
    assert(s->n_entries <= s->entries_capacity && !luc_entry_find(self, name));
    if (s->n_entries == s->entries_capacity) {
        size_t n = s->entries_capacity ? 2 * s->entries_capacity : 4;
        luc_entry *e = luc_realloc(s->entries, n * sizeof *e, "register");
        if (!e) return NULL;
        s->entries = e;
        s->entries_capacity = n;
    }
    char *copy = luc_strdup(name, "register");
    if (!copy) return NULL;
    luc_entry *e = &s->entries[s->n_entries++];
    *e = (luc_entry){.name = copy, .kind = kind, .persistent = true};
    return e;
}

static luc_entry *add_tensor(lucid_module *self, const char *name, luc_entry_kind kind,
                             lucid_tensor **field, lucid_tensor *value)
{
    luc_entry *e = add_entry(self, name, kind);
    if (!e) return NULL;
    e->field.tensor = field;
    e->own.tensor = lucid_retain(value);
    if (field) *field = value;
    return e;
}

bool lucid_register_parameter(lucid_module *self, const char *name, lucid_tensor **field,
                              lucid_tensor *value)
{
    const char *op = "register_parameter";
    if (field) *field = NULL;
    if (!luc_check_module(self, op) || !check_value(value) || !check_name(self, name, op))
        return false;
    if (value && !lucid_dtype_is_floating(lucid_tensor_dtype(value)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: %s: expected a floating dtype, got %s",
                         self->cls->name, name, lucid_dtype_name(lucid_tensor_dtype(value)));
    if (value && !lucid_is_leaf(value))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "%s: %s: expected a leaf, got the result of %s (detach it)",
                         self->cls->name, name, lucid_grad_fn_name(value));
    if (value && !lucid_requires_grad_(value, true)) return false;
    return add_tensor(self, name, LUC_PARAMETER, field, value) != NULL;
}

bool lucid_register_buffer_opt(lucid_module *self, const char *name, lucid_tensor **field,
                               lucid_tensor *value, const lucid_buffer_options *options)
{
    const char *op = "register_buffer";
    const lucid_buffer_options *o = LUC_OPTIONS(lucid_buffer, options, op);
    if (field) *field = NULL;
    if (!o || !luc_check_module(self, op) || !check_value(value) || !check_name(self, name, op))
        return false;
    luc_entry *e = add_tensor(self, name, LUC_BUFFER, field, value);
    if (!e) return false;
    e->persistent = o->persistent;
    return true;
}

/* ---- children -------------------------------------------------------------------------------- */

/* Whether `what` is this module or one below it. The search must not fail, so it allocates nothing
 * and does not recurse: every module on the way down notes where the search came from. No module is
 * on that way twice, because there is no circle. */
static bool contains(lucid_module *m, const lucid_module *what)
{
    if (!m) return false;
    m->state->above = NULL;
    m->state->at = 0;
    while (m && m != what) {
        struct luc_module_state *s = m->state;
        if (s->at == s->n_entries) {
            m = s->above;
            continue;
        }
        assert(s->at < s->n_entries);
        const luc_entry *e = &s->entries[s->at++];
        lucid_module *child = e->kind == LUC_CHILD ? luc_entry_module(e) : NULL;
        if (!child) continue;
        child->state->above = m;
        child->state->at = 0;
        m = child;
    }
    return m != NULL;
}

/* Whether self would be inside itself if value became its child. */
static bool check_no_circle(lucid_module *self, lucid_module *value, const char *op)
{
    /* A module that nobody has registered is in no other module. This test saves searching all
     * levels of a network that is built from the inside to the outside. */
    if (self != value && self->state->parents == 0) return true;
    if (!contains(value, self)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "%s: module: expected one that does not contain it, got a %s", self->cls->name,
                     value->cls->name);
}

bool lucid_register_module(lucid_module *self, const char *name, lucid_module **field,
                           lucid_module *value)
{
    const char *op = "register_module";
    if (field) *field = NULL;
    if (self && !check_no_circle(self, value, op)) return false;
    bool ok = luc_check_module(self, op) && check_value(value) && check_name(self, name, op);
    luc_entry *e = ok ? add_entry(self, name, LUC_CHILD) : NULL;
    if (!e) {
        luc_module_free_unclaimed(value);
        return false;
    }
    e->field.module = field;
    e->own.module = value;
    if (field) *field = value;
    if (value) luc_module_adopt(value);
    return true;
}

/* Finds the child at a path and the module that it is registered in. If there is none, raises an
 * error and returns NULL. */
static luc_entry *child_at(lucid_module *self, const char *path, lucid_module **parent)
{
    const char *text = path ? path : "", *dot = strrchr(text, '.');
    luc_string head = {0};
    *parent = NULL;
    if (luc_string_add(&head, text, dot ? (size_t)(dot - text) : 0))
        *parent = lucid_get_module(self, head.s);
    luc_string_free(&head);
    if (!*parent) return NULL;
    luc_entry *e = luc_entry_find(*parent, dot ? dot + 1 : text);
    if (e && e->kind == LUC_CHILD) return e;
    luc_string near = {0};
    if (luc_near_names(self, text, LUC_CHILD, &near))
        luc_raise(LUCID_ERR_ARGUMENT, "replace_module",
                  "%s: path: expected a child's, got \"%s\"%s", self->cls->name, text, near.s);
    luc_string_free(&near);
    return NULL;
}

bool lucid_replace_module(lucid_module *self, const char *path, lucid_module *value)
{
    const char *op = "replace_module";
    lucid_module *parent = NULL;
    bool ok = luc_check_module(self, op) && check_value(value);
    luc_entry *e = ok ? child_at(self, path, &parent) : NULL;
    if (!e) luc_module_free_unclaimed(value);
    if (!e || !check_no_circle(parent, value, op)) return false;
    lucid_module *old = e->own.module;
    if (value) luc_module_adopt(value);
    e->own.module = value;
    if (e->field.module) *e->field.module = value;
    if (old) luc_module_disown(old);
    return true;
}

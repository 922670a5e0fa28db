/* forward.c: running a module, its modes, and its path in error messages. */
#include "nn/module_priv.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- paths in messages: no allocation, for memory may be out -------------------------------- */

enum { DEEPEST = 64 };

/* Writes the path of target below m ("features.0") to text + length. */
static bool find_below(const lucid_module *m, const void *target, char *text, size_t size,
                       size_t length, int depth)
{
    for (size_t i = 0; i < m->state->n_entries && depth < DEEPEST; i++) {
        const luc_entry *e = &m->state->entries[i];
        const lucid_module *child = e->kind == LUC_CHILD ? luc_entry_module(e) : NULL;
        if (!child) continue;
        int n = snprintf(text + length, size - length, ".%s", e->name);
        if (n < 0 || (size_t)n >= size - length) continue;
        if (child == target || find_below(child, target, text, size, length + (size_t)n, depth + 1))
            return true;
    }
    text[length] = '\0';
    return false;
}

static const char *root_name(const lucid_module *m)
{
    if (m->state->name) return m->state->name;
    for (size_t i = 0; i < m->state->n_entries; i++)
        if (m->state->entries[i].kind == LUC_CHILD) return "net";
    return m->cls->name;
}

/* "net.features.0": from the outermost module that runs to the innermost. */
static void write_path(const luc_module_frame *frame, char *text, size_t size)
{
    const lucid_module *m = frame->module;
    if (!frame->parent) {
        snprintf(text, size, "%s", root_name(m));
        return;
    }
    write_path(frame->parent, text, size);
    size_t length = strlen(text);
    if (!find_below(frame->parent->module, m, text, size, length, 0))
        snprintf(text + length, size - length, ".<%s>", m->cls->name);
}

bool lucid_module_set_name(lucid_module *m, const char *name)
{
    if (!luc_check_module(m, "module_set_name")) return false;
    char *copy = name ? luc_strdup(name, "module_set_name") : NULL;
    if (name && !copy) return false;
    luc_free(m->state->name);
    m->state->name = copy;
    return true;
}

/* ---- forward --------------------------------------------------------------------------------- */

static lucid_tensor *run(lucid_module *m, lucid_tensor *x, luc_forward_fn fn, const void *user)
{
    const lucid_module_class *forward = luc_class_with(m, forward);
    const lucid_module_class *check = luc_class_with(m, check_input);
    if (!forward && !fn)
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, m->cls->name, "this class has no forward");
    if (m->state->n_hooks && !(x = luc_run_forward_pre_hooks(m, x))) return NULL;
    if (check && !check->check_input(m, x)) return NULL;
    lucid_tensor *token = NULL;
    if (m->state->n_hooks && !luc_watch_input(m, &x, &token)) return NULL;
    lucid_tensor *y = fn ? fn(m, x, user) : forward->forward(m, x);
    if (!y) {
        if (lucid_error_code() == LUCID_OK)
            luc_raise(LUCID_ERR_STATE, m->cls->name, "forward: expected a tensor, got NULL");
        return NULL;
    }
    if (m->state->n_hooks) y = luc_run_forward_hooks(m, x, y);
    return luc_watch_output(y, token);
}

lucid_tensor *luc_forward_by(lucid_module *m, lucid_tensor *x, luc_forward_fn fn, const void *user)
{
    if (!luc_check_module(m, "forward") || !luc_check_tensor(x, m->cls->name, "input")) return NULL;
    size_t depth = lucid_scope_begin();
    if (!depth) return NULL;
    luc_module_frame frame = {.module = m, .path = write_path};
    luc_module_frame_push(&frame);
    lucid_tensor *y = lucid_scope_return(run(m, x, fn, user));
    luc_module_frame_pop(&frame);
    lucid_scope_end(depth);
    return y;
}

lucid_tensor *lucid_forward(lucid_module *m, lucid_tensor *x)
{
    return luc_forward_by(m, x, NULL, NULL);
}

static atomic_bool fusion = true;

bool lucid_set_fusion(bool enabled)
{
    return atomic_exchange(&fusion, enabled);
}

bool luc_may_fuse(const lucid_module *m)
{
    return m->state->n_hooks == 0 && atomic_load_explicit(&fusion, memory_order_relaxed);
}

/* ---- modes ----------------------------------------------------------------------------------- */

static bool set_mode(lucid_module *m, const char *path, void *training)
{
    (void)path;
    m->training = *(bool *)training;
    return true;
}

bool lucid_set_training(lucid_module *m, bool training)
{
    return luc_check_module(m, training ? "train" : "eval") &&
           luc_module_walk(m, true, set_mode, &training);
}

bool lucid_train(lucid_module *m)
{
    return lucid_set_training(m, true);
}

bool lucid_eval(lucid_module *m)
{
    return lucid_set_training(m, false);
}

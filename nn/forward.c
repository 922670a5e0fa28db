/* forward.c: running a module, its modes, and its path in error messages. */
#include "autograd/dispatch/fuse_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/stack_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- paths in messages, without allocation because memory may be out ------------------------- */

enum { DEEPEST = 64 };

/* Appends the path of target below m ("features.0") to a text of this length. */
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

/* The path from the outermost module that is running to the innermost one: "net.features.0". A
 * frame that is not a module's (a node whose derivative computes a checkpoint anew) writes the path
 * that it knows, and the modules that run inside it follow. */
static void write_path(const luc_module_frame *frame, char *text, size_t size)
{
    const luc_module_frame *way[DEEPEST]; /* the outermost modules that run, inner ones first */
    const luc_module_frame *outside = frame;
    size_t frames = 0, n = 0;
    for (; outside && outside->path == write_path; outside = outside->parent) frames++;
    for (const luc_module_frame *f = frame; f != outside; f = f->parent, frames--)
        if (frames <= DEEPEST) way[n++] = f;
    const lucid_module *root = way[n - 1]->module;
    text[0] = '\0';
    if (outside) outside->path(outside, text, size);
    size_t length = strlen(text);
    if (length > 0)
        snprintf(text + length, size - length, ".<%s>", root->cls->name);
    else
        snprintf(text, size, "%s", root_name(root));
    while (--n > 0) {
        const lucid_module *m = way[n - 1]->module;
        length = strlen(text);
        if (!find_below(way[n]->module, m, text, size, length, 0))
            snprintf(text + length, size - length, ".<%s>", m->cls->name);
    }
    length = strlen(text);
    if (way[0] != frame) snprintf(text + length, size - length, "...");
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

/* Raises an error if forward returned no result and raised none itself. Returns false. */
static bool no_result(const lucid_module *m, const char *slot, const char *expected,
                      const char *got)
{
    return lucid_error_code() != LUCID_OK
               ? false
               : luc_raise(LUCID_ERR_STATE, m->cls->name, "%s: expected %s, got %s", slot, expected,
                           got);
}

static inline lucid_tensor *call(lucid_module *m, lucid_tensor *x)
{
    lucid_tensor *y = m->state->signature.runs->forward(m, x);
    if (!y) no_result(m, "forward", "a tensor", "NULL");
    return luc_is_there(y, m->cls->name, "the result of its forward") ? y : NULL;
}

__attribute__((noinline)) static lucid_tensor *call_with_hooks(lucid_module *m, lucid_tensor *x,
                                                               const lucid_module_class *check)
{
    luc_passage *passage = NULL;
    lucid_tensor *y;
    if (!luc_run_forward_pre_hooks(m, &x, 1)) return NULL;
    if (!luc_check_tensor(x, m->cls->name, "input")) return NULL;
    if (check && !check->check_input(m, x)) return NULL;
    if (!luc_watch_inputs(m, &x, 1, &passage)) return NULL;
    bool ok = (y = call(m, x)) && luc_run_forward_hooks(m, &x, 1, &y, 1);
    if (ok && !y) ok = no_result(m, "forward_hook", "a tensor", "NULL");
    if (ok && passage) ok = luc_watch_outputs(&y, 1, passage);
    luc_passage_release(passage);
    return ok ? y : NULL;
}

/* Calls the class's forward, with one input and one output. */
static inline lucid_tensor *run_forward(lucid_module *m, lucid_tensor *x)
{
    const lucid_module_class *check = luc_class_with(m, check_input);
    if (!m->state->signature.runs)
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, m->cls->name, "this class has no forward");
    if (m->state->n_hooks) return call_with_hooks(m, x, check);
    if (check && !check->check_input(m, x)) return NULL;
    return call(m, x);
}

static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    if (!m || !x) {
        if (luc_check_module(m, "forward")) luc_check_tensor(x, m->cls->name, "input");
        return NULL;
    }
    if (!luc_is_there(x, m->cls->name, "input")) return NULL;
    if (!luc_stack_check("forward")) return NULL;
    if (!luc_is_in_module()) luc_scope_turn(LUC_TURN_FORWARD);
    size_t depth = lucid_scope_begin_at("lucid_forward", 0);
    if (!depth) return NULL;
    luc_module_frame frame = {.module = m, .path = write_path};
    luc_module_frame_push(&frame);
    luc_fuse_enter();
    lucid_tensor *y = lucid_scope_return(run_forward(m, x));
    lucid_scope_end(depth);
    if (!luc_fuse_leave()) y = NULL;
    luc_module_frame_pop(&frame);
    return y;
}

lucid_tensor *(lucid_forward)(lucid_module *m, lucid_tensor *x)
{
    const lucid_module_class *runs = m ? m->state->signature.runs : NULL;
    if (!runs || runs->forward) return forward(m, x);
    lucid_tensor *y;
    lucid_forward_many(m, &x, 1, &y, 1);
    return y;
}

/* ---- several inputs and outputs -------------------------------------------------------------- */

/* While an error is pending, a NULL input is taken for its consequence, even if the class allows
 * NULL there. */
static bool check_inputs(const lucid_module *m, lucid_tensor *const *in, int n_in)
{
    const luc_signature *s = &m->state->signature;
    for (int i = 0; i < n_in; i++) {
        const bool needed = i < s->in_least || lucid_error_code() != LUCID_OK;
        if (in[i] ? luc_is_plain(in[i]) : !needed) continue;
        const luc_text name = luc_signature_name(s->inputs, i);
        if (in[i] ? !luc_is_there(in[i], m->cls->name, name.s)
                  : !luc_check_tensor(NULL, m->cls->name, name.s))
            return false;
    }
    return true;
}

static bool check_outputs(const lucid_module *m, lucid_tensor *const *out, int n_out)
{
    const luc_signature *s = &m->state->signature;
    for (int i = 0; i < n_out; i++) {
        if (!luc_is_there(out[i], m->cls->name, luc_signature_name(s->outputs, i).s)) return false;
        if (!out[i] && (i < s->out_least || lucid_error_code() != LUCID_OK)) {
            luc_text name = luc_signature_name(s->outputs, i);
            return no_result(m, "forward_many", name.s, "NULL");
        }
    }
    return true;
}

/* forward_many and the hooks after it. */
static bool call_many(lucid_module *m, lucid_tensor **in, int n_in, lucid_tensor **out, int n_out)
{
    if (!m->state->signature.runs->forward_many(m, in, n_in, out, n_out))
        return no_result(m, "forward_many", "true or an error", "false without one");
    if (!check_outputs(m, out, n_out)) return false;
    if (!m->state->n_hooks) return true;
    return luc_run_forward_hooks(m, in, n_in, out, n_out) && check_outputs(m, out, n_out);
}

/* Calls the class's forward_many. in and out have the largest sizes that any class can need. */
static bool run_many(lucid_module *m, lucid_tensor **in, int n_in, lucid_tensor **out, int n_out)
{
    const lucid_module_class *check = luc_class_with(m, check_input);
    const bool hooks = m->state->n_hooks > 0;
    if (hooks && (!luc_run_forward_pre_hooks(m, in, n_in) || !check_inputs(m, in, n_in)))
        return false;
    if (check && n_in && in[0] && !check->check_input(m, in[0])) return false;
    luc_passage *passage = NULL;
    if (hooks && !luc_watch_inputs(m, in, n_in, &passage)) return false;
    bool ok = call_many(m, in, n_in, out, n_out);
    if (ok && passage) ok = luc_watch_outputs(out, n_out, passage);
    luc_passage_release(passage);
    return ok;
}

static bool run_list(lucid_module *m, lucid_tensor *const *inputs, int n_in, lucid_tensor **outputs,
                     int n_out)
{
    lucid_tensor *in[LUCID_MODULE_MAX_INPUTS] = {NULL}, *out[LUCID_MODULE_MAX_OUTPUTS] = {NULL};
    const lucid_module_class *runs = m->state->signature.runs;
    if (!luc_signature_check(m, n_in, n_out) || !check_inputs(m, inputs, n_in)) return false;
    for (int i = 0; i < n_in; i++) in[i] = inputs[i];
    if (!runs || (runs->forward && n_in == 1 && n_out == 1)) {
        out[0] = run_forward(m, in[0]);
        if (!out[0]) return false;
    } else if (!run_many(m, in, n_in, out, n_out)) {
        return false;
    }
    for (int i = 0; i < n_out; i++) outputs[i] = lucid_scope_return(out[i]);
    return true;
}

static bool forward_many(lucid_module *m, lucid_tensor *const *inputs, int n_in,
                         lucid_tensor **outputs, int n_out)
{
    if (!luc_check_module(m, "forward_many")) return false;
    if ((!inputs && n_in > 0) || (!outputs && n_out > 0))
        return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "%s: expected %d tensors, got NULL",
                         outputs ? "inputs" : "outputs", outputs ? n_in : n_out);
    if (!luc_stack_check("forward_many")) return false;
    if (!luc_is_in_module()) luc_scope_turn(LUC_TURN_FORWARD);
    size_t depth = lucid_scope_begin_at("lucid_forward", 0);
    if (!depth) return false;
    luc_module_frame frame = {.module = m, .path = write_path};
    luc_module_frame_push(&frame);
    luc_fuse_enter();
    bool ok = run_list(m, inputs, n_in, outputs, n_out);
    lucid_scope_end(depth);
    ok = luc_fuse_leave() && ok;
    luc_module_frame_pop(&frame);
    return ok;
}

bool lucid_forward_many(lucid_module *m, lucid_tensor *const *inputs, int n_inputs,
                        lucid_tensor **outputs, int n_outputs)
{
    bool ok = forward_many(m, inputs, n_inputs, outputs, n_outputs);
    for (int i = 0; !ok && outputs && i < n_outputs; i++) outputs[i] = NULL;
    return ok;
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

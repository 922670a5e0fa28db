/* container.c: modules that hold modules, and the one that does nothing. */
#include "nn/layers/container.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

/* The first child at entry *i or after it; *i becomes its entry. If there is none, returns NULL and
 * *i becomes the number of entries. */
static lucid_module *next_child(const lucid_module *m, size_t *i)
{
    const struct luc_module_state *s = m->state;
    while (*i < s->n_entries && s->entries[*i].kind != LUC_CHILD) ++*i;
    return *i < s->n_entries ? luc_entry_module(&s->entries[*i]) : NULL;
}

/* The number of outputs that a child gives to the next one: those that its class requires. For a
 * Sequential these are those of its last child. */
static int outputs_of(const lucid_module *m)
{
    while (m && m->state->signature.runs == &lucid_nn_sequential_class) {
        size_t i = m->state->n_entries;
        while (i > 0 && m->state->entries[i - 1].kind != LUC_CHILD) i--;
        if (i == 0) break;
        m = luc_entry_module(&m->state->entries[i - 1]);
    }
    return m ? m->state->signature.out_least : 1;
}

/* The outputs of one child, which are the inputs of the next. */
typedef struct activations {
    int n;
    lucid_tensor *t[LUCID_MODULE_MAX_OUTPUTS]; /* owned */
} activations;

_Static_assert(LUCID_MODULE_MAX_INPUTS <= LUCID_MODULE_MAX_OUTPUTS, "inputs fit");

static void release_all(activations *a)
{
    for (int i = 0; i < a->n; i++) lucid_release(a->t[i]);
}

/* Applies the child to `now`, which its `want` outputs replace. After an error it returns false,
 * and `now` is empty. */
static bool run_next(lucid_module *child, activations *now, int want)
{
    activations next = {.n = want};
    size_t depth = lucid_scope_begin_at("lucid_forward", 0);
    bool ok = depth > 0;
    if (ok && now->n == 1 && want == 1)
        ok = (next.t[0] = lucid_forward(child, now->t[0])) != NULL;
    else if (ok)
        ok = lucid_forward_many(child, now->t, now->n, next.t, want);
    for (int k = 0; k < want; k++) next.t[k] = ok ? lucid_retain(next.t[k]) : NULL;
    lucid_scope_end(depth);
    release_all(now);
    *now = ok ? next : (activations){0};
    return ok;
}

/* Applies the children from entry i on, each to the outputs of the one before. Releases `now`. */
static bool run_rest(lucid_module *m, size_t i, activations now, lucid_tensor **outputs,
                     int n_outputs)
{
    bool ok = true;
    while (ok) {
        lucid_module *child = next_child(m, &i);
        if (i == m->state->n_entries) break;
        size_t after = ++i;
        next_child(m, &after);
        const bool last = after == m->state->n_entries;
        ok = run_next(child, &now, last ? n_outputs : outputs_of(child));
    }
    if (ok && now.n != n_outputs)
        ok = luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "outputs: expected %d, got %d", now.n,
                       n_outputs);
    for (int k = 0; k < now.n; k++) {
        if (ok && now.t[k])
            ok = luc_scope_add(now.t[k]); /* it takes the reference even if it fails */
        else
            lucid_release(now.t[k]);
        if (ok) outputs[k] = now.t[k];
    }
    return ok;
}

static bool sequential_forward_many(lucid_module *m, lucid_tensor *const *inputs, int n_inputs,
                                    lucid_tensor **outputs, int n_outputs)
{
    activations now = {.n = n_inputs};
    for (int k = 0; k < n_inputs; k++) now.t[k] = lucid_retain(inputs[k]);
    return run_rest(m, 0, now, outputs, n_outputs);
}

/* For one input and one output. Each activation is released when the next one is computed, unless
 * the graph keeps it. */
static lucid_tensor *sequential_forward(lucid_module *m, lucid_tensor *x)
{
    lucid_tensor *now = lucid_retain(x), *y;
    for (size_t i = 0; now;) {
        lucid_module *child = next_child(m, &i);
        if (i == m->state->n_entries) break;
        if (outputs_of(child) > 1) return run_rest(m, i, (activations){1, {now}}, &y, 1) ? y : NULL;
        size_t depth = lucid_scope_begin_at("lucid_forward", 0);
        lucid_tensor *next = depth ? lucid_retain(lucid_forward(child, now)) : NULL;
        i++;
        lucid_scope_end(depth);
        lucid_release(now);
        now = next;
    }
    return now && luc_scope_add(now) ? now : NULL;
}

const lucid_module_class lucid_nn_sequential_class = {
    .name = "Sequential",
    .size = sizeof(nn_Sequential),
    .super = &lucid_module_class_base,
    .forward = sequential_forward,
    .forward_many = sequential_forward_many,
    .inputs = "input, input2?, input3?, input4?, input5?, input6?, input7?, input8?",
    .outputs = "output, output2?, output3?, output4?, output5?, output6?, output7?, output8?",
};

static bool append(lucid_module *m, lucid_module *module)
{
    char name[24];
    size_t count = 0;
    for (size_t i = 0; i < m->state->n_entries; i++)
        count += m->state->entries[i].kind == LUC_CHILD;
    snprintf(name, sizeof name, "%zu", count);
    return lucid_register_module(m, name, NULL, module);
}

bool lucid_sequential_append(lucid_module *m, lucid_module *module)
{
    bool ok = luc_check_module(m, "sequential_append") && lucid_self(m, nn_Sequential) &&
              luc_check_module(module, "sequential_append");
    if (!ok) luc_module_free_unclaimed(module);
    return ok && append(m, module);
}

lucid_module *lucid_nn_sequential(lucid_module *const *modules, size_t n)
{
    size_t missing = 0;
    if (!modules && n > 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "Sequential",
                              "modules: expected %zu modules, got NULL", n);
    while (missing < n && modules[missing]) missing++;
    if (missing < n && lucid_error_code() == LUCID_OK)
        luc_raise(LUCID_ERR_ARGUMENT, "Sequential", "module %zu: expected a module, got NULL",
                  missing);
    lucid_module *m = missing < n ? NULL : lucid_module_new(&lucid_nn_sequential_class);
    bool ok = m != NULL;
    for (size_t i = 0; i < n; i++) {
        if (!ok)
            luc_module_free_unclaimed(modules[i]);
        else
            ok = append(m, modules[i]);
    }
    return m ? luc_layer_done(m, ok) : NULL;
}

static lucid_tensor *identity_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return x;
}

const lucid_module_class lucid_nn_identity_class = {
    .name = "Identity",
    .size = sizeof(nn_Identity),
    .super = &lucid_module_class_base,
    .forward = identity_forward,
};

lucid_module *lucid_nn_identity(void)
{
    return lucid_module_new(&lucid_nn_identity_class);
}

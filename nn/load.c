/* load.c: loading a state dict into a module, completely or not at all. */
#include "autograd/autograd.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"
#include "nn/pattern.h"
#include "nn/state_dict_priv.h"

#include <string.h>

/* A plan: which tensor is copied into which, and what does not fit. */
typedef struct load {
    lucid_state_dict *state;  /* a copy that hooks may change */
    lucid_state_dict *wanted; /* the module's own entries */
    lucid_tensor *
        *source; /* the source for each entry of wanted; NULL: the entry keeps its value */
    luc_string missing, unexpected, sizes;
} load;

static bool call_hook(lucid_module *m, const char *path, void *user)
{
    load *l = user;
    const lucid_module_class *c = luc_class_with(m, load_state_hook);
    if (!c) return true;
    luc_string prefix = {0};
    bool ok = luc_string_printf(&prefix, *path ? "%s." : "%s", path) &&
              c->load_state_hook(m, l->state, prefix.s, lucid_state_dict_version(l->state, path));
    luc_string_free(&prefix);
    return ok;
}

static bool note_name(luc_string *list, const char *name)
{
    return luc_string_printf(list, "%s%s", list->length ? ", " : "", name);
}

/* Whether the state has a tensor under another of its names: safetensors.torch.save_model writes
 * only one of them. */
static bool comes_as_another(const load *l, size_t i)
{
    const luc_state_item *items = l->wanted->tensors.items;
    for (size_t k = 0; k < l->wanted->tensors.count; k++)
        if (k != i && luc_state_is_tied(items[k].tensor, items[i].tensor) &&
            luc_state_find(&l->state->tensors, items[k].name))
            return true;
    return false;
}

/* Whether two weights of convolutions [O,C,...] have all sizes but C in common. */
static bool only_channels_differ(const lucid_tensor *a, const lucid_tensor *b)
{
    const int n = a->view.ndim;
    if (n < 3 || n != b->view.ndim || a->view.dims[1] < 1 || b->view.dims[1] < 1) return false;
    return a->view.dims[0] == b->view.dims[0] && a->view.dims[1] != b->view.dims[1] &&
           luc_dims_equal(n - 2, a->view.dims + 2, n - 2, b->view.dims + 2);
}

/* Finds the source of every wanted tensor and converts it to the device and dtype that it will
 * have. */
static bool match(load *l, const lucid_load_options *o)
{
    size_t n = lucid_state_dict_size(l->wanted);
    l->source = luc_calloc(n, sizeof *l->source, "load_state_dict");
    bool ok = l->source != NULL;
    size_t adapted = 0;
    for (size_t i = 0; ok && i < n; i++) {
        lucid_named_tensor w = lucid_state_dict_at(l->wanted, i);
        lucid_tensor *t = lucid_state_dict_get(l->state, w.name);
        if (t && lucid_name_matches(w.name, o->adapt_channels)) {
            adapted++;
            if (only_channels_differ(t, w.tensor)) t = luc_load_adapt(t, w.tensor->view.dims[1]);
            if (!t) return false;
        }
        if (!t && lucid_name_matches(w.name, o->ignore)) continue;
        if (!t && luc_state_find(&l->state->foreign, w.name)) {
            ok = false; /* lucid cannot hold it, and has raised an error */
        } else if (!t) {
            ok = comes_as_another(l, i) || note_name(&l->missing, w.name);
        } else if (!luc_dims_equal(t->view.ndim, t->view.dims, w.tensor->view.ndim,
                                   w.tensor->view.dims)) {
            ok = luc_string_printf(&l->sizes, "%s%s: expected %s, got %s",
                                   l->sizes.length ? ", " : "", w.name, luc_shape_text(w.tensor).s,
                                   luc_shape_text(t).s);
        } else {
            t = lucid_cast(t, lucid_tensor_dtype(w.tensor));
            l->source[i] = t ? lucid_tensor_to(t, lucid_tensor_device(w.tensor)) : NULL;
            ok = l->source[i] != NULL;
        }
    }
    if (ok && o->adapt_channels && !adapted)
        ok = luc_raise(LUCID_ERR_ARGUMENT, "load_state_dict",
                       "adapt_channels: \"%s\" matches no name of module and state",
                       o->adapt_channels);
    for (size_t i = 0; ok && i < lucid_state_dict_size(l->state); i++) {
        const char *name = lucid_state_dict_at(l->state, i).name;
        if (!lucid_state_dict_get(l->wanted, name)) ok = note_name(&l->unexpected, name);
    }
    for (size_t i = 0; ok && i < l->state->foreign.count; i++) /* no wanted one is left here */
        ok = note_name(&l->unexpected, l->state->foreign.items[i].name);
    return ok;
}

static bool refuse(const load *l, const lucid_module *m, bool strict)
{
    bool names = strict && (l->missing.length || l->unexpected.length);
    if (!names && !l->sizes.length) return true;
    const char *parts[3] = {strict ? l->missing.s : NULL, strict ? l->unexpected.s : NULL,
                            l->sizes.s};
    static const char *const titles[3] = {"missing", "unexpected", "other sizes"};
    luc_string text = {0};
    for (int i = 0; i < 3; i++)
        if (parts[i])
            luc_string_printf(&text, "%s%s: %s", text.length ? "; " : "", titles[i], parts[i]);
    if (text.s) luc_raise(LUCID_ERR_FORMAT, "load_state_dict", "%s: %s", m->cls->name, text.s);
    luc_string_free(&text);
    return false;
}

/* Nothing here allocates or can fail, because sizes, dtypes and devices are equal. */
static bool copy_all(load *l)
{
    if (!luc_before_any_write()) return false;
    for (size_t i = 0; i < lucid_state_dict_size(l->wanted); i++) {
        lucid_tensor *to = lucid_state_dict_at(l->wanted, i).tensor;
        if (!l->source[i]) continue;
        if (!luc_copy_data(to, l->source[i], "load_state_dict")) return false;
        luc_storage_bump(to->storage);
    }
    return true;
}

bool lucid_load_state_dict_opt(lucid_module *m, const lucid_state_dict *state,
                               const lucid_load_options *options)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const lucid_load_options *o = LUC_OPTIONS(lucid_load, options, "load_state_dict");
    if (!o || !luc_check_module(m, "load_state_dict") || !luc_check_state(state, "load_state_dict"))
        return false;
    load l = {0};
    bool ok = (l.state = lucid_state_dict_shallow_copy(state)) &&
              (l.wanted = lucid_module_state_dict(m)) && luc_load_rename(&l.state, l.wanted, o) &&
              luc_module_walk(m, false, call_hook, &l) && match(&l, o) &&
              refuse(&l, m, o->strict) && copy_all(&l);
    lucid_state_dict_free(l.state);
    lucid_state_dict_free(l.wanted);
    luc_free(l.source);
    luc_string_free(&l.missing);
    luc_string_free(&l.unexpected);
    luc_string_free(&l.sizes);
    return ok;
}

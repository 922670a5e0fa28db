/* list.c: ModuleList, ModuleDict, and a Sequential of named modules. */
#include "nn/layers/list.h"
#include "lucid/core/error_priv.h"
#include "nn/layers/container.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

static size_t count(const lucid_module *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->state->n_entries; i++)
        n += m->state->entries[i].kind == LUC_CHILD && luc_entry_module(&m->state->entries[i]);
    return n;
}

size_t lucid_module_count(lucid_module *m)
{
    return luc_check_module(m, "module_count") ? count(m) : 0;
}

lucid_module *lucid_module_at(lucid_module *m, size_t i)
{
    if (!luc_check_module(m, "module_at")) return NULL;
    size_t left = i;
    for (size_t k = 0; k < m->state->n_entries; k++) {
        if (m->state->entries[k].kind != LUC_CHILD) continue;
        lucid_module *child = luc_entry_module(&m->state->entries[k]);
        if (child && left-- == 0) return child;
    }
    return luc_raise_null(LUCID_ERR_ARGUMENT, "module_at",
                          "i: expected a number below %zu, got %zu", count(m), i);
}

static lucid_tensor *no_forward(lucid_module *m, lucid_tensor *x)
{
    (void)x;
    return luc_raise_null(LUCID_ERR_ARGUMENT, m->cls->name,
                          "forward: expected a module that computes something, got one that only "
                          "holds others");
}

const lucid_module_class lucid_nn_module_list_class = {
    .name = "ModuleList",
    .size = sizeof(nn_ModuleList),
    .super = &lucid_module_class_base,
    .forward = no_forward,
};

const lucid_module_class lucid_nn_module_dict_class = {
    .name = "ModuleDict",
    .size = sizeof(nn_ModuleDict),
    .super = &lucid_module_class_base,
    .forward = no_forward,
};

/* A module of the class with children, whose names are numbers where they are not given. Exactly
 * one of the two lists is not NULL, unless n is 0. */
static lucid_module *make(const lucid_module_class *cls, lucid_module *const *modules,
                          const lucid_named_module *named, size_t n)
{
    if (!modules && !named && n > 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "modules: expected %zu modules, got NULL", n);
    size_t missing = 0;
    while (missing < n && (named ? named[missing].module : modules[missing])) missing++;
    if (missing < n && lucid_error_code() == LUCID_OK)
        luc_raise(LUCID_ERR_ARGUMENT, cls->name, "module %zu: expected a module, got NULL",
                  missing);
    lucid_module *m = missing < n ? NULL : lucid_module_new(cls);
    bool ok = m != NULL;
    for (size_t i = 0; i < n; i++) {
        lucid_module *child = named ? named[i].module : modules[i];
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        if (!ok)
            luc_module_free_unclaimed(child);
        else
            ok = lucid_register_module(m, named ? named[i].name : number, NULL, child);
    }
    return m ? luc_layer_done(m, ok) : NULL;
}

lucid_module *lucid_nn_module_list(lucid_module *const *modules, size_t n)
{
    return make(&lucid_nn_module_list_class, modules, NULL, n);
}

lucid_module *lucid_nn_module_dict(const lucid_named_module *modules, size_t n)
{
    return make(&lucid_nn_module_dict_class, NULL, modules, n);
}

lucid_module *lucid_nn_named_sequential(const lucid_named_module *modules, size_t n)
{
    return make(&lucid_nn_sequential_class, NULL, modules, n);
}

bool lucid_module_list_append(lucid_module *list, lucid_module *module)
{
    bool ok = luc_check_module(list, "module_list_append") && lucid_self(list, nn_ModuleList) &&
              luc_check_module(module, "module_list_append");
    if (!ok) {
        luc_module_free_unclaimed(module);
        return false;
    }
    char number[24];
    snprintf(number, sizeof number, "%zu", count(list));
    return lucid_register_module(list, number, NULL, module);
}

bool lucid_module_dict_add(lucid_module *dict, const char *name, lucid_module *module)
{
    bool ok = luc_check_module(dict, "module_dict_add") && lucid_self(dict, nn_ModuleDict) &&
              luc_check_module(module, "module_dict_add");
    if (!ok) luc_module_free_unclaimed(module);
    return ok && lucid_register_module(dict, name, NULL, module);
}

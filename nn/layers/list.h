/* list.h: containers whose modules have an order or names, and a Sequential of named modules.
 *
 * They take ownership of modules as nn_Sequential does: if one of them is NULL, because its
 * constructor failed, or is refused, the result is NULL and the others are freed. ModuleList and
 * ModuleDict only hold modules, so that these are found by lucid_to, state dicts and optimizers;
 * they have no forward of their own, and lucid_forward of one is an error. Modules inside are
 * borrowed. */
#ifndef LUCID_NN_LAYERS_LIST_H
#define LUCID_NN_LAYERS_LIST_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_module_list_class;
LUCID_API extern const lucid_module_class lucid_nn_module_dict_class;

typedef struct nn_ModuleList {
    lucid_module base; /* children "0", "1", ... */
} nn_ModuleList;
typedef struct nn_ModuleDict {
    lucid_module base; /* children by their names */
} nn_ModuleDict;

/* A list of modules, which are "0", "1" and so on in paths.
 *
 *     lucid_module *layers = nn_ModuleList(nn_Linear(8, 8), nn_Linear(8, 8));
 *     for (size_t i = 0; i < lucid_module_count(layers); i++)
 *         x = lucid_forward(lucid_module_at(layers, i), x); */
LUCID_API lucid_module *lucid_nn_module_list(lucid_module *const *modules, size_t n);
/* Adds a module at the end. It takes ownership of the module, and frees it if it refuses it. */
LUCID_API bool lucid_module_list_append(lucid_module *list, lucid_module *module);
/* Modules by their names, which are copied, in the order in which they were added. A name is not
 * empty, holds no dot and is unique.
 *
 *     lucid_module *heads = nn_ModuleDict({"boxes", nn_Linear(8, 4)}, {"scores", nn_Linear(8, 2)});
 *     y = lucid_forward(lucid_get_module(heads, "boxes"), x); */
LUCID_API lucid_module *lucid_nn_module_dict(const lucid_named_module *modules, size_t n);
/* Adds a module. It takes ownership of the module, and frees it if it refuses it. */
LUCID_API bool lucid_module_dict_add(lucid_module *dict, const char *name, lucid_module *module);
/* nn_Sequential of modules with names instead of numbers.
 *
 *     lucid_module *net = nn_NamedSequential({"fc", nn_Linear(8, 4)}, {"relu", nn_ReLU()}); */
LUCID_API lucid_module *lucid_nn_named_sequential(const lucid_named_module *modules, size_t n);

/* The number of children of any module, and the child number i; NULL, with an error, where there is
 * none. */
LUCID_API size_t lucid_module_count(lucid_module *module);
LUCID_API lucid_module *lucid_module_at(lucid_module *module, size_t i);

#define nn_ModuleList(...) LUC_MODULE_LIST(LUCID_CAT(luc_modules_, __COUNTER__), __VA_ARGS__)
#define LUC_MODULE_LIST(list, ...)                                                        \
    __extension__({                                                                       \
        LUC_STRICT_BEGIN                                                                  \
        lucid_module *const list[] = {NULL, __VA_ARGS__};                                 \
        LUC_STRICT_RESULT(lucid_nn_module_list(list + 1, sizeof list / sizeof *list - 1)) \
    })
#define nn_ModuleDict(...)      LUC_NAMED_MODULES(lucid_nn_module_dict, __VA_ARGS__)
#define nn_NamedSequential(...) LUC_NAMED_MODULES(lucid_nn_named_sequential, __VA_ARGS__)
#define LUC_NAMED_MODULES(fn, ...) \
    LUC_NAMED_MODULES_(LUCID_CAT(luc_modules_, __COUNTER__), fn, __VA_ARGS__)
#define LUC_NAMED_MODULES_(list, fn, ...)                               \
    __extension__({                                                     \
        LUC_STRICT_BEGIN                                                \
        const lucid_named_module list[] = {{NULL, NULL}, __VA_ARGS__};  \
        LUC_STRICT_RESULT(fn(list + 1, sizeof list / sizeof *list - 1)) \
    })

LUCID_END_DECLS
#endif

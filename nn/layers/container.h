/* container.h: modules that hold modules, and the one that does nothing. */
#ifndef LUCID_NN_LAYERS_CONTAINER_H
#define LUCID_NN_LAYERS_CONTAINER_H

#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_sequential_class;
LUCID_API extern const lucid_module_class lucid_nn_identity_class;

typedef struct nn_Sequential {
    lucid_module base; /* children "0", "1", ... */
} nn_Sequential;
typedef struct nn_Identity {
    lucid_module base;
} nn_Identity;

/* Applies modules one after the other: the output of each is the input of the next. Without
 * modules, the output is the input. It takes ownership of the modules. If one of them is NULL,
 * because its constructor failed, the result is NULL and the others are freed. The first module
 * gets all inputs. A module whose class requires several outputs gives them all to the next one;
 * the last module computes the number of outputs that the caller asks for. Under no_grad only one
 * activation is alive at a time. Operators of neighbouring modules may run as one
 * (lucid_set_fusion).
 *
 *     lucid_module *net = nn_Sequential(nn_Linear(784, 128), nn_ReLU(), nn_Linear(128, 10));
 *     lucid_module *first = lucid_get_module(net, "0"); */
LUCID_API lucid_module *lucid_nn_sequential(lucid_module *const *modules, size_t n);
/* Adds a module at the end. It takes ownership of the module, and frees it if it refuses it. */
LUCID_API bool lucid_sequential_append(lucid_module *sequential, lucid_module *module);
/* The output is the input. Shape: any. Useful in place of a layer that is not wanted. */
LUCID_API lucid_module *lucid_nn_identity(void);

#define nn_Sequential(...) LUC_SEQUENTIAL(LUCID_CAT(luc_modules_, __COUNTER__), __VA_ARGS__)
#define LUC_SEQUENTIAL(list, ...)                                                        \
    __extension__({                                                                      \
        LUC_STRICT_BEGIN                                                                 \
        lucid_module *const list[] = {NULL, __VA_ARGS__};                                \
        LUC_STRICT_RESULT(lucid_nn_sequential(list + 1, sizeof list / sizeof *list - 1)) \
    })
#define nn_Identity() lucid_nn_identity()

LUCID_END_DECLS
#endif

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

/* Modules one after the other: the output of each is the input of the next; without any, the input
 * is the output. It takes the modules over. A NULL among them (a constructor that failed) gives
 * NULL, and the others are freed. Several inputs go to the first module; the outputs of a module
 * that gives several (all that its class requires) are the inputs of the next one; the last one
 * gives as many as the caller asks for. Under no_grad only one activation is alive at a time. A
 * BatchNorm and the ReLU behind it, without hooks, run as one operation; in eval, where no gradient
 * is recorded, with the convolution in front of them (lucid_set_fusion).
 *
 *     lucid_module *net = nn_Sequential(nn_Linear(784, 128), nn_ReLU(), nn_Linear(128, 10));
 *     lucid_module *first = lucid_get_module(net, "0"); */
LUCID_API lucid_module *lucid_nn_sequential(lucid_module *const *modules, size_t n);
/* Adds one at the end. The module is taken over, or freed where it is refused. */
LUCID_API bool lucid_sequential_append(lucid_module *sequential, lucid_module *module);
/* The output is the input. Shape: any. Useful in the place of a layer that is not wanted. */
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

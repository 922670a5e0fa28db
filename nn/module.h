/* module.h: what networks are made of.
 *
 * A module is a struct whose first member is `lucid_module base`, and a constant class struct that
 * says what it does. It registers its parameters, buffers and children under names, and gets
 * everything else from here: traversal, train and eval, devices and dtypes, state dicts, hooks,
 * gradients and printing. docs/add_a_module.md shows one in thirty lines.
 *
 * Ownership. A parent frees its children: free the outermost module only. The caller who makes a
 * module owns it until he registers it (or gives it to nn_Sequential); from then on its parent owns
 * it, and all its parents together own it if it is registered several times. lucid_module_free on a
 * module that belongs to a parent is an error; lucid_module_retain takes a further reference.
 * Parameters and buffers belong to their module and change in place.
 *
 * Errors. A NULL module or tensor comes from an earlier error and propagates: functions return NULL
 * or false and leave that error as it is. Threads: a module may be used by one thread at a time,
 * but lucid_forward in eval mode may run in several. */
#ifndef LUCID_NN_MODULE_H
#define LUCID_NN_MODULE_H

#include "../lucid/core/api.h"
#include "../lucid/core/device.h"
#include "../lucid/core/dtype.h"
#include "../lucid/core/tensor.h"
#include "../autograd/ops/view.h"
#include "forward_macros.h"

LUCID_BEGIN_DECLS

typedef struct lucid_module lucid_module;
typedef struct lucid_module_class lucid_module_class;
typedef struct lucid_state_dict lucid_state_dict; /* state_dict.h */

/* The part that every module begins with. A module of your own embeds it:
 *     typedef struct { lucid_module base; lucid_module *squeeze, *excite; } SEBlock; */
struct lucid_module {
    const lucid_module_class *cls;
    bool training;                  /* set by lucid_train and lucid_eval; forward reads it */
    struct luc_module_state *state; /* names, hooks, references: the library's own */
};

/* The most inputs that a module takes, and the most outputs that it gives. */
#define LUCID_MODULE_MAX_INPUTS  8
#define LUCID_MODULE_MAX_OUTPUTS 8

/* What a class of modules does. A slot that is NULL (or 0) takes the super's value. */
struct lucid_module_class {
    const char *name; /* "BatchNorm2d": lucid_print and messages show it, lucid_self checks it */
    size_t size;      /* bytes of the struct; at least the super's */
    const lucid_module_class *super; /* &lucid_module_class_base where there is no other */
    /* Computes one output from one input. Runs in a scope of its own: only the result lives on. */
    lucid_tensor *(*forward)(lucid_module *self, lucid_tensor *x);
    /* Computes outputs from inputs, in a class that has several of either; only what it puts into
     * outputs lives on. `inputs` has an entry for each name in .inputs, which is NULL where the
     * caller gave none; n_inputs is the number that the caller gave. `outputs` has an entry for
     * each name in .outputs, all NULL at first; n_outputs is the number that the caller asked for,
     * and those after it need not be set. Returns false after an error. A class may define forward
     * too: it then computes one output from one input. A subclass that defines either of the two
     * replaces both. */
    bool (*forward_many)(lucid_module *self, lucid_tensor *const *inputs, int n_inputs,
                         lucid_tensor **outputs, int n_outputs);
    /* The names that forward_many's inputs and outputs have, in order, required ones first. A "?"
     * follows the name of an input that may be NULL or left out, and of an output that the caller
     * need not ask for: .inputs = "x, h?, c?", .outputs = "y, h, c". The base's are "input" and
     * "output". Any other number in a call is an error that says these names. */
    const char *inputs, *outputs;
    /* Is called before forward with the input (the first one, if there are several and it is not
     * NULL). To refuse it, raise an error and return false. */
    bool (*check_input)(lucid_module *self, lucid_tensor *x);
    /* Sets parameters and buffers to their initial values. */
    bool (*reset_parameters)(lucid_module *self);
    /* Writes the text that is printed between the parentheses, as snprintf does. */
    int (*extra_repr)(const lucid_module *self, char *text, size_t size);
    /* Called before this module's own entries (those that begin with prefix, "features.0.") are
     * loaded from a state dict. `version` is the class's version that saved it, or -1 if the state
     * does not say. The function may add, rename and remove entries of `state`, which is a copy. It
     * returns false after an error. */
    bool (*load_state_hook)(lucid_module *self, lucid_state_dict *state, const char *prefix,
                            int64_t version);
    int64_t version; /* of the state, and saved with it; 0: the super's. The base's is 1 */
    /* Frees what the struct owns besides registered tensors and modules. The class's function is
     * called first, then those of its supers. */
    void (*finalize)(lucid_module *self);
    /* Copies what the struct owns besides registered tensors and modules (what finalize frees), for
     * lucid_module_copy. When it is called, registered fields of self hold their copies, and all
     * others hold the same as those of `from`. The supers' functions are called before the class's.
     * It returns false after an error, and owns nothing then: the class's part of the struct is
     * zeroed. */
    bool (*copy)(lucid_module *self, const lucid_module *from);
};

/* The root of all classes: no forward, version 1. */
LUCID_API extern const lucid_module_class lucid_module_class_base;

/* ---- life ------------------------------------------------------------------------------------ */

/* A zeroed module of the class, in training mode, owned by the caller. NULL when memory is out, or
 * when the class has no name, no super that leads to lucid_module_class_base, or is too small. */
LUCID_API lucid_module *lucid_module_new(const lucid_module_class *cls);
/* A deep copy, as copy.deepcopy makes it: of the module and all below it, with parameters,
 * gradients, buffers and modes; what is shared inside stays shared. The caller owns it. Fields that
 * are not registered keep their values: a pointer points to the same thing, unless the class's
 * .copy replaces it. Hooks are not copied, because what they point to is not the module's. NULL on
 * an error: a class with .finalize and no .copy, or a registered field that does not lie in its
 * module's struct.
 *
 *     lucid_module *average = lucid_module_copy(net); */
LUCID_API lucid_module *lucid_module_copy(lucid_module *module);
/* Takes a reference, which lucid_module_free releases. Returns the module. */
LUCID_API lucid_module *lucid_module_retain(lucid_module *module);
/* Releases the caller's reference. With the last one the module is freed, and its children,
 * parameters and buffers with it, unless others hold them. NULL does nothing. */
LUCID_API void lucid_module_free(lucid_module *module);

/* Casts the module to the struct of a class. It checks that the module's class or one of its supers
 * has this name (an "nn_" before it does not count), otherwise it raises an error and returns
 * NULL. */
LUCID_API void *lucid_module_cast(const lucid_module *module, const char *class_name);
/* Whether such a cast is possible. Raises no error. */
LUCID_API bool lucid_module_is(const lucid_module *module, const char *class_name);
/* SEBlock *se = lucid_self(m, SEBlock);   nn_BatchNorm2d *bn = lucid_self(m, nn_BatchNorm2d); */
#define lucid_self(module, type) ((type *)lucid_module_cast(module, #type))

/* ---- registration ---------------------------------------------------------------------------- */

/* Each function keeps the address of a field of the struct and sets the field to value, so that
 * registry and field cannot differ. A NULL field is allowed: the registry alone holds the value
 * then. A NULL value is a registered absence (a layer without bias), unless an error is pending:
 * then it comes from that error, nothing is registered, and false is returned. Names are not
 * empty, hold no dot, and are unique in the module. Order of registration is the order of
 * everything else. */

/* Registers a leaf of floating dtype: takes a reference and makes it require gradients. */
LUCID_API bool lucid_register_parameter(lucid_module *self, const char *name, lucid_tensor **field,
                                        lucid_tensor *value);

typedef struct lucid_buffer_options {
    LUCID_OPTIONS_SIZE(lucid_buffer_options);
    bool persistent LUCID_DEFAULT(true); /* part of the state dict */
} lucid_buffer_options;
LUCID_DEFAULTS(lucid_buffer, .persistent = true);
/* Registers a tensor that is state but no parameter, such as running statistics: takes a
 * reference. */
LUCID_API bool lucid_register_buffer_opt(lucid_module *self, const char *name, lucid_tensor **field,
                                         lucid_tensor *value, const lucid_buffer_options *options);
/* lucid_register_buffer(m, "mask", &my->mask, mask, .persistent = false) */
#define lucid_register_buffer(...)                                                           \
    LUCID_CALL4(lucid_register_buffer_opt, lucid_buffer, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)
/* Registers a child, which self owns from then on. If it is refused and nobody else owns it, it is
 * freed. A module that would contain itself is refused, and stays the caller's. */
LUCID_API bool lucid_register_module(lucid_module *self, const char *name, lucid_module **field,
                                     lucid_module *value);
/* Replaces the child at a path ("fc", "layer1.0") by another module (or NULL). The old one is
 * freed, unless it is held elsewhere. */
LUCID_API bool lucid_replace_module(lucid_module *self, const char *path, lucid_module *value);

/* ---- running --------------------------------------------------------------------------------- */

/* Applies the module to x. It runs forward pre-hooks, check_input, forward and forward hooks in a
 * scope of its own and lets only the result out. An error raised inside ends with the path of the
 * module where it arose: "; module net.features.0". */
LUCID_API lucid_tensor *lucid_forward(lucid_module *module, lucid_tensor *x);
/* The same for a module of several inputs or outputs: fills outputs[n_outputs]; a false result
 * leaves NULL in all of them. An input may be NULL where the class says so (.inputs has a "?"), and
 * inputs may be left out at the end; while an error is pending, a NULL comes from that error and
 * the call returns false. Errors: another number of inputs or outputs than the class takes.
 *
 *     lucid_tensor *out[2];
 *     lucid_forward_many(net, (lucid_tensor *[]){x}, 1, out, 2); */
LUCID_API bool lucid_forward_many(lucid_module *module, lucid_tensor *const *inputs, int n_inputs,
                                  lucid_tensor **outputs, int n_outputs);
/* Macros over the two, in C and in C++:
 *
 *     lucid_tensor *loss = lucid_forward(criterion, logits, target);    several inputs, one output
 *     bool ok = lucid_forward_into(lstm, (x, h, c), (&y, &h, &c));      lists of both
 *
 * More than LUCID_MODULE_MAX_INPUTS inputs do not compile. lucid_forward takes the first output of
 * a class whose other outputs are optional; it is an error where several are required. */
#define lucid_forward(...) LUC_FORWARD_PICK(lucid_forward, LUC_FORWARD_LIST, __VA_ARGS__)
#define lucid_forward_into(module, inputs, outputs) \
    LUC_FORWARD_INTO(lucid_forward_many, module, inputs, outputs)
/* Sets the mode of the module and of all below it. */
LUCID_API bool lucid_train(lucid_module *module);
LUCID_API bool lucid_eval(lucid_module *module);
LUCID_API bool lucid_set_training(lucid_module *module, bool training);

/* Sets the name of the outermost module in error messages, which is "net" at first. The name is
 * copied. */
LUCID_API bool lucid_module_set_name(lucid_module *module, const char *name);

/* ---- all parameters and buffers at once ------------------------------------------------------ */

/* Moves parameters, gradients and buffers to a device. The tensors stay the same ones, so that
 * optimizers need not know. Nothing changes where it fails. */
LUCID_API bool lucid_module_to(lucid_module *module, lucid_device device);
/* lucid_to(net, device) moves a module; x = lucid_to(x, device) gives a tensor, moved. */
#ifdef __cplusplus
extern "C++" {
static inline bool luc_to(lucid_module *module, lucid_device device)
{
    return lucid_module_to(module, device);
}
static inline lucid_tensor *luc_to(lucid_tensor *tensor, lucid_device device)
{
    return lucid_tensor_to(tensor, device);
}
}
#define lucid_to(target, device) luc_to(target, device)
#else
#define lucid_to(target, device)               \
    _Generic((target), lucid_module *          \
             : lucid_module_to, lucid_tensor * \
             : lucid_tensor_to)(target, device)
#endif
/* Converts floating parameters, gradients and buffers; integer buffers stay as they are. */
LUCID_API bool lucid_to_dtype(lucid_module *module, lucid_dtype dtype);
/* Sets requires_grad of every parameter: false freezes the module. */
LUCID_API bool lucid_module_requires_grad(lucid_module *module, bool requires_grad);
/* Removes the gradient of every parameter. lucid_zero_grad (nn/optim/optimizer.h) calls it. */
LUCID_API bool lucid_module_zero_grad(lucid_module *module);
/* Calls fn with every module below and then with the module itself (children first). */
LUCID_API bool lucid_module_apply(lucid_module *module, void (*fn)(lucid_module *m, void *user),
                                  void *user);
/* Calls the module's own reset_parameters and those of all below it. */
LUCID_API bool lucid_module_reset_parameters(lucid_module *module);

/* ---- traversal ------------------------------------------------------------------------------- */

typedef struct lucid_named_tensor {
    const char *name; /* "features.0.weight" */
    lucid_tensor *tensor;
} lucid_named_tensor;
typedef struct lucid_named_module {
    const char *name; /* "features.0"; "" for the module itself */
    lucid_module *module;
} lucid_named_module;

/* All of a module and those below it, in order of registration, each module before its children;
 * what is shared counts once, under its first name; absent ones do not count. The array belongs to
 * the module and is valid until the module's structure changes or it is freed. *n (may be
 * NULL) becomes their number. NULL on an error.
 *
 *     size_t n;
 *     const lucid_named_tensor *p = lucid_named_parameters(net, &n);
 *     for (size_t i = 0; i < n; i++) printf("%s\n", p[i].name); */
LUCID_API const lucid_named_tensor *lucid_named_parameters(lucid_module *module, size_t *n);
LUCID_API const lucid_named_tensor *lucid_named_buffers(lucid_module *module, size_t *n);
LUCID_API const lucid_named_module *lucid_named_modules(lucid_module *module, size_t *n);
/* The same for the direct children only. */
LUCID_API const lucid_named_module *lucid_named_children(lucid_module *module, size_t *n);

/* Finds one by its path, and raises an error if there is none. "" is the module itself. An absent
 * parameter or buffer gives NULL without an error. */
LUCID_API lucid_module *lucid_get_module(lucid_module *module, const char *path);
LUCID_API lucid_tensor *lucid_get_parameter(lucid_module *module, const char *path);
LUCID_API lucid_tensor *lucid_get_buffer(lucid_module *module, const char *path);
/* The number of elements of all its parameters; shared ones count once. -1 on an error. */
LUCID_API int64_t lucid_parameter_count(lucid_module *module, bool trainable_only);

/* ---- hooks ----------------------------------------------------------------------------------- */

/* Hooks of one kind run in the order in which they were added. Registering returns a handle (> 0)
 * for lucid_module_remove_hook; 0 on an error. A hook that raises an error ends the call. */

/* Before forward: returns NULL to leave x, or what forward gets instead. */
typedef lucid_tensor *(*lucid_forward_pre_hook)(lucid_module *module, lucid_tensor *x, void *user);
/* After forward: returns NULL to leave the output, or what replaces it. */
typedef lucid_tensor *(*lucid_forward_hook)(lucid_module *module, lucid_tensor *x,
                                            lucid_tensor *output, void *user);
/* In backward, when the gradient of the module's input has been computed: returns NULL to leave it,
 * or what replaces it. grad_input is NULL where the input needs none; a hook's result is ignored
 * then. Not called where the output needs no gradient. */
typedef lucid_tensor *(*lucid_backward_hook)(lucid_module *module, lucid_tensor *grad_input,
                                             lucid_tensor *grad_output, void *user);
LUCID_API uint64_t lucid_register_forward_pre_hook(lucid_module *module,
                                                   lucid_forward_pre_hook hook, void *user);
LUCID_API uint64_t lucid_register_forward_hook(lucid_module *module, lucid_forward_hook hook,
                                               void *user);
LUCID_API uint64_t lucid_register_full_backward_hook(lucid_module *module, lucid_backward_hook hook,
                                                     void *user);

/* Of a module of several inputs and outputs, the hooks above see and replace the first input and
 * the first output only; a backward hook is not called where no gradient came to the first output.
 * These see all: the inputs that the caller gave, the outputs that he asked for, NULL for what is
 * absent (an optional input; a gradient that is not needed or did not come). They replace what they
 * set in the arrays that are not const, and return false after an error. They serve modules of one
 * input and one output too. While gradients are recorded, several inputs that require gradients of
 * a module with backward hooks must be on one device, and the module may not change one of them in
 * place: that is an error. */
typedef bool (*lucid_forward_pre_hook_many)(lucid_module *module, lucid_tensor **inputs,
                                            int n_inputs, void *user);
typedef bool (*lucid_forward_hook_many)(lucid_module *module, lucid_tensor *const *inputs,
                                        int n_inputs, lucid_tensor **outputs, int n_outputs,
                                        void *user);
/* Called once all gradients of the inputs have been computed. An entry of grad_inputs that was
 * NULL, or is set to NULL, stays as it was. */
typedef bool (*lucid_backward_hook_many)(lucid_module *module, lucid_tensor **grad_inputs,
                                         int n_inputs, lucid_tensor *const *grad_outputs,
                                         int n_outputs, void *user);
LUCID_API uint64_t lucid_register_forward_pre_hook_many(lucid_module *module,
                                                        lucid_forward_pre_hook_many hook,
                                                        void *user);
LUCID_API uint64_t lucid_register_forward_hook_many(lucid_module *module,
                                                    lucid_forward_hook_many hook, void *user);
LUCID_API uint64_t lucid_register_full_backward_hook_many(lucid_module *module,
                                                          lucid_backward_hook_many hook,
                                                          void *user);
/* Returns false, without an error, if there is no such hook. */
LUCID_API bool lucid_module_remove_hook(lucid_module *module, uint64_t handle);

/* ---- printing -------------------------------------------------------------------------------- */

/* Prints the module and those below it as PyTorch does, and a newline. */
LUCID_API void lucid_module_print(const lucid_module *module);
LUCID_API void lucid_module_fprint(FILE *file, const lucid_module *module);
/* Returns the same text, without the newline. The caller releases it with free(). NULL on an
 * error. */
LUCID_API char *lucid_module_to_string(const lucid_module *module);

LUCID_END_DECLS
#endif

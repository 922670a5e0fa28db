/* module_priv.h: the inside of modules. */
#ifndef LUCID_NN_MODULE_PRIV_H
#define LUCID_NN_MODULE_PRIV_H

#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module.h"
#include "lucid/core/text_priv.h"

/* ---- the registry ---------------------------------------------------------------------------- */

typedef enum luc_entry_kind { LUC_PARAMETER, LUC_BUFFER, LUC_CHILD } luc_entry_kind;

/* A registered name. The module holds a reference to `own`. The current value is read through the
 * field, if there is one. */
typedef struct luc_entry {
    char *name;
    luc_entry_kind kind;
    bool persistent;
    union {
        lucid_tensor **tensor;
        lucid_module **module;
    } field;
    union {
        lucid_tensor *tensor;
        lucid_module *module;
    } own;
} luc_entry;

lucid_tensor *luc_entry_tensor(const luc_entry *e); /* of a parameter or buffer; may be NULL */
lucid_module *luc_entry_module(const luc_entry *e); /* of a child; may be NULL */
luc_entry *luc_entry_find(const lucid_module *m, const char *name);

/* ---- hooks ----------------------------------------------------------------------------------- */

typedef enum luc_module_hook_kind {
    LUC_HOOK_FORWARD_PRE,
    LUC_HOOK_FORWARD,
    LUC_HOOK_BACKWARD
} luc_module_hook_kind;

typedef struct luc_module_hook {
    uint64_t id;
    luc_module_hook_kind kind;
    bool many;    /* the function sees all inputs and outputs, not only the first */
    bool removed; /* removed while hooks run; deleted afterwards */
    union {
        lucid_forward_pre_hook forward_pre;
        lucid_forward_hook forward;
        lucid_backward_hook backward;
        lucid_forward_pre_hook_many forward_pre_many;
        lucid_forward_hook_many forward_many;
        lucid_backward_hook_many backward_many;
    } fn;
    void *user;
} luc_module_hook;

bool luc_has_hooks(const lucid_module *m, luc_module_hook_kind kind);
/* Each runs all hooks of a kind, which replace entries of in (before forward) or out (after it).
 * They return false after an error. */
bool luc_run_forward_pre_hooks(lucid_module *m, lucid_tensor **in, int n_in);
bool luc_run_forward_hooks(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                           int n_out);
/* The hooks replace entries of grad_in that are not NULL. */
bool luc_run_backward_hooks(lucid_module *m, lucid_tensor **grad_in, int n_in,
                            lucid_tensor *const *grad_out, int n_out);
/* Around forward: inputs, and then outputs, that require a gradient get operators that see it,
 * where the module has backward hooks. *passage joins the two, and the caller releases it; NULL
 * where there is nothing to watch. */
typedef struct luc_passage luc_passage;
bool luc_watch_inputs(lucid_module *m, lucid_tensor **in, int n_in, luc_passage **passage);
bool luc_watch_outputs(lucid_tensor **out, int n_out, luc_passage *passage);
void luc_passage_release(luc_passage *passage);

/* ---- modules --------------------------------------------------------------------------------- */

/* A traversal's result, which is valid until the structure changes. */
typedef struct luc_named_list {
    size_t count, capacity;
    struct luc_named_item {
        const char *name;
        void *value;
    } * items; /* laid out as lucid_named_tensor and lucid_named_module */
} luc_named_list;

enum { LUC_LIST_PARAMETERS, LUC_LIST_BUFFERS, LUC_LIST_MODULES, LUC_LIST_CHILDREN, LUC_LISTS };

/* The inputs and outputs of the module's class. */
typedef struct luc_signature {
    const lucid_module_class
        *runs;                    /* whose forward and forward_many are the module's; may be NULL */
    const char *inputs, *outputs; /* the names, "x, h?, c?" */
    int in_least, in_most, out_least, out_most;
} luc_signature;

struct luc_module_state {
    luc_signature signature;
    size_t users;   /* references of the program: its maker's and those of lucid_module_retain */
    size_t parents; /* references of the modules that it is registered in */
    bool floating;  /* the maker's reference goes to the first parent */
    char *name;     /* name of the outermost module, for messages */
    luc_entry *entries;
    size_t n_entries, entries_capacity;
    luc_module_hook *hooks;
    size_t n_hooks, hooks_capacity;
    size_t hooks_running;
    luc_named_list lists[LUC_LISTS];
    /* The list of modules that wait to be destroyed; and registry.c's search for a circle. */
    lucid_module *self;
    struct luc_module_state *next_doomed;
    lucid_module *above; /* the module that the search has come from */
    size_t at;           /* and the entry of that module where it continues */
};

/* True if m is not NULL. Otherwise false: an earlier error stays as it is, or one is raised in op's
 * name. */
bool luc_check_module(const lucid_module *m, const char *op);
/* The same for a tensor argument. */
bool luc_check_tensor(const lucid_tensor *t, const char *op, const char *argument);

/* Finds the signature of a class. Raises and returns false if its names are malformed. */
bool luc_signature_find(luc_signature *s, const lucid_module_class *cls);
/* Raises an error in the module's name if its class does not take these numbers. */
bool luc_signature_check(const lucid_module *m, int n_in, int n_out);
/* The name of input or output i: "h" for 1 in "x, h?, c?". */
luc_text luc_signature_name(const char *names, int i);

/* References of parents: the first function takes one to a child (its maker's, if no parent has it
 * yet), the second releases it, and the third frees a module that nobody has taken. */
void luc_module_adopt(lucid_module *m);
void luc_module_disown(lucid_module *m);
void luc_module_free_unclaimed(lucid_module *m);
void luc_lists_free(lucid_module *m);

/* The first class in the chain whose slot is set: luc_class_slot(m, forward). */
#define luc_class_with(m, slot)                                         \
    __extension__({                                                     \
        const lucid_module_class *luc_cls_ = (m)->cls;                  \
        while (luc_cls_ && !luc_cls_->slot) luc_cls_ = luc_cls_->super; \
        luc_cls_;                                                       \
    })
int64_t luc_module_version(const lucid_module *m);

/* ---- traversal ------------------------------------------------------------------------------- */

/* Visits the module and all below it, each before its children; path is "" for the module itself.
 * once: a module that is reached twice is visited once. Ends, with false, when visit returns
 * false. */
typedef bool (*luc_visit)(lucid_module *m, const char *path, void *user);
bool luc_module_walk(lucid_module *m, bool once, luc_visit visit, void *user);
/* The same, but each module comes after its children, and once for every path that leads to it. */
bool luc_module_walk_children_first(lucid_module *m, luc_visit visit, void *user);

/* Collects parameters (and buffers), each once, in order, and sets n. The caller releases the array
 * with luc_free. NULL on an error. */
lucid_tensor **luc_module_tensors(lucid_module *m, bool parameters, bool buffers, size_t *n);

/* Adds to text at most three names of that kind below m that `path` may have been meant for: ";
 * near: "0.weight"". Adds nothing if none is similar. Returns false when memory is out. */
bool luc_near_names(lucid_module *m, const char *path, luc_entry_kind kind, luc_string *text);

/* A set of addresses. */
typedef struct luc_set {
    const void **slots;
    size_t count, capacity;
} luc_set;
/* Returns 1 if it was added, 0 if it was there already, -1 when memory is out. */
int luc_set_add(luc_set *set, const void *p);
void luc_set_free(luc_set *set);

/* Writes a number as Python prints it: "1e-05", "0.1", "1.0". */
luc_text luc_float_text(double value);

#endif

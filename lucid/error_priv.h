/* error_priv.h: the birthplace of errors, for the library's own files. */
#ifndef LUCID_ERROR_PRIV_H
#define LUCID_ERROR_PRIV_H

#include "lucid/error.h"

/* The only place where an error is born. Returns false. */
bool luc_raise(lucid_code code, const char *op, const char *fmt, ...) LUCID_PRINTF(3, 4);
/* How often this thread has raised, first errors and later ones: tells whether a call raised. */
uint64_t luc_raise_count(void);
/* For `return luc_raise_null(...)` in functions that return a pointer. */
#define luc_raise_null(...) (luc_raise(__VA_ARGS__), NULL)

/* What the program has called, where a function is made of others: an error that one of those
 * raises in this thread is named for it. NULL elsewhere. */
extern _Thread_local const char *luc_called __attribute__((tls_model("initial-exec")));
static inline void luc_called_end(const char **before)
{
    luc_called = *before;
}
/* Until the end of the block errors are named so; of several that are open, the outermost
 * counts. */
#define LUC_CALLED_AS(name)                                                               \
    __attribute__((cleanup(luc_called_end))) const char *luc_called_before_ = luc_called; \
    if (!luc_called) luc_called = (name)

/* The module whose forward runs in this thread: a frame on the C stack of lucid_forward. When an
 * error is born, `path` writes the innermost module's path ("net.features.0") for the message. */
typedef struct luc_module_frame {
    const void *module;
    void (*path)(const struct luc_module_frame *frame, char *text, size_t size);
    struct luc_module_frame *parent;
} luc_module_frame;
void luc_module_frame_push(luc_module_frame *frame);
void luc_module_frame_pop(luc_module_frame *frame);
/* Does a module's forward run in this thread? */
bool luc_is_in_module(void);
/* The path of the module whose forward runs in this thread; "" outside of any. */
void luc_module_path(char *text, size_t size);

#endif

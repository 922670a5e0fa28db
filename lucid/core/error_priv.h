/* error_priv.h: the birthplace of errors, for the library's own files. */
#ifndef LUCID_ERROR_PRIV_H
#define LUCID_ERROR_PRIV_H

#include "lucid/core/error.h"

/* The only place where an error is born. Returns false. */
bool luc_raise(lucid_code code, const char *op, const char *fmt, ...) LUCID_PRINTF(3, 4);
/* The number of errors that this thread has raised, including those that were not the first. It
 * tells whether a call raised one. */
uint64_t luc_raise_count(void);
/* For `return luc_raise_null(...)` in functions that return a pointer. */
#define luc_raise_null(...) (luc_raise(__VA_ARGS__), NULL)

/* The function that the program has called, if it calls other functions of the library: an error
 * that one of those raises in this thread has its name. NULL otherwise. */
extern _Thread_local const char *luc_called __attribute__((tls_model("initial-exec")));
static inline void luc_called_end(const char **before)
{
    luc_called = *before;
}
/* Until the end of the block errors have this name. If several such blocks are open, the outermost
 * one counts. */
#define LUC_CALLED_AS(name)                                                                       \
    __attribute__((cleanup(luc_called_end), unused)) const char *luc_called_before_ = luc_called; \
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
/* Whether a module's forward runs in this thread. */
bool luc_is_in_module(void);
/* The path of the module whose forward runs in this thread; "" outside of any. */
void luc_module_path(char *text, size_t size);

#endif

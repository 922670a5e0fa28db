/* error.h: how lucid reports what went wrong.
 *
 * Every error is born in one place, is never silent, and names the operation, the argument, what
 * was expected and what came. The first error of a thread wins: later ones do not replace it until
 * it is cleared.
 *
 * By default an error prints its message to stderr and ends the program: abort() on misuse (a bug
 * in the program), exit(1) on a fault of the environment (file, memory, device). A program that
 * embeds lucid calls lucid_set_error_mode(LUCID_ERRORS_RETURN): then the failing function returns
 * NULL, false or NAN, a NULL tensor or module given to any function propagates without replacing
 * the first error, loops over a loader end, lucid_step and lucid_save refuse, and lucid_error()
 * tells what happened. */
#ifndef LUCID_ERROR_H
#define LUCID_ERROR_H

#include "api.h"

LUCID_BEGIN_DECLS

typedef enum lucid_code {
    LUCID_OK = 0,
    LUCID_ERR_ARGUMENT,    /* misuse: a value, shape, dtype, name or NULL that is refused */
    LUCID_ERR_STATE,       /* misuse: right arguments at the wrong time (freed graph, version) */
    LUCID_ERR_UNSUPPORTED, /* misuse: no kernel for this dtype or device */
    LUCID_ERR_MEMORY,      /* environment: an allocation failed */
    LUCID_ERR_IO,          /* environment: a file cannot be read or written */
    LUCID_ERR_FORMAT,      /* environment: a file holds something else than it should */
    LUCID_ERR_DEVICE,      /* environment: a device is missing or failed */
    LUCID_ERR_INTERNAL     /* a bug in lucid itself */
} lucid_code;

typedef enum lucid_error_mode {
    LUCID_ERRORS_STOP,  /* print the message and end the program (default) */
    LUCID_ERRORS_RETURN /* return NULL, false or NAN and keep the first error of the thread */
} lucid_error_mode;

/* Sets what happens on an error, for all threads. Thread-safe. Default: LUCID_ERRORS_STOP. */
LUCID_API lucid_error_mode lucid_set_error_mode(lucid_error_mode mode);
LUCID_API lucid_error_mode lucid_get_error_mode(void);

/* Called with every first error of a thread, in both modes, in the thread where it happened,
 * before the mode's own action. The message is valid during the call only. NULL removes it.
 *
 * A handler may end the program; else it must return. It must not leave by longjmp or by a C++
 * exception: it is called in the middle of a function of the library, which may hold locks, and the
 * thread's scopes, gradient mode and module path would stay as they are there. A program that
 * reports errors by longjmp sets LUCID_ERRORS_RETURN and jumps from its own code, when the function
 * that failed has returned (docs/errors.md). */
typedef void (*lucid_error_handler)(lucid_code code, const char *message, void *user);
LUCID_API void lucid_set_error_handler(lucid_error_handler handler, void *user);

/* The pending error's message of this thread ("" when there is none). Valid until the thread's next
 * lucid_clear_error. */
LUCID_API const char *lucid_error(void);
/* The pending error's code (LUCID_OK when there is none). */
LUCID_API lucid_code lucid_error_code(void);
/* Forgets the pending error of this thread. */
LUCID_API void lucid_clear_error(void);
/* A code's name: "argument", "memory", ... Never NULL. */
LUCID_API const char *lucid_code_name(lucid_code code);

/* Raises an error from a user's own op or module, in the same way as the library. `op` names what
 * failed ("my_op"); the message reads "<op>: <formatted text>[; module <path>]".
 * Returns false, so that `return lucid_raise(...)` reads well in a bool function. */
LUCID_API bool lucid_raise(lucid_code code, const char *op, const char *fmt, ...)
    LUCID_PRINTF(3, 4);

LUCID_END_DECLS
#endif

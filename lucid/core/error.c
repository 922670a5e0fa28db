/* error.c: the birthplace of errors. */
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/lock_priv.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_SIZE = 1024 };

/* The message has memory of its own, from the thread's first error on: a library that is loaded
 * late (dlopen) gets little thread-local memory. */
static _Thread_local struct {
    lucid_code code;
    char *message; /* MESSAGE_SIZE bytes, or NULL */
} pending;
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local uint64_t raised; /* errors so far, also those that were not the first */
static _Thread_local luc_module_frame *module_frame;
_Thread_local const char *luc_called __attribute__((tls_model("initial-exec")));

static atomic_int error_mode = LUCID_ERRORS_STOP;
static lucid_error_handler handler;
static void *handler_user;

static const char *const code_names[] = {
    [LUCID_OK] = "ok",
    [LUCID_ERR_ARGUMENT] = "argument",
    [LUCID_ERR_STATE] = "state",
    [LUCID_ERR_UNSUPPORTED] = "unsupported",
    [LUCID_ERR_MEMORY] = "memory",
    [LUCID_ERR_IO] = "io",
    [LUCID_ERR_FORMAT] = "format",
    [LUCID_ERR_DEVICE] = "device",
    [LUCID_ERR_INTERNAL] = "internal",
};

const char *lucid_code_name(lucid_code code)
{
    if ((unsigned)code >= sizeof code_names / sizeof *code_names) return "unknown";
    return code_names[code];
}

lucid_error_mode lucid_set_error_mode(lucid_error_mode mode)
{
    return (lucid_error_mode)atomic_exchange(&error_mode, mode);
}

lucid_error_mode lucid_get_error_mode(void)
{
    return (lucid_error_mode)atomic_load(&error_mode);
}

void lucid_set_error_handler(lucid_error_handler fn, void *user)
{
    luc_lock(LUC_LOCK_HANDLER);
    handler = fn;
    handler_user = user;
    luc_unlock(LUC_LOCK_HANDLER);
}

static void free_message(void *message)
{
    pending.message = NULL;
    free(message);
}

static void make_key(void)
{
    pthread_key_create(&thread_end, free_message);
}

/* The thread's memory for a message; NULL when memory is out. */
static char *message_place(void)
{
    if (pending.message) return pending.message;
    pthread_once(&once, make_key);
    pending.message = malloc(MESSAGE_SIZE);
    pthread_setspecific(thread_end, pending.message);
    return pending.message;
}

const char *lucid_error(void)
{
    if (pending.code == LUCID_OK) return "";
    return pending.message ? pending.message : "lucid: out of memory, also for this message";
}

lucid_code lucid_error_code(void)
{
    return pending.code;
}

void lucid_clear_error(void)
{
    pending.code = LUCID_OK;
    luc_called = NULL; /* it is still set if a handler ended by longjmp */
}

uint64_t luc_raise_count(void)
{
    return raised;
}

void luc_module_frame_push(luc_module_frame *frame)
{
    frame->parent = module_frame;
    module_frame = frame;
}

void luc_module_frame_pop(luc_module_frame *frame)
{
    module_frame = frame->parent;
}

bool luc_is_in_module(void)
{
    return module_frame != NULL;
}

void luc_module_path(char *text, size_t size)
{
    text[0] = '\0';
    if (module_frame) module_frame->path(module_frame, text, size);
}

static void write_message(const char *op, const char *fmt, va_list args)
{
    char *text = message_place();
    if (!text) return;
    int n = snprintf(text, MESSAGE_SIZE, "%s: ", op);
    if (n < 0) n = 0;
    if (n < MESSAGE_SIZE) {
        int m = luc_vsnprintf(text + n, MESSAGE_SIZE - (size_t)n, fmt, args);
        n += m > 0 ? m : 0;
    }
    if (module_frame && n < MESSAGE_SIZE) {
        char path[256] = "";
        module_frame->path(module_frame, path, sizeof path);
        snprintf(text + n, MESSAGE_SIZE - (size_t)n, "; module %s", path);
    }
}

/* Misuse is a bug in the program: abort leaves a core to look into. All other errors come from the
 * environment. */
static bool is_misuse(lucid_code code)
{
    return code == LUCID_ERR_ARGUMENT || code == LUCID_ERR_STATE || code == LUCID_ERR_UNSUPPORTED ||
           code == LUCID_ERR_INTERNAL;
}

static void stop(void)
{
    fflush(stdout);
    fprintf(stderr, "lucid: %s error: %s\n", lucid_code_name(pending.code), lucid_error());
    if (is_misuse(pending.code)) abort();
    exit(1);
}

static bool raise_va(lucid_code code, const char *op, const char *fmt, va_list args)
{
    raised++;
    if (pending.code == LUCID_OK) { /* the first error wins */
        pending.code = code;
        write_message(op, fmt, args);
        luc_lock(LUC_LOCK_HANDLER);
        lucid_error_handler fn = handler;
        void *user = handler_user;
        luc_unlock(LUC_LOCK_HANDLER);
        if (fn) fn(code, lucid_error(), user);
    }
    /* The pending error may be older than the mode, and was not shown then. */
    if (lucid_get_error_mode() == LUCID_ERRORS_STOP) stop();
    return false;
}

bool luc_raise(lucid_code code, const char *op, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    raise_va(code, luc_called ? luc_called : op, fmt, args);
    va_end(args);
    return false;
}

bool lucid_raise(lucid_code code, const char *op, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    raise_va(code == LUCID_OK ? LUCID_ERR_INTERNAL : code, op ? op : "lucid",
             fmt ? fmt : "an error without a message", args);
    va_end(args);
    return false;
}

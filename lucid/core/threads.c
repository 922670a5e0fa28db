/* threads.c: starting the library's own threads, and the calling thread's floating-point mode. */
#include "lucid/core/threads_priv.h"
#include "lucid/core/device.h"

enum { LEAST_STACK = 1 << 20 };

void luc_signals_block(sigset_t *before)
{
    static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t mask;
    sigfillset(&mask);
    for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++)
        sigdelset(&mask, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &mask, before);
}

int luc_thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument)
{
    sigset_t before;
    /* The system's default may be as small as `ulimit -s` says. */
    pthread_attr_t attr;
    size_t stack = 0;
    int failed = pthread_attr_init(&attr);
    if (failed) return failed;
    if (pthread_attr_getstacksize(&attr, &stack) == 0 && stack < LEAST_STACK)
        pthread_attr_setstacksize(&attr, LEAST_STACK);
    /* A new thread inherits the mask of the one that makes it. */
    luc_signals_block(&before);
    failed = pthread_create(thread, &attr, main, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (!failed) pthread_setname_np(*thread, name);
    return failed;
}

bool lucid_set_flush_denormal(bool enabled)
{
#if defined(LUC_FP_FLUSH)
    const bool before = lucid_get_flush_denormal();
    const luc_fp_mode rest = luc_fp_mode_get() & ~(luc_fp_mode)LUC_FP_FLUSH;
    luc_fp_mode_set(enabled ? rest | LUC_FP_FLUSH : rest);
    return before;
#else
    (void)enabled;
    return false;
#endif
}

bool lucid_get_flush_denormal(void)
{
#if defined(LUC_FP_FLUSH)
    return (luc_fp_mode_get() & LUC_FP_FLUSH) == LUC_FP_FLUSH;
#else
    return false;
#endif
}

/* threads_priv.h: what every thread that lucid makes has in common, and the floating-point mode
 * that work takes with it from thread to thread. */
#ifndef LUCID_THREADS_PRIV_H
#define LUCID_THREADS_PRIV_H

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* Blocks, in this thread and in threads that it makes until pthread_sigmask sets *before again,
 * the signals that luc_thread_start speaks of. */
void luc_signals_block(sigset_t *before);

/* Starts a thread that leaves the program's signals alone: it blocks every one that is sent to the
 * process (Ctrl-C, SIGTERM, SIGALRM ...), which go to one of the program's threads. Not blocked
 * are the faults that a thread can only cause itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
 * SIGSYS), so that a program's crash handler still hears of them. `name`, at most 15 characters, is
 * what debuggers and `top -H` show. Returns 0 or an errno. */
int luc_thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument);

/* How a thread's arithmetic rounds, whether it flushes subnormal numbers to zero, and which
 * exceptions it traps. Sticky flags are no part of it. */
typedef uint64_t luc_fp_mode;

#if defined(__SSE__)
/* Of the MXCSR register. */
#define LUC_FP_FLAGS 0x3fu   /* the sticky flags */
#define LUC_FP_FLUSH 0x8040u /* flush results to zero, take operands for zero */
#elif defined(__aarch64__)
/* Of the FPCR register, which holds no flags. */
#define LUC_FP_FLUSH ((uint64_t)1 << 24)
#endif

static inline luc_fp_mode luc_fp_mode_get(void)
{
#if defined(__SSE__)
    return _mm_getcsr() & ~LUC_FP_FLAGS;
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
#else
    return (luc_fp_mode)fegetround();
#endif
}

static inline void luc_fp_mode_set(luc_fp_mode mode)
{
#if defined(__SSE__)
    _mm_setcsr((unsigned)mode | (_mm_getcsr() & LUC_FP_FLAGS));
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    fesetround((int)mode);
#endif
}

#endif

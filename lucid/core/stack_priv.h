/* stack_priv.h: an error instead of a crash when a thread's stack is used up. */
#ifndef LUCID_STACK_PRIV_H
#define LUCID_STACK_PRIV_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that must be left where a kernel, or another level of nested modules, begins: the largest
 * buffers that kernels have on the stack (46 KB), what calls them, and the raising of an error.
 * tests/house/test_stack.sh looks for larger ones. Threads of 128 KB have enough. */
enum { LUC_STACK_RESERVE = 72 << 10 };

/* The address below which too little of this thread's stack is left. 0: not known yet; 1: it cannot
 * be known, and nothing is checked. */
extern _Thread_local uintptr_t luc_stack_floor
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Called if luc_stack_check is not sure: finds the floor, and raises the error. */
bool luc_stack_check_slowly(uintptr_t here, const char *op) __attribute__((cold));

/* An address near the stack's current end. __builtin_frame_address would cost a frame pointer, 15
 * ns a call. */
static inline uintptr_t luc_stack_pointer(void)
{
    uintptr_t here;
#if defined(__x86_64__)
    __asm__("mov %%rsp, %0" : "=r"(here));
#elif defined(__aarch64__)
    __asm__("mov %0, sp" : "=r"(here));
#else
    here = (uintptr_t)__builtin_frame_address(0);
#endif
    return here;
}

/* True while the calling thread has LUC_STACK_RESERVE bytes of stack left; else raises
 * LUCID_ERR_MEMORY. A stack that is not the thread's own, such as a coroutine's, passes. */
static inline bool luc_stack_check(const char *op)
{
    const uintptr_t here = luc_stack_pointer(), floor = luc_stack_floor;
    if (__builtin_expect(here > floor && floor != 0, 1)) return true;
    return luc_stack_check_slowly(here, op);
}

#endif

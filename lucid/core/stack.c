/* stack.c: where the stack of the calling thread ends. */
#include "lucid/core/stack_priv.h"
#include "lucid/core/error_priv.h"

#include <pthread.h>
#include <stddef.h>

_Thread_local uintptr_t luc_stack_floor;

/* The thread's own stack; false where the system does not tell. */
static bool find_stack(uintptr_t *low, uintptr_t *high)
{
    pthread_attr_t attr;
    void *base = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) return false;
    const bool ok = pthread_attr_getstack(&attr, &base, &size) == 0;
    pthread_attr_destroy(&attr);
    *low = (uintptr_t)base;
    *high = *low + size;
    return ok && size > 0;
}

bool luc_stack_check_slowly(uintptr_t here, const char *op)
{
    uintptr_t low, high;
    if (!find_stack(&low, &high)) {
        luc_stack_floor = 1;
        return true;
    }
    luc_stack_floor = low + LUC_STACK_RESERVE;
    if (here < low || here >= high || here > luc_stack_floor) return true;
    return luc_raise(
        LUCID_ERR_MEMORY, op,
        "the thread's stack of %zu KB is used up: expected at least %d KB left, got %zu "
        "KB (modules nested too deep, or a thread made with too small a stack)",
        (size_t)(high - low) >> 10, LUC_STACK_RESERVE >> 10, (size_t)(here - low) >> 10);
}

/* backend_priv.h: finding a backend and calling its kernels, for the library's own files. */
#ifndef LUCID_BACKEND_PRIV_H
#define LUCID_BACKEND_PRIV_H

#include "lucid/core/backend.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/stack_priv.h"

#include <stdatomic.h>

/* The CPU's backend, which backends/cpu fills when it is first asked for. */
const lucid_backend *luc_cpu_backend(void);

/* The backends that were asked for; NULL: not yet. */
extern _Atomic(const lucid_backend *) luc_backends[LUCID_DEVICE_TYPE_COUNT]
    __attribute__((visibility("hidden")));

/* lucid_backend_get for a device type that is one. Inline: every operation comes here. */
static inline const lucid_backend *luc_backend_of(lucid_device_type type)
{
    const lucid_backend *b = atomic_load_explicit(&luc_backends[type], memory_order_acquire);
    return __builtin_expect(b != NULL, true) ? b : lucid_backend_get(type);
}

/* Parts of luc_kernel_call that most calls do not need. */
bool luc_kernel_missing(lucid_device device, lucid_dtype dtype, const char *op); /* raises; false */
bool luc_kernel_plan_and_run(const lucid_backend *b, lucid_device device, lucid_kernel kernel,
                             const char *op, lucid_kernel_args *args);

/* Calls a kernel of backend b: every call goes through here. Raises where there is none for the
 * dtype. The caller sets args->op, in, out, attrs and keep; the rest is filled in. */
static inline bool luc_kernel_call(const lucid_backend *b, lucid_device device, lucid_kernel kernel,
                                   lucid_dtype dtype, const char *op, lucid_kernel_args *args)
{
    if (!kernel.run) return luc_kernel_missing(device, dtype, op);
    if (!luc_stack_check(op)) return false;
    args->stream = b->stream ? b->stream(device.index) : NULL;
    args->device = device.index;
    args->plan = NULL;
    args->workspace = NULL;
    return kernel.plan ? luc_kernel_plan_and_run(b, device, kernel, op, args) : kernel.run(args);
}

/* Raises that `size` bytes could not be had from a device, with the device's figures. `what` tells
 * what they were for (" of workspace"), or is "". Returns false. */
bool luc_raise_no_memory(lucid_device device, size_t size, const char *what, const char *op);

#endif

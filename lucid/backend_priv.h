/* backend_priv.h: finding a backend and calling its kernels, for the library's own files. */
#ifndef LUCID_BACKEND_PRIV_H
#define LUCID_BACKEND_PRIV_H

#include "lucid/backend.h"

/* The CPU's backend, which backends/cpu fills when it is first asked for. */
const lucid_backend *luc_cpu_backend(void);

/* Calls a kernel: every call goes through here. Raises where there is none for the dtype. The
 * caller sets args->op, in, out, attrs and keep; the rest is filled in. */
bool luc_kernel_call(lucid_device device, lucid_kernel kernel, lucid_dtype dtype, const char *op,
                     lucid_kernel_args *args);

/* Raises that `size` bytes could not be had from a device, with the device's figures. `what` tells
 * what they were for (" of workspace"), or is "". Returns false. */
bool luc_raise_no_memory(lucid_device device, size_t size, const char *what, const char *op);

#endif

/* backend_priv.h: finding a backend and calling its kernels, for the library's own files. */
#ifndef LUCID_BACKEND_PRIV_H
#define LUCID_BACKEND_PRIV_H

#include "lucid/backend.h"

/* The CPU's table, provided by backends/cpu. */
const lucid_backend *luc_cpu_backend(void);

/* Calls a kernel with stream and workspace filled in. args->op, in, out and attrs are the caller's. */
bool luc_kernel_call(const lucid_backend *b, lucid_device device, lucid_kernel kernel,
                     lucid_workspace_fn workspace, const char *op, lucid_kernel_args *args);

#endif

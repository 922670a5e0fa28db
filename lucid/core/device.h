/* device.h: where a tensor's numbers live. */
#ifndef LUCID_DEVICE_H
#define LUCID_DEVICE_H

#include "api.h"

LUCID_BEGIN_DECLS

typedef enum lucid_device_type { LUCID_CPU, LUCID_CUDA, LUCID_DEVICE_TYPE_COUNT } lucid_device_type;

typedef struct lucid_device {
    lucid_device_type type;
    int index; /* which GPU; 0 for the CPU */
} lucid_device;

LUCID_API lucid_device lucid_cpu(void);
LUCID_API lucid_device lucid_cuda(int index);
/* The first CUDA device if one can be used, else the CPU. Never raises. */
LUCID_API lucid_device lucid_best_device(void);
/* How many devices of the type can be used here. Never raises. */
LUCID_API int lucid_device_count(lucid_device_type type);
/* "cpu", "cuda:0". The pointer is to static storage. */
LUCID_API const char *lucid_device_name(lucid_device device);
/* Reads "cpu", "cuda" or "cuda:N". False (with an error raised) for anything else. */
LUCID_API bool lucid_device_parse(const char *text, lucid_device *device);
LUCID_API bool lucid_device_equal(lucid_device a, lucid_device b);
/* Waits until all work queued on the device has ended. The CPU has none queued. */
LUCID_API bool lucid_synchronize(lucid_device device);

/* Threads that CPU kernels use. Default: OMP_NUM_THREADS, else the cores this process may run on,
 * or fewer where a control group limits its CPU time (docker --cpus, Kubernetes, systemd's
 * CPUQuota). One line on stderr says so where OMP_NUM_THREADS is not a number from 1 to 256, and is
 * ignored. Results do not depend on it, to the last bit. n >= 1; more than 256 counts as 256.
 * Thread-safe: an operation that another thread has already begun keeps the number that it began
 * with. Returns the number before. */
LUCID_API int lucid_set_num_threads(int n);
LUCID_API int lucid_get_num_threads(void);
/* Whether the CPU's arithmetic takes subnormal numbers (below 1.2e-38 in float32) for 0, in the
 * calling thread and in the helpers while they work for it. Many CPUs compute with such numbers 50
 * to 300 times slower; a network whose weights or activations have shrunk that far loses nothing by
 * it. Off at first, and in each new thread as in the one that made it; float64 loses its subnormal
 * numbers (below 2.2e-308) too. It changes the thread's own mode, so it also holds for
 * the program's own arithmetic in this thread. A GPU computes as before. set returns the old value.
 * x86-64 and AArch64 can do it; on another CPU get still returns false. */
LUCID_API bool lucid_set_flush_denormal(bool enabled);
LUCID_API bool lucid_get_flush_denormal(void);
/* The kernels that run: "generic", "avx2", "avx512", "avx512_bf16" or "amx" on x86-64, "generic" or
 * "neon" on AArch64. They are the best that the CPU has, unless LUCID_CPU names a lower level. If
 * it names no level it is ignored, and one line on stderr says so. */
LUCID_API const char *lucid_cpu_level(void);

LUCID_END_DECLS
#endif

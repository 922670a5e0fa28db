/* device.h: where a tensor's numbers live. */
#ifndef LUCID_DEVICE_H
#define LUCID_DEVICE_H

#include "lucid/api.h"

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

/* Threads that CPU kernels use. Default: OMP_NUM_THREADS, else the cores this process may run on.
 * Results do not depend on it, to the last bit. n >= 1. Call it between operations only. */
LUCID_API void lucid_set_num_threads(int n);
LUCID_API int lucid_get_num_threads(void);
/* "ref", "avx2" or "avx512": the kernels that run, chosen by the CPU and capped by LUCID_CPU. */
LUCID_API const char *lucid_cpu_level(void);

LUCID_END_DECLS
#endif

/* backend.c: the CPU as a backend: host memory, plain copies, and the table of its kernels. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/settings.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <pthread.h>
#include <string.h>

static int device_count(void)
{
    return 1;
}

static void *host_alloc(int index, size_t bytes)
{
    (void)index;
    return luc_cache_alloc(bytes);
}

static void host_free(int index, void *data, size_t bytes)
{
    (void)index;
    luc_cache_free(data, bytes);
}

static bool host_copy(void *dst, lucid_device dst_device, const void *src, lucid_device src_device,
                      size_t bytes)
{
    if (dst_device.type != LUCID_CPU || src_device.type != LUCID_CPU)
        return luc_raise(LUCID_ERR_UNSUPPORTED, "copy",
                         "the cpu backend: expected both sides in host memory, got device types %d "
                         "and %d",
                         (int)dst_device.type, (int)src_device.type);
    if (bytes) memmove(dst, src, bytes);
    return true;
}

static bool host_synchronize(int index)
{
    (void)index;
    return true;
}

static lucid_memory_stats host_memory(int index)
{
    (void)index;
    return luc_cache_stats();
}

static void host_reset_peak(int index)
{
    (void)index;
    luc_cache_reset_peak();
}

static void host_set_cache_limit(int index, double peaks)
{
    (void)index;
    luc_cache_set_limit(peaks);
}

static void host_release_cache(int index)
{
    (void)index;
    luc_cache_release();
}

static lucid_backend cpu = {
    .name = "cpu",
    .type = LUCID_CPU,
    .device_count = device_count,
    .alloc = host_alloc,
    .free = host_free,
    .copy = host_copy,
    .synchronize = host_synchronize,
    .memory = host_memory,
    .memory_reset_peak = host_reset_peak,
    .memory_release_cache = host_release_cache,
    .memory_set_cache_limit = host_set_cache_limit,
    .call_begin = luc_settings_begin,
    .call_end = luc_settings_end,
};

static void register_families(void)
{
#define LUC_FAMILY(name) luc_cpu_register_##name(&cpu);
#include "backends/cpu/families.def"
#undef LUC_FAMILY
}

const lucid_backend *luc_cpu_backend(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_families);
    return &cpu;
}

int lucid_set_num_threads(int n)
{
    int old = luc_num_threads();
    if (n < 1)
        luc_raise(LUCID_ERR_ARGUMENT, "set_num_threads", "n: expected at least 1, got %d", n);
    else
        luc_set_num_threads(n);
    return old;
}

int lucid_get_num_threads(void)
{
    return luc_num_threads();
}

const char *lucid_cpu_level(void)
{
    return luc_cpu_level_name(luc_cpu_current());
}

/* backend.cu: the table, and the plug-in's one exported function. */
#include "backends/cuda/cuda_priv.h"
#include "lucid/plugin_version.h"

#include <atomic>
#include <stdarg.h>
#include <stdio.h>

namespace luc
{

#define LUC_FAMILY(name) void register_##name(lucid_backend *b);
#include "backends/cuda/families.def"
#undef LUC_FAMILY
void register_device(lucid_backend *b);
bool start_devices(char *reason, size_t size);

lucid_plugin_host host;

bool raise(lucid_code code, const char *op, const char *fmt, ...)
{
    char text[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    return host.raise(code, op, text);
}

/* The operations that this thread launched last, the newest first. */
enum { recent_launches = 4 };
static thread_local const char *launched[recent_launches];

void note_launch(const char *op)
{
    if (launched[0] == op) return;
    for (int i = recent_launches - 1; i > 0; i--) launched[i] = launched[i - 1];
    launched[0] = op;
}

/* A kernel broke off, and nothing more runs in this process. */
static bool is_fault(cudaError_t e)
{
    static const cudaError_t faults[] = {
        cudaErrorIllegalAddress,   cudaErrorMisalignedAddress,   cudaErrorInvalidAddressSpace,
        cudaErrorInvalidPc,        cudaErrorHardwareStackError,  cudaErrorIllegalInstruction,
        cudaErrorAssert,           cudaErrorLaunchTimeout,       cudaErrorLaunchFailure,
        cudaErrorECCUncorrectable, cudaErrorNvlinkUncorrectable,
    };
    for (cudaError_t f : faults)
        if (e == f) return true;
    return false;
}

bool ok(cudaError_t e, const char *op)
{
    if (e == cudaSuccess) return true;
    cudaGetLastError(); /* the fault is reported now */
    if (e == cudaErrorMemoryAllocation)
        return raise(LUCID_ERR_MEMORY, op, "out of memory on the device");
    if (!is_fault(e))
        return raise(LUCID_ERR_DEVICE, op, "the device failed: %s (%s)", cudaGetErrorString(e),
                     cudaGetErrorName(e));
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < recent_launches && launched[i] && used < sizeof list; i++)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", launched[i]);
    return raise(LUCID_ERR_DEVICE, op,
                 "a kernel failed on the device: %s (%s); launched last, newest first: %s "
                 "(LUCID_CUDA_SYNC=1 tells which it was)",
                 cudaGetErrorString(e), cudaGetErrorName(e), list);
}

const char *op_name(lucid_op_id op)
{
    static const char *const names[] = {
#define LUC_OP(name)     #name,
#define LUC_KERNEL(name) #name,
#include "lucid/core/ops.def"
    };
    return (unsigned)op < LUCID_OP_COUNT ? names[op] : "custom";
}

/* One bit for each switch: as the program has set it, and as the calling thread's call has fixed
 * it. */
static std::atomic<uint32_t> set_switches;
static const uint32_t is_fixed = 1u << 31;
static thread_local uint32_t fixed_switches;

static void set_switch(lucid_switch which, bool enabled)
{
    if (enabled)
        set_switches.fetch_or(1u << which);
    else
        set_switches.fetch_and(~(1u << which));
}

static uint64_t call_begin()
{
    const uint32_t before = fixed_switches;
    fixed_switches = set_switches.load() | is_fixed;
    return before;
}

static void call_end(uint64_t before)
{
    fixed_switches = (uint32_t)before;
}

switches_t switches()
{
    const uint32_t on = fixed_switches & is_fixed ? fixed_switches : set_switches.load();
    return {(on >> LUCID_SWITCH_TF32 & 1) != 0, (on >> LUCID_SWITCH_DETERMINISTIC & 1) != 0,
            (on >> LUCID_SWITCH_BENCHMARK & 1) != 0};
}

} // namespace luc

#define LUC_EXPORT extern "C" __attribute__((visibility("default")))

LUC_EXPORT const lucid_backend *lucid_cuda_backend(const lucid_plugin_host *host, char *reason,
                                                   size_t size)
{
    static lucid_backend table;
    if (host->version != LUCID_PLUGIN_VERSION) {
        snprintf(reason, size,
                 "the CUDA plug-in was built with another lucid: expected a library with plug-in "
                 "version %016llx, got %016llx; build both from the same sources",
                 (unsigned long long)LUCID_PLUGIN_VERSION, (unsigned long long)host->version);
        return nullptr;
    }
    luc::host = *host;
    if (!luc::start_devices(reason, size)) return nullptr;
    table.name = "cuda";
    table.type = LUCID_CUDA;
    table.set_switch = luc::set_switch;
    table.call_begin = luc::call_begin;
    table.call_end = luc::call_end;
    luc::register_device(&table);
#define LUC_FAMILY(name) luc::register_##name(&table);
#include "backends/cuda/families.def"
#undef LUC_FAMILY
    return &table;
}

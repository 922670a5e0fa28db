/* backend.cu: the table, and the plug-in's one exported function. */
#include "backends/cuda/cuda_priv.h"

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
switches_t switches;

bool raise(lucid_code code, const char *op, const char *fmt, ...)
{
    char text[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    return host.raise(code, op, text);
}

bool ok(cudaError_t e, const char *op)
{
    if (e == cudaSuccess) return true;
    cudaGetLastError(); /* it is reported now */
    return raise(e == cudaErrorMemoryAllocation ? LUCID_ERR_MEMORY : LUCID_ERR_DEVICE, op,
                 "the device failed: %s (%s)", cudaGetErrorString(e), cudaGetErrorName(e));
}

const char *op_name(lucid_op_id op)
{
    static const char *const names[] = {
#define LUC_OP(name)     #name,
#define LUC_KERNEL(name) #name,
#include "lucid/ops.def"
#undef LUC_OP
#undef LUC_KERNEL
    };
    return (unsigned)op < LUCID_OP_COUNT ? names[op] : "custom";
}

} // namespace luc

#define LUC_EXPORT extern "C" __attribute__((visibility("default")))

LUC_EXPORT const lucid_backend *lucid_cuda_backend(const lucid_plugin_host *host, char *reason,
                                                   size_t size)
{
    static lucid_backend table;
    if (host->version != LUCID_PLUGIN_VERSION || host->ops != LUCID_OP_COUNT) {
        snprintf(reason, size, "the CUDA plug-in was built for another version of lucid");
        return nullptr;
    }
    luc::host = *host;
    if (!luc::start_devices(reason, size)) return nullptr;
    table.name = "cuda";
    table.type = LUCID_CUDA;
    luc::register_device(&table);
#define LUC_FAMILY(name) luc::register_##name(&table);
#include "backends/cuda/families.def"
#undef LUC_FAMILY
    return &table;
}

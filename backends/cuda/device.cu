/* device.cu: devices, streams, copies between host and devices. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/fault.h"

#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace luc
{

static device_info devices[max_devices];
static int n_devices;
static std::once_flag started[max_devices];
static thread_local int current = -1;

int device_count()
{
    return n_devices;
}

bool start_devices(char *reason, size_t size)
{
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess || n == 0) {
        int driver = 0, runtime = 0;
        cudaGetLastError();
        cudaDriverGetVersion(&driver);
        cudaRuntimeGetVersion(&runtime);
        if (driver == 0)
            snprintf(reason, size, "there is no NVIDIA driver here (%s)", cudaGetErrorName(e));
        else if (e == cudaErrorInsufficientDriver)
            snprintf(reason, size,
                     "the NVIDIA driver is too old: it knows CUDA %d.%d, and %d.%d is needed",
                     driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
        else
            snprintf(reason, size, "there is no NVIDIA GPU here (%s)", cudaGetErrorName(e));
        return false;
    }
    n_devices = n < max_devices ? n : max_devices;
    return true;
}

/* Asks for a device's properties and makes its streams when the device is first used. */
static void start(int index)
{
    device_info *d = &devices[index];
    cudaDeviceProp p;
    cudaStream_t stream = nullptr, transfers = nullptr;
    void *faults = nullptr, *seen = nullptr;
    if (cudaGetDeviceProperties(&p, index) != cudaSuccess || cudaSetDevice(index) != cudaSuccess ||
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
        cudaStreamCreateWithFlags(&transfers, cudaStreamNonBlocking) != cudaSuccess ||
        cudaHostAlloc(&faults, sizeof(fault), cudaHostAllocPortable) != cudaSuccess ||
        cudaMalloc(&seen, sizeof(int)) != cudaSuccess ||
        cudaMemsetAsync(seen, 0, sizeof(int), stream) != cudaSuccess)
        return;
    memset(faults, 0, sizeof(fault));
    snprintf(d->name, sizeof d->name, "%.127s", p.name);
    d->sm = p.major * 10 + p.minor;
    d->multiprocessors = p.multiProcessorCount;
    d->l2_bytes = (size_t)p.l2CacheSize;
    d->shared_limit = p.sharedMemPerBlockOptin;
    d->transfers = transfers;
    d->fault = static_cast<fault *>(faults);
    d->fault_seen = static_cast<int *>(seen);
    d->stream = stream; /* comes last, because it says that the device is ready */
}

const device_info *use_device(int index, const char *op)
{
    int now = -1; /* another library in the process may choose devices too */
    if (index == current && cudaGetDevice(&now) == cudaSuccess && now == index)
        return &devices[index];
    if (index < 0 || index >= n_devices) {
        raise(LUCID_ERR_DEVICE, op, "device: expected an index below %d, got %d", n_devices, index);
        return nullptr;
    }
    current = -1;
    std::call_once(started[index], start, index);
    if (!devices[index].stream) {
        cudaError_t e = cudaGetLastError();
        raise(LUCID_ERR_DEVICE, op, "cuda:%d cannot be started: %s", index, cudaGetErrorString(e));
        return nullptr;
    }
    if (!ok(cudaSetDevice(index), op)) return nullptr;
    current = index;
    return &devices[index];
}

bool is_capturing(int index)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (!devices[index].stream) return false;
    return cudaStreamIsCapturing(devices[index].stream, &status) == cudaSuccess &&
           status != cudaStreamCaptureStatusNone;
}

/* Raises the fault that kernels have reported, once. The stream is idle, so no kernel is writing
 * it. */
static bool no_fault(const device_info *d)
{
    if (!d->fault->is_set) return true;
    fault f;
    memcpy(&f, d->fault, sizeof f);
    memset(d->fault, 0, sizeof f);
    if (!ok(cudaMemsetAsync(d->fault_seen, 0, sizeof(int), d->stream), op_name((lucid_op_id)f.op)))
        return false;
    const char *op = op_name((lucid_op_id)f.op);
    if (f.is_target)
        return raise(LUCID_ERR_ARGUMENT, op,
                     "target: expected classes in [0,%lld) or ignore_index %lld, got %lld (element "
                     "%lld); noticed when the device was waited for",
                     (long long)f.size, (long long)f.ignored, (long long)f.value,
                     (long long)f.position);
    return raise(LUCID_ERR_ARGUMENT, op,
                 "index: expected values in [0,%lld), got %lld at position %lld; noticed when the "
                 "device was waited for",
                 (long long)f.size, (long long)f.value, (long long)f.position);
}

bool wait_for(const device_info *d, const char *op)
{
    return ok(cudaStreamSynchronize(d->stream), op) && no_fault(d);
}

bool call::after_launch() const
{
    static const bool wait = [] {
        const char *s = getenv("LUCID_CUDA_SYNC");
        return s && *s && *s != '0';
    }();
    return !wait || is_capturing(args->device) || wait_for(device, op);
}

/* ---- copies --------------------------------------------------------------------------------- */

static bool no_wait_in_capture(int index, const char *op)
{
    if (!is_capturing(index)) return true;
    return raise(LUCID_ERR_STATE, op,
                 "a captured step cannot wait for the device (a copy to the host, item or print)");
}

static bool copy(void *dst, lucid_device to, const void *src, lucid_device from, size_t bytes)
{
    static const char op[] = "copy";
    if (bytes == 0) return true;
    const device_info *d = use_device(from.type == LUCID_CUDA ? from.index : to.index, op);
    if (!d) return false;
    if (from.type == LUCID_CUDA && to.type == LUCID_CUDA) {
        if (from.index == to.index)
            return ok(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, d->stream), op);
        /* The copy runs on the source's stream. Both sides wait, so that memory may be reused. */
        const device_info *other = use_device(to.index, op);
        return other && no_wait_in_capture(from.index, op) && no_wait_in_capture(to.index, op) &&
               wait_for(other, op) && use_device(from.index, op) &&
               ok(cudaMemcpyPeerAsync(dst, to.index, src, from.index, bytes, d->stream), op) &&
               wait_for(d, op);
    }
    if (from.type == LUCID_CUDA)
        return no_wait_in_capture(from.index, op) &&
               ok(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, d->stream), op) &&
               wait_for(d, op);
    if (!no_wait_in_capture(to.index, op)) return false;
    if (!ok(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, d->stream), op)) return false;
    if (note_copy(src, to.index, d->stream)) return true;
    /* Small pageable memory has been read when the call returns. Larger memory may not have been
     * read, if the GPU can read the host's pages itself. */
    return bytes <= 64 << 10 || ok(cudaStreamSynchronize(d->stream), op);
}

static bool synchronize(int index)
{
    const device_info *d = use_device(index, "synchronize");
    return d && no_wait_in_capture(index, "synchronize") &&
           ok(cudaStreamSynchronize(d->transfers), "synchronize") && wait_for(d, "synchronize");
}

static void *stream_of(int index)
{
    const device_info *d = use_device(index, "stream");
    return d ? d->stream : nullptr;
}

void register_device(lucid_backend *b)
{
    b->device_count = device_count;
    b->alloc = device_alloc;
    b->free = device_free;
    b->copy = copy;
    b->synchronize = synchronize;
    b->memory = device_memory;
    b->memory_reset_peak = device_memory_reset_peak;
    b->memory_release_cache = device_memory_release_cache;
    b->memory_set_cache_limit = device_memory_set_cache_limit;
    b->stream = stream_of;
}

} // namespace luc

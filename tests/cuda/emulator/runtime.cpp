/* runtime.cpp: devices, memory, streams, events and graphs of the emulated CUDA runtime.
 *
 * All streams share one queue, which is run in order when something waits. Device memory ends at a
 * page that faults, and lies where the host may not touch it while no queued work runs. */
#include "cuda_emulator.h"

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <sys/mman.h>
#include <vector>

void luc_emulate_grid(const char *name, dim3 grid, dim3 block, size_t shared,
                      const std::function<void()> &thread);

typedef std::function<void()> work;
struct luc_emulated_stream {
    int device;
    luc_emulated_graph *capturing;
};
struct luc_emulated_event {
    uint64_t ticket; /* of the queue, when it was recorded */
};
struct luc_emulated_graph {
    std::vector<work> steps;
};

namespace
{

constexpr size_t page = 4096;
/* Shared memory of a block: unasked, at most, and what is taken for its static arrays. */
constexpr size_t plain_shared = 48 << 10, most_shared = 227 << 10, static_shared = 1 << 10;
std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> guard;
std::deque<work> queue;
uint64_t queued, finished;
std::set<luc_emulated_stream *> capturing;
thread_local int current_device;
thread_local cudaError_t last_error;

struct block {
    char *map;
    size_t mapped, bytes;
    int device;
};
std::map<char *, block> device_blocks, host_blocks;
std::map<int, size_t> used;

cudaError_t fault; /* once a kernel has failed, everything does */

cudaError_t fail(cudaError_t e)
{
    if (e != cudaSuccess) last_error = e;
    return e;
}

size_t number(const char *name, size_t otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strtoull(s, nullptr, 10) : otherwise;
}

std::map<char *, block>::iterator find(std::map<char *, block> &blocks, const void *p)
{
    char *at = static_cast<char *>(const_cast<void *>(p));
    auto i = blocks.upper_bound(at);
    if (i == blocks.begin()) return blocks.end();
    --i;
    return at < i->first + (i->second.bytes ? i->second.bytes : 1) ? i : blocks.end();
}

void protect(bool open)
{
    for (auto &b : device_blocks)
        mprotect(b.second.map, b.second.mapped - page, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

/* Runs what was queued up to a ticket. Device memory can be touched meanwhile only. */
void run_until(uint64_t ticket)
{
    if (finished >= ticket) return;
    protect(true);
    while (finished < ticket && !queue.empty()) {
        work w = std::move(queue.front());
        queue.pop_front();
        w();
        finished++;
    }
    protect(false);
}

cudaError_t enqueue(cudaStream_t stream, work w)
{
    guard g(lock);
    if (stream && stream->capturing) {
        stream->capturing->steps.push_back(std::move(w));
        return cudaSuccess;
    }
    queue.push_back(std::move(w));
    queued++;
    if (queued - finished > 4096) run_until(queued);
    return cudaSuccess;
}

/* Waiting is refused while a stream is captured. */
cudaError_t wait_for(uint64_t ticket)
{
    if (!capturing.empty()) return fail(cudaErrorStreamCaptureUnsupported);
    run_until(ticket);
    return fault == cudaSuccess ? cudaSuccess : fail(fault);
}

/* A block that ends where its mapping's last page, which faults, begins. */
cudaError_t allocate(std::map<char *, block> &blocks, void **p, size_t bytes)
{
    size_t rounded = (bytes + 255) & ~(size_t)255; /* cudaMalloc aligns to 256 */
    size_t mapped = ((rounded + page - 1) & ~(page - 1)) + page;
    void *map = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
    block b = {static_cast<char *>(map), mapped, bytes, current_device};
    char *at = b.map + mapped - page - rounded;
    memset(at, 0xfb, rounded); /* NaN for floats */
    mprotect(b.map + mapped - page, page, PROT_NONE);
    blocks[at] = b;
    *p = at;
    return cudaSuccess;
}

cudaError_t release(std::map<char *, block> &blocks, void *p)
{
    auto i = blocks.find(static_cast<char *>(p));
    if (i == blocks.end()) return fail(cudaErrorInvalidValue);
    munmap(i->second.map, i->second.mapped);
    blocks.erase(i);
    return cudaSuccess;
}

} // namespace

/* ---- devices and errors ---------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)number("LUC_EMULATOR_DEVICES", 1);
    return *count ? cudaSuccess : fail(cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device)
{
    int n;
    if (cudaGetDeviceCount(&n) != cudaSuccess || device < 0 || device >= n)
        return fail(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "emulated device %d", device);
    p->totalGlobalMem = number("LUC_EMULATOR_MEMORY", (size_t)1 << 30);
    p->sharedMemPerBlock = plain_shared;
    p->sharedMemPerBlockOptin = most_shared;
    p->major = 9;
    p->multiProcessorCount = 4;
    p->l2CacheSize = 1 << 20;
    p->maxThreadsPerMultiProcessor = 2048;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void)
{
    guard g(lock);
    return wait_for(queued);
}
cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    guard g(lock);
    *total = number("LUC_EMULATOR_MEMORY", (size_t)1 << 30);
    *free = *total > used[current_device] ? *total - used[current_device] : 0;
    return cudaSuccess;
}
cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}
cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}
const char *cudaGetErrorName(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
        return "cudaErrorInvalidDevice";
    case cudaErrorIllegalAddress:
        return "cudaErrorIllegalAddress";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
        return "cudaErrorStreamCaptureUnsupported";
    default:
        return "cudaErrorUnknown";
    }
}
const char *cudaGetErrorString(cudaError_t e)
{
    return cudaGetErrorName(e);
}

/* ---- memory ---------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    guard g(lock);
    size_t free, total;
    cudaMemGetInfo(&free, &total);
    *p = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (bytes > free) return fail(cudaErrorMemoryAllocation);
    cudaError_t e = allocate(device_blocks, p, bytes);
    if (e != cudaSuccess) return e;
    used[current_device] += bytes;
    block &b = device_blocks[static_cast<char *>(*p)];
    mprotect(b.map, b.mapped, PROT_NONE);
    return cudaSuccess;
}
cudaError_t cudaFree(void *p)
{
    guard g(lock);
    if (!p) return cudaSuccess;
    run_until(queued);
    auto i = device_blocks.find(static_cast<char *>(p));
    if (i != device_blocks.end()) used[i->second.device] -= i->second.bytes;
    return release(device_blocks, p);
}
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    guard g(lock);
    return allocate(host_blocks, p, bytes ? bytes : 1);
}
cudaError_t cudaFreeHost(void *p)
{
    guard g(lock);
    if (!p) return cudaSuccess;
    run_until(queued);
    return release(host_blocks, p);
}

/* Pageable host memory is read at once, as CUDA's staging does; pinned memory when the copy's turn
 * comes. A copy to pageable memory waits. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    guard g(lock);
    bool from_device = find(device_blocks, src) != device_blocks.end();
    bool to_device = find(device_blocks, dst) != device_blocks.end();
    bool pinned = find(host_blocks, from_device ? dst : src) != host_blocks.end();
    if ((kind == cudaMemcpyHostToDevice && (from_device || !to_device)) ||
        (kind == cudaMemcpyDeviceToHost && (!from_device || to_device)) ||
        (kind == cudaMemcpyDeviceToDevice && (!from_device || !to_device)))
        return fail(cudaErrorInvalidValue);
    if (from_device || pinned) {
        cudaError_t e = enqueue(stream, [=] { memmove(dst, src, bytes); });
        if (to_device || pinned || e != cudaSuccess) return e;
        return wait_for(queued);
    }
    if (stream && stream->capturing) return fail(cudaErrorStreamCaptureUnsupported);
    std::string staged(static_cast<const char *>(src), bytes);
    return enqueue(stream, [=] { memcpy(dst, staged.data(), bytes); });
}
cudaError_t cudaMemcpyPeerAsync(void *dst, int, const void *src, int, size_t bytes,
                                cudaStream_t stream)
{
    return cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream)
{
    return enqueue(stream, [=] { memset(dst, value, bytes); });
}

/* ---- streams and events ---------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new luc_emulated_stream{current_device, nullptr};
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    guard g(lock);
    return wait_for(queued);
}
cudaError_t cudaStreamQuery(cudaStream_t)
{
    guard g(lock);
    return queued == finished ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned)
{
    return cudaSuccess; /* one queue, in order */
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new luc_emulated_event{0};
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    guard g(lock);
    if (!(stream && stream->capturing)) event->ticket = queued;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    guard g(lock);
    return wait_for(event->ticket);
}
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    guard g(lock);
    return finished >= event->ticket ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t, cudaEvent_t)
{
    *ms = 0;
    return cudaSuccess;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    guard g(lock);
    if (stream->capturing) return fail(cudaErrorIllegalState);
    stream->capturing = new luc_emulated_graph;
    capturing.insert(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    guard g(lock);
    *graph = stream->capturing;
    stream->capturing = nullptr;
    capturing.erase(stream);
    return *graph ? cudaSuccess : fail(cudaErrorIllegalState);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    *status = stream->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new luc_emulated_graph(*graph);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    for (const work &w : exec->steps) enqueue(stream, w);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

/* ---- launches -------------------------------------------------------------------------------- */

static std::map<const void *, size_t> shared_limits; /* that were asked for, with the static */

cudaError_t luc_emulate_limit(const void *kernel, int shared)
{
    guard g(lock);
    if (shared < 0 || (size_t)shared + static_shared > most_shared)
        return fail(cudaErrorInvalidValue);
    shared_limits[kernel] = (size_t)shared + static_shared;
    return cudaSuccess;
}

cudaError_t luc_emulate_launch(const char *name, const void *kernel, dim3 grid, dim3 block,
                               size_t shared, cudaStream_t stream, std::function<void()> thread)
{
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (!threads || threads > 1024 || block.z > 64 || !grid.x || !grid.y || !grid.z ||
        grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        return fail(cudaErrorInvalidConfiguration);
    {
        guard g(lock);
        auto i = shared_limits.find(kernel);
        size_t limit = i == shared_limits.end() ? (size_t)plain_shared : i->second;
        if (shared + static_shared > limit) return fail(cudaErrorInvalidValue);
    }
    const char *failing = getenv("LUC_EMULATOR_FAULT");
    if (failing && strcmp(failing, name) == 0)
        return enqueue(stream, [] { fault = cudaErrorIllegalAddress; });
    return enqueue(stream, [=] { luc_emulate_grid(name, grid, block, shared, thread); });
}

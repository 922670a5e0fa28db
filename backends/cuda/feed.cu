/* feed.cu: page-locked host memory, and copies from it that run while the device computes.
 *
 * Locking pages takes milliseconds, so blocks are kept. A block that is given back while a copy
 * from it is still queued is used again only after an event that follows the copy. */
#include "backends/cuda/cuda_priv.h"

#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace luc
{

namespace
{

struct locked_block {
    size_t size;
    int device; /* the device of the last copy; -1: no copy since the block was handed out */
    cudaStream_t stream;
    cudaEvent_t copied; /* NULL before the first copy; belongs to event_device */
    int event_device;
};

/* Never destroyed: other threads may still give blocks back while the process ends. */
std::mutex &lock = *new std::mutex;
auto &blocks = *new std::map<void *, locked_block>; /* all blocks */
auto &idle = *new std::multimap<size_t, void *>;    /* idle blocks by size */
auto &busy = *new std::vector<void *>;              /* given back, but a copy is still queued */

/* Blocks whose copies have ended become idle. */
void collect()
{
    for (size_t i = 0; i < busy.size();) {
        locked_block &b = blocks[busy[i]];
        if (cudaEventQuery(b.copied) == cudaErrorNotReady) {
            i++;
            continue;
        }
        idle.emplace(b.size, busy[i]);
        busy[i] = busy.back();
        busy.pop_back();
    }
    cudaGetLastError(); /* "not ready" is no error */
}

void *new_block(size_t size)
{
    void *p = nullptr;
    if (cudaHostAlloc(&p, size, cudaHostAllocPortable) != cudaSuccess) {
        cudaGetLastError();
        return nullptr;
    }
    blocks[p] = locked_block{size, -1, nullptr, nullptr, -1};
    return p;
}

/* Records the block's event after its last copy. An event belongs to a device, as a stream does. */
bool mark_copied(locked_block &b)
{
    if (b.copied && b.event_device != b.device) {
        cudaEventDestroy(b.copied);
        b.copied = nullptr;
    }
    b.event_device = b.device;
    if ((b.copied || cudaEventCreateWithFlags(&b.copied, cudaEventDisableTiming) == cudaSuccess) &&
        cudaEventRecord(b.copied, b.stream) == cudaSuccess)
        return true;
    cudaGetLastError();
    return false;
}

void *host_alloc(size_t bytes)
{
    if (host.should_fail() || !use_device(0, "host_alloc")) return nullptr;
    std::lock_guard<std::mutex> guard(lock);
    size_t size = 4096; /* powers of two make few classes, so blocks are often reused */
    while (size < bytes) size *= 2;
    try {
        collect();
        auto i = idle.find(size);
        if (i == idle.end()) return new_block(size);
        void *p = i->second;
        idle.erase(i);
        blocks[p].device = -1;
        return p;
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void host_free(void *p)
{
    if (!p) return;
    std::lock_guard<std::mutex> guard(lock);
    auto i = blocks.find(p);
    if (i == blocks.end()) return;
    locked_block &b = i->second;
    try {
        if (b.device >= 0)
            busy.push_back(p);
        else
            idle.emplace(b.size, p);
    } catch (const std::bad_alloc &) {
        /* There is no memory to remember the block. It is freed, which waits for the copy. */
        if (b.copied) cudaEventDestroy(b.copied);
        cudaFreeHost(p);
        blocks.erase(i);
    }
}

bool upload(int index, void *dst, const void *src, size_t bytes, void *after)
{
    static const char op[] = "upload";
    if (bytes == 0) return true;
    const device_info *d = use_device(index, op);
    if (!d) return false;
    if (is_capturing(index))
        return raise(LUCID_ERR_STATE, op, "a captured step cannot take batches from the host");
    static thread_local cudaEvent_t done[max_devices];
    if (!done[index] && !ok(cudaEventCreateWithFlags(&done[index], cudaEventDisableTiming), op))
        return false;
    if ((after && !ok(cudaStreamWaitEvent(d->transfers, static_cast<cudaEvent_t>(after), 0), op)) ||
        !ok(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, d->transfers), op))
        return false;
    note_copy(src, index, d->transfers);
    return ok(cudaEventRecord(done[index], d->transfers), op) &&
           ok(cudaStreamWaitEvent(d->stream, done[index], 0), op);
}

void *mark(int index, void *reuse)
{
    static const char op[] = "mark";
    const device_info *d = use_device(index, op);
    cudaEvent_t e = static_cast<cudaEvent_t>(reuse);
    if (!d) return nullptr;
    if (is_capturing(index)) {
        raise(LUCID_ERR_STATE, op, "a captured step cannot take batches from the host");
        return nullptr;
    }
    if (!e && !ok(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), op)) return nullptr;
    if (ok(cudaEventRecord(e, d->stream), op)) return e;
    if (!reuse) cudaEventDestroy(e);
    return nullptr;
}

void mark_free(void *m)
{
    if (m) cudaEventDestroy(static_cast<cudaEvent_t>(m));
}

} // namespace

bool note_copy(const void *src, int device, cudaStream_t stream)
{
    std::lock_guard<std::mutex> guard(lock);
    auto i = blocks.upper_bound(const_cast<void *>(src));
    if (i == blocks.begin()) return false;
    --i;
    locked_block &b = i->second;
    if (static_cast<const char *>(src) >= static_cast<const char *>(i->first) + b.size)
        return false;
    /* Only one stream is remembered, so an earlier copy on another stream must have ended. */
    if (b.device >= 0 && b.stream != stream) cudaStreamSynchronize(b.stream);
    b.device = device;
    b.stream = stream;
    if (mark_copied(b)) return true;
    cudaStreamSynchronize(stream);
    b.device = -1;
    return true;
}

void register_feed(lucid_backend *b)
{
    b->host_alloc = host_alloc;
    b->host_free = host_free;
    b->upload = upload;
    b->mark = mark;
    b->mark_free = mark_free;
}

} // namespace luc

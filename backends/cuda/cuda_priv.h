/* cuda_priv.h: what all files of the CUDA backend share: errors, devices, memory, launching.
 *
 * A kernel of the table is a host function of type lucid_run_fn. It makes a `luc::call` from its
 * arguments, and with it launches device code on the call's stream. Only these wait for the device:
 * copies to the host, lucid_synchronize, and the allocator when memory is out. */
#ifndef LUC_CUDA_PRIV_H
#define LUC_CUDA_PRIV_H

#include "backends/cuda/platform.h"

#include "lucid/core/attrs.h"
#include "lucid/core/backend.h"
#include "lucid/core/plugin.h"

namespace luc
{

/* ---- errors ---- */
extern lucid_plugin_host host;
bool raise(lucid_code code, const char *op, const char *fmt, ...) LUCID_PRINTF(3, 4);
/* True for cudaSuccess; otherwise raises an error that names the operation. A fault within a kernel
 * is noticed only when something later waits for it, so the message then lists what was launched
 * last. */
bool ok(cudaError_t e, const char *op);
void note_launch(const char *op);
const char *op_name(lucid_op_id op);

/* ---- devices (device.cu) ---- */
enum { max_devices = 16 };
struct device_info {
    char name[128];
    int sm, multiprocessors; /* sm: 90 for compute capability 9.0 */
    size_t l2_bytes, shared_limit;
    cudaStream_t stream;    /* the stream that all work runs on */
    cudaStream_t transfers; /* copies that overlap with it */
    struct fault *fault;    /* what kernels found wrong (fault.h) */
    int *fault_seen;        /* in device memory: whether they found anything */
};
int device_count();
/* Makes the device the current one of this thread and returns its description. NULL after an
 * error. */
const device_info *use_device(int index, const char *op);
/* Waits for everything on the device's stream. False after an error, which may be a fault of a
 * kernel. */
bool wait_for(const device_info *d, const char *op);
/* True while a graph is captured on the device. */
bool is_capturing(int index);

/* ---- switches, set by the library (see lucid_backend.set_switch) ---- */
struct switches_t {
    bool tf32;          /* float32 matrix products and convolutions may round to TF32 */
    bool deterministic; /* only algorithms that give the same bits in every run */
    bool benchmark;     /* measure convolution algorithms once for each shape */
};
/* The switches as the running call found them (see lucid_backend.call_begin); outside of a call, as
 * they are now. */
switches_t switches();

/* ---- copying (copy.cu): to = from, of the same sizes and dtype, on the device's stream ---- */
bool copy_view(int device, const lucid_view *to, const lucid_view *from);

/* ---- page-locked memory (feed.cu): a copy from src was queued on the current device's stream. If
 * src lies in a block, the block is used again only after the copy; else false ---- */
bool note_copy(const void *src, int device, cudaStream_t stream);

/* ---- memory (memory.cu): stream-ordered: a freed block may be reused at once ---- */
void *device_alloc(int index, size_t bytes);
void device_free(int index, void *p, size_t bytes);
lucid_memory_stats device_memory(int index);
void device_memory_reset_peak(int index);
void device_memory_release_cache(int index);
void device_memory_set_cache_limit(int index, double peaks);

/* ---- plans ---- */
/* Gives all kernels of an operation, which are in the table, the same plan. */
inline void set_plan(lucid_backend *b, lucid_op_id op, lucid_plan_fn plan)
{
    for (lucid_kernel &kernel : b->kernels[op])
        if (kernel.run) kernel.plan = plan;
}

/* A kernel's own struct, which its plan hands on to its run. */
template <class P> void hand_on(lucid_plan *plan, const P &own)
{
    static_assert(sizeof own <= LUCID_PLAN_OWN, "a plan has less room");
    memcpy(plan->own, &own, sizeof own);
}
template <class P> P handed_on(const lucid_kernel_args *args)
{
    P own;
    memcpy(static_cast<void *>(&own), args->plan->own, sizeof own);
    return own;
}

/* ---- launching ---- */
inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* One call of a kernel of the table. */
struct call {
    const lucid_kernel_args *args;
    const char *op;
    const device_info *device; /* NULL: the device failed, and the error is raised */
    cudaStream_t stream;

    explicit call(const lucid_kernel_args *a)
        : args(a), op(op_name(a->op)), device(use_device(a->device, op)),
          stream(device ? device->stream : nullptr)
    {
    }
    const lucid_view *in(int i) const
    {
        return i < args->n_in ? args->in[i] : nullptr;
    }
    const lucid_view *out(int i) const
    {
        return args->out[i];
    }
    template <class T> const T *attrs() const
    {
        return static_cast<const T *>(args->attrs);
    }
    template <class T> T *workspace() const
    {
        return static_cast<T *>(args->workspace);
    }
    bool unsupported(const char *what) const
    {
        return raise(LUCID_ERR_UNSUPPORTED, op, "%s", what);
    }

    /* Launches kernel<<<grid, block, shared>>>(given...) on the call's stream. False after an
     * error. An empty grid does nothing. */
    template <class... P, class... A>
    bool launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... given) const
    {
        if (!device) return false;
        if (grid.x == 0 || grid.y == 0 || grid.z == 0) return true;
        note_launch(op);
#ifdef LUC_CUDA_EMULATED
        cudaError_t e =
            luc_emulate_launch(op, reinterpret_cast<const void *>(kernel), grid, block, shared,
                               stream, [=] { kernel(static_cast<P>(given)...); });
        return ok(e, op) && after_launch();
#else
        kernel<<<grid, block, shared, stream>>>(static_cast<P>(given)...);
        return ok(cudaGetLastError(), op) && after_launch();
#endif
    }
    /* The number of blocks of `threads` that cover n elements, at most `waves` times what the
     * device holds at once; the kernel steps through the rest. */
    unsigned blocks_for(int64_t n, int threads, int waves = 8) const
    {
        int64_t need = ceil_div(n, threads);
        int64_t most = device ? (int64_t)device->multiprocessors * (2048 / threads) * waves : 1;
        return (unsigned)(need < most ? need : most);
    }

  private:
    bool after_launch() const; /* LUCID_CUDA_SYNC=1: waits, so that a fault names its operation */
};

/* The dynamic shared memory of a kernel as an array of T. */
#ifdef LUC_CUDA_EMULATED
#define LUC_SHARED_ARRAY(T, name) T *name = reinterpret_cast<T *>(luc_emulated_shared)
#else
#define LUC_SHARED_ARRAY(T, name)                                \
    extern __shared__ __align__(16) unsigned char luc_shared_[]; \
    T *name = reinterpret_cast<T *>(luc_shared_)
#endif

} // namespace luc

#endif

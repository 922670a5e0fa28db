/* cuda_emulator.h: CUDA C++ on the CPU, for testing kernels where there is no GPU.
 *
 * The plug-in's sources are compiled with an ordinary C++ compiler against this header instead of
 * <cuda_runtime.h>. A launch runs its blocks one after another; the threads of a block are fibers
 * that change at __syncthreads and at warp operations, so a missing barrier, a wrong index or a
 * read past the end shows here as it would there. What it does not show: speed, occupancy, memory
 * coalescing, weak memory ordering, and NVIDIA's libraries (cuBLASLt, cuDNN), which are left out.
 *
 * Streams are lazy: queued work runs when something waits for it, in the order in which it was
 * queued, so host memory that is given up too early is noticed.
 *
 *     LUC_EMULATOR_ORDER=forward|reverse|shuffle   the order in which the threads of a block run
 *     LUC_EMULATOR_DEVICES=N                       how many devices there are (1)
 *     LUC_EMULATOR_FAULT=OP                        the first kernel of that name fails when it runs
 *     LUC_EMULATOR_MEMORY=BYTES                    memory of a device (1 GiB) */
#ifndef LUC_CUDA_EMULATOR_H
#define LUC_CUDA_EMULATOR_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __constant__    static const
#define __shared__      static /* blocks run one after another */
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

/* ---- types ----------------------------------------------------------------------------------- */

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};
struct uint3 {
    unsigned x, y, z;
};

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNotReady = 600,
    cudaErrorECCUncorrectable = 214,
    cudaErrorNvlinkUncorrectable = 220,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchTimeout = 702,
    cudaErrorAssert = 710,
    cudaErrorHardwareStackError = 714,
    cudaErrorIllegalInstruction = 715,
    cudaErrorMisalignedAddress = 716,
    cudaErrorInvalidAddressSpace = 717,
    cudaErrorInvalidPc = 718,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorIllegalState = 401
};
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaEventDefault = 0 };
enum { cudaHostAllocDefault = 0, cudaHostAllocPortable = 1 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

typedef struct luc_emulated_stream *cudaStream_t;
typedef struct luc_emulated_event *cudaEvent_t;
typedef struct luc_emulated_graph *cudaGraph_t;
typedef struct luc_emulated_graph *cudaGraphExec_t;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, l2CacheSize, maxThreadsPerMultiProcessor;
};

/* ---- the runtime ----------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpyPeerAsync(void *dst, int dst_device, const void *src, int src_device,
                                size_t bytes, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorName(cudaError_t e);
const char *cudaGetErrorString(cudaError_t e);
cudaError_t luc_emulate_limit(const void *kernel, int shared);
template <class F> cudaError_t cudaFuncSetAttribute(F *kernel, cudaFuncAttribute, int value)
{
    return luc_emulate_limit(reinterpret_cast<const void *>(kernel), value);
}

/* Queues a launch. `shared` is the dynamic shared memory, in bytes: with the static, of which a
 * kernel is taken to have up to 1 KiB, it must stay within 48 KiB, or what was asked for. */
cudaError_t luc_emulate_launch(const char *name, const void *kernel, dim3 grid, dim3 block,
                               size_t shared, cudaStream_t stream, std::function<void()> thread);

/* ---- what a thread sees ---------------------------------------------------------------------- */

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };
extern char *luc_emulated_shared;

void luc_emulated_block_barrier(void);
void luc_emulated_warp_barrier(unsigned mask);
/* Every lane of mask gives 8 bytes and gets the table of all 32. */
const uint64_t *luc_emulated_warp_exchange(unsigned mask, uint64_t value);

inline void __syncthreads(void)
{
    luc_emulated_block_barrier();
}
inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    luc_emulated_warp_barrier(mask);
}
inline void __threadfence(void)
{
}
inline void __threadfence_block(void)
{
}
inline void __threadfence_system(void)
{
}
inline int __syncthreads_or(int p)
{
    static int any;
    __syncthreads();
    any = 0;
    __syncthreads();
    if (p) any = 1;
    __syncthreads();
    int r = any;
    __syncthreads();
    return r;
}

inline unsigned luc_emulated_lane(void)
{
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31u;
}
template <class T> T luc_emulated_from_lane(unsigned mask, T value, unsigned lane)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    const uint64_t *all = luc_emulated_warp_exchange(mask, bits);
    if (mask >> lane & 1) memcpy(&value, &all[lane], sizeof value);
    luc_emulated_warp_barrier(mask);
    return value;
}
template <class T> T __shfl_sync(unsigned mask, T v, int lane, int width = 32)
{
    unsigned me = luc_emulated_lane(), w = (unsigned)width;
    return luc_emulated_from_lane(mask, v, (me & ~(w - 1)) | ((unsigned)lane & (w - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32)
{
    unsigned me = luc_emulated_lane(), to = me ^ (unsigned)x, w = (unsigned)width;
    return luc_emulated_from_lane(mask, v, (to & ~(w - 1)) == (me & ~(w - 1)) ? to : me);
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32)
{
    unsigned me = luc_emulated_lane(), w = (unsigned)width;
    return luc_emulated_from_lane(mask, v, (me & (w - 1)) + d < w ? me + d : me);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32)
{
    unsigned me = luc_emulated_lane(), w = (unsigned)width;
    return luc_emulated_from_lane(mask, v, (me & (w - 1)) >= d ? me - d : me);
}
inline unsigned __ballot_sync(unsigned mask, int p)
{
    const uint64_t *all = luc_emulated_warp_exchange(mask, p != 0);
    unsigned bits = 0;
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1 && all[i]) bits |= 1u << i;
    luc_emulated_warp_barrier(mask);
    return bits;
}
inline int __any_sync(unsigned mask, int p)
{
    return __ballot_sync(mask, p) != 0;
}
inline int __all_sync(unsigned mask, int p)
{
    return __ballot_sync(mask, p) == mask;
}

/* mma.sync.m16n8k16 of 16-bit floats: c [16,8] += a [16,16] b [16,8] by a warp. Lane 4 g + t holds
 * pairs along k of a's rows g and g + 8 and of b's column g, and c's columns 2t and 2t + 1. */
template <class F>
void luc_emulated_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], F widen)
{
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const unsigned g = luc_emulated_lane() / 4, t = luc_emulated_lane() % 4;
    uint64_t all[3][32];
    for (int i = 0; i < 3; i++) {
        memcpy(
            all[i],
            luc_emulated_warp_exchange(0xffffffffu, mine[2 * i] | (uint64_t)mine[2 * i + 1] << 32),
            sizeof all[i]);
        luc_emulated_warp_barrier(0xffffffffu);
    }
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 16; k++) {
            const unsigned from = k % 8 / 2, row = i / 2, shift = k % 2 * 16;
            uint64_t x = all[k / 8][4 * g + from] >> (row * 32 + shift);
            uint64_t y = all[2][4 * (2 * t + i % 2) + from] >> (k / 8 * 32 + shift);
            c[i] += widen((uint16_t)x) * widen((uint16_t)y);
        }
}

template <class T> T luc_emulated_add(T *p, T v)
{
    T old = *p;
    *p = (T)(old + v);
    return old;
}
inline float atomicAdd(float *p, float v)
{
    return luc_emulated_add(p, v);
}
inline double atomicAdd(double *p, double v)
{
    return luc_emulated_add(p, v);
}
inline int atomicAdd(int *p, int v)
{
    return luc_emulated_add(p, v);
}
inline unsigned atomicAdd(unsigned *p, unsigned v)
{
    return luc_emulated_add(p, v);
}
inline unsigned long long atomicAdd(unsigned long long *p, unsigned long long v)
{
    return luc_emulated_add(p, v);
}
template <class T> T luc_emulated_cas(T *p, T expected, T v)
{
    T old = *p;
    if (old == expected) *p = v;
    return old;
}
inline int atomicCAS(int *p, int e, int v)
{
    return luc_emulated_cas(p, e, v);
}
inline unsigned atomicCAS(unsigned *p, unsigned e, unsigned v)
{
    return luc_emulated_cas(p, e, v);
}
inline unsigned short atomicCAS(unsigned short *p, unsigned short e, unsigned short v)
{
    return luc_emulated_cas(p, e, v);
}
inline unsigned long long atomicCAS(unsigned long long *p, unsigned long long e,
                                    unsigned long long v)
{
    return luc_emulated_cas(p, e, v);
}
template <class T> T luc_emulated_max(T *p, T v)
{
    T old = *p;
    if (v > old) *p = v;
    return old;
}
inline int atomicMax(int *p, int v)
{
    return luc_emulated_max(p, v);
}
inline unsigned atomicMax(unsigned *p, unsigned v)
{
    return luc_emulated_max(p, v);
}
inline unsigned long long atomicMax(unsigned long long *p, unsigned long long v)
{
    return luc_emulated_max(p, v);
}
inline int atomicExch(int *p, int v)
{
    int old = *p;
    *p = v;
    return old;
}
inline int atomicOr(int *p, int v)
{
    int old = *p;
    *p |= v;
    return old;
}
/* The counter that wraps to 0 after `limit`. */
inline unsigned atomicInc(unsigned *p, unsigned limit)
{
    unsigned old = *p;
    *p = old >= limit ? 0 : old + 1;
    return old;
}

inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline double rsqrt(double x)
{
    return 1.0 / sqrt(x);
}
inline float __expf(float x)
{
    return expf(x);
}
inline float __logf(float x)
{
    return logf(x);
}
inline float __frcp_rn(float x)
{
    return 1.0f / x;
}
inline float __fsqrt_rn(float x)
{
    return sqrtf(x);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fsub_rn(float a, float b)
{
    return a - b;
}
inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
inline double __dmul_rn(double a, double b)
{
    return a * b;
}
inline double __dadd_rn(double a, double b)
{
    return a + b;
}
inline double __fma_rn(double a, double b, double c)
{
    return fma(a, b, c);
}
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    __extension__ typedef unsigned __int128 wide;
    return (unsigned long long)((wide)a * b >> 64);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline unsigned __float_as_uint(float x)
{
    unsigned u;
    memcpy(&u, &x, 4);
    return u;
}
inline float __uint_as_float(unsigned u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}
template <class T> T __ldg(const T *p)
{
    return *p;
}
template <class T> T __ldcs(const T *p)
{
    return *p;
}
template <class T> void __stcs(T *p, T v)
{
    *p = v;
}

#endif

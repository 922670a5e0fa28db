/* platform.h: CUDA's runtime, or the emulator that runs kernels on the CPU for tests. */
#ifndef LUC_CUDA_PLATFORM_H
#define LUC_CUDA_PLATFORM_H

#ifdef LUC_CUDA_EMULATED
#include <cuda_emulator.h>
#else
#include <cuda_runtime.h>
#endif

#include <stddef.h>
#include <stdint.h>

/* Before a loop of constant length over registers, and before a loop that should stay a loop. */
#ifdef LUC_CUDA_EMULATED
#define LUC_UNROLL
#define LUC_ROLL
#else
#define LUC_UNROLL _Pragma("unroll")
#define LUC_ROLL   _Pragma("unroll 1")
#endif

#endif

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

#endif

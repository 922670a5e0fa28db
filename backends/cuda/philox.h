/* philox.h: Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011):
 * the same numbers as lucid_philox, on the device. */
#ifndef LUC_CUDA_PHILOX_H
#define LUC_CUDA_PHILOX_H

#include "backends/cuda/platform.h"
#include "lucid/core/attrs.h"

namespace luc
{

/* Where the numbers of a call begin. In a captured step two cells of the device say it. */
struct stream_of_numbers {
    uint64_t seed, offset;
    const uint64_t *live;

    explicit stream_of_numbers(const lucid_random_attrs *a)
        : seed(a->seed), offset(a->offset), live(a->live)
    {
    }
    __device__ uint64_t key() const
    {
        return live ? live[0] : seed;
    }
    __device__ uint64_t first() const
    {
        return live ? offset + live[1] : offset;
    }
};

/* The four numbers of a block. */
__device__ __forceinline__ void philox(uint64_t key, uint64_t block, uint32_t *out)
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = 0, c3 = 0;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    LUC_UNROLL
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

} // namespace luc

#endif

/* memory.h: pools of the device allocator that graph captures use. */
#ifndef LUC_CUDA_MEMORY_H
#define LUC_CUDA_MEMORY_H

#include "backends/cuda/cuda_priv.h"

namespace luc
{

/* From here on memory of the device comes from a new pool, whose number is returned. */
int begin_pool(int index);
/* From here on it comes from everyone's memory again; the pool's blocks stay the pool's. */
void leave_pool(int index);
/* Nobody uses the pool's addresses any more: its memory becomes everyone's. */
void end_pool(int index, int pool);

} // namespace luc

#endif

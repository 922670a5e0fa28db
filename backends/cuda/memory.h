/* memory.h: pools of the device allocator that graph captures use. */
#ifndef LUC_CUDA_MEMORY_H
#define LUC_CUDA_MEMORY_H

#include "backends/cuda/cuda_priv.h"

namespace luc
{

/* From here on, memory of the device comes from a new pool, whose number is returned. */
int begin_pool(int index);
/* From here on, it comes from the pool for all again. The new pool keeps its blocks. */
void leave_pool(int index);
/* Nothing uses the addresses of the pool any more: its memory goes to the pool for all. */
void end_pool(int index, int pool);

} // namespace luc

#endif

/* fault.h: how kernels report numbers that are wrong.
 *
 * An index can only be checked on the device that holds it. A kernel that meets a wrong index
 * reports it and goes on as if the element did not exist; nothing waits for that. The next call
 * that waits for the device anyway (a copy to the host, item, print, lucid_synchronize) raises the
 * first fault, with the name of the operation that met it. */
#ifndef LUC_CUDA_FAULT_H
#define LUC_CUDA_FAULT_H

#include "backends/cuda/cuda_priv.h"

namespace luc
{

/* There is one for each device, in host memory that kernels can write. Only the first fault pays
 * for the way to the host. */
struct fault {
    volatile int is_set; /* written last */
    int op;              /* lucid_op_id */
    bool is_target;      /* a class of a loss, not an index */
    int64_t value, position, size, ignored;
};

/* What a kernel needs in order to check values: they must be in [0, size), or `ignored`. */
struct checker {
    fault *at;
    int *seen; /* in the device's memory: whether a fault was reported already */
    int op;
    bool is_target;
    int64_t size, ignored;

    checker(const call &c, int64_t size_)
        : at(c.device ? c.device->fault : nullptr), seen(c.device ? c.device->fault_seen : nullptr),
          op(c.args->op), is_target(false), size(size_), ignored(0)
    {
    }
    /* False for a value outside, which is reported. */
    __device__ bool accepts(int64_t value, int64_t position) const
    {
        if (value >= 0 && value < size) return true;
        /* If all values are wrong, most threads see that one was reported, and only read. */
        if (*static_cast<volatile int *>(seen) == 0 && atomicCAS(seen, 0, 1) == 0) {
            at->op = op;
            at->is_target = is_target;
            at->value = value;
            at->position = position;
            at->size = size;
            at->ignored = ignored;
            __threadfence_system();
            at->is_set = 1;
        }
        return false;
    }
};

} // namespace luc

#endif

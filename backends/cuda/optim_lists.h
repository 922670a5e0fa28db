/* optim_lists.h: kernels over lists of tensors. Many tensors share a launch. What the kernel must
 * know of them is passed in its arguments (below 4 KB), and a block searches the list for its
 * tensor and its part of the tensor. Parts never extend over the end of a tensor, so the work of a
 * block depends neither on the list nor on the device. */
#ifndef LUC_CUDA_OPTIM_LISTS_H
#define LUC_CUDA_OPTIM_LISTS_H

#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum { list_threads = 256, list_packs = 4 };

/* The number of elements of a block. */
template <class T> struct list_part {
    enum { value = list_threads * list_packs * (16 / (int)sizeof(T)) };
};

/* E describes a tensor: `int64_t n` elements, and `uint32_t begin`, its first block. Other
 * describes the call. */
template <class E, class Other> struct tensor_list {
    enum { most = (int)((4080 - sizeof(Other)) / sizeof(E)) };
    Other call;
    int n;
    E entries[most];

    /* The tensor of a block. */
    __device__ int find(uint32_t block) const
    {
        int low = 0, high = n - 1;
        while (low < high) {
            int middle = (low + high + 1) / 2;
            if (entries[middle].begin <= block)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }
};

} // namespace luc

#endif

/* dnn_priv.h: between the files that use cuDNN's backend API: dnn.cu chooses and runs, dnn_graph.cu
 * describes. */
#ifndef LUC_CUDA_DNN_PRIV_H
#define LUC_CUDA_DNN_PRIV_H

#include "backends/cuda/vendor.h"

#include <cudnn.h>

namespace luc
{

#define DNN_FUNCTIONS(F)        \
    F(Create)                   \
    F(SetStream)                \
    F(BackendCreateDescriptor)  \
    F(BackendDestroyDescriptor) \
    F(BackendFinalize)          \
    F(BackendSetAttribute)      \
    F(BackendGetAttribute)      \
    F(BackendExecute)

struct dnn_library {
    bool usable;
#define DECLARE(name) decltype(&cudnn##name) name;
    DNN_FUNCTIONS(DECLARE)
#undef DECLARE
};
const dnn_library &dnn();

/* The plans for a shape, and the one that is used. */
struct conv_plans {
    bool measured;
    int n, best;
    struct candidate {
        cudnnBackendDescriptor_t plan;
        int64_t workspace;
        bool fused;    /* it also computes what follows the convolution */
        bool compiled; /* cuDNN compiled it when the plan was made */
    } candidates[8];
};

/* NULL if it cannot be made. */
inline cudnnBackendDescriptor_t make_descriptor(cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = nullptr;
    return dnn().BackendCreateDescriptor(type, &d) == CUDNN_STATUS_SUCCESS ? d : nullptr;
}
inline bool set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    return dnn().BackendSetAttribute(d, name, type, n, values) == CUDNN_STATUS_SUCCESS;
}
inline bool finalize(cudnnBackendDescriptor_t d)
{
    return dnn().BackendFinalize(d) == CUDNN_STATUS_SUCCESS;
}

/* The numbers by which an execution finds its tensors. */
enum {
    uid_x = 'x',
    uid_w = 'w',
    uid_y = 'y',
    uid_scale = 'a',
    uid_shift = 'b',
    uid_residual = 'r',
    uid_sum = 's' /* and the next three */
};

/* The graph of a convolution, with the operations that follow it if `fused`. NULL if it cannot be
 * described. */
cudnnBackendDescriptor_t conv_graph(const convolution &v, bool fused, cudnnHandle_t handle);

} // namespace luc

#endif

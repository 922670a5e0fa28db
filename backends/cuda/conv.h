/* conv.h: a convolution or one of its gradients as the own kernels see it: any strides. */
#ifndef LUC_CUDA_CONV_H
#define LUC_CUDA_CONV_H

#include "backends/cuda/vendor.h"

namespace luc
{

struct conv_job {
    convolution v; /* the sizes */
    /* in [N,C,H,W], [O,C/groups,kH,kW] and [N,O,OH,OW] */
    int64_t x_stride[4], w_stride[4], y_stride[4], bias_stride;
    convolution_data data;
};

/* As a matrix product: conv_windows.cu does forward and grad_input, conv_weights.cu grad_weight. */
template <class T> bool convolve_windows(const call &c, const conv_job &j, void *workspace);
template <class T> size_t windows_workspace(const conv_job &j, const device_info *device);
template <class T> bool convolve_weights(const call &c, const conv_job &j, void *workspace);
template <class T> size_t weights_workspace(const conv_job &j, const device_info *device);

/* conv_depthwise.cu: one channel a group, in channels_last memory. */
bool is_depthwise(const conv_job &j);
template <class T> bool convolve_depthwise(const call &c, const conv_job &j, void *workspace);
size_t depthwise_workspace(const conv_job &j, const device_info *device);

/* conv_direct.cu: one thread an output element, for groups of few channels. */
bool is_direct(const conv_job &j);
template <class T> bool convolve_directly(const call &c, const conv_job &j, void *workspace);
size_t direct_workspace(const conv_job &j, const device_info *device);

} // namespace luc

#endif

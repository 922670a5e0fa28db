/* conv.h: a convolution or one of its gradients as lucid's own kernels see it: any strides. */
#ifndef LUC_CUDA_CONV_H
#define LUC_CUDA_CONV_H

#include "backends/cuda/dtype.h"
#include "backends/cuda/vendor.h"

namespace luc
{

struct conv_job {
    convolution v; /* the sizes */
    /* in [N,C,H,W], [O,C/groups,kH,kW] and [N,O,OH,OW]; the residual's are those of y */
    int64_t x_stride[4], w_stride[4], y_stride[4], bias_stride;
    convolution_data data;
};

/* What is done to a sum before it is stored. */
template <class T> struct finish {
    const compute_t<T> *scale, *shift; /* both or neither */
    const T *bias, *residual;          /* or NULL */
    int64_t bias_stride;
    bool relu;

    explicit finish(const conv_job &j)
        : scale(j.v.has_scale ? static_cast<const compute_t<T> *>(j.data.scale) : nullptr),
          shift(j.v.has_scale ? static_cast<const compute_t<T> *>(j.data.shift) : nullptr),
          bias(j.v.has_shift && !j.v.has_scale ? static_cast<const T *>(j.data.shift) : nullptr),
          residual(j.v.has_residual ? static_cast<const T *>(j.data.residual) : nullptr),
          bias_stride(j.bias_stride), relu(j.v.relu)
    {
    }
    finish() = default;
    /* For a group that begins at this channel, whose first element lies there in y. */
    __device__ void begin(int64_t channel, int64_t at)
    {
        if (scale) scale += channel, shift += channel;
        if (bias) bias += channel * bias_stride;
        if (residual) residual += at;
    }
    /* `at`: where it lies in y. */
    __device__ T operator()(compute_t<T> sum, int64_t channel, int64_t at) const
    {
        if (scale) sum = sum * scale[channel] + shift[channel];
        if (bias) sum += widen(bias[channel * bias_stride]);
        if (residual) sum += widen(residual[at]);
        return narrow<T>(relu && sum < compute_t<T>(0) ? compute_t<T>(0) : sum);
    }
};

/* As matrix products: conv_windows.cu does forward and grad_input, conv_weights.cu grad_weight. */
template <class T> bool convolve_windows(const call &c, const conv_job &j, void *workspace);
template <class T> size_t windows_workspace(const conv_job &j, const device_info *device);
template <class T> bool convolve_weights(const call &c, const conv_job &j, void *workspace);
template <class T> size_t weights_workspace(const conv_job &j, const device_info *device);

/* conv_depthwise.cu: one channel in each group, in channels_last memory. */
bool is_depthwise(const conv_job &j);
template <class T> bool convolve_depthwise(const call &c, const conv_job &j, void *workspace);
size_t depthwise_workspace(const conv_job &j, const device_info *device);

/* conv_direct.cu: one thread for each output element, for groups of few channels. */
bool is_direct(const conv_job &j);
template <class T> bool convolve_directly(const call &c, const conv_job &j, void *workspace);
size_t direct_workspace(const conv_job &j, const device_info *device);

/* conv_finish.cu: y = finish(y) where the library has written the convolution alone. */
bool finish_convolution(const call &c, const convolution &v, const convolution_data &d);
/* Writes batch_norm with running statistics as y * scale + shift; the convolution's bias is part of
 * the shift. Of the views only the variance must be given. scale and shift are [O] of float, or of
 * double for double. */
struct running_norm {
    const lucid_view *bias, *weight, *shift, *mean, *var;
    double eps;
};
bool fold_norm(const call &c, const running_norm &n, lucid_dtype dtype, void *scale, void *shift);

} // namespace luc

#endif

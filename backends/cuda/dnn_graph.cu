/* dnn_graph.cu: a convolution as cuDNN's operation graph. */
#include "backends/cuda/dnn_priv.h"

namespace luc
{

static cudnnDataType_t data_type(lucid_dtype dtype)
{
    return dtype == LUCID_F16    ? CUDNN_DATA_HALF
           : dtype == LUCID_BF16 ? CUDNN_DATA_BFLOAT16
                                 : CUDNN_DATA_FLOAT;
}

/* [a,b,c,d] in channels_last memory. A virtual tensor is never written to memory: one operation
 * hands it to the next. */
static cudnnBackendDescriptor_t tensor(int64_t uid, cudnnDataType_t type, int64_t alignment,
                                       bool is_virtual, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const int64_t dims[4] = {a, b, c, d}, strides[4] = {b * c * d, 1, d * b, b};
    cudnnBackendDescriptor_t t = make_descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    if (t && set(t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type) &&
        set(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims) &&
        set(t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides) &&
        set(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid) &&
        set(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment) &&
        set(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual) && finalize(t))
        return t;
    if (t) dnn().BackendDestroyDescriptor(t);
    return nullptr;
}

static cudnnBackendDescriptor_t conv_parameters(const convolution &v)
{
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t dims = 2;
    cudnnBackendDescriptor_t d = make_descriptor(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    if (d && set(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute) &&
        set(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode) &&
        set(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims) &&
        set(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, v.dilation) &&
        set(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, v.stride) &&
        set(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, v.padding) &&
        set(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, v.padding) && finalize(d))
        return d;
    if (d) dnn().BackendDestroyDescriptor(d);
    return nullptr;
}

/* The attributes of the three passes' operations. */
struct pass_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, parameters, x, w, y;
};
static const pass_names passes[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
};

static cudnnBackendDescriptor_t conv_operation(const convolution &v,
                                               cudnnBackendDescriptor_t parameters,
                                               cudnnBackendDescriptor_t x,
                                               cudnnBackendDescriptor_t w,
                                               cudnnBackendDescriptor_t y)
{
    const pass_names &p = passes[v.pass];
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t d = make_descriptor(p.type);
    if (d && set(d, p.alpha, CUDNN_TYPE_FLOAT, 1, &one) &&
        set(d, p.beta, CUDNN_TYPE_FLOAT, 1, &zero) &&
        set(d, p.parameters, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parameters) &&
        set(d, p.x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x) &&
        set(d, p.w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w) &&
        set(d, p.y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y) && finalize(d))
        return d;
    if (d) dnn().BackendDestroyDescriptor(d);
    return nullptr;
}

/* y = x op b, in float32; without b, y = max(x, 0), and a NaN stays. b may be one number for each
 * channel. */
static cudnnBackendDescriptor_t pointwise(cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                                          cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y)
{
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
    cudnnBackendDescriptor_t how = make_descriptor(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    if (!how || !x || !y ||
        !set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode) ||
        !set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute) ||
        (mode == CUDNN_POINTWISE_RELU_FWD &&
         !set(how, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan)) ||
        !finalize(how))
        return nullptr;
    cudnnBackendDescriptor_t d = make_descriptor(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    if (d &&
        set(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
            &how) &&
        set(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x) &&
        (!b ||
         set(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &b)) &&
        set(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y) &&
        finalize(d))
        return d;
    return nullptr;
}

/* The operations that follow the convolution, in their order. */
struct step {
    cudnnPointwiseMode_t mode;
    int64_t operand;  /* its name; 0: none */
    bool wide, image; /* the operand is float32; it is an image like y */
};
static int steps_of(const convolution &v, step to[4])
{
    int n = 0;
    if (v.has_scale) to[n++] = {CUDNN_POINTWISE_MUL, uid_scale, true, false};
    if (v.has_shift) to[n++] = {CUDNN_POINTWISE_ADD, uid_shift, v.has_scale, false};
    if (v.has_residual) to[n++] = {CUDNN_POINTWISE_ADD, uid_residual, false, true};
    if (v.relu) to[n++] = {CUDNN_POINTWISE_RELU_FWD, 0, false, false};
    return n;
}

cudnnBackendDescriptor_t conv_graph(const convolution &v, bool fused, cudnnHandle_t handle)
{
    const cudnnDataType_t type = data_type(v.dtype);
    step steps[4];
    const int n = fused ? steps_of(v, steps) : 0;
    cudnnBackendDescriptor_t x = tensor(uid_x, type, v.alignment, false, v.n, v.c, v.h, v.w);
    cudnnBackendDescriptor_t w =
        tensor(uid_w, type, v.alignment, false, v.o, v.c / v.groups, v.kh, v.kw);
    cudnnBackendDescriptor_t y = tensor(uid_y, type, v.alignment, false, v.n, v.o, v.oh, v.ow);
    cudnnBackendDescriptor_t parameters = conv_parameters(v);
    if (!x || !w || !y || !parameters) return nullptr;

    cudnnBackendDescriptor_t operations[5], sum = y;
    for (int i = 0; i <= n; i++) {
        cudnnBackendDescriptor_t from = sum, b = nullptr;
        sum = i == n ? y : tensor(uid_sum + i, CUDNN_DATA_FLOAT, 16, true, v.n, v.o, v.oh, v.ow);
        if (!sum) return nullptr;
        if (i > 0 && steps[i - 1].operand) {
            const step &s = steps[i - 1];
            b = s.image ? tensor(s.operand, type, v.alignment, false, v.n, v.o, v.oh, v.ow)
                        : tensor(s.operand, s.wide ? CUDNN_DATA_FLOAT : type,
                                 s.wide ? 16 : v.alignment, false, 1, v.o, 1, 1);
            if (!b) return nullptr;
        }
        operations[i] = i == 0 ? conv_operation(v, parameters, x, w, sum)
                               : pointwise(steps[i - 1].mode, from, b, sum);
        if (!operations[i]) return nullptr;
    }
    cudnnBackendDescriptor_t graph = make_descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (graph && set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) &&
        set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n + 1,
            operations) &&
        finalize(graph))
        return graph;
    return nullptr;
}

} // namespace luc

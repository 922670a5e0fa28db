/* conv_finish.cu: the operators that follow a convolution, where the library did not compute them:
 * batch normalisation with running statistics as a scale and a shift, a residual and ReLU, in one
 * pass over y. */
#include "backends/cuda/conv.h"
#include "backends/cuda/view.h"

namespace luc
{

enum { finish_threads = 256 };

/* ---- y = finish(y) -------------------------------------------------------------------------- */

/* A thread takes `width` channels at once. The kernel is bound by memory: y is read and written
 * once, and the residual is read once; scales and shifts come from L1. */
template <class T, int width>
__global__ void __launch_bounds__(finish_threads)
    finish_rows(T *y, finish<T> then, uint32_t n, divider by_channels)
{
    typedef pack<T, width> vector;
    const uint32_t step = gridDim.x * finish_threads;
    for (uint32_t i = blockIdx.x * finish_threads + threadIdx.x; i < n; i += step) {
        const uint32_t c = (i - by_channels.quotient(i) * by_channels.d) * width;
        const int64_t at = (int64_t)i * width;
        vector v = reinterpret_cast<const vector *>(y)[i];
#pragma unroll
        for (int k = 0; k < width; k++) v.v[k] = then(widen(v.v[k]), c + k, at + k);
        reinterpret_cast<vector *>(y)[i] = v;
    }
}

template <class T, int width>
static bool finish_as(const call &c, const convolution &v, const conv_job &j)
{
    const int64_t n = v.n * v.o * v.oh * v.ow / width; /* fits 31 bits: else the library refuses */
    return c.launch(finish_rows<T, width>, c.blocks_for(n, finish_threads), finish_threads, 0,
                    static_cast<T *>(j.data.y), finish<T>(j), (uint32_t)n,
                    divider((uint32_t)(v.o / width)));
}

template <class T>
static bool finish_with(const call &c, const convolution &v, const convolution_data &d)
{
    constexpr int width = 16 / sizeof(T);
    conv_job j = {};
    j.v = v;
    j.data = d;
    j.bias_stride = 1;
    return v.o % width == 0 && is_aligned(d.y, 16) ? finish_as<T, width>(c, v, j)
                                                   : finish_as<T, 1>(c, v, j);
}

bool finish_convolution(const call &c, const convolution &v, const convolution_data &d)
{
    if (!v.has_scale && !v.has_shift && !v.has_residual && !v.relu) return true;
    switch (v.dtype) {
    case LUCID_F32:
        return finish_with<float>(c, v, d);
    case LUCID_F64:
        return finish_with<double>(c, v, d);
    case LUCID_F16:
        return finish_with<f16>(c, v, d);
    default:
        return finish_with<bf16>(c, v, d);
    }
}

/* ---- scale and shift ------------------------------------------------------------------------ */

struct vector_of_parameters {
    const void *data;
    int64_t stride;
    lucid_dtype dtype;

    vector_of_parameters(const lucid_view *v)
        : data(v ? v->data : nullptr), stride(v ? v->strides[0] : 0),
          dtype(v ? v->dtype : LUCID_F32)
    {
    }
    __device__ double at(int64_t i, double otherwise) const
    {
        if (!data) return otherwise;
        i *= stride;
        switch (dtype) {
        case LUCID_F32:
            return static_cast<const float *>(data)[i];
        case LUCID_F64:
            return static_cast<const double *>(data)[i];
        case LUCID_F16:
            return widen(static_cast<const f16 *>(data)[i]);
        default:
            return widen(static_cast<const bf16 *>(data)[i]);
        }
    }
};

/* This writes ((sum + bias) - mean) / sqrt(var + eps) * weight + shift as sum * scale + shift. Both
 * are computed in double and rounded once. */
template <class C>
__global__ void fold_channels(vector_of_parameters bias, vector_of_parameters weight,
                              vector_of_parameters shift, vector_of_parameters mean,
                              vector_of_parameters var, double eps, int64_t n, C *scales, C *shifts)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const double scale = weight.at(i, 1) / sqrt(var.at(i, 1) + eps);
        scales[i] = (C)scale;
        shifts[i] = (C)((bias.at(i, 0) - mean.at(i, 0)) * scale + shift.at(i, 0));
    }
}

bool fold_norm(const call &c, const running_norm &n, lucid_dtype dtype, void *scale, void *shift)
{
    const int64_t channels = n.var->dims[0];
    const unsigned blocks = c.blocks_for(channels, 64);
    const vector_of_parameters bias(n.bias), weight(n.weight), add(n.shift), mean(n.mean),
        var(n.var);
    if (dtype == LUCID_F64)
        return c.launch(fold_channels<double>, blocks, 64, 0, bias, weight, add, mean, var, n.eps,
                        channels, static_cast<double *>(scale), static_cast<double *>(shift));
    return c.launch(fold_channels<float>, blocks, 64, 0, bias, weight, add, mean, var, n.eps,
                    channels, static_cast<float *>(scale), static_cast<float *>(shift));
}

} // namespace luc

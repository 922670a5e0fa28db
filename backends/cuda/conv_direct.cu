/* conv_direct.cu: convolutions with few channels in a group (mostly depthwise ones), where tiles of
 * a matrix product would be nearly empty: a thread makes one element.
 *
 * They are bound by loads from L1: a thread reads each of its taps and weights once. Neighbouring
 * threads are neighbours along the dimension that is contiguous in memory. */
#include "backends/cuda/conv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

bool is_direct(const conv_job &j)
{
    const convolution &v = j.v;
    if (v.groups == 1 || v.c / v.groups * v.kh * v.kw > 65535) return false;
    return (v.pass == conv_grad_input ? v.c : v.o) / v.groups < 8;
}

/* ---- forward and grad_input ----------------------------------------------------------------- */

struct output_order {
    int64_t n; /* elements */
    bool channels_first, small;
    int64_t c, h, w;
    divider by_c, by_h, by_w;

    __device__ static int64_t split(int64_t *i, int64_t d, divider by, bool small)
    {
        int64_t q = small ? (int64_t)by.quotient((uint32_t)*i) : *i / d, r = *i - q * d;
        *i = q;
        return r;
    }
    /* Image, channel, row and column of element i. */
    __device__ void find(int64_t i, int64_t at[4]) const
    {
        if (!channels_first) at[1] = split(&i, c, by_c, small);
        at[3] = split(&i, w, by_w, small);
        at[2] = split(&i, h, by_h, small);
        if (channels_first) at[1] = split(&i, c, by_c, small);
        at[0] = i;
    }
};

static output_order order_of(int64_t n, int64_t c, int64_t h, int64_t w, const int64_t stride[4])
{
    output_order o;
    o.n = n * c * h * w;
    o.channels_first = stride[1] != 1;
    o.c = c, o.h = h, o.w = w;
    o.small = o.n < ((int64_t)1 << 31);
    if (o.small) {
        o.by_c = divider((uint32_t)c);
        o.by_h = divider((uint32_t)h);
        o.by_w = divider((uint32_t)w);
    }
    return o;
}

template <class T> __global__ void forward_elements(conv_job j, finish<T> then, output_order order)
{
    typedef compute_t<T> C;
    const convolution &v = j.v;
    const T *x = static_cast<const T *>(j.data.x), *w = static_cast<const T *>(j.data.w);
    T *y = static_cast<T *>(j.data.y);
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    int channels = (int)(v.c / v.groups), per_group = (int)(v.o / v.groups);
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < order.n; i += step) {
        int64_t at[4];
        order.find(i, at);
        int group = (int)at[1] / per_group;
        const T *image = x + at[0] * j.x_stride[0] + (int64_t)group * channels * j.x_stride[1];
        const T *kernel = w + at[1] * j.w_stride[0];
        C sum = 0;
        for (int r = 0; r < v.kh; r++) {
            int64_t row = at[2] * v.stride[0] - v.padding[0] + r * v.dilation[0];
            if (row < 0 || row >= v.h) continue;
            for (int s = 0; s < v.kw; s++) {
                int64_t column = at[3] * v.stride[1] - v.padding[1] + s * v.dilation[1];
                if (column < 0 || column >= v.w) continue;
                const T *from = image + row * j.x_stride[2] + column * j.x_stride[3];
                const T *weight = kernel + r * j.w_stride[2] + s * j.w_stride[3];
                for (int c = 0; c < channels; c++)
                    sum += widen(from[c * j.x_stride[1]]) * widen(weight[c * j.w_stride[1]]);
            }
        }
        int64_t to = at[0] * j.y_stride[0] + at[1] * j.y_stride[1] + at[2] * j.y_stride[2] +
                     at[3] * j.y_stride[3];
        y[to] = then(sum, at[1], to);
    }
}

/* The output's row that tap r reads from row i, or -1. */
__device__ inline int64_t row_from(int64_t i, int r, int64_t stride, int64_t padding,
                                   int64_t dilation, int64_t rows)
{
    int64_t at = i + padding - r * dilation;
    if (at < 0) return -1;
    if (stride != 1) {
        int q = (int)at / (int)stride;
        if (q * stride != at) return -1;
        at = q;
    }
    return at < rows ? at : -1;
}

template <class T> __global__ void grad_input_elements(conv_job j, output_order order)
{
    typedef compute_t<T> C;
    const convolution &v = j.v;
    const T *y = static_cast<const T *>(j.data.y), *w = static_cast<const T *>(j.data.w);
    T *x = static_cast<T *>(j.data.x);
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    int channels = (int)(v.c / v.groups), per_group = (int)(v.o / v.groups);
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < order.n; i += step) {
        int64_t at[4];
        order.find(i, at);
        int group = (int)at[1] / channels, channel = (int)at[1] - group * channels;
        int64_t first = (int64_t)group * per_group;
        const T *image = y + at[0] * j.y_stride[0] + first * j.y_stride[1];
        const T *kernel = w + first * j.w_stride[0] + channel * j.w_stride[1];
        C sum = 0;
        for (int r = 0; r < v.kh; r++) {
            int64_t row = row_from(at[2], r, v.stride[0], v.padding[0], v.dilation[0], v.oh);
            if (row < 0) continue;
            for (int s = 0; s < v.kw; s++) {
                int64_t column = row_from(at[3], s, v.stride[1], v.padding[1], v.dilation[1], v.ow);
                if (column < 0) continue;
                const T *from = image + row * j.y_stride[2] + column * j.y_stride[3];
                const T *weight = kernel + r * j.w_stride[2] + s * j.w_stride[3];
                for (int o = 0; o < per_group; o++)
                    sum += widen(from[o * j.y_stride[1]]) * widen(weight[o * j.w_stride[0]]);
            }
        }
        x[at[0] * j.x_stride[0] + at[1] * j.x_stride[1] + at[2] * j.x_stride[2] +
          at[3] * j.x_stride[3]] = narrow<T>(sum);
    }
}

/* ---- grad_weight ---------------------------------------------------------------------------- */

/* A block sums a chunk of the pixels for `lanes` output channels and one of their weights (c, r,
 * s). Its 256 threads are 32 x 8. The 32 lie along the channels if these are contiguous in memory,
 * else along the pixels. A second kernel adds the chunks' sums in order. */
struct weight_chunks {
    int64_t pixels, chunk; /* pixels in all, and of a chunk */
    int chunks, lanes, weights;
    bool along_channels;
};

static weight_chunks chunks_of(const conv_job &j, const device_info *device)
{
    const convolution &v = j.v;
    weight_chunks k;
    k.pixels = v.n * v.oh * v.ow;
    k.weights = (int)(v.c / v.groups * v.kh * v.kw);
    k.along_channels = j.y_stride[1] == 1 && v.o >= 16;
    k.lanes = k.along_channels ? 32 : 8;
    int64_t blocks = ceil_div(v.o, k.lanes) * k.weights;
    int64_t wanted = ceil_div(8 * device->multiprocessors, blocks), most = ceil_div(k.pixels, 256);
    if (wanted > most) wanted = most;
    if (wanted > 256) wanted = 256;
    if (wanted < 1) wanted = 1;
    k.chunk = ceil_div(k.pixels, wanted);
    k.chunks = k.chunk ? (int)ceil_div(k.pixels, k.chunk) : 1;
    return k;
}

template <class T>
__global__ void grad_weight_chunks(conv_job j, weight_chunks k, compute_t<T> *parts)
{
    typedef compute_t<T> C;
    __shared__ C sums[256];
    const convolution &v = j.v;
    int thread = (int)threadIdx.x, wide = thread % 32, high = thread / 32;
    int lane = k.along_channels ? wide : high, first = k.along_channels ? high : wide;
    int pixel_threads = 256 / k.lanes;
    int64_t o = (int64_t)blockIdx.x * k.lanes + lane;
    int weight = (int)blockIdx.y, s = weight % (int)v.kw, r = weight / (int)v.kw % (int)v.kh;
    int c = weight / (int)v.kw / (int)v.kh, channels = (int)(v.c / v.groups);
    const T *x = static_cast<const T *>(j.data.x), *y = static_cast<const T *>(j.data.y);
    C sum = 0;
    if (o < v.o) {
        int64_t begin = blockIdx.z * k.chunk, end = begin + k.chunk;
        if (end > k.pixels) end = k.pixels;
        x += (o / (v.o / v.groups) * channels + c) * j.x_stride[1];
        y += o * j.y_stride[1];
        for (int64_t p = begin + first; p < end; p += pixel_threads) {
            int64_t line = p / v.ow, at_x = p - line * v.ow, n = line / v.oh,
                    at_y = line - n * v.oh;
            int64_t row = at_y * v.stride[0] - v.padding[0] + r * v.dilation[0];
            int64_t column = at_x * v.stride[1] - v.padding[1] + s * v.dilation[1];
            if (row < 0 || row >= v.h || column < 0 || column >= v.w) continue;
            sum += widen(y[n * j.y_stride[0] + at_y * j.y_stride[2] + at_x * j.y_stride[3]]) *
                   widen(x[n * j.x_stride[0] + row * j.x_stride[2] + column * j.x_stride[3]]);
        }
    }
    sums[lane * pixel_threads + first] = sum;
    __syncthreads();
    if (first != 0 || o >= v.o) return;
    sum = 0;
    for (int i = 0; i < pixel_threads; i++) sum += sums[lane * pixel_threads + i];
    parts[(blockIdx.z * v.o + o) * k.weights + weight] = sum;
}

template <class T>
__global__ void grad_weight_sum(conv_job j, weight_chunks k, const compute_t<T> *parts)
{
    const convolution &v = j.v;
    T *w = static_cast<T *>(j.data.w);
    int64_t step = (int64_t)gridDim.x * blockDim.x, n = v.o * k.weights;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        compute_t<T> sum = 0;
        for (int chunk = 0; chunk < k.chunks; chunk++) sum += parts[chunk * n + i];
        int64_t o = i / k.weights, weight = i - o * k.weights;
        int64_t s = weight % v.kw, r = weight / v.kw % v.kh, c = weight / v.kw / v.kh;
        w[o * j.w_stride[0] + c * j.w_stride[1] + r * j.w_stride[2] + s * j.w_stride[3]] =
            narrow<T>(sum);
    }
}

/* ---- launching ------------------------------------------------------------------------------ */

size_t direct_workspace(const conv_job &j, const device_info *device)
{
    if (j.v.pass != conv_grad_weight) return 0;
    weight_chunks k = chunks_of(j, device);
    size_t size = j.v.dtype == LUCID_F64 ? 8 : 4;
    return (size_t)(k.chunks * j.v.o * k.weights) * size;
}

template <class T> bool convolve_directly(const call &c, const conv_job &j, void *workspace)
{
    const convolution &v = j.v;
    if (v.pass == conv_forward) {
        output_order order = order_of(v.n, v.o, v.oh, v.ow, j.y_stride);
        return c.launch(forward_elements<T>, c.blocks_for(order.n, 256), 256, 0, j, finish<T>(j),
                        order);
    }
    if (v.pass == conv_grad_input) {
        output_order order = order_of(v.n, v.c, v.h, v.w, j.x_stride);
        return c.launch(grad_input_elements<T>, c.blocks_for(order.n, 256), 256, 0, j, order);
    }
    weight_chunks k = chunks_of(j, c.device);
    compute_t<T> *parts = static_cast<compute_t<T> *>(workspace);
    const compute_t<T> *from = parts;
    dim3 grid((unsigned)ceil_div(v.o, k.lanes), (unsigned)k.weights, (unsigned)k.chunks);
    return c.launch(grad_weight_chunks<T>, grid, 256, 0, j, k, parts) &&
           c.launch(grad_weight_sum<T>, c.blocks_for(v.o * k.weights, 256), 256, 0, j, k, from);
}

template bool convolve_directly<float>(const call &, const conv_job &, void *);
template bool convolve_directly<double>(const call &, const conv_job &, void *);
template bool convolve_directly<f16>(const call &, const conv_job &, void *);
template bool convolve_directly<bf16>(const call &, const conv_job &, void *);

} // namespace luc

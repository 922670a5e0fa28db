/* conv_depthwise.cu: depthwise convolutions (groups of one input and one output channel) in
 * channels_last memory.
 *
 * They are bound by memory as long as the inputs that neighbouring outputs share come from L1. A
 * thread makes four channels of four columns, loads four channels at once, and keeps a weight for
 * all four columns. */
#include "backends/cuda/conv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum { run_columns = 4, block_taps = 9, block_rows = 8 };

template <class T> struct width_of {
    enum { value = sizeof(T) == 8 ? 2 : 4 }; /* channels of a thread: 16 bytes of float */
};

static bool is_row_of_channels(const int64_t s[4], const void *p, int64_t width, size_t size)
{
    return s[1] == 1 && s[0] % width == 0 && s[2] % width == 0 && s[3] % width == 0 &&
           is_aligned(p, (size_t)width * size);
}

bool is_depthwise(const conv_job &j)
{
    const convolution &v = j.v;
    if (v.groups != v.c || v.o != v.c || v.dtype > LUCID_BF16) return false;
    if (v.pass == conv_grad_input && (v.stride[0] != 1 || v.stride[1] != 1)) return false;
    int64_t width = v.dtype == LUCID_F64 ? 2 : 4;
    size_t size = v.dtype == LUCID_F64 ? 8 : v.dtype == LUCID_F32 ? 4 : 2;
    int64_t most = (int64_t)1 << 31;
    bool forward = v.pass == conv_forward; /* threads are counted in 32 bits */
    int64_t rows = v.n * (forward ? v.oh : v.h), columns = forward ? v.ow : v.w;
    return v.c % width == 0 && v.kh * v.kw <= 1024 && v.n * v.oh * v.ow < most - 4096 &&
           v.n * v.h * v.w < most - 4096 &&
           (v.pass == conv_grad_weight ||
            rows * ceil_div(columns, run_columns) * (v.c / width) < most) &&
           is_row_of_channels(j.x_stride, j.data.x, width, size) &&
           is_row_of_channels(j.y_stride, j.data.y, width, size);
}

/* ---- forward, and grad_input without stride ------------------------------------------------- */

/* to[row, column] = sum over (r, s) of from[row * scale + origin + r * step, ...] w[r, s] */
template <class T> struct depthwise_rows {
    const void *from, *w;
    finish<T> then;
    void *to;
    int64_t to_stride[4], from_stride[4], w_stride[4];
    int channels, rows, columns, from_rows, from_columns, kh, kw;
    int scale[2], origin[2], step[2];
    int64_t threads;
    divider by_channels, by_runs, by_rows;
};

template <class T> __global__ void depthwise_elements(depthwise_rows<T> p)
{
    enum { width = width_of<T>::value };
    typedef compute_t<T> C;
    typedef pack<T, width> vector;
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.threads; i += stride) {
        uint32_t left = (uint32_t)i, q = p.by_channels.quotient(left);
        int c = (int)(left - q * p.by_channels.d) * width;
        left = q;
        q = p.by_runs.quotient(left);
        int column = (int)(left - q * p.by_runs.d) * run_columns;
        left = q;
        q = p.by_rows.quotient(left);
        int row = (int)(left - q * p.by_rows.d);
        int64_t image = q;

        const T *from = static_cast<const T *>(p.from) + image * p.from_stride[0] + c;
        const T *w = static_cast<const T *>(p.w) + c * p.w_stride[0];
        C sum[run_columns][width] = {};
        for (int r = 0; r < p.kh; r++) {
            int y = row * p.scale[0] + p.origin[0] + r * p.step[0];
            if ((unsigned)y >= (unsigned)p.from_rows) continue;
            const T *line = from + y * p.from_stride[2];
            for (int s = 0; s < p.kw; s++) {
                C weight[width];
#pragma unroll
                for (int k = 0; k < width; k++)
                    weight[k] = widen(w[k * p.w_stride[0] + r * p.w_stride[2] + s * p.w_stride[3]]);
#pragma unroll
                for (int d = 0; d < run_columns; d++) {
                    int x = (column + d) * p.scale[1] + p.origin[1] + s * p.step[1];
                    if ((unsigned)x >= (unsigned)p.from_columns) continue;
                    vector v = *reinterpret_cast<const vector *>(line + x * p.from_stride[3]);
#pragma unroll
                    for (int k = 0; k < width; k++) sum[d][k] += widen(v.v[k]) * weight[k];
                }
            }
        }
        int64_t line = image * p.to_stride[0] + row * p.to_stride[2] + c;
#pragma unroll
        for (int d = 0; d < run_columns; d++) {
            if (column + d >= p.columns) break;
            int64_t to = line + (column + d) * p.to_stride[3];
            vector v;
#pragma unroll
            for (int k = 0; k < width; k++) v.v[k] = p.then(sum[d][k], c + k, to + k);
            *reinterpret_cast<vector *>(static_cast<T *>(p.to) + to) = v;
        }
    }
}

template <class T> static bool depthwise_pass(const call &c, const conv_job &j)
{
    const convolution &v = j.v;
    bool forward = v.pass == conv_forward;
    depthwise_rows<T> p = {};
    p.from = forward ? j.data.x : j.data.y;
    p.to = forward ? j.data.y : j.data.x;
    p.w = j.data.w;
    p.then = finish<T>(j);
    memcpy(p.from_stride, forward ? j.x_stride : j.y_stride, sizeof p.from_stride);
    memcpy(p.to_stride, forward ? j.y_stride : j.x_stride, sizeof p.to_stride);
    memcpy(p.w_stride, j.w_stride, sizeof p.w_stride);
    p.channels = (int)v.c;
    p.rows = (int)(forward ? v.oh : v.h);
    p.columns = (int)(forward ? v.ow : v.w);
    p.from_rows = (int)(forward ? v.h : v.oh);
    p.from_columns = (int)(forward ? v.w : v.ow);
    p.kh = (int)v.kh;
    p.kw = (int)v.kw;
    for (int i = 0; i < 2; i++) {
        p.scale[i] = (int)v.stride[i];
        p.origin[i] = (int)(forward ? -v.padding[i] : v.padding[i]);
        p.step[i] = (int)(forward ? v.dilation[i] : -v.dilation[i]);
    }
    int64_t packs = v.c / width_of<T>::value, runs = ceil_div(p.columns, run_columns);
    p.threads = v.n * p.rows * runs * packs;
    p.by_channels = divider((uint32_t)packs);
    p.by_runs = divider((uint32_t)runs);
    p.by_rows = divider((uint32_t)p.rows);
    return c.launch(depthwise_elements<T>, c.blocks_for(p.threads, 256), 256, 0, p);
}

/* ---- grad_weight ---------------------------------------------------------------------------- */

/* A block of 32 x 8 threads sums a chunk of the pixels for 32 packs of channels and up to nine
 * taps, which stay in registers. Each of its eight rows of threads takes every eighth pixel. */
struct depthwise_chunks {
    int64_t pixels, chunk;
    int chunks;
};

static depthwise_chunks chunks_of(const conv_job &j, const device_info *device)
{
    const convolution &v = j.v;
    int64_t width = v.dtype == LUCID_F64 ? 2 : 4;
    int64_t blocks = ceil_div(v.c, 32 * width) * ceil_div(v.kh * v.kw, block_taps);
    depthwise_chunks k;
    k.pixels = v.n * v.oh * v.ow;
    int64_t wanted = ceil_div(8 * device->multiprocessors, blocks), most = ceil_div(k.pixels, 64);
    if (wanted > most) wanted = most;
    if (wanted > 2048) wanted = 2048;
    if (wanted < 1) wanted = 1;
    k.chunk = ceil_div(k.pixels, wanted);
    k.chunks = k.chunk ? (int)ceil_div(k.pixels, k.chunk) : 1;
    return k;
}

template <class T>
__global__ void depthwise_weights(conv_job j, depthwise_chunks k, divider by_w, divider by_h,
                                  compute_t<T> *parts)
{
    enum { width = width_of<T>::value };
    typedef compute_t<T> C;
    typedef pack<T, width> vector;
    __shared__ C sums[block_rows][32 * width];
    const convolution &v = j.v;
    int lane = (int)threadIdx.x, row = (int)threadIdx.y, taps = (int)(v.kh * v.kw);
    int first = (int)blockIdx.y * block_taps;
    int64_t c = ((int64_t)blockIdx.x * 32 + lane) * width;
    int dy[block_taps], dx[block_taps];
    C sum[block_taps][width] = {};
#pragma unroll
    for (int t = 0; t < block_taps; t++) {
        int tap = first + t;
        dy[t] = tap / (int)v.kw * (int)v.dilation[0] - (int)v.padding[0];
        dx[t] = tap % (int)v.kw * (int)v.dilation[1] - (int)v.padding[1];
        if (tap >= taps) dy[t] = INT32_MIN / 2; /* outside of every image */
    }
    int64_t end = (blockIdx.z + 1) * k.chunk < k.pixels ? (blockIdx.z + 1) * k.chunk : k.pixels;
    const T *x = static_cast<const T *>(j.data.x) + c, *y = static_cast<const T *>(j.data.y) + c;
    for (int64_t p = blockIdx.z * k.chunk + row; p < end && c < v.c; p += block_rows) {
        uint32_t line = by_w.quotient((uint32_t)p), image = by_h.quotient(line);
        int at_x = (int)((uint32_t)p - line * by_w.d), at_y = (int)(line - image * by_h.d);
        vector g = *reinterpret_cast<const vector *>(y + image * j.y_stride[0] +
                                                     at_y * j.y_stride[2] + at_x * j.y_stride[3]);
        const T *from = x + image * j.x_stride[0];
        at_y *= (int)v.stride[0];
        at_x *= (int)v.stride[1];
#pragma unroll
        for (int t = 0; t < block_taps; t++) {
            int from_y = at_y + dy[t], from_x = at_x + dx[t];
            if ((unsigned)from_y >= (unsigned)v.h || (unsigned)from_x >= (unsigned)v.w) continue;
            vector f = *reinterpret_cast<const vector *>(from + from_y * j.x_stride[2] +
                                                         from_x * j.x_stride[3]);
#pragma unroll
            for (int i = 0; i < width; i++) sum[t][i] += widen(g.v[i]) * widen(f.v[i]);
        }
    }
#pragma unroll
    for (int t = 0; t < block_taps; t++) {
        if (first + t >= taps) break; /* the same for the whole block */
#pragma unroll
        for (int i = 0; i < width; i++) sums[row][lane * width + i] = sum[t][i];
        __syncthreads();
        int column = row * 32 + lane;
        int64_t channel = (int64_t)blockIdx.x * 32 * width + column;
        if (column < 32 * width && channel < v.c) {
            C all = 0;
            for (int r = 0; r < block_rows; r++) all += sums[r][column];
            parts[(blockIdx.z * v.c + channel) * taps + first + t] = all;
        }
        __syncthreads();
    }
}

template <class T> __global__ void depthwise_sum(conv_job j, int chunks, const compute_t<T> *parts)
{
    const convolution &v = j.v;
    T *w = static_cast<T *>(j.data.w);
    int64_t step = (int64_t)gridDim.x * blockDim.x, taps = v.kh * v.kw, n = v.c * taps;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        compute_t<T> sum = 0;
        for (int chunk = 0; chunk < chunks; chunk++) sum += parts[chunk * n + i];
        int64_t c = i / taps, tap = i - c * taps;
        w[c * j.w_stride[0] + tap / v.kw * j.w_stride[2] + tap % v.kw * j.w_stride[3]] =
            narrow<T>(sum);
    }
}

size_t depthwise_workspace(const conv_job &j, const device_info *device)
{
    const convolution &v = j.v;
    if (v.pass != conv_grad_weight) return 0;
    size_t size = v.dtype == LUCID_F64 ? 8 : 4;
    return (size_t)(chunks_of(j, device).chunks * v.c * v.kh * v.kw) * size;
}

template <class T> bool convolve_depthwise(const call &c, const conv_job &j, void *workspace)
{
    const convolution &v = j.v;
    if (v.pass != conv_grad_weight) return depthwise_pass<T>(c, j);
    depthwise_chunks k = chunks_of(j, c.device);
    compute_t<T> *parts = static_cast<compute_t<T> *>(workspace);
    const compute_t<T> *from = parts;
    dim3 grid((unsigned)ceil_div(v.c, 32 * width_of<T>::value),
              (unsigned)ceil_div(v.kh * v.kw, block_taps), (unsigned)k.chunks);
    return c.launch(depthwise_weights<T>, grid, dim3(32, block_rows), 0, j, k,
                    divider((uint32_t)v.ow), divider((uint32_t)v.oh), parts) &&
           c.launch(depthwise_sum<T>, c.blocks_for(v.c * v.kh * v.kw, 256), 256, 0, j, k.chunks,
                    from);
}

template bool convolve_depthwise<float>(const call &, const conv_job &, void *);
template bool convolve_depthwise<double>(const call &, const conv_job &, void *);
template bool convolve_depthwise<f16>(const call &, const conv_job &, void *);
template bool convolve_depthwise<bf16>(const call &, const conv_job &, void *);

} // namespace luc

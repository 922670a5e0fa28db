/* norm_lanes.cu: batch normalisation where the channels of a pixel are neighbours (channels_last
 * and [N,C]); see norm.h.
 *
 * A block takes `columns` adjacent packs (all of a pixel's, or up to 32) and `rows` pixels at a
 * time, so that a warp reads whole lines. Thread t is in column t % columns of row t / columns. It
 * goes down its pixels with the sums or coefficients of its W channels in registers. Both passes
 * are bound by memory, as those of norm_rows.cu are. The kernel between them adds up C * splits
 * partial sums, which takes some microseconds, most of them spent waiting. */
#include "backends/cuda/norm.h"

namespace luc
{

enum { threads = 256 };

/* The work of a thread. It has none if there are no columns left for it. */
struct lane {
    bool active;
    int64_t channel, pixel, end; /* its first pixel; the pixels of the block end at `end` */
    int step;
};

template <int W> __device__ inline lane lane_of(const norm_lanes &g, int64_t block)
{
    int row = threadIdx.x / g.columns, column = threadIdx.x - row * g.columns;
    int64_t tile = block % g.tiles, begin = block / g.tiles * g.share;
    int64_t pack = tile * g.columns + column;
    lane l;
    l.active = row < g.rows && pack < g.all;
    l.channel = pack * W;
    l.pixel = begin + row;
    l.end = begin + g.share < g.pixels ? begin + g.share : g.pixels;
    l.step = g.rows;
    return l;
}

template <class T> __device__ inline T *lane_operand(const norm_work &w, int k, int64_t channel)
{
    T *p = static_cast<T *>(w.data[k]);
    return p ? p + channel : nullptr;
}

/* ---- sums ----------------------------------------------------------------------------------- */

/* sums [splits][2][C]: the sums of the threads, added up over the rows of the block. */
template <int W>
__device__ inline void store_sums(double *sums, const norm_lanes &g, const double (&s1)[W],
                                  const double (&s2)[W], int64_t channels)
{
    __shared__ double all[2 * W][threads];
#pragma unroll
    for (int j = 0; j < W; j++) {
        all[j][threadIdx.x] = s1[j];
        all[W + j][threadIdx.x] = s2[j];
    }
    __syncthreads();
    int64_t tile = blockIdx.x % g.tiles, split = blockIdx.x / g.tiles;
    for (int i = threadIdx.x; i < 2 * W * g.columns; i += threads) {
        int column = i / W % g.columns, j = i % W, which = i / W / g.columns;
        int64_t pack = tile * g.columns + column;
        if (pack >= g.all) continue;
        double s = 0;
        for (int r = 0; r < g.rows; r++) s += all[which * W + j][r * g.columns + column];
        sums[(split * 2 + which) * channels + pack * W + j] = s;
    }
}

template <class T, int W>
__global__ void __launch_bounds__(threads, 2) lanes_sums(norm_work w, norm_lanes g, double *sums)
{
    enum { P = sizeof(T) == 2 ? 16 : 8, PART = 8 };
    lane l = lane_of<W>(g, blockIdx.x);
    double s1[W] = {0}, s2[W] = {0};
    if (l.active) {
        const T *x = lane_operand<const T>(w, norm_x, l.channel);
        double shift[W];
#pragma unroll
        for (int j = 0; j < W; j++) shift[j] = norm_shift(x + j);
        int64_t px = l.pixel, stride = g.strides[norm_x];
        for (; px + (P - 1) * l.step < l.end; px += P * l.step) {
            held<T, W> v[P];
#pragma unroll
            for (int u = 0; u < P; u++) v[u] = norm_load<W>(x, (px + u * l.step) * stride);
#pragma unroll
            for (int j = 0; j < W; j++)
#pragma unroll
                for (int u = 0; u < P; u += PART) {
                    compute_t<T> f[PART];
#pragma unroll
                    for (int i = 0; i < PART; i++) f[i] = widen(norm_open(v[u + i]).v[j]);
                    norm_add(s1[j], s2[j], f, shift[j]);
                }
        }
        for (; px < l.end; px += l.step) {
            pack<T, W> v = norm_open(norm_load<W>(x, px * stride));
#pragma unroll
            for (int j = 0; j < W; j++) {
                compute_t<T> f[1] = {widen(v.v[j])};
                norm_add(s1[j], s2[j], f, shift[j]);
            }
        }
    }
    store_sums<W>(sums, g, s1, s2, w.channels);
}

/* The cut grad_y of P pixels from px on is summed, and stored if it is wanted. */
template <class T, int W, int P>
__device__ inline void grad_sums_step(const norm_work &w, const norm_lanes &g, const lane &l,
                                      int64_t px, const norm_coef<compute_t<T>> (&k)[W],
                                      double (&s1)[W], double (&s2)[W])
{
    typedef compute_t<T> S;
    const T *x = lane_operand<const T>(w, norm_x, l.channel);
    const T *dy = lane_operand<const T>(w, norm_dy, l.channel);
    const T *y = lane_operand<const T>(w, norm_other, l.channel);
    T *kept = lane_operand<T>(w, norm_kept, l.channel);
    bool read_y = w.cut == norm_cut_output;
    held<T, W> vx[P] = {}, vd[P], vy[P] = {};
#pragma unroll
    for (int u = 0; u < P; u++) {
        int64_t at = px + u * l.step;
        vx[u] = norm_load<W>(x, at * g.strides[norm_x]);
        vd[u] = norm_load<W>(dy, at * g.strides[norm_dy]);
        if (read_y) vy[u] = norm_load<W>(y, at * g.strides[norm_other]);
    }
    pack<T, W> cut[P];
#pragma unroll
    for (int j = 0; j < W; j++) {
        S fx[P], fd[P];
#pragma unroll
        for (int u = 0; u < P; u++) {
            fx[u] = widen(norm_open(vx[u]).v[j]);
            S before = read_y ? widen(norm_open(vy[u]).v[j]) : (S)0;
            fd[u] = norm_cut_of<T>(w.cut, widen(norm_open(vd[u]).v[j]), fx[u], before, k[j]);
            cut[u].v[j] = narrow<T>(fd[u]);
        }
        norm_add_grads(s1[j], s2[j], fd, fx, k[j]);
    }
    if (kept)
#pragma unroll
        for (int u = 0; u < P; u++)
            norm_store(kept, (px + u * l.step) * g.strides[norm_kept], cut[u], false);
}

template <class T, int W>
__global__ void __launch_bounds__(threads, 2)
    lanes_grad_sums(norm_work w, norm_lanes g, norm_channels ch, double *sums)
{
    typedef compute_t<T> S;
    enum { P = sizeof(T) == 2 ? 6 : 4 };
    lane l = lane_of<W>(g, blockIdx.x);
    double s1[W] = {0}, s2[W] = {0};
    if (l.active) {
        norm_coef<S> k[W];
#pragma unroll
        for (int j = 0; j < W; j++)
            k[j] = norm_coef_of<S>(ch, l.channel + j, norm_get(ch.mean, l.channel + j, 0),
                                   norm_get(ch.invstd, l.channel + j, 1));
        int64_t px = l.pixel;
        for (; px + (P - 1) * l.step < l.end; px += P * l.step)
            grad_sums_step<T, W, P>(w, g, l, px, k, s1, s2);
        for (; px < l.end; px += l.step) grad_sums_step<T, W, 1>(w, g, l, px, k, s1, s2);
    }
    store_sums<W>(sums, g, s1, s2, w.channels);
}

/* ---- in the middle -------------------------------------------------------------------------- */

enum { across = 32, down = 16 };

/* Adds the partial sums of 32 channels, finishes them, and stores their coefficients. */
template <class T>
__global__ void __launch_bounds__(across *down)
    lanes_finish(norm_work w, norm_channels ch, const double *sums, int splits,
                 norm_coef<compute_t<T>> *coef)
{
    typedef compute_t<T> S;
    __shared__ double part[2][down][across];
    int64_t c = (int64_t)blockIdx.x * across + threadIdx.x;
    double s1 = 0, s2 = 0;
    if (c < w.channels)
#pragma unroll 4
        for (int i = threadIdx.y; i < splits; i += down) {
            s1 += sums[(int64_t)2 * i * w.channels + c];
            s2 += sums[((int64_t)2 * i + 1) * w.channels + c];
        }
    part[0][threadIdx.y][threadIdx.x] = s1;
    part[1][threadIdx.y][threadIdx.x] = s2;
    __syncthreads();
    if (threadIdx.y > 0 || c >= w.channels) return;
    s1 = s2 = 0;
    for (int i = 0; i < down; i++) {
        s1 += part[0][i][threadIdx.x];
        s2 += part[1][i][threadIdx.x];
    }
    norm_coef<S> k;
    if (ch.backward) {
        k = norm_finish_backward<S>(ch, c, s1, s2, true);
    } else {
        double shift = splits > 0 ? norm_shift(lane_operand<const T>(w, norm_x, c)) : 0.0;
        k = norm_finish<S>(ch, c, shift, s1, s2, true);
    }
    if (coef) coef[c] = k;
}

/* ---- output --------------------------------------------------------------------------------- */

template <class T, int W, int P>
__device__ inline void out_step(const norm_work &w, const norm_lanes &g, const lane &l, int64_t px,
                                const norm_coef<compute_t<T>> (&k)[W])
{
    const T *x = lane_operand<const T>(w, norm_x, l.channel);
    const T *other = lane_operand<const T>(w, norm_other, l.channel);
    T *out = lane_operand<T>(w, norm_out, l.channel);
    held<T, W> vx[P], vo[P] = {};
#pragma unroll
    for (int u = 0; u < P; u++) {
        int64_t at = px + u * l.step;
        vx[u] = norm_load_last<W>(x, at * g.strides[norm_x]);
        if (other) vo[u] = norm_load_last<W>(other, at * g.strides[norm_other]);
    }
#pragma unroll
    for (int u = 0; u < P; u++) {
        pack<T, W> v = norm_open(vx[u]), add = norm_open(vo[u]);
#pragma unroll
        for (int j = 0; j < W; j++) {
            compute_t<T> y = norm_y(widen(v.v[j]), k[j]);
            if (other) y += widen(add.v[j]);
            v.v[j] = narrow<T>(w.relu ? norm_relu(y) : y);
        }
        norm_store(out, (px + u * l.step) * g.strides[norm_out], v, w.stream);
    }
}

/* From the end to the beginning, as in norm_rows.cu. */
template <class T, int W>
__global__ void __launch_bounds__(threads, 3)
    lanes_out(norm_work w, norm_lanes g, const norm_coef<compute_t<T>> *coef)
{
    enum { P = sizeof(T) == 2 ? 6 : 4 };
    lane l = lane_of<W>(g, gridDim.x - 1 - blockIdx.x);
    if (!l.active) return;
    norm_coef<compute_t<T>> k[W];
#pragma unroll
    for (int j = 0; j < W; j++) k[j] = coef[l.channel + j];
    int64_t px = l.pixel;
    for (; px + (P - 1) * l.step < l.end; px += P * l.step) out_step<T, W, P>(w, g, l, px, k);
    for (; px < l.end; px += l.step) out_step<T, W, 1>(w, g, l, px, k);
}

template <class T, int W, int P>
__device__ inline void grad_out_step(const norm_work &w, const norm_lanes &g, const lane &l,
                                     int64_t px, const norm_coef<compute_t<T>> (&k)[W], bool batch)
{
    typedef compute_t<T> S;
    int from = w.data[norm_kept] ? norm_kept : norm_dy;
    norm_cut cut = from == norm_kept ? norm_no_cut : w.cut;
    bool needs_x = batch || cut == norm_cut_sign, read_y = cut == norm_cut_output;
    const T *x = lane_operand<const T>(w, norm_x, l.channel);
    const T *dy = lane_operand<const T>(w, from, l.channel);
    const T *y = lane_operand<const T>(w, norm_other, l.channel);
    T *out = lane_operand<T>(w, norm_out, l.channel);
    held<T, W> vx[P] = {}, vd[P], vy[P] = {};
#pragma unroll
    for (int u = 0; u < P; u++) {
        int64_t at = px + u * l.step;
        vd[u] = norm_load<W>(dy, at * g.strides[from]);
        if (needs_x) vx[u] = norm_load_last<W>(x, at * g.strides[norm_x]);
        if (read_y) vy[u] = norm_load<W>(y, at * g.strides[norm_other]);
    }
#pragma unroll
    for (int u = 0; u < P; u++) {
        pack<T, W> ox = norm_open(vx[u]), pd = norm_open(vd[u]), py = norm_open(vy[u]);
#pragma unroll
        for (int j = 0; j < W; j++) {
            S v = needs_x ? widen(ox.v[j]) : (S)0, before = read_y ? widen(py.v[j]) : (S)0;
            S d = norm_cut_of<T>(cut, widen(pd.v[j]), v, before, k[j]);
            pd.v[j] = narrow<T>(norm_dx(v, d, k[j], batch));
        }
        norm_store(out, (px + u * l.step) * g.strides[norm_out], pd, w.stream);
    }
}

template <class T, int W>
__global__ void __launch_bounds__(threads, 2)
    lanes_grad_out(norm_work w, norm_lanes g, const norm_coef<compute_t<T>> *coef, bool batch)
{
    enum { P = sizeof(T) == 2 ? 6 : 4 };
    lane l = lane_of<W>(g, gridDim.x - 1 - blockIdx.x);
    if (!l.active) return;
    norm_coef<compute_t<T>> k[W];
#pragma unroll
    for (int j = 0; j < W; j++) k[j] = coef[l.channel + j];
    int64_t px = l.pixel;
    for (; px + (P - 1) * l.step < l.end; px += P * l.step)
        grad_out_step<T, W, P>(w, g, l, px, k, batch);
    for (; px < l.end; px += l.step) grad_out_step<T, W, 1>(w, g, l, px, k, batch);
}

/* ---- the host's side ------------------------------------------------------------------------ */

template <class T, int W> static bool run(const call &c, const norm_plan &p)
{
    norm_coef<compute_t<T>> *coef =
        reinterpret_cast<norm_coef<compute_t<T>> *>(c.workspace<char>() + p.coef_at);
    double *sums = c.workspace<double>();
    norm_lanes in = p.lanes, out = p.lanes;
    in.share = ceil_div(in.pixels, p.splits);
    out.share = ceil_div(out.pixels, p.out_splits);
    dim3 in_grid((unsigned)(in.tiles * p.splits)), out_grid((unsigned)(out.tiles * p.out_splits));
    if (p.sums &&
        !(p.ch.backward
              ? c.launch(lanes_grad_sums<T, W>, in_grid, threads, 0, p.work, in, p.ch, sums)
              : c.launch(lanes_sums<T, W>, in_grid, threads, 0, p.work, in, sums)))
        return false;
    if (!c.launch(lanes_finish<T>, (unsigned)ceil_div(p.work.channels, across), dim3(across, down),
                  0, p.work, p.ch, sums, p.sums ? p.splits : 0, coef))
        return false;
    if (!p.output) return true;
    return p.ch.backward
               ? c.launch(lanes_grad_out<T, W>, out_grid, threads, 0, p.work, out, coef, p.ch.batch)
               : c.launch(lanes_out<T, W>, out_grid, threads, 0, p.work, out, coef);
}

template <class T> static bool finish_empty(const call &c, const norm_plan &p)
{
    return c.launch(lanes_finish<T>, (unsigned)ceil_div(p.work.channels, across),
                    dim3(across, down), 0, p.work, p.ch, nullptr, 0, nullptr);
}

bool norm_run_lanes(const call &c, const norm_plan &p)
{
    if (p.way == norm_empty)
        return p.dtype == LUCID_F64 ? finish_empty<double>(c, p) : finish_empty<float>(c, p);
    switch (p.dtype) {
    case LUCID_F32:
        return p.width == 4 ? run<float, 4>(c, p) : run<float, 1>(c, p);
    case LUCID_F64:
        return p.width == 2 ? run<double, 2>(c, p) : run<double, 1>(c, p);
    case LUCID_F16:
        return p.width == 4 ? run<f16, 4>(c, p) : run<f16, 1>(c, p);
    default:
        return p.width == 4 ? run<bf16, 4>(c, p) : run<bf16, 1>(c, p);
    }
}

} // namespace luc

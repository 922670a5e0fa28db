/* conv_windows.cu: forward and grad_input as a product of windows and weights, on tiles (tile.h):
 *   forward       y[pixel of y, o] = sum over (r, s, c) of x[pixel, r, s, c] w[o, r, s, c]
 *   grad_input    x[pixel of x, c] = sum over (r, s, o) of y[pixel, r, s, o] w[o, r, s, c]
 * The channels of a group are innermost in k, so that channels_last memory is read in whole lines.
 * A stride makes grad_input's pixels fall into classes (row modulo stride, column modulo stride)
 * with different taps: each class is a convolution of its own with stride 1, so nothing is
 * multiplied that is known to be 0. */
#include "backends/cuda/conv_tiles.h"

namespace luc
{

/* The taps along one axis that reach a class of pixels: first, first + step, ... */
struct axis {
    int taps, stride, dilation, padding;
    int step;  /* between the taps of a class */
    int shift; /* how many rows further up the class lies */
};
struct class_taps {
    int first, count, origin; /* origin: the row of the first tap, for row 0 of the class */
};
__device__ inline class_taps taps_of(const axis &a, int of)
{
    class_taps t = {0, 0, 0};
    for (int r = 0; r < a.taps && r < a.step; r++)
        if ((of + a.padding - r * a.dilation) % a.stride == 0) {
            t.first = r;
            t.count = (a.taps - 1 - r) / a.step + 1;
            t.origin = (of + a.padding - r * a.dilation) / a.stride;
            break;
        }
    return t;
}

template <class T> struct windows {
    typedef T element;
    static constexpr bool checks_a = true, checks_b = false, may_be_big = true;
    struct core {
        const T *a, *b;
        T *c;
        finish<T> then;
        int64_t m, n, k;
        pixels a_outer;
        taps a_depth;
        line b_outer;
        taps b_depth;
        pixels c_row;
        int64_t c_column;
        bounds a_limits, b_limits, c_limits;
        __device__ void store(spot row, int64_t j, compute_t<T> sum) const
        {
            if (!c_limits.hold(row, {0, 0, 0})) return;
            const int64_t at = row.at + j * c_column;
            c[at] = then(sum, j, at);
        }
    } at;
    int groups, channels;              /* channels of a group, which are summed over */
    int64_t a_group, b_group, c_group; /* from group to group */
    bool classes;                      /* for grad_input with a stride */
    axis y, x;

    __device__ core select(int64_t batch) const
    {
        core p = at;
        int64_t group = batch % groups;
        p.a += group * a_group;
        p.b += group * b_group;
        p.c += group * c_group;
        p.then.begin(group * at.n, group * c_group);
        if (!classes) return p;
        int of = (int)(batch / groups), of_y = of / x.stride, of_x = of % x.stride;
        class_taps r = taps_of(y, of_y), s = taps_of(x, of_x);
        p.k = (int64_t)r.count * s.count * channels;
        p.a_depth.by_columns = p.b_depth.by_columns = divider(s.count > 0 ? s.count : 1);
        p.a += r.origin * p.a_outer.y_stride + s.origin * p.a_outer.x_stride;
        p.a_outer.y0 = r.origin;
        p.a_outer.x0 = s.origin;
        p.b += r.first * (p.b_depth.row_stride / y.step) +
               s.first * (p.b_depth.column_stride / x.step);
        p.c += of_y * (p.c_row.y_stride / y.stride) + of_x * (p.c_row.x_stride / x.stride);
        p.c_row.y0 = of_y;
        p.c_row.x0 = of_x;
        return p;
    }
};

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static axis axis_of(int64_t taps, int64_t stride, int64_t dilation, int64_t padding)
{
    int64_t common = gcd(stride, dilation);
    return {(int)taps,
            (int)stride,
            (int)dilation,
            (int)padding,
            (int)(stride / common),
            (int)(dilation / common)};
}

template <class T> static void set_forward(windows<T> *p, const conv_job &j)
{
    const convolution &v = j.v;
    const int64_t *xs = j.x_stride, *ws = j.w_stride;
    p->at.a = static_cast<const T *>(j.data.x) - v.padding[0] * xs[2] - v.padding[1] * xs[3];
    p->at.then = finish<T>(j);
    p->at.c = static_cast<T *>(j.data.y);
    p->at.m = v.n * v.oh * v.ow;
    p->at.n = v.o / v.groups;
    p->channels = (int)(v.c / v.groups);
    p->at.k = v.kh * v.kw * p->channels;
    p->at.a_outer = pixels_of(v.n, v.oh, v.ow, xs, v.stride);
    p->at.a_outer.y0 = (int)-v.padding[0];
    p->at.a_outer.x0 = (int)-v.padding[1];
    p->at.a_limits = {(unsigned)v.h, (unsigned)v.w};
    p->at.a_depth = taps_for(v.kw, p->channels, v.dilation[0] * xs[2], v.dilation[1] * xs[3], xs[1],
                             v.dilation[0], v.dilation[1]);
    p->at.b_outer.stride = ws[0];
    p->at.b_depth = taps_for(v.kw, p->channels, ws[2], ws[3], ws[1], 0, 0);
    p->at.c_row = pixels_of(v.n, v.oh, v.ow, j.y_stride, one_by_one);
    p->at.c_limits = {(unsigned)v.oh, (unsigned)v.ow};
    p->at.c_column = j.y_stride[1];
    p->a_group = p->channels * xs[1];
    p->c_group = p->at.n * j.y_stride[1];
    p->b_group = p->at.n * ws[0];
}

/* With a stride, m is the size of the class with the most pixels. select finds k, which is the
 * number of taps, and where everything begins, for each class. */
template <class T> static void set_grad_input(windows<T> *p, const conv_job &j)
{
    const convolution &v = j.v;
    const int64_t *ys = j.y_stride, *ws = j.w_stride;
    int64_t h = ceil_div(v.h, v.stride[0]), w = ceil_div(v.w, v.stride[1]);
    p->y = axis_of(v.kh, v.stride[0], v.dilation[0], v.padding[0]);
    p->x = axis_of(v.kw, v.stride[1], v.dilation[1], v.padding[1]);
    p->classes = true;
    p->at.a = static_cast<const T *>(j.data.y);
    p->at.c = static_cast<T *>(j.data.x);
    p->at.m = v.n * h * w;
    p->at.n = v.c / v.groups;
    p->channels = (int)(v.o / v.groups);
    p->at.k = ceil_div(v.kh, p->y.step) * ceil_div(v.kw, p->x.step) * p->channels;
    p->at.a_outer = pixels_of(v.n, h, w, ys, one_by_one);
    p->at.a_limits = {(unsigned)v.oh, (unsigned)v.ow};
    p->at.a_depth = taps_for(1, p->channels, -p->y.shift * ys[2], -p->x.shift * ys[3], ys[1],
                             -p->y.shift, -p->x.shift);
    p->at.b_outer.stride = ws[1];
    p->at.b_depth = taps_for(1, p->channels, p->y.step * ws[2], p->x.step * ws[3], ws[0], 0, 0);
    p->at.c_row = pixels_of(v.n, h, w, j.x_stride, v.stride);
    p->at.c_limits = {(unsigned)v.h, (unsigned)v.w};
    p->at.c_column = j.x_stride[1];
    p->a_group = p->channels * ys[1];
    p->b_group = p->channels * ws[0];
    p->c_group = p->at.n * j.x_stride[1];
}

template <class T> static windows<T> windows_of(const conv_job &j)
{
    windows<T> p = {};
    p.at.b = static_cast<const T *>(j.data.w);
    p.groups = (int)j.v.groups;
    if (j.v.pass == conv_forward)
        set_forward(&p, j);
    else
        set_grad_input(&p, j);
    return p;
}

template <class T>
static tiling tiling_of(const conv_job &j, const windows<T> &p, int multiprocessors)
{
    const convolution &v = j.v;
    int64_t c = v.c / v.groups, o = v.o / v.groups;
    int64_t classes = p.classes ? v.stride[0] * v.stride[1] : 1;
    tiling t =
        cut(p.at.m, p.at.n, p.at.k, v.groups * classes, sizeof(compute_t<T>) == 4, multiprocessors);
    bool forward = v.pass == conv_forward;
    t.a_along_k = forward ? is_deep(j.x_stride[1], c) : is_deep(j.y_stride[1], o);
    t.b_along_k = forward ? j.w_stride[1] <= j.w_stride[0] : j.w_stride[0] < j.w_stride[1];
    return t;
}

template <class T> bool convolve_windows(const call &c, const conv_job &j, void *workspace)
{
    windows<T> p = windows_of<T>(j);
    return multiply(c, p, tiling_of(j, p, c.device->multiprocessors), workspace);
}

template <class T> size_t windows_workspace(const conv_job &j, const device_info *device)
{
    windows<T> p = windows_of<T>(j);
    return parts_bytes<T>(tiling_of(j, p, device->multiprocessors), p.at.m, p.at.n);
}

template bool convolve_windows<float>(const call &, const conv_job &, void *);
template bool convolve_windows<double>(const call &, const conv_job &, void *);
template bool convolve_windows<f16>(const call &, const conv_job &, void *);
template bool convolve_windows<bf16>(const call &, const conv_job &, void *);
template size_t windows_workspace<float>(const conv_job &, const device_info *);
template size_t windows_workspace<double>(const conv_job &, const device_info *);
template size_t windows_workspace<f16>(const conv_job &, const device_info *);
template size_t windows_workspace<bf16>(const conv_job &, const device_info *);

} // namespace luc

/* conv_weights.cu: grad_weight as a product on tiles (tile.h), whose long sum over pixels is split:
 *   w[o, (r, s, c)] = sum over pixels of y of y[pixel, o] x[pixel, r, s, c] */
#include "backends/cuda/conv_tiles.h"

namespace luc
{

template <class T> struct weight_sums {
    typedef T element;
    static constexpr bool checks_a = false, checks_b = true, may_be_big = true;
    struct core {
        const T *a, *b;
        T *c;
        int64_t m, n, k;
        line a_outer;
        pixels a_depth;
        taps b_outer;
        pixels b_depth;
        line c_row;
        taps c_column;
        bounds a_limits, b_limits;
        __device__ void store(spot row, int64_t j, compute_t<T> sum) const
        {
            c[row.at + c_column(j).at] = narrow<T>(sum);
        }
    } at;
    int64_t a_group, b_group, c_group;

    __device__ core select(int64_t group) const
    {
        core p = at;
        p.a += group * a_group;
        p.b += group * b_group;
        p.c += group * c_group;
        return p;
    }
};

template <class T> static weight_sums<T> weight_sums_of(const conv_job &j)
{
    const convolution &v = j.v;
    const int64_t *xs = j.x_stride, *ws = j.w_stride, *ys = j.y_stride;
    int64_t channels = v.c / v.groups;
    weight_sums<T> p = {};
    p.at.a = static_cast<const T *>(j.data.y);
    p.at.b = static_cast<const T *>(j.data.x) - v.padding[0] * xs[2] - v.padding[1] * xs[3];
    p.at.c = static_cast<T *>(j.data.w);
    p.at.m = v.o / v.groups;
    p.at.n = v.kh * v.kw * channels;
    p.at.k = v.n * v.oh * v.ow;
    p.at.a_outer.stride = ys[1];
    p.at.a_depth = pixels_of(v.n, v.oh, v.ow, ys, one_by_one);
    p.at.b_outer = taps_for(v.kw, channels, v.dilation[0] * xs[2], v.dilation[1] * xs[3], xs[1],
                            v.dilation[0], v.dilation[1]);
    p.at.b_depth = pixels_of(v.n, v.oh, v.ow, xs, v.stride);
    p.at.b_depth.y0 = (int)-v.padding[0];
    p.at.b_depth.x0 = (int)-v.padding[1];
    p.at.b_limits = {(unsigned)v.h, (unsigned)v.w};
    p.at.c_row.stride = ws[0];
    p.at.c_column = taps_for(v.kw, channels, ws[2], ws[3], ws[1], 0, 0);
    p.a_group = p.at.m * ys[1];
    p.b_group = channels * xs[1];
    p.c_group = p.at.m * ws[0];
    return p;
}

template <class T>
static tiling tiling_of(const conv_job &j, const weight_sums<T> &p, int multiprocessors)
{
    const convolution &v = j.v;
    tiling t = cut(p.at.m, p.at.n, p.at.k, v.groups, sizeof(compute_t<T>) == 4, multiprocessors);
    t.a_along_k = !is_deep(j.y_stride[1], v.o / v.groups);
    t.b_along_k = !is_deep(j.x_stride[1], v.c / v.groups);
    return t;
}

template <class T> bool convolve_weights(const call &c, const conv_job &j, void *workspace)
{
    weight_sums<T> p = weight_sums_of<T>(j);
    return multiply(c, p, tiling_of(j, p, c.device->multiprocessors), workspace);
}

template <class T> size_t weights_workspace(const conv_job &j, const device_info *device)
{
    weight_sums<T> p = weight_sums_of<T>(j);
    return parts_bytes<T>(tiling_of(j, p, device->multiprocessors), p.at.m, p.at.n);
}

template bool convolve_weights<float>(const call &, const conv_job &, void *);
template bool convolve_weights<double>(const call &, const conv_job &, void *);
template bool convolve_weights<f16>(const call &, const conv_job &, void *);
template bool convolve_weights<bf16>(const call &, const conv_job &, void *);
template size_t weights_workspace<float>(const conv_job &, const device_info *);
template size_t weights_workspace<double>(const conv_job &, const device_info *);
template size_t weights_workspace<f16>(const conv_job &, const device_info *);
template size_t weights_workspace<bf16>(const conv_job &, const device_info *);

} // namespace luc

/* pool.cu: average pooling, adaptive average pooling, their gradients, and the plan of all pooling.
 *
 * The kernels are bound by memory. A window over the whole image is a mean over its pixels, which
 * the kernels of the reductions compute. An element's gradient gathers from the windows that cover
 * it, in their order. */
#include "backends/cuda/pool.h"
#include "backends/cuda/reduce.h"

namespace luc
{

static pool_image image_of(const lucid_view *v)
{
    pool_image image = {v->data, {v->strides[0], v->strides[1], v->strides[2], v->strides[3]}};
    return image;
}

/* The channels that can be moved as one. */
static bool has_packs(const pool_image &image, int64_t width, size_t size)
{
    if (!image.data) return true;
    bool ok = image.strides[1] == 1 && is_aligned(image.data, 16);
    for (int d = 0; d < 4; d++) ok = ok && (d == 1 || image.strides[d] * (int64_t)size % 16 == 0);
    return ok && width > 1;
}

bool pool_make_plan(const call &c, pool_plan *p, const lucid_view *big, const lucid_view *small,
                    const lucid_view *index, bool writes_big, bool adaptive)
{
    enum { most = 1 << 29 };
    const lucid_pool2d_attrs *a = c.attrs<lucid_pool2d_attrs>();
    const lucid_view *written = writes_big ? big : small;
    size_t size = big->dtype == LUCID_F64 ? 8 : big->dtype == LUCID_F32 ? 4 : 2;
    *p = pool_plan();
    p->big = image_of(big);
    p->small = image_of(small);
    p->wide_index = index && index->dtype == LUCID_I64;
    if (index && index->ndim == 4) p->index = image_of(index);
    for (int k = 0; k < 2; k++) {
        if (big->dims[2 + k] >= most || small->dims[2 + k] >= most ||
            (!adaptive && (a->stride[k] >= most / 4 || a->padding[k] >= most / 4 ||
                           a->kernel[k] * a->dilation[k] >= most)))
            return c.unsupported("an image of 2^29 pixels a side or more");
        p->axis[k] = {(int)big->dims[2 + k], (int)small->dims[2 + k], (int)a->kernel[k],
                      (int)a->stride[k],     (int)a->padding[k],      (int)a->dilation[k]};
        if (p->axis[k].dilation < 1) p->axis[k].dilation = 1;
    }
    p->adaptive = adaptive;
    p->include_pad = a->count_include_pad || adaptive;
    p->divisor = adaptive ? 0 : a->divisor;
    int64_t width = (int64_t)(16 / size);
    p->n = written->dims[0];
    p->c = written->dims[1];
    p->h = written->dims[2];
    p->w = written->dims[3];
    bool last = written->strides[1] == 1 && p->w * p->h > 1; /* [N,C,1,1] has both layouts */
    p->by_channels = p->c > 1 && (last || big->strides[1] == 1);
    p->pixels = big->dims[2] * big->dims[3];
    bool packs = p->by_channels && p->pixels <= INT32_MAX && p->c % width == 0 &&
                 has_packs(p->big, width, size) && has_packs(p->small, width, size) &&
                 has_packs(p->index, width, p->wide_index ? 8 : 4);
    p->width = packs ? (int)width : 1;
    p->c /= p->width;
    p->total = p->n * p->c * p->h * p->w;
    p->is_32bit = p->total < (int64_t)1 << 31;
    if (p->total && p->is_32bit) {
        int64_t sizes[3] = {p->by_channels ? p->c : p->w, p->by_channels ? p->w : p->h,
                            p->by_channels ? p->h : p->c};
        for (int k = 0; k < 3; k++) p->by[k] = divider((uint32_t)sizes[k]);
    }
    return true;
}

template <class C>
__device__ inline C divisor_of(const pool_plan &p, const pool_window &y, const pool_window &x)
{
    if (p.divisor) return (C)p.divisor;
    if (p.include_pad) return (C)((int64_t)y.padded * x.padded);
    return (C)((int64_t)(y.end - y.begin) * (x.end - x.begin));
}

template <class T, int W> __global__ void __launch_bounds__(pool_threads) avg_forward(pool_plan p)
{
    typedef compute_t<T> C;
    int64_t step = (int64_t)gridDim.x * pool_threads;
    for (int64_t i = (int64_t)blockIdx.x * pool_threads + threadIdx.x; i < p.total; i += step) {
        pool_place at = pool_locate(p, i);
        pool_window wy = pool_window_of(p, 0, at.y), wx = pool_window_of(p, 1, at.x);
        const T *x = static_cast<const T *>(p.big.data) + pool_offset(p.big, at);
        C sum[W] = {}, divisor = divisor_of<C>(p, wy, wx);
        for (int r = wy.begin; r < wy.end; r++) {
#pragma unroll 4
            for (int c = wx.begin; c < wx.end; c++) {
                pack<T, W> v = *reinterpret_cast<const pack<T, W> *>(x + r * p.big.strides[2] +
                                                                     c * p.big.strides[3]);
                for (int w = 0; w < W; w++) sum[w] += widen(v.v[w]);
            }
        }
        pack<T, W> out;
        for (int w = 0; w < W; w++) out.v[w] = narrow<T>(sum[w] / divisor);
        *reinterpret_cast<pack<T, W> *>(static_cast<T *>(p.small.data) + pool_offset(p.small, at) +
                                        at.y * p.small.strides[2] + at.x * p.small.strides[3]) =
            out;
    }
}

template <class T, int W> __global__ void __launch_bounds__(pool_threads) avg_backward(pool_plan p)
{
    typedef compute_t<T> C;
    int64_t step = (int64_t)gridDim.x * pool_threads;
    for (int64_t i = (int64_t)blockIdx.x * pool_threads + threadIdx.x; i < p.total; i += step) {
        pool_place at = pool_locate(p, i);
        pool_window cy = pool_cover(p, 0, at.y), cx = pool_cover(p, 1, at.x);
        const T *g = static_cast<const T *>(p.small.data) + pool_offset(p.small, at);
        C sum[W] = {};
        for (int r = cy.begin; r < cy.end; r++) {
            pool_window wy = pool_window_of(p, 0, r);
            for (int c = cx.begin; c < cx.end; c++) {
                C divisor = divisor_of<C>(p, wy, pool_window_of(p, 1, c));
                pack<T, W> v = *reinterpret_cast<const pack<T, W> *>(g + r * p.small.strides[2] +
                                                                     c * p.small.strides[3]);
                for (int w = 0; w < W; w++) sum[w] += widen(v.v[w]) / divisor;
            }
        }
        pack<T, W> out;
        for (int w = 0; w < W; w++) out.v[w] = narrow<T>(sum[w]);
        *reinterpret_cast<pack<T, W> *>(static_cast<T *>(p.big.data) + pool_offset(p.big, at) +
                                        at.y * p.big.strides[2] + at.x * p.big.strides[3]) = out;
    }
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* If one window is the whole image and counts all of it, the call is a mean over H and W. */
struct whole_mean {
    lucid_reduce_attrs attrs;
    lucid_kernel_args args;
};
static bool is_whole(const lucid_kernel_args *args, whole_mean *m)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_pool2d_attrs *a = static_cast<const lucid_pool2d_attrs *>(args->attrs);
    if (y->dims[2] != 1 || y->dims[3] != 1) return false;
    for (int k = 0; k < 2 && args->op == LUCID_OP_avg_pool2d; k++)
        if (a->kernel[k] != x->dims[2 + k] || a->padding[k] || a->divisor) return false;
    m->attrs = {};
    m->attrs.mask = 12;
    m->attrs.keepdim = true;
    m->args = *args;
    m->args.op = LUCID_OP_mean;
    m->args.attrs = &m->attrs;
    return true;
}

static bool plan_average(const lucid_kernel_args *args, lucid_plan *plan)
{
    whole_mean m;
    return !is_whole(args, &m) || plan_reduce(&m.args, plan);
}

template <class T> static bool avg_pool2d(const lucid_kernel_args *args)
{
    enum { wide = 16 / sizeof(T) };
    call c(args);
    pool_plan p;
    whole_mean m;
    if (is_whole(args, &m)) return reduce(&m.args);
    if (!pool_make_plan(c, &p, c.in(0), c.out(0), nullptr, false,
                        args->op == LUCID_OP_adaptive_avg_pool2d))
        return false;
    return c.launch(p.width > 1 ? avg_forward<T, wide> : avg_forward<T, 1>, pool_blocks(c, p),
                    pool_threads, 0, p);
}

template <class T> static bool avg_pool2d_backward(const lucid_kernel_args *args)
{
    enum { wide = 16 / sizeof(T) };
    call c(args);
    pool_plan p;
    if (!pool_make_plan(c, &p, c.out(0), c.in(0), nullptr, true,
                        args->op == LUCID_OP_adaptive_avg_pool2d_backward))
        return false;
    return c.launch(p.width > 1 ? avg_backward<T, wide> : avg_backward<T, 1>, pool_blocks(c, p),
                    pool_threads, 0, p);
}

void register_pool(lucid_backend *b)
{
    LUC_FLOATS(b, avg_pool2d, avg_pool2d);
    LUC_FLOATS(b, adaptive_avg_pool2d, avg_pool2d);
    LUC_FLOATS(b, avg_pool2d_backward, avg_pool2d_backward);
    LUC_FLOATS(b, adaptive_avg_pool2d_backward, avg_pool2d_backward);
    set_plan(b, LUCID_OP_avg_pool2d, plan_average);
    set_plan(b, LUCID_OP_adaptive_avg_pool2d, plan_average);
}

} // namespace luc

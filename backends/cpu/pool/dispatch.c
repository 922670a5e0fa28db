/* dispatch.c: max, average and adaptive average pooling: plans and registration. */
#include "backends/cpu/pool/pool_priv.h"
#include "lucid/core/error_priv.h"

static int64_t dim_of(const lucid_view *v, int d)
{
    int from = d - (4 - v->ndim);
    return from >= 0 ? v->dims[from] : 1;
}

/* Strides of dimensions of size 1 mean nothing, so they get the values of a dense image. */
static luc_image image_of(const lucid_view *v)
{
    luc_image image = {.data = v->data};
    for (int d = 0; d < 4; d++) {
        int from = d - (4 - v->ndim);
        image.strides[d] = from >= 0 ? v->strides[from] : 0;
    }
    if (dim_of(v, 3) == 1) image.strides[3] = 1;
    if (dim_of(v, 2) == 1) image.strides[2] = dim_of(v, 3) * image.strides[3];
    return image;
}

/* Whether the stride of dimension d is 1 in every image that is given. */
static bool unit_stride(const luc_pool_plan *p, int d)
{
    const luc_image *images[] = {&p->big, &p->small, &p->index};
    for (int i = 0; i < 3; i++)
        if (images[i]->data && images[i]->strides[d] != 1) return false;
    return true;
}

static luc_pool_plan make_plan(const lucid_kernel_args *args, const lucid_view *big,
                               const lucid_view *small, const lucid_view *index, bool adaptive)
{
    const lucid_pool2d_attrs *a = args->attrs;
    luc_pool_plan p = {
        .n = dim_of(big, 0),
        .c = dim_of(big, 1),
        .h = dim_of(big, 2),
        .w = dim_of(big, 3),
        .oh = dim_of(small, 2),
        .ow = dim_of(small, 3),
        .adaptive = adaptive,
        .include_pad = a->count_include_pad || adaptive,
        .divisor = adaptive ? 0 : a->divisor,
        .big = image_of(big),
        .small = image_of(small),
    };
    if (index && luc_view_numel(index) > 0) {
        p.index = image_of(index);
        p.wide_index = index->dtype == LUCID_I64;
    }
    for (int i = 0; i < 2; i++) {
        p.kernel[i] = a->kernel[i];
        p.stride[i] = a->stride[i];
        p.padding[i] = a->padding[i];
        p.dilation[i] = a->dilation[i] > 0 ? a->dilation[i] : 1;
    }
    if (adaptive && p.oh > 0 && p.ow > 0 && p.h % p.oh == 0 && p.w % p.ow == 0) {
        p.adaptive = false; /* adjacent windows of one size */
        p.kernel[0] = p.stride[0] = p.h / p.oh;
        p.kernel[1] = p.stride[1] = p.w / p.ow;
        p.padding[0] = p.padding[1] = 0;
        p.dilation[0] = p.dilation[1] = 1;
    }
    int64_t bytes = luc_view_numel(big) * (int64_t)luc_elem_size(big->dtype);
    p.stream = luc_layer_streams(bytes);
    bool small_offsets = p.h * p.w <= INT32_MAX && !p.wide_index; /* winners fit 32-bit lanes */
    if (small_offsets && p.c > 1 && unit_stride(&p, 1))
        p.layout = LUC_POOL_CHANNELS;
    else if (small_offsets && unit_stride(&p, 3))
        p.layout = LUC_POOL_COLUMNS;
    return p;
}

static bool max_pool2d(const lucid_kernel_args *args)
{
    luc_pool_plan p = make_plan(args, args->in[0], args->out[0], args->out[1], false);
    if (lucid_dtype_is_floating(args->in[0]->dtype))
        luc_pool_get()->max[args->in[0]->dtype](&p);
    else
        luc_max_pool_int(&p, args->in[0]->dtype);
    return true;
}

static bool max_pool2d_backward(const lucid_kernel_args *args)
{
    const lucid_view *dx = args->out[0], *g = args->in[0];
    luc_pool_plan p = make_plan(args, dx, g, args->in[1], false);
    /* The gradient is too large for the cache, alone or together with what forward and backward
     * read and wrote. */
    int64_t moved = 2 * luc_view_numel(dx) + 3 * luc_view_numel(g);
    p.stream |= luc_moved_streams(moved * (int64_t)luc_elem_size(dx->dtype));
    luc_pool_get()->max_backward[args->in[0]->dtype](&p);
    return true;
}

/* Checks that every winner is a place in the plane. (The gradient needs no such check: an index
 * that is in no plane wins nothing.) */
static bool check_winners(const luc_pool_plan *p, const lucid_view *index)
{
    const int64_t n = luc_view_numel(index);
    for (int64_t i = 0; i < n; i++) {
        int64_t x = i % p->ow, y = i / p->ow % p->oh, plane = i / (p->ow * p->oh);
        int64_t at = plane / p->c * p->index.strides[0] + plane % p->c * p->index.strides[1] +
                     y * p->index.strides[2] + x * p->index.strides[3];
        int64_t k = p->wide_index ? ((const int64_t *)p->index.data)[at]
                                  : ((const int32_t *)p->index.data)[at];
        if (k < 0 || k >= p->h * p->w)
            return luc_raise(LUCID_ERR_ARGUMENT, "max_pool2d_gather",
                             "index: expected values in [0,%lld), got %lld at position %lld",
                             (long long)(p->h * p->w), (long long)k, (long long)i);
    }
    return true;
}

static bool max_pool2d_gather(const lucid_kernel_args *args)
{
    luc_pool_plan p = make_plan(args, args->in[0], args->out[0], args->in[1], false);
    if (!check_winners(&p, args->in[1])) return false;
    luc_pool_get()->max_gather[args->in[0]->dtype](&p);
    return true;
}

static bool avg_pool2d(const lucid_kernel_args *args)
{
    bool adaptive = args->op == LUCID_OP_adaptive_avg_pool2d;
    luc_pool_plan p = make_plan(args, args->in[0], args->out[0], NULL, adaptive);
    luc_pool_get()->avg[args->in[0]->dtype](&p);
    return true;
}

static bool avg_pool2d_backward(const lucid_kernel_args *args)
{
    bool adaptive = args->op == LUCID_OP_adaptive_avg_pool2d_backward;
    luc_pool_plan p = make_plan(args, args->out[0], args->in[0], NULL, adaptive);
    luc_pool_get()->avg_backward[args->in[0]->dtype](&p);
    return true;
}

void luc_cpu_register_pool(lucid_backend *b)
{
    static const lucid_dtype integers[] = {LUCID_I64, LUCID_I32, LUCID_U8};
    for (int i = 0; i < 3; i++) b->kernels[LUCID_OP_max_pool2d][integers[i]].run = max_pool2d;
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_max_pool2d][dtype].run = max_pool2d;
        b->kernels[LUCID_OP_max_pool2d_backward][dtype].run = max_pool2d_backward;
        b->kernels[LUCID_OP_max_pool2d_gather][dtype].run = max_pool2d_gather;
        b->kernels[LUCID_OP_avg_pool2d][dtype].run = avg_pool2d;
        b->kernels[LUCID_OP_avg_pool2d_backward][dtype].run = avg_pool2d_backward;
        b->kernels[LUCID_OP_adaptive_avg_pool2d][dtype].run = avg_pool2d;
        b->kernels[LUCID_OP_adaptive_avg_pool2d_backward][dtype].run = avg_pool2d_backward;
    }
}

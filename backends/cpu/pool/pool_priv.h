/*
 * pool_priv.h: 2-d pooling: how a call is described, and the kernels of a CPU level.
 *
 * `big` is the image that windows slide over (the input, or its gradient); `small` has one value
 * for each window (the output, or its gradient). Every path takes any strides. If the channels
 * (CHANNELS) or the columns (COLUMNS) of all images are neighbours in memory, vectors lie along
 * them.
 */
#ifndef LUC_POOL_PRIV_H
#define LUC_POOL_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"

typedef struct luc_image {
    void *data;
    int64_t strides[4]; /* of N, C, H, W */
} luc_image;

typedef struct luc_pool_plan {
    int64_t n, c, h, w, oh, ow;
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool adaptive, include_pad, stream;
    bool wide_index;             /* int64, else int32 */
    int64_t divisor;             /* 0: the window's own */
    luc_image big, small, index; /* index.data: NULL where there is none */
    enum { LUC_POOL_ANY, LUC_POOL_CHANNELS, LUC_POOL_COLUMNS } layout;
} luc_pool_plan;

/* A window along one axis: its taps inside the image, and its length with padding (average). */
typedef struct luc_window {
    int64_t begin, end, padded;
} luc_window;

LUC_INLINE luc_window luc_pool_window(const luc_pool_plan *p, int axis, int64_t o)
{
    int64_t size = axis ? p->w : p->h, out = axis ? p->ow : p->oh;
    if (p->adaptive) {
        luc_window w = {o * size / out, luc_ceil_div((o + 1) * size, out), 0};
        w.padded = w.end - w.begin;
        return w;
    }
    int64_t dilation = p->dilation[axis], pad = p->padding[axis];
    int64_t begin = o * p->stride[axis] - pad;
    int64_t end = begin + (p->kernel[axis] - 1) * dilation + 1;
    int64_t limit = size + pad;
    luc_window w = {begin, end < size ? end : size, (end < limit ? end : limit) - begin};
    if (begin < 0) w.begin += luc_ceil_div(-begin, dilation) * dilation;
    return w;
}

/* The windows [first, last) that may cover position i of an axis. */
LUC_INLINE void luc_pool_cover(const luc_pool_plan *p, int axis, int64_t i, int64_t *first,
                               int64_t *last)
{
    int64_t size = axis ? p->w : p->h, out = axis ? p->ow : p->oh;
    if (p->adaptive) {
        *first = i * out / size;
        *last = luc_ceil_div((i + 1) * out, size);
    } else {
        int64_t reach = (p->kernel[axis] - 1) * p->dilation[axis];
        *first = luc_ceil_div(i + p->padding[axis] - reach, p->stride[axis]);
        *last = (i + p->padding[axis]) / p->stride[axis] + 1;
    }
    if (*last > out) *last = out;
}

LUC_INLINE int64_t luc_pool_divisor(const luc_pool_plan *p, luc_window y, luc_window x)
{
    if (p->divisor) return p->divisor;
    if (p->include_pad) return y.padded * x.padded;
    return (y.end - y.begin) * (x.end - x.begin);
}

typedef struct luc_pool_table {
    void (*max[4])(const luc_pool_plan *p);
    void (*max_backward[4])(const luc_pool_plan *p);
    void (*max_gather[4])(const luc_pool_plan *p);
    void (*avg[4])(const luc_pool_plan *p);
    void (*avg_backward[4])(const luc_pool_plan *p);
} luc_pool_table;
LUC_DECLARE_TABLES(luc_pool_table, luc_pool)

/* Max pooling of int64, int32 or uint8. */
void luc_max_pool_int(const luc_pool_plan *p, lucid_dtype type);

#endif

/* walk.h: forward and input gradient as one walk over a grid of destination pixels: each is the sum
 * over taps of a source pixel times a matrix of weights. The input gradient of stride s is s * s
 * such walks, one for each remainder of the destination's coordinates, because each remainder has
 * other taps. */
#ifndef LUC_CONV_WALK_H
#define LUC_CONV_WALK_H

#include "backends/cpu/conv/conv_priv.h"

typedef struct {
    int64_t rows, cols;     /* the grid */
    int64_t step_r, step_c; /* source pixels between grid points */
    luc_conv_taps r, c;
    int64_t src_rows, src_cols;
    int64_t src_n, src_r, src_c;         /* strides of the source image ... */
    int64_t dst_at, dst_n, dst_r, dst_c; /* ... and of the grid points */
    int64_t depth, lanes;                /* source and destination channels of one group */
    int64_t w_lane, w_depth;
} luc_conv_walk;

static inline luc_conv_walk luc_conv_forward_walk(const luc_conv2d_params *p)
{
    return (luc_conv_walk){
        .rows = p->oh,
        .cols = p->ow,
        .step_r = p->stride_h,
        .step_c = p->stride_w,
        .r = luc_conv_forward_taps(p->kh, p->pad_h, p->dilation_h),
        .c = luc_conv_forward_taps(p->kw, p->pad_w, p->dilation_w),
        .src_rows = p->h,
        .src_cols = p->w,
        .src_n = p->x_stride[0],
        .src_r = p->x_stride[2],
        .src_c = p->x_stride[3],
        .dst_n = p->y_stride[0],
        .dst_r = p->y_stride[2],
        .dst_c = p->y_stride[3],
        .depth = p->c / p->groups,
        .lanes = p->o / p->groups,
        .w_lane = p->w_stride[0],
        .w_depth = p->w_stride[1],
    };
}

static inline luc_conv_walk luc_conv_backward_walk(const luc_conv2d_params *p, int64_t phase_r,
                                                   int64_t phase_c)
{
    return (luc_conv_walk){
        .rows = luc_ceil_div(luc_max64(p->h - phase_r, 0), p->stride_h),
        .cols = luc_ceil_div(luc_max64(p->w - phase_c, 0), p->stride_w),
        .step_r = 1,
        .step_c = 1,
        .r = luc_conv_backward_taps(p->kh, p->pad_h, p->dilation_h, p->stride_h, phase_r),
        .c = luc_conv_backward_taps(p->kw, p->pad_w, p->dilation_w, p->stride_w, phase_c),
        .src_rows = p->oh,
        .src_cols = p->ow,
        .src_n = p->y_stride[0],
        .src_r = p->y_stride[2],
        .src_c = p->y_stride[3],
        .dst_at = phase_r * p->x_stride[2] + phase_c * p->x_stride[3],
        .dst_n = p->x_stride[0],
        .dst_r = p->x_stride[2] * p->stride_h,
        .dst_c = p->x_stride[3] * p->stride_w,
        .depth = p->o / p->groups,
        .lanes = p->c / p->groups,
        .w_lane = p->w_stride[1],
        .w_depth = p->w_stride[0],
    };
}

static inline int64_t luc_conv_walks(const luc_conv2d_params *p, bool backward)
{
    return backward ? p->stride_h * p->stride_w : 1;
}

/* Walk number i. Where it has no taps, both counts are 0: its destination is zeros. */
static inline luc_conv_walk luc_conv_walk_of(const luc_conv2d_params *p, bool backward, int64_t i)
{
    luc_conv_walk k = backward ? luc_conv_backward_walk(p, i / p->stride_w, i % p->stride_w)
                               : luc_conv_forward_walk(p);
    if (k.r.count == 0 || k.c.count == 0) k.r.count = k.c.count = 0;
    return k;
}

/* Where kernel element (i, j) of the taps lies, from the first of its channel pair. */
static inline int64_t luc_conv_tap_at(const luc_conv2d_params *p, const luc_conv_walk *k, int64_t i,
                                      int64_t j)
{
    return (k->r.kernel_first + i * k->r.kernel_step) * p->w_stride[2] +
           (k->c.kernel_first + j * k->c.kernel_step) * p->w_stride[3];
}

#endif

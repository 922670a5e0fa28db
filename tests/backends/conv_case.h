/* conv_case.h: random numbers and shapes for the tests of the convolution engine. */
#ifndef LUC_TESTS_CONV_CASE_H
#define LUC_TESTS_CONV_CASE_H

#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;

static inline double uniform(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(int64_t)(state >> 11) * 0x1p-52 - 1.0;
}

static inline int64_t pick(int64_t low, int64_t high)
{
    return low + (int64_t)((uniform() + 1) / 2 * (double)(high - low + 1));
}

static inline void *block(size_t bytes)
{
    return aligned_alloc(64, (bytes + 127) / 64 * 64);
}

/* Its sizes, and the level in use. */
static inline void describe(const luc_conv2d_params *p, char *text, size_t size)
{
    snprintf(text, size,
             "level %s: x [%d,%d,%d,%d] w [%d,.,%d,%d] stride %d,%d pad %d,%d dilation %d,%d "
             "groups %d",
             luc_cpu_level_name(luc_cpu_current()), (int)p->n, (int)p->c, (int)p->h, (int)p->w,
             (int)p->o, (int)p->kh, (int)p->kw, (int)p->stride_h, (int)p->stride_w, (int)p->pad_h,
             (int)p->pad_w, (int)p->dilation_h, (int)p->dilation_w, (int)p->groups);
}

/* Square kernels; dense in channels_last memory. */
static inline luc_conv2d_params shape(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o,
                                      int64_t k, int64_t stride, int64_t pad, int64_t dilation,
                                      int64_t groups)
{
    luc_conv2d_params p = {.n = n,
                           .c = c,
                           .h = h,
                           .w = w,
                           .o = o,
                           .kh = k,
                           .kw = k,
                           .stride_h = stride,
                           .stride_w = stride,
                           .pad_h = pad,
                           .pad_w = pad,
                           .dilation_h = dilation,
                           .dilation_w = dilation,
                           .groups = groups};
    luc_conv2d_channels_last(&p);
    return p;
}

typedef enum { X, W, Y } operand;

static inline int64_t span(const luc_conv2d_params *p, operand which)
{
    switch (which) {
    case X:
        return p->n * p->c * p->h * p->w;
    case W:
        return p->o * (p->c / p->groups) * p->kh * p->kw;
    default:
        return p->n * p->o * p->oh * p->ow;
    }
}

/* By the plain loops, which are the reference. */
static inline luc_conv2d_plan loops(const luc_conv2d_params *p, luc_conv_type type,
                                    luc_conv_pass pass)
{
    luc_conv2d_params plain = *p;
    plain.method = LUC_CONV_REFERENCE;
    return luc_conv2d_make_plan(&plain, type, pass, NULL);
}

static inline void loops_forward(const luc_conv2d_params *p, luc_conv_type type, const void *x,
                                 const void *w, const luc_conv_epilogue *then, void *y)
{
    const luc_conv2d_plan plan = loops(p, type, LUC_CONV_FORWARD);
    luc_conv2d_forward(&plan, x, w, then, y, NULL);
}

static inline void loops_grad_input(const luc_conv2d_params *p, luc_conv_type type, const void *dy,
                                    const void *w, void *dx)
{
    const luc_conv2d_plan plan = loops(p, type, LUC_CONV_GRAD_INPUT);
    luc_conv2d_grad_input(&plan, dy, w, dx, NULL);
}

static inline void loops_grad_weight(const luc_conv2d_params *p, luc_conv_type type, const void *x,
                                     const void *dy, void *dw, void *dbias)
{
    const luc_conv2d_plan plan = loops(p, type, LUC_CONV_GRAD_WEIGHT);
    luc_conv2d_grad_weight(&plan, x, dy, dw, dbias, NULL);
}

static inline bool takes_planes(const luc_conv2d_params *p, luc_conv_pass pass)
{
    luc_conv2d_params q = *p;
    q.convertible = true;
    return luc_conv_takes_planes(luc_conv_choose(&q, LUC_CONV_F32, pass));
}

static inline void every_level(void (*f)(void))
{
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        cr_assert(luc_cpu_force((luc_cpu_level)level));
        f();
    }
    luc_cpu_force(luc_cpu_best());
}

#endif

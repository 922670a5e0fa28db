/* conv_priv.h: what the files of convolution share. */
#ifndef LUC_CONV_PRIV_H
#define LUC_CONV_PRIV_H

#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"

/* Sums for the mean and the variance of y's channels, for parts of its pixels. A part's channels
   are begun with one of its pixels, in one or several calls, and then all pixels are added. Only
   one thread at a time may work on one part and channel. */
typedef struct {
    int64_t channels, parts;
    double *sums;    /* [part][base, sum of y - base, of its square][channel] */
    int64_t *pixels; /* [part] */
} luc_conv_sums;

typedef struct {
    /* y: the pixel's channels [channel, channel + n). */
    void (*begin)(const luc_conv_sums *s, int64_t part, const float *y, int64_t channel, int64_t n);
    /* The same for `pixels` pixels that are `step` apart. */
    void (*add)(const luc_conv_sums *s, int64_t part, const float *y, int64_t pixels, int64_t step,
                int64_t channel, int64_t n);
    /* y: all of it, dense in channels_last memory. */
    void (*finish)(const luc_conv_sums *s, const float *y, double *mean, double *var);
} luc_conv_sums_table;
LUC_DECLARE_TABLES(luc_conv_sums_table, luc_conv_sums)

/* luc_conv_epilogue for float and bfloat16; fields are NULL or false if there is nothing to do. */
typedef struct {
    const float *scale, *shift;
    const float *residual;         /* of float */
    const uint16_t *half_residual; /* of bfloat16 */
    bool relu;
    const luc_conv_sums *sums; /* to be filled */
} luc_conv_then;

/* The number of threads that work is cut for. With statistics it is constant, so that their parts
   do not depend on the number of threads. */
enum { LUC_CONV_SUMS_THREADS = 16 };
static inline int luc_conv_cut_for(const luc_conv2d_params *p, int threads)
{
    return p->statistics ? LUC_CONV_SUMS_THREADS : threads;
}

/* Kernels of the forward pass and the input gradient (backward: from dy to dx). They read the
   weights in a packed form, which depends on the weights' sizes and the level, not on the
   images. All are of float, except those of the algorithms of bfloat16. */
typedef struct {
    size_t (*packed_bytes)(const luc_conv2d_params *p, bool backward);
    void (*pack)(const luc_conv2d_params *p, bool backward, const void *w, void *packed);
    size_t (*bytes)(const luc_conv2d_params *p, bool backward, int threads); /* without those */
    void (*run)(const luc_conv2d_params *p, bool backward, const void *from, const void *packed,
                const luc_conv_then *then, void *to, char *workspace, int threads);
    int64_t (*parts)(const luc_conv2d_params *p); /* of statistics; NULL: it takes none */
} luc_conv_packed_kernel;

/* What a pass reads and writes: float, double for LUC_CONV_F64, or what the algorithm is of. */
typedef struct {
    const void *from, *with; /* forward: x, w; input gradient: dy, w; weight gradient: x, dy */
    void *to;                /* y, dx or dw */
    void *bias;              /* weight gradient: dbias, or NULL */
    const luc_conv_epilogue *epilogue; /* forward; NULL: the plain sums */
    const luc_conv_then *then;         /* forward, not of double: never NULL */
    char *workspace;                   /* plan->own_bytes */
} luc_conv_operands;

/* A way of computing a pass; algorithms.c has the lists. */
struct luc_conv_algorithm {
    const char *name;
    unsigned passes; /* 1 << LUC_CONV_FORWARD and so on */
    bool planes;     /* it reads and writes images whose channels are planes */
    bool bf16;       /* it reads and writes bfloat16 */
    /* Whether it computes this pass, with these strides. */
    bool (*can)(const luc_conv2d_params *p, luc_conv_pass pass);
    /* Whether it should be faster than what comes later in the list. NULL: it is. */
    bool (*pays)(const luc_conv2d_params *p, luc_conv_pass pass);
    /* The kernel, if it packs its weights; else NULL. */
    const luc_conv_packed_kernel *(*packed)(void);
    /* The bytes of workspace. NULL: none. */
    size_t (*bytes)(const luc_conv2d_plan *plan);
    void (*run)(const luc_conv2d_plan *plan, const luc_conv_operands *o);
};

/* Windows of channels_last images (dense groups). */
typedef struct {
    luc_conv_packed_kernel kernel;
} luc_conv_window_table;
LUC_DECLARE_TABLES(luc_conv_window_table, luc_conv_window)

/* 1x1 kernels without padding and groups; for the input gradient only with stride 1. The
   destination is dense in channels_last memory. With stride 1 the source may be the same, or
   [N,C,H,W] with dense planes. */
typedef struct {
    luc_conv_packed_kernel kernel;
} luc_conv_pointwise_table;
LUC_DECLARE_TABLES(luc_conv_pointwise_table, luc_conv_pointwise)

/* 3x3 kernels of stride 1, by Winograd's transform. */
typedef struct {
    bool (*fits)(const luc_conv2d_params *p, bool backward); /* can be computed so */
    bool (*wins)(const luc_conv2d_params *p, bool backward); /* and should be faster */
    luc_conv_packed_kernel kernel;
} luc_conv_winograd_table;
LUC_DECLARE_TABLES(luc_conv_winograd_table, luc_conv_winograd)

/* The input gradient of stride 2 into few channels. The packed weights depend on the padding
   too. */
typedef struct {
    bool (*wins)(const luc_conv2d_params *p);
    luc_conv_packed_kernel kernel;
} luc_conv_thin_table;
LUC_DECLARE_TABLES(luc_conv_thin_table, luc_conv_thin)

typedef struct {
    bool (*fits)(const luc_conv2d_params *p);
    bool (*wins)(const luc_conv2d_params *p);
    size_t (*bytes)(const luc_conv2d_params *p);
    void (*run)(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                char *workspace);
} luc_conv_winograd_weight_table;
LUC_DECLARE_TABLES(luc_conv_winograd_weight_table, luc_conv_winograd_weight)

/* The weight gradient, and the sum of dy over pixels. */
typedef struct {
    size_t (*bytes)(const luc_conv2d_params *p, int threads);
    void (*run)(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                char *workspace, int threads);
    size_t (*bias_bytes)(const luc_conv2d_params *p);
    void (*run_bias)(const luc_conv2d_params *p, const float *dy, float *dbias, char *workspace);
} luc_conv_weight_table;
LUC_DECLARE_TABLES(luc_conv_weight_table, luc_conv_weight)

/* The same for images whose channels are planes, which are not converted. */
typedef struct {
    bool (*fits)(const luc_conv2d_params *p);
    size_t (*bytes)(const luc_conv2d_params *p, int threads);
    void (*run)(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                char *workspace, int threads);
    void (*run_bias)(const luc_conv2d_params *p, const float *dy, float *dbias);
} luc_conv_plane_table;
LUC_DECLARE_TABLES(luc_conv_plane_table, luc_conv_plane)

/* The same for 1x1 kernels without padding and groups; x may be channels_last. */
typedef struct {
    bool (*fits)(const luc_conv2d_params *p);
    size_t (*bytes)(const luc_conv2d_params *p, int threads);
    void (*run)(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                char *workspace, int threads);
} luc_conv_pointwise_weight_table;
LUC_DECLARE_TABLES(luc_conv_pointwise_weight_table, luc_conv_pointwise_weight)

/* One filter for each channel: groups = c = o. */
typedef struct {
    size_t (*bytes)(const luc_conv2d_params *p, luc_conv_pass pass);
    void (*forward)(const luc_conv2d_params *p, const float *x, const float *w,
                    const luc_conv_then *then, float *y, char *workspace);
    void (*grad_input)(const luc_conv2d_params *p, const float *dy, const float *w, float *dx,
                       char *workspace);
    void (*grad_weight)(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                        char *workspace);
} luc_conv_depthwise_table;
LUC_DECLARE_TABLES(luc_conv_depthwise_table, luc_conv_depthwise)

/* Double by matrix products, with any strides. Not where there is too little to do. */
bool luc_conv_f64_fits(const luc_conv2d_params *p);
size_t luc_conv_f64_bytes(const luc_conv2d_params *p, luc_conv_pass pass, int threads);
void luc_conv_f64_forward(const luc_conv2d_params *p, const double *x, const double *w,
                          const luc_conv_epilogue *then, double *y, char *workspace, int threads);
void luc_conv_f64_grad_input(const luc_conv2d_params *p, const double *dy, const double *w,
                             double *dx, char *workspace, int threads);
void luc_conv_f64_grad_weight(const luc_conv2d_params *p, const double *x, const double *dy,
                              double *dw, char *workspace, int threads);

/* bfloat16 by the blocks of bf16/bf16.h, in channels_last memory. */
extern const luc_conv_packed_kernel luc_conv_blocks;
size_t luc_conv_block_weights_bytes(const luc_conv2d_params *p, int threads);
void luc_conv_block_weights(const luc_conv2d_params *p, const uint16_t *x, const uint16_t *dy,
                            uint16_t *dw, uint16_t *dbias, char *workspace, int threads);

/* The plain loops, any strides, float or double. */
void luc_conv_ref_forward_f32(const luc_conv2d_params *p, const float *x, const float *w,
                              const luc_conv_epilogue *then, float *y);
void luc_conv_ref_grad_input_f32(const luc_conv2d_params *p, const float *dy, const float *w,
                                 float *dx);
void luc_conv_ref_grad_weight_f32(const luc_conv2d_params *p, const float *x, const float *dy,
                                  float *dw, float *dbias);
void luc_conv_ref_forward_f64(const luc_conv2d_params *p, const double *x, const double *w,
                              const luc_conv_epilogue *then, double *y);
void luc_conv_ref_grad_input_f64(const luc_conv2d_params *p, const double *dy, const double *w,
                                 double *dx);
void luc_conv_ref_grad_weight_f64(const luc_conv2d_params *p, const double *x, const double *dy,
                                  double *dw, double *dbias);

/* n in pieces of at most `most`, as even as can be: the size of a piece. */
static inline int64_t luc_even_piece(int64_t n, int64_t most)
{
    return luc_ceil_div(n, luc_ceil_div(n, most));
}

/* The same, where threads share the pieces: each gets as many as the others, unless it gets
   many. */
static inline int64_t luc_shared_piece(int64_t n, int64_t most, int threads)
{
    int64_t pieces = luc_ceil_div(n, most);
    if (pieces < 8 * threads) pieces = luc_ceil_div(pieces, threads) * threads;
    return luc_ceil_div(n, luc_max64(luc_min64(pieces, n), 1));
}

/* The outputs i in [*first, *last) whose source i * stride + offset lies in [0, size), of count. */
static inline void luc_valid_range(int64_t count, int64_t stride, int64_t offset, int64_t size,
                                   int64_t *first, int64_t *last)
{
    if (stride == 1) { /* spares two divisions */
        *first = luc_min64(luc_max64(-offset, 0), count);
        *last = luc_min64(luc_max64(size - offset, 0), count);
    } else {
        *first = offset < 0 ? luc_min64(luc_ceil_div(-offset, stride), count) : 0;
        *last = size > offset ? luc_min64(luc_ceil_div(size - offset, stride), count) : 0;
    }
    if (*last < *first) *last = *first;
}

/* The taps of a kernel in one direction, in ascending order of what they see: tap t of
   destination i sees source i * stride + first + t * step (backward: without the stride, i counts
   the destinations of one remainder), and is the kernel's own element kernel_first + t *
   kernel_step. */
typedef struct {
    int64_t first, step, count, kernel_first, kernel_step;
} luc_conv_taps;

static inline luc_conv_taps luc_conv_forward_taps(int64_t kernel, int64_t pad, int64_t dilation)
{
    return (luc_conv_taps){.first = -pad, .step = dilation, .count = kernel, .kernel_step = 1};
}

/* Of the taps, those through which input i * stride + phase is seen from an output. */
static inline luc_conv_taps luc_conv_backward_taps(int64_t kernel, int64_t pad, int64_t dilation,
                                                   int64_t stride, int64_t phase)
{
    luc_conv_taps t = {.step = 1};
    int64_t last = -1;
    for (int64_t k = 0; k < kernel; k++) {
        if ((phase + pad - k * dilation) % stride != 0) continue;
        if (t.count == 1) t.kernel_step = last - k; /* sources ascend while the kernel descends */
        last = k;
        t.count++;
    }
    if (t.count == 0) return t;
    t.kernel_first = last;
    t.first = (phase + pad - last * dilation) / stride;
    if (t.count > 1) t.step = -t.kernel_step * dilation / stride;
    return t;
}

#endif

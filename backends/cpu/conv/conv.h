/*
 * conv.h: two-dimensional convolution on plain pointers: forward and both gradients.
 *
 *     y[n,o,i,j] = sum over c, r, s of
 *                  x[n, c, i * stride - pad + r * dilation, ...] * w[o, c - first, r, s]
 *
 * where c runs over the group of o. Everything is logically [N,C,H,W] and [O,C/groups,kH,kW] with
 * any strides. Float (and float16, bfloat16, which are converted unless the CPU has products of
 * bfloat16) with x and y in channels_last
 * memory (channel stride 1) uses the fast kernels, and so do the cases whose algorithm
 * luc_conv_takes_planes. Double uses matrix products, with any strides. All other cases
 * use the plain reference, which is slow: callers convert NCHW first (luc_transpose). The caller
 * checks that the sizes agree. Results are the same bits with any number of threads.
 */
#ifndef LUC_CONV_H
#define LUC_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    LUC_CONV_F32,
    LUC_CONV_F64,
    LUC_CONV_F16, /* F16, BF16: sums in float, rounded once at the end */
    LUC_CONV_BF16,
} luc_conv_type;

typedef enum {
    LUC_CONV_FORWARD,
    LUC_CONV_GRAD_INPUT,
    LUC_CONV_GRAD_WEIGHT,
} luc_conv_pass;

/* How a pass is computed in float. */
typedef enum {
    LUC_CONV_AUTO,   /* the faster of the next two, which the shape decides */
    LUC_CONV_DIRECT, /* plain sums of products */
    /* Winograd's transforms (winograd_transforms.h) where the kernel is 3x3 with stride 1, else
       direct. The error is about twice that of direct sums (measured, relative to the sum of
       absolute terms: 4e-7 and 2e-7), and a NaN or infinity makes NaN of all 4x4 outputs that are
       computed together. */
    LUC_CONV_WINOGRAD,
    LUC_CONV_REFERENCE, /* the plain loops */
    LUC_CONV_BLOCKS,    /* bfloat16: the blocks of bf16/bf16.h, at every level */
} luc_conv_method;

typedef struct {
    int64_t n, c, h, w; /* x */
    int64_t o, kh, kw;  /* w is [o, c / groups, kh, kw] */
    int64_t oh, ow;     /* y is [n, o, oh, ow] */
    int64_t stride_h, stride_w;
    int64_t pad_h, pad_w; /* zeros above and on the left; oh and ow imply the other sides */
    int64_t dilation_h, dilation_w;
    int64_t groups;
    int64_t x_stride[4], w_stride[4], y_stride[4]; /* in elements, of x or its gradient, etc. */
    luc_conv_method method;
    bool packed;      /* forward: w is what luc_conv2d_pack makes, if the plan has packed_bytes */
    bool statistics;  /* forward of float: the epilogue asks for mean and var */
    bool convertible; /* the caller converts images to channels_last memory if that is faster */
} luc_conv2d_params;

typedef struct luc_conv_algorithm luc_conv_algorithm; /* conv_priv.h */

/* A pass, and all that is decided about it. */
typedef struct {
    luc_conv2d_params
        p; /* of it, .statistics: the algorithm takes them from what it has just made */
    luc_conv_type type;
    luc_conv_pass pass;
    const luc_conv_algorithm *algorithm; /* NULL: the result has no elements */
    int threads;                         /* that the work and the workspace are cut for */
    bool statistics;                     /* are wanted */
    size_t
        packed_bytes; /* forward: of the packed weights, which the caller gives; 0: w is as it is */
    size_t own_bytes; /* of the algorithm's workspace */
    size_t workspace; /* of all of it */
} luc_conv2d_plan;

/* What is done to forward's sums before they are stored: y = sum * scale + shift + residual, then
   ReLU. It needs no pass over memory of its own. */
typedef struct {
    const void *scale, *shift; /* [o] or NULL: 1 and 0; of double for LUC_CONV_F64, else of float */
    const void *residual;      /* of y's type, sizes and strides, or NULL: none */
    bool relu;                 /* max(y, 0); a NaN stays */
    /* [o], written: the mean and the (biased) variance of each channel over the stored values, or
       NULL. Only for float, with y dense in channels_last memory, and if p->statistics said so. */
    double *mean, *var;
} luc_conv_epilogue;

/* Whether LUC_CONV_AUTO may choose Winograd's transform. It may, unless LUCID_WINOGRAD is 0 when it
   is first needed. A call that is under way keeps the setting that it began with. Returns the old
   setting. */
bool luc_conv_allow_winograd(bool allow);
bool luc_conv_winograd_is_allowed(void);

/* Sets the strides of x and y as dense channels_last, those of w as dense [O,C/groups,kH,kW],
   and oh and ow from the rest. */
void luc_conv2d_channels_last(luc_conv2d_params *p);

/* The algorithm that the pass gets. */
const luc_conv_algorithm *luc_conv_choose(const luc_conv2d_params *p, luc_conv_type type,
                                          luc_conv_pass pass);

/* "winograd", "windows" ... */
const char *luc_conv_name(const luc_conv_algorithm *algorithm);

/* Whether it reads and writes images whose channels are not adjacent as they are, and fast. */
bool luc_conv_takes_planes(const luc_conv_algorithm *algorithm);

/* The plan of a pass by an algorithm that luc_conv_choose has given for it (NULL: it is chosen
   here), with the number of threads that is set now. A run may come when another number is. */
luc_conv2d_plan luc_conv2d_make_plan(const luc_conv2d_params *p, luc_conv_type type,
                                     luc_conv_pass pass, const luc_conv_algorithm *algorithm);

/* What the packed form of the weights depends on, besides their values. */
typedef struct {
    const luc_conv_algorithm *algorithm;
    int level;
    int64_t o, c, kh, kw, groups, stride[4];
} luc_conv_packing;

/* Packs the weights of a forward pass whose plan has packed_bytes. They serve every plan with the
   same packing. */
luc_conv_packing luc_conv2d_packing(const luc_conv2d_plan *plan);
void luc_conv2d_pack(const luc_conv2d_plan *plan, const void *w, void *packed);

/* Each of these takes the plan of its pass and plan->workspace bytes, 64-byte aligned and with any
   content, and writes its whole result. */

/* then: NULL for the plain sums. */
void luc_conv2d_forward(const luc_conv2d_plan *plan, const void *x, const void *w,
                        const luc_conv_epilogue *then, void *y, void *workspace);

/* dx has x's strides, dy y's. */
void luc_conv2d_grad_input(const luc_conv2d_plan *plan, const void *dy, const void *w, void *dx,
                           void *workspace);

/* dw has w's strides; dbias: [o] or NULL. The zeros around x may be multiplied, so an infinity at
   the border of dy may become a NaN in taps that do not touch it. */
void luc_conv2d_grad_weight(const luc_conv2d_plan *plan, const void *x, const void *dy, void *dw,
                            void *dbias, void *workspace);

#endif

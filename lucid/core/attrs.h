/* attrs.h: the attributes that operations give to kernels: plain structs, one for each family of
 * operations. A graph node copies a struct bytewise, so pointers in it point to what outlives the
 * node; only the optimizers' structs, which no node has, point to lists. */
#ifndef LUCID_ATTRS_H
#define LUCID_ATTRS_H

#include "api.h"
#include "backend.h"
#include "interpolation.h"
#include "reduction.h"
#include "shape.h"

LUCID_BEGIN_DECLS

/* Elementwise operators have one number or two as attributes; ops.def says how many. Of one:
 * add_scalar, mul_scalar, pow_scalar (and fill). */
typedef struct lucid_scalar_attrs {
    double value;
} lucid_scalar_attrs;

/* Two numbers, by the order of the call's arguments. */
typedef struct lucid_numbers_attrs {
    double a, b;
} lucid_numbers_attrs;

/* clamp, clamp_backward: min may be -inf, max +inf */
typedef struct lucid_clamp_attrs {
    double min, max;
} lucid_clamp_attrs;

/* gelu, gelu_backward */
typedef struct lucid_gelu_attrs {
    double tanh; /* 1: the tanh approximation instead of erf; 0 otherwise */
} lucid_gelu_attrs;

/* sum, mean, var, amax, amin, argmax, argmin. Bit d of mask: dimension d is reduced. The output has
 * the kept dimensions only, or all with size 1 in the reduced ones (keepdim). */
typedef struct lucid_reduce_attrs {
    uint32_t mask;
    bool keepdim;
    int64_t correction; /* var: divide by n - correction */
} lucid_reduce_attrs;

/* softmax, log_softmax, cat, gather, scatter_add, index_select, index_add; `size` is the size of
 * dim in the result of index_add and scatter_add */
typedef struct lucid_dim_attrs {
    int dim;
    int64_t size;
} lucid_dim_attrs;

/* sort (x) -> (values, index), argsort (x) -> index, topk (x) -> (values, index): along `dim`, of
 * less than 2^32 elements. NaN is the largest, -0.0 equals 0.0, and equal elements stay in x's
 * order in both directions, so there is one right result. The index is int64. */
typedef struct lucid_sort_attrs {
    int dim;
    int64_t k;       /* topk: the number of elements, which are the first in the order */
    bool descending; /* the largest first */
} lucid_sort_attrs;

/* cumsum, cumprod, logcumsumexp (x) -> y; cummax, cummin (x) -> (values, index of int64): along
 * `dim`. A NaN stays from where it stands on; of equal extremes the last one's index counts. */
typedef struct lucid_scan_attrs {
    int dim;
    bool reverse; /* cumsum, logcumsumexp: from the end */
} lucid_scan_attrs;

/* linalg_*: matrices are the last two dimensions, those before them are a batch.
 * cholesky (a) -> l; det (a) -> det; slogdet (a) -> (log |det|, sign); solve (a, b) -> x; a b of
 * [..,M,K]; solve_triangular (a, b) -> x; qr (a) -> (q, r); svd (a) -> (u, s, vh); eigh (a) ->
 * (values, vectors), of one triangle of a. */
typedef struct lucid_linalg_attrs {
    bool upper;       /* cholesky, eigh: reads the upper triangle; solve_triangular: a is upper */
    bool unit;        /* solve_triangular: a's diagonal counts as ones */
    bool full;        /* qr, svd: square q, u and vh */
    bool values_only; /* svd, eigh: vectors are not computed and have size [0] */
} lucid_linalg_attrs;

/* view, expand, permute (dims = the order), copy, as_strided and the view backwards */
typedef struct lucid_view_attrs {
    lucid_shape shape;               /* of the result; permute: the order */
    int64_t strides[LUCID_MAX_DIMS]; /* as_strided */
    int64_t offset;                  /* as_strided: elements from the storage's beginning */
    int dim;                         /* slice, select */
    int64_t start, step;             /* slice; select: start is the index */
    lucid_memory_format format;      /* copy */
    lucid_device device;             /* to_device */
    lucid_dtype dtype;               /* cast */
} lucid_view_attrs;

/* conv2d [N,C,H,W] x [O,C/groups,kH,kW] and its two gradients; [0] is height, [1] is width.
 * Inputs: conv2d (input, weight, bias?); conv2d_statistics (the same) -> (output, each channel's
 * mean and biased variance over the output, [O] of float64); conv2d_backward_input (grad_out,
 * weight); conv2d_backward_weight (grad_out, input). */
typedef struct lucid_conv2d_attrs {
    int64_t stride[2], padding[2], dilation[2], groups;
    int64_t size[4]; /* the backwards: the sizes of the input or weight that is made */
    bool relu;       /* conv2d on the CPU: the output goes through ReLU */
} lucid_conv2d_attrs;

/* linear: inputs (x, weight, bias?). */
typedef struct lucid_linear_attrs {
    bool relu; /* on the CPU: the output goes through ReLU */
} lucid_linear_attrs;

/* conv2d_batch_norm: inputs (input, weight, bias?, norm_weight?, norm_bias?, running_mean,
 * running_var, residual?): batch_norm of conv2d with the running statistics, + residual, then ReLU,
 * if `relu`. */
typedef struct lucid_conv2d_batch_norm_attrs {
    lucid_conv2d_attrs conv;
    double eps;
    bool relu;
} lucid_conv2d_batch_norm_attrs;

/* max_pool2d (input) -> (output, index: h*W+w of the winner); max_pool2d_backward (grad_out,
 * index) -> grad_in; max_pool2d_gather (x, index) -> x at the winners. The index is int32, or int64
 * for images of 2^31 pixels or more; kernels take both. With no_index it has size [0] and is not
 * written.
 * avg_pool2d, adaptive_avg_pool2d (only `size` of the output counts there) and their backwards. */
typedef struct lucid_pool2d_attrs {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool ceil_mode, count_include_pad, no_index;
    int64_t divisor; /* avg_pool2d: divide by this; 0: by the window */
    int64_t size[2]; /* H and W of the output; of grad_in for the backwards */
} lucid_pool2d_attrs;

/* interpolate (x [N,C,H,W]) -> output, and interpolate_backward (grad of the output) -> grad of x.
 * H and W are `in` before and `out` after interpolating, in both. */
typedef struct lucid_interpolate_attrs {
    int mode; /* a lucid_interpolate_mode, but not area; linear is bilinear */
    bool align_corners, antialias;
    int64_t in[2], out[2];
    double scale[2]; /* out / in where it was given; 0: computed from the sizes */
} lucid_interpolate_attrs;

/* batch_norm: inputs (x [N,C,...], weight?, bias?, running_mean?, running_var?, residual?, mean?,
 * var?), outputs (y, mean [C], invstd [C]). The residual is like x and added to what was
 * normalised; then comes ReLU, if `relu`. The inputs mean and var (biased) are the batch's
 * statistics, [C] of float64, where they are known; a backend may compute them again all the same.
 * The outputs mean and invstd are float64 whatever x is: the statistics that were used, batch or
 * running. Running statistics change in place when training and momentum >= 0.
 * batch_norm_backward: inputs (grad_y, x, weight?, mean, invstd, bias?, y?), outputs (grad_x,
 * grad_weight, grad_bias, grad_residual); bits 1, 2, 4, 8 of `want` say which, and one that is not
 * wanted has size [0]. With `relu`, grad_y counts as 0 where y <= 0 (a NaN lets it pass);
 * grad_residual is grad_y with these zeros. y is needed only where there was a residual: without
 * it, its sign is computed from x and bias, exactly as forward did. */
typedef struct lucid_batch_norm_attrs {
    double eps, momentum; /* momentum: the factor of this call; < 0: do not update */
    bool training;        /* use batch statistics */
    bool relu;            /* the output goes through ReLU */
    uint32_t want;
} lucid_batch_norm_attrs;

/* nll_loss: inputs (log_probs [N,C] or [N,C,...], target i64 [N] or [N,...], weight? [C]), outputs
 * (loss, total_weight). */
typedef struct lucid_nll_attrs {
    int reduction;
    int64_t ignore_index;
} lucid_nll_attrs;

/* lstm: inputs (gates [T,N,4H], the input's part of i, f, g, o; weight_hh [4H,H], h0 [N,H], c0
 * [N,H], lengths? [N] of int64), outputs (y [T,N,H], h_n [N,H], c_n [N,H], c of each step [T,N,H],
 * the activations of i, f, g, o [T,N,4H]). After its length a sample's state stays, y and
 * activations are 0.
 * lstm_backward: inputs (activations, c, c0, weight_hh, grad_y?, grad_h_n?, grad_c_n?, lengths?),
 * outputs (grad_gates, grad_h0, grad_c0). */
typedef struct lucid_lstm_attrs {
    bool reverse; /* from the last step to the first */
} lucid_lstm_attrs;

/* Philox4x32-10: element i takes lane i % 4 of block offset + i / 4, so the numbers do not depend
 * on threads, device or vector width. dropout: inputs (x), outputs (y, mask u8). */
typedef struct lucid_random_attrs {
    uint64_t seed, offset; /* offset counts blocks of four 32-bit numbers */
    double a, b;           /* uniform [a,b); normal mean, std; bernoulli and dropout: p = a */
    int64_t low, high;     /* randint [low, high) */
    /* In a captured step: two numbers on the device, the seed in place of `seed` and one to add to
     * `offset`. NULL otherwise. */
    const uint64_t *live;
} lucid_random_attrs;

/* arange, linspace: start + i * step (the last element of linspace is end exactly) */
typedef struct lucid_range_attrs {
    double start, step, end;
    bool linspace;
} lucid_range_attrs;

/* The optimizers' kernels change n parameters at once. param, grad and state are lists of views. */
typedef struct lucid_optim_attrs {
    int64_t n;
    lucid_view *param, *grad, *state[3];
    const bool *first;   /* sgd: this parameter's momentum buffer is not set yet */
    const int64_t *step; /* adam: the step each parameter is at, from 1 */
    double lr, momentum, dampening, weight_decay, beta1, beta2, eps, rho;
    bool nesterov, maximize, amsgrad, decoupled; /* decoupled: AdamW's weight decay */
    /* In a captured step: two numbers on the device, a double in place of `lr` and an int64 to add
     * to every `step`. NULL otherwise. */
    const uint64_t *live;
} lucid_optim_attrs;

/* sum_squares: the sum of the squares of all elements of n tensors, in double, into a 0-d f64.
 * unscale: input (scale, 0-d f32), output (found, 0-d f32, which is otherwise left as it is): all
 * elements of n tensors of the kernel's dtype are multiplied in place by 1 / scale (rounded to
 * f32), and found becomes 1 where one of them was NaN or infinite before. */
typedef struct lucid_list_attrs {
    int64_t n;
    const lucid_view *views;
} lucid_list_attrs;

LUCID_END_DECLS
#endif

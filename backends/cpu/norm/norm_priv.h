/*
 * norm_priv.h: batch normalisation: how a call is cut up, and the kernels of a CPU level.
 *
 * Statistics are sums in double of d and d*d over the values of a channel, where d = x - shift and
 * shift is the channel's first value. Because that is one of the values, (shift - mean)^2 <= n *
 * var: sum(d*d)/n - (sum(d)/n)^2 never cancels more than the sums can spare. Normalising subtracts
 * the mean as two numbers, high and low part, so that it is accurate beyond x's own type.
 *
 * There are two ways through memory. ROWS: a channel is a set of runs along the innermost dimension
 * (NCHW, and any strides with the help of small buffers). LANES: the channels of a pixel are
 * neighbours (channels_last, [N,C]). Then `group` pixels are taken as one row of `width` = group *
 * C numbers, a multiple of 16, so that vectors have no remainders even for odd C.
 *
 * Both cut the values of a channel into blocks that depend on the shape alone and add the blocks'
 * sums in order, so the bits are the same for any number of threads.
 */
#ifndef LUC_NORM_PRIV_H
#define LUC_NORM_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"

enum { LUC_NORM_GROUP = 16 };

/* What the output's pass makes of an element. Forward: y, then + r, then ReLU. Backward: grad_x,
 * with grad_y set to 0 where ReLU's output was not above 0. That is known from the saved output, or
 * from its sign, which is computed once more in the same way as in forward. */
typedef enum luc_norm_kind {
    LUC_NORM_Y,
    LUC_NORM_Y_RELU,
    LUC_NORM_Y_ADD,
    LUC_NORM_Y_ADD_RELU,
    LUC_NORM_DX,
    LUC_NORM_DX_SIGN,
    LUC_NORM_DX_OUTPUT
} luc_norm_kind;

typedef struct luc_norm_plan {
    const lucid_kernel_args *args;
    bool backward, lanes, dense, stream, fused;
    bool batch; /* the batch's statistics, not the running ones */
    bool known; /* and they were given, so no sums are taken */
    double eps, momentum;
    luc_norm_kind kind;
    uint32_t want;
    int64_t channels, count; /* values per channel */

    /* The operands of the loop: x, then y (forward) or grad_y and grad_x (backward), then those
     * that the call has of these: the residual or ReLU's output (`other`), and the cut grad_y that
     * is stored (`kept`). The fields that end in _at are their positions. The sums' pass writes
     * `kept`, and the output's pass reads it in place of grad_y, with nothing left to cut. */
    luc_loop loop;
    int64_t channel_stride[LUC_MAX_OPERANDS];
    int out_at, other_at, kept_at;
    const void *x, *grad_y, *other;
    void *out, *kept;

    /* ROWS: runs of `inner` elements are cut into `parts` of `part` elements, and a block is
     * `block_units` parts. LANES: there are rows of `width` numbers, `tail` pixels are left over,
     * and a block is `block_units` rows. */
    int64_t inner, part, parts, units, block_units, blocks;
    int64_t channel_group; /* ROWS: channels that a thread takes at once, <= LUC_NORM_GROUP */
    int64_t group, width, tail;

    /* In the workspace. Per channel: */
    double *mean, *scale, *bias; /* forward: y = (x - mean) * scale + bias */
    double *slope;               /* backward: grad_x = (dy - bias - (x - mean) * slope) * scale */
    double *shift;               /* backward: forward's bias */
    double *sums;                /* [blocks][2][width] or [channels][blocks][2] */
    double *lane_centre;         /* LANES: the numbers that the sums are taken around */
    void *lane_coef;             /* LANES: high and low mean, scale, bias, slope, shift of each */
} luc_norm_plan;

/* Computes outputs, running statistics and the coefficients above from a channel's sums of d and
 * d*d (forward) or of dy and dy * (x - mean) (backward). */
void luc_norm_finish(const luc_norm_plan *p, int64_t channel, double shift, double s1, double s2);
void luc_norm_finish_backward(const luc_norm_plan *p, int64_t channel, double s1, double s2);

typedef struct luc_norm_table {
    void (*forward[4])(const luc_norm_plan *p);
    void (*backward[4])(const luc_norm_plan *p);
} luc_norm_table;
LUC_DECLARE_TABLES(luc_norm_table, luc_norm)

#endif

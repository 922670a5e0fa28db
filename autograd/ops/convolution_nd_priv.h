/* convolution_nd_priv.h: what the files of convolutions of any rank share. */
#ifndef LUCID_AUTOGRAD_OPS_CONVOLUTION_ND_PRIV_H
#define LUCID_AUTOGRAD_OPS_CONVOLUTION_ND_PRIV_H

#include "autograd/ops/convolution_nd.h"

/* The options in numbers: [0] is depth, [1] height, [2] width. Directions that a rank below 3 does
 * not have keep stride and dilation 1 and padding 0. */
typedef struct luc_windows {
    const char *op;
    int rank;
    int64_t kernel[3], stride[3], padding[3], dilation[3], output_padding[3], groups;
} luc_windows;

/* The numbers of an extent for windows of that rank. Raises where it does not fit. */
bool luc_extent_of_rank(const char *op, const char *name, int rank, lucid_extent extent,
                        int64_t least, int64_t out[3]);
/* x with the dimension dim, which holds the padded input, as two: [k] kernel elements and [windows]
 * of them. */
lucid_tensor *luc_windows_of(lucid_tensor *x, int dim, int64_t k, int64_t stride, int64_t dilation);
/* The adjoint: dimensions dim [k] and dim + 1 [windows] summed into one of `length`. */
lucid_tensor *luc_windows_sum(lucid_tensor *x, int dim, int64_t length, int64_t stride,
                              int64_t dilation);
/* x with zeros before and after dimension dim, or cut where a number is negative. */
lucid_tensor *luc_pad_dim(lucid_tensor *x, int dim, int64_t before, int64_t after);
/* For padding LUCID_SAME: sets w->padding, and pads what is uneven. */
lucid_tensor *luc_conv_same(lucid_tensor *x, const lucid_tensor *weight, luc_windows *w);

#endif

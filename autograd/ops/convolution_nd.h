/* convolution_nd.h: convolution of rows and volumes, transposed convolution, and the windows that
 * convolution looks through as columns.
 *
 * Formulas and defaults are PyTorch's. All are made of lucid_conv2d's operators and of copies, so
 * they run on every device and are differentiable any number of times. x may come without N, and in
 * any layout. In conv1d's and conv_transpose1d's options an extent is one number; in those for
 * images one number or lucid_pair(height, width); in those for volumes one number or
 * lucid_triple(depth, height, width). Errors: sizes and options that do not fit; NULL then.
 * Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_CONVOLUTION_ND_H
#define LUCID_AUTOGRAD_OPS_CONVOLUTION_ND_H

#include "../../lucid/core/triple.h"
#include "convolution.h"

LUCID_BEGIN_DECLS

typedef struct lucid_conv_options {
    LUCID_OPTIONS_SIZE(lucid_conv_options);
    lucid_extent stride LUCID_DEFAULT(1); /* >= 1 */
    /* zeros around the input; >= 0. LUCID_SAME: as lucid_conv2d_options says */
    lucid_extent padding LUCID_DEFAULT(0);
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between kernel elements; >= 1 */
    int64_t groups LUCID_DEFAULT(1);        /* divides C and O; >= 1 */
} lucid_conv_options;
LUCID_DEFAULTS(lucid_conv, .stride = 1, .padding = 0, .dilation = 1, .groups = 1);

/* x [N,C,L], weight [O,C/groups,k], bias [O] or NULL: [N,O,L'] with
 * L' = (L + 2 padding - dilation (k - 1) - 1) / stride + 1.
 *
 *     lucid_tensor *y = lucid_conv1d(x, weight, bias, .padding = 1); */
LUCID_API lucid_tensor *lucid_conv1d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                                         const lucid_conv_options *options);
/* x [N,C,D,H,W], weight [O,C/groups,kD,kH,kW], bias [O] or NULL: [N,O,D',H',W']. It is one 2-d
 * convolution whose channels are those of all kD slices, of which it makes a copy. */
LUCID_API lucid_tensor *lucid_conv3d_opt(lucid_tensor *x, lucid_tensor *weight, lucid_tensor *bias,
                                         const lucid_conv_options *options);

typedef struct lucid_conv_transpose_options {
    LUCID_OPTIONS_SIZE(lucid_conv_transpose_options);
    lucid_extent stride LUCID_DEFAULT(1);  /* >= 1 */
    lucid_extent padding LUCID_DEFAULT(0); /* cut off on each side of the output; >= 0 */
    /* added to one side of the output; >= 0 and less than the stride or the dilation */
    lucid_extent output_padding LUCID_DEFAULT(0);
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between kernel elements; >= 1 */
    int64_t groups LUCID_DEFAULT(1);        /* divides C and O; >= 1 */
} lucid_conv_transpose_options;
LUCID_DEFAULTS(lucid_conv_transpose, .stride = 1, .padding = 0, .output_padding = 0, .dilation = 1,
               .groups = 1);

/* Transposed convolution: the gradient that convolution has with respect to its input (Zeiler et
 * al., "Deconvolutional Networks", 2010). x [N,C,H,W], weight [C,O/groups,kH,kW], bias [O] or NULL:
 * [N,O,H',W'] with
 *     H' = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1,
 * which must be positive; 1d and 3d have [N,C,L] and [N,C,D,H,W].
 *
 *     lucid_tensor *y = lucid_conv_transpose2d(x, weight, bias, .stride = 2, .padding = 1); */
LUCID_API lucid_tensor *lucid_conv_transpose1d_opt(lucid_tensor *x, lucid_tensor *weight,
                                                   lucid_tensor *bias,
                                                   const lucid_conv_transpose_options *options);
LUCID_API lucid_tensor *lucid_conv_transpose2d_opt(lucid_tensor *x, lucid_tensor *weight,
                                                   lucid_tensor *bias,
                                                   const lucid_conv_transpose_options *options);
LUCID_API lucid_tensor *lucid_conv_transpose3d_opt(lucid_tensor *x, lucid_tensor *weight,
                                                   lucid_tensor *bias,
                                                   const lucid_conv_transpose_options *options);

typedef struct lucid_unfold_options {
    LUCID_OPTIONS_SIZE(lucid_unfold_options);
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between a window's elements; >= 1 */
    lucid_extent padding LUCID_DEFAULT(0);  /* zeros around the image; >= 0 */
    lucid_extent stride LUCID_DEFAULT(1);   /* distance between windows; >= 1 */
} lucid_unfold_options;
LUCID_DEFAULTS(lucid_unfold, .dilation = 1, .padding = 0, .stride = 1);

/* The windows of x [N,C,H,W] as columns: [N,C kH kW,L], where L is the number of windows, row by
 * row (im2col). Any dtype.    lucid_tensor *columns = lucid_unfold(x, (3, 3), .padding = 1); */
LUCID_API lucid_tensor *lucid_unfold_opt(lucid_tensor *x, lucid_extent kernel,
                                         const lucid_unfold_options *options);
/* Columns [N,C kH kW,L] as windows of an image of output_size, summed where they overlap:
 * [N,C,H,W] (col2im). 16-bit numbers are summed in float32. x is floating.
 *
 *     lucid_tensor *x = lucid_fold(columns, (8, 8), (3, 3), .padding = 1); */
LUCID_API lucid_tensor *lucid_fold_opt(lucid_tensor *x, lucid_extent output_size,
                                       lucid_extent kernel, const lucid_unfold_options *options);

/* As lucid_conv2d: options need the bias before them, or NULL. */
#define lucid_conv1d(...) LUC_CONV_ND(lucid_conv1d_opt, lucid_conv, __VA_ARGS__)
#define lucid_conv3d(...) LUC_CONV_ND(lucid_conv3d_opt, lucid_conv, __VA_ARGS__)
#define lucid_conv_transpose1d(...) \
    LUC_CONV_ND(lucid_conv_transpose1d_opt, lucid_conv_transpose, __VA_ARGS__)
#define lucid_conv_transpose2d(...) \
    LUC_CONV_ND(lucid_conv_transpose2d_opt, lucid_conv_transpose, __VA_ARGS__)
#define lucid_conv_transpose3d(...) \
    LUC_CONV_ND(lucid_conv_transpose3d_opt, lucid_conv_transpose, __VA_ARGS__)
#define LUC_CONV_ND(f, name, ...) \
    LUCID_CAT(LUC_CONV_ND_, LUC_TWO(__VA_ARGS__))(f, name, __VA_ARGS__)
#define LUC_CONV_ND_1(f, name, x)    lucid_a_convolution_needs_x_and_weight
#define LUC_CONV_ND_2(f, name, x, w) LUC_CONV_ND_MORE(f, name, x, w, NULL)
#define LUC_CONV_ND_MORE(f, name, ...) \
    LUCID_CALL3(f, name, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_unfold(...) \
    LUCID_CALL2(lucid_unfold_opt, lucid_unfold, LUCID_ASIS, LUCID_EXTENT_OF, __VA_ARGS__)
#define lucid_fold(...)                                                                     \
    LUCID_CALL3(lucid_fold_opt, lucid_unfold, LUCID_ASIS, LUCID_EXTENT_OF, LUCID_EXTENT_OF, \
                __VA_ARGS__)

LUCID_END_DECLS
#endif

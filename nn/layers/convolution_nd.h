/* convolution_nd.h: convolution of rows and volumes, transposed convolution, unfold and fold, as
 * modules. Their functions are in autograd/ops/convolution_nd.h; nn_Conv2d is in convolution.h.
 *
 * Parameters are called weight and bias, as in PyTorch. First values: both uniform in
 * +-1/sqrt(n), where n is the product of the weight's sizes without its first one. In a layer for
 * rows an extent is one number; for images it may be lucid_pair(height, width), for volumes
 * lucid_triple(depth, height, width). Errors of the constructors: sizes and options that are
 * refused; the result is NULL then. */
#ifndef LUCID_NN_LAYERS_CONVOLUTION_ND_H
#define LUCID_NN_LAYERS_CONVOLUTION_ND_H

#include "../../autograd/ops/convolution_nd.h"
#include "../../autograd/ops/padding.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_conv1d_class;
LUCID_API extern const lucid_module_class lucid_nn_conv3d_class;
LUCID_API extern const lucid_module_class lucid_nn_conv_transpose1d_class;
LUCID_API extern const lucid_module_class lucid_nn_conv_transpose2d_class;
LUCID_API extern const lucid_module_class lucid_nn_conv_transpose3d_class;
LUCID_API extern const lucid_module_class lucid_nn_unfold_class;
LUCID_API extern const lucid_module_class lucid_nn_fold_class;

/* nn_Conv1d, nn_Conv3d and the transposed ones. */
typedef struct nn_ConvNd {
    lucid_module base;
    int rank; /* 1, 2 or 3 directions; the last `rank` of the numbers count */
    int64_t in_channels, out_channels, groups;
    int64_t kernel[3], stride[3], padding[3], output_padding[3], dilation[3];
    bool same; /* padding is LUCID_SAME */
    lucid_pad_mode padding_mode;
    lucid_tensor *weight; /* [out_channels, in_channels/groups, ...]; transposed: [in_channels,
                             out_channels/groups, ...] */
    lucid_tensor *bias;   /* [out_channels] or NULL */
} nn_ConvNd;
typedef struct nn_Unfold {
    lucid_module base;
    lucid_extent kernel;
    lucid_unfold_options options;
} nn_Unfold;
typedef struct nn_Fold {
    lucid_module base;
    lucid_extent output_size, kernel;
    lucid_unfold_options options;
} nn_Fold;

typedef struct lucid_nn_conv_options {
    LUCID_OPTIONS_SIZE(lucid_nn_conv_options);
    lucid_extent stride LUCID_DEFAULT(1);   /* >= 1 */
    lucid_extent padding LUCID_DEFAULT(0);  /* around the input; >= 0, or LUCID_SAME */
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between kernel elements; >= 1 */
    int64_t groups LUCID_DEFAULT(1);        /* divides both numbers of channels */
    bool bias LUCID_DEFAULT(true);          /* adds a learned bias */
    /* what the padding is: zeros, or as lucid_pad has it */
    lucid_pad_mode padding_mode LUCID_DEFAULT(LUCID_PAD_CONSTANT);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_conv_options;
LUCID_DEFAULTS(lucid_nn_conv, .stride = 1, .padding = 0, .dilation = 1, .groups = 1, .bias = true,
               .padding_mode = LUCID_PAD_CONSTANT, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

typedef struct lucid_nn_conv_transpose_options {
    LUCID_OPTIONS_SIZE(lucid_nn_conv_transpose_options);
    lucid_extent stride LUCID_DEFAULT(1);  /* >= 1 */
    lucid_extent padding LUCID_DEFAULT(0); /* cut off on each side of the output; >= 0 */
    /* added to one side of the output; >= 0 and less than the stride or the dilation */
    lucid_extent output_padding LUCID_DEFAULT(0);
    int64_t groups LUCID_DEFAULT(1);        /* divides both numbers of channels */
    bool bias LUCID_DEFAULT(true);          /* adds a learned bias */
    lucid_extent dilation LUCID_DEFAULT(1); /* distance between kernel elements; >= 1 */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_conv_transpose_options;
LUCID_DEFAULTS(lucid_nn_conv_transpose, .stride = 1, .padding = 0, .output_padding = 0, .groups = 1,
               .bias = true, .dilation = 1, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Convolution of [N,in_channels,L] and [N,in_channels,D,H,W], or of the same without N.
 *
 *     lucid_module *conv = nn_Conv1d(16, 32, 3, .padding = LUCID_SAME);
 *     lucid_module *volume = nn_Conv3d(1, 8, (3, 5, 5), .stride = lucid_triple(1, 2, 2)); */
LUCID_API lucid_module *lucid_nn_conv1d(int64_t in_channels, int64_t out_channels,
                                        lucid_extent kernel, const lucid_nn_conv_options *options);
LUCID_API lucid_module *lucid_nn_conv3d(int64_t in_channels, int64_t out_channels,
                                        lucid_extent kernel, const lucid_nn_conv_options *options);
/* Transposed convolution of [N,in_channels,L], [N,in_channels,H,W] and [N,in_channels,D,H,W], or of
 * the same without N; lucid_conv_transpose2d says what sizes come out.
 *
 *     lucid_module *up = nn_ConvTranspose2d(64, 32, 4, .stride = 2, .padding = 1); */
LUCID_API lucid_module *lucid_nn_conv_transpose1d(int64_t in_channels, int64_t out_channels,
                                                  lucid_extent kernel,
                                                  const lucid_nn_conv_transpose_options *options);
LUCID_API lucid_module *lucid_nn_conv_transpose2d(int64_t in_channels, int64_t out_channels,
                                                  lucid_extent kernel,
                                                  const lucid_nn_conv_transpose_options *options);
LUCID_API lucid_module *lucid_nn_conv_transpose3d(int64_t in_channels, int64_t out_channels,
                                                  lucid_extent kernel,
                                                  const lucid_nn_conv_transpose_options *options);
/* lucid_forward of a transposed convolution, whose output is to have these sizes: one for each
 * direction, or those of N and C too. It takes the place of output_padding in this call (PyTorch's
 * forward(x, output_size)). Not for one module in several threads at once. Errors: sizes outside of
 * [smallest, smallest + stride - 1].
 *
 *     lucid_tensor *y = lucid_forward_sized(up, x, (33, 33)); */
LUCID_API lucid_tensor *lucid_forward_sized_opt(lucid_module *module, lucid_tensor *x,
                                                lucid_shape output_size);
/* lucid_unfold and lucid_fold as modules, without parameters.
 *
 *     lucid_module *m = nn_Unfold((3, 3), .padding = 1), *back = nn_Fold((8, 8), (3, 3)); */
LUCID_API lucid_module *lucid_nn_unfold(lucid_extent kernel, const lucid_unfold_options *options);
LUCID_API lucid_module *lucid_nn_fold(lucid_extent output_size, lucid_extent kernel,
                                      const lucid_unfold_options *options);

#define nn_Conv1d(...)                                                                   \
    LUCID_CALL3(lucid_nn_conv1d, lucid_nn_conv, LUCID_ASIS, LUCID_ASIS, LUCID_EXTENT_OF, \
                __VA_ARGS__)
#define nn_Conv3d(...)                                                                   \
    LUCID_CALL3(lucid_nn_conv3d, lucid_nn_conv, LUCID_ASIS, LUCID_ASIS, LUCID_TRIPLE_OF, \
                __VA_ARGS__)
#define nn_ConvTranspose1d(...) \
    LUC_CONV_TRANSPOSE(lucid_nn_conv_transpose1d, LUCID_EXTENT_OF, __VA_ARGS__)
#define nn_ConvTranspose2d(...) \
    LUC_CONV_TRANSPOSE(lucid_nn_conv_transpose2d, LUCID_EXTENT_OF, __VA_ARGS__)
#define nn_ConvTranspose3d(...) \
    LUC_CONV_TRANSPOSE(lucid_nn_conv_transpose3d, LUCID_TRIPLE_OF, __VA_ARGS__)
#define LUC_CONV_TRANSPOSE(f, of, ...) \
    LUCID_CALL3(f, lucid_nn_conv_transpose, LUCID_ASIS, LUCID_ASIS, of, __VA_ARGS__)
#define lucid_forward_sized(module, x, size) \
    LUCID_STRICT(lucid_forward_sized_opt(module, x, LUCID_SHAPE_OF(size)))
#define nn_Unfold(...) LUCID_CALL1(lucid_nn_unfold, lucid_unfold, LUCID_EXTENT_OF, __VA_ARGS__)
#define nn_Fold(...) \
    LUCID_CALL2(lucid_nn_fold, lucid_unfold, LUCID_EXTENT_OF, LUCID_EXTENT_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif

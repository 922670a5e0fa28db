/* pooling_nd.h: pooling layers of one and three dimensions, adaptive maxima, means of powers, and
 * the way back. Their functions are in autograd/ops/pooling_nd.h and autograd/ops/unpool.h. They
 * have no parameters. The input may come without N. Errors of the constructors: sizes that no input
 * would fit; the result is NULL then. */
#ifndef LUCID_NN_LAYERS_POOLING_ND_H
#define LUCID_NN_LAYERS_POOLING_ND_H

#include "../../autograd/ops/pooling_nd.h"
#include "../../autograd/ops/unpool.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_max_pool1d_class;
LUCID_API extern const lucid_module_class lucid_nn_max_pool3d_class;
LUCID_API extern const lucid_module_class lucid_nn_avg_pool1d_class;
LUCID_API extern const lucid_module_class lucid_nn_avg_pool3d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_avg_pool1d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_avg_pool3d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_max_pool1d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_max_pool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_adaptive_max_pool3d_class;
LUCID_API extern const lucid_module_class lucid_nn_lp_pool1d_class;
LUCID_API extern const lucid_module_class lucid_nn_lp_pool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_lp_pool3d_class;
LUCID_API extern const lucid_module_class lucid_nn_max_unpool1d_class;
LUCID_API extern const lucid_module_class lucid_nn_max_unpool2d_class;
LUCID_API extern const lucid_module_class lucid_nn_max_unpool3d_class;

/* All of them; which fields count, the class says. */
typedef struct nn_Pool {
    lucid_module base;
    lucid_extent kernel; /* the window; of an adaptive layer the output's size */
    double norm_type;
    lucid_max_pool2d_options max;
    lucid_avg_pool2d_options avg;
    lucid_lp_pool_options lp;
    lucid_max_unpool_options unpool;
} nn_Pool;

/* The largest of each window; a second output gives their places (PyTorch's return_indices).
 *
 *     lucid_module *pool = nn_MaxPool3d((1, 2, 2)), *line = nn_MaxPool1d(3, .stride = 2);
 *     lucid_tensor *y, *places;
 *     lucid_forward_into(pool, (lucid_randn((1, 4, 3, 8, 8))), (&y, &places)); */
LUCID_API lucid_module *lucid_nn_max_pool1d(lucid_extent kernel,
                                            const lucid_max_pool2d_options *options);
LUCID_API lucid_module *lucid_nn_max_pool3d(lucid_extent kernel,
                                            const lucid_max_pool2d_options *options);
/* The mean of each window.    lucid_module *pool = nn_AvgPool1d(2); */
LUCID_API lucid_module *lucid_nn_avg_pool1d(lucid_extent kernel,
                                            const lucid_avg_pool2d_options *options);
LUCID_API lucid_module *lucid_nn_avg_pool3d(lucid_extent kernel,
                                            const lucid_avg_pool2d_options *options);
/* Means or maxima of windows that give the output a size; LUCID_KEEP: the input's. Maxima have a
 * second output, their places.    lucid_module *pool = nn_AdaptiveMaxPool2d((LUCID_KEEP, 7)); */
LUCID_API lucid_module *lucid_nn_adaptive_avg_pool1d(lucid_extent output);
LUCID_API lucid_module *lucid_nn_adaptive_avg_pool3d(lucid_extent output);
LUCID_API lucid_module *lucid_nn_adaptive_max_pool1d(lucid_extent output);
LUCID_API lucid_module *lucid_nn_adaptive_max_pool2d(lucid_extent output);
LUCID_API lucid_module *lucid_nn_adaptive_max_pool3d(lucid_extent output);
/* The root of the sum of powers of each window.    lucid_module *pool = nn_LPPool2d(2, 3); */
LUCID_API lucid_module *lucid_nn_lp_pool1d(double norm_type, lucid_extent kernel,
                                           const lucid_lp_pool_options *options);
LUCID_API lucid_module *lucid_nn_lp_pool2d(double norm_type, lucid_extent kernel,
                                           const lucid_lp_pool_options *options);
LUCID_API lucid_module *lucid_nn_lp_pool3d(double norm_type, lucid_extent kernel,
                                           const lucid_lp_pool_options *options);
/* Zeros with the maxima at their places: inputs are values and places.
 *
 *     lucid_module *back = nn_MaxUnpool2d(2);
 *     lucid_tensor *x = lucid_forward(back, y, places); */
LUCID_API lucid_module *lucid_nn_max_unpool1d(lucid_extent kernel,
                                              const lucid_max_unpool_options *options);
LUCID_API lucid_module *lucid_nn_max_unpool2d(lucid_extent kernel,
                                              const lucid_max_unpool_options *options);
LUCID_API lucid_module *lucid_nn_max_unpool3d(lucid_extent kernel,
                                              const lucid_max_unpool_options *options);

#define nn_MaxPool1d(...) \
    LUCID_CALL1(lucid_nn_max_pool1d, lucid_max_pool2d, LUCID_ASIS, __VA_ARGS__)
#define nn_MaxPool3d(...) \
    LUCID_CALL1(lucid_nn_max_pool3d, lucid_max_pool2d, LUCID_TRIPLE_OF, __VA_ARGS__)
#define nn_AvgPool1d(...) \
    LUCID_CALL1(lucid_nn_avg_pool1d, lucid_avg_pool2d, LUCID_ASIS, __VA_ARGS__)
#define nn_AvgPool3d(...) \
    LUCID_CALL1(lucid_nn_avg_pool3d, lucid_avg_pool2d, LUCID_TRIPLE_OF, __VA_ARGS__)
#define nn_AdaptiveAvgPool1d(output) lucid_nn_adaptive_avg_pool1d(output)
#define nn_AdaptiveAvgPool3d(output) lucid_nn_adaptive_avg_pool3d(LUCID_TRIPLE_OF(output))
#define nn_AdaptiveMaxPool1d(output) lucid_nn_adaptive_max_pool1d(output)
#define nn_AdaptiveMaxPool2d(output) lucid_nn_adaptive_max_pool2d(LUCID_EXTENT_OF(output))
#define nn_AdaptiveMaxPool3d(output) lucid_nn_adaptive_max_pool3d(LUCID_TRIPLE_OF(output))

#define nn_LPPool1d(...)         LUC_NN_LP(lucid_nn_lp_pool1d, LUCID_ASIS, __VA_ARGS__)
#define nn_LPPool2d(...)         LUC_NN_LP(lucid_nn_lp_pool2d, LUCID_EXTENT_OF, __VA_ARGS__)
#define nn_LPPool3d(...)         LUC_NN_LP(lucid_nn_lp_pool3d, LUCID_TRIPLE_OF, __VA_ARGS__)
#define LUC_NN_LP(fn, read, ...) LUCID_CALL2(fn, lucid_lp_pool, LUCID_ASIS, read, __VA_ARGS__)

/* clang-format off */
#define nn_MaxUnpool1d(...) LUC_NN_UNPOOL(lucid_nn_max_unpool1d, LUCID_ASIS, __VA_ARGS__)
#define nn_MaxUnpool2d(...) LUC_NN_UNPOOL(lucid_nn_max_unpool2d, LUCID_EXTENT_OF, __VA_ARGS__)
#define nn_MaxUnpool3d(...) LUC_NN_UNPOOL(lucid_nn_max_unpool3d, LUCID_TRIPLE_OF, __VA_ARGS__)
/* clang-format on */
#define LUC_NN_UNPOOL(fn, read, ...) LUCID_CALL1(fn, lucid_max_unpool, read, __VA_ARGS__)

LUCID_END_DECLS
#endif

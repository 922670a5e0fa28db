/* inception_priv.h: what GoogLeNet and Inception v3 share. */
#ifndef LUCID_NN_MODELS_INCEPTION_PRIV_H
#define LUCID_NN_MODELS_INCEPTION_PRIV_H

#include "nn/module.h"

/* relu(bn(conv(x))), the convolution without bias. */
lucid_module *luc_conv_bn(int64_t in, int64_t out, lucid_extent kernel, int64_t stride,
                          lucid_extent padding, double eps);

#endif

/* made.h: the modules of tests/reference/module_repr.txt and state_dict.txt, by the case's name. */
#ifndef TESTS_NN_MADE_H
#define TESTS_NN_MADE_H

#include "tests/nn/se_block.h"

#include <string.h>

static lucid_module *made_bn1d(void)
{
    return nn_BatchNorm1d(10);
}
static lucid_module *made_bn3d(void)
{
    return nn_BatchNorm3d(10, .eps = 0.0, .momentum = 0.0);
}
static lucid_module *made_bn2d(void)
{
    return nn_BatchNorm2d(64);
}
static lucid_module *made_bn2d_args(void)
{
    return nn_BatchNorm2d(3, .eps = 1e-3, .momentum = LUCID_MOMENTUM_NONE, .affine = false);
}
static lucid_module *made_bn2d_batch(void)
{
    return nn_BatchNorm2d(3, .momentum = 0.05, .track_running_stats = false);
}
static lucid_module *made_bn2d_eps(void)
{
    return nn_BatchNorm2d(3, .eps = 1e-12, .momentum = 1.0);
}
static lucid_module *made_bn2d_half(void)
{
    return nn_BatchNorm2d(64, .dtype = LUCID_F16);
}
static lucid_module *made_bn2d_double(void)
{
    lucid_module *m = nn_BatchNorm2d(64);
    lucid_to_dtype(m, LUCID_F64);
    return m;
}
static lucid_module *made_conv(void)
{
    return nn_Conv2d(3, 8, 3);
}
static lucid_module *made_conv_padding(void)
{
    return nn_Conv2d(1, 32, 3, .padding = 1, .bias = false);
}
static lucid_module *made_conv_stride(void)
{
    return nn_Conv2d(3, 64, 7, .stride = 2, .padding = 3, .bias = false);
}
static lucid_module *made_conv_all(void)
{
    return nn_Conv2d(4, 6, (3, 2), .stride = lucid_pair(2, 1), .padding = lucid_pair(1, 2),
                     .dilation = lucid_pair(1, 2), .groups = 2);
}
static lucid_module *made_conv_dilation(void)
{
    return nn_Conv2d(4, 4, 3, .dilation = 2);
}
static lucid_module *made_conv_depthwise(void)
{
    return nn_Conv2d(32, 32, 3, .padding = 1, .groups = 32);
}
static lucid_module *made_linear(void)
{
    return nn_Linear(128, 10);
}
static lucid_module *made_linear_no_bias(void)
{
    return nn_Linear(128, 10, .bias = false);
}
static lucid_module *made_max_pool(void)
{
    return nn_MaxPool2d(2);
}
static lucid_module *made_max_pool_all(void)
{
    return nn_MaxPool2d((3, 2), .stride = 2, .padding = 1, .ceil_mode = true);
}
static lucid_module *made_max_pool_pair(void)
{
    return nn_MaxPool2d((3, 2), .stride = lucid_pair(2, 1));
}
static lucid_module *made_avg_pool(void)
{
    return nn_AvgPool2d(3, .stride = 2, .padding = 1);
}
static lucid_module *made_avg_pool_pair(void)
{
    return nn_AvgPool2d((3, 2));
}
static lucid_module *made_adaptive(void)
{
    return nn_AdaptiveAvgPool2d(1);
}
static lucid_module *made_adaptive_pair(void)
{
    return nn_AdaptiveAvgPool2d((3, 4));
}
static lucid_module *made_relu(void)
{
    return nn_ReLU();
}
static lucid_module *made_relu_inplace(void)
{
    return nn_ReLU(.inplace = true);
}
static lucid_module *made_sigmoid(void)
{
    return nn_Sigmoid();
}
static lucid_module *made_tanh(void)
{
    return nn_Tanh();
}
static lucid_module *made_gelu(void)
{
    return nn_GELU();
}
static lucid_module *made_gelu_tanh(void)
{
    return nn_GELU(.tanh_approximation = true);
}
static lucid_module *made_silu(void)
{
    return nn_SiLU();
}
static lucid_module *made_leaky(void)
{
    return nn_LeakyReLU(.negative_slope = 0.2);
}
static lucid_module *made_elu(void)
{
    return nn_ELU();
}
static lucid_module *made_softmax(void)
{
    return nn_Softmax(1);
}
static lucid_module *made_log_softmax(void)
{
    return nn_LogSoftmax(1);
}
static lucid_module *made_dropout(void)
{
    return nn_Dropout(.p = 0.25);
}
static lucid_module *made_dropout_default(void)
{
    return nn_Dropout();
}
static lucid_module *made_flatten(void)
{
    return nn_Flatten();
}
static lucid_module *made_flatten_dims(void)
{
    return nn_Flatten(.start_dim = 0, .end_dim = 2);
}
static lucid_module *made_identity(void)
{
    return nn_Identity();
}
static lucid_module *made_empty(void)
{
    return nn_Sequential();
}
static lucid_module *made_one(void)
{
    return nn_Sequential(nn_ReLU());
}
static lucid_module *made_mlp(void)
{
    return nn_Sequential(nn_Linear(6, 5), nn_ReLU(), nn_Linear(5, 3));
}
static lucid_module *made_same(void)
{
    return nn_Sequential(nn_ReLU(), nn_ReLU(), nn_ReLU());
}
static lucid_module *made_shared(void)
{
    lucid_module *l = nn_Linear(3, 3);
    return nn_Sequential(l, l, nn_ReLU());
}
static lucid_module *made_nested(void)
{
    return nn_Sequential(nn_Sequential(nn_Conv2d(3, 8, 3), nn_BatchNorm2d(8), nn_ReLU()),
                         nn_Sequential(nn_Sequential(nn_MaxPool2d(2)), nn_Dropout(.p = 0.5)),
                         nn_Flatten());
}
static lucid_module *made_se(void)
{
    return make_se(32, 4);
}
static lucid_module *made_sequential_se(void)
{
    return nn_Sequential(nn_Conv2d(3, 8, 3), make_se(8, 2), nn_ReLU());
}
static lucid_module *made_mnist(void)
{
    return nn_Sequential(
        nn_Conv2d(1, 32, 3, .padding = 1, .bias = false), nn_BatchNorm2d(32), nn_ReLU(),
        nn_MaxPool2d(2), nn_Conv2d(32, 64, 3, .padding = 1, .bias = false),
        nn_BatchNorm2d(64, .momentum = 0.05), nn_ReLU(), nn_MaxPool2d(2), nn_Flatten(),
        nn_Linear(64 * 7 * 7, 128), nn_ReLU(), nn_Dropout(.p = 0.25), nn_Linear(128, 10));
}
static lucid_module *made_mnist_bf16(void)
{
    lucid_module *m = made_mnist();
    lucid_to_dtype(m, LUCID_BF16);
    return m;
}

/* The module of a case; NULL for a name that is not here. */
static inline lucid_module *made(const char *name)
{
    static const struct {
        const char *name;
        lucid_module *(*make)(void);
    } all[] = {
        {"batch_norm2d", made_bn2d},
        {"batch_norm2d_args", made_bn2d_args},
        {"batch_norm2d_batch", made_bn2d_batch},
        {"batch_norm2d_eps", made_bn2d_eps},
        {"batch_norm2d_half", made_bn2d_half},
        {"batch_norm2d_double", made_bn2d_double},
        {"batch_norm1d", made_bn1d},
        {"batch_norm3d", made_bn3d},
        {"conv2d", made_conv},
        {"conv2d_padding", made_conv_padding},
        {"conv2d_stride", made_conv_stride},
        {"conv2d_all", made_conv_all},
        {"conv2d_dilation", made_conv_dilation},
        {"conv2d_depthwise", made_conv_depthwise},
        {"linear", made_linear},
        {"linear_no_bias", made_linear_no_bias},
        {"max_pool2d", made_max_pool},
        {"max_pool2d_all", made_max_pool_all},
        {"max_pool2d_pair", made_max_pool_pair},
        {"avg_pool2d", made_avg_pool},
        {"avg_pool2d_pair", made_avg_pool_pair},
        {"adaptive_avg_pool2d", made_adaptive},
        {"adaptive_avg_pool2d_pair", made_adaptive_pair},
        {"relu", made_relu},
        {"relu_inplace", made_relu_inplace},
        {"sigmoid", made_sigmoid},
        {"tanh", made_tanh},
        {"gelu", made_gelu},
        {"gelu_tanh", made_gelu_tanh},
        {"silu", made_silu},
        {"leaky_relu", made_leaky},
        {"elu", made_elu},
        {"softmax", made_softmax},
        {"log_softmax", made_log_softmax},
        {"dropout", made_dropout},
        {"dropout_default", made_dropout_default},
        {"flatten", made_flatten},
        {"flatten_dims", made_flatten_dims},
        {"identity", made_identity},
        {"sequential_empty", made_empty},
        {"sequential_one", made_one},
        {"sequential", made_mlp},
        {"sequential_same", made_same},
        {"sequential_shared", made_shared},
        {"sequential_nested", made_nested},
        {"se_block", made_se},
        {"sequential_se", made_sequential_se},
        {"mnist", made_mnist},
        {"mnist_bf16", made_mnist_bf16},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return all[i].make();
    return NULL;
}

#endif

/* Calls that must compile without a warning, in C and C++: the neighbours of those in cases.txt. */
#include <lucid/lucid.h>

void good_tensors(lucid_tensor *x, lucid_tensor *w, lucid_tensor *y, lucid_device dev);
void good_modules(lucid_tensor *x, lucid_module *net, lucid_optimizer *opt, lucid_device dev);

void good_tensors(lucid_tensor *x, lucid_tensor *w, lucid_tensor *y, lucid_device dev)
{
    int n = 2;
    double a[3] = {1, 2, 3};
    const int64_t classes[2] = {0, 1};
    lucid_tensor *pair[2] = {x, w};
    lucid_tensor *t[] = {
        lucid_ones(3),
        lucid_ones((2, 3)),
        lucid_ones((n + 1) * 2),
        lucid_zeros((int)2.0),
        lucid_zeros(()),
        lucid_ones(lucid_tensor_shape(x), .dtype = LUCID_F64, .device = dev),
        lucid_full((2, 3), 0.5),
        lucid_arange(5),
        lucid_arange(0, 5),
        lucid_arange(0, 5, 2, .dtype = LUCID_F32),
        lucid_eye(3),
        lucid_eye(3, 4, .requires_grad = true),
        lucid_from_data(3, a),
        lucid_from_data(2, classes),
        lucid_from_data((1, 3), a, .dtype = LUCID_BF16),
        lucid_mean(x),
        lucid_mean(x, 2),
        lucid_mean(x, -1, .keepdim = true),
        lucid_mean(x, (2, 3), .keepdim = true),
        lucid_var(x, LUCID_ALL, .correction = 0),
        lucid_argmax(x),
        lucid_argmax(x, 1),
        lucid_max(x, (0, n)),
        lucid_sort(x).values,
        lucid_sort(x, 0, .descending = true).indices,
        lucid_reshape(x, -1),
        lucid_reshape(x, (n, -1)),
        lucid_permute(x, (1, 0)),
        lucid_conv2d(x, w),
        lucid_conv2d(x, w, y, .stride = 2, .padding = lucid_pair(1, 2)),
        lucid_max_pool2d(x, (2, 3)),
        lucid_adaptive_avg_pool2d(x, (4, 7)),
        lucid_mul(x, 2),
        lucid_pow(x, 0.5f),
        lucid_sub(1, x),
        lucid_maximum(x, n),
        lucid_where(lucid_gt(x, 0), x, 0),
        lucid_add_(x, 1),
        lucid_cat((x, w, y), 1),
        lucid_stack((x, w)),
        lucid_cat(pair, 2, 0),
        lucid_to(x, dev),
        lucid_add(lucid_mul(lucid_sub(lucid_mul(x, 2), 1), lucid_mean(x, 1)), lucid_sum(x)),
        lucid_cross_entropy(x, y, .weight = lucid_ones(3, .dtype = LUCID_F64)),
        lucid_mse_loss(x, y, .reduction = LUCID_REDUCTION_SUM),
    };
    if (!lucid_has_nan(x)) lucid_backward(t[0], .gradient = lucid_ones(3));
}

void good_modules(lucid_tensor *x, lucid_module *net, lucid_optimizer *opt, lucid_device dev)
{
    lucid_module *m = nn_Sequential(
        nn_Conv2d(3, 16, (3, 5), .padding = lucid_pair(1, 2)), nn_BatchNorm2d(16, .eps = 1e-3),
        nn_ReLU(), nn_MaxPool2d(2), nn_Sequential(nn_Dropout(.p = 0.1), nn_Dropout()),
        nn_AdaptiveAvgPool2d((4, 7)), nn_Flatten(), nn_Linear(448, 10, .bias = false));
    lucid_optimizer *made = optim_SGD(m, .lr = 0.1, .momentum = 0.9, .nesterov = true);
    lucid_module *net20 = nn_ResNet20(.num_classes = 100), *net18 = nn_ResNet18();
    if (lucid_backward(lucid_sum(x))) lucid_zero_grad(opt);
    lucid_zero_grad(net);
    lucid_to(net, dev);
    lucid_save(net, "net.safetensors");
    lucid_save(opt, "opt.safetensors");
    lucid_load(net, "net.safetensors", .strict = false);
    lucid_optimizer_free(made);
    lucid_module_free(net20);
    lucid_module_free(net18);
}

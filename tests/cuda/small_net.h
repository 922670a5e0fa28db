/* small_net.h: a network of every kind of layer that training needs, and a few steps of it, for the
 * tests of whole modules on the device. */
#ifndef TESTS_CUDA_SMALL_NET_H
#define TESTS_CUDA_SMALL_NET_H

#include "cuda_testing.h"

enum { SMALL_IMAGES = 6, SMALL_CLASSES = 4 };

/* On the CPU; the same numbers for the same seed. */
static inline lucid_module *small_net(lucid_dtype dtype, uint64_t seed)
{
    lucid_manual_seed(seed);
    lucid_module *net =
        nn_Sequential(nn_Conv2d(2, 8, 3, .padding = 1, .bias = false), nn_BatchNorm2d(8), nn_ReLU(),
                      nn_MaxPool2d(2), nn_Conv2d(8, 6, 3, .stride = 2), nn_BatchNorm2d(6),
                      nn_ReLU(), nn_AvgPool2d(2), nn_Flatten(), nn_Linear(6, SMALL_CLASSES));
    cr_assert(net && lucid_to_dtype(net, dtype), "%s", lucid_error());
    return net;
}

/* A step's images and classes, on the CPU. */
static inline lucid_tensor *small_images(lucid_dtype dtype, int step)
{
    enum { N = SMALL_IMAGES * 2 * 12 * 12 };
    double values[N];
    for (int i = 0; i < N; i++) values[i] = sin(0.37 * i + step) + 0.3 * cos(1.1 * i * (step + 1));
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    return lucid_from_doubles_opt(LUCID_SHAPE(SMALL_IMAGES, 2, 12, 12), values, N, &o);
}
static inline lucid_tensor *small_classes(int step)
{
    int64_t values[SMALL_IMAGES];
    for (int i = 0; i < SMALL_IMAGES; i++) values[i] = (i * 7 + step) % SMALL_CLASSES;
    return lucid_from_data((SMALL_IMAGES), values, .dtype = LUCID_I64);
}

/* Trains where the network lies; the loss of every step. */
static inline void small_train(lucid_module *net, lucid_optimizer *opt, lucid_dtype dtype,
                               lucid_device device, int steps, double *loss)
{
    for (int k = 0; k < steps; k++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_tensor_to(small_images(dtype, k), device);
        lucid_tensor *classes = lucid_tensor_to(small_classes(k), device);
        lucid_tensor *l = lucid_cross_entropy(lucid_forward(net, x), classes);
        cr_assert(lucid_zero_grad(opt) && lucid_backward(l) && lucid_step(opt), "step %d: %s", k,
                  lucid_error());
        cr_expect(lucid_tensor_device(l).type == device.type);
        loss[k] = lucid_item(l);
    }
}

#endif

/* defaults.h: every options struct that has defaults. */
#ifndef TESTS_TARGET_API_DEFAULTS_H
#define TESTS_TARGET_API_DEFAULTS_H

#include <lucid/lucid.h>

LUCID_BEGIN_DECLS
/* The constant number i as C has it, and its size; NULL after the last. */
const void *c_defaults(size_t i, size_t *size);
LUCID_END_DECLS

#define ALL_DEFAULTS                                                                    \
    DEFAULTS(lucid_adadelta) \
    DEFAULTS(lucid_adafactor) \
    DEFAULTS(lucid_adagrad) \
    DEFAULTS(lucid_adam) \
    DEFAULTS(lucid_adamax) \
    DEFAULTS(lucid_adamw) \
    DEFAULTS(lucid_asgd) \
    DEFAULTS(lucid_avg_pool2d) \
    DEFAULTS(lucid_backward) \
    DEFAULTS(lucid_batch_norm) \
    DEFAULTS(lucid_buffer) \
    DEFAULTS(lucid_celu) \
    DEFAULTS(lucid_cifar10) \
    DEFAULTS(lucid_cifar100) \
    DEFAULTS(lucid_clip) \
    DEFAULTS(lucid_color_jitter) \
    DEFAULTS(lucid_constant_lr) \
    DEFAULTS(lucid_conv2d) \
    DEFAULTS(lucid_conv2d_batch_norm) \
    DEFAULTS(lucid_cosine_lr) \
    DEFAULTS(lucid_cross_entropy) \
    DEFAULTS(lucid_csv) \
    DEFAULTS(lucid_cyclic_lr) \
    DEFAULTS(lucid_dirac) \
    DEFAULTS(lucid_elu) \
    DEFAULTS(lucid_ema) \
    DEFAULTS(lucid_fake_data) \
    DEFAULTS(lucid_fashion_mnist) \
    DEFAULTS(lucid_freeze) \
    DEFAULTS(lucid_gaussian_blur) \
    DEFAULTS(lucid_grad) \
    DEFAULTS(lucid_grad_scaler) \
    DEFAULTS(lucid_gradcheck) \
    DEFAULTS(lucid_grayscale) \
    DEFAULTS(lucid_grid) \
    DEFAULTS(lucid_hardshrink) \
    DEFAULTS(lucid_hardtanh) \
    DEFAULTS(lucid_image_folder) \
    DEFAULTS(lucid_image_pad) \
    DEFAULTS(lucid_image_read) \
    DEFAULTS(lucid_image_write) \
    DEFAULTS(lucid_index) \
    DEFAULTS(lucid_init_sparse) \
    DEFAULTS(lucid_kaiming) \
    DEFAULTS(lucid_kmnist) \
    DEFAULTS(lucid_lamb) \
    DEFAULTS(lucid_lambda_lr) \
    DEFAULTS(lucid_lars) \
    DEFAULTS(lucid_lbfgs) \
    DEFAULTS(lucid_leaky_relu) \
    DEFAULTS(lucid_linear_lr) \
    DEFAULTS(lucid_load) \
    DEFAULTS(lucid_loader) \
    DEFAULTS(lucid_lookahead) \
    DEFAULTS(lucid_max_pool2d) \
    DEFAULTS(lucid_mix) \
    DEFAULTS(lucid_mnist) \
    DEFAULTS(lucid_mse_loss) \
    DEFAULTS(lucid_multi_step_lr) \
    DEFAULTS(lucid_muon) \
    DEFAULTS(lucid_nadam) \
    DEFAULTS(lucid_nan_to_num) \
    DEFAULTS(lucid_nll_loss) \
    DEFAULTS(lucid_nn_batch_norm) \
    DEFAULTS(lucid_nn_conv2d) \
    DEFAULTS(lucid_nn_cross_entropy_loss) \
    DEFAULTS(lucid_nn_dropout) \
    DEFAULTS(lucid_nn_elu) \
    DEFAULTS(lucid_nn_flatten) \
    DEFAULTS(lucid_nn_gelu) \
    DEFAULTS(lucid_nn_leaky_relu) \
    DEFAULTS(lucid_nn_linear) \
    DEFAULTS(lucid_nn_mse_loss) \
    DEFAULTS(lucid_nn_nll_loss) \
    DEFAULTS(lucid_nn_prelu) \
    DEFAULTS(lucid_nn_relu) \
    DEFAULTS(lucid_nn_resnet) \
    DEFAULTS(lucid_nn_softplus) \
    DEFAULTS(lucid_npy_read) \
    DEFAULTS(lucid_one_cycle_lr) \
    DEFAULTS(lucid_orthogonal) \
    DEFAULTS(lucid_plot) \
    DEFAULTS(lucid_polynomial_lr) \
    DEFAULTS(lucid_profiler) \
    DEFAULTS(lucid_radam) \
    DEFAULTS(lucid_random_apply) \
    DEFAULTS(lucid_random_crop) \
    DEFAULTS(lucid_random_erasing) \
    DEFAULTS(lucid_random_flip) \
    DEFAULTS(lucid_random_grayscale) \
    DEFAULTS(lucid_random_resized_crop) \
    DEFAULTS(lucid_random_rotation) \
    DEFAULTS(lucid_random_sampler) \
    DEFAULTS(lucid_random_split) \
    DEFAULTS(lucid_reduce) \
    DEFAULTS(lucid_reduce_lr_on_plateau) \
    DEFAULTS(lucid_resize) \
    DEFAULTS(lucid_rmsprop) \
    DEFAULTS(lucid_rprop) \
    DEFAULTS(lucid_rrelu) \
    DEFAULTS(lucid_run) \
    DEFAULTS(lucid_sgd) \
    DEFAULTS(lucid_softplus) \
    DEFAULTS(lucid_softshrink) \
    DEFAULTS(lucid_sort) \
    DEFAULTS(lucid_step_lr) \
    DEFAULTS(lucid_swa) \
    DEFAULTS(lucid_tensor) \
    DEFAULTS(lucid_topk) \
    DEFAULTS(lucid_trunc_normal) \
    DEFAULTS(lucid_var) \
    DEFAULTS(lucid_warm_restarts_lr) \
    DEFAULTS(lucid_weighted_sampler)

#endif

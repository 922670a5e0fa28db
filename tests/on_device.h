/* on_device.h: lets a program of tests that was written for the CPU run on another device as well.
 *
 * Compiled as it is, a test runs on the CPU. Compiled with LUC_TEST_ON_CUDA (tests/cuda/meson.build
 * does so), what makes tensors and layers makes them on the CUDA device, where no other device is
 * asked for: include this after lucid's headers and before all that makes any. Random numbers are
 * the same on every device, so what is checked is the same too.
 *
 *     TEST_SUITE_ON_DEVICE(name);      once a program and suite
 *     test_device()                    where the tests run
 *     test_is_slow()                   true over the emulator: keep sizes small, or skip
 *     to_test_device(t)                t, or its copy there */
#ifndef TESTS_ON_DEVICE_H
#define TESTS_ON_DEVICE_H

#include "tests/testing.h"

#include "lucid/lucid.h"

#ifndef LUC_TEST_ON_CUDA

#define TEST_SUITE_ON_DEVICE(name) TestSuite(name)

static inline lucid_device test_device(void)
{
    return lucid_cpu();
}
static inline bool test_is_slow(void)
{
    return false;
}
static inline lucid_tensor *to_test_device(lucid_tensor *t)
{
    return t;
}

#else

#include "tests/cuda/cuda_testing.h"

#define TEST_SUITE_ON_DEVICE(name) CUDA_SUITE(name)

static inline lucid_device test_device(void)
{
    return lucid_cuda(0);
}
static inline bool test_is_slow(void)
{
    return is_emulated();
}
static inline lucid_tensor *to_test_device(lucid_tensor *t)
{
    LUCID_NO_GRAD;
    return t ? lucid_tensor_to(t, test_device()) : NULL;
}

/* ---- what options are when none are given ---- */

/* The engine of named options (lucid/core/options.h) reads lucid_..._defaults, and so these. */
#define TEST_DEFAULTS_ON_DEVICE(name)                                 \
    static inline lucid_##name##_options test_##name##_defaults(void) \
    {                                                                 \
        lucid_##name##_options o = lucid_##name##_defaults;           \
        o.device = test_device();                                     \
        return o;                                                     \
    }
TEST_DEFAULTS_ON_DEVICE(tensor)
TEST_DEFAULTS_ON_DEVICE(index)
TEST_DEFAULTS_ON_DEVICE(nn_batch_norm)
TEST_DEFAULTS_ON_DEVICE(nn_conv2d)
TEST_DEFAULTS_ON_DEVICE(nn_linear)
#define lucid_tensor_defaults        test_tensor_defaults()
#define lucid_index_defaults         test_index_defaults()
#define lucid_nn_batch_norm_defaults test_nn_batch_norm_defaults()
#define lucid_nn_conv2d_defaults     test_nn_conv2d_defaults()
#define lucid_nn_linear_defaults     test_nn_linear_defaults()

/* The functions that take options: NULL means the device's. */
#define TEST_ON_DEVICE(name, kind, parameters, ...)                                \
    static inline lucid_tensor *test_##name(TEST_PARAMETERS parameters,            \
                                            const lucid_##kind##_options *options) \
    {                                                                              \
        lucid_##kind##_options here = test_##kind##_defaults();                    \
        return lucid_##name##_opt(__VA_ARGS__, options ? options : &here);         \
    }
#define TEST_PARAMETERS(...)        __VA_ARGS__
TEST_ON_DEVICE(empty, tensor, (lucid_shape s), s)
TEST_ON_DEVICE(zeros, tensor, (lucid_shape s), s)
TEST_ON_DEVICE(ones, tensor, (lucid_shape s), s)
TEST_ON_DEVICE(full, tensor, (lucid_shape s, double v), s, v)
TEST_ON_DEVICE(eye, tensor, (int64_t n, int64_t m), n, m)
TEST_ON_DEVICE(arange, index, (double a, double b, double c), a, b, c)
TEST_ON_DEVICE(from_data, tensor, (lucid_shape s, const void *p), s, p)
TEST_ON_DEVICE(from_doubles, tensor, (lucid_shape s, const double *p, size_t n), s, p, n)

/* Random numbers are drawn on the CPU: the tests of random numbers are elsewhere. */
static inline lucid_tensor *test_drawn(lucid_tensor *(*draw)(lucid_shape,
                                                             const lucid_tensor_options *),
                                       lucid_shape s, const lucid_tensor_options *options)
{
    lucid_tensor_options o = options ? *options : lucid_tensor_defaults;
    lucid_device device = o.device;
    bool requires_grad = o.requires_grad;
    o.device = lucid_cpu();
    o.requires_grad = false;
    LUCID_NO_GRAD;
    lucid_tensor *t = lucid_tensor_to(draw(s, &o), device);
    return requires_grad ? lucid_requires_grad_(t, true) : t;
}
static inline lucid_tensor *test_randn(lucid_shape s, const lucid_tensor_options *options)
{
    return test_drawn(lucid_randn_opt, s, options);
}
static inline lucid_tensor *test_rand(lucid_shape s, const lucid_tensor_options *options)
{
    return test_drawn(lucid_rand_opt, s, options);
}
static inline lucid_tensor *test_fill_drawn(lucid_tensor *(*draw)(lucid_tensor *, double, double),
                                            lucid_tensor *t, double a, double b)
{
    lucid_tensor_options o = test_tensor_defaults();
    o.dtype = lucid_tensor_dtype(t);
    o.device = lucid_cpu();
    lucid_tensor *here = draw((lucid_empty_opt)(lucid_tensor_shape(t), &o), a, b);
    LUCID_NO_GRAD;
    return lucid_copy_(t, to_test_device(here));
}
#define lucid_normal_(...)          test_fill_drawn(lucid_normal_, __VA_ARGS__)
#define lucid_uniform_(...)         test_fill_drawn(lucid_uniform_, __VA_ARGS__)
#define lucid_empty_opt(...)        test_empty(__VA_ARGS__)
#define lucid_zeros_opt(...)        test_zeros(__VA_ARGS__)
#define lucid_ones_opt(...)         test_ones(__VA_ARGS__)
#define lucid_full_opt(...)         test_full(__VA_ARGS__)
#define lucid_eye_opt(...)          test_eye(__VA_ARGS__)
#define lucid_randn_opt(...)        test_randn(__VA_ARGS__)
#define lucid_rand_opt(...)         test_rand(__VA_ARGS__)
#define lucid_arange_opt(...)       test_arange(__VA_ARGS__)
#define lucid_from_data_opt(...)    test_from_data(__VA_ARGS__)
#define lucid_from_doubles_opt(...) test_from_doubles(__VA_ARGS__)

/* Stored tensors come from files, on the CPU. */
#define vectors_tensor(...)         to_test_device(vectors_tensor(__VA_ARGS__))

#endif
#endif

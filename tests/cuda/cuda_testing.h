/* cuda_testing.h: which device the tests of this folder run on.
 *
 * A program runs twice. Where the environment's LUC_TEST_PLUGIN holds the path of the emulated
 * plug-in, it runs over that; otherwise it runs over the real plug-in, and every test is skipped if
 * no GPU can be used. */
#ifndef TESTS_CUDA_TESTING_H
#define TESTS_CUDA_TESTING_H

#include "tests/testing.h"

#include "lucid/extend.h"

#include <stdlib.h>

/* The path of the emulated plug-in; NULL where the tests run on a GPU. */
static inline const char *emulated_plugin(void)
{
    const char *path = getenv("LUC_TEST_PLUGIN");
    return path && *path ? path : NULL;
}

/* True where the kernels run one thread after another: sizes must then be small. */
static inline bool is_emulated(void)
{
    return emulated_plugin() != NULL;
}

static inline void cuda_testing_choose(void)
{
    if (is_emulated()) setenv("LUCID_CUDA_PLUGIN", emulated_plugin(), 1);
}

static inline void cuda_testing_begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_set_deterministic(true); /* bits are compared, and cuDNN has engines that change them */
    cuda_testing_choose();
    if (lucid_device_count(LUCID_CUDA) > 0) return;
    if (!is_emulated()) cr_skip_test("no GPU can be used here");
    lucid_zeros((1), .device = lucid_cuda(0));
    cr_assert(false, "the emulated device cannot be used: %s", lucid_error());
}

static inline void cuda_testing_end(void)
{
    cr_expect_eq(lucid_finish(), 0);
}

/* Ends a suite's test with everything freed. */
#define CUDA_SUITE(name) \
    TestSuite(name, .init = cuda_testing_begin, .fini = cuda_testing_end, .timeout = 600)

#endif

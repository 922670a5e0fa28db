/* cuda_testing.h: which device the tests of this folder run on.
 *
 * A program is built twice: with LUC_TEST_PLUGIN it runs over the emulated plug-in of that path, and
 * without it over the real one, where every test is skipped if no GPU can be used. */
#ifndef TESTS_CUDA_TESTING_H
#define TESTS_CUDA_TESTING_H

#include "tests/testing.h"

#include "lucid/lucid.h"

static inline void cuda_testing_choose(void)
{
#ifdef LUC_TEST_PLUGIN
    setenv("LUCID_CUDA_PLUGIN", LUC_TEST_PLUGIN, 1);
#endif
}

static inline void cuda_testing_begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_set_deterministic(true); /* bits are compared, and cuDNN has engines that change them */
    cuda_testing_choose();
    if (lucid_device_count(LUCID_CUDA) > 0) return;
#ifdef LUC_TEST_PLUGIN
    lucid_zeros((1), .device = lucid_cuda(0));
    cr_assert(false, "the emulated device cannot be used: %s", lucid_error());
#else
    cr_skip_test("no GPU can be used here");
#endif
}

static inline void cuda_testing_end(void)
{
    cr_expect_eq(lucid_finish(), 0);
}

/* Ends a suite's test with everything freed. */
#define CUDA_SUITE(name) \
    TestSuite(name, .init = cuda_testing_begin, .fini = cuda_testing_end, .timeout = 600)

/* True where the kernels run one thread after another: sizes must then be small. */
static inline bool is_emulated(void)
{
#ifdef LUC_TEST_PLUGIN
    return true;
#else
    return false;
#endif
}

#endif

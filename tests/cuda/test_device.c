/* test_device.c: the device itself: copies, memory, errors. */
#include "cuda_testing.h"

#include "lucid/core/memory_priv.h"
#include "lucid/core/plugin.h"
#include "lucid/plugin_version.h"
#include "lucid/core/tensor_priv.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

CUDA_SUITE(device);

Test(device, tensors_travel)
{
    lucid_device dev = lucid_cuda(0);
    const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16,
                                  LUCID_I64, LUCID_I32, LUCID_U8,  LUCID_BOOL};
    for (size_t i = 0; i < 8; i++) {
        lucid_tensor *x = lucid_cast(lucid_arange(0, 120, 1, .dtype = LUCID_I64), dtypes[i]);
        x = lucid_reshape(x, (2, 3, 4, 5));
        lucid_tensor *there = lucid_tensor_to(x, dev);
        cr_expect(lucid_device_equal(lucid_tensor_device(there), dev));
        cr_expect(lucid_equal(lucid_tensor_to(there, lucid_cpu()), x), "%s",
                  lucid_dtype_name(dtypes[i]));
        cr_expect(lucid_equal(there, x) &&
                  lucid_at(there, LUCID_SHAPE(1, 2, 3, 4)) == (dtypes[i] == LUCID_BOOL ? 1 : 119));
        lucid_tensor *turned = lucid_permute(there, (3, 1, 0, 2));
        cr_expect(
            lucid_equal(lucid_tensor_to(turned, lucid_cpu()), lucid_permute(x, (3, 1, 0, 2))));
        cr_expect(lucid_equal(lucid_tensor_to(lucid_slice(there, 3, 1, 5, 2), lucid_cpu()),
                              lucid_slice(x, 3, 1, 5, 2)));
    }
    lucid_tensor *none = lucid_tensor_to(lucid_zeros((0, 3)), dev);
    cr_expect(none && lucid_numel(none) == 0);
    lucid_tensor *one = lucid_full((), 2.5, .device = dev);
    cr_expect(lucid_item(one) == 2.5);
}

/* Wide enough for tiles in shared memory, ragged at every edge, with something left over. */
Test(device, layouts)
{
    lucid_tensor *x =
        lucid_reshape(lucid_arange(0, 3 * 70 * 41 * 2, 1, .dtype = LUCID_F32), (3, 70, 41, 2));
    lucid_tensor *there = lucid_tensor_to(x, lucid_cuda(0));
    const lucid_shape orders[] = {LUCID_SHAPE(0, 2, 1, 3), LUCID_SHAPE(0, 1, 3, 2),
                                  LUCID_SHAPE(2, 1, 0, 3), LUCID_SHAPE(3, 2, 1, 0),
                                  LUCID_SHAPE(1, 0, 3, 2)};
    for (size_t i = 0; i < 5; i++) {
        lucid_tensor *a = lucid_clone(lucid_permute_opt(there, orders[i]), LUCID_CONTIGUOUS);
        cr_expect(lucid_is_contiguous(a, LUCID_CONTIGUOUS));
        cr_expect(lucid_equal(a, lucid_permute_opt(x, orders[i])), "order %d", (int)i);
    }
    lucid_tensor *last = lucid_clone(there, LUCID_CHANNELS_LAST);
    cr_expect(lucid_is_contiguous(last, LUCID_CHANNELS_LAST) && lucid_equal(last, x));
    cr_expect(lucid_equal(lucid_clone(last, LUCID_CONTIGUOUS), x));
}

static double cast_on(lucid_device device, double value, lucid_dtype from, lucid_dtype to)
{
    LUCID_SCOPE;
    lucid_tensor *x =
        lucid_tensor_to(lucid_cast(lucid_full((3), value, .dtype = LUCID_F64), from), device);
    return lucid_at(lucid_cast(x, to), LUCID_SHAPE(2));
}

/* Rounding, overflow, NaN: as on the CPU. */
Test(device, casts)
{
    const double values[] = {0,     -0.0,  1.5,      -2.5,      255.7,   300,        -1,
                             65519, 65520, 1e-7,     6e-8,      5.97e-8, 1 + 0x1p-8, 1e10,
                             -1e10, 1e19,  INFINITY, -INFINITY, NAN,     0x1p-15};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (int from = 0; from < LUCID_DTYPE_COUNT; from++)
            for (int to = 0; to < LUCID_DTYPE_COUNT; to++) {
                double want = cast_on(lucid_cpu(), values[i], (lucid_dtype)from, (lucid_dtype)to);
                double got = cast_on(lucid_cuda(0), values[i], (lucid_dtype)from, (lucid_dtype)to);
                cr_expect(testing_close(got, want, 0, 0), "%g from %s to %s: expected %g, got %g",
                          values[i], lucid_dtype_name((lucid_dtype)from),
                          lucid_dtype_name((lucid_dtype)to), want, got);
            }
}

Test(device, creation)
{
    lucid_device dev = lucid_cuda(0);
    cr_expect(lucid_equal(lucid_arange(-3, 900, 7, .device = dev), lucid_arange(-3, 900, 7)));
    cr_expect(lucid_equal(lucid_linspace(-1, 2, 1001, .device = dev), lucid_linspace(-1, 2, 1001)));
    cr_expect(lucid_equal(lucid_eye(7, 5, .device = dev), lucid_eye(7, 5)));
    cr_expect(lucid_equal(lucid_full((300, 3), -1.5, .device = dev, .dtype = LUCID_BF16),
                          lucid_full((300, 3), -1.5, .dtype = LUCID_BF16)));
    char *text = lucid_to_string(lucid_ones((2), .device = dev));
    cr_expect_str_eq(text, "tensor([1., 1.], device='cuda:0')");
    free(text);
}

/* ---- memory ---- */

/* With LUCID_CUDA_CACHE=0 there is no cache to test. */
static void needs_the_cache(void)
{
    const char *cache = getenv("LUCID_CUDA_CACHE");
    if (cache && !strcmp(cache, "0")) cr_skip_test("LUCID_CUDA_CACHE=0");
}

Test(device, memory_is_counted_and_reused)
{
    needs_the_cache();
    lucid_device dev = lucid_cuda(0);
    lucid_memory_release_cache(dev);
    lucid_memory_stats start = lucid_memory(dev);
    for (int i = 0; i < 10; i++) {
        LUCID_SCOPE;
        lucid_tensor *big = lucid_zeros((1 << 19), .device = dev);
        lucid_tensor *small = lucid_zeros((3), .device = dev);
        lucid_memory_stats now = lucid_memory(dev);
        cr_expect(big && small && now.live_blocks == start.live_blocks + 2);
        cr_expect(now.current_bytes == start.current_bytes + (4 << 19) + 512);
        cr_expect(now.reserved_bytes >= now.current_bytes);
    }
    lucid_memory_stats end = lucid_memory(dev);
    cr_expect(end.current_bytes == start.current_bytes && end.live_blocks == start.live_blocks);
    cr_expect(end.allocations == start.allocations + 20);
    cr_expect(end.cache_hits >= start.cache_hits + 18);
    cr_expect(end.peak_bytes >= start.current_bytes + (4 << 19));
    lucid_memory_reset_peak(dev);
    cr_expect(lucid_memory(dev).peak_bytes == end.current_bytes);
    lucid_memory_release_cache(dev);
    cr_expect(lucid_memory(dev).reserved_bytes <= start.reserved_bytes);
}

/* Blocks of rising sizes, one at a time: what is kept of them stays within the limit. */
Test(device, the_cache_is_bounded_by_the_peak)
{
    lucid_device dev = lucid_cuda(0);
    const lucid_backend *b = lucid_backend_get(LUCID_CUDA);
    const size_t slack = (size_t)64 << 20;
    for (int round = 0; round < 2; round++) {
        size_t most = 0;
        for (size_t n = (size_t)3 << 20; n < (size_t)300 << 20; n += n / 10) {
            void *p = b->alloc(0, n);
            cr_assert(p);
            most = n;
            b->free(0, p, n);
        }
        const lucid_memory_stats now = lucid_memory(dev);
        cr_expect(now.reserved_bytes <= (round ? 1 : 2) * (most + ((size_t)4 << 20)) + slack,
                  "round %d: reserved %zu MB, the largest has %zu MB", round,
                  now.reserved_bytes >> 20, most >> 20);
        cr_assert(lucid_memory_set_cache_limit(dev, 1), "%s", lucid_error());
    }
    cr_assert(lucid_memory_set_cache_limit(dev, LUCID_CACHE_LIMIT_DEFAULT));
    lucid_memory_release_cache(dev);
}

/* Blocks of all sizes come and go; none overlaps another, and in the end all is one again. */
Test(device, the_allocator_keeps_blocks_apart)
{
    enum { LIVE = 40 };
    lucid_device dev = lucid_cuda(0);
    const lucid_backend *b = lucid_backend_get(LUCID_CUDA);
    struct {
        char *p;
        size_t size;
    } live[LIVE] = {{0}};
    uint64_t state = 1;
    lucid_memory_release_cache(dev);
    size_t before = lucid_memory(dev).reserved_bytes;
    for (int i = 0; i < 4000; i++) {
        state = state * 6364136223846793005u + 1;
        int k = (int)(state >> 33) % LIVE;
        if (live[k].p) {
            b->free(0, live[k].p, live[k].size);
            live[k].p = NULL;
            continue;
        }
        live[k].size = (size_t)1 << (state >> 40) % 23;
        live[k].size += (state >> 20) % live[k].size;
        live[k].p = b->alloc(0, live[k].size);
        cr_assert(live[k].p && (uintptr_t)live[k].p % 256 == 0);
        for (int j = 0; j < LIVE; j++)
            cr_assert(j == k || !live[j].p || live[j].p + live[j].size <= live[k].p ||
                      live[k].p + live[k].size <= live[j].p);
    }
    for (int k = 0; k < LIVE; k++) b->free(0, live[k].p, live[k].size);
    cr_expect(lucid_memory(dev).live_blocks == 0);
    lucid_memory_release_cache(dev);
    cr_expect(lucid_memory(dev).reserved_bytes == before);
}

Test(device, out_of_memory_gives_the_cache_back_first)
{
    needs_the_cache();
    lucid_device dev = lucid_cuda(0);
    size_t whole = is_emulated() ? (size_t)1 << 30 : 0;
    if (!whole) cr_skip_test("needs a device of known size");
    {
        LUCID_SCOPE;
        /* 700 MB and then again, in pieces of another size: the cache must go first. */
        for (int i = 0; i < 7; i++) cr_assert(lucid_empty((25 << 20), .device = dev));
    }
    cr_expect(lucid_memory(dev).reserved_bytes >= (size_t)700 << 20);
    {
        LUCID_SCOPE;
        cr_expect(lucid_empty((150 << 20), .device = dev), "%s", lucid_error());
        EXPECT_ERROR(lucid_empty((150 << 20), .device = dev), LUCID_ERR_MEMORY,
                     "empty: out of memory on cuda:0: 629145600 bytes asked for; 629145600 are in "
                     "tensors, 629145600 taken from the device");
        cr_expect(lucid_ones((3), .device = dev) != NULL);
    }
}

Test(device, any_allocation_may_fail)
{
    for (uint64_t n = 1; n < 100; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        lucid_tensor *x = lucid_tensor_to(lucid_permute(lucid_ones((3, 4)), (1, 0)), lucid_cuda(0));
        bool ok = x && lucid_equal(x, lucid_ones((4, 3)));
        bool failed = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_expect(ok == !failed && (lucid_error_code() == LUCID_ERR_MEMORY) == failed, "%d: %s",
                  (int)n, lucid_error());
        lucid_clear_error();
        if (ok) return;
    }
    cr_expect(false, "never came through");
}

/* ---- errors ---- */

Test(device, refusals)
{
    lucid_tensor *here = lucid_ones((2)), *there = lucid_ones((2), .device = lucid_cuda(0));
    EXPECT_ERROR(lucid_add(here, there), LUCID_ERR_ARGUMENT,
                 "add: b: expected a tensor on cpu, got cuda:0");
    EXPECT_ERROR(lucid_zeros((2), .device = lucid_cuda(99)), LUCID_ERR_DEVICE,
                 "zeros: device: expected an index below ");
    cr_expect(lucid_synchronize(lucid_cuda(0)));
}

/* ---- what only the emulator can be made to do ---- */

#define NEEDS_EMULATOR \
    if (!is_emulated()) cr_skip_test("only the emulator can be made to do this")

Test(device, a_plugin_of_another_version_is_refused)
{
    NEEDS_EMULATOR;
    void *lib = dlopen(emulated_plugin(), RTLD_NOW);
    cr_assert(lib, "%s", dlerror());
    lucid_plugin_entry entry = NULL;
    void *symbol = dlsym(lib, "lucid_cuda_backend");
    memcpy(&entry, &symbol, sizeof entry);
    char reason[200] = "";
    lucid_plugin_host host = {.version = LUCID_PLUGIN_VERSION ^ UINT64_C(1) << 63};
    cr_expect(!entry(&host, reason, sizeof reason));
    char want[200];
    snprintf(want, sizeof want,
             "the CUDA plug-in was built with another lucid: expected a library with plug-in "
             "version %016llx, got %016llx; build both from the same sources",
             (unsigned long long)LUCID_PLUGIN_VERSION, (unsigned long long)host.version);
    cr_expect_str_eq(reason, want);
}

Test(devices, none)
{
    NEEDS_EMULATOR;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    setenv("LUC_EMULATOR_DEVICES", "0", 1);
    cuda_testing_choose();
    cr_expect(lucid_device_count(LUCID_CUDA) == 0);
    EXPECT_ERROR(lucid_zeros((1), .device = lucid_cuda(0)), LUCID_ERR_DEVICE,
                 "cuda: device: expected a usable GPU, but there is no NVIDIA GPU here");
    cr_expect(lucid_device_equal(lucid_best_device(), lucid_cpu()) && lucid_ones((2)));
    lucid_clear_error();
    cr_expect(lucid_finish() == 0);
}

/* A fault shows late: what was launched last is named. */
Test(devices, a_kernel_that_fails)
{
    NEEDS_EMULATOR;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    setenv("LUC_EMULATOR_FAULT", "exp", 1);
    cuda_testing_choose();
    lucid_tensor *x = lucid_ones((4), .device = lucid_cuda(0));
    lucid_tensor *y = lucid_neg(lucid_exp(x));
    cr_expect(y && lucid_error_code() == LUCID_OK);
    EXPECT_ERROR(lucid_at(y, LUCID_SHAPE(0)), LUCID_ERR_DEVICE,
                 "copy: a kernel failed on the device: cudaErrorIllegalAddress "
                 "(cudaErrorIllegalAddress); launched last, newest first: neg, exp, fill "
                 "(LUCID_CUDA_SYNC=1 tells which it was)");
    cr_expect(lucid_finish() == 0);
}

Test(devices, several)
{
    NEEDS_EMULATOR;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    setenv("LUC_EMULATOR_DEVICES", "3", 1);
    cuda_testing_choose();
    cr_assert(lucid_device_count(LUCID_CUDA) == 3);
    {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_arange(0, 100, 1, .device = lucid_cuda(2));
        lucid_tensor *y = lucid_tensor_to(x, lucid_cuda(1));
        cr_expect(lucid_equal(y, x) && lucid_device_equal(lucid_tensor_device(y), lucid_cuda(1)));
        EXPECT_ERROR(lucid_add(x, y), LUCID_ERR_ARGUMENT,
                     "add: b: expected a tensor on cuda:2, got cuda:1");
        cr_expect(lucid_memory(lucid_cuda(2)).live_blocks == 1);
        cr_expect(lucid_memory(lucid_cuda(0)).live_blocks == 0);
    }
    cr_expect(lucid_finish() == 0);
}

/* Devices and backends: names, and a device that is only a table. */
#include "lucid/core/backend.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/memory.h"
#include "lucid/core/tensor_priv.h"
#include "tests/testing.h"

Test(device, names)
{
    cr_expect(strcmp(lucid_device_name(lucid_cpu()), "cpu") == 0);
    cr_expect(strcmp(lucid_device_name(lucid_cuda(0)), "cuda:0") == 0);
    cr_expect(strcmp(lucid_device_name(lucid_cuda(15)), "cuda:15") == 0);
    cr_expect(strcmp(lucid_device_name(lucid_cuda(16)), "cuda:16+") == 0);
    cr_expect(strcmp(lucid_device_name(lucid_cuda(-1)), "no device") == 0);
    cr_expect(strcmp(lucid_device_name((lucid_device){(lucid_device_type)5, 0}), "no device") == 0);
    cr_expect(lucid_device_equal(lucid_cuda(2), lucid_cuda(2)));
    cr_expect(!lucid_device_equal(lucid_cuda(2), lucid_cuda(1)));
    cr_expect(!lucid_device_equal(lucid_cuda(0), lucid_cpu()));
}

Test(device, parse)
{
    lucid_device d;
    cr_expect(lucid_device_parse("cpu", &d) && lucid_device_equal(d, lucid_cpu()));
    cr_expect(lucid_device_parse("cuda", &d) && lucid_device_equal(d, lucid_cuda(0)));
    cr_expect(lucid_device_parse("cuda:0", &d) && lucid_device_equal(d, lucid_cuda(0)));
    cr_expect(lucid_device_parse("cuda:12", &d) && lucid_device_equal(d, lucid_cuda(12)));
    static const char *const bad[] = {"",        "gpu",     "cuda:",           "cuda:-1", "cuda: 1",
                                      "cuda:+1", "cuda:1x", "cuda:1 ",         "cpu:0",   " cpu",
                                      "CUDA",    "cuda1",   "cuda:99999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d = lucid_cuda(7);
        EXPECT_ERROR(lucid_device_parse(bad[i], &d), LUCID_ERR_ARGUMENT,
                     "device_parse: text: expected \"cpu\", \"cuda\" or \"cuda:N\", got \"");
        cr_expect(lucid_device_equal(d, lucid_cuda(7)), "%s: changed the device", bad[i]);
    }
    EXPECT_ERROR(lucid_device_parse(NULL, &d), LUCID_ERR_ARGUMENT, "got \"(NULL)\"");
    EXPECT_ERROR(lucid_device_parse("cpu", NULL), LUCID_ERR_ARGUMENT, "device_parse");
}

Test(device, cpu)
{
    cr_expect(lucid_device_count(LUCID_CPU) == 1);
    cr_expect(lucid_synchronize(lucid_cpu()));
    cr_expect(lucid_device_count((lucid_device_type)9) == 0);
    cr_expect(lucid_error_code() == LUCID_OK);
    int n = lucid_get_num_threads();
    cr_expect(n >= 1);
    lucid_set_num_threads(2);
    cr_expect(lucid_get_num_threads() == 2);
    EXPECT_ERROR(lucid_backend_get((lucid_device_type)9), LUCID_ERR_ARGUMENT,
                 "device: type: expected cpu or cuda, got 9");
}

Test(device, a_plugin_that_is_missing_says_so)
{
    setenv("LUCID_CUDA_PLUGIN", "/nowhere/liblucid_cuda.so", 1);
    cr_expect(lucid_device_count(LUCID_CUDA) == 0);
    cr_expect(lucid_device_equal(lucid_best_device(), lucid_cpu()));
    cr_expect(lucid_error_code() == LUCID_OK);
    for (int i = 0; i < 2; i++)
        EXPECT_ERROR(lucid_zeros((2), .device = lucid_cuda(0)), LUCID_ERR_DEVICE,
                     "cuda: device: expected a usable GPU, but the CUDA plug-in cannot be loaded");
    cr_expect(lucid_live().tensors == 0);
}

/* ---- the test's own backend: memory that the host must not touch without copy() --------- */

static struct {
    int allocated, freed, copies, kernels, synchronised;
    size_t bytes;
    bool out_of_memory, copy_fails;
} fake;

/* Device addresses are shifted by this amount, so that a host that dereferences one of them crashes
 * or reads wrong values. */
#define SHIFT ((uintptr_t)1 << 46)

static void *to_device(void *p)
{
    return (void *)((uintptr_t)p + SHIFT);
}

static void *to_host(const void *p)
{
    return (void *)((uintptr_t)p - SHIFT);
}

static int fake_count(void)
{
    return 2;
}

static void *fake_alloc(int index, size_t bytes)
{
    cr_assert(index == 0 || index == 1);
    cr_assert(bytes > 0);
    if (fake.out_of_memory) return NULL;
    fake.allocated++;
    fake.bytes += bytes;
    return to_device(malloc(bytes));
}

static void fake_free(int index, void *data, size_t bytes)
{
    cr_assert(index == 0 || index == 1);
    fake.freed++;
    fake.bytes -= bytes;
    free(to_host(data));
}

static bool fake_copy(void *dst, lucid_device dst_device, const void *src, lucid_device src_device,
                      size_t bytes)
{
    fake.copies++;
    if (fake.copy_fails) return lucid_raise(LUCID_ERR_DEVICE, "fake", "the cable is out");
    memcpy(dst_device.type == LUCID_CUDA ? to_host(dst) : dst,
           src_device.type == LUCID_CUDA ? to_host(src) : src, bytes);
    return true;
}

static bool fake_synchronize(int index)
{
    fake.synchronised += 1 + index;
    return true;
}

/* Runs the CPU's kernel on the true addresses. */
static bool borrowed(const lucid_kernel_args *args)
{
    lucid_view in[LUCID_MAX_INPUTS], out[LUCID_MAX_OUTPUTS];
    const lucid_view *ins[LUCID_MAX_INPUTS], *outs[LUCID_MAX_OUTPUTS];
    for (int i = 0; i < args->n_in; i++) {
        in[i] = *args->in[i];
        in[i].data = to_host(in[i].data);
        ins[i] = &in[i];
    }
    for (int i = 0; i < args->n_out; i++) {
        out[i] = *args->out[i];
        out[i].data = to_host(out[i].data);
        outs[i] = &out[i];
    }
    lucid_kernel_args a = *args;
    a.in = ins;
    a.out = outs;
    lucid_dtype dtype = (args->n_in ? in : out)->dtype;
    fake.kernels++;
    return luc_cpu_backend()->kernels[args->op][dtype].run(&a);
}

static const lucid_backend *fake_backend(void)
{
    static lucid_backend b = {.name = "fake",
                              .type = LUCID_CUDA,
                              .device_count = fake_count,
                              .alloc = fake_alloc,
                              .free = fake_free,
                              .copy = fake_copy,
                              .synchronize = fake_synchronize};
    static const lucid_op_id ops[] = {LUCID_OP_fill, LUCID_OP_copy, LUCID_OP_cast, LUCID_OP_arange,
                                      LUCID_OP_uniform};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int d = 0; d < LUCID_DTYPE_COUNT; d++) b.kernels[ops[i]][d].run = borrowed;
    return &b;
}

static void use_fake(void)
{
    cr_assert(lucid_backend_register(fake_backend()));
}

/* What the root scope holds is reached through shifted pointers, which a leak detector cannot
 * follow. */
static void end_scopes(void)
{
    luc_scope_end_all();
}

TestSuite(backend, .init = use_fake, .fini = end_scopes);

Test(backend, is_one_table)
{
    lucid_device dev = lucid_cuda(1);
    cr_expect(lucid_device_count(LUCID_CUDA) == 2);
    cr_expect(lucid_device_equal(lucid_best_device(), lucid_cuda(0)));
    {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_full((2, 3), 1.5, .device = dev);
        cr_expect(lucid_device_equal(lucid_tensor_device(t), dev));
        EXPECT_VALUES(t, 0, 0, {1.5, 1.5, 1.5, 1.5, 1.5, 1.5});
        lucid_tensor *a = lucid_arange(0, 6, 1, .device = dev);
        EXPECT_VALUES(a, 0, 0, {0, 1, 2, 3, 4, 5});
        cr_expect(lucid_at(a, LUCID_SHAPE(4)) == 4 &&
                  lucid_item(lucid_ones((1), .device = dev)) == 1);
        float values[4] = {1, 2, 3, 4};
        lucid_tensor *f = lucid_from_data((2, 2), values, .device = dev);
        cr_expect(lucid_equal(f, lucid_values((2, 2), 1, 2, 3, 4))); /* across devices */
        char *text = lucid_to_string(f);
        cr_expect(strcmp(text, "tensor([[1., 2.],\n        [3., 4.]], device='cuda:1')") == 0, "%s",
                  text);
        free(text);
        cr_expect(fake.kernels > 0 && fake.copies > 0 && fake.bytes > 0);
        cr_expect(lucid_zeros((0, 3), .device = dev) != NULL);
    }
    cr_expect(fake.allocated == fake.freed && fake.bytes == 0, "%d, %d, %zu", fake.allocated,
              fake.freed, fake.bytes);
    cr_expect(lucid_synchronize(dev) && fake.synchronised == 2);
}

/* If strides and dtypes differ between the two sides, the bytes are sent packed. */
Test(backend, copies_between_layouts_and_dtypes)
{
    lucid_tensor *host = lucid_values((1, 2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8);
    lucid_tensor *there = lucid_zeros((1, 2, 2, 2), .device = lucid_cuda(0), .dtype = LUCID_F64,
                                      .memory_format = LUCID_CHANNELS_LAST);
    cr_expect(luc_copy_data(there, host, "test"));
    EXPECT_VALUES(there, 0, 0, {1, 2, 3, 4, 5, 6, 7, 8});
    lucid_tensor *back =
        lucid_zeros((1, 2, 2, 2), .dtype = LUCID_I32, .memory_format = LUCID_CHANNELS_LAST);
    cr_expect(luc_copy_data(back, there, "test"));
    EXPECT_VALUES(back, 0, 0, {1, 2, 3, 4, 5, 6, 7, 8});
    lucid_tensor *other = lucid_zeros((1, 2, 2, 2), .device = lucid_cuda(1));
    cr_expect(luc_copy_data(other, there, "test"));
    EXPECT_VALUES(other, 0, 0, {1, 2, 3, 4, 5, 6, 7, 8});
    EXPECT_ERROR(luc_copy_data(other, lucid_zeros((8)), "test"), LUCID_ERR_ARGUMENT,
                 "test: source: expected [1,2,2,2], got [8]");
}

Test(backend, failures_come_through)
{
    lucid_device dev = lucid_cuda(0);
    lucid_tensor *t = lucid_ones((2), .device = dev);
    EXPECT_ERROR(lucid_zeros((2), .device = lucid_cuda(2)), LUCID_ERR_DEVICE,
                 "zeros: device: expected an index below 2 for fake, got 2");
    fake.out_of_memory = true;
    EXPECT_ERROR(lucid_zeros((2), .device = dev), LUCID_ERR_MEMORY,
                 "zeros: out of memory on cuda:0: 8 bytes asked for");
    fake.out_of_memory = false;
    fake.copy_fails = true;
    double x[2];
    EXPECT_ERROR(lucid_to_doubles(t, x, 2), LUCID_ERR_DEVICE, "fake: the cable is out");
    EXPECT_ERROR(lucid_at(t, LUCID_SHAPE(0)), LUCID_ERR_DEVICE, "fake: the cable is out");
    EXPECT_ERROR(lucid_from_data((2), x, .device = dev), LUCID_ERR_DEVICE, "the cable is out");
    EXPECT_ERROR(lucid_to_string(t), LUCID_ERR_DEVICE, "the cable is out");
    fake.copy_fails = false;
    EXPECT_ERROR(lucid_eye(2, 2, .device = dev), LUCID_ERR_UNSUPPORTED,
                 "eye: no kernel for float32 on cuda:0");
}

/* ---- switches -------------------------------------------------------------------------------- */

static int told[LUCID_SWITCH_COUNT], tellings;

static void take_switch(lucid_switch which, bool enabled)
{
    tellings++;
    told[which] = enabled;
}

Test(device, switches_reach_backends_whenever_they_come)
{
    static lucid_backend b;
    b = *fake_backend();
    b.set_switch = take_switch;
    cr_expect(!lucid_get_tf32() && !lucid_get_deterministic() && !lucid_get_benchmark());
    lucid_set_tf32(true);
    lucid_set_benchmark(true);
    cr_expect(lucid_get_tf32() && !lucid_get_deterministic() && lucid_get_benchmark());
    cr_expect(tellings == 0);
    cr_assert(lucid_backend_register(&b)); /* loaded later than they were set */
    cr_expect(tellings == 3 && told[LUCID_SWITCH_TF32] && !told[LUCID_SWITCH_DETERMINISTIC] &&
              told[LUCID_SWITCH_BENCHMARK]);
    lucid_set_tf32(false);
    lucid_set_deterministic(true);
    cr_expect(tellings == 5 && !told[LUCID_SWITCH_TF32] && told[LUCID_SWITCH_DETERMINISTIC] &&
              told[LUCID_SWITCH_BENCHMARK]);
    lucid_set_deterministic(false);
    lucid_set_benchmark(false);
    cr_expect(!lucid_get_tf32() && !lucid_get_deterministic() && !lucid_get_benchmark());
    b.set_switch = NULL;
    lucid_set_tf32(true);
    cr_expect(tellings == 7 && lucid_get_tf32());
}

/* Slots that may be NULL are not called. */
Test(backend, no_statistics)
{
    lucid_memory_stats zero = {0}, got = lucid_memory(lucid_cuda(0));
    cr_expect(memcmp(&got, &zero, sizeof got) == 0);
    lucid_memory_reset_peak(lucid_cuda(0));
    lucid_memory_release_cache(lucid_cuda(0));
}

Test(device, backends_that_are_refused)
{
    lucid_backend b = *fake_backend();
    EXPECT_ERROR(lucid_backend_register(NULL), LUCID_ERR_ARGUMENT,
                 "backend_register: backend: expected a table with a known device type");
    b.type = (lucid_device_type)7;
    EXPECT_ERROR(lucid_backend_register(&b), LUCID_ERR_ARGUMENT, "a known device type");
    b.type = LUCID_CUDA;
    b.copy = NULL;
    EXPECT_ERROR(lucid_backend_register(&b), LUCID_ERR_ARGUMENT,
                 "backend_register: backend: fake: expected alloc, free, copy and device_count");
}

/* test_module.c: whole modules on the device: moved there and back, saved and loaded, trained
 * beside the CPU. */
#include "small_net.h"

#include <unistd.h>

CUDA_SUITE(module);

static lucid_module *moved_net(lucid_dtype dtype, uint64_t seed)
{
    lucid_module *net = small_net(dtype, seed);
    cr_assert(lucid_to(net, lucid_cuda(0)), "%s", lucid_error());
    return net;
}

static void expect_on(lucid_module *m, lucid_device_type type)
{
    for (int buffers = 0; buffers < 2; buffers++) {
        size_t n;
        const lucid_named_tensor *t =
            buffers ? lucid_named_buffers(m, &n) : lucid_named_parameters(m, &n);
        for (size_t i = 0; i < n; i++) {
            lucid_tensor *g = lucid_tensor_grad(t[i].tensor);
            cr_expect(lucid_tensor_device(t[i].tensor).type == type, "%s", t[i].name);
            cr_expect(!g || lucid_tensor_device(g).type == type, "the gradient of %s", t[i].name);
        }
    }
}

/* Largest distance between the two modules' parameters and buffers, in units of the largest. */
static double distance(lucid_module *a, lucid_module *b)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    double worst = 0;
    for (int buffers = 0; buffers < 2; buffers++) {
        size_t n, m;
        const lucid_named_tensor *s =
            buffers ? lucid_named_buffers(a, &n) : lucid_named_parameters(a, &n);
        const lucid_named_tensor *t =
            buffers ? lucid_named_buffers(b, &m) : lucid_named_parameters(b, &m);
        cr_assert(n == m);
        for (size_t i = 0; i < n; i++) {
            size_t count = (size_t)lucid_numel(s[i].tensor);
            cr_assert(count == (size_t)lucid_numel(t[i].tensor), "%s", s[i].name);
            cr_expect(lucid_tensor_dtype(s[i].tensor) == lucid_tensor_dtype(t[i].tensor));
            double *x = calloc(2 * count, sizeof *x), *y = x + count, largest = 1e-3;
            cr_assert(x && lucid_to_doubles(s[i].tensor, x, count) &&
                      lucid_to_doubles(t[i].tensor, y, count));
            for (size_t k = 0; k < count; k++) largest = fmax(largest, fabs(x[k]));
            for (size_t k = 0; k < count; k++) {
                double d = fabs(x[k] - y[k]) / largest;
                worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
            }
            free(x);
        }
    }
    return worst;
}

Test(module, moves_there_and_back)
{
    LUCID_SCOPE;
    lucid_module *net = small_net(LUCID_F32, 1), *still = small_net(LUCID_F32, 1);
    lucid_tensor *weight = lucid_get_parameter(net, "0.weight");
    lucid_tensor *counter = lucid_get_buffer(net, "1.num_batches_tracked");
    lucid_backward(lucid_sum(lucid_forward(net, small_images(LUCID_F32, 0))));
    lucid_forward(still, small_images(LUCID_F32, 0));
    for (int i = 0; i < 2; i++) {
        cr_assert(lucid_to(net, lucid_cuda(0)), "%s", lucid_error());
        expect_on(net, LUCID_CUDA);
        cr_expect(lucid_get_parameter(net, "0.weight") == weight, "the tensor is the same one");
        cr_expect(lucid_tensor_dtype(counter) == LUCID_I64 && lucid_item(counter) == 1);
        cr_expect(lucid_tensor_grad(weight) && lucid_requires_grad(weight));
        cr_expect(distance(net, still) == 0);
        cr_assert(lucid_to(net, lucid_cpu()), "%s", lucid_error());
        expect_on(net, LUCID_CPU);
        cr_expect(distance(net, still) == 0);
    }
    lucid_module_free(still);
    lucid_module_free(net);
}

Test(module, counter_and_statistics_change_on_the_device)
{
    LUCID_SCOPE;
    lucid_module *net = moved_net(LUCID_F32, 2), *here = small_net(LUCID_F32, 2);
    for (int k = 0; k < 3; k++) {
        lucid_forward(here, small_images(LUCID_F32, k));
        cr_assert(lucid_forward(net, lucid_tensor_to(small_images(LUCID_F32, k), lucid_cuda(0))),
                  "%s", lucid_error());
    }
    expect_on(net, LUCID_CUDA);
    cr_expect(lucid_item(lucid_get_buffer(net, "5.num_batches_tracked")) == 3);
    cr_expect(distance(net, here) < 1e-5);
    lucid_eval(net);
    lucid_eval(here);
    lucid_tensor *x = small_images(LUCID_F32, 7);
    lucid_tensor *y = lucid_forward(net, lucid_tensor_to(x, lucid_cuda(0)));
    lucid_tensor *again = lucid_forward(net, lucid_tensor_to(x, lucid_cuda(0)));
    cr_expect(lucid_equal(y, again));
    cr_expect(
        lucid_allclose(lucid_tensor_to(y, lucid_cpu()), lucid_forward(here, x), 1e-4, 1e-5, false));
    cr_expect(lucid_item(lucid_get_buffer(net, "5.num_batches_tracked")) == 3);
    lucid_module_free(here);
    lucid_module_free(net);
}

Test(module, input_elsewhere_is_refused)
{
    LUCID_SCOPE;
    lucid_module *net = moved_net(LUCID_F32, 3), *bn = nn_BatchNorm2d(2);
    EXPECT_ERROR(lucid_forward(net, small_images(LUCID_F32, 0)), LUCID_ERR_ARGUMENT, "cuda:0");
    EXPECT_ERROR(lucid_forward(bn, lucid_tensor_to(small_images(LUCID_F32, 0), lucid_cuda(0))),
                 LUCID_ERR_ARGUMENT, "cuda:0");
    lucid_module_free(bn);
    lucid_module_free(net);
}

static void round_trip(lucid_module *from, lucid_module *to, lucid_device_type type)
{
    LUCID_SCOPE;
    lucid_state_dict *s = lucid_module_state_dict(from);
    cr_assert(s && lucid_load_state_dict(to, s), "%s", lucid_error());
    lucid_state_dict_free(s);
    cr_expect(distance(from, to) == 0);
    expect_on(to, type);
}

Test(module, state_between_devices)
{
    LUCID_SCOPE;
    lucid_module *there = moved_net(LUCID_F32, 4), *here = small_net(LUCID_F32, 5);
    lucid_forward(there, lucid_tensor_to(small_images(LUCID_F32, 0), lucid_cuda(0)));
    cr_expect(distance(there, here) > 0);
    round_trip(there, here, LUCID_CPU);
    lucid_forward(here, small_images(LUCID_F32, 1));
    cr_expect(distance(there, here) > 0);
    round_trip(here, there, LUCID_CUDA);

    char path[] = "/tmp/lucid-module-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    lucid_forward(there, lucid_tensor_to(small_images(LUCID_F32, 2), lucid_cuda(0)));
    cr_assert(lucid_save(there, path) && lucid_load(here, path), "%s", lucid_error());
    cr_expect(distance(there, here) == 0);
    lucid_forward(here, small_images(LUCID_F32, 3));
    cr_assert(lucid_save(here, path) && lucid_load(there, path), "%s", lucid_error());
    cr_expect(distance(there, here) == 0);
    expect_on(there, LUCID_CUDA);
    unlink(path);
    lucid_module_free(here);
    lucid_module_free(there);
}

/* Five steps of SGD on both. Each step multiplies what the roundings of those before it did. */
static void train_both(lucid_dtype dtype, double limit)
{
    LUCID_SCOPE;
    enum { STEPS = 5 };
    double loss[2][STEPS];
    lucid_module *net[2] = {small_net(dtype, 6), moved_net(dtype, 6)};
    for (int i = 0; i < 2; i++) {
        lucid_device device = i ? lucid_cuda(0) : lucid_cpu();
        lucid_optimizer *opt = optim_SGD(net[i], .lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3);
        cr_assert(opt, "%s", lucid_error());
        small_train(net[i], opt, dtype, device, STEPS, loss[i]);
        lucid_optimizer_free(opt);
    }
    for (int k = 0; k < STEPS; k++)
        cr_expect(fabs(loss[1][k] - loss[0][k]) <= limit * fabs(loss[0][k]),
                  "%s, step %d: expected %.12g, got %.12g", lucid_dtype_name(dtype), k, loss[0][k],
                  loss[1][k]);
    cr_expect(loss[0][STEPS - 1] != loss[0][0]);
    cr_expect(distance(net[0], net[1]) <= 10 * limit, "%s: %g", lucid_dtype_name(dtype),
              distance(net[0], net[1]));
    expect_on(net[1], LUCID_CUDA);
    lucid_module_free(net[0]);
    lucid_module_free(net[1]);
}

Test(module, trains_as_on_the_cpu)
{
    train_both(LUCID_F32, 1e-4);
    train_both(LUCID_F64, 1e-11);
}

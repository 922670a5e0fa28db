/* ResNets: names and sizes as torchvision has them, and a trained ResNet-20 against float64
 * logits. */
#include "backends/cpu/levels_priv.h"
#include "tests/testing.h"
#include "tests/tolerance.h"

#include <lucid/lucid.h>
#include <stdio.h>
#include <zlib.h>

#include "tests/on_device.h"

TEST_SUITE_ON_DEVICE(resnet);

enum { IMAGES = 256, CLASSES = 10, PIXELS = 32 * 32 };

/* ---- structure ------------------------------------------------------------------------------- */

static size_t count(const lucid_named_tensor *(*list)(lucid_module *, size_t *), lucid_module *m)
{
    size_t n = 0;
    cr_assert(list(m, &n), "%s", lucid_error());
    return n;
}

static void expect_sizes(lucid_module *net, int64_t numbers, size_t parameters, size_t buffers)
{
    cr_assert(net, "%s", lucid_error());
    cr_expect_eq(lucid_parameter_count(net, false), numbers);
    cr_expect_eq(count(lucid_named_parameters, net), parameters);
    cr_expect_eq(count(lucid_named_buffers, net), buffers);
    lucid_module_free(net);
}

/* The figures are torchvision's. */
Test(resnet, parameters)
{
    expect_sizes(nn_ResNet18(), 11689512, 62, 60);
    expect_sizes(nn_ResNet34(), 21797672, 110, 108);
    expect_sizes(nn_ResNet50(), 25557032, 161, 159);
    expect_sizes(nn_ResNet18(.num_classes = 10, .cifar_stem = true), 11173962, 62, 60);
    expect_sizes(nn_ResNet20(), 269722, 59, 57);
}

Test(resnet, names_and_shapes)
{
    static const struct {
        const char *name;
        lucid_shape shape;
    } expected[] = {
        {"conv1.weight", {.ndim = 4, .dims = {64, 3, 7, 7}}},
        {"bn1.weight", {.ndim = 1, .dims = {64}}},
        {"bn1.bias", {.ndim = 1, .dims = {64}}},
        {"bn1.running_mean", {.ndim = 1, .dims = {64}}},
        {"bn1.running_var", {.ndim = 1, .dims = {64}}},
        {"bn1.num_batches_tracked", {.ndim = 0}},
        {"layer1.0.conv1.weight", {.ndim = 4, .dims = {64, 64, 3, 3}}},
        {"layer1.1.bn2.running_var", {.ndim = 1, .dims = {64}}},
        {"layer2.0.conv1.weight", {.ndim = 4, .dims = {128, 64, 3, 3}}},
        {"layer2.0.downsample.0.weight", {.ndim = 4, .dims = {128, 64, 1, 1}}},
        {"layer2.0.downsample.1.bias", {.ndim = 1, .dims = {128}}},
        {"layer4.1.conv2.weight", {.ndim = 4, .dims = {512, 512, 3, 3}}},
        {"fc.weight", {.ndim = 2, .dims = {1000, 512}}},
        {"fc.bias", {.ndim = 1, .dims = {1000}}},
    };
    lucid_module *net = nn_ResNet18();
    lucid_state_dict *state = lucid_module_state_dict(net);
    cr_assert(state, "%s", lucid_error());
    cr_expect_eq(lucid_state_dict_size(state), 122);
    /* The first six lines are also the first six entries, the last two the last. */
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        lucid_tensor *t = lucid_state_dict_get(state, expected[i].name);
        cr_assert(t, "%s is missing", expected[i].name);
        lucid_shape got = lucid_tensor_shape(t);
        cr_expect(lucid_shape_equal(&got, &expected[i].shape), "%s", expected[i].name);
        size_t at = i < 6 ? i : i >= 12 ? 108 + i : SIZE_MAX;
        if (at != SIZE_MAX) cr_expect_str_eq(lucid_state_dict_at(state, at).name, expected[i].name);
    }
    cr_expect_null(lucid_state_dict_get(state, "layer1.0.downsample.0.weight"));
    lucid_state_dict_free(state);
    lucid_module_free(net);
}

Test(resnet, prints_like_torchvision)
{
    static const char text[] =
        "    (0): BasicBlock(\n"
        "      (conv1): Conv2d(64, 128, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), "
        "bias=False)\n"
        "      (bn1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, "
        "track_running_stats=True)\n"
        "      (relu): ReLU(inplace=True)\n"
        "      (conv2): Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), "
        "bias=False)\n"
        "      (bn2): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, "
        "track_running_stats=True)\n"
        "      (downsample): Sequential(\n"
        "        (0): Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)\n"
        "        (1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, "
        "track_running_stats=True)\n"
        "      )\n"
        "    )\n";
    lucid_module *net = nn_ResNet18();
    char *got = lucid_module_to_string(net);
    cr_assert(got, "%s", lucid_error());
    cr_expect(strstr(got, text), "%s", got);
    cr_expect(strstr(got, "  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, "
                          "ceil_mode=False)\n"));
    cr_expect(strstr(got, "  (fc): Linear(in_features=512, out_features=1000, bias=True)\n"));
    free(got);
    lucid_module_free(net);
}

Test(resnet, shapes_and_training)
{
    LUCID_SCOPE;
    lucid_module *net = nn_ResNet50(.num_classes = 7);
    cr_assert(lucid_to(net, test_device()), "%s", lucid_error());
    if (!test_is_slow()) EXPECT_SHAPE(lucid_forward(net, lucid_randn((2, 3, 64, 64))), 2, 7);
    lucid_module_free(net);
    net = nn_ResNet20(.in_channels = 1);
    cr_assert(lucid_to(net, test_device()), "%s", lucid_error());
    lucid_tensor *y = lucid_forward(net, lucid_randn((2, 1, 31, 17)));
    EXPECT_SHAPE(y, 2, 10);
    cr_assert(lucid_backward(lucid_sum(lucid_square(y))), "%s", lucid_error());
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(net, &n);
    for (size_t i = 0; i < n; i++) cr_expect(lucid_tensor_grad(p[i].tensor), "%s", p[i].name);
    lucid_module_free(net);
}

Test(resnet, refusals)
{
    EXPECT_ERROR(nn_ResNet50(.in_channels = 0), LUCID_ERR_ARGUMENT, "in_channels");
    EXPECT_ERROR(nn_ResNet18(.num_classes = 0), LUCID_ERR_ARGUMENT, "expected at least 1, got 0");
    EXPECT_ERROR(nn_ResNet18(.depth = 19), LUCID_ERR_ARGUMENT, "depth: expected 18, 34");
}

/* ---- the trained network --------------------------------------------------------------------- */

static const char *data(const char *name)
{
    static char path[4096];
    const char *root = getenv("LUCID_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/resnet20-cifar10/%s", root ? root : ".", name);
    return path;
}

/* The first images of CIFAR-10's test batch: a byte for the class and 3 planes of 32x32, each. */
static lucid_tensor *images(void)
{
    static const double mean[] = {.485, .456, .406}, std[] = {.229, .224, .225};
    double *values = malloc(sizeof *values * IMAGES * 3 * PIXELS), *at = values;
    gzFile file = gzopen(data("cifar10_test_first256.bin.gz"), "rb");
    cr_assert(values && file);
    for (int i = 0; i < IMAGES; i++) {
        unsigned char record[1 + 3 * PIXELS];
        cr_assert_eq(gzread(file, record, sizeof record), (int)sizeof record);
        for (int k = 0; k < 3 * PIXELS; k++) {
            const int c = k / PIXELS;
            *at++ = (record[1 + k] / 255.0 - mean[c]) / std[c];
        }
    }
    gzclose(file);
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = LUCID_F64;
    lucid_tensor *x = lucid_from_doubles_opt(LUCID_SHAPE(IMAGES, 3, 32, 32), values,
                                             (size_t)IMAGES * 3 * PIXELS, &o);
    free(values);
    return x;
}

static lucid_tensor *logits(void)
{
    lucid_safetensors *file = lucid_safetensors_open(data("expected.safetensors"));
    lucid_tensor *t = lucid_safetensors_get(file, "logits");
    lucid_safetensors_close(file);
    cr_assert(t, "%s", lucid_error());
    return t;
}

static lucid_module *trained(lucid_dtype dtype)
{
    lucid_module *net = nn_ResNet20();
    /* Strict, although it has no num_batches_tracked: it was saved before that was invented. */
    cr_assert(lucid_load(net, data("resnet20.safetensors")), "%s", lucid_error());
    cr_assert(lucid_to_dtype(net, dtype) && lucid_to(net, test_device()) && lucid_eval(net), "%s",
              lucid_error());
    return net;
}

/* The largest error, and in *expected the largest logit. */
static double largest_error(lucid_tensor *got, lucid_tensor *want, double *largest)
{
    static double g[IMAGES * CLASSES], w[IMAGES * CLASSES];
    double worst = 0;
    *largest = 0;
    const int64_t n = lucid_numel(got);
    cr_assert(lucid_to_doubles(got, g, (size_t)n), "%s", lucid_error());
    cr_assert(lucid_to_doubles(want, w, (size_t)n), "%s", lucid_error());
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, isnan(g[i]) ? INFINITY : fabs(g[i] - w[i]));
        *largest = fmax(*largest, fabs(w[i]));
    }
    return worst;
}

/* 20 layers of sums, each of which adds errors of some epsilons of the layer's largest element to
 * those that come in, which the next layer's gain keeps about as they are: 20 times TOLERANCE_SUM's
 * part of the whole, for cancelling sums, in units of the largest logit. */
static void compare(lucid_dtype dtype, lucid_memory_format format, int64_t count)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_module *net = trained(dtype);
    lucid_tensor *x = lucid_narrow(images(), 0, 0, count);
    x = lucid_clone(lucid_cast(x, dtype), format);
    lucid_tensor *y = lucid_forward(net, x);
    EXPECT_SHAPE(y, count, CLASSES);
    const tolerance t = tolerance_of(TOLERANCE_SUM, dtype);
    double largest, error = largest_error(y, lucid_narrow(logits(), 0, 0, count), &largest);
    fprintf(stderr, "%s %s %s: largest error %.3g of %.3g\n", luc_cpu_level_name(luc_cpu_current()),
            lucid_dtype_name(dtype), format == LUCID_CONTIGUOUS ? "contiguous" : "channels_last",
            error, largest);
    cr_expect(error <= 20 * t.whole * t.epsilon * largest, "level %s, %s: error %g, largest %g",
              luc_cpu_level_name(luc_cpu_current()), lucid_dtype_name(dtype), error, largest);
    lucid_module_free(net);
}

/* All images where the kernels are fast, a few on the plain loops. */
static void at_every_level(lucid_dtype dtype, int64_t many)
{
    if (test_device().type != LUCID_CPU) {
        compare(dtype, LUCID_CONTIGUOUS, test_is_slow() ? 1 : many);
        compare(dtype, LUCID_CHANNELS_LAST, test_is_slow() ? 1 : many);
        return;
    }
    const int best = (int)luc_cpu_best();
    for (int level = 0; level >= 0; level = luc_cpu_next(level)) {
        const int64_t count = level == best ? many : 4;
        cr_assert(luc_cpu_force((luc_cpu_level)level));
        compare(dtype, LUCID_CONTIGUOUS, count);
        compare(dtype, LUCID_CHANNELS_LAST, count);
    }
    luc_cpu_force(luc_cpu_best());
}

Test(resnet, trained_float32)
{
    at_every_level(LUCID_F32, IMAGES);
}

Test(resnet, trained_float64)
{
    at_every_level(LUCID_F64, 4);
}

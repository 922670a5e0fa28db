/* conv.c: convolution without bias: forward, and the gradients of the input and of the weight. */
#include "row.h"

#include <math.h>

enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT };

/* arguments: N, C, H (= W), O, kernel, stride, groups, channels_last, direction; the padding is
 * kernel / 2. */
static void *setup_conv(const row *r)
{
    const int64_t *a = r->arguments;
    const int64_t n = a[0], c = a[1], h = a[2], o = a[3], k = a[4], groups = a[6];
    const bool channels_last = a[7] != 0;
    LUCID_SCOPE;
    job *j = job_new(r);
    lucid_tensor *x =
        job_input(j, 0, LUCID_SHAPE(n, c, h, h), 1, channels_last, a[8] == INPUT_GRADIENT);
    lucid_tensor *w =
        job_input(j, 1, LUCID_SHAPE(o, c / groups, k, k), 1 / sqrt((double)(c / groups * k * k)),
                  channels_last, a[8] == WEIGHT_GRADIENT);
    if (a[8] == FORWARD) return j;
    lucid_tensor *y = lucid_conv2d(x, w, NULL, .stride = a[5], .padding = k / 2, .groups = groups);
    j->kept = lucid_retain(y);
    job_input(j, 2, lucid_tensor_shape(y), 1, channels_last, false);
    return j;
}

static void run_conv(void *state)
{
    job *j = state;
    const int64_t *a = j->row->arguments;
    LUCID_SCOPE;
    lucid_tensor *result = NULL;
    if (a[8] == FORWARD) {
        LUCID_NO_GRAD;
        result = lucid_conv2d(j->in[0], j->in[1], NULL, .stride = a[5], .padding = a[4] / 2,
                              .groups = a[6]);
    } else {
        lucid_tensor *wanted = a[8] == INPUT_GRADIENT ? j->in[0] : j->in[1];
        lucid_grad(&j->kept, 1, &wanted, 1, &result, .gradients = &j->in[2], .retain_graph = true);
    }
    job_show(j, &result, 1);
}

#define OUT(h, k, s) (((h) + 2 * ((k) / 2) - (k)) / (s) + 1)
#define ROW(label, direction, way, layout, last, n, c, h, o, k, s, g)                          \
    {                                                                                          \
        .name = "conv " label " " direction " " layout, .twin = "conv",                        \
        .arguments = {n, c, h, o, k, s, g, last, way}, .setup = setup_conv, .run = run_conv,   \
        .teardown = job_teardown, .value = job_value, .tolerance = 1e-4,                       \
        .flops = 2.0 * (n) * (o)*OUT(h, k, s) * OUT(h, k, s) * ((c) / (g)) * (k) * (k),        \
        .bytes =                                                                               \
            4.0 * ((n) * ((double)(c) * (h) * (h) + (double)(o)*OUT(h, k, s) * OUT(h, k, s)) + \
                   (double)(o) * ((c) / (g)) * (k) * (k)),                                     \
    }
#define HALF(label, direction, way, n, c, h, o, k, s, g)                                  \
    {                                                                                     \
        .name = "conv " label " " direction " bf16 cl", .twin = "conv",                   \
        .arguments = {n, c, h, o, k, s, g, 1, way}, .setup = setup_conv, .run = run_conv, \
        .teardown = job_teardown, .value = job_value, .tolerance = 2e-2, .half = true,    \
        .flops = 2.0 * (n) * (o)*OUT(h, k, s) * OUT(h, k, s) * ((c) / (g)) * (k) * (k),   \
    }
#define CONV_HALF(label, ...)                                       \
    HALF(label, "forward", FORWARD, __VA_ARGS__),                   \
        HALF(label, "input gradient", INPUT_GRADIENT, __VA_ARGS__), \
        HALF(label, "weight gradient", WEIGHT_GRADIENT, __VA_ARGS__)
#define CONV(label, ...)                                                      \
    ROW(label, "forward", FORWARD, "cl", 1, __VA_ARGS__),                     \
        ROW(label, "forward", FORWARD, "nchw", 0, __VA_ARGS__),               \
        ROW(label, "input gradient", INPUT_GRADIENT, "cl", 1, __VA_ARGS__),   \
        ROW(label, "input gradient", INPUT_GRADIENT, "nchw", 0, __VA_ARGS__), \
        ROW(label, "weight gradient", WEIGHT_GRADIENT, "cl", 1, __VA_ARGS__), \
        ROW(label, "weight gradient", WEIGHT_GRADIENT, "nchw", 0, __VA_ARGS__)

const row conv_rows[] = {
    /*                                        N   C    H    O    k  s  groups */
    CONV("3x3 32x64x56x56 to 64", 32, 64, 56, 64, 3, 1, 1),
    CONV("3x3 32x128x28x28 to 128", 32, 128, 28, 128, 3, 1, 1),
    CONV("3x3 32x256x14x14 to 256", 32, 256, 14, 256, 3, 1, 1),
    CONV("3x3 32x512x7x7 to 512", 32, 512, 7, 512, 3, 1, 1),
    CONV("3x3 64x32x28x28 to 64", 64, 32, 28, 64, 3, 1, 1),
    CONV("3x3/2 32x64x56x56 to 128", 32, 64, 56, 128, 3, 2, 1),
    CONV("1x1 32x256x14x14 to 1024", 32, 256, 14, 1024, 1, 1, 1),
    CONV("1x1/2 32x64x56x56 to 128", 32, 64, 56, 128, 1, 2, 1),
    CONV("7x7/2 8x3x224x224 to 64", 8, 3, 224, 64, 7, 2, 1),
    CONV("first 3x3 64x1x28x28 to 32", 64, 1, 28, 32, 3, 1, 1),
    CONV("first 3x3 64x3x32x32 to 64", 64, 3, 32, 64, 3, 1, 1),
    CONV("depthwise 3x3 32x128x28x28", 32, 128, 28, 128, 3, 1, 128),
    CONV_HALF("3x3 256x64x56x56 to 64", 256, 64, 56, 64, 3, 1, 1),
    CONV_HALF("3x3 256x256x14x14 to 256", 256, 256, 14, 256, 3, 1, 1),
    CONV_HALF("1x1 256x256x14x14 to 1024", 256, 256, 14, 1024, 1, 1, 1),
    {.name = NULL},
};

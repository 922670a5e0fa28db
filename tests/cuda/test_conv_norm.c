/* test_conv_norm.c: convolution, batch normalisation with running statistics, residual and ReLU as
 * one operator on CUDA: at sizes of several tiles, by each of the ways it is done. The CPU in
 * float64 is the measure. */
#include "cuda_testing.h"
#include "tests/autograd/samples.h"

#include "autograd/ops/convolution.h"

CUDA_SUITE(conv_norm);

typedef struct norm_case {
    const char *name;
    int64_t x[4], w[4], stride, padding, groups;
} norm_case;
static const norm_case cases[] = {
    {"several tiles", {3, 17, 9, 11}, {70, 17, 3, 3}, 1, 1, 1},
    {"odd channels out", {2, 8, 7, 6}, {67, 8, 1, 1}, 1, 0, 1},
    {"split sums", {2, 60, 5, 5}, {8, 60, 3, 3}, 1, 1, 1},
    {"strided", {2, 12, 11, 8}, {20, 12, 3, 3}, 2, 1, 1},
    {"groups", {2, 24, 7, 6}, {32, 12, 3, 3}, 1, 1, 2},
    {"odd groups", {2, 24, 7, 6}, {33, 8, 3, 3}, 1, 1, 3},
    {"small groups", {2, 12, 7, 6}, {18, 2, 3, 3}, 1, 1, 6},
    {"depthwise", {2, 36, 9, 10}, {36, 1, 3, 3}, 1, 1, 36},
    {"no images", {0, 3, 5, 5}, {4, 3, 3, 3}, 1, 1, 1},
};

/* How it is called. Bits of `given`: bias, norm_weight, norm_bias, residual, relu. */
typedef struct form {
    int given;
    bool wide_norm;  /* the norm's parameters in float32, or float64, whatever x is */
    int residual_as; /* 0: channels_last, 1: contiguous, 2: a view with steps */
} form;
enum { BIAS = 1, WEIGHT = 2, SHIFT = 4, RESIDUAL = 8, RELU = 16 };
static const form forms[] = {
    {0, false, 0},
    {BIAS | WEIGHT | SHIFT, true, 0},
    {WEIGHT | SHIFT | RESIDUAL | RELU, true, 0},
    {BIAS | SHIFT | RESIDUAL | RELU, false, 1},
    {BIAS | WEIGHT | RESIDUAL, false, 2},
    {RELU, true, 0},
};

static lucid_tensor *numbers(lucid_shape shape, uint64_t seed, double low, double high)
{
    lucid_sample_input in = {.dtype = LUCID_F32, .low = low, .high = high};
    return lucid_cast(make_input(&in, shape, LUCID_F32, seed), LUCID_F16);
}

static lucid_tensor *brought(lucid_tensor *t, lucid_device device, lucid_dtype dtype)
{
    return lucid_cast(lucid_tensor_to(t, device), dtype);
}

static lucid_tensor *apply(const norm_case *c, const form *f, lucid_device device,
                           lucid_dtype dtype)
{
    const lucid_dtype exact = LUCID_BF16; /* in every dtype the same numbers */
    const lucid_dtype norm = !f->wide_norm ? dtype : dtype == LUCID_F64 ? dtype : LUCID_F32;
    const int64_t o = c->w[0], oh = (c->x[2] + 2 * c->padding - c->w[2]) / c->stride + 1,
                  ow = (c->x[3] + 2 * c->padding - c->w[3]) / c->stride + 1;
    const int steps = f->residual_as == 2 ? 2 : 1;
    lucid_shape x = {4, {c->x[0], c->x[1], c->x[2], c->x[3]}};
    lucid_shape w = {4, {c->w[0], c->w[1], c->w[2], c->w[3]}}, vector = {1, {o}};
    lucid_shape y = {4, {c->x[0], o * steps, oh, ow * steps}};
    lucid_tensor *t[] = {
        numbers(x, 1, -1, 1),      numbers(w, 2, -1, 1),        numbers(vector, 3, -1, 1),
        numbers(vector, 4, -1, 1), numbers(vector, 5, -1, 1),   numbers(y, 6, -1, 1),
        numbers(vector, 7, -1, 1), numbers(vector, 8, 0.25, 2),
    };
    for (int i = 0; i < 8; i++) {
        bool of_norm = i == 3 || i == 4 || i > 5;
        t[i] = brought(lucid_cast(t[i], exact), device, of_norm ? norm : dtype);
    }
    if (f->residual_as == 2)
        t[5] = lucid_slice(lucid_slice(t[5], 1, 1, INT64_MAX, 2), 3, 0, INT64_MAX, 2);
    else if (f->residual_as == 0)
        t[5] = lucid_contiguous(t[5], LUCID_CHANNELS_LAST);
    return lucid_conv2d_batch_norm(
        t[0], t[1], .conv.stride = c->stride, .conv.padding = c->padding, .conv.groups = c->groups,
        .bias = f->given & BIAS ? t[2] : NULL, .norm_weight = f->given & WEIGHT ? t[3] : NULL,
        .norm_bias = f->given & SHIFT ? t[4] : NULL, .running_mean = t[6], .running_var = t[7],
        .eps = 1e-3, .residual = f->given & RESIDUAL ? t[5] : NULL, .relu = f->given & RELU);
}

static void check_all(void)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    LUCID_NO_GRAD;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof forms / sizeof *forms; k++)
            for (int d = 0; d < 4; d++) {
                LUCID_SCOPE;
                const norm_case *c = &cases[i];
                const form *f = &forms[k];
                lucid_tensor *want = apply(c, f, lucid_cpu(), LUCID_F64);
                lucid_tensor *got = apply(c, f, lucid_cuda(0), dtypes[d]);
                /* Threads of a GPU end in any order, those of the emulator in one. */
                lucid_tensor *again = is_emulated() ? got : apply(c, f, lucid_cuda(0), dtypes[d]);
                cr_assert(want && got && again, "%s: %s", c->name, lucid_error());
                got = lucid_tensor_to(got, lucid_cpu());
                const tolerance *t = tolerance_of(dtypes[d]);
                cr_expect(lucid_allclose(lucid_cast(got, LUCID_F64), want, t->rtol, t->atol, false),
                          "%s, form %zu, %s", c->name, k, lucid_dtype_name(dtypes[d]));
                cr_expect(lucid_equal(got, lucid_tensor_to(again, lucid_cpu())),
                          "%s, form %zu, %s: differs from run to run", c->name, k,
                          lucid_dtype_name(dtypes[d]));
            }
}

Test(conv_norm, like_the_cpu)
{
    check_all();
}

/* What goes around the library: odd channels stand for one that takes the whole graph, even ones
 * for one that leaves what follows to lucid's kernel. */
Test(conv_norm, around_the_library)
{
    if (!is_emulated()) cr_skip_test("the library itself runs here");
    setenv("LUC_EMULATOR_DNN", "1", 1);
    check_all();
    unsetenv("LUC_EMULATOR_DNN");
}

/* A NaN goes through ReLU; a variance below 0 makes its channel NaN, and no other. */
Test(conv_norm, nan_stays_where_it_belongs)
{
    static const char *const ways[] = {"0", "1"};
    LUCID_NO_GRAD;
    for (int way = 0; way < (is_emulated() ? 2 : 1); way++) {
        LUCID_SCOPE;
        setenv("LUC_EMULATOR_DNN", ways[way], 1);
        lucid_tensor *x = lucid_ones((1, 3, 4, 4)), *w = lucid_ones((8, 3, 1, 1));
        ((float *)lucid_mutable_data(x))[5] = NAN;
        lucid_tensor *mean = lucid_zeros((8)), *var = lucid_ones((8)), *y[2];
        ((float *)lucid_mutable_data(var))[3] = -1;
        for (int i = 0; i < 2; i++) {
            lucid_device on = i ? lucid_cuda(0) : lucid_cpu();
            y[i] = lucid_conv2d_batch_norm(lucid_tensor_to(x, on), lucid_tensor_to(w, on),
                                           .running_mean = lucid_tensor_to(mean, on),
                                           .running_var = lucid_tensor_to(var, on), .relu = true);
        }
        cr_expect(lucid_allclose(lucid_tensor_to(y[1], lucid_cpu()), y[0], 1e-6, 1e-6, true));
        cr_expect(isnan(lucid_at(y[0], LUCID_SHAPE(0, 0, 1, 1))) &&
                  isnan(lucid_at(y[0], LUCID_SHAPE(0, 3, 0, 0))));
    }
    unsetenv("LUC_EMULATOR_DNN");
}

/* test_products.c: matmul, linear and the convolutions on CUDA at sizes that the samples do not
 * have: several tiles with odd ends, split sums, groups, strides, layouts, views. The CPU in
 * float64 is the measure. */
#include "cuda_testing.h"
#include "tests/autograd/samples.h"

CUDA_SUITE(products);

static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

static lucid_tensor *numbers(lucid_shape shape, lucid_dtype dtype, uint64_t seed)
{
    lucid_sample_input in = {.dtype = LUCID_F32};
    return make_input(&in, shape, dtype, seed);
}

/* One operator on n inputs on the CPU in float64 and on the device in dtype; the first two get
 * gradients. What it does to an input first (a layout, a view), it does on both sides. */
typedef lucid_tensor *(*arrange)(lucid_tensor *t);
typedef struct run {
    const lucid_op *op;
    const void *attrs;
    int n_in;
    arrange arrange[3];
    bool few; /* float32 and float16 alone: for what the emulator computes in another arrangement */
} run;

static bool run_on(const run *r, lucid_tensor *const *from, lucid_device device, lucid_dtype dtype,
                   lucid_tensor **out)
{
    lucid_tensor *in[3] = {NULL}, *bound[2];
    for (int i = 0; i < r->n_in; i++) {
        if (!from[i]) continue;
        LUCID_NO_GRAD;
        in[i] = lucid_cast(lucid_tensor_to(from[i], device), dtype);
        if (r->arrange[i]) in[i] = r->arrange[i](in[i]);
        if (!in[i]) return false;
    }
    for (int i = 0; i < 2; i++) bound[i] = lucid_requires_grad_(lucid_detach(in[i]), true);
    in[0] = bound[0];
    in[1] = bound[1];
    out[0] = lucid_apply(r->op, in, r->n_in, r->attrs);
    if (!out[0]) return false;
    lucid_tensor *start = numbers(lucid_tensor_shape(out[0]), LUCID_BF16, 99);
    start = lucid_cast(lucid_tensor_to(start, device), dtype);
    lucid_grad_options o = lucid_grad_defaults;
    o.gradients = &start;
    return lucid_grad_opt(out, 1, in, 2, out + 1, &o);
}

static void check(const run *r, lucid_tensor *const *in, lucid_dtype dtype, const char *what)
{
    static const char *const parts[] = {"output", "gradient of the first", "of the second"};
    lucid_tensor *want[3], *got[3], *again[3];
    /* Threads of a GPU end in any order, those of the emulator in one: it need not run again. */
    bool ok = run_on(r, in, lucid_cpu(), LUCID_F64, want) &&
              run_on(r, in, lucid_cuda(0), dtype, got) &&
              (is_emulated() || run_on(r, in, lucid_cuda(0), dtype, again));
    cr_expect(ok, "%s, %s: %s", what, lucid_dtype_name(dtype), lucid_error());
    lucid_clear_error();
    LUCID_NO_GRAD;
    const tolerance *t = tolerance_of(dtype);
    for (int i = 0; i < 3 && ok; i++) {
        lucid_tensor *host = lucid_tensor_to(got[i], lucid_cpu());
        cr_expect(lucid_allclose(lucid_cast(host, LUCID_F64), want[i], t->rtol, t->atol, false),
                  "%s, %s: %s", what, lucid_dtype_name(dtype), parts[i]);
        cr_expect(is_emulated() || lucid_equal(host, lucid_tensor_to(again[i], lucid_cpu())),
                  "%s, %s: %s differs from run to run", what, lucid_dtype_name(dtype), parts[i]);
    }
}

/* Exact in every dtype, so that the reference multiplies the same numbers. */
static void check_all(const run *r, const lucid_shape *shapes, const char *what)
{
    for (int d = 0; d < N_DTYPES; d += r->few ? 2 : 1) {
        LUCID_SCOPE;
        lucid_tensor *in[3] = {NULL};
        lucid_dtype exact = dtypes[d] == LUCID_F16 ? LUCID_F16 : LUCID_BF16;
        for (int i = 0; i < r->n_in; i++)
            if (shapes[i].ndim > 0) in[i] = numbers(shapes[i], exact, 7 + (uint64_t)i);
        check(r, in, dtypes[d], what);
    }
}

/* ---- arrangements ---- */

static lucid_tensor *transposed(lucid_tensor *t)
{
    return lucid_transpose(t, -2, -1);
}
static lucid_tensor *last(lucid_tensor *t)
{
    return lucid_contiguous(t, LUCID_CHANNELS_LAST);
}
/* Without the first row and column: nothing is aligned and nothing contiguous. */
static lucid_tensor *inner(lucid_tensor *t)
{
    t = lucid_slice(t, -1, 1, INT64_MAX, 1);
    return lucid_slice(t, -2, 1, INT64_MAX, 1);
}
static lucid_tensor *second_half(lucid_tensor *t)
{
    return lucid_slice(t, 0, 1, INT64_MAX, 2);
}

/* ---- matmul, linear ---- */

static void matmul(lucid_shape a, lucid_shape b, arrange of_a, arrange of_b, const char *what)
{
    run r = {.op = &luc_op_matmul, .n_in = 2, .arrange = {of_a, of_b}};
    check_all(&r, (lucid_shape[]){a, b}, what);
}
#define SHAPE2(...) ((lucid_shape){2, {__VA_ARGS__}})
#define SHAPE3(...) ((lucid_shape){3, {__VA_ARGS__}})
#define SHAPE4(...) ((lucid_shape){4, {__VA_ARGS__}})

static void several_tiles(void)
{
    matmul(SHAPE2(130, 37), SHAPE2(37, 67), NULL, NULL, "odd ends");
    matmul(SHAPE2(257, 19), SHAPE2(19, 260), NULL, NULL, "large tiles");
    matmul(SHAPE2(37, 130), SHAPE2(67, 37), transposed, transposed, "both transposed");
    matmul(SHAPE2(70, 33), SHAPE2(71, 32), inner, transposed, "a view");
    matmul(SHAPE2(1, 40), SHAPE2(40, 1), NULL, NULL, "one element");
    matmul(SHAPE2(1, 40), SHAPE2(40, 90), NULL, NULL, "a row");
}
static void long_sums(void)
{
    matmul(SHAPE2(5, 700), SHAPE2(700, 9), NULL, NULL, "long");
    matmul(SHAPE3(2, 5, 513), SHAPE2(513, 3), NULL, NULL, "long, shared");
}
static void batches(void)
{
    matmul(SHAPE3(3, 20, 11), SHAPE3(3, 11, 70), NULL, NULL, "batches");
    matmul(SHAPE4(2, 1, 9, 8), SHAPE4(1, 3, 8, 10), NULL, NULL, "batches that broadcast");
    matmul(SHAPE4(2, 3, 9, 8), SHAPE3(3, 10, 8), NULL, transposed, "some broadcast");
    matmul(SHAPE3(5, 9, 8), SHAPE3(5, 8, 10), second_half, second_half, "every other batch");
    matmul(SHAPE3(4, 1, 8), SHAPE3(4, 8, 10), NULL, NULL, "batches of rows");
    matmul(SHAPE3(0, 3, 4), SHAPE3(0, 4, 5), NULL, NULL, "no batches");
    matmul(SHAPE2(0, 3), SHAPE2(3, 4), NULL, NULL, "no rows");
}

Test(products, matmul_of_several_tiles)
{
    several_tiles();
}
Test(products, matmul_of_a_long_sum)
{
    long_sums();
}
Test(products, matmul_of_batches)
{
    batches();
}
Test(products, matmul_of_integers)
{
    for (int d = LUCID_I64; d <= LUCID_I32; d++) {
        LUCID_SCOPE;
        lucid_tensor *a = lucid_randint((70, 33), -1000, 1000, .dtype = (lucid_dtype)d);
        lucid_tensor *b = lucid_randint((33, 65), -1000, 1000, .dtype = (lucid_dtype)d);
        lucid_tensor *there =
            lucid_matmul(lucid_tensor_to(a, lucid_cuda(0)), lucid_tensor_to(b, lucid_cuda(0)));
        cr_expect(lucid_equal(lucid_tensor_to(there, lucid_cpu()), lucid_matmul(a, b)));
    }
}
Test(products, nan_stays_where_it_belongs)
{
    LUCID_SCOPE;
    lucid_tensor *a = numbers(SHAPE2(70, 20), LUCID_F32, 1),
                 *b = numbers(SHAPE2(20, 70), LUCID_F32, 2);
    float *data = lucid_mutable_data(a);
    data[3 * 20 + 5] = NAN;
    data[66 * 20 + 1] = INFINITY;
    lucid_tensor *there =
        lucid_matmul(lucid_tensor_to(a, lucid_cuda(0)), lucid_tensor_to(b, lucid_cuda(0)));
    lucid_tensor *got = lucid_tensor_to(there, lucid_cpu());
    cr_expect(lucid_allclose(got, lucid_matmul(a, b), 2e-5, 2e-5, true));
}

static void linear(void)
{
    static const lucid_linear_attrs attrs = {.relu = false};
    run r = {.op = &luc_op_linear, .n_in = 3, .attrs = &attrs};
    check_all(&r, (lucid_shape[]){SHAPE3(3, 50, 70), SHAPE2(67, 70), {1, {67}}}, "several tiles");
    check_all(&r, (lucid_shape[]){SHAPE2(4, 900), SHAPE2(10, 900), {1, {10}}}, "long");
    check_all(&r, (lucid_shape[]){SHAPE2(4, 30), SHAPE2(10, 30), {0}}, "without bias");
    r.arrange[0] = inner;
    r.arrange[1] = inner;
    r.arrange[2] = second_half;
    check_all(&r, (lucid_shape[]){SHAPE3(3, 6, 34), SHAPE2(68, 34), {1, {135}}}, "views");
}

Test(products, linear)
{
    linear();
}
/* How BLAS is asked: column-major matrices, transposed or not, and their leading dimensions. */
Test(products, as_column_major)
{
    if (!is_emulated()) cr_skip_test("the library itself runs here");
    setenv("LUC_EMULATOR_BLAS", "1", 1);
    several_tiles();
    long_sums();
    batches();
    linear();
    unsetenv("LUC_EMULATOR_BLAS");
}

/* ---- convolutions ---- */

typedef struct conv_case {
    const char *name;
    int64_t x[4], w[4];
    lucid_conv2d_attrs attrs;
    bool bias;
} conv_case;
#define ATTRS(s, p, d, g)                                                    \
    {                                                                        \
        .stride = {s, s}, .padding = {p, p}, .dilation = {d, d}, .groups = g \
    }
static const conv_case cases[] = {
    {"several tiles", {3, 17, 9, 11}, {70, 17, 3, 3}, ATTRS(1, 1, 1, 1), true},
    {"large tiles", {2, 9, 17, 16}, {130, 9, 2, 2}, ATTRS(1, 0, 1, 1), false},
    {"1x1", {3, 66, 7, 5}, {67, 66, 1, 1}, ATTRS(1, 0, 1, 1), false},
    {"1x1, stride", {2, 20, 7, 6}, {9, 20, 1, 1}, ATTRS(2, 0, 1, 1), false},
    {"stride 2", {2, 12, 11, 8}, {20, 12, 3, 3}, ATTRS(2, 1, 1, 1), true},
    {"stride 3, kernel 2", {2, 5, 11, 10}, {6, 5, 2, 2}, ATTRS(3, 0, 1, 1), false},
    {"stride 4, dilation 2",
     {1, 8, 21, 19},
     {3, 8, 4, 3},
     {{4, 2}, {3, 1}, {2, 4}, 1, {0}, false},
     false},
    {"stride 4, dilation 6", {1, 3, 21, 19}, {3, 3, 3, 2}, ATTRS(4, 5, 6, 1), false},
    {"patches", {2, 3, 16, 12}, {10, 3, 4, 4}, ATTRS(4, 0, 1, 1), true},
    {"wide padding", {1, 4, 3, 3}, {5, 4, 3, 3}, ATTRS(1, 5, 1, 1), false},
    {"7x7", {1, 3, 20, 18}, {16, 3, 7, 7}, ATTRS(2, 3, 1, 1), false},
    {"long sums", {4, 40, 6, 6}, {8, 40, 3, 3}, ATTRS(1, 1, 1, 1), false},
    {"groups", {2, 24, 7, 6}, {32, 12, 3, 3}, ATTRS(1, 1, 1, 2), true},
    {"groups, stride", {2, 24, 7, 6}, {32, 12, 3, 3}, ATTRS(2, 1, 1, 2), false},
    {"small groups", {2, 12, 7, 6}, {18, 2, 3, 3}, ATTRS(1, 1, 1, 6), true},
    {"small groups, stride", {2, 12, 7, 6}, {18, 2, 3, 3}, ATTRS(2, 1, 1, 6), false},
    {"depthwise", {2, 36, 9, 10}, {36, 1, 3, 3}, ATTRS(1, 1, 1, 36), true},
    {"depthwise, stride", {2, 36, 9, 10}, {36, 1, 5, 5}, ATTRS(2, 2, 1, 36), false},
    {"depthwise, several blocks", {3, 132, 8, 7}, {132, 1, 3, 3}, ATTRS(1, 1, 1, 132), true},
    {"depthwise, dilated and uneven",
     {2, 8, 9, 11},
     {8, 1, 3, 2},
     {{1, 2}, {2, 0}, {2, 3}, 8, {0}, false},
     false},
    {"depthwise, dilated", {2, 4, 9, 10}, {4, 1, 3, 3}, ATTRS(1, 2, 2, 4), false},
    {"depthwise, two each", {2, 9, 6, 7}, {18, 1, 3, 3}, ATTRS(1, 1, 1, 9), false},
    {"one channel", {5, 1, 12, 12}, {8, 1, 3, 3}, ATTRS(1, 0, 1, 1), true},
    {"no images", {0, 3, 5, 5}, {4, 3, 3, 3}, ATTRS(1, 1, 1, 1), true},
};

static void convolutions(arrange of_x, arrange of_w, int extra)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const conv_case *c = &cases[i];
        lucid_shape shapes[3] = {{.ndim = 4}, {.ndim = 4}, {.ndim = c->bias, .dims = {c->w[0]}}};
        memcpy(shapes[0].dims, c->x, sizeof c->x);
        memcpy(shapes[1].dims, c->w, sizeof c->w);
        shapes[0].dims[2] += extra;
        shapes[0].dims[3] += extra;
        run r = {.op = &luc_op_conv2d,
                 .attrs = &c->attrs,
                 .n_in = 3,
                 .arrange = {of_x, of_w},
                 .few = is_emulated() && (of_x || of_w || getenv("LUC_EMULATOR_DNN"))};
        check_all(&r, shapes, c->name);
    }
}

Test(products, conv2d)
{
    convolutions(NULL, NULL, 0);
}
Test(products, conv2d_channels_last)
{
    convolutions(last, NULL, 0);
}
Test(products, conv2d_weight_channels_last)
{
    convolutions(last, last, 0);
}
Test(products, conv2d_views)
{
    convolutions(inner, transposed, 1);
}
/* What goes around a library that wants channels_last memory: copies there and back, and the
 * bias. */
Test(products, conv2d_brought_to_channels_last)
{
    if (!is_emulated()) cr_skip_test("the library itself runs here");
    setenv("LUC_EMULATOR_DNN", "1", 1);
    convolutions(NULL, NULL, 0);
    convolutions(inner, transposed, 1);
    unsetenv("LUC_EMULATOR_DNN");
}
